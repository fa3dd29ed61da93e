package trend

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"leaktrack/heap"
)

// result puts everything together.
func (a *analysis) result() *Result {
	r := &Result{Process: a.c.process, Basis: a.basis, OtherBasis: a.other, OtherSnapshots: a.otherRows, Tested: a.tested}
	r.Snapshots = len(a.rows)
	for _, ok := range a.complete {
		if !ok {
			r.Incomplete++
		}
	}
	for i := range a.c.frames {
		up := a.c.frames[i].uptime
		if i == 0 || up < r.From {
			r.From = up
		}
		r.To = max(r.To, up)
	}
	if len(a.times) > 0 {
		r.From, r.To = a.frame(a.rows[0]).uptime, a.frame(a.rows[len(a.rows)-1]).uptime
	} else if len(a.c.frames) > 0 {
		r.Basis = a.c.frames[0].basis
	}
	h := a.heapMeasure()
	committed := a.measure(anyFrame, func(f *frame) heap.Optional { return f.committed })
	native := a.measure(anyFrame, func(f *frame) heap.Optional { return f.native })
	rss, private := a.rssMeasure()
	h.name, committed.name, native.name = measureWords["heap"], measureWords["committed"], measureWords["native"]
	r.RSSIsPrivate = private
	r.Heap, r.Committed, r.Native, r.RSS = h.m, committed.m, native.m, rss.m
	if n, ok := a.lastKnown(func(f *frame) heap.Optional { return f.heaps }); ok {
		r.Heaps = int(min(n, math.MaxInt32))
	}
	r.HeapBytes = a.c.heapBytes
	if r.Heaps == 0 {
		r.Heaps = len(r.HeapBytes)
	}
	for i := range a.c.frames {
		if s := a.c.frames[i].server; s != heap.Unknown {
			r.Server = s
		}
	}
	r.Groups = a.groups()
	for i := range a.judged {
		a.trends[i].ShareKnown = a.growthKnown
		a.trends[i].Share = a.shareOf(&a.judged[i])
	}
	r.Types = a.trends
	slices.SortStableFunc(r.Types, compareTrends)
	r.ExplainedKnown = a.growthKnown
	for i := range r.Groups {
		r.Explained += r.Groups[i].Share
	}
	r.Forecast = a.forecast(&h, &committed, &rss)
	r.Warnings = a.warnings(r, &h)
	r.Diagnosis = a.diagnose(r, &h, &committed, &native, &rss)
	return r
}

// class is where a judgement stands in order: leaks with evidence to spare,
// other leaks, suspects, the rest. Among thousands of types the one that looks
// like a leak by chance is often a large one, and would stand before the leak.
func class(leak, firm, suspect bool) int {
	switch {
	case leak && firm:
		return 0
	case leak:
		return 1
	case suspect:
		return 2
	}
	return 3
}

