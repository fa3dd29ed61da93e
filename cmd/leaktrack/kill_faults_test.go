//go:build faults && linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/internal/report"
	"leaktrack/store"
	"leaktrack/trend"
)

// The fault suite kills, fills, breaks and crowds what the other tests only use:
//
//	go test -tags faults ./cmd/leaktrack ./store
//
// It needs Linux, root (it mounts small file systems) and /dev/fuse; where
// something of that is missing it fails. LEAKTRACK_FAULT_ROUNDS is the number
// of kills, 100 by default.

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

// The program watch-fast is a watch with a clock that does not wait and a
// process that is made up, into the store $WATCH_DB, from the uptime $WATCH_FROM
// on. It prints a line for each snapshot that is stored.
func init() {
	programs["watch-fast"] = func() {
		from, _ := strconv.Atoi(os.Getenv("WATCH_FROM"))
		b := newBench()
		b.console.out, b.console.err = io.Discard, os.Stderr
		b.every, b.sample = 30*time.Second, 10*time.Second
		b.count, _ = strconv.Atoi(os.Getenv("WATCH_COUNT")) // 0: no end
		f := &watchedFile{path: os.Getenv("WATCH_DB")}
		s := newService(b.target, killTypes)
		s.begun = b.clock.now.Add(-time.Duration(from) * time.Second)
		b.known, b.judge = f.keys, func(p heap.Process, keys []store.Key, waiting []*heap.Snapshot) (report.Named, error) {
			return report.Named{Result: &trend.Result{}}, nil
		}
		b.put = func(x *heap.Snapshot) error {
			err := f.put(x)
			if err == nil {
				fmt.Println(int64(x.Uptime), x.CountersOnly())
			}
			return err
		}
		if err := b.run(context.Background(), func(bool) (target, error) { return s, nil }, "App"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

const killTypes = 120

// killBed is a store that is written and killed again and again, and what must
// be in it.
type killBed struct {
	t        *testing.T
	rng      *rand.Rand
	dir, db  string
	want     map[heap.Process]map[store.Key]*heap.Snapshot // reported as stored
	next     map[heap.Process]int                          // uptime in seconds of the next one
	typical  map[string]time.Duration                      // of a run that is not killed
	took     time.Duration                                 // by the last one
	reported int
	figures  map[string]*killFigures
}

type killFigures struct {
	rounds  int
	killed  int // the others ended by themselves before
	touched int // killed when files had changed already
	partial int // killed with an unfinished second file left behind
	unsaid  int // killed between storing and reporting
}

// made is the snapshot that ingest is given for this uptime.
func (k *killBed) snapshot(p heap.Process, second int) *heap.Snapshot {
	s := &heap.Snapshot{Process: p, Uptime: time.Duration(second) * time.Second, Source: heap.SourceJSON, Basis: heap.All, Complete: true,
		Memory: &heap.ProcessMemory{RSSBytes: heap.Known(int64(second) * 4096)}}
	var rows []heap.Type
	for i := range killTypes {
		n := int64(i + 1)
		if i%9 == 0 {
			n += int64(second * i % 97)
		}
		rows = append(rows, heap.Type{Name: fmt.Sprintf("Kill.Type%03d.OfSomeLength", i), Count: n, Bytes: n * 24})
	}
	if second%50 == 0 { // the dictionary grows, too
		rows = append(rows, heap.Type{Name: fmt.Sprintf("Kill.Late%06d", second), Count: 1, Bytes: 24})
	}
	if err := s.SetTypes(rows); err != nil {
		k.t.Fatal(err)
	}
	return s
}

// killed runs a command and kills it at some moment. It returns its output, and
// whether the kill came before its end.
func (k *killBed) killed(verb string, cmd *exec.Cmd, stop moment) (out []byte, killed bool) {
	k.t.Helper()
	before, begun := k.stamp(), time.Now()
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	ended, watcher := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watcher)
		for stop.touched && k.stamp() == before {
			select {
			case <-ended:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
		select {
		case <-ended:
		case <-time.After(stop.delay):
			cmd.Process.Kill()
		}
	}()
	out, _ = io.ReadAll(pipe)
	close(ended) // it has closed its output, at the latest at its end
	<-watcher
	err = cmd.Wait()
	k.took = time.Since(begun)
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if killed = status.Signaled(); !killed && err != nil {
		k.t.Fatalf("%s failed by itself: %v\n%s%s", verb, err, out, errOut.Bytes())
	}
	return out, killed
}

// stamp is what tells whether files have changed.
func (k *killBed) stamp() string {
	var text string
	names, _ := os.ReadDir(k.dir)
	for _, n := range names {
		if info, err := n.Info(); err == nil && strings.Contains(n.Name(), ".db") {
			text += fmt.Sprint(n.Name(), info.Size(), info.ModTime().UnixNano(), info.Sys().(*syscall.Stat_t).Ino, ";")
		}
	}
	return text
}

// leftovers are the second files of verbs that were killed.
func (k *killBed) leftovers() []string {
	names, err := filepath.Glob(filepath.Join(k.dir, ".*.db*"))
	if err != nil {
		k.t.Fatal(err)
	}
	return names
}

func (k *killBed) read(path string) map[heap.Process]map[store.Key]*heap.Snapshot {
	k.t.Helper()
	db, err := store.Open(path, store.Options{ReadOnly: true})
	if err != nil {
		k.t.Fatal(err)
	}
	defer db.Close()
	infos, err := db.Processes()
	if err != nil {
		k.t.Fatal(err)
	}
	have := map[heap.Process]map[store.Key]*heap.Snapshot{}
	for _, i := range infos {
		have[i.Process] = map[store.Key]*heap.Snapshot{}
		for s, err := range db.Snapshots(i.Process) {
			if err != nil {
				k.t.Fatal(err)
			}
			have[i.Process][store.KeyOf(s)] = s
		}
	}
	return have
}

func (k *killBed) sound(path string) {
	k.t.Helper()
	h, err := store.Check(path, store.Options{})
	if err != nil || !h.Sound() {
		k.t.Fatalf("check of %s: %v, %+v", path, err, h)
	}
}

// compare wants everything that was reported to be there, and what else is
// there to be one of the allowed.
func (k *killBed) compare(verb string, have map[heap.Process]map[store.Key]*heap.Snapshot, allowed map[store.Key]*heap.Snapshot) (unsaid int) {
	k.t.Helper()
	for p, snaps := range k.want {
		for key, s := range snaps {
			if got := have[p][key]; got == nil {
				k.t.Fatalf("%s: %v at %v was reported as stored and is lost", verb, p, key.Uptime)
			} else if !got.Equal(s) {
				k.t.Fatalf("%s: %v at %v is not what was stored", verb, p, key.Uptime)
			}
		}
	}
	for p, snaps := range have {
		for key, s := range snaps {
			if k.want[p][key] != nil {
				continue
			}
			if a := allowed[key]; a == nil || !a.Equal(s) {
				k.t.Fatalf("%s: %v at %v was never given to the store", verb, p, key.Uptime)
			}
			unsaid++
		}
	}
	return unsaid
}

// moment is when to kill: so long after the start, or after files have begun to
// change.
type moment struct {
	delay   time.Duration
	touched bool
}

// stop chooses the moment of a kill. One in ten may come while the program is
// still being loaded. Most of the time of a short verb is loading, so half of
// them wait until it writes.
func (k *killBed) stop(verb string) moment {
	d := k.typical[verb]
	switch n := k.rng.IntN(10); {
	case n == 0:
		return moment{delay: time.Duration(k.rng.Int64N(int64(d)))}
	case n <= 5:
		return moment{delay: time.Duration(k.rng.Int64N(int64(d / 4))), touched: true}
	}
	return moment{delay: d/3 + time.Duration(k.rng.Int64N(int64(d*3/4)))}
}

// round runs a verb once and kills it, or lets it end where there is no
// experience yet of how long it takes.
func (k *killBed) round(verb string) {
	if len(k.want) == 0 && verb != "watch" {
		verb = "ingest" // the others need something in the store
	}
	f := k.figures[verb]
	if f == nil {
		f = &killFigures{}
		k.figures[verb] = f
	}
	f.rounds++
	stop := moment{delay: time.Minute}
	measure := k.typical[verb] == 0
	if !measure {
		stop = k.stop(verb)
	}
	for _, n := range k.leftovers() {
		os.Remove(n)
	}
	before := k.stamp()
	killed, unsaid := k.verbs()[verb](stop)
	if measure {
		k.typical[verb] = k.took
	} else if !killed { // it varies
		k.typical[verb] = (3*k.typical[verb] + k.took) / 4
	}
	if killed {
		f.killed++
		if k.stamp() != before {
			f.touched++
		}
		if len(k.leftovers()) > 0 {
			f.partial++
		}
	}
	f.unsaid += unsaid
}

var killProcesses = []heap.Process{{Program: "Kill.A", PID: 1, StartNanos: 1e18}, {Program: "Kill.A", PID: 2, StartNanos: 1e18}, {Program: "Kill.B", PID: 1}}

func (k *killBed) verbs() map[string]func(stop moment) (killed bool, unsaid int) {
	return map[string]func(moment) (bool, int){"ingest": k.ingest, "watch": k.watch, "compact": k.compact, "backup": k.backup, "prune": k.prune}
}

func (k *killBed) ingest(stop moment) (bool, int) {
	p := killProcesses[k.rng.IntN(len(killProcesses))]
	given := map[store.Key]*heap.Snapshot{}
	var order []*heap.Snapshot
	var text bytes.Buffer
	for range 30 + k.rng.IntN(150) {
		s := k.snapshot(p, k.next[p])
		k.next[p]++
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
	out, killed := k.killed("ingest", exec.Command("leaktrack", "--db", k.db, "ingest", file), stop)
	n := 0
	for line := range bytes.Lines(out) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // cut by the kill
		}
		if !bytes.Contains(line, []byte(": stored, ")) {
			k.t.Fatalf("ingest says %q", line)
		}
		k.add(order[n])
		n++
	}
	return killed, k.settle("ingest", given)
}

func (k *killBed) add(s *heap.Snapshot) {
	if k.want[s.Process] == nil {
		k.want[s.Process] = map[store.Key]*heap.Snapshot{}
	}
	k.want[s.Process][store.KeyOf(s)] = s
	k.reported++
}

// settle compares the store with what was reported; what was stored without
// being reported counts as stored from now on.
func (k *killBed) settle(verb string, given map[store.Key]*heap.Snapshot) (unsaid int) {
	if _, err := os.Stat(k.db); err != nil && len(k.want) == 0 {
		return 0
	}
	if info, err := os.Stat(k.db); err == nil && len(k.want) == 0 {
		// Killed while it was made: Open makes it anew.
		db, err := store.Open(k.db, store.Options{})
		if err != nil {
			k.t.Fatalf("%s: a store of %d bytes: %v", verb, info.Size(), err)
		}
		db.Close()
	}
	k.sound(k.db)
	have := k.read(k.db)
	unsaid = k.compare(verb, have, given)
	k.want = have
	return unsaid
}

func (k *killBed) watch(stop moment) (bool, int) {
	p := heap.Process{Program: "App", PID: 7, StartNanos: 1}
	from := k.next[p]
	k.next[p] += 1_000_000
	cmd := exec.Command("watch-fast")
	cmd.Env = append(os.Environ(), "WATCH_DB="+k.db, "WATCH_FROM="+strconv.Itoa(from))
	// It never ends by itself; what it does is the same at any time.
	if stop.delay == time.Minute {
		stop.delay = 400 * time.Millisecond
	}
	out, killed := k.killed("watch", cmd, stop)
	// The same again, without a store, says what it stored.
	given := watched(k.t, from, bytes.Count(out, []byte("\n"))+2)
	sc := bufio.NewScanner(bytes.NewReader(out))
	for sc.Scan() {
		var uptime int64
		var counters bool
		if _, err := fmt.Sscan(sc.Text(), &uptime, &counters); err != nil {
			break // cut by the kill
		}
		s := given[store.Key{Uptime: time.Duration(uptime), Basis: heap.Live, Counters: counters}]
		if s == nil {
			k.t.Fatalf("watch says %q", sc.Text())
		}
		k.add(s)
	}
	return killed, k.settle("watch", given)
}

// watched returns the first n snapshots that watch-fast takes.
func watched(t *testing.T, from, n int) map[store.Key]*heap.Snapshot {
	given := map[store.Key]*heap.Snapshot{}
	b := newBench()
	b.console.out, b.console.err = io.Discard, io.Discard
	b.every, b.sample = 30*time.Second, 10*time.Second
	s := newService(b.target, killTypes)
	s.begun = b.clock.now.Add(-time.Duration(from) * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	b.judge = func(heap.Process, []store.Key, []*heap.Snapshot) (report.Named, error) {
		return report.Named{Result: &trend.Result{}}, nil
	}
	b.put = func(x *heap.Snapshot) error {
		given[store.KeyOf(x)] = x
		if len(given) >= n {
			cancel()
		}
		return nil
	}
	if err := b.run(ctx, func(bool) (target, error) { return s, nil }, "App"); err != nil {
		t.Fatal(err)
	}
	return given
}

func (k *killBed) compact(stop moment) (bool, int) {
	_, killed := k.killed("compact", exec.Command("leaktrack", "--db", k.db, "db", "compact"), stop)
	return killed, k.settle("compact", nil)
}

func (k *killBed) backup(stop moment) (bool, int) {
	copied := filepath.Join(k.dir, "copy.db")
	_, errBefore := os.Stat(copied)
	old := map[heap.Process]map[store.Key]*heap.Snapshot{}
	if errBefore == nil {
		old = k.read(copied)
	}
	_, killed := k.killed("backup", exec.Command("leaktrack", "--db", k.db, "db", "backup", "--force", copied), stop)
	k.settle("backup", nil)
	_, err := os.Stat(copied)
	switch {
	case err != nil && (errBefore == nil || !killed):
		k.t.Fatalf("backup: the copy is gone: %v", err)
	case err != nil:
		return killed, 0
	}
	// The copy is the old one or the new one, whole.
	k.sound(copied)
	have := k.read(copied)
	if !sameSnapshots(have, k.want) && !(killed && errBefore == nil && sameSnapshots(have, old)) {
		k.t.Fatal("backup: the copy is neither the old nor the new state")
	}
	return killed, 0
}

func sameSnapshots(a, b map[heap.Process]map[store.Key]*heap.Snapshot) bool {
	count := func(x map[heap.Process]map[store.Key]*heap.Snapshot) (n int) {
		for _, s := range x {
			n += len(s)
		}
		return n
	}
	if count(a) != count(b) {
		return false
	}
	for p, snaps := range a {
		for key, s := range snaps {
			if t := b[p][key]; t == nil || !t.Equal(s) {
				return false
			}
		}
	}
	return true
}

func (k *killBed) prune(stop moment) (bool, int) {
	keep := strconv.Itoa(5 + k.rng.IntN(40))
	// What it would do is done to a copy.
	data, err := os.ReadFile(k.db)
	if err == nil {
		err = os.WriteFile(filepath.Join(k.dir, "trial"), data, 0o600)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	if out, err := exec.Command("leaktrack", "--db", filepath.Join(k.dir, "trial"), "db", "prune", "--keep", keep).CombinedOutput(); err != nil {
		k.t.Fatalf("%v\n%s", err, out)
	}
	after := k.read(filepath.Join(k.dir, "trial"))
	_, killed := k.killed("prune", exec.Command("leaktrack", "--db", k.db, "db", "prune", "--keep", keep), stop)
	k.sound(k.db)
	have := k.read(k.db)
	// Each process is thinned out or not.
	for p, snaps := range have {
		one := func(x map[heap.Process]map[store.Key]*heap.Snapshot) map[heap.Process]map[store.Key]*heap.Snapshot {
			return map[heap.Process]map[store.Key]*heap.Snapshot{p: x[p]}
		}
		mine := map[heap.Process]map[store.Key]*heap.Snapshot{p: snaps}
		if !sameSnapshots(mine, one(after)) && !(killed && sameSnapshots(mine, one(k.want))) {
			k.t.Fatalf("prune: %v is neither as it was nor as it should be", p)
		}
	}
	if len(have) != len(k.want) {
		k.t.Fatalf("prune: %d processes of %d", len(have), len(k.want))
	}
	k.want = have
	return killed, 0
}

// TestKilled: whatever is killed at whatever moment, the file opens, db check is
// clean, and nothing is lost that was reported as stored.
func TestKilled(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Fatal(err)
	}
	k := &killBed{t: t, rng: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 8)), dir: t.TempDir(), want: map[heap.Process]map[store.Key]*heap.Snapshot{},
		next: map[heap.Process]int{}, typical: map[string]time.Duration{}, figures: map[string]*killFigures{}}
	k.db = filepath.Join(k.dir, "kill.db")
	order := []string{"ingest", "watch", "compact", "ingest", "backup", "watch", "prune"}
	// Rounds that end before their kill do not count, up to a bound.
	kills := faultRounds(t)
	for i := 0; k.kills() < kills && i < 3*kills+len(order); i++ {
		k.round(order[i%len(order)])
		if i%50 == 49 { // with the real command, too, and a new store now and then
			if out, err := exec.Command("leaktrack", "--db", k.db, "db", "check").CombinedOutput(); err != nil {
				t.Fatalf("round %d: %v\n%s", i, err, out)
			}
			k.db = filepath.Join(k.dir, fmt.Sprintf("kill%d.db", i))
			k.want = map[heap.Process]map[store.Key]*heap.Snapshot{}
			os.Remove(filepath.Join(k.dir, "copy.db"))
		}
	}
	for _, verb := range []string{"ingest", "watch", "compact", "backup", "prune"} {
		f := k.figures[verb]
		t.Logf("%-8s %4d rounds, %4d killed before the end, %4d of them after files had changed, %4d with a second file unfinished; %d snapshots stored but not yet reported; a run takes %v",
			verb, f.rounds, f.killed, f.touched, f.partial, f.unsaid, k.typical[verb].Round(time.Millisecond))
		// About half of the rounds of a verb end by a kill, and of prune a fifth by
		// one while it writes. A quarter of that must come; of few rounds one kill.
		if f.killed < max(f.rounds/8, 1) || f.touched < f.rounds/20 {
			t.Errorf("%s: %d kills, %d of them while it wrote, are too few for %d rounds", verb, f.killed, f.touched, f.rounds)
		}
	}
	t.Logf("%d kills, %d snapshots reported as stored, none lost", k.kills(), k.reported)
	if k.kills() < kills {
		t.Errorf("%d kills are wanted", kills)
	}
}

// kills counts those that came before the end of what was killed.
func (k *killBed) kills() (n int) {
	for _, f := range k.figures {
		n += f.killed
	}
	return n
}
