package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// naive works out a run attempt by attempt from what the record says of pods and their keys.
type naive struct {
	plan  scenarios.Plan
	got   rows
	pod   string
	ring  record.Generation
	up    bool
	under []string // of each record, its key
	ends  map[string]int64
}

// judge returns what became of every attempt, by kind, outcome and key.
func (n *naive) judge() map[string]int64 {
	type step struct {
		at   time.Duration
		rank int // of steps at one instant: what changes comes before attempts
		do   func()
	}
	var steps []step
	for _, row := range n.got {
		if row.Source != n.pod {
			continue
		}
		switch row.Kind { //nolint:exhaustive // the others change nothing for the store
		case record.Reload:
			steps = append(steps, step{row.To, 1, func() { n.reload(row) }})
		case record.Down:
			steps = append(steps, step{row.From, 0, func() { n.up = false }},
				step{row.To, 0, func() { n.up = true }})
		case record.Migrate:
			steps = append(steps, step{row.To, 0, func() { n.migrate(row) }})
		}
	}
	for i, s := range n.plan.Streams {
		if s.Source != n.pod {
			continue
		}
		for k := range int(n.plan.Attempts(s, n.plan.Horizon)) {
			at := s.Phase + time.Duration(k)*s.Every
			index := (s.First + k) % len(n.under)
			steps = append(steps, step{at, 2 + i, func() { n.attempt(s.Op, index) }})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return a.rank - b.rank
	})
	for _, s := range steps {
		s.do()
	}
	for _, key := range n.under {
		n.ends["stored "+key]++
	}
	return n.ends
}

func (n *naive) reload(row record.Span) {
	switch {
	case row.Outcome == record.OK:
		n.ring = *row.Own
		if n.under[0] == "" {
			for i := range n.under {
				n.under[i] = n.ring.Leaf
			}
		}
	case !n.up || n.ring.Trust == "":
		n.ring = record.Generation{}
	}
}

func (n *naive) migrate(row record.Span) {
	from, _, _ := strings.Cut(row.Detail, " > ")
	for i, key := range n.under {
		if key == "data/"+from {
			n.under[i] = n.ring.Leaf
		}
	}
}

func (n *naive) attempt(op scenarios.Op, index int) {
	key := n.under[index]
	switch {
	case !n.up:
		n.ends[string(op)+" skipped"]++
	case op == scenarios.Writes:
		n.under[index] = n.ring.Leaf
		n.ends["write ok"]++
	case slices.Contains(strings.Split(n.ring.Trust, "+"), key):
		n.ends["read ok"]++
	default:
		n.ends["read unknown-kid "+key]++
	}
}

// told sums the pod's rows up as naive does.
func (r rows) told(pod string) map[string]int64 {
	out := map[string]int64{}
	for _, row := range r {
		if row.Source != pod {
			continue
		}
		switch row.Kind { //nolint:exhaustive // the others are of no record
		case record.Read, record.Seal:
			op := map[record.Kind]string{record.Read: "read", record.Seal: "write"}[row.Kind]
			text := op + " " + string(row.Outcome)
			if row.Other != nil {
				text += " " + row.Other.Leaf
			}
			out[text] += row.Count
		case record.Stored:
			out["stored "+row.Own.Leaf] += row.Count
		}
	}
	return out
}

// Attempts that are worked out together end as they do one by one.
func TestStoresAttemptByAttempt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string, options ...string) string {
			return rapid.SampledFrom(options).Draw(rt, name)
		}
		v := vault{
			promote: draw("promote", "0s", "1m", "5m"), retire: draw("retire", "0s", "1m", "5m"),
			spec:    draw("spec", "", "migration: {}", "every: 9m", "every: 9m, migration: {}"),
			records: rapid.IntRange(1, 400).Draw(rt, "records"),
			store:   draw("store", "", "keyringTTL: 20s", "readOnce: true"),
			reads:   draw("reads", "3/s", "7/s", "1/m"),
			writes:  draw("writes", "1/s", "7/s", "2/m"),
			seed:    rapid.Uint64().Draw(rt, "seed"), horizon: "40m",
			faults: []string{"at: 3m, rotateKeys: {secret: data}"},
		}
		for range rapid.IntRange(0, 3).Draw(rt, "restarts") {
			at := rapid.IntRange(1, 2300).Draw(rt, "at")
			v.faults = append(v.faults, fmt.Sprintf(
				"at: %ds, restart: {workload: vault, pods: 1, mode: container, downtime: %ds}",
				at, rapid.IntRange(1, 200).Draw(rt, "downtime")))
		}
		plan := v.plan(t)
		if rapid.Bool().Draw(rt, "together") { // attempts at the same records at the same time
			for i := range plan.Streams {
				plan.Streams[i].Phase, plan.Streams[i].First = 0, 0
			}
		}
		got := perform(t, plan)
		for _, pod := range plan.Pods {
			n := naive{
				plan: plan, got: got, pod: pod.Name, up: true,
				under: make([]string, v.records), ends: map[string]int64{},
			}
			if want, told := n.judge(), got.told(pod.Name); !assert.ObjectsAreEqual(want, told) {
				rt.Fatalf("%s: want %v, got %v of %+v", pod.Name, want, told, v)
			}
		}
	})
}
