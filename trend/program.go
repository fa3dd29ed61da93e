package trend

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"leaktrack/heap"
)

// ProgramResult is what several runs of one program say together.
type ProgramResult struct {
	Host, Program string
	Runs          []*Result // each run on its own, by start
	// Types is every type of the judged runs: firm leaks first, then leaks,
	// suspects and the rest, each by the lower bound of the bytes rate. The measures hold no
	// points; their rate is that of all runs, weighed by how sure each is.
	Types     []TypeTrend
	Tested    int // types that changed enough in some run to be judged
	Judged    int // runs with the three snapshots a judgement needs
	Diagnosis Diagnosis
	Warnings  []string
}

// ErrPrograms is returned by [AnalyzeProgram] for runs of several programs.
var ErrPrograms = errors.New("runs of more than one program")

// AnalyzeProgram judges each run of a program, and all of them together: no
// line is fitted across a restart, but the log odds of the runs add up, a
// guard that fails in one run vetoes, and slopes are pooled by inverse
// variance. A type that a run with complete tables never lists has no weight
// there. It fails when a sequence does, or with [ErrProcesses] or
// [ErrPrograms].
func AnalyzeProgram(runs []iter.Seq2[*heap.Snapshot, error], o Options) (*ProgramResult, error) {
	out := &ProgramResult{}
	var all []*analysis
	for i, run := range runs {
		c, err := collect(run)
		if err != nil {
			return nil, fmt.Errorf("run %d: %w", i+1, err)
		}
		if len(c.frames) == 0 && c.unknown == 0 {
			continue
		}
		if len(all) > 0 && !c.process.SameProgram(all[0].c.process) {
			return nil, fmt.Errorf("%w: %v and %v", ErrPrograms, all[0].c.process, c.process)
		}
		a := newAnalysis(c, o)
		a.keep = true
		a.judgeTypes()
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b *analysis) int { return a.c.process.Compare(b.c.process) })
	for _, a := range all {
		out.Host, out.Program = a.c.process.Host, a.c.process.Program
		out.Runs = append(out.Runs, a.result())
	}
	out.pool(all, o)
	return out, nil
}

// poolBasis is the basis that more runs can be judged by, live if as many.
func poolBasis(all []*analysis) heap.Basis {
	n := map[heap.Basis]int{}
	for _, a := range all {
		if a.table != nil && a.full.plan != nil {
			n[a.basis]++
		}
	}
	if n[heap.All] > n[heap.Live] {
		return heap.All
	}
	return heap.Live
}

