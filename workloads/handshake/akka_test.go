package handshake_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

// The tests of this file are Akka's own cases, under Akka's names, in this package's terms: a
// system is a cache over the mounted Secret and the context made of its material.

// cacheTTL is that of RotatingKeysSSLEngineProviderSpec, which waits a second longer for expiry.
const cacheTTL = time.Second

// akka are Akka's defaults of the rotating keys engine.
func akka() handshake.Settings {
	return handshake.Settings{
		MinVersion: tls12, MaxVersion: tls12,
		CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
		PeerRule:     handshake.SharedSubject,
	}
}

// system is an ActorSystem: what it dialed and accepted is counted as Akka's spec counts engines.
type system struct {
	cache    *credential.Cache
	material *credential.Material
	context  *handshake.Context
	clients  int
	servers  int
}

func newSystem(secret *credential.Volume) *system {
	policy := credential.Policy{Kind: credential.LazyTTL, Every: cacheTTL}
	return &system{cache: credential.NewCache(secret, credential.Settings{}, policy)}
}

// tls returns the context to use at an instant, a new one whenever the credential was read again.
func (s *system) tls(t *testing.T, now time.Duration) *handshake.Context {
	t.Helper()
	m, err := s.cache.Get(now)
	require.NoError(t, err)
	if m != s.material {
		s.material, s.context = m, ready(t, m, akka())
	}
	return s.context
}

// contact makes s connect to other at an instant.
func (s *system) contact(
	t *testing.T, other *system, now time.Duration,
) (record.Outcome, record.Side) {
	t.Helper()
	client, server := s.tls(t, now), other.tls(t, now)
	s.clients++
	other.servers++
	clock := at(start.Add(now))
	return handshake.Join(handshake.Do(t.Context(), client, server, "", clock, clock))
}

func (s *system) mustContact(t *testing.T, other *system, now time.Duration) {
	t.Helper()
	outcome, side := s.contact(t, other, now)
	require.Equal(t, record.OK, outcome, side)
}

// rotatingKeys is the Secret of the spec, with the certificates that it deploys.
type rotatingKeys struct {
	volume   *credential.Volume
	ca       *authority
	deployed int
}

func newRotatingKeys(t *testing.T) *rotatingKeys {
	t.Helper()
	ca := newAuthority(t, "exampleca", rsaCAKey(), aYear)
	return &rotatingKeys{volume: credential.NewVolume(), ca: ca}
}

func (r *rotatingKeys) deploy(t *testing.T, o order) {
	t.Helper()
	o.key = rsaLeafKey()
	o.dns = append(o.dns, "example.com")
	leaf := r.ca.leaf(t, o)
	r.deployed++
	r.volume.Project(strconv.Itoa(r.deployed), secret(t, r.ca, leaf, o.key))
}

func TestRotatingProviderWithStaticKeysSpec(t *testing.T) {
	t.Run("rebuild the SSLContext", func(t *testing.T) {
		keys := newRotatingKeys(t)
		keys.deploy(t, order{cn: "node001"})
		a, b := newSystem(keys.volume), newSystem(keys.volume)
		a.mustContact(t, b, 0)
		before := b.context
		require.Equal(t, 1, b.servers)

		expired := cacheTTL + time.Second
		c := newSystem(keys.volume)
		b.mustContact(t, c, expired)
		assert.Equal(t, 1, b.clients)
		assert.Equal(t, 1, c.servers)
		assert.NotSame(t, before, b.context)
		assert.Same(t, b.context, b.tls(t, expired), "cached until the next expiry")
	})

	t.Run("keep existing connections alive", func(t *testing.T) {
		keys := newRotatingKeys(t)
		keys.deploy(t, order{cn: "node001"})
		a, b := newSystem(keys.volume), newSystem(keys.volume)
		var associations []*association // control, ordinary and large
		for range 3 {
			associations = append(associations, associate(t, a.tls(t, 0), b.tls(t, 0)))
		}
		ping(t, associations, 2)

		keys.deploy(t, order{cn: "node002"})
		expired := cacheTTL + time.Second
		before := a.context
		require.NotSame(t, before, a.tls(t, expired), "reloaded")
		require.NotNil(t, b.tls(t, expired))
		ping(t, associations, 2)

		year := 2 * aYear.to
		clock := at(start.Add(year))
		outcome, _ := handshake.Join(handshake.Do(
			t.Context(), a.tls(t, year), b.tls(t, year), "", clock, clock))
		require.Equal(t, record.Expired, outcome, "new connections feel the expiry")
		ping(t, associations, 2)
	})
}

func TestRotatingProviderWithChangingKeysSpec(t *testing.T) {
	t.Run("rebuild the SSLContext using new keys", func(t *testing.T) {
		keys := newRotatingKeys(t)
		keys.deploy(t, order{cn: "node001"})
		a, b := newSystem(keys.volume), newSystem(keys.volume)
		a.mustContact(t, b, 0)
		before := b.context

		keys.deploy(t, order{cn: "rsa-client", usages: usage["client"]})
		expired := cacheTTL + time.Second
		outcome, side := b.contact(t, newSystem(keys.volume), expired)
		assert.Equal(t, record.WrongUsage, outcome)
		assert.Equal(t, record.Client, side)

		keys.deploy(t, order{cn: "node003"})
		// No wait: b still holds rsa-client, which does for the connecting end.
		b.mustContact(t, newSystem(keys.volume), expired)
		assert.NotSame(t, before, b.context)
	})

	t.Run("retry at once while the keys are unreadable", func(t *testing.T) {
		keys := newRotatingKeys(t)
		keys.deploy(t, order{cn: "node001"})
		b := newSystem(keys.volume)
		require.NotNil(t, b.tls(t, 0))
		before := b.context

		keys.volume.Project("broken", map[string][]byte{"ca.crt": []byte("?")})
		expired := cacheTTL + time.Second
		_, err := b.cache.Get(expired)
		require.Error(t, err, "there is no last good fallback")

		keys.deploy(t, order{cn: "node003"})
		b.mustContact(t, newSystem(keys.volume), expired)
		assert.NotSame(t, before, b.context)
	})
}

