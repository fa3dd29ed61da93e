package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// toldLines returns what tells whether doc/errors.md tells of a line on standard
// error. Where a row says CAUSE, one of the causes must stand, or one after the
// other.
func toldLines(t *testing.T) func(line string) bool {
	t.Helper()
	filled := func(text, varying string) string {
		return placeholder.ReplaceAllStringFunc(regexp.QuoteMeta(text), func(word string) string {
			if word == "CAUSE" {
				return varying
			}
			return ".*?" // as little as possible, so that a cause is whole
		})
	}
	// What the system says of a file, and the libraries of a number or a text.
	causes := []string{"unexpected EOF", "invalid character .*", "cannot unmarshal .*", "json: .*", ".*unexpected end of JSON input", "strconv.*", "store is damaged"}
	for _, c := range toldCauses(t) {
		causes = append(causes, filled(c, ".*"))
	}
	cause := "(" + strings.Join(causes, "|") + ")"
	chain := regexp.MustCompile("^" + cause + "(: " + cause + ")*$")
	var rows []*regexp.Regexp
	for _, r := range toldErrors(t) {
		rows = append(rows, regexp.MustCompile("^leaktrack: "+filled(r.message, "(.*)")+"$"))
	}
	return func(line string) bool {
		return slices.ContainsFunc(rows, func(row *regexp.Regexp) bool {
			m := row.FindStringSubmatch(line)
			return m != nil && !slices.ContainsFunc(m[1:], func(c string) bool { return !chain.MatchString(c) })
		})
	}
}

// damages are inputs that were whole, changed in one place.
type damages struct {
	told   func(string) bool
	seen   map[string]bool   // lines, without their numbers
	untold map[string]string // an example of the damage, by the line
}

var numbers = regexp.MustCompile(`0x[0-9a-f]+|[0-9]+`)

func (d *damages) call(what string, args ...string) {
	var out, errOut bytes.Buffer
	run(context.Background(), append([]string{"leaktrack"}, args...), strings.NewReader(""), &out, &errOut)
	for line := range strings.Lines(errOut.String()) {
		line = strings.TrimSuffix(line, "\n")
		// Those that differ by numbers only are looked up once.
		kind := numbers.ReplaceAllString(line, "N")
		if d.seen[kind] || strings.Contains(line, ": warning: ") {
			continue
		}
		d.seen[kind] = true
		if !d.told(line) {
			d.untold[kind] = what
		}
	}
}

func newDamages(t *testing.T) *damages {
	d := &damages{told: toldLines(t), seen: map[string]bool{}, untold: map[string]string{}}
	t.Cleanup(func() {
		for line, what := range d.untold {
			t.Errorf("%s: doc/errors.md does not tell of: %s", what, line)
		}
	})
	return d
}

// TestDamagedStoresAreTold: whatever is changed in a store, each message is in
// doc/errors.md.
func TestDamagedStoresAreTold(t *testing.T) {
	calm := filepath.Join(t.TempDir(), "calm.jsonl")
	check(t, os.WriteFile(calm, []byte(calmLines()), 0o666))
	// One is so small that its buckets lie in others, one has values that refer
	// to each other.
	for name, input := range map[string]string{"small": calm, "large": "../../testdata/leakzoo/watched-orders.jsonl.gz"} {
		t.Run(name, func(t *testing.T) {
			damageStore(t, input)
		})
	}
}

func damageStore(t *testing.T, input string) {
	d, dir := newDamages(t), t.TempDir()
	path := filepath.Join(dir, "x.db")
	d.call("nothing", "--db", path, "ingest", "--quiet", input)
	whole, err := os.ReadFile(path)
	check(t, err)
	n := 0
	look := func(what string, calls ...string) {
		n++
		for _, call := range calls {
			d.call(what, append([]string{"--db", path}, strings.Fields(call)...)...)
		}
	}
	// In the tree: each entry taken out, misplaced, emptied or of another version.
	for _, change := range []string{"gone", "misplaced", "empty", "version 0", "version 99", "cut", "doubled", "longer key"} {
		for at := 0; ; at++ {
			check(t, os.WriteFile(path, whole, 0o600))
			if !changeEntry(t, path, at, change) {
				break
			}
			look(fmt.Sprintf("entry %d %s", at, change), "db check", "trend", "export -o "+filepath.Join(dir, "x.jsonl"), "db backup --force "+filepath.Join(dir, "y.db"), "db compact", "db prune --keep 3")
		}
	}
	// In the pages: each number of a head and of the first elements, and what may
	// be the number of a page.
	const page = 4096
	order := binary.NativeEndian
	for at := range len(whole) - 8 {
		var values []uint16
		if at%page < 64 && at%2 == 0 {
			values = []uint16{0, order.Uint16(whole[at:]) ^ 3, 0xffff}
		} else if v := order.Uint64(whole[at:]); at%page >= 64 && v > 1 && v < uint64(len(whole)/page) {
			values = []uint16{uint16(v) + 1, 5}
		}
		for _, v := range values {
			b := slices.Clone(whole)
			order.PutUint16(b[at:], v)
			if !bytes.Equal(b, whole) {
				check(t, os.WriteFile(path, b, 0o600))
				look(fmt.Sprintf("byte %#x as %d", at, v), "list", "db check")
			}
		}
	}
	if n < 500 {
		t.Errorf("only %d damages of %d bytes", n, len(whole))
	}
}

