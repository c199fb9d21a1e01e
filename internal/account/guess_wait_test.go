package account

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/sasl"
)

// guarded is a Checker that slows down after two wrong secrets.
func guarded(d Directory, o GuessOptions, backends ...Backend) *Checker {
	return NewChecker(d, key, 0, NewGuesses(o), Policy{Secrets: SecretPolicy{Cost: cheap(), Iterations: 4096}, Backends: backends})
}

// took is how long a login took, and what came of it.
func took(t *testing.T, c *Checker, login, secret string) (time.Duration, Result) {
	t.Helper()
	begun := time.Now()
	r := plainly(t, c, login, secret)
	return time.Since(begun), r
}

// TestGuessesAtALock: a lock that a backend tells before it looks at the secret
// looks like any rejected login, in its delay too; a proved one is no guess.
func TestGuessesAtALock(t *testing.T) {
	for _, proved := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := newDirectory(t)
			c := guarded(d, GuessOptions{Delay: 2, Ban: 100}, &other{verdict: Verdict{Cause: AccountDisabled, Proved: proved}})
			for i := range 3 {
				plainly(t, c, "eva@corp.example", secret(i))
			}
			if d, r := took(t, c, "eva@corp.example", secret(3)); r.Cause != AccountDisabled || (d > 0) == proved {
				t.Errorf("proved %v: %+v after %v", proved, r, d)
			}
		})
	}
}

// TestWaitBeforeTheCheck: a guesser waits before his secret is looked at, so that
// silence tells him nothing; the right secret waits as long, unless it comes from
// where its login is at home.
func TestWaitBeforeTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := newDirectory(t)
		c := guarded(d, GuessOptions{Delay: 2, Ban: 100})
		for i, want := range []time.Duration{0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, MaxGuessDelay, MaxGuessDelay} {
			if d, r := took(t, c, "anna@example.org", secret(i)); d != want || r.Cause != WrongPassword {
				t.Errorf("try %d: %+v after %v, want %v", i, r, d, want)
			}
		}
		if d, r := took(t, c, "anna@example.org", "correct horse"); d != MaxGuessDelay || r.Cause != "" {
			t.Errorf("the right one: %+v after %v", r, d)
		}
		// He hangs up instead of waiting: nothing was checked.
		ctx, cancel := context.WithCancel(t.Context())
		e, _ := c.Begin(ctx, "PLAIN", overTLS(), now)
		time.AfterFunc(time.Second, cancel)
		reads := d.reads
		if a := e.Next(ctx, []byte("\x00anna@example.org\x00correct horse"), now); a.Result.Cause != TooBusy || d.reads != reads {
			t.Errorf("%+v, %d look-ups", a.Result, d.reads-reads)
		}
	})
}

// TestBanWhileWaiting: many tries at once do not get past a ban that one of them
// brings.
func TestBanWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := newDirectory(t)
		c := guarded(d, GuessOptions{Delay: 2, Ban: 5, BanTime: time.Hour})
		for i := range 3 {
			plainly(t, c, "anna@example.org", secret(i))
		}
		causes := make(chan Cause)
		for i := range 10 {
			go func() {
				time.Sleep(time.Duration(i)) // one after the other
				causes <- plainly(t, c, "anna@example.org", secret(3+i)).Cause
			}()
		}
		count := map[Cause]int{}
		for range 10 {
			count[<-causes]++
		}
		if count[WrongPassword] != 2 || count[Slowed] != 8 {
			t.Errorf("%v", count)
		}
	})
}

// TestKnownByTheNameTyped: a backend may know a login by another name than the
// one that people type; at home is at home by both.
func TestKnownByTheNameTyped(t *testing.T) {
	d, _ := newDirectory(t)
	c := guarded(d, GuessOptions{Delay: 2, Ban: 100}, &other{verdict: Verdict{OK: true, Login: "eva@corp.example"}})
	if r := plainly(t, c, "evi@corp.example", "as evi"); r.Login != "eva@corp.example" {
		t.Fatalf("%+v", r)
	}
	for i := range 10 {
		c.guesses.Wrong(ip4(i<<8), "evi@corp.example", secret(i), now)
		c.guesses.Wrong(ip4(i<<8), "eva@corp.example", secret(i), now)
	}
	for _, login := range []string{"evi@corp.example", "eva@corp.example"} {
		if h := c.guesses.Before(overTLS().Remote, login, now); h != (Hold{}) {
			t.Errorf("%s at home: %+v", login, h)
		}
		if h := c.guesses.Before(ip4(99<<8), login, now); h.Delay == 0 {
			t.Errorf("%s, a stranger: %+v", login, h)
		}
	}
}

