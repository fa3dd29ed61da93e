package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dumped is a type in a .gcdump: so many objects of one size.
type dumped struct {
	name, module string
	count, size  int
}

// gcdump writes a file as dotnet-gcdump does, of version 10, objects without
// references.
func gcdump(types ...dumped) []byte {
	le := binary.LittleEndian
	b := []byte("\x14\x00\x00\x00!FastSerialization.1")
	i32 := func(v int) { b = le.AppendUint32(b, uint32(v)) }
	str := func(s string) { i32(len(s)); b = append(b, s...) }
	begin := func(class string, version, least int) {
		b = append(b, 4, 4, 1)
		i32(version)
		i32(least)
		str(class)
		b = append(b, 6)
	}
	begin("GCHeapDump", 10, 8)
	begin("Graphs.MemoryGraph", 1, 0)
	var offsets, blob []byte
	total, nodes := 0, 0
	blob = append(blob, 0, 0)
	for i, t := range types {
		for range t.count {
			offsets = le.AppendUint32(offsets, uint32(len(blob)))
			head := 2 * (i + 1)
			blob = append(blob, 0x80|byte(head>>7), byte(head&0x7f), 0)
			total += t.size
			nodes++
		}
	}
	b = le.AppendUint64(b, uint64(total))
	i32(0)
	i32(len(types) + 1)
	str("UNDEFINED")
	i32(0)
	i32(-1)
	for _, t := range types {
		str(t.name)
		i32(t.size)
		str(t.module)
	}
	i32(nodes)
	b = append(b, offsets...)
	i32(len(blob))
	b = append(b, blob...)
	i32(nodes)
	b = append(b, make([]byte, 8*nodes)...)
	b = append(b, 8, 1, 6, 1)
	one := math.Float32bits(1)
	b = le.AppendUint32(le.AppendUint32(b, one), one)
	b = append(b, 1, 1)
	i32(-1)
	b = append(b, make([]byte, 8)...)
	i32(-1)
	i32(-1)
	b = append(b, make([]byte, 4+16+4)...)
	b = append(b, 12, 0, 0, 0, 0, 1, 13)
	skipped := len(b) - 1
	str("dotnet-gcdump")
	b = append(b, 6, 6)
	table := len(b)
	i32(1)
	i32(skipped)
	trailer := len(b)
	i32(table)
	i32(trailer)
	return b
}

func leaktrack(t *testing.T, want int, args ...string) (out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	if status := run(context.Background(), append([]string{"leaktrack"}, args...), nil, &o, &e); status != want {
		t.Fatalf("%q: status %d, want %d\n%s\n%s", args, status, want, o.String(), e.String())
	}
	return o.String(), e.String()
}

// TestNightOfGCDumps: fifty dumps of one night become a trend with one
// command, with the names that the module's file tells.
func TestNightOfGCDumps(t *testing.T) {
	dir := t.TempDir()
	start := time.Date(2026, 11, 21, 22, 0, 0, 0, time.Local)
	const lib = "/usr/share/dotnet/shared/Microsoft.NETCore.App/9.0.4/System.Private.CoreLib.dll"
	// A closure of the leak program stands for the program's own nested class.
	const module, closure, full = `C:\srv\LeakZoo.dll`, "<Main>c__AnonStorey0", "LeakZoo.Program+<Main>c__AnonStorey0"
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		at := start.Add(time.Duration(i) * 10 * time.Minute)
		write("night/"+at.Format("20060102_150405")+"_4242.gcdump", gcdump(
			dumped{closure, module, 100 + 10*i, 32},
			dumped{"LeakZoo.Order", module, 1, 24},
			dumped{"System.Byte[]", lib, 20 + i%3, 100},
			dumped{"System.Byte[] (Bytes > 1K)", lib, 1, 2000},
			dumped{"UTF8EncodingSealed", lib, 1, 48}))
	}
	zoo, err := os.ReadFile("../../testdata/leakzoo/LeakZoo.dll")
	if err != nil {
		t.Fatal(err)
	}
	write("files/deep/leakzoo.DLL", zoo)
	night, db := filepath.Join(dir, "night"), filepath.Join(dir, "night.db")
	out, errOut := leaktrack(t, exitOK, "--db", db, "ingest", "--process", "Shop", "--uptime-from", "mtime", "--root", filepath.Join(dir, "files"), "--trend", night)
	for _, want := range []string{"Shop/4242 at 0:00:00: stored, 123 objects in 4 types", "Shop/4242 at 8:10:00: stored", "Shop/4242: leak", full + "  leak, linear", "10.0 objects / 10 min"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	for _, want := range []string{"completed from the files of their modules, which are taken for the builds that ran: LeakZoo.dll", "leaktrack's table of the class libraries", "49 more with this warning"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in %s", want, errOut)
		}
	}
	if out, _ := leaktrack(t, exitOK, "--db", db, "show", "--format", "csv"); !strings.Contains(out, full+",590,") || !strings.Contains(out, "System.Text.UTF8Encoding+UTF8EncodingSealed,1,48") || !strings.Contains(out, "System.Byte[],22,") {
		t.Error(out)
	}

	// The start of the process instead; no files of modules.
	db = filepath.Join(dir, "started.db")
	out, errOut = leaktrack(t, exitOK, "--db", db, "ingest", "--process", "Shop", "--started", start.Add(-time.Hour).Format(time.RFC3339), night)
	if !strings.Contains(out, "Shop/4242 at 1:00:00: stored") || !strings.Contains(out, "at 9:10:00: stored") || !strings.Contains(errOut, "uptime is the time of the snapshot minus the given start") ||
		!strings.Contains(errOut, "1 of 4 types may be named without namespace or enclosing type, types of the same short name are summed: "+closure) {
		t.Errorf("%s\n%s", out, errOut)
	}

}

