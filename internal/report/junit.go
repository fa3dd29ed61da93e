package report

import (
	"encoding/xml"
	"fmt"
	"io"

	"leaktrack/internal/unit"
	"leaktrack/trend"
)

// JUnitMaker stands near the start of every file that [JUnit] writes.
const JUnitMaker = `<testsuites name="leaktrack check"`

// The elements that consumers of JUnit XML agree on, as in the schema
// junit-10.xsd of the Jenkins xUnit plugin. The order of the fields is part of it.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Hostname   string          `xml:"hostname,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name      string       `xml:"name,attr"`
	Classname string       `xml:"classname,attr"`
	Skipped   *junitResult `xml:"skipped"`
	Error     *junitResult `xml:"error"`
	Failure   *junitResult `xml:"failure"`
}

type junitResult struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the outcomes as JUnit XML: a suite for each process, in it one
// case that says whether the process could be judged, which is there always so
// that a passing build shows something, and one for each leaking type: failed,
// or skipped where it is let pass.
func JUnit(w io.Writer, checked []Checked, l CheckLimits) error {
	all := junitSuites{Name: "leaktrack check"}
	for _, c := range checked {
		// The process of one build has another pid in the next, the test is the same.
		class := c.Process.Program
		if class == "" {
			class = c.Ref
		}
		class = unit.Visible(class)
		s := junitSuite{Name: unit.Visible(c.Ref), Hostname: unit.Visible(c.Process.Host)}
		for _, p := range c.properties(l) {
			s.Properties = append(s.Properties, junitProperty{p[0], p[1]})
		}
		judged := junitCase{Name: "the heap can be judged", Classname: class}
		switch {
		case c.Outcome == CheckTooFew:
			judged.Error = &junitResult{string(c.Outcome), c.Reason, basedOn(c.Result)}
			s.Errors++
		case c.Outcome == CheckLeak && len(c.Findings) == 0:
			judged.Failure = &junitResult{string(c.Diagnosis.Verdict), c.Reason, c.Diagnosis.Text}
			s.Failures++
		}
		s.Cases = append(s.Cases, judged)
		for _, f := range c.Findings {
			one := junitCase{Name: unit.Visible(f.Name), Classname: class}
			if f.Outcome == CheckLeak {
				one.Failure = &junitResult{string(f.Verdict), f.Reason, f.details()}
				s.Failures++
			} else {
				one.Skipped = &junitResult{string(f.Outcome), f.Reason, ""}
				s.Skipped++
			}
			s.Cases = append(s.Cases, one)
		}
		s.Tests = len(s.Cases)
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// details are the numbers of a leak, for a page that shows one test.
func (f CheckFinding) details() string {
	row := trendRows(Style{}, &trend.Result{}, []*trend.TypeTrend{f.TypeTrend})[0]
	text := fmt.Sprintf("%s, %s to %s objects in %s\n", row.verdict, row.first, row.last, plural(f.Count.N, "point", "points"))
	for _, q := range []unit.Quantity{row.growth, row.bytes} {
		if q.Value != "" {
			text += q.Full() + "\n"
		}
	}
	if row.share != "" {
		text += row.share + " of the growth\n"
	}
	if f.Group > 0 {
		text += fmt.Sprintf("group %d of types that grow together\n", f.Group)
	}
	return text
}
