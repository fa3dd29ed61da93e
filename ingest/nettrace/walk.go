package nettrace

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/cmdline"
	"leaktrack/ingest/internal/fullname"
)

// Walk is one heap walk: the snapshot, and how far it can be trusted. The
// snapshot's Complete is true only when every check below came out well and
// every object's type is known; each failed check is one of its warnings.
type Walk struct {
	Snapshot *heap.Snapshot

	Objects, Bytes   int64
	UnknownObjects   int64 // objects of types that the stream did not describe
	Types            int   // types with at least one object
	ShortNames       int   // types named without namespace or enclosing types
	IndexGaps        int   // node events missing in between, by their index
	EdgesTold, Edges uint64
	// EdgesRead says that the stream holds edges, so that EdgesTold can be
	// checked against them.
	EdgesRead bool

	// GC is the number of the collection that walked, Confirmed that its start
	// and its end are in the stream.
	GC        uint32
	Confirmed bool
	// Pause is how long all managed threads stood still: from suspending them
	// to restarting them where the stream has both, otherwise from the start
	// to the end of the collection. 0 when unknown.
	Pause time.Duration
	// Ticks is the timestamp of the first node event.
	Ticks int64
}

const maxTrace = 10 * 365 * 24 * time.Hour

// Walks returns the heap walks seen so far, with the decoder's verdict on the
// stream. Call it at the end of the stream.
func (c *Collector) Walks(d *Decoder) ([]Walk, error) {
	var out []Walk
	for i, w := range c.walks {
		r, err := c.snapshot(i, w, d)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (c *Collector) snapshot(i int, w *walk, d *Decoder) (Walk, error) {
	r := Walk{IndexGaps: w.gaps, EdgesTold: w.edgesTold, Ticks: w.first}
	s := &heap.Snapshot{
		Uptime: heap.UptimeUnknown, Source: heap.SourceNettrace, Basis: heap.Live, Complete: true,
		Process: heap.Process{PID: c.trace.PID, Program: cmdline.Program(cmdline.Split(c.commandLine))},
		Runtime: heap.Runtime{Flavor: "coreclr"},
		Heap:    &heap.Totals{},
	}
	if c.pid != 0 {
		s.Process.PID = c.pid
	}
	// A timestamp far from the start is damage, and no date that JSON can hold.
	if t := c.trace; !t.Start.IsZero() && t.Span(t.StartTicks, w.first).Abs() < maxTrace {
		s.Taken = t.At(w.first).Round(time.Microsecond)
	}
	r.Snapshot = s
	doubt := func(format string, args ...any) {
		s.Complete = false
		s.Warn("", format, args...)
	}
	if err := c.count(w, &r, doubt); err != nil {
		return r, err
	}
	c.judgeStream(w, d, doubt)
	c.judgeEdges(i, &r, doubt)
	c.collected(w, &r, doubt)
	return r, nil
}

// count turns the tally into the snapshot's rows.
func (c *Collector) count(w *walk, r *Walk, doubt func(string, ...any)) error {
	s := r.Snapshot
	names := c.types.namer()
	var rows []heap.Type
	var unknown int
	var short []int // rows
	var ids []uint64
	assumed := map[string]bool{} // files
	over := w.tally.overflow
	w.tally.all(func(id, count, bytes uint64) {
		if count > math.MaxInt64 || bytes > math.MaxInt64 {
			over = true
			return
		}
		name, known := names.name(id)
		switch {
		case !known:
			unknown++
			r.UnknownObjects += int64(count)
		case names.short[id]:
			short = append(short, len(rows))
		}
		if path, taken := names.module(id); taken {
			assumed[fullname.BaseName(path)] = true
		}
		ids = append(ids, id)
		rows = append(rows, heap.Type{Name: name, Count: int64(count), Bytes: int64(bytes)})
	})
	if over {
		return fmt.Errorf("heap walk at %#x: %w", w.offset, heap.ErrOverflow)
	}
	r.Types = len(rows)
	notes, left := names.complete(rows, short, ids)
	for _, i := range short {
		if _, ok := left[rows[i].Name]; ok {
			r.ShortNames++
		}
	}
	if err := s.SetTypes(rows); err != nil {
		return err
	}
	var err error
	if r.Objects, r.Bytes, err = s.Sum(); err != nil {
		return err
	}
	s.Heap.Objects, s.Heap.ObjectBytes = heap.Known(r.Objects), heap.Known(r.Bytes)
	if unknown > 0 {
		doubt("%d objects are of %d types that the stream does not describe", r.UnknownObjects, unknown)
	}
	if w.overfull {
		doubt("more than %d types; the rest is not counted", maxTypes)
	}
	if uint64(r.Objects) != w.nodes && !w.overfull {
		doubt("%d objects announced, %d counted", w.nodes, r.Objects)
	}
	if len(assumed) > 0 {
		s.Warn("", "names of nested types are read from files that are taken for the builds that ran: %s", heap.Some(slices.Collect(maps.Keys(assumed))))
	}
	for _, note := range notes {
		s.Warn("", "%s", note)
	}
	if r.ShortNames > 0 {
		s.Warn("", "%d of %d types may be named without namespace or enclosing type: %s", r.ShortNames, r.Types, fullname.List(left))
	}
	return nil
}

// complete names the short rows by the table of class libraries, where no
// file of the module told. It returns where names come from, and the names that
// stay short, with what they can stand for.
func (n *typeNamer) complete(rows []heap.Type, short []int, ids []uint64) (notes []string, left map[string][]string) {
	if len(short) == 0 {
		return nil, nil
	}
	types := make([]fullname.Query, len(rows))
	for i := range types {
		name, ok := heap.ParseTypeName(rows[i].Name)
		if !ok {
			name = heap.TypeName{Chain: []heap.NamePart{{Name: rows[i].Name}}}
		}
		module, _ := n.module(ids[i])
		types[i] = fullname.Query{Name: name, Module: module}
	}
	var f *fullname.Finder // files were asked already, by token
	found := f.Resolve(types)
	left = map[string][]string{}
	for _, i := range short {
		a := found.Answers[i]
		if name := a.Name.String(); a.How != fullname.Unresolved && len(name) <= heap.MaxNameBytes {
			rows[i].Name = name
			continue
		}
		left[rows[i].Name] = append(left[rows[i].Name], a.Candidates...)
	}
	return found.Notes, left
}

// judgeStream weighs what the container says.
func (c *Collector) judgeStream(w *walk, d *Decoder, doubt func(string, ...any)) {
	switch n := d.Lost(); {
	case n > 0:
		doubt("the runtime dropped %d events; the counts are a lower bound", n)
	case !d.Numbered():
		doubt("the stream is of an old format without sequence numbers; dropped events cannot be seen")
	}
	if n := d.Disorder(); n > 0 {
		doubt("%d sequence numbers go backwards", n)
	}
	if w.gaps > 0 {
		doubt("the numbering of the walk's events has %d gaps", w.gaps)
	}
	if d.err != nil && d.err != io.EOF {
		doubt("%v", d.err)
	}
	if c.malformed > 0 {
		c.warnAt(doubt, d)
	}
	if c.dropped > 0 {
		doubt("%d events beyond what is kept of a stream", c.dropped)
	}
}

func (c *Collector) warnAt(doubt func(string, ...any), d *Decoder) {
	doubt("%d malformed events passed over, the first at %s@%#x: %s", c.malformed, d.name, c.complainAt, c.complaint)
}

// judgeEdges checks the edges that were read, where there are any, against the
// counts that the nodes told.
func (c *Collector) judgeEdges(i int, r *Walk, doubt func(string, ...any)) {
	if len(c.edges) == 0 {
		return // filtered out, or a heap without references
	}
	if len(c.edges) != len(c.walks) {
		doubt("%d walks over objects, but %d over references", len(c.walks), len(c.edges))
		return
	}
	e := c.edges[i]
	r.EdgesRead, r.Edges = true, e.edges
	if e.gaps > 0 || e.edges != r.EdgesTold {
		doubt("%d references read of %d", e.edges, r.EdgesTold)
	}
}

// collected finds the collection that made the walk and takes the totals it
// left behind.
func (c *Collector) collected(w *walk, r *Walk, doubt func(string, ...any)) {
	s := r.Snapshot
	g := c.collection(w)
	switch {
	case g == nil && len(c.gcs) == 0:
		doubt("no garbage collection in the stream; the walk cannot be confirmed")
	case g == nil:
		doubt("the walk lies in no full blocking collection of the stream")
	case !g.ended:
		doubt("the collection of the walk has no end in the stream")
	}
	if g == nil {
		return
	}
	r.GC, r.Confirmed = g.count, g.ended
	if !g.ended {
		return
	}
	from, to := g.start, g.end
	for _, t := range c.suspends {
		if t <= g.start && (from == g.start || t > from) {
			from = t
		}
	}
	// A suspension for something else, long before, has been restarted since.
	for _, t := range c.restarts {
		if t >= from && t < g.start {
			from = g.start
		}
	}
	for _, t := range c.restarts {
		if t >= g.end && (to == g.end || t < to) {
			to = t
		}
	}
	r.Pause = max(c.trace.Span(from, to), 0)

	next := int64(math.MaxInt64) // start of the next collection
	for i := range c.gcs {
		if t := c.gcs[i].start; c.gcs[i].started && t > g.start {
			next = min(next, t)
		}
	}
	for _, st := range c.stats {
		if st.at >= g.end && st.at <= next {
			s.Heap.Generations = append([]int64(nil), st.generations[:st.known]...)
			var sum int64
			for _, n := range st.generations {
				if sum += n; sum < 0 {
					doubt("generation sizes exceed 63 bits")
					s.Heap.Generations = nil
					return
				}
			}
			s.Heap.LiveBytes = heap.Known(sum)
			break
		}
	}
	within := func(list []stamped) heap.Optional {
		for _, v := range list {
			if v.at >= g.start && v.at <= next {
				return heap.Known(v.n)
			}
		}
		return heap.Optional{}
	}
	s.Heap.CommittedBytes = within(c.committed)
	if s.Heap.Heaps = within(c.heaps); s.Heap.Heaps.Or(0) > 1 {
		s.Heap.Server = heap.Yes // the workstation collector has one heap
	}
}
