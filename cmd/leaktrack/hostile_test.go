package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// hostileNames are names of types, programs and hosts as an attacker would
// choose them.
var hostileNames = []string{
	"\x1b]0;owned\x07\x1b[2J",                       // a title, and an empty screen
	"\u009b31mRed",                                  // the same in the characters of C1
	"a\rb\nleaktrack: all is well",                  // another line
	"\u202egpj.exe",                                 // written backwards
	`=HYPERLINK("http://evil.example";"click me")`,  // a formula
	"+1+cmd|' /C calc'!A0",                          //
	"@SUM(A1:A9)",                                   //
	"-2+3+cmd|' /C calc'!A0",                        //
	"<script>alert(1)</script>",                     // a page
	`"><img src=x onerror=alert(1)>`,                //
	"$(touch /tmp/owned)`touch /tmp/owned`;'\"",     // a shell
	"../../../../etc/passwd",                        // a path
	"/dev/full",                                     //
	"A\x00B",                                        // the end of a string in C
	"Subject: x\r\nBcc: victim@example.com\r\n\r\n", // a head of a mail
	strings.Repeat("Long.", 5000),
}

// hostileStore holds growing types of all these names, in processes of these
// names, on hosts of these names, from a file of such a name.
func hostileStore(t *testing.T) (dir, db string) {
	t.Helper()
	dir = t.TempDir()
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i, name := range hostileNames {
		for k := range 6 {
			var types []map[string]any
			for j, n := range hostileNames {
				types = append(types, map[string]any{"name": n, "count": 100 + k*(10+j), "bytes": 24 * (100 + k*(10+j))})
			}
			line := map[string]any{"process": map[string]any{"host": name[:min(len(name), 200)], "program": name[:min(len(name), 200)], "pid": i + 1},
				"uptime_seconds": 60 * (k + 1), "source": "json", "basis": "live", "complete": true, "types": types,
				"warnings": []map[string]any{{"place": name[:min(len(name), 200)], "text": name}}}
			if err := enc.Encode(line); err != nil {
				t.Fatal(err)
			}
		}
	}
	input := filepath.Join(dir, "a\x1b[2J\u202eb.jsonl")
	if err := os.WriteFile(input, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	db = filepath.Join(dir, "x.db")
	status, out, errOut := hostileCall(db, "ingest", dir)
	if status != 0 {
		t.Fatal(errOut)
	}
	harmless(t, "ingest", out+errOut)
	return dir, db
}

func hostileCall(db string, args ...string) (status int, out, errOut string) {
	var o, e bytes.Buffer
	status = run(context.Background(), append([]string{"leaktrack", "--db", db}, args...), strings.NewReader(""), &o, &e)
	return status, o.String(), e.String()
}

// harmless wants text of which a terminal obeys nothing.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	for i, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%s prints %q: …%q…", what, r, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
}

// TestHostileNamesInText runs every verb that prints over a store of hostile
// names, in every form: no control character, escape sequence or mark that
// turns the writing is printed as it is; JSON gives the names back as they are;
// no cell of a table is a formula.
func TestHostileNamesInText(t *testing.T) {
	_, db := hostileStore(t)
	one := "5" // a pid
	for _, call := range [][]string{
		{"list"}, {"list", one}, {"show", one}, {"show", "--all", one}, {"diff", one}, {"diff", "--all", one},
		{"trend"}, {"trend", "--all"}, {"check"}, {"db", "check"}, {"db", "prune", "--dry-run", "--keep", "1"},
	} {
		forms := []string{"table", "csv", "json"}
		if call[0] == "check" {
			forms = []string{"text", "json", "junit"}
		}
		for _, form := range forms {
			n := len(call)
			if call[n-1] == one {
				n--
			}
			args := append(append(append([]string{}, call[:n]...), "--format", form), call[n:]...)
			what := strings.Join(args, " ")
			status, out, errOut := hostileCall(db, args...)
			if want := map[bool]int{true: exitLeak}[call[0] == "check"]; status != want || out == "" {
				t.Errorf("%s: status %d, %s", what, status, errOut)
			}
			harmless(t, what, out+errOut)
			switch form {
			case "json":
				for line := range strings.Lines(out) {
					if !json.Valid([]byte(line)) {
						t.Errorf("%s: no JSON: %.200s", what, line)
					}
				}
			case "csv":
				noFormula(t, what, out)
			}
		}
	}
	// What is not stored is said without its teeth, too.
	for _, name := range hostileNames {
		if strings.Contains(name, "\x00") {
			continue // no argument can hold it
		}
		for _, args := range [][]string{{"trend", name}, {"trend", "--type", "x" + name, one}, {name}, {"show", "--at", name, one}, {"trend", "--format", name}, {"ingest", name + "x"}} {
			_, out, errOut := hostileCall(db, args...)
			harmless(t, fmt.Sprintf("%q", args), out+errOut)
		}
	}
}

