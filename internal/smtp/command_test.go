package smtp

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/address"
)

const everything = ExtSize | Ext8BitMIME | ExtBinaryMIME | ExtSMTPUTF8 | ExtDSN | ExtAuth | ExtRequireTLS

// faultOf returns the kind of an error, 0 for none.
func faultOf(t *testing.T, err error) Fault {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("the error %v is no *Error", err)
	}
	if e.Rule == "" {
		t.Errorf("the error has no rule: %#v", e)
	}
	return e.Fault
}

func TestParseCommand(t *testing.T) {
	tests := []struct {
		line string
		want Command
		text bool // false: FaultText
	}{
		{"EHLO mx.example.org", Command{EHLO, "EHLO", "mx.example.org"}, true},
		{"ehlo mx.example.org", Command{EHLO, "EHLO", "mx.example.org"}, true},
		{"StartTLS", Command{STARTTLS, "STARTTLS", ""}, true},
		{"DATA  ", Command{DATA, "DATA", ""}, true},
		{"NOOP  two", Command{NOOP, "NOOP", " two"}, true},
		{"MAIL FROM:<> ", Command{MAIL, "MAIL", "FROM:<>"}, true},
		{"", Command{Unknown, "", ""}, true},
		{" DATA", Command{Unknown, "", "DATA"}, true},
		{"WIZ", Command{Unknown, "WIZ", ""}, true},
		{"MAILFROM:<a@b.example>", Command{Unknown, "MAILFROM:<a@b.example>", ""}, true},
		{strings.Repeat("x", 99), Command{Unknown, strings.Repeat("x", 32), ""}, true},
		{"NOOP \x00", Command{}, false},
		{"NOOP\tx", Command{}, false},
		{"NOOP \x7f", Command{}, false},
		{"DATA\n", Command{}, false},
		{"DA\rTA", Command{}, false},
	}
	for _, tt := range tests {
		got, err := ParseCommand([]byte(tt.line))
		if tt.text != (err == nil) {
			t.Errorf("ParseCommand(%q): %v", tt.line, err)
			continue
		}
		if err != nil && faultOf(t, err) != FaultText {
			t.Errorf("ParseCommand(%q): %v is of the wrong kind", tt.line, err)
		}
		if got != tt.want {
			t.Errorf("ParseCommand(%q) = %+v, want %+v", tt.line, got, tt.want)
		}
	}
}

