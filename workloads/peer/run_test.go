package peer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/peer"
)

const every = 40 * time.Millisecond

// pair returns two pods that dial each other, the first associated with the second.
func pair(t *testing.T, a, b *mount, horizon time.Duration) (peer.Config, peer.Config) {
	t.Helper()
	from, to := newConfig(t, "a", a), newConfig(t, "b", b)
	from.Horizon, to.Horizon = horizon, horizon
	from.Streams = []peer.Stream{{
		Targets: []peer.Target{targetOf(&to)}, Every: every, Phase: 3 * time.Millisecond,
	}}
	to.Streams = []peer.Stream{{
		Targets: []peer.Target{targetOf(&from)}, Every: every, Phase: 7 * time.Millisecond,
	}}
	from.Associations = []peer.Target{targetOf(&to)}
	return from, to
}

// scheduled is how many attempts the first stream of a pair makes before an offset.
func scheduled(before time.Duration) int64 {
	return int64((before-3*time.Millisecond-1)/every) + 1
}

// Leaf rotations do no harm; every attempt is accounted for; each content is told once.
func TestPairOverRotations(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	first := ca.issue(t)
	mountA, mountB := newMount(t, first), newMount(t, ca.issue(t))
	configA, configB := pair(t, mountA, mountB, 8*time.Second)
	configA.Read.Pinned, configB.Read.Pinned = true, true // or a read may straddle a swap
	a, b := start(t, configA), start(t, configB)
	base := begin(t, a, b)
	want := []record.Generation{first.generation(ca)}
	swaps := []during{{}}
	for i := range 3 {
		for _, p := range []*pod{a, b} {
			p.waitFor(t, "reload", func(peer.Row) bool {
				return len(p.output.of(record.Reload)) == i+1
			})
		}
		time.Sleep(150 * time.Millisecond)
		next := ca.issue(t)
		swaps = append(swaps, mountA.projectSince(t, base, next))
		mountB.project(t, ca.issue(t))
		want = append(want, next.generation(ca))
	}
	a.waitForEnd(t)
	b.waitForEnd(t)
	for _, p := range []*pod{a, b} {
		assert.Equal(t, scheduled(configA.Horizon), p.output.count(), p.config.Pod)
		assert.Equal(t, scheduled(configA.Horizon), p.output.count(record.OK), p.config.Pod)
		p.output.contiguous(t)
		assert.Empty(t, p.output.of(record.Project))
		assert.Empty(t, p.output.of(record.Up))
	}
	reloads := a.output.of(record.Reload)
	require.Len(t, reloads, len(want))
	for i, r := range reloads {
		assert.Equal(t, want[i], *r.Span.Own)
		assert.Equal(t, record.OK, r.Span.Outcome)
		assert.Equal(t, r.Span.Projected, r.Span.From)
		assert.InDelta(t, (-time.Hour).Seconds(), r.Span.NotBefore.Seconds(), 30)
		if i == 0 {
			assert.Zero(t, r.Span.To)
			continue
		}
		swaps[i].assertIn(t, r.Span.Projected)
		assert.GreaterOrEqual(t, r.Span.To, r.Span.Projected)
	}
	require.Len(t, a.output.of(record.Associate), 1, "an association survives reloads")
	a.quit(t)
	b.quit(t)
	assert.Empty(t, a.output.of(record.Drop), "what ends after the horizon is not told")
	last := a.output.all()
	assert.Equal(t, record.End, last[len(last)-1].Span.Kind)
	assert.Equal(t, configA.Horizon, last[len(last)-1].Span.To)
}

func TestSpansOfSuccesses(t *testing.T) {
	t.Parallel()
	m := newMount(t, newAuthority(t, "ca").issue(t))
	a, b := pair(t, m, m, 1500*time.Millisecond)
	a.Streams = append(a.Streams, a.Streams[0])
	pods := []*pod{start(t, a), start(t, b)}
	base := begin(t, pods...)
	pods[0].waitForEnd(t)
	seconds := int(time.Since(base).Seconds()) + 1
	require.Equal(t, 2*scheduled(a.Horizon), pods[0].output.count(record.OK))
	spans := 0
	for _, r := range pods[0].output.of(record.Handshake) {
		spans++
		assert.Equal(t, record.Client, r.Role)
		assert.Equal(t, "a", r.Span.Source)
		assert.Empty(t, r.Span.Peer)
		assert.Equal(t, r.Span.Count, r.Span.Latency.Count())
		assert.Positive(t, r.Span.Latency.Quantile(0.5))
		assert.Zero(t, (r.Span.From-3*time.Millisecond)%every, "intended times, not real ones")
		assert.LessOrEqual(t, r.Span.Count, int64((r.Span.To-r.Span.From)/every)+1)
	}
	assert.LessOrEqual(t, spans, 4*(seconds+1), "a span a second and stream, and cut ones")
}

