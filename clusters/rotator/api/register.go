package api

import (
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of RotatingSecrets, and Version the only one that there is.
const (
	Group   = "certquake.dev"
	Version = "v1alpha1"
	Kind    = "RotatingSecret"
)

// GroupVersion returns the group and the version together.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: Group, Version: Version}
}

// AddToScheme makes the types known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(), &RotatingSecret{}, &RotatingSecretList{})
	meta.AddToGroupVersion(scheme, GroupVersion())
	return nil
}
