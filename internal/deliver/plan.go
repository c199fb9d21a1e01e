package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/queue"
)

// hop is one address of one host that may take the mail.
type hop struct {
	// key tells connections apart that may not stand in for each other.
	key hopKey
	// route is the route that names it; for a mail exchanger the zero Route.
	route Route
}

// hopKey is comparable. Two domains that share a mail exchanger share its
// connections; a route shares with nobody but itself.
type hopKey struct {
	route string // the pattern with "route:", "" for a mail exchanger
	host  string
	addr  netip.AddrPort
	mode  TLSMode
	lax   bool // AnyCertificate
	safe  bool // for REQUIRETLS
	login string
}

func (h *hop) isRoute() bool { return h.key.route != "" }

// way finds the hops of a destination, level by level: hosts of a level are
// equals, and the next level is only looked at when all of this one have failed
// (rfc5321#5.1).
type way struct {
	d      *Deliverer
	dest   queue.Destination
	domain string
	// levels that are left; each is a list of hosts.
	levels [][]string
	begun  bool
	passed int // levels that have been walked over
	hosts  int // how many hosts may still be tried
	route  *Route
	// safe says that the message has REQUIRETLS (rfc8689#4.2.1).
	safe bool
}

func (d *Deliverer) way(dest queue.Destination, safe bool) *way {
	return &way{d: d, dest: dest, hosts: d.opt.Limits.Hosts, safe: safe}
}

// next returns the hops of the next level, at least one. A fate says that
// there are none: it is nil when those that were there before are all.
func (w *way) next(ctx context.Context) ([]hop, *fate) {
	if !w.begun {
		w.begun = true
		if pattern, ok := w.dest.Route(); ok {
			return w.byRoute(ctx, pattern)
		}
		if hops, f := w.byDomain(ctx); hops != nil || f != nil {
			return hops, f
		}
	}
	var worst *fate
	for len(w.levels) > 0 && w.hosts > 0 {
		level := w.levels[0]
		w.levels = w.levels[1:]
		hops, f := w.level(ctx, level)
		w.passed++
		if len(hops) > 0 {
			return hops, nil
		}
		if worst = graver(worst, f); f != nil && !f.elsewhere {
			break
		}
	}
	return nil, worst
}

// byRoute returns the addresses of the route's host.
func (w *way) byRoute(ctx context.Context, pattern string) ([]hop, *fate) {
	r, ok := (*w.d.routes.Load())(pattern)
	switch {
	case !ok:
		return nil, noRoute(fmt.Errorf("the configuration has no route %q any more; add it, or send the message on with «onward queue retry»", pattern))
	case r.Host == "" || r.Port < 0 || r.Port > 65535:
		return nil, noRoute(fmt.Errorf("the route %q has no usable host and port: %q %d", pattern, r.Host, r.Port))
	case r.Port == 0 && r.TLS == Implicit:
		r.Port = implicitPort
	case r.Port == 0:
		r.Port = w.d.opt.Port
	}
	w.route = &r
	host := strings.ToLower(strings.TrimSuffix(r.Host, "."))
	addrs, f := w.addresses(ctx, host)
	if f != nil {
		// An operator's spelling mistake must not bounce mail.
		if f.kind == queue.Failure {
			f = noRoute(fmt.Errorf("the host %s of the route %q: %s", host, pattern, f.detail))
		}
		return nil, f
	}
	var hops []hop
	for _, a := range addrs {
		if w.d.own(a) {
			return nil, loopHere(stageDNS, fmt.Errorf("the route %q leads to this server itself (%s); correct it in the configuration", pattern, a))
		}
		hops = append(hops, w.hop(host, a))
	}
	return hops, nil
}

// byDomain looks up the mail exchangers. It returns hops only for an address
// literal; otherwise it leaves the levels.
func (w *way) byDomain(ctx context.Context) ([]hop, *fate) {
	domain, err := address.ParseDomain(string(w.dest))
	if err != nil {
		return nil, failure(stageDNS, queue.ScopeDestination, "domain_not_found", "5.1.2", err)
	}
	w.domain = domain.String()
	if ip, ok := domain.Literal(); ok { // rfc5321#4.1.3
		a := netip.AddrPortFrom(ip.Unmap(), uint16(w.d.opt.Port))
		if w.d.own(a) {
			return nil, loopMX(w.domain, a.String())
		}
		return w.hopsOf(ip.String(), []netip.AddrPort{a}), nil
	}
	answer, err := w.d.opt.Resolver.MX(ctx, w.domain)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, interrupted(stageDNS, context.Cause(ctx))
	case err != nil:
		return nil, unresolved(err, false)
	case w.safe && !answer.Authentic: // rfc8689#4.2.1: the name of the host must be beyond doubt
		return nil, noRequireTLS(fmt.Errorf("DNSSEC does not vouch for the mail exchangers of %s", w.domain))
	case len(answer.Records) == 0: // the implicit MX, rfc5321#5.1
		w.levels = [][]string{{w.domain}}
		return nil, nil
	case len(answer.Records) == 1 && answer.Records[0].IsNull():
		return nil, nullMX(w.domain)
	}
	w.levels = levels(answer.Records)
	if len(w.levels) == 0 {
		return nil, noAddresses(fmt.Errorf("no MX record of %s names a host", w.domain))
	}
	return nil, nil
}

