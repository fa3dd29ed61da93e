package trend

import (
	"math"
	"testing"
)

// TestDropsOfASize holds that what a heap gives back at once is garbage: its
// slope is that of the whole, where that of objects is the one between drops.
// The series is the GC heap of LeakZoo's linked list, in bytes: between
// collections it grows by nearly twice the leak.
func TestDropsOfASize(t *testing.T) {
	size := func(at float64) float64 {
		v := 765360 + 10500*1.75*at
		for _, drop := range [][2]float64{{40, 266160}, {130, 579760}, {288, 1160336}, {460, 2260216}} {
			if at >= drop[0] {
				v -= drop[1]
			}
		}
		return v
	}
	x, y := ladder(120, func(x float64) float64 { return size(600 * x) })
	judged := func(l life) judgement { return newWorkspace().judge([]life{l}, 1, minBytes, 0.95) }
	s := newSampling(x)

	objects := judged(life{s: s, y: y})
	if len(objects.lives[0].freed) != 4 {
		t.Fatalf("drops at %v; the series should have four that stand out", objects.lives[0].freed)
	}
	heap := judged(life{s: s, y: y, size: true})
	if len(heap.lives[0].freed) > 0 {
		t.Errorf("parts of the heap were freed at %v", heap.lives[0].freed)
	}
	net := (y[len(y)-1] - y[0]) / 600
	if heap.slope.low > net || heap.slope.high < net {
		t.Errorf("the heap grows by %.0f to %.0f bytes a second, from first to last by %.0f", heap.slope.low, heap.slope.high, net)
	}
}

// TestOnlyDrops tells a leak that was partly freed from one under garbage, and
// from garbage alone.
func TestOnlyDrops(t *testing.T) {
	line := func(height float64, drops ...[2]float64) func(float64) float64 {
		return func(x float64) float64 {
			v := 100 + height*x
			for _, d := range drops {
				v -= d[1] * stepAt(d[0])(x)
			}
			return math.Round(v)
		}
	}
	for _, c := range []struct {
		name  string
		level func(x float64) float64
		at    []int
		want  bool
	}{
		{"freed once", line(1000, [2]float64{0.405, 250}), []int{41}, true},
		{"freed three times, now and then", line(1000, [2]float64{0.205, 100}, [2]float64{0.305, 200}, [2]float64{0.705, 300}), []int{21, 31, 71}, true},
		{"collected at even times, alike", line(1000, [2]float64{0.255, 150}, [2]float64{0.505, 150}, [2]float64{0.755, 150}), []int{26, 51, 76}, false},
		{"two teeth that take most of it away", line(1000, [2]float64{0.305, 300}, [2]float64{0.705, 350}), []int{31, 71}, false},
		{"another fall as high", line(1000, [2]float64{0.205, 150}, [2]float64{0.605, 200}), []int{61}, false},
		{"a rise", line(1000, [2]float64{0.405, -250}), []int{41}, false},
		{"falls all the time", line(-90, [2]float64{0.405, 5}), []int{41}, false},
	} {
		x, y := ladder(101, c.level)
		if got := newPlan(x).onlyDrops(y, c.at); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
