package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/onwardmail/onward/internal/account"
)

// Operation is one thing that can be done, with the types of what goes in and
// what comes out. Call does it wherever the server is.
type Operation[Q, R any] struct {
	// Name is stable: it is the path on the socket.
	Name string
	do   func(*Service, context.Context, Q) (R, error)
}

// Call carries the operation out over c. Every error is an *Error.
func (o Operation[Q, R]) Call(ctx context.Context, c *Conn, request Q) (R, error) {
	if c.service != nil {
		r, err := o.do(c.service, here(ctx), request)
		if err != nil {
			return r, typed(err)
		}
		return r, nil
	}
	var r R
	body, err := json.Marshal(request)
	if err != nil {
		return r, trouble("write the request "+o.Name, err)
	}
	return r, c.post(ctx, o.Name, "application/json", bytes.NewReader(body), &r)
}

// entry is an operation in the table of the server: its types are hidden in
// serve.
type entry struct {
	name  string
	serve func(ctx context.Context, s *Service, body io.Reader) (any, error)
}

func (o Operation[Q, R]) entry() entry {
	return entry{o.Name, func(ctx context.Context, s *Service, body io.Reader) (any, error) {
		var q Q
		if err := decodeOne(body, &q); err != nil {
			return nil, err
		}
		return o.do(s, ctx, q)
	}}
}

// decodeOne reads exactly one JSON value without unknown fields.
func decodeOne(body io.Reader, into any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return unreadable(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fail(Invalid, "the request has something after its JSON value; send one value")
	}
	return nil
}

// unreadable is the error for a request that is not what was agreed.
func unreadable(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) { // the body's limit
		return e
	}
	return fail(Invalid, "the request cannot be read: %v; the program and the server may be of different versions", err)
}

// The operations.
var (
	GetStatus = Operation[Nothing, Status]{"status", (*Service).Status}
	Reload    = Operation[Nothing, Nothing]{"reload", (*Service).Reload}

	AddDomain    = Operation[DomainRequest, DomainInfo]{"domain.add", (*Service).AddDomain}
	ListDomains  = Operation[Nothing, []DomainInfo]{"domain.list", (*Service).ListDomains}
	RemoveDomain = Operation[RemoveDomainRequest, Removed]{"domain.remove", (*Service).RemoveDomain}

	PutAddress    = Operation[AddressRequest, AddressInfo]{"address.put", (*Service).PutAddress}
	ShowAddress   = Operation[AddressName, AddressInfo]{"address.show", (*Service).ShowAddress}
	ListAddresses = Operation[ListAddressesRequest, []AddressInfo]{"address.list", (*Service).ListAddresses}
	RemoveAddress = Operation[AddressName, Removed]{"address.remove", (*Service).RemoveAddress}

	AddAccount     = Operation[AccountRequest, AccountInfo]{"account.add", (*Service).AddAccount}
	SetPassword    = Operation[PasswordRequest, AccountInfo]{"account.passwd", (*Service).SetPassword}
	EnableAccount  = Operation[EnableRequest, AccountInfo]{"account.enable", (*Service).EnableAccount}
	ListAccounts   = Operation[Nothing, []AccountInfo]{"account.list", (*Service).ListAccounts}
	RemoveAccount  = Operation[AccountName, Removed]{"account.remove", (*Service).RemoveAccount}
	ListFailures   = Operation[FailuresRequest, []LoginFailure]{"account.failures", (*Service).ListFailures}
	ExplainLogin   = Operation[ExplainLoginRequest, LoginFailure]{"account.explain-login", (*Service).ExplainLogin}
	ImportAccounts = Operation[ImportRequest, ImportAnswer]{"account.import", (*Service).ImportAccounts}
	AddAppPassword = Operation[AppPasswordRequest, NewAppPassword]{"account.app-password.add", (*Service).AddAppPassword}

	ShowAccount       = Operation[AccountName, AccountInfo]{"account.show", (*Service).ShowAccount}
	ChangeIdentity    = Operation[IdentityRequest, AccountInfo]{"account.identity", (*Service).ChangeIdentity}
	SetAccount        = Operation[SettingsRequest, AccountInfo]{"account.set", (*Service).SetAccount}
	SetScope          = Operation[ScopeRequest, AppPasswordInfo]{"account.app-password.scope", (*Service).SetScope}
	ListAppPasswords  = Operation[AccountName, []AppPasswordInfo]{"account.app-password.list", (*Service).ListAppPasswords}
	RevokeAppPassword = Operation[RevokeRequest, AppPasswordInfo]{"account.app-password.revoke", (*Service).RevokeAppPassword}

	CheckBackend      = Operation[BackendRequest, BackendAnswer]{"account.check-backend", (*Service).CheckBackend}
	AccountLimits     = Operation[LimitsRequest, LimitsInfo]{"account.limits", (*Service).AccountLimits}
	AccountUsage      = Operation[AccountName, []CredentialUsage]{"account.usage", (*Service).AccountUsage}
	ResumeAppPassword = Operation[ResumeRequest, Resumed]{"account.app-password.resume", (*Service).ResumeAppPassword}

	ListQueue   = Operation[QueueFilter, []QueueItem]{"queue.list", (*Service).ListQueue}
	ShowQueue   = Operation[QueueShowRequest, QueueMessage]{"queue.show", (*Service).ShowQueue}
	ChangeQueue = Operation[QueueChange, QueueChanged]{"queue.change", (*Service).ChangeQueue}
	ShowLog     = Operation[LogRequest, []LogEntry]{"log", (*Service).ShowLog}

	ListBans = Operation[Nothing, []account.Ban]{"ban.list", (*Service).ListBans}
	LiftBan  = Operation[LiftBanRequest, BansLifted]{"ban.lift", (*Service).LiftBan}
)

// entries is the table of what the socket serves, besides submit.
func entries() []entry {
	return []entry{
		GetStatus.entry(), Reload.entry(),
		AddDomain.entry(), ListDomains.entry(), RemoveDomain.entry(),
		PutAddress.entry(), ShowAddress.entry(), ListAddresses.entry(), RemoveAddress.entry(),
		AddAccount.entry(), SetPassword.entry(), EnableAccount.entry(), ListAccounts.entry(), RemoveAccount.entry(),
		ListFailures.entry(), ExplainLogin.entry(), ImportAccounts.entry(),
		CheckBackend.entry(),
		AddAppPassword.entry(), ListAppPasswords.entry(), RevokeAppPassword.entry(),
		ShowAccount.entry(), ChangeIdentity.entry(), SetAccount.entry(), SetScope.entry(),
		AccountLimits.entry(), AccountUsage.entry(), ResumeAppPassword.entry(),
		ListQueue.entry(), ShowQueue.entry(), ChangeQueue.entry(), ShowLog.entry(),
		ListBans.entry(), LiftBan.entry(),
	}
}
