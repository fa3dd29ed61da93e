package nettrace

import (
	"encoding/binary"
	"fmt"

	"leaktrack/ingest/internal/wire"
)

// The providers whose events are read.
const (
	RuntimeProvider = "Microsoft-Windows-DotNETRuntime"
	RundownProvider = "Microsoft-Windows-DotNETRuntimeRundown"
	// selfProvider tells every session about the process it runs in.
	selfProvider  = "Microsoft-DotNETCore-EventPipe"
	countersEvent = "EventCounters"
)

// Ids of the runtime provider's events.
const (
	idGCStart       = 1
	idGCEnd         = 2
	idRestartEnd    = 3
	idHeapStats     = 4
	idSuspendBegin  = 9
	idBulkType      = 15
	idBulkNode      = 18
	idBulkEdge      = 19
	idDynamic       = 39 // GC events whose payload is versioned by name
	idModuleLoad    = 152
	idGlobalHistory = 205
)

// Ids of the rundown provider's events.
const (
	idModuleDCStart  = 153
	idModuleDCEnd    = 154
	idRuntimeDCStart = 187
)

// WalkEvents are the ids of the runtime provider's events that a [Collector]
// uses, for a session that can filter by id. Edges and roots are not among
// them.
var WalkEvents = []uint32{idGCStart, idGCEnd, idRestartEnd, idHeapStats, idSuspendBegin,
	idBulkType, idBulkNode, idDynamic, idGlobalHistory}

// OfHeap reports whether an event carries objects of a heap walk, or their
// references.
func (e *Event) OfHeap() bool {
	return e.Provider == RuntimeProvider && (e.ID == idBulkNode || e.ID == idBulkEdge)
}

// gc is one collection as the stream tells of it.
type gc struct {
	count              uint32
	depth, reason, typ uint32
	start, end         int64 // timestamps
	started, ended     bool
}

// heapWalk reports whether it is of the kind that walks the heap: induced,
// blocking, of generation 2.
func (g *gc) heapWalk() bool { return g.started && g.depth == 2 && g.reason == 1 && g.typ == 0 }

func parseGCStart(e *Event) (g gc, err error) {
	c := wire.New(e.Payload)
	g = gc{count: c.U32(), start: e.Timestamp, started: true}
	if e.Version == 0 {
		g.reason = c.U32()
		return g, c.Err()
	}
	g.depth, g.reason, g.typ = c.U32(), c.U32(), c.U32()
	return g, c.Err()
}

// heapStats is GCHeapStats: what the generations hold after a collection.
type heapStats struct {
	at          int64    // timestamp
	generations [5]int64 // 0, 1, 2, large, pinned
	known       int      // how many of them the event tells: 4 or 5
}

func parseHeapStats(e *Event) (s heapStats, err error) {
	c := wire.New(e.Payload)
	s = heapStats{at: e.Timestamp, known: 4}
	size := func(i int) {
		n := c.U64()
		c.Skip(8) // promoted
		if n > 1<<62 {
			c.Fail(fmt.Errorf("generation %d of %d bytes", i, n))
		}
		s.generations[i] = int64(n)
	}
	for i := range 4 {
		size(i)
	}
	c.Skip(16 + 12)
	// Read by size and not by version: the pinned heap stands behind the
	// instance id where it is told.
	if c.Len() >= 2+16 {
		c.Skip(2)
		size(4)
		s.known = 5
	}
	return s, c.Err()
}

// parseGlobalHistory returns the number of GC heaps (GCGlobalHeapHistory).
func parseGlobalHistory(e *Event) (heaps int64, err error) {
	c := wire.New(e.Payload)
	c.Skip(8) // desired size of the youngest generation
	n := c.U32()
	if c.Err() == nil && (n == 0 || n > 1<<16) {
		c.Fail(fmt.Errorf("%d heaps", n))
	}
	return int64(n), c.Err()
}

