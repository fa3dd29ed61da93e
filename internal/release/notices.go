package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is one whose code is in the binary of one of the targets.
type module struct{ path, version, dir string }

// linked returns the modules, sorted by path. leaktrack itself is not among
// them.
func linked(root string) ([]module, error) {
	found := map[string]module{}
	for _, t := range targets {
		b, err := goCommand(root, []string{"GOOS=" + t.os, "GOARCH=" + t.arch}, "list", "-deps",
			"-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/leaktrack")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
				found[f[0]] = module{f[0], f[1], f[2]}
			}
		}
	}
	var out []module
	for _, m := range found {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return out, nil
}

var (
	paperName  = regexp.MustCompile(`(?i)^(un)?licen[cs]e|^copying|^notice`)
	paperSpace = regexp.MustCompile(`[\s>]+`) // a text may be quoted, line by line
)

// notOurs are licences that modules carry and that no part of a binary is
// under: the one of two that was not chosen (freetype is taken under the FreeType
// licence), and that of a logo (go-mail).
var notOurs = map[string]bool{"gpl.txt": true, "CC-BY-ND-4.0.txt": true}

// licencePapers returns the files of a module that hold its licences, by path
// in it: those with such a name at its top, and all in a folder of that name.
func licencePapers(dir string) ([]entry, error) {
	var out []entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		first, _, below := strings.Cut(filepath.ToSlash(rel), "/")
		own := paperName.MatchString(first) || strings.HasPrefix(first, "THIRD_PARTY")
		switch {
		case d.IsDir() && rel != "." && !own:
			return fs.SkipDir
		case d.IsDir() || !own || below && filepath.Ext(rel) == ".go" || notOurs[filepath.Base(rel)]:
			return nil
		}
		b, err := os.ReadFile(path)
		out = append(out, entry{filepath.ToSlash(rel), b, 0o644})
		return err
	})
	return out, err
}

// licences are the ones that may be in the binary, each by a sentence of it,
// blanks as one blank; the first that fits is it. All of them ask for their text,
// or the name of the author, to go with a binary, and for no more.
var licences = []struct{ name, sentence string }{
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files"},
	{"BSD-3-Clause", "may be used to endorse or promote products derived from this software without"},
	{"BSD-2-Clause", "Redistribution and use in source and binary forms, with or without modification, are permitted"},
	{"Apache-2.0", "Apache License Version 2.0, January 2004"},
	{"OFL-1.1", "SIL OPEN FONT LICENSE Version 1.1"},
	{"FTL", "The FreeType Project LICENSE"},
	{"CC-BY-4.0", "Creative Commons Attribution 4.0 International Public License"},
}

// licenceOf names the licence of a text, "" for none that is known.
func licenceOf(text []byte) string {
	flat := strings.ToLower(string(paperSpace.ReplaceAll(text, []byte(" "))))
	for _, l := range licences {
		if strings.Contains(flat, strings.ToLower(l.sentence)) {
			return l.name
		}
	}
	return ""
}

// notices returns the licences of all that is in the binaries.
func notices(root string) ([]byte, error) {
	modules, err := linked(root)
	if err != nil {
		return nil, err
	}
	goroot, err := goCommand(root, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	modules = append(modules, module{"the Go standard library and runtime", "", strings.TrimSpace(string(goroot))})
	var out bytes.Buffer
	out.WriteString("leaktrack is under the MIT licence, see LICENSE. Its binaries hold code and fonts of others, under\n" +
		"the licences that follow. Portions of this software are based in part on the work of the FreeType\n" +
		"Team (https://www.freetype.org).\n")
	for _, m := range modules {
		papers, err := licencePapers(m.dir)
		if err != nil {
			return nil, err
		}
		if len(papers) == 0 {
			return nil, fmt.Errorf("%s %s: no licence in %s", m.path, m.version, m.dir)
		}
		for _, p := range papers {
			title := strings.TrimSpace(m.path + " " + m.version)
			fmt.Fprintf(&out, "\n%s\n%s: %s\n%s\n\n", strings.Repeat("=", 80), title, p.name, strings.Repeat("=", 80))
			out.Write(bytes.TrimRight(bytes.ReplaceAll(p.content, []byte("\r\n"), []byte("\n")), "\n"))
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}
