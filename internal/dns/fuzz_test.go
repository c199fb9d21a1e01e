package dns

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
)

// FuzzAnswer reads any octets as the answer of a name server: what is believed
// answers the question, and what is taken of it is well formed.
func FuzzAnswer(f *testing.F) {
	q := question{name: "example.org.", rrtype: miekg.TypeMX}
	m := newQuery(q)
	for _, zone := range []string{
		"example.org. 60 IN MX 10 mx.example.org.", "example.org. 60 IN CNAME a.example.\na.example. 30 IN MX 0 .",
		"example.org. 60 IN TXT \"a\\255\" \"b\"\nexample.org. 1 IN AAAA ::ffff:192.0.2.1", "example.org. 60 IN CNAME example.org.",
	} {
		a := new(miekg.Msg).SetReply(m)
		for line := range strings.SplitSeq(zone, "\n") {
			rr, err := miekg.NewRR(line)
			if err != nil {
				f.Fatal(err)
			}
			a.Answer = append(a.Answer, rr)
		}
		wire, err := a.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire[2:])
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		wire := append(binary.BigEndian.AppendUint16(nil, m.Id), rest...)
		answer, err := readAnswer(m, wire)
		if err != nil {
			return
		}
		if !answer.Response || answer.Id != m.Id || len(answer.Question) > 1 {
			t.Fatalf("%x is believed: %v", wire, answer)
		}
		for _, rrtype := range []uint16{miekg.TypeMX, miekg.TypeA, miekg.TypeAAAA, miekg.TypeTXT, miekg.TypePTR, miekg.TypeTLSA} {
			s, err := follow(answer.Answer, q.name, rrtype)
			if s.hops > maxAliases+1 {
				t.Fatalf("%d aliases were followed", s.hops)
			}
			if err != nil {
				continue
			}
			var r result
			r.decode(s.records)
			for i, mx := range r.mx {
				if mx.Host == "" || i > 0 && r.mx[i-1].Preference > mx.Preference {
					t.Fatalf("%x gives %+v", wire, r.mx)
				}
			}
			for _, a := range r.addresses {
				if !a.IsValid() || a.Zone() != "" {
					t.Fatalf("%x gives %v", wire, r.addresses)
				}
			}
		}
	})
}

// FuzzResolvConf: whatever stands in the file, there are one to three servers
// that can be asked.
func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.1\nnameserver 2001:db8::1\noptions edns0 trust-ad\n"))
	f.Add([]byte("# nothing\nnameserver x\n\tnameserver fe80::1%eth0 # y"))
	f.Fuzz(func(t *testing.T, content []byte) {
		servers, _ := ParseResolvConf(content)
		if len(servers) == 0 || len(servers) > maxSystemServers {
			t.Fatalf("%q has the servers %q", content, servers)
		}
		for _, s := range servers {
			if a, err := netip.ParseAddrPort(s); err != nil || a.Port() != 53 {
				t.Fatalf("%q has the server %q: %v", content, s, err)
			}
		}
	})
}
