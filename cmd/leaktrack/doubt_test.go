package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// flipMeta flips a bit within the second meta page of a store; pages have 4 KiB
// or, where the system's are larger, more.
func flipMeta(b []byte) []byte {
	b = bytes.Clone(b)
	b[os.Getpagesize()+40] ^= 1
	return b
}

// A store with a damaged meta page may lack its last write: whoever reads it is
// told once, results carry it on, and the next write mends it.
func TestDoubtfulStore(t *testing.T) {
	whole := exampleStore(t)
	db := filepath.Join(t.TempDir(), "x.db")
	const doubt = "a meta page is damaged (page 1: its checksum does not match): the last write may be missing"
	for _, tt := range []struct {
		args    string
		results bool // they tell, too
		mends   bool
	}{
		{"list", false, false},
		{"show CLRHeapLeak.exe", false, false},
		{"trend", true, false},
		{"trend --format json", true, false},
		{"trend --format json --program CLRHeapLeak", true, false},
		{"report --force -o DIR/r.html", false, false},
		{"mail --save DIR/m.eml --force CLRHeapLeak.exe", false, false},
		{"plot --force -o DIR/p.svg CLRHeapLeak.exe", false, false},
		{"export", false, false},
		{"metrics --print", false, false},
		{"db prune --keep 2 --dry-run", false, false},
		{"db prune --keep 2", false, true},
		{"db compact", false, true},
		{"ingest ../../testdata/clrheapleak ../../testdata/leakzoo/watched-steady.jsonl.gz", false, true},
	} {
		if err := os.WriteFile(db, flipMeta(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		call := func(args string) {
			out.Reset()
			errOut.Reset()
			args = strings.ReplaceAll(args, "DIR", filepath.Dir(db))
			if status := run(t.Context(), append([]string{"leaktrack", "--db", db}, strings.Fields(args)...), nil, &out, &errOut); status != 0 {
				t.Fatalf("%s: status %d\n%s", args, status, errOut.String())
			}
		}
		call(tt.args)
		if n := strings.Count(errOut.String(), "leaktrack: warning: "+db+": "+doubt); n != 1 {
			t.Errorf("%s: said %d times:\n%s", tt.args, n, errOut.String())
		}
		told := strings.Contains(strings.Join(strings.Fields(out.String()), " "), doubt)
		if told != tt.results {
			t.Errorf("%s: results tell of it: %v\n%s", tt.args, told, out.String())
		}
		if strings.Contains(tt.args, "--format json") && !json.Valid(bytes.Split(out.Bytes(), []byte("\n"))[0]) {
			t.Errorf("%s: no JSON:\n%s", tt.args, out.String())
		}
		for _, file := range []string{"r.html", "m.eml"} {
			if strings.Contains(tt.args, file) {
				b, err := os.ReadFile(filepath.Join(filepath.Dir(db), file))
				if err != nil || !strings.Contains(string(b), "a meta page is damaged") {
					t.Errorf("%s does not tell of it, %v", file, err)
				}
			}
		}
		if call("list"); strings.Contains(errOut.String(), doubt) == tt.mends {
			t.Errorf("after %s: mended is to be %v:\n%s", tt.args, tt.mends, errOut.String())
		}
	}
}

// exampleStore returns a store that holds the bundled example.
func exampleStore(t *testing.T) []byte {
	t.Helper()
	logs, err := filepath.Glob("../../testdata/clrheapleak/*.log")
	if err != nil || len(logs) == 0 {
		t.Fatal("no example", err)
	}
	path := filepath.Join(t.TempDir(), "shop.db")
	var errOut bytes.Buffer
	if status := run(context.Background(), append([]string{"leaktrack", "--db", path, "ingest", "--quiet"}, logs...), nil, &bytes.Buffer{}, &errOut); status != 0 {
		t.Fatal(errOut.String())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
