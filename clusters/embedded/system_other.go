//go:build !linux

package embedded

import (
	"os"
	"syscall"
)

// Up refuses other systems before any of these is called.

func ownGroup() *syscall.SysProcAttr { return nil }

func killGroup(int) {}

func tryLock(*os.File) (bool, error) { return false, errLinux }

func ours(os.FileInfo) bool { return false }
