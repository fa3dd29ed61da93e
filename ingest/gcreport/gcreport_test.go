package gcreport

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"leaktrack/heap"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/syntax"
)

// readAll returns what Read gives; it fails on a pair that has both halves or
// none and on an invalid snapshot.
func readAll(t testing.TB, r io.Reader, name string) (all []*heap.Snapshot, errs []error) {
	t.Helper()
	for s, err := range Read(r, name) {
		switch {
		case (s == nil) == (err == nil):
			t.Fatalf("a pair of %v and %v", s, err)
		case err != nil:
			errs = append(errs, err)
			continue
		}
		if s.Uptime != heap.UptimeUnknown || s.Source != heap.SourceGCReport || s.Basis != heap.Live || !s.Estimated {
			t.Fatalf("got %+v", s)
		}
		s.Uptime = 0
		if err := s.Valid(); err != nil {
			t.Fatal(err)
		}
		s.Uptime = heap.UptimeUnknown
		all = append(all, s)
	}
	return all, errs
}

func text(s *heap.Snapshot) string {
	var b strings.Builder
	for _, t := range s.Types {
		fmt.Fprintf(&b, "%s %d %d\n", t.Name, t.Count, t.Bytes)
	}
	return b.String()
}

func warnings(s *heap.Snapshot) string {
	var b strings.Builder
	for _, w := range s.Warnings {
		fmt.Fprintln(&b, w)
	}
	return b.String()
}

const newLayout = `      1,401,352  GC Heap bytes
          1,552  GC Heap objects
          2,898  Total references

   Object Bytes     Count  Type
        200,024         3  System.Byte[] (Bytes > 100K)  [System.Private.CoreLib.dll]
         29,228         1  System.String (Bytes > 10K)  [System.Private.CoreLib.dll]
            200         1  [CCW 0x1234 for type Demo.Leak]
             48         2  System.Int32<,>  [System.Private.CoreLib.dll]
             40     1,281  System.String  [System.Private.CoreLib.dll]
             32       246  Demo.Leak  [Demo.dll]
             24         4  []c  [Module(0x7f0011223344)]
             24         2  System.Byte[]  [System.Private.CoreLib.dll]
`

const newText = `<>c 4 96
Demo.Leak 246 7872
System.Byte[] 5 600120
System.Int32[,] 2 96
System.String 1282 80468
`

// The layout of the versions for .NET Core 3: no references, and no modules
// where there are none.
const oldLayout = `         13,352  GC Heap bytes
            252  GC Heap objects

   Object Bytes     Count  Type
             40         6  System.String
             32       246  Demo.Leak
`

func TestLayouts(t *testing.T) {
	for _, tt := range []struct {
		why, in, want string
		complete      bool
	}{
		{"new", newLayout, newText, false},
		{"old", oldLayout, "Demo.Leak 246 7872\nSystem.String 6 240\n", true},
		{"DOS line ends", strings.ReplaceAll(newLayout, "\n", "\r\n"), newText, false},
		{"folded blanks", strings.Join(strings.FieldsFunc(newLayout, func(r rune) bool { return r == ' ' }), " "), newText, false},
		{"German groups", groups(newLayout, "."), newText, false},
		{"Swiss groups", groups(newLayout, "’"), newText, false},
		{"French groups", groups(newLayout, "\u202f"), newText, false},
		{"no-break blanks", groups(newLayout, "\u00a0"), newText, false},
		{"plain blanks", groups(newLayout, " "), newText, false},
		{"blanks that the code page lacks", groups(newLayout, "?"), newText, false},
		{"bytes of another code page", groups(newLayout, "\xff"), newText, false},
		{"Indian groups", strings.ReplaceAll(newLayout, "200,024", "2,00,024"), newText, false},
		{"UTF-16 as PowerShell writes it", utf16LE("\ufeff" + strings.ReplaceAll(newLayout, "\n", "\r\n")), newText, false},
		{"UTF-8 with a byte order mark", "\ufeff" + newLayout, newText, false},
	} {
		if !Sniff([]byte(tt.in)) {
			t.Errorf("%s: not recognised", tt.why)
		}
		all, errs := readAll(t, iotest.HalfReader(strings.NewReader(tt.in)), "x.txt")
		if len(all) != 1 || len(errs) != 0 {
			t.Errorf("%s: %d snapshots, %v", tt.why, len(all), errs)
			continue
		}
		if got := text(all[0]); got != tt.want || all[0].Complete != tt.complete {
			t.Errorf("%s: complete %v, got\n%swant\n%s", tt.why, all[0].Complete, got, tt.want)
		}
		if w := warnings(all[0]); !strings.Contains(w, "bytes are estimates") || !tt.complete && !strings.Contains(w, "the rows hold 1540 of 1552 nodes") {
			t.Errorf("%s: %s", tt.why, w)
		}
		if h := all[0].Heap; tt.complete == (h.Objects == heap.Known(1552) && h.ObjectBytes == heap.Known(1401352)) {
			t.Errorf("%s: totals %+v", tt.why, h)
		}
	}
}

