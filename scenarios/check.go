package scenarios

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of a scenario's size.
const (
	horizonMax = 10 * 365 * 24 * time.Hour
	podsMax    = 20_000
	nodesMax   = 10_000
	actionsMax = 200_000
	streamsMax = 200_000
	victimsMax = 2_000_000
)

// check gathers every problem with what a scenario means.
func check(c *checker) {
	c.metadata()
	c.times()
	c.nodeList()
	c.workloads()
	for i := range c.s.Spec.Load {
		c.load("load["+strconv.Itoa(i)+"]", &c.s.Spec.Load[i])
	}
	for i := range c.s.Spec.Faults {
		c.fault("faults["+strconv.Itoa(i)+"]", &c.s.Spec.Faults[i])
	}
	c.disturbances()
	c.storeSize()
	c.expect()
	c.size()
	if len(c.problems) == 0 {
		c.actions()
	}
}

// size bounds what the plan will hold, by arithmetic, before anything of it is made.
func (c *checker) size() {
	nodes, streams, actions, victims := 0, 0, 0, 0
	for _, node := range c.s.nodes() {
		nodes += min(max(1, node.Count), nodesMax)
	}
	for i := range c.s.Spec.Load {
		if w := c.s.workloadNamed(c.s.Spec.Load[i].Workload); w != nil {
			streams += min(w.replicas(), podsMax)
		}
	}
	for i := range c.s.Spec.Faults {
		f := &c.s.Spec.Faults[i]
		times, each, pods := 1, 4, 0 // no fault but those of nodes has more steps
		if f.Repeat != nil {
			times = min(max(1, f.Repeat.Times), actionsMax+1)
		}
		if f.HoldSync != nil || f.SetKubelet != nil || f.StopNode != nil {
			each = 2 * nodes
		}
		if f.Restart != nil {
			pods = max(f.Restart.Pods, len(f.Restart.PodNames))
		}
		if f.SkewClock != nil {
			pods = 2 * max(f.SkewClock.Pods, len(f.SkewClock.PodNames))
		}
		if f.DisturbNetwork != nil {
			pods = 2 * max(f.DisturbNetwork.Pods, len(f.DisturbNetwork.PodNames))
		}
		actions += times * each
		victims += times * min(pods, podsMax)
	}
	if streams > streamsMax {
		c.problem("load", fmt.Sprintf("makes more than %d streams", streamsMax), "")
	}
	// An upper bound: a fault of one node counts as one of all.
	if actions > 4*actionsMax || victims > victimsMax {
		c.problem("faults", fmt.Sprintf("may become more than %d actions", actionsMax),
			"repeat fewer times, or on fewer nodes and pods")
	}
}

func (c *checker) metadata() {
	name := c.s.Metadata.Name
	if what := dnsLabel(name); what != "" {
		c.add(c.scenario, "metadata.name", what, "")
	}
	if strings.TrimSpace(c.s.Spec.Why) == "" {
		c.problem("why", "is empty", "say what the scenario shows and why it happens")
	}
	if len(c.s.Spec.Manifests) == 0 {
		c.problem("manifests", "is empty", "list the files that hold your issuers and Certificates")
	}
}

func (c *checker) times() {
	horizon := c.s.Spec.Horizon
	c.positive("horizon", horizon)
	if horizon.std() > horizonMax {
		c.problem("horizon", fmt.Sprintf("%s is more than %s", horizon, Duration(horizonMax)), "")
	}
	if start := c.s.Spec.Start; start != nil {
		if year := start.UTC().Year(); year < 1970 || year > 2200 {
			c.problem("start", fmt.Sprintf("the year %d is not between 1970 and 2200", year), "")
		}
	}
}

