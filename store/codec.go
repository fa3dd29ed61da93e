package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	// formatVersion is the version of the file: from 2 on it keeps counts, which a
	// writer of version 1 would not.
	formatVersion = 2
	// valueVersion is the first byte of every value that lies in the bucket of a
	// process or program: its checksum covers where it belongs.
	valueVersion = 2
	// identityVersion is the first byte of an identity, which needs no owner: the name
	// of its bucket is made from it, and would be another with another version.
	identityVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is CRC-32C of owner, key and body. Owner and key are in it so that a
// value found in a wrong place is noticed.
func checksum(owner, key, body []byte) uint32 {
	sum := crc32.Update(crc32.Checksum(owner, castagnoli), castagnoli, key)
	return crc32.Update(sum, castagnoli, body)
}

// ownerOf is what the checksums of the values of a bucket begin with: its name, and
// the generations that tell it from one that had the name before. The values of a process
// have the generation of their program, too, whose numbers stand for type names in them.
func ownerOf(bucket []byte, generations ...uint64) []byte {
	b := bytes.Clone(bucket)
	for _, n := range generations {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// seal ends a value with its checksum.
func seal(owner, key, body []byte) []byte {
	return binary.BigEndian.AppendUint32(body, checksum(owner, key, body))
}

// unseal checks version and checksum of a value and returns a cursor behind
// the version byte. A future version is told before the checksum is looked at,
// because that version may have none. Values of version 1 have no owner.
func unseal(owner, key, value []byte) (*cursor, error) {
	if len(value) < 5 {
		return nil, fmt.Errorf("%w: value of %d bytes", ErrCorrupt, len(value))
	}
	switch v := value[0]; {
	case v == 0:
		return nil, fmt.Errorf("%w: value of version 0", ErrCorrupt)
	case v > valueVersion:
		return nil, fmt.Errorf("%w: value of version %d, this leaktrack reads up to %d", ErrVersion, v, valueVersion)
	case v == 1:
		owner = nil
	}
	body := value[:len(value)-4]
	if checksum(owner, key, body) != binary.BigEndian.Uint32(value[len(body):]) {
		return nil, fmt.Errorf("%w: checksum of a value does not match", ErrCorrupt)
	}
	return &cursor{b: body[1:]}, nil
}

var (
	errShort   = errors.New("value ends early")
	errNumber  = errors.New("number out of range")
	errTrailer = errors.New("bytes after the end of a value")
)

// cursor reads the fields of a value. The first failure sticks, so that a
// sequence of reads needs one check at its end.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.fail(errShort)
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *cursor) uvarint() uint64 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := c.b[0]
		c.b = c.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail(errShort)
		return 0
	}
	c.b = c.b[n:]
	return v
}

// varint reads a zigzag number.
func (c *cursor) varint() int64 {
	u := c.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// number reads an unsigned number below 2^63.
func (c *cursor) number() int64 {
	u := c.uvarint()
	if int64(u) < 0 {
		c.fail(errNumber)
		return 0
	}
	return int64(u)
}

// length reads the number of things that follow, each at least size bytes
// long, so that memory taken for them is bounded by the value itself.
func (c *cursor) length(size int) int {
	u := c.uvarint()
	if u > uint64(len(c.b)/size) {
		c.fail(errShort)
		return 0
	}
	return int(u)
}

func (c *cursor) bytes() []byte {
	n := c.length(1)
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) string() string { return string(c.bytes()) }

// end returns the failure of the reads so far, or that something is left.
func (c *cursor) end() error {
	if c.err == nil && len(c.b) > 0 {
		c.fail(errTrailer)
	}
	if c.err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, c.err)
	}
	return nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
