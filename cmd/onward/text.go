package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// runeWidth is how many columns a character takes on a terminal.
func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func displayWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func padRight(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-displayWidth(s)))
}

// wrapText breaks text into lines of at most columns: at spaces, after a wide
// character, or, where a word is too long, anywhere. It returns at least one
// line.
func wrapText(text string, columns int) []string {
	columns = max(columns, 2)
	var lines []string
	for displayWidth(text) > columns {
		end := breakAt(text, columns)
		lines = append(lines, strings.TrimRight(text[:end], " "))
		text = strings.TrimLeft(text[end:], " ")
	}
	return append(lines, text)
}

// breakAt returns where a line of text ends, in octets.
func breakAt(text string, columns int) int {
	used, best := 0, 0
	for i, r := range text {
		w := runeWidth(r)
		if r == ' ' && i > 0 {
			best = i
		} else if w == 2 && used > 0 && !strings.ContainsRune("、。」』）", r) {
			best = i
		}
		if used+w > columns {
			if best > 0 {
				return best
			}
			return i
		}
		used += w
	}
	return len(text)
}
