package kube

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

const via = "10.0.0.7:40001"

// The words of both ends make one row, whichever comes first. The end that rejected tells why.
func TestJoin(t *testing.T) {
	t.Parallel()
	at := 10 * time.Second
	decided := func(row peer.Row) peer.Row {
		row.Decided = true
		return row
	}
	alerted := func(row peer.Row) peer.Row {
		row.Alerted = true
		return row
	}
	type verdict struct {
		outcome record.Outcome
		side    record.Side
		own     string
		other   string
	}
	tests := []struct {
		name           string
		client, server peer.Row
		want           verdict
	}{
		{
			"the server rejected",
			alerted(failed(at, record.BadCertificate, via)),
			decided(answered(at, record.Expired, via)),
			verdict{record.Expired, record.Server, "leaf/1", "leaf/2"},
		},
		{
			"the client rejected",
			decided(failed(at, record.UnknownAuthority, via)),
			alerted(answered(at, record.BadCertificate, via)),
			verdict{record.UnknownAuthority, record.Client, "leaf/1", "leaf/2"},
		},
		{
			"neither knows", failed(at, record.Other, via), answered(at, record.Timeout, via),
			verdict{record.Timeout, "", "leaf/1", "leaf/2"},
		},
	}
	for _, tt := range tests {
		for _, clientFirst := range []bool{true, false} {
			r := newRig(t)
			second := mint(t, r.root, "a.example", false)
			r.write(5*time.Second, stored(t, leafSecret, second, r.root))
			client, server := tt.client, tt.server
			client.Span.Own = words(r.leaf, r.root)
			server.Span.Own = words(second, r.root)
			if clientFirst {
				r.tell("a-0", client)
				assert.Empty(t, r.sofar().of(record.Handshake), "it waits")
				r.tell("a-1", server)
			} else {
				r.tell("a-1", server)
				assert.Empty(t, r.sofar().of(record.Handshake), "it is nobody's yet")
				r.tell("a-0", client)
			}
			got := r.sofar().of(record.Handshake)
			require.Len(t, got, 1, tt.name)
			row := got[0]
			assert.Equal(t, tt.want,
				verdict{row.Outcome, row.Side, row.Own.Leaf, row.Other.Leaf}, tt.name)
			assert.Equal(t, record.Span{
				Kind: record.Handshake, From: at, To: at, Source: "a-0", Peer: "a-1", Count: 1,
				Outcome: row.Outcome, Side: row.Side, Own: row.Own, Other: row.Other,
			}, row, tt.name)
			assert.Empty(t, r.failing)
			assert.Empty(t, r.servers)
		}
	}
}

// Without the server's word the client's stands, with what the server is known to have held: as
// soon as it is clear that none comes, and not before.
func TestJoinWithoutServer(t *testing.T) {
	t.Parallel()
	at := 10 * time.Second
	r := newRig(t)
	r.tell("a-1", reloads("a-1", 0, 0, words(r.leaf, r.root)))
	row := failed(at, record.BadCertificate, via)
	row.Alerted = true
	r.tell("a-0", row)
	r.sweep(base.Add(at+wordWait), everyLog, false)
	assert.Empty(t, r.sofar().of(record.Handshake))
	r.sweep(base.Add(at+time.Minute), noLog, false)
	assert.Empty(t, r.sofar().of(record.Handshake), "it may have a word that nobody can read")
	r.sweep(base.Add(at+wordWait+1), everyLog, false)
	got := r.sofar().of(record.Handshake)
	require.Len(t, got, 1)
	assert.Equal(t, record.BadCertificate, got[0].Outcome)
	assert.Equal(t, record.Server, got[0].Side)
	assert.Equal(t, &record.Generation{}, got[0].Own, "a-0 never loaded anything")
	assert.Equal(t, "leaf/1", got[0].Other.Leaf)

	r.tell("a-0", failed(at, record.Other, via))
	r.sweep(base.Add(at), noLog, true)
	assert.Len(t, r.sofar().of(record.Handshake), 2, "in the end everything is told")
}

// Nobody has a word on a connection that there was not.
func TestJoinUnreachable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.tell("a-1", reloads("a-1", 0, 0, words(r.leaf, r.root)))
	row := failed(time.Second, record.Unreachable, "")
	row.Span.Own = words(r.leaf, r.root)
	r.tell("a-0", row)
	got := r.sofar().of(record.Handshake)
	require.Len(t, got, 1)
	assert.Equal(t, record.Client, got[0].Side)
	assert.Equal(t, "leaf/1", got[0].Own.Leaf)
	assert.Nil(t, got[0].Other, "nothing listened")
}

// A word that is nobody's is forgotten, or the next connection from that port would get it.
func TestServersWordsAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.tell("a-1", answered(time.Second, record.Expired, via))
	r.sweep(base.Add(time.Second+wordKept), everyLog, false)
	assert.Len(t, r.servers, 1)
	r.sweep(base.Add(time.Second+wordKept+1), everyLog, false)
	assert.Empty(t, r.servers)
}

func TestAssociations(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	associate := func(at time.Duration) {
		r.tell("a-0", peer.Row{Role: record.Client, Span: record.Span{
			Kind: record.Associate, From: at, To: at, Source: "a-0", Peer: "a-1",
			Outcome: record.OK, Count: 1,
		}})
	}
	drop := peer.Row{Span: record.Span{
		Kind: record.Drop, From: 3, To: 3, Source: "a-0", Peer: "a-1", Detail: "a-1 ended",
	}}
	associate(0)
	r.tell("a-0", drop)
	r.tell("a-0", drop)
	assert.Len(t, r.sofar().of(record.Drop), 1, "it ended once")
	associate(5)
	r.restarting("a-0", scenarios.Action{ID: "x", Mode: "kill"})
	r.killed("a-0", base.Add(7))
	drops := r.sofar().of(record.Drop)
	require.Len(t, drops, 2, "a killed process cannot say it")
	assert.Equal(t, "a-0 ended", drops[1].Detail)
	assert.Equal(t, time.Duration(7), drops[1].To)
	assert.Zero(t, r.lanes["a-0"].recorded, "no canary dial among them")
}

// Rows name generations by Secrets, which may be seen before the row or after it.
func TestRowsWaitForNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := mint(t, r.root, "a.example", false)
	r.tell("a-1", reloads("a-1", 9*time.Second, 10*time.Second, words(second, r.root)))
	r.sweep(base.Add(10*time.Second+nameWait), everyLog, false)
	assert.Empty(t, r.sofar().of(record.Reload), "the Secret may still be seen")
	r.write(9500*time.Millisecond, stored(t, leafSecret, second, r.root))
	r.sweep(base.Add(11*time.Second), everyLog, false)
	got := r.sofar().of(record.Reload)
	require.Len(t, got, 1)
	assert.Equal(t,
		&record.Generation{Leaf: "leaf/2", Trust: "root/1", Chain: "root/1"}, got[0].Own)
	assert.Equal(t, 9*time.Second, got[0].From)

	stranger := mint(t, r.root, "a.example", false)
	r.tell("a-1", reloads("a-1", 19*time.Second, 20*time.Second, words(stranger, r.root)))
	r.sweep(base.Add(20*time.Second+nameWait+1), everyLog, false)
	got = r.sofar().of(record.Reload)
	require.Len(t, got, 2)
	assert.Equal(t, &record.Generation{
		Leaf: "unknown:" + stranger.print(), Trust: "root/1",
	}, got[1].Own)
	assert.Equal(t, 20*time.Second, got[1].From, "who knows when it was written")
}
