// Package heap is the model: what the managed heap of a .NET process held at
// one moment, whose heap it was, and how far the numbers can be trusted.
//
// Every reader under ingest produces a [Snapshot]; the store keeps it; trend
// compares it with others. Sizes are bytes, counts are objects, both integers;
// uptime is the time since the process started. Unknown, zero and absent are
// three things: an unknown number is the zero [Optional], a type that a
// complete snapshot does not list has zero objects, and a type that an
// incomplete snapshot does not list has no point at all.
//
// # Names
//
// A type's name is what the type is called, spelled as the source spells it. A
// reader whose source leaves out what belongs to the name – a runtime's events
// drop namespace and enclosing types of nested types – puts it back where it can
// tell, and gives the full name as the name; where it cannot, the short name
// stays and a warning says what it can stand for. Stored names are not changed
// afterwards: [CanonicalName] compares spellings, and [Join] short names with the
// full ones of other snapshots.
package heap

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Process is one run of a program. A restart is a new process. It is
// comparable, so it serves as a map key.
type Process struct {
	Host    string // machine or container; "" when unknown
	Program string // file or assembly name; "" when unknown
	PID     int    // 0 when unknown
	// StartNanos is the start time in nanoseconds since 1970 UTC, 0 when unknown.
	StartNanos int64
	// Run tells apart runs whose start time is unknown: 0 is the first run
	// seen, 2 the second, and so on.
	Run int
}

// Start returns the start time, or the zero time when it is unknown.
func (p Process) Start() time.Time {
	if p.StartNanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, p.StartNanos).UTC()
}

// SameProgram reports whether p and q are runs of one program: same host and
// same program name.
func (p Process) SameProgram(q Process) bool {
	return p.Host == q.Host && p.Program == q.Program
}

// String returns program/pid, which is also how a process is named on the
// command line: "CLRHeapLeak/2044". A second run of unknown start is
// "CLRHeapLeak/2044#2", and "(unnamed)" stands for an unknown program.
func (p Process) String() string {
	s := p.Program
	if s == "" {
		s = "(unnamed)"
	}
	if p.PID != 0 {
		s += fmt.Sprintf("/%d", p.PID)
	}
	if p.Run > 1 {
		s += fmt.Sprintf("#%d", p.Run)
	}
	return s
}

// Compare orders processes by host, program, start, pid and run.
func (p Process) Compare(q Process) int {
	return cmp.Or(
		strings.Compare(p.Host, q.Host),
		strings.Compare(p.Program, q.Program),
		cmp.Compare(p.StartNanos, q.StartNanos),
		cmp.Compare(p.PID, q.PID),
		cmp.Compare(p.Run, q.Run),
	)
}

// Source says which kind of input a snapshot was read from.
type Source string

// The sources of snapshots.
const (
	SourceSOS           Source = "sos"            // text of WinDbg/SOS, dotnet-dump, lldb
	SourceGCReport      Source = "gcreport"       // text of dotnet-gcdump report
	SourceGCDump        Source = "gcdump"         // .gcdump graph file
	SourceNettrace      Source = "nettrace"       // recorded EventPipe stream
	SourceCore          Source = "core"           // Linux core file
	SourceLiveEventPipe Source = "live-eventpipe" // running process, heap walk over the diagnostics socket
	SourceLiveMemory    Source = "live-memory"    // running process, heap walk over its memory
	SourceJSON          Source = "json"           // leaktrack's own form, where the original source was not said
)

// Sources lists every source, in the order of the constants.
var Sources = []Source{SourceSOS, SourceGCReport, SourceGCDump, SourceNettrace,
	SourceCore, SourceLiveEventPipe, SourceLiveMemory, SourceJSON}

// Basis says which objects were counted. Snapshots of different basis never
// share a series: dead objects awaiting collection count in one and not in the
// other.
type Basis string

// The two bases.
const (
	// Live counts objects that survived a full collection: an EventPipe walk,
	// a .gcdump, dumpheap -live.
	Live Basis = "live"
	// All counts every object in the heap, dead ones too: dumpheap -stat, a core.
	All Basis = "all"
)

// UptimeUnknown is the uptime of a snapshot whose input did not say it. Such a
// snapshot is not [Snapshot.Valid] and cannot be stored.
const UptimeUnknown time.Duration = -1

// Optional is a non-negative number that may be unknown. The zero value is
// unknown, which is different from a known 0. It is comparable.
type Optional struct {
	n     int64
	known bool
}

// Known returns a known n.
func Known(n int64) Optional { return Optional{n, true} }

// Get returns the number and whether it is known.
func (o Optional) Get() (n int64, known bool) { return o.n, o.known }

// Known reports whether the number is known.
func (o Optional) Known() bool { return o.known }

// Or returns the number, or n when it is unknown.
func (o Optional) Or(n int64) int64 {
	if o.known {
		return o.n
	}
	return n
}

// Tristate is yes, no or unknown. The zero value is unknown.
type Tristate int8

