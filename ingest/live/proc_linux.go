package live

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"leaktrack/heap"
	"leaktrack/ingest/internal/boot"
	"leaktrack/ingest/internal/bundle"
)

// maxProcFile bounds what is read of one file under /proc. An environment or a
// map of memory beyond it is read in part.
const maxProcFile = 8 << 20

// facts is what the system tells of a process without asking its runtime.
type facts struct {
	pid        int
	inner      int  // the pid as the process sees itself
	namespaced bool // in a pid or mount namespace of its own
	state      byte // of /proc/PID/stat: R S D T t Z …
	startTicks uint64
	startNanos int64
	uid, euid  int
	args       []string
	env        map[string]string // only the variables in wantedEnv; nil when unreadable

	// The executable, where it holds the modules itself.
	searched bool
	bundle   *bundle.Bundle
	exe      *os.File
}

var wantedEnv = []string{"TMPDIR", "DOTNET_EnableDiagnostics", "COMPlus_EnableDiagnostics", "DOTNET_EnableDiagnostics_IPC",
	"DOTNET_DefaultDiagnosticPortSuspend", "DOTNET_DiagnosticPorts", "DOTNET_gcServer", "COMPlus_gcServer"}

// clockTicks returns the unit of times under /proc per second: AT_CLKTCK of
// the auxiliary vector, 100 on every architecture that Go supports.
var clockTicks = sync.OnceValue(func() uint64 {
	const atClockTicks = 17
	b, _ := os.ReadFile("/proc/self/auxv")
	const word = strconv.IntSize / 8
	number := func(b []byte) uint64 {
		if word == 4 {
			return uint64(binary.NativeEndian.Uint32(b))
		}
		return binary.NativeEndian.Uint64(b)
	}
	for ; len(b) >= 2*word; b = b[2*word:] {
		if n := number(b[word:]); number(b) == atClockTicks && n > 0 && n <= 1e6 {
			return n
		}
	}
	return 100
})

func readProc(parts ...string) ([]byte, error) {
	f, err := os.Open(filepath.Join(append([]string{"/proc"}, parts...)...))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxProcFile))
}

// inspect reads what /proc says of a process. It returns an [*Error] with
// reason [NoProcess] when there is none.
func inspect(pid int) (*facts, error) {
	if pid <= 0 {
		return nil, noProcess(pid)
	}
	dir := strconv.Itoa(pid)
	f := &facts{pid: pid, inner: pid}
	b, err := readProc(dir, "stat")
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, &Error{PID: pid, Reason: OtherUser, Msg: "may not be looked at", Remedy: "run as the same user or as root", Err: fs.ErrPermission}
		}
		return nil, noProcess(pid)
	}
	if f.state, f.startTicks, err = parseStat(b); err != nil {
		return nil, &Error{PID: pid, Reason: NoProcess, Msg: "reading /proc", Err: err}
	}
	if f.state == 'Z' || f.state == 'X' {
		return nil, &Error{PID: pid, Reason: NoProcess, Msg: "has exited; its parent has not taken notice"}
	}
	booted, err := bootTime()
	if err != nil {
		return nil, err
	}
	f.startNanos = startNanos(booted.Unix(), f.startTicks, clockTicks())
	if b, err = readProc(dir, "status"); err != nil {
		return nil, noProcess(pid)
	}
	if v := strings.Fields(statusField(b, "Uid")); len(v) >= 2 {
		f.uid, _ = strconv.Atoi(v[0])
		f.euid, _ = strconv.Atoi(v[1])
	}
	// The last value is the pid in the innermost namespace, which is the one
	// the process itself sees.
	if v := strings.Fields(statusField(b, "NSpid")); len(v) > 1 {
		f.inner, _ = strconv.Atoi(v[len(v)-1])
		f.namespaced = true
	}
	if differs(dir, "mnt") {
		f.namespaced = true
	}
	if b, err = readProc(dir, "cmdline"); err == nil && len(b) > 0 {
		f.args = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	}
	if b, err = readProc(dir, "environ"); err == nil {
		f.env = map[string]string{}
		for entry := range bytes.SplitSeq(b, []byte{0}) {
			for _, name := range wantedEnv {
				if v, ok := bytes.CutPrefix(entry, []byte(name+"=")); ok {
					f.env[name] = string(v)
				}
			}
		}
	}
	return f, nil
}

