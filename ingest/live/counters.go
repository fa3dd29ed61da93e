package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/nettrace"
)

// Counters takes one cheap sample, without a heap walk, a collection or a
// pause: the size of the GC heap and its generations as the runtime counts
// them, what the collector has committed (.NET 6 and later), resident and private memory.
// Types is empty and Complete false. It takes a little more than a second,
// because the runtime tells its counters once per interval. A process without
// event source support gives its memory only.
//
// LiveBytes is the sum of the generations after the last collection that the
// process made by itself, the same measure as a walk gives. gc-heap-size, which
// is smaller by the free space and counts garbage, stands in for it only before the
// first collection. The session allocates a little in the process.
func (t *Target) Counters(ctx context.Context) (*heap.Snapshot, error) {
	for s, err := range t.Sample(ctx, time.Second) {
		return s, err
	}
	return nil, fmt.Errorf("process %d: %w", t.f.pid, context.Cause(ctx))
}

// Counters opens a process and takes one cheap sample, see [Target.Counters].
func Counters(ctx context.Context, pid int) (*heap.Snapshot, error) {
	t, err := Open(ctx, pid)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return t.Counters(ctx)
}

// Sample gives a cheap sample per interval (whole seconds, at least one) until
// ctx is done or the loop ends; the first comes after one interval. It keeps
// one session open, which costs the process less than one per sample. It may
// run beside [Target.Snapshot]. An error is the last pair.
func (t *Target) Sample(ctx context.Context, every time.Duration) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		f := t.opened // a walk may use t.f meanwhile
		if !f.refresh() {
			yield(nil, noProcess(f.pid))
			return
		}
		if f.stopped() {
			yield(nil, f.silence(ctx, os.ErrDeadlineExceeded, ""))
			return
		}
		if f.suspended() {
			yield(nil, t.suspendedError())
			return
		}
		seconds := max(int(every/time.Second), 1)
		p := provider{name: "System.Runtime", keywords: math.MaxUint64, level: levelInfo,
			arguments: fmt.Sprintf("EventCounterIntervalSec=%d", seconds)}
		s, _, err := f.open(ctx, []command{cmdCollectTracing2}, collectRequest{bufferMB: 10, providers: []provider{p}}, 2*answerTime)
		if err != nil {
			yield(nil, err)
			return
		}
		s.deadline = time.Now().Add(100 * 365 * 24 * time.Hour)
		gone := true // its stream makes no sense, or has stopped
		defer func() {
			if gone && ctx.Err() == nil {
				s.abandon()
				return
			}
			s.close(graceTime)
		}()
		var values counters
		quit := false
		last := time.Now() // sample
		emit := func() bool {
			ok := yield(values.snapshot(t, &f), nil)
			values, last = counters{}, time.Now()
			return ok
		}
		s.tick = func(idle time.Duration) error {
			if s.got > 0 {
				s.quiet = 0 // nothing comes between two intervals
			}
			switch {
			case values.n > 0:
				// A tick's counters come in one go; then it is silent.
				if !emit() {
					quit = true
					return io.EOF
				}
			case idle > time.Duration(seconds+2)*time.Second && ctx.Err() == nil:
				return os.ErrDeadlineExceeded
			}
			return nil
		}
		d := nettrace.NewDecoder(s, fmt.Sprintf("process %d", f.pid))
		for {
			e, err := d.Next()
			switch {
			case quit:
				gone = false
				return
			case err == nil && time.Since(last) > time.Duration(seconds+10)*time.Second && ctx.Err() == nil:
				// Never silent, so that there was no tick.
				yield(nil, &Error{PID: f.pid, Reason: Protocol, Msg: "its event stream has no end and no counters"})
				return
			case err != nil && ctx.Err() != nil:
				return
			case isTimeout(err) && d.Offset() > 0 && f.refresh() && !f.stopped():
				// No counters: trimmed, or built without event sources.
				gone = false
				if !emit() {
					return
				}
				yield(nil, &Error{PID: f.pid, Reason: Unsupported, Msg: "its runtime sends no counters",
					Remedy: "only memory can be sampled; build it with EventSourceSupport=true"})
				return
			case err == io.EOF || errors.Is(err, nettrace.ErrTruncated) || isTimeout(err):
				yield(nil, f.silence(ctx, err, "its counters fell silent"))
				return
			case err != nil:
				yield(nil, &Error{PID: f.pid, Reason: Protocol, Msg: "its event stream makes no sense", Err: err})
				return
			}
			s.event(true)
			if c, ok := nettrace.ParseCounter(e); ok && e.Provider == "System.Runtime" {
				values.add(c)
			}
		}
	}
}

// counters are the values of one tick.
type counters struct {
	n               int
	size, committed heap.Optional
	generations     [5]heap.Optional
}

func (v *counters) add(c nettrace.Counter) {
	if c.Sum || c.Value < 0 || c.Value > 1<<52 {
		return
	}
	v.n++
	bytes := func(unit float64) heap.Optional { return heap.Known(int64(math.Round(c.Value * unit))) }
	switch c.Name {
	case "gc-heap-size":
		v.size = bytes(1e6)
	case "gc-committed":
		v.committed = bytes(1e6)
	case "gen-0-size":
		v.generations[0] = bytes(1)
	case "gen-1-size":
		v.generations[1] = bytes(1)
	case "gen-2-size":
		v.generations[2] = bytes(1)
	case "loh-size":
		v.generations[3] = bytes(1)
	case "poh-size":
		v.generations[4] = bytes(1)
	}
}

func (v *counters) snapshot(t *Target, f *facts) *heap.Snapshot {
	s := &heap.Snapshot{
		Process: t.proc, Uptime: f.uptime().Round(time.Millisecond), Taken: time.Now().UTC().Round(time.Millisecond),
		Source: heap.SourceLiveEventPipe, Basis: heap.Live,
		Runtime: heap.Runtime{Flavor: "coreclr", Version: t.version},
		Memory:  f.memory(),
	}
	if v.size.Known() {
		s.Heap = &heap.Totals{CommittedBytes: v.committed}
		var sum int64
		for _, g := range v.generations {
			n, ok := g.Get()
			if !ok {
				break
			}
			s.Heap.Generations = append(s.Heap.Generations, n)
			sum += n
		}
		s.Heap.LiveBytes = heap.Known(sum)
		if sum == 0 { // no collection yet
			s.Heap = &heap.Totals{LiveBytes: v.size}
			s.Estimated = t.legacy // .NET Core 3 tells whole megabytes
		}
	} else {
		s.Warn("", "the runtime tells no counters")
	}
	return s
}
