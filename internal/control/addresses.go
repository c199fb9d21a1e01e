package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/transaction"
)

// AddressRequest says what an address does; see recipient.Address.
type AddressRequest struct {
	Address  string   `json:"address"`
	Kind     string   `json:"kind"` // forward, moved, mailbox or refused
	Targets  []string `json:"targets,omitempty"`
	Disclose string   `json:"disclose,omitempty"` // silent (default) or announce; forward only
	Text     string   `json:"text,omitempty"`     // of a refusal
	// Replace changes an address that exists already.
	Replace bool `json:"replace,omitempty"`
}

// AddressName names an address.
type AddressName struct {
	Address string `json:"address"`
}

// ListAddressesRequest selects addresses.
type ListAddressesRequest struct {
	Domain string `json:"domain,omitempty"` // "" for all
	// Target selects addresses that forward or have moved to it.
	Target string `json:"target,omitempty"`
}

// AddressInfo is an address of ours and what comes of it.
type AddressInfo struct {
	recipient.Address
	// Says is what a sender hears at RCPT; not in lists.
	Says string `json:"says,omitempty"`
	// Reaches is where mail ends, through all our forwardings; not in lists.
	Reaches []Reached `json:"reaches,omitempty"`
	// Warnings are what deserves a thought, in sentences.
	Warnings []string `json:"warnings,omitempty"`
}

// Reached is one end of a forwarding.
type Reached struct {
	Mailbox address.Mailbox `json:"mailbox"`
	// Local is a mailbox on this server.
	Local bool `json:"local"`
	// Private says that the sender does not learn of it.
	Private bool `json:"private"`
}

