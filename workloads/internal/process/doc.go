// Package process is what every workload's process in a pod is beside its role: it is told offset 0
// on its admin port, keeps its schedule and its clock, numbers its rows, and leaves word to the
// process after it.
//
// Run is a process with a Role, which a package of workloads makes of a Kit.
package process
