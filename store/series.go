package store

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// Point is one type's row at one uptime.
type Point struct {
	Uptime time.Duration
	Count  int64 // objects; 0 when not Present
	Bytes  int64 // their sizes; 0 when not Present
	// Present says that the table lists the type.
	Present bool
	// Complete says that the table lists every type: a type that is not
	// Present then has zero objects, otherwise this is no point at all.
	Complete bool
}

// Known reports whether p tells the number of objects, be it zero.
func (p Point) Known() bool { return p.Present || p.Complete }

// Series returns the points of the type with exactly this name (see
// [DB.TypeNames]) by ascending uptime, one for each table of this basis,
// without decoding the other rows. A name that no table lists gives points
// which are not Present.
func (db *DB) Series(p heap.Process, basis heap.Basis, name string) ([]Point, error) {
	var points []Point
	var d dict
	id, known := uint32(0), false
	bases := map[uint32]*heap.Type{}
	var in *space
	err := db.each(p, func(s *space, rec *record) error {
		if in == nil {
			in = s
			if err := d.update(s); err != nil {
				return err
			}
			id, known = d.number(name)
		}
		if !rec.table || rec.snap.Basis != basis {
			return nil
		}
		pt := Point{Uptime: rec.snap.Uptime, Complete: rec.snap.Complete}
		if known {
			base, ok := bases[rec.base]
			if !ok && rec.base != 0 {
				rest, _, err := s.baseRows(rec.base)
				if err != nil {
					return err
				}
				if base, err = pick(rest, id, nil); err != nil {
					return err
				}
				bases[rec.base] = base
			}
			row, err := pick(rec.rest, id, base)
			if err != nil {
				return err
			}
			if row != nil {
				pt.Present, pt.Count, pt.Bytes = true, row.Count, row.Bytes
			}
		}
		points = append(points, pt)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return points, nil
}

// baseRows returns the entries of a base, valid within the transaction.
func (s *space) baseRows(number uint32) (rest []byte, rows int, err error) {
	key := number32(number)
	v := s.bases.Get(key)
	if v == nil {
		return nil, 0, fmt.Errorf("%w: base %d of %v is missing", ErrCorrupt, number, s.process)
	}
	return baseParts(s.owner, key, v)
}

// pick returns the row with number id of the table that rest describes as a
// difference to a base whose row is base; nil stands for no row.
func pick(rest []byte, id uint32, base *heap.Type) (*heap.Type, error) {
	c := cursor{b: rest}
	at := int64(-1)
	for len(c.b) > 0 {
		head := c.uvarint()
		if head>>1 > uint64(id) {
			break
		}
		at += 1 + int64(head>>1)
		gone := head&1 != 0
		var dc, db int64
		if !gone {
			dc, db = c.varint(), c.varint()
		}
		if at < int64(id) {
			continue
		}
		if at > int64(id) || c.err != nil {
			break
		}
		if gone {
			return nil, nil
		}
		var row heap.Type
		if base != nil {
			row = *base
		}
		if row.Count, row.Bytes = row.Count+dc, row.Bytes+db; row.Count < 0 || row.Bytes < 0 {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, errNumber)
		}
		return &row, nil
	}
	if c.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, c.err)
	}
	return base, nil
}

// TypeNames returns the names that the tables of p list, of either basis, sorted.
func (db *DB) TypeNames(p heap.Process) ([]string, error) {
	// A base lists what its dependants list, unless all of them say it is gone.
	type use struct {
		dependants int
		gone       map[uint32]int
	}
	var d dict
	var in *space
	listed := map[uint32]bool{}
	bases := map[uint32]*use{}
	err := db.each(p, func(s *space, rec *record) error {
		if in == nil {
			in = s
			if err := d.update(s); err != nil {
				return err
			}
		}
		u := bases[rec.base]
		if u == nil {
			u = &use{gone: map[uint32]int{}}
			bases[rec.base] = u
		}
		u.dependants++
		return ids(rec.rest, len(d.names), func(id uint32, gone bool) {
			if gone {
				u.gone[id]++
			} else {
				listed[id] = true
			}
		})
	})
	if err == nil {
		err = db.fail(db.view(func(tx *bbolt.Tx) error {
			s, err := find(tx, p)
			if err != nil || s == nil {
				return err
			}
			for number, u := range bases {
				if number == 0 {
					continue
				}
				rest, _, err := s.baseRows(number)
				if err != nil {
					return err
				}
				err = ids(rest, len(d.names), func(id uint32, _ bool) {
					if u.gone[id] < u.dependants {
						listed[id] = true
					}
				})
				if err != nil {
					return err
				}
			}
			return nil
		}))
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(listed))
	for id := range listed {
		names = append(names, d.names[id])
	}
	slices.Sort(names)
	return names, nil
}

// ids calls f with the number of each row that rest describes.
func ids(rest []byte, names int, f func(id uint32, gone bool)) error {
	c := cursor{b: rest}
	at := int64(-1)
	for len(c.b) > 0 {
		head := c.uvarint()
		if head>>1 >= uint64(names) || at+1+int64(head>>1) >= int64(names) {
			c.fail(errOrder)
			break
		}
		at += 1 + int64(head>>1)
		gone := head&1 != 0
		if !gone {
			c.varint()
			c.varint()
		}
		f(uint32(at), gone)
	}
	return c.end()
}
