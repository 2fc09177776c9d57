// Package credential reads a TLS credential from a mounted Secret and decides when to read it
// again, the way the software under test does: Akka's rotating keys, a Go reloader, a watcher that
// goes deaf. The same code runs in a pod and in the simulator.
//
// Read reads once. NewCache wraps Read in a reload Policy, whose decisions are pure functions of
// the time passed in. Volume is a Secret volume in memory, laid out as the kubelet lays it out.
//
// The package reads no clock, writes nothing, and never puts key material in an error.
package credential
