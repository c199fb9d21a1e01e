package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Load(Source{Name: "onward.toml", Directory: "/etc/onward", Content: []byte(text), Hostname: "box.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBad reads a folder of broken configurations. The lines at the end of each that begin with "# want: " are, without
// that, exactly what the error must say.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(content)) {
				if w, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, strings.TrimSpace(w))
				}
			}
			_, err = Load(Source{Name: "onward.toml", Directory: "/etc/onward", Content: content, Hostname: "box.example.org"})
			got := "no error"
			if err != nil {
				got = err.Error()
			}
			if *update && err != nil {
				bare, _, _ := strings.Cut(string(content), "\n# want: ")
				bare = strings.TrimRight(bare, "\n") + "\n\n# want: " + strings.ReplaceAll(got, "\n", "\n# want: ") + "\n"
				if err := os.WriteFile(file, []byte(bare), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != strings.Join(want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
			}
		})
	}
}

// usualLogin is what a file without [login] says about logins.
func usualLogin() Login {
	return Login{
		SCRAM: ScramAuto, Iterations: 16384, Argon2Memory: 19 << 20, Argon2Passes: 2,
		Guesses: Guesses{Delay: 5, Ban: 20, BanTime: 15 * time.Minute, Exempt: []netip.Prefix{}},
		Limits:  LoginLimits{MessagesHour: 300, MessagesDay: 2000, RecipientsHour: 1000, RecipientsDay: 5000, NewRecipientsDay: 500},
		Alarm:   LoginAlarm{Networks: 4, TimesUsual: 10, Messages: 100, UnknownRecipients: 50},
	}
}

// TestNestedTables: a table in a section may be written in either way.
func TestNestedTables(t *testing.T) {
	for _, text := range []string{
		"[login]\nlimits.messages_hour = 7\nalarm = { networks = 9 }\n",
		"[login.limits]\nmessages_hour = 7\n[login.alarm]\nnetworks = 9\n",
	} {
		got := load(t, text).Login
		if got.Limits.MessagesHour != 7 || got.Limits.MessagesDay != 2000 || got.Alarm.Networks != 9 {
			t.Errorf("%s\n%+v", text, got)
		}
	}
}

