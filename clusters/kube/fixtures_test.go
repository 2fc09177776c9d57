package kube

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The names in the fixtures' plan.
const (
	rootSecret = "default/root"
	leafSecret = "default/leaf"
)

// base is offset 0 of every ledger in tests.
var base = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// mint makes a certificate signed by the pair, or by itself when that is nil.
func mint(t *testing.T, by *pair, name string, isCA bool) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return mintFor(t, by, name, isCA, key)
}

func mintFor(t *testing.T, by *pair, name string, isCA bool, key crypto.Signer) *pair {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: base.Add(-time.Hour), NotAfter: base.Add(23 * time.Hour),
		BasicConstraintsValid: true, IsCA: isCA,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if isCA {
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		template.DNSNames = []string{name}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	data, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(data)
	require.NoError(t, err)
	return &pair{cert, key}
}

// print returns the fingerprint by which pods tell of the certificate.
func (p *pair) print() string { return peer.Fingerprint(p.cert) }

func (p *pair) keyFile(t *testing.T) []byte {
	t.Helper()
	data, err := x509.MarshalPKCS8PrivateKey(p.key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: data})
}

// stored returns a Secret with the leaf, its key and the CAs.
func stored(t *testing.T, name string, leaf *pair, cas ...*pair) *corev1.Secret {
	t.Helper()
	namespace, short, _ := strings.Cut(name, "/")
	trust := make([]*x509.Certificate, len(cas))
	for i, ca := range cas {
		trust[i] = ca.cert
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: short, ResourceVersion: "1"},
		Data: map[string][]byte{
			certKey: file([]*x509.Certificate{leaf.cert}), keyKey: leaf.keyFile(t),
			caKey: file(trust),
		},
	}
}

// smallPlan is three peers in a ring, of which a-0 dials both others, a dial a second.
func smallPlan(change ...func(*scenarios.Plan)) scenarios.Plan {
	plan := scenarios.Plan{
		Scenario: "small", Horizon: time.Minute,
		World: scenarios.World{
			ClusterIssuers: []certmanager.ClusterIssuer{{
				ObjectMeta: metav1.ObjectMeta{Name: "self-signed"},
				Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{
					SelfSigned: &certmanager.SelfSignedIssuer{},
				}},
			}},
			Issuers: []certmanager.Issuer{{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "root"},
				Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{
					CA: &certmanager.CAIssuer{SecretName: "root"},
				}},
			}},
			Certificates: []certmanager.Certificate{
				certificate("root", cmmeta.IssuerReference{
					Name: "self-signed", Kind: certmanager.ClusterIssuerKind,
				}),
				certificate("leaf", cmmeta.IssuerReference{Name: "root"}),
			},
		},
		Nodes: []scenarios.PlannedNode{{Name: "fast"}},
		Peers: []scenarios.PeerGroup{{
			Consumer: scenarios.Consumer{
				Workload: "a", Namespace: "default", Secret: leafSecret,
			},
			Trust: "bundle", Associations: "ring", Retry: time.Second, ServerName: "a.example",
		}},
		Streams: []scenarios.Stream{{
			Source: "a-0", To: []string{"a"}, Every: time.Second, Phase: 500 * time.Millisecond,
		}},
	}
	for i := range 3 {
		plan.Pods = append(plan.Pods,
			scenarios.Pod{Name: fmt.Sprintf("a-%d", i), Workload: "a", Node: "fast"})
	}
	for _, c := range change {
		c(&plan)
	}
	return plan
}

func certificate(name string, issuer cmmeta.IssuerReference) certmanager.Certificate {
	return certmanager.Certificate{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       certmanager.CertificateSpec{SecretName: name, IssuerRef: issuer},
	}
}

// rows is a sink that keeps what it is given.
type rows []record.Span

func (r *rows) Write(span record.Span) error {
	*r = append(*r, span)
	return nil
}

// of returns the rows of a kind.
func (r *rows) of(kind record.Kind) []record.Span {
	var found []record.Span
	for _, span := range *r {
		if span.Kind == kind {
			found = append(found, span)
		}
	}
	return found
}

// rig is a ledger that has begun, with the first root and leaf, and what the rows of pods need.
type rig struct {
	*ledger
	t          *testing.T
	root, leaf *pair
	boots      map[string]string // by pod
	seqs       map[string]uint64 // by boot
	out        rows
}

