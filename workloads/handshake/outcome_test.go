package handshake_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

const (
	tls12 = uint16(tls.VersionTLS12)
	tls13 = uint16(tls.VersionTLS13)

	serverName = "node.example.com"
)

// world is both ends of an attempt before it is made. Rows spoil what they are about.
type world struct {
	t                 *testing.T
	ca, other         *authority
	client, server    *credential.Material
	onClient          handshake.Settings
	onServer          handshake.Settings
	clientAt, atServe time.Time
}

func newWorld(t *testing.T, version uint16) *world {
	t.Helper()
	ca := newAuthority(t, "ca", newEC(), aYear)
	settings := handshake.Settings{
		MinVersion: version, MaxVersion: version, PeerRule: handshake.SharedSubject,
	}
	return &world{
		t: t, ca: ca, other: newAuthority(t, "other", newEC(), aYear),
		client:   ca.holder(t, order{dns: []string{serverName}}),
		server:   ca.holder(t, order{dns: []string{serverName}}),
		onClient: settings, onServer: settings, clientAt: start, atServe: start,
	}
}

func (w *world) do(t *testing.T) (client, server handshake.Result) {
	t.Helper()
	return handshake.Do(t.Context(), ready(t, w.client, w.onClient), ready(t, w.server, w.onServer),
		serverName, at(w.clientAt), at(w.atServe))
}

func node(t *testing.T, ca *authority, o order, trusted ...*authority) *credential.Material {
	t.Helper()
	if o.dns == nil {
		o.dns = []string{serverName}
	}
	return ca.holder(t, o, trusted...)
}

var usage = map[string][]x509.ExtKeyUsage{
	"client": {x509.ExtKeyUsageClientAuth},
	"server": {x509.ExtKeyUsageServerAuth},
}

