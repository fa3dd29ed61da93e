package metrics

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"leaktrack/heap"
)

// BenchmarkScrape asks for metrics of a store of 500 snapshots of 1,000 types,
// most of which grow.
func BenchmarkScrape(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.db")
	p := heap.Process{Program: "A", PID: 1, StartNanos: 1e18}
	names := many(1000)
	var snaps []*heap.Snapshot
	for i := range 500 {
		snaps = append(snaps, growing(p, i, names...))
	}
	put(b, path, snaps...)
	ask := func(b *testing.B, e *Exporter) {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, r)
		if n, err := io.Copy(io.Discard, w.Result().Body); err != nil || n == 0 {
			b.Fatal(n, err)
		}
	}
	b.Run("unchanged", func(b *testing.B) {
		e := exporter(b, Options{Path: path})
		e.now = func() time.Time { return time.Now().Add(time.Hour) } // the file is old
		e.Refresh(context.Background())
		for b.Loop() {
			ask(b, e)
		}
	})
	b.Run("looked through, nothing new", func(b *testing.B) {
		e := exporter(b, Options{Path: path})
		e.Refresh(context.Background())
		for b.Loop() {
			e.state, e.cost = fileState{}, 0
			ask(b, e)
		}
	})
	b.Run("judged anew", func(b *testing.B) {
		e := exporter(b, Options{Path: path})
		for b.Loop() {
			e.state, e.cost, e.judgements = fileState{}, 0, nil
			ask(b, e)
		}
	})
}
