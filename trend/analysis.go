package trend

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"leaktrack/heap"
)

// analysis is the work on one process.
type analysis struct {
	c           *collected
	o           Options
	basis       heap.Basis
	other       heap.Basis
	otherRows   int
	table       *table // nil: no snapshot has a table of types
	rows        []int  // of the table, by uptime
	times       []float64
	complete    []bool // of each row in order
	allComplete bool
	doubled     int // snapshots left out because another has the same uptime
	full        *sampling
	screened    []screening // of each type of the table
	tested      int
	judged      []judgedType
	trends      []TypeTrend // of each type of the table
	keep        bool        // the columns, after their types are judged
	growth      ordinary    // of the heap, for shares; bytes over all rows
	growthKnown bool
	cells       int
}

// screening is what the pre-screen makes of a type.
type screening struct {
	pattern string // of the rows where the type has a point; "" for all
	points  int
	byBytes bool // judged by bytes, because the count hardly moves
	tested  bool
}

// judgedType is a type with what later steps need of it.
type judgedType struct {
	share        float64 // least-squares slope of the bytes
	*flaggedType         // nil of a type that is neither a leak nor suspected
}

// flaggedType is what the groups are made from.
type flaggedType struct {
	trend *TypeTrend
	j     *judgement
	s     *sampling
	b     []float64 // bytes at s.raw
}

// pointBudget is up to how many points of types that do not grow are kept in
// the result. Above, only their first and last are: a process of 50,000 types
// and 100 snapshots would fill 160 MB with them.
const pointBudget = 1 << 20

func newAnalysis(c *collected, o Options) *analysis {
	a := &analysis{c: c, o: o}
	a.basis, a.other = c.basis()
	if a.other != "" {
		rows, _ := c.tables[a.other].sorted(c.frames)
		a.otherRows = len(rows)
	}
	if a.basis == "" {
		return a
	}
	a.table = c.tables[a.basis]
	a.rows, a.doubled = a.table.sorted(c.frames)
	a.allComplete = true
	for _, r := range a.rows {
		f := a.frame(r)
		a.times = append(a.times, f.uptime.Seconds())
		a.complete = append(a.complete, f.complete)
		a.allComplete = a.allComplete && f.complete
	}
	a.full = newSampling(a.times)
	a.cells = len(a.rows) * len(a.table.types)
	a.screen()
	return a
}

func (a *analysis) frame(row int) *frame { return &a.c.frames[a.table.frames[row]] }

// Screening by size only, never by how the series looks: max-min of at least
// minObjects and a hundredth of the least.
func changes(lo, hi, least int64) bool {
	d := float64(hi) - float64(lo)
	return d >= float64(least) && d >= materialPart*float64(lo)
}

// screen finds the types that change enough to be judged, and counts them.
func (a *analysis) screen() {
	a.screened = make([]screening, len(a.table.types))
	a.parallel(len(a.table.types), nil, func(_ *workspace, i int) {
		a.screened[i] = a.screenType(&a.table.types[i])
	})
	for i := range a.screened {
		if a.screened[i].tested {
			a.tested++
		}
	}
}

func (a *analysis) screenType(s *series) screening {
	var out screening
	var loC, hiC, loB, hiB int64 = math.MaxInt64, -1, math.MaxInt64, -1
	gaps := false
	for k, r := range a.rows {
		c, b := s.get(r)
		if c == absent {
			if !a.complete[k] || s.blind[r] {
				gaps = true
				continue
			}
			c, b = 0, 0
		}
		out.points++
		loC, hiC, loB, hiB = min(loC, c), max(hiC, c), min(loB, b), max(hiB, b)
	}
	if gaps {
		p := make([]byte, (len(a.rows)+7)/8)
		for k, r := range a.rows {
			if c, _ := s.get(r); c != absent || a.complete[k] && !s.blind[r] {
				p[k/8] |= 1 << (k % 8)
			}
		}
		out.pattern = string(p)
	}
	switch {
	case changes(loC, hiC, minObjects):
		out.tested = true
	case changes(loB, hiB, minBytes):
		out.tested, out.byBytes = true, true
	}
	out.tested = out.tested && out.points >= 3
	return out
}

