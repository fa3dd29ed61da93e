package nettrace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/syntax"
)

func scan(t *testing.T, b []byte) *Result {
	t.Helper()
	res, err := Scan(bytes.NewReader(b), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// one returns the only walk of a stream.
func one(t *testing.T, b []byte) Walk {
	t.Helper()
	res := scan(t, b)
	if len(res.Walks) != 1 {
		t.Fatalf("%d walks, want 1 (%v)", len(res.Walks), res.Err)
	}
	return res.Walks[0]
}

func warnings(s *heap.Snapshot) string {
	var list []string
	for _, w := range s.Warnings {
		list = append(list, w.String())
	}
	return strings.Join(list, "\n")
}

func TestEveryFormatGivesTheSameWalk(t *testing.T) {
	for _, tt := range []struct {
		why      string
		format   int
		plain    bool
		complete bool // version 3 cannot show losses
	}{{"version 4", 4, false, true}, {"version 4, uncompressed headers", 4, true, true}, {"version 3", 3, false, false}, {"version 6", 6, false, true}} {
		t.Run(tt.why, func(t *testing.T) {
			b := walkOf(tt.format, tt.plain).end()
			if !Sniff(b[:64]) {
				t.Error("not recognised")
			}
			w := one(t, b)
			s := w.Snapshot
			if s.Complete != tt.complete || !w.Confirmed {
				t.Errorf("complete %v, confirmed %v: %s", s.Complete, w.Confirmed, warnings(s))
			}
			want := []heap.Type{{Name: "Ns.Node", Count: 1, Bytes: 24}, {Name: "System.String", Count: 3, Bytes: 90}}
			if fmt.Sprint(s.Types) != fmt.Sprint(want) {
				t.Errorf("types %v, want %v", s.Types, want)
			}
			if fmt.Sprint(s.Heap.Generations) != "[1 20 300 4000 50000]" || s.Heap.LiveBytes.Or(0) != 54321 {
				t.Errorf("generations %v, live %v", s.Heap.Generations, s.Heap.LiveBytes)
			}
			if s.Process.PID != 4242 || s.Process.Program != "Shop" {
				t.Errorf("process %v", s.Process)
			}
			if s.Uptime != heap.UptimeUnknown || s.Basis != heap.Live || s.Source != heap.SourceNettrace {
				t.Errorf("uptime %v, basis %v, source %v", s.Uptime, s.Basis, s.Source)
			}
			// The third event, at 1,000,300 ticks; the trace starts at 1,000,000.
			if want := testStart.Add(300 * time.Nanosecond).Round(time.Microsecond); !s.Taken.Equal(want) {
				t.Errorf("taken %v, want %v", s.Taken, want)
			}
			if !w.EdgesRead || w.Edges != 2 || w.EdgesTold != 2 {
				t.Errorf("edges %d of %d", w.Edges, w.EdgesTold)
			}
			if w.Pause != 800*time.Nanosecond { // suspend at 100, restart at 900
				t.Errorf("pause %v", w.Pause)
			}
		})
	}
}

func TestStreamArrivesInPieces(t *testing.T) {
	b := walkOf(4, false).end()
	res, err := Scan(iotest.OneByteReader(bytes.NewReader(b)), "test", nil)
	if err != nil || len(res.Walks) != 1 || !res.Walks[0].Snapshot.Complete {
		t.Fatalf("%+v, %v", res, err)
	}
}

// doubts: what must make a walk incomplete, with the words of the warning.
func TestDoubts(t *testing.T) {
	node := nodes(0, testNode{1, 30, 0}, testNode{2, 24, 1})
	known := types(testType{id: 1, token: 0x02000010, name: "System.String"}, testType{id: 2, token: 0x02000003, name: "Ns.Node"})
	// build writes the common walk; cut says what to do differently.
	build := func(do func(s *stream)) []byte {
		s := newStream(4).trace().metadata()
		do(s)
		return s.end()
	}
	tests := []struct {
		why  string
		b    []byte
		want string // "" for a complete walk
	}{
		{"nothing wrong", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known), s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), ""},
		{"one event lost between two", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known))
			s.drop(7, 1)
			s.events(s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "dropped 1 events"},
		{"events lost at the end, seen by the sequence point", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known), s.event(7, idGCEnd, gcEnd(1)))
			s.drop(7, 3)
			s.point(0)
		}), "dropped 3 events"},
		{"a thread that lost everything", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known), s.event(7, idGCEnd, gcEnd(1)))
			s.drop(8, 5)
			s.point(0)
		}), "dropped 5 events"},
		{"first events of a thread lost", build(func(s *stream) {
			s.drop(7, 4)
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known), s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "dropped 4 events"},
		{"a thread id used again", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known))
			s.seqs[7] = 0
			s.events(s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), ""},
		{"numbers that go back", build(func(s *stream) {
			s.drop(7, 9)
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known))
			s.seqs[7] = 5
			s.events(s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "go backwards"},
		{"no end of the collection", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known)).point(0)
		}), "has no end"},
		{"no collection at all", build(func(s *stream) {
			s.events(s.event(7, idBulkNode, node), s.event(7, idBulkType, known)).point(0)
		}), "cannot be confirmed"},
		{"only a background collection", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 1)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known), s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "no full blocking collection"},
		{"start of the collection after the nodes in the file, as the server collector writes it", build(func(s *stream) {
			start := s.event(3, idGCStart, gcStart(1, 2, 1, 0))
			s.events(s.event(7, idBulkNode, node), s.event(7, idBulkType, known)).events(start, s.event(3, idGCEnd, gcEnd(1))).point(0)
		}), ""},
		{"a type that is not described", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "2 objects are of 2 types"},
		{"a node event missing in the middle", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkNode, nodes(2, testNode{1, 8, 0})),
				s.event(7, idBulkType, known), s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "1 gaps"},
		{"references missing", build(func(s *stream) {
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, nodes(0, testNode{1, 30, 5})), s.event(7, idBulkEdge, edgeList(0, 3)),
				s.event(7, idBulkType, known), s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "3 references read of 5"},
		{"a node event that says it holds more than it does", build(func(s *stream) {
			bad := nodes(1, testNode{1, 30, 0})
			bad[4] = 200
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkNode, bad),
				s.event(7, idBulkType, known), s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "1 malformed events"},
		{"a type with an absurd number of arguments", build(func(s *stream) {
			bad := types(testType{id: 3, token: 1, name: "x"})
			bad[len(bad)-1] = 0x7f
			s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, node), s.event(7, idBulkType, known), s.event(7, idBulkType, bad),
				s.event(7, idGCEnd, gcEnd(1))).point(0)
		}), "1 malformed events"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			s := one(t, tt.b).Snapshot
			switch got := warnings(s); {
			case tt.want == "" && (!s.Complete || got != ""):
				t.Errorf("complete %v: %s", s.Complete, got)
			case tt.want != "" && (s.Complete || !strings.Contains(got, tt.want)):
				t.Errorf("complete %v, warnings %q lack %q", s.Complete, got, tt.want)
			}
		})
	}
}

