package dsn

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/smtp"
)

const originalHeader = "From: Bob <bob@example.com>\r\nTo: anna@example.org\r\nSubject: =?utf-8?q?Lunch_caf=C3=A9?=\r\n" +
	"Date: Mon, 05 Jan 2026 09:59:58 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n"

// bounce is a report that a test changes.
func bounce() Report {
	at := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	return Report{
		Kind: Failed, ReportingMTA: "mx.example.org", From: address.MustMailbox("MAILER-DAEMON@mx.example.org"),
		To: address.MustMailbox("bob@example.com"), Lang: "en", Arrival: at, EnvID: "env-1", Now: at.Add(time.Minute),
		MessageID: "<r1@mx.example.org>", Header: []byte(originalHeader),
		Recipients: []Recipient{{
			Original: address.MustMailbox("anna@example.org"), ORcpt: "rfc822;anna@example.org",
			Target: address.MustMailbox("anna.private@secret.example.net"), Status: "5.1.1", RemoteMTA: "mx1.secret.example.net",
			Heard:       smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"<anna.private@secret.example.net>: Recipient address rejected:", "User unknown; see https://help.example/?a=Anna.Private%40SECRET.example.net"}},
			Explanation: "The server says that there is no such mailbox. Nobody will get your message under that address.",
			Advice:      "Ask the person for the address in use now. The address that you wrote to is right, but what stands behind it is not.",
			Actor:       ActorRecipient, LastAttempt: at.Add(30 * time.Second), LogID: "01JGT5Z",
		}},
	}
}

func compose(t testing.TB, r Report) (Composed, string) {
	t.Helper()
	c, err := Compose(r)
	if err != nil {
		t.Fatal(err)
	}
	content := string(c.Content)
	for line := range strings.Lines(content) {
		if !strings.HasSuffix(line, "\r\n") || strings.ContainsAny(strings.TrimSuffix(line, "\r\n"), "\r\n\x00") || len(line) > message.MaxLine+2 {
			t.Fatalf("line %q of the report is not one", line)
		}
	}
	return c, content
}

// decode returns the parts of a report, decoded.
func decode(t testing.TB, content string) (top entity, parts []entity) {
	t.Helper()
	top = readEntity([]byte(content))
	parts = top.children()
	for i := range parts {
		parts[i].body = bytes.ReplaceAll(parts[i].decoded(), []byte("\r\n"), []byte("\n"))
	}
	return top, parts
}

