package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/ingest/live"
	"leaktrack/internal/metrics"
	"leaktrack/internal/report"
	"leaktrack/internal/unit"
	"leaktrack/store"
)

func watchCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "watch",
		Usage:     "live snapshots of a running process",
		UsageText: "leaktrack watch [flags] PID|NAME",
		Description: `Walks the heap of a running .NET process every so often, stores each snapshot at once
and shows what grows. A walk forces a full collection and stops the process meanwhile;
the line of each snapshot says for how long. Between walks cheap samples of the memory
are taken, which stop nothing. Watching by NAME goes on with the next run when the
process restarts; --wait waits for the first one. Ctrl-C or SIGTERM ends it and prints
the trend.
` + methodHelp + `

Examples:
   leaktrack watch Shop.Web
   leaktrack watch --every 5s --for 1m LeakZoo
   leaktrack --db night.db watch --every 10m --max-pause 500ms 2044
   leaktrack watch --metrics 127.0.0.1:9464 Shop.Web
   leaktrack watch --mail-on-leak --to ops@example.com --smtp localhost:25 --tls none Shop.Web`,
		Flags: append([]cli.Flag{
			&cli.DurationFlag{Name: "every", Value: 30 * time.Second, Usage: "`TIME` from one walk of the heap to the next"},
			&cli.DurationFlag{Name: "for", Usage: "stop after this `TIME`"},
			&cli.IntFlag{Name: "count", Usage: "stop after `N` walks"},
			&cli.BoolFlag{Name: "wait", Usage: "wait for the program if it does not run yet"},
			&cli.StringFlag{Name: "metrics", Usage: "serve what this watch stores to a Prometheus at `HOST:PORT`, as leaktrack metrics does"},
			&cli.DurationFlag{Name: "sample", Usage: "`TIME` between cheap samples (default: a sixth of --every, at least 1s); negative: none"},
			&cli.DurationFlag{Name: "max-pause", Usage: "walk only while the process would stand still for at most this `TIME`"},
			&cli.BoolFlag{Name: "yes", Usage: "walk although the estimated pause or memory is large"},
			methodFlag(),
			timeoutFlag(),
			&cli.BoolFlag{Name: "mail-on-leak", Usage: "send a mail when a new leak is found, not for each snapshot; the flags below say where to"},
		}, mailFlags()...),
		Action: func(ctx *cli.Context) error { return c.watch(ctx) },
	}
}

// A walk beyond these is not begun without --yes: it would be felt by those
// who use the process.
const (
	bigPause  = 2 * time.Second
	bigStream = 512 << 20
)

// target is a running process as the watcher needs it; *live.Target is one.
type target interface {
	Process() heap.Process
	Version() string
	Alive() bool
	Uptime() time.Duration
	Estimate(context.Context) live.Estimate
	Snapshot(context.Context, live.Options) (*heap.Snapshot, live.Stats, error)
	Counters(context.Context) (*heap.Snapshot, error)
	Close()
}

// watcher takes snapshots of one target after another.
type watcher struct {
	*console
	every, sample, length time.Duration
	count                 int
	maxPause              time.Duration
	yes                   bool
	timeout               time.Duration

	put func(*heap.Snapshot) error
	// known lists what is stored of a process.
	known func(heap.Process, func(store.Key)) error
	// judge judges a process by these of its stored snapshots, and by those that
	// are not stored yet.
	judge func(heap.Process, []store.Key, []*heap.Snapshot) (report.Named, error)
	// leaks is told each judgement, to send a mail for a new leak; nil: nobody.
	// It returns the subject of what was sent, "" for nothing.
	leaks  func(context.Context, report.Named) (string, error)
	clock  clock
	screen *screen

	saidNoSamples bool
	begun         time.Time
	walks         int
	backlog       backlog      // not stored yet: the disk is full or the store in use
	outage        bool         // which has been said
	kept          heap.Process // of the last snapshot; the zero value: none yet
	choice        *choice      // of the process judged last
	// What the judging of so many snapshots costs decides how often it is done.
	judged    time.Time
	judgeCost time.Duration
	saidJudge string         // what went wrong with it
	warned    []heap.Warning // of the walk before
}

