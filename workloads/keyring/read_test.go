package keyring_test

import (
	"cmp"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
)

func TestReadPhases(t *testing.T) {
	for i, want := range []string{"r1*", "r1* r2", "r1 r2*", "r2*"} {
		t.Run(want, func(t *testing.T) {
			ring, err := keyring.Read(mount(phases[i]), keyring.Settings{})
			require.NoError(t, err)
			assert.Equal(t, want, ring.String())
			assert.Equal(t, "..1", ring.Version())
			assert.Empty(t, ring.Ignored())
			assert.Equal(t, strings.Contains(want, "r2*"), ring.Primary().ID == "r2")
			for id, material := range map[string]string{"r1": "one", "r2": "two"} {
				key, ok := ring.Key(id)
				require.Equal(t, strings.Contains(want, id), ok)
				if ok {
					assert.Equal(t, id, key.ID)
					assert.Equal(t, material, string(key.Symmetric()))
				}
			}
		})
	}
}

func TestReadPlainFolder(t *testing.T) {
	ring, err := keyring.Read(folder(phases[1]), keyring.Settings{})
	require.NoError(t, err)
	assert.Equal(t, "r1* r2", ring.String())
	assert.Empty(t, ring.Version())
}

func folder(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return out
}

// TestReadNames has what a folder may hold beside keys, and ids that are odd but good.
func TestReadNames(t *testing.T) {
	long := strings.Repeat("x", 128)
	ring, err := keyring.Read(folder(map[string]string{
		"r1.key.primary": "one", "2026-11-21T09_00.v2.key": "two", long + ".key": "three",
		"r9.key.key": "four", "0.key": "five",
		".hidden.key": "x", ".key": "x", "..old.key.primary": "x", "..2026/r3.key": "x",
		"README": "x", "r1.key~": "x", "r3.kye": "x", "ca.crt": "x", "r3.crt.primary": "x",
		"r4.key.primary.primary": "x", "r5.KEY": "x", "sub/r6.key": "x", "primary": "x", "a.": "x",
	}), keyring.Settings{})
	require.NoError(t, err)
	assert.Equal(t, []string{"0", "2026-11-21T09_00.v2", "r1", "r9.key", long}, ring.IDs())
	assert.Equal(t, "r1", ring.Primary().ID)
	assert.Equal(t, []string{
		"README", "a.", "ca.crt", "primary", "r1.key~", "r3.crt.primary", "r3.kye",
		"r4.key.primary.primary", "r5.KEY", "sub",
	}, ring.Ignored())
	_, ok := ring.Key("R1")
	assert.False(t, ok, "case counts")

	ids := ring.IDs()
	ids[0] = "changed"
	ring.Ignored()[0] = "changed"
	assert.Equal(t, "0", ring.IDs()[0], "the ring keeps its own")
	assert.Equal(t, "README", ring.Ignored()[0])
}

// TestReadEveryByte holds material against being trimmed or shared.
func TestReadEveryByte(t *testing.T) {
	ring, err := keyring.Read(mount(map[string]string{"r1.key.primary": " \x00key\r\n"}),
		keyring.Settings{})
	require.NoError(t, err)
	material := ring.Primary().Symmetric()
	assert.Equal(t, " \x00key\r\n", string(material))
	material[0] = 'x'
	assert.Equal(t, " \x00key\r\n", string(ring.Primary().Symmetric()))
}

