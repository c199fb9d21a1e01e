package account

// Cause is why a login failed; the keys login.<cause> of the reference explain
// it, to the owner of the account and to administrators only. On the wire all
// that end in 535 are the same.
type Cause string

// The causes.
const (
	UnknownUser   Cause = "unknown_user"
	DomainMissing Cause = "domain_missing"
	WrongPassword Cause = "wrong_password"
	// WrongSecret is said of mechanisms that do not show what was tried (SCRAM).
	WrongSecret Cause = "wrong_secret"
	// PasswordTransition: SCRAM was used, and the password of the account has no
	// keys for it yet.
	PasswordTransition Cause = "password_transition"
	// What a wrong password turned out to be, found after the reply.
	SpaceAdded    Cause = "password_space"
	QuotesChanged Cause = "password_quotes"
	CaseSwapped   Cause = "password_case"
	Base64Twice   Cause = "base64_twice"
	PromptSent    Cause = "prompt_sent"

	AppPasswordUnknown   Cause = "app_password_unknown"
	AppPasswordRevoked   Cause = "app_password_revoked"
	AppPasswordExpired   Cause = "app_password_expired"
	AppPasswordIdle      Cause = "app_password_idle"
	AppPasswordSuspended Cause = "app_password_suspended"
	AppPasswordNetwork   Cause = "app_password_network"
	// AppPasswordRequired: the main password was right, and programs need an app
	// password.
	AppPasswordRequired Cause = "app_password_required"
	// MainPasswordNotSet: something that is no app password was given to an account
	// that has nothing else.
	MainPasswordNotSet Cause = "main_password_required_app"

	Malformed Cause = "malformed"
	// ActsAsOther: the authorization identity is not the login.
	ActsAsOther Cause = "acts_as_other"
	// ChannelBinding: the client is bound to another TLS channel than ours, or was
	// told that we offer no binding.
	ChannelBinding Cause = "channel_binding"

	TokenInvalid   Cause = "token_invalid"    // no issuer of ours vouches for it
	TokenExpired   Cause = "token_expired"    // its time is over
	TokenClockSkew Cause = "token_clock_skew" // its time has not begun: a clock is wrong
	TokenAudience  Cause = "token_audience"   // it is for another service, or lacks the scope
	TokenUser      Cause = "token_user"       // it is for another user than was named

	CertificateMissing Cause = "certificate_missing" // EXTERNAL without a client certificate; said as 504
	CertificateUnknown Cause = "certificate_unknown" // no account has it
	CertificateExpired Cause = "certificate_expired"

	// AccountDisabled is said as 525, and only after the right secret.
	AccountDisabled Cause = "account_disabled"
	// BackendDown is said as 454.
	BackendDown Cause = "backend_down"
	// Slowed: too many wrong secrets came from the network or for the account. Said
	// as 421.
	Slowed Cause = "too_many_guesses"
	// TooBusy: more logins came than can be checked. Said as 454.
	TooBusy Cause = "too_busy"
	// BackendRejected: a backend that does not tell who it knows rejected a name that
	// no account has.
	BackendRejected Cause = "backend_rejected"
	// MechanismNotOffered is said as 504, Unencrypted as 538 and WrongPort as 503.
	MechanismNotOffered Cause = "mechanism_not_offered"
	Unencrypted         Cause = "unencrypted"
	WrongPort           Cause = "wrong_port"
)

// Causes returns all of them, for tests of the reference.
func Causes() []Cause {
	return []Cause{
		UnknownUser, DomainMissing, WrongPassword, WrongSecret, PasswordTransition, SpaceAdded, QuotesChanged, CaseSwapped, Base64Twice, PromptSent,
		AppPasswordUnknown, AppPasswordRevoked, AppPasswordExpired, AppPasswordIdle, AppPasswordSuspended, AppPasswordNetwork,
		AppPasswordRequired, MainPasswordNotSet, Malformed, ActsAsOther, ChannelBinding,
		TokenInvalid, TokenExpired, TokenClockSkew, TokenAudience, TokenUser,
		CertificateMissing, CertificateUnknown, CertificateExpired,
		AccountDisabled, BackendDown, TooBusy, BackendRejected, Slowed, MechanismNotOffered, Unencrypted, WrongPort,
	}
}
