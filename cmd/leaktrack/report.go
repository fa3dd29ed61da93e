package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/internal/report"
	"leaktrack/plotting"
	"leaktrack/store"
	"leaktrack/trend"
)

func limitFlag() cli.Flag {
	return &cli.StringFlag{Name: "limit", Usage: "say when growth reaches this `SIZE`, such as 2GiB"}
}

func programFlag() cli.Flag {
	return &cli.StringFlag{Name: "program", Usage: "judge all runs of the program with this `NAME` together"}
}

func reportCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "one self-contained HTML file: diagnosis, charts, tables",
		UsageText: "leaktrack report [flags] -o FILE [PROCESS]",
		Description: `For each process the diagnosis, its memory, the groups that grow with chart, rate,
interval, share and since when, a table that can be sorted, doubts, and the snapshots
used. The file needs no other and asks nothing of the network.

Examples:
   leaktrack report -o report.html
   leaktrack report -o leak.html CLRHeapLeak
   leaktrack report --program Shop.Web --limit 2GiB -o shop.html`,
		Flags: []cli.Flag{
			outputFlag("write the page to `FILE`"),
			forceFlag(),
			&cli.IntFlag{Name: "top", Value: 20, Usage: "at most `N` types per table"},
			limitFlag(),
			programFlag(),
		},
		Action: func(ctx *cli.Context) error { return c.report(ctx) },
	}
}

func (c *console) report(ctx *cli.Context) error {
	path := ctx.String("output")
	if path == "" {
		return usagef("report needs -o FILE, such as -o report.html")
	}
	if err := mayWrite(path, ctx.Bool("force")); err != nil {
		return err
	}
	f, err := c.findings(ctx)
	if err != nil {
		return err
	}
	page, err := f.page(mostLeads, f.results, true)
	if err != nil {
		return err
	}
	if err := writeFile(path, shown, func(w io.Writer) error { return report.HTML(w, page) }); err != nil {
		return err
	}
	fmt.Fprintln(c.out, path)
	return nil
}

// findings is what report and mail tell of.
type findings struct {
	results   []report.Named
	program   *trend.ProgramResult // nil without --program
	snapshots [][]report.SnapshotRow
	top       int
	made      time.Time
}

// findings judges the processes, or the runs of the program, that the flags
// and the argument name.
func (c *console) findings(ctx *cli.Context) (*findings, error) {
	f := &findings{top: ctx.Int("top"), made: time.Now()}
	if f.top <= 0 {
		return nil, usagef("--top %d: it takes a positive number", f.top)
	}
	o, err := limitOf(ctx)
	if err != nil {
		return nil, err
	}
	db, err := c.openStore(ctx, true)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var refs []reference
	if name := ctx.String("program"); name != "" {
		if refs, err = oneHost(ctx, db, name); err != nil {
			return nil, err
		}
		if f.program, err = c.analyseProgram(db, refs, o); err != nil {
			return nil, err
		}
		for i, r := range f.program.Runs {
			f.results = append(f.results, report.Named{Ref: refs[i].ref, Result: r})
		}
	} else {
		if refs, err = choose(db, ctx.Args()); err != nil {
			return nil, err
		}
		if f.results, _, err = c.analyse(db, refs, nil, o); err != nil {
			return nil, err
		}
	}
	for i := range f.results {
		infos, err := db.Infos(refs[i].Process)
		if err != nil {
			return nil, err
		}
		f.snapshots = append(f.snapshots, snapshotRows(infos))
	}
	return f, nil
}

// oneHost returns the runs of a program, which are all of one host.
func oneHost(ctx *cli.Context, db *store.DB, name string) ([]reference, error) {
	if ctx.Args().Present() {
		return nil, usagef("--program takes all runs of a program, so no PROCESS")
	}
	runs, err := runsOf(db, name)
	if err == nil && len(byHost(runs)) > 1 {
		err = fmt.Errorf("%s ran on several hosts, which are judged one by one: name a PROCESS instead of --program", name)
	}
	return runs, err
}

func snapshotRows(infos []store.Info) []report.SnapshotRow {
	var out []report.SnapshotRow
	for _, i := range infos {
		out = append(out, report.SnapshotRow{Uptime: i.Uptime, Taken: i.Taken, Basis: i.Basis, Source: i.Source, Complete: i.Complete,
			Types: i.Types, CountersOnly: i.CountersOnly})
	}
	return out
}

// mostLeads is how many groups of a process get a chart.
const mostLeads = 10

// phoneWidth is the room for a chart on a phone, in CSS pixels.
const phoneWidth = 360

// page draws the charts of the findings. Of each process at most leads groups
// are drawn; drawn chooses the processes that are, and narrow asks for every
// chart in the width of a phone, too.
func (f *findings) page(leads int, drawn []report.Named, narrow bool) (report.Page, error) {
	p := report.Page{Made: f.made, Version: versionText(), Top: f.top}
	n := 0
	var failed error
	chart := func(alt string, draw func(io.Writer, plotting.Options) error) *report.Chart {
		var b, phone bytes.Buffer
		err := draw(&b, plotting.Options{})
		if err == nil && narrow {
			err = draw(&phone, plotting.Options{Width: phoneWidth})
		}
		if err != nil {
			if !errors.Is(err, plotting.ErrNothing) {
				failed = errors.Join(failed, err)
			}
			return nil
		}
		n++
		return &report.Chart{Alt: alt, PNG: b.Bytes(), Narrow: phone.Bytes(), CID: fmt.Sprintf("chart%d@leaktrack", n)}
	}
	if f.program != nil {
		p.Program = &report.ProgramPart{ProgramResult: f.program, Chart: chart("the runs of "+f.program.Program+" under one another",
			func(w io.Writer, o plotting.Options) error { return plotting.Program(w, f.program, "", o) })}
	}
	wanted := map[string]bool{}
	for _, r := range drawn {
		wanted[r.Ref] = true
	}
	for i, r := range f.results {
		s := report.Section{Named: r}
		if i < len(f.snapshots) {
			s.Snapshots = f.snapshots[i]
		}
		var found []report.Lead
		found, s.MoreLeads = report.Leads(r.Result, max(leads, 0))
		if wanted[r.Ref] {
			s.Memory = chart("memory of "+r.Ref+" over uptime", func(w io.Writer, o plotting.Options) error { return plotting.Overview(w, r.Result, o) })
			if len(found) > 1 {
				s.Shares = chart("share of growth of each group", func(w io.Writer, o plotting.Options) error { return plotting.Shares(w, r.Result, o) })
			}
		}
		for _, l := range found {
			x := report.LeadChart{Lead: l}
			if wanted[r.Ref] {
				x.Chart = chart(l.Name+" over uptime", func(w io.Writer, o plotting.Options) error { return plotting.Type(w, r.Result, l.TypeTrend, o) })
			}
			s.Leads = append(s.Leads, x)
		}
		p.Sections = append(p.Sections, s)
	}
	return p, failed
}
