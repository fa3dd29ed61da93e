package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/internal/report"
	"leaktrack/internal/unit"
	"leaktrack/store"
)

// keepDefault is how many old snapshots of a process stay unless --keep says
// otherwise: enough for every verdict, and for a chart of 600 pixels.
const keepDefault = 100

func dbCommand(c *console) *cli.Command {
	cmd := &cli.Command{
		Name:      "db",
		Usage:     "look after the file: check, compact, prune, backup",
		UsageText: "leaktrack db check|compact|prune|backup [flags] [arguments]",
		Description: `check     reads every byte and says what is damaged and what is still readable
compact   gives back the space that nothing uses any more
prune     thins old snapshots out, so that trends stay
backup    copies the file, also while a watcher writes

Examples:
   leaktrack db check
   leaktrack db prune --older-than 30d --keep 100
   leaktrack db compact
   leaktrack db backup leaktrack-monday.db`,
		Subcommands: []*cli.Command{
			{
				Name:      "check",
				Usage:     "read every byte, say what is damaged and what is still readable",
				UsageText: "leaktrack db check [flags]",
				Description: `The file stays as it is. Exit status 0: it is sound; 2: it is damaged, or no store.

Examples:
   leaktrack db check
   leaktrack --db old.db db check --format json`,
				Flags:  []cli.Flag{formatFlag()},
				Action: func(ctx *cli.Context) error { return c.dbCheck(ctx) },
			},
			{
				Name:      "compact",
				Usage:     "give back the space that nothing uses any more",
				UsageText: "leaktrack db compact",
				Description: `Writes a second file beside the store and renames it over the store: killed at
any moment it leaves the one or the other, whole. A watcher waits meanwhile.

Example:
   leaktrack db compact`,
				Action: func(ctx *cli.Context) error { return c.dbCompact(ctx) },
			},
			{
				Name:      "prune",
				Usage:     "thin old snapshots out, so that trends stay",
				UsageText: "leaktrack db prune [flags] [PROCESS]",
				Description: `Of each process, and of each kind of its snapshots, stay the first, the last and an
even selection between them, --keep in all. With --older-than only snapshots that were
taken longer ago are thinned out; those whose time is not known all stay. --keep 0
with --older-than removes them, and forgets a process of which nothing is left.
The file does not get smaller by that: leaktrack db compact gives the space back.

Examples:
   leaktrack db prune --older-than 30d
   leaktrack db prune --keep 500 Shop.Web
   leaktrack db prune --older-than 26w --keep 0 --dry-run`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "older-than", Usage: "only snapshots taken longer ago than this `AGE`, such as 30d or 12h"},
					&cli.IntFlag{Name: "keep", Value: keepDefault, Usage: "`N` snapshots of each kind stay"},
					&cli.BoolFlag{Name: "dry-run", Usage: "say what would go, and change nothing"},
					formatFlag(),
				},
				Action: func(ctx *cli.Context) error { return c.dbPrune(ctx) },
			},
			{
				Name:      "backup",
				Usage:     "copy the file, also while a watcher writes",
				UsageText: "leaktrack db backup [flags] FILE",
				Description: `The copy is of one moment, and checked to the last byte before it gets its name. A
store with damage is not copied. Writers wait while the bytes are copied.

Examples:
   leaktrack db backup leaktrack-monday.db
   leaktrack --db /var/lib/leaktrack/shop.db db backup --force /backup/shop.db`,
				Flags:  []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "take the place of an older backup"}},
				Action: func(ctx *cli.Context) error { return c.dbBackup(ctx) },
			},
		},
		Action: func(ctx *cli.Context) error {
			if !ctx.Args().Present() {
				return usagef("db needs one of check, compact, prune, backup")
			}
			return usagef("db has no verb %q, only check, compact, prune, backup", ctx.Args().First())
		},
	}
	for _, sub := range cmd.Subcommands {
		sub.OnUsageError = func(ctx *cli.Context, err error, _ bool) error { return flagError(ctx, err) }
		sub.HideHelpCommand = true
		sub.CustomHelpTemplate = strings.Replace(verbHelp, "leaktrack {{", "leaktrack db {{", 1)
		sub.Flags = append(sub.Flags, dbFlag())
		if sub.Name == "prune" {
			sub.BashComplete = c.offerProcesses(sub)
		}
	}
	return cmd
}

func noArguments(ctx *cli.Context) error {
	if ctx.Args().Present() {
		return usagef("db %s takes no arguments, not %q (--db names the file)", ctx.Command.Name, ctx.Args().Slice())
	}
	return nil
}

