package trend

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/floats"
)

// plan is everything about a set of sampling times that does not depend on
// the series: for every AR coefficient the columns of every shape, whitened,
// made orthonormal and free of the constant. With it the residual sum of
// squares of a shape costs one dot product per column. A plan is built once
// per process and shared by all its types.
type plan struct {
	n      int
	t0     float64
	span   float64 // seconds
	x      []float64
	gap    []float64 // x[i]-x[i-1] over the mean gap; gap[0] is unused
	noise  []noisePlan
	fits   []fit
	byKind [numModels][]int // places in fits of each model
	first  int              // rows of the matrix
	lines  []linePlan       // by lineCoefficients.phi
	lnN    float64

	fineMu sync.Mutex
	fine   [tauFine]atomic.Pointer[fineTau]

	tails []atomic.Pointer[plan] // see from

	dropOnce sync.Once
	dropped  *plan // without the last twentieth of the points; nil if too few are left
}

// noisePlan holds the whitened columns for one AR(1) coefficient per mean gap.
// For irregular gaps it is phi to the power of the gap in mean gaps, the
// discretised continuous-time process (TAUEST, Mudelsee 2002).
type noisePlan struct {
	phi    float64
	a, d   []float64 // z'[i] = (z[i]-a[i]*z[i-1])*d[i]
	logDet float64   // sum of ln(1-a[i]^2)
	one    []float64 // whitened constant, normed
	// Every shape's columns, one row after the other, and of each row what
	// next says of it.
	matrix, lengths, overlaps []float64
	inner                     []float64 // prefix sums of ((1-a)*d)^2, for levels
}

// fit is a shape with where its columns are.
type fit struct {
	model model
	sign  signRule
	k     int // coefficients, the constant included
	rows  [mostColumns]int
	theta float64
	// By noise coefficient, for warmSign and bothPositive.
	scales []scales
}

// scales are the lengths and the overlap that turn the projections of a curve
// and a line back into coefficients.
type scales struct{ curve, line, overlap float64 }

// mostColumns is how many columns a shape has at most, besides the constant.
const mostColumns = 3

var (
	phiGrid    = []float64{0, 0.3, 0.6, 0.8, 0.9, 0.96}
	phiGridFew = []float64{0, 0.4, 0.8} // below eight points
	scaleGrid  = [3]float64{0.003, 0.03, 0.3}
)

// newPlan builds the plan for strictly ascending times t in seconds; there
// must be at least three.
func newPlan(t []float64) *plan {
	n := len(t)
	p := &plan{n: n, t0: t[0], span: t[n-1] - t[0], x: make([]float64, n), gap: make([]float64, n), lnN: math.Log(float64(n))}
	for i := range t {
		p.x[i] = (t[i] - t[0]) / p.span
		if i > 0 {
			p.gap[i] = (p.x[i] - p.x[i-1]) * float64(n-1)
		}
	}
	phis := phiGrid
	if n < manyModels {
		phis = phiGridFew
	}
	list := shapes(p.x, p.span)
	most := 0
	for _, s := range list {
		most += len(s.columns) - s.like
	}
	for _, phi := range phis {
		w := p.newNoise(phi)
		w.matrix = make([]float64, 0, most*n)
		p.noise = append(p.noise, w)
	}
	// Columns like those of the shape before are sampled and made orthonormal
	// once.
	rows, before := 0, fit{k: 1}
	var columns [mostColumns][]float64
	for _, s := range list {
		f := fit{model: s.model, theta: s.theta, k: 1 + len(s.columns), sign: s.sign}
		shared := min(s.like, before.k-1)
		for c := range s.columns {
			if c >= s.like {
				columns[c] = sampleInto(columns[c], s.columns[c], p.x)
			}
			f.rows[c] = rows + c - shared
			if c < shared {
				f.rows[c] = before.rows[c]
			}
		}
		before = fit{k: 1}
		if !p.addRows(rows, f.rows[:shared], columns[:len(s.columns)]) {
			continue // columns that cannot be told apart at these times
		}
		rows += len(s.columns) - shared
		before = f
		if s.sign == warmSign || s.sign == startSign || s.sign == bothPositive || s.sign == fallSign {
			// The curve is the first column, the line the second.
			for j := range p.noise {
				w := &p.noise[j]
				f.scales = append(f.scales, scales{w.lengths[f.rows[0]], w.lengths[f.rows[1]], w.overlaps[f.rows[1]]})
			}
		}
		p.byKind[f.model] = append(p.byKind[f.model], len(p.fits))
		p.fits = append(p.fits, f)
	}
	p.first = rows
	for _, phi := range lineCoefficients.phi {
		p.lines = append(p.lines, newLine(t, phi))
	}
	p.tails = make([]atomic.Pointer[plan], n)
	return p
}

// from returns a plan of straight lines alone for the points from i on, of
// whose times t all are given: types that began to grow at the same snapshot
// share it. It is nil for a few points, which are as fast without.
func (p *plan) from(i int, t []float64) *plan {
	switch {
	case i == 0:
		return p
	case p.n-i < manyModels:
		return nil
	}
	tail := p.tails[i].Load()
	if tail == nil {
		tail = &plan{n: p.n - i}
		for _, phi := range lineCoefficients.phi {
			tail.lines = append(tail.lines, newLine(t[i:], phi))
		}
		p.tails[i].Store(tail) // another worker's would be the same
	}
	return tail
}

