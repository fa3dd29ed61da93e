package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scrapePage asks a server in the background until the answer holds a line that
// matches. The first line of a file is the server's address, which is waited for:
//
//	exec sh -c 'exec leaktrack metrics --listen 127.0.0.1:0 >url.txt' &server&
//	scrape url.txt '^leaktrack_up 1$'
func scrapePage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: scrape URLFILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	client := http.Client{Timeout: 30 * time.Second}
	last := "no address in " + args[0]
	for range 1000 {
		b, _ := os.ReadFile(ts.MkAbs(args[0]))
		if url, _, ok := strings.Cut(string(b), "\n"); ok {
			r, err := client.Get(url)
			ts.Check(err)
			b, err := io.ReadAll(r.Body)
			r.Body.Close()
			ts.Check(err)
			if last = string(b); want.MatchString(last) {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("no line matches %s:\n%s", args[1], last)
}

// occupyPort listens on a free port until the script ends, and sets a variable
// to its address.
func occupyPort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy VARIABLE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}