func (c *checker) nodeList() {
	seen := map[string]bool{}
	total := 0
	for i, node := range c.s.Spec.Nodes {
		path := "nodes[" + strconv.Itoa(i) + "]"
		if what := dnsLabel(node.Name); what != "" {
			c.problem(path+".name", what, "")
		}
		c.kubelet(path+".kubelet", node.Kubelet)
		if total += min(max(1, node.Count), nodesMax+1); total > nodesMax {
			c.problem(path, fmt.Sprintf("makes more than %d nodes", nodesMax), "")
			return
		}
		for _, name := range append(node.copies(), node.Name) {
			if seen[name] && (node.Count > 0 || name == node.Name) {
				c.problem(path+".name", fmt.Sprintf("there is another node %q", name), "")
			}
		}
		for _, name := range append(node.copies(), node.Name) {
			seen[name] = true
		}
	}
}

func (c *checker) workloads() {
	if len(c.s.Spec.Workloads) == 0 {
		c.problem("workloads", "is empty", "say who consumes the Secrets")
	}
	seen := map[string]bool{}
	pods := 0
	for i := range c.s.Spec.Workloads {
		w := &c.s.Spec.Workloads[i]
		path := "workloads[" + strconv.Itoa(i) + "]"
		if seen[w.Name] {
			c.problem(path+".name", fmt.Sprintf("there is another workload %q", w.Name), "")
		}
		seen[w.Name] = true
		c.workloadItself(path, w)
		if pods += w.replicas(); pods > podsMax {
			c.problem(path, fmt.Sprintf("makes more than %d pods", podsMax), "")
			return
		}
	}
}

func (c *checker) workloadItself(path string, w *Workload) {
	if what := dnsLabel(w.Name); what != "" {
		c.problem(path+".name", what, "")
	}
	if what := dnsLabel(w.Namespace); what != "" && w.Namespace != "" {
		c.problem(path+".namespace", what, "")
	}
	for i, name := range w.Nodes {
		at := path + ".nodes[" + strconv.Itoa(i) + "]"
		if slices.Contains(w.Nodes[:i], name) {
			c.problem(at, fmt.Sprintf("%q is listed twice", name), "")
		}
		c.node(at, name)
	}
	names, kind := w.kinds()
	c.oneKind(path, "workload", names, fieldKinds[workloadKind](*w))
	if len(names) != 1 {
		return
	}
	kind.check(c, path+"."+names[0])
	if kind.pods() < 1 {
		c.problem(path+"."+names[0]+".replicas", "must be at least 1", "")
	}
	c.mounted(path+"."+names[0]+".secret", w)
	if strings.Contains(kind.secret(), "/") {
		c.problem(path+"."+names[0]+".secret", "pods mount Secrets of their own namespace",
			"set the workload's namespace")
	}
}

// oneKind checks that a fault or workload is of exactly one kind.
func (c *checker) oneKind(path, what string, given, kinds []string) {
	switch {
	case len(given) == 0 && c.unknown[place{c.scenario, join("spec", path)}]:
	case len(given) == 0:
		c.problem(path, "is of no kind of "+what, "give one of "+strings.Join(kinds, ", "))
	case len(given) > 1:
		c.problem(path, fmt.Sprintf("is of %d kinds: %s", len(given), strings.Join(given, ", ")),
			"write one "+what+" for each")
	}
}

func (c *checker) load(path string, load *Load) {
	source := c.workload(path+".workload", load.Workload)
	if source == nil {
		return
	}
	c.loadKind(path, load, source)
	if load.kind().op != Calls {
		return
	}
	targets, known := 0, source.replicas() > 0
	for i, name := range load.to() {
		at := path + ".to[" + strconv.Itoa(i) + "]"
		if len(load.To) == 0 {
			at = path
		}
		if slices.Contains(load.To[:min(i, len(load.To))], name) {
			c.problem(at, fmt.Sprintf("%q is listed twice", name), "")
		}
		target := c.workload(at, name)
		if target == nil || target.replicas() == 0 {
			known = false
			continue
		}
		targets += target.replicas()
		if target == source {
			targets--
		}
	}
	if known && targets == 0 {
		c.problem(path, "has nobody to dial: a pod does not dial itself",
			"add replicas, or name other workloads under to")
	}
}

