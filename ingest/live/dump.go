package live

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// DumpType is how much of a process its core holds. The numbers are those of
// the diagnostics protocol.
type DumpType uint32

// The types that hold the GC heap.
const (
	// DumpHeap holds the heap and what is needed to walk it. The heap cores of
	// .NET 9.0 lack the runtime's data descriptor, single-file programs make
	// none.
	DumpHeap DumpType = 2
	// DumpFull holds all memory of the process.
	DumpFull DumpType = 4
)

// dumpTime bounds the wait for a core: createdump writes about 1 GB per second
// at best, and much less to a slow disk.
const dumpTime = 30 * time.Minute

// Dump asks the runtime to write a core of its process to path and waits until
// it is written. The process stands still meanwhile, and the core takes as much
// disk as the process takes memory. It is written by the process itself, by the
// program createdump beside its runtime, so path is absolute, as the process
// sees its file system, in a folder that it may write to.
func (t *Target) Dump(ctx context.Context, path string, kind DumpType) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("process %d: the path of a core is absolute, %s is not", t.f.pid, path)
	}
	f := *t.f
	if !f.refresh() {
		return noProcess(f.pid)
	}
	if f.stopped() {
		return f.silence(ctx, context.DeadlineExceeded, "")
	}
	ctx, cancel := context.WithTimeout(ctx, dumpTime)
	defer cancel()
	for _, cmd := range []command{cmdGenerateCoreDump3, cmdGenerateCoreDump2, cmdGenerateCoreDump} {
		payload := appendIPCString(nil, path)
		payload = binary.LittleEndian.AppendUint32(payload, uint32(kind))
		payload = binary.LittleEndian.AppendUint32(payload, 0) // log nothing
		c, answer, err := f.roundTrip(ctx, cmd, payload, dumpTime, nil)
		var he ipcError
		switch {
		case errors.As(err, &he) && he == hrUnknownCommand && ReasonOf(err) == "":
			continue
		case errors.As(err, &he):
			return dumpRefused(f.pid, kind, he)
		case err != nil:
			return err
		}
		c.Close()
		if len(answer) >= 4 {
			if result := int32(binary.LittleEndian.Uint32(answer)); result < 0 {
				return dumpRefused(f.pid, kind, ipcError(uint32(result)))
			}
		}
		return nil
	}
	return &Error{PID: f.pid, Reason: TooOld, Msg: "its runtime writes no cores", Remedy: "gcore of gdb writes one from outside"}
}

func dumpRefused(pid int, kind DumpType, err error) error {
	if err == ipcError(hrFail) { // says no more than that it failed, and of a session elsewhere
		err = nil
	}
	e := &Error{PID: pid, Reason: Unsupported, Msg: "the runtime did not write the core", Err: err,
		Remedy: "createdump must lie beside its runtime and be executable, the process must be allowed to write to the folder, and the disk must have room for it; gcore of gdb writes a core from outside"}
	if kind == DumpHeap {
		e.Remedy += "; a single-file program writes full cores only"
	}
	return e
}
