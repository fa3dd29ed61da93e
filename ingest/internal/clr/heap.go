package clr

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"leaktrack/heap"
)

// Heap is the heap of a process as it was walked. Its types have no names
// until [Heap.Name] was called.
type Heap struct {
	Version   Version
	Module    Mapping // the runtime's module; End is the end of its extent
	Server    bool
	Regions   bool
	HeapBytes []int64 // of each GC heap
	// Generations holds the bytes of generation 0, 1 and 2, of the large and
	// of the pinned object heap.
	Generations []int64
	Committed   int64
	Types       []Type // by method table
	Trust       Trust
	// Ranges are the addresses of objects, sorted: [2]uint64{from, to}.
	Ranges [][2]uint64

	r     *reader
	m     *module
	d     *descriptor // nil: a table is used
	l     *layout
	types *types
	// block is the address of the GC's variables, origin how it was found; 0
	// when the contract GC is used.
	block  uint64
	origin string
}

// Open finds the runtime in p and the layout of its structures, which stay the
// same as long as the process runs. The caller calls [Heap.Close]. Errors wrap
// one of the errors of this package or an error of p.Memory.
func Open(p *Process) (*Heap, error) {
	r := newReader(p)
	h := &Heap{r: r}
	if err := h.open(); err != nil {
		r.close()
		return nil, h.cause(err)
	}
	return h, nil
}

func (h *Heap) open() error {
	m, err := h.r.findRuntime()
	if err != nil {
		return err
	}
	h.m = m
	h.Module = Mapping{Start: m.base, End: m.end, Path: m.path}
	if h.Version = m.version(); h.Version != (Version{}) && !h.Version.supported() {
		return fmt.Errorf("%w %s; the heaps of .NET Core 3.1, .NET 9, 10 and 11 can be read", ErrVersion, h.Version)
	}
	if h.d, err = h.chooseLayout(m); err != nil {
		return err
	}
	if h.d == nil || !h.d.hasGC() {
		// The search may take long; a live process is not held yet.
		h.block, h.origin, err = m.findBlock()
	}
	return err
}

// cause prefers the error of the input, which makes what follows absent.
func (h *Heap) cause(err error) error {
	if io := h.r.ioErr(); io != nil {
		return io
	}
	return err
}

// Count counts the objects of the heap as it is now. It may be called again
// after an error, or when a live process went on. Errors are those of [Open],
// or the context's cause.
func (h *Heap) Count(ctx context.Context) error {
	h.r.flush()
	if err := h.count(ctx); err != nil {
		return h.cause(err)
	}
	return h.r.ioErr()
}

func (h *Heap) count(ctx context.Context) error {
	g, err := h.readGC()
	if err != nil {
		return err
	}
	segs, err := h.r.segments(g)
	if err != nil {
		return err
	}
	h.types = newTypes(h.r, h.l)
	list, sums, err := walk(ctx, h.r, h.types, segs, h.r.proc.Workers)
	if err != nil {
		return err
	}
	if h.types.full {
		return layoutError("more than %d types", maxTypes)
	}
	h.Types, h.Server, h.Regions = list, g.server, g.regions
	h.describe(g, segs)
	h.Trust = Trust{Accounting: sums, Version: h.Version.String(), Layout: h.l.origin, GC: g.origin,
		Mode:  pick(g.server, "server", "workstation") + " GC with " + pick(g.regions, "regions", "segments"),
		Heaps: len(g.heaps), Types: len(h.Types), Invalid: g.invalid}
	return h.Trust.check()
}

