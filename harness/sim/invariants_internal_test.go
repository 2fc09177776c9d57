package sim

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	rotator "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// inspection is what is wrong with a world between two events: every pair's open strand must be as
// a fresh judgement has it, and every volume that is behind the API have something scheduled.
type inspection struct {
	world    *world
	troubles map[*pod]int
	wrong    []string
}

func (w *world) inspect() []string {
	i := &inspection{world: w, troubles: map[*pod]int{}}
	for _, s := range w.traffic.streams {
		for _, target := range s.targets {
			i.pair(s, target)
		}
	}
	for _, a := range w.traffic.associations {
		i.association(a)
	}
	for _, p := range w.pods {
		if i.troubles[p] != p.troubles {
			i.note("%s has %d troubles, not %d", p.plan.Name, i.troubles[p], p.troubles)
		}
		if p.behind() {
			i.note("%s is behind and nothing is scheduled", p.plan.Name)
		}
		if p.store != nil {
			i.store(p.store)
		}
		if p.fetches() && p.up && p.keys.calm && !p.calm() {
			i.note("%s will not look for keys again", p.plan.Name)
		}
	}
	return i.wrong
}

func (i *inspection) note(format string, args ...any) {
	i.wrong = append(i.wrong, i.world.now.String()+": "+fmt.Sprintf(format, args...))
}

func (i *inspection) pair(s *stream, target *pod) {
	open, got, over := s.open[target], record.OK, link{}
	if open != nil {
		got, over = open.verdict.outcome, open.verdict.link()
		i.troubles[s.source]++
		i.troubles[target]++
	}
	if !s.source.up {
		return
	}
	want, err := i.world.judge(s.source, target)
	if err != nil || got != want {
		i.note("%s to %s counts as %s and is %s (%v)",
			s.source.plan.Name, target.plan.Name, got, want, err)
	}
	if now := between(s.source.trouble, target.trouble); target.up && over != now {
		i.note("%s to %s counts as over %+v and is over %+v",
			s.source.plan.Name, target.plan.Name, over, now)
	}
}

// store counts records anew, and looks whether a move that could go on does.
func (i *inspection) store(s *store) {
	counted := make([]int64, len(s.keys))
	for _, key := range s.records {
		counted[key]++
	}
	for _, k := range s.keys {
		if k.records != counted[k.number] {
			i.note("%s has %d records under %s, not %d", s.pod.plan.Name, counted[k.number], k.id,
				k.records)
		}
	}
	m := s.move
	if (m == nil) != (s.pod.mount.secret.rotated.move == nil) {
		i.note("%s and the operator disagree whether there is a move", s.pod.plan.Name)
	}
	if m == nil || m.over[s] || !s.pod.up || s.pod.class.broken != "" {
		return
	}
	held := s.pod.class.content.ring
	_, primary := held.signer()
	able := primary == m.To && slices.Contains(held.ids, m.From)
	if able != (s.pass != nil) {
		i.note("%s can move records: %t, and does: %t", s.pod.plan.Name, able, s.pass != nil)
	}
}

func (i *inspection) association(a *association) {
	if a.open != nil {
		i.troubles[a.source]++
		i.troubles[a.target]++
	}
	if a.up && (!a.source.up || !a.target.up && !a.target.node.off) {
		i.note("an association stands on a dead end")
	}
}

// judge executes the handshake of a pair anew, without the class cache.
func (w *world) judge(source, target *pod) (record.Outcome, error) {
	switch {
	case !target.up && (target.node.off || between(source.trouble, target.trouble).cut):
		return record.Timeout, nil
	case !target.up:
		return record.Unreachable, nil
	}
	judge := w.oracle.handshake
	if source.group.tokens != nil {
		judge = w.oracle.request
	}
	v, err := judge(context.Background(), source.class, target.class, w.now)
	return v.outcome, err
}

// behind reports whether the pod's volume would stay behind the API for ever. While the API server
// is down, only kubelets that watch need do anything: its return has the others look again.
func (p *pod) behind() bool {
	held := p.mount.secret.content
	if p.gone || p.node.idle() || held == nil || held.equal(p.volume.content) {
		return false
	}
	if p.node.world.api.down && p.node.plan.ChangeDetection != scenarios.Watch {
		return false
	}
	return !p.syncPending && !p.mount.pending
}

// TestInvariants drives random plans event by event.
func TestInvariants(t *testing.T) { keepInvariants(t, anyPlan) }

// TestTokenInvariants is the same for random plans of tokens.
func TestTokenInvariants(t *testing.T) { keepInvariants(t, anyTokenPlan) }

