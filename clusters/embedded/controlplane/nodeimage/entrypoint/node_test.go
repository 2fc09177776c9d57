package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReplaceAddressLeavesLongerOnes(t *testing.T) {
	const text = "--node-ip=172.18.0.2 https://172.18.0.2:6443 172.18.0.21 1172.18.0.2"
	assert.Equal(t, "--node-ip=172.18.0.9 https://172.18.0.9:6443 172.18.0.21 1172.18.0.2",
		replaceAddress(text, "172.18.0.2", "172.18.0.9"))
}

func TestCapable(t *testing.T) {
	for _, row := range []struct {
		name, status string
		want         bool
	}{
		{"all", "Name:\tx\nCapBnd:\t000001ffffffffff\n", true},
		{"all but one", "Name:\tx\nCapBnd:\t000001fffeffffff\n", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := capable(row.status, 24)
			require.NoError(t, err)
			assert.Equal(t, row.want, got)
		})
	}
	_, err := capable("Name:\tx\n", 24)
	assert.Error(t, err)
}

func TestConfigureSetsTwoValuesAndNothingElse(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "files", "containerd.toml"))
	require.NoError(t, err)
	shipped := string(text)
	assert.Equal(t, shipped, configure(shipped, false, ""))
	got := configure(shipped, true, "native")
	assert.Contains(t, got, "\nrestrict_oom_score_adj = true\n")
	assert.Contains(t, got, "\nsnapshotter = \"native\"\n")
	assert.Equal(t, shipped, configure(got, false, "overlayfs"))
}

func TestMountPoints(t *testing.T) {
	const mountinfo = `31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:1 master:2 - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
42 31 0:39 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
`
	assert.Equal(t, []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/pids"},
		mountPoints(mountinfo, "cgroup"))
}

func TestOutsideGroup(t *testing.T) {
	assert.Empty(t, outsideGroup("3:cpu:/\n1:name=systemd:/\n0::/\n"))
	assert.Equal(t, "/docker/4711", outsideGroup("3:cpu:/docker/4711\n0::/\n"))
}

func TestWithout(t *testing.T) {
	const table = "#subsys_name\thierarchy\ncpu\t1\nmisc\t2\npids\t8\n"
	assert.Equal(t, "#subsys_name\thierarchy\ncpu\t1\npids\t8\n", without(table, "misc"))
}

func TestEnable(t *testing.T) {
	assert.Equal(t, "+cpuset +cpu +memory", enable("cpuset cpu memory\n"))
}

func TestOnceKeepsWhatThereIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "id")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, once(path, "first"))
	require.NoError(t, once(path, "second"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "first\n", string(text))
}

func TestNewUUID(t *testing.T) {
	one, other := newUUID(), newUUID()
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, one)
	assert.NotEqual(t, one, other)
}
