package main

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"leaktrack/heap"
	"leaktrack/ingest/live"
	"leaktrack/internal/unit"
	"leaktrack/store"
)

// stamp is a time as time.Now gives it: what the wall clock shows and, apart from
// it, a reading of the monotonic clock. Package time makes no such values but of its
// own clocks, so this writes one in the layout of time.Time (time.go); where that
// changes, TestStamp fails.
func stamp(wall time.Time, monotonic time.Duration) time.Time {
	const (
		hasMonotonic = 1 << 63
		nsecShift    = 30
	)
	seconds := wall.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	var t time.Time
	*(*[2]uint64)(unsafe.Pointer(&t)) = [2]uint64{hasMonotonic | uint64(seconds)<<nsecShift | uint64(wall.Nanosecond()), uint64(monotonic)}
	return t
}

func TestStamp(t *testing.T) {
	wall := time.Date(2026, 11, 25, 12, 0, 0, 7, time.UTC)
	a, b := stamp(wall, time.Hour), stamp(wall.Add(-3*time.Hour), time.Hour+time.Second)
	if !a.Round(0).Equal(wall) || b.Sub(a) != time.Second || !a.Before(b) || b.Round(0).Sub(a.Round(0)) != -3*time.Hour {
		t.Errorf("%v and %v", a, b)
	}
	if c := a.Add(time.Minute); c.Sub(b) != time.Minute-time.Second || !c.Round(0).Equal(wall.Add(time.Minute)) {
		t.Errorf("a minute later: %v", c)
	}
}

// steppedClock is a machine whose wall clock is set while its other clocks go on.
type steppedClock struct {
	passed time.Duration // since the test began
	wall   time.Time     // when it began, as the clock shows it now
	steps  []clockStep   // to come
	blunt  bool          // its times have no monotonic reading
}

type clockStep struct{ at, by time.Duration }

func (c *steppedClock) Now() time.Time {
	shown := c.wall.Add(c.passed)
	if c.blunt {
		return shown
	}
	return stamp(shown, time.Hour+c.passed) // the machine has run for an hour
}

// pass lets time go by, with the steps in it.
func (c *steppedClock) pass(d time.Duration) {
	c.passed += max(d, 0)
	for len(c.steps) > 0 && c.steps[0].at <= c.passed {
		c.wall = c.wall.Add(c.steps[0].by)
		c.steps = c.steps[1:]
	}
}

func (c *steppedClock) Sleep(ctx context.Context, until time.Time) error {
	c.pass(until.Sub(c.Now()))
	return ctx.Err()
}

// steppedTarget leaks an object a second. Its uptime goes by the clock since boot, as
// that of every process does.
type steppedTarget struct {
	*fakeTarget
	clock  *steppedClock
	begins time.Duration // by that clock
}

func (t *steppedTarget) Alive() bool           { return true }
func (t *steppedTarget) Uptime() time.Duration { return t.clock.passed - t.begins }

func (t *steppedTarget) read(took time.Duration, table bool) *heap.Snapshot {
	s := &heap.Snapshot{Process: t.process, Uptime: t.Uptime(), Taken: t.clock.Now().UTC().Round(time.Millisecond), Source: heap.SourceLiveEventPipe,
		Basis: heap.Live, Heap: &heap.Totals{LiveBytes: heap.Known(1e6 + 24*int64(t.Uptime()/time.Second))}}
	if table {
		s.Complete = true
		s.Types = []heap.Type{{Name: "A", Count: int64(t.Uptime() / time.Second), Bytes: 24 * int64(t.Uptime()/time.Second)}, {Name: "B", Count: 100, Bytes: 1e6}}
	}
	t.clock.pass(took)
	return s
}

func (t *steppedTarget) Snapshot(context.Context, live.Options) (*heap.Snapshot, live.Stats, error) {
	s := t.read(t.walk, true)
	return s, live.Stats{Objects: 100, Duration: t.walk, Complete: true}, nil
}

func (t *steppedTarget) Counters(context.Context) (*heap.Snapshot, error) {
	return t.read(t.sample, false), nil
}

