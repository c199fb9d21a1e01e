package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// shelf is a UsageKeeper of a map.
type shelf struct {
	mu    sync.Mutex // guards what follows
	kept  map[string]Kept
	reads int
	err   error
}

func (s *shelf) Usage(_ context.Context, login string) (Kept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	k := Kept{Tallies: map[string]Tally{}, Known: map[uint64]int32{}}
	for c, t := range s.kept[login].Tallies {
		k.Tallies[c] = t
	}
	for h, d := range s.kept[login].Known {
		k.Known[h] = d
	}
	return k, s.err
}

func (s *shelf) KeepUsage(c UsageChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = make(map[string]Kept)
	}
	k, ok := s.kept[c.Login]
	if !ok {
		k = Kept{Tallies: map[string]Tally{}, Known: map[uint64]int32{}}
		s.kept[c.Login] = k
	}
	for credential, t := range c.Tallies {
		k.Tallies[credential] = t
	}
	for h, d := range c.Known {
		k.Known[h] = d
	}
}

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// traveller is a login whose transactions a test makes.
type traveller struct {
	t     testing.TB
	meter *Meter
	who   Who
	now   time.Time
}

func newTraveller(t testing.TB, l Limits, r AlarmRules) *traveller {
	return &traveller{t: t, meter: NewMeter(&shelf{}, []byte("key")), now: noon, who: Who{
		Account: &Account{Login: "anna@example.org", Created: noon.Add(-time.Hour), Limits: l}, Credential: "main",
		Remote: netip.MustParseAddr("192.0.2.1"), Alarm: r,
	}}
}

func (tr *traveller) open() *Sending {
	tr.t.Helper()
	x, err := tr.meter.Open(context.Background(), tr.who)
	if err != nil {
		tr.t.Fatal(err)
	}
	return x
}

func to(name string) address.Mailbox { return address.MustMailbox(name + "@example.net") }

// send makes a whole transaction and returns what stopped it: "", a limit or
// "suspended".
func (tr *traveller) send(names ...string) string {
	tr.t.Helper()
	x := tr.open()
	defer x.Close()
	over, suspended := x.Begin(tr.now)
	for _, n := range names {
		if over == nil && !suspended {
			if over = x.Recipient(to(n), tr.now); over == nil {
				x.Accepted()
			}
		}
	}
	if over == nil && !suspended {
		over, suspended = x.Take(tr.now)
	}
	switch {
	case suspended:
		return "suspended"
	case over != nil:
		return string(over.Limit)
	}
	x.Settle(tr.now)
	return ""
}

func (tr *traveller) want(want string, names ...string) {
	tr.t.Helper()
	if got := tr.send(names...); got != want {
		tr.t.Fatalf("at %s: %q, want %q", tr.now.Format(time.TimeOnly), got, want)
	}
}

// TestLimits: each limit stops at its number and no earlier, and is over when it
// said it would be.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		name   LimitName
		within time.Duration // of which no more may be sent
	}{
		{Limits{MessagesHour: 3}, MessagesHour, time.Hour},
		{Limits{MessagesDay: 3}, MessagesDay, 24 * time.Hour},
		{Limits{RecipientsHour: 6}, RecipientsHour, time.Hour},
		{Limits{RecipientsDay: 6}, RecipientsDay, 24 * time.Hour},
		{Limits{NewRecipientsDay: 6}, NewRecipientsDay, 24 * time.Hour},
	} {
		t.Run(string(c.name), func(t *testing.T) {
			tr := newTraveller(t, c.limits, AlarmRules{})
			for i := range 3 {
				tr.now = noon.Add(time.Duration(i) * 7 * time.Minute)
				tr.want("", fmt.Sprint("a", i), fmt.Sprint("b", i))
			}
			tr.want(string(c.name), "more")
			x := tr.open()
			over, _ := x.Begin(tr.now)
			if over == nil {
				over = x.Recipient(to("more"), tr.now)
			}
			x.Close()
			if over == nil || over.Number != *c.limits.Field(c.name) || over.Own {
				t.Fatalf("%+v", over)
			}
			if gap := over.Until.Sub(noon); gap < c.within || gap > c.within+time.Hour {
				t.Errorf("it goes on %s after the first message", gap)
			}
			tr.now = over.Until.Add(-time.Second)
			tr.want(string(c.name), "more")
			tr.now = over.Until
			tr.want("", "more")
		})
	}
}

