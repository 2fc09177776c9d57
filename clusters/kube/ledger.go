package kube

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

// ledger turns what pods tell and what is seen at the API into the rows of a record: it joins both
// ends of failed connections, names generations, and accounts for what has no row. Its methods may
// be called from any goroutine; rows leave it by flush alone.
type ledger struct {
	mu       sync.Mutex
	plan     scenarios.Plan
	base     time.Time
	begun    bool
	names    *names
	secrets  map[string]*secret // by namespace/name
	lanes    map[string]*lane   // by planned pod
	order    []*lane
	rows     sequence
	nameless []waiting           // rows with certificates whose Secret was not seen yet
	failing  map[string]*waiting // clients' failures that wait for the server's word, by Via
	servers  map[string]told     // servers' words, by Via
}

// waiting is a row of a pod that waits for something.
type waiting struct {
	lane  *lane
	row   peer.Row
	since time.Time // it was taken
}

// told is the server's word on a failed connection.
type told struct {
	row peer.Row
	at  time.Time // it was taken
}

func newLedger(plan scenarios.Plan) *ledger {
	l := &ledger{
		plan: plan, names: newNames(), secrets: map[string]*secret{}, lanes: map[string]*lane{},
		failing: map[string]*waiting{}, servers: map[string]told{},
	}
	for i := range plan.World.Certificates {
		certificate := &plan.World.Certificates[i]
		name := scenarios.SecretOf(certificate)
		l.secrets[name] = &secret{name: name, owner: scenarios.NameOf(certificate)}
	}
	for i := range plan.World.RotatingSecrets {
		name := scenarios.RotatedBy(&plan.World.RotatingSecrets[i])
		l.secrets[name] = &secret{name: name}
	}
	groups := map[string]scenarios.PeerGroup{}
	for _, group := range plan.Peers {
		groups[group.Workload] = group
	}
	for _, pod := range plan.Pods {
		added := l.newLane(pod, groups)
		l.lanes[pod.Name] = added
		l.order = append(l.order, added)
	}
	return l
}

// begin sets offset 0 and records what stands then.
func (l *ledger) begin(base time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base, l.begun = base, true
	l.rows.put(record.Span{
		Kind: record.Begin, Outcome: record.OK, Detail: base.UTC().Format(time.RFC3339Nano),
	})
	for i := range l.plan.World.Certificates {
		s := l.secrets[scenarios.SecretOf(&l.plan.World.Certificates[i])]
		c := s.current()
		if c == nil {
			continue
		}
		c.at = 0
		s.history = []*content{c}
		l.rows.put(l.issue(s), s.row(c, base))
	}
	for i := range l.plan.World.RotatingSecrets {
		s := l.secrets[scenarios.RotatedBy(&l.plan.World.RotatingSecrets[i])]
		if c := s.current(); c != nil {
			c.at = 0
			s.history = []*content{c}
			l.rows.put(s.row(c, base))
		}
	}
}

// offset returns the offset of an instant; before the start it is 0.
func (l *ledger) offset(at time.Time) time.Duration {
	if !l.begun {
		return 0
	}
	return max(at.Sub(l.base), 0)
}

// issue returns the row of the issuance that wrote the Secret's current content.
func (l *ledger) issue(s *secret) record.Span {
	c := s.current()
	return record.Span{
		Kind: record.Issue, From: c.at, To: c.at, Source: s.owner, Outcome: record.OK, Own: c.held,
	}
}

// saw takes note of a Secret at an instant, nil when it is gone. It returns its new content, nil
// when nothing changed or the Secret is none of the plan's.
func (l *ledger) saw(name string, object *corev1.Secret, at time.Time) *content {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.secrets[name]
	if s == nil {
		return nil
	}
	now := l.offset(at)
	c := &content{at: now, deleted: true}
	if object != nil {
		if c = l.read(s, object, now); c == nil {
			return nil
		}
	}
	last := s.last()
	switch {
	case last == nil && c.deleted:
		return nil
	case c.same(last):
		last.object = c.object // its resource version
		return nil
	}
	s.history = append(s.history, c)
	if l.names.renamed {
		l.names.renamed = false
		for _, other := range l.secrets {
			other.rename(l.names)
		}
	}
	if l.begun {
		if c.issued {
			l.rows.put(l.issue(s))
		}
		l.rows.put(s.row(c, l.base))
	}
	return c
}

// read reads a Secret, nil if it is still being made.
func (l *ledger) read(s *secret, object *corev1.Secret, at time.Duration) *content {
	if s.owner == "" {
		return readKeys(object, s.name, at)
	}
	return l.names.readContent(object, s.owner, at)
}

// act records that an action was accepted.
func (l *ledger) act(action scenarios.Action, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := max(l.offset(at), action.At)
	l.rows.put(record.Span{
		Kind: record.Act, From: now, To: now, Outcome: record.OK,
		Action: action.ID, Detail: action.Note,
	})
}