// pool judges the types of all runs of the pooled basis together.
func (out *ProgramResult) pool(all []*analysis, o Options) {
	basis := poolBasis(all)
	var used []*analysis
	for _, a := range all {
		if a.table == nil || a.full.plan == nil {
			continue
		}
		if a.basis != basis {
			out.Warnings = append(out.Warnings, fmt.Sprintf("run %v is judged by %s objects and stays out of the whole, which is judged by %s objects", a.c.process, a.basis, basis))
			continue
		}
		used = append(used, a)
	}
	out.Judged = len(used)
	// Names of different sources meet in their canonical spelling, and in full
	// where a run's sources name a type in short that another names in full.
	var spelled heap.Join
	for _, a := range used {
		for i := range a.table.types {
			s := &a.table.types[i]
			spelled.Add(s.name, a.table.bareOnly(s, a.c.frames))
		}
	}
	places := map[string][]int{} // canonical name to its type in each used run, plus one; 0: not there
	names := map[string]string{}
	var unclear []string
	for r, a := range used {
		own := map[string]bool{} // names of this run
		for i := range a.table.types {
			own[heap.CanonicalName(a.table.types[i].name)] = true
		}
		for i := range a.table.types {
			name := a.table.types[i].name
			c := heap.CanonicalName(name)
			full, candidates := spelled.Full(name, a.table.bareOnly(&a.table.types[i], a.c.frames))
			if _, both := own[full]; full != "" && !both {
				c = full
			} else if len(candidates) > 0 {
				unclear = append(unclear, fmt.Sprintf("%s (%s)", name, strings.Join(shorten(candidates, 3), ", ")))
			}
			if places[c] == nil {
				places[c] = make([]int, len(used))
			}
			if places[c][r] == 0 {
				places[c][r] = i + 1
			}
			if names[c] == "" || c == heap.CanonicalName(name) {
				names[c] = name
			}
		}
	}
	if len(unclear) > 0 {
		out.Warnings = append(out.Warnings, "some runs have short names that fit several types which others name in full, and are judged apart: "+heap.Some(unclear))
	}
	keys := make([]string, 0, len(places))
	for c, at := range places {
		keys = append(keys, c)
		for r, i := range at {
			if i > 0 && used[r].screened[i-1].tested {
				out.Tested++
				break
			}
		}
	}
	slices.Sort(keys)
	out.Types = make([]TypeTrend, len(keys))
	if len(used) > 0 {
		used[0].parallel(len(keys), nil, func(w *workspace, k int) {
			out.Types[k] = poolType(w, used, places[keys[k]], out.Tested, o.confidence())
			out.Types[k].Name = names[keys[k]]
		})
	}
	slices.SortStableFunc(out.Types, compareTrends)
	out.Diagnosis = out.diagnose(used)
}

// poolType judges one type by all its runs.
func poolType(w *workspace, used []*analysis, at []int, tested int, confidence float64) TypeTrend {
	var counts, sizes []life
	byBytes, changed := false, false
	for r, i := range at {
		if i == 0 {
			continue
		}
		a := used[r]
		sc := a.screened[i-1]
		changed = changed || sc.tested
		s := a.full
		if sc.pattern != "" {
			s = newSampling(a.timesOf(sc.pattern))
		}
		if s.plan == nil {
			continue
		}
		c, b := a.materialise(i-1, nil, nil)
		counts, sizes = append(counts, life{s: s, y: c}), append(sizes, life{s: s, y: b})
		byBytes = sc.byBytes && sc.tested
	}
	var t TypeTrend
	switch {
	case len(counts) == 0:
		t.setVerdict(TooFew, false, false)
		return t
	case !changed:
		t.setVerdict(Flat, false, false)
		zero := Rate{Confidence: confidence}
		t.Count.Rate, t.Bytes.Rate = &zero, &zero
		return t
	}
	main, other, floor := counts, sizes, float64(minObjects)
	if byBytes {
		main, other, floor = sizes, counts, minBytes
	}
	j := w.judge(main, tested, floor, confidence)
	beside := make([]lifeJudgement, len(other))
	for k, l := range other {
		y, _ := clip(l.s.t, l.s.reduce(l.y, nil), nil)
		beside[k] = lifeJudgement{plan: l.s.plan, t: l.s.t, y: y, ev: j.lives[k].ev, freed: j.lives[k].freed, warm: j.lives[k].warm}
		beside[k].slopes = w.activeSlope(&beside[k], confidence)
	}
	pooled := poolSlopes(beside)
	t.setVerdict(j.verdict, j.leak, j.suspect)
	t.ByBytes = byBytes
	t.Confidence, t.Firm = j.posterior, j.firm
	t.Count.Rate, t.Bytes.Rate = j.slope.rate(confidence), pooled.rate(confidence)
	if byBytes {
		t.Count.Rate, t.Bytes.Rate = t.Bytes.Rate, t.Count.Rate
	}
	for _, l := range counts {
		t.Count.N += len(l.y)
		t.Bytes.N += len(l.y)
	}
	if k := len(counts); k < len(at) {
		t.Warnings = append(t.Warnings, fmt.Sprintf("in %d of %d runs only", k, len(at)))
	}
	return t
}

