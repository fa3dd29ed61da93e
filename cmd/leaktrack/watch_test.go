package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/live"
	"leaktrack/internal/report"
	"leaktrack/store"
	"leaktrack/trend"
)

// fakeClock jumps to the time it is asked to wait for.
type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time { return c.now }

func (c *fakeClock) Sleep(ctx context.Context, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if until.After(c.now) {
		c.now = until
	}
	return nil
}

// fakeTarget is a process whose walks and samples take time on the clock.
type fakeTarget struct {
	clock    *fakeClock
	process  heap.Process
	begun    time.Time
	dies     time.Time     // zero: never
	walk     time.Duration // how long a walk takes
	sample   time.Duration
	estimate live.Estimate
	fail     error
	walked   []time.Duration // when, since it began
	closed   bool
}

func (t *fakeTarget) Process() heap.Process { return t.process }
func (t *fakeTarget) Version() string       { return "9.0.5" }
func (t *fakeTarget) Alive() bool           { return t.dies.IsZero() || t.clock.now.Before(t.dies) }
func (t *fakeTarget) Uptime() time.Duration { return t.clock.now.Sub(t.begun) }
func (t *fakeTarget) Close()                { t.closed = true }

func (t *fakeTarget) Estimate(context.Context) live.Estimate { return t.estimate }

func (t *fakeTarget) snapshot() *heap.Snapshot {
	return &heap.Snapshot{Process: t.process, Uptime: t.Uptime(), Source: heap.SourceLiveEventPipe, Basis: heap.Live,
		Heap: &heap.Totals{LiveBytes: heap.Known(int64(t.Uptime() / time.Second))}}
}

func (t *fakeTarget) Snapshot(context.Context, live.Options) (*heap.Snapshot, live.Stats, error) {
	t.walked = append(t.walked, t.Uptime())
	if t.fail != nil {
		return nil, live.Stats{}, t.fail
	}
	s := t.snapshot()
	s.Complete = true
	s.Types = []heap.Type{{Name: "A", Count: int64(t.Uptime() / time.Second), Bytes: int64(t.Uptime()/time.Second) * 24}}
	t.clock.now = t.clock.now.Add(t.walk)
	return s, live.Stats{Objects: 10, Duration: t.walk, Complete: true}, nil
}

func (t *fakeTarget) Counters(context.Context) (*heap.Snapshot, error) {
	s := t.snapshot()
	t.clock.now = t.clock.now.Add(t.sample)
	return s, nil
}

// bench is a watcher over fakes, with what it stored and printed.
type bench struct {
	*watcher
	clock    *fakeClock
	target   *fakeTarget
	stored   []*heap.Snapshot
	putErr   error
	out, err bytes.Buffer
}

func newBench() *bench {
	b := &bench{clock: &fakeClock{now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}}
	b.target = &fakeTarget{clock: b.clock, process: heap.Process{Program: "App", PID: 7, StartNanos: 1}, begun: b.clock.now,
		walk: 300 * time.Millisecond, sample: 1100 * time.Millisecond}
	c := &console{out: &b.out, err: &b.err}
	b.watcher = &watcher{console: c, clock: b.clock, every: 30 * time.Second, sample: 5 * time.Second, timeout: time.Minute, screen: newScreen(c)}
	b.put = func(s *heap.Snapshot) error {
		if b.putErr != nil {
			return b.putErr
		}
		b.stored = append(b.stored, s)
		return nil
	}
	b.known = func(p heap.Process, each func(store.Key)) error {
		for _, s := range b.stored {
			if s.Process == p {
				each(store.KeyOf(s))
			}
		}
		return nil
	}
	b.judge = func(p heap.Process, keys []store.Key, waiting []*heap.Snapshot) (report.Named, error) {
		chosen := map[store.Key]bool{}
		for _, k := range keys {
			chosen[k] = true
		}
		r, err := trend.Analyze(both(func(yield func(*heap.Snapshot, error) bool) {
			for _, s := range b.stored {
				if s.Process == p && chosen[store.KeyOf(s)] && !yield(s, nil) {
					return
				}
			}
		}, waiting), trend.Options{})
		return report.Named{Ref: p.String(), Result: r}, err
	}
	return b
}

