// Package report writes results for people and for programs: as a table, as
// JSON Lines and as CSV.
//
// In a table numbers carry units and rates their interval, and names from
// outside are made safe to print; JSON and CSV hold base units and the names
// as they are.
package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"leaktrack/internal/unit"
)

// Format is the form of a result.
type Format int

// The forms.
const (
	Table Format = iota
	JSON
	CSV
)

// ParseFormat reads table, json or csv.
func ParseFormat(s string) (Format, error) {
	switch s {
	case "", "table":
		return Table, nil
	case "json":
		return JSON, nil
	case "csv":
		return CSV, nil
	}
	return 0, fmt.Errorf("%q is none of table, json, csv", s)
}

// Style says how a result is dressed.
type Style struct {
	Format Format
	Width  int  // columns of the terminal; 0: no terminal, lines may be long
	Color  bool // for verdicts; never the only carrier of a meaning
}

// fallbackWidth is for running text where no terminal gives a width.
const fallbackWidth = 100

func (s Style) textWidth() int {
	if s.Width > 0 {
		return min(s.Width, 120)
	}
	return fallbackWidth
}

// name writes a name on a line that holds others more characters.
func (s Style) name(name string, others int) string {
	if s.Width == 0 {
		return unit.Clean(name)
	}
	return unit.Shorten(name, max(minName, s.Width-others))
}

// paragraph writes text wrapped and indented.
func (s Style) paragraph(w io.Writer, indent, words string) {
	wrapped := text.WrapSoft(words, max(20, s.textWidth()-len(indent)))
	for line := range strings.Lines(wrapped) {
		fmt.Fprintf(w, "%s%s\n", indent, strings.TrimRight(line, " \n"))
	}
}

// column is one column of a table. Exactly one column of a table may hold
// names, which give way when the terminal is narrow.
type column struct {
	head  string
	right bool // numbers
	name  bool
}

// minName is the width below which a type name says nothing.
const minName = 16

// others is the width that a table needs besides its names.
func others(columns []column, rows [][]string) int {
	total := gap * len(columns) // the last one is padded too, before the blanks are cut
	for i, c := range columns {
		if c.name {
			continue
		}
		widest := text.StringWidth(c.head)
		for _, row := range rows {
			widest = max(widest, text.StringWidthWithoutEscSequences(row[i]))
		}
		total += widest
	}
	return total
}

// gap is the space between two columns.
const gap = 2

// grid writes rows under columns, within the width of the terminal.
func (s Style) grid(w io.Writer, columns []column, rows [][]string) {
	nameWidth := 0
	if s.Width > 0 {
		nameWidth = max(minName, s.Width-others(columns, rows))
	}
	t := table.NewWriter()
	t.SetOutputMirror(w)
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", strings.Repeat(" ", gap)
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	if s.Width > 0 {
		t.Style().Size.WidthMax = max(s.Width, minName)
	}
	var configs []table.ColumnConfig
	head := make(table.Row, len(columns))
	for i, c := range columns {
		head[i] = c.head
		cfg := table.ColumnConfig{Number: i + 1}
		if c.right {
			cfg.Align, cfg.AlignHeader = text.AlignRight, text.AlignRight
		}
		configs = append(configs, cfg)
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(head)
	for _, row := range rows {
		r := make(table.Row, len(row))
		for i, cell := range row {
			if columns[i].name && nameWidth > 0 {
				cell = unit.Shorten(cell, nameWidth)
			}
			r[i] = cell
		}
		t.AppendRow(r)
	}
	t.Render()
}

// lines writes values as JSON Lines.
func lines[T any](w io.Writer, values []T) error {
	enc := json.NewEncoder(unit.JSONWriter{Writer: w})
	enc.SetEscapeHTML(false)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// sheet writes a CSV table with a header. Names in it come from outside.
func sheet(w io.Writer, head []string, rows [][]string) error {
	cw := csv.NewWriter(w)
	if err := cw.Write(head); err != nil {
		return err
	}
	for _, row := range rows {
		safe := make([]string, len(row))
		for i, cell := range row {
			safe[i] = unit.Cell(cell)
		}
		if err := cw.Write(safe); err != nil {
			return err
		}
	}
	cw.Flush()
	return cw.Error()
}

func plural[N unit.Number](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return unit.Count(n) + " " + many
}
