package livemem

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/clr/clrtest"
	"leaktrack/ingest/nettrace"
)

func count(s *heap.Snapshot, name string) int64 {
	ty, _ := s.Type(name)
	return ty.Count
}

// status returns a figure in kB of /proc/PID/status.
func status(t testing.TB, pid int, name string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// TestLiveTruth reads growing programs and compares with the numbers that
// they print before and after.
func TestLiveTruth(t *testing.T) {
	bed := clrtest.OpenBed(t)
	for _, tt := range []struct {
		name, zoo, args string
		env             []string
	}{
		{"9.0.5", "zoo9", "orders 200", nil},
		{"9.0.5 server", "zoo9", "orders 200", []string{"DOTNET_gcServer=1", "DOTNET_GCHeapCount=2", "DOTNET_GCNoAffinitize=1"}},
		{"9.0.5 segments", "zoo9", "orders 200", []string{"DOTNET_GCName=libclrgc.so"}},
		{"3.1.2", "zoo31", "orders 200", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := bed.Start(t, tt.zoo, tt.args, tt.env...)
			z.Ready(t)
			time.Sleep(2 * time.Second)
			for range 3 {
				from := time.Now()
				s, st, err := Read(context.Background(), z.PID, Options{Workers: 2})
				if err != nil {
					t.Fatal(err)
				}
				to := time.Now()
				if !st.Trust.Exact() || st.Trust.Unnamed != 0 {
					t.Errorf("not exact: %s\n%s", st.Trust.String(), strings.Join(st.Trust.Details(), "\n"))
				}
				if err := s.Valid(); err != nil {
					t.Error(err)
				}
				if s.Process.Program != "LeakZoo" || s.Process.PID != z.PID || s.Process.StartNanos == 0 || s.Source != heap.SourceLiveMemory || s.Basis != heap.All {
					t.Errorf("%+v %s %s", s.Process, s.Source, s.Basis)
				}
				low, high := z.Between(t, from, to)
				for name := range low.Live {
					if n := count(s, name); n < low.Live[name] || n > high.Live[name]+60 {
						t.Errorf("%s: %d, truth %d to %d", name, n, low.Live[name], high.Live[name])
					}
				}
				if up := s.Uptime.Milliseconds(); up < low.UptimeMS-1100 || up > high.UptimeMS+100 {
					t.Errorf("uptime %d ms, truth %d to %d", up, low.UptimeMS, high.UptimeMS)
				}
				t.Logf("pause %v, %d threads, %d attempts; %s", st.Pause, st.Threads, st.Attempts, st.Trust.String())
			}
		})
	}
}

// TestLiveAgainstHeapWalk reads what is alive after the runtime's own heap
// walk: the counts are equal.
func TestLiveAgainstHeapWalk(t *testing.T) {
	bed := clrtest.OpenBed(t)
	z := bed.Start(t, "zoo9", "bigheap 50000 100")
	z.Ready(t)
	time.Sleep(time.Second)
	var walk *heap.Snapshot
	for s, err := range nettrace.Read(bytes.NewReader(z.HeapWalk(t, 2*time.Second)), "walk") {
		if err != nil {
			t.Fatal(err)
		}
		walk = s
	}
	before := status(t, z.PID, "RssAnon")
	var s *heap.Snapshot
	for range 20 {
		var err error
		if s, _, err = Read(context.Background(), z.PID, Options{Workers: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if grown := status(t, z.PID, "RssAnon") - before; grown > 4<<10 {
		t.Errorf("the process grew by %d kB", grown)
	}
	same := 0
	for _, w := range walk.Types {
		n := count(s, w.Name)
		if n == w.Count {
			same++
		}
		if n < w.Count || strings.HasPrefix(w.Name, "LeakZoo.") && n != w.Count {
			t.Errorf("%s: %d, walk %d", w.Name, n, w.Count)
		}
	}
	t.Logf("%d of %d types equal", same, len(walk.Types))
	if count(s, "LeakZoo.Node") != 50000 || same*100 < len(walk.Types)*85 {
		t.Errorf("%d nodes, %d of %d types equal", count(s, "LeakZoo.Node"), same, len(walk.Types))
	}
}

// TestLiveServer reads a real server on .NET 10 again and again, with either
// kind of GC.
func TestLiveServer(t *testing.T) {
	bed := clrtest.OpenBed(t)
	one, four := bed.StartServer(t), bed.StartServer(t, "DOTNET_gcServer=1", "DOTNET_GCHeapCount=4", "DOTNET_GCNoAffinitize=1")
	time.Sleep(8 * time.Second)
	for i := range 6 {
		z := []*clrtest.Zoo{one, four}[i%2]
		s, st, err := Read(context.Background(), z.PID, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if want := heap.TristateOf(z == four); s.Heap.Server != want || want == heap.Yes && st.Trust.Heaps < 2 {
			t.Errorf("server GC %v with %d heaps", s.Heap.Server, st.Trust.Heaps)
		}
		if !st.Trust.Exact() || st.Trust.Unnamed != 0 || len(s.Types) < 2000 || s.Runtime.Version != "10.0.9" {
			t.Errorf("%s\n%s", st.Trust.String(), strings.Join(st.Trust.Details(), "\n"))
		}
	}
}

// TestLiveUnderChurn reads a program while it allocates as fast as it can be
// made to, and one that is stopped.
func TestLiveUnderChurn(t *testing.T) {
	bed := clrtest.OpenBed(t)
	z := bed.Start(t, "zoo9", "unlinked 100000 200", "DOTNET_GCgen0size=100000")
	z.Ready(t)
	exact, moving := 0, 0
	for range 60 {
		s, st, err := Read(context.Background(), z.PID, Options{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if st.Trust.Exact() {
			exact++
		}
		if st.Trust.Invalid {
			moving++
		}
		if !st.Trust.Exact() && !st.Trust.Invalid {
			t.Errorf("%s\n%s", st.Trust.String(), strings.Join(st.Trust.Details(), "\n"))
		}
		if count(s, "LeakZoo.Node") == 0 {
			t.Error("no nodes")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%d of 60 exact, %d during a collection", exact, moving)
	if exact < 45 {
		t.Errorf("only %d of 60 exact", exact)
	}
	syscall.Kill(z.PID, syscall.SIGSTOP)
	time.Sleep(50 * time.Millisecond)
	if _, _, err := Read(context.Background(), z.PID, Options{}); err != nil {
		t.Errorf("a stopped process: %v", err)
	}
	// A thread that was let go runs for a moment until it is stopped again.
	s := states(t, z.PID)
	for range 20 {
		if strings.Trim(s, "T") == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
		s = states(t, z.PID)
	}
	t.Errorf("thread states %q, want only T: stopped as before", s)
}

// BenchmarkLive holds a process with 1 million objects, 114 MB.
// pause-ms is how long it was held, cpu-ms what both processors worked for it,
// which other load on the machine does not change.
func BenchmarkLive(b *testing.B) {
	bed := clrtest.OpenBed(b)
	z := bed.Start(b, "zoo9", "bigheap 500000 172")
	z.Ready(b)
	time.Sleep(3 * time.Second)
	before := status(b, z.PID, "RssAnon")
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			var pause time.Duration
			before := cpuTime()
			for b.Loop() {
				_, st, err := Read(context.Background(), z.PID, Options{Workers: workers})
				if err != nil {
					b.Fatal(err)
				}
				pause += st.Pause
			}
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(pause.Microseconds())/1000/float64(b.N), "pause-ms")
		})
	}
	b.Logf("the process grew by %d kB", status(b, z.PID, "RssAnon")-before)
}

// cpuTime is what this program used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
