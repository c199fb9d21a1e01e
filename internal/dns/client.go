package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	miekg "github.com/miekg/dns"
)

// Limits of a Client.
const (
	// DefaultTryTimeout is how long one server may take over one question, UDP and TCP together.
	DefaultTryTimeout = 3 * time.Second
	// DefaultTries is how often a question is sent, over all servers.
	DefaultTries = 4
	// DefaultCacheEntries is how many answers are kept. With maxCachedOctets this bounds the cache to some 40 MB at worst;
	// common answers take less than 1 KB.
	DefaultCacheEntries = 8192
	// maxInFlight is how many questions are with the servers at one time, a socket each. More wait for their turn.
	maxInFlight = 256
)

// Options say whom a Client asks. The zero value of every field but Servers is its default.
type Options struct {
	// Servers are recursive resolvers, address:port or a bare address (port 53). At least one.
	Servers []string
	// TrustAD says that the way to all Servers is safe, so that their AD bit counts. Servers on loopback are always
	// trusted, others only by this (rfc4035#4.9.3, rfc6840#5.7).
	TrustAD bool
	// Dial opens a connection of network "udp" or "tcp"; by default a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TryTimeout is in place of DefaultTryTimeout, Tries of DefaultTries, CacheEntries of DefaultCacheEntries.
	TryTimeout   time.Duration
	Tries        int
	CacheEntries int
}

// Client is a Resolver over recursive name servers. It asks over UDP, and over TCP when an answer did not fit; a server
// that is silent or cannot answer is followed by the next one, and the one that answered last is asked first. The same
// question asked by several callers at once is sent once. Answers, absences and failures are kept for a bounded time.
//
// A Client has no background work of its own: nothing needs to be closed. When the last caller that waits for a
// question gives up, the question is dropped.
type Client struct {
	methods  // the Resolver methods, over ask
	servers  []server
	first    atomic.Uint32 // index of the server to ask first
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	timeout  time.Duration
	tries    int
	turn     chan struct{} // one element for each question that is with the servers
	exchange func(ctx context.Context, address string, m *miekg.Msg) (*miekg.Msg, error)

	mu      sync.Mutex // guards cache and flights
	cache   cache
	flights map[question]*flight
}

var _ Resolver = (*Client)(nil)

// server is one recursive resolver.
type server struct {
	address string
	trusted bool // its AD bit counts
}

// flight is a question that is being asked, and those who wait for it.
type flight struct {
	done    chan struct{} // closed when result is set
	result  *result
	waiters int // guarded by Client.mu
	cancel  context.CancelFunc
}

// NewClient makes a Client. It fails if there is no server, or if one is not an IP address with or without a port.
func NewClient(o Options) (*Client, error) {
	if len(o.Servers) == 0 {
		return nil, errors.New("no DNS server is given: name one in /etc/resolv.conf or in dns.servers")
	}
	c := &Client{
		dial:    o.Dial,
		timeout: orDefault(o.TryTimeout, DefaultTryTimeout),
		tries:   orDefault(o.Tries, DefaultTries),
		turn:    make(chan struct{}, maxInFlight),
		cache:   cache{max: orDefault(o.CacheEntries, DefaultCacheEntries), entries: make(map[question]entry)},
		flights: make(map[question]*flight),
	}
	if c.dial == nil {
		c.dial = new(net.Dialer).DialContext
	}
	for _, s := range o.Servers {
		address, err := serverAddress(s)
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, server{address.String(), o.TrustAD || address.Addr().Unmap().IsLoopback()})
	}
	c.exchange = c.exchangeWire
	c.methods = methods{c.ask}
	return c, nil
}

// orDefault returns value if it is positive.
func orDefault[T int | time.Duration](value, byDefault T) T {
	if value > 0 {
		return value
	}
	return byDefault
}

// serverAddress reads an entry of Options.Servers.
func serverAddress(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(addr, 53), nil
	}
	address, err := netip.ParseAddrPort(s)
	if err != nil || address.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("DNS server %q: write an IP address with or without a port, such as 127.0.0.1:53 or [::1]:53", s)
	}
	return address, nil
}

