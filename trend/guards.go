package trend

import (
	"math"
	"slices"
)

// guard is one condition without which no series is flagged.
type guard int

// The guards.
const (
	passed        guard = iota
	notMaterial         // the growth is too small to matter
	notStillGoing       // growth ended before the window did
	garbage             // only the peaks grow, the floor does not
	notEven             // too few points, and they do not all rise
)

var guardNames = [...]string{"passed", "material", "still growing", "floor", "even"}

func (g guard) String() string { return guardNames[g] }

// Constants of the guards.
const (
	materialPart  = 0.01 // of the level
	tailFrom      = 12   // points from which the last third is looked at
	tailPart      = 0.3  // of the overall slope
	floorFrom     = 20
	floorPart     = 0.5
	floorPartFast = 0.75 // of a shape that accelerates, as growing garbage does
	evenBelow     = 8
	middleFrom    = 0.25 // of the window: where the second of three points is
	minObjects    = 10
	minBytes      = 64 << 10
	suspectRatio  = 1.5
	stillConf     = 0.95
	keyHalfSlope  = 0.4
	keyThirdSlope = 0.2
)

// fewPoints is what is asked of a handful of points, which no model can tell
// apart.
type fewPoints struct {
	even     float64 // of the mean rate: intervals rise by this at least
	ratio    float64 // of the last point to the first, for a leak
	odds     float64 // log odds of a leak
	veryEven float64 // where every interval rises by this part of the mean rate…
	lessOf   float64 // …this ratio
	lessOdds float64 // …and these log odds will do
}

// few is by the number of points from three. The figures were chosen on series
// of their own: the more evenly points rise, the less need they rise.
var few = [...]fewPoints{
	{1.0 / 3, 5, 4, 0.8, 4, 4},
	{0.42, 3, 4, 1, 3, 4},
	{0.26, 2, 5, 0.3, 1.8, 2.5},
	{1.0 / 3, 1.5, 4, 1, 1.5, 4},
	{1.0 / 3, 1.5, 4, 1, 1.5, 4},
}

// asked returns the ratio and the log odds that are asked of the points.
func (f *fewPoints) asked(t, y []float64) (ratio, odds float64) {
	if rates := rises(t, y); rates != nil && slices.Min(rates) >= f.veryEven {
		return f.lessOf, f.lessOdds
	}
	return f.ratio, f.odds
}

// seenToTheEnd reports whether the points can show that growth has ended: of
// three the second must not stand near the first, or nearly all of the window
// is one interval.
func seenToTheEnd(t []float64) bool {
	return len(t) != 3 || t[1]-t[0] >= middleFrom*(t[2]-t[0])
}

// material reports whether the growth is worth a word: at least floor, and a
// hundredth of the level.
func material(growth, level, floor float64) bool {
	return growth >= max(floor, materialPart*math.Abs(level))
}

// tailSlope returns the slope of the last third of the points and its upper
// bound.
func tailSlope(t, y []float64) (slope, high float64) {
	n := len(y)
	from := n - max(4, n/3)
	o := leastSquares(t[from:], y[from:])
	return o.slope, o.slope + studentQuantile(stillConf, n-from-2)*o.se
}

// stillGrowing reports whether the last third can have a slope comparable to
// the whole.
func stillGrowing(t, y []float64, overall float64) bool {
	if len(y) < tailFrom {
		return true
	}
	_, high := tailSlope(t, y)
	return high >= tailPart*overall
}

// floorRatio compares how much the floor rose from the first to the last
// quarter with how much the mean did: near one for a leak under any noise,
// near zero for growing garbage on a constant floor. The floor is the mean
// of the lowest fifth of a quarter's residuals from its own line. ok is false
// where the mean did not rise.
func (w *workspace) floorRatio(t, y []float64) (ratio float64, ok bool) {
	q := len(y) / 4
	low1, mean1 := w.quarter(t[:q], y[:q])
	low4, mean4 := w.quarter(t[len(t)-q:], y[len(y)-q:])
	if mean4 <= mean1 {
		return 0, false
	}
	return 1 + (low4-low1)/(mean4-mean1), true
}

func (w *workspace) quarter(t, y []float64) (low, mean float64) {
	o := leastSquares(t, y)
	res := w.buf1[:0]
	for i := range y {
		mean += y[i] / float64(len(y))
		res = append(res, y[i]-o.at0-o.slope*(t[i]-t[0]))
	}
	w.buf1 = res
	k := max(1, len(y)/5)
	selectKth(res, k-1)
	for _, r := range res[:k] {
		low += r / float64(k)
	}
	return low, mean
}

// even reports whether a few points rise evenly: all intervals but a quarter,
// and the last one, at a third of the mean rate or so.
func even(t, y []float64) bool {
	part, rates := few[len(y)-3].even, rises(t, y)
	enough := 0
	for _, r := range rates {
		if r >= part {
			enough++
		}
	}
	return rates != nil && rates[len(rates)-1] >= part && enough >= len(rates)-len(rates)/4
}

// rises returns the rate of every interval as a part of the mean rate; nil where
// the last point is not above the first.
func rises(t, y []float64) []float64 {
	n := len(y)
	mean := (y[n-1] - y[0]) / (t[n-1] - t[0])
	if mean <= 0 {
		return nil
	}
	out := make([]float64, n-1)
	for i := range out {
		out[i] = (y[i+1] - y[i]) / (t[i+1] - t[i]) / mean
	}
	return out
}

// ratio is how many times the first value the last one is, with one added
// below so that a series from zero has one.
func growthRatio(y []float64) float64 { return y[len(y)-1] / (y[0] + 1) }

// sawteeth reports whether the points jump at least three times by half of
// their span in one direction and never in the other: a level that drifts one
// way and is set back.
func sawteeth(y []float64) bool {
	if len(y) < tailFrom {
		return false
	}
	lo, hi := y[0], y[0]
	for _, v := range y {
		lo, hi = min(lo, v), max(hi, v)
	}
	up, down, others, against := 0, 0, 0, 0
	for i := 1; i < len(y); i++ {
		switch d := y[i] - y[i-1]; {
		case d >= (hi-lo)/2:
			up++
		case d <= -(hi-lo)/2:
			down++
		case d > 0:
			others++
		case d < 0:
			against++
		}
	}
	// Between the jumps nearly every move goes the other way.
	return hi > lo && (up >= 3 && down == 0 && others*4 <= against || down >= 3 && up == 0 && against*4 <= others)
}
