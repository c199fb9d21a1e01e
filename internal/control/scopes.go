package control

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/reference"
)

// IdentityRequest gives an account an identity, or takes it away.
type IdentityRequest struct {
	Login string `json:"login"`
	// Identity is an address, or "@example.org" for all of a domain.
	Identity string `json:"identity"`
	Remove   bool   `json:"remove,omitempty"`
}

// ChangeIdentity changes what an account may send as.
func (s *Service) ChangeIdentity(ctx context.Context, q IdentityRequest) (AccountInfo, error) {
	defer s.changeAccounts()()
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return AccountInfo{}, err
	}
	ids, err := parseIdentities([]string{q.Identity})
	if err != nil {
		return AccountInfo{}, err
	}
	at := slices.Index(a.Identities, ids[0])
	switch {
	case q.Remove && at < 0:
		return AccountInfo{}, fail(NotFound, "%s is not an identity of %s; see those that are with: onward account identity list %s", ids[0], a.Login, a.Login)
	case q.Remove:
		a.Identities = slices.Delete(a.Identities, at, at+1)
	case at >= 0:
		return AccountInfo{}, fail(Exists, "%s may send as %s already", a.Login, ids[0])
	case len(a.Identities) >= MaxIdentities:
		return AccountInfo{}, fail(Refused, "%s has %d identities, and more are not possible; give it those of a whole domain, as in @example.org", a.Login, len(a.Identities))
	default:
		a.Identities = append(a.Identities, ids[0])
	}
	if err := s.opt.Accounts.UpdateAccount(ctx, a); err != nil {
		return AccountInfo{}, trouble("change the identities of "+a.Login, err)
	}
	return s.accountInfo(ctx, a)
}

// ShowAccount returns one account.
func (s *Service) ShowAccount(ctx context.Context, q AccountName) (AccountInfo, error) {
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return AccountInfo{}, err
	}
	return s.accountInfo(ctx, a)
}

// SettingsRequest changes settings of an account; what is nil or empty stays.
type SettingsRequest struct {
	Login string `json:"login"`
	// AppOnly says that programs need an app password.
	AppOnly *bool `json:"app_only,omitempty"`
	// Lang is the language of notices, "" for the server's.
	Lang *string `json:"lang,omitempty"`
	// AddCertificate and RemoveCertificate are SHA-256 fingerprints in hex.
	AddCertificate    string `json:"add_certificate,omitempty"`
	RemoveCertificate string `json:"remove_certificate,omitempty"`
	// Backend is the login backend that knows the main password from now on, "" for
	// us; then there is none until it is set.
	Backend *string `json:"backend,omitempty"`
}

// SetAccount changes settings of an account.
func (s *Service) SetAccount(ctx context.Context, q SettingsRequest) (AccountInfo, error) {
	defer s.changeAccounts()()
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return AccountInfo{}, err
	}
	if q.AppOnly == nil && q.Lang == nil && q.AddCertificate == "" && q.RemoveCertificate == "" && q.Backend == nil {
		return AccountInfo{}, fail(Invalid, "nothing is to be changed; give --app-only, --language, --certificate, --remove-certificate or --backend")
	}
	closing := q.AppOnly != nil && *q.AppOnly && !a.AppOnly
	switch was := a.Backend; {
	case q.Backend == nil:
	case *q.Backend == "":
		a.Backend, closing = "", closing || was != ""
	case *q.Backend != was:
		if err := s.bindBackend(&a, *q.Backend); err != nil {
			return AccountInfo{}, err
		}
		closing = true
	}
	if q.AppOnly != nil {
		a.AppOnly = *q.AppOnly
	}
	if q.Lang != nil {
		var tags []string
		for _, l := range reference.Languages() {
			tags = append(tags, l.Tag)
		}
		if *q.Lang != "" && !slices.Contains(tags, *q.Lang) {
			return AccountInfo{}, fail(Invalid, "%q is no language of this server; take one of %s", *q.Lang, strings.Join(tags, ", "))
		}
		a.Lang = *q.Lang
	}
	if f := strings.ToLower(q.AddCertificate); f != "" {
		if len(f) != 64 || strings.Trim(f, "0123456789abcdef") != "" {
			return AccountInfo{}, fail(Invalid, "%q is no SHA-256 fingerprint: 64 hexadecimal digits", f)
		}
		known := slices.Contains(a.Certificates, f)
		if !known && len(a.Certificates) >= MaxCertificates {
			return AccountInfo{}, fail(Refused, "%s has %d certificates, and more are not possible; take one away with --remove-certificate", a.Login, len(a.Certificates))
		}
		if !known {
			a.Certificates = append(a.Certificates, f)
		}
	}
	if f := strings.ToLower(q.RemoveCertificate); f != "" {
		at := slices.Index(a.Certificates, f)
		if at < 0 {
			return AccountInfo{}, fail(NotFound, "%s has no certificate with the fingerprint %s", a.Login, f)
		}
		a.Certificates = slices.Delete(a.Certificates, at, at+1)
	}
	if err := s.opt.Accounts.UpdateAccount(ctx, a); err != nil {
		return AccountInfo{}, trouble("change the account "+a.Login, err)
	}
	if closing {
		s.endLogins(a.Login, account.CredentialMain)
	}
	if q.RemoveCertificate != "" {
		s.endLogins(a.Login, account.CredentialCertificate)
	}
	return s.accountInfo(ctx, a)
}

