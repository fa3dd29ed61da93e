package clrtest

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
)

// Bed is a folder with real .NET runtimes, as the project's test bed script
// lays it: dotnet, zoo9 and zoo31 with the leak program, net10/azmcp.
type Bed string

// OpenBed returns the test bed that LEAKTRACK_DOTNET names; without it the
// test is skipped.
func OpenBed(t testing.TB) Bed {
	dir := os.Getenv("LEAKTRACK_DOTNET")
	if dir == "" {
		t.Skip("LEAKTRACK_DOTNET names no test bed")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dotnet")); err != nil {
		t.Fatal(err)
	}
	return Bed(dir)
}

// Zoo is a running leak program.
type Zoo struct {
	PID int
	cmd *exec.Cmd
	dir string // of its temporary files

	mu    sync.Mutex
	lines []Truth
	ready chan struct{}
}

// Truth is a line the program prints once per second.
type Truth struct {
	Mode     string           `json:"mode"`
	UptimeMS int64            `json:"uptime_ms"`
	Live     map[string]int64 `json:"live"`
	at       time.Time
}

// Start runs the leak program: zoo is zoo9 or zoo31, args its mode, rate and
// size. The environment is extended by env.
func (b Bed) Start(t testing.TB, zoo, args string, env ...string) *Zoo {
	t.Helper()
	all := append([]string{filepath.Join(string(b), zoo, "LeakZoo.dll")}, strings.Fields(args)...)
	return b.start(t, filepath.Join(string(b), "dotnet"), all, env)
}

// StartServer runs the .NET 10 server.
func (b Bed) StartServer(t testing.TB, env ...string) *Zoo {
	t.Helper()
	return b.start(t, filepath.Join(string(b), "net10", "azmcp"), []string{"server", "start"}, env)
}

func (b Bed) start(t testing.TB, program string, args, env []string) *Zoo {
	t.Helper()
	z := &Zoo{dir: t.TempDir(), ready: make(chan struct{})}
	z.cmd = exec.Command(program, args...)
	z.cmd.Dir = z.dir
	z.cmd.Env = append(os.Environ(), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1", "DOTNET_ROOT=", "TMPDIR="+z.dir)
	z.cmd.Env = append(z.cmd.Env, env...)
	in, err := z.cmd.StdinPipe() // kept open: the server ends with it
	if err != nil {
		t.Fatal(err)
	}
	out, err := z.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := z.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	z.PID = z.cmd.Process.Pid
	go func() {
		first := true
		for s := bufio.NewScanner(out); s.Scan(); {
			var l Truth
			if json.Unmarshal(s.Bytes(), &l) != nil || len(l.Live) == 0 {
				continue
			}
			l.at = time.Now()
			z.mu.Lock()
			z.lines = append(z.lines, l)
			z.mu.Unlock()
			if first {
				close(z.ready)
				first = false
			}
		}
	}()
	t.Cleanup(func() { in.Close(); z.cmd.Process.Kill(); z.cmd.Wait() })
	return z
}

// Ready waits until the program told its first truth.
func (z *Zoo) Ready(t testing.TB) {
	t.Helper()
	select {
	case <-z.ready:
	case <-time.After(60 * time.Second):
		t.Fatal("the leak program says nothing")
	}
}

// Kill ends the program.
func (z *Zoo) Kill() { z.cmd.Process.Kill(); z.cmd.Wait() }

// Wait waits for the program's end, after a signal.
func (z *Zoo) Wait() { z.cmd.Wait() }

// Between returns the last truth printed before from and the first one after
// to; it waits for that one.
func (z *Zoo) Between(t testing.TB, from, to time.Time) (low, high Truth) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		z.mu.Lock()
		for _, l := range z.lines {
			if l.at.Before(from) {
				low = l
			}
			if l.at.After(to) && high.Live == nil {
				high = l
			}
		}
		z.mu.Unlock()
		if high.Live != nil && low.Live != nil {
			return low, high
		}
	}
	t.Fatal("no truth around the reading")
	return
}

// Last returns what the program printed last; the zero value before its first
// line.
func (z *Zoo) Last() Truth {
	z.mu.Lock()
	defer z.mu.Unlock()
	if len(z.lines) == 0 {
		return Truth{}
	}
	return z.lines[len(z.lines)-1]
}

// HeapWalk has the runtime walk its heap after a full collection and returns
// the event stream.
func (z *Zoo) HeapWalk(t testing.TB, settle time.Duration) []byte {
	t.Helper()
	session := func(id byte, payload []byte) net.Conn {
		names, _ := filepath.Glob(filepath.Join(z.dir, fmt.Sprintf("dotnet-diagnostic-%d-*-socket", z.PID)))
		if len(names) != 1 {
			t.Fatalf("%d diagnostics sockets", len(names))
		}
		c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", names[0])
		if err != nil {
			t.Fatal(err)
		}
		m := append([]byte("DOTNET_IPC_V1\x00"), byte(20+len(payload)), byte((20+len(payload))>>8), 2, id, 0, 0)
		if _, err := c.Write(append(m, payload...)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	le := binary.LittleEndian
	name := utf16.Encode([]rune("Microsoft-Windows-DotNETRuntime\x00"))
	p := le.AppendUint32(nil, 256) // buffer in MB
	p = le.AppendUint32(p, 1)      // format: nettrace
	p = append(p, 1)               // rundown: it names the modules
	p = le.AppendUint32(p, 1)
	p = le.AppendUint64(p, 0x1980001)
	p = le.AppendUint32(p, 5)
	p = le.AppendUint32(p, uint32(len(name)))
	for _, u := range name {
		p = le.AppendUint16(p, u)
	}
	p = le.AppendUint32(p, 0)
	c := session(3, p)
	defer c.Close()
	var head [28]byte
	if _, err := io.ReadFull(c, head[:]); err != nil || head[16] != 0xff || head[17] != 0 {
		t.Fatalf("collecting: %v, answer % x", err, head)
	}
	var stream []byte
	done := make(chan error, 1)
	go func() {
		var err error
		stream, err = io.ReadAll(c)
		done <- err
	}()
	time.Sleep(settle)
	stop := session(1, head[20:28])
	io.Copy(io.Discard, stop)
	stop.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("the event stream does not end")
	}
	return stream
}

// Dir is the program's folder for temporary files, where its sockets are.
func (z *Zoo) Dir() string { return z.dir }
