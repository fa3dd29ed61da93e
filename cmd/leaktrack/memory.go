package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/ingest/live"
	"leaktrack/ingest/livemem"
	"leaktrack/internal/unit"
)

const (
	methodEventPipe = "eventpipe"
	methodMemory    = "memory"
)

// methodHelp explains the choice in three lines.
const methodHelp = `--method eventpipe asks the runtime: only objects in use, after a forced full collection.
--method memory reads the memory of the process from outside while it is held: no collection,
no growth of the process, dead objects counted too; needs the right to trace it.`

func methodFlag() cli.Flag {
	return &cli.StringFlag{Name: "method", Value: methodEventPipe, Usage: "`HOW` a running process is read: eventpipe or memory"}
}

func timeoutFlag() cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Value: 2 * time.Minute, Usage: "give up a walk after this `TIME`"}
}

func methodOf(ctx *cli.Context) (string, error) {
	switch m := ctx.String("method"); m {
	case methodEventPipe, methodMemory:
		return m, nil
	default:
		return "", usagef("--method %q: it is eventpipe or memory", m)
	}
}

// memoryTarget is a process whose heap is walked in its held memory. Cheap
// samples come over the diagnostics socket where there is one.
type memoryTarget struct {
	pid     int
	life    *live.Life
	named   bool // process is what a walk says
	process heap.Process
	version string
	samples *live.Target // nil: the process answers no diagnostics
	trust   []string     // the account of the last walk: its sum, then the details
}

// openMemory finds the process without asking its runtime for more than its
// name.
func openMemory(ctx context.Context, pid int) (*memoryTarget, error) {
	life, err := live.LifeOf(pid)
	if err != nil {
		return nil, err
	}
	t := &memoryTarget{pid: pid, life: life}
	if s, err := live.Open(ctx, pid); err == nil {
		t.samples, t.process, t.version = s, s.Process(), s.Version()
	} else if errors.Is(err, context.Canceled) {
		return nil, err
	} else {
		t.process = heap.Process{Program: strconv.Itoa(pid), PID: pid, StartNanos: life.Start()}
		// It answers nothing, but the system knows its name.
		if p, err := findProcess(ctx, t.process.Program); err == nil && p.Program != "" {
			t.process.Program, t.version = p.Program, p.Version
		}
	}
	return t, nil
}

func (t *memoryTarget) Process() heap.Process { return t.process }
func (t *memoryTarget) Version() string       { return t.version }
func (t *memoryTarget) Uptime() time.Duration { return t.life.Uptime() }

func (t *memoryTarget) Alive() bool { return t.life.Alive() }

func (t *memoryTarget) Close() {
	if t.samples != nil {
		t.samples.Close()
	}
}

// Estimate: holding a process costs it milliseconds, whatever it says itself.
func (t *memoryTarget) Estimate(context.Context) live.Estimate { return live.Estimate{} }

func (t *memoryTarget) Snapshot(ctx context.Context, o live.Options) (*heap.Snapshot, live.Stats, error) {
	begun := time.Now()
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("gave up after %s (--timeout)", unit.Duration(o.Timeout)))
		defer cancel()
	}
	s, stats, err := livemem.Read(ctx, t.pid, livemem.Options{Workers: runtime.GOMAXPROCS(0), MaxPause: o.MaxPause})
	if err != nil {
		return nil, live.Stats{}, err
	}
	t.trust = append([]string{stats.Trust.String()}, stats.Trust.Details()...)
	// Both methods name the process alike, so that its snapshots lie together; and
	// each walk as the first did, also when the clock was set meanwhile.
	if t.samples == nil && !t.named {
		t.process, t.named = s.Process, true
	}
	s.Process = t.process
	objects, bytes, err := s.Sum()
	if err != nil {
		return nil, live.Stats{}, err
	}
	return s, live.Stats{Pause: stats.Pause, Duration: time.Since(begun), Bytes: bytes, Objects: objects, Attempts: stats.Attempts, Complete: s.Complete}, nil
}

func (t *memoryTarget) Counters(ctx context.Context) (*heap.Snapshot, error) {
	if t.samples == nil {
		return nil, errNoSamples
	}
	return t.samples.Counters(ctx)
}

var errNoSamples = errors.New("the process answers no diagnostics, so only walks are stored")
