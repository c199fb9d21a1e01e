package dsn

import (
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/smtp"
)

// Basis is why we believe that a reverse-path is the sender's own, so that a
// report to it is no backscatter. The zero Basis is none. The numbers are
// stored; they never change.
type Basis uint8

const (
	// BasisNone: nothing shows that the sender wrote the reverse-path.
	BasisNone Basis = 0
	// Authenticated: the submitter logged in.
	Authenticated Basis = 1
	// TrustedNetwork: it came from a network that may relay, or from a program
	// on this machine. It counts as Authenticated.
	TrustedNetwork Basis = 2
	// SPFPass: the domain of MAIL FROM passed SPF.
	SPFPass Basis = 3
	// DKIMAligned: the domain of MAIL FROM is aligned with the d= of a valid
	// DKIM signature.
	DKIMAligned Basis = 4
)

// String names the basis in logs.
func (b Basis) String() string {
	switch b {
	case Authenticated:
		return "authenticated"
	case TrustedNetwork:
		return "trusted-network"
	case SPFPass:
		return "spf-pass"
	case DKIMAligned:
		return "dkim-aligned"
	}
	return "none"
}

// Trusted reports whether the submitter is one of ours.
func (b Basis) Trusted() bool { return b == Authenticated || b == TrustedNetwork }

// known reports whether the reverse-path may be believed.
func (b Basis) known() bool { return b.Trusted() || b == SPFPass || b == DKIMAligned }

// The causes for which no report is sent. They are stored and shown.
const (
	CauseNullPath     = "null-reverse-path"
	CauseNever        = "notify-never"
	CauseNotVerified  = "sender-not-verified"
	CauseNotRequested = "not-requested"
)

// Decide says whether a report of a kind is due for one recipient; cause is
// why not, "" if it is due. It is pure, so its answers for Failed and Delayed
// can be had at intake and stored.
func Decide(basis Basis, from address.Mailbox, notify smtp.Notify, kind Kind) (send bool, cause string) {
	switch {
	case from.IsZero(): // rfc5321#6.1
		return false, CauseNullPath
	case notify&smtp.NotifyNever != 0: // rfc3461#4.1
		return false, CauseNever
	case !basis.known():
		return false, CauseNotVerified
	}
	asked := false
	switch kind {
	case Failed:
		asked = notify == 0 || notify&smtp.NotifyFailure != 0 // rfc3461#5.2.6
	case Delayed:
		// Without NOTIFY it is at our discretion (rfc3461#4.1): our own users
		// hear of a delay, strangers do not.
		asked = notify == 0 && basis.Trusted() || notify&smtp.NotifyDelay != 0
	case Delivered, Relayed, Expanded:
		asked = notify&smtp.NotifySuccess != 0
	}
	if !asked {
		return false, CauseNotRequested
	}
	return true, ""
}
