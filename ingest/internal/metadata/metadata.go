// Package metadata reads type names out of .NET modules: in goes a PE file, a
// mapped PE image or a bare metadata root as an io.ReaderAt; out comes the full
// name of a TypeDef token, with its namespace and enclosing types. The format is
// ECMA-335, 6th edition, partition II, sections 22 (tables), 24 (physical
// layout) and 25 (PE file).
//
// Nothing is loaded as a whole: rows and strings are read where they are
// needed, so that memory does not depend on the module and a hostile module
// costs a bounded number of small reads. Only the tables up to NestedClass
// are understood, which is all that names need.
package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sort"
	"strings"
	"unicode/utf8"
)

// Limits; real modules stay far below.
const (
	maxString  = 1 << 10 // bytes of one name
	maxNesting = 32      // enclosing types
	maxStreams = 16
)

// ErrFormat is wrapped by every error about what the input holds.
var ErrFormat = errors.New("malformed .NET module")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Layout says how the sections of an image are placed.
type Layout int

const (
	// File is a PE file: addresses go through the section table.
	File Layout = iota
	// Mapped is an image laid out in memory by the loader: address = offset.
	Mapped
)

// TypeName is a name as the module spells it, generic arity included.
type TypeName struct {
	Namespace string   // of the outermost type; may be ""
	Path      []string // outermost type first; never empty
}

// String returns Namespace.Outer`1+Inner, the spelling of reflection.
func (n TypeName) String() string {
	s := strings.Join(n.Path, "+")
	if n.Namespace != "" {
		return n.Namespace + "." + s
	}
	return s
}

// Module is an open module. It keeps no more than the place of its tables.
type Module struct {
	r       io.ReaderAt
	strings span
	typeDef table
	nested  table
	// Where the columns stand: TypeDef's name and namespace, the width of a
	// string index and of a TypeDef index.
	stringSize, typeDefSize int

	pdb    [16]byte
	age    uint32
	hasPDB bool
}

type span struct{ off, size int64 }

type table struct {
	off  int64
	row  int
	rows uint32
}

// Open reads the headers of a PE file or image of size bytes. The module reads
// from r until it is dropped.
func Open(r io.ReaderAt, size int64, layout Layout) (*Module, error) {
	p, err := openPE(r, size, layout)
	if err != nil {
		return nil, err
	}
	root, err := p.metadataRoot()
	if err != nil {
		return nil, err
	}
	m, err := OpenRoot(r, root.off, root.size)
	if err != nil {
		return nil, err
	}
	m.pdb, m.age, m.hasPDB = p.codeView()
	return m, nil
}

// PDB returns the identity that the build gave to the module and its symbol
// file, from the debug directory; false when there is none or the module was
// opened with [OpenRoot].
func (m *Module) PDB() (guid [16]byte, age uint32, ok bool) { return m.pdb, m.age, m.hasPDB }

