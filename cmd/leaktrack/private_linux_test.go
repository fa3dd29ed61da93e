package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// withUmask runs f under another umask, which is the whole program's: no test
// that calls it may be parallel.
func withUmask(mask int, f func()) {
	old := syscall.Umask(mask)
	defer syscall.Umask(old)
	f()
}

// TestFilesArePrivate: under the most generous umask, nobody else can read what
// holds the content of the store; pages and pictures, which are made to be
// shown, follow the umask.
func TestFilesArePrivate(t *testing.T) {
	logs, err := filepath.Glob("../../testdata/clrheapleak/chained-*.log")
	if err != nil || len(logs) == 0 {
		t.Fatal("no example", err)
	}
	for _, mask := range []int{0, 0o027, 0o077} {
		dir := t.TempDir()
		db := filepath.Join(dir, "x.db")
		withUmask(mask, func() {
			for _, args := range [][]string{
				append([]string{"ingest", "--quiet"}, logs...),
				{"db", "compact"},
				{"db", "backup", filepath.Join(dir, "backup.db")},
				{"export", "-o", filepath.Join(dir, "x.jsonl")},
				{"mail", "--save", filepath.Join(dir, "x.eml")},
				{"report", "-o", filepath.Join(dir, "x.html")},
				{"plot", "-o", filepath.Join(dir, "x.png")},
			} {
				if status, _, errOut := hostileCall(db, args...); status != 0 {
					t.Fatalf("%s: %s", args, errOut)
				}
			}
			f, err := newTraceFile(filepath.Join(dir, "x.nettrace"))
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		for name, most := range map[string]fs.FileMode{"x.db": private, "backup.db": private, "x.jsonl": private, "x.eml": private, "x.nettrace": private,
			"x.html": shown, "x.png": shown} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Error(err)
			} else if want := most &^ fs.FileMode(mask); info.Mode().Perm() != want {
				t.Errorf("umask %03o: %s has mode %03o, want %03o", mask, name, info.Mode().Perm(), want)
			}
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %s", left)
		}
	}
}

// TestClosedFilesStayClosed: a file that was closed to others is not opened by
// being written again.
func TestClosedFilesStayClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.html")
	for _, c := range []struct{ before, mode, want fs.FileMode }{
		{0o600, shown, 0o600},
		{0o640, shown, 0o640},
		{0o644, private, 0o600},
		{0o666, shown, 0o666},
	} {
		if err := os.WriteFile(path, nil, c.before); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.before); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(path, c.mode, func(w io.Writer) error { return nil }); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != c.want {
			t.Errorf("%03o written as %03o: %03o, %v", c.before, c.mode, info.Mode().Perm(), err)
		}
	}
}

// TestLinksAreNotFollowed: in a folder that others may write to, somebody may
// have laid a link where an output is expected. It is replaced or refused; what
// it leads to stays as it was.
func TestLinksAreNotFollowed(t *testing.T) {
	_, db := hostileStore(t)
	for _, name := range []string{"x.html", "x.jsonl", "x.eml", "x.svg", "x.nettrace", "backup.db"} {
		dir := t.TempDir()
		victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, name)
		if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(victim, path); err != nil {
			t.Fatal(err)
		}
		var err error
		switch name {
		case "x.html":
			hostileCall(db, "report", "--force", "-o", path, "5")
		case "x.jsonl":
			hostileCall(db, "export", "-o", path, "5")
		case "x.eml":
			hostileCall(db, "mail", "--force", "--save", path, "5")
		case "x.svg":
			hostileCall(db, "plot", "--force", "-o", path, "5")
		case "backup.db":
			hostileCall(db, "db", "backup", "--force", path)
		case "x.nettrace":
			if mayWriteTrace(path) == nil {
				t.Error("a trace may be saved over a link")
			}
			var f *traceFile
			if f, err = newTraceFile(path); err == nil {
				err = f.Close()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(victim); err != nil || !bytes.Equal(b, []byte("precious")) {
			t.Errorf("%s: what the link leads to is %.20q, %v", name, b, err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			t.Errorf("%s: not written, %v", name, err)
		}
	}
}

// TestCompactTakesNobodysLink: the second file of a compaction has a name that
// can be foreseen.
func TestCompactTakesNobodysLink(t *testing.T) {
	_, db := hostileStore(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(filepath.Dir(db), ".x.db.compact")); err != nil {
		t.Fatal(err)
	}
	if status, _, errOut := hostileCall(db, "db", "compact"); status != 0 {
		t.Fatal(errOut)
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestLivePrivateCore: a core and a saved trace of a running process are their
// owner's alone, whatever the umask of either.
func TestLivePrivateCore(t *testing.T) {
	dir := t.TempDir()
	var pid int
	withUmask(0, func() { pid = zoo(t, "zoo9", "linked", "1") })
	core, trace := filepath.Join(dir, "x.core"), filepath.Join(dir, "x.nettrace")
	withUmask(0, func() {
		for _, args := range [][]string{{"core", "-o", core, strconv.Itoa(pid)}, {"ingest", "--pid", strconv.Itoa(pid), "--save-trace", trace}} {
			if status, _, errOut := hostileCall(filepath.Join(dir, "x.db"), args...); status != 0 {
				t.Fatal(errOut)
			}
		}
	})
	for _, path := range []string{core, trace} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}
