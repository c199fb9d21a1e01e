package message

import (
	"bytes"
	"fmt"
	"io"
)

// Reader is a stored message as it is sent: edited header section, untouched
// body. It is an io.Reader and an io.WriterTo.
type Reader struct {
	pieces [][]byte // what goes before the rest of stored
	stored io.Reader
	growth int
}

// readAhead is what a Reader first reads of the stored message, in octets: the
// header section of most mail.
const readAhead = 8 << 10

// NewReader reads the header section of stored and applies the edits to it.
// It holds no more than the header section and readAhead octets in memory. The
// errors are those of stored, and ErrHeaderTooLarge where fields are to be
// dropped or replaced in a header section of more than MaxHeaderLimit octets.
// The edits must have passed Validate.
func NewReader(stored io.Reader, edits EditList) (*Reader, error) {
	r := &Reader{stored: stored}
	if len(edits) == 0 {
		return r, nil
	}
	touches := edits.touches()
	buf, err := readHeader(stored, touches)
	if err != nil {
		return nil, fmt.Errorf("read the header section of a stored message: %w", err)
	}
	if !touches {
		above := edits.appendPrepended(nil, !startsHeader(buf))
		r.growth = len(above)
		r.pieces = [][]byte{above, buf}
		return r, nil
	}
	h, err := ParseHeader(buf)
	if err != nil {
		return nil, err
	}
	growth := edits.Growth(h)
	edited := edits.AppendHeader(make([]byte, 0, h.Size()+max(growth, 0)), h)
	r.growth = growth
	r.pieces = [][]byte{edited, buf[h.Size():]}
	return r, nil
}

// readHeader reads from stored until the header section is complete, or if
// whole is false only until its first line is, and returns all it has read.
func readHeader(stored io.Reader, whole bool) ([]byte, error) {
	buf := make([]byte, 0, readAhead)
	for line := 0; ; {
		n, err := stored.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for {
			i := bytes.IndexByte(buf[line:], '\n')
			if i < 0 {
				break
			}
			if !whole || isEmptyLine(buf[line:line+i+1]) || line == 0 && !startsHeader(buf) {
				return buf, ignoreEOF(err)
			}
			line += i + 1
		}
		switch {
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		case len(buf) >= MaxHeaderLimit && !whole:
			return buf, nil // one endless line: what it is does not matter
		case len(buf) >= MaxHeaderLimit:
			return nil, fmt.Errorf("%w: it has more than %d octets", ErrHeaderTooLarge, MaxHeaderLimit)
		case len(buf) == cap(buf):
			buf = append(make([]byte, 0, 4*cap(buf)), buf...)
		}
	}
}

// ignoreEOF drops io.EOF, which the next Read will give again.
func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// Growth returns by how many octets the message as sent is larger than the
// stored one; negative if it is smaller. Added to the stored size it is what
// SIZE declares (rfc1870#6).
func (r *Reader) Growth() int { return r.growth }

// Read reads the message as it is sent.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.pieces) > 0 {
		if len(r.pieces[0]) == 0 {
			r.pieces = r.pieces[1:]
			continue
		}
		n := copy(p, r.pieces[0])
		r.pieces[0] = r.pieces[0][n:]
		return n, nil
	}
	return r.stored.Read(p)
}

// WriteTo writes what has not been read yet to w.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for len(r.pieces) > 0 {
		n, err := w.Write(r.pieces[0])
		total += int64(n)
		if err != nil {
			return total, err
		}
		r.pieces = r.pieces[1:]
	}
	n, err := io.Copy(w, r.stored)
	return total + n, err
}
