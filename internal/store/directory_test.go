package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
)

func openTestDirectory(tb testing.TB, dir string, opts Options) *Directory {
	tb.Helper()
	d, err := OpenDirectory(dir, opts)
	mustNil(tb, err)
	tb.Cleanup(func() { mustNil(tb, d.Close()) })
	return d
}

// directories is what the suite of the directory runs on; reopen is the next
// start of the process.
type directories struct {
	recipients recipient.Directory
	accounts   account.Directory
	usage      account.UsageKeeper
	reopen     func()
}

func TestSQLiteDirectory(t *testing.T) {
	for name, f := range map[string]func(*testing.T, *directories){
		"Domains": suiteDomains, "Addresses": suiteAddresses, "Accounts": suiteAccounts, "AppPasswords": suiteAppPasswords,
		"Uses": suiteUses, "Networks": suiteNetworks, "Secrets": suiteSecrets, "Failures": suiteFailures, "Details": suiteDetails,
		"Usage": suiteUsage,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var last *Directory
			d := &directories{}
			d.reopen = func() {
				if last != nil {
					mustNil(t, last.Close())
				}
				var err error
				last, err = OpenDirectory(dir, Options{})
				mustNil(t, err)
				d.recipients, d.accounts, d.usage = last, last, last
			}
			d.reopen()
			f(t, d)
			mustNil(t, last.Close())
		})
	}
}

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
}

func suiteDomains(t *testing.T, d *directories) {
	ctx := context.Background()
	org, com := address.MustDomain("example.org"), address.MustDomain("example.com")
	_, err := d.recipients.Domain(ctx, org)
	wantIs(t, err, recipient.ErrNotFound)
	full := recipient.Domain{Name: org, Created: start(), Postmaster: address.MustMailbox("me@example.net")}
	mustNil(t, d.recipients.AddDomain(ctx, full))
	wantIs(t, d.recipients.AddDomain(ctx, full), recipient.ErrExists)
	mustNil(t, d.recipients.AddDomain(ctx, recipient.Domain{Name: com, Created: start()}))
	for range 2 {
		got, err := d.recipients.Domain(ctx, org) // effective at once, in spite of the first look
		mustNil(t, err)
		mustEqual(t, "domain", got, full)
		all, err := d.recipients.Domains(ctx)
		mustNil(t, err)
		if len(all) != 2 || all[0].Name != com || !all[0].Postmaster.IsZero() {
			t.Fatalf("%+v", all)
		}
		d.reopen()
	}
	mustNil(t, d.recipients.PutAddress(ctx, recipient.Address{Address: address.MustMailbox("a@example.org"), Kind: recipient.Mailbox, Created: start()}, false))
	wantIs(t, d.recipients.RemoveDomain(ctx, org, false), recipient.ErrInUse)
	mustNil(t, d.accounts.AddAccount(ctx, account.Account{Login: "x@example.com", Created: start()}))
	wantIs(t, d.recipients.RemoveDomain(ctx, com, false), recipient.ErrInUse)
	mustNil(t, d.recipients.RemoveDomain(ctx, org, true))
	_, err = d.recipients.Address(ctx, address.MustMailbox("a@example.org"))
	wantIs(t, err, recipient.ErrNotFound)
	_, err = d.recipients.Domain(ctx, org)
	wantIs(t, err, recipient.ErrNotFound)
	wantIs(t, d.recipients.RemoveDomain(ctx, org, true), recipient.ErrNotFound)
}

