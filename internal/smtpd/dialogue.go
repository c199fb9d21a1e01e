package smtpd

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
)

// condition is what a command needs beside its least stage.
type condition uint8

const (
	// bare: it takes no argument.
	bare condition = 1 << iota
	// user: where users log in, it needs the login first.
	user
	// apart: it may not come while a transaction is open.
	apart
	// whole: it may not come between chunks.
	whole
	// lmtpOnly, smtpOnly: where it is spoken.
	lmtpOnly
	smtpOnly
	// still: it moves nothing.
	still
)

// maxStill is how often a client may say what moves nothing before a message of
// its is accepted: commands like NOOP, commands that are refused for the time
// being, chunks of next to nothing. Each more is an error.
const maxStill = 1000

// maxSurplus is how many recipients a client may name beyond the limit before a
// message of its is accepted: many name all that they have and come again with
// those that were put off.
const maxSurplus = 10_000

// row is one command of the dialogue. check looks at all of it but proceed,
// which may then rely on it.
type row struct {
	verb    smtp.Verb
	least   stage
	flags   condition
	proceed func(*Session, context.Context, string) Next
}

// dialogue returns the row of a verb.
//
//	rfc5321#4.1.4: HELP, NOOP, RSET, VRFY and EXPN may come at any time.
func dialogue(v smtp.Verb) (row, bool) {
	switch v {
	case smtp.EHLO:
		return row{v, greeted, smtpOnly | still, (*Session).ehlo}, true
	case smtp.HELO:
		return row{v, greeted, smtpOnly | still, (*Session).helo}, true
	case smtp.LHLO:
		return row{v, greeted, lmtpOnly | still, (*Session).ehlo}, true
	case smtp.STARTTLS:
		return row{v, known, bare, (*Session).startTLS}, true
	case smtp.AUTH:
		return row{v, known, 0, (*Session).auth}, true
	case smtp.MAIL:
		return row{v, known, user | apart, (*Session).mail}, true
	case smtp.RCPT:
		return row{v, mailing, user | whole, (*Session).rcpt}, true
	case smtp.DATA:
		return row{v, addressed, user | whole | bare, (*Session).data}, true
	case smtp.BDAT:
		return row{v, addressed, user, (*Session).bdat}, true
	case smtp.RSET:
		return row{v, greeted, bare | still, (*Session).rset}, true
	case smtp.NOOP:
		return row{v, greeted, still, (*Session).noop}, true
	case smtp.QUIT:
		return row{v, greeted, bare, (*Session).quit}, true
	case smtp.VRFY:
		return row{v, greeted, user | still, (*Session).vrfy}, true
	case smtp.EXPN:
		return row{v, greeted, user | still, (*Session).expn}, true
	case smtp.HELP:
		return row{v, greeted, still, (*Session).help}, true
	case smtp.XCLIENT:
		return row{v, greeted, apart, (*Session).xclient}, true
	default:
		return row{}, false
	}
}

// command takes a line that is a command: check first, then proceed.
func (s *Session) command(ctx context.Context, line []byte) Next {
	first := !s.spoken
	s.spoken = true
	if first && smtp.IsHTTP(line) {
		return s.bye(reply.HTTPRefused(s.options.Hostname))
	}
	c, err := smtp.ParseCommand(line)
	if err != nil {
		return s.answer(reply.NotText())
	}
	if s.turned && c.Verb != smtp.QUIT {
		return s.answer(reply.TurnedAway())
	}
	r, ok := dialogue(c.Verb)
	if !ok {
		if c.Name == "" {
			c.Name = "An empty verb"
		}
		return s.answer(reply.CommandUnknown(c.Name))
	}
	if len(line)+2 > c.Verb.MaxLine() {
		if c.Verb == smtp.AUTH && s.profile.Login {
			return s.answer(reply.AuthLineTooLong())
		}
		return s.answer(reply.LineTooLong())
	}
	if no := s.check(r, c.Arg); !no.IsZero() {
		if c.Verb == smtp.BDAT {
			return s.bdatRefused(c.Arg, no)
		}
		return s.answer(no)
	}
	if r.flags&still != 0 && s.stuck() {
		return s.bye(reply.TooManyErrors(s.options.Hostname))
	}
	return r.proceed(s, ctx, c.Arg)
}

