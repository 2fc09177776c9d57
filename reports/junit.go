package reports

import (
	"encoding/xml"
	"fmt"
)

// suite is junit.xml: one test case for each finding and condition.
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

// junit writes junit.xml. A failed finding is a failure even in a run that was expected to fail:
// the file says what is, the exit code says whether that was to be. An inconclusive one is an
// error, or skipped where it was expected.
func junit(r *Report) ([]byte, error) {
	s := suite{Name: "certquake." + r.Scenario, Time: fmt.Sprintf("%.3f", float64(r.Reached))}
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

func (s *suite) add(r *Report, from result) {
	c := testCase{Name: from.id, Class: s.Name}
	told := &trouble{Message: from.reason, Text: from.promise + "\n" + r.Reproduce}
	switch {
	case from.status == Pass:
		c.Output = from.reason
	case from.status == Fail:
		c.Failure = told
		s.Failures++
	case r.AsExpected:
		c.Skipped = told
		s.Skipped++
	default:
		c.Error = told
		s.Errors++
	}
	s.Cases = append(s.Cases, c)
}
