package fullname

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leaktrack/heap"
	"leaktrack/ingest/internal/clr/clrtest"
)

func parse(t testing.TB, s string) heap.TypeName {
	t.Helper()
	n, ok := heap.ParseTypeName(s)
	if !ok || n.String() != s {
		t.Fatalf("%q is read as %q", s, n)
	}
	return n
}

// shop is the types of a module.
var shop = []string{
	"Shop.Cart", "Shop.Cart+Line", "Shop.Cart+<>c", "Shop.Cart+<Pay>d__3",
	"Shop.Order", "Shop.Order+Part", "Shop.Order+<>c", "Shop.Order+Part+Price",
	"Shop.Stock", "Shop.Stock+Part",
	"Shop.Map`2", "Shop.Map`2+Entry", "Shop.Map`2+Walk`1",
	"Shop.Pool`2", "Shop.Pool`2+Entry",
	"Program", "Worker", "Shop.Order+Worker",
}

// write puts files below a new folder.
func write(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o666)
		if !strings.Contains(filepath.Base(name), ".") {
			mode = 0o777
		}
		if err := os.WriteFile(p, b, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func resolve(t testing.TB, f *Finder, module string, names ...string) (Resolution, map[string]string) {
	t.Helper()
	var q []Query
	for _, n := range names {
		q = append(q, Query{Name: parse(t, n), Module: module})
	}
	r := f.Resolve(q)
	got := map[string]string{}
	for i, n := range names {
		got[n] = r.Answers[i].Name.String()
	}
	return r, got
}

// TestFromFile: the file of the module says what a short name can be.
func TestFromFile(t *testing.T) {
	dir := write(t, map[string][]byte{"app/Shop.dll": clrtest.ModuleFile(shop...)})
	f := NewFinder("")
	defer f.Close()
	names := []string{"Line[]", "<Pay>d__3", "<>c", "Part", "Price", "Entry<Shop.Cart,System.Int32>[]", "Entry<A.B,A.C>", "Walk<A.A,A.B,A.C>", "Program", "Worker", "Nowhere", "Line<A.B>",
		"Shop.Cart", "Shop.Map<Shop.Cart,System.Int32>"}
	r, got := resolve(t, f, filepath.Join(dir, "app/Shop.dll"), names...)
	want := map[string]string{
		"Line[]":                          "Shop.Cart+Line[]",
		"<Pay>d__3":                       "Shop.Cart+<Pay>d__3",
		"<>c":                             "<>c", // of two classes
		"Part":                            "Part",
		"Price":                           "Shop.Order+Part+Price",
		"Entry<Shop.Cart,System.Int32>[]": "Shop.Map<Shop.Cart,System.Int32>+Entry[]", // the map is in the heap, no pool is
		"Entry<A.B,A.C>":                  "Entry<A.B,A.C>",
		"Walk<A.A,A.B,A.C>":               "Shop.Map<A.A,A.B>+Walk<A.C>",
		"Program":                         "Program", // its full name
		"Worker":                          "Worker",  // of the global namespace or nested
		"Nowhere":                         "Nowhere",
		"Line<A.B>":                       "Line<A.B>", // another number of arguments
		"Shop.Cart":                       "Shop.Cart", "Shop.Map<Shop.Cart,System.Int32>": "Shop.Map<Shop.Cart,System.Int32>",
	}
	how := map[string]How{"Line[]": FromFile, "<Pay>d__3": FromFile, "Price": FromFile, "Entry<Shop.Cart,System.Int32>[]": FromFile, "Walk<A.A,A.B,A.C>": FromFile, "Program": FromFile}
	for i, n := range names {
		if got[n] != want[n] || r.Answers[i].How != how[n] {
			t.Errorf("%s: %q (%d), want %q", n, got[n], r.Answers[i].How, want[n])
		}
	}
	if c := r.Answers[3].Candidates; !slices.Equal(c, []string{"Shop.Order+Part", "Shop.Stock+Part"}) {
		t.Errorf("candidates %q", c)
	}
	if c := r.Answers[9].Candidates; !slices.Equal(c, []string{"Shop.Order+Worker", "Worker"}) {
		t.Errorf("candidates %q", c)
	}
	notes := strings.Join(r.Notes, "\n")
	for _, s := range []string{"5 short type names are completed from the files of their modules", "Shop.dll", "1 of these fit several types"} {
		if !strings.Contains(notes, s) {
			t.Errorf("no %q in %s", s, notes)
		}
	}
}

// TestAnotherBuild: a file that lacks a type that ran is not believed.
func TestAnotherBuild(t *testing.T) {
	dir := write(t, map[string][]byte{"Shop.dll": clrtest.ModuleFile(shop...)})
	f := NewFinder("")
	r, got := resolve(t, f, filepath.Join(dir, "Shop.dll"), "Line", "Shop.Till[]")
	if got["Line"] != "Line" || !strings.Contains(strings.Join(r.Notes, "\n"), "another build than the one that ran: it has no Shop.Till") {
		t.Errorf("%v, %v", got, r.Notes)
	}
}

// TestWhereFilesAre: the module's own path, a root with the same path or the
// same name, and a single-file program in the module's place.
func TestWhereFilesAre(t *testing.T) {
	other := clrtest.ModuleFile("Shop.Cart", "Old.Cart", "Old.Cart+Line", "Other.Cart", "Other.Cart+Line")
	dir := write(t, map[string][]byte{
		"root/srv/app/Shop.dll": clrtest.ModuleFile(shop...),
		"root/old/Shop.dll":     other,
		"flat/SHOP.DLL":         clrtest.ModuleFile(shop...),
		"single/shop":           single("Shop.dll", clrtest.ModuleFile(shop...)),
		"wrap/app/shop":         single("Shop.dll", clrtest.ModuleFile(shop...)),
		"single/libx.so":        single("Shop.dll", other),
		"none/readme":           make([]byte, 2<<20),
		"broken/Shop.dll":       []byte("MZ, but no module"),
	})
	for _, tt := range []struct{ why, root, module, want string }{
		{"its own path", "", filepath.Join(dir, "root/srv/app/Shop.dll"), "Shop.Cart+Line"},
		{"no such file", "", filepath.Join(dir, "srv/app/Shop.dll"), "Line"},
		{"below the root, the better of two", "root", "/srv/app/Shop.dll", "Shop.Cart+Line"},
		{"a path of Windows below the root", "root", `D:\srv\app\Shop.dll`, "Shop.Cart+Line"},
		{"another folder below the root; the first that fits", "root", `D:\else\Shop.dll`, "Shop.Cart+Line"},
		{"another case", "flat", `D:\else\Shop.dll`, "Shop.Cart+Line"},
		{"a file name alone", "flat", `Shop.dll`, "Shop.Cart+Line"},
		{"a file name alone without a root", "", `Shop.dll`, "Line"},
		{"a single-file program", "", filepath.Join(dir, "single/Shop.dll"), "Shop.Cart+Line"},
		{"a single-file program at its place below the root", "wrap", "/app/Shop.dll", "Shop.Cart+Line"},
		{"a single-file program below the root", "single", `D:\else\Shop.dll`, "Shop.Cart+Line"},
		{"no bundle in the executable", "", filepath.Join(dir, "none/Shop.dll"), "Line"},
		{"a file that is no module", "", filepath.Join(dir, "broken/Shop.dll"), "Line"},
		{"a network share", "", `//host/share/Shop.dll`, "Line"},
		{"a share of Windows", "", `\\host\share\Shop.dll`, "Line"},
		{"no module known", "", "", "Line"},
		{"a module without rundown", "root", "Module(0x7f00)", "Line"},
	} {
		root := tt.root
		if root != "" {
			root = filepath.Join(dir, root)
		}
		f := NewFinder(root)
		for range 2 { // the second time out of what is kept
			if _, got := resolve(t, f, tt.module, "Line", "Shop.Order"); got["Line"] != tt.want {
				t.Errorf("%s: %v", tt.why, got)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// single is a program that carries one file, as the host of .NET 6 has it.
func single(name string, content []byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, 1<<20)
	mark := len(b)
	b = append(b, make([]byte, 8)...)
	b = append(b, "\x8b\x12\x02\xb9\x6a\x61\x20\x38\x72\x7b\x93\x02\x14\xd7\xa0\x32\x13\xf5\xb9\xe6\xef\xae\x33\x18\xee\x3b\x2d\xce\x24\xb3\x6a\xae"...)
	at := len(b)
	b = append(b, content...)
	le.PutUint64(b[mark:], uint64(len(b)))
	b = le.AppendUint32(le.AppendUint32(le.AppendUint32(b, 6), 0), 1)
	b = append(append(b, 2), "id"...)
	b = append(b, make([]byte, 40)...)
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, uint64(at)), uint64(len(content))), 0)
	return append(append(b, 1, byte(len(name))), name...)
}

// TestRootKeepsInside: nothing outside of the root is opened, whatever is
// planted in it.
func TestRootKeepsInside(t *testing.T) {
	dir := write(t, map[string][]byte{"outside/Shop.dll": clrtest.ModuleFile(shop...), "root/x": nil})
	if err := os.Symlink(filepath.Join(dir, "outside"), filepath.Join(dir, "root/app")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "outside/Shop.dll"), filepath.Join(dir, "root/Shop.dll")); err != nil {
		t.Fatal(err)
	}
	f := NewFinder(filepath.Join(dir, "root"))
	if _, got := resolve(t, f, "/app/Shop.dll", "Line"); got["Line"] != "Line" {
		t.Error(got)
	}
	if _, err := f.Types("/../outside/Shop.dll", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := f.Types("/app/../../outside/Shop.dll", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestFromTable(t *testing.T) {
	const lib = `C:\Program Files\dotnet\shared\Microsoft.NETCore.App\8.0.1\System.Private.CoreLib.dll`
	var f *Finder // no files
	r, got := resolve(t, f, lib, "UTF8EncodingSealed", "Entry<System.String,System.Object>[]", "Entry<A.K,A.V>[]", "Entry<A.K>", "<>c", "KeyCollection<A.K,A.V>",
		"System.Collections.Generic.Dictionary<System.String,System.Object>", "A.Box<System.Collections.Generic.Dictionary+Entry<A.K,A.V>>")
	for short, want := range map[string]string{
		"UTF8EncodingSealed":                   "System.Text.UTF8Encoding+UTF8EncodingSealed",
		"Entry<System.String,System.Object>[]": "System.Collections.Generic.Dictionary<System.String,System.Object>+Entry[]",
		"Entry<A.K,A.V>[]":                     "Entry<A.K,A.V>[]", // no such dictionary
		"Entry<A.K>":                           "System.Collections.Generic.HashSet<A.K>+Entry",
		"<>c":                                  "<>c",
		"A.Box<System.Collections.Generic.Dictionary+Entry<A.K,A.V>>": "A.Box<System.Collections.Generic.Dictionary<A.K,A.V>+Entry>",
	} {
		if got[short] != want {
			t.Errorf("%s: %q, want %q", short, got[short], want)
		}
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "3 short type names are completed from leaktrack's table of the class libraries") || !strings.Contains(notes, "System.Private.CoreLib.dll") {
		t.Error(notes)
	}
	if _, got := resolve(t, f, "/app/Other.dll", "UTF8EncodingSealed"); got["UTF8EncodingSealed"] != "UTF8EncodingSealed" {
		t.Errorf("a module that is not in the table: %v", got)
	}
}

// TestRestore: arguments of nested types go back to where they belong, in
// names of other modules too.
func TestRestore(t *testing.T) {
	dir := write(t, map[string][]byte{"Shop.dll": clrtest.ModuleFile(shop...)})
	f := NewFinder("")
	path := filepath.Join(dir, "Shop.dll")
	r := f.Resolve([]Query{
		{parse(t, "A.L<Shop.Map+Entry<A.K,A.V>,Shop.Map+Walk<A.A,A.B,Shop.Map+Entry<A.K,A.V>>>"), "/gone/A.dll"},
		{parse(t, "A.L<Shop.Order+Part>"), ""},
		{parse(t, "A.L<Shop.Map<A.K,A.V>+Entry[]>"), ""},
		{parse(t, "A.L<Shop.Unseen+Entry<A.K,A.V>>"), ""},
		{parse(t, "Shop.Cart"), path},
	})
	for i, want := range []string{"A.L<Shop.Map<A.K,A.V>+Entry,Shop.Map<A.A,A.B>+Walk<Shop.Map<A.K,A.V>+Entry>>", "A.L<Shop.Order+Part>", "A.L<Shop.Map<A.K,A.V>+Entry[]>", "A.L<Shop.Unseen+Entry<A.K,A.V>>", "Shop.Cart"} {
		if got := r.Answers[i].Name.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestRecognise: modules without a name are known by the types they define.
func TestRecognise(t *testing.T) {
	for _, tt := range []struct {
		why, want string
		defines   []string
	}{
		{"the base library", "System.Private.CoreLib", []string{"System.Byte", "System.String"}},
		{"two types of one library", "System.Collections", []string{"System.Collections.Generic.SortedSet<A.B>", "System.Collections.Generic.LinkedList<A.B>[]"}},
		{"one type twice", "", []string{"System.Collections.Generic.SortedSet<A.B>", "System.Collections.Generic.SortedSet<A.C>"}},
		{"a type that moved from one library to another", "", []string{"System.Collections.Generic.HashSet<A.B>", "System.Collections.Generic.Queue<A.B>"}},
		{"a program with copies of a library's types", "", []string{"System.Collections.Generic.SortedSet<A.B>", "System.Collections.Generic.LinkedList<A.B>", "Shop.Cart"}},
		{"nothing", "", nil},
		{"types the table does not have", "", []string{"System.Foo", "System.Bar"}},
	} {
		var names []heap.TypeName
		for _, s := range tt.defines {
			names = append(names, parse(t, s))
		}
		if got := Recognise(names); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.why, got, tt.want)
		}
	}
	var f *Finder
	if _, got := resolve(t, f, Nameless(0x7f00), "UTF8EncodingSealed", "System.String"); got["UTF8EncodingSealed"] != "System.Text.UTF8Encoding+UTF8EncodingSealed" {
		t.Error(got)
	}
	if _, got := resolve(t, f, Nameless(0x7f00), "UTF8EncodingSealed", "Shop.String"); got["UTF8EncodingSealed"] != "UTF8EncodingSealed" {
		t.Error(got)
	}
}

func TestTableErrors(t *testing.T) {
	for _, s := range []string{"\tA B", "X\n\tA", "X\n\t"} {
		if x, err := parseFramework(s); err == nil {
			t.Errorf("%q: %v", s, x)
		}
	}
	x, err := parseFramework("# remark\n\nX\n\tA.B`1 C! D`1+E\n\t- G\n")
	if err != nil {
		t.Fatal(err)
	}
	for short, want := range map[string]string{"C<A.T>": "", "C<A.T>[]": "A.B`1+C", "E<A.T,A.U>": "A.B`1+D`1+E", "G": "G"} {
		if got := strings.Join(x["x"].find(parse(t, short)), " "); got != want {
			t.Errorf("%s: %q, want %q", short, got, want)
		}
	}
	table, err := framework()
	if err != nil || len(table) != len(assemblies) {
		t.Errorf("%d assemblies in the table, %v", len(table), err)
	}
}

func TestList(t *testing.T) {
	for want, short := range map[string]map[string][]string{
		"A (N+A), B":             {"B": nil, "A": {"N+A"}},
		"<>c, <M>d__1":           {"<>c": nil, "<M>d__1": nil},
		"A; <>c (N+<>c)":         {"A": nil, "<>c": {"N+<>c"}},
		"A; 2 made by compilers": {"A": nil, "<>c": nil, "<M>d__1": nil},
	} {
		if got := List(short); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, c := range map[string][]string{"N": nil, "N (A+N)": {"A+N"}, "N (A+N or B+N)": {"A+N", "B+N"}, "N (A+N or B+N or 2 others)": {"D+N", "A+N", "B+N", "B+N", "C+N"}, "N (A+N or B+N or 1 other)": {"A+N", "B+N", "C+N"}} {
		if got := describe("N", c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// FuzzResolve: whatever a dump and a module hold, an answer shortens to the
// name that was asked for, but for arguments put right.
func FuzzResolve(f *testing.F) {
	f.Add("Entry<A.K,A.V>[]", "A.L<Shop.Map+Entry<A.K,A.V>>", clrtest.ModuleFile(shop...))
	f.Add("Walk<A.A,A.B,A.C>", "Shop.Cart", clrtest.ModuleFile("A.B`1", "A.B`1+C`2", "A.B`1+C`2+<>c"))
	f.Fuzz(func(t *testing.T, a, b string, module []byte) {
		x, err := readIndex(bytes.NewReader(module), int64(len(module)))
		if err != nil {
			x = nil
		}
		for _, s := range []string{a, b} {
			n, ok := heap.ParseTypeName(s)
			if !ok {
				continue
			}
			got := x.ask(n, FromFile, map[string]bool{a: true, b: true})
			if got.How != Unresolved && got.Name.Short().String() != n.Short().String() {
				t.Errorf("%q is completed to %q", s, got.Name)
			}
			before := n.String()
			r, changed := restore(n, []*Index{x, Framework("System.Private.CoreLib")}, 0)
			if changed && flatten(r) != flatten(n) || n.String() != before {
				t.Errorf("%q is restored to %q, the original now %q", s, r, n)
			}
		}
	})
}
