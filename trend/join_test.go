package trend

import (
	"iter"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
)

// mixed is snapshots a minute apart whose sources take turns: a walk with full
// names, a .gcdump with short ones. Each row is listed under full or short.
func mixed(n int, rows func(i int, short bool) []heap.Type) []*heap.Snapshot {
	var in []*heap.Snapshot
	for i := range n {
		short := i%2 == 1
		s := snapshot(float64(60*(i+1)), heap.Live, true, rows(i, short)...)
		if s.Source = heap.SourceLiveMemory; short {
			s.Source = heap.SourceGCDump
		}
		in = append(in, s)
	}
	return in
}

func names(r *Result) string {
	var out []string
	for i := range r.Types {
		out = append(out, r.Types[i].Name)
	}
	return strings.Join(out, " ")
}

// A short name that fits one full name is the same series, and the leak is
// seen through all snapshots.
func TestShortAndFullNamesAreOneSeries(t *testing.T) {
	in := mixed(12, func(i int, short bool) []heap.Type {
		name := "Shop.Tree+Node"
		if short {
			name = "Node"
		}
		n := int64(1000 + 600*i)
		return []heap.Type{{Name: name, Count: n, Bytes: 32 * n}, {Name: "Shop.Cart", Count: 5, Bytes: 120}}
	})
	r := analyze(t, Options{}, in...)
	if names(r) != "Shop.Tree+Node Shop.Cart" || !r.Types[0].Leak || r.Types[0].Count.N != 12 || r.Diagnosis.Verdict != DiagnosisLeak {
		t.Errorf("%s: leak %v by %d points, %s", names(r), r.Types[0].Leak, r.Types[0].Count.N, r.Diagnosis.Text)
	}
	if w := strings.Join(r.Warnings, "\n"); !strings.Contains(w, "Node = Shop.Tree+Node") {
		t.Errorf("warnings %q", w)
	}
}

// A short name of two types stays apart. It must not pose as something that
// comes and goes, and neither must they.
func TestAmbiguousShortNamesStayApart(t *testing.T) {
	in := mixed(12, func(i int, short bool) []heap.Type {
		a, b := int64(1000), int64(2000)
		if short {
			return []heap.Type{{Name: "Node", Count: a + b, Bytes: 32 * (a + b)}}
		}
		return []heap.Type{{Name: "Shop.Graph+Node", Count: b, Bytes: 32 * b}, {Name: "Shop.Tree+Node", Count: a, Bytes: 32 * a}}
	})
	r := analyze(t, Options{Curves: func(string) bool { return true }}, in...)
	if len(r.Types) != 3 {
		t.Fatal(names(r))
	}
	for i := range r.Types {
		ty := &r.Types[i]
		if ty.Verdict != Flat || ty.Count.N != 6 || ty.Count.First().Value == 0 {
			t.Errorf("%s is %s by %d points from %v", ty.Name, ty.Verdict, ty.Count.N, ty.Count.First())
		}
	}
	if w := strings.Join(r.Warnings, "\n"); !strings.Contains(w, "Node (Shop.Graph+Node, Shop.Tree+Node)") {
		t.Errorf("warnings %q", w)
	}
}

// What a source told apart is not joined: a type of the global namespace, or
// of an enclosing type that could not be found.
func TestTypesOfOneSnapshotAreNotJoined(t *testing.T) {
	in := mixed(6, func(i int, short bool) []heap.Type {
		rows := []heap.Type{{Name: "Shop.Tree+Node", Count: 7, Bytes: 70}}
		if short {
			rows = append(rows, heap.Type{Name: "Node", Count: 100, Bytes: 1000})
		}
		return rows
	})
	if r := analyze(t, Options{}, in...); len(r.Types) != 2 {
		t.Errorf("%s", names(r))
	}
	// A source of full names that says Node means it.
	in = mixed(6, func(i int, short bool) []heap.Type {
		return []heap.Type{{Name: "Node", Count: 100, Bytes: 1000}}
	})
	in[0].SetTypes([]heap.Type{{Name: "Shop.Tree+Node", Count: 7, Bytes: 70}})
	if r := analyze(t, Options{}, in...); len(r.Types) != 2 {
		t.Errorf("%s", names(r))
	}
}

// Counts of live objects and of all are never one series.
func TestNamesAreJoinedWithinOneBasisOnly(t *testing.T) {
	in := mixed(12, func(i int, short bool) []heap.Type {
		if short {
			return []heap.Type{{Name: "Node", Count: 100, Bytes: 1000}}
		}
		return []heap.Type{{Name: "Shop.Tree+Node", Count: 7, Bytes: 70}}
	})
	for i, s := range in {
		if i%2 == 0 {
			s.Basis, s.Source = heap.All, heap.SourceCore
		}
	}
	r := analyze(t, Options{}, in...)
	if names(r) != "Node" || r.Basis != heap.Live {
		t.Errorf("%s by %s", names(r), r.Basis)
	}
}

// Runs of a program read in different ways.
func TestProgramJoinsShortNames(t *testing.T) {
	run := func(pid int, source heap.Source, name string) iter.Seq2[*heap.Snapshot, error] {
		var in []*heap.Snapshot
		for i := range 8 {
			n := int64(100 + 500*i)
			s := snapshot(0, heap.Live, true, heap.Type{Name: name, Count: n, Bytes: 32 * n}, heap.Type{Name: "Shop.A+Cell", Count: 1, Bytes: 8}, heap.Type{Name: "Shop.B+Cell", Count: 1, Bytes: 8})
			if source == heap.SourceGCDump {
				s.SetTypes([]heap.Type{{Name: name, Count: n, Bytes: 32 * n}, {Name: "Cell", Count: 2, Bytes: 16}})
			}
			s.Process.PID, s.Source, s.Uptime = pid, source, time.Duration(i)*time.Minute
			in = append(in, s)
		}
		return each(in...)
	}
	p, err := AnalyzeProgram([]iter.Seq2[*heap.Snapshot, error]{run(1, heap.SourceGCDump, "Node"), run(2, heap.SourceLiveMemory, "Shop.Tree+Node")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Types[0].Name != "Shop.Tree+Node" || !p.Types[0].Leak || len(p.Types[0].Warnings) != 0 || len(p.Types) != 4 {
		t.Errorf("%+v", p.Types)
	}
	if w := strings.Join(p.Warnings, "\n"); !strings.Contains(w, "Cell (Shop.A+Cell, Shop.B+Cell)") || strings.Contains(w, "Node") {
		t.Errorf("warnings %q", w)
	}
}
