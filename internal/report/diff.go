package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"leaktrack/heap"
	"leaktrack/internal/unit"
)

// change is one type in two snapshots. A side that is nil is no point: the
// snapshot does not list the type and does not claim to list every type.
type change struct {
	Name       string     `json:"name"`
	From       *amount    `json:"from"`
	To         *amount    `json:"to"`
	Difference *amountDif `json:"difference"`
}

type amount struct {
	Count int64 `json:"count"`
	Bytes int64 `json:"bytes"`
}

type amountDif amount

type diffJSON struct {
	Process heap.ProcessJSON `json:"process"`
	Basis   heap.Basis       `json:"basis"`
	From    heap.Seconds     `json:"from_uptime_seconds"`
	To      heap.Seconds     `json:"to_uptime_seconds"`
	Types   []change         `json:"types"`
}

// changes joins two snapshots by type, the spelling of names aside. A short
// name of one is the type that the other names in full, where it fits one only.
// Where it fits several, unclear tells them, and the other snapshot says nothing
// of either.
func changes(a, b *heap.Snapshot) (out []change, unclear map[string][]string) {
	var j heap.Join
	own := map[*heap.Snapshot]map[string]bool{a: {}, b: {}}
	for _, s := range []*heap.Snapshot{a, b} {
		for _, t := range s.Types {
			j.Add(t.Name, s.Source.ShortNames())
			own[s][heap.CanonicalName(t.Name)] = true
		}
	}
	unclear = map[string][]string{}
	index := map[string]int{}
	collect := func(s, other *heap.Snapshot, side func(*change) **amount) {
		for _, t := range s.Types {
			key := heap.CanonicalName(t.Name)
			if !own[other][key] {
				full, candidates := j.Full(t.Name, s.Source.ShortNames())
				if full != "" && !own[s][full] {
					key = full
				}
				if candidates = slices.DeleteFunc(candidates, func(c string) bool { return !own[other][c] || own[s][c] }); len(candidates) > 1 {
					unclear[key] = candidates
				}
			}
			i, ok := index[key]
			if !ok {
				i = len(out)
				index[key] = i
				out = append(out, change{Name: t.Name})
			}
			if key == heap.CanonicalName(t.Name) {
				out[i].Name = t.Name // the full one of two
			}
			p := side(&out[i])
			if *p == nil {
				*p = &amount{}
			}
			(*p).Count += t.Count
			(*p).Bytes += t.Bytes
		}
	}
	collect(a, b, func(c *change) **amount { return &c.From })
	collect(b, a, func(c *change) **amount { return &c.To })
	hidden := map[string]bool{}
	for short, full := range unclear {
		hidden[short] = true
		for _, f := range full {
			hidden[f] = true
		}
	}
	for i := range out {
		c := &out[i]
		told := !hidden[heap.CanonicalName(c.Name)]
		if c.From == nil && a.Complete && told {
			c.From = &amount{}
		}
		if c.To == nil && b.Complete && told {
			c.To = &amount{}
		}
		if c.From != nil && c.To != nil {
			c.Difference = &amountDif{c.To.Count - c.From.Count, c.To.Bytes - c.From.Bytes}
		}
	}
	slices.SortStableFunc(out, func(x, y change) int {
		if (x.Difference == nil) != (y.Difference == nil) {
			if x.Difference == nil {
				return 1
			}
			return -1
		}
		if x.Difference == nil {
			return strings.Compare(x.Name, y.Name)
		}
		return cmp.Or(cmp.Compare(magnitude(y.Difference.Bytes), magnitude(x.Difference.Bytes)),
			cmp.Compare(magnitude(y.Difference.Count), magnitude(x.Difference.Count)), strings.Compare(x.Name, y.Name))
	})
	return out, unclear
}

func magnitude(n int64) int64 { return max(n, -n) }

// Diff writes two snapshots side by side, the largest change of bytes first,
// at most top types; -1 for every one.
func Diff(w io.Writer, st Style, ref string, a, b *heap.Snapshot, top int) error {
	all, unclear := changes(a, b)
	shown := all
	if top >= 0 {
		shown = slices.DeleteFunc(slices.Clone(all), func(c change) bool {
			return c.Difference != nil && *c.Difference == amountDif{}
		})
		shown = shown[:min(top, len(shown))]
	}
	switch st.Format {
	case JSON:
		return lines(w, []diffJSON{{a.Process.JSON(), a.Basis, heap.Seconds(a.Uptime), heap.Seconds(b.Uptime), shown}})
	case CSV:
		var rows [][]string
		for _, c := range shown {
			row := []string{ref, c.Name}
			for _, x := range []*amount{c.From, c.To, (*amount)(c.Difference)} {
				if x == nil {
					row = append(row, "", "")
					continue
				}
				row = append(row, strconv.FormatInt(x.Count, 10), strconv.FormatInt(x.Bytes, 10))
			}
			rows = append(rows, row)
		}
		return sheet(w, []string{"process", "type", "from_count", "from_bytes", "to_count", "to_bytes", "count_difference", "bytes_difference"}, rows)
	}
	fmt.Fprintf(w, "%s from %s to %s (%s), basis %s\n", unit.Clean(ref), unit.Clock(a.Uptime), unit.Clock(b.Uptime),
		unit.Duration(b.Uptime-a.Uptime), a.Basis)
	for _, s := range []*heap.Snapshot{a, b} {
		if !s.Complete {
			fmt.Fprintf(w, "the snapshot at %s is incomplete: a type it does not list is shown as \"?\", not as 0\n", unit.Clock(s.Uptime))
		}
	}
	if len(unclear) > 0 {
		var list []string
		for short, full := range unclear {
			list = append(list, fmt.Sprintf("%s (%s)", unit.Clean(short), unit.Clean(heap.Some(full))))
		}
		fmt.Fprintf(w, "short names that fit several types of the other snapshot; both are shown as \"?\" where the other is listed: %s\n", heap.Some(list))
	}
	fmt.Fprintln(w)
	columns := []column{{head: "Type", name: true}, {head: "Objects", right: true}, {head: "then", right: true}, {head: "change", right: true},
		{head: "Bytes", right: true}, {head: "then", right: true}, {head: "change", right: true}}
	var rows [][]string
	for _, c := range shown {
		row := []string{unit.Clean(c.Name), "?", "?", "?", "?", "?", "?"}
		if c.From != nil {
			row[1], row[4] = unit.Count(c.From.Count), unit.Bytes(c.From.Bytes)
		}
		if c.To != nil {
			row[2], row[5] = unit.Count(c.To.Count), unit.Bytes(c.To.Bytes)
		}
		if d := c.Difference; d != nil {
			row[3], row[6] = signed(unit.Count(magnitude(d.Count)), d.Count), signed(unit.Bytes(magnitude(d.Bytes)), d.Bytes)
		}
		rows = append(rows, row)
	}
	st.grid(w, columns, rows)
	if n := len(all) - len(shown); n > 0 {
		fmt.Fprintf(w, "%s, --all lists them\n", plural(n, "other type", "other types"))
	}
	return nil
}

func signed(text string, n int64) string {
	switch {
	case n > 0:
		return "+" + text
	case n < 0:
		return "-" + text
	}
	return text
}
