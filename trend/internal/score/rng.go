// Package score makes labelled series and judges answers to them: histories
// of one type of a process of which it is known whether it still leaks at the
// end of the window. It knows nothing of the method it judges.
//
// Each family is one cause: a warm-up, a cache that fills, a queue of dead
// objects, a leak under a daily wave. Its parameters are drawn anew for every
// series, over wide ranges; two thirds of the series are sampled irregularly.
// The families in Main and Extended were known while the method was made and
// tuned; those in Unseen were written late, those in Fresh when it was done,
// those in Blind by somebody who did not know it, and are only scored. Rates
// shows what no interval can do.
package score

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Series is one labelled history.
type Series struct {
	Family string
	Leaks  bool      // still at the end of the window
	T      []float64 // uptime in seconds; falls where the process restarted
	Y      []float64 // objects
	Slope  float64   // true objects per second while leaking; NaN where there is no one slope
}

// Family is one cause of a history.
type Family struct {
	Name  string
	Leaks bool
	// Daily says that the window lasts days; Young that it begins with the
	// process.
	Daily, Young bool
	make         func(s *source) float64 // fills y, returns the slope
}

// noise is how a series' counts scatter around their level.
type noise int

const (
	exact    noise = iota // a live set: rounding only
	poisson               // arrivals
	relative              // a part of the level
)

// source draws one series.
type source struct {
	*rand.Rand
	n      int
	window float64
	t, y   []float64
	noise  noise
	rel    float64
}

// seedOf mixes words and numbers to a seed; the same on every machine.
func seedOf(name string, n int) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h ^ uint64(n)*0x9e3779b97f4a7c15
}

// Make draws the series of a family with n points; the same seed gives the
// same series.
func Make(f Family, n int, seed uint64) Series {
	s := newSource(seed, seedOf(f.Name, n)+1, n)
	s.window = s.geo(600, 86400)
	from := s.in(1, 10)
	switch {
	case f.Daily:
		s.window = 86400 * s.in(1.5, 5)
		from = s.in(1, 86400)
	case !f.Young && s.Float64() < 0.3:
		from = s.window * s.in(0.2, 2) // attached late
	}
	s.t = s.times(n, from, s.window)
	return s.series(f)
}

// MakeAt draws a series of the family at the given times, as all types of one
// process share theirs.
func MakeAt(f Family, t []float64, seed uint64) Series {
	s := newSource(seed, seedOf(f.Name, 0)+2, len(t))
	s.window = t[len(t)-1] - t[0]
	s.t = slices.Clone(t)
	return s.series(f)
}

// Times draws n sampling times over window seconds.
func Times(n int, window float64, seed uint64) []float64 {
	return newSource(seed, 3, n).times(n, 1, window)
}

func newSource(a, b uint64, n int) *source {
	s := &source{Rand: rand.New(rand.NewPCG(a, b)), n: n}
	s.noise = noise(s.IntN(3))
	s.rel = s.in(0.005, 0.03)
	return s
}

func (s *source) series(f Family) Series {
	s.y = make([]float64, s.n)
	slope := f.make(s)
	for i := range s.t {
		s.t[i] = math.Round(s.t[i]*1000) / 1000
	}
	return Series{f.Name, f.Leaks, s.t, s.y, slope}
}

// in draws evenly from lo to hi, geo evenly in the logarithm.
func (s *source) in(lo, hi float64) float64  { return lo + (hi-lo)*s.Float64() }
func (s *source) geo(lo, hi float64) float64 { return lo * math.Pow(hi/lo, s.Float64()) }

// arrivals draws a Poisson number, above fifty by the normal distribution.
func (s *source) arrivals(mean float64) float64 {
	switch {
	case mean <= 0:
		return 0
	case mean > 50:
		return whole(mean + math.Sqrt(mean)*s.NormFloat64())
	}
	k := -1.0
	for sum := 0.0; sum <= mean; k++ {
		sum += s.ExpFloat64()
	}
	return k
}

