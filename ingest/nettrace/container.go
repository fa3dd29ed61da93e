package nettrace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"leaktrack/ingest/internal/wire"
	"leaktrack/ingest/syntax"
)

const (
	magic     = "Nettrace"
	serialize = "!FastSerialization.1"
)

// Tags of the object container (V3 and V4).
const (
	tagNull       = 1 // also the end of the stream
	tagBeginV3    = 4
	tagBegin      = 5
	tagEndObject  = 6
	traceV3Legacy = "Microsoft.DotNet.Runtime.EventPipeFile"
)

// Kinds of V6 blocks.
const (
	kindEnd = iota
	kindTrace
	kindEvent
	kindMetadata
	kindSequencePoint
	kindStack
	kindThread
	kindRemoveThread
	kindLabelList
)

// Sniff reports whether head, the first bytes of an input (64 are enough),
// starts like an EventPipe stream. A .gcdump file starts with the same
// container and is told apart by its first object.
func Sniff(head []byte) bool {
	if bytes.HasPrefix(head, []byte(magic)) {
		return true
	}
	lead := append([]byte{20, 0, 0, 0}, serialize...)
	rest, ok := bytes.CutPrefix(head, lead)
	if !ok || len(rest) < 15 {
		return false
	}
	// tag, tag, null tag, version, minimum version, length, name
	return bytes.HasPrefix(rest[15:], []byte("Trace")) || bytes.HasPrefix(rest[15:], []byte(traceV3Legacy))
}

// full reads n bytes into the decoder's buffer, taking memory only as bytes
// arrive.
func (d *Decoder) full(n int) ([]byte, error) {
	got := 0
	for got < n {
		want := min(n, got+readStep)
		if cap(d.buf) < want {
			d.buf = append(make([]byte, 0, max(want, min(n, 2*cap(d.buf)))), d.buf[:got]...)
		}
		d.buf = d.buf[:want]
		m, err := io.ReadFull(d.r, d.buf[got:want])
		d.off += int64(m)
		got += m
		if err != nil {
			return nil, d.cut(err)
		}
	}
	return d.buf[:n], nil
}

func (d *Decoder) skip(n int) error {
	m, err := d.r.Discard(n)
	d.off += int64(m)
	if err != nil {
		return d.cut(err)
	}
	return nil
}

// cut turns the end of the input into ErrTruncated with its place.
func (d *Decoder) cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &syntax.Error{File: d.name, Offset: d.off, Msg: "cut short", Err: ErrTruncated}
	}
	return fmt.Errorf("reading %s at %#x: %w", d.name, d.off, err)
}

func (d *Decoder) byte() (byte, error) {
	b, err := d.r.ReadByte()
	if err != nil {
		return 0, d.cut(err)
	}
	d.off++
	return b, nil
}

// start reads the lead of the stream.
func (d *Decoder) start() error {
	head, err := d.r.Peek(8)
	if err != nil {
		if len(head) == 0 && err == io.EOF {
			return fmt.Errorf("%s: empty: %w", d.name, syntax.ErrNotMine)
		}
		if err != io.EOF {
			return d.cut(err)
		}
		if !bytes.HasPrefix([]byte(magic), head) {
			return fmt.Errorf("%s: %w", d.name, syntax.ErrNotMine)
		}
		return d.cut(err)
	}
	if string(head) == magic {
		d.skip(8)
		b, err := d.full(4)
		if err != nil {
			return err
		}
		switch n := binary.LittleEndian.Uint32(b); n {
		case 20:
			if b, err = d.full(20); err != nil {
				return err
			}
			if string(b) != serialize {
				return d.fail(12, "container %.40q is not %q", b, serialize)
			}
			d.trace.Format = 4
		case 0:
			if b, err = d.full(8); err != nil {
				return err
			}
			if major := binary.LittleEndian.Uint32(b); major != 6 {
				return d.fail(12, "nettrace version %d is not supported, only 4 to 6", major)
			}
			d.trace.Format = 6
		default:
			return d.fail(8, "neither version 4 nor 6 of nettrace (%#x)", n)
		}
		return nil
	}
	if head, _ = d.r.Peek(64); !Sniff(head) {
		return fmt.Errorf("%s: %w", d.name, syntax.ErrNotMine)
	}
	d.trace.Format = 3
	return d.skip(24)
}

// nextBlock reads on to the next block of events or metadata and makes it
// current. It returns io.EOF at the end mark.
func (d *Decoder) nextBlock() error {
	if d.trace.Format == 0 {
		if err := d.start(); err != nil {
			return err
		}
	}
	if d.trace.Format == 6 {
		return d.blockV6()
	}
	at := d.off
	tag, err := d.byte()
	if err != nil {
		return err
	}
	switch {
	case tag == tagNull:
		if !d.seen {
			return d.fail(at, "ends without a trace object")
		}
		return io.EOF
	case tag == 'N':
		// Seen when sessions were opened on a runtime suspended at start: two
		// writers share one connection.
		return d.fail(at, "a second stream starts in the middle of this one")
	case tag != tagBegin && !(tag == tagBeginV3 && d.trace.Format == 3):
		return d.fail(at, "tag %#x where an object should start", tag)
	}
	name, err := d.objectType(tag)
	if err != nil {
		return err
	}
	if !d.seen && name != "Trace" {
		return d.fail(at, "first object is %.40q, not Trace", name)
	}
	switch name {
	case "Trace":
		b, err := d.full(48)
		if err != nil {
			return err
		}
		if d.seen {
			return d.fail(at, "second trace object")
		}
		if err := d.readTrace(b, at); err != nil {
			return err
		}
	default:
		if err := d.sizedBlock(name, at); err != nil {
			return err
		}
	}
	end := d.off
	if tag, err = d.byte(); err != nil {
		// What the object held has arrived whole and is used first; the next
		// call meets the same end.
		if d.kind != noBlock && errors.Is(err, ErrTruncated) {
			return nil
		}
		return err
	}
	if tag != tagEndObject {
		return d.fail(end, "tag %#x where object %.40q should end", tag, name)
	}
	return nil
}

