package gcname

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
)

func TestCanonical(t *testing.T) {
	tests := []struct{ why, in, want string }{
		{"plain", "System.String", "System.String"},
		{"size class", "System.String (Bytes > 10K)", "System.String"},
		{"size class of an unknown type", "UNKNOWN 0x7f01 (Bytes > 100M)", "UNKNOWN 0x7f01"},
		{"array layout", "System.Byte[] (NoPtrs,ElemSize=1)", "System.Byte[]"},
		{"size class and array layout", "System.Object[] (Bytes > 1M,Ptrs,ElemSize=8)", "System.Object[]"},
		{"brackets of a name", "A.B (C)", "A.B (C)"},
		{"array of rank two", "System.Int32<,>", "System.Int32[,]"},
		{"array of rank two with its size class", "System.Int32<,> (Bytes > 1K)", "System.Int32[,]"},
		{"jagged arrays", "System.Int32[]<,,>[]", "System.Int32[][,,][]"},
		{"array without lower bound zero", "System.Int32<*>", "System.Int32[*]"},
		{"generic", "A.L<System.String,System.Int32[]>", "A.L<System.String,System.Int32[]>"},
		{"closure", "[]c", "<>c"},
		{"array of closures", "[]c[]", "<>c[]"},
		{"nested closure", "A.B+[]c__DisplayClass1_0", "A.B+<>c__DisplayClass1_0"},
		{"closure as an argument", "A.L<[]c,[]d>", "A.L<<>c,<>d>"},
		{"closure in a namespace", "A.[]c", "A.<>c"},
		{"state machine in a closure", "A.L<S+[]c__DisplayClass1_0+<<Run>b__0>d>", "A.L<S+<>c__DisplayClass1_0+<<Run>b__0>d>"},
		{"anonymous type", "[]f__AnonymousType0<System.String,System.Int32>", "<>f__AnonymousType0<System.String,System.Int32>"},
		{"a name that was never rewritten", "Demo+<>c", "Demo+<>c"},
		{"wrapper of a COM object", "[RCW System.__ComObject]", "System.__ComObject"},
		{"a nested class of an unknown collection", "System.Collections.Generic.Mine+Entry<A,B>", "System.Collections.Generic.Mine+Entry<A,B>"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		if got := Canonical(tt.in); got != tt.want {
			t.Errorf("%s: %q gives %q, want %q", tt.why, tt.in, got, tt.want)
		}
		if got := heap.CanonicalName(tt.want); got != tt.want {
			t.Errorf("%s: %q is not canonical", tt.why, tt.want)
		}
	}
}

func TestSynthetic(t *testing.T) {
	for _, s := range []string{"UNDEFINED", "ROOT", "[.NET Roots]", "[static var A.b]", "[CCW 0x1 for type X]"} {
		if !Synthetic(s) {
			t.Errorf("%q is taken for an object", s)
		}
	}
	for _, s := range []string{"System.String", "[]c", "[RCW X]", "Undefined", ""} {
		if Synthetic(s) {
			t.Errorf("%q is not taken for an object", s)
		}
	}
}

func TestShort(t *testing.T) {
	for _, s := range []string{"Entry", "Entry<A.B,C+D>[]", "<>c", "<A.B>d__1", "Program"} {
		if !Short(s) {
			t.Errorf("%q is not short", s)
		}
	}
	for _, s := range []string{"A.B", "A+B", "A<B.C>+D", "A.B<C>[]"} {
		if Short(s) {
			t.Errorf("%q is short", s)
		}
	}
}

func TestComplete(t *testing.T) {
	names := []string{
		"L<Ns.Tree+Node>", "Node", "Node[]", "Node[,]",
		"L<Ns.A+Cell,L<Ns.B+Cell>>", "Cell", // two spellings
		"L<Ns.A+Odd>", "Odd", // unclear
		"L<Ns.A+<>c>", "<>c", // made by a compiler
		"L<D<K,V>+Entry<X>>", "Entry<X>", "Entry<Y>", // the arguments must agree
		"L<L<L<Ns.Deep+Leaf[]>>>", "Leaf",
		"Plain", "Ns.Tree",
	}
	got := Complete(names, func(short string) bool { return short == "Odd" })
	var list []string
	for k, v := range got {
		list = append(list, k+" "+v)
	}
	slices.Sort(list)
	want := []string{"Entry<X> D<K,V>+Entry<X>", "Leaf Ns.Deep+Leaf", "Node Ns.Tree+Node", "Node[,] Ns.Tree+Node[,]", "Node[] Ns.Tree+Node[]"}
	if !slices.Equal(list, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(list, "\n"), strings.Join(want, "\n"))
	}
}