// TestOutcome reaches every cause by a real handshake and checks the end that decided.
func TestOutcome(t *testing.T) {
	rows := []struct {
		name    string
		only    uint16 // a version; 0 for both
		spoil   func(w *world)
		outcome record.Outcome
		side    record.Side
	}{
		{"nothing is wrong", 0, func(*world) {}, record.OK, ""},
		{"the client does not know the server's CA", 0, func(w *world) {
			w.server = node(w.t, w.other, order{}, w.ca)
		}, record.UnknownAuthority, record.Client},
		{"the server does not know the client's CA", 0, func(w *world) {
			w.client = node(w.t, w.other, order{}, w.ca)
		}, record.UnknownAuthority, record.Server},
		{"the server's CA was re-keyed under the same name", 0, func(w *world) {
			w.server = node(w.t, newAuthority(w.t, "ca", newEC(), aYear), order{}, w.ca)
		}, record.UnknownAuthority, record.Client},
		{"the client's CA was re-keyed under the same name", 0, func(w *world) {
			w.client = node(w.t, newAuthority(w.t, "ca", newEC(), aYear), order{}, w.ca)
		}, record.UnknownAuthority, record.Server},
		{"the client trusts nothing", 0, func(w *world) {
			w.client.CAs = nil
		}, record.UnknownAuthority, record.Client},
		{"the server's leaf expired", 0, func(w *world) {
			w.server = node(w.t, w.ca, order{valid: past})
		}, record.Expired, record.Client},
		{"the client's leaf expired", 0, func(w *world) {
			w.client = node(w.t, w.ca, order{valid: past})
		}, record.Expired, record.Server},
		{"the server's leaf is not valid yet", 0, func(w *world) {
			w.server = node(w.t, w.ca, order{valid: future})
		}, record.NotYetValid, record.Client},
		{"the client's leaf is not valid yet", 0, func(w *world) {
			w.client = node(w.t, w.ca, order{valid: future})
		}, record.NotYetValid, record.Server},
		{"the server's CA expired before its leaf", 0, func(w *world) {
			old := newAuthority(w.t, "old", newEC(), past)
			w.server = node(w.t, old, order{}, w.ca)
			w.client.CAs = append(w.client.CAs, old.cert)
		}, record.Expired, record.Client},
		{"the client's CA is not valid before its leaf", 0, func(w *world) {
			early := newAuthority(w.t, "early", newEC(), future)
			w.client = node(w.t, early, order{}, w.ca)
			w.server.CAs = append(w.server.CAs, early.cert)
		}, record.NotYetValid, record.Server},
		{"the server's clock is a day and more ahead", 0, func(w *world) {
			w.atServe = start.Add(25 * time.Hour)
		}, record.Expired, record.Server},
		{"the client's clock is behind", 0, func(w *world) {
			w.clientAt = start.Add(-90 * time.Minute)
		}, record.NotYetValid, record.Client},
		{"the client wants a shared subject", 0, func(w *world) {
			w.server = node(w.t, w.ca, order{dns: []string{"island.example.com"}})
		}, record.NameMismatch, record.Client},
		{"the server alone wants a shared subject", 0, func(w *world) {
			w.client = node(w.t, w.ca, order{dns: []string{"island.example.com"}})
			w.onClient.PeerRule = handshake.NoRule
		}, record.NameMismatch, record.Server},
		{"nobody wants a shared subject", 0, func(w *world) {
			w.client = node(w.t, w.ca, order{dns: []string{"island.example.com"}})
			w.onClient.PeerRule, w.onServer.PeerRule = handshake.NoRule, handshake.NoRule
		}, record.OK, ""},
		{"the server's leaf is for clients only", 0, func(w *world) {
			w.server = node(w.t, w.ca, order{usages: usage["client"]})
		}, record.WrongUsage, record.Client},
		{"the client's leaf is for servers only", 0, func(w *world) {
			w.client = node(w.t, w.ca, order{usages: usage["server"]})
		}, record.WrongUsage, record.Server},
		{"the server's pair is torn", 0, func(w *world) {
			w.server.Key, w.server.Torn = newEC(), true
		}, record.BadSignature, record.Client},
		{"the client's pair is torn", 0, func(w *world) {
			w.client.Key, w.client.Torn = newEC(), true
		}, record.BadSignature, record.Server},
		{"the server's RSA pair is torn", 0, func(w *world) {
			w.server = node(w.t, w.ca, order{key: rsaLeafKey()})
			w.server.Key = rsaOtherKey()
		}, record.BadSignature, record.Client},
		{"the client's RSA pair is torn", 0, func(w *world) {
			w.client = node(w.t, w.ca, order{key: rsaLeafKey()})
			w.client.Key = rsaOtherKey()
		}, record.BadSignature, record.Server},
		{"the client's Ed25519 pair is torn", 0, func(w *world) {
			w.client = node(w.t, w.ca, order{key: newEd25519()})
			w.client.Key = newEd25519()
		}, record.BadSignature, record.Server},
		{"the client's key is of another kind", 0, func(w *world) {
			w.client.Key = rsaLeafKey()
		}, record.BadSignature, record.Server},
		{"the server's key is of another kind", tls13, func(w *world) {
			w.server.Key = rsaLeafKey()
		}, record.BadSignature, record.Client},
		{"the server speaks newer versions only", tls12, func(w *world) {
			w.onServer.MinVersion, w.onServer.MaxVersion = tls13, tls13
		}, record.NoSharedParameters, record.Server},
		{"the server speaks older versions only", tls13, func(w *world) {
			w.onServer.MinVersion, w.onServer.MaxVersion = tls12, tls12
		}, record.NoSharedParameters, record.Server},
		{"no cipher suite in common", tls12, func(w *world) {
			w.onClient.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			w.onServer.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		}, record.NoSharedParameters, record.Server},
		{"no curve in common", 0, func(w *world) {
			w.onClient.Curves = []tls.CurveID{tls.X25519}
			w.onServer.Curves = []tls.CurveID{tls.CurveP384}
		}, record.NoSharedParameters, record.Server},
		{"an EC leaf under Akka's ECDHE_RSA suite", tls12, func(w *world) {
			suites := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
			w.onClient.CipherSuites, w.onServer.CipherSuites = suites, suites
		}, record.NoSharedParameters, record.Server},
		{"the CA may not sign for the name", 0, func(w *world) {
			narrow := newNarrowAuthority(w.t, "example.org")
			w.server = node(w.t, narrow, order{}, w.ca)
			w.client.CAs = append(w.client.CAs, narrow.cert)
		}, record.BadCertificate, record.Client},
		{"the name dialed is in the leaf", 0, func(w *world) {
			w.onClient.VerifyHostname = true
		}, record.OK, ""},
		{"the name dialed is not in the leaf", 0, func(w *world) {
			w.server = node(w.t, w.ca, order{cn: serverName, dns: []string{"localhost"}})
			w.onClient.VerifyHostname, w.onClient.PeerRule = true, handshake.NoRule
			w.onServer.PeerRule = handshake.NoRule
		}, record.NameMismatch, record.Client},
	}
	for _, row := range rows {
		for name, version := range map[string]uint16{"TLS 1.2": tls12, "TLS 1.3": tls13} {
			if row.only != 0 && row.only != version {
				continue
			}
			t.Run(row.name+"/"+name, func(t *testing.T) {
				w := newWorld(t, version)
				row.spoil(w)
				client, server := w.do(t)
				outcome, side := handshake.Join(client, server)
				assert.Equal(t, row.outcome, outcome, "%v, %v", client.Err, server.Err)
				assert.Equal(t, row.side, side)
				assert.Equal(t, row.side == record.Client, client.Decided)
				assert.Equal(t, row.side == record.Server, server.Decided)
			})
		}
	}
}

