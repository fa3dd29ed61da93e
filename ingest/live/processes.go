package live

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"leaktrack/heap"
)

// Process is a .NET process on this machine.
type Process struct {
	PID       int
	NSPID     int    // its pid as it sees itself; differs from PID in a container
	Program   string // as its user knows it
	Command   string // its command line; "" when it may not be seen
	User      string // name, or number where the system knows no name
	Version   string // of the runtime; "" unknown
	Start     time.Time
	Uptime    time.Duration
	RSSBytes  heap.Optional
	Server    heap.Tristate // server GC
	Heaps     heap.Optional // GC heaps, where the threads tell
	Container bool          // in a pid or mount namespace of its own
	// Readable says that its heap can be walked. Otherwise Reason says why
	// not, Why in words, and Remedy what to do about it.
	Readable    bool
	Reason      Reason
	Why, Remedy string
}

// Processes lists every .NET process on this machine, readable or not, by pid.
// It asks each runtime who it is, with a time limit, and opens no session.
func Processes(ctx context.Context) ([]Process, error) {
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var out []Process
	var wg sync.WaitGroup
	work := make(chan int)
	for range 8 {
		wg.Go(func() {
			for pid := range work {
				if p, ok := describe(ctx, pid); ok {
					mu.Lock()
					out = append(out, p)
					mu.Unlock()
				}
			}
		})
	}
	for _, pid := range pids {
		if ctx.Err() != nil {
			break
		}
		work <- pid
	}
	close(work)
	wg.Wait()
	slices.SortFunc(out, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	return out, ctx.Err()
}

// describe reports false for what is no .NET process.
func describe(ctx context.Context, pid int) (Process, bool) {
	f, err := inspect(pid)
	if err != nil {
		return Process{}, false
	}
	ev := f.look()
	if !ev.dotnet && !f.hasSocket() {
		return Process{}, false
	}
	p := Process{PID: pid, NSPID: f.inner, Version: ev.version, User: f.user(), Uptime: f.uptime(),
		Server: ev.gc, Container: f.namespaced, Command: strings.Join(f.args, " ")}
	if f.startNanos != 0 {
		p.Start = time.Unix(0, f.startNanos).UTC()
	}
	if ev.heaps > 0 {
		p.Heaps = heap.Known(int64(ev.heaps))
	}
	if m := f.memory(); m != nil {
		p.RSSBytes = m.RSSBytes
	}
	t, err := f.target(ctx)
	if err == nil && f.suspended() {
		err = t.suspendedError()
	}
	if t != nil {
		defer t.Close()
		p.Program, p.Version = t.program(), cmp.Or(t.version, p.Version)
	} else {
		p.Program = (&Target{f: f}).program()
	}
	if err != nil {
		if ReasonOf(err) == NoProcess || !ev.dotnet && ReasonOf(err) == NotDotnet {
			return Process{}, false
		}
		p.Reason, p.Remedy, p.Why = ReasonOf(err), RemedyOf(err), err.Error()
		var e *Error
		if errors.As(err, &e) {
			p.Why = e.Msg
		}
		return p, true
	}
	p.Readable = true
	return p, true
}

// Match returns the processes that name means: a pid, or a program's name as a
// whole. Several may match.
func Match(list []Process, name string) []Process {
	pid, err := strconv.Atoi(name)
	return slices.DeleteFunc(slices.Clone(list), func(p Process) bool {
		return !(p.Program == name || err == nil && p.PID == pid)
	})
}

// Start returns when a process started, in nanoseconds since 1970 UTC. On
// Linux it is the system's boot time, which the kernel tells in whole seconds,
// plus the start time of the process in clock ticks, so that every read of one
// process gives the identical number. The boot time is derived from the clock:
// if somebody sets the clock while the process runs, the number changes by as
// much, and the process looks like another run. Corrections that only slow or
// speed the clock (NTP) do not change it.
func Start(pid int) (int64, error) {
	f, err := inspect(pid)
	if err != nil {
		return 0, err
	}
	return f.startNanos, nil
}

// Life is one run of a process for as long as it lasts. Its start is told once:
// on Linux neither Alive nor Uptime changes when somebody sets the clock.
type Life struct {
	f     *facts
	start int64
}

// LifeOf finds a process without asking its runtime.
func LifeOf(pid int) (*Life, error) {
	f, err := inspect(pid)
	if err != nil {
		return nil, err
	}
	return &Life{f, f.startNanos}, nil
}

// Start is that of [Start] at the time of [LifeOf].
func (l *Life) Start() int64 { return l.start }

// Alive reports whether it still runs.
func (l *Life) Alive() bool { return l.f.refresh() }

// Uptime returns the time since it started.
func (l *Life) Uptime() time.Duration { return l.f.uptime() }
