package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"leaktrack/heap"
	"leaktrack/ingest/live"
	"leaktrack/internal/report"
	"leaktrack/store"
	"leaktrack/trend"
)

// watchFailures are those of a watch that ends with status 2.
var watchFailures = map[string]failure{
	"watch-outage":        {run: "--db disk/x.db watch --count 1 --sample=-1s PID", before: answering, mount: "full"},
	"watch-lost":          {run: "--db disk/x.db watch --count 1 --sample=-1s PID", before: answering, mount: "full"},
	"watch-lost-more":     {inside: onBench(func(b *bench) { b.put = func(*heap.Snapshot) error { return errFull } })},
	"watch-no-samples":    {run: "watch --method memory --every 9s --sample 1s --for 1100ms PID", before: pretending("lib9.0.5")},
	"metrics-url":         {inside: scrapedWithoutStore},
	"watch-metrics-store": {inside: scrapedWithoutStore},
}

// watchWarnings are what a watch says, and goes on.
var watchWarnings = map[string]failure{
	"watch-again":         {run: "--db shop.db watch --count 1 --sample=-1s PID", before: lockedAtFirst},
	"watch-again-dropped": {inside: onBench(outage)},
	"watch-dropped":       {inside: onBench(outage)},
	"watch-max-pause":     {inside: onBench(func(b *bench) { b.target.estimate, b.maxPause = live.Estimate{Pause: time.Minute}, time.Second })},
	"watch-ended":         {inside: onBench(func(b *bench) { b.target.dies = b.clock.now.Add(10 * time.Minute) })},
	"watch-mail-failed": {inside: onBench(func(b *bench) {
		b.count, b.leaks = 1, func(context.Context, report.Named) (string, error) { return "", syscall.ECONNREFUSED }
	})},
	"watch-mailed": {inside: onBench(func(b *bench) {
		b.count, b.leaks = 1, func(context.Context, report.Named) (string, error) { return "leak: A grows", nil }
	})},
	"metrics-again": {inside: scrapedAgain},
}

var errFull = errors.New("no space left on device")

// onBench has a watch run for a day of a clock that jumps.
func onBench(change func(*bench)) func(*testing.T, *scene) (int, string) {
	return func(t *testing.T, _ *scene) (int, string) {
		b := newBench()
		b.every, b.sample, b.length = 10*time.Minute, 10*time.Second, 24*time.Hour
		b.judge = func(heap.Process, []store.Key, []*heap.Snapshot) (report.Named, error) {
			return report.Named{Result: &trend.Result{}}, nil
		}
		change(b)
		switch err := b.run(t.Context(), b.find, "App"); err {
		case nil:
			return exitOK, b.err.String()
		case errReported:
			return exitFailed, b.err.String()
		default:
			t.Fatal(err)
			return 0, ""
		}
	}
}

// outage is a store that takes nothing for most of the day.
func outage(b *bench) {
	put, begun := b.put, b.clock.now
	b.put = func(s *heap.Snapshot) error {
		if now := b.clock.now.Sub(begun); now > time.Hour && now < 20*time.Hour {
			return errFull
		}
		return put(s)
	}
}

// answering has the case watch a runtime that the test binary plays.
func answering(t *testing.T, s *scene) { s.set["PID"] = fmt.Sprint(startFakeRuntime(t)) }

// lockedAtFirst lets go of the store once it has been refused.
func lockedAtFirst(t *testing.T, s *scene) {
	answering(t, s)
	f := lock(t, s)
	s.said = func() { f.Close() }
	t.Cleanup(s.said)
}

// scrapedWithoutStore watches into a folder that does not exist, and asks for
// the metrics.
func scrapedWithoutStore(t *testing.T, s *scene) (int, string) {
	w := startLeaktrack(t, "--db", s.path("none/x.db"), "watch", "--metrics", "127.0.0.1:0", fmt.Sprint(startFakeRuntime(t)))
	scrapeSaid(t, w)
	w.until(t, "word of the store", func(_, said string) bool { return strings.Contains(said, "metrics: opening") })
	return interrupted(t, w)
}

// scrapedAgain asks for metrics of a store that is made only then.
func scrapedAgain(t *testing.T, s *scene) (int, string) {
	w := startLeaktrack(t, "--db", s.path("x.db"), "metrics", "--listen", "127.0.0.1:0")
	scrapeSaid(t, w)
	runs(t, s, "--db", "x.db", "ingest", "good.log")
	w.until(t, "new reading", func(_, said string) bool {
		scrapeSaid(t, w)
		return strings.Contains(said, "can be read now")
	})
	return interrupted(t, w)
}

var saidAddress = regexp.MustCompile(`http://\S+/metrics`)

// scrapeSaid gets the page at the address that was said.
func scrapeSaid(t *testing.T, w *running) {
	t.Helper()
	var address string
	w.until(t, "address", func(out, said string) bool {
		address = saidAddress.FindString(out + said)
		return address != ""
	})
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
}

func interrupted(t *testing.T, w *running) (int, string) {
	t.Helper()
	check(t, w.Process.Signal(os.Interrupt))
	var exit *exec.ExitError
	if err := w.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	_, said := w.texts()
	return w.ProcessState.ExitCode(), said
}
