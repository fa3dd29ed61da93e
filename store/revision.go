package store

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"leaktrack/heap"
)

// Revision is a number that stays while the stored snapshots of p stay and
// differs, but for one chance in 2^32, when one was added, replaced or removed.
// It reads keys and checksums only, so that whoever keeps what was computed
// from the snapshots can ask often.
func (db *DB) Revision(p heap.Process) (uint64, error) {
	h := fnv.New64a()
	err := db.view(func(tx *bbolt.Tx) error {
		s, err := find(tx, p)
		if err != nil {
			return err
		}
		if s == nil {
			return fmt.Errorf("process %v: %w", p, ErrNotFound)
		}
		c := s.snapshots.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			h.Write(k)
			h.Write(v[max(0, len(v)-4):]) // the checksum covers key and value
		}
		return nil
	})
	if err != nil {
		return 0, db.fail(err)
	}
	return h.Sum64(), nil
}

// SnapshotsFrom is [DB.Snapshots] from the given uptime on.
func (db *DB) SnapshotsFrom(p heap.Process, uptime time.Duration) iter.Seq2[*heap.Snapshot, error] {
	// A key is the uptime and one byte: its front alone sorts before all of them.
	return db.snapshots(p, binary.BigEndian.AppendUint64(nil, uint64(max(0, uptime))))
}
