package live

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leaktrack/ingest/internal/wire"
	"leaktrack/ingest/nettrace"
)

// The test binary plays a runtime when LEAKTRACK_FAKE says how: it listens
// where a runtime would and answers as told. It prints a line when it listens
// and one for each request.

func TestMain(m *testing.M) {
	if mode := os.Getenv("LEAKTRACK_FAKE"); mode != "" {
		fake(mode)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func fake(mode string) {
	pid, _ := strconv.Atoi(os.Getenv("LEAKTRACK_PID"))
	switch mode {
	case "open": // says why it may not read a process
		_, err := Open(context.Background(), pid)
		fmt.Println(ReasonOf(err), err)
		return
	case "list": // lists what it sees
		list, err := Processes(context.Background())
		for _, p := range list {
			fmt.Println(p.PID, p.Program, p.Readable, p.Reason, p.User)
		}
		fmt.Println("end", err)
		return
	case "hold": // opens a heap session and waits to be killed
		f, err := inspect(pid)
		if err == nil {
			_, _, err = f.open(context.Background(), []command{cmdCollectTracing2},
				collectRequest{bufferMB: 64, providers: []provider{{name: nettrace.RuntimeProvider, keywords: keywordHeapWalk, level: levelInfo}}}, time.Minute)
		}
		fmt.Println(err)
		select {}
	}
	self, err := inspect(os.Getpid())
	if err != nil {
		panic(err)
	}
	switch mode {
	case "aot": // the threads of a runtime that is mapped nowhere
		go func() {
			runtime.LockOSThread()
			if err := os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", unix.Gettid()), []byte(".NET Finalizer"), 0); err != nil {
				panic(err)
			}
			select {}
		}()
		time.Sleep(100 * time.Millisecond)
	case "old": // a runtime of a version that opens no socket
		if err := mapOldRuntime(os.Getenv("TMPDIR")); err != nil {
			panic(err)
		}
	case "none":
	default:
		l, err := net.Listen("unix", filepath.Join(os.Getenv("TMPDIR"), socketName(self.pid, self.startTicks)))
		if err != nil {
			panic(err)
		}
		if mode != "full" {
			go serve(l, mode)
		}
	}
	fmt.Println("ready")
	time.Sleep(time.Minute)
}

// mapOldRuntime maps a file of the name that .NET Core 2.1 would have mapped.
func mapOldRuntime(tmp string) error {
	dir := filepath.Join(tmp, "Microsoft.NETCore.App", "2.1.30")
	file := filepath.Join(dir, "libcoreclr.so")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(file, make([]byte, 4096), 0o755)); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	return err
}

func serve(l net.Listener, mode string) {
	s := &fakeRuntime{mode: mode, streams: map[uint64]chan struct{}{}}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go s.answer(c)
	}
}

type fakeRuntime struct {
	mode string
	mu   sync.Mutex
	// streams are the open sessions.
	streams map[uint64]chan struct{}
	walks   int
}

func reply(kind byte, payload []byte) []byte {
	b := []byte(ipcMagic)
	b = binary.LittleEndian.AppendUint16(b, uint16(20+len(payload)))
	return append(append(b, 0xff, kind, 0, 0), payload...)
}

func (s *fakeRuntime) answer(c net.Conn) {
	defer c.Close()
	head := make([]byte, 20)
	if _, err := io.ReadFull(c, head); err != nil {
		fmt.Println("short request")
		return
	}
	payload := make([]byte, int(binary.LittleEndian.Uint16(head[14:]))-20)
	io.ReadFull(c, payload)
	cmd := command{head[16], head[17]}
	fmt.Printf("request %d/%d\n", cmd.set, cmd.id)
	switch s.mode {
	case "silent":
		time.Sleep(time.Minute)
	case "garbage":
		c.Write(bytes.Repeat([]byte("garbage "), 100))
		return
	case "endless":
		for {
			if _, err := c.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	case "closes":
		return
	case "half":
		c.Write(reply(0, make([]byte, 100))[:30])
		return
	case "string": // a process info with a string of 4 GB
		c.Write(reply(0, append(make([]byte, 28), 0xff, 0xff, 0xff, 0xff)))
		return
	case "otherpid":
		c.Write(reply(0, info(4242)))
		return
	}
	switch {
	case cmd == cmdProcessInfo3:
		c.Write(reply(0, info(os.Getpid())))
	case cmd.set == 4, cmd == cmdCollectTracing6, cmd == cmdCollectTracing5:
		c.Write(reply(0xff, binary.LittleEndian.AppendUint32(nil, hrUnknownCommand)))
	case cmd == cmdStopTracing:
		id := binary.LittleEndian.Uint64(payload)
		s.mu.Lock()
		if ch := s.streams[id]; ch != nil {
			close(ch)
			delete(s.streams, id)
		}
		s.mu.Unlock()
		c.Write(reply(0, payload))
	case cmd.set == 2:
		s.collect(c, payload)
	}
}

func info(pid int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 1)
	b = binary.LittleEndian.AppendUint64(b, uint64(pid))
	b = append(b, make([]byte, 16)...)
	for _, v := range []string{"/app/fake run", "Linux", "x64", "Fake", "9.0.5+hash", "linux-x64"} {
		b = appendIPCString(b, v)
	}
	return b
}

