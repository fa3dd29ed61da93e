package main

import (
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/internal/report"
	"leaktrack/internal/unit"
	"leaktrack/store"
	"leaktrack/trend"
)

func typeFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "type", Usage: "only the type with this whole `NAME`; * stands for anything; may be repeated"}
}

func trendCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "trend",
		Usage:     "growth per type with interval and verdict",
		UsageText: "leaktrack trend [flags] [PROCESS]",
		Description: `For each process: a diagnosis, then the growing types with their rate and its 95 %
interval, first and last values and share of all growth.

Examples:
   leaktrack trend
   leaktrack trend --type 'System.Byte[]' CLRHeapLeak
   leaktrack trend --type 'Shop.*' --format csv 2044
   leaktrack trend --all --top 100
   leaktrack trend --limit 2GiB Shop.Web
   leaktrack trend --program Shop.Web
   leaktrack trend --type Shop.Cart --explain`,
		Flags: []cli.Flag{
			typeFlag(),
			&cli.IntFlag{Name: "top", Value: 20, Usage: "at most `N` types per process"},
			&cli.BoolFlag{Name: "all", Usage: "every type, growing or not"},
			limitFlag(),
			programFlag(),
			&cli.BoolFlag{Name: "explain", Usage: "print every number that led to the verdict of the types named by --type"},
			formatFlag(),
		},
		Action: func(ctx *cli.Context) error { return c.trend(ctx) },
	}
}

func (c *console) trend(ctx *cli.Context) error {
	style, err := c.output(ctx)
	if err != nil {
		return err
	}
	top, err := topOf(ctx)
	if err != nil {
		return err
	}
	patterns, err := typePatterns(ctx.StringSlice("type"))
	if err != nil {
		return err
	}
	o, err := limitOf(ctx)
	if err != nil {
		return err
	}
	if ctx.Bool("explain") {
		if len(patterns) == 0 {
			return usagef("--explain explains the types that --type names")
		}
		o.Explain = func(name string) bool {
			return slices.ContainsFunc(patterns, func(p *typePattern) bool { return p.matches(name) })
		}
	}
	db, err := c.openStore(ctx, true)
	if err != nil {
		return err
	}
	defer db.Close()
	shown := report.TrendOptions{All: ctx.Bool("all"), Top: max(top, 0)}
	if name := ctx.String("program"); name != "" {
		if ctx.Args().Present() {
			return usagef("--program takes all runs of a program, so no PROCESS")
		}
		return c.trendProgram(ctx, db, style, name, patterns, o, shown)
	}
	refs, err := choose(db, ctx.Args())
	if err != nil {
		return err
	}
	results, names, err := c.analyse(db, refs, patterns, o)
	if err != nil {
		return err
	}
	shown.Only = names
	if ctx.Bool("explain") && style.Format == report.Table {
		first := true
		for _, r := range results {
			for i := range r.Types {
				if !names[r.Types[i].Name] {
					continue
				}
				if !first {
					fmt.Fprintln(c.out)
				}
				first = false
				report.Explain(c.out, style, r, &r.Types[i])
			}
		}
		return nil
	}
	return report.Trends(c.out, style, results, shown)
}

// byHost parts runs by host, which they are sorted by.
func byHost(runs []reference) [][]reference {
	var out [][]reference
	for i, r := range runs {
		if i == 0 || r.Process.Host != runs[i-1].Process.Host {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], r)
	}
	return out
}

// limitOf reads --limit.
func limitOf(ctx *cli.Context) (trend.Options, error) {
	o := trend.Options{}
	text := ctx.String("limit")
	if text == "" {
		return o, nil
	}
	var err error
	if o.LimitBytes, err = unit.ParseBytes(text); err != nil {
		return o, usagef("--limit: %v", err)
	}
	if o.LimitBytes == 0 {
		return o, usagef("--limit %s: a limit is more than nothing", text)
	}
	return o, nil
}

// runsOf returns the runs of the program with this name, on whatever host, in
// the order of trend.AnalyzeProgram.
func runsOf(db *store.DB, name string) ([]reference, error) {
	infos, err := db.Processes()
	if err != nil {
		return nil, err
	}
	var runs []reference
	var programs []string
	for _, r := range references(infos) {
		programs = append(programs, r.Process.Program)
		if r.Process.Program == name || strings.TrimSuffix(r.Process.Program, ".exe") == name {
			runs = append(runs, r)
		}
	}
	if len(runs) == 0 {
		slices.Sort(programs)
		programs = slices.Compact(programs)
		return nil, fmt.Errorf("no program %q is stored; there %s", name, are(nearest(name, programs, 5), programs))
	}
	slices.SortStableFunc(runs, func(a, b reference) int { return a.Process.Compare(b.Process) })
	return runs, nil
}

// sequences are the snapshots of each run.
func sequences(db *store.DB, runs []reference) []iter.Seq2[*heap.Snapshot, error] {
	var out []iter.Seq2[*heap.Snapshot, error]
	for _, r := range runs {
		out = append(out, db.Snapshots(r.Process))
	}
	return out
}

