package trend

import "testing"

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
