package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits into a socket address, without the zero byte. The
// runtime cuts a longer path silently.
const maxSocketPath = 107

// maxFolder bounds how many names of a shared folder are looked at.
const maxFolder = 1 << 18

func socketName(pid int, key uint64) string {
	return fmt.Sprintf("dotnet-diagnostic-%d-%d-socket", pid, key)
}

// tempDir returns the process's folder for temporary files and whether the
// process itself told it.
func (f *facts) tempDir() (dir string, told bool) {
	if f.env != nil {
		if d := f.env["TMPDIR"]; d != "" {
			return d, true
		}
		return "/tmp", true
	}
	if d := os.Getenv("TMPDIR"); d != "" {
		return d, false
	}
	return "/tmp", false
}

// openDir returns a descriptor of the process's folder for temporary files, as
// the process sees it. Nothing planted inside a container leads outside it.
func (f *facts) openDir(dir string) (int, error) {
	if !filepath.IsAbs(dir) {
		return -1, errRelative
	}
	if !f.namespaced {
		return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", f.pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return unix.Openat2(root, dir, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// connect finds the diagnostics socket of the process and connects to it. The
// socket must be a socket and no link, belong to the process's user, and be
// listened to by this very process; only then is a byte sent.
func (f *facts) connect(ctx context.Context) (conn, error) {
	dir, told := f.tempDir()
	dirs := []string{dir}
	if !told && dir != "/tmp" {
		dirs = append(dirs, "/tmp")
	}
	var last error
	for _, dir := range dirs {
		fd, err := f.openDir(dir)
		if err != nil {
			last = f.dirError(dir, err)
			continue
		}
		c, err := f.connectIn(ctx, fd, dir)
		unix.Close(fd)
		if err == nil {
			return c, nil
		}
		if last == nil || ReasonOf(last) == NotDotnet {
			last = err
		}
	}
	return nil, last
}

func (f *facts) dirError(dir string, err error) error {
	e := &Error{PID: f.pid, Reason: OtherTemp, Err: err, Msg: "opening its folder for temporary files " + dir}
	switch {
	case errors.Is(err, unix.EACCES) && f.namespaced:
		e.Reason, e.Msg = Container, "runs in a container or namespace that we may not enter"
		e.Remedy = "run as root, or inside the container"
	case errors.Is(err, unix.EACCES):
		e.Remedy = "run as the same user or as root"
	case errors.Is(err, unix.ENOENT):
		e.Msg = "its folder for temporary files " + dir + " does not exist, so it has no diagnostics socket"
		e.Remedy = "start it with a TMPDIR that exists"
	default:
		e.Remedy = "start it with another TMPDIR"
	}
	return e
}

func (f *facts) connectIn(ctx context.Context, dir int, path string) (conn, error) {
	name := socketName(f.inner, f.startTicks)
	c, err := f.dial(ctx, dir, name)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, unix.ENOENT) {
		return nil, f.dialError(err)
	}
	// Another time namespace counts from another moment, a path that is too
	// long is cut: then the folder must be searched, and the listener's pid
	// decides.
	others, err := f.search(dir, path)
	if err != nil {
		return nil, err
	}
	sameClock := !differs(strconv.Itoa(f.pid), "time")
	stale := false
	var last error
	for _, n := range others {
		if sameClock && !strings.HasPrefix(name, n) {
			stale = true // of an earlier process with this pid
			continue
		}
		c, err := f.dial(ctx, dir, n)
		if err == nil {
			return c, nil
		}
		last = err
	}
	if last != nil {
		return nil, f.dialError(last)
	}
	return nil, f.absent(path, stale)
}

// search returns the names in a folder that look like diagnostics sockets of
// the process, current or not, cut or not.
func (f *facts) search(dir int, path string) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.EACCES) {
			return nil, nil // may be entered but not listed
		}
		return nil, f.dirError(path, err)
	}
	d := os.NewFile(uintptr(fd), path)
	defer d.Close()
	prefix := fmt.Sprintf("dotnet-diagnostic-%d-", f.inner)
	whole := socketName(f.inner, f.startTicks)
	var out []string
	for n := 0; n < maxFolder; {
		names, err := d.Readdirnames(1024)
		n += len(names)
		for _, name := range names {
			cut := len(path)+1+len(whole) > maxSocketPath && len(name) >= 1 && strings.HasPrefix(whole, name)
			if cut || strings.HasPrefix(name, prefix) && strings.HasSuffix(name, "-socket") {
				out = append(out, name)
			}
		}
		if err != nil {
			break
		}
	}
	return out, nil
}

var (
	errRelative  = errors.New("is not an absolute path")
	errNotSocket = errors.New("is not a socket")
	errOwner     = errors.New("belongs to another user than the process")
	errListener  = errors.New("is listened to by another process")
)

