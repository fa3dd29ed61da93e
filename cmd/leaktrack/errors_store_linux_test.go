package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// storeFailures are those of the store, and of what is written.
var storeFailures = map[string]failure{
	"store-missing":          {run: "trend"},
	"store-empty":            {run: "--db empty.log trend"},
	"store-not":              {run: "--db good.log trend"},
	"store-not-empty":        {run: "--db empty.log db check"},
	"store-folder":           {run: "--db notes trend"},
	"store-fifo":             {run: "--db pipe trend", before: func(t *testing.T, s *scene) { check(t, unix.Mkfifo(s.path("pipe"), 0o600)) }},
	"store-other":            {run: "--db other.db trend", before: otherBolt},
	"store-newer":            {run: "--db shop.db trend", before: newerStore},
	"store-damaged":          {run: "--db shop.db db check", before: damaged},
	"store-damaged-open":     {run: "--db shop.db trend", before: func(t *testing.T, s *scene) { check(t, os.Truncate(s.path("shop.db"), 20000)) }},
	"store-damaged-values":   {run: "--db shop.db db compact", before: damaged},
	"store-damaged-read":     {run: "--db calm.db trend", before: altered("snapshots", []byte{})},
	"store-damaged-export":   {run: "--db calm.db export -o x.jsonl", before: altered("snapshots", []byte{})},
	"store-damaged-one":      {run: "--db calm.db list Calm", before: altered("snapshots", []byte{})},
	"store-damaged-snapshot": {run: "--db calm.db trend", before: altered("names", nil)},
	"store-newer-read":       {run: "--db calm.db trend", before: altered("snapshots", []byte{99, 1, 2, 3, 4, 5, 6, 7, 8})},
	"store-newer-export":     {run: "--db calm.db export -o x.jsonl", before: altered("snapshots", []byte{99, 1, 2, 3, 4, 5, 6, 7, 8})},
	"store-newer-value":      {run: "--db calm.db list Calm", before: altered("snapshots", []byte{99, 1, 2, 3, 4, 5, 6, 7, 8})},
	"store-mixed":            {run: "--db calm.db trend", before: copiedBolt, remedy: copiedAgain},
	"store-mixed/missing":    {run: "--db calm.db list", before: missingSnapshot, remedy: copiedAgain},
	"store-mixed-compact":    {run: "--db calm.db db compact", before: copiedBolt, remedy: copiedAgain},
	"store-mixed-backup":     {run: "--db calm.db db backup x.db", before: missingSnapshot, remedy: copiedAgain},
	"store-damaged-backup":   {run: "--db shop.db db backup x.db", before: func(t *testing.T, s *scene) { check(t, os.Truncate(s.path("shop.db"), 20000)) }},
	"store-damaged-copy":     {run: "--db shop.db db backup x.db", before: damaged},
	"store-newer-compact":    {run: "--db shop.db db compact", before: newerStore},
	"store-newer-backup":     {run: "--db shop.db db backup x.db", before: newerStore},
	"store-not-check":        {run: "--db good.log db check"},
	"store-not-compact":      {run: "--db other.db db compact", before: otherBolt},
	"store-not-backup":       {run: "--db notes db backup x.db"},
	"store-locked":           {run: "--db shop.db trend", before: locked},
	"store-read":             {run: "--db private.log trend", before: forbid("private.log"), nobody: true},
	"store-write":            {run: "--db closed/x.db ingest good.log", before: func(t *testing.T, s *scene) { makeFolder(t, s, "closed", 0o555) }, nobody: true},
	"store-no-folder":        {run: "--db none/x.db ingest good.log"},
	"store-read-only":        {run: "--db disk/x.db ingest good.log", mount: "readonly"},
	"store-full":             {run: "--db disk/x.db ingest good.log", mount: "full"},
	"store-meta":             {run: "--db shop.db db check", before: damagedMeta, remedy: compacted},
	"store-meta-backup":      {run: "--db shop.db db backup x.db", before: damagedMeta, remedy: compacted},
	"store-no-snapshots": {run: "--db shop.db list", before: func(t *testing.T, s *scene) {
		runs(t, s, "--db", "shop.db", "db", "prune", "--keep", "0", "--older-than", "1d")
	}},
	"process-unknown":  {run: "--db shop.db trend Shop.Web"},
	"program-unknown":  {run: "--db shop.db trend --program Shop.Web"},
	"program-hosts":    {run: "--db two.db plot --program Shop -o x.png", before: func(t *testing.T, s *scene) { runs(t, s, "--db", "two.db", "ingest", "hosts.jsonl") }},
	"type-unknown":     {run: "--db shop.db trend --type Shop.Warehouse.Basket"},
	"type-near":        {run: "--db shop.db trend --type System.Strin"},
	"basis-none":       {run: "--db shop.db show --basis live CLRHeapLeak.exe"},
	"no-types":         {run: "--db shop.db diff w3wp"},
	"plot-nothing":     {run: "--db sizes.db plot -o x.png", before: func(t *testing.T, s *scene) { runs(t, s, "--db", "sizes.db", "ingest", "sizes.jsonl") }},
	"backup-exists":    {run: "--db shop.db db backup good.log"},
	"backup-itself":    {run: "--db shop.db db backup shop.db"},
	"backup-device":    {run: "--db shop.db db backup --force pipe", before: func(t *testing.T, s *scene) { check(t, unix.Mkfifo(s.path("pipe"), 0o600)) }},
	"backup-folder":    {run: "--db shop.db db backup none/x.db"},
	"check-too-few":    {run: "--db one.db check", before: func(t *testing.T, s *scene) { runs(t, s, "--db", "one.db", "ingest", "good.log") }},
	"output-exists":    {run: "--db shop.db report -o good.log CLRHeapLeak.exe"},
	"output-folder":    {run: "--db shop.db report -o notes"},
	"output-no-folder": {run: "--db shop.db report -o none/x.html"},
	"output-forbidden": {run: "--db shop.db export -o closed/x.jsonl", before: func(t *testing.T, s *scene) { makeFolder(t, s, "closed", 0o555) }, nobody: true},
	"output-full":      {run: "--db shop.db export -o disk/x.jsonl", mount: "full"},
	"output-closed":    {run: "--db shop.db export > /dev/full"},
	"core-exists":      {run: "core -o good.log App"},
	"core-lost":        {run: "core -o x.core PID", before: pretending("written")},
	"core-open":        {run: "core --force -o disk/core PID", before: pretending("written"), mount: "readonly"},
	"core-begun":       {run: "core --force -o disk/core PID", before: pretending("written"), mount: "readonly"},
	"trace-place":      {run: "ingest --pid 1 --save-trace good.log/x"},
	"trace-exists":     {run: "ingest --pid PID --save-trace good.log", before: pretending("sessions")},
	"trace-folder":     {run: "ingest --pid PID --quiet --save-trace none/x.nettrace", before: running9, bed: true},
}

