package reference

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestFactsAreWhole(t *testing.T) {
	if n := len(Basics()); n != 73 {
		t.Errorf("%d reply codes, want 73", n)
	}
	if n := len(Enhanceds()); n != 81 {
		t.Errorf("%d registered enhanced codes, want 81", n)
	}
	// 57 of the research; one of them names two codes
	if n := len(Privates()); n != 58 {
		t.Errorf("%d private codes, want 58", n)
	}
	if n := len(Reasons()); n != 51 {
		t.Errorf("%d reasons, want 51", n)
	}
}

// checker returns a check that an actor and a retry are among those that exist.
func checker(t *testing.T) func(what string, who Actor, retry Retry) {
	actors := []Actor{Nobody, SenderUser, SenderAdmin, ServerAdmin, RecipientUser, RecipientAdmin, DomainOwner, Forwarder}
	retries := []Retry{RetryNoNeed, RetryContinue, RetryYes, RetryNo, RetryAfterChange}
	return func(what string, who Actor, retry Retry) {
		t.Helper()
		if !slices.Contains(actors, who) || retry != "" && !slices.Contains(retries, retry) {
			t.Errorf("%s: who %q, retry %q", what, who, retry)
		}
	}
}

func TestFactsReferToWhatExists(t *testing.T) {
	check := checker(t)
	last := 0
	for _, b := range Basics() {
		check(b.Key(), b.Who, b.Retry)
		if b.Code <= last {
			t.Errorf("%d stands after %d: the list must be in order", b.Code, last)
		}
		last = b.Code
		for _, c := range b.Compare {
			if _, ok := BasicCode(c); !ok {
				t.Errorf("%d is to be compared with %d, which is not known", b.Code, c)
			}
		}
		for _, part := range []string{".name", ".meaning", ".when", ".fix"} {
			if _, ok := Sentence(Fallback, b.Key()+part); !ok {
				t.Errorf("%s%s has no English sentence", b.Key(), part)
			}
		}
		if Say(Fallback, "class."+b.Kind) == "" || Say(Fallback, "connection."+strings.ReplaceAll(b.Closes, " ", "-")) == "" {
			t.Errorf("%d: kind %q or connection %q has no sentence", b.Code, b.Kind, b.Closes)
		}
	}
	for _, e := range Enhanceds() {
		check(e.Key(), e.Who, "")
		for _, part := range []string{".name", ".meaning", ".cause", ".fix"} {
			if _, ok := Sentence(Fallback, e.Key()+part); !ok {
				t.Errorf("%s%s has no English sentence", e.Key(), part)
			}
		}
	}
	for _, p := range Privates() {
		check(p.Key(), p.Who, "")
		if _, ok := Sentence(Fallback, p.Key()+".meaning"); !ok || p.From > p.To || len(p.Classes) == 0 {
			t.Errorf("%s is not whole: %+v", p.Key(), p)
		}
	}
}

func TestRowsAndReasonsReferToWhatExists(t *testing.T) {
	check := checker(t)
	ids := make(map[string]bool)
	for _, r := range Rows() {
		check(r.Key(), r.Who, r.Retry)
		if ids[r.ID] {
			t.Errorf("row %s stands twice", r.ID)
		}
		ids[r.ID] = true
		if _, ok := ReasonOf(r.Reason); !ok {
			t.Errorf("row %s has reason %q, which is none", r.ID, r.Reason)
		}
		if r.Contains != strings.ToLower(r.Contains) || r.Contains == "" {
			t.Errorf("row %s looks for %q, which lower-case text never has", r.ID, r.Contains)
		}
		if _, ok := Sentence(Fallback, r.Key()+".cause"); !ok {
			t.Errorf("row %s has no cause in English", r.ID)
		}
	}
	for _, p := range providers().Phrases {
		if _, ok := ReasonOf(p.Reason); !ok {
			t.Errorf("phrase %q has reason %q, which is none", p.Contains, p.Reason)
		}
	}
	for _, m := range []map[string]string{reasons().Codes, reasons().Vague} {
		for code, reason := range m {
			_, isEnhanced := EnhancedCode(code)
			n, _ := strconv.Atoi(code)
			_, isBasic := BasicCode(n)
			if _, ok := ReasonOf(reason); !ok || !isEnhanced && !isBasic {
				t.Errorf("%s stands for %q: one of them is not known", code, reason)
			}
		}
	}
	for _, r := range Reasons() {
		check(r.Key, r.Who, r.Retry)
	}
	for _, o := range Outcomes() {
		check(o.Key, o.Who, o.Retry)
		if _, ok := ReasonOf(o.Reason); !ok {
			t.Errorf("outcome %s has reason %q", o.Key, o.Reason)
		}
		if _, ok := EnhancedCode(o.Enhanced); !ok {
			t.Errorf("outcome %s has enhanced code %s, which is not registered", o.Key, o.Enhanced)
		}
	}
}