func suiteAddresses(t *testing.T, d *directories) {
	ctx := context.Background()
	mustNil(t, d.recipients.AddDomain(ctx, recipient.Domain{Name: address.MustDomain("example.org"), Created: start()}))
	all := []recipient.Address{
		{
			Address: address.MustMailbox("Anna@example.org"), Kind: recipient.Forward, Disclose: recipient.Announce, Created: start(),
			Targets: []address.Mailbox{address.MustMailbox("anna@example.net"), address.MustMailbox(`"odd one"@example.edu`)},
		},
		{Address: address.MustMailbox("box@example.org"), Kind: recipient.Mailbox, Created: start()},
		{Address: address.MustMailbox("no@example.org"), Kind: recipient.Refused, Text: "Go away", Created: start()},
		{Address: address.MustMailbox("old@example.org"), Kind: recipient.Moved, Targets: []address.Mailbox{address.MustMailbox("new@example.net")}, Created: start()},
	}
	for _, a := range all {
		_, err := d.recipients.Address(ctx, a.Address)
		wantIs(t, err, recipient.ErrNotFound)
		mustNil(t, d.recipients.PutAddress(ctx, a, false))
		wantIs(t, d.recipients.PutAddress(ctx, a, false), recipient.ErrExists)
	}
	for range 2 {
		for _, a := range all {
			for _, spelling := range []string{a.Address.String(), strings.ToUpper(a.Address.String())} {
				got, err := d.recipients.Address(ctx, address.MustMailbox(spelling))
				mustNil(t, err)
				if !reflect.DeepEqual(got, a) {
					t.Errorf("%+v\n%+v", got, a)
				}
				if len(got.Targets) > 0 {
					got.Targets[0] = address.Mailbox{} // it is the caller's
				}
			}
		}
		for _, dom := range []address.Domain{{}, address.MustDomain("example.org")} {
			list, err := d.recipients.Addresses(ctx, dom)
			mustNil(t, err)
			if !reflect.DeepEqual(list, all) {
				t.Errorf("%+v\n%+v", list, all)
			}
		}
		d.reopen()
	}
	changed := all[1]
	changed.Kind, changed.Text, changed.Created = recipient.Refused, "Closed", start().Add(time.Hour)
	mustNil(t, d.recipients.PutAddress(ctx, changed, true))
	got, err := d.recipients.Address(ctx, changed.Address)
	mustNil(t, err)
	if got.Kind != recipient.Refused || !got.Created.Equal(start()) {
		t.Errorf("%+v", got)
	}
	wantIs(t, d.recipients.PutAddress(ctx, recipient.Address{Address: address.MustMailbox("a@example.net"), Kind: recipient.Mailbox}, false), recipient.ErrNotFound)
	if err := d.recipients.PutAddress(ctx, recipient.Address{Address: address.MustMailbox("a@example.org"), Kind: "odd"}, false); err == nil {
		t.Error("an odd kind is stored")
	}
	mustNil(t, d.recipients.RemoveAddress(ctx, address.MustMailbox("BOX@example.org")))
	wantIs(t, d.recipients.RemoveAddress(ctx, address.MustMailbox("box@example.org")), recipient.ErrNotFound)
	_, err = d.recipients.Address(ctx, address.MustMailbox("box@example.org"))
	wantIs(t, err, recipient.ErrNotFound)
}

func suiteAccounts(t *testing.T, d *directories) {
	ctx := context.Background()
	a := account.Account{Login: "anna@example.org", Hash: "$argon2id$x", Created: start(), Identities: []string{"@example.net", "b@example.org"}}
	mustNil(t, d.accounts.AddAccount(ctx, a))
	wantIs(t, d.accounts.AddAccount(ctx, account.Account{Login: " Anna@Example.org "}), account.ErrExists)
	mustNil(t, d.accounts.AddAccount(ctx, account.Account{Login: "zoe@example.org", Created: start(), Disabled: true}))
	d.reopen()
	got, err := d.accounts.Account(ctx, "ANNA@example.org")
	mustNil(t, err)
	if !reflect.DeepEqual(got, a) {
		t.Errorf("%+v\n%+v", got, a)
	}
	all, err := d.accounts.Accounts(ctx)
	mustNil(t, err)
	if len(all) != 2 || all[1].Login != "zoe@example.org" || !all[1].Disabled {
		t.Errorf("%+v", all)
	}
	a.Hash, a.Disabled, a.Identities = "", true, nil
	mustNil(t, d.accounts.UpdateAccount(ctx, a))
	got, err = d.accounts.Account(ctx, a.Login)
	mustNil(t, err)
	if !reflect.DeepEqual(got, a) {
		t.Errorf("%+v\n%+v", got, a)
	}
	wantIs(t, d.accounts.UpdateAccount(ctx, account.Account{Login: "no@example.org"}), account.ErrNotFound)
	_, err = d.accounts.Account(ctx, "no@example.org")
	wantIs(t, err, account.ErrNotFound)
	mustNil(t, d.accounts.AddAppPassword(ctx, account.AppPassword{ID: "id1", Login: a.Login, Name: "phone", Created: start()}))
	mustNil(t, d.accounts.RemoveAccount(ctx, "anna@EXAMPLE.org"))
	wantIs(t, d.accounts.RemoveAccount(ctx, a.Login), account.ErrNotFound)
	mustNil(t, d.accounts.AddAccount(ctx, a))
	if list, err := d.accounts.AppPasswords(ctx, a.Login); err != nil || len(list) != 0 {
		t.Errorf("the app passwords of the one before: %v, %v", list, err)
	}
}

