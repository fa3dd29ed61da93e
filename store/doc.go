// Package store keeps snapshots of heaps by process and uptime in one bbolt
// file. [heap.Snapshot] values come in and go out unchanged, to the last
// optional number; what is stored once is never stored twice, and what [DB.Put]
// reports as stored is on disk.
//
// # Manners
//
// Reading leaves the file byte for byte as it was, and so does storing what is
// stored already. The file is locked while it is open (flock or LockFileEx),
// exclusively for writing: whoever writes for hours opens, puts and closes for
// each snapshot, so that others can read in between. [Open] waits for a lock,
// says so through [Options.Waiting], and gives up with [ErrLocked].
//
// A process killed at any moment leaves a file that opens and holds what was
// reported as stored. If the younger of bbolt's two meta pages is damaged, the
// file is what it was before the last commit; that is bbolt's way of recovering
// from a torn write, and [Options.Warning] is told of it. Any other damage is an
// error, [ErrCorrupt]: the pages, and that they are of one state with all of its
// snapshots, are checked when the file is opened, the values by checksums when
// they are read.
//
// A commit that fails is undone, so that what is there is on disk; a disk that
// fails the sync of a commit and the undoing, too, can leave a snapshot that a
// power cut takes away.
//
// Copy the file with [Backup]. A plain copy of a file that is being written is
// mostly refused, as its pages do not fit together. What is not refused has the
// snapshots of one commit, not older than the beginning of a copy that begins
// with the first page: the tree says of which commit it is, and has a sum of all
// keys. No value lies in a wrong place, but for one chance in 2^32 for each, as
// the checksums cover the process, the generation of its names and the key; those
// of version 1 of the format do not. What remains: a snapshot that was replaced
// lately ([DB.Put]) may be as it was before.
//
// # Size
//
// A file takes at most 1 MiB, 128 bytes for each type name of usual length, and per
// snapshot 128 bytes when it has no table, otherwise 400 bytes, 12 for each type
// that has changed, and a quarter of a byte for each type. A test holds a watch of 30
// simulated days to it, and to memory that does not grow.
//
// Known limits: the file of a machine cannot be read on one of the other byte
// order, as bbolt stores its own integers as the machine does. Opening reads the
// whole file once. On Windows, Solaris and AIX the pages are checked before the
// lock is taken. A network file system must support locks. What another program
// has written with bbolt, be it only to compact the file, is refused, as it does
// not keep the numbers of the format.
//
// # Format, version 2
//
// The file is one of bbolt, file version 2, with persisted list of free pages.
// It holds these buckets, one in another, and keys; in brackets what the sequence of a
// bucket is, a number that bbolt keeps in the head of each:
//
//	leaktrack                      [number of the last commit]
//	    "version"                  one byte: 02
//	programs                       [buckets ever made in it and in processes]
//	    H(identity of a program)   16 bytes [its generation]
//	        "identity"             value: identity of a program
//	        names
//	            number             4 bytes; value: block of names
//	processes                      [sum of all snapshots]
//	    H(identity of a process)   16 bytes [its generation]
//	        "identity"             value: identity of a process
//	        bases                  [highest number so far]
//	            number             4 bytes; value: base
//	        snapshots              [sum of its snapshots]
//	            uptime kind        9 bytes; value: snapshot
//
// A generation is the sequence of programs after the bucket was counted in it, so
// that a process which is forgotten and comes again differs from what it was. A
// sum adds up, modulo 2^64, FNV-1a (64 bits) of the name of the process's bucket
// and the key, for each snapshot. A sequence of 0 says nothing. The number of the
// commit is that of the meta page in use.
//
// H is the first 16 bytes of SHA-256 of the whole value stored under "identity",
// checksum included. Names may be longer than a key of bbolt, so they are not keys.
//
// In a value, a uvarint is an unsigned number of 7 bits per byte, lowest
// first, the top bit set in all but the last byte; a varint is a signed n as the
// uvarint of 2n, or of -2n-1 when n is negative; a string is its length in
// bytes as uvarint, then the bytes, in no particular encoding. Numbers of
// fixed length are big-endian, so that keys sort as numbers sort. An optional
// number is a uvarint, 0 for unknown and n+1 for n.
//
// Every value begins with its version and ends with four bytes: CRC-32C
// (Castagnoli) of its owner, the key under which it lies and all of the value
// before them. A reader refuses a value of a version that it does not know.
//
// The version is 02, the owner the 16 bytes of the bucket of the program or
// process and its generation, 8 bytes; for bases and snapshots the generation of
// the program follows, 8 bytes. Identities have version 01 and no owner.
//
// A file of version 1 differs in its version and in that its values have version
// 01 and no owner; its sequences are 0. Its first change, or [Compact], makes it
// one of version 2, with numbers and sums. Its values stay as they are and keep
// their version, in copies, too; buckets that are there keep generation 0. A
// writer of version 1, which would not keep the sums, refuses it from then on.
//
// Identity of a program: its name, a string. All runs of a program, on any
// host, share one dictionary of type names, as they have most names in common;
// programs do not, so that dropping a program drops its names and a Put reads
// no names that it does not need.
//
// Identity of a process: host string, program string, pid uvarint, start varint
// in nanoseconds since 1970 UTC (0: unknown), run uvarint. The process
// {web-1, CLRHeapLeak, 2044, 1 s, run 2} is
//
//	01 05 7765622d31 0b 434c52486561704c65616b fc0f 80a8d6b907 02 1fb12a98
//	v  5  w e b - 1  11 C L R H e a p L e a k  2044 10^9       2  CRC
//
// Block of names: how many, a uvarint; then each name, a string, ascending and
// not empty. Names are numbered in the order in which they were first stored,
// from 0; the key is the number of the first name in the block, and blocks
// leave no gaps. A, B and C, the first three types of CLRHeapLeak, generation 1, under
// key 00000000:
//
//	02 03 01 41 01 42 01 43 695bd763
//
// Base: a table that others are written as a difference to. Numbers start at
// 1; 0 means the empty table, which is not stored. Number of rows, a
// uvarint; then rows, as a difference to the empty table. A base is no
// snapshot: it stays as long as any snapshot refers to it, whatever becomes of
// the one it was made for. {A: 46 objects, 736 bytes; B: 1, 24}, under key 00000001 in
// the process above, generation 2:
//
//	02 02 00 5c c00b 00 02 30 128e2803
//	      A  46 736  B  1  24
//
// Rows: for each type whose row differs from the base, by ascending number, a
// uvarint of twice the gap to the number before (n - previous - 1; previous is
// -1 at first), plus 1 if the base lists the type and the table does not.
// Otherwise two varints follow: objects minus those of the base, bytes minus
// those of the base. A type that the base does not list counts as 0, 0 there, and its
// row is written even when it is 0, 0 itself. No row equals its base. The rows
// end where the value's checksum begins.
//
// Key of a snapshot: uptime in nanoseconds, 8 bytes, then its kind: 10 basis
// live, 20 basis all, plus 01 if it holds counters only, that is no table at
// all. So snapshots sort by uptime, then basis, then table before counters, and there is
// one for each process, uptime and kind. A table and a snapshot of counters
// taken at the same uptime do not contradict each other: both are kept.
//
// Snapshot: a byte of flags, a byte of source, then, where the flag is set:
//
//	01 complete         the table lists every type
//	02 estimated
//	04 taken            seconds since 1970 UTC varint, nanoseconds uvarint
//	08 runtime          flavor string, version string
//	10 heap totals      server GC (00 unknown, 01 no, 02 yes); optional numbers:
//	                    heaps, live, committed, free bytes, free count, objects,
//	                    object bytes, limit; then the bytes of each heap and
//	                    of each generation, both as a uvarint how many and
//	                    that many uvarints
//	20 process memory   optional numbers: RSS, private, committed, native heap
//	                    bytes, native heaps, native reserved, limit
//	(always)            warnings: how many, uvarint; each a string for the
//	                    place and one for the text
//	40 table            number of the base uvarint, number of rows uvarint, rows
//	80 partial          the counts are of a part of each type's objects
//
// Sources are 01 sos, 02 gcreport, 03 gcdump, 04 nettrace, 05 core, 06
// live-eventpipe, 07 live-memory, 08 json.
//
// A complete table of basis all at uptime 9 min 56 s, {A: 5403, 86448; C: 2, 48}
// as a difference to the base above, with everything a snapshot can have
// except an estimate:
//
//	key 0000008ac45e4800 20
//	02 7d 01            version, flags, source sos
//	04 05               taken 2 s and 5 ns after 1970
//	03 636c72 00        runtime "clr", version unknown
//	01                  no server GC
//	02 89cbe302         1 heap, 5,825,928 bytes live
//	00 00 00 00 00 00   committed to limit unknown
//	00 03 01 02 03      heaps not broken down; generations 1, 2 and 3 bytes
//	01 00 00 00 00 00   RSS 0 bytes, the next five unknown
//	80808080808080808001  limit 2^63-1
//	01 03 613a31 03 637574  one warning: "a:1", "cut"
//	01 02               base 1, two rows
//	00 da53 a0bb0a      A: 5,357 objects and 85,712 bytes more
//	01                  B: gone
//	00 04 60            C: 2, 48
//	bfce7d35            CRC
//
// Laws: keys ascend with uptime; a number stands for one name for as long as
// the program is there, and a base number for one table for as long as the process is
// there; each snapshot can be read with the dictionary of its program and at
// most one base; what is decoded and encoded again says the same.
//
// When a writer makes a base is its own affair. This one does when the
// difference to the base of the snapshot before is longer than half of the full table, and
// after 64 snapshots; short tables are written in full. It writes a snapshot,
// its names and its base in one transaction.
package store
