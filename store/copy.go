package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"
)

// compactBytes is how much a transaction of a compaction writes at most.
const compactBytes = 1 << 20

// Compact rewrites the store in path without the space that nothing uses any
// more, and returns the size of the file before and after.
//
// It keeps the store locked and writes a second file beside it, compares the
// two, and renames it over the store: killed at any moment it leaves the one or the
// other, whole. What is left of the second file (the name of the store with a
// dot before it and .compact behind) the next Compact overwrites. Others that wait
// for the lock notice that the name leads to another file. Where an open file
// cannot be replaced (Windows), the lock is released just before the rename.
//
// A day of snapshots of 5,000 types, 7 MB, takes 40 ms on a machine of two cores, in
// which others wait (BenchmarkCompactDay).
//
// There must be room for the second file. Readers that have the store open keep
// Compact waiting, as they do with every writer.
func Compact(path string, o Options) (before, after int64, err error) {
	if before, after, err = compact(path, o); err != nil {
		return 0, 0, fmt.Errorf("compacting store %s: %w", path, advise(bare(err), false))
	}
	return before, after, nil
}

func compact(path string, o Options) (before, after int64, err error) {
	o.ReadOnly = false
	if _, err := os.Stat(path); err != nil {
		return 0, 0, err // Open would make it
	}
	// The name may be a link, which shall stay one.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return 0, 0, err
	}
	db := &DB{path: path}
	if err := db.open(o); err != nil {
		return 0, 0, err
	}
	defer db.Close()
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	dir, base := filepath.Split(path)
	temp := filepath.Join(dir, "."+base+".compact")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, err
	}
	defer os.Remove(temp) // fails once it has been renamed
	if err := db.copyTo(temp, info); err != nil {
		return 0, 0, err
	}
	if after, err = soundPages(temp); err != nil {
		return 0, 0, err
	}
	if runtime.GOOS == "windows" {
		if err := db.Close(); err != nil {
			return 0, 0, err
		}
	}
	if err := os.Rename(temp, path); err != nil {
		return 0, 0, err
	}
	syncDir(path)
	return info.Size(), after, nil
}

// copyTo copies what db holds into a new file with the rights of the old one.
func (db *DB) copyTo(temp string, like fs.FileInfo) error {
	return guard(func() (err error) {
		to, err := bbolt.Open(temp, 0o600, &bbolt.Options{NoSync: true, NoStatistics: true, FreelistType: bbolt.FreelistMapType,
			// A name that can be foreseen must be ours: nobody's link is followed.
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				return os.OpenFile(name, flag|os.O_EXCL, mode)
			}})
		if err != nil {
			return err
		}
		to.AllocSize = growStep
		err = bbolt.Compact(to, db.bolt, compactBytes)
		if err == nil {
			err = db.bolt.View(func(a *bbolt.Tx) error {
				if err := sealed(a); err != nil {
					return err
				}
				return to.View(func(b *bbolt.Tx) error { return sameValues(a.Cursor(), b.Cursor(), a.Bucket, b.Bucket) })
			})
		}
		if err == nil {
			err = to.Update(func(tx *bbolt.Tx) error { return errors.Join(upgrade(tx), signed(tx)) })
		}
		if err == nil {
			err = to.Sync()
		}
		if err = errors.Join(err, to.Close()); err != nil {
			return err
		}
		if err := os.Chmod(temp, like.Mode().Perm()); err != nil {
			return err
		}
		return keepOwner(temp, like)
	})
}

// sealed wants every value to have the right checksum: a file with damage stays as
// it is, for who can make more of it.
func sealed(tx *bbolt.Tx) error {
	each := func(b *bbolt.Bucket, owner []byte) error {
		return b.ForEach(func(k, v []byte) error {
			_, err := unseal(owner, k, v)
			return err
		})
	}
	programs, processes := tx.Bucket(bucketPrograms), tx.Bucket(bucketProcesses)
	err := programs.ForEachBucket(func(k []byte) error {
		b := programs.Bucket(k)
		names := b.Bucket(bucketNames)
		if names == nil {
			return fmt.Errorf("%w: program %x has no type names", ErrCorrupt, k)
		}
		if _, err := unseal(nil, keyIdentity, b.Get(keyIdentity)); err != nil {
			return err
		}
		return each(names, ownerOf(k, b.Sequence()))
	})
	if err != nil {
		return err
	}
	return processes.ForEachBucket(func(k []byte) error {
		p, err := decodeProcess(processes.Bucket(k).Get(keyIdentity))
		if err != nil {
			return err
		}
		s, err := find(tx, p)
		if err != nil {
			return err
		}
		if s == nil {
			return fmt.Errorf("%w: %v lies under a wrong key", ErrCorrupt, p)
		}
		if err := each(s.bases, s.owner); err != nil {
			return err
		}
		return each(s.snapshots, s.owner)
	})
}