func suiteAppPasswords(t *testing.T, d *directories) {
	ctx := context.Background()
	for _, l := range []string{"anna@example.org", "bert@example.org"} {
		mustNil(t, d.accounts.AddAccount(ctx, account.Account{Login: l, Created: start()}))
	}
	p := account.AppPassword{ID: "aaaa", Login: "anna@example.org", Name: "phone", MAC: []byte{1, 2, 0, 3}, Created: start(), Expires: start().Add(time.Hour)}
	mustNil(t, d.accounts.AddAppPassword(ctx, p))
	for _, bad := range []account.AppPassword{
		{ID: "aaaa", Login: "bert@example.org", Name: "tv", Created: start()},
		{ID: "bbbb", Login: "anna@example.org", Name: "phone", Created: start()},
	} {
		wantIs(t, d.accounts.AddAppPassword(ctx, bad), account.ErrExists)
	}
	wantIs(t, d.accounts.AddAppPassword(ctx, account.AppPassword{ID: "cccc", Login: "no@example.org"}), account.ErrNotFound)
	d.reopen()
	for _, c := range []struct {
		login, id string
		a, p      bool
	}{
		{"anna@example.org", "aaaa", true, true},
		{"ANNA@example.org ", "aaaa", true, true},
		{"bert@example.org", "aaaa", true, false},
		{"anna@example.org", "zzzz", true, false},
		{"anna@example.org", "", true, false},
		{"no@example.org", "aaaa", false, false},
		{"", "", false, false},
	} {
		a, got, err := d.accounts.Login(ctx, c.login, c.id)
		mustNil(t, err)
		if (a != nil) != c.a || (got != nil) != c.p {
			t.Errorf("%+v: %v, %v", c, a, got)
		}
		if got != nil && !reflect.DeepEqual(*got, p) {
			t.Errorf("%+v\n%+v", *got, p)
		}
	}
	// After it has expired the name is free again; revoking by name means the
	// newest that is not revoked.
	p2 := account.AppPassword{ID: "dddd", Login: "anna@example.org", Name: "phone", MAC: []byte{9}, Created: start().Add(2 * time.Hour)}
	mustNil(t, d.accounts.AddAppPassword(ctx, p2))
	now := start().Add(3 * time.Hour)
	got, err := d.accounts.RevokeAppPassword(ctx, "anna@example.org", "phone", now)
	mustNil(t, err)
	if got.ID != "dddd" || !got.Revoked.Equal(now) {
		t.Errorf("%+v", got)
	}
	got, err = d.accounts.RevokeAppPassword(ctx, "anna@example.org", "aaaa", now)
	mustNil(t, err)
	mustEqual(t, "by id", got.ID, "aaaa")
	got, err = d.accounts.RevokeAppPassword(ctx, "anna@example.org", "dddd", now.Add(time.Hour))
	mustNil(t, err)
	if !got.Revoked.Equal(now) {
		t.Errorf("revoked twice: %+v", got)
	}
	_, err = d.accounts.RevokeAppPassword(ctx, "bert@example.org", "phone", now)
	wantIs(t, err, account.ErrNotFound)
	list, err := d.accounts.AppPasswords(ctx, "anna@example.org")
	mustNil(t, err)
	if len(list) != 2 || list[0].Status(now) != "revoked" || list[1].Status(now) != "revoked" {
		t.Errorf("%+v", list)
	}
	_, pw, err := d.accounts.Login(ctx, "anna@example.org", "dddd")
	mustNil(t, err)
	if pw == nil || pw.Status(now) != "revoked" {
		t.Errorf("a revoked one must be found, to say so: %+v", pw)
	}
}

