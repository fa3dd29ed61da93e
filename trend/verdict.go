package trend

import (
	"fmt"
	"math"
	"strings"

	"leaktrack/heap"
)

// Constants of the diagnosis.
const (
	// nativeLeast is what native memory must have grown by, and nativePart by
	// what part of itself, before it is called native growth: a process takes a
	// few MiB for thread stacks, code and the collector's tables as it warms up.
	nativeLeast = 4 << 20
	nativePart  = 0.05
	// managedPart of the native growth must not be the GC heap's.
	managedPart = 0.5
)

// diagnose judges the process.
func (a *analysis) diagnose(r *Result, h, committed, native, rss *judgedMeasure) Diagnosis {
	var leaks, suspects int
	for i := range r.Types {
		if r.Types[i].Leak {
			leaks++
		}
		if r.Types[i].Suspect {
			suspects++
		}
	}
	span := r.To - r.From
	whichNative, nativeGrows := nativeGrowth(h, committed, native, rss)
	unexplained := h.m == nil && committed.m == nil && whichNative == rss
	switch {
	case leaks > 0:
		return Diagnosis{DiagnosisLeak, a.leakText(r, h, native, rss)}
	case h.m != nil && h.m.Leak && !a.allTypes():
		// Without all types the heap's own growth is all there is to judge by.
		return Diagnosis{DiagnosisLeak, a.heapText(r, h, native, rss)}
	case nativeGrows && unexplained:
		return Diagnosis{DiagnosisSuspect, a.processText(r, whichNative)}
	case nativeGrows:
		return Diagnosis{DiagnosisNativeGrowth, a.nativeText(r, h, whichNative)}
	case suspects > 0 || h.grows():
		return Diagnosis{DiagnosisSuspect, a.suspectText(r, h, native, rss)}
	case h.m != nil && committed.m != nil && committed.m.Leak && committed.growth()-h.growth() >= nativeLeast:
		return Diagnosis{DiagnosisFragmentation, fmt.Sprintf("No type leaks, but the GC heap is fragmented: what the collector has committed grew by %s in %s (%s) while the objects in it did not grow (%s). "+
			"Memory is held by free space between objects; look for pinned objects and for large objects that come and go.",
			sizeText(committed.growth()), spanText(span), byteRate(committed.m.Rate.PerSecond), changeText(h))}
	}
	if h.m == nil && len(a.rows) == 0 {
		// Sizes of the process outside the heap are all there is.
		return a.sizesDiagnosis(r, rss, committed, native)
	}
	// Where there are tables of types, sizes alone do not clear the types.
	enough := len(a.times) >= 3 && a.full.plan != nil || r.Snapshots == 0 && h.m != nil && h.m.Rate != nil
	if !enough {
		return Diagnosis{DiagnosisTooFew, a.tooFewText(r)}
	}
	if r.Heaps > 1 && r.Server != heap.No {
		return Diagnosis{DiagnosisServerGCSize, serverText(r, h)}
	}
	return Diagnosis{DiagnosisNoLeak, a.noLeakText(r, h, native, rss)}
}

// allTypes reports whether every snapshot lists every type.
func (a *analysis) allTypes() bool { return len(a.rows) > 0 && a.allComplete }

// nativeGrowth finds memory outside the GC heap that grows and the GC heap
// does not account for: the native heaps where known, else the process.
func nativeGrowth(h, committed, native, rss *judgedMeasure) (m *judgedMeasure, ok bool) {
	for _, m := range []*judgedMeasure{native, rss} {
		if m.m == nil || !m.m.Leak {
			continue
		}
		g := m.growth()
		if g < nativeLeast || g < nativePart*float64(m.m.First().Value) {
			continue
		}
		// Native heaps hold nothing managed; the process holds the GC heap, and
		// what the collector has committed beyond its objects.
		if m == rss && max(h.growth(), committed.growth()) >= managedPart*g {
			continue
		}
		return m, true
	}
	return nil, false
}

