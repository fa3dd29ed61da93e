package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/internal/report"
	"leaktrack/store"
	"leaktrack/trend"
)

func tableOf(uptime time.Duration, types int) *heap.Snapshot {
	s := &heap.Snapshot{Process: heap.Process{Program: "App", PID: 7}, Uptime: uptime, Basis: heap.Live, Complete: true}
	for i := range types {
		s.Types = append(s.Types, heap.Type{Name: fmt.Sprintf("T%06d", i), Count: 1})
	}
	return s
}

func sampleOf(uptime time.Duration) *heap.Snapshot {
	return &heap.Snapshot{Process: heap.Process{Program: "App", PID: 7}, Uptime: uptime, Basis: heap.Live}
}

func TestBacklogIsBounded(t *testing.T) {
	var b backlog
	const n = 3 * maxWaiting
	large := tableOf(0, 20000)
	each := sizeOf(large)
	for i := range n {
		b.add(sampleOf(time.Duration(i) * time.Second))
		if i%20 == 0 {
			s := *large
			s.Uptime = time.Duration(i)*time.Second + 1
			b.add(&s)
		}
	}
	var samples, tables []time.Duration
	size := 0
	for _, s := range b.waiting {
		if s.CountersOnly() {
			samples = append(samples, s.Uptime)
		} else {
			tables, size = append(tables, s.Uptime), size+sizeOf(s)
		}
	}
	if size != b.tables.size || size > maxWaitingBytes || size < maxWaitingBytes/2-each {
		t.Errorf("tables of %d bytes, counted as %d, allowed %d", size, b.tables.size, maxWaitingBytes)
	}
	if len(samples) > maxWaiting || len(samples) < maxWaiting/2 {
		t.Errorf("%d samples wait, allowed %d", len(samples), maxWaiting)
	}
	if all := n + (n+19)/20; b.dropped != all-len(b.waiting) {
		t.Errorf("%d dropped, %d of %d are there", b.dropped, len(b.waiting), all)
	}
	for kind, x := range map[string][]time.Duration{"samples": samples, "tables": tables} {
		if x[0] > time.Second || x[len(x)-1] < (n-n/30)*time.Second || !slices.IsSorted(x) {
			t.Errorf("%s from %v to %v", kind, x[0], x[len(x)-1])
		}
		for i := 1; i < len(x); i++ { // even, but for the last steps
			if gap := x[i] - x[i-1]; gap > (n*time.Second)*3/time.Duration(len(x)) {
				t.Errorf("%s: a gap of %v before %v", kind, gap, x[i])
			}
		}
	}
	for len(b.waiting) > 0 {
		b.next()
	}
	if b.tables.size != 0 || b.samples.size != 0 || b.tables.number != 0 || b.samples.number != 0 {
		t.Errorf("nothing is counted as %+v", b)
	}
}

// A table that is larger than the bound alone is still kept, with the one before.
func TestBacklogKeepsHugeTables(t *testing.T) {
	var b backlog
	huge := tableOf(0, 1_000_000)
	for i := range 5 {
		s := *huge
		s.Uptime = time.Duration(i)
		b.add(&s)
	}
	if len(b.waiting) != 2 || b.waiting[0].Uptime != 0 || b.waiting[1].Uptime != 4 || b.dropped != 3 {
		t.Errorf("%d wait, %d dropped", len(b.waiting), b.dropped)
	}
}

