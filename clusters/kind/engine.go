package kind

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"
)

// engineVariable is kind's own variable that names the engine.
const engineVariable = "KIND_EXPERIMENTAL_PROVIDER"

// networkVariables are kind's variables that name the network of the containers.
const (
	networkPrefix = "KIND_EXPERIMENTAL_"
	networkSuffix = "_NETWORK"
)

// engine is a container engine, by the name of its command. They share the commands that are used
// here.
type engine string

// engines returns those that are used here, in kind's order of preference.
func engines() []engine { return []engine{"docker", "podman"} }

// errNoEngine is of a machine without a container engine.
var errNoEngine = errors.New("no container engine: install Docker " +
	"(https://docs.docker.com/engine/install) or Podman and start it, or use --backend embedded")

// findEngine returns the engine of the name, or the first that answers.
func findEngine(ctx context.Context, name string) (engine, error) {
	if name == "" {
		name = os.Getenv(engineVariable)
	}
	var problems []error
	for _, e := range engines() {
		if name != "" && name != string(e) {
			continue
		}
		if err := e.genuine(ctx); err != nil {
			if name != "" {
				return "", err
			}
			continue
		}
		_, err := e.info(ctx)
		if err == nil {
			return e, nil
		}
		problems = append(problems, err)
	}
	switch {
	case len(problems) > 0:
		return "", errors.Join(problems...)
	case name != "":
		return "", fmt.Errorf("no engine %q: use --engine docker or podman", name)
	}
	return "", errNoEngine
}

func (e engine) String() string { return string(e) }

// genuine returns an error unless the engine's command is there and its own. Podman can come with
// one of Docker's name, which speaks a little otherwise; kind does not take it for Docker either.
func (e engine) genuine(ctx context.Context) error {
	if _, err := exec.LookPath(string(e)); err != nil {
		return fmt.Errorf("no command %s: install it, or choose another --engine", e)
	}
	said, err := e.do(ctx, "-v")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(strings.ToLower(said), e.String()+" version") {
		return fmt.Errorf("the command %s is another engine's (%s): choose that by --engine", e,
			tail(said))
	}
	return nil
}

// hostVariable is the variable that chooses among several of the engine.
func (e engine) hostVariable() string {
	if e == "podman" {
		return "CONTAINER_HOST"
	}
	return "DOCKER_HOST"
}

// option tells kind to use the engine.
func (e engine) option() kindcluster.ProviderOption {
	if e == "podman" {
		return kindcluster.ProviderWithPodman()
	}
	return kindcluster.ProviderWithDocker()
}

// useNetwork has kind put the containers that it makes from now on into the network of the name,
// which it makes.
func (e engine) useNetwork(name string) error {
	return os.Setenv(networkPrefix+strings.ToUpper(string(e))+networkSuffix, name)
}

// command is one command of the engine.
func (e engine) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, string(e), args...) //nolint:gosec // one of engines
}

// do runs a command of the engine and returns what it prints.
func (e engine) do(ctx context.Context, args ...string) (string, error) {
	cmd := e.command(ctx, args...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", e, strings.Join(args[:min(len(args), 2)], " "), err,
			tail(problem.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// tailMax bounds what of a command's output is in its error.
const tailMax = 600

// tail returns the last words of an output.
func tail(output string) string {
	output = strings.TrimSpace(output)
	if len(output) > tailMax {
		output = "..." + output[len(output)-tailMax:]
	}
	return output
}

// machine is what an engine says of where it runs. Docker fills the first fields, Podman those of
// Host.
type machine struct {
	ID            string   `json:"ID"` // tells one engine from another
	CgroupVersion string   `json:"CgroupVersion"`
	KernelVersion string   `json:"KernelVersion"`
	MemTotal      int64    `json:"MemTotal"`
	ServerErrors  []string `json:"ServerErrors"`
	Host          struct {
		Hostname      string `json:"hostname"`
		CgroupVersion string `json:"cgroupVersion"`
		Kernel        string `json:"kernel"`
		MemTotal      int64  `json:"memTotal"`
	} `json:"host"`
	Store struct {
		GraphRoot string `json:"graphRoot"`
	} `json:"store"`
}

// info asks the engine where it runs, which shows that it answers.
func (e engine) info(ctx context.Context) (machine, error) {
	var m machine
	text, err := e.do(ctx, "info", "--format", "{{json .}}")
	if err == nil {
		if err = json.Unmarshal([]byte(text), &m); err != nil {
			err = fmt.Errorf("%s info: %w", e, err)
		}
	}
	if err == nil && len(m.ServerErrors) > 0 {
		err = errors.New(strings.Join(m.ServerErrors, "; "))
	}
	if err != nil {
		return m, fmt.Errorf("%s does not answer: %w; start it, and see that this user may use "+
			"it: %s info", e, err, e)
	}
	if m.KernelVersion == "" {
		m.KernelVersion = m.Host.Kernel
	}
	m.MemTotal = max(m.MemTotal, m.Host.MemTotal)
	m.CgroupVersion = strings.TrimPrefix(m.CgroupVersion+m.Host.CgroupVersion, "v")
	if m.ID == "" && m.Store.GraphRoot != "" { // users of Podman have each their own
		m.ID = m.Host.Hostname + ":" + m.Store.GraphRoot
	}
	return m, nil
}

// running reports whether the container is running. Only an answer of the engine counts.
func (e engine) running(ctx context.Context, container string) (bool, error) {
	text, err := e.do(ctx, "ps", "--filter", "name=^"+container+"$",
		"--filter", "status=running", "--format", "{{.Names}}")
	return text == container, err
}

// has reports whether the engine has an image.
func (e engine) has(ctx context.Context, image string) bool {
	return e.command(ctx, "image", "inspect", image).Run() == nil
}

// images lists the images of a repository, the newest first.
func (e engine) images(ctx context.Context, repository string) ([]string, error) {
	text, err := e.do(ctx, "images", "--filter", "reference="+repository,
		"--format", "{{.Repository}}:{{.Tag}}")
	if err != nil || text == "" {
		return nil, err
	}
	return strings.Split(text, "\n"), nil
}

// hasNetwork reports whether there is a network of the name.
func (e engine) hasNetwork(ctx context.Context, name string) (bool, error) {
	text, err := e.do(ctx, "network", "ls", "--filter", "name=^"+name+"$", "--format", "{{.Name}}")
	return text != "", err
}

// removeNetwork removes a network, if there is one of the name.
func (e engine) removeNetwork(ctx context.Context, name string) error {
	there, err := e.hasNetwork(ctx, name)
	if err != nil || !there {
		return err
	}
	_, err = e.do(ctx, "network", "rm", name)
	return err
}
