package trend

import (
	"math"
	"slices"
	"sync"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat/distuv"
)

// randomWalk is the coefficient per mean gap that stands for noise that adds
// up and never comes back: its memory is longer than any window.
const randomWalk = 0.999

// noiseMix is how likely the kinds of noise are before the points are seen.
// Each is a cause of its own: counts that scatter one by one, loads and pools
// that wander about a level, and queues that grow by what comes and shrink by
// what goes. One smooth prior over the coefficient of autocorrelation would
// have next to nothing for the first and the last, and intervals twice as wide
// as need be under the first and too narrow by half under the last.
type noiseMix struct{ independent, wandering, walk float64 }

var (
	aroundLine = noiseMix{0.5, 0.3, 0.2}
	// A wave or a warm-up that is fitted has explained what is slow.
	besideCurve = noiseMix{0.8, 0.15, 0.05}
)

// coefficients are the places where noise that wanders is fitted, and their
// weight before the points are seen.
type coefficients struct {
	phi    []float64 // ascending from 0; the last is randomWalk
	weight []float64
}

// newCoefficients weighs each place by the width of its cell under the density
// 1/sqrt(1-phi^2), the reference prior of a stationary AR(1) (Berger and Yang
// 1994), which makes up for the estimate's pull to zero; and the first and the
// last as the kinds of noise that they stand for.
func newCoefficients(mix noiseMix, phi ...float64) coefficients {
	n := len(phi)
	c := coefficients{append(slices.Clone(phi), randomWalk), make([]float64, n+1)}
	for i := range phi {
		lo, hi := 0.0, 1.0
		if i > 0 {
			lo = (phi[i-1] + phi[i]) / 2
		}
		if i < n-1 {
			hi = (phi[i] + phi[i+1]) / 2
		}
		c.weight[i] = mix.wandering * (math.Asin(hi) - math.Asin(lo)) / (math.Pi / 2)
	}
	c.weight[0] += mix.independent
	c.weight[n] = mix.walk
	return c
}

// lineCoefficients and curveCoefficients are at the same places;
// warmCoefficients are fewer, as a time constant is looked for under each.
var (
	linePlaces        = []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98}
	lineCoefficients  = newCoefficients(aroundLine, linePlaces...)
	curveCoefficients = newCoefficients(besideCurve, linePlaces...)
	warmCoefficients  = newCoefficients(besideCurve, 0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
)

// arMixture is a slope averaged over the coefficient of AR(1) noise.
type arMixture struct {
	slope       float64
	se          float64 // half of the interval, in quantiles of Student's distribution of
	degrees     int     // so many degrees of freedom
	ofModel     float64 // the standard error without longRun
	independent float64 // weights of the first coefficient, which is 0,
	walk        float64 // and of the last, a random walk
	best        lineFit
}

// average weighs the fits, one for each coefficient, by their restricted
// likelihood. The most likely coefficient alone would be too small in short
// series, and the interval with it: what remains possible must widen it. The
// interval leaves the part 1-confidence of the mixture of Student's
// distributions outside.
func (c *coefficients) average(fits []lineFit, degrees int, confidence float64) arMixture {
	top := minusInf
	for i := range fits {
		top = max(top, fits[i].logLik)
	}
	var m arMixture
	var weights [maxCoefficients]float64
	total := 0.0
	for i := range fits {
		f := &fits[i]
		if f.logLik == top {
			m.best = *f
		}
		w := math.Exp(f.logLik-top) * c.weight[i]
		weights[i] = w
		total += w
		m.slope += w * f.slope
	}
	m.slope /= total
	m.independent, m.walk = weights[0]/total, weights[len(fits)-1]/total
	var parts [maxCoefficients]part
	k, reach := 0, 0.0
	q := studentQuantile(confidence, degrees)
	for i := range fits {
		w := weights[i] / total
		if w < 1e-7 {
			continue
		}
		parts[k] = part{w, math.Abs(fits[i].slope - m.slope), fits[i].se}
		reach = max(reach, parts[k].off+q*parts[k].se)
		k++
	}
	m.se = halfOf(parts[:k], tailOf(degrees), 1-confidence, reach) / q
	m.ofModel, m.degrees = m.se, degrees
	return m
}

const maxCoefficients = 16

