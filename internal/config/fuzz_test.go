package config

import (
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/onwardmail/onward/internal/address"
)

// FuzzRoute: a route's key and next hop are read as what they are written as
// again: a domain, an address, a port.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"*", ".example.org", "bücher.example", "192.0.2.1", "[2001:db8::1]:2525", "2001:db8::1", "mail.example.net:465", "host:0", "fe80::1%eth0", "[a]:25", ":25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := readMatch(s); err == nil {
			if again, err := readMatch(m); err != nil || again != m {
				t.Fatalf("the match %q is %q, and again %q, %v", s, m, again, err)
			}
		}
		host, port, err := readHost(s)
		if err != nil {
			return
		}
		if port == 0 {
			t.Fatalf("%q has the port 0", s)
		}
		if _, err := netip.ParseAddr(host); err != nil {
			if _, err := address.ParseDomain(host); err != nil {
				t.Fatalf("%q has the host %q: %v", s, host, err)
			}
		}
		host2, port2, err := readHost(net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err != nil || host2 != host || port2 != port {
			t.Fatalf("%q is %q, %d, and again %q, %d, %v", s, host, port, host2, port2, err)
		}
	})
}
