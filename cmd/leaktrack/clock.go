package main

import (
	"context"
	"time"
)

// clock is time as the watcher sees it, so that a test can run for a month.
type clock interface {
	Now() time.Time
	// Sleep waits until the given time or until ctx ends, and says which by
	// its error.
	Sleep(ctx context.Context, until time.Time) error
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Sleep(ctx context.Context, until time.Time) error {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
