package trend

import (
	"fmt"
	"math"
)

// Evidence is every number that led to one type's verdict. Slopes are per
// second, evidence is in natural logarithms; a number that does not apply is
// absent from its list, so nothing in it is infinite or NaN.
type Evidence struct {
	Measure  string // what was judged: objects, or bytes where the count hardly moves
	Points   int    // as they came
	Prepared int    // after merging, blocks
	Clipped  int    // spikes replaced by their running median
	Tested   int    // types of the process that were judged

	Models []ModelEvidence
	Shape  string // the model that gave the verdict
	// LogOdds is growing against not growing, after the check without the last
	// points; LogOddsAll is before it.
	LogOdds, LogOddsAll float64
	// LogOddsDropped is without the last twentieth of the points; meaningless
	// unless Dropped.
	LogOddsDropped float64
	Dropped        bool
	LeakAbove      float64 // log odds that make a leak
	SuspectAbove   float64
	KeyAbove       float64 // log odds that make a leak if the rank test agrees
	Confidence     float64 // the posterior under one leak per process

	Guards []GuardEvidence
	Rank   *RankEvidence // nil when it was not asked
	Slopes []SlopeEvidence
}

// ModelEvidence is what the points say for one model.
type ModelEvidence struct {
	Name        string
	Growing     bool    // still growing at the end of the window
	LogEvidence float64 // averaged over its grid
	Theta       float64 // its best place: change point or time constant in windows, power, cycles, levels
	Phi         float64 // autocorrelation per mean gap there
	Scale       float64 // noise scale there
}

// GuardEvidence is one guard with what it saw.
type GuardEvidence struct {
	Name         string
	Value, Limit float64
	Passed       bool
}

// RankEvidence is the Mann-Kendall test with Hamed's and Rao's variance.
type RankEvidence struct {
	S, Variance, Factor, Z, P float64
	Held                      bool
}

// SlopeEvidence is one way to estimate a slope, per second.
type SlopeEvidence struct {
	Name      string // what and how
	PerSecond float64
	Error     float64 // standard error, of an interval its half in Student's quantiles; 0 when the way has none
}

func (a *analysis) explain(j *judgement, sc screening, count, bytes slopes) *Evidence {
	e := &Evidence{Measure: "objects", Points: sc.points, Tested: a.tested,
		LogOdds: j.odds, LeakAbove: j.leakAbove, SuspectAbove: j.suspAbove, KeyAbove: j.keyAbove,
		Confidence: j.posterior, Shape: j.shape.String()}
	if sc.byBytes {
		e.Measure = "bytes"
	}
	l := &j.lives[0]
	e.Prepared, e.Clipped = l.plan.n, l.clipped
	e.LogOddsAll = bound(l.ev.odds)
	if l.dropped {
		e.Dropped, e.LogOddsDropped = true, bound(l.dropOdds)
	}
	for m := range numModels {
		if z := l.ev.lnZ[m]; finite(z) {
			e.Models = append(e.Models, ModelEvidence{m.String(), m.growing(), z, m.place(l.ev.theta[m]), l.ev.phi[m], l.ev.scale[m]})
		}
	}
	e.Guards = l.guardEvidence(j.smallest)
	if j.keyTried {
		k := j.key
		e.Rank = &RankEvidence{k.S, k.Variance, k.Factor, k.Z, k.P, j.keyHeld}
	}
	for _, s := range []struct {
		of string
		s  slopes
	}{{"objects", count}, {"bytes", bytes}} {
		e.Slopes = append(e.Slopes,
			SlopeEvidence{s.of + ", Theil-Sen, active phase", s.s.theilSen, 0},
			SlopeEvidence{s.of + ", least squares, active phase", s.s.ols.slope, s.s.ols.se},
			SlopeEvidence{s.of + ", reported", s.s.value, s.s.standardErr})
		if s.s.n >= manyModels {
			e.Slopes = append(e.Slopes,
				SlopeEvidence{fmt.Sprintf("%s, averaged over AR(1) noise (%.0f %% independent, %.0f %% a random walk)", s.of, 100*s.s.ar.independent, 100*s.s.ar.walk), s.s.ar.slope, s.s.ar.ofModel},
				SlopeEvidence{s.of + ", Newey-West", s.s.ols.slope, s.s.neweyWest})
			if s.s.ar.ofModel != s.s.ar.se {
				e.Slopes = append(e.Slopes, SlopeEvidence{s.of + ", by the slowest waves of the noise", s.s.ar.slope, s.s.ar.se})
			}
		}
	}
	return e
}

func (l *lifeJudgement) guardEvidence(floor float64) []GuardEvidence {
	n := l.plan.n
	all := leastSquares(l.t, l.y)
	growth := max(all.slope*l.plan.span, l.slopes.activeGrowth)
	limit := max(floor, materialPart*math.Abs(l.ev.level))
	out := []GuardEvidence{{"material: growth over the window", growth, limit, growth >= limit}}
	if n >= tailFrom {
		_, high := tailSlope(l.t, l.y)
		out = append(out, GuardEvidence{"still growing: upper bound of the last third's slope", high, tailPart * l.overall(all.slope), high >= tailPart*l.overall(all.slope)})
	}
	if n >= floorFrom {
		if l.hasFloor {
			out = append(out, GuardEvidence{"floor: growth of the floor over growth of the mean", l.floor, l.floorLimit(), l.floor >= l.floorLimit()})
		}
	}
	if n < evenBelow {
		v := 0.0
		if even(l.t, l.y) {
			v = 1
		}
		r := growthRatio(l.y)
		least, _ := few[n-3].asked(l.t, l.y)
		out = append(out, GuardEvidence{"even: intervals rise alike (1 yes)", v, 1, v == 1},
			GuardEvidence{"ratio of last to first", r, least, r >= least})
		if n == 3 {
			at := (l.t[1] - l.t[0]) / l.plan.span
			out = append(out, GuardEvidence{"place of the second of three points in the window", at, middleFrom, seenToTheEnd(l.t)})
		}
	}
	return out
}

func bound(v float64) float64 { return min(max(v, -oddsBound), oddsBound) }
