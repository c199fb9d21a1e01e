// Package spf says whether a client may use a domain in MAIL FROM.
//
// It is a thin layer over blitiri.com.ar/go/spf that asks our own Resolver,
// so that its cache, its limits and the tests' zones are used. It decides
// nothing: intake does, and for now only whether a report about a failure may
// be sent back without becoming backscatter.
//
// RFC 7208.
package spf

import (
	"context"
	"net"
	"net/netip"
	"strings"

	library "blitiri.com.ar/go/spf"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dns"
)

// Result is a result of RFC 7208 §2.6.
type Result string

// The results.
const (
	None      Result = "none"
	Neutral   Result = "neutral"
	Pass      Result = "pass"
	Fail      Result = "fail"
	SoftFail  Result = "softfail"
	TempError Result = "temperror"
	PermError Result = "permerror"
)

// Check evaluates check_host (rfc7208#4) for a client address, the name that it
// gave in EHLO and a reverse-path. For the null reverse-path the postmaster of
// the EHLO name is checked (rfc7208#2.4). detail is for the log.
func Check(ctx context.Context, r dns.Resolver, client netip.Addr, helo string, from address.Mailbox) (res Result, detail string) {
	if !client.IsValid() {
		return None, "the client has no address"
	}
	// The library takes what follows the first @ for the domain; a quoted local
	// part may have one, and only macros read the local part.
	sender := strings.ReplaceAll(from.Local, "@", "=") + "@" + from.Domain.String()
	if from.IsZero() {
		sender = "postmaster@" + strings.ReplaceAll(helo, "@", "=")
	}
	return check(ctx, r, client, helo, sender)
}

// check is Check for a sender in the library's form.
func check(ctx context.Context, r dns.Resolver, client netip.Addr, helo, sender string) (res Result, detail string) {
	got, err := library.CheckHostWithSender(net.IP(client.Unmap().AsSlice()), helo, sender,
		library.WithContext(ctx), library.WithResolver(lookups{r}))
	if err != nil {
		detail = err.Error()
	}
	return Result(strings.ToLower(string(got))), detail
}

// lookups is our Resolver in the shape of net's, which the library asks for.
type lookups struct{ r dns.Resolver }

func (l lookups) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, err := l.r.TXT(ctx, name)
	return a.Records, mapped(name, err, len(a.Records))
}

func (l lookups) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	a, err := l.r.MX(ctx, name)
	mxs := make([]*net.MX, len(a.Records))
	for i, m := range a.Records {
		mxs[i] = &net.MX{Host: rooted(m.Host), Pref: m.Preference}
	}
	return mxs, mapped(name, err, len(mxs))
}

func (l lookups) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	a, err := l.r.Addresses(ctx, host)
	addrs := make([]net.IPAddr, len(a.Records))
	for i, ip := range a.Records {
		addrs[i] = net.IPAddr{IP: ip.Unmap().AsSlice()}
	}
	return addrs, mapped(host, err, len(addrs))
}

func (l lookups) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "not an address", Name: addr, IsNotFound: true}
	}
	a, err := l.r.PTR(ctx, ip)
	for i, name := range a.Records {
		a.Records[i] = rooted(name)
	}
	return a.Records, mapped(addr, err, len(a.Records))
}

// rooted ends a name with a dot, as package net does and the library expects.
func rooted(name string) string { return strings.TrimSuffix(name, ".") + "." }

// mapped turns our errors into those that the library tells apart: not found
// (a void look-up, rfc7208#4.6.4) and everything else, which is temporary.
func mapped(name string, err error, n int) error {
	switch {
	case err == nil && n > 0:
		return nil
	case err == nil, dns.IsNotFound(err):
		return &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
	}
	return &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
}
