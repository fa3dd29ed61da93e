package ingest

import (
	"fmt"
	"io"
	"io/fs"
	"iter"
	"runtime"
	"slices"
	"strings"

	"leaktrack/heap"
	"leaktrack/ingest/elfcore"
)

// file is what a core must be read from: its heap is walked back and forth.
type file interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// coreFile returns in as a file when it is a core that can be walked.
func coreFile(in io.Reader) (f file, size int64, ok bool) {
	f, ok = in.(file)
	if !ok {
		return nil, 0, false
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, false
	}
	head := make([]byte, 64)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, 0, false
	}
	return f, info.Size(), elfcore.Sniff(head[:n])
}

// readCore reads one core. Its uptime may follow from other cores of the same
// process; then the snapshot is held back until [Reader.Finish].
func (rd *Reader) readCore(f file, size int64, name string) (*heap.Snapshot, error) {
	s, trust, err := elfcore.Read(f, size, name, elfcore.Options{Root: rd.Root, Workers: runtime.GOMAXPROCS(0)})
	if err != nil {
		return nil, err // it names the input
	}
	if rd.Notice != nil {
		rd.Notice(fmt.Sprintf("%s: %s", name, trust.String()))
		if rd.Verbose {
			for _, line := range trust.Details() {
				rd.Notice(fmt.Sprintf("%s:   %s", name, line))
			}
		}
	}
	if s.Uptime < 0 && (rd.Identity.Uptime >= 0 || !rd.Identity.Started.IsZero() || rd.FileTime != nil) {
		// What the core does not tell is told by the caller.
		s.Warnings = slices.DeleteFunc(s.Warnings, func(w heap.Warning) bool { return strings.HasPrefix(w.Text, "uptime is unknown") })
	}
	if s.Uptime < 0 && rd.Identity.Uptime < 0 && rd.Identity.Started.IsZero() && rd.FileTime == nil {
		rd.held = append(rd.held, held{name, elfcore.Core{Snapshot: s, Trust: trust}})
		return nil, nil
	}
	if err := rd.complete(s, name, s.Process.StartNanos != 0); err != nil {
		return nil, err
	}
	// A core whose uptime is known is the clock of its series.
	clock := *s
	clock.Types = nil
	rd.clocks = append(rd.clocks, elfcore.Core{Snapshot: &clock, Trust: trust})
	return s, nil
}

// held is a core that waits for its uptime.
type held struct {
	name string
	core elfcore.Core
}

// Finish yields the snapshots that were held back until every input was read,
// with the name of the input of each.
func (rd *Reader) Finish() iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		series := rd.clocks
		for _, h := range rd.held {
			series = append(series, h.core)
		}
		elfcore.Series(series)
		for i, h := range rd.held {
			c := series[len(rd.clocks)+i]
			s := c.Snapshot
			if s.Uptime >= 0 && rd.Notice != nil {
				rd.Notice(fmt.Sprintf("%s: uptime %s", h.name, c.Trust.Uptime))
			}
			err := rd.complete(s, h.name, s.Process.StartNanos != 0)
			if err != nil {
				s = nil
			}
			if !yield(s, err) {
				return
			}
		}
		rd.held, rd.clocks = nil, nil
	}
}
