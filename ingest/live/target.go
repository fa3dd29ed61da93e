package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/internal/cmdline"
	"leaktrack/ingest/nettrace"
)

// Options say how a heap is walked. The zero value is a good choice.
type Options struct {
	// Timeout bounds the wait for the walk; up to .NET 10 nothing comes before
	// it is done. 0 means two minutes.
	Timeout time.Duration
	// MaxPause refuses a walk that by the estimate would stop the process for
	// longer, with reason [TooLong]. 0 allows any.
	MaxPause time.Duration
	// BufferMB is the ceiling of the buffer inside the process. 0 chooses:
	// 1024, or less if a memory limit is near.
	BufferMB uint32
	// SaveTrace, if set, is called for each walk that is tried (a second one
	// when events were lost) and gets the raw stream, a .nettrace file. An
	// error in writing does not spoil the reading; it is in Stats.SaveErr.
	SaveTrace func(attempt int) (io.WriteCloser, error)
}

// Stats say what a read cost and how far it can be trusted.
type Stats struct {
	Pause    time.Duration // all threads of the process stood still; 0 unknown
	Duration time.Duration // from the request to the finished snapshot, warm-up included
	Walk     time.Duration // of it, from asking for the walk to the end of its stream
	Bytes    int64         // of the stream
	Objects  int64         // counted
	Lost     uint64        // events dropped by the runtime in the last try
	Attempts int           // walks forced: 1, or 2 after a loss
	BufferMB uint32        // ceiling of the buffer in the last try
	Complete bool          // as in the snapshot
	Short    int           // types named without namespace or enclosing type
	SaveErr  error         // why the trace could not be saved
}

// Target is an open process. It keeps what was learned of it (types, modules,
// size of the last walk), so a watcher keeps one Target for all its reads. It
// is not safe for concurrent use, but for [Target.Sample] and
// [Target.Counters], which may run beside anything.
type Target struct {
	f       *facts
	opened  facts // as it was when it was opened; never changed
	proc    heap.Process
	info    processInfo
	version string // of the runtime; "" unknown
	legacy  bool   // .NET Core 3.x: no ProcessInfo
	types   *nettrace.Types
	warm    bool
	asked   bool  // modules were asked for
	missing int   // modules still unknown after asking
	failed  error // of an estimate: the next walk need not be tried

	lastBytes, lastObjects int64
	lastPause              time.Duration
	heaps                  heap.Optional
	server                 heap.Tristate
}

// Open finds a process, asks its runtime who it is, and returns it for
// reading. It opens no session and forces nothing. Errors are [*Error].
func Open(ctx context.Context, pid int) (*Target, error) {
	f, err := inspect(pid)
	if err != nil {
		return nil, err
	}
	return f.target(ctx)
}

func (f *facts) target(ctx context.Context) (*Target, error) {
	if f.stopped() {
		return nil, f.silence(ctx, os.ErrDeadlineExceeded, "")
	}
	t := &Target{f: f, types: nettrace.NewTypes()}
	for _, cmd := range []command{cmdProcessInfo3, cmdProcessInfo2, cmdProcessInfo} {
		c, answer, err := f.roundTrip(ctx, cmd, nil, answerTime, nil)
		if err != nil {
			var he ipcError
			if errors.As(err, &he) && he == hrUnknownCommand {
				continue
			}
			return nil, err
		}
		c.Close()
		if t.info, err = parseProcessInfo(cmd, answer); err != nil {
			return nil, &Error{PID: f.pid, Reason: Protocol, Msg: "its runtime's answer makes no sense", Err: err}
		}
		if int(t.info.pid) != f.inner {
			return nil, &Error{PID: f.pid, Reason: Untrusted, Msg: fmt.Sprintf("the runtime that answers is process %d, not %d", t.info.pid, f.inner),
				Remedy: "somebody may have planted its socket; look who owns it"}
		}
		break
	}
	t.legacy = t.info.os == ""
	t.version = runtimeVersion(t.info.version)
	ev := f.look()
	if t.version == "" {
		t.version = ev.version
	}
	t.server = ev.gc
	t.opened = *f
	host, _ := os.Hostname()
	t.proc = heap.Process{Host: host, Program: t.program(), PID: f.pid, StartNanos: f.startNanos}
	return t, nil
}

