//go:build faults && linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/store"
)

type snapshots = map[heap.Process]map[store.Key]*heap.Snapshot

func (k *killBed) copyOf(x snapshots) snapshots {
	out := snapshots{}
	for p, m := range x {
		out[p] = map[store.Key]*heap.Snapshot{}
		for key, s := range m {
			out[p][key] = s
		}
	}
	return out
}

// brokenVerb is one command on a disk that breaks.
type brokenVerb struct {
	name  string
	fresh bool // there is no store yet
	cmd   func(db string) *exec.Cmd
	// said adds what the command reported as stored.
	said func(to snapshots, out []byte)
	// may are the snapshots that it may have stored, or removed.
	given, pruned map[store.Key]*heap.Snapshot
}

// TestBrokenDisk breaks each write, sync and resize that a command does, one at
// a time: it fails (EIO, ENOSPC), or the command is killed there. Then the power
// goes. Whatever was reported as stored must be on the disk; the same command
// done again must succeed and then be safe, too.
func TestBrokenDisk(t *testing.T) {
	d := mountDisk(t)
	k := &killBed{t: t, rng: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 9)), dir: t.TempDir(), next: map[heap.Process]int{}, want: snapshots{}}
	base, stored := k.baseStore()
	points := max(faultRounds(t)/12, 2) // of each verb and kind of failure
	actions := []struct {
		name  string
		errno syscall.Errno // 0: killed
	}{{"killed", 0}, {"EIO", syscall.EIO}, {"ENOSPC", syscall.ENOSPC}}
	for _, v := range k.brokenVerbs(stored) {
		ops := k.runBroken(d, v, base, stored, -1, 0)
		if ops < 4 {
			t.Fatalf("%s does %d writes, syncs and resizes", v.name, ops)
		}
		tried := 0
		step := max(ops/points, 1)
		for n := 1 + k.rng.IntN(step); n <= ops; n += step {
			for _, a := range actions {
				k.runBroken(d, v, base, stored, n, a.errno)
				tried++
			}
		}
		t.Logf("%-16s %3d writes, syncs and resizes; %d failures tried", v.name, ops, tried)
	}
}

// baseStore makes a store with free pages in it.
func (k *killBed) baseStore() ([]byte, snapshots) {
	path := filepath.Join(k.dir, "base.db")
	db, err := store.Open(path, store.Options{})
	if err != nil {
		k.t.Fatal(err)
	}
	for i := range 240 {
		p := killProcesses[i%len(killProcesses)]
		s := k.snapshot(p, k.next[p])
		k.next[p]++
		if _, err := db.Put(s, false); err != nil {
			k.t.Fatal(err)
		}
	}
	if _, err := db.Prune(store.PruneOptions{Keep: 30}); err != nil {
		k.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		k.t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		k.t.Fatal(err)
	}
	return data, k.read(path)
}

func (k *killBed) brokenVerbs(stored snapshots) []brokenVerb {
	p := killProcesses[0]
	given := map[store.Key]*heap.Snapshot{}
	var order []*heap.Snapshot
	var text bytes.Buffer
	for i := range 150 {
		s := k.snapshot(p, k.next[p]+i)
		given[store.KeyOf(s)] = s
		order = append(order, s)
		b, err := json.Marshal(s)
		if err != nil {
			k.t.Fatal(err)
		}
		text.Write(append(b, '\n'))
	}
	file := filepath.Join(k.dir, "in.jsonl")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		k.t.Fatal(err)
	}
	ingest := brokenVerb{name: "ingest", given: given,
		cmd: func(db string) *exec.Cmd { return exec.Command("leaktrack", "--db", db, "ingest", file) },
		said: func(to snapshots, out []byte) {
			n := 0
			for line := range bytes.Lines(out) {
				if !bytes.Contains(line, []byte("stored, ")) || !bytes.HasSuffix(line, []byte("\n")) {
					break
				}
				addTo(to, order[n])
				n++
			}
		}}
	made := ingest
	made.name, made.fresh = "ingest, new file", true
	const walks = 8
	seen := watched(k.t, 0, 3*walks-2)
	watch := brokenVerb{name: "watch", given: seen,
		cmd: func(db string) *exec.Cmd {
			cmd := exec.Command("watch-fast")
			cmd.Env = append(os.Environ(), "WATCH_DB="+db, "WATCH_FROM=0", fmt.Sprintf("WATCH_COUNT=%d", walks))
			return cmd
		},
		said: func(to snapshots, out []byte) {
			for line := range bytes.Lines(out) {
				var uptime int64
				var counters bool
				if _, err := fmt.Sscan(string(line), &uptime, &counters); err != nil {
					break
				}
				addTo(to, seen[store.Key{Uptime: time.Duration(uptime), Basis: heap.Live, Counters: counters}])
			}
		}}
	none := func(snapshots, []byte) {}
	db := func(args ...string) func(string) *exec.Cmd {
		return func(db string) *exec.Cmd {
			return exec.Command("leaktrack", append([]string{"--db", db, "db"}, args...)...)
		}
	}
	pruned := map[store.Key]*heap.Snapshot{}
	for _, s := range stored[p] {
		pruned[store.KeyOf(s)] = s
	}
	return []brokenVerb{ingest, made, watch,
		{name: "compact", cmd: db("compact"), said: none},
		{name: "prune", cmd: db("prune", "--keep", "10", fmt.Sprintf("%s/%d", p.Program, p.PID)), said: none, pruned: pruned},
		{name: "backup", said: none, cmd: func(db string) *exec.Cmd {
			return exec.Command("leaktrack", "--db", db, "db", "backup", "--force", filepath.Join(filepath.Dir(db), "copy.db"))
		}}}
}

