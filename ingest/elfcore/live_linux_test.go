package elfcore

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/clr/clrtest"
)

// Producers of cores. Each returns the file and between which moments the
// process was copied.
type producer func(t testing.TB, bed clrtest.Bed, z *clrtest.Zoo) (file string, from, to time.Time)

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func createdump(kind string) producer {
	return func(t testing.TB, bed clrtest.Bed, z *clrtest.Zoo) (string, time.Time, time.Time) {
		file := filepath.Join(t.TempDir(), "core")
		from := time.Now()
		run(t, filepath.Join(string(bed), "shared/Microsoft.NETCore.App/9.0.5/createdump"), kind, "-f", file, fmt.Sprint(z.PID))
		return file, from, time.Now()
	}
}

func gcore(t testing.TB, _ clrtest.Bed, z *clrtest.Zoo) (string, time.Time, time.Time) {
	prefix := filepath.Join(t.TempDir(), "core")
	from := time.Now()
	run(t, "gcore", "-o", prefix, fmt.Sprint(z.PID))
	return fmt.Sprintf("%s.%d", prefix, z.PID), from, time.Now()
}

// kernel has the process killed by a signal that .NET does not handle.
func kernel(t testing.TB, _ clrtest.Bed, z *clrtest.Zoo) (string, time.Time, time.Time) {
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || strings.TrimSpace(string(pattern)) != "core" {
		t.Skipf("kernel.core_pattern is %q, the test wants core", pattern)
	}
	unlimited := uint64(math.MaxUint64)
	run(t, "prlimit", fmt.Sprintf("--pid=%d", z.PID), fmt.Sprintf("--core=%d", unlimited>>1))
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/coredump_filter", z.PID), []byte("0x33"), 0); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", z.PID))
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	syscall.Kill(z.PID, syscall.SIGSYS)
	syscall.Kill(z.PID, syscall.SIGCONT) // one that is stopped takes it then
	z.Wait()
	files, _ := filepath.Glob(filepath.Join(dir, "core*"))
	if len(files) != 1 {
		t.Fatalf("%d core files", len(files))
	}
	return files[0], from, time.Now()
}