// addRows makes the columns of a shape orthonormal under every noise
// coefficient, those behind the first ones, whose rows are known, as the rows
// from at on. It reports whether they can be told apart.
func (p *plan) addRows(at int, known []int, columns [][]float64) bool {
	for j := range p.noise {
		w := &p.noise[j]
		w.matrix, w.lengths, w.overlaps = w.matrix[:at*p.n], w.lengths[:at], w.overlaps[:at]
		var q [][]float64
		for _, r := range known {
			q = append(q, w.row(r))
		}
		for _, c := range columns[len(known):] {
			v, length, overlap := w.next(q, c, w.matrix[len(w.matrix):])
			if v == nil {
				return false
			}
			q = append(q, v)
			w.matrix = w.matrix[:len(w.matrix)+p.n]
			w.lengths, w.overlaps = append(w.lengths, length), append(w.overlaps, overlap)
		}
	}
	return true
}

// dropLast is how many points at the end a burst of work may spoil: a
// twentieth, and from burstFrom points on three, because snapshots taken one
// after the other catch the same burst.
func dropLast(n int) int {
	if n >= burstFrom {
		return max(3, (n+10)/20)
	}
	return max(1, (n+10)/20)
}

const burstFrom = 24

// drop returns the plan without the last points; nil when fewer than four
// would be left.
func (p *plan) drop() *plan {
	p.dropOnce.Do(func() {
		n := p.n - dropLast(p.n)
		if n < 4 {
			return
		}
		t := make([]float64, n)
		for i := range t {
			t[i] = p.t0 + p.x[i]*p.span
		}
		p.dropped = newPlan(t)
	})
	return p.dropped
}

func sample(f func(float64) float64, x []float64) []float64 { return sampleInto(nil, f, x) }

// sampleInto returns f at every x, in dst.
func sampleInto(dst []float64, f func(float64) float64, x []float64) []float64 {
	dst = slices.Grow(dst[:0], len(x))
	for _, v := range x {
		dst = append(dst, f(v))
	}
	return dst
}

// newNoise prepares whitening with phi per mean gap.
func (p *plan) newNoise(phi float64) noisePlan {
	w := noisePlan{phi: phi, a: make([]float64, p.n), d: make([]float64, p.n), inner: make([]float64, p.n+1)}
	w.d[0] = 1
	for i := 1; i < p.n; i++ {
		if phi > 0 {
			w.a[i] = math.Pow(phi, p.gap[i])
		}
		// Two snapshots in one millisecond of a long window are, to this noise,
		// one; the bound keeps the weights finite.
		v := max(1-w.a[i]*w.a[i], 1e-6)
		w.d[i] = 1 / math.Sqrt(v)
		w.logDet += math.Log(v)
		inner := (1 - w.a[i]) * w.d[i]
		w.inner[i+1] = w.inner[i] + inner*inner
	}
	ones := make([]float64, p.n)
	for i := range ones {
		ones[i] = 1
	}
	w.one = w.whiten(ones, nil)
	floats.Scale(1/floats.Norm(w.one, 2), w.one)
	return w
}

// whiten returns z with the noise's correlation taken out, in dst.
func (w *noisePlan) whiten(z, dst []float64) []float64 {
	dst = append(slices.Grow(dst[:0], len(z)), z[0])
	for i := 1; i < len(z); i++ {
		dst = append(dst, (z[i]-w.a[i]*z[i-1])*w.d[i])
	}
	return dst
}

// row is one column of the matrix.
func (w *noisePlan) row(r int) []float64 {
	n := len(w.one)
	return w.matrix[r*n : (r+1)*n : (r+1)*n]
}

// next whitens a column and makes it, in dst, orthonormal to the constant and to
// the columns of q (Gram-Schmidt, twice, which is enough: Giraud and others 2005).
// It returns nil when it nearly depends on them. length is that of the whitened
// column after the earlier ones are taken out; overlap is its part along the
// first of them where there is one other.
func (w *noisePlan) next(q [][]float64, column, dst []float64) (v []float64, length, overlap float64) {
	v = w.whiten(column, dst)
	whole := math.Sqrt(floats.Dot(v, v))
	for pass := range 2 {
		floats.AddScaled(v, -floats.Dot(w.one, v), w.one)
		for _, e := range q {
			d := floats.Dot(e, v)
			if len(q) == 1 && pass == 0 {
				overlap = d
			}
			floats.AddScaled(v, -d, e)
		}
	}
	length = floats.Norm(v, 2)
	if !(length > 1e-7*whole) || whole == 0 {
		return nil, 0, 0
	}
	floats.Scale(1/length, v)
	return v, length, overlap
}

// The finer time constants between those of the saturating grid: each step is
// halved tauHalvings times around the best one. Their columns are made when a
// type first asks for them.
const (
	tauHalvings = 6
	tauFine     = (tauSteps-1)<<tauHalvings + 1
)

type fineTau struct {
	tau  float64
	rows [][]float64 // by noise coefficient; nil when the column is degenerate
}

// fineAt returns the columns of the i-th fine time constant. It is safe for
// concurrent use.
func (p *plan) fineAt(i int) *fineTau {
	if f := p.fine[i].Load(); f != nil {
		return f
	}
	p.fineMu.Lock()
	defer p.fineMu.Unlock()
	if f := p.fine[i].Load(); f != nil {
		return f
	}
	f := &fineTau{tau: tauMin * math.Pow(tauMax/tauMin, float64(i)/float64(tauFine-1))}
	c := sample(saturation(f.tau), p.x)
	for j := range p.noise {
		q, _, _ := p.noise[j].next(nil, c, nil)
		if q == nil {
			f.rows = nil
			break
		}
		f.rows = append(f.rows, q)
	}
	p.fine[i].Store(f)
	return f
}
