package demo

import (
	"strings"

	"golang.org/x/text/width"
)

// fold breaks text into lines of at most columns, at spaces, or between any two
// characters of a script that is written without spaces.
func fold(text string, columns int) []string {
	var lines []string
	for _, paragraph := range strings.Split(text, "\n") {
		lines = append(lines, foldParagraph(paragraph, max(columns, 20))...)
	}
	return lines
}

func foldParagraph(text string, columns int) []string {
	var lines []string
	start, used := 0, 0
	space := -1 // where the line may be broken: the last space
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		n := columnsOf(runes[i])
		if used+n > columns && i > start {
			end, next := i, i
			if space > start && n == 1 {
				end, next = space, space+1
			}
			lines = append(lines, string(runes[start:end]))
			start, space, used = next, -1, 0
			for _, r := range runes[start:i] {
				used += columnsOf(r)
			}
		}
		if runes[i] == ' ' {
			space = i
		}
		used += n
	}
	return append(lines, string(runes[start:]))
}

// columnsOf is the width of a character on a terminal.
func columnsOf(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
