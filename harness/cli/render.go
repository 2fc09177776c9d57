package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/scenarios"
)

// Renderer is a Backend that applies objects to a Kubernetes cluster, and can show them before.
type Renderer interface {
	Backend
	// Render returns everything that a run of the plan applies, as YAML documents.
	Render(plan scenarios.Plan) ([]byte, error)
}

func newRender(env *Env) *cobra.Command {
	var flags sourceFlags
	var name string
	cmd := &cobra.Command{
		Use:   "render FILE|NAME|-",
		Short: "Print the Kubernetes objects that a scenario's world is made of",
		Long: `Render prints what a run on a Kubernetes cluster applies, as YAML: the scenario's own
manifests, and its workloads as a headless Service each and a Deployment for each pod.
Nothing is applied.`,
		Example: `  certquake render akka-rotation
  certquake render my-scenario.yaml | kubectl apply --dry-run=server -f -`,
		Args:              needScenario,
		ValidArgsFunction: completeScenarios,
		RunE: func(cmd *cobra.Command, args []string) error {
			renderer, err := env.renderer(name)
			if err != nil {
				return err
			}
			if err = env.foreign(cmd, renderer); err != nil {
				return err
			}
			jobs, err := flags.load(cmd.Context(), env, args)
			if err != nil {
				return err
			}
			for _, j := range jobs {
				text, err := renderer.Render(j.plan)
				if err != nil {
					return err
				}
				if _, err := env.Stdout.Write(text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&name, "backend", "",
		"cluster to render for: "+strings.Join(env.renderers(), ", ")+" (default the first)")
	env.addSettings(cmd)
	return cmd
}

// errNoRenderer is of a program without a backend on Kubernetes.
var errNoRenderer = errors.New("no backend of this build is a Kubernetes cluster")

// renderer returns the renderer of the name, the first one for "".
func (env *Env) renderer(name string) (Renderer, error) {
	if name != "" {
		backend, err := env.backend(name)
		if err != nil {
			return nil, err
		}
		if renderer, ok := backend.(Renderer); ok {
			return renderer, nil
		}
		return nil, usage(errors.New("backend "+name+" applies no Kubernetes objects"),
			"leave out --backend")
	}
	for _, backend := range env.Backends {
		if renderer, ok := backend.(Renderer); ok {
			return renderer, nil
		}
	}
	return nil, errNoRenderer
}

// renderers returns the names of the backends that render.
func (env *Env) renderers() []string {
	var names []string
	for _, backend := range env.Backends {
		if _, ok := backend.(Renderer); ok {
			names = append(names, backend.Name())
		}
	}
	return names
}
