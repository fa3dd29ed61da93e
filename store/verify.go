package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its file: it maps it into memory and follows page numbers,
// offsets and lengths as they stand. A cut file then ends the program with
// SIGBUS, a damaged one with a panic, a page that leads to itself with a
// stack overflow, which nothing can recover; or a part of the data is silently
// missing. So every page is checked here, before bbolt sees the file: by page
// number, kind, element bounds, key order, and that each page below the high
// water mark is either reached exactly once or free; and that the pages are of the
// commit that the meta page tells of, with all of its snapshots. What the values
// hold is guarded by their checksums.
//
// The layout is that of bbolt's internal/common, files page.go, meta.go and
// bucket.go, file version 2: integers in the byte order of the machine.

const (
	pageHead   = 16 // id u64, flags u16, count u16, overflow u32
	elemSize   = 16 // leaf: flags, pos, ksize, vsize u32; branch: pos, ksize u32, page u64
	bucketHead = 16 // root page u64, sequence u64
	metaSize   = 64 // behind the page head

	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageFreelist = 0x10

	leafBucket = 0x01 // flag of a leaf element whose value is a bucket

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = ^uint64(0)

	// firstCommit numbers the first transaction; the meta pages of a new file
	// carry 0 and 1.
	firstCommit = 2

	maxDepth = 64 // of pages; a tree of this depth holds more than 2^64 keys
)

var errForeign = errors.New("its first bytes are not those of a bbolt file")

// meta is what verify needs of bbolt's meta page.
type meta struct {
	pageSize             int64
	root, freelist, high uint64
	txid                 uint64
}

// parseMeta reads a meta page from b, which starts at the page's head.
// magic tells whether the page at least begins like one of bbolt's.
func parseMeta(b []byte) (m meta, magic bool, err error) {
	if len(b) < pageHead+metaSize {
		return m, false, errForeign
	}
	b = b[pageHead : pageHead+metaSize]
	ne := binary.NativeEndian
	if ne.Uint32(b) != boltMagic {
		return m, false, errForeign
	}
	if v := ne.Uint32(b[4:]); v != boltVersion {
		return m, true, fmt.Errorf("bbolt file of version %d", v)
	}
	h := fnv.New64a()
	h.Write(b[:56])
	if h.Sum64() != ne.Uint64(b[56:]) {
		return m, true, errors.New("its checksum does not match")
	}
	m = meta{pageSize: int64(ne.Uint32(b[8:])), root: ne.Uint64(b[16:]), freelist: ne.Uint64(b[32:]),
		high: ne.Uint64(b[40:]), txid: ne.Uint64(b[48:])}
	return m, true, nil
}

