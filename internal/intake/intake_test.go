package intake

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/transaction"
)

// TestRecipientReplies: what a stranger hears for each kind of address, and
// nothing of what is hidden.
func TestRecipientReplies(t *testing.T) {
	w := newWorld(t)
	for to, want := range map[string]string{
		"box@example.org":        "250 2.1.5 Recipient OK",
		"BOX@EXAMPLE.ORG":        "250 2.1.5 Recipient OK",
		"tell@example.org":       "251 2.1.5 User not local; will forward to <anna@example.net>",
		"idndomain@example.org":  "251 2.1.5 User not local; will forward to <anna@xn--bcher-kva.example>",
		"idn@example.org":        "250 2.1.5 Recipient OK", // it cannot be said in ASCII
		"silent@example.org":     "250 2.1.5 Recipient OK",
		"two@example.org":        "250 2.1.5 Recipient OK",
		"old@example.org":        "551 5.1.6 User not local; please try <new@example.net>",
		"oldidn@example.org":     "550 5.1.6 The user has moved",
		"no@example.org":         "550 5.7.1 Closed for the winter",
		"nobody@example.org":     "550 5.1.1 <nobody@example.org>: no such address here",
		"loop@example.org":       "550 5.4.6 <loop@example.org>: the forwarding leads back to itself",
		"x@example.net":          "550 5.7.1 <x@example.net>: relaying denied",
		"x@[192.0.2.1]":          "550 5.7.1 <x@[192.0.2.1]>: relaying denied",
		"x@sub.example.org":      "550 5.7.1",
		`"x@example.org"@x.test`: "550 5.7.1",
		"postmaster":             "250 2.1.5 Recipient OK",
		"postmaster@example.org": "250 2.1.5 Recipient OK",
		"abuse@example.org":      "250 2.1.5 Recipient OK",
		"postmaster@example.net": "550 5.7.1",
		"änna@example.org":       "553 5.6.7",
	} {
		tr := w.open(stranger(), "a@example.com")
		r := tr.Recipient(t.Context(), mailbox(to), smtp.RcptParams{})
		if !strings.HasPrefix(r.String(), want) {
			t.Errorf("RCPT TO:<%s>: %s, want %s", to, r, want)
		}
		if strings.Contains(r.String(), "secret") {
			t.Errorf("RCPT TO:<%s> tells a hidden target: %s", to, r)
		}
		legal(t, r, reply.Rcpt)
		tr.Abort()
		tr.Abort()
	}
}

// legal fails where a reply is not one of the stage.
func legal(t *testing.T, r reply.Reply, s reply.Stage) {
	t.Helper()
	if d, ok := reply.ByName(r.Name()); !ok || d.Stages&s == 0 {
		t.Errorf("%s is not a reply of this stage", r)
	}
}

// TestRelay: who may send to a domain that is not ours, and who may not, on
// every service.
func TestRelay(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		service transaction.Service
		remote  string
		login   string
		want    bool
	}{
		{transaction.MX, "198.51.100.7", "", false},
		{transaction.MX, "127.0.0.1", "", false}, // loopback is not trusted by default
		{transaction.MX, "::1", "", false},
		{transaction.MX, "192.0.2.9", "", true},
		{transaction.MX, "::ffff:192.0.2.9", "", true},
		{transaction.MX, "fe80::1%eth0", "", true},
		{transaction.MX, "192.0.3.9", "", false},
		{transaction.LMTP, "198.51.100.7", "", false},
		{transaction.Submission, "198.51.100.7", "anna@example.org", true},
		{transaction.Submissions, "198.51.100.7", "anna@example.org", true},
		{transaction.Local, "", "", true},
	} {
		p := stranger()
		p.Service, p.Login = tt.service, tt.login
		p.Remote = netip.AddrPort{}
		if tt.remote != "" {
			p.Remote = netip.AddrPortFrom(netip.MustParseAddr(tt.remote), 4711)
		}
		tr := w.open(p, "anna@example.org")
		r := tr.Recipient(t.Context(), mailbox("x@example.net"), smtp.RcptParams{})
		if r.Positive() != tt.want {
			t.Errorf("%+v: %s", tt, r)
		}
		tr.Abort()
	}
	// New settings are for new transactions.
	p := stranger()
	p.Remote = netip.MustParseAddrPort("192.0.2.9:1")
	before := w.open(p, "a@example.com")
	w.h.Set(Settings{Route: w.settings.Route})
	after := w.open(p, "a@example.com")
	if r := before.Recipient(t.Context(), mailbox("x@example.net"), smtp.RcptParams{}); !r.Positive() {
		t.Errorf("an open transaction lost its settings: %s", r)
	}
	if r := after.Recipient(t.Context(), mailbox("x@example.net"), smtp.RcptParams{}); r.Positive() {
		t.Errorf("a network that is trusted no more may relay: %s", r)
	}
}

