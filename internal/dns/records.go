package dns

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

// maxAliases is how many CNAME steps are followed for one question before the chain is taken for a loop. RFC 1034 §3.6.2
// names no number; resolvers in use stop between 8 and 16.
const maxAliases = 12

var errAliases = errors.New("chain of aliases (CNAME) too long, or a loop")

// question is one thing to ask; also the key of the cache. name is canonical: lower case, with the final dot.
type question struct {
	name   string
	rrtype uint16
}

func (q question) typeName() string { return miekg.TypeToString[q.rrtype] }

// newQuestion makes a question of a name as callers write it. A name that cannot stand in DNS cannot exist there either,
// so the error is NotFound.
func newQuestion(name string, rrtype uint16) (question, *Error) {
	q := question{name: miekg.CanonicalName(name), rrtype: rrtype}
	if _, ok := miekg.IsDomainName(q.name); !ok || name == "" {
		return q, &Error{Kind: NotFound, Type: q.typeName(), Name: name, Detail: "not a domain name"}
	}
	return q, nil
}

// fail makes the error for a question.
func (q question) fail(kind Kind, server, detail string, err error) *Error {
	return &Error{Kind: kind, Type: q.typeName(), Name: plain(q.name), Server: server, Detail: detail, Err: err}
}

// plain takes the final dot off a name; the root stays ".".
func plain(name string) string {
	if len(name) > 1 {
		return strings.TrimSuffix(name, ".")
	}
	return name
}

// result is a question answered once and for all, decoded: immutable, shared by everyone who asks within its time. Only
// the slice of the question's type is filled.
type result struct {
	name      string // where the aliases led, without the final dot
	mx        []MX
	addresses []netip.Addr
	texts     []string // TXT and PTR
	tlsa      []TLSA
	authentic bool
	ttl       time.Duration // from the records, before limits
	err       *Error        // instead of all of the above but ttl
}

// step is what one set of resource records says about a question.
type step struct {
	end     string     // the name where the aliases in the set lead, canonical
	records []miekg.RR // of end, of the type asked for
	hops    int        // aliases followed
	ttl     uint32     // the least of all records used, seconds; valid if any was used
}

// follow walks the aliases within rrs, beginning at name (rfc1034#3.6.2, rfc5321#5.1).
func follow(rrs []miekg.RR, name string, rrtype uint16) (step, error) {
	s := step{end: name, ttl: ^uint32(0)}
	for {
		var alias *miekg.CNAME
		for _, rr := range rrs {
			h := rr.Header()
			if h.Class != miekg.ClassINET || !strings.EqualFold(h.Name, s.end) {
				continue
			}
			if h.Rrtype == rrtype {
				s.records = append(s.records, rr)
				s.ttl = min(s.ttl, h.Ttl)
			} else if c, ok := rr.(*miekg.CNAME); ok {
				alias = c
			}
		}
		if len(s.records) > 0 || alias == nil {
			return s, nil
		}
		s.ttl = min(s.ttl, alias.Hdr.Ttl)
		s.end = miekg.CanonicalName(alias.Target)
		if s.hops++; s.hops > maxAliases {
			return s, errAliases
		}
	}
}

// decode turns the records at the end of a walk into r's typed slices, in the order in which they came, MX sorted.
func (r *result) decode(records []miekg.RR) {
	for _, rr := range records {
		switch rr := rr.(type) {
		case *miekg.MX:
			r.mx = append(r.mx, MX{Host: plain(miekg.CanonicalName(rr.Mx)), Preference: rr.Preference})
		case *miekg.A:
			if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
				r.addresses = append(r.addresses, a)
			}
		case *miekg.AAAA:
			// An IPv4-mapped address here stays one: it is not an IPv4 address that the domain published.
			if a, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok {
				r.addresses = append(r.addresses, a)
			}
		case *miekg.TXT:
			r.texts = append(r.texts, joinText(rr.Txt))
		case *miekg.PTR:
			r.texts = append(r.texts, plain(miekg.CanonicalName(rr.Ptr)))
		case *miekg.TLSA:
			if data, err := hex.DecodeString(rr.Certificate); err == nil {
				r.tlsa = append(r.tlsa, TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.MatchingType, Data: data})
			}
		}
	}
	slices.SortStableFunc(r.mx, func(a, b MX) int { return int(a.Preference) - int(b.Preference) })
}

// joinText joins the character-strings of a TXT record and undoes the escapes of rfc1035#5.1 that the library puts in.
func joinText(parts []string) string {
	joined := strings.Join(parts, "")
	if strings.IndexByte(joined, '\\') < 0 {
		return joined
	}
	out := make([]byte, 0, len(joined))
	for i := 0; i < len(joined); i++ {
		c := joined[i]
		if c != '\\' || i+1 == len(joined) {
			out = append(out, c)
			continue
		}
		if n, ok := octet(joined[i+1:]); ok {
			out = append(out, n)
			i += 3
			continue
		}
		i++
		out = append(out, joined[i])
	}
	return string(out)
}

// octet reads the three digits of a \DDD escape.
func octet(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[:3]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return byte(n), n <= 255
}

// answer hands out a result: the records copied, so that callers may sort and shuffle, and the time that is left.
func answer[T any](r *result, records []T, left time.Duration) (Answer[T], error) {
	if r.err != nil {
		return Answer[T]{}, r.err
	}
	return Answer[T]{Records: slices.Clone(records), Name: r.name, Authentic: r.authentic, TTL: max(left, 0)}, nil
}

// joinAddresses makes one answer of those for A and AAAA. A failure of one is forgiven if the other has addresses. The
// result is authentic if all that was answered is: a zone whose A is signed is signed, whatever became of its AAAA, and
// DANE must not be skipped for that (rfc7672#2.2.2).
func joinAddresses(a, aaaa *result, left, left6 time.Duration) (Answer[netip.Addr], error) {
	switch {
	case a.err != nil && aaaa.err != nil:
		// Of a final and a temporary failure the temporary one counts: «does not exist» was not said twice.
		if a.err.Kind == NotFound {
			return Answer[netip.Addr]{}, aaaa.err
		}
		return Answer[netip.Addr]{}, a.err
	case a.err != nil:
		if len(aaaa.addresses) == 0 && a.err.Kind != NotFound {
			return Answer[netip.Addr]{}, a.err
		}
		return answer(aaaa, aaaa.addresses, left6)
	case aaaa.err != nil:
		if len(a.addresses) == 0 && aaaa.err.Kind != NotFound {
			return Answer[netip.Addr]{}, aaaa.err
		}
		return answer(a, a.addresses, left)
	}
	return Answer[netip.Addr]{
		Records:   slices.Concat(a.addresses, aaaa.addresses),
		Name:      a.name,
		Authentic: a.authentic && aaaa.authentic,
		TTL:       max(min(left, left6), 0),
	}, nil
}

// reverseName returns the name in the reverse tree under which addr's PTR records stand.
func reverseName(addr netip.Addr) (string, *Error) {
	name, err := miekg.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return "", &Error{Kind: NotFound, Type: "PTR", Name: addr.String(), Detail: "not an address"}
	}
	return name, nil
}
