package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// drawing is a backend that shows what it would apply.
type drawing struct{ *sim.Backend }

func (drawing) Name() string { return "drawing" }

func (drawing) Render(plan scenarios.Plan) ([]byte, error) {
	return []byte("---\nscenario: " + plan.Scenario + "\n"), nil
}

func TestRender(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		backends []cli.Backend
		args     string
		code     int
		stdout   string
		stderr   string
	}{
		{
			"two scenarios",
			[]cli.Backend{sim.New(), drawing{sim.New()}},
			"render akka-rotation leaf-rotation", cli.ExitOK,
			"---\nscenario: akka-rotation\n---\nscenario: leaf-rotation\n", "",
		},
		{
			"another backend",
			[]cli.Backend{sim.New(), drawing{sim.New()}},
			"render akka-rotation --backend sim", cli.ExitUsage, "",
			"certquake: backend sim applies no Kubernetes objects\n" +
				"certquake: hint: leave out --backend\n",
		},
		{
			"no such backend",
			[]cli.Backend{sim.New(), drawing{sim.New()}},
			"render akka-rotation --backend kins", cli.ExitUsage, "",
			"certquake: no backend \"kins\"\n" +
				"certquake: hint: this build has --backend sim, drawing\n",
		},
		{
			"none",
			[]cli.Backend{sim.New()},
			"render akka-rotation", cli.ExitFail, "",
			"certquake: no backend of this build is a Kubernetes cluster\n",
		},
		{
			"no scenario",
			[]cli.Backend{sim.New(), drawing{sim.New()}},
			"render", cli.ExitUsage,
			"", "certquake: certquake render needs a scenario\n" +
				"certquake: hint: certquake render akka-rotation, or a name that certquake list " +
				"shows, or a file or folder of yours\n",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := cli.Main(t.Context(), cli.Env{
				Args: strings.Fields(row.args), Stdout: &stdout, Stderr: &stderr,
				Backends: row.backends, Version: "test",
			})
			assert.Equal(t, row.code, code)
			assert.Equal(t, row.stdout, stdout.String())
			assert.Equal(t, row.stderr, stderr.String())
		})
	}
}
