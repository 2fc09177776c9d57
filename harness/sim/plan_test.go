package sim_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// The names of the world that world() makes.
const (
	caName     = "default/ca"
	leafName   = "default/leaf"
	leafSecret = "default/leaf-tls"
)

// world returns a self-signed issuer, a CA it issues and one leaf Certificate of that CA.
func world(duration, renewBefore time.Duration) scenarios.World {
	return scenarios.World{
		ClusterIssuers: []certmanager.ClusterIssuer{{
			ObjectMeta: metav1.ObjectMeta{Name: "self-signed"},
			Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{
				SelfSigned: &certmanager.SelfSignedIssuer{},
			}},
		}},
		Issuers: []certmanager.Issuer{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ca"},
			Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{
				CA: &certmanager.CAIssuer{SecretName: "ca-tls"},
			}},
		}},
		Certificates: []certmanager.Certificate{
			ecdsaCertificate("ca", certmanager.CertificateSpec{
				IsCA: true, CommonName: "ca", SecretName: "ca-tls",
				Duration:  &metav1.Duration{Duration: 20 * 8760 * time.Hour},
				IssuerRef: cmmeta.IssuerReference{Name: "self-signed", Kind: "ClusterIssuer"},
			}),
			ecdsaCertificate("leaf", certmanager.CertificateSpec{
				DNSNames: []string{"peers.example.com"}, SecretName: "leaf-tls",
				Duration:    &metav1.Duration{Duration: duration},
				RenewBefore: &metav1.Duration{Duration: renewBefore},
				IssuerRef:   cmmeta.IssuerReference{Name: "ca"},
			}),
		},
	}
}

func ecdsaCertificate(name string, spec certmanager.CertificateSpec) certmanager.Certificate {
	spec.PrivateKey = &certmanager.CertificatePrivateKey{
		Algorithm: certmanager.ECDSAKeyAlgorithm, Size: 256,
		RotationPolicy: certmanager.RotationPolicyAlways,
	}
	return certmanager.Certificate{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: spec,
	}
}

// setup is what a test varies of the plan.
type setup struct {
	peers       int
	nodes       int           // default 1; the first is "node", and all have equal settings
	sync        time.Duration // default 1m
	ttl         time.Duration // of lazy-ttl; 0: watch, adopted at the swap itself
	trust       string
	dialEvery   time.Duration // default 100ms; negative: no load
	duration    time.Duration // of the leaf, default 24h
	renewBefore time.Duration // default 8h
	horizon     time.Duration
	seed        uint64
	actions     []scenarios.Action
}

// plan rolls the dice that scenarios.Plan would.
func (s setup) plan() scenarios.Plan {
	orElse := func(d *time.Duration, fallback time.Duration) {
		if *d == 0 {
			*d = fallback
		}
	}
	orElse(&s.sync, time.Minute)
	orElse(&s.dialEvery, 100*time.Millisecond)
	orElse(&s.duration, 24*time.Hour)
	orElse(&s.renewBefore, 8*time.Hour)
	policy := "lazy-ttl"
	if s.ttl == 0 {
		policy = "watch"
	}
	if s.trust == "" {
		s.trust = "bundle"
	}
	plan := scenarios.Plan{
		Scenario: "test", Seed: s.seed, Horizon: s.horizon, Actions: s.actions,
		Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		World: world(s.duration, s.renewBefore),
		Peers: []scenarios.PeerGroup{{
			Consumer: scenarios.Consumer{
				Workload: "peers", Namespace: "default", Secret: leafSecret,
				Policy: policy, Every: s.ttl, Pinned: true,
			},
			Trust: s.trust, PairCheck: "match", Chain: "file",
			PeerRule: "shared-subject", ServerName: "peers.example.com",
			MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13,
			Associations: "ring", Retry: time.Second,
		}},
	}
	for i := range max(s.nodes, 1) {
		node := scenarios.PlannedNode{
			Name: "node", SyncFrequency: s.sync, ChangeDetection: scenarios.Watch,
		}
		if i > 0 {
			node.Name = fmt.Sprintf("node-%d", i)
		}
		plan.Nodes = append(plan.Nodes, node)
	}
	for i := range s.peers {
		name := fmt.Sprintf("peers-%d", i)
		dice := scenarios.Rand(s.seed, "test/"+name)
		plan.Pods = append(plan.Pods, scenarios.Pod{
			Name: name, Workload: "peers", Node: plan.Nodes[i%len(plan.Nodes)].Name,
			SyncDue:  residual(s.sync, dice.Float64(), dice.Float64()),
			CacheAge: time.Duration(dice.Float64() * float64(s.ttl)),
		})
		if s.dialEvery > 0 {
			plan.Streams = append(plan.Streams, scenarios.Stream{
				Source: name, To: []string{"peers"}, Every: s.dialEvery,
				Phase: time.Duration(dice.Float64() * float64(s.dialEvery)),
				First: dice.IntN(max(s.peers-1, 1)),
			})
		}
	}
	return plan
}

