package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of Guesses. All that is counted lives in memory and is lost at a
// restart; then a guesser begins anew, and so does nobody else: where a login is
// at home is kept by the Directory, which tells it again (Know).
const (
	MaxGuessNetworks = 50_000 // networks that sent wrong secrets, banned ones included
	MaxGuessLogins   = 50_000 // names that were guessed at, and as many that have known networks
	MaxGuessSecrets  = 50_000 // secrets that were tried, in search of one tried everywhere
	MaxGuessHashes   = 64     // of secrets, of logins or of networks, remembered of each of these
	MaxKnownNetworks = 16     // of one login, the ones last seen

	MaxGuessDelay = 15 * time.Second
	MaxBanTime    = 24 * time.Hour
	// KnownFor is how long a network is known to a login after a right secret.
	KnownFor = 30 * 24 * time.Hour
	// ForgetGuesses is how long after its last wrong secret, or the end of its
	// ban, nothing is known of a network any more.
	ForgetGuesses = 24 * time.Hour

	// wideFactor is how many times the thresholds are for wide networks, which
	// are those of many people.
	wideFactor = 3
)

// GuessOptions say how many wrong secrets are too many.
type GuessOptions struct {
	// Delay is the number of distinct wrong secrets of one network, or for one
	// login, after which each further one waits; at most MaxGuessHashes, 0: never.
	Delay int
	// Ban is the number after which the network is refused; more than Delay, 0:
	// never.
	Ban int
	// BanTime is how long the first ban of a network is. Each further one is
	// twice as long as the one before, up to MaxBanTime.
	BanTime time.Duration
	// Exempt networks are neither counted nor delayed nor refused.
	Exempt []netip.Prefix
}

// Hold is what a client has to bear.
type Hold struct {
	// Delay is how long to wait before the next secret is looked at, at most
	// MaxGuessDelay.
	Delay time.Duration
	// Until is when the client is let in again; zero: it is not refused.
	Until time.Time
	// Banned is the network that this very wrong secret got refused, if it did.
	Banned netip.Prefix
}

func (h *Hold) join(delay time.Duration, until time.Time) {
	h.Delay = max(h.Delay, delay)
	if until.After(h.Until) {
		h.Until = until
	}
}

// Ports are those on which a network is refused.
type Ports string

// The ports; who is refused on those for users may still bring mail.
const (
	PortsForUsers Ports = "users" // submission, with and without implicit TLS
	PortsForMail  Ports = "mail"  // SMTP between servers
)

// Ban is a network that is refused.
type Ban struct {
	Network netip.Prefix `json:"network"`
	Ports   Ports        `json:"ports"`
	Why     string       `json:"why"`
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
	// Tries are wrong secrets, the same ones again included, or sessions that ended
	// in errors. Secrets and Logins are the different ones of wrong logins.
	Tries   int `json:"tries"`
	Secrets int `json:"secrets,omitempty"`
	Logins  int `json:"logins,omitempty"`
}

// Guesses tells those who guess at secrets from those who have an old one: it
// counts different wrong secrets, not attempts. A device that repeats one for
// ever counts once. Numbers halve each hour.
//
//	network   IPv4 /32, IPv6 /64    delayed, then refused
//	          IPv4 /24, IPv6 /48    the same, at three times the numbers
//	login     by strangers          delayed, for strangers only
//	secret    at many logins, from  delayed, for the networks that tried it
//	          many networks
//	login     by proofs (SCRAM),    delayed, for proofs of this login there
//	          where it is at home
//
// Different logins of one network count as different secrets do. A network is
// no stranger to a login that gave the right secret there within KnownFor.
//
// Secrets and logins are kept as truncated HMACs under a key that is in memory
// only, and it makes no difference whether a login exists. Nothing here waits:
// the caller does. It is safe for concurrent use.
type Guesses struct {
	key  []byte
	seed maphash.Seed

	mu      sync.Mutex // guards all below
	once    uint64     // numbers secrets that were not shown
	opt     GuessOptions
	open    map[netip.Prefix]*suspect // networks that are not banned
	banned  map[netip.Prefix]*suspect // those that are, or were until lately
	logins  map[uint64]*counter       // wrong secrets of strangers
	sprays  map[uint64]*spray         // by secret
	hidden  map[uint64]*counter       // wrong proofs of a login where it is at home
	known   map[uint64][]knownNetwork // by login
	cleaned time.Time
}