// A graceful restart with saved state: the new process begins untold, and the rows of both and Due
// account for every attempt.
func TestRestartAccountsForEveryAttempt(t *testing.T) {
	t.Parallel()
	m := newMount(t, newAuthority(t, "ca").issue(t))
	configA, configB := pair(t, m, m, 8*time.Second)
	b := start(t, configB)
	a := start(t, configA)
	base := begin(t, a, b)
	a.waitFor(t, "an association", func(r peer.Row) bool { return r.Span.Kind == record.Associate })
	time.Sleep(time.Until(base.Add(500 * time.Millisecond)))
	const down = 500 * time.Millisecond
	a.post(t, peer.PathClock, peer.Clock{Skew: time.Minute})
	a.post(t, peer.PathRestart, peer.Restart{Down: down})
	require.NoError(t, <-a.ended)
	again := startInto(t, configA, a.output)
	ready := time.Since(base)
	again.waitForEnd(t)
	b.waitForEnd(t)

	downs, ups := a.output.of(record.Down), a.output.of(record.Up)
	require.Len(t, downs, 1)
	require.Len(t, ups, 1)
	stopped, up := downs[0].Span.To, ups[0]
	assert.GreaterOrEqual(t, up.Span.From-stopped, down)
	assert.Less(t, up.Span.From, ready)
	require.Equal(t, []int64{scheduled(up.Span.From)}, up.Due)
	boots := map[string]int64{}
	for _, r := range a.output.of(record.Handshake) {
		if r.Role == record.Client {
			boots[r.Boot] += r.Span.Count
		}
	}
	assert.Equal(t, map[string]int64{
		downs[0].Boot: scheduled(stopped), up.Boot: scheduled(configA.Horizon) - up.Due[0],
	}, boots)
	a.output.contiguous(t)
	assert.Empty(t, a.output.of(record.Project), "content read before the restart is not news")
	reloads := a.output.of(record.Reload)
	require.Len(t, reloads, 2)
	assert.Equal(t, reloads[1].Span.To, reloads[1].Span.From, "nor is it when it is read again")
	require.Len(t, a.output.of(record.Associate), 2)
	drops := a.output.of(record.Drop)
	require.Len(t, drops, 1)
	assert.Equal(t, "a ended", drops[0].Span.Detail)
	assert.Equal(t, stopped, drops[0].Span.To)
	clocks := a.output.of(record.Clock)
	require.Len(t, clocks, 1)
	assert.Equal(t, time.Minute, clocks[0].Span.Skew)
	status := again.post(t, peer.PathBegin, peer.Begin{Base: base})
	assert.Equal(t, time.Minute, status.Skew, "saved")
}

func TestBeginInThePast(t *testing.T) {
	t.Parallel()
	m := newMount(t, newAuthority(t, "ca").issue(t))
	configA, configB := pair(t, m, m, time.Hour+time.Second)
	a, b := start(t, configA), start(t, configB)
	base := time.Now().Add(-time.Hour)
	for _, p := range []*pod{a, b} {
		p.post(t, peer.PathBegin, peer.Begin{Base: base})
		p.post(t, peer.PathBegin, peer.Begin{Base: base})
	}
	a.waitForEnd(t)
	ups := a.output.of(record.Up)
	require.Len(t, ups, 1)
	require.Len(t, ups[0].Due, 1)
	assert.Equal(t, scheduled(configA.Horizon)-ups[0].Due[0], a.output.count(record.OK))
	assert.Positive(t, ups[0].Due[0])
	require.NotEmpty(t, a.output.of(record.Reload))
	assert.Negative(t, a.output.of(record.Reload)[0].Span.NotAfter-25*time.Hour)
}

