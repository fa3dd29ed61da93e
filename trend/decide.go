package trend

import (
	"math"
	"slices"
)

// life is the points of one series in one run of a process.
type life struct {
	s *sampling
	y []float64 // at s.raw
	// size says that y is a size of memory: what falls at once is garbage that
	// was collected, no part of a leak.
	size bool
}

// lifeJudgement is what one life says.
type lifeJudgement struct {
	t, y     []float64 // prepared and clipped
	floorT   []float64 // the points the floor is looked for in: of long series all, because
	floorY   []float64 // medians of blocks hide it; valid while judging only
	plan     *plan
	clipped  int
	ev       evidence
	odds     float64 // after the check without the last points
	dropOdds float64
	dropped  bool  // whether that check was made
	freed    []int // the first points after a part of the leak was freed
	fit      fitted
	slopes   slopes
	warm     bool // the lives together show a warm-up
	guard    guard
	tail     float64 // upper bound of the last third's slope
	floor    float64
	hasFloor bool
}

// judgement is what all lives of a series say together.
type judgement struct {
	lives      []lifeJudgement
	odds       float64
	verdict    Verdict
	shape      model
	leak       bool
	firm       bool // a leak with firmPart of the log odds that are asked for
	suspect    bool
	posterior  float64
	key        kendall
	keyTried   bool
	keyHeld    bool
	guard      guard
	slope      slopes // pooled
	points     int    // prepared points that count
	lnTested   float64
	smallest   float64 // growth below this does not matter
	leakAbove  float64
	keyAbove   float64
	suspAbove  float64
	confidence float64
}

// clearly is by how many nats another shape must beat the straight line before
// the slope is that of a part of the window.
const clearly = 3.5

// The log odds that are asked for grow with the number of judged types: by
// their logarithm, the prior of one leak per process, and a tenth more,
// because the odds are surer of themselves than they should be. With a
// significant rank test most of it is enough, but not less: strong
// autocorrelation deceives that test too, and does so alike in many types.
const (
	caution  = 1.15
	keyPart  = 1
	firmPart = 2
	// From twelve points on the odds must lean to growth a little more.
	keyLeast = 0.4
	keyP     = 0.0005
	keyPFew  = 0.001 // below twelve points
)

// oddsBound bounds log odds, so that no output is infinite.
const oddsBound = 1e4

// judge weighs one series. tested is how many types of the process are
// weighed beside it; floor is the least growth that matters, in its unit.
func (w *workspace) judge(lives []life, tested int, floor, confidence float64) judgement {
	j := judgement{verdict: TooFew, lnTested: math.Log(float64(max(1, tested))), smallest: floor, confidence: confidence}
	for _, l := range lives {
		if l.s.plan == nil {
			continue
		}
		j.lives = append(j.lives, w.judgeLife(l, floor, confidence))
	}
	if len(j.lives) == 0 {
		return j
	}
	w.shareWarmUp(&j)
	shortest := math.MaxInt
	for i := range j.lives {
		l := &j.lives[i]
		j.odds += l.odds
		j.points += l.plan.n
		shortest = min(shortest, l.plan.n)
		if j.guard == passed {
			j.guard = l.guard
		}
	}
	j.odds = min(max(j.odds, -oddsBound), oddsBound)
	j.slope = poolSlopes(j.lives)
	w.decide(&j)
	return j
}

// shareWarmUp lets the lives of a process say together that each begins with
// a warm-up, or a fall: one life alone may have too few points to show it, and
// where it is not taken out the slope of every life is wrong.
func (w *workspace) shareWarmUp(j *judgement) {
	if len(j.lives) < 2 {
		return
	}
	shown := 0.0
	for i := range j.lives {
		e := &j.lives[i].ev
		if d := e.lnZ[mWarmLinear] - e.lnZ[mLinear]; finite(d) {
			shown += d
		}
	}
	if shown <= clearly {
		return
	}
	for i := range j.lives {
		l := &j.lives[i]
		e := &l.ev
		plain := len(l.freed) == 0 && e.lnZ[e.best(model.growing)] <= e.lnZ[mLinear]+clearly
		if plain && finite(e.lnZ[mWarmLinear]) && e.odds > 0 {
			l.warm = true
			l.slopes = w.activeSlope(l, j.confidence)
			l.guard = w.guards(l, j.smallest)
		}
	}
}