func otherBolt(t *testing.T, s *scene) {
	db, err := bbolt.Open(s.path("other.db"), 0o600, nil)
	check(t, err)
	check(t, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("widgets"))
		return err
	}))
	check(t, db.Close())
}

func newerStore(t *testing.T, s *scene) {
	changeStore(t, s.path("shop.db"), func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("leaktrack")).Put([]byte("version"), []byte{99})
	})
}

// changeStore changes a store behind the back of package store, and then makes its
// numbers right (see store/doc.go): the change is all that is wrong with it.
func changeStore(t *testing.T, path string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	behindBack(t, path, change, sumKeys)
}

// behindBack changes a store in one commit, and notes the number of that.
func behindBack(t *testing.T, path string, changes ...func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	check(t, err)
	check(t, db.Update(func(tx *bbolt.Tx) error {
		for _, change := range changes {
			if err := change(tx); err != nil {
				return err
			}
		}
		if head := tx.Bucket([]byte("leaktrack")); head != nil {
			return head.SetSequence(uint64(tx.ID()))
		}
		return nil
	}))
	check(t, db.Close())
}

// sumKeys sums up the keys of the snapshots.
func sumKeys(tx *bbolt.Tx) error {
	processes := tx.Bucket([]byte("processes"))
	if processes == nil {
		return nil
	}
	var total uint64
	err := processes.ForEachBucket(func(process []byte) error {
		snapshots := processes.Bucket(process).Bucket([]byte("snapshots"))
		if snapshots == nil {
			return nil
		}
		var sum uint64
		err := snapshots.ForEach(func(key, _ []byte) error {
			h := fnv.New64a()
			h.Write(process)
			h.Write(key)
			sum += h.Sum64()
			return nil
		})
		total += sum
		return errors.Join(err, snapshots.SetSequence(sum))
	})
	return errors.Join(err, processes.SetSequence(total))
}

