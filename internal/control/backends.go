package control

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

// BackendRequest is one login to ask a backend about.
type BackendRequest struct {
	// Backend is its name in the configuration.
	Backend string `json:"backend"`
	// Login may be "" with a token.
	Login string `json:"login"`
	// Password or Token is the secret.
	Password string `json:"password,omitempty"`
	Token    string `json:"token,omitempty"`
}

// BackendAnswer is what a backend said.
type BackendAnswer struct {
	Backend string `json:"backend"`
	// OK says that the secret is right, and Login whose it is.
	OK    bool   `json:"ok"`
	Login string `json:"login,omitempty"`
	// Cause is why not, and Detail what the backend said of it. Proved says that
	// the secret was right all the same.
	Cause  account.Cause `json:"cause,omitempty"`
	Detail string        `json:"detail,omitempty"`
	Proved bool          `json:"proved,omitempty"`
	// Down is why it could not be asked: a client would hear 454.
	Down string `json:"down,omitempty"`
	// Milliseconds is how long it took.
	Milliseconds int64 `json:"milliseconds"`
}

// CheckBackend asks a backend about one login. Nothing is noted or counted, and
// there need be no account. A backend that is being left alone after failures is
// tried at once.
func (s *Service) CheckBackend(ctx context.Context, q BackendRequest) (BackendAnswer, error) {
	b, done, err := s.knownBackend(q.Backend)
	if err != nil {
		return BackendAnswer{}, err
	}
	defer done()
	login := account.NormalizeLogin(q.Login)
	switch {
	case (q.Password == "") == (q.Token == ""):
		return BackendAnswer{}, fail(Invalid, "give a password or a token to check")
	case q.Password != "" && !b.Passwords():
		return BackendAnswer{}, fail(Invalid, "the backend %s checks no passwords; give a token, with --token", q.Backend)
	case q.Token != "" && !b.Tokens():
		return BackendAnswer{}, fail(Invalid, "the backend %s checks no tokens; give a password", q.Backend)
	case login == "" && q.Token == "":
		return BackendAnswer{}, fail(Invalid, "name the login, like anna@example.org")
	case login != "" && !b.Serves(login):
		return BackendAnswer{}, fail(Refused, "the backend %s does not serve the domain of %s; its domains are in login.backends.%s.domains", q.Backend, login, q.Backend)
	}
	if again, ok := b.(interface{ TryNow() }); ok {
		again.TryNow()
	}
	began := time.Now()
	client := account.Client{Service: "control"}
	var v account.Verdict
	if q.Token != "" {
		v, err = b.Token(ctx, q.Token, login, client)
	} else {
		v, err = b.Password(ctx, login, q.Password, client)
	}
	a := BackendAnswer{Backend: q.Backend, Milliseconds: time.Since(began).Milliseconds()}
	if err != nil {
		a.Down = err.Error()
		return a, nil
	}
	a.OK, a.Cause, a.Detail, a.Proved = v.OK, v.Cause, v.Detail, v.Proved
	if v.OK {
		a.Login = v.Login
	}
	return a, nil
}

// knownBackend returns a backend of the configuration. Without a running server
// the backends were made for this question, and done closes them.
func (s *Service) knownBackend(name string) (b account.Backend, done func(), err error) {
	var all []account.Backend
	if s.opt.Backends != nil {
		if all, err = s.opt.Backends(); err != nil {
			return nil, nil, fail(Invalid, "the login backends cannot be used: %v", err)
		}
	}
	done = func() {
		for _, b := range all {
			if c, ok := b.(io.Closer); ok && s.opt.Runner == nil {
				c.Close() //nolint:errcheck // nothing is written that could be lost
			}
		}
	}
	names := make([]string, len(all))
	for i, b := range all {
		names[i] = b.Name()
		if b.Name() == name {
			return b, done, nil
		}
	}
	done()
	if len(all) == 0 {
		return nil, nil, fail(NotFound, "there are no login backends; name one in the configuration, as [login.backends.NAME]")
	}
	slices.Sort(names)
	return nil, nil, fail(NotFound, "there is no login backend %q; there are: %s", name, strings.Join(names, ", "))
}