// program is the name as the user knows it.
func (t *Target) program() string {
	if t.info.entryAssembly != "" {
		return t.info.entryAssembly
	}
	if p := cmdline.Program(t.f.args); p != "" {
		return p
	}
	return cmdline.Program(cmdline.Split(t.info.commandLine))
}

// runtimeVersion cuts the build hash: 10.0.9+abcdef is 10.0.9.
func runtimeVersion(s string) string {
	for i, r := range s {
		if r == '+' || r == ' ' {
			return s[:i]
		}
	}
	return s
}

// Process returns the process's identity. Its pid is the one on this side of
// any container.
func (t *Target) Process() heap.Process { return t.proc }

// Version returns the runtime's version, such as 9.0.5; "" when unknown.
func (t *Target) Version() string { return t.version }

// Uptime returns the time since the process started.
func (t *Target) Uptime() time.Duration { return t.f.uptime() }

// Alive reports whether the process still runs; a new process with the same
// pid is another one.
func (t *Target) Alive() bool { return t.f.refresh() }

// Close releases what the Target holds open on this side. No session is open
// in the process between two reads.
func (t *Target) Close() { t.f.close() }

// Read opens a process, walks its heap once and returns what it holds: Basis
// live, Source live-eventpipe. An incomplete walk is no error; the snapshot
// and the Stats say so.
func Read(ctx context.Context, pid int, o Options) (*heap.Snapshot, Stats, error) {
	t, err := Open(ctx, pid)
	if err != nil {
		return nil, Stats{}, err
	}
	defer t.Close()
	return t.Snapshot(ctx, o)
}

// Snapshot walks the heap. All threads of the process stand still meanwhile,
// see [Target.Estimate].
func (t *Target) Snapshot(ctx context.Context, o Options) (*heap.Snapshot, Stats, error) {
	begin := time.Now()
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	var st Stats
	if !t.f.refresh() {
		return nil, st, noProcess(t.f.pid)
	}
	if t.f.stopped() {
		return nil, st, t.f.silence(ctx, os.ErrDeadlineExceeded, "")
	}
	if t.f.suspended() {
		return nil, st, t.suspendedError()
	}
	if o.MaxPause > 0 {
		if e := t.Estimate(ctx); e.Pause > o.MaxPause {
			return nil, st, &Error{PID: t.f.pid, Reason: TooLong, Err: &PauseError{e, o.MaxPause},
				Msg: "not walked", Remedy: "allow a longer pause, or take counters only"}
		}
	}
	if err := t.failed; err != nil {
		t.failed = nil
		return nil, st, err
	}
	if err := t.warmUp(ctx, o.Timeout); err != nil {
		return nil, st, err
	}
	st.BufferMB = t.buffer(o.BufferMB)
	var out *walked
	for st.Attempts = 1; ; st.Attempts++ {
		start := time.Now()
		w, err := t.walk(ctx, o, &st)
		if err != nil {
			if out == nil {
				return nil, st, err
			}
			out.warn = append(out.warn, fmt.Sprintf("a second walk, after the loss of events, failed: %v", err))
			break
		}
		st.Walk = time.Since(start)
		out = w
		if w.decoder.Lost() == 0 || st.Attempts >= 2 {
			break
		}
		// What is lost is lost in whole events of up to 64 KiB each.
		need := uint32((w.decoder.Offset()+int64(w.decoder.Lost())<<16)>>20)*2 + 64
		if retry := t.buffer(max(need, 2*st.BufferMB)); retry > st.BufferMB {
			st.BufferMB = retry
			continue
		}
		out.warn = append(out.warn, "the buffer cannot grow further below the process's memory limit")
		break
	}
	s, err := t.finish(ctx, out, &st)
	st.Duration = time.Since(begin)
	return s, st, err
}

func (t *Target) suspendedError() error {
	return &Error{PID: t.f.pid, Reason: Suspended, Msg: "its runtime is suspended at its start and waits for a tool",
		Remedy: "let that tool resume it, or start it without DOTNET_DefaultDiagnosticPortSuspend"}
}

// PauseError is the cause of an [Error] with reason [TooLong].
type PauseError struct {
	Estimate Estimate
	Allowed  time.Duration
}

