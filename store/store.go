package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// DefaultWait is how long [Open] waits for the lock of another process unless
// [Options.Wait] says otherwise.
const DefaultWait = 10 * time.Second

// lockRetry is the pause between two attempts at the lock. A Put holds it for
// some milliseconds, so a shorter pause would gain nothing.
const lockRetry = 10 * time.Millisecond

// growStep is by how much the file grows at a time once it is of this size;
// below, it doubles. bbolt's own 16 MiB would make a small store a big file.
const growStep = 512 << 10

// Options say how a store is opened. The zero value opens for reading and writing.
type Options struct {
	// ReadOnly opens for reading: the file must exist and stays byte for byte
	// as it is. Several readers may have it open at once.
	ReadOnly bool
	// Wait is how long to wait for a lock that another process holds; 0 means
	// [DefaultWait], negative not at all.
	Wait time.Duration
	// Waiting, unless nil, is called once, as soon as it is known that another
	// process holds the lock and before the wait.
	Waiting func(path string)
	// Warning, unless nil, is called with what is wrong with a file that can be used
	// all the same: [ErrMeta] and how it shows. The text does not name the file.
	Warning func(path, text string)
	// Verified, unless nil, spares the check of a file that has not changed since
	// it was closed by an Open with the same Verified.
	Verified *Verified

	// noSync leaves out the syncs, to time the work without the disk.
	noSync bool
}

// DB is an open store. Its methods may be called from several goroutines.
//
// The file is locked as long as the DB is open: exclusively for writing, shared for
// reading. Whoever writes for hours, such as a watcher, therefore opens, puts
// and closes for each snapshot, and works without the store in between.
type DB struct {
	path     string
	readOnly bool
	bolt     *bbolt.DB
	file     *os.File // the one that bolt works on, which closes it
	noSync   bool
	verified *Verified

	mu     sync.Mutex // held while writing
	w      *writer    // what Put knows of the file; nil after a failed one
	failed error      // of a commit; nothing more is written
	closed bool
}

// Open opens the store in the file path. Unless o says ReadOnly the file is
// created (with mode 0600) when it does not exist or is empty.
//
// It fails with [ErrLocked], [ErrNotStore], [ErrVersion], [ErrCorrupt],
// [fs.ErrNotExist] when reading what is not there, or with what the operating
// system says. The structure of the whole file is checked first, which
// takes a few milliseconds per 10 MB.
func Open(path string, o Options) (*DB, error) {
	db := &DB{path: path, readOnly: o.ReadOnly}
	if err := db.open(o); err != nil {
		return nil, fmt.Errorf("opening store %s: %w", path, advise(err, o.ReadOnly))
	}
	return db, nil
}

// advise adds what to do about an error of the operating system.
func advise(err error, readOnly bool) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) && readOnly:
		return fmt.Errorf("%w; leaktrack ingest makes it", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; make its folder first", err)
	case errors.Is(err, fs.ErrPermission) && readOnly:
		return fmt.Errorf("%w; it needs the right to read the file", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; it needs the right to write the file, or to create it in its folder", err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w; nothing of this was stored, free some space and repeat", err)
	case errors.Is(err, ErrVersion):
		return fmt.Errorf("%w; use that version or another file", err)
	case errors.Is(err, ErrNotStore):
		return fmt.Errorf("%w; name another file", err)
	case errors.Is(err, ErrMeta):
		return fmt.Errorf("%w; leaktrack db compact mends it", err)
	case errors.As(err, new(mixedState)):
		return fmt.Errorf("%w; take the file from a backup, copy the original again with leaktrack db backup, or move it away and ingest again", err)
	case errors.Is(err, ErrCorrupt):
		return fmt.Errorf("%w; take the file from a backup, or move it away and ingest again", err)
	case errors.Is(err, ErrLocked):
		return fmt.Errorf("%w; try again when it has finished", err)
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return advise(fmt.Errorf("%w: %w", ErrCorrupt, err), readOnly)
	}
	return err
}

