package dsn

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

func equalFold(a, b string) bool { return b != "" && strings.EqualFold(a, b) }

// validStatus reports whether s is a status-code (rfc3464#2.3.4, rfc3463#2).
func validStatus(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] != "2" && parts[0] != "4" && parts[0] != "5" {
		return false
	}
	for _, p := range parts[1:] {
		if len(p) == 0 || len(p) > 3 || strings.Trim(p, "0123456789") != "" || len(p) > 1 && p[0] == '0' {
			return false
		}
	}
	return true
}

// isUnseen reports whether r is a character that a reader does not see and
// that may do something: control characters, line and paragraph separators,
// marks that turn the direction of writing or have no width.
func isUnseen(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// escape makes one line of a stranger's text safe to show: what is not seen is
// written out, and a tab is a space.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02X`, s[i])
		case r == '\t':
			b.WriteByte(' ')
		case r < 0x80 && isUnseen(r):
			fmt.Fprintf(&b, `\x%02X`, r)
		case isUnseen(r):
			fmt.Fprintf(&b, `\u{%X}`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// strip is escape that leaves out what is not seen, for text in which
// something is looked for.
func strip(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case isUnseen(r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
}

// ascii writes what is beyond ASCII as \x{HEX}, the form of rfc6533#3.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%X}`, r)
		}
	}
	return b.String()
}

// clip cuts s to at most limit octets, between characters.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// columns is the width of the text for people.
const columns = 72

// wrap appends one paragraph to b, each line behind indent and at most columns
// wide where its words allow. It breaks at spaces and between the characters
// of scripts that are written without them.
func wrap(b *strings.Builder, indent, text string) {
	room := columns - len(indent)
	var line strings.Builder
	used := 0
	flush := func() {
		if used > 0 {
			b.WriteString(indent)
			b.WriteString(strings.TrimRight(line.String(), " "))
			b.WriteByte('\n')
		}
		line.Reset()
		used = 0
	}
	for _, unit := range units(text) {
		w := displayWidth(strings.TrimRight(unit, " "))
		if used > 0 && used+w > room {
			flush()
		}
		line.WriteString(unit)
		used += displayWidth(unit)
	}
	flush()
}

// units divides text into what a line break may not part: a word with the
// spaces after it, or one wide character with the punctuation that must not
// begin a line.
func units(text string) []string {
	var all []string
	start := 0
	prev := rune(0)
	for i, r := range text {
		if i > start && breaksBefore(prev, r) {
			all = append(all, text[start:i])
			start = i
		}
		prev = r
	}
	if start < len(text) {
		all = append(all, text[start:])
	}
	return all
}

func breaksBefore(prev, r rune) bool {
	const notFirst, notLast = "、。，．・：；？！」』）】〉》ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々", "「『（【〈《"
	switch {
	case r == ' ' || strings.ContainsRune(notFirst, r) || strings.ContainsRune(notLast, prev):
		return false
	case prev == ' ':
		return true
	}
	return runeWidth(prev) == 2 || runeWidth(r) == 2
}

func runeWidth(r rune) int {
	if r < 0x80 {
		return 1
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