// suiteSecrets: every setting of an account and of its app passwords is kept,
// can be changed, and is found with one look-up.
func suiteSecrets(t *testing.T, d *directories) {
	ctx := context.Background()
	k := func(b byte) account.Keys {
		return account.Keys{SHA256: account.Key{Stored: []byte{b, 1}, Server: []byte{b, 2}}, SHA1: account.Key{Stored: []byte{b, 3}, Server: []byte{b, 4}}}
	}
	a := account.Account{
		Login: "anna@example.org", Hash: "h", Created: start(), Identities: []string{"@example.com"}, Salt: []byte("salt"), Iterations: 4096,
		Keys: k(7), Backend: "corp", AppOnly: true, Certificates: []string{"ab"}, Limits: account.Limits{MessagesHour: 3}, Lang: "de",
	}
	p := account.AppPassword{
		ID: "aaaa", Login: "anna@example.org", Name: "printer", MAC: []byte{1}, Created: start(), Keys: k(9), Idle: time.Hour,
		Scope: account.Scope{
			Senders: []string{"anna@example.org"}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			Recipients: []string{"example.net"}, MaxSize: 1000,
		},
		Limits: account.Limits{RecipientsDay: -1}, Device: true,
	}
	mustNil(t, d.accounts.AddAccount(ctx, a))
	mustNil(t, d.accounts.AddAppPassword(ctx, p))
	mustNil(t, d.accounts.AddAppPassword(ctx, account.AppPassword{ID: "bbbb", Login: "anna@example.org", Name: "tv", Created: start().Add(time.Hour)}))
	for range 2 {
		d.reopen()
		gotA, all, err := d.accounts.Secrets(ctx, "Anna@example.org")
		mustNil(t, err)
		if gotA == nil || !reflect.DeepEqual(*gotA, a) || len(all) != 2 || !reflect.DeepEqual(all[0], p) || all[1].ID != "bbbb" {
			t.Errorf("%+v\n%+v", gotA, all)
		}
		a.Hash, a.Keys, a.AppOnly, a.Lang, a.Iterations = "i", account.Keys{}, false, "", 5000
		mustNil(t, d.accounts.UpdateAccount(ctx, a))
		p.Name, p.Expires, p.Suspended, p.SuspendedWhy, p.Scope, p.Noticed = "scanner", start().Add(9*time.Hour), start(), "many_networks", account.Scope{}, start()
		_, err = d.accounts.ChangeAppPassword(ctx, "Anna@example.org", p.ID, func(was *account.AppPassword) error {
			if !was.Expires.Equal(all[0].Expires) || was.Name != all[0].Name {
				t.Errorf("to be changed: %+v", was)
			}
			*was = p
			return nil
		})
		mustNil(t, err)
	}
	if a, all, err := d.accounts.Secrets(ctx, "no@example.org"); a != nil || all != nil || err != nil {
		t.Error(a, all, err)
	}
	no := errors.New("rather not")
	_, err := d.accounts.ChangeAppPassword(ctx, p.Login, p.ID, func(p *account.AppPassword) error {
		p.Name = "changed"
		return no
	})
	wantIs(t, err, no)
	if _, kept, err := d.accounts.Login(ctx, p.Login, p.ID); err != nil || kept.Name != p.Name {
		t.Error(kept, err)
	}
	_, err = d.accounts.ChangeAppPassword(ctx, "bert@example.org", p.ID, func(*account.AppPassword) error { panic("it is not his") })
	wantIs(t, err, account.ErrNotFound)
	// What a login has drawn meanwhile stays.
	a.Salt, a.Iterations = nil, 0
	mustNil(t, d.accounts.UpdateAccount(ctx, a))
	if got, err := d.accounts.Account(ctx, a.Login); err != nil || len(got.Salt) == 0 || got.Iterations != 5000 {
		t.Error(got, err)
	}
}

