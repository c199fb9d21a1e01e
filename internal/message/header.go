package message

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
)

// Field is one header field as it stands in the message. It refers to the
// bytes of its header and lives as long as they do.
type Field struct {
	// Index is the position in the header section, from 0. Edits name fields
	// by it.
	Index int
	// Start is the offset of the field in the content.
	Start int
	// Raw is the complete field: name, colon, value with its folding, and the
	// line end, which is missing only where the content ends without one.
	Raw []byte
	// nameEnd is the length of the name; 0 for a line that is no field.
	nameEnd int
	// colon is the offset of the colon in Raw.
	colon int
}

// Name returns the field name as it is written, "" for a line that is no
// field.
func (f Field) Name() string { return string(f.Raw[:f.nameEnd]) }

// Is reports whether the field has the name, in any case. It does not
// allocate.
func (f Field) Is(name string) bool {
	return f.nameEnd > 0 && f.nameEnd == len(name) && foldEqual(f.Raw[:f.nameEnd], name)
}

// RawValue returns everything after the colon, with folding and line end.
func (f Field) RawValue() []byte {
	if f.nameEnd == 0 {
		return f.Raw
	}
	return f.Raw[f.colon+1:]
}

// Value returns the value unfolded (rfc5322#2.2.3), without the white space
// around it. Encoded words stay as they are.
func (f Field) Value() string {
	raw := bytes.Trim(f.RawValue(), " \t\r\n")
	if bytes.IndexByte(raw, '\n') < 0 {
		return string(raw)
	}
	value := make([]byte, 0, len(raw))
	for i, c := range raw {
		switch {
		case c == '\n':
		case c == '\r' && raw[i+1] == '\n': // raw does not end with CR
		default:
			value = append(value, c)
		}
	}
	return string(value)
}

// Text returns the value for display: unfolded, encoded words decoded. It is a
// stranger's text and is to be escaped wherever it is shown.
func (f Field) Text() string { return DecodeText(f.Value()) }

// Header is the header section of a message: a view of the bytes it was read
// from.
type Header struct {
	raw    []byte
	fields []Field
}

// ParseHeader reads the header section at the head of content. It takes any
// bytes: lines may end with LF alone, and a line that is no field becomes a
// Field without a name. The only error is ErrHeaderTooLarge, for more than
// MaxFields fields.
func ParseHeader(content []byte) (Header, error) {
	if !startsHeader(content) {
		return Header{}, nil
	}
	count, size := measure(content)
	if count > MaxFields {
		return Header{}, fmt.Errorf("%w: it has more than %d fields", ErrHeaderTooLarge, MaxFields)
	}
	h := Header{raw: content[:size:size], fields: make([]Field, 0, count)}
	for pos := 0; pos < size; {
		end := lineEnd(content, pos)
		if isEmptyLine(content[pos:end]) {
			break
		}
		if n := len(h.fields); n > 0 && isSpace(content[pos]) {
			f := &h.fields[n-1]
			f.Raw = content[f.Start:end:end]
		} else {
			f := Field{Index: n, Start: pos, Raw: content[pos:end:end]}
			f.nameEnd, f.colon = fieldName(f.Raw)
			h.fields = append(h.fields, f)
		}
		pos = end
	}
	return h, nil
}

// HeaderSize returns the octets of the header section at the head of content,
// with the empty line that ends it. It does not allocate.
func HeaderSize(content []byte) int {
	if !startsHeader(content) {
		return 0
	}
	_, size := measure(content)
	return size
}

// measure counts the fields of a header section and finds its end.
func measure(content []byte) (fields, size int) {
	for size < len(content) {
		end := lineEnd(content, size)
		line := content[size:end]
		size = end
		if isEmptyLine(line) {
			break
		}
		if !isSpace(line[0]) {
			fields++
		}
	}
	return fields, size
}

// Size returns the octets of the header section, with its empty line.
func (h Header) Size() int { return len(h.raw) }

// Raw returns the header section with its empty line. The caller must not
// write to it.
func (h Header) Raw() []byte { return h.raw }

// Len returns the number of fields.
func (h Header) Len() int { return len(h.fields) }

// Fields returns the fields in their order. The caller must not write to the
// slice.
func (h Header) Fields() []Field { return h.fields }

// First returns the topmost field of a name.
func (h Header) First(name string) (Field, bool) {
	for _, f := range h.fields {
		if f.Is(name) {
			return f, true
		}
	}
	return Field{}, false
}

// All yields the fields of a name from the top.
func (h Header) All(name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range h.fields {
			if f.Is(name) && !yield(f) {
				return
			}
		}
	}
}

// Has reports whether there is a field of the name.
func (h Header) Has(name string) bool {
	_, ok := h.First(name)
	return ok
}

// Count returns the number of fields of a name.
func (h Header) Count(name string) int {
	n := 0
	for _, f := range h.fields {
		if f.Is(name) {
			n++
		}
	}
	return n
}

// Received returns the number of Received fields, by which a loop is known:
// see MaxReceived (rfc5321#6.3).
func (h Header) Received() int { return h.Count("Received") }

// Value returns the unfolded value of the topmost field of a name, "" if there
// is none.
func (h Header) Value(name string) string {
	f, ok := h.First(name)
	if !ok {
		return ""
	}
	return f.Value()
}

// Text returns the value of the topmost field of a name for display, "" if
// there is none; see Field.Text.
func (h Header) Text(name string) string { return DecodeText(h.Value(name)) }

// startsHeader reports whether the first line belongs to a header section: it
// is a field, an empty line, or the "From " line of a mailbox file, which
// programs pipe in along with the message (rfc4155).
func startsHeader(content []byte) bool {
	line := content[:lineEnd(content, 0)]
	if isEmptyLine(line) {
		return true
	}
	if n, _ := fieldName(line); n > 0 {
		return true
	}
	return bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))
}

// fieldName finds field-name in a line (rfc5322#3.6.8, ftext) and its colon;
// white space before the colon is the obsolete form (rfc5322#4.5.8). Without a
// name it returns 0.
func fieldName(line []byte) (nameEnd, colon int) {
	for i, c := range line {
		switch {
		case c == ':':
			if nameEnd == 0 {
				nameEnd = i
			}
			return nameEnd, i
		case isSpace(c):
			if nameEnd == 0 {
				nameEnd = i
			}
			if nameEnd == 0 {
				return 0, 0
			}
		case c <= ' ' || c >= 0x7f || nameEnd > 0:
			return 0, 0
		}
	}
	return 0, 0
}

// lineEnd returns the offset after the line that begins at pos.
func lineEnd(content []byte, pos int) int {
	if i := bytes.IndexByte(content[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(content)
}

func isEmptyLine(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// foldEqual compares ASCII without case.
func foldEqual(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isASCII reports whether s has no octet above 127.
func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}
