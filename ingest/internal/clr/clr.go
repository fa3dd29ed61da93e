// Package clr walks the managed heap of a CoreCLR process in its raw memory:
// in comes the address space of a process as an io.ReaderAt (a core file, or
// the memory of a held process) with its file mappings, out comes the number of
// objects and bytes per type, the size of each GC heap and the accounting that
// says how far to trust them.
//
// No piece of the runtime's own debugger support is used. The places of fields
// come from the data contract descriptor that .NET 9 and later export
// (docs/design/datacontracts in the public source of the runtime), or from a
// table for exactly one version where the descriptor is missing. The heap is
// found through the GC's variable block (gc_dac_vars in the same source) or,
// from .NET 11, through the contract named GC. Metadata is ECMA-335.
//
// Known: .NET Core 3.1 (x64), .NET 9, 10 (x64; other 64-bit little-endian
// machines with a descriptor) and 11; 11 was written from the published
// contract and is tested with synthetic memory only. Native AOT, Mono, .NET 5
// to 8 and 32-bit processes are refused. Whatever is read is proven by adding it
// up: every byte of every segment is an object, free space, a gap of zeros or
// missing from the input. A heap that does not add up is an error wrapping
// [ErrLayout], never a guess.
//
// Counts include dead objects that were not yet collected.
package clr

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Errors that callers decide by.
var (
	// ErrAbsent is what a [Memory] returns for addresses it has no bytes for.
	ErrAbsent = errors.New("memory is not in the input")
	// ErrNoRuntime: the process shows no CoreCLR.
	ErrNoRuntime = errors.New("no .NET runtime found")
	// ErrVersion: a runtime of a version that is not supported.
	ErrVersion = errors.New("unsupported .NET version")
	// ErrNoHeap: the input was made without the pages of the GC heap.
	ErrNoHeap = errors.New("holds no GC heap")
	// ErrLayout: what was read does not add up.
	ErrLayout = errors.New("the heap does not add up")
)

func layoutError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrLayout, fmt.Sprintf(format, args...))
}

// Memory is the address space of a process; offsets are addresses. ReadAt
// returns the bytes before the first absent one, and then an error that wraps
// [ErrAbsent]; any other error ends the reading. It is safe for concurrent use.
type Memory interface {
	io.ReaderAt
	// Next returns the first present address at or behind addr, false when
	// there is none.
	Next(addr uint64) (uint64, bool)
}

// Mapping is a piece of a file in the address space.
type Mapping struct {
	Start, End uint64 // addresses, End behind the last byte
	Offset     uint64 // of Start in the file, in bytes
	Path       string // as the process saw it
}

// File is an open module file.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Machine is the processor of the process.
type Machine string

// The machines; tables of fixed offsets exist for AMD64 only.
const (
	AMD64 Machine = "amd64"
	ARM64 Machine = "arm64"
)

// OpenFile opens the file of a module by the given functions. Only regular
// files: a process can name anything, and a pipe or a device would block or act.
func OpenFile(path string, stat func(string) (fs.FileInfo, error), open func(string) (*os.File, error)) (File, error) {
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrInvalid
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	return file{f, info.Size()}, nil
}

type file struct {
	*os.File
	size int64
}

func (f file) Size() int64 { return f.size }

// Process is what is read.
type Process struct {
	Memory   Memory
	Machine  Machine
	Mappings []Mapping // sorted by Start, not overlapping
	// Open opens a module file of the process's machine by the path in
	// Mappings. Nil, or an error: only Memory is used.
	Open func(path string) (File, error)
	// Runtime is the base address of the runtime's module, if the input says
	// it; 0 otherwise. It is a hint.
	Runtime uint64
	Workers int // goroutines that walk; 0: one per processor, at most four
}

// Type is all objects of one method table.
type Type struct {
	MethodTable uint64
	Count       int64
	Bytes       int64
	Name        string // filled by Heap.Snapshot
}
