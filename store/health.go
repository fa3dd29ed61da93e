package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"leaktrack/heap"
)

// Health is what [Check] finds in a file.
type Health struct {
	Size      int64 // bytes of the file
	Free      int64 // bytes of them that hold nothing; Compact gives them back
	Processes []ProcessHealth
	Names     int // type names in the dictionaries
	Bases     int
	Unused    int // bases to which no snapshot refers; Prune drops them
	// Damage is what is wrong, in the order of the file; empty for a sound one.
	Damage []Damage
}

// Sound reports that nothing is wrong.
func (h *Health) Sound() bool { return len(h.Damage) == 0 }

// Mendable reports that a meta page is all that is wrong: the next write, or [Compact],
// mends it.
func (h *Health) Mendable() bool {
	return len(h.Damage) == 1 && errors.Is(h.Damage[0].Err, ErrMeta)
}

// Snapshots is the number of those that can be read.
func (h *Health) Snapshots() (readable, damaged int) {
	for _, p := range h.Processes {
		readable, damaged = readable+p.Readable, damaged+p.Damaged
	}
	return readable, damaged
}

// ProcessHealth counts the snapshots of one process.
type ProcessHealth struct {
	Process  heap.Process
	Readable int // decoded to the last row
	Damaged  int // there, but not readable; what was on a lost page is not counted
	// First and Last are the uptimes of the readable ones.
	First, Last time.Duration
}

// Damage is one thing that is wrong.
type Damage struct {
	Where string // a page, a process, or a snapshot
	Err   error  // wraps [ErrCorrupt], [ErrVersion] or [ErrNotStore]
}

func (d Damage) Error() string { return d.Where + ": " + d.Err.Error() }

// maxDamage bounds the list: of a file full of noise the first hundred say enough.
const maxDamage = 100

// Check reads every byte of the store in path that is in use, and decodes every
// snapshot, dictionary and base. Unlike [Open] it goes on behind damage, so
// that it finds all of it and can say what is still readable. The file is
// locked for reading meanwhile and stays as it is; all of it is held in memory.
//
// The error is about the file as a whole: it cannot be opened, locked or read,
// or is no store at all.
func Check(path string, o Options) (*Health, error) {
	h, err := checkFile(path, o)
	if err != nil {
		return nil, fmt.Errorf("checking store %s: %w", path, advise(bare(err), true))
	}
	return h, nil
}

func checkFile(path string, o Options) (*Health, error) {
	data, err := readLocked(path, o)
	if err != nil {
		return nil, err
	}
	c := &checker{h: &Health{Size: int64(len(data))}}
	r := bytes.NewReader(data)
	if len(data) == 0 || unfinished(r, int64(len(data))) {
		return nil, errEmpty
	}
	m, err := readMeta(r, int64(len(data)))
	if errors.Is(err, ErrNotStore) {
		return nil, err
	}
	if err != nil {
		c.damage("head of the file", err)
		return c.h, nil
	}
	c.m = m
	c.metas(r, m)
	fresh, structure := verify(r, int64(len(data)))
	if structure == nil && fresh {
		return nil, errEmpty
	}
	before := len(c.h.Damage)
	root := salvage(data, m, c.damage)
	var mixed mixedState
	if structure != nil && len(c.h.Damage) == before && !errors.As(structure, &mixed) {
		// Keys out of order, lost pages and a wrong list of free ones do not
		// stop the walk; what is missing is told below, with its place.
		c.damage("structure of the file", structure)
	}
	c.h.Free = freeBytes(data, m)
	return c.h, c.store(root)
}

// readLocked reads the file under the lock for reading.
func readLocked(path string, o Options) ([]byte, error) {
	o.ReadOnly = true
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	switch info, err := os.Stat(path); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is no regular file", ErrNotStore)
	}
	a := &acquirer{o: o, unchecked: true}
	f, err := a.open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		return nil, err
	}
	return data, nil
}

// freeBytes sums the pages on the list of free ones and those behind the last
// page in use.
func freeBytes(data []byte, m meta) int64 {
	free := max(int64(len(data))-int64(m.high)*m.pageSize, 0)
	at := m.freelist * uint64(m.pageSize)
	if m.freelist == noFreelist || m.freelist >= m.high || at+pageHead+8 > uint64(len(data)) {
		return free
	}
	n := uint64(binary.NativeEndian.Uint16(data[at+10:]))
	if n == 0xFFFF {
		n = binary.NativeEndian.Uint64(data[at+pageHead:])
	}
	if n > m.high {
		return free
	}
	return free + int64(n)*m.pageSize
}

