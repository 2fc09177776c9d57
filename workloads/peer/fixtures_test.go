package peer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
	"github.com/certquake/certquake/workloads/internal/disk"
	"github.com/certquake/certquake/workloads/internal/loopback"
	"github.com/certquake/certquake/workloads/peer"
)

// asProcess is the variable by which a test starts this binary as a peer of its own.
const asProcess = "CERTQUAKE_TEST_PEER"

func TestMain(m *testing.M) {
	if text := os.Getenv(asProcess); text != "" {
		config, err := peer.DecodeConfig([]byte(text))
		if err == nil {
			err = peer.Run(context.Background(), config, os.Stdout, os.Stderr)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// authority is a CA that mints leafs on the spot.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	return key
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	ca := &authority{key: newKey(tb)}
	ca.cert = sign(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, nil, ca.key, ca.key)
	return ca
}

// sign makes a certificate that is valid from an hour ago for a day.
func sign(
	tb testing.TB, template, parent *x509.Certificate, key, by crypto.Signer,
) *x509.Certificate {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(tb, err)
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(23 * time.Hour)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return cert
}

// secret is the content of a Secret.
type secret struct {
	leaf  *x509.Certificate
	files map[string][]byte
}

// issue mints a leaf and returns the Secret that holds it, trusting the CAs, or the issuer if none
// are given.
func (ca *authority) issue(tb testing.TB, trusted ...*authority) secret {
	tb.Helper()
	key := newKey(tb)
	leaf := sign(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: "peer"}, DNSNames: []string{"peer.test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature,
	}, ca.cert, key, ca.key)
	if len(trusted) == 0 {
		trusted = []*authority{ca}
	}
	var cas []byte
	for _, t := range trusted {
		cas = append(cas, pemOf("CERTIFICATE", t.cert.Raw)...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return secret{leaf: leaf, files: map[string][]byte{
		"ca.crt": cas, "tls.crt": pemOf("CERTIFICATE", leaf.Raw),
		"tls.key": pemOf("PRIVATE KEY", der),
	}}
}

// torn returns the Secret with the key of another.
func (s secret) torn(other secret) secret { return s.with("tls.key", other.files["tls.key"]) }

// with returns the Secret with another file, without it if data is nil.
func (s secret) with(name string, data []byte) secret {
	files := map[string][]byte{}
	for n, d := range s.files {
		if n != name {
			files[n] = d
		} else if data != nil {
			files[n] = data
		}
	}
	return secret{leaf: s.leaf, files: files}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// mount is a Secret volume on disk.
type mount struct {
	dir   string
	swaps int
}

func newMount(tb testing.TB, s secret) *mount {
	tb.Helper()
	m := &mount{dir: tb.TempDir()}
	m.project(tb, s)
	return m
}

// project makes the Secret the volume's content as the kubelet does.
func (m *mount) project(tb testing.TB, s secret) {
	tb.Helper()
	m.swaps++
	version := fmt.Sprintf("2026_11_21_09_00_00.%d", m.swaps)
	require.NoError(tb, disk.Project(m.dir, version, s.files))
}

// during is when something was done, as offsets from the base.
type during struct{ from, to time.Duration }

// assertIn asserts that an offset is within, but for the step of the clock that stamps files.
func (d during) assertIn(tb testing.TB, offset time.Duration) {
	tb.Helper()
	assert.GreaterOrEqual(tb, offset, d.from-20*time.Millisecond)
	assert.LessOrEqual(tb, offset, d.to)
}

// projectSince projects, and returns when that was.
func (m *mount) projectSince(tb testing.TB, base time.Time, s secret) during {
	tb.Helper()
	from := time.Since(base)
	m.project(tb, s)
	return during{from: from, to: time.Since(base)}
}

// output collects the rows of a process. Each must come as one line in one Write.
type output struct {
	mu    sync.Mutex
	rows  []peer.Row
	wrong []error
}

func (o *output) Write(p []byte) (int, error) {
	row, err := peer.DecodeRow(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil || !bytes.HasSuffix(p, []byte("}\n")) {
		o.wrong = append(o.wrong, fmt.Errorf("%w: %s", err, p))
	}
	o.rows = append(o.rows, row)
	return len(p), nil
}

func (o *output) all() []peer.Row {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.rows)
}

// of returns the rows of a kind.
func (o *output) of(kind record.Kind) []peer.Row {
	return slices.DeleteFunc(o.all(), func(r peer.Row) bool { return r.Span.Kind != kind })
}

// pod is a peer that runs in the test.
type pod struct {
	config peer.Config
	output *output
	stop   context.CancelFunc
	ended  chan error
}

var addresses = loopback.Net{Number: 0}

// address reserves an address to listen at.
func address(tb testing.TB) string {
	tb.Helper()
	reserved, err := addresses.Reserve(tb.Context())
	require.NoError(tb, err)
	return reserved
}

func newConfig(tb testing.TB, name string, m *mount) peer.Config {
	tb.Helper()
	return peer.Config{
		Pod: name, Mount: m.dir, State: tb.TempDir(), Listen: address(tb), Admin: address(tb),
		Policy: credential.Policy{Kind: credential.LazyTTL, Every: 100 * time.Millisecond},
		Read:   credential.Settings{Trust: credential.Bundle},
		TLS:    handshake.Settings{PeerRule: handshake.SharedSubject},
		Retry:  100 * time.Millisecond, Horizon: time.Second, Deadline: 15 * time.Second,
	}
}

// targetOf returns the target that the config's peer is.
func targetOf(c *peer.Config) peer.Target {
	return peer.Target{Pod: c.Pod, Address: c.Listen, ServerName: "peer.test"}
}

// start runs a peer until the test ends and returns when it listens.
func start(tb testing.TB, config peer.Config) *pod {
	tb.Helper()
	return startInto(tb, config, &output{})
}

func startInto(tb testing.TB, config peer.Config, out *output) *pod {
	tb.Helper()
	p := launch(tb, config, out, out)
	require.Eventually(tb, func() bool { return p.get("/readyz") == http.StatusOK },
		20*time.Second, 5*time.Millisecond, "ready")
	return p
}

func launch(tb testing.TB, config peer.Config, collected *output, stdout io.Writer) *pod {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &pod{config: config, output: collected, stop: stop, ended: make(chan error, 1)}
	go func() {
		p.ended <- peer.Run(ctx, config, stdout, tb.Output())
		close(p.ended)
	}()
	tb.Cleanup(func() {
		stop()
		for err := range p.ended {
			assert.NoError(tb, err)
		}
		assert.Empty(tb, collected.wrong)
	})
	return p
}

func client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// get returns the status code of an admin path, 0 when nobody listens.
func (p *pod) get(path string) int {
	response, err := client().Get("http://" + p.config.Admin + path)
	if err != nil {
		return 0
	}
	if response.Body.Close() != nil {
		return 0
	}
	return response.StatusCode
}

// post sends a command and returns the answer.
func (p *pod) post(tb testing.TB, path string, order any) peer.Status {
	tb.Helper()
	return post(tb, p.config.Admin, path, order)
}

func post(tb testing.TB, admin, path string, order any) peer.Status {
	tb.Helper()
	body, err := json.Marshal(order)
	require.NoError(tb, err)
	response, err := client().Post("http://"+admin+path, "application/json",
		bytes.NewReader(body))
	require.NoError(tb, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(tb, errors.Join(err, response.Body.Close()))
	require.Equal(tb, http.StatusOK, response.StatusCode, string(text))
	var status peer.Status
	require.NoError(tb, json.Unmarshal(text, &status))
	return status
}

// begin has pods begin together, fresh, a moment from now. It returns the base.
func begin(tb testing.TB, pods ...*pod) time.Time {
	tb.Helper()
	base := time.Now().Add(100 * time.Millisecond)
	for _, p := range pods {
		p.post(tb, peer.PathBegin, peer.Begin{Base: base, Fresh: true})
	}
	return base
}

// waitFor waits for a row.
func (p *pod) waitFor(tb testing.TB, what string, match func(peer.Row) bool) peer.Row {
	tb.Helper()
	var found peer.Row
	require.Eventually(tb, func() bool {
		rows := p.output.all()
		i := slices.IndexFunc(rows, match)
		if i >= 0 {
			found = rows[i]
		}
		return i >= 0
	}, time.Minute, 5*time.Millisecond, what)
	return found
}

func (p *pod) waitForEnd(tb testing.TB) {
	tb.Helper()
	p.waitFor(tb, "end", func(r peer.Row) bool { return r.Span.Kind == record.End })
}

// quit has the process end, and returns when it has.
func (p *pod) quit(tb testing.TB) {
	tb.Helper()
	p.stop()
	require.NoError(tb, <-p.ended)
}

// count adds up canary attempts by outcome.
func (o *output) count(outcomes ...record.Outcome) int64 {
	var n int64
	for _, r := range o.of(record.Handshake) {
		if r.Role == record.Client &&
			(len(outcomes) == 0 || slices.Contains(outcomes, r.Span.Outcome)) {
			n += r.Span.Count
		}
	}
	return n
}

// contiguous asserts that no row of a process is missing.
func (o *output) contiguous(tb testing.TB) {
	tb.Helper()
	last := map[string]uint64{}
	for _, r := range o.all() {
		last[r.Boot]++
		assert.Equal(tb, last[r.Boot], r.Seq, r.Boot)
	}
}

// generation is what a Secret is in rows.
func (s secret) generation(trusted ...*authority) record.Generation {
	names := make([]string, len(trusted))
	for i, ca := range trusted {
		names[i] = peer.Fingerprint(ca.cert)
	}
	return record.Generation{Leaf: peer.Fingerprint(s.leaf), Trust: strings.Join(names, "+")}
}
