package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processFailures are those of running processes.
var processFailures = map[string]failure{
	"live-none":             {run: "ingest --pid 4194304"},
	"live-exited":           {run: "ingest --pid PID", before: zombie},
	"live-name":             {run: "ingest --name Warehouse.Basket.Nobody"},
	"live-name-several":     {run: "ingest --name Twin", before: twins},
	"live-not-dotnet":       {run: "ingest --pid PID", before: pretending("nothing")},
	"live-aot":              {run: "ingest --pid PID", before: pretending("thread")},
	"live-old":              {run: "ingest --pid PID", before: pretending("lib2.1.30")},
	"live-no-socket":        {run: "ingest --pid PID", before: pretending("lib9.0.5")},
	"live-disabled":         {run: "ingest --pid PID", before: pretending("nothing", "DOTNET_EnableDiagnostics=0")},
	"live-user":             {run: "ingest --pid PID", before: pretending("silent"), nobody: true, root: true},
	"live-container":        {run: "ingest --pid PID", before: pretending("contained thread silent"), nobody: true, root: true},
	"live-hidden":           {run: "ingest --pid PID", before: pretending("thread"), mount: "hidden", root: true},
	"live-user-unlike":      {run: "ingest --pid PID", before: pretending("nothing"), nobody: true, root: true},
	"live-tmpdir-unseen":    {run: "ingest --pid PID", before: pretending("thread"), nobody: true, root: true},
	"live-tmpdir-relative":  {run: "ingest --pid PID", before: pretending("thread", "TMPDIR=here")},
	"live-tmpdir-closed":    {run: "ingest --pid PID", before: pretending("thread", "TMPDIR=/dev/null")},
	"live-earlier":          {run: "ingest --pid PID", before: pretending("thread earlier")},
	"live-backlog":          {run: "ingest --pid PID", before: pretending("backlog thread")},
	"live-tmpdir-gone":      {run: "ingest --pid PID", before: pretending("gone")},
	"live-tmpdir-long":      {run: "ingest --pid PID", before: longTemp},
	"live-stale":            {run: "ingest --pid PID", before: pretending("dead")},
	"live-planted":          {run: "ingest --pid PID", before: pretending("file")},
	"live-stopped":          {run: "ingest --pid PID", before: stopped},
	"live-suspended":        {run: "ingest --pid PID", before: pretending("lib9.0.5 good", "DOTNET_DefaultDiagnosticPortSuspend=1")},
	"live-busy":             {run: "ingest --pid PID", before: pretending("silent")},
	"live-mute":             {run: "ingest --pid PID", before: pretending("good")},
	"live-silent":           {run: "ingest --pid PID", before: pretending("mute")},
	"live-stranger":         {run: "ingest --pid PID", before: pretending("garbage")},
	"live-stranger/error":   {run: "ingest --pid PID", before: pretending("shorterror")},
	"live-stranger/kind":    {run: "ingest --pid PID", before: pretending("oddanswer")},
	"live-stranger/session": {run: "ingest --pid PID", before: pretending("nosession")},
	"live-closes":           {run: "ingest --pid PID", before: pretending("closes")},
	"live-refused":          {run: "ingest --pid PID", before: pretending("refuses")},
	"live-not-started":      {run: "ingest --pid PID", before: pretending("notyet")},
	"live-sessions":         {run: "ingest --pid PID", before: pretending("sessions")},
	"live-no-walk":          {run: "ingest --pid PID", before: pretending("nowalk")},
	"live-dies":             {run: "ingest --pid PID", before: pretending("dies")},
	"live-dies-late":        {run: "ingest --pid PID", before: func(t *testing.T, s *scene) { s.set["PID"] = fmt.Sprint(startFakeRuntime(t, "FAKE_DIES=1")) }},
	"live-nonsense":         {run: "ingest --pid PID", before: pretending("badstream")},
	"live-other-pid":        {run: "ingest --pid PID", before: pretending("otherpid")},
	"live-answer":           {run: "ingest --pid PID", before: pretending("halfinfo")},
	"live-no-tracing":       {run: "ingest --pid PID", before: pretending("notracing")},
	"live-large":            {run: "ingest --pid PID", before: pretending("large sessions")},
	"watch-no-walk":         {run: "watch --count 1 --sample=-1s PID", before: pretending("large sessions")},
	"watch-nothing":         {run: "watch --count 1 --sample=-1s PID", before: pretending("sessions")},
	"core-refused":          {run: "core -o x.core PID", before: pretending("good")},
	"core-refused-heap":     {run: "core --type heap -o x.core PID", before: pretending("good")},
	"core-unable":           {run: "core -o x.core PID", before: pretending("nocores")},
	"memory-user":           {run: "ingest --pid PID --method memory", before: pretending("nothing"), nobody: true, root: true},
	"memory-container":      {run: "ingest --pid PID --method memory", before: pretending("contained undumpable"), nobody: true, root: true},
	"memory-scope":          {run: "ingest --pid PID --method memory", before: pretending("undumpable"), mount: "yama=1", root: true},
	"memory-scope-all":      {run: "ingest --pid PID --method memory", before: pretending("undumpable"), mount: "yama=3", root: true},
	"memory-timeout":        {run: "ingest --pid PID --method memory --timeout 1ns", before: running9, bed: true},
	"memory-debugger":       {run: "ingest --pid PID --method memory", before: debugged, bed: true},
	"memory-no-runtime":     {run: "ingest --pid PID --method memory", before: pretending("nothing")},
	"memory-heap":           {run: "ingest --pid PID --method memory", before: pretending("lib9.0.5")},
	"memory-version":        {run: "ingest --pid PID --method memory", before: pretending("lib8.0.11")},
	"memory-forbidden":      {run: "ingest --pid PID --method memory", before: pretending("undumpable"), nobody: true, root: true},
	"watch-name":            {run: "watch Warehouse.Basket.Nobody"},
}

