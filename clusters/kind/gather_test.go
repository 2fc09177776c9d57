package kind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"

	"github.com/certquake/certquake/harness"
)

func TestPlatformOfTheEngine(t *testing.T) {
	t.Parallel()
	said := func(api string) []byte {
		return fmt.Appendf(nil, `{"Client":{"Version":"28.2.2","ApiVersion":%q,`+
			`"DefaultAPIVersion":"1.50"},"Server":{"Os":"linux","Arch":"arm64"}}`, api)
	}
	for api, want := range map[string]string{
		"1.9": "", "1.41": "", "1.47": "", "1.48": "linux/arm64", "1.50": "linux/arm64",
	} {
		got, err := readPlatform(said(api))
		require.NoError(t, err, api)
		assert.Equal(t, want, got, api)
	}
	_, err := readPlatform(said(""))
	require.Error(t, err)
}

// importer is a node that takes archives but those with the word that it refuses.
type importer struct {
	nodes.Node
	refuses string
	took    []string
	removed []string
}

func (i *importer) String() string { return controlName("") }

func (i *importer) CommandContext(_ context.Context, name string, args ...string) exec.Cmd {
	return i.Command(name, args...)
}

func (i *importer) Command(name string, args ...string) exec.Cmd {
	line := name + " " + strings.Join(args, " ")
	return &told{run: func(input string) (string, error) {
		switch {
		case strings.Contains(line, "config dump"):
			return "version = 3\n[plugins.'io.containerd.cri.v1.images']\n" +
				"snapshotter = 'native'\n", nil
		case strings.Contains(line, "images rm"):
			i.removed = append(i.removed, args[3:]...)
		case strings.Contains(line, "images import"):
			if i.refuses != "" && strings.Contains(input, i.refuses) {
				return "", errRefused
			}
			i.took = append(i.took, input)
		}
		return "", nil
	}}
}

// docker is the engine's command for tests of what it is asked: it saves the words of its command.
const docker = `#!/bin/sh
case $1 in
version) echo '{"Client":{"ApiVersion":"API"},"Server":{"Os":"linux","Arch":"amd64"}}' ;;
image) [ "$3" != absent ] ;;
save) shift; [ "$1" = -o ] && out=$2 && shift 2 && echo "$*" >"$out" ;;
*) exit 1 ;;
esac
`

// Of images for many platforms one is saved where the engine can do that. What the node can pull it
// need not be given; what was built here it must have.
func TestImagesOfTheControlPlane(t *testing.T) {
	const (
		published = "quay.io/jetstack/cert-manager-webhook:v1"
		built     = managerRepository + "webhook:v1"
	)
	for name, test := range map[string]struct {
		api     string
		images  []string
		refuses string
		took    []string
		removed []string
		said    string
		err     error
	}{
		"an engine that saves one platform": {
			api: "1.48", images: []string{published, "absent", built},
			took: []string{built, "--platform linux/amd64 " + published},
		},
		"an older engine": {api: "1.41", images: []string{published}, took: []string{published}},
		"an image that the node can pull": {
			api: "1.41", images: []string{published}, refuses: "jetstack",
			removed: []string{published}, said: "pulls " + published + " by itself",
		},
		"an image that it cannot": {
			api: "1.48", images: []string{built, published}, refuses: managerRepository,
			err: errRefused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			put(t, bin, "docker", strings.Replace(docker, "API", test.api, 1))
			require.NoError(t, os.Chmod(filepath.Join(bin, "docker"), 0o700))
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			var said []string
			ctx := harness.WithTalk(t.Context(), func(line string) { said = append(said, line) })
			to := &importer{refuses: test.refuses}
			c := &cluster{engine: "docker", home: &holding{dir: t.TempDir()}}
			err := c.furnishControl(ctx, []node{{to}}, &stuff{manager: &manager{uses: test.images}})
			require.ErrorIs(t, err, test.err)
			for i := range to.took {
				to.took[i] = strings.TrimSpace(to.took[i])
			}
			assert.Equal(t, test.took, to.took)
			assert.Equal(t, test.removed, to.removed)
			assert.Contains(t, strings.Join(said, "\n"), test.said)
			left, err := os.ReadDir(c.home.dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}