func (e *PauseError) Error() string {
	return fmt.Sprintf("a heap walk would stop it for about %v, %v is allowed", e.Estimate.Pause.Round(time.Millisecond), e.Allowed)
}

const (
	defaultBufferMB = 1024
	maxBufferMB     = 64 << 10
)

// buffer returns the ceiling to ask for: what is wanted, but no more than half
// of what the process has left below its memory limit, because the buffer is
// the process's own memory and grows with the walk.
func (t *Target) buffer(want uint32) uint32 {
	if want == 0 {
		want = max(defaultBufferMB, uint32(min(t.lastBytes>>19+64, maxBufferMB)))
	}
	if _, left := t.f.memoryLimit(); left.Known() {
		want = min(want, uint32(min(max(left.Or(0)>>21, 16), maxBufferMB)))
	}
	return min(want, maxBufferMB)
}

// walked is a heap session that has ended.
type walked struct {
	decoder   *nettrace.Decoder
	collector *nettrace.Collector
	begun     time.Time // when it was asked for, by our clock
	taken     time.Time // when the stream ended, likewise
	uptime    time.Duration
	warn      []string
}

// Keywords of the runtime provider.
const (
	keywordGC       = 0x1
	keywordLoader   = 0x8
	keywordCollect  = 0x800000  // forces a collection
	keywordHeapWalk = 0x1980001 // GC, types, heap dump, forced collection, type names
	levelInfo       = 4
)

// collectCommands returns the commands to try for a heap session, best first.
// CollectTracing6 lets the runtime wait instead of dropping events, 5 filters
// by event, so that references are not sent.
func (t *Target) collectCommands() []command {
	if t.legacy {
		return []command{cmdCollectTracing2}
	}
	return []command{cmdCollectTracing6, cmdCollectTracing5, cmdCollectTracing4, cmdCollectTracing2}
}

// walk runs one heap session.
func (t *Target) walk(ctx context.Context, o Options, st *Stats) (*walked, error) {
	req := collectRequest{bufferMB: st.BufferMB, block: true, providers: []provider{{
		name: nettrace.RuntimeProvider, keywords: keywordHeapWalk, level: levelInfo, only: nettrace.WalkEvents}}}
	if o.SaveTrace != nil {
		// A file must name the modules itself to give the same names again.
		req.rundown = keywordLoader
	}
	deadline := time.Now().Add(o.Timeout)
	s, cmd, err := t.f.open(ctx, t.collectCommands(), req, o.Timeout)
	if err != nil {
		return nil, err
	}
	in := io.Reader(s)
	var save *saver
	if o.SaveTrace != nil {
		save = newSaver(o.SaveTrace, st.Attempts)
		in = io.TeeReader(s, save)
		defer func() { st.SaveErr = save.close() }()
	}
	s.limit = t.mostBytes(cmd, req)
	w := &walked{decoder: nettrace.NewDecoder(in, fmt.Sprintf("process %d", t.f.pid)), collector: nettrace.NewCollector(t.types), begun: time.Now()}
	s.tick = func(idle time.Duration) error {
		switch {
		case !s.stopping.IsZero():
		case time.Now().After(deadline):
			s.stop()
		case !t.legacy && s.got == 0 && idle > 5*time.Second:
			return os.ErrDeadlineExceeded // only .NET Core 3 answers before it walks
		case w.collector.HasNodes() && idle > time.Second, !w.collector.HasNodes() && idle > 5*time.Second:
			s.last() // nothing more will come
		}
		return nil
	}
	for {
		var e *nettrace.Event
		if e, err = w.decoder.Next(); err != nil {
			break
		}
		w.collector.Add(e, w.decoder.Trace())
		s.event(e.OfHeap())
		if w.collector.Started() > maxWalks {
			err = errEndless
			break
		}
		if e.Provider == nettrace.RuntimeProvider && e.ID < 15 && w.collector.Walked() {
			s.stop()
		}
	}
	w.taken, w.uptime = time.Now(), t.f.uptime()
	st.Bytes, st.Lost = w.decoder.Offset(), w.decoder.Lost()
	switch {
	case err == io.EOF:
		s.close(stopTime) // the runtime answers as soon as its stream has ended
	case ctx.Err() != nil && !isTimeout(err):
		s.close(graceTime)
	default:
		s.abandon()
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("process %d: heap walk: %w", t.f.pid, context.Cause(ctx))
	case errors.Is(err, errEndless):
		return nil, t.streamError(ctx, s.got, err)
	case !w.collector.HasNodes() && err == io.EOF:
		return nil, &Error{PID: t.f.pid, Reason: NoHeapEvents, Msg: "its runtime sent no heap walk",
			Remedy: "its garbage collector may not be started yet, or it has no event support; try again"}
	case !w.collector.HasNodes():
		return nil, t.streamError(ctx, s.got, err)
	case err != io.EOF && !t.f.refresh(), errors.Is(err, nettrace.ErrTruncated) && t.f.ends():
		return nil, &Error{PID: t.f.pid, Reason: Exited, Msg: "exited during the heap walk"}
	}
	return w, nil
}

