package peer_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
	"github.com/certquake/certquake/workloads/peer"
)

// outcomeCase is two pods that cannot shake hands.
type outcomeCase struct {
	from, to         secret
	fromSkew, toSkew time.Duration
	check            credential.PairCheck
	outcome          record.Outcome
	side             record.Side
	detail           credential.Problem // of the reload of the end that has no credential
}

func outcomeCases(t *testing.T) map[string]outcomeCase {
	t.Helper()
	x, y := newAuthority(t, "x"), newAuthority(t, "y")
	good := x.issue(t)
	const days = 48 * time.Hour
	return map[string]outcomeCase{
		"client does not trust": {
			from: x.issue(t), to: y.issue(t, x, y),
			outcome: record.UnknownAuthority, side: record.Client,
		},
		"server does not trust": {
			from: x.issue(t, x, y), to: y.issue(t),
			outcome: record.UnknownAuthority, side: record.Server,
		},
		"server's leaf expired": {
			from: good, to: good, fromSkew: days,
			outcome: record.Expired, side: record.Client,
		},
		"client's leaf expired": {
			from: good, to: good, toSkew: days,
			outcome: record.Expired, side: record.Server,
		},
		"server's leaf not yet valid": {
			from: good, to: good, fromSkew: -days,
			outcome: record.NotYetValid, side: record.Client,
		},
		"torn server": {
			from: good, to: good.torn(x.issue(t)),
			outcome: record.BadSignature, side: record.Client,
		},
		"torn client": {
			from: good.torn(x.issue(t)), to: good,
			outcome: record.BadSignature, side: record.Server,
		},
		"client refuses its torn pair": {
			from: good.torn(x.issue(t)), to: good, check: credential.MatchCheck,
			outcome: record.NoCredential, side: record.Client, detail: credential.PairMismatch,
		},
		"client without a key": {
			from: good.with("tls.key", nil), to: good,
			outcome: record.NoCredential, side: record.Client, detail: credential.Missing,
		},
		"server with a broken CA file": {
			from: good, to: good.with("ca.crt", []byte("no PEM")),
			outcome: record.NoCredential, side: record.Server, detail: credential.Malformed,
		},
	}
}

// Each outcome as the rows of both ends tell it, joined by Via, and as the handshake core tells it
// from the same credentials in memory.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, test := range outcomeCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := newConfig(t, "a", newMount(t, test.from))
			to := newConfig(t, "b", newMount(t, test.to))
			from.Streams = []peer.Stream{{
				Targets: []peer.Target{targetOf(&to)}, Every: 50 * time.Millisecond,
			}}
			from.Horizon, to.Horizon = 400*time.Millisecond, 400*time.Millisecond
			from.Read.PairCheck, to.Read.PairCheck = test.check, test.check
			a, b := start(t, from), start(t, to)
			base := time.Now().Add(100 * time.Millisecond)
			a.post(t, peer.PathBegin, peer.Begin{Base: base, Fresh: true, Skew: test.fromSkew})
			b.post(t, peer.PathBegin, peer.Begin{Base: base, Fresh: true, Skew: test.toSkew})
			a.waitForEnd(t)
			b.waitForEnd(t)

			servers := map[string]peer.Row{}
			require.Eventually(t, func() bool {
				for _, r := range b.output.of(record.Handshake) {
					servers[r.Via] = r
				}
				return len(servers) == 8
			}, 20*time.Second, 5*time.Millisecond)
			gotOutcome, gotSide := handshake.Join(inMemory(t, &from, &to, test))
			require.Equal(t, test.outcome, gotOutcome, "in memory")
			require.Equal(t, test.side, gotSide, "in memory")
			clients := a.output.of(record.Handshake)
			require.Len(t, clients, 8)
			for _, r := range clients {
				server, ok := servers[r.Via]
				require.True(t, ok, "no row of the other end for %q", r.Via)
				outcome, side := handshake.Join(resultOf(r), resultOf(server))
				assert.Equal(t, test.outcome, outcome)
				assert.Equal(t, test.side, side)
				assertEnds(t, r, server)
			}
			if test.detail != "" {
				ends := map[record.Side]*pod{record.Client: a, record.Server: b}
				assertNoCredential(t, ends[test.side], test)
			}
		})
	}
}

