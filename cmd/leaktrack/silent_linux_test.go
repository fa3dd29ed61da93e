package main

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSilentAndEndlessStreams: whatever a server sends once it has accepted the
// session, or nothing, the user is told within two seconds.
func TestSilentAndEndlessStreams(t *testing.T) {
	for mode, want := range map[string]string{
		"good":          "accepted a tracing session, but sends nothing; ",
		"garbagestream": "its event stream makes no sense: ",
		"endlessstream": "its event stream makes no sense: ",
	} {
		for _, verb := range []string{"ingest", "watch"} {
			t.Run(verb+" "+mode, func(t *testing.T) {
				pid := strconv.Itoa(pretender(t, mode, ""))
				args := []string{"leaktrack", "--db", filepath.Join(t.TempDir(), "x.db"), "ingest", "--pid", pid}
				if verb == "watch" {
					args = append(args[:3], "watch", "--count", "1", pid)
				}
				var out, errOut bytes.Buffer
				begin := time.Now()
				status := run(t.Context(), args, nil, &out, &errOut)
				if d := time.Since(begin); status != exitFailed || !strings.Contains(errOut.String(), "leaktrack: process "+pid+": "+want) || d > 2*time.Second {
					t.Errorf("status %d after %v: %s", status, d, errOut.String())
				}
			})
		}
	}
}
