package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// killedMax bounds the wait for the output of what a killed program has left behind.
const killedMax = 5 * time.Second

// program is one to run to its end. If ctx ends before, it is killed with all it has started.
func program(ctx context.Context, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, args...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = killedMax
	return command
}

// goTool is the go command as in ../../build.
func goTool(ctx context.Context, args ...string) *exec.Cmd {
	command := program(ctx, "go", args...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	return command
}

// output runs a program and returns what it printed on standard output, trimmed. Where it
// fails, the error ends with the last lines that it printed.
func output(command *exec.Cmd) (string, error) {
	var out, problems strings.Builder
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		said := tail(out.String()+"\n"+problems.String(), 15)
		return "", fmt.Errorf("%s: %w\n%s", command.Args[0], err, said)
	}
	return strings.TrimSpace(out.String()), nil
}

func tail(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
