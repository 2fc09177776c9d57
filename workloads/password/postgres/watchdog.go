package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// guard is what the watchdog runs in a server's folder. It reads the id of the server's process,
// "done" when all is well, and an end when nobody holds the other end of the pipe any more. By then
// the server may not have been started or may have ended: postmaster.pid tells, so that no other
// process is hit that was given its id. What starts all the same, or survives, ends by itself
// within a minute, when it finds that file gone.
const guard = `trap '' HUP INT TERM
server=
while read -r word; do
	if [ "$word" = done ]; then exit 0; fi
	server=$word
done
if [ "$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)" = "${server:-none}" ]; then
	kill -QUIT "$server"
	i=0
	while [ -e "$1/data/postmaster.pid" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
fi
for i in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 1; done`

// watchdog is a shell that cleans up after a process that could not. It must be another process: no
// code of a killed one runs. It is bound to the process and not to one of its threads, which a
// signal at the parent's death would be.
type watchdog struct {
	shell *exec.Cmd
	pipe  io.WriteCloser
}

// watch starts a watchdog over a server's folder. It runs as ourselves, since who the server runs
// as may not remove the folder from ours.
func watch(ctx context.Context, dir string) (*watchdog, error) {
	//nolint:gosec // the folder is an argument of the script and no part of it
	shell := exec.CommandContext(context.WithoutCancel(ctx),
		"/bin/sh", "-c", guard, "watchdog", dir)
	pipe, err := shell.StdinPipe()
	if err != nil {
		return nil, err
	}
	var ourselves *identity
	ourselves.become(shell, "/")
	if err := shell.Start(); err != nil {
		return nil, err
	}
	return &watchdog{shell: shell, pipe: pipe}, nil
}

// over tells the watchdog which process it is that it must end.
func (w *watchdog) over(pid int) error {
	_, err := fmt.Fprintln(w.pipe, pid)
	return err
}

// release lets the watchdog end, without doing anything.
func (w *watchdog) release() error {
	_, told := io.WriteString(w.pipe, "done\n")
	return errors.Join(told, w.pipe.Close(), w.shell.Wait())
}
