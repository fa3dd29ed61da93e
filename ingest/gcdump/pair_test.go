package gcdump

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"leaktrack/heap"
	"leaktrack/ingest/internal/clr/clrtest"
	"leaktrack/ingest/internal/wire"
	"leaktrack/ingest/nettrace"
)

// runtimeTypes are names as a runtime sends them, nested types without their
// outer part. The arguments are the ids (index plus 1) of the generic arguments
// or of an array's element, as the runtime sends those too;
// 999 is a type that it does not describe.
var runtimeTypes = []struct {
	name  string
	array bool
	args  []uint64
	sizes []uint64 // of the objects
}{
	{"System.String", false, nil, []uint64{22, 36, 29228}},
	{"System.Byte[]", true, nil, []uint64{24, 1000, 1001, 9999, 10000, 100_000, 1_000_000, 10_000_000, 100_000_000}},
	{"System.String[,]", true, nil, []uint64{296}},
	{"System.Int32[][,]", true, nil, []uint64{48}},
	{"<>c", false, nil, []uint64{24, 24}},
	{"<>c__DisplayClass1_0`1[System.String]", false, []uint64{1}, []uint64{40}},
	{"<>c[]", true, []uint64{5}, []uint64{56}},
	{"<Run>d__3", false, nil, []uint64{80}},
	{"<>f__AnonymousType0`2[System.String,System.Byte[]]", false, []uint64{1, 2}, []uint64{32}},
	{"System.Collections.Generic.List`1[Demo.Node]", false, []uint64{999}, []uint64{32, 32}},
	{"Entry`2[System.String,System.Object][]", true, nil, []uint64{432, 4296}},
	{"TerminalFormatStrings", false, nil, []uint64{144}},
	{"System.Lazy`1[System.ConsolePal+TerminalFormatStrings]", false, []uint64{12}, []uint64{40}},
	{"Demo.Box`1[System.Collections.Generic.Dictionary`2+Entry[System.String,Demo.Node]]", false, []uint64{999}, []uint64{24}},
	{"Demo.Box`1[Demo.Box`1[System.String[,]][]]", false, []uint64{999}, []uint64{24}},
	{"Demo.Box`1[StartupHook+<>c__DisplayClass1_0+<<Initialize>b__0>d]", false, []uint64{999}, []uint64{24}},
	{"Program", false, nil, []uint64{24}},
}

// asGCDump spells a name as dotnet-gcdump does.
func asGCDump(name string) string {
	name = regexp.MustCompile("`[0-9]+").ReplaceAllString(name, "")
	return strings.ReplaceAll(strings.NewReplacer("[", "<", "]", ">").Replace(name), "<>", "[]")
}

func asGCDumpSized(name string, size uint64) string {
	name = asGCDump(name)
	for _, c := range []struct {
		from  uint64
		class string
	}{{100_000_000, "100M"}, {10_000_000, "10M"}, {1_000_000, "1M"}, {100_000, "100K"}, {10_000, "10K"}, {1001, "1K"}} {
		if size >= c.from {
			return name + " (Bytes > " + c.class + ")"
		}
	}
	return name
}

// One heap, as events of a walk and as the .gcdump that is made of them, gives
// one histogram.
func TestPairOfNettraceAndGCDump(t *testing.T) {
	var types, nodes []byte
	u32 := binary.LittleEndian.AppendUint32
	u64 := binary.LittleEndian.AppendUint64
	f := &file{tool: "dotnet-gcdump", types: []ftype{{"UNDEFINED", 0, ""}, {"[.NET Roots]", 0, ""}}, nodes: []fnode{{typ: 1, size: -1}}}
	index := map[string]int32{}
	count := 0
	types = append(u32(nil, uint32(len(runtimeTypes))), 0, 0)
	for i, rt := range runtimeTypes {
		id := uint64(i + 1)
		types = u64(types, id)
		types = u64(types, 0x7000)
		types = u32(types, 0x02000001+uint32(i))
		flags := uint32(0)
		if rt.array {
			flags = 8
		}
		types = append(u32(types, flags), 0)
		types = append(wire.AppendUTF16(types, rt.name), 0, 0)
		types = u32(types, uint32(len(rt.args)))
		for _, a := range rt.args {
			types = u64(types, a)
		}
		for _, size := range rt.sizes {
			count++
			nodes = u64(nodes, uint64(0x10000*count))
			nodes = u64(nodes, size)
			nodes = u64(nodes, id)
			nodes = u64(nodes, 0)
			name := asGCDumpSized(rt.name, size)
			if _, ok := index[name]; !ok {
				index[name] = int32(len(f.types))
				f.types = append(f.types, ftype{name, int32(size), "/srv/Demo.dll"})
			}
			f.nodes = append(f.nodes, fnode{typ: index[name], size: int32(size)})
		}
	}
	nodes = append(append(u32(u32(nil, 0), uint32(count)), 0, 0), nodes...)

	c := nettrace.NewCollector(nil)
	for id, payload := range map[uint32][]byte{15: types, 18: nodes} {
		c.Add(&nettrace.Event{Schema: &nettrace.Schema{Provider: nettrace.RuntimeProvider, ID: id}, Payload: payload}, nettrace.Trace{PointerSize: 8})
	}
	walks, err := c.Walks(nettrace.NewDecoder(strings.NewReader(""), "x"))
	if err != nil || len(walks) != 1 {
		t.Fatal(err, len(walks))
	}
	s, err := readAll(t, reader(f.bytes()), "x")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := text(s), text(walks[0].Snapshot); got != want {
		t.Errorf("as .gcdump\n%sas .nettrace\n%s", got, want)
	}
	for _, name := range []string{"System.ConsolePal+TerminalFormatStrings", "System.String[,]", "<>c", "<>c[]"} {
		if _, ok := s.Type(name); !ok {
			t.Errorf("no %s in\n%s", name, text(s))
		}
	}
}