// materialise returns the type's points in order of uptime.
func (a *analysis) materialise(i int, count, bytes []float64) (c, b []float64) {
	s := &a.table.types[i]
	count, bytes = count[:0], bytes[:0]
	for k, r := range a.rows {
		c, b := s.get(r)
		if c == absent {
			if !a.complete[k] || s.blind[r] {
				continue
			}
			c, b = 0, 0
		}
		count = append(count, float64(c))
		bytes = append(bytes, float64(b))
	}
	return count, bytes
}

// timesOf returns the times at which a type of this presence pattern has
// points.
func (a *analysis) timesOf(pattern string) []float64 {
	if pattern == "" {
		return a.times
	}
	var t []float64
	for k := range a.rows {
		if pattern[k/8]&(1<<(k%8)) != 0 {
			t = append(t, a.times[k])
		}
	}
	return t
}

// judgeTypes judges every type. Types that were seen at the same times share
// a sampling; those of one pattern are handled together, so that few plans
// are held at once.
func (a *analysis) judgeTypes() {
	if a.table == nil {
		return
	}
	a.heapGrowth()
	a.judged = make([]judgedType, len(a.table.types))
	a.trends = make([]TypeTrend, len(a.table.types))
	order := make([]int, len(a.table.types))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(a.screened[i].pattern, a.screened[j].pattern) })
	var mu sync.Mutex
	var current *sampling
	pattern := ""
	samplingOf := func(p string) *sampling {
		if p == "" {
			return a.full
		}
		mu.Lock()
		defer mu.Unlock()
		if current == nil || pattern != p {
			current, pattern = newSampling(a.timesOf(p)), p
		}
		return current
	}
	a.parallel(len(order), a.o.Progress, func(w *workspace, k int) {
		i := order[k]
		a.judgeType(w, i, samplingOf(a.screened[i].pattern))
		if !a.keep && a.judged[i].flaggedType == nil {
			// The columns of a big process make room for its results.
			a.table.types[i].count, a.table.types[i].bytes = packed{}, packed{}
		}
	})
}

func (a *analysis) judgeType(w *workspace, i int, s *sampling) {
	d := &a.judged[i]
	sc := a.screened[i]
	name := a.table.types[i].name
	w.count, w.bytes = a.materialise(i, w.count, w.bytes)
	d.share = leastSquares(s.raw, w.bytes).slope
	t := &a.trends[i]
	t.Name = name
	if s.plan == nil {
		t.setVerdict(TooFew, false, false)
		a.points(t, w, s, false)
		return
	}
	confidence := a.o.confidence()
	if !sc.tested {
		t.setVerdict(Flat, false, false)
		t.Count.Rate = w.plainSlope(s, w.count, confidence).rate(confidence)
		t.Bytes.Rate = w.plainSlope(s, w.bytes, confidence).rate(confidence)
		a.points(t, w, s, a.wanted(name))
		return
	}
	main, other := w.count, w.bytes
	floor := float64(minObjects)
	if sc.byBytes {
		main, other, floor = w.bytes, w.count, minBytes
	}
	j := w.judge([]life{{s: s, y: main}}, a.tested, floor, confidence)
	beside := w.besideSlope(&j, s, other, confidence)
	countSlope, byteSlope := j.slope, beside
	if sc.byBytes {
		countSlope, byteSlope = beside, j.slope
	}
	t.setVerdict(j.verdict, j.leak, j.suspect)
	t.ByBytes = sc.byBytes
	t.Confidence, t.Firm = j.posterior, j.firm
	if j.guard != passed {
		t.Confidence = min(t.Confidence, 0.5)
	}
	t.Count.Rate, t.Bytes.Rate = countSlope.rate(confidence), byteSlope.rate(confidence)
	flagged := j.leak || j.suspect
	a.points(t, w, s, flagged || a.wanted(name))
	if flagged || a.wanted(name) {
		t.Count.Curve = w.curve(&j.lives[0], s, w.count, confidence)
		t.Bytes.Curve = w.curve(&j.lives[0], s, w.bytes, confidence)
	}
	if flagged {
		since := j.lives[0].since()
		t.Count.Since, t.Bytes.Since = since, since
	}
	t.Warnings = a.typeWarnings(&j, sc, s, w)
	if a.o.Explain != nil && a.o.Explain(name) {
		t.Evidence = a.explain(&j, sc, countSlope, byteSlope)
	}
	if flagged {
		d.flaggedType = &flaggedType{t, &j, s, slices.Clone(w.bytes)}
	}
}

