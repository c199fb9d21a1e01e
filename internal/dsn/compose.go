package dsn

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"io"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/smtp"
)

// part is one part of the report: its header fields and its encoded content,
// both with CRLF line ends.
type part struct {
	header, content string
}

// Compose writes the report. The error is ErrReport, or what Body gave; the
// report is bounded by MaxReturned and the recipients' texts.
func Compose(r Report) (Composed, error) {
	if err := r.check(); err != nil {
		return Composed{}, err
	}
	original, err := message.ParseHeader(r.Header)
	if err != nil {
		original = message.Header{} // it is returned as far as it goes, not read
	}
	third, returned, err := r.returned()
	if err != nil {
		return Composed{}, err
	}
	lang := language(r.Lang)
	parts := []part{
		textPart(r.human(original, returned), lang),
		{"Content-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n", r.deliveryStatus()},
	}
	if returned != "alone" {
		parts = append(parts, third)
	}
	boundary := r.boundary(parts)
	var b bytes.Buffer
	r.header(&b, original, lang, boundary)
	for _, p := range parts {
		b.WriteString("\r\n--" + boundary + "\r\n" + p.header + "\r\n" + p.content)
	}
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return Composed{
		Content:  b.Bytes(),
		EightBit: !isASCII(b.String()),
		UTF8:     !r.To.IsASCII() || !r.From.IsASCII(),
	}, nil
}

// check holds the report against what cannot be left out.
func (r *Report) check() error {
	switch {
	case r.Kind.String() == "":
		return fmt.Errorf("%w: it has no kind", ErrReport)
	case r.ReportingMTA == "" || r.MessageID == "":
		return fmt.Errorf("%w: the host name or the message identifier is missing", ErrReport)
	case r.From.IsZero():
		return fmt.Errorf("%w: it has no From address", ErrReport)
	case r.To.IsZero():
		return fmt.Errorf("%w: the reverse-path is null, to which nothing is reported (rfc5321#6.1)", ErrReport)
	case len(r.Recipients) == 0 || len(r.Recipients) > MaxReported:
		return fmt.Errorf("%w: it is about %d recipients; 1 to %d are possible", ErrReport, len(r.Recipients), MaxReported)
	}
	for i := range r.Recipients {
		if r.Recipients[i].Original.IsZero() {
			return fmt.Errorf("%w: recipient %d has no original address", ErrReport, i)
		}
	}
	return nil
}

// header writes the report's own header section.
func (r *Report) header(b *bytes.Buffer, original message.Header, lang, boundary string) {
	first := &r.Recipients[0]
	address := escape(first.Original.Unicode())
	if more := len(r.Recipients) - 1; more > 0 {
		address = say(lang, "dsn.subject.many", "address", address, "more", strconv.Itoa(more))
	}
	b.WriteString(message.Fold("Date", message.FormatDate(r.Now)))
	b.WriteString(message.Fold("From", message.FormatAddress(say(lang, "dsn.from"), r.From)))
	b.WriteString(message.Fold("To", r.To.String()))
	b.WriteString(message.TextField("Subject", say(lang, "dsn.subject."+first.action(r.Kind).String(), "address", address)))
	b.WriteString(message.Fold("Message-ID", r.MessageID))
	if id := original.Value("Message-ID"); isMessageID(id) {
		b.WriteString(message.Fold("In-Reply-To", id))
		b.WriteString(message.Fold("References", id))
	}
	b.WriteString("Auto-Submitted: auto-replied\r\n") // rfc3834#5
	b.WriteString("MIME-Version: 1.0\r\n")
	b.WriteString("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" + boundary + "\"\r\n")
	b.WriteString("Content-Language: " + lang + "\r\n")
}