// TestReadParts mounts one Secret for those who sign, verify or do both.
func TestReadParts(t *testing.T) {
	one, two := ecKey(t), edKey(t)
	cert := certPEM(t, two)
	files := map[string]string{
		"r1.private": privatePEM(t, one), "r1.public": publicPEM(t, one), "r1.crt": certPEM(t, one),
		"r2.private.primary": privatePEM(t, two), "r2.public": publicPEM(t, two), "r2.crt": cert,
		"r1.password": "pass\n", "r2.password": "word",
	}
	read := func(parts ...keyring.Part) *keyring.Ring {
		ring, err := keyring.Read(mount(files), keyring.Settings{Parts: parts})
		require.NoError(t, err)
		assert.Equal(t, "r1 r2*", ring.String())
		assert.Len(t, ring.Ignored(), len(files)-2*len(parts))
		return ring
	}
	all := read(keyring.Private, keyring.Public, keyring.Certificate, "password").Primary()
	assert.Equal(t, crypto.Signer(two), all.Signer())
	assert.Equal(t, two.Public(), all.Public())
	assert.Equal(t, "CN=signer", all.Certificate().Subject.String())
	assert.Equal(t, cert, string(all.Bytes(keyring.Certificate)))
	assert.Equal(t, "word", string(all.Bytes("password")))
	assert.Nil(t, all.Symmetric())

	verifier := read(keyring.Public)
	key, _ := verifier.Key("r1")
	assert.Equal(t, one.Public(), key.Public())
	assert.Nil(t, key.Signer())
	assert.Nil(t, key.Certificate())
	assert.Nil(t, key.Bytes(keyring.Private))
	assert.Equal(t, one.Public(), must(read(keyring.Certificate).Key("r1")).Public())

	signer := read(keyring.Private)
	assert.Equal(t, two.Public(), signer.Primary().Public(), "derived")
	assert.Equal(t, signer.Fingerprint(), verifier.Fingerprint(), "the same version")
}

func must(key keyring.Key, _ bool) keyring.Key { return key }

// TestReadMarks marks a primary on any of its parts, or on each.
func TestReadMarks(t *testing.T) {
	key := ecKey(t)
	private, public := privatePEM(t, key), publicPEM(t, key)
	rows := map[string]map[string]string{
		"private": {"r2.private.primary": private, "r2.public": public},
		"public":  {"r2.private": private, "r2.public.primary": public},
		"both":    {"r2.private.primary": private, "r2.public.primary": public},
	}
	for name, files := range rows {
		t.Run(name, func(t *testing.T) {
			other := ecKey(t)
			files["r1.private"], files["r1.public"] = privatePEM(t, other), publicPEM(t, other)
			ring, err := keyring.Read(mount(files), keyring.Settings{Parts: pair})
			require.NoError(t, err)
			assert.Equal(t, "r1 r2*", ring.String())
		})
	}
	t.Run("a verifier's own mount", func(t *testing.T) {
		ring, err := keyring.Read(mount(map[string]string{"r2.public.primary": public}),
			keyring.Settings{Parts: []keyring.Part{keyring.Public, keyring.Public}})
		require.NoError(t, err)
		assert.Equal(t, "r2*", ring.String())
	})
}

// TestReadEncodings has every form of private key.
func TestReadEncodings(t *testing.T) {
	ec := ecKey(t)
	der, err := x509.MarshalECPrivateKey(ec)
	require.NoError(t, err)
	sec1 := block("EC PRIVATE KEY", der)
	parameters := block("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	rows := []struct {
		name string
		key  crypto.Signer
		pem  string
	}{
		{"PKCS#8 RSA", rsaKey(), privatePEM(t, rsaKey())},
		{"PKCS#8 EC", ec, privatePEM(t, ec)},
		{"PKCS#1", rsaKey(), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()))},
		{"SEC 1", ec, sec1},
		{"SEC 1 behind its parameters", ec, parameters + sec1},
		{"with text around it", ec, "Bag Attributes\r\n" + sec1 + "# end\n"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			ring, readErr := keyring.Read(mount(map[string]string{
				"r1.private.primary": row.pem, "r1.public": publicPEM(t, row.key),
				"r1.crt": certPEM(t, row.key) + certPEM(t, ec),
			}), keyring.Settings{Parts: triple})
			require.NoError(t, readErr)
			assert.Equal(t, row.key.Public(), ring.Primary().Signer().Public())
			assert.Equal(t, row.key.Public(), ring.Primary().Certificate().PublicKey)
		})
	}
}

