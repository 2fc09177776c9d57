package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/certquake/certquake/clusters/rotator"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
)

// errNoCluster is of a rotator that has been told of a cluster that is not there.
var errNoCluster = errors.New("the cluster is not there")

// rotating is the rotator, but for its run: that says in its log what it was asked for, and ends
// by itself unless it is to wait.
func rotating() *cli.Rotator {
	return &cli.Rotator{
		CRD: rotator.CRD, RBAC: rotator.RBAC,
		Manifest: func(i cli.RotatorInstallation) ([]byte, error) {
			return rotator.Manifest(rotator.Installation(i))
		},
		Run: func(ctx context.Context, o cli.RotatorOptions) error {
			log := slog.New(o.Log)
			log.DebugContext(ctx, "what libraries do")
			log.InfoContext(ctx, "asked", "namespaces", o.Namespaces, "lease", o.LeaseNamespace,
				"metrics", o.MetricsAddress, "health", o.HealthAddress,
				"alone", o.NoLeaderElection, "poll", o.Poll)
			switch {
			case o.Kubeconfig == "missing":
				return fmt.Errorf("%w: --kubeconfig: there is none", harness.ErrSettings)
			case o.Kubeconfig == "broken":
				return errNoCluster
			case o.Context == "waiting":
				<-ctx.Done()
			case o.Context == "early":
				<-ctx.Done()
				return fmt.Errorf("ask: %w", ctx.Err())
			}
			return nil
		},
	}
}

// A build without the operator has its commands, and they say so.
func TestNoRotator(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"rotator"},
		{"rotator", "crd"},
		{"rotator", "rbac", "--namespace", "ops"},
		{"rotator", "manifest", "--namespace", "ops", "--image", "x"},
	} {
		var out, err bytes.Buffer
		code := cli.Main(t.Context(), cli.Env{
			Args: args, Stdout: &out, Stderr: &err, Backends: []cli.Backend{sim.New()},
		})
		assert.Equal(t, cli.ExitUsage, code)
		assert.Equal(t, "certquake: this build has no rotator\n", err.String())
		assert.Empty(t, out.String())
	}
}

// What the Deployment says is what the command understands.
func TestRotatorInDeployment(t *testing.T) {
	t.Parallel()
	text, err := rotating().Manifest(cli.RotatorInstallation{
		Namespace: "ops", Image: "certquake:v1", Watch: []string{"a", "b"}, Replicas: 2,
	})
	require.NoError(t, err)
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct{ Args []string }
				}
			}
		}
	}
	for document := range strings.SplitSeq(string(text), "---\n") {
		if strings.Contains(document, "kind: Deployment\n") {
			require.NoError(t, yaml.Unmarshal([]byte(document), &deployment))
		}
	}
	require.Len(t, deployment.Spec.Template.Spec.Containers, 1)
	var out, said bytes.Buffer
	code := cli.Main(t.Context(), cli.Env{
		Args: deployment.Spec.Template.Spec.Containers[0].Args, Stdout: &out, Stderr: &said,
		Backends: []cli.Backend{sim.New()}, Rotator: rotating(),
	})
	assert.Equal(t, cli.ExitOK, code)
	assert.Contains(t, said.String(),
		`namespaces="[a b]" lease=ops metrics=:8080 health=:8081 alone=false poll=15s`)
}
