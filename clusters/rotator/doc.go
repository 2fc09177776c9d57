// Package rotator is a Kubernetes operator that rotates secrets whose keys have ids: the driver of
// package rotation for RotatingSecrets (package api). Run runs it until its context ends,
// and Manifest is what installs it in a cluster.
//
// Every reconciliation reads the RotatingSecret, its Secret, Jobs and consumers anew, asks
// rotation.Decide, and writes at most one step: keys and rotation.State (an annotation) in one
// update of one Secret, under the resourceVersion that was decided on. It can therefore be killed
// at any moment, and two of it cannot do a step twice.
//
// # What consumers must do
//
// Under the gate uptake every pod that the selector finds exports keyring.MetricInfo; see there. A
// pod that cannot be reached, answers with anything else or does not name the Secret is silent, and
// late when a step depends on it. Pods that are not on any node yet are no consumers: they will
// read what is there then.
//
// # What is never done
//
// A Secret that does not have Label is not touched. A Secret has no owner, because the garbage
// collector asks nobody whether a key is in use: with the deletion policy Retain it stays, with
// Delete the finalizer removes it when no pod mounts it, no consumer reports a key of it, and no
// consumer is silent. Pods that read it by the API and are not among the consumers cannot be seen.
//
// # Who may what
//
// Whoever may write RotatingSecrets can have the operator run a Job with any service account of
// their namespace, connect to the pods of the namespace by HTTP, and rotate the Secrets that are
// labelled for them. Rules has what the operator itself may do.
package rotator
