// Package ingest recognises an input and hands it to the reader of its format.
//
// What comes in is a file, a folder, a stream; what goes out is snapshots,
// each with the identity of its process completed as far as the input and the
// caller's [Identity] tell. Inputs compressed with gzip are read through.
//
// A reader goes on after a [syntax.Error], which concerns one place of the
// input; any other error ends that input, never the other inputs.
package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/elfcore"
	"leaktrack/ingest/gcdump"
	"leaktrack/ingest/gcreport"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/nettrace"
	"leaktrack/ingest/sos"
	"leaktrack/ingest/syntax"
)

// format is one kind of input.
type format struct {
	name string
	// recognises decides by the first bytes of the input, at most headBytes.
	recognises func(head []byte) bool
	// read takes the finder of modules that all inputs share.
	read func(f *fullname.Finder, r io.Reader, name string) iter.Seq2[*heap.Snapshot, error]
	// identified says that the format itself states which process a snapshot
	// belongs to, so that nothing is derived.
	identified bool
}

// formats are tried in this order; the first that recognises an input reads it.
var formats = []format{
	{name: "leaktrack JSON Lines", recognises: sniffJSON, read: alone(readJSON), identified: true},
	{name: "gcdump", recognises: gcdump.Sniff, read: gcdump.ReadWith},
	{name: "dotnet-gcdump report", recognises: gcreport.Sniff, read: gcreport.ReadWith},
	{name: "nettrace", recognises: nettrace.Sniff, read: nettrace.ReadWith},
	{name: "SOS text", recognises: sos.Sniff, read: alone(sos.Read)},
}

// alone is a reader that looks at no modules.
func alone(read func(io.Reader, string) iter.Seq2[*heap.Snapshot, error]) func(*fullname.Finder, io.Reader, string) iter.Seq2[*heap.Snapshot, error] {
	return func(_ *fullname.Finder, r io.Reader, name string) iter.Seq2[*heap.Snapshot, error] {
		return read(r, name)
	}
}

const headBytes = 64 << 10

// ErrUnknown is wrapped by the error for an input that no format recognises.
var ErrUnknown = errors.New("no known format (a WinDbg, dotnet-dump or lldb log with dumpheap -stat, a .gcdump or .nettrace file, a Linux core file, a dotnet-gcdump report, or JSON Lines written by leaktrack export)")

// ErrEmpty is wrapped by the error for an input of no bytes.
var ErrEmpty = errors.New("the file is empty")

// Identity is what the caller knows of inputs that do not say it. Zero values
// fill nothing.
type Identity struct {
	Host    string
	Program string
	PID     int
	Uptime  time.Duration // heap.UptimeUnknown: not given
	Taken   time.Time
	// Started is when the process started; with the time of a snapshot it gives
	// the uptime.
	Started time.Time
}

// Reader reads inputs one after another and recognises the runs of a program
// among them.
type Reader struct {
	// Identity fills what an input does not say.
	Identity Identity
	// Notice is called with remarks that are no errors; nil drops them.
	Notice func(text string)
	// FileTime, if set, tells when an input was written, and allows to count
	// the uptime of inputs that do not say it from the first input of the same
	// process. Inputs must then be read in the order of these times.
	FileTime func(name string) (time.Time, error)

	// Root is the folder that holds the module files of the machine that the
	// inputs come from; "" is this machine's root. Cores want it laid out as
	// that machine was; the other formats take a module's file from anywhere
	// below it. It is set before the first Read.
	Root string
	// Verbose gives the accounting of each core to Notice, not its sum only.
	Verbose bool

	modules    *fullname.Finder
	runs       runs
	usedUptime string // the input that Identity.Uptime was used for
	firstFile  map[heap.Process]time.Time
	held       []held
	clocks     []elfcore.Core
}

// NewReader returns a Reader that knows the given processes, which decides
// whether a log belongs to a run that is stored already.
func NewReader(id Identity, known []heap.Process) *Reader {
	r := &Reader{Identity: id}
	for _, p := range known {
		r.runs.learn(p)
	}
	return r
}

// Close lets go of the module files that are held open.
func (rd *Reader) Close() error {
	if rd.modules == nil {
		return nil
	}
	return rd.modules.Close()
}

// Read yields the snapshots of one input. name is for messages. When all inputs
// are read, [Reader.Finish] yields what could not be told before.
func (rd *Reader) Read(in io.Reader, name string) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		if f, size, ok := coreFile(in); ok {
			rd.runs.nextInput()
			if s, err := rd.readCore(f, size, name); s != nil || err != nil {
				yield(s, err)
			}
			return
		}
		in, head, err := open(in)
		if err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err // the name stands in front already
			}
			yield(nil, fmt.Errorf("%s: %w", name, err))
			return
		}
		for _, f := range formats {
			if !f.recognises(head) {
				continue
			}
			rd.runs.nextInput()
			if rd.modules == nil {
				rd.modules = fullname.NewFinder(rd.Root)
			}
			for s, err := range f.read(rd.modules, in, name) {
				if err == nil {
					err = rd.complete(s, name, f.identified)
				}
				if err != nil {
					if errors.Is(err, syntax.ErrNotMine) {
						err = fmt.Errorf("%s: %w", name, unknown(head))
					}
					s = nil
				}
				if !yield(s, err) {
					return
				}
			}
			return
		}
		if base := strings.TrimSuffix(strings.ToLower(name), ".gz"); strings.HasSuffix(base, ".gcdump") {
			// Its reader knows what else is found under that name.
			for _, err := range gcdump.ReadWith(rd.modules, in, name) {
				if err != nil {
					yield(nil, err)
					return
				}
			}
		}
		if elfcore.Sniff(head) {
			yield(nil, fmt.Errorf("%s: a core is read back and forth: it must be a plain file, not a pipe or compressed", name))
			return
		}
		yield(nil, fmt.Errorf("%s: %w", name, unknown(head)))
	}
}

