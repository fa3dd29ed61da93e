package trend

import (
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
)

// runOf is one run of a program with a type that has these counts, ten minutes
// apart.
func runOf(pid int, counts ...int64) iter.Seq2[*heap.Snapshot, error] {
	var in []*heap.Snapshot
	for i, n := range counts {
		s := snapshot(float64(5+600*i), heap.Live, true, heap.Type{Name: "App.Order", Count: n, Bytes: 40 * n})
		s.Process = heap.Process{Program: "App", PID: pid}
		in = append(in, s)
	}
	return each(in...)
}

func TestAnalyzeProgramPoolsRuns(t *testing.T) {
	// Alone, eight noisy points each do not suffice; together they do.
	weak := [][]int64{{1000, 1335, 1028, 1380, 1170, 1420, 1190, 1510}, {1000, 1020, 1255, 1250, 1090, 1410, 1230, 1430}, {1100, 1040, 1330, 1160, 1400, 1205, 1350, 1480}}
	var runs []iter.Seq2[*heap.Snapshot, error]
	single := 0.0
	for i, w := range weak {
		runs = append(runs, runOf(i+1, w...))
		r, err := Analyze(runOf(1, w...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		single = max(single, r.find("App.Order").Confidence)
		if r.find("App.Order").Leak {
			t.Errorf("run %d is a leak by itself", i)
		}
	}
	p, err := AnalyzeProgram(runs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Runs) != 3 || p.Judged != 3 || len(p.Types) != 1 || p.Program != "App" {
		t.Fatalf("%+v", p)
	}
	ty := p.Types[0]
	if !ty.Leak || ty.Confidence <= single || p.Diagnosis.Verdict != DiagnosisLeak || ty.Count.N != 24 {
		t.Errorf("%+v %v; best alone %v", ty, p.Diagnosis, single)
	}
	if r := ty.Count.Rate; r.Low >= r.PerSecond || r.High <= r.PerSecond || r.PerSecond*600 < 30 || r.PerSecond*600 > 70 {
		t.Errorf("rate %+v", r)
	}
}

func TestAnalyzeProgramGuardOfOneRunVetoes(t *testing.T) {
	grows := []int64{100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300, 1400}
	stops := []int64{100, 200, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300}
	p, err := AnalyzeProgram([]iter.Seq2[*heap.Snapshot, error]{runOf(1, grows...), runOf(2, stops...), runOf(3, stops...)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Types[0].Leak || p.Diagnosis.Verdict == DiagnosisLeak {
		t.Errorf("%+v", p.Types[0])
	}
	if !strings.Contains(p.Diagnosis.Text, "alone was judged a leak") {
		t.Errorf("%q does not name the run that disagrees", p.Diagnosis.Text)
	}
}

func TestAnalyzeProgramNamesMeet(t *testing.T) {
	a := snapshot(1, heap.Live, true, heap.Type{Name: "System.Collections.Generic.List`1[[App.X, App]]", Count: 5, Bytes: 100})
	b := snapshot(1, heap.Live, true, heap.Type{Name: "System.Collections.Generic.List<App.X>", Count: 5, Bytes: 100})
	var runs []iter.Seq2[*heap.Snapshot, error]
	for i, s := range []*heap.Snapshot{a, b} {
		var in []*heap.Snapshot
		for k := range 4 {
			c := *s
			c.Uptime += time.Duration(k) * time.Minute
			c.Process.PID = i + 1
			in = append(in, &c)
		}
		runs = append(runs, each(in...))
	}
	p, err := AnalyzeProgram(runs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Types) != 1 || len(p.Types[0].Warnings) != 0 {
		t.Errorf("%+v", p.Types)
	}
}

func TestAnalyzeProgramErrors(t *testing.T) {
	other := snapshot(1, heap.Live, true)
	other.Process.Program = "Other"
	_, err := AnalyzeProgram([]iter.Seq2[*heap.Snapshot, error]{runOf(1, 1, 2, 3), each(other)}, Options{})
	if !errors.Is(err, ErrPrograms) {
		t.Error(err)
	}
	if _, err := Analyze(func(yield func(*heap.Snapshot, error) bool) {
		for s := range runOf(1, 1) {
			yield(s, nil)
		}
		for s := range runOf(2, 1) {
			yield(s, nil)
		}
	}, Options{}); !errors.Is(err, ErrProcesses) {
		t.Error(err)
	}
	p, err := AnalyzeProgram(nil, Options{})
	if err != nil || p.Diagnosis.Verdict != DiagnosisTooFew {
		t.Error(p, err)
	}
}

func TestOwnShow(t *testing.T) {
	for _, c := range []struct {
		k, runs int
		want    string
	}{
		{1, 1, "there is no other run"}, {0, 3, "no run shows it on its own"}, {1, 3, "1 of the 3 runs shows it on its own"},
		{2, 3, "2 of the 3 runs show it on their own"}, {3, 3, "each run shows it on its own"},
	} {
		if got := ownShow(c.k, c.runs); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.k, c.runs, got, c.want)
		}
	}
}
