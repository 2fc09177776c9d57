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

// A run begins with what stands: the instant, and each Secret as if it were just issued.
func TestLedgerBegins(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	root := &record.Generation{Leaf: "root/1", Trust: "root/1", Chain: "root/1"}
	leaf := &record.Generation{Leaf: "leaf/1", Trust: "root/1", Chain: "root/1"}
	assert.Equal(t, rows{
		{Kind: record.Begin, Outcome: record.OK, Detail: "2026-11-21T12:00:00Z"},
		{Kind: record.Issue, Outcome: record.OK, Source: "default/root", Own: root},
		{
			Kind: record.Write, Outcome: record.OK, Source: rootSecret, Own: root,
			NotBefore: -time.Hour, NotAfter: 23 * time.Hour,
		},
		{Kind: record.Issue, Outcome: record.OK, Source: "default/leaf", Own: leaf},
		{
			Kind: record.Write, Outcome: record.OK, Source: leafSecret, Own: leaf,
			NotBefore: -time.Hour, NotAfter: 23 * time.Hour,
		},
	}, *r.sofar())
}

func TestLedgerWrites(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.sofar()
	r.out = nil
	second := stored(t, leafSecret, mint(t, r.root, "a.example", false), r.root)
	assert.NotNil(t, r.write(5*time.Second, second))
	again := second.DeepCopy()
	again.ResourceVersion = "2"
	assert.Nil(t, r.write(6*time.Second, again), "labels are nobody's business")
	assert.Equal(t, "2", r.secrets[leafSecret].current().object.ResourceVersion)
	assert.NotNil(t, r.saw(leafSecret, nil, base.Add(7*time.Second)))
	assert.Nil(t, r.saw(leafSecret, nil, base.Add(8*time.Second)))
	assert.NotNil(t, r.write(9*time.Second, second), "the same content after a deletion is a write")
	assert.Nil(t, r.saw("default/other", second, base))

	type row struct {
		kind   record.Kind
		at     time.Duration
		detail string
	}
	var got []row
	for _, span := range *r.sofar() {
		got = append(got, row{span.Kind, span.To, span.Detail})
	}
	assert.Equal(t, []row{
		{record.Issue, 5 * time.Second, ""},
		{record.Write, 5 * time.Second, ""},
		{record.Write, 7 * time.Second, "deleted"},
		{record.Write, 9 * time.Second, ""}, // nothing was issued for it
	}, got)
}

// A fault that writes another leaf, or the old one back, is no issuance.
func TestLedgerFaultsAreNoIssuances(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := r.secrets[leafSecret].current().object
	chain, err := r.strangeLeaf(r.secrets[leafSecret], r.secrets[rootSecret])
	require.NoError(t, err)
	torn := old.DeepCopy()
	torn.Data[certKey] = chain
	c := r.write(10*time.Second, torn)
	assert.Equal(t, &record.Generation{
		Leaf: "leaf/1'", Trust: "root/1", Chain: "root/1", Torn: true,
	}, c.held)
	r.write(20*time.Second, old.DeepCopy())
	assert.Len(t, r.sofar().of(record.Issue), 2, "those of offset 0")
	assert.Len(t, r.out.of(record.Write), 4)
}

// Nothing counts that was seen after the run.
func TestLedgerProofs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	action := scenarios.Action{ID: "x[0]/y", At: 30 * time.Second, Note: "do"}
	r.act(action, base.Add(30*time.Second-time.Millisecond))
	r.prove(action.ID, leafSecret, "done", base.Add(31*time.Second))
	r.prove(action.ID, leafSecret, "late", base.Add(time.Minute))
	out := r.sofar()
	assert.Equal(t, []record.Span{{
		Kind: record.Act, From: 30 * time.Second, To: 30 * time.Second, Outcome: record.OK,
		Action: "x[0]/y", Detail: "do",
	}}, out.of(record.Act), "not before its time")
	assert.Equal(t, []record.Span{{
		Kind: record.Proof, From: 31 * time.Second, To: 31 * time.Second, Outcome: record.OK,
		Action: "x[0]/y", Source: leafSecret, Detail: "done",
	}}, out.of(record.Proof))
}

