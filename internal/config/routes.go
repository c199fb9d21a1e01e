package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/address"
)

// Ports of routes that name none.
const (
	portSMTP        = 25
	portSubmissions = 465 // the one whose TLS policy is implicit unless stated
)

const (
	hostAllowed  = `"host", "host:port", "IP:port" or "[IPv6]:port"; port 25 if none is given`
	routeAllowed = `"host:port", "mx", or a table with host, tls, username, password_file`
	matchAllowed = `"example.net", ".example.net" for every name below it, or "*" for everything else`
)

// routeKeys describes the section of routes, whose keys are domains.
func routeKeys() []Key {
	return []Key{
		{
			"routes.DOMAIN", "address or table", "by MX", routeAllowed, reload,
			"Where mail for a domain goes instead of to its MX hosts; `\"mx\"` makes an exception from a wider route.",
		},
		{
			"routes.DOMAIN.host", "address", "must be given", hostAllowed, reload,
			"The server that takes the mail; its own addresses are used, not its MX hosts.",
		},
		{
			"routes.DOMAIN.tls", "word", "delivery.tls; require with a login; implicit on port 465", routePolicy().allowed, reload,
			"When TLS is used towards this server.",
		},
		{
			"routes.DOMAIN.username", "text", "no login", "any text; needs `password_file`", reload,
			"The name to log in with.",
		},
		{
			"routes.DOMAIN.password_file", "path", "no login", path().allowed, reload,
			"A file whose first line is the password; nobody but the server's user ought to be able to read it.",
		},
	}
}

func routePolicy() reader[Policy] { return choice(Opportunistic, Require, None, Implicit) }

// RouteFor returns the route for a domain in A-label form, lower case: that of the domain itself, else of the nearest
// domain above it, else of "*". ok is false if there is none.
func (c *Config) RouteFor(domain string) (route Route, ok bool) {
	for _, r := range c.Routes { // in this very order
		if r.Match == domain || r.Match == "*" || r.Match[0] == '.' && strings.HasSuffix(domain, r.Match) {
			return r, true
		}
	}
	return Route{}, false
}

// sortRoutes puts routes into the order in which RouteFor looks at them.
func sortRoutes(routes []Route) {
	class := func(r Route) int {
		switch r.Match[0] {
		case '*':
			return 2
		case '.':
			return 1
		}
		return 0
	}
	slices.SortFunc(routes, func(a, b Route) int {
		if d := class(a) - class(b); d != 0 {
			return d
		}
		if d := len(b.Match) - len(a.Match); d != 0 {
			return d
		}
		return strings.Compare(a.Match, b.Match)
	})
}

// readMatch reads the key of a route.
func readMatch(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	name, dot := strings.CutPrefix(s, ".")
	d, err := address.ParseDomain(name)
	if _, literal := d.Literal(); err != nil || literal {
		return "", fmt.Errorf("%q is not a domain; allowed: %s", s, matchAllowed)
	}
	if dot {
		return "." + d.String(), nil
	}
	return d.String(), nil
}

// readHost reads the address of a next hop. A bare IPv6 address may stand without brackets.
func readHost(s string) (host string, port uint16, err error) {
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil && addr.Zone() == "" {
		return addr.String(), portSMTP, nil
	}
	host, port = s, portSMTP
	if strings.Contains(s, ":") {
		var text string
		if host, text, err = net.SplitHostPort(s); err != nil {
			return "", 0, fmt.Errorf("%q is not a host with a port", s)
		}
		if port, err = portNumber(text, 1); err != nil {
			return "", 0, fmt.Errorf("%q: %w", s, err)
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		return addr.String(), port, nil
	}
	d, err := address.ParseDomain(host)
	if _, literal := d.Literal(); err != nil || literal {
		return "", 0, fmt.Errorf("%q: %q is neither a host name nor an IP address", s, host)
	}
	return d.String(), port, nil
}

// routes reads the section of routes.
func (l *loader) routes(table map[string]any) {
	seen := make(map[string]string)
	for _, name := range sortedNames(table) {
		at := []string{"routes", name}
		match, err := readMatch(name)
		if err != nil {
			l.fail(at, "%v", err)
			continue
		}
		if other, twice := seen[match]; twice {
			l.fail(at, "the domain has a route already, as %q", other)
			continue
		}
		seen[match] = name
		r, ok := l.route(at, match, table[name])
		if ok {
			l.config.Routes = append(l.config.Routes, r)
			l.config.settings = append(l.config.settings, Setting{keyName(at), tomlText(table[name]), l.line(at)})
		}
	}
	sortRoutes(l.config.Routes)
}

// route reads one route in its short or its long form.
func (l *loader) route(at []string, match string, v any) (r Route, ok bool) {
	r.Match = match
	switch v := v.(type) {
	case string:
		if strings.EqualFold(v, "mx") {
			r.MX = true
			return r, true
		}
		host, port, err := readHost(v)
		if err != nil {
			l.fail(at, "%s", must(err, routeAllowed))
			return r, false
		}
		r.Host, r.Port = host, port
		return r, true
	case map[string]any:
		return l.routeTable(at, r, v)
	}
	l.fail(at, "%s is not a route; allowed: %s", describe(v), routeAllowed)
	return r, false
}

// routeTable reads the long form.
func (l *loader) routeTable(at []string, r Route, table map[string]any) (Route, bool) {
	before := len(l.errors)
	for _, name := range sortedNames(table) {
		here, v := append(slices.Clone(at), name), table[name]
		var err error
		var allowed string
		switch name {
		case "host":
			allowed = hostAllowed
			var s string
			if s, err = asString(v, "an address"); err == nil {
				r.Host, r.Port, err = readHost(s)
			}
		case "tls":
			allowed = routePolicy().allowed
			r.TLS, err = routePolicy().read(v)
		case "username":
			text := oneLine("text", "any text on one line")
			allowed = text.allowed
			r.Username, err = text.read(v)
		case "password_file":
			allowed = path().allowed
			r.PasswordFile, err = path().read(v)
		default:
			l.unknown("key", here, []string{"host", "tls", "username", "password_file"})
		}
		if err != nil {
			l.fail(here, "%s", must(err, allowed))
		}
	}
	if len(l.errors) == before {
		if err := r.check(table); err != nil {
			l.fail(at, "%v", err)
		}
	}
	return r, len(l.errors) == before
}

// check finds what is missing in a route, and whether its password would cross the network in clear.
func (r Route) check(table map[string]any) error {
	_, named := table["host"]
	switch {
	case !named:
		return errors.New("`host` is missing; allowed: " + hostAllowed)
	case r.Username != "" && r.PasswordFile == "":
		return errors.New("`username` needs `password_file`, a file whose first line is the password")
	case r.Username == "" && r.PasswordFile != "":
		return errors.New("`password_file` needs `username`")
	}
	addr, err := netip.ParseAddr(r.Host)
	local := err == nil && addr.IsLoopback()
	if r.Username != "" && !local && (r.TLS == Opportunistic || r.TLS == None) {
		return fmt.Errorf("with tls = %q the password could be read on its way; use \"require\" or \"implicit\"", r.TLS)
	}
	return nil
}

// finishRoutes gives every route the policy that follows from the rest, and resolves paths.
func (l *loader) finishRoutes() {
	for i := range l.config.Routes {
		r := &l.config.Routes[i]
		l.resolve(&r.PasswordFile)
		switch {
		case r.MX || r.TLS != "":
		case r.Port == portSubmissions:
			r.TLS = Implicit
		case r.Username != "":
			r.TLS = Require
		}
		if r.TLS == "" {
			r.TLS = l.config.Delivery.TLS
		}
	}
}
