package store

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
)

// The bytes of version 2. They stand in doc.go, too; a change here needs a new
// version, because files with these bytes exist.
func TestBytesOfVersion2(t *testing.T) {
	d := &dict{}
	d.add([]string{"A", "B", "C"})
	first := []heap.Type{{Name: "A", Count: 46, Bytes: 736}, {Name: "B", Count: 1, Bytes: 24}}
	second := []heap.Type{{Name: "A", Count: 5403, Bytes: 86448}, {Name: "C", Count: 2, Bytes: 48}}
	key := snapshotKey(596*time.Second, heap.All, false)
	s := &heap.Snapshot{
		Process: heap.Process{Host: "web-1", Program: "CLRHeapLeak", PID: 2044, StartNanos: 1e9, Run: 2},
		Uptime:  596 * time.Second, Taken: time.Unix(2, 5), Source: heap.SourceSOS, Basis: heap.All, Complete: true,
		Runtime: heap.Runtime{Flavor: "clr"},
		Heap:    &heap.Totals{Heaps: heap.Known(1), Server: heap.No, LiveBytes: heap.Known(5825928), Generations: []int64{1, 2, 3}},
		Memory:  &heap.ProcessMemory{RSSBytes: heap.Known(0), LimitBytes: heap.Known(math.MaxInt64)},
		Types:   second, Warnings: []heap.Warning{{Place: "a:1", Text: "cut"}},
	}
	head, err := appendHead(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	differing := append(bytes.Clone(head), 1, 2)
	differing = append(differing, d.differ(d.tableOf(first), d.tableOf(second))...)
	inFull := append(bytes.Clone(head), 0, 2)
	inFull = append(inFull, d.differ(noBase, d.tableOf(second))...)
	cs := &heap.Snapshot{Uptime: 1, Source: heap.SourceLiveMemory, Basis: heap.Live, Memory: &heap.ProcessMemory{RSSBytes: heap.Known(127)}}
	counters, err := appendHead(nil, cs)
	if err != nil {
		t.Fatal(err)
	}
	ckey := snapshotKey(1, heap.Live, true)
	program := ownerOf(bucketKey(encodeProgram(s.Process.Program)), 1)
	owner := ownerOf(bucketKey(encodeProcess(s.Process)), 2, 1)
	for _, tt := range []struct {
		name      string
		got, want string
	}{
		{"identity of a process", hex.EncodeToString(encodeProcess(s.Process)),
			"01 05 7765622d31 0b 434c52486561704c65616b fc0f 80a8d6b907 02 1fb12a98"},
		{"identity of a program", hex.EncodeToString(encodeProgram("CLRHeapLeak")),
			"01 0b 434c52486561704c65616b 7c857c35"},
		{"block of names", hex.EncodeToString(encodeNames(program, number32(0), []string{"A", "B", "C"})),
			"02 03 01 41 01 42 01 43 695bd763"},
		{"base", hex.EncodeToString(encodeBase(owner, number32(1), 2, d.differ(noBase, d.tableOf(first)))),
			"02 02 00 5c c00b 00 02 30 128e2803"},
		{"key", hex.EncodeToString(key), "0000008ac45e4800 20"},
		{"key of counters", hex.EncodeToString(ckey), "0000000000000001 11"},
		{"snapshot", hex.EncodeToString(seal(owner, key, differing)),
			"02 7d 01 04 05 03 636c72 00 01 02 89cbe302 00 00 00 00 00 00 00 03 01 02 03" +
				"01 00 00 00 00 00 80808080808080808001 01 03 613a31 03 637574" +
				"01 02 00 da53 a0bb0a 01 00 04 60 bfce7d35"},
		{"snapshot without a base", hex.EncodeToString(seal(owner, key, inFull)),
			"02 7d 01 04 05 03 636c72 00 01 02 89cbe302 00 00 00 00 00 00 00 03 01 02 03" +
				"01 00 00 00 00 00 80808080808080808001 01 03 613a31 03 637574" +
				"00 02 00 b654 e0c60a 02 04 60 fc2a0ae4"},
		{"snapshot of counters", hex.EncodeToString(seal(owner, ckey, counters)), "02 20 07 8001 00 00 00 00 00 00 00 912a40c0"},
	} {
		if want := strings.ReplaceAll(tt.want, " ", ""); tt.got != want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, tt.got, want)
		}
	}
}

