package reports

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

func (s *scene) down(pod string, from, to time.Duration) {
	s.add(record.Span{Kind: record.Down, Source: pod, From: from, To: to})
	s.add(record.Span{Kind: record.Up, Source: pod, From: to, To: to})
}

func (s *scene) proveOf(action, subject string, at time.Duration) {
	s.add(record.Span{Kind: record.Proof, From: at, To: at, Source: subject, Action: action})
}

// replace makes every attempt of the source one of the outcome.
func (s *scene) replace(source, peer string, outcome record.Outcome) {
	for i := range s.rows {
		if row := &s.rows[i]; row.Kind == record.Handshake && row.Source == source {
			row.Outcome, row.Peer = outcome, peer
		}
	}
}

// A measured attempt takes time: what is under way as a pod goes down is cut off by that, and who
// comes up is not found at once.
func TestConnectionsUnderWay(t *testing.T) {
	const at = 3 * time.Minute
	for _, row := range []struct {
		name     string
		basis    record.Basis
		from, to time.Duration // when p-1 is down, from the failure on
		status   Status
	}{
		{"cut off", record.Measured, time.Second, time.Minute, Pass},
		{"long before", record.Measured, 1100 * time.Millisecond, time.Minute, Inconclusive},
		{"modelled before", record.Modelled, time.Second, time.Minute, Inconclusive},
		{"just up", record.Measured, -time.Minute, -time.Second, Pass},
		{"long up", record.Measured, -time.Minute, -1100 * time.Millisecond, Inconclusive},
		{"modelled after", record.Modelled, -time.Minute, -time.Second, Inconclusive},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene()
			s.fail("p-0", "p-1", at, 1, record.Other, nil, nil)
			s.down("p-1", at+row.from, at+row.to)
			header := headerOf(s.plan)
			header.Basis = row.basis
			status, reason := checkNewConnections(s.analyseAs(t, header, false))
			assert.Equal(t, row.status, status, reason)
		})
	}
}

// A pod that goes down by itself is no fault of the plan's, where pods are real.
func TestUnplannedDown(t *testing.T) {
	for _, row := range []struct {
		name   string
		basis  record.Basis
		action string
		downs  int
		status Status
		reason string
	}{
		{
			"by itself", record.Measured, "", 1, Inconclusive,
			"p-1 went down at 3m, which no fault did",
		},
		{
			"three times", record.Measured, "", 3, Inconclusive,
			"p-1 went down at 3m, which no fault did, and 2 times more",
		},
		{"by a fault", record.Measured, "restart[0]/restart", 1, Pass, ""},
		{"modelled", record.Modelled, "", 1, Pass, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene()
			for i := range row.downs {
				at := time.Duration(3+i) * time.Minute
				s.add(record.Span{
					Kind: record.Down, Source: "p-1", From: at, To: at, Action: row.action,
				})
			}
			header := headerOf(s.plan)
			header.Basis = row.basis
			status, reason := checkProof(s.analyseAs(t, header, false))
			assert.Equal(t, row.status, status, reason)
			if row.reason != "" {
				assert.Equal(t, row.reason, reason)
			}
		})
	}
}

// Connections that never reached TLS are no evidence, and between pods that are up they are told.
func TestConnectionsWithoutTLS(t *testing.T) {
	s := newScene()
	s.replace("p-0", "p-1", record.Timeout)
	s.replace("p-1", "p-0", record.Timeout)
	a := s.analyse(t, false)
	status, reason := checkNewConnections(a)
	assert.Equal(t, Inconclusive, status)
	assert.Equal(t, "1,200 of 1,200 new connections failed between pods that were up, for no "+
		"credential reason (1,200 timeout); the first was p-0 -> p-1 at 0s (timeout)", reason)
	for _, check := range []func(*Analysis) (Status, string){checkTrustGap, checkRecovery} {
		status, reason = check(a)
		assert.Equal(t, Inconclusive, status)
		assert.Equal(t, "of 958 new connections made after 2m only 0 reached TLS, fewer than the "+
			"30 needed (2 ordered pairs)", reason)
	}
}

