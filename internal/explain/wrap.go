package explain

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// columns is how many columns of a terminal s takes (Unicode UAX 11).
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Characters that do not begin and that do not end a line (JIS X 4051, the
// part of it that matters here).
const (
	notFirst = "、。，．：；？！）」』】〉》〕ー…‥ゃゅょっァィゥェォャュョッ々)]},.:;?!»"
	notLast  = "（「『【〈《〔([{«"
)

// wrap breaks text into lines of at most limit columns, at spaces and between
// wide characters. A word wider than a line is cut.
func wrap(text string, limit int) []string {
	limit = max(limit, 10)
	var lines []string
	line, used := "", 0
	for _, piece := range pieces(text) {
		w := columns(piece)
		trimmed := columns(strings.TrimRight(piece, " "))
		if used > 0 && used+trimmed > limit {
			lines = append(lines, strings.TrimRight(line, " "))
			line, used = "", 0
		}
		for trimmed > limit {
			head := cut(piece, limit)
			lines = append(lines, head)
			piece = piece[len(head):]
			w, trimmed = columns(piece), columns(strings.TrimRight(piece, " "))
		}
		line += piece
		used += w
	}
	if line = strings.TrimRight(line, " "); line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// pieces splits text where a line may end; spaces stay with what precedes
// them.
func pieces(text string) []string {
	var list []string
	start := 0
	var before rune
	for i, r := range text {
		if i > 0 && breakable(before, r) {
			list = append(list, text[start:i])
			start = i
		}
		before = r
	}
	return append(list, text[start:])
}

func breakable(before, after rune) bool {
	if after == ' ' {
		return false
	}
	if before == ' ' {
		return true
	}
	if runeColumns(before) < 2 && runeColumns(after) < 2 {
		return false
	}
	return !strings.ContainsRune(notFirst, after) && !strings.ContainsRune(notLast, before)
}

// cut returns as much of the start of s as fits, at least one character.
func cut(s string, limit int) string {
	used := 0
	for i, r := range s {
		if used += runeColumns(r); used > limit && i > 0 {
			return s[:i]
		}
	}
	_, size := utf8.DecodeRuneInString(s)
	if used <= limit {
		return s
	}
	return s[:size]
}

// pad fills s with spaces to n columns.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-columns(s)))
}
