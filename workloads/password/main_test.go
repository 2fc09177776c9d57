//go:build !postgres

package password_test

import (
	"testing"

	"go.uber.org/goleak"
)

// whole is what there is around all tests: nothing, without a server.
func whole(*testing.M) []goleak.Option { return nil }
