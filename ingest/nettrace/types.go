package nettrace

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"leaktrack/heap"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/internal/metadata"
)

// Limits on the type table of one process.
const (
	maxRecordName = 16 << 10 // bytes of one type name
	maxNames      = 64 << 20 // bytes of all of them
	maxParams     = 1 << 10
	maxModules    = 1 << 14
	maxPath       = 4 << 10
	maxDepth      = 32 // generic arguments within generic arguments
)

// Types is what the streams of one process told of its types and modules.
// Type ids are stable for the life of a process and the runtime announces a
// type only once per table life, so a reader of many walks of one process
// keeps one Types for all of them. It is not safe for concurrent use.
type Types struct {
	records map[uint64]*typeRecord
	modules map[uint64]*moduleState
	spelled map[uint64]string // full names learned from spelled generic arguments
	bytes   int
	refused int // records dropped for a limit
}

type moduleState struct {
	Module
	failed error // why its metadata could not be read
	// assumed: the file that was read may be of another build.
	assumed bool
}

// NewTypes returns an empty table.
func NewTypes() *Types {
	return &Types{records: map[uint64]*typeRecord{}, modules: map[uint64]*moduleState{}, spelled: map[uint64]string{}}
}

// Len returns the number of types known.
func (t *Types) Len() int { return len(t.records) }

func (t *Types) add(id uint64, r typeRecord) error {
	size := len(r.name) + 8*len(r.params)
	if len(r.name) > maxRecordName || len(r.params) > maxParams || t.bytes+size > maxNames || len(t.records) >= maxTypes {
		t.refused++
		return fmt.Errorf("type %#x: name of %d bytes with %d arguments is beyond what is kept", id, len(r.name), len(r.params))
	}
	if old := t.records[id]; old != nil {
		if old.name == r.name && old.module == r.module && old.token == r.token {
			return nil // announced again; keep what was looked up
		}
		t.bytes -= len(old.name) + 8*len(old.params) // the id was reused
	}
	t.bytes += size
	t.records[id] = &r
	// The runtime drops namespace and enclosing types of a nested type's own
	// name, but spells them where the type is a generic argument.
	if len(r.params) > 0 && r.flags&typeFlagArray == 0 {
		if _, args, _ := cutName(r.name); len(args) == len(r.params) {
			for i, p := range r.params {
				if _, ok := t.spelled[p]; !ok && len(t.spelled) < maxTypes {
					t.spelled[p] = args[i]
				}
			}
		}
	}
	return nil
}

// AddModule makes a module known.
func (t *Types) AddModule(m Module) error {
	if old := t.modules[m.ID]; old != nil && old.Module == m {
		return nil
	}
	if len(m.Path) > maxPath || len(m.Native) > maxPath || len(t.modules) >= maxModules {
		return fmt.Errorf("module %#x: more or longer than what is kept", m.ID)
	}
	t.modules[m.ID] = &moduleState{Module: m}
	return nil
}

// short reports whether the record's own name may lack a namespace or
// enclosing types, so that the module's metadata must be asked.
func (r *typeRecord) short() bool {
	if r.flags&(typeFlagArray|typeFlagNative) != 0 || r.token>>24 != 0x02 || r.token == 0x02000000 {
		return false
	}
	base, _, _ := cutName(r.name)
	return !strings.Contains(base[leadingGroup(base):], ".")
}

// MissingModules returns the ids of modules that are needed to name types in
// full and are not known.
func (t *Types) MissingModules() []uint64 {
	var ids []uint64
	seen := map[uint64]bool{}
	for _, r := range t.records {
		if !seen[r.module] && t.modules[r.module] == nil && r.full == "" && r.short() {
			seen[r.module] = true
			ids = append(ids, r.module)
		}
	}
	slices.Sort(ids)
	return ids
}

// OpenImage opens the file of a module. The size bounds what is read of it.
type OpenImage func(m Module) (image interface {
	io.ReaderAt
	io.Closer
}, size int64, err error)

// Resolve looks up the full names of nested types in the metadata of their
// modules, as far as the modules are known and can be opened. A file that is
// not the build the process runs, by the identity in its debug directory or by
// a type's name that differs, is not believed; of one without identity the
// caller knows best, as who opens what the process has loaded. A record is looked
// up once.
func (t *Types) Resolve(open OpenImage) {
	t.resolve(func(m Module, use func(io.ReaderAt, int64) error) error {
		image, size, err := open(m)
		if err != nil {
			return err
		}
		defer image.Close()
		return use(image, size)
	})
	for _, m := range t.modules {
		m.assumed = false
	}
}

