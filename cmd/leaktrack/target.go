package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"leaktrack/ingest/live"
	"leaktrack/ingest/livemem"
	"leaktrack/internal/unit"
)

// openTarget opens the process that a pid or a program's name means, to be read
// by the given method. When it is asked again, a name waits for the next run of
// the program, and a pid has none.
func openTarget(ctx context.Context, method, name string, again bool) (target, error) {
	pid, err := strconv.Atoi(name)
	if err == nil && pid > 0 {
		if again {
			return nil, errNoNext
		}
		return openPID(ctx, method, pid)
	}
	for {
		p, err := findProcess(ctx, name)
		if err == nil {
			t, err := openPID(ctx, method, p.PID)
			if err == nil || !again {
				return t, err
			}
		} else if !again || !errors.Is(err, errNoProcess) {
			return nil, err
		}
		// The next run has not come up yet, or is not ready to answer.
		if err := (wallClock{}).Sleep(ctx, time.Now().Add(nextRunPoll)); err != nil {
			return nil, err
		}
	}
}

func openPID(ctx context.Context, method string, pid int) (target, error) {
	if method == methodMemory {
		return openMemory(ctx, pid)
	}
	return live.Open(ctx, pid)
}

// await opens the first run of a program that may not run yet. One that has just
// begun is given some seconds until it answers.
func (c *console) await(ctx context.Context, clock clock, name string, find func(context.Context, string) (live.Process, error), open func(again bool) (target, error)) (target, error) {
	told, tries := false, 0
	for {
		_, err := find(ctx, name)
		if err == nil {
			tries++
			var t target
			if t, err = open(false); err == nil || tries == readyTries {
				return t, err
			}
		} else if !errors.Is(err, errNoProcess) {
			return nil, err
		} else if !told {
			told = true
			c.say("waiting for %s", name)
		}
		if err := clock.Sleep(ctx, clock.Now().Add(nextRunPoll)); err != nil {
			return nil, err
		}
	}
}

// readyTries bounds, at nextRunPoll each, how long a process may take from its
// start until it answers.
const readyTries = 10

// nextRunPoll is how often a watch looks for the next run of its program.
const nextRunPoll = time.Second

var errNoProcess = errors.New("no .NET process has that name")

// findProcess returns the one .NET process of that name.
func findProcess(ctx context.Context, name string) (live.Process, error) {
	list, err := live.Processes(ctx)
	if err != nil {
		return live.Process{}, err
	}
	found := live.Match(list, name)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		var names []string
		for _, p := range list {
			names = append(names, p.Program)
		}
		hint := "leaktrack ps lists what runs here"
		if near := nearest(name, names, 3); len(near) > 0 {
			hint = "did you mean " + unit.Clean(strings.Join(near, ", "))
		}
		return live.Process{}, fmt.Errorf("%q: %w; %s", name, errNoProcess, hint)
	}
	var pids []string
	for _, p := range found {
		pids = append(pids, strconv.Itoa(p.PID))
	}
	return live.Process{}, usagef("%d processes are named %s: choose by pid, one of %s", len(found), name, strings.Join(pids, ", "))
}

// explained puts the remedy behind an error of a live read.
func explained(err error) error {
	var refusal *livemem.Refusal
	if errors.As(err, &refusal) && refusal.Remedy != "" && !strings.Contains(err.Error(), refusal.Remedy) {
		return fmt.Errorf("%w; %s", err, refusal.Remedy)
	}
	if errors.Is(err, livemem.ErrNoRuntime) {
		return fmt.Errorf("%w; leaktrack ps lists the .NET processes", err)
	}
	if remedy := live.RemedyOf(err); remedy != "" {
		return fmt.Errorf("%w; %s", err, remedy)
	}
	return err
}
