package trend

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"leaktrack/heap"
)

// noisyProcess makes snapshots of a process in which every type changes, so
// that none is screened out: the worst case. One in a thousand leaks. Each
// snapshot is made when it is asked for, as from a store.
func noisyProcess(types, snapshots int) iter.Seq2[*heap.Snapshot, error] {
	names := make([]string, types)
	for i := range names {
		names[i] = fmt.Sprintf("App.Type%06d", i)
	}
	return func(yield func(*heap.Snapshot, error) bool) {
		r := rand.New(rand.NewPCG(1, 2))
		s := &heap.Snapshot{Process: heap.Process{Program: "App"}, Source: heap.SourceJSON, Basis: heap.Live, Complete: true}
		s.Types = make([]heap.Type, types)
		for k := range snapshots {
			s.Uptime = time.Duration(k+1)*time.Minute + time.Duration(r.IntN(20000))*time.Millisecond
			for i := range s.Types {
				n := int64(500 + 10*math.Sqrt(float64(i%100))*r.NormFloat64())
				if i%1000 == 7 {
					n += int64(50 * k)
				}
				n = max(0, n)
				s.Types[i] = heap.Type{Name: names[i], Count: n, Bytes: 48 * n}
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

func benchmarkAnalyze(b *testing.B, types, snapshots int) {
	b.ReportAllocs()
	for b.Loop() {
		r, err := Analyze(noisyProcess(types, snapshots), Options{})
		if err != nil {
			b.Fatal(err)
		}
		if r.Tested < types*9/10 || r.Diagnosis.Verdict != DiagnosisLeak {
			b.Fatalf("%d of %d types judged, %v", r.Tested, types, r.Diagnosis)
		}
		b.ReportMetric(peakMiB(), "peak-MiB")
	}
}

// peakMiB is the greatest resident set of this process so far, where the
// system says it.
func peakMiB() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			kib, _ := strconv.ParseFloat(f[1], 64)
			return kib / 1024
		}
	}
	return 0
}

func BenchmarkAnalyze50000Types100Snapshots(b *testing.B) { benchmarkAnalyze(b, 50000, 100) }
func BenchmarkAnalyze5000Types1000Snapshots(b *testing.B) { benchmarkAnalyze(b, 5000, 1000) }
func BenchmarkAnalyze5000Types30Snapshots(b *testing.B)   { benchmarkAnalyze(b, 5000, 30) }
func BenchmarkAnalyze5000Types100Snapshots(b *testing.B)  { benchmarkAnalyze(b, 5000, 100) }

// BenchmarkOneType is one type from raw points to verdict, the columns
// included.
func BenchmarkOneType(b *testing.B) {
	for _, n := range []int{3, 10, 30, 100, 500} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(3, 4))
			t, y := make([]float64, n), make([]float64, n)
			for i := range t {
				t[i] = float64(i) * 60
				y[i] = math.Round(1000 + 20*float64(i) + 30*r.NormFloat64())
			}
			w := newWorkspace()
			for b.Loop() {
				w.judge([]life{{s: newSampling(t), y: y}}, 1, minObjects, 0.95)
			}
		})
	}
}
