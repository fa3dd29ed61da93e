package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const page = "../../doc/dependencies.md"

// row is a module as doc/dependencies.md tells of it.
type row struct{ module, licence string }

var rowForm = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\|")

// rows returns the tables of the page by their headings.
func rows(t *testing.T) map[string][]row {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]row{}
	for part := range strings.SplitSeq("\n"+string(b), "\n## ") {
		heading, text, _ := strings.Cut(part, "\n")
		for _, m := range rowForm.FindAllStringSubmatch(text, -1) {
			out[heading] = append(out[heading], row{m[1], strings.TrimSpace(m[2])})
		}
	}
	return out
}

// requirements returns the modules that go.mod requires directly.
func requirements(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\t?(\S+) v\S+$`).FindAllStringSubmatch(string(b), -1) {
		out[m[1]] = true
	}
	if len(out) == 0 {
		t.Fatal("go.mod requires nothing?")
	}
	return out
}

const howToTell = "add a line to doc/dependencies.md:\n| `%s` | LICENCE | what it is for | why this one | what it pulls in |"

// TestDependencies holds doc/dependencies.md to go.mod, to what is linked into
// the binaries, and to the licences in the module cache.
func TestDependencies(t *testing.T) {
	tables := rows(t)
	direct := requirements(t)
	found, err := linked("../..")
	if err != nil {
		t.Fatal(err)
	}
	inBinary := map[string]module{}
	for _, m := range found {
		inBinary[m.path] = m
	}
	want := map[string]map[string]bool{"In the binary": {}, "In tests only": {}, "Linked through others": {}}
	for path := range direct {
		if _, ok := inBinary[path]; ok {
			want["In the binary"][path] = true
		} else {
			want["In tests only"][path] = true
		}
	}
	for path := range inBinary {
		if !direct[path] {
			want["Linked through others"][path] = true
		}
	}
	for heading, paths := range want {
		told := map[string]bool{}
		for _, r := range tables[heading] {
			if told[r.module] {
				t.Errorf("%s stands twice under %q", r.module, heading)
			}
			told[r.module] = true
			if !paths[r.module] {
				t.Errorf("doc/dependencies.md tells of %s under %q, where it is not (or no more): move or remove its line", r.module, heading)
			}
			if m, ok := inBinary[r.module]; ok {
				if got := licencesOf(t, m); got != r.licence {
					t.Errorf("%s: the page says licence %q, the module cache %q", r.module, r.licence, got)
				}
			}
		}
		for _, path := range slices.Sorted(maps.Keys(paths)) {
			if !told[path] {
				t.Errorf("%s is not under %q; "+howToTell, path, heading, path)
			}
		}
	}
}

// licencesOf names the licences of a module in the order of their files. One
// that is not in the table of those that may be linked fails the test.
func licencesOf(t *testing.T, m module) string {
	t.Helper()
	papers, err := licencePapers(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range papers {
		if strings.Contains(p.name, "/") && len(names) > 0 {
			continue // of parts of it, beside its own
		}
		name := licenceOf(p.content)
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Errorf("%s %s: its licence is none of those that may be linked (%s); read it, and add it to licences in notices.go if it asks for no more than its text",
			m.path, m.version, filepath.Join(m.dir, "LICENSE"))
	}
	return strings.Join(names, ", ")
}

// TestLicenceOf: each by a text of it; a text of another kind is none.
func TestLicenceOf(t *testing.T) {
	for text, want := range map[string]string{
		"Permission is hereby granted, free of charge, to any person obtaining\na copy of this software and associated documentation files (the": "MIT",
		"Redistribution and use in source and binary forms, with or without\n  modification, are permitted provided":                             "BSD-2-Clause",
		"                       Apache License\n        Version 2.0, January 2004":                                                               "Apache-2.0",
		"GNU GENERAL PUBLIC LICENSE Version 2, June 1991":                                                                                        "",
		"all rights reserved": "",
	} {
		if got := licenceOf([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
