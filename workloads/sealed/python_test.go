//go:build python

package sealed_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Another implementation, in another language, agrees on every vector. It needs python3 with the
// package cryptography.
func TestVectorsInPython(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("python3", filepath.Join("testdata", "verify.py")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	v := makeVectors(t)
	assert.Equal(t, strings.Fields(string(out))[0], itoa(len(v.Valid)+len(v.Invalid)))
}
