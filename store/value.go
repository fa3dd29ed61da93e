package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"leaktrack/heap"
)

// Bits of the flags byte of a snapshot.
const (
	flagComplete = 1 << iota
	flagEstimated
	flagTaken
	flagRuntime
	flagHeap
	flagMemory
	flagTable
	flagPartial
)

// sources holds the source codes; the index is what the file holds, so the
// order never changes and new ones go to the end.
var sources = []heap.Source{1: heap.SourceSOS, 2: heap.SourceGCReport, 3: heap.SourceGCDump, 4: heap.SourceNettrace,
	5: heap.SourceCore, 6: heap.SourceLiveEventPipe, 7: heap.SourceLiveMemory, 8: heap.SourceJSON}

// Low byte of a snapshot's key: basis in the high half, then whether it holds
// counters only.
const (
	keyLive     = 0x10
	keyAll      = 0x20
	keyCounters = 0x01
	keySize     = 9
)

func snapshotKey(uptime time.Duration, basis heap.Basis, counters bool) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, keySize), uint64(uptime))
	low := byte(keyLive)
	if basis == heap.All {
		low = keyAll
	}
	if counters {
		low |= keyCounters
	}
	return append(k, low)
}

func parseKey(k []byte) (uptime time.Duration, basis heap.Basis, counters bool, err error) {
	if len(k) != keySize || k[0] >= 0x80 {
		return 0, "", false, fmt.Errorf("%w: key %x of a snapshot", ErrCorrupt, k)
	}
	switch k[8] &^ keyCounters {
	case keyLive:
		basis = heap.Live
	case keyAll:
		basis = heap.All
	default:
		return 0, "", false, fmt.Errorf("%w: key %x of a snapshot", ErrCorrupt, k)
	}
	return time.Duration(binary.BigEndian.Uint64(k)), basis, k[8]&keyCounters != 0, nil
}

// totals and counters list the optional numbers in the order of the file.
func totals(h *heap.Totals) []*heap.Optional {
	return []*heap.Optional{&h.Heaps, &h.LiveBytes, &h.CommittedBytes, &h.FreeBytes, &h.FreeCount,
		&h.Objects, &h.ObjectBytes, &h.LimitBytes}
}

func counters(m *heap.ProcessMemory) []*heap.Optional {
	return []*heap.Optional{&m.RSSBytes, &m.PrivateBytes, &m.CommittedBytes, &m.NativeHeapBytes,
		&m.NativeHeaps, &m.NativeReservedBytes, &m.LimitBytes}
}

// appendOptional writes 0 for unknown and n+1 for a known n; 2^63-1 fits.
func appendOptional(b []byte, o heap.Optional) []byte {
	n, known := o.Get()
	if !known {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(n)+1)
}

func (c *cursor) optional() heap.Optional {
	u := c.uvarint()
	if u == 0 {
		return heap.Optional{}
	}
	if u > 1<<63 {
		c.fail(errNumber)
		return heap.Optional{}
	}
	return heap.Known(int64(u - 1))
}

func appendNumbers(b []byte, ns []int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(ns)))
	for _, n := range ns {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

func (c *cursor) numbers() []int64 {
	n := c.length(1)
	if n == 0 {
		return nil
	}
	ns := make([]int64, n)
	for i := range ns {
		ns[i] = c.number()
	}
	return ns
}

// appendHead writes everything of s but its table: version, flags, source and
// the fields that the flags announce.
func appendHead(b []byte, s *heap.Snapshot) ([]byte, error) {
	code := slices.Index(sources, s.Source)
	if code < 1 {
		return nil, fmt.Errorf("source %q has no code", s.Source)
	}
	var flags byte
	for _, f := range []struct {
		on  bool
		bit byte
	}{
		{s.Complete, flagComplete}, {s.Estimated, flagEstimated}, {s.Partial, flagPartial}, {!s.Taken.IsZero(), flagTaken},
		{s.Runtime != heap.Runtime{}, flagRuntime}, {s.Heap != nil, flagHeap}, {s.Memory != nil, flagMemory},
		{!s.CountersOnly(), flagTable},
	} {
		if f.on {
			flags |= f.bit
		}
	}
	b = append(b, valueVersion, flags, byte(code))
	if flags&flagTaken != 0 {
		b = binary.AppendVarint(b, s.Taken.Unix())
		b = binary.AppendUvarint(b, uint64(s.Taken.Nanosecond()))
	}
	if flags&flagRuntime != 0 {
		b = appendString(b, s.Runtime.Flavor)
		b = appendString(b, s.Runtime.Version)
	}
	if h := s.Heap; h != nil {
		if h.Server < heap.Unknown || h.Server > heap.Yes {
			return nil, fmt.Errorf("server GC %d is neither unknown, no nor yes", h.Server)
		}
		b = append(b, byte(h.Server))
		for _, o := range totals(h) {
			b = appendOptional(b, *o)
		}
		b = appendNumbers(b, h.HeapBytes)
		b = appendNumbers(b, h.Generations)
	}
	if s.Memory != nil {
		for _, o := range counters(s.Memory) {
			b = appendOptional(b, *o)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.Warnings)))
	for _, w := range s.Warnings {
		b = appendString(b, w.Place)
		b = appendString(b, w.Text)
	}
	return b, nil
}