// lead names the snapshots: "3 snapshots of all objects over 16 min".
func (a *analysis) lead(r *Result) string {
	n := r.Snapshots
	if n == 0 {
		n = len(a.c.frames)
		return fmt.Sprintf("%s without a table of types over %s", plural(n, "snapshot", "snapshots"), spanText(r.To-r.From))
	}
	return fmt.Sprintf("%s of %s objects over %s", plural(n, "snapshot", "snapshots"), map[heap.Basis]string{heap.Live: "live", heap.All: "all"}[r.Basis], spanText(r.To-r.From))
}

func (a *analysis) leakText(r *Result, h, native, rss *judgedMeasure) string {
	var b strings.Builder
	b.WriteString("Managed memory leak. ")
	groups := leakGroups(r)
	top := &groups[0]
	t := r.find(top.Headline)
	fmt.Fprintf(&b, "%s grows by %s, %s", top.Headline, typeRate(t), shapeWords[t.Verdict])
	if len(top.Types) > 1 {
		fmt.Fprintf(&b, ", and together with it %s", join(shorten(top.Types[1:], 3)))
		if top.Ratio != nil && len(top.Types) <= 4 {
			b.WriteString(" (" + ratioText(top.Ratio) + ")")
		}
	}
	switch bytes := top.BytesRate.PerSecond; {
	case len(top.Types) == 1 && t.ByBytes:
		fmt.Fprintf(&b, ", measured in %s.", a.lead(r)) // the rate is that of the bytes already
	case math.Abs(bytes*(r.To-r.From).Seconds()) < 1:
		fmt.Fprintf(&b, ", while the bytes stay the same, measured in %s.", a.lead(r))
	default:
		fmt.Fprintf(&b, ". That is %s, measured in %s.", byteRate(bytes), a.lead(r))
	}
	if s := t.Count.Since; s != nil && s.At > r.From {
		fmt.Fprintf(&b, " It began at uptime %s (between %s and %s).", spanText(s.At), spanText(s.Low), spanText(s.High))
	}
	if a.growthKnown {
		these := "This type is"
		if len(top.Types) > 1 {
			these = "These types are"
		}
		fmt.Fprintf(&b, " %s %s of the growth of the GC heap", these, percent(top.Share))
		if len(groups) > 1 {
			fmt.Fprintf(&b, "; with %s it is %s", plural(len(groups)-1, "more leaking group", "more leaking groups"), percent(shareSum(groups)))
		}
		b.WriteString(".")
	} else if len(groups) > 1 {
		fmt.Fprintf(&b, " %s besides.", capital(plural(len(groups)-1, "more group of types leaks", "more groups of types leak")))
	}
	if top.Headline != top.Types[0] || len(top.Types) > 1 {
		if big := biggest(r, top); big != "" && big != top.Headline {
			fmt.Fprintf(&b, " Most of the bytes are %s.", big)
		}
	}
	if h.m != nil && !h.grows() && len(h.m.Points) > 2 {
		fmt.Fprintf(&b, " The size of the whole heap %s: by itself that is too little to tell.", changeText(h))
	}
	b.WriteString(outside(h, native, rss))
	b.WriteString(a.doubt(r))
	return b.String()
}

func (a *analysis) heapText(r *Result, h, native, rss *judgedMeasure) string {
	return fmt.Sprintf("Managed memory leak. The GC heap grows by %s, %s (%s, %s), but no single type can be named: the snapshots do not list every type.%s%s",
		byteRate(h.m.Rate.PerSecond), shapeWords[h.m.Verdict], changeText(h), a.lead(r), outside(h, native, rss), a.doubt(r))
}

func (a *analysis) suspectText(r *Result, h, native, rss *judgedMeasure) string {
	var b strings.Builder
	if len(r.Groups) == 0 {
		fmt.Fprintf(&b, "Suspected leak. The GC heap grows by %s (%s, %s), but no single type grows clearly enough to be named.",
			byteRate(h.m.Rate.PerSecond), changeText(h), a.lead(r))
	} else {
		g := &r.Groups[0]
		t := r.find(g.Headline)
		fmt.Fprintf(&b, "Suspected leak, not proven. %s grows by %s over %s, but the evidence does not suffice for a verdict.", g.Headline, typeRate(t), a.lead(r))
		for _, w := range t.Warnings {
			if strings.HasPrefix(w, "a verdict needs") {
				b.WriteString(" " + capital(w) + ".")
			}
		}
	}
	b.WriteString(outside(h, native, rss))
	b.WriteString(a.doubt(r))
	return b.String()
}

