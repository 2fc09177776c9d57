package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// commands makes a folder of commands the only one on the path.
func commands(t *testing.T, scripts map[string]string) {
	t.Helper()
	folder := t.TempDir()
	for name, script := range scripts {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	}
	t.Setenv("PATH", folder)
}

// Podman's command says what it is, by whatever name it is called.
const podmanSays = `case $1 in
-v) echo "podman version 5.4.2" ;;
info) [ "$3" = "{{.Host.OS}}/{{.Host.Arch}}" ] && echo linux/` + runtime.GOARCH + ` ;;
*) exit 1 ;;
esac`

func TestFindEngine(t *testing.T) {
	docker20 := `echo "Docker version 20.10.24, build 297e128"`
	for name, test := range map[string]struct {
		scripts map[string]string
		want    engine
		err     string
	}{
		"docker":       {map[string]string{"docker": docker20}, docker, ""},
		"both":         {map[string]string{"docker": docker20, "podman": podmanSays}, docker, ""},
		"podman alone": {map[string]string{"podman": podmanSays}, podman, ""},
		"podman by both names": {
			map[string]string{"docker": podmanSays, "podman": podmanSays}, podman, "",
		},
		"none": {nil, "", "no docker, and no podman"},
	} {
		t.Run(name, func(t *testing.T) {
			commands(t, test.scripts)
			got, err := findEngine(t.Context())
			assert.Equal(t, test.want, got)
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
		})
	}
}

func TestNeedEngineAsksWhatItRuns(t *testing.T) {
	commands(t, map[string]string{"podman": podmanSays})
	found, err := needEngine(t.Context())
	require.NoError(t, err)
	assert.Equal(t, podman, found)
	commands(t, map[string]string{
		"docker": `[ "$1" = -v ] && echo "Docker version 28" || echo linux/s390x`,
	})
	_, err = needEngine(t.Context())
	require.ErrorContains(t, err, "but docker runs linux/s390x: build where it runs")
}