// Flush forgets all answers. Questions on their way are not disturbed.
func (c *Client) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.cache.entries)
}

// ask answers a question from the cache, or joins or starts its flight.
func (c *Client) ask(ctx context.Context, q question) (*result, time.Duration) {
	if err := ctx.Err(); err != nil {
		return &result{err: q.fail(Timeout, "", "", err)}, 0
	}
	c.mu.Lock()
	if r, left, ok := c.cache.get(q, time.Now()); ok {
		c.mu.Unlock()
		return r, left
	}
	f := c.flights[q]
	if f == nil {
		f = c.launch(ctx, q)
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
		return f.result, keepTime(f.result)
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		c.drop(q, f) // who asks from now on must not wait for a flight that was called off
	}
	return &result{err: q.fail(Timeout, "", "", ctx.Err())}, 0
}

// launch starts asking a question; c.mu is held. The flight outlives the caller's context, as others may join it, and has
// a deadline of its own.
func (c *Client) launch(ctx context.Context, q question) *flight {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(c.tries)*c.timeout)
	f := &flight{done: make(chan struct{}), cancel: cancel}
	c.flights[q] = f
	go func() {
		defer cancel()
		r, octets := c.resolve(ctx, q)
		c.mu.Lock()
		defer c.mu.Unlock()
		if !errors.Is(ctx.Err(), context.Canceled) {
			c.cache.put(q, r, octets, time.Now())
		}
		c.drop(q, f)
		f.result = r
		close(f.done)
	}()
	return f
}

// drop takes a flight off the list, unless a newer one has its place; c.mu is held.
func (c *Client) drop(q question, f *flight) {
	if c.flights[q] == f {
		delete(c.flights, q)
	}
}

// resolve asks for q and, if the servers do not do it, for the targets of its aliases. octets is the size of the answers.
func (c *Client) resolve(ctx context.Context, q question) (r *result, octets int) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return &result{err: q.fail(Timeout, "", "too many questions at one time", ctx.Err())}, 0
	}
	r = &result{authentic: true, ttl: maxTTL}
	name := q.name
	for hops := 0; ; {
		m, from, bad := c.query(ctx, question{name, q.rrtype})
		if bad != nil {
			bad.Name = plain(q.name)
			return &result{err: bad}, 0
		}
		octets += m.Len()
		s, err := follow(m.Answer, name, q.rrtype)
		if hops += s.hops; err != nil || hops > maxAliases {
			return &result{err: q.fail(ServerFailure, from.address, "", errAliases)}, 0
		}
		if s.hops > 0 || len(s.records) > 0 {
			r.ttl = min(r.ttl, time.Duration(s.ttl)*time.Second)
		}
		r.authentic = r.authentic && from.trusted && m.AuthenticatedData
		absent, known := absenceTTL(m, s.end)
		switch {
		case m.Rcode == miekg.RcodeNameError:
			// The code is about the last name of the chain (rfc6604#3).
			return &result{ttl: min(r.ttl, absent), err: q.fail(NotFound, from.address, "NXDOMAIN", nil)}, octets
		case len(s.records) > 0:
			r.name = plain(s.end)
			r.decode(s.records)
			return r, octets
		case s.hops == 0 || known:
			r.name, r.ttl = plain(s.end), min(r.ttl, absent)
			return r, octets
		}
		name = s.end // the server gave the alias without its target: not all are recursive
	}
}

// absenceTTL returns for how long a server says that there is nothing at name: the lesser of the TTL and the MINIMUM of
// the SOA in the authority section (rfc2308#5). Without one, which ought not to be kept, known is false.
func absenceTTL(m *miekg.Msg, name string) (ttl time.Duration, known bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*miekg.SOA); ok && miekg.IsSubDomain(soa.Hdr.Name, name) {
			return time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second, true
		}
	}
	return 0, false
}
