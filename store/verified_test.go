package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leaktrack/heap"
)

// Damage that leaves the file's time as it is shows whether the pages were
// checked.
func TestVerified(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "v.db")
	v := &Verified{}
	use := func(v *Verified, i int) error {
		db, err := Open(path, Options{noSync: true, Verified: v})
		if err != nil {
			return err
		}
		_, err = db.Put(nth(1, i), false)
		return errors.Join(err, db.Close())
	}
	for i := range 30 {
		if err := use(v, i); err != nil {
			t.Fatal(err)
		}
	}
	if db := open(t, path, Options{ReadOnly: true}); len(all(t, db, nth(1, 0).Process)) != 30 {
		t.Error("not all are stored")
	} else {
		db.Close()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := func(keepTime bool) {
		info, err := os.Stat(path)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		// The kind of the list of free pages, which no reader looks at.
		scribble(t, path, int64(metaOf(t, path).freelist)*metaOf(t, path).pageSize+8)
		when := info.ModTime()
		if !keepTime {
			when = when.Add(time.Millisecond)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	readOnly := func(v *Verified) error {
		db, err := Open(path, Options{ReadOnly: true, Verified: v})
		if err != nil {
			return err
		}
		_, err = db.Get(nth(1, 3).Process, 3*time.Second, heap.All)
		return errors.Join(err, db.Close())
	}
	spoilt(true)
	if err := readOnly(nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("damage that everybody must find: %v", err)
	}
	if err := readOnly(v); err != nil {
		t.Errorf("a file that is as it was left is checked again: %v", err)
	}
	spoilt(false)
	if err := readOnly(v); !errors.Is(err, ErrCorrupt) {
		t.Errorf("written by somebody at another time: %v", err)
	}
	// Another file under the same name.
	if err := errors.Join(os.WriteFile(path, data, 0o600), use(v, 30), os.Rename(path, path+".old"), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(path + ".old")
	scribble(t, path, int64(metaOf(t, path).freelist)*metaOf(t, path).pageSize+8)
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := readOnly(v); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another file: %v", err)
	}
}
