package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// states are what may speak against an app password that is right.
func states() map[Cause]func(*AppPassword) {
	return map[Cause]func(*AppPassword){
		AppPasswordRevoked:   func(p *AppPassword) { p.Revoked = now },
		AppPasswordExpired:   func(p *AppPassword) { p.Expires = now },
		AppPasswordIdle:      func(p *AppPassword) { p.Idle, p.LastUse = time.Hour, now.Add(-time.Hour) },
		AppPasswordSuspended: func(p *AppPassword) { p.Suspended, p.SuspendedWhy = now, "sudden_volume" },
		AppPasswordNetwork:   func(p *AppPassword) { p.Scope.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
	}
}

// dialogued plays PLAIN with its response at once, or LOGIN by its two questions.
func dialogued(t *testing.T, c *Checker, mechanism, login, secret string) Result {
	t.Helper()
	e, no := c.Begin(t.Context(), mechanism, overTLS(), now)
	if no != Allowed {
		t.Fatalf("%s is refused: %d", mechanism, no)
	}
	responses := [][]byte{nil, []byte(login), []byte(secret)}
	if mechanism == "PLAIN" {
		responses = [][]byte{[]byte("\x00" + login + "\x00" + secret)}
	}
	var a Answer
	for _, r := range responses {
		a = e.Next(t.Context(), r, now)
	}
	if !a.Done {
		t.Fatalf("%s has not ended: %+v", mechanism, a)
	}
	return a.Result
}

// TestSameWork: by every mechanism that takes a secret, each rejected login makes as
// many look-ups and as many computations as any other, before its reply.
func TestSameWork(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"} {
		t.Run(mechanism, func(t *testing.T) {
			d, apps := newDirectory(t)
			salted(t, d, apps)
			var hashed atomic.Int64
			c := newChecker(d, 0)
			c.hashing = func() { hashed.Add(1) }
			work := make(map[string][]string)
			reject := func(name, login, secret string, want Cause) {
				t.Helper()
				d.reads = 0
				hashed.Store(0)
				var r Result
				if mechanism == "SCRAM-SHA-256" {
					r = proves(t, c, login, secret)
					if want == WrongPassword {
						want = WrongSecret
					}
				} else {
					r = dialogued(t, c, mechanism, login, secret)
				}
				if r.Cause != want || r.Err != nil || r.Reference == "" {
					t.Errorf("%s: %+v, want %s", name, r, want)
				}
				did := fmt.Sprintf("%d look-ups, %d computations", d.reads, hashed.Load())
				work[did] = append(work[did], name)
				c.Settle(t.Context())
			}
			reject("unknown user", "nobody@example.org", "wrong horse", UnknownUser)
			reject("unknown user, app password", "nobody@example.org", apps["good"], UnknownUser)
			reject("wrong password", "anna@example.org", "wrong horse", WrongPassword)
			reject("disabled, wrong password", "off@example.org", "wrong horse", WrongPassword)
			reject("disabled, right password", "off@example.org", "correct horse", AccountDisabled)
			for cause, change := range states() {
				p := d.apps[apps["good"][:8]]
				old := *p
				change(p)
				reject(string(cause), "anna@example.org", apps["good"], cause)
				*p = old
			}
			d.accounts["anna@example.org"].AppOnly = true
			reject("main password where app passwords are due", "anna@example.org", "correct horse", AppPasswordRequired)
			if len(work) != 1 {
				t.Errorf("the work tells them apart: %v", work)
			}
		})
	}
}

// TestManyAppPasswords: SCRAM tries a bounded number of secrets; those that have
// ended do not take the places of those that are in use.
func TestManyAppPasswords(t *testing.T) {
	d, apps := newDirectory(t)
	salted(t, d, apps)
	crowd := &crowded{directory: d, login: "anna@example.org", oldest: *d.apps[apps["good"][:8]]}
	for range 2 * MaxScramSecrets {
		p := crowd.oldest
		p.ID, p.Revoked = "gone", now.Add(-time.Hour)
		p.Keys = Keys{SHA256: Key{Stored: make([]byte, 32), Server: make([]byte, 32)}}
		rand.Read(p.Keys.SHA256.Stored)
		crowd.newer = append(crowd.newer, p)
	}
	c := newChecker(crowd, 0)
	if r := proves(t, c, "anna@example.org", apps["good"]); r.Cause != "" || r.Credential != apps["good"][:8] {
		t.Errorf("an app password in use, older than %d revoked ones: %+v", len(crowd.newer), r)
	}
	if r := proves(t, c, "anna@example.org", "correct horse"); r.Cause != "" || r.Credential != CredentialMain {
		t.Errorf("the main password: %+v", r)
	}
	crowd.newer = nil
	crowd.oldest.Revoked = now
	if r := proves(t, c, "anna@example.org", apps["good"]); r.Cause != AppPasswordRevoked {
		t.Errorf("one that has ended, where there is room: %+v", r)
	}
}

