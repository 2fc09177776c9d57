package cli_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/cli"
)

// keeping is a backend whose clusters are a kubeconfig. How one behaves is its first node's name.
type keeping struct{ cli.Backend }

func (keeping) Name() string { return "pretend" }

// Flags implements cli.Configurable with settings that change nothing.
func (keeping) Flags(flags *pflag.FlagSet) {
	flags.String("context", "", "`NAME` of a context")
	flags.Bool("allow-partial", false, "leave out what is not to be had")
	flags.String("manifest", "", "`FILE|URL` of a manifest")
}

func (keeping) Keep(ctx context.Context, spec cli.ClusterSpec) (cli.Kept, error) {
	harness.Say(ctx, "starting %d nodes", len(spec.Nodes))
	manner := spec.Nodes[0].Name
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		return cli.Kept{}, err
	}
	switch manner {
	case "refuses":
		return cli.Kept{}, errors.Join(errors.New("no room"), os.RemoveAll(spec.Dir))
	case "fails":
		err := os.WriteFile(filepath.Join(spec.Dir, "log"), []byte("oh"), 0o600)
		return cli.Kept{}, errors.Join(errors.New("a part ended; its log is here"), err)
	case "panics":
		panic("keeper in trouble")
	case "slow":
		<-ctx.Done()
		return cli.Kept{}, errors.Join(context.Cause(ctx), os.RemoveAll(spec.Dir))
	}
	path := filepath.Join(spec.Dir, "kubeconfig")
	text := "kind: Config # " + spec.Images["my/image"] + "\n"
	broken := make(chan struct{})
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(spec.Dir, "break")); err == nil {
				close(broken)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return cli.Kept{
		Kubeconfig: path, Broken: broken,
		Cause: func() error { return errors.New("the kubelet is gone") },
		Down: func(context.Context) error {
			if manner == "clings" {
				return errors.New("a container is busy")
			}
			return os.Remove(path)
		},
	}, os.WriteFile(path, []byte(text), 0o600)
}

// sweeping is one of which more is left than the kubeconfig when its keeper is killed. Where there
// is a file stuck, that cannot be removed.
type sweeping struct{ keeping }

func (sweeping) Sweep(_ context.Context, dir string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(dir, "stuck")); err == nil {
		return nil, errors.New("the engine is busy")
	}
	left := filepath.Join(dir, "..", "..", "containers")
	return []string{left}, os.Remove(left)
}
