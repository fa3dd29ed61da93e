package main

import (
	"leaktrack/heap"
)

// backlog holds the snapshots that the store does not take now: its disk is
// full, or another has it. It is bounded, cheap samples by number and tables by
// their memory. What is over the bound is thinned out evenly, every second one
// of its kind, so that the trend bridges the gap.
type backlog struct {
	waiting []*heap.Snapshot
	size    int // bytes of the tables, about
	dropped int // since the store took the last one
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

func (b *backlog) add(s *heap.Snapshot) {
	b.waiting = append(b.waiting, s)
	if !s.CountersOnly() {
		b.size += sizeOf(s)
	}
	samples := 0
	for _, s := range b.waiting {
		if s.CountersOnly() {
			samples++
		}
	}
	if samples > maxWaiting {
		b.thin(true)
	}
	for b.size > maxWaitingBytes && len(b.waiting)-samples > 2 {
		before := len(b.waiting)
		b.thin(false)
		if len(b.waiting) == before {
			break
		}
	}
}

// thin drops every second one of a kind. The first and the last stay.
func (b *backlog) thin(samples bool) {
	last := len(b.waiting) - 1
	n := 0
	kept := b.waiting[:0]
	for i, s := range b.waiting {
		drop := false
		if s.CountersOnly() == samples {
			drop = n%2 == 1 && i < last
			n++
		}
		if !drop {
			kept = append(kept, s)
			continue
		}
		b.dropped++
		if !samples {
			b.size -= sizeOf(s)
		}
	}
	clear(b.waiting[len(kept):])
	b.waiting = kept
}

// next takes the oldest one off.
func (b *backlog) next() {
	if s := b.waiting[0]; !s.CountersOnly() {
		b.size -= sizeOf(s)
	}
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	if len(b.waiting) == 0 {
		b.waiting = nil
	}
}

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
