package message

import (
	"fmt"
	"strings"
)

// EditKind says what an edit does.
type EditKind uint8

// The kinds of edits. The numbers are stored; they never change.
const (
	// Prepend puts fields above everything, also above what earlier edits of
	// the list have put there (rfc5321#4.4: trace is prepended).
	Prepend EditKind = 1
	// Drop leaves one stored field out.
	Drop EditKind = 2
	// Replace puts other fields in the place of one stored field.
	Replace EditKind = 3
)

// String names the kind in logs.
func (k EditKind) String() string {
	switch k {
	case Prepend:
		return "prepend"
	case Drop:
		return "drop"
	case Replace:
		return "replace"
	}
	return fmt.Sprintf("edit kind %d", uint8(k))
}

// MarshalText writes the kind as String does.
func (k EditKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Edit is one change of the header section.
type Edit struct {
	Kind EditKind
	// Field is the index of the stored field, for Drop and Replace.
	Field int
	// Text is one or more complete fields with CRLF, for Prepend and Replace.
	Text string
	// Rule names the reason in the log: "rfc5321#4.4 trace".
	Rule string
}

// EditList is what is changed while a stored message is sent. Indexes always
// mean the stored header section, whatever other edits do, so that lists can
// be joined: see [Combine]. Where two edits touch one stored field, the later
// wins. Of several Prepend edits the last stands on top.
type EditList []Edit

// Combine joins the edits of a message and those of one recipient, whose
// fields then stand above.
func Combine(message, recipient EditList) EditList {
	switch {
	case len(message) == 0:
		return recipient
	case len(recipient) == 0:
		return message
	}
	both := make(EditList, 0, len(message)+len(recipient))
	return append(append(both, message...), recipient...)
}

// Validate checks the list for use with h: every text is made of complete
// fields, every index exists, every edit names its rule. The error is ErrEdit.
// Sending does not check again.
func (l EditList) Validate(h Header) error {
	for i, e := range l {
		if err := e.validate(h); err != nil {
			return fmt.Errorf("edit %d (%s, %s): %w", i, e.Kind, e.Rule, err)
		}
	}
	return nil
}

func (e Edit) validate(h Header) error {
	switch e.Kind {
	case Prepend, Drop, Replace:
	default:
		return fmt.Errorf("%w: unknown kind", ErrEdit)
	}
	if e.Rule == "" {
		return fmt.Errorf("%w: it names no rule", ErrEdit)
	}
	if e.Kind != Prepend && (e.Field < 0 || e.Field >= h.Len()) {
		return fmt.Errorf("%w: field %d of %d does not exist", ErrEdit, e.Field, h.Len())
	}
	if e.Kind == Drop {
		if e.Text != "" {
			return fmt.Errorf("%w: a drop has no text", ErrEdit)
		}
		return nil
	}
	return CheckFields(e.Text)
}

// CheckFields reports whether text is one or more complete header fields: each
// has a name, every line ends with CRLF and has at most MaxLine octets, and
// there is no NUL, bare CR or bare LF. The error is ErrEdit.
func CheckFields(text string) error {
	if text == "" {
		return fmt.Errorf("%w: the text is empty", ErrEdit)
	}
	for first := true; text != ""; first = false {
		line, rest, ok := strings.Cut(text, "\r\n")
		text = rest
		switch {
		case !ok:
			return fmt.Errorf("%w: the last line lacks its CRLF", ErrEdit)
		case strings.ContainsAny(line, "\r\n\x00"):
			return fmt.Errorf("%w: a line has NUL or a CR or LF of its own", ErrEdit)
		case len(line) > MaxLine:
			return fmt.Errorf("%w: a line is longer than %d octets", ErrEdit, MaxLine)
		case strings.Trim(line, " \t") == "":
			return fmt.Errorf("%w: a line is empty, which would end the header section", ErrEdit)
		case isSpace(line[0]) && !first:
		default:
			if n, _ := fieldName([]byte(line)); n == 0 {
				return fmt.Errorf("%w: a line has no field name", ErrEdit)
			}
		}
	}
	return nil
}

// AppendHeader appends the edited header section, with its empty line, to dst.
// Content without a header section gets the empty line that separates the
// prepended fields from it.
func (l EditList) AppendHeader(dst []byte, h Header) []byte {
	dst = l.appendPrepended(dst, h.Size() == 0)
	last := l.perField(h)
	if last == nil {
		return append(dst, h.raw...)
	}
	end := 0
	for i, f := range h.fields {
		switch e := last[i]; {
		case e == 0:
			dst = append(dst, f.Raw...)
		case l[e-1].Kind == Replace:
			dst = append(dst, l[e-1].Text...)
		}
		end = f.Start + len(f.Raw)
	}
	return append(dst, h.raw[end:]...)
}

// appendPrepended appends what stands above the stored header section; bare
// says that the content has none.
func (l EditList) appendPrepended(dst []byte, bare bool) []byte {
	any := false
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].Kind == Prepend {
			dst = append(dst, l[i].Text...)
			any = true
		}
	}
	if any && bare {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// perField returns for every stored field 0, or 1 more than the index of the
// edit that decides about it; nil if no stored field is touched.
func (l EditList) perField(h Header) []int {
	var last []int
	for i, e := range l {
		if e.Kind == Prepend || e.Field < 0 || e.Field >= h.Len() {
			continue
		}
		if last == nil {
			last = make([]int, h.Len())
		}
		last[e.Field] = i + 1
	}
	return last
}

// touches reports whether an edit needs the fields of the stored header.
func (l EditList) touches() bool {
	for _, e := range l {
		if e.Kind != Prepend {
			return true
		}
	}
	return false
}

// Growth returns by how many octets the edited message is larger than the
// stored one; negative if it is smaller.
func (l EditList) Growth(h Header) int {
	n, prepended := 0, false
	for _, e := range l {
		if e.Kind == Prepend {
			n += len(e.Text)
			prepended = true
		}
	}
	if prepended && h.Size() == 0 {
		n += len("\r\n")
	}
	for i, e := range l.perField(h) {
		if e > 0 {
			n += len(l[e-1].Text) - len(h.fields[i].Raw)
		}
	}
	return n
}

// Size returns the octets of the edited message, as SIZE declares them
// (rfc1870#6), from those of the stored one.
func (l EditList) Size(h Header, stored int64) int64 { return stored + int64(l.Growth(h)) }
