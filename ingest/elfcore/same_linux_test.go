package elfcore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/clr/clrtest"
	"leaktrack/ingest/live"
	"leaktrack/ingest/livemem"
)

// TestLiveSameEverywhere reads one moment of a process by every way there is:
// the runtime's own heap walk, after which the process is stopped, its memory,
// and cores by createdump (through the socket only while the process runs),
// gcore and the kernel. The walk collects first, so all it counts is alive; what
// memory and cores hold beyond it was allocated since and lies in generation 0.
// So every type of the walk must be there by the same name, with no object less,
// and all that there is more of must fit into generation 0.
func TestLiveSameEverywhere(t *testing.T) {
	bed := clrtest.OpenBed(t)
	dumps := []producer{createdump("--full"), createdump("--withheap"), gcore, kernel}
	names := []string{"createdump full", "createdump heap", "gcore", "kernel"}
	zoo := func(folder, args string, env ...string) func(t *testing.T) *clrtest.Zoo {
		return func(t *testing.T) *clrtest.Zoo {
			z := bed.Start(t, folder, args, env...)
			z.Ready(t)
			time.Sleep(2 * time.Second)
			return z
		}
	}
	server := func(env ...string) func(t *testing.T) *clrtest.Zoo {
		return func(t *testing.T) *clrtest.Zoo {
			z := bed.StartServer(t, env...)
			time.Sleep(8 * time.Second)
			return z
		}
	}
	serverGC := []string{"DOTNET_gcServer=1", "DOTNET_GCHeapCount=2", "DOTNET_GCNoAffinitize=1"}
	tests := []struct {
		name  string
		start func(t *testing.T) *clrtest.Zoo
		from  int // of the producers; those of 9.0.5 read 9.0.5 only
	}{
		{"generic", zoo("zoo9", "generic 5"), 0},
		{"orders", zoo("zoo9", "orders 5"), 0},
		{"bigheap", zoo("zoo9", "bigheap 200000 40"), 0},
		{"timer", zoo("zoo9", "timer 5"), 0},
		{"linked", zoo("zoo9", "linked 5"), 0},
		{"event", zoo("zoo9", "event 5"), 0},
		{"orders with server GC", zoo("zoo9", "orders 5", serverGC...), 0},
		{"generic with segments", zoo("zoo9", "generic 5", "DOTNET_GCName=libclrgc.so"), 0},
		{"generic on 3.1", zoo("zoo31", "generic 5"), 2},
		{"10, single file", server(), 2},
		{"10, single file with server GC", server(serverGC...), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			z := tt.start(t)
			target, err := live.Open(t.Context(), z.PID)
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			// The first walk learns the names; asking for them allocates.
			if _, _, err := target.Snapshot(t.Context(), live.Options{}); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(tt.name, "10") { // its createdump is inside, and answers while it runs
				stoppedAlike(t, z, target) // until it has started up
				syscall.Kill(z.PID, syscall.SIGCONT)
				walk, _, err := target.Snapshot(t.Context(), live.Options{})
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "core")
				if err := target.Dump(t.Context(), file, live.DumpFull); err != nil {
					t.Fatal(err)
				}
				s, _ := readFile(t, file, Options{Workers: 2})
				os.Remove(file)
				checkSame(t, "its own createdump", walk, s)
			}
			walk, memory := stoppedAlike(t, z, target)
			checkSame(t, "memory", walk, memory)
			for i, produce := range dumps[tt.from:] {
				label := names[tt.from+i]
				file, _, _ := produce(t, bed, z)
				s, trust := readFile(t, file, Options{Workers: 2})
				os.Remove(file)
				if !trust.Exact() || trust.Unnamed != 0 {
					t.Errorf("%s: not exact: %s\n%s", label, trust.String(), strings.Join(trust.Details(), "\n"))
				}
				checkSame(t, label, walk, s)
			}
		})
	}
}

