package trend

import (
	"fmt"
	"strings"

	"leaktrack/heap"
)

// join makes one series of types that some snapshots name in short and others
// in full. A short name that fits several types stays a series of its own, and
// where it is listed those have no point, since nobody knows which of them it
// counts; where one of those is listed it has none.
//
// Snapshots of one source name a type alike, so that there is nothing to do
// unless a type is missing from some.
func (t *table) join(frames []frame) {
	var seek []int
	for i := range t.types {
		s := &t.types[i]
		if s.partly(len(t.frames)) && (strings.Contains(s.name, "+") && strings.Contains(s.name, "<") || t.bareOnly(s, frames)) {
			seek = append(seek, i)
		}
	}
	if len(seek) == 0 {
		return
	}
	var j heap.Join
	at := map[string]int{} // canonical name to type
	for i := range t.types {
		s := &t.types[i]
		bare := t.bareOnly(s, frames)
		j.Add(s.name, bare)
		if !bare {
			at[heap.CanonicalName(s.name)] = i
		}
	}
	gone := map[int]bool{}
	for _, i := range seek {
		s := &t.types[i]
		full, candidates := j.Full(s.name, t.bareOnly(s, frames))
		if k, ok := at[full]; ok && k != i && t.merge(k, i) {
			gone[i] = true
			t.joined = append(t.joined, fmt.Sprintf("%s = %s", s.name, t.types[k].name))
			continue
		}
		if len(candidates) > 0 {
			t.blind(i, candidates, at)
		}
	}
	if len(gone) > 0 {
		kept := make([]series, 0, len(t.types)-len(gone))
		for i := range t.types {
			if !gone[i] {
				kept = append(kept, t.types[i])
			}
		}
		t.types = kept
		t.byName, t.canon, t.order = nil, nil, nil // whose places are others now
	}
}

// partly reports whether some of so many rows do not list the type.
func (s *series) partly(rows int) bool {
	if s.first > 0 || s.count.n < rows {
		return true
	}
	return s.lists(absent)
}

// lists reports whether any row has the count.
func (s *series) lists(count int64) bool {
	for r := range s.count.n {
		if s.count.at(r) == count {
			return true
		}
	}
	return false
}

// bareOnly reports whether the type is named without namespace and enclosing
// types, by sources only that may leave them out.
func (t *table) bareOnly(s *series, frames []frame) bool {
	n, ok := heap.ParseTypeName(s.name)
	if !ok || !n.Bare() {
		return false
	}
	for r := s.first; r < s.first+s.count.n; r++ {
		if c, _ := s.get(r); c != absent && !frames[t.frames[r]].short {
			return false
		}
	}
	return true
}

// merge adds type i to type k, unless a snapshot lists both: then the source
// told them apart, and they are two.
func (t *table) merge(k, i int) bool {
	a, b := &t.types[k], &t.types[i]
	for r := b.first; r < b.first+b.count.n; r++ {
		x, _ := a.get(r)
		if y, _ := b.get(r); x != absent && y != absent {
			return false
		}
	}
	first := min(a.first, b.first)
	var count, bytes packed
	for r := first; r < max(a.first+a.count.n, b.first+b.count.n); r++ {
		c, n := a.get(r)
		if c == absent {
			c, n = b.get(r)
		}
		count.append(c)
		bytes.append(n)
	}
	a.first, a.count, a.bytes = first, count, bytes
	return true
}

// blind notes where a short name and the full ones that it can be hide each
// other.
func (t *table) blind(i int, candidates []string, at map[string]int) {
	s := &t.types[i]
	unsure := false
	note := func(s *series, r int) {
		if s.blind == nil {
			s.blind = map[int]bool{}
		}
		s.blind[r] = true
		unsure = true
	}
	for _, full := range candidates {
		k, ok := at[full]
		if !ok {
			continue
		}
		f := &t.types[k]
		for r := range t.frames {
			x, _ := s.get(r)
			y, _ := f.get(r)
			if x != absent && y == absent {
				note(f, r)
			} else if x == absent && y != absent {
				note(s, r)
			}
		}
	}
	if unsure {
		if t.unclear == nil {
			t.unclear = map[string][]string{}
		}
		t.unclear[s.name] = candidates
	}
}

// namesWarnings tell what join did and could not do.
func (t *table) namesWarnings() []string {
	var out []string
	if len(t.joined) > 0 {
		out = append(out, "types that some snapshots name in short are taken for those that others name in full: "+heap.Some(t.joined))
	}
	if len(t.unclear) > 0 {
		var list []string
		for short, full := range t.unclear {
			list = append(list, fmt.Sprintf("%s (%s)", short, strings.Join(shorten(full, 3), ", ")))
		}
		out = append(out, "some snapshots have short names that fit several types which others name in full; neither has a point where the other is listed: "+heap.Some(list))
	}
	return out
}