// Without a beginning nothing is told, and nothing breaks.
func TestNeverBegun(t *testing.T) {
	t.Parallel()
	m := newMount(t, newAuthority(t, "ca").issue(t))
	p := start(t, newConfig(t, "a", m))
	conn, err := net.Dial("tcp", p.config.Listen)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	p.post(t, peer.PathClock, peer.Clock{Skew: time.Minute})
	p.quit(t)
	assert.Empty(t, p.output.all())
	assert.Zero(t, p.get("/healthz"))
}

func TestAssociationDropsWithThePeer(t *testing.T) {
	t.Parallel()
	m := newMount(t, newAuthority(t, "ca").issue(t))
	configA, configB := pair(t, m, m, 20*time.Second)
	configA.Streams, configB.Streams = nil, nil
	a, b := start(t, configA), start(t, configB)
	base := begin(t, a, b)
	associated := func(n int) func(peer.Row) bool {
		return func(peer.Row) bool {
			ok := 0
			for _, r := range a.output.of(record.Associate) {
				if r.Span.Outcome == record.OK {
					ok++
				}
			}
			return ok >= n
		}
	}
	a.waitFor(t, "associated", associated(1))
	b.quit(t)
	failed := a.waitFor(t, "refused", func(r peer.Row) bool {
		return r.Span.Kind == record.Associate && r.Span.Outcome == record.Unreachable
	})
	assert.Equal(t, record.Client, failed.Span.Side)
	drops := a.output.of(record.Drop)
	require.NotEmpty(t, drops)
	drop := drops[len(drops)-1]
	assert.Equal(t, "b ended", drop.Span.Detail)
	assert.Equal(t, "b", drop.Span.Peer)
	assert.Zero(t, (failed.Span.From-drop.Span.To)%configA.Retry, "retries count from the drop")
	again := start(t, configB)
	again.post(t, peer.PathBegin, peer.Begin{Base: base})
	a.waitFor(t, "associated again", associated(2))
}

// A process that reads at start-up only leaves content unread: as it is swapped away, and as the
// horizon comes.
func TestContentNeverRead(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	other := newAuthority(t, "other")
	m := newMount(t, ca.issue(t))
	config := newConfig(t, "a", m)
	config.Policy = credential.Policy{Kind: credential.StartUp}
	config.Read.Trust = credential.FirstCert
	config.Horizon = 8 * time.Second
	second, third := ca.issue(t, ca, other), other.issue(t)
	p := start(t, config)
	base := begin(t, p)
	time.Sleep(time.Until(base.Add(time.Second)))
	swaps := []during{m.projectSince(t, base, second)}
	time.Sleep(2 * time.Second) // so that it sees the second before the third
	swaps = append(swaps, m.projectSince(t, base, third))
	p.waitForEnd(t)
	rows := p.output.of(record.Project)
	require.Len(t, rows, 2)
	assert.Equal(t, second.generation(ca, other), *rows[0].Span.Own, "the whole file")
	assert.Equal(t, third.generation(other), *rows[1].Span.Own)
	for i, r := range rows {
		swaps[i].assertIn(t, r.Span.To)
		assert.Equal(t, r.Span.To, r.Span.From)
	}
	require.Len(t, p.output.of(record.Reload), 1)
}

func TestPoliciesThatNeedNoDemand(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		policy credential.Policy
		reads  int // of three contents
	}{
		"poll":       {credential.Policy{Kind: credential.Poll, Every: 50 * time.Millisecond}, 3},
		"watch":      {credential.Policy{Kind: credential.Watch}, 3},
		"watch-once": {credential.Policy{Kind: credential.WatchOnce}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t, "ca")
			m := newMount(t, ca.issue(t))
			config := newConfig(t, "a", m)
			config.Policy = test.policy
			config.Read.Pinned = true // or a read may straddle a swap
			config.Horizon = 8 * time.Second
			second, third := ca.issue(t), ca.issue(t)
			p := start(t, config)
			base := begin(t, p)
			time.Sleep(time.Until(base.Add(300 * time.Millisecond)))
			m.project(t, second)
			p.waitFor(t, "read", func(peer.Row) bool {
				return len(p.output.of(record.Reload)) == 2
			})
			m.project(t, third)
			p.waitForEnd(t)
			rows := p.output.of(record.Reload)
			require.Len(t, rows, test.reads)
			assert.Len(t, p.output.of(record.Project), 3-test.reads)
		})
	}
}

