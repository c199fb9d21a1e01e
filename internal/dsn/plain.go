package dsn

import "strings"

// Wrap appends one paragraph to b, each line behind indent and at most 72
// columns wide where its words allow.
func Wrap(b *strings.Builder, indent, text string) { wrap(b, indent, text) }

// PlainText makes the header fields of the body of a message, or of a part, that
// is text for people in a language, and the body, 7-bit whatever the text. Lines
// of text end with LF.
func PlainText(text, lang string) (header, body string) {
	p := encoded("Content-Type: text/plain; charset=utf-8\r\nContent-Language: "+lang+"\r\n", strings.ReplaceAll(text, "\n", "\r\n"))
	return p.header, p.content
}
