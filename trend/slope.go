package trend

import (
	"math"
	"slices"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"
)

// theilSen is the median of the slopes of all pairs (Theil 1950, Sen 1968),
// for at most maxPoints points. 0 when no two times differ.
//
// From bracketFrom points on the slopes of some pairs, drawn alike every time,
// bracket the median, and of most others it is enough to know on which side of
// the bracket they are. What comes out is the same number.
func (w *workspace) theilSen(t, y []float64) float64 {
	n := len(y)
	if n < bracketFrom || !strictlyAscending(t[:n]) {
		return w.allPairs(t, y)
	}
	drawn := w.pairs[:0]
	seed := uint32(1)
	draw := func() int {
		seed = seed*1664525 + 1013904223 // "Numerical Recipes", An Even Quicker Generator
		return int(uint64(seed) * uint64(n) >> 32)
	}
	for range bracketPairs {
		i, j := draw(), draw()
		if i == j {
			j = (i + 1) % n
		}
		drawn = append(drawn, (y[j]-y[i])/(t[j]-t[i]))
	}
	lo := selectKth(drawn, bracketPairs/2-bracketReach)
	hi := selectKth(drawn, bracketPairs/2+bracketReach)
	all := n * (n - 1) / 2
	w.pairs = slices.Grow(drawn[:0], all+1)[:0]
	within := w.pairs[:all+1]
	below, k := 0, 0
	for i := range n {
		b, m := bracket(lo, hi, t[i:n], y[i:], within[k:])
		below, k = below+b, k+m
	}
	at := all/2 - below
	if at < 1 || at >= k {
		return w.allPairs(t, y)
	}
	upper := selectKth(within[:k], at)
	if all%2 == 1 {
		return upper
	}
	lower := slices.Max(within[:at])
	return lower + (upper-lower)/2
}

// bracketReach is so far from the median of the drawn pairs, in pairs, that the
// median of all is outside of the bracket once in a hundred times, and found by
// allPairs then.
const (
	bracketFrom  = 40
	bracketPairs = 301
	bracketReach = 22
)

// bracket puts the slopes from the first point to each other that lie in lo..hi
// into within, which has room for one more than all of them. It returns how
// many are below lo and how many within, and has no branch that would be
// guessed wrong half of the time.
func bracket(lo, hi float64, t, y, within []float64) (below, k int) {
	t0, y0 := t[0], y[0]
	t = t[:len(y)]
	for i := 1; i < len(y); i++ {
		s := (y[i] - y0) / (t[i] - t0)
		within[k] = s
		in := 0
		if s >= lo {
			in = 1
		}
		below += 1 - in
		if s > hi {
			in = 0
		}
		k += in
	}
	return below, k
}

func strictlyAscending(v []float64) bool {
	for i := 1; i < len(v); i++ {
		if !(v[i] > v[i-1]) {
			return false
		}
	}
	return true
}

// allPairs is theilSen by every pair.
func (w *workspace) allPairs(t, y []float64) float64 {
	pairs := w.pairs[:0]
	for i := range y {
		for j := i + 1; j < len(y); j++ {
			if dt := t[j] - t[i]; dt > 0 {
				pairs = append(pairs, (y[j]-y[i])/dt)
			}
		}
	}
	w.pairs = pairs
	return medianOf(pairs)
}

// ordinary is a straight line by ordinary least squares.
type ordinary struct {
	slope, at0 float64 // at0 is the value at the first time
	mean       float64 // of the times after the first
	sxx        float64
	rss        float64
	se         float64 // of the slope, from n-2 degrees of freedom; 0 below three points
}

func leastSquares(t, y []float64) ordinary {
	var o ordinary
	n := float64(len(y))
	if len(y) == 0 {
		return o
	}
	my := 0.0
	for i := range y {
		o.mean += (t[i] - t[0]) / n
		my += y[i] / n
	}
	sxy := 0.0
	for i := range y {
		d := t[i] - t[0] - o.mean
		o.sxx += d * d
		sxy += d * (y[i] - my)
	}
	if o.sxx > 0 {
		o.slope = sxy / o.sxx
	}
	o.at0 = my - o.slope*o.mean
	for i := range y {
		r := y[i] - o.at0 - o.slope*(t[i]-t[0])
		o.rss += r * r
	}
	if len(y) > 2 && o.sxx > 0 {
		o.se = math.Sqrt(o.rss / (n - 2) / o.sxx)
	}
	return o
}