// A stuck standard output delays nothing.
func TestStuckOutputDelaysNoDial(t *testing.T) {
	t.Parallel()
	m := newMount(t, newAuthority(t, "ca").issue(t))
	configA, configB := pair(t, m, m, 2*time.Second)
	out, in := io.Pipe() // nobody reads yet
	collected := &output{}
	a, b := launch(t, configA, collected, in), start(t, configB)
	require.Eventually(t, func() bool { return a.get("/readyz") == http.StatusOK },
		20*time.Second, 5*time.Millisecond)
	begin(t, a, b)
	b.waitForEnd(t)
	require.Eventually(t, func() bool {
		return strings.Contains(metricsOf(t, a),
			`certquake_handshakes_total{outcome="ok",role="client"} 51`)
	}, 20*time.Second, 10*time.Millisecond, "50 canaries and an association")
	_, err := io.CopyN(io.Discard, out, 0)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(collected, out)
	}()
	collectedEnd := func(r peer.Row) bool { return r.Span.Kind == record.End }
	a.waitFor(t, "end", collectedEnd)
	a.quit(t)
	require.NoError(t, in.Close())
	<-done
	assert.Equal(t, int64(50), collected.count(record.OK))
	collected.contiguous(t)
}

func metricsOf(t *testing.T, p *pod) string {
	t.Helper()
	response, err := client().Get("http://" + p.config.Admin + peer.PathMetrics)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, errors.Join(err, response.Body.Close()))
	return string(text)
}

func TestConfigProblemsComeAllAtOnce(t *testing.T) {
	t.Parallel()
	err := peer.Run(context.Background(), peer.Config{
		Streams: []peer.Stream{{Targets: []peer.Target{{Address: "nowhere"}}}},
		Read:    credential.Settings{Files: credential.Files{CA: "../ca.crt"}},
	}, io.Discard, io.Discard)
	var problems *peer.ConfigError
	require.ErrorAs(t, err, &problems)
	assert.Len(t, problems.Problems, 11, problems.Problems)
	_, err = peer.DecodeConfig([]byte(`{"pood": "a"}`))
	assert.ErrorAs(t, err, &problems)
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	config := newConfig(t, "a", newMount(t, newAuthority(t, "ca").issue(t)))
	config.Listen = l.Addr().String()
	err = peer.Run(t.Context(), config, io.Discard, t.Output())
	assert.ErrorContains(t, err, "listen for peers: ")
}

// A process that is told late of its beginning makes every attempt, late: latency counts from when
// it was due, and the end comes after all of them.
func TestFreshBeginInThePast(t *testing.T) {
	t.Parallel()
	m := newMount(t, newAuthority(t, "ca").issue(t))
	configA, configB := pair(t, m, m, 400*time.Millisecond)
	configB.Horizon = time.Minute
	a, b := start(t, configA), start(t, configB)
	base := time.Now().Add(-configA.Horizon)
	for _, p := range []*pod{b, a} {
		p.post(t, peer.PathBegin, peer.Begin{Base: base, Fresh: true})
	}
	a.waitForEnd(t)
	a.quit(t)
	assert.Equal(t, scheduled(configA.Horizon), a.output.count())
	var latest time.Duration
	rows := a.output.all()
	end := slices.IndexFunc(rows, func(r peer.Row) bool { return r.Span.Kind == record.End })
	for i, r := range rows {
		if r.Span.Kind == record.Handshake && r.Role == record.Client { // b meets the end of a
			assert.Less(t, i, end)
			latest = max(latest, r.Span.Latency.Max())
		}
	}
	assert.GreaterOrEqual(t, latest, configA.Horizon-20*time.Millisecond)
}

// The credential pretends to have an age at offset 0: it is read again when the TTL is over by it.
func TestCacheAge(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	mountA := newMount(t, ca.issue(t))
	configA, configB := pair(t, mountA, newMount(t, ca.issue(t)), 20*time.Second)
	configA.Policy.Every, configA.CacheAge = 15*time.Second, 14*time.Second
	a, b := start(t, configA), start(t, configB)
	base := begin(t, a, b)
	time.Sleep(time.Until(base.Add(200 * time.Millisecond)))
	mountA.project(t, ca.issue(t))
	a.waitFor(t, "reload", func(peer.Row) bool { return len(a.output.of(record.Reload)) == 2 })
	row := a.output.of(record.Reload)[1].Span
	assert.GreaterOrEqual(t, row.To, time.Second)
	assert.Less(t, row.To, 10*time.Second)
}
