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
	lines  []linePlan       // by remlGrid
	lnN    float64

	fineMu sync.Mutex
	fine   [tauFine]atomic.Pointer[fineTau]

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
	rows   [][]float64
	inner  []float64 // prefix sums of ((1-a)*d)^2, for levels
}

// fit is a shape with where its columns are.
type fit struct {
	model model
	theta float64
	k     int // coefficients, the constant included
	rows  []int
	sign  signRule
	// For warmSign, by noise coefficient: the lengths and the overlap that turn
	// the projections back into coefficients.
	lenLine, lenCurve, overlap []float64
}

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
	raw := make([][][]float64, len(list))
	for i, s := range list {
		for _, f := range s.columns {
			raw[i] = append(raw[i], sample(f, p.x))
		}
	}
	for _, phi := range phis {
		p.noise = append(p.noise, p.newNoise(phi))
	}
	rows := 0
	for i, s := range list {
		f := fit{model: s.model, theta: s.theta, k: 1 + len(s.columns), sign: s.sign}
		ok := true
		for j := range p.noise {
			q, lengths, overlap := p.noise[j].basis(raw[i])
			if q == nil {
				ok = false
				break
			}
			if s.sign == warmSign || s.sign == bothPositive {
				// The curve is the first column, the line the second.
				f.lenCurve = append(f.lenCurve, lengths[0])
				f.lenLine = append(f.lenLine, lengths[1])
				f.overlap = append(f.overlap, overlap)
			}
			p.noise[j].rows = append(p.noise[j].rows[:rows], q...)
		}
		if !ok { // columns that cannot be told apart at these times
			for j := range p.noise {
				p.noise[j].rows = p.noise[j].rows[:rows]
			}
			continue
		}
		for range s.columns {
			f.rows = append(f.rows, rows)
			rows++
		}
		p.byKind[f.model] = append(p.byKind[f.model], len(p.fits))
		p.fits = append(p.fits, f)
	}
	p.first = rows
	for _, phi := range remlGrid {
		p.lines = append(p.lines, p.newLine(phi))
	}
	return p
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

func sample(f func(float64) float64, x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = f(v)
	}
	return out
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

// basis whitens the columns and makes them orthonormal to the constant and to
// each other, in order (Gram-Schmidt, twice, which is enough: Giraud and
// others 2005). It returns nil when they are nearly dependent. lengths are
// those of the whitened columns after the earlier ones are taken out; overlap
// is the part of the second column along the first.
func (w *noisePlan) basis(columns [][]float64) (q [][]float64, lengths []float64, overlap float64) {
	q = [][]float64{}
	for i, c := range columns {
		v := w.whiten(c, nil)
		whole := floats.Norm(v, 2)
		for pass := range 2 {
			floats.AddScaled(v, -floats.Dot(w.one, v), w.one)
			for j, e := range q {
				d := floats.Dot(e, v)
				if i == 1 && j == 0 && pass == 0 {
					overlap = d
				}
				floats.AddScaled(v, -d, e)
			}
		}
		l := floats.Norm(v, 2)
		if !(l > 1e-7*whole) || whole == 0 {
			return nil, nil, 0
		}
		floats.Scale(1/l, v)
		q = append(q, v)
		lengths = append(lengths, l)
	}
	return q, lengths, overlap
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
	c := [][]float64{sample(saturation(f.tau), p.x)}
	for j := range p.noise {
		q, _, _ := p.noise[j].basis(c)
		if q == nil {
			f.rows = nil
			break
		}
		f.rows = append(f.rows, q[0])
	}
	p.fine[i].Store(f)
	return f
}
