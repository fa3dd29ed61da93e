package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"
)

// The program dotnet-fake answers where a .NET runtime would, with a heap walk
// that was recorded (ingest/nettrace/testdata), so that watch can be tried as a
// whole without a runtime. It ends with its standard input, or with FAKE_DIES set
// in the middle of a walk.
func init() { programs["dotnet-fake"] = fakeRuntime }

func fakeRuntime() {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		panic(err)
	}
	ticks := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[19]
	l, err := net.Listen("unix", filepath.Join(os.Getenv("TMPDIR"), fmt.Sprintf("dotnet-diagnostic-%d-%s-socket", os.Getpid(), ticks)))
	if err != nil {
		panic(err)
	}
	r := &recorded{sessions: map[uint64]chan struct{}{}}
	if r.stream, err = readRecorded(os.Getenv("FAKE_TRACE")); err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.answer(c)
		}
	}()
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func readRecorded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// recorded is a runtime whose every heap walk is the same.
type recorded struct {
	stream   []byte
	mu       sync.Mutex
	sessions map[uint64]chan struct{}
	last     uint64
}

// headBytes is the part of the stream before its first event.
const headBytes = 102

func (r *recorded) answer(c net.Conn) {
	defer c.Close()
	reply := func(kind byte, payload []byte) {
		b := binary.LittleEndian.AppendUint16([]byte("DOTNET_IPC_V1\x00"), uint16(20+len(payload)))
		_, _ = c.Write(append(append(b, 0xff, kind, 0, 0), payload...))
	}
	head := make([]byte, 20)
	if _, err := io.ReadFull(c, head); err != nil {
		return
	}
	payload := make([]byte, int(binary.LittleEndian.Uint16(head[14:]))-len(head))
	if _, err := io.ReadFull(c, payload); err != nil {
		return
	}
	switch [2]byte{head[16], head[17]} {
	case [2]byte{4, 8}: // who it is
		b := binary.LittleEndian.AppendUint64([]byte{1, 0, 0, 0}, uint64(os.Getpid()))
		b = append(b, make([]byte, 16)...)
		for _, s := range []string{"/app/fake run", "Linux", "x64", "Fake", "9.0.5", "linux-x64"} {
			u := append(utf16.Encode([]rune(s)), 0)
			b = binary.LittleEndian.AppendUint32(b, uint32(len(u)))
			for _, x := range u {
				b = binary.LittleEndian.AppendUint16(b, x)
			}
		}
		reply(0, b)
	case [2]byte{2, 3}, [2]byte{2, 5}: // a session
		r.mu.Lock()
		r.last++
		id, stopped := r.last, make(chan struct{})
		r.sessions[id] = stopped
		r.mu.Unlock()
		reply(0, binary.LittleEndian.AppendUint64(nil, id))
		const heapWalk = 0x1980001
		end := len(r.stream) - 1
		if !bytes.Contains(payload, binary.LittleEndian.AppendUint64(nil, heapWalk)) {
			end = headBytes
		}
		if os.Getenv("FAKE_DIES") != "" && end > headBytes {
			_, _ = c.Write(r.stream[:end-3000])
			os.Exit(3)
		}
		_, _ = c.Write(r.stream[:end])
		<-stopped
		_, _ = c.Write(r.stream[len(r.stream)-1:])
	case [2]byte{2, 1}: // the end of one
		r.mu.Lock()
		id := binary.LittleEndian.Uint64(payload)
		if stopped := r.sessions[id]; stopped != nil {
			close(stopped)
			delete(r.sessions, id)
		}
		r.mu.Unlock()
		reply(0, payload)
	default:
		reply(0xff, binary.LittleEndian.AppendUint32(nil, 0x80131385))
	}
}

// startFakeRuntime returns the pid of a runtime to be watched.
func startFakeRuntime(t *testing.T, env ...string) int {
	t.Helper()
	tmp, err := os.MkdirTemp("/tmp", "lt") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	trace, err := filepath.Abs("../../ingest/nettrace/testdata/linked-zoo9.nettrace.gz")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dotnet-fake")
	cmd.Env = append(append(os.Environ(), "TMPDIR="+tmp, "FAKE_TRACE="+trace), env...)
	cmd.Stderr = os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if errIn != nil || errOut != nil {
		t.Fatal(errIn, errOut)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait(); os.RemoveAll(tmp) })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal("the fake runtime does not start:", err)
	}
	return cmd.Process.Pid
}

// running is a command whose output can be waited for.
type running struct {
	*exec.Cmd
	mu       sync.Mutex
	out, err bytes.Buffer
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func startLeaktrack(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{Cmd: exec.Command("leaktrack", args...)}
	r.Stdout, r.Stderr = lockedWriter{&r.mu, &r.out}, lockedWriter{&r.mu, &r.err}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.ProcessState == nil {
			r.Process.Kill()
			r.Wait()
		}
	})
	return r
}

func (r *running) texts() (out, err string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String(), r.err.String()
}

// until waits until f is satisfied with what was printed.
func (r *running) until(t *testing.T, what string, f func(out, err string) bool) {
	t.Helper()
	for range 600 {
		if f(r.texts()) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	out, err := r.texts()
	t.Fatalf("no %s within 30 s\n%s\n%s", what, out, err)
}

// TestWatchEndsOnASignal: Ctrl-C and SIGTERM alike end a watch with its trend and
// status 0, and everything it showed is stored.
func TestWatchEndsOnASignal(t *testing.T) {
	for name, signal := range map[string]os.Signal{"Ctrl-C": os.Interrupt, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pid := startFakeRuntime(t)
			db := filepath.Join(t.TempDir(), "s.db")
			w := startLeaktrack(t, "--db", db, "watch", "--every", "1s", "--sample", "-1s", strconv.Itoa(pid))
			walks := func(out string) int { return strings.Count(out, "complete, took") }
			w.until(t, "second walk", func(out, _ string) bool { return walks(out) >= 2 })
			if err := w.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			err := w.Wait()
			out, said := w.texts()
			if err != nil || !strings.Contains(out, fmt.Sprintf("Fake/%d: ", pid)) {
				t.Errorf("%v\n%s\n%s", err, out, said)
			}
			list, err := exec.Command("leaktrack", "--db", db, "list", "--format", "csv").Output()
			if want := fmt.Sprintf(",%d,%d,0,0,", walks(out), walks(out)); err != nil || !strings.Contains(string(list), want) {
				t.Errorf("%v, no %q in\n%s", err, want, list)
			}
		})
	}
}
