package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// inBolt changes a store behind the back of this package, but for the number of the
// commit.
func inBolt(t *testing.T, path string, f func(tx *bbolt.Tx) error) {
	t.Helper()
	b, err := bbolt.Open(path, 0o600, nil)
	if err == nil {
		err = errors.Join(b.Update(func(tx *bbolt.Tx) error {
			err := f(tx)
			if err == nil && tx.Bucket(bucketMeta) != nil {
				err = signed(tx)
			}
			return err
		}), b.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckNamesTheDamage(t *testing.T) {
	t.Parallel()
	data, snaps := smallStore(t) // 40 snapshots of one process, 1 of another
	p := snaps[0].Process
	in := func(f func(sp *space) error) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			inBolt(t, path, func(tx *bbolt.Tx) error {
				sp, err := find(tx, p)
				if err != nil {
					return err
				}
				return f(sp)
			})
		}
	}
	key := snapshotKey(5*time.Second, heap.All, false)
	tests := []struct {
		why      string
		damage   func(t *testing.T, path string)
		readable int // snapshots
		damaged  int
		want     error
		says     string // in the first damage
	}{
		{"nothing", func(*testing.T, string) {}, 41, 0, nil, ""},
		{"a flipped byte in a snapshot", in(func(sp *space) error {
			v := bytes.Clone(sp.snapshots.Get(key))
			v[20] ^= 4
			return sp.snapshots.Put(key, v)
		}), 40, 1, ErrCorrupt, "at 5s (all): store is damaged: checksum"},
		{"a snapshot of a newer version", in(func(sp *space) error {
			return sp.snapshots.Put(key, []byte("\x03something new"))
		}), 40, 1, ErrVersion, "at 5s (all): written by a newer leaktrack: value of version 3"},
		{"the first type names are missing", in(func(sp *space) error {
			return sp.names.Delete(number32(0))
		}), 0, 41, ErrCorrupt, "type names from number 0 on are missing"},
		{"the last type names are missing", in(func(sp *space) error {
			k, _ := sp.names.Cursor().Last()
			return sp.names.Delete(k)
		}), 31, 10, ErrCorrupt, "refers to a type that has no name"},
		{"a base is missing", in(func(sp *space) error {
			return sp.bases.Delete(number32(1))
		}), -1, -1, ErrCorrupt, "its base 1 is missing"},
		{"the identity of a process is gone", func(t *testing.T, path string) {
			inBolt(t, path, func(tx *bbolt.Tx) error {
				return tx.Bucket(bucketProcesses).Bucket(bucketKey(encodeProcess(p))).Delete(keyIdentity)
			})
		}, 1, 40, ErrCorrupt, "its identity: store is damaged: value of 0 bytes"},
		{"the dictionary of the program is gone", func(t *testing.T, path string) {
			inBolt(t, path, func(tx *bbolt.Tx) error {
				return tx.Bucket(bucketPrograms).DeleteBucket(bucketKey(encodeProgram(p.Program)))
			})
		}, 0, 41, ErrCorrupt, "it has no type names"},
		{"a file of a newer version", func(t *testing.T, path string) {
			inBolt(t, path, func(tx *bbolt.Tx) error {
				return tx.Bucket(bucketMeta).Put(keyVersion, []byte{formatVersion + 1})
			})
		}, 0, 0, ErrVersion, "format 3, this one knows up to 2"},
		{"the programs are gone", func(t *testing.T, path string) {
			inBolt(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketPrograms) })
		}, 0, 41, ErrCorrupt, "the programs are missing"},
		{"the processes are gone", func(t *testing.T, path string) {
			inBolt(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketProcesses) })
		}, 0, 0, ErrCorrupt, "the processes are missing"},
		{"no version", func(t *testing.T, path string) {
			inBolt(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyVersion) })
		}, 41, 0, ErrCorrupt, "no version in it"},
		{"the older meta page", func(t *testing.T, path string) { scribble(t, path, olderMeta(t, path)+20) }, 41, 0, ErrCorrupt, "meta page"},
		{"both meta pages", func(t *testing.T, path string) { scribble(t, path, 20); scribble(t, path, int64(os.Getpagesize())+20) }, 0, 0, ErrCorrupt, "head of the file"},
		{"the last page is cut off", func(t *testing.T, path string) {
			m := metaOf(t, path)
			if err := os.Truncate(path, int64(m.high-1)*m.pageSize); err != nil {
				t.Fatal(err)
			}
		}, -1, -1, ErrCorrupt, "the file"},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.db")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			tt.damage(t, path)
			before, _ := os.ReadFile(path)
			h, err := Check(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("checking changed the file")
			}
			readable, damaged := h.Snapshots()
			if tt.readable >= 0 && (readable != tt.readable || damaged != tt.damaged) {
				t.Errorf("%d readable, %d damaged, want %d and %d: %v", readable, damaged, tt.readable, tt.damaged, h.Damage)
			}
			if h.Sound() != (tt.want == nil) {
				t.Fatalf("sound is %v: %v", h.Sound(), h.Damage)
			}
			if tt.want == nil {
				if h.Names == 0 || h.Bases == 0 || h.Unused != 0 || h.Size != int64(len(data)) || len(h.Processes) != 2 {
					t.Errorf("%+v", h)
				}
				return
			}
			var all []string
			found := false
			for _, d := range h.Damage {
				all = append(all, d.Error())
				found = found || errors.Is(d.Err, tt.want) && strings.Contains(d.Error(), tt.says)
			}
			if !found {
				t.Errorf("no damage says %q:\n%s", tt.says, strings.Join(all, "\n"))
			}
		})
	}
}

