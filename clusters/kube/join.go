package kube

import (
	"maps"
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/handshake"
	"github.com/certquake/certquake/workloads/peer"
)

const (
	// wordWait is how long a failure waits for the server's word on it, while words arrive.
	wordWait = 3 * time.Second
	// nameWait is how long a row waits for the Secret with its certificates to be seen.
	nameWait = 5 * time.Second
	// wordKept is how long a server's word waits for the client's. A client tells at its deadline
	// at the latest.
	wordKept = 2 * time.Minute
)

// attempt records an attempt, or one end's word on it.
func (l *ledger) attempt(lane *lane, row peer.Row, at time.Time) {
	if row.Role == record.Server {
		l.hearServer(row, at)
		return
	}
	span := row.Span
	switch {
	case !span.Outcome.Failed():
		if span.Kind == record.Associate {
			lane.connected[span.Peer] = true
		}
		l.rows.put(span)
	case row.Via == "":
		l.resolve(waiting{lane, row, at}, nil)
	default:
		if word, ok := l.servers[row.Via]; ok {
			delete(l.servers, row.Via)
			l.resolve(waiting{lane, row, at}, &word.row)
			return
		}
		l.failing[row.Via] = &waiting{lane, row, at}
	}
}

// hearServer takes a server's word on a failed connection.
func (l *ledger) hearServer(row peer.Row, at time.Time) {
	if client := l.failing[row.Via]; client != nil {
		delete(l.failing, row.Via)
		l.resolve(*client, &row)
		return
	}
	l.servers[row.Via] = told{row, at}
}

// resolve records a failure from the words of both ends, nil for a server that left none.
func (l *ledger) resolve(client waiting, server *peer.Row) {
	span := client.row.Span
	var far handshake.Ending
	if server != nil {
		far = handshake.Ending{
			Outcome: server.Span.Outcome, Decided: server.Decided, Alerted: server.Alerted,
		}
		span.Other = server.Span.Own
	}
	near := handshake.Ending{
		Outcome: span.Outcome, Decided: client.row.Decided, Alerted: client.row.Alerted,
	}
	span.Outcome, span.Side = handshake.JoinEndings(near, far)
	if span.Outcome == record.Unreachable {
		span.Side = record.Client
	}
	if span.Own == nil {
		span.Own = client.lane.held(span.From)
	}
	if target := l.lanes[span.Peer]; span.Other == nil && target != nil &&
		span.Outcome != record.Unreachable {
		span.Other = target.held(span.From)
	}
	if span.Outcome.Credential() { // an end that never loaded anything held nothing
		span.Own, span.Other = orNothing(span.Own), orNothing(span.Other)
	}
	l.rows.put(span)
}

// request records calls. Their source tells all of them, but for the keys of a verifier that did
// not answer, which are those that it told of last.
func (l *ledger) request(span record.Span) {
	if !span.Outcome.Failed() {
		l.rows.put(span)
		return
	}
	if target := l.lanes[span.Peer]; span.Other == nil && target != nil &&
		span.Outcome != record.Unreachable {
		span.Other = target.held(span.From)
	}
	if span.Outcome.Credential() {
		span.Own, span.Other = orNothing(span.Own), orNothing(span.Other)
	}
	l.rows.put(span)
}

func orNothing(g *record.Generation) *record.Generation {
	if g == nil {
		return &record.Generation{}
	}
	return g
}

// sweep records what has waited long enough: rows without names, and failures on which the server's
// log, if it can be read, has nothing to say. With final it records everything.
func (l *ledger) sweep(now time.Time, readable func(pod string) bool, final bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	nameless := l.nameless
	l.nameless = nil
	for _, w := range nameless {
		if final || l.names.has(w.row.Span.Own) || now.Sub(w.since) > nameWait {
			l.settle(w.lane, w.row, w.since)
		} else {
			l.nameless = append(l.nameless, w)
		}
	}
	for _, via := range slices.Sorted(maps.Keys(l.failing)) {
		w := l.failing[via]
		if final || now.Sub(w.since) > wordWait && readable(w.row.Span.Peer) {
			delete(l.failing, via)
			l.resolve(*w, nil)
		}
	}
	for via, word := range l.servers {
		if now.Sub(word.at) > wordKept {
			delete(l.servers, via)
		}
	}
}
