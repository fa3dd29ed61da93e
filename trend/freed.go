package trend

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
)

// A leak of which a part is freed now and then is a line with drops. Its slope
// is that between the drops; a line through all of it would be too flat.
const (
	mostDrops = 5
	// dropsPart is what part of the rise may be lost in the drops: where more
	// is, they are the teeth of garbage, and what grows is the floor. Fewer than
	// three drops, and few points, do not show that teeth are regular.
	dropsPart    = 0.65
	dropsPartFew = 0.5
	// dropsStand is by what factor each drop exceeds every other fall below the
	// line: noise that wanders, and teeth, fall alike again and again.
	dropsStand = 1.5
	// dropsAlike is by what part of their mean the heights of drops, and the
	// times between them, scatter at most, that are collections of garbage.
	dropsAlike = 0.35
	// oneCollection is what part of the usual distance two drops are apart that
	// were one collection, and of the greatest height one has that was none.
	oneCollection = 0.33
	// paceApart standard errors and pacePart of it is the slope after the last
	// drop from that before, where they are two.
	paceApart = 4
	pacePart  = 0.2
)

// freedAt returns the first points after each drop of the line with drops
// that has the most evidence, none where it does not clearly beat every other
// model. Where it does its evidence joins that of the growing models. Drops are
// looked for one after the other, each where it takes away most of the rest
// under one of the noise coefficients.
func (w *workspace) freedAt(p *plan, ev *evidence, y []float64) []int {
	if ev.odds <= 0 && !mostlyRises(y) || p.n < fewModels || len(p.byKind[mLinear]) == 0 {
		return nil
	}
	var scale2 [len(scaleGrid)]float64
	for i, c := range scaleGrid {
		s := c*math.Abs(ev.level) + 0.5
		scale2[i] = s * s
	}
	top := ev.lnZ[ev.best(func(model) bool { return true })] + clearly
	if p.n < quickFrom {
		top += 2 // noise that wanders has more chances to look like a drop
	}
	fit := p.newDropFit(y, scale2[:])
	var best, at []int
	for k := 1; k <= mostDrops && k+4 <= p.n; k++ {
		place := fit.place(at)
		if place == 0 {
			break
		}
		at = append(at, place)
		if !fit.step(place) {
			return nil
		}
		// The first of two drops was looked for as if there were one.
		for i := 0; i < k-1; i++ {
			others := slices.Delete(slices.Clone(at), i, i+1)
			fit.start()
			if !fit.steps(others) {
				return nil
			}
			if better := fit.place(others); better > 0 {
				at[i] = better
			}
			if !fit.step(at[i]) {
				return nil
			}
		}
		if z := fit.lnZ(k); z > top && p.onlyDrops(y, at) && p.onePace(y, at) {
			top, best = z, slices.Sorted(slices.Values(at))
		}
	}
	if best != nil {
		growing := append(slices.Clone(ev.lnZ[:mFlat]), top)
		ev.odds = logMeanExp(growing, p.tried(true)+1) - logMeanExp(ev.lnZ[mFlat:], p.tried(false))
	}
	return best
}

// dropFit is a line with drops under every noise coefficient.
type dropFit struct {
	p      *plan
	scale2 []float64 // squares of the noise scales
	line   []dropState
	states []dropState
}

// dropState is the fit under one of them: what is not yet explained of the
// whitened points, and the explaining columns, orthonormal.
type dropState struct {
	rest []float64
	q    [][]float64
}

// newDropFit returns the line without drops.
func (p *plan) newDropFit(y, scale2 []float64) *dropFit {
	f := &dropFit{p: p, scale2: scale2, line: make([]dropState, len(p.noise)), states: make([]dropState, len(p.noise))}
	straight := p.fits[p.byKind[mLinear][0]].rows[0]
	for j := range p.noise {
		noise := &p.noise[j]
		s := dropState{noise.whiten(y, nil), [][]float64{noise.one, noise.row(straight)}}
		for _, e := range s.q {
			floats.AddScaled(s.rest, -floats.Dot(e, s.rest), e)
		}
		f.line[j] = s
	}
	f.start()
	return f
}

