package kind

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"

	"github.com/certquake/certquake/clusters/programs"
)

// The files of a cluster's folder. The process that uses the cluster holds the lock for as long as
// it lives: a cluster whose lock is free, and that is not to stay, is left over.
const (
	lockFile       = "lock"
	factsFile      = "cluster.json"
	kubeconfigFile = "kubeconfig"
	homeLockFile   = ".lock" // of the folder of all folders
)

// namePrefix begins the names of clusters that are given none.
const namePrefix = "certquake-"

// errInUse is of a cluster that another process uses.
var errInUse = errors.New("another run uses the cluster")

// errLeftOver is of a cluster whose process was killed.
var errLeftOver = errors.New("it is left over from a run that was killed: " +
	"certquake cluster prune removes it")

// facts are what is remembered of a cluster.
type facts struct {
	Engine      engine    `json:"engine"`
	Created     time.Time `json:"created"`
	Kept        bool      `json:"kept,omitempty"` // it stays when its run has ended
	Kubeconfig  string    `json:"kubeconfig"`
	NodeImage   string    `json:"node_image,omitempty"`
	CertManager string    `json:"cert_manager,omitempty"` // its version
}

// holding is a cluster's folder, whose lock this process holds. The name is the cluster's and its
// network's.
type holding struct {
	name  string
	dir   string
	known bool // it was there before
	facts facts
	lock  *os.File
}

// homeDir is where the folders of all clusters of this user are.
func homeDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for clusters: %w; set XDG_CACHE_HOME to a folder", err)
	}
	return filepath.Join(cache, "certquake", "kind"), nil
}

// claim takes the folder of the cluster that the options name, or a new one.
func (o Options) claim(ctx context.Context, e engine) (*holding, error) {
	home, err := homeDir()
	if err != nil {
		return nil, err
	}
	name := o.Cluster
	if name == "" {
		name = namePrefix + token()
	}
	h, err := claim(ctx, home, name)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	if h.known {
		return h, nil
	}
	h.facts = facts{
		Engine: e, Created: time.Now(), Kubeconfig: filepath.Join(h.dir, kubeconfigFile),
	}
	if o.Dir != "" {
		h.facts.Kubeconfig, err = filepath.Abs(filepath.Join(o.Dir, kubeconfigFile))
		err = errors.Join(err, os.MkdirAll(o.Dir, 0o700))
	}
	if err = errors.Join(err, h.write()); err != nil {
		return nil, errors.Join(err, h.forget())
	}
	return h, nil
}

// token returns letters and digits that no other cluster's name has.
func token() string {
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// nameMax leaves room for what kind appends: a host's name has 63 letters.
const nameMax = 40

func checkName(name string) error {
	ok := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`).MatchString(name)
	if len(name) > nameMax || !ok {
		return fmt.Errorf("--cluster %q is not up to %d lower-case letters, digits and '-'", name,
			nameMax)
	}
	return nil
}

// claim makes or finds the folder of a cluster and takes its lock.
func claim(ctx context.Context, home, name string) (*holding, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	unlock, err := lockHome(ctx, home)
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir := filepath.Join(home, name)
	err = os.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	h, free, err := take(dir)
	if err == nil && !free {
		err = fmt.Errorf("%w (%s)", errInUse, dir)
	}
	if err == nil && h.known && !h.facts.Kept {
		err = errors.Join(errLeftOver, h.release())
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// take takes the lock of a folder, unless somebody living has it.
func take(dir string) (*holding, bool, error) {
	//nolint:gosec // a file in a folder of our own
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, err
	}
	free, err := programs.TryLock(lock)
	if err != nil || !free {
		return nil, false, errors.Join(err, lock.Close())
	}
	h := &holding{name: filepath.Base(dir), dir: dir, lock: lock}
	text, err := os.ReadFile(filepath.Join(dir, factsFile)) //nolint:gosec // likewise
	if err == nil {
		h.known, err = true, json.Unmarshal(text, &h.facts)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, errors.Join(fmt.Errorf("read %s: %w", factsFile, err), lock.Close())
	}
	return h, true, nil
}

// homeWait is the time between two attempts to take the lock of all folders.
const homeWait = 20 * time.Millisecond

// lockHome keeps other processes from making folders and from looking which are left over.
func lockHome(ctx context.Context, home string) (unlock func(), err error) {
	if err = os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("make a place for clusters: %w", err)
	}
	//nolint:gosec // a file in a folder of our own
	file, err := os.OpenFile(filepath.Join(home, homeLockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(homeWait)
	defer tick.Stop()
	for {
		free, err := programs.TryLock(file)
		if free {
			return func() { _ = file.Close() }, nil
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), file.Close())
		}
	}
}

func (h *holding) kubeconfig() string { return h.facts.Kubeconfig }

// keep notes that the cluster is to stay.
func (h *holding) keep() error {
	h.facts.Kept = true
	return h.write()
}

func (h *holding) write() error {
	text, err := json.MarshalIndent(h.facts, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(h.dir, factsFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// release leaves the cluster to others.
func (h *holding) release() error { return h.lock.Close() }

// forget removes the folder.
func (h *holding) forget() error {
	err := os.RemoveAll(h.dir)
	return errors.Join(err, h.release())
}

// remove removes the cluster: its containers with their volumes, its network and its folder, which
// goes last so that what could not be removed is found again.
func (h *holding) remove(ctx context.Context) error {
	provider := kindcluster.NewProvider(h.facts.Engine.option())
	done := make(chan error, 1)
	go func() { done <- provider.Delete(h.name, h.facts.Kubeconfig) }()
	select {
	case err := <-done:
		if err != nil {
			return errors.Join(fmt.Errorf("remove the containers of %s: %w", h.name, explain(err)),
				h.release())
		}
	case <-ctx.Done(): // kind takes no context; the containers go when the engine has time
		return errors.Join(fmt.Errorf("remove the containers of %s: %w", h.name,
			context.Cause(ctx)), h.release())
	}
	if err := h.facts.Engine.removeNetwork(ctx, h.name); err != nil {
		return errors.Join(fmt.Errorf("remove the network %s: %w", h.name, err), h.release())
	}
	err := os.Remove(h.facts.Kubeconfig)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	_ = os.Remove(h.facts.Kubeconfig + ".lock") // kind's own, of no use to anybody
	return errors.Join(err, h.forget())
}