// TestSender: as whom a login may send.
func TestSender(t *testing.T) {
	w := newWorld(t)
	for from, want := range map[string]string{
		"anna@example.org": "sender-ok", "ANNA@example.org": "sender-ok", "info@example.org": "sender-ok", "<>": "sender-ok",
		"alias@example.org": "sender-ok",         // it forwards to the login
		"box@example.org":   "sender-not-owned",  // another's
		"tell@example.org":  "sender-not-owned",  // forwards elsewhere
		"anna@example.net":  "sender-not-owned",  // another domain
		"änna@example.org":  "non-ascii-address", // without SMTPUTF8
	} {
		tr, r := w.h.Mail(t.Context(), user(), mailbox(from), smtp.MailParams{})
		if r.Name() != want || (tr == nil) == r.Positive() {
			t.Errorf("MAIL FROM:<%s>: %s, want %s", from, r, want)
		}
		legal(t, r, reply.Mail)
	}
	if _, r := w.h.Mail(t.Context(), stranger(), mailbox("anyone@example.org"), smtp.MailParams{}); !r.Positive() {
		t.Errorf("a stranger's sender got %s", r)
	}
	if _, r := w.h.Mail(t.Context(), stranger(), mailbox("a@example.com"), smtp.MailParams{Size: w.settings.MaxSize + 1}); r.Name() != "message-too-large" {
		t.Errorf("SIZE got %s", r)
	}
	if _, r := w.h.Mail(t.Context(), stranger(), mailbox("a@example.com"), smtp.MailParams{Size: w.settings.MaxSize}); !r.Positive() {
		t.Errorf("the largest SIZE got %s", r)
	}
	// An account that ended while its session is open.
	w.accounts.all["anna@example.org"].Disabled = true
	if _, r := w.h.Mail(t.Context(), user(), mailbox("anna@example.org"), smtp.MailParams{}); r.Name() != "auth-required" {
		t.Errorf("a disabled account got %s", r)
	}
	delete(w.accounts.all, "anna@example.org")
	if _, r := w.h.Mail(t.Context(), user(), mailbox("anna@example.org"), smtp.MailParams{}); r.Name() != "auth-required" {
		t.Errorf("a removed account got %s", r)
	}
}

