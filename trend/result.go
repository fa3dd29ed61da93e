package trend

import (
	"time"

	"leaktrack/heap"
)

// Verdict is the best-fitting shape of a series.
type Verdict string

// The shapes. The first four are still growing at the end of the window.
const (
	Linear       Verdict = "linear"
	Accelerating Verdict = "accelerating"
	Slowing      Verdict = "slowing"
	Stepwise     Verdict = "stepwise"
	Plateau      Verdict = "plateau"
	LevelShift   Verdict = "level-shift"
	Dropped      Verdict = "dropped"
	Cycle        Verdict = "cycle"
	Sawtooth     Verdict = "sawtooth"
	Flat         Verdict = "flat"
	Shrinking    Verdict = "shrinking"
	TooFew       Verdict = "too-few"
)

// DiagnosisVerdict is the judgement of a whole process.
type DiagnosisVerdict string

// The judgements of a process.
const (
	DiagnosisLeak          DiagnosisVerdict = "leak"
	DiagnosisSuspect       DiagnosisVerdict = "suspect"
	DiagnosisNoLeak        DiagnosisVerdict = "no-leak"
	DiagnosisNativeGrowth  DiagnosisVerdict = "native-growth"
	DiagnosisFragmentation DiagnosisVerdict = "fragmentation"
	DiagnosisServerGCSize  DiagnosisVerdict = "server-gc-size"
	DiagnosisTooFew        DiagnosisVerdict = "too-few"
)

// Rate is a slope with its interval, in objects or bytes per second.
type Rate struct {
	PerSecond  float64
	Low, High  float64 // bounds of the interval
	Confidence float64 // of the interval, such as 0.95
}

// Point is one measured value.
type Point struct {
	Uptime time.Duration
	Value  int64 // objects or bytes
}

// CurvePoint is one place of a fitted curve with its confidence band.
type CurvePoint struct {
	Uptime           time.Duration
	Value, Low, High float64
}

// Since is when growth began, with an interval.
type Since struct {
	At, Low, High time.Duration // uptimes
}

// Measure is one number of a process or type over uptime, and what was made
// of it.
type Measure struct {
	// Points is the series by ascending uptime. Of types that neither leak nor
	// are suspected nor were asked for, a process of more than a million counts
	// keeps the first and the last point only; N tells.
	Points  []Point
	N       int // how many points were judged
	Verdict Verdict
	Leak    bool // grows and will go on, by the evidence
	Suspect bool // grows, but the evidence does not suffice for Leak
	// Rate is the slope of the active phase; nil below three distinct uptimes,
	// because then it has no interval.
	Rate *Rate
	// Since is the start of the active phase; nil when the series does not grow.
	Since *Since
	// Curve is the shape that was fitted, sampled for drawing; nil unless the
	// series was analysed in full and has at least three points.
	Curve []CurvePoint
}

// First and Last return the ends of the series; the zero Point when it is empty.
func (m *Measure) First() Point {
	if len(m.Points) == 0 {
		return Point{}
	}
	return m.Points[0]
}

// Last returns the last point; the zero Point when the series is empty.
func (m *Measure) Last() Point {
	if len(m.Points) == 0 {
		return Point{}
	}
	return m.Points[len(m.Points)-1]
}

// TypeTrend is what became of one type in one process.
type TypeTrend struct {
	Name    string
	Verdict Verdict
	Leak    bool
	Suspect bool
	// ByBytes says that the bytes were judged, because the number of objects
	// hardly changes. The rate to tell is then that of the bytes.
	ByBytes bool
	// Confidence is the posterior probability that this type leaks, under the
	// prior of one leaking type per process. It is a measure of evidence, not a
	// frequency of truth.
	Confidence float64
	// Firm says that a leak has twice the evidence that is asked for. Firm leaks
	// stand before the others, however fast those seem to grow: what looks like
	// growth by chance is often large.
	Firm  bool
	Count Measure // objects
	Bytes Measure
	// Share is this type's part of the heap's growth, from ordinary
	// least-squares slopes, which add up exactly over all types. Negative for a
	// shrinking type; meaningless (and ShareKnown false) when the heap does not
	// grow.
	Share      float64
	ShareKnown bool
	Group      int // number of its group, 1 the first; 0: in none
	Warnings   []string
	Evidence   *Evidence // nil unless asked for
}

// Group is types that grow in a fixed proportion: one leak, not many.
type Group struct {
	ID        int
	Headline  string   // own code before framework types, most bytes
	Types     []string // headline first
	Ratio     []int    // objects of each type per unit, same order as Types: 1 : 3; nil when not a small ratio
	BytesRate *Rate    // of all its types together
	Share     float64
	Leak      bool
	Firm      bool // one of its types is a firm leak
	Suspect   bool
}

// Diagnosis is the judgement of a process in one paragraph.
type Diagnosis struct {
	Verdict DiagnosisVerdict
	Text    string // sentences for a ticket
}

// Forecast says when growth reaches a limit.
type Forecast struct {
	Measure    string // which series reaches it: rss, committed, heap
	LimitBytes int64
	LimitFrom  string // where the limit comes from: given, container, GC
	// At is the uptime at which the limit is reached; Low and High bound it.
	// HasHigh is false when the growth might never reach it.
	At, Low, High time.Duration
	HasHigh       bool
	Text          string // one sentence, also where no forecast can be made
}

// Result is what the snapshots of one process say.
type Result struct {
	Process heap.Process
	Basis   heap.Basis
	// OtherBasis names the basis that was present too but not used, with its
	// number of snapshots; "" when there is none.
	OtherBasis     heap.Basis
	OtherSnapshots int
	Snapshots      int // used snapshots with a table of types
	Incomplete     int // of these, how many do not list every type
	From, To       time.Duration
	Diagnosis      Diagnosis
	Heap           *Measure    // GC heap size as reported, or the sum of all types; nil: unknown
	Committed      *Measure    // committed by the GC
	Native         *Measure    // native heaps
	RSS            *Measure    // resident set, or private bytes where that is all there is
	RSSIsPrivate   bool        // RSS holds private bytes
	Types          []TypeTrend // every type: firm leaks first, then leaks, suspects and the rest, each by the lower bound of the bytes rate
	Tested         int         // types that changed enough to be judged
	Groups         []Group
	Explained      float64 // share of the heap's growth that the groups explain
	ExplainedKnown bool
	Forecast       *Forecast // nil when no limit is known
	Heaps          int       // GC heaps in the last snapshot; 0 unknown
	HeapBytes      []int64   // size of each GC heap in the last snapshot; nil unknown
	Server         heap.Tristate
	Warnings       []string
}
