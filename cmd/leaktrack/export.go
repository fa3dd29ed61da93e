package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"leaktrack/internal/unit"
)

func exportCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "every snapshot as JSON Lines",
		UsageText: "leaktrack export [flags] [PROCESS]",
		Description: `One line per snapshot, in a form that leaktrack ingest reads back without loss.

Examples:
   leaktrack export > all.jsonl
   leaktrack export -o leak.jsonl CLRHeapLeak
   leaktrack --db copy.db ingest all.jsonl`,
		Flags: []cli.Flag{
			outputFlag("write to `FILE` instead of standard output"),
		},
		Action: func(ctx *cli.Context) error { return c.export(ctx) },
	}
}

func (c *console) export(ctx *cli.Context) error {
	db, err := c.openStore(ctx, true)
	if err != nil {
		return err
	}
	defer db.Close()
	refs, err := choose(db, ctx.Args())
	if err != nil {
		return err
	}
	write := func(w io.Writer) error {
		bw := bufio.NewWriterSize(w, 1<<20)
		enc := json.NewEncoder(unit.JSONWriter{Writer: bw})
		enc.SetEscapeHTML(false) // type names are full of < and >
		for _, r := range refs {
			for s, err := range db.Snapshots(r.Process) {
				if err != nil {
					return err
				}
				if err := ctx.Context.Err(); err != nil {
					return err
				}
				if err := enc.Encode(s); err != nil {
					return err
				}
			}
		}
		return bw.Flush()
	}
	path := ctx.String("output")
	if path == "" || path == "-" {
		return write(c.out)
	}
	if err := writeFile(path, private, write); err != nil {
		return err
	}
	fmt.Fprintln(c.out, path)
	return nil
}
