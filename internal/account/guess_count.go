package account

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// counter counts different things, each once for as long as it is remembered.
// The number halves each hour; what was counted stays known, so that an old
// secret that is repeated for weeks is never new.
type counter struct {
	seen    []uint64 // at most MaxGuessHashes, the one last seen at the end
	score   float64  // at the time at
	at      time.Time
	touched time.Time
	total   int // ever
}

// halfLife is how fast numbers fade.
const halfLife = time.Hour

// add reports whether h is new.
func (c *counter) add(h uint64, now time.Time) bool {
	c.touched = now
	if i := slices.Index(c.seen, h); i >= 0 {
		copy(c.seen[i:], c.seen[i+1:])
		c.seen[len(c.seen)-1] = h
		return false
	}
	if len(c.seen) >= MaxGuessHashes {
		copy(c.seen, c.seen[1:])
		c.seen[len(c.seen)-1] = h
	} else {
		c.seen = append(c.seen, h)
	}
	c.score, c.at = c.now(now)+1, now
	c.total++
	return true
}

// now is the number at a time.
func (c *counter) now(now time.Time) float64 {
	age := max(now.Sub(c.at), 0) // a clock may be set back
	if c.score == 0 || age == 0 {
		return c.score
	}
	return c.score * math.Exp2(-float64(age)/float64(halfLife))
}

func (c *counter) forgotten(now time.Time) bool { return now.Sub(c.touched) >= ForgetGuesses }

// whole rounds a number, so that seconds between two secrets do not matter.
func whole(score float64) int { return int(math.Round(score)) }

func (s *suspect) score(now time.Time) float64 { return max(s.secrets.now(now), s.logins.now(now)) }

func (s *suspect) forgotten(now time.Time) bool {
	return s.secrets.forgotten(now) && now.Sub(s.until) >= ForgetGuesses
}

// score is high only if both are many.
func (y *spray) score(now time.Time) float64 { return min(y.logins.now(now), y.networks.now(now)) }

// roomForNetwork forgets one network if as many are known as may be: one with
// little against it, and a banned one only if all are banned. So nobody drops
// what is held against him by coming from many other networks.
func (g *Guesses) roomForNetwork(now time.Time) {
	if len(g.open)+len(g.banned) < MaxGuessNetworks {
		return
	}
	if len(g.open) > 0 {
		makeRoom(g.open, len(g.open), func(s *suspect) float64 { return s.score(now) })
		return
	}
	makeRoom(g.banned, len(g.banned), func(s *suspect) float64 { return float64(s.until.Unix()) })
}

// sampled is how many are looked at to find the one that weighs least: to look
// at all would cost more than it is worth.
const sampled = 16

// makeRoom deletes one of a map that has most or more entries: of some that
// the order of the map gives, which is random, the one that weighs least.
func makeRoom[K comparable, V any](m map[K]V, most int, weight func(V) float64) {
	if len(m) < most {
		return
	}
	var least K
	lightest, n := math.Inf(1), 0
	for k, v := range m {
		if w := weight(v); n == 0 || w < lightest {
			least, lightest = k, w
		}
		if n++; n == sampled {
			break
		}
	}
	delete(m, least)
}

func deleteFunc[K comparable, V any](m map[K]V, drop func(K, V) bool) {
	for k, v := range m {
		if drop(k, v) {
			delete(m, k)
		}
	}
}

// clean forgets, once an hour, what is old.
func (g *Guesses) clean(now time.Time) {
	if now.Sub(g.cleaned) < halfLife {
		return
	}
	g.cleaned = now
	old := func(_ netip.Prefix, s *suspect) bool { return s.forgotten(now) }
	deleteFunc(g.open, old)
	deleteFunc(g.banned, old)
	deleteFunc(g.logins, func(_ uint64, c *counter) bool { return c.forgotten(now) })
	deleteFunc(g.hidden, func(_ uint64, c *counter) bool { return c.forgotten(now) })
	deleteFunc(g.sprays, func(_ uint64, y *spray) bool { return y.logins.forgotten(now) })
	deleteFunc(g.known, func(_ uint64, l []knownNetwork) bool { return now.Sub(l[len(l)-1].seen) >= KnownFor })
}
