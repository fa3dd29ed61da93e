package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/internal/report"
	"leaktrack/internal/unit"
	"leaktrack/store"
)

func basisFlag() cli.Flag {
	return &cli.StringFlag{Name: "basis", Usage: "`WHICH` snapshots: live (after a full collection) or all (dead objects counted too)"}
}

func basisOf(ctx *cli.Context) (heap.Basis, error) {
	switch b := heap.Basis(ctx.String("basis")); b {
	case "", heap.Live, heap.All:
		return b, nil
	default:
		return "", usagef("--basis %q: it is live or all", b)
	}
}

func topFlag(n int) cli.Flag {
	return &cli.IntFlag{Name: "top", Value: n, Usage: "at most `N` types"}
}

func showCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "one snapshot's table",
		UsageText: "leaktrack show [flags] [PROCESS]",
		Description: `The last snapshot, or the one nearest to --at; the largest types first.

Examples:
   leaktrack show
   leaktrack show --at 9m56s --top 50 CLRHeapLeak
   leaktrack show --format json 2044 > snapshot.json`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "at", Usage: "the snapshot nearest to this uptime: `TIME` such as 9m56s"},
			basisFlag(),
			topFlag(20),
			&cli.BoolFlag{Name: "all", Usage: "every type"},
			formatFlag(),
		},
		Action: func(ctx *cli.Context) error { return c.show(ctx) },
	}
}

func (c *console) show(ctx *cli.Context) error {
	style, err := c.output(ctx)
	if err != nil {
		return err
	}
	db, ref, infos, err := c.openOne(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	at := infos[len(infos)-1]
	if ctx.IsSet("at") {
		if at, err = nearestInfo(infos, "--at", ctx.String("at")); err != nil {
			return err
		}
	}
	s, err := db.Get(ref.Process, at.Uptime, at.Basis)
	if err != nil {
		return err
	}
	top, err := topOf(ctx)
	if err != nil {
		return err
	}
	return report.Snapshot(c.out, style, ref.ref, s, top)
}

// topOf returns how many types to print, -1 for every one. Only a table for
// people is cut by default.
func topOf(ctx *cli.Context) (int, error) {
	n := ctx.Int("top")
	switch {
	case n <= 0 && ctx.IsSet("top"):
		return 0, usagef("--top %d: it takes a positive number, --all prints every type", n)
	case ctx.IsSet("top"):
		return n, nil
	case ctx.Bool("all"), ctx.String("format") != "table":
		return -1, nil
	}
	return n, nil
}

// openOne opens the store for reading and lists the snapshots of the one
// process that the argument names, of the given basis.
func (c *console) openOne(ctx *cli.Context) (*store.DB, reference, []store.Info, error) {
	basis, err := basisOf(ctx)
	if err != nil {
		return nil, reference{}, nil, err
	}
	db, err := c.openStore(ctx, true)
	if err != nil {
		return nil, reference{}, nil, err
	}
	ref, err := chooseOne(db, ctx.Args())
	if err == nil {
		var infos []store.Info
		if infos, err = db.Infos(ref.Process); err == nil {
			kept := infos[:0]
			for _, i := range infos {
				if basis == "" || i.Basis == basis {
					kept = append(kept, i)
				}
			}
			if len(kept) > 0 {
				return db, ref, kept, nil
			}
			err = fmt.Errorf("%s has no snapshot of basis %s", ref.ref, basis)
		}
	}
	db.Close()
	return nil, reference{}, nil, err
}

// nearestInfo returns the snapshot whose uptime is nearest to the given one.
func nearestInfo(infos []store.Info, flag, text string) (store.Info, error) {
	d, err := unit.ParseUptime(text)
	if err != nil {
		return store.Info{}, usagef("%s: %v", flag, err)
	}
	best := infos[0]
	for _, i := range infos {
		if (i.Uptime - d).Abs() < (best.Uptime - d).Abs() {
			best = i
		}
	}
	return best, nil
}

func diffCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "two snapshots side by side",
		UsageText: "leaktrack diff [flags] [PROCESS]",
		Description: `The first and the last snapshot, or those nearest to --from and --to; the largest change
of bytes first. A difference is no verdict: leaktrack trend gives that.

Examples:
   leaktrack diff
   leaktrack diff --from 4s --to 10m CLRHeapLeak`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "from", Usage: "the snapshot nearest to this uptime: `TIME`"},
			&cli.StringFlag{Name: "to", Usage: "and the one nearest to this: `TIME`"},
			basisFlag(),
			topFlag(20),
			&cli.BoolFlag{Name: "all", Usage: "every type, those without change too"},
			formatFlag(),
		},
		Action: func(ctx *cli.Context) error { return c.diff(ctx) },
	}
}

func (c *console) diff(ctx *cli.Context) error {
	style, err := c.output(ctx)
	if err != nil {
		return err
	}
	db, ref, infos, err := c.openOne(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	infos = withTypes(infos)
	if len(infos) == 0 {
		return fmt.Errorf("%s has no snapshot with a table of types", ref.ref)
	}
	from, to := infos[0], infos[len(infos)-1]
	if ctx.IsSet("to") {
		if to, err = nearestInfo(infos, "--to", ctx.String("to")); err != nil {
			return err
		}
	}
	if ctx.IsSet("from") {
		if from, err = nearestInfo(infos, "--from", ctx.String("from")); err != nil {
			return err
		}
	}
	if from.Uptime == to.Uptime {
		return usagef("both ends are the snapshot at %s; %s", unit.Clock(from.Uptime), spanText(infos))
	}
	a, err := db.Get(ref.Process, from.Uptime, from.Basis)
	if err != nil {
		return err
	}
	b, err := db.Get(ref.Process, to.Uptime, to.Basis)
	if err != nil {
		return err
	}
	top, err := topOf(ctx)
	if err != nil {
		return err
	}
	return report.Diff(c.out, style, ref.ref, a, b, top)
}

// withTypes leaves out snapshots of counters only, and of the two bases keeps
// the one with more snapshots, so that the ends can be compared.
func withTypes(infos []store.Info) []store.Info {
	count := map[heap.Basis]int{}
	for _, i := range infos {
		if i.Types > 0 {
			count[i.Basis]++
		}
	}
	better := heap.Live
	if count[heap.All] > count[heap.Live] {
		better = heap.All
	}
	var kept []store.Info
	for _, i := range infos {
		if i.Types > 0 && i.Basis == better {
			kept = append(kept, i)
		}
	}
	return kept
}

func spanText(infos []store.Info) string {
	if len(infos) == 1 {
		return "there is only one"
	}
	var first, last time.Duration = infos[0].Uptime, infos[len(infos)-1].Uptime
	return fmt.Sprintf("there are %d from %s to %s", len(infos), unit.Clock(first), unit.Clock(last))
}
