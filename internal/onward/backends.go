package onward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/backend"
	"github.com/onwardmail/onward/internal/config"
)

// backends makes the login backends of a configuration, those for every domain
// last. None of them is connected to. An error names the backend and the key.
func (s *Server) backends(c *config.Config) ([]account.Backend, error) {
	return makeBackends(c, s.opt.Dial)
}

// dial connects; nil: a net.Dialer.
type dial = func(ctx context.Context, network, addr string) (net.Conn, error)

func makeBackends(c *config.Config, dial dial) ([]account.Backend, error) {
	var all []account.Backend
	var errs []error
	for i := range c.Login.Backends {
		b, err := makeBackend(&c.Login.Backends[i], dial)
		if err != nil {
			errs = append(errs, fmt.Errorf("login.backends.%s.%w", c.Login.Backends[i].Name, err))
			continue
		}
		all = append(all, b)
	}
	if len(errs) > 0 {
		closeBackends(all)
		return nil, errors.Join(errs...)
	}
	return all, nil
}

// makeBackend makes one. The error is a backend.Mistake.
func makeBackend(b *config.Backend, dial dial) (account.Backend, error) {
	opt := backend.Options{
		Name: b.Name, Domains: b.Domains, Every: b.Every(), Timeout: b.Timeout, Connections: b.Connections,
		CAFile: b.CAFile, Dial: dial,
	}
	switch b.Kind {
	case config.BackendOIDC:
		return made(backend.NewOIDC(opt, backend.OIDC{
			Issuer: b.Issuer, Audience: b.Audience, Scope: b.Scope, Claim: b.Claim, Domain: b.LoginDomain, Leeway: b.Leeway,
			Introspection: b.Introspection, IntrospectionURL: b.IntrospectionURL, ClientID: b.ClientID, ClientSecretFile: b.ClientSecretFile,
		}))
	case config.BackendDovecot:
		return made(backend.NewDovecot(opt, backend.Dovecot{Address: b.Address, TLSName: b.TLSName, Service: b.Service}))
	case config.BackendHTTP:
		return made(backend.NewCallback(opt, backend.Callback{
			URL: b.URL, TokenFile: b.TokenFile, Username: b.Username, PasswordFile: b.PasswordFile,
		}))
	}
	return made(backend.NewLDAP(opt, backend.LDAP{
		Servers: b.Servers, StartTLS: b.StartTLS, TLSName: b.TLSName, DN: b.DN,
		Base: b.Base, Filter: b.Filter, Subtree: b.Depth == config.DepthSubtree, BindDN: b.BindDN, PasswordFile: b.PasswordFile,
		LoginAttribute: b.LoginAttribute, DisabledFilter: b.DisabledFilter,
	}))
}

// made keeps a nil pointer from becoming a backend.
func made[B account.Backend](b B, err error) (account.Backend, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

// closeBackends gives back what backends hold; logins under way may end.
func closeBackends(all []account.Backend) {
	for _, b := range all {
		if c, ok := b.(io.Closer); ok {
			c.Close() //nolint:errcheck // nothing is written that could be lost
		}
	}
}

// useBackends puts backends into force and closes those before them.
func (s *Server) useBackends(all []account.Backend) {
	if old := s.logins.Swap(&all); old != nil {
		closeBackends(*old)
	}
}

// loginBackends are those in force.
func (s *Server) loginBackends() ([]account.Backend, error) {
	if all := s.logins.Load(); all != nil {
		return *all, nil
	}
	return nil, nil
}

// CheckBackends finds what is wrong with the login backends of a configuration
// besides their keys: files that cannot be read, filters that are none. file is
// the name of the configuration, for messages.
func CheckBackends(c *config.Config, file string) error {
	lines := make(map[string]int)
	for _, s := range c.Settings() {
		lines[s.Key] = s.Line
	}
	var all config.Errors
	for i := range c.Login.Backends {
		key := "login.backends." + c.Login.Backends[i].Name
		b, err := makeBackend(&c.Login.Backends[i], nil)
		if err == nil {
			closeBackends([]account.Backend{b})
			continue
		}
		e := &config.Error{File: file, Line: lines[key], Key: key, Problem: err.Error()}
		if m := (*backend.Mistake)(nil); errors.As(err, &m) {
			e.Key, e.Problem = key+"."+m.Key, m.Err.Error()
		}
		all = append(all, e)
	}
	if len(all) > 0 {
		return all
	}
	return nil
}
