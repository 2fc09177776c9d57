//go:build unix

package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every example of every command's help works as it stands.
func TestExamples(t *testing.T) {
	t.Parallel()
	commands := []string{
		"", "run", "plan", "validate", "report", "list", "schema", "completion", "version", "help",
		"image", "rotator", "rotator crd", "rotator rbac", "rotator manifest",
	}
	for _, name := range commands {
		t.Run("certquake "+name, func(t *testing.T) {
			t.Parallel()
			help, err := exec.Command("certquake", strings.Fields(name+" --help")...).Output()
			require.NoError(t, err)
			_, examples, found := strings.Cut(string(help), "\nExamples:\n")
			require.True(t, found, "%s", help)
			lines := strings.Split(strings.TrimSpace(examples), "\n")
			require.Len(t, lines, 2, "%s", examples)
			dir := exampleFolder(t, name)
			for _, line := range lines {
				// The place of the run is the only thing that is not the example's own.
				line = strings.ReplaceAll(line, "/tmp/", dir+"/")
				cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", line)
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s\n%s", line, out)
			}
		})
	}
}

// exampleFolder is the folder that the examples speak of.
func exampleFolder(t *testing.T, command string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "scenarios"), 0o755))
	for _, path := range []string{"my-scenario.yaml", "scenarios/mine.yaml"} {
		text := shared["tiny.yaml"]
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644))
	}
	for _, path := range []string{"akka-pki.yaml", "scenarios/akka-pki.yaml"} {
		text := shared["akka-pki.yaml"]
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644))
	}
	if command == "report" {
		cmd := exec.Command("certquake",
			"run", "-q", "my-scenario.yaml", "--out", "runs/akka-rotation-1")
		cmd.Dir = dir
		require.NoError(t, cmd.Run())
	}
	return dir
}