// start takes all drops away.
func (f *dropFit) start() {
	for j, s := range f.line {
		f.states[j] = dropState{append(f.states[j].rest[:0], s.rest...), slices.Clip(s.q)}
	}
}

func (f *dropFit) steps(at []int) bool {
	for _, i := range at {
		if !f.step(i) {
			return false
		}
	}
	return true
}

// step joins a step at the point to the columns.
func (f *dropFit) step(at int) bool {
	column := f.p.stepColumns([]int{at})[0]
	for j := range f.states {
		s := &f.states[j]
		v := f.p.noise[j].whiten(column, nil)
		for range 2 {
			for _, e := range s.q {
				floats.AddScaled(v, -floats.Dot(e, v), e)
			}
		}
		l := floats.Norm(v, 2)
		if l <= 0 {
			return false
		}
		floats.Scale(1/l, v)
		s.q = append(s.q, v)
		floats.AddScaled(s.rest, -floats.Dot(v, s.rest), v)
	}
	return true
}

// lnZ is the log evidence of the line with k drops, averaged over noise
// coefficients and scales as in weigh.
func (f *dropFit) lnZ(k int) float64 {
	var logs []float64
	n := f.p.n
	for j := range f.states {
		rss := floats.Dot(f.states[j].rest, f.states[j].rest)
		for _, s2 := range f.scale2 {
			logs = append(logs, -0.5*(float64(n+1)*math.Log(s2+rss)-math.Log(s2)+f.p.noise[j].logDet+float64(k+2)*f.p.lnN)-logChoose(n-1, k))
		}
	}
	return logMeanExp(logs, len(logs))
}

// place returns the point, other than those given, at which one more drop
// takes away most of the rest, under one of the noise coefficients; 0: none.
func (f *dropFit) place(other []int) int {
	p := f.p
	place, gain := 0, minusInf
	for j := range f.states {
		s, noise := &f.states[j], &p.noise[j]
		rss := floats.Dot(s.rest, s.rest)
		along := make([]float64, len(s.q)) // of the step with each column
		// From behind, the step at i is that at i+1 and a little more.
		var onRest, length float64
		for i := p.n - 1; i >= 2; i-- {
			onRest += noise.d[i] * s.rest[i]
			length += noise.d[i] * noise.d[i]
			for c, q := range s.q {
				along[c] += noise.d[i] * q[i]
			}
			if i <= p.n-2 && onRest < 0 && !slices.Contains(other, i) {
				own := length
				for _, a := range along {
					own -= a * a
				}
				if own > 1e-7*length {
					left := max(0, rss-onRest*onRest/own)
					for _, s2 := range f.scale2 {
						l := -0.5 * (float64(p.n+1)*math.Log(s2+left) - math.Log(s2) + noise.logDet)
						if l > gain {
							place, gain = i, l
						}
					}
				}
			}
			// The step at i-1 has less of the point i.
			tail := (1 - noise.a[i]) * noise.d[i]
			onRest += (tail - noise.d[i]) * s.rest[i]
			length += tail*tail - noise.d[i]*noise.d[i]
			for c, q := range s.q {
				along[c] += (tail - noise.d[i]) * q[i]
			}
		}
	}
	return place
}

// mostlyRises reports whether three in four stretches, of one point or in long
// series of a few, are higher than the one before, and the last is higher than
// the first.
func mostlyRises(y []float64) bool {
	h := smoothed(len(y))
	falls, stretches := 0, len(y)/h
	mean := func(k int) float64 { return floats.Sum(y[k*h:(k+1)*h]) / float64(h) }
	first := mean(0)
	last := first
	for k := 1; k < stretches; k++ {
		m := mean(k)
		if m < last {
			falls++
		}
		last = m
	}
	return falls <= (stretches-1)/4 && last > first
}