// sameValues wants two buckets to hold the same.
func sameValues(a, b *bbolt.Cursor, inA, inB func([]byte) *bbolt.Bucket) error {
	ka, va := a.First()
	kb, vb := b.First()
	for ; ka != nil || kb != nil; ka, va = a.Next() {
		if !bytes.Equal(ka, kb) || !bytes.Equal(va, vb) || (va == nil) != (vb == nil) {
			return fmt.Errorf("%w: the copy differs at key %x", ErrCorrupt, ka)
		}
		if va == nil {
			x, y := inA(ka), inB(kb)
			if x.Sequence() != y.Sequence() {
				return fmt.Errorf("%w: the copy has another number for bucket %x", ErrCorrupt, ka)
			}
			if err := sameValues(x.Cursor(), y.Cursor(), x.Bucket, y.Bucket); err != nil {
				return err
			}
		}
		kb, vb = b.Next()
	}
	return nil
}

// soundPages checks the structure of a file as [Open] does.
func soundPages(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	_, err = verify(f, info.Size())
	return info.Size(), err
}

// soundCopy checks a file that is about to take the place of another, and
// returns its size. Damage that was in the values of the original is in the copy.
func soundCopy(path string) (size int64, err error) {
	h, err := checkFile(path, Options{Wait: -1})
	if err != nil {
		return 0, err
	}
	if !h.Sound() {
		return 0, fmt.Errorf("%s: %w", h.Damage[0].Where, h.Damage[0].Err)
	}
	return h.Size, nil
}

// syncDir makes a new name survive a power cut. Not every system can sync a
// folder.
func syncDir(path string) {
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}

// Backup copies the store in path to the new file to, and returns its size.
// Writers wait for as long as the copying takes, 4 ms for a file of 7 MB
// (BenchmarkBackupLockDay), so that the copy is of one moment. Every byte of
// the copy is checked before it gets its name; a store with damage is not
// backed up, as the copy might take the place of a good one. The copy has
// mode 0600.
//
// A file that is there already is an error, [fs.ErrExist], unless replace is set.
func Backup(path, to string, replace bool, o Options) (size int64, err error) {
	if size, err = backup(path, to, replace, o); err != nil {
		// What is missing is the store, or the folder of the copy.
		_, missing := os.Stat(path)
		return 0, fmt.Errorf("backing up store %s to %s: %w", path, to, advise(bare(err), missing != nil))
	}
	return size, nil
}

func backup(path, to string, replace bool, o Options) (size int64, err error) {
	source, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	switch target, err := os.Stat(to); {
	case err == nil && os.SameFile(source, target):
		return 0, errors.New("it is the store itself")
	case err == nil && !target.Mode().IsRegular():
		return 0, errors.New("there is something that is no regular file")
	case err == nil && !replace:
		return 0, fs.ErrExist
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	temp, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(temp.Name()) // fails once it has been renamed
	err = copyLocked(temp, path, o)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return 0, err
	}
	if size, err = soundCopy(temp.Name()); err != nil {
		return 0, err
	}
	if !replace {
		// Unlike a rename, a link never takes the place of a file that came
		// meanwhile. Not every file system has links.
		if err := os.Link(temp.Name(), to); err == nil || errors.Is(err, fs.ErrExist) {
			if err == nil {
				syncDir(to)
			}
			return size, err
		}
	}
	if err := os.Rename(temp.Name(), to); err != nil {
		return 0, err
	}
	syncDir(to)
	return size, nil
}

// copyLocked copies the pages in use while nobody can write.
func copyLocked(w io.Writer, path string, o Options) error {
	o.ReadOnly = true
	db := &DB{path: path, readOnly: true}
	if err := db.open(o); err != nil {
		return err
	}
	defer db.Close()
	var size int64
	if err := db.view(func(tx *bbolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(w, io.LimitReader(f, size))
	if err == nil && n != size {
		err = fmt.Errorf("%w: it was cut while it was copied", ErrCorrupt)
	}
	return err
}
