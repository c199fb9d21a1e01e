package explain

import (
	"strings"
	"testing"
	"time"
)

const rfcReport = `From: MAILER-DAEMON@mx.example.org
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It did not work.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; joe@example.net
Action: failed
Status: 5.2.2
Remote-MTA: dns; mx.example.net
Diagnostic-Code: smtp; 552 5.2.2 Over quota

Final-Recipient: rfc822; ann@example.com
Action: delayed
Status: 4.4.1
Diagnostic-Code: smtp; 450 4.7.1 greylisted, try again in 300 seconds

--b--
`

const qmailReport = `From: MAILER-DAEMON@mx.example.org
Subject: failure notice

Hi. This is the qmail-send program at mx.example.org.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<joe@example.net>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 User unknown
Giving up on 192.0.2.1.

<ann@example.com>:
Sorry, I couldn't find any host named example.com. (#5.1.2)

--- Below this line is a copy of the message.

Return-Path: <me@example.org>
Subject: over quota
`

const eximReport = `From: Mail Delivery System <Mailer-Daemon@mx.example.org>
Subject: Mail delivery failed: returning message to sender

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  joe@example.net
    host mx.example.net [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<joe@example.net>:
    550 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using zen.spamhaus.org
`

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          []string // recipient, action, code, reason
	}{
		{"rfc3464", rfcReport, []string{"joe@example.net failed 5.2.2 mailbox_full", "ann@example.com delayed 4.7.1 greylisted"}},
		{"crlf", strings.ReplaceAll(rfcReport, "\n", "\r\n"), []string{"joe@example.net failed 5.2.2 mailbox_full", "ann@example.com delayed 4.7.1 greylisted"}},
		{"status alone", rfcReport[strings.Index(rfcReport, "Reporting-MTA"):], []string{"joe@example.net failed 5.2.2 mailbox_full", "ann@example.com delayed 4.7.1 greylisted"}},
		{"qmail", qmailReport, []string{"joe@example.net  5.1.1 user_unknown", "ann@example.com  5.1.2 domain_unknown"}},
		{"exim", eximReport, []string{"joe@example.net  5.7.1 blocklisted_ip"}},
		{"garbage", "\x00\xff\n\n\x01", []string{"   "}},
		{"empty", "", []string{"   "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range Report([]byte(c.content)) {
				got = append(got, f.Recipient+" "+f.Action+" "+f.Enhanced+" "+f.Reason)
			}
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	if !IsReport(rfcReport) || IsReport("550 5.1.1 no such user") || IsReport("Content-Type: nothing") {
		t.Error("reports are told from lines wrongly")
	}
}

func TestHints(t *testing.T) {
	for text, want := range map[string]struct {
		wait time.Duration
		list string
	}{
		"450 4.7.1 greylisted, try again in 300 seconds":                             {wait: 5 * time.Minute},
		"451 4.7.1 Please try again after 2 hours":                                   {wait: 2 * time.Hour},
		"421 4.7.0 deferred, retry in 00:05:30":                                      {wait: 5*time.Minute + 30*time.Second},
		"451 4.7.1 Greylisting in action, please come back in 15 min":                {wait: 15 * time.Minute},
		"550 5.1.1 no such user 12":                                                  {},
		"452 4.2.2 in 999999 days":                                                   {},
		"554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org":           {list: "Spamhaus ZEN"},
		"554 5.7.1 Client host [192.0.2.1] blocked using dnsbl.example.net; see x":   {list: "dnsbl.example.net"},
		"550 5.7.606 Access denied, banned sending IP; https://sender.office.com/":   {list: "Microsoft's block list"},
		"550 5.1.1 user spamhaus unknown":                                            {},
		"250 2.0.0 queued, will be delivered in 5 minutes":                           {},
		"554 5.7.1 rejected because 192.0.2.1 is listed at https://www.spamcop.net/": {list: "SpamCop"},
	} {
		e := Line(text, Options{})
		if got := e.RetryAfter(); got != want.wait {
			t.Errorf("%q asks to wait %v, want %v", text, got, want.wait)
		}
		if l, _ := e.BlockList(); l.Name != want.list {
			t.Errorf("%q names %q, want %q", text, l.Name, want.list)
		}
	}
}

func TestForwarded(t *testing.T) {
	for text, who := range map[string]string{
		"550 5.7.23 SPF check failed":    "forwarder",
		"552 5.2.2 mailbox full":         "recipient-user",
		"550 5.7.1 virus found":          "sender-user",
		"450 4.7.1 greylisted":           "nobody",
		"554 5.6.0 malformed MIME parts": "sender-admin",
	} {
		f, ok := Line(text, Options{}).Forwarded("en")
		if !ok || f.WhoActs != who || f.Text == "" {
			t.Errorf("%q: %+v, want %s", text, f, who)
		}
	}
	if _, ok := Line("250 OK", Options{}).Forwarded("en"); ok {
		t.Error("a positive reply says something about forwarding")
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(rfcReport))
	f.Add([]byte(qmailReport))
	f.Add([]byte(eximReport))
	f.Fuzz(func(t *testing.T, content []byte) {
		fates := Report(content)
		if len(fates) == 0 {
			t.Error("no answer")
		}
		for _, e := range fates {
			e.JSON("en")
		}
	})
}