// suspect is a network that sent wrong secrets.
type suspect struct {
	secrets, logins counter
	tries           int
	since, until    time.Time // of the ban
	bans            int       // so far
	why             string
}

// spray is a secret, and what it was tried at.
type spray struct{ logins, networks counter }

// KnownNetwork is where a login gave the right secret.
type KnownNetwork struct {
	Login string
	// Network is as NetworkOf makes it.
	Network netip.Prefix
	Seen    time.Time
}

type knownNetwork struct {
	network netip.Prefix
	seen    time.Time
}

// NewGuesses returns a Guesses that has seen nothing, with a key of its own.
func NewGuesses(o GuessOptions) *Guesses {
	g := &Guesses{
		key: make([]byte, sha256.Size), seed: maphash.MakeSeed(),
		open: map[netip.Prefix]*suspect{}, banned: map[netip.Prefix]*suspect{},
		logins: map[uint64]*counter{}, sprays: map[uint64]*spray{}, hidden: map[uint64]*counter{}, known: map[uint64][]knownNetwork{},
	}
	_, _ = rand.Read(g.key) // it never fails
	g.SetOptions(o)
	return g
}

// SetOptions changes the thresholds from now on. Bans stay as they are, but
// what lies in an exempt network is forgotten.
func (g *Guesses) SetOptions(o GuessOptions) {
	o.Delay = min(max(o.Delay, 0), MaxGuessHashes)
	if o.Ban > 0 {
		o.Ban = max(o.Ban, o.Delay+1)
	}
	o.BanTime = min(max(o.BanTime, time.Second), MaxBanTime)
	o.Exempt = slices.Clone(o.Exempt)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opt = o
	for _, e := range o.Exempt {
		inside := func(n netip.Prefix, _ *suspect) bool { return e.Bits() <= n.Bits() && e.Contains(n.Addr()) }
		deleteFunc(g.open, inside)
		deleteFunc(g.banned, inside)
	}
}

// networksOf returns the narrow and the wide network of a client; false if it
// has no IP address.
func networksOf(client netip.Addr) (near, far netip.Prefix, ok bool) {
	client = client.Unmap().WithZone("")
	switch {
	case client.Is4():
		near, far = netip.PrefixFrom(client, 32), netip.PrefixFrom(client, 24)
	case client.Is6():
		near, far = netip.PrefixFrom(client, 64), netip.PrefixFrom(client, 48)
	default:
		return near, far, false
	}
	return near.Masked(), far.Masked(), true
}

// NetworkOf is the network that is known with a client: IPv4 /32, IPv6 /64. It is
// the zero Prefix where the client has no IP address.
func NetworkOf(client netip.Addr) netip.Prefix {
	near, _, _ := networksOf(client)
	return near
}

// exempt is asked with mu held.
func (g *Guesses) exempt(client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	return slices.ContainsFunc(g.opt.Exempt, func(n netip.Prefix) bool { return n.Contains(client) })
}

