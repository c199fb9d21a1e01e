package web

import (
	"net/netip"
	"sync"
	"time"
)

// Limits of the API, per client: an IPv4 address or an IPv6 /64 network.
const (
	// apiPerSecond is how many requests are granted each second in the long run,
	// apiBurst how many at once.
	apiPerSecond = 20
	apiBurst     = 2000
	// maxClients bounds the clients that are remembered, at some 100 octets each.
	maxClients = 10_000
)

// limiter grants requests: each client has a bucket of [apiBurst] that fills
// again at [apiPerSecond].
type limiter struct {
	mu      sync.Mutex
	clients map[netip.Prefix]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// clientOf is who shares a bucket. An address that is none counts as one
// client with all others of that kind.
func clientOf(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	a, bits := ap.Addr().Unmap(), 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// allow takes one request of a client, or says how long to wait for the next.
func (l *limiter) allow(client netip.Prefix, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients == nil {
		l.clients = make(map[netip.Prefix]bucket)
	}
	b, known := l.clients[client]
	if !known {
		if len(l.clients) >= maxClients {
			l.forget(now)
		}
		b = bucket{apiBurst, now}
	}
	b.left = min(apiBurst, b.left+max(0, now.Sub(b.at).Seconds())*apiPerSecond)
	b.at = now
	if b.left < 1 {
		l.clients[client] = b
		return time.Duration((1 - b.left) / apiPerSecond * float64(time.Second))
	}
	b.left--
	l.clients[client] = b
	return 0
}

// forget drops the clients whose buckets are full again; if that does not make
// room, all of them: a flood of addresses must not become a flood of memory.
func (l *limiter) forget(now time.Time) {
	for c, b := range l.clients {
		if b.left+now.Sub(b.at).Seconds()*apiPerSecond >= apiBurst {
			delete(l.clients, c)
		}
	}
	if len(l.clients) >= maxClients {
		clear(l.clients)
	}
}
