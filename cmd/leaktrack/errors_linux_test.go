package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

const errorsPage = "../../doc/errors.md"

// told is one row of doc/errors.md.
type told struct {
	line    int
	message string
	status  int
}

var (
	tableRow    = regexp.MustCompile("^\\| `([a-z0-9-]+)` \\| `(.+?)` \\|(.*) \\|$")
	statusText  = regexp.MustCompile(`[Ss]tatus ([0-9])`)
	placeholder = regexp.MustCompile(`\b(ADDRESS|CAUSE|FILE|FLAG|FOLDER|LINE|LIST|N|NAME|PID|SIZE|TEXT|TIME|TYPE|USER|VERSION)\b`)
)

// toldErrors reads the tables of the page. The status is the one that the text
// above a table names, 2 where it names none.
func toldErrors(t *testing.T) map[string]told {
	t.Helper()
	b, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]told{}
	status := 2
	for i, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, "## ") {
			status = 2
		}
		if m := tableRow.FindStringSubmatch(line); m != nil {
			if _, twice := out[m[1]]; twice {
				t.Errorf("%s:%d: %s stands twice", errorsPage, i+1, m[1])
			}
			out[m[1]] = told{i + 1, strings.ReplaceAll(m[2], `\|`, "|"), status}
		} else if strings.HasPrefix(line, "| `") {
			t.Errorf("%s:%d: not a row of id, message and remedy", errorsPage, i+1)
		} else if m := statusText.FindStringSubmatch(line); m != nil {
			status, _ = strconv.Atoi(m[1])
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s holds no table", errorsPage)
	}
	return out
}

// pattern turns a message of the page into one that fits a whole line.
func (r told) pattern() *regexp.Regexp {
	text := regexp.QuoteMeta(r.message)
	return regexp.MustCompile(`(?m)^leaktrack: ` + placeholder.ReplaceAllString(text, ".+") + `$`)
}

// TestToldPattern: a message must fit as a whole, and only placeholders vary.
func TestToldPattern(t *testing.T) {
	r := told{message: "FILE: waited N (a|b)"}
	for text, want := range map[string]bool{
		"leaktrack: x.db: waited 10s (a|b)":     true,
		"leaktrack: x.db: waited 10s (a|b), ok": false,
		"leaktrack: x.db: waited 10s (a":        false,
		"x.db: waited 10s (a|b)":                false,
	} {
		if got := r.pattern().MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// failure makes one failure happen.
type failure struct {
	// run holds the arguments, parted by blanks; those within '' are whole.
	// PID, and what before sets otherwise, is replaced.
	run string
	// before prepares what the failure needs.
	before func(t *testing.T, s *scene)
	stdin  string
	// piped gives standard input where a text would be too long.
	piped func() io.Reader
	// nobody runs it as a user without rights. Root may read and write anything,
	// so a failure of rights needs it.
	nobody bool
	// root says that another user's process is read, which only root can start.
	root bool
	// mount makes the folder disk a disk that is full or readonly, or lays
	// something over a part of /proc (see playRoles).
	mount string
	// network gives it a network of its own, in which no port is open.
	network bool
	// bed says that it needs a real runtime; TestLiveErrors makes it happen.
	bed bool
	// interrupt sends Ctrl-C as soon as the command is connected to silentServer.
	interrupt bool
	// inside, in place of run, makes it happen in this process, on a clock that
	// jumps or against a server that it plays.
	inside func(t *testing.T, s *scene) (status int, said string)
	// remedy does what the message tells, and wants that to work.
	remedy func(t *testing.T, s *scene)
}

// failures makes each failure of doc/errors.md happen, by the id of its row.
var failures = joined(callFailures, inputFailures, storeFailures, processFailures, watchFailures, watchWarnings, mailFailures, warnings)

func joined(parts ...map[string]failure) map[string]failure {
	out := map[string]failure{}
	for _, part := range parts {
		for id, f := range part {
			if _, twice := out[id]; twice {
				panic("two failures are named " + id)
			}
			out[id] = f
		}
	}
	return out
}

// rowOf returns the row of a case: several may make the same message happen, and
// differ by what stands behind a slash.
func rowOf(id string) string {
	row, _, _ := strings.Cut(id, "/")
	return row
}

// scene is the folder that a failure happens in, and what is put in for names
// in its arguments.
type scene struct {
	dir string
	exe string // this test binary, where anybody may run it
	set map[string]string
	env []string
	// said, if set, is called when the command has written to standard error.
	said func()
	// connected is closed when silentServer has been reached.
	connected chan bool
}

// listener collects what is written to it and tells of it.
type listener struct {
	text strings.Builder
	said func()
}

func (l *listener) Write(p []byte) (int, error) {
	if l.said != nil {
		l.said()
	}
	return l.text.Write(p)
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

func (s *scene) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), content, 0o666); err != nil {
		t.Fatal(err)
	}
}

var argument = regexp.MustCompile(`'[^']*'|\S+`)