// setVerdict says the same of the type and both its measures.
func (t *TypeTrend) setVerdict(v Verdict, leak, suspect bool) {
	t.Verdict, t.Leak, t.Suspect = v, leak, suspect
	t.Count.Verdict, t.Count.Leak, t.Count.Suspect = v, leak, suspect
	t.Bytes.Verdict, t.Bytes.Leak, t.Bytes.Suspect = v, leak, suspect
}

// points fills the points of both measures, all of them or, in a large
// process, those at the ends.
func (a *analysis) points(t *TypeTrend, w *workspace, s *sampling, all bool) {
	n := len(s.raw)
	t.Count.N, t.Bytes.N = n, n
	if n == 0 {
		return
	}
	at := func(k int, v float64) Point {
		return Point{time.Duration(math.Round(s.raw[k] * 1e9)), toInt64(v)}
	}
	if all || a.cells <= pointBudget || n <= 2 {
		t.Count.Points, t.Bytes.Points = make([]Point, n), make([]Point, n)
		for k := range n {
			t.Count.Points[k], t.Bytes.Points[k] = at(k, w.count[k]), at(k, w.bytes[k])
		}
		return
	}
	t.Count.Points = []Point{at(0, w.count[0]), at(n-1, w.count[n-1])}
	t.Bytes.Points = []Point{at(0, w.bytes[0]), at(n-1, w.bytes[n-1])}
}

func toInt64(v float64) int64 {
	if v >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(v)
}

func (a *analysis) wanted(name string) bool {
	return a.o.Curves != nil && a.o.Curves(name) || a.o.Explain != nil && a.o.Explain(name)
}

// plainSlope is the slope of a series that is not judged.
func (w *workspace) plainSlope(s *sampling, y []float64, confidence float64) slopes {
	constant := true
	for _, v := range y {
		constant = constant && v == y[0]
	}
	if constant {
		return slopes{n: s.plan.n, from: s.t[0], activeShare: 1, degrees: s.plan.n - 2}
	}
	p := s.reduce(y, w.buf2)
	if s.bounds != nil {
		w.buf2 = p
	}
	return w.slopeOf(s.plan, s.t, p, confidence)
}

// besideSlope is the slope of the other measure of a judged type, over the
// same active phase.
func (w *workspace) besideSlope(j *judgement, s *sampling, y []float64, confidence float64) slopes {
	l := &j.lives[0]
	p := s.reduce(y, w.buf2)
	if s.bounds != nil {
		w.buf2 = p
	}
	w.other, _ = clip(s.t, p, w.other)
	r := lifeJudgement{plan: l.plan, t: l.t, y: w.other, ev: l.ev, freed: l.freed}
	return w.activeSlope(&r, confidence)
}

// heapGrowth finds the slope that shares are parts of: that of the sum of all
// types where every snapshot lists them all, otherwise that of the heap as
// reported.
func (a *analysis) heapGrowth() {
	if len(a.rows) < 2 {
		return
	}
	y := make([]float64, 0, len(a.rows))
	for _, r := range a.rows {
		f := a.frame(r)
		switch {
		case a.allComplete:
			y = append(y, f.sum)
		case f.live.Known():
			y = append(y, float64(f.live.Or(0)))
		case f.objectBytes.Known():
			y = append(y, float64(f.objectBytes.Or(0)))
		default:
			return
		}
	}
	a.growth = leastSquares(a.times, y)
	span := a.times[len(a.times)-1] - a.times[0]
	// Shares of next to nothing would be noise over noise.
	a.growthKnown = a.growth.slope > 0 && a.growth.slope*span >= minBytes && a.growth.slope*span >= 0.001*a.growth.at0
}

// parallel calls f for 0..n-1 on all workers, each with a workspace of its
// own, in small batches in order.
func (a *analysis) parallel(n int, progress func(done, total int), f func(w *workspace, i int)) {
	const batch = 32
	var next, done atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range min(a.o.workers(), (n+batch-1)/batch) {
		wg.Go(func() {
			w := newWorkspace()
			for {
				from := int(next.Add(batch)) - batch
				if from >= n {
					return
				}
				to := min(n, from+batch)
				for i := from; i < to; i++ {
					f(w, i)
				}
				d := done.Add(int64(to - from))
				if progress != nil {
					mu.Lock()
					progress(int(d), n)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}
