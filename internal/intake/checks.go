package intake

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/transaction"
)

// The checks, in the order in which they are made. The first that refuses
// answers; each that has something to say is logged with its verdict. Who has
// logged in, comes from a trusted or exempt network or by LMTP, or was let in
// by a rule, passes those marked with a star unseen.
//
//	connect   rules.clients
//	MAIL      rules.senders, sender_domain*
//	RCPT      rules.recipients, then whether the address exists, then
//	          block_lists*, reverse_dns*, hello*, greylist*
//	content   loop mark, milters
//
// A postmaster can be written to whatever the starred ones say (rfc5321#4.5.1).

// Strictness is what a check does with what it finds.
type Strictness uint8

// The levels.
const (
	Off Strictness = iota
	LogOnly
	Refuse
)

// Checks are the settings of the checks.
type Checks struct {
	// BlockLists are zones of DNS in which listed addresses are found
	// (rfc5782#2.1).
	BlockLists []string
	// ReverseDNS wants a host name that leads back to the client's address.
	ReverseDNS Strictness
	// Hello wants a name after EHLO that exists and is not ours.
	Hello Strictness
	// SenderDomain wants a domain of the reverse-path that could be answered.
	SenderDomain Strictness
	// Greylist is how long a client that was never here has to wait; 0: nobody
	// waits.
	Greylist time.Duration
	// Exempt are networks to which no check applies.
	Exempt []netip.Prefix
	// Verify says who is told by VRFY whether an address exists.
	Verify Verify
	// Clients, Senders and Recipients are rules; the first that matches counts.
	Clients, Senders, Recipients []Rule
}

// Rule lets somebody in or keeps him out.
type Rule struct {
	Allow bool
	// Network is for clients.
	Network netip.Prefix
	// Address, if it is not zero, is the one address. Otherwise Domain is the
	// domain, and Below says that the names below it are meant and not it.
	Address address.Mailbox
	Domain  address.Domain
	Below   bool
	// Null is the null reverse-path.
	Null bool
	// Text is what a refusal says; "" for a text of ours.
	Text string
}

func (r *Rule) matches(m address.Mailbox) bool {
	switch {
	case r.Null || m.IsZero():
		return r.Null && m.IsZero()
	case !r.Address.IsZero():
		return r.Address.Key() == m.Key()
	case r.Below:
		return strings.HasSuffix(m.Domain.String(), "."+r.Domain.String())
	}
	return r.Domain == m.Domain
}

// find returns the first rule that matches an address.
func find(rules []Rule, m address.Mailbox) *Rule {
	for i := range rules {
		if rules[i].matches(m) {
			return &rules[i]
		}
	}
	return nil
}

// note logs what a check found.
func (h *Handler) note(p *transaction.Peer, check, verdict string, what ...any) {
	h.opt.Logger.Info("check", append([]any{"session", p.Session, "check", check, "verdict", verdict, "remote", p.Remote.Addr().String()}, what...)...)
}

// Connect applies the rules for clients. Everything else waits until somebody
// has something to send: most connections of strangers never do.
func (h *Handler) Connect(_ context.Context, p *transaction.Peer) reply.Reply {
	s := h.settings.Load()
	a := p.Remote.Addr().Unmap().WithZone("")
	for i := range s.Checks.Clients {
		r := &s.Checks.Clients[i]
		if !r.Network.Contains(a) {
			continue
		}
		if r.Allow {
			break
		}
		h.note(p, "rules.clients", "refused", "rule", r.Network.String())
		return reply.ClientRefused(h.opt.Hostname, r.Text)
	}
	if p.Service.Submits() {
		now := time.Now()
		if until := h.opt.Checker.Blocked(p.Remote.Addr(), now); !until.IsZero() {
			return reply.LoginsBlocked(h.opt.Hostname, until.Sub(now))
		}
	}
	return reply.Reply{}
}

// exempt reports whether the starred checks pass a client unseen.
func (s *Settings) exempt(p *transaction.Peer) bool {
	if p.Service != transaction.MX || p.Login != "" || s.trusted(p) {
		return true
	}
	a := p.Remote.Addr().Unmap().WithZone("")
	if slices.ContainsFunc(s.Checks.Exempt, func(n netip.Prefix) bool { return n.Contains(a) }) {
		return true
	}
	for i := range s.Checks.Clients {
		if r := &s.Checks.Clients[i]; r.Network.Contains(a) {
			return r.Allow
		}
	}
	return false
}

// checkSender applies the rules for senders, and looks for their domain.
func (h *Handler) checkSender(ctx context.Context, s *Settings, p *transaction.Peer, from address.Mailbox) (allowed bool, r reply.Reply) {
	if rule := find(s.Checks.Senders, from); rule != nil {
		if !rule.Allow {
			h.note(p, "rules.senders", "refused", "from", from.String())
			return false, reply.SenderRefused(from, rule.Text)
		}
		return true, reply.Reply{}
	}
	if s.Checks.SenderDomain == Off || from.IsZero() || h.opt.DNS == nil || s.exempt(p) {
		return false, reply.Reply{}
	}
	verdict, r := h.senderDomain(ctx, from)
	if verdict != "" {
		h.note(p, "sender_domain", verdict, "from", from.String())
	}
	if s.Checks.SenderDomain == LogOnly {
		r = reply.Reply{}
	}
	return false, r
}

