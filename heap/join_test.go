package heap

import (
	"slices"
	"testing"
)

func TestJoin(t *testing.T) {
	var j Join
	for _, s := range []string{"Ns.Tree+Node", "Ns.Tree+Node[]", "Ns.A+Cell", "Ns.B+Cell", "Ns.Map<K,V>+Entry[]", "Program", "Ns.Program", "Global", "Ns.Work+Program",
		"L<Ns.Map<K,V>+Entry>", "Ns.Odd+Entry<K>", "no < name"} {
		j.Add(s, false)
	}
	j.Add("Leaf", true) // may be short itself, so it completes nothing
	tests := []struct {
		why, name  string
		bare       bool
		full       string
		candidates []string
	}{
		{"one full name", "Node", true, "Ns.Tree+Node", nil},
		{"one full name, of an array", "Node[]", true, "Ns.Tree+Node[]", nil},
		{"another array", "Node[,]", true, "", nil},
		{"arguments of the enclosing type", "Entry<K,V>[]", true, "Ns.Map<K,V>+Entry[]", nil},
		{"other arguments", "Entry<K,X>[]", true, "", nil},
		{"several", "Cell", true, "", []string{"Ns.A+Cell", "Ns.B+Cell"}},
		{"nested, or of the global namespace, as others name it", "Program", true, "", []string{"Ns.Work+Program", "Program"}},
		{"of the global namespace", "Global", true, "", nil},
		{"a full name", "Node", false, "", nil},
		{"full already", "Ns.Tree+Node", true, "", nil},
		{"arguments left behind in an argument", "L<Ns.Map+Entry<K,V>>", false, "L<Ns.Map<K,V>+Entry>", nil},
		{"unknown", "Leaf", true, "", nil},
		{"no name", "no < name", true, "", nil},
	}
	for _, tt := range tests {
		full, candidates := j.Full(tt.name, tt.bare)
		if full != tt.full || !slices.Equal(candidates, tt.candidates) {
			t.Errorf("%s: %q is %q, %q", tt.why, tt.name, full, candidates)
		}
	}
	var empty Join
	if full, c := empty.Full("Node", true); full != "" || c != nil {
		t.Error(full, c)
	}
}

// FuzzJoin: a name is completed to one that would be shortened to it.
func FuzzJoin(f *testing.F) {
	f.Add("Entry<K,V>[]", "Ns.Map<K,V>+Entry[]", "Ns.Map+Entry<K,V>[]")
	f.Add("<>c", "A`1+B`1+<>c", "L<A<X>+B>")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var j Join
		for _, s := range []string{a, b, c} {
			j.Add(s, true)
		}
		for _, s := range []string{a, b, c} {
			n, _ := ParseTypeName(s)
			full, _ := j.Full(s, true)
			if m, ok := ParseTypeName(full); full != "" && (!ok || m.Flat().Short().String() != n.Flat().Short().String() || full == n.String()) {
				t.Errorf("%q is completed to %q", s, full)
			}
		}
	})
}

func TestJoinIsBounded(t *testing.T) {
	var j Join
	for i := range 1000 {
		j.Add("N.C"+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))+"+<>c", false)
	}
	if _, c := j.Full("<>c", true); len(c) != maxCandidates {
		t.Errorf("%d candidates", len(c))
	}
}

func TestSourcesOfShortNames(t *testing.T) {
	want := []Source{SourceGCReport, SourceGCDump, SourceNettrace, SourceLiveEventPipe}
	for _, s := range Sources {
		if s.ShortNames() != slices.Contains(want, s) {
			t.Errorf("%s: %v", s, s.ShortNames())
		}
	}
}
