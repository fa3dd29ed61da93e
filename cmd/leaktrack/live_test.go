//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The live tests watch real processes. They run where LEAKTRACK_DOTNET names
// a folder that .ci/testbed has laid.
func testbed(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("LEAKTRACK_DOTNET")
	if dir == "" {
		t.Skip("LEAKTRACK_DOTNET names no test bed; .ci/run lays one")
	}
	if _, err := os.Stat(filepath.Join(dir, "dotnet")); err != nil {
		t.Fatalf("LEAKTRACK_DOTNET: %v", err)
	}
	return dir
}

// zoo starts a mode of the program that leaks on purpose and returns its pid.
func zoo(t *testing.T, runtime string, args ...string) int {
	t.Helper()
	dir := testbed(t)
	cmd := exec.Command(filepath.Join(dir, "dotnet"), append([]string{filepath.Join(dir, runtime, "LeakZoo.dll")}, args...)...)
	cmd.Env = append(os.Environ(), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1", "DOTNET_ROOT=")
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
	// Its first line says that it leaks by now.
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the program printed nothing")
	}
	go func() {
		for lines.Scan() {
		}
	}()
	return cmd.Process.Pid
}

// trendOf runs trend in its JSON form.
func trendOf(t *testing.T, db string, args ...string) map[string]any {
	t.Helper()
	var out, errOut bytes.Buffer
	if status := run(context.Background(), append([]string{"leaktrack", "--db", db, "trend", "--all", "--format", "json"}, args...), nil, &out, &errOut); status != 0 {
		t.Fatalf("trend: status %d\n%s", status, errOut.String())
	}
	var r map[string]any
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return r
}

func watchFor(t *testing.T, db string, pid int, flags ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	args := append([]string{"leaktrack", "--db", db, "watch"}, flags...)
	if status := run(context.Background(), append(args, strconv.Itoa(pid)), nil, &out, &errOut); status != 0 {
		t.Fatalf("watch: status %d\n%s\n%s", status, out.String(), errOut.String())
	}
	return out.String()
}

func TestLiveLeakHasItsRate(t *testing.T) {
	testbed(t)
	for _, runtime := range []string{"zoo9", "zoo31"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			pid := zoo(t, runtime, "linked", "10")
			db := filepath.Join(t.TempDir(), "x.db")
			out := watchFor(t, db, pid, "--every", "2s", "--count", "12")
			if !strings.Contains(out, "LeakZoo/"+strconv.Itoa(pid)+": leak") {
				t.Errorf("the watch does not end with the finding:\n%s", out)
			}
			r := trendOf(t, db)
			for _, want := range []string{"LeakZoo.Node", "System.Byte[]"} {
				x := typeOf(t, r, want)
				rate := x["count_rate"].(map[string]any)
				low, high := rate["low"].(float64), rate["high"].(float64)
				if x["leak"] != true || low > 10 || high < 10 {
					t.Errorf("%s: leak %v, %v to %v objects per second, truth is 10", want, x["leak"], low, high)
				}
			}
		})
	}
}

func typeOf(t *testing.T, r map[string]any, name string) map[string]any {
	t.Helper()
	for _, x := range r["types"].([]any) {
		if x := x.(map[string]any); x["name"] == name {
			return x
		}
	}
	t.Fatalf("no type %s in %v", name, r)
	return nil
}

func TestLiveNativeGrowth(t *testing.T) {
	t.Parallel()
	pid := zoo(t, "zoo9", "native", "1000") // about 1 MB per second
	db := filepath.Join(t.TempDir(), "x.db")
	watchFor(t, db, pid, "--every", "2s", "--count", "15")
	if d := trendOf(t, db)["diagnosis"].(map[string]any); d["verdict"] != "native-growth" {
		t.Errorf("diagnosis %v", d)
	}
}

