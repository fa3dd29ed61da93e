package gcdump

import (
	"encoding/binary"

	"leaktrack/ingest/internal/gcname"
)

// Limits on the table of types. A process with more would need gigabytes for
// its types alone.
const (
	maxTypes     = 1 << 22
	maxNameBytes = 512 << 20
	maxModules   = 1 << 16
)

// typeEntry is one type of the graph and what was counted of it.
type typeEntry struct {
	name      string
	count     int64
	bytes     int64
	size      int32 // of a node that does not say its size; -1 when there is none
	module    int32 // number of the module, 0 for none
	synthetic bool  // stands for no object
}

// graph is what is kept of a Graphs.MemoryGraph.
type graph struct {
	types     []typeEntry
	modules   map[string]int32
	paths     []string // of the modules, by number less one
	nameBytes int64
	totalAt   int64 // where the file has the total size
	total     int64
	nodes     int   // places in the node table
	undefined int64 // places that were never filled
	records   int64 // node records, without the undefined one
	fold      uint64
}

// sparse reports whether the undefined nodes are more than the few that every
// dump has.
func (g *graph) sparse() bool { return g.undefined > 100 && g.undefined > int64(g.nodes)/100 }

// graph reads the object Graphs.MemoryGraph.
func (d *dump) graph() {
	in, g := d.in, &d.g
	at := in.Offset()
	o := in.Begin("the graph")
	if in.Err() != nil {
		return
	}
	switch t := o.Type; {
	case o.Null || o.Reference:
		in.FailAt(at, "no graph in the file")
	case !classIs(t, "MemoryGraph"):
		in.FailAt(at, "the graph is of class %q", t.Name)
	case t.MinVersion > 1:
		in.FailAt(at, "the graph needs a reader of version %d; known are 0 and 1", t.MinVersion)
	}
	g.totalAt = in.Offset()
	g.total = in.I64("the total size")
	in.I32("the root node")
	d.types()
	d.nodes()
	d.blob()
	if in.Err() != nil {
		return
	}
	if o.Type.MinVersion >= 1 {
		in.Region("the deferred type names", d.deferred)
	}
	at = in.Offset()
	n := in.Count("addresses", 8)
	if in.Err() == nil && n != g.nodes {
		in.FailAt(at, "%d addresses for %d nodes", n, g.nodes)
	}
	in.Skip(int64(n)*8, "the addresses")
	in.End("the graph")
}

// types reads the table of types.
func (d *dump) types() {
	in, g := d.in, &d.g
	at := in.Offset()
	n := in.Count("types", 12)
	if n > maxTypes {
		in.FailAt(at, "%d types are more than the %d that are kept", n, maxTypes)
	}
	g.modules = map[string]int32{}
	for i := 0; i < n && in.Err() == nil; i++ {
		at := in.Offset()
		var t typeEntry
		t.name, _ = in.String("a type name")
		t.size = in.I32("the size of a type")
		module, none := in.String("a module name")
		t.module = g.module(module, none)
		t.synthetic = i == 0 || none && gcname.Synthetic(t.name)
		if g.nameBytes += int64(len(t.name)); g.nameBytes > maxNameBytes {
			in.FailAt(at, "the names are more than the %d bytes that are kept", maxNameBytes)
		}
		g.types = append(g.types, t)
	}
	if n == 0 {
		in.FailAt(at, "no types")
	}
	if in.Err() != nil {
		return
	}
	if t := &g.types[0]; t.name != "UNDEFINED" {
		in.FailAt(at, "the first type is %.100q instead of UNDEFINED", t.name)
	}
}

// path returns the path of a module; "" for none, or one beyond the limit.
func (g *graph) path(module int32) string {
	if module <= 0 || int(module) > len(g.paths) {
		return ""
	}
	return g.paths[module-1]
}

// module numbers the modules. Beyond a limit all are one.
func (g *graph) module(path string, none bool) int32 {
	if none {
		return 0
	}
	id, ok := g.modules[path]
	if !ok {
		if id = int32(len(g.modules)) + 1; id < maxModules {
			g.modules[path] = id
			g.paths = append(g.paths, path)
			g.nameBytes += int64(len(path))
		}
	}
	return id
}

// nodes reads where each node's record stands, which is all that the order of
// nodes is for.
func (d *dump) nodes() {
	in, g := d.in, &d.g
	g.nodes = in.Count("nodes", 4+8) // an offset and an address
	for left := g.nodes; left > 0 && in.Err() == nil; {
		w := in.Window(4)
		if len(w) < 4 {
			if in.Err() == nil {
				in.Truncated("the table of nodes")
			}
			return
		}
		n := min(left, len(w)/4)
		for b := w[:4*n]; len(b) >= 4; b = b[4:] {
			if off := binary.LittleEndian.Uint32(b); off == 0 {
				g.undefined++
			} else {
				g.fold += scatter(off)
			}
		}
		in.Advance(4 * n)
		left -= n
	}
}

