package control

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

// Banner knows the networks that are refused for what they did: wrong logins, or
// sessions that ended in errors.
type Banner interface {
	// Bans lists those refused at a time.
	Bans(now time.Time) []account.Ban
	// Lift ends one and reports whether it was there; LiftAll ends all and
	// returns how many.
	Lift(network netip.Prefix) bool
	LiftAll() int
}

// LiftBanRequest names one ban, or all.
type LiftBanRequest struct {
	// Network is as the list has it; an address stands for its own /32 or /64.
	Network string `json:"network,omitempty"`
	All     bool   `json:"all,omitempty"`
}

// BansLifted are the bans that were ended.
type BansLifted struct {
	Lifted []netip.Prefix `json:"lifted"`
}

// bans returns who knows the bans.
func (s *Service) bans() (Banner, error) {
	if s.opt.Bans == nil {
		return nil, fail(Unavailable, "no server is running on this data folder; a running server keeps bans in its memory, and a stopped one has none")
	}
	return s.opt.Bans, nil
}

// ListBans lists the networks that are refused, those last banned first.
func (s *Service) ListBans(_ context.Context, _ Nothing) ([]account.Ban, error) {
	b, err := s.bans()
	if err != nil {
		return nil, err
	}
	return b.Bans(time.Now()), nil
}

// LiftBan lets a network in again, or all of them.
func (s *Service) LiftBan(_ context.Context, q LiftBanRequest) (BansLifted, error) {
	none := BansLifted{Lifted: []netip.Prefix{}}
	b, err := s.bans()
	if err != nil {
		return none, err
	}
	name := strings.TrimSpace(q.Network)
	switch {
	case name != "" && q.All:
		return none, fail(Invalid, "--all stands alone; leave it or the network out")
	case name == "" && !q.All:
		return none, fail(Invalid, "say which network, as «onward ban list» shows it, or --all")
	}
	list := b.Bans(time.Now())
	if q.All {
		b.LiftAll()
		for _, ban := range list {
			none.Lifted = append(none.Lifted, ban.Network)
		}
		return none, nil
	}
	network, err := parseBanned(name)
	if err != nil {
		return none, err
	}
	if b.Lift(network) {
		return BansLifted{[]netip.Prefix{network}}, nil
	}
	for _, ban := range list {
		if ban.Network.Overlaps(network) {
			return none, fail(NotFound, "%s is not banned, but %s is; let that in with: onward ban remove %s", network, ban.Network, ban.Network)
		}
	}
	return none, fail(NotFound, "%s is not banned; see «onward ban list»", network)
}

// parseBanned reads a network, or an address for the narrow network that would
// be banned because of it.
func parseBanned(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		if a.Is4() {
			return netip.PrefixFrom(a, 32), nil
		}
		return netip.PrefixFrom(a, 64).Masked(), nil
	}
	n, err := netip.ParsePrefix(text)
	if err != nil {
		return n, fail(Invalid, "%q is not a network; write it as «onward ban list» shows it, like 192.0.2.1/32", text)
	}
	return n.Masked(), nil
}
