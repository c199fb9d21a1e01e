package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// reader turns a TOML value into one of ours. kind and allowed are for people: the table of keys and error messages.
type reader[T any] struct {
	kind    string
	allowed string
	read    func(v any) (T, error)
}

// describe names a value of a wrong type.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case int64, float64, bool:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return fmt.Sprintf("%v", v)
}

func asString(v any, what string) (string, error) {
	s, ok := v.(string)
	if !ok {
		switch v.(type) {
		case []any, map[string]any:
			return "", fmt.Errorf("%s is not %s", describe(v), what)
		}
		return "", fmt.Errorf("%s is not %s: write it in quotes", describe(v), what)
	}
	return s, nil
}

// textual makes a reader of a function that reads a string.
func textual[T any](kind, allowed, what string, read func(string) (T, error)) reader[T] {
	return reader[T]{kind, allowed, func(v any) (T, error) {
		s, err := asString(v, what)
		if err != nil {
			var none T
			return none, err
		}
		return read(s)
	}}
}

// list makes a reader of lists, of at most most elements, in which no element may stand twice.
func list[T any](each reader[T], kind, allowed string, least, most int) reader[[]T] {
	return reader[[]T]{kind, allowed, func(v any) ([]T, error) {
		elements, ok := v.([]any)
		if !ok {
			if s, text := v.(string); text {
				return nil, fmt.Errorf("%q is not a list: write it in brackets, [%q]", s, s)
			}
			return nil, fmt.Errorf("%s is not a list", describe(v))
		}
		if len(elements) < least || len(elements) > most {
			return nil, fmt.Errorf("the list has %d elements", len(elements))
		}
		out := make([]T, 0, len(elements))
		for _, e := range elements {
			one, err := each.read(e)
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
		return out, nil
	}}
}

func word(allowed ...string) reader[string] {
	choices := "\"" + strings.Join(allowed, "\", \"") + "\""
	return textual("word", choices, "a word", func(s string) (string, error) {
		if !slices.Contains(allowed, s) {
			if near := nearest(strings.ToLower(s), allowed); near != "" {
				return "", fmt.Errorf("%q is unknown; did you mean %q?", s, near)
			}
			return "", fmt.Errorf("%q is unknown", s)
		}
		return s, nil
	})
}

// choice reads one of some words as a type of its own.
func choice[T ~string](allowed ...T) reader[T] {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	w := word(words...)
	return reader[T]{w.kind, w.allowed, func(v any) (T, error) {
		s, err := w.read(v)
		return T(s), err
	}}
}

func boolean() reader[bool] {
	return reader[bool]{"yes or no", "true, false", func(v any) (bool, error) {
		b, ok := v.(bool)
		if !ok {
			return false, fmt.Errorf("%s is neither true nor false", describe(v))
		}
		return b, nil
	}}
}

func count(least, most int64) reader[int] {
	allowed := fmt.Sprintf("%d to %d", least, most)
	return reader[int]{"number", allowed, func(v any) (int, error) {
		n, ok := v.(int64)
		if !ok {
			return 0, fmt.Errorf("%s is not a whole number", describe(v))
		}
		if n < least || n > most {
			return 0, fmt.Errorf("%d is out of range", n)
		}
		return int(n), nil
	}}
}

// unit is a unit of size or time and how many of the least unit it holds.
type unit struct {
	name string
	size int64
}

func sizeUnits() []unit {
	return []unit{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
	}
}

func timeUnits() []unit {
	return []unit{
		{"ms", int64(time.Millisecond)},
		{"s", int64(time.Second)},
		{"m", int64(time.Minute)},
		{"h", int64(time.Hour)},
		{"d", 24 * int64(time.Hour)},
		{"w", 7 * 24 * int64(time.Hour)},
	}
}

// maxDigits keeps a number times its unit within int64.
const maxDigits = 9

// quantity reads numbers with units, one after the other, and adds them up: "90s", "1h30m".
func quantity(s string, units []unit) (total int64, ok bool) {
	for rest := s; rest != ""; {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || digits > maxDigits {
			return 0, false
		}
		rest = strings.TrimLeft(rest[digits:], " ")
		letters := 0
		for letters < len(rest) && (rest[letters] < '0' || rest[letters] > '9') {
			letters++
		}
		i := slices.IndexFunc(units, func(u unit) bool { return strings.EqualFold(u.name, rest[:letters]) })
		if i < 0 || n > (1<<62-total)/units[i].size {
			return 0, false
		}
		total += n * units[i].size
		rest = rest[letters:]
	}
	return total, s != ""
}

// size reads octets. least and most are written as in the file.
func size(least, most string) reader[int64] {
	low, _ := quantity(least, sizeUnits())
	high, _ := quantity(most, sizeUnits())
	allowed := fmt.Sprintf("%s to %s; units B, KB, MB, GB (powers of 1000), KiB, MiB, GiB (powers of 1024)", least, most)
	return reader[int64]{"size", allowed, func(v any) (int64, error) {
		n, whole := v.(int64)
		if !whole {
			s, isText := v.(string)
			if n, whole = quantity(s, sizeUnits()); !isText || !whole {
				return 0, fmt.Errorf("%s is not a size: write a number and a unit, such as \"50MB\"", describe(v))
			}
		}
		if n < low || n > high {
			return 0, fmt.Errorf("%s is out of range", describe(v))
		}
		return n, nil
	}}
}

const timeUnitsText = "units ms, s, m, h, d (days), w (weeks)"

func duration(least, most string) reader[time.Duration] {
	low, _ := quantity(least, timeUnits())
	high, _ := quantity(most, timeUnits())
	return reader[time.Duration]{"time", fmt.Sprintf("%s to %s; %s", least, most, timeUnitsText), func(v any) (time.Duration, error) {
		s, isText := v.(string)
		n, ok := quantity(s, timeUnits())
		if !isText || !ok {
			return 0, fmt.Errorf("%s is not a time: write a number and a unit in quotes, such as \"5m\"", describe(v))
		}
		if n < low || n > high {
			return 0, fmt.Errorf("%q is out of range", s)
		}
		return time.Duration(n), nil
	}}
}

// durationOrNever reads "never" as 0.
func durationOrNever(least, most string) reader[time.Duration] {
	d := duration(least, most)
	return reader[time.Duration]{"time or \"never\"", d.allowed + "; or \"never\"", func(v any) (time.Duration, error) {
		if v == "never" {
			return 0, nil
		}
		return d.read(v)
	}}
}

// maxText bounds names and paths; the longest path that Linux takes has 4096 octets.
const maxText = 4096

// oneLine reads text that is not empty and holds no control characters.
func oneLine(kind, allowed string) reader[string] {
	return textual(kind, allowed, "a "+kind, func(s string) (string, error) {
		if strings.TrimSpace(s) == "" {
			return "", errors.New("it is empty: leave the key out, or give it a value")
		}
		if len(s) > maxText || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", errors.New("it is too long or holds control characters")
		}
		return s, nil
	})
}

