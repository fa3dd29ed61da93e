package store

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// ProcessInfo says what the store holds of one process.
type ProcessInfo struct {
	Process  heap.Process
	Live     int // snapshots with a table, basis live
	All      int // snapshots with a table, basis all
	Counters int // snapshots that hold counters only, of either basis
	// First and Last are the lowest and the highest uptime.
	First, Last time.Duration
}

// Processes lists the processes in the order of [heap.Process.Compare].
func (db *DB) Processes() ([]ProcessInfo, error) {
	var infos []ProcessInfo
	err := db.view(func(tx *bbolt.Tx) error {
		infos = nil
		return tx.Bucket(bucketProcesses).ForEachBucket(func(k []byte) error {
			identity := tx.Bucket(bucketProcesses).Bucket(k).Get(keyIdentity)
			p, err := decodeProcess(identity)
			if err != nil {
				return err
			}
			if !bytes.Equal(bucketKey(encodeProcess(p)), k) {
				return fmt.Errorf("%w: %v lies under a wrong key", ErrCorrupt, p)
			}
			s, err := find(tx, p)
			if err != nil {
				return err
			}
			info := ProcessInfo{Process: p, First: -1}
			c := s.snapshots.Cursor()
			for k, _ := c.First(); k != nil; k, _ = c.Next() {
				uptime, basis, counters, err := parseKey(k)
				if err != nil {
					return err
				}
				switch {
				case counters:
					info.Counters++
				case basis == heap.Live:
					info.Live++
				default:
					info.All++
				}
				if info.First < 0 {
					info.First = uptime
				}
				info.Last = uptime
			}
			if info.First >= 0 {
				infos = append(infos, info)
			}
			return nil
		})
	})
	if err != nil {
		return nil, db.fail(err)
	}
	slices.SortFunc(infos, func(a, b ProcessInfo) int { return a.Process.Compare(b.Process) })
	return infos, nil
}

// reader decodes snapshots of one process. It lives for one call: the names
// and the bases it has seen stay valid, because neither is ever changed.
type reader struct {
	process heap.Process
	dict    dict
	bases   map[uint32]*table
}

// open finds the process in tx and brings the names up to date.
func (r *reader) open(tx *bbolt.Tx) (*space, error) {
	s, err := find(tx, r.process)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("process %v: %w", r.process, ErrNotFound)
	}
	return s, r.dict.update(s)
}

// load reads the head of a value and makes sure of its base.
func (r *reader) load(s *space, key, value []byte) (*record, error) {
	rec, err := s.record(key, value)
	if err != nil || !rec.table || rec.base == 0 || r.bases[rec.base] != nil {
		return rec, err
	}
	t, err := s.base(&r.dict, rec.base)
	if err != nil {
		return nil, err
	}
	if r.bases == nil {
		r.bases = map[uint32]*table{}
	}
	r.bases[rec.base] = t
	return rec, nil
}

// decode completes a record; its base is loaded.
func (r *reader) decode(rec *record) (*heap.Snapshot, error) {
	s := rec.snap
	if rec.table {
		base := noBase
		if rec.base != 0 {
			base = r.bases[rec.base]
		}
		var err error
		if s.Types, err = r.dict.apply(base, rec.rest, rec.rows); err != nil {
			return nil, fmt.Errorf("%s: %w", title(&s), err)
		}
	}
	return &s, nil
}

// What an iterator takes out of one transaction: enough to make transactions
// rare, little enough to hold in memory.
const (
	pageSnapshots = 64
	pageBytes     = 1 << 20
)

// page calls f for the next snapshots behind the key from, or from the first
// on when it is nil. It returns the key of the last one, nil at the end.
func (db *DB) page(r *reader, from []byte, f func(s *space, key, value []byte) error) (last []byte, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		s, err := r.open(tx)
		if err != nil {
			return err
		}
		c := s.snapshots.Cursor()
		k, v := c.First()
		if from != nil {
			if k, v = c.Seek(from); bytes.Equal(k, from) {
				k, v = c.Next()
			}
		}
		for n, size := 0, 0; k != nil && n < pageSnapshots && size < pageBytes; k, v = c.Next() {
			if err := f(s, k, v); err != nil {
				return err
			}
			last = bytes.Clone(k)
			n, size = n+1, size+len(v)
		}
		return nil
	})
	return last, err
}

// Snapshots yields the snapshots of p by ascending uptime, then basis (live
// before all), then the table before counters. It reads a page at a time in
// short transactions and yields outside of them, so the loop body may write;
// what it stores at a later uptime is yielded, too. An error is the last pair;
// a process that is not stored gives [ErrNotFound].
//
// Each snapshot is the caller's own; type names are shared strings.
func (db *DB) Snapshots(p heap.Process) iter.Seq2[*heap.Snapshot, error] {
	return db.snapshots(p, nil)
}