func (out *ProgramResult) diagnose(used []*analysis) Diagnosis {
	switch {
	case len(out.Runs) == 0:
		return Diagnosis{DiagnosisTooFew, "Nothing to judge: there is no run with a snapshot."}
	case len(used) == 0:
		if len(out.Runs) == 1 {
			return out.Runs[0].Diagnosis
		}
		// Without tables of types, the runs' own diagnoses are what there is.
		return out.commonDiagnosis()
	}
	span := time.Duration(0)
	snapshots := 0
	for _, a := range used {
		span += seconds(a.full.t[len(a.full.t)-1] - a.full.t[0])
		snapshots += len(a.rows)
	}
	lead := fmt.Sprintf("%s of %s with %s over %s in all", plural(len(used), "run", "runs"), orUnnamed(out.Program), plural(snapshots, "snapshot", "snapshots"), spanText(span))
	var leaks, suspects []string
	for i := range out.Types {
		t := &out.Types[i]
		if t.Leak {
			leaks = append(leaks, t.Name)
		}
		if t.Suspect {
			suspects = append(suspects, t.Name)
		}
	}
	switch {
	case len(leaks) > 0:
		t := &out.Types[0]
		alone := 0
		for _, r := range out.Runs {
			if x := r.find(t.Name); x != nil && x.Leak {
				alone++
			}
		}
		text := fmt.Sprintf("Managed memory leak, by %s. %s grows by %s; %s.", lead, t.Name, typeRate(t), ownShow(alone, len(out.Runs)))
		if more := leaks[1:]; len(more) == 1 {
			text += fmt.Sprintf(" %s grows too.", more[0])
		} else if len(more) > 1 {
			text += fmt.Sprintf(" %s grow too.", join(shorten(more, 3)))
		}
		return Diagnosis{DiagnosisLeak, text}
	case len(suspects) > 0:
		return Diagnosis{DiagnosisSuspect, fmt.Sprintf("Suspected leak, not proven, by %s: %s.", lead, join(shorten(suspects, 3)))}
	}
	if d := out.commonDiagnosis(); d.Verdict != DiagnosisNoLeak && d.Verdict != DiagnosisTooFew && d.Verdict != DiagnosisLeak {
		return d
	}
	text := fmt.Sprintf("No type leaks in %s.", lead)
	for _, r := range out.Runs {
		if r.Diagnosis.Verdict == DiagnosisLeak {
			text += fmt.Sprintf(" Run %v alone was judged a leak, which the others do not confirm.", r.Process)
		}
	}
	return Diagnosis{DiagnosisNoLeak, text}
}

// commonDiagnosis is the most frequent judgement among the runs, too few
// excepted where there is any other.
func (out *ProgramResult) commonDiagnosis() Diagnosis {
	n := map[DiagnosisVerdict]int{}
	for _, r := range out.Runs {
		n[r.Diagnosis.Verdict]++
	}
	best := out.Runs[0]
	for _, r := range out.Runs {
		a, b := r.Diagnosis.Verdict, best.Diagnosis.Verdict
		if b == DiagnosisTooFew && a != b || a != DiagnosisTooFew && n[a] > n[b] {
			best = r
		}
	}
	d := best.Diagnosis
	d.Text = fmt.Sprintf("In %d of %s: %s", n[d.Verdict], plural(len(out.Runs), "run", "runs"), d.Text)
	return d
}

// ownShow says how many of the runs are a leak without the others.
func ownShow(k, runs int) string {
	switch {
	case runs == 1:
		return "there is no other run"
	case k == 0:
		return "no run shows it on its own"
	case k == runs:
		return "each run shows it on its own"
	case k == 1:
		return fmt.Sprintf("1 of the %d runs shows it on its own", runs)
	}
	return fmt.Sprintf("%d of the %d runs show it on their own", k, runs)
}

func orUnnamed(name string) string { return cmp.Or(strings.TrimSpace(name), "the program") }
