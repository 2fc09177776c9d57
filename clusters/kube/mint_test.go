package kube

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Who trusts the old root alone accepts a leaf of the new one by the cross-signature between them.
func TestCrossSign(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	root2 := mint(t, nil, "root", true)
	r.write(time.Second, stored(t, rootSecret, root2, root2))
	cas := []*x509.Certificate{r.root.cert, root2.cert}
	data, err := r.crossSign(r.secrets[rootSecret], cas)
	require.NoError(t, err)
	crosses := certificates(data)
	require.Len(t, crosses, 1)
	cross := crosses[0]
	assert.Equal(t, root2.cert.PublicKey, cross.PublicKey)
	assert.Equal(t, root2.cert.NotAfter, cross.NotAfter)
	assert.Equal(t, "root/2x", r.names.other(cross).name)

	leaf := mint(t, root2, "a.example", false)
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(r.root.cert)
	options := x509.VerifyOptions{Roots: roots, DNSName: "a.example", CurrentTime: base}
	_, err = leaf.cert.Verify(options)
	_, unknown := err.(x509.UnknownAuthorityError) //nolint:errorlint // it is returned as it is
	assert.True(t, unknown)
	between.AddCert(cross)
	options.Intermediates = between
	chains, err := leaf.cert.Verify(options)
	require.NoError(t, err)
	require.Len(t, chains, 1)
	assert.Equal(t, []*x509.Certificate{leaf.cert, cross, r.root.cert}, chains[0])

	r.write(2*time.Second, stored(t, leafSecret, leaf, r.root, root2))
	assert.Equal(t, "root/2", r.secrets[leafSecret].current().held.Chain, "not the cross-signature")
}

func TestCrossSignImpossible(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data, err := r.crossSign(r.secrets[rootSecret], []*x509.Certificate{r.root.cert})
	require.NoError(t, err)
	assert.Nil(t, data, "there is nothing before the first")

	stranger := mint(t, nil, "root", true)
	_, err = r.crossSign(r.secrets[rootSecret], []*x509.Certificate{stranger.cert})
	require.ErrorIs(t, err, errNoKey)

	r.saw(rootSecret, nil, base.Add(time.Second))
	_, err = r.crossSign(r.secrets[rootSecret], []*x509.Certificate{stranger.cert})
	require.ErrorIs(t, err, errNoKey, "whose Secret was just deleted")
	_, err = r.crossSign(&secret{}, []*x509.Certificate{stranger.cert})
	require.ErrorIs(t, err, errNoKey)
}

// A strange leaf has the old names, the old issuer and a key that is nobody's.
func TestStrangeLeaf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	root2 := mint(t, nil, "root", true)
	r.write(time.Second, stored(t, rootSecret, root2, root2))
	chain, err := r.strangeLeaf(r.secrets[leafSecret], r.secrets[rootSecret])
	require.NoError(t, err)
	_, err = tls.X509KeyPair(chain, r.leaf.keyFile(t))
	require.Error(t, err, "the old key does not match")
	leafs := certificates(chain)
	require.Len(t, leafs, 1)
	leaf := leafs[0]
	assert.Equal(t, []string{"a.example"}, leaf.DNSNames)
	assert.Equal(t, r.leaf.cert.RawSubject, leaf.RawSubject)
	assert.Equal(t, r.leaf.cert.NotBefore, leaf.NotBefore, "by the clock that dated the old one")
	assert.Equal(t, r.leaf.cert.NotAfter, leaf.NotAfter)
	assert.Equal(t, "leaf/1'", r.names.other(leaf).name)
	require.NoError(t, leaf.CheckSignatureFrom(r.root.cert), "by the CA that signed the old leaf")

	alone, err := r.strangeLeaf(r.secrets[leafSecret], nil)
	require.NoError(t, err)
	self := certificates(alone)[0]
	require.NoError(t, self.CheckSignature(self.SignatureAlgorithm, self.RawTBSCertificate,
		self.Signature), "self-signed")
}

func TestSignerOf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	root2 := mint(t, nil, "root", true)
	r.write(time.Second, stored(t, rootSecret, root2, root2))
	s := r.secrets[rootSecret]
	assert.Equal(t, r.root.cert, s.signerOf(r.leaf.cert))
	assert.Equal(t, root2.cert, s.signerOf(mint(t, root2, "x", false).cert))
	assert.Equal(t, root2.cert, s.signerOf(mint(t, nil, "x", false).cert), "else the newest")
	assert.Nil(t, (*secret)(nil).signerOf(r.leaf.cert))
	assert.Nil(t, (&secret{}).signerOf(r.leaf.cert))
}

func TestAnotherKey(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	fresh, err := anotherKey(rsaKey.Public())
	require.NoError(t, err)
	made, isRSA := fresh.(*rsa.PrivateKey)
	require.True(t, isRSA)
	assert.Equal(t, 1024, made.N.BitLen())
	assert.False(t, made.Equal(rsaKey))

	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	fresh, err = anotherKey(ecKey.Public())
	require.NoError(t, err)
	assert.Equal(t, elliptic.P384(), fresh.(*ecdsa.PrivateKey).Curve)

	public, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	fresh, err = anotherKey(public)
	require.NoError(t, err)
	assert.IsType(t, ed25519.PrivateKey{}, fresh)

	_, err = anotherKey("no key")
	assert.EqualError(t, err, "no key like string can be made")
}
