package smtp

import (
	"strings"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/address"
)

// parser walks over the argument of a command. Its methods bear the names of
// the productions of rfc5321#4.1.2 and eat what they recognize from the head
// of rest.
type parser struct{ rest string }

// literal eats word, in any case, and reports whether it was there.
func (p *parser) literal(word string) bool {
	if len(p.rest) >= len(word) && strings.EqualFold(p.rest[:len(word)], word) {
		p.rest = p.rest[len(word):]
		return true
	}
	return false
}

// reversePath reads Reverse-path = Path / "<>" (rfc5321#4.1.2).
func (p *parser) reversePath() (address.Mailbox, error) {
	if p.literal("<>") {
		return address.Mailbox{}, nil
	}
	return p.path(FaultReversePath)
}

// forwardPath reads Forward-path, or "<Postmaster>" without a domain, which
// RCPT may name (rfc5321#4.1.1.3).
func (p *parser) forwardPath() (address.Mailbox, error) {
	const postmaster = "<postmaster>"
	if given := p.rest; p.literal(postmaster) {
		return address.Mailbox{Local: given[1 : len(postmaster)-1]}, nil
	}
	return p.path(FaultForwardPath)
}

// path reads Path = "<" [ A-d-l ":" ] Mailbox ">".
func (p *parser) path(f Fault) (address.Mailbox, error) {
	if !p.literal("<") {
		return address.Mailbox{}, fault(f, "", "it must stand in angle brackets, as in <anna@example.org>")
	}
	if strings.HasPrefix(p.rest, "@") {
		if err := p.aDL(f); err != nil {
			return address.Mailbox{}, err
		}
	}
	m, err := p.mailbox(f)
	if err != nil {
		return address.Mailbox{}, err
	}
	if !p.literal(">") {
		return address.Mailbox{}, fault(f, "", "the closing angle bracket is missing")
	}
	return m, nil
}

// aDL reads A-d-l ":", the source route, which must be accepted and is ignored
// (rfc5321#4.1.1.3, rfc5321#C): A-d-l = At-domain *( "," At-domain ).
func (p *parser) aDL(f Fault) error {
	for {
		if !p.literal("@") {
			return fault(f, "", "the source route is malformed")
		}
		if _, err := p.domain(",:>"); err != nil {
			return bad(f, err)
		}
		switch {
		case p.literal(","):
		case p.literal(":"):
			return nil
		default:
			return fault(f, "", "the source route is malformed")
		}
	}
}

// mailbox reads Mailbox = Local-part "@" ( Domain / address-literal ).
func (p *parser) mailbox(f Fault) (address.Mailbox, error) {
	local, rest, err := address.LocalPart(p.rest)
	if err != nil {
		if path, _, ok := strings.Cut(p.rest, ">"); ok { // the same, of the address alone
			if _, _, alone := address.LocalPart(path); alone != nil {
				err = alone
			}
		}
		return address.Mailbox{}, bad(f, err)
	}
	written := len(p.rest) - len(rest)
	p.rest = rest
	if !p.literal("@") {
		return address.Mailbox{}, fault(f, "", "the local part is not followed by @ and a domain")
	}
	before := len(p.rest)
	d, err := p.domain(">")
	if err != nil {
		return address.Mailbox{}, bad(f, err)
	}
	// rfc5321#4.5.3.1.3: with the angle brackets and the @.
	if written+before-len(p.rest)+3 > address.MaxPath {
		return address.Mailbox{}, fault(f, "", "the path is longer than %d octets", address.MaxPath)
	}
	m := address.Mailbox{Local: local, Domain: d}
	if len(m.String())+2 > address.MaxPath { // a domain may grow as an A-label
		return address.Mailbox{}, fault(f, "", "the path is longer than %d octets", address.MaxPath)
	}
	return m, nil
}

// domain reads Domain or address-literal up to the first of ends. A literal
// keeps what is in its brackets.
func (p *parser) domain(ends string) (address.Domain, error) {
	from := 0
	if strings.HasPrefix(p.rest, "[") {
		from = strings.IndexByte(p.rest, ']') + 1
	}
	end := strings.IndexAny(p.rest[from:], ends)
	if end < 0 {
		end = len(p.rest)
	} else {
		end += from
	}
	d, err := address.ParseDomain(p.rest[:end])
	if err != nil {
		return address.Domain{}, err
	}
	p.rest = p.rest[end:]
	return d, nil
}

// isASCII reports whether s has no octet beyond ASCII.
func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
