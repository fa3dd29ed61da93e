// Package trend turns the snapshots of a process into series, fits, verdicts
// and a diagnosis.
//
// In goes a sequence of [heap.Snapshot] of one process, in any order; out
// comes a [Result]: for every type how fast it grows with an interval, the
// shape of its growth, whether it is judged a leak or a suspect and how sure
// that is, which types grow together, what part of the heap's growth they are,
// and one paragraph for a ticket. Rates are objects or bytes per second,
// times are uptimes.
//
// The method compares the evidence of models that are still growing at the
// end of the window with models that are not, under autocorrelated noise
// (decide.go, evidence.go, models.go), lets guards veto (guards.go), asks a
// rank test for a second opinion (rank.go) and reports a robust slope with an
// interval that allows for autocorrelation (slope.go, mixture.go). Its sources
// stand where the functions are; its measured error rates in
// doc/statistics.md.
//
// Known limits: a wander slower than a third of the window, a cycle longer
// than the window, a cache that is not yet full and a leak in the last
// twentieth of the window cannot be told from what they look like.
package trend

import (
	"iter"
	"runtime"

	"leaktrack/heap"
)

// Options is what [Analyze] may be told. The zero value is fit for use.
type Options struct {
	Confidence float64 // of every interval; 0 means 0.95
	LimitBytes int64   // a memory limit to forecast against; 0: what the snapshots say, if anything
	// Explain chooses the types whose Evidence is filled; nil: none.
	Explain func(name string) bool
	// Curves chooses the types whose measures get a sampled curve and all their
	// points; nil: none besides leaks and suspects, which always do.
	Curves func(name string) bool
	// Progress is called now and then with how many types are done; nil: not.
	// Calls do not overlap.
	Progress func(done, total int)
	Workers  int // 0: GOMAXPROCS
}

func (o Options) confidence() float64 {
	if o.Confidence > 0 && o.Confidence < 1 {
		return o.Confidence
	}
	return 0.95
}

func (o Options) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// Analyze judges one process by its snapshots, which may come in any order
// and are not kept. Snapshots without uptime are left out with a warning. It
// fails when the sequence does, or with [ErrProcesses] when the snapshots are
// not of one process. Too few snapshots are no error but a verdict.
func Analyze(snapshots iter.Seq2[*heap.Snapshot, error], o Options) (*Result, error) {
	c, err := collect(snapshots)
	if err != nil {
		return nil, err
	}
	a := newAnalysis(c, o)
	a.judgeTypes()
	return a.result(), nil
}