// Scope is what an app password is bound to, as people write it. What is empty
// binds a new one to nothing, and leaves an old one as it is.
type Scope struct {
	Senders    []string `json:"senders,omitempty"`
	Networks   []string `json:"networks,omitempty"`
	Recipients []string `json:"recipients,omitempty"` // domains
	MaxSize    int64    `json:"max_size,omitempty"`   // octets
	// Idle is how long it may go unused, such as "90d"; "" or "never": for ever.
	Idle string `json:"idle,omitempty"`
	// Device asks for all of network, sender and recipient domain, now and at every
	// later change.
	Device bool `json:"device,omitempty"`
}

// ScopeRequest binds an app password anew.
type ScopeRequest struct {
	Login string `json:"login"`
	Which string `json:"which"`
	// Clear first takes away all that it is bound to, the profile of a device too.
	Clear bool `json:"clear,omitempty"`
	Scope
}

// SetScope binds an app password; its sessions end, so that they cannot go on
// with more than it allows now.
func (s *Service) SetScope(ctx context.Context, q ScopeRequest) (AppPasswordInfo, error) {
	defer s.changeAccounts()()
	var none AppPasswordInfo
	a, err := s.knownAccount(ctx, q.Login)
	if err != nil {
		return none, err
	}
	found, err := s.appPassword(ctx, a.Login, q.Which)
	if err != nil {
		return none, err
	}
	p := *found
	if q.Clear {
		p.Scope, p.Device, p.Idle = account.Scope{}, false, 0
	}
	if err := s.bind(ctx, &a, &p, q.Scope); err != nil {
		return none, err
	}
	p, err = s.opt.Accounts.ChangeAppPassword(ctx, a.Login, p.ID, func(now *account.AppPassword) error {
		now.Scope, now.Device, now.Idle = p.Scope, p.Device, p.Idle
		return nil
	})
	if err != nil {
		return none, trouble("change the app password", err)
	}
	s.endLogins(a.Login, p.ID)
	return AppPasswordInfo{p, p.Status(time.Now())}, nil
}

// What one account may have at most: its owner may make them, and a login reads
// them all.
const (
	MaxScope        = 50  // senders, networks and recipient domains of one app password, each
	MaxAppPasswords = 100 // that are not revoked
	MaxCertificates = 20
)

// bind puts a scope on an app password, beside what it is bound to already.
func (s *Service) bind(ctx context.Context, a *account.Account, p *account.AppPassword, q Scope) error {
	if n := max(len(q.Senders), len(q.Networks), len(q.Recipients)); n > MaxScope {
		return fail(Invalid, "an app password is to be bound to %d things of a kind; at most %d", n, MaxScope)
	}
	to, device, idle := p.Scope, p.Device || q.Device, p.Idle
	if len(q.Senders) > 0 {
		ids, err := parseIdentities(q.Senders)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.maySend(ctx, a, id); err != nil {
				return err
			}
		}
		to.Senders = ids
	}
	if len(q.Networks) > 0 {
		to.Networks = nil
	}
	for _, text := range q.Networks {
		n, err := parseNetwork(text)
		if err != nil {
			return err
		}
		to.Networks = append(to.Networks, n)
	}
	if len(q.Recipients) > 0 {
		to.Recipients = nil
	}
	for _, text := range q.Recipients {
		d, err := parseDomain(strings.TrimPrefix(text, "@"))
		if err != nil {
			return err
		}
		to.Recipients = append(to.Recipients, d.String())
	}
	switch {
	case q.MaxSize < 0:
		return fail(Invalid, "a largest message of %d octets is none; give a size above 0", q.MaxSize)
	case q.MaxSize > 0:
		to.MaxSize = q.MaxSize
	}
	if q.Idle == "never" {
		idle = 0
	} else if q.Idle != "" {
		d, ok := parseSpan(q.Idle)
		if !ok || d <= 0 {
			return fail(Invalid, "%q is no time without use; write it like 90d, or never", q.Idle)
		}
		idle = d
	}
	if missing := unbound(&to); device && len(missing) > 0 {
		return fail(Invalid, "the app password of a device is bound to where it stands, what it sends as and to whom; give %s too", strings.Join(missing, " and "))
	}
	p.Scope, p.Device, p.Idle = to, device, idle
	return nil
}

// unbound names the flags of what the scope of a device lacks.
func unbound(s *account.Scope) []string {
	var missing []string
	if len(s.Networks) == 0 {
		missing = append(missing, "--network")
	}
	if len(s.Senders) == 0 {
		missing = append(missing, "--sender")
	}
	if len(s.Recipients) == 0 {
		missing = append(missing, "--recipient-domain")
	}
	return missing
}

// maySend reports as an error that an account may not send as an identity: its
// own address, one of its identities, or an address that forwards to it, as at
// MAIL (rfc6409#6.1).
func (s *Service) maySend(ctx context.Context, a *account.Account, id string) error {
	if slices.Contains(a.Identities, id) {
		return nil
	}
	if m, err := address.ParseMailbox(id); err == nil {
		if a.MaySend(m) {
			return nil
		}
		at, err := s.opt.Recipients.Address(ctx, m)
		switch {
		case err == nil && at.Kind == recipient.Forward && slices.ContainsFunc(at.Targets, func(t address.Mailbox) bool { return t.Key() == a.Login }):
			return nil
		case err != nil && !errors.Is(err, recipient.ErrNotFound):
			return trouble("look up the address "+id, err)
		}
	}
	return fail(Invalid, "%s is not an identity of %s, so its app password cannot send as it; allow it first: onward account identity add %s %s", id, a.Login, a.Login, id)
}

// parseNetwork reads an address or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(text)
	if err != nil || n.Addr().Is4In6() {
		return netip.Prefix{}, fail(Invalid, "%q is no network; write it like 192.0.2.0/24 or 2001:db8::/64", text)
	}
	return n.Masked(), nil
}
