package store

import (
	"errors"
	"fmt"
)

// The reasons by which a caller decides. They come wrapped in a sentence that
// names the file and, where there is something to do, what to do.
var (
	// ErrConflict is returned by Put when a different snapshot is stored at the
	// same process, uptime and basis; the stored one is kept.
	ErrConflict = errors.New("a different snapshot is stored there")
	// ErrLocked is returned by Open when another process kept the file for
	// longer than [Options.Wait].
	ErrLocked = errors.New("another process is using it")
	// ErrNotStore is returned by Open for a file that leaktrack did not write.
	ErrNotStore = errors.New("not a leaktrack store")
	// ErrEmpty is returned, beside ErrNotStore, when reading a file in which nothing
	// was ever stored: an empty one, or one whose maker was killed.
	ErrEmpty = errors.New("it is empty")
	// ErrVersion is returned for a file or value that a newer leaktrack wrote.
	ErrVersion = errors.New("written by a newer leaktrack")
	// ErrReadOnly is returned by Put when the store was opened for reading.
	ErrReadOnly = errors.New("store is open for reading only")
	// ErrNotFound is returned when the store does not hold the process or the
	// snapshot that was asked for.
	ErrNotFound = errors.New("not in the store")
	// ErrCorrupt is returned when the file is cut or damaged.
	ErrCorrupt = errors.New("store is damaged")
	// ErrMeta comes beside ErrCorrupt when all that is wrong is one of the two meta pages:
	// the file is what it was before its last write, or nothing is missing. The next
	// write mends it.
	ErrMeta = errors.New("a meta page is damaged")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("store is closed")
)

var errEmpty = fmt.Errorf("%w: %w", ErrNotStore, ErrEmpty)
