package cluster

import (
	"errors"
	"fmt"
	"os/exec"
)

// Programs of the machine that parts of the cluster call: the kubelet mounts volumes in memory
// by mount, kube-proxy writes its rules by nft.
const nft = "nft"

// Needed returns the names of the programs that every cluster needs.
func Needed() []string { return []string{"mount", "umount"} }

// findNeeded says which programs are missing: a pod would wait for its volumes for ever.
func findNeeded() error {
	var missing []error
	for _, name := range Needed() {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing,
				fmt.Errorf("the kubelet needs %s (install the package mount): %w", name, err))
		}
	}
	return errors.Join(missing...)
}

// chooseServices returns how cluster addresses work: as wanted, or as the machine allows.
func chooseServices(wanted string) (string, error) {
	_, err := exec.LookPath(nft)
	switch {
	case wanted == kubeProxy && err != nil:
		return "", fmt.Errorf("services kube-proxy: %w (install the package nftables, or "+
			"choose \"services\": \"relay\")", err)
	case wanted != "":
		return wanted, nil
	case err == nil:
		return kubeProxy, nil
	}
	return relay, nil
}