func readFile(t testing.TB, file string, o Options) (*heap.Snapshot, Trust) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, trust, err := Read(f, fi.Size(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, trust
}

func count(s *heap.Snapshot, name string) int64 {
	ty, _ := s.Type(name)
	return ty.Count
}

// TestLiveTruth compares cores of growing programs with the numbers that they
// print before and after.
func TestLiveTruth(t *testing.T) {
	bed := clrtest.OpenBed(t)
	holders := func(s *heap.Snapshot) int64 {
		return count(s, "LeakZoo.Holder<LeakZoo.Pair>") +
			count(s, "LeakZoo.Holder<System.Collections.Generic.Dictionary<System.String,System.Collections.Generic.List<System.Int32[]>>>")
	}
	tests := []struct {
		name, zoo, args string
		produce         producer
		truth           map[string]func(*heap.Snapshot) int64
		env             []string
		mode            string
	}{
		{"generic, createdump full", "zoo9", "generic 100", createdump("--full"), map[string]func(*heap.Snapshot) int64{"holders": holders}, nil, "workstation GC with regions"},
		{"orders, createdump heap", "zoo9", "orders 100", createdump("--withheap"), nil, nil, "workstation GC with regions"},
		{"timer, gcore", "zoo9", "timer 100", gcore, map[string]func(*heap.Snapshot) int64{
			"System.Threading.Timer": func(s *heap.Snapshot) int64 { return count(s, "System.Threading.Timer") }}, nil, "workstation GC with regions"},
		{"orders, kernel", "zoo9", "orders 100", kernel, nil, nil, "workstation GC with regions"},
		{"loh, server", "zoo9", "loh 20", createdump("--full"), map[string]func(*heap.Snapshot) int64{"loh": nil},
			[]string{"DOTNET_gcServer=1", "DOTNET_GCHeapCount=2", "DOTNET_GCNoAffinitize=1"}, "server GC with regions"},
		{"orders, segments", "zoo9", "orders 100", createdump("--withheap"), nil, []string{"DOTNET_GCName=libclrgc.so"}, "workstation GC with segments"},
		{"generic, server with segments", "zoo9", "generic 100", createdump("--full"), map[string]func(*heap.Snapshot) int64{"holders": holders},
			[]string{"DOTNET_GCName=libclrgc.so", "DOTNET_gcServer=1", "DOTNET_GCHeapCount=2", "DOTNET_GCNoAffinitize=1"}, "server GC with segments"},
		{"generic, dynamic heap count", "zoo9", "generic 100", createdump("--full"), map[string]func(*heap.Snapshot) int64{"holders": holders},
			[]string{"DOTNET_gcServer=1", "DOTNET_GCDynamicAdaptationMode=1"}, "server GC with regions"},
		{"generic, hard limit", "zoo9", "generic 100", createdump("--full"), map[string]func(*heap.Snapshot) int64{"holders": holders},
			[]string{"DOTNET_GCHeapHardLimit=10000000"}, "workstation GC with regions"},
		{"generic, 3.1", "zoo31", "generic 100", gcore, map[string]func(*heap.Snapshot) int64{"holders": holders}, nil, "workstation GC with segments"},
		{"orders, 3.1 server", "zoo31", "orders 100", gcore, nil,
			[]string{"COMPlus_gcServer=1", "COMPlus_GCHeapCount=2", "COMPlus_GCNoAffinitize=1"}, "server GC with segments"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			z := bed.Start(t, tt.zoo, tt.args, tt.env...)
			z.Ready(t)
			time.Sleep(2500 * time.Millisecond)
			file, from, to := tt.produce(t, bed, z)
			s, trust := readFile(t, file, Options{Workers: 2})
			t.Log(trust.String())
			if !trust.Exact() || trust.Unnamed != 0 {
				t.Errorf("not exact: %s\n%s", trust.String(), strings.Join(trust.Details(), "\n"))
			}
			if trust.Mode != tt.mode {
				t.Errorf("mode %q, want %q", trust.Mode, tt.mode)
			}
			if s.Process.Program != "LeakZoo" || s.Process.PID != z.PID || s.Process.StartNanos == 0 {
				t.Errorf("process %+v", s.Process)
			}
			if err := s.Valid(); err != nil {
				t.Error(err)
			}
			low, high := clrtest.Truth{}, clrtest.Truth{}
			if strings.Contains(tt.name, "kernel") { // it prints nothing more
				low, high = z.Between(t, from, from.Add(-1500*time.Millisecond))
				high = clrtest.Truth{UptimeMS: low.UptimeMS + 3000, Live: map[string]int64{}}
				for k, v := range low.Live {
					high.Live[k] = v + 400
				}
			} else {
				low, high = z.Between(t, from, to)
			}
			for name := range low.Live {
				got := func() int64 { return count(s, name) }
				if f, ok := tt.truth[name]; ok {
					if f == nil {
						continue
					}
					got = func() int64 { return f(s) }
				}
				// Objects are made before the number is raised: at most one
				// step of 50 ms is ahead of it.
				if n := got(); n < low.Live[name] || n > high.Live[name]+30 {
					t.Errorf("%s: %d, truth %d to %d", name, n, low.Live[name], high.Live[name])
				}
			}
			if up := s.Uptime.Milliseconds(); up < low.UptimeMS-1100 || up > high.UptimeMS+1100 {
				t.Errorf("uptime %d ms, truth %d to %d", up, low.UptimeMS, high.UptimeMS)
			}
		})
	}
}

// TestLiveMini has a dump without heap refused, by its name.
func TestLiveMini(t *testing.T) {
	bed := clrtest.OpenBed(t)
	z := bed.Start(t, "zoo9", "orders 100")
	z.Ready(t)
	file, _, _ := createdump("--normal")(t, bed, z)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Read(bytes.NewReader(b), int64(len(b)), "mini", Options{})
	if err == nil || !strings.Contains(err.Error(), ErrNoHeap.Error()) {
		t.Errorf("a mini dump: %v", err)
	}
}
