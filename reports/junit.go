package reports

import (
	"encoding/xml"
	"fmt"
)

// suite is junit.xml: one test case for the expectation and one for each finding and condition.
type suite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Time     string     `xml:"time,attr"`
	Cases    []testCase `xml:"testcase"`
}

type testCase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Failure *trouble `xml:"failure,omitempty"`
	Error   *trouble `xml:"error,omitempty"`
	Skipped *trouble `xml:"skipped,omitempty"`
	Output  string   `xml:"system-out,omitempty"`
}

type trouble struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// junit writes junit.xml, which gates as the exit code does: the first case fails if and only if
// the run did not end as its scenario expects. What failed or stayed inconclusive as expected is
// skipped, so that a known-bad scenario that does its duty leaves a pipeline green.
func junit(r *Report) ([]byte, error) {
	s := suite{Name: "certquake." + r.Scenario, Time: fmt.Sprintf("%.3f", float64(r.Reached))}
	s.expectation(r)
	for _, result := range r.results() {
		s.add(r, result)
	}
	s.Tests = len(s.Cases)
	data, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append([]byte(xml.Header), append(data, '\n')...), nil
}

// expectation adds the case that compares the verdict with the scenario's expectation.
func (s *suite) expectation(r *Report) {
	c := testCase{Name: "expectation", Class: s.Name, Output: r.Sentence()}
	if !r.AsExpected {
		c.Output = ""
		c.Failure = &trouble{Message: r.Sentence(), Text: r.Reproduce}
		s.Failures++
	}
	s.Cases = append(s.Cases, c)
}

func (s *suite) add(r *Report, from result) {
	c := testCase{Name: from.id, Class: s.Name}
	told := &trouble{Message: from.reason, Text: from.promise + "\n" + r.Reproduce}
	switch {
	case from.status == Pass:
		c.Output = from.reason
	case r.AsExpected:
		told.Message = string(from.status) + ", as expected: " + told.Message
		c.Skipped = told
		s.Skipped++
	case from.status == Fail:
		c.Failure = told
		s.Failures++
	default:
		c.Error = told
		s.Errors++
	}
	s.Cases = append(s.Cases, c)
}
