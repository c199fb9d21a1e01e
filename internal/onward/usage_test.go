package onward

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// usageWorld is a server with one account, anna@example.org, with a mailbox and
// an app password.
func usageWorld(t *testing.T, account, app string) *world {
	w := newWorld(t, txtar.Parse(fmt.Appendf(nil, `-- directory --
domain example.org
mailbox anna@example.org
account anna@example.org correct %s
app anna@example.org phone bbbbbbbb-cccccccc-dddddddd-eeeeeeee-ffffffff active %s
`, account, app)), false)
	w.quiet = true
	return w
}

// submit sends a message as a session of the login would and returns the last
// reply.
func (w *world) submit(credential, from string, to ...string) string {
	w.t.Helper()
	p := &transaction.Peer{
		Session: "test", Service: transaction.Submissions, Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 1),
		Login: "anna@example.org", Credential: credential, Helo: "client.example",
	}
	ctx := context.Background()
	tr, r := w.server.handler.Mail(ctx, p, address.MustMailbox("anna@example.org"), smtp.MailParams{})
	if !r.Positive() {
		return r.String()
	}
	defer tr.Abort()
	for _, a := range to {
		if r := tr.Recipient(ctx, address.MustMailbox(a), smtp.RcptParams{}); !r.Positive() {
			return r.String()
		}
	}
	c, r := tr.Content(ctx)
	if !r.IsZero() {
		return r.String()
	}
	if _, err := c.Write([]byte("Subject: hello\r\n\r\nHello.\r\n")); err != nil {
		w.t.Fatal(err)
	}
	return c.Commit(ctx)[0].String()
}

func (w *world) wantReply(got, want string) {
	w.t.Helper()
	if !strings.HasPrefix(got, want) {
		w.t.Fatalf("the server says %q, want %q", got, want)
	}
}

func (w *world) phone() account.AppPassword {
	w.t.Helper()
	all, err := w.server.Directory().AppPasswords(context.Background(), "anna@example.org")
	if err != nil || len(all) != 1 {
		w.t.Fatalf("%+v %v", all, err)
	}
	return all[0]
}

// notices counts those that are in the queue or were sent.
func (w *world) notices() int {
	n := 0
	for _, l := range w.recipients() {
		if l.Message.Origin.Service == "notice" {
			n++
		}
	}
	return n
}

// TestUsageOverRestart: a restart forgets neither what was sent, nor whom to, nor
// from where.
func TestUsageOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := usageWorld(t, "messages_hour=2 new_recipients_day=1", "")
		w.wantReply(w.submit("main", "192.0.2.1", "friend@example.net"), "250 ")
		if err := w.server.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s, err := New(context.Background(), w.options())
		if err != nil {
			t.Fatal(err)
		}
		w.server = s
		s.Start()
		w.wantReply(w.submit("main", "192.0.2.1", "stranger@example.net"), "450 4.7.0 The limit of 1 new recipients a day of account anna@example.org")
		w.wantReply(w.submit("main", "192.0.2.1", "friend@example.net"), "250 ")
		w.wantReply(w.submit("main", "192.0.2.1", "friend@example.net"), "451 4.7.0 The limit of 2 messages an hour of account anna@example.org is reached; it sends again from 13:05 UTC")
		u, err := s.control.AccountUsage(context.Background(), control.AccountName{Login: "anna@example.org"})
		if err != nil || len(u) != 2 || u[0].Sent.MessagesHour != 2 || u[0].Sent.NewRecipientsDay != 1 || u[1].Credential != "main" ||
			len(u[1].Networks) != 1 || u[1].Networks[0].Prefix.String() != "192.0.0.0/16" || !u[1].Networks[0].First.Equal(begin) {
			t.Errorf("%+v %v", u, err)
		}
		if n := w.notices(); n != 1 {
			t.Errorf("%d notices about limits in one day", n)
		}
		w.stop()
	})
}