// isMessageID reports whether a stranger's value is one plain identifier.
func isMessageID(s string) bool {
	const longest = 250
	if len(s) < 3 || len(s) > longest || s[0] != '<' || s[len(s)-1] != '>' {
		return false
	}
	for _, c := range []byte(s[1 : len(s)-1]) {
		if c <= ' ' || c >= 0x7f || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// textPart encodes the part for people: as it is where it is ASCII, else in
// the encoding that is shorter.
func textPart(text, lang string) part {
	head := "Content-Type: text/plain; charset=utf-8\r\nContent-Language: " + lang + "\r\nContent-Disposition: inline\r\n"
	return encoded(head, strings.ReplaceAll(text, "\n", "\r\n"))
}

// encoded makes a part whose content is 7-bit, whatever the text.
func encoded(head, text string) part {
	if isASCII(text) && fitsLines(text) {
		return part{head, text}
	}
	var q strings.Builder
	w := quotedprintable.NewWriter(&q)
	_, _ = io.WriteString(w, text) // a strings.Builder takes everything
	_ = w.Close()
	if base := base64Lines(text); len(base) < q.Len() {
		return part{head + "Content-Transfer-Encoding: base64\r\n", base}
	}
	return part{head + "Content-Transfer-Encoding: quoted-printable\r\n", q.String()}
}

// base64Lines is text in base64, in lines of 76 characters (rfc2045#6.8).
func base64Lines(text string) string {
	const width = 76
	all := base64.StdEncoding.EncodeToString([]byte(text))
	var b strings.Builder
	for len(all) > 0 {
		n := min(width, len(all))
		b.WriteString(all[:n] + "\r\n")
		all = all[n:]
	}
	return b.String()
}

// returned makes the third part (rfc6522#3) and says what it is: "message",
// "header", or "alone" if there is nothing to return.
func (r *Report) returned() (part, string, error) {
	if r.Ret == smtp.RetFull && r.Body != nil && r.Size <= MaxReturned && r.Kind == Failed { // rfc3461#4.3
		whole, err := io.ReadAll(io.LimitReader(r.Body, int64(MaxReturned-min(len(r.Header), MaxReturned)+1)))
		if err != nil {
			return part{}, "", fmt.Errorf("read the message that is to be returned: %w", err)
		}
		text := crlf(string(r.Header) + string(whole))
		if len(r.Header)+len(whole) <= MaxReturned && fitsLines(text) {
			return messagePart(text, isASCII(string(r.Header))), "message", nil
		}
	}
	text := crlf(headerOnly(r.Header))
	if text == "" {
		return part{}, "alone", nil
	}
	if !isASCII(text) && utf8.ValidString(text) {
		return encoded("Content-Description: Header of the message\r\nContent-Type: message/global-headers\r\n", text), "header", nil // rfc6533#4
	}
	return encoded("Content-Description: Header of the message\r\nContent-Type: text/rfc822-headers\r\n", text), "header", nil // rfc6522#4
}

// messagePart returns a message whole, unencoded as message/rfc822 has to be
// (rfc2046#5.2.1).
func messagePart(text string, plain bool) part {
	kind := "message/rfc822"
	if !plain {
		kind = "message/global" // rfc6532#3.7
	}
	head := "Content-Description: The message\r\nContent-Type: " + kind + "\r\n"
	if !isASCII(text) {
		head += "Content-Transfer-Encoding: 8bit\r\n"
	}
	return part{head, text}
}

// headerOnly is a header section without its empty line, cut after a line if
// it is too large.
func headerOnly(header []byte) string {
	s := string(header)
	if len(s) > MaxReturnedHeader {
		s = s[:MaxReturnedHeader]
		s = s[:strings.LastIndexByte(s, '\n')+1]
	}
	if s == "\r\n" || s == "\n" {
		return ""
	}
	for _, end := range []string{"\n\r\n", "\n\n"} {
		if strings.HasSuffix(s, end) {
			return s[:len(s)-len(end)+1]
		}
	}
	return s
}

// crlf ends every line, also the last, with CRLF and leaves no other CR or LF.
func crlf(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	b.Grow(len(s) + 2)
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		b.WriteString(strings.ReplaceAll(line, "\r", ""))
		b.WriteString("\r\n")
	}
	return b.String()
}

// fitsLines reports whether text can be sent as it is: no NUL, no line longer
// than the limit.
func fitsLines(text string) bool {
	for line := range strings.Lines(text) {
		if len(line) > message.MaxLine+len("\r\n") {
			return false
		}
	}
	return !strings.Contains(text, "\x00")
}

// boundary makes a boundary that is in none of the parts: whoever wrote them
// could not know it, and should they have it all the same, it is another.
func (r *Report) boundary(parts []part) string {
	for n := 0; ; n++ {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %d %d", r.MessageID, r.Now.UnixNano(), n)
		boundary := fmt.Sprintf("=_onward_%016x", h.Sum64()) // "=_" is in no quoted-printable (rfc2045#6.7)
		taken := false
		for _, p := range parts {
			taken = taken || strings.Contains(p.content, boundary)
		}
		if !taken {
			return boundary
		}
	}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
