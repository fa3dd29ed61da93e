package gcdump

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/internal/gcname"
	"leaktrack/ingest/syntax"
)

// nodeCap is where the graph builder that dotnet-gcdump and PerfView share
// stops reading a recorded heap walk, silently: at so many nodes, those that
// are only referred to included.
const nodeCap = 10_000_000

// .NET counts time in steps of 100 ns since the year 1.
const (
	ticksPerSecond = 10_000_000
	unixEpoch      = 62135596800 // seconds from the year 1 to 1970
)

// sharedRuntime finds the version in the path of a runtime's own module.
var sharedRuntime = regexp.MustCompile(`[/\\]Microsoft\.NETCore\.App[/\\]([0-9]+\.[0-9]+\.[0-9][^/\\]{0,40})[/\\]`)

// snapshot makes the snapshot. cut is the error that ended the reading behind
// the histogram, nil for a whole file.
func (d *dump) snapshot(cut error) (*heap.Snapshot, error) {
	s := &heap.Snapshot{
		Uptime: heap.UptimeUnknown, Source: heap.SourceGCDump, Basis: heap.Live,
		Complete: true, Estimated: d.sampled(), Heap: &heap.Totals{},
	}
	doubt := func(format string, args ...any) {
		s.Complete = false
		s.Warn("", format, args...)
	}
	if err := d.count(s, doubt); err != nil {
		return nil, err
	}
	d.judge(doubt)
	if d.javaScript {
		s.Warn("", "the graph holds a JavaScript heap too; its objects are counted like others")
	}
	d.identify(s)
	if d.segmentBytes > 0 {
		s.Heap.LiveBytes = heap.Known(d.segmentBytes)
	}
	if d.commit > 0 || d.workingSet > 0 {
		s.Memory = &heap.ProcessMemory{}
		if d.commit > 0 {
			s.Memory.CommittedBytes = heap.Known(d.commit)
		}
		if d.workingSet > 0 {
			s.Memory.RSSBytes = heap.Known(d.workingSet)
		}
	}
	if cut != nil {
		s.Complete = false
		var e *syntax.Error
		if errors.As(cut, &e) {
			s.Warn(e.Place(), "the histogram is whole, but behind it: %s", e.Msg)
		} else {
			s.Warn("", "the histogram is whole, but behind it: %v", cut)
		}
	}
	return s, nil
}

// count turns the types into rows.
func (d *dump) count(s *heap.Snapshot, doubt func(string, ...any)) error {
	var table gcname.Table
	var free, wrapped, nameless int64
	for i := range d.g.types {
		t := &d.g.types[i]
		if t.synthetic || t.count == 0 {
			continue
		}
		name := gcname.Canonical(t.name)
		switch {
		case name == "" || len(name) > heap.MaxNameBytes:
			name = fmt.Sprintf("Type(%d)", i)
			nameless++
		case d.isFree(name, t):
			s.Heap.FreeBytes = heap.Known(s.Heap.FreeBytes.Or(0) + t.bytes)
			free += t.count
			s.Heap.FreeCount = heap.Known(free)
			continue
		case strings.HasPrefix(t.name, "[RCW "):
			wrapped += t.count
		}
		table.Add(heap.Type{Name: name, Count: t.count, Bytes: t.bytes}, d.g.path(t.module))
	}
	if err := table.Fill(s, d.names); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	objects, bytes, err := s.Sum()
	if err != nil || objects > math.MaxInt64-free || bytes > math.MaxInt64-s.Heap.FreeBytes.Or(0) {
		return fmt.Errorf("%s: %w", d.name, heap.ErrOverflow)
	}
	s.Heap.Objects = heap.Known(objects + free)
	s.Heap.ObjectBytes = heap.Known(bytes + s.Heap.FreeBytes.Or(0))
	if nameless > 0 {
		doubt("%d types have no name or one that is too long", nameless)
	}
	if wrapped > 0 {
		s.Warn("", "%d wrappers of COM objects may hold up to 1000 bytes each for memory outside of the heap", wrapped)
	}
	return nil
}

// isFree reports whether a type stands for free space. Only dumps of a process
// or a core hold it; a program's own class Free is in a module of its own.
func (d *dump) isFree(name string, t *typeEntry) bool {
	if name != "Free" || strings.HasPrefix(d.tool, "dotnet-") {
		return false
	}
	if t.module == 0 {
		return true
	}
	base := strings.ToLower(fullname.BaseName(d.g.path(t.module)))
	return base == "" || strings.HasPrefix(base, "mscorlib") || strings.HasPrefix(base, "system.private.corelib")
}

// judge weighs what the graph says of itself.
func (d *dump) judge(doubt func(string, ...any)) {
	g := &d.g
	switch capped := g.nodes >= nodeCap && (strings.HasPrefix(d.tool, "dotnet-") || g.undefined > 1); {
	case capped:
		doubt("%d nodes, of which %d are not described: the tool stops at %d nodes, so the counts are a lower bound", g.nodes, g.undefined, nodeCap)
	case g.sparse():
		doubt("%d of %d nodes are referred to but not described", g.undefined, g.nodes)
	}
	if d.sampled() {
		doubt("the graph is a sample of the heap; counts and bytes are scaled, on average by %.4g and %.4g", d.countAverage, d.bytesAverage)
	}
	if d.version > knownVersion {
		doubt("version %d of the format is newer than the %d that is known", d.version, knownVersion)
	}
	if d.partialAt > 0 {
		doubt("the tool says that it did not save all objects (%s@%#x)", d.name, d.partialAt)
	}
}

// identify says whose heap it was and when.
func (d *dump) identify(s *heap.Snapshot) {
	s.Process.Host = limit(d.machine)
	s.Process.Program = limit(trimExe(d.process))
	s.Process.PID = int(max(d.pid, 0))
	for path := range d.g.modules {
		if m := sharedRuntime.FindStringSubmatch(path); m != nil && s.Runtime.Version <= m[1] {
			s.Runtime = heap.Runtime{Flavor: "coreclr", Version: m[1]}
		}
	}
	taken, pid, named := gcname.FromFile(d.name, d.modified)
	if s.Process.PID == 0 && named {
		s.Process.PID = pid
		s.Warn("", "pid %d is taken from the file name", pid)
	}
	switch t, ok := wallClock(d.ticks); {
	case ok:
		s.Taken = t
		s.Warn("", "the time is the local time of the machine that took the dump, read in the time zone of this one")
	case named:
		s.Taken = taken
		s.Warn("", "the time is taken from the file name and read in the time zone of this machine")
	case d.ticks != 0:
		s.Warn("", "a time of %d ticks is out of range", d.ticks)
	}
}

// wallClock turns .NET ticks of a local time into the same wall clock here.
func wallClock(ticks int64) (time.Time, bool) {
	t := time.Unix(ticks/ticksPerSecond-unixEpoch, ticks%ticksPerSecond*100).UTC()
	if ticks <= 0 || t.Year() < 2000 || t.Year() > 2261 {
		return time.Time{}, false
	}
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.Local), true
}

func trimExe(s string) string {
	if n := len(s) - len(".exe"); n > 0 && strings.EqualFold(s[n:], ".exe") {
		return s[:n]
	}
	return s
}

// limit drops a name that no machine or program has.
func limit(s string) string {
	if len(s) > heap.MaxNameBytes {
		return ""
	}
	return s
}
