package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// bolts is a bucket as [salvage] finds it in the pages of a file: what can be
// read of it, without bbolt, which would give up at the first damage.
type bolts struct {
	sequence uint64 // the number that bbolt keeps for a bucket
	values   []boltsValue
	buckets  []boltsBucket
}

type boltsValue struct{ key, value []byte }

type boltsBucket struct {
	key []byte
	*bolts
}

func (b *bolts) get(key []byte) []byte {
	if b == nil {
		return nil
	}
	for _, v := range b.values {
		if bytes.Equal(v.key, key) {
			return v.value
		}
	}
	return nil
}

func (b *bolts) bucket(key []byte) *bolts {
	if b == nil {
		return nil
	}
	for _, c := range b.buckets {
		if bytes.Equal(c.key, key) {
			return c.bolts
		}
	}
	return nil
}

// salvager walks the pages of a file like [verifier], but goes on behind
// damage.
type salvager struct {
	data   []byte
	m      meta
	seen   []bool
	damage func(where string, err error)
}

// salvage returns what can be read of the tree of a file, which is in data.
// Keys and values are parts of data.
func salvage(data []byte, m meta, damage func(where string, err error)) *bolts {
	pages := min(m.high, uint64(len(data))/uint64(m.pageSize)+1)
	s := &salvager{data: data, m: m, seen: make([]bool, pages), damage: damage}
	root := &bolts{}
	s.page(root, m.root, 0)
	return root
}

func (s *salvager) bad(id uint64, format string, args ...any) {
	s.damage(fmt.Sprintf("page %d", id), fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...)))
}

func (s *salvager) page(to *bolts, id uint64, depth int) {
	ne := binary.NativeEndian
	start := id * uint64(s.m.pageSize)
	if id < 2 || id >= uint64(len(s.seen)) || start+pageHead > uint64(len(s.data)) {
		s.bad(id, "it is not in the file")
		return
	}
	if s.seen[id] || depth >= maxDepth {
		s.bad(id, "it is used twice")
		return
	}
	s.seen[id] = true
	b := s.data[start:]
	if got := ne.Uint64(b); got != id {
		s.bad(id, "it says it is page %d", got)
		return
	}
	n := (uint64(ne.Uint32(b[12:])) + 1) * uint64(s.m.pageSize)
	if n > uint64(len(b)) {
		s.bad(id, "it ends behind the end of the file")
		n = uint64(len(b)) // its first elements may be there
	}
	s.elements(to, b[:n], id, depth)
}

func (s *salvager) elements(to *bolts, b []byte, id uint64, depth int) {
	ne := binary.NativeEndian
	flags, count := ne.Uint16(b[8:]), int(ne.Uint16(b[10:]))
	if flags != pageBranch && flags != pageLeaf {
		s.bad(id, "its kind is %#x", flags)
		return
	}
	if room := (len(b) - pageHead) / elemSize; count > room {
		s.bad(id, "it counts %d elements and has room for %d", count, room)
		count = room
	}
	for i := range count {
		at := uint64(pageHead + i*elemSize)
		e := b[at:]
		if flags == pageBranch {
			s.page(to, ne.Uint64(e[8:]), depth+1)
			continue
		}
		from := at + uint64(ne.Uint32(e[4:]))
		ksize, vsize := uint64(ne.Uint32(e[8:])), uint64(ne.Uint32(e[12:]))
		if ksize == 0 || from < uint64(pageHead+count*elemSize) || from+ksize+vsize > uint64(len(b)) {
			s.bad(id, "element %d lies outside", i)
			continue
		}
		key, value := b[from:from+ksize], b[from+ksize:from+ksize+vsize]
		if ne.Uint32(e) != leafBucket {
			to.values = append(to.values, boltsValue{key, value})
			continue
		}
		child := &bolts{}
		if len(value) >= bucketHead {
			child.sequence = ne.Uint64(value[8:])
		}
		to.buckets = append(to.buckets, boltsBucket{key, child})
		switch {
		case len(value) < bucketHead:
			s.bad(id, "element %d holds no bucket", i)
		case ne.Uint64(value) != 0:
			s.page(child, ne.Uint64(value), depth+1)
		case len(value) < bucketHead+pageHead || depth+1 >= maxDepth:
			s.bad(id, "element %d holds no bucket", i)
		default:
			s.elements(child, value[bucketHead:], id, depth+1)
		}
	}
}