// eachImage hands the files that may be the module to use until it returns nil.
type eachImage func(m Module, use func(image io.ReaderAt, size int64) error) error

func (t *Types) resolve(each eachImage) {
	want := map[uint64][]*typeRecord{}
	for _, r := range t.records {
		if !r.looked && r.short() && t.modules[r.module] != nil {
			want[r.module] = append(want[r.module], r)
		}
	}
	for id, records := range want {
		m := t.modules[id]
		if m.failed == nil {
			m.failed = each(m.Module, func(image io.ReaderAt, size int64) (err error) {
				m.assumed, err = resolveModule(m.Module, records, image, size)
				return err
			})
		}
		for _, r := range records {
			r.looked = true
		}
	}
}

// resolveModule looks names up in one file. assumed says that nothing but the
// names shows that it is the build that the process runs.
func resolveModule(m Module, records []*typeRecord, image io.ReaderAt, size int64) (assumed bool, err error) {
	mod, err := metadata.Open(image, size, metadata.File)
	if err != nil {
		return false, err
	}
	guid, age, ok := mod.PDB()
	if assumed = !ok || m.PDB == [16]byte{}; !assumed && (guid != m.PDB || age != m.Age) {
		return false, fmt.Errorf("%s is not the build that the process runs", m.Path)
	}
	for _, r := range records {
		name, err := mod.TypeName(r.token)
		if err != nil {
			continue
		}
		base, _, _ := cutName(r.name)
		if last := name.Path[len(name.Path)-1]; base == last || base == name.String() || r.name == "" {
			r.full = name.String()
		}
	}
	return assumed, nil
}

// leadingGroup returns the length of the balanced <…> at the start of a name
// that a compiler made, 0 when there is none.
func leadingGroup(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '<':
			depth++
		case '>':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		if depth == 0 {
			break
		}
	}
	return 0
}

// cutName splits a name as the runtime spells it, Base`2[Arg,Arg][], into the
// base, the generic arguments and the array suffixes. What does not parse is
// all base.
func cutName(s string) (base string, args []string, suffix string) {
	i, balanced := 0, true
	for i < len(s) && s[i] != '[' {
		if s[i] == '<' && balanced {
			if n := leadingGroup(s[i:]); n > 0 {
				i += n
				continue
			}
			balanced = false // what follows need not be tried again
		}
		i++
	}
	base, rest := s[:i], s[i:]
	for rest != "" {
		n := closing(rest)
		if n < 0 {
			if rest == "*" || rest == "&" {
				return base, args, suffix + rest
			}
			return s, nil, ""
		}
		group := rest[1:n]
		switch {
		case strings.Trim(group, ",*") == "":
			suffix += rest[:n+1]
		case args == nil && suffix == "":
			args = splitArgs(group)
		default:
			return s, nil, ""
		}
		rest = rest[n+1:]
	}
	return base, args, suffix
}

// closing returns the index of the bracket that closes s[0], or -1.
func closing(s string) int {
	if s == "" || s[0] != '[' {
		return -1
	}
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// splitArgs splits at the commas outside of brackets and of compiler-made
// groups.
func splitArgs(s string) []string {
	var out []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[', '<':
			depth++
		case ']', '>':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, s[start:i])
				start = i + 1
			}
		}
	}
	return append(out, s[start:])
}

// respell turns a name as the runtime spells it into the project's spelling,
// without more knowledge than the name itself.
func respell(s string, depth int) string {
	base, args, suffix := cutName(s)
	if len(args) == 0 || depth > maxDepth {
		return base + suffix
	}
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = respell(a, depth+1)
	}
	return base + "<" + strings.Join(out, ",") + ">" + suffix
}

// typeNamer names types; it remembers what it named.
type typeNamer struct {
	types *Types
	done  map[uint64]string
	short map[uint64]bool // the name may lack its outer part
}

func (t *Types) namer() *typeNamer {
	return &typeNamer{types: t, done: map[uint64]string{}, short: map[uint64]bool{}}
}

