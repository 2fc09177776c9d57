package reports

import (
	"fmt"
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports/plots"
)

// The sizes beyond which pictures bin or sample.
const (
	binsMin        = 24
	binsMax        = 360
	attemptsPerBin = 12
	pointsMax      = 400
	lanesMax       = 40
)

// outcomesPlot is what became of new connections over the window. Failures lie at the bottom, where
// they are measured from zero, successes on top.
func (a *Analysis) outcomesPlot(w plots.Window, title string) plots.Outcomes {
	o := plots.Outcomes{
		Title: title, Caption: a.signature(), Window: w, Marks: a.marks(w),
		Attempts: a.traffic.either("", "calls", "attempts"),
	}
	bins := a.bins(w)
	counts := a.attempts.histogram(stretch{w.From, w.To}, bins, a.dials.interval)
	width := (w.To - w.From).Seconds() / float64(bins)
	order := slices.Clone(a.attempts.outcomes)
	slices.Reverse(order) // the order of reports has ok and skipped first: they go on top
	for _, outcome := range order {
		rates := counts[slices.Index(a.attempts.outcomes, outcome)]
		if outcome != record.OK && !slices.ContainsFunc(rates, positive) {
			continue
		}
		for i := range rates {
			rates[i] /= width
		}
		o.Layers = append(o.Layers, plots.Layer{Outcome: string(outcome), Rates: rates})
	}
	return o
}

// bins returns how many bins the window is drawn in: as many as the picture can show, but no more
// than leave a dozen attempts to each, for with fewer a steady rate looks like noise.
func (a *Analysis) bins(w plots.Window) int {
	var due int64
	for _, stream := range a.plan.Streams {
		due += a.plan.Attempts(stream, w.To) - a.plan.Attempts(stream, w.From)
	}
	return int(min(max(due/attemptsPerBin, binsMin), binsMax))
}

func positive(x float64) bool { return x > 0 }

// signature names the run in every picture, and says when its figures are modelled.
func (a *Analysis) signature() string {
	text := fmt.Sprintf("%s, seed %d, backend %s", a.plan.Scenario, a.plan.Seed, a.header.Backend)
	if a.header.Basis == record.Modelled {
		return text + " (modelled)"
	}
	return text
}

// propagationPlot is the distribution of propagations beside the law and the bound, or alone where
// the planned settings are not those of the nodes.
func (a *Analysis) propagationPlot() plots.Propagation {
	sample, fetched := a.propagations()
	d := plots.Propagation{
		Title:    "How long a written Secret took until a pod used it",
		Caption:  a.signature(),
		Measured: empirical(sample),
		Count:    plural(int64(len(sample)), "propagation") + " of this run",
	}
	if len(fetched) > 0 {
		d.Count += " by kubelets"
		d.Fetched = empirical(fetched)
		d.FetchedCount = plural(int64(len(fetched)), "propagation") + " by a JWKS"
	}
	if a.unpredicted() != "" {
		return d
	}
	d.Bound = a.bounds.longest.Seconds()
	if law := NewLaw(a.plan); law.pods > 0 {
		for i := range pointsMax + 1 {
			x := law.Max() * float64(i) / pointsMax
			d.Law = append(d.Law, plots.Point{Seconds: x, Share: law.CDF(x)})
		}
	}
	return d
}

// propagations returns the times from write to use of all propagations, sorted: by what pods mount,
// and by what they fetch.
func (a *Analysis) propagations() (mounted, fetched []time.Duration) {
	for pod, uses := range a.uses {
		sample := &mounted
		if a.usesJWKS(pod) {
			sample = &fetched
		}
		for i := range uses {
			if u := &uses[i]; u.first {
				*sample = append(*sample, u.at-u.written)
			}
		}
	}
	slices.Sort(mounted)
	slices.Sort(fetched)
	return mounted, fetched
}

