package account

import (
	"context"
	"crypto/rand"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"github.com/onwardmail/onward/internal/sasl"
)

// overTLS is a client that may use every mechanism but EXTERNAL.
func overTLS() Client {
	return Client{Remote: netip.MustParseAddr("198.51.100.7"), TLS: "TLS1.3", Service: "submission", Binding: func(kind string) []byte {
		if kind == "tls-exporter" {
			return []byte("0123456789abcdef0123456789abcdef")
		}
		return nil
	}}
}

func (d *directory) Secrets(_ context.Context, login string) (*Account, []AppPassword, error) {
	d.reads++
	var all []AppPassword
	for _, p := range d.apps {
		if p.Login == login {
			all = append(all, *p)
		}
	}
	return d.accounts[login], all, d.err
}

func (d *directory) WithoutKeys(context.Context) (int, error) { return 0, d.err }

func (d *directory) AddAccount(_ context.Context, a Account) error {
	d.accounts[a.Login] = &a
	return nil
}

// salted gives every secret of the directory keys for SCRAM.
func salted(t *testing.T, d *directory, apps map[string]string) {
	t.Helper()
	policy := SecretPolicy{Cost: cheap(), Iterations: 4096}
	for _, a := range d.accounts {
		if _, err := policy.Salted(a, rand.Reader); err != nil {
			t.Fatal(err)
		}
		if a.Hash != "" && a.Login != "broken@example.org" {
			keys, err := policy.KeysFor(a, "correct horse")
			if err != nil {
				t.Fatal(err)
			}
			a.Keys = keys
		}
	}
	for _, secret := range apps {
		p := d.apps[secret[:8]]
		keys, err := policy.KeysFor(d.accounts[p.Login], secret)
		if err != nil {
			t.Fatal(err)
		}
		p.Keys = keys
	}
}

// proves plays SCRAM-SHA-256 with another client than ours.
func proves(t *testing.T, c *Checker, login, secret string) Result {
	t.Helper()
	client, err := scram.SHA256.NewClient(login, secret, "")
	if err != nil {
		t.Fatal(err)
	}
	e, no := c.Begin(t.Context(), "SCRAM-SHA-256", Client{TLS: "TLS1.2"}, now)
	if no != Allowed {
		t.Fatalf("refused: %d", no)
	}
	conv := client.NewConversation()
	said, err := conv.Step("")
	for err == nil {
		a := e.Next(t.Context(), []byte(said), now)
		if a.Done {
			c.Settle(t.Context())
			if a.Result.Cause == "" && !conv.Valid() {
				t.Error("the server has proved nothing")
			}
			return a.Result
		}
		said, err = conv.Step(string(a.Challenge))
	}
	t.Fatal(err)
	return Result{}
}

// TestProofs: SCRAM by the main password and by app passwords; what speaks against
// a right secret is found, and everything that fails does the same work.
func TestProofs(t *testing.T) {
	d, apps := newDirectory(t)
	salted(t, d, apps)
	var hashed atomic.Int64
	c := newChecker(d, 0)
	c.hashing = func() { hashed.Add(1) }
	work := make(map[int64]bool)
	for _, tt := range []struct {
		login, secret string
		cause         Cause
	}{
		{"anna@example.org", "correct horse", ""},
		{"Anna@Example.org", apps["good"], ""},
		{"anna@example.org", "wrong horse", WrongSecret},
		{"anna@example.org", apps["expired"], AppPasswordExpired},
		{"anna@example.org", apps["revoked"], AppPasswordRevoked},
		{"nobody@example.org", "correct horse", UnknownUser},
		{"anna", "correct horse", DomainMissing},
		{"off@example.org", "correct horse", AccountDisabled},
		{"off@example.org", "wrong horse", WrongSecret},
	} {
		d.reads, d.failures = 0, nil
		hashed.Store(0)
		r := proves(t, c, tt.login, tt.secret)
		if r.Cause != tt.cause || r.Err != nil || d.reads != 1 {
			t.Errorf("%s with %q: %+v, %d look-ups", tt.login, tt.secret, r, d.reads)
		}
		work[hashed.Load()] = true
	}
	if len(work) != 1 {
		t.Errorf("the work differs: %v operations", work)
	}
}

