package trend

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSamplingReducesTimes(t *testing.T) {
	for _, c := range []struct {
		name string
		t    []float64
		want []float64
	}{
		{"two stay", []float64{1, 2}, []float64{1, 2}},
		{"three even", []float64{0, 5, 10}, []float64{0, 5, 10}},
		{"three, two of them close", []float64{0, 9.5, 10}, []float64{0, 9.75}},
		{"four, two pairs", []float64{0, 0.5, 9.5, 10}, []float64{0.25, 9.75}},
		{"five in two huddles", []float64{0, 0.1, 0.2, 9.9, 10}, []float64{0.1, 9.95}},
		{"five, two of them close", []float64{0, 0.1, 4, 8, 10}, []float64{0, 0.1, 4, 8, 10}},
	} {
		if got := newSampling(c.t); !slices.Equal(got.t, c.want) || (got.plan == nil) != (len(c.want) < 3) {
			t.Errorf("%s: %v, want %v", c.name, got.t, c.want)
		}
	}
	long := make([]float64, 1000)
	for i := range long {
		long[i] = float64(i)
	}
	s := newSampling(long)
	if len(s.t) != maxPoints || !slices.IsSorted(s.t) || s.t[0] > 4 || s.t[maxPoints-1] < 995 {
		t.Errorf("%d blocks from %v to %v", len(s.t), s.t[0], s.t[len(s.t)-1])
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want []float64
		clipped  int
	}{
		{"six points stay", []float64{1, 1, 900, 1, 1, 1}, []float64{1, 1, 900, 1, 1, 1}, 0},
		{"a spike goes", []float64{10, 10, 10, 900, 10, 10, 10, 10}, []float64{10, 10, 10, 10, 10, 10, 10, 10}, 1},
		{"the ends stay", []float64{900, 10, 10, 10, 10, 10, 10, 900}, []float64{900, 10, 10, 10, 10, 10, 10, 900}, 0},
		{"a step stays", []float64{10, 10, 10, 10, 900, 900, 900, 900}, []float64{10, 10, 10, 10, 900, 900, 900, 900}, 0},
		{"a drop in steep growth stays", []float64{0, 100, 200, 300, 400, 250, 350, 450, 550}, []float64{0, 100, 200, 300, 400, 250, 350, 450, 550}, 0},
		{"growth stays", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}, []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}, 0},
	} {
		if got, n := clip(steps(len(c.in)), c.in, nil); !slices.Equal(got, c.want) || n != c.clipped {
			t.Errorf("%s: %v, %d clipped", c.name, got, n)
		}
	}
}

// A centred median takes nothing from a monotone series of any length.
func TestClipLeavesMonotoneSeries(t *testing.T) {
	for _, n := range []int{7, 20, 40, 128} {
		y := make([]float64, n)
		for i := range y {
			y[i] = math.Pow(float64(i), 2.5)
		}
		if _, clipped := clip(steps(n), y, nil); clipped != 0 {
			t.Errorf("n = %d: %d clipped", n, clipped)
		}
	}
}

func TestScreen(t *testing.T) {
	for _, c := range []struct {
		lo, hi int64
		want   bool
	}{{0, 9, false}, {0, 10, true}, {5000, 5049, false}, {5000, 5050, true}, {math.MaxInt64, -1, false}, {0, math.MaxInt64, true}} {
		if got := changes(c.lo, c.hi, minObjects); got != c.want {
			t.Errorf("%d to %d: %v", c.lo, c.hi, got)
		}
	}
}

func ladder(n int, f func(x float64) float64) (t, y []float64) {
	for i := range n {
		x := float64(i) / float64(n-1)
		t, y = append(t, 600*x), append(y, f(x))
	}
	return t, y
}

