package trend

import (
	"math"
	"slices"
)

// fitted is the shape that is named and drawn: that of the most evidence, with
// its place refined beyond the grid, or one of the few that are told by looking
// at the steps.
type fitted struct {
	model model
	theta float64
	jumps []int // first points of levels, or after drops
	lines bool  // between the jumps runs one line, not levels
}

func (f fitted) verdict() Verdict { return f.model.verdict() }

// columns are the shape's, the constant first, and the places where it jumps.
func (f fitted) columns(p *plan) (columns []column, jumps []float64) {
	columns = []column{func(float64) float64 { return 1 }}
	if f.lines {
		columns = append(columns, line)
	}
	if len(f.jumps) > 0 {
		for _, i := range f.jumps {
			c := (p.x[i-1] + p.x[i]) / 2
			columns, jumps = append(columns, stepAt(c)), append(jumps, c)
		}
		return columns, jumps
	}
	switch f.model {
	case mStepwise, mLevels, mDoubling: // without known levels
		return append(columns, line), nil
	case mStep, mDropped:
		jumps = []float64{f.theta}
	}
	return append(columns, columnsOf(f.model, f.theta, p.span)...), jumps
}

// fitted names the shape of the points: of one that was flagged the best that
// grows, of others the best of all, where it is clearly better than flat.
func (r *lifeJudgement) fitted(flagged bool) fitted {
	e := &r.ev
	best := e.best(func(model) bool { return true })
	if flagged {
		best = e.best(model.growing)
	}
	f := fitted{model: best, theta: e.theta[best]}
	if !flagged && e.lnZ[best] <= e.lnZ[mFlat]+clearly {
		return fitted{model: mFlat}
	}
	if flagged && len(r.freed) > 0 {
		return fitted{model: mLinear, jumps: r.freed, lines: true}
	}
	if up := visibleSteps(r.plan.x, r.y); up != nil {
		return fitted{model: mStepwise, jumps: up}
	}
	switch best {
	case mStepwise:
		f.jumps = jumpsOf(&e.part)
	case mLevels:
		f.jumps = jumpsOf(&e.levels)
	case mDoubling:
		f.jumps = doublingJumps(r.y)
	case mLinear, mLate, mWarmLinear, mSlowing:
		if g, ok := r.slowing(); ok {
			f = g
		}
	}
	if !flagged {
		r.refine(&f)
	}
	return f
}

func jumpsOf(p *partition) []int {
	if len(p.starts) < 2 {
		return nil
	}
	return p.starts[1:]
}

func doublingJumps(y []float64) []int {
	var out []int
	for i := 1; i < len(y); i++ {
		if y[i] > 1.4*y[i-1] {
			out = append(out, i)
		}
	}
	return out
}

// Constants of steps that can be seen.
const (
	visibleRises = 3
	visiblePart  = 0.8  // of the growth is in rises
	visibleRest  = 0.25 // of the window is without growth between rises, or more
	visibleNoise = 0.03 // of the span is no rise
)

// visibleSteps returns the first points after each rise of a series that grows
// by rises alone: nearly all of the growth is in them, there are three or
// more, the last one late, and a good part of the window between them has
// none of it. Time counts, not snapshots: of a steady growth seen through
// bursts of snapshots nothing is in the bursts, but they last next to no time.
func visibleSteps(x, y []float64) []int {
	n := len(y)
	lo, hi := slices.Min(y), slices.Max(y)
	if n < manyModels || hi <= lo {
		return nil
	}
	var out []int
	risen, quiet := 0.0, 0.0
	rest, waited := 0.0, 0.0 // without growth: between rises, since the last one
	for i := 1; i < n; i++ {
		switch d := y[i] - y[i-1]; {
		case d >= stepPart*(hi-lo):
			risen += d
			if len(out) > 0 {
				rest += waited
			}
			out, waited = append(out, i), 0
		case math.Abs(d) <= visibleNoise*(hi-lo):
			quiet += d
			waited += x[i] - x[i-1]
		default:
			return nil
		}
	}
	if len(out) < visibleRises || risen < visiblePart*(y[n-1]-y[0]) || math.Abs(quiet) > (1-visiblePart)/2*risen ||
		rest < visibleRest || x[out[len(out)-1]] <= stepLastFrom {
		return nil
	}
	return out
}

// slowing fits growth that slows down without end, a power of time below one
// or a logarithm, with the place refined, and reports whether it is clearly
// better than a line and no worse than a warm-up with a line. Both bend; which
// it is decides the grid of the evidence poorly, because its powers lie far
// apart. The likelihoods are those of weigh at the best place, each place
// charged as a coefficient.
func (r *lifeJudgement) slowing() (fitted, bool) {
	p := r.plan
	if p.n < fewModels+1 {
		return fitted{}, false
	}
	best, at := minusInf, fitted{model: mSlowing}
	for _, phi := range []float64{0, r.ev.phi[mSlowing]} {
		l := r.likelihoods(phi)
		logPower := goldenSection(func(v float64) float64 { return -l(power(math.Exp(v))) }, math.Log(0.3), math.Log(0.95), 16)
		if v := l(power(math.Exp(logPower))) - p.lnN/2; v > best {
			best, at.theta = v, math.Exp(logPower)
		}
		logK := goldenSection(func(v float64) float64 { return -l(logarithm(math.Exp(v))) }, math.Log(0.5), math.Log(100), 16)
		if v := l(logarithm(math.Exp(logK))) - p.lnN/2; v > best {
			best, at.theta = v, -math.Exp(logK)
		}
	}
	other := minusInf
	for _, phi := range []float64{0, r.ev.phi[mLinear], r.ev.phi[mWarmLinear]} {
		l := r.likelihoods(phi)
		other = max(other, l(line)+clearly)
		for _, c := range p.byKind[mLate] {
			if p.fits[c].theta == r.ev.theta[mLate] {
				other = max(other, l(hinge(p.fits[c].theta))-p.lnN/2)
			}
		}
		if p.n >= manyModels {
			tau := goldenSection(func(v float64) float64 { return -l(saturation(math.Exp(v)), line) }, math.Log(0.005), math.Log(0.3), 16)
			other = max(other, l(saturation(math.Exp(tau)), line)-p.lnN/2)
		}
	}
	return at, best > other
}