// PutAddress adds an address, or with Replace changes it.
func (s *Service) PutAddress(ctx context.Context, q AddressRequest) (AddressInfo, error) {
	a, err := q.parse()
	if err != nil {
		return AddressInfo{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if _, err := s.knownDomain(ctx, a.Address.Domain); err != nil {
		return AddressInfo{}, err
	}
	old, err := s.opt.Recipients.Address(ctx, a.Address)
	switch {
	case err == nil && !q.Replace:
		return AddressInfo{}, fail(Exists, "%s exists already and %s; to change it use --replace", a.Address.Unicode(), does(old))
	case err == nil:
		a.Created = old.Created
	case !errors.Is(err, recipient.ErrNotFound):
		return AddressInfo{}, trouble("look up the address "+a.Address.String(), err)
	}
	if err := s.opt.Resolver.CheckLoop(ctx, a); err != nil {
		return AddressInfo{}, &Error{Kind: Invalid, Message: err.Error(), cause: err}
	}
	if err := s.opt.Recipients.PutAddress(ctx, a, q.Replace); err != nil {
		return AddressInfo{}, trouble("store the address "+a.Address.String(), err)
	}
	return s.addressInfo(ctx, a)
}

func (q AddressRequest) parse() (recipient.Address, error) {
	m, err := parseMailbox(q.Address)
	if err != nil {
		return recipient.Address{}, err
	}
	a := recipient.Address{Address: m, Kind: recipient.Kind(q.Kind), Disclose: recipient.Disclosure(q.Disclose), Text: q.Text, Created: now()}
	for _, t := range q.Targets {
		target, err := parseMailbox(t)
		if err != nil {
			return recipient.Address{}, err
		}
		a.Targets = append(a.Targets, target)
	}
	if a.Kind != recipient.Forward && a.Disclose != "" {
		return recipient.Address{}, fail(Invalid, "%s: disclosure applies to forwarding only; leave --disclose out", m.Unicode())
	}
	if err := a.Check(); err != nil {
		return recipient.Address{}, &Error{Kind: Invalid, Message: err.Error(), cause: err}
	}
	return a, nil
}

// does says in words what an address does.
func does(a recipient.Address) string {
	targets := make([]string, len(a.Targets))
	for i, t := range a.Targets {
		targets[i] = t.Unicode()
	}
	switch a.Kind {
	case recipient.Forward:
		return fmt.Sprintf("forwards to %s (%s)", strings.Join(targets, ", "), a.Disclose)
	case recipient.Moved:
		return "has moved to " + strings.Join(targets, ", ")
	case recipient.Mailbox:
		return "is a mailbox"
	case recipient.Refused:
		return "is refused"
	}
	return "is of the unknown kind " + string(a.Kind)
}

// ShowAddress tells all about one address.
func (s *Service) ShowAddress(ctx context.Context, q AddressName) (AddressInfo, error) {
	a, err := s.knownAddress(ctx, q.Address)
	if err != nil {
		return AddressInfo{}, err
	}
	return s.addressInfo(ctx, a)
}

func (s *Service) knownAddress(ctx context.Context, name string) (recipient.Address, error) {
	m, err := parseMailbox(name)
	if err != nil {
		return recipient.Address{}, err
	}
	a, err := s.opt.Recipients.Address(ctx, m)
	switch {
	case errors.Is(err, recipient.ErrNotFound):
		if _, err := s.knownDomain(ctx, m.Domain); err != nil {
			return a, err
		}
		return a, fail(NotFound, "%s is not an address of this server; see those that are with: onward address list %s", m.Unicode(), m.Domain.Unicode())
	case err != nil:
		return a, trouble("look up the address "+m.String(), err)
	}
	return a, nil
}

func (s *Service) addressInfo(ctx context.Context, a recipient.Address) (AddressInfo, error) {
	info := AddressInfo{Address: a}
	res, err := s.opt.Resolver.Resolve(ctx, a.Address)
	if err != nil {
		return info, trouble("look through the forwardings of "+a.Address.String(), err)
	}
	for _, t := range res.Targets {
		info.Reaches = append(info.Reaches, Reached{Mailbox: t.Mailbox, Local: t.Local, Private: t.Hidden})
	}
	if s.opt.Intake != nil {
		// To one who has logged in VRFY answers as RCPT would.
		peer := &transaction.Peer{Session: s.session(), Service: transaction.Local, Login: "operator"}
		info.Says = s.opt.Intake.Verify(ctx, peer, a.Address).String()
	}
	for _, t := range a.Targets {
		if w, err := s.doubt(ctx, a, t); err != nil {
			return info, err
		} else if w != "" {
			info.Warnings = append(info.Warnings, w)
		}
	}
	if a.Kind == recipient.Forward && a.Disclose == recipient.Announce && len(a.Targets) > 1 {
		info.Warnings = append(info.Warnings, "a 251 names exactly one address (RFC 5321 section 3.4); with several targets senders hear 250")
	}
	return info, nil
}

// doubt says what is odd about a target in a domain of ours, or "".
func (s *Service) doubt(ctx context.Context, a recipient.Address, t address.Mailbox) (string, error) {
	ours, err := s.opt.Resolver.Ours(ctx, t.Domain)
	if err != nil || !ours {
		if err != nil {
			return "", trouble("look at the target "+t.String(), err)
		}
		return "", nil
	}
	next, err := s.opt.Recipients.Address(ctx, t)
	switch {
	case errors.Is(err, recipient.ErrNotFound):
		res, err := s.opt.Resolver.Resolve(ctx, t)
		if err != nil {
			return "", trouble("look at the target "+t.String(), err)
		}
		if res.Verdict == recipient.Accept { // postmaster and abuse reach someone
			return "", nil
		}
		return fmt.Sprintf("%s does not exist, though %s is our domain: mail to it is refused until you add it", t.Unicode(), t.Domain.Unicode()), nil
	case err != nil:
		return "", trouble("look at the target "+t.String(), err)
	case a.Kind == recipient.Forward && (next.Kind == recipient.Moved || next.Kind == recipient.Refused):
		return fmt.Sprintf("%s %s: forwarded mail does not go there", t.Unicode(), does(next)), nil
	}
	return "", nil
}

// ListAddresses lists addresses by name.
func (s *Service) ListAddresses(ctx context.Context, q ListAddressesRequest) ([]AddressInfo, error) {
	var domain address.Domain
	if q.Domain != "" {
		var err error
		if domain, err = parseDomain(q.Domain); err != nil {
			return nil, err
		}
		if _, err := s.knownDomain(ctx, domain); err != nil {
			return nil, err
		}
	}
	var target address.Mailbox
	if q.Target != "" {
		var err error
		if target, err = parseMailbox(q.Target); err != nil {
			return nil, err
		}
	}
	all, err := s.opt.Recipients.Addresses(ctx, domain)
	if err != nil {
		return nil, trouble("list the addresses", err)
	}
	list := make([]AddressInfo, 0, len(all))
	for _, a := range all {
		if q.Target == "" || leadsTo(a, target) {
			list = append(list, AddressInfo{Address: a})
		}
	}
	return list, nil
}

func leadsTo(a recipient.Address, target address.Mailbox) bool {
	for _, t := range a.Targets {
		if t.Key() == target.Key() {
			return true
		}
	}
	return false
}

// RemoveAddress removes an address; mail to it is refused from then on.
func (s *Service) RemoveAddress(ctx context.Context, q AddressName) (Removed, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	a, err := s.knownAddress(ctx, q.Address)
	if err != nil {
		return Removed{}, err
	}
	if err := s.opt.Recipients.RemoveAddress(ctx, a.Address); err != nil {
		return Removed{}, trouble("remove the address "+a.Address.String(), err)
	}
	r := Removed{Removed: a.Address.String()}
	all, err := s.opt.Recipients.Addresses(ctx, address.Domain{})
	if err != nil {
		return r, trouble("look for addresses that forward to "+a.Address.String(), err)
	}
	var from []string
	for _, other := range all {
		if leadsTo(other, a.Address) {
			from = append(from, other.Address.Unicode())
		}
	}
	if len(from) > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("it is still the target of %s", quantity(from, "address", "addresses")))
	}
	return r, nil
}
