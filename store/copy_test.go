//go:build linux || darwin

package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// churned is a store that was larger once.
func churned(t *testing.T, path string) {
	t.Helper()
	db := open(t, path, Options{noSync: true})
	for i := range 300 {
		put(t, db, nth(1, i))
	}
	if _, err := db.Prune(PruneOptions{Keep: 30}); err != nil {
		t.Fatal(err)
	}
	db.Close()
}

func TestCompact(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "c.db")
	churned(t, path)
	link := filepath.Join(dir, "link.db")
	if err := errors.Join(os.Symlink(path, link), os.Chmod(path, 0o640),
		os.WriteFile(filepath.Join(dir, ".c.db.compact"), []byte("left by a kill"), 0o600)); err != nil {
		t.Fatal(err)
	}
	db := open(t, path, Options{ReadOnly: true})
	want := all(t, db, nth(1, 0).Process)
	db.Close()
	before, after, err := Compact(link, Options{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(path); err != nil || info.Size() != after || after > before/2 || info.Mode().Perm() != 0o640 {
		t.Errorf("%d bytes, then %d; the file has %d, mode %v, %v", before, after, info.Size(), info.Mode(), err)
	}
	db = open(t, path, Options{})
	got := all(t, db, nth(1, 0).Process)
	if len(got) != 30 || len(want) != 30 {
		t.Fatalf("%d snapshots of %d", len(got), len(want))
	}
	for i := range got {
		if !got[i].Equal(want[i]) {
			t.Errorf("snapshot %d: %s", i, difference(want[i], got[i]))
		}
	}
	put(t, db, nth(1, 1000))
	db.Close()
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 2 {
		t.Errorf("%v: %v", err, names)
	}
	if _, _, err := Compact(filepath.Join(dir, "none.db"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a store that is not there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("compacting made a store")
	}
}

// Damage is not copied over: the file stays as it was, for who can make more of it.
func TestCopiesRefuseDamage(t *testing.T) {
	t.Parallel()
	data, snaps := smallStore(t)
	path := writeTemp(t, data)
	db := open(t, path, Options{noSync: true})
	if err := db.update(spoil(snaps[0].Process)); err != nil {
		t.Fatal(err)
	}
	db.Close()
	before, _ := os.ReadFile(path)
	if _, _, err := Compact(path, Options{}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("compact: %v", err)
	}
	to := filepath.Join(filepath.Dir(path), "copy.db")
	if _, err := Backup(path, to, true, Options{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("backup: %v", err)
	}
	after, _ := os.ReadFile(path)
	if names, _ := os.ReadDir(filepath.Dir(path)); !bytes.Equal(before, after) || len(names) != 1 {
		t.Errorf("the file changed, or something was left: %v", names)
	}
}

// The comparison of a copy has seen copies that differ.
func TestSameValues(t *testing.T) {
	t.Parallel()
	data, snaps := smallStore(t)
	p := snaps[0].Process
	key := snapshotKey(7*time.Second, heap.All, false)
	in := func(f func(sp *space) error) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			sp, err := find(tx, p)
			if err != nil {
				return err
			}
			return f(sp)
		}
	}
	for _, tt := range []struct {
		why    string
		change func(tx *bbolt.Tx) error
		want   error
	}{
		{"the same", func(*bbolt.Tx) error { return nil }, nil},
		{"one value less", in(func(sp *space) error { return sp.snapshots.Delete(key) }), ErrCorrupt},
		{"the last value less", in(func(sp *space) error { k, _ := sp.snapshots.Cursor().Last(); return sp.snapshots.Delete(k) }), ErrCorrupt},
		{"one value more", in(func(sp *space) error { return sp.snapshots.Put(snapshotKey(time.Hour, heap.All, false), []byte{1}) }), ErrCorrupt},
		{"another value", in(func(sp *space) error { return sp.snapshots.Put(key, []byte{1}) }), ErrCorrupt},
		{"a bucket less", func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketProcesses).DeleteBucket(bucketKey(encodeProcess(p)))
		}, ErrCorrupt},
		{"another number", in(func(sp *space) error { return sp.snapshots.SetSequence(1) }), ErrCorrupt},
		{"another version", func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyVersion, []byte{0}) }, ErrCorrupt},
	} {
		a := open(t, writeTemp(t, data), Options{noSync: true})
		b := open(t, writeTemp(t, data), Options{noSync: true})
		if err := b.bolt.Update(tt.change); err != nil {
			t.Fatal(tt.why, err)
		}
		err := a.bolt.View(func(x *bbolt.Tx) error {
			return b.bolt.View(func(y *bbolt.Tx) error {
				return sameValues(x.Cursor(), y.Cursor(), x.Bucket, y.Bucket)
			})
		})
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v", tt.why, err)
		}
	}
}

