package control

import (
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/reference"
)

// Every cause of package account is explained, as what it is said on the wire
// and by the commands of its owner; the reference knows no other.
func TestEveryCauseIsExplained(t *testing.T) {
	// all others are one on the wire
	said := map[account.Cause]struct {
		code     int
		enhanced string
	}{
		account.AccountDisabled:     {525, "5.7.13"},
		account.BackendDown:         {454, "4.7.0"},
		account.TooBusy:             {454, "4.7.0"},
		account.Slowed:              {421, "4.7.0"},
		account.MechanismNotOffered: {504, "5.5.4"},
		account.CertificateMissing:  {504, "5.5.4"},
		account.Unencrypted:         {538, "5.7.11"},
		account.WrongPort:           {503, "5.5.1"},
	}
	for _, cause := range account.Causes() {
		want, special := said[cause]
		if !special {
			want.code, want.enhanced = 535, "5.7.8"
		}
		for _, l := range reference.Languages() {
			e, ok := reference.Login(l.Tag, string(cause))
			if !ok || e.Code != want.code || e.Enhanced != want.enhanced {
				t.Fatalf("the cause %q in %s is %d %s, %v; want %d %s", cause, l.Tag, e.Code, e.Enhanced, ok, want.code, want.enhanced)
			}
			f := explained(account.Failure{Cause: cause, Login: "anna@example.org", AppPassword: "k3v9mpqr"}, l.Tag)
			if f.Meaning == "" || f.Fix == "" || strings.ContainsAny(f.Meaning+f.Fix, "{}") {
				t.Errorf("the cause %q in %s is explained as %q, %q", cause, l.Tag, f.Meaning, f.Fix)
			}
		}
	}
	if got, want := len(reference.LoginCauses()), len(account.Causes()); got != want {
		t.Errorf("the reference explains %d causes, package account has %d", got, want)
	}
}

// A command that is to be copied names what is known, and a word to replace
// where nothing is.
func TestCausesNameTheCommand(t *testing.T) {
	f := account.Failure{Cause: account.AppPasswordSuspended, Login: "anna@example.org", AppPassword: "k3v9mpqr"}
	for _, want := range []string{"onward account app-password list anna@example.org", "onward account app-password revoke anna@example.org k3v9mpqr"} {
		if got := explained(f, "en").Fix; !strings.Contains(got, want) {
			t.Errorf("the fix does not name %q: %s", want, got)
		}
	}
	f.Login, f.AppPassword = "", ""
	if got := explained(f, "ja").Fix; !strings.Contains(got, "onward account app-password revoke LOGIN NAME") {
		t.Errorf("the fix of an unknown login is: %s", got)
	}
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	endOf := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d+1, 0, 0, 0, 0, time.Local).UTC() }
	for text, want := range map[string]time.Time{
		"": {}, "never": {}, "90d": now.Add(90 * 24 * time.Hour), "12h": now.Add(12 * time.Hour), "2w": now.Add(14 * 24 * time.Hour),
		"1.5d": now.Add(36 * time.Hour), "1h30m": now.Add(90 * time.Minute), " 1d ": now.Add(24 * time.Hour),
		"2027-01-31": endOf(2027, 1, 31), "2026-12-31": endOf(2026, 12, 31),
	} {
		if got, err := ParseExpiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("ParseExpiry(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"0d", "-1d", "90", "d", "NaNd", "1e9d", "2026-02-30", "2020-01-01", "tomorrow", "9999999999h", "90d;"} {
		if got, err := ParseExpiry(text, now); KindOf(err) != Invalid || err == nil {
			t.Errorf("ParseExpiry(%q) = %v, %v, want an error of kind invalid", text, got, err)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2h": now.Add(-2 * time.Hour), "7d": now.Add(-7 * 24 * time.Hour),
		"2026-11-23":           time.Date(2026, 11, 23, 0, 0, 0, 0, time.Local),
		"2026-11-23 14:05":     time.Date(2026, 11, 23, 14, 5, 0, 0, time.Local),
		"2026-11-23T14:05:00Z": time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC),
	} {
		if got, err := ParseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("ParseSince(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"-2h", "yesterday", "2026-13-01", "7"} {
		if got, err := ParseSince(text, now); err == nil || KindOf(err) != Invalid {
			t.Errorf("ParseSince(%q) = %v, %v, want an error of kind invalid", text, got, err)
		}
	}
}

func TestCheckPassword(t *testing.T) {
	const login = "annabelle.long@example.org"
	for _, good := range []string{"correct horse battery staple 7", "パスワードは長いほどよい", "zX9!zX9!ab", strings.Repeat("abcde", 200)} {
		if err := checkPassword(login, good); err != nil {
			t.Errorf("checkPassword(%q) = %v, want nil", good, err)
		}
		if w := weakness(good); w != "" {
			t.Errorf("weakness(%q) = %q, want none", good, w)
		}
	}
	for weak, rule := range map[string]string{"short": "at least 10", "aaaaaaaaaaaaaaa": "different characters"} {
		if err := checkPassword(login, weak); err != nil || !strings.Contains(weakness(weak), rule) {
			t.Errorf("checkPassword(%q) = %v, weakness = %q, want a warning with %q", weak, err, weakness(weak), rule)
		}
	}
	for bad, rule := range map[string]string{
		"AnnaBelle.Long@example.ORG": "name of the account",
		"annabelle.long":             "name of the account",
		"with\ttab and more":         "cannot be typed",
		"bad \xff utf-8 text":        "UTF-8",
		strings.Repeat("abcde", 300): "at most 1024",
	} {
		if err := checkPassword(login, bad); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("checkPassword(%q) = %v, want an error with %q", bad, err, rule)
		}
	}
}

func TestCleanReference(t *testing.T) {
	for in, want := range map[string]string{
		"abcd-efgh-jkmn-pqrs": "abcd-efgh-jkmn-pqrs", " ABCD-EFGH-jkmn-pqrs. ": "abcd-efgh-jkmn-pqrs", "abcdefghjkmnpqrs": "abcd-efgh-jkmn-pqrs",
		"«abcd efgh jkmn pqrs»": "abcd-efgh-jkmn-pqrs", "abc": "abc", "": "",
		"https://mx.example.org/r/535/abcd-efgh-jkmn-pqrs": "abcd-efgh-jkmn-pqrs", "http://mx.example.org:8080/en/r/535/abcd-efgh-jkmn-pqrs/?x=1": "abcd-efgh-jkmn-pqrs",
		"<https://mx.example.org/ja/r/535/ABCDEFGHJKMNPQRS#top>.": "abcd-efgh-jkmn-pqrs", "/": "",
	} {
		if got := cleanReference(in); got != want {
			t.Errorf("cleanReference(%q) = %q, want %q", in, got, want)
		}
	}
}

// Whatever the line endings are and however the content is cut, the same is
// stored.
func TestCRLFWriter(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a": "a\r\n", "a\nb\n": "a\r\nb\r\n", "a\r\nb\r\n": "a\r\nb\r\n", "a\rb": "a\r\nb\r\n", "\n\n": "\r\n\r\n",
		"a\r\r\n\nb\r": "a\r\n\r\n\r\nb\r\n", "\r\n": "\r\n",
	} {
		for piece := 1; piece <= 3; piece++ {
			var b strings.Builder
			w := &crlfWriter{w: &b}
			for rest := in; rest != ""; {
				n := min(piece, len(rest))
				if _, err := w.Write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			w.end()
			if b.String() != want {
				t.Errorf("%q in pieces of %d is stored as %q, want %q", in, piece, b.String(), want)
			}
		}
	}
}
