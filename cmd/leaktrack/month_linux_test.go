package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/live"
)

// recordings are those of real processes in trend/testdata, with what is true of them.
var recordings = []struct{ name, diagnosis string }{
	{"book-linked", "leak"}, {"zoo-bounded", "no-leak"}, {"zoo-orders", "leak"},
	{"book-unlinked", "no-leak"}, {"zoo-stairs", "leak"}, {"zoo-sawtooth", "no-leak"},
}

// recordedRuns is a program that is restarted every few days. Each run repeats a
// recording of a real process, a table for each walk, over and over; where the process
// leaks, each pass goes on from the one before.
type recordedRuns struct {
	bench *bench
	t     *testing.T
	each  time.Duration
	next  int
}

func (p *recordedRuns) find(bool) (target, error) {
	if p.next == len(recordings) {
		return nil, errNoNext
	}
	r := &recordedRun{fakeTarget: &fakeTarget{clock: p.bench.clock, process: heap.Process{Program: recordings[p.next].name, PID: 100 + p.next, StartNanos: p.bench.clock.now.UnixNano()},
		begun: p.bench.clock.now, dies: p.bench.clock.now.Add(p.each), walk: 300 * time.Millisecond, sample: 1100 * time.Millisecond}}
	r.read(p.t, "../../trend/testdata/"+recordings[p.next].name+".jsonl.gz", recordings[p.next].diagnosis == "leak")
	p.next++
	return r, nil
}

type recordedRun struct {
	*fakeTarget
	tables []*heap.Snapshot
	grown  map[string]heap.Type // by what a type grows in one pass of a leak, where it never falls
}

func (r *recordedRun) read(t *testing.T, path string, leaks bool) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	type span struct {
		first, last heap.Type
		seen        int
		fell        bool
	}
	spans := map[string]*span{}
	for dec := json.NewDecoder(z); ; {
		s := &heap.Snapshot{}
		if err := dec.Decode(s); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		r.tables = append(r.tables, s)
		for _, x := range s.Types {
			at := spans[x.Name]
			if at == nil {
				at = &span{first: x, last: x}
				spans[x.Name] = at
			}
			at.fell = at.fell || x.Count < at.last.Count || x.Bytes < at.last.Bytes
			at.last = x
			at.seen++
		}
	}
	r.grown = map[string]heap.Type{}
	if !leaks {
		return
	}
	for name, at := range spans {
		if !at.fell && at.seen == len(r.tables) {
			r.grown[name] = heap.Type{Count: at.last.Count - at.first.Count, Bytes: at.last.Bytes - at.first.Bytes}
		}
	}
}

func (r *recordedRun) Snapshot(context.Context, live.Options) (*heap.Snapshot, live.Stats, error) {
	n := len(r.walked)
	r.walked = append(r.walked, r.Uptime())
	s := *r.tables[n%len(r.tables)]
	s.Process, s.Uptime, s.Taken = r.process, r.Uptime(), r.clock.now
	passes := int64(n / len(r.tables))
	types := make([]heap.Type, len(s.Types))
	for i, x := range s.Types {
		g := r.grown[x.Name]
		types[i] = heap.Type{Name: x.Name, Count: x.Count + passes*g.Count, Bytes: x.Bytes + passes*g.Bytes}
	}
	objects, _, err := s.Sum()
	if err == nil {
		err = s.SetTypes(types)
	}
	r.clock.now = r.clock.now.Add(r.walk)
	return &s, live.Stats{Objects: objects, Duration: r.walk, Complete: true}, err
}

func (r *recordedRun) Counters(ctx context.Context) (*heap.Snapshot, error) {
	x, err := r.fakeTarget.Counters(ctx)
	if err == nil {
		like := r.tables[len(r.walked)%len(r.tables)]
		x.Taken, x.Memory, x.Heap = r.clock.now, like.Memory, nil
		if x.Memory == nil {
			x.Memory = &heap.ProcessMemory{RSSBytes: heap.Known(60 << 20)}
		}
	}
	return x, err
}

