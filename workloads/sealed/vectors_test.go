package sealed_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/sealed"
)

var update = flag.Bool("update", false, "write the vectors")

// vectors are known answers for readers and writers in other languages.
type vectors struct {
	Comment []string          `json:"comment"`
	Keys    map[string]string `json:"keys"` // of the ring, by id, in hexadecimal
	Valid   []valid           `json:"valid"`
	Invalid []invalid         `json:"invalid"`
}

type valid struct {
	Name      string `json:"name"`
	Key       string `json:"key"` // hexadecimal, as iv and plaintext are
	ID        string `json:"id"`
	IV        string `json:"iv"`
	Plaintext string `json:"plaintext"`
	Sealed    string `json:"sealed"`
}

type invalid struct {
	Name    string         `json:"name"`
	Sealed  string         `json:"sealed"`
	Problem sealed.Problem `json:"problem"`
}

const vectorsFile = "vectors.json"

func TestVectors(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", vectorsFile)
	var made bytes.Buffer
	out := json.NewEncoder(&made)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	require.NoError(t, out.Encode(makeVectors(t)))
	if *update {
		require.NoError(t, os.WriteFile(path, made.Bytes(), 0o600))
	}
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, made.String(), string(data), "write them anew by -update, for a new format")
	var v vectors
	require.NoError(t, json.Unmarshal(data, &v))
	ring := v.ring(t)
	for _, c := range v.Valid {
		plaintext, err := sealed.Open(ring, c.Sealed)
		require.NoError(t, err, c.Name)
		assert.Equal(t, c.Plaintext, hex.EncodeToString(plaintext), c.Name)
		id, err := sealed.KeyID(c.Sealed)
		require.NoError(t, err, c.Name)
		assert.Equal(t, c.ID, id, c.Name)
		assert.Equal(t, v.Keys[c.ID], c.Key, c.Name)
	}
	for _, c := range v.Invalid {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			plaintext, err := sealed.Open(ring, c.Sealed)
			requireProblem(t, c.Problem, err)
			assert.Nil(t, plaintext)
			_, err = sealed.KeyID(c.Sealed)
			assert.Equal(t, c.Problem == sealed.Malformed, err != nil)
		})
	}
}

func (v *vectors) ring(t *testing.T) *keyring.Ring {
	t.Helper()
	keys := map[string][]byte{"primary*": material("primary")} // a ring needs one
	for id, text := range v.Keys {
		key, err := hex.DecodeString(text)
		require.NoError(t, err)
		keys[id] = key
	}
	ring, err := keyring.Read(mount(keys), keyring.Settings{})
	require.NoError(t, err)
	return ring
}

func makeVectors(t *testing.T) vectors {
	t.Helper()
	v := vectors{
		Comment: []string{
			"Known answers of <keyid>:<base64 iv>:<base64 ciphertext>: AES-256-GCM, the id's " +
				"bytes as additional authenticated data, the tag of 16 bytes at the end.",
			"The base64 is standard, padded, canonical and without line ends. " +
				"key, iv and plaintext are hexadecimal here.",
			"These keys are public: use them for nothing. verify.py checks this file.",
		},
		Keys: map[string]string{"short": strings.Repeat("51", 16)},
	}
	for i, id := range []string{
		"r1", "r2", "2026-11-21T09.00.00_r3", "0b7e8e52-6c0e-4f0e-9f0a-1d2f6a1c9e11",
		"a", strings.Repeat("k", 128),
	} {
		key := make([]byte, 32)
		for j := range key {
			key[j] = byte(i*32 + j*7)
		}
		v.Keys[id] = hex.EncodeToString(key)
	}
	ring := v.ring(t)
	add := func(name, id string, iv int, plaintext string) {
		v.Valid = append(v.Valid, makeValid(t, ring, name, id, iv, plaintext))
	}
	add("plain text", "r1", 1, "hello!")
	add("the same under another key", "r2", 1, "hello!")
	add("the same with another iv", "r1", 2, "hello!")
	add("nothing", "r1", 3, "")
	add("one byte: base64 with one =", "r1", 4, "x")
	add("two bytes: base64 without =", "r1", 5, "xy")
	add("three bytes: base64 with two =", "r1", 6, "xyz")
	add("unicode, and colons", "r1", 7, "Zürich: żółć: 日本: 🔑:")
	add("every byte", "r1", 8, everyByte())
	add("a block of AES, and more", "r2", 9, strings.Repeat("0123456789abcdef", 4)+"!")
	add("4096 bytes", "r2", 10, strings.Repeat("sealed. ", 512))
	add("an id with dots, dashes and a line below", "2026-11-21T09.00.00_r3", 11, "hello")
	add("an id that is a UUID", "0b7e8e52-6c0e-4f0e-9f0a-1d2f6a1c9e11", 12, "hello")
	add("an id of one letter", "a", 13, "hello")
	add("the longest id", strings.Repeat("k", 128), 14, "hello")
	v.Invalid = makeInvalid(v.Valid[0].Sealed)
	return v
}