// levels groups mail exchangers by preference and shuffles equals, so that the
// load is spread (rfc5321#5.1). A null MX among others is no host (rfc7505#3).
func levels(records []dns.MX) [][]string {
	var list [][]string
	last := -1
	for _, mx := range records {
		if mx.IsNull() || mx.Host == "" {
			continue
		}
		if int(mx.Preference) != last {
			last = int(mx.Preference)
			list = append(list, nil)
		}
		level := &list[len(list)-1]
		if !slices.Contains(*level, mx.Host) {
			*level = append(*level, mx.Host)
		}
	}
	for _, level := range list {
		rand.Shuffle(len(level), func(i, k int) { level[i], level[k] = level[k], level[i] })
	}
	return list
}

// level returns the hops of one level. If one of its hosts is ourselves, neither
// this level nor any later one is used (rfc5321#5.1).
func (w *way) level(ctx context.Context, hosts []string) ([]hop, *fate) {
	var hops []hop
	var worst *fate
	for _, host := range hosts {
		if strings.EqualFold(host, w.d.opt.Hostname) {
			return w.ours(host)
		}
	}
	for _, host := range hosts {
		if w.hosts == 0 {
			break
		}
		addrs, f := w.addresses(ctx, host)
		if f != nil {
			worst = graver(worst, f)
			continue
		}
		for _, a := range addrs {
			if w.d.own(a) {
				return w.ours(host)
			}
		}
		w.hosts--
		hops = append(hops, w.hopsOf(host, addrs)...)
	}
	if len(hops) == 0 && worst == nil {
		worst = noAddresses(fmt.Errorf("%s: none of the addresses of its mail exchangers may be spoken to", w.domain))
	}
	return hops, worst
}

// ours ends the walk at ourselves: an error only if nobody stood before us.
func (w *way) ours(host string) ([]hop, *fate) {
	w.levels = nil
	if w.passed > 0 {
		return nil, nil
	}
	return nil, loopMX(w.domain, host)
}

// hopsOf returns the hops to those addresses that are permitted.
func (w *way) hopsOf(host string, addrs []netip.AddrPort) []hop {
	hops := make([]hop, 0, len(addrs))
	for _, a := range addrs {
		if w.d.opt.Permitted == nil || w.d.opt.Permitted(a) {
			hops = append(hops, w.hop(host, a))
		}
	}
	return hops
}

func (w *way) hop(host string, a netip.AddrPort) hop {
	h := hop{key: hopKey{host: host, addr: a, mode: w.d.opt.MXTLS}, route: Route{TLS: w.d.opt.MXTLS}}
	if w.route != nil {
		r := *w.route
		if r.Username != "" && r.TLS == Opportunistic && !a.Addr().IsLoopback() {
			r.TLS = Require // a password is not sent to whoever answers
		}
		h.route = r
		h.key.route, h.key.mode, h.key.lax, h.key.login = string(w.dest), r.TLS, r.AnyCertificate, r.Username
	}
	if w.safe && !h.key.safe {
		if h.route.TLS != Implicit {
			h.route.TLS = Require
		}
		h.route.AnyCertificate = false
		h.key.safe, h.key.mode, h.key.lax = true, h.route.TLS, false
	}
	return h
}

// addresses returns where the host can be reached, IPv6 and IPv4 in turn: if one
// of the two does not work here, the other is next.
func (w *way) addresses(ctx context.Context, host string) ([]netip.AddrPort, *fate) {
	port := uint16(w.d.opt.Port)
	if w.route != nil {
		port = uint16(w.route.Port)
		if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), port)}, nil
		}
	}
	answer, err := w.d.opt.Resolver.Addresses(ctx, host)
	if err == nil && len(answer.Records) == 0 {
		err = errors.New(host + " has neither an A nor an AAAA record")
		return nil, noAddresses(err)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, interrupted(stageDNS, context.Cause(ctx))
		}
		return nil, unresolved(err, host != w.domain)
	}
	return interleave(answer.Records, port), nil
}

// interleave orders addresses: 6, 4, 6, 4, …
func interleave(addrs []netip.Addr, port uint16) []netip.AddrPort {
	list := make([]netip.AddrPort, 0, len(addrs))
	var four, six []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	for len(four)+len(six) > 0 {
		for _, from := range []*[]netip.Addr{&six, &four} {
			if len(*from) > 0 {
				list = append(list, netip.AddrPortFrom((*from)[0], port))
				*from = (*from)[1:]
			}
		}
	}
	return list
}

// own reports whether we listen there ourselves.
func (d *Deliverer) own(a netip.AddrPort) bool {
	return d.opt.OwnAddress != nil && d.opt.OwnAddress(a)
}
