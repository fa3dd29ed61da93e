package metrics

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"leaktrack/heap"
	"leaktrack/ingest"
	"leaktrack/store"
)

var update = flag.Bool("update", false, "renew the golden text; read it before commit")

// founding stores the bundled example.
func founding(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	logs, err := filepath.Glob("../../testdata/clrheapleak/*.log")
	if err != nil || len(logs) == 0 {
		t.Fatal("no example", err)
	}
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rd := ingest.NewReader(ingest.Identity{Uptime: heap.UptimeUnknown}, nil)
	for _, name := range logs {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for s, err := range rd.Read(f, filepath.Base(name)) {
			if err == nil {
				_, err = db.Put(s, false)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
	return path
}

// everything picks every process, as a command without PROCESS does.
func everything(infos []store.ProcessInfo) []Process {
	var out []Process
	for _, i := range infos {
		out = append(out, Process{i, i.Process.String()})
	}
	return out
}

func exporter(t testing.TB, o Options) *Exporter {
	t.Helper()
	if o.Choose == nil {
		o.Choose = everything
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := New(ctx, o)
	t.Cleanup(func() {
		cancel()
		e.Refresh(context.Background()) // waits for a reading that is under way
	})
	return e
}

const acceptOpenMetrics = "application/openmetrics-text;version=1.0.0"

func get(t testing.TB, e *Exporter, path, accept string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func scrape(t testing.TB, e *Exporter) string {
	t.Helper()
	return body(t, get(t, e, "/metrics", acceptOpenMetrics))
}

// parsed reads an exposition with the library's own parsers, which are strict.
func parsed(t testing.TB, text string, format expfmt.Format) map[string]*dto.MetricFamily {
	t.Helper()
	d := expfmt.NewDecoder(strings.NewReader(text), format)
	out := map[string]*dto.MetricFamily{}
	for {
		f := &dto.MetricFamily{}
		err := d.Decode(f)
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatalf("%v\n%.2000s", err, text)
		}
		out[f.GetName()] = f
	}
}

// scraped asks for the text format, whose parser is the faster one.
func scraped(t testing.TB, e *Exporter) map[string]*dto.MetricFamily {
	t.Helper()
	return parsed(t, body(t, get(t, e, "/metrics", "text/plain")), expfmt.NewFormat(expfmt.TypeTextPlain))
}

// value is that of the only series of a family with these labels, "k=v"; NaN
// is no value of ours, so it is an error.
func value(t testing.TB, fs map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	var found []float64
	for _, m := range fs[name].GetMetric() {
		has := 0
		for _, l := range m.GetLabel() {
			if slices.Contains(labels, l.GetName()+"="+l.GetValue()) {
				has++
			}
		}
		if has == len(labels) {
			found = append(found, m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d series of %s with %q", len(found), name, labels)
	}
	return found[0]
}

func series(fs map[string]*dto.MetricFamily) int {
	n := 0
	for _, f := range fs {
		n += len(f.GetMetric())
	}
	return n
}

func TestFoundingExample(t *testing.T) {
	e := exporter(t, Options{Path: founding(t), Version: "test", LimitBytes: 32 << 20})
	r := get(t, e, "/metrics", acceptOpenMetrics)
	if got := r.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text; version=1.0.0") {
		t.Errorf("type %s", got)
	}
	text := body(t, r)
	const golden = "testdata/founding.openmetrics"
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}

	// The answer of the founding example, in base units.
	fs := parsed(t, text, expfmt.FmtOpenMetrics_1_0_0)
	leak := []string{"process=CLRHeapLeak.exe/2044", "type=CLRHeapLeak.Leak"}
	if v := value(t, fs, "leaktrack_group_objects_growth_per_second", leak...) * 600; v < 5454 || v > 5456 {
		t.Errorf("%v objects per ten minutes", v)
	}
	if v := value(t, fs, "leaktrack_group_judgement", append(leak, "leaktrack_group_judgement=leak")...); v != 1 {
		t.Errorf("judged a leak: %v", v)
	}
	if v := value(t, fs, "leaktrack_diagnosis", "process=w3wp.exe/4712", "leaktrack_diagnosis=server-gc-size"); v != 1 {
		t.Errorf("server GC: %v", v)
	}
	low, at, high := value(t, fs, "leaktrack_limit_reached_earliest_timestamp_seconds", leak[0]),
		value(t, fs, "leaktrack_limit_reached_timestamp_seconds", leak[0]), value(t, fs, "leaktrack_limit_reached_latest_timestamp_seconds", leak[0])
	if last := value(t, fs, "leaktrack_last_snapshot_timestamp_seconds", leak[0]); !(last < low && low < at && at < high && high < last+3600) {
		t.Errorf("the limit of 32 MiB is reached at %v (%v to %v), the last snapshot is of %v", at, low, high, last)
	}

	// The old text format says the same.
	old := parsed(t, body(t, get(t, e, "/metrics", "text/plain;version=0.0.4")), expfmt.NewFormat(expfmt.TypeTextPlain))
	if series(old) != series(fs) {
		t.Errorf("%d series as text, %d as OpenMetrics", series(old), series(fs))
	}
}

func TestLint(t *testing.T) {
	e := exporter(t, Options{Path: founding(t), LimitBytes: 32 << 20})
	e.Refresh(t.Context())
	problems, err := testutil.GatherAndLint(e.Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Whatever is a state set has exactly one state, and its label bears its name.
func TestStateSets(t *testing.T) {
	e := exporter(t, Options{Path: founding(t)})
	fs := scraped(t, e)
	for _, name := range []string{"leaktrack_diagnosis", "leaktrack_group_judgement", "leaktrack_group_shape"} {
		sums := map[string]float64{}
		for _, m := range fs[name].GetMetric() {
			key, named := "", false
			for _, l := range m.GetLabel() {
				if l.GetName() == name {
					named = true
					continue
				}
				key += l.GetValue() + "\x00"
			}
			v := m.GetGauge().GetValue()
			if !named || v != 0 && v != 1 {
				t.Errorf("%s: %v", name, m)
			}
			sums[key] += v
		}
		if len(sums) == 0 {
			t.Errorf("%s has no series", name)
		}
		for key, sum := range sums {
			if sum != 1 {
				t.Errorf("%s of %q: %v states", name, key, sum)
			}
		}
	}
}

// growing is snapshot number i, one a minute, of a process whose types grow.
func growing(p heap.Process, i int, names ...string) *heap.Snapshot {
	s := &heap.Snapshot{Process: p, Uptime: time.Duration(i+1) * time.Minute, Source: heap.SourceLiveEventPipe, Basis: heap.Live, Complete: true,
		Heap:   &heap.Totals{LiveBytes: heap.Known(int64(1e6 + i*1e5)), CommittedBytes: heap.Known(int64(2e6 + i*1e5))},
		Memory: &heap.ProcessMemory{RSSBytes: heap.Known(int64(5e6 + i*1e5)), NativeHeapBytes: heap.Known(5e5)}}
	var rows []heap.Type
	for k, name := range names {
		// Each at a pace of its own, or they would be one group.
		n := int64(1000 + (i+1)*(100+37*k) + (i*i*(k+3)+k)%(5+k%7))
		rows = append(rows, heap.Type{Name: name, Count: n, Bytes: 24 * n})
	}
	if err := s.SetTypes(rows); err != nil {
		panic(err)
	}
	return s
}

func put(t testing.TB, path string, snaps ...*heap.Snapshot) {
	t.Helper()
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range db.PutBatch(snaps, false) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("Shop.Type%05d", i)
	}
	return out
}

func TestBoundWithFiftyThousandGrowingTypes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	n := 50_000
	if testing.Short() {
		n = 5_000 // for the race detector
	}
	names := many(n)
	for i := range 5 {
		put(t, path, growing(heap.Process{Program: "Shop", PID: 1, StartNanos: 1e18}, i, names...))
	}
	e := exporter(t, Options{Path: path, LimitBytes: 1 << 30})
	e.Refresh(context.Background())
	for range 20 { // a busy machine needs longer than a scrape waits
		if fs := scraped(t, e); value(t, fs, "leaktrack_up") == 1 {
			break
		}
	}
	fs := scraped(t, e)
	groups := value(t, fs, "leaktrack_groups", "judgement=leak") + value(t, fs, "leaktrack_groups", "judgement=suspect")
	if groups < 1000 {
		t.Errorf("only %v groups grow: the test shows nothing", groups)
	}
	if n := len(fs["leaktrack_group_bytes"].GetMetric()); n != defaultTop {
		t.Errorf("%d groups are told of", n)
	}
	if n, most := series(fs), SeriesOfExporter+SeriesPerProcess+defaultTop*SeriesPerGroup; n > most {
		t.Errorf("%d series, at most %d are promised", n, most)
	}
}

func TestBoundWithManyProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	const stored = 60
	for n := range stored {
		p := heap.Process{Host: fmt.Sprintf("h%d", n%3), Program: "Shop", PID: 1 + n, StartNanos: 1e18 + int64(n)*3600e9}
		var snaps []*heap.Snapshot
		for i := range 10 {
			snaps = append(snaps, growing(p, i, "A", "B", "C", "D", "E"))
		}
		put(t, path, snaps...)
	}
	e := exporter(t, Options{Path: path, Top: 2, LimitBytes: 1 << 30})
	fs := scraped(t, e)
	if n := len(fs["leaktrack_process_info"].GetMetric()); n != defaultProcesses {
		t.Errorf("%d processes are told of", n)
	}
	if a, b := value(t, fs, "leaktrack_processes"), value(t, fs, "leaktrack_processes_omitted"); a != stored || b != stored-defaultProcesses {
		t.Errorf("%v processes, %v omitted", a, b)
	}
	for _, m := range fs["leaktrack_process_info"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "pid" && len(l.GetValue()) < 2 {
				t.Errorf("process %s was seen long before others that are left out", l.GetValue())
			}
		}
	}
	if n, most := series(fs), SeriesOfExporter+defaultProcesses*(SeriesPerProcess+2*SeriesPerGroup); n > most || n < most/2 {
		t.Errorf("%d series, at most %d are promised", n, most)
	}
}

func TestHostileNames(t *testing.T) {
	long := strings.Repeat("Shop.Namespace.", 300)
	hostile := []string{
		"quote\"back\\slash", "line\nend\r\n# EOF\n", "bad\xff\xfeutf8", "zero\x00", "\u202edrawkcab", `leaktrack_up 1`,
		"\"} 1\nleaktrack_up 0\n", long + "A", long + "B", strings.Repeat("é", 5000), "{}", "Dictionary<String, List<Int32>>",
	}
	path := filepath.Join(t.TempDir(), "x.db")
	p := heap.Process{Host: "h\n1", Program: "x\"\xff" + long, PID: 4, StartNanos: 1e18}
	for i := range 20 {
		put(t, path, growing(p, i, hostile...))
	}
	e := exporter(t, Options{Path: path, Top: 100})
	fs := parsed(t, scrape(t, e), expfmt.FmtOpenMetrics_1_0_0)
	if n := series(scraped(t, e)); n != series(fs) {
		t.Errorf("%d series as text, %d as OpenMetrics", n, series(fs))
	}
	if v := value(t, fs, "leaktrack_up"); v != 1 {
		t.Errorf("up %v", v)
	}
	groups := value(t, fs, "leaktrack_groups", "judgement=leak") + value(t, fs, "leaktrack_groups", "judgement=suspect")
	told := fs["leaktrack_group_bytes"].GetMetric()
	if float64(len(told)) != groups || groups < 6 {
		t.Errorf("%v groups, %d told of", groups, len(told))
	}
	for name, f := range fs {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				v := l.GetValue()
				if !utf8.ValidString(v) || utf8.RuneCountInString(v) > maxLabel || strings.ContainsAny(v, "\n\r\x00") || !model.LabelValue(v).IsValid() {
					t.Errorf("%s: label %s is %q", name, l.GetName(), v)
				}
			}
		}
	}
}

