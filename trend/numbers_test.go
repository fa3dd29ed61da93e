package trend

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTheilSenPublished: the example of Sen, "Estimates of the regression
// coefficient based on Kendall's tau" (1968), as in the tests of SciPy's
// theilslopes: slope 4.
func TestTheilSenPublished(t *testing.T) {
	x := []float64{1, 2, 3, 4, 10, 12, 18}
	y := []float64{9, 15, 19, 20, 45, 55, 78}
	if got := newWorkspace().theilSen(x, y); got != 4 {
		t.Errorf("%v, want 4", got)
	}
	if got := newWorkspace().theilSen([]float64{0, 1, 2}, []float64{0, 1, 1}); got != 0.5 {
		t.Errorf("%v, want 0.5 (SciPy)", got)
	}
	if got := newWorkspace().theilSen([]float64{3, 3}, []float64{0, 1}); got != 0 {
		t.Errorf("equal times: %v", got)
	}
}

// TestMannKendallPublished: Gilbert, "Statistical Methods for Environmental
// Pollution Monitoring" (1987), chapter 16, the series of page 212: Z is 3.1;
// and 1 to 100 as in the tests of MannKendall.jl.
func TestMannKendallPublished(t *testing.T) {
	y := []float64{20, 20, 20, 20, 15, 20, 20, 30, 27, 26, 23, 35, 25, 28, 70, 26, 24, 34, 32, 23, 50, 30}
	s, v := mannKendall(y)
	if z := (s - 1) / math.Sqrt(v); math.Abs(z-3.1) > 0.05 {
		t.Errorf("S %v, variance %v, Z %v", s, v, z)
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	s, v = mannKendall(hundred)
	if z := (s - 1) / math.Sqrt(v); s != 4950 || v != 112750 || !near(z, 14.73869998208331, 1e-12) {
		t.Errorf("S %v, variance %v, Z %v", s, v, z)
	}
}

func TestHamedRaoFactor(t *testing.T) {
	// By hand: four points, ranks of the rest 1, 2, 3, 4 about 2.5:
	// c0 = 5, c1 = 1.25, so rho1 = 0.25, below 1.96/2: no lag counts.
	if f := hamedRaoFactor([]float64{0, 1, 2, 3}, []float64{1, 2, 3, 4}, 0); f != 1 {
		t.Errorf("factor %v, want 1", f)
	}
	// A slow wave is autocorrelated: the variance must grow.
	n := 40
	x, y := make([]float64, n), make([]float64, n)
	for i := range x {
		x[i], y[i] = float64(i), math.Sin(float64(i)/5)
	}
	k := hamedRao(x, y, 0)
	if f := hamedRaoFactor(x, y, 0); f < 1 && k.Factor != 1 {
		t.Errorf("factor %v is used as %v", f, k.Factor)
	}
	// An alternating series has a negative sum of autocorrelations; the factor
	// must not fall below one nor the test become NaN (pyMannKendall issue 29).
	for i := range y {
		y[i] = float64(i%2) * 10
	}
	if k := hamedRao(x, y, 0); k.Factor < 1 || math.IsNaN(k.Z) || math.IsNaN(k.P) {
		t.Errorf("%+v", k)
	}
}

// TestNeweyWestByDefinition compares with the sum over all pairs of points,
// weighed by their distance.
func TestNeweyWestByDefinition(t *testing.T) {
	x, y := noisyLine(30, 3)
	o := leastSquares(x, y)
	for _, lag := range []int{0, 1, 4, 10} {
		sum := 0.0
		for i := range x {
			for j := range x {
				d := i - j
				if d < 0 {
					d = -d
				}
				if d <= lag {
					gi := (x[i] - x[0] - o.mean) * (y[i] - o.at0 - o.slope*(x[i]-x[0]))
					gj := (x[j] - x[0] - o.mean) * (y[j] - o.at0 - o.slope*(x[j]-x[0]))
					sum += (1 - float64(d)/float64(lag+1)) * gi * gj
				}
			}
		}
		if got, want := neweyWest(x, y, o, lag), math.Sqrt(sum)/o.sxx; !near(got, want, 1e-9) {
			t.Errorf("lag %d: %v, want %v", lag, got, want)
		}
	}
}

// TestARLineAgainstFullMatrix compares the line under AR(1) noise with
// generalised least squares by the whole covariance matrix.
func TestARLineAgainstFullMatrix(t *testing.T) {
	x, y := noisyLine(12, 8)
	n := len(x)
	gap := (x[n-1] - x[0]) / float64(n-1)
	for _, phi := range []float64{0, 0.3, 0.9} {
		cov := make([][]float64, n)
		for i := range cov {
			cov[i] = make([]float64, n)
			for j := range cov[i] {
				if i == j {
					cov[i][j] = 1
				} else if phi > 0 {
					cov[i][j] = math.Pow(phi, math.Abs(x[i]-x[j])/gap)
				}
			}
		}
		inv := invert(cov)
		// Normal equations with the inverse in the middle.
		form := func(a, b func(int) float64) float64 {
			s := 0.0
			for i := range n {
				for j := range n {
					s += a(i) * inv[i][j] * b(j)
				}
			}
			return s
		}
		one := func(int) float64 { return 1 }
		tt := func(i int) float64 { return x[i] - x[0] }
		yy := func(i int) float64 { return y[i] }
		s11, s1x, sxx, s1y, sxy := form(one, one), form(one, tt), form(tt, tt), form(one, yy), form(tt, yy)
		det := s11*sxx - s1x*s1x
		slope := (s11*sxy - s1x*s1y) / det
		level := (sxx*s1y - s1x*sxy) / det
		rest := func(i int) float64 { return y[i] - level - slope*(x[i]-x[0]) }
		se := math.Sqrt(form(rest, rest) / float64(n-2) * s11 / det)
		for _, f := range []lineFit{arLine(x, y, phi), newPlan(x).arLine(y, phi)} {
			if !near(f.slope, slope, 1e-8) || !near(f.se, se, 1e-8) {
				t.Errorf("phi %v: slope %v error %v, want %v %v", phi, f.slope, f.se, slope, se)
			}
		}
	}
}

// TestTailLines: the lines from a later point on are those of these points
// alone, to the last bit.
func TestTailLines(t *testing.T) {
	x, y := noisyLine(30, 3)
	p := newPlan(x)
	if p.from(0, x) != p || p.from(23, x) != nil {
		t.Error("all points have a tail of their own, or seven have one")
	}
	for _, i := range []int{1, 9, 22} {
		for range 2 { // made, and kept
			tail := p.from(i, x)
			for _, phi := range lineCoefficients.phi {
				if got, want := tail.arLine(y[i:], phi), arLine(x[i:], y[i:], phi); got != want {
					t.Errorf("from %d, phi %v: %+v, want %+v", i, phi, got, want)
				}
			}
		}
	}
}

func invert(a [][]float64) [][]float64 {
	n := len(a)
	m := make([][]float64, n)
	for i := range m {
		m[i] = append(append([]float64(nil), a[i]...), make([]float64, n)...)
		m[i][n+i] = 1
	}
	for c := range n {
		f := m[c][c]
		for j := range m[c] {
			m[c][j] /= f
		}
		for r := range n {
			if g := m[r][c]; r != c {
				for j := range m[r] {
					m[r][j] -= g * m[c][j]
				}
			}
		}
	}
	for i := range m {
		m[i] = m[i][n:]
	}
	return m
}

// TestStudentQuantile: the usual table.
func TestStudentQuantile(t *testing.T) {
	for df, want := range map[int]float64{1: 12.706, 2: 4.303, 8: 2.306, 30: 2.042, 126: 1.979} {
		if got := studentQuantile(0.95, df); math.Abs(got-want) > 0.001 {
			t.Errorf("%d degrees: %v, want %v", df, got, want)
		}
	}
}

func TestMedianOf(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{3, 1}, 2}, {[]float64{5, 1, 9}, 5}, {[]float64{1, 1, 1, 8}, 1}} {
		if got := medianOf(c.in); got != c.want {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
}

// TestSelectAgainstSorting: whatever the order and however many are equal.
func TestSelectAgainstSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for _, c := range []struct {
		name string
		at   func(i, n int) float64
	}{
		{"drawn", func(int, int) float64 { return r.NormFloat64() }},
		{"many alike", func(int, int) float64 { return float64(r.IntN(3)) }},
		{"all alike", func(int, int) float64 { return 7 }},
		{"rising", func(i, _ int) float64 { return float64(i) }},
		{"falling", func(i, n int) float64 { return float64(n - i) }},
		{"up and down", func(i, n int) float64 { return float64(min(i, n-i)) }},
		{"mostly the least", func(i, _ int) float64 { return float64(max(0, i%50-46)) }},
	} {
		for _, n := range []int{1, 2, 24, 25, 26, 60, 128, 1000, 4950} {
			v := make([]float64, n)
			for i := range v {
				v[i] = c.at(i, n)
			}
			sorted := slices.Sorted(slices.Values(v))
			for _, k := range []int{0, n / 5, n / 2, n - 1} {
				w := slices.Clone(v)
				if got := selectKth(w, k); got != sorted[k] || w[k] != got {
					t.Errorf("%s, %d of %d: %v, sorted %v", c.name, k, n, got, sorted[k])
				}
				if slices.Max(w[:k+1]) > w[k] || slices.Min(w[k:]) < w[k] {
					t.Errorf("%s, %d of %d: the others are not to both sides of it", c.name, k, n)
				}
				if slices.Sort(w); !slices.Equal(w, sorted) {
					t.Errorf("%s, %d of %d: a value is lost", c.name, k, n)
				}
			}
		}
	}
	selectKth(slices.Repeat([]float64{math.NaN()}, 30), 15) // comes back
}

