// Package clusters says what a Kubernetes cluster is to the harness: a Target. The packages below
// bring clusters up, package kube performs plans on any of them.
package clusters

import (
	"context"

	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// ErrBroken is wrapped by the error of a cluster that could not be brought up, or that broke in the
// middle of a run: nothing is proved either way.
var ErrBroken = harness.ErrBroken

// Perform has a cluster do an action that is no matter of its API, such as stopping a kubelet, and
// returns once the effect was seen, with a sentence that says what was seen.
type Perform func(ctx context.Context, action scenarios.Action) (seen string, err error)

// Target is a running cluster with cert-manager in it.
type Target struct {
	Config     *rest.Config
	Kubeconfig string            // the file, for people
	Nodes      map[string]string // planned node: the name it has in the cluster
	Image      string            // of the workload program
	Versions   map[string]string // of Kubernetes, cert-manager and so on, for reports
	// Performs has the actions that the cluster does itself. What is in neither Performs nor
	// package kube is not possible on this cluster.
	Performs map[scenarios.Verb]Perform
	// Shared is set on a cluster that outlives the run: everything that a run made in it is removed
	// object by object at the run's end, however that comes about. Namespaces are Down's to remove.
	Shared bool
	// Run names the run on a cluster that outlives it: it is a label of everything the run makes,
	// by which the next one finds what is left.
	Run string
	// Namespace returns the namespace that stands for a planned one. When nil, it is the same.
	Namespace func(planned string) string
	// Spread is set where the planned nodes are none of the cluster's: pods are then spread over
	// whatever nodes there are, and Nodes is empty.
	Spread bool
	// Unlike has the planned nodes that the cluster's own are not like, and in what. What depends
	// on their settings cannot be judged then.
	Unlike map[string]string
	// Broken is closed when the cluster ended by itself; Cause then tells why.
	Broken <-chan struct{}
	Cause  func() error
	// Down removes everything that bringing it up made.
	Down func(ctx context.Context) error
}
