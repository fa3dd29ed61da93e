package nettrace

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"leaktrack/heap"
)

// TestNames: names as runtimes 3.1 to 10 send them, and how they are spelled.
func TestNames(t *testing.T) {
	table := []testType{
		{id: 1, token: 0x02000001, name: "System.String"},
		{id: 2, token: 0x02000002, name: "System.Int32"},
		{id: 3, token: 0x02000000, flags: typeFlagArray, element: 0x1d, name: "System.Int32[]", params: []uint64{2}},
		{id: 4, token: 0x02000000, flags: 0x208, element: 0x14, name: "System.Int32[,]", params: []uint64{2}},
		{id: 5, token: 0x02000000, flags: typeFlagArray, element: 0x1d, name: "System.Int32[][]", params: []uint64{3}},
		{id: 6, token: 0x02000003, name: "System.Collections.Generic.Dictionary`2[System.String,System.Int32[]]", params: []uint64{1, 3}},
		{id: 7, token: 0x02000004, name: "Plain"},
		{id: 8, token: 0x02000000, flags: typeFlagArray, element: 0x1d, name: "Plain[]", params: []uint64{7}},
		{id: 9, token: 0x02000005, name: "System.Collections.Generic.List`1[Bed.Outer+Plain]", params: []uint64{7}},
		{id: 10, token: 0x02000006, name: "<>c"},
		{id: 11, token: 0x02000007, name: "Entry[System.String,System.Object]", params: []uint64{1, 99}},
		{id: 12, token: 0x02000000, flags: typeFlagArray, element: 0x1d, name: "Entry[System.String,System.Object][]", params: []uint64{11}},
		{id: 13, token: 0x02000008, name: "<>f__AnonymousType0`2[System.Int32,System.String]", params: []uint64{2, 1}},
		{id: 14, token: 0x02000009, name: "AsyncStateMachineBox`1[System.Int32,Bed.Program+<Main>d__1]", params: []uint64{2, 98}},
		{id: 15, token: 0x0200000a, name: ""},
		{id: 16, token: 0x02000000, flags: typeFlagArray, element: 0x14, name: "", params: []uint64{97}},
		{id: 17, token: 0x1234, flags: typeFlagNative},
		{id: 18, token: 0x0200000b, name: "System.Collections.Generic.List`1[System.Collections.Generic.List`1[System.Int32]]", params: []uint64{96}},
		{id: 19, token: 0x02000000, flags: 0x308, element: 0x14, name: "", params: []uint64{2}},
		{id: 20, token: 0x0200000c, name: "X[broken"},
		{id: 21, token: 0x0200000d, name: "A.Loop`1[A.Loop]", params: []uint64{21}},
	}
	want := map[uint64]string{
		1: "System.String", 3: "System.Int32[]", 4: "System.Int32[,]", 5: "System.Int32[][]",
		6:  "System.Collections.Generic.Dictionary<System.String,System.Int32[]>",
		7:  "Bed.Outer+Plain", // learned from type 9
		8:  "Bed.Outer+Plain[]",
		9:  "System.Collections.Generic.List<Bed.Outer+Plain>",
		10: "<>c",
		11: "Entry<System.String,System.Object>",
		12: "Entry<System.String,System.Object>[]",
		13: "<>f__AnonymousType0<System.Int32,System.String>",
		14: "AsyncStateMachineBox<System.Int32,Bed.Program+<Main>d__1>",
		15: "Type(0x200000a)", 16: "ArrayType(0x2000000)", 17: "Type(0x1234)",
		18: "System.Collections.Generic.List<System.Collections.Generic.List<System.Int32>>",
		19: "System.Int32[,,]",
		20: "X[broken",
		21: "A.Loop<A.Loop>",
		77: "UNKNOWN 0x4d",
	}
	short := []uint64{10, 11, 12, 13, 14, 17, 20}
	e := &Event{Schema: &Schema{Provider: RuntimeProvider, ID: idBulkType}, Payload: types(table...)}
	c := NewCollector(nil)
	c.Add(e, Trace{PointerSize: 8})
	if c.malformed != 0 {
		t.Fatal(c.complaint)
	}
	n := c.types.namer()
	for id, w := range want {
		got, known := n.name(id)
		if got != w || known != (id != 77) {
			t.Errorf("type %d: %q, want %q", id, got, w)
		}
		if again := heap.CanonicalName(got); again != got && known {
			t.Errorf("type %d: %q is not canonical: %q", id, got, again)
		}
		if n.short[id] != slices.Contains(short, id) && id != 15 && id != 16 {
			t.Errorf("type %d (%s): short %v", id, got, n.short[id])
		}
	}
}

