package account

import "context"

// A Backend knows secrets that are kept elsewhere: LDAP, an issuer of tokens,
// Dovecot, a service of one's own. It is asked within a deadline of ctx, by as
// many logins at a time as it allows, and never while another login waits for
// it that is not its own.
//
// An error means that it could not be asked: the client hears 454, and nothing
// is held against anybody. A Verdict means that it answered.
type Backend interface {
	// Name is that of the configuration.
	Name() string
	// Serves reports whether it knows the secrets of a login, by its domain; the
	// login is in normal form. It does not block.
	Serves(login string) bool
	// Passwords reports whether it checks main passwords, and Password checks one.
	Passwords() bool
	Password(ctx context.Context, login, password string, client Client) (Verdict, error)
	// Tokens reports whether it checks bearer tokens (rfc7628), and Token checks
	// one. login is the user name that the client gave, "" for none; the verdict's
	// Login is who the token is for.
	Tokens() bool
	Token(ctx context.Context, token, login string, client Client) (Verdict, error)
}

// An Issuer is a Backend whose tokens come from somewhere that clients can be
// told of.
type Issuer interface {
	Backend
	// Issued reports whether a token says that it comes from there, and is true of
	// a token that says nothing. It proves nothing and does not block: it chooses
	// whom to ask where there are several.
	Issued(token string) bool
	// Discovery is what a client without a good token is told.
	Discovery() Discovery
}

// Discovery is where tokens come from (rfc7628#3.2.2).
type Discovery struct {
	// OpenIDConfiguration is the URL of the issuer's openid-configuration.
	OpenIDConfiguration string
	// Scope is what a token must be good for, "" for anything.
	Scope string
}

// Verdict is what a backend found.
type Verdict struct {
	// OK says that the secret is right, and that it is good for Login.
	OK    bool
	Login string
	// Cause is why not: WrongPassword, UnknownUser, AccountDisabled or one of the
	// causes of tokens. Backends that do not tell unknown users from wrong
	// passwords say BackendRejected.
	Cause Cause
	// Proved says that the secret was right and the login is refused all the same.
	// Without it the client must not hear of AccountDisabled: a backend may find
	// that before it looks at the secret.
	Proved bool
	// Detail is what the backend said, for the owner and administrators: at most
	// 200 printable characters.
	Detail string
}