// hash is what is kept of a text.
func (g *Guesses) hash(kind, text string) uint64 {
	h := hmac.New(sha256.New, g.key)
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write([]byte(text))
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// nameOf makes one of all the ways to write a login.
func nameOf(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

// Before tells what a client has to bear before its secret is looked at. The
// login is "" where it is not known yet: at a new connection.
func (g *Guesses) Before(client netip.Addr, login string, now time.Time) Hold {
	near, far, ok := networksOf(client)
	if !ok {
		return Hold{}
	}
	name := g.hash("login", nameOf(login))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.exempt(client) {
		return Hold{}
	}
	return g.hold(near, far, name, login != "" && !g.isKnown(name, near, now), now)
}

// Wrong notes a wrong secret and tells what follows. The secret is "" where
// the mechanism does not show it; then each counts as a new one, unless the
// network is known to the login: a device that repeats an old one is likelier
// there than a guesser.
func (g *Guesses) Wrong(client netip.Addr, login, secret string, now time.Time) Hold {
	near, far, ok := networksOf(client)
	if !ok {
		return Hold{}
	}
	login = nameOf(login)
	name, tried := g.hash("login", login), uint64(0)
	hidden := secret == ""
	if !hidden {
		tried = g.hash("secret", secret)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.exempt(client) {
		return Hold{}
	}
	g.clean(now)
	known := g.isKnown(name, near, now)
	switch {
	case hidden && known:
		tried = g.hash("hidden", login)
		g.countHidden(name, near, now)
	case hidden:
		g.once++
		tried = g.hash("once", strconv.FormatUint(g.once, 10))
	}
	banned := g.count(near, far, name, tried, now)
	stranger := login != "" && !known
	if stranger {
		g.countLogin(name, tried, now)
		if !hidden {
			g.countSecret(tried, name, near, now)
		}
	}
	h := g.hold(near, far, name, stranger, now)
	h.Banned = banned
	return h
}

// BeforeProof is Before for a secret that is not shown. A device with an old one
// counts once where the login is at home, however often it tries; so does somebody who
// guesses from there. Both wait then, for this login and in this network.
func (g *Guesses) BeforeProof(client netip.Addr, login string, now time.Time) Hold {
	h := g.Before(client, login, now)
	near, _, ok := networksOf(client)
	if !ok {
		return h
	}
	name := g.hash("login", nameOf(login))
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.hidden[g.place(name, near)]; c != nil && !g.exempt(client) {
		h.join(g.delay(c.now(now), 1), time.Time{})
	}
	return h
}

// place stands for a login in a network.
func (g *Guesses) place(name uint64, near netip.Prefix) uint64 {
	return name ^ maphash.Comparable(g.seed, near)
}

func (g *Guesses) countHidden(name uint64, near netip.Prefix, now time.Time) {
	k := g.place(name, near)
	c := g.hidden[k]
	if c == nil || c.forgotten(now) {
		makeRoom(g.hidden, MaxGuessLogins, func(c *counter) float64 { return c.now(now) })
		c = &counter{}
		g.hidden[k] = c
	}
	c.score, c.at, c.touched = c.now(now)+1, now, now
}

// Right notes a right secret: the network is known to the login from now on.
// What was counted stays, so that nobody can wash himself with an account of
// his own.
func (g *Guesses) Right(client netip.Addr, login string, now time.Time) {
	if near, _, ok := networksOf(client); ok {
		g.Know(KnownNetwork{login, near, now})
	}
}

// Know notes what the Directory kept of a right secret. Of one login the one last
// seen comes last.
func (g *Guesses) Know(k KnownNetwork) {
	name := g.hash("login", nameOf(k.Login))
	g.mu.Lock()
	defer g.mu.Unlock()
	list, found := g.known[name]
	if i := slices.IndexFunc(list, func(n knownNetwork) bool { return n.network == k.Network }); i >= 0 {
		list = slices.Delete(list, i, i+1)
	} else if len(list) >= MaxKnownNetworks {
		list = slices.Delete(list, 0, 1)
	}
	if !found {
		makeRoom(g.known, MaxGuessLogins, func(l []knownNetwork) float64 { return float64(l[len(l)-1].seen.Unix()) })
	}
	g.known[name] = append(list, knownNetwork{k.Network, k.Seen})
}

// AtHome reports whether a login gave the right secret in the client's network
// within KnownFor, or the network is exempt.
func (g *Guesses) AtHome(client netip.Addr, login string, now time.Time) bool {
	near, _, ok := networksOf(client)
	if !ok {
		return false
	}
	name := g.hash("login", nameOf(login))
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.exempt(client) || g.isKnown(name, near, now)
}

func (g *Guesses) isKnown(name uint64, near netip.Prefix, now time.Time) bool {
	return slices.ContainsFunc(g.known[name], func(k knownNetwork) bool {
		return k.network == near && now.Sub(k.seen) < KnownFor
	})
}

// hold adds up what the networks have earned and, if the client is a stranger
// to the login, what the login and the secrets tried have.
func (g *Guesses) hold(near, far netip.Prefix, name uint64, stranger bool, now time.Time) Hold {
	var h Hold
	for _, n := range []netip.Prefix{near, far} {
		s := g.suspect(n, now)
		if s == nil {
			continue
		}
		if s.until.After(now) {
			h.join(0, s.until)
		}
		h.join(g.delay(s.score(now), factorOf(n)), time.Time{})
	}
	if !stranger {
		return h
	}
	if c := g.logins[name]; c != nil {
		h.join(g.delay(c.now(now), 1), time.Time{})
	}
	if s := g.suspect(near, now); s != nil {
		for _, tried := range s.secrets.seen {
			if y := g.sprays[tried]; y != nil {
				h.join(g.delay(y.score(now), 1), time.Time{})
			}
		}
	}
	return h
}

func factorOf(n netip.Prefix) int {
	if n.Bits() == 24 || n.Bits() == 48 {
		return wideFactor
	}
	return 1
}

// delay is 1 s for the first secret too many, then doubles.
func (g *Guesses) delay(score float64, factor int) time.Duration {
	over := whole(score) - factor*g.opt.Delay
	switch {
	case g.opt.Delay == 0 || over <= 0:
		return 0
	case over > 4: // 16 s
		return MaxGuessDelay
	}
	return time.Second << (over - 1)
}

// suspect returns what is held against a network, nil if nothing is.
func (g *Guesses) suspect(n netip.Prefix, now time.Time) *suspect {
	if s := g.open[n]; s != nil {
		if s.forgotten(now) {
			delete(g.open, n)
			return nil
		}
		return s
	}
	s := g.banned[n]
	if s == nil || s.until.After(now) {
		return s
	}
	delete(g.banned, n)
	if s.forgotten(now) {
		return nil
	}
	g.open[n] = s
	return s
}

// count holds a wrong secret against the networks it came from. What is not
// new for the narrow one is not new for the wide one either, even when the
// latter has seen too many to remember. Nor does the wide one answer for what
// the narrow one is slowed for already: one guesser is no trouble of his
// neighbours, many are.
func (g *Guesses) count(near, far netip.Prefix, name, tried uint64, now time.Time) (banned netip.Prefix) {
	newSecret, newLogin := true, true
	for _, n := range []netip.Prefix{near, far} {
		s := g.suspect(n, now)
		if s == nil {
			g.roomForNetwork(now)
			s = &suspect{}
			g.open[n] = s
		}
		s.tries++
		newSecret = newSecret && s.secrets.add(tried, now)
		newLogin = newLogin && s.logins.add(name, now)
		s.secrets.touched, s.logins.touched = now, now
		if (newSecret || newLogin) && g.judge(n, s, now) { // an old one never bans again
			banned = n
		}
		if enough := max(g.opt.Delay, 1); whole(s.score(now)) > enough {
			newSecret, newLogin = false, false
		}
	}
	return banned
}

// judge bans a network that has too many against it, and reports whether it did.
func (g *Guesses) judge(n netip.Prefix, s *suspect, now time.Time) bool {
	most := g.opt.Ban * factorOf(n)
	if most == 0 || whole(s.score(now)) < most || s.until.After(now) {
		return false
	}
	long := g.opt.BanTime
	for range s.bans {
		long = min(2*long, MaxBanTime)
	}
	s.bans++
	s.since, s.until = now, now.Add(long)
	s.why = fmt.Sprintf("%d different wrong secrets", whole(s.secrets.now(now)))
	if l := whole(s.logins.now(now)); l >= most {
		s.why = fmt.Sprintf("wrong secrets for %d different logins", l)
	}
	delete(g.open, n)
	g.banned[n] = s
	return true
}

func (g *Guesses) countLogin(name, tried uint64, now time.Time) {
	c := g.logins[name]
	if c == nil || c.forgotten(now) {
		makeRoom(g.logins, MaxGuessLogins, func(c *counter) float64 { return c.now(now) })
		c = &counter{}
		g.logins[name] = c
	}
	c.add(tried, now)
}

func (g *Guesses) countSecret(tried, name uint64, near netip.Prefix, now time.Time) {
	y := g.sprays[tried]
	if y == nil || y.logins.forgotten(now) {
		makeRoom(g.sprays, MaxGuessSecrets, func(y *spray) float64 { return y.logins.now(now) + y.networks.now(now) })
		y = &spray{}
		g.sprays[tried] = y
	}
	y.logins.add(name, now)
	y.networks.add(maphash.Comparable(g.seed, near), now)
}

// Bans lists the networks that are refused now, those last banned first.
func (g *Guesses) Bans(now time.Time) []Ban {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := []Ban{}
	for n, s := range g.banned {
		if !s.until.After(now) {
			g.suspect(n, now) // it is over, and Lift shall not find it
			continue
		}
		list = append(list, Ban{n, PortsForUsers, s.why, s.since, s.until, s.tries, s.secrets.total, s.logins.total})
	}
	slices.SortFunc(list, func(a, b Ban) int {
		if c := b.Since.Compare(a.Since); c != 0 {
			return c
		}
		return a.Network.Compare(b.Network)
	})
	return list
}

// Lift ends the ban of a network, as Bans names it, and forgets what was
// counted. It reports whether there was one.
func (g *Guesses) Lift(n netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, found := g.banned[n.Masked()]
	delete(g.banned, n.Masked())
	return found
}

// LiftAll ends all bans and returns how many there were.
func (g *Guesses) LiftAll() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.banned)
	clear(g.banned)
	return n
}
