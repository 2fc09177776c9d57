// Package example_test is what a project's own tests look like that rotate its certificates: run it
// by `go test -tags embedded ./clusters/suite/example` once `make embedded` has built the programs,
// or with the tag e2e on kind. Without a tag, e2e-framework's dry run says what there is to run.
package example_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/certquake/certquake/clusters/kube/operator"
	"github.com/certquake/certquake/clusters/suite"
	"github.com/certquake/certquake/reports"
)

var testenv env.Environment

// TestMain brings one cluster with two nodes up for all tests.
func TestMain(m *testing.M) {
	operator.Main() // of RotatingSecrets, if scenarios have them
	testenv = env.NewWithConfig(config())
	testenv.Setup(suite.Up(provider(), 2))
	testenv.Finish(suite.Down())
	os.Exit(testenv.Run(m))
}

// TestRotation has what the project tests anyway and the rotation of its certificates share the
// cluster.
func TestRotation(t *testing.T) {
	nodes := features.New("nodes").Assess("are there", areThere).Feature()
	// A scenario of the project, beside its own manifests: it expects to pass.
	safe := suite.Scenario("testdata/rollover.yaml", suite.Options{}).
		Assess("is used soon", isUsedSoon).Feature()
	// A scenario of the library, ten times as fast: it expects to fail because of a trust gap.
	abrupt := suite.Scenario("quick-ca-swap-abrupt", suite.Options{Speed: 10}).Feature()
	testenv.Test(t, nodes, safe, abrupt)
}

func areThere(ctx context.Context, t *testing.T, cfg *envconf.Config) context.Context {
	t.Helper()
	var nodes corev1.NodeList
	require.NoError(t, cfg.Client().Resources().List(ctx, &nodes))
	assert.GreaterOrEqual(t, len(nodes.Items), 2)
	return ctx
}

func isUsedSoon(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
	t.Helper()
	assert.Less(t, suite.Report(ctx).Propagation.P99, reports.Seconds(6))
	return ctx
}
