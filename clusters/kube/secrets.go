package kube

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/request"
)

// The keys of a TLS Secret.
const (
	caKey   = "ca.crt"
	certKey = "tls.crt"
	keyKey  = "tls.key"
)

// content is what a Secret held from one write to the next. Its keys stay in memory for faults that
// restore or sign with them; they reach no row, log or error.
type content struct {
	at      time.Duration // of the write
	object  *corev1.Secret
	certs   []*x509.Certificate // of tls.crt
	cas     []*x509.Certificate // of ca.crt
	keys    *request.Names      // of keys with ids, in the place of certificates
	torn    bool                // tls.key is not the leaf's, or the keys are no ring
	held    *record.Generation  // by names
	issued  bool                // its leaf was not seen before
	deleted bool
}

// secret is the history of one Secret that a Certificate or a RotatingSecret of the plan writes.
type secret struct {
	name    string // namespace/name
	owner   string // the Certificate, namespace/name; "" of keys with ids
	history []*content
	trust   *heldTrust // keeps ca.crt over issuances
}

// heldTrust is what PublishTrust holds in ca.crt.
type heldTrust struct {
	ca     []byte // the file
	cross  []byte // appended to tls.crt of new leaves, nil for nothing
	action string // to be proved by the next issuance; "" once it is
	cut    bool   // a fault cuts it down until the next issuance
}

// current returns what the Secret holds, nil when it does not exist.
func (s *secret) current() *content {
	if len(s.history) == 0 || s.history[len(s.history)-1].deleted {
		return nil
	}
	return s.history[len(s.history)-1]
}

// paired returns the newest content whose key was the leaf's, nil when there was none.
func (s *secret) paired() *content {
	for _, c := range slices.Backward(s.history) {
		if !c.deleted && !c.torn {
			return c
		}
	}
	return nil
}

// readContent reads a Secret and names what is in it. It returns nil for a Secret without a leaf,
// as one that is still being made.
func (n *names) readContent(object *corev1.Secret, owner string, at time.Duration) *content {
	data := object.Data
	c := &content{
		at: at, object: object, certs: certificates(data[certKey]), cas: certificates(data[caKey]),
	}
	if len(c.certs) == 0 {
		return nil
	}
	_, err := tls.X509KeyPair(data[certKey], data[keyKey])
	c.torn = err != nil
	_, c.issued = n.issued(c.certs[0], owner)
	c.held = n.generation(c)
	return c
}

// generation names a content.
func (n *names) generation(c *content) *record.Generation {
	leaf := n.other(c.certs[0])
	trust := make([]string, len(c.cas))
	for i, ca := range c.cas {
		trust[i] = n.other(ca).name
	}
	return &record.Generation{
		Leaf: leaf.name, Trust: strings.Join(trust, "+"), Chain: n.issuer(leaf), Torn: c.torn,
	}
}

// rename names every content again, since a certificate has got another name.
func (s *secret) rename(n *names) {
	for _, c := range s.history {
		if !c.deleted && c.keys == nil {
			c.held = n.generation(c)
		}
	}
}

// same reports whether two contents are equal to a kubelet.
func (c *content) same(other *content) bool {
	if other == nil || c.deleted || other.deleted {
		return other != nil && c.deleted == other.deleted
	}
	if c.keys != nil {
		return maps.EqualFunc(c.object.Data, other.object.Data, bytes.Equal)
	}
	for _, key := range []string{caKey, certKey, keyKey} {
		if !bytes.Equal(c.object.Data[key], other.object.Data[key]) {
			return false
		}
	}
	return true
}

// last returns the newest entry of the history, deletions included.
func (s *secret) last() *content {
	if len(s.history) == 0 {
		return nil
	}
	return s.history[len(s.history)-1]
}

// holding returns the newest content up to the offset that a pod's words describe: all of it, or
// with first as a reader takes it that trusts the first CA alone. Nil when there was none, as for a
// mixture of two.
func (s *secret) holding(words *record.Generation, until time.Duration, first bool) *content {
	for _, c := range slices.Backward(s.history) {
		if c.deleted || c.at > until {
			continue
		}
		trust := c.held.Trust
		if first {
			trust, _, _ = strings.Cut(trust, "+")
		}
		if c.held.Leaf == words.Leaf && c.held.Torn == words.Torn && trust == words.Trust {
			return c
		}
	}
	return nil
}

// row returns the row of a write.
func (s *secret) row(c *content, base time.Time) record.Span {
	row := record.Span{
		Kind: record.Write, From: c.at, To: c.at, Source: s.name, Outcome: record.OK,
	}
	if c.deleted {
		row.Detail = "deleted"
		return row
	}
	row.Own = c.held
	if c.keys != nil {
		row.Detail = c.keys.String()
		return row
	}
	row.NotBefore, row.NotAfter = c.certs[0].NotBefore.Sub(base), c.certs[0].NotAfter.Sub(base)
	return row
}

// trusted returns the CAs that a reference names as they stand: what the Secret's ca.crt holds but
// for the authority's newest, or that one.
func (s *secret) trusted(authority *secret, refs []scenarios.AuthorityRef) []*x509.Certificate {
	newest := authority.paired() // cert-manager signs with it, or did until its Secret went
	held := s.current()
	var cas []*x509.Certificate
	for _, ref := range refs {
		switch {
		case ref == scenarios.Current && newest != nil:
			cas = append(cas, newest.certs[0])
		case ref == scenarios.Previous && held != nil:
			for _, ca := range held.cas {
				if newest == nil || !ca.Equal(newest.certs[0]) {
					cas = append(cas, ca)
				}
			}
		}
	}
	return cas
}
