package explain

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

func TestLineReadsRepliesInTheirSurroundings(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       int
		enhanced   string
		stage      string
		provider   string
		reason     string
		host       string
	}{
		{"one line", "550 5.1.1 The email account that you tried to reach does not exist.", 550, "5.1.1", "rcpt", "Google", "user_unknown", ""},
		{"several lines", "550-5.7.26 Unauthenticated email from example.com is not accepted due to\r\n550-5.7.26 domain's DMARC policy. Please contact the administrator of\r\n550 5.7.26 example.com domain", 550, "5.7.26", "post-data", "Google", "dmarc_fail", ""},
		{"several lines in one", "550-5.7.26 Unauthenticated email from example.com is not accepted due to 550-5.7.26 domain's DMARC policy. 550 5.7.26 example.com", 550, "5.7.26", "post-data", "Google", "dmarc_fail", ""},
		{"folded by a mail program", "552 5.2.2 The recipient's inbox is out\n   of storage space and inactive.", 552, "5.2.2", "rcpt", "Google", "mailbox_full", ""},
		{"curly quotation marks", "421 4.7.27 Your email has been rate limited because SPF authentication didn’t pass for this message.", 421, "4.7.27", "post-data", "Google", "spf_fail", ""},
		{"Postfix log", "postfix/smtp[123]: 4XyZ: to=<a@example.com>, relay=gmail-smtp-in.l.google.com[142.250.1.27]:25, delay=1.2, dsn=5.1.1, status=bounced (host gmail-smtp-in.l.google.com[142.250.1.27] said: 550-5.1.1 The email account that you tried to reach does not exist. (in reply to RCPT TO command))", 550, "5.1.1", "rcpt", "Google", "user_unknown", ""},
		{"Exim log", "2026-01-02 03:04:05 1abc-000-00 ** a@example.org R=dnslookup T=remote_smtp H=mx.example.org [192.0.2.1]: SMTP error from remote mail server after RCPT TO:<a@example.org>: 550 5.1.1 User unknown", 550, "5.1.1", "rcpt", "", "user_unknown", ""},
		{"Sendmail log", "stat=User unknown, dsn=5.1.1, to=<a@example.org>", 0, "5.1.1", "rcpt", "", "user_unknown", ""},
		{"an exception", `smtplib.SMTPAuthenticationError: (535, b'5.7.8 Username and Password not accepted.')`, 0, "5.7.8", "auth", "Google", "auth_failed", ""},
		{"a transcript", "S: 530 5.7.0 Authentication Required.", 530, "5.7.0", "auth", "Google", "auth_required", ""},
		{"enhanced code in brackets", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", 553, "5.7.1", "rcpt", "qmail", "relay_denied", ""},
		{"no code at all", "connect to mx.example.com[192.0.2.1]:25: Connection timed out", 0, "", "delivery", "Postfix", "network_failure", ""},
		{"code alone", "535", 535, "", "auth", "", "auth_failed", ""},
		{"enhanced code alone", "5.2.2", 0, "5.2.2", "rcpt", "", "mailbox_full", ""},
		{"MX name wins", "550 5.7.606 nothing that anybody knows", 550, "5.7.606", "", "Microsoft", "policy_rejected", "x.mail.protection.outlook.com"},
		{"words beat a wrong enhanced code", "552 5.1.1 Sorry, the mailbox is full", 552, "5.1.1", "rcpt", "", "mailbox_full", ""},
		{"a sure enhanced code beats weak words", "550 5.7.23 rejected", 550, "5.7.23", "mail", "", "spf_fail", ""},
		{"an address is no code", "delivered to 192.0.2.250 and 10.5.1.1", 0, "", "", "", "", ""},
		{"a version is no enhanced code", "250 mail.example.org ESMTP 2.0.17.3 ready", 250, "", "", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Line(c.text, Options{MXHost: c.host})
			if e.Code != c.code || e.Enhanced != c.enhanced || e.Stage != c.stage || e.Provider != c.provider || e.Reason != c.reason {
				t.Errorf("%q:\n got %d %q %q %q %q (row %s)\nwant %d %q %q %q %q", c.text,
					e.Code, e.Enhanced, e.Stage, e.Provider, e.Reason, e.Row, c.code, c.enhanced, c.stage, c.provider, c.reason)
			}
		})
	}
}

