//go:build faults && linux

package store

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leaktrack/heap"
)

// tornSnapshot is a snapshot whose every number tells process, time and era.
func tornSnapshot(era, pid, i int) *heap.Snapshot {
	s := &heap.Snapshot{Process: heap.Process{Program: fmt.Sprintf("Torn%d", pid%2), PID: pid}, Uptime: time.Duration(i) * time.Second,
		Source: heap.SourceSOS, Basis: heap.All, Complete: true}
	var types []heap.Type
	for j := range 60 {
		// Few names are common to two eras, and their order differs.
		types = append(types, heap.Type{Name: fmt.Sprintf("T%03d.Era%d.OfTorn%d", (j*(7+2*era))%101, (era+j)%3, pid%2), Count: int64(era*1000000 + pid*10000 + i*10 + j%3), Bytes: int64(j)})
	}
	if err := s.SetTypes(types); err != nil {
		panic(err)
	}
	return s
}

// torn is a store that is written at random; processes with an odd pid keep all of
// their snapshots, the others are forgotten now and then, with dictionary and bases.
type torn struct {
	t         *testing.T
	db        *DB
	rng       *rand.Rand
	processes int
	era       int
	next      map[int]int
	written   map[int]int // snapshots of odd processes

	refused, right int // copies
}

// newTorn takes the place of the store in path by one with some commits.
func newTorn(t *testing.T, path string, rng *rand.Rand, round int) *torn {
	t.Helper()
	if err := os.Remove(path); err != nil && round > 0 {
		t.Fatal(err)
	}
	// Every second store has so many processes that they fill pages of their own.
	w := &torn{t: t, db: open(t, path, Options{noSync: true}), rng: rng, processes: []int{4, 60}[round%2], era: round % 20,
		next: map[int]int{}, written: map[int]int{}}
	for range 5 + rng.IntN(4*w.processes) {
		w.commit()
	}
	return w
}

func (w *torn) commit() {
	t, rng := w.t, w.rng
	t.Helper()
	pid := 1 + rng.IntN(w.processes)
	if pid%2 == 0 && rng.IntN(6) == 0 {
		infos, err := w.db.Processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			if i.Process.PID == pid {
				if _, err := w.db.Prune(PruneOptions{Processes: []heap.Process{i.Process}, Keep: rng.IntN(2), OlderThan: 1, Now: time.Unix(1<<40, 0)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.era++
		return
	}
	var snaps []*heap.Snapshot
	for range 1 + rng.IntN(12) {
		s := tornSnapshot(w.era, pid, w.next[pid])
		s.Taken = time.Unix(int64(w.era), 0)
		snaps = append(snaps, s)
		w.next[pid]++
	}
	for _, r := range w.db.PutBatch(snaps, true) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if pid%2 == 1 {
		w.written[pid] += len(snaps)
	}
}

// check reads a copy, which is to be refused, or to hold nothing wrong and to lack
// nothing of what was stored before it was begun.
func (w *torn) check(path, what string, before map[int]int) {
	t := w.t
	t.Helper()
	c, err := Open(path, Options{ReadOnly: true, Wait: -1})
	var got []*heap.Snapshot
	if err == nil {
		got, err = readAll(c)
		c.Close()
	}
	if err != nil {
		if w.refused++; !typed(err) {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	w.right++
	missing := maps.Clone(before)
	for _, s := range got {
		want := tornSnapshot(int(s.Taken.Unix()), s.Process.PID, int(s.Uptime/time.Second))
		want.Taken = s.Taken
		if !s.Equal(want) {
			t.Errorf("%s: %v at %v is wrong: %s", what, s.Process, s.Uptime, difference(want, s))
			return
		}
		missing[s.Process.PID]--
	}
	for pid, n := range missing {
		if n > 0 {
			t.Errorf("%s: of process %d are missing %d snapshots that were stored before the copy was begun", what, pid, n)
		}
	}
}

// TestCopiedWhileWritten copies the file page by page while it is written, which
// is what cp does, only worse: up to three commits fall between two pages.
func TestCopiedWhileWritten(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "w.db"), filepath.Join(dir, "c.db")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	refused, right := 0, 0
	rounds := faultRounds(t)
	for round := range rounds {
		w := newTorn(t, path, rng, round)
		before := maps.Clone(w.written)
		from, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := from.Stat()
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, info.Size())
		chunk := 4096 << rng.IntN(4)
		for at := 0; at < len(data); at += chunk {
			if _, err := from.ReadAt(data[at:min(at+chunk, len(data))], int64(at)); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(4) == 0 {
				for range rng.IntN(4) {
					w.commit()
				}
			}
		}
		from.Close()
		w.db.Close()
		if err := os.WriteFile(copied, data, 0o600); err != nil {
			t.Fatal(err)
		}
		w.check(copied, fmt.Sprintf("round %d", round), before)
		refused, right = refused+w.refused, right+w.right
	}
	t.Logf("%d copies while written: %d refused, %d right", rounds, refused, right)
}

// TestSplicedCopies takes one page of a later state into a file, each in turn, and
// all pages from each one on: fewer things fit together in the copy of a busy file,
// and here nothing else gives it away.
func TestSplicedCopies(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "w.db"), filepath.Join(dir, "c.db")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 4))
	refused, right := 0, 0
	rounds := max(faultRounds(t)/10, 2)
	for round := range rounds {
		w := newTorn(t, path, rng, round)
		before := maps.Clone(w.written)
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(6) {
			w.commit()
		}
		young, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		page := int(metaOf(t, path).pageSize)
		w.db.Close()
		for at := 0; at < min(len(old), len(young)); at += page {
			if bytes.Equal(old[at:at+page], young[at:at+page]) {
				continue
			}
			one, rest := bytes.Clone(old), bytes.Clone(old)
			copy(one[at:at+page], young[at:])
			copy(rest[at:], young[at:])
			for what, data := range map[string][]byte{"one": one, "all from it on": rest} {
				if err := os.WriteFile(copied, data, 0o600); err != nil {
					t.Fatal(err)
				}
				w.check(copied, fmt.Sprintf("round %d, page %d, %s", round, at/page, what), before)
			}
		}
		refused, right = refused+w.refused, right+w.right
	}
	t.Logf("%d stores, %d copies: %d refused, %d right", rounds, refused+right, refused, right)
}
