package scenarios

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing wrong with a scenario or with a manifest it uses.
type Problem struct {
	File string
	Line int    // from 1; 0 when the problem has no place in the file
	Path string // such as faults[1].at; empty for the file as a whole
	What string
	Hint string // the next step, or empty
}

// String returns the problem as file:line: path: what; hint.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteString(":" + strconv.Itoa(p.Line))
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.What)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems is everything wrong with a scenario, sorted by file and line. It is an error.
type Problems []Problem

// Error returns the problems one per line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the problems by file, the scenario's own first, then by line.
func (p Problems) sorted(first string) Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if a.File != b.File {
			if a.File == first {
				return -1
			}
			if b.File == first {
				return 1
			}
		}
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Path, b.Path))
	})
	return p
}

// valueError is an error about one scalar, with the next step.
type valueError struct{ what, hint string }

// Error returns what is wrong and the hint.
func (e *valueError) Error() string {
	if e.hint == "" {
		return e.what
	}
	return e.what + "; " + e.hint
}

// explain splits an error into what is wrong and a hint.
func explain(err error) (what, hint string) {
	if value, ok := errors.AsType[*valueError](err); ok {
		return value.what, value.hint
	}
	return err.Error(), ""
}
