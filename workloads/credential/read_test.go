package credential_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
)

func TestRead(t *testing.T) {
	ca := newAuthority(t, "ca")
	files := issue(t, ca)
	for name, pinned := range map[string]bool{"naive": false, "pinned": true} {
		t.Run(name+"/volume", func(t *testing.T) {
			m, err := credential.Read(mount(files), credential.Settings{Pinned: pinned})
			require.NoError(t, err)
			assert.Equal(t, "..1", m.Version)
			assert.Equal(t, []string{"node", "node.example.com"}, m.Names())
			assert.Equal(t, ca.cert.Raw, m.CAs[0].Raw)
			assert.Equal(t, m.Leaf.PublicKey, m.Key.Public())
			assert.False(t, m.Torn)
		})
		t.Run(name+"/plain folder", func(t *testing.T) {
			m, err := credential.Read(plain(files), credential.Settings{Pinned: pinned})
			require.NoError(t, err)
			assert.Empty(t, m.Version)
		})
		t.Run(name+"/other file names", func(t *testing.T) {
			other := map[string][]byte{
				"certs/root.pem": files["ca.crt"],
				"leaf.pem":       files["tls.crt"],
				"k":              files["tls.key"],
			}
			_, err := credential.Read(mount(other), credential.Settings{
				Pinned: pinned,
				Files:  credential.Files{CA: "certs/root.pem", Cert: "leaf.pem", Key: "k"},
			})
			require.NoError(t, err)
		})
	}
}

func plain(files map[string][]byte) fs.FS {
	folder := fstest.MapFS{}
	for name, data := range files {
		folder[name] = &fstest.MapFile{Data: data}
	}
	return folder
}

func TestReadErrors(t *testing.T) {
	good := issue(t, newAuthority(t, "ca"))
	bundle := credential.Settings{Trust: credential.Bundle}
	pinned := credential.Settings{Pinned: true}
	checked := credential.Settings{PairCheck: credential.MatchCheck}
	akka := credential.Settings{}
	half := func(name string) []byte { return good[name][:len(good[name])/2] }
	rows := []struct {
		name     string
		settings credential.Settings
		file     string
		data     []byte // nil: the file is missing
		want     credential.Problem
	}{
		{"no CA file", akka, "ca.crt", nil, credential.Missing},
		{"no certificate file", akka, "tls.crt", nil, credential.Missing},
		{"no key file", akka, "tls.key", nil, credential.Missing},
		{"no key file, pinned", pinned, "tls.key", nil, credential.Missing},
		{"empty CA file", akka, "ca.crt", []byte{}, credential.Empty},
		{"blank CA file", akka, "ca.crt", []byte(" \n"), credential.Empty},
		{"empty bundle", bundle, "ca.crt", []byte{}, credential.Empty},
		{"empty key file", akka, "tls.key", []byte{}, credential.Empty},
		{"text in the CA file", akka, "ca.crt", []byte("ca"), credential.Malformed},
		{"half a CA", akka, "ca.crt", half("ca.crt"), credential.Malformed},
		{"half a leaf", akka, "tls.crt", half("tls.crt"), credential.Malformed},
		{"half a key", akka, "tls.key", half("tls.key"), credential.Malformed},
		{"a key for a leaf", akka, "tls.crt", good["tls.key"], credential.Malformed},
		{"a leaf for a key", akka, "tls.key", good["tls.crt"], credential.Malformed},
		{
			"half a block and then a whole one", akka, "ca.crt",
			bytes.Join([][]byte{half("ca.crt"), good["ca.crt"]}, []byte("\n")),
			credential.Malformed,
		},
		{
			"a whole bundle and then half a block", bundle, "ca.crt",
			append(bytes.Clone(good["ca.crt"]), half("ca.crt")...), credential.Malformed,
		},
		{
			"DER under a certificate's label", akka, "ca.crt",
			block("CERTIFICATE", []byte{0x30, 1}), credential.Malformed,
		},
		{
			"a key with the wrong label", akka, "tls.key",
			bytes.ReplaceAll(good["tls.key"], []byte("PRIVATE"), []byte("RSA PRIVATE")),
			credential.Malformed,
		},
		{
			"an encrypted key", akka, "tls.key",
			bytes.ReplaceAll(good["tls.key"], []byte("PRIVATE"), []byte("ENCRYPTED PRIVATE")),
			credential.Malformed,
		},
		{
			"another leaf's key, checked", checked, "tls.key",
			keyPEM(t, ecKey(t)), credential.PairMismatch,
		},
		{
			"another kind of key, checked", checked,
			"tls.key", keyPEM(t, edKey(t)), credential.PairMismatch,
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			files := maps.Clone(good)
			files[row.file] = row.data
			if row.data == nil {
				delete(files, row.file)
			}
			m, err := credential.Read(mount(files), row.settings)
			assert.Nil(t, m)
			got, ok := errors.AsType[*credential.ReadError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, row.want, got.Problem)
			assert.Equal(t, row.file, got.File)
			assert.NotContains(t, err.Error(), keyText(good["tls.key"]))
			assert.Equal(t, row.want == credential.Missing, errors.Is(err, fs.ErrNotExist))
		})
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// keyText is a stretch from the middle of a key file.
func keyText(data []byte) string { return string(data[60:80]) }

func TestReadUnreadable(t *testing.T) {
	files := issue(t, newAuthority(t, "ca"))
	delete(files, "ca.crt")
	files["ca.crt/nested"] = []byte("a folder where a file should be")
	_, err := credential.Read(mount(files), credential.Settings{})
	got, ok := errors.AsType[*credential.ReadError](err)
	require.True(t, ok)
	assert.Equal(t, credential.Unreadable, got.Problem)
	assert.True(t, strings.HasPrefix(err.Error(), "read ca.crt: unreadable: "), err.Error())
}

// TestPemManagersProviderSpec is Akka's: every form of key and certificate it loads.
func TestPemManagersProviderSpec(t *testing.T) {
	ca := newAuthority(t, "ca")
	ec := ecKey(t)
	sec1, err := x509.MarshalECPrivateKey(ec)
	require.NoError(t, err)
	parameters := block("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
	rows := []struct {
		name string
		key  crypto.Signer
		pem  []byte
	}{
		{
			"load a PKCS#1 key", rsaKey(),
			block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())),
		},
		{"load a PKCS#8 RSA key", rsaKey(), keyPEM(t, rsaKey())},
		{"load a PKCS#8 EC key", ec, keyPEM(t, ec)},
		{"load a SEC1 EC key", ec, block("EC PRIVATE KEY", sec1)},
		{
			"load a SEC1 EC key behind its parameters", ec,
			append(parameters, block("EC PRIVATE KEY", sec1)...),
		},
		{"load an Ed25519 key", edKey(t), nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if row.pem == nil {
				row.pem = keyPEM(t, row.key)
			}
			leaf := ca.leaf(t, row.key, pkix.Name{CommonName: "node"})
			m, readErr := credential.Read(mount(map[string][]byte{
				"ca.crt": certPEM(ca.cert), "tls.crt": certPEM(leaf), "tls.key": row.pem,
			}), credential.Settings{PairCheck: credential.MatchCheck})
			require.NoError(t, readErr)
			assert.Equal(t, "CN=node", m.Leaf.Subject.String())
		})
	}
	t.Run("load a self-signed certificate", func(t *testing.T) {
		m, readErr := credential.Read(mount(map[string][]byte{
			"ca.crt": certPEM(ca.cert), "tls.crt": certPEM(ca.cert), "tls.key": keyPEM(t, ca.key),
		}), credential.Settings{})
		require.NoError(t, readErr)
		assert.Equal(t, "CN=ca", m.CAs[0].Subject.String())
		assert.Equal(t, m.CAs[0].Raw, m.Leaf.Raw)
	})
}

