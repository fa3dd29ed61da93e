package elfcore

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/clr/clrtest"
	"leaktrack/ingest/syntax"
)

var update = flag.Bool("update", false, "rewrite what the scripts want")

const separator = "-- want --\n"

// buildCore makes the core of a script and, in a folder, the files that only
// the disk has.
func buildCore(t testing.TB, script string) (core []byte, root string) {
	t.Helper()
	p, err := clrtest.Build(script)
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for name, data := range p.Disk {
		to := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p.Core(), root
}

func describe(s *heap.Snapshot, trust Trust, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "error: %v\n", err)
		return b.String()
	}
	fmt.Fprintf(&b, "%s uptime %v %s %s complete %v estimated %v\n", s.Process, s.Uptime, s.Source, s.Basis, s.Complete, s.Estimated)
	h := s.Heap
	fmt.Fprintf(&b, "heaps %d %d, generations %d, live %d, committed %d, free %d in %d\n", h.Heaps.Or(-1), h.HeapBytes,
		h.Generations, h.LiveBytes.Or(-1), h.CommittedBytes.Or(-1), h.FreeBytes.Or(-1), h.FreeCount.Or(-1))
	for _, ty := range s.Types {
		fmt.Fprintf(&b, "%8d %8d %s\n", ty.Count, ty.Bytes, ty.Name)
	}
	for _, w := range s.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	fmt.Fprintln(&b, trust.String())
	for _, l := range trust.Details() {
		fmt.Fprintln(&b, "  "+l)
	}
	return b.String()
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, _ := strings.Cut(string(b), separator)
			core, root := buildCore(t, script)
			for _, workers := range []int{1, 3} {
				s, trust, err := Read(bytes.NewReader(core), int64(len(core)), "x.core", Options{Root: root, Workers: workers})
				got := describe(s, trust, err)
				if err == nil {
					s.Uptime = 0 // no core of a script tells it
					if err := s.Valid(); err != nil {
						t.Errorf("not valid: %v", err)
					}
				}
				if *update && workers == 1 {
					if err := os.WriteFile(file, []byte(script+separator+got), 0o644); err != nil {
						t.Fatal(err)
					}
					want = got
				}
				if got != want {
					t.Errorf("with %d workers got\n%s\nwant\n%s", workers, got, want)
				}
			}
		})
	}
}

// TestSameHeap reads one heap as runtimes of different versions and layouts
// have it: the counts must not depend on them.
func TestSameHeap(t *testing.T) {
	counts := ""
	for _, name := range []string{"table9", "table10", "ondisk9", "relr", "odd"} {
		b, err := os.ReadFile("testdata/scripts/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(b), separator)
		core, root := buildCore(t, script)
		s, _, err := Read(bytes.NewReader(core), int64(len(core)), name, Options{Root: root})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := fmt.Sprint(s.Types)
		if counts == "" {
			counts = got
		}
		if got != counts {
			t.Errorf("%s: %s, but others: %s", name, got, counts)
		}
	}
}

func script(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/scripts/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	s, _, _ := strings.Cut(string(b), separator)
	return s
}

func TestErrors(t *testing.T) {
	tests := []struct {
		why, script string
		want        error
	}{
		{"words that are no objects", script(t, "badtype"), ErrLayout},
		{"a dump without heap", script(t, "noheap"), ErrNoHeap},
		{"an unknown version", script(t, "version8"), ErrVersion},
		{"a part is missing", script(t, "holes"), ErrLayout},
		{"another version's table", strings.Replace(script(t, "table9"), "runtime 9.0.5", "runtime 9.0.5 odd", 1), ErrLayout},
	}
	for _, tt := range tests {
		core, root := buildCore(t, tt.script)
		_, _, err := Read(bytes.NewReader(core), int64(len(core)), "x.core", Options{Root: root})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "x.core") {
			t.Errorf("%s: %v, want %v", tt.why, err, tt.want)
		}
	}
	for _, b := range []string{"", "\x7fELF", "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZ", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"} {
		if _, _, err := Read(strings.NewReader(b), int64(len(b)), "x", Options{}); !errors.Is(err, syntax.ErrNotMine) {
			t.Errorf("%q: %v, want not mine", b, err)
		}
	}
	head := "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x3e\x00"
	var place *syntax.Error
	if _, _, err := Read(strings.NewReader(head), int64(len(head)), "x", Options{}); !errors.As(err, &place) {
		t.Errorf("a core that ends in its header: %v", err)
	}
}

func TestUptime(t *testing.T) {
	core, root := buildCore(t, script(t, "regions9"))
	boot := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	start := boot.Add(1234*time.Second + 560*time.Millisecond)
	read := func(o Options) (*heap.Snapshot, Trust) {
		o.Root = root
		s, trust, err := Read(bytes.NewReader(core), int64(len(core)), "x.core", o)
		if err != nil {
			t.Fatal(err)
		}
		return s, trust
	}
	s, trust := read(Options{Boot: boot, Modified: start.Add(90 * time.Second)})
	if want := "; uptime 1m30s, from the core's file time and the given boot time"; !strings.HasSuffix(trust.String(), want) {
		t.Errorf("%q does not say %q", trust.String(), want)
	}
	if s.Uptime != 90*time.Second || !s.Process.Start().Equal(start) || trust.StartTicks != 123456 {
		t.Errorf("uptime %v, start %v, ticks %d", s.Uptime, s.Process.Start(), trust.StartTicks)
	}
	for why, o := range map[string]Options{
		"made before the process started": {Boot: boot, Modified: start.Add(-time.Second)},
		"made before the boot":            {Boot: boot, Modified: boot.Add(-time.Hour)},
		"no time of the dump":             {Boot: boot},
		"no boot time":                    {Modified: start},
	} {
		if s, trust := read(o); s.Uptime != heap.UptimeUnknown || s.Process.StartNanos != 0 || len(s.Warnings) == 0 || !strings.HasPrefix(trust.Uptime, "unknown") {
			t.Errorf("%s: uptime %v, start %v, %v", why, s.Uptime, s.Process.Start(), s.Warnings)
		}
	}
	// A series: one core's uptime is given, the others follow.
	var series []Core
	for _, d := range []time.Duration{0, 10 * time.Minute, 25 * time.Minute} {
		s, trust := read(Options{Modified: start.Add(d)})
		series = append(series, Core{s, trust})
	}
	other, otherTrust := read(Options{Modified: start})
	otherTrust.StartTicks++
	series = append(series, Core{other, otherTrust})
	if n := Series(series); n != 4 {
		t.Errorf("%d unknown before anything is given, want 4", n)
	}
	series[1].Snapshot.Uptime = 12 * time.Minute
	if n := Series(series); n != 1 {
		t.Errorf("%d unknown, want the one of another process", n)
	}
	for i, want := range []time.Duration{2 * time.Minute, 12 * time.Minute, 27 * time.Minute, heap.UptimeUnknown} {
		if got := series[i].Snapshot.Uptime; got != want {
			t.Errorf("core %d: uptime %v, want %v", i, got, want)
		}
	}
	if got := series[0].Trust.Uptime; !strings.HasPrefix(got, "2m0s, from the difference of its file time") {
		t.Errorf("the first core's uptime is told as %q", got)
	}
	if len(series[0].Snapshot.Warnings) != 0 {
		t.Errorf("warnings %v", series[0].Snapshot.Warnings)
	}
}
