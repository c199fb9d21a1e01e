package account

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/sasl"
)

// cheap is a cost for tests.
func cheap() Cost { return Cost{Memory: 8, Passes: 1, Threads: 1} }

func newChecker(d Directory, hashing int) *Checker {
	return NewChecker(d, key, hashing, nil, Policy{Secrets: SecretPolicy{Cost: cheap(), Iterations: 4096}})
}

// try checks credentials of PLAIN, and waits for what is done afterwards.
func (c *Checker) try(t *testing.T, cred sasl.Credentials, client Client) Result {
	cred.Key = -1
	r := c.password(t.Context(), &attempt{policy: c.policy.Load(), cred: cred, client: client, now: now, login: NormalizeLogin(cred.Login)})
	c.Settle(t.Context())
	return r
}

// directory is a Directory of maps for logging in; reads counts its look-ups.
type directory struct {
	Directory
	accounts map[string]*Account
	apps     map[string]*AppPassword
	err      error

	mu       sync.Mutex // guards what follows where logins run side by side
	reads    int
	used     []string
	failures []Failure
	upgraded []Upgrade
}

func (d *directory) Login(_ context.Context, login, id string) (*Account, *AppPassword, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	if d.err != nil {
		return nil, nil, d.err
	}
	acc := d.accounts[login]
	app := d.apps[id]
	if acc == nil || app != nil && app.Login != login {
		app = nil
	}
	return acc, app, nil
}

func (d *directory) Used(u Use) {
	login, id := u.Login, u.AppPassword
	d.used = append(d.used, login+"/"+id)
}

func (d *directory) UpgradeSecret(_ context.Context, u Upgrade) error {
	d.upgraded = append(d.upgraded, u)
	return nil
}

func (d *directory) Failed(f Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures = append(d.failures, f)
}

var (
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key = []byte("0123456789abcdef0123456789abcdef")
)