func (s *fakeRuntime) collect(c net.Conn, payload []byte) {
	if s.mode == "sessions" {
		c.Write(reply(0xff, binary.LittleEndian.AppendUint32(nil, hrFail)))
		return
	}
	heapWalk := bytes.Contains(payload, binary.LittleEndian.AppendUint64(nil, keywordHeapWalk))
	s.mu.Lock()
	id := uint64(len(s.streams) + 1000)
	stopped := make(chan struct{})
	s.streams[id] = stopped
	if heapWalk {
		s.walks++
	}
	walks := s.walks
	s.mu.Unlock()
	fmt.Printf("session heap=%v\n", heapWalk)
	if s.mode == "mute" {
		time.Sleep(time.Minute)
	}
	c.Write(reply(0, binary.LittleEndian.AppendUint64(nil, id)))
	if s.mode == "quiet" {
		time.Sleep(time.Minute)
	}
	stream := fixture("linked-zoo9")
	if !heapWalk {
		// Header and trace object, the end when asked for.
		c.Write(stream[:102])
		<-stopped
		c.Write([]byte{1})
		return
	}
	switch s.mode {
	case "nothing":
		time.Sleep(time.Minute)
	case "header":
		c.Write(stream[:102])
		time.Sleep(time.Minute)
	case "halfway":
		c.Write(stream[:len(stream)/2])
		time.Sleep(time.Minute)
	case "unending":
		c.Write(stream[:len(stream)-1])
		time.Sleep(time.Minute)
	case "badstream":
		c.Write(bytes.Repeat([]byte{0x55}, 1<<20))
	case "garbagestream":
		for err := error(nil); err == nil; {
			_, err = c.Write(bytes.Repeat([]byte{0x55}, 1<<16))
		}
	case "lategarbage": // behind a good beginning
		c.Write(stream[:102])
		for err := error(nil); err == nil; {
			_, err = c.Write(bytes.Repeat([]byte{0x55}, 1<<16))
		}
	case "endlessstream": // well formed, and never at its end
		c.Write(stream[:102])
		repeat(c, 102, "StackBlock", make([]byte, 1<<16), 0)
	case "slowstream":
		c.Write(stream[:102])
		repeat(c, 102, "StackBlock", make([]byte, 1<<6), 10*time.Millisecond)
	case "endlesswalks", "slowwalks": // the same objects again and again
		name := bytes.Index(stream, []byte("EventBlock"))
		first, at := name-15, (name+10+1+4+3)&^3
		c.Write(stream[:first])
		size := int(binary.LittleEndian.Uint32(stream[name+11:]))
		pause := time.Duration(0)
		if s.mode == "slowwalks" {
			pause = 10 * time.Millisecond
		}
		repeat(c, first, "EventBlock", stream[at:at+size], pause)
	case "dies":
		c.Write(stream[:len(stream)/2])
		os.Exit(3)
	case "cuts":
		c.Write(stream[:len(stream)/2])
	case "loses":
		if walks == 1 {
			// The same number twice, as if one event were missing.
			stream = dropEvent(stream)
		}
		fallthrough
	default:
		c.Write(stream[:len(stream)-1])
		<-stopped
		c.Write(stream[len(stream)-1:])
	}
}

