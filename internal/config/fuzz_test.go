package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
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

// written is what a file says for a rule.
func (r Rule) written(client bool) string {
	verb, what, text := "refuse ", r.Address.String(), ""
	if r.Allow {
		verb = "allow "
	}
	switch {
	case client:
		what = r.Network.String()
	case r.Null:
		what = "<>"
	case r.Below:
		what = "@." + r.Domain.String()
	case !r.Domain.IsZero():
		what = "@" + r.Domain.String()
	}
	if r.Text != "" {
		text = " " + r.Text
	}
	return verb + what + text
}

// FuzzRule: a rule names somebody who can come, and is the same when it is
// written plainly and read again.
func FuzzRule(f *testing.F) {
	for _, s := range []string{
		"allow 192.0.2.25", "refuse 2001:db8::/32 Go away", "refuse @.spam.example", "allow @Example.ORG", "refuse <> No reports, please", "refuse anna@bücher.example x",
		"refuse ::ffff:192.0.2.0/120", "allow fe80::1%eth0", "allow ::ffff:192.0.2.1", "refuse 10.1.2.3/8", "allow x y", "refuse  @a.example   two  words ",
	} {
		f.Add(s, strings.Contains(s, "::") || strings.Contains(s, "2."))
	}
	f.Fuzz(func(t *testing.T, s string, client bool) {
		read := rule(client).read
		r, err := read(s)
		if err != nil {
			return
		}
		if client {
			if a := r.Network.Addr(); !r.Network.IsValid() || a != a.Unmap().WithZone("") || !r.Network.Contains(a) {
				t.Fatalf("%q is for clients of %s, of whom none comes", s, r.Network)
			}
		}
		if strings.ContainsAny(r.Text, "\r\n") || r.Allow && r.Text != "" {
			t.Fatalf("%q says %q", s, r.Text)
		}
		again, err := read(r.written(client))
		if err != nil || again != r {
			t.Fatalf("%q is %+v, which is written %q and read as %+v, %v", s, r, r.written(client), again, err)
		}
	})
}