// assertEnds holds the two rows of one attempt against the contract.
func assertEnds(t *testing.T, client, server peer.Row) {
	t.Helper()
	assert.Equal(t, record.Client, client.Role)
	assert.Equal(t, "a", client.Span.Source)
	assert.Equal(t, "b", client.Span.Peer)
	assert.Equal(t, client.Span.From, client.Span.To)
	assert.Zero(t, client.Span.From%(50*time.Millisecond))
	assert.Equal(t, client.Decided, client.Span.Side == record.Client)
	assert.Equal(t, record.Server, server.Role)
	assert.Empty(t, server.Span.Source)
	assert.Equal(t, "b", server.Span.Peer)
	assert.Equal(t, server.Decided, server.Span.Side == record.Server)
	for _, r := range []peer.Row{client, server} {
		assert.Equal(t, int64(1), r.Span.Count)
		assert.NotNil(t, r.Span.Own)
		assert.False(t, r.Decided && r.Alerted)
	}
	assert.NotEqual(t, client.Decided, server.Decided, "one end decides")
}

// assertNoCredential looks at the failed reload: one row for however many equal failures.
func assertNoCredential(t *testing.T, p *pod, test outcomeCase) {
	t.Helper()
	rows := p.output.of(record.Reload)
	require.Len(t, rows, 1)
	assert.Equal(t, record.NoCredential, rows[0].Span.Outcome)
	assert.Equal(t, string(test.detail), rows[0].Span.Detail)
	assert.NotEmpty(t, rows[0].Span.Own.Leaf, "what could be read is named")
	assert.Equal(t, test.detail == credential.PairMismatch, rows[0].Span.Own.Torn)
}

// inMemory is the same attempt by package handshake alone.
func inMemory(
	t *testing.T, from, to *peer.Config, test outcomeCase,
) (client, server handshake.Result) {
	t.Helper()
	a, refusedA := ready(t, from, test.from)
	b, refusedB := ready(t, to, test.to)
	if a == nil || b == nil {
		return refusedA, refusedB
	}
	clock := func(skew time.Duration) func() time.Time {
		return func() time.Time { return time.Now().Add(skew) }
	}
	return handshake.Do(t.Context(), a, b, "peer.test", clock(test.fromSkew), clock(test.toSkew))
}

func ready(t *testing.T, c *peer.Config, s secret) (*handshake.Context, handshake.Result) {
	t.Helper()
	volume := credential.NewVolume()
	volume.Project("1", s.files)
	m, err := credential.Read(volume, c.Read)
	if err != nil {
		return nil, handshake.Refused(err)
	}
	made, err := handshake.NewContext(m, c.TLS)
	require.NoError(t, err)
	return made, handshake.Result{}
}

// resultOf is what a row keeps of a result.
func resultOf(r peer.Row) handshake.Result {
	result := handshake.Result{Outcome: r.Span.Outcome, Decided: r.Decided}
	if r.Alerted {
		result.Err = &net.OpError{Op: "remote error", Err: alert(0)}
	}
	return result
}

// alert looks to package handshake like crypto/tls's own.
type alert uint8

func (alert) Error() string { return "alert" }

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and says nothing
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	for name, test := range map[string]struct {
		address string
		outcome record.Outcome
		side    record.Side
	}{
		"refused": {address(t), record.Unreachable, record.Client},
		"silent":  {silent.Addr().String(), record.Timeout, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newConfig(t, "a", newMount(t, newAuthority(t, "ca").issue(t)))
			config.Deadline = 200 * time.Millisecond
			config.Horizon = 300 * time.Millisecond
			config.Streams = []peer.Stream{{
				Targets: []peer.Target{{Pod: "b", Address: test.address}},
				Every:   50 * time.Millisecond,
			}}
			p := start(t, config)
			begin(t, p)
			p.waitForEnd(t)
			rows := p.output.of(record.Handshake)
			require.Len(t, rows, 6)
			for _, r := range rows {
				assert.Equal(t, test.outcome, r.Span.Outcome)
				assert.Equal(t, test.side, r.Span.Side)
				assert.Equal(t, test.outcome == record.Unreachable, r.Via == "")
			}
		})
	}
}

