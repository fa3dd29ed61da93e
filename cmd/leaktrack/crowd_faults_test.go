//go:build faults && linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leaktrack/heap"
)

// TestTwoWritersTenReaders are twelve processes on one store: nobody fails, no
// reader sees a store that is not sound, and everything is there at the end. On a busy
// machine the readers, who never rest, leave no gap for longer than a writer waits: it
// then does what its message says, and tries again.
func TestTwoWritersTenReaders(t *testing.T) {
	dir := t.TempDir()
	db := filepath.Join(dir, "crowd.db")
	k := &killBed{t: t, dir: dir, db: db, want: snapshots{}}
	first := k.snapshot(killProcesses[2], 0)
	given := [2][]*heap.Snapshot{}
	const batches, size = 8, 40
	write := func(name string, snaps ...*heap.Snapshot) string {
		var text bytes.Buffer
		for _, s := range snaps {
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(append(b, '\n'))
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if out, err := exec.Command("leaktrack", "--db", db, "ingest", write("first.jsonl", first)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k.add(first)
	var files [2][]string
	for w := range 2 {
		for b := range batches {
			var snaps []*heap.Snapshot
			for i := range size {
				snaps = append(snaps, k.snapshot(killProcesses[w], b*size+i))
			}
			given[w] = append(given[w], snaps...)
			files[w] = append(files[w], write(strings.Repeat("w", w+1)+string(rune('a'+b))+".jsonl", snaps...))
		}
	}
	const tries = 20
	var vain atomic.Int32
	ingest := func(file string) error {
		for n := 1; ; n++ {
			out, err := exec.Command("leaktrack", "--db", db, "ingest", "--quiet", file).CombinedOutput()
			switch {
			case err == nil:
				return nil
			case n < tries && bytes.Contains(out, []byte("try again when it has finished")):
				vain.Add(1)
			default:
				return fmt.Errorf("try %d: %w\n%s", n, err, out)
			}
		}
	}
	over := make(chan struct{})
	var writers, readers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for _, f := range files[w] {
				if err := ingest(f); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	reads := make([]int, 10)
	for r := range reads {
		args := [][]string{{"db", "check"}, {"list", "--format", "csv"}, {"export"}, {"show", "--format", "csv", "Kill.B"}, {"trend", "--format", "json", "Kill.B"}}[r%5]
		readers.Go(func() {
			for {
				if out, err := exec.Command("leaktrack", append([]string{"--db", db}, args...)...).CombinedOutput(); err != nil {
					t.Errorf("reader %d, %v: %v\n%s", r, args, err, out)
					return
				}
				reads[r]++
				select {
				case <-over:
					return
				default:
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	writers.Wait()
	close(over)
	readers.Wait()
	for w := range given {
		for _, s := range given[w] {
			k.add(s)
		}
	}
	k.sound(db)
	k.compare("crowd", k.read(db), nil)
	t.Logf("%d snapshots by two writers, who waited in vain %d times, reads of ten readers: %v", k.reported, vain.Load(), reads)
}