func TestReadErrors(t *testing.T) {
	const p, n = "r1.key.primary", "r2.key"
	long := strings.Repeat("x", 129) + ".key"
	rows := []struct {
		name     string
		files    map[string]string // added to a good folder; "-" removes
		want     keyring.Problem
		file, id string
	}{
		{"nothing", map[string]string{p: "-", n: "-"}, keyring.Empty, ".", ""},
		{"none wanted", map[string]string{p: "-", n: "-", "a.txt": "x"}, keyring.Empty, ".", ""},
		{"no bytes", map[string]string{n: ""}, keyring.Empty, n, "r2"},
		{"white space", map[string]string{p: " \n"}, keyring.Empty, p, "r1"},
		{
			"a folder for a file",
			map[string]string{"r3.key/x": "x"},
			keyring.Unreadable, "r3.key", "r3",
		},
		{"no primary", map[string]string{p: "-"}, keyring.NoPrimary, ".", ""},
		{
			"a primary that is not wanted here",
			map[string]string{p: "-", "r3.crt.primary": "x"},
			keyring.NoPrimary, ".", "",
		},
		{
			"two primaries",
			map[string]string{"r3.key.primary": "x"},
			keyring.TwoPrimaries, "r3.key.primary", "r3",
		},
		{
			"two primaries, one on a part not wanted",
			map[string]string{"r2.crt.primary": "x"},
			keyring.TwoPrimaries, "r2.crt.primary", "r2",
		},
		{"the same id twice", map[string]string{"r1.key": "one"}, keyring.Clash, p, "r1"},
		{"ids that differ by case", map[string]string{"R2.key": "x"}, keyring.Clash, n, "r2"},
		{"a long id", map[string]string{long: "x"}, keyring.BadID, long, ""},
		{"a dash in front", map[string]string{"-r.key": "x"}, keyring.BadID, "-r.key", ""},
		{"a space", map[string]string{"r 3.key": "x"}, keyring.BadID, "r 3.key", ""},
		{"beyond ASCII", map[string]string{"r\u00e9.key": "x"}, keyring.BadID, "r\u00e9.key", ""},
		{"a colon", map[string]string{"r:3.key": "x"}, keyring.BadID, "r:3.key", ""},
		{"a backslash", map[string]string{`a\..\r3.key`: "x"}, keyring.BadID, `a\..\r3.key`, ""},
		{
			"the mark at the wrong place",
			map[string]string{"r3.primary.key": "x"},
			keyring.BadID, "r3.primary.key", "",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			files := maps.Clone(phases[1])
			maps.Copy(files, row.files)
			maps.DeleteFunc(files, func(_, data string) bool { return data == "-" })
			for _, fsys := range []fs.FS{folder(files), mount(files)} {
				got := readError(t, fsys, keyring.Settings{})
				assertProblem(t, got, row.want, row.file, row.id)
			}
		})
	}
}

func readError(t *testing.T, fsys fs.FS, s keyring.Settings) *keyring.ReadError {
	t.Helper()
	ring, err := keyring.Read(fsys, s)
	require.Nil(t, ring)
	got, ok := errors.AsType[*keyring.ReadError](err)
	require.True(t, ok, "%v", err)
	return got
}

func assertProblem(
	t *testing.T, got *keyring.ReadError, want keyring.Problem, file, id string,
) {
	t.Helper()
	assert.Equal(t, want, got.Problem, "%v", got)
	assert.Equal(t, file, got.File)
	assert.Equal(t, id, got.ID)
}

