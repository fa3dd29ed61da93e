package trend

import (
	"cmp"
	"slices"
	"time"

	"leaktrack/heap"
)

// judgedMeasure is a size of the process over time, judged on its own.
type judgedMeasure struct {
	m    *Measure // nil: unknown
	name string   // in a sentence
	j    judgement
	s    *sampling
	v    []float64
	line ordinary // over all points
}

// measure judges one number of the frames that of names; frames where it is
// unknown are no points. Sizes of a heap depend on the basis, so only frames
// that keep accepts are used.
func (a *analysis) measure(keep func(*frame) bool, of func(*frame) heap.Optional) judgedMeasure {
	type point struct {
		up time.Duration
		v  int64
	}
	var points []point
	for i := range a.c.frames {
		f := &a.c.frames[i]
		if n, ok := of(f).Get(); ok && keep(f) {
			points = append(points, point{f.uptime, n})
		}
	}
	if len(points) == 0 {
		return judgedMeasure{}
	}
	slices.SortStableFunc(points, func(x, y point) int { return cmp.Compare(x.up, y.up) })
	unique := points[:0]
	for _, p := range points {
		if k := len(unique); k > 0 && unique[k-1].up == p.up {
			unique[k-1] = p
			continue
		}
		unique = append(unique, p)
	}
	out := judgedMeasure{m: &Measure{Verdict: TooFew, N: len(unique)}}
	t := make([]float64, len(unique))
	for i, p := range unique {
		out.m.Points = append(out.m.Points, Point{p.up, p.v})
		t[i], out.v = p.up.Seconds(), append(out.v, float64(p.v))
	}
	out.s = newSampling(t)
	out.line = leastSquares(t, out.v)
	if out.s.plan == nil {
		return out
	}
	confidence := a.o.confidence()
	w := newWorkspace()
	lo, hi := slices.Min(out.v), slices.Max(out.v)
	if hi-lo < minBytes || hi-lo < materialPart*lo {
		out.m.Verdict = Flat
		s := w.plainSlope(out.s, out.v, confidence)
		out.m.Rate = s.rate(confidence)
		return out
	}
	out.j = w.judge([]life{{s: out.s, y: out.v, size: true}}, 1, minBytes, confidence)
	out.m.Verdict, out.m.Leak, out.m.Suspect = out.j.verdict, out.j.leak, out.j.suspect
	out.m.Rate = out.j.slope.rate(confidence)
	out.m.Curve = w.curve(&out.j.lives[0], out.s, out.v, confidence)
	if out.j.leak || out.j.suspect {
		out.m.Since = out.j.lives[0].since()
	}
	return out
}

// grows reports whether the measure is judged to grow.
func (m *judgedMeasure) grows() bool { return m.m != nil && (m.m.Leak || m.m.Suspect) }

// growth is the least-squares growth over the measure's own window, in bytes.
func (m *judgedMeasure) growth() float64 {
	if m.m == nil || len(m.m.Points) < 2 {
		return 0
	}
	return m.line.slope * (m.m.Last().Uptime - m.m.First().Uptime).Seconds()
}

// heapMeasure is the GC heap size as reported; where no snapshot of the basis
// reports it, what the input printed below its table, or the sum of all types
// and, if dead objects count too, the free space between them.
func (a *analysis) heapMeasure() judgedMeasure {
	keep := func(f *frame) bool { return f.basis == a.basis }
	if a.basis == "" {
		keep = func(*frame) bool { return true }
	}
	ways := []func(*frame) heap.Optional{
		func(f *frame) heap.Optional { return f.live },
		func(f *frame) heap.Optional { return f.objectBytes },
		func(f *frame) heap.Optional {
			if !f.typed || !f.complete {
				return heap.Optional{}
			}
			sum := f.sum
			if f.basis == heap.All {
				sum += float64(f.free.Or(0))
			}
			return heap.Known(toInt64(sum))
		},
	}
	for _, of := range ways {
		if m := a.measure(keep, of); m.m != nil {
			return m
		}
	}
	return judgedMeasure{}
}

func anyFrame(*frame) bool { return true }

// rssMeasure is the resident set, or the private bytes where no snapshot has
// one: the two never share a series.
func (a *analysis) rssMeasure() (m judgedMeasure, private bool) {
	m = a.measure(anyFrame, func(f *frame) heap.Optional { return f.rss })
	m.name = measureWords["rss"]
	if m.m == nil {
		m = a.measure(anyFrame, func(f *frame) heap.Optional { return f.private })
		m.name, private = measureWords["private"], m.m != nil
	}
	return m, private
}
