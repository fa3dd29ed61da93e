//go:build faults && linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leaktrack/store"
)

// smallDisk mounts a tmpfs of so many KiB.
func smallDisk(t *testing.T, kib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Fatalf("mounting a tmpfs; the fault suite needs the right to: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp takes all that is free and returns the file that has it.
func fillUp(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return name
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// messages counts the lines that are no warning about the walk itself.
func messages(said string) int {
	return strings.Count(said, "leaktrack: ") - strings.Count(said, "leaktrack: warning: ")
}

func complete(out string) int { return strings.Count(out, "complete, took") }

// storedWalks opens the store and counts; it must be sound.
func storedWalks(t *testing.T, db string) int {
	t.Helper()
	h, err := store.Check(db, store.Options{})
	if err != nil || !h.Sound() {
		t.Fatalf("%v %+v", err, h)
	}
	n, _ := h.Snapshots()
	return n
}

// TestWatchOnAFullDisk is the real command on a real full file system: it says so
// once, goes on, and stores everything when there is room.
func TestWatchOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 512)
	db := filepath.Join(dir, "w.db")
	pid := startFakeRuntime(t)
	w := startLeaktrack(t, "--db", db, "watch", "--every", "1s", "--sample", "-1s", strconv.Itoa(pid))
	w.until(t, "walk", func(out, _ string) bool { return complete(out) >= 1 })
	ballast := fillUp(t, dir)
	w.until(t, "message", func(_, err string) bool { return strings.Contains(err, "no space left on device") })
	out, _ := w.texts()
	n := complete(out)
	// The disk stays full for several walks.
	w.until(t, "further walks", func(out, _ string) bool { return complete(out) >= n+4 })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.until(t, "message that it goes on", func(_, err string) bool { return strings.Contains(err, "what waited is stored") })
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := w.Wait()
	out, said := w.texts()
	if err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	if lines := messages(said); lines != 3 || strings.Count(said, "no space left on device") != 1 {
		t.Errorf("said %d lines:\n%s", lines, said)
	}
	if have := storedWalks(t, db); have != complete(out) {
		t.Errorf("%d walks are stored, %d were shown:\n%s", have, complete(out), out)
	}
}

// TestWatchEndsOnAFullDisk: what could not be stored is said, with status 2, and
// what was stored before is there.
func TestWatchEndsOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 512)
	db := filepath.Join(dir, "w.db")
	pid := startFakeRuntime(t)
	w := startLeaktrack(t, "--db", db, "watch", "--every", "1s", "--sample", "-1s", strconv.Itoa(pid))
	w.until(t, "walk", func(out, _ string) bool { return complete(out) >= 2 })
	fillUp(t, dir)
	w.until(t, "message", func(_, err string) bool { return strings.Contains(err, "no space left on device") })
	out, _ := w.texts()
	n := complete(out)
	w.until(t, "further walks", func(out, _ string) bool { return complete(out) >= n+2 })
	if err := w.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := w.Wait()
	out, said := w.texts()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("%v\n%s", err, said)
	}
	lost := regexp.MustCompile(`(?m)^leaktrack: ([0-9]+) snapshots could not be stored and are lost\n\z`).FindStringSubmatch(said)
	if lost == nil {
		t.Fatalf("what is lost is not said:\n%s", said)
	}
	missing, _ := strconv.Atoi(lost[1])
	if have := storedWalks(t, db); have+missing != complete(out) || missing < 3 {
		t.Errorf("%d walks are stored, %d said to be lost, %d were shown", have, missing, complete(out))
	}
	if !strings.Contains(out, fmt.Sprintf("Fake/%d: ", pid)) {
		t.Errorf("no trend:\n%s", out)
	}
}

// TestWatchBeginsOnAFullDisk: there was never room for a store.
func TestWatchBeginsOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 64)
	fillUp(t, dir)
	w := startLeaktrack(t, "--db", filepath.Join(dir, "w.db"), "watch", "--every", "1s", "--count", "3", "--sample", "-1s", strconv.Itoa(startFakeRuntime(t)))
	err := w.Wait()
	out, said := w.texts()
	if err == nil || w.ProcessState.ExitCode() != exitFailed || complete(out) != 3 || !strings.Contains(said, "3 snapshots could not be stored and are lost") || strings.Count(said, "no space left") > 2 {
		t.Errorf("%v\n%s\n%s", err, out, said)
	}
}

// TestWatchWhileTheStoreIsTaken: somebody has the store open for longer than the
// watch waits.
func TestWatchWhileTheStoreIsTaken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "w.db")
	w := startLeaktrack(t, "--db", path, "watch", "--every", "1s", "--sample", "-1s", strconv.Itoa(startFakeRuntime(t)))
	w.until(t, "walk", func(out, _ string) bool { return complete(out) >= 2 })
	db, err := store.Open(path, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	w.until(t, "message", func(_, err string) bool { return strings.Contains(err, "another process is using it") })
	if waited := time.Since(begun); waited < lockWait/2 {
		t.Errorf("it gave up after %v", waited)
	}
	out, _ := w.texts()
	n := complete(out)
	w.until(t, "further walks", func(out, _ string) bool { return complete(out) >= n+3 })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w.until(t, "message that it goes on", func(_, err string) bool { return strings.Contains(err, "what waited is stored") })
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err = w.Wait()
	out, said := w.texts()
	if err != nil || messages(said) != 3 {
		t.Errorf("%v\n%s", err, said)
	}
	if have := storedWalks(t, path); have != complete(out) {
		t.Errorf("%d walks are stored, %d were shown:\n%s", have, complete(out), out)
	}
}

// TestIngestOnAFullDisk: what ingest reported is there, the rest comes when there is room.
func TestIngestOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 768)
	db := filepath.Join(dir, "i.db")
	example, err := filepath.Abs("../../testdata/leakzoo/watched-orders.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("leaktrack", "--db", db, "ingest", example).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := storedWalks(t, db)
	ballast := fillUp(t, dir)
	clr, _ := filepath.Abs("../../testdata/clrheapleak")
	for _, args := range [][]string{{"ingest", clr}, {"db", "compact"}, {"db", "backup", filepath.Join(dir, "copy.db")}} {
		out, err := exec.Command("leaktrack", append([]string{"--db", db}, args...)...).CombinedOutput()
		var exit *exec.ExitError
		said := errors.As(err, &exit) && exit.ExitCode() == exitFailed && strings.Contains(string(out), "no space left on device")
		if !said && !(args[0] == "ingest" && err == nil) { // a few snapshots may fit into free pages
			t.Errorf("%v: %v\n%s", args, err, out)
		}
		if have := storedWalks(t, db); have < before || have != before+strings.Count(string(out), ": stored, ") {
			t.Errorf("%v: %d snapshots, %d before\n%s", args, have, before, out)
		} else {
			before = have
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"ingest", clr}, {"db", "compact"}, {"db", "backup", filepath.Join(dir, "copy.db")}} {
		if out, err := exec.Command("leaktrack", append([]string{"--db", db}, args...)...).CombinedOutput(); err != nil {
			t.Errorf("%v, with room: %v\n%s", args, err, out)
		}
	}
	if have := storedWalks(t, db); have != 12+10 {
		t.Errorf("%d snapshots at the end", have)
	}
}