func TestX509ReadersSpec(t *testing.T) {
	ca := newAuthority(t, "ca")
	cn := func(names ...string) pkix.Name {
		subject := pkix.Name{}
		for _, name := range names {
			subject.ExtraNames = append(subject.ExtraNames,
				pkix.AttributeTypeAndValue{Type: []int{2, 5, 4, 3}, Value: name})
		}
		return subject
	}
	rows := []struct {
		name    string
		subject pkix.Name
		dns     []string
		want    []string
	}{
		{"CN only", cn("one.example.com"), nil, []string{"one.example.com"}},
		{
			"CN and SAN", cn("akka-remote"),
			[]string{"localhost"},
			[]string{"akka-remote", "localhost"},
		},
		{"CN repeated in the SAN", cn("a"), []string{"b", "a", "b"}, []string{"a", "b"}},
		{"SAN without CN", pkix.Name{Organization: []string{"Akka"}}, []string{"a"}, []string{"a"}},
		{"the first CN of two", cn("first", "last"), nil, []string{"first"}},
		{"neither", pkix.Name{Organization: []string{"Akka"}}, nil, []string{}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, credential.Names(ca.leaf(t, ca.key, row.subject, row.dns...)))
		})
	}
}

func TestSharedSubject(t *testing.T) {
	ca := newAuthority(t, "ca")
	named := func(cn string, dns ...string) *x509.Certificate {
		return ca.leaf(t, ca.key, pkix.Name{CommonName: cn}, dns...)
	}
	rows := []struct {
		name      string
		own, peer *x509.Certificate
		want      bool
	}{
		{"a SAN in common", named("one", "example.com"), named("two", "example.com"), true},
		{"own CN in the peer's SAN", named("one"), named("two", "one"), true},
		{"nothing in common", named("one", "a"), named("two", "b"), false},
		{"case counts", named("Node"), named("node"), false},
		{"a wildcard is a name like others", named("*.example.com"), named("a.example.com"), false},
		{"no names at all", named(""), named(""), false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, credential.SharedSubject(row.own, row.peer))
			assert.Equal(t, row.want, credential.SharedSubject(row.peer, row.own))
		})
	}
}

