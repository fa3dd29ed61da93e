package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var namedTest = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)` \\(([a-z/]+)\\)")

// TestSecurityNamesTests: each test that SECURITY.md names is there.
func TestSecurityNamesTests(t *testing.T) {
	b, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	found := namedTest.FindAllStringSubmatch(string(b), -1)
	if len(found) == 0 {
		t.Fatal("SECURITY.md names no test")
	}
	for _, m := range found {
		name, pkg := m[1], m[2]
		files, err := filepath.Glob(filepath.Join("../..", filepath.FromSlash(pkg), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		declared := regexp.MustCompile(`(?m)^func ` + name + `\(`)
		ok := false
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ok = ok || declared.Match(b)
		}
		if !ok {
			t.Errorf("SECURITY.md names %s of %s, which does not exist", name, pkg)
		}
	}
}
