package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// Names of buckets and keys; doc.go tells what they hold.
var (
	bucketMeta      = []byte("leaktrack")
	bucketPrograms  = []byte("programs")
	bucketProcesses = []byte("processes")
	bucketNames     = []byte("names")
	bucketBases     = []byte("bases")
	bucketSnapshots = []byte("snapshots")
	keyVersion      = []byte("version")
	keyIdentity     = []byte("identity")
)

func encodeProgram(program string) []byte {
	return seal(nil, keyIdentity, appendString([]byte{identityVersion}, program))
}

func encodeProcess(p heap.Process) []byte {
	b := appendString([]byte{identityVersion}, p.Host)
	b = appendString(b, p.Program)
	b = binary.AppendUvarint(b, uint64(p.PID))
	b = binary.AppendVarint(b, p.StartNanos)
	b = binary.AppendUvarint(b, uint64(p.Run))
	return seal(nil, keyIdentity, b)
}

func decodeProcess(value []byte) (heap.Process, error) {
	c, err := unseal(nil, keyIdentity, value)
	if err != nil {
		return heap.Process{}, err
	}
	p := heap.Process{Host: c.string(), Program: c.string()}
	pid := c.number()
	p.StartNanos = c.varint()
	run := c.number()
	if pid > math.MaxInt || run > math.MaxInt {
		c.fail(errNumber)
	}
	p.PID, p.Run = int(pid), int(run)
	return p, c.end()
}

// bucketKey names the bucket of an identity. bbolt bounds keys at 32 KiB,
// names of programs and hosts may be longer.
func bucketKey(identity []byte) []byte {
	h := sha256.Sum256(identity)
	return h[:16]
}

// space is the part of the file that belongs to one process.
type space struct {
	process      heap.Process
	owner        []byte // of its bases and snapshots
	programOwner []byte // of the type names
	names        *bbolt.Bucket
	bases        *bbolt.Bucket
	snapshots    *bbolt.Bucket
	processes    *bbolt.Bucket // that all of this lies in
}

func newSpace(tx *bbolt.Tx, p heap.Process, prog, proc *bbolt.Bucket) *space {
	return &space{
		process: p, processes: tx.Bucket(bucketProcesses), owner: ownerOf(bucketKey(encodeProcess(p)), proc.Sequence(), prog.Sequence()),
		programOwner: ownerOf(bucketKey(encodeProgram(p.Program)), prog.Sequence()),
		names:        prog.Bucket(bucketNames), bases: proc.Bucket(bucketBases), snapshots: proc.Bucket(bucketSnapshots),
	}
}

// record reads a snapshot of s up to its entries.
func (s *space) record(key, value []byte) (*record, error) {
	return decodeRecord(s.process, s.owner, key, value)
}

// find returns the space of p, or nil when the store does not hold p.
func find(tx *bbolt.Tx, p heap.Process) (*space, error) {
	identity := encodeProcess(p)
	b := tx.Bucket(bucketProcesses).Bucket(bucketKey(identity))
	if b == nil {
		return nil, nil
	}
	have, err := decodeProcess(b.Get(keyIdentity))
	if err != nil {
		return nil, err
	}
	if have != p {
		return nil, fmt.Errorf("%w: %v lies where %v belongs", ErrCorrupt, have, p)
	}
	prog := tx.Bucket(bucketPrograms).Bucket(bucketKey(encodeProgram(p.Program)))
	if prog == nil {
		return nil, fmt.Errorf("%w: %v has no type names", ErrCorrupt, p)
	}
	s := newSpace(tx, p, prog, b)
	if s.names == nil || s.bases == nil || s.snapshots == nil {
		return nil, fmt.Errorf("%w: a part of %v is missing", ErrCorrupt, p)
	}
	return s, nil
}

// findOrCreate is find in a transaction that writes.
func findOrCreate(tx *bbolt.Tx, p heap.Process) (*space, error) {
	if s, err := find(tx, p); s != nil || err != nil {
		return s, err
	}
	prog, err := makeBucket(tx, bucketPrograms, encodeProgram(p.Program), bucketNames)
	if err != nil {
		return nil, err
	}
	proc, err := makeBucket(tx, bucketProcesses, encodeProcess(p), bucketBases, bucketSnapshots)
	if err != nil {
		return nil, err
	}
	return newSpace(tx, p, prog, proc), nil
}

