package handshake

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/certquake/certquake/workloads/credential"
)

// PeerRule says what else must hold of a peer whose chain is trusted.
type PeerRule string

// The peer rules.
const (
	// SharedSubject demands that own leaf and peer's leaf have a subject name in common, as Akka's
	// PeerSubjectVerifier does. Both ends apply it.
	SharedSubject PeerRule = "shared-subject"
	// NoRule demands nothing more.
	NoRule PeerRule = "none"
)

// Settings are the TLS settings of a workload. The zero value is Go's defaults with no peer rule.
type Settings struct {
	MinVersion uint16 `json:"min_version,omitempty"` // 0 for Go's default, as MaxVersion
	MaxVersion uint16 `json:"max_version,omitempty"`
	// CipherSuites are those of TLS 1.2: Go does not let those of TLS 1.3 be chosen.
	CipherSuites []uint16      `json:"cipher_suites,omitempty"`
	Curves       []tls.CurveID `json:"curves,omitempty"` // nil for Go's default
	PeerRule     PeerRule      `json:"peer_rule,omitempty"`
	// VerifyHostname is for clients: the name dialed must be in the server's leaf.
	VerifyHostname bool `json:"verify_hostname,omitempty"`
	Resumption     bool `json:"resumption,omitempty"` // offer and take session tickets
}

// sessionCacheSize bounds the sessions a client remembers, one per server name.
const sessionCacheSize = 256

// errNoMaterial is NewContext's refusal of a credential without a leaf or key.
var errNoMaterial = errors.New("the credential has no leaf or no key")

// Context is one loaded credential made ready for both roles. A reload makes a new Context, so
// tickets and remembered sessions never cross a reload, as with a new SSLContext in JSSE. It is
// safe for concurrent use.
type Context struct {
	material *credential.Material
	settings Settings
	names    []string // of the own leaf
	cert     tls.Certificate
	trusted  *x509.CertPool
	client   *tls.Config // both are templates: every attempt fills in a clone
	server   *tls.Config
}

// NewContext returns a context for a credential. A torn one is accepted, as in Java: its signatures
// fail at the peer. The material must not be changed afterwards.
func NewContext(m *credential.Material, s Settings) (*Context, error) {
	if m == nil || m.Leaf == nil || m.Key == nil {
		return nil, fmt.Errorf("new TLS context: %w", errNoMaterial)
	}
	c := &Context{
		material: m,
		settings: s,
		names:    m.Names(),
		cert:     certificate(m),
		trusted:  x509.NewCertPool(),
	}
	for _, ca := range m.CAs {
		c.trusted.AddCert(ca)
	}
	c.client, c.server = c.common(), c.common()
	c.readyClient()
	c.readyServer()
	return c, nil
}

// Material returns the credential the context was made of.
func (c *Context) Material() *credential.Material { return c.material }

// certificate is the credential as crypto/tls sends it. Unlike tls.X509KeyPair it does not ask
// whether the key is the leaf's.
func certificate(m *credential.Material) tls.Certificate {
	cert := tls.Certificate{PrivateKey: m.Key, Leaf: m.Leaf}
	for _, link := range m.Chain {
		cert.Certificate = append(cert.Certificate, link.Raw)
	}
	if len(cert.Certificate) == 0 {
		cert.Certificate = [][]byte{m.Leaf.Raw}
	}
	return cert
}

func (c *Context) common() *tls.Config {
	return &tls.Config{
		MinVersion:             c.settings.MinVersion,
		MaxVersion:             c.settings.MaxVersion,
		CipherSuites:           c.settings.CipherSuites,
		CurvePreferences:       c.settings.Curves,
		SessionTicketsDisabled: !c.settings.Resumption,
	}
}

// readyClient leaves all verification to attempt.verifyServer, which runs on resumption too and
// can do without a host name; crypto/tls cannot.
func (c *Context) readyClient() {
	c.client.InsecureSkipVerify = true
	if c.settings.Resumption {
		c.client.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	}
}

// readyServer lets crypto/tls verify the chain, which makes its alerts name the cause and
// resumption respect it. An absent certificate is left to attempt.verifyClient, whose error has a
// type.
func (c *Context) readyServer() {
	c.server.ClientAuth = tls.VerifyClientCertIfGiven
	c.server.ClientCAs = c.trusted
	c.server.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &c.cert, nil
	}
	if c.settings.Resumption {
		// Clones share fixed keys; keys that crypto/tls makes by itself are each clone's own.
		var key [32]byte
		_, _ = rand.Read(key[:]) // never fails, by its contract
		c.server.SetSessionTicketKeys([][32]byte{key})
	}
}

// clientConfig is the template for one attempt. Cloning costs well under 1 % of a handshake.
func (c *Context) clientConfig(a *attempt) *tls.Config {
	config := c.client.Clone()
	config.ServerName = a.serverName
	config.Time = a.now
	config.VerifyConnection = a.verifyServer
	config.GetClientCertificate = a.clientCertificate
	return config
}

func (c *Context) serverConfig(a *attempt) *tls.Config {
	config := c.server.Clone()
	config.Time = a.now
	config.VerifyConnection = a.verifyClient
	return config
}

// verify checks a server's chain as crypto/tls would a client's.
func (c *Context) verify(chain []*x509.Certificate, now time.Time) error {
	between := x509.NewCertPool()
	for _, link := range chain[1:] {
		between.AddCert(link)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         c.trusted,
		Intermediates: between,
		CurrentTime:   now,
	})
	return err
}
