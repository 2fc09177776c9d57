package scenarios

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The kubelet's defaults, and the start of virtual time.
const (
	defaultSyncFrequency = time.Minute
	defaultCacheTTL      = time.Minute
	defaultNode          = "node"
	defaultStart         = "2026-01-01T00:00:00Z"
)

// Plan resolves the scenario under a seed: names, defaults, and all dice. It is pure. The error is
// Problems if the scenario, changed since Parse, is not sound any more.
func (s *Scenario) Plan(seed uint64) (Plan, error) {
	c := newCollector(orDefault(s.Metadata.Name, "scenario"))
	check(&checker{collector: c, s: s, complete: true})
	if err := c.err(); err != nil {
		return Plan{}, fmt.Errorf("plan: %w", err)
	}
	return s.plan(seed), nil
}

// plan is Plan for a scenario that has been checked.
func (s *Scenario) plan(seed uint64) Plan {
	plan := Plan{
		Scenario: s.Metadata.Name, Labels: s.Metadata.Labels, Why: s.Spec.Why,
		Params: s.Spec.Params, Seed: seed, Start: s.start(), Horizon: s.Spec.Horizon.std(),
		World: s.World, Expect: s.Spec.Expect,
		Nodes: []PlannedNode{}, Peers: []PeerGroup{}, Pods: []Pod{},
	}
	for _, node := range s.nodes() {
		for _, name := range node.copies() {
			plan.Nodes = append(plan.Nodes, planNode(name, node.Kubelet))
		}
	}
	for i := range s.Spec.Workloads {
		s.planWorkload(&plan, &s.Spec.Workloads[i])
	}
	plan.resolveJWKS()
	for i, name := range loadNames(s.Spec.Load) {
		planStreams(&plan, name, &s.Spec.Load[i])
	}
	plan.Actions = s.expandFaults(&plan)
	plan.Expect = resolveExpect(plan.Expect, plan.Actions)
	return plan
}

func (s *Scenario) start() time.Time {
	if s.Spec.Start != nil {
		return s.Spec.Start.UTC().Truncate(time.Second) // as X.509 times are
	}
	start, err := time.Parse(time.RFC3339, defaultStart)
	if err != nil {
		panic(err) // a constant
	}
	return start
}

// nodes returns the scenario's nodes, at least one.
func (s *Scenario) nodes() []Node {
	if len(s.Spec.Nodes) == 0 {
		return []Node{{Name: defaultNode}}
	}
	return s.Spec.Nodes
}

// copies returns the names of the nodes that a node stands for.
func (n Node) copies() []string {
	if n.Count == 0 {
		return []string{n.Name}
	}
	names := make([]string, min(max(n.Count, 0), nodesMax))
	for i := range names {
		names[i] = n.Name + "-" + strconv.Itoa(i)
	}
	return names
}

// workloadNamed returns the workload of the name, or nil.
func (s *Scenario) workloadNamed(name string) *Workload {
	for i := range s.Spec.Workloads {
		if s.Spec.Workloads[i].Name == name {
			return &s.Spec.Workloads[i]
		}
	}
	return nil
}

// nodesNamed returns the planned nodes of a name: all copies of a node, or one of them.
func (s *Scenario) nodesNamed(name string) []string {
	for _, node := range s.nodes() {
		if node.Name == name {
			return node.copies()
		}
	}
	for _, node := range s.nodes() {
		if slices.Contains(node.copies(), name) {
			return []string{name}
		}
	}
	return nil
}

func planNode(name string, kubelet Kubelet) PlannedNode {
	node := PlannedNode{
		Name: name, SyncFrequency: kubelet.SyncFrequency.std(),
		ChangeDetection: kubelet.ChangeDetection, CacheTTL: kubelet.CacheTTL.std(),
	}
	if node.SyncFrequency == 0 {
		node.SyncFrequency = defaultSyncFrequency
	}
	if node.ChangeDetection == "" {
		node.ChangeDetection = Watch
	}
	if node.ChangeDetection == Cache && node.CacheTTL == 0 {
		node.CacheTTL = defaultCacheTTL
	}
	return node
}

