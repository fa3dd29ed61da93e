// Package gcreport reads the text that "dotnet-gcdump report" prints and turns
// each report in it into a snapshot.
//
// In goes the output of any version, with or without the line "Total
// references" and the modules behind the types, alone or within a terminal's
// log, in UTF-8 or UTF-16 with a byte order mark, with the digit groups of any
// culture:
//
//	    101,352  GC Heap bytes
//	        552  GC Heap objects
//	        898  Total references
//
//	Object Bytes     Count  Type
//	      29,228         1  System.String (Bytes > 10K)  [System.Private.CoreLib.dll]
//	          40       281  System.String  [System.Private.CoreLib.dll]
//
// Out come [heap.Snapshot] values with basis live, in objects and estimated
// bytes. The layout is that of PrintReportHelper.cs in the dotnet/diagnostics
// repository.
//
// # Estimates
//
// The column "Object Bytes" is not a total. It is the size of one object, the
// first that the tool saw of the row's type and size class, so bytes are
// counts times that size: right for types whose objects are all alike, and
// possibly far off for strings and arrays. Every snapshot is marked as an
// estimate. The true total is in the first line and becomes
// [heap.Totals].ObjectBytes; "GC Heap objects" becomes Objects and includes the
// tool's nodes for roots and static variables.
//
// # Completeness
//
// The tool leaves out rows of types whose first object has no size, which are
// mostly its nodes for roots, and a report that lost its end looks like one
// that did not. So a snapshot is complete only when the rows hold as many
// objects as the first lines say; otherwise a warning tells the difference.
//
// # Limits
//
// Names are treated as in package gcdump and have the same limits; as a report
// has the file names of modules only, their files are looked for below a root
// that is given. Read wants lines below a megabyte.
package gcreport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"leaktrack/heap"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/internal/gcname"
	"leaktrack/ingest/syntax"
)

// number is an integer in digit groups of any culture: 1,234 1.234 1'234
// 1 234 with any blank, 12,34,567. A narrow blank that a console's code page
// lacks arrives as a question mark or as U+FFFD.
const number = `([0-9]{1,3}(?:[,.'’? \x{00A0}\x{202F}\x{2009}\x{FFFD}][0-9]{2,3})+|[0-9]+)`

// tight is number without the plain blank, for lines whose blanks were folded.
const tight = `([0-9]{1,3}(?:[,.'’?\x{00A0}\x{202F}\x{2009}\x{FFFD}][0-9]{2,3})+|[0-9]+)`

var (
	heapBytes  = regexp.MustCompile(`^\s*` + number + `\s+GC Heap bytes\s*$`)
	heapCount  = regexp.MustCompile(`^\s*` + number + `\s+GC Heap objects\s*$`)
	references = regexp.MustCompile(`^\s*` + number + `\s+Total references\s*$`)
	header     = regexp.MustCompile(`^\s*Object Bytes\s+Count\s+Type\s*$`)
	row        = regexp.MustCompile(`^\s*` + number + `\s{2,}` + number + `\s{2,}(\S.*)$`)
	foldedRow  = regexp.MustCompile(`^\s*` + tight + `\s+` + tight + `\s+(\S.*)$`)
	module     = regexp.MustCompile(`^(.*\S)\s+\[([^\[\]]+)\]$`)
	elision    = regexp.MustCompile(`^\s*(\.\s?\.\s?\.[. ]*|…|[\[<(].*\b(cut|omitted|snip|removed|truncated)\b.*[\])>])\s*$`)
	// command is the echo of the command in a terminal's log.
	command = regexp.MustCompile(`dotnet[- ]gcdump(?:\.exe)?["']?\s+report\s+(.*)$`)
	// prompt is a shell's, behind the last row of a log.
	prompt = regexp.MustCompile(`^\s*(?:PS )?[A-Za-z]:\\[^>]*>|^[^\s]*[$#>%]\s*$|^PS /[^>]*>`)
	ofPID  = regexp.MustCompile(`(?:^|\s)(?:-p|--process-id)[ =]([0-9]{1,9})\b`)
)

const (
	maxLine  = 1 << 20
	maxRows  = 1 << 22
	maxNotes = 5 // rows that are reported one by one
)

// Sniff reports whether the head of a file holds the start of a report. It
// wants the first kilobytes.
func Sniff(head []byte) bool {
	// A head may end within a character or a line; what is whole is enough.
	text, _, _ := transform.Bytes(decoder(), head)
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if heapBytes.Match(line) || header.Match(line) {
			return true
		}
	}
	return false
}

func decoder() transform.Transformer {
	return unicode.BOMOverride(unicode.UTF8.NewDecoder())
}