func TestSeveralWalks(t *testing.T) {
	s := newStream(4).trace().metadata()
	for i := range uint32(3) {
		s.events(s.event(7, idGCStart, gcStart(i, 2, 1, 0)))
		for j := range i + 1 {
			s.events(s.event(7, idBulkNode, nodes(j, testNode{1, 30, 0})))
		}
		s.events(s.event(7, idGCEnd, gcEnd(i)), s.event(7, idHeapStats, stats(uint64(i), 0, 0, 0)))
	}
	// The type is described once, and last.
	s.events(s.event(7, idBulkType, types(testType{id: 1, token: 0x02000010, name: "System.String"}))).point(0)
	res := scan(t, s.end())
	if len(res.Walks) != 3 {
		t.Fatalf("%d walks", len(res.Walks))
	}
	for i, w := range res.Walks {
		if n := w.Snapshot.Types; len(n) != 1 || n[0].Name != "System.String" || n[0].Count != int64(i+1) || !w.Snapshot.Complete {
			t.Errorf("walk %d: %v, %s", i, n, warnings(w.Snapshot))
		}
		if w.GC != uint32(i) || w.Snapshot.Heap.LiveBytes.Or(-1) != int64(i) {
			t.Errorf("walk %d: collection %d, live %v", i, w.GC, w.Snapshot.Heap.LiveBytes)
		}
	}
}