func TestChoiceIsEven(t *testing.T) {
	c := newChoice(heap.Process{})
	const n = 86_400
	for i := range n {
		at := time.Duration(i) * 30 * time.Second
		c.add(store.Key{Uptime: at, Basis: heap.Live}, 5000)
		for k := range 5 {
			c.add(store.Key{Uptime: at + time.Duration(k+1)*5*time.Second, Basis: heap.Live, Counters: true}, 0)
		}
		if i == 100 {
			if keys, all := c.keys(); len(keys) != 101*6 || all != 101*6 {
				t.Errorf("%d of %d keys while there is room for all", len(keys), all)
			}
		}
	}
	keys, all := c.keys()
	if all != 6*n || !slices.IsSortedFunc(keys, func(a, b store.Key) int { return int(a.Uptime - b.Uptime) }) {
		t.Errorf("%d keys of %d", len(keys), all)
	}
	for _, counters := range []bool{false, true} {
		var at []time.Duration
		for _, k := range keys {
			if k.Counters == counters {
				at = append(at, k.Uptime)
			}
		}
		limit := maxTables
		if counters {
			limit = maxSamples
		}
		if len(at) > limit+1 || len(at) < limit/2 {
			t.Errorf("%d chosen, the limit is %d", len(at), limit)
		}
		if at[0] > time.Minute || at[len(at)-1] < (n-1)*30*time.Second {
			t.Errorf("from %v to %v", at[0], at[len(at)-1])
		}
		for i := 2; i < len(at)-1; i++ {
			if (at[i] - at[i-1] - at[1] + at[0]).Abs() > 5*time.Second {
				t.Errorf("steps of %v and %v", at[1]-at[0], at[i]-at[i-1])
			}
		}
	}
	big := newChoice(heap.Process{})
	for i := range 1000 {
		big.add(store.Key{Uptime: time.Duration(i)}, 200_000)
	}
	if keys, _ := big.keys(); len(keys) > minTables+1 {
		t.Errorf("%d tables of 200,000 types chosen", len(keys))
	}
}

// What the watch says of a store that fails: once when it begins, once when
// something is dropped, once when it ends.
func TestWatchSaysAnOutageOnce(t *testing.T) {
	b := newBench()
	b.every, b.sample, b.length = 10*time.Minute, 10*time.Second, 24*time.Hour // 8,640 samples
	begun := b.clock.now
	b.judge = func(heap.Process, []store.Key, []*heap.Snapshot) (report.Named, error) {
		return report.Named{Result: &trend.Result{}}, nil
	}
	put := b.put
	refused := 0
	b.put = func(s *heap.Snapshot) error {
		now := b.clock.now.Sub(begun)
		if now > time.Hour && now < 20*time.Hour {
			refused++
			return fmt.Errorf("storing %v: no space left on device", s.Uptime)
		}
		return put(s)
	}
	if err := b.run(t.Context(), b.find, "App"); err != nil {
		t.Fatal(err)
	}
	said := b.err.String()
	if n := strings.Count(said, "\n"); n != 4 || refused < 6000 {
		t.Errorf("%d lines for %d refusals:\n%s", n, refused, said)
	}
	for _, want := range []string{"no space left on device", "they wait in memory, 4,096 samples and 64.0 MiB of tables at most",
		"every second of the waiting samples was dropped", "takes snapshots again, what waited is stored, "} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing says %q:\n%s", want, said)
		}
	}
	tables, samples := b.walks()
	if tables != 24*6 || samples < 4000 || samples > 6000 || len(b.stored)+b.backlog.dropped > 9000 {
		t.Errorf("%d walks and %d samples stored", tables, samples)
	}
	if !slices.IsSortedFunc(b.stored, func(a, b *heap.Snapshot) int { return int(a.Uptime - b.Uptime) }) {
		t.Error("stored out of order")
	}
}

// With a store that never works the trend comes from memory, and what is lost
// is said last.
func TestWatchJudgesWhatWaits(t *testing.T) {
	b := newBench()
	b.count = 12
	b.put = func(*heap.Snapshot) error { return fmt.Errorf("no space left on device") }
	if err := b.run(t.Context(), b.find, "App"); err != errReported {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(b.out.String(), "App/7: leak") {
		t.Errorf("no trend:\n%s", b.out.String())
	}
	lines := strings.Split(strings.TrimSpace(b.err.String()), "\n")
	if last := lines[len(lines)-1]; last != "leaktrack: 67 snapshots could not be stored and are lost" {
		t.Errorf("said last: %s", last)
	}
}
