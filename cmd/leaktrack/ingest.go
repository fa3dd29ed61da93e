package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/ingest"
	"leaktrack/ingest/live"
	"leaktrack/ingest/syntax"
	"leaktrack/internal/report"
	"leaktrack/internal/unit"
	"leaktrack/store"
	"leaktrack/trend"
)

func ingestCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "ingest",
		Usage:     "read logs, dumps and traces into the store",
		UsageText: "leaktrack ingest [flags] FILE…, or leaktrack ingest --pid PID, or --name NAME",
		Description: `FILE is a log of WinDbg, dotnet-dump or lldb that holds !dumpheap -stat, !eeheap -gc
or !heap output, a .gcdump or .nettrace file, a Linux core file, the text of dotnet-gcdump report, or JSON Lines
written by leaktrack export, any of them gzipped; a folder for all in it, a pattern, or -
for standard input. One log may hold many snapshots. The flags fill
what an input does not say. One line is printed for each snapshot.

Without FILE, --pid or --name walks the heap of a running .NET process once. That
forces a full collection and stops the process meanwhile.
` + methodHelp + `

Examples:
   leaktrack ingest chained-*.log
   leaktrack ingest --process Shop.Web --pid 2044 --uptime 9m56s heap.txt
   leaktrack ingest --at 2026-11-22T10:09:56Z --uptime 9m56s - < heap.txt
   leaktrack --db night.db ingest logs/
   leaktrack ingest --process Shop.Web --uptime-from mtime --trend night/
   leaktrack ingest --name Shop.Web`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "process", Usage: "the program's `NAME`, where the input does not say it"},
			&cli.IntFlag{Name: "pid", Usage: "its process `ID`, likewise; without FILE the running process to read"},
			&cli.StringFlag{Name: "name", Usage: "without FILE: read the running process with this `NAME`"},
			&cli.StringFlag{Name: "host", Usage: "the `HOST` it ran on, likewise"},
			&cli.StringFlag{Name: "uptime", Usage: "how long it had run, likewise: `TIME` such as 9m56s, 0:09:56 or 596"},
			&cli.StringFlag{Name: "at", Usage: "when the snapshot was taken, likewise: `TIME` such as 2026-11-22T10:09:56Z"},
			&cli.StringFlag{Name: "started", Usage: "when the process started: `TIME`; gives the uptime of snapshots that say when they were taken"},
			&cli.StringFlag{Name: "uptime-from", Usage: "mtime: where nothing says the uptime, count it from the first file of a process by the times of the files (`WHAT` is mtime)"},
			&cli.StringFlag{Name: "root", Usage: "`DIR` that holds the module files of the machine that a core, .gcdump or trace comes from"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print the whole accounting of a core"},
			&cli.BoolFlag{Name: "trend", Usage: "print the trend of what was ingested"},
			&cli.BoolFlag{Name: "replace", Usage: "let a snapshot take the place of a different one at the same process, uptime and basis"},
			&cli.StringFlag{Name: "save-trace", Usage: "keep what a running process sent in `FILE`, a .nettrace file"},
			methodFlag(),
			timeoutFlag(),
			&cli.BoolFlag{Name: "yes", Usage: "read a running process although the estimated pause or memory is large"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print no line per snapshot, only warnings and errors"},
		},
		Action: func(ctx *cli.Context) error { return c.ingest(ctx) },
	}
}