// likelihoods returns the log likelihood of shapes at one noise coefficient,
// as weigh has it, at the best noise scale, coefficients charged. The function
// is called a hundred times in a row, not at once.
func (r *lifeJudgement) likelihoods(phi float64) func(columns ...column) float64 {
	p := r.plan
	noise := p.newNoise(phi)
	yw := noise.whiten(r.y, nil)
	plain := sample(func(float64) float64 { return 1 }, p.x)
	scratch := [][]float64{noise.whiten(plain, nil)}
	return func(columns ...column) float64 {
		for len(scratch) <= len(columns) {
			scratch = append(scratch, nil)
		}
		rows := scratch[:1+len(columns)]
		for i, c := range columns {
			plain = sampleInto(plain, c, p.x)
			rows[i+1] = noise.whiten(plain, rows[i+1])
		}
		_, _, rss, ok := normalEquations(rows, yw)
		if !ok {
			return minusInf
		}
		best := minusInf
		for _, c := range scaleGrid {
			s := c*math.Abs(r.ev.level) + 0.5
			best = max(best, -0.5*(float64(p.n+1)*math.Log(s*s+rss)-math.Log(s*s)+noise.logDet+float64(len(rows))*p.lnN))
		}
		return best
	}
}

// refine looks for the place of a change, a wave or a saturation between those
// of the grid, which in long series lie several points apart, and for another
// shape of one change that then fits better.
func (r *lifeJudgement) refine(f *fitted) {
	p := r.plan
	switch f.model {
	case mStep, mPlateau, mDropped, mCycle, mCycleLinear, mLevels, mSaturating:
	default:
		return
	}
	l := r.likelihoods(0)
	best := minusInf
	if f.model == mCycleLinear {
		c := goldenSection(func(c float64) float64 { return -l(append(waves(c), line)...) }, f.theta-0.2, f.theta+0.2, 16)
		f.theta, best = c, l(append(waves(c), line)...)-p.lnN/2
	}
	try := func(m model, theta float64, columns ...column) {
		if v := l(columns...) - p.lnN/2; v > best {
			best = v
			*f = fitted{model: m, theta: theta}
		}
	}
	if f.model == mLevels && len(f.jumps) > 0 {
		columns, _ := f.columns(p)
		best = l(columns[1:]...) - float64(len(f.jumps))*p.lnN/2
	}
	for _, m := range []model{mStep, mPlateau, mDropped} {
		if math.IsInf(r.ev.lnZ[m], -1) {
			continue
		}
		for i := 2; i < p.n; i++ {
			c := (p.x[i-1] + p.x[i]) / 2
			if math.Abs(c-r.ev.theta[m]) <= 2.0/maxChangePoints {
				try(m, c, columnsOf(m, c, p.span)...)
			}
		}
	}
	if a, b := blockOf(r.y); a > 0 {
		block := fitted{model: mLevels, jumps: []int{a, b}}
		columns, _ := block.columns(p)
		if v := l(columns[1:]...) - p.lnN; v > best {
			best = v
			*f = block
		}
	}
	if !math.IsInf(r.ev.lnZ[mCycle], -1) {
		at := r.ev.theta[mCycle]
		c := goldenSection(func(c float64) float64 { return -l(waves(c)...) }, at-0.2, at+0.2, 16)
		try(mCycle, c, waves(c)...)
	}
	if at := r.ev.theta[mSaturating]; at > 0 {
		v := goldenSection(func(v float64) float64 { return -l(saturation(math.Exp(v))) }, math.Log(at)-0.5, math.Log(at)+0.5, 14)
		try(mSaturating, math.Exp(v), saturation(math.Exp(v)))
	}
}

// blockOf returns the first points of the second and third of the three levels,
// of two points or more each, that fit best; 0, 0 for fewer than six points.
func blockOf(y []float64) (a, b int) {
	n := len(y)
	sum := make([]float64, n+1)
	for i, v := range y {
		sum[i+1] = sum[i] + v
	}
	best := minusInf // what the means explain
	part := func(i, j int) float64 { d := sum[j] - sum[i]; return d * d / float64(j-i) }
	for i := shortestLevel; i+2*shortestLevel <= n; i++ {
		for j := i + shortestLevel; j+shortestLevel <= n; j++ {
			if v := part(0, i) + part(i, j) + part(j, n); v > best {
				a, b, best = i, j, v
			}
		}
	}
	return a, b
}
