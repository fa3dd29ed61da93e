package gcdump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"leaktrack/ingest/internal/fastser"
	"leaktrack/ingest/syntax"
)

// Cut at every byte, which includes every object's boundary: an error with the
// place of the cut each time, a snapshot only where the cut is behind the
// histogram, and never a complete one.
func TestTruncationAtEveryByte(t *testing.T) {
	perfview := small()
	perfview.tool, perfview.interop, perfview.heapInfo = "", true, &fheap{4096, 2, 1}
	perfview.machine, perfview.process, perfview.multipliers = "HOST", "Demo", slices.Repeat([]float32{2}, 10)
	deferred := small()
	deferred.graphMin, deferred.deferred = 1, []fdeferred{{}, {}, {1, "a.dll"}, {2, "a.dll"}}
	old := small()
	old.version = 7
	for name, f := range map[string]*file{"dotnet-gcdump": small(), "PerfView": perfview, "deferred names": deferred, "version 7": old} {
		b := f.bytes()
		if _, err := readAll(t, reader(b), "x"); err != nil {
			t.Fatalf("%s: whole: %v", name, err)
		}
		boundary := map[int]bool{}
		for _, at := range f.bounds {
			boundary[at] = true
		}
		if len(f.bounds) < 5 || !boundary[len(b)] {
			t.Fatalf("%s: boundaries %v", name, f.bounds)
		}
		// Of known and of unknown size.
		for _, known := range []bool{true, false} {
			for n := range len(b) {
				var r io.Reader = reader(b[:n])
				if !known {
					r = struct{ io.Reader }{r}
				}
				s, err := readAll(t, r, "x")
				var e *syntax.Error
				if !errors.As(err, &e) || e.Offset > int64(n) || !errors.Is(err, fastser.ErrTruncated) && !errors.Is(err, syntax.ErrNotMine) {
					t.Fatalf("%s: cut at %d (object boundary: %v): %v", name, n, boundary[n], err)
				}
				if n >= len(fastser.Signature) && errors.Is(err, syntax.ErrNotMine) {
					t.Fatalf("%s: cut at %d: %v", name, n, err)
				}
				if s != nil && (s.Complete || n < f.marks["tail"] || len(s.Warnings) == 0) || s == nil && n >= f.marks["tail"] {
					t.Fatalf("%s: cut at %d of %d: %+v", name, n, len(b), s)
				}
			}
		}
	}
}