func (c *console) ingest(ctx *cli.Context) error {
	if !ctx.Args().Present() {
		if ctx.IsSet("pid") || ctx.IsSet("name") {
			return c.ingestLive(ctx)
		}
		return usagef("ingest needs a file, a folder or - for standard input, or --pid or --name of a running process")
	}
	for _, flag := range []string{"name", "save-trace", "yes", "method", "timeout"} {
		if ctx.IsSet(flag) {
			return usagef("--%s goes with a running process, not with files", flag)
		}
	}
	id, err := identity(ctx)
	if err != nil {
		return err
	}
	for _, arg := range ctx.Args().Slice() {
		// Without this the logs would be stored without what the flag says.
		if _, err := os.Stat(arg); err != nil && len(arg) > 1 && arg[0] == '-' {
			return usagef("%s: no such file; if it is meant as a flag: flags come before FILE", arg)
		}
	}
	if root := ctx.String("root"); root != "" {
		if st, err := os.Stat(root); err != nil || !st.IsDir() {
			return usagef("--root %s: no such folder", root)
		}
	}
	files, errs := ingest.Expand(ctx.Args().Slice())
	i := &ingestion{console: c, replace: ctx.Bool("replace"), quiet: ctx.Bool("quiet")}
	for _, err := range errs {
		i.fail(err)
	}
	if len(files) == 0 {
		return errReported
	}
	byTime := false
	switch ctx.String("uptime-from") {
	case "":
	case "mtime":
		byTime = true
		sortByTime(files)
	default:
		return usagef("--uptime-from %q: it takes mtime", ctx.String("uptime-from"))
	}
	known, err := c.knownProcesses(ctx)
	if err != nil {
		return err
	}
	i.reader = ingest.NewReader(id, known)
	defer i.reader.Close()
	i.reader.Root, i.reader.Verbose = ctx.String("root"), ctx.Bool("verbose")
	if byTime {
		i.reader.FileTime = fileTime
	}
	i.reader.Notice = func(text string) { c.say("%s", text) }
	i.open = func() (*store.DB, error) { return c.openStore(ctx, false) }
	for _, f := range files {
		if err := ctx.Context.Err(); err != nil {
			return err
		}
		if err := i.file(ctx.Context, f); err != nil {
			return err
		}
	}
	if err := i.finish(); err != nil {
		return err
	}
	i.repeated()
	if i.skipped > 0 && i.snapshots == 0 && !i.failed {
		i.fail(fmt.Errorf("%s: no file there is a log or dump that leaktrack knows", ctx.Args().First()))
	}
	if ctx.Bool("trend") && len(i.touched) > 0 {
		if err := c.trendOf(ctx, i.touched); err != nil {
			return err
		}
	}
	if i.failed {
		return errReported
	}
	return nil
}

// sortByTime puts the oldest file first. Files that all were written within a
// minute were copied together, in any order; their names then tell more. A
// file whose time cannot be told is named when it is read.
func sortByTime(files []ingest.File) {
	times := map[string]time.Time{}
	var first, last time.Time
	for _, f := range files {
		t, err := fileTime(f.Path)
		if err != nil {
			continue
		}
		times[f.Path] = t
		if first.IsZero() || t.Before(first) {
			first = t
		}
		if t.After(last) {
			last = t
		}
	}
	slices.SortStableFunc(files, func(a, b ingest.File) int {
		if last.Sub(first) < time.Minute {
			return strings.Compare(a.Path, b.Path)
		}
		return times[a.Path].Compare(times[b.Path])
	})
}

func fileTime(name string) (time.Time, error) {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}, errors.New("its time is not known: give --uptime or --started")
	}
	return info.ModTime(), nil
}

// trendOf prints the trend of the given processes.
func (c *console) trendOf(ctx *cli.Context, processes map[heap.Process]bool) error {
	db, err := c.openStore(ctx, true)
	if err != nil {
		return err
	}
	defer db.Close()
	infos, err := db.Processes()
	if err != nil {
		return err
	}
	refs := slices.DeleteFunc(references(infos), func(r reference) bool { return !processes[r.Process] })
	results, _, err := c.analyse(db, refs, nil, trend.Options{})
	if err != nil {
		return err
	}
	return report.Trends(c.out, c.style(), results, report.TrendOptions{Top: 20})
}

func identity(ctx *cli.Context) (ingest.Identity, error) {
	id := ingest.Identity{
		Host: ctx.String("host"), Program: ctx.String("process"), PID: ctx.Int("pid"),
		Uptime: heap.UptimeUnknown,
	}
	if id.PID < 0 {
		return id, usagef("--pid %d: a pid is positive", id.PID)
	}
	if s := ctx.String("uptime"); s != "" {
		d, err := unit.ParseUptime(s)
		if err != nil {
			return id, usagef("--uptime: %v", err)
		}
		id.Uptime = d
	}
	if s := ctx.String("at"); s != "" {
		t, err := parseAt(s)
		if err != nil {
			return id, usagef("--at: %v", err)
		}
		id.Taken = t
	}
	if s := ctx.String("started"); s != "" {
		t, err := parseAt(s)
		if err != nil {
			return id, usagef("--started: %v", err)
		}
		id.Started = t
	}
	return id, nil
}