func TestKeysSortAsTimeSorts(t *testing.T) {
	var last []byte
	for _, uptime := range []time.Duration{0, 1, 255, 256, 4 * time.Second, 10 * time.Minute, 24 * 365 * time.Hour, math.MaxInt64} {
		for _, basis := range []heap.Basis{heap.Live, heap.All} {
			for _, counters := range []bool{false, true} {
				k := snapshotKey(uptime, basis, counters)
				if bytes.Compare(last, k) >= 0 {
					t.Errorf("key %x of %v, %s, counters %v is not behind %x", k, uptime, basis, counters, last)
				}
				last = k
				u, b, c, err := parseKey(k)
				if u != uptime || b != basis || c != counters || err != nil {
					t.Errorf("key %x parses as %v, %s, %v, %v", k, u, b, c, err)
				}
			}
		}
	}
	for _, bad := range []string{"", "00", "800000000000000010", "000000000000000030", "000000000000000012", "00000000000000001000"} {
		k, _ := hex.DecodeString(bad)
		if _, _, _, err := parseKey(k); !errors.Is(err, ErrCorrupt) {
			t.Errorf("key %q: %v, want ErrCorrupt", bad, err)
		}
	}
}

func TestEverySourceHasACode(t *testing.T) {
	for _, s := range heap.Sources {
		if slices.Index(sources, s) < 1 {
			t.Errorf("source %q has no code", s)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	known := heap.Known
	p := heap.Process{Program: "Demo", PID: 1}
	base := heap.Snapshot{Process: p, Source: heap.SourceSOS, Basis: heap.All, Complete: true,
		Types: []heap.Type{{Name: "A", Count: 1, Bytes: 24}}}
	tests := []struct {
		why    string
		change func(s *heap.Snapshot)
	}{
		{"as it is", func(s *heap.Snapshot) {}},
		{"live", func(s *heap.Snapshot) { s.Basis = heap.Live }},
		{"longest uptime", func(s *heap.Snapshot) { s.Uptime = math.MaxInt64 }},
		{"incomplete and estimated", func(s *heap.Snapshot) { s.Complete, s.Estimated = false, true }},
		{"taken with nanoseconds", func(s *heap.Snapshot) { s.Taken = time.Unix(1764000000, 123456789) }},
		{"taken before 1970", func(s *heap.Snapshot) { s.Taken = time.Date(1066, 10, 14, 9, 0, 0, 999999999, time.UTC) }},
		{"taken in another zone", func(s *heap.Snapshot) { s.Taken = time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", -3600)) }},
		{"runtime", func(s *heap.Snapshot) { s.Runtime = heap.Runtime{Flavor: "mscorsvr", Version: "2.0.50727"} }},
		{"heap totals unknown", func(s *heap.Snapshot) { s.Heap = &heap.Totals{} }},
		{"heap totals zero", func(s *heap.Snapshot) {
			s.Heap = &heap.Totals{Heaps: known(0), Server: heap.No, LiveBytes: known(0), CommittedBytes: known(0), FreeBytes: known(0),
				FreeCount: known(0), Objects: known(0), ObjectBytes: known(0), LimitBytes: known(0)}
		}},
		{"heap totals each its own", func(s *heap.Snapshot) {
			s.Heap = &heap.Totals{Heaps: known(1), Server: heap.Yes, HeapBytes: []int64{2, 0, math.MaxInt64}, LiveBytes: known(3), CommittedBytes: known(4),
				FreeBytes: known(5), FreeCount: known(6), Objects: known(7), ObjectBytes: known(8), Generations: []int64{9, 10, 11, 12, 13}, LimitBytes: known(math.MaxInt64)}
		}},
		{"memory unknown", func(s *heap.Snapshot) { s.Memory = &heap.ProcessMemory{} }},
		{"memory each its own", func(s *heap.Snapshot) {
			s.Memory = &heap.ProcessMemory{RSSBytes: known(0), PrivateBytes: known(1), CommittedBytes: known(2), NativeHeapBytes: known(3),
				NativeHeaps: known(4), NativeReservedBytes: known(5), LimitBytes: known(math.MaxInt64)}
		}},
		{"warnings", func(s *heap.Snapshot) { s.Warn("x.log:12", "row skipped"); s.Warn("", ""); s.Warn("\xff", "\x00") }},
		{"complete and empty", func(s *heap.Snapshot) { s.Types = nil }},
		{"counters only", func(s *heap.Snapshot) {
			s.Types, s.Complete, s.Memory = nil, false, &heap.ProcessMemory{RSSBytes: known(1)}
		}},
		{"largest numbers", func(s *heap.Snapshot) { s.Types = []heap.Type{{Name: "A", Count: math.MaxInt64, Bytes: math.MaxInt64}} }},
		{"row of zero objects", func(s *heap.Snapshot) { s.Types = []heap.Type{{Name: "A"}, {Name: "Z"}} }},
		{"names that are not UTF-8", func(s *heap.Snapshot) {
			s.Types = []heap.Type{{Name: "\x00", Count: 1}, {Name: "\xc3\x28\xff", Count: 2}}
		}},
		{"longest name", func(s *heap.Snapshot) {
			s.Types = []heap.Type{{Name: strings.Repeat("x", heap.MaxNameBytes), Count: 1}}
		}},
		{"unnamed process", func(s *heap.Snapshot) { s.Process = heap.Process{} }},
		{"full process", func(s *heap.Snapshot) {
			s.Process = heap.Process{Host: "\xfeh", Program: strings.Repeat("p", heap.MaxNameBytes), PID: math.MaxInt, StartNanos: -1, Run: math.MaxInt}
		}},
	}
	for _, src := range heap.Sources {
		tests = append(tests, struct {
			why    string
			change func(s *heap.Snapshot)
		}{"source " + string(src), func(s *heap.Snapshot) { s.Source = src }})
	}
	path := filepath.Join(t.TempDir(), "r.db")
	var want []*heap.Snapshot
	db := open(t, path, Options{noSync: true})
	for i, tt := range tests {
		s := base
		s.Uptime = time.Duration(i) * time.Second
		tt.change(&s)
		want = append(want, &s)
		if o, err := db.Put(&s, false); err != nil || o != Stored {
			t.Fatalf("%s: %v, %v", tt.why, o, err)
		}
	}
	db.Close()
	db = open(t, path, Options{ReadOnly: true})
	for i, tt := range tests {
		got, err := db.Get(want[i].Process, want[i].Uptime, want[i].Basis)
		if err != nil {
			t.Fatalf("%s: %v", tt.why, err)
		}
		if !got.Equal(want[i]) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.why, got, want[i])
		}
	}
}

// recorded reads a recording of testdata, see its README.md.
func recorded(t *testing.T, name string) []*heap.Snapshot {
	t.Helper()
	var snaps []*heap.Snapshot
	for dec := json.NewDecoder(bytes.NewReader(unzipped(t, name))); ; {
		s := &heap.Snapshot{}
		if err := dec.Decode(s); err == io.EOF {
			return snaps
		} else if err != nil {
			t.Fatal(err)
		}
		snaps = append(snaps, s)
	}
}

func unzipped(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A recording of a real process.
func TestRoundTripOfARecording(t *testing.T) {
	snaps := recorded(t, "orders.jsonl.gz")
	if len(snaps) != 75 {
		t.Fatalf("%d snapshots in the recording, want 75", len(snaps))
	}
	path := filepath.Join(t.TempDir(), "orders.db")
	db := open(t, path, Options{noSync: true})
	put(t, db, snaps...)
	if got := all(t, db, snaps[0].Process); !slices.EqualFunc(got, snaps, (*heap.Snapshot).Equal) {
		t.Error("the snapshots differ")
	}
	db.Close()
	// Its JSON form has 829 kB.
	if info, err := os.Stat(path); err != nil || info.Size() > 128<<10 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

// A day in small: bases, differences, new types, types that vanish.
func TestRoundTripOfASeries(t *testing.T) {
	for _, order := range []string{"forward", "backward", "batch"} {
		g := newRealistic(300)
		var snaps []*heap.Snapshot
		for i := range 210 {
			s := g.next()
			if i%7 == 3 {
				s.Types = slices.Delete(s.Types, 10, 20) // an absent type
			}
			if i%50 == 0 {
				s.Basis = heap.All
			}
			snaps = append(snaps, s)
		}
		db := open(t, filepath.Join(t.TempDir(), order), Options{noSync: true})
		switch order {
		case "forward":
			put(t, db, snaps...)
		case "backward":
			rev := slices.Clone(snaps)
			slices.Reverse(rev)
			put(t, db, rev...)
		case "batch":
			for i, r := range db.PutBatch(snaps, false) {
				if r != (Result{Stored, nil}) {
					t.Fatal(i, r)
				}
			}
		}
		got := all(t, db, leakProcess)
		if len(got) != len(snaps) {
			t.Fatalf("%s: %d snapshots, want %d", order, len(got), len(snaps))
		}
		names := map[string]bool{}
		for i := range got {
			if !got[i].Equal(snaps[i]) {
				t.Fatalf("%s: snapshot %d differs: %s", order, i, difference(got[i], snaps[i]))
			}
			for _, row := range snaps[i].Types {
				names[row.Name] = true
			}
		}
		// Each series against the slow way.
		listed, err := db.TypeNames(leakProcess)
		if err != nil || len(listed) != len(names) {
			t.Fatalf("%s: %d names, %v, want %d", order, len(listed), err, len(names))
		}
		for _, name := range append(listed, "no such type") {
			for _, basis := range []heap.Basis{heap.Live, heap.All} {
				var want []Point
				for _, s := range snaps {
					if s.Basis == basis {
						row, ok := s.Type(name)
						want = append(want, Point{s.Uptime, row.Count, row.Bytes, ok, s.Complete})
					}
				}
				pts, err := db.Series(leakProcess, basis, name)
				if err != nil || !slices.Equal(pts, want) {
					t.Fatalf("%s: series of %s: %v, %v", order, name, err, pts)
				}
			}
		}
		db.Close()
	}
}