// trendProgram judges all runs of one program together.
func (c *console) trendProgram(ctx *cli.Context, db *store.DB, style report.Style, name string, patterns []*typePattern, o trend.Options, shown report.TrendOptions) error {
	runs, err := runsOf(db, name)
	if err != nil {
		return err
	}
	if len(patterns) > 0 {
		if _, shown.Only, err = matching(db, runs, patterns); err != nil {
			return err
		}
	}
	// Runs on different hosts are different processes under different load; each
	// host is judged for itself.
	for i, own := range byHost(runs) {
		var refs []string
		for _, r := range own {
			refs = append(refs, r.ref)
		}
		p, err := c.analyseProgram(db, own, o)
		if err != nil {
			return err
		}
		if i > 0 && style.Format == report.Table {
			fmt.Fprintln(c.out)
		}
		if err := report.Program(c.out, style, p, refs, shown); err != nil {
			return err
		}
	}
	return nil
}

// analyseProgram computes the trend of the runs of a program.
func (c *console) analyseProgram(db *store.DB, runs []reference, o trend.Options) (*trend.ProgramResult, error) {
	p, err := trend.AnalyzeProgram(sequences(db, runs), o)
	if err == nil {
		p.Warnings = append(p.Warnings, c.doubts...)
	}
	return p, err
}

// analyse computes the trend of each process. With patterns it keeps the
// processes that have a matching type, and returns the names that match.
func (c *console) analyse(db *store.DB, refs []reference, patterns []*typePattern, o trend.Options) ([]report.Named, map[string]bool, error) {
	var only map[string]bool
	if len(patterns) > 0 {
		var err error
		if refs, only, err = matching(db, refs, patterns); err != nil {
			return nil, nil, err
		}
		o.Curves = func(name string) bool { return only[name] }
	}
	var results []report.Named
	for _, ref := range refs {
		bar := c.progress("judging " + unit.Shorten(ref.ref, 40))
		o.Progress = bar.set
		r, err := trend.Analyze(db.Snapshots(ref.Process), o)
		bar.done()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", ref.ref, err)
		}
		r.Warnings = append(r.Warnings, c.doubts...)
		results = append(results, report.Named{Ref: ref.ref, Result: r})
	}
	return results, only, nil
}

// matching returns the processes that have a type of one of the patterns, and
// the names of these types. A pattern that nothing matches is an error.
func matching(db *store.DB, refs []reference, patterns []*typePattern) ([]reference, map[string]bool, error) {
	only := map[string]bool{}
	var all []string
	var chosen []reference
	for _, ref := range refs {
		names, err := db.TypeNames(ref.Process)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, names...)
		found := false
		// A type that some snapshots name in short is found by either name.
		var j heap.Join
		spelled := map[string]string{}
		for _, name := range names {
			j.Add(name, true)
			spelled[heap.CanonicalName(name)] = name
		}
		for _, name := range names {
			for _, p := range patterns {
				if p.matches(name) {
					p.used, found, only[name] = true, true, true
					if full, _ := j.Full(name, true); full != "" {
						only[spelled[full]] = true
					}
				}
			}
		}
		if found {
			chosen = append(chosen, ref)
		}
	}
	for _, p := range patterns {
		if !p.used {
			return nil, nil, unknownType(p.text, all)
		}
	}
	return chosen, only, nil
}

// typePattern is one --type: a whole name in which * stands for anything. Both
// sides are compared in the canonical spelling too, so that a name may be typed
// as any tool prints it.
type typePattern struct {
	text string
	re   *regexp.Regexp
	used bool
}

func typePatterns(texts []string) ([]*typePattern, error) {
	var out []*typePattern
	for _, text := range texts {
		if text == "" {
			return nil, usagef("--type needs the name of a type")
		}
		parts := strings.Split(text, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		re, err := regexp.Compile("(?s)^" + strings.Join(parts, ".*") + "$")
		if err != nil {
			return nil, usagef("--type %q: %v", text, err)
		}
		out = append(out, &typePattern{text: text, re: re})
	}
	return out, nil
}

func (p *typePattern) matches(name string) bool {
	return name == p.text || p.re.MatchString(name) || p.re.MatchString(heap.CanonicalName(name)) ||
		!strings.Contains(p.text, "*") && heap.CanonicalName(p.text) == heap.CanonicalName(name)
}

func unknownType(text string, all []string) error {
	slices.Sort(all)
	all = slices.Compact(all)
	near := nearest(text, all, 5)
	if len(near) == 0 {
		return fmt.Errorf("no type %q in the store: --type takes a whole name, or a pattern such as '*%s*'; leaktrack show --all lists them", text, strings.Trim(text, "*"))
	}
	for i := range near {
		near[i] = unit.Shorten(near[i], 100)
	}
	return fmt.Errorf("no type %q in the store; the nearest names are %s", text, strings.Join(near, ", "))
}
