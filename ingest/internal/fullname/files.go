package fullname

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"leaktrack/heap"
	"leaktrack/ingest/internal/bundle"
	"leaktrack/ingest/internal/metadata"
)

// Limits on what is searched for modules.
const (
	maxListed   = 1 << 17 // files below a root
	maxSame     = 8       // files of one name that are tried
	maxHosts    = 4       // executables of one folder that are searched for a bundle
	leastHost   = 1 << 20 // bytes; a single-file program holds its runtime or libraries
	maxSearched = 2 << 30 // bytes of executables searched for bundles in all
	maxModule   = 1 << 30 // bytes
	maxTypes    = 1 << 20 // types of one module
	maxFolders  = 64      // folders searched for single-file programs
	maxModules  = 1 << 12 // files of which the types are kept
	cacheBlock  = 32 << 10
	cacheBlocks = 64 // of cacheBlock bytes
)

// Image is an open module.
type Image interface {
	io.ReaderAt
	io.Closer
}

// Finder finds the files of modules and keeps what it read of them. It is not
// safe for concurrent use.
type Finder struct {
	root    string
	indexes map[string]*found // by path of the file
	listed  map[string][]string
	folders map[string][]*host
	open    []io.Closer
	// searched is the bytes of executables that were searched for a bundle.
	searched int64
}

type found struct {
	index *Index
	err   error
}

// host is a single-file program.
type host struct {
	path string
	b    *bundle.Bundle
}

// NewFinder returns a Finder of modules below root: a file at the module's own
// path, or one of the same name anywhere below it. With root "" only the
// module's own path on this machine is tried. In either case a module may be
// part of a single-file program that stands where the module would.
//
// Paths come from dumps and are not trusted: only regular files are opened,
// nothing on a network share, and with a root nothing outside of it.
func NewFinder(root string) *Finder {
	return &Finder{root: root, indexes: map[string]*found{}, folders: map[string][]*host{}}
}

// Close closes the single-file programs that were opened.
func (f *Finder) Close() error {
	var errs []error
	for _, c := range f.open {
		errs = append(errs, c.Close())
	}
	f.open, f.folders = nil, map[string][]*host{}
	return errors.Join(errs...)
}