// empirical returns the distribution of a sorted sample as a step function, thinned to pointsMax.
func empirical(sorted []time.Duration) []plots.Point {
	n := len(sorted)
	points := make([]plots.Point, 0, 2*min(n, pointsMax))
	share := 0.0
	for k := range min(n, pointsMax) {
		i := (k+1)*n/min(n, pointsMax) - 1
		x := sorted[i].Seconds()
		points = append(points, plots.Point{Seconds: x, Share: share})
		share = float64(i+1) / float64(n)
		points = append(points, plots.Point{Seconds: x, Share: share})
	}
	return points
}

// matrixPlot is who could talk to whom at the worst moment. More pods than lanesMax are drawn in
// groups of neighbours.
func (a *Analysis) matrixPlot() plots.Matrix {
	at, broken := a.worst()
	pods := len(a.plan.Pods)
	groups := min(pods, lanesMax)
	group := func(pod int) int { return pod * groups / pods }
	tried, failed := newGrid(groups), newGrid(groups)
	reasons := make([]map[record.Outcome]int, groups*groups)
	for source := range pods {
		for target := range pods {
			if a.dials.pairEvery(source, target) > 0 && source != target {
				tried[group(source)][group(target)]++
			}
		}
	}
	for _, b := range a.brokenAt(at) {
		if !a.dials.planned(b.source) || !a.dials.planned(b.peer) {
			continue
		}
		from, to := group(b.source), group(b.peer)
		failed[from][to]++
		tried[from][to] = max(tried[from][to], failed[from][to])
		if reasons[from*groups+to] == nil {
			reasons[from*groups+to] = map[record.Outcome]int{}
		}
		reasons[from*groups+to][b.outcome]++
	}
	m := plots.Matrix{
		Title: a.traffic.either("Who could open a new connection to whom",
			"Who could call whom", "Who could dial or call whom") + " at the worst moment",
		Caption: fmt.Sprintf("%s: %s of %s broken at %s", a.signature(), Number(int64(broken)),
			plural(int64(a.pairs()), "ordered pair"), Moment(at)),
		Names: a.groupNames(groups),
		Verbs: choose(a.traffic.connects, a.traffic.calls, nil, &[2]string{"calls", "is called"},
			&[2]string{"dials or calls", "is dialled or called"}),
	}
	for i := range groups {
		row := make([]plots.Cell, groups)
		for j := range row {
			row[j].Tried = tried[i][j] > 0
			if failed[i][j] > 0 {
				row[j].Share = float64(failed[i][j]) / float64(tried[i][j])
				row[j].Reason = string(mostOf(reasons[i*groups+j]))
			}
		}
		m.Cells = append(m.Cells, row)
	}
	if a.traffic.calls {
		trim(&m, tried)
	}
	return m
}

// trim leaves out the rows of who calls nobody and the columns of who is never called: issuers are
// not called, and verifiers do not call.
func trim(m *plots.Matrix, tried [][]int) {
	called := func(j int) bool {
		return slices.ContainsFunc(tried, func(row []int) bool { return row[j] > 0 })
	}
	names, cells := m.Names, m.Cells
	m.Names, m.Cells = nil, nil
	for i, name := range names {
		if called(i) {
			m.Columns = append(m.Columns, name)
		}
		if slices.Max(tried[i]) == 0 {
			continue
		}
		var row []plots.Cell
		for j, cell := range cells[i] {
			if called(j) {
				row = append(row, cell)
			}
		}
		m.Names, m.Cells = append(m.Names, name), append(m.Cells, row)
	}
}

func newGrid(n int) [][]int {
	grid := make([][]int, n)
	for i := range grid {
		grid[i] = make([]int, n)
	}
	return grid
}

// mostOf returns the outcome counted most, the first in the order of reports among equals.
func mostOf(counts map[record.Outcome]int) record.Outcome {
	var most record.Outcome
	for _, outcome := range record.Outcomes() {
		if counts[outcome] > counts[most] {
			most = outcome
		}
	}
	return most
}

// groupNames names the pods, or groups of neighbours by their first.
func (a *Analysis) groupNames(groups int) []string {
	pods := len(a.plan.Pods)
	names := make([]string, groups)
	for pod := pods - 1; pod >= 0; pod-- {
		names[pod*groups/pods] = a.plan.Pods[pod].Name
		if pods > groups {
			names[pod*groups/pods] += " …"
		}
	}
	return names
}