func metaOf(t *testing.T, path string) meta {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	m, err := readMeta(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// olderMeta is the offset of the meta page that is not in use.
func olderMeta(t *testing.T, path string) int64 {
	m := metaOf(t, path)
	return int64((m.txid+1)%2) * m.pageSize
}

func scribble(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{0xA5}, at)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Flipped bits, cuts and lost pages: whatever the readers stumble over, Check
// has found; what Check calls sound they read; and it never counts more
// snapshots than there were.
func TestCheckFindsWhatReadersStumbleOver(t *testing.T) {
	t.Parallel()
	data, want := smallStore(t)
	path := filepath.Join(t.TempDir(), "d.db")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sound, partly, nothing := 0, 0, 0
	try := func(what string, damaged []byte) {
		t.Helper()
		if _, err := file.WriteAt(damaged, 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(int64(len(damaged))); err != nil {
			t.Fatal(err)
		}
		var got []*heap.Snapshot
		db, readErr := Open(path, Options{ReadOnly: true})
		if readErr == nil {
			got, readErr = readAll(db)
			db.Close()
		}
		h, err := Check(path, Options{})
		if err != nil {
			if nothing++; readErr == nil || !typed(err) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v, and reading: %v", what, err, readErr)
			}
			return
		}
		readable, bad := h.Snapshots()
		switch {
		case readable+bad > len(want):
			t.Errorf("%s: %d readable and %d damaged of %d", what, readable, bad, len(want))
		case h.Sound() && (readErr != nil || len(got) != len(want) || readable != len(want)):
			t.Errorf("%s: called sound, %d readable; reading gives %d snapshots, %v", what, readable, len(got), readErr)
		case readErr == nil && readable != len(got):
			t.Errorf("%s: %d called readable, %d read: %v", what, readable, len(got), h.Damage)
		}
		for _, d := range h.Damage {
			if !typed(d.Err) || d.Where == "" {
				t.Errorf("%s: %v", what, d)
			}
		}
		switch {
		case h.Sound():
			sound++
		case readable > 0:
			partly++
		default:
			nothing++
		}
	}
	for i := 0; i < len(data); i += *damageStep + 220 {
		d := bytes.Clone(data)
		d[i] ^= 1 << (i % 8)
		try("flipped", d)
	}
	page := int(metaOf(t, writeTemp(t, data)).pageSize)
	for start := 0; start < len(data); start += page {
		for i := start; i < start+24; i += 3 {
			d := bytes.Clone(data)
			d[i] ^= 1 << (i % 7)
			try("flipped head", d)
		}
		d := bytes.Clone(data)
		clear(d[start : start+page])
		try("page zeroed", d)
		copy(d[start:start+page], data[(start+page)%len(data):])
		try("page doubled", d)
		if start > 0 {
			try("cut", data[:start])
			try("cut within a page", data[:start+page/3])
		}
	}
	t.Logf("%d sound, %d partly readable, %d not", sound, partly, nothing)
	if sound == 0 || partly == 0 || nothing == 0 {
		t.Error("a kind of outcome never came")
	}
}

func writeTemp(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	inBolt(t, foreign, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err })
	for path, want := range map[string]error{
		writeTemp(t, []byte("notes, and not a store")): ErrNotStore,
		writeTemp(t, nil):                  ErrNotStore,
		t.TempDir():                        ErrNotStore,
		foreign:                            ErrNotStore,
		filepath.Join(t.TempDir(), "none"): os.ErrNotExist,
	} {
		if _, err := Check(path, Options{}); !errors.Is(err, want) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// FuzzCheck: no file makes Check crash or run away.
func FuzzCheck(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "f.db")
	db, err := Open(path, Options{noSync: true})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		if _, err := db.Put(nth(1, i), false); err != nil {
			f.Fatal(err)
		}
	}
	db.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{})
	f.Add(uint32(3*os.Getpagesize()), []byte{1, 2, 3})
	f.Add(uint32(os.Getpagesize()+16), bytes.Repeat([]byte{0xff}, 24))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		d := bytes.Clone(data)
		copy(d[int(at)%len(d):], patch)
		name := filepath.Join(dir, "g.db")
		if err := os.WriteFile(name, d, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := Check(name, Options{})
		if err != nil && !typed(err) || err == nil && len(h.Damage) > maxDamage {
			t.Fatal(err)
		}
	})
}