// parseCommitted reads the GC event "CommittedUsage": what the collector has
// committed, in use, free and for bookkeeping. It reports false for any other
// dynamic event.
func parseCommitted(e *Event) (bytes int64, ok bool) {
	c := wire.New(e.Payload)
	name := c.UTF16Z()
	size := c.U32()
	if c.Err() != nil || name != "CommittedUsage" || size < 2+5*8 {
		return 0, false
	}
	c = wire.New(c.Bytes(int(size)))
	c.Skip(2) // version
	var sum uint64
	for range 5 {
		n := c.U64()
		if n > 1<<58 {
			return 0, false
		}
		sum += n
	}
	return int64(sum), c.Err() == nil
}

// nodeSize is the size of one entry of GCBulkNode after the address: object
// size, type id, edge count.
const nodeSize = 8 + 8 + 8

// bulkHeader reads the head that node and edge events share and checks that
// count entries of the given size follow.
func bulkHeader(payload []byte, entry int) (index, count uint32, entries []byte, err error) {
	if len(payload) < 10 {
		return 0, 0, nil, wire.ErrShort
	}
	index = binary.LittleEndian.Uint32(payload)
	count = binary.LittleEndian.Uint32(payload[4:])
	entries = payload[10:]
	if uint64(count)*uint64(entry) > uint64(len(entries)) {
		return 0, 0, nil, fmt.Errorf("%w: %d entries of %d bytes in %d", wire.ErrShort, count, entry, len(entries))
	}
	return index, count, entries[:int(count)*entry], nil
}

// Module is a module as the stream names it.
type Module struct {
	ID     uint64
	Path   string // of the IL image, as the process sees it
	Native string // of the native image; "" where there is none
	// PDB and Age identify the build of the IL image; zero when unknown.
	PDB [16]byte
	Age uint32
}

func parseModule(e *Event) (m Module, err error) {
	c := wire.New(e.Payload)
	m.ID = c.U64()
	c.Skip(8 + 4 + 4) // assembly, flags, reserved
	m.Path = c.UTF16Z()
	m.Native = c.UTF16Z()
	if c.Err() == nil && e.Version >= 2 && c.Len() >= 2+20 {
		c.Skip(2)
		copy(m.PDB[:], c.Bytes(16))
		m.Age = c.U32()
	}
	return m, c.Err()
}

// parseSelf returns the command line of the process (ProcessInfo).
func parseSelf(e *Event) (commandLine string, err error) {
	c := wire.New(e.Payload)
	commandLine = c.UTF16Z()
	return commandLine, c.Err()
}

// Flags of a type record.
const (
	typeFlagArray  = 0x8
	typeFlagNative = 0x10   // Native AOT: no name, an image base and an RVA
	typeFlagRank   = 0x3f00 // rank of a multi-dimensional array, newer runtimes
)

const elementMultiDim = 0x14 // CorElementType of a multi-dimensional array

// typeRecord is one entry of BulkType.
type typeRecord struct {
	name    string
	module  uint64
	token   uint32
	flags   uint32
	element uint8
	params  []uint64
	full    string // base name from the module's metadata, once looked up
	looked  bool   // the look-up was done, with or without result
}

// parseTypes hands every type of a BulkType event to f.
func parseTypes(e *Event, f func(id uint64, t typeRecord) error) error {
	c := wire.New(e.Payload)
	n := c.U32()
	c.Skip(2)
	for ; n > 0 && c.Err() == nil; n-- {
		id := c.U64()
		t := typeRecord{module: c.U64(), token: c.U32(), flags: c.U32(), element: c.U8(), name: c.UTF16Z()}
		params := c.U32()
		raw := c.Bytes(int(min(uint64(params)*8, 1<<31-1)))
		if c.Err() != nil {
			break
		}
		for i := 0; i < len(raw); i += 8 {
			t.params = append(t.params, binary.LittleEndian.Uint64(raw[i:]))
		}
		if err := f(id, t); err != nil {
			return err
		}
	}
	return c.Err()
}

var errShortEvent = fmt.Errorf("event: %w", wire.ErrShort)