func path() reader[string] {
	return oneLine("path", "a path, absolute or from the folder of this file")
}

// portNumber reads 1 to 65535, or from 0 where the system may choose.
func portNumber(s string, least int) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || int(n) < least {
		return 0, fmt.Errorf("the port %q is not a number from %d to 65535", s, least)
	}
	return uint16(n), nil
}

func listenAddress() reader[string] {
	const allowed = `"IP:port", "[IPv6]:port", or ":port" for all addresses`
	return textual("address", allowed, "an address", func(s string) (string, error) {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return "", fmt.Errorf("%q is not an address with a port", s)
		}
		n, err := portNumber(port, 0)
		if err != nil {
			return "", fmt.Errorf("%q: %w", s, err)
		}
		if host == "*" {
			host = ""
		}
		if host != "" {
			addr, err := netip.ParseAddr(host)
			if err != nil {
				return "", fmt.Errorf("%q: %q is not an IP address", s, host)
			}
			host = addr.String()
		}
		return net.JoinHostPort(host, strconv.Itoa(int(n))), nil
	})
}

// lmtpAddress is a listenAddress or the path of a socket.
func lmtpAddress() reader[string] {
	tcp := listenAddress()
	return textual("address", tcp.allowed+`, or "/path/of/a/socket"`, "an address", func(s string) (string, error) {
		if strings.HasPrefix(s, "/") {
			return s, nil
		}
		return tcp.read(s)
	})
}

