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
var errInUse = errors.New("another run uses the cluster: wait for it, or choose another --cluster")

// errLeftOver is of a cluster whose process was killed.
var errLeftOver = errors.New("it is left over from a run that was killed: " +
	"certquake cluster prune removes it")

// facts are what is remembered of a cluster.
type facts struct {
	Engine        engine    `json:"engine"`
	EngineID      string    `json:"engine_id,omitempty"` // which of several
	Created       time.Time `json:"created"`
	Begun         bool      `json:"begun,omitempty"` // its containers and its network may be there
	Kept          bool      `json:"kept,omitempty"`  // it stays when its run has ended
	Kubeconfig    string    `json:"kubeconfig"`
	NodeImage     string    `json:"node_image,omitempty"`
	CertManager   string    `json:"cert_manager,omitempty"` // its version
	ManagerSource string    `json:"cert_manager_source,omitempty"`
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

// claim takes the folder of the cluster that the options name, or a new one, and finds the place of
// the cluster.
func (o Options) claim(ctx context.Context) (*holding, site, error) {
	home, err := homeDir()
	if err != nil {
		return nil, site{}, err
	}
	name := o.Cluster
	if name == "" {
		name = namePrefix + token()
	}
	h, err := claim(ctx, home, name)
	if err != nil {
		return nil, site{}, fmt.Errorf("cluster %s: %w", name, err)
	}
	var there *facts
	if h.known {
		there = &h.facts
	}
	s, err := o.site(ctx, name, there)
	if err == nil && !h.known {
		err = h.note(s, o.Dir)
	}
	switch {
	case err == nil:
		return h, s, nil
	case h.known:
		return nil, site{}, errors.Join(err, h.release())
	}
	return nil, site{}, errors.Join(err, h.forget())
}

// note writes down what is known of a cluster before it is made, whose kubeconfig is to be in dir.
func (h *holding) note(s site, dir string) (err error) {
	h.facts = facts{
		Engine: s.engine, EngineID: s.machine.ID, Created: time.Now(),
		Kubeconfig: filepath.Join(h.dir, kubeconfigFile),
	}
	if dir != "" {
		h.facts.Kubeconfig, err = filepath.Abs(filepath.Join(dir, kubeconfigFile))
		err = errors.Join(err, os.MkdirAll(dir, 0o700))
	}
	return errors.Join(err, h.write())
}

// token returns letters and digits that no other cluster's name has.
func token() string {
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// nameMax leaves room for what kind appends: a host's name has 63 letters.
const nameMax = 40

// checkName refuses what cannot be the name of a cluster and of its network. Engines have networks
// of their own, not all of which they list, and kind has one that all its clusters share.
func checkName(name string) error {
	ok := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`).MatchString(name)
	if len(name) > nameMax || !ok {
		return wrong("--cluster %q is not up to %d lower-case letters, digits and '-'", name,
			nameMax)
	}
	switch name {
	case "bridge", "container", "default", "host", "kind", "none", "pasta", "podman", "private",
		"slirp4netns":
		return wrong("--cluster %s: a network of this name has another meaning: choose another",
			name)
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

// begin notes that the cluster is made from now on: what bears its name is then its own.
func (h *holding) begin(stuff *stuff) error {
	h.facts.Begun, h.facts.NodeImage = true, stuff.nodeImage
	h.facts.CertManager, h.facts.ManagerSource = stuff.manager.version, stuff.manager.source
	return h.write()
}

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
// goes last so that what could not be removed is found again. Of one whose making has not begun
// nothing is there, and what bears its name is somebody else's.
func (h *holding) remove(ctx context.Context) error {
	if !h.facts.Begun {
		return h.forget()
	}
	if err := h.clear(ctx); err != nil {
		return errors.Join(fmt.Errorf("%w; try again by %s", err, h.removal()), h.release())
	}
	err := discard(h.facts.Kubeconfig)
	_ = os.Remove(h.facts.Kubeconfig + ".lock") // kind's own, of a process that was killed
	return errors.Join(err, h.forget())
}

// removal is the command that removes the cluster.
func (h *holding) removal() string {
	if h.facts.Kept {
		return "certquake cluster prune " + h.name
	}
	return "certquake cluster prune"
}

// A command of the engine can outlive the process that gave it, and make one more container, or
// start one that is being removed. That it comes to an end is waited for.
const (
	clearMax   = 10 * time.Second
	clearEvery = 200 * time.Millisecond
)

// clear removes the containers and the network, until nothing comes after.
func (h *holding) clear(ctx context.Context) error {
	provider := kindcluster.NewProvider(h.facts.Engine.option())
	limited, cancel := context.WithTimeout(ctx, clearMax)
	defer cancel()
	tick := time.NewTicker(clearEvery)
	defer tick.Stop()
	for {
		err := h.delete(ctx, provider)
		if err != nil {
			err = fmt.Errorf("remove the containers of %s: %w", h.name, err)
		} else if err = h.facts.Engine.removeNetwork(ctx, h.name); err != nil {
			err = fmt.Errorf("remove the network %s: %w", h.name, err)
		}
		left, listErr := provider.ListNodes(h.name)
		switch {
		case listErr != nil:
			return errors.Join(err, fmt.Errorf("look for the containers of %s: %w", h.name,
				explain(listErr)))
		case err == nil && len(left) == 0:
			return nil
		case err == nil:
			err = fmt.Errorf("containers of %s come again and again", h.name)
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			return err
		}
	}
}

// delete has kind remove the containers. kind also takes the cluster out of a kubeconfig, which it
// locks by a file that outlives a process that is killed, and whose folder it makes: it is given
// one that never was. It takes no context; what it has begun goes on when ctx ends.
func (h *holding) delete(ctx context.Context, provider *kindcluster.Provider) error {
	done := make(chan error, 1)
	go func() { done <- provider.Delete(h.name, filepath.Join(h.dir, "none")) }()
	select {
	case err := <-done:
		return explainOrNil(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