func TestParseMail(t *testing.T) {
	tests := []struct {
		arg   string
		fault Fault
		from  string
		want  MailParams
	}{
		{"FROM:<anna@example.org>", 0, "anna@example.org", MailParams{}},
		{"from: <anna@EXAMPLE.org>", 0, "anna@example.org", MailParams{}},
		{"FROM:<>", 0, "", MailParams{}},
		{"FROM:<> SIZE=100", 0, "", MailParams{Size: 100}},
		{`FROM:<"a b"@example.org>`, 0, `"a b"@example.org`, MailParams{}},
		{`FROM:<"a>\"b"@example.org>`, 0, `"a>\"b"@example.org`, MailParams{}},
		{"FROM:<@a.example,@b.example:anna@example.org>", 0, "anna@example.org", MailParams{}},
		{"FROM:<@[192.0.2.1]:anna@example.org>", 0, "anna@example.org", MailParams{}},
		{"FROM:<anna@[192.0.2.1]>", 0, "anna@[192.0.2.1]", MailParams{}},
		{"FROM:<anna@[IPv6:2001:db8::1]>", 0, "anna@[IPv6:2001:db8::1]", MailParams{}},
		{"FROM:<a@b.example> size=1 body=8bitmime", 0, "a@b.example", MailParams{Size: 1, Body: Body8BitMIME}},
		{"FROM:<a@b.example>  BODY=7BIT", 0, "a@b.example", MailParams{Body: Body7Bit}},
		{"FROM:<a@b.example> BODY=BINARYMIME", 0, "a@b.example", MailParams{Body: BodyBinaryMIME}},
		{"FROM:<a@b.example> RET=HDRS ENVID=a+2Bb", 0, "a@b.example", MailParams{Ret: RetHeaders, EnvID: "a+b"}},
		{"FROM:<a@b.example> AUTH=<>", 0, "a@b.example", MailParams{Auth: "<>"}},
		{"FROM:<a@b.example> AUTH=x+2By@b.example REQUIRETLS", 0, "a@b.example", MailParams{Auth: "x+y@b.example", RequireTLS: true}},
		{"FROM:<jürgen@example.org> SMTPUTF8", 0, "jürgen@example.org", MailParams{UTF8: true}},
		{"FROM:<a@b.example> SIZE=99999999999999999999", 0, "a@b.example", MailParams{Size: math.MaxInt64}},

		{"", FaultSyntax, "", MailParams{}},
		{"FROM <a@b.example>", FaultSyntax, "", MailParams{}},
		{"TO:<a@b.example>", FaultSyntax, "", MailParams{}},
		{"FROM:a@b.example", FaultReversePath, "", MailParams{}},
		{"FROM:", FaultReversePath, "", MailParams{}},
		{"FROM:<a@b.example", FaultReversePath, "", MailParams{}},
		{"FROM:<a@>", FaultReversePath, "", MailParams{}},
		{"FROM:<@b.example>", FaultReversePath, "", MailParams{}},
		{"FROM:<a>", FaultReversePath, "", MailParams{}},
		{"FROM:<a b@c.example>", FaultReversePath, "", MailParams{}},
		{"FROM:<a..b@c.example>", FaultReversePath, "", MailParams{}},
		{"FROM:<a@-b.example>", FaultReversePath, "", MailParams{}},
		{"FROM:<a@b..example>", FaultReversePath, "", MailParams{}},
		{"FROM:<a@[192.0.2.256]>", FaultReversePath, "", MailParams{}},
		{"FROM:<@a.example,b.example:anna@example.org>", FaultReversePath, "", MailParams{}},
		{"FROM:<" + strings.Repeat("a", 65) + "@b.example>", FaultReversePath, "", MailParams{}},
		{"FROM:<a@" + strings.Repeat("b.", 125) + "example>", FaultReversePath, "", MailParams{}},
		{"FROM:<postmaster>", FaultReversePath, "", MailParams{}},
		{"FROM:<jürgen@example.org>", FaultNonASCII, "", MailParams{}},
		{"FROM:<anna@bücher.example>", FaultNonASCII, "", MailParams{}},
		{"FROM:<a@b.example>SIZE=1", FaultSyntax, "", MailParams{}},
		{"FROM:<a@b.example> =1", FaultSyntax, "", MailParams{}},
		{"FROM:<a@b.example> a@c.example", FaultSyntax, "", MailParams{}},
		{"FROM:<a@b.example> SIZE=", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> SIZE", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> SIZE=-1", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> SIZE=1x", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> SIZE=999999999999999999999", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> SIZE=1 SIZE=2", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> BODY=9BIT", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> BODY=a=b", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> SMTPUTF8=1", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> RET=ALL", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> ENVID=+4", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> ENVID=+00", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> ENVID=" + strings.Repeat("x", 101), FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> AUTH=x", FaultParameter, "", MailParams{}},
		{"FROM:<a@b.example> COLOUR=red", FaultUnknownParameter, "", MailParams{}},
		{"FROM:<a@b.example> NOTIFY=NEVER", FaultUnknownParameter, "", MailParams{}},
	}
	for _, tt := range tests {
		from, got, err := ParseMail(tt.arg, everything)
		if f := faultOf(t, err); f != tt.fault {
			t.Errorf("ParseMail(%q): %v, of kind %d, want %d", tt.arg, err, f, tt.fault)
			continue
		}
		if from.String() != tt.from || err == nil && got != tt.want {
			t.Errorf("ParseMail(%q) = %q, %+v; want %q, %+v", tt.arg, from, got, tt.from, tt.want)
		}
	}
}

// TestNotOffered: a parameter of an extension that is not offered is unknown,
// and an address beyond ASCII is named as the cause.
func TestNotOffered(t *testing.T) {
	for _, param := range []string{"SIZE=1", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=x", "AUTH=<>", "REQUIRETLS"} {
		if _, _, err := ParseMail("FROM:<a@b.example> "+param, 0); faultOf(t, err) != FaultUnknownParameter {
			t.Errorf("%s, not offered: %v", param, err)
		}
	}
	for _, param := range []string{"NOTIFY=NEVER", "ORCPT=rfc822;a@b.example"} {
		if _, _, err := ParseRcpt("TO:<a@b.example> "+param, 0, false); faultOf(t, err) != FaultUnknownParameter {
			t.Errorf("%s, not offered: %v", param, err)
		}
	}
	if _, _, err := ParseMail("FROM:<a@b.example> BODY=BINARYMIME", Ext8BitMIME); faultOf(t, err) != FaultParameter {
		t.Errorf("BINARYMIME, not offered: %v", err)
	}
	if _, _, err := ParseMail("FROM:<ü..@b.example>", 0); faultOf(t, err) != FaultNonASCII {
		t.Errorf("an address beyond ASCII: %v", err)
	}
}

func TestParseRcpt(t *testing.T) {
	tests := []struct {
		arg   string
		utf8  bool
		fault Fault
		to    address.Mailbox
		want  RcptParams
	}{
		{"TO:<anna@example.org>", false, 0, address.MustMailbox("anna@example.org"), RcptParams{}},
		{"to: <Postmaster>", false, 0, address.Mailbox{Local: "Postmaster"}, RcptParams{}},
		{"TO:<@a.example:anna@example.org>", false, 0, address.MustMailbox("anna@example.org"), RcptParams{}},
		{"TO:<postmaster@example.org>", false, 0, address.MustMailbox("postmaster@example.org"), RcptParams{}},
		{"TO:<ü@example.org>", true, 0, address.Mailbox{Local: "ü", Domain: address.MustDomain("example.org")}, RcptParams{}},
		{"TO:<a@b.example> NOTIFY=SUCCESS,DELAY", false, 0, address.MustMailbox("a@b.example"), RcptParams{Notify: NotifySuccess | NotifyDelay}},
		{"TO:<a@b.example> NOTIFY=never ORCPT=rfc822;x+2By@c.example", false, 0, address.MustMailbox("a@b.example"), RcptParams{NotifyNever, "rfc822;x+y@c.example"}},
		{"TO:<a@b.example> ORCPT=utf-8;x\\x{fc}@c.example", false, 0, address.MustMailbox("a@b.example"), RcptParams{ORcpt: "utf-8;x\\x{fc}@c.example"}},

		{"FROM:<a@b.example>", false, FaultSyntax, address.Mailbox{}, RcptParams{}},
		{"TO:<>", false, FaultForwardPath, address.Mailbox{}, RcptParams{}},
		{"TO:<anna>", false, FaultForwardPath, address.Mailbox{}, RcptParams{}},
		{"TO:postmaster", false, FaultForwardPath, address.Mailbox{}, RcptParams{}},
		{"TO:<ü@example.org>", false, FaultNonASCII, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> NOTIFY=", false, FaultParameter, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> NOTIFY=NEVER,DELAY", false, FaultParameter, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> NOTIFY=DELAY,NEVER", false, FaultParameter, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> NOTIFY=DELAY,DELAY", false, FaultParameter, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> ORCPT=a@b.example", false, FaultParameter, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> ORCPT=rfc822;", false, FaultParameter, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> ORCPT=rfc822;+0Ax", false, FaultParameter, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> ORCPT=rfc822;" + strings.Repeat("x", 500), false, FaultParameter, address.Mailbox{}, RcptParams{}},
		{"TO:<a@b.example> SIZE=1", false, FaultUnknownParameter, address.Mailbox{}, RcptParams{}},
	}
	for _, tt := range tests {
		to, got, err := ParseRcpt(tt.arg, everything, tt.utf8)
		if f := faultOf(t, err); f != tt.fault {
			t.Errorf("ParseRcpt(%q): %v, of kind %d, want %d", tt.arg, err, f, tt.fault)
			continue
		}
		if to != tt.to || err == nil && got != tt.want {
			t.Errorf("ParseRcpt(%q) = %q, %+v; want %q, %+v", tt.arg, to, got, tt.to, tt.want)
		}
	}
}

func TestOtherArguments(t *testing.T) {
	for arg, want := range map[string]Fault{
		"mx.example.org": 0, "[192.0.2.1]": 0, "[IPv6:::1]": 0, "localhost": 0, "my_pc": 0, "192.0.2.1": 0,
		"mx.example.org.": 0, "[::1]": 0, "[2001:db8::1]": 0, ".": FaultSyntax, "a..": FaultSyntax, "[::1": FaultSyntax, "[::1%eth0]": 0, "[IPv6:fe80::1%en0]": 0, "[192.0.2.1%en0]": FaultSyntax, "[::1%e]x]": FaultSyntax, "[::1%e%f]": FaultSyntax, "[::1%]": 0,
		"ANNAS-COMPUTER-": 0, "m\xdcller-pc": 0, "müller-.local": 0, "-": 0, "-a": FaultSyntax, "a\x00": FaultSyntax, "\xff\xfe": 0, "[m\xdc]": FaultSyntax,
		"[IPv6:[::1]]": FaultSyntax, "[x:y:z]": FaultSyntax, "[::1].": FaultSyntax,
		"": FaultSyntax, "a b": FaultSyntax, "[192.0.2.1": FaultSyntax, "a..b": FaultSyntax, "<a>": FaultSyntax,
	} {
		if got, err := ParseHello(arg); faultOf(t, err) != want || want == 0 && got != arg {
			t.Errorf("ParseHello(%q) = %q, %v", arg, got, err)
		}
	}
	for arg, want := range map[string]string{
		"anna": "anna", "anna@example.org": "anna@example.org", "<anna@example.org>": "anna@example.org", `"a b"`: `"a b"`,
		"": "!", "<>": "!", "Anna Miller": "!", "a@": "!", "ü@b.example": "!", "a@b.example SMTPUTF8": "!",
	} {
		got, err := ParseVerify(arg, false)
		if (err != nil) != (want == "!") || err == nil && got.String() != want {
			t.Errorf("ParseVerify(%q) = %q, %v", arg, got, err)
		}
	}
	if got, err := ParseVerify("ü@b.example SMTPUTF8", true); err != nil || got.Local != "ü" {
		t.Errorf("ParseVerify in UTF-8 = %q, %v", got, err)
	}
	for arg, want := range map[string]struct {
		size int64
		last bool
		ok   bool
	}{
		"0": {0, false, true}, "12 LAST": {12, true, true}, "12 last": {12, true, true},
		"99999999999999999999": {math.MaxInt64, false, true},
		"":                     {}, "x": {}, "-1": {}, "1 LATE": {}, "1 ": {}, "1  LAST": {}, "999999999999999999999": {math.MaxInt64, false, true},
	} {
		size, last, err := ParseBdat(arg)
		if (err == nil) != want.ok || want.ok && (size != want.size || last != want.last) {
			t.Errorf("ParseBdat(%q) = %d, %v, %v", arg, size, last, err)
		}
	}
}

func TestParseAuth(t *testing.T) {
	tests := []struct {
		arg, mechanism, initial string
		given                   bool
		fault                   Fault
	}{
		{"PLAIN", "PLAIN", "", false, 0},
		{"plain AGEAYg==", "PLAIN", "\x00a\x00b", true, 0},
		{"PLAIN =", "PLAIN", "", true, 0},
		{"SCRAM-SHA-256", "SCRAM-SHA-256", "", false, 0},
		{"", "", "", false, FaultSyntax},
		{"PLAIN ", "", "", false, FaultSyntax},
		{"PLAIN a b", "", "", false, FaultSyntax},
		{"PL*IN", "", "", false, FaultSyntax},
		{strings.Repeat("X", 21), "", "", false, FaultSyntax},
		{"PLAIN AGEAYg", "PLAIN", "", false, FaultBase64},
		{"PLAIN AGEAYg=", "PLAIN", "", false, FaultBase64},
		{"PLAIN AGEAYh==", "PLAIN", "", false, FaultBase64}, // bits that are not zero
		{"PLAIN !", "PLAIN", "", false, FaultBase64},
		{"PLAIN ====", "PLAIN", "", false, FaultBase64},
	}
	for _, tt := range tests {
		mechanism, initial, err := ParseAuth(tt.arg)
		if faultOf(t, err) != tt.fault || mechanism != tt.mechanism {
			t.Errorf("ParseAuth(%q) = %q, %q, %v", tt.arg, mechanism, initial, err)
			continue
		}
		if err == nil && (string(initial) != tt.initial || (initial != nil) != tt.given) {
			t.Errorf("ParseAuth(%q): initial response %#v", tt.arg, initial)
		}
	}
	if _, err := DecodeBase64([]byte("AGEA\r\nYg==")); faultOf(t, err) != FaultBase64 {
		t.Errorf("base64 with a line ending: %v", err)
	}
	if got := string(AppendBase64([]byte("x"), []byte("Username:"))); got != "xVXNlcm5hbWU6" {
		t.Errorf("AppendBase64 = %q", got)
	}
}

func TestXtext(t *testing.T) {
	for in, want := range map[string]string{"abc": "abc", "a+b": "a+2Bb", "a=b c": "a+3Db+20c", "ü": "+C3+BC", "": ""} {
		if got := EncodeXtext(in); got != want {
			t.Errorf("EncodeXtext(%q) = %q, want %q", in, got, want)
		}
	}
	for _, bad := range []string{"+", "+4", "+4G", "a=b", "a b", "ü", "a\x00"} {
		if got, ok := DecodeXtext(bad); ok {
			t.Errorf("DecodeXtext(%q) = %q", bad, got)
		}
	}
	if got, ok := DecodeXtext("a+2bb"); !ok || got != "a+b" {
		t.Errorf("small letters: %q, %v", got, ok)
	}
}

func FuzzXtext(f *testing.F) {
	f.Add("a+2Bb")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := DecodeXtext(EncodeXtext(s)); !ok || got != s {
			t.Fatalf("%q came back as %q, %v", s, got, ok)
		}
		if plain, ok := DecodeXtext(s); ok {
			if again, ok := DecodeXtext(EncodeXtext(plain)); !ok || again != plain {
				t.Fatalf("%q means %q, which came back as %q", s, plain, again)
			}
		}
	})
}