func (c *console) watch(ctx *cli.Context) error {
	name := ctx.Args().First()
	if name == "" || ctx.Args().Len() > 1 {
		return usagef("watch needs one pid or program name behind its flags; leaktrack ps lists them")
	}
	w := &watcher{
		console: c, clock: wallClock{},
		every: ctx.Duration("every"), sample: ctx.Duration("sample"), length: ctx.Duration("for"),
		count: ctx.Int("count"), maxPause: ctx.Duration("max-pause"), yes: ctx.Bool("yes"), timeout: ctx.Duration("timeout"),
		screen: newScreen(c),
	}
	switch {
	case w.every < time.Second:
		return usagef("--every %s: at least 1s, each walk stops the process", w.every)
	case w.length < 0 || w.count < 0 || w.maxPause < 0 || w.timeout <= 0:
		return usagef("--for, --count, --max-pause and --timeout are not negative")
	case w.sample == 0:
		w.sample = max(w.every/6, time.Second)
	}
	f := &watchedFile{path: dbPath(ctx), doubt: c.doubt}
	w.put, w.known, w.judge = f.put, f.keys, f.judge
	if ctx.Bool("mail-on-leak") {
		mails, err := newLeakMail(ctx)
		if err != nil {
			return err
		}
		w.leaks = mails.verdict
	} else if ctx.IsSet("to") || ctx.IsSet("smtp") {
		return usagef("--to and --smtp go with --mail-on-leak")
	}
	method, err := methodOf(ctx)
	if err != nil {
		return err
	}
	if address := ctx.String("metrics"); address != "" {
		serving, stop := context.WithCancel(ctx.Context)
		defer stop()
		o := metrics.Options{Path: dbPath(ctx), Version: versionText(), Say: func(text string) { c.say("metrics: %s", text) }}
		if w.put, err = c.serveStored(serving, address, o, w.put); err != nil {
			return err
		}
	}
	open := func(again bool) (target, error) { return openTarget(ctx.Context, method, name, again) }
	find := open
	if ctx.Bool("wait") {
		if _, err := strconv.Atoi(name); err == nil {
			return usagef("--wait waits for a program by its name, a pid has none to come")
		}
		find = func(again bool) (target, error) {
			if again {
				return open(again)
			}
			return c.await(ctx.Context, w.clock, name, findProcess, open)
		}
	}
	return w.run(ctx.Context, find, name)
}

// run watches until its end is reached. find opens the process; when it is
// called again, it waits for the next run of the same name and gives
// errNoNext where there can be none.
func (w *watcher) run(ctx context.Context, find func(again bool) (target, error), name string) error {
	t, err := find(false)
	if err != nil {
		return explained(err)
	}
	w.begun = w.clock.Now()
	if w.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = w.deadline(ctx)
		defer cancel()
	}
	for {
		err = w.one(ctx, t)
		t.Close()
		w.screen.clear()
		if !errors.Is(err, errEnded) {
			break
		}
		w.say("%s ended after %s", t.Process(), unit.Duration(t.Uptime()))
		next, findErr := find(true)
		if findErr != nil {
			if errors.Is(findErr, errNoNext) || ctx.Err() != nil {
				err = nil
			} else {
				err = findErr
			}
			break
		}
		t = next
	}
	w.storeRest()
	if errors.Is(err, errDone) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	// A run that ended before its first walk leaves the trend to the one before.
	switch {
	case err != nil:
		err = explained(err)
	case w.kept == (heap.Process{}):
		w.say("no snapshot of %s was stored", unit.Clean(t.Process().String()))
		err = errReported
	default:
		err = w.finish(ctx)
	}
	// Said last, where it is seen.
	if n := len(w.backlog.waiting); n > 0 {
		text := unit.Count(n) + " snapshots could not be stored and are lost"
		if n == 1 {
			text = "1 snapshot could not be stored and is lost"
		}
		if w.backlog.dropped > 0 {
			text += fmt.Sprintf(", %s more were dropped before", unit.Count(w.backlog.dropped))
		}
		w.say("%s", text)
		return errReported
	}
	return err
}

