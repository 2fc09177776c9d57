package peer_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/peer"
)

func marshal(tb testing.TB, v any) []byte {
	tb.Helper()
	data, err := json.Marshal(v)
	require.NoError(tb, err)
	return data
}

// A killed process loses at most what it had not flushed, and says no word of its end. What was
// saved still has the next one down, and begin untold.
func TestKillLosesOneSecondAtMost(t *testing.T) {
	t.Parallel()
	m := newMount(t, newAuthority(t, "ca").issue(t))
	configA, configB := pair(t, m, m, 10*time.Second)
	configB.Associations = []peer.Target{targetOf(&configA)}
	b := start(t, configB)
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProcess+"="+string(marshal(t, configA)))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Start())
	a := &pod{config: configA}
	require.Eventually(t, func() bool { return a.get(peer.PathReady) == http.StatusOK },
		20*time.Second, 5*time.Millisecond)
	base := time.Now().Add(200 * time.Millisecond)
	a.post(t, peer.PathBegin, peer.Begin{Base: base, Fresh: true})
	b.post(t, peer.PathBegin, peer.Begin{Base: base, Fresh: true})
	b.waitFor(t, "an association", func(r peer.Row) bool { return r.Span.Kind == record.Associate })
	time.Sleep(time.Until(base.Add(3 * time.Second)))
	const down = 700 * time.Millisecond
	before := time.Since(base)
	a.post(t, peer.PathRestart, peer.Restart{Kill: true, Down: down})
	at := time.Since(base)
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 137, exit.ExitCode())

	killed := &output{}
	for line := range bytes.Lines(stdout.Bytes()) {
		_, _ = killed.Write(line)
	}
	require.Empty(t, killed.wrong)
	killed.contiguous(t)
	assert.Empty(t, killed.of(record.Down))
	assert.Empty(t, killed.of(record.Drop))
	told := killed.count()
	assert.LessOrEqual(t, told, scheduled(at))
	assert.GreaterOrEqual(t, told, scheduled(before-2*time.Second),
		"a second, those under way, and a slow machine")
	drop := b.waitFor(t, "dropped", func(r peer.Row) bool { return r.Span.Kind == record.Drop })
	assert.Equal(t, "a ended", drop.Span.Detail)

	again := start(t, configA)
	again.waitForEnd(t)
	ups := again.output.of(record.Up)
	require.Len(t, ups, 1)
	assert.GreaterOrEqual(t, ups[0].Span.From, before+down)
	assert.Equal(t, scheduled(configA.Horizon)-ups[0].Due[0], again.output.count(record.OK))
}
