package control_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

// TestScopes: an app password is bound, shown, bound anew and unbound; its sessions
// end each time; what cannot be is refused in words that name it.
func TestScopes(t *testing.T) {
	s := newSite(t, t.TempDir())
	ctx := t.Context()
	_, err := s.service.AddAccount(ctx, control.AccountRequest{Login: "anna@example.org", Password: "correct horse battery"})
	mustNil(t, err)
	_, err = s.service.ChangeIdentity(ctx, control.IdentityRequest{Login: "anna@example.org", Identity: "Scan@Example.org"})
	mustNil(t, err)
	device := control.Scope{
		Senders: []string{"scan@example.org"}, Networks: []string{"192.0.2.7", "2001:db8::1/64"}, Recipients: []string{"@Example.ORG"},
		MaxSize: 1000, Idle: "90d", Device: true,
	}
	made, err := s.service.AddAppPassword(ctx, control.AppPasswordRequest{Login: "anna@example.org", Name: "scanner", Scope: device})
	mustNil(t, err)
	if sc := made.Scope; made.Keys.SHA256.IsZero() || !made.Device || made.Idle.Hours() != 90*24 || sc.Networks[0].String() != "192.0.2.7/32" ||
		sc.Networks[1].String() != "2001:db8::/64" || sc.Recipients[0] != "example.org" || sc.Senders[0] != "scan@example.org" {
		t.Errorf("it was made %+v", made.AppPassword)
	}
	for _, bad := range []struct {
		scope control.Scope
		says  string
	}{
		{control.Scope{Senders: []string{"boss@example.org"}}, "onward account identity add"},
		{control.Scope{Senders: []string{"@bank.example"}}, "onward account identity add"},
		{control.Scope{Networks: []string{"192.0.2.0/33"}}, "192.0.2.0/24"},
		{control.Scope{Recipients: []string{"exa mple"}}, "example.org"},
		{control.Scope{Idle: "soon"}, "90d"},
		{control.Scope{MaxSize: -1}, "octets"},
	} {
		_, err := s.service.SetScope(ctx, control.ScopeRequest{Login: "anna@example.org", Which: "scanner", Scope: bad.scope})
		if err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%+v: %v", bad.scope, err)
		}
	}
	if len(s.runner.ended) != 0 {
		t.Errorf("sessions ended for what was refused: %v", s.runner.ended)
	}
	// A change leaves the rest as it is; a device stays bound.
	got, err := s.service.SetScope(ctx, control.ScopeRequest{Login: "anna@example.org", Which: "scanner", Scope: control.Scope{Idle: "30d"}})
	mustNil(t, err)
	if want := made.Scope; !got.Device || got.Idle.Hours() != 30*24 || !reflect.DeepEqual(got.Scope, want) {
		t.Errorf("after a change of its idle time alone: %+v", got.AppPassword)
	}
	_, err = s.service.SetScope(ctx, control.ScopeRequest{Login: "anna@example.org", Which: "scanner", Clear: true, Scope: control.Scope{Device: true, Networks: []string{"192.0.2.9"}}})
	if err == nil || !strings.Contains(err.Error(), "give --sender and --recipient-domain too") {
		t.Errorf("a device without a sender: %v", err)
	}
	_, err = s.service.AddDomain(ctx, control.DomainRequest{Name: "example.org"})
	mustNil(t, err)
	_, err = s.service.PutAddress(ctx, control.AddressRequest{Address: "info@example.org", Kind: "forward", Targets: []string{"anna@example.org"}})
	mustNil(t, err)
	got, err = s.service.SetScope(ctx, control.ScopeRequest{Login: "anna@example.org", Which: "scanner", Scope: control.Scope{Senders: []string{"info@example.org"}}})
	if err != nil || !slices.Equal(got.Scope.Senders, []string{"info@example.org"}) {
		t.Errorf("an address that forwards to the account: %+v, %v", got.Scope, err)
	}
	s.runner.ended = nil
	got, err = s.service.SetScope(ctx, control.ScopeRequest{Login: "anna@example.org", Which: "scanner", Clear: true})
	mustNil(t, err)
	if got.Device || got.Idle != 0 || got.Scope.Networks != nil || !slices.Equal(s.runner.ended, []string{"anna@example.org/" + got.ID}) {
		t.Errorf("unbound: %+v, ended %v", got, s.runner.ended)
	}
}

// TestAccountSettings: identities, language, certificates, app passwords only.
func TestAccountSettings(t *testing.T) {
	s := newSite(t, t.TempDir())
	ctx := t.Context()
	_, err := s.service.AddAccount(ctx, control.AccountRequest{Login: "anna@example.org"})
	mustNil(t, err)
	identity := func(id string, remove bool) error {
		_, err := s.service.ChangeIdentity(ctx, control.IdentityRequest{Login: "anna@example.org", Identity: id, Remove: remove})
		return err
	}
	mustNil(t, identity("@shop.example", false))
	for says, err := range map[string]error{
		"already": identity("@SHOP.example", false), "identity list": identity("x@example.org", true), "no at": identity("nobody", false),
	} {
		if err == nil || says != "no at" && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	mustNil(t, identity("@shop.example", true))
	on, lang, print := true, "de", strings.Repeat("aB", 32)
	a, err := s.service.SetAccount(ctx, control.SettingsRequest{Login: "anna@example.org", AppOnly: &on, Lang: &lang, AddCertificate: print})
	mustNil(t, err)
	if !a.AppOnly || a.Lang != "de" || !slices.Equal(a.Certificates, []string{strings.ToLower(print)}) || len(a.Identities) != 0 {
		t.Errorf("%+v", a.Account)
	}
	if !slices.Equal(s.runner.ended, []string{"anna@example.org/main"}) {
		t.Errorf("ended %v", s.runner.ended)
	}
	if _, err := s.service.SetAccount(ctx, control.SettingsRequest{Login: "anna@example.org", Lang: &lang}); err != nil || len(s.runner.ended) != 1 {
		t.Errorf("another setting ended sessions: %v, %v", s.runner.ended, err)
	}
	bad := "tlh"
	for _, q := range []control.SettingsRequest{{}, {Lang: &bad}, {AddCertificate: "ab"}, {RemoveCertificate: strings.Repeat("0", 64)}} {
		q.Login = "anna@example.org"
		if _, err := s.service.SetAccount(ctx, q); err == nil {
			t.Errorf("%+v was taken", q)
		}
	}
	a, err = s.service.SetAccount(ctx, control.SettingsRequest{Login: "anna@example.org", RemoveCertificate: print})
	mustNil(t, err)
	if shown, err := s.service.ShowAccount(ctx, control.AccountName{Login: "anna@example.org"}); err != nil || len(shown.Certificates) != 0 || len(a.Certificates) != 0 {
		t.Errorf("%+v, %v", shown, err)
	}
}

// TestPasswordElsewhere: a main password that a backend keeps is not set here,
// where nobody would ask for it.
func TestPasswordElsewhere(t *testing.T) {
	s := newSite(t, t.TempDir())
	mustNil(t, s.directory.AddAccount(t.Context(), account.Account{Login: "eva@corp.example", Backend: "corp"}))
	_, err := s.service.SetPassword(t.Context(), control.PasswordRequest{Login: "eva@corp.example", Password: "correct horse battery"})
	if err == nil || !strings.Contains(err.Error(), "backend corp") {
		t.Error(err)
	}
}

func mustNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
