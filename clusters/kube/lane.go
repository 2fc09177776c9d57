package kube

import (
	"fmt"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/peer"
)

// lane is what the ledger knows of one planned pod, over all the processes that it has had.
type lane struct {
	plan    *scenarios.Plan
	pod     scenarios.Pod
	secret  *secret
	first   bool // it trusts the first CA of a file alone
	keeps   bool // its last good credential when a read fails
	streams []scenarios.Stream
	tokens  *scenarios.TokenGroup // nil of peers

	attempts record.Kind // that the streams are of

	boots     map[string]uint64 // by process: the Seq of its last row
	boot      string            // the current process
	told      time.Duration     // the offset of its last row
	recorded  int64             // dials that have a row
	forgiven  int64             // dials lost with a process that was killed on purpose
	ended     bool              // every dial before the horizon has a row
	down      bool
	since     time.Duration // of being down
	why       string
	killed    bool     // it is down because it was killed, and lost what it had not written
	cut       bool     // it was killed with its node
	ordered   string   // the action that its next end is the work of
	reason    string   // of that end
	restart   string   // the action that its next start proves
	used      *content // the content in use, for telling news from a restart
	good      bool     // its process has read a good credential
	holdings  []holding
	connected map[string]bool // associations that it is the source of, by peer
}

// newLane returns the lane of a pod, of one of the groups of peers or of a group of tokens.
func (l *ledger) newLane(pod scenarios.Pod, groups map[string]scenarios.PeerGroup) *lane {
	added := &lane{
		plan: &l.plan, pod: pod, attempts: record.Handshake,
		boots: map[string]uint64{}, connected: map[string]bool{},
	}
	if tokens := l.plan.TokensOf(pod.Workload); tokens != nil {
		added.attempts, added.tokens, added.keeps = record.Request, tokens, true
		added.secret = l.secrets[keysOf(&l.plan, tokens)]
	} else {
		group := groups[pod.Workload]
		added.secret, added.keeps = l.secrets[group.Secret], group.KeepLastGood
		added.first = credential.Trust(group.Trust) != credential.Bundle
	}
	for _, s := range l.plan.Streams {
		if s.Source == pod.Name && len(l.plan.Targets(s)) > 0 {
			added.streams = append(added.streams, s)
		}
	}
	return added
}

// holding is what a pod's process held from an offset on.
type holding struct {
	at time.Duration
	g  *record.Generation
}

// held returns what the pod's process held at the offset, nil before it loaded anything.
func (l *lane) held(at time.Duration) *record.Generation {
	var g *record.Generation
	for _, h := range l.holdings {
		if h.at > at {
			break
		}
		g = h.g
	}
	if g == nil && len(l.holdings) > 0 {
		return l.holdings[0].g
	}
	return g
}

// due returns how many dials are due before the offset.
func (l *lane) due(at time.Duration) int64 {
	var n int64
	for _, s := range l.streams {
		n += l.plan.Attempts(s, at)
	}
	return n
}

// goDown notes that the pod's process ended.
func (l *lane) goDown(at time.Duration, why string) {
	if l.down {
		return
	}
	l.down, l.since, l.why = true, at, why
	l.restart, l.ordered, l.reason = l.ordered, "", ""
}

// fresh notes the process and the number of a row. It reports whether the row is new, and how many
// before it are missing. A row of a process before the current one comes too late: that what it
// tells is missing was told when the next process spoke.
func (l *lane) fresh(row *peer.Row) (isNew bool, missing uint64) {
	last, known := l.boots[row.Boot]
	if known && (row.Seq <= last || row.Boot != l.boot) {
		return false, 0
	}
	l.boots[row.Boot] = row.Seq
	return true, row.Seq - last - 1
}

// skipped returns the rows of the dials that fell due while the pod was down, up to the index due
// of each stream.
func (l *lane) skipped(due []int64) []record.Span {
	var rows []record.Span
	for i, s := range l.streams {
		first := l.plan.Attempts(s, l.since)
		if i >= len(due) || due[i] <= first {
			continue
		}
		n := due[i] - first
		rows = append(rows, record.Span{
			Kind: l.attempts, Outcome: record.Skipped, Source: l.pod.Name, Count: n,
			From: s.Phase + time.Duration(first)*s.Every,
			To:   s.Phase + time.Duration(due[i]-1)*s.Every, Detail: l.why,
		})
		l.recorded += n
	}
	return rows
}

// missing returns a Lost row if dials due before the offset have no row although they should.
func (l *lane) missing(until time.Duration, why string) []record.Span {
	gap := l.due(until) - l.recorded - l.forgiven
	if gap <= 0 {
		return nil
	}
	l.forgiven += gap
	return []record.Span{{
		Kind: record.Lost, From: min(l.told, until), To: until, Source: l.pod.Name,
		Detail: fmt.Sprintf("%d %s of %s: %s", gap, l.wording(), l.pod.Name, why),
	}}
}

// wording says what attempts are, for people.
func (l *lane) wording() string {
	if l.attempts == record.Request {
		return "calls"
	}
	return "dials"
}

// fetches reports whether the pod has keys from a JWKS.
func (l *lane) fetches() bool { return l.tokens != nil && l.tokens.JWKS != nil }

// keysOf returns the Secret, namespace/name, that has the keys of a group: its own, or that of
// those whose JWKS it fetches.
func keysOf(plan *scenarios.Plan, group *scenarios.TokenGroup) string {
	if group.JWKS == nil {
		return group.Secret
	}
	if from := plan.TokensOf(group.JWKS.From); from != nil {
		return from.Secret
	}
	return ""
}

// unwrittenMax is how long before its end a dial can have been due of which a process had not
// written how it ended.
const unwrittenMax = attemptDeadline + peer.FlushEvery

// untold returns the row of the dials of which a process that was killed with its node had not
// written how they ended: they count as skipped.
func (l *lane) untold() []record.Span {
	due := l.due(l.since)
	gap := min(due-l.recorded-l.forgiven, due-l.due(max(l.since-unwrittenMax, 0)))
	if gap <= 0 {
		return nil
	}
	l.recorded += gap
	return []record.Span{{
		Kind: l.attempts, Outcome: record.Skipped, Source: l.pod.Name, Count: gap,
		From: min(l.told, l.since), To: l.since, Detail: l.why + " before it told of them",
	}}
}

// unwritten accounts for what a process had not written when it was killed.
func (l *lane) unwritten() []record.Span {
	if l.cut {
		return l.untold()
	}
	l.forgiveKilled()
	return nil
}

// forgiveKilled leaves out what a process lost that was killed on purpose: its attempts count as
// scheduled and stay unaccounted for.
func (l *lane) forgiveKilled() {
	if l.killed {
		l.forgiven += max(l.due(l.since)-l.recorded-l.forgiven, 0)
	}
}
