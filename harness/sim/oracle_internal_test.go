package sim

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ends is two classes on one CA, and a third on another.
func ends(t *testing.T) (one, other, stranger *class) {
	t.Helper()
	g := newGroup(0, scenarios.PeerGroup{
		Consumer: scenarios.Consumer{
			Workload: "peers", Policy: "start-up", Pinned: true,
		},
		ServerName: "peers", Trust: "bundle", PairCheck: "match", Chain: "file", PeerRule: "none",
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13,
	})
	w := &world{plan: scenarios.Plan{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	w.api = &apiServer{world: w, secrets: map[string]*secret{}}
	spec := func(name string, isCA bool) certmanager.Certificate {
		crt := certmanager.Certificate{}
		crt.Namespace, crt.Name = "default", name
		crt.Spec.CommonName, crt.Spec.IsCA, crt.Spec.SecretName = name, isCA, name
		crt.Spec.IssuerRef.Name = "self-signed"
		crt.Spec.PrivateKey = &certmanager.CertificatePrivateKey{
			Algorithm: certmanager.ECDSAKeyAlgorithm,
		}
		return crt
	}
	issuer := certmanager.Issuer{}
	issuer.Namespace, issuer.Name = "default", "self-signed"
	issuer.Spec.SelfSigned = &certmanager.SelfSignedIssuer{}
	m, err := newCertManager(w, scenarios.World{
		Issuers:      []certmanager.Issuer{issuer},
		Certificates: []certmanager.Certificate{spec("ca", true), spec("leaf", false)},
	})
	require.NoError(t, err)
	ca, leaf := m.order[0], m.order[1]
	root := func(name string) *cert {
		return m.pki.issue(name, ca.template, m.pki.newKey(p256), nil, 0, time.Hour)
	}
	first, second := root("ca/1"), root("ca/2")
	end := func(name string, root *cert) *class {
		k := m.pki.newKey(p256)
		c := &content{
			certs: []*cert{m.pki.issue(name, leaf.template, k, root, 0, 30*time.Minute)},
			key:   k, cas: []*cert{root},
		}
		return &class{
			classKey: classKey{content: c, group: g}, own: c.generation(c.cas),
			peers: map[*class]verdict{},
		}
	}
	return end("leaf/1", first), end("leaf/2", first), end("leaf/3", second)
}

func newTestOracle(audit Audit) *oracle {
	return newOracle(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), keyPool{}, materialPool{}, audit)
}

func TestVerdictsAreExecutedOncePerShape(t *testing.T) {
	one, other, stranger := ends(t)
	o := newTestOracle(Audit{})
	ask := func(a, b *class, now time.Duration) record.Outcome {
		v, err := o.handshake(t.Context(), a, b, now)
		require.NoError(t, err)
		return v.outcome
	}
	assert.Equal(t, record.OK, ask(one, other, 0))
	assert.Equal(t, 1, o.executed)
	assert.Equal(t, record.OK, ask(other, one, time.Minute), "the same shape, names swapped")
	assert.Equal(t, 1, o.executed)
	assert.Equal(t, record.UnknownAuthority, ask(one, stranger, 0))
	assert.Equal(t, record.UnknownAuthority, ask(stranger, other, 0))
	assert.Equal(t, 2, o.executed)
	assert.Equal(t, record.Expired, ask(one, other, 31*time.Minute), "expiry is another shape")
	assert.Equal(t, 3, o.executed)
}

func TestVerdictHoldsUntilValidityChanges(t *testing.T) {
	one, other, _ := ends(t)
	o := newTestOracle(Audit{})
	v, err := o.handshake(t.Context(), one, other, 0)
	require.NoError(t, err)
	assert.Equal(t, 30*time.Minute+1, v.until)
	other.skew = 10 * time.Minute
	v, err = o.handshake(t.Context(), one, other, 0)
	require.NoError(t, err)
	assert.Equal(t, 20*time.Minute+1, v.until, "the clock that is ahead gets there first")
}

// TestAuditFindsAWrongMemory: a verdict that was remembered wrongly is found by executing a share
// of the remembered ones again, and fails the run.
func TestAuditFindsAWrongMemory(t *testing.T) {
	one, other, _ := ends(t)
	o := newTestOracle(Audit{Every: 3, Max: 10})
	_, err := o.handshake(t.Context(), one, other, 0)
	require.NoError(t, err)
	for shape, v := range o.handshakes {
		v.outcome = record.UnknownAuthority
		o.handshakes[shape] = v
	}
	for range 2 {
		_, err = o.handshake(t.Context(), one, other, 0)
		require.NoError(t, err)
	}
	_, err = o.handshake(t.Context(), one, other, 0)
	require.ErrorIs(t, err, ErrVerdictChanged)
	assert.ErrorContains(t, err, "leaf/1 to leaf/2 at 0s was unknown-authority (), is ok ()")
}

func TestCancelledExecutionIsNoVerdict(t *testing.T) {
	one, other, _ := ends(t)
	o := newTestOracle(Audit{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := o.handshake(ctx, one, other, 0)
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, o.handshakes)
}

func TestDueCountsAttempts(t *testing.T) {
	const base, period = 3, 10
	for _, c := range []struct{ at, want time.Duration }{
		{0, 0}, {3, 0}, {4, 1}, {13, 1}, {14, 2}, {103, 10}, {104, 11},
	} {
		assert.EqualValues(t, c.want, due(base, period, c.at), "before %d", c.at)
	}
	n, first, last := within(base, period, 4, 34)
	assert.EqualValues(t, 3, n)
	assert.EqualValues(t, 13, first)
	assert.EqualValues(t, 33, last)
	assert.EqualValues(t, 13, next(base, period, 4))
	assert.EqualValues(t, 13, next(base, period, 13))
}
