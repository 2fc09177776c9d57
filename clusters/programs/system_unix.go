//go:build linux || darwin

package programs

import (
	"errors"
	"os"
	"syscall"
)

// OwnGroup puts a process into a group of its own, out of reach of a terminal's Ctrl-C.
func OwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// KillGroup ends a group of processes at once. What of it is gone already is no error.
func KillGroup(leader int) { _ = syscall.Kill(-leader, syscall.SIGKILL) }

// TryLock takes the file's lock, unless somebody living has it. The kernel gives it back when the
// last descriptor is closed, however that happens. Where there are no locks it is always had.
func TryLock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
