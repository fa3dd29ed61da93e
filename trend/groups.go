package trend

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Constants of co-growth.
const (
	groupsOfMost  = 400  // flagged types that are compared with each other
	coGrowth      = 3.09 // normal quantile of one in a thousand
	evenTolerance = 0.015
	smallRatio    = 4  // p:q of types that grow evenly, p and q at most this
	shownRatio    = 50 // greatest figure of a printed ratio
)

// increments of a series over at most 24 stretches, and what is left of them
// when the mean growth is taken out.
type increments struct {
	all, rest []float64
	slope     float64
}

// newIncrements cuts the points into n blocks below 32 points, else n/4 but at
// most 24, and takes the differences of the block means.
func newIncrements(t, y []float64) increments {
	n := len(t)
	k := n
	if n >= 32 {
		k = min(24, n/4)
	}
	bt, by := make([]float64, k), make([]float64, k)
	for b := range k {
		from, to := b*n/k, (b+1)*n/k
		for i := from; i < to; i++ {
			bt[b] += t[i] / float64(to-from)
			by[b] += y[i] / float64(to-from)
		}
	}
	var in increments
	in.slope = (by[k-1] - by[0]) / (bt[k-1] - bt[0])
	for b := 1; b < k; b++ {
		d := by[b] - by[b-1]
		in.all = append(in.all, d)
		in.rest = append(in.rest, d-in.slope*(bt[b]-bt[b-1]))
	}
	return in
}

// together reports whether the fluctuations of two growths go together more
// than one in a thousand would by chance: Fisher's z of their correlation.
func together(a, b increments) bool {
	k := len(a.rest) + 1
	if k != len(b.rest)+1 || k < 6 {
		return false
	}
	var aa, bb, ab float64
	for i := range a.rest {
		aa += a.rest[i] * a.rest[i]
		bb += b.rest[i] * b.rest[i]
		ab += a.rest[i] * b.rest[i]
	}
	if aa <= 0 || bb <= 0 {
		return false
	}
	rho := min(ab/math.Sqrt(aa*bb), 1-1e-12)
	return rho > -1 && math.Atanh(rho)*math.Sqrt(float64(k-4)) > coGrowth
}

// sameRate reports whether b grows p:q as fast as a in every stretch, with p
// and q small: the only sign of a common owner that perfectly even growth has.
func sameRate(a, b increments) bool {
	if len(a.all) != len(b.all) || a.slope <= 0 || b.slope <= 0 {
		return false
	}
	r := b.slope / a.slope
	fits := false
	for p := 1; p <= smallRatio && !fits; p++ {
		for q := 1; q <= smallRatio; q++ {
			fits = fits || math.Abs(r*float64(q)/float64(p)-1) <= evenTolerance
		}
	}
	if !fits {
		return false
	}
	off, size := 0.0, 0.0
	for i := range a.all {
		// One object of each at the ends of a stretch is rounding.
		off += max(0, math.Abs(b.all[i]-r*a.all[i])-1-r)
		size += math.Abs(b.all[i])
	}
	return off <= evenTolerance*size
}

// groups joins the flagged types that grow together; a type that grows alone
// is a group of its own. It sets each type's Group and returns the groups, in
// the order of types.
func (a *analysis) groups() []Group {
	var flagged []int
	for i := range a.judged {
		if a.judged[i].flaggedType != nil {
			flagged = append(flagged, i)
		}
	}
	slices.SortFunc(flagged, func(x, y int) int {
		s, t := &a.judged[x], &a.judged[y]
		return cmp.Or(cmp.Compare(t.share, s.share), cmp.Compare(s.trend.Name, t.trend.Name))
	})
	compared := flagged[:min(len(flagged), groupsOfMost)]
	inc := make([]increments, len(compared))
	for k, i := range compared {
		c, _ := a.materialise(i, nil, nil)
		s := a.judged[i].s
		inc[k] = newIncrements(s.t, s.reduce(c, nil))
	}
	owner := make([]int, len(flagged))
	for k := range owner {
		owner[k] = k
	}
	find := func(k int) int {
		for owner[k] != k {
			k = owner[k]
		}
		return k
	}
	for x := range compared {
		for y := range x {
			if a.judged[compared[x]].s != a.judged[compared[y]].s || find(x) == find(y) {
				continue
			}
			if together(inc[x], inc[y]) || sameRate(inc[x], inc[y]) {
				i, j := find(x), find(y)
				owner[max(i, j)] = min(i, j)
			}
		}
	}
	members := map[int][]int{}
	var roots []int
	for k, i := range flagged {
		r := find(k)
		if members[r] == nil {
			roots = append(roots, r)
		}
		members[r] = append(members[r], i)
	}
	out := make([]Group, 0, len(roots))
	var sets [][]int
	for _, r := range roots {
		out = append(out, a.group(members[r]))
		sets = append(sets, members[r])
	}
	order := make([]int, len(out))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		g, h := &out[x], &out[y]
		return cmp.Or(class(g.Leak, g.Firm, g.Suspect)-class(h.Leak, h.Firm, h.Suspect), cmp.Compare(h.BytesRate.Low, g.BytesRate.Low))
	})
	sorted := make([]Group, len(out))
	for n, o := range order {
		sorted[n] = out[o]
		sorted[n].ID = n + 1
		for _, i := range sets[o] {
			a.judged[i].trend.Group = n + 1
		}
	}
	return sorted
}

