package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"leaktrack/internal/unit"
)

func manCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "the manual page",
		UsageText: "leaktrack man",
		Description: `Prints all of the help as a manual page, for man to show or to keep.

Examples:
   leaktrack man | man -l -
   leaktrack man > /usr/local/share/man/man1/leaktrack.1`,
		Action: func(ctx *cli.Context) error {
			if ctx.Args().Present() {
				return usagef("man takes no arguments, not %q", ctx.Args().Slice())
			}
			return manPage(c.out, ctx.App, versionText(), date)
		},
	}
}

// manPage writes the manual page of an app in the man(7) macros. The library
// has a way of its own, by Markdown, in which a description with examples
// becomes one paragraph and *.log is set in italics.
func manPage(w io.Writer, app *cli.App, version, date string) error {
	p := &page{}
	p.raw(`.TH LEAKTRACK 1 "%s" "leaktrack %s"`, cmp.Or(date, "not released"), version)
	p.macro(".SH", "NAME")
	p.raw("%s \\- %s", roff(app.Name), roff(app.Usage))
	p.macro(".SH", "SYNOPSIS")
	p.bold(app.UsageText)
	p.macro(".SH", "DESCRIPTION")
	p.text(`leaktrack reads heap snapshots of .NET processes from logs, dumps, traces, cores and running processes, keeps them in one file by process and uptime, fits a growth rate to every type, and gives a verdict with its uncertainty.

PROCESS is a name, a pid, or name/pid. Flags come before arguments. Results go to standard output, everything else to standard error.`)
	p.macro(".SH", "FLAGS")
	p.flags(app.VisibleFlags())
	p.macro(".SH", "VERBS")
	for _, cmd := range app.VisibleCommands() {
		if cmd.Name == "help" {
			continue
		}
		p.verb("leaktrack", cmd)
	}
	p.macro(".SH", "EXIT STATUS")
	p.items([][2]string{
		{"0", "done"},
		{"1", "check found a leak"},
		{"2", "failed or wrong usage"},
	})
	p.macro(".SH", "ENVIRONMENT")
	p.items([][2]string{
		{dbVariable, "the file that keeps the snapshots, where --db names none"},
		{passwordVariable, "the password of --user, where --password-file names none"},
		{"NO_COLOR", "if set to anything, no colour on a terminal"},
		{"TMPDIR", "where the diagnostics socket of a process is looked for whose own setting cannot be read"},
	})
	p.macro(".SH", "FILES")
	p.items([][2]string{{defaultDB, "the snapshots, in the current folder; made with mode 0600"}})
	p.macro(".SH", "EXAMPLES")
	p.text("   leaktrack ingest *.log\n   leaktrack trend\n   leaktrack plot -o leak.png")
	_, err := io.WriteString(w, p.String())
	return err
}

// page collects the lines of a manual page.
type page struct{ strings.Builder }

func (p *page) raw(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) macro(name string, args ...string) {
	p.WriteString(name)
	for _, a := range args {
		fmt.Fprintf(p, ` "%s"`, strings.ReplaceAll(roff(a), `"`, `\(dq`))
	}
	p.WriteByte('\n')
}

func (p *page) bold(text string) { p.macro(".B", text) }

func (p *page) verb(above string, cmd *cli.Command) {
	name := above + " " + cmd.Name
	p.macro(".SS", name)
	p.text(sentence(cmd.Usage))
	p.macro(".PP")
	p.bold(cmd.UsageText)
	if cmd.Description != "" {
		p.macro(".PP")
		p.text(cmd.Description)
	}
	p.flags(cmd.VisibleFlags())
	for _, sub := range cmd.Subcommands {
		if !sub.Hidden {
			p.verb(name, sub)
		}
	}
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

func (p *page) flags(flags []cli.Flag) {
	for _, f := range flags {
		// The library's own line: names and value, a tab, the explanation.
		names, usage, _ := strings.Cut(f.String(), "\t")
		p.macro(".TP")
		p.bold(strings.TrimSpace(names))
		p.raw("%s", roff(strings.TrimSpace(strings.ReplaceAll(usage, "(default: false)", ""))))
	}
}

func (p *page) items(rows [][2]string) {
	for _, r := range rows {
		p.macro(".TP")
		p.bold(r[0])
		p.raw("%s", roff(r[1]))
	}
}

// text writes the paragraphs of a help text. Lines that are indented or hold
// columns stay as they are.
func (p *page) text(s string) {
	for i, paragraph := range strings.Split(strings.Trim(s, "\n"), "\n\n") {
		if i > 0 {
			p.macro(".PP")
		}
		literal := false
		for line := range strings.SplitSeq(paragraph, "\n") {
			if keep := strings.Contains(line, "   "); keep != literal {
				literal = keep
				if keep {
					p.macro(".EX")
				} else {
					p.macro(".EE")
				}
			}
			p.raw("%s", roff(line))
		}
		if literal {
			p.macro(".EE")
		}
	}
}

// roff makes text safe for roff: what stands in it is shown, not obeyed.
func roff(s string) string {
	s = unit.Clean(s)
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