// neweyWest is the standard error of the least-squares slope that allows for
// autocorrelation and unequal variance (Newey and West 1987): Bartlett weights
// up to the lag 4(n/100)^(2/9), without small-sample factor.
func neweyWest(t, y []float64, o ordinary, lag int) float64 {
	n := len(y)
	if o.sxx <= 0 || n < 3 {
		return 0
	}
	g := make([]float64, 0, maxPoints) // on the stack
	for i := range y {
		d := t[i] - t[0]
		g = append(g, (d-o.mean)*(y[i]-o.at0-o.slope*d))
	}
	sum := 0.0
	for i := range g {
		sum += g[i] * g[i]
	}
	for l := 1; l <= lag && l < n; l++ {
		c := 0.0
		for i := l; i < n; i++ {
			c += g[i] * g[i-l]
		}
		sum += 2 * (1 - float64(l)/float64(lag+1)) * c
	}
	return math.Sqrt(max(0, sum)) / o.sxx
}

// neweyWestLag is the usual lag for n points.
func neweyWestLag(n int) int { return int(4 * math.Pow(float64(n)/100, 2.0/9)) }

// lineFit is a straight line under AR(1) noise of one coefficient.
type lineFit struct {
	phi    float64
	slope  float64
	se     float64
	logLik float64 // restricted
}

// arLine fits a line under AR(1) noise with coefficient phi per mean gap by
// generalised least squares, with the restricted log likelihood (REML,
// Patterson and Thompson 1971) for choosing phi.
func arLine(t, y []float64, phi float64) lineFit {
	n := len(y)
	f := lineFit{phi: phi}
	gap := (t[n-1] - t[0]) / float64(n-1)
	var s11, s1x, sxx, s1y, sxy, syy, logDet float64
	centre := y[0]
	for i := range y {
		u, x, v := 1.0, t[i]-t[0], y[i]-centre
		if i > 0 {
			a := 0.0
			if phi > 0 {
				a = math.Pow(phi, (t[i]-t[i-1])/gap)
			}
			q := max(1-a*a, 1e-6)
			d := 1 / math.Sqrt(q)
			logDet += math.Log(q)
			u, x, v = (1-a)*d, (x-a*(t[i-1]-t[0]))*d, (v-a*(y[i-1]-centre))*d
		}
		s11 += u * u
		s1x += u * x
		sxx += x * x
		s1y += u * v
		sxy += x * v
		syy += v * v
	}
	det := s11*sxx - s1x*s1x
	if det <= 0 || n < 3 {
		return f
	}
	f.slope = (s11*sxy - s1x*s1y) / det
	level := (sxx*s1y - s1x*sxy) / det
	rss := max(0, syy-level*s1y-f.slope*sxy)
	f.se = math.Sqrt(rss / float64(n-2) * s11 / det)
	if rss > 0 {
		f.logLik = -0.5 * (float64(n-2)*math.Log(rss) + logDet + math.Log(det))
	}
	return f
}

// linePlan is what arLine needs to know of the times, for one coefficient.
type linePlan struct {
	a, d, u, x         []float64 // whitening, whitened constant and times after the first
	s11, s1x, sxx, det float64
	logDet             float64
	slowest            float64 // of the scores, see longRun
}

// reach is by how much the slope changes with the point.
func (l *linePlan) reach(i int) float64 { return (l.s11*l.x[i] - l.s1x*l.u[i]) / l.det }

// newLine is that of the times t, phi per mean gap.
func newLine(t []float64, phi float64) linePlan {
	n := len(t)
	l := linePlan{a: make([]float64, n), d: make([]float64, n), u: make([]float64, n), x: make([]float64, n)}
	l.d[0], l.u[0] = 1, 1
	l.s11 = 1
	gap := (t[n-1] - t[0]) / float64(n-1)
	for i := 1; i < n; i++ {
		if phi > 0 {
			l.a[i] = math.Pow(phi, (t[i]-t[i-1])/gap)
		}
		q := max(1-l.a[i]*l.a[i], 1e-6)
		l.d[i] = 1 / math.Sqrt(q)
		l.logDet += math.Log(q)
		l.u[i] = (1 - l.a[i]) * l.d[i]
		l.x[i] = (t[i] - t[0] - l.a[i]*(t[i-1]-t[0])) * l.d[i]
		l.s11 += l.u[i] * l.u[i]
		l.s1x += l.u[i] * l.x[i]
		l.sxx += l.x[i] * l.x[i]
	}
	l.det = l.s11*l.sxx - l.s1x*l.s1x
	if n >= longRunFrom && l.det > 0 {
		reach := make([]float64, n)
		for i := range reach {
			reach[i] = l.reach(i)
		}
		l.slowest = slowestOf([][]float64{l.u, l.x}, reach)
	}
	return l
}

