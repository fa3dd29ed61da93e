package store

import (
	"fmt"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// Key names one snapshot of a process.
type Key struct {
	Uptime   time.Duration
	Basis    heap.Basis
	Counters bool // it holds counters only
}

// KeyOf names s.
func KeyOf(s *heap.Snapshot) Key { return Key{s.Uptime, s.Basis, s.CountersOnly()} }

// Keys calls f with the key of each snapshot of p, in the order of
// [DB.Snapshots]. It decodes nothing, keeps nothing, and f must not write.
func (db *DB) Keys(p heap.Process, f func(Key)) error {
	return db.fail(db.view(func(tx *bbolt.Tx) error {
		s, err := find(tx, p)
		if err != nil {
			return err
		}
		if s == nil {
			return fmt.Errorf("process %v: %w", p, ErrNotFound)
		}
		c := s.snapshots.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			uptime, basis, counters, err := parseKey(k)
			if err != nil {
				return err
			}
			f(Key{uptime, basis, counters})
		}
		return nil
	}))
}

// Chosen yields the snapshots of p with these keys, in their order, so that a
// trend over weeks need not read all of them. What is not stored, or not any
// more, is left out; otherwise it is like [DB.Snapshots].
func (db *DB) Chosen(p heap.Process, keys []Key) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		r := &reader{process: p}
		for len(keys) > 0 {
			var recs []*record
			used := map[uint32]*table{}
			err := db.view(func(tx *bbolt.Tx) error {
				s, err := r.open(tx)
				if err != nil {
					return err
				}
				// Chosen ones lie far apart, often with a base each.
				for len(keys) > 0 && len(recs) < pageSnapshots && len(used) < maxBases {
					k := snapshotKey(keys[0].Uptime, keys[0].Basis, keys[0].Counters)
					keys = keys[1:]
					v := s.snapshots.Get(k)
					if v == nil {
						continue
					}
					rec, err := r.loadInto(used, s, k, v)
					if err != nil {
						return err
					}
					recs = append(recs, rec)
				}
				return nil
			})
			if !db.handOut(r, recs, err, yield) {
				return
			}
			r.bases = used
		}
	}
}