// TestTrouble: an error of ours is a temporary reply, wherever it happens, and
// what was taken is given back.
func TestTrouble(t *testing.T) {
	w := newWorld(t)
	w.book.err = errBroken
	if _, r := w.h.Mail(t.Context(), user(), mailbox("alias@example.org"), smtp.MailParams{}); !r.Temporary() {
		t.Errorf("MAIL with a broken directory got %s", r)
	}
	tr := w.open(stranger(), "a@example.com")
	if r := tr.Recipient(t.Context(), mailbox("box@example.org"), smtp.RcptParams{}); r.Name() != "directory-down" {
		t.Errorf("RCPT with a broken directory got %s", r)
	}
	if r := w.h.Verify(t.Context(), user(), mailbox("box@example.org")); r.Name() != "cannot-verify" { // VRFY has no temporary reply
		t.Errorf("VRFY with a broken directory got %s", r)
	}
	w.book.err = nil
	w.accounts.err = errBroken
	if _, r := w.h.Mail(t.Context(), user(), mailbox("anna@example.org"), smtp.MailParams{}); r.Name() != "try-later" {
		t.Errorf("MAIL with broken accounts got %s", r)
	}
	w.accounts.err = nil
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errBroken, "try-later"}, {fmt.Errorf("enqueue: %w", queue.ErrFull), "storage-low"}, {queue.ErrStopped, "try-later"},
	} {
		for _, where := range []string{"write", "enqueue"} {
			w.err, w.writeErr = nil, nil
			if where == "write" {
				w.writeErr = tt.err
			} else {
				w.err = tt.err
			}
			tr := w.open(stranger(), "a@example.com")
			w.rcpt(tr, "box@example.org")
			r := w.data(tr, text)
			if len(r) != 1 || r[0].Name() != tt.want {
				t.Errorf("%s: %v: %v, want %s", where, tt.err, r, tt.want)
			}
			legal(t, r[0], reply.Content)
			if b := w.buffers[len(w.buffers)-1]; !b.aborted {
				t.Errorf("%s: the content was not given back", where)
			}
		}
	}
	w.err, w.writeErr = nil, nil
	tr = w.open(stranger(), "a@example.com")
	w.rcpt(tr, "box@example.org")
	w.diskLow = true
	if r := w.data(tr, text); r[0].Name() != "storage-low" {
		t.Errorf("DATA with a full disk got %s", r)
	}
	if _, r := w.h.Mail(t.Context(), stranger(), mailbox("a@example.com"), smtp.MailParams{}); r.Name() != "storage-low" {
		t.Errorf("MAIL with a full disk got %s", r)
	}
	if len(w.entries) != 0 {
		t.Errorf("%d messages were queued", len(w.entries))
	}
}

// TestRefusedContent: what makes a message refused, once and for good.
func TestRefusedContent(t *testing.T) {
	w := newWorld(t)
	received := func(n int) string { return strings.Repeat("Received: by x; Mon, 02 Mar 2026 10:00:00 +0000\r\n", n) }
	w.settings.MaxHeader = 40_000
	w.h.Set(w.settings)
	for _, tt := range []struct{ text, want string }{
		{received(message.MaxReceived) + text, "queued"},
		{received(message.MaxReceived+1) + text, "too-many-received"},
		{"X: " + strings.Repeat("x", 39_000) + "\r\n" + text, "queued"},
		{"X: " + strings.Repeat("x", 41_000) + "\r\n" + text, "header-too-large"},
		{"Subject: the body does not count\r\n\r\n" + strings.Repeat("x", 50_000) + "\r\n", "queued"},
		{"\r\nno header section\r\n", "queued"},
		{"no header section either", "queued"},
		{"", "queued"},
	} {
		tr := w.open(stranger(), "a@example.com")
		w.rcpt(tr, "box@example.org")
		r := w.data(tr, tt.text)
		if len(r) != 1 || r[0].Name() != tt.want {
			t.Errorf("%.60q (%d octets): %v, want %s", tt.text, len(tt.text), r, tt.want)
		}
		legal(t, r[0], reply.Content)
		if b := w.buffers[len(w.buffers)-1]; b.aborted != (tt.want != "queued") {
			t.Errorf("%.60q: content given back: %v", tt.text, b.aborted)
		}
		if tt.want == "queued" {
			sent(t, w.entries[len(w.entries)-1])
		}
	}
	// The first refusal counts.
	tr := w.open(stranger(), "a@example.com")
	w.rcpt(tr, "box@example.org")
	c, _ := tr.Content(t.Context())
	c.Refuse(reply.BareLineEnding())
	c.Refuse(reply.MessageTooLargeContent("1"))
	if r := c.Commit(t.Context()); r[0].Name() != "bare-line-ending" {
		t.Errorf("it got %v", r)
	}
}

