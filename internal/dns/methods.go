package dns

import (
	"context"
	"net/netip"
	"time"

	miekg "github.com/miekg/dns"
)

// methods gives a Resolver's methods to whatever can answer one question. ask returns a result, never nil, and the time
// for which it may still be used.
type methods struct {
	ask func(context.Context, question) (*result, time.Duration)
}

// one asks for records of one type and picks the slice of the result that holds them.
func one[T any](ctx context.Context, m methods, name string, rrtype uint16, pick func(*result) []T) (Answer[T], error) {
	q, bad := newQuestion(name, rrtype)
	if bad != nil {
		return Answer[T]{}, bad
	}
	r, left := m.ask(ctx, q)
	return answer(r, pick(r), left)
}

// MX implements Resolver.
func (m methods) MX(ctx context.Context, domain string) (Answer[MX], error) {
	return one(ctx, m, domain, miekg.TypeMX, func(r *result) []MX { return r.mx })
}

// TXT implements Resolver.
func (m methods) TXT(ctx context.Context, name string) (Answer[string], error) {
	return one(ctx, m, name, miekg.TypeTXT, func(r *result) []string { return r.texts })
}

// TLSA implements Resolver.
func (m methods) TLSA(ctx context.Context, name string) (Answer[TLSA], error) {
	return one(ctx, m, name, miekg.TypeTLSA, func(r *result) []TLSA { return r.tlsa })
}

// PTR implements Resolver.
func (m methods) PTR(ctx context.Context, addr netip.Addr) (Answer[string], error) {
	name, bad := reverseName(addr)
	if bad != nil {
		return Answer[string]{}, bad
	}
	return one(ctx, m, name, miekg.TypePTR, func(r *result) []string { return r.texts })
}

// Addresses implements Resolver.
func (m methods) Addresses(ctx context.Context, host string) (Answer[netip.Addr], error) {
	q, bad := newQuestion(host, miekg.TypeA)
	if bad != nil {
		return Answer[netip.Addr]{}, bad
	}
	type late struct {
		*result
		left time.Duration
	}
	second := make(chan late, 1)
	go func() {
		r, left := m.ask(ctx, question{name: q.name, rrtype: miekg.TypeAAAA})
		second <- late{r, left}
	}()
	a, left := m.ask(ctx, q)
	aaaa := <-second
	return joinAddresses(a, aaaa.result, left, aaaa.left)
}
