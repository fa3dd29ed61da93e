package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A pretender is this test binary, playing a process that is or is not of .NET.
// What it plays is told by words in LEAKTRACK_PRETEND:
//
//	large    it takes 560 MiB of memory
//	undumpable  it belongs to nobody, who may not debug it all the same
//	thread   it has a thread of a .NET runtime
//	libV     it has mapped the runtime of version V
//	dead     there is a socket that nobody listens to
//	file     there is a file where the socket should be
//	contained  it is in a pid namespace of its own
//	gone     it has removed its folder for temporary files
//	earlier  there is the socket of an earlier process with its pid
//	backlog  it listens, and takes no connection
//	WORD     it listens, and the WORD says how it answers (see answer)
//
// It prints ready and waits to be killed.
func pretend(words []string) {
	var socket string
	for _, w := range words {
		switch {
		case w == "thread":
			named := make(chan bool)
			go func() {
				runtime.LockOSThread()
				name := append([]byte(".NET SynchManag"), 0)
				// Of another kind of thread nothing would be known.
				_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
				close(named)
				select {}
			}()
			<-named
		case strings.HasPrefix(w, "lib"):
			dir := filepath.Join(os.Getenv("TMPDIR"), "Microsoft.NETCore.App", w[3:])
			must(os.MkdirAll(dir, 0o755))
			path := filepath.Join(dir, "libcoreclr.so")
			must(os.WriteFile(path, runtimePage(elf.EM_X86_64), 0o644))
			f, err := os.Open(path)
			must(err)
			_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
			must(err)
		case w == "gone":
			must(os.RemoveAll(os.Getenv("TMPDIR")))
		case w == "large":
			large, err := unix.Mmap(-1, 0, 560<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
			must(err)
			defer runtime.KeepAlive(large)
		case w == "undumpable":
			becomeNobody()
			must(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
		case w == "nothing", w == "contained":
		case w == "earlier":
			l, err := net.Listen("unix", filepath.Join(os.Getenv("TMPDIR"), fmt.Sprintf("dotnet-diagnostic-%d-1-socket", os.Getpid())))
			must(err)
			defer l.Close()
		case w == "backlog":
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			must(err)
			must(unix.Bind(fd, &unix.SockaddrUnix{Name: socketPath()}))
			must(unix.Listen(fd, 0))
			waiting, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			must(err)
			must(unix.Connect(waiting, &unix.SockaddrUnix{Name: socketPath()}))
		case w == "file":
			must(os.WriteFile(socketPath(), nil, 0o600))
		default:
			socket = w
		}
	}
	if socket != "" {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketPath(), Net: "unix"})
		must(err)
		if socket == "dead" {
			l.SetUnlinkOnClose(false)
			l.Close()
		} else {
			go func() {
				for {
					c, err := l.Accept()
					must(err)
					go answer(c, socket)
				}
			}()
		}
	}
	fmt.Println("ready")
	time.Sleep(2 * time.Minute)
}

// nobody is a user without rights.
const nobody = 65534

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// socketPath is where the runtime of this process would listen: its name holds
// the pid and the start in ticks (field 22 of proc_pid_stat(5)).
func socketPath() string {
	b, err := os.ReadFile("/proc/self/stat")
	must(err)
	ticks := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[19]
	return filepath.Join(os.Getenv("TMPDIR"), fmt.Sprintf("dotnet-diagnostic-%d-%s-socket", os.Getpid(), ticks))
}

