//go:build !postgres

package postgres

import "go.uber.org/goleak"

// asChild is for tests that need a server: here is none.
func asChild() []goleak.Option { return nil }
