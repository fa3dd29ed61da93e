package main

import (
	"strings"
	"testing"
)

func TestVersionText(t *testing.T) {
	oldVersion, oldCommit := version, commit
	defer func() { version, commit = oldVersion, oldCommit }()
	for _, c := range []struct{ name, version, commit, want string }{
		{"a release", "v1.2.0", "0123456789abcdef0123456789abcdef01234567", "v1.2.0 0123456789ab go1."},
		{"of a changed work tree", "devel", "0123456789abcdef0123456789abcdef01234567-dirty", "devel 0123456789ab-dirty go1."},
		{"without commit", "v1.2.0", "", "v1.2.0 go1."},
		{"the commit in the version", "v0.0.0-2026-0123456789ab", "0123456789abcdef", "v0.0.0-2026-0123456789ab go1."},
	} {
		version, commit = c.version, c.commit
		if got := versionText(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
