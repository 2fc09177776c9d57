package handshake_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

// BenchmarkHandshake compares a canary with crypto/tls alone: the same P-256 credential, TLS 1.3,
// X25519, both directions verified, one byte there and one back, over the same Pipe. The rate of
// workload must stay within 5 % of that of bare.
func BenchmarkHandshake(b *testing.B) {
	m := newAuthority(b, "ca", newEC(), aYear).holder(b, order{dns: []string{"node.example.com"}})
	b.Run("bare", func(b *testing.B) { benchmarkBare(b, m) })
	b.Run("workload", func(b *testing.B) { benchmarkWorkload(b, m, handshake.NoRule) })
	b.Run("workload-shared-subject", func(b *testing.B) {
		benchmarkWorkload(b, m, handshake.SharedSubject)
	})
}

func benchmarkWorkload(b *testing.B, m *credential.Material, rule handshake.PeerRule) {
	b.Helper()
	settings := handshake.Settings{
		MinVersion: tls.VersionTLS13, Curves: []tls.CurveID{tls.X25519}, PeerRule: rule,
	}
	client, server := ready(b, m, settings), ready(b, m, settings)
	now := at(start)
	b.ReportAllocs()
	for b.Loop() {
		c, s := handshake.Do(b.Context(), client, server, "node.example.com", now, now)
		if outcome, _ := handshake.Join(c, s); outcome != record.OK {
			b.Fatal(outcome, c.Err, s.Err)
		}
	}
	rate(b)
}

func benchmarkBare(b *testing.B, m *credential.Material) {
	b.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(m.CAs[0])
	cert := tls.Certificate{
		Certificate: [][]byte{m.Chain[0].Raw, m.Chain[1].Raw}, PrivateKey: m.Key, Leaf: m.Leaf,
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519},
		Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "node.example.com",
		SessionTicketsDisabled: true, Time: at(start),
	}
	b.ReportAllocs()
	for b.Loop() {
		client, server := handshake.Pipe()
		done := make(chan error, 1)
		go func() { done <- bareServer(server, config) }()
		require.NoError(b, bareClient(client, config))
		require.NoError(b, <-done)
	}
	rate(b)
}

func bareClient(conn net.Conn, config *tls.Config) error {
	secured := tls.Client(conn, config)
	defer func() { _ = secured.Close() }()
	if err := secured.Handshake(); err != nil {
		return err
	}
	if _, err := secured.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(secured, make([]byte, 1))
	return err
}

func bareServer(conn net.Conn, config *tls.Config) error {
	secured := tls.Server(conn, config)
	defer func() { _ = secured.Close() }()
	if err := secured.Handshake(); err != nil {
		return err
	}
	if _, err := io.ReadFull(secured, make([]byte, 1)); err != nil {
		return err
	}
	_, err := secured.Write([]byte{1})
	return err
}

func rate(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
}
