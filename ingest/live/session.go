package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// How long we wait for what. The server is serial: an answer can be late only
// because another tool is being served.
const (
	connectTime = 1500 * time.Millisecond
	answerTime  = 3 * time.Second        // a command that the runtime answers at once
	stopTime    = 30 * time.Second       // StopTracing, and the rest of the stream behind it
	graceTime   = 3 * time.Second        // after a cancellation, to end a session well
	pollTime    = 100 * time.Millisecond // between looks at the clock while the stream is silent
)

// These are for a process that works meanwhile; one that does nothing is given
// [quietTime].

// roundTrip sends one request on a connection of its own. With a nil error the
// connection is open and its answer read. sent, if not nil, is closed when the
// request is written.
func (f *facts) roundTrip(ctx context.Context, cmd command, payload []byte, wait time.Duration, sent chan<- struct{}) (conn, []byte, error) {
	msg, err := cmd.request(payload)
	if err != nil {
		return nil, nil, err
	}
	dialCtx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	c, err := f.connect(dialCtx)
	if ctx.Err() != nil {
		if err == nil {
			c.Close()
		}
		return nil, nil, fmt.Errorf("process %d: %w", f.pid, context.Cause(ctx))
	}
	if err != nil {
		return nil, nil, err
	}
	c.SetWriteDeadline(time.Now().Add(connectTime))
	var answer []byte
	if _, err = c.Write(msg); err == nil {
		if sent != nil {
			close(sent)
		}
		w := &waiting{ctx: ctx, conn: c, vigil: newVigil(f), end: time.Now().Add(wait)}
		if cmd.set == cmdGenerateCoreDump.set {
			w.vigil = nil // the process is held, and another one works
		}
		answer, err = readAnswer(w)
	}
	if err != nil {
		c.Close()
		return nil, nil, f.answerError(ctx, cmd, err)
	}
	return c, answer, nil
}

// waiting reads an answer as it comes.
type waiting struct {
	ctx   context.Context
	conn  conn
	vigil *vigil // nil: the process need not work
	end   time.Time
	// cancelled is when the context was seen to have ended. That ends the wait
	// for the answer, but leaves a session that is being opened the time to be
	// closed well.
	cancelled time.Time
}

