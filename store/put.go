package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// Outcome is what became of a snapshot that was put.
type Outcome int

// The outcomes. The zero Outcome stands beside an error.
const (
	Stored        Outcome = iota + 1 // it is new
	AlreadyStored                    // the same snapshot is stored; the file is unchanged
	Replaced                         // it took the place of a different one
)

func (o Outcome) String() string {
	switch o {
	case Stored:
		return "stored"
	case AlreadyStored:
		return "already stored"
	case Replaced:
		return "replaced"
	}
	return "not stored"
}

// Result is the fate of one snapshot of a batch: an Outcome or an error.
type Result struct {
	Outcome Outcome
	Err     error
}

// Put stores s and syncs the file: what Put reports as stored survives a kill
// or a power cut. Storing the same snapshot again changes nothing, not a byte;
// where its warnings were found (the file name and line) does not count, so
// that a log is the same log under another name. A different snapshot at the
// same process, uptime and basis is refused with [ErrConflict] unless replace
// is set. A snapshot that holds counters only has a place of its own beside
// the table of that uptime and basis.
//
// s is not kept and not changed.
func (db *DB) Put(s *heap.Snapshot, replace bool) (Outcome, error) {
	r := db.PutBatch([]*heap.Snapshot{s}, replace)[0]
	return r.Outcome, r.Err
}

