// Package gcdump reads .gcdump files, the object graphs that dotnet-gcdump,
// dotnet-monitor, PerfView and Visual Studio save of a managed heap, and turns
// one into a histogram: type to number of objects and bytes.
//
// In goes a GCHeapDump of versions 4 to 7, 9 and 10 with a Graphs.MemoryGraph
// of versions 0 and 1, as the PerfView project's GCHeapDump.cs, graph.cs and
// FastSerialization.cs define them; version 8 is refused, as it is there. Out
// comes one [heap.Snapshot] with basis live, in objects and bytes. The file is
// read once, front to back. Memory depends on the number of types, never on
// the number of objects.
//
// # Truth
//
// The graph says everything twice, and it must agree: a record for each place
// in the node table, and sizes that sum up to the total. What disagrees is an
// error and no snapshot. A file that is cut behind its histogram gives an
// incomplete snapshot and then the error.
//
// A snapshot is incomplete, with a warning, when the graph is a sample of the
// heap, when nodes are referred to but not described, when dotnet-gcdump may
// have stopped at its ten million nodes, and when types are unknown. Counts
// and bytes of a sample are scaled by the multipliers in the file and marked
// as estimates.
//
// # What is counted
//
// Objects. Nodes that stand for roots, handles and static variables are not
// counted, neither is free space, which goes into the totals. Size classes such
// as "System.Byte[] (Bytes > 10K)" are folded into their type. The wrappers of
// COM objects hold up to 1000 bytes each for memory outside of the heap.
//
// # Names
//
// Names are canonical. Nested types come without namespace and enclosing types,
// because the runtime sends them so, and are completed: from the file of the
// module, where it can be found and defines all that the dump has of it; else
// from the table of class libraries; else where a generic argument spells the
// name. The file holds no identity of a module, so that a file on disk is taken
// for the build that ran, and a warning says so. A name that fits several types
// stays short, and types of one short name are summed.
//
// # Limits
//
// Versions 4 to 7 and 9 and graphs with deferred type names were tried on
// synthetic files only. References between objects, generations and
// interop data are passed over.
package gcdump

import (
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"iter"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/fastser"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/syntax"
)

// class is the name of the file's one object.
const class = "GCHeapDump"

// Sniff reports whether the head of a file is that of a .gcdump. It wants the
// first 64 bytes or more.
func Sniff(head []byte) bool {
	rest, ok := bytes.CutPrefix(head, []byte(fastser.Signature))
	// Begin object, begin class, no class of the class; two versions; the name.
	return ok && len(rest) >= 15+len(class) && bytes.HasPrefix(rest[1:], []byte{4, 1}) &&
		(rest[0] == 4 || rest[0] == 5) &&
		binary.LittleEndian.Uint32(rest[11:]) == uint32(len(class)) && string(rest[15:15+len(class)]) == class
}

// Read returns the one snapshot of a .gcdump, or the error of a file that is
// malformed. A file that is damaged behind its histogram gives both: first the
// snapshot, incomplete, then the error.
//
// Host, program, pid and time are those in the file. dotnet-gcdump writes none
// of them; then time and pid are taken from the file's default name
// (yyyymmdd_hhmmss_pid.gcdump), which is why name is the path of the input.
// Both times are local times of the machine that took the dump and are read in
// the zone of this one; a warning says so. The file does not say when the
// process started: Uptime is [heap.UptimeUnknown].
func Read(r io.Reader, name string) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		f := fullname.NewFinder("")
		defer f.Close()
		ReadWith(f, r, name)(yield)
	}
}

// ReadWith is [Read] with a finder of modules, which keeps what it reads of
// them from one dump to the next.
func ReadWith(f *fullname.Finder, r io.Reader, name string) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		d := &dump{in: fastser.NewReader(r, name), name: name, modified: modified(r), names: f}
		d.read()
		err := d.in.Err()
		if err != nil && !d.counted {
			yield(nil, err)
			return
		}
		s, failed := d.snapshot(err)
		if failed != nil {
			yield(nil, failed)
			return
		}
		if yield(s, nil) && err != nil {
			yield(nil, err)
		}
	}
}

// modified returns when the file behind r was last written, as far as there
// is one.
func modified(r io.Reader) time.Time {
	f, ok := r.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return time.Time{}
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return time.Time{}
	}
	return st.ModTime()
}

// strangers are formats that are found under the name .gcdump, or taken for
// one.
var strangers = []struct {
	magic string
	at    int
	what  string
}{
	{"PK\x03\x04", 0, "a zip archive; unpack it first"},
	{"\x1f\x8b", 0, "gzip data; unpack it first"},
	{"7z\xbc\xaf\x27\x1c", 0, "a 7-zip archive; unpack it first"},
	{"\x28\xb5\x2f\xfd", 0, "Zstandard data; unpack it first"},
	// The first event of an ETL file is a system trace header of version 2
	// for 32 or 64 bits, behind 72 bytes of buffer header.
	{"\x02\x00\x01\xc0", 72, "a Windows event trace (ETL); open it in PerfView and save its heap snapshot as .gcdump"},
	{"\x02\x00\x02\xc0", 72, "a Windows event trace (ETL); open it in PerfView and save its heap snapshot as .gcdump"},
	{"Nettrace", 0, "a .nettrace stream"},
	{fastser.Signature, 0, "a FastSerialization file of another kind, such as an old NetPerf trace"},
	{"MDMP", 0, "a Windows minidump; open it in WinDbg or dotnet-dump and ingest the log of dumpheap -stat"},
	{"\x7fELF", 0, "an ELF file, perhaps a core dump"},
	{"<", 0, "XML text, perhaps a .gcdump.xml"},
}

// Stranger says by its first 128 bytes what an input is that no reader takes, and
// what to do with it; "" when that is not known.
func Stranger(head []byte) string {
	for _, s := range strangers {
		if len(head) > s.at && bytes.HasPrefix(head[s.at:], []byte(s.magic)) {
			return s.what
		}
	}
	return ""
}

// stranger returns the error of an input that is no .gcdump.
func stranger(head []byte, name string) error {
	what := "not a .gcdump file"
	if len(head) == 0 {
		what = "the file is empty"
	} else if s := Stranger(head); s != "" {
		what = "not a .gcdump file but " + s
	}
	return &syntax.Error{File: name, Msg: what, Err: syntax.ErrNotMine}
}