// TestAbort gives the content back, at any time, and not what is queued.
func TestAbort(t *testing.T) {
	w := newWorld(t)
	tr := w.open(stranger(), "a@example.com")
	w.rcpt(tr, "box@example.org")
	c, _ := tr.Content(t.Context())
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	tr.Abort()
	if !w.buffers[0].aborted {
		t.Error("Abort kept the content")
	}
	tr = w.open(stranger(), "a@example.com")
	w.rcpt(tr, "box@example.org")
	w.data(tr, text)
	tr.Abort()
	if w.buffers[1].aborted || len(w.entries) != 1 {
		t.Error("Abort after Commit gave back a queued content")
	}
}

// TestQueued: what is queued for each kind of address.
func TestQueued(t *testing.T) {
	w := newWorld(t)
	e := w.send(stranger(), "a@example.com", text, "BOX@example.org", "tell@example.org", "silent@example.org", "two@example.org", "tell@example.org")
	want := "BOX@example.org>box@example.org>maildir tell@example.org>anna@example.net>example.net silent@example.org>!secret@example.net>example.net " +
		"two@example.org>one@example.net>example.net two@example.org>box@example.org>maildir"
	if got := recipients(e); got != want {
		t.Errorf("recipients\n got %s\nwant %s", got, want)
	}
	for i, r := range e.Recipients {
		if r.ID != (queue.RecipientID{Message: e.Message.ID, N: i + 1}) {
			t.Errorf("recipient %d has the id %s", i, r.ID)
		}
	}
	if m := e.Message; m.Size != int64(len(text)) || m.HeaderSize != strings.Index(text, "\r\n\r\n")+4 || m.Subject != "test" || m.MessageID != "<1@example.org>" || m.EightBit {
		t.Errorf("the message is %+v", m)
	}
	// With several recipients the trace field names none (rfc5321#7.2).
	if s := sent(t, e); strings.Contains(s, "for <") || strings.Contains(s, "secret") {
		t.Errorf("the trace field tells of recipients:\n%s", s)
	}
	if e = w.send(stranger(), "a@example.com", text, "silent@example.org"); !strings.Contains(sent(t, e), "for <silent@example.org>") || strings.Contains(sent(t, e), "secret") {
		t.Errorf("the trace field of one recipient:\n%s", sent(t, e))
	}
	if got := recipients(w.send(stranger(), "a@example.com", text, "postmaster")); got != "postmaster>!postmaster@example.org>maildir" {
		t.Errorf("<postmaster> is queued as %s", got)
	}
}

// TestSameRecipient: who is named twice gets one copy, in whatever case. Where
// the mailbox is another host's, that host says what is the same (rfc5321#2.4).
func TestSameRecipient(t *testing.T) {
	w := newWorld(t)
	w.book.put("Written@example.org", recipient.Mailbox, "")
	for _, tt := range []struct{ to, want string }{
		{"BOX@example.org box@example.org Box@EXAMPLE.org", "BOX@example.org>box@example.org>maildir"},
		{"box@example.org BOX@example.org", "box@example.org>box@example.org>maildir"},
		{"Written@example.org written@example.org", "Written@example.org>Written@example.org>maildir"},
		{"tell@example.org TELL@example.org", "tell@example.org>anna@example.net>example.net"},
		{"x@example.net X@example.net x@example.net", "x@example.net>x@example.net>example.net X@example.net>X@example.net>example.net"},
	} {
		if got := recipients(w.send(user(), "anna@example.org", text, strings.Fields(tt.to)...)); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.to, got, tt.want)
		}
	}
}

// TestTooManyRecipients: 452, so that the client sends to the rest later.
func TestTooManyRecipients(t *testing.T) {
	w := newWorld(t)
	tr := w.open(user(), "anna@example.org")
	for i := range w.settings.MaxRecipients {
		w.rcpt(tr, fmt.Sprintf("r%d@example.net", i))
	}
	if r := tr.Recipient(t.Context(), mailbox("more@example.net"), smtp.RcptParams{}); r.Name() != "too-many-recipients" {
		t.Errorf("one more got %s", r)
	}
	if r := w.data(tr, text); r[0].Name() != "queued" || len(w.entries[0].Recipients) != w.settings.MaxRecipients {
		t.Errorf("the others got %v", r)
	}
}