func TestTruncatedAtEachByte(t *testing.T) {
	for _, format := range []int{3, 4, 6} {
		b := walkOf(format, false).end()
		for n := range len(b) {
			res, err := Scan(bytes.NewReader(b[:n]), "test", nil)
			if err != nil {
				if !errors.Is(err, syntax.ErrNotMine) && !errors.Is(err, ErrTruncated) {
					t.Fatalf("version %d, %d of %d bytes: %v", format, n, len(b), err)
				}
				continue
			}
			if !res.Truncated {
				t.Fatalf("version %d, %d of %d bytes: %+v", format, n, len(b), res)
			}
			for _, w := range res.Walks {
				if w.Snapshot.Complete {
					t.Fatalf("version %d, %d of %d bytes: complete", format, n, len(b))
				}
			}
		}
	}
}

func TestDamage(t *testing.T) {
	good := walkOf(4, false).end()
	after := len(newStream(4).trace().b) // first byte behind the Trace object
	block := func(name string, size uint32) []byte {
		b := newStream(4).trace().b
		b = append(b, 5, 5, 1, 2, 0, 0, 0, 2, 0, 0, 0)
		b = le.AppendUint32(b, uint32(len(name)))
		b = append(append(b, name...), 6)
		return le.AppendUint32(b, size)
	}
	tests := []struct {
		why  string
		b    []byte
		want string
	}{
		{"empty", nil, "not this format"},
		{"text", []byte("a log of something else, long enough to be looked at in full"), "not this format"},
		{"a .gcdump has the same container", append([]byte("\x14\x00\x00\x00!FastSerialization.1\x05\x05\x01\x00\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x00GCHeapDump"), make([]byte, 40)...), "not this format"},
		{"version 7", []byte("Nettrace\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00"), "version 7 is not supported"},
		{"strange container", []byte("Nettrace\x14\x00\x00\x00!FastSerialization.9"), "container"},
		{"first object is no trace", append(newStream(4).b, newStream(4).events().b[32:]...), "not Trace"},
		{"second stream in the middle", append(bytes.Clone(good[:after]), good...), "second stream"},
		{"unknown tag", append(bytes.Clone(good[:after]), 9), "tag 0x9"},
		{"block of 2 GB", block("EventBlock", 1<<31), "largest allowed"},
		{"block that ends too early", block("EventBlock", 1000), "stream ends in the middle"},
		{"type name of 4 GB", append(bytes.Clone(good[:after]), 5, 5, 1, 2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff), "malformed object type"},
		{"pointers of 3 bytes", func() []byte { s := newStream(4); s.pointer = 3; return s.trace().end() }(), "pointers of 3 bytes"},
		{"event nobody described", func() []byte {
			s := newStream(4).trace()
			return s.events(s.event(1, 5, nil)).end()
		}(), "never described"},
		{"block without a head", func() []byte {
			s := newStream(4).trace()
			s.block(kindEvent, "EventBlock", make([]byte, 20))
			return s.end()
		}(), "malformed block: block header of 0 bytes"},
		{"sequence point of more threads than it holds", func() []byte {
			s := newStream(4).trace()
			s.block(kindSequencePoint, "SPBlock", append(make([]byte, 8), 9, 0, 0, 0))
			return s.end()
		}(), "malformed sequence point: record is cut short"},
		{"the same in version 6", func() []byte {
			s := newStream(6).trace()
			s.block(kindSequencePoint, "", append(make([]byte, 12), 9, 0, 0, 0))
			return s.end()
		}(), "malformed block of kind"},
		{"trace of a million keys", func() []byte {
			s := newStream(6)
			s.block(kindTrace, "", le.AppendUint32(make([]byte, 36), 1_000_000))
			return s.end()
		}(), "malformed block of kind 1: 1000000 keys"},
		{"metadata that is cut", func() []byte {
			s := newStream(6).trace()
			s.block(kindMetadata, "", append(make([]byte, 2), 3, 0, 5, 200, 1))
			return s.end()
		}(), "malformed metadata: record is cut short"},
		{"event of version 3 that is smaller than what it holds", func() []byte {
			s := newStream(3).trace()
			record := le.AppendUint32(nil, 10)           // bytes
			record = append(record, make([]byte, 52)...) // id to related activity
			record = append(le.AppendUint32(record, 4), make([]byte, 8)...)
			s.block(kindEvent, "EventBlock", record)
			return s.end()
		}(), "event of 10 bytes holds"},
		{"only the end mark", append(newStream(4).b, 1), "without a trace"},
		{"no heap walk", newStream(4).trace().metadata().end(), "no heap walk"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			var got error
			for s, err := range Read(bytes.NewReader(tt.b), "x.nettrace") {
				if s != nil {
					t.Errorf("a snapshot: %v", s)
				}
				got = err
			}
			if got == nil || !strings.Contains(got.Error(), tt.want) {
				t.Errorf("error %v lacks %q", got, tt.want)
			}
		})
	}
}

