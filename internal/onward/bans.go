package onward

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/smtpd"
)

// bans are the networks that are refused, whoever refuses them: for guessing at
// secrets, or for sessions that ended in errors.
type bans struct {
	guesses *account.Guesses
	smtpd   *smtpd.Server
}

var _ control.Banner = bans{}

// Bans implements control.Banner.
func (b bans) Bans(now time.Time) []account.Ban {
	list := b.guesses.Bans(now)
	for _, x := range b.smtpd.Blocks() {
		ports := account.PortsForMail
		if x.Users {
			ports = account.PortsForUsers
		}
		list = append(list, account.Ban{Network: x.Network, Ports: ports, Why: whyBlocked(x.Why), Since: x.Since, Until: x.Until, Tries: x.Times})
	}
	slices.SortStableFunc(list, func(a, b account.Ban) int {
		return cmp.Or(b.Since.Compare(a.Since), a.Network.Compare(b.Network))
	})
	return list
}

// whyBlocked says in words what the session did whose reply has a name.
func whyBlocked(reply string) string {
	switch reply {
	case "spoke-first":
		return "spoke before the greeting"
	case "http-refused":
		return "spoke HTTP"
	}
	return "too many errors in a session"
}

// Lift implements control.Banner.
func (b bans) Lift(network netip.Prefix) bool {
	guessed, blocked := b.guesses.Lift(network), b.smtpd.Unblock(network)
	return guessed || blocked
}

// LiftAll implements control.Banner.
func (b bans) LiftAll() int {
	n := b.guesses.LiftAll()
	for _, x := range b.smtpd.Blocks() {
		if b.smtpd.Unblock(x.Network) { // once, where it is refused on all ports
			n++
		}
	}
	return n
}
