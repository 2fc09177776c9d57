// Package api has the types of certquake.dev/v1alpha1 that the rotator reads: a RotatingSecret asks
// for a Secret whose keys are rotated by the convention of package keyring. `make generate` makes
// the copies and the CustomResourceDefinition in ../config/crd from it.
//
// +kubebuilder:object:generate=true
// +groupName=certquake.dev
// +versionName=v1alpha1
package api