// mostBytes bounds what an honest runtime sends of a walk. What is on the heap is
// in its memory: an object takes 24 bytes there and 32 in the stream, a reference 8
// and 12, which is less than three times the memory; another tool may cause a
// second walk. The buffer bounds it too, unless the runtime waits for us.
func (t *Target) mostBytes(cmd command, req collectRequest) int64 {
	besides := int64(64 << 20) // types
	if req.rundown != 0 {
		besides += 256 << 20 // modules, before .NET 9 with every compiled method
	}
	most := int64(math.MaxInt64)
	if cmd != cmdCollectTracing6 {
		most = int64(req.bufferMB)<<20 + besides
	}
	if used, ok := t.f.used().Get(); ok && used < math.MaxInt64/8 {
		most = min(most, 6*used+besides)
	}
	return most
}

// maxWalks bounds the walks within one session: ours, and one for each session
// that other tools open or close meanwhile.
const maxWalks = 16

// streamError explains a stream that broke off, fell silent or makes no sense.
func (t *Target) streamError(ctx context.Context, got int64, err error) error {
	if errors.Is(err, nettrace.ErrTruncated) || got == 0 && !isTimeout(err) {
		err = io.ErrUnexpectedEOF // broken off, maybe before its first byte
	} else if !isTimeout(err) {
		return &Error{PID: t.f.pid, Reason: Protocol, Msg: "its event stream makes no sense", Err: err}
	}
	if got > 0 || !isTimeout(err) {
		return t.f.silence(ctx, err, "its event stream fell silent")
	}
	silence := t.f.silence(ctx, err, "accepted a tracing session, but sends nothing")
	if ReasonOf(silence) == Busy && t.f.mayBeSuspended() {
		return t.suspendedError()
	}
	return silence
}

// finish makes the snapshot of a walk.
func (t *Target) finish(ctx context.Context, w *walked, st *Stats) (*heap.Snapshot, error) {
	t.names(ctx, w)
	walks, err := w.collector.Walks(w.decoder)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", t.f.pid, err)
	}
	best := walks[0]
	for _, r := range walks {
		if r.Confirmed {
			best = r
			break
		}
	}
	s := best.Snapshot
	s.Source = heap.SourceLiveEventPipe
	s.Process = t.proc
	s.Runtime = heap.Runtime{Flavor: "coreclr", Version: t.version}
	s.Uptime = w.uptime
	// The walk's moment by the stream's wall clock; uptime by the same step. It
	// lies between question and answer, unless somebody has set the clock.
	s.Uptime, s.Taken = moment(s.Taken, w.begun, w.taken, w.uptime)
	s.Uptime = s.Uptime.Round(time.Millisecond)
	s.Taken = s.Taken.UTC().Round(time.Millisecond)
	s.Memory = t.f.memory()
	if s.Heap.Server == heap.Unknown {
		s.Heap.Server = t.server
	}
	t.heaps, t.server = s.Heap.Heaps, s.Heap.Server
	if best.UnknownObjects > 0 {
		w.warn = append(w.warn, "another tool may hold a tracing session open in the process, which keeps its runtime from describing types again; end it and read once more")
	}
	for _, text := range w.warn {
		s.Warn("", "%s", text)
	}
	t.lastBytes, t.lastObjects, t.lastPause = st.Bytes, best.Objects, best.Pause
	st.Pause, st.Objects, st.Complete, st.Short = best.Pause, best.Objects, s.Complete, best.ShortNames
	return s, nil
}

