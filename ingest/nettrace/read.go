package nettrace

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"leaktrack/heap"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/syntax"
)

// ErrNoWalk is returned for a stream that was read and holds no heap walk.
var ErrNoWalk = errors.New("no heap walk in it; record with the GCHeapDump keywords (0x1980001) of " + RuntimeProvider)

// Result is everything that was read out of a stream.
type Result struct {
	Trace       Trace
	Walks       []Walk // of all processes, in the order of the stream
	Events      int64
	Bytes       int64
	Lost        uint64 // events that the runtime dropped, by the sequence numbers
	Malformed   int64  // events that were passed over
	Truncated   bool   // the stream ends before its end mark
	CommandLine string // of the process, as far as the stream tells; "" unknown
	// Err is why reading stopped before the end mark; nil after a clean end.
	Err error
}

// Scan reads a whole stream and returns what it holds. An error is returned
// only when the input is no EventPipe stream ([syntax.ErrNotMine]) or nothing
// of it could be read; a stream that breaks later gives the walks up to there,
// and Result.Err. A nil open leaves names of nested types as short as the
// stream has them.
func Scan(r io.Reader, name string, open OpenImage) (*Result, error) {
	return scanNaming(r, name, func(t *Types) {
		if open != nil {
			t.Resolve(open)
		}
	})
}

func scanNaming(r io.Reader, name string, resolve func(*Types)) (*Result, error) {
	d := NewDecoder(r, name)
	collectors := map[int]*Collector{}
	var order []*Collector
	for {
		e, err := d.Next()
		if err != nil {
			break
		}
		c := collectors[e.PID]
		if c == nil {
			if len(order) >= maxProcesses {
				d.err = d.fail(e.Offset, "events of more than %d processes", maxProcesses)
				break
			}
			c = NewCollector(nil)
			collectors[e.PID] = c
			order = append(order, c)
		}
		c.Add(e, d.trace)
	}
	_, err := d.Next() // the error that ended it, which is sticky
	if errors.Is(err, syntax.ErrNotMine) || d.trace.Format == 0 {
		return nil, err
	}
	res := &Result{Trace: d.trace, Events: d.count, Bytes: d.off, Lost: d.Lost()}
	if err != io.EOF {
		res.Err, res.Truncated = err, errors.Is(err, ErrTruncated)
	}
	for pid, c := range collectors {
		c.pid = pid
	}
	for _, c := range order {
		res.Malformed += c.malformed
		if res.CommandLine == "" {
			res.CommandLine = c.commandLine
		}
		resolve(c.types)
		walks, err := c.Walks(d)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		res.Walks = append(res.Walks, walks...)
	}
	return res, nil
}

// maxProcesses bounds the processes of a system-wide stream.
const maxProcesses = 1024

// Read returns the heap walks of a .nettrace stream, one snapshot each, with
// basis live, and at last the error of a stream that is malformed. A stream
// that was only cut short gives its walks as incomplete snapshots with a
// warning. The name is for messages only.
//
// The stream does not say when the process started: Uptime is
// [heap.UptimeUnknown] and Process.StartNanos is 0; Taken is the time of the
// walk. Names of nested types are completed from module files on this machine
// where the stream names the modules and the files are the same builds.
func Read(r io.Reader, name string) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		f := fullname.NewFinder("")
		defer f.Close()
		ReadWith(f, r, name)(yield)
	}
}

// ReadWith is [Read] with a finder of modules.
func ReadWith(f *fullname.Finder, r io.Reader, name string) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		res, err := scanNaming(r, name, func(t *Types) {
			t.resolve(func(m Module, use func(io.ReaderAt, int64) error) error {
				return f.Each(m.Path, func(_ string, image io.ReaderAt, size int64) error { return use(image, size) })
			})
		})
		if err != nil {
			yield(nil, err)
			return
		}
		for _, w := range res.Walks {
			if !yield(w.Snapshot, nil) {
				return
			}
		}
		switch {
		case len(res.Walks) == 0 && res.Err != nil:
			yield(nil, res.Err)
		case len(res.Walks) == 0:
			yield(nil, fmt.Errorf("%s: %w", name, ErrNoWalk))
		case res.Err != nil && !res.Truncated:
			yield(nil, res.Err)
		}
	}
}

// OpenLocal opens a module's file on this machine. A path from a stream is not
// trusted: only a regular file is opened, and nothing on a network share.
func OpenLocal(m Module) (interface {
	io.ReaderAt
	io.Closer
}, int64, error) {
	return fullname.OpenLocal(m.Path)
}