func TestBadInput(t *testing.T) {
	put := func(mark string, delta int, v uint32) func(*file, []byte) {
		return func(f *file, b []byte) { binary.LittleEndian.PutUint32(b[f.marks[mark]+delta:], v) }
	}
	const huge = 1 << 31 // as an i32, negative
	tests := []struct {
		why    string
		change func(*file)         // before writing
		damage func(*file, []byte) // after writing
		want   string
		at     string // mark of the place; "" for anywhere
		delta  int
		tail   bool // the histogram is whole
	}{
		{why: "version 8", change: func(f *file) { f.version = 8 }, want: "version 8 of the format is not supported", at: "start"},
		{why: "version 3", change: func(f *file) { f.version = 3 }, want: "version 3", at: "start"},
		{why: "a newer file", change: func(f *file) { f.version, f.minVersion = 20, 11 }, want: "needs a reader of version 11", at: "start"},
		{why: "a newer graph", change: func(f *file) { f.graphMin = 2 }, want: "graph needs a reader of version 2"},
		{why: "2^31 types", damage: put("types", 0, huge), want: "-2147483648 types", at: "types"},
		{why: "2^31-1 types", damage: put("types", 0, huge-1), want: "2147483647 types of at least 12 bytes each", at: "types"},
		{why: "no types", damage: put("types", 0, 0), want: "no types", at: "types"},
		{why: "2^31 nodes", damage: put("nodes", 0, huge), want: "-2147483648 nodes", at: "nodes"},
		{why: "2^31-1 nodes", damage: put("nodes", 0, huge-1), want: "2147483647 nodes of at least 12 bytes each", at: "nodes"},
		{why: "2^31 bytes of records", damage: put("blob size", 0, huge), want: "-2147483648 bytes of node records", at: "blob size"},
		{why: "2^31-1 bytes of records", damage: put("blob size", 0, huge-1), want: "2147483647 bytes of node records", at: "blob size"},
		{why: "no records at all", damage: put("blob size", 0, 0), want: "do not begin with the undefined node", at: "blob"},
		{why: "2^31 addresses", damage: put("addresses", 0, huge), want: "-2147483648 addresses", at: "addresses"},
		{why: "2^31-1 addresses", damage: put("addresses", 0, huge-1), want: "2147483647 addresses", at: "addresses"},
		{why: "addresses for other nodes", change: func(f *file) { f.addresses = -1 }, want: "11 addresses for 12 nodes", at: "addresses"},
		{why: "2^31 multipliers", damage: put("multipliers", 0, huge), want: "-2147483648 multipliers", at: "multipliers"},
		{why: "more multipliers than types", change: func(f *file) { f.multipliers = make([]float32, 11) }, want: "11 multipliers for 10 types", at: "multipliers"},
		{why: "a multiplier that is no number", change: func(f *file) { f.multipliers = []float32{1, 1, 1, float32(math.NaN())} }, want: "a multiplier of NaN", at: "multipliers", delta: 16},
		{why: "a multiplier without end", change: func(f *file) { f.multipliers = []float32{1, 1, 1, float32(math.Inf(1))} }, want: "a multiplier of +Inf", at: "multipliers", delta: 16},
		{why: "a negative multiplier", change: func(f *file) { f.multipliers = []float32{1, 1, 1, -1} }, want: "a multiplier of -1", at: "multipliers", delta: 16},
		{why: "a negative average", change: func(f *file) { f.counts = -2 }, want: "average count multiplier is -2", at: "averages"},
		{why: "more deferred names than types", change: func(f *file) { f.graphMin, f.deferred = 1, make([]fdeferred, 11) }, want: "11 deferred names for 10 types"},
		{why: "a module of another class", change: func(f *file) { f.graphMin, f.deferred = 1, []fdeferred{{1, "a.dll"}} }, damage: func(f *file, b []byte) {
			copy(b[bytes.LastIndex(b, []byte("Module")):], "Modulo")
		}, want: "a module of class"},
		{why: "2^31-1 segments", change: func(f *file) { f.heapInfo = &fheap{} }, damage: put("segments", 0, huge-1), want: "2147483647 segments", at: "segments"},
		{why: "2^31 forward references", damage: put("table", 0, huge), want: "-2147483648 forward references", at: "table", tail: true},
		{why: "2^31-1 forward references", damage: put("table", 0, huge-1), want: "2147483647 forward references", at: "table", tail: true},
		{why: "a forward reference beyond the table", change: func(f *file) { f.forward = 1 }, want: "forward reference 1 is out of range; the file has 1", at: "forward", tail: true},
		{why: "a forward reference beyond the file", change: func(f *file) { f.forward = 1 << 30 }, want: "forward reference 1073741824 is out of range", at: "forward", tail: true},
		{why: "a negative forward reference", change: func(f *file) { f.forward = -1 }, want: "forward reference -1 is out of range", at: "forward", tail: true},
		{why: "a forward reference to another place", change: func(f *file) { f.forwardLabel = 1 << 20 }, want: "forward reference 0 leads to", at: "table", delta: 4, tail: true},
		{why: "labels of another file", damage: put("table", 8, 7), want: "the last labels lead to 0x7", at: "table", delta: 8, tail: true},
		{why: "a negative deferred reference", change: func(f *file) { f.graphMin = 1 }, damage: func(f *file, b []byte) {
			at := f.marks["addresses"] - 9 // before it: the index, the count and the end tag
			binary.LittleEndian.PutUint32(b[at:], 1<<31)
		}, want: "forward reference -2147483648 is out of range"},
		{why: "a type beyond the table", change: func(f *file) { f.nodes[0].typ, f.nodes[0].size = 10, 1 }, want: "the node is of type 10 of 10", at: "blob", delta: 2},
		{why: "a negative type", change: func(f *file) { f.nodes[0].typ, f.nodes[0].size = -1, 1 }, want: "the node is of type -1", at: "blob", delta: 2},
		{why: "a negative size", change: func(f *file) { f.nodes[0].typ = 1; f.types[1].size = -7 }, want: "the node is of -7 bytes", at: "blob", delta: 2},
		{why: "a reference beyond the graph", change: func(f *file) { f.nodes[0].refs = []int32{12} }, want: "a reference leads 12 nodes away, of 12", at: "blob", delta: 4},
		{why: "a reference before the graph", change: func(f *file) { f.nodes[0].refs = []int32{-1 << 31} }, want: "a reference leads -2147483648 nodes away", at: "blob", delta: 4},
		{why: "more references than bytes", change: func(f *file) {
			f.fixBlob = func(b []byte) []byte { return append(b, 0x06, 0x87, 0xff, 0xff, 0xff, 0x7f) }
		}, want: "the node has 2147483647 references"},
		{why: "an integer of six bytes", change: func(f *file) {
			f.fixBlob = func(b []byte) []byte { return append(b, 0x81, 0x81, 0x81, 0x81, 0x81, 0x01, 0) }
		}, want: "the node record does not fit"},
		{why: "an integer of 33 bits", change: func(f *file) {
			f.fixBlob = func(b []byte) []byte { return append(b, 0xA1, 0x81, 0x81, 0x81, 0x01, 0, 0) }
		}, want: "the node record does not fit"},
		{why: "a record that runs into the addresses", change: func(f *file) {
			f.fixBlob = func(b []byte) []byte { return append(b, 0x06) }
		}, want: "the node record does not fit"},
		{why: "a reference that runs into the addresses", change: func(f *file) {
			f.fixBlob = func(b []byte) []byte { return append(b, 0x06, 0x02, 0x01) }
		}, want: "the reference does not fit"},
		{why: "records that begin elsewhere", change: func(f *file) { f.fixBlob = func(b []byte) []byte { b[0] = 2; return b } }, want: "do not begin with the undefined node", at: "blob"},
		{why: "a record that no node names", change: func(f *file) { f.fixBlob = func(b []byte) []byte { return append(b, 6, 0) } }, want: "12 node records for 11 nodes", at: "blob"},
		{why: "a node without its record", change: func(f *file) { f.fixOffsets = func(o []uint32) { o[9] = 2 } }, want: "11 node records for 12 nodes", at: "blob"},
		{why: "two nodes of one record", change: func(f *file) { f.fixOffsets = func(o []uint32) { o[0] = o[1] } }, want: "the table of nodes names other places", at: "blob"},
		{why: "a node inside a record", change: func(f *file) { f.fixOffsets = func(o []uint32) { o[3]++ } }, want: "the table of nodes names other places", at: "blob"},
		{why: "a total that is too large", change: func(f *file) { f.total = 1 }, want: "a total of 21695 bytes, but the nodes sum up to 21694", at: "total"},
		{why: "a total that is too small", change: func(f *file) { f.total = -1 << 62 }, want: "but the nodes sum up to 21694", at: "total"},
		{why: "a first type that is none", change: func(f *file) { f.types[0].name = "A.B" }, want: `the first type is "A.B"`, at: "types"},
		{why: "a string without measure", damage: put("type 1", 0, huge-1), want: "a type name of 2147483647 characters", at: "type 1"},
		{why: "a string of negative length", damage: put("type 1", 0, huge), want: "a type name of -2147483648 characters", at: "type 1"},
		{why: "another object in the graph's place", damage: func(f *file, b []byte) {
			b[bytes.Index(b, []byte("Graphs."))] = 'g'
			copy(b[bytes.Index(b, []byte("MemoryG")):], "XemoryG")
		}, want: "the graph is of class"},
		{why: "no graph", damage: func(f *file, b []byte) { b[f.marks["graph"]] = 1 }, want: "no graph in the file", at: "graph"},
		{why: "an error tag in a field", damage: func(f *file, b []byte) { b[f.marks["tail"]] = 0 }, want: "tag 0 where the dump ends", at: "tail", tail: true},
		{why: "more behind the end", damage: nil, change: func(f *file) {}, want: "more bytes after the end", tail: true},
	}
	for _, tt := range tests {
		f := small()
		if tt.change != nil {
			tt.change(f)
		}
		b := f.bytes()
		if tt.damage != nil {
			tt.damage(f, b)
		}
		if strings.HasPrefix(tt.why, "more behind") {
			b = append(b, 0)
		}
		f.marks["start"] = len(fastser.Signature)
		s, err := readAll(t, reader(b), "x.gcdump")
		var e *syntax.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "x.gcdump@0x") {
			t.Errorf("%s: %v", tt.why, err)
			continue
		}
		if want := int64(f.marks[tt.at] + tt.delta); tt.at != "" && e.Offset != want {
			t.Errorf("%s: at %#x, want %#x", tt.why, e.Offset, want)
		}
		if tt.tail != (s != nil) || s != nil && (s.Complete || text(s) != smallText) {
			t.Errorf("%s: %+v", tt.why, s)
		}
	}
}

