package metrics

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"leaktrack/store"
)

func TestListen(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	tests := []struct {
		why, address string
		loopback     bool
		want         string // part of the error; "" for none
	}{
		{"loopback", "127.0.0.1:0", true, ""},
		{"loopback by name", "localhost:0", true, ""},
		{"everybody", "0.0.0.0:0", false, ""},
		{"port in use", busy.Addr().String(), false, "address already in use; choose another port"},
		{"no host", ":9464", false, "0.0.0.0:9464 for everybody"},
		{"no port", "127.0.0.1", false, "no HOST:PORT"},
		{"a named port", "127.0.0.1:http", false, "a number up to 65535"},
		{"port out of range", "127.0.0.1:65536", false, "a number up to 65535"},
		{"address of another machine", "192.0.2.1:0", false, "an address of this machine"},
		{"nothing", "", false, "no HOST:PORT"},
	}
	for _, tt := range tests {
		l, loopback, err := Listen(tt.address)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: error %v, want one with %q", tt.why, err, tt.want)
			}
			continue
		}
		if err != nil || loopback != tt.loopback {
			t.Errorf("%s: loopback %v, %v", tt.why, loopback, err)
			continue
		}
		l.Close()
	}
}

func TestPages(t *testing.T) {
	e := exporter(t, Options{Path: founding(t)})
	tests := []struct {
		why, method, path, accept string
		status                    int
		kind, want                string
	}{
		{"OpenMetrics is asked for", "GET", "/metrics", acceptOpenMetrics, 200, "application/openmetrics-text; version=1.0.0", "# EOF\n"},
		{"as a Prometheus asks", "GET", "/metrics", "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", 200, "application/openmetrics-text", "# EOF\n"},
		{"as a browser asks", "GET", "/metrics", "text/html,*/*;q=0.8", 200, "text/plain; version=0.0.4", "leaktrack_up 1\n"},
		{"the page", "GET", "/", "text/html", 200, "text/html", `<a href="metrics">`},
		{"health", "GET", "/healthz", "", 200, "text/plain", "ok\n"},
		{"no page", "GET", "/favicon.ico", "", 404, "", ""},
		{"writing", "POST", "/metrics", "", 405, "", ""},
	}
	for _, tt := range tests {
		r, err := http.NewRequest(tt.method, tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", tt.accept)
		w := &recorder{header: http.Header{}, status: 200}
		e.Handler().ServeHTTP(w, r)
		if w.status != tt.status || !strings.HasPrefix(w.header.Get("Content-Type"), tt.kind) || !strings.Contains(w.text.String(), tt.want) {
			t.Errorf("%s: status %d, type %q\n%.300s", tt.why, w.status, w.header.Get("Content-Type"), w.text.String())
		}
	}
}

type recorder struct {
	header http.Header
	status int
	text   strings.Builder
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.text.Write(p) }

// What is asked before the end is answered, a connection kept for later is not waited for.
func TestServeEndsInGoodOrder(t *testing.T) {
	path := founding(t)
	e := exporter(t, Options{Path: path})
	l, _, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx, l) }()

	idle, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprintf(idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if r, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil || r.StatusCode != 200 {
		t.Fatal(r, err)
	}
	// While this test has the store, the scrape waits for it.
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	asks, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	fmt.Fprintf(asks, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	for { // until the scrape is under way
		e.mu.Lock()
		running := e.running != nil
		e.mu.Unlock()
		if running {
			break
		}
		time.Sleep(time.Millisecond)
	}
	end()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(asks), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(b), "leaktrack_up") {
		t.Errorf("%v\n%s", err, b)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

func TestScrapeEndsBeforeItsTimeout(t *testing.T) {
	for header, want := range map[string]bool{"3": true, "0.5": true, "": false, "60": false, "-1": false, "NaN": false, "x": false} {
		r, err := http.NewRequest("GET", "/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", header)
		ctx, cancel := scrapeContext(r)
		if at, has := ctx.Deadline(); has != want || has && time.Until(at) > 3*time.Second {
			t.Errorf("%q: a deadline %v, in %v", header, has, time.Until(at))
		}
		cancel()
	}
}
