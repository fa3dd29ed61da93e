package ingest

import (
	"time"

	"leaktrack/heap"
)

// startTolerance is how far two start times, each computed as wall clock minus
// uptime, may lie apart and still be the start of one run. Debuggers print
// whole seconds and clocks are corrected meanwhile; a process that restarts
// gets another pid as a rule, so the bound may be generous.
const startTolerance = 30 * time.Second

// runs decides which run of a program a snapshot belongs to, where its input
// does not state the start time. Wall clock minus uptime tells; without a wall
// clock only the order inside one input does, and that is what the readers
// have put into heap.Process.Run.
type runs struct {
	known map[heap.Process][]heap.Process // by process without start and run
	// input holds what was decided for the input being read, so that
	// snapshots without a wall clock follow those that have one.
	input map[heap.Process]heap.Process
}

func anonymous(p heap.Process) heap.Process {
	p.StartNanos, p.Run = 0, 0
	return p
}

func (r *runs) learn(p heap.Process) {
	if r.known == nil {
		r.known = map[heap.Process][]heap.Process{}
	}
	key := anonymous(p)
	for _, q := range r.known[key] {
		if q == p {
			return
		}
	}
	r.known[key] = append(r.known[key], p)
}

// during returns the known run of a process at a time: the one that started last
// before it, of the same pid and program, as far as the input names that. On
// several hosts there is none.
func (r *runs) during(said heap.Process, at time.Time) (run heap.Process, ok bool) {
	if said.PID == 0 || said.Program == "" {
		return run, false
	}
	for key, list := range r.known {
		if key.PID != said.PID || key.Program != said.Program || said.Host != "" && key.Host != said.Host {
			continue
		}
		for _, p := range list {
			switch {
			case p.StartNanos == 0 || p.Start().After(at):
			case ok && p.Host != run.Host:
				return heap.Process{}, false
			case !ok || p.StartNanos > run.StartNanos:
				run, ok = p, true
			}
		}
	}
	return run, ok
}

func (r *runs) nextInput() { r.input = map[heap.Process]heap.Process{} }

// assign completes s.Process.
func (r *runs) assign(s *heap.Snapshot) {
	said := s.Process
	if said.StartNanos != 0 {
		r.learn(said)
		return
	}
	if s.Taken.IsZero() {
		if p, ok := r.input[said]; ok {
			s.Process = p
		}
		return
	}
	start := s.Taken.Add(-s.Uptime)
	for _, p := range r.known[anonymous(said)] {
		if p.StartNanos != 0 && start.Sub(p.Start()).Abs() <= startTolerance {
			s.Process = p
			r.input[said] = p
			return
		}
	}
	s.Process.StartNanos = start.UnixNano()
	s.Process.Run = 0 // the start time says it
	r.learn(s.Process)
	r.input[said] = s.Process
}