func TestLabelsKeepNamesApart(t *testing.T) {
	long := strings.Repeat("x", 300)
	seen := map[string]string{}
	kept := []string{"A", "System.Byte[]", "Dictionary<String, Int32>", `a\n`, `a\xff`, "a\ufffd", "日本", ""}
	changed := []string{long + "1", long + "2", "a\n", "a\xff", "a\u202e"}
	for i, name := range slices.Concat(kept, changed) {
		l := label(name)
		if other, ok := seen[l]; ok {
			t.Errorf("%q and %q share %q", name, other, l)
		}
		seen[l] = name
		if (l == name) != (i < len(kept)) {
			t.Errorf("%q becomes %q", name, l)
		}
		if utf8.RuneCountInString(l) > maxLabel {
			t.Errorf("%q is too long", l)
		}
	}
}

func FuzzLabel(f *testing.F) {
	for _, s := range []string{"", "System.Byte[]", "a\nb", "\xff", strings.Repeat("List<", 500)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		l := label(name)
		if !utf8.ValidString(l) || utf8.RuneCountInString(l) > maxLabel || strings.ContainsAny(l, "\n\r\x00") {
			t.Errorf("%q becomes %q", name, l)
		}
	})
}

func judgedSoFar(e *Exporter) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.judged
}

func TestJudgesOnlyWhatHasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	a, b := heap.Process{Program: "A", PID: 1, StartNanos: 1e18}, heap.Process{Program: "B", PID: 2, StartNanos: 1e18}
	for i := range 5 {
		put(t, path, growing(a, i, "X"), growing(b, i, "X"))
	}
	// Its clock runs ahead of that of the file by more than a tick.
	e := exporter(t, Options{Path: path})
	e.now = func() time.Time { return time.Now().Add(time.Hour) }
	step := func(what string, want int) map[string]*dto.MetricFamily {
		t.Helper()
		fs := scraped(t, e)
		if got := judgedSoFar(e); got != want {
			t.Errorf("%s: %d judgements so far, want %d", what, got, want)
		}
		e.mu.Lock()
		e.cost = 0 // no rest
		e.mu.Unlock()
		return fs
	}
	step("first", 2)
	state := e.state
	step("again", 2)
	if e.state != state {
		t.Error("the store was read again though it has not changed")
	}
	put(t, path, growing(a, 5, "X"))
	if fs := step("one was added", 3); value(t, fs, "leaktrack_last_snapshot_uptime_seconds", "program=A") != 360 {
		t.Error("the new snapshot is not told of")
	}
	put(t, path, growing(a, 5, "X")) // the same again
	step("nothing new", 3)
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other := growing(b, 4, "X")
	other.Types[0].Count++
	if _, err := db.Put(other, true); err != nil {
		t.Fatal(err)
	}
	db.Close()
	step("one was replaced", 4)
}