func addTo(to snapshots, s *heap.Snapshot) {
	if to[s.Process] == nil {
		to[s.Process] = map[store.Key]*heap.Snapshot{}
	}
	to[s.Process][store.KeyOf(s)] = s
}

// runBroken does a verb on a disk whose operation number n fails, and returns how
// many operations there were.
func (k *killBed) runBroken(d *disk, v brokenVerb, base []byte, stored snapshots, n int, errno syscall.Errno) (ops int) {
	t := k.t
	d.setFault(nil)
	for _, name := range []string{"s.db", "copy.db", ".s.db.compact"} {
		d.remove(name)
	}
	want := k.copyOf(stored)
	if v.fresh {
		want = snapshots{}
	} else {
		d.put("s.db", base)
	}
	what := fmt.Sprintf("%s, operation %d, %v", v.name, n, errno)
	path := filepath.Join(d.dir, "s.db")
	run := func(fault func(cmd *exec.Cmd) func(op, name string) syscall.Errno) (out, said []byte, status error) {
		cmd := v.cmd(path)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		d.setFault(fault(cmd))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		d.setFault(nil)
		return stdout.Bytes(), stderr.Bytes(), err
	}
	hit := ""
	out, said, err := run(func(cmd *exec.Cmd) func(op, name string) syscall.Errno {
		return func(op, name string) syscall.Errno {
			if ops++; ops != n {
				return 0
			}
			hit = op + " of " + name
			if errno == 0 {
				_ = cmd.Process.Kill()
				return syscall.EINTR // not done, and nobody sees it any more
			}
			return errno
		}
	})
	what += ", " + hit
	var exit *exec.ExitError
	switch {
	case n < 0 && err != nil:
		t.Fatalf("%s: %v\n%s", what, err, said)
	case n >= 0 && hit == "":
		return ops // it went another way this time
	case n >= 0 && errno != 0 && v.name == "watch":
		// The next snapshot finds the disk well again.
		if err != nil || !strings.Contains(string(said), errno.Error()) || !strings.Contains(string(said), "what waited is stored") {
			t.Fatalf("%s: %v\n%s", what, err, said)
		}
	case n >= 0 && errno != 0 && err == nil:
		// A copy by the kernel that stops early is taken up again; the disk is
		// well by then.
		if v.name != "backup" || !strings.HasPrefix(hit, "write of .copy.db") {
			t.Fatalf("%s: no error\n%s", what, out)
		}
	case n >= 0 && errno != 0:
		if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.Contains(string(said), errno.Error()) || !strings.HasPrefix(string(said), "leaktrack: ") {
			t.Fatalf("%s: %v\n%s", what, err, said)
		}
	}
	v.said(want, out)
	for range 3 {
		k.afterPowerCut(what, d.powerCut(k.rng), v, want)
	}
	if n < 0 {
		return ops
	}
	// What readers see now is no worse.
	if data, err := d.current("s.db"); err == nil {
		k.image(what+", afterwards", data, v, want)
	} else if !v.fresh {
		t.Fatalf("%s: the store is gone", what)
	}
	out, said, err = run(func(*exec.Cmd) func(op, name string) syscall.Errno { return nil })
	if err != nil {
		t.Fatalf("%s, again: %v\n%s", what, err, said)
	}
	if v.pruned == nil {
		v.said(want, out)
	}
	for _, s := range v.given { // all of it is reported by now
		if want[s.Process][store.KeyOf(s)] == nil {
			t.Fatalf("%s, again: %v is not reported as stored\n%s%s", what, s.Uptime, out, said)
		}
	}
	for range 3 {
		k.afterPowerCut(what+", again", d.powerCut(k.rng), v, want)
	}
	return ops
}

func (k *killBed) afterPowerCut(what string, files map[string][]byte, v brokenVerb, want snapshots) {
	k.t.Helper()
	what += ", after a power cut"
	data, ok := files["s.db"]
	if !ok && len(want) > 0 {
		k.t.Fatalf("%s: the store is gone", what)
	}
	if ok {
		k.image(what, data, v, want)
	}
	if data, ok := files["copy.db"]; ok {
		k.image(what+", backup", data, v, want)
	}
}

// image looks at a store as it was found.
func (k *killBed) image(what string, data []byte, v brokenVerb, want snapshots) {
	k.t.Helper()
	path := filepath.Join(k.dir, "image.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		k.t.Fatal(err)
	}
	if len(want) == 0 { // it may not have been made; Open makes it
		db, err := store.Open(path, store.Options{})
		if err != nil {
			k.t.Fatalf("%s: %v", what, err)
		}
		db.Close()
	}
	h, err := store.Check(path, store.Options{})
	if err != nil || !h.Sound() {
		k.t.Fatalf("%s: %v, %+v", what, err, h)
	}
	have := k.read(path)
	old := k.want
	k.want = k.copyOf(want)
	for key := range v.pruned { // may be gone
		if p := v.pruned[key].Process; have[p][key] == nil {
			delete(k.want[p], key)
		}
	}
	allowed := map[store.Key]*heap.Snapshot{}
	for key, s := range v.given {
		allowed[key] = s
	}
	k.compare(what, have, allowed)
	k.want = old
}
