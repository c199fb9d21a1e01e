package message

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
)

// maxPiece is how much of a line a Converter holds to see whether it is a
// boundary, in octets. A boundary line has 2 + 70 + 2 and some white space
// (rfc2046#5.1.1).
const maxPiece = 4096

// Converter is a Writer of content that makes it 7-bit on its way to another:
// parts without a transfer encoding get quoted-printable if they are text, and
// base64 otherwise, the header sections above them say so, and all else stays
// as it is (rfc6152#3, rfc2045#6). It is for hosts that do not take 8-bit or
// binary content, and for mail that nobody has signed: see Signed. Close ends
// the content.
//
// What multipart/signed has in it is never touched (rfc1847#2.1). Octets above
// 127 within header sections stay; whoever sends looks for those before.
type Converter struct {
	w io.Writer

	line    []byte // the piece of a line that is held
	partial bool   // the line that the piece belongs to began before it

	head   []byte // of the header section that is being read; nil outside
	inHead bool
	top    bool // that header section is the message's own

	boundaries []string // of the multiparts that are open, outermost first
	sealed     int      // how many were open when a multipart/signed began, with it; 0: none

	encoder io.WriteCloser // of the body that is being read; nil: copied
	pending []byte         // the line end that may belong to a boundary
}

// NewConverter returns a Converter that writes to w.
func NewConverter(w io.Writer) *Converter {
	return &Converter{w: w, inHead: true, top: true}
}

// Signed reports whether a header section belongs to a message that would no
// longer verify if its content were converted.
func Signed(h Header) bool {
	if h.Has("DKIM-Signature") || h.Has("ARC-Message-Signature") {
		return true
	}
	kind, _, err := mime.ParseMediaType(h.Value("Content-Type"))
	return err == nil && kind == "multipart/signed"
}

