package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
)

// suiteUsage: what an account has sent is there after a restart, belongs to that
// account alone, and is bounded.
func suiteUsage(t *testing.T, d *directories) {
	ctx := context.Background()
	kept, err := d.usage.Usage(ctx, "anna@example.org")
	mustNil(t, err)
	if len(kept.Tallies) != 0 || len(kept.Known) != 0 {
		t.Fatalf("nobody has sent anything: %+v", kept)
	}
	a := account.Account{Login: "anna@example.org", Created: start()}
	mustNil(t, d.accounts.AddAccount(ctx, a))
	tally := account.Tally{
		Used: start(), Began: start(), Resumed: start().Add(time.Second), Told: start(), Handled: true,
		Alarm:    &account.Alarm{Kind: account.SuddenVolume, At: start(), Count: 101, Usual: 3, From: netip.MustParseAddr("192.0.2.7")},
		Networks: []account.Network{{Prefix: netip.MustParsePrefix("192.0.0.0/16"), First: start(), Last: start()}},
	}
	tally.MessagesDay = account.Window{Newest: 5, Counts: [25]uint32{1, 0, 7}}
	change := account.UsageChange{Login: " Anna@Example.org", Created: start(), Kept: account.Kept{
		Tallies: map[string]account.Tally{"": {}, "main": tally}, Known: map[uint64]int32{1 << 63: 20_000, 2: 20_001},
	}}
	d.usage.KeepUsage(change)
	d.usage.KeepUsage(account.UsageChange{Login: a.Login, Created: start(), Kept: account.Kept{Known: map[uint64]int32{2: 20_002}}})
	change.Tallies["main"] = account.Tally{} // it is the caller's
	for range 2 {
		kept, err = d.usage.Usage(ctx, a.Login)
		mustNil(t, err)
		if got := kept.Tallies["main"]; !reflect.DeepEqual(got, tally) {
			t.Errorf("%+v\n%+v", got, tally)
		}
		if want := map[uint64]int32{1 << 63: 20_000, 2: 20_002}; !reflect.DeepEqual(kept.Known, want) {
			t.Errorf("known: %v", kept.Known)
		}
		d.reopen()
	}
	// Of another account of the name nothing is known, and a late note about the
	// old one does not reach it.
	mustNil(t, d.accounts.RemoveAccount(ctx, a.Login))
	mustNil(t, d.accounts.AddAccount(ctx, account.Account{Login: a.Login, Created: start().Add(time.Hour)}))
	d.usage.KeepUsage(change)
	kept, err = d.usage.Usage(ctx, a.Login)
	mustNil(t, err)
	if len(kept.Tallies) != 0 || len(kept.Known) != 0 {
		t.Errorf("the new account has what the old one sent: %+v", kept)
	}
	change = account.UsageChange{Login: a.Login, Created: start().Add(time.Hour), Kept: account.Kept{
		Tallies: make(map[string]account.Tally), Known: make(map[uint64]int32),
	}}
	for i := range account.MaxKnown + 10 {
		change.Known[uint64(i)] = int32(i)
	}
	for i := range account.MaxCredentials + 10 {
		change.Tallies[fmt.Sprint("app", i)] = account.Tally{Used: start().Add(time.Duration(i) * time.Second)}
	}
	change.Tallies[""] = account.Tally{Used: start()}
	d.usage.KeepUsage(change)
	kept, err = d.usage.Usage(ctx, a.Login)
	mustNil(t, err)
	_, old := kept.Known[9]
	_, young := kept.Known[10]
	if len(kept.Known) != account.MaxKnown || old || !young {
		t.Errorf("%d addresses are known; the oldest: %v", len(kept.Known), old)
	}
	_, all := kept.Tallies[""]
	_, old = kept.Tallies["app9"]
	if len(kept.Tallies) != account.MaxCredentials+1 || old || !all {
		t.Errorf("%d tallies, the account's: %v, the oldest: %v", len(kept.Tallies), all, old)
	}
}

// TestUsageWaitsForTheDisk: what could not be written is written later, and does
// not win over what came after.
func TestUsageWaitsForTheDisk(t *testing.T) {
	disk := newFaultDisk(t)
	d := openTestDirectory(t, t.TempDir(), Options{VFS: disk.name})
	ctx := context.Background()
	mustNil(t, d.AddAccount(ctx, account.Account{Login: "a@example.org", Created: start()}))
	change := func(known uint64, used time.Time) account.UsageChange {
		return account.UsageChange{Login: "a@example.org", Created: start(), Kept: account.Kept{
			Tallies: map[string]account.Tally{"": {Used: used}}, Known: map[uint64]int32{known: 1},
		}}
	}
	disk.arm(1, "write", syscall.ENOSPC, true)
	d.KeepUsage(change(1, start()))
	if err := d.flushUsage(ctx); err == nil || errors.Is(err, context.Canceled) {
		t.Fatalf("the disk is full: %v", err)
	}
	d.KeepUsage(change(2, start().Add(time.Hour)))
	disk.arm(0, "", nil, false)
	kept, err := d.Usage(ctx, "a@example.org")
	mustNil(t, err)
	if len(kept.Known) != 2 || !kept.Tallies[""].Used.Equal(start().Add(time.Hour)) {
		t.Errorf("%+v", kept)
	}
	for i := range 2 * maxNotes {
		d.KeepUsage(account.UsageChange{Login: fmt.Sprintf("u%d@example.org", i), Created: start()})
	}
	if n := len(d.usage.changes); n > maxNotes {
		t.Errorf("%d changes wait in memory", n)
	}
}

// TestMeterOverRestarts: a Meter on the next start goes on where the last one was.
func TestMeterOverRestarts(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	acc := account.Account{Login: "a@example.org", Created: start(), Limits: account.Limits{MessagesDay: 2, NewRecipientsDay: 1}}
	for i := range 4 {
		d, err := OpenDirectory(dir, Options{})
		mustNil(t, err)
		if i == 0 {
			mustNil(t, d.AddAccount(ctx, acc))
		}
		m := account.NewMeter(d, []byte("key"))
		x, err := m.Open(ctx, account.Who{Account: &acc, Credential: "main", Remote: netip.MustParseAddr("192.0.2.1")})
		mustNil(t, err)
		over, _ := x.Begin(start())
		if (over != nil) != (i >= 2) {
			t.Fatalf("start %d: message: %+v", i, over)
		}
		if i >= 2 {
			if want := start().Truncate(time.Hour).Add(25 * time.Hour); !over.Until.Equal(want) {
				t.Errorf("it goes on at %s, want %s", over.Until, want)
			}
		} else if over := x.Recipient(address.MustMailbox("b@example.net"), start()); over != nil {
			t.Fatalf("start %d: the same recipient: %+v", i, over)
		} else {
			x.Accepted()
			if over, _ := x.Take(start()); over != nil {
				t.Fatalf("start %d: %+v", i, over)
			}
			x.Settle(start())
		}
		if i == 1 {
			if over := x.Recipient(address.MustMailbox("c@example.net"), start()); over == nil || over.Limit != account.NewRecipientsDay {
				t.Errorf("another recipient: %+v", over)
			}
		}
		x.Close()
		mustNil(t, d.Close())
	}
}
