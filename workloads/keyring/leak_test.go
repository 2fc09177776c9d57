package keyring_test

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
)

const secret = "correct horse battery staple"

// failure collects what a failing assertion prints: spew's view of a value, which goes through
// pointers and unexported fields and calls no methods.
type failure struct{ text strings.Builder }

func (f *failure) Errorf(format string, args ...any) { fmt.Fprintf(&f.text, format, args...) }

// printers are ways in which a value gets into a log by mistake.
var printers = map[string]func(v any) string{
	"json": func(v any) string {
		out, err := json.Marshal(v)
		return fmt.Sprint(string(out), err)
	},
	"xml": func(v any) string {
		out, err := xml.Marshal(v)
		return fmt.Sprint(string(out), err)
	},
	"gob": func(v any) string {
		var out bytes.Buffer
		return fmt.Sprint(gob.NewEncoder(&out).Encode(v), out.String())
	},
	"slog text": func(v any) string {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		return out.String()
	},
	"slog json": func(v any) string {
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		return out.String()
	},
	"testify": func(v any) string {
		var f failure
		assert.Equal(&f, reflect.Zero(reflect.TypeOf(v)).Interface(), v)
		return f.text.String()
	},
}

func printed(v any) string {
	var out strings.Builder
	for _, flag := range []string{"", "+", "#", " "} {
		for _, verb := range "vsqxXdobcUeptT" {
			fmt.Fprintf(&out, "%"+flag+string(verb)+"\n", v)
		}
	}
	for _, printer := range printers {
		out.WriteString(printer(v))
	}
	return out.String()
}

// forms are the ways in which bytes are printed, each in part.
func forms(material []byte) []string {
	part := material[8:16]
	list := fmt.Sprintf("%d", part)
	return []string{
		string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)),
		list[1 : len(list)-1], strings.Trim(fmt.Sprintf("%#v", part)[6:], "{}"),
		strings.Trim(fmt.Sprintf("% x", part), " "),
		base64.StdEncoding.EncodeToString(material[9:15]),
	}
}

func numberForms(n *big.Int) []string {
	out := []string{n.String(), n.Text(16)}
	for _, word := range n.Bits() {
		number := uint64(word)
		out = append(out, strconv.FormatUint(number, 10), strconv.FormatUint(number, 16))
	}
	return out
}

// nested has a Key and a Ring where printers cannot call their methods.
type nested struct {
	key  keyring.Key
	ring *keyring.Ring
}

func TestNothingLeaks(t *testing.T) {
	private := ecKey(t)
	parts := append([]keyring.Part{keyring.Symmetric}, pair...)
	keys := keyring.New(folder(map[string]string{
		"r1.key.primary": secret, "r1.private": privatePEM(t, private),
		"r1.public": publicPEM(t, private),
	}), keyring.Settings{Parts: parts, Now: newClock().Now})
	ring, err := keys.Ring()
	require.NoError(t, err)
	key := ring.Primary()
	require.Equal(t, secret, string(key.Symmetric()))

	hidden := append(forms([]byte(secret)), numberForms(number(t, private))...)
	hidden = append(hidden, forms([]byte(privatePEM(t, private))[40:])...)
	values := map[string]any{
		"key": key, "pointer to a key": &key, "ring": ring, "value of a ring": *ring,
		"keyring": keys, "status": keys.Status(), "nested": nested{key, ring},
		"pointer to nested": &nested{key, ring}, "list": []keyring.Key{key},
		"map":      map[string]keyring.Key{"r1": key},
		"exported": struct{ Key keyring.Key }{key},
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			out := printed(value)
			for _, form := range hidden {
				assert.NotContains(t, out, form)
			}
		})
	}
}

// TestLeaksWouldBeSeen prints what does leak: the test above must be able to fail.
func TestLeaksWouldBeSeen(t *testing.T) {
	private := ecKey(t)
	out := printed([]byte(secret))
	for _, form := range forms([]byte(secret)) {
		assert.Contains(t, out, form)
	}
	// Neither a pointer nor an unexported field hides anything.
	out = printed(struct{ inner *struct{ data []byte } }{&struct{ data []byte }{[]byte(secret)}})
	assert.Contains(t, out, forms([]byte(secret))[3], "fmt, for a verb that does not fit")
	assert.Contains(t, out, "63 6f 72 72 65 63 74", "spew")
	out = printed(private)
	assert.Contains(t, out, number(t, private).String())
}

func number(t *testing.T, key *ecdsa.PrivateKey) *big.Int {
	t.Helper()
	data, err := key.Bytes()
	require.NoError(t, err)
	return new(big.Int).SetBytes(data)
}

func TestPrinting(t *testing.T) {
	ring, err := keyring.Read(mount(phases[1]), keyring.Settings{})
	require.NoError(t, err)
	key := ring.Primary()
	assert.Equal(t, "signing with r1 of r1* r2", fmt.Sprintf("signing with %v of %v", key, ring))
	data, err := json.Marshal(key)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"r1"}`, string(data))
	out := printers["slog text"](ring)
	assert.Contains(t, out, `v.ids="r1* r2" v.version=..1 v.fingerprint=`+ring.Fingerprint())
	assert.Contains(t, printers["slog json"](key), `"v":"r1"`)
}

func TestZeroKey(t *testing.T) {
	ring, err := keyring.Read(mount(phases[0]), keyring.Settings{})
	require.NoError(t, err)
	key, ok := ring.Key("r9")
	assert.False(t, ok)
	assert.Empty(t, key.ID)
	assert.Nil(t, key.Symmetric())
	assert.Nil(t, key.Signer())
	assert.Nil(t, key.Public())
	assert.Nil(t, key.Certificate())
}

// TestErrorsDoNotLeak puts key material where something else belongs.
func TestErrorsDoNotLeak(t *testing.T) {
	private := privatePEM(t, ecKey(t))
	for _, part := range triple {
		for _, data := range []string{
			secret, private, private[:100], block("CERTIFICATE", []byte(secret)),
			block("PUBLIC KEY", []byte(secret)), block("PRIVATE KEY", []byte(secret)),
			block(secret, nil),
		} {
			if part == keyring.Private && data == private {
				continue
			}
			files := map[string]string{"r1." + string(part) + ".primary": data}
			_, err := keyring.Read(mount(files), keyring.Settings{Parts: []keyring.Part{part}})
			got, ok := errors.AsType[*keyring.ReadError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, keyring.BadKey, got.Problem)
			out := printed(got)
			for _, form := range append(forms([]byte(secret)), forms([]byte(private)[40:])...) {
				assert.NotContains(t, out, form)
			}
		}
	}
}