// smoothed is over how many points of n falls are compared.
func smoothed(n int) int { return max(1, (n+8)/16) }

// teeth returns the heights of the drops and the parts of the window between
// them as collections of garbage have them: a collection that was seen halfway
// is two drops side by side, and what wanders may look like one more, small,
// drop.
func (p *plan) teeth(at []int, drops []float64) (heights, gaps []float64) {
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(at[i], at[j]) })
	usual := (p.x[at[order[len(at)-1]]] - p.x[at[order[0]]]) / float64(len(at))
	var places []float64
	for _, i := range order {
		if x, k := p.x[at[i]], len(places)-1; k < 0 || x-places[k] > oneCollection*usual {
			places, heights = append(places, x), append(heights, drops[i])
		} else {
			heights[k] += drops[i]
		}
	}
	most := slices.Min(heights)
	kept := 0
	for i, h := range heights {
		if h < oneCollection*most {
			heights[kept], places[kept] = h, places[i]
			kept++
		}
	}
	heights, places = heights[:kept], places[:kept]
	for i := 1; i < kept; i++ {
		gaps = append(gaps, places[i]-places[i-1])
	}
	return heights, gaps
}

// alike reports whether there are several values that scatter little around
// their mean.
func alike(v []float64) bool {
	if len(v) < 2 {
		return false
	}
	mean, sd := stat.MeanStdDev(v, nil)
	return sd < dropsAlike*math.Abs(mean)
}

// onlyDrops reports whether the least-squares line with steps at these points
// rises, every step falls, and what they lose is not most of the rise.
func (p *plan) onlyDrops(y []float64, at []int) bool {
	columns := append([][]float64{sample(func(float64) float64 { return 1 }, p.x), p.x}, p.stepColumns(at)...)
	_, coef, _, ok := normalEquations(columns, y)
	if !ok || coef[1] <= 0 {
		return false
	}
	if heights, gaps := p.teeth(at, coef[2:]); alike(heights) && alike(gaps) {
		return false // a leak under teeth: what grows is the floor
	}
	lost, least := 0.0, math.Inf(1)
	for _, c := range coef[2:] {
		if c >= 0 {
			return false
		}
		lost -= c
		least = min(least, -c)
	}
	// Every other fall below the line, of means of a few points in long series.
	rest := make([]float64, p.n)
	for i := range rest {
		rest[i] = y[i] - coef[1]*p.x[i]
	}
	h := smoothed(p.n)
	other := 0.0
	for i := h; i+h <= p.n; i++ {
		if !slices.ContainsFunc(at, func(a int) bool { return a > i-h && a < i+h }) {
			other = max(other, (floats.Sum(rest[i-h:i])-floats.Sum(rest[i:i+h]))/float64(h))
		}
	}
	part := dropsPart
	if p.n < quickFrom || len(at) < 3 {
		part = dropsPartFew
	}
	return lost <= part*coef[1] && least >= dropsStand*other
}

// onePace reports whether the line rises after the last of the drops as it did
// between those before. Where it does not, more was freed before than the
// drops tell, and what counts is how it grows since.
func (p *plan) onePace(y []float64, at []int) bool {
	last := slices.Max(at)
	if last < manyModels || p.n-last < manyModels {
		return true
	}
	since := leastSquares(p.x[last:], y[last:])
	columns := [][]float64{sample(func(float64) float64 { return 1 }, p.x[:last]), p.x[:last]}
	for _, c := range p.stepColumns(slices.DeleteFunc(slices.Clone(at), func(i int) bool { return i == last })) {
		columns = append(columns, c[:last])
	}
	inverse, coef, rss, ok := normalEquations(columns, y[:last])
	if !ok {
		return true
	}
	variance := rss/float64(last-len(columns))*inverse[1][1] + since.se*since.se
	d := math.Abs(since.slope - coef[1])
	return d <= paceApart*math.Sqrt(variance) || d <= pacePart*math.Abs(since.slope)
}