func TestHiddenChangeIsLookedFor(t *testing.T) {
	path := founding(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		why   string
		after time.Duration
		want  bool
	}{
		{"read in the tick of the last change", 0, false},
		{"read a second after it", time.Second, false},
		{"read long after it", time.Minute, true},
	} {
		s := fileState{info, info.ModTime().Add(tt.after)}
		if got := s.same(fileState{info, time.Now()}); got != tt.want {
			t.Errorf("%s: taken for the same: %v", tt.why, got)
		}
	}
	if (fileState{}).same(fileState{}) {
		t.Error("files that are not there are the same")
	}
}

func TestStoreCannotBeRead(t *testing.T) {
	good := founding(t)
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct{ why, path, reason, say string }{
		{"missing", filepath.Join(dir, "none.db"), reasonMissing, "no such file"},
		{"cut", file("cut.db", content[:5*4096]), reasonDamaged, "damaged"},
		{"not a store", file("text.db", []byte(strings.Repeat("no store\n", 2000))), reasonOther, "not a leaktrack store"},
		{"empty", file("empty.db", nil), reasonOther, "empty"},
		{"a folder", dir, reasonOther, "directory"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			var said []string
			e := exporter(t, Options{Path: tt.path, Say: func(s string) { said = append(said, s) }})
			for range 3 {
				fs := scraped(t, e)
				if value(t, fs, "leaktrack_up") != 0 || fs["leaktrack_process_info"] != nil {
					t.Error("it is up")
				}
			}
			fs := scraped(t, e)
			if v := value(t, fs, "leaktrack_read_errors_total", "reason="+tt.reason); v != 4 {
				t.Errorf("%v failures counted", v)
			}
			if len(said) != 1 || !strings.Contains(said[0], tt.say) {
				t.Errorf("said %q", said)
			}
			if r := get(t, e, "/healthz", ""); r.StatusCode != 200 {
				t.Errorf("the server runs, /healthz says %d", r.StatusCode)
			}
			var out bytes.Buffer
			if err := e.Write(&out); err == nil || out.Len() > 0 {
				t.Errorf("printing gives %v", err)
			}
		})
	}
}

// A store that appears is told of, and one whose snapshots are damaged in one
// process still tells of the others.
func TestStoreAppearsAndBreaks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	var said []string
	e := exporter(t, Options{Path: path, Say: func(s string) { said = append(said, s) }})
	scrape(t, e)
	a, b := heap.Process{Program: "A", PID: 1, StartNanos: 1e18}, heap.Process{Program: "B", PID: 2, StartNanos: 1e18}
	for i := range 5 {
		put(t, path, growing(a, i, "Some.TypeOfA"), growing(b, i, "Some.TypeOfB"))
	}
	fs := scraped(t, e)
	if value(t, fs, "leaktrack_up") != 1 || len(fs["leaktrack_process_info"].GetMetric()) != 2 {
		t.Error("the store that appeared is not told of")
	}
	if len(said) != 2 || !strings.Contains(said[1], "can be read now") {
		t.Errorf("said %q", said)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Names live in their own values, with a checksum each.
	if err := os.WriteFile(path, bytes.ReplaceAll(content, []byte("Some.TypeOfB"), []byte("Some.TypeOfX")), 0o600); err != nil {
		t.Fatal(err)
	}
	e.judgements, e.cost = nil, 0
	fs = scraped(t, e)
	if value(t, fs, "leaktrack_up") != 0 || value(t, fs, "leaktrack_snapshots", "program=A", "holds=types") != 5 || len(fs["leaktrack_process_info"].GetMetric()) != 1 {
		t.Errorf("up %v, %d processes", value(t, fs, "leaktrack_up"), len(fs["leaktrack_process_info"].GetMetric()))
	}
}