// senderDomain looks whether the sender could be answered: by MX or address
// (rfc5321#5.1), and no null MX (rfc7505#4.2).
func (h *Handler) senderDomain(ctx context.Context, from address.Mailbox) (verdict string, r reply.Reply) {
	if _, ok := from.Domain.Literal(); ok {
		return "", reply.Reply{}
	}
	name := from.Domain.String()
	mx, err := h.opt.DNS.MX(ctx, name)
	switch {
	case dns.IsNotFound(err):
		return "no such domain", reply.SenderDomainUnknown(from)
	case err != nil:
		return "not known: " + err.Error(), reply.SenderDomainUnchecked(from)
	case len(mx.Records) == 1 && mx.Records[0].IsNull():
		return "null MX", reply.SenderNullMX(from)
	case len(mx.Records) > 0:
		return "", reply.Reply{}
	}
	addrs, err := h.opt.DNS.Addresses(ctx, name)
	switch {
	case err != nil && !dns.IsNotFound(err):
		return "not known: " + err.Error(), reply.SenderDomainUnchecked(from)
	case err != nil || len(addrs.Records) == 0:
		return "neither MX nor address", reply.SenderDomainUnknown(from)
	}
	return "", reply.Reply{}
}

// findings are what DNS says of a client. They are asked for once a transaction,
// all at a time, while the client sends its commands.
type findings struct {
	done    chan struct{}
	list    string // the block list that has the client, "" for none
	why     string
	noName  bool   // no verified host name
	name    string // the verified host name, "" if nobody asked
	badName string
}

// inspect begins to ask what the settings want to know.
func (h *Handler) inspect(ctx context.Context, s *Settings, p *transaction.Peer) *findings {
	c := &s.Checks
	if h.opt.DNS == nil || s.exempt(p) || len(c.BlockLists) == 0 && c.ReverseDNS == Off && c.Hello == Off {
		return nil
	}
	f := &findings{done: make(chan struct{})}
	a, helo := p.Remote.Addr().Unmap(), p.Helo
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkPatience)
	go func() {
		defer close(f.done)
		defer cancel()
		defer func() {
			if e := recover(); e != nil { // it reads what strangers publish
				h.opt.Logger.Error("defect: a check panicked", "session", p.Session, "panic", e)
			}
		}()
		var all sync.WaitGroup
		if len(c.BlockLists) > 0 {
			all.Go(func() { f.list, f.why = h.listed(ctx, c.BlockLists, a) })
		}
		if c.ReverseDNS != Off {
			all.Go(func() { f.name, f.noName = h.hostName(ctx, a) })
		}
		if c.Hello != Off {
			all.Go(func() { f.badName = h.badHello(ctx, helo, a) })
		}
		all.Wait()
	}()
	return f
}

// checkPatience is how long DNS may take over the checks of one client. What is
// not known then counts in its favour.
const checkPatience = 5 * time.Second

// listed asks the block lists, all at a time, and returns the first in their
// order that has the address. Answers outside 127.0.0.0/8 are not listings, and
// those in 127.255.255.0/24 are complaints about who asks (rfc5782#2.1, and the
// custom of the large lists).
func (h *Handler) listed(ctx context.Context, lists []string, a netip.Addr) (list, why string) {
	var all sync.WaitGroup
	found := make([]bool, len(lists))
	for i, zone := range lists {
		all.Go(func() {
			answer, err := h.opt.DNS.Addresses(ctx, reversed(a)+zone)
			if err != nil {
				return
			}
			for _, r := range answer.Records {
				found[i] = found[i] || r.Is4() && r.As4()[0] == 127 && !complaint.Contains(r)
			}
		})
	}
	all.Wait()
	i := slices.Index(found, true)
	if i < 0 {
		return "", ""
	}
	if text, err := h.opt.DNS.TXT(ctx, reversed(a)+lists[i]); err == nil && len(text.Records) > 0 {
		why = text.Records[0]
	}
	return lists[i], why
}

var complaint = netip.MustParsePrefix("127.255.255.0/24")

// reversed is the address as the labels that stand before a zone, each with its
// dot (rfc5782#2.1, rfc5782#2.4).
func reversed(a netip.Addr) string {
	var b strings.Builder
	if a.Is4() {
		for _, o := range slices.Backward(a.AsSlice()) {
			b.WriteString(strconv.Itoa(int(o)) + ".")
		}
		return b.String()
	}
	const hex = "0123456789abcdef"
	for _, o := range slices.Backward(a.AsSlice()) {
		b.Write([]byte{hex[o&15], '.', hex[o>>4], '.'})
	}
	return b.String()
}

