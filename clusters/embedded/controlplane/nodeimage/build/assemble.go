package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// files are ours that nodes get as they are, or nearly.
const files = "nodeimage/files"

// assemble makes the archive of Debian, the programs and our files.
func assemble(ctx context.Context, plan *plan, cache *cache, work string) error {
	say("assembling")
	bin := filepath.Join(work, "bin")
	images, err := wanted(ctx, plan, bin)
	if err != nil {
		return err
	}
	images["network"] = plan.network()
	shared := filepath.Join(work, "shared.tar")
	if err := sharedLayer(shared, cache.base(), bin, images); err != nil {
		return fmt.Errorf("make layer of control plane: %w", err)
	}
	store := filepath.Join(work, "store")
	if err := preload(ctx, bin, store, shared, images); err != nil {
		return err
	}
	node := filepath.Join(work, "node.tar")
	if err := nodeLayer(node, bin, store, plan, images["pause"]); err != nil {
		return fmt.Errorf("make layer of node: %w", err)
	}
	certManager := filepath.Join(work, "cert-manager.tar")
	if err := certManagerLayer(certManager, bin); err != nil {
		return fmt.Errorf("make layer of cert-manager: %w", err)
	}
	temporary := filepath.Join(work, "archive.tar")
	all := []image{nodeImage(plan, cache.base(), node)}
	for _, part := range parts() {
		all = append(all, certManagerImage(plan, part, certManager))
	}
	if err := writeArchive(ctx, temporary, all); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return os.Rename(temporary, cache.archive())
}

// sharedLayer is the one layer of all images inside of nodes: our programs, and the programs
// of Debian that kube-proxy and the network run, with their libraries. The modules of iptables
// need libraries that iptables itself does not; without them Services fail silently.
func sharedLayer(to, debian, bin string, images map[string]string) error {
	system, err := openSystem(debian)
	if err != nil {
		return err
	}
	defer system.close() //nolint:errcheck // it was only read
	folder, err := system.libraryFolder()
	if err != nil {
		return err
	}
	programs := append([]string{
		"usr/sbin/xtables-nft-multi", "usr/sbin/nft", "usr/sbin/conntrack", "usr/bin/kmod",
	}, system.below(path.Join(folder, "xtables"))...)
	libraries, err := system.libraries(folder, programs)
	if err != nil {
		return err
	}
	layer, err := newLayer(to)
	if err != nil {
		return err
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		layer.folder("usr/" + name)
		layer.link(name, "usr/"+name)
	}
	for _, name := range []string{"etc", "run", "tmp", "var"} {
		layer.folder(name)
	}
	for _, name := range append(programs, libraries...) {
		content, err := system.open(name)
		if err != nil {
			layer.err = errors.Join(layer.err, err)
			break
		}
		layer.stream(name, content, content.Size(), 0o755)
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			layer.link("usr/sbin/"+family+suffix, "xtables-nft-multi")
		}
	}
	layer.link("usr/sbin/modprobe", "../bin/kmod")
	programsOf(layer, bin, images)
	return layer.close()
}

// programsOf adds our programs: those that have a file of their own, and links to the one that
// is the others.
func programsOf(layer *layer, bin string, images map[string]string) {
	for _, name := range []string{"network", "node", "pause"} {
		layer.copy("usr/local/bin/"+name, filepath.Join(bin, name), 0o755)
	}
	names := make([]string, 0, len(images))
	for name := range images {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name != "network" && name != "pause" {
			layer.link("usr/local/bin/"+name, "node")
		}
	}
}

// preload writes the images into containerd's store, as it will be on the node.
func preload(
	ctx context.Context, bin, store, layer string, images map[string]string,
) error {
	args := []string{"-store", store, "-layer", layer}
	for name, image := range images {
		args = append(args, "/usr/local/bin/"+name+"="+image)
	}
	slices.Sort(args[4:])
	if _, err := output(program(ctx, filepath.Join(bin, "preload"), args...)); err != nil {
		return fmt.Errorf("preload: %w", err)
	}
	return nil
}

// nodeLayer is what a node has beyond Debian.
func nodeLayer(to, bin, store string, plan *plan, pause string) error {
	layer, err := newLayer(to)
	if err != nil {
		return err
	}
	for _, name := range []string{
		"containerd", "containerd-shim-runc-v2", "ctr", "entrypoint", "node",
	} {
		layer.copy("usr/local/bin/"+name, filepath.Join(bin, name), 0o755)
	}
	for _, name := range []string{"kubeadm", "kubectl", "kubelet"} {
		layer.link("usr/bin/"+name, "../local/bin/node")
	}
	for _, name := range []string{"host-local", "loopback", "portmap", "ptp"} {
		layer.link("opt/cni/bin/"+name, "../../../usr/lib/cni/"+name)
	}
	layer.folder("etc/kubernetes/manifests")
	layer.folder("etc/cni/net.d")
	// An empty one: the entrypoint gives each node its own.
	layer.text("etc/machine-id", "")
	layer.text("kind/version", plan.kubernetes)
	replace := strings.NewReplacer("PAUSE-IMAGE", pause, "NETWORK-IMAGE", plan.network())
	for _, file := range []struct{ from, to string }{
		{"containerd.toml", "etc/containerd/config.toml"},
		{"journald.conf", "etc/systemd/journald.conf.d/node.conf"},
		{"network.yaml", "kind/manifests/default-cni.yaml"},
		{"storage.yaml", "kind/manifests/default-storage.yaml"},
		{"sysctl.conf", "etc/sysctl.d/node.conf"},
	} {
		text, err := os.ReadFile(filepath.Join(files, file.from))
		if err != nil {
			layer.err = errors.Join(layer.err, err)
		}
		layer.text(file.to, replace.Replace(string(text)))
	}
	services(layer)
	layer.tree("var/lib/containerd", store)
	return layer.close()
}

// services says what systemd starts: containerd, the kubelet and its own basics, but nothing
// that belongs to a machine with devices, users and updates.
func services(layer *layer) {
	const units = "etc/systemd/system/"
	for _, name := range []string{"containerd.service", "kubelet.service", "kubelet.slice"} {
		layer.copy(units+name, filepath.Join(files, name), 0o644)
	}
	for _, name := range []string{"containerd.service", "kubelet.service"} {
		layer.link(units+"multi-user.target.wants/"+name, "../"+name)
	}
	layer.link(units+"default.target", "/lib/systemd/system/multi-user.target")
	for _, name := range []string{
		"dev-hugepages.mount", "getty.target", "kmod-static-nodes.service",
		"proc-sys-fs-binfmt_misc.automount", "sys-fs-fuse-connections.mount",
		"sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
		"systemd-ask-password-console.path", "systemd-ask-password-wall.path",
		"systemd-binfmt.service", "systemd-firstboot.service", "systemd-initctl.socket",
		"systemd-logind.service", "systemd-machine-id-commit.service",
		"systemd-modules-load.service", "systemd-random-seed.service", "systemd-repart.service",
		"systemd-tmpfiles-clean.timer", "systemd-tmpfiles-setup.service",
		"systemd-tmpfiles-setup-dev.service", "systemd-update-utmp.service",
		"systemd-update-utmp-runlevel.service", "systemd-user-sessions.service",
	} {
		layer.link(units+name, "/dev/null")
	}
}

// certManagerLayer is the one layer of cert-manager's images: one program without libraries.
func certManagerLayer(to, bin string) error {
	layer, err := newLayer(to)
	if err != nil {
		return err
	}
	layer.copy("certmanager", filepath.Join(bin, "certmanager"), 0o755)
	layer.folder("tmp")
	return layer.close()
}
