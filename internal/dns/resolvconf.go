package dns

import (
	"net/netip"
	"slices"
	"strings"
)

// maxSystemServers is how many nameserver lines are used, as in the C library.
const maxSystemServers = 3

// ParseResolvConf reads the content of /etc/resolv.conf for Options: its servers, and whether it has the option trust-ad.
// Search lists are left aside, as all our names are complete. Without a usable nameserver line the servers are the
// local one, as resolv.conf(5) has it.
func ParseResolvConf(content []byte) (servers []string, trustAD bool) {
	for line := range strings.Lines(string(content)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(words[1]); err == nil && len(servers) < maxSystemServers {
				servers = append(servers, netip.AddrPortFrom(addr, 53).String())
			}
		case "options":
			trustAD = trustAD || slices.Contains(words[1:], "trust-ad")
		}
	}
	if len(servers) == 0 {
		servers = []string{"127.0.0.1:53"}
	}
	return servers, trustAD
}