// TestUnknownNamesLookReal: a name without an account has a salt and iterations,
// always the same ones.
func TestUnknownNamesLookReal(t *testing.T) {
	d, _ := newDirectory(t)
	c := newChecker(d, 0)
	first := func(name string) string {
		e, _ := c.Begin(t.Context(), "SCRAM-SHA-256", overTLS(), now)
		a := e.Next(t.Context(), []byte("n,,n="+name+",r=abc"), now)
		_, salt, _ := strings.Cut(string(a.Challenge), ",s=")
		return salt
	}
	if one, again, other := first("x@example.org"), first("x@example.org"), first("y@example.org"); one != again || one == other || !strings.HasSuffix(one, ",i=4096") {
		t.Errorf("%q, %q, %q", one, again, other)
	}
}

// TestAdmission: what speaks against an app password that is right.
func TestAdmission(t *testing.T) {
	d, apps := newDirectory(t)
	c := newChecker(d, 0)
	p := d.apps[apps["good"][:8]]
	for cause, change := range map[Cause]func(*AppPassword){
		AppPasswordIdle:      func(p *AppPassword) { p.Idle, p.LastUse = time.Hour, now.Add(-time.Hour) },
		AppPasswordSuspended: func(p *AppPassword) { p.Suspended, p.SuspendedWhy = now, "sudden_volume" },
		AppPasswordNetwork:   func(p *AppPassword) { p.Scope.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
	} {
		old := *p
		change(p)
		d.failures = nil
		got := plainly(t, c, "anna@example.org", apps["good"])
		if f := d.failures; got.Cause != cause || len(f) != 1 || f[0].AppPassword != p.ID {
			t.Errorf("want %s, got %+v, noted %+v", cause, got, f)
		}
		*p = old
	}
	d.accounts["anna@example.org"].AppOnly = true
	if got := plainly(t, c, "anna@example.org", "correct horse"); got.Cause != AppPasswordRequired {
		t.Errorf("%+v", got)
	}
	if got := plainly(t, c, "anna@example.org", apps["good"]); got.Cause != "" {
		t.Errorf("%+v", got)
	}
}

// plainly plays PLAIN from beginning to end.
func plainly(t *testing.T, c *Checker, login, secret string) Result {
	t.Helper()
	e, no := c.Begin(t.Context(), "PLAIN", overTLS(), now)
	if no != Allowed {
		t.Fatalf("refused: %d", no)
	}
	a := e.Next(t.Context(), []byte("\x00"+login+"\x00"+secret), now)
	c.Settle(t.Context())
	return a.Result
}

// TestDiagnosis: what a wrong password was meant to be is found after the reply.
func TestDiagnosis(t *testing.T) {
	for secret, want := range map[string]Cause{
		"correct horse ": SpaceAdded, "CORRECT HORSE": CaseSwapped, "Y29ycmVjdCBob3JzZQ==": Base64Twice, "correct house": WrongPassword,
		"Password:": PromptSent,
	} {
		d, _ := newDirectory(t)
		c := newChecker(d, 0)
		plainly(t, c, "anna@example.org", secret)
		if len(d.failures) != 1 || d.failures[0].Cause != want {
			t.Errorf("%q: %+v", secret, d.failures)
		}
	}
	if got := straighten("it\u2019s \u201cquoted\u201d"); got != `it's "quoted"` {
		t.Errorf("%q", got)
	}
}

// TestUpgrade: a password that is kept worse than today's is kept anew, with keys.
func TestUpgrade(t *testing.T) {
	d, _ := newDirectory(t)
	c := newChecker(d, 0)
	p := Policy{Secrets: SecretPolicy{Cost: Cost{Memory: 64, Passes: 2, Threads: 1}, Iterations: 4096}}
	c.SetPolicy(p)
	if r := plainly(t, c, "anna@example.org", "correct horse"); r.Cause != "" || len(d.upgraded) != 1 {
		t.Fatalf("%+v, %+v", r, d.upgraded)
	}
	u := d.upgraded[0]
	if right, err := matches("correct horse", u.Hash); !right || err != nil || NeedsUpgrade(u.Hash, p.Secrets.Cost) || u.Keys.SHA256.IsZero() || len(u.Salt) == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	a := d.accounts["anna@example.org"]
	a.Hash, a.Salt, a.Iterations, a.Keys = u.Hash, u.Salt, u.Iterations, u.Keys
	if r := plainly(t, c, "anna@example.org", "correct horse"); r.Cause != "" || len(d.upgraded) != 1 {
		t.Errorf("kept anew once more: %+v, %d", r, len(d.upgraded))
	}
	if r := proves(t, c, "anna@example.org", "correct horse"); r.Cause != "" {
		t.Errorf("SCRAM after the upgrade: %+v", r)
	}
}

// other is a backend with one user and one token.
type other struct {
	err     error
	verdict Verdict
}

func (*other) Name() string             { return "corp" }
func (*other) Serves(login string) bool { return strings.HasSuffix(login, "@corp.example") }
func (*other) Passwords() bool          { return true }
func (*other) Tokens() bool             { return true }
func (o *other) Password(_ context.Context, login, password string, _ Client) (Verdict, error) {
	if password == "right" {
		if login == "e.berg@corp.example" {
			login = "eva@corp.example"
		}
		return Verdict{OK: true, Login: login}, o.err
	}
	return o.verdict, o.err
}

func (o *other) Token(_ context.Context, token, _ string, _ Client) (Verdict, error) {
	if token == "good" {
		return Verdict{OK: true, Login: "eva@corp.example"}, o.err
	}
	return Verdict{Cause: TokenExpired}, o.err
}

// TestOtherBackends: who is vouched for gets an account; an outage is no rejection; a
// lock that nobody's secret proved is not told.
func TestOtherBackends(t *testing.T) {
	d, _ := newDirectory(t)
	b := &other{verdict: Verdict{Cause: AccountDisabled}}
	c := NewChecker(d, key, 0, nil, Policy{Secrets: SecretPolicy{Cost: cheap(), Iterations: 4096}, Backends: []Backend{b}})
	if r := plainly(t, c, "eva@corp.example", "wrong"); r.Cause != AccountDisabled || !r.Unproved {
		t.Errorf("%+v", r)
	}
	if r := plainly(t, c, "eva@corp.example", "right"); r.Login != "eva@corp.example" || d.accounts["eva@corp.example"].Backend != "corp" {
		t.Errorf("%+v, %+v", r, d.accounts["eva@corp.example"])
	}
	for as, want := range map[string]Cause{"": "", "e.berg@corp.example": "", "eva@corp.example": "", "ida@corp.example": ActsAsOther} {
		r := c.try(t, sasl.Credentials{Mechanism: "PLAIN", Login: "e.berg@corp.example", Authorize: as, Secret: "right"}, Client{})
		if r.Cause != want || want == "" && r.Login != "eva@corp.example" {
			t.Errorf("eva by her other name, acting as %q: %+v, want cause %q", as, r, want)
		}
	}
	bearer := func(user, token string) Result {
		e, no := c.Begin(t.Context(), "XOAUTH2", overTLS(), now)
		if no != Allowed {
			t.Fatalf("refused: %d", no)
		}
		a := e.Next(t.Context(), []byte("user="+user+"\x01auth=Bearer "+token+"\x01\x01"), now)
		if !a.Done { // the reason as JSON, which the client answers with nothing
			a = e.Next(t.Context(), []byte{}, now)
		}
		return a.Result
	}
	if r := bearer("eva@corp.example", "good"); r.Login != "eva@corp.example" || r.Credential != CredentialToken {
		t.Errorf("%+v", r)
	}
	if r := bearer("ida@corp.example", "good"); r.Cause != TokenUser {
		t.Errorf("%+v", r)
	}
	if r := bearer("eva@corp.example", "old"); r.Cause != TokenExpired {
		t.Errorf("%+v", r)
	}
	b.err = context.DeadlineExceeded
	for _, r := range []Result{plainly(t, c, "eva@corp.example", "right"), bearer("eva@corp.example", "good")} {
		if r.Cause != BackendDown || r.Err == nil {
			t.Errorf("%+v", r)
		}
	}
	if r := plainly(t, c, "anna@example.org", "correct horse"); r.Cause != "" {
		t.Errorf("an outage elsewhere concerns our own accounts: %+v", r)
	}
}

// BenchmarkLogin is what a login costs, but the look-up.
func BenchmarkLogin(b *testing.B) {
	d, apps := newDirectory(&testing.T{})
	c := newChecker(d, 0)
	keys, err := SecretPolicy{Cost: cheap(), Iterations: 4096}.KeysFor(&Account{Salt: make([]byte, saltSize), Iterations: 4096}, apps["good"])
	if err != nil {
		b.Fatal(err)
	}
	d.apps[apps["good"][:8]].Keys = keys
	response := []byte("\x00anna@example.org\x00" + apps["good"])
	b.ReportAllocs()
	for b.Loop() {
		d.used = d.used[:0]
		e, _ := c.Begin(b.Context(), "PLAIN", overTLS(), now)
		if a := e.Next(b.Context(), response, now); a.Result.Cause != "" {
			b.Fatal(a.Result)
		}
	}
}
