package kind

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Without an image of nodes, a kernel that cannot delay packets is known by its own files.
func TestKernelsWithoutNetem(t *testing.T) {
	t.Parallel()
	const (
		release = "6.1.0-13-amd64"
		config  = "proc/config.gz"
		loaded  = "sys/module/sch_netem/refcnt"
		dep     = "lib/modules/" + release + "/modules.dep"
		builtin = "lib/modules/" + release + "/modules.builtin"
		netem   = "kernel/net/sched/sch_netem.ko"
	)
	inside := zipped(t, "CONFIG_NET=y\nCONFIG_NET_SCH_NETEM=y\n")
	unset := zipped(t, "CONFIG_NET=y\n# CONFIG_NET_SCH_NETEM is not set\n")
	module := zipped(t, "CONFIG_NET=y\nCONFIG_NET_SCH_NETEM=m\n")
	for name, test := range map[string]struct {
		kernel string
		files  map[string]string
		want   bool
	}{
		"nobody knows":        {release, nil, false},
		"configured without":  {release, map[string]string{config: unset}, true},
		"another machine's":   {"6.6-linuxkit", map[string]string{config: unset}, false},
		"loaded all the same": {release, map[string]string{config: unset, loaded: "0"}, false},
		"built in":            {release, map[string]string{config: inside}, false},
		"a module, somewhere": {release, map[string]string{config: module}, false},
		"a module that is not": {
			release, map[string]string{config: module, dep: "", builtin: ""}, true,
		},
		"a module that is there": {
			release, map[string]string{config: module, dep: netem + ".zst:\n", builtin: ""}, false,
		},
		"no configuration, built in": {
			release, map[string]string{dep: "", builtin: netem + "\n"}, false,
		},
		"no configuration, none": {release, map[string]string{dep: "", builtin: ""}, true},
		"half a list":            {release, map[string]string{dep: ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			put(t, root, "proc/sys/kernel/osrelease", release+"\n")
			for path, text := range test.files {
				put(t, root, path, text)
			}
			assert.Equal(t, test.want, machine{KernelVersion: test.kernel}.lacksNetem(root))
		})
	}
}

func put(t *testing.T, root, path, text string) {
	t.Helper()
	path = filepath.Join(root, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	packer := gzip.NewWriter(&out)
	_, err := packer.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, packer.Close())
	return out.String()
}
