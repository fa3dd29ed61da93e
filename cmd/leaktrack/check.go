package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"leaktrack/internal/report"
	"leaktrack/internal/unit"
	"leaktrack/trend"
)

func checkCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "for CI: fail when a type leaks",
		UsageText: "leaktrack check [flags] [PROCESS]",
		Description: `Exit status 0: no type leaks above the limits; 1: one does; 2: it could not be
told, because the snapshots are too few or something failed.

Only the verdict "leak" of a type fails a check, not a suspect and not memory that
grows outside of the GC heap. With limits a leak passes that is above none of them;
a rate or share that is not known is above every limit. The bytes and the share of
types that grow together are counted together, as they are one leak.

The file of --ignore holds a line for each type that may leak, and why:
   Shop.Cache.*             # bounded at 10,000 entries, fills for an hour
   System.Reflection.*      # dynamic methods of the serializer, ticket 812

Examples:
   leaktrack check
   leaktrack check --max-rate 100/h --max-rate 1MiB/h Shop.Web
   leaktrack check --types 'Shop.*' --min-points 10 --ignore leaks.txt Shop.Web
   leaktrack check --junit leaktrack.xml Shop.Web`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "max-rate", Usage: "let pass what grows by no more than `RATE`, such as 100/min (objects) or 64KiB/h; may be repeated"},
			&cli.StringFlag{Name: "max-share", Usage: "let pass what makes up no more than this `PERCENT` of the heap's growth"},
			&cli.IntFlag{Name: "min-points", Value: 3, Usage: "judge nothing by fewer than `N` snapshots"},
			&cli.StringSliceFlag{Name: "types", Usage: "check only types with this whole `NAME`; * stands for anything; may be repeated"},
			&cli.StringFlag{Name: "ignore", Usage: "let pass the types that `FILE` names, each with a reason"},
			&cli.StringFlag{Name: "junit", Usage: "write JUnit XML to `FILE`, too"},
			forceFlag(),
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORM` of the result: text, json or junit"},
		},
		Action: func(ctx *cli.Context) error { return c.check(ctx) },
	}
}

func (c *console) check(ctx *cli.Context) error {
	style := c.style()
	format := ctx.String("format")
	switch format {
	case "text", "junit":
	case "json":
		style.Format = report.JSON
	default:
		return usagef("--format: %q is none of text, json, junit", format)
	}
	limits, ignored, err := checkLimits(ctx)
	if err != nil {
		return err
	}
	junit := ctx.String("junit")
	if ctx.IsSet("junit") {
		if junit == "" {
			return usagef("--junit needs the name of a file")
		}
		if err := mayWrite(junit, ctx.Bool("force")); err != nil {
			return err
		}
	}
	patterns, err := typePatterns(ctx.StringSlice("types"))
	if err != nil {
		return err
	}
	db, err := c.openStore(ctx, true)
	if err != nil {
		return err
	}
	defer db.Close()
	refs, err := choose(db, ctx.Args())
	if err != nil {
		return err
	}
	if len(patterns) > 0 {
		// A check that checks nothing would pass forever, so a pattern that
		// nothing matches is an error. Processes without a match still count.
		_, only, err := matching(db, refs, patterns)
		if err != nil {
			return err
		}
		limits.Types = func(name string) bool { return only[name] }
	}
	results, _, err := c.analyse(db, refs, nil, trend.Options{})
	if err != nil {
		return err
	}
	var checked []report.Checked
	for _, r := range results {
		checked = append(checked, report.Check(r, limits))
	}
	if format == "junit" {
		err = report.JUnit(c.out, checked, limits)
	} else {
		err = report.Checks(c.out, style, checked, limits)
	}
	if err != nil {
		return err
	}
	if junit != "" {
		if err := writeFile(junit, shown, func(w io.Writer) error { return report.JUnit(w, checked, limits) }); err != nil {
			return err
		}
	}
	for _, i := range ignored {
		if !i.pattern.used {
			c.say("%s: no leak for %s, the line may go", i.place, i.pattern.text)
		}
	}
	return verdictOf(checked)
}

// verdictOf turns the outcomes into the status: a leak that was found counts
// more than a process that could not be judged.
func verdictOf(checked []report.Checked) error {
	has := func(o report.CheckOutcome) bool {
		return slices.ContainsFunc(checked, func(c report.Checked) bool { return c.Outcome == o })
	}
	switch {
	case has(report.CheckLeak):
		return errLeak
	case has(report.CheckTooFew):
		for _, c := range checked {
			if c.Outcome == report.CheckTooFew {
				return fmt.Errorf("%s cannot be judged: %s; watch it for longer", c.Ref, c.Reason)
			}
		}
	}
	return nil
}

// checkLimits reads the limits, but for --types, which needs the store.
func checkLimits(ctx *cli.Context) (l report.CheckLimits, ignored []ignoreLine, err error) {
	l = report.CheckLimits{Share: -1, MinPoints: ctx.Int("min-points")}
	if l.MinPoints < 3 {
		return l, nil, usagef("--min-points %d: a verdict needs 3 at least", l.MinPoints)
	}
	for _, text := range ctx.StringSlice("max-rate") {
		rate, err := unit.ParseRate(text)
		if err != nil {
			return l, nil, usagef("--max-rate: %v", err)
		}
		l.Rates = append(l.Rates, rate)
	}
	if ctx.IsSet("max-share") {
		if l.Share, err = unit.ParsePercent(ctx.String("max-share")); err != nil {
			return l, nil, usagef("--max-share: %v", err)
		}
	}
	if !ctx.IsSet("ignore") {
		return l, nil, nil
	}
	if ignored, err = readIgnore(ctx.String("ignore")); err != nil {
		return l, nil, err
	}
	l.Ignore = func(name string) (string, bool) {
		for _, i := range ignored {
			if i.pattern.matches(name) {
				i.pattern.used = true
				return fmt.Sprintf("%s (%s)", i.reason, i.place), true
			}
		}
		return "", false
	}
	return l, ignored, nil
}