func (w *workspace) judgeLife(l life, floor, confidence float64) lifeJudgement {
	r := lifeJudgement{plan: l.s.plan, t: l.s.t}
	reduced := l.s.reduce(l.y, w.buf2)
	if l.s.bounds != nil {
		w.buf2 = reduced
	}
	r.y, r.clipped = clip(r.t, reduced, nil)
	r.floorT, r.floorY = r.t, r.y
	if len(l.y) > maxPoints {
		r.floorT, r.floorY = l.s.raw, l.y
	}
	r.ev = w.weigh(r.plan, r.y)
	if !l.size {
		r.freed = w.freedAt(r.plan, &r.ev, r.y)
	}
	r.odds = r.ev.odds
	if r.odds > 0 && r.plan.n >= manyModels {
		if d := r.plan.drop(); d != nil {
			short := w.weigh(d, r.y[:d.n])
			if len(r.freed) > 0 {
				w.freedAt(d, &short, r.y[:d.n])
			}
			r.dropped, r.dropOdds = true, short.odds
			// Fewer points say less: what is left is scaled to all of them.
			r.odds = min(r.odds, max(short.odds, short.odds*float64(r.plan.n)/float64(d.n))+1)
		}
	}
	r.slopes = w.activeSlope(&r, confidence)
	r.guard = w.guards(&r, floor)
	return r
}

// activeFrom is the place, 0..1, from which the growth of the best growing
// model is a line: the change point of a late start, five time constants of a
// warm-up, the last two fifths of an acceleration. Each must beat the straight
// line clearly, a warm-up in all lives together.
func (r *lifeJudgement) activeFrom() (from float64, by model) {
	e := &r.ev
	if len(r.freed) > 0 {
		return 0, mLinear
	}
	best := e.best(model.growing)
	if r.warm {
		return min(5*e.theta[mWarmLinear], 0.6), mWarmLinear
	}
	if e.lnZ[best] <= e.lnZ[mLinear]+clearly {
		return 0, mLinear
	}
	if w := e.lnZ[mWarmLinear]; w > e.lnZ[mLinear]+clearly && w > e.lnZ[best]-clearly {
		best = mWarmLinear
	}
	if best == mWarmLinear && e.odds <= 0 {
		return 0, mLinear // most of what falls and stays looks a little like it
	}
	switch best {
	case mLate:
		return e.theta[mLate], mLate
	case mWarmLinear:
		return min(5*e.theta[mWarmLinear], 0.6), mWarmLinear
	case mAccelerating:
		return 0.6, mAccelerating
	}
	return 0, mLinear
}

// activeSlope estimates the slope of the phase that grows.
func (w *workspace) activeSlope(r *lifeJudgement, confidence float64) slopes {
	from, by := r.activeFrom()
	i := 0
	for r.plan.x[i] < from {
		i++
	}
	i = min(i, r.plan.n-3)
	s := w.slopeOf(r.plan.from(i, r.t), r.t[i:], r.y[i:], confidence)
	s.activeShare = 1 - from
	joint := func(m arMixture) {
		s.ar, s.value, s.standardErr, s.degrees = m, m.slope, m.se, m.degrees
		half := studentQuantile(confidence, m.degrees) * m.se
		s.low, s.high = s.value-half, s.value+half
		s.activeGrowth = s.value * (r.t[len(r.t)-1] - r.t[i])
	}
	switch best := r.ev.best(model.growing); {
	case len(r.freed) > 0:
		if m, ok := r.plan.jointLine(&lineCoefficients, r.y, r.plan.stepColumns(r.freed), confidence); ok {
			joint(m)
		}
	case by == mWarmLinear:
		if m, ok := r.plan.warmLine(r.y, r.ev.theta[mWarmLinear], confidence); ok {
			s.jointWarmUp = true
			joint(m)
		}
	case (best == mDailyLinear || best == mCycleLinear) && r.ev.lnZ[best] > r.ev.lnZ[mLinear]+clearly:
		var columns [][]float64
		for _, c := range waves(r.ev.theta[best]) {
			columns = append(columns, sample(c, r.plan.x))
		}
		if m, ok := r.plan.jointLine(&curveCoefficients, r.y, columns, confidence); ok {
			joint(m)
		}
	}
	return s
}

