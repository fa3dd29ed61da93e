package trend

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"leaktrack/heap"
)

// absent marks a type that a snapshot does not list.
const absent = -1

// packed is a growing list of counts or bytes, -1 for absent, in as little
// memory as the values allow: one value while they are all equal, 32 bits
// each while they fit. Most types of a process never change.
type packed struct {
	n      int
	one    int64
	narrow []int32
	wide   []int64
}

// addLast adds v to the last value.
func (p *packed) addLast(v int64) {
	sum := p.at(p.n - 1)
	if v > math.MaxInt64-sum {
		sum = math.MaxInt64
	} else {
		sum += v
	}
	p.n--
	if p.narrow != nil {
		p.narrow = p.narrow[:p.n]
	}
	if p.wide != nil {
		p.wide = p.wide[:p.n]
	}
	p.append(sum)
}

func (p *packed) append(v int64) {
	switch {
	case p.n == 0:
		p.one = v
	case p.narrow == nil && p.wide == nil && v == p.one:
	case p.wide == nil && v <= math.MaxInt32 && p.one <= math.MaxInt32:
		if p.narrow == nil {
			p.narrow = make([]int32, p.n, p.n+max(8, p.n/4))
			for i := range p.narrow {
				p.narrow[i] = int32(p.one)
			}
		}
		if len(p.narrow) == cap(p.narrow) { // a quarter more, not twice as much
			p.narrow = slices.Grow(p.narrow, max(8, p.n/4))
		}
		p.narrow = append(p.narrow, int32(v))
	default:
		if p.wide == nil {
			wide := make([]int64, p.n, p.n+max(8, p.n/4))
			for i := range wide {
				wide[i] = p.at(i) // which reads p.wide once there is one
			}
			p.wide, p.narrow = wide, nil
		}
		p.wide = append(p.wide, v)
	}
	p.n++
}

func (p *packed) at(i int) int64 {
	switch {
	case p.narrow != nil:
		return int64(p.narrow[i])
	case p.wide != nil && i < len(p.wide):
		return p.wide[i]
	}
	return p.one
}

// series is what one type had in each row of its table, from row first on.
type series struct {
	name         string
	nameAt       time.Duration // uptime of the snapshot that spells it so
	first        int
	count, bytes packed
	blind        map[int]bool // rows that do not tell this type from others; see join
}

// get returns the type's objects and bytes in a row, absent where it is not
// listed.
func (s *series) get(row int) (count, bytes int64) {
	if i := row - s.first; i >= 0 && i < s.count.n {
		return s.count.at(i), s.bytes.at(i)
	}
	return absent, absent
}

// table is all snapshots of one basis.
type table struct {
	frames []int // of each row, its place in collected.frames
	types  []series
	byName map[string]int
	canon  map[string]int // canonical name to type; made when a second spelling may occur
	order  []int          // types in the order of the last snapshot
	joined []string       // short names that were found to be types named in full elsewhere
	// unclear holds the full names that a short one can be, by that name, where
	// they are several.
	unclear map[string][]string
}

// frame is a snapshot without its types.
type frame struct {
	uptime                            time.Duration
	basis                             heap.Basis
	complete, estimated, typed        bool
	short                             bool // its source may leave out enclosing types
	live, committed, free             heap.Optional
	objectBytes, native, rss, private heap.Optional
	sum                               float64 // bytes of all listed types
	gcLimit, boxLimit                 heap.Optional
	heaps                             heap.Optional
	server                            heap.Tristate
}

// collected is the snapshots of one process, in columns.
type collected struct {
	process   heap.Process
	frames    []frame
	tables    map[heap.Basis]*table
	heapBytes []int64 // of the latest snapshot that says it
	heapAt    time.Duration
	unknown   int // snapshots without uptime
	partial   int // snapshots of a part of each type's objects
}

// ErrProcesses is returned by [Analyze] for snapshots of several processes.
var ErrProcesses = errors.New("snapshots of more than one process")

// collect reads all snapshots into columns. None of them is kept.
func collect(snapshots iter.Seq2[*heap.Snapshot, error]) (*collected, error) {
	c := &collected{tables: map[heap.Basis]*table{}, heapAt: -1}
	seen := false
	for s, err := range snapshots {
		if err != nil {
			return nil, fmt.Errorf("reading snapshots: %w", err)
		}
		if s == nil {
			continue
		}
		if seen && s.Process != c.process {
			return nil, fmt.Errorf("%w: %v and %v", ErrProcesses, c.process, s.Process)
		}
		c.process, seen = s.Process, true
		c.add(s)
	}
	for _, t := range c.tables {
		t.join(c.frames)
	}
	return c, nil
}

