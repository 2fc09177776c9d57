//go:build embedded

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

const peerZone = "my-service.default.svc.cluster.local"

// resolved is testpod's answer to a lookup.
type resolved struct {
	Addresses []string      `json:"addresses"`
	Error     string        `json:"error"`
	Took      time.Duration `json:"took_ns"`
	At        time.Time     `json:"at"`
}

// names follows peers behind a headless Service that publishes them before they are ready.
func names(t *testing.T, r *running, api *client) {
	t.Helper()
	api.headless("my-service")
	var addresses []string
	for i := range 4 {
		addresses = append(addresses, api.run(peer(i, "one")).Status.PodIP)
	}
	slices.Sort(addresses)
	require.Eventually(t, func() bool {
		return slices.Equal(addresses, api.resolve("ip4", peerZone).Addresses)
	}, 10*time.Second, 20*time.Millisecond, "the headless name")
	third := "my-service-3." + peerZone
	old := api.pod("my-service-3").Status.PodIP
	for name, network := range map[string]string{
		third: "ip4", third + ".": "ip4", "my-service-3.my-service": "ip",
	} {
		got := api.resolve(network, name)
		assert.Equal(t, []string{old}, got.Addresses, name)
		t.Logf("%s (%s) resolved in %s", name, network, got.Took)
		assert.Less(t, got.Took, 500*time.Millisecond)
	}
	unknown := api.resolve("ip", "my-service-9."+peerZone)
	t.Logf("unknown name refused in %s: %s", unknown.Took, unknown.Error)
	assert.Contains(t, unknown.Error, "no such host")
	assert.Less(t, unknown.Took, 500*time.Millisecond)

	replaced(t, api, old, "two")
	withoutAPI(t, r, api)
	began := time.Now()
	replaced(t, api, api.pod("my-service-3").Status.PodIP, "one")
	t.Logf("first pod after the API server's return took %s", time.Since(began))
}

// replaced deletes a peer and puts another in its place, elsewhere.
func replaced(t *testing.T, api *client, old, on string) {
	t.Helper()
	events, err := api.streams.DiscoveryV1().EndpointSlices("default").Watch(t.Context(),
		meta.ListOptions{LabelSelector: discovery.LabelServiceName + "=my-service"})
	require.NoError(t, err)
	shown := make(chan map[string]time.Time, 1)
	go func() { shown <- published(events.ResultChan()) }()
	api.follow(0, "my-service-3."+peerZone)
	zero := int64(0)
	require.NoError(t, api.kube.CoreV1().Pods("default").Delete(t.Context(), "my-service-3",
		meta.DeleteOptions{GracePeriodSeconds: &zero}))
	now := api.run(peer(3, on)).Status.PodIP
	require.NotEqual(t, old, now)
	var served time.Time
	require.Eventually(t, func() bool {
		for _, change := range api.followed(0).Changes {
			if slices.Equal(change.Addresses, []string{now}) && served.IsZero() {
				served = change.At
			}
		}
		return !served.IsZero()
	}, 10*time.Second, 20*time.Millisecond, "the new address is not served")
	events.Stop()
	changed, found := (<-shown)[now]
	require.True(t, found, "no EndpointSlice with %s", now)
	t.Logf("address of the replaced pod served %s after its EndpointSlice",
		served.Sub(changed).Round(100*time.Microsecond))
	assert.Less(t, served.Sub(changed), 100*time.Millisecond)
}

// published returns when a watch of EndpointSlices first showed each address.
func published(events <-chan watch.Event) map[string]time.Time {
	shown := map[string]time.Time{}
	for event := range events {
		slice, ok := event.Object.(*discovery.EndpointSlice)
		if !ok {
			continue
		}
		for _, each := range slice.Endpoints {
			if _, known := shown[each.Addresses[0]]; !known {
				shown[each.Addresses[0]] = time.Now()
			}
		}
	}
	return shown
}

// withoutAPI resolves on while the API server does not run.
func withoutAPI(t *testing.T, r *running, api *client) {
	t.Helper()
	before := api.resolve("ip4", peerZone).Addresses
	require.Len(t, before, 4)
	api.follow(1, peerZone)
	stopped := r.must(cluster.Command{Do: "stop-apiserver"})
	time.Sleep(8 * time.Second) // long enough for watches to end and lists to fail
	started := r.must(cluster.Command{Do: "start-apiserver"})
	seen := api.followed(1)
	t.Logf("API server away for %s: %d lookups, %d failed, the slowest took %s",
		started.At.Sub(stopped.At).Round(time.Millisecond), seen.Asked, seen.Failed, seen.Slowest)
	assert.Greater(t, seen.Asked, 100)
	assert.Zero(t, seen.Failed)
	require.Len(t, seen.Changes, 1)
	assert.Equal(t, before, seen.Changes[0].Addresses)
}

// followed is testpod's account of a name.
type followed struct {
	Asked   int           `json:"asked"`
	Failed  int           `json:"failed"`
	Slowest time.Duration `json:"slowest_ns"`
	Changes []resolved    `json:"changes"`
}

func (c *client) follow(peer int, name string) {
	c.t.Helper()
	c.mustAsk(http.MethodPost, peerName(peer), "/follow", url.Values{"name": {name}})
}

func (c *client) followed(peer int) followed {
	c.t.Helper()
	var seen followed
	c.askInto(&seen, peerName(peer), "/followed", nil)
	return seen
}

func peerName(index int) string { return fmt.Sprintf("my-service-%d", index) }

// resolve looks a name up in the first peer.
func (c *client) resolve(network, name string) resolved {
	c.t.Helper()
	var answer resolved
	c.askInto(&answer, peerName(0), "/resolve",
		url.Values{"network": {network}, "name": {name}})
	return answer
}

// peer is a pod with a name of its own behind the headless Service. It never becomes ready.
func peer(index int, on string) *core.Pod {
	pod := workload(peerName(index))
	pod.Labels["app"] = "my-service"
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, "my-service"
	pod.Spec.NodeSelector = map[string]string{core.LabelHostname: on}
	pod.Spec.Containers[0].ReadinessProbe = &core.Probe{
		ProbeHandler: core.ProbeHandler{Exec: &core.ExecAction{
			Command: []string{"testpod", "exit", "1"},
		}},
	}
	return pod
}

func (c *client) headless(name string) {
	c.t.Helper()
	_, err := c.kube.CoreV1().Services("default").Create(c.t.Context(), &core.Service{
		ObjectMeta: meta.ObjectMeta{Name: name},
		Spec: core.ServiceSpec{
			ClusterIP: core.ClusterIPNone, PublishNotReadyAddresses: true,
			Selector: map[string]string{"app": name}, Ports: []core.ServicePort{{Port: 8080}},
		},
	}, meta.CreateOptions{})
	require.NoError(c.t, err)
}
