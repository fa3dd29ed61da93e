package trend

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(a, b, tolerance float64) bool {
	return math.Abs(a-b) <= tolerance*max(1, math.Abs(a), math.Abs(b))
}

// noisyLine is n irregular points of a line.
func noisyLine(n int, seed uint64) (t, y []float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	at := 10.0
	for i := range n {
		at += 20 + 100*r.Float64()
		t = append(t, at)
		y = append(y, math.Round(1000+0.3*at+40*r.NormFloat64()))
		_ = i
	}
	return t, y
}

// slowRSS is the residual sum of squares of a shape by least squares on
// whitened columns, made anew for the series: the obvious way.
func slowRSS(t, y []float64, columns []column, phi float64) (rss float64, coef []float64) {
	p := &plan{n: len(t), t0: t[0], span: t[len(t)-1] - t[0]}
	for i := range t {
		p.x = append(p.x, (t[i]-t[0])/p.span)
		p.gap = append(p.gap, 0)
		if i > 0 {
			p.gap[i] = (t[i] - t[i-1]) / p.span * float64(len(t)-1)
		}
	}
	white := func(z []float64) []float64 {
		out := []float64{z[0]}
		for i := 1; i < len(z); i++ {
			a := 0.0
			if phi > 0 {
				a = math.Pow(phi, p.gap[i])
			}
			out = append(out, (z[i]-a*z[i-1])/math.Sqrt(max(1-a*a, 1e-6)))
		}
		return out
	}
	rows := [][]float64{white(sample(func(float64) float64 { return 1 }, p.x))}
	for _, c := range columns {
		rows = append(rows, white(sample(c, p.x)))
	}
	_, coef, rss, _ = normalEquations(rows, white(y))
	return rss, coef
}

// TestResidualsAgainstLeastSquares compares the shared whitened columns with
// least squares done for each shape and series.
func TestResidualsAgainstLeastSquares(t *testing.T) {
	for _, n := range []int{3, 6, 10, 40} {
		times, y := noisyLine(n, uint64(n))
		p := newPlan(times)
		w := newWorkspace()
		w.residuals(p, y, allNoises[:len(p.noise)])
		checked := 0
		for i, f := range p.fits {
			for j := range p.noise {
				want, coef := slowRSS(times, y, columnsOf(f.model, f.theta, p.span), p.noise[j].phi)
				got := w.rss[j][i]
				last := coef[len(coef)-1]
				allowed := f.sign == anySign || f.sign == positive && last > 0 || f.sign == negative && last < 0 ||
					(f.sign == warmSign || f.sign == startSign) && coef[1] > 0 && last > 0.1*coef[1] ||
					f.sign == startSign && coef[1] < 0 && last > -settled*coef[1] || f.sign == bothPositive && coef[1] > 0 && last > 0 ||
					f.sign == fallSign && coef[1] < 0 && last > 0
				if !allowed {
					if !math.IsInf(got, 1) {
						t.Errorf("n = %d, %v %v, phi %v: coefficients %v should be refused", n, f.model, f.theta, p.noise[j].phi, coef)
					}
					continue
				}
				checked++
				if !near(got, want, 1e-6) {
					t.Errorf("n = %d, %v %v, phi %v: residuals %v, least squares %v", n, f.model, f.theta, p.noise[j].phi, got, want)
				}
			}
		}
		if checked < 3 {
			t.Errorf("n = %d: only %d shapes compared", n, checked)
		}
	}
}

// TestGridAgainstEveryTerm compares the evidence of each model with the mean of
// the likelihoods at all its places, as the formula has them.
func TestGridAgainstEveryTerm(t *testing.T) {
	for _, n := range []int{3, 6, 11, 40, 101} {
		times, y := noisyLine(n, uint64(n))
		p := newPlan(times)
		w := newWorkspace()
		w.slow = true
		e := w.weigh(p, y)
		for m, places := range p.byKind {
			if len(places) == 0 {
				continue
			}
			var logs []float64
			for j := range p.noise {
				rss := slices.Clone(w.extra[j])
				if model(m) != mSaturating {
					rss = nil
				}
				for _, f := range places {
					rss = append(rss, w.rss[j][f])
				}
				for _, r := range rss {
					for _, c := range scaleGrid {
						s := c*math.Abs(e.level) + 0.5
						k := float64(p.fits[places[0]].k)
						logs = append(logs, -0.5*(float64(n+1)*math.Log(s*s+r)-math.Log(s*s)+p.noise[j].logDet+k*math.Log(float64(n))))
					}
				}
			}
			want := logMeanExp(logs, len(logs))
			// What is left out is below e^-20 of the greatest term each.
			if got := e.lnZ[m]; math.Abs(got-want) > 1e-6 && got != want {
				t.Errorf("n = %d, %v: %v, by every term %v", n, model(m), got, want)
			}
		}
	}
}

// TestShapesLikeTheOneBefore: the columns that are taken from the shape before
// are its.
func TestShapesLikeTheOneBefore(t *testing.T) {
	shared := map[model]int{}
	for _, n := range []int{3, 8, 20, 100} {
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(i) / float64(n-1)
		}
		list := shapes(x, 2*day)
		for i, s := range list {
			for c := range s.like {
				shared[s.model]++
				if !slices.Equal(sample(s.columns[c], x), sample(list[i-1].columns[c], x)) {
					t.Errorf("n = %d, %v %v: column %d is not that of %v %v", n, s.model, s.theta, c, list[i-1].model, list[i-1].theta)
				}
			}
		}
	}
	if len(shared) != 4 {
		t.Errorf("shared by %v", shared)
	}
}