// scatter is the finalizer of the splitmix64 generator (Steele, Lea, Flood:
// Fast Splittable Pseudorandom Number Generators). A sum of it over a set of
// offsets tells, without keeping them, whether the node table and the records
// name the same places.
func scatter(offset uint32) uint64 {
	z := uint64(offset) * 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

const (
	// maxHead is the longest start of a record: three compressed integers.
	maxHead = 3 * maxCompressed
	// maxCompressed is the longest compressed integer.
	maxCompressed = 5
)

// blob reads the node records, one behind the other in the order in which
// they were written. The first is the shared record of undefined nodes.
func (d *dump) blob() {
	in, g := d.in, &d.g
	size := in.Count("bytes of node records", 1)
	if in.Err() != nil {
		return
	}
	start := in.Offset()
	end := start + int64(size)
	if w := in.Window(2); size < 2 || len(w) >= 2 && (w[0] != 0 || w[1] != 0) {
		in.FailAt(start, "the node records do not begin with the undefined node")
		return
	}
	in.Skip(2, "the node records")
	var sum int64
	for in.Err() == nil {
		// Whole records are taken out of the window while it has a start of
		// one for sure; the offsets are taken relative to the window.
		w := in.Window(maxHead)
		at := in.Offset()
		if int64(len(w)) > end-at {
			w = w[:end-at]
		}
		if len(w) == 0 {
			if at < end && in.Err() == nil {
				in.Truncated("the node records")
			}
			break
		}
		last := at+int64(len(w)) == end || len(w) < maxHead // of the blob, or of a file that is cut
		used := 0
		for len(w)-used >= maxHead || last && used < len(w) {
			record := at + int64(used)
			head, p := compressed(w, used)
			ti := head >> 1
			bytes := int64(0)
			if p > 0 && uint64(ti) < uint64(len(g.types)) {
				bytes = int64(g.types[ti].size)
			}
			if head&1 != 0 {
				bytes, p = compressed(w, p)
			}
			children, q := compressed(w, p)
			switch {
			case p < 0 || q < 0:
				if len(w)-used < maxHead && int64(len(w)) < end-at {
					in.Advance(used)
					in.Truncated("a node record")
				} else {
					in.FailAt(record, "the node record does not fit")
				}
				return
			case ti < 0 || ti >= int64(len(g.types)):
				in.FailAt(record, "the node is of type %d of %d", ti, len(g.types))
				return
			case bytes < 0:
				in.FailAt(record, "the node is of %d bytes", bytes)
				return
			case children < 0 || children > end-record:
				in.FailAt(record, "the node has %d references", children)
				return
			}
			t := &g.types[ti]
			t.count++
			t.bytes += bytes
			sum += bytes
			g.records++
			g.fold -= scatter(uint32(record - start))
			// The references are passed over in the window as far as it goes.
			for ; children > 0 && q < len(w); children-- {
				v, n := compressed(w, q)
				if n < 0 {
					break
				}
				if v <= -int64(g.nodes) || v >= int64(g.nodes) {
					in.FailAt(at+int64(q), "a reference leads %d nodes away, of %d", v, g.nodes)
					return
				}
				q = n
			}
			used = q
			if children > 0 {
				in.Advance(used)
				used = 0
				if !d.references(children, end) {
					return
				}
				break
			}
		}
		in.Advance(used)
	}
	if in.Err() != nil {
		return
	}
	switch defined := int64(g.nodes) - g.undefined; {
	case g.records != defined:
		in.FailAt(start, "%d node records for %d nodes", g.records, defined)
	case g.fold != 0:
		in.FailAt(start, "the table of nodes names other places than where the records stand")
	case sum != g.total:
		in.FailAt(g.totalAt, "a total of %d bytes, but the nodes sum up to %d", g.total, sum)
	}
}

// references passes over the rest of a record's references, where a record
// goes beyond the window.
func (d *dump) references(n int64, end int64) bool {
	in := d.in
	for ; n > 0; n-- {
		w := in.Window(maxCompressed)
		at := in.Offset()
		cut := int64(len(w)) < end-at
		w = w[:min(int64(len(w)), end-at)]
		v, p := compressed(w, 0)
		switch {
		case in.Err() != nil:
			return false
		case p < 0 && cut && len(w) < maxCompressed:
			in.Truncated("a node record")
			return false
		case p < 0:
			in.FailAt(at, "the reference does not fit")
			return false
		case v <= -int64(d.g.nodes) || v >= int64(d.g.nodes):
			in.FailAt(at, "a reference leads %d nodes away, of %d", v, d.g.nodes)
			return false
		}
		in.Advance(p)
	}
	return true
}

// compressed decodes the integer at b[i]: seven bits a byte, the most
// significant first, the first byte's bit 6 the sign, at most five bytes and 32
// bits. It returns the index behind it, or -1 when b is too short, i is
// negative or the integer too long.
func compressed(b []byte, i int) (v int64, next int) {
	if uint(i) >= uint(len(b)) {
		return 0, -1
	}
	c := b[i]
	v = int64(int8(c<<1) >> 1)
	if c < 0x80 {
		return v, i + 1
	}
	for j := i + 1; j < len(b) && j < i+maxCompressed; j++ {
		c = b[j]
		v = v<<7 | int64(c&0x7f)
		if c < 0x80 {
			if int64(int32(v)) != v {
				return 0, -1
			}
			return v, j + 1
		}
	}
	return 0, -1
}
