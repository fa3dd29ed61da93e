package unit

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

var nan, inf = math.NaN(), math.Inf(1)

// negZero is -0, which a constant cannot spell.
var negZero = math.Copysign(0, -1)

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestCount(t *testing.T) {
	check(t, "thousands", Count(5403), "5,403")
	check(t, "below a thousand", Count(46), "46")
	check(t, "zero", Count(int64(0)), "0")
	check(t, "largest", Count(int64(math.MaxInt64)), "9,223,372,036,854,775,807")
	check(t, "smallest", Count(int64(math.MinInt64)), "-9,223,372,036,854,775,808")
	check(t, "fraction", Count(5403.6), "5,404")
	check(t, "a little below zero", Count(-0.2), "0")
	check(t, "minus zero", Count(negZero), "0")
	check(t, "not a number", Count(nan), "unknown")
	check(t, "absurd", Count(1e30), "1.00e+30")
}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		n     float64
		want  string
		short string
	}{
		{0, "0 B", "0 B"},
		{736, "736 B", "736 B"},
		{1023, "1,023 B", "1,023 B"},
		{1024, "1.00 KiB", "1 KiB"},
		{1536, "1.50 KiB", "1.5 KiB"},
		{5825928, "5.56 MiB", "5.56 MiB"},
		{10 << 20, "10.0 MiB", "10 MiB"},
		{100 << 20, "100 MiB", "100 MiB"},
		{288812276, "275 MiB", "275 MiB"},
		{1<<20 - 1, "1.00 MiB", "1 MiB"},
		{1 << 30, "1.00 GiB", "1 GiB"},
		{1e12, "931 GiB", "931 GiB"},
		{math.MaxInt64, "8.00 EiB", "8 EiB"},
		{-9363368, "-8.93 MiB", "-8.93 MiB"},
		{-0.3, "0 B", "0 B"},
		{negZero, "0 B", "0 B"},
		{nan, "unknown", "unknown"},
		{inf, "unknown", "unknown"},
	} {
		check(t, "Bytes", Bytes(c.n), c.want)
		check(t, "BytesShort", BytesShort(c.n), c.short)
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0.981: "98 %", 0: "0 %", 1: "100 %", 0.999: ">99 %",
		0.001: "<1 %", -0.001: ">-1 %", -0.25: "-25 %", 1.3: "130 %", nan: "unknown"} {
		check(t, "Percent", Percent(share), want)
	}
	check(t, "minus zero", Percent(negZero), "0 %")
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		name         string
		v, low, high float64
		want         string
	}{
		{"founding example", 9.0917, 8.715, 9.4617, "5,455 objects / 10 min (5,229 to 5,677)"},
		{"one per 100 ms", 10, nan, nan, "10.0 objects / s"},
		{"fast", 12345.6, 12000, 12700, "12,346 objects / s (12,000 to 12,700)"},
		{"coarse interval takes digits away", 12345.6, 2345.6, 22345.6, "12,300 objects / s (2,300 to 22,300)"},
		{"fine interval adds none", 9.0917, 9.0916, 9.0918, "5,455 objects / 10 min (5,455 to 5,455)"},
		{"bounds that differ look so", 10.003, 9.981, 10.024, "10.00 objects / s (9.98 to 10.02)"},
		{"some per hour", 20. / 3600, 19. / 3600, 21. / 3600, "20.0 objects / h (19.0 to 21.0)"},
		{"some per day", 3. / 86400, 2. / 86400, 4. / 86400, "3.00 objects / d (2.00 to 4.00)"},
		{"less than one a day", 0.01 / 86400, nan, nan, "0.010 objects / d"},
		{"zero", 0, nan, nan, "0 objects / 10 min"},
		{"zero, exactly", 0, 0, 0, "0 objects / 10 min (0 to 0)"},
		{"what arithmetic leaves of zero", -1e-18, -1e-13, 1e-13, "0 objects / 10 min (0 to 0)"},
		{"minus zero", negZero, negZero, 0, "0 objects / 10 min (0 to 0)"},
		{"about zero", 1e-9, -1, 1, "0 objects / 10 min (-600 to 600)"},
		{"zero beside a narrow interval", 0, -0.001, 0.001, "0 objects / d (-86.4 to 86.4)"},
		{"shrinking", -9.0917, -9.4617, -8.715, "-5,455 objects / 10 min (-5,677 to -5,229)"},
		{"half open interval", 9.0917, 5, inf, "5,455 objects / 10 min"},
		{"not a number", nan, nan, nan, "unknown"},
		{"not a number with interval", nan, 1, 2, "unknown"},
		{"infinite", inf, 1, 2, "unknown"},
	} {
		got := RateInterval(c.v, c.low, c.high)
		check(t, c.name, got, c.want)
		if strings.Contains(got, "NaN") || strings.Contains(got, "-0 ") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	check(t, "Rate", Rate(9.0917), "5,455 objects / 10 min")
}