func (w *workspace) guards(r *lifeJudgement, floor float64) guard {
	n := r.plan.n
	if n < evenBelow && !even(r.t, r.y) {
		return notEven
	}
	y := r.level(w)
	all := leastSquares(r.t, y)
	if !material(max(all.slope*r.plan.span, r.slopes.activeGrowth), r.ev.level, floor) {
		return notMaterial
	}
	if n >= tailFrom {
		_, r.tail = tailSlope(r.t, y)
		if !stillGrowing(r.t, y, r.overall(all.slope)) && r.ev.best(model.growing) != mDoubling {
			return notStillGoing
		}
	}
	if n >= floorFrom {
		r.floor, r.hasFloor = w.floorRatio(r.floorT, r.floorY)
		if r.hasFloor && r.floor < r.floorLimit() {
			return garbage
		}
	}
	return passed
}

// overall is the slope that the last third is compared with: that of the whole,
// or of the line beside a fall at the start, where the whole may not rise.
func (r *lifeJudgement) overall(whole float64) float64 {
	if r.slopes.jointWarmUp {
		return max(whole, r.slopes.value)
	}
	return whole
}

// floorLimit is what part of the mean's growth the floor must have.
func (r *lifeJudgement) floorLimit() float64 {
	if r.ev.best(model.growing) == mAccelerating {
		return floorPartFast
	}
	return floorPart
}

// level returns the points without the wave where the best growing model has
// one: whether the rest still grows at the end is then not a matter of the
// hour.
func (r *lifeJudgement) level(w *workspace) []float64 {
	m := r.ev.best(model.growing)
	if m != mDailyLinear && m != mCycleLinear {
		return r.y
	}
	p := r.plan
	noise := p.newNoise(r.ev.phi[m])
	columns := append([]column{func(float64) float64 { return 1 }}, columnsOf(m, r.ev.theta[m], p.span)...)
	rows := make([][]float64, len(columns))
	for i, c := range columns {
		rows[i] = noise.whiten(sample(c, p.x), nil)
	}
	_, coef, _, ok := normalEquations(rows, noise.whiten(r.y, nil))
	if !ok {
		return r.y
	}
	w.calm = append(w.calm[:0], r.y...)
	for i, x := range p.x {
		w.calm[i] -= coef[1]*columns[1](x) + coef[2]*columns[2](x)
	}
	return w.calm
}

// poolSlopes joins the slopes of several lives by inverse variance.
func poolSlopes(lives []lifeJudgement) slopes {
	if len(lives) == 1 {
		return lives[0].slopes
	}
	var out slopes
	var sum, weights, growth float64
	exact := slices.ContainsFunc(lives, func(l lifeJudgement) bool { return l.slopes.high <= l.slopes.low })
	for _, l := range lives {
		half := (l.slopes.high - l.slopes.low) / 2
		weight := float64(l.slopes.n)
		if !exact {
			weight = 1 / (half * half)
		}
		sum += weight * l.slopes.value
		weights += weight
		growth += l.slopes.activeGrowth
		out.n += l.slopes.n
	}
	last := lives[len(lives)-1].slopes
	out.from, out.activeShare = last.from, last.activeShare
	out.value = sum / weights
	out.theilSen = out.value
	half := 0.0
	if !exact {
		half = pooledHalf(lives, weights)
	}
	out.low, out.high = out.value-half, out.value+half
	out.activeGrowth = growth
	return out
}