func TestLiveIngestAndPs(t *testing.T) {
	t.Parallel()
	pid := zoo(t, "zoo9", "generic")
	dir := t.TempDir()
	db, trace := filepath.Join(dir, "x.db"), filepath.Join(dir, "x.nettrace")
	var out, errOut bytes.Buffer
	status := run(t.Context(), []string{"leaktrack", "--db", db, "ingest", "--pid", strconv.Itoa(pid), "--save-trace", trace}, nil, &out, &errOut)
	if status != 0 || !strings.Contains(out.String(), "LeakZoo/"+strconv.Itoa(pid)) || !strings.Contains(out.String(), "complete") {
		t.Fatalf("status %d\n%s\n%s", status, out.String(), errOut.String())
	}
	// The saved trace holds the same heap.
	other := filepath.Join(dir, "y.db")
	out.Reset()
	if status := run(t.Context(), []string{"leaktrack", "--db", other, "ingest", "--uptime", "5s", trace}, nil, &out, &errOut); status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, out.String(), errOut.String())
	}
	a, b := exported(t, db), exported(t, other)
	if !maps.Equal(a, b) || a["System.String"] == 0 || a["System.Text.UTF8Encoding+UTF8EncodingSealed"] == 0 {
		t.Errorf("live\n%v\nin the trace\n%v", a, b)
	}

	out.Reset()
	if status := run(t.Context(), []string{"leaktrack", "ps", "--format", "csv", strconv.Itoa(pid)}, nil, &out, &errOut); status != 0 {
		t.Fatalf("ps: status %d\n%s", status, errOut.String())
	}
	if !strings.Contains(out.String(), strconv.Itoa(pid)+",LeakZoo,") || !strings.Contains(out.String(), ",9.0.5,") {
		t.Errorf("ps:\n%s", out.String())
	}
}

// exported returns counts by type of the only snapshot in a store.
func exported(t *testing.T, db string) map[string]float64 {
	t.Helper()
	var out, errOut bytes.Buffer
	if status := run(t.Context(), []string{"leaktrack", "--db", db, "export"}, nil, &out, &errOut); status != 0 {
		t.Fatal(errOut.String())
	}
	var s struct {
		Types []struct {
			Name  string
			Count float64
		}
	}
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	m := map[string]float64{}
	for _, x := range s.Types {
		m[x.Name] = x.Count
	}
	return m
}

func TestLiveRefusals(t *testing.T) {
	testbed(t)
	tests := []struct {
		why  string
		args []string
		want string
	}{
		{"no such pid", []string{"ingest", "--pid", "4194303"}, "no such process"},
		{"not .NET", []string{"ingest", "--pid", strconv.Itoa(os.Getpid())}, ".NET"},
		{"no such name", []string{"watch", "NoSuchProgram"}, "no .NET process has that name"},
	}
	for _, tt := range tests {
		var out, errOut bytes.Buffer
		status := run(t.Context(), append([]string{"leaktrack", "--db", filepath.Join(t.TempDir(), "x.db")}, tt.args...), nil, &out, &errOut)
		if status != 2 || !strings.Contains(errOut.String(), tt.want) {
			t.Errorf("%s: status %d, said %q", tt.why, status, errOut.String())
		}
	}
}

// What TestCIPage checks on recordings, with programs that run: one leaks, the
// other does not.
func TestLiveCheck(t *testing.T) {
	testbed(t)
	for mode, want := range map[string]int{"orders": exitLeak, "steady": exitOK} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			pid := zoo(t, "zoo9", mode, "10")
			db := filepath.Join(t.TempDir(), "x.db")
			watchFor(t, db, pid, "--every", "2s", "--count", "12")
			var out, errOut bytes.Buffer
			if status := run(context.Background(), []string{"leaktrack", "--db", db, "check", "--min-points", "10"}, nil, &out, &errOut); status != want {
				t.Errorf("status %d, want %d\n%s%s", status, want, out.String(), errOut.String())
			}
			if strings.Contains(out.String(), "LeakZoo.Order ") != (mode == "orders") {
				t.Errorf("%s", out.String())
			}
		})
	}
}
