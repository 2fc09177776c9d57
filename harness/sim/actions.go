package sim

import (
	"context"
	"fmt"
	"slices"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// A fault's actions are performed in their order: one that is due waits until those before it have
// had their effect, so that trust is published after the CA it names exists. A fault whose first
// action never succeeds therefore never proves the others.
type faultQueue struct {
	waiting []scenarios.Action
	busy    bool
}

// Do implements harness.World.
func (w *world) Do(_ context.Context, action scenarios.Action) error {
	row := record.Span{
		Kind: record.Act, From: w.now, To: w.now, Outcome: record.OK,
		Action: action.ID, Detail: action.Note,
	}
	if err := w.emit(row); err != nil {
		return err
	}
	queue := w.faults[action.Fault]
	if queue == nil {
		queue = &faultQueue{}
		w.faults[action.Fault] = queue
	}
	queue.waiting = append(queue.waiting, action)
	return w.proceed(queue) //nolint:contextcheck // no event is cancelled halfway, see Sleep
}

// proceed performs the queue's actions up to one that takes time or must wait for the API server.
func (w *world) proceed(queue *faultQueue) error {
	for !queue.busy && len(queue.waiting) > 0 {
		action := queue.waiting[0]
		if w.api.down && needsAPI(action) {
			return nil // startAPI proceeds
		}
		queue.waiting = queue.waiting[1:]
		if err := w.perform(action, queue); err != nil {
			return err
		}
	}
	return nil
}

// perform does one action.
func (w *world) perform(action scenarios.Action, queue *faultQueue) error {
	switch action.Verb {
	case scenarios.Reissue:
		queue.busy = true
		return w.reissue(action, action.Certificates, queue)
	case scenarios.PublishTrust:
		return w.publishTrust(action)
	case scenarios.PauseSync:
		return w.nodes[action.Node].pause(action.ID)
	case scenarios.ResumeSync:
		return w.nodes[action.Node].resume(action.ID)
	case scenarios.ConfigureKubelet:
		return w.nodes[action.Node].configure(*action.Kubelet, action.ID)
	case scenarios.RestartPods:
		return w.restartPods(action)
	case scenarios.SetClock:
		return w.setClocks(action)
	case scenarios.StopIssuer, scenarios.StartIssuer:
		return w.switchIssuer(action)
	case scenarios.RemoveSecret, scenarios.RestoreSecret:
		return w.toggleSecrets(action)
	case scenarios.TrimBundle:
		return w.trimBundles(action)
	case scenarios.WriteTornPair, scenarios.RestorePair:
		return w.tearPairs(action)
	case scenarios.StopAPI, scenarios.StartAPI:
		return w.switchAPI(action)
	case scenarios.StopWebhook, scenarios.StartWebhook:
		return w.switchWebhook(action)
	case scenarios.StopNode:
		return w.nodes[action.Node].powerOff(action.ID)
	case scenarios.StartNode:
		return w.nodes[action.Node].powerOn(action.ID)
	case scenarios.DisturbNetwork, scenarios.RestoreNetwork:
		return w.disturb(action)
	case scenarios.RotateKeys, scenarios.RejectKey:
		return w.order(action)
	case scenarios.ReplaceKeys, scenarios.SpoilKeys, scenarios.MendKeys:
		return w.editKeys(action)
	case scenarios.StopOperator, scenarios.StartOperator:
		return w.switchOperator(action)
	}
	return fmt.Errorf("no such action: %s", action.Verb)
}

// prove records that an action was seen to take effect.
func (w *world) prove(action, subject, detail string) error {
	return w.emit(record.Span{
		Kind: record.Proof, From: w.now, To: w.now, Outcome: record.OK,
		Source: subject, Action: action, Detail: detail,
	})
}

// reissue triggers the first Certificate and goes on with the rest when it is written.
func (w *world) reissue(action scenarios.Action, rest []string, queue *faultQueue) error {
	if len(rest) == 0 {
		queue.busy = false
		return w.proceed(queue)
	}
	c := w.manager.certificates[rest[0]]
	c.done = append(c.done, func() error {
		if len(rest) == 1 {
			err := w.prove(action.ID, c.secret.name, "the Secret holds "+c.current.name)
			if err != nil {
				return err
			}
		}
		return w.reissue(action, rest[1:], queue)
	})
	c.trigger()
	return nil
}

func (w *world) publishTrust(action scenarios.Action) error {
	authority := w.manager.certificates[action.Authority]
	for _, name := range action.Secrets {
		s := w.api.secret(name)
		s.trust = nil
		if s.content == nil {
			continue // without a proof the finding is inconclusive
		}
		cas := s.generations(authority, action.Trust)
		if action.Hold {
			s.trust = &heldTrust{cas: cas}
		}
		if action.Hold && action.CrossSign {
			s.trust.cross = w.manager.crossSigned(authority, cas)
		}
		if action.Hold && action.NextWrite {
			s.trust.action = action.ID
			continue
		}
		if err := w.replaceTrust(s, cas, action.ID); err != nil {
			return err
		}
	}
	return nil
}

// replaceTrust writes ca.crt and proves it, unless it holds the same CAs already.
func (w *world) replaceTrust(s *secret, cas []*cert, action string) error {
	if slices.Equal(cas, s.content.cas) {
		return nil
	}
	if err := w.api.write(s, s.content.certs, s.content.key, cas); err != nil {
		return err
	}
	return w.prove(action, s.name, s.trustDetail())
}

func (w *world) restartPods(action scenarios.Action) error {
	for _, name := range action.Pods {
		if err := w.byName[name].stop(action); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) setClocks(action scenarios.Action) error {
	for _, name := range action.Pods {
		p := w.byName[name]
		if p.skew == action.Skew {
			continue // nothing changes, so nothing is proved
		}
		if err := p.setSkew(action.Skew); err != nil {
			return err
		}
		row := record.Span{
			Kind: record.Clock, From: w.now, To: w.now, Source: name,
			Outcome: record.OK, Skew: action.Skew,
		}
		if err := w.emit(row); err != nil {
			return err
		}
		detail := "its process clock is off by " + p.skew.String()
		if err := w.prove(action.ID, name, detail); err != nil {
			return err
		}
	}
	return nil
}

// failMode is the Mode of an outage in which requests fail instead of waiting.
const failMode = "fail"

func (w *world) switchIssuer(action scenarios.Action) error {
	out := action.Verb == scenarios.StopIssuer
	what, state := "cert-manager", " works again"
	if out {
		state = " is out of order"
	}
	switch {
	case action.Issuer != "":
		what = "issuer " + action.Issuer
		w.manager.issuers[action.Issuer].turn(out, action.Mode)
	case action.Mode == failMode:
		what = "every issuer"
		for _, i := range w.manager.issuers {
			i.turn(out, action.Mode)
		}
	case out:
		w.manager.stop()
	default:
		w.manager.start()
	}
	w.manager.retryPending()
	return w.prove(action.ID, what, what+state)
}

// turn puts the issuer out of order or back.
func (i *issuer) turn(out bool, mode string) {
	if mode == failMode {
		i.failing = out
	} else {
		i.down = out
	}
}

func (w *world) toggleSecrets(action scenarios.Action) error {
	for _, name := range action.Secrets {
		s := w.api.secret(name)
		detail := "the Secret exists again"
		var err error
		switch {
		case action.Verb == scenarios.RemoveSecret && s.content == nil:
			continue // nothing to delete, so nothing is proved
		case action.Verb == scenarios.RemoveSecret:
			detail = "the Secret is gone"
			err = w.api.remove(s)
		case s.content == nil && s.paired != nil:
			restored := *s.paired
			err = w.api.put(s, &restored)
		}
		if err != nil {
			return err
		}
		if err := w.prove(action.ID, name, detail); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) trimBundles(action scenarios.Action) error {
	for _, name := range action.Secrets {
		s := w.api.secret(name)
		if s.content == nil || len(s.content.cas) <= action.Keep {
			continue // nothing to trim: without a proof the finding is inconclusive
		}
		kept := slices.Clone(s.content.cas[:action.Keep])
		if err := w.replaceTrust(s, kept, action.ID); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) tearPairs(action scenarios.Action) error {
	for _, name := range action.Secrets {
		s := w.api.secret(name)
		if s.content == nil || s.owner == nil {
			continue
		}
		var err error
		detail := "tls.crt and tls.key match again"
		switch {
		case action.Verb == scenarios.WriteTornPair:
			detail = "tls.key is not the key of tls.crt"
			err = w.api.write(s, s.owner.strangeLeaf(s.content), s.content.key, s.content.cas)
		case s.content.torn():
			restored := *s.paired
			err = w.api.put(s, &restored)
		}
		if err != nil {
			return err
		}
		if err := w.prove(action.ID, name, detail); err != nil {
			return err
		}
	}
	return nil
}

// strangeLeaf returns the content's chain with a leaf of another key in front.
func (c *certificate) strangeLeaf(held *content) []*cert {
	old := held.certs[0]
	fresh := c.manager.pki.issue(
		old.name+"'", old.template, c.manager.pki.newKey(old.key.algorithm), old.issuer,
		c.manager.world.now, old.notAfter-old.notBefore)
	return append([]*cert{fresh}, held.certs[1:]...)
}
