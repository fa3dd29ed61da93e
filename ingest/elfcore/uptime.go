package elfcore

import (
	"fmt"
	"strings"
	"time"

	"leaktrack/heap"
)

// A Core is a snapshot that was read from a core, with its trust.
type Core struct {
	Snapshot *heap.Snapshot
	Trust    Trust
}

// Series gives the cores of one process the same clock: where the uptime of
// one is known (told by the machine, or set by the caller), the others of equal
// pid and start follow by the differences of the times at which they were made,
// which are exact. It changes cores whose uptime is unknown, and none else, and
// returns how many are still unknown.
func Series(cores []Core) (unknown int) {
	type key struct {
		pid   int
		ticks uint64
	}
	anchor := map[key]*heap.Snapshot{}
	for _, c := range cores {
		s := c.Snapshot
		k := key{s.Process.PID, c.Trust.StartTicks}
		if s.Uptime >= 0 && !s.Taken.IsZero() && k.pid != 0 && k.ticks != 0 && anchor[k] == nil {
			anchor[k] = s
		}
	}
	for i, c := range cores {
		s := c.Snapshot
		if s.Uptime >= 0 {
			continue
		}
		a := anchor[key{s.Process.PID, c.Trust.StartTicks}]
		if a == nil || s.Taken.IsZero() || a.Uptime+s.Taken.Sub(a.Taken) < 0 {
			unknown++
			continue
		}
		s.Uptime = a.Uptime + s.Taken.Sub(a.Taken)
		s.Process = a.Process
		s.Warnings = withoutUptime(s.Warnings)
		cores[i].Trust.Uptime = fmt.Sprintf("%v, from the difference of its file time to that of another core of the process", s.Uptime.Round(time.Second))
	}
	return unknown
}

// withoutUptime drops the warning that Series made untrue.
func withoutUptime(ws []heap.Warning) []heap.Warning {
	var out []heap.Warning
	for _, w := range ws {
		if !strings.HasPrefix(w.Text, uptimeWarning) {
			out = append(out, w)
		}
	}
	return out
}

const (
	uptimeWarning = "uptime is unknown"
	uptimeUnknown = "unknown: " // how [Trust.Uptime] begins then
)
