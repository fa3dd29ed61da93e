package trend

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// workspace is the scratch memory of one worker.
type workspace struct {
	noises       []int // places of the plan's noise coefficients that are weighed
	slow         bool  // weigh all of them whatever two of them say
	yw, centred  []float64
	innerY       [maxPoints + 1]float64
	rss          [][]float64 // by noise coefficient, then by fit
	extra        [][]float64 // refined saturating shapes, likewise
	partRSS      [][]float64 // partitions, likewise
	proj         []float64
	dpA, dpB     [maxPoints + 1]float64
	dpFrom       [maxSteps + 1][maxPoints + 1]int32
	costs        [maxPoints * (maxPoints + 1) / 2]float64
	s1, s2       [maxPoints + 1]float64
	inverse      [maxPoints + 1]float64
	tri          [3][maxSteps + 1]float64
	centre       float64
	parts        []partition
	pairs        []float64
	buf1, buf2   []float64
	count, bytes []float64
	other, calm  []float64
	wave, scores []float64
}

func newWorkspace() *workspace {
	w := &workspace{}
	for i := 1; i <= maxPoints; i++ {
		w.inverse[i] = 1 / float64(i)
	}
	return w
}

// minusInf stands for the log evidence of a model that was not tried or whose
// sign rule never held.
var minusInf = math.Inf(-1)

// evidence is what the points say for each model, in natural logarithms.
type evidence struct {
	lnZ     [numModels]float64
	theta   [numModels]float64 // the best place in each grid
	phi     [numModels]float64 // the noise coefficient there
	scale   [numModels]float64 // the noise scale there
	odds    float64            // growing against not growing
	parts   int                // partitions tried
	part    partition          // the best stepwise one; levels nil when there is none
	levels  partition          // the best of the other partitions, likewise
	lateAt  []float64          // weights of the late starts and, first, of a start before the window
	latePos []float64
	level   float64 // median of the points
}

// best returns the model with the greatest evidence among those that keep
// accepts.
func (e *evidence) best(keep func(model) bool) model {
	best := mFlat
	top := minusInf
	for m := range numModels {
		if keep(m) && e.lnZ[m] > top {
			best, top = m, e.lnZ[m]
		}
	}
	return best
}

// weigh computes the evidence for every model in the prepared points y, which
// belong to the plan's times. The likelihood is that of a regression with
// AR(1) noise of coefficient phi, its variance integrated out under an
// inverse-gamma prior of scale s = c median(y) + 1/2, the coefficients
// penalised as in BIC; the places of every grid count alike.
func (w *workspace) weigh(p *plan, y []float64) evidence {
	e := evidence{}
	for m := range e.lnZ {
		e.lnZ[m] = minusInf
	}
	w.buf1 = append(w.buf1[:0], y...)
	e.level = medianOf(w.buf1)
	var scale2 [len(scaleGrid)]float64
	for i, c := range scaleGrid {
		s := c*math.Abs(e.level) + 0.5
		scale2[i] = s * s
	}

	odds := func() float64 {
		return logMeanExp(e.lnZ[:mFlat], p.tried(true)) - logMeanExp(e.lnZ[mFlat:], p.tried(false))
	}
	shapes := func(noises, fresh []int) {
		w.noises = noises
		w.residuals(p, y, fresh)
		for m := range numModels {
			if places := p.byKind[m]; len(places) > 0 {
				w.grid(p, &e, m, scale2, places)
			}
		}
		e.odds = odds()
	}
	// Two noise coefficients tell a hopeless series.
	all := allNoises[:len(p.noise)]
	if p.n >= quickFrom && !w.slow {
		shapes(quickNoises, quickNoises)
		if e.odds > hopeless {
			shapes(all, otherNoises)
		}
	} else {
		shapes(all, all)
	}
	// Levels are dear. Where nothing speaks for growth and the points do not
	// even rise with time, they could not be a stepwise leak and would only
	// lower odds that are too low already.
	if p.n >= manyModels && (e.odds > 0 || correlation(p.x, y) >= levelCorrelation) {
		w.levels(p, &e, y, scale2)
		w.doublings(p, &e, y, scale2)
		e.odds = odds()
	}
	return e
}

// From quickFrom points a series is first weighed under two of the noise
// coefficients, none and strong; when the log odds are below hopeless then,
// the other four would not save it.
const (
	quickFrom = 20
	hopeless  = -6
)

var (
	quickNoises = []int{0, 3}
	otherNoises = []int{1, 2, 4, 5}
	allNoises   = []int{0, 1, 2, 3, 4, 5}
)

// levelCorrelation is the least correlation with time of points that are
// worth a search for levels: a staircase has far more.
const levelCorrelation = 0.3

func correlation(x, y []float64) float64 {
	n := float64(len(x))
	mx, my := floats.Sum(x)/n, floats.Sum(y)/n
	var xx, xy, yy float64
	for i := range x {
		a, b := x[i]-mx, y[i]-my
		xx += a * a
		xy += a * b
		yy += b * b
	}
	if xx == 0 || yy == 0 {
		return 0
	}
	return xy / math.Sqrt(xx*yy)
}