func TestConnectionsThatWereNotReached(t *testing.T) {
	const at = 3 * time.Minute
	for _, row := range []struct {
		name     string
		from, to time.Duration // when p-1 is down
		outcome  record.Outcome
		status   Status
	}{
		{"unreachable while down", at, at + 4*time.Second, record.Unreachable, Pass},
		{"timeout while down", at - time.Second, at + time.Minute, record.Timeout, Pass},
		{
			"unreachable before", at + time.Second, at + time.Minute,
			record.Unreachable, Inconclusive,
		},
		{"unreachable after", at, at + 3*time.Second, record.Unreachable, Inconclusive},
		{"other at another time", time.Minute, 2 * time.Minute, record.Other, Inconclusive},
		{"the run ended", time.Minute, 2 * time.Minute, record.Canceled, Pass},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene()
			s.fail("p-0", "p-1", at, 5, row.outcome, nil, nil)
			s.down("p-1", row.from, row.to)
			status, reason := checkNewConnections(s.analyse(t, false))
			assert.Equal(t, row.status, status, reason)
			if status == Inconclusive {
				assert.Contains(t, reason,
					"(5 "+string(row.outcome)+"); the first was p-0 -> p-1 at 3m")
			}
		})
	}
}

// A span of failures over two downs is explained only if no attempt lies between them.
func TestAliveInBetween(t *testing.T) {
	s := newScene()
	s.down("p-1", 100*time.Second, 110*time.Second)
	s.down("p-1", 115*time.Second, 130*time.Second)
	a := s.analyse(t, false)
	whole := stretch{100 * time.Second, 130 * time.Second}
	assert.False(t, a.aliveIn(whole, 4, 0, 1))
	assert.True(t, a.aliveIn(whole, 31, 0, 1))
	assert.True(t, a.aliveIn(whole, 4, 0))
	assert.True(t, a.aliveIn(whole, 4, -1))
}

// A busy workload is no evidence for one beside it that was never tried.
func TestEvidenceOfEachWorkload(t *testing.T) {
	quiet := func(from time.Duration) *scene {
		s := newScene()
		s.plan.Pods = append(s.plan.Pods, scenarios.Pod{Name: "q-0", Workload: "q", Node: "n"})
		s.plan.Peers = append(s.plan.Peers, scenarios.PeerGroup{
			Consumer: scenarios.Consumer{Workload: "q", Secret: "default/s"},
		})
		s.plan.Streams = append(s.plan.Streams,
			scenarios.Stream{Source: "q-0", To: []string{"p"}, Every: time.Second})
		s.add(record.Span{
			Kind: record.Handshake, To: from - time.Second, Source: "q-0", Outcome: record.OK,
			Count: int64(from / time.Second),
		})
		s.add(record.Span{
			Kind: record.Handshake, From: from, To: s.plan.Horizon - time.Second, Source: "q-0",
			Outcome: record.Skipped, Count: int64((s.plan.Horizon - from) / time.Second),
		})
		return s
	}
	a := quiet(2*time.Minute).analyse(t, false)
	for _, check := range []func(*Analysis) (Status, string){
		checkNewConnections, checkTrustGap, checkRecovery,
	} {
		status, reason := check(a)
		assert.Equal(t, Inconclusive, status)
		assert.Equal(t, "only 0 new connections made by workload q after 2m, fewer than the 30 "+
			"needed (2 ordered pairs)", reason)
	}
	s := quiet(5 * time.Minute)
	s.plan.Expect.Settle = &scenarios.Settle{Within: scenarios.Duration(4 * time.Minute)}
	status, reason := checkRecovery(s.analyse(t, false))
	assert.Equal(t, Inconclusive, status)
	assert.Equal(t, "only 0 new connections made by workload q after 6m, when recovery was due; "+
		"30 are needed", reason)
	status, reason = checkRecovery(quiet(s.plan.Horizon).analyse(t, false))
	assert.Equal(t, Pass, status, reason)
}