// storeRest tries once more to store what waits.
func (w *watcher) storeRest() {
	if len(w.backlog.waiting) == 0 {
		return
	}
	if err := w.flush(); err != nil {
		w.say("%v", err)
		return
	}
	w.recovered()
}

// finish prints the trend of the last run.
func (w *watcher) finish(ctx context.Context) error {
	r, err := w.judgement(w.kept)
	if err != nil {
		return err
	}
	// The time to send the last mail is not taken from the watch, which is over.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastMail)
	defer cancel()
	w.mail(last, r)
	return report.Trends(w.out, w.style(), []report.Named{r}, report.TrendOptions{Top: 20})
}

// judgement judges a process by an even selection of what is stored of it.
func (w *watcher) judgement(p heap.Process) (report.Named, error) {
	if w.choice == nil || w.choice.process != p {
		c := newChoice(p)
		err := w.known(p, func(k store.Key) { c.add(k, 0) })
		switch {
		case err == nil:
			w.choice = c
		case w.outage:
			// Nothing of it can be read; what waits is judged.
		case !errors.Is(err, store.ErrNotFound):
			return report.Named{}, err
		}
	}
	var keys []store.Key
	all := 0
	if w.choice != nil && w.choice.process == p {
		keys, all = w.choice.keys()
	}
	r, err := w.judge(p, keys, w.backlog.of(p))
	if err != nil {
		return r, err
	}
	r.Warnings = append(r.Warnings, w.doubts...)
	if len(keys) < all {
		r.Warnings = append(r.Warnings, fmt.Sprintf("judged by %s of %s snapshots, an even selection", unit.Count(len(keys)), unit.Count(all)))
	}
	return r, nil
}

// lastMail bounds the sending of a mail after the end of a watch.
const lastMail = 30 * time.Second

var (
	errDone   = errors.New("done")
	errEnded  = errors.New("the process ended")
	errNoNext = errors.New("no next run")
)

// deadline ends waiting at --for by the watcher's own clock.
func (w *watcher) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := w.clock.(wallClock); ok {
		return context.WithDeadline(ctx, w.begun.Add(w.length+w.timeout))
	}
	return context.WithCancel(ctx)
}

// one watches one run of the program. Walks are due at begun + k·every,
// however long each takes; one that is missed is left out, not made up for.
func (w *watcher) one(ctx context.Context, t target) error {
	begun := w.clock.Now()
	version := ""
	if v := t.Version(); v != "" {
		version = " (.NET " + unit.Clean(v) + ")"
	}
	fmt.Fprintf(w.out, "watching %s%s, a walk every %s\n", unit.Clean(t.Process().String()), version, unit.Duration(w.every))
	nextWalk, nextSample := begun, begun.Add(w.sample)
	if w.sample < 0 {
		nextSample = begun.AddDate(1000, 0, 0)
	}
	for {
		due, walk := nextWalk, true
		if nextSample.Before(nextWalk) {
			due, walk = nextSample, false
		}
		if w.length > 0 && !due.Before(w.begun.Add(w.length)) {
			return w.clockOut(ctx)
		}
		if err := w.clock.Sleep(ctx, due); err != nil {
			return err
		}
		if !t.Alive() {
			return errEnded
		}
		var err error
		if walk {
			err = w.walk(ctx, t)
		} else {
			err = w.counters(ctx, t)
		}
		if err != nil {
			if !t.Alive() {
				return errEnded
			}
			return err
		}
		if w.count > 0 && w.walks >= w.count {
			return errDone
		}
		now := w.clock.Now()
		for !nextWalk.After(now) {
			nextWalk = nextWalk.Add(w.every)
		}
		for !nextSample.After(now) {
			nextSample = nextSample.Add(w.sample)
		}
		// A sample just before a walk tells nothing new, and must not delay it.
		if gap := nextWalk.Sub(nextSample); gap >= 0 && gap < max(w.sample/2, sampleRoom) {
			nextSample = nextWalk.Add(w.sample)
		}
	}
}

