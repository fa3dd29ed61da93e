package store

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"leaktrack/heap"
)

func TestRevisionChangesWithTheSnapshots(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "r.db"), Options{noSync: true})
	p := nth(1, 0).Process
	if _, err := db.Revision(p); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a process that is not stored: %v", err)
	}
	seen := map[uint64]string{}
	step := func(what string, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		r, err := db.Revision(p)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[r]; ok {
			t.Errorf("the same after %s as after %s", what, before)
		}
		seen[r] = what
	}
	store := func(s *heap.Snapshot, replace bool) func() error {
		return func() error { _, err := db.Put(s, replace); return err }
	}
	step("the first", store(nth(1, 0), false))
	step("the second", store(nth(1, 1), false))
	step("one in between", store(func() *heap.Snapshot { s := nth(1, 0); s.Uptime = time.Millisecond; return s }(), false))
	changed := nth(1, 1)
	changed.Types[0].Count++
	step("a replacement", store(changed, true))
	step("pruning", func() error { _, err := db.Prune(PruneOptions{Keep: 2}); return err })

	before, err := db.Revision(p)
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, nth(2, 0))
	if _, err := db.Put(changed, false); err != nil {
		t.Fatal(err)
	}
	if after, err := db.Revision(p); err != nil || after != before {
		t.Errorf("storing another process, and the same again, changes it: %v", err)
	}
}

func TestSnapshotsFrom(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "r.db"), Options{noSync: true})
	for i := range 200 {
		put(t, db, nth(1, i))
	}
	counters := nth(1, 150)
	counters.Types, counters.Complete, counters.Heap = nil, false, &heap.Totals{LiveBytes: heap.Known(1)}
	put(t, db, counters)
	tests := []struct {
		why  string
		from time.Duration
		want int
	}{
		{"all", 0, 201},
		{"before the first", -1, 201},
		{"at one, with all that share its uptime", 150 * time.Second, 51},
		{"between two", 150*time.Second + 1, 49},
		{"behind the last", time.Hour, 0},
	}
	for _, tt := range tests {
		n := 0
		for s, err := range db.SnapshotsFrom(counters.Process, tt.from) {
			if err != nil {
				t.Fatal(err)
			}
			if s.Uptime < tt.from {
				t.Errorf("%s: one at %s", tt.why, s.Uptime)
			}
			n++
		}
		if n != tt.want {
			t.Errorf("%s: %d snapshots, want %d", tt.why, n, tt.want)
		}
	}
}
