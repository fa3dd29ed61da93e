package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// FuzzDecodeValue decodes any bytes as each kind of value. The checksum is put
// right, as it would keep nearly all of them out.
func FuzzDecodeValue(f *testing.F) {
	d := &dict{}
	d.add([]string{"A", "B", "C", "D"})
	base := d.tableOf([]heap.Type{{Name: "A", Count: 1, Bytes: 24}, {Name: "C", Count: 5, Bytes: math.MaxInt64}})
	key := snapshotKey(596*time.Second, heap.All, false)
	owner := ownerOf(bucketKey(encodeProcess(leakProcess)), 2, 1)
	g := newRealistic(4)
	s := g.next()
	s.Types = []heap.Type{{Name: "A", Count: 1, Bytes: 24}, {Name: "D", Count: math.MaxInt64, Bytes: 1}}
	s.Warn("a:1", "cut")
	head, err := appendHead(nil, s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append(slices.Clone(head), 1, 2), d.differ(base, d.tableOf(s.Types))...))
	f.Add(append(append(slices.Clone(head), 0, 2), d.differ(noBase, d.tableOf(s.Types))...))
	head[0] = 1 // as version 1 has it
	f.Add(append(append(slices.Clone(head), 1, 2), d.differ(base, d.tableOf(s.Types))...))
	f.Add(encodeNames(nil, nil, []string{"x", "y"})[:5])
	f.Add(encodeProcess(leakProcess))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return
		}
		value := seal(owner, key, slices.Clone(body))
		if body[0] == 1 {
			value = seal(nil, key, slices.Clone(body))
		}
		if r, err := decodeRecord(leakProcess, owner, key, value); err == nil {
			types, err := d.apply(base, r.rest, r.rows)
			if err == nil {
				r.snap.Types = types
				law(t, d, base, r)
			}
			row, pickErr := pick(r.rest, 2, base.row("C"))
			if err == nil {
				want, listed := r.snap.Type("C")
				if pickErr != nil || (row != nil) != listed || listed && (row.Count != want.Count || row.Bytes != want.Bytes) {
					t.Errorf("pick says %v, %v; the table %v, %v", row, pickErr, want, listed)
				}
			}
			_ = ids(r.rest, len(d.names), func(uint32, bool) {})
		}
		if names, err := decodeNames(owner, key, value); err == nil {
			size := 0
			for _, n := range names {
				size += len(n)
			}
			if size > len(value) {
				t.Errorf("%d bytes of names from %d", size, len(value))
			}
		}
		_, _ = d.decodeBase(owner, key, value)
		_, _ = decodeProcess(seal(nil, keyIdentity, slices.Clone(body)))
	})
}

func (t *table) row(name string) *heap.Type {
	for i := range t.types {
		if t.types[i].Name == name {
			return &t.types[i]
		}
	}
	return nil
}

// law: what decodes is sorted, and encodes to a value that decodes to the same.
func law(t *testing.T, d *dict, base *table, r *record) {
	s := &r.snap
	for i, row := range s.Types {
		if row.Count < 0 || row.Bytes < 0 || i > 0 && s.Types[i-1].Name >= row.Name {
			t.Fatalf("row %d of %v", i, s.Types)
		}
	}
	if s.Valid() != nil {
		return // such a value was never written
	}
	head, err := appendHead(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	key := snapshotKey(s.Uptime, s.Basis, s.CountersOnly())
	if !s.CountersOnly() {
		head = binary.AppendUvarint(head, 1)
		head = binary.AppendUvarint(head, uint64(len(s.Types)))
		head = append(head, d.differ(base, d.tableOf(s.Types))...)
	}
	again, err := decodeRecord(s.Process, nil, key, seal(nil, key, head))
	if err != nil {
		t.Fatal(err)
	}
	if again.table {
		if again.snap.Types, err = d.apply(base, again.rest, again.rows); err != nil {
			t.Fatal(err)
		}
	}
	if !again.snap.Equal(s) {
		t.Fatalf("first %+v\nthen %+v", s, again.snap)
	}
}

// FuzzRoundTrip builds two snapshots from any bytes, stores both and reads
// them back.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("some bytes to begin with: names, counts, flags and so on"), uint64(7), int64(5), "x.log:1")
	f.Add([]byte{0xff, 0, 0xfe, 1, 2, 3}, uint64(math.MaxUint64), int64(math.MaxInt64), "\xff")
	db := open(f, filepath.Join(f.TempDir(), fmt.Sprintf("fuzz%d.db", os.Getpid())), Options{noSync: true})
	f.Fuzz(func(t *testing.T, b []byte, bits uint64, number int64, text string) {
		for i := range 2 {
			s := built(b, bits>>i, number, text)
			// Programs share nothing, so a long run does not slow down.
			s.Process = heap.Process{Program: fmt.Sprintf("%x %x", bits, text), PID: int(bits & 3)}
			if s.Valid() != nil {
				continue
			}
			if _, err := db.Put(s, true); err != nil {
				t.Fatal(err)
			}
			got, err := db.Get(s.Process, s.Uptime, s.Basis)
			if err != nil {
				t.Fatal(err)
			}
			if s.CountersOnly() != got.CountersOnly() {
				continue // a table has precedence
			}
			if diff := difference(got, s); diff != "" {
				t.Fatal(diff)
			}
			if o, err := db.Put(s, false); o != AlreadyStored || err != nil {
				t.Fatal(o, err)
			}
		}
	})
}

