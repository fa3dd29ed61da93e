package elfcore

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"leaktrack/heap"
)

// broken reads a damaged core and checks what must hold of any input: no
// panic, an error or a snapshot, and then one whose sums hold.
func broken(t testing.TB, core []byte, root string) {
	s, trust, err := Read(bytes.NewReader(core), int64(len(core)), "x.core", Options{Root: root, Workers: 2})
	if err != nil {
		if s != nil || err.Error() == "" {
			t.Fatalf("a snapshot and an error: %v", err)
		}
		return
	}
	if sum := trust.ObjectBytes + trust.FreeBytes + trust.GapBytes + trust.UnexplainedBytes + trust.MissingBytes; sum != trust.TotalBytes {
		t.Fatalf("%d bytes counted of %d", sum, trust.TotalBytes)
	}
	if s.Uptime == heap.UptimeUnknown {
		s.Uptime = 0
	}
	if err := s.Valid(); err != nil {
		t.Fatal(err)
	}
}

var fuzzed = []string{"regions9", "ondisk9", "relr", "server", "segments", "core31", "core31server", "gc11", "gc11server", "dynamic", "moving", "hole"}

func FuzzRead(f *testing.F) {
	for _, name := range fuzzed {
		core, _ := buildCore(f, script(f, name))
		f.Add(core)
	}
	f.Fuzz(func(t *testing.T, b []byte) { broken(t, b, "/nonexistent") })
}

// FuzzDamage changes words of a good core, which reaches deeper than bytes
// that a fuzzer makes up.
func FuzzDamage(f *testing.F) {
	type input struct {
		core []byte
		root string
	}
	var inputs []input
	for i, name := range fuzzed {
		core, root := buildCore(f, script(f, name))
		inputs = append(inputs, input{core, root})
		f.Add(uint8(i), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	}
	f.Fuzz(func(t *testing.T, which uint8, changes []byte) {
		in := inputs[int(which)%len(inputs)]
		core := bytes.Clone(in.core)
		// A change is the place in words, and a value.
		for ; len(changes) >= 12; changes = changes[12:] {
			at := int(binary.LittleEndian.Uint32(changes)) % (len(core) / 8) * 8
			copy(core[at:at+8], changes[4:12])
		}
		broken(t, core, in.root)
	})
}

// interesting are values that break careless readers.
func interesting(r *rand.Rand, core []byte) uint64 {
	switch r.IntN(6) {
	case 0:
		return r.Uint64()
	case 1:
		return 0
	case 2:
		return ^uint64(0) >> r.IntN(64)
	case 3:
		return 1 << r.IntN(64)
	case 4: // some other word of the core: pointers in circles
		at := r.IntN(len(core)/8) * 8
		return binary.LittleEndian.Uint64(core[at:])
	}
	return 0x7f20_0000_0000 + uint64(r.IntN(1<<16))&^7
}

// TestDamage cuts, flips and overwrites good cores in many places. Time and
// memory of each reading are bounded.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const most = 48 << 20 // bytes allocated for a core of some 100 kB
	check := func(core []byte, root string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		broken(t, core, root)
		runtime.ReadMemStats(&after)
		if d := time.Since(start); d > 20*time.Second {
			t.Fatalf("took %v", d)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Fatalf("allocated %d bytes", n)
		}
	}
	for _, name := range fuzzed {
		core, root := buildCore(t, script(t, name))
		for i := range 24 {
			check(core[:len(core)*i/24], root)
		}
		for range 60 {
			b := bytes.Clone(core)
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			check(b, root)
		}
		for range 150 {
			b := bytes.Clone(core)
			for range 1 + r.IntN(8) {
				at := r.IntN(len(b)/8) * 8
				for tries := 0; tries < 20 && binary.LittleEndian.Uint64(b[at:]) == 0; tries++ {
					at = r.IntN(len(b)/8) * 8 // words that say something
				}
				binary.LittleEndian.PutUint64(b[at:], interesting(r, core))
			}
			check(b, root)
		}
	}
}

// TestEveryWord changes every word of a core that says something, outside the
// objects themselves: headers, notes, the symbols and the descriptor of the
// runtime, the GC's tables, segments, method tables, classes, modules and their
// metadata; each once, by one of the values that break careless readers.
func TestEveryWord(t *testing.T) {
	for i, name := range fuzzed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(i), 3))
			core, root := buildCore(t, script(t, name))
			changed, step := 0, 1
			if testing.Short() {
				step = 8
			}
			var last [2]uint64
			for at := 0; at+8 <= len(core); at += 8 * step {
				word := binary.LittleEndian.Uint64(core[at:])
				// Objects repeat themselves; the first ones stand for all.
				if word == 0 || word == last[0] || word == last[1] {
					continue
				}
				last[1], last[0] = last[0], word
				binary.LittleEndian.PutUint64(core[at:], interesting(r, core))
				broken(t, core, root)
				binary.LittleEndian.PutUint64(core[at:], word)
				changed++
			}
			t.Logf("%d words", changed)
			if changed < 200/step {
				t.Errorf("only %d words were changed", changed)
			}
		})
	}
}
