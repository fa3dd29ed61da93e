package store

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"leaktrack/heap"
)

func TestChosen(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "c.db"), Options{noSync: true})
	g := newRealistic(300) // long enough for bases
	var stored []*heap.Snapshot
	for range 200 {
		s := g.next()
		counters := &heap.Snapshot{Process: s.Process, Uptime: s.Uptime + time.Second, Source: s.Source, Basis: s.Basis, Memory: s.Memory}
		stored = append(stored, s, counters)
		put(t, db, s, counters)
	}
	var keys []Key
	if err := db.Keys(leakProcess, func(k Key) { keys = append(keys, k) }); err != nil {
		t.Fatal(err)
	}
	if len(keys) != len(stored) {
		t.Fatalf("%d keys of %d snapshots", len(keys), len(stored))
	}
	for i, k := range keys {
		if k != KeyOf(stored[i]) {
			t.Errorf("key %d is %+v, want %+v", i, k, KeyOf(stored[i]))
		}
	}
	other := keys[0]
	other.Uptime++
	for _, tt := range []struct {
		why  string
		keys []Key
		want []*heap.Snapshot
	}{
		{"none", nil, nil},
		{"all", keys, stored},
		{"the last", keys[399:], stored[399:]},
		{"far apart", []Key{keys[0], keys[131], keys[262], keys[398]}, []*heap.Snapshot{stored[0], stored[131], stored[262], stored[398]}},
		{"one that is not there", []Key{keys[0], other, keys[1]}, stored[:2]},
	} {
		var got []*heap.Snapshot
		for s, err := range db.Chosen(leakProcess, tt.keys) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s)
		}
		if !slices.EqualFunc(got, tt.want, (*heap.Snapshot).Equal) {
			t.Errorf("%s: %d snapshots, want %d, or they differ", tt.why, len(got), len(tt.want))
		}
	}
	nobody := heap.Process{Program: "Nobody"}
	if err := db.Keys(nobody, func(Key) {}); !errors.Is(err, ErrNotFound) {
		t.Errorf("keys of a process that is not there: %v", err)
	}
	for s, err := range db.Chosen(nobody, keys) {
		if s != nil || !errors.Is(err, ErrNotFound) {
			t.Errorf("snapshots of a process that is not there: %v, %v", s, err)
		}
	}
}
