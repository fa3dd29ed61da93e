package ingest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/syntax"
)

func read(t *testing.T, rd *Reader, in, name string) (snapshots []*heap.Snapshot, errs []error) {
	t.Helper()
	for s, err := range rd.Read(strings.NewReader(in), name) {
		if (s == nil) == (err == nil) {
			t.Fatalf("a pair with both halves or none: %v, %v", s, err)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		snapshots = append(snapshots, s)
	}
	return snapshots, errs
}

func line(t *testing.T, change func(*heap.Snapshot)) string {
	t.Helper()
	s := &heap.Snapshot{
		Process: heap.Process{Program: "App", PID: 7}, Uptime: time.Minute,
		Source: heap.SourceSOS, Basis: heap.All, Complete: true,
		Types: []heap.Type{{Name: "A", Count: 1, Bytes: 24}},
	}
	if change != nil {
		change(s)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

var nothing = Identity{Uptime: heap.UptimeUnknown}

func TestJSONLines(t *testing.T) {
	one, two := line(t, nil), line(t, func(s *heap.Snapshot) { s.Uptime = time.Hour })
	tests := []struct {
		why, in   string
		snapshots int
		errs      []string
	}{
		{"two lines", one + two, 2, nil},
		{"no newline at the end", one + strings.TrimSpace(two), 2, nil},
		{"blank lines, CRLF and a byte order mark", "\ufeff" + strings.TrimSpace(one) + "\r\n\r\n" + two + "\n", 2, nil},
		{"a broken line does not hide the next", one + "{\"uptime_seconds\":\n" + two, 2, []string{"x.jsonl:2: no snapshot"}},
		{"a cut last line", one + two[:50], 1, []string{"x.jsonl:2: no snapshot"}},
		{"a wrong basis, with its line", two + strings.Replace(one, `"basis":"all"`, `"basis":"liv"`, 1), 1, []string{`x.jsonl:2: no snapshot in leaktrack's JSON form: basis "liv" is neither live nor all`}},
		{"a count that is none", strings.Replace(one, `"count":1`, `"count":1e30`, 1), 0, []string{"x.jsonl:1: no snapshot in leaktrack's JSON form: types.count cannot be number 1e30"}},
		{"no uptime", strings.Replace(one, `"uptime_seconds":60`, `"uptime_seconds":null`, 1), 0, []string{"add --uptime"}},
	}
	for _, tt := range tests {
		got, errs := read(t, NewReader(nothing, nil), tt.in, "x.jsonl")
		if len(got) != tt.snapshots || len(errs) != len(tt.errs) {
			t.Errorf("%s: %d snapshots and errors %v", tt.why, len(got), errs)
			continue
		}
		for i, want := range tt.errs {
			if !strings.Contains(errs[i].Error(), want) {
				t.Errorf("%s: error %q lacks %q", tt.why, errs[i], want)
			}
		}
	}
}

func TestJSONKeepsItsIdentity(t *testing.T) {
	// A wall clock must not make leaktrack derive a start that the form does
	// not state: export and ingest are lossless.
	in := line(t, func(s *heap.Snapshot) { s.Taken = time.Unix(1e9, 0); s.Process.Run = 2 })
	got, errs := read(t, NewReader(nothing, nil), in, "x")
	if len(errs) > 0 || got[0].Process != (heap.Process{Program: "App", PID: 7, Run: 2}) {
		t.Errorf("got %+v, %v", got, errs)
	}
}

func TestGzipIsReadThrough(t *testing.T) {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	io.WriteString(zw, line(t, nil))
	zw.Close()
	whole := buf.String()
	got, errs := read(t, NewReader(nothing, nil), whole, "x.gz")
	if len(got) != 1 || len(errs) != 0 {
		t.Errorf("got %v, %v", got, errs)
	}
	if _, errs = read(t, NewReader(nothing, nil), whole[:len(whole)-12], "x.gz"); len(errs) == 0 {
		t.Error("a cut gzip file raised no error")
	}
	if _, errs = read(t, NewReader(nothing, nil), whole[:5], "x.gz"); len(errs) == 0 {
		t.Error("a cut gzip header raised no error")
	}
}

func TestUnknownInputs(t *testing.T) {
	tests := []struct {
		why, in string
		want    error
	}{
		{"empty", "", ErrEmpty},
		{"binary", "\x7fELF\x02\x01\x01\x00\x00\x00", ErrUnknown},
		{"a picture", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", ErrUnknown},
	}
	for _, tt := range tests {
		_, errs := read(t, NewReader(nothing, nil), tt.in, "x")
		if len(errs) != 1 || !errors.Is(errs[0], tt.want) || !strings.HasPrefix(errs[0].Error(), "x: ") {
			t.Errorf("%s: got %v", tt.why, errs)
		}
	}
}

func TestIdentityFillsOnlyWhatIsUnknown(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	id := Identity{Host: "web-1", Program: "Other", PID: 8, Uptime: time.Hour, Taken: at}
	rd := NewReader(id, nil)
	var notices []string
	rd.Notice = func(s string) { notices = append(notices, s) }
	got, errs := read(t, rd, line(t, nil), "x")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	s := got[0]
	if s.Process.Host != "web-1" || s.Process.Program != "App" || s.Process.PID != 7 || s.Uptime != time.Minute || !s.Taken.Equal(at) {
		t.Errorf("got %+v", s)
	}
	if len(notices) != 2 || !strings.Contains(notices[0], "--process Other is not used, the input says App") {
		t.Errorf("notices %q", notices)
	}
}

func TestOneUptimeIsNotForTwoSnapshots(t *testing.T) {
	noUptime := func(s *heap.Snapshot) { s.Uptime = heap.UptimeUnknown }
	rd := NewReader(Identity{Uptime: time.Hour}, nil)
	got, errs := read(t, rd, line(t, noUptime)+line(t, noUptime), "x")
	if len(got) != 1 || got[0].Uptime != time.Hour || len(errs) != 1 || !strings.Contains(errs[0].Error(), "one by one") {
		t.Errorf("got %v, %v", got, errs)
	}
}

// TestTraceOfAKnownProcess: a trace says when it was taken and of which pid, but
// not when that started; the store may know.
func TestTraceOfAKnownProcess(t *testing.T) {
	b, err := os.ReadFile("nettrace/testdata/linked-zoo9.nettrace.gz")
	if err != nil {
		t.Fatal(err)
	}
	got, errs := read(t, NewReader(Identity{Uptime: 0}, nil), string(b), "x")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	taken, pid := got[0].Taken, got[0].Process.PID
	run := func(host, program string, ago time.Duration) heap.Process {
		return heap.Process{Host: host, Program: program, PID: pid, StartNanos: taken.Add(-ago).UnixNano()}
	}
	mine := run("web-1", "LeakZoo", 5*time.Minute)
	unstarted := heap.Process{Program: "LeakZoo", PID: pid}
	other := mine
	other.PID++
	for _, tt := range []struct {
		why   string
		known []heap.Process
		want  heap.Process // the zero value: the uptime is asked for
	}{
		{"the process is stored", []heap.Process{mine}, mine},
		{"an earlier and a later run too", []heap.Process{run("web-1", "LeakZoo", time.Hour), mine, run("web-1", "LeakZoo", -time.Hour)}, mine},
		{"nothing is stored", nil, heap.Process{}},
		{"another program", []heap.Process{run("web-1", "Shop", time.Hour)}, heap.Process{}},
		{"another pid", []heap.Process{other}, heap.Process{}},
		{"a start that is not known", []heap.Process{unstarted}, heap.Process{}},
		{"a later run only", []heap.Process{run("web-1", "LeakZoo", -time.Hour)}, heap.Process{}},
		{"two hosts", []heap.Process{mine, run("web-2", "LeakZoo", time.Hour)}, heap.Process{}},
	} {
		got, errs := read(t, NewReader(nothing, tt.known), string(b), "x")
		switch {
		case tt.want == (heap.Process{}):
			if len(got) > 0 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "add --uptime") {
				t.Errorf("%s: %v, %v", tt.why, got, errs)
			}
		case len(errs) > 0 || got[0].Process != tt.want || got[0].Uptime != taken.Sub(tt.want.Start()):
			t.Errorf("%s: %v, %v", tt.why, got, errs)
		case !slices.ContainsFunc(got[0].Warnings, func(w heap.Warning) bool { return strings.Contains(w.Text, "which is stored already") }):
			t.Errorf("%s: the user is not told: %v", tt.why, got[0].Warnings)
		}
	}
}

func TestNamelessProcessIsWarnedOf(t *testing.T) {
	got, _ := read(t, NewReader(nothing, nil), line(t, func(s *heap.Snapshot) { s.Process = heap.Process{} }), "x")
	if len(got) != 1 || len(got[0].Warnings) != 1 || !strings.Contains(got[0].Warnings[0].Text, "--process") {
		t.Errorf("got %v", got)
	}
	again, _ := read(t, NewReader(nothing, nil), line(t, func(s *heap.Snapshot) {
		s.Process, s.Warnings = heap.Process{}, got[0].Warnings
	}), "x")
	if len(again) != 1 || len(again[0].Warnings) != 1 {
		t.Errorf("what is exported and read again has the warnings %v, want one", again[0].Warnings)
	}
}

func TestRuns(t *testing.T) {
	clock := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	snap := func(uptime time.Duration, taken time.Time, run int) *heap.Snapshot {
		return &heap.Snapshot{Process: heap.Process{Program: "App", PID: 7, Run: run}, Uptime: uptime, Taken: taken}
	}
	start := clock.Add(-time.Minute)
	t.Run("the start is wall clock minus uptime", func(t *testing.T) {
		var r runs
		r.nextInput()
		s := snap(time.Minute, clock, 0)
		r.assign(s)
		if !s.Process.Start().Equal(start) {
			t.Errorf("start %v", s.Process.Start())
		}
	})
	t.Run("a clock that is a second off is the same run", func(t *testing.T) {
		var r runs
		r.nextInput()
		a, b := snap(time.Minute, clock, 0), snap(2*time.Minute, clock.Add(61*time.Second), 0)
		r.assign(a)
		r.nextInput() // in another file
		r.assign(b)
		if a.Process != b.Process {
			t.Errorf("%v and %v", a.Process, b.Process)
		}
	})
	t.Run("an hour later with a smaller uptime is another run", func(t *testing.T) {
		var r runs
		r.nextInput()
		a, b := snap(time.Minute, clock, 0), snap(30*time.Second, clock.Add(time.Hour), 2)
		r.assign(a)
		r.assign(b)
		if a.Process == b.Process || b.Process.Run != 0 {
			t.Errorf("%v and %v", a.Process, b.Process)
		}
	})
	t.Run("a run of the store is recognised", func(t *testing.T) {
		known := heap.Process{Program: "App", PID: 7, StartNanos: start.Add(900 * time.Millisecond).UnixNano()}
		rd := NewReader(nothing, []heap.Process{known})
		rd.runs.nextInput()
		s := snap(time.Minute, clock, 0)
		rd.runs.assign(s)
		if s.Process != known {
			t.Errorf("got %v", s.Process)
		}
	})
	t.Run("without a wall clock it follows its neighbour in the file", func(t *testing.T) {
		var r runs
		r.nextInput()
		a, b := snap(time.Minute, clock, 0), snap(2*time.Minute, time.Time{}, 0)
		r.assign(a)
		r.assign(b)
		if a.Process != b.Process {
			t.Errorf("%v and %v", a.Process, b.Process)
		}
	})
	t.Run("without any wall clock the reader's count stands", func(t *testing.T) {
		var r runs
		r.nextInput()
		a, b := snap(time.Minute, time.Time{}, 0), snap(time.Second, time.Time{}, 2)
		r.assign(a)
		r.assign(b)
		if a.Process.Run != 0 || b.Process.Run != 2 || b.Process.StartNanos != 0 {
			t.Errorf("%v and %v", a.Process, b.Process)
		}
	})
	t.Run("a stated start stands", func(t *testing.T) {
		var r runs
		r.nextInput()
		s := snap(time.Minute, clock, 0)
		s.Process.StartNanos = 5
		r.assign(s)
		if s.Process.StartNanos != 5 {
			t.Errorf("got %v", s.Process)
		}
	})
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.log", "a.log", ".hidden", "sub/c.txt", ".git/config"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.log", filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) []string {
		for i := range names {
			if names[i] != "-" {
				names[i] = filepath.Join(dir, names[i])
			}
		}
		return names
	}
	tests := []struct {
		why        string
		args, want []string
		errs       int
	}{
		{"files as given", in("b.log", "a.log"), in("b.log", "a.log"), 0},
		{"a folder in order, without hidden files", []string{dir}, in("a.log", "b.log", "link.log", "sub/c.txt"), 0},
		{"a pattern", in("*.log"), in("a.log", "b.log", "link.log"), 0},
		{"standard input", []string{"-"}, []string{"-"}, 0},
		{"nothing there", in("no.log", "a.log"), in("a.log"), 1},
		{"a pattern without match", in("*.dmp"), nil, 1},
		{"a pattern that is none", in("[.log"), nil, 1},
		{"an empty folder", []string{empty}, nil, 1},
	}
	for _, tt := range tests {
		files, errs := Expand(tt.args)
		var got []string
		for _, f := range files {
			got = append(got, f.Path)
		}
		if !slices.Equal(got, tt.want) || len(errs) != tt.errs {
			t.Errorf("%s: got %v, %v", tt.why, got, errs)
		}
	}
}

func TestLongLineIsSkipped(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 256 MiB")
	}
	long := io.MultiReader(strings.NewReader("{"), io.LimitReader(zeros{}, maxJSONLine), strings.NewReader("\n"+line(t, nil)))
	var got, bad int
	for s, err := range readJSON(long, "x") {
		if s != nil {
			got++
			continue
		}
		var se *syntax.Error
		if !errors.As(err, &se) || se.Line != 1 {
			t.Errorf("got %v", err)
		}
		bad++
	}
	if got != 1 || bad != 1 {
		t.Errorf("%d snapshots, %d errors", got, bad)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}
