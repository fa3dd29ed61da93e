package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"leaktrack/heap"
)

// dict numbers the type names of a program in the order in which they were
// first stored.
type dict struct {
	names []string // by number
	order []uint32 // numbers sorted by name
	rank  []uint32 // place in order, by number
}

// add appends names, which are sorted and new to the dictionary. It keeps the
// order by merging, because sorting thousands of long names for each Put costs
// more than the Put.
func (d *dict) add(names []string) {
	first := len(d.names)
	d.names = append(d.names, names...)
	d.order = slices.Grow(d.order, len(names))
	i, j := first-1, len(names)-1
	d.order = d.order[:len(d.names)]
	for k := len(d.order) - 1; j >= 0; k-- {
		if i >= 0 && d.names[d.order[i]] > names[j] {
			d.order[k] = d.order[i]
			i--
		} else {
			d.order[k] = uint32(first + j)
			j--
		}
	}
	d.rank = nil
}

// addAll appends blocks of sorted names in one go: many small blocks merged
// one by one would take quadratic time.
func (d *dict) addAll(blocks [][]string) error {
	if len(blocks) == 0 {
		return nil
	}
	if len(d.names) == 0 {
		d.add(blocks[0])
		blocks = blocks[1:]
	}
	first := len(d.names)
	for _, b := range blocks {
		d.names = append(d.names, b...)
	}
	if len(d.names) > first {
		fresh := make([]uint32, len(d.names)-first)
		for i := range fresh {
			fresh[i] = uint32(first + i)
		}
		slices.SortFunc(fresh, func(a, b uint32) int { return strings.Compare(d.names[a], d.names[b]) })
		merged := make([]uint32, 0, len(d.names))
		old := d.order
		for len(old) > 0 && len(fresh) > 0 {
			if d.names[old[0]] < d.names[fresh[0]] {
				merged, old = append(merged, old[0]), old[1:]
			} else {
				merged, fresh = append(merged, fresh[0]), fresh[1:]
			}
		}
		d.order = append(append(merged, old...), fresh...)
		d.rank = nil
	}
	for i := 1; i < len(d.order); i++ {
		if d.names[d.order[i-1]] >= d.names[d.order[i]] {
			return fmt.Errorf("%w: type name %.60q is numbered twice", ErrCorrupt, d.names[d.order[i]])
		}
	}
	return nil
}

// ranks returns the place of each number in the order of names.
func (d *dict) ranks() []uint32 {
	if d.rank == nil {
		d.rank = make([]uint32, len(d.names))
		for place, id := range d.order {
			d.rank[id] = uint32(place)
		}
	}
	return d.rank
}

// number finds the number of a name.
func (d *dict) number(name string) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(d.order, name, func(id uint32, n string) int { return strings.Compare(d.names[id], n) })
	if !ok {
		return 0, false
	}
	return d.order[i], true
}

// missing returns the names of types, which are sorted, that have no number.
func (d *dict) missing(types []heap.Type) []string {
	var names []string
	i := 0
	for _, t := range types {
		for i < len(d.order) && d.names[d.order[i]] < t.Name {
			i++
		}
		if i == len(d.order) || d.names[d.order[i]] != t.Name {
			names = append(names, t.Name)
		}
	}
	return names
}

// encodeNames writes one block of the dictionary. Names are plain, not
// front-coded, so that a hostile block cannot unfold to more than its size.
func encodeNames(owner, key []byte, names []string) []byte {
	b := binary.AppendUvarint([]byte{valueVersion}, uint64(len(names)))
	for _, n := range names {
		b = appendString(b, n)
	}
	return seal(owner, key, b)
}