func TestWalksBeforeDamageAreKept(t *testing.T) {
	b := append(walkOf(4, false).b, 9)
	n, last := 0, error(nil)
	for s, err := range Read(bytes.NewReader(b), "x.nettrace") {
		if s != nil {
			n++
			if s.Complete || !strings.Contains(warnings(s), "tag 0x9") {
				t.Errorf("complete %v: %s", s.Complete, warnings(s))
			}
		}
		last = err
	}
	var se *syntax.Error
	if n != 1 || !errors.As(last, &se) || se.Offset != int64(len(b)-1) {
		t.Errorf("%d snapshots, then %v", n, last)
	}
}

func TestReaderErrorIsReturned(t *testing.T) {
	b := walkOf(4, false).end()
	broken := errors.New("broken disk")
	r := io.MultiReader(bytes.NewReader(b[:100]), iotest.ErrReader(broken))
	if res, err := Scan(r, "x", nil); err != nil || !errors.Is(res.Err, broken) {
		t.Errorf("%v, %v", res, err)
	}
}

func TestPointersOfFourBytes(t *testing.T) {
	s := newStream(4)
	s.pointer = 4
	s.trace().metadata()
	s.events(s.event(7, idGCStart, gcStart(1, 2, 1, 0)), s.event(7, idBulkNode, nodesOf(4, 0, testNode{1, 12, 0}, testNode{1, 13, 0})),
		s.event(7, idBulkType, types(testType{id: 1, token: 0x02000010, name: "A.B"})), s.event(7, idGCEnd, gcEnd(1))).point(0)
	if got := one(t, s.end()).Snapshot; !got.Complete || fmt.Sprint(got.Types) != "[{A.B 2 25}]" {
		t.Errorf("%v %s", got.Types, warnings(got))
	}
}

