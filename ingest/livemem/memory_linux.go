package livemem

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"leaktrack/ingest/internal/clr"
)

const machine = clr.Machine(runtime.GOARCH)

// memory is the address space of a process. It implements [clr.Memory].
type memory struct {
	pid int
	f   *os.File

	mu   sync.Mutex
	maps []mapping // read on first use, sorted
}

type mapping struct {
	clr.Mapping
	readable bool
}

func openMemory(pid int) (*memory, error) {
	m := &memory{pid: pid}
	maps, err := readMaps(pid)
	if err != nil {
		return nil, err
	}
	m.maps = maps
	if m.f, err = os.Open(fmt.Sprintf("/proc/%d/mem", pid)); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *memory) Close() error { return m.f.Close() }

// forget has the mappings read again when they are needed.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.maps = nil
}

// ReadAt reads the process's memory at an address.
func (m *memory) ReadAt(b []byte, addr int64) (int, error) {
	if addr < 0 {
		return 0, clr.ErrAbsent
	}
	done := 0
	for done < len(b) {
		n, err := unix.Pread(int(m.f.Fd()), b[done:], addr+int64(done))
		switch {
		case n > 0:
			done += n
		case errors.Is(err, unix.EINTR):
		case err == nil: // what the kernel answers when the process is gone
			return done, fmt.Errorf("%w: %w", ErrExited, io.ErrUnexpectedEOF)
		case errors.Is(err, unix.EIO), errors.Is(err, unix.EFAULT), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOVERFLOW):
			return done, clr.ErrAbsent
		default:
			return done, os.NewSyscallError("pread", err)
		}
	}
	return done, nil
}

// Next returns the first address at or behind addr that may be read.
func (m *memory) Next(addr uint64) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.maps == nil {
		var err error
		if m.maps, err = readMaps(m.pid); err != nil {
			return 0, false
		}
	}
	i := sort.Search(len(m.maps), func(i int) bool { return m.maps[i].End > addr })
	for ; i < len(m.maps); i++ {
		if m.maps[i].readable {
			return max(addr, m.maps[i].Start), true
		}
	}
	return 0, false
}

// mappings returns the pieces of files.
func (m *memory) mappings() []clr.Mapping {
	var out []clr.Mapping
	for _, x := range m.maps {
		if strings.HasPrefix(x.Path, "/") {
			out = append(out, x.Mapping)
		}
	}
	return out
}

func readMaps(pid int) ([]mapping, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	return parseMaps(b), nil
}

// parseMaps reads /proc/PID/maps (proc_pid_maps(5)). Lines that do not parse
// are left out.
func parseMaps(b []byte) []mapping {
	var out []mapping
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		f := strings.SplitN(line, " ", 6)
		if len(f) < 5 || len(f[1]) < 4 {
			continue
		}
		from, to, ok := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		offset, err3 := strconv.ParseUint(f[2], 16, 64)
		if !ok || err1 != nil || err2 != nil || err3 != nil || end <= start || end > 1<<63 {
			continue
		}
		m := mapping{readable: f[1][0] == 'r'}
		m.Start, m.End, m.Offset = start, end, offset
		if len(f) == 6 {
			m.Path = strings.TrimSuffix(strings.TrimLeft(f[5], " "), " (deleted)")
		}
		out = append(out, m)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Start < out[j].Start })
	return out
}

// startTicks returns when the process started, in ticks since boot.
func startTicks(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0, ErrExited
	}
	if err != nil {
		return 0, err
	}
	return parseStart(b)
}

// parseStart takes field 22; the name in parentheses may hold anything.
func parseStart(b []byte) (uint64, error) {
	i := bytes.LastIndexByte(b, ')')
	f := bytes.Fields(b[i+1:])
	if i < 0 || len(f) < 20 {
		return 0, errors.New("its /proc/PID/stat makes no sense")
	}
	return strconv.ParseUint(string(f[19]), 10, 64)
}

// sinceBoot is the clock in which start times are told.
func sinceBoot() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(t.Nano()), nil
}

func splitZero(b []byte) []string {
	var out []string
	for _, s := range bytes.Split(bytes.TrimRight(b, "\x00"), []byte{0}) {
		out = append(out, string(s))
	}
	return out
}
