package trend

import (
	"math"
	"slices"
)

// model is one shape a series may have. Those before flat are still growing at
// the end of the window.
type model int

const (
	mLinear model = iota
	mLate
	mAccelerating
	mSlowing
	mWarmLinear
	mDailyLinear
	mCycleLinear
	mStepwise
	mDoubling
	mFlat
	mDeclining
	mStep
	mSaturating
	mPlateau
	mDropped
	mCycle
	mDaily
	mTwoWarmUps
	mLevels
	numModels
)

var modelNames = [numModels]string{"linear", "late start", "accelerating", "slowing", "warm-up + linear", "daily + linear", "cycle + linear", "stepwise", "doubling",
	"flat", "declining", "step", "saturating", "plateau", "dropped back", "cycle", "daily", "two warm-ups", "levels"}

func (m model) String() string { return modelNames[m] }

// growing reports whether the shape still grows at the end of the window.
func (m model) growing() bool { return m < mFlat }

// verdict is the word for the shape.
func (m model) verdict() Verdict {
	switch m {
	case mLinear, mLate, mWarmLinear, mDailyLinear, mCycleLinear:
		return Linear
	case mAccelerating:
		return Accelerating
	case mSlowing:
		return Slowing
	case mStepwise, mDoubling:
		return Stepwise
	case mDeclining:
		return Shrinking
	case mStep, mLevels:
		return LevelShift
	case mSaturating, mPlateau, mTwoWarmUps:
		return Plateau
	case mDropped:
		return Dropped
	case mCycle, mDaily:
		return Cycle
	default:
		return Flat
	}
}

// From how many points a model is tried. Below fewModels points only flat,
// linear and declining are told apart.
const (
	fewModels    = 5
	manyModels   = 8 // warm-up + linear, stepwise, levels
	cycleModels  = 12
	trendCyclesN = 20 // cycle + linear
	secondWarmN  = 16 // two warm-ups
	trendCycles  = 2  // a slower cycle cannot be told from a trend
	day          = 86400.0
	dailyFromDay = 1.25 // windows from which a daily cycle can be told from growth
)

// shape is one model at one place of its grid: the columns besides the
// constant, over x in 0..1. The column whose coefficient must be positive
// (or negative) comes last; keep decides by the coefficients.
type shape struct {
	model   model
	theta   float64 // the place in the grid: change point, power, time constant, cycles
	columns []func(x float64) float64
	sign    signRule
	like    int // so many of the first columns are those of the shape before it in the list
}

// signRule is which coefficients a shape may have.
type signRule int

const (
	anySign  signRule = iota
	positive          // the last column's coefficient is above zero
	negative
	warmSign     // the curve rises and the line by more than a tenth of it
	startSign    // that, or the curve falls and the line rises by a good part of that
	bothPositive // of two columns
	fallSign     // the first is negative, the second positive
)

func line(x float64) float64 { return x }

func hinge(c float64) func(float64) float64 {
	return func(x float64) float64 { return max(0, x-c) }
}

func power(p float64) func(float64) float64 {
	return func(x float64) float64 { return math.Pow(x, p) }
}

// logarithm is what distinct keys of a skewed distribution add up to.
func logarithm(k float64) func(float64) float64 {
	return func(x float64) float64 { return math.Log1p(k * x) }
}

func saturation(tau float64) func(float64) float64 {
	return func(x float64) float64 { return -math.Expm1(-x / tau) }
}

func stepAt(c float64) func(float64) float64 {
	return func(x float64) float64 {
		if x > c {
			return 1
		}
		return 0
	}
}

func ramp(c float64) func(float64) float64 {
	return func(x float64) float64 { return min(x, c) }
}

func rampBack(c float64) func(float64) float64 {
	return func(x float64) float64 {
		if x > c {
			return 0
		}
		return x
	}
}

func waves(cycles float64) []func(float64) float64 {
	w := 2 * math.Pi * cycles
	return []func(float64) float64{
		func(x float64) float64 { return math.Sin(w * x) },
		func(x float64) float64 { return math.Cos(w * x) },
	}
}

// warmUpPairs are the time constants of two warm-ups, in windows: of two
// caches of which the second is first used later, and of one whose keys are
// some asked for often and some seldom, from the start.
var warmUpPairs = [][2]float64{{0.03, 0.04}, {0.03, 0.1}, {0.08, 0.04}, {0.08, 0.1}, {0.01, 0.1}, {0.01, 0.2}, {0.04, 0.15}, {0.04, 0.25}}

const latePairs = 4 // the first of them are of two caches; each second one begins like the one before

// twoWarmUps is one saturation from the start and one from c, of the k-th pair
// of time constants.
func twoWarmUps(c float64, k int) shape {
	first, second := saturation(warmUpPairs[k][0]), saturation(warmUpPairs[k][1])
	late := func(x float64) float64 { return second(max(0, x-c)) }
	return shape{model: mTwoWarmUps, theta: c + 2*float64(k), columns: []column{first, late}, sign: bothPositive, like: k % 2}
}

// twoWarmUpsAt is that shape by its place, or the one of fellAndRose.
func twoWarmUpsAt(theta float64) shape {
	k := int(theta / 2)
	c := theta - 2*float64(k)
	if k >= len(warmUpPairs) {
		return fellAndRose(c, k-len(warmUpPairs))
	}
	return twoWarmUps(c, k)
}