// rule reads "allow PATTERN" and "refuse PATTERN [TEXT]".
func rule(client bool) reader[Rule] {
	pattern := `an address, "@domain", "@.domain" for all names below it, or "<>"`
	if client {
		pattern = "an IP address or a network"
	}
	return textual("rule", `"allow PATTERN" or "refuse PATTERN [TEXT]", where PATTERN is `+pattern, "a rule", func(s string) (Rule, error) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
		what, text, _ := strings.Cut(strings.TrimSpace(rest), " ")
		r := Rule{Allow: verb == "allow", Text: strings.TrimSpace(text)}
		switch {
		case !r.Allow && verb != "refuse":
			return Rule{}, fmt.Errorf("%q begins with neither allow nor refuse", s)
		case what == "":
			return Rule{}, fmt.Errorf("%q does not say whom", s)
		case r.Allow && r.Text != "":
			return Rule{}, fmt.Errorf("%q has a text, which only refuse has", s)
		case len(r.Text) > maxText || strings.ContainsFunc(r.Text, func(c rune) bool { return c < ' ' || c > '~' }):
			return Rule{}, fmt.Errorf("%q: the text is no line of ASCII", s)
		}
		var err error
		switch {
		case client:
			var p netip.Prefix
			if a, bad := netip.ParseAddr(what); bad == nil {
				p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
			} else if p, err = netip.ParsePrefix(what); err != nil {
				return Rule{}, fmt.Errorf("%q: %q is neither an IP address nor a network", s, what)
			} else if p.Addr().Is4In6() { // no client would ever match
				return Rule{}, fmt.Errorf("%q: write IPv4 networks as such, without ::ffff in front", s)
			}
			r.Network = p.Masked()
		case what == "<>":
			r.Null = true
		case strings.HasPrefix(what, "@"):
			name, below := strings.CutPrefix(what[1:], ".")
			r.Below = below
			if r.Domain, err = address.ParseDomain(name); err != nil {
				return Rule{}, fmt.Errorf("%q: %w", s, err)
			}
		default:
			if r.Address, err = address.ParseMailbox(what); err != nil {
				return Rule{}, fmt.Errorf("%q: %w", s, err)
			}
		}
		return r, nil
	})
}

func dnsServer() reader[string] {
	return textual("address", `"IP", "IP:port" or "[IPv6]:port"; port 53 if none is given`, "an address", func(s string) (string, error) {
		if addr, err := netip.ParseAddr(s); err == nil {
			return netip.AddrPortFrom(addr, 53).String(), nil
		}
		ap, err := netip.ParseAddrPort(s)
		if err != nil || ap.Port() == 0 {
			return "", fmt.Errorf("%q is not an IP address with or without a port", s)
		}
		return ap.String(), nil
	})
}

func localAddress() reader[netip.Addr] {
	return textual("address", "IP addresses of this machine", "an IP address", func(s string) (netip.Addr, error) {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.IsUnspecified() || addr.IsMulticast() {
			return netip.Addr{}, fmt.Errorf("%q is not an IP address to send from", s)
		}
		return addr.Unmap(), nil
	})
}

// The widest networks that may relay: private networks fit, half of the Internet does not. A wider one would make an open
// relay of the server.
const (
	minBits4 = 8
	minBits6 = 7
)

func network() reader[netip.Prefix] {
	return textual("network", "", "a network", func(s string) (netip.Prefix, error) {
		if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			return netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return p, fmt.Errorf("%q is not a network", s)
		case p.Addr().Is4In6():
			return p, fmt.Errorf("%q: write IPv4 networks as such, without ::ffff in front", s)
		case p.Addr().Is4() && p.Bits() < minBits4, p.Addr().Is6() && p.Bits() < minBits6:
			return p, fmt.Errorf("%q is so wide that anybody could relay", s)
		case p != p.Masked():
			return p, fmt.Errorf("%q: the address has bits outside the network; did you mean %q or %q?", s, p.Masked(), p.Addr())
		}
		return p, nil
	})
}

func hostname() reader[string] {
	return textual("host name", "a domain name such as \"mx.example.org\"", "a host name", func(s string) (string, error) {
		d, err := address.ParseDomain(s)
		if _, literal := d.Literal(); err != nil || literal {
			return "", fmt.Errorf("%q is not a host name", s)
		}
		return d.String(), nil
	})
}

// maxWebURL leaves room in a reply line for what follows it (rfc5321#4.5.3.1.5).
const maxWebURL = 200

// webAddress reads the address of the pages; the slash at its end is taken off.
func webAddress() reader[string] {
	return textual("address", `"https://host", "https://host:port" or "https://host/folder"; http as well`, "a web address", func(s string) (string, error) {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
			return "", fmt.Errorf("%q is not a web address: it begins with https:// or http:// and a host name", s)
		case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
			return "", fmt.Errorf("%q: a name, a query or a fragment cannot stand in it", s)
		case len(s) > maxWebURL || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
			return "", fmt.Errorf("%q is longer than %d characters, or holds others than those of an address in ASCII", s, maxWebURL)
		}
		return strings.TrimRight(s, "/"), nil
	})
}

func mailbox() reader[address.Mailbox] {
	return textual("address", "a mail address such as \"anna@example.org\"", "a mail address", func(s string) (address.Mailbox, error) {
		m, err := address.ParseMailbox(s)
		if err != nil || m.Domain.IsZero() {
			return address.Mailbox{}, fmt.Errorf("%q is not a mail address", s)
		}
		return m, nil
	})
}
