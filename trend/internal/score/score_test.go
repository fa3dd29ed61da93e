package score

import (
	"math"
	"slices"
	"testing"
)

// sets are the sets of families by name.
var sets = map[string][]Family{"main": Main, "extended": Extended, "unseen": Unseen, "fresh": Fresh, "blind": Blind, "rates": Rates}

// points are numbers of points from the fewest that say anything up.
var points = []int{3, 4, 5, 10, 30, 100, 500}

// TestNames: the name is a part of the seed, so that two families of one name
// would draw the same numbers.
func TestNames(t *testing.T) {
	seen := map[string]string{}
	for set, families := range sets {
		for _, f := range families {
			if seen[f.Name] != "" {
				t.Errorf("%s is in %s and in %s", f.Name, seen[f.Name], set)
			}
			seen[f.Name] = set
		}
	}
}

func TestSameSeed(t *testing.T) {
	for set, families := range sets {
		for _, f := range families {
			for _, n := range points {
				a, b, c := Make(f, n, 11), Make(f, n, 11), Make(f, n, 12)
				if !slices.Equal(a.T, b.T) || !slices.Equal(a.Y, b.Y) || a.Slope != b.Slope && !math.IsNaN(a.Slope) {
					t.Errorf("%s: %s of %d points: two series of one seed differ", set, f.Name, n)
				}
				if slices.Equal(a.T, c.T) || slices.Equal(a.Y, c.Y) {
					t.Errorf("%s: %s of %d points: two seeds give one series", set, f.Name, n)
				}
			}
		}
	}
}

// TestSeries: what every series of every set has to be.
func TestSeries(t *testing.T) {
	for set, families := range sets {
		for _, f := range families {
			for _, n := range points {
				for seed := range uint64(10) {
					s := Make(f, n, seed)
					if s.Family != f.Name || s.Leaks != f.Leaks {
						t.Fatalf("%s: %s is labelled %s, leaks %v", set, f.Name, s.Family, s.Leaks)
					}
					if f.Leaks && s.Slope <= 0 || !f.Leaks && s.Slope != 0 || math.IsInf(s.Slope, 0) {
						t.Errorf("%s: %s of %d points, seed %d: slope %g, leaks %v", set, f.Name, n, seed, s.Slope, f.Leaks)
					}
					if len(s.T) != n || len(s.Y) != n {
						t.Fatalf("%s: %s of %d points, seed %d: %d times, %d counts", set, f.Name, n, seed, len(s.T), len(s.Y))
					}
					for i := range n {
						if s.T[i] < 0 || math.IsInf(s.T[i], 0) || math.IsNaN(s.T[i]) {
							t.Errorf("%s: %s of %d points, seed %d: time %g", set, f.Name, n, seed, s.T[i])
						}
						if s.Y[i] < 0 || s.Y[i] != math.Round(s.Y[i]) || math.IsInf(s.Y[i], 0) {
							t.Errorf("%s: %s of %d points, seed %d: %g objects", set, f.Name, n, seed, s.Y[i])
						}
					}
				}
			}
		}
	}
}

// quarter is the last quarter of the window of the last life, in two halves:
// the mean time and the mean count of each.
func quarter(s Series) (t, y [2]float64) {
	from := 0
	for i := 1; i < len(s.T); i++ {
		if s.T[i] < s.T[i-1] {
			from = i
		}
	}
	end := s.T[len(s.T)-1]
	long := end - s.T[from]
	var n [2]float64
	for i := from; i < len(s.T); i++ {
		h := 0
		switch left := (end - s.T[i]) / long; {
		case left > 0.25:
			continue
		case left < 0.125:
			h = 1
		}
		t[h] += s.T[i]
		y[h] += s.Y[i]
		n[h]++
	}
	for h := range n {
		t[h] /= n[h]
		y[h] /= n[h]
	}
	return t, y
}

// TestBlindLabels: over many series, what does not leak does not grow in the
// last quarter of the window, what leaks does, at the slope it is labelled
// with.
func TestBlindLabels(t *testing.T) {
	const series, n = 300, 400
	clear, leaks, slopes := 0, 0, 0
	for _, f := range Blind {
		// The growth from one half of the quarter to the other: as a part of
		// the range of the counts, and of what the slope makes of it.
		var grown, sloped []float64
		for seed := range uint64(series) {
			s := Make(f, n, seed)
			at, y := quarter(s)
			if math.IsNaN(y[0] + y[1]) {
				continue // a pause between snapshots
			}
			grown = append(grown, (y[1]-y[0])/(slices.Max(s.Y)-slices.Min(s.Y)))
			if f.Leaks && !math.IsNaN(s.Slope) {
				sloped = append(sloped, (y[1]-y[0])/(at[1]-at[0])/s.Slope)
			}
		}
		if len(grown) < series*9/10 {
			t.Fatalf("%s: only %d series have points in both halves", f.Name, len(grown))
		}
		mean, se := meanOf(grown)
		t.Logf("%-16s leaks %-5v grown %7.4f ± %.4f", f.Name, f.Leaks, mean, se)
		if !f.Leaks {
			clear++
			if mean > 0.01+3*se {
				t.Errorf("%s does not leak and grows by %.4f ± %.4f of its range", f.Name, mean, se)
			}
			continue
		}
		leaks++
		if mean < 0.02 {
			t.Errorf("%s leaks and grows by %.4f ± %.4f of its range", f.Name, mean, se)
		}
		if len(sloped) == 0 {
			continue
		}
		slopes++
		mean, se = meanOf(sloped)
		t.Logf("%-16s slope %.3f ± %.3f", f.Name, mean, se)
		if math.Abs(mean-1) > 0.01+3*se || se > 0.1 {
			t.Errorf("%s grows at %.3f ± %.3f times its slope", f.Name, mean, se)
		}
	}
	if clear != 12 || leaks != 10 || slopes < 3 {
		t.Errorf("%d families do not leak, %d do, %d of them with a slope", clear, leaks, slopes)
	}
}

// meanOf is the mean and its standard error.
func meanOf(v []float64) (mean, se float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		se += sq(x - mean)
	}
	return mean, math.Sqrt(se) / float64(len(v))
}