func TestStillGrowing(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		f    func(x float64) float64
		want bool
	}{
		{"a line", 30, func(x float64) float64 { return 100 * x }, true},
		{"stops half way", 30, func(x float64) float64 { return 100 * min(x, 0.5) }, false},
		{"stops, but too few points to tell", 8, func(x float64) float64 { return 100 * min(x, 0.5) }, true},
		{"starts late", 30, func(x float64) float64 { return 100 * max(0, x-0.5) }, true},
	} {
		x, y := ladder(c.n, c.f)
		if got := stillGrowing(x, y, leastSquares(x, y).slope); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestFloorRatio(t *testing.T) {
	w := newWorkspace()
	saw := func(x float64) float64 { return math.Mod(13.7*x, 1) }
	// Garbage on a constant floor, more and more of it.
	x, y := ladder(200, func(x float64) float64 { return 100 + 1000*(1+3*x)*saw(x) })
	if r, ok := w.floorRatio(x, y); !ok || r > floorPart {
		t.Errorf("growing garbage: %v %v", r, ok)
	}
	// The same garbage on a floor that grows.
	x, y = ladder(200, func(x float64) float64 { return 100 + 3000*x + 1000*saw(x) })
	if r, ok := w.floorRatio(x, y); !ok || r < 0.8 || r > 1.2 {
		t.Errorf("leak under garbage: %v %v", r, ok)
	}
	x, y = ladder(40, func(x float64) float64 { return 100 - x })
	if _, ok := w.floorRatio(x, y); ok {
		t.Error("a falling series has a floor ratio")
	}
}

func TestEven(t *testing.T) {
	for _, c := range []struct {
		name string
		y    []float64
		want bool
	}{
		{"even", []float64{1, 2, 3}, true},
		{"flat at the end", []float64{1, 5, 5}, false},
		{"falls", []float64{3, 2, 1}, false},
		{"one pause of five intervals", []float64{1, 2, 2, 3, 4, 5}, true},
		{"two pauses of five intervals", []float64{1, 2, 2, 3, 3, 5}, false},
	} {
		x, _ := ladder(len(c.y), func(float64) float64 { return 0 })
		if got := even(x, c.y); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestSawteeth(t *testing.T) {
	_, y := ladder(40, func(x float64) float64 { return math.Mod(6.3*x, 1) })
	if !sawteeth(y) {
		t.Error("teeth are not seen")
	}
	slices.Reverse(y)
	if !sawteeth(y) {
		t.Error("falling teeth are not seen")
	}
	_, y = ladder(40, func(x float64) float64 { return math.Sin(40 * x) })
	if sawteeth(y) {
		t.Error("a wave has teeth")
	}
	_, y = ladder(40, func(x float64) float64 { return x })
	if sawteeth(y) {
		t.Error("a line has teeth")
	}
}

// judgeShape judges n points of a shape, alone in its process.
func judgeShape(n int, f func(x float64) float64) judgement {
	x, y := ladder(n, f)
	for i := range y {
		y[i] = math.Round(y[i])
	}
	return newWorkspace().judge([]life{{s: newSampling(x), y: y}}, 1, minObjects, 0.95)
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		f    func(x float64) float64
		want Verdict
		leak bool
	}{
		{"a line", 40, func(x float64) float64 { return 100 + 1000*x }, Linear, true},
		{"late start", 40, func(x float64) float64 { return 100 + 1000*max(0, x-0.5) }, Linear, true},
		{"warm-up and line", 40, func(x float64) float64 { return 1000 - 600*math.Exp(-x/0.05) + 1000*x }, Linear, true},
		{"square", 40, func(x float64) float64 { return 100 + 1000*x*x }, Accelerating, true},
		{"root", 40, func(x float64) float64 { return 100 + 1000*math.Pow(x, 0.65) }, Slowing, true},
		{"stairs", 60, func(x float64) float64 { return 100 + 200*math.Floor(8*x) }, Stepwise, true},
		{"doubling", 60, func(x float64) float64 { return 128 * math.Exp2(math.Ceil(math.Log2(1+60*x))) }, Stepwise, true},
		{"fills and stays", 40, func(x float64) float64 { return 100 + 1000*min(x, 0.4) }, Plateau, false},
		{"warms up", 40, func(x float64) float64 { return 1000 - 900*math.Exp(-x/0.1) }, Plateau, false},
		{"one step", 40, func(x float64) float64 { return 100 + 1000*stepAt(0.5)(x) }, LevelShift, false},
		{"grew and dropped back", 40, func(x float64) float64 { return 100 + 1000*rampBack(0.6)(x) }, Dropped, false},
		{"wave", 60, func(x float64) float64 { return 1000 + 300*math.Sin(4*2*math.Pi*x) }, Cycle, false},
		{"teeth", 60, func(x float64) float64 { return 100 + 900*math.Mod(7.3*x, 1) }, Sawtooth, false},
		{"constant", 40, func(x float64) float64 { return 500 }, Flat, false},
		{"shrinks", 40, func(x float64) float64 { return 1000 - 800*x }, Shrinking, false},
		{"two points", 2, func(x float64) float64 { return 1000 * x }, TooFew, false},
	} {
		j := judgeShape(c.n, c.f)
		if j.verdict != c.want || j.leak != c.leak || j.suspect {
			t.Errorf("%s: %v leak %v suspect %v (log odds %.1f, guard %v)", c.name, j.verdict, j.leak, j.suspect, j.odds, j.guard)
		}
	}
}

func TestFoundingEvidence(t *testing.T) {
	s := newSampling([]float64{4, 596, 993})
	j := newWorkspace().judge([]life{{s: s, y: []float64{46, 5403, 9038}}}, 1, minObjects, 0.95)
	if math.Abs(j.odds-17.2) > 0.05 || !j.leak {
		t.Errorf("log odds %v", j.odds)
	}
}

func TestSince(t *testing.T) {
	j := judgeShape(60, func(x float64) float64 { return 100 + 1000*max(0, x-0.5) })
	s := j.lives[0].since()
	if want := 300 * time.Second; s.Low > want || s.High < want || s.At < 280*time.Second || s.At > 320*time.Second || s.High-s.Low > 60*time.Second {
		t.Errorf("since %v, want 5m", s)
	}
	j = judgeShape(60, func(x float64) float64 { return 100 + 1000*x })
	if s := j.lives[0].since(); s.At != 0 || s.Low != 0 || s.High > 30*time.Second {
		t.Errorf("from the start: %v", s)
	}
}

func TestRestartsAddUp(t *testing.T) {
	x, y := ladder(10, func(x float64) float64 { return math.Round(1000 + 300*x + 60*math.Sin(40*x)) })
	l := life{s: newSampling(x), y: y}
	w := newWorkspace()
	one, two := w.judge([]life{l}, 1, minObjects, 0.95), w.judge([]life{l, l}, 1, minObjects, 0.95)
	if !near(two.odds, 2*one.odds, 1e-9) {
		t.Errorf("log odds %v, of two lives %v", one.odds, two.odds)
	}
	// Half of the variance, and Meier's factor 1 + 4(1/2 1/2 + 1/2 1/2)/8.
	if a, b := one.slope.high-one.slope.low, two.slope.high-two.slope.low; !near(b, a/math.Sqrt2*math.Sqrt(1.25), 1e-6) {
		t.Errorf("interval %v, of two lives %v", a, b)
	}
	short := life{s: newSampling(x[:2]), y: y[:2]}
	if three := w.judge([]life{short, l}, 1, minObjects, 0.95); !near(three.odds, one.odds, 1e-9) || len(three.lives) != 1 {
		t.Errorf("a life of two points counts: %v", three.odds)
	}
}

// TestLivesShareTheirWarmUp: what three lives show together, no single one of
// these does, and without it each slope is too steep.
func TestLivesShareTheirWarmUp(t *testing.T) {
	var lives []life
	for k := range 3 {
		x, y := ladder(12, func(x float64) float64 {
			return math.Round(1000 + 4000*x - 400*math.Exp(-x/0.05) + 130*math.Sin(float64(k)+90*x))
		})
		lives = append(lives, life{s: newSampling(x), y: y})
	}
	w := newWorkspace()
	const want = 4000.0 / 600
	j := w.judge(lives, 1, minObjects, 0.95)
	for i := range lives {
		if one := w.judge(lives[i:i+1], 1, minObjects, 0.95); one.lives[0].slopes.jointWarmUp {
			t.Fatalf("life %d shows the warm-up alone", i)
		}
		if !j.lives[i].slopes.jointWarmUp {
			t.Errorf("life %d is a line from the start", i)
		}
	}
	if j.slope.low > want || j.slope.high < want {
		t.Errorf("%.2f to %.2f a second, want %.2f", j.slope.low, j.slope.high, want)
	}
}

// TestLivesKeepTheirWave: a wave that is clearly there is not given up for a
// warm-up that the lives show together.
func TestLivesKeepTheirWave(t *testing.T) {
	var lives []life
	for k := range 3 {
		r := rand.New(rand.NewPCG(8, uint64(k)))
		x, y := ladder(60, func(x float64) float64 {
			return math.Round(1000 + 2000*x + 400*math.Sin(2*math.Pi*(2*x+0.75)) - 100*math.Expm1(-x/0.04) + 30*r.NormFloat64())
		})
		lives = append(lives, life{s: newSampling(x), y: y})
	}
	j := newWorkspace().judge(lives, 1, minObjects, 0.95)
	for i := range j.lives {
		if l := &j.lives[i]; l.ev.best(model.growing) != mCycleLinear || l.slopes.jointWarmUp {
			t.Errorf("life %d: %v, warm-up %v", i, l.ev.best(model.growing), l.slopes.jointWarmUp)
		}
	}
	if low, high := 600*j.slope.low, 600*j.slope.high; low < 1800 || high > 2200 {
		t.Errorf("%.0f to %.0f, want about 2,000", low, high)
	}
}

// TestFewPoints holds what is asked of a handful of points: the more evenly
// they rise, the less.
func TestFewPoints(t *testing.T) {
	for _, c := range []struct {
		name  string
		t, y  []float64
		ratio float64
		odds  float64
		toEnd bool
	}{
		{"three in a line", []float64{0, 5, 10}, []float64{10, 35, 60}, 4, 4, true},
		{"three, slowing", []float64{0, 5, 10}, []float64{10, 42, 60}, 5, 4, true},
		{"three, the second early", []float64{0, 2, 10}, []float64{10, 20, 60}, 4, 4, false},
		{"five in a line", []float64{0, 1, 2, 3, 4}, []float64{10, 13, 16, 19, 22}, 1.8, 2.5, true},
		{"five with a pause", []float64{0, 1, 2, 3, 4}, []float64{10, 13, 13, 19, 22}, 2, 5, true},
		{"seven", []float64{0, 1, 2, 3, 4, 5, 6}, []float64{10, 11, 13, 14, 15, 18, 19}, 1.5, 4, true},
		{"five that fall", []float64{0, 1, 2, 3, 4}, []float64{22, 19, 16, 13, 10}, 2, 5, true},
	} {
		if ratio, odds := few[len(c.y)-3].asked(c.t, c.y); ratio != c.ratio || odds != c.odds {
			t.Errorf("%s: ratio %v and log odds %v, want %v and %v", c.name, ratio, odds, c.ratio, c.odds)
		}
		if got := seenToTheEnd(c.t); got != c.toEnd {
			t.Errorf("%s: seen to the end: %v", c.name, got)
		}
	}
}
