package heap

import "testing"

func TestShortForm(t *testing.T) {
	tests := []struct {
		why, in, short string
		bare           bool // of the short form
	}{
		{"a type in a namespace keeps it", "System.Byte[]", "System.Byte[]", false},
		{"nested", "Ns.Outer+Inner", "Inner", true},
		{"nested twice, array", "Ns.A+B+C[,]", "C[,]", true},
		{"the outer type's arguments move behind", "Ns.Dictionary<K,V>+Entry[]", "Entry<K,V>[]", true},
		{"arguments of both", "A<X>+B<Y,Z>", "B<X,Y,Z>", true},
		{"arguments keep their outer types", "Ns.A<Ns.X+Y>+B", "B<Ns.X+Y>", true},
		{"open generic", "A`1+B`2", "B`3", true},
		{"state machine of an explicit interface", "Ns.A+<System.IDisposable.Dispose>d__1", "<System.IDisposable.Dispose>d__1", true},
		{"global namespace", "Program", "Program", true},
		{"a namespace made by a compiler", "<A>.B", "<A>.B", false},
	}
	for _, tt := range tests {
		n, ok := ParseTypeName(tt.in)
		if !ok || n.String() != tt.in {
			t.Errorf("%s: %q is read as %q, %v", tt.why, tt.in, n, ok)
		}
		if got := n.Short(); got.String() != tt.short || got.Bare() != tt.bare {
			t.Errorf("%s: %q is short %q (bare %v), want %q", tt.why, tt.in, got, got.Bare(), tt.short)
		}
	}
	for in, want := range map[string]string{
		"A.B": "A.B", "A<X>+B<Y>+C[]": "A+B+C<X,Y>[]", "L<A<X>+B,A+B<X>>": "L<A+B<X>,A+B<X>>", "A`1+B`1": "A+B`2",
	} {
		if n, ok := ParseTypeName(in); !ok || n.Flat().String() != want || n.String() != in {
			t.Errorf("%q is flat %q, want %q", in, n.Flat(), want)
		}
	}
	for _, s := range []string{"", "A<B", "foo, bar", "A`3[[B, b]]"} {
		if n, ok := ParseTypeName(s); ok {
			t.Errorf("%q is read as %q", s, n)
		}
	}
}
