package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// PruneOptions say which snapshots may go.
type PruneOptions struct {
	// OlderThan spares every snapshot that is younger, by the time at which it
	// was taken. 0 spares none. A snapshot whose time is not known, neither by
	// itself nor by the start of its process, is younger than everything.
	OlderThan time.Duration
	// Keep is how many of the others stay, of each process and kind (basis, and
	// tables apart from counters only): the first, the last, and an even
	// selection by uptime between them. 1 keeps the last; 0 keeps none, and a process of
	// which nothing is left is forgotten.
	Keep int
	// Now is the time that ages are counted from.
	Now time.Time
	// DryRun counts and changes nothing. The store may be open for reading.
	DryRun bool
	// Processes restricts the pruning; nil for all.
	Processes []heap.Process
}

// Pruned says what became of one process.
type Pruned struct {
	Process       heap.Process
	Removed, Left int // snapshots
	Bases         int // tables dropped, as no snapshot refers to them any more
}

// Prune thins the snapshots out so that trends stay. It returns the processes
// that lost some, in the order of [heap.Process.Compare]. Each process is one
// transaction: what a kill leaves is whole, and pruning again goes on.
//
// It must not be called from within a loop over [DB.Snapshots] of the same DB.
//
// The file does not get smaller; what is free is used by what is stored next,
// and [Compact] gives it back.
func (db *DB) Prune(o PruneOptions) ([]Pruned, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.readOnly && !o.DryRun {
		return nil, db.fail(ErrReadOnly)
	}
	if o.Keep < 0 || o.OlderThan < 0 {
		return nil, db.fail(errors.New("a number of snapshots or an age below zero"))
	}
	infos, err := db.Processes()
	if err != nil {
		return nil, err
	}
	var out []Pruned
	for _, i := range infos {
		if o.Processes != nil && !slices.Contains(o.Processes, i.Process) {
			continue
		}
		p, err := db.pruneProcess(i.Process, o)
		if err != nil {
			return out, db.fail(err)
		}
		if p.Removed > 0 || p.Bases > 0 {
			out = append(out, p)
		}
	}
	return out, nil
}

// pruneProcess looks in a transaction that reads, since one that writes
// changes the file even when nothing is to go.
func (db *DB) pruneProcess(p heap.Process, o PruneOptions) (done Pruned, err error) {
	var gone [][]byte
	var bases []uint32
	err = db.view(func(tx *bbolt.Tx) error {
		sp, err := find(tx, p)
		if err != nil {
			return err
		}
		gone, bases, done, err = sp.prunable(o)
		return err
	})
	if err != nil || o.DryRun || len(gone) == 0 && len(bases) == 0 {
		return done, err
	}
	// What the writer knows of bases and dictionaries may go.
	db.w = nil
	return done, db.update(func(tx *bbolt.Tx) error {
		sp, err := find(tx, p)
		if err != nil {
			return err
		}
		if done.Left == 0 {
			return forget(tx, sp)
		}
		for _, k := range gone {
			if err := errors.Join(sp.removed(k), sp.snapshots.Delete(k)); err != nil {
				return err
			}
		}
		for _, n := range bases {
			if err := sp.bases.Delete(number32(n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// prunable returns the keys of the snapshots and the numbers of the bases that
// are to go.
func (s *space) prunable(o PruneOptions) (gone [][]byte, bases []uint32, done Pruned, err error) {
	type candidate struct {
		key    []byte
		uptime time.Duration
		base   uint32
	}
	done.Process = s.process
	old := map[byte][]candidate{}
	used := map[uint32]bool{}
	c := s.snapshots.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		r, err := s.record(k, v)
		if err != nil {
			return nil, nil, done, err
		}
		taken := r.snap.Taken
		if taken.IsZero() && s.process.StartNanos != 0 {
			taken = time.Unix(0, s.process.StartNanos).Add(r.snap.Uptime)
		}
		if o.OlderThan > 0 && (taken.IsZero() || o.Now.Sub(taken) < o.OlderThan) {
			used[r.base] = true
			done.Left++
			continue
		}
		old[k[8]] = append(old[k[8]], candidate{bytes.Clone(k), r.snap.Uptime, r.base})
	}
	for _, kind := range old {
		uptimes := make([]time.Duration, len(kind))
		for i := range kind {
			uptimes[i] = kind[i].uptime
		}
		stay := even(uptimes, o.Keep)
		for i, x := range kind {
			if stay[i] {
				used[x.base] = true
				done.Left++
			} else {
				gone = append(gone, x.key)
			}
		}
	}
	done.Removed = len(gone)
	slices.SortFunc(gone, bytes.Compare)
	c = s.bases.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if len(k) != 4 {
			return nil, nil, done, fmt.Errorf("%w: base under key %x", ErrCorrupt, k)
		}
		if n := binary.BigEndian.Uint32(k); !used[n] {
			bases = append(bases, n)
		}
	}
	done.Bases = len(bases)
	return gone, bases, done, nil
}

// even selects n of the ascending uptimes: the first, the last, and those that
// lie nearest to even steps between them. Where several steps meet at one, the
// places left over halve the longest runs of others, so that n are selected
// whenever there are n.
func even(uptimes []time.Duration, n int) []bool {
	stay := make([]bool, len(uptimes))
	last := len(uptimes) - 1
	switch {
	case n >= len(uptimes):
		for i := range stay {
			stay[i] = true
		}
		return stay
	case n <= 0:
		return stay
	}
	stay[last] = true
	if n == 1 {
		return stay
	}
	stay[0] = true
	left := n - 2
	step := float64(uptimes[last]-uptimes[0]) / float64(n-1)
	for i := 1; i < n-1; i++ {
		want := uptimes[0] + time.Duration(step*float64(i))
		at, _ := slices.BinarySearchFunc(uptimes, want, cmp.Compare[time.Duration])
		if at > 0 && (at > last || want-uptimes[at-1] <= uptimes[at]-want) {
			at--
		}
		if !stay[at] {
			stay[at] = true
			left--
		}
	}
	for ; left > 0; left-- {
		from, longest := 0, 0
		for i := 0; i <= last; {
			if stay[i] {
				i++
				continue
			}
			j := i
			for j <= last && !stay[j] {
				j++
			}
			if j-i > longest {
				from, longest = i, j-i
			}
			i = j
		}
		stay[from+longest/2] = true
	}
	return stay
}

// forget removes a process, and its program's dictionary when it was the last
// process of it.
func forget(tx *bbolt.Tx, s *space) error {
	p, processes := s.process, s.processes
	if err := errors.Join(s.add(-s.snapshots.Sequence()), processes.DeleteBucket(bucketKey(encodeProcess(p)))); err != nil {
		return err
	}
	others := false
	err := processes.ForEachBucket(func(k []byte) error {
		other, err := decodeProcess(processes.Bucket(k).Get(keyIdentity))
		others = others || other.Program == p.Program
		return err
	})
	if err != nil || others {
		return err
	}
	return tx.Bucket(bucketPrograms).DeleteBucket(bucketKey(encodeProgram(p.Program)))
}
