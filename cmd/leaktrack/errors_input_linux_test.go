package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// inputFailures are the failures of what was read, and the warnings of it.
var inputFailures = map[string]failure{
	"input-missing":     {run: "ingest missing.log"},
	"input-pattern":     {run: "ingest 'missing*.log'"},
	"input-bad-pattern": {run: "ingest '[.log'"},
	"input-forbidden":   {run: "ingest private.log", before: forbid("private.log"), nobody: true},
	"input-empty":       {run: "ingest empty.log"},
	"folder-empty":      {run: "ingest nothing", before: func(t *testing.T, s *scene) { makeFolder(t, s, "nothing", 0o777) }},
	"folder-no-log":     {run: "ingest notes"},
	"input-unknown":     {run: "ingest binary.bin", before: writes("binary.bin", []byte("\x00\x01\x02\x03 of no format"))},
	"input-zip":         {run: "ingest dump.gcdump.zip", before: writes("dump.gcdump.zip", zipFile)},
	"input-etl":         {run: "ingest trace.etl", before: writes("trace.etl", append(make([]byte, 72), "\x02\x00\x02\xc0 and events"...))},
	"input-minidump":    {run: "ingest shop.dmp", before: writes("shop.dmp", []byte("MDMP\x93\xa7\x00\x00"))},
	"log-no-heap":       {run: "ingest talk.log"},
	"log-look-alike":    {run: "ingest finalize.log"},
	"log-debugger":      {run: "ingest broken.log"},
	"no-uptime":         {run: "ingest bare.txt"},
	"uptime-twice":      {run: "ingest --uptime 5m bare.txt bare2.txt"},
	"started-no-time":   {run: "ingest --started 2026-11-22T10:00:00Z bare.txt"},
	"started-late":      {run: "ingest --started 2026-11-22T12:00:00Z --at 2026-11-22T10:00:00Z bare.txt"},
	"no-file-time":      {run: "ingest --uptime-from mtime -", stdin: "> dumpheap -stat\nStatistics:\n          MT Count TotalSize Class Name\n7ff912345678 1 24 A\nTotal 1 objects, 24 bytes\n"},
	"oldest-first":      {run: "ingest --uptime-from mtime 20261122_020000_2044.txt 20261122_010000_2044.txt", before: backwards},
	"gzip-cut":          {run: "ingest log.gz", before: writes("log.gz", zipped([]byte(strings.Repeat("a log without an end\n", 1000)))[:60])},
	"gzip-broken":       {run: "ingest log.gz", before: writes("log.gz", []byte("\x1f\x8b\xff and no more"))},
	"json-line":         {run: "ingest bad.jsonl"},
	"json-line-long":    {run: "ingest -", piped: func() io.Reader { return io.MultiReader(strings.NewReader("{"), io.LimitReader(blanks{}, 256<<20)) }},
	"input-elf": {run: "ingest c.core", before: func(t *testing.T, s *scene) {
		b := coreFileOf("9.0.5", elf.EM_X86_64)
		b[16] = byte(elf.ET_DYN)
		s.write(t, "c.core", b)
	}},
	"core-no-runtime-cut": {run: "ingest c.core", before: writes("c.core", coreFileOf("", elf.EM_X86_64)[:600])},
	"log-no-size":         {run: "ingest eeheap.log"},
	"json-line/pid":       {run: "ingest -", stdin: `{"process":{"program":"App","pid":-7},"uptime_seconds":60,"source":"json","basis":"live","complete":true,"types":[{"name":"A","count":1,"bytes":24}]}`},
	"json-line/name":      {run: "ingest -", stdin: `{"process":{"program":"` + strings.Repeat("a", 70000) + `","pid":7},"uptime_seconds":60,"source":"json","basis":"live","complete":true,"types":[{"name":"A","count":1,"bytes":24}]}`},
	"log-damaged/total":   {run: "ingest -", stdin: "Process Uptime: 0 days 0:09:56.000\n0:000> !dumpheap -stat\nStatistics:\n      MT    Count    TotalSize Class Name\nTotal 99999999999999999999 objects\n"},
	"log-damaged/native":  {run: "ingest -", stdin: "Process Uptime: 0 days 0:09:56.000\n0:000> !heap -s\n  Heap     Flags   Reserv  Commit  Virt   Free  List   UCR  Virt  Lock  Fast\n                    (k)     (k)    (k)     (k) length      blocks cont. heap\n-----------------------------------------------------------------------------\n00150000 00000002 9007199254740991 9007199254740991 1024 14 4 1 0 0 L\n00250000 00000002 9007199254740991 9007199254740991 1024 14 4 1 0 0 L\n"},
	"log-damaged":         {run: "ingest header.log"},
	"input-damaged":       {run: "ingest t.nettrace", before: writes("t.nettrace", []byte("Nettrace\x14\x00\x00\x00!FastSerialization.9"))},
	"core-heap":           {run: "ingest c.core", before: writes("c.core", coreFileOf("9.0.5", elf.EM_X86_64))},
	"core-unlike":         {run: "ingest c.core", before: writes("c.core", coreFileOf("next", elf.EM_X86_64))},
	"trace-cut":           {run: "ingest --uptime 5s t.nettrace", before: cutTrace(100)},
	"trace-no-walk":       {run: "ingest --uptime 5s t.nettrace", before: cutTrace(-102)},
	"trace-version":       {run: "ingest t.nettrace", before: writes("t.nettrace", []byte("Nettrace\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00"))},
	"trace-broken":        {run: "ingest t.nettrace", before: func(t *testing.T, s *scene) { s.write(t, "t.nettrace", append(traceHead(), "UUUUUUUU"...)) }},
	"gcdump-cut":          {run: "ingest d.gcdump", before: writes("d.gcdump", []byte("\x14\x00\x00\x00!FastSerialization.1\x05\x04\x01\x07\x00\x00\x00\x04\x00\x00\x00\x0a\x00\x00\x00GCHeapDump\x06"))},
	"gcdump-version":      {run: "ingest d.gcdump", before: writes("d.gcdump", []byte("\x14\x00\x00\x00!FastSerialization.1\x05\x04\x01\x08\x00\x00\x00\x04\x00\x00\x00\x0a\x00\x00\x00GCHeapDump"+strings.Repeat("\x06", 30)))},
	"core-pipe":           {run: "ingest c.core.gz", before: writes("c.core.gz", zipped(coreFileOf("9.0.5", elf.EM_X86_64)))},
	"core-no-runtime":     {run: "ingest c.core", before: writes("c.core", coreFileOf("", elf.EM_X86_64))},
	"core-version":        {run: "ingest c.core", before: writes("c.core", coreFileOf("8.0.11", elf.EM_X86_64))},
	"core-machine":        {run: "ingest c.core", before: writes("c.core", coreFileOf("9.0.5", elf.EM_S390))},
	"core-cut":            {run: "ingest c.core", before: writes("c.core", coreFileOf("9.0.5", elf.EM_X86_64)[:600])},
	"core-broken":         {run: "ingest c.core", before: writes("c.core", manySegments())},
	"report-rows":         {run: "ingest --uptime 5m r.txt", before: writes("r.txt", []byte("32  GC Heap bytes\n1  GC Heap objects\n\n  Object Bytes     Count  Type\n"))},
	"conflict":            {run: "ingest good.log changed.log"},
	"ignore-missing":      {run: "--db shop.db check --ignore none.txt"},
	"ignore-long": {run: "--db shop.db check --ignore long.txt", before: func(t *testing.T, s *scene) {
		s.write(t, "long.txt", nil)
		check(t, os.Truncate(s.path("long.txt"), maxIgnore+1))
	}},
	"ignore-no-reason": {run: "--db shop.db check --ignore ignore1.txt"},
	"ignore-all":       {run: "--db shop.db check --ignore ignore2.txt"},
	"ignore-binary":    {run: "--db shop.db check --ignore ignore3.txt", before: writes("ignore3.txt", []byte("A\xff # why\n"))},
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

var zipFile = func() []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	w, err := z.Create("dump.gcdump")
	must(err)
	_, err = w.Write([]byte("content"))
	must(err)
	must(z.Close())
	return out.Bytes()
}()

