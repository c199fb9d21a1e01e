package smtp

import "bytes"

// place is where in a line the decoder stands.
type place uint8

const (
	atLineStart place = iota // after CRLF, and at the beginning: the CRLF of DATA counts (rfc5321#4.1.1.4)
	inLine
	afterCR    // a CR within a line
	afterDot   // a dot at the start of a line; not written yet, and never
	afterDotCR // a dot at the start of a line, then CR; the CR is not written yet
	atEnd
)

// DataDecoder undoes the framing of DATA (rfc5321#4.5.2): it finds the end of
// the content and takes away the dots that the client has put before lines
// that begin with one. The zero DataDecoder stands at the beginning.
//
// Only CR LF dot CR LF ends the content (rfc5321#4.1.1.4). A CR or an LF on its
// own is text like any other; it is passed on, and noted, because what follows
// a message that another server ends earlier would be a second message to it
// and text to us.
type DataDecoder struct {
	at place
	// BareCR and BareLF say that a CR or LF on its own has been met
	// (rfc5321#2.3.8).
	BareCR, BareLF bool
}

// Bare reports whether a CR or an LF on its own has been met.
func (d *DataDecoder) Bare() bool { return d.BareCR || d.BareLF }

// Done reports whether the end has been read.
func (d *DataDecoder) Done() bool { return d.at == atEnd }

// Decode reads from src, in pieces of any size, and writes the content to dst.
// It returns how many octets of each it has used, and whether the content has
// ended; what is left of src then belongs to the next command. The CRLF before
// the final dot is part of the content.
//
// dst needs one octet more than src, otherwise src is used in part. dst may
// share the memory of src if it begins at least one octet before it, so that a
// buffer is decoded in place.
func (d *DataDecoder) Decode(dst, src []byte) (nDst, nSrc int, done bool) {
	if len(dst) <= len(src) {
		src = src[:max(len(dst)-1, 0)]
	}
	for nSrc < len(src) && d.at != atEnd {
		if d.at == inLine || d.at == atLineStart && src[nSrc] != '.' {
			n := d.run(src[nSrc:])
			nDst += copy(dst[nDst:], src[nSrc:nSrc+n])
			nSrc += n
			continue
		}
		c := src[nSrc]
		nSrc++
		nDst += d.step(dst[nDst:], c)
	}
	return nDst, nSrc, d.at == atEnd
}

// run finds how much of s, at a place where octets are text, can be taken as it
// is: all of it, or up to a line that begins with a dot. It leaves d at the
// place after that. It looks at lines and not at octets: most of the time of a
// message is spent here.
func (d *DataDecoder) run(s []byte) int {
	end, pairs := 0, 0 // pairs are CRLFs
	for {
		i := bytes.IndexByte(s[end:], '\n')
		if i < 0 {
			end = len(s)
			d.at = inLine
			break
		}
		lf := end + i
		end = lf + 1
		if lf > 0 && s[lf-1] == '\r' {
			pairs++
			if end == len(s) || s[end] == '.' {
				d.at = atLineStart
				break
			}
			continue
		}
		d.BareLF = true
		if end == len(s) {
			d.at = inLine
			break
		}
	}
	if s[end-1] == '\r' { // its LF may be still to come
		d.at = afterCR
		pairs++
	}
	if !d.BareCR && bytes.Count(s[:end], []byte{'\r'}) > pairs {
		d.BareCR = true
	}
	return end
}

// step takes one octet at a place where it may be more than text, and returns
// how many it has written.
func (d *DataDecoder) step(dst []byte, c byte) int {
	held := d.at == afterDotCR // a CR that is not written yet
	switch d.at {
	case atLineStart:
		d.at = afterDot // c is a dot: Decode sees to that
		return 0
	case afterDot:
		if c == '\r' {
			d.at = afterDotCR
			return 0
		}
	case afterCR, afterDotCR:
		switch {
		case c == '\n' && held:
			d.at = atEnd // rfc5321#4.1.1.4
			return 0
		case c == '\n':
			d.at = atLineStart
			dst[0] = c
			return 1
		}
		d.BareCR = true
	}
	n := 0
	if held {
		dst[0] = '\r'
		n = 1
	}
	dst[n] = c
	switch c {
	case '\r':
		d.at = afterCR
	case '\n':
		d.BareLF = true
		d.at = inLine
	default:
		d.at = inLine
	}
	return n + 1
}

// LineScanner notes CR and LF on their own in content that comes without dots,
// by BDAT (rfc3030#2). The zero LineScanner stands at the beginning.
type LineScanner struct {
	cr, text       bool // the last octet was CR; there are octets after the last CRLF
	BareCR, BareLF bool
}

// Bare reports whether a CR or an LF on its own has been met so far.
func (l *LineScanner) Bare() bool { return l.BareCR || l.BareLF }

// Scan looks at the next piece.
func (l *LineScanner) Scan(s []byte) {
	if len(s) == 0 {
		return
	}
	if l.cr {
		l.cr = false
		if s[0] == '\n' {
			l.text = false
			if s = s[1:]; len(s) == 0 {
				return
			}
		} else {
			l.BareCR = true
		}
	}
	d := DataDecoder{at: inLine, BareCR: l.BareCR, BareLF: l.BareLF}
	for len(s) > 0 {
		s = s[d.run(s):]
	}
	l.cr, l.text = d.at == afterCR, d.at != atLineStart
	l.BareCR, l.BareLF = d.BareCR, d.BareLF
}

// End notes a CR that was the last octet of all, and reports whether the last
// line lacks its CRLF.
func (l *LineScanner) End() (unfinished bool) {
	if l.cr {
		l.BareCR = true
	}
	return l.text
}
