package address

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Mailbox is Local-part "@" Domain (rfc5321#4.1.2). The zero Mailbox stands
// for the null reverse-path "<>". A Mailbox with a local part and no domain
// is "postmaster", which RCPT TO may name alone (rfc5321#4.1.1.3).
type Mailbox struct {
	// Local is the local part as it is meant: `john doe`, not `"john doe"`.
	Local  string
	Domain Domain
}

// ParseMailbox reads a Mailbox without angle brackets. Quoted local parts and
// address literals are understood; a source route, a comment and white space
// are not.
func ParseMailbox(s string) (Mailbox, error) {
	local, rest, err := LocalPart(s)
	if err != nil {
		return Mailbox{}, err
	}
	if strings.Contains(rest, "@") && rest[0] != '@' {
		r, _ := utf8.DecodeRuneInString(rest)
		return Mailbox{}, syntax("%q has %q before its @, which stands there in quotation marks only, as in \"john doe\"@example.org", clip(s), r)
	}
	if rest == "" || rest[0] != '@' {
		return Mailbox{}, syntax("%q has no @ followed by a domain", clip(s))
	}
	d, err := ParseDomain(rest[1:])
	if err != nil {
		return Mailbox{}, err
	}
	m := Mailbox{Local: local, Domain: d}
	if len(local)+1+len(d.name) > MaxPath-2 {
		return Mailbox{}, syntax("the address is longer than %d octets", MaxPath-2)
	}
	return m, nil
}

// MustMailbox is ParseMailbox for constants in tests; it panics.
func MustMailbox(s string) Mailbox {
	m, err := ParseMailbox(s)
	if err != nil {
		panic(err)
	}
	return m
}

// LocalPart reads Local-part = Dot-string / Quoted-string at the head of s
// (rfc5321#4.1.2, rfc6531#3.3) and returns what it means and what follows.
func LocalPart(s string) (local, rest string, err error) {
	if s == "" {
		return "", "", syntax("the address is empty")
	}
	if s[0] == '"' {
		return quotedString(s)
	}
	i, dot := 0, true // dot: a dot here would be an empty atom
	for i < len(s) {
		c := s[i]
		if c == '.' {
			if dot {
				return "", "", syntax("the local part of %q has an empty part between dots", clip(s))
			}
			dot = true
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 || !unicode.IsGraphic(r) {
				return "", "", syntax("the local part is not valid UTF-8 text")
			}
			i += n
			dot = false
			continue
		}
		if !isAtext(c) {
			break
		}
		dot = false
		i++
	}
	switch {
	case i == 0:
		return "", "", syntax("%q has no local part before the @", clip(s))
	case dot:
		return "", "", syntax("the local part of %q ends with a dot", clip(s))
	case i > MaxLocalPart:
		return "", "", syntax("the local part is longer than %d octets", MaxLocalPart) // rfc5321#4.5.3.1.1
	}
	return s[:i], s[i:], nil
}

// quotedString reads Quoted-string = DQUOTE *QcontentSMTP DQUOTE.
func quotedString(s string) (string, string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			if b.Len() > MaxLocalPart {
				return "", "", syntax("the local part is longer than %d octets", MaxLocalPart)
			}
			if b.Len() == 0 {
				return "", "", syntax(`the local part "" is empty`)
			}
			if !isText(b.String()) {
				return "", "", syntax("the local part is not valid UTF-8 text")
			}
			return b.String(), s[i+1:], nil
		case c == '\\':
			i++
			if i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", "", syntax("the quoted local part has a backslash before nothing that it may quote")
			}
			b.WriteByte(s[i])
		case c < ' ' || c == 0x7f:
			return "", "", syntax("the quoted local part has a control character")
		default:
			b.WriteByte(c)
		}
	}
	return "", "", syntax("the quoted local part of %q is not closed", clip(s))
}

// isText reports whether s is UTF-8 whose characters beyond ASCII can be seen:
// a mailbox that looks like another is not let in by quoting it.
func isText(s string) bool {
	for i, r := range s {
		if r < utf8.RuneSelf {
			continue
		}
		if _, n := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && n == 1 || !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}

// isAtext is atext of RFC 5322 §3.2.3 as RFC 5321 uses it.
func isAtext(c byte) bool {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
		return true
	}
	return strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// IsZero reports whether m is the null reverse-path.
func (m Mailbox) IsZero() bool { return m == Mailbox{} }

// String returns the mailbox as a command or header carries it, quoted where
// needed, without brackets, the domain in A-label form.
func (m Mailbox) String() string {
	if m.IsZero() {
		return ""
	}
	local := m.Local
	if !isDotString(local) {
		local = quote(local)
	}
	if m.Domain.IsZero() {
		return local
	}
	return local + "@" + m.Domain.String()
}

// Path returns the mailbox in angle brackets; "<>" for the null reverse-path.
func (m Mailbox) Path() string { return "<" + m.String() + ">" }

// Unicode returns the mailbox for people, the domain in U-label form.
func (m Mailbox) Unicode() string {
	if m.Domain.IsZero() {
		return m.String()
	}
	return Mailbox{Local: m.Local}.String() + "@" + m.Domain.Unicode()
}

// Key returns the form under which we look up our own addresses: local part
// in lower case. RFC 5321 §2.4 leaves the case to the receiving host; here
// anna and Anna are the same person, and so are two ways of writing the same
// letters in Unicode (rfc6532#3.1).
func (m Mailbox) Key() string {
	if !m.IsASCII() {
		return norm.NFC.String(strings.ToLower(norm.NFC.String(m.Local))) + "@" + m.Domain.name
	}
	return strings.ToLower(m.Local) + "@" + m.Domain.name
}

// IsPostmaster reports whether the local part is postmaster in any case
// (rfc5321#4.5.1).
func (m Mailbox) IsPostmaster() bool { return strings.EqualFold(m.Local, "postmaster") }

// IsASCII reports whether the mailbox can be said without SMTPUTF8: its local
// part is ASCII. The domain always can be, as an A-label.
func (m Mailbox) IsASCII() bool { return isASCII(m.Local) }

func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '.' {
			if s[i-1] == '.' {
				return false
			}
			continue
		}
		if c < utf8.RuneSelf && !isAtext(c) {
			return false
		}
	}
	return true
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// MarshalText writes m as String does; the null reverse-path is empty text.
func (m Mailbox) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (m *Mailbox) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*m = Mailbox{}
		return nil
	}
	parsed, err := ParseMailbox(string(text))
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}
