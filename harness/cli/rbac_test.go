package cli_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
)

// permitting is a backend that tells what it was asked for as its permissions.
type permitting struct{ *sim.Backend }

func (permitting) Name() string { return "permitting" }

func (permitting) RBAC(
	account string, namespaces []string, clusterScoped, kubelets bool,
) ([]byte, error) {
	if account == "" {
		return nil, fmt.Errorf("%w: no account", harness.ErrSettings)
	}
	return fmt.Appendf(nil, "%s %q %t %t\n", account, namespaces, clusterScoped, kubelets), nil
}

// What is printed is the backend's, for what the flags say.
func TestRBAC(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		args     []string
		backends []cli.Backend
		code     int
		out, err string
	}{
		{
			"as it is", nil,
			[]cli.Backend{sim.New(), permitting{sim.New()}},
			cli.ExitOK,
			"certquake [] false false\n", "",
		},
		{
			"with everything",
			[]string{
				"--namespace", "a", "--namespace", "b", "--service-account", "me",
				"--allow-cluster-scoped", "--read-kubelets",
			},
			[]cli.Backend{permitting{sim.New()}},
			cli.ExitOK, "me [\"a\" \"b\"] true true\n", "",
		},
		{
			"a wrong setting",
			[]string{"--service-account", ""},
			[]cli.Backend{permitting{sim.New()}},
			cli.ExitUsage, "",
			"certquake: wrong setting: no account\n",
		},
		{
			"no such backend", nil,
			[]cli.Backend{sim.New()},
			cli.ExitUsage, "",
			"certquake: no backend of this build runs on clusters of yours\n",
		},
		{
			"an argument",
			[]string{"kube-system"},
			[]cli.Backend{permitting{sim.New()}},
			cli.ExitUsage, "",
			"certquake: certquake rbac takes no argument, got \"kube-system\"\n" +
				"certquake: hint: certquake rbac --help\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, err bytes.Buffer
			code := cli.Main(t.Context(), cli.Env{
				Args: append([]string{"rbac"}, tt.args...), Stdout: &out, Stderr: &err,
				Backends: tt.backends,
			})
			assert.Equal(t, tt.code, code)
			assert.Equal(t, tt.out, out.String())
			assert.Equal(t, tt.err, err.String())
		})
	}
}