func TestBytesRate(t *testing.T) {
	for _, c := range []struct {
		name         string
		v, low, high float64
		want         string
	}{
		{"founding example", 9420, 9020, 9820, "5.39 MiB / 10 min (5.16 to 5.62)"},
		{"without interval", 9420, nan, nan, "5.39 MiB / 10 min"},
		{"fast", 3 << 20, 2 << 20, 4 << 20, "3.00 MiB / s (2.00 to 4.00)"},
		{"slow", 10, nan, nan, "35.2 KiB / h"},
		{"very slow", 0.1, nan, nan, "8.44 KiB / d"},
		{"drop by drop", 0.001, nan, nan, "86.4 B / d"},
		{"zero", 0, nan, nan, "0 B / 10 min"},
		{"what arithmetic leaves of zero", -1e-18, -1e-13, 1e-13, "0 B / 10 min (0 to 0)"},
		{"about zero", 0, -1000, 1000, "0 KiB / 10 min (-586 to 586)"},
		{"huge", 1e12, nan, nan, "931 GiB / s"},
		{"not a number", nan, nan, nan, "unknown"},
	} {
		check(t, c.name, BytesRateInterval(c.v, c.low, c.high), c.want)
	}
	check(t, "BytesRate", BytesRate(9420), "5.39 MiB / 10 min")
	q := CountRate(9.0917, 8.715, 9.4617)
	if q != (Quantity{"5,455", "5,229", "5,677", "objects / 10 min"}) {
		t.Errorf("parts: %#v", q)
	}
}

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0 s"},
		{1, "<1 ms"},
		{250 * time.Millisecond, "250 ms"},
		{999600 * time.Microsecond, "1 s"},
		{4 * time.Second, "4 s"},
		{4500 * time.Millisecond, "4.5 s"},
		{9960 * time.Millisecond, "10 s"},
		{59600 * time.Millisecond, "1 min"},
		{993 * time.Second, "16 min 33 s"},
		{10 * time.Minute, "10 min"},
		{time.Hour - time.Millisecond, "1 h"},
		{3*time.Hour + 4*time.Minute + 5*time.Second, "3 h 4 min"},
		{day - time.Second, "1 d"},
		{76 * time.Hour, "3 d 4 h"},
		{90 * day, "90 d"},
		{-90 * time.Second, "-1 min 30 s"},
		{math.MinInt64, "-106751 d 23 h"},
	} {
		check(t, c.d.String(), Duration(c.d), c.want)
	}
}