func suiteNetworks(t *testing.T, d *directories) {
	ctx, begin := context.Background(), time.Now().Truncate(time.Microsecond) // what is too old goes when the store is opened
	known := func(most int) (list []string) {
		t.Helper()
		all, err := d.accounts.KnownNetworks(ctx, begin.Add(account.KnownFor), most)
		mustNil(t, err)
		for _, k := range all {
			list = append(list, fmt.Sprint(k.Login, " ", k.Network, " ", k.Seen.Sub(begin)))
		}
		return list
	}
	use := func(login, from string, after time.Duration) {
		a, _ := netip.ParseAddr(from)
		d.accounts.Used(account.Use{Login: login, At: begin.Add(after), From: a})
	}
	mustNil(t, d.accounts.AddAccount(ctx, account.Account{Login: "anna@example.org", Created: start()}))
	mustNil(t, d.accounts.AddAccount(ctx, account.Account{Login: "bert@example.org", Created: start()}))
	use("anna@example.org", "192.0.2.1", -time.Second) // too long ago at the time that is asked for
	use("Bert@example.org", "::ffff:192.0.2.7", time.Minute)
	use("bert@example.org", "2001:db8::5", 2*time.Minute)
	use("bert@example.org", "", 2*time.Minute)
	use("nobody@example.org", "192.0.2.2", time.Minute)
	for range 2 {
		if got := known(10); !slices.Equal(got, []string{"bert@example.org 192.0.2.7/32 1m0s", "bert@example.org 2001:db8::/64 2m0s"}) {
			t.Error(got)
		}
		use("bert@example.org", "192.0.2.7", 30*time.Minute) // it is not written that often
		d.reopen()
	}
	use("bert@example.org", "192.0.2.7", 2*time.Hour)
	if got := known(1); !slices.Equal(got, []string{"bert@example.org 192.0.2.7/32 2h0m0s"}) {
		t.Error(got)
	}
	for i := range 2 * account.MaxKnownNetworks {
		use("bert@example.org", fmt.Sprint("198.51.100.", i), time.Duration(100+i)*time.Hour)
		known(1) // writes
	}
	if got := known(100); len(got) != account.MaxKnownNetworks || !strings.HasPrefix(got[0], "bert@example.org 198.51.100.16/32") {
		t.Error(got)
	}
	mustNil(t, d.accounts.RemoveAccount(ctx, "bert@example.org"))
	if got := known(100); len(got) != 0 {
		t.Error(got)
	}
}

func suiteUses(t *testing.T, d *directories) {
	ctx := context.Background()
	mustNil(t, d.accounts.AddAccount(ctx, account.Account{Login: "anna@example.org", Created: start()}))
	mustNil(t, d.accounts.AddAppPassword(ctx, account.AppPassword{ID: "aaaa", Login: "anna@example.org", Name: "phone", Created: start()}))
	from := netip.MustParseAddr("192.0.2.1")
	for i := range 5 {
		d.accounts.Used(account.Use{Login: "Anna@example.org", AppPassword: "aaaa", At: start().Add(time.Duration(i) * time.Minute), From: from, Mechanism: "PLAIN", Client: "phone"})
	}
	d.accounts.Used(account.Use{Login: "anna@example.org", At: start().Add(time.Hour), From: from})
	d.accounts.Used(account.Use{Login: "anna@example.org", AppPassword: "of another", At: start(), From: from})
	for range 2 {
		a, err := d.accounts.Account(ctx, "anna@example.org")
		mustNil(t, err)
		list, err := d.accounts.AppPasswords(ctx, "anna@example.org")
		mustNil(t, err)
		if !a.LastLogin.Equal(start().Add(time.Hour)) || !list[0].LastUse.Equal(start().Add(4*time.Minute)) || list[0].LastAddress != from ||
			list[0].LastMechanism != "PLAIN" || list[0].LastClient != "phone" {
			t.Errorf("%+v, %+v", a, list)
		}
		d.accounts.Used(account.Use{Login: "anna@example.org", AppPassword: "aaaa", At: start(), From: netip.MustParseAddr("192.0.2.99")}) // late, and older
		d.reopen()
	}
}