func (a *analysis) nativeText(r *Result, h, m *judgedMeasure) string {
	grew := fmt.Sprintf("%s grew by %s in %s (%s)", m.name, sizeText(m.growth()), spanText(m.m.Last().Uptime-m.m.First().Uptime), byteRate(m.m.Rate.PerSecond))
	const look = " Look at native allocations, unmanaged handles and thread stacks."
	switch {
	case h.m == nil && len(a.rows) == 0:
		return fmt.Sprintf("Native memory grows: %s. The size of the GC heap and its types are not known, so a managed leak beside it cannot be excluded.%s", grew, look)
	case h.m == nil:
		return fmt.Sprintf("Native memory grows: %s. No managed type leaks by %s; the size of the GC heap is not known.%s", grew, a.lead(r), look)
	case len(a.rows) == 0:
		return fmt.Sprintf("Native memory grows, the managed heap does not account for it: %s, the GC heap changed by %s. The types are not known.%s", grew, signedSize(h.growth()), look)
	}
	return fmt.Sprintf("Native memory grows, the managed heap does not account for it: %s, the GC heap changed by %s. No managed type leaks by %s.%s",
		grew, signedSize(h.growth()), a.lead(r), look)
}

const unknownHeap = "No snapshot says how large the GC heap is or what is in it"

// processText tells growth of which nobody knows whether it is managed.
func (a *analysis) processText(r *Result, m *judgedMeasure) string {
	return fmt.Sprintf("Suspected leak. %s grew from %s to %s in %s (%s). %s, so whether managed or native memory grows is open: take snapshots of the heap as well.",
		capital(m.name), sizeText(float64(m.m.First().Value)), sizeText(float64(m.m.Last().Value)), spanText(m.m.Last().Uptime-m.m.First().Uptime),
		byteRate(m.m.Rate.PerSecond), unknownHeap)
}

// sizesDiagnosis judges a process of which only sizes outside the heap are
// known, and none of them so that native growth is certain.
func (a *analysis) sizesDiagnosis(r *Result, sizes ...*judgedMeasure) Diagnosis {
	most, known := 0, []string(nil)
	var open *judgedMeasure
	for _, m := range sizes {
		if m.m == nil {
			continue
		}
		if m.grows() && m.m.Rate != nil {
			return Diagnosis{DiagnosisSuspect, a.processText(r, m)}
		}
		most = max(most, len(m.m.Points))
		known = append(known, fmt.Sprintf("%s %s", m.name, changeText(m)))
		if len(m.m.Points) < evenBelow && (m.m.Verdict == Linear || m.m.Verdict == Accelerating || m.m.Verdict == Slowing) {
			open = m
		}
	}
	switch {
	case most == 0:
		return Diagnosis{DiagnosisTooFew, a.tooFewText(r)}
	case most < 3:
		return Diagnosis{DiagnosisTooFew, fmt.Sprintf("Too few readings: there %s. %s", map[int]string{1: "is one", 2: "are two at different uptimes"}[most], howMany)}
	case open != nil:
		return Diagnosis{DiagnosisTooFew, fmt.Sprintf("Too few readings: in the %d there are, %s %s, which may be a leak or the start of the program. %s. Take a few more.",
			len(open.m.Points), open.name, changeText(open), unknownHeap)}
	}
	return Diagnosis{DiagnosisNoLeak, fmt.Sprintf("No leak found in %s of memory sizes over %s: %s. %s.", plural(most, "reading", "readings"), spanText(r.To-r.From), join(known), unknownHeap)}
}

