package kind

import (
	"os"
	"syscall"
)

// openWatchers returns how many instances of inotify root can still make, up to a number, by making
// them. Those of nodes are root's; another user does not learn how many that are, which is 0.
func openWatchers(most int) int {
	if os.Geteuid() != 0 {
		return 0
	}
	var made []int
	for len(made) < most {
		file, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
		if err != nil {
			break
		}
		made = append(made, file)
	}
	for _, file := range made {
		_ = syscall.Close(file)
	}
	return max(len(made), 1) // 0 is not known
}
