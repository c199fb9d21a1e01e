package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Errors of a reply that we hear. After any of them the connection is of no
// use, because nobody knows where the next reply begins.
var (
	// ErrReplySyntax means that a line is no line of a reply.
	ErrReplySyntax = errors.New("not an SMTP reply")
	// ErrReplyTooLong means that a line or a reply exceeds MaxReplyLine or
	// MaxReplyLines.
	ErrReplyTooLong = errors.New("the reply is longer than we read")
)

// ReplyLine is one line of a reply that we hear.
type ReplyLine struct {
	Code int
	// More says that another line of the same reply follows.
	More bool
	// Enhanced is the enhanced status code, "" if the line has none that agrees
	// with Code (rfc2034#4).
	Enhanced string
	// Text is what is left, a stranger's, at most MaxReplyLine octets.
	Text string
}

// ParseReplyLine reads Reply-line (rfc5321#4.2), given without its line ending.
// A line with a code and no text is accepted, as the RFC asks of clients.
func ParseReplyLine(line []byte) (ReplyLine, error) {
	if len(line) > MaxReplyLine {
		return ReplyLine{}, ErrReplyTooLong
	}
	if len(line) < 3 || !isDigits(string(line[:3])) {
		return ReplyLine{}, notReply(line)
	}
	l := ReplyLine{Code: int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')}
	if l.Code < 200 || l.Code > 599 {
		return ReplyLine{}, notReply(line)
	}
	line = line[3:]
	if len(line) == 0 {
		return l, nil
	}
	switch line[0] {
	case '-':
		l.More = true
	case ' ':
	default:
		return ReplyLine{}, notReply(line)
	}
	l.Enhanced, l.Text = splitEnhanced(l.Code, string(line[1:]))
	return l, nil
}

func notReply(line []byte) error {
	const most = 60
	return fmt.Errorf("%w: %q", ErrReplySyntax, line[:min(len(line), most)])
}

// splitEnhanced takes an enhanced status code off the head of text
// (rfc2034#4): class "." subject "." detail, whose class is that of the reply.
func splitEnhanced(code int, text string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(text, " ")
	class, tail, ok := strings.Cut(word, ".")
	subject, detail, more := strings.Cut(tail, ".")
	if !ok || !more || len(class) != 1 || class[0] != byte('0'+code/100) || class[0] == '3' ||
		!isPart(subject) || !isPart(detail) {
		return "", text
	}
	return word, rest
}

// isPart holds s against 1*3DIGIT (rfc3463#2).
func isPart(s string) bool { return len(s) >= 1 && len(s) <= 3 && isDigits(s) }

// ReplyParser puts the lines of a reply together. The zero ReplyParser waits
// for the first line.
type ReplyParser struct{ got Reply }

// Add takes the next line, without its line ending, and reports whether the
// reply is complete; it is then returned and the next one begins.
func (p *ReplyParser) Add(line []byte) (r Reply, complete bool, err error) {
	l, err := ParseReplyLine(line)
	switch {
	case err != nil:
		return Reply{}, false, err
	case p.got.Code == 0:
		p.got = Reply{Code: l.Code, Enhanced: l.Enhanced}
	case p.got.Code != l.Code: // rfc5321#4.2.1: all lines carry the same code
		return Reply{}, false, fmt.Errorf("%w: a line with the code %d goes on with %d", ErrReplySyntax, p.got.Code, l.Code)
	case len(p.got.Lines) == MaxReplyLines:
		return Reply{}, false, ErrReplyTooLong
	}
	if l.Enhanced != p.got.Enhanced && l.Enhanced != "" {
		// Rare, and the text is what counts: keep what Reply has no place for.
		l.Text = l.Enhanced + " " + l.Text
	}
	p.got.Lines = append(p.got.Lines, l.Text)
	if l.More {
		return Reply{}, false, nil
	}
	r, p.got = p.got, Reply{}
	return r, true, nil
}

// ReplyReader reads replies from a connection. Deadlines are the caller's. It
// holds at most MaxReplyLine octets beyond the reply that it is reading.
type ReplyReader struct {
	r          io.Reader
	parser     ReplyParser
	buf        []byte
	start, end int
}

// NewReplyReader returns a ReplyReader over r.
func NewReplyReader(r io.Reader) *ReplyReader {
	return &ReplyReader{r: r, buf: make([]byte, MaxReplyLine)}
}

// Buffered returns how many octets have been read from the connection and
// belong to no reply yet.
func (rr *ReplyReader) Buffered() int { return rr.end - rr.start }

// Reset makes rr read from r and throws away what it holds. It is due after
// STARTTLS: what came in clear must not count as said within TLS
// (rfc3207#4.2).
func (rr *ReplyReader) Reset(r io.Reader) {
	rr.r, rr.parser, rr.start, rr.end = r, ReplyParser{}, 0, 0
}

// ReadReply reads one reply. An error is of the connection, or wraps
// ErrReplySyntax or ErrReplyTooLong; a connection that ends within a reply is
// io.ErrUnexpectedEOF, one that ends before it io.EOF.
func (rr *ReplyReader) ReadReply() (Reply, error) {
	for {
		line, err := rr.line()
		if err != nil {
			if err == io.EOF && rr.parser.got.Code != 0 {
				err = io.ErrUnexpectedEOF
			}
			return Reply{}, err
		}
		r, complete, err := rr.parser.Add(line)
		if err != nil || complete {
			return r, err
		}
	}
}

// line returns the next line without its line ending. Servers that end lines
// with LF alone are understood. It is valid until the next call.
func (rr *ReplyReader) line() ([]byte, error) {
	scanned := 0
	for {
		if i := bytes.IndexByte(rr.buf[rr.start+scanned:rr.end], '\n'); i >= 0 {
			line := rr.buf[rr.start : rr.start+scanned+i]
			rr.start += len(line) + 1
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		scanned = rr.end - rr.start
		if scanned == len(rr.buf) {
			return nil, ErrReplyTooLong
		}
		if rr.start > 0 {
			copy(rr.buf, rr.buf[rr.start:rr.end])
			rr.start, rr.end = 0, scanned
		}
		n, err := rr.r.Read(rr.buf[rr.end:])
		rr.end += n
		if n == 0 && err != nil {
			if err == io.EOF && scanned > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}