func serverText(r *Result, h *judgedMeasure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Big, but not growing. The process uses the server GC, which keeps one heap per processor: here %d heaps", r.Heaps)
	if len(r.HeapBytes) > 0 {
		lo, hi, sum := r.HeapBytes[0], r.HeapBytes[0], 0.0
		for _, v := range r.HeapBytes {
			lo, hi, sum = min(lo, v), max(hi, v), sum+float64(v)
		}
		if mean := sizeText(sum / float64(len(r.HeapBytes))); sizeText(float64(lo)) == sizeText(float64(hi)) {
			fmt.Fprintf(&b, " of %s each", mean)
		} else {
			fmt.Fprintf(&b, " of %s to %s, %s each on average", sizeText(float64(lo)), sizeText(float64(hi)), mean)
		}
	} else if h.m != nil {
		fmt.Fprintf(&b, " of %s each on average", sizeText(float64(h.m.Last().Value)/float64(r.Heaps)))
	}
	if h.m != nil {
		fmt.Fprintf(&b, ". Together they hold %s (%s bytes); %s from %s to %s uptime", sizeText(float64(h.m.Last().Value)), commas(float64(h.m.Last().Value)), steadyText(h),
			spanText(h.m.First().Uptime), spanText(h.m.Last().Uptime))
	}
	b.WriteString(". That is how this collector works, not a leak. If the memory is needed elsewhere: fewer heaps (GCHeapCount), a limit (GCHeapHardLimit), GCConserveMemory, or the workstation GC.")
	return b.String()
}

func steadyText(h *judgedMeasure) string {
	lo, hi := h.m.extremes()
	switch least, most := sizeText(float64(lo)), sizeText(float64(hi)); {
	case lo == hi:
		return "that did not change"
	case least == most:
		return "that stayed at about as much"
	default:
		return fmt.Sprintf("that stayed between %s and %s", least, most)
	}
}

func (a *analysis) noLeakText(r *Result, h, native, rss *judgedMeasure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "No leak found in %s.", a.lead(r))
	if r.Snapshots > 0 {
		fmt.Fprintf(&b, " Of %s, %s changed enough to be judged; none of them keeps growing.", plural(len(r.Types), "type", "types"), commas(float64(a.tested)))
	}
	if h.m != nil && len(h.m.Points) > 1 {
		fmt.Fprintf(&b, " The GC heap %s", changeText(h))
		if v := h.m.Verdict; (v == Linear || v == Accelerating || v == Slowing) && h.m.Rate != nil && h.m.Rate.Low > 0 {
			fmt.Fprintf(&b, ", rising evenly enough to keep an eye on (%s), but %s do not suffice for a judgement: take more", byteRate(h.m.Rate.PerSecond), plural(len(h.m.Points), "snapshot", "snapshots"))
		}
		b.WriteString(".")
	}
	b.WriteString(outside(h, native, rss))
	return b.String()
}

func (a *analysis) tooFewText(r *Result) string {
	n := max(len(a.times), len(heapPoints(r)))
	switch {
	case len(a.c.frames) == 0:
		return "Nothing to judge: there is no snapshot with a known uptime."
	case n <= 1:
		return "Too few snapshots: there is one. " + howMany
	case n == 2:
		return "Too few snapshots: there are two at different uptimes. " + howMany
	}
	return fmt.Sprintf("Too few snapshots: of %d, some are so close together that they count as one. Take another after a longer wait.", n)
}

const howMany = "A judgement needs three or more, and three suffice only for steep and even growth; ten give a reliable one."

func heapPoints(r *Result) []Point {
	if r.Heap == nil {
		return nil
	}
	return r.Heap.Points
}

// outside says how memory outside the GC heap behaves beside it.
func outside(h, native, rss *judgedMeasure) string {
	var b strings.Builder
	if native.m != nil && native.m.Rate != nil {
		switch {
		case native.grows() && h.grows():
			fmt.Fprintf(&b, " The native heap grows too, by %s.", byteRate(native.m.Rate.PerSecond))
		case native.grows():
			fmt.Fprintf(&b, " The native heap grows by %s.", byteRate(native.m.Rate.PerSecond))
		case h.grows():
			b.WriteString(" The native heap does not grow: it is the managed heap.")
		case h.m != nil && h.m.Rate != nil:
			b.WriteString(" The native heap does not grow either.")
		default:
			b.WriteString(" The native heap does not grow.")
		}
	}
	if rss.m != nil && rss.m.Leak && h.m != nil && h.m.Rate != nil && rss.growth() >= nativeLeast {
		switch rest := rss.growth() - max(0, h.growth()); {
		case h.growth() < managedPart*rss.growth():
			fmt.Fprintf(&b, " %s grew by %s, of which the GC heap explains %s only.", capital(rss.name), sizeText(rss.growth()), sizeText(max(0, h.growth())))
		case rest > 0.2*rss.growth():
			fmt.Fprintf(&b, " %s grew by %s, %s more than the GC heap.", capital(rss.name), sizeText(rss.growth()), sizeText(rest))
		}
	}
	return b.String()
}