// moment returns the uptime and the time at which a walk was made that was asked
// for at begun and answered at ended, when the uptime was as given, and says
// itself that it was made at said.
func moment(said, begun, ended time.Time, uptime time.Duration) (time.Duration, time.Time) {
	if ago := ended.Sub(said); !said.IsZero() && ago > 0 && ago < uptime && ago <= ended.Sub(begun)+time.Second {
		return uptime - ago, said
	}
	return uptime, ended
}

// names completes the names of nested types: asks the runtime once where its
// modules are, again when there are new ones, and reads their metadata.
func (t *Target) names(ctx context.Context, w *walked) {
	if n := len(t.types.MissingModules()); n > 0 && (!t.asked || n > t.missing) {
		t.asked = true
		if err := t.modules(ctx); err != nil {
			w.warn = append(w.warn, fmt.Sprintf("modules of nested types are unknown: %v", err))
		}
		t.missing = len(t.types.MissingModules())
	}
	t.types.Resolve(t.f.openImage)
}

// briefTime bounds the wait for a session that ends at once; another tool may be
// served before.
const briefTime = 10 * time.Second

// warmUp prepares a process for its first walk. The first session that a
// process sees makes its runtime build descriptions of events (measured on .NET
// 9.0.5: 3,900 objects at the first walk, 3,500 at the second), so one session
// that forces nothing goes before; and as some of what it built dies only in a
// collection after its finalizers, a second one forces a collection without a
// walk, about a tenth of a walk's pause.
//
// .NET Core 3 builds nothing, but forgets which types it has announced only
// when a session without types starts, so it needs one before every walk. So
// do the runtimes up to 8, to be safe: that they do not was seen on 9 and 10.
func (t *Target) warmUp(ctx context.Context, timeout time.Duration) error {
	brief := func(keywords uint64, wait time.Duration) error {
		p := provider{name: nettrace.RuntimeProvider, keywords: keywords, level: levelInfo}
		return t.brief(ctx, []command{cmdCollectTracing2}, collectRequest{bufferMB: 1, providers: []provider{p}}, wait, nil)
	}
	if !t.warm || t.forgetful() {
		if err := brief(keywordGC, briefTime); err != nil {
			return err
		}
	}
	if !t.warm && !t.legacy {
		if err := brief(keywordGC|keywordCollect, timeout); err != nil {
			return err
		}
	}
	t.warm = true
	return nil
}

// forgetful reports whether the runtime may announce its types only once.
func (t *Target) forgetful() bool {
	major, _, _ := strings.Cut(t.version, ".")
	n, err := strconv.Atoi(major)
	return t.legacy || err != nil || n < 9
}

// modules asks which modules are loaded. Runtimes before .NET 9 tell that only
// together with every compiled method.
func (t *Target) modules(ctx context.Context) error {
	c := nettrace.NewCollector(t.types)
	p := provider{name: nettrace.RuntimeProvider, keywords: keywordGC, level: levelInfo}
	cmds := []command{cmdCollectTracing4, cmdCollectTracing2}
	if t.legacy {
		cmds = cmds[1:]
	}
	return t.brief(ctx, cmds, collectRequest{bufferMB: 256, rundown: keywordLoader, providers: []provider{p}}, briefTime, c)
}

// brief runs a session that ends at once.
func (t *Target) brief(ctx context.Context, cmds []command, req collectRequest, wait time.Duration, c *nettrace.Collector) error {
	s, _, err := t.f.open(ctx, cmds, req, wait)
	if err != nil {
		return err
	}
	s.limit = int64(req.bufferMB)<<20 + 4<<20
	s.tick = func(idle time.Duration) error {
		if s.got == 0 && idle > answerTime {
			return os.ErrDeadlineExceeded
		}
		return nil
	}
	d := nettrace.NewDecoder(s, fmt.Sprintf("process %d", t.f.pid))
	s.stop()
	for {
		e, err := d.Next()
		switch {
		case err == io.EOF:
			s.close(graceTime)
			return nil
		case err != nil && ctx.Err() != nil && !isTimeout(err):
			s.close(graceTime)
			return t.streamError(ctx, s.got, err)
		case err != nil:
			s.abandon()
			return t.streamError(ctx, s.got, err)
		}
		s.event(false)
		if c != nil {
			c.Add(e, d.Trace())
		}
	}
}
