package account

import (
	"context"
	"errors"
	"testing"
)

// judge is a backend of tokens that says the same of all.
type judge struct {
	name    string
	verdict Verdict
	err     error
}

func (j *judge) Name() string     { return j.name }
func (*judge) Serves(string) bool { return true }
func (*judge) Passwords() bool    { return false }
func (*judge) Tokens() bool       { return true }
func (*judge) Password(context.Context, string, string, Client) (Verdict, error) {
	return Verdict{}, errors.New("it knows no passwords")
}

func (j *judge) Token(context.Context, string, string, Client) (Verdict, error) {
	return j.verdict, j.err
}

// TestSeveralIssuers: of several backends the first one that is exact counts, with
// everything that it said; whether the client may hear that an account is disabled
// is not for another backend to say.
func TestSeveralIssuers(t *testing.T) {
	strange := Verdict{Cause: TokenInvalid, Detail: "never heard of it"}
	proved := Verdict{Cause: AccountDisabled, Proved: true, Detail: "locked since Monday"}
	unproved := Verdict{Cause: AccountDisabled, Detail: "locked, whoever asks"}
	over := Verdict{Cause: TokenExpired, Proved: true, Detail: "over at noon"}
	anna := Verdict{OK: true, Login: "anna@example.org"}
	off := Verdict{OK: true, Login: "off@example.org"}
	down := errors.New("it does not answer")
	for name, tt := range map[string]struct {
		first, second Verdict
		down          error // of the second
		cause         Cause
		unproved      bool
		detail        string
	}{
		"the second is exact":                {strange, over, nil, TokenExpired, false, "over at noon"},
		"the first is exact":                 {over, strange, nil, TokenExpired, false, "over at noon"},
		"disabled and proved, then strange":  {proved, strange, nil, AccountDisabled, false, "locked since Monday"},
		"disabled, not proved, then proved":  {unproved, over, nil, AccountDisabled, true, "locked, whoever asks"},
		"the second vouches":                 {over, anna, nil, "", false, ""},
		"vouched for, and our own lock":      {unproved, off, nil, AccountDisabled, false, ""},
		"strange, then down":                 {strange, Verdict{}, down, BackendDown, false, ""},
		"exact, then down":                   {over, Verdict{}, down, TokenExpired, false, "over at noon"},
		"disabled, not proved, then outside": {unproved, Verdict{OK: true, Login: "eva@corp.example"}, nil, AccountDisabled, true, "locked, whoever asks"},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := newDirectory(t)
			c := newChecker(d, 0)
			c.SetPolicy(Policy{Secrets: SecretPolicy{Cost: cheap()}, Backends: []Backend{
				&judge{"first", tt.first, nil}, &judge{"second", tt.second, tt.down},
			}})
			e, no := c.Begin(t.Context(), "XOAUTH2", overTLS(), now)
			if no != Allowed {
				t.Fatalf("refused: %d", no)
			}
			login := "anna@example.org"
			if tt.second.Login == "off@example.org" {
				login = tt.second.Login
			}
			a := e.Next(t.Context(), []byte("user="+login+"\x01auth=Bearer abc\x01\x01"), now)
			if !a.Done {
				a = e.Next(t.Context(), []byte{}, now)
			}
			r := a.Result
			if !a.Done || r.Cause != tt.cause || r.Cause == AccountDisabled && r.Unproved != tt.unproved {
				t.Fatalf("%+v, want cause %q, unproved %v", r, tt.cause, tt.unproved)
			}
			if tt.detail != "" && (len(d.failures) != 1 || d.failures[0].Detail != tt.detail || d.failures[0].Login != login) {
				t.Errorf("noted %+v, want the detail %q", d.failures, tt.detail)
			}
		})
	}
}