func (b *bench) find(again bool) (target, error) {
	if again {
		return nil, errNoNext
	}
	return b.target, nil
}

func (b *bench) walks() (tables, samples int) {
	for _, s := range b.stored {
		if s.CountersOnly() {
			samples++
		} else {
			tables++
		}
	}
	return tables, samples
}

func TestWatchWalksAtFixedTimes(t *testing.T) {
	b := newBench()
	b.count = 10
	if err := b.run(t.Context(), b.find, "App"); err != nil {
		t.Fatal(err)
	}
	for i, at := range b.target.walked {
		if want := time.Duration(i) * 30 * time.Second; at != want {
			t.Errorf("walk %d at %s, want %s", i, at, want)
		}
	}
	tables, samples := b.walks()
	if tables != 10 || samples != 9*5 {
		t.Errorf("%d walks and %d samples stored", tables, samples)
	}
	if !b.target.closed {
		t.Error("the target was not closed")
	}
	if !strings.Contains(b.out.String(), "App/7: leak") {
		t.Errorf("no trend at the end:\n%s", b.out.String())
	}
}

func TestWatchLeavesOutWhatItMissed(t *testing.T) {
	b := newBench()
	b.count = 3
	b.target.walk = 70 * time.Second // longer than two intervals
	if err := b.run(t.Context(), b.find, "App"); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{0, 90 * time.Second, 180 * time.Second}
	if fmt.Sprint(b.target.walked) != fmt.Sprint(want) {
		t.Errorf("walks at %v, want %v", b.target.walked, want)
	}
}

func TestWatchEndsAfterItsTime(t *testing.T) {
	b := newBench()
	b.length = 95 * time.Second
	begun := b.clock.now
	if err := b.run(t.Context(), b.find, "App"); err != nil {
		t.Fatal(err)
	}
	if took := b.clock.now.Sub(begun); took != 95*time.Second {
		t.Errorf("took %s", took)
	}
	if tables, _ := b.walks(); tables != 4 {
		t.Errorf("%d walks", tables)
	}
}

func TestWatchFollowsTheNextRun(t *testing.T) {
	b := newBench()
	b.count = 6
	b.target.dies = b.clock.now.Add(70 * time.Second)
	second := &fakeTarget{clock: b.clock, process: heap.Process{Program: "App", PID: 8, StartNanos: 2}, walk: time.Second, sample: time.Second}
	find := func(again bool) (target, error) {
		if !again {
			return b.target, nil
		}
		second.begun = b.clock.now
		return second, nil
	}
	if err := b.run(t.Context(), find, "App"); err != nil {
		t.Fatal(err)
	}
	if len(b.target.walked) != 3 || len(second.walked) != 3 {
		t.Errorf("walks of the runs: %v, %v", b.target.walked, second.walked)
	}
	if !strings.Contains(b.err.String(), "App/7 ended after 1 min") || !strings.Contains(b.out.String(), "watching App/8") {
		t.Errorf("out:\n%s\nerr:\n%s", b.out.String(), b.err.String())
	}
}

func TestWatchByPidEndsWithTheProcess(t *testing.T) {
	b := newBench()
	b.target.dies = b.clock.now.Add(70 * time.Second)
	if err := b.run(t.Context(), b.find, "7"); err != nil {
		t.Fatal(err)
	}
	if len(b.target.walked) != 3 {
		t.Errorf("walks %v", b.target.walked)
	}
}

func TestWatchInterruptedPrintsTheTrend(t *testing.T) {
	b := newBench()
	ctx, cancel := context.WithCancel(t.Context())
	put := b.put
	b.put = func(s *heap.Snapshot) error {
		if len(b.target.walked) == 4 {
			cancel()
		}
		return put(s)
	}
	if err := b.run(ctx, b.find, "App"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.out.String(), "GC heap") {
		t.Errorf("no trend:\n%s", b.out.String())
	}
}

