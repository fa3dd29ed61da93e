//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot/cmpimg"
)

// block is one fenced block of the README.
type block struct {
	line int
	kind string // the word behind the fence: sh, text, …
	text string
}

func blocks(t *testing.T, path string) []block {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	var open *block
	for i, line := range strings.SplitAfter(string(b), "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{line: i + 1, kind: strings.TrimSpace(strings.TrimPrefix(line, "```"))}
		case fence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: fence is never closed", path, open.line)
	}
	return out
}

// TestREADME runs every command of the README in a fresh copy of the project,
// in order, and compares what it prints with the text block that follows.
func TestREADME(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command")
	}
	t.Parallel()
	root := copyProject(t)
	inputs(t, root)
	all := blocks(t, filepath.Join(root, "README.md"))
	ran := 0
	for i, b := range all {
		if b.kind != "sh" {
			continue
		}
		if strings.TrimSpace(b.text) == "go test ./..." {
			continue // that is how we got here
		}
		ran++
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", b.text)
		cmd.Dir = root
		// With -trimpath the cache of builds serves a copy in a folder of another name.
		cmd.Env = append(os.Environ(), "PATH="+root+string(os.PathListSeparator)+os.Getenv("PATH"), "NO_COLOR=1", "LEAKTRACK_DB=", "GOFLAGS=-buildvcs=false -trimpath")
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		if err := cmd.Run(); err != nil {
			t.Fatalf("README.md:%d: %v\n%s\nstdout:\n%s\nstderr:\n%s", b.line, err, b.text, out.String(), errOut.String())
		}
		if i+1 < len(all) && all[i+1].kind == "text" {
			want := all[i+1]
			if *update {
				renew(t, "../../README.md", want, out.String())
			} else if out.String() != want.text {
				t.Errorf("README.md:%d: the output is not what README.md:%d says\ngot:\n%s\nwant:\n%s", b.line, want.line, out.String(), want.text)
			}
		}
	}
	if ran == 0 {
		t.Error("no command in the README was run")
	}
	if *update {
		b, err := os.ReadFile(filepath.Join(root, "leak.png"))
		if err == nil {
			err = os.WriteFile("../../doc/leak.png", b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	samePicture(t, filepath.Join(root, "leak.png"), "../../doc/leak.png")
}

// samePicture wants the picture that the README shows to be the one that its
// command draws; edges may differ by a shade between processors.
func samePicture(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	same, err := cmpimg.EqualApprox("png", a, b, 0.1)
	if err != nil || !same {
		t.Errorf("%s is not what the README's command draws (%v); go test ./cmd/leaktrack -run README -update renews it", want, err)
	}
}

func renew(t *testing.T, path string, old block, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	fenced := fmt.Sprintf("```text\n%s```", old.text)
	if strings.Count(s, fenced) != 1 {
		t.Fatalf("README.md:%d: cannot tell which block to renew", old.line)
	}
	s = strings.Replace(s, fenced, fmt.Sprintf("```text\n%s```", text), 1)
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inputs puts files into the folder that stand for those a user would have.
func inputs(t *testing.T, root string) {
	t.Helper()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("heap.txt", "> dumpheap -stat\nStatistics:\n          MT Count TotalSize Class Name\n"+
		"7ff912345678 1,200    38,400 Shop.Cart\nTotal 1,200 objects, 38,400 bytes\n")
	trace, err := os.ReadFile(filepath.Join(root, "ingest/nettrace/testdata/linked-zoo9.nettrace.gz"))
	if err != nil {
		t.Fatal(err)
	}
	write("linked.nettrace.gz", string(trace))
	for i := range 4 {
		name := fmt.Sprintf("night/20261122_01%d000_2044.txt", i)
		write(name, fmt.Sprintf("%d  GC Heap bytes\n%d  GC Heap objects\n\n  Object Bytes     Count  Type\n            32     %d  Shop.Cart  [Shop.dll]\n",
			32*(100+1000*i), 100+1000*i, 100+1000*i))
		at := time.Date(2026, 11, 22, 1, 10*i, 0, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(root, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLiveREADME runs the commands that need a running process.
func TestLiveREADME(t *testing.T) {
	pid := zoo(t, "zoo9", "linked", "10")
	dir := t.TempDir()
	ran := 0
	for _, b := range blocks(t, "../../README.md") {
		if b.kind != "sh live" {
			continue
		}
		ran++
		// Another process of that name may run on this machine.
		text := strings.ReplaceAll(b.text, " LeakZoo", " "+strconv.Itoa(pid))
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", text)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "LEAKTRACK_DB=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("README.md:%d: %v\n%s\n%s", b.line, err, b.text, out)
		}
	}
	if ran == 0 {
		t.Error("the README has no live command")
	}
}

// copyProject copies what a stranger gets, without what builds leave behind.
func copyProject(t *testing.T) string {
	t.Helper()
	from, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && rel != ".":
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case !d.Type().IsRegular(), rel == "leaktrack", filepath.Ext(rel) == ".db", filepath.Dir(rel) == "." && filepath.Ext(rel) == ".png":
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}