// mounted checks that the workload's Secret is written by what writes such Secrets.
func (c *checker) mounted(path string, w *Workload) {
	secret := w.keySecret()
	switch {
	case secret == "":
	case w.TokenIssuer != nil, w.TokenVerifier != nil:
		c.tokenKeys(path, secret)
	case w.SealedStore != nil:
		c.sealingKeys(path, secret)
	default:
		c.secret(path, secret)
	}
}

// loadKind checks that a load is of the kind that its workloads can make and take.
func (c *checker) loadKind(path string, load *Load, source *Workload) {
	c.oneLoad(path, load)
	switch {
	case load.kind().op != Calls:
		c.storeLoad(path, load, source)
	case load.Requests != nil && source.TokenIssuer == nil:
		c.problem(path+".workload", source.Name+" is no tokenIssuer",
			"requests carry tokens; peers make newConnections")
	case load.Requests != nil && len(load.To) == 0:
		c.problem(path+".to", "is required", "name the tokenVerifiers that are called")
	case load.Requests != nil:
		c.tokenLoad(path, source, load.To)
	case load.NewConnections != nil && !source.peers():
		c.problem(path+".workload", source.Name+" makes no newConnections",
			"a tokenIssuer makes requests, a sealedStore reads and writes")
	case load.NewConnections != nil:
		for i, name := range load.To {
			if target := c.s.workloadNamed(name); target != nil && !target.peers() {
				c.problem(fmt.Sprintf("%s.to[%d]", path, i), name+" takes no newConnections",
					"name peers")
			}
		}
	}
}

// peers reports whether the workload is of mutual-TLS peers, or of no kind at all.
func (w *Workload) peers() bool {
	return w.TokenIssuer == nil && w.TokenVerifier == nil && w.SealedStore == nil
}

// fault checks one fault, its times aside.
func (c *checker) fault(path string, f *Fault) {
	names, kind := f.kinds()
	c.oneKind(path, "fault", names, fieldKinds[fault](*f))
	horizon := c.s.Spec.Horizon
	switch {
	case f.At < 0:
		c.problem(path+".at", f.At.String()+" is negative", "")
	case horizon > 0 && f.At >= horizon:
		c.problem(path+".at", fmt.Sprintf("%s is not before the horizon (%s)", f.At, horizon), "")
	case f.Repeat != nil:
		c.repeat(path+".repeat", f)
	}
	if len(names) == 1 {
		kind.check(c, path+"."+names[0])
	}
}

func (c *checker) repeat(path string, f *Fault) {
	c.positive(path+".every", f.Repeat.Every)
	left := c.s.Spec.Horizon - f.At
	if f.Repeat.Every <= 0 || f.Repeat.Times < 1 || left <= 0 {
		return
	}
	fit := (left.std()-1)/f.Repeat.Every.std() + 1
	if time.Duration(f.Repeat.Times) > fit {
		c.problem(path, fmt.Sprintf("only %d of %d are before the horizon (%s)",
			fit, f.Repeat.Times, c.s.Spec.Horizon), "")
	} else if f.Repeat.Times > actionsMax {
		c.problem(path+".times", fmt.Sprintf("%d is more than %d", f.Repeat.Times, actionsMax), "")
	}
}

// actions checks the times of what the faults become.
func (c *checker) actions() {
	plan := c.s.plan(0)
	horizon := c.s.Spec.Horizon.std()
	if len(plan.Actions) > actionsMax {
		c.problem("faults", fmt.Sprintf("become %d actions, more than %d", len(plan.Actions),
			actionsMax), "")
	}
	for _, action := range plan.Actions {
		if action.At < horizon {
			continue
		}
		f := &c.s.Spec.Faults[action.Fault]
		names, _ := f.kinds()
		c.problem("faults["+strconv.Itoa(action.Fault)+"]."+names[0], fmt.Sprintf(
			"%s would be at %s, not before the horizon (%s)", action.ID,
			shortDuration(action.At), c.s.Spec.Horizon), "")
	}
}