// TestLimitsChange: new limits hold for the next transaction, without a login in
// between.
func TestLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := usageWorld(t, "", "messages_hour=1")
		w.wantReply(w.submit("bbbbbbbb", "192.0.2.1", "friend@example.net"), "250 ")
		w.wantReply(w.submit("bbbbbbbb", "192.0.2.1", "friend@example.net"), "451 4.7.0 The limit of 1 messages an hour of app password phone")
		ctx := context.Background()
		q := control.LimitsRequest{Login: "anna@example.org", AppPassword: "phone", Set: map[account.LimitName]int{account.MessagesHour: 0}}
		if _, err := w.server.control.AccountLimits(ctx, q); err != nil {
			t.Fatal(err)
		}
		w.wantReply(w.submit("bbbbbbbb", "192.0.2.1", "friend@example.net"), "250 ")
		q = control.LimitsRequest{Login: "anna@example.org", Set: map[account.LimitName]int{account.RecipientsDay: 3}}
		if _, err := w.server.control.AccountLimits(ctx, q); err != nil {
			t.Fatal(err)
		}
		w.wantReply(w.submit("bbbbbbbb", "192.0.2.1", "friend@example.net", "friend@example.net"), "450 4.7.0 The limit of 3 recipients a day of account")
		w.stop()
	})
}

// TestStoringFails: a message that could not be stored was not sent.
func TestStoringFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := usageWorld(t, "messages_hour=1", "")
		if err := w.server.queue.Close(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			w.wantReply(w.submit("main", "192.0.2.1", "friend@example.net"), "451 4.3.0 ")
		}
		w.stop()
	})
}

// full is a queue that takes nothing.
type full struct{}

func (full) Enqueue(context.Context, *queue.Entry) error { return queue.ErrFull }

// TestNoticeIsNotLost: where it cannot be stored it is owed, and comes once.
func TestNoticeIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := usageWorld(t, "", "expires=480h30m") // the first is due in six days and a half hour
		ctx := context.Background()
		broken := *w.server.owners
		broken.queue = full{}
		time.Sleep(6*24*time.Hour + 30*time.Minute - time.Second)
		if err := broken.remind(ctx, time.Now()); err != nil || w.notices() != 0 {
			t.Fatalf("before it is due: %v", err)
		}
		time.Sleep(time.Second)
		if err := broken.remind(ctx, time.Now()); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("%v", err)
		}
		if p := w.phone(); !p.Noticed.IsZero() {
			t.Fatalf("a notice that was not stored is noted: %+v", p)
		}
		time.Sleep(48 * time.Hour) // housekeeping
		if n, p := w.notices(), w.phone(); n != 1 || p.Noticed.IsZero() {
			t.Errorf("%d notices: %+v", n, p)
		}
		// An alarm whose notice cannot be stored suspends all the same.
		acc, err := w.server.Directory().Account(ctx, "anna@example.org")
		if err != nil {
			t.Fatal(err)
		}
		phone := w.phone()
		p, err := w.server.Directory().ChangeAppPassword(ctx, phone.Login, phone.ID, func(p *account.AppPassword) error {
			p.Suspended, p.SuspendedWhy = time.Now(), "by hand"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := broken.Suspended(ctx, &acc, &p); !errors.Is(err, queue.ErrFull) {
			t.Fatalf("%v", err)
		}
		w.wantReply(w.submit("bbbbbbbb", "192.0.2.1", "friend@example.net"), "451 4.7.0 The app password phone is suspended")
		time.Sleep(2 * time.Hour)
		if n := w.notices(); n != 2 {
			t.Errorf("%d notices", n)
		}
		time.Sleep(10 * 24 * time.Hour) // the second one about its end is due, suspended or not
		if n := w.notices(); n != 3 {
			t.Errorf("%d notices", n)
		}
		w.stop()
	})
}

// TestNobodyToTell: an account whose address takes no mail is no reason to try
// for ever.
func TestNobodyToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, txtar.Parse([]byte(`-- directory --
domain example.org
account anna@example.org correct
app anna@example.org phone bbbbbbbb-cccccccc-dddddddd-eeeeeeee-ffffffff active expires=240h
`)), false)
		time.Sleep(8 * 24 * time.Hour)
		if p := w.phone(); w.notices() != 0 || p.Noticed.IsZero() {
			t.Errorf("%+v", p)
		}
		w.stop()
	})
}
