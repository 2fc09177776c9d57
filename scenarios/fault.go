package scenarios

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault is one kind of fault.
type fault interface {
	// check gathers problems with the fault's own fields.
	check(c *checker, path string)
	// expand adds the fault's actions, of a fault that check has no problem with.
	expand(e *expansion)
}

// kinds returns the names of the kinds that are set, in the order of Fault's fields, and the last
// one itself.
func (f *Fault) kinds() (names []string, last fault) {
	value := reflect.ValueOf(f).Elem()
	for _, field := range fieldsOf(value.Type()) {
		kind, ok := reflect.TypeAssert[fault](value.FieldByIndex(field.index))
		if ok && !reflect.ValueOf(kind).IsNil() {
			names = append(names, field.name)
			last = kind
		}
	}
	return names, last
}

// FaultKind describes one kind of fault.
type FaultKind struct {
	Name    string // as in a scenario file
	Summary string // what it does, one sentence without its subject and stop
	Doc     string // the whole documentation, with its injection proof
}

// FaultKinds returns every kind of fault, in the order of Fault's fields.
func FaultKinds() []FaultKind {
	docs := comments()
	var kinds []FaultKind
	for f := range reflect.TypeFor[Fault]().Fields() {
		if !f.Type.Implements(reflect.TypeFor[fault]()) {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		doc := docs[f.Type.Elem().Name()]
		summary, _, _ := strings.Cut(strings.ReplaceAll(doc, "\n", " "), ". ")
		kinds = append(kinds, FaultKind{
			Name: name, Doc: doc,
			Summary: strings.TrimPrefix(summary, f.Type.Elem().Name()+" "),
		})
	}
	return kinds
}

// expansion gathers the actions of one performance of a fault.
type expansion struct {
	s       *Scenario
	plan    *Plan
	id      string // <fault>[<index>], with #<n> of a repeated one
	fault   int
	at      time.Duration
	lot     string // names the dice that draw its victims
	actions []Action
}

// add adds an action at an offset from the fault's own.
func (e *expansion) add(after Duration, step string, action Action) {
	action.ID = e.id + "/" + step
	action.Fault = e.fault
	action.At = e.at + after.std()
	e.actions = append(e.actions, action)
}

// nodes returns the planned nodes named, all copies for a node with a count.
func (e *expansion) nodes(names []string) []string {
	var nodes []string
	for _, name := range names {
		nodes = append(nodes, e.s.nodesNamed(name)...)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// pods returns the pods named, or else as many as count, drawn by lot, in plan order.
func (e *expansion) pods(workload string, names []string, count int) []string {
	if len(names) > 0 {
		return names
	}
	var pods []string
	for _, pod := range e.plan.Pods {
		if pod.Workload == workload {
			pods = append(pods, pod.Name)
		}
	}
	// Each pod draws by itself, so that another pod leaves the draws of the others as they are.
	drawn := map[string]uint64{}
	for _, pod := range pods {
		drawn[pod] = Rand(e.plan.Seed, e.lot+"/"+pod).Uint64()
	}
	byLot := slices.SortedFunc(slices.Values(pods), func(a, b string) int {
		return cmp.Compare(drawn[a], drawn[b])
	})
	spared := map[string]bool{}
	for _, pod := range byLot[min(count, len(byLot)):] {
		spared[pod] = true
	}
	return slices.DeleteFunc(pods, func(pod string) bool { return spared[pod] })
}

// expandFaults returns the plan's actions in order of time, then as written.
func (s *Scenario) expandFaults(plan *Plan) []Action {
	var actions []Action
	seen := map[string]int{}
	for i := range s.Spec.Faults {
		names, _ := s.Spec.Faults[i].kinds()
		lot := "victims/" + names[0] + "#" + strconv.Itoa(seen[names[0]])
		seen[names[0]]++
		for _, each := range s.performances(plan, i, lot) {
			actions = append(actions, each.actions...)
		}
	}
	slices.SortStableFunc(actions, func(a, b Action) int { return cmp.Compare(a.At, b.At) })
	return actions
}

// performances expands each performance of a fault, whose victims are drawn by the lot.
func (s *Scenario) performances(plan *Plan, index int, lot string) []*expansion {
	f := &s.Spec.Faults[index]
	names, kind := f.kinds()
	times, every := 1, time.Duration(0)
	if f.Repeat != nil {
		times, every = f.Repeat.Times, f.Repeat.Every.std()
	}
	var performed []*expansion
	for n := range times {
		id := fmt.Sprintf("%s[%d]", names[0], index)
		if f.Repeat != nil {
			id += "#" + strconv.Itoa(n+1)
		}
		e := &expansion{
			s: s, plan: plan, id: id, fault: index, lot: lot + "/" + strconv.Itoa(n),
			at: f.At.std() + time.Duration(n)*every,
		}
		kind.expand(e)
		performed = append(performed, e)
	}
	return performed
}

// oneOrMore joins a field and its plural, of which exactly one is given.
func oneOrMore(one string, more []string) []string {
	if one == "" {
		return more
	}
	return append([]string{one}, more...)
}
