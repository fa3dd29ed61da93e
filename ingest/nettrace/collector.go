package nettrace

import (
	"fmt"
	"slices"
)

// Collector aggregates the events of one process into heap walks. Give it
// every event of a stream, then ask for the walks. Its memory depends on the
// number of types and walks, never on the number of objects.
type Collector struct {
	types *Types
	trace Trace
	pid   int // of the process, where the stream holds several

	walks []*walk // in the order in which they start
	nodes *walk   // receives node events
	edges []edgeRun
	gcs   []gc
	stats []heapStats

	suspends, restarts []int64 // timestamps
	committed          []stamped
	heaps              []stamped
	commandLine        string

	events     int64
	malformed  int64
	complaint  string // about the first malformed event
	complainAt int64
	dropped    int64 // records of a kind of which there were too many
}

// stamped is a number with the time it was told.
type stamped struct {
	at int64
	n  int64
}

// walk is one walk over the heap.
type walk struct {
	tally       *tally
	next        uint32 // index the next node event must have
	gaps        int    // events that had another
	nodes       uint64
	edgesTold   uint64 // sum of the nodes' edge counts
	first, last int64  // timestamps
	offset      int64  // of the first node event
	overfull    bool   // more types than maxTypes
}

// edgeRun is the edge events of one walk.
type edgeRun struct {
	next  uint32
	gaps  int
	edges uint64
}

// Limits on what is kept per stream.
const (
	maxWalks   = 4096
	maxEntries = 4 << 20 // types summed over all walks, 24 bytes each
	maxRecords = 1 << 16 // of each small kind of event
)

// NewCollector returns a collector that keeps types and modules in types, so
// that what one stream of a process told serves the next. A nil types starts
// empty.
func NewCollector(types *Types) *Collector {
	if types == nil {
		types = NewTypes()
	}
	return &Collector{types: types}
}

// Add takes one event. The trace is [Decoder.Trace].
func (c *Collector) Add(e *Event, trace Trace) {
	c.events++
	c.trace = trace
	var err error
	switch e.Provider {
	case RuntimeProvider:
		err = c.runtime(e)
	case RundownProvider:
		if e.ID == idModuleDCEnd || e.ID == idModuleDCStart {
			err = c.module(e)
		}
	case selfProvider:
		if e.Name == "ProcessInfo" {
			var line string
			if line, err = parseSelf(e); err == nil && c.commandLine == "" {
				c.commandLine = line
			}
		}
	}
	if err != nil {
		c.complain(e, err)
	}
}

func (c *Collector) complain(e *Event, err error) {
	if c.malformed++; c.malformed == 1 {
		c.complaint = fmt.Sprintf("event %d of %s: %v", e.ID, e.Provider, err)
		c.complainAt = e.Offset
	}
}

func (c *Collector) runtime(e *Event) error {
	switch e.ID {
	case idBulkNode:
		return c.addNodes(e)
	case idBulkEdge:
		return c.addEdges(e)
	case idBulkType:
		return parseTypes(e, c.types.add)
	case idGCStart:
		g, err := parseGCStart(e)
		if err != nil {
			return err
		}
		if known := c.gc(g.count, false); known != nil {
			g.end, g.ended = known.end, known.ended
			*known = g
			return nil
		}
		c.gcs = keep(c, c.gcs, g)
	case idGCEnd:
		if len(e.Payload) < 4 {
			return errShortEvent
		}
		n := uint32(e.Payload[0]) | uint32(e.Payload[1])<<8 | uint32(e.Payload[2])<<16 | uint32(e.Payload[3])<<24
		if known := c.gc(n, true); known != nil {
			known.end, known.ended = e.Timestamp, true
			return nil
		}
		// Another thread may have written the start, which then comes later.
		c.gcs = keep(c, c.gcs, gc{count: n, end: e.Timestamp, ended: true})
	case idHeapStats:
		s, err := parseHeapStats(e)
		if err != nil {
			return err
		}
		c.stats = keep(c, c.stats, s)
	case idSuspendBegin:
		c.suspends = keep(c, c.suspends, e.Timestamp)
	case idRestartEnd:
		c.restarts = keep(c, c.restarts, e.Timestamp)
	case idGlobalHistory:
		n, err := parseGlobalHistory(e)
		if err != nil {
			return err
		}
		c.heaps = keep(c, c.heaps, stamped{e.Timestamp, n})
	case idDynamic:
		if n, ok := parseCommitted(e); ok {
			c.committed = keep(c, c.committed, stamped{e.Timestamp, n})
		}
	case idModuleLoad:
		return c.module(e)
	}
	return nil
}

