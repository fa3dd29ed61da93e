package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// traceMark is what a .nettrace file begins with.
const traceMark = "Nettrace"

// mayWriteTrace refuses to take the place of a file that is no trace.
func mayWriteTrace(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return nil
	}
	if err == nil && info.Mode().IsRegular() {
		head := make([]byte, len(traceMark))
		f, openErr := os.Open(path)
		if err = openErr; err == nil {
			defer f.Close()
			if _, err := f.ReadAt(head, 0); err == nil && string(head) == traceMark {
				return nil
			}
		}
	}
	if err != nil {
		return fmt.Errorf("saving a trace to %s: %w", path, cause(err))
	}
	return fmt.Errorf("%s exists and is no trace; name another file", path)
}

// traceFile is written under a name that nobody can have foreseen, readable by
// its owner alone, and gets its own when it is closed. A link that somebody has
// laid at the name is replaced, not followed.
type traceFile struct {
	*os.File
	path string
}

func newTraceFile(path string) (*traceFile, error) {
	f, err := createBeside(path, private)
	if err != nil {
		return nil, cause(err)
	}
	return &traceFile{f, path}, nil
}

func (t *traceFile) Close() error {
	err := t.File.Close()
	if err == nil {
		err = os.Rename(t.Name(), t.path)
	}
	if err != nil {
		os.Remove(t.Name())
	}
	return cause(err)
}
