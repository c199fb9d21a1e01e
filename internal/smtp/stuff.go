package smtp

import (
	"bytes"
	"errors"
	"io"
)

// ErrBareLineEnding means that content which is to be sent has a CR or LF on
// its own. We send no such content: a server that takes it for a line ending
// might see a second message in it.
var ErrBareLineEnding = errors.New("the content has a CR or LF that is not part of a CR LF")

// end is what ends the content after its last CRLF.
const end = ".\r\n"

// DotWriter frames content for DATA (rfc5321#4.5.2) on its way to W: a dot is
// put before every line that begins with one, and Close ends it. It keeps
// nothing: each Write hands W the pieces between the dots, so W should be
// buffered.
type DotWriter struct {
	W io.Writer

	lines LineScanner
}

// Write frames the next piece of the content. It fails with ErrBareLineEnding
// before anything of a piece is written that has one.
func (w *DotWriter) Write(p []byte) (int, error) {
	lineStart := !w.lines.text
	w.lines.Scan(p)
	if w.lines.Bare() {
		return 0, ErrBareLineEnding
	}
	from, n := 0, 0 // p[:from] is written, and no line begins in p[from:n]
	if lineStart && len(p) > 0 && p[0] == '.' {
		if _, err := io.WriteString(w.W, "."); err != nil {
			return 0, err
		}
	}
	for {
		i := bytes.Index(p[n:], []byte("\n."))
		if i < 0 {
			m, err := w.W.Write(p[from:])
			return from + m, err
		}
		n += i + 1
		if m, err := w.W.Write(p[from:n]); err != nil {
			return from + m, err
		}
		if _, err := io.WriteString(w.W, "."); err != nil {
			return n, err
		}
		from = n
	}
}

// Close ends the content: with the CRLF of its last line, if that lacks one,
// and the final dot. It does not close W, nor flush it.
func (w *DotWriter) Close() error {
	unfinished := w.lines.End()
	if w.lines.Bare() {
		return ErrBareLineEnding
	}
	if unfinished {
		if _, err := io.WriteString(w.W, "\r\n"); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w.W, end)
	return err
}

// AppendDotStuffed appends whole content, framed for DATA with its final dot,
// to dst. It fails with ErrBareLineEnding, and dst is then as it was.
func AppendDotStuffed(dst, content []byte) ([]byte, error) {
	b := appender{dst}
	w := DotWriter{W: &b}
	if _, err := w.Write(content); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return b.b, nil
}

// appender is an io.Writer over a slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}
