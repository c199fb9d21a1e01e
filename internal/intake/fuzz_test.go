package intake

import (
	"net/netip"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// FuzzGreylist: whoever comes again and again, at any times, waits no longer
// than he was told, and never again once he was let in, as long as he is known.
func FuzzGreylist(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, "bob@example.com", []byte{0, 10, 200, 1})
	f.Add(make([]byte, 16), "x", []byte{255, 255, 255})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1}, "", []byte{1})
	f.Add([]byte{}, "a@b.example", []byte{1, 2})
	f.Fuzz(func(t *testing.T, octets []byte, sender string, steps []byte) {
		from, err := address.ParseMailbox(sender)
		if err != nil {
			from = address.Mailbox{} // the null reverse-path
		}
		a, _ := netip.AddrFromSlice(octets)
		to := address.MustMailbox("anna@example.org")
		const delay = 5 * time.Minute
		g := newGreylist()
		now := time.Unix(1_000_000_000, 0)
		var until, in time.Time
		for i, step := range steps {
			now = now.Add(time.Duration(step) * 7 * time.Second)
			wait := g.wait(a, from, to, delay, now)
			switch {
			case !a.IsValid():
				if wait != 0 {
					t.Fatalf("a client without an address waits %s", wait)
				}
			case wait < 0 || wait > delay:
				t.Fatalf("step %d: it waits %s", i, wait)
			case !in.IsZero() && wait != 0:
				t.Fatalf("step %d: it was let in at %s, and waits %s at %s", i, in, wait, now)
			case until.IsZero():
				if wait != delay {
					t.Fatalf("a stranger waits %s", wait)
				}
				until = now.Add(wait)
			case now.Before(until) && !now.Add(wait).Equal(until), !now.Before(until) && wait != 0:
				t.Fatalf("step %d: at %s it waits %s, and was told %s", i, now, wait, until)
			}
			if wait == 0 && a.IsValid() {
				in = now
			}
		}
		if elsewhere := netip.MustParsePrefix("203.0.113.0/24"); !elsewhere.Contains(a.Unmap()) {
			if wait := g.wait(elsewhere.Addr(), from, to, delay, now); wait != delay {
				t.Fatalf("somebody else waits %s", wait)
			}
		}
	})
}

// FuzzFind: the rule that is found is the first of those that match, and what a
// domain's rule and that for the names below it match is never the same.
func FuzzFind(f *testing.F) {
	f.Add("anna@example.org", "example.org")
	f.Add("anna@sub.example.org", "example.org")
	f.Add("a@xexample.org", "example.org")
	f.Add("", "[192.0.2.1]")
	f.Fuzz(func(t *testing.T, who, domain string) {
		d, err := address.ParseDomain(domain)
		if err != nil {
			return
		}
		m, _ := address.ParseMailbox(who)
		same, below := Rule{Domain: d}, Rule{Domain: d, Below: true}
		rules := []Rule{{Null: true}, below, same}
		if !m.IsZero() {
			rules = append(rules, Rule{Address: m})
		}
		r := find(rules, m)
		switch {
		case r == nil:
			t.Fatalf("%s has a rule of its own, which is not found", m.Path())
		case m.IsZero() != r.Null:
			t.Fatalf("%s: %+v", m.Path(), r)
		case same.matches(m) && below.matches(m):
			t.Fatalf("%s is both %s and below it", m.Path(), d)
		case same.matches(m) != (!m.IsZero() && m.Domain == d):
			t.Fatalf("%s: at %s? %v", m.Path(), d, same.matches(m))
		}
	})
}
