// Package arch holds the table of which package may import which, as a test.
package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rules lists, for each package of the module, what it may import besides the
// standard library: packages of the module by their path in it, other modules
// by the first elements of their path. Imports point downward only. A package
// that is missing here fails the test, so the table stays whole.
var rules = map[string][]string{
	"heap":                        {},
	"ingest/syntax":               {},
	"ingest/internal/wire":        {},
	"ingest/internal/cmdline":     {},
	"ingest/internal/metadata":    {},
	"ingest/internal/bundle":      {},
	"ingest/internal/boot":        {},
	"ingest/sos":                  {"heap", "ingest/syntax", "golang.org/x/text"},
	"ingest/internal/fastser":     {"ingest/syntax"},
	"ingest/internal/fullname":    {"heap", "ingest/internal/metadata", "ingest/internal/bundle"},
	"ingest/internal/gcname":      {"heap", "ingest/internal/fullname"},
	"ingest/gcdump":               {"heap", "ingest/syntax", "ingest/internal/"},
	"ingest/gcreport":             {"heap", "ingest/syntax", "ingest/internal/", "golang.org/x/text"},
	"ingest/internal/clr":         {"heap", "ingest/internal/metadata", "ingest/internal/wire"},
	"ingest/internal/clr/clrtest": {},
	"ingest/elfcore":              {"heap", "ingest/syntax", "ingest/internal/"},
	"ingest/livemem":              {"heap", "ingest/internal/", "golang.org/x/sys"},
	"trend/internal/score":        {},
	"ingest/nettrace":             {"heap", "ingest/syntax", "ingest/internal/"},
	"ingest/live":                 {"heap", "ingest/nettrace", "ingest/internal/", "golang.org/x/sys"},
	"ingest":                      {"heap", "ingest/"},
	"store":                       {"heap", "go.etcd.io/bbolt", "golang.org/x/sys"},
	"trend":                       {"heap", "internal/unit", "gonum.org/v1/gonum"},
	"plotting":                    {"trend", "internal/unit", "gonum.org/v1/plot", "golang.org/x/image"},
	"internal/arch":               {},
	"internal/release":            {},
	"internal/unit":               {"github.com/dustin/go-humanize"},
	"internal/report":             {"heap", "trend", "internal/unit", "github.com/jedib0t/go-pretty"},
	"internal/mail":               {"github.com/wneessen/go-mail"},
	"internal/metrics":            {"heap", "store", "trend", "internal/unit", "github.com/prometheus"},
	"cmd/leaktrack":               {"*"},
}

// single names the one home of each large dependency.
var single = map[string]string{
	"go.etcd.io/bbolt":         "store",
	"gonum.org/v1/gonum":       "trend",
	"gonum.org/v1/plot":        "plotting",
	"github.com/urfave/cli/v2": "cmd/leaktrack",
	"github.com/prometheus":    "internal/metrics",
}

const module = "leaktrack"

func TestImportsPointDownward(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		allowed, ok := rules[pkg]
		if !ok {
			t.Errorf("package %s is not in the table", pkg)
			return nil
		}
		seen[pkg] = true
		// Tests may use what they like of other modules; the shape of the
		// house is a matter of what is built.
		test := strings.HasSuffix(file, "_test.go")
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if !test && !permitted(allowed, imported) {
				t.Errorf("%s imports %s, which its line in the table does not allow", path.Join(pkg, d.Name()), imported)
			}
			for dependency, home := range single {
				if !test && home != pkg && within(imported, dependency) {
					t.Errorf("%s imports %s, whose one home is %s", path.Join(pkg, d.Name()), imported, home)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range rules {
		if !seen[pkg] {
			t.Errorf("the table lists %s, which does not exist", pkg)
		}
	}
}

func within(imported, prefix string) bool {
	return imported == prefix || strings.HasPrefix(imported, strings.TrimSuffix(prefix, "/")+"/")
}

func permitted(allowed []string, imported string) bool {
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		imported = own
	} else if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		if a == "*" || a == imported {
			return true
		}
		if strings.HasSuffix(a, "/") || strings.Contains(strings.SplitN(a, "/", 2)[0], ".") {
			return within(imported, a)
		}
		return false
	})
}

func TestPermitted(t *testing.T) {
	tests := []struct {
		why      string
		allowed  []string
		imported string
		want     bool
	}{
		{"standard library", nil, "encoding/json", true},
		{"own package by name", []string{"heap"}, "leaktrack/heap", true},
		{"own package not named", []string{"heap"}, "leaktrack/store", false},
		{"own package below a named one", []string{"ingest"}, "leaktrack/ingest/sos", false},
		{"own packages below a folder", []string{"ingest/"}, "leaktrack/ingest/sos", true},
		{"other module", []string{"go.etcd.io/bbolt"}, "go.etcd.io/bbolt/errors", true},
		{"other module not named", nil, "go.etcd.io/bbolt", false},
		{"module with a longer name", []string{"go.etcd.io/bbolt"}, "go.etcd.io/bboltx", false},
		{"everything", []string{"*"}, "go.etcd.io/bbolt", true},
	}
	for _, tt := range tests {
		if got := permitted(tt.allowed, tt.imported); got != tt.want {
			t.Errorf("%s: got %v", tt.why, got)
		}
	}
}
