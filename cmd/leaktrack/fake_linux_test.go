package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// The test binary plays a runtime that misbehaves when this variable says how:
// it listens where a runtime would, says who it is, and accepts every session.
const fakeRuntime = "LEAKTRACK_FAKE_RUNTIME"

func init() {
	if mode := os.Getenv(fakeRuntime); mode != "" {
		playRuntime(mode)
		os.Exit(0)
	}
}

func playRuntime(mode string) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		panic(err)
	}
	started := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))[20]
	name := fmt.Sprintf("dotnet-diagnostic-%d-%s-socket", os.Getpid(), started)
	l, err := net.Listen("unix", filepath.Join(os.Getenv("TMPDIR"), name))
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go answerAs(mode, c)
	}
}

func answerAs(mode string, c net.Conn) {
	defer c.Close()
	le := binary.LittleEndian
	head := make([]byte, 20)
	if _, err := io.ReadFull(c, head); err != nil {
		return
	}
	io.CopyN(io.Discard, c, int64(le.Uint16(head[14:]))-20)
	answer := func(payload []byte) {
		b := le.AppendUint16([]byte("DOTNET_IPC_V1\x00"), uint16(20+len(payload)))
		c.Write(append(append(b, 0xff, 0, 0, 0), payload...))
	}
	switch {
	case head[16] == 4: // who it is
		b := le.AppendUint64(le.AppendUint32(nil, 1), uint64(os.Getpid()))
		b = append(b, make([]byte, 16)...)
		for _, s := range []string{"/app/shop", "Linux", "x64", "Shop", "9.0.5", "linux-x64"} {
			u := utf16.Encode([]rune(s + "\x00"))
			b = le.AppendUint32(b, uint32(len(u)))
			for _, r := range u {
				b = le.AppendUint16(b, r)
			}
		}
		answer(b)
	case head[16] == 2 && head[17] == 1: // end of a session
		answer(make([]byte, 8))
	default:
		answer(make([]byte, 8))
		fill := bytes.Repeat([]byte{0x55}, 1<<16)
		switch mode {
		case "nothing":
			time.Sleep(time.Minute)
		case "data": // a block of the format that never ends
			c.Write([]byte("Nettrace\x14\x00\x00\x00!FastSerialization.1\x05\x05\x01\x04\x00\x00\x00\x04\x00\x00\x00\x05\x00\x00\x00Trace\x06"))
			c.Write(append(make([]byte, 40), 8, 0, 0, 0, 0, 0, 0, 0))
			fill = make([]byte, 1<<16)
		}
		for err := error(nil); err == nil; {
			_, err = c.Write(fill)
		}
	}
}

// startRuntime starts a fake and returns its pid.
func startRuntime(t *testing.T, mode string) int {
	t.Helper()
	tmp, err := os.MkdirTemp("/tmp", "lt") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fakeRuntime+"="+mode, "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); os.RemoveAll(tmp) })
	if b := make([]byte, 6); true {
		if _, err := io.ReadFull(out, b); err != nil {
			t.Fatalf("the fake does not start: %q, %v", b, err)
		}
	}
	return cmd.Process.Pid
}

// TestFakeRuntimes: whatever listens on the socket of a process, the user is
// told within two seconds, and the other snapshots in the store are unharmed.
func TestFakeRuntimes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{
		"nothing": "accepted a tracing session, but sends nothing; ",
		"garbage": "its event stream makes no sense: ",
		"data":    "its event stream makes no sense: ",
	} {
		for _, verb := range []string{"ingest", "watch"} {
			t.Run(verb+" "+mode, func(t *testing.T) {
				t.Parallel()
				pid := strconv.Itoa(startRuntime(t, mode))
				args := []string{"leaktrack", "--db", filepath.Join(t.TempDir(), "x.db"), "ingest", "--pid", pid}
				if verb == "watch" {
					args = append(args[:3], "watch", "--count", "1", pid)
				}
				var out, errOut bytes.Buffer
				begin := time.Now()
				status := run(t.Context(), args, nil, &out, &errOut)
				if d := time.Since(begin); status != exitFailed || !strings.Contains(errOut.String(), "leaktrack: process "+pid+": "+want) || d > 2*time.Second {
					t.Errorf("status %d after %v: %s", status, d, errOut.String())
				}
			})
		}
	}
}