// parseAt reads a point in time; without a zone it is local, as people mean it.
func parseAt(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 2026-11-22T10:09:56Z", s)
}

// knownProcesses lists what the store holds already, so that a log is added to
// the run it belongs to. No store yet is no error.
func (c *console) knownProcesses(ctx *cli.Context) ([]heap.Process, error) {
	if _, err := os.Stat(dbPath(ctx)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	db, err := c.openStore(ctx, true)
	if errors.Is(err, store.ErrEmpty) {
		return nil, nil // a store that is still to be filled
	}
	if err != nil {
		return nil, err
	}
	defer db.Close()
	infos, err := db.Processes()
	var known []heap.Process
	for _, i := range infos {
		known = append(known, i.Process)
	}
	return known, err
}

// ingestLive stores one snapshot of a running process.
func (c *console) ingestLive(ctx *cli.Context) error {
	if ctx.IsSet("pid") && ctx.IsSet("name") {
		return usagef("--pid or --name, not both")
	}
	for _, flag := range []string{"process", "host", "uptime", "at", "started", "uptime-from"} {
		if ctx.IsSet(flag) {
			return usagef("--%s goes with files; a running process says it itself", flag)
		}
	}
	name := ctx.String("name")
	if name == "" {
		if ctx.Int("pid") <= 0 {
			return usagef("--pid %d: a pid is positive", ctx.Int("pid"))
		}
		name = strconv.Itoa(ctx.Int("pid"))
	}
	method, err := methodOf(ctx)
	if err != nil {
		return err
	}
	if method == methodMemory && ctx.IsSet("save-trace") {
		return usagef("--save-trace goes with --method eventpipe")
	}
	o := live.Options{Timeout: ctx.Duration("timeout")}
	if o.Timeout <= 0 {
		return usagef("--timeout %s: it is more than 0", o.Timeout)
	}
	path := ctx.String("save-trace")
	if path != "" {
		if err := mayWriteTrace(path); err != nil {
			return err
		}
	}
	t, err := openTarget(ctx.Context, method, name, false)
	if err != nil {
		return explained(err)
	}
	defer t.Close()
	if !ctx.Bool("yes") {
		if reason := tooLarge(t.Estimate(ctx.Context)); reason != "" {
			return fmt.Errorf("%s: %s", unit.Clean(t.Process().String()), reason)
		}
	}
	var saved []string
	if path != "" {
		o.SaveTrace = func(attempt int) (io.WriteCloser, error) {
			// A second try is a trace of its own; both may be of use.
			target := path
			if attempt > 1 {
				target = besides(path, strconv.Itoa(attempt))
			}
			f, err := newTraceFile(target)
			if err != nil {
				return nil, err
			}
			saved = append(saved, target)
			return f, nil
		}
	}
	s, stats, err := t.Snapshot(ctx.Context, o)
	if err != nil {
		return explained(err)
	}
	i := &ingestion{console: c, replace: ctx.Bool("replace"), quiet: ctx.Bool("quiet")}
	i.open = func() (*store.DB, error) { return c.openStore(ctx, false) }
	if err := i.put([]*heap.Snapshot{s}, "live"); err != nil {
		return err
	}
	if m, ok := t.(*memoryTarget); ok && len(m.trust) > 0 {
		c.say("%s", m.trust[0])
		if ctx.Bool("verbose") {
			for _, line := range m.trust[1:] {
				c.say("  %s", line)
			}
		}
	}
	if !i.quiet {
		c.say("%s", walkLine(s, stats))
	}
	if stats.SaveErr != nil {
		return fmt.Errorf("the snapshot is stored, but the trace is not saved: %w", stats.SaveErr)
	}
	for _, path := range saved {
		fmt.Fprintln(c.out, path)
	}
	if i.failed {
		return errReported
	}
	return nil
}

// ingestion carries snapshots from readers into the store.
type ingestion struct {
	*console
	reader    *ingest.Reader
	open      func() (*store.DB, error)
	replace   bool
	quiet     bool
	failed    bool
	snapshots int
	skipped   int // files of a folder that no reader knows
	touched   map[heap.Process]bool
	warned    map[string]int // how often each warning came
	warnings  []string       // in the order in which they were said
}

// fail reports an error of one input; the others are still ingested.
func (i *ingestion) fail(err error) {
	i.failed = true
	i.say("%v", err)
}

// batch bounds how many snapshots wait for one sync. A log holds few; an
// export of a day holds 1,440, and each sync takes milliseconds.
const batch = 64

func (i *ingestion) file(ctx context.Context, f ingest.File) error {
	name, in := f.Path, i.in
	if f.Path == "-" {
		name = "standard input"
	} else {
		file, err := ingest.Open(f.Path)
		if err != nil {
			i.fail(err)
			return nil
		}
		defer file.Close()
		in = file
	}
	var waiting []*heap.Snapshot
	var lookAlikes, found int
	for s, err := range i.reader.Read(in, name) {
		if ctx.Err() != nil {
			break // what has been read so far is whole
		}
		switch {
		case f.FromFolder && (errors.Is(err, ingest.ErrUnknown) || errors.Is(err, ingest.ErrEmpty) || errors.Is(err, syntax.ErrNothing)):
			i.skipped++
			i.say("%s: skipped, no heap in it", name)
		case errors.Is(err, syntax.ErrLookAlike):
			lookAlikes++
			i.say("%v", err)
		case err != nil:
			i.fail(err)
		default:
			i.snapshots++
			found++
			waiting = append(waiting, s)
		}
		if len(waiting) >= batch {
			if err := i.put(waiting, name); err != nil {
				return err
			}
			waiting = waiting[:0]
		}
	}
	if len(waiting) > 0 {
		if err := i.put(waiting, name); err != nil {
			return err
		}
	}
	if lookAlikes > 0 && found == 0 {
		i.failed = true // beside a heap they are no mistake, alone they are
	}
	return ctx.Err()
}

// finish stores what could be told only when all inputs were read.
func (i *ingestion) finish() error {
	for s, err := range i.reader.Finish() {
		if err != nil {
			i.fail(err)
			continue
		}
		i.snapshots++
		if err := i.put([]*heap.Snapshot{s}, "core"); err != nil {
			return err
		}
	}
	return nil
}

// put stores snapshots and prints a line for each. The store is open only
// meanwhile, so that others can read between batches. An error it returns
// concerns the store and ends the verb.
func (i *ingestion) put(snapshots []*heap.Snapshot, name string) error {
	db, err := i.open()
	if err != nil {
		return err
	}
	defer db.Close()
	for k, r := range db.PutBatch(snapshots, i.replace) {
		s := snapshots[k]
		switch {
		case errors.Is(r.Err, store.ErrConflict):
			i.fail(fmt.Errorf("%s: refused: %w", name, r.Err))
		case r.Err != nil:
			return r.Err // the store itself fails: no use in going on
		default:
			if i.touched == nil {
				i.touched = map[heap.Process]bool{}
			}
			i.touched[s.Process] = true
			if !i.quiet {
				fmt.Fprintf(i.console.out, "%s: %s at %s: %s, %s\n", unit.Clean(name), unit.Clean(s.Process.String()), unit.Clock(s.Uptime), r.Outcome, report.Contents(s))
			}
			for _, w := range s.Warnings {
				i.warn(w, name)
			}
		}
	}
	return nil
}

// warn says a warning; one that has no place of its own is said of the first
// input only, and counted for the others.
func (i *ingestion) warn(w heap.Warning, name string) {
	if w.Place == "" {
		if i.warned == nil {
			i.warned = map[string]int{}
		}
		if i.warned[w.Text]++; i.warned[w.Text] > 1 {
			return
		}
		i.warnings = append(i.warnings, w.Text)
	}
	i.say("%s: warning: %s", name, warningText(w, name))
}

// repeated says how often warnings came again.
func (i *ingestion) repeated() {
	for _, text := range i.warnings {
		if n := i.warned[text] - 1; n > 0 {
			i.say("%s more with this warning: %s", unit.Count(n), text)
		}
	}
}

// warningText leaves out the name of the file where the message has it already.
func warningText(w heap.Warning, name string) string {
	if place, ok := strings.CutPrefix(w.Place, name+":"); ok {
		return "line " + place + ": " + w.Text
	}
	return w.String()
}