// TestPairWithModules: the same for nested types that only their module tells
// apart. The trace names them by token, the .gcdump by what fits; one that fits
// two types stays short in the .gcdump alone, and says so.
func TestPairWithModules(t *testing.T) {
	defs := []string{"Demo.Cart", "Demo.Cart+Line", "Demo.Map`2", "Demo.Map`2+Entry", "Demo.Map`2+Entry+<>c", "Demo.Pool`2", "Demo.Pool`2+Entry", "Demo.Cart+Part", "Demo.Order", "Demo.Order+Part", "Demo.Cart+<Pay>d__3", "Program"}
	path := filepath.Join(t.TempDir(), "Demo.dll")
	if err := os.WriteFile(path, clrtest.ModuleFile(defs...), 0o666); err != nil {
		t.Fatal(err)
	}
	token := func(name string) uint32 { return 0x02000002 + uint32(slices.Index(defs, name)) }
	list := []struct {
		name  string // as a runtime sends it
		token uint32
		args  []uint64
		array bool
		want  string // in both
	}{
		1:  {"System.String", 0x02000fff, nil, false, "System.String"},
		2:  {"Demo.Cart", token("Demo.Cart"), nil, false, "Demo.Cart"},
		3:  {"Line", token("Demo.Cart+Line"), nil, false, "Demo.Cart+Line"},
		4:  {"Line[]", 0x02000000, []uint64{3}, true, "Demo.Cart+Line[]"},
		5:  {"Demo.Map`2[System.String,Demo.Cart]", token("Demo.Map`2"), []uint64{1, 2}, false, "Demo.Map<System.String,Demo.Cart>"},
		6:  {"Entry[System.String,Demo.Cart]", token("Demo.Map`2+Entry"), []uint64{1, 2}, false, "Demo.Map<System.String,Demo.Cart>+Entry"},
		7:  {"Entry[System.String,Demo.Cart][]", 0x02000000, []uint64{6}, true, "Demo.Map<System.String,Demo.Cart>+Entry[]"},
		8:  {"<>c[System.String,Demo.Cart]", token("Demo.Map`2+Entry+<>c"), []uint64{1, 2}, false, "Demo.Map<System.String,Demo.Cart>+Entry+<>c"},
		9:  {"<Pay>d__3", token("Demo.Cart+<Pay>d__3"), nil, false, "Demo.Cart+<Pay>d__3"},
		10: {"Program", token("Program"), nil, false, "Program"},
		11: {"Part", token("Demo.Order+Part"), nil, false, ""},
	}
	u32, u64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	types := append(u32(nil, uint32(len(list)-1)), 0, 0)
	nodes := append(u32(u32(nil, 0), uint32(len(list)-1)), 0, 0)
	f := &file{tool: "dotnet-gcdump", types: []ftype{{"UNDEFINED", 0, ""}}}
	for i, ty := range list[1:] {
		id, module, dll := uint64(i+1), uint64(0x7000), path
		if ty.token == 0x02000fff {
			module, dll = 0x8000, "/nowhere/System.Private.CoreLib.dll"
		}
		flags := uint32(0)
		if ty.array {
			flags = 8
		}
		types = append(u32(u32(u64(u64(types, id), module), ty.token), flags), 0)
		types = append(wire.AppendUTF16(types, ty.name), 0, 0)
		types = u32(types, uint32(len(ty.args)))
		for _, a := range ty.args {
			types = u64(types, a)
		}
		nodes = u64(u64(u64(u64(nodes, 0x1000*id), 8*id), id), 0)
		f.types = append(f.types, ftype{asGCDump(ty.name), int32(8 * id), dll})
		f.nodes = append(f.nodes, fnode{typ: int32(id), size: -1})
	}
	known := nettrace.NewTypes()
	c := nettrace.NewCollector(known)
	if err := known.AddModule(nettrace.Module{ID: 0x7000, Path: path}); err != nil {
		t.Fatal(err)
	}
	for id, payload := range map[uint32][]byte{15: types, 18: nodes} {
		c.Add(&nettrace.Event{Schema: &nettrace.Schema{Provider: nettrace.RuntimeProvider, ID: id}, Payload: payload}, nettrace.Trace{PointerSize: 8})
	}
	known.Resolve(nettrace.OpenLocal)
	walks, err := c.Walks(nettrace.NewDecoder(strings.NewReader(""), "x"))
	if err != nil || len(walks) != 1 || walks[0].ShortNames != 0 {
		t.Fatal(err, walks)
	}
	s, err := readAll(t, reader(f.bytes()), "x")
	if err != nil {
		t.Fatal(err)
	}
	for i, ty := range list[1:] {
		a, b := ty.want, ty.want
		if ty.want == "" {
			a, b = "Demo.Order+Part", "Part"
		}
		for why, got := range map[string]func() (heap.Type, bool){"trace": func() (heap.Type, bool) { return walks[0].Snapshot.Type(a) }, ".gcdump": func() (heap.Type, bool) { return s.Type(b) }} {
			if n, ok := got(); !ok || n.Count != 1 || n.Bytes != int64(8*(i+1)) {
				t.Errorf("%s in the %s: %v", ty.name, why, n)
			}
		}
	}
	if w := warnings(s); !strings.Contains(w, "1 of 11 types may be named without namespace or enclosing type, types of the same short name are summed: Part (Demo.Cart+Part or Demo.Order+Part)") ||
		!strings.Contains(w, "6 short type names are completed from the files of their modules, which are taken for the builds that ran: Demo.dll") {
		t.Error(w)
	}
}
