package notice

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/mail"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/reference"
)

var update = flag.Bool("update", false, "rewrite the notices in testdata; read the difference before you keep it")

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

func sample(kind Kind, lang string) Notice {
	n := Notice{
		Kind: kind, Hostname: "mx.example.org", Login: "anna@example.org", To: address.MustMailbox("anna@example.org"), Lang: lang,
		MessageID: "<random@mx.example.org>", Now: noon,
		Alarm:   Alarm{At: noon, Kind: "sudden_volume", Count: 101, Usual: 3, From: netip.MustParseAddr("203.0.113.7")},
		Strict:  Strict{Until: noon.Add(24 * time.Hour), PerHour: 20, PerDay: 50},
		Reached: Reached{Name: "new_recipients_day", Number: 500, Until: noon.Add(3 * time.Hour)},
	}
	if kind == Expiry || kind == Suspended {
		n.AppPassword = AppPassword{
			ID: "bbbbbbbb", Name: "téléphone", Expires: noon.Add(14 * 24 * time.Hour),
			LastUse: noon.Add(-time.Hour), LastAddress: netip.MustParseAddr("192.0.2.1"), LastClient: "phone.example.net",
		}
	}
	return n
}

var kinds = map[Kind]string{Expiry: "expiry", Suspended: "suspended", MainPassword: "main", Limit: "limit"}

// compose composes a notice and takes it apart again as a mail program would.
func compose(t *testing.T, n Notice) (m *mail.Message, text string) {
	t.Helper()
	c, err := Compose(n)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.SplitAfter(c.Content, []byte("\n")) {
		if len(line) > 1000 || len(line) > 0 && !bytes.HasSuffix(line, []byte("\r\n")) || bytes.Count(line, []byte("\r")) > 1 {
			t.Errorf("line %d is no line of a message: %q", i, line)
		}
		for _, o := range line {
			if o > 126 && !c.UTF8 || o < ' ' && o != '\r' && o != '\n' && o != '\t' {
				t.Errorf("line %d is not 7-bit text: %q", i, line)
				break
			}
		}
	}
	if m, err = mail.ReadMessage(bytes.NewReader(c.Content)); err != nil {
		t.Fatal(err)
	}
	return m, strings.ReplaceAll(dsn.Readable(c.Content), "\r", "")
}

// TestNotices: every kind in every language, as it is read.
func TestNotices(t *testing.T) {
	for _, l := range reference.Languages() {
		var all strings.Builder
		for kind := Expiry; kind <= Limit; kind++ {
			n := sample(kind, l.Tag)
			m, text := compose(t, n)
			c, _ := Compose(n)
			if strings.ContainsAny(text+c.Subject, "{}") {
				t.Errorf("%s in %s: a placeholder is left:\n%s", kinds[kind], l.Tag, text)
			}
			for name, want := range map[string]string{"Auto-Submitted": "auto-generated", "To": "anna@example.org", "Message-Id": "<random@mx.example.org>", "Content-Language": l.Tag} {
				if got := m.Header.Get(name); got != want {
					t.Errorf("%s in %s: %s is %q, want %q", kinds[kind], l.Tag, name, got, want)
				}
			}
			if from, err := m.Header.AddressList("From"); err != nil || from[0].Address != "postmaster@mx.example.org" {
				t.Errorf("%s in %s: From: %v %v", kinds[kind], l.Tag, from, err)
			}
			fmt.Fprintf(&all, "==== %s: %s\n\n%s\n", kinds[kind], c.Subject, text)
		}
		file := "testdata/" + l.Tag + ".txt"
		if *update {
			if err := os.WriteFile(file, []byte(all.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if all.String() != string(want) {
			t.Errorf("%s is not what is composed; run the test with -update and read the difference", file)
		}
	}
}

// TestStrangersWords: what others chose stays in its place.
func TestStrangersWords(t *testing.T) {
	n := sample(Expiry, "en")
	n.AppPassword.Name = "x\r\nBcc: eve@example.com\r\n\r\n{date} \x1b[2J"
	n.AppPassword.LastClient = "y\n    onward account remove anna@example.org\u202e"
	n.Login = "o'brien --x@example.org"
	m, text := compose(t, n)
	if m.Header.Get("Bcc") != "" || strings.Contains(text, "\nBcc") || strings.ContainsAny(text, "\x1b\u202e") || strings.Contains(text, "\n    onward account remove") {
		t.Errorf("%v\n%s", m.Header, text)
	}
	if !strings.Contains(text, `add 'o'\''brien --x@example.org' --name`) {
		t.Errorf("the login is not quoted for a shell:\n%s", text)
	}
}

func TestWhatCannotBeComposed(t *testing.T) {
	for what, spoil := range map[string]func(n *Notice){
		"host": func(n *Notice) { n.Hostname = "" }, "id": func(n *Notice) { n.MessageID = "" },
		"to": func(n *Notice) { n.To = address.Mailbox{} }, "kind": func(n *Notice) { n.Kind = 0 },
		"app password": func(n *Notice) { n.AppPassword = AppPassword{} },
	} {
		n := sample(Suspended, "en")
		spoil(&n)
		if _, err := Compose(n); !errors.Is(err, ErrNotice) {
			t.Errorf("without %s: %v", what, err)
		}
	}
	n := sample(Suspended, "xx")
	n.Alarm = Alarm{At: noon, Text: "by hand"}
	n.Hostname, n.To = "no host name", address.MustMailbox("änna@example.org")
	if _, text := compose(t, n); !strings.Contains(text, "by hand") || !strings.Contains(text, "postmaster@localhost") {
		t.Error(text)
	}
	if c, err := Compose(n); err != nil || !c.UTF8 {
		t.Errorf("%v", err)
	}
}

// TestOwnCommands: where owners can do it themselves, the notice names what they
// type, but for what only an administrator does.
func TestOwnCommands(t *testing.T) {
	for kind, want := range map[Kind][]string{
		Expiry:       {"onward my app-password add --name NAME --expires 90d --login anna@example.org"},
		Suspended:    {"onward my app-password resume bbbbbbbb --login anna@example.org", "onward my usage --login anna@example.org"},
		MainPassword: {"onward my passwd --login anna@example.org", "onward my app-password resume main --login anna@example.org"},
		Limit:        {"onward my app-password list --login anna@example.org", "onward account limits anna@example.org --new-recipients-day 1000"},
	} {
		n := sample(kind, "en")
		n.Own = true
		_, text := compose(t, n)
		for _, w := range want {
			if !strings.Contains(text, "    "+w+"\n") {
				t.Errorf("%s: %q is not in\n%s", kinds[kind], w, text)
			}
		}
		if kind != Limit && strings.Contains(text, "onward account") {
			t.Errorf("%s names an administrator's command:\n%s", kinds[kind], text)
		}
	}
}
