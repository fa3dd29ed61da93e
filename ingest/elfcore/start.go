package elfcore

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"

	"leaktrack/ingest/internal/clr"
)

// startTicks finds when the process started, in clock ticks since boot: the
// runtime makes the names of its endpoints, dotnet-diagnostic-PID-KEY-socket
// and clr-debug-pipe-PID-KEY-in and -out, with it and keeps them. Without a name
// a leftover of the text of /proc/self/stat may tell. 0: not found.
func (c *core) startTicks(heap [][2]uint64) (uint64, error) {
	if c.pid == 0 {
		return 0, nil
	}
	key := []byte("-" + strconv.Itoa(c.pid) + "-")
	stat := []byte(strconv.Itoa(c.pid) + " (")
	votes, leftovers := map[uint64]int{}, map[uint64]int{}
	for _, s := range c.writable(heap) {
		done, err := c.search(s, func(b []byte) bool {
			countNames(b, key, votes)
			countStat(b, stat, leftovers)
			best, n := winner(votes)
			return best != 0 && n >= 3
		})
		if err != nil {
			return 0, err
		}
		if done {
			break
		}
	}
	if best, _ := winner(votes); best != 0 {
		return best, nil
	}
	best, _ := winner(leftovers)
	return best, nil
}

// writable lists the runs of memory outside the GC heap that hold variables,
// small ones first: the names stand in the heap of malloc.
func (c *core) writable(heap [][2]uint64) []segment {
	var out []segment
	for _, s := range c.segs {
		if !s.writable {
			continue
		}
		at, end := s.addr, s.addr+s.size
		for i, _ := slices.BinarySearchFunc(heap, at, func(r [2]uint64, a uint64) int {
			if r[1] <= a {
				return -1
			}
			return 1
		}); i < len(heap) && heap[i][0] < end; i++ {
			if heap[i][0] > at {
				out = append(out, s.cut(at, heap[i][0]))
			}
			at = max(at, min(end, heap[i][1]))
		}
		if at < end {
			out = append(out, s.cut(at, end))
		}
	}
	slices.SortStableFunc(out, func(a, b segment) int { return cmp.Compare(a.size, b.size) })
	return out
}

func (s segment) cut(from, to uint64) segment {
	return segment{addr: from, size: to - from, off: s.off + int64(from-s.addr), writable: s.writable}
}

// search shows the bytes of s to found, in windows that overlap by more than
// a name is long, until it returns true.
func (c *core) search(s segment, found func([]byte) bool) (bool, error) {
	const window, overlap = 256 << 10, 512
	b := make([]byte, min(window, s.size))
	for at := uint64(0); ; at += window - overlap {
		n := min(window, s.size-at)
		if k, err := c.ReadAt(b[:n], int64(s.addr+at)); k < int(n) && !errors.Is(err, clr.ErrAbsent) {
			return false, err
		}
		if found(b[:n]) {
			return true, nil
		}
		if at+n >= s.size {
			return false, nil
		}
	}
}

func winner(votes map[uint64]int) (best uint64, n int) {
	for k, v := range votes {
		if v > n || v == n && k < best {
			best, n = k, v
		}
	}
	return best, n
}

// countNames counts the keys in names of endpoints.
func countNames(b, key []byte, votes map[uint64]int) {
	for at := 0; ; {
		i := bytes.Index(b[at:], key)
		if i < 0 {
			return
		}
		i += at
		at = i + len(key)
		before := b[max(0, i-len("dotnet-diagnostic")):i]
		v, rest := digits(b[at:])
		if v == 0 {
			continue
		}
		switch {
		case bytes.HasSuffix(before, []byte("dotnet-diagnostic")) && bytes.HasPrefix(rest, []byte("-socket")),
			bytes.HasSuffix(before, []byte("clr-debug-pipe")) && (bytes.HasPrefix(rest, []byte("-in")) || bytes.HasPrefix(rest, []byte("-out"))):
			if len(votes) < 1000 {
				votes[v]++
			}
		}
	}
}

// countStat counts the 22nd fields of text such as "4242 (dotnet) R 1 …".
func countStat(b, head []byte, votes map[uint64]int) {
	for at := 0; ; {
		i := bytes.Index(b[at:], head)
		if i < 0 {
			return
		}
		i += at
		at = i + len(head)
		if i > 0 && b[i-1] >= '0' && b[i-1] <= '9' {
			continue
		}
		line := b[at:min(len(b), at+400)]
		// The name has at most 15 characters, parentheses among them.
		j := bytes.LastIndex(line[:min(len(line), 18)], []byte(") "))
		if j < 0 {
			continue
		}
		fields := bytes.Fields(line[j+2:])
		if len(fields) < 21 || len(fields[0]) != 1 || bytes.IndexByte([]byte("RSDTt"), fields[0][0]) < 0 {
			continue
		}
		// The name is the second field, so these start with the third.
		if v, rest := digits(fields[19]); v != 0 && len(rest) == 0 && len(votes) < 1000 {
			votes[v]++
		}
	}
}

func digits(b []byte) (uint64, []byte) {
	var v uint64
	i := 0
	for ; i < len(b) && i < 18 && b[i] >= '0' && b[i] <= '9'; i++ {
		v = 10*v + uint64(b[i]-'0')
	}
	return v, b[i:]
}