// The three values of a Tristate.
const (
	Unknown Tristate = iota
	No
	Yes
)

// TristateOf returns [Yes] or [No].
func TristateOf(b bool) Tristate {
	if b {
		return Yes
	}
	return No
}

// Type is one row of a heap's statistics: all objects of one type.
type Type struct {
	Name  string // what the type is called, as the source spells it
	Count int64  // objects
	Bytes int64  // their shallow sizes, summed
}

// Totals is what the input said of the heap as a whole.
type Totals struct {
	Heaps  Optional // number of GC heaps; server GC keeps one per processor
	Server Tristate // server GC, as far as the input tells
	// HeapBytes holds the size of each GC heap, in the order of the input; nil
	// when the input does not break the size down.
	HeapBytes []int64
	// LiveBytes is the GC heap size as the runtime reports it: the allocated
	// part of all segments or regions. It holds dead objects and free space
	// too where the basis is [All].
	LiveBytes      Optional
	CommittedBytes Optional // committed by the GC
	FreeBytes      Optional // free space between objects, SOS's "Free" row
	FreeCount      Optional // number of such free blocks
	// Objects and ObjectBytes are the totals that the input printed below its
	// table, Free included where the input includes it. They are what the rows
	// are checked against.
	Objects     Optional
	ObjectBytes Optional
	// Generations holds the bytes of generation 0, 1, 2, the large object heap
	// and the pinned object heap, in that order, as far as known; nil otherwise.
	Generations []int64
	LimitBytes  Optional // the GC's hard limit
}

// ProcessMemory is what the process used outside the view of the GC.
type ProcessMemory struct {
	RSSBytes            Optional // resident set
	PrivateBytes        Optional // memory not shared with other processes
	CommittedBytes      Optional // committed address space
	NativeHeapBytes     Optional // committed by native heaps: !heap -s, !heap 0 0
	NativeHeaps         Optional // how many native heaps those are
	NativeReservedBytes Optional // address space of native heaps: !address -summary
	LimitBytes          Optional // the container's memory limit
}

// Runtime names the runtime of the process as far as the input tells.
type Runtime struct {
	Flavor  string // mscorwks, mscorsvr, clr or coreclr; "" when unknown
	Version string // such as 9.0.5; "" when unknown
}

// Warning is a doubt that travels with a snapshot.
type Warning struct {
	Place string // file:line or file@offset; "" when it concerns the whole input
	Text  string // lower case, no full stop
}

func (w Warning) String() string {
	if w.Place == "" {
		return w.Text
	}
	return w.Place + ": " + w.Text
}

// Snapshot is what a heap held at one uptime.
type Snapshot struct {
	Process Process
	Uptime  time.Duration // [UptimeUnknown] when not known; required before it is stored
	Taken   time.Time     // zero: unknown
	Source  Source
	Basis   Basis
	// Complete says that Types lists every type, so that an absent type has
	// zero objects. Otherwise an absent type is no point.
	Complete bool
	// Estimated says that counts or bytes were scaled up from a sample or
	// computed from rounded figures.
	Estimated bool
	// Partial says that the counts are of a part of each type's objects only,
	// such as one generation: no series is made of them.
	Partial bool
	Runtime Runtime
	Heap    *Totals        // nil: the input did not say
	Memory  *ProcessMemory // nil: the input did not say
	// Types is sorted by name, each name once. Empty in a snapshot that holds
	// memory counters only; then Complete is false.
	Types    []Type
	Warnings []Warning
}

// Warn adds a warning.
func (s *Snapshot) Warn(place, format string, args ...any) {
	s.Warnings = append(s.Warnings, Warning{place, fmt.Sprintf(format, args...)})
}

// ErrOverflow is returned when counts or bytes do not fit 63 bits.
var ErrOverflow = errors.New("sum exceeds 2^63-1")

// SetTypes sorts rows by name, sums rows of the same name (several
// MethodTables, several size buckets) and makes the result s.Types. It takes
// ownership of rows. It fails with [ErrOverflow] when a sum does not fit.
func (s *Snapshot) SetTypes(rows []Type) error {
	slices.SortFunc(rows, func(a, b Type) int { return strings.Compare(a.Name, b.Name) })
	out := rows[:0]
	for _, r := range rows {
		if n := len(out); n > 0 && out[n-1].Name == r.Name {
			last := &out[n-1]
			if r.Count > math.MaxInt64-last.Count || r.Bytes > math.MaxInt64-last.Bytes {
				return fmt.Errorf("type %q: %w", r.Name, ErrOverflow)
			}
			last.Count += r.Count
			last.Bytes += r.Bytes
			continue
		}
		out = append(out, r)
	}
	s.Types = out
	return nil
}

// Type returns the row of the type with this exact name.
func (s *Snapshot) Type(name string) (Type, bool) {
	i, ok := slices.BinarySearchFunc(s.Types, name, func(t Type, n string) int { return strings.Compare(t.Name, n) })
	if !ok {
		return Type{}, false
	}
	return s.Types[i], true
}