// watchSteps watches a process for ten minutes while the wall clock is set, and returns
// what is in the store afterwards and what was printed.
func watchSteps(t *testing.T, blunt bool, steps ...clockStep) (snaps []*heap.Snapshot, out string) {
	t.Helper()
	b := newBench()
	clock := &steppedClock{wall: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), steps: steps, blunt: blunt}
	b.watcher.clock = clock
	b.length = 10 * time.Minute
	const age = 5 * time.Minute
	s := &steppedTarget{fakeTarget: b.target, clock: clock, begins: -age}
	f := &watchedFile{path: filepath.Join(memoryDir(t), "steps.db"), doubt: b.doubt}
	b.put, b.known, b.judge = f.put, f.keys, f.judge
	if err := b.run(t.Context(), func(again bool) (target, error) { return s, nil }, "App"); err != nil {
		t.Fatal(err)
	}
	if b.err.Len() > 0 && !blunt {
		t.Errorf("said:\n%s", b.err.String())
	}
	if clock.passed != b.length && !blunt {
		t.Errorf("the watch took %v", clock.passed)
	}
	db, err := store.Open(f.path, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for x, err := range db.Snapshots(s.process) {
		if err != nil {
			t.Fatal(err)
		}
		snaps = append(snaps, x)
	}
	return snaps, b.out.String()
}

var walkTime = regexp.MustCompile(`(?m)^([0-9d:. ]+[0-9])  100 objects`)

// Somebody sets the wall clock, by hours, back and forth, between walks, within one
// and while the watch sleeps: each walk and sample is made when it is due, none is lost,
// stored twice or refused, uptimes go on, and the trend is that of a calm machine. The time
// at which a snapshot was taken is what the clock showed.
func TestWatchThroughClockSteps(t *testing.T) {
	calm, calmOut := watchSteps(t, false)
	trendOf := func(out string) string { return out[max(strings.LastIndex(out, "App/7: leak"), 0):] }
	at := func(seconds float64, by time.Duration) clockStep {
		return clockStep{time.Duration(seconds * float64(time.Second)), by}
	}
	for _, tt := range []struct {
		why   string
		steps []clockStep
	}{
		{"forward", []clockStep{at(95, 3*time.Hour)}},
		{"backward", []clockStep{at(95, -3*time.Hour)}},
		{"within a walk", []clockStep{at(120.1, 5*time.Hour), at(300.2, -9*time.Hour)}},
		{"within a sample", []clockStep{at(125.5, -2*time.Hour), at(215.5, 2*time.Hour)}},
		{"to before the watch and the process began", []clockStep{at(301, -48*time.Hour)}},
		{"by less than a walk takes", []clockStep{at(119.9, -200*time.Millisecond), at(240.1, 200*time.Millisecond)}},
		{"again and again", []clockStep{at(0, time.Hour), at(31, -time.Hour), at(60, -24*time.Hour), at(61, 25*time.Hour), at(300, 7*time.Minute),
			at(310, -8*time.Minute), at(320, 30*time.Second), at(400, -30*time.Second), at(500, -365*24*time.Hour), at(599, time.Hour)}},
	} {
		snaps, out := watchSteps(t, false, slices.Clone(tt.steps)...)
		if len(snaps) != len(calm) || len(calm) != 20+100 {
			t.Errorf("%s: %d snapshots, on a calm machine %d", tt.why, len(snaps), len(calm))
			continue
		}
		for i, s := range snaps {
			want := *calm[i]
			for _, x := range tt.steps {
				if want.Uptime-5*time.Minute >= x.at {
					want.Taken = want.Taken.Add(x.by)
				}
			}
			if !s.Equal(&want) {
				t.Errorf("%s: snapshot %d: uptime %v, taken %v; want %v, %v", tt.why, i, s.Uptime, s.Taken, want.Uptime, want.Taken)
				break
			}
		}
		var last time.Duration
		lines := walkTime.FindAllStringSubmatch(out, -1)
		for _, m := range lines {
			now, err := unit.ParseUptime(m[1])
			if err != nil || now <= last {
				t.Errorf("%s: printed %q after %v, %v", tt.why, m[1], last, err)
			}
			last = now
		}
		if len(lines) != 20 || last != 5*time.Minute+19*30*time.Second {
			t.Errorf("%s: %d lines of walks, the last of %v", tt.why, len(lines), last)
		}
		if trendOf(out) != trendOf(calmOut) || !strings.Contains(out, "A grows by 600 objects / 10 min") {
			t.Errorf("%s: the trend at the end:\n%s", tt.why, trendOf(out))
		}
	}
	// By the wall clock alone the watch would stand still for as long as the clock was
	// set back: the test sees the difference.
	if snaps, _ := watchSteps(t, true, at(95, -3*time.Hour)); len(snaps) == len(calm) && snaps[len(snaps)-1].Uptime == calm[len(calm)-1].Uptime {
		t.Error("a watch by the wall clock went through a step unharmed")
	}
}
