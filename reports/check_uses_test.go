package reports

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// A pod that never moves under writes that follow each other fast is late for each of them.
func TestPropagationJudgesEveryWriteOfAFastRotation(t *testing.T) {
	s := newScene()
	for i := range 10 {
		at := 3*time.Minute + time.Duration(i)*20*time.Second
		leaf := gen(fmt.Sprintf("s/%d", i+3), "root/1")
		s.write(at, leaf)
		s.use("p-0", at, at+10*time.Second, leaf)
	}
	status, reason := checkPropagation(s.analyse(t, false))
	assert.Equal(t, Fail, status, reason)
	assert.Contains(t, reason, "p-1")
}

// A container that comes up again on its old volume reads what it had before.
func TestPodThatComesUpOnItsOldVolumeIsStale(t *testing.T) {
	s := newScene()
	both := &record.Generation{Leaf: "s/2", Trust: "root/1+root/2", Chain: "root/1"}
	alone := &record.Generation{Leaf: "s/2", Trust: "root/1", Chain: "root/1"}
	for i, row := range s.rows { // the generation at 2m trusts both CAs
		if row.Own != nil && row.Own.Leaf == "s/2" {
			s.rows[i].Own = both
		}
	}
	s.write(4*time.Minute, alone)
	s.use("p-0", 4*time.Minute, 4*time.Minute+10*time.Second, alone)
	s.down("p-1", 4*time.Minute+5*time.Second, 5*time.Minute)
	s.use("p-1", 5*time.Minute, 5*time.Minute, both) // no extent: it had this before
	a := s.analyse(t, false)
	status, reason := checkStaleTrust(a)
	assert.Equal(t, Fail, status, reason)
	assert.Contains(t, reason, "p-1")
	status, reason = checkPropagation(a)
	assert.Equal(t, Fail, status, reason)
	assert.Contains(t, reason, "p-1")
}

// A process that starts reads its files in no time, but not in none: what it had before it went
// down is not what it comes up with.
func TestPodThatReadsAsItComesUp(t *testing.T) {
	for read, want := range map[time.Duration]Status{
		2 * time.Millisecond: Pass, 2 * time.Second: Fail,
	} {
		s := newScene()
		fresh := gen("s/3", "root/1")
		s.write(4*time.Minute, fresh)
		s.use("p-0", 4*time.Minute, 4*time.Minute+10*time.Second, fresh)
		s.down("p-1", 4*time.Minute+5*time.Second, 5*time.Minute)
		s.use("p-1", 4*time.Minute, 5*time.Minute+read, fresh)
		status, reason := checkPropagation(s.analyse(t, false))
		assert.Equal(t, want, status, "%s: %s", read, reason)
	}
}

// A node's pods are out of reach from when it was told to stop, and, where there is a real network,
// for as long as their old addresses are remembered.
func TestPodsOfStoppedNodeAreOutOfReach(t *testing.T) {
	s := newScene()
	const stop = "stopNode[1]/stop-n"
	s.plan.Actions = append(s.plan.Actions, scenarios.Action{
		ID: stop, At: 3 * time.Minute, Verb: scenarios.StopNode, Node: "n",
	})
	s.add(record.Span{
		Kind: record.Down, Source: "p-1", Action: stop,
		From: 3*time.Minute + 3*time.Second, To: 4 * time.Minute,
	})
	header := headerOf(s.plan)
	for basis, after := range map[record.Basis]time.Duration{
		record.Measured: addressKept, record.Modelled: 0,
	} {
		header.Basis = basis
		a := s.analyseAs(t, header, false)
		margin := a.underWay()
		for at, alive := range map[time.Duration]bool{
			3*time.Minute - margin - 1:         true,
			3 * time.Minute:                    false,
			4*time.Minute + after + margin:     false,
			4*time.Minute + after + margin + 1: true,
		} {
			assert.Equal(t, alive, a.aliveIn(stretch{at, at}, 1, 1), "%s at %s", basis, at)
		}
	}
}
