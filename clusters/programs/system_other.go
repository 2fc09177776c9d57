//go:build !linux && !darwin

package programs

import (
	"os"
	"syscall"
)

// OwnGroup leaves a process in the group of its parent: there are no groups to be had.
func OwnGroup() *syscall.SysProcAttr { return nil }

// KillGroup ends the process alone.
func KillGroup(leader int) {
	if process, err := os.FindProcess(leader); err == nil {
		_ = process.Kill()
	}
}

// TryLock always has the lock: go itself can stand two builds at once.
func TryLock(*os.File) (bool, error) { return true, nil }
