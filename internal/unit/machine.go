package unit

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Visible is [Clean] without a limit: every character that is not printable
// becomes a visible escape.
func Visible(s string) string {
	if plain(s) {
		return s
	}
	return join(cells(s))
}

func plain[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Cell makes text from outside safe in a table that a spreadsheet may open: it
// is [Visible], and what a spreadsheet would take for a formula (=, +, - or @ in
// front) gets an apostrophe before it, which shows it as text. Numbers stay
// numbers.
func Cell(s string) string {
	s = Visible(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return "'" + s
		}
	}
	return s
}

// JSONWriter writes JSON on, each value in one Write as [json.Encoder] does it,
// with every character that is not printable as an escape of JSON. The values
// stay the same; a terminal that shows them obeys none. The encoder itself
// leaves the control characters from U+007F to U+009F as they are, and the marks
// that turn the direction of writing.
type JSONWriter struct{ io.Writer }

func (w JSONWriter) Write(p []byte) (int, error) {
	if n, err := w.Writer.Write(printable(p)); err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}

// printable escapes what stands in strings of JSON: elsewhere there is ASCII only.
func printable(p []byte) []byte {
	clean := true
	for i := 0; i < len(p) && clean; i++ {
		clean = p[i] < 0x7f
	}
	if clean {
		return p
	}
	out := make([]byte, 0, len(p)+len(p)/8)
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		switch {
		case r < 0x7f || visible(r) && (r != utf8.RuneError || n > 1):
			out = append(out, p[:n]...)
		case r == utf8.RuneError && n == 1:
			out = append(out, `\ufffd`...) // as the encoder replaces it
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		p = p[n:]
	}
	return out
}
