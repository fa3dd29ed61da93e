package heap

import "testing"

func TestCanonicalName(t *testing.T) {
	tests := []struct{ why, in, want string }{
		{"plain", "System.String", "System.String"},
		{"outer blanks", "  System.String ", "System.String"},
		{"array", "System.Byte[]", "System.Byte[]"},
		{"jagged and ranked arrays", "System.Int32[][,]", "System.Int32[][,]"},
		{"old generic", "System.Collections.Generic.List`1[[System.String, mscorlib]]", "System.Collections.Generic.List<System.String>"},
		{"old generic with version", "L`1[[T, Asm, Version=1.0.0.0, Culture=neutral, PublicKeyToken=null]]", "L<T>"},
		{"old nested generic array", "Ns.Dictionary`2+Entry[[System.String, mscorlib],[Ns.V, Asm]][]", "Ns.Dictionary<System.String,Ns.V>+Entry[]"},
		{"new nested generic array", "Ns.Dictionary<System.String, Ns.V>+Entry[]", "Ns.Dictionary<System.String,Ns.V>+Entry[]"},
		{"event pipe nested generic array", "Ns.Dictionary`2+Entry<System.String,Ns.V>[]", "Ns.Dictionary<System.String,Ns.V>+Entry[]"},
		{"arity and arguments", "List`1<Ns.V>", "List<Ns.V>"},
		{"both segments generic", "A`1+B`2[[X, a],[Y, b],[Z, c]]", "A<X>+B<Y,Z>"},
		{"generic of generic", "A`1[[B`1[[C, c]], b]]", "A<B<C>>"},
		{"generic of array", "A`1[[B[], b]]", "A<B[]>"},
		{"open generic keeps its arity", "System.Collections.Generic.List`1", "System.Collections.Generic.List`1"},
		{"slash nesting", "Ns.Outer/Inner", "Ns.Outer+Inner"},
		{"anonymous type", "<>f__AnonymousType0`3[[A, a],[B, b],[C, c]]", "<>f__AnonymousType0<A,B,C>"},
		{"anonymous type new", "<>f__AnonymousType0<A, B>", "<>f__AnonymousType0<A,B>"},
		{"state machine", "Demo+<Run>d__1", "Demo+<Run>d__1"},
		{"generic state machine", "Demo+<Run>d__1`1[[T, a]]", "Demo+<Run>d__1<T>"},
		{"display class", "Demo+<>c__DisplayClass8_0", "Demo+<>c__DisplayClass8_0"},
		{"lambda state machine", "Demo+<<Run>b__0>d", "Demo+<<Run>b__0>d"},
		{"nested in generic with lambda", "D<A, B>+<>c", "D<A,B>+<>c"},
		{"name in a namespace made by a compiler", "Ns.<Module>", "Ns.<Module>"},
		{"pointer", "System.Byte*", "System.Byte*"},
		{"placeholder", "<Unloaded Type>", "<Unloaded Type>"},
		{"unbalanced stays", "A<B", "A<B"},
		{"wrong arity stays", "A`3[[B, b]]", "A`3[[B, b]]"},
		{"open outer type, closed inner one stays", "A`2+B`2[[C, c],[D, d]]", "A`2+B`2[[C, c],[D, d]]"},
		{"free text stays", "foo, bar", "foo, bar"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		if got := CanonicalName(tt.in); got != tt.want {
			t.Errorf("%s: CanonicalName(%q) = %q, want %q", tt.why, tt.in, got, tt.want)
		}
		if got := CanonicalName(tt.want); got != tt.want {
			t.Errorf("%s: not idempotent: CanonicalName(%q) = %q", tt.why, tt.want, got)
		}
	}
}

func FuzzCanonicalName(f *testing.F) {
	f.Add("Ns.Dictionary`2+Entry[[System.String, mscorlib],[Ns.V, Asm]][]")
	f.Add("A<B<C, D>>+E`1[,]")
	f.Add("Demo+<<Run>b__0>d")
	f.Add("0+ 0")
	f.Add("0`2+0`2[[0],[0]]")
	f.Fuzz(func(t *testing.T, s string) {
		once := CanonicalName(s)
		if twice := CanonicalName(once); twice != once {
			t.Errorf("%q -> %q -> %q", s, once, twice)
		}
		if n, ok := ParseTypeName(s); ok {
			short := n.Short().String()
			if again := CanonicalName(short); again != short {
				t.Errorf("%q is short %q -> %q", s, short, again)
			}
		}
	})
}

func TestSome(t *testing.T) {
	many := make([]string, 13)
	for i := range many {
		many[i] = string(rune('M' - i))
	}
	for want, names := range map[string][]string{
		"": nil, "A": {"A", "A"}, "A, B": {"B", "A"},
		"A, B, C, D, E, F, G, H, I, J and 3 more": many,
	} {
		if got := Some(names); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
