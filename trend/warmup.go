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
// interval. The coefficients are averaged by restricted likelihood. The result
// is per second; ok is false where the columns cannot be told apart.
func (p *plan) warmLine(y []float64, tau0, confidence float64) (arMixture, bool) {
	ones := sample(func(float64) float64 { return 1 }, p.x)
	degrees := p.n - 4
	if degrees < 1 {
		return arMixture{}, false
	}
	return warmCoefficients.averageSolutions(func(i int) (solution, float64) {
		noise := p.newNoise(warmCoefficients.phi[i])
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
		s := solution{columns: [][]float64{one, noise.whiten(sample(saturation(t), p.x), nil), x}, y: yw, at: 2, unit: p.span}
		if !s.solve() {
			return s, minusInf
		}
		// The place of the time constant is bounded, and no coefficient of the
		// likelihood; its uncertainty is that of the derivative's.
		logLik := s.restricted(degrees+1, noise.logDet)
		d := noise.whiten(sample(derivative, p.x), nil)
		if l := floats.Norm(d, 2); l > 0 {
			floats.Scale(1/l, d)
			s.beside(d)
		}
		return s, logLik
	}, degrees, confidence)
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
