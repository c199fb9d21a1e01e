package control

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

// Own is a request of somebody who manages his own account: the account's login
// and main password, and what he asks for, in which the login is left out.
type Own[Q any] struct {
	Login    string `json:"login"`
	Password string `json:"password"`
	Request  Q      `json:"request"`
}

// ownPrefix stands before the name of an operation that an owner asks for.
const ownPrefix = "my."

// ownable is a request that an owner may make for the account with a login.
type ownable[Q any] interface {
	*Q
	// own binds the request to the account, or says why an owner may not ask so.
	own(login string) error
}

// own is the operation for owners.
func own[Q, R any, P ownable[Q]](o Operation[Q, R]) entry {
	return entry{ownPrefix + o.Name, func(ctx context.Context, s *Service, body io.Reader) (any, error) {
		var q Own[Q]
		if err := decodeOne(body, &q); err != nil {
			return nil, err
		}
		a, err := s.owner(ctx, q.Login, q.Password)
		if err != nil {
			return nil, err
		}
		login := a.Login
		ctx = context.WithValue(ctx, provedKey{}, a)
		if err := P(&q.Request).own(login); err != nil {
			return nil, err
		}
		r, err := o.do(s, ctx, q.Request)
		s.opt.Log.Info("somebody managed his own account", "login", login, "user", actor(ctx), "operation", o.Name, "done", err == nil)
		if err != nil {
			e := typed(err)
			return nil, &Error{Kind: e.Kind, Message: inOwnWords(e.Message, login), cause: e}
		}
		return resultInOwnWords(r, login), nil
	}}
}

// resultInOwnWords names the commands of owners in what explains a failed login.
func resultInOwnWords(r any, login string) any {
	switch r := r.(type) {
	case LoginFailure:
		r.Fix = inOwnWords(r.Fix, login)
		return r
	case []LoginFailure:
		for i := range r {
			r[i].Fix = inOwnWords(r[i].Fix, login)
		}
	}
	return r
}

// ownEntries is the table of what owners may ask for.
func ownEntries() []entry {
	return []entry{
		own(ShowAccount), own(SetPassword), own(SetAccount), own(AccountLimits), own(AccountUsage),
		own(AddAppPassword), own(ListAppPasswords), own(SetScope), own(RevokeAppPassword), own(ResumeAppPassword),
		own(ListFailures), own(ExplainLogin),
	}
}

func (q *AccountName) own(login string) error        { q.Login = login; return nil }
func (q *AppPasswordRequest) own(login string) error { q.Login = login; return nil }
func (q *ScopeRequest) own(login string) error       { q.Login = login; return nil }
func (q *RevokeRequest) own(login string) error      { q.Login = login; return nil }
func (q *ResumeRequest) own(login string) error      { q.Login = login; return nil }
func (q *FailuresRequest) own(login string) error    { q.Login = login; return nil }

func (q *ExplainLoginRequest) own(login string) error { q.login = login; return nil }

func (q *SettingsRequest) own(login string) error {
	if q.Backend != nil {
		return fail(Refused, "only an administrator decides who knows the main password")
	}
	q.Login = login
	return nil
}

func (q *PasswordRequest) own(login string) error {
	if q.Password == "" {
		return fail(Refused, "only an administrator can take the main password away: you could not manage your account any more")
	}
	q.Login = login
	return nil
}

func (q *LimitsRequest) own(login string) error {
	if q.AppPassword == "" && len(q.Set) > 0 {
		return fail(Refused, "only an administrator changes the limits of an account; you may bind your app passwords further with --app-password")
	}
	q.Login = login
	return nil
}

// CallAs carries the operation out over c for the owner of an account, whose
// main password proves that he is. Every error is an *Error; of the kind Invalid
// too where an owner may not ask for the operation at all.
func (o Operation[Q, R]) CallAs(ctx context.Context, c *Conn, login, password string, request Q) (R, error) {
	var r R
	body, err := json.Marshal(Own[Q]{login, password, request})
	if err != nil {
		return r, trouble("write the request "+o.Name, err)
	}
	if c.service == nil {
		return r, c.post(ctx, ownPrefix+o.Name, "application/json", bytes.NewReader(body), &r)
	}
	for _, e := range ownEntries() {
		if e.name != ownPrefix+o.Name {
			continue
		}
		result, err := e.serve(here(ctx), c.service, bytes.NewReader(body))
		if err != nil {
			return r, typed(err)
		}
		return result.(R), nil
	}
	return r, fail(Invalid, "an owner cannot ask for %q", o.Name)
}

// Verifier says whether somebody knows the main password of an account; who is
// what the machine calls him. account.Checker.Owner is one.
type Verifier func(ctx context.Context, login, password, who string, now time.Time) account.Result

// provedKey is the key of a context: the account whose main password was proved.
type provedKey struct{}

// stillProved says whether what an owner has proved holds for the account as it is
// now: meanwhile an administrator may have set another password, or disabled it.
func stillProved(ctx context.Context, now *account.Account) error {
	was, ok := ctx.Value(provedKey{}).(*account.Account)
	if !ok || was.Login == now.Login && was.Hash == now.Hash && was.Backend == now.Backend && was.Created.Equal(now.Created) && !now.Disabled {
		return nil
	}
	return fail(Refused, "the account was changed at the same time; nothing was done. Try again")
}

