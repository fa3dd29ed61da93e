package trend

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
)

// sizes are snapshots without tables, of these sizes in MiB a minute apart; a
// negative size is unknown.
func sizes(n int, live, committed, native, rss func(i int) float64) []*heap.Snapshot {
	known := func(f func(int) float64, i int) heap.Optional {
		if f == nil {
			return heap.Optional{}
		}
		return heap.Known(int64(f(i) * (1 << 20)))
	}
	var out []*heap.Snapshot
	for i := range n {
		s := snapshot(float64(60*(i+1)), heap.Live, false)
		s.Heap = &heap.Totals{LiveBytes: known(live, i), CommittedBytes: known(committed, i)}
		s.Memory = &heap.ProcessMemory{NativeHeapBytes: known(native, i), RSSBytes: known(rss, i)}
		out = append(out, s)
	}
	return out
}

func level(v float64) func(int) float64 { return func(int) float64 { return v } }

func rising(from, each float64) func(int) float64 {
	return func(i int) float64 { return from + each*float64(i) }
}

func TestDiagnosis(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []*heap.Snapshot
		want DiagnosisVerdict
		say  []string
	}{
		{"native heap grows", sizes(20, level(100), nil, rising(50, 10), nil), DiagnosisNativeGrowth, []string{"native heap grew", "190 MiB", "GC heap changed by 0 B"}},
		{"resident set grows", sizes(20, level(100), nil, nil, rising(300, 10)), DiagnosisNativeGrowth, []string{"resident set grew"}},
		{"heap grows, no tables", sizes(20, rising(100, 10), rising(120, 10), nil, rising(300, 10)), DiagnosisLeak, []string{"GC heap grows", "no single type"}},
		{"committed grows, live does not", sizes(20, level(100), rising(150, 10), nil, nil), DiagnosisFragmentation, []string{"fragmented", "190 MiB"}},
		{"nothing grows", sizes(20, level(100), level(120), level(50), level(300)), DiagnosisNoLeak, []string{"No leak", "stayed at 100 MiB"}},
		{"committed grows and with it the process", sizes(20, level(100), rising(150, 10), nil, rising(300, 10)), DiagnosisFragmentation, []string{"fragmented"}},
		{"committed grows, live unknown", sizes(20, nil, rising(150, 10), nil, nil), DiagnosisSuspect, []string{"committed GC heap grew from 150 MiB", "managed or native memory grows is open"}},
		{"native heap alone", sizes(20, nil, nil, rising(50, 10), nil), DiagnosisNativeGrowth, []string{"native heap grew", "a managed leak beside it cannot be excluded"}},
		{"resident set alone grows", sizes(20, nil, nil, nil, rising(50, 10)), DiagnosisSuspect, []string{"resident set grew from 50.0 MiB to 240 MiB", "managed or native memory grows is open"}},
		{"resident set alone, level", sizes(20, nil, nil, nil, level(50)), DiagnosisNoLeak, []string{"20 readings", "resident set stayed at 50.0 MiB"}},
		{"resident set alone, six readings", sizes(6, nil, nil, nil, rising(100, 5)), DiagnosisTooFew, []string{"in the 6 there are", "went from 100 MiB to 125 MiB"}},
		{"resident set alone, two readings", sizes(2, nil, nil, nil, rising(100, 5)), DiagnosisTooFew, []string{"Too few readings", "two"}},
		{"up and down", sizes(20, func(i int) float64 { return 100 + float64(10*(i%19%2)) }, nil, nil, nil), DiagnosisNoLeak, []string{"moved between 100 MiB and 110 MiB, with 100 MiB at both ends"}},
		{"heap rises, six snapshots", sizes(6, rising(100, 2), nil, nil, nil), DiagnosisNoLeak, []string{"went from 100 MiB to 110 MiB, rising evenly", "6 snapshots do not suffice"}},
		{"two snapshots", sizes(2, rising(100, 10), nil, nil, nil), DiagnosisTooFew, []string{"two"}},
	} {
		r := analyze(t, Options{}, c.in...)
		if r.Diagnosis.Verdict != c.want {
			t.Errorf("%s: %+v", c.name, r.Diagnosis)
		}
		for _, s := range c.say {
			if !strings.Contains(r.Diagnosis.Text, s) {
				t.Errorf("%s: no %q in %q", c.name, s, r.Diagnosis.Text)
			}
		}
	}
}