func TestReloadExtents(t *testing.T) {
	t.Parallel()
	const s = time.Second
	type extent struct{ from, projected, to time.Duration }
	tests := []struct {
		name  string
		trust string
		play  func(r *rig, second, root2 *pair)
		want  extent // of the last Reload row
	}{
		{"a new leaf", "bundle", func(r *rig, second, _ *pair) {
			r.write(10*s, stored(r.t, leafSecret, second, r.root))
			r.tell("a-1", reloads("a-1", 12*s, 15*s, words(second, r.root)))
		}, extent{10 * s, 12 * s, 15 * s}},
		{"a write that was seen after its projection", "bundle", func(r *rig, second, _ *pair) {
			r.write(10*s+s/2, stored(r.t, leafSecret, second, r.root))
			r.tell("a-1", reloads("a-1", 10*s, 15*s, words(second, r.root)))
		}, extent{10 * s, 10 * s, 15 * s}},
		{"the same content after a restart", "bundle", func(r *rig, second, _ *pair) {
			r.write(10*s, stored(r.t, leafSecret, second, r.root))
			r.tell("a-1", reloads("a-1", 12*s, 15*s, words(second, r.root)))
			r.tell("a-1", change(record.Down, "a-1", 20*s))
			r.boot("a-1", "a-1/2")
			r.tell("a-1", change(record.Up, "a-1", 22*s))
			r.tell("a-1", reloads("a-1", 12*s, 22*s, words(second, r.root)))
		}, extent{22 * s, 22 * s, 22 * s}},
		{"a mixture of two", "bundle", func(r *rig, second, root2 *pair) {
			r.write(10*s, stored(r.t, leafSecret, second, root2))
			r.tell("a-1", reloads("a-1", 12*s, 12*s, words(second, r.root)))
		}, extent{12 * s, 12 * s, 12 * s}},
		{"after a mixture, what it was of", "bundle", func(r *rig, second, root2 *pair) {
			r.write(10*s, stored(r.t, leafSecret, second, root2))
			r.tell("a-1", reloads("a-1", 12*s, 12*s, words(second, r.root)))
			r.tell("a-1", reloads("a-1", 12*s, 18*s, words(second, root2)))
		}, extent{10 * s, 12 * s, 18 * s}},
		{"a reader of the first CA", "first-cert", func(r *rig, second, root2 *pair) {
			r.write(10*s, stored(r.t, leafSecret, second, root2, r.root))
			r.tell("a-1", reloads("a-1", 12*s, 15*s, words(second, root2)))
		}, extent{10 * s, 12 * s, 15 * s}},
		{
			"a reader of all CAs, of which one was added since", "bundle",
			func(r *rig, second, root2 *pair) {
				r.write(10*s, stored(r.t, leafSecret, second, r.root))
				r.write(12*s, stored(r.t, leafSecret, second, r.root, root2))
				r.tell("a-1", reloads("a-1", 11*s+s/2, 15*s, words(second, r.root)))
			},
			extent{10 * s, 11*s + s/2, 15 * s},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(p *scenarios.Plan) { p.Peers[0].Trust = tt.trust })
			root2 := mint(t, nil, "root", true)
			second := mint(t, r.root, "a.example", false)
			r.write(time.Second, stored(t, rootSecret, root2, root2))
			r.tell("a-1", reloads("a-1", 0, 0, words(r.leaf, r.root)))
			tt.play(r, second, root2)
			all := r.sofar().of(record.Reload)
			last := all[len(all)-1]
			assert.Equal(t, tt.want, extent{last.From, last.Projected, last.To})
		})
	}
}

// A projection is of the whole file, whoever reads it.
func TestProjections(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *scenarios.Plan) { p.Peers[0].Trust = "first-cert" })
	root2 := mint(t, nil, "root", true)
	r.write(1*time.Second, stored(t, rootSecret, root2, root2))
	second := mint(t, r.root, "a.example", false)
	r.write(10*time.Second, stored(t, leafSecret, second, r.root))
	r.write(12*time.Second, stored(t, leafSecret, second, r.root, root2))
	row := reloads("a-1", 11*time.Second+500*time.Millisecond, 0, words(second, r.root))
	row.Span.Kind, row.Span.To = record.Project, row.Span.From
	r.tell("a-1", row)
	assert.Equal(t, []record.Span{{
		Kind: record.Project, Source: "a-1", Outcome: record.OK,
		From: 10 * time.Second, To: 11*time.Second + 500*time.Millisecond,
		Own: &record.Generation{Leaf: "leaf/2", Trust: "root/1", Chain: "root/1"},
	}}, r.sofar().of(record.Project))
}

