package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/onwardmail/onward/internal/explain"
)

// ANSI colours, on terminals only.
const (
	inkOff   = "\x1b[0m"
	inkBold  = "\x1b[1m"
	inkDim   = "\x1b[2m"
	inkRed   = "\x1b[31m"
	inkGreen = "\x1b[32m"
	inkAmber = "\x1b[33m"
	inkCyan  = "\x1b[36m"
)

func terminal(fd int) bool { return term.IsTerminal(fd) }

// widthOf returns the columns of a terminal, or byDefault.
func widthOf(w any, byDefault int) int {
	if fd, ok := isTerminal(w); ok {
		if columns, _, err := term.GetSize(fd); err == nil && columns > 0 {
			return columns
		}
	}
	return byDefault
}

// colourful reports whether colours are wanted: on a terminal, unless NO_COLOR
// is set (no-color.org) or the terminal is dumb.
func colourful(w any) bool {
	_, ok := isTerminal(w)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// clean makes text safe for a terminal and one line.
func clean(s string) string { return explain.Escape(s) }

// cleanLines is clean for text that has several lines of ours.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// printer writes results, for people or for programs.
type printer struct {
	w      *bufio.Writer
	direct io.Writer // what w writes to, for those who must be seen at once
	json   bool
	width  int // columns; 0: no limit
	colour bool
	err    error
}

func newPrinter(w io.Writer, asJSON bool) *printer {
	return &printer{w: bufio.NewWriter(w), direct: w, json: asJSON, width: widthOf(w, 0), colour: colourful(w) && !asJSON}
}

// flush writes what is left, so that what goes to standard error comes after.
func (p *printer) flush() {
	if err := p.w.Flush(); err != nil && p.err == nil {
		p.err = err
	}
}

// end writes what is left and returns the exit status.
func (p *printer) end(stderr io.Writer) int {
	p.flush()
	if p.err != nil {
		fmt.Fprintf(stderr, "onward: write the result: %v\n", p.err)
		return exitFailed
	}
	return exitOK
}

func (p *printer) object(v any) {
	e := json.NewEncoder(p.w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil && p.err == nil {
		p.err = err
	}
}

// objects writes a list, one object a line.
func (p *printer) objects(list any) {
	v := reflect.ValueOf(list)
	for i := range v.Len() {
		p.object(v.Index(i).Interface())
	}
}

// say writes a line for people.
func (p *printer) say(format string, args ...any) {
	if p.json {
		return
	}
	p.raw(clean(fmt.Sprintf(format, args...)) + "\n")
}

func (p *printer) raw(s string) {
	if _, err := p.w.WriteString(s); err != nil && p.err == nil {
		p.err = err
	}
}

func (p *printer) ink(colour, s string) string {
	if !p.colour || colour == "" {
		return s
	}
	return colour + s + inkOff
}

// cell is a field of a table: text, which may be a stranger's, and its colour.
type cell struct{ text, colour string }

func plain(text string) cell { return cell{text: text} }

// table is rows under headings. Cells are escaped. The last column is wrapped
// to the width of the terminal; if that leaves too little room, each row is
// printed as a block.
type table struct {
	heads []string
	rows  [][]cell
}

func newTable(heads ...string) *table { return &table{heads: heads} }

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

const (
	columnGap = 2
	// leastLast is how narrow the last column may become.
	leastLast = 16
)

// table writes t, or empty if it has no rows.
func (p *printer) table(t *table, empty string) {
	if len(t.rows) == 0 {
		p.say("%s", empty)
		return
	}
	widths := make([]int, len(t.heads))
	for i, h := range t.heads {
		widths[i] = displayWidth(h)
	}
	for _, row := range t.rows {
		for i := range row {
			row[i].text = clean(row[i].text)
			widths[i] = max(widths[i], displayWidth(row[i].text))
		}
	}
	last := len(widths) - 1
	if p.width > 0 {
		used := 0
		for _, w := range widths[:last] {
			used += w + columnGap
		}
		room := p.width - used
		if room < min(leastLast, widths[last]) {
			p.blocks(t)
			return
		}
		widths[last] = min(widths[last], room)
	}
	head := make([]cell, len(t.heads))
	for i, h := range t.heads {
		head[i] = cell{h, inkBold}
	}
	p.row(head, widths)
	for _, row := range t.rows {
		p.row(row, widths)
	}
}

// row writes one row, the last cell wrapped.
func (p *printer) row(cells []cell, widths []int) {
	last := len(widths) - 1
	var b strings.Builder
	indent := 0
	for i, c := range cells[:last] {
		b.WriteString(p.ink(c.colour, c.text))
		b.WriteString(strings.Repeat(" ", widths[i]-displayWidth(c.text)+columnGap))
		indent += widths[i] + columnGap
	}
	for i, line := range wrapText(cells[last].text, widths[last]) {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", indent))
		}
		b.WriteString(p.ink(cells[last].colour, line))
		p.raw(strings.TrimRight(b.String(), " ") + "\n")
		b.Reset()
	}
}

// blocks writes rows as paragraphs of heading and value, for narrow terminals.
func (p *printer) blocks(t *table) {
	for i, row := range t.rows {
		if i > 0 {
			p.raw("\n")
		}
		f := &fields{}
		for j, c := range row {
			f.add(strings.ToLower(t.heads[j]), c)
		}
		p.fields(f)
	}
}

// fields is one thing: names and values under each other.
type fields struct {
	names  []string
	values []cell
}

// add adds a field unless it is empty.
func (f *fields) add(name string, value cell) {
	if value.text != "" {
		f.names = append(f.names, name)
		f.values = append(f.values, value)
	}
}

func (p *printer) fields(f *fields) {
	name := 0
	for _, n := range f.names {
		name = max(name, displayWidth(n))
	}
	room := 1 << 20
	if p.width > 0 {
		room = max(p.width-name-columnGap, leastLast)
	}
	for i, v := range f.values {
		head := p.ink(inkBold, padRight(f.names[i], name))
		for _, line := range wrapText(clean(v.text), room) {
			p.raw(head + strings.Repeat(" ", columnGap) + p.ink(v.colour, line) + "\n")
			head = strings.Repeat(" ", name)
		}
	}
}

// moment writes a time for people: local, to the minute; to the second if
// precise.
func moment(t time.Time, precise bool) string {
	switch {
	case t.IsZero():
		return ""
	case precise:
		return t.Local().Format("2006-01-02 15:04:05")
	}
	return t.Local().Format("2006-01-02 15:04")
}

// span writes how far a moment is from now: "in 4 min", "2 h ago".
func span(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := t.Sub(now)
	if d.Abs() < time.Second {
		return "now"
	}
	if d < 0 {
		return length(-d) + " ago"
	}
	return "in " + length(d)
}

// length writes a duration in its largest unit.
func length(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + " days"
}

// octets writes a size: "4.1 kB".
func octets(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1_000_000:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " kB"
	case n < 1_000_000_000:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	}
	return strconv.FormatFloat(float64(n)/1e9, 'f', 1, 64) + " GB"
}