func newNarrowAuthority(t *testing.T, domain string) *authority {
	t.Helper()
	ca := newAuthority(t, "narrow", newEC(), aYear)
	template := *ca.cert
	template.PermittedDNSDomains, template.PermittedDNSDomainsCritical = []string{domain}, true
	ca.cert = sign(t, &template, nil, ca.key, ca.key, aYear)
	return ca
}

// TestOutcomeSeenByAlert pins what the end that did not decide makes of the alert it saw.
func TestOutcomeSeenByAlert(t *testing.T) {
	rows := []struct {
		name  string
		spoil func(w *world)
		want  record.Outcome // at the client, the server having decided
	}{
		{"unknown CA", func(w *world) {
			w.client = node(w.t, w.other, order{}, w.ca)
		}, record.UnknownAuthority},
		{"expired", func(w *world) {
			w.client = node(w.t, w.ca, order{valid: past})
		}, record.Expired},
		{"not yet valid looks expired", func(w *world) {
			w.client = node(w.t, w.ca, order{valid: future})
		}, record.Expired},
		{"torn", func(w *world) { w.client.Key = newEC() }, record.BadSignature},
		{"wrong usage is not named", func(w *world) {
			w.client = node(w.t, w.ca, order{usages: usage["server"]})
		}, record.BadCertificate},
		{"no shared version", func(w *world) {
			w.onServer.MinVersion, w.onServer.MaxVersion = tls12, tls12
		}, record.NoSharedParameters},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, tls13)
			row.spoil(w)
			client, server := w.do(t)
			require.True(t, server.Decided)
			assert.False(t, client.Decided)
			assert.Equal(t, row.want, client.Outcome)
		})
	}
}

func TestOutcomeKeyKinds(t *testing.T) {
	kinds := map[string]func() crypto.Signer{
		"RSA": rsaLeafKey, "ECDSA": newEC, "Ed25519": newEd25519,
	}
	for name, key := range kinds {
		for _, version := range []uint16{tls12, tls13} {
			t.Run(name+"/"+tls.VersionName(version), func(t *testing.T) {
				w := newWorld(t, version)
				w.client = node(t, w.ca, order{key: key()})
				w.server = node(t, w.ca, order{key: key()})
				client, server := w.do(t)
				require.NoError(t, client.Err)
				require.NoError(t, server.Err)
				assert.Equal(t, w.server.Leaf.Raw, client.Peer.Raw)
				assert.Equal(t, w.client.Leaf.Raw, server.Peer.Raw)
			})
		}
	}
}

// TestClientHandshakeTrap shows why attempts are confirmed: under TLS 1.3 the client's handshake
// succeeds although the server then rejects the client.
func TestClientHandshakeTrap(t *testing.T) {
	w := newWorld(t, tls13)
	stranger := node(t, w.other, order{}, w.ca)
	server := ready(t, w.server, w.onServer)
	clientConn, serverConn := handshake.Pipe()
	done := make(chan handshake.Result, 1)
	go func() { done <- server.Accept(t.Context(), serverConn, at(start)) }()

	bare := tls.Client(clientConn, &tls.Config{
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{
				Certificate: [][]byte{stranger.Leaf.Raw}, PrivateKey: stranger.Key,
			}, nil
		},
	})
	require.NoError(t, bare.Handshake(), "the trap")
	result := <-done
	assert.Equal(t, record.UnknownAuthority, result.Outcome)
	require.NoError(t, clientConn.Close())

	w.client = stranger
	client, _ := w.do(t)
	assert.Equal(t, record.UnknownAuthority, client.Outcome, "the confirming byte finds out")
}

