package gcname

import (
	"leaktrack/heap"
	"leaktrack/ingest/internal/fullname"
)

// Table gathers the types of one dump under canonical names. The zero value is
// empty.
type Table struct {
	rows    []row
	modules map[string]string // of a name, or several
}

type row struct {
	heap.Type
	module string
}

const several = "\x00"

// Add adds a type of which the name is canonical, see [Canonical]. The module
// is the path or file name of the one that defines it, "" for none.
func (t *Table) Add(typ heap.Type, module string) {
	if t.modules == nil {
		t.modules = map[string]string{}
	}
	t.rows = append(t.rows, row{typ, module})
	if m, ok := t.modules[typ.Name]; ok && m != module {
		module = several
	}
	t.modules[typ.Name] = module
}

// Fill makes the types those of the snapshot: short names completed from the
// modules that f finds or where the other names tell how, and types of one name
// summed. It warns of short names, and makes the snapshot incomplete for types
// that the runtime did not describe. It fails with [heap.ErrOverflow] when a
// sum does not fit.
func (t *Table) Fill(s *heap.Snapshot, f *fullname.Finder) error {
	var queries []fullname.Query
	var of []int // the row of each query
	unknown := map[string]bool{}
	var unknownObjects int64
	for i := range t.rows {
		name := t.rows[i].Name
		if Unknown(name) {
			unknown[name] = true
			unknownObjects += t.rows[i].Count
			continue
		}
		if n, ok := heap.ParseTypeName(name); ok {
			queries = append(queries, fullname.Query{Name: n, Module: t.rows[i].module})
			of = append(of, i)
		}
	}
	found := f.Resolve(queries)
	answers := make([]fullname.Answer, len(t.rows))
	names := make([]string, len(t.rows)) // as far as they are known
	for i := range t.rows {
		names[i] = t.rows[i].Name
	}
	for k, a := range found.Answers {
		answers[of[k]] = a
		if full := a.Name.String(); len(full) <= heap.MaxNameBytes {
			names[of[k]] = full
		}
	}
	full := Complete(names, func(short string) bool {
		a, isA := t.modules[short]
		b, isB := t.modules[short+"[]"]
		return a == several || b == several || isA && isB && a != b
	})
	done := map[string]bool{}
	short := map[string][]string{}
	out := make([]heap.Type, len(t.rows))
	for i := range t.rows {
		out[i] = t.rows[i].Type
		out[i].Name = names[i]
		if answers[i].How != fullname.Unresolved || !Short(names[i]) || Unknown(names[i]) {
			continue
		}
		if f := full[names[i]]; f != "" && len(f) <= heap.MaxNameBytes && len(answers[i].Candidates) == 0 {
			out[i].Name = f
			done[f] = true
			continue
		}
		short[names[i]] = append(short[names[i]], answers[i].Candidates...)
	}
	if err := s.SetTypes(out); err != nil {
		return err
	}
	if len(unknown) > 0 {
		s.Complete = false
		s.Warn("", "%d objects are of %d types that the runtime did not describe (UNKNOWN 0x…)", unknownObjects, len(unknown))
	}
	for _, note := range found.Notes {
		s.Warn("", "%s", note)
	}
	if len(done) > 0 {
		s.Warn("", "%d short type names are completed as generic arguments spell them", len(done))
	}
	if len(short) > 0 {
		s.Warn("", "%d of %d types may be named without namespace or enclosing type, types of the same short name are summed: %s", len(short), len(s.Types), fullname.List(short))
	}
	return nil
}