// Each byte of a file changed in turn: reading ends with a pair of one half, and
// what is complete still sums up to the total in the file.
func TestDamageAtEveryByte(t *testing.T) {
	f := small()
	f.interop, f.heapInfo, f.multipliers = true, &fheap{4096, 1, 1}, nil
	b := f.bytes()
	complete := 0
	for i := range b {
		was := b[i]
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff, was ^ 1, was ^ 0x40} {
			b[i] = v
			s, err := readAll(t, reader(b), "x")
			if s == nil && err == nil || s != nil && s.Complete && err != nil {
				t.Fatalf("byte %d as %#x: %v, %v", i, v, s, err)
			}
			if s == nil || !s.Complete || v == was {
				continue
			}
			complete++
			// A changed name may hide a row among the roots, no more.
			if n := s.Heap.ObjectBytes.Or(0); n > 21694 && i >= f.marks["blob"] && i < f.marks["addresses"] {
				t.Errorf("byte %d as %#x: %d bytes", i, v, n)
			}
		}
		b[i] = was
	}
	if complete == 0 {
		t.Error("no damage was harmless, so the check above was never made")
	}
}

// A count of 2^31-1 in a pipe, where nothing tells how much will follow, must
// not take memory on its word.
func TestMemoryIsNotTakenOnTheFilesWord(t *testing.T) {
	for _, mark := range []string{"types", "type 1", "nodes", "blob size", "addresses", "multipliers", "table"} {
		f := small()
		b := f.bytes()
		binary.LittleEndian.PutUint32(b[f.marks[mark]:], 1<<20-1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readAll(t, struct{ io.Reader }{reader(b)}, "x")
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", mark)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes allocated for a file of %d", mark, n, len(b))
		}
	}
}

