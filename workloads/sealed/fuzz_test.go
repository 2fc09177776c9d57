package sealed_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/sealed"
)

// FuzzOpen throws texts at Open. It opens nothing but what was sealed, to the byte; and whatever
// plaintext is sealed comes back, but not after a byte of the text changed.
func FuzzOpen(f *testing.F) {
	ring := ringOf(f, "r1*", "r2")
	known := map[string]string{} // the same in each process of a fuzzer, so with fixed IVs
	for i, plaintext := range []string{"", "x", "hello!", "Zürich: 日本"} {
		iv := bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 12))
		text, err := sealed.Seal(ring.Primary(), []byte(plaintext), iv)
		require.NoError(f, err)
		known[text] = plaintext
		f.Add(text, []byte(plaintext), 3, byte(1))
	}
	data, err := os.ReadFile(filepath.Join("testdata", vectorsFile))
	require.NoError(f, err)
	var v vectors
	require.NoError(f, json.Unmarshal(data, &v))
	for i, c := range v.Invalid {
		f.Add(c.Sealed, []byte(c.Name), i, byte(i))
	}
	f.Fuzz(func(t *testing.T, text string, data []byte, at int, change byte) {
		plaintext, err := sealed.Open(ring, text)
		want, ok := known[text]
		require.Equal(t, ok, err == nil, "%q: %v", text, err)
		require.Equal(t, want, string(plaintext))
		_, idErr := sealed.KeyID(text)
		if err != nil {
			requireProblems(t, err, idErr)
		}

		own := seal(t, ring, string(data))
		plaintext, err = sealed.Open(ring, own)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, plaintext))
		spoiled := []byte(own)
		spoiled[int(uint(at)%uint(len(spoiled)))] ^= change
		_, err = sealed.Open(ring, string(spoiled))
		require.Equal(t, change == 0, err == nil)
	})
}

// requireProblems holds that the form of a text is malformed for Open exactly if it is for KeyID.
func requireProblems(t *testing.T, open, id error) {
	t.Helper()
	if id != nil {
		requireProblem(t, sealed.Malformed, open)
		requireProblem(t, sealed.Malformed, id)
		return
	}
	var got *sealed.Error
	require.ErrorAs(t, open, &got)
	require.Contains(t, []sealed.Problem{sealed.UnknownKey, sealed.BadCiphertext}, got.Problem)
}
