package live

import "time"

// A peer may be silent for long and honest: up to .NET 10 a runtime says
// nothing while it walks a heap, ten seconds for tens of millions of objects, and
// on a busy machine it may not get a processor for seconds. What an honest
// runtime never does is stay silent while its process neither works nor waits
// for a processor: after the answer to a request it has nothing to wait for. So
// silence is judged together with the work of the process.
const (
	// quietTime is how long a process may be silent while it does nothing. On an
	// idle machine a runtime answers, and sends the first bytes of a stream,
	// within 110 ms.
	quietTime = time.Second
	// lastTime is how long it may be so after it was asked to end a session.
	lastTime = 300 * time.Millisecond
	// busyShare is the part of one processor, 1/n, that tells a process that is
	// at work from one that turns over in its sleep: timers and the like take
	// below a hundredth, a collection or a walk nearly all of one.
	busyShare = 20
)

// vigil watches the silence of a process.
type vigil struct {
	f     *facts
	since time.Time // of the last sign of life
	// work is what the threads had done at the time at; nil: not looked at
	// since the last sign of life.
	work *work
	at   time.Time
}

func newVigil(f *facts) *vigil { return &vigil{f: f, since: time.Now()} }

// heard says that there was a sign of life.
func (v *vigil) heard() { v.since, v.work = time.Now(), nil }

// over reports whether the silence has lasted for longer than limit while the
// process did nothing. It is false where the system does not tell what a process
// does. To ask is cheap during the first tenth of a second of a silence.
func (v *vigil) over(limit time.Duration) bool {
	if time.Since(v.since) < pollTime {
		return false
	}
	if v.work == nil {
		v.work, v.at = v.f.work(), time.Now()
		return false
	}
	if time.Since(v.since) < limit {
		return false
	}
	span := time.Since(v.at)
	if span < limit/2 {
		return false // we got no processor ourselves
	}
	now := v.f.work()
	if now == nil || now.waiting || now.since(v.work) >= span/busyShare {
		v.since, v.work, v.at = time.Now(), now, time.Now()
		return false
	}
	return true
}

// work is what the threads of a process have done so far.
type work struct {
	threads map[string]time.Duration // on a processor, or in the queue for one
	// waiting says that a thread waits for a processor, a disk or swapped memory.
	waiting bool
}

// since returns how much was done since an earlier look, by threads that still
// live.
func (w *work) since(earlier *work) time.Duration {
	var sum time.Duration
	for id, d := range w.threads {
		sum += max(d-earlier.threads[id], 0)
	}
	return sum
}