// pooledHalf is half the interval of slopes weighed by inverse variance; the
// weights, which add up to the last argument, are estimates themselves, for
// which Meier (1953) widens it.
func pooledHalf(lives []lifeJudgement, weights float64) float64 {
	wider := 1.0
	for _, l := range lives {
		half := (l.slopes.high - l.slopes.low) / 2
		part := 1 / (half * half) / weights
		wider += 4 * part * (1 - part) / float64(max(1, l.slopes.degrees))
	}
	return math.Sqrt(wider / weights)
}

// decide turns evidence and guards into the verdict.
func (w *workspace) decide(j *judgement) {
	switch {
	case j.points < tailFrom:
		j.leakAbove = 4
	default:
		j.leakAbove = 3
	}
	if l := &j.lives[0]; len(j.lives) == 1 && l.plan.n < evenBelow {
		_, j.leakAbove = few[l.plan.n-3].asked(l.t, l.y)
	}
	j.leakAbove = max(j.leakAbove, caution*j.lnTested)
	j.keyAbove = keyPart * j.lnTested
	if j.points >= tailFrom {
		j.keyAbove = max(j.keyAbove, keyLeast)
	}
	j.suspAbove = 1
	if j.points < 8 {
		j.suspAbove = min(3, j.leakAbove)
	}
	j.posterior = 1 / (1 + math.Exp(min(700, j.lnTested-j.odds)))

	last := &j.lives[len(j.lives)-1]
	if j.guard == passed {
		ratioLeak, ratioSuspect := true, true
		for i := range j.lives {
			if l := &j.lives[i]; l.plan.n < evenBelow {
				g := growthRatio(l.y)
				least, _ := few[l.plan.n-3].asked(l.t, l.y)
				ratioLeak = ratioLeak && g >= least && seenToTheEnd(l.t)
				ratioSuspect = ratioSuspect && g >= suspectRatio
			}
		}
		if j.odds > j.keyAbove && j.odds <= j.leakAbove {
			w.rankKey(j)
		}
		j.leak = (j.odds > j.leakAbove || j.keyHeld) && ratioLeak
		j.firm = j.leak && j.odds > firmPart*j.leakAbove
		j.suspect = !j.leak && (j.odds > j.suspAbove || j.leak) && ratioSuspect
		if !j.leak && !j.suspect && (j.odds > j.leakAbove || j.keyHeld) && ratioSuspect {
			j.suspect = true
		}
	}
	for i := range j.lives {
		l := &j.lives[i]
		l.fit = l.fitted(j.leak || j.suspect)
	}
	j.shape = last.fit.model
	j.verdict = last.fit.verdict()
	if j.leak || j.suspect {
		return
	}
	switch {
	case sawteeth(last.y):
		j.verdict = Sawtooth
	case j.odds > 0 && j.guard == notStillGoing && j.shape.growing() && j.shape != mStepwise:
		j.verdict = Plateau
	case j.odds > 0 && j.guard == garbage:
		j.verdict = Sawtooth
	case j.guard == notMaterial && j.shape.growing():
		j.verdict = Flat
	}
}

// rankKey is the second opinion: Hamed's and Rao's trend test, valid only
// while the ends of the series still rise. Over several lives the z add up as
// in Stouffer's method.
func (w *workspace) rankKey(j *judgement) {
	j.keyTried = true
	z := 0.0
	valid := true
	for i := range j.lives {
		l := &j.lives[i]
		n := l.plan.n
		all := w.theilSen(l.t, l.y)
		k := hamedRao(l.t, l.y, all)
		z += k.Z
		j.key = k
		half := w.theilSen(l.t[n/2:], l.y[n/2:])
		third := w.theilSen(l.t[n-max(2, n/3):], l.y[n-max(2, n/3):])
		if all <= 0 || half <= keyHalfSlope*all || third <= keyThirdSlope*all {
			valid = false
		}
	}
	j.key.Z = z / math.Sqrt(float64(len(j.lives)))
	j.key.P = 0.5 * math.Erfc(j.key.Z/math.Sqrt2)
	limit := keyP
	if j.points < tailFrom {
		limit = keyPFew
	}
	j.keyHeld = valid && j.key.P < min(limit, 0.05*math.Exp(-j.lnTested))
}