func noFormula(t *testing.T, what, text string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if _, err := strconv.ParseFloat(cell, 64); err != nil && cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("%s: a spreadsheet computes %q", what, cell)
			}
		}
	}
}

// TestHostileNamesSurvive: the names that are stored and exported are the ones
// that came in, to the last character.
func TestHostileNamesSurvive(t *testing.T) {
	_, db := hostileStore(t)
	status, out, errOut := hostileCall(db, "export", "5")
	if status != 0 {
		t.Fatal(errOut)
	}
	harmless(t, "export", out)
	for line := range strings.Lines(out) {
		var s struct {
			Types []struct {
				Name string `json:"name"`
			} `json:"types"`
		}
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, x := range s.Types {
			got[x.Name] = true
		}
		for _, name := range hostileNames {
			if !got[name] {
				t.Errorf("%q is lost", name)
			}
		}
	}
}

var safeName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// TestHostileNamesInPaths: names of processes become parts of file names, and
// never leave the folder that was named.
func TestHostileNamesInPaths(t *testing.T) {
	dir, db := hostileStore(t)
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	status, printed, errOut := hostileCall(db, "plot", "--width", "320", "-o", filepath.Join(out, "leak.svg"))
	if status != 0 {
		t.Fatal(errOut)
	}
	harmless(t, "plot", printed+errOut)
	files, err := os.ReadDir(out)
	if err != nil || len(files) != len(hostileNames) {
		t.Errorf("%d files for %d processes, %v", len(files), len(hostileNames), err)
	}
	for _, f := range files {
		if !safeName.MatchString(f.Name()) || !strings.HasSuffix(f.Name(), ".svg") {
			t.Errorf("a file %q", f.Name())
		}
	}
}

// TestBesides: ordinary names stay as they are, and none is too long for a file.
func TestBesides(t *testing.T) {
	for _, c := range []struct{ name, ref, want string }{
		{"a name and a pid", "CLRHeapLeak.exe/2044", "out/leak-CLRHeapLeak.exe-2044.png"},
		{"the second run", "Shop.Web/7#2", "out/leak-Shop.Web-7-2.png"},
		{"a way out", "../../etc/passwd/7", "out/leak-etc-passwd-7.png"},
		{"long", strings.Repeat("x", 5000), "out/leak-" + strings.Repeat("x", 100) + ".png"},
	} {
		if got := besides("out/leak.png", c.ref); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// TestPlotsOfLikeNames: processes whose names are the same in a file name each
// get a file.
func TestPlotsOfLikeNames(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "x.db")
	var lines bytes.Buffer
	for _, program := range []string{"a b", "a-b", "a\u202eb", strings.Repeat("x", 150) + "1", strings.Repeat("x", 150) + "2"} {
		for k := range 3 {
			fmt.Fprintf(&lines, `{"process":{"program":"%s","pid":7},"uptime_seconds":%d,"source":"json","basis":"live","complete":true,"types":[{"name":"A","count":%d,"bytes":%d}]}`+"\n", program, 60*(k+1), 100*k, 2400*k)
		}
	}
	input := filepath.Join(dir, "x.jsonl")
	if err := os.WriteFile(input, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, errOut := hostileCall(db, "ingest", input); status != 0 {
		t.Fatal(errOut)
	}
	status, out, errOut := hostileCall(db, "plot", "--width", "320", "-o", filepath.Join(dir, "p.svg"))
	files, err := filepath.Glob(filepath.Join(dir, "p-*.svg"))
	if status != 0 || err != nil || len(files) != 5 {
		t.Errorf("status %d, %d files\n%s%s", status, len(files), out, errOut)
	}
}