// An action on several pods or Secrets is proved by a proof of each.
func TestProofOfEachSubject(t *testing.T) {
	const id, at = "restart[0]/restart", 2 * time.Minute
	proved := func(verb scenarios.Verb, subjects ...string) *scene {
		s := newScene()
		s.plan.Actions = []scenarios.Action{{
			ID: id, At: at, Verb: verb, Pods: []string{"p-0", "p-1"},
			Secrets: []string{"default/s", "default/r"},
		}}
		for i, subject := range subjects {
			s.proveOf(id, subject, at+time.Duration(i+1)*time.Second)
		}
		return s
	}
	for _, row := range []struct {
		name   string
		scene  *scene
		status Status
		reason string
	}{
		{
			"each pod", proved(scenarios.RestartPods, "p-1", "p-0", "p-1"), Pass,
			"1 action planned, each seen to take effect within 2s of being due",
		},
		{
			"one pod of two", proved(scenarios.SetClock, "p-1", "p-1"), Inconclusive,
			"of 1 action, 1 never seen to take effect; the first is restart[0]/restart, due at " +
				"2m; it was not seen for p-0",
		},
		{
			"one Secret of two", proved(scenarios.TrimBundle, "default/s"), Inconclusive,
			"of 1 action, 1 never seen to take effect; the first is restart[0]/restart, due at " +
				"2m; it was not seen for default/r",
		},
		{
			"neither Secret", proved(scenarios.RestorePair, "p-0", "p-1"), Inconclusive,
			"of 1 action, 1 never seen to take effect; the first is restart[0]/restart, due at 2m",
		},
		{
			"a reissue", proved(scenarios.Reissue, "default/r"), Pass,
			"1 action planned, each seen to take effect within 1s of being due",
		},
		{
			"an issuer", proved(scenarios.StopIssuer, "cert-manager"), Pass,
			"1 action planned, each seen to take effect within 1s of being due",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			rows := row.scene
			rows.without(func(r record.Span) bool {
				return r.Kind == record.Proof && r.Action != id
			})
			status, reason := checkProof(rows.analyse(t, false))
			assert.Equal(t, row.status, status)
			assert.Equal(t, row.reason, reason)
		})
	}
}

// An association ends with one of its pods only.
func TestAssociationsThatEnd(t *testing.T) {
	const at = 3 * time.Minute
	for _, row := range []struct {
		name   string
		pod    string
		from   time.Duration
		cut    bool
		status Status
	}{
		{"with its peer", "p-1", at, false, Pass},
		{"with its source", "p-0", at, false, Pass},
		{"with another pod", "x-0", at, false, Fail},
		{"before its peer", "p-1", at + time.Second, false, Fail},
		{"in a record without its end", "p-1", at + time.Second, true, Pass},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene()
			s.plan.Peers[0].Associations = "ring"
			s.associate(0, 1, record.OK)
			s.drop(at)
			s.down(row.pod, row.from, row.from+5*time.Second)
			s.associate(at+10*time.Second, 1, record.OK)
			status, reason := checkAssociations(s.analyse(t, row.cut))
			assert.Equal(t, row.status, status, reason)
			if status == Fail {
				assert.Equal(t, "of 1 association that ended, 1 did although both pods were up; "+
					"the first was p-0 -> p-1 at 3m", reason)
			}
		})
	}
}

func TestAssociationsThatNeverStood(t *testing.T) {
	s := newScene()
	s.plan.Pods = append(s.plan.Pods, scenarios.Pod{Name: "p-2", Workload: "p", Node: "n"})
	s.plan.Peers[0].Associations = "mesh"
	s.associate(0, 1, record.OK)
	status, reason := checkAssociations(s.analyse(t, false))
	assert.Equal(t, Inconclusive, status)
	assert.Equal(t, "of 3 associations planned, 2 never stood; the first is p-0 -> p-2", reason)
}

func TestAssociationsOf(t *testing.T) {
	pairs := func(shape string, pods ...int) [][2]int {
		var all [][2]int
		for pair := range associationsOf(shape, pods) {
			all = append(all, pair)
		}
		return all
	}
	assert.Equal(t, [][2]int{{4, 5}, {5, 6}, {6, 4}}, pairs("ring", 4, 5, 6))
	assert.Equal(t, [][2]int{{4, 5}}, pairs("ring", 4, 5))
	assert.Equal(t, [][2]int{{4, 5}, {4, 6}, {5, 6}}, pairs("mesh", 4, 5, 6))
	assert.Empty(t, pairs("ring", 4))
	assert.Empty(t, pairs("none", 4, 5))
}
