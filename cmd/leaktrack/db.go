package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leaktrack/heap"
	"leaktrack/store"
)

const (
	defaultDB  = "leaktrack.db"
	dbVariable = "LEAKTRACK_DB"
)

// lockWait is how long a verb waits for a store that another leaktrack has
// open. Tests shorten it.
var lockWait = 10 * time.Second

func dbFlag() cli.Flag {
	return &cli.StringFlag{Name: "db", Usage: "the `FILE` that keeps the snapshots", DefaultText: "$" + dbVariable + " or " + defaultDB}
}

// dbPath returns the file named before or after the verb, by the environment,
// or the default, in this order.
func dbPath(ctx *cli.Context) string {
	for _, level := range ctx.Lineage() {
		if level.IsSet("db") && level.String("db") != "" {
			return level.String("db")
		}
	}
	if path := os.Getenv(dbVariable); path != "" {
		return path
	}
	return defaultDB
}

func (c *console) openStore(ctx *cli.Context, readOnly bool) (*store.DB, error) {
	path := dbPath(ctx)
	o := c.openOptions()
	o.ReadOnly = readOnly
	db, err := store.Open(path, o)
	if errors.Is(err, store.ErrEmpty) {
		// Made by hand, or left by an ingest that was killed or found the disk full.
		return nil, &emptyStore{path}
	}
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s yet: leaktrack ingest FILE makes it, --db names another", path)
	}
	return db, err
}

// openOptions are those of every verb that opens the store once.
func (c *console) openOptions() store.Options {
	return store.Options{Wait: lockWait, Waiting: func(path string) {
		c.say("%s is in use by another leaktrack, waiting up to %s", path, lockWait)
	}, Warning: c.doubt}
}

// doubt says what is wrong with a store that can be used all the same, and notes it
// for the results that are computed from it.
func (c *console) doubt(path, text string) {
	text = path + ": " + text
	if !slices.Contains(c.doubts, text) {
		c.doubts = append(c.doubts, text)
		c.say("warning: %s", text)
	}
}

// emptyStore is a file in which nothing was ever stored.
type emptyStore struct{ path string }

func (e *emptyStore) Error() string {
	return e.path + " is empty: leaktrack ingest FILE fills it, --db names another"
}

func (e *emptyStore) Unwrap() error { return store.ErrEmpty }

// reference is a process with the text that names it alone in this store.
type reference struct {
	store.ProcessInfo
	ref string
}

// references names each process: name/pid, with #2 for the second run of the
// same name and pid, and host: before it when there are several hosts.
func references(infos []store.ProcessInfo) []reference {
	hosts := map[string]bool{}
	runs := map[heap.Process]int{}
	for _, i := range infos {
		hosts[i.Process.Host] = true
	}
	out := make([]reference, len(infos))
	for k, i := range infos {
		p := i.Process
		p.StartNanos, p.Run = 0, 0
		runs[p]++
		p.Run = runs[p]
		ref := p.String()
		if len(hosts) > 1 && p.Host != "" {
			ref = p.Host + ":" + ref
		}
		out[k] = reference{i, ref}
	}
	return out
}

// matches reports whether the user's words for a process mean r: a name, a
// pid, name/pid, any of them with #run or behind host:.
func (r reference) matches(text string) bool {
	p := r.Process
	if r.ref == text || p.Program == "" && text == "(unnamed)" {
		return true
	}
	if host, rest, ok := strings.Cut(text, ":"); ok && host == p.Host {
		text = rest
	}
	if _, own, ok := strings.Cut(r.ref, "#"); ok || strings.HasSuffix(text, "#1") {
		name, run, found := strings.Cut(text, "#")
		if found {
			if !ok {
				own = "1"
			}
			if run != own {
				return false
			}
			text = name
		}
	}
	pid := strconv.Itoa(p.PID)
	name := strings.TrimSuffix(p.Program, ".exe")
	switch text {
	case p.Program, name:
		return text != ""
	case pid:
		return p.PID != 0
	case p.Program + "/" + pid, name + "/" + pid:
		return true
	}
	return false
}

// choose returns the processes that the argument names, all when there is
// none. It fails with what could have been meant.
func choose(db *store.DB, args cli.Args) ([]reference, error) {
	if args.Len() > 1 {
		return nil, usagef("one PROCESS at most, not %q (flags come before arguments)", args.Slice())
	}
	infos, err := db.Processes()
	if err != nil {
		return nil, err
	}
	refs := references(infos)
	if len(refs) == 0 {
		return nil, errors.New("no snapshots are stored yet: leaktrack ingest FILE stores them")
	}
	text := args.First()
	if text == "" {
		return refs, nil
	}
	for _, r := range refs {
		if r.ref == text {
			return []reference{r}, nil // however much else the words may fit
		}
	}
	chosen := slices.DeleteFunc(slices.Clone(refs), func(r reference) bool { return !r.matches(text) })
	if len(chosen) == 0 {
		var names []string
		for _, r := range refs {
			names = append(names, r.ref)
		}
		return nil, fmt.Errorf("no process %q is stored; there %s", text, are(nearest(text, names, 5), names))
	}
	return chosen, nil
}

func are(near, all []string) string {
	if len(near) == 0 {
		near = all[:min(5, len(all))]
	}
	text := "is " + near[0]
	if len(near) > 1 {
		text = "are " + strings.Join(near, ", ")
	}
	if more := len(all) - len(near); more > 0 {
		text += fmt.Sprintf(" and %d more (leaktrack list)", more)
	}
	return text
}

// chooseOne is choose for verbs that show one process.
func chooseOne(db *store.DB, args cli.Args) (reference, error) {
	refs, err := choose(db, args)
	if err != nil {
		return reference{}, err
	}
	if len(refs) > 1 {
		var names []string
		for _, r := range refs {
			names = append(names, r.ref)
		}
		return reference{}, usagef("name one process: there %s", are(names[:min(5, len(names))], names))
	}
	return refs[0], nil
}