type checker struct {
	h   *Health
	m   meta
	sum uint64 // of all snapshots
}

func (c *checker) damage(where string, err error) {
	if len(c.h.Damage) < maxDamage {
		c.h.Damage = append(c.h.Damage, Damage{where, err})
	}
}

// metas wants both meta pages to be sound. With one of them the file works, and
// is the last state but one.
func (c *checker) metas(r io.ReaderAt, m meta) {
	if page, err := otherMeta(r, m); err != nil {
		c.damage(fmt.Sprintf("page %d", page), fmt.Errorf("%w: %w: %w; the last write may be missing", ErrCorrupt, ErrMeta, err))
	}
}

// store checks what the buckets hold.
func (c *checker) store(root *bolts) error {
	head := root.bucket(bucketMeta)
	if head == nil {
		if len(root.values)+len(root.buckets) > 0 && root.bucket(bucketProcesses) == nil {
			return fmt.Errorf("%w: it is a bbolt file of another program", ErrNotStore)
		}
		if c.h.Sound() { // bbolt has made the file, and nothing was stored
			c.damage("head of the store", fmt.Errorf("%w: no version in it", ErrCorrupt))
		}
	} else {
		switch v := head.get(keyVersion); {
		case len(v) != 1 || v[0] == 0:
			c.damage("head of the store", fmt.Errorf("%w: no version in it", ErrCorrupt))
		case v[0] > formatVersion:
			c.damage("head of the store", fmt.Errorf("%w: format %d, this one knows up to %d", ErrVersion, v[0], formatVersion))
			return nil // its parts may mean anything
		}
		if err := compareCommit(head.sequence, c.m); err != nil {
			c.damage("head of the store", err)
		}
	}
	for _, name := range [][]byte{bucketPrograms, bucketProcesses} {
		if root.bucket(name) == nil {
			c.damage("head of the store", fmt.Errorf("%w: the %s are missing", ErrCorrupt, name))
		}
	}
	programs := map[string]program{}
	if b := root.bucket(bucketPrograms); b != nil {
		for _, p := range b.buckets {
			c.program(p, programs)
		}
	}
	if b := root.bucket(bucketProcesses); b != nil {
		found := len(c.h.Damage)
		for _, p := range b.buckets {
			c.process(p, programs)
		}
		// Where the snapshots of a process are damaged, so is the sum of all.
		if err := compareSum(c.sum, b.sequence); err != nil && len(c.h.Damage) == found {
			c.damage("the processes", err)
		}
	}
	slices.SortFunc(c.h.Processes, func(a, b ProcessHealth) int { return a.Process.Compare(b.Process) })
	return nil
}

// program is what the snapshots of its processes need of a program.
type program struct {
	dict       *dict // nil: there is no such program
	generation uint64
}

// program reads a dictionary. Names behind a gap keep their numbers.
func (c *checker) program(b boltsBucket, programs map[string]program) {
	where := fmt.Sprintf("program %x", b.key)
	identity := b.get(keyIdentity)
	if cur, err := unseal(nil, keyIdentity, identity); err != nil {
		c.damage(where, fmt.Errorf("its name: %w", err))
	} else if name := cur.string(); !bytes.Equal(bucketKey(identity), b.key) {
		c.damage(where, fmt.Errorf("%w: %.60q lies under a wrong key", ErrCorrupt, name))
	} else {
		where = fmt.Sprintf("program %.60q", name)
	}
	d := &dict{}
	programs[string(b.key)] = program{d, b.sequence}
	owner := ownerOf(b.key, b.sequence)
	names := b.bucket(bucketNames)
	if names == nil {
		c.damage(where, fmt.Errorf("%w: its type names are missing", ErrCorrupt))
		return
	}
	var blocks [][]string
	next := 0
	for _, v := range names.values {
		// What follows a gap would get wrong numbers, hence wrong names.
		if len(v.key) != 4 || uint64(binary.BigEndian.Uint32(v.key)) != uint64(next) {
			c.damage(where, fmt.Errorf("%w: type names from number %d on are missing, the next are those of %x", ErrCorrupt, next, v.key))
			break
		}
		block, err := decodeNames(owner, v.key, v.value)
		if err != nil {
			c.damage(where, fmt.Errorf("type names from number %d on: %w", next, err))
			break
		}
		blocks, next = append(blocks, block), next+len(block)
	}
	if err := d.addAll(blocks); err != nil {
		c.damage(where, err)
	}
	c.h.Names += len(d.names)
}

