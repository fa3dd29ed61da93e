package heap

import (
	"slices"
	"strings"
)

// ShortNames reports whether the source may name a nested type without
// namespace and enclosing types: what a runtime's events tell, and what is made
// of them.
func (s Source) ShortNames() bool {
	switch s {
	case SourceGCDump, SourceGCReport, SourceNettrace, SourceLiveEventPipe:
		return true
	}
	return false
}

// Join tells which names of several snapshots are one type, beyond what
// [CanonicalName] makes equal: a name without namespace and enclosing types is
// the one full name that would be shortened to it, and a name whose generic
// arguments were left behind its last part is the one that has them where they
// belong. Stored names stay as they are; this is for comparing only, within one
// basis. The zero value is empty.
type Join struct {
	full map[string][]string // canonical full names by short flat form
	flat map[string][]string // canonical names by flat form, where the two differ
}

// maxCandidates bounds the names kept for one short form; closures of a large
// program are thousands.
const maxCandidates = 64

// Add makes a name known. bare says that the name may lack its outer part, if it
// has none: it is found only in snapshots of sources with [Source.ShortNames].
func (j *Join) Add(name string, bare bool) {
	n, ok := ParseTypeName(name)
	if !ok || bare && n.Bare() {
		return
	}
	if j.full == nil {
		j.full, j.flat = map[string][]string{}, map[string][]string{}
	}
	put := func(m map[string][]string, key, name string) {
		if list := m[key]; len(list) < maxCandidates && !slices.Contains(list, name) {
			m[key] = append(m[key], name)
		}
	}
	c := n.String()
	if len(n.Chain) > 1 {
		put(j.full, n.Flat().Short().String(), c)
	} else if n.Bare() {
		put(j.full, n.Flat().String(), c)
	}
	if strings.Contains(c, "+") {
		if flat := n.Flat().String(); flat != c {
			put(j.flat, flat, c)
		}
	}
}

// Full returns the canonical full name of a name, and "" where it is full
// itself or none is known. Where several are known it returns those.
func (j *Join) Full(name string, bare bool) (full string, candidates []string) {
	if j.full == nil {
		return "", nil
	}
	n, ok := ParseTypeName(name)
	if !ok {
		return "", nil
	}
	c := n.String()
	found := j.flat[c]
	if bare && n.Bare() {
		found = j.full[n.Flat().String()]
	}
	// A flat spelling of the same name is no second type.
	found = slices.DeleteFunc(slices.Clone(found), func(s string) bool {
		_, better := j.flat[s]
		return better
	})
	switch {
	case len(found) == 0 || len(found) == 1 && found[0] == c:
		return "", nil
	case len(found) == 1:
		return found[0], nil
	}
	slices.Sort(found)
	return "", found
}
