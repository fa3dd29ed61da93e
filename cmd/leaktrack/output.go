package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
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

// Who may read a new file. What holds all that the store holds is its owner's
// alone; what is made to be shown has the rights that files have by the umask.
const (
	private fs.FileMode = 0o600
	shown   fs.FileMode = 0o666
)

// writeFile writes a file whole or not at all: what was there stays until the
// new content is complete, and a link that leads elsewhere is replaced, not
// followed. A device or pipe is written directly.
func writeFile(path string, mode fs.FileMode, write func(io.Writer) error) error {
	fail := func(err error) error { return fmt.Errorf("writing %s: %w", path, cause(err)) }
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return fmt.Errorf("writing %s: it is a folder", path)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fail(err)
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := createBeside(path, mode)
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name()) // fails once it has been renamed
	if err := write(f); err != nil {
		f.Close()
		return fail(err)
	}
	if info != nil {
		// A file that was closed to others is not opened to them.
		if err := f.Chmod(info.Mode().Perm() & (mode | 0o111)); err != nil {
			f.Close()
			return fail(err)
		}
	}
	if err := f.Close(); err != nil {
		return fail(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fail(err)
	}
	return nil
}

// createBeside makes a new file in the folder of path, under a name that nobody
// can have foreseen, with the given mode less the umask; [os.CreateTemp] knows
// one mode only.
func createBeside(path string, mode fs.FileMode) (*os.File, error) {
	dir, base := filepath.Split(path)
	for range 100 {
		name := filepath.Join(dir, fmt.Sprintf(".%s.%08x", base, rand.Uint32()))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fs.ErrExist
}