func TestIsHTTP(t *testing.T) {
	for line, want := range map[string]bool{
		"GET / HTTP/1.1": true, "POST /x HTTP/1.0": true, "PRI * HTTP/2.0": true, "GET /": true, "OPTIONS * HTTP/1.1": true,
		"EHLO a": false, "GET": false, "get / HTTP/1.1": false, "GET mail": false,
	} {
		if got := IsHTTP([]byte(line)); got != want {
			t.Errorf("IsHTTP(%q) = %v", line, got)
		}
	}
}

func TestVerbs(t *testing.T) {
	for v := Unknown + 1; v < verbs; v++ {
		if !HasVerb([]byte(strings.ToLower(v.String())+" xyz"), v) || HasVerb([]byte("X"+v.String()), v) {
			t.Errorf("HasVerb does not know %s", v)
		}
		if v.MaxLine() < MaxCommandLine {
			t.Errorf("%s may have only %d octets", v, v.MaxLine())
		}
	}
	if Verb(200).String() != "" || Unknown.String() != "" {
		t.Error("what is no verb has a name")
	}
}

// FuzzCommand reads any line as every command. What is accepted must be well
// formed: an address that is written and read again is the same.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"MAIL FROM:<anna@example.org> SIZE=1", `RCPT TO:<"a b"@[IPv6:::1]> NOTIFY=NEVER`, "AUTH PLAIN AGEAYg==", "BDAT 1 LAST",
		"EHLO [192.0.2.1]", "VRFY <anna>", "GET / HTTP/1.1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCommand([]byte(line))
		if err != nil {
			return
		}
		same := func(m address.Mailbox) {
			if m.IsZero() || m.Domain.IsZero() {
				return
			}
			again, err := address.ParseMailbox(m.String())
			if err != nil || again != m {
				t.Fatalf("%q gave %#v, which is written %q and read as %#v, %v", line, m, m, again, err)
			}
		}
		for _, x := range []Extensions{0, everything} {
			if from, p, err := ParseMail(c.Arg, x); err == nil {
				same(from)
				if p.Size < 0 || len(p.EnvID) > MaxEnvID {
					t.Fatalf("%q gave %+v", line, p)
				}
			}
			if to, p, err := ParseRcpt(c.Arg, x, x != 0); err == nil {
				same(to)
				if to.IsZero() || len(p.ORcpt) > MaxORcpt {
					t.Fatalf("%q gave %#v, %+v", line, to, p)
				}
			}
			if a, err := ParseVerify(c.Arg, x != 0); err == nil {
				same(a)
			}
		}
		if name, err := ParseHello(c.Arg); err == nil && strings.ContainsAny(name, " \t<>\"") {
			t.Fatalf("%q is called %q", line, name)
		}
		_, _, _ = ParseAuth(c.Arg)
		if n, _, err := ParseBdat(c.Arg); err == nil && n < 0 {
			t.Fatalf("%q has %d octets", line, n)
		}
		IsHTTP([]byte(line))
	})
}
