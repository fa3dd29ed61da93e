//go:build faults && linux

package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// disk is a file system of one folder, in memory, whose writes and syncs can be
// made to fail one by one, and from which the power can be taken: then of what
// was not synced each page is there or not. A device mapper cannot do this on a
// kernel without it, and cannot lose what was written before a sync that failed;
// FUSE is in every kernel.
//
// After a sync that fails, the pages count as clean, as on Linux: a later sync
// succeeds without them.
type disk struct {
	fs.Inode
	dir string // where it is mounted

	mu    sync.Mutex
	fault func(op, name string) syscall.Errno // before each write, sync and resize
	names map[string]*diskFile
	// synced are the names as of the last sync of the folder.
	synced map[string]*diskFile
	inodes uint64
}

// diskFile is a file on a disk.
type diskFile struct {
	fs.Inode
	disk   *disk
	name   string // the first one it had
	mode   uint32
	mtime  time.Time
	data   []byte       // what readers see
	stable []byte       // what is surely on the disk
	dirty  map[int]bool // pages that the next sync writes
}

const diskPage = 4096

var (
	_ fs.NodeCreater   = (*disk)(nil)
	_ fs.NodeUnlinker  = (*disk)(nil)
	_ fs.NodeRenamer   = (*disk)(nil)
	_ fs.NodeLinker    = (*disk)(nil)
	_ fs.NodeFsyncer   = (*disk)(nil)
	_ fs.NodeOpener    = (*diskFile)(nil)
	_ fs.NodeReader    = (*diskFile)(nil)
	_ fs.NodeWriter    = (*diskFile)(nil)
	_ fs.NodeFsyncer   = (*diskFile)(nil)
	_ fs.NodeGetattrer = (*diskFile)(nil)
	_ fs.NodeSetattrer = (*diskFile)(nil)
	_ fs.NodeFlusher   = (*diskFile)(nil)
)

// mountDisk mounts an empty one.
func mountDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{dir: t.TempDir(), names: map[string]*diskFile{}, synced: map[string]*diskFile{}, inodes: 1}
	server, err := fs.Mount(d.dir, d, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "leaktrack-faults", DisableReadDirPlus: true}})
	if err != nil {
		t.Fatalf("mounting a file system; the fault suite needs /dev/fuse and the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// asks returns what the fault function says of an operation. It is called
// without the lock, as it may look at the disk.
func (d *disk) asks(op, name string) syscall.Errno {
	d.mu.Lock()
	f := d.fault
	d.mu.Unlock()
	if f == nil {
		return 0
	}
	return f(op, name)
}

func (d *disk) setFault(f func(op, name string) syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

func (d *disk) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inodes++
	f := &diskFile{disk: d, name: name, mode: mode & 0o777, mtime: time.Now(), dirty: map[int]bool{}}
	node := d.NewPersistentInode(ctx, f, fs.StableAttr{Mode: fuse.S_IFREG, Ino: d.inodes})
	d.names[name] = f
	f.attr(&out.Attr)
	return node, nil, 0, 0
}

func (d *disk) Unlink(_ context.Context, name string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, name)
	return 0
}

func (d *disk) Rename(_ context.Context, name string, _ fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if err := d.asks("rename", name); err != 0 {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if flags != 0 {
		return syscall.EINVAL
	}
	d.names[to] = d.names[name]
	delete(d.names, name)
	return 0
}

func (d *disk) Link(_ context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := target.(*diskFile)
	if !ok {
		return nil, syscall.EPERM
	}
	d.names[name] = f
	f.attr(&out.Attr)
	return f.EmbeddedInode(), 0
}

func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = maps.Clone(d.names)
	return 0
}

func (f *diskFile) attr(out *fuse.Attr) {
	out.Ino = f.StableAttr().Ino
	out.Mode = fuse.S_IFREG | f.mode
	out.Size = uint64(len(f.data))
	out.Nlink = 1
	out.SetTimes(nil, &f.mtime, &f.mtime)
}

func (f *diskFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (f *diskFile) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (f *diskFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.attr(&out.Attr)
	return 0
}

func (f *diskFile) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	size, resize := in.GetSize()
	if resize {
		if err := f.disk.asks("resize", f.name); err != 0 {
			return err
		}
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if resize {
		f.resize(int(size))
	}
	if mode, ok := in.GetMode(); ok {
		f.mode = mode & 0o777
	}
	f.attr(&out.Attr)
	return 0
}

func (f *diskFile) resize(size int) {
	if size <= len(f.data) {
		f.data = f.data[:size:size]
	} else {
		f.data = append(f.data, make([]byte, size-len(f.data))...)
	}
	f.mtime = time.Now()
}

func (f *diskFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	from := min(int(off), len(f.data))
	to := min(from+len(dest), len(f.data))
	return fuse.ReadResultData(slices.Clone(f.data[from:to])), 0
}

func (f *diskFile) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if err := f.disk.asks("write", f.name); err != 0 {
		return 0, err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	end := int(off) + len(data)
	if end > len(f.data) {
		f.resize(end)
	}
	copy(f.data[off:], data)
	for p := int(off) / diskPage; p*diskPage < end; p++ {
		f.dirty[p] = true
	}
	f.mtime = time.Now()
	return uint32(len(data)), 0
}

func (f *diskFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	err := f.disk.asks("sync", f.name)
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err != 0 {
		if err != syscall.EINTR { // a killed process has not asked for it
			clear(f.dirty)
		}
		return err
	}
	f.stable = f.after(func() bool { return true })
	clear(f.dirty)
	return 0
}

// after is the file after a power cut, where survives says of each dirty page
// whether it had been written by then.
func (f *diskFile) after(survives func() bool) []byte {
	image := make([]byte, len(f.data))
	copy(image, f.stable)
	for _, p := range slices.Sorted(maps.Keys(f.dirty)) {
		if at := p * diskPage; at < len(f.data) && survives() {
			copy(image[at:], f.data[at:min(at+diskPage, len(f.data))])
		}
	}
	return image
}

// powerCut returns the files as they would be found after one.
func (d *disk) powerCut(rng *rand.Rand) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := d.names
	if rng.IntN(2) == 0 {
		names = d.synced
	}
	images := map[string][]byte{}
	odds := rng.IntN(5) // none, some, all of the pages
	for name, f := range names {
		image := f.after(func() bool { return rng.IntN(4) < odds })
		// The size may be older than the pages.
		if len(f.stable) < len(image) && rng.IntN(4) >= odds {
			image = image[:max(len(f.stable), 0)]
		}
		images[name] = image
	}
	return images
}

// current returns what readers see.
func (d *disk) current(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil, fmt.Errorf("no %s", name)
	}
	return slices.Clone(f.data), nil
}

// put places a file that is wholly on the disk.
func (d *disk) put(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inodes++
	f := &diskFile{disk: d, name: name, mode: 0o600, mtime: time.Now(), data: slices.Clone(data), stable: slices.Clone(data), dirty: map[int]bool{}}
	node := d.NewPersistentInode(context.Background(), f, fs.StableAttr{Mode: fuse.S_IFREG, Ino: d.inodes})
	d.AddChild(name, node, true)
	d.names[name] = f
	d.synced = maps.Clone(d.names)
}

// remove takes a file off.
func (d *disk) remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.RmChild(name)
	delete(d.names, name)
	delete(d.synced, name)
}
