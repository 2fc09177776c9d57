package kind

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"sigs.k8s.io/kind/pkg/errors"
	"sigs.k8s.io/kind/pkg/exec"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/certquake/certquake/harness"
)

// talk hands what kind says to people, and remembers the end of what it says to itself. It
// implements log.Logger.
type talk struct {
	ctx context.Context //nolint:containedctx // kind's logger has none

	mu    sync.Mutex
	words []string
}

// wordsKept is how many lines are kept to explain a cluster that did not come up.
const wordsKept = 12

// Warn implements log.Logger.
func (t *talk) Warn(message string) { t.keep(message) }

// Warnf implements log.Logger.
func (t *talk) Warnf(format string, args ...any) { t.keep(fmt.Sprintf(format, args...)) }

// Error implements log.Logger.
func (t *talk) Error(message string) { t.keep(message) }

// Errorf implements log.Logger.
func (t *talk) Errorf(format string, args ...any) { t.keep(fmt.Sprintf(format, args...)) }

// V implements log.Logger.
func (t *talk) V(level log.Level) log.InfoLogger { return murmur{t, level} }

// keep remembers a message.
func (t *talk) keep(message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimSpace(message), "\n") {
		if !strings.HasPrefix(line, "WARNING: ") { // of the network that is asked for
			t.words = append(t.words, line)
		}
	}
	t.words = t.words[max(0, len(t.words)-wordsKept):]
}

// last returns the last that kind said.
func (t *talk) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.words, "\n")
}

// murmur is what kind says at one level: 0 for people, more for itself.
type murmur struct {
	talk  *talk
	level log.Level
}

// Enabled implements log.InfoLogger.
func (m murmur) Enabled() bool { return true }

// Infof implements log.InfoLogger.
func (m murmur) Infof(format string, args ...any) { m.Info(fmt.Sprintf(format, args...)) }

// Info implements log.InfoLogger.
func (m murmur) Info(message string) {
	if m.level > 0 {
		m.talk.keep(message)
		return
	}
	if step := stepOf(message); step != "" {
		harness.Say(m.talk.ctx, "kind: %s", step)
	}
}

// stepOf returns the step that a message of kind's begins, in its plain letters, or nothing. That a
// step has ended the next one tells.
func stepOf(message string) string {
	words, begins := strings.CutPrefix(strings.TrimSpace(message), "•")
	if !begins {
		return ""
	}
	plain := strings.Map(func(r rune) rune {
		if r > '~' {
			return -1
		}
		return r
	}, words)
	plain = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(plain), "..."))
	if plain == "" {
		return ""
	}
	return strings.ToLower(plain[:1]) + plain[1:]
}

// failed is an error of kind's with the end of what the command behind it printed.
type failed struct {
	cause error
	words string
}

func (f failed) Error() string { return f.cause.Error() + ":\n" + f.words }
func (f failed) Unwrap() error { return f.cause }

// explain adds to an error of kind's what the command behind it printed.
func explain(err error) error {
	if all := errors.Errors(err); len(all) > 0 {
		err = all[0] // the others tell the same of other nodes
	}
	if run := exec.RunErrorForError(err); run != nil && len(run.Output) > 0 {
		return failed{err, tail(withoutStacks(string(run.Output)))}
	}
	return err
}

// withoutStacks leaves out Go's stack traces, which kubeadm ends with when it talks much: two lines
// a call, its name and, indented, where it is. What went wrong stands before them.
func withoutStacks(output string) string {
	lines := strings.Split(output, "\n")
	var kept []string
	for i, line := range lines {
		place := strings.HasPrefix(line, "\t") && strings.Contains(line, ".go:")
		call := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\t") &&
			strings.Contains(lines[i+1], ".go:")
		if !place && !call {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
