package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

const (
	annas = "correct horse battery"
	berts = "another good password"
)

// ownersSite has the accounts anna@ and bert@example.org with their passwords,
// and an account of each kind that cannot be let in.
func ownersSite(t *testing.T) *site {
	s := newSite(t, t.TempDir())
	checker := account.NewChecker(s.directory, s.opt.AppPasswordKey, 0, nil, account.Policy{Secrets: s.opt.Secrets()})
	s.opt.Owner, s.opt.Settle = checker.Owner, checker.Settle
	s.service = control.New(s.opt)
	for login, password := range map[string]string{"anna@example.org": annas, "bert@example.org": berts, "off@example.org": annas, "none@example.org": ""} {
		if _, err := s.service.AddAccount(t.Context(), control.AccountRequest{Login: login, Password: password}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.service.EnableAccount(t.Context(), control.EnableRequest{Login: "off@example.org"}); err != nil {
		t.Fatal(err)
	}
	on := true
	if _, err := s.service.SetAccount(t.Context(), control.SettingsRequest{Login: "anna@example.org", AppOnly: &on}); err != nil {
		t.Fatal(err)
	}
	return s
}

// serveOwners serves the socket for every user and connects to it.
func (s *site) serveOwners(t *testing.T) *control.Conn {
	t.Helper()
	path := filepath.Join(s.dir, "accounts.sock")
	l, err := control.ListenAll(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.service.ServeOwners(ctx, l, nil) }()
	c, err := control.DialAll(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

// drawn are the fields of results that are drawn anew each time.
var drawn = regexp.MustCompile(`"(id|app_password|password|reference)":"[^"]*"`)

// as is an operation of an owner with its types hidden.
func as[Q, R any](login, password string, o control.Operation[Q, R], q Q) func(context.Context, *control.Conn) (any, error) {
	return func(ctx context.Context, c *control.Conn) (any, error) { return o.CallAs(ctx, c, login, password, q) }
}

// TestOwners: with the main password of an account its owner does what is his to
// do, over the socket as here, and with anything else nobody does anything.
func TestOwners(t *testing.T) {
	over, here := ownersSite(t).serveOwners(t), control.Local(ownersSite(t).service)
	anna := func(login string) string { return login + "@example.org" }
	for i, step := range []struct {
		do   func(context.Context, *control.Conn) (any, error)
		want control.Kind // "" for success
		text string       // in the error
	}{
		{as(anna("anna"), annas, control.ShowAccount, control.AccountName{}), "", ""},
		{as("Anna@Example.org", annas, control.ShowAccount, control.AccountName{Login: "bert@example.org"}), "", ""}, // hers all the same
		{as(anna("anna"), berts, control.ShowAccount, control.AccountName{}), control.Refused, "login or password is wrong"},
		{as(anna("nobody"), annas, control.ShowAccount, control.AccountName{}), control.Refused, "login or password is wrong"},
		{as(anna("none"), annas, control.ShowAccount, control.AccountName{}), control.Refused, "login or password is wrong"},
		{as(anna("off"), annas, control.ShowAccount, control.AccountName{}), control.Refused, "is disabled"},
		{as(anna("off"), berts, control.ShowAccount, control.AccountName{}), control.Refused, "login or password is wrong"},
		{as("", annas, control.ShowAccount, control.AccountName{}), control.Invalid, "name your login"},
		{as(anna("anna"), "", control.ShowAccount, control.AccountName{}), control.Invalid, "main password"},
		{as(anna("anna"), annas, control.AddAppPassword, control.AppPasswordRequest{Name: "phone", Login: "bert@example.org"}), "", ""},
		{as(anna("anna"), annas, control.AddAppPassword, control.AppPasswordRequest{Name: "phone"}), control.Exists, "onward my app-password revoke "},
		{as(anna("bert"), berts, control.ListAppPasswords, control.AccountName{Login: "anna@example.org"}), "", ""}, // none: they are hers
		{as(anna("bert"), berts, control.RevokeAppPassword, control.RevokeRequest{Login: "anna@example.org", Which: "phone"}), control.NotFound, "with: onward my app-password list"},
		{as(anna("anna"), annas, control.SetScope, control.ScopeRequest{Which: "phone", Scope: control.Scope{Networks: []string{"192.0.2.0/24"}}}), "", ""},
		{as(anna("anna"), annas, control.SetScope, control.ScopeRequest{Which: "phone", Scope: control.Scope{Senders: []string{"@bank.example"}}}), control.Invalid, "onward account identity add"}, // an administrator's
		{as(anna("anna"), annas, control.AccountLimits, control.LimitsRequest{}), "", ""},
		{as(anna("anna"), annas, control.AccountLimits, control.LimitsRequest{Set: map[account.LimitName]int{account.MessagesDay: -1}}), control.Refused, "only an administrator"},
		{as(anna("anna"), annas, control.AccountLimits, control.LimitsRequest{AppPassword: "phone", Set: map[account.LimitName]int{account.MessagesDay: 7}}), "", ""},
		{as(anna("anna"), annas, control.AccountUsage, control.AccountName{}), "", ""},
		{as(anna("anna"), annas, control.ResumeAppPassword, control.ResumeRequest{Which: "phone"}), control.Refused, "no alarm"},
		{as(anna("anna"), annas, control.RevokeAppPassword, control.RevokeRequest{Which: "phone"}), "", ""},
		{as(anna("anna"), annas, control.ListFailures, control.FailuresRequest{Login: ""}), "", ""},
		{as(anna("anna"), annas, control.ExplainLogin, control.ExplainLoginRequest{Reference: "abcd-efgh-jkmn-pqrs"}), control.NotFound, "with: onward my failures"},
		{as(anna("anna"), annas, control.SetPassword, control.PasswordRequest{}), control.Refused, "only an administrator"},
		{as(anna("anna"), annas, control.SetPassword, control.PasswordRequest{Login: "bert@example.org", Password: "yet another password"}), "", ""},
		{as(anna("anna"), annas, control.ShowAccount, control.AccountName{}), control.Refused, "login or password is wrong"},
		{as(anna("anna"), "yet another password", control.ShowAccount, control.AccountName{}), "", ""},
		{as(anna("bert"), berts, control.ShowAccount, control.AccountName{}), "", ""},
		{as(anna("anna"), "yet another password", control.ChangeIdentity, control.IdentityRequest{Login: "anna@example.org", Identity: "@example.net"}), control.Invalid, ""},
		{as(anna("anna"), "yet another password", control.ListAccounts, control.Nothing{}), control.Invalid, ""},
		{as(anna("anna"), "yet another password", control.RemoveAccount, control.AccountName{Login: "anna@example.org"}), control.Invalid, ""},
	} {
		a, errA := step.do(t.Context(), over)
		b, errB := step.do(t.Context(), here)
		for where, err := range map[string]error{"over the socket": errA, "here": errB} {
			if step.want == "" != (err == nil) || err != nil && (control.KindOf(err) != step.want || !strings.Contains(err.Error(), step.text)) {
				t.Errorf("step %d, %s: error %v, want kind %q with %q", i, where, err, step.want, step.text)
			}
		}
		if x, y := drawn.ReplaceAllString(shape(t, a), ""), drawn.ReplaceAllString(shape(t, b), ""); errA == nil && x != y {
			t.Errorf("step %d:\nover the socket %s\nhere            %s", i, x, y)
		}
	}
	if _, err := control.ListAccounts.Call(t.Context(), over, control.Nothing{}); control.KindOf(err) != control.Invalid {
		t.Errorf("an administrator's operation on the owners' socket: %v", err)
	}
	if _, err := over.Submit(t.Context(), control.Envelope{From: "a@example.net", Recipients: []string{"anna@example.org"}}, strings.NewReader("x\n")); control.KindOf(err) != control.Invalid {
		t.Errorf("a submission on the owners' socket: %v", err)
	}
}

// TestOwnersSeeTheirOwn: failures of others are as if they were not there, and
// what was wrong with a password is told to who knows it, not to who asked.
func TestOwnersSeeTheirOwn(t *testing.T) {
	s := ownersSite(t)
	c := control.Local(s.service)
	_, err := control.ShowAccount.CallAs(t.Context(), c, "bert@example.org", berts+" ", control.AccountName{})
	if err == nil || !strings.Contains(err.Error(), "onward explain-login ") {
		t.Fatal(err)
	}
	reference := err.Error()[strings.LastIndexByte(err.Error(), ' ')+1:]
	f, err := control.ExplainLogin.CallAs(t.Context(), c, "bert@example.org", berts, control.ExplainLoginRequest{Reference: reference})
	if err != nil || f.Cause != account.SpaceAdded || f.Service != account.ServiceOwn {
		t.Errorf("%+v %v", f, err)
	}
	list, err := control.ListFailures.CallAs(t.Context(), c, "bert@example.org", berts, control.FailuresRequest{})
	if err != nil || len(list) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := control.ExplainLogin.CallAs(t.Context(), c, "anna@example.org", annas, control.ExplainLoginRequest{Reference: reference}); control.KindOf(err) != control.NotFound {
		t.Errorf("of another: %v", err)
	}
	if _, err := control.ShowAccount.CallAs(t.Context(), c, "bert@example.org", "nonsense", control.AccountName{}); err == nil {
		t.Fatal("it is wrong")
	}
	if list, err = control.ListFailures.CallAs(t.Context(), c, "bert@example.org", berts, control.FailuresRequest{}); err != nil || len(list) != 2 ||
		!strings.Contains(list[0].Fix, "onward my app-password add --name") || strings.Contains(list[0].Fix, "onward account") {
		t.Errorf("%+v %v", list, err)
	}
	if list, err = control.ListFailures.CallAs(t.Context(), c, "anna@example.org", annas, control.FailuresRequest{}); err != nil || len(list) != 0 {
		t.Errorf("of another: %+v %v", list, err)
	}
}

// TestAppPasswordIsNoKey: whoever finds an app password in a device does not get
// at the account with it, and a backend does not see it.
func TestAppPasswordIsNoKey(t *testing.T) {
	s := ownersSite(t)
	made, err := s.service.AddAppPassword(t.Context(), control.AppPasswordRequest{Login: "bert@example.org", Name: "phone"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = control.ShowAccount.CallAs(t.Context(), control.Local(s.service), "bert@example.org", made.Password, control.AccountName{})
	if control.KindOf(err) != control.Refused || !strings.Contains(err.Error(), "that is an app password") {
		t.Errorf("%v", err)
	}
	checker := account.NewChecker(s.directory, s.opt.AppPasswordKey, 0, nil, account.Policy{})
	if r := checker.Owner(t.Context(), "bert@example.org", made.Password, "bert", time.Now()); r.Cause != account.WrongPassword {
		t.Errorf("the checker: %+v", r)
	}
}

// TestOwnersGuess: a user of this machine who guesses at passwords soon waits; one
// who knows his never does.
func TestOwnersGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := 0
		s := control.New(control.Options{
			Accounts: noAccounts{}, Owner: func(_ context.Context, login, password, _ string, _ time.Time) account.Result {
				if password == "right" {
					return account.Result{Login: login, Account: &account.Account{Login: login}}
				}
				wrong++
				return account.Result{Cause: account.WrongPassword}
			},
		})
		ask := func(password string) control.Kind {
			_, err := control.ShowAccount.CallAs(t.Context(), control.Local(s), "anna@example.org", password, control.AccountName{})
			return control.KindOf(err)
		}
		for range 100 {
			if k := ask("right"); k != control.NotFound { // the account is looked for then
				t.Fatal(k)
			}
		}
		for range 100 {
			ask("wrong")
		}
		if wrong != 10 || ask("right") != control.Unavailable {
			t.Errorf("%d wrong passwords were looked at", wrong)
		}
		time.Sleep(11 * time.Second)
		if k := ask("right"); k != control.NotFound {
			t.Error(k)
		}
		time.Sleep(time.Hour)
		for range 100 {
			ask("wrong")
		}
		if wrong != 20 {
			t.Errorf("%d wrong passwords were looked at", wrong)
		}
	})
}

type noAccounts struct{ account.Directory }

func (noAccounts) Account(context.Context, string) (account.Account, error) {
	return account.Account{}, account.ErrNotFound
}

// TestProofMustHold: what an owner asks for is not done if his password was changed,
// or his account disabled, since he proved that he knows it.
func TestProofMustHold(t *testing.T) {
	for name, change := range map[string]func(*control.Service) error{
		"another password": func(s *control.Service) error {
			_, err := s.SetPassword(t.Context(), control.PasswordRequest{Login: "bert@example.org", Password: "set by the administrator"})
			return err
		},
		"disabled": func(s *control.Service) error {
			_, err := s.EnableAccount(t.Context(), control.EnableRequest{Login: "bert@example.org"})
			return err
		},
		"made anew": func(s *control.Service) error {
			if _, err := s.RemoveAccount(t.Context(), control.AccountName{Login: "bert@example.org"}); err != nil {
				return err
			}
			_, err := s.AddAccount(t.Context(), control.AccountRequest{Login: "bert@example.org", Password: berts})
			return err
		},
	} {
		s := ownersSite(t)
		proved := s.opt.Owner
		s.opt.Owner = func(ctx context.Context, login, password, who string, now time.Time) account.Result {
			r := proved(ctx, login, password, who, now)
			if err := change(s.service); err != nil {
				t.Error(err)
			}
			return r
		}
		c := control.Local(control.New(s.opt))
		_, err := control.SetPassword.CallAs(t.Context(), c, "bert@example.org", berts, control.PasswordRequest{Password: "set by a thief"})
		if control.KindOf(err) != control.Refused || !strings.Contains(err.Error(), "changed at the same time") {
			t.Errorf("%s: %v", name, err)
		}
		if r := proved(t.Context(), "bert@example.org", "set by a thief", "thief", time.Now()); r.Cause == "" {
			t.Errorf("%s: the thief's password is in force", name)
		}
	}
}

// TestBoundsOfAnAccount: nobody makes an account so large that reading it is a burden.
func TestBoundsOfAnAccount(t *testing.T) {
	s := ownersSite(t)
	ctx := t.Context()
	many := make([]string, control.MaxScope+1)
	for i := range many {
		many[i] = "anna@example.org"
	}
	_, err := s.service.AddAppPassword(ctx, control.AppPasswordRequest{Login: "anna@example.org", Name: "x", Scope: control.Scope{Senders: many}})
	if control.KindOf(err) != control.Invalid {
		t.Errorf("senders: %v", err)
	}
	if _, err := s.service.AddAccount(ctx, control.AccountRequest{Login: "new@example.org", Identities: make([]string, control.MaxIdentities+1)}); control.KindOf(err) != control.Invalid {
		t.Errorf("identities: %v", err)
	}
	for i := range 2*control.MaxAppPasswords + 5 {
		made, err := s.service.AddAppPassword(ctx, control.AppPasswordRequest{Login: "anna@example.org", Name: "p" + strconv.Itoa(i)})
		if err != nil {
			t.Fatal(err)
		}
		if i < control.MaxAppPasswords+5 { // the rest stays in force
			if _, err := s.service.RevokeAppPassword(ctx, control.RevokeRequest{Login: "anna@example.org", Which: made.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.service.AddAppPassword(ctx, control.AppPasswordRequest{Login: "anna@example.org", Name: "more"}); control.KindOf(err) != control.Refused {
		t.Errorf("one more: %v", err)
	}
	list, err := s.service.ListAppPasswords(ctx, control.AccountName{Login: "anna@example.org"})
	if err != nil || len(list) > 2*control.MaxAppPasswords {
		t.Errorf("%d app passwords are kept, %v", len(list), err)
	}
	for i := range control.MaxCertificates + 1 {
		_, err = s.service.SetAccount(ctx, control.SettingsRequest{Login: "anna@example.org", AddCertificate: fmt.Sprintf("%064x", i)})
	}
	if control.KindOf(err) != control.Refused {
		t.Errorf("certificates: %v", err)
	}
	if _, err := s.service.SetPassword(ctx, control.PasswordRequest{Login: "anna@example.org", Password: "abcdefgh-cdefghkm-cdefghkm-cdefghkm-cdefghkm"}); control.KindOf(err) != control.Invalid {
		t.Errorf("a password in the form of an app password: %v", err)
	}
}

// TestOwnersShareTheSocket: one user of the machine does not take all connections.
func TestOwnersShareTheSocket(t *testing.T) {
	s := ownersSite(t)
	s.serveOwners(t).Close()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for range 20 { // of which 16 may be open
		c, err := net.Dial("unix", filepath.Join(s.dir, "accounts.sock"))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	last := open[len(open)-1]
	if err := last.SetReadDeadline(time.Now().Add(8 * time.Second)); err != nil { // a head may take 10 s
		t.Fatal(err)
	}
	if _, err := last.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one connection too many: %v", err)
	}
	if err := open[0].SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := open[0].Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first connection: %v", err)
	}
}

// TestOwnerCannotBeChecked: what kept a password from being checked is for the log
// and the administrator.
func TestOwnerCannotBeChecked(t *testing.T) {
	secret := errors.New("ldap: cn=service is locked")
	for _, tt := range []struct {
		r    account.Result
		want string
	}{
		{account.Result{Cause: account.BackendDown, Err: secret, Reference: "abcd-efgh-jkmn-pqrs"}, "onward explain-login abcd-efgh-jkmn-pqrs"},
		{account.Result{Cause: account.BackendDown, Err: secret}, "onward check-config"},
		{account.Result{Cause: account.TooBusy, Err: account.ErrCrowded, Reference: "x"}, "try again in a minute"},
	} {
		s := control.New(control.Options{
			Accounts: noAccounts{}, Owner: func(context.Context, string, string, string, time.Time) account.Result { return tt.r },
		})
		for range 20 { // no wrong passwords
			_, err := control.ShowAccount.CallAs(t.Context(), control.Local(s), "anna@example.org", "x", control.AccountName{})
			if control.KindOf(err) != control.Unavailable || !strings.HasSuffix(err.Error(), tt.want) || strings.Contains(err.Error(), "ldap") {
				t.Fatalf("%+v: %v", tt.r, err)
			}
		}
	}
}