// TestBadGCDumps: a clear error with its place, and nothing stored as complete.
func TestBadGCDumps(t *testing.T) {
	dir := t.TempDir()
	whole := gcdump(dumped{"Shop.Cart", "Shop.dll", 40, 24})
	etl := make([]byte, 4096)
	copy(etl[72:], "\x02\x00\x02\xc0")
	for _, tt := range []struct {
		why, name string
		content   []byte
		want      string
		stored    bool // incomplete
	}{
		{"cut in its nodes", "a.gcdump", whole[:300], "a.gcdump@0x12a: the file ends after 300 bytes", false},
		{"cut in its head", "b.gcdump", whole[:40], "b.gcdump@0x28: the file ends after 40 bytes", false},
		{"cut behind the histogram", "c.gcdump", whole[:len(whole)-9], "the histogram is whole, but behind it", true},
		{"a zip", "d.gcdump", []byte("PK\x03\x04 and so on, as long as it takes to be more than a head of some bytes"), "d.gcdump@0x0: not a .gcdump file but a zip archive; unpack it first", false},
		{"an ETL", "e.GCDUMP", etl, "e.GCDUMP@0x0: not a .gcdump file but a Windows event trace (ETL); open it in PerfView", false},
		{"empty", "f.gcdump", nil, "f.gcdump: the file is empty", false},
		{"a total that disagrees", "g.gcdump", bytes.Replace(whole, binary.LittleEndian.AppendUint64(nil, 960), binary.LittleEndian.AppendUint64(nil, 961), 1), "a total of 961 bytes, but the nodes sum up to 960", false},
	} {
		path := filepath.Join(dir, tt.name)
		if err := os.WriteFile(path, tt.content, 0o666); err != nil {
			t.Fatal(err)
		}
		db := filepath.Join(dir, tt.name+".db")
		out, errOut := leaktrack(t, exitFailed, "--db", db, "ingest", "--process", "Shop", "--pid", "7", "--uptime", "5s", path)
		if !strings.Contains(errOut, tt.want) || strings.Contains(out, "stored") != tt.stored || tt.stored && !strings.Contains(out, "incomplete") {
			t.Errorf("%s: %s%s", tt.why, out, errOut)
		}
		if _, err := os.Stat(db); err == nil != tt.stored {
			t.Errorf("%s: store: %v", tt.why, err)
		}
	}
	out, errOut := leaktrack(t, exitFailed, "--db", filepath.Join(dir, "x.db"), "ingest", "--process", "Shop", "--uptime-from", "mtime", dir)
	if n := strings.Count(errOut, "not a .gcdump file but"); n != 2 || !strings.Contains(fmt.Sprint(out), "incomplete") {
		t.Errorf("a folder of them: %s%s", out, errOut)
	}
	leaktrack(t, exitFailed, "ingest", "--root", filepath.Join(dir, "none"), filepath.Join(dir, "a.gcdump"))
}
