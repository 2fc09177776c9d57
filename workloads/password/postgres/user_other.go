//go:build !unix

package postgres

import (
	"errors"
	"os/exec"
)

// identity is who the server runs as.
type identity struct{}

var errSystem = errors.New("a server is started on unix systems only: give the address of one")

// unprivileged fails: nothing here knows how to end a server of this system with its parent.
func unprivileged() (*identity, error) { return nil, errSystem }

func (*identity) become(*exec.Cmd, string) {}

func (*identity) own(string) error { return nil }