// TestKnownRecipients: who was written to before is not new, however it is
// spelled, and twice in one message is once.
func TestKnownRecipients(t *testing.T) {
	tr := newTraveller(t, Limits{NewRecipientsDay: 2}, AlarmRules{})
	tr.want("", "a", "A", "a")
	tr.want("", "a", "b")
	tr.want("", "b", "a")
	tr.want(string(NewRecipientsDay), "a", "c")
}

// TestAbortedCostsNothing: neither does one that was taken and not settled, as
// when the message cannot be stored.
func TestAbortedCostsNothing(t *testing.T) {
	tr := newTraveller(t, Limits{MessagesHour: 1, RecipientsHour: 2, NewRecipientsDay: 2}, AlarmRules{})
	for i := range 5 {
		x := tr.open()
		for _, n := range []string{"a", "b"} {
			if over := x.Recipient(to(fmt.Sprint(n, i)), tr.now); over != nil {
				t.Fatalf("round %d: %+v", i, over)
			}
			x.Accepted()
		}
		if i%2 == 1 {
			if over, _ := x.Take(tr.now); over != nil {
				t.Fatalf("round %d: %+v", i, over)
			}
		}
		x.Close()
		x.Close()
		tr.now = tr.now.Add(2 * time.Minute)
	}
	tr.want("", "a", "b")
	tr.want(string(MessagesHour))
}

