package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// starters are the packages by which a program starts another one, or runs code
// that was not compiled into it.
var starters = []string{"os/exec", "plugin", "C"}

// starting are functions that do it, in packages that are needed otherwise.
var starting = []string{"os.StartProcess", "syscall.StartProcess", "syscall.ForkExec", "syscall.Exec", "syscall.CreateProcess", "unix.Exec",
	"windows.CreateProcess"}

// mayStart lists what of the module may import them: the tool that builds
// releases and the support of the tests. Nothing that is in the binary.
var mayStart = []string{"internal/release", "ingest/internal/clr/clrtest"}

// TestNothingIsExecuted: no shell and no other program is ever started by
// leaktrack, so that no name out of a dump can become a command.
func TestNothingIsExecuted(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		for _, what := range startsIn(t, file, nil) {
			if pkg := filepath.ToSlash(rel); slices.Contains(mayStart, pkg) {
				seen[pkg] = true
			} else {
				t.Errorf("%s uses %s: names come out of hostile dumps, so leaktrack starts no other program", file, what)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range mayStart {
		if !seen[pkg] {
			t.Errorf("%s is allowed to start programs, and does not: remove it from the list", pkg)
		}
	}
}

// startsIn returns by what a file could start another program.
func startsIn(t *testing.T, file string, src any) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range f.Imports {
		if path := strings.Trim(spec.Path.Value, `"`); slices.Contains(starters, path) {
			out = append(out, path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && slices.Contains(starting, x.Name+"."+s.Sel.Name) {
			out = append(out, x.Name+"."+s.Sel.Name)
		}
		return true
	})
	return out
}

// TestStartsIn: the search sees each of the ways.
func TestStartsIn(t *testing.T) {
	for src, want := range map[string]string{
		`package p; import "os/exec"; var _ = exec.Command`:                    "os/exec",
		`package p; import "os"; var f = os.StartProcess`:                      "os.StartProcess",
		`package p; import "syscall"; func f() { syscall.Exec("", nil, nil) }`: "syscall.Exec",
		`package p; import "C"`:                                                "C",
		`package p; import "os"; var f = os.Open`:                              "",
	} {
		if got := strings.Join(startsIn(t, "p.go", src), " "); got != want {
			t.Errorf("%s: got %q, want %q", src, got, want)
		}
	}
}
