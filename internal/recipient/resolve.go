package recipient

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/onwardmail/onward/internal/address"
)

// Verdict is what becomes of a forward-path.
type Verdict uint8

// The verdicts.
const (
	// NotOurs: the domain is not one of ours.
	NotOurs Verdict = iota
	// Unknown: the domain is ours and the address does not exist.
	Unknown
	// Accept: mail goes to Targets.
	Accept
	// HasMoved: Resolution.New is the new address; nothing is forwarded.
	HasMoved
	// IsRefused: Resolution.Text is the owner's refusal.
	IsRefused
	// Loops: the forwarding leads only back to itself, or is longer or wider
	// than the limits: to forward to a part would lose the rest silently.
	Loops
)

// Target is one place where mail for an address goes.
type Target struct {
	Mailbox address.Mailbox
	// Local is a mailbox of this server; else it is relayed.
	Local bool
	// Hidden says that the sender must not learn it.
	Hidden bool
}

// Resolution is the answer for one forward-path.
type Resolution struct {
	Verdict Verdict
	Targets []Target
	// Announce is what a 251 names; zero for a plain 250. It is zero whenever
	// more than one target, or none, could be named: a 251 has exactly one
	// address (rfc5321#3.4).
	Announce address.Mailbox
	New      address.Mailbox
	Text     string
}

// Resolver resolves forward-paths by a Directory.
type Resolver struct {
	Directory Directory
	// Postmaster is the mailbox of RCPT TO:<postmaster> without a domain, and of
	// postmaster@ and abuse@ in domains that name nobody (rfc5321#4.5.1). It is
	// delivered locally if its domain is not ours.
	Postmaster address.Mailbox
	// Hostname is our own name. Where it is no domain of ours, the roles and root,
	// to whom programs of this machine write, reach the postmaster all the same;
	// everything else there is not ours, for the name may have its mail elsewhere.
	Hostname address.Domain
}

// Ours reports whether we receive mail for the domain.
func (r *Resolver) Ours(ctx context.Context, d address.Domain) (bool, error) {
	_, err := r.Directory.Domain(ctx, d)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up the domain %s: %w", d, err)
	}
	return true, nil
}

// Resolve says what becomes of a forward-path. An error is trouble of the
// storage, hence temporary.
func (r *Resolver) Resolve(ctx context.Context, to address.Mailbox) (Resolution, error) {
	if to.Domain.IsZero() { // rfc5321#4.1.1.3, <postmaster>
		if !to.IsPostmaster() {
			return Resolution{Verdict: Unknown}, nil
		}
		return r.postmaster(ctx, Domain{}, to)
	}
	a, found, err := r.find(ctx, to)
	if err != nil || !found {
		return r.absent(ctx, to, err)
	}
	res, err := r.resolve(ctx, to, a)
	if err != nil || res.Verdict == Accept || !isRole(to.Local) {
		return res, err
	}
	// Whatever an owner has set up, or deleted behind a forwarding, somebody
	// must get what is sent to a role (rfc5321#4.5.1).
	d, err := r.Directory.Domain(ctx, to.Domain)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Resolution{}, fmt.Errorf("look up the domain %s: %w", to.Domain, err)
	}
	return r.postmaster(ctx, d, to)
}

// resolve says what becomes of an address that is in the directory.
func (r *Resolver) resolve(ctx context.Context, to address.Mailbox, a Address) (Resolution, error) {
	switch a.Kind {
	case Moved:
		return Resolution{Verdict: HasMoved, New: a.Targets[0]}, nil
	case Refused:
		return Resolution{Verdict: IsRefused, Text: a.Text}, nil
	case Mailbox:
		return Resolution{Verdict: Accept, Targets: []Target{{Mailbox: a.Address, Local: true}}}, nil
	case Forward:
	default:
		return Resolution{}, fmt.Errorf("the address %s has the unknown kind %q", to, a.Kind)
	}
	w := walk{resolver: r, seen: map[string]bool{to.Key(): true}}
	if err := w.follow(ctx, a, a.Disclose != Announce, 1); err != nil {
		return Resolution{}, err
	}
	if w.tooFar {
		return Resolution{Verdict: Loops}, nil
	}
	if len(w.targets) == 0 {
		if w.loops {
			return Resolution{Verdict: Loops}, nil
		}
		return Resolution{Verdict: Unknown}, nil // every target is gone or closed
	}
	res := Resolution{Verdict: Accept, Targets: w.targets}
	if a.Disclose == Announce && len(a.Targets) == 1 && !w.targets[0].Local {
		res.Announce = a.Targets[0]
	}
	return res, nil
}

// find looks an address up; a domain that is not ours has none.
func (r *Resolver) find(ctx context.Context, m address.Mailbox) (Address, bool, error) {
	a, err := r.Directory.Address(ctx, m)
	if errors.Is(err, ErrNotFound) {
		return Address{}, false, nil
	}
	if err != nil {
		return Address{}, false, fmt.Errorf("look up the address %s: %w", m, err)
	}
	return a, true, nil
}

// absent answers for an address that is not in the directory.
func (r *Resolver) absent(ctx context.Context, to address.Mailbox, err error) (Resolution, error) {
	if err != nil {
		return Resolution{}, err
	}
	d, err := r.Directory.Domain(ctx, to.Domain)
	switch {
	case errors.Is(err, ErrNotFound):
		if to.Key() == r.Postmaster.Key() {
			return Resolution{Verdict: Accept, Targets: []Target{{Mailbox: to, Local: true}}}, nil
		}
		if !r.Hostname.IsZero() && to.Domain == r.Hostname && (isRole(to.Local) || strings.EqualFold(to.Local, "root")) {
			return r.postmaster(ctx, Domain{}, to)
		}
		return Resolution{Verdict: NotOurs}, nil
	case err != nil:
		return Resolution{}, fmt.Errorf("look up the domain %s: %w", to.Domain, err)
	}
	if isRole(to.Local) {
		return r.postmaster(ctx, d, to)
	}
	return Resolution{Verdict: Unknown}, nil
}