func TestParseUptime(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"9m56s":                596 * time.Second,
		"1h2m3.5s":             time.Hour + 2*time.Minute + 3500*time.Millisecond,
		"0:09:56.000":          596 * time.Second,
		"0:16:33":              993 * time.Second,
		"0 days 0:09:56.000":   596 * time.Second,
		"2 days 3:04:05":       51*time.Hour + 4*time.Minute + 5*time.Second,
		"1 day 0:00:01":        day + time.Second,
		"2 d 3:04:05.250":      51*time.Hour + 4*time.Minute + 5250*time.Millisecond,
		"2.03:04:05.1234567":   51*time.Hour + 4*time.Minute + 5123456700,
		"2-03:04:05":           51*time.Hour + 4*time.Minute + 5*time.Second,
		"100:00:00":            100 * time.Hour,
		"1d2h":                 26 * time.Hour,
		"3 d 4 h":              76 * time.Hour,
		"16 min 33 s":          993 * time.Second,
		"2 Days":               2 * day,
		"596":                  596 * time.Second,
		"4.25":                 4250 * time.Millisecond,
		"0":                    0,
		" 5s ":                 5 * time.Second,
		"250ms":                250 * time.Millisecond,
		"9223372036.854775807": math.MaxInt64,
		"9223372036s":          9223372036 * time.Second,
		"0.000000001":          1,
		"1.5h":                 90 * time.Minute,
		"0:00:04,5":            4500 * time.Millisecond,
	} {
		got, err := ParseUptime(s)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for s, why := range map[string]string{
		"":                     "want a form",
		"soon":                 "want a form",
		"-5s":                  "negative",
		"9:56":                 "hours or minutes",
		"0:61:00":              "59",
		"0:00:60":              "59",
		"1 day 25:00:00":       "23",
		"5 parsecs":            "unknown unit",
		"9223372036.854775808": "292 years",
		"99999999999999999999": "292 years",
		"300000 d":             "292 years",
		"106751 d 24 h":        "292 years",
		"NaN":                  "want a form",
		"1e3":                  "want a form",
		"5s\u202e":             "want a form",
	} {
		_, err := ParseUptime(s)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want an error with %q", s, err, why)
		} else if strings.ContainsRune(err.Error(), '\u202e') {
			t.Errorf("%q: error carries the mark on", s)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{"2GiB": 2 << 30, "500MB": 500e6, "500 mb": 500e6, "1048576": 1 << 20,
		"1.5 KiB": 1536, "0": 0, "9223372036854775807": math.MaxInt64, "1,024 B": 1024} {
		got, err := ParseBytes(s)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1", "GiB", "2 bananas", "9223372036854775808", "99EiB", "1e400", "NaN", "1e5 B", "٣GiB"} {
		if n, err := ParseBytes(s); err == nil {
			t.Errorf("%q: got %d, want an error", s, n)
		}
	}
}

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "System.Byte[]", "System.Byte[]"},
		{"markup is left to the writer of markup", "<script>", "<script>"},
		{"line ends", "a\r\nb\tc", `a\r\nb\tc`},
		{"terminal escape", "\x1b[31mred", `\x1b[31mred`},
		{"C1 control", "\u009b31m", `\u009b31m`},
		{"NUL", "a\x00b", `a\x00b`},
		{"right-to-left override", "abc\u202egpj", `abc\u202egpj`},
		{"isolate", "\u2066x\u2069", `\u2066x\u2069`},
		{"zero width", "a\u200bb\ufeff", `a\u200bb\ufeff`},
		{"hangul filler", "a\u3164", `a\u3164`},
		{"no-break space", "a\u00a0b", `a\u00a0b`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"tag characters", "a\U000e0041", `a\U000e0041`},
		{"invalid UTF-8", "a\xff\xc3", `a\xff\xc3`},
		{"letters of the world", "Größe.日本.Δ", "Größe.日本.Δ"},
		{"an accent", "e\u0301", "e\u0301"},
		{"a tower of accents", "e\u0301\u0301\u0301\u0301", "e\u0301\u0301\\u0301\\u0301"},
		{"empty", "", ""},
	} {
		check(t, c.name, Clean(c.in), c.want)
	}
	if got := Clean(strings.Repeat("x", 10000)); utf8.RuneCountInString(got) != maxClean {
		t.Errorf("a name of 10,000 characters has %d left", utf8.RuneCountInString(got))
	}
}

