package smtpd

import (
	"context"
	"strings"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// exchange is the AUTH exchange that is under way.
type exchange struct {
	transaction.Exchange
	mechanism string
}

// mechanisms are what the client may log in by now: where users log in, and
// once (rfc4954#4). What needs TLS the handler leaves out without it.
func (s *Session) mechanisms() []string {
	if !s.profile.Login || s.peer.Login != "" {
		return nil
	}
	return s.handler.Mechanisms(s.peer)
}

// auth answers AUTH (rfc4954#4).
func (s *Session) auth(ctx context.Context, arg string) Next {
	switch {
	case s.transaction != nil:
		return s.answer(reply.AuthInTransaction())
	case s.peer.Login != "":
		return s.answer(reply.AuthTwice())
	}
	name, initial, err := smtp.ParseAuth(arg)
	if err != nil && name == "" {
		return s.answer(misread(err))
	}
	e, no := s.handler.Authenticate(ctx, s.peer, name, initial)
	switch {
	case !no.IsZero() && !no.Positive():
		return s.answer(no)
	case e == nil:
		s.defect("Authenticate returned neither an exchange nor a refusal")
		return s.answer(reply.AuthUnavailable())
	case err != nil:
		return s.answer(misread(err))
	}
	s.exchange = &exchange{e, name}
	return s.respond(ctx, initial)
}

// wrongPort answers AUTH where nobody logs in.
func (s *Session) wrongPort(arg string) reply.Reply {
	name, initial, _ := strings.Cut(arg, " ")
	s.handler.WrongPort(s.peer, strings.ToUpper(name), initial)
	return reply.AuthNotHere()
}

// authLine takes a line of the exchange that is under way.
func (s *Session) authLine(ctx context.Context, line []byte) Next {
	if string(line) == "*" { // rfc4954#4
		s.exchange = nil
		return s.answer(reply.AuthCancelled())
	}
	response, err := smtp.DecodeBase64(line)
	if err != nil {
		s.exchange = nil
		return s.answer(misread(err))
	}
	return s.respond(ctx, response)
}

// respond takes one step of the exchange. A login needs both a positive reply
// and a name: a handler that says yes to nobody is a defect.
func (s *Session) respond(ctx context.Context, response []byte) Next {
	a := s.exchange.Next(ctx, response)
	if a.Reply.IsZero() && a.Identity.Login == "" {
		return s.next(ReadAuth, reply.AuthChallenge(string(smtp.AppendBase64(nil, a.Challenge))))
	}
	s.exchange = nil
	r := a.Reply
	if r.IsZero() {
		r = reply.AuthOK()
	}
	switch {
	case r.Positive() && a.Identity.Login == "":
		s.defect("an exchange ended with neither an identity nor a refusal")
		return s.answer(reply.AuthUnavailable())
	case r.Positive():
		s.peer.Login, s.peer.Credential = a.Identity.Login, a.Identity.Credential
		return s.answer(r)
	case r.Temporary() || r.Name() == "auth-malformed":
		return s.answer(r)
	}
	s.failures++
	if s.failures >= s.options.MaxLoginFailures { // rfc4954#4
		return s.bye(r, reply.TooManyLoginFailures(s.options.Hostname))
	}
	return s.answer(r)
}
