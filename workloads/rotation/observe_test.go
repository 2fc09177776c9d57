package rotation_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/rotation"
)

func TestReadRing(t *testing.T) {
	for _, test := range []struct {
		name, files, primary, ids string
		want                      []rotation.Reason
	}{
		{name: "nothing"},
		{name: "of no key", files: "tls.crt r1.primary r1 key primary"},
		{name: "one", files: "r1.key.primary", primary: "r1", ids: "r1"},
		{name: "two", files: "r1.key r2.key.primary ca.crt", primary: "r2", ids: "r1 r2"},
		{name: "dots", files: "a.b.key.primary .c.key", primary: "a.b", ids: ".c a.b"},
		{
			name: "pairs", files: "a.private a.public b.private.primary b.public.primary",
			primary: "b", ids: "a b",
		},
		{
			name: "half marked", files: "a.private.primary a.public b.key",
			primary: "a", ids: "a b",
		},
		{name: "private alone", files: "a.private.primary", primary: "a", ids: "a"},
		{
			name: "none primary", files: "r1.key", ids: "r1",
			want: []rotation.Reason{rotation.NoPrimary},
		},
		{
			name: "two primaries", files: "r1.key.primary r2.key.primary",
			primary: "r2", ids: "r1 r2", want: []rotation.Reason{rotation.TwoPrimaries},
		},
		{
			name: "three", files: "r1.key.primary r2.key r3.key",
			primary: "r1", ids: "r1 r2 r3", want: []rotation.Reason{rotation.TooManyKeys},
		},
		{
			name: "twice", files: "r1.key.primary r1.key",
			primary: "r1", ids: "r1", want: []rotation.Reason{rotation.KeyTwice},
		},
		{
			name: "public alone", files: "r1.public.primary",
			primary: "r1", ids: "r1", want: []rotation.Reason{rotation.IncompleteKey},
		},
		{
			name: "of two kinds", files: "r1.key.primary r1.password",
			primary: "r1", ids: "r1", want: []rotation.Reason{rotation.IncompleteKey},
		},
		{
			name: "everything", files: ".key r1.public r2.key r3.key", ids: "r1 r2 r3",
			want: []rotation.Reason{
				rotation.UnnamedKey, rotation.IncompleteKey, rotation.NoPrimary,
				rotation.TooManyKeys,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			ring, problems := rotation.ReadRing(strings.Fields(test.files))
			assert.Equal(t, test.primary, ring.Primary)
			assert.Equal(t, test.ids, strings.Join(ring.IDs, " "))
			assert.Equal(t, test.want, reasons(problems))
		})
	}
}

func reasons(problems []rotation.Problem) []rotation.Reason {
	var all []rotation.Reason
	for _, problem := range problems {
		all = append(all, problem.Reason)
	}
	return all
}

// Files that are not as they were left are named and stay as they are.
func TestHandEdited(t *testing.T) {
	for _, test := range []struct {
		name  string
		at    time.Duration // steps are taken each ten minutes until then
		files string
		want  []rotation.Reason
	}{
		{"replaced", 0, "x.key.primary", []rotation.Reason{
			rotation.UnknownKey, rotation.MissingKey,
		}},
		{"emptied", 0, "ca.crt", []rotation.Reason{rotation.KeysMissing}},
		{"added", 0, "r1.key.primary r2.key", []rotation.Reason{rotation.UnknownKey}},
		{"promoted", 100 * minute, "r1.key r2.key.primary", []rotation.Reason{
			rotation.PrimaryMoved,
		}},
		{"new key gone", 100 * minute, "r1.key.primary", []rotation.Reason{rotation.MissingKey}},
		{"old key gone", 110 * minute, "r2.key.primary", []rotation.Reason{rotation.MissingKey}},
		{"no primary", 110 * minute, "r1.key r2.key", []rotation.Reason{rotation.NoPrimary}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDriver(t, byTime())
			for at := time.Duration(0); at <= test.at; at += 10 * minute {
				d.at(at).step()
			}
			left := *d.in.State
			d.in.Names = strings.Fields(test.files)
			halt := rotation.Decide(d.at(1000 * minute).in)
			assert.Equal(t, rotation.Halt, halt.Action)
			assert.Equal(t, test.want, reasons(halt.Problems))
			assert.False(t, halt.Write)
			assert.Equal(t, left, halt.Next)
			assert.NotEmpty(t, halt.Problems[0].Hint)
		})
	}
}

// What a lost State is rebuilt as. Waits start over and nothing is done twice.
func TestLostState(t *testing.T) {
	const uuidOld = "019b7f3c-ddb0-7af8-992d-fcf25b46a3ee"
	const uuidNew = "019b7f3f-c3e0-7252-b8bd-31975be3d419"
	const random = "123e4567-e89b-42d3-a456-426614174000"
	for _, test := range []struct {
		name, files, reject string
		managed             bool
		phase               rotation.Phase
		want                rotation.Reason
	}{
		{name: "fresh", want: rotation.FirstKey},
		{name: "keys gone too", managed: true, want: rotation.KeysMissing},
		{name: "one", files: "x.key.primary", phase: rotation.Steady, want: rotation.NotDue},
		{
			name: "published", files: "r9.key.primary r10.key",
			phase: rotation.Published, want: rotation.TooEarlyToPromote,
		},
		{
			name: "promoted", files: "r9.key r10.key.primary",
			phase: rotation.Retiring, want: rotation.TooEarlyToRetire,
		},
		{
			name: "rolled back", files: "r9.key.primary r10.key", reject: "r10",
			phase: rotation.Retiring, want: rotation.TooEarlyToRetire,
		},
		{
			name: "by time", files: "20260101T000000Z.key.primary 20260102T000000Z.key",
			phase: rotation.Published, want: rotation.TooEarlyToPromote,
		},
		{
			name: "by UUID", files: uuidOld + ".key " + uuidNew + ".key.primary",
			phase: rotation.Retiring, want: rotation.TooEarlyToRetire,
		},
		{name: "random UUID", files: random + ".key r1.key.primary", want: rotation.Ambiguous},
		{name: "words", files: "old.key new.key.primary", want: rotation.Ambiguous},
		{name: "prefixes", files: "r1.key s2.key.primary", want: rotation.Ambiguous},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := rotation.Decide(rotation.Input{
				Spec: byTime().WithDefaults(), Names: strings.Fields(test.files), Now: start,
				Managed: test.managed,
				Orders:  rotation.Orders{Reject: test.reject, Rotate: "some", Resume: "time"},
			})
			assert.Equal(t, test.want, d.Reason, d.Message())
			if test.phase != "" {
				assert.Equal(t, test.phase, d.Next.Phase)
				assert.Equal(t, rotation.Wait, d.Action)
				assert.Equal(t, "some", d.Next.Rotate)
				assert.True(t, d.Write)
			}
		})
	}
}