// place is what theta means to a reader: of two warm-ups, whose time constants
// it holds as well, where the second begins.
func (m model) place(theta float64) float64 {
	if m == mTwoWarmUps {
		return math.Mod(theta, 2)
	}
	return theta
}

// fallTimes are the time constants of a fall at the start, in windows.
var fallTimes = [2]float64{0.03, 0.1}

// fellAndRose is a fall at the start and a rise that ends at c: what a line
// behind such a fall is held against. It counts with the two warm-ups.
func fellAndRose(c float64, k int) shape {
	return shape{model: mTwoWarmUps, theta: c + 2*float64(len(warmUpPairs)+k), columns: []column{saturation(fallTimes[k]), ramp(c)}, sign: fallSign}
}

type column = func(float64) float64

// shapes lists every shape that is tried on points at x, of a window that
// lasts span seconds. The stepwise and levels shapes are not among them:
// their change points come from the series itself, as does
// that of doubling.
func shapes(x []float64, span float64) []shape {
	n := len(x)
	out := []shape{
		{model: mFlat},
		{model: mLinear, columns: []column{line}, sign: positive},
		{model: mDeclining, columns: []column{line}, sign: negative, like: 1},
	}
	if n < fewModels {
		return out
	}
	for _, c := range changePoints(x, 0.1, 0.8, max(3, n/10)) {
		out = append(out,
			shape{model: mLate, theta: c, columns: []column{hinge(c)}, sign: positive},
			shape{model: mStep, theta: c, columns: []column{stepAt(c)}})
	}
	for _, p := range []float64{1.5, 2, 3} {
		out = append(out, shape{model: mAccelerating, theta: p, columns: []column{power(p)}, sign: positive})
	}
	for _, p := range []float64{0.5, 0.65, 0.8} {
		out = append(out, shape{model: mSlowing, theta: p, columns: []column{power(p)}, sign: positive})
	}
	if n >= manyModels {
		start := warmSign
		if n >= tailFrom { // else nobody sees whether it still grows at the end
			start = startSign
		}
		for _, tau := range geometric(0.015, 0.2, 8) {
			out = append(out, shape{model: mWarmLinear, theta: tau, columns: []column{saturation(tau), line}, sign: start})
		}
	}
	for _, tau := range geometric(tauMin, tauMax, tauSteps) {
		out = append(out, shape{model: mSaturating, theta: tau, columns: []column{saturation(tau)}})
	}
	for _, c := range changePoints(x, 0, 0.85, 1) {
		out = append(out,
			shape{model: mPlateau, theta: c, columns: []column{ramp(c)}},
			shape{model: mDropped, theta: c, columns: []column{rampBack(c)}})
	}
	if n >= cycleModels {
		for c := 1.25; c <= min(8, float64(n)/2.5); c += 0.25 {
			out = append(out, shape{model: mCycle, theta: c, columns: waves(c)})
			if c >= trendCycles && n >= trendCyclesN {
				out = append(out, shape{model: mCycleLinear, theta: c, columns: append(waves(c), line), sign: positive, like: 2})
			}
		}
	}
	if n >= secondWarmN {
		// A second cache that warms up when its feature is first used.
		if cs := thinned(changePoints(x, 0.15, 0.6, 4), secondWarmUps); len(cs) == secondWarmUps {
			for _, c := range cs {
				for k := range latePairs {
					out = append(out, twoWarmUps(c, k))
				}
			}
		}
		for k := latePairs; k < len(warmUpPairs); k++ {
			out = append(out, twoWarmUps(0, k))
		}
		for _, c := range thinned(changePoints(x, 0.35, 0.75, 4), secondWarmUps) {
			for k := range fallTimes {
				out = append(out, fellAndRose(c, k))
			}
		}
	}
	if days := span / day; days >= dailyFromDay {
		w := waves(days)
		out = append(out,
			shape{model: mDaily, theta: days, columns: w},
			shape{model: mDailyLinear, theta: days, columns: append(slices.Clone(w), line), sign: positive, like: 2})
	}
	return out
}

// The time constants of the saturating shape, in windows. With the longest
// the slope at the end is a fortieth of that at the start: a cache that is far
// from full cannot be told from growth.
const (
	tauMin, tauMax = 0.015, 0.27
	tauSteps       = 10
)

// settled is by what part of what was given back at the start a line must have
// risen to be seen as a leak behind it.
const settled = 0.5

// secondWarmUps is at how many places a second warm-up is tried.
const secondWarmUps = 6

// maxChangePoints is how many places a change is looked for at.
const maxChangePoints = 24

// changePoints returns up to maxChangePoints middles of the gaps between
// points, within [lo, hi] and with at least after points behind.
func changePoints(x []float64, lo, hi float64, after int) []float64 {
	var all []float64
	for i := 1; i < len(x); i++ {
		if c := (x[i-1] + x[i]) / 2; c >= lo && c <= hi && len(x)-i >= after && i >= 2 {
			all = append(all, c)
		}
	}
	return thinned(all, maxChangePoints)
}

// thinned returns an even selection of n of the values, all where there are no
// more.
func thinned(all []float64, n int) []float64 {
	if len(all) <= n {
		return all
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = all[i*(len(all)-1)/(n-1)]
	}
	return out
}

// geometric returns n numbers from lo to hi with equal ratios.
func geometric(lo, hi float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = lo * math.Pow(hi/lo, float64(i)/float64(n-1))
	}
	return out
}