func newRig(t *testing.T, change ...func(*scenarios.Plan)) *rig {
	t.Helper()
	root := mint(t, nil, "root", true)
	r := &rig{
		ledger: newLedger(smallPlan(change...)), t: t, root: root,
		leaf:  mint(t, root, "a.example", false),
		boots: map[string]string{}, seqs: map[string]uint64{},
	}
	r.write(0, stored(t, rootSecret, root, root))
	r.write(0, stored(t, leafSecret, r.leaf, root))
	r.begin(base)
	return r
}

// write has a Secret be seen at an offset.
func (r *rig) write(at time.Duration, object *corev1.Secret) *content {
	r.t.Helper()
	return r.saw(object.Namespace+"/"+object.Name, object, base.Add(at))
}

// boot gives a pod another process.
func (r *rig) boot(pod, name string) { r.boots[pod] = name }

// tell has a pod write a row, which arrives as it ends. It returns the row.
func (r *rig) tell(pod string, row peer.Row) peer.Row {
	if r.boots[pod] == "" {
		r.boots[pod] = pod + "/1"
	}
	row.Boot = r.boots[pod]
	r.seqs[row.Boot]++
	row.Seq = r.seqs[row.Boot]
	r.take(pod, row, base.Add(row.Span.To))
	return row
}

// skip has a pod's next row get lost.
func (r *rig) skip(pod string) { r.seqs[r.boots[pod]]++ }

// dialled is the row of a number of a-0's dials that succeeded, the last one at an offset.
func dialled(count int64, from, to time.Duration) peer.Row {
	return peer.Row{Role: record.Client, Span: record.Span{
		Kind: record.Handshake, From: from, To: to, Source: "a-0", Outcome: record.OK, Count: count,
	}}
}

// failed is the client's row of a dial of a-0 to a-1.
func failed(at time.Duration, outcome record.Outcome, via string) peer.Row {
	return peer.Row{Role: record.Client, Via: via, Span: record.Span{
		Kind: record.Handshake, From: at, To: at, Source: "a-0", Peer: "a-1",
		Outcome: outcome, Count: 1,
	}}
}

// answered is the server's row of a connection to a-1.
func answered(at time.Duration, outcome record.Outcome, via string) peer.Row {
	return peer.Row{Role: record.Server, Via: via, Span: record.Span{
		Kind: record.Handshake, From: at, To: at, Peer: "a-1", Outcome: outcome, Count: 1,
	}}
}

// change is a row of a pod that is no attempt.
func change(kind record.Kind, pod string, at time.Duration) peer.Row {
	return peer.Row{Span: record.Span{Kind: kind, Source: pod, From: at, To: at}}
}

// reloads is the row of a pod that took what was projected at an offset into use.
func reloads(pod string, projected, at time.Duration, own *record.Generation) peer.Row {
	return peer.Row{Span: record.Span{
		Kind: record.Reload, Source: pod, From: projected, Projected: projected, To: at,
		Outcome: record.OK, Own: own,
	}}
}

// finish ends the run at an offset and returns every row of it.
func (r *rig) finish(at time.Duration) *rows {
	r.t.Helper()
	r.close(at)
	r.sweep(base.Add(at), everyLog, true)
	require.NoError(r.t, r.flush(r.plan.Horizon, &r.out))
	return &r.out
}

// sofar returns the rows so far.
func (r *rig) sofar() *rows {
	r.t.Helper()
	require.NoError(r.t, r.flush(r.plan.Horizon, &r.out))
	return &r.out
}

func everyLog(string) bool { return true }
func noLog(string) bool    { return false }

// balance adds up the dials of the rows by outcome.
func balance(out *rows) map[record.Outcome]int64 {
	sums := map[record.Outcome]int64{}
	for _, row := range out.of(record.Handshake) {
		sums[row.Outcome] += row.Count
	}
	return sums
}

// words is a generation as pods tell it.
func words(leaf *pair, cas ...*pair) *record.Generation {
	prints := make([]string, len(cas))
	for i, ca := range cas {
		prints[i] = ca.print()
	}
	return &record.Generation{Leaf: leaf.print(), Trust: strings.Join(prints, "+")}
}
