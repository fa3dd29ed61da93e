package main

import (
	"leaktrack/heap"
)

// backlog holds the snapshots that the store does not take now: its disk is
// full, or another has it. It is bounded, cheap samples by number and tables by
// their memory. A kind that reaches its bound is thinned out evenly: every second
// one goes, and from then on every second one that comes, so that the trend
// bridges the gap.
type backlog struct {
	waiting []*heap.Snapshot
	dropped int // since there was nothing in it
	tables  lane
	samples lane
}

// lane is one kind of snapshots in a backlog.
type lane struct {
	number, size int // size in bytes, about
	every, seen  int // of those that came, every so manieth was taken
}

const (
	maxWaiting      = 4096     // cheap samples, of some hundred bytes each
	maxWaitingBytes = 64 << 20 // of tables
)

// sizeOf estimates the memory of a table.
func sizeOf(s *heap.Snapshot) int {
	n := 512
	for _, t := range s.Types {
		n += 32 + len(t.Name)
	}
	return n
}

func (b *backlog) lane(s *heap.Snapshot) *lane {
	if s.CountersOnly() {
		return &b.samples
	}
	return &b.tables
}

func (l *lane) full() bool {
	return l.number > maxWaiting || l.size > maxWaitingBytes && l.number > 2
}

func (b *backlog) add(s *heap.Snapshot) {
	l := b.lane(s)
	l.every = max(l.every, 1)
	l.seen++
	if (l.seen-1)%l.every != 0 {
		b.dropped++
		return
	}
	b.waiting = append(b.waiting, s)
	l.number++
	l.size += sizeOf(s)
	if l.full() {
		l.every *= 2
		b.thin(l)
	}
}

// thin drops every second one of a lane.
func (b *backlog) thin(l *lane) {
	n := 0
	kept := b.waiting[:0]
	for _, s := range b.waiting {
		if b.lane(s) == l {
			if n++; n%2 == 0 {
				b.dropped++
				l.number--
				l.size -= sizeOf(s)
				continue
			}
		}
		kept = append(kept, s)
	}
	clear(b.waiting[len(kept):])
	b.waiting = kept
}

// next takes the oldest one off.
func (b *backlog) next() {
	s := b.waiting[0]
	l := b.lane(s)
	l.number--
	l.size -= sizeOf(s)
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
}

// reset is called when nothing waits any more.
func (b *backlog) reset() { *b = backlog{} }

// of returns what waits of one process.
func (b *backlog) of(p heap.Process) []*heap.Snapshot {
	var out []*heap.Snapshot
	for _, s := range b.waiting {
		if s.Process == p {
			out = append(out, s)
		}
	}
	return out
}
