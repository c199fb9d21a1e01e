package smtpd

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
)

// mayXClient reports whether the client may speak for others. What a client said
// by XCLIENT changes its address, so it is the first address that counts.
func (s *Session) mayXClient() bool {
	return len(s.options.XClient) > 0 && contains(s.options.XClient, s.origin)
}

// xclientKeywords are what EHLO says of XCLIENT: a proxy sends what it finds
// there.
func (s *Session) xclientKeywords() string {
	words := "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"
	if s.options.XClientLogin {
		words += " LOGIN"
	}
	return words
}

// client is what XCLIENT says of a client.
type client struct {
	remote, local netip.AddrPort
	helo, login   string
	extended      bool
}

// xclient answers XCLIENT: XCLIENT 1*( SP attribute=value ), values in xtext
// (Postfix XCLIENT_README). What follows is a session with the client that was
// named, from its greeting on.
func (s *Session) xclient(ctx context.Context, arg string) Next {
	const usage = "XCLIENT ADDR=192.0.2.1 NAME=client.example.com"
	p := s.peer
	c := client{remote: p.Remote, local: p.Local, helo: p.Helo, login: p.Login, extended: p.Extended}
	if arg == "" {
		return s.answer(reply.SyntaxError(usage))
	}
	for word := range strings.SplitSeq(arg, " ") {
		name, coded, ok := strings.Cut(word, "=")
		value, decoded := smtp.DecodeXtext(coded)
		if !ok || !decoded {
			return s.answer(reply.SyntaxError(usage))
		}
		name = strings.ToUpper(name)
		if name == "LOGIN" && !s.options.XClientLogin {
			return s.answer(reply.XClientDenied("it may not name a LOGIN"))
		}
		if !c.set(name, value) {
			return s.answer(reply.ParameterValue(name, "not an attribute that EHLO lists, or not a value for it"))
		}
	}
	s.abort()
	s.stage, s.spoken, s.exchange = greeted, false, nil
	if s.opened {
		s.opened = false
		s.handler.Close(p)
	}
	p.Remote, p.Local, p.Helo, p.Extended, p.Login = c.remote, c.local, c.helo, c.extended, c.login
	p.Credential = ""
	if p.Login != "" {
		p.Credential = account.CredentialProxy
	}
	if c.helo != "" {
		s.stage = known
	}
	return s.Open(ctx)
}

// set takes one attribute.
func (c *client) set(name, value string) bool {
	unknown := value == "[UNAVAILABLE]" || value == "[TEMPUNAVAIL]"
	switch name {
	case "NAME", "REVERSE_NAME": // we look for ourselves
		return value != ""
	case "ADDR", "DESTADDR":
		to := &c.remote
		if name == "DESTADDR" {
			to = &c.local
		}
		if unknown {
			*to = netip.AddrPort{}
			return true
		}
		if len(value) > 5 && strings.EqualFold(value[:5], "IPV6:") {
			value = value[5:]
		}
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" {
			return false
		}
		*to = netip.AddrPortFrom(a.Unmap(), to.Port())
	case "PORT", "DESTPORT":
		to := &c.remote
		if name == "DESTPORT" {
			to = &c.local
		}
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil && !unknown {
			return false
		}
		*to = netip.AddrPortFrom(to.Addr(), uint16(n))
	case "PROTO":
		switch strings.ToUpper(value) {
		case "SMTP":
			c.extended = false
		case "ESMTP":
			c.extended = true
		default:
			return false
		}
	case "HELO":
		if unknown {
			c.helo = ""
			return true
		}
		if _, err := smtp.ParseHello(value); err != nil {
			return false
		}
		c.helo = value
	case "LOGIN":
		if unknown {
			value = ""
		}
		c.login = value
	default:
		return false
	}
	return true
}