// A leak that the size of the heap hides is told with the size, so that the two
// do not contradict each other.
func TestLeakThatTheHeapHides(t *testing.T) {
	in := tables(12, map[string]func(i int) float64{
		"App.Node":   func(i int) float64 { return 100 + 50*float64(i) },
		"App.Buffer": func(i int) float64 { return 4e6 + 3e5*float64(i*i*7%11) },
	})
	r := analyze(t, Options{}, in...)
	if r.Diagnosis.Verdict != DiagnosisLeak || !strings.Contains(r.Diagnosis.Text, "App.Node grows") || !strings.Contains(r.Diagnosis.Text, "by itself that is too little to tell") {
		t.Errorf("%+v", r.Diagnosis)
	}
}

// Nothing is said of a GC heap that no snapshot knows.
func TestUnknownIsNotZero(t *testing.T) {
	for _, in := range [][]*heap.Snapshot{sizes(20, nil, nil, rising(50, 10), nil), sizes(20, nil, nil, nil, rising(50, 10)), sizes(20, nil, nil, level(5), level(50))} {
		text := analyze(t, Options{}, in...).Diagnosis.Text
		for _, s := range []string{"changed by", "No managed type", "either"} {
			if strings.Contains(text, s) {
				t.Errorf("%q in %q", s, text)
			}
		}
	}
}

// Private bytes stand in for the resident set, but are not called so.
func TestPrivateBytesKeepTheirName(t *testing.T) {
	in := sizes(20, level(100), nil, nil, nil)
	for i, s := range in {
		s.Memory.PrivateBytes = heap.Known(int64(300+10*i) << 20)
		s.Memory.LimitBytes = heap.Known(600 << 20)
	}
	r := analyze(t, Options{}, in...)
	if !r.RSSIsPrivate || !strings.Contains(r.Diagnosis.Text, "private memory grew") || !strings.Contains(r.Forecast.Text, "the private memory reaches the container's limit of 600 MiB") ||
		strings.Contains(r.Diagnosis.Text+r.Forecast.Text, "resident") {
		t.Errorf("%v: %s %s", r.RSSIsPrivate, r.Diagnosis.Text, r.Forecast.Text)
	}
}

// Types that grow in bytes alone, or in number alone, are told by what grows.
func TestLeakTextTellsWhatGrows(t *testing.T) {
	for _, c := range []struct {
		name      string
		count     int64
		bytes     int64
		say, hide string
	}{
		{"bytes", 0, 1 << 20, "grows by 10.0 MiB / 10 min (95 % interval 10.0 to 10.0), in a straight line, measured in", "That is"},
		{"objects", 100, 0, "while the bytes stay the same", "0 B"},
	} {
		var in []*heap.Snapshot
		for i := range int64(20) {
			in = append(in, snapshot(float64(60*(i+1)), heap.Live, true, heap.Type{Name: "App.A", Count: 5 + c.count*i, Bytes: 1<<20 + c.bytes*i}))
		}
		text := analyze(t, Options{}, in...).Diagnosis.Text
		if !strings.Contains(text, c.say) || strings.Contains(text, c.hide) || strings.Contains(text, "These types") {
			t.Errorf("%s: %s", c.name, text)
		}
	}
}

func TestForecast(t *testing.T) {
	grow := sizes(20, rising(100, 10), nil, nil, rising(200, 10)) // 390 MiB at 20 min
	for _, c := range []struct {
		name  string
		limit int64
		in    []*heap.Snapshot
		at    time.Duration // 0: none
		say   string
	}{
		{"two hundred MiB more", 590 << 20, grow, 40 * time.Minute, "reaches the limit of 590 MiB in about 20 min"},
		{"already there", 300 << 20, grow, 20 * time.Minute, "is reached"},
		{"too far", 1 << 40, grow, 0, "too far to say"},
		{"does not grow", 1 << 30, sizes(20, level(100), nil, nil, level(200)), 0, "does not grow towards the limit"},
		{"too few", 1 << 30, sizes(2, rising(100, 10), nil, nil, rising(200, 10)), 0, "three snapshots"},
	} {
		f := analyze(t, Options{LimitBytes: c.limit}, c.in...).Forecast
		if f == nil || !strings.Contains(f.Text, c.say) {
			t.Errorf("%s: %+v", c.name, f)
			continue
		}
		if d := f.At - c.at; d < -time.Second || d > time.Second || f.Measure != "rss" && c.name != "too few" || f.LimitFrom != "given" {
			t.Errorf("%s: %+v", c.name, f)
		}
		if f.At > 0 && (f.Low > f.At || f.HasHigh && f.High < f.At) {
			t.Errorf("%s: interval %+v", c.name, f)
		}
	}
	// Noise so great that the rate may be zero has no upper bound.
	r := rand.New(rand.NewPCG(1, 1))
	noisy := sizes(12, level(100), nil, nil, func(i int) float64 { return 300 + 12*float64(i) + 40*r.NormFloat64() })
	m := &Measure{Leak: true, Rate: &Rate{PerSecond: 2e5, Low: -1, High: 4e5, Confidence: 0.95}, Points: []Point{{time.Minute, 1}, {12 * time.Minute, 1}}}
	jm := &judgedMeasure{m: m, s: newSampling(steps(12)), v: make([]float64, 12)}
	f := &Forecast{Measure: "rss", LimitBytes: 1 << 20}
	f.solve(jm)
	if f.HasHigh || !strings.Contains(f.Text, "no upper bound") {
		t.Errorf("%+v", f)
	}
	checkForecastLimits(t, noisy)
}