func built(b []byte, bits uint64, number int64, text string) *heap.Snapshot {
	on := func(i int) bool { return bits>>i&1 != 0 }
	opt := func(i int, n int64) heap.Optional {
		if on(i) {
			return heap.Known(n)
		}
		return heap.Optional{}
	}
	s := &heap.Snapshot{Uptime: time.Duration(number & 7),
		Source: heap.Sources[bits%uint64(len(heap.Sources))], Basis: heap.Live, Complete: on(3), Estimated: on(4)}
	if on(5) {
		s.Basis = heap.All
	}
	if on(6) {
		s.Taken = time.Unix(number>>20, number&0xfffff)
	}
	if on(7) {
		s.Runtime = heap.Runtime{Flavor: text}
	}
	if on(8) {
		s.Heap = &heap.Totals{Heaps: opt(9, number), Server: heap.Tristate(bits >> 10 % 3), FreeBytes: opt(11, 0), LimitBytes: opt(12, number)}
	}
	if on(13) {
		s.Memory = &heap.ProcessMemory{RSSBytes: opt(14, number), LimitBytes: opt(15, math.MaxInt64)}
	}
	if on(16) {
		s.Warn(text, "%s", text)
	}
	var types []heap.Type
	for len(b) > 2 {
		n := 1 + int(b[0])%(len(b)-1)
		types = append(types, heap.Type{Name: string(b[1 : 1+n]), Count: int64(b[0]) * (number >> 17), Bytes: int64(n)})
		b = b[1+n:]
	}
	if on(20) { // enough for a base
		for i := range 100 {
			types = append(types, heap.Type{Name: fmt.Sprint("pad", i), Count: 1, Bytes: number >> 20 & int64(i)})
		}
	}
	for i := range types {
		types[i].Count = max(types[i].Count, 0)
	}
	_ = s.SetTypes(types)
	return s
}

// unsummed takes the sums, and the number of the commit, out of a file.
func unsummed(tx *bbolt.Tx) error {
	processes := tx.Bucket(bucketProcesses)
	err := errors.Join(tx.Bucket(bucketMeta).SetSequence(0), processes.SetSequence(0))
	return errors.Join(err, processes.ForEachBucket(func(k []byte) error {
		return processes.Bucket(k).Bucket(bucketSnapshots).SetSequence(0)
	}))
}

// FuzzOpen opens any bytes as a file and reads what is there. The checksums of
// bbolt's meta pages are put right, as they would keep nearly all of it out.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.db")
	for n := range 3 { // a fresh store, one with inline buckets, one with pages of their own
		db := open(f, path, Options{noSync: true})
		for i := range 12 * n {
			put(f, db, nth(n, i))
		}
		db.Close()
		add := func() {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			m, err := readMeta(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data[:m.high*uint64(m.pageSize)])
		}
		add()
		// Sums keep out nearly all that is changed, so here is the file without.
		b, err := bbolt.Open(path, 0o600, nil)
		if err == nil {
			err = errors.Join(b.Update(unsummed), b.Close())
		}
		if err != nil {
			f.Fatal(err)
		}
		add()
	}
	path = filepath.Join(f.TempDir(), fmt.Sprintf("fuzz%d.db", os.Getpid()))
	file, err := os.Create(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { file.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		data = slices.Clone(data)
		for _, at := range []int{0, 4096} {
			if len(data) >= at+pageHead+metaSize {
				meta := data[at+pageHead:]
				h := fnv.New64a()
				h.Write(meta[:56])
				binary.NativeEndian.PutUint64(meta[56:], h.Sum64())
			}
		}
		_, err := file.WriteAt(data, 0)
		if err == nil {
			err = file.Truncate(int64(len(data)))
		}
		if err != nil {
			t.Fatal(err)
		}
		db, err := Open(path, Options{ReadOnly: true})
		if err != nil {
			if !typed(err) {
				t.Error(err)
			}
			return
		}
		defer db.Close()
		if _, err := readAll(db); err != nil && !typed(err) {
			t.Error(err)
		}
	})
}