// newDirectory has an account of each kind, and returns app passwords by what
// they are.
func newDirectory(t *testing.T) (*directory, map[string]string) {
	t.Helper()
	d := &directory{accounts: make(map[string]*Account), apps: make(map[string]*AppPassword)}
	hash, err := HashPassword("correct horse", cheap(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for login, a := range map[string]Account{
		"anna@example.org": {Hash: hash}, "apps@example.org": {}, "off@example.org": {Hash: hash, Disabled: true},
		"broken@example.org": {Hash: "$argon2id$v=19$m=x"},
	} {
		a.Login = login
		d.accounts[login] = &a
	}
	secrets := make(map[string]string)
	for name, p := range map[string]AppPassword{
		"good":    {Login: "anna@example.org"},
		"future":  {Login: "anna@example.org", Expires: now.Add(time.Second)},
		"expired": {Login: "anna@example.org", Expires: now},
		"revoked": {Login: "anna@example.org", Revoked: now.Add(-time.Hour), Expires: now},
		"off":     {Login: "off@example.org"},
		"only":    {Login: "apps@example.org"},
	} {
		secret, id, err := NewAppPassword(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		p.ID, p.Name = id, name
		if p.MAC, err = AppPasswordMAC(key, secret); err != nil {
			t.Fatal(err)
		}
		d.apps[id] = &p
		secrets[name] = secret
	}
	return d, secrets
}

// TestCheck gives every cause its login, and holds the work of all failures
// against each other: one look-up, one argon2.
func TestCheck(t *testing.T) {
	d, apps := newDirectory(t)
	other := apps["good"][:len(apps["good"])-1] + "a"
	if other == apps["good"] {
		other = other[:len(other)-1] + "b"
	}
	strange, _, err := NewAppPassword(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		login, secret string
		cause         Cause // "" is success
		credential    string
	}{
		{"anna@example.org", "correct horse", "", "main"},
		{" Anna@Example.ORG ", "correct horse", "", "main"},
		{"anna@example.org", apps["good"], "", apps["good"][:8]},
		{"anna@example.org", strings.ToUpper(strings.ReplaceAll(apps["good"], "-", " ")), "", apps["good"][:8]},
		{"anna@example.org", apps["future"], "", apps["future"][:8]},
		{"anna@example.org", "wrong horse", WrongPassword, ""},
		{"anna@example.org", "", WrongPassword, ""},
		{"anna@example.org", apps["expired"], AppPasswordExpired, ""},
		{"anna@example.org", apps["revoked"], AppPasswordRevoked, ""},
		{"anna@example.org", other, AppPasswordUnknown, ""},
		{"anna@example.org", strange, AppPasswordUnknown, ""},
		{"anna@example.org", apps["only"], AppPasswordUnknown, ""}, // another account's
		{"apps@example.org", "correct horse", MainPasswordNotSet, ""},
		{"nobody@example.org", "correct horse", UnknownUser, ""},
		{"nobody@example.org", apps["good"], UnknownUser, ""},
		{"anna", "correct horse", DomainMissing, ""},
		{"off@example.org", "correct horse", AccountDisabled, ""},
		{"off@example.org", apps["off"], AccountDisabled, ""},
		{"off@example.org", "wrong horse", WrongPassword, ""}, // only the right secret hears of it
	} {
		t.Run(tt.login+"/"+tt.secret, func(t *testing.T) {
			var hashed atomic.Int64
			c := newChecker(d, 0)
			c.hashing = func() { hashed.Add(1) }
			d.reads, d.used, d.failures = 0, nil, nil
			res := c.try(t, sasl.Credentials{Mechanism: "PLAIN", Login: tt.login, Secret: tt.secret}, Client{})
			if res.Cause != tt.cause || res.Credential != tt.credential || res.Err != nil {
				t.Errorf("got %+v, want cause %q, credential %q", res, tt.cause, tt.credential)
			}
			if d.reads != 1 {
				t.Errorf("%d look-ups", d.reads)
			}
			if tt.cause == "" {
				if res.Login != NormalizeLogin(tt.login) || res.Reference != "" || len(d.used) != 1 || len(d.failures) != 0 {
					t.Errorf("success gave %+v, used %v, failures %v", res, d.used, d.failures)
				}
				return
			}
			if hashed.Load() != 1 {
				t.Errorf("%d argon2 computations for a failed login, want 1 whatever was wrong", hashed.Load())
			}
			if res.Login != "" || len(d.used) != 0 || len(d.failures) != 1 || d.failures[0].Reference != res.Reference || d.failures[0].Cause != tt.cause {
				t.Errorf("failure gave %+v, used %v, failures %v", res, d.used, d.failures)
			}
		})
	}
}

// TestActAsAnother: an authorization identity other than the login is refused.
func TestActAsAnother(t *testing.T) {
	d, apps := newDirectory(t)
	c := newChecker(d, 0)
	for _, secret := range []string{"correct horse", apps["good"]} {
		for as, want := range map[string]Cause{"": "", "ANNA@example.org": "", "boss@example.org": ActsAsOther} {
			res := c.try(t, sasl.Credentials{Login: "anna@example.org", Authorize: as, Secret: secret}, Client{})
			if res.Cause != want {
				t.Errorf("acting as %q: cause %q, want %q", as, res.Cause, want)
			}
		}
	}
}

// TestBackendDown: trouble of ours is no rejected password, and is not blamed on
// the user.
func TestBackendDown(t *testing.T) {
	d, _ := newDirectory(t)
	c := newChecker(d, 0)
	cred := sasl.Credentials{Login: "broken@example.org", Secret: "correct horse"}
	if res := c.try(t, cred, Client{}); res.Cause != BackendDown || !errors.Is(res.Err, errHash) {
		t.Errorf("a hash that cannot be read gave %+v", res)
	}
	d.err = errors.New("the disk fails")
	cred.Login = "anna@example.org"
	if res := c.try(t, cred, Client{}); res.Cause != BackendDown || !errors.Is(res.Err, d.err) {
		t.Errorf("a failing directory gave %+v", res)
	}
	for _, f := range d.failures {
		if f.Cause != BackendDown {
			t.Errorf("our trouble was noted as %v", f)
		}
	}
}

// TestNames: a name that matches no account is not kept.
func TestNames(t *testing.T) {
	d, _ := newDirectory(t)
	c := newChecker(d, 0)
	for name, want := range map[string]string{
		"hunter2@example.org": "hu", "ß": "ß", "日本語": "日本", "\x1b[31mred": "", "\xff\xfe\xfd": "", "a\x00b": "",
	} {
		d.failures = nil
		c.try(t, sasl.Credentials{Login: name, Secret: "x"}, Client{})
		f := d.failures[0]
		if f.Login != "" || f.NameHint != want || !c.NameMatches(f, " "+strings.ToUpper(name)) || c.NameMatches(f, "x"+name) {
			t.Errorf("%q is kept as %+v, want the hint %q", name, f, want)
		}
	}
}

// TestHashing: no more argon2 computations at once than asked for, and who
// waits too long is told to come again.
func TestHashing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := newDirectory(t)
		var mu sync.Mutex // guards running, most, results
		running, most := 0, 0
		results := make(map[Cause]int)
		c := newChecker(d, 2)
		c.hashing = func() {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(4 * time.Second)
			mu.Lock()
			running--
			mu.Unlock()
		}
		locked := &lockedDirectory{Directory: d}
		c.directory = locked
		var done sync.WaitGroup
		for range 10 {
			done.Go(func() {
				res := c.try(t, sasl.Credentials{Login: "anna@example.org", Secret: "wrong"}, Client{})
				mu.Lock()
				defer mu.Unlock()
				results[res.Cause]++
			})
		}
		done.Wait()
		// Two at a time, 4 s each: after 10 s six have had their turn.
		if most != 2 || results[WrongPassword] != 6 || results[TooBusy] != 4 {
			t.Errorf("%d at once; results %v", most, results)
		}
	})
}

