// Preload puts images into a node's container runtime before the node ever runs: it writes
// containerd's store of content and its database below a folder, without containerd. All images
// share one layer, the folder given; each starts with the program it is named for.
//
//	preload -store ROOT/var/lib/containerd -layer FOLDER program=image ...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	bolt "go.etcd.io/bbolt"
)

func main() {
	store := flag.String("store", "", "folder of containerd's data on the node")
	layer := flag.String("layer", "", "tar archive of the one layer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := preload(ctx, *store, *layer, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "preload:", err)
		os.Exit(1)
	}
}

// preload writes where containerd's own plug-ins will read: their names are those of the
// folders.
func preload(ctx context.Context, store, layer string, images []string) (err error) {
	ctx = namespaces.WithNamespace(ctx, "k8s.io")
	content, err := local.NewStore(filepath.Join(store, "io.containerd.content.v1.content"))
	if err != nil {
		return err
	}
	folder := filepath.Join(store, "io.containerd.metadata.v1.bolt")
	if mkdirErr := os.MkdirAll(folder, 0o711); mkdirErr != nil {
		return mkdirErr
	}
	file, err := bolt.Open(filepath.Join(folder, "meta.db"), 0o644, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	database := metadata.NewDB(file, content, nil)
	if err := database.Init(ctx); err != nil {
		return err
	}
	writer := &writer{
		content: database.ContentStore(), images: metadata.NewImageStore(database),
	}
	if err := writer.layer(ctx, layer); err != nil {
		return fmt.Errorf("store layer: %w", err)
	}
	for _, image := range images {
		program, name, found := strings.Cut(image, "=")
		if !found {
			return fmt.Errorf("%q is not program=image", image)
		}
		if err := writer.image(ctx, program, name); err != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
	}
	return nil
}
