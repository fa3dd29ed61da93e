package trend

import (
	"math"
	"slices"
)

// Constants of the preparation step.
const (
	nearPart   = 0.1 // of the window
	shortest   = 1.0 // seconds: nothing is judged by what happens within less
	maxPoints  = 128 // longer series are cut into this many blocks
	clipFrom   = 7   // points from which single spikes are clipped
	clipMADs   = 4 * 1.4826
	clipLevel  = 0.02 // of the median, plus clipOffset: smaller deviations stay
	clipOffset = 3
)

// sampling is how one set of raw sampling times becomes the at most maxPoints
// times on which the models are fitted. Every type that was seen at the same
// times shares one sampling, and with it the plan.
type sampling struct {
	raw    []float64 // seconds, strictly ascending
	bounds []int     // block i is raw[bounds[i]:bounds[i+1]]; nil: no reduction
	merged int       // how many were too close to another
	t      []float64 // prepared times
	plan   *plan     // nil below three prepared times
}

// newSampling reduces the raw times t, which must be strictly ascending.
//
// Of three or four snapshots those closer than a tenth of the window are
// merged, because two nearly identical ones would pose as a third point. So are
// any number that huddle in up to three places: five snapshots of Monday and
// five of Tuesday are two points in time. More than maxPoints are cut into
// blocks of equal count.
func newSampling(t []float64) *sampling {
	s := &sampling{raw: t, t: t}
	n := len(t)
	starts, covered := clusters(t)
	switch {
	case len(starts) < n && (n <= 4 || len(starts) <= min(3, n/2) && covered <= nearPart*(t[n-1]-t[0])):
		s.bounds = append(starts, n)
		s.merged = n - len(starts)
	case n > maxPoints:
		s.bounds = make([]int, maxPoints+1)
		for i := range s.bounds {
			s.bounds[i] = i * n / maxPoints
		}
	}
	if s.bounds != nil {
		s.t = s.reduce(t, nil)
	}
	if len(s.t) >= 3 {
		s.plan = newPlan(s.t)
	}
	return s
}

// clusters returns where clusters of times begin, each a nearPart of the window
// or more behind the last time of the one before, and what part of the window,
// in seconds, all of them cover together. Times within shortest are one.
func clusters(t []float64) (starts []int, covered float64) {
	if len(t) == 0 {
		return nil, 0
	}
	n := len(t)
	window := t[n-1] - t[0]
	starts = []int{0}
	for i := 1; i < n; i++ {
		if gap := t[i] - t[i-1]; gap >= nearPart*window && window >= shortest {
			starts = append(starts, i)
		} else {
			covered += gap
		}
	}
	if window < shortest {
		covered = 0
	}
	return starts, covered
}

// reduce returns the median of each block of v in dst, or v itself when the
// sampling keeps every point. len(v) must be that of the raw times.
func (s *sampling) reduce(v, dst []float64) []float64 {
	if s.bounds == nil {
		return v
	}
	dst = slices.Grow(dst[:0], len(s.bounds)-1)
	var block []float64
	for i := range len(s.bounds) - 1 {
		block = append(block[:0], v[s.bounds[i]:s.bounds[i+1]]...)
		dst = append(dst, medianOf(block))
	}
	return dst
}

// clip replaces a point that stands out of its neighbours by their running
// median. A centred median leaves every monotone stretch unchanged, so it
// cannot take away growth; the two ends are never touched. It returns dst and
// how many points were replaced.
func clip(t, y, dst []float64) ([]float64, int) {
	n := len(y)
	dst = append(dst[:0], y...)
	if n < clipFrom {
		return dst, 0
	}
	reach := clipReach(n)
	var med, dev [maxPoints]float64
	runningMedians(y, reach, med[:n])
	for i := range y {
		dev[i] = math.Abs(y[i] - med[i])
	}
	var scratch [maxPoints]float64
	mad := medianOf(append(scratch[:0], dev[:n]...))
	level := medianOf(append(scratch[:0], y...))
	limit := max(clipMADs*mad, clipLevel*level+clipOffset)
	clipped := 0
	var flat []float64 // without the usual growth; made when needed
	var scratch2 [maxPoints]float64
	for i := 1; i < n-1; i++ {
		if dev[i] <= limit {
			continue
		}
		if flat == nil {
			flat = levelled(t, y, scratch2[:0])
		}
		if spike(flat, i, reach, limit/2) {
			dst[i] = med[i]
			clipped++
		}
	}
	return dst, clipped
}

