package trend

import (
	"math"
	"slices"
	"time"
)

// rate is the slope as a result; nil where it has no interval.
func (s slopes) rate(confidence float64) *Rate {
	if s.n < 3 || !finite(s.value) || !finite(s.low) || !finite(s.high) {
		return nil
	}
	return &Rate{PerSecond: s.value, Low: s.low, High: s.high, Confidence: confidence}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// since is when growth began. The places at which a late start fits are
// weighed by their evidence, growth since before the first snapshot among
// them; the interval holds 95 % of the weight. It is nil for no growth.
func (r *lifeJudgement) since() *Since {
	e := &r.ev
	at := func(x float64) time.Duration {
		return time.Duration(math.Round((r.plan.t0 + x*r.plan.span) * 1e9))
	}
	from, by := r.activeFrom()
	shape := e.best(model.growing)
	var out Since
	switch {
	case shape == mStepwise && len(e.part.starts) > 1:
		x := r.plan.x
		first := e.part.starts[1]
		return &Since{at(x[first]), at(x[first-1]), at(x[first])}
	case by == mLate:
		out = Since{at(from), at(from), at(from)}
	default:
		out = Since{at(0), at(0), at(0)}
	}
	if len(e.lateAt) == 0 || math.IsInf(e.lnZ[mLate], -1) {
		return &out
	}
	// Weight of a start before the window: that of every other growing model.
	early := 0.0
	for m := range mFlat {
		if m != mLate {
			early += math.Exp(e.lnZ[m] - e.lnZ[mLate])
		}
	}
	total := early
	sum := 0.0
	for _, v := range e.lateAt {
		sum += v
	}
	total++
	low, high := 0.0, 0.0
	seen := early / total
	lowFound := seen >= 0.025
	for i, v := range e.lateAt {
		seen += v / sum / total
		if !lowFound && seen >= 0.025 {
			low, lowFound = e.latePos[i], true
		}
		high = e.latePos[i]
		if seen >= 0.975 {
			break
		}
	}
	if early/total >= 0.975 {
		high = 0
	}
	out.Low, out.High = min(out.At, at(low)), max(out.At, at(high))
	return &out
}

// curvePoints is how finely a fitted curve is sampled, besides both sides of
// every place where it jumps.
const curvePoints = 64

// curve fits the judged shape to y, given at the raw times, and samples it
// with its confidence band.
func (w *workspace) curve(r *lifeJudgement, s *sampling, y []float64, confidence float64) []CurvePoint {
	p := s.reduce(y, nil)
	points := p
	if m := r.fit.model; m != mCycle && m != mDaily { // whose crests would be clipped
		points, _ = clip(s.t, p, nil)
	}
	return r.sampleShape(points, confidence)
}

// sampleShape fits the judged shape by least squares, so that the curve goes
// through the points. The band is that of the noise coefficient which the
// shape's evidence chose, about the same curve.
func (r *lifeJudgement) sampleShape(y []float64, confidence float64) []CurvePoint {
	p := r.plan
	columns, jumps := r.fit.columns(p)
	k := len(columns)
	noise := p.newNoise(r.ev.phi[r.fit.model])
	plain, rows := make([][]float64, k), make([][]float64, k)
	for i, c := range columns {
		plain[i] = sample(c, p.x)
		rows[i] = noise.whiten(plain[i], nil)
	}
	_, coef, _, ok := normalEquations(plain, y)
	inverse, _, rss, ok2 := normalEquations(rows, noise.whiten(y, nil))
	if !ok || !ok2 {
		return nil
	}
	sd := math.Sqrt(rss / float64(max(1, p.n-k)))
	q := studentQuantile(confidence, p.n-k)
	places := make([]float64, 0, curvePoints+2*len(jumps))
	for i := range curvePoints {
		places = append(places, float64(i)/(curvePoints-1))
	}
	for _, c := range jumps {
		places = append(places, c, math.Nextafter(c, 2))
	}
	slices.Sort(places)
	out := make([]CurvePoint, len(places))
	v := make([]float64, k)
	for i, x := range places {
		value, spread := 0.0, 0.0
		for a, c := range columns {
			v[a] = c(x)
			value += coef[a] * v[a]
		}
		for a := range v {
			for b := range v {
				spread += v[a] * v[b] * inverse[a][b]
			}
		}
		half := q * sd * math.Sqrt(max(0, spread))
		if !finite(value) || !finite(half) {
			return nil
		}
		out[i] = CurvePoint{time.Duration(math.Round((p.t0 + x*p.span) * 1e9)), value, value - half, value + half}
	}
	return out
}

// columnsOf rebuilds the columns of a shape.
func columnsOf(m model, theta, span float64) []column {
	switch m {
	case mLinear, mDeclining:
		return []column{line}
	case mLate:
		return []column{hinge(theta)}
	case mAccelerating, mSlowing:
		if theta < 0 {
			return []column{logarithm(-theta)}
		}
		return []column{power(theta)}
	case mWarmLinear:
		return []column{saturation(theta), line}
	case mDailyLinear, mCycleLinear:
		return append(waves(theta), line)
	case mStep:
		return []column{stepAt(theta)}
	case mSaturating:
		return []column{saturation(theta)}
	case mPlateau:
		return []column{ramp(theta)}
	case mDropped:
		return []column{rampBack(theta)}
	case mTwoWarmUps:
		return twoWarmUpsAt(theta).columns
	case mCycle, mDaily:
		return waves(theta)
	}
	return nil
}

// normalEquations solves least squares of y on a few columns by Gauss-Jordan
// elimination with the greatest pivot.
func normalEquations(columns [][]float64, y []float64) (inverse [][]float64, coef []float64, rss float64, ok bool) {
	k := len(columns)
	m := make([][]float64, k) // Gram | identity | right side
	cells := make([]float64, k*(2*k+1))
	for i := range m {
		m[i], cells = cells[:2*k+1], cells[2*k+1:]
		m[i][k+i] = 1
		for j := range k {
			m[i][j] = dot(columns[i], columns[j])
		}
		m[i][2*k] = dot(columns[i], y)
	}
	for c := range k {
		best := c
		for r := c + 1; r < k; r++ {
			if math.Abs(m[r][c]) > math.Abs(m[best][c]) {
				best = r
			}
		}
		if math.Abs(m[best][c]) < 1e-12 {
			return nil, nil, 0, false
		}
		m[c], m[best] = m[best], m[c]
		f := m[c][c]
		for j := range m[c] {
			m[c][j] /= f
		}
		for r := range k {
			if g := m[r][c]; r != c && g != 0 {
				for j := range m[r] {
					m[r][j] -= g * m[c][j]
				}
			}
		}
	}
	inverse, coef = make([][]float64, k), make([]float64, k)
	for i := range k {
		inverse[i], coef[i] = m[i][k:2*k], m[i][2*k]
	}
	for i := range y {
		v := y[i]
		for a := range columns {
			v -= coef[a] * columns[a][i]
		}
		rss += v * v
	}
	return inverse, coef, rss, true
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}
