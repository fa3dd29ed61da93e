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
	answerTime = 1500 * time.Millisecond // a command that the runtime answers at once
	stopTime   = 30 * time.Second        // StopTracing, and the rest of the stream behind it
	graceTime  = 3 * time.Second         // after a cancellation, to end a session well
	pollTime   = 100 * time.Millisecond  // between looks at the clock while the stream is silent
)

// roundTrip sends one request on a connection of its own. With a nil error the
// connection is open and its answer read.
func (f *facts) roundTrip(ctx context.Context, cmd command, payload []byte, wait time.Duration) (conn, []byte, error) {
	msg, err := cmd.request(payload)
	if err != nil {
		return nil, nil, err
	}
	dialCtx, cancel := context.WithTimeout(ctx, answerTime)
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
	// A cancellation ends the wait for the answer, but gives a session that
	// is being opened the time to be closed well.
	c.SetDeadline(time.Now().Add(wait))
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Now().Add(min(wait, graceTime))) })
	defer stop()
	var answer []byte
	if _, err = c.Write(msg); err == nil {
		answer, err = readAnswer(c)
	}
	if err != nil {
		c.Close()
		return nil, nil, f.answerError(ctx, cmd, err)
	}
	return c, answer, nil
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
		// The error of the net package says the path of the socket, too.
		e.Reason, e.Msg, e.Err = Busy, what, os.ErrDeadlineExceeded
		e.Remedy = "another tool may be using it, or the process is frozen; try again, or with a longer timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Reason, e.Msg = Protocol, "its diagnostics port closed the connection without an answer"
		// A killed process closes its sockets a moment before it is gone.
		for range 10 {
			time.Sleep(50 * time.Millisecond)
			if !f.refresh() {
				e.Reason, e.Msg, e.Err = Exited, "exited while it was read", nil
				break
			}
		}
	default:
		e.Reason, e.Msg = Busy, what
	}
	return e
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

	// tick is called while the stream is silent and after each read; an error
	// ends the reading.
	tick func(idle time.Duration) error
	idle time.Time // of the last byte
	// What is taken at most of a peer that never ends: bytes (0: any number),
	// and until when. While the runtime walks, it may be silent for long.
	got, limit int64
	deadline   time.Time

	stopOnce sync.Once
	stopped  chan struct{} // closed when StopTracing was answered or failed
	stopping time.Time
}

// open starts a session with the first of the commands that the runtime knows.
func (f *facts) open(ctx context.Context, cmds []command, req collectRequest, wait time.Duration) (*session, command, error) {
	for i, cmd := range cmds {
		c, answer, err := f.roundTrip(ctx, cmd, req.encode(cmd), wait)
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
		s := &session{f: f, ctx: ctx, conn: c, id: id, idle: time.Now(), stopped: make(chan struct{})}
		s.deadline = s.idle.Add(wait + stopTime)
		return s, cmd, nil
	}
	return nil, command{}, errors.New("no command to open a session")
}

var errEndless = errors.New("sends more than its session's buffer can hold")

// Read reads what is there of the stream and never waits for a full buffer.
func (s *session) Read(p []byte) (int, error) {
	for {
		if s.ctx.Err() != nil {
			s.stop()
		}
		if s.ctx.Err() != nil && time.Since(s.stopping) > graceTime || time.Now().After(s.deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		if s.limit > 0 && s.got > s.limit {
			return 0, errEndless
		}
		s.conn.SetReadDeadline(time.Now().Add(pollTime))
		n, err := s.conn.Read(p)
		if n > 0 {
			s.idle = time.Now()
			s.got += int64(n)
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
	}
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
			if c, _, err := s.f.roundTrip(ctx, cmdStopTracing, payload[:], stopTime); err == nil {
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
