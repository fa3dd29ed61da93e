package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// unchanged fails the test when do changes the file.
func unchanged(t *testing.T, path, what string, do func()) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	do()
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Errorf("%s changed the file", what)
	}
}

func TestStoringAgainChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i.db")
	g := newRealistic(300)
	var snaps []*heap.Snapshot
	for range 20 {
		s := g.next()
		s.Warn("one.log:12", "row skipped")
		snaps = append(snaps, s)
	}
	db := open(t, path, Options{})
	put(t, db, snaps...)
	db.Close()
	renamed := *snaps[3]
	renamed.Warnings = []heap.Warning{{Place: "other.log:12", Text: "row skipped"}}
	unchanged(t, path, "storing again", func() {
		db := open(t, path, Options{})
		for _, replace := range []bool{false, true} {
			for i, s := range append(snaps, &renamed) {
				if o, err := db.Put(s, replace); o != AlreadyStored || err != nil {
					t.Errorf("snapshot %d: %v, %v", i, o, err)
				}
			}
			for i, r := range db.PutBatch(snaps, replace) {
				if r != (Result{AlreadyStored, nil}) {
					t.Errorf("snapshot %d of the batch: %v", i, r)
				}
			}
		}
		db.Close()
	})
	// The comparison has been seen to fail.
	before, _ := os.ReadFile(path)
	db = open(t, path, Options{})
	put(t, db, g.next())
	db.Close()
	after, _ := os.ReadFile(path)
	if bytes.Equal(before, after) {
		t.Error("storing something new did not change the file")
	}
}

func TestReadingChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	db := open(t, path, Options{})
	put(t, db, nth(1, 0), nth(1, 1), nth(2, 0))
	db.Close()
	for _, readOnly := range []bool{true, false} {
		unchanged(t, path, "reading", func() {
			db := open(t, path, Options{ReadOnly: readOnly})
			if _, err := readAll(db); err != nil {
				t.Error(err)
			}
			if _, err := db.Infos(nth(1, 0).Process); err != nil {
				t.Error(err)
			}
			if _, err := db.Last(nth(1, 0).Process); err != nil {
				t.Error(err)
			}
			db.Close()
		})
	}
}

func TestRefusedSnapshotsChangeNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	db := open(t, path, Options{})
	old := tableAt(time.Second, "A", 5, "B", 7, "C", 1, "D", 9, "E", 3)
	old.Memory = &heap.ProcessMemory{RSSBytes: heap.Known(1)}
	put(t, db, old)
	for _, tt := range []struct {
		why    string
		change func(s *heap.Snapshot)
		want   error
		says   string
	}{
		{"one type", func(s *heap.Snapshot) { s.Types[0].Count = 6 }, ErrConflict, "differs in 1 type: A (5 objects, 120 bytes, new 6 objects, 120 bytes)"},
		{"types come and go", func(s *heap.Snapshot) { s.Types[0].Name, s.Types[1].Name, s.Types[2].Bytes = "AA", "BB", 0 },
			ErrConflict, "differs in 5 types: A (5 objects, 120 bytes, not in the new one), AA (not listed, new 5 objects, 120 bytes)"},
		{"other memory", func(s *heap.Snapshot) { s.Memory.RSSBytes = heap.Known(2) }, ErrConflict, "other process memory"},
		{"other source", func(s *heap.Snapshot) { s.Source = heap.SourceJSON }, ErrConflict, "its source is sos, the new one's json"},
		{"incomplete", func(s *heap.Snapshot) { s.Complete = false }, ErrConflict, "its table is complete, the new one's incomplete"},
		{"another warning", func(s *heap.Snapshot) { s.Warn("", "doubt") }, ErrConflict, "other warnings"},
		{"unknown uptime", func(s *heap.Snapshot) { s.Uptime = heap.UptimeUnknown }, nil, "uptime is unknown"},
		{"no such server state", func(s *heap.Snapshot) { s.Uptime, s.Heap = 99, &heap.Totals{Server: 7} }, nil, "server GC 7"},
		{"types out of order", func(s *heap.Snapshot) { s.Uptime = 99; slices.Reverse(s.Types) }, nil, "not sorted"},
	} {
		s := *old
		s.Types = slices.Clone(old.Types)
		memory := *old.Memory
		s.Memory = &memory
		tt.change(&s)
		unchanged(t, path, tt.why, func() {
			o, err := db.Put(&s, false)
			if o != 0 || err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) ||
				!strings.Contains(err.Error(), "Demo/7") {
				t.Errorf("%s: %v, %v; want %v saying %q", tt.why, o, err, tt.want, tt.says)
			}
		})
	}
	if got := all(t, db, old.Process); len(got) != 1 || !got[0].Equal(old) {
		t.Errorf("the old one is not kept: %v", got)
	}
}

