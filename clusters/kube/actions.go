package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apiutil "github.com/cert-manager/cert-manager/pkg/api/util"
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	autoscaling "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

// queueLength is more actions than one fault has.
const queueLength = 4096

// Do implements harness.World. A fault's actions are performed in their order: one that is due
// waits until those before it were seen to have had their effect.
func (w *world) Do(_ context.Context, action scenarios.Action) error {
	if w.skips != nil {
		if why := w.skips(action); why != "" {
			w.ledger.skip(action, why, time.Now())
			return nil
		}
	}
	w.ledger.act(action, time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.queues[action.Fault]
	if queue == nil {
		queue = make(chan scenarios.Action, queueLength)
		w.queues[action.Fault] = queue
		w.tasks.Go(func() { w.performAll(queue) })
	}
	queue <- action
	return nil
}

func (w *world) performAll(queue <-chan scenarios.Action) {
	for {
		select {
		case action := <-queue:
			// Without its proof the finding will be inconclusive; why, people should hear.
			if err := w.perform(w.ctx, action); err != nil && w.ctx.Err() == nil {
				harness.Say(w.ctx, "%s did not happen: %v", action.ID, err)
			}
		case <-w.ctx.Done():
			return
		}
	}
}

// performer does one kind of action and returns when its effect was seen, or can be waited for by
// others.
type performer func(w *world, ctx context.Context, action scenarios.Action) error

// performers returns what any cluster with a Kubernetes API can be made to do.
func performers() map[scenarios.Verb]performer {
	return map[scenarios.Verb]performer{
		scenarios.Reissue:       (*world).reissue,
		scenarios.PublishTrust:  (*world).publishTrust,
		scenarios.RestartPods:   (*world).restartPods,
		scenarios.SetClock:      (*world).setClocks,
		scenarios.RemoveSecret:  (*world).removeSecrets,
		scenarios.RestoreSecret: (*world).restoreSecrets,
		scenarios.TrimBundle:    (*world).trimBundles,
		scenarios.WriteTornPair: (*world).tearPairs,
		scenarios.RestorePair:   (*world).restorePairs,
		scenarios.RotateKeys:    (*world).rotateKeys,
		scenarios.RejectKey:     (*world).rejectKeys,
		scenarios.ReplaceKeys:   (*world).editKeys,
		scenarios.SpoilKeys:     (*world).editKeys,
		scenarios.MendKeys:      (*world).mendKeys,
		scenarios.StopOperator:  (*world).stopOperator,
		scenarios.StartOperator: (*world).startOperator,
	}
}

// perform does one action, itself or by the cluster.
func (w *world) perform(ctx context.Context, action scenarios.Action) error {
	do := performers()[action.Verb]
	if do == nil {
		return w.delegate(ctx, action)
	}
	if err := w.awaitAPI(ctx); err != nil {
		return err
	}
	return do(w, ctx, action)
}

// awaitAPI waits while the API server is stopped. One that is about to be back may still refuse
// what it would grant, since it has not read who may do what.
func (w *world) awaitAPI(ctx context.Context) error {
	tick := time.NewTicker(insistEvery)
	defer tick.Stop()
	for {
		w.mu.Lock()
		away := slices.ContainsFunc(w.unended, func(a scenarios.Action) bool {
			return a.Verb == scenarios.StopAPI
		})
		w.mu.Unlock()
		if !away {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// delegate has the cluster itself do an action.
func (w *world) delegate(ctx context.Context, action scenarios.Action) error {
	do := w.target.Performs[action.Verb]
	if do == nil {
		return fmt.Errorf("%w: %s", harness.ErrUnsupported, action.Verb)
	}
	if action.Verb == scenarios.PauseSync {
		w.hold(action.Node, true)
	}
	if action.Verb == scenarios.StopNode {
		w.ledger.stopping(action)
	}
	w.begins(action)
	seen, err := do(ctx, action)
	if err != nil {
		return err
	}
	w.ends(action)
	switch action.Verb { //nolint:exhaustive // the others change nothing here
	case scenarios.ResumeSync:
		w.hold(action.Node, false)
	case scenarios.StopNode:
		w.ledger.stopped(action.Node, time.Now())
	case scenarios.StartAPI:
		if err := w.watch(ctx); err != nil {
			return err
		}
	}
	for _, subject := range subjects(action) {
		w.ledger.prove(action.ID, subject, seen, time.Now())
	}
	return nil
}

// subjects returns what a cluster's own action is done to, each of which is to be proved.
func subjects(action scenarios.Action) []string {
	switch action.Verb { //nolint:exhaustive // the rest is about a node
	case scenarios.StopIssuer, scenarios.StartIssuer:
		return []string{"cert-manager"}
	case scenarios.StopAPI, scenarios.StartAPI:
		return []string{"API server"}
	case scenarios.StopWebhook, scenarios.StartWebhook:
		return []string{"webhook"}
	case scenarios.DisturbNetwork, scenarios.RestoreNetwork:
		return action.Pods
	}
	return []string{action.Node}
}

// opposites returns the verbs of a cluster's own actions that end what others begin.
func opposites() map[scenarios.Verb]scenarios.Verb {
	return map[scenarios.Verb]scenarios.Verb{
		scenarios.StopAPI:        scenarios.StartAPI,
		scenarios.PauseSync:      scenarios.ResumeSync,
		scenarios.StopNode:       scenarios.StartNode,
		scenarios.DisturbNetwork: scenarios.RestoreNetwork,
		scenarios.StopIssuer:     scenarios.StartIssuer,
		scenarios.StopWebhook:    scenarios.StartWebhook,
	}
}

// begins notes that an action is about to begin something that another one is to end.
func (w *world) begins(action scenarios.Action) {
	if opposites()[action.Verb] == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unended = append(w.unended, action)
}

// ends notes that an action has ended what others began.
func (w *world) ends(action scenarios.Action) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unended = slices.DeleteFunc(w.unended, func(a scenarios.Action) bool {
		return opposites()[a.Verb] == action.Verb && a.Node == action.Node &&
			(action.Verb != scenarios.RestoreNetwork || a.Fault == action.Fault)
	})
}

// hold notes that a node's kubelet is held, so that no words come from its pods.
func (w *world) hold(node string, held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding[node] = held
}

// putBackMax bounds the undoing of faults on a cluster that outlives the run.
const putBackMax = 40 * time.Second

// putBack undoes what would keep the last rows from arriving, and everything on a cluster that
// outlives the run. The API server comes first, which the others need.
func (w *world) putBack(ctx context.Context) {
	if w.target.Shared {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), putBackMax)
		defer cancel()
	}
	w.mu.Lock()
	unended := slices.Clone(w.unended)
	w.mu.Unlock()
	slices.SortStableFunc(unended, func(a, b scenarios.Action) int {
		return cmp.Compare(urgency(a.Verb), urgency(b.Verb))
	})
	for _, action := range unended {
		if !w.target.Shared && urgency(action.Verb) == urgencyLow {
			continue
		}
		action.Verb, action.Kubelet, action.Network = opposites()[action.Verb], nil, nil
		if do := w.target.Performs[action.Verb]; do != nil {
			_, _ = do(ctx, action) // what does not arrive for that reason is told as lost
		}
		if action.Verb == scenarios.ResumeSync {
			w.hold(action.Node, false)
		}
	}
}

// urgencyLow is of what keeps no rows from arriving.
const urgencyLow = 2

// urgency orders what is to be undone.
func urgency(verb scenarios.Verb) int {
	switch verb { //nolint:exhaustive // the rest is not urgent
	case scenarios.StopAPI:
		return 0
	case scenarios.PauseSync:
		return 1
	}
	return urgencyLow
}

// reissue has cert-manager issue the Certificates anew, each once the one before is written.
func (w *world) reissue(ctx context.Context, action scenarios.Action) error {
	for i, name := range action.Certificates {
		certificate := w.plan.World.Certificate(name)
		secretName := scenarios.SecretOf(certificate)
		before := w.current(secretName)
		if err := insist(ctx, func() error { return w.trigger(ctx, certificate) }); err != nil {
			return fmt.Errorf("trigger %s: %w", name, err)
		}
		var leaf string
		err := w.awaitSecrets(ctx, func() bool {
			fresh := w.ledger.secrets[secretName].current()
			if fresh == nil || fresh.torn ||
				before != nil && fresh.certs[0].Equal(before.certs[0]) {
				return false
			}
			leaf = fresh.held.Leaf
			return true
		})
		if err != nil {
			return err
		}
		if i == len(action.Certificates)-1 {
			w.ledger.prove(action.ID, secretName, "the Secret holds "+leaf, time.Now())
		}
	}
	return nil
}

// triggerLimit bounds one attempt to trigger an issuance.
const triggerLimit = 2 * time.Second

// trigger sets a Certificate's Issuing condition, as `cmctl renew` does.
func (w *world) trigger(ctx context.Context, planned *certmanager.Certificate) error {
	// A client tries a request again for ten seconds while the API server is away.
	ctx, cancel := context.WithTimeout(ctx, triggerLimit)
	defer cancel()
	var object certmanager.Certificate
	err := w.client.Resources().Get(
		ctx, planned.Name, w.places.of(planned.Namespace), &object)
	if err != nil {
		return err
	}
	apiutil.SetCertificateCondition(&object, object.Generation,
		certmanager.CertificateConditionIssuing, cmmeta.ConditionTrue,
		"ManuallyTriggered", "Certificate re-issuance triggered by certquake")
	return w.client.Resources().UpdateStatus(ctx, &object)
}

// restartPods begins to restart the pods; that they run again is seen in their rows.
func (w *world) restartPods(_ context.Context, action scenarios.Action) error {
	for _, pod := range action.Pods {
		w.ledger.restarting(pod, action)
		w.tasks.Go(func() {
			if err := w.restart(w.ctx, pod, action); err != nil && w.ctx.Err() == nil {
				harness.Say(w.ctx, "%s: restart of %s: %v", action.ID, pod, err)
			}
		})
	}
	return nil
}

func (w *world) restart(ctx context.Context, pod string, action scenarios.Action) error {
	if action.Mode == scenarios.RestartPod {
		return w.replace(ctx, pod, action.Downtime)
	}
	kill := action.Mode == scenarios.RestartKill
	_, err := w.roster.tell(ctx, pod, peer.PathRestart, peer.Restart{
		Boot: w.ledger.process(pod), Kill: kill, Down: action.Downtime,
	})
	if err == nil && kill {
		w.ledger.killed(pod, time.Now())
	}
	return err
}

// replace deletes a pod and has another made once it is gone and the downtime is over.
func (w *world) replace(ctx context.Context, pod string, downtime time.Duration) error {
	back := time.NewTimer(downtime)
	defer back.Stop()
	held := w.roster.pod(pod)
	if err := w.scale(ctx, pod, 0); err != nil {
		return err
	}
	err := w.roster.await(ctx, func() bool {
		now := w.roster.pod(pod)
		return now == nil || held != nil && now.UID != held.UID
	})
	if err != nil {
		return err
	}
	select {
	case <-back.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return w.scale(ctx, pod, 1)
}

// scale sets how many pods stand for a planned one.
func (w *world) scale(ctx context.Context, pod string, replicas int32) error {
	deployments := w.native.AppsV1().Deployments(w.namespace(pod))
	return insist(ctx, func() error {
		_, err := deployments.UpdateScale(ctx, pod, &autoscaling.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: w.namespace(pod)},
			Spec:       autoscaling.ScaleSpec{Replicas: replicas},
		}, metav1.UpdateOptions{})
		return err
	})
}

// namespace returns the namespace in the cluster of a planned pod.
func (w *world) namespace(pod string) string {
	for _, p := range w.plan.Pods {
		if p.Name != pod {
			continue
		}
		for _, consumer := range w.plan.Consumers() {
			if consumer.Workload == p.Workload {
				return w.places.of(consumer.Namespace)
			}
		}
	}
	return w.places.of(scenarios.DefaultNamespace)
}

// setClocks sets process clocks off, and proves it by what the processes say.
func (w *world) setClocks(ctx context.Context, action scenarios.Action) error {
	var problems []error
	for _, pod := range action.Pods {
		w.mu.Lock()
		same := w.skews[pod] == action.Skew
		w.skews[pod] = action.Skew
		w.mu.Unlock()
		if same {
			continue // nothing changes, so nothing is proved
		}
		status, err := w.roster.tell(ctx, pod, peer.PathClock, peer.Clock{Skew: action.Skew})
		if err == nil && status.Skew != action.Skew {
			err = fmt.Errorf("pod %s says that its clock is off by %s", pod, status.Skew)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		w.ledger.prove(action.ID, pod,
			"its process clock is off by "+status.Skew.String(), time.Now())
	}
	return errors.Join(problems...)
}
