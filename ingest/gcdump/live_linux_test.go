package gcdump

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/elfcore"
	"leaktrack/ingest/internal/clr/clrtest"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/internal/wire"
	"leaktrack/ingest/live"
	"leaktrack/ingest/nettrace"
)

// converted makes the .gcdump of a heap walk that dotnet-gcdump would: a type
// for each type id and size class, the names respelled, the modules' paths.
func converted(t *testing.T, trace []byte) *file {
	t.Helper()
	type record struct {
		name   string
		module uint64
	}
	records, modules := map[uint64]record{}, map[uint64]string{}
	f := &file{tool: "dotnet-gcdump", types: []ftype{{"UNDEFINED", 0, ""}}}
	var nodes []byte
	d := nettrace.NewDecoder(bytes.NewReader(trace), "trace")
	for {
		e, err := d.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		c := wire.New(e.Payload)
		switch {
		case e.Provider == nettrace.RuntimeProvider && e.ID == 15:
			n := c.U32()
			c.Skip(2)
			for range n {
				id := c.U64()
				r := record{module: c.U64()}
				c.Skip(4 + 4 + 1) // token, flags, element
				r.name = c.UTF16Z()
				c.Bytes(8 * int(c.U32()))
				records[id] = r
			}
		case e.Provider == nettrace.RundownProvider && (e.ID == 153 || e.ID == 154), e.Provider == nettrace.RuntimeProvider && e.ID == 152:
			id := c.U64()
			c.Skip(8 + 4 + 4)
			modules[id] = c.UTF16Z()
		case e.Provider == nettrace.RuntimeProvider && e.ID == 18:
			nodes = append(nodes, e.Payload[10:]...)
		}
		if c.Err() != nil {
			t.Fatal(c.Err())
		}
	}
	index := map[string]int32{}
	for c := wire.New(nodes); c.Len() >= 32; {
		c.Skip(8)
		size, id := c.U64(), c.U64()
		c.Skip(8)
		r, ok := records[id]
		if !ok {
			t.Fatalf("no record of type %#x", id)
		}
		name := asGCDumpSized(r.name, size)
		key := fmt.Sprint(id, name)
		if _, ok := index[key]; !ok {
			index[key] = int32(len(f.types))
			f.types = append(f.types, ftype{name, int32(size), modules[r.module]})
		}
		f.nodes = append(f.nodes, fnode{typ: index[key], size: int32(size)})
	}
	return f
}

// byShort adds types up under the names that the runtime's events have.
func byShort(types []heap.Type) map[string]heap.Type {
	out := map[string]heap.Type{}
	for _, ty := range types {
		n, ok := heap.ParseTypeName(ty.Name)
		if !ok {
			continue
		}
		s := n.Short().String()
		sum := out[s]
		out[s] = heap.Type{Name: s, Count: sum.Count + ty.Count, Bytes: sum.Bytes + ty.Bytes}
	}
	return out
}

func nested(name string) bool {
	n, ok := heap.ParseTypeName(name)
	return ok && len(n.Chain) > 1
}

// TestOneNameInEverySource walks the heaps of real processes and reads what
// was walked in every other way: the saved trace, a .gcdump as dotnet-gcdump
// would have made it, a core taken right after. A type has one name in all of
// them.
func TestOneNameInEverySource(t *testing.T) {
	bed := clrtest.OpenBed(t)
	for _, tt := range []struct {
		why    string
		start  func() *clrtest.Zoo
		nested int // types with enclosing types, at least
		root   string
	}{
		{"9.0.5", func() *clrtest.Zoo { z := bed.Start(t, "zoo9", "generic 20"); z.Ready(t); return z }, 25, ""},
		{"3.1.2", func() *clrtest.Zoo { z := bed.Start(t, "zoo31", "generic 20"); z.Ready(t); return z }, 15, ""},
		{"10.0.9, a single-file server", func() *clrtest.Zoo { z := bed.StartServer(t); time.Sleep(6 * time.Second); return z }, 100, "net10"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			z := tt.start()
			t.Setenv("TMPDIR", z.Dir())
			path := filepath.Join(t.TempDir(), "x.nettrace")
			walked, st, err := live.Read(context.Background(), z.PID, live.Options{SaveTrace: func(int) (io.WriteCloser, error) { return os.Create(path) }})
			if err != nil || st.SaveErr != nil || !walked.Complete || st.Short > 0 || st.Attempts != 1 {
				t.Fatalf("%v, %+v, %v", err, st, walked.Warnings)
			}
			core := gcore(t, z.PID)
			z.Kill()
			trace, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, ty := range walked.Types {
				if nested(ty.Name) {
					n++
				}
			}
			if n < tt.nested {
				t.Errorf("%d nested types are too few to compare", n)
			}

			again := one(t, nettrace.Read(bytes.NewReader(trace), "x.nettrace"))
			if !slices.Equal(again.Types, walked.Types) {
				t.Errorf("the trace, read again: %s", difference(walked.Types, again.Types))
			}

			dump := converted(t, trace).bytes()
			s := one(t, Read(bytes.NewReader(dump), "x.gcdump"))
			short := sameOrShort(t, "the .gcdump", walked.Types, s.Types)
			t.Logf("%d of %d types are nested; %d stay short in the .gcdump: %q", n, len(walked.Types), len(short), short)
			for _, name := range short {
				// Only what two types of the process or of the module share.
				if len(ambiguous(walked.Types, name)) < 2 && !strings.Contains(warnings(s), "may be named without namespace") {
					t.Errorf("%s stays short, and no warning says so: %s", name, warnings(s))
				}
			}
			if limit := max(5, n/10); len(short) > limit {
				t.Errorf("%d names stay short, more than %d", len(short), limit)
			}

			// On another machine, with the files below a folder.
			f := fullname.NewFinder(filepath.Join(string(bed), tt.root))
			defer f.Close()
			if moved := one(t, nettrace.ReadWith(f, bytes.NewReader(trace), "x.nettrace")); !slices.Equal(moved.Types, walked.Types) {
				t.Errorf("the trace, with a root: %s", difference(walked.Types, moved.Types))
			}
			if moved := one(t, ReadWith(f, bytes.NewReader(dump), "x.gcdump")); !slices.Equal(moved.Types, s.Types) {
				t.Errorf("the .gcdump, with a root: %s", difference(s.Types, moved.Types))
			}

			// Without the files the table may say less, but nothing wrong.
			nowhere := fullname.NewFinder(t.TempDir())
			for why, s := range map[string]*heap.Snapshot{
				"the trace by the table":   one(t, nettrace.ReadWith(nowhere, bytes.NewReader(trace), "x.nettrace")),
				"the .gcdump by the table": one(t, ReadWith(nowhere, bytes.NewReader(dump), "x.gcdump")),
			} {
				// Nobody tells there to which type of a chain an argument belongs.
				left := sameOrShort(t, why, flat(walked.Types), flat(s.Types))
				t.Logf("%s: %d stay short", why, len(left))
			}

			inCore := byShort(core.Types)
			missing := 0
			for _, ty := range walked.Types {
				if _, ok := core.Type(ty.Name); ok {
					continue
				}
				// It may have died; but it must not be there under another name.
				missing++
				for _, other := range ambiguous(core.Types, shortOf(ty.Name)) {
					if _, ok := walked.Type(other); !ok {
						t.Errorf("%s is called %s in the core", ty.Name, other)
					}
				}
			}
			if missing*10 > len(walked.Types) || len(inCore) == 0 {
				t.Errorf("%d of %d types are not in the core", missing, len(walked.Types))
			}
			for _, ty := range core.Types {
				if nested(ty.Name) {
					continue
				}
				if n, ok := heap.ParseTypeName(ty.Name); !ok || n.Bare() && ty.Name != "Program" && !strings.HasPrefix(ty.Name, "<>f__AnonymousType") && !strings.HasPrefix(ty.Name, "<>z__") {
					if _, ok := walked.Type(ty.Name); !ok {
						t.Errorf("the core has %q, which may be short", ty.Name)
					}
				}
			}
		})
	}
}

