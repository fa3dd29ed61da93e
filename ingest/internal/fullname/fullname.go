// Package fullname finds the full names of nested types that their source
// spells without namespace and enclosing types: in goes the short name with the
// path of its module, out comes the name as the module's metadata has it, the
// same that a live walk or a core gives.
//
// The events of a runtime, and the .gcdump files made of them, name a nested
// type by its own name alone, with the generic arguments of the enclosing types:
// Dictionary<K,V>+Entry is Entry<K,V>. Which types a short name can stand for is
// written in the module: in its file where there is one ([Finder]), or in the
// table of class libraries of .NET ([Framework]) that is part of this package. A
// short name that fits one type is that type; one that fits several stays short,
// with those as candidates.
//
// # Truth
//
// A .gcdump tells no identity of its modules. A file is believed when it defines
// every type that the dump lists in full for its module, which another build
// does as well if it happens to have the same types; so what is found this way
// is assumed, and [Answer.How] says so. The table holds the types of several
// versions and is used where the name fits one type in all of them. It lacks what
// compilers number, <M>d__12, because other versions number otherwise.
package fullname

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"leaktrack/heap"
	"leaktrack/ingest/internal/metadata"
)

// Index is the types of a module by their short names. The zero value is
// empty.
type Index struct {
	short map[shape][]candidate
	// flat holds nested types by their full name without arities, which is how
	// dotnet-gcdump spells them as generic arguments.
	flat map[shape][]string
	// known is the hashes of all types, without arities.
	known map[uint64]struct{}
	// Of the table only: the assembly, and those of its types that enclose others.
	name   string
	outers map[shape]bool
}

// shape is what is left of a type in a .gcdump: a name without arities, and
// the number of generic arguments.
type shape struct {
	name   string
	params int
}

type candidate struct {
	full string // as metadata spells it, with arities
	// abstract types have no objects; only arrays of them have.
	abstract bool
}

var seed = maphash.MakeSeed()

func (s shape) hash() uint64 {
	return maphash.String(seed, s.name) + uint64(s.params)*0x9E3779B97F4A7C15
}

// cutArity splits Name`2 into its two parts.
func cutArity(s string) (name string, arity int) {
	if i := strings.LastIndexByte(s, '`'); i > 0 {
		if n, err := strconv.Atoi(s[i+1:]); err == nil && n > 0 && n < 1000 {
			return s[:i], n
		}
	}
	return s, 0
}

// add makes a type known. Static classes have neither objects nor arrays, so
// no short name stands for them.
func (x *Index) add(t metadata.TypeName, attributes uint32) {
	if x.short == nil {
		x.short, x.flat, x.known = map[shape][]candidate{}, map[shape][]string{}, map[uint64]struct{}{}
	}
	plain := make([]string, len(t.Path))
	params := 0
	for i, p := range t.Path {
		name, n := cutArity(p)
		plain[i] = name
		params += n
	}
	full := t.String()
	flat := shape{metadata.TypeName{Namespace: t.Namespace, Path: plain}.String(), params}
	x.known[flat.hash()] = struct{}{}
	if attributes&(typeAbstract|typeSealed) == typeAbstract|typeSealed {
		return
	}
	nested := len(t.Path) > 1
	if nested {
		x.flat[flat] = append(x.flat[flat], full)
	}
	if nested || t.Namespace == "" {
		s := shape{plain[len(plain)-1], params}
		x.short[s] = append(x.short[s], candidate{full, attributes&typeAbstract != 0})
	}
}

// Type attributes (ECMA-335 II.23.1.15); static classes are both.
const (
	typeAbstract = 0x80
	typeSealed   = 0x100
)

// NewIndex reads the types of a module.
func NewIndex(m *metadata.Module) (*Index, error) {
	x := &Index{}
	for i := range m.TypeDefs() {
		token := 0x02000001 + uint32(i)
		name, err := m.TypeName(token)
		if err != nil {
			return nil, err
		}
		attributes, err := m.Attributes(token)
		if err != nil {
			return nil, err
		}
		x.add(name, attributes)
	}
	return x, nil
}

// find returns what a short name can stand for, as metadata spells it.
func (x *Index) find(n heap.TypeName) []string {
	if x == nil || len(n.Chain) != 1 {
		return nil
	}
	p := n.Chain[0]
	array := strings.ContainsAny(n.Suffix, "[*&")
	var out []string
	for _, c := range x.short[shape{p.Name, max(len(p.Args), p.Arity)}] {
		if array || !c.abstract {
			out = append(out, c.full)
		}
	}
	return out
}

// lacks returns a type of the list that the module does not define; "" when it
// defines all of them. Names that are bare are passed over.
func (x *Index) lacks(names []heap.TypeName) string {
	for _, n := range names {
		if n.Bare() {
			continue
		}
		if _, ok := x.known[flatten(n).hash()]; !ok {
			n.Suffix = ""
			return n.String()
		}
	}
	return ""
}

// flatten returns a name as it is left in a .gcdump.
func flatten(n heap.TypeName) shape {
	s := shape{}
	for i, p := range n.Chain {
		if i > 0 {
			s.name += "+"
		}
		s.name += p.Name
		s.params += max(len(p.Args), p.Arity)
	}
	return s
}