func TestWatchSparesALargeProcess(t *testing.T) {
	big := live.Estimate{HeapBytes: 8 << 30, Pause: 9 * time.Second, StreamBytes: 2 << 30}
	tests := []struct {
		why      string
		yes      bool
		maxPause time.Duration
		estimate live.Estimate
		walks    int
		say      string
	}{
		{"small", false, 0, live.Estimate{Pause: time.Millisecond}, 2, ""},
		{"large", false, 0, big, 0, "--yes walks all the same"},
		{"large with --yes", true, 0, big, 2, ""},
		{"memory alone", false, 0, live.Estimate{StreamBytes: 2 << 30}, 0, "more memory"},
		{"over --max-pause", false, time.Second, big, 0, "--max-pause allows 1 s"},
		{"under --max-pause", false, time.Minute, big, 2, ""},
		{"--yes does not overrule --max-pause", true, time.Second, big, 0, "--max-pause"},
	}
	for _, tt := range tests {
		b := newBench()
		b.count, b.yes, b.maxPause, b.target.estimate = 2, tt.yes, tt.maxPause, tt.estimate
		if err := b.run(t.Context(), b.find, "App"); err != nil {
			t.Errorf("%s: %v", tt.why, err)
			continue
		}
		if len(b.target.walked) != tt.walks || !strings.Contains(b.err.String(), tt.say) {
			t.Errorf("%s: %d walks, said %q", tt.why, len(b.target.walked), b.err.String())
		}
		if _, samples := b.walks(); samples == 0 {
			t.Errorf("%s: no sample stored", tt.why)
		}
	}
}

func TestWatchGoesOnWhenAWalkFails(t *testing.T) {
	b := newBench()
	b.count = 3
	b.target.fail = &live.Error{PID: 7, Reason: live.Sessions, Msg: "no further tracing session can be opened", Remedy: "close another tool"}
	if err := b.run(t.Context(), b.find, "App"); err != nil {
		t.Fatal(err)
	}
	if strings.Count(b.err.String(), "no further tracing session can be opened; close another tool") != 3 {
		t.Errorf("said %q", b.err.String())
	}
}

func TestWatchKeepsWhatTheStoreRefuses(t *testing.T) {
	b := newBench()
	b.count = 6
	put := b.put
	b.putErr = errors.New("no space left on device")
	b.put = func(s *heap.Snapshot) error {
		if len(b.target.walked) > 4 {
			b.putErr = nil // somebody has made room
		}
		return put(s)
	}
	if err := b.run(t.Context(), b.find, "App"); err != nil {
		t.Fatal(err)
	}
	if tables, samples := b.walks(); tables != 6 || samples != 25 {
		t.Errorf("%d walks and %d samples stored", tables, samples)
	}
	if strings.Count(b.err.String(), "no space left") != 1 {
		t.Errorf("said %q", b.err.String())
	}
}

func TestWatchSaysWhatItLost(t *testing.T) {
	b := newBench()
	b.count = 2
	b.putErr = errors.New("no space left on device")
	if err := b.run(t.Context(), b.find, "App"); !errors.Is(err, errReported) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(b.err.String(), "7 snapshots could not be stored and are lost") {
		t.Errorf("said %q", b.err.String())
	}
}

// What the store will never take does not hold up what comes after it.
func TestWatchGoesOnBehindAConflict(t *testing.T) {
	b := newBench()
	b.count = 4
	put := b.put
	refused := 0
	b.put = func(s *heap.Snapshot) error {
		if s.Uptime == 0 {
			refused++
			return fmt.Errorf("storing it: %w", store.ErrConflict)
		}
		return put(s)
	}
	if err := b.run(t.Context(), b.find, "App"); err != nil {
		t.Fatal(err)
	}
	if tables, _ := b.walks(); tables != 3 || refused != 1 {
		t.Errorf("%d walks stored, %d refused", tables, refused)
	}
}

