package rotator

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

const asked30 = `
every: 24h
gate: uptake
retireAfter: 1h
uptakeTimeout: 30m
consumers: {selector: {matchLabels: {app: shop}}}
`

var shop = map[string]string{"app": "shop"}

// A consumer that does not read stops the rotation, is named, and when it reads, all goes on.
func TestLateConsumer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asked30)
	w.consumer("a", shop)
	late := w.consumer("b", shop)
	other := w.consumer("other", map[string]string{"app": "other"})
	w.until(23 * time.Hour)
	assert.Equal(t, time.Hour, w.reconcile(), "nobody is asked between rotations")
	late.stick()
	other.hush()
	w.until(24*time.Hour + 10*minute)
	assert.Equal(t, "True UptakePending", w.condition(rotation.Ready))
	assert.Equal(t, "True UptakePending", w.condition(rotation.Rotating))
	assert.Equal(t, "False UptakePending", w.condition(rotation.Halted))
	until := w.rs().Status.NextStepTime
	assert.Equal(t, start.Add(24*time.Hour+30*minute), until.UTC())

	w.until(26 * time.Hour)
	assert.Equal(t, "True UptakeTimedOut", w.condition(rotation.Halted))
	assert.Equal(t, "False UptakeTimedOut", w.condition(rotation.Ready))
	assert.Contains(t, w.message(), "late: b (LacksKey)")
	assert.Equal(t, []api.LateConsumer{{Consumer: "b", Why: "LacksKey"}}, w.rs().Status.Late)
	assert.Equal(t, int64(1), w.rs().Status.LateCount)
	assert.Equal(t, []string{"k1*", "k1* k2"}, w.history)
	warned := 0
	for _, event := range w.events {
		if strings.HasPrefix(event, "Warning UptakeTimedOut ") && strings.Contains(event, "b (") {
			warned++
		}
	}
	assert.Equal(t, 1, warned, "%v", w.events)

	assert.Equal(t, minute, w.reconcile(), "it goes on asking")
	late.read()
	w.until(26*time.Hour + 2*minute)
	assert.Equal(t, []string{"k1*", "k1* k2", "k1 k2*"}, w.history)
	assert.Equal(t, "False TooEarlyToRetire", w.condition(rotation.Halted))
	assert.Empty(t, w.rs().Status.Late)
	w.until(28 * time.Hour)
	assert.Equal(t, oneRotation, w.history)
	var said []string
	for _, event := range w.events {
		said = append(said, strings.Join(strings.Fields(event)[:2], " "))
	}
	assert.Equal(t, []string{
		"Normal Create", "Normal Publish", "Warning UptakeTimedOut", "Normal Promote",
		"Normal HaltEnded", "Normal Retire",
	}, said)
}

// Who cannot be asked, who answers without a word of the Secret and who is still starting is late.
// Who has no node yet, or has ended, is not waited for.
func TestSilentConsumers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asked30)
	w.consumer("good", shop)
	w.consumer("dumb", shop).hush()
	for name, status := range map[string]core.PodStatus{
		"gone":     {Phase: core.PodRunning, PodIP: "127.0.0.1"}, // nobody listens
		"starting": {Phase: core.PodPending},
		"ended":    {Phase: core.PodSucceeded, PodIP: "127.0.0.1"},
		"nowhere":  {Phase: core.PodPending},
	} {
		pod := w.podObject(name)
		pod.Labels, pod.Status = shop, status
		pod.Spec.Containers = []core.Container{{
			Name: "c", Ports: []core.ContainerPort{{Name: "metrics", ContainerPort: 1}},
		}}
		if name != "nowhere" {
			pod.Spec.NodeName = "n1"
		}
		require.NoError(t, w.server.Create(t.Context(), pod))
	}
	w.until(24*time.Hour + 5*minute)
	assert.Equal(t, []api.LateConsumer{
		{
			Consumer: "dumb", Why: "Silent",
			Detail: "it does not export certquake_keyring_info for the Secret",
		},
		{Consumer: "gone", Why: "Silent", Detail: "it cannot be reached"},
		{Consumer: "starting", Why: "Silent", Detail: "it has no address yet"},
	}, w.rs().Status.Late)
	assert.Equal(t, []string{"k1*", "k1* k2"}, w.history)
}

// Nobody to ask is not everybody ready.
func TestNoConsumers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asked30)
	w.until(26 * time.Hour)
	assert.Equal(t, "True NoConsumers", w.condition(rotation.Halted))
	assert.Equal(t, []string{"k1*", "k1* k2"}, w.history)
}

// Messages name ten of many late ones, the status lists twenty, and counts all.
func TestManyLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asked30)
	for i := range 30 {
		pod := w.podObject("p" + string(rune('A'+i)))
		pod.Labels, pod.Spec.NodeName = shop, "n1"
		pod.Name = strings.ToLower(pod.Name)
		if i >= 26 {
			pod.Name = "q" + string(rune('a'+i-26))
		}
		require.NoError(t, w.server.Create(t.Context(), pod))
	}
	w.until(26 * time.Hour)
	status := w.rs().Status
	assert.Len(t, status.Late, 20)
	assert.Equal(t, int64(30), status.LateCount)
	assert.Contains(t, w.message(), "pj (Silent), and 20 more (see status.late)")
	assert.NotContains(t, w.message(), "pk")
}

func TestRings(t *testing.T) {
	t.Parallel()
	const head = "# TYPE certquake_keyring_info gauge\n"
	ring := rotation.Ring{Primary: "r2", IDs: []string{"r1", "r2"}}
	for name, row := range map[string]struct {
		page string
		want []rotation.Ring
	}{
		"as it should be": {
			head + `certquake_keyring_info{secret="jwt",primary="r2",ids="r1,r2"} 1`,
			[]rotation.Ring{ring},
		},
		"without a type, unsorted, twice, with further labels": {
			`certquake_keyring_info{ids="r2,r1,r2,",zone="z",primary="r2",secret="jwt"} 1 99`,
			[]rotation.Ring{ring},
		},
		"of another Secret": {
			head + `certquake_keyring_info{secret="tls",primary="r2",ids="r1,r2"} 1`, nil,
		},
		"no longer": {
			head + `certquake_keyring_info{secret="jwt",primary="r2",ids="r1,r2"} 0`, nil,
		},
		"of two processes": {
			head + `certquake_keyring_info{secret="jwt",primary="r2",ids="r1,r2"} 1` + "\n" +
				`certquake_keyring_info{secret="jwt",primary="r1",ids="r1"} 1`,
			[]rotation.Ring{ring, {Primary: "r1", IDs: []string{"r1"}}},
		},
		"of others": {"up 1\n# HELP x y\nx{a=\"b\"} NaN", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rings(strings.NewReader(row.page+"\n"), "jwt")
			require.NoError(t, err)
			assert.Equal(t, row.want, got)
		})
	}
	_, err := rings(strings.NewReader("<html>not found</html>\n"), "jwt")
	require.ErrorIs(t, err, errPage)
}
