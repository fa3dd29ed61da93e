package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// spoken is one text of the production code that may become a message, or a
// part of one.
type spoken struct {
	pkg   string // path in the module
	place string // file:line
	text  string // as in the source, with its verbs; what is no literal is %s
}

// constructors are the functions that make a message of one plain text, by
// package and name, with the argument that it is. Those that take a format and
// arguments are found by their parameters.
var constructors = map[string]int{
	"errors.New":         0,
	"fmt.Errorf":         0,
	"cmd/leaktrack.bad":  0,
	"store.mixedState":   0,
	"internal/mail.fail": 0,
}

// warners write warnings, which are no failures.
var warners = []string{"Warn", "doubt", "warn", "note", "add", "addFirst", "raw"}

// messageFields are the fields that hold the text of the house's error values.
var messageFields = []string{"Msg", "Remedy", "What"}

// module is the parsed source of the module.
type module struct {
	fset  *token.FileSet
	files map[string]*ast.File // by path in it
}

// parseModule parses every Go file that is built into leaktrack on Linux.
func parseModule(t *testing.T) module {
	t.Helper()
	const root = "../.."
	m := module{token.NewFileSet(), map[string]*ast.File{}}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); name != ".." && strings.HasPrefix(name, ".") || name == "testdata" || slices.Contains(notBuiltIn, rel) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || otherSystem.MatchString(file) {
			return nil
		}
		f, err := parser.ParseFile(m.fset, file, nil, parser.SkipObjectResolution)
		m.files[rel] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.files) < 50 {
		t.Fatalf("only %d files", len(m.files))
	}
	return m
}

var (
	notBuiltIn  = []string{"internal/arch", "internal/release", "ingest/internal/clr/clrtest"}
	otherSystem = regexp.MustCompile(`_(windows|darwin|other)\.go$`)
)

// spoken finds the texts of messages. One without a word of its own, such as
// "%s: %w", passes on what others say.
func (m module) spoken() []spoken {
	formats := m.formatters()
	var out []spoken
	for rel, f := range m.files {
		pkg := path.Dir(rel)
		add := func(e ast.Expr) {
			text := textOf(e)
			if wordsIn(text) {
				out = append(out, spoken{pkg, fmt.Sprintf("%s:%d", rel, m.fset.Position(e.Pos()).Line), text})
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if at, ok := m.argument(pkg, calledName(n), formats); ok && at < len(n.Args) {
					add(n.Args[at])
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && slices.Contains(messageFields, key.Name) {
					add(n.Value)
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if field, ok := to.(*ast.SelectorExpr); ok && slices.Contains(messageFields, field.Sel.Name) && len(n.Rhs) == len(n.Lhs) {
						add(n.Rhs[i])
					}
				}
			}
			return true
		})
	}
	slices.SortFunc(out, func(a, b spoken) int { return strings.Compare(a.place, b.place) })
	return out
}

// argument returns which argument of a call is the text of a message.
func (m module) argument(pkg, name string, formats map[string]int) (int, bool) {
	own := pkg + "." + name[strings.LastIndex(name, ".")+1:]
	if slices.Contains(warners, path.Ext(own)[1:]) {
		return 0, false
	}
	for _, key := range []string{name, own, path.Ext(own)} {
		if at, ok := constructors[key]; ok {
			return at, true
		}
		if at, ok := formats[key]; ok {
			return at, true
		}
	}
	return 0, false
}

// formatters are the functions of the module, and those within them, that take a
// format and its arguments, by package and name, with the place of the format. What
// other packages may call stands there without its package, too.
func (m module) formatters() map[string]int {
	out := map[string]int{}
	add := func(pkg, name string, params *ast.FieldList) {
		var types []ast.Expr
		for _, field := range params.List {
			for range max(1, len(field.Names)) {
				types = append(types, field.Type)
			}
		}
		if n := len(types); n >= 2 {
			if rest, ok := types[n-1].(*ast.Ellipsis); ok && isIdent(rest.Elt, "any") && isIdent(types[n-2], "string") {
				out[pkg+"."+name] = n - 2
				if ast.IsExported(name) {
					out["."+name] = n - 2
				}
			}
		}
	}
	for rel, f := range m.files {
		pkg := path.Dir(rel)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				add(pkg, n.Name.Name, n.Type.Params)
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if name, ok := to.(*ast.Ident); ok && i < len(n.Rhs) {
						if lit, ok := n.Rhs[i].(*ast.FuncLit); ok {
							add(pkg, name.Name, lit.Type.Params)
						}
					}
				}
			}
			return true
		})
	}
	return out
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// calledName is the name of the function that is called, with what stands before
// the dot.
func calledName(n *ast.CallExpr) string {
	switch f := n.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
		return "." + f.Sel.Name
	}
	return ""
}

