package message

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/onwardmail/onward/internal/address"
)

func mustLocal() address.Domain { return address.MustDomain("host.example") }

func TestTextFieldRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		field := TextField("Subject", text)
		if err := CheckFields(field); err != nil {
			t.Fatalf("%q becomes %q: %v", text, field, err)
		}
		h, err := ParseHeader([]byte(field))
		if err != nil || h.Len() != 1 {
			t.Fatalf("%q becomes %d fields", text, h.Len())
		}
		if got, want := h.Text("subject"), cleanText(text); got != want {
			t.Fatalf("%q comes back as %q", want, got)
		}
		for _, word := range strings.Fields(h.Value("subject")) {
			if strings.HasPrefix(word, "=?") && len(word) > 75 {
				t.Fatalf("encoded word of %d characters", len(word))
			}
		}
	})
}

func TestTextField(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"plain", "Subject: plain\r\n"},
		{"", "Subject:\r\n"},
		{"café", "Subject: =?utf-8?q?caf=C3=A9?=\r\n"},
		{"日本", "Subject: =?utf-8?b?5pel5pys?=\r\n"},
		{"a\r\nBcc: everybody@example.net", "Subject: a  Bcc: everybody@example.net\r\n"},
		{"=?utf-8?q?fake?=", "Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3Ffake=3F=3D?=\r\n"},
		{strings.Repeat("word ", 20), "Subject:" + strings.Repeat(" word", 14) + "\r\n" + strings.Repeat(" word", 6) + "\r\n"},
	} {
		if got := TextField("Subject", c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
	if got := Fold("X", strings.Repeat("x", 3000)); CheckFields(got) != nil {
		t.Errorf("a long word is not divided: %d octets", len(got))
	}
	if got := Fold("X", strings.Repeat("ü", 2000)); CheckFields(got) != nil {
		t.Error("a long word of UTF-8 is not divided")
	}
}

func TestFormatAddress(t *testing.T) {
	m := address.MustMailbox("anna@example.org")
	for _, c := range []struct{ name, want string }{
		{"", "anna@example.org"},
		{"Anna", "Anna <anna@example.org>"},
		{`Anna "A." Lind`, `"Anna \"A.\" Lind" <anna@example.org>`},
		{"アンナ", "=?utf-8?b?44Ki44Oz44OK?= <anna@example.org>"},
		{"A\r\nBcc: x", `"A  Bcc: x" <anna@example.org>`},
	} {
		got := FormatAddress(c.name, m)
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.name, got, c.want)
		}
		if list, err := ParseAddressList(got, address.Domain{}); err != nil || len(list) != 1 || list[0] != m {
			t.Errorf("%q reads as %v, %v", got, list, err)
		}
	}
}

func TestReceived(t *testing.T) {
	date := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	full := Received{
		Helo: "mail.example.net", ReverseName: "mail.example.net", Addr: netip.MustParseAddr("192.0.2.10"),
		By: "mx.example.org", Protocol: "ESMTPS", TLSVersion: "TLS1.3", TLSCipher: "TLS_AES_128_GCM_SHA256",
		ID: "01J", For: address.MustMailbox("anna@example.org"), Date: date,
	}
	for _, c := range []struct {
		name, want string
		r          Received
	}{
		{"all", "Received: from mail.example.net (mail.example.net [192.0.2.10])\r\n" +
			"\tby mx.example.org with ESMTPS (TLS1.3) id 01J for <anna@example.org>\r\n" +
			"\ttls TLS_AES_128_GCM_SHA256; Mon, 05 Jan 2026 10:00:00 +0000\r\n", full},
		{
			"no helo", "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by mx.example.org\r\n\twith SMTP id 2; Mon, 05 Jan 2026 10:00:00 +0000\r\n",
			Received{Addr: netip.MustParseAddr("2001:db8::1"), By: "mx.example.org", Protocol: "SMTP", ID: "2", Date: date},
		},
		{
			"local", "Received: by mx.example.org (from a local program) id 3;\r\n\tMon, 05 Jan 2026 11:00:00 +0100\r\n",
			Received{By: "mx.example.org", ID: "3", Date: date.In(time.FixedZone("", 3600))},
		},
		{
			"mapped address", "Received: from a ([192.0.2.1]) by b; Mon, 05 Jan 2026 10:00:00 +0000\r\n",
			Received{Helo: "a", Addr: netip.MustParseAddr("::ffff:192.0.2.1"), By: "b", Date: date},
		},
		{
			"injection", "Received: from a??X:?(evil)? by b; Mon, 05 Jan 2026 10:00:00 +0000\r\n",
			Received{Helo: "a\r\nX: (evil);", By: "b", Date: date},
		},
		{
			"non-ASCII recipient without SMTPUTF8", "Received: from a by b with ESMTP; Mon, 05 Jan 2026 10:00:00 +0000\r\n",
			Received{Helo: "a", By: "b", Protocol: "ESMTP", For: address.MustMailbox("ä@example.org"), Date: date},
		},
	} {
		got := c.r.Field()
		want := strings.ReplaceAll(c.want, "?(evil)?", "??evil??")
		if got != want {
			t.Errorf("%s:\n%q, want\n%q", c.name, got, want)
		}
		if err := CheckFields(got); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for line := range strings.Lines(got) {
			if len(line) > FoldAt+2 {
				t.Errorf("%s: a line of %d octets", c.name, len(line)-2)
			}
		}
	}
}