// What failed and was not taken into use is not what a process holds.
func TestHeldAfterFailedReload(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{true, false} {
		r := newRig(t, func(p *scenarios.Plan) { p.Peers[0].KeepLastGood = keeps })
		r.tell("a-1", reloads("a-1", 0, 0, words(r.leaf, r.root)))
		torn := words(r.leaf, r.root)
		torn.Torn = true
		row := reloads("a-1", 3*time.Second, 4*time.Second, torn)
		row.Span.Outcome = record.NoCredential
		r.tell("a-1", row)
		assert.Equal(t, !keeps, r.lanes["a-1"].held(5*time.Second).Torn)
	}
}

// A process that was told to end says so, and the next one proves the restart.
func TestRestarts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.tell("a-0", peer.Row{Role: record.Client, Span: record.Span{
		Kind: record.Associate, Source: "a-0", Peer: "a-1", Outcome: record.OK, Count: 1,
	}})
	r.tell("a-0", dialled(10, 500*time.Millisecond, 9500*time.Millisecond))
	r.restarting("a-0", scenarios.Action{ID: "restart[0]/restart", Mode: "container"})
	r.tell("a-0", change(record.Down, "a-0", 10*time.Second))
	r.boot("a-0", "a-0/2")
	up := change(record.Up, "a-0", 15*time.Second+time.Millisecond)
	up.Due = []int64{15}
	r.tell("a-0", up)
	r.tell("a-0", dialled(45, 15500*time.Millisecond, 59500*time.Millisecond))
	r.tell("a-0", change(record.End, "a-0", time.Minute))
	out := r.finish(time.Minute)
	assert.Equal(t, map[record.Outcome]int64{record.OK: 55, record.Skipped: 5}, balance(out))
	assert.Equal(t, record.Span{
		Kind: record.Handshake, Source: "a-0", Outcome: record.Skipped, Count: 5,
		From: 10500 * time.Millisecond, To: 14500 * time.Millisecond, Detail: "restart (container)",
	}, out.of(record.Handshake)[1])
	assert.Equal(t, []record.Span{{
		Kind: record.Down, Source: "a-0", From: 10 * time.Second,
		To: 15*time.Second + time.Millisecond, Action: "restart[0]/restart",
		Detail: "restart (container)",
	}}, out.of(record.Down))
	assert.Equal(t, []record.Span{{
		Kind: record.Drop, Source: "a-0", Peer: "a-1", From: 10 * time.Second, To: 10 * time.Second,
		Detail: "a-0 ended",
	}}, out.of(record.Drop))
	assert.Equal(t, []record.Span{{
		Kind: record.Proof, Source: "a-0", Action: "restart[0]/restart", Outcome: record.OK,
		From: 15*time.Second + time.Millisecond, To: 15*time.Second + time.Millisecond,
		Detail: "a new process runs",
	}}, out.of(record.Proof))
	assert.Empty(t, out.of(record.Lost))
}

// A pod that comes up from one restart does not prove another that was ordered while it was down.
func TestRestartOrderedWhileDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	up := func(boot string, at time.Duration) {
		r.boot("a-1", boot)
		r.tell("a-1", change(record.Up, "a-1", at))
	}
	r.tell("a-1", reloads("a-1", 0, 0, words(r.leaf, r.root)))
	r.restarting("a-1", scenarios.Action{ID: "first", Mode: "container"})
	r.tell("a-1", change(record.Down, "a-1", 10*time.Second))
	r.restarting("a-1", scenarios.Action{ID: "second", Mode: "kill"})
	up("a-1/2", 20*time.Second)
	proofs := r.sofar().of(record.Proof)
	require.Len(t, proofs, 1)
	assert.Equal(t, "first", proofs[0].Action)

	r.killed("a-1", base.Add(21*time.Second))
	up("a-1/3", 25*time.Second)
	proofs = r.sofar().of(record.Proof)
	require.Len(t, proofs, 2)
	assert.Equal(t, "second", proofs[1].Action)
	downs := r.out.of(record.Down)
	assert.Equal(t, "restart (container)", downs[0].Detail)
	assert.Equal(t, "restart (kill)", downs[1].Detail)
}