func (c *console) dbCheck(ctx *cli.Context) error {
	style, err := c.output(ctx)
	if err != nil {
		return err
	}
	if err := noArguments(ctx); err != nil {
		return err
	}
	path := dbPath(ctx)
	h, err := store.Check(path, c.openOptions())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s yet: leaktrack ingest FILE makes it, --db names another", path)
	}
	if err != nil {
		return err
	}
	v := report.Health{File: path, Size: h.Size, Free: h.Free, Names: h.Names, Bases: h.Bases, Unused: h.Unused}
	var infos []store.ProcessInfo
	for _, p := range h.Processes {
		infos = append(infos, store.ProcessInfo{Process: p.Process})
	}
	for i, r := range references(infos) {
		p := h.Processes[i]
		v.Processes = append(v.Processes, report.ProcessHealth{Ref: r.ref, Process: p.Process, Readable: p.Readable, Damaged: p.Damaged, From: p.First, To: p.Last})
	}
	for _, d := range h.Damage {
		v.Damage = append(v.Damage, report.Damage{Where: d.Where, What: d.Err.Error()})
	}
	if err := report.StoreHealth(c.out, style, v); err != nil {
		return err
	}
	if h.Mendable() {
		return fmt.Errorf("%s is as it was before its last write, or has lost nothing; leaktrack db compact mends it, and so does the next write", path)
	}
	if !h.Sound() {
		return fmt.Errorf("%s is damaged; take the file from a backup, or move it away and ingest again", path)
	}
	return nil
}

func (c *console) dbCompact(ctx *cli.Context) error {
	if err := noArguments(ctx); err != nil {
		return err
	}
	path := dbPath(ctx)
	before, after, err := store.Compact(path, c.openOptions())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s yet: leaktrack ingest FILE makes it, --db names another", path)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: %s, was %s\n", unit.Clean(path), unit.Bytes(after), unit.Bytes(before))
	return nil
}

func (c *console) dbPrune(ctx *cli.Context) error {
	style, err := c.output(ctx)
	if err != nil {
		return err
	}
	o := store.PruneOptions{Keep: ctx.Int("keep"), Now: time.Now(), DryRun: ctx.Bool("dry-run")}
	if !ctx.IsSet("older-than") && !ctx.IsSet("keep") {
		return usagef("db prune needs --older-than, --keep or both")
	}
	if ctx.IsSet("older-than") {
		if o.OlderThan, err = unit.ParseUptime(ctx.String("older-than")); err != nil || o.OlderThan <= 0 {
			return usagef("--older-than %q: want an age such as 30d or 12h", ctx.String("older-than"))
		}
	}
	switch {
	case o.Keep < 0:
		return usagef("--keep %d: it takes a number of snapshots", o.Keep)
	case o.Keep == 0 && o.OlderThan == 0:
		return usagef("--keep 0 would remove every snapshot: give --older-than, too")
	}
	// A file that is not there must not be made for this.
	db, err := c.openStore(ctx, true)
	if err != nil {
		return err
	}
	refs, err := choose(db, ctx.Args())
	if err == nil && !o.DryRun {
		err = db.Close()
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	names := map[heap.Process]string{}
	for _, r := range refs {
		names[r.Process] = r.ref
		o.Processes = append(o.Processes, r.Process)
	}
	if !o.DryRun {
		if db, err = c.openStore(ctx, false); err != nil {
			return err
		}
	}
	defer db.Close()
	done, err := db.Prune(o)
	var rows []report.PrunedRow
	for _, p := range done {
		rows = append(rows, report.PrunedRow{Ref: names[p.Process], Process: p.Process, Removed: p.Removed, Left: p.Left})
	}
	// What was done before a failure was done.
	return errors.Join(report.Pruned(c.out, style, rows, o.DryRun), err)
}

func (c *console) dbBackup(ctx *cli.Context) error {
	if ctx.Args().Len() != 1 || ctx.Args().First() == "" {
		return usagef("db backup needs the name of one FILE to write (flags come before it)")
	}
	path, to := dbPath(ctx), ctx.Args().First()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s yet: leaktrack ingest FILE makes it, --db names another", path)
	}
	force := ctx.Bool("force")
	size, err := store.Backup(path, to, force, c.openOptions())
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; --force takes its place", to)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: %s\n", unit.Clean(to), unit.Bytes(size))
	return nil
}
