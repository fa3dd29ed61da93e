package ingest

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/clr/clrtest"
)

const coreScript = `process 4242 dotnet /usr/bin/dotnet /app/Shop.dll
start 123456
runtime 9.0.5
module Shop.dll
def Shop.Order
type order = def Shop.Order 40
region 2
 1000 order
`

// writeCore writes the core of a script, made at the given time.
func writeCore(t *testing.T, name, script string, at time.Time) string {
	t.Helper()
	p, err := clrtest.Build(script)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, p.Core(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
	return file
}

// readFiles reads files one after another, as the command does.
func readFiles(t *testing.T, rd *Reader, files ...string) (got []*heap.Snapshot, errs []error) {
	t.Helper()
	keep := func(s *heap.Snapshot, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		got = append(got, s)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for s, err := range rd.Read(f, filepath.Base(name)) {
			keep(s, err)
		}
		f.Close()
	}
	for s, err := range rd.Finish() {
		keep(s, err)
	}
	return got, errs
}

func TestCores(t *testing.T) {
	made := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	core := writeCore(t, "core.4242", coreScript, made)
	other := writeCore(t, "core.4343", strings.Replace(coreScript, "4242", "4343", 1), made)

	// Nothing tells how long it had run: the user is asked, with the reason.
	got, errs := readFiles(t, NewReader(nothing, nil), core)
	if len(got) != 0 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "core.4242: ") || !strings.Contains(errs[0].Error(), "add --uptime") {
		t.Errorf("without an uptime: %v, %v", got, errs)
	}

	var said []string
	rd := NewReader(Identity{Uptime: time.Hour}, nil)
	rd.Notice = func(s string) { said = append(said, s) }
	got, errs = readFiles(t, rd, core)
	if len(errs) > 0 || len(got) != 1 {
		t.Fatal(got, errs)
	}
	s := got[0]
	order, _ := s.Type("Shop.Order")
	if s.Process.Program != "Shop" || s.Process.PID != 4242 || s.Uptime != time.Hour || s.Basis != heap.All || order.Count != 1000 {
		t.Errorf("%+v at %v, %s: %v", s.Process, s.Uptime, s.Basis, order)
	}
	if len(said) != 1 || !strings.Contains(said[0], "all 40000 bytes accounted for") {
		t.Errorf("trust: %q", said)
	}
	if len(s.Warnings) > 0 {
		t.Errorf("the uptime was given, but %v", s.Warnings)
	}

	// --verbose gives the account.
	said = nil
	rd = NewReader(Identity{Uptime: time.Hour}, nil)
	rd.Verbose, rd.Notice = true, func(s string) { said = append(said, s) }
	readFiles(t, rd, core)
	for _, want := range []string{"layout: contract descriptor", "objects: 1000, 40000 bytes", "uptime: unknown"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("the account lacks %q: %q", want, said)
		}
	}

	// Cores of one process, of which the start is known by --started: all have
	// their uptime by the times of their files.
	later := writeCore(t, "later.4242", coreScript, made.Add(10*time.Minute))
	got, errs = readFiles(t, NewReader(Identity{Uptime: heap.UptimeUnknown, Started: made.Add(-time.Hour)}, nil), core, later)
	if len(errs) > 0 || len(got) != 2 || got[0].Uptime != time.Hour || got[1].Uptime != 70*time.Minute || got[0].Process != got[1].Process {
		t.Errorf("a series: %v, %v", got, errs)
	}
	got, errs = readFiles(t, NewReader(nothing, nil), core, other)
	if len(got) != 0 || len(errs) != 2 {
		t.Errorf("two processes without uptime: %v, %v", got, errs)
	}

	// What cannot be read back and forth is refused, and cut files too.
	b, err := os.ReadFile(core)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(b)
	z.Close()
	for why, in := range map[string]string{"a pipe": string(b), "gzip": packed.String()} {
		if _, errs := read(t, NewReader(nothing, nil), in, "x"); len(errs) != 1 || !strings.Contains(errs[0].Error(), "must be a plain file") {
			t.Errorf("%s: %v", why, errs)
		}
	}
	cut := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(cut, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if got, errs := readFiles(t, NewReader(Identity{Uptime: time.Hour}, nil), cut); len(got) != 0 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "the file is cut short by") {
		t.Errorf("a core that is cut: %v, %v", got, errs)
	}
}
