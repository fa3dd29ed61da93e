//go:build !linux

package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/nettrace"
)

// facts is what the system tells of a process without asking its runtime.
type facts struct {
	pid, inner int
	namespaced bool
	startNanos int64
	args       []string
}

// evidence is what shows that a process runs .NET; here only its endpoint does.
type evidence struct {
	dotnet  bool
	version string
	gc      heap.Tristate
	heaps   int
}

func inspect(pid int) (*facts, error) {
	if pid <= 0 {
		return nil, noProcess(pid)
	}
	start, err := startOf(pid)
	if err != nil {
		return nil, &Error{PID: pid, Reason: NoProcess, Msg: "cannot be looked at", Err: err}
	}
	return &facts{pid: pid, inner: pid, startNanos: start}, nil
}

func (f *facts) connect(ctx context.Context) (conn, error) {
	c, err := dialEndpoint(ctx, f)
	var known *Error
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &known):
		return nil, err
	case errors.Is(err, os.ErrPermission):
		return nil, &Error{PID: f.pid, Reason: OtherUser, Msg: "belongs to another user", Remedy: "run as the same user or as administrator", Err: err}
	case errors.Is(err, os.ErrNotExist):
		return nil, &Error{PID: f.pid, Reason: NotDotnet, Msg: "has no diagnostics endpoint: no .NET process, too old, or diagnostics are switched off"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, &Error{PID: f.pid, Reason: Stale, Msg: "its diagnostics socket is there, but nobody listens", Err: err}
	}
	return nil, &Error{PID: f.pid, Reason: Busy, Msg: "connecting to its diagnostics endpoint", Err: err}
}

func (f *facts) uptime() time.Duration {
	if f.startNanos == 0 {
		return heap.UptimeUnknown
	}
	return max(time.Since(time.Unix(0, f.startNanos)), 0)
}

// refresh reports whether it is still the same process.
func (f *facts) refresh() bool {
	start, err := startOf(f.pid)
	return err == nil && start == f.startNanos
}

func (f *facts) stopped() bool                            { return false }
func (f *facts) work() *work                              { return nil }
func (f *facts) mayBeSuspended() bool                     { return true }
func (f *facts) used() heap.Optional                      { return heap.Optional{} }
func (f *facts) suspended() bool                          { return false }
func (f *facts) memory() *heap.ProcessMemory              { return nil }
func (f *facts) memoryLimit() (limit, left heap.Optional) { return }
func (f *facts) look() evidence                           { return evidence{} }
func (f *facts) user() string                             { return "" }
func (f *facts) close()                                   {}
func (f *facts) openImage(m nettrace.Module) (interface {
	io.ReaderAt
	io.Closer
}, int64, error) {
	return nettrace.OpenLocal(m)
}

func (f *facts) hasSocket() bool {
	pids, err := allPIDs()
	if err != nil {
		return false
	}
	for _, pid := range pids {
		if pid == f.pid {
			return true
		}
	}
	return false
}

// pidOf returns the pid in a name prefix<pid>[-…], 0 when there is none.
func pidOf(name, prefix string) int {
	var pid int
	if _, err := fmt.Sscanf(name, prefix+"%d", &pid); err != nil {
		return 0
	}
	return pid
}
