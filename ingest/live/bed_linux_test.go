package live

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leaktrack/ingest/nettrace"
)

// The live tests run against real runtimes, which .ci/testbed lays into the
// folder that LEAKTRACK_DOTNET names.

func bed(t testing.TB) string {
	dir := os.Getenv("LEAKTRACK_DOTNET")
	if dir == "" {
		t.Skip("LEAKTRACK_DOTNET names no test bed; .ci/testbed DIR lays one")
	}
	return dir
}

// zoo is a running LeakZoo.
type zoo struct {
	cmd *exec.Cmd
	pid int
	mu  sync.Mutex
	// truth is what it printed last; lines counts what it printed.
	truth map[string]int64
	lines int
}

// startZoo starts LeakZoo on the runtime of the folder ("zoo9", "zoo31") and
// waits for its first line.
func startZoo(t testing.TB, folder string, env []string, args ...string) *zoo {
	t.Helper()
	dir := bed(t)
	z := &zoo{cmd: exec.Command(filepath.Join(dir, "dotnet"), append([]string{filepath.Join(dir, folder, "LeakZoo.dll")}, args...)...)}
	z.cmd.Env = append(os.Environ(), env...)
	out, err := z.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := z.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	z.pid = z.cmd.Process.Pid
	done := make(chan struct{})
	t.Cleanup(func() { z.cmd.Process.Kill(); <-done; z.cmd.Wait() })
	first := make(chan struct{})
	go func() {
		defer close(done)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			var line struct {
				Live map[string]int64
			}
			if json.Unmarshal(sc.Bytes(), &line) == nil {
				z.mu.Lock()
				z.truth = line.Live
				if z.lines++; z.lines == 1 {
					close(first)
				}
				z.mu.Unlock()
			}
		}
	}()
	select {
	case <-first:
	case <-done:
		t.Fatal("LeakZoo ended at once")
	case <-time.After(20 * time.Second):
		t.Fatal("LeakZoo does not start")
	}
	return z
}

// next waits for the next line and returns the truth in it.
func (z *zoo) next(t testing.TB, name string) int64 {
	t.Helper()
	z.mu.Lock()
	n := z.lines
	z.mu.Unlock()
	for range 500 {
		time.Sleep(10 * time.Millisecond)
		z.mu.Lock()
		lines, v := z.lines, z.truth[name]
		z.mu.Unlock()
		if lines > n {
			return v
		}
	}
	t.Fatal("LeakZoo has stopped printing")
	return 0
}

func openZoo(t testing.TB, z *zoo) *Target {
	t.Helper()
	target, err := Open(context.Background(), z.pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

// server starts the .NET 10 program and waits until it listens.
func startServer(t testing.TB) int {
	t.Helper()
	cmd := exec.Command(filepath.Join(bed(t), "net10", "azmcp"), "server", "start")
	cmd.Env = append(os.Environ(), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1")
	in, err := cmd.StdinPipe() // it ends when this closes
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	var last error
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		target, err := Open(context.Background(), cmd.Process.Pid)
		if last = err; err == nil {
			target.Close()
			time.Sleep(2 * time.Second) // it still starts up
			return cmd.Process.Pid
		}
	}
	t.Fatal(last)
	return 0
}

// shortNames returns the names with neither namespace nor enclosing type. (The
// runtime's own Interop classes are in no namespace, but enclose others.)
func shortNames(types []string) (short []string) {
	for _, n := range types {
		if !strings.ContainsAny(strings.SplitN(n, "<", 2)[0], ".+") {
			short = append(short, n)
		}
	}
	return short
}

// TestAnotherToolHoldsTheTypes: while somebody else's session keeps the type
// keyword on, the runtime announces each type only once. A Target that saw
// them goes on knowing them; a new one says that it does not.
func TestAnotherToolHoldsTheTypes(t *testing.T) {
	z := startZoo(t, "zoo9", nil, "linked")
	f, err := inspect(z.pid)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := f.open(context.Background(), []command{cmdCollectTracing2}, collectRequest{bufferMB: 64,
		providers: []provider{{name: nettrace.RuntimeProvider, keywords: 0x1080000, level: levelInfo}}}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close(5 * time.Second)
	time.Sleep(3 * time.Second) // until no type is made that only the other session hears of
	target := openZoo(t, z)
	for i := range 2 {
		s, _, err := target.Snapshot(context.Background(), Options{})
		if err != nil || !s.Complete {
			t.Errorf("walk %d: %v, %v", i, s.Warnings, err)
		}
	}
	s, _, err := Read(context.Background(), z.pid, Options{})
	if err != nil || s.Complete || len(s.Warnings) < 2 {
		t.Errorf("a new reader: complete %v, %v, %v", s.Complete, s.Warnings, err)
	}
}
