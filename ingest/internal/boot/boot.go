// Package boot tells when a Linux machine booted, from which the kernel counts
// the starts of processes (proc(5)).
package boot

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// TicksPerSecond is USER_HZ, in which programs are told when a process started.
const TicksPerSecond = 100

// Ticks returns the time that so many clock ticks take.
func Ticks(n uint64) time.Duration { return time.Duration(n) * (time.Second / TicksPerSecond) }

// Time returns when this machine booted. The kernel rounds it to whole seconds,
// so that it is the same for each reading.
func Time() (time.Time, error) {
	const path = "/proc/stat"
	b, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, fmt.Errorf("finding the boot time: %w", err)
	}
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64); err == nil {
				return time.Unix(n, 0), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("finding the boot time: %s has none", path)
}