// TestErrors makes every failure of doc/errors.md happen, and compares what is
// said and the exit status with the page. A row without a case here fails, and
// so does a case without a row.
func TestErrors(t *testing.T) {
	rows := toldErrors(t)
	var untold, unmade []string
	for id := range failures {
		if _, ok := rows[rowOf(id)]; !ok {
			untold = append(untold, id)
		}
	}
	for id := range rows {
		if _, ok := failures[id]; !ok {
			unmade = append(unmade, id)
		}
	}
	slices.Sort(untold)
	slices.Sort(unmade)
	if len(unmade) > 0 {
		t.Errorf("doc/errors.md has rows that no case of failures makes happen: %s", strings.Join(unmade, ", "))
	}
	if len(untold) > 0 {
		t.Errorf("failures has cases that doc/errors.md does not tell of: %s; add a line:\n| `ID` | `MESSAGE` | WHAT TO DO |", strings.Join(untold, ", "))
	}
	perform := performer(t, rows)
	for id, f := range failures {
		if !f.bed {
			t.Run(id, func(t *testing.T) {
				t.Parallel()
				perform(t, id, f)
			})
		}
	}
}

// TestLiveErrors makes those happen that need a real runtime.
func TestLiveErrors(t *testing.T) {
	testbed(t)
	perform := performer(t, toldErrors(t))
	for id, f := range failures {
		if f.bed {
			t.Run(id, func(t *testing.T) { perform(t, id, f) })
		}
	}
}

// performer returns what makes a failure happen, and compares.
func performer(t *testing.T, rows map[string]told) func(*testing.T, string, failure) {
	shop, exe := exampleStore(t), publicCopy(t)
	inputs := txtar.Parse([]byte(errorInputs))
	return func(t *testing.T, id string, f failure) {
		if f.root && os.Geteuid() != 0 {
			t.Skip("only root can start a process for another user to read")
		}
		// t.TempDir may not be entered by others.
		dir, err := os.MkdirTemp("", "leaktrack-errors")
		if err != nil {
			t.Fatal(err)
		}
		s := &scene{dir: dir, exe: exe, set: map[string]string{}}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		for _, file := range inputs.Files {
			s.write(t, file.Name, file.Data)
		}
		if strings.Contains(f.run, "shop.db") {
			s.write(t, "shop.db", shop)
		}
		if f.before != nil {
			f.before(t, s)
		}
		var status int
		var text string
		if f.inside != nil {
			status, text = f.inside(t, s)
		} else {
			status, text = s.command(t, f)
		}
		row, ok := rows[rowOf(id)]
		if !ok {
			t.Fatalf("status %d\n%s", status, text)
		}
		if !row.pattern().MatchString(text) || status != row.status {
			t.Errorf("status %d, and on standard error:\n%s\n%s:%d says status %d and:\nleaktrack: %s", status, text, errorsPage, row.line, row.status, row.message)
		}
		if f.remedy != nil {
			f.remedy(t, s)
		}
	}
}

// command runs the case as a process of its own, and returns the exit status and
// what it wrote to standard error.
func (s *scene) command(t *testing.T, f failure) (int, string) {
	t.Helper()
	var args []string
	for _, a := range argument.FindAllString(f.run, -1) {
		a = strings.Trim(a, "'")
		for name, value := range s.set {
			a = strings.ReplaceAll(a, name, value)
		}
		args = append(args, a)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LEAKTRACK_AS_COMMAND=1", "LEAKTRACK_DB=", "LEAKTRACK_SMTP_PASSWORD=", "LEAKTRACK_MOUNT="+f.mount, "NO_COLOR=1", "TZ=UTC")
	cmd.Env = append(cmd.Env, s.env...)
	cmd.Stdin = strings.NewReader(f.stdin)
	if f.piped != nil {
		cmd.Stdin = f.piped()
	}
	errOut := listener{said: s.said}
	cmd.Stderr = &errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	root := os.Geteuid() == 0
	if f.mount != "" {
		if err := os.Mkdir(s.path("disk"), 0o777); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
		if !root {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
	}
	if f.mount == "alone" {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
	}
	if f.network {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
		if !root && f.mount == "" {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		}
	}
	if f.nobody && root {
		cmd.Path = s.exe
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	if strings.Contains(f.run, "> /dev/full") {
		cmd.Args = cmd.Args[:len(cmd.Args)-2]
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		cmd.Stdout = full
	}
	if f.interrupt {
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		go func() {
			<-s.connected
			cancel()
		}()
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), errOut.text.String()
}

// publicCopy copies the test binary to where anybody may run it. It must be
// whole before the first process is started: one that is forked while the file
// is written keeps it open for writing, and it cannot be run.
func publicCopy(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "leaktrack-errors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "leaktrack")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, b, 0o755), os.Chmod(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// pretending has the case read a process that the test binary plays.
func pretending(words string, more ...string) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		tmp := s.path("tmp")
		if err := os.Mkdir(tmp, 0o755); err != nil {
			t.Fatal(err)
		}
		s.env = append(s.env, "TMPDIR="+tmp)
		s.set["PID"] = fmt.Sprint(pretender(t, words, tmp, more...))
	}
}