// Killed at any moment, a compaction leaves a file with every snapshot.
func TestKilledWhileCompacting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "k.db")
	churned(t, path)
	done := 0
	for round := range 25 {
		cmd, out := startChild(t, path, "compact")
		time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatalf("round %d: the child ended by itself: %v", round, err)
		}
		for {
			if _, err := out.ReadString('\n'); err != nil {
				break
			}
			done++
		}
		_ = cmd.Wait()
		h, err := Check(path, Options{})
		if err != nil || !h.Sound() {
			t.Fatalf("round %d: %v, %+v", round, err, h)
		}
		if n, _ := h.Snapshots(); n != 30+round {
			t.Fatalf("round %d: %d snapshots, want %d", round, n, 30+round)
		}
		db := open(t, path, Options{noSync: true})
		put(t, db, nth(1, 1000+round))
		db.Close()
	}
	if done == 0 {
		t.Error("no compaction was ever done: the kills came too early to test anything")
	}
}

// Two processes store, one compacts, one backs up: nothing that was stored is
// lost, and every backup is a sound state of the store.
func TestCompactAndBackupWhileOthersWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "w.db")
	db := open(t, path, Options{})
	put(t, db, nth(9, 0))
	db.Close()
	const count = 40
	var writers sync.WaitGroup
	for pid := 1; pid <= 2; pid++ {
		cmd, _ := startChild(t, path, "share", strconv.Itoa(pid), strconv.Itoa(count))
		writers.Go(func() {
			if err := cmd.Wait(); err != nil {
				t.Errorf("child %d: %v", pid, err)
			}
		})
	}
	over := make(chan struct{})
	go func() { writers.Wait(); close(over) }()
	compacted, backups := 0, 0
	for running := true; running; {
		select {
		case <-over:
			running = false
		default:
		}
		if _, _, err := Compact(path, Options{}); err != nil {
			t.Fatal(err)
		}
		compacted++
		copied := filepath.Join(dir, fmt.Sprintf("b%d.db", backups))
		if _, err := Backup(path, copied, false, Options{}); err != nil {
			t.Fatal(err)
		}
		backups++
		b := open(t, copied, Options{ReadOnly: true})
		infos, err := b.Processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			for k, s := range all(t, b, i.Process) {
				if !s.Equal(nth(i.Process.PID, k)) {
					t.Fatalf("backup %d, snapshot %d of %v: %s", backups, k, i.Process, difference(s, nth(i.Process.PID, k)))
				}
			}
		}
		b.Close()
	}
	db = open(t, path, Options{ReadOnly: true})
	for pid := 1; pid <= 2; pid++ {
		if n := len(all(t, db, nth(pid, 0).Process)); n != count {
			t.Errorf("process %d: %d snapshots, want %d", pid, n, count)
		}
	}
	t.Logf("%d compactions, %d backups", compacted, backups)
}

func TestBackup(t *testing.T) {
	t.Parallel()
	data, _ := smallStore(t)
	path := writeTemp(t, data)
	dir := t.TempDir()
	to := filepath.Join(dir, "b.db")
	size, err := Backup(path, to, false, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(to); err != nil || info.Size() != size || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if h, err := Check(to, Options{}); err != nil || !h.Sound() {
		t.Errorf("%v %+v", err, h)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, data) {
		t.Error("the store changed")
	}
	hard := filepath.Join(dir, "hard.db")
	if err := os.Link(path, hard); err != nil {
		// A backup on another disk has no links; both are folders for tests.
		t.Fatal(err)
	}
	for _, tt := range []struct {
		why, from, to string
		replace       bool
		says          string
	}{
		{"there is a file", path, to, false, "file already exists"},
		{"the store itself", path, path, true, "the store itself"},
		{"the store by another name", path, hard, true, "the store itself"},
		{"a folder", path, dir, true, "no regular file"},
		{"no folder", path, filepath.Join(dir, "no", "b.db"), false, "no such file"},
		{"no store", filepath.Join(dir, "none.db"), filepath.Join(dir, "x.db"), false, "no such file"},
	} {
		if _, err := Backup(tt.from, tt.to, tt.replace, Options{}); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.why, err)
		}
	}
	if _, err := Backup(path, to, true, Options{}); err != nil {
		t.Errorf("replacing: %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 2 {
		t.Errorf("something was left: %v", names)
	}
}