// backwards makes two reports whose names and whose files disagree about which
// is older.
func backwards(t *testing.T, s *scene) {
	text := "32  GC Heap bytes\n1  GC Heap objects\n\n  Object Bytes     Count  Type\n            32     1  Shop.Cart  [Shop.dll]\n"
	for i, name := range []string{"20261122_020000_2044.txt", "20261122_010000_2044.txt"} {
		s.write(t, name, []byte(text))
		at := time.Date(2026, 11, 22, 1+i, 0, 0, 0, time.UTC)
		check(t, os.Chtimes(s.path(name), at, at))
	}
}

// cutTrace writes the first bytes of a recorded trace; of a negative number, all
// but so many, and for -102 the head and the end, with no event between.
func cutTrace(n int) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		f, err := os.Open("../../ingest/nettrace/testdata/linked-zoo9.nettrace.gz")
		check(t, err)
		defer f.Close()
		z, err := gzip.NewReader(f)
		check(t, err)
		b, err := io.ReadAll(z)
		check(t, err)
		switch {
		case n == -102:
			b = append(b[:102:102], 1)
		case n < 0:
			b = b[:len(b)+n]
		default:
			b = b[:n]
		}
		s.write(t, "t.nettrace", b)
	}
}

var elfIdent = [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1}

func put(w *bytes.Buffer, parts ...any) {
	for _, p := range parts {
		must(binary.Write(w, binary.LittleEndian, p))
	}
}