// unknown is the error for an input that no format recognises. Of some it can
// be told what they are and what to do.
func unknown(head []byte) error {
	if what := gcdump.Stranger(head); what != "" {
		return foreign{what}
	}
	return ErrUnknown
}

// foreign is an [ErrUnknown] in other words.
type foreign struct{ what string }

func (e foreign) Error() string        { return "no known format but " + e.what }
func (e foreign) Is(target error) bool { return target == ErrUnknown }

// open looks at the beginning of in, through gzip.
func open(in io.Reader) (io.Reader, []byte, error) {
	br := bufio.NewReaderSize(in, headBytes)
	head, err := br.Peek(headBytes)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	if len(head) == 0 {
		return nil, nil, ErrEmpty
	}
	if !bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		return br, head, nil
	}
	zr, err := gzip.NewReader(br)
	if err != nil {
		return nil, nil, fmt.Errorf("reading gzip: %w", err)
	}
	br = bufio.NewReaderSize(zr, headBytes)
	head, err = br.Peek(headBytes)
	if err != nil && err != io.EOF {
		return nil, nil, fmt.Errorf("reading gzip: %w", err)
	}
	if len(head) == 0 {
		return nil, nil, ErrEmpty
	}
	return br, head, nil
}

// complete fills what the input did not say and decides which run it was.
func (rd *Reader) complete(s *heap.Snapshot, name string, identified bool) error {
	id := rd.Identity
	p := &s.Process
	fill(rd, name, "--process", &p.Program, id.Program)
	fill(rd, name, "--host", &p.Host, id.Host)
	fill(rd, name, "--pid", &p.PID, id.PID)
	if s.Taken.IsZero() {
		s.Taken = id.Taken
	}
	counted, err := rd.uptime(s, name)
	if err != nil {
		return err
	}
	if s.Uptime < 0 {
		hint := ""
		if !s.Taken.IsZero() {
			hint = ", or --started with the time it started"
		}
		return fmt.Errorf("%s: the input does not say how long the process had run: add --uptime, such as --uptime 9m56s%s", name, hint)
	}
	if !identified && !counted {
		rd.runs.assign(s)
	}
	unnamed := heap.Warning{Text: "the input does not name its process, add --process NAME to keep programs apart"}
	// An exported snapshot carries the warning already; a second one would make
	// it differ from the stored.
	if p.Program == "" && p.PID == 0 && !slices.Contains(s.Warnings, unnamed) {
		s.Warnings = append(s.Warnings, unnamed)
	}
	if err := s.Valid(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// uptime fills an unknown uptime from what the caller allowed. counted says
// that it is counted from the first input of the process, so that nothing is
// known of the start.
func (rd *Reader) uptime(s *heap.Snapshot, name string) (counted bool, err error) {
	id := rd.Identity
	switch {
	case s.Uptime >= 0:
	case id.Uptime >= 0:
		if rd.usedUptime != "" {
			return false, fmt.Errorf("%s: --uptime %s is already used for a snapshot of %s, and this one has no uptime either: ingest them one by one", name, id.Uptime, rd.usedUptime)
		}
		rd.usedUptime = name
		s.Uptime = id.Uptime
	case !id.Started.IsZero():
		if s.Taken.IsZero() {
			return false, fmt.Errorf("%s: the input does not say when the snapshot was taken, so --started gives no uptime: add --at or --uptime", name)
		}
		if s.Taken.Before(id.Started) {
			return false, fmt.Errorf("%s: taken at %s, before --started %s", name, s.Taken.Format(time.RFC3339), id.Started.Format(time.RFC3339))
		}
		s.Uptime = s.Taken.Sub(id.Started)
		if s.Process.StartNanos == 0 {
			s.Process.StartNanos = id.Started.UnixNano()
		}
		s.Warn("", "uptime is the time of the snapshot minus the given start %s", id.Started.UTC().Format(time.RFC3339))
	case rd.FileTime != nil:
		written, err := rd.FileTime(name)
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		how := "times in the files or their names"
		if s.Taken.IsZero() {
			s.Taken = written
			how = "times of the files"
		} else {
			// Copying a folder changes the times of the files, not those in them.
			written = s.Taken
		}
		if rd.firstFile == nil {
			rd.firstFile = map[heap.Process]time.Time{}
		}
		first, ok := rd.firstFile[s.Process]
		if !ok {
			first = written
			rd.firstFile[s.Process] = first
		}
		if written.Before(first) {
			return false, fmt.Errorf("%s: taken at %s, before the first file of the process, %s: ingest the oldest first", name, written.Format(time.RFC3339), first.Format(time.RFC3339))
		}
		s.Uptime = written.Sub(first)
		s.Warn("", "uptime is counted from the first file of the process, by the %s; the process is older", how)
		return true, nil
	case !s.Taken.IsZero():
		if p, ok := rd.runs.during(s.Process, s.Taken); ok {
			s.Process, s.Uptime = p, s.Taken.Sub(p.Start())
			s.Warn("", "uptime is the time of the snapshot minus the start of %s, which is stored already; if it is of a later run, add --uptime", p)
		}
	}
	return false, nil
}

// fill sets an unknown field, and says so when the input knows better.
func fill[T comparable](rd *Reader, name, flag string, field *T, given T) {
	var unknown T
	switch {
	case given == unknown || given == *field:
	case *field == unknown:
		*field = given
	case rd.Notice != nil:
		rd.Notice(fmt.Sprintf("%s: %s %v is not used, the input says %v", name, flag, given, *field))
	}
}