// dial connects to a socket in a folder. What is checked and what is connected
// to is one and the same: the descriptor.
func (f *facts) dial(ctx context.Context, dir int, name string) (conn, error) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("%s %w", name, errNotSocket)
	}
	if int(st.Uid) != f.euid && int(st.Uid) != f.uid {
		return nil, fmt.Errorf("%s %w", name, errOwner)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, err
	}
	u := c.(*net.UnixConn)
	raw, err := u.SyscallConn()
	if err != nil {
		u.Close()
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	if err = raw.Control(func(s uintptr) { cred, credErr = unix.GetsockoptUcred(int(s), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err == nil {
		err = credErr
	}
	if err != nil {
		u.Close()
		return nil, err
	}
	if int(cred.Pid) != f.pid {
		u.Close()
		return nil, fmt.Errorf("%s %w (%d)", name, errListener, cred.Pid)
	}
	if !f.refresh() { // the pid must not have changed hands in between
		u.Close()
		return nil, noProcess(f.pid)
	}
	return u, nil
}

func (f *facts) dialError(err error) error {
	e := &Error{PID: f.pid, Err: err}
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, unix.EACCES):
		// The error of the net package says a path of no use, too.
		e.Reason, e.Msg, e.Err, e.Remedy = OtherUser, "belongs to another user", unix.EACCES, "run as the same user or as root"
	case errors.Is(err, unix.ECONNREFUSED):
		if f.refresh() {
			e.Reason, e.Msg, e.Err = Stale, "its diagnostics socket is there, but nobody listens", nil
			e.Remedy = "the process opens it at its start only: restart it"
		} else {
			return noProcess(f.pid)
		}
	case errors.Is(err, errNotSocket), errors.Is(err, errOwner), errors.Is(err, errListener), errors.Is(err, unix.ELOOP):
		e.Reason, e.Msg = Untrusted, "its diagnostics socket is not its own"
		e.Remedy = "somebody may have planted it; look who owns it"
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		e.Reason, e.Msg, e.Err = Busy, "its diagnostics port takes no connection", nil
		e.Remedy = "another tool may be using it; try again"
	default:
		e.Reason, e.Msg = Busy, "connecting to its diagnostics socket"
	}
	return e
}

// absent explains why a process has no diagnostics socket.
func (f *facts) absent(dir string, stale bool) error {
	e := &Error{PID: f.pid, Reason: NotDotnet}
	if !f.refresh() {
		return noProcess(f.pid)
	}
	ev := f.look()
	switch {
	case stale && ev.dotnet:
		e.Reason, e.Msg = Stale, "only the diagnostics socket of an earlier process with this pid is left in "+dir
		e.Remedy = "was its temporary folder cleaned? restart the process"
	case f.disabled() != "":
		e.Reason, e.Msg = Disabled, "diagnostics are switched off by "+f.disabled()
		e.Remedy = "start it without this variable"
	case !ev.dotnet && f.env == nil && os.Geteuid() != 0 && f.euid != os.Geteuid():
		e.Reason, e.Msg = OtherUser, "belongs to another user, and has no diagnostics socket in "+dir
		e.Remedy = "run as the same user or as root"
	case !ev.dotnet:
		e.Msg = "is no .NET process, or of .NET Core 2 or older: no diagnostics socket in " + dir
		e.Remedy = "leaktrack ps lists the .NET processes"
	case f.env == nil:
		e.Reason, e.Msg = OtherTemp, "its TMPDIR cannot be seen, and there is no diagnostics socket in "+dir
		e.Remedy = "run as the same user or as root, or set TMPDIR to the one it uses"
	case f.namespaced && !ev.mapped:
		e.Reason, e.Msg, e.Remedy = Container, "runs in a container or namespace that we may not enter", "run as root, or inside the container"
	case len(dir)+1+len(socketName(f.inner, f.startTicks)) > maxSocketPath:
		e.Reason, e.Msg = OtherTemp, fmt.Sprintf("its TMPDIR is too long for a socket (%d characters)", len(dir))
		e.Remedy = "start it with a shorter TMPDIR"
	case old(ev.version):
		e.Reason, e.Msg = TooOld, "runs .NET Core "+ev.version+", which has no diagnostics socket"
		e.Remedy = ".NET Core 3.0 or newer is needed"
	case ev.aot:
		e.Reason, e.Msg = NativeAOT, "has no diagnostics socket; it may be compiled ahead of time (Native AOT)"
		e.Remedy = "build it with EventSourceSupport=true"
	default:
		e.Reason, e.Msg = Disabled, "runs .NET but has no diagnostics socket in "+dir
		e.Remedy = "look for EnableDiagnostics=0 in its settings, and whether the folder was cleaned"
	}
	return e
}

// disabled returns the variable that switches diagnostics off, or "".
func (f *facts) disabled() string {
	for _, name := range []string{"DOTNET_EnableDiagnostics", "COMPlus_EnableDiagnostics", "DOTNET_EnableDiagnostics_IPC"} {
		if f.env[name] == "0" {
			return name + "=0"
		}
	}
	return ""
}

func old(version string) bool {
	return strings.HasPrefix(version, "1.") || strings.HasPrefix(version, "2.")
}

// suspended reports whether the runtime seems to wait at its start for a tool:
// it was told to, and has loaded no managed code yet.
func (f *facts) suspended() bool {
	if f.env == nil || !f.mayBeSuspended() {
		return false
	}
	ev := f.look()
	return ev.mapped && ev.version != "" && !ev.coreLib
}

// mayBeSuspended reports whether the runtime was told to wait for a tool, as far
// as its environment may be read.
func (f *facts) mayBeSuspended() bool {
	return f.env == nil || f.env["DOTNET_DefaultDiagnosticPortSuspend"] == "1" ||
		f.env["DOTNET_DiagnosticPorts"] != "" && !strings.Contains(f.env["DOTNET_DiagnosticPorts"], "nosuspend")
}