// TestPartitionsAgainstEverySplit compares the dynamic programme with trying
// every way to cut a short series.
func TestPartitionsAgainstEverySplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		y := make([]float64, 10)
		for i := range y {
			y[i] = math.Round(100 * r.Float64())
		}
		parts := newWorkspace().partitions(y, 2)
		if len(parts) != 4 {
			t.Fatalf("%d partitions", len(parts))
		}
		for k := range parts {
			if best := bestSplit(y, k+2, 2); !near(parts[k].ssr, best, 1e-9) {
				t.Errorf("%d levels: %v, by every split %v", k+2, parts[k].ssr, best)
			}
			// The levels are means of what they cover.
			p := parts[k]
			sum := 0.0
			for l, s := range p.starts {
				e := len(y)
				if l+1 < len(p.starts) {
					e = p.starts[l+1]
				}
				for _, v := range y[s:e] {
					sum += (v - p.levels[l]) * (v - p.levels[l])
				}
			}
			if !near(sum, p.ssr, 1e-9) {
				t.Errorf("%d levels: starts %v give %v, not %v", k+2, p.starts, sum, p.ssr)
			}
		}
	}
}

func bestSplit(y []float64, levels, shortest int) float64 {
	if len(y) < levels*shortest {
		return math.Inf(1)
	}
	cost := func(v []float64) float64 {
		m, s := 0.0, 0.0
		for _, x := range v {
			m += x / float64(len(v))
		}
		for _, x := range v {
			s += (x - m) * (x - m)
		}
		return s
	}
	if levels == 1 {
		return cost(y)
	}
	best := math.Inf(1)
	for cut := shortest; cut <= len(y)-shortest; cut++ {
		best = min(best, cost(y[:cut])+bestSplit(y[cut:], levels-1, shortest))
	}
	return best
}

// TestWhitenedLevelsAgainstLeastSquares compares the tridiagonal solution
// with indicator columns.
func TestWhitenedLevelsAgainstLeastSquares(t *testing.T) {
	times, y := noisyLine(24, 5)
	p := newPlan(times)
	w := newWorkspace()
	w.residuals(p, y, allNoises) // centres the points
	parts := w.partitions(y, 2)
	for j := range p.noise {
		noise := &p.noise[j]
		yw := w.whitened(noise)
		yy := dot(yw, yw)
		w.innerY[0], w.innerY[1] = 0, 0
		for i := 1; i < p.n; i++ {
			w.innerY[i+1] = w.innerY[i] + (1-noise.a[i])*noise.d[i]*yw[i]
		}
		for k := range parts {
			var columns []column
			for _, s := range parts[k].starts[1:] {
				columns = append(columns, stepAt((p.x[s-1]+p.x[s])/2))
			}
			want, _ := slowRSS(times, y, columns, noise.phi)
			if got := w.whitenedRSS(p, noise, &parts[k], yw, yy); !near(got, want, 1e-6) {
				t.Errorf("phi %v, %d levels: %v, want %v", noise.phi, k+2, got, want)
			}
		}
	}
}

func TestStepwise(t *testing.T) {
	x := make([]float64, 101)
	for i := range x {
		x[i] = float64(i) / 100
	}
	for _, c := range []struct {
		name   string
		starts []int
		levels []float64
		want   bool
	}{
		{"rises four times", []int{0, 20, 40, 60, 80}, []float64{1, 2, 3, 4, 5}, true},
		{"rises twice", []int{0, 30, 70}, []float64{1, 2, 3}, false},
		{"stops in the middle", []int{0, 40, 45, 50}, []float64{1, 2, 3, 4}, false},
		{"falls back", []int{0, 20, 40, 60, 80}, []float64{1, 2, 1, 2, 3}, false},
		{"tiny rises", []int{0, 20, 40, 80}, []float64{1, 1.01, 1.02, 3}, false},
		{"most of it at the start, as the greatest load so far", []int{0, 5, 30, 80}, []float64{1, 8, 9, 10}, false},
		{"the same rises the other way round", []int{0, 5, 30, 80}, []float64{1, 2, 3, 10}, true},
		{"two rises, one of them seen halfway", []int{0, 40, 70, 72}, []float64{1, 2, 2.5, 3}, false},
	} {
		p := partition{starts: c.starts, levels: c.levels}
		if got := p.stepwise(x); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestQuickWeighingLosesNothing compares the odds where only two noise
// coefficients were weighed with those of all.
func TestQuickWeighingLosesNothing(t *testing.T) {
	quick, slow := newWorkspace(), newWorkspace()
	slow.slow = true
	hopelessOnes := 0
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 2))
		times, y := noisyLine(40, seed)
		for i := range y {
			y[i] -= 0.3 * times[i] // from flat to clearly growing
			if seed%3 == 0 {       // a level shift, which nothing that grows can follow
				y[i] += 3000 * stepAt(12)(float64(i))
				continue
			}
			y[i] += float64(seed%6) * 4 * float64(i) * r.Float64()
		}
		p := newPlan(times)
		a, b := quick.weigh(p, y), slow.weigh(p, y)
		if a.odds < hopeless {
			hopelessOnes++
			if b.odds > 0 {
				t.Errorf("seed %d: odds %v by two coefficients, %v by all", seed, a.odds, b.odds)
			}
		} else if !near(a.odds, b.odds, 1e-9) {
			t.Errorf("seed %d: odds %v and %v", seed, a.odds, b.odds)
		}
	}
	if hopelessOnes == 0 {
		t.Error("no series was hopeless; the test shows nothing")
	}
}
