//go:build !linux && !darwin

package cli

import (
	"errors"
	"os"
	"syscall"
)

// errNoKeeper is of systems where no cluster is kept.
var errNoKeeper = errors.New("clusters are kept on Linux only")

func detached() *syscall.SysProcAttr { return nil }

func tryLock(*os.File, bool) (bool, error) { return false, errNoKeeper }

func terminate(int, bool) error { return errNoKeeper }