// hostName returns the name of the reverse tree that leads back to the address
// (rfc8601#3, iprev); none says that there is none. Trouble is no proof.
func (h *Handler) hostName(ctx context.Context, a netip.Addr) (name string, none bool) {
	names, err := h.opt.DNS.PTR(ctx, a)
	if err != nil {
		return "", dns.IsNotFound(err)
	}
	const most = 5
	for i, name := range names.Records {
		if i == most {
			break
		}
		addrs, err := h.opt.DNS.Addresses(ctx, name)
		switch {
		case slices.Contains(addrs.Records, a):
			return name, false
		case err != nil && !dns.IsNotFound(err):
			return "", false
		}
	}
	return "", true
}

// badHello says what is wrong with the name that a client gave itself
// (rfc5321#4.1.4 leaves refusing for it to us), "" for nothing.
func (h *Handler) badHello(ctx context.Context, helo string, a netip.Addr) string {
	d, err := address.ParseDomain(strings.TrimSuffix(helo, "."))
	switch {
	case err != nil:
		return "is no host name"
	case strings.EqualFold(d.String(), h.opt.Hostname):
		return "is our own name"
	}
	if ip, ok := d.Literal(); ok {
		if ip.Unmap() != a {
			return "is not your address"
		}
		return ""
	}
	if _, err := netip.ParseAddr(helo); err == nil {
		return "is an address without its brackets"
	}
	addrs, err := h.opt.DNS.Addresses(ctx, d.String())
	if err != nil && !dns.IsNotFound(err) || len(addrs.Records) > 0 {
		return ""
	}
	if mx, err := h.opt.DNS.MX(ctx, d.String()); err == nil && len(mx.Records) > 0 || err != nil && !dns.IsNotFound(err) {
		return ""
	}
	return "is a name that does not exist"
}

// checkClient applies the checks of RCPT to a client that writes to an address
// of ours.
func (m *mail) checkClient(to address.Mailbox) reply.Reply {
	s, h, p := m.settings, m.h, m.peer
	c := &s.Checks
	if rule := find(c.Recipients, to); rule != nil && rule.Allow || m.allowed || to.IsPostmaster() || s.exempt(p) {
		return reply.Reply{}
	}
	if f := m.found; f != nil {
		<-f.done
		a := p.Remote.Addr().Unmap()
		if f.list != "" {
			h.note(p, "block_lists", "refused", "list", f.list, "why", f.why)
			return reply.BlockListed(a.String(), f.list, f.why)
		}
		if f.noName {
			h.note(p, "reverse_dns", "no name")
			if c.ReverseDNS == Refuse {
				return reply.ReverseDNSMissing(a.String())
			}
		}
		if f.badName != "" {
			h.note(p, "hello", f.badName, "helo", p.Helo)
			if c.Hello == Refuse {
				return reply.HelloRefused(p.Helo, f.badName)
			}
		}
	}
	if c.Greylist > 0 {
		if wait := h.grey.wait(p.Remote.Addr(), m.from, to, c.Greylist, time.Now()); wait > 0 {
			h.note(p, "greylist", "deferred", "from", m.from.String(), "to", to.String(), "wait", wait.String())
			return reply.Greylisted(wait)
		}
	}
	return reply.Reply{}
}

// Limits of the greylist.
const (
	greyMost   = 200_000
	greyForget = 2 * 24 * time.Hour  // who does not come back in time begins again
	greyKnown  = 36 * 24 * time.Hour // who did is not made to wait, and not after any mail since
)

// greylist remembers who was asked to come back. It is in memory only: after a
// restart everybody waits once more, and nothing is lost.
type greylist struct {
	mu    sync.Mutex // guards what follows
	first map[[16]byte]time.Time
	known map[netip.Prefix]time.Time
}

func newGreylist() *greylist {
	return &greylist{first: map[[16]byte]time.Time{}, known: map[netip.Prefix]time.Time{}}
}

// wait returns how long the client has still to wait for this sender and
// recipient. A client that has come back once is known from then on: a large
// provider sends from many addresses of one network.
func (g *greylist) wait(a netip.Addr, from, to address.Mailbox, delay time.Duration, now time.Time) time.Duration {
	bits := 24
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = 64
	}
	client, err := a.Prefix(bits)
	if err != nil || !client.IsValid() { // XCLIENT may leave a client without an address
		return 0
	}
	sum := sha256.Sum256([]byte(client.String() + "\x00" + from.Key() + "\x00" + to.Key()))
	key := [16]byte(sum[:16])
	g.mu.Lock()
	defer g.mu.Unlock()
	if last, ok := g.known[client]; ok && now.Sub(last) < greyKnown {
		g.known[client] = now
		return 0
	}
	first, ok := g.first[key]
	if !ok || now.Sub(first) > greyForget {
		trim(g.first, greyForget, now)
		g.first[key] = now
		return delay
	}
	if left := delay - now.Sub(first); left > 0 {
		return left
	}
	delete(g.first, key)
	trim(g.known, greyKnown, now)
	g.known[client] = now
	return 0
}

// trim sees that there is room for one more.
func trim[K comparable](m map[K]time.Time, life time.Duration, now time.Time) {
	if len(m) < greyMost {
		return
	}
	for k, t := range m {
		if now.Sub(t) > life {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) < greyMost/16*15 {
			return
		}
		delete(m, k)
	}
}
