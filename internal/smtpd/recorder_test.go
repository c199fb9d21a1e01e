package smtpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/sasl"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// recorder is a Handler whose answers stand in the addresses, and which notes
// all that it is told.
type recorder struct {
	refuse reply.Reply // at Connect

	mu    sync.Mutex // guards what follows
	peers []*transaction.Peer
	notes map[*transaction.Peer]*bytes.Buffer
	open  int // transactions
}

func (r *recorder) note(p *transaction.Peer, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notes[p] == nil {
		if r.notes == nil {
			r.notes = make(map[*transaction.Peer]*bytes.Buffer)
		}
		r.notes[p] = new(bytes.Buffer)
		r.peers = append(r.peers, p)
	}
	fmt.Fprintf(r.notes[p], format+"\n", args...)
}

// String returns what was noted session by session: over real sockets the end
// of one may come after the beginning of the next.
func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, p := range r.peers {
		b.WriteString(r.notes[p].String())
	}
	return b.String()
}

func (r *recorder) Connect(_ context.Context, p *transaction.Peer) reply.Reply {
	r.note(p, "connect %s", p.Service)
	return r.refuse
}

func (r *recorder) Close(p *transaction.Peer) { r.note(p, "close") }

// Mechanisms are those of passwords, over TLS.
func (r *recorder) Mechanisms(p *transaction.Peer) []string {
	if p.TLS == nil {
		return nil
	}
	return []string{"PLAIN", "LOGIN"}
}

func (r *recorder) WrongPort(p *transaction.Peer, mechanism, initial string) {
	r.note(p, "wrong port %s %q", mechanism, initial)
}

func (r *recorder) Authenticate(_ context.Context, p *transaction.Peer, mechanism string, _ []byte) (transaction.Exchange, reply.Reply) {
	o, ok := sasl.Find(mechanism)
	switch {
	case !ok || o.Name != "PLAIN" && o.Name != "LOGIN":
		return nil, reply.AuthMechanismUnknown("PLAIN LOGIN")
	case p.TLS == nil:
		return nil, reply.AuthNeedsTLS(mechanism)
	}
	return &recordedLogin{recorder: r, peer: p, machine: o.New(sasl.Channel{})}, reply.Reply{}
}

// recordedLogin is one exchange.
type recordedLogin struct {
	*recorder
	peer    *transaction.Peer
	machine sasl.Mechanism
	started bool
}

func (l *recordedLogin) Next(_ context.Context, response []byte) transaction.Answer {
	step := l.machine.Next
	if !l.started {
		l.started, step = true, l.machine.Start
	}
	switch t := step(response); t.Do {
	case sasl.Respond:
		return transaction.Answer{Challenge: t.Challenge}
	case sasl.Check:
		who, r := l.judge(l.machine.Credentials())
		return transaction.Answer{Identity: who, Reply: r}
	}
	return transaction.Answer{Reply: reply.AuthMalformed(l.machine.Credentials().Mechanism)}
}

func (l *recordedLogin) judge(c sasl.Credentials) (transaction.Identity, reply.Reply) {
	l.note(l.peer, "authenticate %s %q %q %q", c.Mechanism, c.Authorize, c.Login, c.Secret)
	switch {
	case c.Login == "down":
		return transaction.Identity{}, reply.AuthUnavailable()
	case c.Login == "nobody":
		return transaction.Identity{}, reply.AuthOK() // a defect: yes, to nobody
	case c.Login == "disabled" && c.Secret == "secret":
		return transaction.Identity{}, reply.AccountDisabled()
	case c.Login == "anna" && c.Secret == "secret":
		return transaction.Identity{Login: "anna@example.org", Credential: "main"}, reply.Reply{}
	}
	return transaction.Identity{}, reply.CredentialsRejected("L1")
}

