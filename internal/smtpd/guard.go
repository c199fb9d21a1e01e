package smtpd

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// What is remembered of addresses, and for how long.
const (
	// maxTracked bounds each of the tables of a guard. What is forgotten when one
	// is full has misbehaved least lately.
	maxTracked = 100_000
	// firstBlock is how long an address is refused the first time; each time
	// more doubles it, up to longestBlock. Good behaviour for strikesFade makes
	// it a stranger again.
	longestBlock = time.Hour
	strikesFade  = 24 * time.Hour
	// acquainted is how long an address that has been here is no stranger.
	acquainted = 30 * 24 * time.Hour
	// loitered is how long nobody makes room for an address whose connection was
	// ended because it kept still, unless it sends a message meanwhile.
	loitered = 10 * time.Minute
)

// place is an address in one of the roles that we play for it: what somebody
// does on the port for users does not count against the mail server behind the
// same address.
type place struct {
	client netip.Prefix
	users  bool
}

// strike is what an address has earned by errors.
type strike struct {
	times        int
	since, until time.Time
	why          string // the name of the reply that ended the session
}

// Block is an address that is refused because sessions of it ended in errors.
type Block struct {
	Network netip.Prefix // IPv4 /32, IPv6 /64
	// Users says that it is refused on the ports for users, else on the others.
	Users bool
	// Why is the name of the reply that the last such session ended with, such as
	// "too-many-errors".
	Why          string
	Since, Until time.Time
	Times        int // so far
}

// bucket holds what is left of a rate: tokens come back with time.
type bucket struct {
	tokens float64
	at     time.Time
}

// guard remembers clients. It is safe for concurrent use.
type guard struct {
	mu       sync.Mutex // guards what follows
	blocked  map[place]strike
	opened   map[place]bucket // connections a minute
	mailed   map[place]bucket // messages a minute
	seenLast map[netip.Prefix]time.Time
	shed     map[netip.Prefix]time.Time
}

func newGuard() *guard {
	return &guard{
		blocked: map[place]strike{}, opened: map[place]bucket{}, mailed: map[place]bucket{}, seenLast: map[netip.Prefix]time.Time{},
		shed: map[netip.Prefix]time.Time{},
	}
}

// strike notes that a session ended because of errors; first is how long that
// keeps the address out the first time. The address is a stranger again: whoever
// spoke before the greeting is not let off the pause for having been here.
func (g *guard) strike(p place, why string, first time.Duration, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.seenLast, p.client)
	if first <= 0 {
		return
	}
	s := g.blocked[p]
	if now.Sub(s.until) > strikesFade {
		s = strike{}
	}
	s.times++
	s.since, s.why = now, why
	s.until = now.Add(min(first<<min(s.times-1, 16), longestBlock))
	makeRoom(g.blocked, func(s strike) bool { return now.Sub(s.until) > strikesFade })
	g.blocked[p] = s
}

// blockedFor returns how long an address is still refused; 0: it is not.
func (g *guard) blockedFor(p place, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.blocked[p].until.Sub(now), 0)
}

// blocks lists the addresses that are refused, those last refused first.
func (g *guard) blocks(now time.Time) []Block {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []Block
	for p, s := range g.blocked {
		if s.until.After(now) {
			list = append(list, Block{p.client, p.users, s.why, s.since, s.until, s.times})
		}
	}
	slices.SortFunc(list, func(a, b Block) int {
		if c := b.Since.Compare(a.Since); c != 0 {
			return c
		}
		return a.Network.Compare(b.Network)
	})
	return list
}

// unblock lets an address in again, on all ports, as if it had done nothing. It
// reports whether it was refused.
func (g *guard) unblock(client netip.Prefix, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := false
	for _, users := range []bool{false, true} {
		p := place{client, users}
		found = found || g.blocked[p].until.After(now)
		delete(g.blocked, p)
	}
	return found
}

// connect takes one connection from what an address may open in a minute, and
// returns how long to wait if there is none left. A rate of 0 is none.
func (g *guard) connect(p place, perMinute int, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return take(g.opened, p, perMinute, now)
}

// mail is connect for messages.
func (g *guard) mail(p place, perMinute int, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return take(g.mailed, p, perMinute, now)
}

func take(m map[place]bucket, p place, perMinute int, now time.Time) time.Duration {
	if perMinute <= 0 {
		return 0
	}
	most, each := float64(perMinute), float64(time.Minute)/float64(perMinute)
	b, ok := m[p]
	if !ok {
		makeRoom(m, func(b bucket) bool { return now.Sub(b.at) > time.Minute })
		b.tokens = most
	} else {
		b.tokens = min(b.tokens+float64(now.Sub(b.at))/each, most)
	}
	b.at = now
	if b.tokens < 1 {
		m[p] = b
		return time.Duration((1 - b.tokens) * each)
	}
	b.tokens--
	m[p] = b
	return 0
}

// stranger reports whether a client has not been here for long, and notes that
// it is here now.
func (g *guard) stranger(client netip.Prefix, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	last, ok := g.seenLast[client]
	makeRoom(g.seenLast, func(t time.Time) bool { return now.Sub(t) > acquainted })
	g.seenLast[client] = now
	return !ok || now.Sub(last) > acquainted
}

// loiters notes that a client kept still while others waited.
func (g *guard) loiters(client netip.Prefix, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	makeRoom(g.shed, func(t time.Time) bool { return now.Sub(t) > loitered })
	g.shed[client] = now
}

// loiterer reports whether it did so lately.
func (g *guard) loiterer(client netip.Prefix, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, ok := g.shed[client]
	return ok && now.Sub(t) < loitered
}

// sent notes that a message of a client was accepted.
func (g *guard) sent(client netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.shed, client)
}

// makeRoom sees that a full table has room for one more: what is stale goes,
// and if there is nothing of that, any sixteenth part.
func makeRoom[K comparable, V any](m map[K]V, stale func(V) bool) {
	if len(m) < maxTracked {
		return
	}
	for k, v := range m {
		if stale(v) {
			delete(m, k)
		}
	}
	if len(m) < maxTracked {
		return
	}
	for k := range m {
		if rand.IntN(16) == 0 {
			delete(m, k)
		}
	}
}