// repeat writes a block of the container again and again, the first at offset
// off of the stream, until the connection breaks.
func repeat(c net.Conn, off int, name string, content []byte, pause time.Duration) {
	for {
		b := append([]byte{5, 5, 1, 2, 0, 0, 0, 2, 0, 0, 0, byte(len(name)), 0, 0, 0}, name...)
		b = binary.LittleEndian.AppendUint32(append(b, 6), uint32(len(content)))
		for (off+len(b))%4 != 0 {
			b = append(b, 0)
		}
		b = append(append(b, content...), 6)
		off += len(b)
		if _, err := c.Write(b); err != nil {
			return
		}
		time.Sleep(pause)
	}
}

// dropEvent raises the first entry of the last sequence point, which says that
// one more event was attempted than was sent.
func dropEvent(stream []byte) []byte {
	b := bytes.Clone(stream)
	i := bytes.LastIndex(b, []byte("SPBlock\x06"))
	at := (i + 8 + 4 + 3) &^ 3
	n := binary.LittleEndian.Uint32(b[at+8:])
	if n == 0 {
		panic("no entries")
	}
	binary.LittleEndian.PutUint32(b[at+12+8:], binary.LittleEndian.Uint32(b[at+12+8:])+1)
	return b
}

func fixture(name string) []byte {
	dir := os.Getenv("LEAKTRACK_FIXTURES")
	if dir == "" {
		dir = "../nettrace/testdata"
	}
	f, err := os.Open(filepath.Join(dir, name+".nettrace.gz"))
	if err != nil {
		panic(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		panic(err)
	}
	return b
}

// fakeProcess is a running fake.
type fakeProcess struct {
	pid int
	tmp string
	cmd *exec.Cmd
	mu  sync.Mutex
	out []string
}

func (p *fakeProcess) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.out)
}

func startFake(t testing.TB, mode string) *fakeProcess {
	t.Helper()
	tmp, err := os.MkdirTemp("/tmp", "lt")
	if err != nil {
		t.Fatal(err)
	}
	wd, _ := filepath.Abs("../nettrace/testdata")
	p := &fakeProcess{tmp: tmp, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), "LEAKTRACK_FAKE="+mode, "TMPDIR="+tmp, "LEAKTRACK_FIXTURES="+wd)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = p.cmd.Process.Pid
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var b [1]byte
		line := ""
		for {
			if _, err := out.Read(b[:]); err != nil {
				return
			}
			if b[0] != '\n' {
				line += string(b[:])
				continue
			}
			if line == "ready" {
				close(ready)
			} else {
				p.mu.Lock()
				p.out = append(p.out, line)
				p.mu.Unlock()
			}
			line = ""
		}
	}()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-done; p.cmd.Wait(); os.RemoveAll(tmp) })
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("the fake does not start")
	}
	return p
}

// TestBadServers: what answers is not what a runtime answers; an error of the
// right kind comes within two seconds.
func TestBadServers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode string
		want Reason
	}{
		{"silent", Busy},
		{"garbage", Protocol},
		{"endless", Protocol},
		{"closes", Protocol},
		{"half", Protocol},
		{"string", Protocol},
		{"otherpid", Untrusted},
		{"sessions", Sessions},
		{"mute", Busy},
		{"quiet", Busy},
		{"nothing", Busy},
		{"header", Busy},
		{"badstream", Protocol},
		{"garbagestream", Protocol},
		{"lategarbage", Protocol},
		{"endlessstream", Protocol},
		{"slowstream", Busy},
		{"endlesswalks", Protocol},
		{"slowwalks", Protocol},
		{"dies", Exited},
		{"none", NotDotnet},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			p := startFake(t, tt.mode)
			begin := time.Now()
			s, _, err := Read(context.Background(), p.pid, Options{})
			d := time.Since(begin)
			t.Logf("after %v: %v", d.Round(time.Millisecond), err)
			if d > 2*time.Second {
				t.Errorf("took %v", d)
			}
			if s != nil || ReasonOf(err) != tt.want {
				t.Errorf("%v, %q %v", s, ReasonOf(err), err)
			}
		})
	}
}

