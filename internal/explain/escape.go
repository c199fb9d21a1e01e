package explain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape makes a stranger's text safe to print on a terminal: control
// characters (and with them every ANSI sequence), invalid UTF-8, line
// separators, and the characters that turn or hide text (bidirectional
// controls, zero-width ones, tags) appear as \x1b or \u{202e}. A backslash
// stays as it is. The result is one line.
func Escape(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\t':
			b.WriteByte(' ')
		case r < 0x100 && unicode.IsControl(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case !unicode.IsPrint(r) && r != '\u3000' && r != '\u00a0':
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