// group describes the types i as one leak.
func (a *analysis) group(types []int) Group {
	slices.SortFunc(types, func(x, y int) int {
		s, t := &a.judged[x], &a.judged[y]
		return cmp.Or(cmp.Compare(foreign(s.trend.Name), foreign(t.trend.Name)), cmp.Compare(t.share, s.share), cmp.Compare(s.trend.Name, t.trend.Name))
	})
	g := Group{Headline: a.judged[types[0]].trend.Name}
	var sum []float64
	same := true
	var rates []float64
	low, high, rate := 0.0, 0.0, 0.0
	for _, i := range types {
		d := &a.judged[i]
		g.Types = append(g.Types, d.trend.Name)
		g.Leak = g.Leak || d.trend.Leak
		g.Firm = g.Firm || d.trend.Firm
		g.Suspect = g.Suspect || d.trend.Suspect
		g.Share += a.shareOf(d)
		same = same && d.s == a.judged[types[0]].s
		if len(sum) == 0 {
			sum = slices.Clone(d.b)
		} else if same {
			for k := range sum {
				sum[k] += d.b[k]
			}
		}
		if r := d.trend.Count.Rate; r != nil {
			rates = append(rates, r.PerSecond)
		}
		if r := d.trend.Bytes.Rate; r != nil {
			rate, low, high = rate+r.PerSecond, low+r.Low, high+r.High
		}
	}
	g.Suspect = g.Suspect && !g.Leak
	confidence := a.o.confidence()
	g.BytesRate = &Rate{PerSecond: rate, Low: low, High: high, Confidence: confidence}
	if d := &a.judged[types[0]]; same && d.j != nil && len(types) > 1 {
		w := newWorkspace()
		s := w.besideSlope(d.j, d.s, sum, confidence)
		if r := s.rate(confidence); r != nil {
			g.BytesRate = r
		}
	}
	if len(types) > 1 && len(rates) == len(types) {
		g.Ratio = ratio(rates)
	}
	return g
}

func (a *analysis) shareOf(d *judgedType) float64 {
	if !a.growthKnown {
		return 0
	}
	return d.share / a.growth.slope
}

// ratio writes rates as small whole numbers, or returns nil when they are
// not: each within three hundredths of one.
func ratio(rates []float64) []int {
	least := slices.Min(rates)
	if least <= 0 {
		return nil
	}
	for unit := 1; unit <= smallRatio; unit++ {
		out := make([]int, len(rates))
		ok := true
		for i, r := range rates {
			v := r / least * float64(unit)
			n := math.Round(v)
			ok = ok && n <= shownRatio && math.Abs(v-n) <= 0.03*n
			out[i] = int(n)
		}
		if ok {
			return out
		}
	}
	return nil
}

// foreign ranks a type for the headline of its group: 0 for own code, 1 where
// the source gives no namespace, 2 for the framework.
func foreign(name string) int {
	outer := name
	if i := strings.IndexAny(outer, "<[`"); i > 0 {
		outer = outer[:i]
	}
	for _, p := range []string{"System.", "Microsoft.", "Internal.", "Interop."} {
		if strings.HasPrefix(name, p) {
			return 2
		}
	}
	if !strings.Contains(outer, ".") {
		return 1
	}
	return 0
}
