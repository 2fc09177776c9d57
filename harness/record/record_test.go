package record_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/harness/record"
)

func header() record.Header {
	return record.Header{
		Version: record.Version, Scenario: "test", Digest: "sha256:00", Seed: 7,
		Backend: "sim", Basis: record.Modelled,
		Base:     time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Settings: []string{"--context=it's mine", "--allow-partial=true"},
	}
}

func write(tb testing.TB, spans ...record.Span) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := record.NewWriter(&out, header())
	require.NoError(tb, err)
	for _, span := range spans {
		require.NoError(tb, w.Write(span))
	}
	require.NoError(tb, w.Flush())
	return out.Bytes()
}

func read(tb testing.TB, data []byte) ([]record.Span, *record.Reader) {
	tb.Helper()
	r, err := record.NewReader(bytes.NewReader(data))
	require.NoError(tb, err)
	var spans []record.Span
	for span, err := range r.Spans() {
		require.NoError(tb, err)
		spans = append(spans, span)
	}
	return spans, r
}

func failure() record.Span {
	return record.Span{
		Kind: record.Handshake, From: time.Second, To: 3 * time.Second,
		Source: "a-0", Peer: "a-1", Outcome: record.UnknownAuthority, Count: 3,
		Side:  record.Server,
		Own:   &record.Generation{Leaf: "leaf/2", Trust: "ca/2", Chain: "ca/2"},
		Other: &record.Generation{Leaf: "leaf/1", Trust: "ca/1", Chain: "ca/1", Torn: true},
	}
}

func TestRoundTrip(t *testing.T) {
	latency := record.NewHistogram()
	latency.Record(2*time.Millisecond, 99)
	latency.Record(40*time.Millisecond, 1)
	success := record.Span{
		Kind: record.Handshake, To: time.Hour, Source: "a-0", Outcome: record.OK, Count: 100,
		Latency: latency,
	}
	got, r := read(t, write(t, success, failure()))
	assert.Equal(t, header(), r.Header)
	assert.False(t, r.Truncated())
	require.Len(t, got, 2)
	assert.Equal(t, failure(), got[1])
	assert.Equal(t, int64(100), got[0].Latency.Count())
	assert.InEpsilon(t, 0.002, got[0].Latency.Quantile(0.5).Seconds(), 0.01)
	assert.InEpsilon(t, 0.040, got[0].Latency.Quantile(1).Seconds(), 0.01)
}

// A comparison of clocks is a row like any other: a program that does not know its kind reads on.
func TestNodeClockInTheFormat(t *testing.T) {
	want := record.Span{
		Kind: record.NodeClock, Source: "worker-1", Outcome: record.OK,
		Skew: -1500 * time.Microsecond, Uncertainty: 700 * time.Microsecond, Detail: "of 8",
	}
	data := write(t, want)
	lines := strings.Split(string(data), "\n")
	assert.Contains(t, lines[0], `"version":1,`)
	assert.JSONEq(t, `{"kind":"node-clock","from_ns":0,"to_ns":0,"source":"worker-1",`+
		`"outcome":"ok","skew_ns":-1500000,"uncertainty_ns":700000,"detail":"of 8"}`, lines[1])
	got, _ := read(t, data)
	assert.Equal(t, []record.Span{want}, got)
	assert.NotContains(t, string(write(t, failure())), "uncertainty")
}

func TestCorrection(t *testing.T) {
	for _, test := range []struct {
		kind                    record.Kind
		skew, uncertainty, want time.Duration
	}{
		{record.NodeClock, 5, 4, 5},
		{record.NodeClock, -5, 4, -5},
		{record.NodeClock, 5, 5, 0},
		{record.NodeClock, -5, 5, 0},
		{record.NodeClock, 0, 0, 0},
		{record.Clock, 5, 0, 0}, // of a process, which its rows do not follow
	} {
		span := record.Span{Kind: test.kind, Skew: test.skew, Uncertainty: test.uncertainty}
		assert.Equal(t, test.want, span.Correction(), test)
	}
}

// A run without settings has none in its header, as in records from before there were any.
func TestHeaderWithoutSettings(t *testing.T) {
	without := header()
	without.Settings = nil
	var out bytes.Buffer
	w, err := record.NewWriter(&out, without)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	assert.NotContains(t, out.String(), "settings")
	_, r := read(t, out.Bytes())
	assert.Equal(t, without, r.Header)
}

