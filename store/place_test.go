package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// versions counts the snapshots by the version of their values.
func versions(t *testing.T, db *DB) map[byte]int {
	t.Helper()
	n := map[byte]int{}
	err := db.view(func(tx *bbolt.Tx) error {
		processes := tx.Bucket(bucketProcesses)
		return processes.ForEachBucket(func(k []byte) error {
			return processes.Bucket(k).Bucket(bucketSnapshots).ForEach(func(_, v []byte) error {
				n[v[0]]++
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A file that was written before values said where they belong: reading leaves it
// alone, the first write counts what is there, and old and new values lie side by side.
func TestVersion1(t *testing.T) {
	want := recorded(t, "v1.jsonl.gz")
	path := writeTemp(t, unzipped(t, "v1.db.gz"))
	same := func(when string, want []*heap.Snapshot, old, fresh int) {
		t.Helper()
		db := open(t, path, Options{ReadOnly: true})
		defer db.Close()
		got, err := readAll(db)
		if err != nil || !slices.EqualFunc(got, want, (*heap.Snapshot).Equal) {
			t.Errorf("%s: %d snapshots, want %d, %v", when, len(got), len(want), err)
		}
		if n := versions(t, db); n[1] != old || n[2] != fresh || len(n) > 2 {
			t.Errorf("%s: values of version %v, want %d old and %d new", when, n, old, fresh)
		}
		h, err := Check(path, Options{Wait: -1})
		if readable, _ := h.Snapshots(); err != nil || !h.Sound() || readable != len(want) {
			t.Errorf("%s: %v, %+v", when, err, h)
		}
	}
	if len(want) != 22 {
		t.Fatalf("%d snapshots in the recording", len(want))
	}
	unchanged(t, path, "reading", func() { same("as it was", want, 22, 0) })
	unchanged(t, path, "storing what is there", func() {
		db := open(t, path, Options{noSync: true})
		for _, s := range want {
			if o, err := db.Put(s, true); o != AlreadyStored || err != nil {
				t.Errorf("%v at %v: %v, %v", s.Process, s.Uptime, o, err)
			}
		}
		db.Close()
	})
	// Another snapshot of the last process, on the same base, and of a new one of the program.
	next := *want[len(want)-1]
	next.Uptime += 2 * time.Second
	other := next
	other.Process.PID++
	db := open(t, path, Options{noSync: true})
	put(t, db, &next, &other)
	db.Close()
	want = append(want, &next, &other)
	same("with two more", want, 22, 2)
	if _, _, err := Compact(path, Options{}); err != nil {
		t.Fatal(err)
	}
	same("compacted", want, 22, 2)
	to := filepath.Join(t.TempDir(), "b.db")
	if _, err := Backup(path, to, false, Options{}); err != nil {
		t.Fatal(err)
	}
	path = to
	same("in a backup", want, 22, 2)
	db = open(t, path, Options{noSync: true})
	if _, err := db.Prune(PruneOptions{Keep: 1}); err != nil {
		t.Fatal(err)
	}
	db.Close()
	var left []*heap.Snapshot
	for i, s := range want {
		if i+1 == len(want) || want[i+1].Process != s.Process {
			left = append(left, s)
		}
	}
	same("pruned", left, 3, 2)
	// From now on a loss shows, in old values, too.
	lose(t, path, want[0].Process)
}

// The write that makes a file of version 1 one of version 2 is cut off behind each of
// its pages: the file is of version 1 still, and lacks nothing.
func TestUpgradeCutOff(t *testing.T) {
	t.Parallel()
	want := recorded(t, "v1.jsonl.gz")
	old := unzipped(t, "v1.db.gz")
	path := writeTemp(t, old)
	failed := errors.New("failed")
	unchanged(t, path, "a write that fails", func() {
		db := open(t, path, Options{noSync: true})
		defer db.Close()
		if err := db.update(func(*bbolt.Tx) error { return failed }); !errors.Is(err, failed) {
			t.Error(err)
		}
	})
	next := *want[0]
	next.Uptime += time.Hour
	db := open(t, path, Options{noSync: true})
	put(t, db, &next)
	db.Close()
	fresh, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := metaOf(t, path)
	page, changed := int(m.pageSize), 0
	for at := 2 * page; at <= len(fresh); at += page {
		if at < len(fresh) && at < len(old) && bytes.Equal(fresh[at:at+page], old[at:at+page]) {
			continue
		}
		changed++
		// The file has its new length before a page is written.
		data := append(bytes.Clone(old), make([]byte, max(0, len(fresh)-len(old)))...)
		copy(data[2*page:], fresh[2*page:at])
		torn := bytes.Clone(data)
		clear(torn[int(m.txid%2)*page:][:page]) // in the midst of the meta page
		for _, data := range [][]byte{data, torn} {
			path, warnings := writeTemp(t, data), 0
			db := open(t, path, Options{ReadOnly: true, Warning: func(string, string) { warnings++ }})
			got, err := readAll(db)
			if n := versions(t, db); err != nil || !slices.EqualFunc(got, want, (*heap.Snapshot).Equal) || n[1] != len(want) {
				t.Errorf("up to page %d: %d snapshots, want %d, %v", at/page, len(got), len(want), err)
			}
			db.Close()
			if warned := &data[0] == &torn[0]; (warnings == 1) != warned {
				t.Errorf("up to page %d: %d warnings", at/page, warnings)
			}
		}
	}
	if changed < 3 {
		t.Errorf("the write changed %d pages", changed)
	}
}

// lose removes a snapshot behind the back of this package, and wants that to show.
func lose(t *testing.T, path string, p heap.Process) {
	t.Helper()
	inBolt(t, path, func(tx *bbolt.Tx) error {
		sp, err := find(tx, p)
		if err != nil {
			return err
		}
		k, _ := sp.snapshots.Cursor().First()
		return sp.snapshots.Delete(k)
	})
	lost(t, path, "snapshots")
}

func lost(t *testing.T, path, what string) {
	t.Helper()
	if _, err := Open(path, Options{ReadOnly: true}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), what) {
		t.Errorf("opening: %v", err)
	}
	h, err := Check(path, Options{})
	if err != nil || h.Sound() || !errors.Is(h.Damage[0].Err, ErrCorrupt) || !strings.Contains(h.Damage[0].Error(), what) {
		t.Errorf("checking: %v, %+v", err, h)
	}
}

// What is missing leaves no trace but the numbers.
func TestMissingValues(t *testing.T) {
	t.Parallel()
	data, snaps := smallStore(t)
	a, b := snaps[0].Process, snaps[len(snaps)-1].Process // with pages of its own, and without
	for _, p := range []heap.Process{a, b} {
		lose(t, writeTemp(t, data), p)
		path := writeTemp(t, data)
		inBolt(t, path, func(tx *bbolt.Tx) error {
			sp, err := find(tx, p)
			if err != nil {
				return err
			}
			k, v := sp.snapshots.Cursor().First()
			other := bytes.Clone(k)
			other[7]++ // an uptime that was not stored
			return errors.Join(sp.snapshots.Put(other, bytes.Clone(v)), sp.snapshots.Delete(k))
		})
		lost(t, path, "snapshots are missing, or others are there")
		path = writeTemp(t, data)
		inBolt(t, path, func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketProcesses).DeleteBucket(bucketKey(encodeProcess(p)))
		})
		lost(t, path, "snapshots are missing")
	}
	// Pages of another commit than the meta page tells of.
	path := writeTemp(t, data)
	bolt, err := bbolt.Open(path, 0o600, nil)
	if err == nil {
		err = errors.Join(bolt.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put([]byte("x"), nil) }), bolt.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	m := metaOf(t, path)
	lost(t, path, fmt.Sprintf("the pages are of commit %d, the meta page of commit %d", m.txid-1, m.txid))
	// All that the package does itself is counted.
	path = writeTemp(t, data)
	steps := []func(db *DB){
		func(db *DB) { put(t, db, nth(4, 0), nth(4, 1), nth(5, 0)) },
		func(db *DB) {
			s := *nth(4, 1)
			s.Complete = !s.Complete
			if o, err := db.Put(&s, true); o != Replaced || err != nil {
				t.Errorf("%v, %v", o, err)
			}
		},
		func(db *DB) {
			if _, err := db.Prune(PruneOptions{Keep: 7}); err != nil {
				t.Error(err)
			}
		},
		func(db *DB) {
			if _, err := db.Prune(PruneOptions{OlderThan: 1, Now: time.Unix(1<<40, 0), Processes: []heap.Process{a}}); err != nil {
				t.Error(err)
			}
		},
		func(db *DB) {
			for i, r := range db.PutBatch(snaps, true) {
				if r.Err != nil {
					t.Errorf("%d: %v", i, r.Err)
				}
			}
		},
	}
	for i, step := range steps {
		db := open(t, path, Options{noSync: true})
		step(db)
		db.Close()
		if h, err := Check(path, Options{}); err != nil || !h.Sound() {
			t.Errorf("after step %d: %v, %+v", i, err, h)
		}
		open(t, path, Options{ReadOnly: true}).Close()
	}
}

// A sound value in a wrong place is damage: under another process, under another
// program, and where a process or program of the same name was before.
func TestValueInTheWrongPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p.db")
	// The tables are long enough for a base, and of the same types in another order.
	snap := func(program string, pid, i, order int) *heap.Snapshot {
		g := newRealistic(200)
		s := g.next()
		s.Process = heap.Process{Program: program, PID: pid}
		s.Uptime = time.Duration(i) * time.Second
		if order > 0 {
			for k := range s.Types {
				s.Types[k].Name = string(rune('a'+(k*7+order)%26)) + s.Types[k].Name
			}
			if err := s.SetTypes(s.Types); err != nil {
				t.Fatal(err)
			}
		}
		s.Types[0].Count += int64(100*pid + i)
		return s
	}
	a, b, c := heap.Process{Program: "A", PID: 1}, heap.Process{Program: "A", PID: 2}, heap.Process{Program: "C", PID: 3}
	db := open(t, path, Options{noSync: true})
	for i := range 3 {
		put(t, db, snap("A", 1, i, 0), snap("A", 2, i, 0), snap("C", 3, i, 5))
	}
	// The process that comes again differs in its values, and in the order of its names.
	values := func(db *DB, p heap.Process) (snapshot, base, names []byte) {
		err := db.view(func(tx *bbolt.Tx) error {
			sp, err := find(tx, p)
			if err != nil {
				return err
			}
			snapshot = bytes.Clone(sp.snapshots.Get(snapshotKey(time.Second, heap.Live, false)))
			base = bytes.Clone(sp.bases.Get(number32(1)))
			names = bytes.Clone(sp.names.Get(number32(0)))
			return nil
		})
		if err != nil || snapshot == nil || base == nil || names == nil {
			t.Fatal(err, snapshot == nil, base == nil, names == nil)
		}
		return snapshot, base, names
	}
	oldSnapshot, oldBase, oldNames := values(db, c)
	if _, err := db.Prune(PruneOptions{OlderThan: 1, Now: time.Unix(1<<40, 0), Processes: []heap.Process{c}}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		put(t, db, snap("C", 3, i, 2))
	}
	newSnapshot, newBase, newNames := values(db, c)
	if bytes.Equal(newSnapshot, oldSnapshot) || bytes.Equal(newBase, oldBase) || bytes.Equal(newNames, oldNames) {
		t.Fatal("the process came again with the same values")
	}
	db.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key := snapshotKey(time.Second, heap.Live, false)
	// in changes the bucket of two processes; resealed gives a value the checksum of version 1.
	in := func(f func(x, y *space) error) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			x, err := find(tx, a)
			if err != nil {
				return err
			}
			y, err := find(tx, b)
			if err != nil {
				return err
			}
			return f(x, y)
		}
	}
	of := func(p heap.Process, f func(sp *space) error) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			sp, err := find(tx, p)
			if err != nil {
				return err
			}
			return f(sp)
		}
	}
	swap := func(x, y *bbolt.Bucket, key []byte, change func([]byte) []byte) error {
		v, w := change(bytes.Clone(x.Get(key))), change(bytes.Clone(y.Get(key)))
		return errors.Join(x.Put(key, w), y.Put(key, v))
	}
	as := func(version byte) func([]byte) []byte {
		return func(v []byte) []byte {
			if version == 1 {
				v[0] = 1
				return seal(nil, key, v[:len(v)-4])
			}
			return v
		}
	}
	for _, tt := range []struct {
		why     string
		change  func(tx *bbolt.Tx) error
		noticed bool
	}{
		{"nothing", func(*bbolt.Tx) error { return nil }, false},
		{"snapshots of two processes", in(func(x, y *space) error { return swap(x.snapshots, y.snapshots, key, as(2)) }), true},
		{"the same in version 1, which could not tell", in(func(x, y *space) error { return swap(x.snapshots, y.snapshots, key, as(1)) }), false},
		{"bases of two processes", in(func(x, y *space) error { return swap(x.bases, y.bases, number32(1), as(2)) }), true},
		{"a snapshot under another uptime", of(a, func(sp *space) error {
			return sp.snapshots.Put(snapshotKey(2*time.Second, heap.Live, false), bytes.Clone(sp.snapshots.Get(key)))
		}), true},
		{"type names of another program", of(a, func(sp *space) error { return sp.names.Put(number32(0), newNames) }), true},
		{"type names that the program had before", of(c, func(sp *space) error { return sp.names.Put(number32(0), oldNames) }), true},
		{"a base that the process had before", of(c, func(sp *space) error { return sp.bases.Put(number32(1), oldBase) }), true},
		{"a snapshot that the process had before", of(c, func(sp *space) error { return sp.snapshots.Put(key, oldSnapshot) }), true},
		{"all that it had before, but its generation", of(c, func(sp *space) error {
			return errors.Join(sp.names.Put(number32(0), oldNames), sp.bases.Put(number32(1), oldBase), sp.snapshots.Put(key, oldSnapshot))
		}), true},
	} {
		path := writeTemp(t, data)
		inBolt(t, path, tt.change)
		db := open(t, path, Options{ReadOnly: true})
		_, err := readAll(db)
		db.Close()
		if errors.Is(err, ErrCorrupt) != tt.noticed || err != nil && !tt.noticed {
			t.Errorf("%s: reading: %v", tt.why, err)
		}
		h, err := Check(path, Options{})
		if err != nil || h.Sound() == tt.noticed {
			t.Errorf("%s: checking: %v, %+v", tt.why, err, h)
		}
		for _, d := range h.Damage {
			if !errors.Is(d.Err, ErrCorrupt) {
				t.Errorf("%s: %v", tt.why, d)
			}
		}
		if _, _, err := Compact(path, Options{}); errors.Is(err, ErrCorrupt) != tt.noticed {
			t.Errorf("%s: compacting: %v", tt.why, err)
		}
	}
}

// The number of a base is not used twice, also when the base is gone.
func TestBaseNumbersAreNew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "n.db")
	db := open(t, path, Options{noSync: true})
	defer db.Close()
	g := newRealistic(200)
	var last uint32
	for i := range 4 {
		s := g.next()
		s.Uptime = time.Second // the one before is replaced, and its base goes
		for k := range s.Types {
			s.Types[k].Count += int64(1000 * i)
		}
		if _, err := db.Put(s, true); err != nil {
			t.Fatal(err)
		}
		err := db.view(func(tx *bbolt.Tx) error {
			sp, err := find(tx, s.Process)
			if err != nil {
				return err
			}
			rec, err := sp.record(snapshotKey(time.Second, heap.Live, false), sp.snapshots.Get(snapshotKey(time.Second, heap.Live, false)))
			if err != nil {
				return err
			}
			if rec.base <= last {
				t.Errorf("round %d: base %d after %d", i, rec.base, last)
			}
			last = rec.base
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