// Limits that the snapshots say are used where none is given.
func checkForecastLimits(t *testing.T, in []*heap.Snapshot) {
	t.Helper()
	if f := analyze(t, Options{}, in...).Forecast; f != nil {
		t.Errorf("a forecast without a limit: %+v", f)
	}
	for _, s := range in {
		s.Memory.LimitBytes = heap.Known(1 << 30)
	}
	if f := analyze(t, Options{}, in...).Forecast; f == nil || f.LimitFrom != "container" || f.Measure != "rss" {
		t.Errorf("container: %+v", f)
	}
	for _, s := range in {
		s.Memory.LimitBytes = heap.Optional{}
		s.Heap.LimitBytes = heap.Known(1 << 30)
	}
	if f := analyze(t, Options{}, in...).Forecast; f == nil || f.LimitFrom != "GC" || f.Measure != "heap" {
		t.Errorf("GC: %+v", f)
	}
}

// grows makes snapshots of types that each have their own counts.
func tables(n int, counts map[string]func(i int) float64) []*heap.Snapshot {
	var out []*heap.Snapshot
	for i := range n {
		var types []heap.Type
		for name, f := range counts {
			v := int64(math.Round(f(i)))
			types = append(types, heap.Type{Name: name, Count: v, Bytes: 100 * v})
		}
		out = append(out, snapshot(float64(60*(i+1)), heap.Live, true, types...))
	}
	return out
}

func TestGroupsByFluctuation(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	a, b := make([]float64, 40), make([]float64, 40)
	for i := 1; i < 40; i++ {
		a[i] = a[i-1] + 100*r.ExpFloat64()
		b[i] = b[i-1] + 60*r.ExpFloat64()
	}
	res := analyze(t, Options{}, tables(40, map[string]func(int) float64{
		"App.Order":       func(i int) float64 { return 10 + a[i] },
		"App.OrderLine":   func(i int) float64 { return 50 + 7*a[i] },
		"System.String":   func(i int) float64 { return 900 + 7*a[i] },
		"App.Other.Cache": func(i int) float64 { return 5 + b[i] },
	})...)
	if len(res.Groups) != 2 {
		t.Fatalf("%+v", res.Groups)
	}
	g := res.Groups[0]
	// Own code leads, and of that the most bytes.
	if !slices.Equal(g.Types, []string{"App.OrderLine", "App.Order", "System.String"}) || !slices.Equal(g.Ratio, []int{7, 1, 7}) || g.Headline != "App.OrderLine" {
		t.Errorf("%+v", g)
	}
	if g := res.Groups[1]; g.Headline != "App.Other.Cache" || len(g.Types) != 1 || g.Ratio != nil {
		t.Errorf("%+v", g)
	}
}

func TestGroupsOfEvenGrowth(t *testing.T) {
	res := analyze(t, Options{}, tables(12, map[string]func(int) float64{
		"App.A": rising(10, 30),
		"App.B": rising(500, 90),
		"App.C": rising(0, 73),
	})...)
	want := map[string]int{"App.A": 0, "App.B": 0, "App.C": 0}
	for _, ty := range res.Types {
		want[ty.Name] = ty.Group
	}
	if want["App.A"] != want["App.B"] || want["App.A"] == want["App.C"] {
		t.Errorf("groups %v", want)
	}
}

// Shares add up exactly to the whole, because least-squares slopes do.
func TestSharesAddUp(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	counts := map[string]func(int) float64{"App.Leak": rising(0, 5000)}
	for k := range 30 {
		counts[fmt.Sprintf("App.N%02d", k)] = func(int) float64 { return 3000 + 900*r.NormFloat64() }
	}
	res := analyze(t, Options{}, tables(25, counts)...)
	sum := 0.0
	for _, ty := range res.Types {
		if !ty.ShareKnown {
			t.Fatalf("%s: share unknown", ty.Name)
		}
		sum += ty.Share
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("shares add up to %v", sum)
	}
	if !res.ExplainedKnown || res.Explained < 0.9 || res.Explained > 1.1 {
		t.Errorf("explained %v", res.Explained)
	}
}

