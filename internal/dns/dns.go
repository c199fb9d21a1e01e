// Package dns answers the questions a mail server asks of the domain name system: where a domain's mail goes, which
// addresses a host has, what a domain publishes in TXT, what an address is called, and which certificates a host pins.
//
// It promises three answers that callers can tell apart without reading text:
//
//	the question's domain does not exist   error for which IsNotFound is true (NXDOMAIN)
//	it exists and has no such record       no error, empty Records (NODATA)
//	nobody could say                       error for which IsTemporary is true (timeout, SERVFAIL, anything unknown)
//
// A caller may treat the first as final and must treat the last as «ask again later»: a resolver that is down never
// bounces mail.
//
// Aliases (CNAME) are followed for every question: a name that is an alias is processed as if its target had been asked
// for (rfc5321#5.1). Answer.Name says where the walk ended.
//
// Names go in with or without the final dot, as A-labels; IDNA is the caller's. Names come out in lower case without the
// final dot, the root alone as "."; octets that a host name cannot hold stay in the escaped form of rfc1035#5.1, so a
// caller that needs a host name has to check that it got one.
//
// It does not validate DNSSEC itself: Authentic repeats what a trusted validating resolver said (rfc4035#3.2.3).
//
// Client asks real servers and keeps a bounded cache. Zone is a Resolver for tests, made from a short text.
//
// RFCs: 1034, 1035, 2308 (negative caching), 3596 (AAAA), 5321 §5.1, 6698 and 7672 (TLSA), 6840 §5.7 (AD in queries),
// 6891 (EDNS0), 7505 (null MX), 7766 (TCP), 9520 (caching of failures).
package dns

import (
	"context"
	"net/netip"
	"time"
)

// Resolver is what the rest of the program asks of DNS. Every method is safe for concurrent use, gives up when ctx does
// (the error is then temporary and wraps ctx's cause), and returns slices that the caller may change.
type Resolver interface {
	// MX returns the mail exchangers of domain, sorted by preference, lowest first. Which of several equal ones to try
	// first is the caller's choice (rfc5321#5.1 asks for a random one). Without an MX record Records is empty, and the
	// caller falls back to the domain's addresses. A single MX for which IsNull is true says that the domain takes no mail.
	MX(ctx context.Context, domain string) (Answer[MX], error)

	// Addresses returns the IPv4 and IPv6 addresses of host, A before AAAA, asked side by side. If one question fails and
	// the other has addresses, those are returned; an empty answer means that both were answered and neither had any.
	Addresses(ctx context.Context, host string) (Answer[netip.Addr], error)

	// TXT returns one string for each TXT record of name; the character-strings of a record are joined without a space
	// (rfc7208#3.3, rfc6376#3.6.2.2). The strings are untrusted octets.
	TXT(ctx context.Context, name string) (Answer[string], error)

	// PTR returns the names that the reverse tree gives addr. They prove nothing until their addresses have been asked for.
	PTR(ctx context.Context, addr netip.Addr) (Answer[string], error)

	// TLSA returns the certificate associations at name, for example "_25._tcp.mx.example.net". They mean something only
	// if the answer is Authentic (rfc7672#2.2).
	TLSA(ctx context.Context, name string) (Answer[TLSA], error)
}

// Answer is what was found for one question.
type Answer[T any] struct {
	// Records is empty if the name exists and has no record of this kind.
	Records []T
	// Name is the owner of Records: the name asked for, or the end of its chain of aliases.
	Name string
	// Authentic says that a trusted resolver validated every step of the answer by DNSSEC (the AD bit).
	Authentic bool
	// TTL is how long the answer may still be used, after this package's limits; never negative.
	TTL time.Duration
}

// MX is one mail exchanger of a domain.
type MX struct {
	Host       string // as in the package comment; "." in a null MX
	Preference uint16 // lower is tried first
}

// IsNull reports whether the record is the null MX of a domain that takes no mail (rfc7505#3).
func (m MX) IsNull() bool { return m.Host == "." }

// TLSA is one certificate association (rfc6698#2.1). The numbers are as published; unknown ones are not left out.
type TLSA struct {
	Usage    uint8  // 2 is DANE-TA, 3 is DANE-EE; SMTP uses no others (rfc7672#3.1)
	Selector uint8  // 0 the whole certificate, 1 its public key
	Matching uint8  // 0 in full, 1 SHA-256, 2 SHA-512
	Data     []byte // shared with other answers: not to be changed
}
