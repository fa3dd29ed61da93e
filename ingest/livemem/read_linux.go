package livemem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/boot"
	"leaktrack/ingest/internal/clr"
	"leaktrack/ingest/internal/cmdline"
)

const (
	attempts = 3
	between  = 20 * time.Millisecond
	// longPause is worth a warning: probes of a process commonly wait a second.
	longPause = 500 * time.Millisecond
)

func read(ctx context.Context, pid int, o Options) (*heap.Snapshot, Stats, error) {
	var st Stats
	if pid <= 0 {
		return nil, st, ErrExited
	}
	if pid == os.Getpid() {
		return nil, st, errors.New("a program cannot hold itself")
	}
	mem, err := openMemory(pid)
	if err != nil {
		return nil, st, explain(pid, err)
	}
	defer mem.Close()
	ticks, err := startTicks(pid)
	if err != nil {
		return nil, st, err
	}
	p := &clr.Process{Memory: mem, Machine: machine, Mappings: mem.mappings(), Workers: o.Workers,
		Open: func(path string) (clr.File, error) { return openModule(pid, path) }}
	h, err := clr.Open(p)
	if err != nil {
		return nil, st, err
	}
	defer h.Close()
	var taken time.Time
	var uptime time.Duration
	for st.Attempts = 1; ; st.Attempts++ {
		err = hold(ctx, pid, o.MaxPause, &st, func(ctx context.Context) error {
			if again, err := startTicks(pid); err != nil || again != ticks {
				return ErrExited // another process took the pid
			}
			taken = time.Now()
			if uptime, err = sinceBoot(); err != nil {
				return err
			}
			mem.forget()
			return h.Count(ctx)
		})
		st.Trust = h.Trust
		// A collection was under way, or a thread was held while it made an object:
		// a moment later the heap adds up.
		moving := errors.Is(err, ErrLayout) || err == nil && h.Trust.Invalid
		if !moving || st.Attempts == attempts {
			break
		}
		select {
		case <-ctx.Done():
			return nil, st, context.Cause(ctx)
		case <-time.After(between):
		}
	}
	if err != nil {
		if _, gone := os.Stat(fmt.Sprintf("/proc/%d", pid)); gone != nil {
			err = ErrExited
		}
		return nil, st, explain(pid, err)
	}
	s, err := h.Snapshot(heap.SourceLiveMemory)
	if err != nil {
		return nil, st, err
	}
	st.Trust = h.Trust
	s.Taken, s.Process = taken, process(pid, ticks)
	s.Uptime = max(0, uptime-boot.Ticks(ticks))
	if st.Pause >= longPause {
		s.Warn("", "the process was held for %v", st.Pause.Round(time.Millisecond))
	}
	return s, st, nil
}

// process names the process as the other live method does.
func process(pid int, ticks uint64) heap.Process {
	p := heap.Process{PID: pid}
	p.Host, _ = os.Hostname()
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		p.Program = cmdline.Program(splitZero(b))
	}
	if booted, err := boot.Time(); err == nil {
		p.StartNanos = booted.Add(boot.Ticks(ticks)).UnixNano()
	}
	return p
}

// openModule opens a file as the process sees it.
func openModule(pid int, path string) (clr.File, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fs.ErrNotExist
	}
	return clr.OpenFile(filepath.Join(fmt.Sprintf("/proc/%d/root", pid), path), os.Stat, os.Open)
}
