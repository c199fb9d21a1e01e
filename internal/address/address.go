// Package address holds the names of the mail system as values: a domain, a
// mailbox, a path.
//
// It promises that a value that exists is well formed: a Domain is in
// lower-case A-label form (or an address literal), a Mailbox carries the local
// part as it is meant, without the quoting that one particular command line
// needed. Two mailboxes that are equal with == are the same mailbox, except
// for the case of the local part, which only the owner's server may fold: see
// [Mailbox.Key].
//
// It does not ask DNS, and it does not know which domains are ours.
//
// RFC 5321 §4.1.2 and §4.1.3 (grammar), RFC 5891 (IDNA), RFC 6531 (SMTPUTF8).
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of RFC 5321 §4.5.3.1, in octets.
const (
	MaxLocalPart = 64  // rfc5321#4.5.3.1.1
	MaxDomain    = 255 // rfc5321#4.5.3.1.2
	MaxPath      = 256 // rfc5321#4.5.3.1.3, with the angle brackets
)

// ErrSyntax is wrapped by every error of this package.
var ErrSyntax = errors.New("not a valid address")

func syntax(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
}

// Domain is a domain name in lower-case A-label form without a final dot, or
// an address literal in brackets. The zero Domain is no domain.
// Domains are compared with ==.
type Domain struct {
	name string
}

// profile maps as UTS #46 says for look-up, so that what a person typed and
// what DNS holds are the same Domain.
var profile = idna.New(
	idna.MapForLookup(),
	idna.BidiRule(),
	idna.Transitional(false),
	idna.StrictDomainName(false),
)

// ParseDomain reads a Domain or an address-literal (rfc5321#4.1.2).
// A final dot is not accepted: SMTP has none.
func ParseDomain(s string) (Domain, error) {
	if s == "" {
		return Domain{}, syntax("the domain is empty")
	}
	if s[0] == '[' {
		return parseLiteral(s)
	}
	if !utf8.ValidString(s) {
		return Domain{}, syntax("the domain is not valid UTF-8")
	}
	name := s
	if isPlainLower(s) {
		// The usual case costs nothing.
	} else if isASCII(s) && !strings.Contains(strings.ToLower(s), "xn--") {
		name = strings.ToLower(s)
	} else {
		a, err := profile.ToASCII(s)
		if err != nil {
			return Domain{}, syntax("the domain %q is not a valid internationalized name", clip(s))
		}
		name = strings.ToLower(a)
	}
	if len(name) > MaxDomain {
		return Domain{}, syntax("the domain is longer than %d octets", MaxDomain)
	}
	if err := checkLabels(name); err != nil {
		return Domain{}, err
	}
	return Domain{name}, nil
}

// MustDomain is ParseDomain for constants in tests and tables; it panics on
// a malformed name.
func MustDomain(s string) Domain {
	d, err := ParseDomain(s)
	if err != nil {
		panic(err)
	}
	return d
}

// checkLabels holds name against sub-domain = Let-dig [Ldh-str]
// (rfc5321#4.1.2), and accepts the underscore that real names have.
func checkLabels(name string) error {
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			c := name[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return syntax("the domain %q has a character that names may not have", clip(name))
			}
			continue
		}
		label := name[start:i]
		switch {
		case label == "":
			return syntax("the domain %q has an empty label", clip(name))
		case len(label) > 63:
			return syntax("a label of the domain is longer than 63 octets")
		case label[0] == '-' || label[len(label)-1] == '-':
			return syntax("a label of the domain %q begins or ends with a hyphen", clip(name))
		}
		start = i + 1
	}
	return nil
}

// parseLiteral reads an address-literal (rfc5321#4.1.3).
func parseLiteral(s string) (Domain, error) {
	if len(s) < 3 || s[len(s)-1] != ']' {
		return Domain{}, syntax("the address literal lacks its closing bracket")
	}
	in := s[1 : len(s)-1]
	if len(in) > 5 && strings.EqualFold(in[:5], "IPv6:") {
		ip, err := netip.ParseAddr(in[5:])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return Domain{}, syntax("%q is not an IPv6 address literal", clip(s))
		}
		return Domain{"[ipv6:" + ip.String() + "]"}, nil
	}
	ip, err := netip.ParseAddr(in)
	if err != nil || !ip.Is4() {
		return Domain{}, syntax("%q is not an address literal", clip(s))
	}
	return Domain{"[" + ip.String() + "]"}, nil
}

// IsZero reports whether d is no domain.
func (d Domain) IsZero() bool { return d.name == "" }

// String returns the A-label form, fit for the wire: "xn--bcher-kva.example"
// or "[192.0.2.1]" or "[IPv6:2001:db8::1]".
func (d Domain) String() string {
	if strings.HasPrefix(d.name, "[ipv6:") {
		return "[IPv6:" + d.name[len("[ipv6:"):]
	}
	return d.name
}

// Unicode returns the U-label form for people.
func (d Domain) Unicode() string {
	if !strings.Contains(d.name, "xn--") {
		return d.String()
	}
	u, err := idna.Display.ToUnicode(d.name)
	if err != nil {
		return d.name
	}
	return u
}

// Literal returns the address of an address literal.
func (d Domain) Literal() (netip.Addr, bool) {
	if d.name == "" || d.name[0] != '[' {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(strings.TrimPrefix(d.name[1:len(d.name)-1], "ipv6:"))
	return ip, err == nil
}

// Parent returns d without its first label, or the zero Domain.
func (d Domain) Parent() Domain {
	if _, rest, ok := strings.Cut(d.name, "."); ok && d.name[0] != '[' {
		return Domain{rest}
	}
	return Domain{}
}

func isPlainLower(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf {
			return false
		}
		if c == 'x' && i+4 <= len(s) && s[i:i+4] == "xn--" {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// clip keeps a stranger's text short in an error message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// MarshalText writes d as String does.
func (d Domain) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote; empty text is no domain.
func (d *Domain) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Domain{}
		return nil
	}
	parsed, err := ParseDomain(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