// name returns the canonical name of a type and whether the stream described
// the type at all.
func (n *typeNamer) name(id uint64) (name string, known bool) {
	if n.types.records[id] == nil {
		return fmt.Sprintf("UNKNOWN 0x%x", id), false
	}
	name, _ = n.build(id, 0)
	name = heap.CanonicalName(name)
	if name == "" || len(name) > heap.MaxNameBytes { // blanks only, or hostile
		name = fmt.Sprintf("Type(0x%x)", id)
	}
	return name, true
}

// build composes the name out of the type's own base name and the names of its
// parameters.
func (n *typeNamer) build(id uint64, depth int) (name string, short bool) {
	if s, ok := n.done[id]; ok {
		return s, n.short[id]
	}
	r := n.types.records[id]
	if depth > maxDepth {
		return respell(r.name, 0), true
	}
	name, short = n.compose(id, r, depth)
	// A hostile stream may make a name that doubles at each level.
	if len(name) > heap.MaxNameBytes {
		name, short = respell(r.name, 0), true
	}
	if depth == 0 || len(n.done) < maxTypes {
		n.done[id], n.short[id] = name, short
	}
	return name, short
}

// module returns the module of a type, or of an array's element, as package
// fullname wants it, and whether the type's name was read from a file that may
// be of another build.
func (n *typeNamer) module(id uint64) (path string, assumed bool) {
	r := n.types.records[id]
	for range maxDepth {
		if r == nil || r.flags&typeFlagArray == 0 || len(r.params) == 0 {
			break
		}
		r = n.types.records[r.params[0]]
	}
	switch {
	case r == nil || r.flags&(typeFlagArray|typeFlagNative) != 0:
		return "", false
	case n.types.modules[r.module] == nil || n.types.modules[r.module].Path == "":
		return fullname.Nameless(r.module), false
	}
	m := n.types.modules[r.module]
	return m.Path, m.assumed && r.full != ""
}

func (n *typeNamer) compose(id uint64, r *typeRecord, depth int) (string, bool) {
	if r.flags&typeFlagNative != 0 {
		return fmt.Sprintf("Type(0x%x)", r.token), true
	}
	base, args, suffix := cutName(r.name)
	if r.flags&typeFlagArray != 0 {
		last := arraySuffix(r, suffix)
		if len(r.params) > 0 && r.params[0] != id && n.types.records[r.params[0]] != nil {
			element, short := n.build(r.params[0], depth+1)
			return element + last, short
		}
		if r.name == "" {
			return fmt.Sprintf("ArrayType(0x%x)", r.token), true
		}
		return respell(r.name, 0), !strings.Contains(base[leadingGroup(base):], ".")
	}
	short := false
	switch {
	case r.full != "":
		base = r.full
	case r.name == "":
		return fmt.Sprintf("Type(0x%x)", r.token), true
	case r.short():
		if s, ok := n.types.spelled[id]; ok {
			return respell(s, 0), false
		}
		short = true
	}
	if len(r.params) == 0 {
		return base, short
	}
	if short {
		// The arguments belong to the enclosing types too, so the arity of the
		// last part alone would not fit them.
		if i := strings.LastIndexByte(base, '`'); i > 0 {
			base = base[:i]
		}
	}
	names := make([]string, len(r.params))
	size := 0
	for i, p := range r.params {
		switch {
		case p != id && n.types.records[p] != nil:
			var s bool
			names[i], s = n.build(p, depth+1)
			// The text spells a nested type in full where it is an argument.
			if s && i < len(args) {
				names[i] = respell(args[i], 0)
			}
		case i < len(args):
			names[i] = respell(args[i], 0)
		default:
			names[i] = "?"
		}
		if size += len(names[i]); size > heap.MaxNameBytes {
			return respell(r.name, 0), true
		}
	}
	return base + "<" + strings.Join(names, ",") + ">", short
}

// arraySuffix returns the outermost brackets of an array type.
func arraySuffix(r *typeRecord, spelled string) string {
	if i := strings.LastIndexByte(spelled, '['); i >= 0 {
		return spelled[i:]
	}
	if rank := int(r.flags & typeFlagRank >> 8); r.element == elementMultiDim && rank > 1 {
		return "[" + strings.Repeat(",", rank-1) + "]"
	}
	return "[]"
}
