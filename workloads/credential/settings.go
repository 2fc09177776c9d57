package credential

import (
	"cmp"
	"crypto"
	"crypto/x509"
)

// Files names the three files of a credential inside its folder. An empty name means the key that
// a Secret of type kubernetes.io/tls has: ca.crt, tls.crt, tls.key.
type Files struct {
	CA   string `json:"ca,omitempty"`
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
}

func (f Files) orDefault() Files {
	return Files{
		CA:   cmp.Or(f.CA, "ca.crt"),
		Cert: cmp.Or(f.Cert, "tls.crt"),
		Key:  cmp.Or(f.Key, "tls.key"),
	}
}

// Trust says how many of the certificates in the CA file are trusted.
type Trust string

// The kinds of trust.
const (
	// FirstCert trusts the first block alone, as Akka and Pekko did up to September 2026
	// (CertificateFactory.generateCertificate). What follows that block is not even parsed.
	FirstCert Trust = "first-cert"
	// Bundle trusts every block of the file.
	Bundle Trust = "bundle"
)

// PairCheck says whether a key that does not belong to the leaf is noticed when it is read.
type PairCheck string

// The kinds of pair checks.
const (
	// NoCheck keeps a torn pair, as Java's KeyStore.setKeyEntry does: it fails in handshakes.
	NoCheck PairCheck = "none"
	// MatchCheck refuses a torn pair, as Go's tls.X509KeyPair does.
	MatchCheck PairCheck = "match"
)

// Chain says which certificates are sent to the peer.
type Chain string

// The kinds of chains.
const (
	// LeafAndCA sends the first block of the certificate file and then a CA, as Akka does: under
	// FirstCert always the first CA, under Bundle the CA that signed the leaf, or none.
	LeafAndCA Chain = "leaf-and-ca"
	// WholeFile sends every block of the certificate file.
	WholeFile Chain = "file"
)

// Settings say how a workload reads its credential. The zero value is Akka's way: three separate
// opens, the first CA trusted, no pair check, the leaf and its CA sent.
type Settings struct {
	Files     Files     `json:"files,omitzero"`
	Pinned    bool      `json:"pinned,omitempty"` // one resolved ..data folder, never a torn pair
	Trust     Trust     `json:"trust,omitempty"`
	PairCheck PairCheck `json:"pair_check,omitempty"`
	Chain     Chain     `json:"chain,omitempty"`
}

// Material is one credential as read. It does not change after Read returned it: it may be shared.
type Material struct {
	Leaf    *x509.Certificate
	Chain   []*x509.Certificate // as sent to the peer, leaf first
	Key     crypto.Signer
	CAs     []*x509.Certificate // the trusted ones, in file order
	Torn    bool                // the key is of another leaf
	Version string              // what ..data pointed at when the read began; "" without ..data
}

// Names returns the subject names of the leaf, as the package function Names does.
func (m *Material) Names() []string { return Names(m.Leaf) }
