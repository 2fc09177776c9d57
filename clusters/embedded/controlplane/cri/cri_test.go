package cri

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestImageName(t *testing.T) {
	for reference, want := range map[string]string{
		"certquake/workload":                  "certquake/workload",
		"certquake/workload:v1":               "certquake/workload",
		"docker.io/library/nginx:1.2":         "nginx",
		"registry:5000/app":                   "registry:5000/app",
		"registry:5000/app:v1@sha256:0123456": "registry:5000/app",
	} {
		assert.Equal(t, want, imageName(reference), reference)
	}
}

func TestRunnable(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755))
	require.ErrorContains(t, runnable(script), "is no executable of this machine")
	if _, err := os.Stat("/bin/ls"); err == nil {
		assert.ErrorContains(t, runnable("/bin/ls"), "CGO_ENABLED=0")
	}
}

// TestAddresses goes round a range of four usable addresses and finds the freed one last.
func TestAddresses(t *testing.T) {
	a := newAddresses(netip.MustParsePrefix("10.244.1.0/29"))
	var got []string
	for range 6 {
		address, err := a.take()
		require.NoError(t, err)
		got = append(got, address.String())
	}
	assert.Equal(t, strings.Fields(
		"10.244.1.1 10.244.1.2 10.244.1.3 10.244.1.4 10.244.1.5 10.244.1.6"), got)
	_, err := a.take()
	require.ErrorIs(t, err, errNoAddress)
	a.release(netip.MustParseAddr("10.244.1.3"))
	address, err := a.take()
	require.NoError(t, err)
	assert.Equal(t, "10.244.1.3", address.String())
}

// TestLog splits long lines, marks pieces, and keeps a last line without its end.
func TestLog(t *testing.T) {
	log := &logFile{path: filepath.Join(t.TempDir(), "pod", "0.log")}
	require.NoError(t, log.open())
	log.copy("stdout", strings.NewReader("one\n"+strings.Repeat("x", logLineMax+5)+"\nlast"))
	log.close()
	text, err := os.ReadFile(log.path)
	require.NoError(t, err)
	var got []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		require.Len(t, fields, 4)
		got = append(got, fields[1]+" "+fields[2]+" "+fields[3][:min(5, len(fields[3]))])
	}
	assert.Equal(t, []string{
		"stdout F one", "stdout P xxxxx", "stdout F xxxxx", "stdout P last",
	}, got)
}

func TestOutcome(t *testing.T) {
	code, reason := outcome(nil)
	assert.Equal(t, int32(0), code)
	assert.Equal(t, "Completed", reason)
	code, reason = outcome(errors.New("other"))
	assert.Equal(t, int32(255), code)
	assert.Equal(t, "Error", reason)
}
