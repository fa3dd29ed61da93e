package store

import (
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// errFailed is why a DB takes nothing more: what it knows of the file may not
// be what the file is.
var errFailed = errors.New("a write has failed; the store must be opened again")

// update runs f in a transaction that writes. When it returns nil, what f did
// is on disk.
//
// A commit that fails at its very last step, the sync of the meta page, has
// written everything: to whoever opens the file next it would look as if it had
// succeeded, although nobody has promised that it is on disk, and the
// system may not try again. So the meta page gets back what it held; the next
// commit then writes and syncs all of its pages anew.
func (db *DB) update(f func(tx *bbolt.Tx) error) error {
	if db.failed != nil {
		return fmt.Errorf("%w: %w", errFailed, db.failed)
	}
	before, err := db.readMetas()
	if err != nil {
		return err
	}
	committing := false
	err = guard(func() error {
		return db.bolt.Update(func(tx *bbolt.Tx) error {
			err := upgrade(tx)
			if err == nil {
				err = f(tx)
			}
			if err == nil {
				err = signed(tx)
			}
			committing = err == nil
			return err
		})
	})
	if err != nil && committing {
		db.failed = err
		db.restoreMetas(before)
	}
	return err
}

// readMetas returns the meta pages as they are in the file; nil where the file
// is not the DB's to read.
func (db *DB) readMetas() ([]byte, error) {
	if db.file == nil {
		return nil, nil
	}
	b := make([]byte, 2*db.bolt.Info().PageSize)
	if _, err := db.file.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

// restoreMetas writes back a meta page that is not what it was. Where that
// fails, too, the disk is beyond help; the error of the commit is told.
func (db *DB) restoreMetas(before []byte) {
	now, err := db.readMetas()
	if before == nil || err != nil {
		return
	}
	size := len(before) / 2
	for at := 0; at < len(before); at += size {
		was := before[at : at+size]
		if string(was) != string(now[at:at+size]) {
			_, _ = db.file.WriteAt(was, int64(at))
		}
	}
	_ = db.file.Sync()
}

// sync makes sure that what is stored already is on disk: whoever wrote it may
// have been killed before its sync.
func (db *DB) sync() error {
	if db.file == nil || db.noSync {
		return nil
	}
	return db.file.Sync()
}