// TestFill: what a module's file or the table tells goes before what generic
// arguments spell, and a name that stays short is said with its candidates.
func TestFill(t *testing.T) {
	const lib = "/x/System.Private.CoreLib.dll"
	var table Table
	for _, r := range []struct{ name, module string }{
		{"UTF8EncodingSealed", lib},
		{"Entry<A.K,A.V>[]", lib}, {"Entry<A.K,A.K>[]", lib},
		{"System.Collections.Generic.Dictionary<A.K,A.V>", lib},
		{"A.L<System.Collections.Generic.Dictionary+Entry<A.K,A.V>,A.Tree+Node,System.Uri+Info>", "/x/A.dll"},
		{"Node", "/x/A.dll"}, {"Node", "/x/A.dll"}, {"<>c", "/x/A.dll"}, {"<>c", "/x/B.dll"},
		{"Info", lib}, // which fits nothing there
		{"UNKNOWN 0x7f00", ""},
	} {
		table.Add(heap.Type{Name: r.name, Count: 1, Bytes: 24}, r.module)
	}
	s := &heap.Snapshot{Complete: true}
	if err := table.Fill(s, nil); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, ty := range s.Types {
		fmt.Fprintln(&got, ty.Count, ty.Name)
	}
	for _, w := range s.Warnings {
		fmt.Fprintln(&got, w.Text)
	}
	want := `2 <>c
1 A.L<System.Collections.Generic.Dictionary<A.K,A.V>+Entry,A.Tree+Node,System.Uri+Info>
2 A.Tree+Node
1 Entry<A.K,A.K>[]
1 System.Collections.Generic.Dictionary<A.K,A.V>
1 System.Collections.Generic.Dictionary<A.K,A.V>+Entry[]
1 System.Text.UTF8Encoding+UTF8EncodingSealed
1 System.Uri+Info
1 UNKNOWN 0x7f00
1 objects are of 1 types that the runtime did not describe (UNKNOWN 0x…)
2 short type names are completed from leaktrack's table of the class libraries of .NET 3.1, 9 and 10: System.Private.CoreLib.dll
1 of these fit several types, and are named after the one of which the heap holds the enclosing type
2 short type names are completed as generic arguments spell them
2 of 9 types may be named without namespace or enclosing type, types of the same short name are summed: Entry<A.K,A.K>[] (System.Collections.Generic.Dictionary<A.K,A.K>+Entry[] or System.Runtime.CompilerServices.ConditionalWeakTable<A.K,A.K>+Entry[] or 1 other); <>c
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

func TestFromFile(t *testing.T) {
	at := func(h, m, s int) time.Time { return time.Date(2026, 11, 22, h, m, s, 0, time.Local) }
	tests := []struct {
		why, path string
		modified  time.Time
		want      time.Time
		pid       int
	}{
		{"plain", "20261122_031500_4242.gcdump", time.Time{}, at(3, 15, 0), 4242},
		{"in a folder", "/a/b/20261122_231500_1.gcdump", time.Time{}, at(23, 15, 0), 1},
		{"in a Windows folder", `C:\a\20261122_031500_4242.gcdump`, time.Time{}, at(3, 15, 0), 4242},
		{"text of it", "20261122_031500_4242.gcdump.txt", time.Time{}, at(3, 15, 0), 4242},
		{"without extension", "20261122_031500_4242", time.Time{}, at(3, 15, 0), 4242},
		{"written within the hour", "20261122_031500_4242.gcdump", at(3, 15, 40), at(3, 15, 0), 4242},
		{"written twelve hours later", "20261122_031500_4242.gcdump", at(15, 15, 40), at(15, 15, 0), 4242},
		{"midnight on a twelve-hour clock", "20261122_121500_4242.gcdump", at(0, 15, 40), at(0, 15, 0), 4242},
		{"noon", "20261122_121500_4242.gcdump", at(12, 15, 40), at(12, 15, 0), 4242},
		{"an hour that no twelve-hour clock has", "20261122_131500_4242.gcdump", at(1, 15, 0).AddDate(0, 0, 1), at(13, 15, 0), 4242},
		{"no such day", "20261322_031500_4242.gcdump", time.Time{}, time.Time{}, 0},
		{"no such hour", "20261122_251500_4242.gcdump", time.Time{}, time.Time{}, 0},
		{"another name", "dump.gcdump", time.Time{}, time.Time{}, 0},
		{"no process", "20261122_031500_0.gcdump", time.Time{}, time.Time{}, 0},
		{"a pid beyond 32 bits", "20261122_031500_9999999999.gcdump", time.Time{}, time.Time{}, 0},
		{"a longer number", "20261122_031500_99999999999999.gcdump", time.Time{}, time.Time{}, 0},
		{"something before it", "x20261122_031500_4242.gcdump", time.Time{}, time.Time{}, 0},
	}
	for _, tt := range tests {
		taken, pid, ok := FromFile(tt.path, tt.modified)
		if !taken.Equal(tt.want) || pid != tt.pid || ok != (tt.pid != 0) {
			t.Errorf("%s: %v, %d, %v", tt.why, taken, pid, ok)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add("System.Collections.Generic.Dictionary+Entry<A,B>[] (Bytes > 1K)")
	f.Add("A.L<S+[]c__DisplayClass1_0+<<Run>b__0>d>")
	f.Add("System.Int32[]<,,>[]")
	f.Fuzz(func(t *testing.T, s string) {
		name := Canonical(s)
		Complete([]string{name, "L<" + name + ">", "X<" + s + ">"}, func(string) bool { return false })
		_ = Short(name) // must not panic
		if again := heap.CanonicalName(name); again != name {
			t.Errorf("%q gives %q, which is spelled %q", s, name, again)
		}
	})
}