// objectType reads the type object behind a begin tag and returns its name.
func (d *Decoder) objectType(begin byte) (string, error) {
	at := d.off
	b, err := d.full(14)
	if err != nil {
		return "", err
	}
	n := binary.LittleEndian.Uint32(b[10:])
	if b[0] != begin || b[1] != tagNull || n == 0 || n > maxTypeName {
		return "", d.fail(at, "malformed object type")
	}
	if b, err = d.full(int(n)); err != nil {
		return "", err
	}
	name := string(b)
	end, err := d.byte()
	if err != nil {
		return "", err
	}
	if end != tagEndObject {
		return "", d.fail(d.off-1, "tag %#x where type %.40q should end", end, name)
	}
	if name == traceV3Legacy {
		name = "Trace"
	}
	return name, nil
}

// sizedBlock reads the size, the padding and the content of a V3/V4 block.
func (d *Decoder) sizedBlock(name string, at int64) error {
	b, err := d.full(4)
	if err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint32(b))
	if size > maxBlock {
		return d.fail(at, "%.40s of %d bytes; the largest allowed is %d", name, size, maxBlock)
	}
	if err := d.skip(int(-d.off & 3)); err != nil {
		return err
	}
	switch {
	case name == "EventBlock" && d.trace.Format == 3:
		return d.enter(eventBlockV3, int(size))
	case name == "EventBlock":
		return d.enter(eventBlock, int(size))
	case name == "MetadataBlock":
		return d.enter(metadataBlock, int(size))
	case name == "SPBlock":
		return d.sequencePoint(int(size))
	}
	return d.skip(int(size)) // stacks, and blocks of later versions
}

// enter reads a block of records and makes it current.
func (d *Decoder) enter(kind blockKind, size int) error {
	base := d.off
	b, err := d.full(size)
	if err != nil {
		return err
	}
	d.blockBase, d.block, d.hdr = base, wire.New(b), header{}
	if kind != eventBlockV3 {
		n := int(d.block.U16())
		rest := n - 2
		if kind == metadataBlock && d.trace.Format == 6 {
			rest = n // does not count itself, and has no compression flag
		} else {
			if flags := d.block.U16(); n < 20 {
				d.block.Fail(fmt.Errorf("block header of %d bytes", n))
			} else {
				d.compact = flags&1 != 0
			}
			rest -= 2
		}
		d.block.Skip(rest)
		if err := d.block.Err(); err != nil {
			return &syntax.Error{File: d.name, Offset: base, Msg: "malformed block", Err: err}
		}
	}
	d.kind = kind
	return nil
}

// sequencePoint reads an SPBlock (V4).
func (d *Decoder) sequencePoint(size int) error {
	base := d.off
	b, err := d.full(size)
	if err != nil {
		return err
	}
	c := wire.New(b)
	c.Skip(8) // timestamp
	for n := c.U32(); n > 0 && c.Err() == nil; n-- {
		thread, seq := c.U64(), c.U32()
		if c.Err() != nil {
			break
		}
		if err := d.seq.point(thread, seq); err != nil {
			return d.fail(base, "%v", err)
		}
	}
	if err := c.Err(); err != nil {
		return &syntax.Error{File: d.name, Offset: base, Msg: "malformed sequence point", Err: err}
	}
	return nil
}

// readTrace reads the body of the Trace object (V3 and V4).
func (d *Decoder) readTrace(b []byte, at int64) error {
	c := wire.New(b)
	t := &d.trace
	t.Start = systemTime(&c)
	t.StartTicks = int64(c.U64())
	t.Frequency = int64(c.U64())
	t.PointerSize = int(c.U32())
	t.PID = int(int32(c.U32()))
	t.Processors = int(int32(c.U32()))
	return d.checkTrace(at)
}

func (d *Decoder) checkTrace(at int64) error {
	t := &d.trace
	if t.PointerSize != 4 && t.PointerSize != 8 {
		return d.fail(at, "pointers of %d bytes", t.PointerSize)
	}
	if t.PID < 0 {
		t.PID = 0
	}
	d.seen = true
	return nil
}

// systemTime reads a Windows SYSTEMTIME, UTC; the zero time when it is none.
func systemTime(c *wire.Cursor) time.Time {
	var f [8]int
	for i := range f {
		f[i] = int(c.U16())
	}
	if f[0] < 1601 || f[0] > 9999 || f[1] < 1 || f[1] > 12 || f[3] < 1 || f[3] > 31 ||
		f[4] > 23 || f[5] > 59 || f[6] > 60 || f[7] > 999 {
		return time.Time{}
	}
	return time.Date(f[0], time.Month(f[1]), f[3], f[4], f[5], f[6], f[7]*1e6, time.UTC)
}
