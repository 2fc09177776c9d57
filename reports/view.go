package reports

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// What a page lists at most; report.json has all.
const (
	faultsMax = 40
	clocksMax = 40
)

// view is what the pages show, in words.
type view struct {
	Report     *Report
	Results    []viewResult
	Figures    []figure
	Outcomes   []outcomeCount
	Faults     []viewFault
	MoreFaults int
	Clocks     []viewClock
	MoreClocks int
	Pictures   []viewPicture
	Nodes      []viewNode
	Workloads  []viewWorkload
	Tokens     []viewTokens
	Stores     []viewStore
	Secrets    []viewSecret
	Attempt    string
	Course     string // what the world does by itself
	Params     []param
	Basis      string
}

type viewResult struct {
	ID, Promise, Reason string
	Status              Status
}

// figure is one number with what it means.
type figure struct{ Name, Value, Note string }

type outcomeCount struct {
	Outcome record.Outcome
	Count   int64
	Share   string
}

type viewFault struct {
	ID, Note string
	At       Seconds
	Proof    Seconds // 0 without proof
}

type viewClock struct{ Node, Start, End, Drift string }

type viewPicture struct {
	Name, Title, Caption string
	SVG                  template.HTML
}

type viewNode struct {
	scenarios.PlannedNode
	Pods  int // 0, as Delay, where pods ran on others
	Delay NodeDelay
}

type viewWorkload struct {
	scenarios.PeerGroup
	Pods   int
	Reload string
	Bound  time.Duration
}

type param struct{ Name, Value string }

// newView returns what both pages show.
func newView(r *Report, pictures []picture) *view {
	v := &view{
		Report: r, Figures: figuresOf(r), Outcomes: outcomesOf(r), Basis: basisOf(r),
		Attempt: r.traffic.attempt(),
		Course: choose(r.traffic.peers, r.traffic.keys(), "renewals that its Certificates ask for",
			"rotations that its RotatingSecrets ask for",
			"renewals and rotations that its Certificates and RotatingSecrets ask for"),
	}
	for _, from := range r.results() {
		v.Results = append(v.Results, viewResult{from.id, from.promise, from.reason, from.status})
	}
	for _, fault := range r.Faults[:min(len(r.Faults), faultsMax)] {
		shown := viewFault{ID: fault.ID, Note: fault.Note, At: fault.At}
		if shown.Note == "" {
			shown.Note = fault.ID
		}
		if fault.Proof != nil {
			shown.Proof = *fault.Proof
		}
		v.Faults = append(v.Faults, shown)
	}
	v.MoreFaults = len(r.Faults) - len(v.Faults)
	v.clocks(r.Clocks)
	v.secrets(r.Keys)
	for _, p := range pictures {
		v.Pictures = append(v.Pictures, viewPicture{p.name, p.title, p.caption, safe(p)})
	}
	return v
}

// clocks lists the clocks of nodes, if they were compared.
func (v *view) clocks(c *Clocks) {
	if c == nil {
		return
	}
	for _, n := range c.Nodes[:min(len(c.Nodes), clocksMax)] {
		v.Clocks = append(v.Clocks,
			viewClock{n.Node, n.Start.String(), n.End.String(), n.Drift.String()})
	}
	v.MoreClocks = len(c.Nodes) - len(v.Clocks)
}

// safe vouches for a picture: it was drawn by this program, which escapes the names in it.
func safe(p picture) template.HTML {
	return template.HTML(p.drawn.Inline) //nolint:gosec // drawn above, not read from anywhere
}

// figuresOf picks the figures that stand out on a page.
func figuresOf(r *Report) []figure {
	made := r.Balance.OK + r.Balance.Failed
	all := []figure{
		{
			"failed " + r.traffic.attempt() + "s", Number(r.Balance.Failed),
			fmt.Sprintf("of %s made, %s", Number(made), share(r.Balance.Failed, made)),
		},
		{"outage", spell(r.Outage), "in which at least one " + r.traffic.pair() + " was failing"},
		{
			"worst moment", fmt.Sprintf("%d of %d", r.Worst.Broken, r.Worst.Pairs),
			r.traffic.pair() + "s broken, at " + spell(r.Worst.At),
		},
	}
	if r.Propagation.Count > 0 {
		all = append(all, figure{
			"median propagation", spell(r.Propagation.P50),
			fmt.Sprintf("99 %% within %s, all within %s (n = %s)", spell(r.Propagation.P99),
				spell(r.Propagation.Max), Number(r.Propagation.Count)),
		})
	}
	if r.Disagreement.Count > 0 {
		all = append(all, figure{
			"two pods disagree for", spell(r.Disagreement.Mean),
			"on average after a write, 99 % less than " + spell(r.Disagreement.P99),
		})
	}
	if r.Associations.Established > 0 {
		all = append(all, figure{
			"associations dropped", Number(r.Associations.Dropped),
			fmt.Sprintf("of %s, %s re-established, down for %s in all",
				Number(r.Associations.Established), Number(r.Associations.Reestablished),
				spell(r.Associations.Lost)),
		})
	}
	if r.ExpiredUse.Count > 0 {
		all = append(all, figure{
			"expired leaves in use", Number(r.ExpiredUse.Count),
			fmt.Sprintf("of %s, for %s on average", Number(r.ExpiredUse.Of),
				spell(r.ExpiredUse.Mean)),
		})
	}
	if r.Latency.Count > 0 {
		all = append(all, figure{
			r.traffic.either("handshake", "call", "attempt") + " latency, 99 %",
			spell(r.Latency.P99),
			fmt.Sprintf("half within %s (%s)", spell(r.Latency.P50), r.Latency.Basis),
		})
	}
	return append(append(all, keyFiguresOf(r.Keys)...), storeFiguresOf(r.Stores)...)
}