// makeBucket finds the bucket of an identity or makes it, with a generation that no
// bucket of the file had before.
func makeBucket(tx *bbolt.Tx, in, identity []byte, children ...[]byte) (*bbolt.Bucket, error) {
	key := bucketKey(identity)
	parent := tx.Bucket(in)
	if b := parent.Bucket(key); b != nil {
		return b, nil
	}
	b, err := parent.CreateBucket(key)
	if err != nil {
		return nil, err
	}
	generation, err := tx.Bucket(bucketPrograms).NextSequence()
	if err == nil {
		err = b.SetSequence(generation)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range children {
		if _, err := b.CreateBucket(name); err != nil {
			return nil, err
		}
	}
	return b, b.Put(keyIdentity, identity)
}

// fingerprint stands for a snapshot in the sums that tell whether one is missing:
// FNV-1a of the name of its process's bucket and of its key. The value has a checksum of
// its own, and one that is damaged does not keep the others from being read.
//
// process is the hash of the name, which is computed once for many keys; hash/fnv could not
// go on from it.
func fingerprint(process uint64, key []byte) uint64 {
	for _, c := range key {
		process = (process ^ uint64(c)) * 1099511628211 // the prime of FNV for 64 bits
	}
	return process
}

func hashOf(name []byte) uint64 {
	return fingerprint(14695981039346656037, name) // FNV's offset basis for 64 bits
}

// added and removed keep the sums when a snapshot comes and goes.
func (s *space) added(key []byte) error   { return s.add(fingerprint(hashOf(s.owner[:16]), key)) }
func (s *space) removed(key []byte) error { return s.add(-fingerprint(hashOf(s.owner[:16]), key)) }

func (s *space) add(difference uint64) error {
	return errors.Join(s.snapshots.SetSequence(s.snapshots.Sequence()+difference), s.processes.SetSequence(s.processes.Sequence()+difference))
}

// upgrade makes a file of version 1 one of version 2, which has sums.
func upgrade(tx *bbolt.Tx) error {
	head := tx.Bucket(bucketMeta)
	if head == nil || bytes.Equal(head.Get(keyVersion), []byte{formatVersion}) {
		return nil // it is being made, or is of this version
	}
	processes := tx.Bucket(bucketProcesses)
	var total uint64
	err := processes.ForEachBucket(func(k []byte) error {
		s := processes.Bucket(k).Bucket(bucketSnapshots)
		if s == nil {
			return nil // it is damaged, which is told to who reads it
		}
		var sum uint64
		process, c := hashOf(k), s.Cursor()
		for key, _ := c.First(); key != nil; key, _ = c.Next() {
			sum += fingerprint(process, key)
		}
		total += sum
		return s.SetSequence(sum)
	})
	if err == nil {
		err = processes.SetSequence(total)
	}
	if err != nil {
		return err
	}
	return head.Put(keyVersion, []byte{formatVersion})
}

// signed notes in the tree which commit it is of.
func signed(tx *bbolt.Tx) error {
	return tx.Bucket(bucketMeta).SetSequence(uint64(tx.ID()))
}

// number32 is the key of the dictionary's blocks and of bases.
func number32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// update brings d up to what the transaction sees.
func (d *dict) update(s *space) error {
	next := uint64(len(d.names))
	var blocks [][]string
	c := s.names.Cursor()
	for k, v := c.Seek(number32(uint32(next))); k != nil; k, v = c.Next() {
		if len(k) != 4 || uint64(binary.BigEndian.Uint32(k)) != next {
			return fmt.Errorf("%w: type names from %x on, %d was expected", ErrCorrupt, k, next)
		}
		block, err := decodeNames(s.programOwner, k, v)
		if err != nil {
			return err
		}
		blocks = append(blocks, block)
		next += uint64(len(block))
	}
	return d.addAll(blocks)
}

// base returns the base with this number.
func (s *space) base(d *dict, number uint32) (*table, error) {
	if number == 0 {
		return noBase, nil
	}
	key := number32(number)
	v := s.bases.Get(key)
	if v == nil {
		return nil, fmt.Errorf("%w: base %d of %v is missing", ErrCorrupt, number, s.process)
	}
	return d.decodeBase(s.owner, key, v)
}
