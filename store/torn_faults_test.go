//go:build faults && linux

package store

import (
	"fmt"
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

// TestCopiedWhileWritten copies the file page by page while it is written, which
// is what cp does, only worse: up to three commits fall between two pages. The
// copy is refused or holds nothing wrong.
func TestCopiedWhileWritten(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "w.db"), filepath.Join(dir, "c.db")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	refused, right, stale := 0, 0, 0
	rounds := faultRounds(t)
	for round := range rounds {
		if err := os.Remove(path); err != nil && round > 0 {
			t.Fatal(err)
		}
		db := open(t, path, Options{noSync: true})
		era, next := round%20, map[int]int{}
		written := map[Key]bool{} // and not removed; of process 1, which is never pruned
		commit := func() {
			pid := 1 + rng.IntN(4)
			if pid > 1 && rng.IntN(12) == 0 { // forget it, with its dictionary and bases
				infos, err := db.Processes()
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range infos {
					if i.Process.PID == pid {
						if _, err := db.Prune(PruneOptions{Processes: []heap.Process{i.Process}, Keep: rng.IntN(2), OlderThan: 1, Now: time.Unix(1<<40, 0)}); err != nil {
							t.Fatal(err)
						}
					}
				}
				era++
				return
			}
			var snaps []*heap.Snapshot
			for range 1 + rng.IntN(12) {
				s := tornSnapshot(era, pid, next[pid])
				s.Taken = time.Unix(int64(era), 0)
				snaps = append(snaps, s)
				next[pid]++
			}
			for k, r := range db.PutBatch(snaps, true) {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
				if pid == 1 {
					written[KeyOf(snaps[k])] = true
				}
			}
		}
		for range 5 + rng.IntN(20) {
			commit()
		}
		before := len(written)
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
					commit()
				}
			}
		}
		from.Close()
		db.Close()
		if err := os.WriteFile(copied, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Open(copied, Options{ReadOnly: true, Wait: -1})
		var got []*heap.Snapshot
		if err == nil {
			got, err = readAll(c)
			c.Close()
		}
		if err != nil {
			if refused++; !typed(err) {
				t.Errorf("round %d: %v", round, err)
			}
			continue
		}
		mine := 0
		for _, s := range got {
			e := int(s.Taken.Unix())
			want := tornSnapshot(e, s.Process.PID, int(s.Uptime/time.Second))
			want.Taken = s.Taken
			if !s.Equal(want) {
				t.Fatalf("round %d: %v at %v is wrong: %s", round, s.Process, s.Uptime, difference(want, s))
			}
			if s.Process.PID == 1 {
				mine++
			}
		}
		if mine < before {
			stale++
			t.Errorf("round %d: %d snapshots of a process are there, %d were stored before the copy began", round, mine, before)
		}
		right++
	}
	t.Logf("%d copies while written: %d refused, %d right, %d with something missing", rounds, refused, right, stale)
}
