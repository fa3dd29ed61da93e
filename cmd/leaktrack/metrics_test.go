package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"leaktrack/heap"
	"leaktrack/internal/metrics"
	"leaktrack/store"
)

var served = regexp.MustCompile(`http://([0-9.:]+)/metrics`)

// A watch serves the run that it stored last, and nothing else of the file.
func TestWatchServesWhatItStores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	put := func(s *heap.Snapshot) error {
		db, err := store.Open(path, store.Options{})
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.Put(s, false)
		return err
	}
	snapshot := func(host string, pid int) *heap.Snapshot {
		return &heap.Snapshot{Process: heap.Process{Host: host, Program: "App", PID: pid, StartNanos: int64(pid)}, Source: heap.SourceLiveEventPipe,
			Basis: heap.Live, Complete: true, Types: []heap.Type{{Name: "A", Count: 1, Bytes: 24}}}
	}
	if err := put(snapshot("other", 3)); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c := &console{out: io.Discard, err: &said}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keep, err := c.serveStored(ctx, "127.0.0.1:0", metrics.Options{Path: path}, put)
	if err != nil {
		t.Fatal(err)
	}
	url := served.FindString(said.String())
	ask := func() string {
		t.Helper()
		r, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if text := ask(); !strings.Contains(text, "leaktrack_processes 0\n") {
		t.Errorf("before anything is stored:\n%s", text)
	}
	for pid := 7; pid <= 8; pid++ { // a run, and the next
		if err := keep(snapshot("here", pid)); err != nil {
			t.Fatal(err)
		}
	}
	// What was just read is read again after a rest.
	want := `leaktrack_last_snapshot_uptime_seconds{host="here",process="App/8",program="App"} 0`
	text := ""
	for range 1000 {
		if text = ask(); strings.Contains(text, want) {
			break
		}
	}
	if !strings.Contains(text, want) || !strings.Contains(text, "leaktrack_processes 1\n") {
		t.Errorf("got:\n%s", text)
	}
	// What could not be stored is not told of.
	conflict := snapshot("here", 7)
	conflict.Types[0].Count = 2
	if err := keep(conflict); err == nil {
		t.Error("a conflict was stored")
	}
}
