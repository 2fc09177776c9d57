// Package handshake makes one mutual TLS attempt between two credentials and tells, from the end
// that decided it, how it ended. The same code runs in a pod and in the simulator.
//
// NewContext readies a credential for both roles. Dial and Accept are the two ends of one canary
// attempt, Connect and Serve those of a lasting association, and Do runs a canary in memory. Join
// tells the outcome of the attempt from the results of both ends.
//
// An attempt counts as ok only when the client has read a confirming byte back: under TLS 1.3 the
// client's handshake returns before the server has judged the client's certificate. Causes are told
// by the type of an error and the stage it came at, never by its text.
//
// The package reads no clock: certificates are judged at the instant that the caller's now returns.
package handshake
