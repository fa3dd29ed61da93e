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
	m := watchMonth(t, filepath.Join(memoryDir(t), "month.db"), 30, 1000, 40, every, every/4)
	m.check(t, 1000)
}
