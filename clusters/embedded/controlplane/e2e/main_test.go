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

// needs fails a test that this machine lacks something for. Whoever has to do without it says so by
// the flag -skip: a test that leaves itself out would prove nothing, and nobody would notice.
func needs(t *testing.T, has bool, what string) {
	t.Helper()
	if !has {
		t.Fatalf("this test needs %s; go test -skip '^%s$' does without it", what, t.Name())
	}
}