// clockOut waits out the rest of --for, so that --for 1m ends after a minute.
func (w *watcher) clockOut(ctx context.Context) error {
	if err := w.clock.Sleep(ctx, w.begun.Add(w.length)); err != nil {
		return err
	}
	return errDone
}

func (w *watcher) walk(ctx context.Context, t target) error {
	if reason := w.refusal(ctx, t); reason != "" {
		w.say("no walk: %s; a sample of the memory is taken instead", reason)
		w.walks++
		return w.counters(ctx, t)
	}
	s, stats, err := t.Snapshot(ctx, live.Options{Timeout: w.timeout, MaxPause: w.maxPause})
	if err != nil {
		if ctx.Err() != nil || !t.Alive() {
			return err
		}
		// One read that failed does not end a night of watching.
		w.say("%v", explained(err))
		w.walks++
		return nil
	}
	w.walks++
	w.keep(s)
	w.screen.clear()
	fmt.Fprintf(w.out, "%s  %s\n", unit.Clock(s.Uptime), walkLine(s, stats))
	// Most are true of every walk, and are no news the second time.
	for _, x := range s.Warnings {
		if !slices.Contains(w.warned, x) {
			w.say("warning: %s", x)
		}
	}
	w.warned = s.Warnings
	w.show(ctx, t.Process())
	return nil
}

// refusal says why the heap is not walked now; "" when it is.
func (w *watcher) refusal(ctx context.Context, t target) string {
	if w.yes && w.maxPause == 0 {
		return ""
	}
	e := t.Estimate(ctx)
	switch {
	case w.maxPause > 0 && e.Pause > w.maxPause:
		return fmt.Sprintf("it would stop the process for about %s, --max-pause allows %s", unit.Duration(e.Pause), unit.Duration(w.maxPause))
	case w.yes || w.maxPause > 0:
		return ""
	}
	return tooLarge(e)
}

// tooLarge says why a walk should not be begun without --yes; "" when it may.
func tooLarge(e live.Estimate) string {
	switch {
	case e.Pause > bigPause:
		return fmt.Sprintf("the heap of %s is large, a walk would stop the process for about %s; --yes walks all the same", unit.Bytes(e.HeapBytes), unit.Duration(e.Pause))
	case e.StreamBytes > bigStream:
		return fmt.Sprintf("the heap of %s is large, a walk would need about %s more memory in the process; --yes walks all the same", unit.Bytes(e.HeapBytes), unit.Bytes(e.StreamBytes))
	}
	return ""
}

func walkLine(s *heap.Snapshot, stats live.Stats) string {
	text := fmt.Sprintf("%s objects, %s, %s", unit.Count(stats.Objects), heapSize(s), completeWord(s))
	text += ", took " + unit.Duration(stats.Duration)
	if stats.Pause > 0 {
		text += ", paused it for " + unit.Duration(stats.Pause)
	}
	if stats.Lost > 0 {
		text += fmt.Sprintf(", %s events lost", unit.Count(stats.Lost))
	}
	return text
}

func heapSize(s *heap.Snapshot) string {
	if s.Heap != nil {
		if n, ok := s.Heap.LiveBytes.Get(); ok {
			return unit.Bytes(n)
		}
	}
	_, n, err := s.Sum()
	if err != nil {
		return unit.Unknown
	}
	return unit.Bytes(n)
}

func completeWord(s *heap.Snapshot) string {
	if s.Complete {
		return "complete"
	}
	return "incomplete"
}

// sampleRoom is the time that a sample is given before a walk is due: the
// runtime tells its counters once per second.
const sampleRoom = 2 * time.Second

