package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config returns a config that does nothing, on free ports.
func config(t *testing.T) string {
	t.Helper()
	return `{"pod": "a", "mount": "` + filepath.ToSlash(t.TempDir()) + `", "state": "",
		"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "policy": {"kind": "start-up"},
		"read": {"trust": "bundle"}, "tls": {"min_version": 771},
		"horizon_ns": 1000, "deadline_ns": 1000}`
}

// result is how a command line ended.
type result struct {
	code        int
	stdout, err string
}

// invoke runs a command line that is told to end at once.
func invoke(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := program(ctx, args, streams{strings.NewReader(stdin), &stdout, &stderr})
	return result{code, stdout.String(), stderr.String()}
}

func TestConfigComesFromThreePlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peer.json")
	require.NoError(t, os.WriteFile(file, []byte(config(t)), 0o600))
	for name, got := range map[string]result{
		"text":  invoke(t, "", "peers", "--config", config(t)),
		"file":  invoke(t, "", "peers", "--config", "@"+file),
		"stdin": invoke(t, config(t), "peers", "--config", "-"),
	} {
		assert.Equal(t, 0, got.code, "%s: %s", name, got.err)
		assert.Empty(t, got.stdout, name)
		assert.Contains(t, got.err, "msg=ended pod=a", name)
	}
}

func TestWrongUsage(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		err  string
	}{
		"no config":       {[]string{"peers"}, "workload peers needs --config"},
		"no such file":    {[]string{"peers", "--config", "@/nowhere"}, "open config: "},
		"unknown field":   {[]string{"peers", "--config", `{"pood": "a"}`}, `unknown field "pood"`},
		"empty config":    {[]string{"peers", "--config", "{}"}, "pod is missing; mount"},
		"argument":        {[]string{"peers", "x"}, `takes no argument, got "x"`},
		"no tokens":       {[]string{"tokens"}, "workload tokens needs --config"},
		"empty tokens":    {[]string{"tokens", "--config", "{}"}, "role is \"\", want issuer or"},
		"unknown flag":    {[]string{"peers", "--confg", "x"}, "unknown flag: --confg"},
		"unknown command": {[]string{"services"}, `no command "services"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := invoke(t, "", test.args...)
			assert.Equal(t, exitUsage, got.code)
			assert.Contains(t, got.err, "workload: ")
			assert.Contains(t, got.err, test.err)
			assert.Contains(t, got.err, "workload: hint: ")
			assert.Empty(t, got.stdout)
		})
	}
}

func TestPortThatCannotBeHad(t *testing.T) {
	got := invoke(t, "", "peers", "--config",
		strings.Replace(config(t), `"admin": "127.0.0.1:0"`, `"admin": "192.0.2.1:1"`, 1))
	assert.Equal(t, exitFailed, got.code)
	assert.Contains(t, got.err, "workload: listen for commands: ")
}

func TestHelpTeaches(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"peers", "--help"}, {}} {
		got := invoke(t, "", args...)
		assert.Equal(t, 0, got.code)
		assert.Contains(t, got.stdout, "Examples:\n  workload peers --config @peer.json")
	}
	example := newPeers(streams{}).Long
	example = example[strings.Index(example, "{"):]
	example = example[:strings.Index(example, "\n  }")+4]
	got := invoke(t, "", "peers", "--config",
		strings.NewReplacer("/state", "", ":7443\",", "127.0.0.1:0\",", ":7480", "127.0.0.1:0").
			Replace(example))
	assert.Equal(t, 0, got.code, "the config in the help works: %s", got.err)
	example = newTokens(streams{}).Long
	example = example[strings.Index(example, "{"):]
	example = example[:strings.Index(example, "\n  }")+4]
	got = invoke(t, "", "tokens", "--config",
		strings.NewReplacer("/state", "", ":7443\",", "127.0.0.1:0\",", ":7480", "127.0.0.1:0").
			Replace(example))
	assert.Equal(t, 0, got.code, "the config in the help works: %s", got.err)
	assert.Contains(t, got.err, "msg=ended pod=v-0")
}

// The binary is in every pod: it stays small by knowing no scenario and no cluster.
func TestBinaryKnowsNoCluster(t *testing.T) {
	list, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	deps := strings.Fields(string(list))
	require.Subset(t, deps, []string{
		"github.com/certquake/certquake/workloads/bearer",
		"github.com/certquake/certquake/workloads/peer",
	})
	for _, dep := range deps {
		for _, foreign := range []string{
			"k8s.io/", "sigs.k8s.io/", "github.com/cert-manager/",
			"github.com/certquake/certquake/scenarios", "github.com/certquake/certquake/reports",
			"github.com/certquake/certquake/clusters", "github.com/certquake/certquake/harness/cli",
			"github.com/certquake/certquake/harness/sim", "gonum.org/", "testing",
		} {
			assert.False(t, strings.HasPrefix(dep, foreign), dep)
		}
		assert.NotEqual(t, "github.com/certquake/certquake/harness", dep)
	}
}