// guard runs f, which works on mapped memory, and turns a panic of bbolt or a
// fault (the file was cut while it was mapped) into [ErrCorrupt].
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	return f()
}

func (db *DB) open(o Options) error {
	switch info, err := os.Stat(db.path); {
	case err == nil && info.IsDir():
		return fmt.Errorf("%w: it is a directory", ErrNotStore)
	case err == nil && !info.Mode().IsRegular():
		// Opening a pipe would wait for its other end.
		return fmt.Errorf("%w: it is no regular file", ErrNotStore)
	case errors.Is(err, fs.ErrNotExist) && o.ReadOnly, err != nil && !errors.Is(err, fs.ErrNotExist):
		return bare(err)
	}
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	a := &acquirer{o: o}
	opts := &bbolt.Options{ReadOnly: o.ReadOnly, OpenFile: a.open, NoSync: o.noSync, NoGrowSync: false, NoStatistics: true,
		FreelistType: bbolt.FreelistMapType, Timeout: time.Millisecond}
	err := guard(func() (err error) {
		db.bolt, err = bbolt.Open(db.path, 0o600, opts)
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) { // only where canLock is false
		if o.Waiting != nil {
			o.Waiting(db.path)
		}
		opts.Timeout = max(o.Wait, time.Millisecond)
		err = guard(func() (err error) {
			db.bolt, err = bbolt.Open(db.path, 0o600, opts)
			return err
		})
		if errors.Is(err, bolterrors.ErrTimeout) {
			err = lockedFor(o.Wait)
		}
	}
	if err == nil {
		db.bolt.AllocSize = growStep
		db.file, db.noSync, db.verified = a.file, o.noSync, o.Verified
		if a.fresh {
			// Where the check was made without a lock, somebody may have been
			// faster.
			a.fresh, err = db.isFresh()
		}
		switch {
		case err != nil:
		case a.fresh && o.ReadOnly:
			err = errEmpty
		case a.fresh:
			err = db.create(o)
		default:
			err = db.checkVersion()
		}
	}
	if err == nil && a.doubt != "" && o.Warning != nil {
		o.Warning(db.path, a.doubt)
	}
	if err != nil {
		if canLock && a.fresh && a.file != nil && !o.ReadOnly {
			// Nothing was stored yet; the next Open starts again from an empty file.
			_ = a.file.Truncate(0)
		}
		if db.bolt != nil {
			_ = guard(db.bolt.Close)
		}
		if a.file != nil {
			_ = a.file.Close() // bbolt may have panicked before it could
		}
		return bare(err)
	}
	return nil
}

// bare drops the path from an error that says it: ours says it already.
func bare(err error) error {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	return err
}

func lockedFor(wait time.Duration) error {
	if wait < 0 {
		return ErrLocked
	}
	return fmt.Errorf("%w: waited %v", ErrLocked, wait)
}

// acquirer opens, locks and checks the file before bbolt sees it.
type acquirer struct {
	o     Options
	file  *os.File
	fresh bool // nothing was ever stored in the file
	// unchecked leaves out the check of the pages, for who looks at damage.
	unchecked bool
	doubt     string // what is wrong with a file that can be used all the same
}

func (a *acquirer) open(path string, flag int, mode os.FileMode) (*os.File, error) {
	deadline := time.Now().Add(a.o.Wait)
	told := false
	for {
		f, err := os.OpenFile(path, flag, mode)
		if err != nil {
			return nil, err
		}
		locked, err := tryLock(f, a.o.ReadOnly)
		if err == nil && locked {
			var replaced bool
			if replaced, err = isReplaced(f, path); err == nil && !replaced {
				if err = a.check(f); err == nil {
					a.file = f
					return f, nil
				}
			}
		}
		f.Close()
		if err != nil {
			return nil, err
		}
		if !told && !locked {
			told = true
			if a.o.Waiting != nil && a.o.Wait > 0 {
				a.o.Waiting(path)
			}
		}
		if time.Now().After(deadline) {
			return nil, lockedFor(a.o.Wait)
		}
		time.Sleep(lockRetry)
	}
}

// isReplaced reports whether the name leads to another file by now: whoever
// had the lock may have put a compacted copy in its place.
func isReplaced(f *os.File, path string) (bool, error) {
	have, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return !os.SameFile(have, now), nil
}

func (a *acquirer) check(f *os.File) error {
	if a.unchecked {
		return nil
	}
	err := a.checkOnce(f)
	for range 5 {
		if canLock || !errors.Is(err, ErrCorrupt) && a.doubt == "" {
			break
		}
		// Somebody may be writing; what is damaged stays damaged.
		time.Sleep(20 * time.Millisecond)
		err = a.checkOnce(f)
	}
	return err
}

func (a *acquirer) checkOnce(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	a.fresh, a.doubt = false, ""
	if size > 0 && unfinished(f, size) {
		if !a.o.ReadOnly {
			if err := f.Truncate(0); err != nil {
				return err
			}
		}
		size = 0
	}
	if size == 0 {
		if a.o.ReadOnly {
			return errEmpty
		}
		a.fresh = true
		return nil
	}
	if !a.o.Verified.holds(f, info) {
		if a.fresh, err = verify(f, size); err != nil {
			return err
		}
	}
	m, err := readMeta(f, size)
	if err != nil {
		return err
	}
	if page, err := otherMeta(f, m); err != nil {
		a.doubt = fmt.Sprintf("%v (page %d: %v): the last write may be missing; the next one mends it, and so does leaktrack db compact", ErrMeta, page, err)
	}
	return nil
}

// isFresh reports whether nothing was ever committed to the file.
func (db *DB) isFresh() (fresh bool, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		k, _ := tx.Cursor().First()
		fresh = k == nil
		return nil
	})
	return fresh, err
}

