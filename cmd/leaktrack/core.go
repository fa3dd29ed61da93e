package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/ingest/live"
	"leaktrack/internal/unit"
)

func coreCommand(c *console) *cli.Command {
	return &cli.Command{
		Name:      "core",
		Usage:     "a core file of a running process, for leaktrack ingest",
		UsageText: "leaktrack core [flags] -o FILE PID|NAME",
		Description: `Asks the runtime to write a core. The process stands still meanwhile, the file takes as
much disk as the process takes memory, and it holds everything that the process knows:
passwords and keys too. The process itself writes it, so FILE must be in a folder that the
process may write to, and lies on its side of a container. The program createdump must lie
beside the runtime; where it does not, gcore of gdb writes a core from outside.

Examples:
   leaktrack core -o /tmp/shop.core Shop.Web && leaktrack ingest /tmp/shop.core
   leaktrack core --type heap -o /tmp/shop.core 2044`,
		Flags: []cli.Flag{
			outputFlag("have the core written to `FILE`"),
			&cli.StringFlag{Name: "type", Value: "full", Usage: "`HOW` much: full, or heap, which is smaller but of .NET 9.0 lacks what leaktrack needs unless the runtime's files are at hand"},
			&cli.BoolFlag{Name: "force", Usage: "write over a file that exists"},
		},
		Action: func(ctx *cli.Context) error { return c.core(ctx) },
	}
}

func (c *console) core(ctx *cli.Context) error {
	name := ctx.Args().First()
	if name == "" || ctx.Args().Len() > 1 {
		return usagef("core needs one pid or program name behind its flags; leaktrack ps lists them")
	}
	if ctx.String("output") == "" {
		return usagef("core needs -o FILE")
	}
	kinds := map[string]live.DumpType{"full": live.DumpFull, "heap": live.DumpHeap}
	kind, ok := kinds[ctx.String("type")]
	if !ok {
		return usagef("--type %q: it is full or heap", ctx.String("type"))
	}
	path, err := filepath.Abs(ctx.String("output"))
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil && !ctx.Bool("force") {
		return usagef("%s exists: --force writes over it", path)
	}
	pid, err := strconv.Atoi(name)
	if err != nil || pid <= 0 {
		p, err := findProcess(ctx.Context, name)
		if err != nil {
			return err
		}
		pid = p.PID
	}
	t, err := live.Open(ctx.Context, pid)
	if err != nil {
		return explained(err)
	}
	defer t.Close()
	c.say("%s stands still until its core is written; the core holds all its secrets", t.Process())
	begun := time.Now()
	if err := t.Dump(ctx.Context, path, kind); err != nil {
		return explained(err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		// The process may see another file system than we do.
		inside := fmt.Sprintf("/proc/%d/root%s", pid, path)
		if i, insideErr := os.Stat(inside); insideErr == nil {
			info, err, path = i, nil, inside
		}
	}
	if err != nil {
		return fmt.Errorf("the runtime says that the core is written, but %s: %w", path, cause(err))
	}
	// It holds all secrets; createdump makes it so, too.
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, info.Mode().Perm()&0o700); err != nil {
			c.say("others can read %s: %v", path, cause(err))
		}
	}
	c.say("%s in %s", unit.Bytes(info.Size()), unit.Duration(time.Since(begun)))
	fmt.Fprintln(c.out, path)
	return nil
}