// TestTrace: the Received field stands on top, whole and once, and what a
// stranger calls himself cannot break out of it.
func TestTrace(t *testing.T) {
	w := newWorld(t)
	p := stranger()
	p.Helo = "evil\r\nBcc: x@example.net\r\n\r\n(;"
	e := w.send(p, "a@example.com", text, "box@example.org")
	s := sent(t, e)
	pattern := `^Received: from evil\?+Bcc:\?x\?example.net\?+ \(\[198\.51\.100\.7\]\)\s+by mx\.example\.org with ESMTP id ` + e.Message.ID.String()
	if !regexp.MustCompile(`(?s)` + pattern).MatchString(strings.ReplaceAll(s, "\r\n\t", " ")) {
		t.Errorf("the trace field is\n%s\nwant %s", s, pattern)
	}
	if !strings.HasSuffix(s, text) {
		t.Errorf("a stranger's message was changed below its trace field:\n%s", s)
	}
	for _, tt := range []struct {
		change func(*transaction.Peer)
		want   string
	}{
		{func(p *transaction.Peer) { p.Extended = false }, "with SMTP id"},
		{func(p *transaction.Peer) { p.TLS = user().TLS }, "with ESMTPS (TLS1.3)"},
		{func(p *transaction.Peer) { *p = *user() }, "with ESMTPSA (TLS1.3)"},
		{func(p *transaction.Peer) { p.Service = transaction.LMTP }, "with LMTP id"},
		{func(p *transaction.Peer) { *p = transaction.Peer{Service: transaction.Local, Extended: true} }, "Received: by mx.example.org (from a local program) id"},
	} {
		p := stranger()
		tt.change(p)
		from := "anna@example.org"
		e := w.send(p, from, text, "box@example.org")
		if s := strings.ReplaceAll(sent(t, e), "\r\n\t", " "); !strings.Contains(s, tt.want) || !strings.HasPrefix(s, "Received:") {
			t.Errorf("want %q in\n%s", tt.want, s)
		}
	}
}

// TestSubmissionEdits: what a mail program left out is added, and Bcc taken
// away, for submitters only; the trace field stays on top.
func TestSubmissionEdits(t *testing.T) {
	w := newWorld(t)
	const bare = "From: anna@example.org\r\nBcc: x@example.net,\r\n\ty@example.net\r\nSubject: test\r\nbcc: z@example.net\r\n" +
		"Resent-Bcc: q@example.net\r\n\r\nBcc: in the body\r\n"
	local := &transaction.Peer{Service: transaction.Local, Extended: true}
	for _, p := range []*transaction.Peer{user(), local} {
		s := sent(t, w.send(p, "anna@example.org", bare, "box@example.org"))
		received, rest, _ := strings.Cut(s, "Message-ID: ")
		if !strings.HasPrefix(received, "Received: ") || strings.Contains(received, "Date: ") {
			t.Errorf("the fields are in the wrong order:\n%s", s)
		}
		if !regexp.MustCompile(`^<0123456789abcdef0123@mx\.example\.org>\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\nFrom: anna@example\.org\r\nSubject: test\r\n\r\nBcc: in the body\r\n$`).MatchString(rest) {
			t.Errorf("a submission is sent as\n%s", s)
		}
		if s := sent(t, w.send(p, "anna@example.org", text, "box@example.org")); !strings.HasSuffix(s, text) || strings.Count(s, "\r\nDate:") != 1 {
			t.Errorf("a complete submission was changed:\n%s", s)
		}
		if s := sent(t, w.send(p, "anna@example.org", "just text", "box@example.org")); !strings.Contains(s, "Date: ") || !strings.HasSuffix(s, "\r\n\r\njust text") {
			t.Errorf("a submission without a header section is sent as\n%s", s)
		}
		if s := sent(t, w.send(p, "anna@example.org", "From anna Mon Mar  2 10:00:00 2026\r\n"+text, "box@example.org")); strings.Contains(s, "From anna") {
			t.Errorf("the separator of a mailbox file is sent:\n%s", s)
		}
	}
	if s := sent(t, w.send(stranger(), "a@example.com", bare, "box@example.org")); !strings.HasSuffix(s, bare) {
		t.Errorf("a stranger's message was mended:\n%s", s)
	}
}

