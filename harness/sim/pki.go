package sim

import (
	"crypto/x509"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// The simulator's certificates are symbols: who issued which key to which names and until when.
// Bytes are minted from them only where real crypto/tls is to judge.

// key is one private key.
type key struct {
	id        int
	algorithm keyAlgorithm
}

// template is what the certificates of one Certificate have in common: names, usages and key type.
type template struct {
	id   int
	x509 x509.Certificate // as cert-manager's own pki package derives it from the spec
}

// cert is one certificate. Times are offsets, in whole seconds as X.509 holds them.
type cert struct {
	id        int
	name      string // its generation, such as "my-service-tls/3"
	template  *template
	key       *key
	issuer    *cert // nil when self-signed
	notBefore time.Duration
	notAfter  time.Duration
}

// root reports whether the certificate is self-signed.
func (c *cert) root() bool { return c.issuer == nil }

// content is what a Secret, or a volume that projects it, holds. It is never changed.
type content struct {
	secret   string
	revision int
	written  time.Duration
	certs    []*cert // tls.crt, leaf first
	key      *key    // tls.key
	cas      []*cert // ca.crt
	ring     *ring   // keys with ids, in place of all that
}

// equal reports whether both hold the same files.
func (c *content) equal(other *content) bool {
	return c.key == other.key && slices.Equal(c.certs, other.certs) &&
		slices.Equal(c.cas, other.cas) && c.ring.equal(other.ring)
}

// torn reports whether the key is not the leaf's.
func (c *content) torn() bool { return len(c.certs) > 0 && c.key != c.certs[0].key }

// validity returns the bounds of the leaf's, zero without one.
func (c *content) validity() (notBefore, notAfter time.Duration) {
	if len(c.certs) == 0 {
		return 0, 0
	}
	return c.certs[0].notBefore, c.certs[0].notAfter
}

// generation names the content, with the first trusted CAs as a reader takes them.
func (c *content) generation(trusted []*cert) *record.Generation {
	if c.ring != nil {
		return c.ring.generation(c.secret)
	}
	issuer := c.certs[0].issuer
	if issuer == nil {
		issuer = c.certs[0]
	}
	names := make([]string, len(trusted))
	for i, ca := range trusted {
		names[i] = ca.name
	}
	return &record.Generation{
		Leaf: c.certs[0].name, Trust: strings.Join(names, "+"), Chain: issuer.name, Torn: c.torn(),
	}
}

// pki hands out keys and certificates.
type pki struct {
	keys  int
	certs int
}

func (p *pki) newKey(algorithm keyAlgorithm) *key {
	p.keys++
	return &key{id: p.keys, algorithm: algorithm}
}

// issue makes a certificate valid from the second that now is in, as cert-manager's issuers do
// (pkg/util/pki/certificatetemplate.go: NotBefore is time.Now, with no back-dating).
func (p *pki) issue(
	name string, tmpl *template, k *key, issuer *cert, now, duration time.Duration,
) *cert {
	p.certs++
	from := now.Truncate(time.Second)
	return &cert{
		id: p.certs, name: name, template: tmpl, key: k, issuer: issuer,
		notBefore: from, notAfter: from + duration,
	}
}

// revisionName names a generation, without the namespace, which one run rarely needs.
func revisionName(certificate string, revision int) string {
	_, name, _ := strings.Cut(certificate, "/")
	return name + "/" + strconv.Itoa(revision)
}
