package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/recipient"
)

// DomainRequest makes a domain ours.
type DomainRequest struct {
	Name string `json:"name"`
	// Postmaster gets postmaster@ and abuse@ of the domain; "" for the server's.
	Postmaster string `json:"postmaster,omitempty"`
}

// DomainInfo is a domain of ours.
type DomainInfo struct {
	Name       address.Domain  `json:"name"`
	Created    time.Time       `json:"created"`
	Postmaster address.Mailbox `json:"postmaster,omitzero"`
	Addresses  int             `json:"addresses"`
}

// RemoveDomainRequest removes a domain; Force its addresses too.
type RemoveDomainRequest struct {
	Name  string `json:"name"`
	Force bool   `json:"force,omitempty"`
}

// Removed names what is gone, and what deserves a thought because of it.
type Removed struct {
	Removed  string   `json:"removed"`
	Warnings []string `json:"warnings,omitempty"`
}

// AddDomain makes a domain ours.
func (s *Service) AddDomain(ctx context.Context, q DomainRequest) (DomainInfo, error) {
	name, err := parseDomain(q.Name)
	if err != nil {
		return DomainInfo{}, err
	}
	d := recipient.Domain{Name: name, Created: now()}
	if q.Postmaster != "" {
		if d.Postmaster, err = parseMailbox(q.Postmaster); err != nil {
			return DomainInfo{}, err
		}
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	switch err := s.opt.Recipients.AddDomain(ctx, d); {
	case errors.Is(err, recipient.ErrExists):
		return DomainInfo{}, fail(Exists, "%s is a domain of this server already; see it with: onward domain list", name.Unicode())
	case err != nil:
		return DomainInfo{}, trouble("add the domain "+name.String(), err)
	}
	return s.domainInfo(ctx, d)
}

// ListDomains lists our domains by name.
func (s *Service) ListDomains(ctx context.Context, _ Nothing) ([]DomainInfo, error) {
	domains, err := s.opt.Recipients.Domains(ctx)
	if err != nil {
		return nil, trouble("list the domains", err)
	}
	all, err := s.opt.Recipients.Addresses(ctx, address.Domain{})
	if err != nil {
		return nil, trouble("list the addresses", err)
	}
	count := make(map[address.Domain]int, len(domains))
	for _, a := range all {
		count[a.Address.Domain]++
	}
	list := make([]DomainInfo, len(domains))
	for i, d := range domains {
		list[i] = DomainInfo{Name: d.Name, Created: d.Created, Postmaster: d.Postmaster, Addresses: count[d.Name]}
	}
	return list, nil
}

func (s *Service) domainInfo(ctx context.Context, d recipient.Domain) (DomainInfo, error) {
	have, err := s.opt.Recipients.Addresses(ctx, d.Name)
	if err != nil {
		return DomainInfo{}, trouble("list the addresses of "+d.Name.String(), err)
	}
	return DomainInfo{Name: d.Name, Created: d.Created, Postmaster: d.Postmaster, Addresses: len(have)}, nil
}

// namedInError is how many things an error or a warning lists by name.
const namedInError = 3

// RemoveDomain makes a domain someone else's. With addresses or accounts in it
// that needs force; accounts stay even then.
func (s *Service) RemoveDomain(ctx context.Context, q RemoveDomainRequest) (Removed, error) {
	name, err := parseDomain(q.Name)
	if err != nil {
		return Removed{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if _, err := s.knownDomain(ctx, name); err != nil {
		return Removed{}, err
	}
	addresses, err := s.opt.Recipients.Addresses(ctx, name)
	if err != nil {
		return Removed{}, trouble("list the addresses of "+name.String(), err)
	}
	names := make([]string, len(addresses))
	for i, a := range addresses {
		names[i] = a.Address.Unicode()
	}
	logins, err := s.loginsOf(ctx, name)
	if err != nil {
		return Removed{}, err
	}
	if !q.Force && len(names)+len(logins) > 0 {
		return Removed{}, fail(InUse, "%s still has %s; remove them first, or use --force to remove the addresses with it (accounts stay)",
			name.Unicode(), inUse(names, logins))
	}
	if err := s.opt.Recipients.RemoveDomain(ctx, name, q.Force); err != nil {
		return Removed{}, trouble("remove the domain "+name.String(), err)
	}
	r := Removed{Removed: name.String()}
	if len(names) > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("with it went %s", quantity(names, "address", "addresses")))
	}
	if len(logins) > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s can still log in and send; remove with: onward account remove LOGIN", quantity(logins, "account", "accounts")))
	}
	return r, nil
}

func (s *Service) loginsOf(ctx context.Context, d address.Domain) ([]string, error) {
	accounts, err := s.opt.Accounts.Accounts(ctx)
	if err != nil {
		return nil, trouble("list the accounts", err)
	}
	var logins []string
	for _, a := range accounts {
		if strings.HasSuffix(a.Login, "@"+d.String()) {
			logins = append(logins, a.Login)
		}
	}
	return logins, nil
}

func inUse(addresses, logins []string) string {
	switch {
	case len(logins) == 0:
		return quantity(addresses, "address", "addresses")
	case len(addresses) == 0:
		return quantity(logins, "account", "accounts")
	}
	return quantity(addresses, "address", "addresses") + " and " + quantity(logins, "account", "accounts")
}

// quantity says "2 addresses (a@b, c@d)", naming a few.
func quantity(names []string, one, many string) string {
	noun, more := many, ""
	if len(names) == 1 {
		noun = one
	}
	if len(names) > namedInError {
		more = ", …"
	}
	return fmt.Sprintf("%d %s (%s%s)", len(names), noun, strings.Join(names[:min(len(names), namedInError)], ", "), more)
}

// knownDomain returns a domain of ours, or the error that says that it is not.
func (s *Service) knownDomain(ctx context.Context, name address.Domain) (recipient.Domain, error) {
	d, err := s.opt.Recipients.Domain(ctx, name)
	switch {
	case errors.Is(err, recipient.ErrNotFound):
		return d, fail(NotFound, "%s is not a domain of this server; add it with: onward domain add %s", name.Unicode(), name.Unicode())
	case err != nil:
		return d, trouble("look up the domain "+name.String(), err)
	}
	return d, nil
}

func parseDomain(s string) (address.Domain, error) {
	d, err := address.ParseDomain(strings.TrimSuffix(strings.TrimSpace(s), "."))
	if err != nil {
		return d, fail(Invalid, "%q: %v; write it like example.org", s, err)
	}
	if _, literal := d.Literal(); literal {
		return d, fail(Invalid, "%s is an address literal, which cannot be a domain of ours; write a name like example.org", d)
	}
	return d, nil
}

func parseMailbox(s string) (address.Mailbox, error) {
	m, err := address.ParseMailbox(strings.TrimSpace(s))
	if err != nil {
		return m, fail(Invalid, "%q: %v; write it like anna@example.org", s, err)
	}
	return m, nil
}

// now is the time that is stored: to the second, in UTC.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
