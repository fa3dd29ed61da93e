package live

import (
	"leaktrack/ingest/internal/boot"
	"os"
	"testing"
	"time"
)

// Somebody sets the clock while a process is watched: the boot time that the
// kernel tells follows it, and nothing else may.
func TestClockSteps(t *testing.T) {
	pid := os.Getpid()
	life, err := LifeOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	began, err := inspect(pid)
	if err != nil {
		t.Fatal(err)
	}
	before, uptime := life.Start(), life.Uptime()
	if uptime <= 0 || uptime > time.Hour {
		t.Fatalf("uptime %v", uptime)
	}
	defer func() { bootTime = boot.Time }()
	for _, step := range []time.Duration{-48 * time.Hour, time.Hour, 0, 3 * time.Second} {
		bootTime = func() (time.Time, error) {
			at, err := boot.Time()
			return at.Add(step), err
		}
		if now, err := Start(pid); err != nil || now != before+int64(step) {
			t.Fatalf("a step of %v: a new look gives start %d, was %d, %v: the test does not set the clock", step, now, before, err)
		}
		if !life.Alive() || !began.refresh() {
			t.Errorf("a step of %v: it looks like another run", step)
		}
		if life.Start() != before {
			t.Errorf("a step of %v: start %d, was %d", step, life.Start(), before)
		}
		for _, now := range []time.Duration{life.Uptime(), began.uptime()} {
			if d := now - uptime; d < 0 || d > 30*time.Second {
				t.Errorf("a step of %v: uptime %v, was %v", step, now, uptime)
			}
		}
	}
}

func TestMomentOfAWalk(t *testing.T) {
	ended := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	begun := ended.Add(-5 * time.Second)
	const uptime = 2 * time.Hour
	for _, tt := range []struct {
		why  string
		said time.Time
		ago  time.Duration
	}{
		{"in between", ended.Add(-2 * time.Second), 2 * time.Second},
		{"unknown", time.Time{}, 0},
		{"a little before the question, as clocks differ", begun.Add(-500 * time.Millisecond), 5500 * time.Millisecond},
		{"the clock was set forth by an hour meanwhile", ended.Add(-time.Hour - 2*time.Second), 0},
		{"the clock was set back", ended.Add(time.Minute), 0},
	} {
		gotUptime, taken := moment(tt.said, begun, ended, uptime)
		if gotUptime != uptime-tt.ago || !taken.Equal(ended.Add(-tt.ago)) {
			t.Errorf("%s: uptime %v, taken %v", tt.why, gotUptime, taken)
		}
	}
}