// PutBatch puts several snapshots, in order, with one transaction and one
// sync, and returns a Result for each. One that is refused does not keep out
// the others. When PutBatch returns, what it reports as stored, or as stored
// already, is durable. After a write that failed, for want of space or for a fault
// of the disk, the DB takes nothing more; an Open starts from what is there.
func (db *DB) PutBatch(snaps []*heap.Snapshot, replace bool) []Result {
	results := make([]Result, len(snaps))
	db.mu.Lock()
	defer db.mu.Unlock()
	failAll := func(err error) []Result {
		for i := range results {
			results[i] = Result{0, fmt.Errorf("storing %s: %w", title(snaps[i]), db.fail(err))}
		}
		return results
	}
	if db.readOnly {
		return failAll(ErrReadOnly)
	}
	if db.w == nil {
		db.w = newWriter()
	}
	// A transaction that writes changes the file even when it stores nothing,
	// so one that only reads looks first.
	var pending []int
	err := db.view(func(tx *bbolt.Tx) error {
		for i, s := range snaps {
			if results[i].Err = s.Valid(); results[i].Err != nil {
				continue
			}
			if _, results[i].Err = appendHead(nil, s); results[i].Err != nil {
				continue
			}
			r, _ := db.w.look(tx, s, replace)
			if r == (Result{}) || r.Outcome == Replaced {
				pending = append(pending, i)
				continue
			}
			results[i] = r
		}
		return nil
	})
	if err != nil {
		return failAll(err)
	}
	if len(pending) > 0 {
		err = db.update(func(tx *bbolt.Tx) error {
			for _, i := range pending {
				var err error
				if results[i], err = db.w.put(tx, snaps[i], replace); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			// What the writer knows may be of the transaction that failed.
			db.w = nil
			for _, i := range pending {
				results[i] = Result{0, err}
			}
		}
	}
	already := func(r Result) bool { return r.Outcome == AlreadyStored }
	if slices.ContainsFunc(results, already) && (len(pending) == 0 || err != nil) { // else the commit has synced it
		if err := db.sync(); err != nil {
			for i := range results {
				if already(results[i]) {
					results[i] = Result{0, err}
				}
			}
		}
	}
	for i := range results {
		if e := results[i].Err; e != nil {
			results[i].Err = fmt.Errorf("storing %s: %w", title(snaps[i]), db.fail(e))
		}
	}
	return results
}

// title names a snapshot in messages.
func title(s *heap.Snapshot) string {
	if s.Uptime < 0 {
		return s.Process.String()
	}
	return fmt.Sprintf("%v at %v (%s)", s.Process, s.Uptime, s.Basis)
}

// writer keeps between Puts what it would otherwise decode each time. Nobody
// else changes the file meanwhile: it is locked. Not for concurrent use.
type writer struct {
	dicts map[string]*dict   // by program
	bases map[baseKey]*table // the latest few
}

type baseKey struct {
	process heap.Process
	number  uint32
}

// Bounds of what a writer keeps.
const (
	maxDicts = 16
	maxBases = 4
)

func newWriter() *writer {
	return &writer{dicts: map[string]*dict{}, bases: map[baseKey]*table{}}
}

func (w *writer) dict(s *space) (*dict, error) {
	d := w.dicts[s.process.Program]
	if d == nil {
		if len(w.dicts) >= maxDicts {
			clear(w.dicts)
		}
		d = &dict{}
		if err := d.update(s); err != nil {
			return nil, err
		}
		w.dicts[s.process.Program] = d
	}
	return d, nil
}

func (w *writer) base(s *space, d *dict, number uint32) (*table, error) {
	k := baseKey{s.process, number}
	if t := w.bases[k]; t != nil {
		return t, nil
	}
	t, err := s.base(d, number)
	if err == nil {
		w.keep(k, t)
	}
	return t, err
}

func (w *writer) keep(k baseKey, t *table) {
	if len(w.bases) >= maxBases {
		clear(w.bases)
	}
	w.bases[k] = t
}

// look compares s with what is stored in its place. The zero Result means
// that there is nothing, Replaced that it is to be replaced.
func (w *writer) look(tx *bbolt.Tx, s *heap.Snapshot, replace bool) (Result, *record) {
	sp, err := find(tx, s.Process)
	if sp == nil || err != nil {
		return Result{0, err}, nil
	}
	key := snapshotKey(s.Uptime, s.Basis, s.CountersOnly())
	value := sp.snapshots.Get(key)
	if value == nil {
		return Result{}, nil
	}
	r, err := sp.record(key, value)
	if err != nil {
		return Result{0, err}, nil
	}
	old := r.snap
	if r.table {
		d, err := w.dict(sp)
		if err != nil {
			return Result{0, err}, nil
		}
		base, err := w.base(sp, d, r.base)
		if err != nil {
			return Result{0, err}, nil
		}
		if old.Types, err = d.apply(base, r.rest, r.rows); err != nil {
			return Result{0, err}, nil
		}
	}
	switch diff := difference(&old, s); {
	case diff == "":
		return Result{AlreadyStored, nil}, nil
	case replace:
		return Result{Replaced, nil}, r
	default:
		return Result{0, fmt.Errorf("%w: %s; the stored one is kept, --replace takes the new one", ErrConflict, diff)}, nil
	}
}

// difference says in words how the stored snapshot and the new one differ, ""
// when they are the same but for the places of their warnings.
func difference(old, s *heap.Snapshot) string {
	a, b := *old, *s
	a.Warnings, b.Warnings = placeless(old.Warnings), placeless(s.Warnings)
	if a.Equal(&b) {
		return ""
	}
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if n, first := typesDiffer(a.Types, b.Types); n > 0 {
		word := "types"
		if n == 1 {
			word = "type"
		}
		say("it differs in %d %s: %s", n, word, strings.Join(first, ", "))
	}
	if a.Source != b.Source {
		say("its source is %s, the new one's %s", a.Source, b.Source)
	}
	if a.Complete != b.Complete {
		say("its table is %s, the new one's %s", completeness(a.Complete), completeness(b.Complete))
	}
	if !a.Taken.Equal(b.Taken) {
		say("it was taken at %v, the new one at %v", a.Taken.UTC(), b.Taken.UTC())
	}
	// The rest is told by name only; its numbers would make a long line.
	rest := func(name string, change func(t *heap.Snapshot)) {
		c := b
		change(&c)
		if !c.Equal(&b) {
			say("other %s", name)
		}
	}
	rest("heap totals", func(t *heap.Snapshot) { t.Heap = a.Heap })
	rest("process memory", func(t *heap.Snapshot) { t.Memory = a.Memory })
	rest("runtime", func(t *heap.Snapshot) { t.Runtime = a.Runtime })
	rest("warnings", func(t *heap.Snapshot) { t.Warnings = a.Warnings })
	rest("scope (the whole heap or a part)", func(t *heap.Snapshot) { t.Partial = a.Partial })
	rest("precision (estimated or not)", func(t *heap.Snapshot) { t.Estimated = a.Estimated })
	return strings.Join(parts, "; ")
}

func completeness(c bool) string {
	if c {
		return "complete"
	}
	return "incomplete"
}

func placeless(ws []heap.Warning) []heap.Warning {
	ws = slices.Clone(ws)
	for i := range ws {
		ws[i].Place = ""
	}
	return ws
}

// typesDiffer counts the types in which two sorted tables differ and
// describes the first three.
func typesDiffer(a, b []heap.Type) (n int, first []string) {
	describe := func(t heap.Type) string { return fmt.Sprintf("%d objects, %d bytes", t.Count, t.Bytes) }
	for len(a) > 0 || len(b) > 0 {
		var text string
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			text = fmt.Sprintf("%.100s (%s, not in the new one)", a[0].Name, describe(a[0]))
			a = a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			text = fmt.Sprintf("%.100s (not listed, new %s)", b[0].Name, describe(b[0]))
			b = b[1:]
		default:
			x, y := a[0], b[0]
			a, b = a[1:], b[1:]
			if x == y {
				continue
			}
			text = fmt.Sprintf("%.100s (%s, new %s)", x.Name, describe(x), describe(y))
		}
		if n++; n <= 3 {
			first = append(first, text)
		}
	}
	if n > 3 {
		first = append(first, "…")
	}
	return n, first
}

// put stores s in tx. An error ends the transaction; what is wrong with s
// alone is in the Result.
func (w *writer) put(tx *bbolt.Tx, s *heap.Snapshot, replace bool) (Result, error) {
	// Looked at again: an earlier snapshot of the batch may be in its place.
	result, old := w.look(tx, s, replace)
	switch {
	case errors.Is(result.Err, ErrConflict) || result.Outcome == AlreadyStored:
		return result, nil
	case result.Err != nil:
		return result, result.Err
	case result.Outcome == 0:
		result.Outcome = Stored
	}
	value, err := appendHead(nil, s)
	if err != nil {
		return Result{0, err}, nil
	}
	sp, err := findOrCreate(tx, s.Process)
	if err != nil {
		return Result{}, err
	}
	key := snapshotKey(s.Uptime, s.Basis, s.CountersOnly())
	if !s.CountersOnly() {
		if value, err = w.appendTable(value, sp, key, s); err != nil {
			return Result{}, err
		}
	}
	// Keys mostly come in ascending order. Half-filled pages, bbolt's way with
	// keys in any order, would then stay half empty.
	sp.snapshots.FillPercent = 0.95
	if err := sp.snapshots.Put(key, seal(sp.owner, key, value)); err != nil {
		return Result{}, err
	}
	if result.Outcome == Stored {
		if err := sp.added(key); err != nil {
			return Result{}, err
		}
	}
	if old != nil && old.base != 0 {
		if err := w.dropUnused(sp, old.base); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}

const (
	// A table whose full form is not longer than this is written in full: a
	// base of its own would cost more than it saves.
	inlineBytes = 256
	// After so many snapshots in a row on one base a new one is made, so that
	// types which changed once do not cost a row forever.
	maxDependants = 64
)

// appendTable writes the table of s behind its head: as a difference to the
// base of its neighbour, to a new base, or to none.
func (w *writer) appendTable(value []byte, sp *space, key []byte, s *heap.Snapshot) ([]byte, error) {
	d, err := w.dict(sp)
	if err != nil {
		return nil, err
	}
	if missing := d.missing(s.Types); len(missing) > 0 {
		if uint64(len(d.names))+uint64(len(missing)) > math.MaxInt32 {
			return nil, errors.New("more than 2^31 type names")
		}
		for i, name := range missing {
			missing[i] = strings.Clone(name) // it may be a part of a whole log
		}
		k := number32(uint32(len(d.names)))
		sp.names.FillPercent = 0.95
		if err := sp.names.Put(k, encodeNames(sp.programOwner, k, missing)); err != nil {
			return nil, err
		}
		d.add(missing)
	}
	cur := d.tableOf(s.Types)
	full := d.differ(noBase, cur)
	number, rest := uint32(0), full
	if len(full) > inlineBytes {
		near, dependants, err := neighbour(sp, key)
		if err != nil {
			return nil, err
		}
		if near != 0 {
			base, err := w.base(sp, d, near)
			if err != nil {
				return nil, err
			}
			diff := d.differ(base, cur)
			// Where most rows change anyway a new base would save nothing.
			if len(diff) <= len(full)/2 && (dependants < maxDependants || len(diff) <= len(full)/64) {
				number, rest = near, diff
			}
		}
		if number == 0 {
			if number, err = nextBase(sp.bases); err != nil {
				return nil, err
			}
			rest = nil
			k := number32(number)
			sp.bases.FillPercent = 0.95
			if err := sp.bases.Put(k, encodeBase(sp.owner, k, len(s.Types), full)); err != nil {
				return nil, err
			}
			// The rows are the caller's, who may change them later.
			cur.types = slices.Clone(cur.types)
			for id, i := range cur.at {
				if i >= 0 {
					cur.types[i].Name = d.names[id]
				}
			}
			w.keep(baseKey{sp.process, number}, cur)
		}
	}
	value = binary.AppendUvarint(value, uint64(number))
	value = binary.AppendUvarint(value, uint64(len(s.Types)))
	return append(value, rest...), nil
}

// nextBase returns a number that no base had before, as a snapshot is not to find
// another base under the number of one that is gone.
func nextBase(bases *bbolt.Bucket) (uint32, error) {
	last := bases.Sequence()
	if k, _ := bases.Cursor().Last(); k != nil { // version 1 did not keep the number
		last = max(last, uint64(binary.BigEndian.Uint32(k)))
	}
	if last >= math.MaxUint32 {
		return 0, errors.New("more than 2^32 bases")
	}
	return uint32(last + 1), bases.SetSequence(last + 1)
}

// neighbour returns the base of the nearest earlier table of the same basis,
// of the nearest later one when there is none, or 0; and how many tables in a
// row before key refer to it, counted up to maxDependants.
func neighbour(sp *space, key []byte) (base uint32, dependants int, err error) {
	step := func(k, v []byte) (stop bool, err error) {
		if len(k) != keySize || k[8] != key[8] || bytes.Equal(k, key) {
			return false, nil
		}
		r, err := sp.record(k, v)
		if err != nil || r.base == 0 {
			return true, err
		}
		if base == 0 {
			base = r.base
		}
		if r.base == base {
			dependants++
		}
		return r.base != base || dependants >= maxDependants, nil
	}
	c := sp.snapshots.Cursor()
	var v []byte
	k, _ := c.Seek(key)
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for ; k != nil; k, v = c.Prev() {
		if stop, err := step(k, v); stop || err != nil {
			return base, dependants, err
		}
	}
	if base != 0 {
		return base, dependants, nil
	}
	for k, v = c.Seek(key); k != nil; k, v = c.Next() {
		if stop, err := step(k, v); stop || err != nil || base != 0 {
			return base, 0, err
		}
	}
	return 0, 0, nil
}

// dropUnused removes a base to which no snapshot refers any more.
func (w *writer) dropUnused(sp *space, number uint32) error {
	c := sp.snapshots.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		r, err := sp.record(k, v)
		if err != nil {
			return err
		}
		if r.table && r.base == number {
			return nil
		}
	}
	delete(w.bases, baseKey{sp.process, number})
	return sp.bases.Delete(number32(number))
}