// TestStoreInvariants is the same for random plans of data at rest.
func TestStoreInvariants(t *testing.T) { keepInvariants(t, anyStorePlan) }

func keepInvariants(t *testing.T, draw func(*rapid.T) scenarios.Plan) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		plan := draw(rt)
		opened, err := New().Open(t.Context(), plan, discard{})
		if err != nil {
			rt.Fatal(err)
		}
		w := opened.(*world)
		const step = 7*time.Second + 137*time.Millisecond
		for now := time.Duration(0); now <= plan.Horizon; now += step {
			due := 0
			for due < len(plan.Actions) && plan.Actions[due].At <= now {
				due++
			}
			if err := w.advance(t.Context(), plan.Actions[:due], now); err != nil {
				rt.Fatal(err)
			}
			plan.Actions = plan.Actions[due:]
			if wrong := w.inspect(); len(wrong) > 0 {
				rt.Fatal(wrong)
			}
		}
	})
}

// advance does the actions at their offsets and sleeps to until.
func (w *world) advance(
	ctx context.Context, actions []scenarios.Action, until time.Duration,
) error {
	for _, action := range actions {
		if err := w.Sleep(ctx, action.At); err != nil {
			return err
		}
		if err := w.Do(ctx, action); err != nil {
			return err
		}
	}
	return w.Sleep(ctx, until)
}

type discard struct{}

func (discard) Write(record.Span) error { return nil }

// anyPlan takes a library scenario's world and draws settings and faults anew.
func anyPlan(rt *rapid.T) scenarios.Plan {
	plan := anyPlanOf(rt, "stale-trust", nil)
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
	return withFaults(rt, plan, anyFault)
}

// withFaults returns the plan with up to nine faults.
func withFaults(
	rt *rapid.T, plan scenarios.Plan, draw func(*rapid.T, scenarios.Plan) scenarios.Action,
) scenarios.Plan {
	for i := range rapid.IntRange(1, 9).Draw(rt, "faults") {
		fault := draw(rt, plan)
		fault.ID, fault.Fault = strconv.Itoa(i), i
		fault.At = time.Duration(rapid.Int64Range(0, int64(30*time.Minute)).Draw(rt, "at"))
		if rapid.Bool().Draw(rt, "whole") {
			fault.At = fault.At.Truncate(10 * time.Second)
		}
		plan.Actions = append(plan.Actions, fault)
	}
	slices.SortStableFunc(plan.Actions, func(a, b scenarios.Action) int { return int(a.At - b.At) })
	return plan
}

// anyPlanOf takes the world of a library scenario, without what is done to it.
func anyPlanOf(rt *rapid.T, name string, set map[string]string) scenarios.Plan {
	scenario, err := scenarios.Open(name, set)
	if err != nil {
		rt.Fatal(err)
	}
	plan, err := scenario.Plan(rapid.Uint64().Draw(rt, "seed"))
	if err != nil {
		rt.Fatal(err)
	}
	plan.Horizon, plan.Actions = 40*time.Minute, nil
	return plan
}

// anyTokenPlan takes a library scenario of tokens and draws settings and faults anew.
func anyTokenPlan(rt *rapid.T) scenarios.Plan {
	plan := anyPlanOf(rt, "jwt-rotation", nil)
	duration := func(name string, least, most time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(least), int64(most)).Draw(rt, name))
	}
	rotating := &plan.World.RotatingSecrets[0].Spec
	for _, d := range []**rotator.Duration{&rotating.PromoteAfter, &rotating.RetireAfter} {
		*d = new(rotator.Duration(duration("wait", 0, 10*time.Minute).String()))
	}
	for i := range plan.Tokens {
		g := &plan.Tokens[i]
		g.Leeway = duration("leeway", 0, 2*time.Minute)
		if g.Policy != "" {
			g.Every = duration("every", time.Second, 5*time.Minute)
		}
		if g.Role == scenarios.Issues {
			g.TTL = duration("ttl", 5*time.Second, 10*time.Minute)
			g.Reuse = duration("reuse", time.Second, g.TTL)
		}
	}
	some := duration("age", time.Second, 10*time.Minute)
	plan.TokensOf("edge").JWKS = new(rapid.SampledFrom([]scenarios.JWKSGroup{
		{From: "auth", Kind: "max-age", MaxAge: some},
		{From: "auth", Kind: "max-age", MaxAge: some, DropStale: true, Retry: time.Second},
		{From: "auth", Kind: "refetch-on-unknown"},
		{From: "auth", Kind: "refetch-with-cooldown", Cooldown: some, MaxAge: time.Hour},
		{From: "auth", Kind: "background", Interval: some},
	}).Draw(rt, "jwks"))
	return withFaults(rt, plan, anyKeyFault)
}

