//go:build faults && linux

package main

import (
	"path/filepath"
	"testing"
	"time"
)

// A month with more of everything: with 1,000 rounds a walk every two minutes of
// 1,000 types and a sample every 30 seconds, with fewer less often.
func TestWatchForALongMonth(t *testing.T) {
	every := 2 * time.Minute * time.Duration(max(1000/faultRounds(t), 1))
	m := watchMonth(t, filepath.Join(memoryDir(t), "month.db"), 30, 40, every, every/4, ofTypes(1000))
	m.check(t, 1000, 100)
}

// The recorded month with more walks, so that each run repeats its recording many times:
// one every two minutes with 1,000 rounds, with fewer less often.
func TestWatchForALongRecordedMonth(t *testing.T) {
	recordedMonth(t, 2*time.Minute*time.Duration(max(1000/faultRounds(t), 1)))
}