func pick(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// findRuntime returns the module of the runtime: the one that exports what
// debuggers look for, else one of its name.
func (r *reader) findRuntime() (*module, error) {
	all := r.modules()
	aot := false
	for _, m := range all {
		if _, _, ok := m.symbol("g_dacTable"); ok {
			return m, nil
		}
		aot = aot || isAOT(m)
	}
	for _, m := range all {
		if baseName(m.path) == "libcoreclr.so" || m.base == r.proc.Runtime {
			return m, nil
		}
	}
	if err := r.ioErr(); err != nil {
		return nil, err
	}
	if aot {
		return nil, fmt.Errorf("%w: compiled ahead of time (Native AOT)", ErrVersion)
	}
	return nil, ErrNoRuntime
}

// chooseLayout sets h.l from the descriptor, or from the version's table when
// the input lacks the descriptor.
func (h *Heap) chooseLayout(m *module) (*descriptor, error) {
	var d *descriptor
	err := fmt.Errorf("the runtime has no contract descriptor")
	if h.Version.Major != 3 {
		if at, _, ok := m.symbol("DotNetRuntimeContractDescriptor"); ok {
			if d, err = m.readDescriptor(at); err == nil {
				if h.l, err = d.layout(h.r); err == nil {
					return d, nil
				}
			}
		}
	}
	if h.Version == (Version{}) {
		return nil, fmt.Errorf("%w: the input does not tell its version, and %v", ErrVersion, err)
	}
	var tableErr error
	if h.l, tableErr = tableLayout(h.Version, h.r.proc.Machine); tableErr != nil {
		return nil, fmt.Errorf("%w (%v)", tableErr, err)
	}
	return nil, nil
}

// readGC reads the state of the GC, by the contract that newer runtimes have
// or out of the block of variables.
func (h *Heap) readGC() (*gc, error) {
	if h.block == 0 {
		return h.d.readContract(h.r)
	}
	g, err := h.r.readBlock(h.block, h.l.core31)
	if err != nil {
		return nil, err
	}
	g.origin = h.origin
	return g, nil
}

// describe sums the segments up per heap and generation.
func (h *Heap) describe(g *gc, segs []segment) {
	h.HeapBytes = make([]int64, len(g.heaps))
	h.Generations = make([]int64, genPOH+1)
	h.Committed, h.Ranges = 0, nil
	for _, s := range segs {
		size := int64(s.end - s.mem)
		h.HeapBytes[s.heap] += size
		h.Committed += int64(s.committed)
		h.Ranges = append(h.Ranges, [2]uint64{s.mem, s.end})
		gen := min(s.gen, genPOH)
		if s.gen1 > s.mem && s.gen0 >= s.gen1 && s.end >= s.gen0 {
			h.Generations[2] += int64(s.gen1 - s.mem)
			h.Generations[1] += int64(s.gen0 - s.gen1)
			h.Generations[0] += int64(s.end - s.gen0)
			continue
		}
		h.Generations[gen] += size
	}
}

// Snapshot looks up the names of the types that were counted and returns what
// was found, of a process and an uptime that the caller fills in. It reads a few
// small pieces per type, and of a live process it may be called after the process
// went on.
func (h *Heap) Snapshot(source heap.Source) (*heap.Snapshot, error) {
	if err := h.name(); err != nil {
		return nil, err
	}
	s := &heap.Snapshot{Source: source, Uptime: heap.UptimeUnknown}
	return s, h.fill(s)
}

// name fills in the names of types.
func (h *Heap) name() error {
	h.r.flush()
	n := newNames(h.r, h.l, h.types)
	reasons := map[string]int{}
	h.Trust.Unnamed = 0
	for i := range h.Types {
		v := n.name(h.Types[i].MethodTable, 0)
		h.Types[i].Name = heap.CanonicalName(v.name)
		if v.err != nil {
			h.Trust.Unnamed++
			reasons[strings.TrimPrefix(v.err.Error(), errNoName.Error()+": ")]++
		}
	}
	h.Trust.Reasons = nil
	for s, n := range reasons {
		h.Trust.Reasons = append(h.Trust.Reasons, fmt.Sprintf("%s (%d types)", s, n))
	}
	slices.Sort(h.Trust.Reasons)
	const most = 20
	if n := len(h.Trust.Reasons); n > most {
		h.Trust.Reasons = append(h.Trust.Reasons[:most], fmt.Sprintf("and %d more reasons", n-most))
	}
	h.r.mu.Lock()
	defer h.r.mu.Unlock()
	h.Trust.FromDisk = h.r.fromDisk
	h.Trust.Notes = slices.Clone(h.r.notesDisk)
	return h.r.io
}

// Close closes module files.
func (h *Heap) Close() { h.r.close() }

// fill writes what was found into a snapshot.
func (h *Heap) fill(s *heap.Snapshot) error {
	t := &h.Trust
	s.Basis = heap.All
	s.Complete = t.MissingBytes == 0
	s.Estimated = !t.Exact()
	s.Runtime = heap.Runtime{Flavor: "coreclr"}
	if h.Version != (Version{}) {
		s.Runtime.Version = h.Version.String()
	}
	s.Heap = &heap.Totals{
		Heaps:          heap.Known(int64(t.Heaps)),
		Server:         heap.TristateOf(h.Server),
		HeapBytes:      h.HeapBytes,
		LiveBytes:      heap.Known(t.TotalBytes),
		CommittedBytes: heap.Known(h.Committed),
		FreeBytes:      heap.Known(t.FreeBytes),
		FreeCount:      heap.Known(t.FreeCount),
		Generations:    h.Generations,
	}
	if s.Estimated {
		s.Warn("", "%s", t.String())
	}
	if t.Unnamed > 0 {
		s.Warn("", "%d types have no name; the module files help (%s)", t.Unnamed, t.Reasons[0])
	}
	rows := make([]heap.Type, len(h.Types))
	for i, ty := range h.Types {
		rows[i] = heap.Type{Name: ty.Name, Count: ty.Count, Bytes: ty.Bytes}
	}
	return s.SetTypes(rows)
}
