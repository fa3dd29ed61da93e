package main

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// playRoles lets the test binary be another program than a test: the command
// itself, or a process that the command is to read. It returns in a test only.
func playRoles() {
	if words := os.Getenv("LEAKTRACK_PRETEND"); words != "" {
		pretend(strings.Fields(words))
		os.Exit(0)
	}
	if os.Getenv("LEAKTRACK_AS_COMMAND") == "" {
		return
	}
	os.Unsetenv("LEAKTRACK_AS_COMMAND")
	unix.Umask(0o022)
	// A small disk, full or not to be written to, that only this process sees.
	if how := os.Getenv("LEAKTRACK_MOUNT"); how != "" {
		must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		switch how {
		case "full":
			must(unix.Mount("disk", "disk", "tmpfs", 0, "size=4k,nr_inodes=3"))
			must(os.WriteFile("disk/ballast", make([]byte, 4096), 0o600))
		case "readonly":
			must(unix.Mount("disk", "disk", "tmpfs", 0, ""))
			must(os.WriteFile("disk/core", nil, 0o644))
			must(unix.Mount("disk", "disk", "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		case "alone": // no process but this one
			must(unix.Mount("proc", "/proc", "proc", 0, ""))
		case "hidden": // the processes of other users
			must(unix.Mount("proc", "/proc", "proc", 0, "hidepid=1"))
			becomeNobody()
		default: // yama=N, the setting of a security module of the kernel
			scope, ok := strings.CutPrefix(how, "yama=")
			if !ok {
				panic("no way to mount " + how)
			}
			must(unix.Mount("kernel", "/proc/sys/kernel", "tmpfs", 0, ""))
			must(os.Mkdir("/proc/sys/kernel/yama", 0o755))
			must(os.WriteFile("/proc/sys/kernel/yama/ptrace_scope", []byte(scope+"\n"), 0o644))
			becomeNobody()
		}
	}
	// Nobody wants to wait for what never comes.
	if os.Getenv("LEAKTRACK_PATIENT") == "" {
		lockWait = 100 * time.Millisecond
	}
	if os.Getenv("LEAKTRACK_HASTY") != "" {
		mailTimeout = 300 * time.Millisecond
	}
	mailRetry = []time.Duration{time.Millisecond, time.Millisecond}
	main()
}

func becomeNobody() {
	must(unix.Setresgid(nobody, nobody, nobody))
	must(unix.Setresuid(nobody, nobody, nobody))
}
