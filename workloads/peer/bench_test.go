package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/internal/process"
)

// BenchmarkDial compares canary dials as a peer makes them, with everything around them, against
// bare crypto/tls on loopback: a P-256 credential, TLS 1.3, both directions verified, one byte
// there and one back. The server is bare in both. The rate of peer must be at least 0.9 of that of
// bare; each counts what two dials at a time achieve.
func BenchmarkDial(b *testing.B) {
	dir := b.TempDir()
	pair, pool := mint(b, dir)
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: pool,
		ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "peer.test",
		SessionTicketsDisabled: true,
	}
	address := echo(b, config)
	b.Run("bare", func(b *testing.B) {
		measure(b, func() {
			conn, err := tls.Dial("tcp", address, config)
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			_, err = conn.Write([]byte{'?'})
			if err == nil {
				_, err = io.ReadFull(conn, make([]byte, 1))
			}
			if err != nil {
				b.Error(err)
			}
		})
	})
	b.Run("peer", func(b *testing.B) { benchmarkPeer(b, dir, address) })
}

func benchmarkPeer(b *testing.B, dir, address string) {
	b.Helper()
	c := Config{
		Pod: "a", Mount: dir, Horizon: time.Hour, Deadline: 5 * time.Second,
		Policy: credential.Policy{Kind: credential.LazyTTL, Every: time.Minute},
		Streams: []Stream{{
			Targets: []Target{{Pod: "b", Address: address, ServerName: "peer.test"}},
			Every:   time.Second,
		}},
	}
	kit, end := process.Began(c.settings(), io.Discard, io.Discard)
	defer end()
	p := newPeer(b.Context(), &c, kit)
	p.Begin(b.Context())
	good := &process.Successes{}
	measure(b, func() {
		due := kit.Clock.Offset()
		if !kit.Gate.Enter(due) {
			b.Error("the gate is closed")
			return
		}
		defer kit.Gate.Leave()
		p.Attempt(b.Context(), &c.Streams[0].Targets[0], due, good)
	})
	if b.Failed() || good.Count() != int64(b.N) {
		b.Fatalf("%d of %d dials are ok", good.Count(), b.N)
	}
}

// measure runs dials two at a time and reports their rate.
func measure(b *testing.B, dial func()) {
	b.Helper()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			dial()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "dials/s")
}

// echo serves one byte for one byte.
func echo(b *testing.B, config *tls.Config) string {
	b.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(b, err)
	b.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// mint makes a CA with a leaf and writes them to a folder.
func mint(b *testing.B, dir string) (tls.Certificate, *x509.CertPool) {
	b.Helper()
	template := func(n int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "peer.test"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			DNSNames: []string{"peer.test"},
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	root := template(1)
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, root, root, caKey.Public(), caKey)
	require.NoError(b, err)
	der, err := x509.CreateCertificate(rand.Reader, template(2), root, key.Public(), caKey)
	require.NoError(b, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(b, err)
	for name, block := range map[string]*pem.Block{
		"ca.crt":  {Type: "CERTIFICATE", Bytes: caDER},
		"tls.crt": {Type: "CERTIFICATE", Bytes: der},
		"tls.key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		require.NoError(b, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
	ca, err := x509.ParseCertificate(caDER)
	require.NoError(b, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(b, err)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key, Leaf: leaf}, pool
}