// readMeta finds the meta page that bbolt will use: of the two valid ones the
// younger. A crash while one is written leaves the other. bbolt believes the
// page size of a meta page with a right checksum, whatever it is, so one that
// does not fit is an error here and no reason to look at the other.
func readMeta(r io.ReaderAt, size int64) (meta, error) {
	var buf [pageHead + metaSize]byte
	at := func(off int64) (meta, bool, error) {
		n, err := r.ReadAt(buf[:], off)
		if err != nil && err != io.EOF {
			return meta{}, false, err
		}
		return parseMeta(buf[:n])
	}
	bad := func(m meta) (meta, error) {
		return meta{}, fmt.Errorf("%w: a meta page says that pages have %d bytes", ErrCorrupt, m.pageSize)
	}
	m, magic, err := at(0)
	if err == nil {
		if m.pageSize < 1024 || m.pageSize > 1<<24 || m.pageSize&(m.pageSize-1) != 0 {
			return bad(m)
		}
		if m1, _, err1 := at(m.pageSize); err1 == nil {
			if m1.pageSize != m.pageSize {
				return bad(m1)
			}
			if m1.txid > m.txid {
				m = m1
			}
		}
		return m, nil
	}
	for pageSize := int64(1024); pageSize <= 1<<24 && pageSize < size; pageSize *= 2 {
		m1, magic1, err1 := at(pageSize)
		if err1 == nil {
			if m1.pageSize != pageSize {
				return bad(m1)
			}
			return m1, nil
		}
		magic = magic || magic1
	}
	if !magic {
		return meta{}, fmt.Errorf("%w: %w", ErrNotStore, err)
	}
	return meta{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// otherMeta says what is wrong with a meta page, m being the one that bbolt will
// use; nil when both are sound. Commits are numbered without gaps and write the two
// pages in turn, so that the other one is of the commit before.
func otherMeta(r io.ReaderAt, m meta) (page int64, err error) {
	var buf [pageHead + metaSize]byte
	for page = range int64(2) {
		n, err := r.ReadAt(buf[:], page*m.pageSize)
		if err != nil && err != io.EOF {
			return page, err
		}
		x, _, err := parseMeta(buf[:n])
		switch {
		case n == 0: // the file is cut, which its pages tell
		case err != nil:
			return page, err
		case x.txid%2 != uint64(page) || m.txid-x.txid > 1:
			return page, fmt.Errorf("it is of commit %d, and the file of commit %d", x.txid, m.txid)
		}
	}
	return 0, nil
}

// unfinished reports whether a file is what a process leaves that is killed, or
// loses its power, while it makes the four pages of a new one: nothing was
// ever stored in it, and each page is there or not.
func unfinished(r io.ReaderAt, size int64) bool {
	pageSize := int64(os.Getpagesize())
	if size > 4*pageSize {
		return false
	}
	b := make([]byte, 4*pageSize)
	if n, err := r.ReadAt(b, 0); err != nil && err != io.EOF || int64(n) != size {
		return false
	}
	ne := binary.NativeEndian
	for id := range int64(4) {
		page := b[id*pageSize : (id+1)*pageSize]
		if bytes.Count(page, []byte{0}) == len(page) {
			continue
		}
		flags, count := ne.Uint16(page[8:]), ne.Uint16(page[10:])
		m, _, err := parseMeta(page)
		switch {
		case id < 2 && err == nil && m.txid < firstCommit:
		case id == 2 && ne.Uint64(page) == 2 && flags == pageFreelist && count == 0:
		case id == 3 && ne.Uint64(page) == 3 && flags == pageLeaf && count == 0:
		default:
			return false
		}
	}
	return true
}

// verifier walks the pages of one file.
type verifier struct {
	r    io.ReaderAt
	m    meta
	seen []byte // by page: 0 unknown, 1 in use, 2 free
	// buffers by depth, kept because most pages are of one size
	bufs        [maxDepth][]byte
	rootEntries int
	// ours is set behind the head of a store whose version is known. Another program,
	// or a later version, may have buckets of the same names, and other numbers.
	ours bool
	// Where the walk is.
	inHead, inProcesses, inSnapshots bool
	// sum is that of the snapshots so far, in the process or in all; process is the hash
	// of the name of the bucket they lie in.
	sum, process uint64
}

// verify checks that bbolt can work on the file. It reports whether the file is
// fresh: nothing was ever committed to it.
func verify(r io.ReaderAt, size int64) (fresh bool, err error) {
	m, err := readMeta(r, size)
	if err != nil {
		return false, err
	}
	if m.high < 4 || m.high > uint64(size/m.pageSize) {
		return false, fmt.Errorf("%w: the file is cut: it holds %d bytes of %d pages of %d bytes", ErrCorrupt, size, m.high, m.pageSize)
	}
	v := &verifier{r: r, m: m, seen: make([]byte, m.high)}
	v.seen[0], v.seen[1] = 1, 1
	if err := v.freelist(); err != nil {
		return false, err
	}
	if err := v.page(m.root, 0, nil, nil, nil); err != nil {
		return false, err
	}
	for id, s := range v.seen {
		if s == 0 {
			return false, fmt.Errorf("%w: page %d is neither used nor free", ErrCorrupt, id)
		}
	}
	return v.rootEntries == 0 && m.txid < firstCommit, nil
}

func (v *verifier) bad(id uint64, format string, args ...any) error {
	return fmt.Errorf("%w: page %d: %s", ErrCorrupt, id, fmt.Sprintf(format, args...))
}

// read claims page id with its overflow pages and returns its bytes.
func (v *verifier) read(id uint64, depth int) ([]byte, error) {
	var head [pageHead]byte
	if id < 2 || id >= v.m.high {
		return nil, v.bad(id, "no such page")
	}
	if _, err := v.r.ReadAt(head[:], int64(id)*v.m.pageSize); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	ne := binary.NativeEndian
	n := uint64(ne.Uint32(head[12:])) + 1
	if got := ne.Uint64(head[:]); got != id || n > v.m.high-id {
		return nil, v.bad(id, "says it is page %d of %d", got, n)
	}
	for i := id; i < id+n; i++ {
		if v.seen[i] != 0 {
			return nil, v.bad(i, "is used twice")
		}
		v.seen[i] = 1
	}
	want := int(int64(n) * v.m.pageSize)
	if cap(v.bufs[depth]) < want {
		v.bufs[depth] = make([]byte, want)
	}
	b := v.bufs[depth][:want]
	if _, err := v.r.ReadAt(b, int64(id)*v.m.pageSize); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return b, nil
}

func (v *verifier) freelist() error {
	id := v.m.freelist
	if id == noFreelist {
		return v.bad(id, "there is no list of free pages")
	}
	b, err := v.read(id, 0)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	n := uint64(ne.Uint16(b[10:]))
	if ne.Uint16(b[8:]) != pageFreelist {
		return v.bad(id, "is no list of free pages")
	}
	b = b[pageHead:]
	if n == 0xFFFF { // too many for the head; the first entry holds the number
		n = ne.Uint64(b)
		b = b[8:]
	}
	if n > uint64(len(b)/8) {
		return v.bad(id, "lists %d free pages", n)
	}
	for i := range n {
		free := ne.Uint64(b[8*i:])
		if free < 2 || free >= v.m.high || v.seen[free] != 0 {
			return v.bad(free, "is listed as free")
		}
		v.seen[free] = 2
	}
	return nil
}

// page checks page id of the bucket in and what hangs below it. Its keys are in
// [low, high).
func (v *verifier) page(id uint64, depth int, in, low, high []byte) error {
	if depth >= maxDepth {
		return v.bad(id, "lies too deep")
	}
	b, err := v.read(id, depth)
	if err != nil {
		return err
	}
	return v.elements(b, id, depth, in, low, high, false)
}

// elements checks the elements of a page, or of a bucket that lives inline in
// the value of its parent.
func (v *verifier) elements(b []byte, id uint64, depth int, in, low, high []byte, inline bool) error {
	ne := binary.NativeEndian
	flags, count := ne.Uint16(b[8:]), int(ne.Uint16(b[10:]))
	if flags != pageBranch && flags != pageLeaf || pageHead+count*elemSize > len(b) || flags == pageBranch && count == 0 {
		return v.bad(id, "kind %#x, %d elements", flags, count)
	}
	// bbolt keeps an empty bucket inline and an empty page nowhere, so that an
	// empty page is one whose count was lost; a fresh root is the exception.
	if count == 0 && !inline && (depth > 0 || v.m.txid >= firstCommit) {
		return v.bad(id, "is empty")
	}
	// Keys and values are packed behind the elements without gaps, so that a
	// wrong count or length shows.
	end := uint64(pageHead + count*elemSize)
	keys := make([][]byte, count)
	for i := range count {
		e := b[pageHead+i*elemSize:]
		var pos, ksize, vsize uint64
		if flags == pageLeaf {
			pos, ksize, vsize = uint64(ne.Uint32(e[4:])), uint64(ne.Uint32(e[8:])), uint64(ne.Uint32(e[12:]))
			if f := ne.Uint32(e); f > leafBucket {
				return v.bad(id, "element %d of kind %#x", i, f)
			}
		} else {
			pos, ksize = uint64(ne.Uint32(e)), uint64(ne.Uint32(e[4:]))
		}
		if pos+uint64(pageHead+i*elemSize) != end || ksize == 0 || end+ksize+vsize > uint64(len(b)) {
			return v.bad(id, "element %d lies outside", i)
		}
		keys[i] = b[end : end+ksize]
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 || i == 0 && low != nil && bytes.Compare(low, keys[0]) > 0 ||
			high != nil && bytes.Compare(keys[i], high) >= 0 {
			return v.bad(id, "element %d is out of order", i)
		}
		end += ksize + vsize
	}
	if inline && end != uint64(len(b)) {
		return v.bad(id, "a bucket of %d bytes ends at %d", len(b), end)
	}
	if depth == 0 {
		v.rootEntries = count
	}
	for i := range count {
		e := b[pageHead+i*elemSize:]
		if flags == pageBranch {
			next := high
			if i+1 < count {
				next = keys[i+1]
			}
			if err := v.page(ne.Uint64(e[8:]), depth+1, in, keys[i], next); err != nil {
				return err
			}
			continue
		}
		at := uint64(pageHead+i*elemSize) + uint64(ne.Uint32(e[4:])) + uint64(ne.Uint32(e[8:]))
		val := b[at : at+uint64(ne.Uint32(e[12:]))]
		if ne.Uint32(e) != leafBucket {
			switch {
			case v.inSnapshots:
				v.sum += fingerprint(v.process, keys[i])
			case v.inHead && bytes.Equal(keys[i], keyVersion):
				v.ours = len(val) == 1 && val[0] <= formatVersion
			}
			continue
		}
		if len(val) < bucketHead {
			return v.bad(id, "element %d holds no bucket", i)
		}
		if err := v.bucket(in, keys[i], val, id, depth); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket that is called name and lies in another, and that what it
// holds is what its sequence says (see doc.go).
func (v *verifier) bucket(in, name, val []byte, id uint64, depth int) error {
	ne := binary.NativeEndian
	child, sequence, sub := ne.Uint64(val), ne.Uint64(val[8:]), val[bucketHead:]
	root, sum := in == nil, v.sum
	head := root && bytes.Equal(name, bucketMeta)
	processes := root && v.ours && bytes.Equal(name, bucketProcesses)
	snapshots := v.inProcesses && bytes.Equal(name, bucketSnapshots)
	switch {
	case head: // it sorts before the others
		v.inHead = true
	case processes:
		v.inProcesses, v.sum = true, 0
	case snapshots:
		v.inSnapshots, v.process, v.sum = true, hashOf(in), 0
	}
	var err error
	switch {
	case child != 0:
		err = v.page(child, depth+1, name, nil, nil)
	case len(sub) < pageHead || ne.Uint16(sub[8:]) != pageLeaf || depth+1 >= maxDepth:
		err = v.bad(id, "bucket %.16x holds nothing", name)
	default:
		err = v.elements(sub, id, depth+1, name, nil, nil, true)
	}
	if err != nil {
		return err
	}
	v.inHead = false
	switch {
	case head && v.ours:
		return compareCommit(sequence, v.m)
	case processes:
		v.inProcesses = false
		return compareSum(v.sum, sequence)
	case snapshots:
		err = compareSum(v.sum, sequence)
		v.inSnapshots, v.sum = false, v.sum+sum
	}
	return err
}

// compareSum finds the snapshots that are missing, or are not those that were stored
// last: they leave no other trace. 0 stands for a bucket of version 1, which has no sum.
func compareSum(sum, sequence uint64) error {
	if sequence == 0 || sum == sequence {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, mixedState("snapshots are missing, or others are there than were stored"))
}

// compareCommit wants the tree of the commit that the meta page tells of.
func compareCommit(sequence uint64, m meta) error {
	if sequence == 0 || sequence == m.txid {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, mixedState(fmt.Sprintf("the pages are of commit %d, the meta page of commit %d", sequence, m.txid)))
}

// mixedState says that sound pages of several states of the file lie together.
type mixedState string

func (m mixedState) Error() string { return string(m) }