func everyByte() string {
	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	return string(data)
}

func makeValid(t *testing.T, ring *keyring.Ring, name, id string, nth int, plain string) valid {
	t.Helper()
	iv := bytes.Repeat([]byte{0xfb, byte(nth), 0xff}, 4) // base64 of it has + and /
	key, ok := ring.Key(id)
	require.True(t, ok)
	text, err := sealed.Seal(key, []byte(plain), bytes.NewReader(iv))
	require.NoError(t, err)
	return valid{
		Name: name, Key: hex.EncodeToString(key.Symmetric()), ID: id, IV: hex.EncodeToString(iv),
		Plaintext: hex.EncodeToString([]byte(plain)), Sealed: text,
	}
}

// makeInvalid spoils a text of the key r1 in every way that another language's reader may let pass.
func makeInvalid(text string) []invalid {
	parts := strings.Split(text, ":")
	id, iv, ciphertext := parts[0], parts[1], parts[2]
	bytesOf := func(s string) []byte {
		data, _ := base64.StdEncoding.DecodeString(s)
		return data
	}
	flip := func(s string, at int) string {
		data := bytesOf(s)
		data[(at+len(data))%len(data)] ^= 1
		return base64.StdEncoding.EncodeToString(data)
	}
	cut := func(s string, n int) string { return base64.StdEncoding.EncodeToString(bytesOf(s)[:n]) }
	join := func(parts ...string) string { return strings.Join(parts, ":") }
	size, urls := len(bytesOf(ciphertext)), strings.NewReplacer("+", "-", "/", "_")
	return []invalid{
		{"the iv was changed", join(id, flip(iv, 0), ciphertext), sealed.BadCiphertext},
		{"the ciphertext was changed", join(id, iv, flip(ciphertext, 0)), sealed.BadCiphertext},
		{"the tag was changed", join(id, iv, flip(ciphertext, -1)), sealed.BadCiphertext},
		{"the tag lacks a byte", join(id, iv, cut(ciphertext, size-1)), sealed.BadCiphertext},
		{"only the tag is left", join(id, iv, cut(ciphertext, 16)), sealed.BadCiphertext},
		{"another key's id", join("r2", iv, ciphertext), sealed.BadCiphertext},
		{"the id in capitals", join("R1", iv, ciphertext), sealed.UnknownKey},
		{"an id that the ring lacks", join("r9", iv, ciphertext), sealed.UnknownKey},
		{"a key of 16 bytes", join("short", iv, ciphertext), sealed.BadKey},
		{"nothing", "", sealed.Malformed},
		{"colons alone", "::", sealed.Malformed},
		{"the id alone", id, sealed.Malformed},
		{"no ciphertext", join(id, iv), sealed.Malformed},
		{"an empty ciphertext", join(id, iv, ""), sealed.Malformed},
		{"less than a tag", join(id, iv, cut(ciphertext, 15)), sealed.Malformed},
		{"no iv", join(id, "", ciphertext), sealed.Malformed},
		{"an iv of 11 bytes", join(id, cut(iv, 11), ciphertext), sealed.Malformed},
		{"an iv of 16 bytes", join(id, "AAAAAAAAAAAAAAAAAAAAAA==", ciphertext), sealed.Malformed},
		{"no id", join("", iv, ciphertext), sealed.Malformed},
		{"an id that cannot be", join("r 1", iv, ciphertext), sealed.Malformed},
		{"an id that begins with a dot", join(".r1", iv, ciphertext), sealed.Malformed},
		{"an id that ends in .primary", join("r1.primary", iv, ciphertext), sealed.Malformed},
		{"an id of 129 letters", join(strings.Repeat("k", 129), iv, ciphertext), sealed.Malformed},
		{"a fourth part", join(id, iv, ciphertext, ""), sealed.Malformed},
		{"a colon in front", ":" + text, sealed.Malformed},
		{"base64 for URLs", urls.Replace(text), sealed.Malformed},
		{"base64 without padding", strings.ReplaceAll(text, "=", ""), sealed.Malformed},
		{"base64 with bits to spare", join(id, iv, spare(ciphertext)), sealed.Malformed},
		{"a line's end", text + "\n", sealed.Malformed},
		{"a line's end within", join(id, iv[:4]+"\r\n"+iv[4:], ciphertext), sealed.Malformed},
		{"white space", join(id, " "+iv, ciphertext), sealed.Malformed},
		{"hexadecimal", join(id, hex.EncodeToString(bytesOf(iv)), ciphertext), sealed.Malformed},
	}
}

// spare sets a bit of the last character that counts for nothing.
func spare(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := strings.IndexByte(s, '=') - 1
	return s[:at] + string(alphabet[strings.IndexByte(alphabet, s[at])|1]) + s[at+1:]
}
