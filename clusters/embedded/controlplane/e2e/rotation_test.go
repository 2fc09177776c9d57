//go:build embedded

// Package e2e holds a whole cluster to its promises: real issuance, real projection delays,
// faults that bite, and nothing left behind.
package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

const leaf = "my-service-akka-tls-certificate"

// TestRotation is the whole story once: issue, mount, renew, hold, change settings, leave.
func TestRotation(t *testing.T) {
	bin := programs(t)
	config := cluster.Config{
		Dir: t.TempDir(), Images: map[string]string{"certquake/testpod": testpod(t)},
		Nodes: []cluster.Node{
			node("fast", time.Second), node("middle", 10*time.Second), node("slow", time.Minute),
		},
	}
	r := start(t, bin, config)
	spaces := namespaces(t, r.ready.InitPID)
	api := connect(t, r.ready.Kubeconfig)
	api.apply(manifests(t))
	api.issued(leaf)
	api.deploy("certquake/testpod:1", leaf, 3)
	pods := api.awaitPods("app=web", 3, time.Minute)
	time.Sleep(3 * time.Second) // a pod that has just become ready is synced once more

	t.Run("every node follows at its own pace", func(t *testing.T) {
		changed, sum := api.renew(leaf)
		for name, limit := range map[string]time.Duration{
			"fast": 4 * time.Second, "middle": 18 * time.Second, "slow": 100 * time.Second,
		} {
			seen := awaitChange(t, r.ready, pods[name], sum, limit+5*time.Second)
			t.Logf("Secret to file on %s: %s", name, seen.Sub(changed).Round(time.Millisecond))
			assert.Less(t, seen.Sub(changed), limit, name)
		}
	})
	t.Run("a paused kubelet holds its node", func(t *testing.T) {
		const hold = 8 * time.Second
		r.must(cluster.Command{Do: "pause-kubelet", Node: "fast"})
		changed, sum := api.renew(leaf)
		time.Sleep(hold) // the hold itself is wall time
		require.False(t, hasChange(t, r.ready, pods["fast"], sum), "changed while paused")
		resumed := r.must(cluster.Command{Do: "resume-kubelet", Node: "fast"})
		seen := awaitChange(t, r.ready, pods["fast"], sum, 10*time.Second)
		t.Logf("Secret to file on fast, held for %s: %s, %s after its end", hold,
			seen.Sub(changed).Round(time.Millisecond),
			seen.Sub(resumed.At).Round(time.Millisecond))
		assert.GreaterOrEqual(t, seen.Sub(changed), hold)
	})
	t.Run("a reconfigured kubelet leaves containers alone", func(t *testing.T) {
		answer := r.must(cluster.Command{
			Do: "configure-kubelet", Node: "slow",
			Settings: settings(time.Second, "Get"),
		})
		t.Logf("kubelet restarted in %s", answer.Took.Round(time.Millisecond))
		changed, sum := api.renew(leaf)
		seen := awaitChange(t, r.ready, pods["slow"], sum, 15*time.Second)
		t.Logf("Secret to file on slow, now 1s Get: %s",
			seen.Sub(changed).Round(time.Millisecond))
		assert.Less(t, seen.Sub(changed), 8*time.Second)
		assert.Equal(t, 1, count(rows(t, r.ready, pods["slow"]), "start"))
	})
	t.Run("issuer, webhook and API server can be away", func(t *testing.T) { outages(t, r, api) })
	t.Run("pods are pods", func(t *testing.T) { podLife(t, api) })

	t.Run("a pod is told to end", func(t *testing.T) {
		terminated(t, r.ready, api, pods["fast"])
	})
	began := time.Now()
	require.NoError(t, r.input.Close())
	require.NoError(t, r.command.Wait())
	t.Logf("ended %s after its input", time.Since(began).Round(time.Millisecond))
	requireGone(t, spaces, bin, config.Dir)
	_, err := os.Stat(r.ready.Kubeconfig)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func outages(t *testing.T, r *running, api *client) {
	t.Helper()
	r.must(cluster.Command{Do: "stop-cert-manager"})
	before := api.secret(leaf)
	api.requestIssue(leaf)
	time.Sleep(2 * time.Second) // long enough for a renewal, which takes a tenth of that
	assert.Equal(t, before, api.secret(leaf), "issued without an issuer")
	r.must(cluster.Command{Do: "start-cert-manager"})
	require.Eventually(t, func() bool { return string(api.secret(leaf)) != string(before) },
		time.Minute, 50*time.Millisecond)

	r.must(cluster.Command{Do: "stop-webhook"})
	require.Error(t, api.dryRun(), "admitted without a webhook")
	r.must(cluster.Command{Do: "start-webhook"})
	require.NoError(t, api.dryRun())

	r.must(cluster.Command{Do: "stop-apiserver"})
	require.Error(t, api.alive())
	answer := r.must(cluster.Command{Do: "start-apiserver"})
	t.Logf("API server back in %s", answer.Took.Round(time.Millisecond))
	require.NoError(t, api.alive())

	again := r.do(cluster.Command{Do: "start-apiserver"})
	assert.Equal(t, "control-plane runs already", again.Error)
}

func node(name string, every time.Duration) cluster.Node {
	return cluster.Node{Name: name, Settings: settings(every, "Watch")}
}

func settings(every time.Duration, strategy string) cluster.Settings {
	return cluster.Settings{
		SyncFrequency: cluster.Duration(every), ChangeDetection: strategy,
	}
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
