package trend

import "math"

// maxSteps bounds the change points of a level model; shortestLevel is how
// many points a level has at least: with single points, levels would fit
// anything.
const (
	maxSteps      = 15
	shortestLevel = 2
)

// partition is the best way to cut a series into levels.
type partition struct {
	starts []int // first point of each level; starts[0] is 0
	levels []float64
	ssr    float64
}

// partitions returns the least-squares partitions of y into 2, 3, … levels,
// each of at least shortest points, by dynamic programming over all of them
// (Bellman 1961; Auger and Lawrence 1989): O(maxSteps n^2) time.
func (w *workspace) partitions(y []float64, shortest int) []partition {
	n := len(y)
	most := min(maxSteps, n/shortest-1)
	if most < 1 {
		return nil
	}
	w.levelCosts(y)
	// best[i] is the least cost of y[:i] in k+1 levels.
	prev, next := w.dpA[:n+1], w.dpB[:n+1]
	for i := range prev {
		prev[i] = math.Inf(1)
		if i >= shortest {
			prev[i] = w.cost(0, i)
		}
	}
	out := w.parts[:0]
	for k := 1; k <= most; k++ {
		from := w.dpFrom[k][:n+1]
		for i := range next {
			next[i] = math.Inf(1)
		}
		for i := (k + 1) * shortest; i <= n; i++ {
			row := w.costs[i*(i-1)/2 : i*(i+1)/2] // cost of y[j:i] by j
			best, at := math.Inf(1), 0
			lo, hi := k*shortest, i-shortest
			pr := prev[lo : hi+1]
			rw := row[lo : hi+1]
			for j, c := range rw {
				if v := pr[j] + c; v < best {
					best, at = v, j
				}
			}
			next[i], from[i] = best, int32(at+lo)
		}
		p := partition{starts: make([]int, k+1), levels: make([]float64, k+1), ssr: next[n]}
		end := n
		for l := k; l >= 1; l-- {
			end = int(w.dpFrom[l][end])
			p.starts[l] = end
		}
		for l := range p.levels {
			e := n
			if l < k {
				e = p.starts[l+1]
			}
			p.levels[l] = w.mean(p.starts[l], e)
		}
		out = append(out, p)
		prev, next = next, prev
	}
	w.parts = out
	return out
}

// levelCosts fills w.costs with the squared deviations of every stretch of y
// from its mean: that of y[j:i] stands at i(i-1)/2+j.
func (w *workspace) levelCosts(y []float64) {
	n := len(y)
	centre := 0.0
	for _, v := range y {
		centre += v / float64(n)
	}
	w.centre = centre
	w.s1[0], w.s2[0] = 0, 0
	for i, v := range y {
		v -= centre
		w.s1[i+1] = w.s1[i] + v
		w.s2[i+1] = w.s2[i] + v*v
	}
	for i := 1; i <= n; i++ {
		row := w.costs[i*(i-1)/2 : i*(i+1)/2]
		s1, s2 := w.s1[i], w.s2[i]
		for j := range row {
			d := s1 - w.s1[j]
			row[j] = max(0, s2-w.s2[j]-d*d*w.inverse[i-j])
		}
	}
}

func (w *workspace) cost(j, i int) float64 { return w.costs[i*(i-1)/2+j] }

func (w *workspace) mean(j, i int) float64 {
	return w.centre + (w.s1[i]-w.s1[j])/float64(i-j)
}

// What makes a sequence of levels a stepwise leak.
const (
	stepUps      = 3    // so many rises
	stepPart     = 0.05 // of at least this part of the span
	stepFalls    = 0.1  // falls at most this part of the rises
	stepLastFrom = 0.6  // the last rise behind this part of the window
	stepCentre   = 0.3  // the rises, weighed by their height, lie behind this part on average
	stepLength   = 0.03 // a level between rises that is shorter is a step seen halfway
)

// stepwise reports whether the levels rise again and again, and to the end:
// not most of it at the start, as the greatest of all loads so far does.
func (p *partition) stepwise(x []float64) bool {
	lo, hi := p.levels[0], p.levels[0]
	for _, l := range p.levels {
		lo, hi = min(lo, l), max(hi, l)
	}
	span := hi - lo
	ups, last := 0, math.Inf(-1)
	rise, fall, centre := 0.0, 0.0, 0.0
	for i := 1; i < len(p.levels); i++ {
		d := p.levels[i] - p.levels[i-1]
		if d < 0 {
			fall -= d
			continue
		}
		at := x[p.starts[i]]
		rise += d
		centre += d * at
		if d >= stepPart*span && d > 0 {
			if at-last >= stepLength {
				ups++
			}
			last = at
		}
	}
	return ups >= stepUps && fall <= stepFalls*rise && last > stepLastFrom && centre >= stepCentre*rise
}

// whitenedRSS is the residual sum of squares of the partition under AR(1)
// noise. The whitened indicator of a level reaches one point into the next,
// so the normal equations are tridiagonal.
func (w *workspace) whitenedRSS(p *plan, noise *noisePlan, part *partition, yw []float64, yy float64) float64 {
	m := len(part.starts)
	diag, off, rhs := w.tri[0][:m], w.tri[1][:m], w.tri[2][:m]
	for l, s := range part.starts {
		e := p.n
		if l+1 < m {
			e = part.starts[l+1]
		}
		diag[l] = noise.d[s]*noise.d[s] + noise.inner[e] - noise.inner[s+1]
		rhs[l] = noise.d[s]*yw[s] + w.innerY[e] - w.innerY[s+1]
		off[l] = 0
		if e < p.n { // the level's tail in the first point of the next
			tail := -noise.a[e] * noise.d[e]
			diag[l] += tail * tail
			rhs[l] += tail * yw[e]
			off[l] = tail * noise.d[e]
		}
	}
	// Elimination from the top; what is explained adds up on the way.
	explained := 0.0
	for l := range m {
		if l > 0 {
			f := off[l-1] / diag[l-1]
			diag[l] -= f * off[l-1]
			rhs[l] -= f * rhs[l-1]
		}
		if diag[l] > 0 {
			explained += rhs[l] * rhs[l] / diag[l]
		}
	}
	return max(0, yy-explained)
}
