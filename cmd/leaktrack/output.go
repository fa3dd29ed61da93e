package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"leaktrack/internal/mail"
	"leaktrack/internal/report"
	"leaktrack/plotting"
)

func outputFlag(usage string) cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: usage}
}

func forceFlag() cli.Flag {
	return &cli.BoolFlag{Name: "force", Usage: "overwrite the output even if leaktrack did not make it"}
}

// marks are what stands near the start of every file of these verbs.
var marks = []string{plotting.Maker, report.PageMaker, report.JUnitMaker, mail.Maker}

// markRoom is how far into a file its mark is looked for.
const markRoom = 8 << 10

// mayWrite refuses to overwrite a file that leaktrack did not make: a slip of
// the hand behind -o must not cost anybody's work.
func mayWrite(path string, force bool) error {
	info, err := os.Stat(path)
	if err != nil || force || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil // writing says what is wrong with it, if anything
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, markRoom))
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	for _, m := range marks {
		if bytes.Contains(head, []byte(m)) {
			return nil
		}
	}
	return fmt.Errorf("%s exists and was not made by leaktrack; --force overwrites it", path)
}

// cause drops the path from an error whose message names it already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// writeFile writes a file whole or not at all: what was there stays until the
// new content is complete. A device or pipe is written directly.
func writeFile(path string, write func(io.Writer) error) error {
	fail := func(err error) error { return fmt.Errorf("writing %s: %w", path, cause(err)) }
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return fmt.Errorf("writing %s: it is a folder", path)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fail(err)
		}
		return errors.Join(write(f), f.Close())
	}
	dir, base := filepath.Split(path)
	f, err := os.CreateTemp(cmp.Or(dir, "."), "."+base+".*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name()) // fails once it has been renamed
	if err := write(f); err != nil {
		f.Close()
		return fail(err)
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return fail(err)
	}
	if err := f.Close(); err != nil {
		return fail(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fail(err)
	}
	return nil
}