// TestTrustAndChain reads a CA file of the old and the new CA, with a leaf of either or of neither.
func TestTrustAndChain(t *testing.T) {
	older, newer, stranger := newAuthority(t, "old"), newAuthority(t, "new"), newAuthority(t, "x")
	all := credential.Settings{Trust: credential.Bundle}
	both := []*authority{older, newer}
	rows := []struct {
		name     string
		settings credential.Settings
		file     []*authority // ca.crt
		issuer   *authority
		trusted  []*authority
		sent     *authority // beside the leaf
	}{
		{
			"first-cert, leaf of the first",
			credential.Settings{},
			both, older,
			[]*authority{older},
			older,
		},
		{
			"first-cert sends the wrong CA after the renewal",
			credential.Settings{},
			both, newer,
			[]*authority{older},
			older,
		},
		{"bundle, leaf of the first", all, both, older, both, older},
		{"bundle, leaf of the second", all, both, newer, both, newer},
		{"bundle, leaf of neither goes alone", all, both, stranger, both, nil},
		{
			"a truncated bundle narrows the trust", all,
			[]*authority{older},
			older,
			[]*authority{older},
			older,
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			files := issue(t, row.issuer)
			files["ca.crt"] = certPEM(certs(row.file)...)
			m, err := credential.Read(mount(files), row.settings)
			require.NoError(t, err)
			assert.Equal(t, certs(row.trusted), m.CAs)
			want := []*x509.Certificate{m.Leaf}
			if row.sent != nil {
				want = append(want, row.sent.cert)
			}
			assert.Equal(t, want, m.Chain)
		})
	}
}

func certs(authorities []*authority) []*x509.Certificate {
	var out []*x509.Certificate
	for _, a := range authorities {
		out = append(out, a.cert)
	}
	return out
}

func TestChainOfFile(t *testing.T) {
	ca := newAuthority(t, "ca")
	files := issue(t, ca)
	files["tls.crt"] = append(files["tls.crt"], certPEM(ca.cert, ca.cert)...)
	m, err := credential.Read(mount(files), credential.Settings{Chain: credential.WholeFile})
	require.NoError(t, err)
	assert.Len(t, m.Chain, 3)
	assert.Equal(t, m.Leaf, m.Chain[0])
}

// TestFirstCertIgnoresTheRest has garbage after the first block, which Java does not look at.
func TestFirstCertIgnoresTheRest(t *testing.T) {
	files := issue(t, newAuthority(t, "ca"))
	files["ca.crt"] = append(files["ca.crt"], "-----BEGIN CERTIFICATE-----\nhalf"...)
	_, err := credential.Read(mount(files), credential.Settings{})
	require.NoError(t, err)
}

// TestTextAroundBlocks has the comments that openssl and bundles of distributions carry.
func TestTextAroundBlocks(t *testing.T) {
	ca := newAuthority(t, "ca")
	files := issue(t, ca)
	text := []byte("# Example root\r\nSubject: CN=ca\n")
	root := certPEM(ca.cert)
	files["ca.crt"] = bytes.Join([][]byte{text, root, text, root, text}, nil)
	m, err := credential.Read(mount(files), credential.Settings{Trust: credential.Bundle})
	require.NoError(t, err)
	assert.Len(t, m.CAs, 2)
}

// FuzzRead throws bytes at the reader. Whatever they are, it returns material that hangs together
// or a *ReadError that does not quote the key file.
func FuzzRead(f *testing.F) {
	good := issue(f, newAuthority(f, "ca"))
	f.Add(good["ca.crt"], good["tls.crt"], good["tls.key"], true)
	f.Add(good["tls.key"], good["ca.crt"], good["tls.crt"], false)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"), []byte(nil), []byte("-----BEGIN"), true)
	f.Fuzz(func(t *testing.T, ca, cert, key []byte, strict bool) {
		v := mount(map[string][]byte{"ca.crt": ca, "tls.crt": cert, "tls.key": key})
		s := credential.Settings{Pinned: strict}
		if strict {
			s.Trust, s.Chain = credential.Bundle, credential.WholeFile
			s.PairCheck = credential.MatchCheck
		}
		m, err := credential.Read(v, s)
		if err == nil {
			require.NotEmpty(t, m.CAs)
			require.Same(t, m.Leaf, m.Chain[0])
			require.NotNil(t, m.Key)
			require.False(t, strict && m.Torn)
			return
		}
		_, ok := errors.AsType[*credential.ReadError](err)
		require.True(t, ok)
		for _, secret := range secrets(key) {
			require.NotContains(t, err.Error(), secret)
		}
	})
}

// secrets returns every line of a key file that looks like base64 and is long enough to be telling.
func secrets(key []byte) []string {
	var lines []string
	for line := range strings.Lines(string(key)) {
		line = strings.TrimSpace(line)
		if _, err := base64.StdEncoding.DecodeString(line); err == nil && len(line) >= 32 {
			lines = append(lines, line)
		}
	}
	return lines
}