func suiteFailures(t *testing.T, d *directories) {
	ctx := context.Background()
	// Of today, because the directory forgets what is old; within one day, because
	// that is what is counted together.
	base := time.Now().UTC().Truncate(aggregation).Add(time.Hour)
	fail := func(ref string, minute int, change func(*account.Failure)) account.Failure {
		f := account.Failure{
			Reference: ref, At: base.Add(time.Duration(minute) * time.Minute), Cause: account.WrongPassword, Login: "anna@example.org",
			Remote: netip.MustParseAddr("192.0.2.1"), Service: "submission", Mechanism: "PLAIN", TLS: "TLS1.3", Count: 1,
		}
		if change != nil {
			change(&f)
		}
		d.accounts.Failed(f)
		return f
	}
	fail("R1", 1, nil)
	fail("R2", 2, nil)
	last := fail("R3", 3, nil)
	unknown := fail("R4", 4, func(f *account.Failure) {
		f.Login, f.Cause, f.NameHash, f.NameHint = "", account.UnknownUser, []byte{1, 2, 3}, "hu"
	})
	fail("R5", 5, func(f *account.Failure) { f.Remote = netip.MustParseAddr("198.51.100.2") })
	revoked := fail("R6", 6, func(f *account.Failure) {
		f.Cause, f.AppPassword, f.AppPasswordName, f.AppPasswordEnd = account.AppPasswordRevoked, "aaaa", "phone", base
	})
	for range 2 {
		all, err := d.accounts.Failures(ctx, "", 0)
		mustNil(t, err)
		var text []string
		for _, f := range all {
			text = append(text, fmt.Sprintf("%s×%d", f.Reference, f.Count))
		}
		mustEqual(t, "failures", text, "[R6×1 R5×1 R4×1 R3×3]")
		mustEqual(t, "one", all[0], revoked)
		if !reflect.DeepEqual(all[2], unknown) {
			t.Errorf("%+v\n%+v", all[2], unknown)
		}
		of, err := d.accounts.Failures(ctx, "ANNA@example.org", 2)
		mustNil(t, err)
		if len(of) != 2 || of[1].Reference != "R5" {
			t.Errorf("%+v", of)
		}
		// Each reference is found, also of those that were counted together.
		f, err := d.accounts.Failure(ctx, "R1")
		mustNil(t, err)
		if f.Reference != "R1" || !f.At.Equal(base.Add(time.Minute)) || f.Cause != last.Cause || f.Login != last.Login || f.Count != 3 {
			t.Errorf("%+v", f)
		}
		_, err = d.accounts.Failure(ctx, "R99")
		wantIs(t, err, account.ErrNotFound)
		d.reopen()
	}
	// After the retention all of it is gone.
	fail("R7", 31*24*60, nil)
	all, err := d.accounts.Failures(ctx, "", 0)
	mustNil(t, err)
	if len(all) != 1 || all[0].Reference != "R7" || all[0].Count != 1 {
		t.Errorf("%+v", all)
	}
	_, err = d.accounts.Failure(ctx, "R4")
	wantIs(t, err, account.ErrNotFound)
}

// suiteDetails: a reference keeps its own detail when later tries fail in another
// way, and nobody gets a row for every detail that he can think of.
func suiteDetails(t *testing.T, d *directories) {
	ctx := context.Background()
	base := time.Now().UTC().Truncate(aggregation).Add(time.Hour)
	tries := 0
	fail := func(cause account.Cause, detail string) string {
		tries++
		ref := fmt.Sprintf("R%d", tries)
		d.accounts.Failed(account.Failure{
			Reference: ref, At: base.Add(time.Duration(tries) * time.Second), Cause: cause, Login: "anna@example.org",
			Remote: netip.MustParseAddr("192.0.2.1"), Service: "submission", Mechanism: "OAUTHBEARER", Detail: detail, Count: 1,
		})
		return ref
	}
	rows := func(cause account.Cause) string {
		all, err := d.accounts.Failures(ctx, "", MaxList)
		mustNil(t, err)
		var counts []string
		for _, f := range all {
			if f.Cause == cause {
				counts = append(counts, fmt.Sprint(f.Count))
			}
		}
		return strings.Join(counts, " ")
	}
	details := map[string]string{}
	for _, detail := range []string{"it is for shop, not for mail", "it lacks the scope mail; it has email", "it is for shop, not for mail"} {
		details[fail(account.TokenAudience, detail)] = detail
	}
	for _, detail := range []string{"the directory says that the account is locked", "the directory says that the password has expired"} {
		details[fail(account.AccountDisabled, detail)] = detail
	}
	// One token that has ended, and one wrong clock, however often they are tried.
	for minutes := range 3 {
		fail(account.TokenExpired, fmt.Sprintf("it ended %dm0s ago, at 2026-11-23T10:00:00Z", minutes+5))
		fail(account.TokenClockSkew, fmt.Sprintf("our clock is %dm0s ahead of the issuer's, by which it is still good", minutes+5))
	}
	fail(account.TokenExpired, "it ended 1s ago, at 2026-11-23T11:00:00Z")
	// A stranger writes what he likes into tokens that nobody has signed.
	for i := range 5 * mostDetails {
		fail(account.TokenInvalid, fmt.Sprintf("it comes from the issuer %d, not from ours", i))
	}
	stranger := strings.TrimSpace(fmt.Sprint(4*mostDetails) + strings.Repeat(" 1", mostDetails))
	for range 2 {
		for ref, want := range details {
			f, err := d.accounts.Failure(ctx, ref)
			mustNil(t, err)
			if f.Reference != ref || f.Detail != want {
				t.Errorf("%s has %q, want %q", f.Reference, f.Detail, want)
			}
		}
		mustEqual(t, "audience", rows(account.TokenAudience), "2 1")
		mustEqual(t, "disabled", rows(account.AccountDisabled), "1 1")
		mustEqual(t, "expired", rows(account.TokenExpired), "1 3")
		mustEqual(t, "clock", rows(account.TokenClockSkew), "3")
		mustEqual(t, "stranger", rows(account.TokenInvalid), stranger)
		d.reopen()
	}
	// What was told by itself is counted on even when the rest is shared.
	fail(account.TokenInvalid, "it comes from the issuer 0, not from ours")
	mustEqual(t, "again", rows(account.TokenInvalid), "2 "+strings.TrimSuffix(stranger, " 1"))
}

