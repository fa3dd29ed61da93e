// Command release builds what is published: one archive for each system, with a
// static binary, the licences of all that is in it, and the manual page; and
// SHA256SUMS over the archives.
//
//	go run ./internal/release -o dist
//
// The same source gives the same bytes, in whatever folder, time zone or user's
// name: the version of Go is fixed, the binaries are built with -trimpath and
// without cgo, and the archives are written here, in a fixed order, with the
// time of the commit and no owner. Version, commit and time come from git; where
// there is none, as in an unpacked archive, from -version, -commit and
// $SOURCE_DATE_EPOCH (seconds since 1970, reproducible-builds.org).
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// targets are the systems that are built for.
var targets = []target{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"windows", "amd64"},
	{"darwin", "arm64"},
}

type target struct{ os, arch string }

func (t target) String() string { return t.os + "-" + t.arch }

func (t target) binary() string {
	if t.os == "windows" {
		return "leaktrack.exe"
	}
	return "leaktrack"
}

// papers are the files that go with every binary, besides those that are made.
var papers = []string{"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"}

// toolchain builds a release: the newest of the version that go.mod names. What it
// is decides about the bytes, and about the known faults of the standard library
// (.ci/vulncheck). The go command fetches it where it is not installed.
const toolchain = "go1.26.10"

// stamp is what a binary says of its own origin.
type stamp struct {
	version string // v1.2.0, or devel
	commit  string // in full, with -dirty behind it if the work tree differs
	time    time.Time
}

func main() {
	if err := release(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func release(args []string) error {
	flags := flag.NewFlagSet("release", flag.ExitOnError)
	out := flags.String("o", "dist", "write the archives to this `folder`")
	version := flags.String("version", "", "the `version`; default: the tag of the commit, or devel")
	commit := flags.String("commit", "", "the `commit`; default: what git says")
	only := flags.String("only", "", "build for this `system` alone, such as linux-amd64")
	tool := flags.String("go", toolchain, "build with this `version` of Go; local is the one that is installed")
	notes := flags.Bool("notices", false, "print the licences of all linked modules, and build nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := os.Setenv("GOTOOLCHAIN", *tool); err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if *notes {
		text, err := notices(root)
		if err == nil {
			_, err = os.Stdout.Write(text)
		}
		return err
	}
	s, err := stampOf(root, *version, *commit, os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return *only != "" && t.String() != *only })
	if len(chosen) == 0 {
		return fmt.Errorf("-only %s: it is one of %v", *only, targets)
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	shared, err := sharedFiles(root, s)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, t := range chosen {
		name, content, err := build(root, t, s, shared)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		if err := os.WriteFile(filepath.Join(*out, name), content, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
		fmt.Println(filepath.Join(*out, name))
	}
	return os.WriteFile(filepath.Join(*out, "SHA256SUMS"), sums.Bytes(), 0o644)
}

func moduleRoot() (string, error) {
	b, err := goCommand("", nil, "env", "GOMOD")
	if err != nil {
		return "", err
	}
	return filepath.Dir(strings.TrimSpace(string(b))), nil
}

// stampOf finds version, commit and time; what is given goes before what git
// says.
func stampOf(root, version, commit, epoch string) (stamp, error) {
	s := stamp{version: version, commit: commit}
	var err error
	if s.commit == "" {
		if s.commit, err = git(root, "rev-parse", "HEAD"); err != nil {
			return s, fmt.Errorf("%w; outside of a checkout name it with -commit", err)
		}
		changed, err := git(root, "status", "--porcelain")
		if err != nil {
			return s, err
		}
		if changed != "" {
			s.commit += "-dirty"
		}
	}
	if s.version == "" {
		// A commit without a tag is no failure.
		tag, _ := git(root, "describe", "--tags", "--exact-match", "--match", "v*")
		s.version = cmp.Or(tag, "devel")
	}
	if epoch == "" {
		if epoch, err = git(root, "log", "-1", "--format=%ct"); err != nil {
			return s, fmt.Errorf("%w; outside of a checkout set SOURCE_DATE_EPOCH", err)
		}
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return s, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", epoch)
	}
	s.time = time.Unix(seconds, 0).UTC()
	return s, nil
}

func git(dir string, args ...string) (string, error) {
	b, err := output(exec.Command("git", append([]string{"-C", dir}, args...)...))
	return strings.TrimSpace(string(b)), err
}

// output runs a command; its error holds what the command complained of.
func output(cmd *exec.Cmd) ([]byte, error) {
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	b, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return b, err
}

// goCommand runs go with the settings that decide about the bytes of a binary
// fixed, whatever the environment says.
func goCommand(dir string, extra []string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off")
	cmd.Env = append(cmd.Env, extra...)
	return output(cmd)
}

// buildFlags are the same for the binary and for the program that prints its
// manual page.
func buildFlags(s stamp) []string {
	x := fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s -X main.date=%s", s.version, s.commit, s.time.Format(time.DateOnly))
	return []string{"-trimpath", "-buildvcs=false", "-ldflags=" + x}
}

// sharedFiles returns what stands in every archive.
func sharedFiles(root string, s stamp) ([]entry, error) {
	var files []entry
	for _, name := range papers {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		files = append(files, entry{name, b, 0o644})
	}
	text, err := notices(root)
	if err != nil {
		return nil, err
	}
	page, err := goCommand(root, nil, slices.Concat([]string{"run"}, buildFlags(s), []string{"./cmd/leaktrack", "man"})...)
	if err != nil {
		return nil, err
	}
	return append(files, entry{"THIRD-PARTY.txt", text, 0o644}, entry{"leaktrack.1", page, 0o644}), nil
}

// build returns the archive for one system.
func build(root string, t target, s stamp, shared []entry) (name string, content []byte, err error) {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, t.binary())
	args := slices.Concat([]string{"build", "-o", file}, buildFlags(s), []string{"./cmd/leaktrack"})
	if _, err := goCommand(root, []string{"GOOS=" + t.os, "GOARCH=" + t.arch}, args...); err != nil {
		return "", nil, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	folder := "leaktrack-" + s.version + "-" + t.String()
	files := append([]entry{{t.binary(), b, 0o755}}, shared...)
	if t.os == "windows" {
		content, err = zipped(folder, files, s.time)
		return folder + ".zip", content, err
	}
	content, err = tarred(folder, files, s.time)
	return folder + ".tar.gz", content, err
}