// crowded gives an account one app password and newer ones.
type crowded struct {
	*directory
	login  string
	oldest AppPassword
	newer  []AppPassword
}

func (d *crowded) Secrets(_ context.Context, login string) (*Account, []AppPassword, error) {
	if login != d.login {
		return nil, nil, d.err
	}
	return d.accounts[login], slices.Concat([]AppPassword{d.oldest}, d.newer), d.err
}

// TestChangedQuotes: what keyboards make of quotes is found after the reply, which
// says nothing of it.
func TestChangedQuotes(t *testing.T) {
	const password = `it's "so" -- right...`
	d, _ := newDirectory(t)
	hash, err := HashPassword(password, cheap(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d.accounts["anna@example.org"].Hash = hash
	c := newChecker(d, 0)
	r := plainly(t, c, "anna@example.org", "it\u2019s \u201cso\u201d \u2014 right\u2026")
	if r.Cause != WrongPassword || len(d.failures) != 1 || d.failures[0].Cause != QuotesChanged || d.failures[0].Reference != r.Reference {
		t.Errorf("%+v, noted %+v", r, d.failures)
	}
}

// TestDiagnosesAreBounded: after a few, the passwords of an account are not looked
// into any more for a while; every failure is noted all the same.
func TestDiagnosesAreBounded(t *testing.T) {
	d, _ := newDirectory(t)
	c := newChecker(d, 0)
	const tries = diagnoses + 2
	for range tries {
		plainly(t, c, "anna@example.org", "correct horse ")
	}
	found := 0
	for _, f := range d.failures {
		if f.Cause == SpaceAdded {
			found++
		}
	}
	if len(d.failures) != tries || found != diagnoses {
		t.Errorf("%d of %d failures were looked into, want %d of %d", found, len(d.failures), diagnoses, tries)
	}
}

// TestUpgradeOfForeignHash: a hash that was imported is replaced by ours.
func TestUpgradeOfForeignHash(t *testing.T) {
	d, _ := newDirectory(t)
	a := d.accounts["anna@example.org"]
	salt := "pepper"
	sum := sha256.Sum256([]byte("correct horse" + salt))
	a.Hash = "{SSHA256}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
	c := newChecker(d, 0)
	if r := plainly(t, c, a.Login, "wrong horse"); r.Cause != WrongPassword || len(d.upgraded) != 0 {
		t.Fatalf("a wrong password: %+v, kept anew: %+v", r, d.upgraded)
	}
	if r := plainly(t, c, a.Login, "correct horse"); r.Cause != "" || len(d.upgraded) != 1 {
		t.Fatalf("%+v, kept anew: %+v", r, d.upgraded)
	}
	u := d.upgraded[0]
	if right, err := matches("correct horse", u.Hash); err != nil || !right || u.Was != a.Hash || NeedsUpgrade(u.Hash, cheap()) || u.Keys.SHA256.IsZero() {
		t.Errorf("%+v: %v", u, err)
	}
}

// TestUpgradeOfAppPassword: one without keys gets them at its first login, however
// it was typed, and can be used by SCRAM.
func TestUpgradeOfAppPassword(t *testing.T) {
	d, apps := newDirectory(t)
	c := newChecker(d, 0)
	for i, typed := range []string{apps["good"], " " + apps["good"]} {
		if r := plainly(t, c, "anna@example.org", typed); r.Cause != "" {
			t.Fatalf("%+v", r)
		}
		if len(d.upgraded) != i+1 || d.upgraded[i].AppPassword != apps["good"][:8] {
			t.Fatalf("kept anew: %+v", d.upgraded)
		}
		u, a := d.upgraded[i], d.accounts["anna@example.org"]
		a.Salt, a.Iterations = u.Salt, u.Iterations
		p := d.apps[u.AppPassword]
		p.Keys = u.Keys
		if r := proves(t, c, a.Login, apps["good"]); r.Cause != "" || r.Credential != p.ID {
			t.Errorf("SCRAM after it was typed as %q: %+v", typed, r)
		}
		p.Keys, a.Salt = Keys{}, nil
	}
}
