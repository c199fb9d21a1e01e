package dsn

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

func TestRoundTrip(t *testing.T) {
	for _, lang := range []string{"en", "de", "es", "fr", "ja"} {
		r := bounce()
		r.Lang = lang
		second := r.Recipients[0]
		second.Original, second.ORcpt, second.Disclosed = address.MustMailbox("otto@example.org"), "", true
		second.Action, second.Status, second.WillRetryUntil = Delayed, "4.4.1", r.Arrival.AddDate(0, 0, 5)
		r.Recipients = append(r.Recipients, second)
		c, _ := compose(t, r)
		p, err := Parse(c.Content)
		if err != nil {
			t.Fatal(err)
		}
		if p.EnvID != "env-1" || p.ReportingMTA != "mx.example.org" || !p.Arrival.Equal(r.Arrival) || len(p.Recipients) != 2 {
			t.Fatalf("%+v", p)
		}
		if p.Original.Value("Message-ID") != "<1@example.com>" || !strings.Contains(p.Text, "anna@example.org") {
			t.Errorf("original %q, text %q", p.Original.Raw(), p.Text)
		}
		a, b := p.Recipients[0], p.Recipients[1]
		if a.OriginalRecipient != "anna@example.org" || a.FinalRecipient != "anna@example.org" || a.RemoteMTA != "" || a.LogID != "01JGT5Z" || !a.WillRetryUntil.IsZero() {
			t.Errorf("first %+v", a)
		}
		if b.FinalRecipient != "anna.private@secret.example.net" || b.Action != Delayed || b.Status != "4.4.1" || !b.WillRetryUntil.Equal(second.WillRetryUntil) || !b.LastAttempt.Equal(second.LastAttempt) {
			t.Errorf("second %+v", b)
		}
		heard, ok := b.Reply()
		if !ok || heard.Code != 550 || heard.Enhanced != "5.1.1" || heard.Text() != second.Heard.Text() {
			t.Errorf("heard %v, was %v", heard, second.Heard)
		}
	}
}

// Reports as other programs write them, shortened.
const postfix = "Subject: Undelivered Mail Returned to Sender\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n" +
	"\tboundary=\"ABC/mail.example.net\"\r\n\r\nThis is a MIME-encapsulated message.\r\n\r\n--ABC/mail.example.net\r\n" +
	"Content-Type: text/plain; charset=us-ascii\r\n\r\nThis is the mail system at host mail.example.net.\r\n\r\n--ABC/mail.example.net\r\n" +
	"Content-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n" +
	"Reporting-MTA: dns; mail.example.net\r\nX-Postfix-Queue-ID: 1234\r\nArrival-Date: Mon,  5 Jan 2026 10:00:00 +0000 (UTC)\r\n\r\n" +
	"Final-Recipient: rfc822; x@example.com\r\nOriginal-Recipient: rfc822;x@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n" +
	"Remote-MTA: dns; mx.example.com\r\nDiagnostic-Code: smtp; 550 5.1.1 <x@example.com>: Recipient address\r\n    rejected: User unknown\r\n\r\n" +
	"--ABC/mail.example.net\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <orig@example.org>\r\n\r\nbody\r\n\r\n--ABC/mail.example.net--\r\n"

func TestParseOthers(t *testing.T) {
	p, err := Parse([]byte(postfix))
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	r := p.Recipients[0]
	if p.ReportingMTA != "mail.example.net" || !p.Arrival.Equal(want) || r.Action != Failed || r.Status != "5.1.1" || r.RemoteMTA != "mx.example.com" ||
		r.FinalRecipient != "x@example.com" || p.Original.Value("Message-ID") != "<orig@example.org>" || p.Text != "This is the mail system at host mail.example.net.\r\n" {
		t.Errorf("%+v", p)
	}
	if heard, ok := r.Reply(); !ok || heard.Code != 550 || !strings.HasSuffix(heard.Text(), "rejected: User unknown") {
		t.Errorf("%v, %t", heard, ok)
	}

	for name, content := range map[string]string{
		"forwarded as an attachment": "Content-Type: multipart/mixed; boundary=out\r\n\r\n--out\r\n\r\nsee below\r\n--out\r\nContent-Type: message/rfc822\r\n\r\n" + postfix + "\r\n--out--\r\n",
		"no last delimiter":          strings.TrimSuffix(postfix, "\r\n--ABC/mail.example.net--\r\n"),
		"LF alone":                   strings.ReplaceAll(postfix, "\r\n", "\n"),
		"status alone":               "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;a\r\nFinal-Recipient: <x@example.com>\r\nAction: FAILED (bad)\r\nStatus: 5.1.1 (unknown)\r\n",
		"empty lines and junk":       "Content-Type: message/delivery-status\r\n\r\n\r\nhello\r\nReporting-MTA: dns;a\r\n\r\n\r\n\r\nFinal-Recipient: rfc822;x@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n",
		"broken parameters":          strings.Replace(postfix, "report-type=delivery-status;", "report-type=delivery status;=;", 1),
	} {
		p, err := Parse([]byte(content))
		if err != nil || len(p.Recipients) != 1 {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		if r := p.Recipients[0]; r.FinalRecipient != "x@example.com" || r.Action != Failed || r.Status != "5.1.1" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// A bounce that came back inside a bounce does not count.
	outer := strings.Replace(postfix, "Message-ID: <orig@example.org>\r\n", strings.ReplaceAll(strings.ReplaceAll(postfix[:strings.Index(postfix, "\r\n--ABC/mail.example.net--")], "ABC/mail", "inner"), "x@example.com", "other@example.com"), 1)
	if p, err := Parse([]byte(outer)); err != nil || p.Recipients[0].FinalRecipient != "x@example.com" {
		t.Errorf("%+v, %v", p, err)
	}
	for name, content := range map[string]string{
		"nothing": "", "plain": "Subject: hi\r\n\r\nhello\r\n", "no recipients": "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n",
		"deep": strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 50) + postfix,
	} {
		if p, err := Parse([]byte(content)); !errors.Is(err, ErrNotReport) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(postfix))
	c, err := Compose(bounce())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Content)
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := Parse(content)
		if (err == nil) != (len(p.Recipients) > 0) {
			t.Fatalf("%+v, %v", p, err)
		}
		for _, r := range p.Recipients {
			r.Reply()
			if r.Status != "" && !validStatus(r.Status) {
				t.Fatalf("status %q", r.Status)
			}
		}
	})
}

func FuzzCompose(f *testing.F) {
	f.Add("550 no\r\n", "Subject: x\r\n\r\n", "body", "env", "rfc822;a@b")
	f.Fuzz(func(t *testing.T, heard, header, body, env, orcpt string) {
		r := bounce()
		r.Ret, r.Body, r.Header, r.EnvID = 1, strings.NewReader(body), []byte(header), env
		r.Recipients[0].Heard.Lines = []string{heard, heard}
		r.Recipients[0].ORcpt = orcpt
		_, content := compose(t, r)
		p, err := Parse([]byte(content))
		if err != nil || len(p.Recipients) != 1 || p.Recipients[0].Status != "5.1.1" || p.Recipients[0].FinalRecipient != "anna@example.org" {
			t.Fatalf("%+v, %v\n%s", p, err, content)
		}
	})
}
