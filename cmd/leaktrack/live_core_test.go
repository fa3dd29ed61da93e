//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// call runs the command within the test and returns all it says.
func call(t *testing.T, args ...string) (status int, said string) {
	t.Helper()
	var out bytes.Buffer
	status = run(t.Context(), append([]string{"leaktrack"}, args...), nil, &out, &out)
	return status, out.String()
}

// TestLiveCore has the runtime write a core and reads it: the numbers of the
// memory of the process, an uptime that is told with its origin, one series.
func TestLiveCore(t *testing.T) {
	t.Parallel()
	pid := strconv.Itoa(zoo(t, "zoo9", "bigheap", "20000", "16"))
	time.Sleep(time.Second) // it makes them all at once
	dir := t.TempDir()
	db := filepath.Join(dir, "x.db")
	for _, kind := range []string{"full", "heap"} {
		core := filepath.Join(dir, kind+".core")
		status, said := call(t, "core", "--type", kind, "-o", core, pid)
		if status != 0 || !strings.Contains(said, "the core holds all its secrets") || !strings.Contains(said, core) {
			t.Fatalf("core: status %d\n%s", status, said)
		}
		if status, said := call(t, "core", "-o", core, pid); status != 2 || !strings.Contains(said, "--force writes over it") {
			t.Errorf("a core that exists: status %d\n%s", status, said)
		}
		status, said = call(t, "--db", db, "ingest", core)
		if status != 0 || !strings.Contains(said, "LeakZoo/"+pid+" at 0:00:") ||
			!strings.Contains(said, "bytes accounted for; uptime ") || !strings.Contains(said, "from the core's file time and this machine's boot time") {
			t.Errorf("ingest of a %s core: status %d\n%s", kind, status, said)
		}
	}
	if status, said := call(t, "--db", db, "ingest", "--method", "memory", "--pid", pid); status != 0 || !strings.Contains(said, "paused it for ") || !strings.Contains(said, "bytes accounted for") {
		t.Errorf("memory: status %d\n%s", status, said)
	}
	if status, said := call(t, "--db", db, "show", "--top", "100", pid); status != 0 || !strings.Contains(said, " 20,000  ") || !strings.Contains(said, "LeakZoo.Node") {
		t.Errorf("show: status %d\n%s", status, said)
	}
	if status, said := call(t, "--db", db, "list"); status != 0 || strings.Count(said, "LeakZoo/"+pid) != 1 {
		t.Errorf("cores and memory are not one process: status %d\n%s", status, said)
	}
	status, said := call(t, "core", "-o", "/proc/no/such.core", pid)
	if status != 2 || !strings.Contains(said, "the runtime did not write the core") || !strings.Contains(said, "allowed to write to the folder") {
		t.Errorf("a folder that cannot be written to: status %d\n%s", status, said)
	}
}

// TestLiveTimeout: --timeout ends either method, and the process goes on.
func TestLiveTimeout(t *testing.T) {
	t.Parallel()
	pid := zoo(t, "zoo9", "bigheap", "1000000", "16")
	time.Sleep(3 * time.Second)
	db := filepath.Join(t.TempDir(), "x.db")
	for _, verb := range [][]string{
		{"ingest", "--method", "memory", "--timeout", "1ms", "--pid", strconv.Itoa(pid)},
		{"watch", "--method", "memory", "--timeout", "1ms", "--count", "1", "--sample", "-1s", strconv.Itoa(pid)},
	} {
		if status, said := call(t, append([]string{"--db", db}, verb...)...); status != 2 || !strings.Contains(said, "gave up after 1 ms (--timeout)") {
			t.Errorf("%s: status %d\n%s", verb[0], status, said)
		}
		free(t, pid)
	}
	if status, said := call(t, "--db", db, "ingest", "--method", "memory", "--pid", strconv.Itoa(pid)); status != 0 {
		t.Errorf("without the limit: status %d\n%s", status, said)
	}
	if status, said := call(t, "ingest", "--timeout", "0s", "--pid", strconv.Itoa(pid)); status != 2 || !strings.Contains(said, "--timeout") {
		t.Errorf("no time at all: status %d\n%s", status, said)
	}
}

// free fails while any thread of a process is held by a debugger.
func free(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		held := 0
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(files) == 0 {
			t.Fatalf("process %d is gone: %v", pid, err)
		}
		for _, f := range files {
			b, _ := os.ReadFile(f)
			if strings.Contains(string(b), "\nState:\tt") || strings.Contains(string(b), "\nState:\tT") || !strings.Contains(string(b), "\nTracerPid:\t0\n") {
				held++
			}
		}
		if held == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d threads are held", held, len(files))
		}
	}
}

// TestLiveKilled kills leaktrack with -9 at many moments of a read by either
// method. The process is not held afterwards, and can be read again, which it
// could not if its 64 sessions were left open.
func TestLiveKilled(t *testing.T) {
	t.Parallel()
	pid := zoo(t, "zoo9", "bigheap", "300000", "16")
	time.Sleep(time.Second)
	db := filepath.Join(t.TempDir(), "x.db")
	for _, method := range []string{"memory", "eventpipe"} {
		for i := range 70 {
			// testscript starts the command under the name that it was given.
			cmd := &exec.Cmd{Path: os.Args[0], Args: []string{"leaktrack", "--db", db, "ingest", "--quiet", "--yes", "--method", method, "--pid", strconv.Itoa(pid)},
				Env: append(os.Environ(), "LEAKTRACK_DOTNET=")}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(20+5*i%200) * time.Millisecond)
			cmd.Process.Kill()
			cmd.Wait()
			if i%10 == 9 {
				free(t, pid)
			}
		}
		time.Sleep(3 * time.Second)
		if status, said := call(t, "--db", db, "ingest", "--yes", "--method", method, "--pid", strconv.Itoa(pid)); status != 0 || !strings.Contains(said, "complete") {
			t.Errorf("%s, after 70 readers were killed: status %d\n%s", method, status, said)
		}
	}
}