func (w *waiting) Read(p []byte) (int, error) {
	for {
		if w.cancelled.IsZero() && w.ctx.Err() != nil {
			w.cancelled = time.Now()
		}
		w.conn.SetReadDeadline(time.Now().Add(pollTime))
		n, err := w.conn.Read(p)
		if n > 0 || err != nil && !isTimeout(err) {
			return n, err
		}
		switch {
		case time.Now().After(w.end), !w.cancelled.IsZero() && time.Since(w.cancelled) > graceTime,
			w.vigil != nil && w.vigil.over(quietTime):
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// answerError explains why no answer came.
func (f *facts) answerError(ctx context.Context, cmd command, err error) error {
	e := &Error{PID: f.pid, Err: err}
	var he ipcError
	switch {
	case errors.As(err, &he):
		switch he {
		case hrUnknownCommand:
			return err // the caller falls back
		case hrFail:
			e.Reason, e.Msg = Sessions, "no further tracing session can be opened"
			e.Remedy = "the runtime allows 64; look for tools that left theirs open"
		case hrNotYet, hrNotStarted:
			e.Reason, e.Msg, e.Remedy = Suspended, "its runtime has not started yet", "try again"
		default:
			e.Reason, e.Msg = Unsupported, "request refused"
		}
		return e
	case errors.Is(err, errProtocol):
		e.Reason, e.Msg = Protocol, "what listens on its diagnostics socket is not a .NET runtime"
		e.Remedy = "look who owns the socket"
		return e
	}
	return f.silence(ctx, err, "no answer from its diagnostics port")
}

// silence explains a connection that ended or fell silent.
func (f *facts) silence(ctx context.Context, err error, what string) error {
	e := &Error{PID: f.pid, Err: err}
	alive := f.refresh()
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("process %d: %w", f.pid, context.Cause(ctx))
	case !alive:
		e.Reason, e.Msg, e.Err = Exited, "exited while it was read", nil
	case f.stopped():
		e.Reason, e.Msg, e.Err = Stopped, "is stopped (by a signal or a debugger)", nil
		e.Remedy = fmt.Sprintf("continue it: kill -CONT %d", f.pid)
	case isTimeout(err):
		e.Reason, e.Msg, e.Err = Busy, what, nil
		e.Remedy = "another tool may be using it, the process may be frozen, or what listens is no .NET runtime; try again"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Reason, e.Msg = Protocol, "its diagnostics port closed the connection without an answer"
		if f.ends() {
			e.Reason, e.Msg, e.Err = Exited, "exited while it was read", nil
		}
	default:
		e.Reason, e.Msg = Busy, what
	}
	return e
}

// ends reports whether the process that has closed a connection is ending: a
// killed one closes its sockets a moment before it is gone.
func (f *facts) ends() bool {
	for range 10 {
		if !f.refresh() {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	return !f.refresh()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// session is an open tracing session. It is a reader of its event stream.
type session struct {
	f    *facts
	ctx  context.Context
	conn conn
	id   uint64

	// tick is called while the stream is silent; an error ends the reading.
	tick func(idle time.Duration) error
	idle time.Time // of the last byte
	// vigil hears of what the stream is read for, not of each byte, so that
	// bytes without end do not count as life. quiet is its limit; 0: the stream
	// may be silent for any time.
	vigil *vigil
	quiet time.Duration
	// Bytes that mean nothing: how often some came since wanted, when the last
	// event came that the stream is read for, and since when that is too long.
	reads        int
	wanted, late time.Time
	// What is taken at most of a peer that never ends: bytes (0: any number), of
	// them without any event, and until when.
	got, limit, eventAt int64
	deadline            time.Time

	stopOnce sync.Once
	sent     chan struct{} // closed when StopTracing was written
	stopped  chan struct{} // closed when it was answered or failed
	stopping time.Time
}

// event says that the stream brought an event, and whether it is one of those
// that it is read for.
func (s *session) event(wanted bool) {
	s.eventAt = s.got
	if wanted {
		s.vigil.heard()
	}
	if wanted || !s.stopping.IsZero() { // a list of modules comes at last
		s.reads, s.wanted, s.late = 0, time.Now(), time.Time{}
	}
}

// open starts a session with the first of the commands that the runtime knows.
func (f *facts) open(ctx context.Context, cmds []command, req collectRequest, wait time.Duration) (*session, command, error) {
	for i, cmd := range cmds {
		c, answer, err := f.roundTrip(ctx, cmd, req.encode(cmd), wait, nil)
		var he ipcError
		if errors.As(err, &he) && he == hrUnknownCommand && i+1 < len(cmds) && ReasonOf(err) == "" {
			continue
		}
		if err != nil {
			if errors.As(err, &he) && he == hrUnknownCommand && ReasonOf(err) == "" {
				err = &Error{PID: f.pid, Reason: TooOld, Msg: "its runtime knows no tracing", Err: err, Remedy: ".NET Core 3.0 or newer is needed"}
			}
			return nil, cmd, err
		}
		id, err := sessionID(answer)
		if err != nil {
			c.Close()
			return nil, cmd, f.answerError(ctx, cmd, err)
		}
		c.SetDeadline(time.Time{})
		s := &session{f: f, ctx: ctx, conn: c, id: id, idle: time.Now(), wanted: time.Now(), vigil: newVigil(f), quiet: quietTime,
			sent: make(chan struct{}), stopped: make(chan struct{})}
		s.deadline = s.idle.Add(wait + stopTime)
		return s, cmd, nil
	}
	return nil, command{}, errors.New("no command to open a session")
}

var errEndless = errors.New("sends more than its session can hold")

// maxBetween bounds the bytes between two events. A runtime describes events and
// their stacks in blocks of 100 KiB at most.
const maxBetween = 4 << 20

// manyReads is how often bytes can come before an honest runtime has sent a whole
// block, however slowly it runs.
const manyReads = 16

// Read reads what is there of the stream and never waits for a full buffer.
func (s *session) Read(p []byte) (int, error) {
	for {
		if s.ctx.Err() != nil {
			s.stop()
		}
		switch {
		case s.ctx.Err() != nil && time.Since(s.stopping) > graceTime, time.Now().After(s.deadline),
			!s.late.IsZero() && time.Since(s.late) > 2*pollTime:
			return 0, os.ErrDeadlineExceeded
		case s.limit > 0 && s.got > s.limit, s.got-s.eventAt > maxBetween:
			return 0, errEndless
		}
		s.conn.SetReadDeadline(time.Now().Add(pollTime))
		n, err := s.conn.Read(p)
		if n > 0 {
			s.idle = time.Now()
			s.got += int64(n)
			s.reads++
			drips := s.quiet > 0 && s.reads > manyReads && time.Since(s.wanted) > quietTime
			if s.late.IsZero() && (drips || s.silent()) {
				s.late = s.idle
			}
			return n, nil
		}
		if err == nil {
			continue
		}
		if !isTimeout(err) {
			return 0, err
		}
		if s.tick != nil {
			if err := s.tick(time.Since(s.idle)); err != nil {
				return 0, err
			}
		}
		if s.silent() {
			if s.got == 0 || !s.stopping.IsZero() {
				return 0, os.ErrDeadlineExceeded
			}
			// A runtime that walks nothing sends no more than its name. It
			// shows that it is one by ending the stream.
			s.last()
		}
	}
}

func (s *session) silent() bool { return s.quiet > 0 && s.vigil.over(s.quiet) }

// last ends the session of a peer that was silent for long already.
func (s *session) last() {
	s.stop()
	s.quiet = lastTime
	s.vigil.heard()
}

// stop asks the runtime once to end the session. The stream must be read on to
// its end meanwhile: the runtime waits for its writer. Session ids are reused,
// so asking twice could end somebody else's session.
func (s *session) stop() {
	s.stopOnce.Do(func() {
		s.stopping = time.Now()
		go func() {
			defer close(s.stopped)
			var payload [8]byte
			for i := range payload {
				payload[i] = byte(s.id >> (8 * i))
			}
			// Cancellation does not excuse us from ending the session.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), stopTime)
			defer cancel()
			if c, _, err := s.f.roundTrip(ctx, cmdStopTracing, payload[:], stopTime, s.sent); err == nil {
				c.Close()
			}
		}()
	})
}

// close ends the session if it still runs, draining what it sends, and waits
// until the runtime has confirmed.
func (s *session) close(within time.Duration) {
	s.stop()
	end := time.Now().Add(within)
	buf := make([]byte, 64<<10)
	s.conn.SetReadDeadline(end)
	for {
		if n, err := s.conn.Read(buf); n == 0 && err != nil {
			break
		}
		if time.Now().After(end) {
			break
		}
	}
	s.conn.Close()
	select {
	case <-s.stopped:
	case <-time.After(time.Until(end)):
	}
}

// abandon ends the session of a peer that sends nonsense or nothing: it is
// asked to stop, but neither its stream nor its answer is waited for. A runtime
// takes the request even when we are gone, and a broken connection for the same.
func (s *session) abandon() {
	s.stop()
	select {
	case <-s.sent:
	case <-s.stopped:
	case <-time.After(2 * pollTime):
	}
	s.conn.Close()
}