// Read returns the reports in a text, one snapshot each. A report that cannot
// be used gives an error with its line, and reading goes on; an error of r ends
// it. A text without any report gives [syntax.ErrNotMine].
//
// The report says neither process nor time. They are taken from the name of
// the .gcdump as the command line in the log has it, otherwise from name, the
// path of the input (yyyymmdd_hhmmss_pid.gcdump, with anything behind), with a
// warning. Uptime is [heap.UptimeUnknown].
func Read(r io.Reader, name string) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		f := fullname.NewFinder("")
		defer f.Close()
		ReadWith(f, r, name)(yield)
	}
}

// ReadWith is [Read] with a finder of modules, which keeps what it reads of
// them from one report to the next.
func ReadWith(f *fullname.Finder, r io.Reader, name string) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		p := &parser{name: name, yield: yield, names: f}
		lines := bufio.NewScanner(transform.NewReader(r, decoder()))
		lines.Buffer(make([]byte, 4096), maxLine)
		lines.Split(withEnds)
		for !p.stopped && lines.Scan() {
			p.lineNo++
			s, whole := strings.CutSuffix(lines.Text(), "\n")
			p.line(strings.TrimRight(s, "\r"), whole)
		}
		if p.stopped {
			return
		}
		err := lines.Err()
		if err != nil && p.report != nil {
			p.report.doubt("the text breaks off: %v", err)
		}
		p.finish()
		switch {
		case p.stopped:
		case errors.Is(err, bufio.ErrTooLong):
			yield(nil, &syntax.Error{File: name, Line: p.lineNo + 1, Msg: fmt.Sprintf("a line of more than %d bytes", maxLine)})
		case err != nil:
			yield(nil, fmt.Errorf("reading %s: %w", name, err))
		case !p.found:
			yield(nil, &syntax.Error{File: name, Line: max(p.lineNo, 1), Msg: "no report of dotnet-gcdump in it", Err: syntax.ErrNotMine})
		}
	}
}

// withEnds splits lines and keeps their ends, so that a last line without one
// is seen.
func withEnds(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// parser goes through the lines of a text.
type parser struct {
	name    string
	names   *fullname.Finder
	yield   func(*heap.Snapshot, error) bool
	stopped bool
	lineNo  int
	echo    string // what stands behind "report" in the last command seen
	found   bool
	report  *report // the one that is being read
}

// report is one report.
type report struct {
	s        *heap.Snapshot
	table    gcname.Table
	line     int  // of its start
	inTable  bool // below the header
	ended    bool
	rows     int
	skipped  int
	objects  int64 // in rows
	nameless int
	err      error
	echo     string
	first    bool // of its text
}

func (r *report) doubt(format string, args ...any) {
	r.s.Complete = false
	r.s.Warn("", format, args...)
}

func (p *parser) place() string { return (&syntax.Error{File: p.name, Line: p.lineNo}).Place() }

// begin starts a report and finishes the one before.
func (p *parser) begin() {
	p.finish()
	p.report = &report{line: p.lineNo, first: !p.found, echo: p.echo, s: &heap.Snapshot{
		Uptime: heap.UptimeUnknown, Source: heap.SourceGCReport, Basis: heap.Live,
		Complete: true, Estimated: true, Heap: &heap.Totals{},
	}}
	p.echo, p.found = "", true
}

// line takes a line; whole says that it had its end.
func (p *parser) line(s string, whole bool) {
	r := p.report
	if m := heapBytes.FindStringSubmatch(s); m != nil {
		p.begin()
		p.report.s.Heap.ObjectBytes = p.total(m[1])
		return
	}
	if header.MatchString(s) {
		if r == nil || r.inTable {
			p.begin() // its first lines are missing
			r = p.report
			r.doubt("the totals above the table are missing")
		}
		r.inTable = true
		return
	}
	if m := command.FindStringSubmatch(s); m != nil {
		p.echo = m[1]
		if r != nil && r.rows > 0 {
			r.ended = true
		}
		return
	}
	switch {
	case r == nil || r.ended:
	case !r.inTable:
		if m := heapCount.FindStringSubmatch(s); m != nil {
			r.s.Heap.Objects = p.total(m[1])
		} else if strings.TrimSpace(s) != "" && !references.MatchString(s) {
			p.skip("no line of a report", s)
		}
	case strings.TrimSpace(s) == "" || prompt.MatchString(s):
		r.ended = r.rows > 0
	case elision.MatchString(s):
		r.s.Complete = false
		r.s.Warn(p.place(), "rows were left out of the text")
	default:
		p.row(s)
		// Nothing else tells a name that is cut from one that is not.
		if !whole && !strings.HasSuffix(s, "]") {
			r.s.Complete = false
			r.s.Warn(p.place(), "the last line has no end; its type's name may be cut")
		}
	}
}

// total reads a number of the first lines.
func (p *parser) total(s string) heap.Optional {
	n, err := parse(s)
	if err != nil {
		p.report.err = p.fail("the total %q is out of range", s)
		return heap.Optional{}
	}
	return heap.Known(n)
}

func (p *parser) fail(format string, args ...any) error {
	return &syntax.Error{File: p.name, Line: p.lineNo, Msg: fmt.Sprintf(format, args...)}
}

// parse reads digits in groups.
func parse(s string) (int64, error) {
	digits := strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, s)
	return strconv.ParseInt(digits, 10, 64)
}