// TestNamesFromMetadata takes the names of nested types from a module on disk,
// but only where the module agrees with the stream.
func TestNamesFromMetadata(t *testing.T) {
	const zoo = "../../testdata/leakzoo/LeakZoo.dll"
	opened := 0
	open := func(m Module) (interface {
		io.ReaderAt
		io.Closer
	}, int64, error) {
		opened++
		if m.Path != "/app/LeakZoo.dll" {
			return nil, 0, errors.New("no such file")
		}
		f, err := os.Open(zoo)
		if err != nil {
			t.Fatal(err)
		}
		st, _ := f.Stat()
		return f, st.Size(), nil
	}
	types := NewTypes()
	add := func(id, module uint64, token uint32, name string) {
		if err := types.add(id, typeRecord{name: name, module: module, token: token}); err != nil {
			t.Fatal(err)
		}
	}
	add(1, 500, 0x02000010, "<Main>c__AnonStorey0") // as row 16 of the module says
	add(2, 500, 0x02000010, "SomethingElse")        // does not fit: another build
	add(3, 501, 0x02000010, "<Main>c__AnonStorey0") // module that cannot be opened
	add(4, 502, 0x02000010, "<Main>c__AnonStorey0") // module nobody named
	add(5, 500, 0x02ffffff, "OutOfRange")
	if got := types.MissingModules(); !slices.Equal(got, []uint64{500, 501, 502}) {
		t.Errorf("missing %v", got)
	}
	types.AddModule(Module{ID: 500, Path: "/app/LeakZoo.dll"})
	types.AddModule(Module{ID: 501, Path: "/app/Gone.dll"})
	types.Resolve(open)
	types.Resolve(open)
	if opened != 2 {
		t.Errorf("modules opened %d times, want once each", opened)
	}
	n := types.namer()
	for id, want := range map[uint64]string{1: "LeakZoo.Program+<Main>c__AnonStorey0", 2: "SomethingElse", 3: "<Main>c__AnonStorey0", 4: "<Main>c__AnonStorey0", 5: "OutOfRange"} {
		if got, _ := n.name(id); got != want || n.short[id] != (id != 1) {
			t.Errorf("type %d: %q, want %q (short %v)", id, got, want, n.short[id])
		}
	}
	if got := types.MissingModules(); !slices.Equal(got, []uint64{502}) {
		t.Errorf("missing %v", got)
	}
}

// TestWrongBuildIsNotBelieved gives the module a debug directory with an
// identity and has the stream name the same and another one.
func TestWrongBuildIsNotBelieved(t *testing.T) {
	b, err := os.ReadFile("../../testdata/leakzoo/LeakZoo.dll")
	if err != nil {
		t.Fatal(err)
	}
	guid := [16]byte{1, 2, 3}
	// A run of zeros in the code section takes the directory's entry; the
	// identity itself goes behind the end.
	pe := int(le.Uint32(b[0x3c:]))
	sect := b[pe+24+int(le.Uint16(b[pe+20:])):]
	va, raw, size := le.Uint32(sect[12:]), le.Uint32(sect[20:]), le.Uint32(sect[16:])
	hole := bytes.LastIndex(b[raw:raw+size], make([]byte, 28))
	if hole < 0 {
		t.Fatal("no room")
	}
	dir := b[pe+24+96+8*6:]
	le.PutUint32(dir, va+uint32(hole))
	le.PutUint32(dir[4:], 28)
	e := b[int(raw)+hole:]
	le.PutUint32(e[12:], 2)
	le.PutUint32(e[16:], 24)
	le.PutUint32(e[24:], uint32(len(b)))
	b = append(append(append(b, "RSDS"...), guid[:]...), 7, 0, 0, 0)

	open := func(Module) (interface {
		io.ReaderAt
		io.Closer
	}, int64, error) {
		return struct {
			io.ReaderAt
			io.Closer
		}{bytes.NewReader(b), io.NopCloser(nil)}, int64(len(b)), nil
	}
	for _, tt := range []struct {
		why  string
		pdb  [16]byte
		age  uint32
		want string
	}{
		{"same build", guid, 7, "LeakZoo.Program+<Main>c__AnonStorey0"},
		{"stream does not say", [16]byte{}, 0, "LeakZoo.Program+<Main>c__AnonStorey0"},
		{"other build", [16]byte{9}, 7, "<Main>c__AnonStorey0"},
		{"other age", guid, 8, "<Main>c__AnonStorey0"},
	} {
		// Of two files of one name the second is the build that ran.
		both := NewTypes()
		both.add(1, typeRecord{name: "<Main>c__AnonStorey0", module: 1, token: 0x02000010})
		both.AddModule(Module{ID: 1, Path: "/x.dll", PDB: tt.pdb, Age: tt.age})
		both.resolve(func(_ Module, use func(io.ReaderAt, int64) error) error {
			foreign := bytes.Clone(b)
			foreign[len(b)-20] ^= 1 // in the identity
			if use(bytes.NewReader(foreign), int64(len(b))) == nil {
				return nil
			}
			return use(bytes.NewReader(b), int64(len(b)))
		})
		n := both.namer()
		got, _ := n.name(1)
		if _, assumed := n.module(1); got != tt.want || assumed != (tt.pdb == [16]byte{}) {
			t.Errorf("%s, the second file: %q, assumed %v", tt.why, got, assumed)
		}
		types := NewTypes()
		types.add(1, typeRecord{name: "<Main>c__AnonStorey0", module: 1, token: 0x02000010})
		types.AddModule(Module{ID: 1, Path: "/x.dll", PDB: tt.pdb, Age: tt.age})
		types.Resolve(open)
		if got, _ := types.namer().name(1); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.why, got, tt.want)
		}
	}
}

func TestOpenLocalRefuses(t *testing.T) {
	for _, p := range []string{"", "relative.dll", `\\server\share\x.dll`, "//server/share/x.dll", "/dev/zero", "/", "/does/not/exist.dll"} {
		if f, _, err := OpenLocal(Module{Path: p}); err == nil {
			f.Close()
			t.Errorf("%q was opened", p)
		}
	}
}