func TestReadPartErrors(t *testing.T) {
	one, two := ecKey(t), edKey(t)
	private, public, cert := privatePEM(t, one), publicPEM(t, one), certPEM(t, one)
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	const priv, pub, crt = "r1.private.primary", "r1.public.primary", "r1.crt"
	rows := []struct {
		name, file, data string
		want             keyring.Problem
		at               string // if not the file
	}{
		{"no private part", priv, "", keyring.Missing, "r1.private"},
		{"no public part", pub, "", keyring.Missing, "r1.public"},
		{"no certificate", crt, "", keyring.Missing, ""},
		{"text for a private key", priv, "key", keyring.BadKey, ""},
		{"half a private key", priv, private[:len(private)/2], keyring.BadKey, ""},
		{"a public key for a private one", priv, public, keyring.BadKey, ""},
		{"two private keys", priv, private + private, keyring.BadKey, ""},
		{"a private key and its certificate", priv, private + cert, keyring.BadKey, ""},
		{"a key that cannot sign", priv, privatePEM(t, exchange), keyring.BadKey, ""},
		{"a wrong label", priv, strings.ReplaceAll(private, "PRIV", "EC PRIV"), keyring.BadKey, ""},
		{
			"an encrypted key", priv,
			strings.ReplaceAll(private, "PRIV", "ENCRYPTED PRIV"), keyring.BadKey, "",
		},
		{"another private key", priv, privatePEM(t, two), keyring.BadKey, pub},
		{"another public key", pub, publicPEM(t, two), keyring.BadKey, ""},
		{"two public keys", pub, public + public, keyring.BadKey, ""},
		{"garbage for a public key", pub, block("PUBLIC KEY", []byte("x")), keyring.BadKey, ""},
		{"half a public key", pub, public[:len(public)/2] + "\n" + public, keyring.BadKey, ""},
		{"another certificate", crt, certPEM(t, two), keyring.BadKey, ""},
		{"garbage under a certificate's label", crt, block("CERTIFICATE", nil), keyring.BadKey, ""},
		{"text for a certificate", crt, "certificate", keyring.BadKey, ""},
		{"a chain with a key in it", crt, cert + public, keyring.BadKey, ""},
		{"half a chain", crt, cert + cert[:len(cert)/2], keyring.BadKey, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			files := map[string]string{priv: private, pub: public, crt: cert}
			files[row.file] = row.data
			if row.data == "" {
				delete(files, row.file)
			}
			at := cmp.Or(row.at, row.file)
			got := readError(t, mount(files), keyring.Settings{Parts: triple})
			assertProblem(t, got, row.want, at, "r1")
			assert.NotContains(t, got.Error(), private[60:80])
		})
	}
}

func TestReadCheck(t *testing.T) {
	short := errors.New("want 4 bytes")
	got := readError(t, mount(phases[1]), keyring.Settings{Check: func(key keyring.Key) error {
		if len(key.Symmetric()) < 4 && key.ID == "r2" {
			return short
		}
		return nil
	}})
	assertProblem(t, got, keyring.BadKey, "r2.key", "r2")
	require.ErrorIs(t, got, short)
	assert.Equal(t, `read "r2.key": bad-key: want 4 bytes`, got.Error())
}

func TestReadNoFolder(t *testing.T) {
	nowhere, err := fs.Sub(fstest.MapFS{}, "nowhere")
	require.NoError(t, err)
	got := readError(t, nowhere, keyring.Settings{})
	assertProblem(t, got, keyring.Missing, ".", "")
	require.ErrorIs(t, got, fs.ErrNotExist)
	got = readError(t, credential.NewVolume(), keyring.Settings{})
	assertProblem(t, got, keyring.Empty, ".", "")
}

func TestFingerprint(t *testing.T) {
	seen := map[string]string{}
	for i, files := range phases {
		ring, err := keyring.Read(mount(files), keyring.Settings{})
		require.NoError(t, err)
		assert.Regexp(t, "^[0-9a-f]{32}$", ring.Fingerprint())
		assert.Empty(t, seen[ring.Fingerprint()], "as in another phase")
		seen[ring.Fingerprint()] = ring.String()

		changed := maps.Clone(files)
		for name := range changed {
			changed[name] = "another key of the same id"
		}
		other, err := keyring.Read(folder(changed), keyring.Settings{})
		require.NoError(t, err)
		assert.Equal(t, ring.Fingerprint(), other.Fingerprint(), "phase %d", i)
	}
	read := func(part keyring.Part, data string) string {
		ring, err := keyring.Read(mount(map[string]string{"r1." + string(part) + ".primary": data}),
			keyring.Settings{Parts: []keyring.Part{part}})
		require.NoError(t, err)
		return ring.Fingerprint()
	}
	key, other := ecKey(t), ecKey(t)
	assert.NotEqual(t, read(keyring.Public, publicPEM(t, key)),
		read(keyring.Public, publicPEM(t, other)))
	one, two := certPEM(t, key), certPEM(t, key)
	assert.NotEqual(t, read(keyring.Certificate, one), read(keyring.Certificate, two))
}
