package smtpd

import (
	"context"
	"strings"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/sasl"
	"github.com/onwardmail/onward/internal/smtp"
)

// mechanisms are the names of what we offer, in our order.
func mechanisms() []string {
	var names []string
	for _, o := range sasl.Offers() {
		names = append(names, o.Name)
	}
	return names
}

// mayLogIn reports whether AUTH is offered now: where users log in, over TLS
// only, and once (rfc4954#4).
func (s *Session) mayLogIn() bool {
	return s.profile.Login && s.peer.TLS != nil && s.peer.Login == ""
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
	offer, ok := sasl.Find(name)
	switch {
	case !ok:
		return s.answer(reply.AuthMechanismUnknown(strings.Join(mechanisms(), " ")))
	case s.peer.TLS == nil && offer.Clear:
		// It was not offered, and this says best why (rfc4954#6).
		return s.answer(reply.AuthNeedsTLS(offer.Name))
	case err != nil:
		return s.answer(misread(err))
	}
	s.mechanism = offer.New()
	return s.exchange(ctx, offer.Name, func() ([]byte, bool, error) { return s.mechanism.Start(initial) })
}

// authLine takes a line of the exchange that is under way.
func (s *Session) authLine(ctx context.Context, line []byte) Next {
	if string(line) == "*" { // rfc4954#4
		s.mechanism = nil
		return s.answer(reply.AuthCancelled())
	}
	response, err := smtp.DecodeBase64(line)
	if err != nil {
		s.mechanism = nil
		return s.answer(misread(err))
	}
	return s.exchange(ctx, s.mechanism.Credentials().Mechanism, func() ([]byte, bool, error) {
		return s.mechanism.Next(response)
	})
}

// exchange takes one step of the mechanism.
func (s *Session) exchange(ctx context.Context, name string, step func() ([]byte, bool, error)) Next {
	challenge, done, err := step()
	switch {
	case err != nil:
		s.mechanism = nil
		return s.answer(reply.AuthMalformed(name))
	case !done:
		return s.next(ReadAuth, reply.AuthChallenge(string(smtp.AppendBase64(nil, challenge))))
	}
	credentials := s.mechanism.Credentials()
	s.mechanism = nil
	return s.authenticate(ctx, credentials)
}

// authenticate asks whether credentials are right. A login needs both a
// positive reply and a name: a handler that says yes to nobody is a defect.
func (s *Session) authenticate(ctx context.Context, c sasl.Credentials) Next {
	who, r := s.handler.Authenticate(ctx, s.peer, c)
	if r.IsZero() && who.Login != "" {
		r = reply.AuthOK()
	}
	switch {
	case r.IsZero() || r.Positive() && who.Login == "":
		s.defect("Authenticate returned neither an identity nor a refusal")
		return s.answer(reply.AuthUnavailable())
	case r.Positive():
		s.peer.Login, s.peer.Credential = who.Login, who.Credential
		return s.answer(r)
	case r.Temporary():
		return s.answer(r)
	}
	s.failures++
	if s.failures >= s.options.MaxLoginFailures { // rfc4954#4
		return s.bye(r, reply.TooManyLoginFailures(s.options.Hostname))
	}
	return s.answer(r)
}