func TestPeerSubjectVerifierSpec(t *testing.T) {
	ca := newAuthority(t, "exampleca", newEC(), aYear)
	one := ca.holder(t, order{cn: "one.example.com", dns: []string{"one", "example.com"}})
	two := ca.holder(t, order{cn: "two.example.com", dns: []string{"two", "example.com"}})
	island := ca.holder(t, order{cn: "island.example.com"})
	rows := []struct {
		name string
		peer *credential.Material
		want record.Outcome
	}{
		{"accept a peer when both peers have the same subject", one, record.OK},
		{"accept a peer sharing a subject alternative name", two, record.OK},
		{"reject a peer without common subjects", island, record.NameMismatch},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			settings := handshake.Settings{PeerRule: handshake.SharedSubject}
			client, server := handshake.Do(t.Context(), ready(t, one, settings),
				ready(t, row.peer, settings), "", at(start), at(start))
			outcome, _ := handshake.Join(client, server)
			assert.Equal(t, row.want, outcome)
		})
	}
}

func TestTLSTCPSpec(t *testing.T) {
	pekko := handshake.Settings{MinVersion: tls13, PeerRule: handshake.SharedSubject}
	rows := []struct {
		name     string
		settings handshake.Settings
	}{
		{"rotating keys, Akka's defaults", akka()},
		{"rotating keys, Pekko's defaults", pekko},
		{"resumption on", handshake.Settings{Resumption: true}},
	}
	for _, row := range rows {
		ca := newAuthority(t, "exampleca", rsaCAKey(), aYear)
		m := ca.holder(t, order{cn: "node", key: rsaLeafKey()})
		t.Run(row.name+"/deliver messages", func(t *testing.T) {
			c := ready(t, m, row.settings)
			ping(t, []*association{associate(t, c, c)}, 10)
		})
		t.Run(row.name+"/deliver messages over large stream", func(t *testing.T) {
			c := ready(t, m, row.settings)
			large := associate(t, c, c)
			want := bytes.Repeat([]byte("large message "), 100_000)
			done := make(chan error, 1)
			go func() {
				_, err := large.client.Write(want)
				done <- err
			}()
			got := make([]byte, len(want))
			_, err := io.ReadFull(large.server, got)
			require.NoError(t, err)
			require.NoError(t, <-done)
			assert.True(t, bytes.Equal(want, got))
		})
	}
}

func TestTLSTCPWithHostnameVerificationSpec(t *testing.T) {
	ca := newAuthority(t, "exampleca", newEC(), aYear)
	m := ca.holder(t, order{cn: "akka-remote", dns: []string{"localhost"}})
	rows := []struct {
		name   string
		dialed string
		want   record.Outcome
	}{
		{"fail when the name in the leaf does not match", "127.0.0.1", record.NameMismatch},
		{"succeed when the name in the leaf matches", "localhost", record.OK},
		{"fail when nothing says which name was meant", "", record.NameMismatch},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := ready(t, m, handshake.Settings{VerifyHostname: true})
			client, server := handshake.Do(t.Context(), c, c, row.dialed, at(start), at(start))
			outcome, side := handshake.Join(client, server)
			assert.Equal(t, row.want, outcome)
			assert.Equal(t, row.want != record.OK, side == record.Client)
		})
	}
}

// association is an established connection.
type association struct{ client, server *tls.Conn }

func associate(t *testing.T, client, server *handshake.Context) *association {
	t.Helper()
	clientConn, serverConn := handshake.Pipe()
	served := make(chan *tls.Conn, 1)
	go func() {
		conn, _ := server.Serve(t.Context(), serverConn, at(start))
		served <- conn
	}()
	conn, result := client.Connect(t.Context(), clientConn, "", at(start))
	a := &association{client: conn, server: <-served}
	require.NoError(t, result.Err)
	require.NotNil(t, a.server)
	t.Cleanup(func() {
		_ = a.client.Close()
		_ = a.server.Close()
	})
	return a
}

// ping sends numbered messages over every association and expects them echoed in order.
func ping(t *testing.T, associations []*association, count int) {
	t.Helper()
	for _, a := range associations {
		for n := range count {
			want := []byte("ping-" + strconv.Itoa(n))
			assert.Equal(t, want, carry(t, a.client, a.server, want))
			assert.Equal(t, want, carry(t, a.server, a.client, want))
		}
	}
}

func carry(t *testing.T, from io.Writer, to io.Reader, message []byte) []byte {
	t.Helper()
	_, err := from.Write(message)
	require.NoError(t, err)
	got := make([]byte, len(message))
	_, err = io.ReadFull(to, got)
	require.NoError(t, err)
	return got
}
