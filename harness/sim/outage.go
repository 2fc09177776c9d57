package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/certquake/certquake/scenarios"
)

// needsAPI reports whether an action is done through the API server and so waits while that is
// down. What is done to processes and kubelets is not; a kubelet restarted meanwhile comes up at
// the return, see node.configure.
func needsAPI(action scenarios.Action) bool {
	switch action.Verb {
	case scenarios.Reissue, scenarios.PublishTrust, scenarios.RemoveSecret,
		scenarios.RestoreSecret, scenarios.TrimBundle, scenarios.WriteTornPair,
		scenarios.RestorePair, scenarios.RotateKeys, scenarios.RejectKey, scenarios.ReplaceKeys,
		scenarios.SpoilKeys, scenarios.MendKeys:
		return true
	case scenarios.RestartPods:
		return action.Mode != restartKill && action.Mode != restartContainer
	case scenarios.PauseSync, scenarios.ResumeSync, scenarios.ConfigureKubelet, scenarios.SetClock,
		scenarios.StopIssuer, scenarios.StartIssuer, scenarios.StopAPI, scenarios.StartAPI,
		scenarios.StopWebhook, scenarios.StartWebhook, scenarios.StopNode, scenarios.StartNode,
		scenarios.DisturbNetwork, scenarios.RestoreNetwork, scenarios.StopOperator,
		scenarios.StartOperator:
		return false
	}
	return false
}

// switchAPI takes the API server down or brings it back.
func (w *world) switchAPI(action scenarios.Action) error {
	if action.Verb == scenarios.StopAPI {
		w.stopAPI()
		return w.prove(action.ID, "API server", "it does not answer")
	}
	if err := w.prove(action.ID, "API server", "it answers"); err != nil {
		return err
	}
	return w.startAPI()
}

func (w *world) stopAPI() {
	if w.api.down {
		return
	}
	for _, planned := range w.plan.Nodes {
		if n := w.nodes[planned.Name]; !n.idle() {
			n.catchUp()
		}
	}
	w.api.down, w.api.since = true, w.now
}

// startAPI has everything go on that waited: watches and controllers are back at once, since the
// seconds that they take to connect and to elect a leader are not modelled.
func (w *world) startAPI() error {
	if !w.api.down {
		return nil
	}
	for _, planned := range w.plan.Nodes {
		w.nodes[planned.Name].catchUpRetries()
	}
	w.api.down = false
	w.manager.goOn()
	w.operator.goOn()
	for _, planned := range w.plan.Nodes {
		if err := w.nodes[planned.Name].apiReturned(); err != nil {
			return err
		}
	}
	waiting := w.api.waiting
	w.api.waiting = nil
	for _, p := range waiting {
		p.startAfter(mountRetry)
	}
	for _, fault := range slices.Sorted(maps.Keys(w.faults)) {
		if err := w.proceed(w.faults[fault]); err != nil {
			return err
		}
	}
	return nil
}

// switchWebhook takes cert-manager's admission webhook down or brings it back. Issuances that were
// refused meanwhile go on at their own next try.
func (w *world) switchWebhook(action scenarios.Action) error {
	w.manager.webhookDown = action.Verb == scenarios.StopWebhook
	detail := "it answers"
	if w.manager.webhookDown {
		detail = "it does not answer"
	}
	return w.prove(action.ID, "webhook", detail)
}

// The wait after a sync that failed (pkg/kubelet/kubelet.go, backOffPeriod; pod_workers.go,
// workerBackOffPeriodJitterFactor): 10 to 15 s, and on to the next tick. The volume manager's own
// retries of a remount are not modelled.
const (
	syncBackoff       = 10 * time.Second
	syncBackoffJitter = 0.5
)

// retry moves the timeline on to the first sync at or after to, where those from the offset from on
// failed and were tried again.
func (r *resyncs) retry(from, to time.Duration) {
	for next := r.after(from); next < to; next = r.ticks.from(r.due) {
		r.fail(next)
	}
}

// fail has a sync at t fail and the pod due again a back-off later.
func (r *resyncs) fail(t time.Duration) {
	jitter := r.dice.Float64() * syncBackoffJitter * float64(syncBackoff)
	r.due = t + syncBackoff + time.Duration(jitter)
}

// failing reports whether the kubelet's syncs fail for want of the API server: only those that ask
// it every time. A reflector keeps what it has, and a cache that cannot refresh an object goes on
// with the old one (pkg/kubelet/util/manager/cache_based_manager.go, objectStore.Get).
func (n *node) failing() bool {
	return n.world.api.down && n.plan.ChangeDetection == scenarios.Get
}

// idle reports whether the kubelet does nothing: it is paused, its node is off, or it has no pods
// to sync since it started without an API server.
func (n *node) idle() bool { return n.paused || n.off || n.starting != "" || n.booting != "" }

// catchUpRetries works out the syncs up to now that failed since the API server went down.
func (n *node) catchUpRetries() {
	if !n.failing() || n.idle() {
		return
	}
	for _, p := range n.pods {
		if !p.gone {
			p.resyncs.retry(n.world.api.since, n.world.now)
		}
	}
}

// apiReturned has the kubelet look at what it could not see.
func (n *node) apiReturned() error {
	for _, m := range n.mounts {
		m.earliest = n.world.now
	}
	if !n.idle() {
		n.lookAgain()
	}
	return n.comeUp()
}
