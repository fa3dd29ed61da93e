package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/internal/metrics"
	"leaktrack/store"
)

func metricsCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "metrics",
		Usage:     "what is stored, for a Prometheus to scrape",
		UsageText: "leaktrack metrics [flags] [PROCESS]",
		Description: `Serves memory, diagnosis and the growing groups of types of each process at /metrics,
in the text format of Prometheus or as OpenMetrics, while watchers store into the same
file. A process is judged anew when snapshots of it were added. leaktrack_up is 0 while
the store cannot be read. It ends with Ctrl-C.

The number of series is bounded: ` + fmt.Sprintf("%d, %d for each process, %d for each group", metrics.SeriesOfExporter, metrics.SeriesPerProcess, metrics.SeriesPerGroup) + `.
leaktrack watch --metrics serves what that watch stores.

Examples:
   leaktrack metrics
   leaktrack metrics --listen 0.0.0.0:9464 --top 5 Shop.Web
   leaktrack --db night.db metrics --print > leaktrack.prom`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: metrics.DefaultListen, Usage: "serve at `HOST:PORT`; port 0 is a free one"},
			&cli.IntFlag{Name: "top", Value: 10, Usage: "at most `N` groups of types per process"},
			&cli.IntFlag{Name: "max-processes", Value: 20, Usage: "at most `N` processes, those seen last"},
			limitFlag(),
			&cli.BoolFlag{Name: "print", Usage: "print the metrics once instead of serving them"},
		},
		Action: func(ctx *cli.Context) error { return c.metrics(ctx) },
	}
}

func (c *console) metrics(ctx *cli.Context) error {
	text := ctx.Args().First()
	if ctx.Args().Len() > 1 {
		return usagef("one PROCESS at most, not %q (flags come before arguments)", ctx.Args().Slice())
	}
	top, processes := ctx.Int("top"), ctx.Int("max-processes")
	if top < 1 || processes < 1 {
		return usagef("--top and --max-processes are at least 1")
	}
	limit, err := limitOf(ctx)
	if err != nil {
		return err
	}
	o := metrics.Options{Path: dbPath(ctx), Top: top, Processes: processes, LimitBytes: limit.LimitBytes, Version: versionText(),
		Say: func(text string) { c.say("%s", text) }}
	if ctx.Bool("print") {
		if ctx.IsSet("listen") {
			return usagef("--print serves nothing, so no --listen")
		}
		return c.printMetrics(ctx, o)
	}
	o.Choose = func(infos []store.ProcessInfo) []metrics.Process {
		return named(infos, func(r reference) bool { return text == "" || r.matches(text) })
	}
	l, err := c.listenMetrics(ctx.String("listen"))
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, metricsURL(l))
	e := metrics.New(ctx.Context, o)
	// A first reading now shortens the first scrape, and says what is wrong with
	// the store while somebody looks.
	go e.Refresh(ctx.Context)
	return e.Serve(ctx.Context, l)
}

// printMetrics fails, as every verb does that reads the store once, where the
// server waits for better days.
func (c *console) printMetrics(ctx *cli.Context, o metrics.Options) error {
	db, err := c.openStore(ctx, true)
	if err != nil {
		return err
	}
	refs, err := choose(db, ctx.Args())
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	chosen := map[heap.Process]bool{}
	for _, r := range refs {
		chosen[r.Process] = true
	}
	o.Choose = func(infos []store.ProcessInfo) []metrics.Process {
		return named(infos, func(r reference) bool { return chosen[r.Process] })
	}
	o.Say = nil // the error tells
	return metrics.New(ctx.Context, o).Write(c.out)
}

// named picks processes and gives them their names, without the host, which is
// a label of its own.
func named(infos []store.ProcessInfo, wanted func(reference) bool) []metrics.Process {
	var out []metrics.Process
	for _, r := range references(infos) {
		if wanted(r) {
			out = append(out, metrics.Process{ProcessInfo: r.ProcessInfo, Name: strings.TrimPrefix(r.ref, r.Process.Host+":")})
		}
	}
	return out
}

// listenMetrics opens the address and warns where others can reach it.
func (c *console) listenMetrics(address string) (net.Listener, error) {
	l, loopback, err := metrics.Listen(address)
	if err == nil && !loopback {
		c.say("warning: whoever reaches %s can read the names of processes and types: there is no login and no encryption", l.Addr())
	}
	return l, err
}

func metricsURL(l net.Listener) string { return "http://" + l.Addr().String() + "/metrics" }

// serveStored serves what a watch stores, as long as ctx lasts: the process that put was
// given last. It returns the put to use.
func (c *console) serveStored(ctx context.Context, address string, o metrics.Options, put func(*heap.Snapshot) error) (func(*heap.Snapshot) error, error) {
	l, err := c.listenMetrics(address)
	if err != nil {
		return nil, err
	}
	var current atomic.Pointer[heap.Process]
	o.Choose = func(infos []store.ProcessInfo) []metrics.Process {
		p := current.Load()
		return named(infos, func(r reference) bool { return p != nil && r.Process == *p })
	}
	c.say("metrics at %s", metricsURL(l))
	go func() {
		if err := metrics.New(ctx, o).Serve(ctx, l); err != nil {
			c.say("%v; watching goes on", err)
		}
	}()
	return func(s *heap.Snapshot) error {
		err := put(s)
		if err == nil {
			p := s.Process
			current.Store(&p)
		}
		return err
	}, nil
}
