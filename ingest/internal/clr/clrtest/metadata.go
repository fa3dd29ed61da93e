package clrtest

import (
	"encoding/binary"
	"strings"
)

// metadata makes a metadata root (ECMA-335 II.24.2) with the tables TypeDef
// and NestedClass of the named types; Outer+Inner is nested, and Outer must be
// in the list too. Row 1 is the pseudo type <Module>.
func metadata(names []string) []byte {
	le := binary.LittleEndian
	text := []byte{0}
	str := func(s string) uint16 {
		if s == "" {
			return 0
		}
		at := len(text)
		text = append(append(text, s...), 0)
		return uint16(at)
	}
	var defs, nested []byte
	def := func(name, namespace string) {
		defs = le.AppendUint32(defs, 0)
		defs = le.AppendUint16(defs, str(name))
		defs = le.AppendUint16(defs, str(namespace))
		defs = append(defs, 0, 0, 1, 0, 1, 0) // extends, fields, methods
	}
	def("<Module>", "")
	for i, n := range names {
		if at := strings.LastIndex(n, "+"); at >= 0 {
			def(n[at+1:], "")
			nested = le.AppendUint16(nested, uint16(i+2))
			nested = le.AppendUint16(nested, uint16(row(names, n[:at])))
			continue
		}
		namespace := ""
		if at := strings.LastIndex(n, "."); at >= 0 {
			namespace, n = n[:at], n[at+1:]
		}
		def(n, namespace)
	}
	valid := uint64(1) << 2
	if len(nested) > 0 {
		valid |= 1 << 0x29
	}
	tables := le.AppendUint64(nil, 0x0000_0002_0000_0000) // version 2.0, small heaps
	tables = le.AppendUint64(tables, valid)
	tables = le.AppendUint64(tables, 0)
	tables = le.AppendUint32(tables, uint32(len(names)+1))
	if len(nested) > 0 {
		tables = le.AppendUint32(tables, uint32(len(nested)/4))
	}
	tables = append(append(tables, defs...), nested...)
	for len(tables)%4 != 0 {
		tables = append(tables, 0)
	}
	for len(text)%4 != 0 {
		text = append(text, 0)
	}
	out := append([]byte("BSJB\x01\x00\x01\x00\x00\x00\x00\x00\x0c\x00\x00\x00v4.0.30319\x00\x00"), 0, 0, 2, 0)
	const head = 16 + 12 + 4 + 12 + 20
	stream := func(at, n int, name string) {
		out = le.AppendUint32(out, uint32(at))
		out = le.AppendUint32(out, uint32(n))
		out = append(out, name...)
	}
	stream(head, len(tables), "#~\x00\x00")
	stream(head+len(tables), len(text), "#Strings\x00\x00\x00\x00")
	return append(append(out, tables...), text...)
}

// row returns the TypeDef row of a name, 0 when there is none.
func row(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i + 2
		}
	}
	return 0
}

// image makes a PE image (ECMA-335 II.25) of one section that holds the root.
// flat puts the section where a file has it, else where the loader puts it.
func image(root []byte, flat bool) []byte {
	le := binary.LittleEndian
	const rva, raw = 0x2000, 0x200
	at := rva
	if flat {
		at = raw
	}
	b := make([]byte, at+72+len(root))
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x86:], 1)   // sections
	le.PutUint16(b[0x94:], 240) // optional header
	opt := b[0x98:]
	le.PutUint16(opt, 0x20b)
	le.PutUint32(opt[108:], 16)
	le.PutUint32(opt[112+8*14:], rva)
	le.PutUint32(opt[112+8*14+4:], 72)
	sec := opt[240:]
	le.PutUint32(sec[8:], uint32(72+len(root)))
	le.PutUint32(sec[12:], rva)
	le.PutUint32(sec[16:], uint32(72+len(root)))
	le.PutUint32(sec[20:], raw)
	cli := b[at:]
	le.PutUint32(cli, 72)
	le.PutUint32(cli[8:], rva+72)
	le.PutUint32(cli[12:], uint32(len(root)))
	copy(cli[72:], root)
	return b
}

// ModuleFile makes the file of a module that defines the named types, for tests
// that look names up on disk. Outer+Inner nests in Outer, which must be in the
// list too.
func ModuleFile(names ...string) []byte { return image(metadata(names), true) }
