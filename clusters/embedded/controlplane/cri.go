package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cri"
)

// criServer runs the container runtime of one node. Its ctrinit lies beside this program.
func criServer(ctx context.Context, args []string) error {
	var config cri.Config
	flags := flagSet("cri")
	flags.StringVar(&config.Socket, "socket", "", "where to serve")
	flags.StringVar(&config.Root, "root", "", "scratch folder of containers")
	flags.StringVar(&config.Address, "address", "", "address of the node")
	flags.TextVar(&config.Pods, "pods", netip.Prefix{}, "address range of the node's pods")
	flags.TextVar(&config.Gateway, "gateway", netip.Addr{}, "by which pods reach the node")
	flags.BoolVar(&config.KeepIDs, "keep-ids", false, "do not change users and groups")
	images := flags.String("images", "", "file that maps image names to executables")
	if err := parse(flags, args); err != nil {
		return err
	}
	text, err := os.ReadFile(*images)
	if err != nil {
		return err
	}
	if err = json.Unmarshal(text, &config.Images); err != nil {
		return fmt.Errorf("read %s: %w", *images, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	config.Init = filepath.Join(filepath.Dir(self), "ctrinit")
	if _, err := os.Stat(config.Init); err != nil {
		return fmt.Errorf("ctrinit must lie beside controlplane: %w", err)
	}
	return cri.Serve(ctx, config)
}