// planWorkload adds a workload's peers and its pods, spread round-robin over its nodes.
func (s *Scenario) planWorkload(plan *Plan, w *Workload) {
	_, kind := w.kinds()
	group := kind.plan(plan, w)
	nodes := plan.Nodes
	if len(w.Nodes) > 0 {
		allowed := map[string]bool{}
		for _, name := range w.Nodes {
			for _, node := range s.nodesNamed(name) {
				allowed[node] = true
			}
		}
		nodes = slices.DeleteFunc(slices.Clone(nodes), func(n PlannedNode) bool {
			return !allowed[n.Name]
		})
	}
	for i := range w.replicas() {
		node := nodes[i%len(nodes)]
		pod := Pod{Name: podName(w.Name, i), Workload: w.Name, Node: node.Name}
		pod.SyncDue = residual(Rand(plan.Seed, "kubelet/"+pod.Name+"/phase"), node.SyncFrequency)
		if group.Policy == "lazy-ttl" || group.Policy == "poll" {
			pod.CacheAge = uniform(Rand(plan.Seed, "peer/"+pod.Name+"/age"), group.Every)
		}
		if tokens := plan.TokensOf(w.Name); tokens != nil {
			pod.tokenPhases(plan.Seed, tokens)
		}
		plan.Pods = append(plan.Pods, pod)
	}
}

// residual draws the rest of the resync interval that offset 0 falls into. Intervals are
// U[s, 1.5s], without the kubelet's ticks, see Pod.SyncDue; one that covers a given instant is the
// longer the likelier, so its length t has the density t/E[t], of which t² is uniform; the instant
// is uniform within it.
func residual(dice *rand.Rand, s time.Duration) time.Duration {
	square := 1 + dice.Float64()*(1.5*1.5-1)
	return time.Duration(dice.Float64() * math.Sqrt(square) * float64(s))
}

// uniform draws from [0, d).
func uniform(dice *rand.Rand, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(dice.Int64N(int64(d)))
}

// loadNames names each load by whom it dials, or by what it does, and by its number among those
// that do the same, so that its dice do not depend on where it stands in the file.
func loadNames(loads []Load) []string {
	names := make([]string, len(loads))
	seen := map[string]int{}
	for i := range loads {
		name := orDefault(string(loads[i].kind().op), strings.Join(loads[i].to(), "+"))
		key := loads[i].Workload + ">" + name
		names[i] = name + "#" + strconv.Itoa(seen[key])
		seen[key]++
	}
	return names
}

// planStreams adds the streams of one load, whose dice are of its name. First is drawn from a fixed
// range, so that it does not change with the number of targets.
func planStreams(plan *Plan, name string, load *Load) {
	const firsts = 1 << 30
	kind := load.kind()
	every := kind.dials.Rate.Interval()
	for _, pod := range plan.Pods {
		if pod.Workload != load.Workload {
			continue
		}
		dice := Rand(plan.Seed, "peer/"+pod.Name+"/dial/"+name)
		plan.Streams = append(plan.Streams, Stream{
			Source: pod.Name, Op: kind.op, To: load.to(), Every: every,
			Phase: uniform(dice, every), First: dice.IntN(firsts),
		})
	}
}

// tokenPhases places the pod at a random phase of what it does with tokens.
func (p *Pod) tokenPhases(seed uint64, group *TokenGroup) {
	p.TokenAge = uniform(Rand(seed, "token/"+p.Name+"/age"), group.Reuse)
	if group.JWKS != nil {
		every := max(group.JWKS.MaxAge, group.JWKS.Interval)
		p.KeysAge = uniform(Rand(seed, "token/"+p.Name+"/keys"), every)
	}
}

// to returns the workloads dialled.
func (l *Load) to() []string {
	if l.kind().op != Calls {
		return []string{}
	}
	if len(l.To) == 0 {
		return []string{l.Workload}
	}
	return l.To
}

// resolveExpect fills in the verdict, and where a recovery is measured from.
func resolveExpect(expect Expect, actions []Action) Expect {
	expect.Verdict = orDefault(expect.Verdict, VerdictPass)
	if expect.Settle != nil && expect.Settle.After == 0 && len(actions) > 0 {
		settle := *expect.Settle
		settle.After = Duration(actions[len(actions)-1].At)
		expect.Settle = &settle
	}
	return expect
}