// Write takes the next piece of the content.
func (c *Converter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n') + 1
		whole := i > 0
		if !whole {
			i = len(p)
		}
		if room := maxPiece - len(c.line); i > room {
			i, whole = room, false
		}
		c.line = append(c.line, p[:i]...)
		p = p[i:]
		if whole || len(c.line) >= maxPiece {
			if err := c.piece(whole); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// Close ends the content.
func (c *Converter) Close() error {
	if len(c.line) > 0 {
		if err := c.piece(true); err != nil {
			return err
		}
	}
	if c.inHead { // the message ends in its header section
		if _, err := c.w.Write(c.head); err != nil {
			return err
		}
		c.head = nil
		return nil
	}
	return c.endBody(true)
}

// piece takes a line, or a part of one that is very long; ends says that it is
// its end.
func (c *Converter) piece(ends bool) error {
	line := c.line
	first := !c.partial
	c.partial = !ends
	c.line = c.line[:0]
	if first && ends {
		if depth, closes, ok := c.boundary(line); ok {
			return c.part(line, depth, closes)
		}
	}
	if c.inHead {
		c.head = append(c.head, line...)
		if first && ends && (string(line) == "\r\n" || string(line) == "\n") {
			return c.endHead()
		}
		return nil
	}
	return c.body(line)
}

// boundary reports whether a line is the boundary of an open multipart, of
// which, and whether it is its last (rfc2046#5.1.1).
func (c *Converter) boundary(line []byte) (depth int, closes, ok bool) {
	if len(c.boundaries) == 0 || !bytes.HasPrefix(line, []byte("--")) {
		return 0, false, false
	}
	text := strings.TrimRight(string(line[2:]), " \t\r\n")
	for i := len(c.boundaries) - 1; i >= 0; i-- {
		b := c.boundaries[i]
		switch text {
		case b:
			return i, false, true
		case b + "--":
			return i, true, true
		}
	}
	return 0, false, false
}

// part ends what was before a boundary line and begins what follows it.
func (c *Converter) part(line []byte, depth int, closes bool) error {
	if c.inHead { // a part that ends in its header section
		if _, err := c.w.Write(c.head); err != nil {
			return err
		}
		c.head, c.inHead = nil, false
	} else if err := c.endBody(false); err != nil {
		return err
	}
	if _, err := c.w.Write(line); err != nil {
		return err
	}
	open := depth + 1
	if closes {
		open = depth
	}
	c.boundaries = c.boundaries[:open]
	if c.sealed > open {
		c.sealed = 0
	}
	c.inHead = !closes && c.sealed == 0
	return nil
}

// endHead decides what becomes of the body below a header section, and writes
// the header section that says so.
func (c *Converter) endHead() error {
	head := c.head
	top := c.top
	c.head, c.inHead, c.top = nil, false, false
	h, err := ParseHeader(head)
	if err != nil {
		_, err = c.w.Write(head)
		return err
	}
	kind, params, err := mime.ParseMediaType(h.Value("Content-Type"))
	if err != nil {
		kind = "text/plain" // rfc2045#5.2
	}
	encoding := strings.ToLower(strings.TrimSpace(h.Value("Content-Transfer-Encoding")))
	switch {
	case encoding == "base64", encoding == "quoted-printable":
		_, err = c.w.Write(head)
		return err
	case strings.HasPrefix(kind, "multipart/") && params["boundary"] != "":
		c.boundaries = append(c.boundaries, params["boundary"])
		if kind == "multipart/signed" {
			c.sealed = len(c.boundaries)
			_, err = c.w.Write(head)
			return err
		}
		return c.relabel(h, head, "7bit", top)
	case kind == "message/rfc822", kind == "message/global":
		c.inHead = true // of the message inside
		return c.relabel(h, head, "7bit", top)
	case strings.HasPrefix(kind, "message/"), strings.HasPrefix(kind, "multipart/"):
		_, err = c.w.Write(head) // no encoding is allowed there (rfc2046#5.2)
		return err
	case strings.HasPrefix(kind, "text/") && encoding != "binary":
		if err := c.relabel(h, head, "quoted-printable", top); err != nil {
			return err
		}
		c.encoder = quotedprintable.NewWriter(c.w)
		return nil
	case encoding == "7bit" || encoding == "":
		_, err = c.w.Write(head)
		return err
	}
	if err := c.relabel(h, head, "base64", top); err != nil {
		return err
	}
	c.encoder = base64.NewEncoder(base64.StdEncoding, &base64Lines{w: c.w})
	return nil
}

// relabel writes a header section with another transfer encoding. A message
// that is no MIME yet becomes it (rfc1428#3).
func (c *Converter) relabel(h Header, head []byte, encoding string, top bool) error {
	out := make([]byte, 0, len(head)+128)
	for _, f := range h.Fields() {
		if !f.Is("Content-Transfer-Encoding") {
			out = append(out, f.Raw...)
		}
	}
	if top && !h.Has("MIME-Version") {
		out = append(out, "MIME-Version: 1.0\r\n"...)
	}
	if top && !h.Has("Content-Type") {
		out = append(out, "Content-Type: text/plain; charset=unknown-8bit\r\n"...)
	}
	out = append(out, "Content-Transfer-Encoding: "+encoding+"\r\n\r\n"...)
	_, err := c.w.Write(out)
	return err
}

// body takes octets of a body. The end of a line is held back: the one before a
// boundary belongs to the boundary.
func (c *Converter) body(line []byte) error {
	text := line
	var end []byte
	switch {
	case bytes.HasSuffix(line, []byte("\r\n")):
		text, end = line[:len(line)-2], line[len(line)-2:]
	case bytes.HasSuffix(line, []byte("\n")):
		text, end = line[:len(line)-1], line[len(line)-1:]
	}
	w := c.w
	if c.encoder != nil {
		w = c.encoder
	}
	if len(c.pending) > 0 {
		if _, err := w.Write(c.pending); err != nil {
			return err
		}
	}
	c.pending = append(c.pending[:0], end...)
	_, err := w.Write(text)
	return err
}

// endBody ends a body: the encoder writes what it holds, and the line end that
// was held back goes out as it is. last says that nothing follows.
func (c *Converter) endBody(last bool) error {
	if e := c.encoder; e != nil {
		c.encoder = nil
		if last && len(c.pending) > 0 {
			if _, err := e.Write(c.pending); err != nil {
				return err
			}
			if _, quoted := e.(*quotedprintable.Writer); quoted {
				c.pending = c.pending[:0]
			}
		}
		if err := e.Close(); err != nil {
			return err
		}
		if len(c.pending) > 0 {
			c.pending = append(c.pending[:0], "\r\n"...)
		}
	}
	_, err := c.w.Write(c.pending)
	c.pending = c.pending[:0]
	return err
}

// base64Lines breaks base64 into lines of 76 (rfc2045#6.8); the last one has no
// end.
type base64Lines struct {
	w  io.Writer
	at int
}

func (b *base64Lines) Write(p []byte) (int, error) {
	const width = 76
	n := len(p)
	for len(p) > 0 {
		if b.at == width {
			if _, err := io.WriteString(b.w, "\r\n"); err != nil {
				return 0, err
			}
			b.at = 0
		}
		m := min(width-b.at, len(p))
		if _, err := b.w.Write(p[:m]); err != nil {
			return 0, err
		}
		b.at += m
		p = p[m:]
	}
	return n, nil
}
