package fullname

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leaktrack/heap"
)

// Query is one type of a dump.
type Query struct {
	Name heap.TypeName
	// Module is the path or file name of the module that defines the type, or
	// the element of an array; [Nameless] where the dump tells modules apart and
	// does not name them; "" where it tells nothing.
	Module string
}

const nameless = "Module(0x"

// Nameless is a module without a name, spelled as dotnet-gcdump does.
func Nameless(id uint64) string { return fmt.Sprintf("%s%x)", nameless, id) }

// Resolution is what [Finder.Resolve] found.
type Resolution struct {
	Answers []Answer // one for each query
	// Notes say where names come from and how sure that is, for warnings.
	Notes []string
}

// Resolve finds the full names of the types of one dump. All its types go in
// together, because a module's file is believed only when it defines all types
// that the dump has of the module. A nil Finder knows no files.
func (f *Finder) Resolve(types []Query) Resolution {
	r := resolver{finder: f, defines: map[string][]heap.TypeName{}, files: map[string]*Index{}}
	listed := map[string]bool{}
	r.answers = make([]Answer, len(types))
	for i, q := range types {
		r.answers[i].Name = q.Name
		if !q.Name.Bare() {
			listed[q.Name.String()] = true
			if q.Module != "" {
				r.defines[q.Module] = append(r.defines[q.Module], q.Name)
			}
		}
	}
	table := map[string]string{} // key in the table by module
	for module := range r.defines {
		if table[module] = module; strings.HasPrefix(module, nameless) {
			table[module] = Recognise(r.defines[module])
		}
	}
	used := map[How]map[string]bool{FromFile: {}, FromTable: {}}
	count := map[How]int{}
	enclosed := 0
	for i, q := range types {
		if q.Module == "" || !q.Name.Bare() {
			continue
		}
		file := BaseName(q.Module)
		a := r.file(q.Module).ask(q.Name, FromFile, listed)
		if a.How == Unresolved && len(a.Candidates) == 0 {
			key, ok := table[q.Module]
			if !ok {
				key = q.Module
			}
			a = Framework(key).ask(q.Name, FromTable, listed)
			file = BaseName(key)
		}
		r.answers[i] = a
		if a.How != Unresolved {
			used[a.How][file] = true
			if a.Name.String() != q.Name.String() { // not one of the global namespace
				count[a.How]++
				if a.ByEncloser {
					enclosed++
				}
			}
		}
	}
	r.restoreAll(types)
	out := Resolution{Answers: r.answers}
	note := func(format string, args ...any) { out.Notes = append(out.Notes, fmt.Sprintf(format, args...)) }
	if n := count[FromFile]; n > 0 {
		note("%d short type names are completed from the files of their modules, which are taken for the builds that ran: %s", n, heap.Some(slices.Collect(maps.Keys(used[FromFile]))))
	}
	if n := count[FromTable]; n > 0 {
		note("%d short type names are completed from leaktrack's table of the class libraries of .NET 3.1, 9 and 10: %s", n, heap.Some(slices.Collect(maps.Keys(used[FromTable]))))
	}
	if enclosed > 0 {
		note("%d of these fit several types, and are named after the one of which the heap holds the enclosing type", enclosed)
	}
	if len(r.others) > 0 {
		note("not used to complete names: %s", heap.Some(r.others))
	}
	return out
}

// resolver is the work on one dump.
type resolver struct {
	finder  *Finder
	answers []Answer
	defines map[string][]heap.TypeName // by module
	files   map[string]*Index          // by module; nil where there is none
	others  []string                   // files that were not believed
}

// file returns the types of a module's file.
func (r *resolver) file(module string) *Index {
	x, ok := r.files[module]
	if ok {
		return x
	}
	if r.finder == nil || strings.HasPrefix(module, nameless) {
		return nil
	}
	x, err := r.finder.Types(module, r.defines[module])
	var other *OtherBuild
	if errors.As(err, &other) {
		r.others = append(r.others, err.Error())
	}
	r.files[module] = x
	return x
}

// restoreAll gives generic arguments back to enclosing types in all names. The
// files of modules that were not needed before are read only when a name is
// left that they may explain.
func (r *resolver) restoreAll(types []Query) {
	table, err := framework()
	if err != nil {
		panic(err)
	}
	indexes := slices.Collect(maps.Values(table))
	for _, x := range r.files {
		indexes = append(indexes, x)
	}
	left := false
	for i := range r.answers {
		if n, ok := restore(r.answers[i].Name, indexes, 0); ok {
			r.answers[i].Name = n
		}
		left = left || inner(r.answers[i].Name, 0)
	}
	if !left {
		return
	}
	var more []*Index
	for _, q := range types {
		if _, ok := r.files[q.Module]; !ok && q.Module != "" && Framework(q.Module) == nil {
			if x := r.file(q.Module); x != nil {
				more = append(more, x)
			}
		}
	}
	if len(more) == 0 {
		return
	}
	for i := range r.answers {
		if n, ok := restore(r.answers[i].Name, append(indexes, more...), 0); ok {
			r.answers[i].Name = n
		}
	}
}

// inner reports whether all generic arguments of a nested type stand behind
// its last part, here or in an argument.
func inner(n heap.TypeName, depth int) bool {
	last := n.Chain[len(n.Chain)-1]
	if len(n.Chain) > 1 && len(last.Args) > 0 && len(n.Args()) == len(last.Args) {
		return true
	}
	if depth > maxDepth {
		return false
	}
	for _, p := range n.Chain {
		for _, a := range p.Args {
			if inner(a, depth+1) {
				return true
			}
		}
	}
	return false
}
