package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"leaktrack/heap"
	"leaktrack/store"
	"leaktrack/trend"
)

const (
	// holdMost is how long the store stays open at a time: a writer waits for
	// it. It is looked at between snapshots.
	holdMost = 300 * time.Millisecond
	// letIn is the pause before it is opened again, longer than the time
	// between two attempts of a writer that waits.
	letIn = 30 * time.Millisecond
)

// reading is what one look at the store gave.
type reading struct {
	stored    int // processes that Choose picked
	processes []*judgement
}

// judgement is what is told of one process. It is never changed once made.
type judgement struct {
	Process
	revision uint64
	taken    time.Time // of the last snapshot; zero: unknown
	runtime  string
	server   heap.Tristate
	basis    heap.Basis

	heap, committed, native, rss heap.Optional // bytes at the last snapshot that says them
	rssIsPrivate                 bool
	diagnosis                    trend.DiagnosisVerdict
	leaking, suspected           int // groups, however many are told of
	groups                       []group

	limitBytes            int64     // 0: none is known
	reached               time.Time // when growth reaches it; zero: no forecast
	earliest, latestKnown time.Time
}

// group is types that grow together, told as one.
type group struct {
	name           string // of the type that heads it
	objects        heap.Optional
	objectsRate    *trend.Rate
	bytes          int64 // of all its types
	bytesRate      *trend.Rate
	shape          trend.Verdict
	leaks          bool
	share          float64
	shareAvailable bool
}

func (e *Exporter) open() (*store.DB, error) {
	return store.Open(e.o.Path, store.Options{ReadOnly: true, Wait: e.wait, Warning: func(path, text string) {
		if text != e.doubt && e.o.Say != nil {
			e.o.Say("warning: " + path + ": " + text)
		}
		e.doubt = text
	}})
}

// readStore returns what is stored, judging only what has changed. With an error there
// may be a reading of what could be read all the same.
func (e *Exporter) readStore() (*reading, error) {
	r := &reading{}
	changed, err := e.survey(r)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, j := range changed {
		if err := e.judge(j); errors.Is(err, store.ErrNotFound) {
			// Pruned a moment ago.
			r.processes = slices.DeleteFunc(r.processes, func(k *judgement) bool { return k == j })
			r.stored--
		} else if err != nil {
			errs = append(errs, err)
			r.processes = slices.DeleteFunc(r.processes, func(k *judgement) bool { return k == j })
		}
		if e.ctx.Err() != nil {
			return nil, e.ctx.Err()
		}
	}
	e.judgements = map[string]*judgement{}
	for _, j := range r.processes {
		e.judgements[j.key()] = j
	}
	return r, errors.Join(errs...)
}

func (p *Process) key() string { return p.Process.Host + "\x00" + p.Name }

// survey lists the processes to tell of and returns those that must be judged.
func (e *Exporter) survey(r *reading) (changed []*judgement, err error) {
	db, err := e.open()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	infos, err := db.Processes()
	if err != nil {
		return nil, err
	}
	chosen := e.o.Choose(infos)
	r.stored = len(chosen)
	// Where the start is not known, nor is when it was seen.
	slices.SortStableFunc(chosen, func(a, b Process) int { return cmp.Compare(b.seen(), a.seen()) })
	chosen = chosen[:min(len(chosen), e.o.Processes)]
	slices.SortFunc(chosen, func(a, b Process) int {
		return cmp.Or(a.Process.Compare(b.Process), cmp.Compare(a.Name, b.Name))
	})
	for _, p := range chosen {
		j := &judgement{Process: p}
		if j.revision, err = db.Revision(p.Process); err != nil {
			return nil, err
		}
		if old := e.judgements[p.key()]; old != nil && old.Process == p && old.revision == j.revision {
			r.processes = append(r.processes, old)
			continue
		}
		r.processes = append(r.processes, j)
		changed = append(changed, j)
	}
	return changed, nil
}

// seen is when the process was seen last, in nanoseconds since 1970; 0 unknown.
func (p *Process) seen() int64 {
	if p.Process.StartNanos == 0 {
		return 0
	}
	return p.Process.StartNanos + int64(p.Last)
}

