package password_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/password"
)

// TestVerifier has the salt and password of RFC 7677's example.
func TestVerifier(t *testing.T) {
	const salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
	raw, err := base64.StdEncoding.DecodeString(salt)
	require.NoError(t, err)
	got, err := password.Verifier([]byte("pencil"), bytes.NewReader(raw))
	require.NoError(t, err)
	assert.Equal(t, "SCRAM-SHA-256$4096:"+salt+"$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="+
		":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", got)

	_, err = password.Verifier([]byte("pencil"), bytes.NewReader(raw[:15]))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// TestVerifiersAreLiterals draws many: none has what a string in SQL would have to escape.
func TestVerifiersAreLiterals(t *testing.T) {
	for i := range 16 {
		got, err := password.Verifier([]byte(`'; DROP ROLE "app"; \`),
			bytes.NewReader(bytes.Repeat([]byte{byte(i * 17)}, 16)))
		require.NoError(t, err)
		assert.Regexp(t, `^SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:`+
			`[A-Za-z0-9+/]{43}=$`, got)
	}
}

func TestCheck(t *testing.T) {
	rows := []struct {
		name, id, word string
		want           password.Problem
	}{
		{"a good one", "app_r1", secret, ""},
		{"all that is printable", "App-1.2", " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", ""},
		{"63 bytes", strings.Repeat("a", 63), secret, ""},
		{"64 bytes, which would be cut off", strings.Repeat("a", 64), secret, password.BadName},
		{"a reserved prefix", "pg_app", secret, password.BadName},
		{"a word of SQL", "none", secret, password.BadName},
		{"everybody", "public", secret, password.BadName},
		{"a line's end", "app", secret + "\n", password.BadPassword},
		{"beyond ASCII", "app", "pässword", password.BadPassword},
		{"a zero", "app", "a\x00b", password.BadPassword},
		{"too long", "app", strings.Repeat("a", 1025), password.BadPassword},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			file := row.id + ".password.primary"
			_, err := password.RingOf(map[string][]byte{file: []byte(row.word)})
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			refused, ok := errors.AsType[*keyring.ReadError](err)
			require.True(t, ok)
			assert.Equal(t, keyring.BadKey, refused.Problem)
			got, ok := errors.AsType[*password.RoleError](err)
			require.True(t, ok)
			assert.Equal(t, row.want, got.Problem)
			assert.NotContains(t, err.Error(), row.word)
		})
	}
	got, ok := errors.AsType[*password.RoleError](password.Check(keyring.Key{ID: "app"}))
	require.True(t, ok)
	assert.Equal(t, password.BadPassword, got.Problem, "a ring read without the part")
}
