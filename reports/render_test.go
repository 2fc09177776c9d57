package reports

import (
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden holds got against testdata, or writes it there.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

func swapAnalysis(t *testing.T) *Analysis {
	t.Helper()
	plan := swapPlan()
	a, err := Analyze(plan, headerOf(plan), rowsOf(swapRows(plan)))
	require.NoError(t, err)
	return a
}

// The series behind the pictures are golden; the pictures themselves are only looked at.
func TestSeries(t *testing.T) {
	a := swapAnalysis(t)
	window, zoomed := a.incident()
	assert.True(t, zoomed)
	for name, series := range map[string]any{
		"lanes.json":       a.lanesPlot(window),
		"matrix.json":      a.matrixPlot(),
		"outcomes.json":    a.outcomesPlot(window, "incident"),
		"propagation.json": a.propagationPlot(),
	} {
		data, err := json.MarshalIndent(series, "", " ")
		require.NoError(t, err)
		golden(t, name, append(data, '\n'))
	}
}

func TestPages(t *testing.T) {
	a := swapAnalysis(t)
	r, err := Judge(a)
	require.NoError(t, err)
	var pictures []picture
	for _, d := range a.drawings() {
		pictures = append(pictures, picture{name: d.name, title: d.title, caption: d.caption})
	}
	data, err := encode(r)
	require.NoError(t, err)
	golden(t, "report.json", data)
	data, err = markdown(r, pictures)
	require.NoError(t, err)
	golden(t, "report.md", data)
	data, err = junit(r)
	require.NoError(t, err)
	golden(t, "junit.xml", data)
}

// The page asks nothing of any server and does not trust what a scenario says of itself.
func TestWebpageIsSelfContainedAndEscaped(t *testing.T) {
	s := newScene()
	s.plan.Why = `<script>alert("why")</script>`
	s.plan.Scenario = `<b>bold</b>`
	s.plan.Actions[0].Note = `<img src=x onerror=alert(1)>`
	s.plan.Actions[0].ID = `<i>&id`
	s.plan.Pods[0].Name, s.rows[1].Source = `<u>pod`, `<u>pod`
	a := s.analyse(t, false)
	r, err := Judge(a)
	require.NoError(t, err)
	pictures, err := a.pictures()
	require.NoError(t, err)
	page, err := webpage(a, r, pictures)
	require.NoError(t, err)
	for _, mark := range []string{"<script", "<b>bold", "<img", "<i>&", "<u>pod"} {
		assert.NotContains(t, string(page), mark)
	}
	links := regexp.MustCompile(`(?:src|href)="[^"#]*"|url\(|@import`)
	for _, link := range links.FindAllString(string(page), -1) {
		t.Errorf("the page refers to %s", link)
	}
}

func TestJUnit(t *testing.T) {
	s := newScene()
	s.plan.Expect = scenarios.Expect{}
	s.fail("p-0", "p-1", 130*time.Second, 10, record.UnknownAuthority, nil, nil)
	s.without(func(r record.Span) bool { return r.Kind == record.Proof })
	r := s.judge(t)
	data, err := junit(r)
	require.NoError(t, err)
	var got suite
	require.NoError(t, xml.Unmarshal(data, &got))
	assert.Equal(t, 11, got.Tests)
	assert.Len(t, got.Cases, 11)
	assert.Equal(t, 3, got.Failures)
	assert.Equal(t, 1, got.Errors)
	assert.Equal(t, "expectation", got.Cases[0].Name)
	require.NotNil(t, got.Cases[0].Failure, "a pass was expected")
	assert.Equal(t, "new-connections", got.Cases[1].Name)
	require.NotNil(t, got.Cases[1].Failure)
	assert.Equal(t, r.Findings[0].Reason, got.Cases[1].Failure.Message)
	assert.NotNil(t, got.Cases[10].Error)
}

// A known-bad scenario that does its duty leaves a pipeline green.
func TestJUnitOfAnExpectedFailure(t *testing.T) {
	s := newScene()
	s.plan.Expect = scenarios.Expect{Verdict: "fail", Because: "trust-gap"}
	s.fail("p-0", "p-1", 130*time.Second, 10, record.UnknownAuthority, nil, nil)
	r := s.judge(t)
	require.True(t, r.AsExpected)
	data, err := junit(r)
	require.NoError(t, err)
	var got suite
	require.NoError(t, xml.Unmarshal(data, &got))
	assert.Zero(t, got.Failures+got.Errors)
	assert.Equal(t, 2, got.Skipped)
	assert.Equal(t, "fail, as expected: "+r.Findings[0].Reason, got.Cases[1].Skipped.Message)
}

func TestMarkdownKeepsItsTables(t *testing.T) {
	s := newScene()
	s.plan.Actions[0].Note = "a | b\n# c <d>"
	data, err := markdown(s.judge(t), nil)
	require.NoError(t, err)
	assert.Contains(t, string(data), `| 2m | a \| b # c &lt;d&gt; | 2m |`)
	assert.Equal(t, 1, strings.Count(string(data), "\n# ")+1)
}

// A failure of six minutes in a year must still be seen: it gets a picture of its own.
func TestLongRunsShowTheIncident(t *testing.T) {
	s := newScene()
	s.plan.Horizon = 400 * 24 * time.Hour
	s.fail("p-0", "p-1", 365*24*time.Hour, 300, record.UnknownAuthority, nil, nil)
	a := s.analyse(t, false)
	window, zoomed := a.incident()
	assert.True(t, zoomed)
	assert.Equal(t, 365*24*time.Hour-75*time.Second, window.From)
	assert.Equal(t, 365*24*time.Hour+375*time.Second, window.To)
	var names []string
	for _, d := range a.drawings() {
		names = append(names, d.name)
	}
	assert.Equal(t, []string{"outcomes", "incident", "lanes", "matrix", "propagation"}, names)
}