func TestCertificateRequired(t *testing.T) {
	for _, version := range []uint16{tls12, tls13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			w := newWorld(t, version)
			clientConn, serverConn := handshake.Pipe()
			done := make(chan handshake.Result, 1)
			server := ready(t, w.server, w.onServer)
			go func() { done <- server.Accept(t.Context(), serverConn, at(start)) }()

			bare := tls.Client(clientConn, &tls.Config{InsecureSkipVerify: true})
			_ = bare.Handshake()
			result := <-done
			assert.Equal(t, record.CertificateRequired, result.Outcome)
			assert.True(t, result.Decided)
			assert.Nil(t, result.Peer)
			require.NoError(t, clientConn.Close())
		})
	}
}

// TestNoSharedScheme has a server that takes no signature the client's key can make.
func TestNoSharedScheme(t *testing.T) {
	w := newWorld(t, tls12)
	w.client = node(t, w.ca, order{key: newEd25519()})
	clientConn, serverConn := handshake.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// TLS 1.1 has no Ed25519.
		_ = tls.Server(serverConn, &tls.Config{
			MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11,
			ClientAuth: tls.RequireAnyClientCert, Time: at(start),
			Certificates: []tls.Certificate{{
				Certificate: [][]byte{w.server.Leaf.Raw, w.ca.cert.Raw}, PrivateKey: w.server.Key,
			}},
		}).Handshake()
		_ = serverConn.Close()
	}()
	w.onClient.MinVersion = tls.VersionTLS11
	result := ready(t, w.client, w.onClient).Dial(t.Context(), clientConn, serverName, at(start))
	<-done
	assert.Equal(t, record.NoSharedParameters, result.Outcome, "%v", result.Err)
	assert.True(t, result.Decided)
}

// TestBrokenConnection has peers that vanish or speak another protocol.
func TestBrokenConnection(t *testing.T) {
	w := newWorld(t, tls13)
	c := ready(t, w.client, w.onClient)
	rows := []struct {
		name    string
		peer    func(net.Conn)
		decided bool
	}{
		{"the peer is gone", func(conn net.Conn) { _ = conn.Close() }, false},
		{"the peer speaks HTTP", func(conn net.Conn) {
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		}, true},
	}
	for _, row := range rows {
		t.Run(row.name+"/client", func(t *testing.T) {
			near, far := handshake.Pipe()
			defer func() { _ = far.Close() }()
			row.peer(far)
			result := c.Dial(t.Context(), near, serverName, at(start))
			assert.Equal(t, record.Other, result.Outcome)
			assert.Equal(t, row.decided, result.Decided)
		})
		t.Run(row.name+"/server", func(t *testing.T) {
			far, near := handshake.Pipe()
			defer func() { _ = far.Close() }()
			row.peer(far)
			result := c.Accept(t.Context(), near, at(start))
			assert.Equal(t, record.Other, result.Outcome)
			assert.Equal(t, row.decided, result.Decided)
		})
	}
}

// TestOverTCP checks that the refusal of either end reaches the other as an alert, and not as the
// reset that closing a socket with unread data causes.
func TestOverTCP(t *testing.T) {
	rows := []struct {
		name  string
		spoil func(w *world)
		want  record.Outcome
	}{
		{"both agree", func(*world) {}, record.OK},
		{"the server refuses", func(w *world) {
			w.client = node(w.t, w.other, order{}, w.ca)
		}, record.UnknownAuthority},
		{"the client refuses", func(w *world) {
			w.server = node(w.t, w.other, order{}, w.ca)
		}, record.BadCertificate},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for range 20 { // the reset is a race
				w := newWorld(t, tls13)
				row.spoil(w)
				client, server := overTCP(t, w)
				seen := client
				if client.Decided {
					seen = server
				}
				require.Equal(t, row.want, seen.Outcome, "%v", seen.Err)
			}
		})
	}
}

func overTCP(t *testing.T, w *world) (client, server handshake.Result) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	acceptor, done := ready(t, w.server, w.onServer), make(chan handshake.Result, 1)
	go func() {
		conn, acceptErr := listener.Accept()
		if acceptErr != nil {
			done <- handshake.Result{Outcome: record.Unreachable, Err: acceptErr}
			return
		}
		done <- acceptor.Accept(ctx, conn, at(w.atServe))
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	client = ready(t, w.client, w.onClient).Dial(ctx, conn, serverName, at(w.clientAt))
	return client, <-done
}

func TestNewContextRefusesNothing(t *testing.T) {
	_, err := handshake.NewContext(nil, handshake.Settings{})
	require.Error(t, err)
	_, err = handshake.NewContext(&credential.Material{}, handshake.Settings{})
	require.Error(t, err)
}
