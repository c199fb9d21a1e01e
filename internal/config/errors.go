package config

import (
	"slices"
	"strconv"
	"strings"
)

// Error is one mistake in a configuration file.
type Error struct {
	File    string // as given to Load
	Line    int    // from 1; 0 if the mistake is in no line, for example a file that cannot be read
	Key     string // for example "limits.message_size"; empty if the line could not be read at all
	Problem string // what is wrong, and what to write instead
}

// Error returns "onward.toml:12: limits.message_size: …".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

// Errors are all mistakes of a file, by line. It is the error that Load and ReadFile return.
type Errors []*Error

// Error returns one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As each mistake.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Key, b.Key)
	})
}

// must says what is wrong with a value and what is allowed.
func must(problem error, allowed string) string {
	text := problem.Error()
	if strings.HasSuffix(text, "?") {
		return text + " Allowed: " + allowed
	}
	return text + "; allowed: " + allowed
}

// nearest returns the word that was probably meant, or "". A word counts as near if at most a third of its letters, and
// no more than three, would have to be changed, or if one is the beginning of the other.
func nearest(word string, words []string) string {
	const short = 3 // letters that make no beginning yet
	best, least := "", 4
	for _, w := range words {
		if min(len(word), len(w)) > short && (strings.HasPrefix(w, word) || strings.HasPrefix(word, w)) {
			return w
		}
		if d := distance(word, w); d < least && d <= max(1, len(w)/3) {
			best, least = w, d
		}
	}
	return best
}

// maxNear is the length above which a word is like none of ours.
const maxNear = 64

// distance counts the letters to insert, delete, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	if len(a) > maxNear || len(b) > maxNear {
		return maxNear
	}
	var rows [3][maxNear + 1]int // the row before the last, the last, the present
	for j := range len(b) + 1 {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		rows[2][0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[1][j]+1, rows[2][j-1]+1, rows[1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[0][j-2]+1)
			}
			rows[2][j] = d
		}
		rows[0], rows[1] = rows[1], rows[2]
	}
	return rows[1][len(b)]
}