// compareTrends orders by class, each by the lower bound of the bytes rate.
func compareTrends(x, y TypeTrend) int {
	if c := class(x.Leak, x.Firm, x.Suspect) - class(y.Leak, y.Firm, y.Suspect); c != 0 {
		return c
	}
	low := func(t *TypeTrend) float64 {
		if t.Bytes.Rate == nil {
			return 0
		}
		return t.Bytes.Rate.Low
	}
	switch a, b := low(&x), low(&y); {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return strings.Compare(x.Name, y.Name)
}

// needed is the growth over the window, in standard deviations of the noise,
// at which nine in ten leaks are found, by number of snapshots: measured on
// straight leaks under white noise (doc/statistics.md).
var needed = []struct{ n, sd float64 }{{5, 25}, {10, 12}, {30, 7}, {100, 3.1}, {500, 1.6}}

// neededGrowth interpolates needed in logarithms.
func neededGrowth(n float64) float64 {
	if n <= needed[0].n {
		return needed[0].sd
	}
	for i := 1; i < len(needed); i++ {
		a, b := needed[i-1], needed[i]
		if n <= b.n {
			f := math.Log(n/a.n) / math.Log(b.n/a.n)
			return a.sd * math.Pow(b.sd/a.sd, f)
		}
	}
	return needed[len(needed)-1].sd
}

// moreTime estimates how much longer a series of this rate and noise must be
// watched for a verdict; ok is false when that is beyond ten windows or not a
// matter of time.
func moreTime(l *lifeJudgement) (d time.Duration, snapshots int, ok bool) {
	o := leastSquares(l.t, l.y)
	n := float64(l.plan.n)
	if o.slope <= 0 || n < 3 {
		return 0, 0, false
	}
	sd := math.Sqrt(o.rss/max(1, n-2)) + 0.5
	for f := 1.0; f <= maxHorizon; f += 0.05 {
		if o.slope*l.plan.span*f/sd >= neededGrowth(n*f) {
			if f == 1 {
				return 0, 0, false
			}
			return seconds(l.plan.span * (f - 1)), int(math.Ceil(n * (f - 1))), true
		}
	}
	return 0, 0, false
}

// typeWarnings are the doubts about one type.
func (a *analysis) typeWarnings(j *judgement, sc screening, s *sampling, w *workspace) []string {
	var out []string
	flagged := j.leak || j.suspect
	n := len(s.t)
	if flagged && n == 3 {
		out = append(out, "three snapshots: a cache that is still filling looks the same; take another")
	}
	if flagged && n == 4 {
		out = append(out, "four snapshots: a cache that is still filling looks the same; take another")
	}
	if s.merged > 0 {
		out = append(out, fmt.Sprintf("%s too close to another and counted as one with it", plural(s.merged, "snapshot was", "snapshots were")))
	}
	if j.suspect {
		if d, k, ok := moreTime(&j.lives[0]); ok {
			out = append(out, fmt.Sprintf("a verdict needs about %s more at this rate (%s)", spanText(d), plural(k, "snapshot", "snapshots")))
		}
	}
	if sc.byBytes {
		out = append(out, "judged by bytes, because the number of objects hardly changes")
	}
	if w.doubles(sc) {
		out = append(out, "the bytes double while the number of objects stays: the backing array of a growing list looks like this")
	}
	return out
}

// doubles reports whether the bytes at w.bytes grow in doublings with the
// count at w.count constant or nearly so.
func (w *workspace) doubles(sc screening) bool {
	if !sc.byBytes {
		return false
	}
	ups := 0
	for i := 1; i < len(w.bytes); i++ {
		if w.bytes[i-1] <= 0 {
			return false
		}
		switch r := w.bytes[i] / w.bytes[i-1]; {
		case r >= 1.8 && r <= 2.2:
			ups++
		case r < 0.98 || r > 1.02:
			return false
		}
	}
	return ups >= 2
}

// warnings are the doubts about the process.
func (a *analysis) warnings(r *Result, h *judgedMeasure) []string {
	var out []string
	if a.c.partial > 0 {
		out = append(out, fmt.Sprintf("%s of a part of the heap (one generation, a range, dead objects) not used: their counts would look like a loss", plural(a.c.partial, "table", "tables")))
	}
	if a.c.unknown > 0 {
		out = append(out, fmt.Sprintf("%s without uptime left out", plural(a.c.unknown, "snapshot", "snapshots")))
	}
	if a.doubled > 0 {
		out = append(out, fmt.Sprintf("%s left out, because another has the same uptime", plural(a.doubled, "snapshot", "snapshots")))
	}
	if a.other != "" {
		out = append(out, fmt.Sprintf("judged by the %s of %s objects; %s of %s objects stay out of it, because dead objects count in one and not in the other",
			plural(len(a.rows), "snapshot", "snapshots"), a.basis, plural(a.otherRows, "snapshot", "snapshots"), a.other))
	}
	if r.Incomplete > 0 {
		out = append(out, fmt.Sprintf("%d of %s do not list every type: a type that is not listed has no point there", r.Incomplete, plural(len(a.rows), "snapshot", "snapshots")))
	}
	estimated := 0
	for _, row := range a.rows {
		if a.frame(row).estimated {
			estimated++
		}
	}
	if estimated > 0 {
		out = append(out, fmt.Sprintf("%s hold estimated counts, scaled up from a sample or from rounded figures: rates are that uncertain too", plural(estimated, "snapshot", "snapshots")))
	}
	if a.table != nil {
		out = append(out, a.table.namesWarnings()...)
	}
	if len(r.Groups) > 0 || h.grows() {
		if n := max(len(a.times), len(h.v)); n == 3 || n == 4 {
			out = append(out, fmt.Sprintf("%s: a cache that is still filling looks the same; take another", map[int]string{3: "three snapshots", 4: "four snapshots"}[n]))
		}
		if (r.To - r.From).Seconds() < dailyFromDay*day {
			out = append(out, "the snapshots span less than a day and a quarter: a daily cycle cannot be excluded")
		}
	}
	if groups := len(r.Groups); groups > 0 && a.basis == heap.All {
		out = append(out, "counts include dead objects that await collection; a snapshot of live objects says more")
	}
	return out
}