func (c *checker) process(b boltsBucket, programs map[string]program) {
	where := fmt.Sprintf("process %x", b.key)
	identity := b.get(keyIdentity)
	p, err := decodeProcess(identity)
	switch {
	case err != nil:
		c.damage(where, fmt.Errorf("its identity: %w", err))
	case !bytes.Equal(bucketKey(identity), b.key):
		c.damage(where, fmt.Errorf("%w: %v lies under a wrong key", ErrCorrupt, p))
	default:
		where = p.String()
	}
	prog := programs[string(bucketKey(encodeProgram(p.Program)))]
	d := prog.dict
	if d == nil {
		if err == nil {
			c.damage(where, fmt.Errorf("%w: it has no type names", ErrCorrupt))
		}
		d = &dict{}
	}
	bases := &checkedBases{d: d, owner: ownerOf(b.key, b.sequence, prog.generation), values: map[uint32]boltsValue{}, used: map[uint32]bool{}}
	if in := b.bucket(bucketBases); in == nil {
		c.damage(where, fmt.Errorf("%w: its bases are missing", ErrCorrupt))
	} else {
		for _, v := range in.values {
			if len(v.key) != 4 {
				c.damage(where, fmt.Errorf("%w: base under key %x", ErrCorrupt, v.key))
				continue
			}
			n := binary.BigEndian.Uint32(v.key)
			c.h.Bases++
			bases.values[n] = v
			if _, err := d.decodeBase(bases.owner, v.key, v.value); err != nil {
				c.damage(fmt.Sprintf("%s, base %d", where, n), err)
			}
		}
	}
	h := ProcessHealth{Process: p, First: -1}
	in := b.bucket(bucketSnapshots)
	if in == nil {
		c.damage(where, fmt.Errorf("%w: its snapshots are missing", ErrCorrupt))
		in = &bolts{}
	}
	var sum uint64
	process := hashOf(b.key)
	for _, v := range in.values {
		sum += fingerprint(process, v.key)
	}
	c.sum += sum
	if err := compareSum(sum, in.sequence); err != nil {
		c.damage(where, err)
	}
	for _, v := range in.values {
		at := fmt.Sprintf("%s, snapshot %x", where, v.key)
		uptime, basis, _, err := parseKey(v.key)
		if err == nil {
			at = fmt.Sprintf("%s at %v (%s)", where, uptime, basis)
			err = c.snapshot(p, d, bases, v)
		}
		if err != nil {
			h.Damaged++
			c.damage(at, err)
			continue
		}
		h.Readable++
		if h.First < 0 || uptime < h.First {
			h.First = uptime
		}
		h.Last = max(h.Last, uptime)
	}
	for n := range bases.values {
		if !bases.used[n] {
			c.h.Unused++
		}
	}
	h.First = max(h.First, 0)
	c.h.Processes = append(c.h.Processes, h)
}

// checkedBases are the bases of a process, of which the latest few are held
// decoded.
type checkedBases struct {
	d      *dict
	owner  []byte
	values map[uint32]boltsValue
	used   map[uint32]bool
	tables map[uint32]*table
}

func (b *checkedBases) table(n uint32) (*table, error) {
	if n == 0 {
		return noBase, nil
	}
	b.used[n] = true
	if t := b.tables[n]; t != nil {
		return t, nil
	}
	v, ok := b.values[n]
	if !ok {
		return nil, fmt.Errorf("%w: its base %d is missing", ErrCorrupt, n)
	}
	t, err := b.d.decodeBase(b.owner, v.key, v.value)
	if err != nil {
		return nil, fmt.Errorf("its base %d: %w", n, err)
	}
	if b.tables == nil || len(b.tables) >= maxBases {
		b.tables = map[uint32]*table{}
	}
	b.tables[n] = t
	return t, nil
}

func (c *checker) snapshot(p heap.Process, d *dict, bases *checkedBases, v boltsValue) error {
	r, err := decodeRecord(p, bases.owner, v.key, v.value)
	if err != nil || !r.table {
		return err
	}
	base, err := bases.table(r.base)
	if err != nil {
		return err
	}
	s := r.snap
	if s.Types, err = d.apply(base, r.rest, r.rows); err != nil {
		return err
	}
	if err := s.Valid(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}
