package main

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHashInputsSeesWhatEndsInTheImages(t *testing.T) {
	module := func(more ...string) fstest.MapFS {
		files := fstest.MapFS{
			"go.mod": {}, "go.sum": {}, "webhookshim/a.go": {}, "certmanager/a.go": {},
			"nodeimage/a.go": {},
		}
		for _, path := range more {
			files[path] = &fstest.MapFile{}
		}
		return files
	}
	hash := func(files fstest.MapFS, words ...string) string {
		got, err := hashInputs(files, words...)
		require.NoError(t, err)
		return got
	}
	same := hash(module(), "amd64")
	assert.Len(t, same, 32)
	for name, other := range map[string]string{
		"test": hash(module("nodeimage/a_test.go"), "amd64"),
		"CRD":  hash(module("certmanager/crds/a.yaml"), "amd64"),
		"e2e":  hash(module("e2e/a.go"), "amd64"),
	} {
		assert.Equal(t, same, other, name)
	}
	changed := module()
	changed["go.sum"] = &fstest.MapFile{Data: []byte("x")}
	for name, other := range map[string]string{
		"source":       hash(module("nodeimage/b.go"), "amd64"),
		"architecture": hash(module(), "arm64"),
		"versions":     hash(changed, "amd64"),
	} {
		assert.NotEqual(t, same, other, name)
	}
}

func TestByProgram(t *testing.T) {
	got, err := byProgram(
		"r.example/kube-proxy:v1\nr.example/a/coredns:v2\nr.example:5000/pause:3\n")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"kube-proxy": "r.example/kube-proxy:v1", "coredns": "r.example/a/coredns:v2",
		"pause": "r.example:5000/pause:3",
	}, got)
	for _, text := range []string{"r.example/kube-proxy:v1", "r.example/pause"} {
		_, err := byProgram(text)
		require.Error(t, err, text)
	}
}

func TestStamps(t *testing.T) {
	got, err := (&plan{kubernetes: "v1.36.3", certManager: "v1.21.2"}).stamps()
	require.NoError(t, err)
	assert.Contains(t, got, "version.gitVersion=v1.36.3 ")
	assert.Contains(t, got, "version.gitMinor=36 ")
	_, err = (&plan{kubernetes: "v1"}).stamps()
	assert.ErrorContains(t, err, "three parts")
}