// TestBasis: to whom a failure may be reported, and who is asked.
func TestBasis(t *testing.T) {
	for _, tt := range []struct {
		name  string
		peer  func() *transaction.Peer
		from  string
		basis dsn.Basis
		asked int
	}{
		{"a login", user, "anna@example.org", dsn.Authenticated, 0},
		{"a trusted network", func() *transaction.Peer {
			p := stranger()
			p.Remote = netip.MustParseAddrPort("192.0.2.9:1")
			return p
		}, "a@example.com", dsn.TrustedNetwork, 0},
		{"a local program", func() *transaction.Peer { return &transaction.Peer{Service: transaction.Local} }, "a@example.com", dsn.TrustedNetwork, 0},
		{"SPF passes", stranger, "a@spf.example", dsn.SPFPass, 1},
		{"SPF does not pass", stranger, "a@example.com", dsn.BasisNone, 1},
		{"null reverse-path", stranger, "<>", dsn.BasisNone, 0},
	} {
		w := newWorld(t)
		e := w.send(tt.peer(), tt.from, text, "box@example.org", "tell@example.org")
		if e.Message.Basis != tt.basis || int(w.asked.Load()) != tt.asked {
			t.Errorf("%s: basis %s after %d questions, want %s after %d", tt.name, e.Message.Basis, w.asked.Load(), tt.basis, tt.asked)
		}
	}
	w := newWorld(t)
	w.opt.SPF = func(context.Context, netip.Addr, string, address.Mailbox) bool { panic("a defect of the test") }
	w.h = New(w.opt, w.settings)
	if e := w.send(stranger(), "a@spf.example", text, "box@example.org"); e.Message.Basis != dsn.BasisNone {
		t.Errorf("a defect in SPF gave %s", e.Message.Basis)
	}
}

// TestSlowSPF: it is waited for, but not long, and not after an abort.
func TestSlowSPF(t *testing.T) {
	for _, tt := range []struct {
		takes, waits time.Duration
		want         dsn.Basis
	}{
		{3 * time.Second, 3 * time.Second, dsn.SPFPass},
		{time.Hour, spfPatience, dsn.BasisNone},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var ended time.Time
			w.opt.SPF = func(ctx context.Context, _ netip.Addr, _ string, _ address.Mailbox) bool {
				defer func() { ended = time.Now() }()
				select {
				case <-time.After(tt.takes):
					return true
				case <-ctx.Done():
					return false
				}
			}
			w.h = New(w.opt, w.settings)
			before := time.Now()
			e := w.send(stranger(), "a@spf.example", text, "box@example.org")
			if took := time.Since(before); took != tt.waits || e.Message.Basis != tt.want {
				t.Errorf("SPF of %s: waited %s, basis %s", tt.takes, took, e.Message.Basis)
			}
			tr := w.open(stranger(), "a@spf.example")
			w.rcpt(tr, "box@example.org")
			synctest.Wait()
			tr.Abort()
			synctest.Wait()
			if !ended.Equal(time.Now()) {
				t.Error("Abort left the question running")
			}
		})
	}
}

