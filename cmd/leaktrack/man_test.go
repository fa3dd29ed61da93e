package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

const manGolden = "../../doc/leaktrack.1"

// TestManPage keeps doc/leaktrack.1 in step with the help.
func TestManPage(t *testing.T) {
	var got bytes.Buffer
	app := newApp(&console{out: io.Discard, err: io.Discard})
	app.Setup()
	if err := manPage(&got, app, "(devel)", ""); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(manGolden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(manGolden)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s is not what the help says (%v): go test ./cmd/leaktrack -run TestManPage -update renews it", manGolden, err)
	}
	for _, cmd := range app.VisibleCommands() {
		if cmd.Name != "help" && !strings.Contains(got.String(), ".SS \"leaktrack "+cmd.Name+"\"\n") {
			t.Errorf("%s is missing", cmd.Name)
		}
	}
}

// TestManPageText: no text is obeyed as a request or an escape of roff.
func TestManPageText(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a paragraph", "one\ntwo", "one\ntwo\n"},
		{"two", "one\n\ntwo", "one\n.PP\ntwo\n"},
		{"an example", "Examples:\n   leaktrack ingest *.log", "Examples:\n.EX\n   leaktrack ingest *.log\n.EE\n"},
		{"columns", "check     reads\nprune     thins", ".EX\ncheck     reads\nprune     thins\n.EE\n"},
		{"a request", ".sy rm", "\\&.sy rm\n"},
		{"a request with a quote", "'so /etc/passwd", "\\(aqso /etc/passwd\n"},
		{"an escape", `a\n`, "a\\en\n"},
		{"a flag", "--db", "\\-\\-db\n"},
	} {
		p := &page{}
		p.text(c.text)
		if p.String() != c.want {
			t.Errorf("%s: got %q, want %q", c.name, p.String(), c.want)
		}
	}
	p := &page{}
	p.flags([]cli.Flag{&cli.StringFlag{Name: "xy", Usage: "say `\"THIS\"`"}})
	if want := ".TP\n.B \"\\-\\-xy \\(dqTHIS\\(dq\"\nsay \"THIS\"\n"; p.String() != want {
		t.Errorf("got %q, want %q", p.String(), want)
	}
}
