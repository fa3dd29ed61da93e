package main

import (
	"cmp"
	"slices"

	"leaktrack/heap"
	"leaktrack/store"
)

// choice is the even selection of a process's snapshots that a watch judges by:
// after weeks there are too many to read each time. It holds keys only.
type choice struct {
	process heap.Process
	kinds   map[store.Key]*thinned // by basis and kind
}

// What a judgement reads at most of each kind. A leak in the last twentieth of
// the time is not told from noise anyway, however many snapshots there are.
const (
	maxTables  = 256
	minTables  = 64
	maxRows    = 2 << 20 // of all tables, of 16 bytes each in the trend
	maxSamples = 1024
)

func newChoice(p heap.Process) *choice {
	return &choice{process: p, kinds: map[store.Key]*thinned{}}
}

// add appends a snapshot, which is the youngest of its kind.
func (c *choice) add(k store.Key, types int) {
	kind := k
	kind.Uptime = 0
	t := c.kinds[kind]
	if t == nil {
		t = &thinned{every: 1}
		c.kinds[kind] = t
	}
	limit := maxSamples
	if !k.Counters {
		limit = min(max(maxRows/max(types, 1), minTables), maxTables)
	}
	t.add(k, limit)
}

// keys returns what is chosen, by uptime, and how many there are in all.
func (c *choice) keys() (keys []store.Key, all int) {
	for _, t := range c.kinds {
		keys = append(keys, t.keys...)
		if n := len(t.keys); n > 0 && t.keys[n-1] != t.last {
			keys = append(keys, t.last)
		}
		all += t.seen
	}
	slices.SortFunc(keys, func(a, b store.Key) int {
		return cmp.Or(cmp.Compare(a.Uptime, b.Uptime), -cmp.Compare(a.Basis, b.Basis))
	})
	return keys, all
}

// thinned keeps every so manieth key: between half of the limit and all of it.
type thinned struct {
	keys  []store.Key
	last  store.Key
	every int
	seen  int
}

func (t *thinned) add(k store.Key, limit int) {
	if t.seen%t.every == 0 {
		t.keys = append(t.keys, k)
	}
	t.seen++
	t.last = k
	for len(t.keys) > limit {
		n := 0
		for i := 0; i < len(t.keys); i += 2 {
			t.keys[n] = t.keys[i]
			n++
		}
		t.keys = t.keys[:n]
		t.every *= 2
	}
}
