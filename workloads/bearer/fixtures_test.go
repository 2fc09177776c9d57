package bearer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/bearer"
	"github.com/certquake/certquake/workloads/internal/disk"
	"github.com/certquake/certquake/workloads/internal/loopback"
	"github.com/certquake/certquake/workloads/peer"
	"github.com/certquake/certquake/workloads/rotation"
	"github.com/certquake/certquake/workloads/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keys are a few keys by their ids.
type keys map[string]rotation.Material

func newKeys(tb testing.TB, ids ...string) keys {
	tb.Helper()
	made := keys{}
	for _, id := range ids {
		key, err := rotation.Generate(rotation.Key{Kind: rotation.EC, Curve: rotation.P256},
			rand.Reader)
		require.NoError(tb, err)
		made[id] = key
	}
	return made
}

// files returns the files of a ring, written as "r1* r2".
func (k keys) files(ring string) map[string][]byte {
	files := map[string][]byte{}
	for field := range strings.FieldsSeq(ring) {
		id, primary := strings.CutSuffix(field, "*")
		for part, data := range k[id] {
			name := id + "." + string(part)
			if primary {
				name += ".primary"
			}
			files[name] = data
		}
	}
	return files
}

// mount is a Secret volume on disk.
type mount struct {
	dir   string
	swaps int
}

func newMount(tb testing.TB, files map[string][]byte) *mount {
	tb.Helper()
	m := &mount{dir: tb.TempDir()}
	m.project(tb, files)
	return m
}

// project makes the files the volume's content as the kubelet does.
func (m *mount) project(tb testing.TB, files map[string][]byte) {
	tb.Helper()
	m.swaps++
	version := fmt.Sprintf("2026_11_21_09_00_00.%d", m.swaps)
	require.NoError(tb, disk.Project(m.dir, version, files))
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

// of returns the rows of a kind.
func (o *output) of(kind record.Kind) []peer.Row {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.rows),
		func(r peer.Row) bool { return r.Span.Kind != kind })
}

// calls adds up the calls by outcome.
func (o *output) calls() map[record.Outcome]int64 {
	all := map[record.Outcome]int64{}
	for _, r := range o.of(record.Request) {
		all[r.Span.Outcome] += r.Span.Count
	}
	return all
}

// pod is a process that runs in the test.
type pod struct {
	config bearer.Config
	output *output
	stop   context.CancelFunc
	ended  chan error
}

var addresses = loopback.Net{Number: 1}

// address reserves an address to listen at.
func address(tb testing.TB) string {
	tb.Helper()
	reserved, err := addresses.Reserve(tb.Context())
	require.NoError(tb, err)
	return reserved
}

func newConfig(tb testing.TB, name string, role bearer.Role) bearer.Config {
	tb.Helper()
	return bearer.Config{
		Pod: name, State: tb.TempDir(), Listen: address(tb), Admin: address(tb), Role: role,
		Secret: "jwt", Token: token.Settings{
			Algorithm: token.ES256, Issuer: "i", Audience: "a", TTL: time.Minute,
		},
		KeyringTTL: 50 * time.Millisecond, Reuse: time.Minute,
		Horizon: 2 * time.Second, Deadline: 5 * time.Second,
	}
}

func newIssuer(tb testing.TB, m *mount, every time.Duration, to ...bearer.Config) bearer.Config {
	tb.Helper()
	c := newConfig(tb, "issuer-0", bearer.Issuer)
	c.Mount = m.dir
	c.Streams = []peer.Stream{{Every: every, Phase: 10 * time.Millisecond}}
	return newIssuerTo(c, to...)
}

// newIssuerTo returns the config of an issuer with more targets.
func newIssuerTo(c bearer.Config, to ...bearer.Config) bearer.Config {
	for _, target := range to {
		c.Streams[0].Targets = append(c.Streams[0].Targets,
			peer.Target{Pod: target.Pod, Address: target.Listen})
	}
	return c
}

func newVerifier(tb testing.TB, m *mount) bearer.Config {
	tb.Helper()
	c := newConfig(tb, "verifier-0", bearer.Verifier)
	c.Mount = m.dir
	return c
}

func newFetcher(tb testing.TB, from *bearer.Config, policy token.Policy) bearer.Config {
	tb.Helper()
	c := newConfig(tb, "fetcher-0", bearer.Verifier)
	c.KeyringTTL, c.Secret = 0, ""
	c.JWKS = &bearer.JWKS{Address: "http://" + from.Listen + bearer.PathKeys, Policy: policy}
	return c
}

// start runs a process until the test ends and returns when it listens.
func start(tb testing.TB, config bearer.Config) *pod {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &pod{config: config, output: &output{}, stop: stop, ended: make(chan error, 1)}
	go func() {
		p.ended <- bearer.Run(ctx, config, p.output, tb.Output())
		close(p.ended)
	}()
	tb.Cleanup(func() {
		stop()
		for err := range p.ended {
			assert.NoError(tb, err)
		}
		assert.Empty(tb, p.output.wrong)
	})
	require.Eventually(tb, func() bool {
		code, _ := p.get("/readyz")
		return code == http.StatusOK
	}, 20*time.Second, 5*time.Millisecond, "ready")
	return p
}

func client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// get returns the status code and the text of an admin path, 0 when nobody listens.
func (p *pod) get(path string) (code int, text string) {
	response, err := client().Get("http://" + p.config.Admin + path)
	if err != nil {
		return 0, ""
	}
	body, err := io.ReadAll(response.Body)
	if errors.Join(err, response.Body.Close()) != nil {
		return 0, ""
	}
	return response.StatusCode, string(body)
}

// post sends a command.
func (p *pod) post(tb testing.TB, path string, order any) {
	tb.Helper()
	body, err := json.Marshal(order)
	require.NoError(tb, err)
	response, err := client().Post("http://"+p.config.Admin+path, "application/json",
		bytes.NewReader(body))
	require.NoError(tb, err)
	require.NoError(tb, response.Body.Close())
	require.Equal(tb, http.StatusOK, response.StatusCode)
}

// begin has pods begin together, fresh, a moment from now.
func begin(tb testing.TB, pods ...*pod) {
	tb.Helper()
	base := time.Now().Add(100 * time.Millisecond)
	for _, p := range pods {
		p.post(tb, peer.PathBegin, peer.Begin{Base: base, Fresh: true})
	}
}

// ended waits for the rows of a whole run.
func ended(tb testing.TB, pods ...*pod) {
	tb.Helper()
	for _, p := range pods {
		require.Eventually(tb, func() bool { return len(p.output.of(record.End)) > 0 },
			time.Minute, 5*time.Millisecond, "end")
	}
}

// generation names a ring, written as "r1* r2".
func generation(ring string) *record.Generation {
	g := &record.Generation{}
	for i, field := range strings.Fields(ring) {
		id, primary := strings.CutSuffix(field, "*")
		if primary {
			g.Leaf = "jwt/" + id
		}
		if i > 0 {
			g.Trust += "+"
		}
		g.Trust += "jwt/" + id
	}
	return g
}

// rings returns what the Reload rows of a process name, in their order.
func (o *output) rings() []record.Generation {
	var all []record.Generation
	for _, r := range o.of(record.Reload) {
		all = append(all, *r.Span.Own)
	}
	return all
}

// series returns the lines of a metric with something else than 0.
func (p *pod) series(name string) []string {
	_, page := p.get(peer.PathMetrics)
	var found []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, name) && !strings.HasSuffix(line, " 0\n") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