func zombie(t *testing.T, s *scene) {
	cmd := exec.Command("true")
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Wait() })
	s.set["PID"] = fmt.Sprint(cmd.Process.Pid)
	for range 1000 {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid)); err == nil && strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it does not end")
}

// twins are two processes of one name; what is looked for is the second word of
// the command line, as of "dotnet Twin.dll".
func twins(t *testing.T, s *scene) {
	for range 2 {
		pretender(t, "thread", "")
	}
	s.set["Twin"] = "exe"
}

func longTemp(t *testing.T, s *scene) {
	dir := filepath.Join(s.dir, strings.Repeat("long-", 20))
	check(t, os.Mkdir(dir, 0o755))
	s.set["PID"] = fmt.Sprint(pretender(t, "lib9.0.5", dir))
}

func stopped(t *testing.T, s *scene) {
	pid := pretender(t, "silent", "")
	check(t, syscall.Kill(pid, syscall.SIGSTOP))
	s.set["PID"] = fmt.Sprint(pid)
	for range 1000 {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(b), ") T ") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it does not stop")
}

// debugged is a .NET process that another one holds: this test.
func debugged(t *testing.T, s *scene) {
	pid := zoo(t, "zoo9", "linked", "1")
	s.set["PID"] = fmt.Sprint(pid)
	seized, done, ended := make(chan error), make(chan bool), make(chan bool)
	go func() {
		// What is held belongs to this thread, and is let go with it.
		runtime.LockOSThread()
		seized <- unix.PtraceSeize(pid)
		<-done
		close(ended)
	}()
	t.Cleanup(func() { close(done); <-ended })
	check(t, <-seized)
}

// running9 is a process of .NET 9.
func running9(t *testing.T, s *scene) { s.set["PID"] = fmt.Sprint(zoo(t, "zoo9", "linked", "1")) }
