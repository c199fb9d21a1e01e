package web

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

// maxNearest bounds what an error page offers.
const maxNearest = 5

// maxHeard bounds the lines of a paste that are shown again.
const maxHeard = 20

// nearest finds the codes and names that are most like what was asked for:
// fewest letters changed, then closest in number.
func (p *page) nearest(asked string) []codeRow {
	asked = strings.ToLower(clip(strings.TrimSpace(asked)))
	if asked == "" {
		return nil
	}
	type candidate struct {
		row           codeRow
		changes, away int
	}
	var list []candidate
	number, _ := strconv.Atoi(asked)
	class, subject, detail, dotted := reference.SplitEnhanced(asked)
	for _, b := range reference.Basics() {
		code := strconv.Itoa(b.Code)
		row := codeRow{Code: code, Path: p.Link("/codes/" + code), Ink: inkOf(b), Name: p.prose(b.Key() + ".name")}
		list = append(list, candidate{row, distance(asked, code), abs(number - b.Code)})
	}
	for _, e := range reference.Enhanceds() {
		_, x, d, _ := reference.SplitEnhanced(e.Code)
		code := e.Code
		if dotted {
			code = enhancedName(class, x, d)
		}
		away := 1000 * abs(x-subject)
		row := codeRow{Code: code, Path: p.Link("/codes/" + code), Ink: ink(code), Name: p.prose(e.Key() + ".name")}
		list = append(list, candidate{row, distance(asked, strings.ToLower(code)), away + abs(d-detail)})
	}
	for _, d := range reply.All() {
		row := codeRow{Code: strconv.Itoa(d.Code), Path: p.Link("/replies/" + d.Name), Ink: ink(strconv.Itoa(d.Code)), Remark: d.Name}
		list = append(list, candidate{row, distance(asked, d.Name), 0})
	}
	limit := max(2, utf8.RuneCountInString(asked)/2)
	list = slices.DeleteFunc(list, func(c candidate) bool { return c.changes > limit })
	slices.SortStableFunc(list, func(a, b candidate) int {
		if a.changes != b.changes {
			return a.changes - b.changes
		}
		return a.away - b.away
	})
	rows := make([]codeRow, 0, maxNearest)
	for _, c := range list[:min(len(list), maxNearest)] {
		rows = append(rows, c.row)
	}
	return rows
}

// distance is how many octets must be changed, added, dropped or swapped with
// their neighbour to make b of a.
func distance(a, b string) int {
	older := make([]int, len(b)+1)
	old := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}

// clip shortens what came from outside to the length of a code.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxCodeLength {
		return s
	}
	end := maxCodeLength
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// heardLines is a paste, made visible, line by line.
func heardLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if len(lines) == maxHeard {
			return append(lines, "…")
		}
		lines = append(lines, explain.Escape(line))
	}
	return lines
}

func codeText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