func TestWarnings(t *testing.T) {
	in := chained()
	in[1].Estimated = true
	all := strings.Join(analyze(t, Options{}, in...).Warnings, "\n")
	for _, want := range []string{"three snapshots: a cache that is still filling looks the same; take another", "a daily cycle cannot be excluded",
		"3 of 3 snapshots do not list every type", "1 snapshot hold estimated counts", "dead objects"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	// A suspect is told how much longer to watch.
	r := rand.New(rand.NewPCG(12, 3))
	found := false
	for range 60 {
		res := analyze(t, Options{}, tables(20, map[string]func(int) float64{"App.X": func(i int) float64 { return 2000 + 55*float64(i) + 260*r.NormFloat64() }})...)
		if ty := res.Types[0]; ty.Suspect {
			found = found || strings.Contains(strings.Join(ty.Warnings, "\n"), "a verdict needs about")
		}
	}
	if !found {
		t.Error("no suspect was told how long a verdict takes")
	}
}

func TestExplain(t *testing.T) {
	res := analyze(t, Options{Explain: func(n string) bool { return n == "System.Byte[]" }}, chained()...)
	e := res.find("System.Byte[]").Evidence
	if e == nil || e.Points != 3 || math.Abs(e.LogOdds-17.2) > 0.05 || len(e.Models) < 2 || len(e.Guards) == 0 || len(e.Slopes) == 0 || e.Shape != "linear" {
		t.Errorf("%+v", e)
	}
	if res.find("CLRHeapLeak.Leak").Evidence != nil {
		t.Error("evidence that was not asked for")
	}
}

func TestDoublingArrayHint(t *testing.T) {
	var in []*heap.Snapshot
	for i := range 16 {
		size := int64(24 + 8*1024*math.Exp2(math.Ceil(math.Log2(float64(i+2)))))
		in = append(in, snapshot(float64(60*(i+1)), heap.Live, true, heap.Type{Name: "App.Order[]", Count: 3, Bytes: size}))
	}
	r := analyze(t, Options{}, in...)
	if w := strings.Join(r.Types[0].Warnings, "\n"); !strings.Contains(w, "backing array") || !strings.Contains(w, "judged by bytes") {
		t.Errorf("%q", w)
	}
}

func TestCurve(t *testing.T) {
	r := analyze(t, Options{}, chained()...)
	c := r.find("System.Byte[]").Count.Curve
	if len(c) != curvePoints || c[0].Uptime != 4*time.Second || c[len(c)-1].Uptime != 993*time.Second {
		t.Fatalf("%d points", len(c))
	}
	for _, p := range c {
		if p.Low > p.Value || p.High < p.Value {
			t.Errorf("%+v", p)
		}
	}
	if v := c[len(c)-1].Value; math.Abs(v-9038) > 60 {
		t.Errorf("ends at %v", v)
	}
}

func TestProgress(t *testing.T) {
	last := 0
	r := analyze(t, Options{Progress: func(done, total int) {
		if total != 200 || done <= 0 || done > total {
			t.Errorf("%d of %d", done, total)
		}
		last = max(last, done)
	}}, tables(5, many(200))...)
	if last != 200 || len(r.Types) != 200 {
		t.Errorf("done %d", last)
	}
}

func many(n int) map[string]func(int) float64 {
	out := map[string]func(int) float64{}
	for i := range n {
		out[fmt.Sprintf("App.T%d", i)] = level(float64(i))
	}
	return out
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		commas(5455): "5,455", commas(-1234567): "-1,234,567", commas(0): "0", commas(999): "999",
		sizeText(0): "0 B", sizeText(1536): "1.50 KiB", sizeText(288812276): "275 MiB", sizeText(1 << 40): "1.00 TiB", sizeText(1023.6): "1.00 KiB",
		spanText(45 * time.Second): "45 s", spanText(989 * time.Second): "16 min", spanText(30 * time.Hour): "30.0 h", spanText(72 * time.Hour): "3.0 days",
		spanText(3 * time.Nanosecond): "<1 ms", byteRateInterval(&Rate{9566, 9000, 10000, 0.95}): "5.47 MiB / 10 min (95 % interval 5.15 to 5.72)",
		objectRate(&Rate{20, 19, 21, 0.95}): "20.0 objects / s (95 % interval 19.0 to 21.0)",
		byteRate(9566):                      "5.47 MiB / 10 min", byteRate(0.5): "42.2 KiB / d",
		join([]string{"a", "b", "c"}): "a, b and c", percent(0.98): "98 %", percent(0.001): "<1 %", percent(0.999): ">99 %",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