// tried is how many models of a kind the plan compares.
func (p *plan) tried(growing bool) int {
	n := 0
	for m := range numModels {
		if m.growing() == growing && (len(p.byKind[m]) > 0 || (p.n >= manyModels && (m == mStepwise || m == mLevels || m == mDoubling))) {
			n++
		}
	}
	return n
}

// residuals fills w.rss with the residual sum of squares of every fit under
// these noise coefficients, infinite where the sign rule is broken, and w.extra
// with those of the saturating shapes between the places of the grid.
func (w *workspace) residuals(p *plan, y []float64, noises []int) {
	w.rss = resize(w.rss, len(p.noise), len(p.fits))
	if cap(w.proj) < p.first {
		w.proj = make([]float64, p.first)
	}
	proj := w.proj[:p.first]
	centre := floats.Sum(y) / float64(len(y))
	w.centred = w.centred[:0]
	for _, v := range y {
		w.centred = append(w.centred, v-centre)
	}
	for _, j := range noises {
		noise := &p.noise[j]
		yw := w.whitened(noise)
		rss0 := floats.Dot(yw, yw)
		for r := range proj {
			proj[r] = floats.Dot(noise.row(r), yw)
		}
		out := w.rss[j]
		for i := range p.fits {
			f := &p.fits[i]
			if !f.allowed(j, proj) {
				out[i] = math.Inf(1)
				continue
			}
			rss := rss0
			for _, r := range f.rows[:f.k-1] {
				rss -= proj[r] * proj[r]
			}
			out[i] = max(0, rss)
		}
		w.refineSaturating(p, j, yw, rss0)
	}
}

// whitened returns the whitened centred points without their constant.
func (w *workspace) whitened(noise *noisePlan) []float64 {
	w.yw = noise.whiten(w.centred, w.yw)
	floats.AddScaled(w.yw, -floats.Dot(noise.one, w.yw), noise.one)
	return w.yw
}

func (f *fit) allowed(j int, proj []float64) bool {
	switch f.sign {
	case positive:
		return proj[f.rows[f.k-2]] > 0
	case negative:
		return proj[f.rows[f.k-2]] < 0
	case warmSign, startSign, bothPositive, fallSign:
		s := &f.scales[j]
		line := proj[f.rows[1]] / s.line
		curve := (proj[f.rows[0]] - line*s.overlap) / s.curve
		switch f.sign {
		case bothPositive:
			return curve > 0 && line > 0
		case fallSign:
			return curve < 0 && line > 0
		}
		return line > 0.1*curve && (curve > 0 || f.sign == startSign && line > -settled*curve)
	}
	return true
}

// refineSaturating looks between the saturating grid's places around the best
// one, halving the step tauHalvings times, for one noise coefficient: yw are
// its whitened points, rss0 their sum of squares. On quiet data a time constant
// that is a tenth off would lose to shapes that keep growing.
func (w *workspace) refineSaturating(p *plan, j int, yw []float64, rss0 float64) {
	for len(w.extra) <= j {
		w.extra = append(w.extra, nil)
	}
	w.extra[j] = w.extra[j][:0]
	places := p.byKind[mSaturating]
	if len(places) != tauSteps {
		return
	}
	best, at := math.Inf(1), 0
	for i, f := range places {
		if r := w.rss[j][f]; r < best {
			best, at = r, i<<tauHalvings
		}
	}
	for step := 1 << (tauHalvings - 1); step > 0; step /= 2 {
		centre := at
		for _, i := range [2]int{centre - step, centre + step} {
			if i < 0 || i >= tauFine {
				continue
			}
			f := p.fineAt(i)
			if f.rows == nil {
				continue
			}
			d := floats.Dot(f.rows[j], yw)
			r := max(0, rss0-d*d)
			w.extra[j] = append(w.extra[j], r)
			if r < best {
				best, at = r, i
			}
		}
	}
}

