package metrics

import (
	"crypto/sha256"
	"fmt"
	"unicode/utf8"

	"leaktrack/internal/unit"
)

// maxLabel bounds a label value, in characters.
const maxLabel = 200

// label makes a name out of a dump fit for the value of a label: valid UTF-8,
// one line, nothing invisible, bounded. A name that had to be changed carries a
// mark made of the whole name, so that different names stay different.
func label(name string) string {
	if len(name) <= utf8.UTFMax*maxLabel && utf8.RuneCountInString(name) <= maxLabel && unit.Clean(name) == name {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	mark := fmt.Sprintf("~%x", sum[:8])
	return unit.Shorten(name, maxLabel-len(mark)) + mark
}