type lockedDirectory struct {
	Directory
	mu sync.Mutex // guards Directory
}

func (d *lockedDirectory) Login(ctx context.Context, login, id string) (*Account, *AppPassword, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Directory.Login(ctx, login, id)
}

func (d *lockedDirectory) Failed(f Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Directory.Failed(f)
}

func TestReferences(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		r := NewReference(rand.Reader)
		if len(r) != 19 || strings.Count(r, "-") != 3 || seen[r] {
			t.Fatalf("reference %q", r)
		}
		seen[r] = true
	}
}

func TestMaySend(t *testing.T) {
	a := &Account{Login: "anna@example.org", Identities: []string{"info@example.org", "@example.com"}}
	for sender, want := range map[string]bool{
		"anna@example.org": true, "ANNA@example.org": true, "info@example.org": true, "any@example.com": true,
		"boss@example.org": false, "any@sub.example.com": false, "any@example.net": false, "anna@example.org.example.net": false,
		`"anna@example.org"@example.net`: false,
	} {
		if got := a.MaySend(address.MustMailbox(sender)); got != want {
			t.Errorf("%s: %v", sender, got)
		}
	}
	if !a.MaySend(address.Mailbox{}) {
		t.Error("the null reverse-path is everybody's")
	}
}

// TestNormalizeLogin: a login is one account's however it is written, and its
// normal form is that of mailboxes, so that the account may send as itself.
func TestNormalizeLogin(t *testing.T) {
	for login, want := range map[string]string{
		" Anna@Example.ORG ": "anna@example.org", "anna": "anna", "": "", "ANNA": "anna", "a b@example.org": "a b@example.org",
		"Anna@Bücher.example": "anna@xn--bcher-kva.example", "anna@xn--bcher-kva.example": "anna@xn--bcher-kva.example",
		"JÜRGEN@example.org": "jürgen@example.org", "ju\u0308rgen@example.org": "jürgen@example.org", "日本語": "日本語", "ü\xff@example.org": "ü\ufffd@example.org",
	} {
		got := NormalizeLogin(login)
		if got != want || NormalizeLogin(got) != got {
			t.Errorf("%q: %q, want %q; and once more: %q", login, got, want, NormalizeLogin(got))
		}
		if m, err := address.ParseMailbox(got); err == nil && m.Key() != got {
			t.Errorf("%q: %q may not send as %q", login, got, m.Key())
		}
	}
}

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		p    AppPassword
		want string
	}{
		{AppPassword{}, "active"},
		{AppPassword{Expires: now.Add(1)}, "active"},
		{AppPassword{Expires: now}, "expired"},
		{AppPassword{Revoked: now.Add(time.Hour)}, "revoked"},
		{AppPassword{Revoked: now, Expires: now.Add(-time.Hour)}, "revoked"},
	} {
		if got := tt.p.Status(now); got != tt.want {
			t.Errorf("%+v is %s, want %s", tt.p, got, tt.want)
		}
	}
}
