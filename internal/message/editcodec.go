package message

import (
	"encoding/binary"
	"fmt"
)

// editVersion is the first octet of an encoded list.
const editVersion = 1

// Append appends the list to dst in its stored form: a version octet, the
// number of edits, and for each its kind, field, text and rule, with numbers
// and lengths as unsigned varints. An empty list is no octets.
func (l EditList) Append(dst []byte) []byte {
	if len(l) == 0 {
		return dst
	}
	dst = append(dst, editVersion)
	dst = binary.AppendUvarint(dst, uint64(len(l)))
	for _, e := range l {
		dst = append(dst, byte(e.Kind))
		dst = binary.AppendUvarint(dst, uint64(max(e.Field, 0)))
		dst = binary.AppendUvarint(dst, uint64(len(e.Text)))
		dst = append(dst, e.Text...)
		dst = binary.AppendUvarint(dst, uint64(len(e.Rule)))
		dst = append(dst, e.Rule...)
	}
	return dst
}

// DecodeEditList reads what Append wrote; it keeps no part of b. The error is
// ErrEncoding. A list that it returns has well-formed edits, but only Validate
// knows whether their fields exist.
func DecodeEditList(b []byte) (EditList, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != editVersion {
		return nil, fmt.Errorf("%w: version %d is not known here; it was written by a newer program", ErrEncoding, b[0])
	}
	d := decoder{rest: b[1:]}
	n := d.number()
	const least = 4 // octets of the smallest edit
	if n == 0 || n > uint64(len(d.rest)/least) {
		return nil, fmt.Errorf("%w: the number of edits is wrong", ErrEncoding)
	}
	list := make(EditList, 0, n)
	for range n {
		e := Edit{Kind: EditKind(d.octet())}
		field := d.number()
		if field >= MaxFields {
			d.failed = true
		}
		e.Field = int(field % MaxFields)
		e.Text = d.text()
		e.Rule = d.text()
		if d.failed {
			return nil, fmt.Errorf("%w: edit %d is cut off or damaged", ErrEncoding, len(list))
		}
		if err := e.validateStored(); err != nil {
			return nil, fmt.Errorf("%w: edit %d: %w", ErrEncoding, len(list), err)
		}
		list = append(list, e)
	}
	if len(d.rest) > 0 {
		return nil, fmt.Errorf("%w: %d octets follow the last edit", ErrEncoding, len(d.rest))
	}
	return list, nil
}

// validateStored is validate without a header to hold the index against.
func (e Edit) validateStored() error {
	switch e.Kind {
	case Prepend, Replace:
		return CheckFields(e.Text)
	case Drop:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrEdit, e.Kind)
}

// decoder reads the stored form; once failed it returns zeros.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) octet() byte {
	if len(d.rest) == 0 {
		d.failed = true
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.failed = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) text() string {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.failed = true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}
