package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// smallStore returns the bytes of a store with branch pages, overflow pages,
// inline buckets and free pages, and what is in it.
func smallStore(t *testing.T) (data []byte, snaps []*heap.Snapshot) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.db")
	db := open(t, path, Options{noSync: true})
	for i := range 40 {
		s := nth(1, i)
		s.Warn("", "%s", strings.Repeat("text ", 30+i)) // more bytes, more pages
		snaps = append(snaps, s)
	}
	snaps[25].Warn("", "%s", strings.Repeat("x", 9000))
	snaps = append(snaps, nth(2, 0))
	put(t, db, snaps...)
	db.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data, snaps
}

// readAll reads everything there is in every way.
func readAll(db *DB) ([]*heap.Snapshot, error) {
	infos, err := db.Processes()
	if err != nil {
		return nil, err
	}
	var out []*heap.Snapshot
	for _, p := range infos {
		for s, err := range db.Snapshots(p.Process) {
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		if _, err := db.TypeNames(p.Process); err != nil {
			return nil, err
		}
		if _, err := db.Series(p.Process, heap.All, "A"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// typed reports whether err is one that a damaged file may give.
func typed(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotStore) || errors.Is(err, ErrVersion)
}

var damageStep = flag.Int("damage-step", 997, "flip a bit in every so many bytes of a store")

// Every damaged file gives an error or the right data, never a crash. A meta
// page that is damaged gives the state before the last commit, and a warning.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	data, want := smallStore(t)
	path := filepath.Join(t.TempDir(), "d.db")
	// Written in place: file systems sync a file that was emptied and rewritten.
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tries, refused, right, older := 0, 0, 0, 0
	try := func(what string, damaged []byte, meta bool) {
		t.Helper()
		_, err := file.WriteAt(damaged, 0)
		if err == nil {
			err = file.Truncate(int64(len(damaged)))
		}
		if err != nil {
			t.Fatal(err)
		}
		warnings := 0
		db, err := Open(path, Options{ReadOnly: true, Warning: func(string, string) { warnings++ }})
		var got []*heap.Snapshot
		if err == nil {
			got, err = readAll(db)
			db.Close()
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(after, damaged) {
			t.Fatalf("%s: reading changed the file", what)
		}
		switch {
		case err != nil:
			if refused++; !typed(err) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", what, err)
			}
		default:
			same := 0
			for same < len(got) && same < len(want) && got[same].Equal(want[same]) {
				same++
			}
			switch {
			case same == len(want) && same == len(got):
				right++
			case meta && same == len(want)-1 && same == len(got):
				if older++; warnings != 1 {
					t.Errorf("%s: the state before the last commit and %d warnings", what, warnings)
				}
			default:
				t.Errorf("%s: no error and %d of %d snapshots, %d of them right", what, len(got), len(want), same)
			}
		}
		// Writing to such a file must not crash, either.
		if tries++; tries%10 != 0 {
			return
		}
		if db, err = Open(path, Options{noSync: true}); err == nil {
			_, err = db.Put(nth(1, 1000), false)
			db.Close()
		}
		if err != nil && !typed(err) {
			t.Errorf("%s, writing: %v", what, err)
		}
	}
	page := 4096
	if m, err := readMeta(bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	} else {
		page = int(m.pageSize)
	}
	flip := func(i, bit int) {
		d := bytes.Clone(data)
		d[i] ^= 1 << bit
		try(fmt.Sprintf("byte %#x, bit %d", i, bit), d, i < 2*page)
	}
	// All of the heads of pages with their first elements, some of the rest.
	for start := 0; start < len(data); start += page {
		for i := start; i < start+24; i++ {
			flip(i, (i*5+start/page)%8)
		}
	}
	for i := 0; i < len(data); i += *damageStep {
		flip(i, i%8)
	}
	for n := 0; n < len(data); n += 1 + 1531*min(n, 1) {
		if n > 0 { // the empty file is another matter
			try(fmt.Sprintf("cut to %d bytes", n), data[:n], false)
		}
	}
	for start := 0; start < len(data); start += page {
		d := bytes.Clone(data)
		clear(d[start : start+page])
		try(fmt.Sprintf("page %d zeroed", start/page), d, start < 2*page)
		d = bytes.Clone(data)
		copy(d[start:start+page], data[2*page:])
		try(fmt.Sprintf("page %d overwritten with page 2", start/page), d, start < 2*page)
		copy(d[start:start+page], data[(start+page)%len(data):])
		try(fmt.Sprintf("page %d overwritten with the next", start/page), d, start < 2*page)
	}
	// A page size that does not fit, under a right checksum.
	for _, at := range []int{0, page, -1} {
		for _, size := range []uint32{0, 1, 1024, 8192, 5000, 1 << 31} {
			d := bytes.Clone(data)
			if at < 0 {
				clear(d[:page])
			}
			meta := d[max(at, 0)+pageHead:]
			if at < 0 {
				meta = d[page+pageHead:]
			}
			binary.NativeEndian.PutUint32(meta[8:], size)
			h := fnv.New64a()
			h.Write(meta[:56])
			binary.NativeEndian.PutUint64(meta[56:], h.Sum64())
			try(fmt.Sprintf("page size %d in the meta page at %d", size, at), d, false)
		}
	}
	t.Logf("%d bytes: %d refused, %d right, %d of the commit before", len(data), refused, right, older)
	if refused == 0 || right == 0 || older == 0 {
		t.Error("a kind of outcome never came")
	}
}

// One meta page is damaged or of another commit: every opening says so, until a write has mended it.
func TestMetaPageWarns(t *testing.T) {
	t.Parallel()
	data, snaps := smallStore(t)
	m := metaOf(t, writeTemp(t, data))
	newer, older := int64(m.txid%2)*m.pageSize, int64((m.txid+1)%2)*m.pageSize
	for _, tt := range []struct {
		why    string
		damage func(d []byte)
		left   int // snapshots
		says   string
	}{
		{"neither", func([]byte) {}, len(snaps), ""},
		{"the younger one", func(d []byte) { d[newer+pageHead+20] ^= 1 }, len(snaps) - 1, "a meta page is damaged (page 1: its checksum does not match)"},
		{"the older one", func(d []byte) { d[older+pageHead+20] ^= 1 }, len(snaps), "a meta page is damaged (page 0: its checksum does not match)"},
		{"the younger one is zeros", func(d []byte) { clear(d[newer : newer+m.pageSize]) }, len(snaps) - 1, "a meta page is damaged (page 1: its first bytes"},
		{"the younger one is a copy of the older", func(d []byte) { copy(d[newer:newer+m.pageSize], d[older:]) }, len(snaps) - 1,
			fmt.Sprintf("a meta page is damaged (page 1: it is of commit %d, and the file of commit %d)", m.txid-1, m.txid-1)},
	} {
		if newer != m.pageSize {
			t.Fatal("the younger meta page is page 0: change the messages above")
		}
		d := bytes.Clone(data)
		tt.damage(d)
		path := writeTemp(t, d)
		var said []string
		o := Options{noSync: true, Warning: func(p, text string) {
			if p != path {
				t.Errorf("%s: warned of %s", tt.why, p)
			}
			said = append(said, text)
		}}
		reading := o
		reading.ReadOnly = true
		db := open(t, path, reading)
		got, err := readAll(db)
		db.Close()
		if err != nil || len(got) != tt.left {
			t.Errorf("%s: %d snapshots, %v", tt.why, len(got), err)
		}
		db = open(t, path, o)
		db.Close()
		h, err := Check(path, Options{})
		if err != nil || h.Mendable() != (tt.says != "") {
			t.Errorf("%s: %v, %v", tt.why, h, err)
		}
		want := 2
		if tt.says == "" {
			want = 0
		}
		if len(said) != want {
			t.Fatalf("%s: two openings said %q", tt.why, said)
		}
		for _, s := range said {
			if !strings.HasPrefix(s, tt.says) {
				t.Errorf("%s: said %q", tt.why, s)
			}
		}
		if _, err := Backup(path, filepath.Join(t.TempDir(), "b.db"), false, Options{}); tt.says != "" && (!errors.Is(err, ErrMeta) || !strings.Contains(err.Error(), "db compact mends it")) {
			t.Errorf("%s: backup: %v", tt.why, err)
		}
		said = nil
		db = open(t, path, o)
		put(t, db, nth(3, 0))
		db.Close()
		if len(said)*2 != want {
			t.Errorf("%s: the opening that mends said %q", tt.why, said)
		}
		said = nil
		db = open(t, path, reading)
		db.Close()
		if h, err := Check(path, Options{}); len(said) != 0 || err != nil || !h.Sound() {
			t.Errorf("%s: after a write: said %q, %v, %v", tt.why, said, h, err)
		}
	}
	// Compacting writes all of it anew.
	d := bytes.Clone(data)
	d[older+pageHead] ^= 1
	path, warnings := writeTemp(t, d), 0
	if _, _, err := Compact(path, Options{Warning: func(string, string) { warnings++ }}); err != nil || warnings != 1 {
		t.Errorf("compacting: %v, %d warnings", err, warnings)
	}
	if h, err := Check(path, Options{}); err != nil || !h.Sound() {
		t.Errorf("after compacting: %v, %v", h, err)
	}
}

// numbered makes buckets, one in another, each with a number and a value.
func numbered(tx *bbolt.Tx, path ...string) error {
	in := tx.Cursor().Bucket() // the root
	for _, name := range path {
		b, err := in.CreateBucketIfNotExists([]byte(name))
		if err == nil {
			err = errors.Join(b.SetSequence(77), b.Put([]byte("key"), []byte("value")))
		}
		if err != nil {
			return err
		}
		in = b
	}
	return nil
}

// The file is cut while it is mapped: reading gives an error.
func TestCutWhileOpen(t *testing.T) {
	t.Parallel()
	data, _ := smallStore(t)
	path := filepath.Join(t.TempDir(), "c.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db := open(t, path, Options{ReadOnly: true})
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(db); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bolt := func(name string, fill func(tx *bbolt.Tx) error) string {
		path := filepath.Join(dir, name)
		b, err := bbolt.Open(path, 0o600, nil)
		if err == nil {
			err = errors.Join(b.Update(fill), b.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := bolt("foreign.db", func(tx *bbolt.Tx) error {
		// It has buckets of our names, and numbers in them that mean something else.
		for _, path := range [][]string{{"processes", "p", "snapshots"}, {"v1", "snapshots"}, {"snapshots"}} {
			if err := numbered(tx, path...); err != nil {
				return err
			}
		}
		return nil
	})
	future := bolt("future.db", func(tx *bbolt.Tx) error {
		if err := errors.Join(numbered(tx, "leaktrack"), numbered(tx, "processes", "p", "snapshots")); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Put(keyVersion, []byte{formatVersion + 1})
	})
	tests := []struct {
		why, path string
		readOnly  bool
		want      error
		says      string
	}{
		{"missing", filepath.Join(dir, "none.db"), true, fs.ErrNotExist, "ingest makes it"},
		{"missing folder", filepath.Join(dir, "none", "x.db"), false, fs.ErrNotExist, "folder"},
		{"text", file("text", bytes.Repeat([]byte("no store\n"), 5000)), false, ErrNotStore, "another file"},
		{"short text", file("short", []byte("x")), true, ErrNotStore, "another file"},
		{"zeros", file("zeros", make([]byte, 65536)), false, ErrNotStore, "another file"},
		{"empty, for reading", file("empty", nil), true, ErrNotStore, "empty"},
		{"directory", dir, false, ErrNotStore, "directory"},
		{"directory, for reading", dir, true, ErrNotStore, "directory"},
		{"bbolt file of another program", foreign, false, ErrNotStore, "another program"},
		{"the same, for reading", foreign, true, ErrNotStore, "another program"},
		{"future version", future, false, ErrVersion, "format 3"},
		{"future version, for reading", future, true, ErrVersion, "format 3"},
	}
	for _, tt := range tests {
		before, errBefore := os.ReadFile(tt.path)
		_, err := Open(tt.path, Options{ReadOnly: tt.readOnly})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || strings.Count(err.Error(), tt.path) != 1 {
			t.Errorf("%s: %v, want %v saying %q", tt.why, err, tt.want, tt.says)
		}
		after, errAfter := os.ReadFile(tt.path)
		if !bytes.Equal(before, after) || (errBefore == nil) != (errAfter == nil) {
			t.Errorf("%s: the file changed", tt.why)
		}
	}
}

func TestFutureValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	db := open(t, path, Options{noSync: true})
	s := nth(1, 0)
	put(t, db, s)
	err := db.update(func(tx *bbolt.Tx) error {
		sp, err := find(tx, s.Process)
		if err != nil {
			return err
		}
		return sp.snapshots.Put(snapshotKey(time.Hour, heap.All, false), []byte("\x03something new"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Get(s.Process, 0, heap.All); err != nil {
		t.Errorf("the older value: %v", err)
	}
	if _, err := db.Last(s.Process); !errors.Is(err, ErrVersion) {
		t.Errorf("the newer value: %v, want ErrVersion", err)
	}
}

func TestUnfinishedCreation(t *testing.T) {
	full := filepath.Join(t.TempDir(), "b.db")
	b, err := bbolt.Open(full, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	data, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	var files [][]byte
	for n := 0; n <= len(data); n += 4096 {
		files = append(files, data[:n])
	}
	page := os.Getpagesize()
	for there := range 16 { // a power cut: each page was written or not
		d := bytes.Clone(data)
		for p := range 4 {
			if there>>p&1 == 0 {
				clear(d[p*page : (p+1)*page])
			}
		}
		files = append(files, d)
	}
	for i, data := range files {
		path := filepath.Join(t.TempDir(), "u.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{ReadOnly: true}); !errors.Is(err, ErrEmpty) || !errors.Is(err, ErrNotStore) {
			t.Errorf("file %d, for reading: %v", i, err)
		}
		if _, err := Check(path, Options{}); !errors.Is(err, ErrEmpty) {
			t.Errorf("file %d, checking: %v", i, err)
		}
		db := open(t, path, Options{})
		put(t, db, nth(1, 0))
		db.Close()
	}
	// What only looks a little like it stays as it is.
	for _, text := range []string{"x", "notes\n", strings.Repeat("0", page), string(data[:2*page]) + "notes"} {
		path := writeTemp(t, []byte(text))
		if _, err := Open(path, Options{}); !typed(err) {
			t.Errorf("%.10q: %v", text, err)
		}
		if after, _ := os.ReadFile(path); string(after) != text {
			t.Errorf("%.10q was changed", text)
		}
	}
}

func TestAdvice(t *testing.T) {
	for _, tt := range []struct {
		err      error
		readOnly bool
		want     string
	}{
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, false, "free some space"},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, false, "right to write"},
		{fmt.Errorf("%w: %w", ErrCorrupt, mixedState("two moments")), true, "copy the original again with leaktrack db backup"},
		{fmt.Errorf("a: %w", ErrLocked), false, "try again"},
		{ErrNotFound, false, "not in the store"},
	} {
		got := advise(tt.err, tt.readOnly)
		if !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.want) {
			t.Errorf("%v: %v, want %q in it", tt.err, got, tt.want)
		}
	}
}