// isRole reports whether somebody must read mail to this name in every domain
// (rfc5321#4.5.1, rfc2142#2).
func isRole(local string) bool {
	return strings.EqualFold(local, "postmaster") || strings.EqualFold(local, "abuse")
}

// postmaster answers for a role that has no address of its own: the domain's
// postmaster, else the server's. Somebody always gets it.
func (r *Resolver) postmaster(ctx context.Context, d Domain, to address.Mailbox) (Resolution, error) {
	w := walk{resolver: r, seen: map[string]bool{to.Key(): true}}
	if err := w.role(ctx, d, true, 0); err != nil {
		return Resolution{}, err
	}
	return Resolution{Verdict: Accept, Targets: w.targets}, nil
}

// walk follows forwardings through our own addresses.
type walk struct {
	resolver *Resolver
	seen     map[string]bool
	targets  []Target
	loops    bool
	tooFar   bool // a limit was reached, so targets are not all
}

// follow adds what the forwarding a leads to. What leads in a circle or too
// deep is left out and noted.
func (w *walk) follow(ctx context.Context, a Address, hidden bool, depth int) error {
	for _, t := range a.Targets {
		key := t.Key()
		if w.seen[key] {
			w.loops = true
			continue
		}
		if depth > MaxDepth || len(w.targets) >= MaxTargets {
			w.tooFar = true
			return nil
		}
		w.seen[key] = true
		next, found, err := w.resolver.find(ctx, t)
		if err != nil {
			return err
		}
		switch {
		case found && next.Kind == Forward:
			if err := w.follow(ctx, next, hidden || next.Disclose != Announce, depth+1); err != nil {
				return err
			}
		case found && next.Kind == Mailbox:
			w.targets = append(w.targets, Target{Mailbox: next.Address, Local: true, Hidden: hidden})
		case found:
			// Moved and refused addresses take no forwarded mail.
		default:
			if err := w.outside(ctx, t, hidden, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// outside adds a target that is no address of ours: a relayed one, or a role.
func (w *walk) outside(ctx context.Context, t address.Mailbox, hidden bool, depth int) error {
	if t.Key() == w.resolver.Postmaster.Key() {
		w.targets = append(w.targets, Target{Mailbox: t, Local: true, Hidden: hidden})
		return nil
	}
	d, err := w.resolver.Directory.Domain(ctx, t.Domain)
	switch {
	case errors.Is(err, ErrNotFound):
		w.targets = append(w.targets, Target{Mailbox: t, Hidden: hidden})
	case err != nil:
		return fmt.Errorf("look up the domain %s: %w", t.Domain, err)
	case isRole(t.Local):
		return w.role(ctx, d, true, depth) // nobody chose to disclose who that is
	}
	return nil
}

// role adds who reads the mail to a role of a domain: the domain's postmaster,
// else the server's. Where neither leads anywhere it is the server's own
// mailbox, so that somebody always gets it.
func (w *walk) role(ctx context.Context, d Domain, hidden bool, depth int) error {
	before := len(w.targets)
	for _, who := range []address.Mailbox{d.Postmaster, w.resolver.Postmaster} {
		if who.IsZero() {
			continue
		}
		if err := w.follow(ctx, Address{Targets: []address.Mailbox{who}}, hidden, depth+1); err != nil {
			return err
		}
		if len(w.targets) > before {
			return nil
		}
	}
	last := Target{Mailbox: w.resolver.Postmaster, Local: true, Hidden: hidden}
	for _, t := range w.targets {
		if t.Local && t.Mailbox.Key() == last.Mailbox.Key() {
			return nil
		}
	}
	w.targets = append(w.targets, last)
	return nil
}

// CheckLoop says whether an address, if it were stored, would forward in a
// circle through our own addresses; the error names the way round.
func (r *Resolver) CheckLoop(ctx context.Context, a Address) error {
	if a.Kind != Forward {
		return nil
	}
	return r.circle(ctx, a, a.Address, []string{a.Address.String()}, make(map[string]int))
}

// circle looks on from a, to which path leads. deepest says how far from start
// an address has been looked at: what many ways lead to is not walked again for
// each, unless the way has become longer.
func (r *Resolver) circle(ctx context.Context, a Address, start address.Mailbox, path []string, deepest map[string]int) error {
	if len(path) > MaxDepth {
		return fmt.Errorf("the forwarding is longer than %d addresses: %s; point it at the last one", MaxDepth, strings.Join(path, " → "))
	}
	for _, t := range a.Targets {
		way := append(path[:len(path):len(path)], t.String())
		if t.Key() == start.Key() {
			return fmt.Errorf("the forwarding would lead back to itself: %s; change one of them first", strings.Join(way, " → "))
		}
		if deepest[t.Key()] >= len(way) {
			continue
		}
		deepest[t.Key()] = len(way)
		next, found, err := r.find(ctx, t)
		if err != nil {
			return err
		}
		if found && next.Kind == Forward {
			if err := r.circle(ctx, next, start, way, deepest); err != nil {
				return err
			}
		}
	}
	return nil
}