// TestWhyNot: processes that open no socket, and what the user is told.
func TestWhyNot(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct {
		reason       Reason
		said, remedy string
	}{
		"aot": {NativeAOT, "compiled ahead of time", "EventSourceSupport"},
		"old": {TooOld, "runs .NET Core 2.1.30", "3.0 or newer"},
	} {
		p := startFake(t, mode)
		_, err := Open(context.Background(), p.pid)
		if ReasonOf(err) != want.reason || !strings.Contains(err.Error(), want.said) || !strings.Contains(RemedyOf(err), want.remedy) {
			t.Errorf("%s: %q %v; %s", mode, ReasonOf(err), err, RemedyOf(err))
		}
		list, err := Processes(context.Background())
		if found := Match(list, strconv.Itoa(p.pid)); err != nil || len(found) != 1 || found[0].Readable || found[0].Reason != want.reason {
			t.Errorf("%s is listed as %+v, %v", mode, found, err)
		}
	}
}

// TestBrokenWalks: objects were counted, but not to the end; what is there is
// returned as incomplete.
func TestBrokenWalks(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cuts", "halfway", "unending"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := startFake(t, mode)
			begin := time.Now()
			s, _, err := Read(context.Background(), p.pid, Options{})
			if d := time.Since(begin); err != nil || s.Complete || len(s.Warnings) == 0 || d > 3*time.Second {
				t.Errorf("after %v: %+v, %v", d, s, err)
			}
		})
	}
}

// TestGoodServer: the requests that one read makes, each once, every session
// stopped once.
func TestGoodServer(t *testing.T) {
	t.Parallel()
	p := startFake(t, "good")
	s, st, err := Read(context.Background(), p.pid, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Complete || s.Process.Program != "Fake" || s.Process.PID != p.pid || s.Runtime.Version != "9.0.5" || st.Attempts != 1 {
		t.Errorf("%+v %+v %v", s.Process, st, s.Warnings)
	}
	time.Sleep(50 * time.Millisecond)
	log := p.log()
	stops, sessions, walks := 0, 0, 0
	for _, l := range log {
		switch {
		case l == "request 2/1":
			stops++
		case strings.HasPrefix(l, "session"):
			sessions++
			if l == "session heap=true" {
				walks++
			}
		}
	}
	if stops != sessions || walks != 1 || slices.Contains(log, "short request") {
		t.Errorf("%d sessions, %d stops, %d walks: %q", sessions, stops, walks, log)
	}
}

func TestLossIsRepeatedOnce(t *testing.T) {
	t.Parallel()
	p := startFake(t, "loses")
	s, st, err := Read(context.Background(), p.pid, Options{BufferMB: 4})
	if err != nil || !s.Complete || st.Attempts != 2 || st.BufferMB <= 4 {
		t.Errorf("%v %+v", err, st)
	}
}

func TestCancelledBefore(t *testing.T) {
	p := startFake(t, "good")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Read(ctx, p.pid, Options{}); !errors.Is(err, context.Canceled) || slices.ContainsFunc(p.log(), func(l string) bool { return l != "request 4/8" }) {
		t.Errorf("%v, asked %q", err, p.log())
	}
}

func TestCancelStopsTheSession(t *testing.T) {
	t.Parallel()
	p := startFake(t, "nothing")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(700*time.Millisecond, func() { cancel(errors.New("the user has enough")) })
	_, _, err := Read(ctx, p.pid, Options{})
	if err == nil || !strings.Contains(err.Error(), "the user has enough") {
		t.Errorf("%v", err)
	}
	// Other tests list all processes and ask this one too who it is.
	log := slices.DeleteFunc(p.log(), func(l string) bool { return l == "request 4/8" })
	if n := len(log); n == 0 || log[n-1] != "request 2/1" {
		t.Errorf("last request is not the stop: %q", log)
	}
}

// FuzzIPC: no answer makes the reader panic or take more than it was sent.
func FuzzIPC(f *testing.F) {
	f.Add(reply(0, info(1)))
	f.Add(reply(0xff, []byte{5, 0x40, 0, 0x80}))
	f.Add(reply(0, make([]byte, 8)))
	f.Add([]byte(ipcMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		payload, err := readAnswer(bytes.NewReader(b))
		if err != nil {
			return
		}
		if len(payload) > len(b)-ipcHeaderSize {
			t.Fatal("more than was sent")
		}
		sessionID(payload)
		for _, cmd := range []command{cmdProcessInfo, cmdProcessInfo2, cmdProcessInfo3} {
			p, err := parseProcessInfo(cmd, payload)
			if err == nil && len(p.commandLine)+len(p.os)+len(p.rid) > 3*len(payload) {
				t.Fatal("longer than it can be")
			}
		}
		c := wire.New(payload)
		ipcString(&c)
	})
}