// check returns why a command may not come now, or the zero Reply.
func (s *Session) check(r row, arg string) reply.Reply {
	switch {
	case r.flags&lmtpOnly != 0 && !s.profile.LMTP:
		return reply.CommandUnknown(r.verb.String())
	case r.flags&smtpOnly != 0 && s.profile.LMTP: // rfc2033#4.1
		return reply.NotImplemented(r.verb.String())
	case r.verb == smtp.XCLIENT && len(s.options.XClient) == 0:
		return reply.CommandUnknown(r.verb.String())
	case r.verb == smtp.XCLIENT && !s.mayXClient():
		return reply.XClientDenied("it is not among those that speak for others")
	case r.verb == smtp.AUTH && !s.profile.Login:
		return s.wrongPort(arg)
	case r.verb == smtp.STARTTLS && s.options.TLS == nil:
		return reply.NotImplemented(r.verb.String())
	case r.least >= known && s.stage < known: // rfc5321#4.1.4
		return reply.HelloFirst()
	case r.flags&user != 0 && s.profile.Login && s.peer.Login == "": // rfc4954#6, rfc6409#4.3
		if s.peer.TLS == nil && s.options.TLS != nil {
			return reply.TLSRequired() // rfc3207#4
		}
		return reply.AuthRequired()
	case r.least >= mailing && s.stage < mailing: // rfc5321#3.3
		return reply.MailFirst()
	case r.least >= addressed && s.stage < addressed:
		return reply.NoRecipients()
	case r.flags&apart != 0 && s.stage >= mailing, r.flags&whole != 0 && s.stage == chunking: // rfc3030#2
		return reply.MailNested()
	case r.flags&bare != 0 && arg != "":
		return reply.NoArgument(r.verb.String())
	}
	return reply.Reply{}
}

// ehlo answers EHLO and LHLO (rfc5321#4.1.1.1, rfc2033#4.1).
func (s *Session) ehlo(_ context.Context, arg string) Next {
	if no := s.hello(arg, true); !no.IsZero() {
		return s.answer(no)
	}
	return s.answer(reply.Extensions(s.options.Hostname, s.keywords()))
}

// helo answers HELO.
func (s *Session) helo(_ context.Context, arg string) Next {
	if no := s.hello(arg, false); !no.IsZero() {
		return s.answer(no)
	}
	return s.answer(reply.Hello(s.options.Hostname))
}

// hello notes what the client calls itself. It ends an open transaction, as
// RSET does; a hello that is refused changes nothing (rfc5321#4.1.4).
func (s *Session) hello(arg string, extended bool) reply.Reply {
	name, err := smtp.ParseHello(arg)
	if err != nil {
		return reply.HelloSyntax()
	}
	s.abort()
	s.stage = known
	s.peer.Helo, s.peer.Extended = name, extended
	return reply.Reply{}
}

// maxLimit is the largest figure that LIMITS can say, six digits (rfc9422#4).
const maxLimit = 999_999

// keywords are the lines of the answer to EHLO in the present state.
func (s *Session) keywords() []string {
	words := []string{
		"PIPELINING", // rfc2920#3
		"SIZE " + strconv.FormatInt(s.options.MaxSize, 10), // rfc1870#3
		"8BITMIME",            // rfc6152#2
		"BINARYMIME",          // rfc3030#3
		"CHUNKING",            // rfc3030#2
		"SMTPUTF8",            // rfc6531#3.1
		"DSN",                 // rfc3461#4
		"ENHANCEDSTATUSCODES", // rfc2034#3
		"LIMITS RCPTMAX=" + strconv.Itoa(min(s.options.MaxRecipients, maxLimit)) +
			" MAILMAX=" + strconv.Itoa(min(s.options.MaxMails, maxLimit)), // rfc9422#4
	}
	if s.peer.TLS != nil {
		words = append(words, "REQUIRETLS") // rfc8689#2: over TLS only
	}
	if s.options.TLS != nil && s.peer.TLS == nil {
		words = append(words, "STARTTLS") // rfc3207#4
	}
	if offered := s.mechanisms(); len(offered) > 0 {
		words = append(words, "AUTH "+strings.Join(offered, " ")) // rfc4954#3
	}
	if s.mayXClient() {
		words = append(words, s.xclientKeywords())
	}
	return append(words, "HELP")
}

// offered are the extensions with parameters, in the present state.
func (s *Session) offered() smtp.Extensions {
	x := smtp.ExtSize | smtp.Ext8BitMIME | smtp.ExtBinaryMIME | smtp.ExtSMTPUTF8 | smtp.ExtDSN
	if s.peer.TLS != nil {
		x |= smtp.ExtRequireTLS
	}
	if s.profile.Login && (s.peer.TLS != nil || s.peer.Login != "") {
		x |= smtp.ExtAuth // rfc4954#5
	}
	return x
}

// startTLS answers STARTTLS (rfc3207#4).
func (s *Session) startTLS(context.Context, string) Next {
	switch {
	case s.peer.TLS != nil:
		return s.answer(reply.TLSActive())
	case s.transaction != nil:
		return s.answer(reply.TLSInTransaction())
	case s.options.TLS() == nil:
		return s.answer(reply.TLSUnavailable())
	}
	return s.next(StartTLS, reply.TLSReady())
}

