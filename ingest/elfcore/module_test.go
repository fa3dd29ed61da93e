//go:build unix

package elfcore

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestHostileModules: a core can name any path as that of a module. Only a
// regular file is opened, and below a root none outside of it, whatever ".." and
// links say.
func TestHostileModules(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "app"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "secret"), filepath.Join(root, "app", "good.dll")} {
		if err := os.WriteFile(path, []byte("MZ"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	links := map[string]string{"app/up": "../../secret", "app/abs": filepath.Join(dir, "secret"), "app/inside": "good.dll", "out": dir}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "app", "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, root, path string
		want             bool
	}{
		{"a module", root, "/app/good.dll", true},
		{"a link within the root", root, "/app/inside", true},
		{"a way out by dots", root, "/../secret", false},
		{"a way out by dots within", root, "/app/../../secret", false},
		{"a link that leads out", root, "/app/up", false},
		{"a link to an absolute path", root, "/app/abs", false},
		{"a link to a folder outside", root, "/out/secret", false},
		{"a pipe, which would wait for ever", root, "/app/pipe", false},
		{"a folder", root, "/app", false},
		{"a path without slash", root, "app/good.dll", false},
		{"nothing", root, "", false},
		{"no root: a device", "", "/dev/zero", false},
		{"no root: a pipe", "", filepath.Join(root, "app", "pipe"), false},
		{"no root: a module", "", filepath.Join(root, "app", "good.dll"), true},
	} {
		f, err := openModule(c.root, c.path)
		if (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			f.Close()
		}
	}
}