// flat spells types without telling whose the generic arguments are.
func flat(types []heap.Type) []heap.Type {
	out := slices.Clone(types)
	for i := range out {
		if n, ok := heap.ParseTypeName(out[i].Name); ok {
			out[i].Name = n.Flat().String()
		}
	}
	return out
}

func one(t *testing.T, seq func(func(*heap.Snapshot, error) bool)) *heap.Snapshot {
	t.Helper()
	var out *heap.Snapshot
	for s, err := range seq {
		if err != nil || out != nil {
			t.Fatal(err, out)
		}
		out = s
	}
	return out
}

func gcore(t *testing.T, pid int) *heap.Snapshot {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "core")
	if out, err := exec.Command("gcore", "-o", prefix, fmt.Sprint(pid)).CombinedOutput(); err != nil {
		t.Fatalf("gcore: %v\n%s", err, out)
	}
	f, err := os.Open(fmt.Sprintf("%s.%d", prefix, pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := elfcore.Read(f, st.Size(), f.Name(), elfcore.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shortOf(name string) string {
	n, ok := heap.ParseTypeName(name)
	if !ok {
		return name
	}
	return n.Short().String()
}

// ambiguous returns the types that have this short form.
func ambiguous(types []heap.Type, short string) (names []string) {
	for _, ty := range types {
		if shortOf(ty.Name) == short {
			names = append(names, ty.Name)
		}
	}
	return names
}

// sameOrShort checks that every type is in the truth under its name with the
// same numbers, or that its name is short and its numbers are what is left of
// the types of that short form. It returns the short names.
func sameOrShort(t *testing.T, why string, truth, types []heap.Type) (short []string) {
	t.Helper()
	want := map[string]heap.Type{}
	for _, ty := range truth {
		want[ty.Name] = ty
	}
	rest := map[string]heap.Type{}
	for _, ty := range truth {
		s := shortOf(ty.Name)
		sum := rest[s]
		rest[s] = heap.Type{Count: sum.Count + ty.Count, Bytes: sum.Bytes + ty.Bytes}
	}
	var later []heap.Type
	for _, ty := range types {
		if want[ty.Name] == ty {
			s := shortOf(ty.Name)
			rest[s] = heap.Type{Count: rest[s].Count - ty.Count, Bytes: rest[s].Bytes - ty.Bytes}
			continue
		}
		later = append(later, ty)
	}
	for _, ty := range later {
		left := rest[ty.Name]
		if n, ok := heap.ParseTypeName(ty.Name); !ok || !n.Bare() || left.Count != ty.Count || left.Bytes != ty.Bytes {
			t.Errorf("%s: %d objects, %d bytes of %s, but in the walk %v; of its short form %v is left", why, ty.Count, ty.Bytes, ty.Name, want[ty.Name], left)
		}
		short = append(short, ty.Name)
		delete(rest, ty.Name)
	}
	for s, left := range rest {
		if left.Count != 0 || left.Bytes != 0 {
			t.Errorf("%s: %v of %s is missing", why, left, s)
		}
	}
	return short
}

func difference(a, b []heap.Type) string {
	in := map[heap.Type]int{}
	for _, ty := range a {
		in[ty]++
	}
	for _, ty := range b {
		in[ty]--
	}
	var out []string
	for ty, n := range in {
		if n != 0 {
			out = append(out, fmt.Sprintf("%+d %d %d %s", -n, ty.Count, ty.Bytes, ty.Name))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