func TestWatchTellsOfLeaks(t *testing.T) {
	b := newBench()
	b.count = 12
	told := 0
	b.leaks = func(_ context.Context, r report.Named) (string, error) {
		if r.Diagnosis.Verdict != trend.DiagnosisLeak {
			return "", nil
		}
		told++
		switch told {
		case 1:
			return "", errors.New("connection refused")
		case 2:
			return "leak: A grows", nil
		}
		return "", nil
	}
	if err := b.run(t.Context(), b.find, "App"); err != nil {
		t.Fatal(err)
	}
	said := b.err.String()
	if strings.Count(said, "the mail of the leak was not sent: connection refused") != 1 || strings.Count(said, "mailed: leak: A grows") != 1 {
		t.Errorf("said %q", said)
	}
}

// Without a single snapshot there is no trend to print, and what failed has
// been said already: the store's "not in the store" would only puzzle.
func TestWatchSaysThatNothingWasStored(t *testing.T) {
	b := newBench()
	b.count, b.target.fail = 2, errors.New("no further tracing session")
	b.sample = -1
	b.judge = func(heap.Process, []store.Key, []*heap.Snapshot) (report.Named, error) {
		return report.Named{}, errors.New("not in the store")
	}
	if err := b.run(t.Context(), b.find, "7"); !errors.Is(err, errReported) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(b.err.String(), "no snapshot of App/7 was stored") || strings.Contains(b.err.String(), "not in the store") {
		t.Errorf("said:\n%s", b.err.String())
	}
}

// ^C is echoed behind the table, so the cursor is not in the first column.
func TestScreenClearsFromTheFirstColumn(t *testing.T) {
	var out bytes.Buffer
	s := &screen{console: &console{out: &out}, lines: 3}
	s.clear()
	if got := out.String(); got != "\r\x1b[3A\x1b[J" {
		t.Errorf("printed %q", got)
	}
}

func TestWatchWaitsForTheFirstRun(t *testing.T) {
	refused := errors.New("permission denied")
	tests := []struct {
		why           string
		absent, deaf  int // polls until it runs, and until it answers
		never         error
		want          error
		polls, opened int
	}{
		{"it runs already", 0, 0, nil, nil, 1, 1},
		{"it comes later", 3, 0, nil, nil, 4, 1},
		{"it needs a moment to answer", 2, 3, nil, nil, 6, 4},
		{"it never answers", 0, 1000, nil, refused, readyTries, readyTries},
		{"several have that name", 0, 0, errors.New("2 processes are named App"), nil, 1, 0},
	}
	for _, tt := range tests {
		b := newBench()
		polls, opened := 0, 0
		find := func(context.Context, string) (live.Process, error) {
			polls++
			if tt.never != nil {
				return live.Process{}, tt.never
			}
			if polls <= tt.absent {
				return live.Process{}, fmt.Errorf("%q: %w", "App", errNoProcess)
			}
			return live.Process{PID: 7}, nil
		}
		open := func(bool) (target, error) {
			opened++
			if opened <= tt.deaf {
				return nil, refused
			}
			return b.target, nil
		}
		got, err := b.await(t.Context(), b.clock, "App", find, open)
		want := tt.want
		if tt.never != nil {
			want = tt.never
		}
		if !errors.Is(err, want) || (err == nil) != (got != nil) || polls != tt.polls || opened != tt.opened {
			t.Errorf("%s: %v after %d polls and %d attempts", tt.why, err, polls, opened)
		}
		if said := strings.Count(b.err.String(), "waiting for App"); said != min(tt.absent, 1) {
			t.Errorf("%s: said %q", tt.why, b.err.String())
		}
	}
	// Ctrl-C ends the wait.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := newBench()
	_, err := b.await(ctx, b.clock, "App", func(context.Context, string) (live.Process, error) { return live.Process{}, errNoProcess }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