// skip records that an action is not performed, and why.
func (l *ledger) skip(action scenarios.Action, why string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := max(l.offset(at), action.At)
	l.rows.put(record.Span{
		Kind: record.Act, From: now, To: now, Outcome: record.Skipped,
		Action: action.ID, Detail: why,
	})
}

// unlike records in what planned nodes are not like the cluster's, which stand in for them.
func (l *ledger) unlike(nodes map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, node := range l.plan.Nodes {
		if how := nodes[node.Name]; how != "" {
			l.rows.put(record.Span{Kind: record.Unlike, Source: node.Name, Detail: how})
		}
	}
}

// placed records where the cluster put pods.
func (l *ledger) placed(whereabouts map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, pod := range l.plan.Pods {
		l.rows.put(record.Span{
			Kind: record.Placed, Source: pod.Name, Detail: whereabouts[pod.Name],
		})
	}
}

// prove records that an action was seen to take effect.
func (l *ledger) prove(action, subject, detail string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proof(action, subject, detail, l.offset(at))
}

func (l *ledger) proof(action, subject, detail string, at time.Duration) {
	if at >= l.plan.Horizon {
		return // nothing counts that was seen after the run
	}
	l.rows.put(record.Span{
		Kind: record.Proof, From: at, To: at, Outcome: record.OK,
		Source: subject, Action: action, Detail: detail,
	})
}

// lost records that rows are missing.
func (l *ledger) lost(from, to time.Duration, source, detail string) {
	to = min(max(from, to), l.plan.Horizon)
	l.rows.put(record.Span{
		Kind: record.Lost, From: min(from, to), To: to, Source: source, Detail: detail,
	})
}

// take takes a row that the named pod wrote.
func (l *ledger) take(pod string, row peer.Row, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.lanes[pod]
	if lane == nil {
		return
	}
	isNew, missing := lane.fresh(&row)
	if !isNew {
		return
	}
	if missing > 0 {
		l.lost(lane.told, row.Span.To, pod, "the pod's log has a gap")
	}
	if lane.boot != row.Boot {
		l.changeProcess(lane, &row)
	}
	lane.told = max(lane.told, row.Span.To)
	if row.Role == record.Client && row.Span.Kind == lane.attempts {
		lane.recorded += row.Span.Count
	}
	if lane.tokens == nil && !l.names.has(row.Span.Own) {
		l.nameless = append(l.nameless, waiting{lane, row, at})
		return
	}
	l.settle(lane, row, at)
}

// changeProcess notes that another process speaks. One that went without a word ended by itself, at
// the latest when it would have flushed its rows again: what it did until then is lost.
func (l *ledger) changeProcess(lane *lane, row *peer.Row) {
	if lane.boot != "" && !lane.down {
		l.ends(lane, min(lane.told+peer.FlushEvery, max(lane.told+1, row.Span.From)),
			"its process ended by itself")
	}
	lane.boot = row.Boot
}

// ends notes that a pod's process ended at an offset.
func (l *ledger) ends(lane *lane, at time.Duration, why string) {
	lane.goDown(at, why)
	for _, other := range l.order { // its own associations end with it
		if !lane.connected[other.pod.Name] {
			continue
		}
		delete(lane.connected, other.pod.Name)
		l.rows.put(record.Span{
			Kind: record.Drop, From: at, To: at, Source: lane.pod.Name, Peer: other.pod.Name,
			Detail: lane.pod.Name + " ended",
		})
	}
}

// settle records a row whose certificates have names.
func (l *ledger) settle(lane *lane, row peer.Row, at time.Time) {
	if lane.tokens == nil { // keys with ids have names
		row.Span.Own = l.names.translate(row.Span.Own)
	}
	switch span := row.Span; span.Kind { //nolint:exhaustive // workloads write no others
	case record.Handshake, record.Associate:
		l.attempt(lane, row, at)
	case record.Request:
		l.request(span)
	case record.Fetch:
		l.rows.put(span)
	case record.Reload:
		l.reload(lane, row.Span)
	case record.Project:
		l.project(lane, row.Span)
	case record.Drop:
		if lane.connected[span.Peer] {
			delete(lane.connected, span.Peer)
			l.rows.put(span)
		}
	case record.Clock:
		l.rows.put(span)
	case record.Down:
		l.ends(lane, span.From, lane.cause())
	case record.Up:
		l.up(lane, row)
	case record.End:
		lane.ended = true
	}
}