// levelled is, in dst, the points less the median of the slopes from each to
// the next.
func levelled(t, y, dst []float64) []float64 {
	var scratch [maxPoints]float64
	slopes := scratch[:0]
	for i := 1; i < len(y); i++ {
		slopes = append(slopes, (y[i]-y[i-1])/(t[i]-t[i-1]))
	}
	usual := medianOf(slopes)
	for i := range y {
		dst = append(dst, y[i]-usual*(t[i]-t[0]))
	}
	return dst
}

// spike reports whether the point stands out to one side of both what comes
// before and what comes after it. Next to a step it stands out of one of them
// only, and smoothing it would make a slope of the step.
func spike(y []float64, i, reach int, limit float64) bool {
	var v [9]float64
	before := y[i] - medianOf(append(v[:0], y[max(0, i-reach):i]...))
	after := y[i] - medianOf(append(v[:0], y[i+1:min(len(y), i+1+reach)]...))
	return before > limit && after > limit || before < -limit && after < -limit
}

// clipReach is how many neighbours to each side the running median takes. One
// snapshot in ten that catches a burst gives runs of two, in long series of
// three or four.
func clipReach(n int) int {
	switch {
	case n >= 60:
		return 4
	case n >= 25:
		return 3
	}
	return 2
}

// runningMedians fills out with the runningMedian of every point. The points
// around one, sorted, are those around the one before less one and with
// another.
func runningMedians(y []float64, reach int, out []float64) {
	n := len(y)
	var sorted [9]float64
	v := sorted[:2*reach+1]
	for i := range y {
		switch {
		case i < reach || i > n-1-reach:
			out[i] = runningMedian(y, i, reach)
			continue
		case i == reach:
			copy(v, y)
			slices.Sort(v)
		default:
			gone, come := y[i-reach-1], y[i+reach]
			k := 0
			for v[k] != gone {
				k++
			}
			for k+1 < len(v) && v[k+1] < come {
				v[k] = v[k+1]
				k++
			}
			for k > 0 && v[k-1] > come {
				v[k] = v[k-1]
				k--
			}
			v[k] = come
		}
		out[i] = v[reach]
	}
}

// runningMedian is the median of the points up to reach around i, of fewer
// next to the ends, and the point itself at the ends.
func runningMedian(y []float64, i, reach int) float64 {
	switch w := min(i, len(y)-1-i, reach); w {
	case 0:
		return y[i]
	case 1:
		return median3(y[i-1], y[i], y[i+1])
	default:
		var v [9]float64
		k := copy(v[:], y[i-w:i+w+1])
		for a := 1; a < k; a++ {
			for b := a; b > 0 && v[b] < v[b-1]; b-- {
				v[b], v[b-1] = v[b-1], v[b]
			}
		}
		return v[w]
	}
}

func median3(a, b, c float64) float64 { return max(min(a, b), min(max(a, b), c)) }

// medianOf returns the median of v, reordering it; 0 for no values.
func medianOf(v []float64) float64 {
	n := len(v)
	if n == 0 {
		return 0
	}
	hi := selectKth(v, n/2)
	if n%2 == 1 {
		return hi
	}
	lo := slices.Max(v[:n/2])
	return lo + (hi-lo)/2
}

// selectKth reorders v so that v[k] is the k-th smallest with nothing greater
// before it, and returns it. It is Hoare's quickselect with Lomuto's partition,
// which needs no branch that depends on the values and would be guessed wrong
// half of the time.
func selectKth(v []float64, k int) float64 {
	for len(v) > 24 {
		n := len(v)
		p := median3(median3(v[0], v[n/8], v[n/4]), median3(v[n*3/8], v[n/2], v[n*5/8]), median3(v[n*3/4], v[n*7/8], v[n-1]))
		less := 0
		for j, x := range v {
			v[j], v[less] = v[less], x
			in := 0
			if x < p {
				in = 1
			}
			less += in
		}
		if k < less {
			v = v[:less]
			continue
		}
		if v, k = v[less:], k-less; less > 0 {
			continue
		}
		// Nothing is less than the pivot: those equal to it come first.
		same := 0
		for j, x := range v {
			v[j], v[same] = v[same], x
			in := 0
			if x <= p {
				in = 1
			}
			same += in
		}
		if k < same || same == 0 { // none is equal to NaN
			return v[k]
		}
		v, k = v[same:], k-same
	}
	for i := 1; i < len(v); i++ { // what is left is short
		for j := i; j > 0 && v[j] < v[j-1]; j-- {
			v[j], v[j-1] = v[j-1], v[j]
		}
	}
	return v[k]
}