// differs reports whether a process lives in another namespace of the kind
// than we do, as far as we may see it.
func differs(pid, kind string) bool {
	theirs, err := os.Readlink("/proc/" + pid + "/ns/" + kind)
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/" + kind)
	return err == nil && ours != theirs
}

// parseStat reads state and start time, in ticks since boot, out of
// /proc/PID/stat. The command's name stands in parentheses and may hold
// blanks and parentheses itself.
func parseStat(b []byte) (state byte, start uint64, err error) {
	i := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[i+1:])
	if i < 0 || len(fields) < 20 || len(fields[0]) != 1 {
		return 0, 0, errors.New("malformed stat")
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return fields[0][0], start, err
}

func statusField(b []byte, name string) string {
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// statusKB returns a size of /proc/PID/status.
func statusKB(b []byte, name string) heap.Optional {
	v, ok := strings.CutSuffix(statusField(b, name), " kB")
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if !ok || err != nil || n < 0 || n > math.MaxInt64>>10 {
		return heap.Optional{}
	}
	return heap.Known(n << 10)
}

// bootTime tells the system's start. It changes when somebody sets the clock; a
// test does that to it.
var bootTime = boot.Time

func startNanos(boot int64, ticks, perSecond uint64) int64 {
	whole := int64(ticks / perSecond)
	part := ticks % perSecond * uint64(time.Second) / perSecond
	return (boot+whole)*int64(time.Second) + int64(part)
}

// sinceBoot returns the time since the system started, suspension included,
// which is the clock that process start times are told in.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

func (f *facts) uptime() time.Duration {
	per := clockTicks()
	start := time.Duration(f.startTicks/per)*time.Second + time.Duration(f.startTicks%per)*time.Second/time.Duration(per)
	return max(sinceBoot()-start, 0)
}

// refresh reads the state again and reports whether it is still the same
// process.
func (f *facts) refresh() bool {
	b, err := readProc(strconv.Itoa(f.pid), "stat")
	if err != nil {
		return false
	}
	state, start, err := parseStat(b)
	if err != nil || start != f.startTicks || state == 'Z' || state == 'X' {
		return false
	}
	f.state = state
	return true
}

// work adds up what the process's threads have done: the first two numbers of
// schedstat, in nanoseconds, or where the kernel keeps none the clock ticks in
// stat. A thread that is in the queue for a processor is told only when it gets
// one, so whoever is ready to run counts as waiting.
func (f *facts) work() *work {
	tasks, err := os.Open("/proc/" + strconv.Itoa(f.pid) + "/task")
	if err != nil {
		return nil
	}
	defer tasks.Close()
	ids, _ := tasks.Readdirnames(4096)
	w := &work{threads: make(map[string]time.Duration, len(ids))}
	for _, id := range ids {
		stat, err := readProc(strconv.Itoa(f.pid), "task", id, "stat")
		if err != nil {
			continue // it has ended
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 13 {
			continue
		}
		w.waiting = w.waiting || fields[0][0] == 'D' || fields[0][0] == 'R'
		sched, err := readProc(strconv.Itoa(f.pid), "task", id, "schedstat")
		if on, queued, ok := twoNumbers(bytes.Fields(sched)); err == nil && ok {
			w.threads[id] = time.Duration(on + queued)
			continue
		}
		user, system, _ := twoNumbers(fields[11:])
		w.threads[id] = time.Duration(user+system) * time.Second / time.Duration(clockTicks())
	}
	return w
}

func twoNumbers(fields [][]byte) (a, b int64, ok bool) {
	if len(fields) < 2 {
		return 0, 0, false
	}
	a, err1 := strconv.ParseInt(string(fields[0]), 10, 64)
	b, err2 := strconv.ParseInt(string(fields[1]), 10, 64)
	return a, b, err1 == nil && err2 == nil
}

func (f *facts) stopped() bool { return f.state == 'T' || f.state == 't' }

// memory returns what /proc says of the process's memory; nil when nothing.
// Private is anonymous memory: it costs nothing to read and needs no rights,
// unlike the sum over all mappings.
func (f *facts) memory() *heap.ProcessMemory {
	b, err := readProc(strconv.Itoa(f.pid), "status")
	if err != nil {
		return nil
	}
	limit, _ := f.memoryLimit()
	return &heap.ProcessMemory{RSSBytes: statusKB(b, "VmRSS"), PrivateBytes: statusKB(b, "RssAnon"), LimitBytes: limit}
}

// used returns the bytes of memory that hold anything of the process: resident,
// swapped out, and in huge pages, which the system counts apart.
func (f *facts) used() heap.Optional {
	b, err := readProc(strconv.Itoa(f.pid), "status")
	if err != nil {
		return heap.Optional{}
	}
	rss, ok := statusKB(b, "VmRSS").Get()
	if !ok {
		return heap.Optional{}
	}
	return heap.Known(rss + statusKB(b, "VmSwap").Or(0) + statusKB(b, "HugetlbPages").Or(0))
}

// memoryLimit returns the smallest memory limit of the process's control
// groups and what is left below it.
func (f *facts) memoryLimit() (limit, left heap.Optional) {
	b, err := readProc(strconv.Itoa(f.pid), "cgroup")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 || strings.Contains(part[2], "..") {
			continue
		}
		root, max, used := "", "", ""
		switch {
		case part[0] == "0":
			root, max, used = "/sys/fs/cgroup", "memory.max", "memory.current"
		case part[1] == "memory":
			root, max, used = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
		default:
			continue
		}
		for dir := filepath.Clean("/" + part[2]); ; dir = filepath.Dir(dir) {
			if n, ok := cgroupNumber(root+dir, max); ok && n < 1<<60 {
				if n < limit.Or(math.MaxInt64) {
					limit = heap.Known(n)
				}
				if u, ok := cgroupNumber(root+dir, used); ok && n-u < left.Or(math.MaxInt64) {
					left = heap.Known(n - min(u, n))
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit, left
}

func cgroupNumber(dir, name string) (int64, bool) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil && n >= 0
}

// evidence is what shows that a process runs .NET.
type evidence struct {
	dotnet  bool
	aot     bool // no runtime mapped, but its threads
	version string
	coreLib bool // managed code has been loaded
	mapped  bool // the map of memory could be read
	gc      heap.Tristate
	heaps   int // server GC threads
}

// look searches the process's mappings and threads for a .NET runtime.
func (f *facts) look() evidence {
	var e evidence
	pid := strconv.Itoa(f.pid)
	if b, err := readProc(pid, "maps"); err == nil && len(b) > 0 {
		e.mapped = true
		for line := range bytes.Lines(b) {
			i := bytes.IndexByte(line, '/')
			if i < 0 {
				continue
			}
			path := string(bytes.TrimSpace(line[i:]))
			path = strings.TrimSuffix(path, " (deleted)")
			switch filepath.Base(path) {
			case "libcoreclr.so":
				e.dotnet = true
				e.version = versionFolder(path)
			case "System.Private.CoreLib.dll":
				e.dotnet, e.coreLib = true, true
			}
		}
	}
	tasks, err := os.Open("/proc/" + pid + "/task")
	if err != nil {
		return e
	}
	defer tasks.Close()
	ids, _ := tasks.Readdirnames(4096)
	runtime := 0
	for _, id := range ids {
		name, err := readProc(pid, "task", id, "comm")
		if err != nil {
			continue
		}
		switch s := strings.TrimSpace(string(name)); {
		case strings.HasPrefix(s, ".NET Server GC"):
			e.heaps++
			runtime++
		case strings.HasPrefix(s, ".NET "):
			runtime++
		}
	}
	if runtime > 0 {
		e.aot = e.mapped && !e.dotnet
		e.dotnet = true
		e.gc = heap.TristateOf(e.heaps > 0)
	}
	if v := f.env["DOTNET_gcServer"] + f.env["COMPlus_gcServer"]; v == "1" && e.dotnet {
		e.gc = heap.Yes
	}
	return e
}

// versionFolder returns the version in …/Microsoft.NETCore.App/9.0.5/x.so.
func versionFolder(path string) string {
	v := filepath.Base(filepath.Dir(path))
	if v == "" || v[0] < '0' || v[0] > '9' || !strings.Contains(v, ".") {
		return ""
	}
	return v
}

func allPIDs() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (f *facts) user() string {
	id := strconv.Itoa(f.euid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// hasSocket reports whether a diagnostics socket of the process's pid is where
// it would be.
func (f *facts) hasSocket() bool {
	dir, _ := f.tempDir()
	fd, err := f.openDir(dir)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	return unix.Fstatat(fd, socketName(f.inner, f.startTicks), &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}
