package kube

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/peer"
)

// names gives every certificate seen in a Secret a name that is stable within the run: that of the
// Certificate it was issued for and how many there were, such as "root/2". Pods know
// certificates by their fingerprints only.
type names struct {
	known     map[string]*named // by fingerprint
	order     []*named
	revisions map[string]int // issued so far, by Certificate
	renamed   bool           // a guess has become a name, and contents are to be named again
}

type named struct {
	name   string
	guess  bool // no Certificate was seen to issue it yet
	cert   *x509.Certificate
	issuer string // its name; the own one of a root, "" while it is unknown
	cross  bool   // it is a cross-signature, of a CA that issues under its own name
}

func newNames() *names {
	return &names{known: map[string]*named{}, revisions: map[string]int{}}
}

// issued names a leaf found in the Secret of a Certificate, unless it has a name. It reports
// whether that is news: a leaf that was issued, and not written back or made by a fault.
func (n *names) issued(cert *x509.Certificate, certificate string) (leaf *named, isNew bool) {
	found := n.known[peer.Fingerprint(cert)]
	if found != nil && !found.guess {
		return found, false
	}
	n.revisions[certificate]++
	_, short, _ := strings.Cut(certificate, "/")
	name := fmt.Sprintf("%s/%d", short, n.revisions[certificate])
	if found != nil {
		found.name, found.guess, n.renamed = name, false, true
		return found, true
	}
	return n.add(cert, name), true
}

// other names a certificate that no Certificate of the plan was seen to issue.
func (n *names) other(cert *x509.Certificate) *named {
	fingerprint := peer.Fingerprint(cert)
	if found := n.known[fingerprint]; found != nil {
		return found
	}
	added := n.add(cert, unknown(fingerprint))
	added.guess = true
	return added
}

// add gives a certificate a name.
func (n *names) add(cert *x509.Certificate, name string) *named {
	added := &named{name: name, cert: cert}
	n.known[peer.Fingerprint(cert)] = added
	n.order = append(n.order, added)
	return added
}

// unknown is the name of a certificate that was never seen in a Secret.
func unknown(fingerprint string) string { return "unknown:" + fingerprint }

// has reports whether every certificate of a generation, as a pod tells it, has a name.
func (n *names) has(g *record.Generation) bool {
	if g == nil {
		return true
	}
	for _, fingerprint := range append(strings.Split(g.Trust, "+"), g.Leaf) {
		if fingerprint != "" && n.known[fingerprint] == nil {
			return false
		}
	}
	return true
}

// translate returns a generation as a pod tells it, by fingerprints, with names.
func (n *names) translate(g *record.Generation) *record.Generation {
	if g == nil {
		return nil
	}
	translated := &record.Generation{Leaf: n.of(g.Leaf), Torn: g.Torn}
	if g.Trust != "" {
		var trust []string
		for fingerprint := range strings.SplitSeq(g.Trust, "+") {
			trust = append(trust, n.of(fingerprint))
		}
		translated.Trust = strings.Join(trust, "+")
	}
	if leaf := n.known[g.Leaf]; leaf != nil {
		translated.Chain = n.issuer(leaf)
	}
	return translated
}

func (n *names) of(fingerprint string) string {
	if fingerprint == "" {
		return ""
	}
	if found := n.known[fingerprint]; found != nil {
		return found.name
	}
	return unknown(fingerprint)
}

// issuer returns the name of the CA that signed a certificate, as far as it was seen: the newest of
// those that have the same key, since a certificate is seen soon after it was issued.
func (n *names) issuer(of *named) string {
	if of.issuer != "" {
		return of.issuer
	}
	for _, ca := range slices.Backward(n.order) {
		if ca.cross || !signed(ca.cert, of.cert) {
			continue
		}
		if !ca.guess { // a guess may still become a name
			of.issuer = ca.name
		}
		return ca.name
	}
	return ""
}

// signed reports whether a CA made the signature on a certificate.
func signed(ca, cert *x509.Certificate) bool {
	return bytes.Equal(ca.RawSubject, cert.RawIssuer) &&
		ca.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// certificates parses the certificates of a PEM file, leaving out what is none.
func certificates(data []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for len(data) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return certs
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
	return certs
}
