// Package metrics tells a Prometheus what is stored of each process: memory,
// diagnosis, and the groups of types that grow.
//
// In comes a store that a watcher may be writing to; out go metrics over HTTP, in
// the text format of Prometheus and in OpenMetrics 1.0, as the scraper asks
// for. Sizes are bytes, times seconds, rates per second. Enumerations are state
// sets in the sense of OpenMetrics: a series per state, 0 or 1, the state in a
// label that is named like the metric. The library knows no such type, so they
// stand as gauges. Names follow https://prometheus.io/docs/practices/naming/.
//
// # How much
//
// The series are bounded whatever is stored: [SeriesOfExporter], plus for each
// of at most [Options.Processes] processes [SeriesPerProcess], plus for each of
// its at most [Options.Top] groups [SeriesPerGroup]. Label values are bounded by
// [maxLabel] and valid UTF-8.
//
// # How it reads
//
// A scrape asks the file system whether the store has changed. If so, the store
// is opened for reading, the processes that have changed are judged anew, and
// the scrape waits for that within bounds; afterwards it gets what was known
// before. The store is never open for longer than [holdMost] at a time, and not
// while judging.
//
// Known limits: a change of the file that leaves size and time of modification
// alone is not seen, unless it comes within two seconds of the one before.
package metrics

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leaktrack/store"
)

// Process is one that is told of, with the words that name it.
type Process struct {
	store.ProcessInfo
	// Name identifies it among those of its host; the commands take it.
	Name string
}

// Options say what is told. Path and Choose are required.
type Options struct {
	Path string // of the store
	// Choose picks the processes to tell of, out of all that are stored.
	Choose func([]store.ProcessInfo) []Process
	// Top is how many groups of a process are told of at most, those that leak and
	// grow fastest first; 0 means 10.
	Top int
	// Processes is how many processes are told of at most, those seen last
	// first; 0 means 20.
	Processes  int
	LimitBytes int64 // to forecast against; 0: the limits that snapshots tell of
	Version    string
	// Say is told in words that the store cannot be read, or can again, or once that it
	// is in doubt; nil: nobody. Calls do not overlap.
	Say func(text string)
}

const (
	defaultTop       = 10
	defaultProcesses = 20

	// lockWait is how long a reading waits for a writer, which needs some
	// milliseconds unless it compacts.
	lockWait = 2 * time.Second
	// patience is how long a scrape waits for a reading; a Prometheus gives up
	// after 10 s unless told otherwise.
	patience = 5 * time.Second
	// restFactor is the pause after a reading, in multiples of what it took: no
	// more than a fifth of a processor goes into readings.
	restFactor = 4
	// sameTick is how close to the last change of a file another may be hidden,
	// because file systems count time in coarse ticks.
	sameTick = 2 * time.Second
)

// Exporter is a collector over one store. Its methods may be called from
// several goroutines.
type Exporter struct {
	o   Options
	ctx context.Context
	now func() time.Time
	// wait is how long a reading waits for the lock of the store.
	wait time.Duration

	mu      sync.Mutex
	running chan struct{} // closed when the reading that is under way ends; nil: none is
	last    *reading      // nil: nothing is known
	err     error         // why the last attempt failed; nil: it did not, or there was none
	state   fileState     // of the file that last was read from
	ended   time.Time     // of the last attempt
	cost    time.Duration // of the last one that succeeded
	errs    map[string]int
	judged  int // processes, each time one is

	judgements map[string]*judgement // by name and host; of the goroutine that reads
	doubt      string                // about the store, which has been said; of the same
}

// New returns an exporter whose readings end when ctx does.
func New(ctx context.Context, o Options) *Exporter {
	if o.Top <= 0 {
		o.Top = defaultTop
	}
	if o.Processes <= 0 {
		o.Processes = defaultProcesses
	}
	return &Exporter{o: o, ctx: ctx, now: time.Now, wait: lockWait, errs: map[string]int{}}
}

// fileState is what the file system says of a store.
type fileState struct {
	info fs.FileInfo // nil: it cannot be told
	at   time.Time   // when it was asked
}

func (e *Exporter) stat() fileState {
	s := fileState{at: e.now()}
	if info, err := os.Stat(e.o.Path); err == nil {
		s.info = info
	}
	return s
}

// same reports whether nothing was written between s and now.
func (s fileState) same(now fileState) bool {
	return s.info != nil && now.info != nil && os.SameFile(s.info, now.info) &&
		s.info.Size() == now.info.Size() && s.info.ModTime().Equal(now.info.ModTime()) &&
		s.at.Sub(s.info.ModTime()) > sameTick
}

// Refresh reads the store if it has changed. It returns when that is done, when
// ctx ends, or after some seconds, whichever comes first: reading goes on
// meanwhile, and the next call finds the result.
func (e *Exporter) Refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if running := e.begin(); running != nil {
		select {
		case <-running:
		case <-ctx.Done():
		}
	}
}

// begin starts a reading if one is due, and returns a channel that is closed
// when the one under way ends; nil when none is.
func (e *Exporter) begin() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running == nil && e.due() {
		e.running = make(chan struct{})
		go e.read(e.running)
	}
	return e.running
}

// due reports whether the store should be read. The lock is held.
func (e *Exporter) due() bool {
	if e.ctx.Err() != nil || e.now().Sub(e.ended) < restFactor*e.cost {
		return false
	}
	return e.err != nil || e.last == nil || !e.state.same(e.stat())
}

// read makes one attempt and keeps what came of it.
func (e *Exporter) read(done chan struct{}) {
	begun, state := e.now(), e.stat()
	r, err := e.readStore()
	said := ""
	e.mu.Lock()
	e.ended = e.now()
	switch {
	case e.ctx.Err() != nil:
		// It was broken off, so the error says nothing of the store.
	case err == nil:
		if e.err != nil && e.last == nil {
			said = e.o.Path + " can be read now"
		}
		e.last, e.err, e.state, e.cost = r, nil, state, e.ended.Sub(begun)
	default:
		if e.err == nil || reason(e.err) != reason(err) {
			said = err.Error()
		}
		e.errs[reason(err)]++
		e.err = err
		// What was read before still holds while somebody else has the store; of
		// a store that is gone or damaged only what can still be read is told.
		if !errors.Is(err, store.ErrLocked) {
			e.last = r
		}
	}
	e.running = nil
	e.mu.Unlock()
	if said != "" && e.o.Say != nil {
		e.o.Say(said)
	}
	close(done)
}

// Reasons for which a store cannot be read.
const (
	reasonLocked  = "locked"
	reasonMissing = "missing"
	reasonDamaged = "damaged"
	reasonOther   = "other"
)

var reasons = []string{reasonLocked, reasonMissing, reasonDamaged, reasonOther}

func reason(err error) string {
	switch {
	case errors.Is(err, store.ErrLocked):
		return reasonLocked
	case errors.Is(err, fs.ErrNotExist):
		return reasonMissing
	case errors.Is(err, store.ErrCorrupt):
		return reasonDamaged
	}
	return reasonOther
}

// Registry returns a registry that holds e and nothing else.
func (e *Exporter) Registry() *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(e)
	return r
}