// runtimePage is the first page of a runtime's image: as much as its headers.
func runtimePage(machine elf.Machine) []byte {
	const page = 4096
	var b bytes.Buffer
	put(&b, elf.Header64{Ident: elfIdent, Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: page, Memsz: page})
	return append(b.Bytes(), make([]byte, page-b.Len())...)
}

// coreFileOf makes a core with one segment, the first page of a runtime of the
// given version, and the note that names its file. Without version there is none.
func coreFileOf(version string, machine elf.Machine) []byte {
	const base = 0x10000000
	image := runtimePage(machine)
	size := uint64(len(image))
	path := "/usr/share/dotnet/shared/Microsoft.NETCore.App/" + version + "/libcoreclr.so\x00"
	if version == "" {
		path = "/usr/bin/sleep\x00"
	}
	var desc, note, out bytes.Buffer
	put(&desc, uint64(1), uint64(1), uint64(base), uint64(base+size), uint64(0))
	desc.WriteString(path)
	put(&note, uint32(5), uint32(desc.Len()), uint32(0x46494c45))
	note.WriteString("CORE\x00\x00\x00\x00")
	note.Write(desc.Bytes())
	note.Write(make([]byte, (8-note.Len()%8)%8))
	at := uint64(64 + 2*56)
	put(&out, elf.Header64{Ident: elfIdent, Type: uint16(elf.ET_CORE), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2},
		elf.Prog64{Type: uint32(elf.PT_NOTE), Off: at, Filesz: uint64(note.Len())},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Off: at + uint64(note.Len()), Vaddr: base, Filesz: size, Memsz: size})
	out.Write(note.Bytes())
	out.Write(image)
	return out.Bytes()
}

// manySegments is the head of a core that promises more than it holds.
func manySegments() []byte {
	b := coreFileOf("9.0.5", elf.EM_X86_64)[:200]
	binary.LittleEndian.PutUint16(b[56:], 1000)
	return b
}

// blanks is a text without end.
type blanks struct{}

var blankPage = bytes.Repeat([]byte(" "), 32<<10)

func (blanks) Read(p []byte) (int, error) { return copy(p, blankPage), nil }

// apart gives two files times of change a minute apart.
func apart(t *testing.T, s *scene) {
	at := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	check(t, os.Chtimes(s.path("bare.txt"), at, at))
	check(t, os.Chtimes(s.path("bare2.txt"), at.Add(time.Minute), at.Add(time.Minute)))
}
