// Package gcname turns the type names in a .gcdump file, or in a report of
// one, into names that compare equal with those of other sources, and reads
// the default name of such a file.
//
// dotnet-gcdump and PerfView take a name as the runtime spells it, drop the
// arities, write < and > for every bracket and then [] for <>. That makes
// System.Int32[,] into System.Int32<,> and <>c into []c. Objects of more than
// 1000 bytes get a type of their own, with " (Bytes > 1K)" and the like behind
// the name; names of a process dump say how an array is laid out, " (NoPtrs,
// ElemSize=1)". All of that is undone here.
//
// # Limits
//
// The runtime sends nested types without namespace and enclosing types, and a
// .gcdump has nothing but the name and the module. [Table] completes them by
// package fullname, or where a generic argument spells them in full; the others
// stay short.
package gcname

import (
	"fmt"
	"regexp"
	"strings"

	"leaktrack/heap"
)

var (
	suffix = regexp.MustCompile(` \((Bytes > [0-9]+[KMG]|(Bytes > [0-9]+[KMG],)?(No)?Ptrs,ElemSize=[0-9]+)\)$`)
	ranks  = regexp.MustCompile(`<[,*]+>`)
)

// Canonical returns the name as [heap.CanonicalName] spells it, without what
// the tools added. "" stays "".
func Canonical(name string) string {
	name = Strip(name)
	if s, ok := strings.CutPrefix(name, "[RCW "); ok {
		name = strings.TrimSuffix(s, "]") // a wrapper of a COM object
	}
	name = restoreEmptyGroups(name)
	name = ranks.ReplaceAllStringFunc(name, func(s string) string { return "[" + s[1:len(s)-1] + "]" })
	return heap.CanonicalName(name)
}

// Strip cuts size class and array layout off a name.
func Strip(name string) string {
	if !strings.HasSuffix(name, ")") {
		return name
	}
	return suffix.ReplaceAllString(name, "")
}

// restoreEmptyGroups writes <> for a [] that begins a name, where no array
// suffix can stand.
func restoreEmptyGroups(s string) string {
	if !strings.Contains(s, "[]") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '[' && i+2 < len(s) && s[i+1] == ']' && (i == 0 || strings.IndexByte(".+/<,", s[i-1]) >= 0) {
			b.WriteString("<>")
			i++
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Short reports whether a canonical name may lack its namespace or enclosing
// types: it has neither.
func Short(name string) bool {
	depth := 0
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '<':
			depth++
		case '>':
			depth--
		case '.', '+':
			if depth == 0 {
				return false
			}
		}
	}
	return true
}

// Unknown reports whether the name stands for a type that the runtime did not
// describe when the dump was made. The number in it is an address in that
// process.
func Unknown(name string) bool { return strings.HasPrefix(name, "UNKNOWN 0x") }

// Synthetic reports whether a type of this name, which no module defines,
// stands for roots and not for objects.
func Synthetic(name string) bool {
	switch {
	case name == "UNDEFINED" || name == "ROOT":
		return true
	case !strings.HasPrefix(name, "["):
		return false
	}
	return !strings.HasPrefix(name, "[]") && !strings.HasPrefix(name, "[RCW ")
}

// maxSpelled bounds what Complete keeps.
const maxSpelled = 1 << 20

// Complete returns full names for short ones: of a nested class that appears
// in exactly one spelling as a generic argument of other types. The names are
// canonical. A short name that unclear reports is left alone.
func Complete(names []string, unclear func(short string) bool) map[string]string {
	spelled := map[string]string{} // short to full; "" when there are several
	for _, n := range names {
		collect(n, spelled, 0)
	}
	full := map[string]string{}
	for _, n := range names {
		base := strings.TrimRight(n, "[],*")
		if base == "" || base[0] == '<' || !Short(n) {
			continue // names made by compilers repeat from class to class
		}
		if s := spelled[base]; s != "" && !unclear(base) {
			full[n] = s + n[len(base):]
		}
	}
	return full
}

// collect finds the nested classes among the generic arguments of a name.
func collect(name string, spelled map[string]string, depth int) {
	if depth > 32 {
		return
	}
	level, start := 0, 0
	argument := func(end int) {
		a := strings.TrimRight(name[start:end], "[],*")
		collect(a, spelled, depth+1)
		if i := lastPlus(a); i > 0 && i+1 < len(a) && len(spelled) < maxSpelled {
			short := a[i+1:]
			if old, ok := spelled[short]; ok && old != a {
				a = ""
			}
			spelled[short] = a
		}
	}
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '<':
			if level++; level == 1 {
				start = i + 1
			}
		case ',':
			if level == 1 {
				argument(i)
				start = i + 1
			}
		case '>':
			if level--; level == 0 {
				argument(i)
			} else if level < 0 {
				return
			}
		}
	}
}

// lastPlus returns the place of the last + outside of generic arguments, or -1.
func lastPlus(s string) int {
	depth := 0
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case '>':
			depth++
		case '<':
			depth--
		case '+':
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

// Image names a type of which only the place in an image is known, as in a
// dump of a native program.
func Image(image string, id uint32) string { return fmt.Sprintf("%s!0x%x", image, id) }