// stoppedAlike walks the heap and stops the process at once, again and again
// until it made next to nothing between, and nothing of its own; what it leaks
// comes every 200 ms.
func stoppedAlike(t *testing.T, z *clrtest.Zoo, target *live.Target) (walk, memory *heap.Snapshot) {
	t.Helper()
	var why string
	for range 20 {
		before := z.Last().Live
		s, st, err := target.Snapshot(t.Context(), live.Options{})
		syscall.Kill(z.PID, syscall.SIGSTOP)
		if err != nil || !s.Complete || st.Short != 0 {
			t.Fatalf("walk: %v, %+v, %v", err, st, s)
		}
		m, _, err := livemem.Read(context.Background(), z.PID, livemem.Options{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		why = ""
		same := 0
		for _, w := range s.Types {
			got, _ := m.Type(w.Name)
			switch n := got.Count; {
			case n == w.Count && (got.Bytes < w.Bytes || got.Bytes > w.Bytes+7*w.Count):
				// A collection since has taken one, and another is new.
				why = fmt.Sprintf("%s: %d bytes, in memory %d", w.Name, w.Bytes, got.Bytes)
			case n == w.Count:
				same++
			case strings.HasPrefix(w.Name, "LeakZoo."):
				why = fmt.Sprintf("%s: %d, in memory %d", w.Name, w.Count, n)
			case n < w.Count:
				why = fmt.Sprintf("%s: %d, in memory %d: another collection came between, or it is not read", w.Name, w.Count, n)
			}
		}
		if !mostly(same, len(s.Types)) {
			why = fmt.Sprintf("%d of %d types are equal in memory", same, len(s.Types))
		}
		for name, n := range before {
			if got := count(s, name); name != "holders" && (got < n || got > n+50) {
				t.Errorf("%s: the walk counts %d, the program printed %d before", name, got, n)
			}
		}
		if why == "" {
			return s, m
		}
		syscall.Kill(z.PID, syscall.SIGCONT)
		time.Sleep(350 * time.Millisecond)
	}
	t.Fatalf("the process never stood still between a walk and its stop: %s", why)
	return nil, nil
}

// mostly allows for the types of which an idle server makes objects all the time.
func mostly(same, all int) bool { return 100*same >= 95*all }

// checkSame compares a walk with what was read of the stopped process.
func checkSame(t *testing.T, label string, walk, s *heap.Snapshot) {
	t.Helper()
	same, more := 0, int64(0)
	for _, w := range walk.Types {
		ty, ok := s.Type(w.Name)
		switch {
		case !ok:
			t.Errorf("%s: %s is missing, the walk has %d", label, w.Name, w.Count)
		case ty.Count < w.Count || ty.Count == w.Count && (ty.Bytes < w.Bytes || ty.Bytes > w.Bytes+7*w.Count):
			t.Errorf("%s: %s: %d objects, %d bytes, the walk has %d, %d", label, w.Name, ty.Count, ty.Bytes, w.Count, w.Bytes)
		case ty.Count == w.Count: // the walk does not round sizes up
			same++
		}
	}
	// The sizes of a walk are not rounded up, so objects that it has too count
	// with the size that they have here.
	var dead int64
	for _, ty := range s.Types {
		w, _ := walk.Type(ty.Name)
		if extra := ty.Count - w.Count; extra > 0 {
			more += extra
			dead += ty.Bytes - w.Bytes - 7*w.Count
		}
	}
	gen0 := s.Heap.Generations[0]
	t.Logf("%s: %d of %d types equal, %d objects more, at least %d bytes, generation 0 has %d", label, same, len(walk.Types), more, max(dead, 0), gen0)
	if dead > gen0 {
		t.Errorf("%s: %d bytes more than the walk has, but generation 0 has %d only", label, dead, gen0)
	}
	if !mostly(same, len(walk.Types)) {
		t.Errorf("%s: only %d of %d types are equal", label, same, len(walk.Types))
	}
	for _, w := range walk.Types {
		if n := count(s, w.Name); strings.HasPrefix(w.Name, "LeakZoo.") && n != w.Count {
			t.Errorf("%s: %s: %d, the walk has %d", label, w.Name, n, w.Count)
		}
	}
}