func TestComposeHidden(t *testing.T) {
	c, content := compose(t, bounce())
	if c.EightBit || c.UTF8 {
		t.Error("an ASCII report is not 7-bit")
	}
	top, parts := decode(t, content)
	for name, want := range map[string]string{
		"From": "Mail Delivery System <MAILER-DAEMON@mx.example.org>", "To": "bob@example.com",
		"Subject": "Not delivered: anna@example.org", "Auto-Submitted": "auto-replied", "In-Reply-To": "<1@example.com>",
		"Message-ID": "<r1@mx.example.org>", "Date": "Mon, 05 Jan 2026 10:01:00 +0000", "MIME-Version": "1.0",
	} {
		if got := top.header.Text(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if top.kind != "multipart/report" || top.params["report-type"] != "delivery-status" || len(parts) != 3 {
		t.Fatalf("%s %v with %d parts", top.kind, top.params, len(parts))
	}
	const human = `Your message could not be delivered to this address. It will not be
tried again:

    anna@example.org

The message was forwarded, as the owner of this address has asked. The
address that it went to is private and is not shown here.

The server that it was forwarded to answered:

    550 5.1.1 <anna@example.org>: Recipient address rejected:
    User unknown; see https://help.example/?a=anna%40[hidden]

What this means:
The server says that there is no such mailbox. Nobody will get your
message under that address.

What you can do:
Ask the person for the address in use now. The address that you wrote to
is right, but what stands behind it is not.

Who can put it right:
The person you wrote to. If you can reach them in another way, please
tell them.

Status code: 5.1.1
Last tried: 5 January 2026, 10:00 UTC
Our reference: 01JGT5Z

The message:
    Subject: Lunch café
    Date: Mon, 05 Jan 2026 09:59:58 +0000
    Accepted here: 5 January 2026, 10:00 UTC

This report comes from the mail server mx.example.org. Attached are the
details for programs and the header of your message.
`
	if got := string(parts[0].body); got != human {
		t.Errorf("the text is\n%s\nwant\n%s", got, human)
	}
	const status = `Original-Envelope-Id: env-1
Reporting-MTA: dns; mx.example.org
Arrival-Date: Mon, 05 Jan 2026 10:00:00 +0000

Original-Recipient: rfc822; anna@example.org
Final-Recipient: rfc822; anna@example.org
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <anna@example.org>: Recipient address
 rejected: User unknown; see https://help.example/?a=anna%40[hidden]
Last-Attempt-Date: Mon, 05 Jan 2026 10:00:30 +0000
Final-Log-ID: 01JGT5Z
`
	if got := string(parts[1].body); got != status || parts[1].kind != "message/delivery-status" {
		t.Errorf("%s is\n%s\nwant\n%s", parts[1].kind, got, status)
	}
	if want := strings.TrimSuffix(originalHeader, "\r\n"); string(parts[2].body) != strings.ReplaceAll(want, "\r\n", "\n") || parts[2].kind != "text/rfc822-headers" {
		t.Errorf("%s is %q", parts[2].kind, parts[2].body)
	}
	for _, p := range parts {
		for _, private := range []string{"private", "secret"} {
			if strings.Contains(strings.ReplaceAll(strings.ToLower(string(p.body)), "it went to is private", ""), private) {
				t.Errorf("part %s tells %q", p.kind, private)
			}
		}
	}
}

func TestComposeDisclosed(t *testing.T) {
	r := bounce()
	r.Recipients[0].Disclosed = true
	_, content := compose(t, r)
	_, parts := decode(t, content)
	for _, want := range []string{"forwarded to anna.private@secret.example.net", "The server mx1.secret.example.net answered:", "550 5.1.1 <anna.private@secret.example.net>: Recipient"} {
		if !strings.Contains(strings.Join(strings.Fields(string(parts[0].body)), " "), want) {
			t.Errorf("the text lacks %q:\n%s", want, parts[0].body)
		}
	}
	for _, want := range []string{"Final-Recipient: rfc822; anna.private@secret.example.net\n", "Remote-MTA: dns; mx1.secret.example.net\n"} {
		if !strings.Contains(string(parts[1].body), want) {
			t.Errorf("the status lacks %q:\n%s", want, parts[1].body)
		}
	}
}

func TestComposeJapanese(t *testing.T) {
	r := bounce()
	r.Lang = "ja-JP"
	r.Recipients[0].Explanation = "相手のサーバーに、このメールボックスは存在しません。" + strings.Repeat("長い説明です。", 20)
	r.Recipients[0].Advice = ""
	c, content := compose(t, r)
	top, parts := decode(t, content)
	if c.EightBit || top.header.Text("Subject") != "配送できませんでした: anna@example.org" {
		t.Errorf("8-bit %t, subject %q", c.EightBit, top.header.Text("Subject"))
	}
	for line := range strings.Lines(string(parts[0].body)) {
		line = strings.TrimSuffix(line, "\n")
		if displayWidth(line) > columns+2 { // punctuation may hang
			t.Errorf("line of %d columns: %s", displayWidth(line), line)
		}
		if strings.HasPrefix(line, "。") || strings.HasPrefix(line, "、") {
			t.Errorf("a line begins with punctuation: %s", line)
		}
	}
	if !strings.Contains(strings.ReplaceAll(string(parts[0].body), "\n", ""), "転送先は非公開") || strings.Contains(string(parts[0].body), "できること") {
		t.Errorf("the text is\n%s", parts[0].body)
	}
}

func TestComposeInjection(t *testing.T) {
	r := bounce()
	_, content := compose(t, r)
	boundary := readEntity([]byte(content)).params["boundary"]
	rcpt := &r.Recipients[0]
	rcpt.Target = address.Mailbox{}
	rcpt.Heard.Lines = []string{"no\r\n--" + boundary + "--\r\nAction: delivered", "\x1b[31mred\x00 \u202Eevil \xff", "日本"}
	rcpt.ORcpt = "rfc822;a@b\r\nAction: delivered"
	rcpt.RemoteMTA = "evil\r\n\r\nAction: delivered"
	rcpt.LogID = "1\r\nStatus: 2.0.0"
	r.EnvID = "x\r\n\r\nFinal-Recipient: rfc822; a@b"
	r.Header = []byte("Subject: =?utf-8?b?YQ0KLS1i?=\r\n\r\n--" + boundary + "--\r\n")
	_, content = compose(t, r)
	_, parts := decode(t, content)
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	p, err := Parse([]byte(content))
	if err != nil || len(p.Recipients) != 1 || p.Recipients[0].Action != Failed || p.Recipients[0].Status != "5.1.1" {
		t.Fatalf("%+v, %v", p, err)
	}
	human := string(parts[0].body)
	if !strings.Contains(human, `\x1B[31mred\x00 \u{202E}evil \xFF`) || !strings.Contains(human, "    日本\n") || strings.ContainsAny(human, "\x1b\x00\u202e") {
		t.Errorf("the text is\n%q", human)
	}
	if !strings.Contains(string(parts[1].body), `\x{65E5}\x{672C}`) || !isASCII(string(parts[1].body)) {
		t.Errorf("the status is\n%s", parts[1].body)
	}
	for line := range strings.Lines(human) {
		if strings.Contains(line, boundary) && !strings.HasPrefix(line, quoteIndent) {
			t.Errorf("a stranger's line is not indented: %q", line)
		}
	}
}

func TestComposeReturned(t *testing.T) {
	body := "Hello\r\n--boundary\r\n"
	for _, c := range []struct {
		name, header, body string
		kind               Kind
		ret                smtp.Ret
		want               string
		eightBit           bool
	}{
		{"whole", originalHeader, body, Failed, smtp.RetFull, "message/rfc822", false},
		{"whole, 8-bit", originalHeader, "ä\r\n", Failed, smtp.RetFull, "message/rfc822", true},
		{"whole, UTF-8 header", "Subject: ä\r\n\r\n", body, Failed, smtp.RetFull, "message/global", true},
		{"header asked for", originalHeader, body, Failed, smtp.RetHeaders, "text/rfc822-headers", false},
		{"not said", originalHeader, body, Failed, smtp.RetUnset, "text/rfc822-headers", false},
		{"a delay", originalHeader, body, Delayed, smtp.RetFull, "text/rfc822-headers", false},
		{"too large", originalHeader, strings.Repeat("0123456789abcde\r\n", MaxReturned/16), Failed, smtp.RetFull, "text/rfc822-headers", false},
		{"endless line", originalHeader, strings.Repeat("x", 2000), Failed, smtp.RetFull, "text/rfc822-headers", false},
		{"UTF-8 header", "Subject: ä\r\n\r\n", body, Failed, smtp.RetHeaders, "message/global-headers", false},
		{"8-bit header", "Subject: \xe4\r\n\r\n", body, Failed, smtp.RetHeaders, "text/rfc822-headers", false},
		{"huge header", strings.Repeat("X: "+strings.Repeat("x", 95)+"\r\n", 1000), body, Failed, smtp.RetHeaders, "text/rfc822-headers", false},
		{"no header", "", body, Failed, smtp.RetHeaders, "", false},
	} {
		r := bounce()
		r.Kind, r.Ret, r.Header, r.Body = c.kind, c.ret, []byte(c.header), strings.NewReader(c.body)
		got, content := compose(t, r)
		_, parts := decode(t, content)
		kind := ""
		if len(parts) == 3 {
			kind = parts[2].kind
		}
		if kind != c.want || got.EightBit != c.eightBit {
			t.Errorf("%s: %q, 8-bit %t", c.name, kind, got.EightBit)
		}
		if len(content) > MaxReturned+16<<10 {
			t.Errorf("%s: the report has %d octets", c.name, len(content))
		}
		whole := strings.ReplaceAll(c.header+c.body, "\r\n", "\n")
		if strings.HasPrefix(c.name, "whole") && strings.TrimSpace(string(parts[2].body)) != strings.TrimSpace(whole) {
			t.Errorf("%s: %q", c.name, parts[2].body)
		}
	}
	r := bounce()
	r.Ret, r.Body = smtp.RetFull, io.MultiReader(strings.NewReader("x"), errReader{})
	if _, err := Compose(r); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestComposeUTF8(t *testing.T) {
	r := bounce()
	r.To = address.MustMailbox("böb@example.com")
	r.Recipients[0].Original = address.MustMailbox("änna+1@bücher.example")
	c, content := compose(t, r)
	if !c.UTF8 || !c.EightBit {
		t.Error("a report to a UTF-8 address does not ask for SMTPUTF8")
	}
	if !strings.Contains(content, `Final-Recipient: utf-8; \x{E4}nna\x{2B}1@xn--bcher-kva.example`) {
		t.Errorf("the final recipient is not in its 7-bit form:\n%s", content)
	}
	p, err := Parse(c.Content)
	if err != nil || p.Recipients[0].FinalRecipient != "änna+1@xn--bcher-kva.example" {
		t.Errorf("%+v, %v", p.Recipients, err)
	}
}

func TestComposeOtherKinds(t *testing.T) {
	for kind, want := range map[Kind]string{
		Delayed: "We go on trying until 10 January 2026, 10:00 UTC.", Delivered: "has been delivered to this address:",
		Relayed: "passed on to the next server", Expanded: "which is a list",
	} {
		r := bounce()
		r.Kind = kind
		rcpt := &r.Recipients[0]
		rcpt.Target, rcpt.Status, rcpt.WillRetryUntil = address.Mailbox{}, "", r.Arrival.AddDate(0, 0, 5)
		if kind != Delayed {
			rcpt.Heard = smtp.Reply{}
		}
		_, content := compose(t, r)
		_, parts := decode(t, content)
		if text := strings.Join(strings.Fields(string(parts[0].body)), " "); !strings.Contains(text, want) {
			t.Errorf("%s: the text lacks %q:\n%s", kind, want, parts[0].body)
		}
		status := string(parts[1].body)
		if !strings.Contains(status, "Action: "+kind.String()+"\n") || strings.Contains(status, "Will-Retry-Until") != (kind == Delayed) {
			t.Errorf("%s: the status is\n%s", kind, status)
		}
		if class := map[bool]string{true: "4.0.0", false: "2.0.0"}[kind == Delayed]; !strings.Contains(status, "Status: "+class) {
			t.Errorf("%s: the status is\n%s", kind, status)
		}
	}
}

func TestComposeRefuses(t *testing.T) {
	for name, change := range map[string]func(*Report){
		"no kind":       func(r *Report) { r.Kind = 0 },
		"no host":       func(r *Report) { r.ReportingMTA = "" },
		"no identifier": func(r *Report) { r.MessageID = "" },
		"null path":     func(r *Report) { r.To = address.Mailbox{} },
		"no sender":     func(r *Report) { r.From = address.Mailbox{} },
		"no recipient":  func(r *Report) { r.Recipients = nil },
		"too many":      func(r *Report) { r.Recipients = make([]Recipient, MaxReported+1) },
		"no original":   func(r *Report) { r.Recipients[0].Original = address.Mailbox{} },
	} {
		r := bounce()
		change(&r)
		if _, err := Compose(r); !errors.Is(err, ErrReport) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSentencesComplete(t *testing.T) {
	placeholder := regexp.MustCompile(`\{[a-z]+\}`)
	places := func(s string) map[string]bool {
		m := map[string]bool{}
		for _, p := range placeholder.FindAllString(s, -1) {
			m[p] = true
		}
		return m
	}
	for lang, table := range sentences {
		for key, text := range sentences[fallback] {
			got, want := places(table[key]), places(text)
			if table[key] == "" || len(got) != len(want) {
				t.Errorf("%s %s: %q has placeholders %v, want %v", lang, key, table[key], got, want)
			}
			for p := range want {
				if !got[p] {
					t.Errorf("%s %s lacks %s", lang, key, p)
				}
			}
		}
		if len(table) != len(sentences[fallback]) {
			t.Errorf("%s has keys that %s has not", lang, fallback)
		}
	}
	for a := ActorNobody; a <= ActorOperator; a++ {
		if say(fallback, actorKey(a)) == "" {
			t.Errorf("actor %d has no sentence", a)
		}
	}
}
