package message

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// HeaderScanner reads content as it streams in, in chunks of any size, and
// keeps only the header section. The zero HeaderScanner is ready and keeps
// DefaultHeaderLimit octets. It is an io.Writer that never fails: what it
// found is asked of it.
//
// Lines end with CRLF or with LF alone, as for ParseHeader; the result is the
// same for any division into chunks. After the header section has ended,
// nothing is copied.
type HeaderScanner struct {
	// Limit is the largest header section in octets, with its empty line; 0
	// means DefaultHeaderLimit, and more than MaxHeaderLimit means that.
	Limit int

	kept     []byte // the header section so far, at most Limit octets
	line     int    // where the line begins in kept that is not complete yet
	size     int64
	fields   int
	received int
	ended    bool
	tooLarge bool
	eightBit bool
}

// NewHeaderScanner returns a scanner with a limit in octets; 0 means
// DefaultHeaderLimit.
func NewHeaderScanner(limit int) *HeaderScanner { return &HeaderScanner{Limit: limit} }

// Reset makes the scanner ready for another message and keeps its buffer, so
// headers and bytes that it returned are no longer valid.
func (s *HeaderScanner) Reset() {
	*s = HeaderScanner{Limit: s.Limit, kept: s.kept[:0]}
}

// Write takes the next chunk. It keeps no part of p and never fails.
func (s *HeaderScanner) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if !s.eightBit {
		s.eightBit = hasEightBit(p)
	}
	for rest := p; len(rest) > 0 && !s.ended && !s.tooLarge; {
		piece, complete := rest, false
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			piece, complete = rest[:i+1], true
		}
		rest = rest[len(piece):]
		if room := s.limit() - len(s.kept); len(piece) > room {
			s.kept = append(s.kept, piece[:room]...)
			s.overflow()
			break
		}
		s.kept = append(s.kept, piece...)
		if complete {
			s.endLine()
		}
	}
	return len(p), nil
}

// endLine looks at the line that has just become complete.
func (s *HeaderScanner) endLine() {
	line := s.kept[s.line:]
	switch {
	case s.line == 0 && !startsHeader(line):
		s.kept, s.ended = s.kept[:0], true
		return
	case isEmptyLine(line):
		s.ended = true
	case !isSpace(line[0]) || s.fields == 0:
		if s.fields == MaxFields {
			s.tooLarge = true
			return
		}
		s.fields++
		if isReceived(line) {
			s.received++
		}
	}
	s.line = len(s.kept)
}

// overflow decides what content is that exceeds the limit: a header section
// that is too large, or, where its first line alone does, perhaps none.
func (s *HeaderScanner) overflow() {
	if s.line == 0 && !startsHeader(s.kept) {
		s.kept, s.ended = s.kept[:0], true
		return
	}
	s.tooLarge = true
}

func (s *HeaderScanner) limit() int {
	if s.Limit <= 0 {
		return DefaultHeaderLimit
	}
	return min(s.Limit, MaxHeaderLimit)
}

// Ended reports whether the end of the header section has been seen.
func (s *HeaderScanner) Ended() bool { return s.ended }

// TooLarge reports whether the header section exceeds Limit octets or
// MaxFields fields.
func (s *HeaderScanner) TooLarge() bool { return s.tooLarge }

// Received returns the number of Received fields seen so far, for comparison
// with MaxReceived (rfc5321#6.3).
func (s *HeaderScanner) Received() int {
	if !s.ended && !s.tooLarge && isReceived(s.kept[s.line:]) {
		return s.received + 1 // in a last line without a line end
	}
	return s.received
}

// EightBit reports whether an octet above 127 has been seen anywhere: the
// content then needs 8BITMIME (rfc6152#2).
func (s *HeaderScanner) EightBit() bool { return s.eightBit }

// HeaderEightBit reports whether an octet above 127 is in the header section:
// the message is then internationalized (rfc6532#3.2).
func (s *HeaderScanner) HeaderEightBit() bool { return s.eightBit && hasEightBit(s.Bytes()) }

// Size returns the octets of content seen so far.
func (s *HeaderScanner) Size() int64 { return s.size }

// HeaderSize returns the octets of the header section seen so far, with its
// empty line.
func (s *HeaderScanner) HeaderSize() int { return len(s.Bytes()) }

// Bytes returns the header section seen so far, valid until Reset. The caller
// must not write to it.
func (s *HeaderScanner) Bytes() []byte {
	if !s.ended && s.line == 0 && !startsHeader(s.kept) {
		return nil // content that ended in its first line, which is no field
	}
	return s.kept
}

// Header returns the header section, valid until Reset. It is to be called
// when the content has ended, or Ended reports true. The error is
// ErrHeaderTooLarge.
func (s *HeaderScanner) Header() (Header, error) {
	if s.tooLarge {
		return Header{}, fmt.Errorf("%w: it has more than %d octets or %d fields", ErrHeaderTooLarge, s.limit(), MaxFields)
	}
	return ParseHeader(s.Bytes())
}

// isReceived reports whether a line begins a Received field.
func isReceived(line []byte) bool {
	const name = "received"
	if len(line) <= len(name) || lower(line[0]) != 'r' {
		return false
	}
	n, _ := fieldName(line)
	return n == len(name) && foldEqual(line[:n], name)
}

// hasEightBit reports whether an octet of p is above 127, eight at a time.
func hasEightBit(p []byte) bool {
	const high = 0x8080808080808080
	for len(p) >= 32 {
		if (binary.LittleEndian.Uint64(p)|binary.LittleEndian.Uint64(p[8:])|
			binary.LittleEndian.Uint64(p[16:])|binary.LittleEndian.Uint64(p[24:]))&high != 0 {
			return true
		}
		p = p[32:]
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