func TestReplace(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "r.db"), Options{noSync: true})
	g := newRealistic(300)
	var snaps []*heap.Snapshot
	for range 150 {
		snaps = append(snaps, g.next())
	}
	put(t, db, snaps...)
	// The first one made the base of its followers; all are replaced in some
	// order, by tables that share little with the old ones.
	other := newRealistic(300)
	other.rng = rand.New(rand.NewPCG(8, 9))
	for i := range snaps {
		s := other.next()
		for j := range s.Types {
			s.Types[j].Count += int64(j)
		}
		if i%3 == 0 {
			s.Types = s.Types[:200]
		}
		i = i * 77 % 150
		s.Uptime = snaps[i].Uptime
		snaps[i] = s
		if o, err := db.Put(s, true); o != Replaced || err != nil {
			t.Fatal(o, err)
		}
		if i%10 != 0 {
			continue
		}
		for j, got := range all(t, db, leakProcess) {
			if !got.Equal(snaps[j]) {
				t.Fatalf("after replacing %d, snapshot %d: %s", i, j, difference(snaps[j], got))
			}
		}
	}
	// No base is left that nothing refers to.
	err := db.view(func(tx *bbolt.Tx) error {
		sp, err := find(tx, leakProcess)
		if err != nil {
			return err
		}
		used := map[uint32]bool{}
		err = sp.snapshots.ForEach(func(k, v []byte) error {
			r, err := sp.record(k, v)
			if err == nil && r.base != 0 {
				used[r.base] = true
			}
			return err
		})
		if n := sp.bases.Stats().KeyN; n != len(used) || n == 0 {
			t.Errorf("%d bases, %d in use", n, len(used))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCountersBesideATable(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "b.db"), Options{noSync: true})
	tab := tableAt(time.Second, "A", 1)
	counters := tableAt(time.Second)
	counters.Complete, counters.Heap = false, &heap.Totals{LiveBytes: heap.Known(9)}
	later := *counters
	later.Uptime = 2 * time.Second
	live := tableAt(time.Second, "A", 1)
	live.Basis = heap.Live
	empty := tableAt(0)
	put(t, db, &later, counters, tab, live, empty)
	got := all(t, db, tab.Process)
	want := []*heap.Snapshot{empty, live, tab, counters, &later}
	if !slices.EqualFunc(got, want, (*heap.Snapshot).Equal) {
		t.Errorf("order: %+v", got)
	}
	if s, err := db.Get(tab.Process, time.Second, heap.All); err != nil || !s.Equal(tab) {
		t.Errorf("Get does not prefer the table: %+v, %v", s, err)
	}
	if s, err := db.Get(tab.Process, 2*time.Second, heap.All); err != nil || !s.Equal(&later) {
		t.Errorf("Get of counters: %+v, %v", s, err)
	}
	if s, err := db.Last(tab.Process); err != nil || !s.Equal(tab) {
		t.Errorf("Last does not prefer the table: %+v, %v", s, err)
	}
	infos, err := db.Infos(tab.Process)
	if err != nil || len(infos) != 5 || infos[1] != (Info{Uptime: time.Second, Basis: heap.Live, Source: heap.SourceSOS, Complete: true, Types: 1}) ||
		infos[3].Heap == nil || infos[3].Heap.LiveBytes != heap.Known(9) ||
		infos[3] != (Info{Uptime: time.Second, Basis: heap.All, Source: heap.SourceSOS, CountersOnly: true, Heap: infos[3].Heap}) {
		t.Errorf("infos: %+v, %v", infos, err)
	}
	ps, err := db.Processes()
	if err != nil || !slices.Equal(ps, []ProcessInfo{{Process: tab.Process, Live: 1, All: 2, Counters: 2, First: 0, Last: 2 * time.Second}}) {
		t.Errorf("processes: %+v, %v", ps, err)
	}
}

func TestProcessesAreSorted(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "p.db"), Options{noSync: true})
	var want []heap.Process
	for _, p := range []heap.Process{{}, {Program: "A", PID: 9}, {Program: "A", PID: 9, Run: 2}, {Program: "B", StartNanos: 1, PID: 4},
		{Program: "B", StartNanos: 2, PID: 3}, {Host: "h", Program: "A"}} {
		want = append(want, p)
		s := tableAt(0, "X", len(want))
		s.Process = p
		put(t, db, s)
	}
	infos, err := db.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for i, info := range infos {
		if info.Process != want[i] {
			t.Errorf("%d: %+v, want %+v", i, info.Process, want[i])
		}
		if s, err := db.Last(info.Process); err != nil || s.Types[0].Count != int64(i+1) {
			t.Errorf("%v: %+v, %v", info.Process, s, err)
		}
	}
}

