// Package nettrace reads EventPipe streams, in a .nettrace file or while a
// runtime sends them, and turns the heap walks in them into histograms: type
// to number of objects and bytes.
//
// In goes the nettrace format in versions 3 (NetPerf), 4 (what every runtime
// from .NET Core 3.0 to .NET 10 writes, "V5" metadata tags included) and 6, as
// described in the documents NetTraceFormat.md and NetPerfFormat.md of the
// PerfView project, with the runtime provider's GC events of ClrEtwAll.man.
// Out come [heap.Snapshot] values with basis live, in objects and bytes.
//
// # Truth
//
// A runtime whose buffer is full drops events silently and still ends the
// stream well. A snapshot is Complete only if no sequence number is missing,
// the walk's events and references are all there, the collection that made it
// began and ended in the stream, the stream has its end mark and every
// object's type is described. Each failure is a warning of the snapshot.
//
// # Names
//
// The runtime sends nested types without namespace and enclosing types. They
// are completed from the names of generic arguments, which are spelled in
// full, and by token from the metadata of the modules, where the stream names
// modules and their files, or the single-file program that holds them, can be
// opened and are the same builds; else from the table of class libraries, as
// package fullname has it. What stays short is named in a warning.
//
// # Limits
//
// Version 6 was tried on synthetic streams only; uncompressed event headers
// likewise. Versions 1 and 2 (.NET Core 2.0 previews) are not supported. Memory
// depends on the number of types, threads and walks, never on the number of
// objects. Stacks, roots and survival ranges are passed over.
package nettrace
