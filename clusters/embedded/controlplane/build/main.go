// Build makes the programs of the embedded cluster: `go run ./build -o DIR`. It copies
// cert-manager's CRDs out of the module cache, and it alone knows the flags; other ones would
// compile all of Kubernetes again.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	out := flag.String("o", "bin", "folder of the programs")
	processes := flag.Int("p", 0, "packages to compile at the same time (0: Go's choice)")
	flag.Parse()
	if err := build(*out, *processes); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func build(out string, processes int) error {
	if err := copyDefinitions(); err != nil {
		return fmt.Errorf("copy CRDs: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	stamps, err := stamps()
	if err != nil {
		return fmt.Errorf("read versions: %w", err)
	}
	for program, path := range map[string]string{"controlplane": ".", "ctrinit": "./cmd/ctrinit"} {
		args := []string{
			"build", "-trimpath", "-buildvcs=false", "-ldflags", stamps,
			"-o", filepath.Join(out, program),
		}
		if processes > 0 {
			args = append(args, "-p", strconv.Itoa(processes))
		}
		if err := command(append(args, path)...).Run(); err != nil {
			return fmt.Errorf("build %s: %w", program, err)
		}
	}
	return nil
}

// copyDefinitions puts the CRDs where package certmanager embeds them. Files that are the same
// already are left alone.
func copyDefinitions() error {
	module, err := query("-f", "{{.Dir}}", "github.com/cert-manager/cert-manager")
	if err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(module, "deploy", "crds", "*.yaml"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("none in %s: %w", module, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join("certmanager", "crds", filepath.Base(path))
		if old, err := os.ReadFile(to); err == nil && string(old) == string(text) {
			continue
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// stamps tells the programs their versions, which releases get the same way. Without them
// nodes report v0.0.0-master.
func stamps() (string, error) {
	kubernetes, err := query("-f", "{{.Version}}", "k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	certManager, err := query("-f", "{{.Version}}", "github.com/cert-manager/cert-manager")
	if err != nil {
		return "", err
	}
	numbers := strings.SplitN(strings.TrimPrefix(kubernetes, "v"), ".", 3)
	if len(numbers) != 3 {
		return "", fmt.Errorf("version %q of Kubernetes has not three parts", kubernetes)
	}
	const version = " -X k8s.io/component-base/version."
	return "-s -w" + version + "gitVersion=" + kubernetes +
		version + "gitMajor=" + numbers[0] + version + "gitMinor=" + numbers[1] +
		version + "gitTreeState=clean" +
		" -X github.com/cert-manager/cert-manager/pkg/util.AppVersion=" + certManager, nil
}

func query(args ...string) (string, error) {
	list := command(append([]string{"list", "-m"}, args...)...)
	list.Stdout = nil
	text, err := list.Output()
	return strings.TrimSpace(string(text)), err
}

func command(args ...string) *exec.Cmd {
	command := exec.CommandContext(context.Background(), "go", args...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command
}
