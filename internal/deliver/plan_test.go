package deliver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/queue"
)

func TestPlan(t *testing.T) {
	tests := []struct{ dest, want, dialed string }{
		{"bare.example", delivered, "192.0.2.1:25"},
		{"[192.0.2.2]", delivered, "192.0.2.2:25"},
		{"both.example", delivered, "[2001:db8::1]:25 192.0.2.1:25"},
		{"backup.example", delivered, "192.0.2.1:25"},
		{"nullmx.example", "failed destination dns 5.1.10 null_mx", ""},
		{"nosuch.example", "failed destination dns 5.1.2 domain_not_found", ""},
		{"empty.example", "failed destination dns 5.4.4 no_addresses", ""},
		{"lost.example", "failed destination dns 5.4.4 no_addresses", ""},
		{"half.example", "deferred destination dns 4.4.3 dns_timeout", ""},
		{"slow.example", "deferred destination dns 4.4.3 dns_timeout", ""},
		{"broken.example", "deferred destination dns 4.4.3 dns_servfail", ""},
		{"us.example", "failed destination dns 5.4.6 next_hop_loop", ""},
		{"[192.0.2.99]", "failed destination dns 5.4.6 next_hop_loop", ""},
		{"route:smart", delivered, "192.0.2.1:25"},
		{"route:literal", delivered, "192.0.2.2:25"},
		{"route:port", "deferred destination connect 4.4.1 connect_refused", "192.0.2.1:2525"},
		{"route:missing", "deferred destination dns 4.3.5 local_error", ""},
		{"route:nohost", "deferred destination dns 4.3.5 local_error", ""},
		{"route:self", "deferred destination dns 4.4.6 next_hop_loop", ""},
	}
	routes := map[string]Route{
		"smart": {Host: "smart.example"}, "literal": {Host: "192.0.2.2"}, "port": {Host: "192.0.2.1", Port: 2525},
		"nohost": {Host: "nosuch.example"}, "self": {Host: "192.0.2.99"},
	}
	for _, test := range tests {
		t.Run(test.dest, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.opt.Routes = func(p string) (Route, bool) { r, ok := routes[p]; return r, ok }
				w.begin()
				w.expect(w.deliver(attempt(queue.Destination(test.dest), "a@example.net")), test.want)
				if got := strings.Join(w.dialed, " "); got != test.dialed {
					t.Errorf("dialed %q, expected %q", got, test.dialed)
				}
			})
		})
	}
	bubble(t, func(w *world) {
		w.opt.Permitted = func(a netip.AddrPort) bool { return a.Addr().String() == "192.0.2.2" }
		w.begin()
		w.expect(w.deliver(attempt("both.example", "a@both.example")), delivered)
		w.expect(w.deliver(attempt("bare.example", "a@bare.example")), "failed destination dns 5.4.4 no_addresses")
		if got := strings.Join(w.dialed, " "); got != "192.0.2.2:25" {
			t.Errorf("dialed %q", got)
		}
	})
	// rfc5321#5.1: from our own level on, nobody is asked.
	bubble(t, func(w *world) {
		w.mx1 = nil
		w.begin()
		w.expect(w.deliver(attempt("backup.example", "a@backup.example")), "deferred destination connect 4.4.1 connect_refused")
		if len(w.dialed) != 1 {
			t.Errorf("dialed %v", w.dialed)
		}
	})
}

func TestShuffle(t *testing.T) {
	records := []dns.MX{{Host: "a", Preference: 5}, {Host: "b", Preference: 5}, {Host: "c", Preference: 10}, {Host: ".", Preference: 20}}
	first := map[string]int{}
	for range 200 {
		l := levels(records)
		if len(l) != 2 || len(l[0]) != 2 || l[1][0] != "c" {
			t.Fatalf("levels %v", l)
		}
		first[l[0][0]]++
	}
	if first["a"] < 50 || first["b"] < 50 {
		t.Errorf("equals are not shuffled: %v", first)
	}
}
