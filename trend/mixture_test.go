package trend

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat/distuv"
)

func TestCoefficientsAddUp(t *testing.T) {
	for _, c := range []struct {
		name string
		c    coefficients
		mix  noiseMix
	}{{"around a line", lineCoefficients, aroundLine}, {"beside a wave", curveCoefficients, besideCurve}, {"beside a warm-up", warmCoefficients, besideCurve}} {
		n := len(c.c.phi)
		if n > maxCoefficients || n != len(c.c.weight) || !near(floats.Sum(c.c.weight), 1, 1e-12) {
			t.Errorf("%s: %d coefficients, weights %v", c.name, n, c.c.weight)
		}
		if c.c.weight[0] < c.mix.independent || c.c.weight[n-1] != c.mix.walk || c.c.phi[n-1] != randomWalk {
			t.Errorf("%s: weights %v of %v", c.name, c.c.weight, c.c.phi)
		}
	}
}

func TestStudentTailAgainstGonum(t *testing.T) {
	for _, degrees := range []int{1, 2, 6, 40, 126} {
		d := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(degrees)}
		tail := tailOf(degrees)
		for _, x := range []float64{-30, -1.3, 0, 0.01, 0.7, 1.96, 3.3, 12.7, 400, 1e9} {
			if got, want := tail.above(x), d.Survival(x); math.Abs(got-want) > 2e-6 {
				t.Errorf("%d degrees above %v: %v, want %v", degrees, x, got, want)
			}
		}
	}
}

// TestHalfOfMixture: what gonum says lies outside of the interval is what was
// asked for.
func TestHalfOfMixture(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts []part
		want  float64 // 0: not known beforehand
	}{
		{"one", []part{{1, 0, 2}}, 2 * 2.306},
		{"two alike", []part{{0.3, 0, 1}, {0.7, 0, 1}}, 2.306},
		{"a wide one", []part{{0.9, 0, 1}, {0.1, 0, 9}}, 0},
		{"one aside", []part{{0.6, 0.5, 1}, {0.4, 3, 0.2}}, 0},
		{"exact ones", []part{{0.97, 0.1, 0}, {0.03, 7, 0}}, 0.1},
	} {
		reach := 0.0
		for _, p := range c.parts {
			reach = max(reach, p.off+2.307*p.se)
		}
		half := halfOf(c.parts, tailOf(8), 0.05, reach)
		if c.want > 0 {
			if !near(half, c.want, 1e-3) {
				t.Errorf("%s: %v, want %v", c.name, half, c.want)
			}
			continue
		}
		outside := 0.0
		for _, p := range c.parts {
			d := distuv.StudentsT{Mu: p.off, Sigma: p.se, Nu: 8}
			outside += p.weight * (d.Survival(half) + d.CDF(-half))
		}
		if math.Abs(outside-0.05) > 1e-5 {
			t.Errorf("%s: %v of it is outside of %v", c.name, outside, half)
		}
	}
}

// TestIntervalsHold: of 300 lines under each kind of noise the interval holds
// the slope in 88 per cent or more, and where the noise is what it seems to be
// in 99 or less.
func TestIntervalsHold(t *testing.T) {
	w := newWorkspace()
	for _, c := range []struct {
		name  string
		noise func(r *rand.Rand, y []float64)
	}{
		{"independent", func(r *rand.Rand, y []float64) { wander(r, y, 0) }},
		{"wanders", func(r *rand.Rand, y []float64) { wander(r, y, 0.7) }},
		{"a random walk", func(r *rand.Rand, y []float64) {
			at := 0.0
			for i := range y {
				at += 30 * r.NormFloat64()
				y[i] += at
			}
		}},
		{"wider and wider", func(r *rand.Rand, y []float64) {
			for i := range y {
				y[i] += 200 * float64(i) / float64(len(y)) * r.NormFloat64()
			}
		}},
		{"teeth", func(r *rand.Rand, y []float64) {
			at := r.Float64()
			for i := range y {
				if at += (0.5 + r.Float64()) * 12 / float64(len(y)); at > 1 {
					at = 0
				}
				y[i] += 1000 * at
			}
		}},
	} {
		for _, n := range []int{30, 120} {
			r := rand.New(rand.NewPCG(21, uint64(n)))
			x, _ := ladder(n, func(float64) float64 { return 0 })
			s := newSampling(x)
			held := 0
			for range 300 {
				y := make([]float64, n)
				for i := range y {
					y[i] = 5000 + 20*x[i]
				}
				c.noise(r, y)
				if v := w.slopeOf(s.plan, s.t, y, 0.95); v.low <= 20 && v.high >= 20 {
					held++
				}
			}
			if held < 264 || held > 297 && c.name != "teeth" {
				t.Errorf("%s, %d points: %d of 300 hold the slope", c.name, n, held)
			}
		}
	}
}