// TestNotesAreBounded: a flood of failures neither fills the memory while the
// disk is away, nor stops the service.
func TestNotesAreBounded(t *testing.T) {
	disk := newFaultDisk(t)
	d := openTestDirectory(t, t.TempDir(), Options{VFS: disk.name})
	disk.arm(1, "write", syscall.ENOSPC, true)
	for i := range 2 * maxNotes {
		d.Failed(account.Failure{Reference: fmt.Sprint(i), At: start(), Cause: account.UnknownUser, NameHash: []byte{byte(i), byte(i >> 8)}})
		d.Used(account.Use{Login: fmt.Sprintf("u%d@example.org", i), At: start()})
	}
	if err := d.flush(context.Background()); !errors.Is(err, queue.ErrFull) {
		t.Fatal(err)
	}
	d.notes.mu.Lock()
	if len(d.notes.failures) > maxNotes || len(d.notes.uses) > maxNotes {
		t.Errorf("%d failures and %d uses in memory", len(d.notes.failures), len(d.notes.uses))
	}
	d.notes.mu.Unlock()
	disk.arm(0, "", nil, false)
	got, err := d.Failures(context.Background(), "", MaxList)
	mustNil(t, err)
	if len(got) != maxNotes {
		t.Errorf("%d are left", len(got))
	}
}

// TestCacheRace: nobody reads what was true before a change has returned.
func TestCacheRace(t *testing.T) {
	d := openTestDirectory(t, t.TempDir(), Options{})
	ctx := context.Background()
	mustNil(t, d.AddDomain(ctx, recipient.Domain{Name: address.MustDomain("example.org"), Created: start()}))
	a := recipient.Address{Address: address.MustMailbox("a@example.org"), Kind: recipient.Refused, Created: start()}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := d.Address(ctx, a.Address); err != nil && !errors.Is(err, recipient.ErrNotFound) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for i := range 200 {
		a.Text = fmt.Sprintf("version %d", i)
		mustNil(t, d.PutAddress(ctx, a, true))
		got, err := d.Address(ctx, a.Address)
		mustNil(t, err)
		mustEqual(t, "text", got.Text, a.Text)
	}
	close(stop)
	wg.Wait()
}

func BenchmarkAddress(b *testing.B) {
	d := openTestDirectory(b, b.TempDir(), Options{})
	ctx := context.Background()
	mustNil(b, d.AddDomain(ctx, recipient.Domain{Name: address.MustDomain("example.org"), Created: start()}))
	a := address.MustMailbox("a@example.org")
	mustNil(b, d.PutAddress(ctx, recipient.Address{Address: a, Kind: recipient.Mailbox, Created: start()}, false))
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Address(ctx, a); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.cache.forget()
			if _, err := d.Address(ctx, a); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("login", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := d.Login(ctx, "nobody@example.org", "id"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
