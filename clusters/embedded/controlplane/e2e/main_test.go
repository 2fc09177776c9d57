//go:build embedded

package e2e

import (
	"fmt"
	"os"
	"testing"
)

// roleVariable has this program be something else than the tests: a helper of one of them.
const roleVariable = "E2E_ROLE"

// TestMain is also the helpers of the tests that start this program anew.
func TestMain(m *testing.M) {
	roles := map[string]func() int{
		parentRole: parent, limitedRole: limited,
	}
	name := os.Getenv(roleVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	role := roles[name]
	if role == nil {
		fmt.Fprintln(os.Stderr, "e2e: no such role:", name)
		os.Exit(2)
	}
	os.Exit(role())
}

// needs fails a test that this machine lacks something for, unless whoever runs the tests has said
// that such tests may be left out: one that always is would prove nothing.
func needs(t *testing.T, has bool, what string) {
	t.Helper()
	if has {
		return
	}
	if os.Getenv("E2E_LEAVE_OUT") == "" {
		t.Fatalf("this test needs %s; E2E_LEAVE_OUT=1 leaves out what cannot be tested here", what)
	}
	t.Skipf("LEFT OUT: this test needs %s", what)
}
