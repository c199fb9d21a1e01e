package message

import (
	"net/netip"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// Received is what a Received field says about one hop (rfc5321#4.4).
type Received struct {
	// Helo is what the client called itself.
	Helo string
	// ReverseName is the name that its address has in DNS, "" if none.
	ReverseName string
	// Addr is its address; invalid if there is none or it is not to be told.
	// Without Helo and Addr the message came from a program on this machine.
	Addr netip.Addr
	// By is our host name.
	By string
	// Protocol is the transmission type, from Protocol; "" leaves it out.
	Protocol string
	// TLSVersion and TLSCipher are "TLS1.3" and "TLS_AES_128_GCM_SHA256"; ""
	// in clear.
	TLSVersion, TLSCipher string
	// ID is our name of the message.
	ID string
	// For is the recipient, only to be given if there is one and everybody who
	// gets the message may know it (rfc5321#4.4, rfc5321#7.2).
	For address.Mailbox
	// Date is when the message arrived.
	Date time.Time
}

// Protocol returns the transmission type of the with clause: rfc3848, and
// rfc6531#4.3 for messages that came with SMTPUTF8. extended says that the
// client said EHLO, or LHLO.
func Protocol(lmtp, extended, tls, auth, utf8 bool) string {
	var name string
	switch {
	case lmtp && utf8:
		name = "UTF8LMTP"
	case lmtp:
		name = "LMTP"
	case !extended:
		return "SMTP" // without extensions there is neither TLS nor AUTH
	case utf8:
		name = "UTF8SMTP"
	default:
		name = "ESMTP"
	}
	if tls {
		name += "S"
	}
	if auth {
		name += "A"
	}
	return name
}

// Field returns the complete field, folded. No value can leave its place in
// it: characters that an atom may not have become question marks.
func (r Received) Field() string {
	var b clauses
	switch {
	case r.Helo != "":
		b.add("from " + atom(r.Helo))
	case r.Addr.IsValid():
		b.add("from " + literal(r.Addr)) // rfc5321#4.4: Extended-Domain may be an address literal
	}
	if r.Addr.IsValid() {
		info := literal(r.Addr)
		if r.ReverseName != "" {
			info = atom(r.ReverseName) + " " + info
		}
		b.add("(" + info + ")")
	}
	b.add("by " + atom(r.By))
	if r.Helo == "" && !r.Addr.IsValid() {
		b.add("(from a local program)")
	}
	if r.Protocol != "" {
		b.add("with " + atom(r.Protocol))
		if r.TLSVersion != "" {
			b.add("(" + atom(r.TLSVersion) + ")")
		}
	}
	if r.ID != "" {
		b.add("id " + atom(r.ID))
	}
	if !r.For.IsZero() && (r.For.IsASCII() || strings.HasPrefix(r.Protocol, "UTF8")) {
		b.add("for " + cleanText(r.For.Path()))
	}
	if r.TLSCipher != "" {
		b.add("tls " + atom(r.TLSCipher)) // rfc8314#4.3
	}
	b.end(";")
	b.add(FormatDate(r.Date))
	return b.field("Received")
}

// ReturnPath returns the complete field of the final delivery
// (rfc5321#4.4).
func ReturnPath(m address.Mailbox) string {
	return "Return-Path: " + cleanText(m.Path()) + "\r\n"
}

// FormatDate returns a date-time with the offset of t's zone: "Mon, 02 Jan
// 2006 15:04:05 +0000" (rfc5322#3.3).
func FormatDate(t time.Time) string { return t.Format("Mon, 02 Jan 2006 15:04:05 -0700") }

// MessageID returns a message identifier in angle brackets. random is text
// that no other message has, host our host name (rfc5322#3.6.4); characters
// that neither may have are left out.
func MessageID(random, host string) string {
	keep := func(r rune) rune {
		if r < 0x80 && (isAlphanumeric(byte(r)) || strings.ContainsRune("-_.=", r)) {
			return r
		}
		return -1
	}
	left, right := strings.Trim(strings.Map(keep, random), "."), strings.Trim(strings.Map(keep, host), ".")
	if strings.HasPrefix(host, "[") && atom(host) == host {
		right = host // no-fold-literal
	}
	return "<" + left + "@" + right + ">"
}

// clauses folds the parts of a Received field, each of which stays in one line.
type clauses struct {
	b    strings.Builder
	used int
}

func (c *clauses) add(clause string) {
	if c.used == 0 {
		c.used = len("Received:")
	}
	if c.used+1+len(clause) > FoldAt {
		c.b.WriteString("\r\n\t")
		c.used = 8 + len(clause) // a tab is shown eight wide
	} else {
		c.b.WriteByte(' ')
		c.used += 1 + len(clause)
	}
	c.b.WriteString(clause)
}

func (c *clauses) end(mark string) {
	c.b.WriteString(mark)
	c.used += len(mark)
}

func (c *clauses) field(name string) string { return name + ":" + c.b.String() + "\r\n" }

// atom makes a stranger's word fit to stand in a trace field: letters, digits
// and the marks of names and literals stay, everything else becomes "?".
func atom(s string) string {
	const longest = 255 // rfc5321#4.5.3.1.2
	s = s[:min(len(s), longest)]
	ok := s != ""
	for i := 0; ok && i < len(s); i++ {
		ok = isNameOctet(s[i])
	}
	if ok {
		return s
	}
	if s == "" {
		return "unknown"
	}
	b := []byte(s)
	for i, c := range b {
		if !isNameOctet(c) {
			b[i] = '?'
		}
	}
	return string(b)
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isNameOctet(c byte) bool {
	return isAlphanumeric(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']' || c == '+' || c == '/'
}

// literal is an address as an address-literal (rfc5321#4.1.3).
func literal(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.String() + "]"
}