// residual is the stationary residual of a renewal process with intervals U[s, 1.5s].
func residual(s time.Duration, a, b float64) time.Duration {
	interval := math.Sqrt(1+1.25*a) * float64(s)
	return time.Duration(b * interval)
}

// rows collects a record.
type rows []record.Span

func (r *rows) Write(span record.Span) error {
	*r = append(*r, span)
	return nil
}

// perform runs a plan on a fresh simulator.
func perform(tb testing.TB, plan scenarios.Plan) rows {
	tb.Helper()
	var out rows
	require.NoError(tb, harness.Run(tb.Context(), plan, sim.New(), &out, nil), "seed %d", plan.Seed)
	return out
}

// recorded returns the record of a plan on a fresh simulator, byte for byte.
func recorded(tb testing.TB, plan scenarios.Plan) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := record.NewWriter(&out, record.Header{Scenario: "test", Base: plan.Start})
	require.NoError(tb, err)
	require.NoError(tb, harness.Run(tb.Context(), plan, sim.New(), w, nil))
	require.NoError(tb, w.Flush())
	return out.Bytes()
}

// failures counts the attempts that failed for a credential reason.
func (r rows) failures() (n int64) {
	for _, row := range r {
		if row.Kind == record.Handshake && row.Outcome.Credential() {
			n += row.Count
		}
	}
	return n
}

// attempts counts attempts by outcome.
func (r rows) attempts() map[record.Outcome]int64 {
	out := map[record.Outcome]int64{}
	for _, row := range r {
		if row.Kind == record.Handshake {
			out[row.Outcome] += row.Count
		}
	}
	return out
}

// rotateLeaf, and the steps of CA swaps, at an offset.
func rotateLeaf(at time.Duration) scenarios.Action {
	return scenarios.Action{
		ID: "rotate", At: at, Verb: scenarios.Reissue, Certificates: []string{leafName},
	}
}

func abruptSwap(at time.Duration) scenarios.Action {
	return scenarios.Action{
		ID: "swap", At: at, Verb: scenarios.Reissue, Certificates: []string{caName, leafName},
	}
}

func bundleSwap(at, hold time.Duration) []scenarios.Action {
	trust := func(id string, at time.Duration, hold bool, refs ...scenarios.AuthorityRef,
	) scenarios.Action {
		return scenarios.Action{
			ID: id, At: at, Verb: scenarios.PublishTrust, Secrets: []string{leafSecret},
			Authority: caName, Trust: refs, Hold: hold,
		}
	}
	return []scenarios.Action{
		{ID: "new-ca", At: at, Verb: scenarios.Reissue, Certificates: []string{caName}},
		trust("add", at, true, scenarios.Previous, scenarios.Current),
		{ID: "leaf", At: at + hold, Verb: scenarios.Reissue, Certificates: []string{leafName}},
		trust("drop", at+2*hold, false, scenarios.Current),
	}
}