// damaged flips a bit in a name of a type.
func damaged(t *testing.T, s *scene) {
	b, err := os.ReadFile(s.path("shop.db"))
	check(t, err)
	changed := bytes.ReplaceAll(b, []byte("System.String"), []byte("Rystem.String"))
	if bytes.Equal(b, changed) {
		t.Fatal("nothing to damage")
	}
	s.write(t, "shop.db", changed)
}

func lock(t *testing.T, s *scene) *os.File {
	f, err := os.Open(s.path("shop.db"))
	check(t, err)
	check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	return f
}

func locked(t *testing.T, s *scene) {
	f := lock(t, s)
	t.Cleanup(func() { f.Close() })
}

// damagedMeta flips a bit of the second meta page of shop.db.
func damagedMeta(t *testing.T, s *scene) {
	b, err := os.ReadFile(s.path("shop.db"))
	check(t, err)
	s.write(t, "shop.db", flipMeta(b))
}

func compacted(t *testing.T, s *scene) {
	runs(t, s, "--db", "shop.db", "db", "compact")
	runs(t, s, "--db", "shop.db", "db", "check")
	runs(t, s, "--db", "shop.db", "db", "backup", "x.db")
}

// copiedBolt has another program of bbolt compact calm.db, which does not keep the
// number of the commit.
func copiedBolt(t *testing.T, s *scene) {
	calm(t, s)
	check(t, os.Rename(s.path("calm.db"), s.path("original.db")))
	from, err := bbolt.Open(s.path("original.db"), 0o600, &bbolt.Options{ReadOnly: true})
	check(t, err)
	to, err := bbolt.Open(s.path("calm.db"), 0o600, &bbolt.Options{NoSync: true})
	check(t, err)
	check(t, errors.Join(bbolt.Compact(to, from, 0), to.Close(), from.Close()))
}

// missingSnapshot makes calm.db a copy in which the snapshots are those of the write
// before the last one.
func missingSnapshot(t *testing.T, s *scene) {
	calm(t, s)
	runs(t, s, "--db", "calm.db", "db", "backup", "original.db")
	behindBack(t, s.path("calm.db"), func(tx *bbolt.Tx) error {
		processes := tx.Bucket([]byte("processes"))
		process, _ := processes.Cursor().First()
		snapshots := processes.Bucket(process).Bucket([]byte("snapshots"))
		last, _ := snapshots.Cursor().Last()
		return snapshots.Delete(last)
	})
}

// copiedAgain tries what the message offers: the original can be copied, and
// ingesting again makes the store anew.
func copiedAgain(t *testing.T, s *scene) {
	runs(t, s, "--db", "original.db", "db", "backup", "--force", "calm.db")
	runs(t, s, "--db", "calm.db", "trend")
	check(t, os.Remove(s.path("calm.db")))
	runs(t, s, "--db", "calm.db", "ingest", "calm.jsonl")
	runs(t, s, "--db", "calm.db", "trend")
}

// lockedBriefly lets go as soon as the command has said that it waits.
func lockedBriefly(t *testing.T, s *scene) {
	f := lock(t, s)
	s.env = append(s.env, "LEAKTRACK_PATIENT=1")
	s.said = func() { f.Close() }
	t.Cleanup(s.said)
}

func calm(t *testing.T, s *scene) {
	s.write(t, "calm.jsonl", []byte(calmLines()))
	runs(t, s, "--db", "calm.db", "ingest", "calm.jsonl")
}

func calmLines() string {
	var b strings.Builder
	for i := range 6 {
		fmt.Fprintf(&b, `{"process":{"program":"Calm","pid":7},"uptime_seconds":%d,"source":"json","basis":"live","complete":true,"types":[{"name":"A","count":100,"bytes":2400}]}`+"\n", 60*(i+1))
	}
	return b.String()
}

// altered gives all that lies in the buckets of that name another value, or with
// nil takes it out.
func altered(name string, value []byte) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		calm(t, s)
		n := 0
		var walk func(b *bbolt.Bucket, inside bool) error
		walk = func(b *bbolt.Bucket, inside bool) error {
			c := b.Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				var err error
				switch {
				case v == nil:
					err = walk(b.Bucket(k), string(k) == name)
				case inside && value == nil:
					err = c.Delete()
					n++
				case inside:
					err = b.Put(k, value)
					n++
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		changeStore(t, s.path("calm.db"), func(tx *bbolt.Tx) error { return walk(tx.Cursor().Bucket(), false) })
		if n == 0 {
			t.Fatal("nothing lies in", name)
		}
	}
}
