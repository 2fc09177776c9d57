package reports

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// elsewhere is why nothing is told of planned nodes where pods ran on others.
const elsewhere = "Pods ran on other nodes than the plan's, so nothing is predicted from the " +
	"planned settings and no time is told by planned node."

// unlikeScene is a run on a cluster whose nodes are not the plan's.
func unlikeScene() *scene {
	s := newScene()
	s.add(record.Span{
		Kind: record.Unlike, Source: "n", Detail: "syncFrequency 10s and Watch was planned; " +
			"the kubelet of worker-a has syncFrequency 1m0s and Watch",
	})
	return s
}

// fieldsOf returns report.json of a report, field by field.
func fieldsOf(t *testing.T, r *Report) map[string]any {
	t.Helper()
	data, err := encode(r)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(data, &fields))
	return fields
}

// Where pods ran on other nodes than planned, the report has what was measured, and nothing that
// only the planned nodes could tell.
func TestUnlikeNodesHaveNoPrediction(t *testing.T) {
	planned, r := newScene().judge(t), unlikeScene().judge(t)
	assert.Equal(t, planned.Propagation, r.Propagation)
	assert.EqualValues(t, 2, r.Propagation.Count)
	assert.Equal(t, elsewhere, r.Unpredicted)
	fields := fieldsOf(t, r)
	assert.Equal(t, elsewhere, fields["unpredicted"])
	assert.NotContains(t, fields, "propagation_law_seconds")
	assert.NotContains(t, fields, "propagation_by_node")

	fields = fieldsOf(t, planned)
	assert.NotContains(t, fields, "unpredicted")
	assert.InDelta(t, 2, fields["propagation_law_seconds"].(map[string]any)["count"], 0)
	assert.Equal(t, "n", fields["propagation_by_node"].([]any)[0].(map[string]any)["node"])
}

func TestUnlikeNodesHaveNoPredictionInThePicture(t *testing.T) {
	planned, got := newScene().analyse(t, false), unlikeScene().analyse(t, false)
	assert.NotEmpty(t, planned.propagationPlot().Law)
	assert.InDelta(t, 26.3, planned.propagationPlot().Bound, 1e-9)
	assert.Contains(t, planned.propagationCaption(), "within the given time. The dashed line is")
	assert.Empty(t, got.propagationPlot().Law)
	assert.Zero(t, got.propagationPlot().Bound)
	assert.Equal(t, planned.propagationPlot().Measured, got.propagationPlot().Measured)
	assert.Equal(t, spreadCaption+" "+elsewhere, got.propagationCaption())
}

func TestUnlikeNodesInThePage(t *testing.T) {
	page := func(s *scene) string {
		a := s.analyse(t, false)
		r, err := Judge(a)
		require.NoError(t, err)
		data, err := webpage(a, r, nil)
		require.NoError(t, err)
		return string(data)
	}
	const (
		prediction = "predicted by the settings"
		byNode     = `<th>node</th><th class="number">pods</th>` +
			`<th class="number">kubelet sync</th><th>change detection</th>` +
			`<th class="number">propagation, median</th>`
		row = `<td class="name">n</td><td class="number">2</td><td class="number">10s</td>` +
			`<td>Watch</td><td class="number">10s</td><td class="number">20s</td></tr>`
	)
	planned := page(newScene())
	for _, text := range []string{prediction, byNode, row} {
		assert.Contains(t, planned, text)
	}
	assert.NotContains(t, planned, "Pods ran on other nodes")

	unlike := page(unlikeScene())
	for _, text := range []string{prediction, byNode, row} {
		assert.NotContains(t, unlike, text)
	}
	assert.Contains(t, unlike, "<p>Pods ran on other nodes than the plan&#39;s, so nothing ")
	assert.Contains(t, unlike, `<th>planned node</th><th class="number">kubelet sync</th>`)
	assert.Contains(t, unlike,
		`<td class="name">n</td><td class="number">10s</td><td>Watch</td></tr>`)
}

// Where the cluster chose among nodes that are like the planned, what the settings predict holds.
func TestPlacedPods(t *testing.T) {
	s := newScene()
	s.add(record.Span{Kind: record.Placed, Source: "a-0", Detail: "worker-a"})
	r := s.judge(t)
	assert.NotNil(t, r.Law)
	assert.Empty(t, r.ByNode)
	assert.Equal(t, "Pods ran where the cluster's scheduler put them, so no time is told by "+
		"planned node.", r.Unpredicted)
	assert.NotEmpty(t, s.analyse(t, false).propagationPlot().Law)
}

// A bound that follows from the planned nodes is not one of others; one that is stated is.
func TestUnlikeNodesAndStaleTrust(t *testing.T) {
	fresh := gen("s/3", "root/2")
	stated := &scenarios.Within{Within: scenarios.Duration(40 * time.Second)}
	for name, test := range map[string]struct {
		scene  *scene
		stated *scenarios.Within
		want   Status
	}{
		"planned":           {newScene(), nil, Fail},
		"unlike":            {unlikeScene(), nil, Inconclusive},
		"unlike, but bound": {unlikeScene(), stated, Fail},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.scene
			s.plan.Expect.StaleTrust = test.stated
			s.write(3*time.Minute, fresh)
			s.use("p-0", 3*time.Minute, 5*time.Minute, fresh)
			status, reason := checkStaleTrust(s.analyse(t, false))
			assert.Equal(t, test.want, status, reason)
		})
	}
}