// up records that a pod's new process runs, and what it did not do meanwhile.
func (l *ledger) up(lane *lane, row peer.Row) {
	span := row.Span
	if lane.down {
		l.rows.put(lane.unwritten()...)
		l.rows.put(lane.missing(lane.since, "their rows did not arrive")...)
		l.rows.put(lane.skipped(row.Due)...)
		l.rows.put(record.Span{
			Kind: record.Down, Source: span.Source, From: lane.since, To: span.To,
			Action: lane.restart, Detail: lane.why,
		})
	}
	lane.down, lane.killed, lane.cut = false, false, false
	lane.ended, lane.why, lane.good = false, "", false
	l.rows.put(span)
	if lane.restart != "" {
		l.proof(lane.restart, span.Source, "a new process runs", span.To)
		lane.restart = ""
	}
}

// reload records content taken into use. Content that the pod used already, as after a restart, and
// a mixture of two have no extent.
func (l *ledger) reload(lane *lane, span record.Span) {
	kept := lane.keeps && lane.good && span.Outcome != record.OK
	if span.Own != nil && !kept {
		lane.holdings = append(lane.holdings, holding{span.To, span.Own})
	}
	lane.good = lane.good || span.Outcome == record.OK
	from := lane.from(span, lane.first)
	switch {
	case from == nil || from.same(lane.used):
		span.From, span.Projected = span.To, span.To
	case lane.fetches():
		span.From = min(from.at, span.To)
	default:
		span.From = min(from.at, span.Projected)
	}
	if lane.fetches() {
		span.Projected = 0 // nothing is
	}
	if span.Outcome == record.OK && from != nil {
		lane.used = from
	}
	l.rows.put(span)
}

// project records content that was never taken into use.
func (l *ledger) project(lane *lane, span record.Span) {
	if from := lane.from(span, false); from != nil {
		span.From = min(from.at, span.To)
	}
	span.Projected = 0 // To tells it
	l.rows.put(span)
}

// clockSlack is how much later than a kubelet the harness may hear of a write.
const clockSlack = time.Second

// from returns the write that the content of a row came from, nil if it is not known. With first,
// the row tells of the first CA alone.
func (l *lane) from(span record.Span, first bool) *content {
	if l.secret == nil || span.Own == nil {
		return nil
	}
	return l.secret.holding(span.Own, max(span.Projected, span.From)+clockSlack, first)
}

// cause returns why a pod that was told to end is down.
func (l *lane) cause() string {
	if l.reason != "" {
		return l.reason
	}
	return "its process was told to end"
}

// flush writes the rows that ended up to the offset.
func (l *ledger) flush(until time.Duration, sink record.Sink) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows.release(until, sink)
}

// process returns the Boot of the pod's process that spoke last.
func (l *ledger) process(pod string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lanes[pod].boot
}

// complete reports whether every pod that is up has told all of its run, and nothing that was told
// waits for anything else.
func (l *ledger) complete() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.order {
		if !lane.down && !lane.ended {
			return false
		}
	}
	return len(l.nameless)+len(l.failing) == 0
}

// close accounts for what has no row at the end of the run.
func (l *ledger) close(reached time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.order {
		if !lane.down {
			if reached >= l.plan.Horizon {
				l.rows.put(lane.missing(reached, "their rows did not arrive")...)
			}
			continue
		}
		l.rows.put(lane.unwritten()...)
		l.rows.put(lane.missing(min(lane.since, reached), "their rows did not arrive")...)
		due := make([]int64, len(lane.streams))
		for i, s := range lane.streams {
			due[i] = l.plan.Attempts(s, reached)
		}
		l.rows.put(lane.skipped(due)...)
		l.rows.put(record.Span{
			Kind: record.Down, Source: lane.pod.Name, From: min(lane.since, reached), To: reached,
			Action: lane.restart,
			Detail: lane.why,
		})
	}
}

// restarting notes that a pod is being restarted by an action. Its next end is the action's, and
// the start after that proves it.
func (l *ledger) restarting(pod string, action scenarios.Action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.lanes[pod]
	lane.ordered, lane.reason = action.ID, "restart ("+action.Mode+")"
}

// stopping notes that a node is about to be stopped by an action. Its pods' next end is the
// action's.
func (l *ledger) stopping(action scenarios.Action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.order {
		if lane.pod.Node == action.Node {
			lane.ordered, lane.reason = action.ID, "its node was stopped"
		}
	}
}

// stopped notes that a node was stopped at an instant, and that its pods' processes were killed by
// that.
func (l *ledger) stopped(node string, at time.Time) {
	for _, lane := range l.order {
		if lane.pod.Node == node {
			l.killed(lane.pod.Name, at)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.order {
		if lane.pod.Node == node { // of one that was down already, the next end is its own
			lane.ordered, lane.reason, lane.cut = "", "", lane.killed
		}
	}
}

// killed notes that a pod's process was killed at an instant: what it had not written is lost.
func (l *ledger) killed(pod string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.lanes[pod]
	lane.killed = lane.killed || !lane.down
	l.ends(lane, l.offset(at), lane.cause())
}