// TestLMTP: a reply for each accepted recipient (rfc2033#4.2), those named
// twice included.
func TestLMTP(t *testing.T) {
	w := newWorld(t)
	p := stranger()
	p.Service = transaction.LMTP
	for _, broken := range []error{nil, errBroken} {
		w.err = broken
		tr := w.open(p, "a@example.com")
		w.rcpt(tr, "box@example.org", "two@example.org", "box@example.org")
		if r := tr.Recipient(t.Context(), mailbox("nobody@example.org"), smtp.RcptParams{}); r.Positive() {
			t.Error("an unknown recipient was accepted")
		}
		r := w.data(tr, text)
		if len(r) != 3 {
			t.Fatalf("%d replies for 3 recipients: %v", len(r), r)
		}
		for _, one := range r {
			if one.Positive() != (broken == nil) {
				t.Errorf("with %v the reply is %s", broken, one)
			}
		}
	}
}

// TestVerify: strangers learn nothing, a login what RCPT would tell.
func TestVerify(t *testing.T) {
	w := newWorld(t)
	for to, want := range map[string]string{
		"box@example.org": "recipient-ok", "tell@example.org": "will-forward", "silent@example.org": "recipient-ok", "old@example.org": "please-try",
		"oldidn@example.org": "moved-unsayable", "no@example.org": "recipient-refused", "nobody@example.org": "mailbox-unknown",
		"loop@example.org": "cannot-verify", "x@example.net": "cannot-verify",
		"anna": "cannot-verify", // of which domain?
	} {
		r := w.h.Verify(t.Context(), user(), mailbox(to))
		if r.Name() != want {
			t.Errorf("VRFY %s by a login: %s, want %s", to, r, want)
		}
		if r.Code() == 250 && !strings.HasSuffix(r.String(), " <"+to+">") { // rfc5321#3.5.1
			t.Errorf("VRFY %s by a login does not name the mailbox: %s", to, r)
		}
		legal(t, r, reply.Vrfy)
		p := stranger()
		p.Remote = netip.MustParseAddrPort("192.0.2.9:1")
		for _, p := range []*transaction.Peer{stranger(), p} {
			if r := w.h.Verify(t.Context(), p, mailbox(to)); r != reply.CannotVerify() {
				t.Errorf("VRFY %s by a stranger: %s", to, r)
			}
		}
	}
}

// login plays one exchange of PLAIN.
func (w *world) login(t *testing.T, authorize, login, secret string) (transaction.Identity, reply.Reply) {
	t.Helper()
	p := user()
	p.TLS = &transaction.TLS{Version: "TLS1.3"}
	e, r := w.h.Authenticate(t.Context(), p, "PLAIN", nil)
	if e == nil {
		t.Fatalf("no exchange: %s", r)
	}
	a := e.Next(t.Context(), []byte(authorize+"\x00"+login+"\x00"+secret))
	w.checker.Settle(t.Context())
	return a.Identity, a.Reply
}

// TestVerifyBySetting: a stranger is told what the owner of an address discloses, or
// nothing; the operator hears the truth whatever is set.
func TestVerifyBySetting(t *testing.T) {
	local := &transaction.Peer{Service: transaction.Local, Login: "operator"}
	for rule, due := range map[Verify][3]map[string]string{ // by a stranger, a login, the operator
		VerifyUsers: {
			{"tell@example.org": "cannot-verify", "old@example.org": "cannot-verify"},
			{"tell@example.org": "will-forward", "box@example.org": "recipient-ok"},
			{"tell@example.org": "will-forward", "box@example.org": "recipient-ok"},
		},
		VerifyDisclosed: {
			{
				"tell@example.org": "will-forward", "old@example.org": "please-try", "silent@example.org": "cannot-verify", "box@example.org": "cannot-verify",
				"no@example.org": "cannot-verify", "nobody@example.org": "cannot-verify", "oldidn@example.org": "cannot-verify",
			},
			{"tell@example.org": "will-forward", "silent@example.org": "recipient-ok", "nobody@example.org": "mailbox-unknown"},
			{"tell@example.org": "will-forward", "nobody@example.org": "mailbox-unknown"},
		},
		VerifyNobody: {
			{"tell@example.org": "cannot-verify", "old@example.org": "cannot-verify"},
			{"tell@example.org": "cannot-verify", "box@example.org": "cannot-verify"},
			{"tell@example.org": "will-forward", "old@example.org": "please-try", "nobody@example.org": "mailbox-unknown"},
		},
	} {
		w := newWorld(t)
		s := *w.h.settings.Load()
		s.Checks.Verify = rule
		w.h.Set(s)
		for i, p := range []*transaction.Peer{stranger(), user(), local} {
			for to, want := range due[i] {
				if r := w.h.Verify(t.Context(), p, mailbox(to)); r.Name() != want {
					t.Errorf("setting %d, client %d, VRFY %s: %s, want %s", rule, i, to, r, want)
				}
			}
		}
	}
}