// Sum returns the objects and bytes of all listed types, without free space,
// or [ErrOverflow].
func (s *Snapshot) Sum() (count, bytes int64, err error) {
	for _, t := range s.Types {
		if t.Count > math.MaxInt64-count || t.Bytes > math.MaxInt64-bytes {
			return 0, 0, ErrOverflow
		}
		count += t.Count
		bytes += t.Bytes
	}
	return count, bytes, nil
}

// CountersOnly reports whether the snapshot holds no table of types, only
// sizes of the heap or the process.
func (s *Snapshot) CountersOnly() bool { return len(s.Types) == 0 && !s.Complete }

// MaxNameBytes bounds a type, program or host name.
const MaxNameBytes = 64 << 10

// Valid returns nil for a snapshot that can be stored, otherwise what is wrong
// with it: an unknown uptime, an unknown basis or source, a negative number, types out
// of order or named twice, or nothing in it at all.
func (s *Snapshot) Valid() error {
	switch {
	case s.Uptime < 0:
		return errors.New("uptime is unknown")
	case s.Basis != Live && s.Basis != All:
		return fmt.Errorf("basis %q is neither live nor all", s.Basis)
	case !slices.Contains(Sources, s.Source):
		return fmt.Errorf("unknown source %q", s.Source)
	case s.Process.PID < 0 || s.Process.Run < 0:
		return errors.New("negative pid or run")
	case len(s.Process.Program) > MaxNameBytes || len(s.Process.Host) > MaxNameBytes:
		return fmt.Errorf("program or host name longer than %d bytes", MaxNameBytes)
	case s.Complete && s.Partial:
		return errors.New("a snapshot of a part of the heap cannot be complete")
	case s.CountersOnly() && s.Heap == nil && s.Memory == nil:
		return errors.New("no types, no heap totals and no process memory")
	}
	for i, t := range s.Types {
		switch {
		case t.Name == "":
			return fmt.Errorf("type %d has no name", i)
		case len(t.Name) > MaxNameBytes:
			return fmt.Errorf("type name longer than %d bytes: %.60s…", MaxNameBytes, t.Name)
		case t.Count < 0 || t.Bytes < 0:
			return fmt.Errorf("type %q: negative count or bytes", t.Name)
		case i > 0 && s.Types[i-1].Name >= t.Name:
			return fmt.Errorf("types not sorted or not unique at %q", t.Name)
		}
	}
	if _, _, err := s.Sum(); err != nil {
		return err
	}
	var numbers []Optional
	if h := s.Heap; h != nil {
		numbers = append(numbers, h.Heaps, h.LiveBytes, h.CommittedBytes, h.FreeBytes,
			h.FreeCount, h.Objects, h.ObjectBytes, h.LimitBytes)
		for _, n := range slices.Concat(h.HeapBytes, h.Generations) {
			numbers = append(numbers, Known(n))
		}
	}
	if m := s.Memory; m != nil {
		numbers = append(numbers, m.RSSBytes, m.PrivateBytes, m.CommittedBytes,
			m.NativeHeapBytes, m.NativeHeaps, m.NativeReservedBytes, m.LimitBytes)
	}
	for _, o := range numbers {
		if o.n < 0 {
			return errors.New("negative size or count in heap totals or process memory")
		}
	}
	return nil
}

// Equal reports whether s and t say the same. A nil slice equals an empty
// one, and the zone of Taken does not matter.
func (s *Snapshot) Equal(t *Snapshot) bool {
	if s.Process != t.Process || s.Uptime != t.Uptime || !s.Taken.Equal(t.Taken) ||
		s.Source != t.Source || s.Basis != t.Basis || s.Complete != t.Complete ||
		s.Estimated != t.Estimated || s.Partial != t.Partial || s.Runtime != t.Runtime {
		return false
	}
	if (s.Heap == nil) != (t.Heap == nil) || (s.Memory == nil) != (t.Memory == nil) {
		return false
	}
	if s.Heap != nil && !s.Heap.equal(t.Heap) {
		return false
	}
	if s.Memory != nil && *s.Memory != *t.Memory {
		return false
	}
	return slices.Equal(s.Types, t.Types) && slices.Equal(s.Warnings, t.Warnings)
}

func (h *Totals) equal(g *Totals) bool {
	return h.Heaps == g.Heaps && h.Server == g.Server &&
		h.LiveBytes == g.LiveBytes && h.CommittedBytes == g.CommittedBytes &&
		h.FreeBytes == g.FreeBytes && h.FreeCount == g.FreeCount &&
		h.Objects == g.Objects && h.ObjectBytes == g.ObjectBytes && h.LimitBytes == g.LimitBytes &&
		slices.Equal(h.HeapBytes, g.HeapBytes) && slices.Equal(h.Generations, g.Generations)
}