// grid averages the likelihood of one model over its places, the noise
// coefficients and the noise scales.
func (w *workspace) grid(p *plan, e *evidence, m model, scale2 [3]float64, places []int) {
	k := float64(p.fits[places[0]].k)
	half := float64(p.n+1) / 2
	var least [6]float64
	var head [6][len(scaleGrid)]float64
	var lnS2 [len(scaleGrid)]float64
	for c, s2 := range scale2 {
		lnS2[c] = math.Log(s2)
	}
	top := minusInf
	for _, j := range w.noises {
		least[j] = math.Inf(1)
		at := -1
		for _, f := range places {
			if r := w.rss[j][f]; r < least[j] {
				least[j], at = r, f
			}
		}
		if m == mSaturating {
			for _, r := range w.extra[j] {
				least[j] = min(least[j], r)
			}
		}
		for c, s2 := range scale2 {
			head[j][c] = -0.5 * (-lnS2[c] + p.noise[j].logDet + k*p.lnN)
			if math.IsInf(least[j], 1) {
				continue
			}
			if l := head[j][c] - half*math.Log(s2+least[j]); l > top {
				top = l
				e.phi[m], e.scale[m] = p.noise[j].phi, math.Sqrt(s2)
				if at >= 0 {
					e.theta[m] = p.fits[at].theta
				}
			}
		}
	}
	if math.IsInf(top, -1) {
		return
	}
	if m == mLate {
		e.latePos, e.lateAt = make([]float64, len(places)), make([]float64, len(places))
	}
	sum, terms := 0.0, 0
	beyond := math.Exp(20 / half)
	for _, j := range w.noises {
		for c, s2 := range scale2 {
			// A term, over the greatest of all, is the power of this base over
			// s2 and the residual; beyond the limit it is below e^-20.
			base := math.Exp((head[j][c] - top) / half)
			limit := base * beyond
			add := func(r float64) float64 {
				if s2+r > limit {
					return 0
				}
				return halfPower(base/(s2+r), p.n+1)
			}
			for i, f := range places {
				v := add(w.rss[j][f])
				sum += v
				if m == mLate {
					e.latePos[i] = p.fits[f].theta
					e.lateAt[i] += v
				}
			}
			terms += len(places)
			if m == mSaturating {
				for _, r := range w.extra[j] {
					sum += add(r)
				}
				terms += len(w.extra[j])
			}
		}
	}
	e.lnZ[m] = top + math.Log(sum/float64(terms))
}

// halfPower is x to the power of n/2, by squaring. It is many times faster than
// the exponential of a logarithm and nearer to the truth.
func halfPower(x float64, n int) float64 {
	out := 1.0
	if n%2 == 1 {
		out = math.Sqrt(x)
	}
	for n /= 2; n > 0; n /= 2 {
		if n%2 == 1 {
			out *= x
		}
		x *= x
	}
	return out
}

// levels weighs the partitions into levels: those that rise again and again
// as the stepwise model, the others as levels. Each is charged the logarithm
// of the number of ways to place its change points.
func (w *workspace) levels(p *plan, e *evidence, y []float64, scale2 [3]float64) {
	parts := w.partitions(y, shortestLevel)
	e.parts = len(parts)
	if len(parts) == 0 {
		return
	}
	w.partRSS = resize(w.partRSS, len(p.noise), len(parts))
	for _, j := range w.noises {
		noise := &p.noise[j]
		yw := w.whitened(noise)
		yy := floats.Dot(yw, yw)
		w.innerY[0], w.innerY[1] = 0, 0
		for i := 1; i < p.n; i++ {
			w.innerY[i+1] = w.innerY[i] + (1-noise.a[i])*noise.d[i]*yw[i]
		}
		for i := range parts {
			w.partRSS[j][i] = w.whitenedRSS(p, noise, &parts[i], yw, yy)
		}
	}
	var sums, tops [2]float64
	tops = [2]float64{minusInf, minusInf}
	logs := make([]float64, 0, len(parts)*len(w.noises)*len(scale2))
	kind := make([]int, len(parts))
	for i := range parts {
		if !parts[i].stepwise(p.x) {
			kind[i] = 1
		}
		k := float64(len(parts[i].starts))
		charge := logChoose(p.n-1, len(parts[i].starts)-1)
		for _, j := range w.noises {
			for _, s2 := range scale2 {
				l := -0.5*(float64(p.n+1)*math.Log(s2+w.partRSS[j][i])-math.Log(s2)+p.noise[j].logDet+k*p.lnN) - charge
				logs = append(logs, l)
				m := mStepwise
				if kind[i] == 1 {
					m = mLevels
				}
				if l > tops[kind[i]] {
					tops[kind[i]] = l
					e.theta[m], e.phi[m], e.scale[m] = k-1, p.noise[j].phi, math.Sqrt(s2)
					if m == mStepwise {
						e.part = parts[i]
					} else {
						e.levels = parts[i]
					}
				}
			}
		}
	}
	per := len(w.noises) * len(scale2)
	for i, l := range logs {
		c := kind[i/per]
		sums[c] += math.Exp(l - tops[c])
	}
	for c, m := range [2]model{mStepwise, mLevels} {
		if sums[c] > 0 {
			e.lnZ[m] = tops[c] + math.Log(sums[c]/float64(len(logs)))
		}
	}
}

// logMeanExp is the logarithm of the mean of exp(v) over n values, of which
// those not in v are zero.
func logMeanExp(v []float64, n int) float64 {
	top := floats.Max(v)
	if math.IsInf(top, -1) || n == 0 {
		return minusInf
	}
	sum := 0.0
	for _, x := range v {
		sum += math.Exp(x - top)
	}
	return top + math.Log(sum/float64(n))
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

func resize(v [][]float64, n, m int) [][]float64 {
	for len(v) < n {
		v = append(v, nil)
	}
	v = v[:n]
	for i := range v {
		if cap(v[i]) < m {
			v[i] = make([]float64, m)
		}
		v[i] = v[i][:m]
	}
	return v
}