// groups exchanges the commas between digits.
func groups(s, sep string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == ',' && i > 0 && s[i-1] >= '0' && s[i-1] <= '9' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
			b.WriteString(sep)
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func utf16LE(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

// The report has the file names of modules, which are enough for the table,
// and below a folder for their files.
func TestFullNames(t *testing.T) {
	const in = "  480  GC Heap bytes\n  6  GC Heap objects\n\n  Object Bytes     Count  Type\n" +
		"  48  1  UTF8EncodingSealed  [System.Private.CoreLib.dll]\n" +
		"  96  1  Entry<System.String,LeakZoo.Order>[]  [System.Private.CoreLib.dll]\n" +
		"  80  1  System.Collections.Generic.Dictionary<System.String,LeakZoo.Order>  [System.Private.CoreLib.dll]\n" +
		"  24  1  LeakZoo.Order  [LeakZoo.dll]\n" +
		"  32  1  <Main>c__AnonStorey0  [LeakZoo.dll]\n" +
		"  200  1  Entry<A.K,A.V>  [Other.dll]\n"
	for _, tt := range []struct{ root, closure string }{{"", "<Main>c__AnonStorey0"}, {"../../testdata", "LeakZoo.Program+<Main>c__AnonStorey0"}} {
		f := fullname.NewFinder(tt.root)
		var names []string
		for s, err := range ReadWith(f, strings.NewReader(in), "x.txt") {
			if err != nil {
				t.Fatal(err)
			}
			for _, ty := range s.Types {
				names = append(names, ty.Name)
			}
		}
		want := []string{tt.closure, "Entry<A.K,A.V>", "LeakZoo.Order", "System.Collections.Generic.Dictionary<System.String,LeakZoo.Order>",
			"System.Collections.Generic.Dictionary<System.String,LeakZoo.Order>+Entry[]", "System.Text.UTF8Encoding+UTF8EncodingSealed"}
		slices.Sort(names)
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("root %q: %q, want %q", tt.root, names, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReportsInALog(t *testing.T) {
	in := `Welcome.
$ dotnet-gcdump report 20261122_031500_4242.gcdump
` + oldLayout + `
$ dotnet-gcdump report -p 77
` + newLayout + `$ dotnet-gcdump report ./x/20261122_041500_4242.gcdump
` + oldLayout + `PS C:\dumps>
and whatever else 12  34  is written there
`
	all, errs := readAll(t, strings.NewReader(in), "20200101_010101_1.log")
	if len(all) != 3 || len(errs) != 0 {
		t.Fatalf("%d snapshots, %v", len(all), errs)
	}
	for i, want := range []struct {
		pid   int
		taken time.Time
		text  string
	}{
		{4242, time.Date(2026, 11, 22, 3, 15, 0, 0, time.Local), "Demo.Leak 246 7872\nSystem.String 6 240\n"},
		{77, time.Time{}, newText},
		{4242, time.Date(2026, 11, 22, 4, 15, 0, 0, time.Local), "Demo.Leak 246 7872\nSystem.String 6 240\n"},
	} {
		s := all[i]
		if s.Process.PID != want.pid || !s.Taken.Equal(want.taken) || text(s) != want.text || s.Complete != (i != 1) {
			t.Errorf("report %d: %v, %v, complete %v\n%s%s", i, s.Process, s.Taken, s.Complete, text(s), warnings(s))
		}
	}
}

func TestProcessFromFileName(t *testing.T) {
	all, _ := readAll(t, strings.NewReader(oldLayout+"\n"+oldLayout), filepath.Join("a", "20261122_031500_4242.gcdump.txt"))
	if len(all) != 2 || all[0].Process.PID != 4242 || !all[0].Taken.Equal(time.Date(2026, 11, 22, 3, 15, 0, 0, time.Local)) {
		t.Fatalf("got %+v", all)
	}
	if all[1].Process.PID != 0 || !all[1].Taken.IsZero() {
		t.Errorf("the second report is of the same dump: %+v", all[1])
	}
	if w := warnings(all[0]); !strings.Contains(w, "taken from the file name") {
		t.Error(w)
	}
}

func TestDoubts(t *testing.T) {
	head := "100  GC Heap bytes\n10  GC Heap objects\n\nObject Bytes  Count  Type\n"
	for _, tt := range []struct{ why, in, want, warning string }{
		{"rows left out", head + "24  4  A.B  [m]\n...\n24  6  A.C  [m]\n", "A.B 4 96\nA.C 6 144\n", "x.txt:6: rows were left out"},
		{"no row", head + "24  4  A.B  [m]\n24  A.C\n24  6  A.D  [m]\n", "A.B 4 96\nA.D 6 144\n", `x.txt:6: not a row: "24  A.C"`},
		{"a row without a count", head + "24            A.B  [m]\n24  10  A.D  [m]\n", "A.D 10 240\n", "not a row"},
		{"too many objects", head + "24  11  A.B  [m]\n", "A.B 11 264\n", "the rows hold 11 objects, but the report says 10"},
		{"the head is missing", "Object Bytes  Count  Type\n24  10  A.B  [m]\n", "A.B 10 240\n", "the totals above the table are missing"},
		{"no number of objects", "100  GC Heap bytes\n\nObject Bytes  Count  Type\n24  10  A.B  [m]\n", "A.B 10 240\n", "the number of objects is missing"},
		{"a word among the totals", "100  GC Heap bytes\nhello\n10  GC Heap objects\nObject Bytes  Count  Type\n24  10  A.B  [m]\n", "A.B 10 240\n", "no line of a report"},
		{"unknown types", head + "24  4  UNKNOWN 0x7f01\n2,000  1  UNKNOWN 0x7f01 (Bytes > 1K)\n24  5  A.D  [m]\n", "A.D 5 120\nUNKNOWN 0x7f01 5 2096\n", "5 objects are of 1 types that the runtime did not describe"},
		{"no name", head + "24  10  <UNKNOWN>\n", "Type(1) 10 240\n", "1 types have no name"},
		{"only roots", head + "200  10  [CCW 0x1 for type X]\n", "", "no row is of objects"},
	} {
		all, errs := readAll(t, strings.NewReader(tt.in), "x.txt")
		if len(all) != 1 || len(errs) != 0 {
			t.Errorf("%s: %d snapshots, %v", tt.why, len(all), errs)
			continue
		}
		if got := text(all[0]); got != tt.want || all[0].Complete || !strings.Contains(warnings(all[0]), tt.warning) {
			t.Errorf("%s: complete %v, got\n%s%s", tt.why, all[0].Complete, got, warnings(all[0]))
		}
	}
}

func TestBadInput(t *testing.T) {
	head := "100  GC Heap bytes\n10  GC Heap objects\n\nObject Bytes  Count  Type\n"
	for _, tt := range []struct {
		why, in, want string
		notMine       bool
	}{
		{"empty", "", "x.txt:1: no report of dotnet-gcdump in it", true},
		{"another text", "hello\nworld\n", "x.txt:2: no report", true},
		{"cut behind the totals", "100  GC Heap bytes\n10  GC Heap objects\n", "x.txt:1: a report without rows", false},
		{"cut behind the header", "\n" + head, "x.txt:2: a report without rows", false},
		{"a total out of range", "99999999999999999999  GC Heap bytes\nObject Bytes  Count  Type\n24  10  A.B  [m]\n", "x.txt:1: the total", false},
		{"a count out of range", head + "24  99999999999999999999  A.B  [m]\n", "x.txt:5: 99999999999999999999 objects of 24 bytes are out of range", false},
		{"a product out of range", head + "9,999,999,999  9,999,999,999  A.B  [m]\n", "x.txt:5: 9,999,999,999 objects", false},
		{"a sum out of range", head + "4,611,686,018,427,387,904  1  A.B  [m]\n4,611,686,018,427,387,904  1  A.B  [m]\n", "sum exceeds 2^63-1", false},
		{"a sum over types out of range", head + "4,611,686,018,427,387,904  1  A.B  [m]\n4,611,686,018,427,387,904  1  A.C  [m]\n", "sum exceeds 2^63-1", false},
		{"an endless line", head + "24  10  " + strings.Repeat("x", maxLine+1), "x.txt:5: a line of more than 1048576 bytes", false},
	} {
		all, errs := readAll(t, strings.NewReader(tt.in), "x.txt")
		var e *syntax.Error
		if len(all) != 0 || len(errs) == 0 {
			t.Errorf("%s: %d snapshots, %v", tt.why, len(all), errs)
			continue
		}
		err := errs[len(errs)-1]
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || errors.Is(err, syntax.ErrNotMine) != tt.notMine {
			t.Errorf("%s: %v", tt.why, errs)
		}
	}
	// A bad report does not hide the next.
	all, errs := readAll(t, strings.NewReader(head+head+"24  10  A.B  [m]\n"), "x.txt")
	if len(all) != 1 || len(errs) != 1 || !all[0].Complete {
		t.Errorf("%d snapshots, %v", len(all), errs)
	}
}

// Cut at every byte: never a complete snapshot, and never nothing.
func TestTruncationAtEveryByte(t *testing.T) {
	for n := range len(oldLayout) {
		all, errs := readAll(t, strings.NewReader(oldLayout[:n]), "x.txt")
		if len(all)+len(errs) == 0 {
			t.Errorf("cut at %d: nothing", n)
		}
		for _, s := range all {
			if s.Complete {
				t.Errorf("cut at %d: complete\n%s", n, oldLayout[:n])
			}
		}
	}
}

func TestReadErrorIsPassedOn(t *testing.T) {
	broken := errors.New("the disk broke")
	all, errs := readAll(t, io.MultiReader(strings.NewReader(oldLayout), iotest.ErrReader(broken)), "x")
	if len(all) != 1 || all[0].Complete || len(errs) != 1 || !errors.Is(errs[0], broken) {
		t.Errorf("%+v, %v", all, errs)
	}
}

func TestReadingCanBeStopped(t *testing.T) {
	pairs := 0
	for range Read(strings.NewReader(oldLayout+"\n"+oldLayout), "x") {
		pairs++
		break
	}
	if pairs != 1 {
		t.Errorf("%d pairs", pairs)
	}
}

func TestNotSniffed(t *testing.T) {
	for _, in := range []string{"", "hello", "Total 15 objects", "GC Heap bytes", "PK\x03\x04",
		"              MT    Count    TotalSize Class Name\n    00a1b2c4        3           96 Demo.Node\n"} {
		if Sniff([]byte(in)) {
			t.Errorf("%q is recognised", in)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{newLayout, oldLayout, groups(newLayout, "\u202f"), utf16LE("\ufeff" + oldLayout),
		"$ dotnet-gcdump report -p 12\n" + oldLayout + "\n...\n" + newLayout} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, errs := readAll(t, strings.NewReader(string(b)), "20261122_031500_4242.txt")
		if len(all)+len(errs) == 0 {
			t.Fatal("neither a snapshot nor an error")
		}
		if len(all) > 0 && len(b) < 4096 && !Sniff(b) {
			t.Fatal("read but not recognised")
		}
	})
}
