package intake

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

var errBroken = errors.New("the disk fails, as the test asked")

// book is a recipient.Directory of maps.
type book struct {
	recipient.Directory
	domains   map[string]bool
	addresses map[string]recipient.Address
	err       error
}

func (b *book) Domain(_ context.Context, d address.Domain) (recipient.Domain, error) {
	switch {
	case b.err != nil:
		return recipient.Domain{}, b.err
	case b.domains[d.String()]:
		return recipient.Domain{Name: d}, nil
	}
	return recipient.Domain{}, recipient.ErrNotFound
}

func (b *book) Address(_ context.Context, m address.Mailbox) (recipient.Address, error) {
	if b.err != nil {
		return recipient.Address{}, b.err
	}
	if a, ok := b.addresses[m.Key()]; ok {
		return a, nil
	}
	return recipient.Address{}, recipient.ErrNotFound
}

func (b *book) put(a string, kind recipient.Kind, disclose recipient.Disclosure, targets ...string) {
	e := recipient.Address{Address: address.MustMailbox(a), Kind: kind, Disclose: disclose}
	for _, t := range targets {
		e.Targets = append(e.Targets, address.MustMailbox(t))
	}
	if kind == recipient.Refused {
		e.Text, e.Targets = "Closed for the winter", nil
	}
	b.addresses[e.Address.Key()] = e
}

// accounts is an account.Directory of a map.
type accounts struct {
	account.Directory
	all      map[string]*account.Account
	err      error
	failures []account.Failure
}

func (a *accounts) Account(_ context.Context, login string) (account.Account, error) {
	if a.err != nil {
		return account.Account{}, a.err
	}
	if acc, ok := a.all[login]; ok {
		return *acc, nil
	}
	return account.Account{}, account.ErrNotFound
}

func (a *accounts) Login(_ context.Context, login, _ string) (*account.Account, *account.AppPassword, error) {
	return a.all[login], nil, a.err
}
func (a *accounts) Used(account.Use) {}

func (a *accounts) WithoutKeys(context.Context) (int, error) { return len(a.all), nil }

func (a *accounts) UpgradeSecret(context.Context, account.Upgrade) error { return nil }

func (a *accounts) Failed(f account.Failure) { a.failures = append(a.failures, f) }

// buffer is a queue.Content that knows whether it was given back.
type buffer struct {
	bytes.Buffer
	fail     error
	enqueued bool
	aborted  bool
}

func (b *buffer) Write(p []byte) (int, error) {
	if b.fail != nil {
		return 0, b.fail
	}
	return b.Buffer.Write(p)
}
func (b *buffer) Size() int64            { return int64(b.Len()) }
func (b *buffer) Inline() ([]byte, bool) { return b.Bytes(), true }
func (b *buffer) Abort()                 { b.aborted = b.aborted || !b.enqueued }

// world is a Handler with everything around it.
type world struct {
	checker  *account.Checker
	t        *testing.T
	h        *Handler
	book     *book
	accounts *accounts
	opt      Options
	settings Settings
	err      error // of the Enqueuer
	entries  []*queue.Entry
	buffers  []*buffer
	diskLow  bool
	asked    atomic.Int64 // of SPF
	writeErr error
}

func (w *world) Enqueue(_ context.Context, e *queue.Entry) error {
	if w.err != nil {
		return w.err
	}
	e.Content.(*buffer).enqueued = true
	w.entries = append(w.entries, e)
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t:    t,
		book: &book{domains: map[string]bool{"example.org": true}, addresses: make(map[string]recipient.Address)},
		accounts: &accounts{all: map[string]*account.Account{
			"anna@example.org": {Login: "anna@example.org", Identities: []string{"info@example.org"}},
		}},
	}
	hash, err := account.HashPassword("correct horse", account.Cost{Memory: 8, Passes: 1, Threads: 1}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.accounts.all["anna@example.org"].Hash = hash
	w.book.put("box@example.org", recipient.Mailbox, "")
	w.book.put("tell@example.org", recipient.Forward, recipient.Announce, "anna@example.net")
	w.book.put("idn@example.org", recipient.Forward, recipient.Announce, "änna@bücher.example")
	w.book.put("idndomain@example.org", recipient.Forward, recipient.Announce, "anna@bücher.example")
	w.book.put("silent@example.org", recipient.Forward, recipient.Silent, "secret@example.net")
	w.book.put("two@example.org", recipient.Forward, recipient.Announce, "one@example.net", "box@example.org")
	w.book.put("old@example.org", recipient.Moved, "", "new@example.net")
	w.book.put("oldidn@example.org", recipient.Moved, "", "änna@example.net")
	w.book.put("no@example.org", recipient.Refused, "")
	w.book.put("loop@example.org", recipient.Forward, recipient.Silent, "pool@example.org")
	w.book.put("pool@example.org", recipient.Forward, recipient.Silent, "loop@example.org")
	w.book.put("alias@example.org", recipient.Forward, recipient.Silent, "anna@example.org")
	w.book.put("anna@example.org", recipient.Mailbox, "")
	w.checker = account.NewChecker(w.accounts, []byte("key"), 0, nil, account.Policy{
		Secrets: account.SecretPolicy{Cost: account.Cost{Memory: 8, Passes: 1, Threads: 1}},
	})
	w.opt = Options{
		Hostname:  "mx.example.org",
		Resolver:  &recipient.Resolver{Directory: w.book, Postmaster: address.MustMailbox("postmaster@example.org")},
		Checker:   w.checker,
		Accounts:  w.accounts,
		Queue:     w,
		IDs:       queue.NewIDs(1),
		NewBuffer: func() queue.Content { b := &buffer{fail: w.writeErr}; w.buffers = append(w.buffers, b); return b },
		DiskLow:   func() bool { return w.diskLow },
		SPF: func(_ context.Context, _ netip.Addr, _ string, from address.Mailbox) bool {
			w.asked.Add(1)
			return from.Domain.String() == "spf.example"
		},
		Random: func() string { return "0123456789abcdef0123" },
	}
	w.settings = Settings{
		Checks:  Checks{Verify: VerifyUsers},
		Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")},
		MaxSize: 10_000, MaxRecipients: 5, MaxHeader: 4000,
		Route: func(a address.Mailbox) queue.Destination { return queue.ToDomain(a.Domain) },
	}
	w.h = New(w.opt, w.settings)
	return w
}

