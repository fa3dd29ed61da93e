package trend

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"leaktrack/trend/internal/score"
)

// labelled counts the words for reps series of a shape with n points.
func labelled(sh score.Shape, n, reps int, seed uint64) map[Verdict]int {
	w := newWorkspace()
	words := map[Verdict]int{}
	for r := range reps {
		s := score.Make(sh.Family, n, seed+uint64(r))
		words[w.judge([]life{{s: newSampling(s.T), y: s.Y}}, 1, minObjects, 0.95).verdict]++
	}
	return words
}

// TestScoreLabels holds how often the word for a clean shape is the right one.
// With -score it prints the table of doc/statistics.md:
//
//	go test ./trend -run ScoreLabels -score [-reps 200]
func TestScoreLabels(t *testing.T) {
	if *scoreFull {
		for _, sh := range score.Shapes {
			fmt.Printf("| %s | %s |", sh.Name, sh.Word)
			for _, n := range []int{5, 10, 30, 100} {
				words := labelled(sh, n, *scoreReps, *scoreSeed)
				order := slices.SortedFunc(maps.Keys(words), func(a, b Verdict) int { return words[b] - words[a] })
				var cell []string
				for _, v := range order {
					if p := 100 * words[v] / *scoreReps; p >= 3 {
						cell = append(cell, fmt.Sprintf("%s %d", v, p))
					}
				}
				fmt.Printf(" %s |", strings.Join(cell, ", "))
			}
			fmt.Println()
		}
		return
	}
	// What ten points cannot tell is left out.
	for _, c := range []struct{ n, least int }{{10, 75}, {30, 65}, {100, 85}} {
		for _, sh := range score.Shapes {
			switch sh.Name {
			case "five equal steps", "nine equal steps", "one step", "up and back", "three waves", "teeth", "grew, then freed", "a logarithm":
				if c.n == 10 {
					continue
				}
			}
			const reps = 12
			right := 100 * labelled(sh, c.n, reps, 9)[Verdict(sh.Word)] / reps
			if right < c.least-25 {
				t.Errorf("%s, n = %d: called %s in %d %% of series, want about %d", sh.Name, c.n, sh.Word, right, c.least)
			}
		}
	}
}

// The curve that is drawn goes through the points it was fitted to.
func TestCurveGoesThroughPoints(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(x float64) float64
	}{
		{"a line", func(x float64) float64 { return 100 + 1000*x }},
		{"a line of which a part is freed", func(x float64) float64 { return 100 + 1000*x - 250*stepAt(0.41)(x) }},
		{"late start", func(x float64) float64 { return 100 + 1000*max(0, x-0.47) }},
		{"square", func(x float64) float64 { return 100 + 1000*x*x }},
		{"power", func(x float64) float64 { return 100 + 1000*math.Pow(x, 0.57) }},
		{"logarithm", func(x float64) float64 { return 100 + 500*math.Log1p(6*x) }},
		{"stairs", func(x float64) float64 { return 100 + 200*math.Floor(5*x) }},
		{"doubling", func(x float64) float64 { return 128 * math.Exp2(math.Ceil(math.Log2(1+38*x))) }},
		{"fills and stays", func(x float64) float64 { return 100 + 1000*min(x, 0.43) }},
		{"warms up", func(x float64) float64 { return 1000 - 900*math.Exp(-x/0.13) }},
		{"one step", func(x float64) float64 { return 100 + 1000*stepAt(0.53)(x) }},
		{"up and back", func(x float64) float64 { return 500 + 700*(stepAt(0.3)(x)-stepAt(0.7)(x)) }},
		{"grew and dropped back", func(x float64) float64 { return 100 + 1000*rampBack(0.63)(x) }},
		{"wave", func(x float64) float64 { return 1000 + 300*math.Sin(3.1*2*math.Pi*x) }},
		{"shrinks", func(x float64) float64 { return 1000 - 800*x }},
	} {
		for _, n := range []int{40, 100} {
			x, y := ladder(n, c.f)
			s, w := newSampling(x), newWorkspace()
			j := w.judge([]life{{s: s, y: y}}, 1, minObjects, 0.95)
			l := &j.lives[0]
			curve := w.curve(l, s, y, 0.95)
			if curve == nil {
				t.Errorf("%s: no curve", c.name)
				continue
			}
			span := slices.Max(y) - slices.Min(y)
			for i, up := range x {
				k := 1
				for k < len(curve)-1 && curve[k].Uptime.Seconds() < up-1e-6 {
					k++
				}
				a, b := curve[k-1], curve[k]
				part := (up - a.Uptime.Seconds()) / max(1e-9, (b.Uptime-a.Uptime).Seconds())
				if v := a.Value + part*(b.Value-a.Value); math.Abs(v-y[i]) > 0.03*span {
					t.Errorf("%s, n = %d (%v): the curve is at %.0f where the point is %.0f (%d of %d)", c.name, n, l.fit.model, v, y[i], i, n)
					break
				}
			}
		}
	}
}

// TestFallAtTheStart tells a leak behind caches that expire after the start
// from what only comes back to where it was.
func TestFallAtTheStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		level func(x float64) float64
		leak  bool
	}{
		{"a leak behind expiring caches", func(x float64) float64 { return 500 + 1500*math.Exp(-x/0.06) + 1000*x }, true},
		{"comes back and stays", func(x float64) float64 { return 500 + 1500*math.Exp(-x/0.06) + 1200*min(x, 0.6) }, false},
		{"only falls", func(x float64) float64 { return 500 + 1500*math.Exp(-x/0.06) }, false},
	} {
		x, y := ladder(40, c.level)
		for i := range y {
			y[i] = math.Round(y[i])
		}
		j := newWorkspace().judge([]life{{s: newSampling(x), y: y}}, 1, minObjects, 0.95)
		if j.leak != c.leak || !c.leak && j.suspect {
			t.Errorf("%s: leak %v, suspect %v, log odds %.1f", c.name, j.leak, j.suspect, j.odds)
		}
		if c.leak && (j.slope.low > 1000.0/600 || j.slope.high < 1000.0/600) {
			t.Errorf("%s: %v to %v a second", c.name, j.slope.low, j.slope.high)
		}
	}
}