func TestProtocol(t *testing.T) {
	for _, c := range []struct {
		lmtp, extended, tls, auth, utf8 bool
		want                            string
	}{
		{false, false, false, false, false, "SMTP"},
		{false, true, false, false, false, "ESMTP"},
		{false, true, true, true, false, "ESMTPSA"},
		{false, true, false, true, false, "ESMTPA"},
		{false, true, true, false, true, "UTF8SMTPS"},
		{true, true, false, false, false, "LMTP"},
		{true, true, true, true, true, "UTF8LMTPSA"},
	} {
		if got := Protocol(c.lmtp, c.extended, c.tls, c.auth, c.utf8); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

func TestMessageID(t *testing.T) {
	for _, c := range []struct{ random, host, want string }{
		{"01JABC", "mx.example.org", "<01JABC@mx.example.org>"},
		{"a@b>\r\nX", "mx.example.org.", "<abX@mx.example.org>"},
		{"1", "[192.0.2.1]", "<1@[192.0.2.1]>"},
	} {
		if got := MessageID(c.random, c.host); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if got := ReturnPath(address.Mailbox{}); got != "Return-Path: <>\r\n" {
		t.Errorf("%q", got)
	}
}

func TestRecipients(t *testing.T) {
	for _, c := range []struct{ name, header, want string }{
		{
			"three fields", "To: Anna <anna@example.org>,\r\n \"Bob, B.\" <bob@example.org>\r\nCc: (a, comment) carl@example.org\r\nBcc: dora@example.org\r\n",
			"anna@example.org bob@example.org carl@example.org dora@example.org",
		},
		{"each once", "To: a@example.org, A@example.org\r\nCc: a@example.org\r\n", "a@example.org"},
		{"groups", "To: friends: a@example.org, b@example.org;, c@example.org\r\n", "a@example.org b@example.org c@example.org"},
		{"empty group", "To: undisclosed-recipients:;\r\nBcc: a@example.org,\r\n", "a@example.org"},
		{"local name", "To: root, Cron <operator>\r\n", "root@host.example operator@host.example"},
		{"quoted", `To: "john doe"@example.org` + "\r\n", `"john doe"@example.org`},
		{"resent", "To: a@example.org\r\nResent-To: b@example.org\r\n", "b@example.org"},
		{"encoded name", "To: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= <a@example.org>, =?nonsense?q?x?= <b@example.org>\r\n", "a@example.org b@example.org"},
		{"UTF-8", "To: anna@bücher.example\r\n", "anna@xn--bcher-kva.example"},
		{"none", "Subject: x\r\n", ""},
	} {
		h, err := ParseHeader([]byte(c.header))
		if err != nil {
			t.Fatal(err)
		}
		list, err := h.Recipients(mustLocal())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var got []string
		for _, m := range list {
			got = append(got, m.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", c.name, strings.Join(got, " "), c.want)
		}
	}
	for _, bad := range []string{"a@", "a b@example.org", `"open`, "<a@example.org", "a@example.org b@example.org", "a@exa mple", "(open"} {
		if list, err := ParseAddressList(bad, mustLocal()); err == nil {
			t.Errorf("%q reads as %v", bad, list)
		}
	}
	if _, err := ParseAddressList("root", address.Domain{}); err == nil {
		t.Error("a name without a domain is taken")
	}
}
