package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"leaktrack/internal/report"
	"leaktrack/plotting"
	"leaktrack/store"
	"leaktrack/trend"
)

func plotCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "plot",
		Usage:     "growth as a picture, PNG or SVG",
		UsageText: "leaktrack plot [flags] -o FILE [PROCESS]",
		Description: `With --type: the points of each type, the fitted growth and its 95 % interval.
Without: the memory of the process and the types that grow most. The ending of FILE
chooses the form, .png or .svg. With --program: its runs under one another, restarts
marked. With several processes each gets a file of its own, its
name put before the ending; the paths are printed.

Examples:
   leaktrack plot -o leak.png
   leaktrack plot --type 'System.Byte[]' -o leak.png CLRHeapLeak
   leaktrack plot --type 'Shop.*' -o leak.svg 2044
   leaktrack plot --program Shop.Web -o runs.png`,
		Flags: []cli.Flag{
			typeFlag(),
			outputFlag("write the picture to `FILE`, .png or .svg"),
			forceFlag(),
			programFlag(),
			&cli.IntFlag{Name: "width", Value: 600, Usage: "`PIXELS` at the density of a screen; a PNG has twice as many"},
		},
		Action: func(ctx *cli.Context) error { return c.plot(ctx) },
	}
}

func (c *console) plot(ctx *cli.Context) error {
	path := ctx.String("output")
	if path == "" {
		return usagef("plot needs -o FILE, such as -o leak.png")
	}
	format, err := plotting.FormatOf(path)
	if err != nil {
		return usagef("-o %s: %v", path, err)
	}
	if w := ctx.Int("width"); w < 320 || w > 4000 {
		return usagef("--width %d: it takes 320 to 4000 pixels", w)
	}
	patterns, err := typePatterns(ctx.StringSlice("type"))
	if err != nil {
		return err
	}
	db, err := c.openStore(ctx, true)
	if err != nil {
		return err
	}
	defer db.Close()
	if name := ctx.String("program"); name != "" {
		return c.plotProgram(ctx, db, name, patterns, plotting.Options{Width: ctx.Int("width"), Format: format})
	}
	refs, err := choose(db, ctx.Args())
	if err != nil {
		return err
	}
	results, names, err := c.analyse(db, refs, patterns, trend.Options{})
	if err != nil {
		return err
	}
	var failed []error
	drawn := map[string]bool{}
	for _, r := range results {
		target := path
		if len(results) > 1 {
			target = besides(path, r.Ref)
			for n := 2; drawn[target]; n++ {
				target = besides(path, fmt.Sprintf("%.80s-%d", r.Ref, n))
			}
			drawn[target] = true
		}
		if err := mayWrite(target, ctx.Bool("force")); err != nil {
			failed = append(failed, err)
			continue
		}
		err := writeFile(target, shown, func(w io.Writer) error {
			return draw(w, r, names, plotting.Options{Width: ctx.Int("width"), Format: format})
		})
		if err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Fprintln(c.out, target)
	}
	return errors.Join(failed...)
}

// plotProgram draws the runs of a program under one another.
func (c *console) plotProgram(ctx *cli.Context, db *store.DB, name string, patterns []*typePattern, o plotting.Options) error {
	runs, err := oneHost(ctx, db, name)
	if err != nil {
		return err
	}
	judged := trend.Options{}
	typeName := ""
	if len(patterns) > 0 {
		_, names, err := matching(db, runs, patterns)
		if err != nil {
			return err
		}
		if len(names) > 1 {
			return usagef("--program draws one type, and --type names %d", len(names))
		}
		for n := range names {
			typeName = n
		}
		judged.Curves = func(name string) bool { return name == typeName }
	}
	p, err := c.analyseProgram(db, runs, judged)
	if err != nil {
		return err
	}
	path := ctx.String("output")
	if err := mayWrite(path, ctx.Bool("force")); err != nil {
		return err
	}
	if err := writeFile(path, shown, func(w io.Writer) error { return plotting.Program(w, p, typeName, o) }); err != nil {
		return err
	}
	fmt.Fprintln(c.out, path)
	return nil
}

// draw draws the named types of a process, or its memory and growing types.
func draw(w io.Writer, r report.Named, names map[string]bool, o plotting.Options) error {
	if names == nil {
		return plotting.Growth(w, r.Result, o)
	}
	var types []*trend.TypeTrend
	for i := range r.Types {
		if names[r.Types[i].Name] {
			types = append(types, &r.Types[i])
		}
	}
	if len(types) == 1 {
		return plotting.Type(w, r.Result, types[0], o)
	}
	return plotting.Types(w, r.Result, types, o)
}

// longestPart is ample for a name, and far from what a file name may have.
const longestPart = 100

// besides puts the name of a process before the ending of a path, made of
// characters that are safe in a file name. Two names may come out as one.
func besides(path, ref string) string {
	safe := func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', strings.ContainsRune("._-", r):
			return r
		}
		return '-'
	}
	ext := filepath.Ext(path)
	name := strings.Trim(strings.Map(safe, ref), "-.")
	name = name[:min(len(name), longestPart)]
	return strings.TrimSuffix(path, ext) + "-" + name + ext
}
