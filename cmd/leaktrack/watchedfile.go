package main

import (
	"errors"
	"iter"
	"time"

	"leaktrack/heap"
	"leaktrack/internal/report"
	"leaktrack/store"
	"leaktrack/trend"
)

// watchedFile is the store of a watch. It is opened for each snapshot, so that
// others can use it in between, and says nothing by itself: a short wait for
// somebody else is no news, and a long one ends in an error.
type watchedFile struct {
	path     string
	verified store.Verified
	locked   bool // the last attempt to write waited in vain
	// doubt is told what is wrong with a store that can be used all the same.
	doubt func(path, text string)
}

// lockedWait is the wait while somebody keeps the store for long: the next
// snapshot is due.
const lockedWait = time.Second

func (f *watchedFile) open(readOnly bool) (*store.DB, error) {
	o := store.Options{ReadOnly: readOnly, Wait: lockWait, Verified: &f.verified, Warning: f.doubt}
	if f.locked {
		o.Wait = lockedWait
	}
	db, err := store.Open(f.path, o)
	if !readOnly { // readers share the lock, and do not tell
		f.locked = errors.Is(err, store.ErrLocked)
	}
	return db, err
}

func (f *watchedFile) put(s *heap.Snapshot) error {
	db, err := f.open(false)
	if err != nil {
		return err
	}
	_, err = db.Put(s, false)
	return errors.Join(err, db.Close())
}

func (f *watchedFile) keys(p heap.Process, each func(store.Key)) error {
	db, err := f.open(true)
	if err != nil {
		return err
	}
	return errors.Join(db.Keys(p, each), db.Close())
}

func (f *watchedFile) judge(p heap.Process, keys []store.Key, waiting []*heap.Snapshot) (report.Named, error) {
	stored := func(func(*heap.Snapshot, error) bool) {}
	if len(keys) > 0 {
		db, err := f.open(true)
		switch {
		case err == nil:
			defer db.Close()
			stored = db.Chosen(p, keys)
		case len(waiting) == 0:
			return report.Named{}, err
		}
	}
	r, err := trend.Analyze(both(stored, waiting), trend.Options{})
	return report.Named{Ref: p.String(), Result: r}, err
}

// both yields what is stored, then what waits.
func both(stored iter.Seq2[*heap.Snapshot, error], waiting []*heap.Snapshot) iter.Seq2[*heap.Snapshot, error] {
	return func(yield func(*heap.Snapshot, error) bool) {
		for s, err := range stored {
			if !yield(s, err) || err != nil {
				return
			}
		}
		for _, s := range waiting {
			if !yield(s, nil) {
				return
			}
		}
	}
}