// doubt says what few snapshots cannot tell.
func (a *analysis) doubt(r *Result) string {
	switch n := max(len(a.times), len(heapPoints(r))); {
	case n == 3:
		return " This rests on three snapshots only: a cache that is still filling would look the same. Take another snapshot to be sure."
	case n == 4:
		return " This rests on four snapshots only: a cache that is still filling would look the same. Take another snapshot to be sure."
	case n < 8:
		return fmt.Sprintf(" This rests on %d snapshots; a few more would make it firmer.", n)
	}
	return ""
}

func changeText(h *judgedMeasure) string {
	if h.m == nil || len(h.m.Points) == 0 {
		return "its size is not known"
	}
	lo, hi := h.m.extremes()
	first, last := sizeText(float64(h.m.First().Value)), sizeText(float64(h.m.Last().Value))
	switch {
	case lo == hi:
		return "stayed at " + last
	case sizeText(float64(lo)) == sizeText(float64(hi)):
		return "stayed at about " + last
	case first == last:
		return fmt.Sprintf("moved between %s and %s, with %s at both ends", sizeText(float64(lo)), sizeText(float64(hi)), last)
	}
	return fmt.Sprintf("went from %s to %s", first, last)
}

// extremes are the least and the greatest value.
func (m *Measure) extremes() (lo, hi int64) {
	lo, hi = m.Points[0].Value, m.Points[0].Value
	for _, p := range m.Points {
		lo, hi = min(lo, p.Value), max(hi, p.Value)
	}
	return lo, hi
}

func signedSize(v float64) string {
	if v > 0 {
		return "+" + sizeText(v)
	}
	return sizeText(v)
}

func leakGroups(r *Result) []Group {
	var out []Group
	for _, g := range r.Groups {
		if g.Leak {
			out = append(out, g)
		}
	}
	return out
}

func shareSum(groups []Group) float64 {
	s := 0.0
	for i := range groups {
		s += groups[i].Share
	}
	return s
}

// biggest is the type of the group whose bytes grow fastest.
func biggest(r *Result, g *Group) string {
	best, rate := "", 0.0
	for _, n := range g.Types {
		if t := r.find(n); t != nil && t.Bytes.Rate != nil && t.Bytes.Rate.PerSecond > rate {
			best, rate = n, t.Bytes.Rate.PerSecond
		}
	}
	return best
}

func (r *Result) find(name string) *TypeTrend {
	for i := range r.Types {
		if r.Types[i].Name == name {
			return &r.Types[i]
		}
	}
	return nil
}

func typeRate(t *TypeTrend) string {
	if !t.ByBytes && t.Count.Rate != nil && t.Count.Rate.PerSecond > 0 {
		return objectRate(t.Count.Rate)
	}
	if t.Bytes.Rate != nil {
		return byteRateInterval(t.Bytes.Rate)
	}
	return "an unknown rate"
}

var shapeWords = map[Verdict]string{Linear: "in a straight line", Accelerating: "faster and faster", Slowing: "ever more slowly, without end", Stepwise: "in steps"}

func ratioText(r []int) string {
	words := make([]string, len(r))
	for i, n := range r {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, " : ")
}

// shorten keeps the first n names and says how many more there are.
func shorten(names []string, n int) []string {
	if len(names) <= n+1 {
		return names
	}
	return append(append([]string(nil), names[:n]...), fmt.Sprintf("%d more types", len(names)-n))
}

// capital starts a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
