package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChooseServices(t *testing.T) {
	for name, c := range map[string]struct {
		wanted     string
		has        bool
		want, fail string
	}{
		"automatic with nft":    {"", true, kubeProxy, ""},
		"automatic without nft": {"", false, relay, ""},
		"relay with nft":        {relay, true, relay, ""},
		"kube-proxy with nft":   {kubeProxy, true, kubeProxy, ""},
		"kube-proxy without nft": {
			kubeProxy, false, "", "install the package nftables",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("PATH", dir)
			if c.has {
				require.NoError(t, os.WriteFile(filepath.Join(dir, nft), nil, 0o755))
			}
			got, err := chooseServices(c.wanted)
			assert.Equal(t, c.want, got)
			if c.fail != "" {
				require.ErrorContains(t, err, c.fail)
				return
			}
			assert.NoError(t, err)
		})
	}
}

func TestFindNeeded(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := findNeeded()
	for _, name := range Needed() {
		require.ErrorContains(t, err, "the kubelet needs "+name)
	}
}
