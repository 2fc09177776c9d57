package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/harness"
)

// keeperWord is one line that a keeper tells the command that started it.
type keeperWord struct {
	Say    string `json:"say,omitempty"`
	Ready  bool   `json:"ready,omitempty"`  // the last one
	Failed string `json:"failed,omitempty"` // the last one
}

// errAlone is of a keeper whose starter has ended before the cluster was up.
var errAlone = errors.New("nobody waits for the cluster any more")

// newClusterKeep is what up starts in the background.
func newClusterKeep(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "keep FOLDER",
		Short:   "Hold a cluster (started by certquake cluster up)",
		Example: "  certquake cluster up",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			return keptCluster{filepath.Base(dir), dir}.keep(cmd.Context(), env)
		},
	}
	env.addSettings(cmd)
	return cmd
}

// keep brings the cluster up and holds it until ctx is done or it breaks. Until it is up, it ends
// with standard input; standard output is told how far it is.
func (c keptCluster) keep(ctx context.Context, env *Env) error {
	// Whoever started this may be gone: a broken pipe is no reason to leave the cluster alone.
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	defer signal.Stop(ignored)
	lock, err := c.own(ctx)
	if err != nil {
		return fmt.Errorf("own the cluster: %w", err)
	}
	defer func() { _ = lock.Close() }()
	words := &keeperWords{out: json.NewEncoder(env.Stdout)}
	kept, err := c.raise(ctx, env, words)
	if err != nil {
		words.tell(keeperWord{Failed: err.Error()})
		return err
	}
	words.tell(keeperWord{Ready: true})
	return c.hold(ctx, kept)
}

// ownMax bounds how long a new keeper waits for those who look whether there is one.
const ownMax = 2 * time.Second

// own takes the cluster's lock and says in it who has it.
func (c keptCluster) own(ctx context.Context) (*os.File, error) {
	lock, err := os.OpenFile(c.path(clusterLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ownMax, errors.New("it has a keeper"))
	defer cancel()
	tick := time.NewTicker(downEvery)
	defer tick.Stop()
	for {
		free, err := tryLock(lock, false)
		if free {
			_, err = lock.WriteString(strconv.Itoa(os.Getpid()))
			return lock, err
		}
		if err != nil {
			return nil, errors.Join(err, lock.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), lock.Close())
		}
	}
}

// raise brings the cluster up.
func (c keptCluster) raise(ctx context.Context, env *Env, words *keeperWords) (Kept, error) {
	facts := c.facts()
	_, keeper, err := env.keeper(facts.Backend)
	if err != nil {
		return Kept{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with the input, at the latest with the process
		_, _ = io.Copy(io.Discard, env.Stdin)
		cancel(errAlone)
	}()
	talking := harness.WithTalk(ctx, func(line string) {
		tell(env.Stderr, "%s\n", line)
		words.tell(keeperWord{Say: line})
	})
	kept, err := keeper.Keep(talking, ClusterSpec{
		Dir: c.path(clusterFolder), Nodes: facts.Nodes, Images: facts.Images,
	})
	if err != nil {
		return Kept{}, err
	}
	facts.Kubeconfig = kept.Kubeconfig
	if err := c.tell(facts); err != nil {
		return Kept{}, errors.Join(err, kept.Down(context.WithoutCancel(ctx)))
	}
	return kept, nil
}

// lookEvery is how often a keeper looks whether its folder is still there.
const lookEvery = 10 * time.Second

// hold waits for the cluster's end, which it asks for when ctx is done.
func (c keptCluster) hold(ctx context.Context, kept Kept) error {
	var cause error
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for held := true; held; {
		select {
		case <-ctx.Done():
			held = false
		case <-kept.Broken:
			held, cause = false, kept.Cause()
		case <-look.C: // without its folder nobody could find it again
			_, err := os.Stat(c.dir)
			held = err == nil
		}
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience-time.Second)
	defer cancel()
	left := kept.Down(limited)
	err := errors.Join(cause, left, c.noteLeft(left))
	if err == nil {
		return os.WriteFile(c.path(clusterCause), []byte("its keeper was told to end"), 0o600)
	}
	return errors.Join(err, os.WriteFile(c.path(clusterCause), []byte(err.Error()), 0o600))
}

// noteLeft writes down that some of the cluster could not be removed, and why.
func (c keptCluster) noteLeft(err error) error {
	if err == nil {
		return nil
	}
	known := c.facts()
	known.Left = err.Error()
	return c.tell(known)
}

// keeperWords tells words one after the other, to whoever still reads them.
type keeperWords struct {
	mutex sync.Mutex
	out   *json.Encoder
}

func (w *keeperWords) tell(word keeperWord) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	_ = w.out.Encode(word)
}
