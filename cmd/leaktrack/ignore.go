package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"leaktrack/ingest/syntax"
)

// ignoreLine is one type, or pattern of types, that may leak.
type ignoreLine struct {
	pattern *typePattern
	reason  string
	place   string // file:line
}

// reasonMark parts a pattern from its reason.
var reasonMark = regexp.MustCompile(`\s+#`)

// maxIgnore bounds the size of a file of patterns: one that is longer is
// another file.
const maxIgnore = 4 << 20

// readIgnore reads the file of --ignore: on each line a pattern as of --type,
// a blank, # and the reason. The reason is required, since the one who asks in a
// year why a leak is let pass is not the one who wrote the line. Empty lines
// and lines that begin with # say nothing.
func readIgnore(path string) ([]ignoreLine, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cause(err))
	}
	return parseIgnore(path, b)
}

func parseIgnore(path string, b []byte) ([]ignoreLine, error) {
	if len(b) > maxIgnore {
		return nil, fmt.Errorf("reading %s: %d bytes are too many for a list of types", path, len(b))
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	var out []ignoreLine
	n := 0
	for line := range strings.SplitSeq(string(b), "\n") {
		n++
		bad := func(msg string) error { return &syntax.Error{File: path, Line: n, Msg: msg} }
		if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
			return nil, bad("not a text in UTF-8")
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason := line, ""
		// A # inside of a name is no comment: a blank comes before it.
		if at := reasonMark.FindStringIndex(line); at != nil {
			name, reason = line[:at[0]], strings.TrimSpace(line[at[1]:])
		}
		if reason == "" {
			return nil, bad(fmt.Sprintf("no reason behind %.100q: write %.100s # why it may leak", name, name))
		}
		if strings.Trim(name, "*?. ") == "" {
			return nil, bad(fmt.Sprintf("%q would excuse every type", name))
		}
		patterns, err := typePatterns([]string{name})
		if err != nil {
			return nil, bad(err.Error())
		}
		out = append(out, ignoreLine{patterns[0], reason, fmt.Sprintf("%s:%d", path, n)})
	}
	return out, nil
}