// The end of a process cancels what does not end by itself, and that has its row as well.
func TestEndCancelsWhatHangs(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	config := newConfig(t, "a", newMount(t, newAuthority(t, "ca").issue(t)))
	config.Deadline, config.Horizon = time.Minute, time.Minute
	config.Streams = []peer.Stream{{
		Targets: []peer.Target{{Pod: "b", Address: silent.Addr().String()}},
		Every:   10 * time.Millisecond,
	}}
	p := start(t, config)
	base := begin(t, p)
	time.Sleep(time.Until(base.Add(300 * time.Millisecond)))
	began := time.Now()
	p.quit(t)
	assert.Less(t, time.Since(began), 5*time.Second)
	downs := p.output.of(record.Down)
	require.Len(t, downs, 1)
	assert.Equal(t, int64((downs[0].Span.To-1)/(10*time.Millisecond))+1,
		p.output.count(record.Canceled))
}

// More than 1024 attempts under way are not made but told.
func TestSkippedBeyondTheBound(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	config := newConfig(t, "a", newMount(t, newAuthority(t, "ca").issue(t)))
	config.Deadline, config.Horizon = 2*time.Second, time.Second
	config.Streams = []peer.Stream{{
		Targets: []peer.Target{{Pod: "b", Address: silent.Addr().String()}},
		Every:   500 * time.Microsecond,
	}}
	p := start(t, config)
	begin(t, p)
	p.waitForEnd(t)
	assert.Equal(t, int64(2000), p.output.count())
	assert.Positive(t, p.output.count(record.Skipped))
	assert.GreaterOrEqual(t, p.output.count(record.Timeout), int64(1024))
	for _, r := range p.output.all() {
		if r.Span.Outcome == record.Skipped {
			assert.Equal(t, "1024 attempts are under way", r.Span.Detail)
			break
		}
	}
}

func TestDecodeRowIsStrict(t *testing.T) {
	const good = `{"boot":"0123456789abcdef","seq":1,"role":"client","span":` +
		`{"kind":"handshake","from_ns":1,"to_ns":2,"outcome":"ok","count":3}}`
	row, err := peer.DecodeRow([]byte(good + "\n"))
	require.NoError(t, err)
	assert.Equal(t, int64(3), row.Span.Count)
	for name, line := range map[string]string{
		"empty":         "",
		"foreign text":  "panic: runtime error",
		"foreign JSON":  `{"level":"info"}`,
		"two rows":      good + good,
		"cut":           good[:60],
		"no boot":       `{"boot":"","seq":1,"span":{"kind":"up"}}`,
		"no seq":        `{"boot":"0123456789abcdef","seq":0,"span":{"kind":"up"}}`,
		"other kind":    `{"boot":"0123456789abcdef","seq":1,"span":{"kind":"write"}}`,
		"other outcome": `{"boot":"0123456789abcdef","seq":1,"span":{"kind":"up","outcome":"x"}}`,
		"other role":    `{"boot":"0123456789abcdef","seq":1,"role":"x","span":{"kind":"up"}}`,
		"no count":      `{"boot":"0123456789abcdef","seq":1,"role":"client","span":{"kind":"up"}}`,
		"backwards":     `{"boot":"0123456789abcdef","seq":1,"span":{"kind":"up","from_ns":1}}`,
	} {
		_, err := peer.DecodeRow([]byte(line))
		assert.ErrorIs(t, err, peer.ErrNotRow, name)
	}
}

func FuzzDecodeRow(f *testing.F) {
	f.Add([]byte(`{"boot":"0123456789abcdef","seq":1,"role":"client","span":` +
		`{"kind":"handshake","outcome":"ok","count":1,"latency":"HISTFAAAAA"}}`))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := peer.DecodeRow(line)
		if err != nil {
			if !errors.Is(err, peer.ErrNotRow) {
				t.Fatal(err)
			}
			return
		}
		row.Span.Latency = nil // its compressed form need not be canonical
		again, err := peer.DecodeRow(marshal(t, row))
		require.NoError(t, err)
		assert.Equal(t, row, again)
	})
}
