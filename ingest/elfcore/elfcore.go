// Package elfcore reads Linux core files of .NET processes: in comes an ELF
// core as createdump (types full and heap), gdb's gcore or the kernel write it,
// out comes one snapshot with the objects and bytes per type, and the accounting
// that says how far to trust it. Neither an SDK nor a debugger nor the runtime's
// own debugger support is needed.
//
// The file format is the System V ABI's ELF with the notes of Linux (core(5));
// how the heap is found in it is described in package clr. Supported are
// .NET Core 3.1, .NET 9, 10 and 11, 64-bit little-endian; others are refused
// with their version. Dumps of type mini or triage hold no heap and are refused.
//
// A core does not tell when it was made. The uptime is known when the core was
// made on this machine since it booted; otherwise it is heap.UptimeUnknown, and
// differences within a series of cores of one process come out of [Series].
//
// Counts include dead objects that were not yet collected, so the basis is
// heap.All.
package elfcore

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/boot"
	"leaktrack/ingest/internal/clr"
)

// Errors that callers decide by; see also syntax.ErrNotMine.
var (
	// ErrNoRuntime: a core of a process without a .NET runtime.
	ErrNoRuntime = clr.ErrNoRuntime
	// ErrVersion: the core of a runtime that is not supported.
	ErrVersion = clr.ErrVersion
	// ErrNoHeap: the dump was made without the GC heap.
	ErrNoHeap = clr.ErrNoHeap
	// ErrLayout: what was read does not add up.
	ErrLayout = clr.ErrLayout
)

// Options change how a core is read. The zero value is good.
type Options struct {
	// Root is the folder that holds the module files of the dumped machine,
	// such as the root of its container; "" is this machine's root.
	Root string
	// Workers is the number of goroutines that walk the heap; 0: one per
	// processor, at most four.
	Workers int
	// Modified is when the core was made. Zero: the input's Stat method is
	// asked, which *os.File has. A copy that did not keep the time of the file
	// (cp without -p) makes the process look older than it was.
	Modified time.Time
	// Boot is when the machine of the core booted. Zero: this machine's boot
	// time is taken, if Root is "" and the core's modules are files of this
	// machine.
	Boot time.Time
}

// Trust is the accounting of a reading: String gives a short line, Details the
// sums and checks.
type Trust struct {
	clr.Trust
	// StartTicks is when the process started, in hundredths of a second since
	// its machine booted; 0 when unknown. Cores of equal pid and StartTicks are
	// of one process.
	StartTicks uint64
	Threads    int
	// Uptime says how the uptime was found, or why it is unknown.
	Uptime string
}

// String returns one line for people. It tells by what the uptime was found,
// because the time of a file can be another than that of the dump.
func (t *Trust) String() string {
	s := t.Trust.String()
	if t.Uptime != "" && !strings.HasPrefix(t.Uptime, uptimeUnknown) {
		s += "; uptime " + t.Uptime
	}
	return s
}

// Details returns the accounting, a line for each sum or check.
func (t *Trust) Details() []string {
	return append(t.Trust.Details(), fmt.Sprintf("threads: %d", t.Threads), "uptime: "+t.Uptime)
}

// Read reads a core of size bytes. name is for messages. Errors wrap
// syntax.ErrNotMine when r is no core at all, are a *syntax.Error for a
// malformed file, or wrap one of the errors of this package. The trust is
// meaningful with an error too, as far as the reading went.
func Read(r io.ReaderAt, size int64, name string, o Options) (*heap.Snapshot, Trust, error) {
	return ReadContext(context.Background(), r, size, name, o)
}

// ReadContext is [Read] that ends early, with the context's cause, when ctx
// does.
func ReadContext(ctx context.Context, r io.ReaderAt, size int64, name string, o Options) (*heap.Snapshot, Trust, error) {
	var t Trust
	c, err := openCore(r, size, name)
	if err != nil {
		return nil, t, err
	}
	t.Threads = c.threads
	c.readHint()
	p := &clr.Process{Memory: c, Machine: c.machine, Mappings: c.mappings, Runtime: c.runtime, Workers: o.Workers,
		Open: func(path string) (clr.File, error) { return openModule(o.Root, path) }}
	h, err := clr.Open(p)
	if err == nil {
		defer h.Close()
		err = h.Count(ctx)
	}
	if err != nil {
		if c.short > 0 {
			err = fmt.Errorf("%w; the file is cut short by %d bytes", err, c.short)
		}
		return nil, t, fmt.Errorf("%s: %w", name, err)
	}
	s, err := h.Snapshot(heap.SourceCore)
	if err != nil {
		return nil, t, fmt.Errorf("%s: %w", name, err)
	}
	t.Trust = h.Trust
	s.Process = heap.Process{Program: c.program(), PID: c.pid}
	if c.short > 0 {
		s.Warn(name, "the file is cut short by %d bytes", c.short)
	}
	if t.StartTicks, err = c.startTicks(h.Ranges); err != nil {
		return nil, t, fmt.Errorf("%s: %w", name, err)
	}
	if o.Modified.IsZero() {
		if f, ok := r.(interface{ Stat() (fs.FileInfo, error) }); ok {
			if fi, err := f.Stat(); err == nil {
				o.Modified = fi.ModTime()
			}
		}
	}
	t.setUptime(s, o, sameMachine(o.Root, h.Module.Path, c))
	return s, t, nil
}

// setUptime computes the uptime from the start, the boot and the time of the
// dump.
func (t *Trust) setUptime(s *heap.Snapshot, o Options, here bool) {
	s.Taken = o.Modified
	unknown := func(why string) {
		t.Uptime = uptimeUnknown + why
		s.Warn("", uptimeWarning+": %s", why)
	}
	how := "the core's file time and the given boot time"
	if t.StartTicks == 0 {
		unknown("the core does not tell when the process started")
		return
	}
	if o.Modified.IsZero() {
		unknown("the time of the dump is not known")
		return
	}
	if o.Boot.IsZero() {
		if !here {
			unknown("the core seems to be of another machine")
			return
		}
		booted, err := boot.Time()
		if err != nil {
			unknown(err.Error())
			return
		}
		o.Boot, how = booted, "the core's file time and this machine's boot time"
		s.Process.Host, _ = os.Hostname()
	}
	start := o.Boot.Add(boot.Ticks(t.StartTicks))
	uptime := o.Modified.Sub(start)
	if uptime < 0 || !o.Modified.After(o.Boot) {
		s.Process.Host = ""
		unknown("the core is from before this machine booted, or of another machine")
		return
	}
	s.Uptime = uptime
	s.Process.StartNanos = start.UnixNano()
	t.Uptime = fmt.Sprintf("%v, from %s", uptime.Round(time.Second), how)
}

// openModule opens a module file below root. Only regular files: a core can
// name anything.
func openModule(root, path string) (clr.File, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fs.ErrNotExist
	}
	path = filepath.Clean(path)
	if root == "" {
		return clr.OpenFile(path, os.Stat, os.Open)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return clr.OpenFile(path[1:], r.Stat, r.Open)
}

// sameMachine reports whether the runtime that ran is a file of this machine.
// It is evidence, not proof: two machines can hold the same installation.
func sameMachine(root, module string, c *core) bool {
	if root != "" || module == "" {
		return false
	}
	f, err := openModule("", module)
	if err != nil {
		return false
	}
	defer f.Close()
	var end uint64 // of the module's pieces in the file
	for _, m := range c.mappings {
		if m.Path == module {
			end = max(end, m.Offset+1)
		}
	}
	return end != 0 && uint64(f.Size()) >= end
}
