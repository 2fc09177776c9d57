//go:build unix

package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// identity is who the server runs as; nil is ourselves.
type identity struct{ uid, gid uint32 }

// unprivileged returns who the server runs as: ourselves, or if we are root the user that the
// package made, or nobody.
func unprivileged() (*identity, error) {
	if os.Geteuid() != 0 {
		return nil, nil // ourselves
	}
	var missing error
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			missing = errors.Join(missing, err)
			continue
		}
		uid, errUID := strconv.ParseUint(found.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(found.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, err
		}
		return &identity{uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("postgres does not run as root, and there is no other: %w", missing)
}

// become has a command run in a folder, in a group of processes of its own, as the identity.
func (i *identity) become(command *exec.Cmd, dir string) {
	command.Dir = dir
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC"}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if i != nil {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: i.uid, Gid: i.gid}
	}
}

// own gives a file to the identity.
func (i *identity) own(file string) error {
	if i == nil {
		return nil
	}
	return os.Chown(file, int(i.uid), int(i.gid))
}