// What the queue does is what is meant; but a temporary reply never becomes
// permanent.
func TestClassIsWhatIsMeant(t *testing.T) {
	for _, c := range []struct {
		text        string
		class       Class
		retry       reference.Retry
		contradicts bool
	}{
		{"550 5.1.1 no such user", Permanent, "no", false},
		{"450 4.2.1 no such user", Temporary, "yes", false},
		{"451 4.7.1 spam message rejected, never come back", Temporary, "yes", false},
		{"421 4.7.0 IP not in whitelist for RCPT domain, closing connection.", Temporary, "after-change", false},
		{"550 Sender frequency limited. http://service.exmail.qq.com/cgi-bin/help", Temporary, "yes", true},
		{"550 5.7.1 rate limit exceeded, slow down", Temporary, "yes", true},
		{"554 5.7.1 greylisted, please come back", Temporary, "yes", true},
		{"552 too many recipients", Temporary, "yes", true},
		{"552 5.1.1 Sorry, the mailbox is full", Permanent, "no", true},
		{"552 5.2.2 The email account that you tried to reach is over quota.", Permanent, "no", false},
		{"550 5.7.28 There is an unusual rate of unsolicited mail originating from your IP address.", Permanent, "no", false},
		{"550 try again", Permanent, "no", false},
		{"550 5.1.1 user unknown, temporary", Permanent, "no", false},
		{"250 2.0.0 ok", Positive, "no-need", false},
		{"354 go on", Positive, "continue", false},
		{"no idea", Unknown, "", false},
	} {
		e := Line(c.text, Options{})
		if e.Class != c.class || e.Retry != c.retry || e.Contradicts != c.contradicts {
			t.Errorf("%q: class %v, retry %q, contradicts %v (reason %s, row %s), want %v, %q, %v",
				c.text, e.Class, e.Retry, e.Contradicts, e.Reason, e.Row, c.class, c.retry, c.contradicts)
		}
	}
	for _, row := range reference.Rows() {
		for _, code := range []int{421, 450, 451, 452} {
			if e := Heard(code, "", []string{row.Contains}, ""); e.Class != Temporary {
				t.Errorf("%d %q is %v: our reading must not bounce mail", code, row.Contains, e.Class)
			}
		}
	}
}

func TestHeardEqualsLine(t *testing.T) {
	for _, row := range reference.Rows() {
		if row.Code == 0 || !strings.HasPrefix(row.Sample, "5") && !strings.HasPrefix(row.Sample, "4") {
			continue
		}
		line := Line(row.Sample, Options{})
		heard := Heard(line.Code, line.Enhanced, strings.Split(line.Text, "\n"), "")
		if line.Reply == "" && heard != line {
			t.Errorf("%s: heard %+v\nline %+v", row.ID, heard, line)
		}
	}
}

func TestOwnRepliesAreKnownAgain(t *testing.T) {
	for _, text := range []struct{ line, name string }{
		{"251 2.1.5 User not local; will forward to <anna@example.net>", "will-forward"},
		{"551 5.1.6 User not local; please try <new@example.net>", "please-try"},
		{"535-5.7.8 Authentication credentials invalid\n535 5.7.8 The owner of the account can ask why: onward explain-login abc", "credentials-rejected"},
		{"550 5.7.1 <a@example.com>: relaying denied: the domain is not ours and you have not logged in", "relay-denied"},
		{"250 2.0.0 Accepted and stored; queued as 0abc", "queued"},
	} {
		e := Line(text.line, Options{})
		if e.Reply != text.name || e.Provider != "Onward" || e.Confidence != sureOwn {
			t.Errorf("%q is known as %q (%+v), want %q", text.line, e.Reply, e, text.name)
		}
	}
	if e := Line("250 2.0.0 Ok: queued as 4XyZ", Options{}); e.Reply != "" {
		t.Errorf("Postfix's reply is taken for our %q", e.Reply)
	}
}

// Every reply of ours and every trouble of ours is explained in every language,
// in one line and as a page.
func TestOwnAndTroubleInEveryLanguage(t *testing.T) {
	var all []Explanation
	for _, d := range reply.All() {
		e := Own(d.Name)
		if e.Reply != d.Name || e.Class == Unknown || e.Code >= 400 && e.Reason == "" {
			t.Errorf("Own(%q) = %+v", d.Name, e)
		}
		all = append(all, e)
	}
	for _, o := range reference.Outcomes() {
		e := Trouble(o.Key)
		if e.Outcome != o.Key || e.Class == Unknown {
			t.Errorf("Trouble(%q) = %+v", o.Key, e)
		}
		all = append(all, e)
	}
	for _, l := range reference.Languages() {
		for _, e := range all {
			s := Short(e, l.Tag)
			if strings.Contains(s, "{") || strings.Contains(s, "\n") || !strings.Contains(s, " — ") {
				t.Errorf("Short in %s of %s%s is %q", l.Tag, e.Reply, e.Outcome, s)
			}
			var b strings.Builder
			if err := Render(&b, e, l.Tag, 80, false); err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(b.String(), "\n") {
				if columns(line) > 80 {
					t.Errorf("%s%s in %s: %d columns: %q", e.Reply, e.Outcome, l.Tag, columns(line), line)
				}
			}
		}
	}
	if e := Own("no-such"); e.Found() {
		t.Errorf("an unknown reply is %+v", e)
	}
	if e := Trouble("no-such"); e.Outcome != "local_error" || e.Class != Temporary {
		t.Errorf("an unknown trouble is %+v, want a temporary local error", e)
	}
}

