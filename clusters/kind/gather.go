package kind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"

	"github.com/certquake/certquake/clusters/image"
	"github.com/certquake/certquake/clusters/programs"
	"github.com/certquake/certquake/harness"
)

// nodeRepository is the repository of node images that were built here.
const nodeRepository = "certquake/node"

// stuff is what a cluster is made of, gathered before it is.
type stuff struct {
	nodeImage string
	workload  string   // the name of the workload program's image
	archives  []string // files with images for the workers
	manager   *manager
}

// gather finds or makes everything, the slow parts at the same time.
func (c *cluster) gather(ctx context.Context) (*stuff, error) {
	s := &stuff{}
	err := all(ctx,
		func(ctx context.Context) (err error) {
			s.nodeImage, err = c.nodeImage(ctx)
			return err
		},
		func(ctx context.Context) (err error) {
			s.manager, err = c.findManager(ctx)
			return err
		},
		func(ctx context.Context) error { return c.pack(ctx, s) })
	return s, err
}

// pick returns the image of the nodes, and whether the engine has it.
func (o Options) pick(ctx context.Context, e engine) (name string, here bool, err error) {
	if o.NodeImage != "" {
		return o.NodeImage, e.has(ctx, o.NodeImage), nil
	}
	local, err := e.images(ctx, nodeRepository)
	if err != nil {
		return "", false, err
	}
	if len(local) > 0 {
		return local[0], true, nil
	}
	return defaultNodeImage, e.has(ctx, defaultNodeImage), nil
}

// nodeImage returns the image of the nodes, and pulls it if the engine does not have it.
func (c *cluster) nodeImage(ctx context.Context) (string, error) {
	if c.home.known {
		return c.home.facts.NodeImage, nil
	}
	name, here, err := c.options.pick(ctx, c.engine)
	if err != nil || here {
		return name, err
	}
	harness.Say(ctx, "pulling the node image %s", name)
	if _, err := c.engine.do(ctx, "pull", "--quiet", name); err != nil {
		return "", fmt.Errorf("no node image %s here, and none to be had: %w; build one by "+
			"make node-image, or name one that %s has by --node-image", name, err, c.engine)
	}
	return name, nil
}

// pack makes archives of the images of the workload program and of the further programs.
func (c *cluster) pack(ctx context.Context, s *stuff) error {
	program, err := programs.Workload(ctx, c.options.Bin)
	if err != nil {
		return err
	}
	built, err := image.Build(program)
	if err != nil {
		return fmt.Errorf("make the image of %s: %w", program, err)
	}
	if s.workload, err = image.Ref(built); err != nil {
		return fmt.Errorf("name the image of %s: %w", program, err)
	}
	path := c.file("workload.tar")
	if err = image.WriteDocker(path, s.workload, built); err != nil {
		return fmt.Errorf("write the image of %s: %w", program, err)
	}
	s.archives = []string{path}
	for name, program := range c.options.Images {
		ref, built, err := image.Named(name, program)
		path := c.file(fmt.Sprintf("image-%d.tar", len(s.archives)))
		if err == nil {
			err = image.WriteDocker(path, ref, built)
		}
		if err != nil {
			return fmt.Errorf("make the image %s of %s: %w", name, program, err)
		}
		s.archives = append(s.archives, path)
	}
	return nil
}

// furnish gives every node the images that it needs, as soon as its container takes them.
func (c *cluster) furnish(ctx context.Context, s *stuff) error {
	nodes, err := c.find(ctx)
	if err != nil {
		return err
	}
	return all(ctx,
		func(ctx context.Context) error { return c.furnishWorkers(ctx, nodes, s) },
		func(ctx context.Context) error { return c.furnishControl(ctx, nodes, s) })
}

// furnishWorkers loads the workload's images into every worker.
func (c *cluster) furnishWorkers(ctx context.Context, nodes []node, s *stuff) error {
	begun := time.Now()
	var tasks []func(context.Context) error
	for _, n := range nodes {
		if n.String() == controlName(c.home.name) {
			continue
		}
		tasks = append(tasks, func(ctx context.Context) error {
			return n.load(ctx, s.archives...)
		})
	}
	err := all(ctx, tasks...)
	for _, path := range s.archives {
		err = errors.Join(err, discard(path))
	}
	if err == nil {
		harness.Say(ctx, "the workers have the image %s after %s", s.workload,
			time.Since(begun).Round(time.Second))
	}
	return err
}

// nameLocal gives the images $@ the names that a kubelet asks for, where they have Podman's for
// what was built here.
const nameLocal = `for image; do
  ctr --namespace=k8s.io images ls -q | grep -qx "docker.io/$image" ||
    ctr --namespace=k8s.io images tag "localhost/$image" "docker.io/$image"
done`

