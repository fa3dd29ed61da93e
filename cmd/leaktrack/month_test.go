package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/live"
	"leaktrack/internal/report"
	"leaktrack/store"
	"leaktrack/trend"
)

// month is what a watch of many days cost, at the end of each day.
type month struct {
	heap       []uint64 // bytes in use after a collection
	goroutines []int
	files      []int // open descriptors
	size       int64 // of the store at the end
	tables     int
	samples    int
	asked      int // judgements that were due
	judged     int // that were made
	widest     int // snapshots that one of them read
	rss        []int64
	highest    []int64 // resident size so far
}

// program is what a month is watched of.
type program interface {
	// find gives the run that is watched, again the next one.
	find(again bool) (target, error)
}

// service is a process with this many types, of which nine in a hundred vary and
// one in a hundred grows.
type service struct {
	*fakeTarget
	rows []heap.Type
}

func newService(t *fakeTarget, types int) *service {
	s := &service{fakeTarget: t}
	for i := range types {
		s.rows = append(s.rows, heap.Type{Name: fmt.Sprintf("Shop.Module%02d.Model.Item%05d", i%37, i), Count: int64(i%5000 + 1), Bytes: int64(i%5000+1) * 40})
	}
	return s
}

func (s *service) find(bool) (target, error) { return s, nil }

func (s *service) Snapshot(ctx context.Context, o live.Options) (*heap.Snapshot, live.Stats, error) {
	x, stats, err := s.fakeTarget.Snapshot(ctx, o)
	if err != nil {
		return nil, stats, err
	}
	n := int64(len(s.walked))
	rows := make([]heap.Type, len(s.rows))
	for i, r := range s.rows {
		switch {
		case i%100 == 0:
			r.Count += n
		case i%11 == 0:
			r.Count += (n*int64(i) + n%7) % (r.Count/8 + 3)
		}
		r.Bytes = r.Count * 40
		rows[i] = r
	}
	if err := x.SetTypes(rows); err != nil {
		return nil, stats, err
	}
	x.Memory = &heap.ProcessMemory{RSSBytes: heap.Known(500e6 + n*4096), PrivateBytes: heap.Known(400e6 + n*4096)}
	return x, stats, nil
}

func (s *service) Counters(ctx context.Context) (*heap.Snapshot, error) {
	x, err := s.fakeTarget.Counters(ctx)
	if err == nil {
		x.Taken = s.clock.now
		x.Memory = &heap.ProcessMemory{RSSBytes: heap.Known(500e6 + int64(x.Uptime/1e6)), PrivateBytes: heap.Known(400e6 + int64(x.Uptime/1e6))}
	}
	return x, err
}

// watchMonth runs a real watch, but for its clock and its process, into a real
// store. Of its judgements every so manieth is made: the clock of a test does
// not wait for them.
func watchMonth(t *testing.T, path string, days, nth int, every, sample time.Duration, of func(*bench) program) month {
	t.Helper()
	var m month
	b := newBench()
	b.console.out, b.console.err = io.Discard, io.Discard
	b.every, b.sample, b.length = every, sample, time.Duration(days)*24*time.Hour
	f := &watchedFile{path: path}
	p := of(b)
	begun := b.clock.now
	b.known = f.keys
	b.put = func(x *heap.Snapshot) error {
		if x.CountersOnly() {
			m.samples++
		} else {
			m.tables++
		}
		if err := f.put(x); err != nil {
			return err
		}
		if day := int(b.clock.now.Sub(begun) / (24 * time.Hour)); day > len(m.heap) {
			m.measure()
		}
		return nil
	}
	b.judge = func(p heap.Process, keys []store.Key, waiting []*heap.Snapshot) (report.Named, error) {
		m.widest = max(m.widest, len(keys)+len(waiting))
		if m.asked++; m.asked%nth != 0 {
			return report.Named{Ref: p.String(), Result: &trend.Result{}}, nil
		}
		m.judged++
		return f.judge(p, keys, waiting)
	}
	if err := b.run(t.Context(), p.find, "App"); err != nil {
		t.Fatal(err)
	}
	m.measure()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	m.size = info.Size()
	return m
}

func (m *month) measure() {
	runtime.GC()
	runtime.GC() // pools let go at the second one
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	m.heap = append(m.heap, s.HeapAlloc)
	m.goroutines = append(m.goroutines, runtime.NumGoroutine())
	m.files = append(m.files, openFiles())
	resident, highest := residentBytes()
	m.rss, m.highest = append(m.rss, resident), append(m.highest, highest)
}

// openFiles counts the descriptors of this process; -1 where the system does
// not tell.
func openFiles() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(names)
}

// residentBytes tells the resident size of this process and the highest it ever had;
// -1 where the system does not tell.
func residentBytes() (now, highest int64) {
	now, highest = -1, -1
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return now, highest
	}
	for line := range bytes.Lines(b) {
		var kB int64
		if n, _ := fmt.Sscanf(string(line), "VmRSS: %d kB", &kB); n == 1 {
			now = kB << 10
		}
		if n, _ := fmt.Sscanf(string(line), "VmHWM: %d kB", &kB); n == 1 {
			highest = kB << 10
		}
	}
	return now, highest
}

// promised is the size that the documentation of package store promises.
func promised(tables, types, changed, samples int) int64 {
	return 1<<20 + int64(types)*128 + int64(tables)*int64(400+12*changed+types/4) + 128*int64(samples)
}

// ofTypes is a program of one run with so many types.
func ofTypes(types int) func(*bench) program {
	return func(b *bench) program { return newService(b.target, types) }
}

// check holds a month of a program with so many types, of which so many change from
// one table to the next, to what is promised of it.
func (m month) check(t *testing.T, types, changed int) {
	t.Helper()
	last := len(m.heap) - 1
	if last < 2 {
		t.Fatalf("%d days", last)
	}
	// The selection fills up during the first days, some ten KiB of keys.
	if grown := int64(m.heap[last]) - int64(m.heap[0]); grown > 1<<20 {
		t.Errorf("memory in use after day 1 %d bytes, after the last %d", m.heap[0], m.heap[last])
	}
	if m.goroutines[last] > m.goroutines[0] || m.files[last] > m.files[0] {
		t.Errorf("goroutines %v, open files %v", m.goroutines, m.files)
	}
	if limit := maxTables + maxSamples + 2; m.widest > limit {
		t.Errorf("a judgement read %d snapshots, %d are the limit", m.widest, limit)
	}
	if m.judged == 0 {
		t.Error("nothing was judged")
	}
	if limit := promised(m.tables, types, changed, m.samples); m.size > limit {
		t.Errorf("%d tables and %d samples take %d bytes, %d are promised", m.tables, m.samples, m.size, limit)
	}
	t.Logf("%d tables, %d samples: file %d bytes (%d promised); %d judgements of up to %d snapshots; heap day 1 %d, last %d; RSS day 1 %d, last %d",
		m.tables, m.samples, m.size, promised(m.tables, types, changed, m.samples), m.judged, m.widest, m.heap[0], m.heap[last], m.rss[0], m.rss[last])
}

// memoryDir is a folder whose files need no disk, where there is one: a month has
// thousands of syncs.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "leaktrack")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A month of watching, with a walk every two hours; the fault suite has more of
// them.
func TestWatchForAMonth(t *testing.T) {
	m := watchMonth(t, filepath.Join(memoryDir(t), "month.db"), 30, 60, 2*time.Hour, 20*time.Minute, ofTypes(300))
	if m.tables != 360 || m.samples < 1000 {
		t.Errorf("%d tables, %d samples", m.tables, m.samples)
	}
	m.check(t, 300, 30)
}
