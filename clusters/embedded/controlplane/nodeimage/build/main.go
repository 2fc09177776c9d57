// Build makes a kind node image, and cert-manager's images, from Go modules and Debian packages:
//
//	go run ./nodeimage/build
//
// Everything ends as one archive in the user's cache folder, named for what it was made from, and
// is loaded into Docker or Podman from there. Nothing runs in containers meanwhile, so an interrupt
// leaves nothing there. The programs are compiled with the flags of ../../build and share its
// cache.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const preamble = `This makes a node image for kind, and images of cert-manager, for places where no
registry can be reached. Where one can be, nobody needs it: kind pulls its own.
`

func main() {
	processes := flag.Int("p", 0, "packages to compile at the same time (0: Go's choice)")
	flag.Parse()
	fmt.Print(preamble)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := provide(ctx, *processes)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted; nothing is left but what was cached before")
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "node-image:", err)
		os.Exit(1)
	}
}

// provide leaves the images in the engine, and does no more for it than it must.
func provide(ctx context.Context, processes int) error {
	into, err := needEngine(ctx)
	if err != nil {
		return err
	}
	plan, err := newPlan(ctx)
	if err != nil {
		return err
	}
	if into.has(ctx, plan) {
		say("%s has %s", into, plan)
		return nil
	}
	cache, err := openCache(plan.hash)
	if err != nil {
		return err
	}
	defer cache.close()
	if !exists(cache.archive()) {
		if err := build(ctx, plan, cache, processes); err != nil {
			return err
		}
	}
	say("loading %s into %s", cache.archive(), into)
	if err := into.load(ctx, cache.archive()); err != nil {
		return err
	}
	cache.removeOld()
	into.prune(ctx)
	say("%s has %s", into, plan)
	return nil
}

// build makes the archive. Debian's packages are fetched while Go compiles.
func build(ctx context.Context, plan *plan, cache *cache, processes int) error {
	began := time.Now()
	if err := needToBuild(ctx, cache.folder); err != nil {
		return err
	}
	work, err := cache.newWork()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // the next build tries again
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		if exists(cache.base()) {
			return nil
		}
		return installDebian(both, filepath.Join(work, "debian"), cache.base())
	})
	group.Go(func() error { return compile(both, plan, work, processes) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := assemble(ctx, plan, cache, work); err != nil {
		return err
	}
	say("built in %s", time.Since(began).Round(time.Second))
	return nil
}

func say(format string, args ...any) { fmt.Printf("node-image: "+format+"\n", args...) }