func TestShorten(t *testing.T) {
	dict := "System.Collections.Generic.Dictionary<System.String,Shop.Cart>"
	for _, c := range []struct {
		name, in string
		max      int
		want     string
	}{
		{"fits", "System.Byte[]", 13, "System.Byte[]"},
		{"arguments lose their namespaces", dict, 55, "System.Collections.Generic.Dictionary<String,Cart>"},
		{"then the type loses its own", dict, 40, "…Generic.Dictionary<String,Cart>"},
		{"then more of it", dict, 25, "…Dictionary<String,Cart>"},
		{"then the arguments go", dict, 20, "…Dictionary<…>"},
		{"then the middle", dict, 8, "Dic…y<…>"},
		{"nested arguments go first", "A.List<A.Dictionary<A.Key,A.Value>>", 22, "A.List<Dictionary<…>>"},
		{"array of generic", "System.Collections.Generic.Entry<System.Int32,System.Int64>[]", 24, "…Entry<Int32,Int64>[]"},
		{"nested type", "Very.Long.Namespace.Outer+Inner", 20, "…Outer+Inner"},
		{"compiler's name", "My.Application.Worker+<RunAsync>d__12", 24, "…Worker+<RunAsync>d__12"},
		{"reflection's brackets", "A.B.List`1[[System.String, mscorlib]]", 20, "List`1[[S…mscorlib]]"},
		{"no structure", strings.Repeat("x", 50), 9, "xxxx…xxxx"},
		{"unbalanced", ">>>a<b<c.d.e.f.g", 8, ">>>a<…b<"},
		{"one", "abc", 1, "…"},
		{"nonsense limit", "abc", -5, "…"},
		{"escape is not cut apart", "aaaa\u202e\u202e\u202ebbbb", 12, "aaaa…bbbb"},
	} {
		got := Shorten(c.in, c.max)
		if c.name == "unbalanced" {
			if utf8.RuneCountInString(got) > c.max {
				t.Errorf("%s: %q is too long", c.name, got)
			}
			continue
		}
		check(t, c.name, got, c.want)
	}
}

// FuzzShorten holds the laws: never longer than asked, nothing invisible,
// valid UTF-8, no change to what is short and clean.
func FuzzShorten(f *testing.F) {
	for _, s := range []string{"System.Byte[]", "A.B<C.D<E>,F>[]", "\u202e<a>.b", strings.Repeat("List<", 40), "\xff.\x00", ">><<.."} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, max int) {
		got := Shorten(s, max)
		if n := utf8.RuneCountInString(got); n > max && n > 1 {
			t.Errorf("%d runes, asked for %d", n, max)
		}
		for _, out := range []string{got, Clean(s)} {
			if !utf8.ValidString(out) {
				t.Errorf("invalid UTF-8: %q", out)
			}
			for _, r := range out {
				if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) {
					t.Errorf("%q holds %U", out, r)
				}
			}
		}
		if c := Clean(s); utf8.RuneCountInString(c) <= max && utf8.RuneCountInString(c) < maxClean && got != c {
			t.Errorf("%q fits but became %q", c, got)
		}
	})
}

// FuzzParseUptime holds the law that what Clock writes is read back.
func FuzzParseUptime(f *testing.F) {
	for _, s := range []string{"9m56s", "0:09:56.000", "2 days 3:04:05", "1d2h", "596", "16 min 33 s", "-1", "9:56"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseUptime(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is %v", s, d)
		}
		if d > math.MaxInt64-time.Second {
			return // rounding to the millisecond may overflow
		}
		back, err := ParseUptime(Clock(d))
		if err != nil || back != d.Round(time.Millisecond) {
			t.Errorf("%q: %v is written %q and read %v, %v", s, d, Clock(d), back, err)
		}
	})
}

func FuzzRate(f *testing.F) {
	f.Add(9.09, 8.7, 9.4)
	f.Add(nan, inf, negZero)
	f.Add(1e-300, -1e300, 1e300)
	f.Fuzz(func(t *testing.T, v, low, high float64) {
		for _, s := range []string{RateInterval(v, low, high), BytesRateInterval(v, low, high), Bytes(v), Count(v), Percent(v)} {
			if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") || strings.HasPrefix(s, "-0 ") || len(s) > 120 {
				t.Errorf("%v, %v, %v: %q", v, low, high, s)
			}
		}
	})
}