// TestKnow: what was kept over a restart makes a network known.
func TestKnow(t *testing.T) {
	g := NewGuesses(someOptions())
	g.Know(KnownNetwork{"anna@example.org", NetworkOf(ip4(7)), midday()})
	for i := range 50 {
		g.Wrong(ip4(i<<8|1<<16), "anna@example.org", secret(i), midday())
	}
	if h := g.Before(ip4(7), "Anna@example.org", midday()); h != (Hold{}) {
		t.Errorf("at home: %+v", h)
	}
	if h := g.Before(ip4(8), "anna@example.org", midday()); h.Delay != MaxGuessDelay {
		t.Errorf("next door: %+v", h)
	}
}

// TestWhomABackendVouchesFor: a backend that takes one name for another does not
// open an account whose password it does not keep, and makes none that is no address.
func TestWhomABackendVouchesFor(t *testing.T) {
	for _, tt := range []struct {
		is    string  // what the backend takes the login for
		acc   Account // the account of that name, if any
		cause Cause
	}{
		{"eva@corp.example", Account{}, ""},
		{"eva@corp.example", Account{Login: "eva@corp.example", Backend: "corp"}, ""},
		{"eva@corp.example", Account{Login: "eva@corp.example", Hash: "x"}, UnknownUser},
		{"eva@corp.example", Account{Login: "eva@corp.example", Backend: "another"}, UnknownUser},
		{"eva", Account{}, UnknownUser},
		{"eva@corp.example evil", Account{}, UnknownUser},
	} {
		d, _ := newDirectory(t)
		if tt.acc.Login != "" {
			d.accounts[tt.acc.Login] = &tt.acc
		}
		n := len(d.accounts)
		c := guarded(d, GuessOptions{}, &other{verdict: Verdict{OK: true, Login: tt.is}})
		r := plainly(t, c, "alias@corp.example", "its password")
		if r.Cause != tt.cause || tt.cause == "" && r.Login != tt.is || tt.cause != "" && (len(d.accounts) != n || !strings.Contains(d.failures[0].Detail, "the backend corp says")) {
			t.Errorf("%+v: %+v, %d accounts, %+v", tt, r, len(d.accounts)-n, d.failures)
		}
	}
}

// TestBackendRejectsAStranger: where the backend does not tell whom it knows, the
// cause does not say that the account exists.
func TestBackendRejectsAStranger(t *testing.T) {
	d, _ := newDirectory(t)
	d.accounts["eva@corp.example"] = &Account{Login: "eva@corp.example", Backend: "corp"}
	c := guarded(d, GuessOptions{}, &other{verdict: Verdict{Cause: BackendRejected}})
	for login, want := range map[string]Cause{"eva@corp.example": WrongPassword, "ida@corp.example": BackendRejected} {
		if r := plainly(t, c, login, "wrong"); r.Cause != want {
			t.Errorf("%s: %+v, want %s", login, r, want)
		}
	}
}

// TestOwnersOfEarlyEnds: a login that ends before its account is looked for is its
// owner's to see all the same.
func TestOwnersOfEarlyEnds(t *testing.T) {
	d, _ := newDirectory(t)
	d.accounts["eva@corp.example"] = &Account{Login: "eva@corp.example", Backend: "corp"}
	c := guarded(d, GuessOptions{}, &other{err: context.DeadlineExceeded})
	e, _ := c.Begin(t.Context(), "LOGIN", overTLS(), now)
	e.Next(t.Context(), []byte("anna@example.org"), now)
	if a := e.Next(t.Context(), []byte("a\x00b"), now); a.Result.Cause != Malformed || !a.Malformed {
		t.Fatalf("%+v", a)
	}
	e, _ = c.Begin(t.Context(), "XOAUTH2", overTLS(), now)
	if a := e.Next(t.Context(), []byte("user=eva@corp.example\x01auth=Bearer x\x01\x01"), now); a.Result.Cause != BackendDown {
		t.Fatalf("%+v", a)
	}
	if len(d.failures) != 2 || d.failures[0].Login != "anna@example.org" || d.failures[1].Login != "eva@corp.example" || !strings.Contains(d.failures[1].Detail, "ask the backend corp") {
		t.Errorf("%+v", d.failures)
	}
}