// A secret whose id tells its age is adopted with its schedule, and counting goes on; one that was
// managed before gives no id twice.
func TestAdoption(t *testing.T) {
	in := rotation.Input{
		Spec:  byTime().WithDefaults(),
		Names: []string{"20260102T150000Z.key.primary"}, Now: start,
	}
	want := time.Date(2026, 1, 2, 16, 40, 0, 0, time.UTC)
	assert.Equal(t, want, rotation.Decide(in).Until)
	in.Managed = true
	assert.Equal(t, start.Add(100*minute), rotation.Decide(in).Until)

	in.Names, in.Managed = []string{"r7.key.primary"}, false
	state := rotation.Decide(in).Next
	in.State, in.Now = &state, start.Add(100*minute)
	assert.Equal(t, "r8", rotation.Decide(in).ID)
	in.State, in.Now, in.Managed = nil, start, true
	state = rotation.Decide(in).Next
	in.State, in.Now = &state, start.Add(100*minute)
	assert.Equal(t, "r1767366246", rotation.Decide(in).ID)
}

func TestState(t *testing.T) {
	d := newDriver(t, byUptake())
	d.in.Now = start.Add(100 * minute).In(time.FixedZone("", 3600))
	d.report("a", "r1", "r1")
	d.step()
	text := d.in.State.String()
	assert.JSONEq(t, `{"phase":"Published","primary":"r1","next":"r2","counter":2,
		"since":"2026-01-02T16:44:05Z","rotated":"2026-01-02T16:44:05Z",
		"stamp":"2026-01-02T16:44:05Z"}`, text)
	state, parseErr := rotation.ParseState(text)
	require.NoError(t, parseErr)
	assert.Equal(t, *d.in.State, state)
	for _, wrong := range []string{"", "x", "[]", text + "{}", `{"phase":"Steady","new":1}`} {
		_, err := rotation.ParseState(wrong)
		require.Error(t, err, wrong)
	}
	for _, wrong := range []string{
		`{}`, `{"phase":"Steady","primary":"r1","next":"r2"}`, `{"phase":"Steady","primary":""}`,
		`{"phase":"Published","primary":"r1"}`, `{"phase":"Retiring","primary":"r1"}`,
		`{"phase":"Retiring","primary":"r1","retiring":"r1"}`, `{"phase":"x","primary":"r1"}`,
	} {
		unsound, err := rotation.ParseState(wrong)
		require.NoError(t, err)
		d.in.State = &unsound
		assert.Equal(t, rotation.InvalidState, rotation.Decide(d.in).Reason, wrong)
	}
	_, err := json.Marshal(rotation.Decide(d.in))
	assert.NoError(t, err)
}

// Whatever the names of files are: a ring without problems has exactly one primary and at most two
// keys, and no decision on it takes a key or a primary away.
func FuzzObserve(f *testing.F) {
	f.Add("r1.key.primary", true, int64(0))
	f.Add("r1.key r2.key.primary", false, int64(1)<<40)
	f.Add("a.private a.public 20260101T000000Z.key.primary", true, int64(-1))
	f.Add(".key.primary ..key r1.key.primary.key", false, int64(5))
	f.Add("019b7f3c-ddb0-7af8-992d-fcf25b46a3ee.key r999999999999999999.password.primary", true,
		int64(1))
	f.Fuzz(func(t *testing.T, text string, managed bool, millis int64) {
		names := strings.Fields(text)
		slices.Sort(names)
		names = slices.Compact(names)
		in := rotation.Input{
			Spec: byTime().WithDefaults(), Names: names, Managed: managed,
			Now: time.UnixMilli(millis % (1 << 45)),
		}
		ring, state, problems := rotation.Observe(in)
		d := rotation.Decide(in)
		if len(problems) > 0 {
			assert.Equal(t, rotation.Halt, d.Action)
			assert.False(t, d.Write)
			return
		}
		assert.LessOrEqual(t, len(ring.IDs), 2)
		if len(ring.IDs) > 0 {
			assert.True(t, ring.Has(ring.Primary))
			assert.Equal(t, ring.Primary, state.Primary)
		}
		files := map[string][]byte{}
		for _, name := range names {
			files[name] = []byte(name)
		}
		secret, err := rotation.Apply(d, files, rotation.Source{Random: seeded(1)})
		require.NoError(t, err)
		kept := maps.Clone(secret.Files)
		maps.DeleteFunc(kept, func(name string, _ []byte) bool { return files[name] == nil })
		assert.Equal(t, files, kept)
	})
}