// ownerPatience bounds the check of a password.
const ownerPatience = 30 * time.Second

// owner returns the account whose main password somebody knows. Like on the wire,
// what was wrong is not told; the reference leads to it.
func (s *Service) owner(ctx context.Context, login, password string) (*account.Account, error) {
	who, now := actor(ctx), time.Now()
	switch {
	case s.opt.Owner == nil:
		return nil, fail(Unavailable, "nobody can be let in here to manage an account of his own")
	case login == "":
		return nil, fail(Invalid, "name your login, an address such as anna@example.org")
	case password == "":
		return nil, fail(Invalid, "give the main password of %s", login)
	case account.IsAppPassword(password):
		return nil, fail(Refused, "that is an app password; to manage an account takes its main password. Whoever has none asks an administrator: onward account passwd %s", login)
	}
	wait, done := s.tries.take(who, now)
	if wait > 0 {
		return nil, fail(Unavailable, "too many wrong passwords, or too many at a time; try again in %s", max(wait.Round(time.Second), time.Second))
	}
	// Whoever hangs up is not spared: else his wrong password would not count.
	check, cancel := context.WithTimeout(context.WithoutCancel(ctx), ownerPatience)
	defer cancel()
	r := s.opt.Owner(check, login, password, who, now)
	proved := r.Cause == account.AccountDisabled && !r.Unproved
	done(r.Cause == "" || r.Cause == account.BackendDown || r.Cause == account.TooBusy || proved)
	switch {
	case r.Cause == "" && r.Account != nil:
		return r.Account, nil
	case r.Cause == account.TooBusy:
		return nil, fail(Unavailable, "too many logins are being checked; try again in a minute")
	case r.Cause == account.BackendDown && r.Reference == "": // nothing could be noted
		return nil, fail(Unavailable, "the password cannot be checked; an administrator sees why with: onward check-config")
	case r.Cause == account.BackendDown:
		s.opt.Log.Error("a password cannot be checked", "login", login, "user", who, "error", r.Err, "reference", r.Reference)
		return nil, fail(Unavailable, "the password cannot be checked now; try again later, or ask an administrator: onward explain-login %s", r.Reference)
	case proved:
		return nil, fail(Refused, "the account %s is disabled; ask an administrator: onward account enable %s", login, login)
	}
	return nil, fail(Refused, "login or password is wrong; an administrator sees what it was with: onward explain-login %s", r.Reference)
}

// Wrong passwords of one user of this machine: these may come at once, and one
// more in each such time. Networks, which account.Guesses counts, have no say
// here.
const (
	wrongAtOnce = 10
	wrongEach   = 10 * time.Second
	maxTriers   = 1000 // users who are remembered
)

// tries counts wrong passwords by user. It is safe for concurrent use.
type tries struct {
	mu   sync.Mutex
	free map[string]time.Time // when all tries of a user are free again
	busy map[string]bool      // users of whom one is being checked
}

// take takes one try of a user, one at a time, or returns how long he has to wait
// for it. done ends it; spared says that the password was not wrong.
func (t *tries) take(who string, now time.Time) (wait time.Duration, done func(spared bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[who] {
		return time.Second, nil
	}
	free := t.free[who]
	if free.Before(now) {
		free = now
	}
	free = free.Add(wrongEach)
	if wait := free.Sub(now) - wrongAtOnce*wrongEach; wait > 0 {
		return wait, nil
	}
	if len(t.free) >= maxTriers {
		maps.DeleteFunc(t.free, func(_ string, at time.Time) bool { return !at.After(now) })
	}
	switch {
	case t.free == nil:
		t.free, t.busy = make(map[string]time.Time), make(map[string]bool)
	case len(t.free) >= maxTriers && t.free[who].IsZero():
		return wrongEach, nil // a thousand users at once: none of them knows a password
	}
	t.free[who], t.busy[who] = free, true
	return 0, func(spared bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.busy, who)
		if spared {
			t.free[who] = t.free[who].Add(-wrongEach)
		}
	}
}

// OwnCommand is the command by which an owner does what an administrator does
// with «onward account VERB LOGIN».
func OwnCommand(verb string) string { return ownCommand + " " + verb }

const ownCommand = "onward my"

// inOwnWords names the commands of owners in a message for administrators, where
// there are such commands.
func inOwnWords(text, login string) string {
	text = strings.ReplaceAll(text, "onward account failures", OwnCommand("failures"))
	return ownCommands().ReplaceAllStringFunc(text, func(command string) string {
		verb, rest, found := strings.Cut(strings.TrimPrefix(command, "onward account "), " "+login)
		if !found {
			return command
		}
		return OwnCommand(verb) + rest
	})
}

// ownCommands finds the commands for administrators that owners have too.
var ownCommands = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`onward account (?:passwd|limits|usage|set|app-password (?:add|list|scope|revoke|resume)) [^ ]+`)
})

// ServeOwners is Serve for every user of this machine, who manage accounts of
// their own there and do nothing else.
func (s *Service) ServeOwners(ctx context.Context, l net.Listener, log *slog.Logger) error {
	h := &handler{service: s, allowed: func(int) bool { return true }, entries: table(ownEntries()), each: maxOfUser}
	return h.serve(ctx, l, log)
}