// changeEntry changes the entry of that number in a store, in the order of a walk; it
// reports whether there is one.
func changeEntry(t *testing.T, path string, number int, how string) bool {
	found := false
	changeStore(t, path, func(tx *bbolt.Tx) error {
		at := 0
		var walk func(b *bbolt.Bucket) error
		walk = func(b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				if at++; at-1 == number && !found {
					found = true
					return alter(b, slices.Clone(k), slices.Clone(v), v == nil, how)
				}
				if v == nil && !found {
					return walk(b.Bucket(k))
				}
				return nil
			})
		}
		return walk(tx.Cursor().Bucket())
	})
	return found
}

func alter(b *bbolt.Bucket, k, v []byte, bucket bool, how string) error {
	moved := append(k[:len(k)-1:len(k)-1], k[len(k)-1]^1)
	if bucket {
		switch how {
		case "gone":
			return b.DeleteBucket(k)
		case "misplaced", "cut":
			if how == "cut" {
				moved = k[:len(k)-1]
			}
			from := b.Bucket(k)
			to, err := b.CreateBucketIfNotExists(moved)
			if err != nil || len(moved) == 0 {
				return err
			}
			if err := copyBucket(to, from); err != nil {
				return err
			}
			return b.DeleteBucket(k)
		case "doubled":
			to, err := b.CreateBucketIfNotExists(moved)
			if err != nil {
				return err
			}
			return copyBucket(to, b.Bucket(k))
		case "empty":
			if err := b.DeleteBucket(k); err != nil {
				return err
			}
			_, err := b.CreateBucket(k)
			return err
		}
		return nil
	}
	switch how {
	case "gone":
		return b.Delete(k)
	case "misplaced":
		if err := b.Delete(k); err != nil {
			return err
		}
		return b.Put(moved, v)
	case "doubled":
		return b.Put(moved, v)
	case "longer key":
		if err := b.Delete(k); err != nil {
			return err
		}
		return b.Put(append(k, 1), v)
	case "empty":
		return b.Put(k, nil)
	case "cut":
		return b.Put(k, v[:len(v)/2])
	case "version 0":
		return b.Put(k, append([]byte{0}, v[min(1, len(v)):]...))
	}
	return b.Put(k, append([]byte{99}, v[min(1, len(v)):]...))
}

func copyBucket(to, from *bbolt.Bucket) error {
	if err := to.SetSequence(from.Sequence()); err != nil {
		return err
	}
	return from.ForEach(func(k, v []byte) error {
		if v != nil {
			return to.Put(k, v)
		}
		inner, err := to.CreateBucketIfNotExists(k)
		if err != nil {
			return err
		}
		return copyBucket(inner, from.Bucket(k))
	})
}

// TestDamagedInputsAreTold: the same of files that are read.
func TestDamagedInputsAreTold(t *testing.T) {
	d, dir := newDamages(t), t.TempDir()
	// What is still whole needs not be stored: that takes longest.
	store := filepath.Join(dir, "none", "x.db")
	trace, err := readRecorded("../../ingest/nettrace/testdata/linked-zoo31.nettrace.gz")
	check(t, err)
	for name, in := range map[string]struct {
		content []byte
		most    int // bytes from the beginning that are changed
		step    int
	}{
		"x.nettrace": {trace, 2000, 7},
		"x.core":     {coreFileOf("9.0.5", elf.EM_X86_64), 400, 1},
		"x.jsonl":    {[]byte(calmLines()), 170, 2},
		"x.log":      {[]byte(chainedLog(t)), 1731, 9},
		"report.txt": {[]byte("32  GC Heap bytes\n1  GC Heap objects\n\n  Object Bytes     Count  Type\n            32     1  Shop.Cart  [Shop.dll]\n"), 100, 1},
	} {
		path := filepath.Join(dir, name)
		near := map[int]bool{} // the heads of the blocks of a trace
		for _, m := range blockName.FindAllIndex(in.content[:min(40_000, len(in.content))], 4) {
			for i := range 32 {
				near[m[1]+i] = true
			}
		}
		for at := range min(40_000, len(in.content)) {
			if !near[at] && (at >= in.most || at%in.step != 0) {
				continue
			}
			for _, v := range []byte{0, '9', 0xff} {
				b := slices.Clone(in.content)
				b[at] = v
				check(t, os.WriteFile(path, b, 0o666))
				d.call(fmt.Sprintf("%s with %d at %d", name, v, at), "--db", store, "ingest", "--uptime", "5s", path)
			}
			if at%7 == 0 {
				check(t, os.WriteFile(path, in.content[:at], 0o666))
				d.call(fmt.Sprintf("%s cut at %d", name, at), "--db", store, "ingest", "--uptime", "5s", path)
			}
		}
	}
}

var blockName = regexp.MustCompile(`(Event|Stack|SP|Metadata)Block\x06`)

func chainedLog(t *testing.T) string {
	b, err := os.ReadFile("../../testdata/clrheapleak/chained-0000956.log")
	check(t, err)
	return string(b)
}