// wander adds AR(1) noise.
func wander(r *rand.Rand, y []float64, phi float64) {
	e := r.NormFloat64()
	for i := range y {
		y[i] += 100 * e
		e = phi*e + math.Sqrt(1-phi*phi)*r.NormFloat64()
	}
}

// TestScoresAgainstTheGeneralWay: the scores of a line are those of any fit.
func TestScoresAgainstTheGeneralWay(t *testing.T) {
	x, y := noisyLine(70, 4)
	for _, phi := range []float64{0, 0.6, randomWalk} {
		l := newLine(x, phi)
		s := solution{columns: [][]float64{l.x, l.u}, unit: 1}
		for i := range y {
			before := 0.0
			if i > 0 {
				before = y[i-1] - y[0]
			}
			s.y = append(s.y, (y[i]-y[0]-l.a[i]*before)*l.d[i])
		}
		if !s.solve() {
			t.Fatal(phi)
		}
		f := arLine(x, y, phi)
		var want, reach []float64
		for r := range y {
			a, b := s.score(r)
			want, reach = append(want, a), append(reach, b)
		}
		if got := l.scores(y, f.slope, nil); !floats.EqualApprox(got, want, 1e-9) {
			t.Errorf("phi %v: %v, want %v", phi, got[:5], want[:5])
		}
		if got := slowestOf(s.columns, reach); !near(got, l.slowest, 1e-6) {
			t.Errorf("phi %v: slowest waves %v, of any fit %v", phi, l.slowest, got)
		}
		if g := s.restricted(len(y)-2, l.logDet); !near(g, f.logLik, 1e-6) {
			t.Errorf("phi %v: log likelihood %v, of any fit %v", phi, f.logLik, g)
		}
		if g := s.line(phi, len(y)-2); !near(g.slope, f.slope, 1e-6) || g.se < f.se*(1-1e-9) {
			t.Errorf("phi %v: %v, of any fit %v", phi, f, g)
		}
	}
}

// TestSlowestWaves: what is expected of the slowest waves of scores is what
// many series have on average.
func TestSlowestWaves(t *testing.T) {
	x, _ := noisyLine(80, 6)
	r := rand.New(rand.NewPCG(3, 9))
	for _, phi := range []float64{0, 0.8} {
		l := newLine(x, phi)
		sum := 0.0
		const series = 4000
		for range series {
			// Independent noise after whitening.
			y, at := make([]float64, len(x)), 0.0
			for i := range y {
				at = l.a[i]*at + r.NormFloat64()/l.d[i]
				y[i] = at
			}
			s := l.scores(y, arLine(x, y, phi).slope, nil)
			for _, c := range cosines(len(x)) {
				d := floats.Dot(c, s)
				sum += d * d / series
			}
		}
		if !near(sum, l.slowest, 0.04) {
			t.Errorf("phi %v: %v, expected %v", phi, sum, l.slowest)
		}
	}
}

// TestWarmLineOfAnyUnit: counts and bytes of the same objects have the same
// interval, in their unit.
func TestWarmLineOfAnyUnit(t *testing.T) {
	x, _ := ladder(8, func(float64) float64 { return 0 })
	y := []float64{202, 375, 436, 510, 589, 660, 728, 799}
	p := newPlan(x)
	want, ok := p.warmLine(y, 0.015, 0.95)
	if !ok {
		t.Fatal("no line")
	}
	for _, unit := range []float64{1.0 / 64, 1024, 1 << 30} {
		scaled := make([]float64, len(y))
		for i := range y {
			scaled[i] = unit * y[i]
		}
		got, ok := p.warmLine(scaled, 0.015, 0.95)
		if !ok || !near(got.slope, unit*want.slope, 1e-6) || !near(got.se, unit*want.se, 1e-6) {
			t.Errorf("times %v: %v, %v; want %v, %v", unit, got.slope/unit, got.se/unit, want.slope, want.se)
		}
	}
}

// TestCosines: each is orthogonal to the others and to a constant.
func TestCosines(t *testing.T) {
	c := cosines(100)
	if len(c) != 8 {
		t.Fatalf("%d cosines of 100 points", len(c))
	}
	for i := range c {
		if s := floats.Sum(c[i]); math.Abs(s) > 1e-9 {
			t.Errorf("%d adds up to %v", i, s)
		}
		for j := range c {
			want := 0.0
			if i == j {
				want = 50
			}
			if d := floats.Dot(c[i], c[j]); math.Abs(d-want) > 1e-9 {
				t.Errorf("%d by %d: %v", i, j, d)
			}
		}
	}
}
