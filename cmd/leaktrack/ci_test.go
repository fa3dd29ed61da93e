package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every call of leaktrack in the page about CI is one that leaktrack takes,
// and the check says of the recorded programs what the page promises.
func TestCIPage(t *testing.T) {
	page, err := os.ReadFile("../../doc/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	call := func(args ...string) (int, string) {
		var out, errOut bytes.Buffer
		status := run(context.Background(), append([]string{"leaktrack"}, args...), nil, &out, &errOut)
		return status, out.String() + errOut.String()
	}
	ignore := filepath.Join(dir, ".leaktrack-ignore")
	if err := os.WriteFile(ignore, []byte("Shop.Audit.Entry # written out at midnight only\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	verbs := map[string]int{}
	for _, program := range []struct {
		name   string
		status int
	}{{"orders", exitLeak}, {"steady", exitOK}} {
		db := filepath.Join(dir, program.name+".db")
		if status, said := call("ingest", "--db", db, "../../testdata/leakzoo/watched-"+program.name+".jsonl.gz"); status != exitOK {
			t.Fatalf("%s: %s", program.name, said)
		}
		for line := range strings.Lines(string(page)) {
			fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "- "))
			if len(fields) < 2 || fields[0] != "leaktrack" || strings.HasSuffix(strings.TrimSpace(fields[1]), ":") {
				continue
			}
			verb, args := fields[1], fields[2:]
			verbs[verb]++
			want := exitOK
			switch verb {
			case "check":
				want = program.status
			case "watch": // there is no such process, which is found out behind the flags
				args[len(args)-1] = "no-such-program-in-this-test"
				want = exitFailed
			}
			for i, a := range args {
				if strings.HasSuffix(a, ".xml") || strings.HasSuffix(a, ".html") || a == ".leaktrack-ignore" {
					args[i] = filepath.Join(dir, a)
				}
			}
			status, said := call(append([]string{verb, "--db", db}, args...)...)
			if status != want || verb == "watch" && !strings.Contains(said, "no-such-program") || strings.Contains(said, "--help") {
				t.Errorf("%s: %s: status %d, want %d: %s", program.name, strings.TrimSpace(line), status, want, said)
			}
		}
	}
	for _, verb := range []string{"watch", "check", "report"} {
		if verbs[verb] != 4 {
			t.Errorf("%s stands %d times in the page's two jobs, read twice", verb, verbs[verb])
		}
	}
	for _, file := range []string{"leaktrack.xml", "leaktrack.html"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}