// create makes the buckets of a new store, in one transaction.
func (db *DB) create(o Options) error {
	if !o.noSync {
		// Before anything is in it: whoever finds something there can rely on the
		// name, too.
		syncDir(db.path)
	}
	return db.update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucketMeta)
		if err == nil {
			err = b.Put(keyVersion, []byte{formatVersion})
		}
		for _, name := range [][]byte{bucketPrograms, bucketProcesses} {
			if err == nil {
				_, err = tx.CreateBucket(name)
			}
		}
		return err
	})
}

func (db *DB) checkVersion() error {
	return guard(func() error {
		return db.bolt.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketMeta)
			if b == nil {
				return fmt.Errorf("%w: it is a bbolt file of another program", ErrNotStore)
			}
			switch v := b.Get(keyVersion); {
			case len(v) != 1 || v[0] == 0:
				return fmt.Errorf("%w: no version in it", ErrCorrupt)
			case v[0] > formatVersion:
				return fmt.Errorf("%w: format %d, this one knows up to %d", ErrVersion, v[0], formatVersion)
			}
			if tx.Bucket(bucketPrograms) == nil || tx.Bucket(bucketProcesses) == nil {
				return fmt.Errorf("%w: a part of it is missing", ErrCorrupt)
			}
			return nil
		})
	})
}

// Path returns the path that the store was opened with.
func (db *DB) Path() string { return db.path }

// Close closes the file and releases its lock. Closing twice does nothing.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if !db.closed {
		db.closed = true
		if db.failed != nil {
			db.verified.forget()
		} else {
			db.verified.remember(db.file)
		}
	}
	if err := guard(db.bolt.Close); err != nil {
		return fmt.Errorf("closing store %s: %w", db.path, err)
	}
	return nil
}

// view runs f in a read transaction.
func (db *DB) view(f func(tx *bbolt.Tx) error) error {
	return guard(func() error { return db.bolt.View(f) })
}

// fail names the store in an error of one of its methods.
func (db *DB) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store %s: %w", db.path, advise(bare(err), db.readOnly))
}