// furnishControl loads those of cert-manager's images that the engine has into the control plane.
// Those that were built here it has from nowhere else; the others it can pull, as it does those
// that the engine does not have.
func (c *cluster) furnishControl(ctx context.Context, nodes []node, s *stuff) error {
	var built, published []string
	for _, name := range s.manager.images() {
		switch {
		case !c.engine.has(ctx, name):
		case strings.HasPrefix(name, managerRepository):
			built = append(built, name)
		default:
			published = append(published, name)
		}
	}
	at := slices.IndexFunc(nodes, func(n node) bool {
		return n.String() == controlName(c.home.name)
	})
	if at < 0 {
		return fmt.Errorf("cluster %s has no node %s", c.home.name, controlName(c.home.name))
	}
	if err := c.handOver(ctx, nodes[at], "", built); err != nil {
		return err
	}
	if _, err := nodes[at].sh(ctx, nameLocal, built...); err != nil {
		return fmt.Errorf("name the images that were built here: %w", err)
	}
	return c.offer(ctx, nodes[at], published)
}

// offer loads images into a node that can pull them by itself, and leaves that to it where loading
// fails.
func (c *cluster) offer(ctx context.Context, to node, images []string) error {
	if len(images) == 0 {
		return nil
	}
	platform, err := c.engine.platform(ctx)
	if err == nil {
		err = c.handOver(ctx, to, platform, images)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	harness.Say(ctx, "%s pulls %s by itself, since it could not be given what %s has: %v", to,
		strings.Join(images, ", "), c.engine, err)
	// A half of an image would be in the way of a whole one. Where there is none, ctr says so.
	_, _ = to.sh(ctx, `ctr --namespace=k8s.io images rm "$@"`, images...)
	return nil
}

// handOver loads images of the engine into a node: their part for one platform, or all that there
// is of them.
func (c *cluster) handOver(ctx context.Context, to node, platform string, images []string) error {
	if len(images) == 0 {
		return nil
	}
	path := c.file("cert-manager.tar")
	args := []string{"save", "-o", path}
	if platform != "" {
		args = append(args, "--platform", platform)
	}
	if c.engine == "podman" {
		args = append(args, "--multi-image-archive")
	}
	_, err := c.engine.do(ctx, append(args, images...)...)
	if err == nil {
		err = to.load(ctx, path)
	}
	return errors.Join(err, discard(path))
}

// platformAPI is the first version of Docker's API that saves one platform of an image. Without
// that, what Docker with containerd's store saves of an image for many platforms names those too
// that it never pulled, and a node refuses it.
const platformAPI = "1.48"

// platform returns the platform of the nodes, if the engine can save images of that alone.
func (e engine) platform(ctx context.Context) (string, error) {
	if e != "docker" { // Podman has one platform of an image
		return "", nil
	}
	text, err := e.do(ctx, "version", "--format", "{{json .}}")
	if err != nil {
		return "", err
	}
	return readPlatform([]byte(text))
}

// readPlatform is platform of what docker version says. The client's version of the API is the one
// that both it and the server speak.
func readPlatform(text []byte) (string, error) {
	var said struct {
		Client struct {
			APIVersion string `json:"ApiVersion"`
		} `json:"Client"`
		Server struct {
			OS   string `json:"Os"`
			Arch string `json:"Arch"`
		} `json:"Server"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return "", fmt.Errorf("docker version: %w", err)
	}
	spoken, err := version.ParseGeneric(said.Client.APIVersion)
	if err != nil {
		return "", fmt.Errorf("docker version: %w", err)
	}
	if !spoken.AtLeast(version.MustParseGeneric(platformAPI)) {
		return "", nil
	}
	return said.Server.OS + "/" + said.Server.Arch, nil
}

// load loads archives of images into a node, as soon as its containerd answers.
func (n node) load(ctx context.Context, archives ...string) error {
	err := until(ctx, "start containerd on "+n.String(), askEvery, containersMax,
		func(ctx context.Context) (bool, error) {
			_, err := n.sh(ctx, "ctr --namespace=k8s.io version")
			return err == nil, err
		})
	if err != nil {
		return err
	}
	for _, path := range archives {
		if err := n.loadOne(path); err != nil {
			return fmt.Errorf("load an image into %s: %w", n, explain(err))
		}
	}
	return nil
}

func (n node) loadOne(path string) error {
	archive, err := os.Open(path) //nolint:gosec // a file that was just written
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }()
	return nodeutils.LoadImageArchive(n.Node, archive)
}
