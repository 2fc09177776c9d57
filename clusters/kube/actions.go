package kube

import (
	"context"
	"errors"
	"fmt"
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
	}
}

// perform does one action, itself or by the cluster.
func (w *world) perform(ctx context.Context, action scenarios.Action) error {
	if do := performers()[action.Verb]; do != nil {
		return do(w, ctx, action)
	}
	return w.delegate(ctx, action)
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
	seen, err := do(ctx, action)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.away = action.Verb == scenarios.StopAPI || w.away && action.Verb != scenarios.StartAPI
	w.mu.Unlock()
	switch action.Verb { //nolint:exhaustive // the others change nothing here
	case scenarios.ResumeSync:
		w.hold(action.Node, false)
	case scenarios.StartAPI:
		if err := w.watch(ctx); err != nil {
			return err
		}
	}
	w.ledger.prove(action.ID, subject(action), seen, time.Now())
	return nil
}

// subject returns what a cluster's own action is done to.
func subject(action scenarios.Action) string {
	switch action.Verb { //nolint:exhaustive // the rest is about a node
	case scenarios.StopIssuer, scenarios.StartIssuer:
		return "cert-manager"
	case scenarios.StopAPI, scenarios.StartAPI:
		return "API server"
	case scenarios.StopWebhook, scenarios.StartWebhook:
		return "webhook"
	}
	return action.Node
}

// hold notes that a node's kubelet is held, so that no words come from its pods.
func (w *world) hold(node string, held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding[node] = held
}

// putBack undoes what would keep the last rows from arriving.
func (w *world) putBack(ctx context.Context) {
	w.mu.Lock()
	var undo []scenarios.Action
	if w.away {
		undo = append(undo, scenarios.Action{Verb: scenarios.StartAPI})
	}
	for node, held := range w.holding {
		if held {
			undo = append(undo, scenarios.Action{Verb: scenarios.ResumeSync, Node: node})
		}
	}
	w.mu.Unlock()
	for _, action := range undo {
		if do := w.target.Performs[action.Verb]; do != nil {
			_, _ = do(ctx, action) // what does not arrive for that reason is told as lost
		}
		if action.Verb == scenarios.ResumeSync {
			w.hold(action.Node, false)
		}
	}
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
	err := w.client.Resources().Get(ctx, planned.Name, planned.Namespace, &object)
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

// namespace returns the namespace of a planned pod.
func (w *world) namespace(pod string) string {
	for _, p := range w.plan.Pods {
		if p.Name != pod {
			continue
		}
		for _, group := range w.plan.Peers {
			if group.Workload == p.Workload {
				return group.Namespace
			}
		}
	}
	return scenarios.DefaultNamespace
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
