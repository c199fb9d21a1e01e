package control

import (
	"context"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// Envelope is what a program on this machine submits a message with.
type Envelope struct {
	From       string   `json:"from"` // "" is the null reverse-path
	Recipients []string `json:"recipients"`
}

// MaxEnvelope is how many recipients an envelope may have; the server's own
// limit for one message may be lower.
const MaxEnvelope = 10_000

// MaxSubmission is the largest message that is read, in octets; the server's
// own limit is usually lower.
const MaxSubmission = 1 << 30

// Submitted is what came of a submission.
type Submitted struct {
	// Message is its id in the queue, "" if no recipient was accepted.
	Message  string             `json:"message,omitempty"`
	Accepted []string           `json:"accepted"`
	Refused  []RefusedRecipient `json:"refused"`
}

// RefusedRecipient is a recipient that was not accepted, and our reply.
type RefusedRecipient struct {
	Address string `json:"address"`
	Reply   string `json:"reply"`
}

// Submit takes a message of a program on this machine through the same
// decisions as one that came by SMTP. The content may have any line endings.
// Recipients that are refused are named; the others get the message. Temporary
// trouble with any of them refuses the whole, so that trying again makes no
// second copy.
func (s *Service) Submit(ctx context.Context, e Envelope, content io.Reader) (Submitted, error) {
	done := Submitted{Accepted: []string{}, Refused: []RefusedRecipient{}}
	from, to, err := e.parse()
	if err != nil {
		return done, err
	}
	peer := &transaction.Peer{Session: s.session(), Service: transaction.Local, Extended: true, Credential: actor(ctx)}
	defer s.opt.Intake.Close(peer)
	params := smtp.MailParams{UTF8: !from.IsASCII()}
	for _, m := range to {
		params.UTF8 = params.UTF8 || !m.IsASCII()
	}
	tx, r := s.opt.Intake.Mail(ctx, peer, from, params)
	if tx == nil {
		return done, said("the sender "+from.Path()+" is refused", r)
	}
	defer tx.Abort()
	for _, m := range to {
		r := tx.Recipient(ctx, m, smtp.RcptParams{})
		switch {
		case r.Positive():
			done.Accepted = append(done.Accepted, m.String())
		case r.Temporary():
			return Submitted{}, said("the recipient "+m.Path()+" cannot be taken now", r)
		default:
			done.Refused = append(done.Refused, RefusedRecipient{m.String(), r.String()})
		}
	}
	if len(done.Accepted) == 0 {
		return done, nil
	}
	body, r := tx.Content(ctx)
	if body == nil {
		return done, said("the message is refused", r)
	}
	if err := s.receive(body, content); err != nil {
		return done, err
	}
	r = body.Commit(ctx)[0]
	if !r.Positive() {
		return done, said("the message is refused", r)
	}
	done.Message = queuedID(r)
	return done, nil
}

// receive copies the content with CRLF line endings, up to the largest size of
// a message.
func (s *Service) receive(body transaction.Content, content io.Reader) error {
	limit := int64(MaxSubmission)
	if s.opt.MaxSize != nil {
		limit = min(limit, s.opt.MaxSize())
	}
	w := &crlfWriter{w: body}
	n, err := io.Copy(w, io.LimitReader(content, limit+1))
	switch {
	case w.err != nil:
		return nil // Commit answers for it
	case err != nil:
		return fail(Failed, "read the message: %v", err)
	case n > limit:
		body.Refuse(reply.MessageTooLargeContent(strconv.FormatInt(limit, 10)))
		return nil
	}
	w.end()
	return nil
}

func (e Envelope) parse() (from address.Mailbox, to []address.Mailbox, err error) {
	if e.From != "" && e.From != "<>" {
		if from, err = parseMailbox(e.From); err != nil {
			return from, nil, err
		}
	}
	if len(e.Recipients) == 0 {
		return from, nil, fail(Invalid, "the message has no recipients; name them, or use -t to take them from its header")
	}
	if len(e.Recipients) > MaxEnvelope {
		return from, nil, fail(Invalid, "the message has %d recipients; at most %d", len(e.Recipients), MaxEnvelope)
	}
	for _, text := range e.Recipients {
		m, err := parseMailbox(text)
		if err != nil {
			return from, nil, err
		}
		to = append(to, m)
	}
	return from, to, nil
}

// said makes an error of a reply of ours.
func said(what string, r reply.Reply) error {
	kind := Refused
	if r.Temporary() {
		kind = Unavailable
	}
	return fail(kind, "%s: %s", what, r)
}

// queuedID is the id in our own «250 2.0.0 … queued as ID».
func queuedID(r reply.Reply) string {
	words := strings.Fields(r.String())
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// session names a session of ours in logs.
func (s *Service) session() string {
	return "local-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(s.sessions.Add(1), 10)
}

// crlfWriter makes every line end with CRLF, whatever it ended with
// (rfc5321#2.3.8: a bare CR or LF is never sent).
type crlfWriter struct {
	w    io.Writer
	buf  []byte
	cr   bool // the last octet was a CR
	last byte
	err  error // of w
}

func (c *crlfWriter) Write(p []byte) (int, error) {
	c.buf = c.buf[:0]
	for _, b := range p {
		switch {
		case b == '\n' && c.cr: // its CRLF has been written
		case b == '\n', b == '\r':
			c.buf = append(c.buf, '\r', '\n')
		default:
			c.buf = append(c.buf, b)
		}
		c.cr = b == '\r'
	}
	if len(c.buf) > 0 {
		c.last = c.buf[len(c.buf)-1]
		if _, c.err = c.w.Write(c.buf); c.err != nil {
			return 0, c.err
		}
	}
	return len(p), nil
}

// end completes the last line. An error is kept by the content.
func (c *crlfWriter) end() {
	if c.last != '\n' && c.last != 0 {
		_, c.err = c.w.Write([]byte("\r\n"))
	}
}

// Submit submits over c; see Service.Submit.
func (c *Conn) Submit(ctx context.Context, e Envelope, content io.Reader) (Submitted, error) {
	if c.service != nil {
		done, err := c.service.Submit(here(ctx), e, content)
		if err != nil {
			return done, typed(err)
		}
		return done, nil
	}
	return c.submit(ctx, e, content)
}