// TestScramTakesItsTime: the time to the challenge is the same whatever is looked up.
func TestScramTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, apps := newDirectory(t)
		salted(t, d, apps)
		c := newChecker(d, 0)
		for _, login := range []string{"anna@example.org", "nobody@example.org"} {
			e, no := c.Begin(t.Context(), "SCRAM-SHA-256", Client{TLS: "TLS1.2"}, now)
			if no != Allowed {
				t.Fatal(no)
			}
			begun := time.Now()
			if a := e.Next(t.Context(), []byte("n,,n="+login+",r=nonce"), now); a.Challenge == nil || time.Since(begun) != scramPause {
				t.Errorf("%s: %+v after %v", login, a, time.Since(begun))
			}
		}
	})
}

// TestWaitersAreBounded: a flood of guesses from everywhere takes no more than so
// many connections, and somebody at home is not among them.
func TestWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := newDirectory(t)
		c := guarded(d, GuessOptions{Delay: 2, Ban: 100})
		if r := plainly(t, c, "anna@example.org", "correct horse"); r.Cause != "" {
			t.Fatalf("%+v", r)
		}
		from := func(n int, secret string) Cause {
			client := overTLS()
			client.Remote = ip4(n << 8)
			e, _ := c.Begin(t.Context(), "PLAIN", client, now)
			return e.Next(t.Context(), []byte("\x00anna@example.org\x00"+secret), now).Result.Cause
		}
		for i := range 10 {
			c.guesses.Wrong(ip4(i<<8), "anna@example.org", secret(i), now)
		}
		causes := make(chan Cause)
		for i := range maxWaiting + 100 {
			go func() { causes <- from(100+i, secret(i)) }()
		}
		for range 100 {
			if got := <-causes; got != TooBusy {
				t.Fatal(got)
			}
		}
		if d, r := took(t, c, "anna@example.org", "correct horse"); d != 0 || r.Cause != "" {
			t.Errorf("at home: %+v after %v", r, d)
		}
		count := map[Cause]int{}
		for range maxWaiting {
			count[<-causes]++
		}
		if count[WrongPassword] < maxInLine || count[WrongPassword]+count[TooBusy] != maxWaiting { // they come to their turns all at once
			t.Errorf("%v", count)
		}
	})
}

// TestParallelTriesAndBans: tries that wait for the hash while others of their
// network bring a ban are not looked at.
func TestParallelTriesAndBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := newDirectory(t)
		c := guarded(d, GuessOptions{Delay: 20, Ban: 4, BanTime: time.Hour}) // more than delay: 21
		if err := c.turns.take(t.Context(), false, netip.Prefix{}); err != nil {
			t.Fatal(err)
		}
		for c.turns.free > 0 {
			c.turns.free-- // nobody works
		}
		causes := make(chan Result, maxOfNetwork)
		for i := range maxOfNetwork {
			go func() { causes <- plainly(t, c, "anna@example.org", secret(100+i)) }()
		}
		synctest.Wait()
		for i := range 21 {
			c.guesses.Wrong(overTLS().Remote, "anna@example.org", secret(i), now)
		}
		c.turns.give()
		for range maxOfNetwork {
			if r := <-causes; r.Cause != Slowed || !r.Until.After(now) {
				t.Errorf("%+v", r)
			}
		}
		if r := plainly(t, c, "anna@example.org", "x"); r.Cause != Slowed {
			t.Errorf("%+v", r)
		}
	})
}

// TestOneNetworkInLine: one network does not take all places of the line.
func TestOneNetworkInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns, crowded := newTurns(0), 0
		from := func(n int) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return turns.take(ctx, false, NetworkOf(ip4(n)))
		}
		errs := make(chan error)
		for range 2 * maxOfNetwork {
			go func() { errs <- from(1) }()
		}
		go func() { errs <- from(2) }()
		for range 2*maxOfNetwork + 1 {
			if errors.Is(<-errs, ErrCrowded) {
				crowded++
			}
		}
		if crowded != maxOfNetwork || len(turns.from) != 0 {
			t.Errorf("%d were turned away, %v are counted", crowded, turns.from)
		}
	})
}

// TestProofsAtHome: a device with an old password waits before each of its tries by
// SCRAM after some, and so does whoever guesses from its network; nobody else does.
func TestProofsAtHome(t *testing.T) {
	g, now := NewGuesses(someOptions()), midday()
	g.Right(ip4(1), "anna", now)
	for range 100 {
		g.Wrong(ip4(1), "anna", "", now)
	}
	if h := g.BeforeProof(ip4(1), "anna", now); h.Delay != MaxGuessDelay || !h.Until.IsZero() {
		t.Errorf("one more by SCRAM: %+v", h)
	}
	if h := g.Before(ip4(1), "anna", now); h != (Hold{}) {
		t.Errorf("by PLAIN: %+v", h)
	}
	if h := g.BeforeProof(ip4(1), "bert", now); h != (Hold{}) {
		t.Errorf("another login there: %+v", h)
	}
	if h := g.BeforeProof(ip4(2), "anna", now); h != (Hold{}) {
		t.Errorf("the same login elsewhere: %+v", h)
	}
	if h := g.BeforeProof(ip4(1), "anna", now.Add(10*time.Hour)); h != (Hold{}) {
		t.Errorf("hours later: %+v", h)
	}
}

