package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"leaktrack/heap"
	"leaktrack/internal/unit"
)

// SnapshotRow is one snapshot in a list.
type SnapshotRow struct {
	Uptime   time.Duration
	Taken    time.Time
	Basis    heap.Basis
	Source   heap.Source
	Complete bool
	Types    int
	// CountersOnly says that the snapshot holds no table at all.
	CountersOnly bool
}

// ProcessRow is one process in a list.
type ProcessRow struct {
	Ref       string // how it is named on the command line
	Process   heap.Process
	Live, All int // snapshots with a table, of either basis
	Counters  int // snapshots that hold sizes of the heap and the process only
	From, To  time.Duration
	Snapshots []SnapshotRow // for the list of snapshots only
}

func (r ProcessRow) total() int { return r.Live + r.All + r.Counters }

type processRowJSON struct {
	Process   heap.ProcessJSON `json:"process"`
	Ref       string           `json:"ref"`
	Snapshots int              `json:"snapshots"`
	Live      int              `json:"live"`
	All       int              `json:"all"`
	Counters  int              `json:"counters_only"`
	From      heap.Seconds     `json:"from_uptime_seconds"`
	To        heap.Seconds     `json:"to_uptime_seconds"`
}

// Processes writes a list of processes.
func Processes(w io.Writer, s Style, rows []ProcessRow) error {
	switch s.Format {
	case JSON:
		var out []processRowJSON
		for _, r := range rows {
			out = append(out, processRowJSON{r.Process.JSON(), r.Ref, r.total(), r.Live, r.All, r.Counters,
				heap.Seconds(r.From), heap.Seconds(r.To)})
		}
		return lines(w, out)
	case CSV:
		var out [][]string
		for _, r := range rows {
			p := r.Process.JSON()
			out = append(out, []string{r.Ref, p.Host, p.Program, strconv.Itoa(p.PID), p.Start,
				strconv.Itoa(r.total()), strconv.Itoa(r.Live), strconv.Itoa(r.All), strconv.Itoa(r.Counters), seconds(r.From), seconds(r.To)})
		}
		return sheet(w, []string{"process", "host", "program", "pid", "start", "snapshots", "live", "all", "counters_only", "from_uptime_seconds", "to_uptime_seconds"}, out)
	}
	columns := []column{{head: "Process", name: true}, {head: "Started"}, {head: "Snapshots", right: true},
		{head: "Live", right: true}, {head: "All", right: true}, {head: "Counters only", right: true}, {head: "From", right: true}, {head: "To", right: true}}
	var cells [][]string
	for _, r := range rows {
		cells = append(cells, []string{unit.Clean(r.Ref), moment(r.Process.Start()), unit.Count(r.total()),
			unit.Count(r.Live), unit.Count(r.All), unit.Count(r.Counters), unit.Clock(r.From), unit.Clock(r.To)})
	}
	s.grid(w, columns, cells)
	return nil
}

type snapshotRowJSON struct {
	Process  heap.ProcessJSON `json:"process"`
	Ref      string           `json:"ref"`
	Uptime   heap.Seconds     `json:"uptime_seconds"`
	Taken    string           `json:"taken"`
	Source   heap.Source      `json:"source"`
	Basis    heap.Basis       `json:"basis"`
	Complete bool             `json:"complete"`
	Types    int              `json:"type_count"`
}

// Snapshots writes the snapshots of processes.
func Snapshots(w io.Writer, s Style, rows []ProcessRow) error {
	var out []snapshotRowJSON
	var cells [][]string
	for _, r := range rows {
		for _, x := range r.Snapshots {
			taken := ""
			if !x.Taken.IsZero() {
				taken = x.Taken.UTC().Format(time.RFC3339Nano)
			}
			out = append(out, snapshotRowJSON{r.Process.JSON(), r.Ref, heap.Seconds(x.Uptime), taken, x.Source, x.Basis, x.Complete, x.Types})
			if s.Format == CSV {
				cells = append(cells, []string{r.Ref, seconds(x.Uptime), taken, string(x.Source), string(x.Basis), strconv.FormatBool(x.Complete), strconv.Itoa(x.Types)})
				continue
			}
			types := unit.Count(x.Types)
			if x.CountersOnly {
				types = "counters only"
			} else if !x.Complete {
				types += ", incomplete"
			}
			cells = append(cells, []string{unit.Clean(r.Ref), unit.Clock(x.Uptime), moment(x.Taken), string(x.Source), string(x.Basis), types})
		}
	}
	switch s.Format {
	case JSON:
		return lines(w, out)
	case CSV:
		return sheet(w, []string{"process", "uptime_seconds", "taken", "source", "basis", "complete", "type_count"}, cells)
	}
	s.grid(w, []column{{head: "Process", name: true}, {head: "Uptime", right: true}, {head: "Taken"}, {head: "Source"},
		{head: "Basis"}, {head: "Types", right: true}}, cells)
	return nil
}

// moment writes a time for people, "" when it is unknown.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func seconds(d time.Duration) string {
	b, _ := heap.Seconds(d).MarshalJSON() // never fails
	return string(b)
}