func decodeNames(owner, key, value []byte) ([]string, error) {
	c, err := unseal(owner, key, value)
	if err != nil {
		return nil, err
	}
	names := make([]string, c.length(2))
	// One string holds all names of the block; they share it.
	whole := string(c.b)
	for i := range names {
		n := c.length(1)
		at := len(whole) - len(c.b)
		if c.err != nil {
			break
		}
		names[i] = whole[at : at+n]
		c.b = c.b[n:]
		if n == 0 || n > heap.MaxNameBytes || i > 0 && names[i-1] >= names[i] {
			c.fail(fmt.Errorf("type name %d is out of order or of %d bytes", i, n))
		}
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	return names, nil
}

// table is a decoded base.
type table struct {
	types []heap.Type // sorted by name
	at    []int32     // index into types by number, -1 for none
}

// noBase is the base with number 0: the empty table.
var noBase = &table{}

func (t *table) index(id uint32) int {
	if int(id) >= len(t.at) {
		return -1
	}
	return int(t.at[id])
}

// apply returns the table that rest describes as a difference to base.
func (d *dict) apply(base *table, rest []byte, rows int) ([]heap.Type, error) {
	var fresh []entry
	gone := 0
	// Rows are copied before they are changed: base is shared.
	types := slices.Clone(base.types)
	err := entries(rest, len(d.names), base, func(e entry, i int) {
		switch {
		case e.gone:
			types[i].Count = -1
			gone++
		case i >= 0:
			types[i].Count, types[i].Bytes = e.count, e.bytes
		default:
			fresh = append(fresh, e)
		}
	})
	if err != nil {
		return nil, err
	}
	if len(types)-gone+len(fresh) != rows {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, errRows)
	}
	if gone == 0 && len(fresh) == 0 {
		return types, nil
	}
	rank := d.ranks()
	slices.SortFunc(fresh, func(a, b entry) int { return int(rank[a.id]) - int(rank[b.id]) })
	merged := make([]heap.Type, 0, rows)
	for _, t := range types {
		for len(fresh) > 0 && d.names[fresh[0].id] < t.Name {
			merged, fresh = append(merged, d.row(fresh[0])), fresh[1:]
		}
		if t.Count >= 0 {
			merged = append(merged, t)
		}
	}
	for _, e := range fresh {
		merged = append(merged, d.row(e))
	}
	return merged, nil
}

func (d *dict) row(e entry) heap.Type {
	return heap.Type{Name: d.names[e.id], Count: e.count, Bytes: e.bytes}
}

// tableOf makes a base of types, each of which has a number.
func (d *dict) tableOf(types []heap.Type) *table {
	t := &table{types: types, at: make([]int32, len(d.names))}
	for i := range t.at {
		t.at[i] = -1
	}
	i := 0
	for j := range types {
		for d.names[d.order[i]] != types[j].Name {
			i++
		}
		t.at[d.order[i]] = int32(j)
		i++
	}
	return t
}

// differ writes cur as a difference to base.
func (d *dict) differ(base, cur *table) []byte {
	var b []byte
	last := int64(-1)
	for id := range uint32(len(d.names)) {
		i, j := base.index(id), cur.index(id)
		if i < 0 && j < 0 {
			continue
		}
		var old heap.Type
		if i >= 0 {
			old = base.types[i]
		}
		switch {
		case j < 0:
			b = appendEntry(b, last, entry{id: id, gone: true}, 0, 0)
		case i >= 0 && old.Count == cur.types[j].Count && old.Bytes == cur.types[j].Bytes:
			continue
		default:
			t := cur.types[j]
			b = appendEntry(b, last, entry{id: id, count: t.Count, bytes: t.Bytes}, old.Count, old.Bytes)
		}
		last = int64(id)
	}
	return b
}

// encodeBase writes a base: its rows as a difference to the empty table.
func encodeBase(owner, key []byte, rows int, rest []byte) []byte {
	b := binary.AppendUvarint([]byte{valueVersion}, uint64(rows))
	return seal(owner, key, append(b, rest...))
}

// baseParts returns the entries of a base and how many rows they make.
func baseParts(owner, key, value []byte) (rest []byte, rows int, err error) {
	c, err := unseal(owner, key, value)
	if err != nil {
		return nil, 0, err
	}
	n := c.uvarint()
	if n > math.MaxInt32 {
		c.fail(errNumber)
	}
	rest = c.b
	c.b = nil
	return rest, int(n), c.end()
}

func (d *dict) decodeBase(owner, key, value []byte) (*table, error) {
	rest, rows, err := baseParts(owner, key, value)
	if err != nil {
		return nil, err
	}
	types, err := d.apply(noBase, rest, rows)
	if err != nil {
		return nil, err
	}
	return d.tableOf(types), nil
}
