package reports

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
)

const ms = time.Millisecond

// compare adds a comparison of a node's clock.
func (s *scene) compare(node string, at, ahead, uncertainty time.Duration) {
	s.add(record.Span{
		Kind: record.NodeClock, From: at, To: at, Source: node, Outcome: record.OK,
		Skew: ahead, Uncertainty: uncertainty,
	})
}

// unknown adds a comparison that gave nothing.
func (s *scene) unknown(node string, at time.Duration) {
	s.add(record.Span{
		Kind: record.NodeClock, From: at, To: at, Source: node, Outcome: record.Unreachable,
		Detail: "no pod on it told its clock: none runs there",
	})
}

// clockScene is nodes with clocks of every sort.
func clockScene() *scene {
	s := newScene()
	end := s.plan.Horizon
	s.compare("worker-b", 0, -250*ms, 3*ms)
	s.compare("worker-a", 0, ms, 2*ms)
	s.unknown("worker-c", 0)
	s.unknown("worker-d", 0)
	s.compare("worker-b", end, -4250*ms, 5*ms)
	s.compare("worker-a", end, -2*ms, 4*ms)
	s.unknown("worker-c", end)
	s.compare("worker-d", end, 10*ms, ms)
	return s
}

func TestClocks(t *testing.T) {
	c := clockScene().judge(t).Clocks
	require.NotNil(t, c)
	want := []NodeClock{
		{
			Node: "worker-a", Start: &ClockReading{0.001, 0.002}, End: &ClockReading{-0.002, 0.004},
			Drift: &ClockReading{-0.003, 0.006}, Error: new(Seconds(0.006)),
		},
		{
			Node: "worker-b", Start: &ClockReading{-0.25, 0.003}, End: &ClockReading{-4.25, 0.005},
			Drift: &ClockReading{-4, 0.008}, Corrected: true, Error: new(Seconds(4.005)),
		},
		{Node: "worker-c"},
		{Node: "worker-d", End: &ClockReading{0.01, 0.001}, Error: new(Seconds(0.011))},
	}
	text := func(v any) string {
		data, err := json.MarshalIndent(v, "", " ")
		require.NoError(t, err)
		return string(data)
	}
	assert.Equal(t, text(want), text(c.Nodes))
	assert.InDelta(t, 4.005, float64(c.Error), 1e-9)
	assert.InDelta(t, 4.016, float64(c.Order), 1e-9)
	assert.Equal(t, "Clocks of nodes went astray during the run: worker-b by -4s ±8ms. Times told "+
		"there may be wrong by as much, and with them propagations and the order of events.",
		c.Warning)
	assert.Equal(t, "The times of what pods did, and with them propagation, are certain to ±4.1s. "+
		"The order of two events on different nodes is certain when they are more than 4.1s "+
		"apart. "+
		"Times told on worker-b are corrected by the difference at the start; certificates are "+
		"judged by the node's own clock all the same. The clock of worker-c could not be read: "+
		"nothing bounds the error of times told there.", c.Sentence())
}

// A comparison changes no other figure and no finding: the report says what they are worth.
func TestClocksChangeNothingElse(t *testing.T) {
	with, without := clockScene().judge(t), newScene().judge(t)
	assert.Nil(t, without.Clocks)
	with.Clocks = nil
	assert.Equal(t, without, with)
}

func TestOneClock(t *testing.T) {
	s := newScene()
	s.compare("only", 0, 400*time.Microsecond, ms)
	c := s.judge(t).Clocks
	assert.Equal(t, "The times of what pods did, and with them propagation, are certain to "+
		"±1.4ms.", c.Sentence())
	assert.Zero(t, c.Order)
	assert.Empty(t, c.Warning)
	assert.Nil(t, c.Nodes[0].End)
	assert.Nil(t, c.Nodes[0].Drift)
}

// A drift that is no more than the comparisons' own uncertainty is none to warn of.
func TestClocksWarnOfWhatIsCertain(t *testing.T) {
	for _, test := range []struct {
		drift, uncertainty time.Duration
		warns              bool
	}{
		{time.Second, ms, false},
		{time.Second + ms, ms, true},
		{-time.Second - ms, ms, true},
		{2 * time.Second, time.Second, false},
		{2*time.Second + ms, time.Second, true},
	} {
		s := newScene()
		s.compare("n", 0, time.Minute, test.uncertainty)
		s.compare("n", s.plan.Horizon, time.Minute+test.drift, test.uncertainty)
		assert.Equal(t, test.warns, s.judge(t).Clocks.Warning != "", test)
	}
}

// The pages are golden where they tell of clocks, and say nothing of them where none were compared.
func TestClockPages(t *testing.T) {
	s := clockScene()
	a := s.analyse(t, false)
	r, err := Judge(a)
	require.NoError(t, err)
	data, err := encode(r)
	require.NoError(t, err)
	golden(t, "clocks.json", data)
	data, err = markdown(r, nil)
	require.NoError(t, err)
	golden(t, "clocks.md", data)
	page, err := webpage(a, r, nil)
	require.NoError(t, err)
	assert.Contains(t, string(page), `<p class="warning">Clocks of nodes went astray`)
	assert.Contains(t, string(page), `<tr><td class="name">worker-b</td>`+
		`<td class="number">-250ms ±3ms</td><td class="number">-4.3s ±5ms</td>`+
		`<td class="number">-4s ±8ms</td></tr>`)
	assert.Contains(t, string(page),
		`<td class="name">worker-c</td><td class="number">unknown</td>`)

	a = newScene().analyse(t, false)
	r, err = Judge(a)
	require.NoError(t, err)
	page, err = webpage(a, r, nil)
	require.NoError(t, err)
	assert.NotContains(t, string(page), "Clocks of the nodes")
}

func TestManyClocks(t *testing.T) {
	s := newScene()
	for i := range clocksMax + 3 {
		s.compare(fmt.Sprintf("n-%02d", i), 0, time.Second, ms)
	}
	r := s.judge(t)
	assert.Contains(t, r.Clocks.Sentence(), "told on n-00, n-01, n-02, n-03, n-04 and 38 more are")
	data, err := markdown(r, nil)
	require.NoError(t, err)
	assert.Contains(t, string(data), "| n-39 | +1s ±1ms | unknown | unknown |\n\nand 3 more.\n")
	assert.NotContains(t, string(data), "n-40")
}