// What is allocated to read a graph depends on its types, not on its objects:
// fifty times as many take no more.
func TestMemoryDoesNotGrowWithObjects(t *testing.T) {
	allocated := func(nodes int) (bytes uint64, objects int64) {
		var b bytesBuffer
		if _, _, err := generate(&b, nodes, 0, "dotnet-gcdump"); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := readAll(t, reader(b), "x")
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		objects, _, _ = s.Sum()
		return after.TotalAlloc - before.TotalAlloc, objects
	}
	allocated(10_000) // what the first reading makes once
	few, n := allocated(20_000)
	many, m := allocated(1_000_000)
	if n != 20_000 || m != 1_000_000 {
		t.Fatalf("%d and %d objects", n, m)
	}
	// The race detector drops pooled buffers at random; one pointer for each object
	// would be 8 MB.
	if many > few+2<<20 || many > 32<<20 {
		t.Errorf("%d bytes allocated for %d objects, %d for %d", few, n, many, m)
	}
	t.Logf("%d bytes for %d objects, %d for %d", few, n, many, m)
}

type bytesBuffer []byte

func (b *bytesBuffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

// Dumps of mobile runtimes name modules by number. The base library is known by
// its types all the same, others are not.
func TestModulesWithoutNames(t *testing.T) {
	f := &file{tool: "dotnet-gcdump", types: []ftype{{"UNDEFINED", 0, ""}, {"System.String", 24, "Module(0x7a10)"}, {"UTF8EncodingSealed", 48, "Module(0x7a10)"},
		{"Entry<System.String,Demo.Leak>[]", 100, "Module(0x7a10)"}, {"System.Collections.Generic.Dictionary<System.String,Demo.Leak>", 80, "Module(0x7a10)"},
		{"Demo.Leak", 24, "Module(0x7a20)"}, {"UTF8EncodingSealed", 56, "Module(0x7a20)"}}}
	for i := range f.types[1:] {
		f.nodes = append(f.nodes, fnode{typ: int32(i + 1), size: -1})
	}
	s, err := readAll(t, reader(f.bytes()), "x")
	if err != nil {
		t.Fatal(err)
	}
	want := "Demo.Leak 1 24\nSystem.Collections.Generic.Dictionary<System.String,Demo.Leak> 1 80\nSystem.Collections.Generic.Dictionary<System.String,Demo.Leak>+Entry[] 1 100\n" +
		"System.String 1 24\nSystem.Text.UTF8Encoding+UTF8EncodingSealed 1 48\nUTF8EncodingSealed 1 56\n"
	if got := text(s); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if w := warnings(s); !strings.Contains(w, "System.Private.CoreLib") || !strings.Contains(w, "1 of 6 types may be named without namespace") {
		t.Error(w)
	}
}