// arLine is the same as the function of that name, on all points of the plan.
func (p *plan) arLine(y []float64, phi float64) lineFit {
	l := &p.lines[slices.Index(lineCoefficients.phi, phi)]
	f := lineFit{phi: phi}
	if l.det <= 0 {
		return f
	}
	var s1y, sxy, syy, before float64
	for i, v := range y {
		v -= y[0]
		z := (v - l.a[i]*before) * l.d[i]
		before = v
		s1y += l.u[i] * z
		sxy += l.x[i] * z
		syy += z * z
	}
	f.slope = (l.s11*sxy - l.s1x*s1y) / l.det
	level := (l.sxx*s1y - l.s1x*sxy) / l.det
	rss := max(0, syy-level*s1y-f.slope*sxy)
	f.se = math.Sqrt(rss / float64(p.n-2) * l.s11 / l.det)
	if rss > 0 {
		f.logLik = -0.5 * (float64(p.n-2)*math.Log(rss) + l.logDet + math.Log(l.det))
	}
	return f
}

// scores puts into dst what each whitened point adds to the error of the slope.
func (l *linePlan) scores(y []float64, slope float64, dst []float64) []float64 {
	dst = dst[:0]
	s1y, before := 0.0, 0.0
	for i, v := range y {
		v -= y[0]
		z := (v - l.a[i]*before) * l.d[i]
		before = v
		s1y += l.u[i] * z
		dst = append(dst, z)
	}
	level := (s1y - slope*l.s1x) / l.s11
	for i := range dst {
		dst[i] = (dst[i] - level*l.u[i] - slope*l.x[i]) * l.reach(i)
	}
	return dst
}

// averageLine is the line under AR(1) noise averaged over its coefficient.
func averageLine(fit func(phi float64) lineFit, degrees int, confidence float64) arMixture {
	var fits [maxCoefficients]lineFit
	for i, phi := range lineCoefficients.phi {
		fits[i] = fit(phi)
	}
	return lineCoefficients.average(fits[:len(lineCoefficients.phi)], degrees, confidence)
}

// slopes is every slope of one stretch of points, per second.
type slopes struct {
	n            int
	from         float64 // seconds: where the stretch begins
	theilSen     float64
	ols          ordinary
	ar           arMixture
	neweyWest    float64 // standard error
	value        float64 // what is reported
	low, high    float64
	standardErr  float64
	degrees      int
	jointWarmUp  bool
	activeShare  float64 // part of the window that is active
	activeGrowth float64 // over the stretch
}

// slopeOf estimates the slope of the points, which must be at least three at
// distinct times. Below fewModels points the interval is that of ordinary least
// squares; from there on that of AR(1) noise averaged over its coefficient, from
// manyModels points on the wider of it and that of Newey and West, from
// longRunFrom on as wide as the slowest waves of the noise tell, around the
// middle of its slope and that of Theil and Sen.
//
// whole is the plan of these points, whose times need then not be whitened
// again; nil, as that of fewer than manyModels is: none.
func (w *workspace) slopeOf(whole *plan, t, y []float64, confidence float64) slopes {
	n := len(y)
	s := slopes{n: n, from: t[0], degrees: n - 2, activeShare: 1}
	s.theilSen = w.theilSen(t, y)
	s.ols = leastSquares(t, y)
	s.value = s.theilSen
	if n < fewModels {
		q := studentQuantile(confidence, n-2)
		s.standardErr = s.ols.se
		s.low, s.high = s.ols.slope-q*s.ols.se, s.ols.slope+q*s.ols.se
	} else {
		fit := func(phi float64) lineFit { return arLine(t, y, phi) }
		if whole != nil {
			fit = func(phi float64) lineFit { return whole.arLine(y, phi) }
		}
		s.ar = averageLine(fit, n-2, confidence)
		if n >= manyModels {
			s.neweyWest = neweyWest(t, y, s.ols, neweyWestLag(n))
		}
		if n >= longRunFrom && whole != nil {
			best := s.ar.best
			l := &whole.lines[slices.Index(lineCoefficients.phi, best.phi)]
			w.scores = l.scores(y, best.slope, w.scores)
			s.ar.longRun(w.scores, l.s11/l.det, l.slowest)
			s.standardErr, s.degrees = s.ar.se, s.ar.degrees
		} else {
			s.standardErr = max(s.ar.se, s.neweyWest)
		}
		q := studentQuantile(confidence, s.degrees)
		centre := (s.value + s.ar.slope) / 2
		s.low, s.high = centre-q*s.standardErr, centre+q*s.standardErr
	}
	s.low, s.high = min(s.low, s.value), max(s.high, s.value)
	s.activeGrowth = s.value * (t[n-1] - t[0])
	return s
}

var quantiles sync.Map // of [2]float64{confidence, degrees}

// studentQuantile is how many standard errors a two-sided interval of this
// confidence reaches to each side.
func studentQuantile(confidence float64, degrees int) float64 {
	degrees = max(1, degrees)
	key := [2]float64{confidence, float64(degrees)}
	if q, ok := quantiles.Load(key); ok {
		return q.(float64)
	}
	q := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(degrees)}.Quantile(0.5 + confidence/2)
	quantiles.Store(key, q)
	return q
}
