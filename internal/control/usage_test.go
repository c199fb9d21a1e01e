package control_test

import (
	"context"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

// TestUsage: limits are changed one by one, and the end of a suspension is for
// what is suspended.
func TestUsage(t *testing.T) {
	s := newSite(t, t.TempDir())
	c := s.serve(t)
	ctx := context.Background()
	if _, err := control.AddAccount.Call(ctx, c, control.AccountRequest{Login: "anna@example.org"}); err != nil {
		t.Fatal(err)
	}
	made, err := control.AddAppPassword.Call(ctx, c, control.AppPasswordRequest{Login: "anna@example.org", Name: "phone"})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		set  map[account.LimitName]int
		kind control.Kind
		want account.Limits // in force
	}{
		{nil, "", account.Limits{MessagesHour: 300, MessagesDay: -1, RecipientsHour: -1, RecipientsDay: -1, NewRecipientsDay: -1}},
		{map[account.LimitName]int{account.MessagesHour: 7}, "", account.Limits{MessagesHour: 7, MessagesDay: -1, RecipientsHour: -1, RecipientsDay: -1, NewRecipientsDay: -1}},
		{map[account.LimitName]int{account.RecipientsDay: 9}, "", account.Limits{MessagesHour: 7, MessagesDay: -1, RecipientsHour: -1, RecipientsDay: 9, NewRecipientsDay: -1}},
		{map[account.LimitName]int{account.MessagesHour: -1}, "", account.Limits{MessagesHour: -1, MessagesDay: -1, RecipientsHour: -1, RecipientsDay: 9, NewRecipientsDay: -1}},
		{map[account.LimitName]int{account.MessagesHour: 0}, "", account.Limits{MessagesHour: 300, MessagesDay: -1, RecipientsHour: -1, RecipientsDay: 9, NewRecipientsDay: -1}},
		{map[account.LimitName]int{account.MessagesHour: -2}, control.Invalid, account.Limits{}},
		{map[account.LimitName]int{"messages_week": 2}, control.Invalid, account.Limits{}},
	} {
		info, err := control.AccountLimits.Call(ctx, c, control.LimitsRequest{Login: "anna@example.org", Set: q.set})
		if err != nil && control.KindOf(err) != q.kind || err == nil && (q.kind != "" || info.InForce != q.want) {
			t.Errorf("%v: %+v %v", q.set, info, err)
		}
	}
	info, err := control.AccountLimits.Call(ctx, c, control.LimitsRequest{Login: "anna@example.org", AppPassword: made.ID, Set: map[account.LimitName]int{account.MessagesDay: 5}})
	if err != nil || info.Name != "phone" || info.InForce.MessagesDay != 5 || info.InForce.MessagesHour != -1 {
		t.Errorf("%+v %v", info, err)
	}
	_, err = s.directory.ChangeAppPassword(ctx, "anna@example.org", made.ID, func(p *account.AppPassword) error {
		p.Suspended, p.SuspendedWhy = time.Now(), "sudden_volume count=101 usual=3"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := control.ResumeAppPassword.Call(ctx, c, control.ResumeRequest{Login: "anna@example.org", Which: "phone"})
	if err != nil || r.Credential != made.ID || r.Name != "phone" {
		t.Fatalf("%+v %v", r, err)
	}
	list, err := control.ListAppPasswords.Call(ctx, c, control.AccountName{Login: "anna@example.org"})
	if err != nil || list[0].Status != "active" || list[0].SuspendedWhy != "" || list[0].Limits.MessagesDay != 5 {
		t.Errorf("%+v %v", list, err)
	}
	for which, kind := range map[string]control.Kind{"phone": control.Refused, control.MainPassword: control.Refused, "fridge": control.NotFound} {
		if _, err := control.ResumeAppPassword.Call(ctx, c, control.ResumeRequest{Login: "anna@example.org", Which: which}); control.KindOf(err) != kind {
			t.Errorf("resume %s: %v", which, err)
		}
	}
	usage, err := control.AccountUsage.Call(ctx, c, control.AccountName{Login: "anna@example.org"})
	if err != nil || usage[0].Credential != "" || usage[0].Limits.RecipientsDay != 9 {
		t.Errorf("%+v %v", usage, err)
	}
}
