package store

import (
	"io/fs"
	"os"
	"sync"
)

// Verified remembers a file as its last user left it, for who opens, puts and
// closes every few seconds for weeks: [Open] then checks the structure of the
// whole file only when somebody else has written it. The zero value remembers
// nothing. It may be shared by several Opens of one path.
type Verified struct {
	mu   sync.Mutex
	info fs.FileInfo
	txid uint64
}

// holds reports whether f is what was remembered: the same file of the same
// size, last written at the same time and by the same commit.
func (v *Verified) holds(f *os.File, info fs.FileInfo) bool {
	if v == nil || !canLock {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.info == nil || !os.SameFile(v.info, info) || v.info.Size() != info.Size() || !v.info.ModTime().Equal(info.ModTime()) {
		return false
	}
	m, err := readMeta(f, info.Size())
	return err == nil && m.txid == v.txid && m.txid >= firstCommit
}

// remember is called under the lock, with the file as it will stay.
func (v *Verified) remember(f *os.File) {
	if v == nil || f == nil {
		return
	}
	info, err := f.Stat()
	if err != nil {
		v.forget()
		return
	}
	m, err := readMeta(f, info.Size())
	if err != nil {
		v.forget()
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.info, v.txid = info, m.txid
}

func (v *Verified) forget() {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.info = nil
}