// outcomesOf lists the outcomes that occurred.
func outcomesOf(r *Report) []outcomeCount {
	total := r.Balance.OK + r.Balance.Failed + r.Balance.Skipped
	var all []outcomeCount
	for _, outcome := range record.Outcomes() {
		if n := r.Outcomes[outcome]; n > 0 {
			all = append(all, outcomeCount{outcome, n, share(n, total)})
		}
	}
	return all
}

// share writes a part of a whole in percent.
func share(part, whole int64) string {
	if whole == 0 {
		return percent(0)
	}
	return percent(Share(float64(part) / float64(whole)))
}

// percent writes a share in percent. Only nothing is 0, and only all is 100.
func percent(of Share) string {
	switch of *= 100; {
	case of > 0 && of < 0.01:
		return "less than 0.01 %"
	case of < 100 && of > 99.99:
		return "more than 99.99 %"
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", of), "0"), ".") + " %"
}

// basisOf says what the figures of the run are worth.
func basisOf(r *Report) string {
	if r.Basis == record.Measured {
		return "Latencies and delays were measured by a clock around real work, on backend " +
			r.Backend + "."
	}
	t := r.traffic
	if t.stores {
		return "Time is virtual. " + t.verdicts() +
			" and all latencies are modelled, so figures of time are modelled too."
	}
	return "Time is virtual. " + choose(t.peers, t.tokens,
		"Handshake verdicts come from real TLS code on real certificates; the API server, "+
			"cert-manager, kubelets, network",
		"Verdicts on tokens come from real JWT code on real keys, and the steps of rotations from "+
			"the operator's own code; the API server, kubelets, network",
		"Verdicts come from real TLS and JWT code on real certificates and keys, and the steps of "+
			"rotations from the operator's own code; the API server, cert-manager, kubelets, "+
			"network",
	) + " and all latencies are modelled, so figures of time are modelled too. Run the scenario " +
		"on a cluster to measure them."
}

// settings adds the nodes, workloads and params of the plan.
func (v *view) settings(a *Analysis) {
	for i, node := range a.plan.Nodes {
		shown := viewNode{PlannedNode: node}
		if len(v.Report.ByNode) > 0 {
			shown.Pods = a.podsWhere(func(p scenarios.Pod) bool { return p.Node == node.Name })
			shown.Delay = v.Report.ByNode[i]
		}
		v.Nodes = append(v.Nodes, shown)
	}
	for _, group := range a.plan.Peers {
		v.Workloads = append(v.Workloads, viewWorkload{
			group, a.podsWhere(func(p scenarios.Pod) bool { return p.Workload == group.Workload }),
			reloadOf(group.Consumer), a.boundOf(group.Workload),
		})
	}
	for i := range a.plan.Tokens {
		v.Tokens = append(v.Tokens, a.viewTokens(&a.plan.Tokens[i]))
	}
	for i := range a.plan.Stores {
		v.Stores = append(v.Stores, a.viewStore(&a.plan.Stores[i]))
	}
	for name, value := range a.plan.Params {
		v.Params = append(v.Params, param{name, value})
	}
	slices.SortFunc(v.Params, func(a, b param) int { return strings.Compare(a.Name, b.Name) })
}

func (a *Analysis) podsWhere(matches func(scenarios.Pod) bool) int {
	count := 0
	for _, pod := range a.plan.Pods {
		if matches(pod) {
			count++
		}
	}
	return count
}

// boundOf returns the bound of a workload's pods, which is one for all, or 0 when it has none.
func (a *Analysis) boundOf(workload string) time.Duration {
	for i, pod := range a.plan.Pods {
		if pod.Workload == workload {
			return a.bounds.of(i)
		}
	}
	return 0
}

// reloadOf says when the processes of a workload read their files again.
func reloadOf(consumer scenarios.Consumer) string {
	switch consumer.Policy {
	case "lazy-ttl":
		return "when used, once older than " + Moment(consumer.Every)
	case "poll":
		return "every " + Moment(consumer.Every)
	case "watch":
		return "when the files change"
	case "watch-once":
		return "at the first change of the files only"
	case "start-up":
		return "never, only at start"
	}
	return consumer.Policy
}