func TestBatch(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "b.db"), Options{noSync: true})
	put(t, db, tableAt(1, "A", 1))
	bad := tableAt(heap.UptimeUnknown, "A", 1)
	results := db.PutBatch([]*heap.Snapshot{tableAt(2, "A", 1), bad, tableAt(1, "A", 1), tableAt(1, "A", 2), tableAt(2, "A", 1), tableAt(2, "A", 3), tableAt(3, "B", 1)}, false)
	want := []Outcome{Stored, 0, AlreadyStored, 0, AlreadyStored, 0, Stored}
	for i, r := range results {
		if r.Outcome != want[i] || (r.Err != nil) != (want[i] == 0) {
			t.Errorf("%d: %v, %v; want %v", i, r.Outcome, r.Err, want[i])
		}
	}
	if n := len(all(t, db, bad.Process)); n != 3 {
		t.Errorf("%d snapshots, want 3", n)
	}
}

func TestLoopBodyMayWrite(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "w.db"), Options{noSync: true})
	const first, last = 100, 400
	for i := range first {
		put(t, db, nth(1, i))
	}
	n := 0
	for s, err := range db.Snapshots(nth(1, 0).Process) {
		if err != nil {
			t.Fatal(err)
		}
		if !s.Equal(nth(1, n)) {
			t.Fatalf("snapshot %d: %s", n, difference(s, nth(1, n)))
		}
		n++
		// Types that the iterator has not seen come with each, too.
		if first+n <= last {
			put(t, db, nth(1, first+n-1))
		}
	}
	if n != last {
		t.Errorf("%d snapshots, want %d", n, last)
	}
	for range db.Snapshots(nth(1, 0).Process) {
		break // and stop early
	}
}

func TestSnapshotsAreTheCallers(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "o.db"), Options{noSync: true})
	for i := range 10 {
		s := nth(1, i)
		put(t, db, s)
		for j := range s.Types {
			s.Types[j] = heap.Type{Name: "changed after Put", Count: -1}
		}
	}
	i := 0
	for s, err := range db.Snapshots(nth(1, 0).Process) {
		if err != nil || !s.Equal(nth(1, i)) {
			t.Fatalf("snapshot %d: %v", i, err)
		}
		for j := range s.Types {
			s.Types[j].Count = -1
		}
		i++
	}
}

func TestErrorsOfMethods(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.db")
	db := open(t, path, Options{})
	put(t, db, nth(1, 0))
	stranger := heap.Process{Program: "none"}
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := db.Get(stranger, 0, heap.All)
	check("Get of a stranger", err, ErrNotFound)
	_, err = db.Get(nth(1, 0).Process, 1, heap.All)
	check("Get of another uptime", err, ErrNotFound)
	_, err = db.Last(stranger)
	check("Last", err, ErrNotFound)
	_, err = db.Infos(stranger)
	check("Infos", err, ErrNotFound)
	_, err = db.Series(stranger, heap.All, "A")
	check("Series", err, ErrNotFound)
	_, err = db.TypeNames(stranger)
	check("TypeNames", err, ErrNotFound)
	pairs := 0
	for s, e := range db.Snapshots(stranger) {
		if pairs++; s != nil {
			t.Error("a snapshot beside an error")
		}
		err = e
	}
	check("Snapshots", err, ErrNotFound)
	if pairs != 1 {
		t.Errorf("%d pairs", pairs)
	}
	db.Close()
	if err := db.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	_, err = db.Put(nth(1, 1), false)
	check("Put after Close", err, ErrClosed)
	_, err = db.Processes()
	check("Processes after Close", err, ErrClosed)
	ro := open(t, path, Options{ReadOnly: true})
	_, err = ro.Put(nth(1, 1), false)
	check("Put into what is open for reading", err, ErrReadOnly)
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestConcurrentUse(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "g.db"), Options{noSync: true})
	put(t, db, nth(1, 0))
	var wg sync.WaitGroup
	for pid := 1; pid <= 2; pid++ {
		wg.Go(func() {
			for i := 1; i < 60; i++ {
				if o, err := db.Put(nth(pid, i), false); o != Stored || err != nil {
					t.Error(pid, i, o, err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if _, err := readAll(db); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := readAll(db)
	if err != nil || len(got) != 60+59 {
		t.Errorf("%d snapshots, %v", len(got), err)
	}
}
