//go:build linux || darwin

package cli

import (
	"errors"
	"os"
	"syscall"
)

// detached gives a process a session of its own, which outlives a terminal.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// tryLock takes the file's lock, unless a living process has it. Those who only want to know share
// it among themselves.
func tryLock(file *os.File, shared bool) (bool, error) {
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// terminate asks a process to end, or ends it. One that is gone already is no error.
func terminate(pid int, now bool) error {
	with := syscall.SIGTERM
	if now {
		with = syscall.SIGKILL
	}
	if err := syscall.Kill(pid, with); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