// anyStorePlan takes a library scenario of data at rest and draws settings and faults anew.
func anyStorePlan(rt *rapid.T) scenarios.Plan {
	plan := anyPlanOf(rt, "data-migrated", map[string]string{"records": "500"})
	duration := func(name string, least, most time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(least), int64(most)).Draw(rt, name))
	}
	rotating := &plan.World.RotatingSecrets[0].Spec
	for _, d := range []**rotator.Duration{&rotating.PromoteAfter, &rotating.RetireAfter} {
		*d = new(rotator.Duration(duration("wait", 0, 6*time.Minute).String()))
	}
	plan.Stores[0].Every = duration("every", time.Second, 3*time.Minute)
	plan.Stores[0].Records = rapid.SampledFrom([]int{1, 500, 20_000}).Draw(rt, "records")
	return withFaults(rt, plan, anyKeyFault)
}

func anyKeyFault(rt *rapid.T, plan scenarios.Plan) scenarios.Action {
	secrets := []string{scenarios.RotatedBy(&plan.World.RotatingSecrets[0])}
	pods := []string{rapid.SampledFrom(plan.Pods).Draw(rt, "pod").Name}
	node := rapid.SampledFrom(plan.Nodes).Draw(rt, "node")
	some := time.Duration(rapid.Int64Range(1, int64(5*time.Minute)).Draw(rt, "some"))
	return rapid.SampledFrom([]scenarios.Action{
		{Verb: scenarios.RotateKeys, Secrets: secrets},
		{Verb: scenarios.RejectKey, Secrets: secrets},
		{Verb: scenarios.ReplaceKeys, Secrets: secrets},
		{Verb: scenarios.SpoilKeys, Secrets: secrets, Mode: scenarios.TwoPrimaries},
		{Verb: scenarios.SpoilKeys, Secrets: secrets, Mode: scenarios.NoPrimary},
		{Verb: scenarios.SpoilKeys, Secrets: secrets, Mode: scenarios.HalfWritten},
		{Verb: scenarios.MendKeys, Secrets: secrets},
		{Verb: scenarios.StopOperator},
		{Verb: scenarios.StartOperator},
		{Verb: scenarios.RemoveSecret, Secrets: secrets},
		{Verb: scenarios.RestoreSecret, Secrets: secrets},
		{Verb: scenarios.RestartPods, Pods: pods, Mode: "pod", Downtime: some},
		{Verb: scenarios.RestartPods, Pods: pods, Mode: "container", Downtime: some},
		{Verb: scenarios.SetClock, Pods: pods, Skew: some - 2*time.Minute},
		{Verb: scenarios.PauseSync, Node: node.Name},
		{Verb: scenarios.ResumeSync, Node: node.Name},
		{Verb: scenarios.ConfigureKubelet, Node: node.Name, Kubelet: &node},
		{Verb: scenarios.StopAPI},
		{Verb: scenarios.StartAPI},
		{Verb: scenarios.StopNode, Node: node.Name},
		{Verb: scenarios.StartNode, Node: node.Name},
		{Verb: scenarios.DisturbNetwork, Pods: pods, Network: anyTrouble(some)},
		{Verb: scenarios.RestoreNetwork, Pods: pods},
	}).Draw(rt, "fault")
}

// anyTrouble is a cut, a delay, a loss, or none of them, by the duration.
func anyTrouble(some time.Duration) *scenarios.NetworkTrouble {
	return []*scenarios.NetworkTrouble{
		{Cut: true}, {Delay: some / 1000}, {Loss: 0.3}, {Delay: some / 2000, Loss: 0.05}, {},
	}[int(some)%5]
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
		{Verb: scenarios.StopIssuer},
		{Verb: scenarios.StartIssuer},
		{Verb: scenarios.WriteTornPair, Secrets: secrets},
		{Verb: scenarios.StopAPI},
		{Verb: scenarios.StartAPI},
		{Verb: scenarios.StopNode, Node: node.Name},
		{Verb: scenarios.StartNode, Node: node.Name},
		{Verb: scenarios.DisturbNetwork, Pods: pods, Network: anyTrouble(some)},
		{Verb: scenarios.RestoreNetwork, Pods: pods},
		{Verb: scenarios.StopWebhook},
		{Verb: scenarios.StartWebhook},
		{Verb: scenarios.TrimBundle, Secrets: secrets, Keep: 1},
		{
			Verb: scenarios.PublishTrust, Secrets: secrets, Authority: caName, Trust: both,
			Hold: some > 2*time.Minute, CrossSign: some > 3*time.Minute,
		},
	}).Draw(rt, "fault")
}
