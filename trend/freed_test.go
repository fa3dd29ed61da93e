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

// TestTeeth: collections that were seen halfway, and a small fall that is
// none, do not hide that the others come evenly and alike.
func TestTeeth(t *testing.T) {
	x, _ := ladder(101, func(float64) float64 { return 0 })
	p := newPlan(x)
	for _, c := range []struct {
		name  string
		at    []int
		drops []float64
		even  bool
	}{
		{"even", []int{20, 40, 60, 80}, []float64{-100, -100, -100, -100}, true},
		{"one was seen halfway", []int{20, 40, 41, 60, 80}, []float64{-100, -30, -70, -100, -100}, true},
		{"found in another order", []int{60, 41, 20, 80, 40}, []float64{-100, -70, -100, -100, -30}, true},
		{"a small one more", []int{20, 40, 50, 60, 80}, []float64{-100, -100, -20, -100, -100}, true},
		{"at any time", []int{10, 40, 45, 90}, []float64{-100, -100, -100, -100}, false},
		{"of any height", []int{20, 40, 60, 80}, []float64{-300, -110, -120, -400}, false},
		{"two only", []int{30, 60}, []float64{-100, -100}, false},
	} {
		heights, gaps := p.teeth(c.at, c.drops)
		if got := alike(heights) && alike(gaps); got != c.even {
			t.Errorf("%s: %v, heights %v, gaps %v", c.name, got, heights, gaps)
		}
	}
}

// TestOnePace: a line that rises faster after the last drop than between those
// before is not one line with drops.
func TestOnePace(t *testing.T) {
	at := []int{31, 51}
	for _, c := range []struct {
		name         string
		before, then float64
		want         bool
	}{
		{"as fast", 1000, 1000, true},
		{"nearly", 1000, 1150, true},
		{"twice as fast", 1000, 2000, false},
		{"half as fast", 1000, 500, false},
	} {
		x, y := ladder(101, func(x float64) float64 {
			return math.Round(100 + c.before*min(x, 0.505) + c.then*max(0, x-0.505) - 200*stepAt(0.305)(x) - 200*stepAt(0.505)(x) + 3*math.Sin(70*x))
		})
		if got := newPlan(x).onePace(y, at); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