// OpenRoot reads the metadata root of size bytes at off (section II.24.2.1).
func OpenRoot(r io.ReaderAt, off, size int64) (*Module, error) {
	b, err := read(r, off, 16, off+size)
	if err != nil {
		return nil, err
	}
	if string(b[:4]) != "BSJB" {
		return nil, bad("metadata starts with %q", b[:4])
	}
	version := int64(binary.LittleEndian.Uint32(b[12:]))
	if version > 255+4 {
		return nil, bad("version string of %d bytes", version)
	}
	at := off + 16 + (version+3)&^3
	if b, err = read(r, at, 4, off+size); err != nil {
		return nil, err
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if n > maxStreams {
		return nil, bad("%d metadata streams", n)
	}
	at += 4
	m := &Module{r: r}
	var tables span
	for range n {
		head, err := read(r, at, 8, off+size)
		if err != nil {
			return nil, err
		}
		s := span{off + int64(binary.LittleEndian.Uint32(head)), int64(binary.LittleEndian.Uint32(head[4:]))}
		name, err := cstring(r, at+8, min(at+8+32, off+size))
		if err != nil {
			return nil, err
		}
		at += 8 + int64(len(name)+4)&^3
		if s.off+s.size > off+size {
			return nil, bad("stream %q reaches beyond the metadata", name)
		}
		switch name {
		case "#~", "#-":
			tables = s
		case "#Strings":
			m.strings = s
		}
	}
	if tables.size == 0 || m.strings.size == 0 {
		return nil, bad("no tables or no strings")
	}
	return m, m.readTables(tables)
}

// read returns n bytes at off; limit is the first offset that must not be
// touched.
func read(r io.ReaderAt, off int64, n int, limit int64) ([]byte, error) {
	if off < 0 || off > limit-int64(n) {
		return nil, bad("%d bytes wanted at %#x, but the part ends at %#x", n, off, limit)
	}
	b := make([]byte, n)
	if m, err := r.ReadAt(b, off); m < n {
		if err == io.EOF {
			return nil, bad("cut short at %#x", off+int64(m))
		}
		return nil, err
	}
	return b, nil
}

// cstring reads a string up to its zero byte, which must come before limit.
func cstring(r io.ReaderAt, off, limit int64) (string, error) {
	var out []byte
	for len(out) <= maxString {
		n := min(64, limit-off)
		if n <= 0 {
			break
		}
		b, err := read(r, off, int(n), limit)
		if err != nil {
			return "", err
		}
		for i, c := range b {
			if c == 0 {
				return string(append(out, b[:i]...)), nil
			}
		}
		out = append(out, b...)
		off += n
	}
	return "", bad("name without end at %#x", off)
}

// readTables finds the TypeDef and the NestedClass table in the stream of
// tables (section II.24.2.6).
func (m *Module) readTables(s span) error {
	b, err := read(m.r, s.off, 24, s.off+s.size)
	if err != nil {
		return err
	}
	heaps := b[6]
	valid := binary.LittleEndian.Uint64(b[8:])
	at := s.off + 24
	var rows [64]uint32
	counts, err := read(m.r, at, 4*bits.OnesCount64(valid), s.off+s.size)
	if err != nil {
		return err
	}
	at += int64(len(counts))
	for i := range rows {
		if valid>>i&1 != 0 {
			rows[i] = binary.LittleEndian.Uint32(counts)
			counts = counts[4:]
			if rows[i] >= 1<<24 {
				return bad("table %#x of %d rows", i, rows[i])
			}
		}
	}
	if heaps&0x40 != 0 {
		at += 4 // extra data of a stream that was edited
	}
	sz := sizes{rows: &rows, str: 2, guid: 2, blob: 2}
	if heaps&1 != 0 {
		sz.str = 4
	}
	if heaps&2 != 0 {
		sz.guid = 4
	}
	if heaps&4 != 0 {
		sz.blob = 4
	}
	for i, columns := range tableColumns {
		t := table{off: at, row: sz.row(columns), rows: rows[i]}
		at += int64(t.row) * int64(t.rows)
		if at > s.off+s.size {
			return bad("table %#x reaches beyond its stream", i)
		}
		switch i {
		case tabTypeDef:
			m.typeDef = t
		case tabNestedClass:
			m.nested = t
		}
	}
	m.stringSize, m.typeDefSize = sz.str, sz.column(tabTypeDef)
	return nil
}

// TypeDefs returns the number of types the module defines, the pseudo type
// <Module> included.
func (m *Module) TypeDefs() int { return int(m.typeDef.rows) }

// TypeName returns the name of a TypeDef token, 0x02000001 and up.
func (m *Module) TypeName(token uint32) (TypeName, error) {
	if token>>24 != tabTypeDef {
		return TypeName{}, fmt.Errorf("token %#x is no TypeDef", token)
	}
	row := token & 0xffffff
	var n TypeName
	for range maxNesting {
		name, namespace, err := m.typeDefRow(row)
		if err != nil {
			return TypeName{}, err
		}
		n.Path = append(n.Path, name)
		outer, ok, err := m.enclosing(row)
		if err != nil {
			return TypeName{}, err
		}
		if !ok {
			n.Namespace = namespace
			for i, j := 0, len(n.Path)-1; i < j; i, j = i+1, j-1 {
				n.Path[i], n.Path[j] = n.Path[j], n.Path[i]
			}
			return n, nil
		}
		row = outer
	}
	return TypeName{}, bad("type %#x is nested more than %d deep", token, maxNesting)
}

// Attributes returns the flags of a TypeDef token (section II.23.1.15).
func (m *Module) Attributes(token uint32) (uint32, error) {
	row := token & 0xffffff
	if token>>24 != tabTypeDef || row == 0 || row > m.typeDef.rows {
		return 0, fmt.Errorf("token %#x is no TypeDef", token)
	}
	off := m.typeDef.off + int64(row-1)*int64(m.typeDef.row)
	b, err := read(m.r, off, 4, off+int64(m.typeDef.row))
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (m *Module) typeDefRow(row uint32) (name, namespace string, err error) {
	if row == 0 || row > m.typeDef.rows {
		return "", "", bad("type %d of %d", row, m.typeDef.rows)
	}
	off := m.typeDef.off + int64(row-1)*int64(m.typeDef.row)
	b, err := read(m.r, off+4, 2*m.stringSize, off+int64(m.typeDef.row))
	if err != nil {
		return "", "", err
	}
	if name, err = m.string(index(b, m.stringSize)); err != nil {
		return "", "", err
	}
	if strings.TrimSpace(name) == "" { // blanks would vanish in a canonical name
		return "", "", bad("type %d has no name", row)
	}
	namespace, err = m.string(index(b[m.stringSize:], m.stringSize))
	return name, namespace, err
}

// enclosing returns the row of the type that encloses row. The NestedClass
// table is sorted by the nested type (section II.22.32).
func (m *Module) enclosing(row uint32) (outer uint32, ok bool, err error) {
	t := m.nested
	at := func(i int) (nested, outer uint32) {
		off := t.off + int64(i)*int64(t.row)
		b, e := read(m.r, off, t.row, off+int64(t.row))
		if e != nil {
			err = e
			return 0, 0
		}
		return index(b, m.typeDefSize), index(b[m.typeDefSize:], m.typeDefSize)
	}
	i := sort.Search(int(t.rows), func(i int) bool {
		nested, _ := at(i)
		return nested >= row
	})
	if err != nil || i == int(t.rows) {
		return 0, false, err
	}
	nested, outer := at(i)
	return outer, nested == row, err
}

func (m *Module) string(i uint32) (string, error) {
	if int64(i) >= m.strings.size {
		return "", bad("string %#x of %#x bytes of strings", i, m.strings.size)
	}
	s, err := cstring(m.r, m.strings.off+int64(i), m.strings.off+m.strings.size)
	if err == nil && !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return s, err
}

func index(b []byte, size int) uint32 {
	if size == 2 {
		return uint32(binary.LittleEndian.Uint16(b))
	}
	return binary.LittleEndian.Uint32(b)
}