func (c *collected) add(s *heap.Snapshot) {
	if s.Uptime < 0 {
		c.unknown++
		return
	}
	f := frame{uptime: s.Uptime, basis: s.Basis, complete: s.Complete, estimated: s.Estimated, typed: !s.CountersOnly() && !s.Partial, short: s.Source.ShortNames()}
	for _, t := range s.Types {
		if s.Partial {
			break
		}
		f.sum += float64(t.Bytes)
	}
	if h := s.Heap; h != nil {
		f.live, f.committed, f.free, f.objectBytes = h.LiveBytes, h.CommittedBytes, h.FreeBytes, h.ObjectBytes
		f.gcLimit, f.heaps, f.server = h.LimitBytes, h.Heaps, h.Server
		if len(h.HeapBytes) > 0 && s.Uptime >= c.heapAt {
			c.heapBytes, c.heapAt = slices.Clone(h.HeapBytes), s.Uptime
		}
	}
	if m := s.Memory; m != nil {
		f.native, f.rss, f.private, f.boxLimit = m.NativeHeapBytes, m.RSSBytes, m.PrivateBytes, m.LimitBytes
	}
	c.frames = append(c.frames, f)
	if s.Partial {
		c.partial++
	}
	if !f.typed {
		return
	}
	t := c.tables[s.Basis]
	if t == nil {
		t = &table{byName: map[string]int{}}
		c.tables[s.Basis] = t
	}
	t.add(s, len(c.frames)-1)
}

func (t *table) add(s *heap.Snapshot, frame int) {
	row := len(t.frames)
	t.frames = append(t.frames, frame)
	order := t.order
	next := make([]int, 0, len(s.Types))
	for i, ty := range s.Types {
		at := -1
		// Most snapshots list the same types in the same order.
		if i < len(order) && t.types[order[i]].name == ty.Name {
			at = order[i]
		} else if k, ok := t.byName[ty.Name]; ok {
			at = k
		} else {
			at = t.newType(s, ty.Name, row)
		}
		next = append(next, at)
		sr := &t.types[at]
		if sr.count.n == 0 {
			sr.first = row
		}
		if len(s.Types) > 0 && s.Uptime >= sr.nameAt {
			sr.name, sr.nameAt = ty.Name, s.Uptime
		}
		for sr.first+sr.count.n < row {
			sr.count.append(absent)
			sr.bytes.append(absent)
		}
		if sr.first+sr.count.n > row { // two spellings of one type in one snapshot
			sr.count.addLast(ty.Count)
			sr.bytes.addLast(ty.Bytes)
			continue
		}
		sr.count.append(ty.Count)
		sr.bytes.append(ty.Bytes)
	}
	t.order = next
}

// newType finds the type that this unseen spelling belongs to, or makes one.
// Spellings are compared only when a later snapshot brings names that the
// earlier ones did not have; a type whose known spelling is in this snapshot
// too is another one.
func (t *table) newType(s *heap.Snapshot, name string, row int) int {
	if row > 0 {
		if t.canon == nil {
			t.canon = make(map[string]int, len(t.types))
			for i := range t.types {
				t.canon[heap.CanonicalName(t.types[i].name)] = i
			}
		}
		c := heap.CanonicalName(name)
		if at, ok := t.canon[c]; ok {
			sr := &t.types[at]
			_, listed := s.Type(sr.name)
			if !listed && sr.first+sr.count.n <= row {
				t.byName[name] = at
				return at
			}
		} else {
			t.canon[c] = len(t.types)
		}
	}
	t.types = append(t.types, series{name: name, nameAt: s.Uptime})
	t.byName[name] = len(t.types) - 1
	return len(t.types) - 1
}

// sorted returns the rows of the table by uptime, of several at one uptime the
// one that came last, with how many were left out for that.
func (t *table) sorted(frames []frame) (rows []int, dropped int) {
	rows = make([]int, len(t.frames))
	for i := range rows {
		rows[i] = i
	}
	up := func(r int) time.Duration { return frames[t.frames[r]].uptime }
	slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(up(a), up(b)) })
	out := rows[:0]
	for _, r := range rows {
		if k := len(out); k > 0 && up(out[k-1]) == up(r) {
			out[k-1] = r
			dropped++
			continue
		}
		out = append(out, r)
	}
	return out, dropped
}

// basis chooses the table to judge by. Counts of live objects say more, so
// they are taken unless they are fewer than three snapshots where the others
// are more, or less than half as many. It returns "" when no snapshot has a
// table.
func (c *collected) basis() (used, other heap.Basis) {
	rows := func(b heap.Basis) int {
		t := c.tables[b]
		if t == nil {
			return 0
		}
		r, _ := t.sorted(c.frames)
		return len(r)
	}
	live, all := rows(heap.Live), rows(heap.All)
	switch {
	case live == 0 && all == 0:
		return "", ""
	case all == 0:
		return heap.Live, ""
	case live == 0:
		return heap.All, ""
	case live < 3 && all > live, 2*live < all:
		return heap.All, heap.Live
	}
	return heap.Live, heap.All
}