// dress puts the arguments and the array suffix of a short name behind the
// full one.
func dress(full string, n heap.TypeName) (heap.TypeName, bool) {
	args := n.Args()
	if len(args) > 0 {
		parts := make([]string, len(args))
		for i, a := range args {
			parts[i] = a.String()
		}
		full += "<" + strings.Join(parts, ",") + ">"
	}
	out, ok := heap.ParseTypeName(full + n.Suffix)
	return out, ok && flatten(out).params == flatten(n).params
}

// How says where a full name comes from.
type How int

const (
	// Unresolved: the name stays as it was.
	Unresolved How = iota
	// FromFile: of the module's file, which is assumed to be the build that ran.
	FromFile
	// FromTable: of the table of class libraries.
	FromTable
)

// Answer is what is known of one short name.
type Answer struct {
	Name heap.TypeName // in full, or as it was
	How  How
	// ByEncloser: the name fits several types; this is the one whose enclosing
	// type the dump lists.
	ByEncloser bool
	// Candidates are the full names that a name which stays short can stand
	// for, in order; none when nothing is known of its module.
	Candidates []string
}

// ask looks a short name up. listed are the names of the dump.
func (x *Index) ask(n heap.TypeName, how How, listed map[string]bool) Answer {
	found := x.find(n)
	a := Answer{Name: n}
	var names, owned []heap.TypeName
	for _, full := range found {
		d, ok := dress(full, n)
		if !ok {
			return a // not a name that can be put together
		}
		names = append(names, d)
		if listed[encloser(d)] {
			owned = append(owned, d)
		}
	}
	switch {
	case len(names) == 1:
		a.Name, a.How = names[0], how
		return a
	case len(owned) == 1:
		a.Name, a.How, a.ByEncloser = owned[0], how, true
		return a
	}
	for _, d := range names {
		a.Candidates = append(a.Candidates, d.String())
	}
	slices.Sort(a.Candidates)
	a.Candidates = slices.Compact(a.Candidates)
	return a
}

// encloser returns the type around a generic nested type that a person named,
// "" for any other. Entry<K,V>[] can be of a Dictionary<K,V> and of others; when
// the heap holds one of those and none of the others, it is of that one. A
// class that compilers made for a method says nothing of that kind.
func encloser(n heap.TypeName) string {
	last := len(n.Chain) - 1
	if last == 0 || len(n.Args()) == 0 || strings.HasPrefix(n.Chain[last].Name, "<") {
		return ""
	}
	return heap.TypeName{Chain: n.Chain[:last]}.String()
}

// restore gives the generic arguments of a nested type back to the enclosing
// types, A.Dictionary+Entry<K,V> to A.Dictionary<K,V>+Entry, here and in all
// arguments, as far as one of the indexes tells the arities. It reports whether
// anything changed.
func restore(n heap.TypeName, indexes []*Index, depth int) (heap.TypeName, bool) {
	if depth > maxDepth {
		return n, false
	}
	changed := false
	for i, p := range n.Chain {
		for j, a := range p.Args {
			if r, ok := restore(a, indexes, depth+1); ok {
				if !changed {
					n = clone(n)
				}
				n.Chain[i].Args[j] = r
				changed = true
			}
		}
	}
	last := len(n.Chain) - 1
	if last == 0 || len(n.Chain[last].Args) == 0 || len(n.Args()) != len(n.Chain[last].Args) {
		return n, changed
	}
	s := flatten(n)
	var full []string
	for _, x := range indexes {
		if x != nil {
			full = append(full, x.flat[s]...)
		}
	}
	slices.Sort(full)
	if full = slices.Compact(full); len(full) != 1 {
		return n, changed
	}
	d, ok := dress(full[0], n)
	if !ok || d.String() == n.String() {
		return n, changed
	}
	return d, true
}

// maxDepth bounds arguments within arguments.
const maxDepth = 64

// clone copies what restore changes.
func clone(n heap.TypeName) heap.TypeName {
	n.Chain = slices.Clone(n.Chain)
	for i := range n.Chain {
		n.Chain[i].Args = slices.Clone(n.Chain[i].Args)
	}
	return n
}

// List names the types that stay short for a warning, each with some of its
// candidates. Classes that compilers made are counted only, where there are
// others.
func List(short map[string][]string) string {
	var named, made []string
	for name, candidates := range short {
		text := describe(name, candidates)
		if strings.HasPrefix(name, "<") {
			made = append(made, text)
		} else {
			named = append(named, text)
		}
	}
	switch {
	case len(named) == 0:
		return heap.Some(made)
	case len(made) == 0:
		return heap.Some(named)
	case len(made) == 1:
		return heap.Some(named) + "; " + made[0]
	}
	return fmt.Sprintf("%s; %d made by compilers", heap.Some(named), len(made))
}

func describe(name string, candidates []string) string {
	candidates = slices.Clone(candidates)
	slices.Sort(candidates)
	candidates = slices.Compact(candidates)
	const some = 2
	switch n := len(candidates); {
	case n == 0:
		return name
	case n <= some:
		return fmt.Sprintf("%s (%s)", name, strings.Join(candidates, " or "))
	default:
		others := "others"
		if n == some+1 {
			others = "other"
		}
		return fmt.Sprintf("%s (%s or %d %s)", name, strings.Join(candidates[:some], " or "), n-some, others)
	}
}