// mail answers MAIL (rfc5321#4.1.1.2).
func (s *Session) mail(ctx context.Context, arg string) Next {
	if s.mails++; s.mails > s.options.MaxMails { // rfc9422#4.1: refused ones count
		return s.answer(reply.TooManyMessages(s.options.Hostname))
	}
	from, params, err := smtp.ParseMail(arg, s.offered())
	if err != nil {
		return s.answer(misread(err))
	}
	if params.Size > s.options.MaxSize { // rfc1870#6.1
		return s.answer(reply.MessageTooLarge(strconv.FormatInt(s.options.MaxSize, 10)))
	}
	if s.pace != nil && s.peer.Login == "" {
		if wait := s.pace(); wait > 0 {
			return s.answer(reply.SendingTooFast(wait))
		}
	}
	t, r := s.handler.Mail(ctx, s.peer, from, params)
	switch {
	case !r.IsZero() && !r.Positive():
		if t != nil {
			t.Abort()
		}
		return s.answer(r)
	case t == nil:
		s.defect("Mail returned neither a transaction nor a refusal")
		return s.answer(reply.TryLater())
	case r.IsZero():
		r = reply.SenderOK()
	}
	s.transaction = t
	s.utf8, s.binary = params.UTF8, params.Body == smtp.BodyBinaryMIME
	s.stage = mailing
	return s.answer(r)
}

// rcpt answers RCPT (rfc5321#4.1.1.3).
func (s *Session) rcpt(ctx context.Context, arg string) Next {
	to, params, err := smtp.ParseRcpt(arg, s.offered(), s.utf8)
	if err != nil {
		return s.answer(misread(err))
	}
	if s.accepted >= s.options.MaxRecipients {
		no := reply.TooManyRecipients() // rfc5321#4.5.3.1.10
		if s.surplus++; s.surplus > maxSurplus {
			return s.bye(no, reply.TooManyErrors(s.options.Hostname))
		}
		return s.next(ReadCommand, no) // it has a bound of its own
	}
	r := s.transaction.Recipient(ctx, to, params)
	if r.IsZero() {
		r = reply.RecipientOK()
	}
	if r.Positive() {
		s.accepted++
		s.stage = addressed
	}
	return s.answer(r)
}

// misread picks the reply for a syntax error.
func misread(err error) reply.Reply {
	var e *smtp.Error
	if !errors.As(err, &e) {
		return reply.SyntaxError(err.Error())
	}
	switch e.Fault {
	case smtp.FaultText:
		return reply.NotText()
	case smtp.FaultReversePath:
		return reply.SenderSyntax(e.Rule)
	case smtp.FaultForwardPath:
		return reply.RecipientSyntax(e.Rule)
	case smtp.FaultNonASCII:
		return reply.NonASCIIAddress()
	case smtp.FaultParameter:
		return reply.ParameterValue(e.Keyword, e.Rule)
	case smtp.FaultUnknownParameter:
		return reply.ParameterUnknown(e.Keyword)
	case smtp.FaultBase64:
		return reply.AuthUndecodable()
	default:
		return reply.SyntaxError(e.Rule)
	}
}

// rset answers RSET (rfc5321#4.1.1.5).
func (s *Session) rset(context.Context, string) Next {
	s.abort()
	return s.answer(reply.Done())
}

// noop answers NOOP; its argument is ignored (rfc5321#4.1.1.9).
func (s *Session) noop(context.Context, string) Next { return s.answer(reply.Done()) }

// quit answers QUIT, at any time (rfc5321#4.1.1.10).
func (s *Session) quit(context.Context, string) Next { return s.answer(reply.Bye(s.options.Hostname)) }

// vrfy answers VRFY (rfc5321#3.5).
func (s *Session) vrfy(ctx context.Context, arg string) Next {
	if arg == "" {
		return s.answer(reply.SyntaxError("VRFY user@example.org"))
	}
	a, err := smtp.ParseVerify(arg, s.offered().Has(smtp.ExtSMTPUTF8))
	if err != nil {
		return s.answer(misread(err))
	}
	r := s.handler.Verify(ctx, s.peer, a)
	if r.IsZero() {
		r = reply.CannotVerify() // rfc5321#3.5.3
	}
	return s.answer(r)
}

// expn answers EXPN: never (rfc5321#7.3).
func (s *Session) expn(context.Context, string) Next { return s.answer(reply.ExpandRefused()) }

// help answers HELP with or without a topic (rfc5321#4.1.1.8).
func (s *Session) help(context.Context, string) Next {
	var words []string
	for v := smtp.EHLO; v <= smtp.XCLIENT; v++ {
		if r, ok := dialogue(v); ok && s.speaks(r) {
			words = append(words, v.String())
		}
	}
	return s.answer(reply.HelpText(strings.Join(words, " "), s.options.HelpURL))
}

// speaks reports whether a command exists on this listener.
func (s *Session) speaks(r row) bool {
	switch {
	case r.flags&lmtpOnly != 0:
		return s.profile.LMTP
	case r.flags&smtpOnly != 0:
		return !s.profile.LMTP
	}
	switch r.verb {
	case smtp.AUTH:
		return s.profile.Login
	case smtp.STARTTLS:
		return s.options.TLS != nil
	case smtp.EXPN:
		return false
	case smtp.XCLIENT:
		return s.mayXClient()
	}
	return true
}

// defect tells the operator of a mistake of ours.
func (s *Session) defect(what string) {
	s.options.Log.Error("defect in the handler of a session", "what", what, "session", s.peer.Session)
}