// answer plays the server of the diagnostics protocol for one connection: who
// it is, then a failure of the given kind.
func answer(c net.Conn, kind string) {
	defer c.Close()
	send := func(code byte, payload []byte) {
		m := binary.LittleEndian.AppendUint16([]byte("DOTNET_IPC_V1\x00"), uint16(20+len(payload)))
		c.Write(append(append(m, 0xff, code, 0, 0), payload...))
	}
	number := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	head := make([]byte, 20)
	if _, err := io.ReadFull(c, head); err != nil {
		return
	}
	payload := make([]byte, int(binary.LittleEndian.Uint16(head[14:]))-len(head))
	if _, err := io.ReadFull(c, payload); err != nil {
		return
	}
	set, id := head[16], head[17]
	switch kind {
	case "silent":
		time.Sleep(time.Minute)
	case "garbage":
		c.Write(bytes.Repeat([]byte("220 mail.example.com\r\n"), 10))
		return
	case "closes":
		return
	}
	const unknown, failed = 0x80131385, 0x80004005
	switch {
	case set == 4 && id == 8: // who are you
		pid := os.Getpid()
		if kind == "otherpid" {
			pid = 4242
		}
		b := binary.LittleEndian.AppendUint64(number(1), uint64(pid))
		if kind == "halfinfo" {
			send(0, b)
			return
		}
		b = append(b, make([]byte, 16)...)
		for _, s := range []string{"/app/Fake", "Linux", "x64", "Fake", "9.0.5", "linux-x64"} {
			u := utf16.Encode([]rune(s + "\x00"))
			b = append(b, number(uint32(len(u)))...)
			for _, x := range u {
				b = binary.LittleEndian.AppendUint16(b, x)
			}
		}
		send(0, b)
	case set == 1 && kind == "written":
		send(0, number(0))
	case set == 1 && kind != "nocores":
		send(0xff, number(failed))
	case set != 2, id == 6, id == 7, kind == "notracing":
		send(0xff, number(unknown))
	case id == 1: // stop a session: it has none that is open
		send(0, payload)
	case kind == "shorterror":
		send(0xff, []byte{1})
	case kind == "oddanswer":
		send(7, nil)
	case kind == "nosession":
		send(0, []byte{1})
	case kind == "refuses":
		send(0xff, number(0x80131386))
	case kind == "notyet":
		send(0xff, number(0x8013135b))
	case kind == "sessions":
		send(0xff, number(failed))
	case kind == "dies":
		os.Exit(3)
	case kind == "badstream":
		send(0, make([]byte, 8))
		c.Write(append(traceHead(), bytes.Repeat([]byte{0x55}, 1<<16)...))
	case kind == "garbagestream", kind == "endlessstream":
		send(0, make([]byte, 8))
		fill := bytes.Repeat([]byte{0x55}, 1<<16)
		if kind == "endlessstream" { // a block of the format, without end
			c.Write([]byte("Nettrace\x14\x00\x00\x00!FastSerialization.1\x05\x05\x01\x04\x00\x00\x00\x04\x00\x00\x00\x05\x00\x00\x00Trace\x06"))
			c.Write(append(make([]byte, 40), 8, 0, 0, 0, 0, 0, 0, 0))
			fill = make([]byte, 1<<16)
		}
		for err := error(nil); err == nil; {
			_, err = c.Write(fill)
		}
	case kind == "mute": // but for its first words
		send(0, make([]byte, 8))
		c.Write(traceHead())
		time.Sleep(time.Minute)
	case kind == "nowalk":
		send(0, make([]byte, 8))
		c.Write(append(traceHead(), 1))
	default:
		send(0, make([]byte, 8))
		time.Sleep(time.Minute)
	}
}

// traceHead is the beginning of a recorded trace, up to its first block. A 1
// behind it is the end of the stream.
func traceHead() []byte {
	f, err := os.Open("../../ingest/nettrace/testdata/linked-zoo9.nettrace.gz")
	must(err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(err)
	head := make([]byte, 102)
	_, err = io.ReadFull(z, head)
	must(err)
	return head
}

// pretender starts one and returns its pid. Its folder for temporary files is
// tmp, "" for one of its own.
func pretender(t *testing.T, words, tmp string, more ...string) int {
	t.Helper()
	if tmp == "" {
		var err error
		// The path of a socket has room for 107 bytes, which that of a test's own
		// folder may exceed.
		if tmp, err = os.MkdirTemp("/tmp", "lt"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(tmp) })
		if err := os.Chmod(tmp, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TMPDIR=") }), "TMPDIR="+tmp, "LEAKTRACK_PRETEND="+words)
	cmd.Env = append(cmd.Env, more...)
	cmd.Stderr = os.Stderr
	if slices.Contains(strings.Fields(words), "contained") {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd.Process.Pid
}
