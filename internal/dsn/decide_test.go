package dsn

import (
	"testing"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/smtp"
)

func TestDecide(t *testing.T) {
	bob := address.MustMailbox("bob@example.com")
	for _, c := range []struct {
		basis  Basis
		from   address.Mailbox
		notify smtp.Notify
		kind   Kind
		cause  string
	}{
		{Authenticated, bob, 0, Failed, ""},
		{TrustedNetwork, bob, 0, Failed, ""},
		{SPFPass, bob, 0, Failed, ""},
		{DKIMAligned, bob, smtp.NotifyFailure, Failed, ""},
		{BasisNone, bob, 0, Failed, CauseNotVerified},
		{BasisNone, bob, smtp.NotifyFailure | smtp.NotifySuccess | smtp.NotifyDelay, Delivered, CauseNotVerified},
		{Basis(99), bob, 0, Failed, CauseNotVerified},
		{Authenticated, address.Mailbox{}, smtp.NotifyFailure, Failed, CauseNullPath},
		{Authenticated, bob, smtp.NotifyNever, Failed, CauseNever},
		{Authenticated, bob, smtp.NotifySuccess, Failed, CauseNotRequested},
		{Authenticated, bob, 0, Delayed, ""},
		{TrustedNetwork, bob, 0, Delayed, ""},
		{SPFPass, bob, 0, Delayed, CauseNotRequested},
		{SPFPass, bob, smtp.NotifyDelay, Delayed, ""},
		{Authenticated, bob, smtp.NotifyFailure, Delayed, CauseNotRequested},
		{Authenticated, bob, 0, Delivered, CauseNotRequested},
		{Authenticated, bob, smtp.NotifySuccess, Delivered, ""},
		{DKIMAligned, bob, smtp.NotifySuccess, Relayed, ""},
		{Authenticated, bob, smtp.NotifyFailure, Expanded, CauseNotRequested},
		{Authenticated, bob, 0, 0, CauseNotRequested},
	} {
		send, cause := Decide(c.basis, c.from, c.notify, c.kind)
		if send != (c.cause == "") || cause != c.cause {
			t.Errorf("%s, %s, notify %d, %s: %t, %q; want %q", c.basis, c.from.Path(), c.notify, c.kind, send, cause, c.cause)
		}
	}
}