func TestLegal(t *testing.T) {
	for _, c := range []struct {
		command string
		code    int
		want    bool
	}{
		{"RCPT", 251, true},
		{"RCPT", 551, true},
		{"RCPT", 252, false},
		{"VRFY", 252, true},
		{"AUTH", 535, true},
		{"AUTH", 530, false},
		{"MAIL", 530, true},
		{"QUIT", 221, true},
		{"QUIT", 421, true},
		{"NOOP", 530, false},
		{"STARTTLS", 503, true},
		{"DATA", 354, true},
		{"CONTENT", 354, false},
		{"BDAT", 354, false},
		{"BDAT", 550, true},
		{"NONSENSE", 500, false},
	} {
		if got := Legal(c.command, c.code); got != c.want {
			t.Errorf("Legal(%s, %d) = %v", c.command, c.code, got)
		}
	}
}

func TestEnhancedCodeGeneralizes(t *testing.T) {
	for code, want := range map[string]string{
		"5.1.1": "X.1.1", "4.1.1": "X.1.1", "X.1.1": "X.1.1", "2.1.5": "X.1.5", "5.7.26": "X.7.26",
		"5.7.999": "", "3.1.1": "", "5.1": "", "5.1.1.1": "", "": "", "5.-1.1": "", "5.1.9999": "", "55.1.1": "",
	} {
		e, ok := EnhancedCode(code)
		if e.Code != want || ok != (want != "") {
			t.Errorf("EnhancedCode(%q) = %q, %v, want %q", code, e.Code, ok, want)
		}
	}
	// the provider's meaning is another one than the registry's
	if p, ok := PrivateCode("Google", "5.7.27", 550); !ok || p.ID != "google-4.7.27" {
		t.Errorf("Google's 5.7.27 is %+v", p)
	}
	if p, ok := PrivateCode("Microsoft", "5.7.620", 550); !ok || p.From != 606 {
		t.Errorf("Microsoft's 5.7.620 is %+v", p)
	}
	if _, ok := PrivateCode("Microsoft", "4.3.2", 451); ok {
		t.Error("Microsoft's 4.3.2 has a meaning of its own with 432 only")
	}
	if _, ok := PrivateCode("", "5.7.27", 550); ok {
		t.Error("a private code without a provider was found")
	}
}

func TestProviderOfHost(t *testing.T) {
	for host, want := range map[string]string{
		"gmail-smtp-in.l.google.com":              "Google",
		"GMAIL-SMTP-IN.L.GOOGLE.COM.":             "Google",
		"example-org.mail.protection.outlook.com": "Microsoft",
		"mta5.am0.yahoodns.net":                   "Yahoo/AOL",
		"mx.example.org":                          "",
		"notgoogle.com":                           "",
		"google.com.example.org":                  "",
		"":                                        "",
		"mx01.mail.icloud.com":                    "Apple iCloud",
		"example-org.h-v1.mx.microsoft":           "Microsoft",
	} {
		if got := ProviderOfHost(host); got != want {
			t.Errorf("ProviderOfHost(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestPhrasesKeepToWords(t *testing.T) {
	for text, want := range map[string]string{
		"550 listed in an rbl.":           "blocklisted_ip",
		"550 marble not delivered":        "",
		"550 youtube links":               "",
		"550 is ube, go away":             "content_spam",
		"451 slow down please":            "rate_limited",
		"530 must issue a starttls first": "encryption_required",
	} {
		p, _ := MatchPhrase(text)
		if p.Reason != want {
			t.Errorf("%q is %q by %q, want %q", text, p.Reason, p.Contains, want)
		}
	}
}

func TestTextFallsBack(t *testing.T) {
	key := "provider.google-001.cause"
	english, _ := Sentence(Fallback, key)
	if s, used := Text("xx", key); s == "" || s != english || used != Fallback {
		t.Errorf("in a language that does not exist Text = %q in %q, want the English one", s, used)
	}
	if s, used := Text("ja", "no.such.key"); s != "" || used != "" {
		t.Errorf("an unknown key gave %q in %q", s, used)
	}
	if _, ok := Sentence("xx", key); ok {
		t.Error("an unknown language has a sentence")
	}
}

func TestMatch(t *testing.T) {
	for tag, want := range map[string]string{"ja": "ja", "ja-JP": "ja", "ja_JP.UTF-8": "ja", "JA": "ja", "de_AT": "de", "xx": "en", "": "en", "C": "en", "en-GB": "en"} {
		if got := Match(tag); got != want {
			t.Errorf("Match(%q) = %q, want %q", tag, got, want)
		}
	}
}

func TestFill(t *testing.T) {
	if got := Fill("{a} and {b}, {c}", "a", "{b}", "b", "2"); got != "{b} and 2, {c}" {
		t.Errorf("Fill = %q: values must not be filled in again", got)
	}
}

func BenchmarkDecodeLanguage(b *testing.B) {
	for _, l := range Languages() {
		b.Run(l.Tag, func(b *testing.B) {
			for b.Loop() {
				if _, err := decodeSentences(l.Tag); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeFacts(b *testing.B) {
	for b.Loop() {
		decodeFacts[basicFile]("basic")()
		decodeFacts[enhancedFile]("enhanced")()
		decodeFacts[reasonFile]("reasons")()
		decodeFacts[providerFile]("providers")()
	}
}
