package trend

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// warmLine is the slope of a leak under a warm-up, estimated together with the
// warm-up a(1-e^(-x/tau)): dropping the first five time constants would throw
// away most of a short series and leave a bias in a long one.
//
// For each noise coefficient the time constant is the one of least residuals;
// the derivative by it joins the columns, so that its uncertainty widens the
// interval. The coefficients are averaged by restricted likelihood, as in
// coefficients.average. The result is per second; ok is false where the columns cannot
// be told apart.
func (p *plan) warmLine(y []float64, tau0, confidence float64) (m arMixture, tau float64, degrees int, ok bool) {
	fits := make([]lineFit, len(warmCoefficients.phi))
	top, scores := minusInf, []float64(nil)
	ones := sample(func(float64) float64 { return 1 }, p.x)
	degrees = p.n - 4
	if degrees < 1 {
		return m, 0, 0, false
	}
	for i, phi := range warmCoefficients.phi {
		noise := p.newNoise(phi)
		yw := noise.whiten(y, nil)
		one, x := noise.whiten(ones, nil), noise.whiten(p.x, nil)
		curve := make([]float64, p.n)
		rssAt := func(logTau float64) float64 {
			c := noise.whiten(sample(saturation(math.Exp(logTau)), p.x), curve)
			_, _, rss, ok := normalEquations([][]float64{one, c, x}, yw)
			if !ok {
				return math.Inf(1)
			}
			return rss
		}
		t := math.Exp(goldenSection(rssAt, math.Log(tau0/3), math.Log(min(0.5, tau0*3)), 24))
		derivative := func(x float64) float64 { return -x / (t * t) * math.Exp(-x/t) }
		columns := [][]float64{one, noise.whiten(sample(saturation(t), p.x), nil), x, noise.whiten(sample(derivative, p.x), nil)}
		inverse, coef, rss, ok := normalEquations(columns[:3], yw)
		if !ok {
			fits[i] = lineFit{phi: phi, logLik: minusInf}
			continue
		}
		// The derivative enters scaled by the fitted height of the curve.
		for r := range columns[3] {
			columns[3][r] *= coef[1]
		}
		if full, _, _, ok := normalEquations(columns, yw); ok {
			inverse = full
		}
		s := scoresOf(columns, inverse, coef, yw, 2)
		variance := max(rss/float64(degrees)*inverse[2][2], sandwich(s, len(inverse)))
		f := lineFit{phi: phi, slope: coef[2] / p.span, se: math.Sqrt(max(0, variance)) / p.span}
		if rss > 0 && inverse[2][2] > 0 {
			f.logLik = -0.5 * (float64(degrees)*math.Log(rss) + noise.logDet + logDet(inverse))
		}
		if fits[i] = f; f.logLik > top {
			top, tau, scores = f.logLik, t, s
		}
	}
	if top == minusInf {
		return m, 0, 0, false
	}
	m = warmCoefficients.average(fits, degrees, confidence)
	for i := range scores {
		scores[i] /= p.span
	}
	m.longRun(scores, degrees, confidence)
	return m, tau, degrees, finite(m.slope) && finite(m.se)
}

// scoresOf are what each whitened point adds to the error of the i-th
// coefficient. Columns beyond the coefficients have none, but are in the
// inverse.
func scoresOf(columns, inverse [][]float64, coef, y []float64, i int) []float64 {
	out := make([]float64, len(y))
	for r := range y {
		res, reach := y[r], 0.0
		for c := range inverse {
			reach += inverse[i][c] * columns[c][r]
		}
		for c := range coef {
			res -= coef[c] * columns[c][r]
		}
		out[r] = res * reach
	}
	return out
}

// sandwich is the variance of a coefficient, one of k, for unequal noise (White
// 1980, with the factor n/(n-k)), from its scores: counts scatter more where
// they are greater, which is where a leak has its end.
func sandwich(scores []float64, k int) float64 {
	n := float64(len(scores))
	return floats.Dot(scores, scores) * n / (n - float64(k))
}

// goldenSection returns where f is least between lo and hi, after n halvings
// by the golden ratio (Kiefer 1953). f should have one minimum there.
func goldenSection(f func(float64) float64, lo, hi float64, n int) float64 {
	const g = 0.6180339887498949
	a, b := hi-g*(hi-lo), lo+g*(hi-lo)
	fa, fb := f(a), f(b)
	for range n {
		if fa < fb {
			hi, b, fb = b, a, fa
			a = hi - g*(hi-lo)
			fa = f(a)
		} else {
			lo, a, fa = a, b, fb
			b = lo + g*(hi-lo)
			fb = f(b)
		}
	}
	return (lo + hi) / 2
}
