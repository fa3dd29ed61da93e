//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"leaktrack/internal/metrics"
)

const fleetPage = "../../doc/fleet.md"

// fleetFile is a file that the page about fleets shows.
func fleetFile(t *testing.T, name string) string {
	t.Helper()
	for _, b := range blocks(t, fleetPage) {
		if b.kind == "yaml "+name {
			return b.text
		}
	}
	t.Fatalf("%s shows no %s", fleetPage, name)
	return ""
}

// change replaces what must be there, so that a test cannot miss its aim
// unseen.
func change(t *testing.T, text, old, by string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("no %q in\n%s", old, text)
	}
	return strings.ReplaceAll(text, old, by)
}

// Every metric on the page is one that leaktrack has, and all of them are there.
func TestFleetPageNamesTheMetrics(t *testing.T) {
	page, err := os.ReadFile(fleetPage)
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(t.TempDir(), "x.db")
	call := func(args ...string) string {
		var out, errOut bytes.Buffer
		if status := run(t.Context(), append([]string{"leaktrack", "--db", db}, args...), nil, &out, &errOut); status != 0 {
			t.Fatalf("%q: status %d, %s", args, status, errOut.String())
		}
		return out.String()
	}
	call("ingest", "--quiet", "../../testdata/clrheapleak", "../../testdata/leakzoo/watched-orders.jsonl.gz")
	text := call("metrics", "--print", "--limit", "32MiB")
	// What no input of this test holds.
	known := []string{"leaktrack_private_memory_bytes"}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1) {
		known = append(known, m[1])
	}
	var named []string
	for _, name := range regexp.MustCompile(`\bleaktrack_[a-z_]+`).FindAllString(string(page), -1) {
		if !slices.Contains(known, name) {
			t.Errorf("the page names %s, which leaktrack does not tell", name)
		}
		named = append(named, name)
	}
	for _, name := range known {
		if !slices.Contains(named, name) {
			t.Errorf("the page does not name %s", name)
		}
	}
	all := metrics.SeriesOfExporter + 20*(metrics.SeriesPerProcess+10*metrics.SeriesPerGroup)
	for _, want := range []string{
		fmt.Sprintf("At most %d, and %d for each process, and %d for each group.", metrics.SeriesOfExporter, metrics.SeriesPerProcess, metrics.SeriesPerGroup),
		fmt.Sprintf("\n%d,%03d; `watch --metrics` tells of one process, %d.", all/1000, all%1000, metrics.SeriesOfExporter+metrics.SeriesPerProcess+10*metrics.SeriesPerGroup),
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, b := range blocks(t, fleetPage) {
		var content map[string]any
		if err := yaml.Unmarshal([]byte(b.text), &content); err != nil || len(content) == 0 {
			t.Errorf("%s:%d: %v", fleetPage, b.line, err)
		}
	}
}