// textOf returns a text as it stands in the source.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return textOf(e.X) + textOf(e.Y)
		}
	case *ast.CallExpr:
		if calledName(e) == "fmt.Sprintf" && len(e.Args) > 0 {
			return textOf(e.Args[0])
		}
	}
	return "%s"
}

var (
	verb = regexp.MustCompile(`%[-+# 0]*[0-9*]*(\.[0-9*]+)?[a-zA-Z]`)
	word = regexp.MustCompile(`\pL{2}`)
)

func wordsIn(text string) bool { return word.MatchString(verb.ReplaceAllString(text, "")) }

// What leads to a text, or follows from it, is told by itself.
var (
	leads   = regexp.MustCompile(`^(%[swv]: )+`)
	follows = regexp.MustCompile(`(: %[swv])+$`)
)

// within fits a text where it is a part of what is told, and exactly where it is
// all of it. What varies is in capitals there.
func (s spoken) within() (part, all *regexp.Regexp) {
	text := follows.ReplaceAllString(leads.ReplaceAllString(s.text, ""), "")
	var b strings.Builder
	at := 0
	for _, m := range verb.FindAllStringIndex(text, -1) {
		b.WriteString(regexp.QuoteMeta(strings.ReplaceAll(text[at:m[0]], "%%", "%")) + ".*?")
		at = m[1]
	}
	b.WriteString(regexp.QuoteMeta(strings.ReplaceAll(text[at:], "%%", "%")))
	return regexp.MustCompile(b.String()), regexp.MustCompile("^" + b.String() + "$")
}

var causeLine = regexp.MustCompile("(?m)^\\* `(.+)`$")

// toldCauses are the lines of the page that tell what may stand for CAUSE.
func toldCauses(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range causeLine.FindAllStringSubmatch(string(b), -1) {
		if slices.Contains(out, m[1]) {
			t.Errorf("%s tells of %q twice", errorsPage, m[1])
		}
		out = append(out, m[1])
	}
	return out
}

// TestErrorTexts: every text of an error in the code is told in doc/errors.md, in
// a row of its own or among the causes, or is in the list of those that no user
// meets; and nothing else is told or listed.
func TestErrorTexts(t *testing.T) {
	var messages []string
	for _, r := range toldErrors(t) {
		messages = append(messages, r.message)
	}
	causes := toldCauses(t)
	met, unmet := map[string]bool{}, map[string]bool{}
	for _, s := range parseModule(t).spoken() {
		part, all := s.within()
		if _, ok := neverMet[s.text]; ok {
			unmet[s.text] = true
			continue
		}
		cause := false
		for _, c := range causes {
			if all.MatchString(c) {
				met[c], cause = true, true
			}
		}
		if !cause && !slices.ContainsFunc(messages, part.MatchString) {
			t.Errorf("%s: %s has no row with %q; add one, with a case in failures that makes it happen", s.place, errorsPage, s.text)
		}
	}
	for _, c := range causes {
		if !met[c] {
			t.Errorf("%s tells of the cause %q, which nothing says", errorsPage, c)
		}
	}
	for text := range neverMet {
		if !unmet[text] {
			t.Errorf("neverMet lists %q, which nothing says", text)
		}
	}
}

// TestSpokenTexts: each way to make an error is seen, and nothing else.
func TestSpokenTexts(t *testing.T) {
	const source = `package x
var errA = errors.New("a sentinel")
func bad(at int, format string, args ...any) error { return nil }
func f(s *T, name string) error {
	fail := func(format string, args ...any) error { return nil }
	fail("a closure: %s", name)
	bad(3, "a function of the package: %d", 3)
	s.bad(3, "its namesake: " + name)
	e := &Error{Msg: fmt.Sprintf("a field: %d", 4), Line: 3}
	e.Remedy = "an assigned field"
	s.Warn("", "a warning: %d", 3)
	fmt.Println("no error")
	return fmt.Errorf("%s: %w", name, errA)
}`
	m := module{token.NewFileSet(), map[string]*ast.File{}}
	f, err := parser.ParseFile(m.fset, "x.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	m.files["store/x.go"] = f
	var got []string
	for _, s := range m.spoken() {
		got = append(got, s.text)
	}
	want := []string{"a closure: %s", "a field: %d", "a function of the package: %d", "a sentinel", "an assigned field", "its namesake: %s"}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
