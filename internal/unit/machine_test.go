package unit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCell(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a type", "System.Collections.Generic.List<System.Int32>", "System.Collections.Generic.List<System.Int32>"},
		{"a number", "-12.5", "-12.5"},
		{"a large number", "+1e300", "+1e300"},
		{"a formula", `=HYPERLINK("http://x")`, `'=HYPERLINK("http://x")`},
		{"one that begins as a number", "-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"},
		{"an at sign", "@SUM(1)", "'@SUM(1)"},
		{"a tab before a formula", "\t=1", `\t=1`},
		{"an escape sequence", "\x1b[31mred", `\x1b[31mred`},
		{"a mark that turns the writing", "a\u202eb", `a\u202eb`},
		{"other alphabets", "Größe.日本", "Größe.日本"},
		{"long", strings.Repeat("a", 3000) + "\x07", strings.Repeat("a", 3000) + `\x07`},
		{"nothing", "", ""},
	} {
		if got := Cell(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestJSONWriter(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "List<int>", `"List<int>"`},
		{"the sequence introducer of C1", "\u009b31m", `"\u009b31m"`},
		{"delete", "\x7f", `"\u007f"`},
		{"a mark that turns the writing", "\u202e", `"\u202e"`},
		{"an invisible one beyond 16 bits", "\U000e0041", `"\udb40\udc41"`},
		{"other alphabets", "Größe.日本", `"Größe.日本"`},
		{"not UTF-8", "\xff", `"\ufffd"`},
	} {
		var out bytes.Buffer
		enc := json.NewEncoder(JSONWriter{&out})
		enc.SetEscapeHTML(false)
		if err := enc.Encode(c.in); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(out.String(), "\n"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// FuzzJSONWriter: whatever the text, it is read back the same, and nothing that
// a terminal obeys is left.
func FuzzJSONWriter(f *testing.F) {
	f.Add("a\u009b\u202e\U000e0041\xff日本")
	f.Fuzz(func(t *testing.T, s string) {
		var out bytes.Buffer
		if err := json.NewEncoder(JSONWriter{&out}).Encode(s); err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q became %q: %v", s, back, err)
		}
		for _, r := range strings.TrimSuffix(out.String(), "\n") {
			if !visible(r) && r != ' ' {
				t.Fatalf("%q holds %q", out.String(), r)
			}
		}
	})
}