// snapshots begins behind the key from, with the first when it is nil.
func (db *DB) snapshots(p heap.Process, from []byte) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		r := &reader{process: p}
		from := from
		for {
			var recs []*record
			used := map[uint32]*table{}
			last, err := db.page(r, from, func(s *space, key, value []byte) error {
				rec, err := r.loadInto(used, s, key, value)
				if err == nil {
					recs = append(recs, rec)
				}
				return err
			})
			if !db.handOut(r, recs, err, yield) {
				return
			}
			if last == nil {
				return
			}
			from = last
			r.bases = used // older ones have had their time
		}
	}
}

// loadInto copies a record out of the transaction, and notes the table that it
// builds upon.
func (r *reader) loadInto(used map[uint32]*table, s *space, key, value []byte) (*record, error) {
	rec, err := r.load(s, key, bytes.Clone(value))
	if err == nil && rec.base != 0 {
		used[rec.base] = r.bases[rec.base]
	}
	return rec, err
}

// handOut yields the records of a page, then the error that ended it. False: the
// loop is over.
func (db *DB) handOut(r *reader, recs []*record, err error, yield func(*heap.Snapshot, error) bool) bool {
	for _, rec := range recs {
		s, err := r.decode(rec)
		if err != nil {
			yield(nil, db.fail(err))
			return false
		}
		if !yield(s, nil) {
			return false
		}
	}
	if err != nil {
		yield(nil, db.fail(err))
		return false
	}
	return true
}

// Info describes a stored snapshot without its table.
type Info struct {
	Uptime              time.Duration
	Basis               heap.Basis
	Source              heap.Source
	Taken               time.Time // zero: unknown
	Complete, Estimated bool
	CountersOnly        bool
	Types               int // rows of the table
	Warnings            int
	Runtime             heap.Runtime
	Heap                *heap.Totals        // nil: unknown
	Memory              *heap.ProcessMemory // nil: unknown
}

// Infos lists the snapshots of p in the order of [DB.Snapshots], without
// decoding their tables: enough to list them and to draw heap and process
// memory over uptime.
func (db *DB) Infos(p heap.Process) ([]Info, error) {
	var infos []Info
	err := db.each(p, func(_ *space, rec *record) error {
		s := &rec.snap
		infos = append(infos, Info{Uptime: s.Uptime, Basis: s.Basis, Source: s.Source, Taken: s.Taken, Complete: s.Complete,
			Estimated: s.Estimated, CountersOnly: !rec.table, Types: rec.rows, Warnings: len(s.Warnings),
			Runtime: s.Runtime, Heap: s.Heap, Memory: s.Memory})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return infos, nil
}

// each calls f for each stored snapshot of p in one transaction, which f must
// not write in. It is for work that takes microseconds per snapshot.
func (db *DB) each(p heap.Process, f func(s *space, rec *record) error) error {
	return db.fail(db.view(func(tx *bbolt.Tx) error {
		s, err := find(tx, p)
		if err != nil {
			return err
		}
		if s == nil {
			return fmt.Errorf("process %v: %w", p, ErrNotFound)
		}
		c := s.snapshots.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			rec, err := s.record(k, v)
			if err != nil {
				return err
			}
			if err := f(s, rec); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Get returns the snapshot of p at this uptime and basis, the one with a table
// where there is one beside counters, or [ErrNotFound].
func (db *DB) Get(p heap.Process, uptime time.Duration, basis heap.Basis) (*heap.Snapshot, error) {
	return db.one(p, func(c *bbolt.Cursor) ([]byte, []byte) {
		for _, counters := range []bool{false, true} {
			key := snapshotKey(uptime, basis, counters)
			if k, v := c.Seek(key); bytes.Equal(k, key) {
				return k, v
			}
		}
		return nil, nil
	}, fmt.Sprintf("%v at %v (%s)", p, uptime, basis))
}

// Last returns the snapshot of p with the highest uptime that has a table, or
// the last one of all when none has, or [ErrNotFound].
func (db *DB) Last(p heap.Process) (*heap.Snapshot, error) {
	return db.one(p, func(c *bbolt.Cursor) ([]byte, []byte) {
		k, v := c.Last()
		for ; len(k) == keySize && k[8]&keyCounters != 0; k, v = c.Prev() {
		}
		if k == nil {
			return c.Last()
		}
		return k, v
	}, p.String())
}

func (db *DB) one(p heap.Process, seek func(c *bbolt.Cursor) (k, v []byte), what string) (snap *heap.Snapshot, err error) {
	r := &reader{process: p}
	err = db.view(func(tx *bbolt.Tx) error {
		s, err := r.open(tx)
		if err != nil {
			return err
		}
		k, v := seek(s.snapshots.Cursor())
		if k == nil {
			return fmt.Errorf("%s: %w", what, ErrNotFound)
		}
		rec, err := r.load(s, k, v)
		if err != nil {
			return err
		}
		snap, err = r.decode(rec)
		return err
	})
	if err != nil {
		return nil, db.fail(err)
	}
	return snap, nil
}
