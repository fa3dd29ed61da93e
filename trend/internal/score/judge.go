package score

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Flag is an answer to a series.
type Flag int

// The answers.
const (
	Clear Flag = iota
	Suspect
	Leak
)

// Answer is what a method says of one series.
type Answer struct {
	Flag      Flag
	Slope     float64 // objects per second
	Low, High float64
	HasSlope  bool
}

// Tally is how a method did on one family at one number of points.
type Tally struct {
	Family  string
	Leaks   bool
	Series  int
	Flagged int // as leak
	Either  int // as leak or suspect
	Covered int // intervals that hold the true slope
	Slopes  int // intervals where there is one
	errs    []float64
}

// Add counts one answer.
func (t *Tally) Add(s Series, a Answer) {
	t.Series++
	if a.Flag == Leak {
		t.Flagged++
	}
	if a.Flag != Clear {
		t.Either++
	}
	if s.Leaks && a.HasSlope && !math.IsNaN(s.Slope) {
		t.Slopes++
		if a.Low <= s.Slope && s.Slope <= a.High {
			t.Covered++
		}
		t.errs = append(t.errs, math.Abs(a.Slope-s.Slope)/s.Slope)
	}
}

// Percent is the part flagged as leak, in hundredths.
func (t *Tally) Percent() float64 { return 100 * float64(t.Flagged) / float64(max(1, t.Series)) }

// EitherPercent counts suspects too.
func (t *Tally) EitherPercent() float64 { return 100 * float64(t.Either) / float64(max(1, t.Series)) }

// Coverage is the part of intervals that hold the true slope, in hundredths;
// NaN where there is none.
func (t *Tally) Coverage() float64 {
	if t.Slopes == 0 {
		return math.NaN()
	}
	return 100 * float64(t.Covered) / float64(t.Slopes)
}

// SlopeError is the median relative error of the slope, in hundredths.
func (t *Tally) SlopeError() float64 {
	if len(t.errs) == 0 {
		return math.NaN()
	}
	slices.Sort(t.errs)
	return 100 * t.errs[len(t.errs)/2]
}

// Summary is a set's means over families, in hundredths.
type Summary struct {
	FalseLeak, FalseEither   float64 // mean part flagged of families that do not leak
	Worst                    float64 // the worst family's part flagged as leak
	WorstFamily              string
	Power, PowerEither       float64 // mean part flagged of families that leak
	LeastCovered, MostCoverd float64 // of the intervals, by family
}

// Sum averages over families.
func Sum(tallies []Tally) Summary {
	var s Summary
	var clear, leaks float64
	s.LeastCovered, s.MostCoverd = 100, 0
	for i := range tallies {
		t := &tallies[i]
		if !t.Leaks {
			clear++
			s.FalseLeak += t.Percent()
			s.FalseEither += t.EitherPercent()
			if t.Percent() > s.Worst {
				s.Worst, s.WorstFamily = t.Percent(), t.Family
			}
			continue
		}
		leaks++
		s.Power += t.Percent()
		s.PowerEither += t.EitherPercent()
		if c := t.Coverage(); !math.IsNaN(c) {
			s.LeastCovered, s.MostCoverd = min(s.LeastCovered, c), max(s.MostCoverd, c)
		}
	}
	s.FalseLeak /= max(1, clear)
	s.FalseEither /= max(1, clear)
	s.Power /= max(1, leaks)
	s.PowerEither /= max(1, leaks)
	return s
}

// Write prints the tallies of one number of points as a table.
func Write(w io.Writer, set string, n int, tallies []Tally) {
	s := Sum(tallies)
	fmt.Fprintf(w, "%s, n = %d: false leaks %.2f %% (with suspects %.2f %%), worst %s %.1f %%; power %.1f %% (%.1f %%); coverage %.0f to %.0f %%\n",
		set, n, s.FalseLeak, s.FalseEither, s.WorstFamily, s.Worst, s.Power, s.PowerEither, s.LeastCovered, s.MostCoverd)
	for i := range tallies {
		t := &tallies[i]
		kind := "clear"
		if t.Leaks {
			kind = "leaks"
		}
		fmt.Fprintf(w, "  %-16s %s  leak %5.1f  with suspects %5.1f", t.Family, kind, t.Percent(), t.EitherPercent())
		if c := t.Coverage(); !math.IsNaN(c) {
			fmt.Fprintf(w, "  slope error %5.1f  coverage %5.1f", t.SlopeError(), c)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, strings.Repeat("-", 80))
}