// BaseName returns the file name of a module's path with either separator.
func BaseName(path string) string { return path[strings.LastIndexAny(path, `/\`)+1:] }

// local reports whether a path of a dump names a file of this machine.
func local(p string) bool {
	if p == "" || strings.HasPrefix(p, `\\`) || strings.HasPrefix(p, "//") {
		return false
	}
	if runtime.GOOS == "windows" {
		return len(p) > 2 && p[1] == ':'
	}
	return p[0] == '/'
}

// OpenLocal opens a module's file on this machine, with its size.
func OpenLocal(path string) (Image, int64, error) {
	if !local(path) {
		return nil, 0, fmt.Errorf("module %q: not a local path", path)
	}
	// Opening a pipe or a device would block or act; look before.
	st, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !st.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("module %q: no regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if st, err = file.Stat(); err != nil || !st.Mode().IsRegular() {
		file.Close()
		return nil, 0, fmt.Errorf("module %q: no regular file", path)
	}
	return file, st.Size(), nil
}

// slashed returns the path of a module in slashes, without drive.
func slashed(path string) string {
	path = strings.ReplaceAll(path, `\`, "/")
	if len(path) > 2 && path[1] == ':' && path[2] == '/' {
		path = path[2:]
	}
	return path
}

// paths returns the files that may be the module, the likeliest first.
func (f *Finder) paths(module string) []string {
	if f.root == "" {
		if !local(module) {
			return nil
		}
		return []string{module}
	}
	if f.listed == nil {
		f.list()
	}
	want := strings.Split(slashed(module), "/")
	same := slices.Clone(f.listed[strings.ToLower(want[len(want)-1])])
	common := func(p string) int {
		have := strings.Split(p, "/")
		n := 0
		for n < len(have) && n < len(want) && strings.EqualFold(have[len(have)-1-n], want[len(want)-1-n]) {
			n++
		}
		return n
	}
	slices.SortStableFunc(same, func(a, b string) int { return cmp.Compare(common(b), common(a)) })
	return same[:min(len(same), maxSame)]
}

// list notes the files below the root, as slashed paths relative to it.
func (f *Finder) list() {
	f.listed = map[string][]string{}
	n := 0
	// Folders that cannot be read hold no modules for us.
	_ = filepath.WalkDir(f.root, func(p string, d fs.DirEntry, err error) error {
		if n++; n > maxListed {
			return fs.SkipAll
		}
		if err == nil && d.Type().IsRegular() {
			switch strings.ToLower(filepath.Ext(p)) {
			case ".dll", ".exe":
				if rel, err := filepath.Rel(f.root, p); err == nil {
					base := strings.ToLower(d.Name())
					f.listed[base] = append(f.listed[base], filepath.ToSlash(rel))
				}
			}
		}
		return nil
	})
}

// openFile opens what paths returned.
func (f *Finder) openFile(path string) (Image, int64, error) {
	if f.root == "" {
		return OpenLocal(path)
	}
	r, err := os.OpenRoot(f.root)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	if st, err := r.Stat(path); err != nil || !st.Mode().IsRegular() {
		return nil, 0, cmp.Or(err, fs.ErrInvalid)
	}
	file, err := r.Open(path)
	if err != nil {
		return nil, 0, err
	}
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() {
		file.Close()
		return nil, 0, cmp.Or(err, fs.ErrInvalid)
	}
	return file, st.Size(), nil
}

// Each opens the files that may be the module, the likeliest first, until use
// returns nil. The name given to use tells the file among others. Each returns
// the last error, or that there is no file.
func (f *Finder) Each(module string, use func(name string, image io.ReaderAt, size int64) error) error {
	err := fmt.Errorf("module %q: %w", module, fs.ErrNotExist)
	for _, p := range f.paths(module) {
		image, size, e := f.openFile(p)
		if e != nil {
			err = e
			continue
		}
		e = use(p, image, size)
		image.Close()
		if e == nil {
			return nil
		}
		err = e
	}
	for _, h := range f.hosts(module) {
		image, size, ok := h.b.File(BaseName(module))
		if !ok {
			continue
		}
		e := use(h.path+"!"+BaseName(module), image, size)
		if e == nil {
			return nil
		}
		err = e
	}
	return err
}

// hosts returns the single-file programs of the folder in which the module
// would stand, and of the root itself.
func (f *Finder) hosts(module string) []*host {
	if f.root == "" {
		if !local(module) {
			return nil
		}
		return f.hostsIn(filepath.Dir(module))
	}
	below := strings.TrimPrefix(path.Dir(path.Clean("/"+slashed(module))), "/")
	if below == "" {
		below = "."
	}
	out := slices.Clone(f.hostsIn(below))
	if below != "." {
		out = append(out, f.hostsIn(".")...)
	}
	return out
}

// hostsIn looks for single-file programs in one folder, which is below the
// root where there is one.
func (f *Finder) hostsIn(dir string) []*host {
	if known, ok := f.folders[dir]; ok || len(f.folders) >= maxFolders {
		return known
	}
	f.folders[dir] = nil
	open := func(name string) (*os.File, error) { return os.Open(name) }
	if f.root != "" {
		r, err := os.OpenRoot(f.root)
		if err != nil {
			return nil
		}
		defer r.Close()
		open = r.Open
	}
	folder, err := open(dir)
	if err != nil {
		return nil
	}
	entries, err := folder.ReadDir(-1)
	folder.Close()
	if err != nil {
		return nil
	}
	type file struct {
		path string
		size int64
	}
	var large []file
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Size() >= leastHost && (ext == ".exe" || info.Mode()&0o111 != 0 && ext != ".so" && ext != ".dll") {
			large = append(large, file{filepath.Join(dir, e.Name()), info.Size()})
		}
	}
	slices.SortFunc(large, func(a, b file) int { return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.path, b.path)) })
	for _, l := range large[:min(len(large), maxHosts)] {
		if f.searched += l.size; f.searched > maxSearched {
			break
		}
		file, err := open(l.path)
		if err != nil {
			continue
		}
		b, err := bundle.Open(file, l.size)
		if err != nil {
			file.Close()
			continue
		}
		f.open = append(f.open, file)
		f.folders[dir] = append(f.folders[dir], &host{l.path, b})
	}
	return f.folders[dir]
}

// Types returns the types of the module's file, of the first that defines all
// the given full names. The error says why there is none.
func (f *Finder) Types(module string, defines []heap.TypeName) (*Index, error) {
	var out *Index
	err := f.Each(module, func(name string, image io.ReaderAt, size int64) error {
		k := f.indexes[name]
		if k == nil {
			k = &found{}
			k.index, k.err = readIndex(image, size)
			if len(f.indexes) < maxModules {
				f.indexes[name] = k
			}
		}
		if k.err != nil {
			return k.err
		}
		if missing := k.index.lacks(defines); missing != "" {
			return &OtherBuild{File: name, Missing: missing}
		}
		out = k.index
		return nil
	})
	return out, err
}

// OtherBuild is the error of a file that is not the build that ran.
type OtherBuild struct {
	File    string
	Missing string // a type that ran and that the file does not define
}

func (e *OtherBuild) Error() string {
	return fmt.Sprintf("%s is another build than the one that ran: it has no %s", e.File, e.Missing)
}

func readIndex(image io.ReaderAt, size int64) (*Index, error) {
	m, err := metadata.Open(&cached{r: image, size: size}, min(size, maxModule), metadata.File)
	if err != nil {
		return nil, err
	}
	if m.TypeDefs() > maxTypes {
		return nil, fmt.Errorf("a module of %d types", m.TypeDefs())
	}
	return NewIndex(m)
}

// cached reads a file in blocks and keeps some: metadata is read a row and a
// name at a time.
type cached struct {
	r      io.ReaderAt
	size   int64
	blocks map[int64][]byte
}

func (c *cached) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		at := off + int64(n)
		if at < 0 || at >= c.size {
			return n, io.EOF
		}
		block, err := c.block(at / cacheBlock)
		if err != nil {
			return n, err
		}
		if in := at % cacheBlock; in < int64(len(block)) {
			n += copy(b[n:], block[in:])
			continue
		}
		return n, io.EOF
	}
	return n, nil
}

func (c *cached) block(i int64) ([]byte, error) {
	if b, ok := c.blocks[i]; ok {
		return b, nil
	}
	if c.blocks == nil || len(c.blocks) >= cacheBlocks {
		c.blocks = map[int64][]byte{}
	}
	b := make([]byte, min(cacheBlock, c.size-i*cacheBlock))
	n, err := c.r.ReadAt(b, i*cacheBlock)
	if n < len(b) && err != io.EOF {
		return nil, err
	}
	c.blocks[i] = b[:n]
	return b[:n], nil
}
