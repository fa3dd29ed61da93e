package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 22, 10, 9, 56, 0, time.UTC)

var sample = []entry{{"leaktrack", []byte("binary"), 0o755}, {"LICENSE", []byte("text"), 0o644}}

func TestTarred(t *testing.T) {
	b, err := tarred("leaktrack-v1", sample, at)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("the gzip header holds %v %q", z.ModTime, z.Name)
	}
	r := tar.NewReader(z)
	for _, want := range sample {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil || h.Name != "leaktrack-v1/"+want.name || h.Mode != int64(want.mode) || !h.ModTime.Equal(at) || !bytes.Equal(content, want.content) {
			t.Errorf("%+v, %q, %v", h, content, err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s has an owner", h.Name)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestZipped(t *testing.T) {
	b, err := zipped("leaktrack-v1", sample, at)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(r.File) != len(sample) {
		t.Fatal(err)
	}
	for i, want := range sample {
		f, err := r.File[i].Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(f)
		if err != nil || r.File[i].Name != "leaktrack-v1/"+want.name || r.File[i].Mode() != want.mode || !r.File[i].Modified.Equal(at) || !bytes.Equal(content, want.content) {
			t.Errorf("%+v, %q, %v", r.File[i].FileHeader, content, err)
		}
	}
}

// TestArchivesIgnoreTheTimeZone: the time of the commit is the same all over
// the world.
func TestArchivesIgnoreTheTimeZone(t *testing.T) {
	east := at.In(time.FixedZone("east", 9*3600))
	for name, pack := range map[string]func(string, []entry, time.Time) ([]byte, error){"tar": tarred, "zip": zipped} {
		a, err := pack("x", sample, at)
		if err != nil {
			t.Fatal(err)
		}
		b, err := pack("x", sample, east)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: other bytes in another time zone", name)
		}
	}
}

func TestStampOf(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		name, version, commit, epoch string
		want                         stamp
		err                          string
	}{
		{"all given", "v1.2.0", "abc", "1795342196", stamp{"v1.2.0", "abc", time.Unix(1795342196, 0).UTC()}, ""},
		{"no version", "", "abc", "1795342196", stamp{"devel", "abc", time.Unix(1795342196, 0).UTC()}, ""},
		{"no commit, no git", "v1.2.0", "", "1795342196", stamp{}, "outside of a checkout name it with -commit"},
		{"no time, no git", "v1.2.0", "abc", "", stamp{}, "outside of a checkout set SOURCE_DATE_EPOCH"},
		{"no time", "v1.2.0", "abc", "yesterday", stamp{}, "want seconds since 1970"},
	} {
		t.Setenv("GIT_CEILING_DIRECTORIES", empty)
		got, err := stampOf(empty, c.version, c.commit, c.epoch)
		if c.err != "" {
			if err == nil || !bytes.Contains([]byte(err.Error()), []byte(c.err)) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}