// skip passes over a line that is no row.
func (p *parser) skip(why, line string) {
	r := p.report
	r.s.Complete = false
	if r.skipped++; r.skipped <= maxNotes {
		r.s.Warn(p.place(), "%s: %.80q", why, line)
	}
}

// row reads a line of the table.
func (p *parser) row(s string) {
	r := p.report
	s = strings.TrimRight(s, " \t")
	m := row.FindStringSubmatch(s)
	if m == nil {
		m = foldedRow.FindStringSubmatch(s)
	}
	if m == nil {
		p.skip("not a row", s)
		return
	}
	size, errSize := parse(m[1])
	count, errCount := parse(m[2])
	if errSize != nil || errCount != nil || size > 0 && count > (1<<63-1)/size || r.objects > 1<<62 || count > 1<<62 {
		r.err = p.fail("%s objects of %s bytes are out of range", m[2], m[1])
		return
	}
	if r.rows++; r.rows > maxRows {
		r.err = p.fail("more than %d rows", maxRows)
		return
	}
	r.objects += count
	name, mod := m[3], ""
	if n := module.FindStringSubmatch(name); n != nil {
		name, mod = n[1], n[2]
	}
	if mod == "" && gcname.Synthetic(gcname.Strip(name)) {
		return
	}
	canonical := gcname.Canonical(name)
	if canonical == "" || canonical == "<UNKNOWN>" || len(canonical) > heap.MaxNameBytes {
		canonical = fmt.Sprintf("Type(%d)", r.rows)
		r.nameless++
	}
	r.table.Add(heap.Type{Name: canonical, Count: count, Bytes: size * count}, mod)
}

// finish hands out the report that is being read.
func (p *parser) finish() {
	r := p.report
	p.report = nil
	if r == nil || p.stopped {
		return
	}
	give := func(s *heap.Snapshot, err error) { p.stopped = !p.yield(s, err) }
	switch {
	case r.err != nil:
		give(nil, r.err)
		return
	case r.rows == 0:
		give(nil, &syntax.Error{File: p.name, Line: r.line, Msg: "a report without rows"})
		return
	}
	if err := r.table.Fill(r.s, p.names); err != nil {
		give(nil, &syntax.Error{File: p.name, Line: r.line, Msg: "the report cannot be summed up", Err: err})
		return
	}
	if _, _, err := r.s.Sum(); err != nil {
		give(nil, &syntax.Error{File: p.name, Line: r.line, Msg: "the report cannot be summed up", Err: err})
		return
	}
	switch total, known := r.s.Heap.Objects.Get(); {
	case !known:
		r.doubt("the number of objects is missing, so that missing rows cannot be seen")
	case r.objects < total:
		r.doubt("the rows hold %d of %d nodes; the others are roots, or rows that are missing", r.objects, total)
	case r.objects > total:
		r.doubt("the rows hold %d objects, but the report says %d", r.objects, total)
	}
	if len(r.s.Types) == 0 {
		r.doubt("no row is of objects")
	}
	if r.skipped > maxNotes {
		r.doubt("%d lines are no rows", r.skipped)
	}
	if r.nameless > 0 {
		r.doubt("%d types have no name or one that is too long", r.nameless)
	}
	r.s.Warn("", "bytes are estimates: the report has the size of one object for each type and size class")
	p.identify(r)
	give(r.s, nil)
}

// identify says which process it was and when, as far as names of files tell.
func (p *parser) identify(r *report) {
	if m := ofPID.FindStringSubmatch(r.echo); m != nil {
		if pid, err := strconv.Atoi(m[1]); err == nil && pid > 0 {
			r.s.Process.PID = pid
			r.s.Warn("", "pid %d is taken from the command line in the text", pid)
			return
		}
	}
	files := strings.Fields(r.echo)
	if r.first {
		files = append(files, p.name) // which is of one dump at most
	}
	for _, arg := range files {
		if taken, pid, ok := gcname.FromFile(strings.Trim(arg, `"'`), time.Time{}); ok {
			r.s.Taken, r.s.Process.PID = taken, pid
			r.s.Warn("", "pid and time are taken from the file name %q, the time read in the time zone of this machine", arg)
			return
		}
	}
}