// TestManyAtOnce: transactions that are open at the same time do not get past a
// limit together.
func TestManyAtOnce(t *testing.T) {
	const limit = 50
	tr := newTraveller(t, Limits{RecipientsHour: limit}, AlarmRules{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	sent := 0
	for i := range 20 {
		wg.Go(func() {
			for j := range 10 {
				x := tr.open()
				x.Begin(tr.now)
				n := 0
				for k := range 3 {
					if x.Recipient(to(fmt.Sprintf("%d-%d-%d", i, j, k)), tr.now) == nil {
						x.Accepted()
						n++
					}
				}
				if over, _ := x.Take(tr.now); over == nil && n > 0 {
					x.Settle(tr.now)
					mu.Lock()
					sent += n
					mu.Unlock()
				}
				x.Close()
			}
		})
	}
	wg.Wait()
	if sent > limit || sent < limit-3 {
		t.Errorf("%d recipients with a limit of %d", sent, limit)
	}
}

// TestAppPasswordLimits: an app password has its own, and the account's besides.
func TestAppPasswordLimits(t *testing.T) {
	tr := newTraveller(t, Limits{MessagesHour: 3, RecipientsDay: -1}, AlarmRules{})
	tr.who.Defaults = Limits{MessagesHour: 1, RecipientsDay: 1}
	tr.who.App = &AppPassword{ID: "app", Limits: Limits{MessagesHour: 2}}
	tr.who.Credential = "app"
	tr.want("", "a", "b") // no limit of recipients in spite of the default
	tr.want("", "a")
	x := tr.open()
	if over, _ := x.Begin(tr.now); over == nil || !over.Own || over.Number != 2 {
		t.Errorf("%+v", over)
	}
	x.Close()
	tr.who.App, tr.who.Credential = nil, "main"
	tr.want("", "a")
	x = tr.open()
	if over, _ := x.Begin(tr.now); over == nil || over.Own || over.Number != 3 {
		t.Errorf("%+v", over)
	}
	x.Close()
	tr.who.Account.Limits = Limits{}
	tr.who.Defaults = Limits{}
	tr.want("", "a")
}

// raised is the alarm that waits to be acted on.
func (tr *traveller) raised() *Alarm {
	x := tr.open()
	defer x.Close()
	a := x.Claim()
	if a != nil {
		x.Acted(a, true)
	}
	return a
}

func (tr *traveller) withApp() *traveller {
	tr.who.App, tr.who.Credential = &AppPassword{ID: "app", Login: tr.who.Account.Login}, "app"
	return tr
}

func TestAlarmNetworks(t *testing.T) {
	tr := newTraveller(t, Limits{}, AlarmRules{Networks: 4}).withApp()
	at := func(a string) { tr.who.Remote = netip.MustParseAddr(a) }
	// The first network of all, and wandering within one, is nothing.
	for _, a := range []string{"192.0.2.1", "::ffff:192.0.77.1", "198.51.100.1", "2001:db8:1::1", "2001:db8:2::1", "203.0.113.1"} {
		at(a)
		tr.want("", "a")
	}
	tr.now = tr.now.Add(61 * time.Minute)
	for _, a := range []string{"10.1.0.1", "10.2.0.1", "10.3.0.1", "198.51.100.1"} {
		at(a)
		tr.want("", "a")
	}
	open := tr.open() // a session beside
	open.Begin(tr.now)
	at("10.4.0.1")
	tr.want("suspended", "a")
	if _, suspended := open.Take(tr.now); !suspended {
		t.Error("an open transaction goes on")
	}
	a := tr.raised()
	if a == nil || a.Kind != ManyNetworks || a.Count != 4 || a.From.String() != "10.4.0.1" {
		t.Fatalf("%+v", a)
	}
	if tr.raised() != nil {
		t.Error("the alarm is raised twice")
	}
	if _, suspended := open.Take(tr.now); !suspended {
		t.Error("an open transaction goes on after the alarm has been acted on")
	}
	open.Close()
	tr.who.App.Suspended = tr.now
	tr.want("suspended", "a")
	tr.who.App.Suspended = time.Time{}
	if had, err := tr.meter.Resume(context.Background(), tr.who.Account, "app", tr.now); err != nil || !had {
		t.Errorf("%v %v", had, err)
	}
	tr.want("", "a")
	for i := range 2 * MaxNetworks {
		tr.now = tr.now.Add(21 * time.Minute)
		at(fmt.Sprintf("10.%d.0.1", 10+i))
		tr.want("", "a")
	}
	u, err := tr.meter.Usage(context.Background(), tr.who.Account, tr.now)
	if err != nil || len(u) != 2 || len(u[1].Networks) != MaxNetworks || u[1].Networks[0].Prefix.String() != "10.137.0.0/16" {
		t.Errorf("%+v %v", u, err)
	}
}

func TestAlarmVolume(t *testing.T) {
	rules := AlarmRules{TimesUsual: 10, Messages: 100}
	days := func(t *testing.T, n, each int) *traveller {
		tr := newTraveller(t, Limits{}, rules).withApp()
		for range n {
			for range each {
				tr.want("", "a")
			}
			tr.now = tr.now.Add(48 * time.Hour) // a day without does not count
		}
		return tr
	}
	for _, c := range []struct {
		name                string
		days, each, allowed int
	}{
		{"usual", 5, 4, 101}, // more than 100, and more than 40
		{"busy", 3, 50, 501},
		{"unknown", 2, 1, 0}, // too few days to know
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := days(t, c.days, c.each)
			most := c.allowed
			if most == 0 {
				most = 2000
			}
			for range most {
				tr.want("", "a")
			}
			a := tr.raised()
			if c.allowed == 0 {
				if a != nil {
					t.Fatalf("%+v", a)
				}
				return
			}
			if a == nil || a.Kind != SuddenVolume || a.Count != c.allowed || a.Usual != c.each {
				t.Fatalf("%+v", a)
			}
			tr.who.App.Suspended = tr.now
			tr.want("suspended", "a")
			tr.who.App.Suspended = time.Time{}
			if _, err := tr.meter.Resume(context.Background(), tr.who.Account, "app", tr.now); err != nil {
				t.Fatal(err)
			}
			tr.want("", "a") // and is let be for the day
			if a := tr.raised(); a != nil {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestAlarmOfTheMainPassword: it is not suspended, and bound for a day.
func TestAlarmOfTheMainPassword(t *testing.T) {
	tr := newTraveller(t, Limits{}, AlarmRules{Unknown: 5})
	x := tr.open()
	for i := range 5 {
		if a := x.Claim(); a != nil {
			t.Fatalf("after %d: %+v", i, a)
		}
		x.Unknown(tr.now)
	}
	a := x.Claim()
	if a == nil || a.Kind != UnknownRecipients || a.Count != 5 {
		t.Fatalf("%+v", a)
	}
	if x.Claim() != nil {
		t.Error("two act on one alarm")
	}
	x.Acted(a, false)
	if a = x.Claim(); a == nil {
		t.Error("what could not be done is not tried again")
	}
	x.Acted(a, true)
	x.Close()
	for range StrictLimits().MessagesHour {
		tr.want("", "a")
	}
	tr.want(string(MessagesHour), "a")
	tr.now = tr.now.Add(StrictFor)
	for range 2 * StrictLimits().MessagesHour {
		tr.want("", "a")
	}
}

func TestParseAlarm(t *testing.T) {
	for _, a := range []Alarm{
		{Kind: ManyNetworks, Count: 4, From: netip.MustParseAddr("2001:db8::1")},
		{Kind: SuddenVolume, Count: 101, Usual: 3},
	} {
		got, err := ParseAlarm(a.String(), noon)
		a.At = noon
		if err != nil || got != a {
			t.Errorf("%s: %+v %v", a.String(), got, err)
		}
	}
	for _, text := range []string{"", "by hand", "sudden_volume count=x", "other count=1", "many_networks from=here"} {
		if a, err := ParseAlarm(text, noon); err == nil {
			t.Errorf("%q is read as %+v", text, a)
		}
	}
}

// TestClockSetBack: nothing is lost that counts, and a clock that was wrong by
// years does not stop anybody for years.
func TestClockSetBack(t *testing.T) {
	tr := newTraveller(t, Limits{MessagesHour: 2}, AlarmRules{})
	tr.want("", "a")
	tr.now = tr.now.Add(-10 * time.Minute)
	tr.want("", "a")
	tr.want(string(MessagesHour), "a")
	tr.now = noon.Add(5 * 365 * 24 * time.Hour)
	tr.want("", "a")
	tr.want("", "a")
	tr.now = noon
	tr.want("", "a")
}

func TestNoticeDue(t *testing.T) {
	d := 24 * time.Hour
	p := func(created, expires, noticed time.Duration) *AppPassword {
		p := &AppPassword{Created: noon.Add(created), Expires: noon.Add(expires)}
		if noticed != 0 {
			p.Noticed = noon.Add(noticed)
		}
		return p
	}
	suspended := p(-90*d, 90*d, 0)
	suspended.Suspended = noon.Add(-time.Hour)
	told := *suspended
	told.Noticed = noon.Add(-time.Hour)
	revoked := p(-90*d, 2*d, 0)
	revoked.Revoked = noon
	for _, c := range []struct {
		name string
		p    *AppPassword
		want NoticeKind
	}{
		{"far", p(-90*d, 15*d, 0), NoNotice},
		{"two weeks", p(-90*d, 14*d, 0), ExpiryNotice},
		{"told", p(-90*d, 13*d, -d), NoNotice},
		{"three days", p(-90*d, 3*d, -11*d), ExpiryNotice},
		{"told again", p(-90*d, 2*d, -d), NoNotice},
		{"late", p(-90*d, 1*d, 0), ExpiryNotice},
		{"told late", p(-90*d, 1*d, -time.Hour), NoNotice},
		{"made for ten days", p(-1*d, 9*d, 0), NoNotice},
		{"three of ten days left", p(-7*d, 3*d, 0), ExpiryNotice},
		{"made for two days", p(0, 2*d, 0), NoNotice},
		{"over", p(-90*d, 0, 0), NoNotice},
		{"for ever", &AppPassword{Created: noon}, NoNotice},
		{"revoked", revoked, NoNotice},
		{"suspended", suspended, SuspendedNotice},
		{"suspended and told", &told, NoNotice},
	} {
		if got := c.p.NoticeDue(noon); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestMeterMemory: it is bounded, and what is dropped is read again.
func TestMeterMemory(t *testing.T) {
	keeper := &shelf{}
	m := NewMeter(keeper, nil)
	who := func(i int) Who {
		return Who{Account: &Account{Login: fmt.Sprintf("u%d@example.org", i), Created: noon, Limits: Limits{MessagesHour: 1}}, Credential: "main"}
	}
	first, err := m.Open(context.Background(), who(0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxSenders + 100 {
		x, err := m.Open(context.Background(), who(i))
		if err != nil {
			t.Fatal(err)
		}
		if over, _ := x.Take(noon); over != nil {
			t.Fatalf("%+v", over)
		}
		x.Settle(noon)
		x.Close()
	}
	if len(m.senders) > maxSenders || m.recent.Len() != len(m.senders) {
		t.Errorf("%d senders in memory", len(m.senders))
	}
	if m.senders["u0@example.org"] == nil {
		t.Error("one with an open transaction was dropped")
	}
	first.Close()
	reads := keeper.reads
	for i := range 3 {
		x, _ := m.Open(context.Background(), who(i))
		if over, _ := x.Begin(noon); over == nil {
			t.Errorf("what %s has sent is forgotten", x.s.login)
		}
		x.Close()
	}
	if keeper.reads != reads+2 {
		t.Errorf("%d reads", keeper.reads-reads)
	}
	keeper.err = errors.New("the disk fails")
	if _, err := m.Open(context.Background(), who(-1)); !errors.Is(err, keeper.err) {
		t.Errorf("%v", err)
	}
	many := make(map[uint64]int32)
	for i := range 3 * MaxKnown / 2 {
		forgetOldest(many, 1)
		many[uint64(i)] = int32(i)
	}
	if _, ok := many[uint64(3*MaxKnown/2-1)]; !ok || len(many) > MaxKnown {
		t.Errorf("%d addresses are known, the newest: %v", len(many), ok)
	}
}

// TestRecreatedAccount: an account made anew has sent nothing.
func TestRecreatedAccount(t *testing.T) {
	tr := newTraveller(t, Limits{MessagesHour: 1}, AlarmRules{})
	old := tr.open()
	tr.want("", "a")
	tr.want(string(MessagesHour), "a")
	tr.who.Account = &Account{Login: tr.who.Account.Login, Created: noon, Limits: tr.who.Account.Limits}
	tr.meter.keeper.(*shelf).kept = nil // as the store does
	tr.want("", "a")
	old.Close()
	tr.want(string(MessagesHour), "a")
}

// BenchmarkRecipient is what a RCPT of a login costs.
func BenchmarkRecipient(b *testing.B) {
	tr := newTraveller(b, Limits{1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30}, AlarmRules{4, 10, 100, 50}).withApp()
	tr.who.App.Limits = tr.who.Account.Limits
	for i := range 100 {
		tr.want("", fmt.Sprint("friend", i))
	}
	all := make([]address.Mailbox, 100)
	for i := range all {
		all[i] = to(fmt.Sprint("friend", i))
	}
	b.ReportAllocs()
	x := tr.open()
	for i := 0; b.Loop(); i++ {
		if len(x.to) == 1000 {
			x.to = x.to[:0]
		}
		if over := x.Recipient(all[i%100], tr.now); over != nil {
			b.Fatal(over)
		}
		x.Accepted()
	}
	x.Close()
}

// BenchmarkSendings is the whole of a transaction with one recipient.
func BenchmarkSendings(b *testing.B) {
	tr := newTraveller(b, Limits{1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30}, AlarmRules{4, 0, 100, 50}).withApp()
	b.ReportAllocs()
	for b.Loop() {
		tr.want("", "friend")
	}
}