// prometheus returns the binary named by LEAKTRACK_PROMETHEUS, and promtool,
// which lies beside it.
func prometheus(t *testing.T) (server, tool string) {
	t.Helper()
	server = os.Getenv("LEAKTRACK_PROMETHEUS")
	if server == "" {
		t.Skip("LEAKTRACK_PROMETHEUS names no prometheus; .ci/run installs one")
	}
	tool = filepath.Join(filepath.Dir(server), "promtool")
	for _, path := range []string{server, tool} {
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
	return server, tool
}

func promtool(t *testing.T, dir, tool string, args ...string) {
	t.Helper()
	cmd := exec.Command(tool, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("promtool %q: %v\n%s", args, err, out)
	}
}

// ruleCases feeds the rules of the page with series, and says which alerts fire.
const ruleCases = `
rule_files: [leaktrack.rules.yml]
evaluation_interval: 1m
tests:
  # A watcher that stores until the end, of a process that leaks, with two types.
  - interval: 1m
    input_series:
      - {series: 'up{job="leaktrack",instance="a:9464"}', values: '1x120'}
      - {series: 'leaktrack_up{job="leaktrack",instance="a:9464"}', values: '1x120'}
      - {series: 'leaktrack_processes{job="leaktrack",instance="a:9464"}', values: '1x120'}
      - {series: 'leaktrack_last_snapshot_timestamp_seconds{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p"}', values: '0+60x120'}
      - {series: 'leaktrack_group_growth_lower_bytes_per_second{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Fast"}', values: '5000x120'}
      - {series: 'leaktrack_group_growth_lower_bytes_per_second{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Slow"}', values: '1000x120'}
      - {series: 'leaktrack_group_growth_lower_bytes_per_second{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Unsure"}', values: '5000x120'}
      - {series: 'leaktrack_group_judgement{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Fast",leaktrack_group_judgement="leak"}', values: '1x120'}
      - {series: 'leaktrack_group_judgement{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Slow",leaktrack_group_judgement="leak"}', values: '1x120'}
      - {series: 'leaktrack_group_judgement{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Unsure",leaktrack_group_judgement="leak"}', values: '0x120'}
      - {series: 'leaktrack_group_judgement{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Unsure",leaktrack_group_judgement="suspect"}', values: '1x120'}
      - {series: 'leaktrack_limit_reached_earliest_timestamp_seconds{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p"}', values: '90000x120'}
    alert_rule_test:
      - {eval_time: 9m, alertname: DotnetTypeLeaks, exp_alerts: []}
      - eval_time: 30m
        alertname: DotnetTypeLeaks
        exp_alerts:
          - exp_labels: {severity: warning, job: leaktrack, instance: 'a:9464', host: h, process: p/1, program: p, type: Fast}
            exp_annotations:
              summary: 'Fast leaks in p/1 on h, 4.883kiB/s at least'
              description: "On that host: leaktrack report -o leak.html 'p/1'"
      - {eval_time: 50m, alertname: DotnetMemoryLimit, exp_alerts: []}
      - eval_time: 100m
        alertname: DotnetMemoryLimit
        exp_alerts:
          - exp_labels: {severity: critical, job: leaktrack, instance: 'a:9464', host: h, process: p/1, program: p}
            exp_annotations:
              summary: 'p/1 on h may reach its memory limit in 23h 20m 0s'
      - {eval_time: 110m, alertname: LeaktrackSilent, exp_alerts: []}
      - {eval_time: 110m, alertname: LeaktrackDown, exp_alerts: []}
  # The same program after its end at 20 min; another target never stored, a
  # third cannot read its store, a fourth does not answer.
  - interval: 1m
    input_series:
      - {series: 'up{job="leaktrack",instance="a:9464"}', values: '1x180'}
      - {series: 'up{job="leaktrack",instance="d:9464"}', values: '0x180'}
      - {series: 'leaktrack_up{job="leaktrack",instance="c:9464"}', values: '0x180'}
      - {series: 'leaktrack_processes{job="leaktrack",instance="a:9464"}', values: '1x180'}
      - {series: 'leaktrack_processes{job="leaktrack",instance="b:9464"}', values: '0x180'}
      - {series: 'leaktrack_last_snapshot_timestamp_seconds{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p"}', values: '1200x180'}
      - {series: 'leaktrack_group_growth_lower_bytes_per_second{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Fast"}', values: '5000x180'}
      - {series: 'leaktrack_group_judgement{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p",type="Fast",leaktrack_group_judgement="leak"}', values: '1x180'}
      - {series: 'leaktrack_limit_reached_earliest_timestamp_seconds{job="leaktrack",instance="a:9464",host="h",process="p/1",program="p"}', values: '6000x180'}
    alert_rule_test:
      - {eval_time: 170m, alertname: DotnetTypeLeaks, exp_alerts: []}
      - {eval_time: 170m, alertname: DotnetMemoryLimit, exp_alerts: []}
      - eval_time: 170m
        alertname: LeaktrackSilent
        exp_alerts:
          - exp_labels: {severity: warning, job: leaktrack, instance: 'a:9464'}
            exp_annotations: {summary: 'the watcher at a:9464 stores nothing'}
          - exp_labels: {severity: warning, job: leaktrack, instance: 'b:9464'}
            exp_annotations: {summary: 'the watcher at b:9464 stores nothing'}
      - eval_time: 170m
        alertname: LeaktrackDown
        exp_alerts:
          - exp_labels: {severity: warning, job: leaktrack, instance: 'c:9464'}
            exp_annotations: {summary: 'leaktrack at c:9464 does not answer or cannot read its store'}
          - exp_labels: {severity: warning, job: leaktrack, instance: 'd:9464'}
            exp_annotations: {summary: 'leaktrack at d:9464 does not answer or cannot read its store'}
`

func writeFleet(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The files of the page are valid as they stand, and the rules fire when they
// should.
func TestFleetRules(t *testing.T) {
	_, tool := prometheus(t)
	dir := t.TempDir()
	for _, name := range []string{"prometheus.yml", "leaktrack.rules.yml"} {
		writeFleet(t, dir, name, fleetFile(t, name))
	}
	writeFleet(t, dir, "cases.yml", ruleCases)
	promtool(t, dir, tool, "check", "config", "prometheus.yml")
	promtool(t, dir, tool, "check", "rules", "leaktrack.rules.yml")
	promtool(t, dir, tool, "test", "rules", "cases.yml")
}

// lockedBuffer is written by a verb in the background and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// background runs a verb that serves metrics, and returns its address.
func background(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var said lockedBuffer
	done := make(chan int, 1)
	go func() { done <- run(ctx, append([]string{"leaktrack"}, args...), nil, &said, &said) }()
	t.Cleanup(func() {
		cancel()
		if status := <-done; status != exitOK {
			t.Errorf("%q: status %d\n%s", args, status, said.String())
		}
	})
	for range 500 {
		if m := served.FindStringSubmatch(said.String()); m != nil {
			return m[1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q tells no address:\n%s", args, said.String())
	return ""
}

// TestFleet runs a Prometheus with the files of the page against a watcher of a
// program that leaks, one of a program that does not, and a server with a limit.
func TestFleet(t *testing.T) {
	server, tool := prometheus(t)
	testbed(t)
	dir := t.TempDir()
	leaks, steady := zoo(t, "zoo9", "linked", "1000", "1000"), zoo(t, "zoo9", "steady")
	leakDB := filepath.Join(dir, "leaks.db")
	a := background(t, "--db", leakDB, "watch", "--every", "2s", "--metrics", "127.0.0.1:0", strconv.Itoa(leaks))
	b := background(t, "--db", filepath.Join(dir, "steady.db"), "watch", "--every", "2s", "--metrics", "127.0.0.1:0", strconv.Itoa(steady))
	c := background(t, "--db", leakDB, "metrics", "--listen", "127.0.0.1:0", "--limit", "200MiB")

	config := fleetFile(t, "prometheus.yml")
	for i, address := range []string{a, b, c} {
		config = change(t, config, fmt.Sprintf("web-%d.example.com:9464", i+1), address)
	}
	config = change(t, config, "_interval: 1m", "_interval: 1s")
	writeFleet(t, dir, "prometheus.yml", config)
	writeFleet(t, dir, "leaktrack.rules.yml", change(t, fleetFile(t, "leaktrack.rules.yml"), "for: 10m", "for: 3s"))
	promtool(t, dir, tool, "check", "config", "prometheus.yml")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var log lockedBuffer
	cmd := exec.Command(server, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address, "--log.level=warn")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", log.String())
		}
	})

	// Which alerts have fired, by target.
	fired := map[string]bool{}
	want := []string{"DotnetTypeLeaks " + a, "DotnetTypeLeaks " + c, "DotnetMemoryLimit " + c}
	var leak map[string]string
	for range 180 {
		for _, r := range ask(t, address, `ALERTS{alertstate="firing"}`) {
			fired[r["alertname"]+" "+r["instance"]] = true
			if r["alertname"] == "DotnetTypeLeaks" {
				leak = r
			}
		}
		if !slices.ContainsFunc(want, func(w string) bool { return !fired[w] }) {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	for _, w := range want {
		if !fired[w] {
			t.Errorf("%s has not fired", w)
		}
		delete(fired, w)
	}
	if len(fired) > 0 {
		t.Errorf("these have fired, too: %v (the steady one is %s)", fired, b)
	}
	if leak["type"] != "LeakZoo.Node" || leak["process"] != "LeakZoo/"+strconv.Itoa(leaks) {
		t.Errorf("labels of the alert: %v", leak)
	}
	// The steady one was scraped and judged.
	if r := ask(t, address, `leaktrack_diagnosis{instance="`+b+`"} == 1`); len(r) != 1 || r[0]["leaktrack_diagnosis"] != "no-leak" {
		t.Errorf("the steady program is judged %v", r)
	}
	// What the server knows of a metric is what OpenMetrics told it.
	var meta struct {
		Data map[string][]struct{ Type, Unit string }
	}
	fetch(t, "http://"+address+"/api/v1/metadata?metric=leaktrack_gc_heap_bytes", &meta)
	if m := meta.Data["leaktrack_gc_heap_bytes"]; len(m) != 1 || m[0].Type != "gauge" || m[0].Unit != "bytes" {
		t.Errorf("metadata %v", meta)
	}
}

// ask returns the labels of what a query finds; nothing while the server starts.
func ask(t *testing.T, address, query string) []map[string]string {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Metric map[string]string }
		}
	}
	fetch(t, "http://"+address+"/api/v1/query?query="+url.QueryEscape(query), &answer)
	var out []map[string]string
	for _, r := range answer.Data.Result {
		out = append(out, r.Metric)
	}
	return out
}

func fetch(t *testing.T, url string, into any) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		return // it is starting
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v\n%s", url, err, b)
	}
}
