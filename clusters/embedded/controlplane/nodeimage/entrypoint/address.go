package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// remembered is the node's address of its last start.
const remembered = "/kind/address"

// addressed are the files of a node in which kubeadm and kind write its address.
func addressed() []string {
	return []string{
		"/etc/kubernetes/manifests/*.yaml", "/etc/kubernetes/*.conf",
		"/kind/kubeadm.conf", "/var/lib/kubelet/kubeadm-flags.env",
	}
}

// address follows Docker, which may give a container another address at each start.
func address(ctx context.Context) error {
	now, err := ownAddress(ctx)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(remembered)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	before := strings.TrimSpace(string(text))
	if before != "" && before != now {
		say("address was %s, is %s", before, now)
		if err := move(before, now); err != nil {
			return err
		}
		if err := certify(ctx); err != nil {
			return err
		}
	}
	return os.WriteFile(remembered, []byte(now+"\n"), 0o644)
}

// ownAddress is what Docker wrote beside the host name, in the network of the cluster if the
// container is in several.
func ownAddress(ctx context.Context) (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", err
	}
	addresses, err := net.DefaultResolver.LookupIP(ctx, "ip4", name)
	if err != nil {
		return "", fmt.Errorf("find the node's IPv4 address: %w", err)
	}
	return addresses[0].String(), nil
}

// move replaces the node's address wherever it was written.
func move(before, now string) error {
	for _, pattern := range addressed() {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			moved := replaceAddress(string(text), before, now)
			if err := os.WriteFile(path, []byte(moved), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// replaceAddress replaces an address, not what it is only the beginning or end of.
func replaceAddress(text, before, now string) string {
	whole := regexp.MustCompile(`\b` + regexp.QuoteMeta(before) + `\b`)
	return whole.ReplaceAllLiteralString(text, now)
}

// certify makes the API server's certificate again, in which its address stands. On workers
// there is none.
func certify(ctx context.Context) error {
	const certificate = "/etc/kubernetes/pki/apiserver"
	if !exists(certificate + ".crt") {
		return nil
	}
	for _, suffix := range []string{".crt", ".key"} {
		if err := os.Remove(certificate + suffix); err != nil {
			return err
		}
	}
	output, err := exec.CommandContext(ctx,
		"kubeadm", "init", "phase", "certs", "apiserver", "--config", "/kind/kubeadm.conf",
	).CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubeadm: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}