func TestRunningMediansAgainstEachPoint(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	for _, n := range []int{7, 8, 9, 24, 25, 60, 128} {
		for range 20 {
			y, got := make([]float64, n), make([]float64, n)
			for i := range y {
				y[i] = float64(r.IntN(10)) // some are equal
			}
			reach := clipReach(n)
			runningMedians(y, reach, got)
			for i := range y {
				if want := runningMedian(y, i, reach); got[i] != want {
					t.Errorf("%v: %d of %d: %v, want %v", y, i, n, got[i], want)
				}
			}
		}
	}
}

// TestTheilSenAgainstAllPairs: the bracket changes nothing, wherever the median
// is and however many slopes are equal to it.
func TestTheilSenAgainstAllPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	w := newWorkspace()
	for _, c := range []struct {
		name string
		at   func(i int) float64
	}{
		{"noise", func(int) float64 { return 1e4 * r.NormFloat64() }},
		{"counts", func(int) float64 { return float64(r.IntN(4)) }},
		{"constant", func(int) float64 { return 12 }},
		{"a line", func(i int) float64 { return 5 * float64(i) }},
		{"a noisy line", func(i int) float64 { return 1000 - 20*float64(i) + 100*r.NormFloat64() }},
		{"a step", func(i int) float64 { return 1e6 * float64(i/30) }},
		{"mostly flat", func(i int) float64 { return float64(max(0, i-35)) }},
		{"great", func(i int) float64 { return float64(i%5) * math.MaxInt64 }},
	} {
		for _, n := range []int{39, 40, 41, 77, 128} {
			x, y := make([]float64, n), make([]float64, n)
			for range 40 {
				for i := range y {
					x[i], y[i] = 60*float64(i)+20*r.Float64(), c.at(i)
				}
				if got, want := w.theilSen(x, y), w.allPairs(x, y); got != want {
					t.Errorf("%s, n = %d: %v, by all pairs %v", c.name, n, got, want)
				}
			}
			clear(x)
			x[n-1] = 1
			if got, want := w.theilSen(x, y), w.allPairs(x, y); got != want {
				t.Errorf("%s, n = %d, equal times: %v, by all pairs %v", c.name, n, got, want)
			}
		}
	}
}

// TestHamedRaoPublished: monthly rainfall at Bogra as in the tests of
// pyMannKendall: S, its variance and the one corrected for autocorrelation by
// all significant lags, and the slope per month.
func TestHamedRaoPublished(t *testing.T) {
	b, err := os.ReadFile("testdata/rainfall-bogra.txt")
	if err != nil {
		t.Fatal(err)
	}
	var x, y []float64
	for _, f := range strings.Fields(string(b)) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			t.Fatal(err)
		}
		x, y = append(x, float64(len(y)+1)), append(y, v)
	}
	s, v := mannKendall(y)
	if s != -1959 || !near(v, 4889800.333333333, 1e-12) {
		t.Errorf("S %v, variance %v", s, v)
	}
	slope := newWorkspace().theilSen(x, y)
	if !near(slope, -0.0064516129032258064, 1e-12) {
		t.Errorf("slope %v", slope)
	}
	if got := v * hamedRaoFactor(x, y, slope); !near(got, 257403.38678462413, 1e-9) {
		t.Errorf("corrected variance %v", got)
	}
	// We never let the correction shrink the variance.
	if k := hamedRao(x, y, slope); k.Factor != 1 {
		t.Errorf("factor %v", k.Factor)
	}
}
