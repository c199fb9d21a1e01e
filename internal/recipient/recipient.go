// Package recipient says what becomes of a forward-path at our domains: it is
// forwarded (and the sender is told where, or not), it has moved, it is a
// mailbox here, it is refused, or it does not exist.
//
// It promises that resolving is bounded and ends, whatever people configure:
// a chain of forwardings has a largest depth, a set of targets a largest size,
// and a loop is an answer of its own. A target is shown to a sender only where
// the owner of the address allows it.
//
// RFC 5321 §3.4 (251 and 551), §3.9.1 (aliases), §4.5.1 (postmaster);
// RFC 2142 (abuse).
package recipient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// Limits of resolving.
const (
	// MaxTargets is how many targets one address may lead to.
	MaxTargets = 100
	// MaxDepth is how many of our own addresses a chain may pass.
	MaxDepth = 10
	// MaxRefusal is the longest text of a refused address, in octets; it must
	// fit one reply line with its codes.
	MaxRefusal = 400
)

// Kind is what an address does.
type Kind string

// The kinds of address.
const (
	Forward Kind = "forward"
	Moved   Kind = "moved"
	Mailbox Kind = "mailbox"
	Refused Kind = "refused"
)

// Disclosure is what a sender may learn of a target.
type Disclosure string

// The disclosures. Silent answers 250 and hides the target everywhere;
// Announce answers 251 and names it.
const (
	Silent   Disclosure = "silent"
	Announce Disclosure = "announce"
)

// Address is one address of a domain of ours, as its owner set it up.
type Address struct {
	Address address.Mailbox `json:"address"`
	Kind    Kind            `json:"kind"`
	// Targets are where mail goes (Forward) or where its owner is now (Moved,
	// exactly one).
	Targets []address.Mailbox `json:"targets,omitempty"`
	// Disclose applies to Forward. Moved always tells.
	Disclose Disclosure `json:"disclose,omitempty"`
	// Text is the refusal (Refused): printable ASCII, at most MaxRefusal octets.
	Text    string    `json:"text,omitempty"`
	Created time.Time `json:"created"`
}

// Domain is a domain that we receive mail for.
type Domain struct {
	Name    address.Domain `json:"name"`
	Created time.Time      `json:"created"`
	// Postmaster gets what is sent to postmaster@ and abuse@ of the domain where
	// they are not addresses of their own; zero: the server's postmaster.
	Postmaster address.Mailbox `json:"postmaster,omitzero"`
}

// Errors of a Directory.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	// ErrInUse means that a domain still has addresses or accounts.
	ErrInUse = errors.New("is still in use")
)

// Directory is where domains and addresses are kept. It is safe for concurrent
// use; writes are durable when they return and effective at once. Addresses are
// found by address.Mailbox.Key. Errors other than this package's are trouble of
// the storage.
type Directory interface {
	Domain(ctx context.Context, name address.Domain) (Domain, error) // ErrNotFound
	Domains(ctx context.Context) ([]Domain, error)                   // by name
	AddDomain(ctx context.Context, d Domain) error                   // ErrExists
	// RemoveDomain removes a domain without addresses; with force its addresses
	// too. ErrNotFound, ErrInUse.
	RemoveDomain(ctx context.Context, name address.Domain, force bool) error
	Address(ctx context.Context, a address.Mailbox) (Address, error) // ErrNotFound
	// Addresses lists those of a domain (zero: of all), by address.
	Addresses(ctx context.Context, domain address.Domain) ([]Address, error)
	// PutAddress adds an address; with replace it changes an existing one.
	// ErrNotFound if the domain is not ours, ErrExists.
	PutAddress(ctx context.Context, a Address, replace bool) error
	RemoveAddress(ctx context.Context, a address.Mailbox) error // ErrNotFound
}

// Check holds an address against the rules, before it is stored.
func (a *Address) Check() error {
	if a.Address.IsZero() || a.Address.Domain.IsZero() {
		return errors.New("an address needs a local part and a domain")
	}
	if _, literal := a.Address.Domain.Literal(); literal {
		return fmt.Errorf("%s: an address literal cannot be a domain of ours", a.Address)
	}
	if (a.Kind == Moved || a.Kind == Refused) && isRole(a.Address.Local) {
		return fmt.Errorf("%s: somebody must read what is sent there (RFC 5321 section 4.5.1, RFC 2142), so it cannot be moved or refused; "+
			"forward it, or leave it out and the postmaster gets it", a.Address)
	}
	switch a.Kind {
	case Forward:
		if len(a.Targets) == 0 || len(a.Targets) > MaxTargets {
			return fmt.Errorf("%s: forwarding needs 1 to %d targets, not %d", a.Address, MaxTargets, len(a.Targets))
		}
		if a.Disclose == "" {
			a.Disclose = Silent
		}
		if a.Disclose != Silent && a.Disclose != Announce {
			return fmt.Errorf("%s: disclosure is %q; it must be silent or announce", a.Address, a.Disclose)
		}
		for i, t := range a.Targets {
			if t.Key() == a.Address.Key() {
				return fmt.Errorf("%s: an address cannot forward to itself; to keep a copy here, make a mailbox and forward to it too", a.Address)
			}
			for _, u := range a.Targets[:i] {
				if u.Key() == t.Key() {
					return fmt.Errorf("%s: the target %s is given twice", a.Address, t)
				}
			}
		}
	case Moved:
		if len(a.Targets) != 1 {
			return fmt.Errorf("%s: a moved address needs exactly one new address", a.Address)
		}
		if a.Targets[0].Key() == a.Address.Key() {
			return fmt.Errorf("%s: it cannot have moved to itself", a.Address)
		}
	case Mailbox:
		if len(a.Targets) != 0 {
			return fmt.Errorf("%s: a mailbox has no targets; use --forward to forward", a.Address)
		}
	case Refused:
		return a.checkText()
	default:
		return fmt.Errorf("%s: kind %q is unknown; it must be forward, moved, mailbox or refused", a.Address, a.Kind)
	}
	for _, t := range a.Targets {
		if t.IsZero() || t.Domain.IsZero() {
			return fmt.Errorf("%s: a target needs a local part and a domain", a.Address)
		}
	}
	return nil
}

func (a *Address) checkText() error {
	if len(a.Targets) != 0 {
		return fmt.Errorf("%s: a refused address has no targets", a.Address)
	}
	if a.Text == "" {
		a.Text = "This address does not accept mail"
	}
	if len(a.Text) > MaxRefusal {
		return fmt.Errorf("%s: the text has %d octets; a reply line has room for %d", a.Address, len(a.Text), MaxRefusal)
	}
	for i := 0; i < len(a.Text); i++ {
		if a.Text[i] < ' ' || a.Text[i] > '~' {
			return fmt.Errorf("%s: the text must be printable ASCII, because SMTP replies are (RFC 5321 section 4.2)", a.Address)
		}
	}
	return nil
}