// TestSameWorkAfterwards: what is done after the reply takes turns of the hashing,
// so it is as much for a name that no account has.
func TestSameWorkAfterwards(t *testing.T) {
	d, apps := newDirectory(t)
	for login, secret := range map[string]string{
		"anna@example.org": "Wrong horse ", "nobody@example.org": "Wrong horse ", "apps@example.org": "Wrong horse ",
		"off@example.org": "Wrong horse ",
	} {
		c := newChecker(d, 1)
		c.try(t, sasl.Credentials{Mechanism: "PLAIN", Login: login, Secret: secret}, overTLS())
		if n := len(c.after.looked); n != 1 {
			t.Errorf("%s with %q: %d logins were looked into", login, secret, n)
		}
	}
	c := newChecker(d, 1)
	c.try(t, sasl.Credentials{Mechanism: "PLAIN", Login: "anna@example.org", Secret: apps["revoked"]}, overTLS())
	if len(c.after.looked) != 1 || d.failures[len(d.failures)-1].Cause != AppPasswordRevoked {
		t.Errorf("%v, %+v", c.after.looked, d.failures[len(d.failures)-1])
	}
}

// TestNamesOfCertificates: a stranger chooses what stands in his certificate.
func TestNamesOfCertificates(t *testing.T) {
	d, _ := newDirectory(t)
	c := newChecker(d, 1)
	leaf := &x509.Certificate{Raw: []byte("x"), EmailAddresses: slices.Repeat([]string{"anna@example.org"}, 10_000), NotAfter: now.Add(time.Hour)}
	client := overTLS()
	client.Certificates = []*x509.Certificate{leaf}
	e, _ := c.Begin(t.Context(), "EXTERNAL", client, now)
	if a := e.Next(t.Context(), []byte{}, now); a.Result.Cause != CertificateUnknown || d.reads != maxCertificateNames {
		t.Errorf("%+v, %d look-ups", a.Result, d.reads)
	}
}

// TestNameEncodedTwice: a client that encodes name and password once more is told
// apart from one that leaves out the domain, and the account's owner sees it.
func TestNameEncodedTwice(t *testing.T) {
	d, _ := newDirectory(t)
	c := newChecker(d, 1)
	encode := base64.StdEncoding.EncodeToString
	for login, want := range map[string]Failure{
		encode([]byte("Anna@Example.org")):   {Cause: Base64Twice, Login: "anna@example.org"},
		encode([]byte("nobody@example.org")): {Cause: Base64Twice},
		encode([]byte("anna")):               {Cause: DomainMissing},
		"Username:":                          {Cause: PromptSent},
		"anna":                               {Cause: DomainMissing},
	} {
		e, _ := c.Begin(t.Context(), "LOGIN", overTLS(), now)
		e.Next(t.Context(), []byte(login), now)
		r := e.Next(t.Context(), []byte(encode([]byte("correct horse"))), now).Result
		c.Settle(t.Context())
		if f := d.failures[len(d.failures)-1]; r.Cause != want.Cause || f.Cause != want.Cause || f.Login != want.Login {
			t.Errorf("%s: %+v", login, f)
		}
	}
}

// TestOneLineForABan: many tries at once are one ban, and its line says what to do.
func TestOneLineForABan(t *testing.T) {
	d, _ := newDirectory(t)
	var log bytes.Buffer
	c := guarded(d, GuessOptions{Delay: 1, Ban: 2, BanTime: time.Hour})
	c.SetPolicy(Policy{Secrets: SecretPolicy{Cost: cheap(), Iterations: 4096}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 2 {
		c.guesses.Wrong(overTLS().Remote, "bert@example.org", secret(i), now.Add(-2*time.Hour))
	}
	for i := range 5 {
		plainly(t, c, "anna@example.org", secret(10+i))
	}
	if n := strings.Count(log.String(), "onward ban remove 198.51.100.7/32"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
	if f := d.failures[len(d.failures)-1]; f.Cause != Slowed || f.Login != "anna@example.org" {
		t.Errorf("who was refused is not known: %+v", f)
	}
}