// burstyArrivals draws a Poisson number whose mean scatters by the part cv,
// gamma-distributed: the negative binomial distribution.
func (s *source) burstyArrivals(mean, cv float64) float64 {
	shape := 1 / (cv * cv)
	return s.arrivals(mean * s.gamma(shape) / shape)
}

// gamma draws from the gamma distribution of shape above one, scale one, by
// Marsaglia and Tsang (2000).
func (s *source) gamma(shape float64) float64 {
	d := shape - 1.0/3
	for {
		z := s.NormFloat64()
		v := 1 + z/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(1-s.Float64()) < z*z/2+d*(1-v+math.Log(v)) {
			return d * v
		}
	}
}

func whole(v float64) float64 { return max(0, math.Round(v)) }

// seen is the level as the series' noise shows it.
func (s *source) seen(level float64) float64 {
	switch s.noise {
	case poisson:
		return s.arrivals(level)
	case relative:
		return whole(level * (1 + s.rel*s.NormFloat64()))
	}
	return whole(level)
}

// times draws n ascending times: nearly regular, at random, or in bursts with
// long pauses.
func (s *source) times(n int, from, window float64) []float64 {
	at := make([]float64, n) // 0 to 1
	if n == 1 {
		return []float64{from + window*s.Float64()}
	}
	switch s.IntN(3) {
	case 0:
		for i := range at {
			at[i] = float64(i) / float64(n-1)
			if i > 0 && i < n-1 {
				at[i] += s.in(-0.2, 0.2) / float64(n-1)
			}
		}
	case 1:
		for i := range at {
			at[i] = s.Float64()
		}
		slices.Sort(at)
		at[0], at[n-1] = 0, 1
	default:
		for i := 1; i < n; i++ {
			at[i] = at[i-1] + math.Exp(0.8*s.NormFloat64())
		}
	}
	last := at[n-1]
	for i := range at {
		at[i] = from + window*at[i]/last
		if i > 0 {
			at[i] = max(at[i], at[i-1]+1e-3)
		}
	}
	return at
}

// x is the place of point i in the window, 0 to 1.
func (s *source) x(i int) float64 { return (s.t[i] - s.t[0]) / s.span() }

func (s *source) span() float64 { return s.t[s.n-1] - s.t[0] }

// show fills the series with a level that depends on the place.
func (s *source) show(level func(x float64) float64) {
	for i := range s.y {
		s.y[i] = s.seen(level(s.x(i)))
	}
}

// wander is an autocorrelated series of unit variance, with phi between
// points a mean gap apart.
func (s *source) wander(phi float64) []float64 {
	e := make([]float64, s.n)
	e[0] = s.NormFloat64()
	for i := 1; i < s.n; i++ {
		p := math.Pow(phi, (s.t[i]-s.t[i-1])*float64(s.n-1)/s.span())
		e[i] = p*e[i-1] + math.Sqrt(1-p*p)*s.NormFloat64()
	}
	return e
}

// teeth adds garbage that piles up to amplitude(x) and is collected 4 to 40
// times in the window, on a live floor.
func (s *source) teeth(floor, amplitude func(x float64) float64) {
	cycles := s.in(4, 40)
	collected := -s.Float64() / cycles
	next := collected + s.in(0.7, 1.3)/cycles
	for i := range s.y {
		x := s.x(i)
		for next <= x {
			collected = next
			next += s.in(0.7, 1.3) / cycles
		}
		s.y[i] = s.seen(floor(x)) + math.Round(amplitude(x)*(x-collected)*cycles)
	}
}

// lives spreads the points over two process lives, up to four from thirty
// points on; level is by the part of a life's window.
func (s *source) lives(level func(part float64) float64) int {
	k := 2
	if s.n >= 30 {
		k = 2 + s.IntN(3)
	}
	n := s.n
	s.t, s.y = nil, nil
	for l := range k {
		m := (n - len(s.t)) / (k - l)
		from := s.in(1, 5)
		for _, t := range s.times(m, from, s.window/float64(k)) {
			s.t = append(s.t, t)
			s.y = append(s.y, s.seen(level(t/(s.window/float64(k)))))
		}
	}
	return k
}