// judge fills in what the snapshots say.
func (e *Exporter) judge(j *judgement) error {
	p := j.Process.Process
	var last *heap.Snapshot
	snapshots := func(yield func(*heap.Snapshot, error) bool) {
		for s, err := range e.snapshots(p) {
			if s != nil {
				last = s
				if s.Runtime.Version != "" {
					j.runtime = s.Runtime.Version
				}
			}
			if !yield(s, err) {
				return
			}
		}
	}
	result, err := trend.Analyze(snapshots, trend.Options{LimitBytes: e.o.LimitBytes})
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	e.mu.Lock()
	e.judged++
	e.mu.Unlock()
	if j.taken = last.Taken; j.taken.IsZero() && p.StartNanos != 0 {
		j.taken = p.Start().Add(last.Uptime)
	}
	j.tell(result, e.o.Top, last.Uptime)
	return nil
}

// snapshots yields those of p from several short openings of the store.
func (e *Exporter) snapshots(p heap.Process) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		from, more := time.Duration(0), true
		for more {
			db, err := e.open()
			if err != nil {
				yield(nil, err)
				return
			}
			until, first := e.now().Add(holdMost), from
			more = false
			for s, err := range db.SnapshotsFrom(p, from) {
				if err == nil && e.ctx.Err() != nil {
					s, err = nil, e.ctx.Err()
				}
				// It is left between two uptimes only, so that none is read twice.
				if err == nil && s.Uptime > from && from > first && e.now().After(until) {
					from, more = s.Uptime, true
					break
				}
				if !yield(s, err) || err != nil {
					db.Close()
					return
				}
				from = s.Uptime
			}
			if err := db.Close(); err != nil {
				yield(nil, err)
				return
			}
			if more {
				time.Sleep(letIn)
			}
		}
	}
}

// tell keeps of a result what is told, which is little: a result of a large
// process fills megabytes.
func (j *judgement) tell(r *trend.Result, top int, last time.Duration) {
	j.server, j.basis, j.diagnosis, j.rssIsPrivate = r.Server, r.Basis, r.Diagnosis.Verdict, r.RSSIsPrivate
	j.heap, j.committed, j.native, j.rss = lastOf(r.Heap), lastOf(r.Committed), lastOf(r.Native), lastOf(r.RSS)
	types := make(map[string]*trend.TypeTrend, len(r.Types))
	for i := range r.Types {
		types[r.Types[i].Name] = &r.Types[i]
	}
	seen := map[string]bool{}
	for i := range r.Groups {
		g := &r.Groups[i]
		if g.Leak {
			j.leaking++
		} else {
			j.suspected++
		}
		head := types[g.Headline]
		// Two names can share a label if somebody takes great pains; a scrape
		// that holds a series twice is worth nothing.
		if name := label(g.Headline); len(j.groups) < top && head != nil && !seen[name] {
			seen[name] = true
			j.groups = append(j.groups, tellGroup(g, head, types, name, r.ExplainedKnown))
		}
	}
	if f := r.Forecast; f != nil {
		j.limitBytes = f.LimitBytes
		if f.At > 0 && !j.taken.IsZero() {
			at := func(uptime time.Duration) time.Time { return j.taken.Add(uptime - last) }
			j.reached, j.earliest = at(f.At), at(f.Low)
			if f.HasHigh {
				j.latestKnown = at(f.High)
			}
		}
	}
}

func tellGroup(g *trend.Group, head *trend.TypeTrend, types map[string]*trend.TypeTrend, name string, shares bool) group {
	out := group{name: name, objects: lastOf(&head.Count), objectsRate: head.Count.Rate, bytesRate: g.BytesRate,
		shape: head.Verdict, leaks: g.Leak, share: g.Share, shareAvailable: shares}
	for _, name := range g.Types {
		if t := types[name]; t != nil {
			out.bytes += t.Bytes.Last().Value
		}
	}
	return out
}

func lastOf(m *trend.Measure) heap.Optional {
	if m == nil || len(m.Points) == 0 {
		return heap.Optional{}
	}
	return heap.Known(m.Last().Value)
}