// sampleTimeout is ample for a cheap sample, which takes little over a second.
const sampleTimeout = 5 * time.Second

func (w *watcher) counters(ctx context.Context, t target) error {
	// A sample is worth no more than the wait for the next one.
	sampling, cancel := context.WithTimeout(ctx, max(w.sample, sampleTimeout))
	defer cancel()
	s, err := t.Counters(sampling)
	if errors.Is(err, errNoSamples) {
		if !w.saidNoSamples {
			w.saidNoSamples = true
			w.say("%v", err)
		}
		return nil
	}
	if err != nil {
		if ctx.Err() != nil || !t.Alive() {
			return err
		}
		w.say("%v", explained(err))
		return nil
	}
	w.keep(s)
	return nil
}

// keep stores a snapshot at once, or remembers it until the store takes it.
// What is wrong with the store is said when it begins and when it ends.
func (w *watcher) keep(s *heap.Snapshot) {
	w.kept = s.Process
	dropped := w.backlog.dropped
	w.backlog.add(s)
	err := w.flush()
	if err != nil && !w.outage {
		w.outage = true
		w.say("%v", err)
		w.say("watching goes on; until the store takes snapshots again they wait in memory, %s samples and %s of tables at most", unit.Count(maxWaiting), unit.Bytes(maxWaitingBytes))
	}
	if w.backlog.dropped > 0 && dropped == 0 {
		w.say("so much waits that every second of the waiting %s was dropped and so will be those to come; this is not said again", droppedKind(s))
	}
	if err == nil {
		w.recovered()
	}
}

// recovered ends an outage, when nothing waits any more.
func (w *watcher) recovered() {
	if w.outage {
		text := "the store takes snapshots again, what waited is stored"
		if n := w.backlog.dropped; n > 0 {
			text += fmt.Sprintf(", %s were dropped", unit.Count(n))
		}
		w.say("%s", text)
	}
	w.outage = false
	w.backlog.reset()
}

func droppedKind(s *heap.Snapshot) string {
	if s.CountersOnly() {
		return "samples"
	}
	return "tables"
}

// flush stores what waits, oldest first, until the store refuses.
func (w *watcher) flush() error {
	for len(w.backlog.waiting) > 0 {
		s := w.backlog.waiting[0]
		switch err := w.put(s); {
		case errors.Is(err, store.ErrConflict):
			// It will be refused for ever and must not hold up the others.
			w.say("%v", err)
		case err != nil:
			return err
		default:
			if w.choice != nil && w.choice.process == s.Process {
				w.choice.add(store.KeyOf(s), len(s.Types))
			}
		}
		w.backlog.next()
	}
	return nil
}

// judgeShare is the part of its time that the watcher spends on judging what
// it has seen so far; with thousands of snapshots it does so less often.
const judgeShare = 0.05

// show prints the current suspects.
func (w *watcher) show(ctx context.Context, p heap.Process) {
	now := w.clock.Now()
	if float64(w.judgeCost) > judgeShare*float64(now.Sub(w.judged)) && !w.judged.IsZero() {
		return
	}
	started := time.Now()
	r, err := w.judgement(p)
	w.judged, w.judgeCost = now, time.Since(started)
	if err != nil {
		if text := err.Error(); text != w.saidJudge {
			w.saidJudge = text
			w.say("%v", err)
		}
		return
	}
	w.saidJudge = ""
	w.screen.suspects(r)
	w.mail(ctx, r)
}

// mail sends one for a leak that is new in r. A mail that fails is said, and
// tried again with the next judgement: the watch goes on.
func (w *watcher) mail(ctx context.Context, r report.Named) {
	if w.leaks == nil {
		return
	}
	subject, err := w.leaks(ctx, r)
	switch {
	case err != nil:
		w.say("the mail of the leak was not sent: %v", err)
	case subject != "":
		w.say("mailed: %s", subject)
	}
}