func TestTruncatedRecordReadsToItsLastWholeRow(t *testing.T) {
	data := write(t, failure(), failure())
	lines := bytes.SplitAfter(data, []byte("\n"))
	whole := len(lines[0]) + len(lines[1])
	for cut := len(lines[0]); cut < len(data); cut++ {
		got, r := read(t, data[:cut])
		want := 0
		if cut >= whole {
			want = 1
		}
		assert.Len(t, got, want, "cut at %d", cut)
		atRowEnd := cut == len(lines[0]) || cut == whole
		assert.Equal(t, !atRowEnd, r.Truncated(), "cut at %d", cut)
	}
}

func TestForeignInputIsNoRecord(t *testing.T) {
	for name, input := range map[string]string{
		"empty":         "",
		"no line end":   `{"version":1}`,
		"not JSON":      "PK\x03\x04\n",
		"other version": `{"version":99}` + "\n",
		"other JSON":    `["version"]` + "\n",
		"endless row":   strings.Repeat("x", 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := record.NewReader(strings.NewReader(input))
			assert.ErrorIs(t, err, record.ErrNotRecord)
		})
	}
}

func TestCorruptRowNamesItself(t *testing.T) {
	data := append(write(t, failure()), "{\"kind\":3}\n"...)
	r, err := record.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	var last error
	rows := 0
	for _, err := range r.Spans() {
		rows++
		last = err
	}
	assert.Equal(t, 2, rows)
	assert.ErrorContains(t, last, "record row 3: ")
}

// brokenDisk fails every write.
type brokenDisk struct{}

var errDisk = errors.New("no space left")

func (brokenDisk) Write([]byte) (int, error) { return 0, errDisk }

func TestWriterKeepsFailing(t *testing.T) {
	w, err := record.NewWriter(brokenDisk{}, header())
	require.NoError(t, err, "the header is still buffered")
	require.ErrorIs(t, w.Flush(), errDisk)
	assert.ErrorIs(t, w.Write(failure()), errDisk)
}

func TestOutcomes(t *testing.T) {
	credential := 0
	for _, o := range record.Outcomes() {
		assert.Equal(t, o != record.OK && o != record.Skipped, o.Failed(), o)
		if o.Credential() {
			credential++
			assert.True(t, o.Failed(), o)
		}
	}
	assert.Equal(t, 16, credential)
	assert.False(t, record.Unreachable.Credential(), "a peer that is down is no credential's fault")
}

func TestHistogramBoundsItsRange(t *testing.T) {
	h := record.NewHistogram()
	h.Record(0, 1)
	h.Record(time.Hour, 1)
	assert.Equal(t, int64(2), h.Count())
	assert.InEpsilon(t, (10 * time.Minute).Seconds(), h.Max().Seconds(), 0.01)
	other := record.NewHistogram()
	other.Merge(h)
	other.Merge(nil)
	assert.Equal(t, int64(2), other.Count())
}

func TestAnySpanSurvives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := record.Span{
			Kind:    record.Kind(rapid.StringMatching(`[a-z]{1,9}`).Draw(rt, "kind")),
			From:    time.Duration(rapid.Int64().Draw(rt, "from")),
			To:      time.Duration(rapid.Int64().Draw(rt, "to")),
			Source:  rapid.String().Draw(rt, "source"),
			Outcome: rapid.SampledFrom(record.Outcomes()).Draw(rt, "outcome"),
			Count:   rapid.Int64().Draw(rt, "count"),
			Own:     &record.Generation{Leaf: rapid.String().Draw(rt, "leaf")},
			Detail:  rapid.String().Draw(rt, "detail"),

			Skew:        time.Duration(rapid.Int64().Draw(rt, "skew")),
			Uncertainty: time.Duration(rapid.Int64().Draw(rt, "uncertainty")),
		}
		got, _ := read(t, write(t, want))
		if len(got) != 1 || got[0].Source != want.Source || got[0].From != want.From ||
			*got[0].Own != *want.Own || got[0].Detail != want.Detail ||
			got[0].Skew != want.Skew || got[0].Uncertainty != want.Uncertainty {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

// FuzzReader feeds the reader arbitrary bytes: it must neither panic nor hang, and what it reads it
// must write and read again equally.
func FuzzReader(f *testing.F) {
	f.Add(write(f, failure()))
	f.Add([]byte("{\"version\":1}\n{\"latency\":\"HISTFAAAAA\"}\n"))
	f.Add(write(f, record.Span{Kind: record.NodeClock, Source: "n", Skew: -1, Uncertainty: 2}))
	f.Add([]byte("\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := record.NewReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		var spans []record.Span
		for span, err := range r.Spans() {
			if err != nil {
				return
			}
			span.Latency = nil // its compressed form need not be canonical
			spans = append(spans, span)
		}
		again, _ := read(t, write(t, spans...))
		assert.Equal(t, spans, again)
	})
}
