package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

// DefaultListen is the port that exporters of OpenTelemetry use, too.
const DefaultListen = "127.0.0.1:9464"

const (
	// A request is a line and some headers; an answer some hundred KB.
	headTimeout  = 5 * time.Second
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	maxHead      = 16 << 10
	// endTimeout is how long a scrape under way is waited for at the end.
	endTimeout = 3 * time.Second
	// mostScrapes are answered at once, further ones are turned away.
	mostScrapes = 8
)

// Listen opens the address, host:port. It reports whether only this machine
// reaches it. A host must be given, so that nobody opens a port to the world
// by leaving something out.
func Listen(address string) (l net.Listener, loopback bool, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, false, fmt.Errorf("%q is no HOST:PORT, such as %s", address, DefaultListen)
	}
	if host == "" {
		return nil, false, fmt.Errorf("%q names no address: 127.0.0.1:%s is for this machine, 0.0.0.0:%s for everybody", address, port, port)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, false, fmt.Errorf("%q: the port is a number up to 65535, 0 for a free one", address)
	}
	l, err = net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		var call *os.SyscallError
		if errors.As(err, &call) {
			err = call.Err // whether it was bind or listen helps nobody
		}
		err = fmt.Errorf("listening on %s: %w", address, err)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			err = fmt.Errorf("%w; choose another port, 0 takes a free one", err)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			err = fmt.Errorf("%w; it takes an address of this machine", err)
		case errors.Is(err, syscall.EACCES):
			err = fmt.Errorf("%w; ports below 1024 are for root", err)
		}
		return nil, false, err
	}
	a, ok := l.Addr().(*net.TCPAddr)
	return l, ok && a.IP.IsLoopback(), nil
}

const page = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>leaktrack</title>
<h1>leaktrack</h1>
<p><a href="metrics">Metrics</a> for a Prometheus: which .NET type leaks, how fast.</p>
</html>
`

// Handler answers /metrics, /healthz and /.
func (e *Exporter) Handler() http.Handler {
	exposition := promhttp.HandlerFor(e.Registry(), promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: mostScrapes})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := scrapeContext(r)
		defer cancel()
		e.Refresh(ctx)
		exposition.ServeHTTP(w, r)
	})
	// It says that the server runs. A store that is not there yet is no reason to
	// start it again.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		io.WriteString(w, page)
	})
	return mux
}

// scrapeContext ends in time for an answer within what the scraper waits,
// which a Prometheus says in a header.
func scrapeContext(r *http.Request) (context.Context, context.CancelFunc) {
	const part = 0.7
	wait, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(wait > 0 && wait < patience.Seconds()/part) {
		return context.WithCancel(r.Context())
	}
	return context.WithTimeout(r.Context(), time.Duration(part*wait*float64(time.Second)))
}

// Serve answers requests on l until ctx ends, then finishes those under way.
func (e *Exporter) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: e.Handler(), ReadHeaderTimeout: headTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHead}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving metrics: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		server.Close()
	}
	return nil
}

// Write prints what is stored once, in the text format of Prometheus. It fails
// when the store cannot be read.
func (e *Exporter) Write(w io.Writer) error {
	if running := e.begin(); running != nil {
		<-running
	}
	e.mu.Lock()
	err := e.err
	e.mu.Unlock()
	if err == nil {
		err = e.ctx.Err()
	}
	if err != nil {
		return err
	}
	all, err := e.Registry().Gather()
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, f := range all {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, text.String())
	return err
}