func TestLevelsGoFromExactToGeneral(t *testing.T) {
	e := Line("550 5.7.27 This mail has been blocked because SPF does not pass", Options{MXHost: "aspmx.l.google.com"})
	levels := e.Levels("en")
	var kinds []string
	for i, l := range levels {
		kinds = append(kinds, l.Kind)
		if l.Source == "" || l.Meaning == "" {
			t.Errorf("level %s lacks its source or meaning: %+v", l.Kind, l)
		}
		if i > 0 && l.Confidence > levels[i-1].Confidence {
			t.Errorf("level %s is surer than the one before it: %+v", l.Kind, levels)
		}
	}
	if !slices.Equal(kinds, []string{"provider", "enhanced", "basic", "digit"}) {
		t.Errorf("levels %v", kinds)
	}
	if e.Private == "" || !strings.Contains(levels[1].Meaning, "null MX") {
		t.Errorf("both the provider's and the registry's meaning must be shown: %+v", levels)
	}
}

func TestJSONHasTheFieldsThatProgramsRelyOn(t *testing.T) {
	b, err := json.Marshal(Line("550 5.1.1 no such user", Options{}).JSON("ja"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"code", "enhanced", "stage", "provider", "reason", "who_acts", "retry", "confidence", "class", "levels", "meaning", "fix"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no field %s in %s", key, b)
		}
	}
	if got["code"] != 550.0 || got["reason"] != "user_unknown" || got["who_acts"] != "sender-user" || got["retry"] != "no" {
		t.Errorf("%s", b)
	}
}

func FuzzLine(f *testing.F) {
	for _, row := range reference.Rows() {
		f.Add(row.Sample)
	}
	f.Add("550-a\r\n550-5.1.1 b\r\n550 c")
	f.Add("\x1b[2J550 5.1.1 \u202e\xff")
	f.Add("host a.b said: 550 5.")
	f.Fuzz(func(t *testing.T, text string) {
		e := Line(text, Options{})
		if e.Confidence < 0 || e.Confidence > 1 {
			t.Fatalf("confidence %v", e.Confidence)
		}
		if e.Code != 0 && (e.Code < 100 || e.Code > 599) {
			t.Fatalf("code %d", e.Code)
		}
		if e.Code/100 == 4 && e.Class != Temporary {
			t.Fatalf("code %d is %v", e.Code, e.Class)
		}
		for _, lang := range []string{"en", "de", "es", "fr", "ja"} {
			var b strings.Builder
			if err := Render(&b, e, lang, 80, false); err != nil {
				t.Fatal(err)
			}
			for _, r := range b.String() {
				if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069) {
					t.Fatalf("%q reaches the terminal", r)
				}
			}
			if s := Short(e, lang); s == "" || strings.Contains(s, "\n") {
				t.Fatalf("Short = %q", s)
			}
		}
	})
}

func BenchmarkLine(b *testing.B) {
	b.ReportAllocs()
	const text = "550-5.7.26 Unauthenticated email from example.com is not accepted due to domain's\n550-5.7.26 DMARC policy. Please contact the administrator of example.com domain if\n550 5.7.26 this was a legitimate mail."
	for b.Loop() {
		if Line(text, Options{}).Code != 550 {
			b.Fatal("not read")
		}
	}
}

func BenchmarkHeard(b *testing.B) {
	b.ReportAllocs()
	lines := []string{"<a@example.org>: Recipient address rejected: User unknown in virtual mailbox table"}
	for b.Loop() {
		if Heard(550, "5.1.1", lines, "mx.example.org").Reason != "user_unknown" {
			b.Fatal("not understood")
		}
	}
}

func BenchmarkRender(b *testing.B) {
	e := Line("550 5.1.1 The email account that you tried to reach does not exist.", Options{})
	for b.Loop() {
		var s strings.Builder
		_ = Render(&s, e, "en", 80, true)
	}
}