// TestAuthenticate: one text for every rejected login; only the reference
// differs.
func TestAuthenticate(t *testing.T) {
	w := newWorld(t)
	id, r := w.login(t, "", "anna@example.org", "correct horse")
	if id.Login != "anna@example.org" || id.Credential != "main" || !r.IsZero() {
		t.Errorf("a login gave %+v, %s", id, r)
	}
	texts := make(map[string]bool)
	for _, c := range [][3]string{
		{"", "anna@example.org", "wrong"},
		{"", "nobody@example.org", "wrong"},
		{"", "anna", "x"},
		{"boss@example.org", "anna@example.org", "correct horse"},
	} {
		id, r := w.login(t, c[0], c[1], c[2])
		if id != (transaction.Identity{}) || r.Code() != 535 {
			t.Errorf("%+v gave %+v, %s", c, id, r)
		}
		ref := w.accounts.failures[len(w.accounts.failures)-1].Reference
		if !strings.Contains(r.String(), ref) {
			t.Errorf("the reply %s lacks its reference %s", r, ref)
		}
		texts[strings.ReplaceAll(r.String(), ref, "")] = true
	}
	if len(texts) != 1 {
		t.Errorf("rejected logins are told apart: %v", texts)
	}
	w.accounts.all["anna@example.org"].Disabled = true
	if _, r := w.login(t, "", "anna@example.org", "correct horse"); r.Name() != "account-disabled" {
		t.Errorf("a disabled account got %s", r)
	}
	w.accounts.err = errBroken
	if _, r := w.login(t, "", "anna@example.org", "correct horse"); r.Name() != "auth-unavailable" {
		t.Errorf("a broken directory gave %s", r)
	}
}

// TestWide: a recipient with many targets is added in time that does not grow
// with the square, and the bound on recipients holds.
func TestWide(t *testing.T) {
	w := newWorld(t)
	w.settings.MaxRecipients = 1000
	w.h.Set(w.settings)
	for i := range 210 {
		var targets []string
		for k := range recipient.MaxTargets {
			targets = append(targets, fmt.Sprintf("t%d-%d@example.net", i, k))
		}
		w.book.put(fmt.Sprintf("wide%d@example.org", i), recipient.Forward, recipient.Silent, targets...)
	}
	tr := w.open(stranger(), "a@example.com")
	for i := range 210 {
		r := tr.Recipient(t.Context(), mailbox(fmt.Sprintf("wide%d@example.org", i)), smtp.RcptParams{})
		if want := i < queueMost/recipient.MaxTargets; r.Positive() != want {
			t.Fatalf("recipient %d got %s", i, r)
		}
	}
	if r := w.data(tr, text); r[0].Name() != "queued" || len(w.entries[0].Recipients) != queueMost {
		t.Errorf("it got %v with %d recipients", r, len(w.entries[0].Recipients))
	}
}

func TestShort(t *testing.T) {
	for _, s := range []string{"", "x", strings.Repeat("ä", 200), strings.Repeat("x", 199) + "日本", strings.Repeat("\x80", 300)} {
		got := short(s)
		if len(got) > 200 || !strings.HasPrefix(s, got) {
			t.Errorf("%q is cut to %q", s, got)
		}
	}
}