// record is a stored snapshot whose table is not decoded yet.
type record struct {
	snap  heap.Snapshot // everything but Types
	table bool
	base  uint32 // the base that the entries differ from; 0 for the empty one
	rows  int    // types in the table
	rest  []byte // the entries, valid as long as the value
}

// decodeRecord reads a value up to its entries. The process is not in the
// value; the caller knows it.
func decodeRecord(p heap.Process, owner, key, value []byte) (*record, error) {
	uptime, basis, counters0, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	c, err := unseal(owner, key, value)
	if err != nil {
		return nil, err
	}
	r := &record{snap: heap.Snapshot{Process: p, Uptime: uptime, Basis: basis}}
	s := &r.snap
	flags := c.byte()
	code := int(c.byte())
	if c.err == nil && (code < 1 || code >= len(sources) || flags&flagTable == 0 != counters0) {
		return nil, fmt.Errorf("%w: flags %#x, source %d under key %x", ErrCorrupt, flags, code, key)
	}
	if c.err == nil {
		s.Source = sources[code]
	}
	s.Complete = flags&flagComplete != 0
	s.Estimated = flags&flagEstimated != 0
	s.Partial = flags&flagPartial != 0
	if flags&flagTaken != 0 {
		sec, nsec := c.varint(), c.uvarint()
		if nsec >= 1e9 {
			c.fail(errNumber)
		}
		s.Taken = time.Unix(sec, int64(nsec)).UTC()
	}
	if flags&flagRuntime != 0 {
		s.Runtime = heap.Runtime{Flavor: c.string(), Version: c.string()}
	}
	if flags&flagHeap != 0 {
		s.Heap = &heap.Totals{}
		server := c.byte()
		if server > byte(heap.Yes) {
			c.fail(errNumber)
		}
		s.Heap.Server = heap.Tristate(server)
		for _, o := range totals(s.Heap) {
			*o = c.optional()
		}
		s.Heap.HeapBytes = c.numbers()
		s.Heap.Generations = c.numbers()
	}
	if flags&flagMemory != 0 {
		s.Memory = &heap.ProcessMemory{}
		for _, o := range counters(s.Memory) {
			*o = c.optional()
		}
	}
	if n := c.length(2); n > 0 {
		s.Warnings = make([]heap.Warning, n)
		for i := range s.Warnings {
			s.Warnings[i] = heap.Warning{Place: c.string(), Text: c.string()}
		}
	}
	if r.table = flags&flagTable != 0; r.table {
		base, rows := c.uvarint(), c.uvarint()
		if base > math.MaxUint32 || rows > math.MaxInt32 {
			c.fail(errNumber)
		}
		r.base, r.rows = uint32(base), int(rows)
		r.rest = c.b
		c.b = nil
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	return r, nil
}

// entry is one row of a table that differs from its base.
type entry struct {
	id           uint32
	gone         bool // listed in the base, not in the table
	count, bytes int64
}

// appendEntry writes e as its difference to the row (count, bytes) of the
// base, behind the entry with number last (-1 for none).
func appendEntry(b []byte, last int64, e entry, count, bytes int64) []byte {
	gap := uint64(int64(e.id) - last - 1)
	if e.gone {
		return binary.AppendUvarint(b, gap<<1|1)
	}
	b = binary.AppendUvarint(b, gap<<1)
	b = binary.AppendVarint(b, e.count-count)
	return binary.AppendVarint(b, e.bytes-bytes)
}

var (
	errOrder = errors.New("a row refers to a type that has no name")
	errGone  = errors.New("a row that the base does not hold is gone")
	errSame  = errors.New("a row that equals its base is listed")
	errRows  = errors.New("the number of rows does not match")
)

// entries calls f for each entry of a table with the row of the base that it
// differs from; at gives the index into base by number, or -1. Numbers are
// below names.
func entries(rest []byte, names int, base *table, f func(e entry, index int)) error {
	c := cursor{b: rest}
	id := int64(-1)
	for len(c.b) > 0 {
		head := c.uvarint()
		gap := head >> 1
		if gap >= uint64(names) || id+1+int64(gap) >= int64(names) {
			c.fail(errOrder)
			break
		}
		id += 1 + int64(gap)
		e := entry{id: uint32(id), gone: head&1 != 0}
		i := base.index(e.id)
		if e.gone {
			if i < 0 {
				c.fail(errGone)
				break
			}
			f(e, i)
			continue
		}
		dc, db := c.varint(), c.varint()
		if c.err != nil {
			break
		}
		var old heap.Type
		if i >= 0 {
			if old = base.types[i]; dc == 0 && db == 0 {
				c.fail(errSame)
				break
			}
		}
		// Old values are not negative, so a sum that leaves 63 bits is negative.
		if e.count, e.bytes = old.Count+dc, old.Bytes+db; e.count < 0 || e.bytes < 0 {
			c.fail(errNumber)
			break
		}
		f(e, i)
	}
	return c.end()
}
