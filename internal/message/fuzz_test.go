package message

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// oneField fails unless text is one field with lines that mail may have.
func oneField(t *testing.T, text, name string) Field {
	t.Helper()
	h, err := ParseHeader([]byte(text + "\r\n"))
	if err != nil || h.Len() != 1 || h.Fields()[0].Name() != name {
		t.Fatalf("%q is no single field %s: %v", text, name, err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		if len(line) > MaxLine || strings.ContainsAny(line, "\r\n\x00") || strings.TrimSpace(line) == "" {
			t.Fatalf("%q has the line %q", text, line)
		}
	}
	return h.Fields()[0]
}

// FuzzAddressList: what is read of a list of addresses are addresses, and the
// list that they make is read as the same.
func FuzzAddressList(f *testing.F) {
	for _, s := range []string{
		`Anna <anna@example.org>, "B, C" <b@example.org>`, "friends: a@example.org, b@[192.0.2.1];, postmaster", "undisclosed-recipients:;",
		`(a (b) \) c) x@example.org (d)`, `=?utf-8?q?J=C3=B6rg?= <"j g"@bücher.example>`, `<@a.example:b@example.org>`, `"\`, "a@b <c@d>",
	} {
		f.Add(s)
	}
	local, err := address.ParseDomain("local.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, err := ParseAddressList(value, local)
		if err != nil {
			return
		}
		var again []string
		for _, m := range list {
			if m.IsZero() || m.Domain.IsZero() || strings.ContainsAny(m.String(), "\r\n\x00") {
				t.Fatalf("%q has %#v", value, m)
			}
			if same, err := address.ParseMailbox(m.String()); err != nil || same != m {
				t.Fatalf("%q has %#v, which is read as %#v, %v", value, m, same, err)
			}
			again = append(again, FormatAddress("X, Y", m))
		}
		list2, err := ParseAddressList(strings.Join(again, ", "), local)
		if err != nil || len(list2) != len(list) {
			t.Fatalf("%q is written %q, and read as %v, %v", value, again, list2, err)
		}
		for i := range list {
			if list[i] != list2[i] {
				t.Fatalf("%q is written %q, and read as %v", value, again, list2)
			}
		}
	})
}

// FuzzText: any text can be a field's, which gives it back but for what no line
// can have.
func FuzzText(f *testing.F) {
	for _, s := range []string{"plain", "Grüße aus Köln", "=?utf-8?q?x?= =?x?b??=", "a\r\nBcc: x", strings.Repeat("日本", 99), strings.Repeat("x", 2000), "=?iso-2022-jp?b?GyRCRnxLXBsoQg==?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		field := oneField(t, TextField("Subject", text), "Subject")
		want := cleanText(text)
		if got := DecodeText(field.Value()); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Fatalf("%q is written %q, which reads %q", text, field.Raw, got)
		}
		if s := DecodeText(text); strings.ToValidUTF8(s, "") != s {
			t.Fatalf("%q reads %q, which is no text", text, s)
		}
	})
}

// FuzzReceived: whatever a client says of itself, the trace field is one field,
// and says by whom.
func FuzzReceived(f *testing.F) {
	f.Add("client.example.com", "rdns.example", "ESMTP", []byte{192, 0, 2, 1})
	f.Add("evil)\r\nBcc: x (", "a;b", "UTF8SMTP\r\n\r\n", make([]byte, 16))
	f.Add("", "\x00", "", []byte{})
	f.Fuzz(func(t *testing.T, helo, reverse, protocol string, octets []byte) {
		addr, _ := netip.AddrFromSlice(octets)
		if len(helo)+len(reverse)+len(protocol) > 3*255 {
			return // a command line is no longer, nor is a name in DNS
		}
		r := Received{
			Helo: helo, ReverseName: reverse, Addr: addr, By: "mx.example.org", Protocol: protocol, TLSVersion: helo, TLSCipher: reverse, ID: "Q1",
			For: address.MustMailbox("anna@example.org"), Date: time.Unix(0, 0).UTC(),
		}
		field := oneField(t, r.Field(), "Received")
		if v := strings.Join(strings.Fields(field.Value()), " "); strings.Count(v, ";") != 1 || !strings.HasSuffix(v, "; Thu, 01 Jan 1970 00:00:00 +0000") || !strings.Contains(v, "by mx.example.org") {
			t.Fatalf("%+v is written %q", r, field.Raw)
		}
	})
}