func (r *recorder) Mail(_ context.Context, p *transaction.Peer, from address.Mailbox, params smtp.MailParams) (transaction.Transaction, reply.Reply) {
	t := "clear"
	if p.TLS != nil {
		t = p.TLS.Version
	}
	switch from.Local {
	case "defect":
		return nil, reply.Reply{}
	case "panic":
		panic("a defect on purpose")
	case "foreign":
		return nil, reply.SenderNotOwned(p.Login, from)
	}
	r.note(p, "mail %s %+v helo %s %s login %q", from.Path(), params, p.Helo, t, p.Login)
	r.mu.Lock()
	r.open++
	r.mu.Unlock()
	return &recorded{recorder: r, peer: p, lmtp: p.Service == transaction.LMTP}, reply.Reply{}
}

func (r *recorder) Verify(_ context.Context, _ *transaction.Peer, a address.Mailbox) reply.Reply {
	if a.Local == "anna" {
		return reply.RecipientOK()
	}
	return reply.Reply{}
}

// recorded is one transaction.
type recorded struct {
	*recorder
	peer *transaction.Peer
	lmtp bool
	to   []string
	over bool
}

func (t *recorded) end(how string) {
	if !t.over {
		t.over = true
		t.note(t.peer, "%s", how)
		t.mu.Lock()
		t.open--
		t.mu.Unlock()
	}
}

func (t *recorded) Recipient(_ context.Context, to address.Mailbox, params smtp.RcptParams) reply.Reply {
	if t.over {
		panic("a recipient for a transaction that is over")
	}
	switch to.Local {
	case "unknown":
		return reply.MailboxUnknown(to)
	case "later":
		return reply.DirectoryDown()
	case "forward":
		t.to = append(t.to, to.Local)
		t.note(t.peer, "rcpt %s", to.Path())
		return reply.WillForward(address.MustMailbox("anna@example.net"))
	case "panic":
		panic("a defect on purpose")
	case "goodbye":
		return reply.ShuttingDown("mx.example.org")
	}
	t.to = append(t.to, to.Local)
	t.note(t.peer, "rcpt %s %+v", to.Path(), params)
	return reply.Reply{}
}

func (t *recorded) Content(context.Context) (transaction.Content, reply.Reply) {
	switch t.to[0] {
	case "full":
		return nil, reply.StorageLow()
	case "nocontent":
		return nil, reply.Reply{}
	}
	return &recordedContent{recorded: t}, reply.Reply{}
}

func (t *recorded) Abort() { t.end("abort") }

// recordedContent is the content of one transaction.
type recordedContent struct {
	*recorded
	text    bytes.Buffer
	refusal reply.Reply
	failed  bool
}

func (c *recordedContent) Write(p []byte) (int, error) {
	if c.refusal != (reply.Reply{}) || c.failed || c.over {
		panic("content is written after it was refused")
	}
	if bytes.Contains(p, []byte("disk-full")) {
		c.failed = true
		return 0, errors.New("the disk is full")
	}
	return c.text.Write(p)
}

func (c *recordedContent) Refuse(r reply.Reply) {
	if !c.refusal.IsZero() {
		panic("content is refused twice")
	}
	c.refusal = r
}

func (c *recordedContent) Commit(context.Context) []reply.Reply {
	refusal := c.refusal
	if c.failed {
		refusal = reply.StorageLow()
	}
	if !refusal.IsZero() {
		c.end("refused " + refusal.Name())
		return []reply.Reply{refusal}
	}
	text := c.text.String()
	switch {
	case strings.Contains(text, "panic"):
		panic("a defect on purpose")
	case strings.Contains(text, "no-reply"):
		c.end("lost")
		return nil
	case strings.Contains(text, "zero-reply"):
		c.end("lost")
		return []reply.Reply{{}}
	}
	c.end(fmt.Sprintf("content %d %q", len(text), clipped(text)))
	if !c.lmtp {
		return []reply.Reply{reply.Queued("Q1")}
	}
	var all []reply.Reply
	for _, to := range c.to {
		if to == "full2" {
			all = append(all, reply.StorageLow())
		} else {
			all = append(all, reply.Queued("Q-"+to))
		}
	}
	return all
}

func clipped(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
