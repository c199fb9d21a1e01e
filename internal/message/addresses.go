package message

import (
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"

	"github.com/onwardmail/onward/internal/address"
)

// MaxAddresses is the largest number of addresses that is read from a header
// section.
const MaxAddresses = 10000

// Recipients returns the mailboxes of To, Cc and Bcc, or of Resent-To,
// Resent-Cc and Resent-Bcc if the message has one of those, in their order and
// each once. A name without a domain, as programs on one machine write it, is
// given the domain local; if that is zero it is an error. The error is
// ErrAddressList and names the field.
func (h Header) Recipients(local address.Domain) ([]address.Mailbox, error) {
	names := []string{"To", "Cc", "Bcc"}
	for _, name := range []string{"Resent-To", "Resent-Cc", "Resent-Bcc"} {
		if h.Has(name) {
			names = []string{"Resent-To", "Resent-Cc", "Resent-Bcc"} // rfc5322#3.6.6
		}
	}
	var all []address.Mailbox
	seen := map[string]bool{}
	for _, name := range names {
		for f := range h.All(name) {
			list, err := ParseAddressList(f.Value(), local)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", name, err)
			}
			for _, m := range list {
				if seen[m.Key()] {
					continue
				}
				seen[m.Key()] = true
				all = append(all, m)
			}
			if len(all) > MaxAddresses {
				return nil, fmt.Errorf("field %s: %w: there are more than %d addresses", name, ErrAddressList, MaxAddresses)
			}
		}
	}
	return all, nil
}

// ParseAddressList reads an address-list (rfc5322#3.4) with its groups, which
// may be empty. A name without a domain is given the domain local. The error is
// ErrAddressList.
func ParseAddressList(value string, local address.Domain) ([]address.Mailbox, error) {
	pieces, err := splitAddresses(value)
	if err != nil {
		return nil, err
	}
	if len(pieces) > MaxAddresses {
		return nil, fmt.Errorf("%w: there are more than %d addresses", ErrAddressList, MaxAddresses)
	}
	list := make([]address.Mailbox, 0, len(pieces))
	// Names are not wanted, so their charsets do not matter.
	asIs := func(_ string, name io.Reader) (io.Reader, error) { return name, nil }
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: asIs}}
	for _, p := range pieces {
		if p.bare != "" {
			if local.IsZero() {
				return nil, fmt.Errorf("%w: %q has no @ followed by a domain", ErrAddressList, clip(p.bare))
			}
			m, err := address.ParseMailbox(p.bare + "@" + local.String())
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrAddressList, err)
			}
			list = append(list, m)
			continue
		}
		a, err := parser.Parse(stripComments(p.text))
		if err != nil {
			return nil, fmt.Errorf("%w: %q cannot be read: %w", ErrAddressList, clip(p.text), err)
		}
		m, err := mailbox(a.Address)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAddressList, err)
		}
		list = append(list, m)
	}
	return list, nil
}

// mailbox reads what net/mail gives: the local part without its quotes, then
// the domain after the last @.
func mailbox(s string) (address.Mailbox, error) {
	at := strings.LastIndexByte(s, '@')
	d, err := address.ParseDomain(s[at+1:])
	if err != nil {
		return address.Mailbox{}, err
	}
	m := address.Mailbox{Local: s[:max(at, 0)], Domain: d}
	if strings.ContainsAny(m.Local, "\r\n\x00") {
		return address.Mailbox{}, fmt.Errorf("%w: the local part has a control character", address.ErrSyntax)
	}
	return address.ParseMailbox(m.String()) // the limits of rfc5321#4.5.3.1
}

// piece is one entry of an address list: its text, or a bare local name.
type piece struct{ text, bare string }

// splitAddresses divides an address list at its commas and takes the groups
// apart.
func splitAddresses(value string) ([]piece, error) {
	var pieces []piece
	start, depth := 0, 0
	quoted, angle, literal := false, false, false
	add := func(end int) {
		if text := strings.TrimSpace(value[start:end]); text != "" && stripComments(text) != "" {
			pieces = append(pieces, piece{text: text, bare: bareName(text)})
		}
		start = end + 1
	}
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c == '\\' && (quoted || depth > 0):
			i++
		case quoted:
			quoted = c != '"'
		case c == '(':
			depth++
		case depth > 0:
			if c == ')' {
				depth--
			}
		case c == '"':
			quoted = true
		case c == '[':
			literal = true
		case c == ']':
			literal = false
		case literal:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case angle:
		case c == ',', c == ';':
			add(i)
		case c == ':':
			start = i + 1 // what was before is the name of a group
		}
	}
	if quoted || depth > 0 || angle || literal {
		return nil, fmt.Errorf("%w: %q has a quote or bracket that is not closed", ErrAddressList, clip(value))
	}
	add(len(value))
	return pieces, nil
}

// bareName returns the local name of an entry that has no domain, "" if the
// entry is an address.
func bareName(text string) string {
	text = stripComments(text)
	if open := strings.IndexByte(text, '<'); open >= 0 && strings.HasSuffix(text, ">") && !strings.Contains(text[:open], `"`) {
		text = strings.TrimSpace(text[open+1 : len(text)-1])
	}
	if strings.ContainsAny(text, "@<>\" \t") {
		return ""
	}
	return text
}

// stripComments removes comments outside quotes (rfc5322#3.2.2).
func stripComments(text string) string {
	if !strings.Contains(text, "(") {
		return text
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			if depth == 0 {
				b.WriteString(text[i : i+2])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
			continue
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

// clip keeps a stranger's text short in an error message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