// TestDefaults is the configuration of a server that has no file.
func TestDefaults(t *testing.T) {
	got := load(t, "")
	got.settings = nil
	want := &Config{
		Hostname: "box.example.org",
		Data:     "/etc/onward/onward-data",
		Listen: Listen{
			MX: []string{"127.0.0.1:2525"}, Submission: []string{"127.0.0.1:2587"},
			Submissions: []string{"127.0.0.1:2465"}, Web: []string{"127.0.0.1:8080"},
			LMTP: []string{}, Proxied: []string{}, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		},
		TLS:     TLS{Web: "auto", Chains: []string{}},
		XClient: XClient{Networks: []netip.Prefix{}},
		Checks:  Checks{BlockLists: []string{}, ReverseDNS: "off", Hello: "off", SenderDomain: "off", BareLF: "refuse", Verify: "users", Exempt: []netip.Prefix{}},
		Rules:   Rules{Clients: []Rule{}, Senders: []Rule{}, Recipients: []Rule{}},
		Milters: Milters{Servers: []string{}, Failure: "defer", Timeout: 30 * time.Second},
		Web:     Web{Links: true},
		Relay:   Relay{Networks: []netip.Prefix{}},
		Queue: Queue{
			Retry: []time.Duration{
				time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
			},
			Expire: 5 * 24 * time.Hour, DelayNotice: 4 * time.Hour,
		},
		Login: usualLogin(),
		Limits: Limits{
			MessageSize: 50_000_000, Recipients: 1000, Messages: 1000, ConnectionsPerNetwork: 500, ConnectionRate: 300, Receiving: 1000, Block: 5 * time.Minute, Known: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, Connections: 10_000, ConnectionsPerAddress: 250, Errors: 20,
			FreeDisk: 200_000_000, CommandTimeout: 5 * time.Minute, DataTimeout: 5 * time.Minute,
		},
		Delivery: Delivery{
			TLS: Opportunistic, Connections: 100, ConnectionsPerDestination: 20, EightBit: EightBitRefuse, ConnectTimeout: 30 * time.Second,
			CommandTimeout: 5 * time.Minute, Source: []netip.Addr{},
		},
		Mailboxes: Mailboxes{Path: "/etc/onward/onward-data/mailboxes"},
		Log:       Log{Level: "info", Format: "text"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestHostname: a name of the system that is no host name is not taken.
func TestHostname(t *testing.T) {
	for system, want := range map[string]string{
		"mx.example.org": "mx.example.org", "MX.Example.ORG.": "mx.example.org", "": "localhost", "a b": "localhost", "[127.0.0.1]": "localhost",
	} {
		c, err := Load(Source{Name: "onward.toml", Hostname: system})
		if err != nil || c.Hostname != want {
			t.Errorf("system %q: %v, %v; want %q", system, c, err, want)
		}
	}
}

// TestGood reads the shapes that outside scripts rely on.
func TestGood(t *testing.T) {
	content, err := os.ReadFile("testdata/good/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, string(content))
	c.settings = nil
	want := &Config{
		Hostname: "mx.example.org",
		Data:     "/var/lib/onward",
		Listen: Listen{
			MX: []string{"127.0.0.1:2525", "[::1]:2525"}, Submission: []string{":587"}, Submissions: []string{":465"}, Web: []string{},
			LMTP: []string{}, Proxied: []string{}, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		},
		TLS:     TLS{Certificate: "/etc/onward/fullchain.pem", Key: "/etc/onward/privkey.pem", Web: "auto", Chains: []string{}},
		XClient: XClient{Networks: []netip.Prefix{}},
		Checks:  Checks{BlockLists: []string{}, ReverseDNS: "off", Hello: "off", SenderDomain: "off", BareLF: "refuse", Verify: "users", Exempt: []netip.Prefix{}},
		Rules:   Rules{Clients: []Rule{}, Senders: []Rule{}, Recipients: []Rule{}},
		Milters: Milters{Servers: []string{}, Failure: "defer", Timeout: 30 * time.Second},
		Web:     Web{Links: true},
		Relay:   Relay{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}},
		Routes: []Route{
			{Match: "xn--bcher-kva.example", Host: "192.0.2.8", Port: 25, TLS: Require},
			{Match: "example.com", MX: true, TLS: Require},
			{Match: "example.net", Host: "127.0.0.1", Port: 2526, TLS: Require},
			{Match: ".deep.example.net", Host: "2001:db8::2", Port: 25, TLS: None},
			{Match: ".example.net", Host: "mail.example.net", Port: 465, TLS: Implicit},
			{
				Match: "*", Host: "smtp.provider.example", Port: 587, TLS: Require,
				Username: "u", PasswordFile: "/etc/onward/provider.password",
			},
		},
		DNS: DNS{Servers: []string{"127.0.0.1:53", "[::1]:5353"}, TrustAD: true},
		Queue: Queue{
			Retry: []time.Duration{100 * time.Millisecond, 90 * time.Minute}, Expire: 14 * 24 * time.Hour,
		},
		Login: usualLogin(),
		Limits: Limits{
			MessageSize: 50 << 20, Recipients: 100, Messages: 1000, ConnectionsPerNetwork: 500, ConnectionRate: 300, Receiving: 1000, Block: 5 * time.Minute, Known: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, Connections: 50, ConnectionsPerAddress: 5, Errors: 3,
			FreeDisk: 0, CommandTimeout: time.Minute, DataTimeout: 2 * time.Minute,
		},
		Delivery: Delivery{
			TLS: Require, Connections: 10, ConnectionsPerDestination: 2, EightBit: EightBitRefuse, ConnectTimeout: 5 * time.Second,
			CommandTimeout: time.Minute, Source: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		},
		User:      User{RunAs: "onward"},
		Mailboxes: Mailboxes{Path: "/etc/onward/mail"},
		Log:       Log{Level: "debug", Format: "json"},
		Reports:   Reports{Postmaster: address.MustMailbox("anna@example.org")},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestRouteFor(t *testing.T) {
	c := load(t, `
[routes]
"example.net" = "a"
".example.net" = "b"
".deep.example.net" = "c"
"example.com" = "mx"
"*" = "d"
`)
	for domain, want := range map[string]string{
		"example.net": "a", "www.example.net": "b", "deep.example.net": "b", "x.deep.example.net": "c", "example.com": "",
		"notexample.net": "d", "net": "d",
	} {
		if r, ok := c.RouteFor(domain); !ok || r.Host != want || r.MX != (want == "") {
			t.Errorf("%s: %+v, %v; want host %q", domain, r, ok, want)
		}
	}
	if r, ok := load(t, "").RouteFor("example.net"); ok {
		t.Errorf("without routes: %+v", r)
	}
}

// TestSettings: each key has its value, its text is what the file holds, and where it came from is known.
func TestSettings(t *testing.T) {
	c := load(t, "[limits]\n\nmessage_size = \"1MB\"\nerrors = 5\n[routes]\n\"*\" = { tls = 'none', host = \"h\" }\n")
	got := make(map[string]Setting)
	for _, s := range c.Settings() {
		got[s.Key] = s
	}
	for _, want := range []Setting{
		{"limits.message_size", `"1MB"`, 3},
		{"limits.errors", "5", 4},
		{"limits.recipients", "1000", 0},
		{"hostname", `"box.example.org"`, 0},
		{"tls.certificate", "a self-signed one, made at first start", 0},
		{`routes."*"`, `{ host = "h", tls = "none" }`, 6},
	} {
		if got[want.Key] != want {
			t.Errorf("got %+v, want %+v", got[want.Key], want)
		}
	}
	if n := len(specs()) + 1; len(c.Settings()) != n {
		t.Errorf("%d settings, want %d", len(c.Settings()), n)
	}
	c.Settings()[0].Value = "changed"
	if c.Settings()[0].Value == "changed" {
		t.Error("the snapshot can be changed from outside")
	}
}

// TestKeys: the table is fit to be read.
func TestKeys(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range Keys() {
		if seen[k.Name] || k.Type == "" || k.Default == "" || k.Allowed == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("not fit: %+v", k)
		}
		seen[k.Name] = true
	}
}

// TestLines: the line is that of the key, in dotted, inline and multi-line forms.
func TestLines(t *testing.T) {
	for text, want := range map[string]int{
		"listen.mx = 'x'": 1,
		"[listen]\nmx = [\n  '127.0.0.1:25',\n  'x',\n]":              2,
		"\r\n\r\n[listen]\r\nmx = ['x']":                              4,
		"[listen]\nweb = []\n'mx' = ['x']":                            3,
		"listen = { web = [], mx = ['x'] }":                           1,
		"hostname = '''\nmx.example.org'''\n[listen]\nmx = ['x']\n":   4,
		"[routes.'*']\nhost = 'h'\n\ntls = 'x'":                       4,
		"[routes]\n'a.example' = 'h'\n'*' = {\n host='h', \ntls='x'}": 5,
	} {
		_, err := Load(Source{Name: "f", Content: []byte(text)})
		var all Errors
		if !errors.As(err, &all) || len(all) != 1 || all[0].Line != want {
			t.Errorf("%q: %v; want line %d", text, err, want)
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "onward.toml")
	if err := os.WriteFile(file, []byte("data = \"d\"\n[listen]\nmx = []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadFile(file, "box.example.org")
	if err != nil || c.Data != filepath.Join(dir, "d") || len(c.Listen.MX) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	t.Chdir(dir)
	if c, err = ReadFile("onward.toml", ""); err != nil || !filepath.IsAbs(c.Data) {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = ReadFile("none.toml", "")
	if err == nil || err.Error() != "none.toml: there is no such file; name another with --config, or start without one to run with the defaults" {
		t.Error(err)
	}
	if _, err = ReadFile(dir, ""); err == nil {
		t.Error("a folder was read")
	}
	if err := os.WriteFile(file, slices.Repeat([]byte("#"), MaxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = ReadFile(file, ""); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Error(err)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"networks", "mx", "web", "connections", "connections_per_address"}
	for word, want := range map[string]string{
		"netwrks": "networks", "network": "networks", "netwroks": "networks", "mxx": "mx", "conections": "connections",
		"xyz": "", "": "", "submission": "", "connections_per": "connections", strings.Repeat("a", 1000): "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// FuzzLoad: whatever is in the file, there is a whole Config or an error that names the file, and a Config's own settings
// can be read again.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.toml", "testdata/bad/*.toml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := Load(Source{Name: "f", Directory: "/d", Content: content, Hostname: "h.example"})
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f:") && !strings.HasPrefix(line, "\t") {
					t.Fatalf("an error without the file: %q", err)
				}
			}
			return
		}
		if len(c.Queue.Retry) == 0 || c.Queue.Expire <= 0 || c.Limits.MessageSize <= 0 || !filepath.IsAbs(c.Data) || c.Hostname == "" {
			t.Fatalf("not whole: %+v", c)
		}
		for _, r := range c.Routes {
			if !r.MX && (r.Host == "" || r.Port == 0) || r.TLS == "" {
				t.Fatalf("not whole: %+v", r)
			}
		}
		for _, p := range c.Relay.Networks {
			if p != p.Masked() || p.Bits() < minBits6 {
				t.Fatalf("network %v", p)
			}
		}
		var again strings.Builder
		for _, s := range c.Settings() {
			if s.Line > 0 {
				again.WriteString(s.Key + " = " + s.Value + "\n")
			}
		}
		second, err := Load(Source{Name: "g", Directory: "/d", Content: []byte(again.String()), Hostname: "h.example"})
		if err != nil {
			t.Fatalf("settings do not read back: %v\n%s", err, again.String())
		}
		c.settings, second.settings = nil, nil
		if !reflect.DeepEqual(c, second) {
			t.Fatalf("read back differently:\n%+v\n%+v", c, second)
		}
	})
}

// TestRelativePaths: every path of a file begins at the file's folder.
func TestRelativePaths(t *testing.T) {
	c := load(t, `data = "d"
[listen]
sendmail = "run/sendmail.sock"
accounts = "run/accounts.sock"
[tls]
certificate = "c.pem"
key = "k.pem"
chains = ["x.pem"]
[login]
client_ca = "ca.pem"
[mailboxes]
path = "m"
`)
	for name, got := range map[string]string{
		"d": c.Data, "run/sendmail.sock": c.Listen.Sendmail, "run/accounts.sock": c.Listen.Accounts, "c.pem": c.TLS.Certificate, "k.pem": c.TLS.Key,
		"x.pem": c.TLS.Chains[0], "ca.pem": c.Login.ClientCA, "m": c.Mailboxes.Path,
	} {
		if got != "/etc/onward/"+name {
			t.Errorf("%s became %s", name, got)
		}
	}
}