// A store that may lack its last write is served, and that is said once.
func TestDoubtfulStoreIsToldOnce(t *testing.T) {
	path := founding(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[os.Getpagesize()+40] ^= 1 // in the second meta page
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	e := exporter(t, Options{Path: path, Say: func(s string) { said = append(said, s) }})
	for range 3 {
		e.last, e.cost = nil, 0
		if fs := scraped(t, e); value(t, fs, "leaktrack_up") != 1 {
			t.Error("it is not up")
		}
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "warning: "+path+": a meta page is damaged") {
		t.Errorf("said %q", said)
	}
}

// While another process has the store, what was read before holds.
func TestStoreIsLocked(t *testing.T) {
	path := founding(t)
	e := exporter(t, Options{Path: path})
	e.wait = 20 * time.Millisecond
	before := scraped(t, e)
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Put(growing(heap.Process{Program: "A", PID: 1}, 0, "X"), false); err != nil {
		t.Fatal(err)
	}
	e.cost = 0
	during := scraped(t, e)
	db.Close()
	after := scraped(t, e)
	if value(t, during, "leaktrack_up") != 0 || value(t, during, "leaktrack_read_errors_total", "reason=locked") != 1 {
		t.Error("the lock is not told of")
	}
	if series(during) != series(before) {
		t.Errorf("%d series before, %d while it is locked", series(before), series(during))
	}
	if value(t, after, "leaktrack_up") != 1 || value(t, after, "leaktrack_processes") != value(t, before, "leaktrack_processes")+1 {
		t.Error("what was stored meanwhile is not told of")
	}
}

// A long series is read in several openings, each snapshot once.
func TestReadsInShortOpenings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	p := heap.Process{Program: "A", PID: 1, StartNanos: 1e18}
	const tables = 30
	for i := range tables {
		s := growing(p, i, "X")
		counters := growing(p, i)
		counters.Complete = false
		put(t, path, s, counters)
	}
	e := exporter(t, Options{Path: path})
	now := time.Now()
	e.now = func() time.Time { now = now.Add(holdMost / 4); return now }
	seen, wrote := map[string]bool{}, make(chan error, 1)
	for s, err := range e.snapshots(p) {
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(s.Uptime, s.CountersOnly())
		if seen[key] {
			t.Errorf("%s is read twice", key)
		}
		if seen[key] = true; len(seen) == 1 {
			go func() {
				w, err := store.Open(path, store.Options{})
				if err == nil {
					err = w.Close()
				}
				wrote <- err
			}()
		}
		if len(seen) == 2*tables {
			select {
			case err := <-wrote:
				if err != nil {
					t.Error(err)
				}
			default:
				t.Error("the writer is still waiting when everything is read")
			}
		}
	}
	if len(seen) != 2*tables {
		t.Errorf("%d snapshots, %d are stored", len(seen), 2*tables)
	}
}

func TestScrapesWhileAWriterStores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	p := heap.Process{Program: "A", PID: 1, StartNanos: 1e18}
	put(t, path, growing(p, 0, many(200)...))
	e := exporter(t, Options{Path: path})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				fs := scraped(t, e)
				if v := value(t, fs, "leaktrack_up"); v != 1 {
					t.Error("not up while a writer stores")
					return
				}
			}
		})
	}
	const stored = 60
	for i := 1; i < stored; i++ {
		put(t, path, growing(p, i, many(200)...))
	}
	close(stop)
	wg.Wait()
	// A scrape may be given a reading that began before the last snapshot came.
	var v float64
	for range 20 {
		e.mu.Lock()
		e.cost = 0
		e.mu.Unlock()
		if v = value(t, scraped(t, e), "leaktrack_snapshots", "holds=types"); v == stored {
			break
		}
	}
	if v != stored {
		t.Errorf("%v snapshots are told of, %d are stored", v, stored)
	}
}