// stranger is another server.
func stranger() *transaction.Peer {
	return &transaction.Peer{
		Session: "s1", Service: transaction.MX, Remote: netip.MustParseAddrPort("198.51.100.7:4711"), Helo: "mail.example.com", Extended: true,
	}
}

// user is one who has logged in on the submission port.
func user() *transaction.Peer {
	return &transaction.Peer{
		Session: "s2", Service: transaction.Submission, Remote: netip.MustParseAddrPort("198.51.100.8:4711"), Helo: "laptop", Extended: true,
		TLS: &transaction.TLS{Version: "TLS1.3", Cipher: "TLS_AES_128_GCM_SHA256"}, Login: "anna@example.org", Credential: "main",
	}
}

func mailbox(s string) address.Mailbox {
	if s == "" || s == "<>" {
		return address.Mailbox{}
	}
	if !strings.Contains(s, "@") {
		return address.Mailbox{Local: s}
	}
	return address.MustMailbox(s)
}

// open is MAIL with a positive reply.
func (w *world) open(p *transaction.Peer, from string) transaction.Transaction {
	w.t.Helper()
	t, r := w.h.Mail(w.t.Context(), p, mailbox(from), smtp.MailParams{})
	if r.IsZero() || !r.Positive() {
		w.t.Fatalf("MAIL FROM:<%s>: %s", from, r)
	}
	return t
}

func (w *world) rcpt(t transaction.Transaction, to ...string) {
	w.t.Helper()
	for _, s := range to {
		if r := t.Recipient(w.t.Context(), mailbox(s), smtp.RcptParams{}); !r.Positive() {
			w.t.Fatalf("RCPT TO:<%s>: %s", s, r)
		}
	}
}

// data is DATA with the text, and the replies to it.
func (w *world) data(t transaction.Transaction, text string) []reply.Reply {
	w.t.Helper()
	c, r := t.Content(w.t.Context())
	if c == nil {
		return []reply.Reply{r}
	}
	for _, line := range strings.SplitAfter(text, "\n") {
		if _, err := c.Write([]byte(line)); err != nil {
			break // as smtpd does
		}
	}
	return c.Commit(w.t.Context())
}

// send is a whole transaction; it returns what was queued.
func (w *world) send(p *transaction.Peer, from, text string, to ...string) *queue.Entry {
	w.t.Helper()
	t := w.open(p, from)
	w.rcpt(t, to...)
	if r := w.data(t, text); len(r) != 1 || r[0].Name() != "queued" {
		w.t.Fatalf("the message got %v", r)
	}
	return w.entries[len(w.entries)-1]
}

// sent is an entry's message as it is sent.
func sent(t *testing.T, e *queue.Entry) string {
	t.Helper()
	text := e.Content.(*buffer).String()
	h, err := message.ParseHeader([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Message.Edits.Validate(h); err != nil {
		t.Errorf("the edits are not valid: %v", err)
	}
	return string(e.Message.Edits.AppendHeader(nil, h)) + text[h.Size():]
}

// recipients writes an entry's recipients as the tests have them: address,
// target («!» if hidden), destination.
func recipients(e *queue.Entry) string {
	var all []string
	for _, r := range e.Recipients {
		hidden := ""
		if r.Hidden {
			hidden = "!"
		}
		all = append(all, fmt.Sprintf("%s>%s%s>%s", r.Address, hidden, r.Target, r.Destination))
	}
	return strings.Join(all, " ")
}

const text = "From: Anna <anna@example.org>\r\nSubject: test\r\nDate: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"
