package sim

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// invariants returns what is wrong with a world between two events: every pair's open failure is as
// a fresh judgement has it, and every volume that is behind the API has something scheduled.
func (w *world) invariants() (wrong []string) {
	note := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s: ", w.now)+fmt.Sprintf(format, args...))
	}
	troubles := map[*pod]int{}
	for _, s := range w.traffic.streams {
		for _, target := range s.targets {
			open := s.open[target]
			if open != nil {
				troubles[s.source]++
				troubles[target]++
			}
			if !s.source.up {
				continue
			}
			want, err := w.judge(s.source, target)
			if err != nil {
				note("judge: %v", err)
			}
			got := record.OK
			if open != nil {
				got = open.verdict.outcome
			}
			if got != want {
				note("%s to %s counts %s and is %s", s.source.plan.Name, target.plan.Name, got, want)
			}
		}
	}
	for _, a := range w.traffic.associations {
		if a.open != nil {
			troubles[a.source]++
			troubles[a.target]++
		}
		if a.up && (!a.source.up || !a.target.up) {
			note("an association stands on a dead end")
		}
	}
	for _, p := range w.pods {
		if troubles[p] != p.troubles {
			note("%s has %d troubles, not %d", p.plan.Name, troubles[p], p.troubles)
		}
		if p.behind() {
			note("%s is behind and nothing is scheduled", p.plan.Name)
		}
	}
	return wrong
}

// judge executes the handshake of a pair anew, without the class cache.
func (w *world) judge(source, target *pod) (record.Outcome, error) {
	if !target.up {
		return record.Unreachable, nil
	}
	v, err := w.oracle.handshake(context.Background(), source.class, target.class, w.now)
	return v.outcome, err
}

// behind reports whether the pod's volume would stay behind the API for ever.
func (p *pod) behind() bool {
	held := p.mount.secret.content
	if p.gone || p.node.paused || held == nil || held.equal(p.volume.content) {
		return false
	}
	return !p.syncPending && !p.mount.pending
}

// TestInvariants drives random plans event by event.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := anyPlan(rt)
		opened, err := New().Open(t.Context(), plan, discard{})
		if err != nil {
			rt.Fatal(err)
		}
		w := opened.(*world)
		for now := time.Duration(0); now <= plan.Horizon; now += 7*time.Second + 137*time.Millisecond {
			for len(plan.Actions) > 0 && plan.Actions[0].At <= now {
				action := plan.Actions[0]
				plan.Actions = plan.Actions[1:]
				if err := w.Sleep(t.Context(), action.At); err != nil {
					rt.Fatal(err)
				}
				if err := w.Do(t.Context(), action); err != nil {
					rt.Fatal(err)
				}
			}
			if err := w.Sleep(t.Context(), now); err != nil {
				rt.Fatal(err)
			}
			if wrong := w.invariants(); len(wrong) > 0 {
				rt.Fatal(wrong)
			}
		}
	})
}

type discard struct{}

func (discard) Write(record.Span) error { return nil }

// anyPlan takes a library scenario's world and draws settings and faults anew.
func anyPlan(rt *rapid.T) scenarios.Plan {
	scenario, err := scenarios.Open("stale-trust", nil)
	if err != nil {
		rt.Fatal(err)
	}
	plan, err := scenario.Plan(rapid.Uint64().Draw(rt, "seed"))
	if err != nil {
		rt.Fatal(err)
	}
	plan.Horizon, plan.Actions = 40*time.Minute, nil
	duration := func(name string, limit time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(limit)).Draw(rt, name))
	}
	one := func(name string, options ...string) string {
		return rapid.SampledFrom(options).Draw(rt, name)
	}
	g := &plan.Peers[0]
	g.Policy = one("policy", "lazy-ttl", "poll", "watch", "watch-once", "start-up")
	g.Every = time.Second + duration("every", 5*time.Minute)
	g.Associations, g.Retry = one("associations", "ring", "mesh", "none"), time.Second
	g.KeepLastGood = rapid.Bool().Draw(rt, "keep")
	g.PairCheck = one("pairCheck", "match", "none")
	if g.Pinned = rapid.Bool().Draw(rt, "pinned"); !g.Pinned {
		g.ReadGap = time.Second
	}
	for i := range plan.Nodes {
		n := &plan.Nodes[i]
		n.ChangeDetection = scenarios.ChangeDetection(one("detection", "Watch", "Get", "Cache"))
		n.CacheTTL = 30 * time.Second
		n.SyncFrequency = time.Second + duration("sync", time.Minute)
	}
	for i := range rapid.IntRange(1, 9).Draw(rt, "faults") {
		fault := anyFault(rt, plan)
		fault.ID, fault.Fault = fmt.Sprint(i), i
		fault.At = duration("at", 30*time.Minute)
		if rapid.Bool().Draw(rt, "whole") {
			fault.At = fault.At.Truncate(10 * time.Second)
		}
		plan.Actions = append(plan.Actions, fault)
	}
	slices.SortStableFunc(plan.Actions, func(a, b scenarios.Action) int { return int(a.At - b.At) })
	return plan
}

func anyFault(rt *rapid.T, plan scenarios.Plan) scenarios.Action {
	leaf := plan.World.CertificateOf(plan.Peers[0].Secret)
	leafName, caName := scenarios.NameOf(leaf), plan.World.AuthorityOf(scenarios.IssuerOf(leaf))
	secrets := []string{plan.Peers[0].Secret}
	pods := []string{rapid.SampledFrom(plan.Pods).Draw(rt, "pod").Name}
	node := rapid.SampledFrom(plan.Nodes).Draw(rt, "node")
	some := time.Duration(rapid.Int64Range(1, int64(5*time.Minute)).Draw(rt, "some"))
	both := []scenarios.AuthorityRef{scenarios.Previous, scenarios.Current}
	return rapid.SampledFrom([]scenarios.Action{
		{Verb: scenarios.Reissue, Certificates: []string{leafName}},
		{Verb: scenarios.Reissue, Certificates: []string{caName, leafName}},
		{Verb: scenarios.RestartPods, Pods: pods, Mode: "pod", Downtime: some},
		{Verb: scenarios.RestartPods, Pods: pods, Mode: "container", Downtime: some},
		{Verb: scenarios.SetClock, Pods: pods, Skew: some - 2*time.Minute},
		{Verb: scenarios.PauseSync, Node: node.Name},
		{Verb: scenarios.ResumeSync, Node: node.Name},
		{Verb: scenarios.ConfigureKubelet, Node: node.Name, Kubelet: &node},
		{Verb: scenarios.RemoveSecret, Secrets: secrets},
		{Verb: scenarios.RestoreSecret, Secrets: secrets},
		{Verb: scenarios.StopIssuer}, {Verb: scenarios.StartIssuer},
		{Verb: scenarios.WriteTornPair, Secrets: secrets},
		{Verb: scenarios.TrimBundle, Secrets: secrets, Keep: 1},
		{
			Verb: scenarios.PublishTrust, Secrets: secrets, Authority: caName, Trust: both,
			Hold: some > 2*time.Minute, CrossSign: some > 3*time.Minute,
		},
	}).Draw(rt, "fault")
}