// Constants of the long run.
const (
	longRunFrom = 60 // points, below which too few waves fit
	// ownDegrees is for how many waves the noise of the model counts.
	ownDegrees = 1
)

// longRun compares the noise that the model of the likeliest coefficient tells
// with what the slowest waves of the scores show, and makes the interval as
// much wider or narrower. The scores are what each whitened point adds to the
// error of the slope; variance is its variance in independent noise of variance
// one, and slowest what is expected then of the squares of the slowest waves.
//
// Teeth of garbage, which are evener than noise of any coefficient, have less
// of slow waves than their autocorrelation lets expect; crowds, and noise that
// grows, have more. The sum of a few cosines, and Student's quantile for so
// many, is what Lazarus, Lewis, Stock and Watson (2018) recommend for that,
// 0.4 n^(2/3) of them; whitening by a model before is due to Andrews and
// Monahan (1992). As the cosines are few, the model's own noise counts as one more.
func (m *arMixture) longRun(scores []float64, variance, slowest float64) {
	if m.best.se <= 0 || slowest <= 0 {
		return
	}
	sum := 0.0
	waves := cosines(len(scores))
	for _, c := range waves {
		d := floats.Dot(c, scores)
		sum += d * d
	}
	k := float64(len(waves))
	ratio := sum * variance / slowest / (m.best.se * m.best.se)
	m.se *= math.Sqrt((ownDegrees + k*ratio) / (ownDegrees + k))
	m.degrees = ownDegrees + len(waves)
}

// slowestOf is the expectation of the squares of the slowest waves of scores,
// together, in independent noise of variance one, of a fit of these columns.
// It is less than the variance for each, since what is left of a fit has less
// of slow waves than the noise had.
func slowestOf(columns [][]float64, reach []float64) float64 {
	sum := 0.0
	wave := make([]float64, len(reach))
	for _, c := range cosines(len(reach)) {
		floats.MulTo(wave, c, reach)
		if _, _, rest, ok := normalEquations(columns, wave); ok {
			sum += rest
		}
	}
	return sum
}

var cosineTables sync.Map // of [][]float64 by the number of points

// cosines are the slowest cosines with a whole number of half waves in n
// points, each point in the middle of its part.
func cosines(n int) [][]float64 {
	if c, ok := cosineTables.Load(n); ok {
		return c.([][]float64)
	}
	c := make([][]float64, int(0.4*math.Pow(float64(n), 2.0/3)))
	for k := range c {
		c[k] = make([]float64, n)
		for i := range n {
			c[k][i] = math.Cos(math.Pi * float64(k+1) * (float64(i) + 0.5) / float64(n))
		}
	}
	cosineTables.Store(n, c)
	return c
}

// part is Student's distribution around a place off the middle, se wide.
type part struct{ weight, off, se float64 }

// halfOf returns the half width around the middle outside of which lies the
// part beyond of the mixture. It is at most reach.
func halfOf(parts []part, tail *studentTail, beyond, reach float64) float64 {
	lo, hi := 0.0, reach
	for range 36 {
		half := (lo + hi) / 2
		outside := 0.0
		for _, p := range parts {
			switch {
			case p.se > 0:
				outside += p.weight * (tail.above((half-p.off)/p.se) + tail.above((half+p.off)/p.se))
			case p.off > half:
				outside += p.weight
			}
		}
		if outside > beyond {
			lo = half
		} else {
			hi = half
		}
	}
	return hi
}

// studentTail is a table of the part of Student's distribution above t, evenly
// in t/(t+2). Between its places it is straight, which is right to 1e-6.
type studentTail [1025]float64

var tails sync.Map // of degrees

func tailOf(degrees int) *studentTail {
	degrees = max(1, degrees)
	if t, ok := tails.Load(degrees); ok {
		return t.(*studentTail)
	}
	d := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(degrees)}
	var t studentTail
	for i := range len(t) - 1 {
		u := float64(i) / float64(len(t)-1)
		t[i] = d.Survival(2 * u / (1 - u))
	}
	tails.Store(degrees, &t)
	return &t
}

func (s *studentTail) above(t float64) float64 {
	if t < 0 {
		return 1 - s.above(-t)
	}
	at := t / (t + 2) * float64(len(s)-1)
	i := int(at)
	if i >= len(s)-1 {
		return 0
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}