// monthVariable holds a path and a time: this process is to watch a month into that
// file, with a walk every so often.
const monthVariable = "LEAKTRACK_MONTH"

// monthRoom is by how much the resident size may grow in a month. The collector lets
// the heap double before it collects, and gives back what is free in its own time: that
// much is noise. 8 KiB kept of each walk and sample would show, a thirtieth of that in
// the heap itself (see check).
const monthRoom = 16 << 20

// recordedMonth watches the recordings for a month, in a process of its own, whose
// memory is then that of a watcher and of nothing else.
func recordedMonth(t *testing.T, every time.Duration) {
	t.Helper()
	if words := strings.Fields(os.Getenv(monthVariable)); len(words) == 2 {
		watchRecordings(t, words[0], words[1])
		return
	}
	path := filepath.Join(memoryDir(t), "month.db")
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), monthVariable+"="+path+" "+every.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	type day struct{ resident, highest int64 }
	var days []day
	for line := range strings.Lines(string(out)) {
		var d day
		if at := strings.Index(line, "day: "); at >= 0 {
			if _, err := fmt.Sscanf(line[at:], "day: resident %d, highest %d", &d.resident, &d.highest); err == nil {
				days = append(days, d)
			}
		} else if strings.Contains(line, " tables, ") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if len(days) != 30 {
		t.Fatalf("%d days\n%s", len(days), out)
	}
	// A day's size depends on when the collector ran last; the middle one of a run does
	// not. By the end of the first run nearly all has been met once that needs memory.
	each := 30 / len(recordings)
	middle := func(of []day) int64 {
		var sizes []int64
		for _, d := range of {
			sizes = append(sizes, d.resident)
		}
		slices.Sort(sizes)
		return sizes[len(sizes)/2]
	}
	first, last := middle(days[:each]), middle(days[30-each:])
	high, highest := days[each].highest, days[29].highest
	t.Logf("resident size in the first run %d, in the last %d (medians); the highest by the second run %d, by the end %d; day 1 %d, day 30 %d",
		first, last, high, highest, days[0].resident, days[29].resident)
	if raceDetector {
		return // the size is that of its shadow memory
	}
	if last-first > monthRoom {
		t.Errorf("the resident size grew by %d bytes in a month", last-first)
	}
	if highest-high > monthRoom {
		t.Errorf("the highest resident size grew by %d bytes from the second run on", highest-high)
	}
}

func watchRecordings(t *testing.T, path, text string) {
	t.Helper()
	every, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	// One judgement of many is made, about one a day.
	m := watchMonth(t, path, 30, int(24*time.Hour/every), every, every/3, func(b *bench) program {
		return &recordedRuns{bench: b, t: t, each: 30 * 24 * time.Hour / time.Duration(len(recordings))}
	})
	// All the recordings name 6 times 165 types at most, and no more than 5 change on average
	// from one table to the next, 37 where a pass begins anew.
	m.check(t, 6*165, 8)
	for i := range m.rss[:30] {
		t.Logf("day: resident %d, highest %d", m.rss[i], m.highest[i])
	}
	var out, errOut bytes.Buffer
	if status := run(t.Context(), []string{"leaktrack", "--db", path, "trend", "--format", "json"}, nil, &out, &errOut); status != 0 {
		t.Fatal(errOut.String())
	}
	found := map[string]string{}
	for dec := json.NewDecoder(&out); ; {
		var r struct {
			Process   struct{ Program string }
			Diagnosis struct{ Verdict string }
		}
		if err := dec.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		found[r.Process.Program] = r.Diagnosis.Verdict
	}
	for _, r := range recordings {
		if found[r.name] != r.diagnosis {
			t.Errorf("%s: %s, the truth is %s", r.name, found[r.name], r.diagnosis)
		}
	}
}

// A month in which a program is restarted every five days; each run is the recording of
// a real process, a walk an hour. The fault suite walks more often.
func TestWatchForARecordedMonth(t *testing.T) {
	t.Parallel() // it measures a process of its own
	recordedMonth(t, time.Hour)
}
