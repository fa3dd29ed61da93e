package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"leaktrack/internal/report"
	"leaktrack/internal/unit"
)

// What a release build stamps in (internal/release); otherwise the build's own
// record stands in.
var (
	version = "" // such as v1.2.0
	commit  = "" // of the source, in full
	date    = "" // of the commit, as in 2026-11-22
)

// Exit statuses. They are fixed: scripts rely on them.
const (
	exitOK     = 0
	exitLeak   = 1 // check found a leak
	exitFailed = 2 // failed or wrong usage
)

// console is where a verb reads and writes.
type console struct {
	in  io.Reader
	out io.Writer // results
	err io.Writer // everything else

	doubts []string // about the stores that were opened; each is said once
}

// say writes one message in the voice of every message: the program's name,
// lower case, no full stop.
func (c *console) say(format string, args ...any) {
	// Names in a message may come out of a hostile dump.
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintf(c.err, "leaktrack: %s\n", unit.Clean(line))
	}
}

// outTerminal returns the terminal that results go to, if they go to one.
func (c *console) outTerminal() (*os.File, bool) {
	out := c.out
	if r, ok := out.(*resultWriter); ok {
		out = r.Writer
	}
	f, ok := out.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// resultWriter remembers that a result could not be written: those who print
// tables do not look, and a status 0 would be a lie when the disk is full.
type resultWriter struct {
	io.Writer
	err error // the first one
}

func (w *resultWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// style says how results are dressed: for a terminal or for a file.
func (c *console) style() report.Style {
	s := report.Style{}
	if f, ok := c.outTerminal(); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			s.Width = w
		}
		s.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return s
}

// errReported ends a verb whose errors have been said one by one already.
var errReported = errors.New("reported")

// errLeak is the result of a check that found one.
var errLeak = errors.New("a leak was found")

// usageError is a wrong call: it carries a hint on what to do.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// run is the program: it returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	results := &resultWriter{Writer: out}
	c := &console{in: in, out: results, err: errOut}
	app := newApp(c)
	err := app.RunContext(ctx, args)
	if (err == nil || errors.Is(err, errLeak)) && results.err != nil {
		err = results.err
	}
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errLeak):
		return exitLeak
	case errors.Is(err, errReported):
	case errors.Is(err, context.Canceled):
		c.say("interrupted")
	case errors.Is(err, syscall.EPIPE):
		// The reader of our output has gone, as in `leaktrack export | head`.
	case errors.As(err, &usage):
		c.say("%s", usage.text)
		c.say("run leaktrack help, or leaktrack VERB --help, for examples")
	default:
		c.say("%v", err)
	}
	return exitFailed
}

const appHelp = `{{.Name}} - {{.Usage}}

Usage:
   {{.UsageText}}

Verbs:{{range .VisibleCommands}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}

Flags:{{range .VisibleFlags}}
   {{.}}{{end}}

Exit status: 0 done; 1 check found a leak; 2 failed or wrong usage.
The snapshots are kept in leaktrack.db in the current folder, or in the file
that $LEAKTRACK_DB or --db names.

Start here:
   leaktrack ingest *.log
   leaktrack trend
   leaktrack plot -o leak.png
`

const verbHelp = `leaktrack {{.Name}} - {{.Usage}}

Usage:
   {{.UsageText}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleFlags}}
Flags (they come before arguments):{{range .VisibleFlags}}
   {{.}}{{end}}
{{end}}`

func newApp(c *console) *cli.App {
	cli.AppHelpTemplate = appHelp
	// VERB --help takes the one, help VERB the other.
	cli.SubcommandHelpTemplate, cli.CommandHelpTemplate = verbHelp, verbHelp
	cli.VersionPrinter = func(*cli.Context) { fmt.Fprintf(c.out, "leaktrack %s\n", versionText()) }
	onUsage := func(ctx *cli.Context, err error, _ bool) error { return flagError(ctx, err) }
	app := &cli.App{
		Name:           "leaktrack",
		HelpName:       "leaktrack",
		Usage:          "which .NET type leaks, how fast, since when",
		UsageText:      "leaktrack [--db FILE] VERB [flags] [arguments]",
		Version:        versionText(),
		Reader:         c.in,
		Writer:         c.out,
		ErrWriter:      c.err,
		Flags:          []cli.Flag{dbFlag()},
		OnUsageError:   onUsage,
		ExitErrHandler: func(*cli.Context, error) {}, // run decides the status
		Suggest:        true,
		// A name such as Dictionary<String, Int32> is one name.
		DisableSliceFlagSeparator: true,
		// The scripts of the completion verb ask with a flag that this switches on.
		EnableBashCompletion: true,
		Action: func(ctx *cli.Context) error {
			if ctx.Args().Present() {
				return unknownVerb(ctx.App, ctx.Args().First())
			}
			return cli.ShowAppHelp(ctx)
		},
	}
	app.Commands = []*cli.Command{
		ingestCommand(c),
		psCommand(c),
		coreCommand(c),
		watchCommand(c),
		listCommand(c),
		showCommand(c),
		diffCommand(c),
		trendCommand(c),
		plotCommand(c),
		reportCommand(c),
		mailCommand(c),
		checkCommand(c),
		metricsCommand(c),
		exportCommand(c),
		dbCommand(c),
		completionCommand(c),
		manCommand(c),
	}
	for _, cmd := range app.Commands {
		cmd.OnUsageError = onUsage
		cmd.HideHelpCommand = true
		if strings.Contains(cmd.UsageText, "[PROCESS]") {
			cmd.BashComplete = c.offerProcesses(cmd)
		}
		if cmd.Name != "completion" && cmd.Name != "man" {
			cmd.Flags = append(cmd.Flags, dbFlag())
		}
	}
	return app
}

func unknownVerb(app *cli.App, name string) error {
	var verbs []string
	for _, cmd := range app.VisibleCommands() {
		verbs = append(verbs, cmd.Name)
	}
	if near := nearest(name, verbs, 1); len(near) > 0 {
		return usagef("there is no verb %q, did you mean %s?", name, near[0])
	}
	return usagef("there is no verb %q; the verbs are %s", name, strings.Join(verbs, ", "))
}

// versionText is the version, the commit it was built from, and the Go that
// built it, as far as they are known.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	name, from := cmp.Or(version, info.Main.Version, "(devel)"), commit
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && from == "" {
			from = s.Value
		}
	}
	// Of a work tree that differs from its commit the stamp says so: abc-dirty.
	hash, dirty, changed := strings.Cut(from, "-")
	if from = hash[:min(12, len(hash))]; changed {
		from += "-" + dirty
	}
	if from != "" && !strings.Contains(name, from) {
		name += " " + from
	}
	return name + " " + info.GoVersion
}