// TestV6Details: thread indexes with process ids, label lists, removed
// threads, sequence points that make the reader forget.
func TestV6Details(t *testing.T) {
	s := newStream(6).trace().metadata()
	row := func(index, pid uint64) []byte {
		b := binary.AppendUvarint(nil, index)
		b = binary.AppendUvarint(append(b, 2), pid)
		b = binary.AppendUvarint(append(b, 3), 99)
		b = str6(append(b, 1), "worker")
		return append(le.AppendUint16(nil, uint16(len(b))), b...)
	}
	s.block(kindThread, "", append(row(1, 100), row(2, 200)...))
	known := types(testType{id: 1, token: 0x02000010, name: "A.B"})
	for i, thread := range []uint64{1, 2} {
		s.events(s.event(thread, idGCStart, gcStart(1, 2, 1, 0)), s.event(thread, idBulkNode, nodes(0, make([]testNode, 0)...)))
		s.events(s.event(thread, idBulkNode, nodes(1, testNode{1, uint64(10 * (i + 1)), 0})), s.event(thread, idBulkType, known), s.event(thread, idGCEnd, gcEnd(1)))
	}
	s.block(kindLabelList, "", []byte{1, 0, 0, 0, 0, 0, 0, 0})
	s.block(200, "", []byte("a kind of the future"))
	s.block(kindRemoveThread, "", []byte{2, byte(s.seqs[2] + 1)}) // one event lost
	delete(s.seqs, 2)
	s.point(3)
	res := scan(t, s.end())
	if len(res.Walks) != 2 || res.Lost != 1 {
		t.Fatalf("%d walks, %d lost, %v", len(res.Walks), res.Lost, res.Err)
	}
	for i, w := range res.Walks {
		if w.Snapshot.Process.PID != 100*(i+1) || w.Bytes != int64(10*(i+1)) {
			t.Errorf("walk %d: pid %d, %d bytes", i, w.Snapshot.Process.PID, w.Bytes)
		}
	}
}

func TestOverflow(t *testing.T) {
	s := newStream(4).trace().metadata()
	s.events(s.event(7, idBulkNode, nodes(0, testNode{1, 1 << 62, 0}, testNode{1, 1 << 62, 0}))).point(0)
	if _, err := Scan(bytes.NewReader(s.end()), "x", nil); !errors.Is(err, heap.ErrOverflow) {
		t.Errorf("%v", err)
	}
}

// TestTallyAgainstMap checks the counting table against a plain map.
func TestTallyAgainstMap(t *testing.T) {
	tl := newTally()
	want := map[uint64][2]uint64{}
	id := uint64(1)
	for i := range 20000 {
		id = id*6364136223846793005 + 1442695040888963407
		list := []testNode{{id % 5000, uint64(i), 1}, {id % 5000, 8, 0}, {(id >> 33) % 7, 24, 2}}
		for _, n := range list {
			v := want[n.typ]
			want[n.typ] = [2]uint64{v[0] + 1, v[1] + n.size}
		}
		if edges, ok := tl.addNodes(nodes(0, list...)[10:], 8); edges != 3 || !ok {
			t.Fatal(edges, ok)
		}
	}
	got := 0
	tl.all(func(id, count, bytes uint64) {
		got++
		if want[id] != [2]uint64{count, bytes} {
			t.Errorf("type %d: %d objects, %d bytes, want %v", id, count, bytes, want[id])
		}
	})
	if got != len(want) || want[0][0] == 0 {
		t.Errorf("%d types, want %d", got, len(want))
	}
}

func TestSpan(t *testing.T) {
	second := Trace{Frequency: 10_000_000}
	for _, tt := range []struct {
		from, to int64
		want     time.Duration
	}{
		{0, 10_000_000, time.Second},
		{1 << 60, 1<<60 + 5, 500 * time.Nanosecond},
		{-1 << 63, 1<<63 - 1, 1<<63 - 1024}, // some 58,000 years
		{1<<63 - 1, -1 << 63, -1 << 63},
	} {
		if got := second.Span(tt.from, tt.to); got != tt.want {
			t.Errorf("%d to %d: %d, want %d", tt.from, tt.to, got, tt.want)
		}
	}
	if got := (Trace{}).Span(0, 100); got != 0 {
		t.Errorf("ticks of unknown length: %v", got)
	}
}