// Contents tells in a few words what a snapshot holds and how far it can be
// trusted: the outcome of checking the rows against the printed total.
func Contents(s *heap.Snapshot) string {
	var parts []string
	switch {
	case s.CountersOnly():
		parts = append(parts, "no table of types")
	default:
		count, bytes, err := s.Sum()
		if err != nil {
			return err.Error()
		}
		parts = append(parts, fmt.Sprintf("%s in %s, %s",
			plural(count, "object", "objects"), plural(len(s.Types), "type", "types"), unit.Bytes(bytes)))
		parts = append(parts, completeness(s, count))
	}
	if h := s.Heap; h != nil {
		if n, ok := h.LiveBytes.Get(); ok {
			parts = append(parts, "GC heap "+unit.Bytes(n))
		}
		if n, ok := h.Heaps.Get(); ok && n > 1 {
			parts = append(parts, unit.Count(n)+" heaps")
		}
	}
	if m := s.Memory; m != nil {
		if n, ok := m.NativeHeapBytes.Get(); ok {
			parts = append(parts, "native heap "+unit.Bytes(n))
		}
		if n, ok := m.RSSBytes.Get(); ok {
			parts = append(parts, "RSS "+unit.Bytes(n))
		}
	}
	parts = append(parts, "basis "+string(s.Basis))
	return strings.Join(parts, ", ")
}

func completeness(s *heap.Snapshot, count int64) string {
	word := "complete"
	if !s.Complete {
		word = "incomplete"
	}
	if s.Heap == nil {
		return word
	}
	total, ok := s.Heap.Objects.Get()
	if !ok {
		return word
	}
	listed := count + s.Heap.FreeCount.Or(0)
	return fmt.Sprintf("%s (%s of %s objects listed)", word, unit.Count(listed), unit.Count(total))
}

// Snapshot writes one snapshot, the largest types first, at most top of them;
// -1 for every one.
func Snapshot(w io.Writer, st Style, ref string, s *heap.Snapshot, top int) error {
	types := slices.Clone(s.Types)
	slices.SortStableFunc(types, func(a, b heap.Type) int { return cmp.Compare(b.Bytes, a.Bytes) })
	shown := types
	if top >= 0 && len(types) > top {
		shown = types[:top]
	}
	switch st.Format {
	case JSON:
		if top >= 0 {
			cut := *s
			cut.Types = slices.Clone(shown)
			slices.SortFunc(cut.Types, func(a, b heap.Type) int { return strings.Compare(a.Name, b.Name) })
			cut.Complete = cut.Complete && len(shown) == len(types)
			s = &cut
		}
		b, err := json.Marshal(s)
		if err != nil {
			return err
		}
		_, err = unit.JSONWriter{Writer: w}.Write(append(b, '\n'))
		return err
	case CSV:
		var rows [][]string
		for _, t := range shown {
			rows = append(rows, []string{ref, seconds(s.Uptime), string(s.Basis), t.Name, strconv.FormatInt(t.Count, 10), strconv.FormatInt(t.Bytes, 10)})
		}
		return sheet(w, []string{"process", "uptime_seconds", "basis", "type", "count", "bytes"}, rows)
	}
	fmt.Fprintf(w, "%s at %s", unit.Clean(ref), unit.Clock(s.Uptime))
	if !s.Taken.IsZero() {
		fmt.Fprintf(w, ", %s", moment(s.Taken))
	}
	fmt.Fprintf(w, "\n")
	st.paragraph(w, "", Contents(s))
	for _, note := range totals(s) {
		st.paragraph(w, "", note)
	}
	for _, x := range s.Warnings {
		st.paragraph(w, "", "warning: "+unit.Clean(x.String()))
	}
	if len(shown) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	columns := []column{{head: "Objects", right: true}, {head: "Bytes", right: true}, {head: "Type", name: true}}
	var rows [][]string
	for _, t := range shown {
		rows = append(rows, []string{unit.Count(t.Count), unit.Bytes(t.Bytes), unit.Clean(t.Name)})
	}
	st.grid(w, columns, rows)
	if n := len(types) - len(shown); n > 0 {
		fmt.Fprintf(w, "%s, --all lists them\n", plural(n, "more type", "more types"))
	}
	return nil
}

// totals tells what a snapshot says beyond its table.
func totals(s *heap.Snapshot) []string {
	var notes []string
	if h := s.Heap; h != nil {
		var parts []string
		add := func(what string, o heap.Optional) {
			if n, ok := o.Get(); ok {
				parts = append(parts, what+" "+unit.Bytes(n))
			}
		}
		add("committed", h.CommittedBytes)
		add("free", h.FreeBytes)
		add("hard limit", h.LimitBytes)
		if len(h.Generations) == 5 {
			for i, name := range []string{"gen 0", "gen 1", "gen 2", "LOH", "POH"} {
				add(name, heap.Known(h.Generations[i]))
			}
		}
		if len(h.HeapBytes) > 1 {
			var each []string
			for _, n := range h.HeapBytes {
				each = append(each, unit.Bytes(n))
			}
			parts = append(parts, "heaps of "+strings.Join(each, ", "))
		}
		switch h.Server {
		case heap.Yes:
			parts = append(parts, "server GC")
		case heap.No:
			parts = append(parts, "workstation GC")
		}
		if s.Runtime.Flavor != "" {
			parts = append(parts, strings.TrimSpace(unit.Clean(s.Runtime.Flavor+" "+s.Runtime.Version)))
		}
		if len(parts) > 0 {
			notes = append(notes, "GC heap: "+strings.Join(parts, ", "))
		}
	}
	if m := s.Memory; m != nil {
		var parts []string
		add := func(what string, o heap.Optional) {
			if n, ok := o.Get(); ok {
				parts = append(parts, what+" "+unit.Bytes(n))
			}
		}
		add("RSS", m.RSSBytes)
		add("private", m.PrivateBytes)
		add("committed", m.CommittedBytes)
		add("native heap", m.NativeHeapBytes)
		add("native heap reserved", m.NativeReservedBytes)
		add("limit", m.LimitBytes)
		if len(parts) > 0 {
			notes = append(notes, "process: "+strings.Join(parts, ", "))
		}
	}
	return notes
}