func (c *Collector) module(e *Event) error {
	m, err := parseModule(e)
	if err != nil {
		return err
	}
	return c.types.AddModule(m)
}

// keep appends v unless there are too many already.
func keep[T any](c *Collector, list []T, v T) []T {
	if len(list) >= maxRecords {
		c.dropped++
		return list
	}
	return append(list, v)
}

// gc returns the newest collection of that number which still lacks its end
// (wantStart) or its start.
func (c *Collector) gc(count uint32, wantStart bool) *gc {
	for i := len(c.gcs) - 1; i >= 0 && i >= len(c.gcs)-64; i-- {
		g := &c.gcs[i]
		if g.count == count && (wantStart && g.started && !g.ended || !wantStart && !g.started) {
			return g
		}
	}
	return nil
}

func (c *Collector) addNodes(e *Event) error {
	p := c.pointer()
	index, count, entries, err := bulkHeader(e.Payload, p+nodeSize)
	if err != nil {
		return err
	}
	w := c.nodes
	// The index counts events from 0 in each walk. If the first event of a
	// walk was lost the index still falls back.
	if w == nil || index < w.next {
		if w, err = c.newWalk(e); err != nil {
			return err
		}
	}
	if index != w.next {
		w.gaps++
	}
	w.next = index + 1
	w.nodes += uint64(count)
	w.first, w.last = min(w.first, e.Timestamp), max(w.last, e.Timestamp)
	edges, ok := w.tally.addNodes(entries, p)
	w.edgesTold += edges
	if !ok {
		w.overfull = true
	}
	return nil
}

func (c *Collector) newWalk(e *Event) (*walk, error) {
	entries := 0
	for _, w := range c.walks {
		entries += len(w.tally.slots)
	}
	if len(c.walks) >= maxWalks || entries > maxEntries {
		c.dropped++
		return nil, fmt.Errorf("more heap walks than can be kept (%d)", len(c.walks))
	}
	c.nodes = &walk{tally: newTally(), first: e.Timestamp, last: e.Timestamp, offset: e.Offset}
	c.walks = append(c.walks, c.nodes)
	return c.nodes, nil
}

func (c *Collector) addEdges(e *Event) error {
	index, count, _, err := bulkHeader(e.Payload, c.pointer()+4)
	if err != nil {
		return err
	}
	if n := len(c.edges); n == 0 || index < c.edges[n-1].next {
		if n >= maxWalks {
			c.dropped++
			return nil
		}
		c.edges = append(c.edges, edgeRun{})
	}
	run := &c.edges[len(c.edges)-1]
	if index != run.next {
		run.gaps++
	}
	run.next = index + 1
	run.edges += uint64(count)
	return nil
}

func (c *Collector) pointer() int {
	if c.trace.PointerSize == 4 {
		return 4
	}
	return 8
}

// Walked reports whether a whole walk has been seen: nodes and the end of the
// collection that made them. A live reader ends its session then.
func (c *Collector) Walked() bool {
	return len(c.walks) > 0 && slices.ContainsFunc(c.walks, func(w *walk) bool {
		g := c.collection(w)
		return g != nil && g.heapWalk() && g.ended
	})
}

// HasNodes reports whether any node event has been seen.
func (c *Collector) HasNodes() bool { return len(c.walks) > 0 }

// Started returns how many walks have begun.
func (c *Collector) Started() int { return len(c.walks) }

// collection returns the collection that a walk belongs to: the one that
// started before its first node and had not ended before its last.
func (c *Collector) collection(w *walk) *gc {
	var open *gc
	for i := range c.gcs {
		g := &c.gcs[i]
		if !g.started || g.start > w.first {
			continue
		}
		if g.ended && g.end >= w.last {
			if g.heapWalk() {
				return g
			}
		} else if !g.ended && g.heapWalk() {
			open = g
		}
	}
	return open
}
