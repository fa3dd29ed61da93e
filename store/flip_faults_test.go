//go:build faults && linux

package store

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"leaktrack/heap"
)

func faultRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("LEAKTRACK_FAULT_ROUNDS")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("LEAKTRACK_FAULT_ROUNDS=%s", text)
	}
	return n
}

// TestEveryByte damages each byte of a store (with 1,000 rounds or more; fewer
// do every so manieth): one bit, all bits, or to zero. Check must find it, or
// everything reads as it was; and no reader gets a wrong number: it gets an
// error, or what was stored. Only the loss of a meta page takes the last commit away, and
// then both Check and the opening say so.
func TestEveryByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	db := open(t, path, Options{noSync: true})
	var want []*heap.Snapshot
	for i := range 12 {
		want = append(want, nth(1, i))
	}
	want = append(want, nth(2, 0), nth(2, 1))
	put(t, db, want...)
	db.Close()
	if _, _, err := Compact(path, Options{}); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, Options{noSync: true})
	last := nth(2, 2)
	put(t, db, last)
	db.Close()
	before := want
	want = append(want[:len(want):len(want)], last)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	step := max(1000/faultRounds(t), 1)
	rng := rand.New(rand.NewPCG(7, uint64(step)))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	page := int(metaOf(t, path).pageSize)
	equal := func(got, want []*heap.Snapshot) bool {
		if len(got) != len(want) {
			return false
		}
		for i := range got {
			if !got[i].Equal(want[i]) {
				return false
			}
		}
		return true
	}
	found, harmless, older := 0, 0, 0
	for at := rng.IntN(step); at < len(data); at += step {
		was := data[at]
		for _, now := range []byte{was ^ 1<<rng.IntN(8), ^was, 0} {
			if now == was {
				continue
			}
			if _, err := file.WriteAt([]byte{now}, int64(at)); err != nil {
				t.Fatal(err)
			}
			var got []*heap.Snapshot
			warned := false
			db, readErr := Open(path, Options{ReadOnly: true, Wait: -1, Warning: func(string, string) { warned = true }})
			if readErr == nil {
				got, readErr = readAll(db)
				db.Close()
			}
			h, err := Check(path, Options{Wait: -1})
			sound := err == nil && h.Sound()
			mendable := err == nil && h.Mendable()
			same := readErr == nil && equal(got, want)
			switch {
			case readErr == nil && !same && !(at < 2*page && equal(got, before)):
				t.Errorf("byte %#x from %#x to %#x: a reader gets %d snapshots and no error", at, was, now, len(got))
			case readErr == nil && warned != mendable:
				t.Errorf("byte %#x from %#x to %#x: opening warns: %v, check finds a meta page damaged: %v", at, was, now, warned, mendable)
			case readErr == nil && !same && !warned:
				t.Errorf("byte %#x from %#x to %#x: a reader gets the state before the last commit and no warning", at, was, now)
			case sound && !same:
				t.Errorf("byte %#x from %#x to %#x: check calls it sound, reading: %v", at, was, now, readErr)
			case !sound:
				found++
			default:
				harmless++
			}
			if readErr == nil && !same {
				older++
			}
		}
		if _, err := file.WriteAt([]byte{was}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(after, data) {
		t.Fatal("the test did not put everything back")
	}
	t.Logf("%d bytes, every %d: check found %d, %d changed nothing that is read, %d gave the state before the last commit", len(data), step, found, harmless, older)
	if found == 0 || harmless == 0 {
		t.Error("a kind of outcome never came")
	}
}
