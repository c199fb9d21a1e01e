package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// Key describes one key of the file, for people and for the tests of the documentation.
type Key struct {
	Name    string // with its section: "limits.message_size"; of routes "routes.DOMAIN" and "routes.DOMAIN.host", of backends "login.backends.NAME"
	Type    string
	Default string // in TOML, or in words if there is none in TOML
	Allowed string
	Reload  bool   // a new value takes effect at SIGHUP; otherwise at a restart
	Doc     string // one sentence
}

// Section returns the part of the name before the dot, or ""; backends are a section of their own.
func (k Key) Section() string {
	if strings.HasPrefix(k.Name, backendSection+".") {
		return backendSection
	}
	section, _, found := strings.Cut(k.Name, ".")
	if !found {
		return ""
	}
	return section
}

// Keys returns all keys of the file in the order of the documentation.
func Keys() []Key {
	all := specs()
	keys := make([]Key, 0, len(all)+len(routeKeys())+len(backendSpecs())+1)
	for _, s := range all {
		keys = append(keys, s.Key)
	}
	keys = append(keys, routeKeys()...)
	return append(keys, backendKeys()...)
}

// spec is a key and where its value goes.
type spec struct {
	Key
	toml string // the default to read; empty: the field keeps its zero value
	set  func(c *Config, v any) error
}

// Whether a new value takes effect at SIGHUP.
const (
	reload  = true
	restart = false
)

// key makes a spec. byDefault is TOML, or words in parentheses if the default is no value.
func key[T any](name, byDefault string, when bool, r reader[T], field func(*Config) *T, doc string) spec {
	s := spec{Key: Key{Name: name, Type: r.kind, Default: byDefault, Allowed: r.allowed, Reload: when, Doc: doc}, toml: byDefault}
	if words, ok := strings.CutPrefix(byDefault, "("); ok {
		s.Default, s.toml = strings.TrimSuffix(words, ")"), ""
	}
	s.set = func(c *Config, v any) error {
		value, err := r.read(v)
		if err == nil {
			*field(c) = value
		}
		return err
	}
	return s
}

const (
	maxElements   = 1000 // of a list in the file
	maxRules      = 10_000
	maxMilters    = 10
	maxBlockLists = 20
	maxRetries    = 100 // steps of the retry schedule
)

// specs is the table of all keys but those of routes.
func specs() []spec {
	return slices.Concat(serverSpecs(), pathSpecs(), limitSpecs(), loginSpecs(), checkSpecs(), restSpecs())
}

// serverSpecs are the keys that say who the server is and where it listens.
func serverSpecs() []spec {
	listeners := list(listenAddress(), "list of addresses", listenAddress().allowed+"; [] for none", 0, maxElements)
	lmtp := list(lmtpAddress(), "list of addresses", lmtpAddress().allowed+"; [] for none", 0, maxElements)
	return []spec{
		key("hostname", "(the system's host name)", restart, hostname(),
			func(c *Config) *string { return &c.Hostname },
			"What the server calls itself in greetings, `Received` fields and reports; it ought to resolve to our address."),
		key("data", `"onward-data"`, restart, path(),
			func(c *Config) *string { return &c.Data },
			"The folder of all that the server keeps: queue, addresses, accounts, keys, control socket."),
		key("listen.mx", `["127.0.0.1:2525"]`, restart, listeners,
			func(c *Config) *[]string { return &c.Listen.MX },
			"Where other servers bring mail; usually port 25."),
		key("listen.submission", `["127.0.0.1:2587"]`, restart, listeners,
			func(c *Config) *[]string { return &c.Listen.Submission },
			"Where users send mail after login, with STARTTLS; usually port 587."),
		key("listen.submissions", `["127.0.0.1:2465"]`, restart, listeners,
			func(c *Config) *[]string { return &c.Listen.Submissions },
			"Where users send mail after login, with TLS from the start; usually port 465."),
		key("listen.web", `["127.0.0.1:8080"]`, restart, listeners,
			func(c *Config) *[]string { return &c.Listen.Web },
			"Where the web pages are."),
		key("listen.lmtp", `[]`, restart, lmtp,
			func(c *Config) *[]string { return &c.Listen.LMTP },
			"Where neighbours hand mail on by LMTP (RFC 2033), with an answer for each recipient: addresses, or paths of sockets."),
		key("listen.proxied", `[]`, restart, listeners,
			func(c *Config) *[]string { return &c.Listen.Proxied },
			"Those of the addresses above where a proxy stands before us: every connection must begin with a header of the PROXY protocol (version 1 or 2), and none may on the others."),
		key("listen.proxy_networks", `["127.0.0.0/8", "::1"]`, restart, list(network(), "list of networks", "IP addresses and networks", 1, maxElements),
			func(c *Config) *[]netip.Prefix { return &c.Listen.Proxies },
			"Where the proxies are; nobody else may connect to `proxied`."),
		key("listen.sendmail", "(none)", restart, path(),
			func(c *Config) *string { return &c.Listen.Sendmail },
			"A socket where every user of this machine may submit with `onward sendmail`, such as `/run/onward/sendmail.sock`. Without it only root and the server's own user may."),
		key("listen.accounts", "(none)", restart, path(),
			func(c *Config) *string { return &c.Listen.Accounts },
			"A socket where every user of this machine manages an account of his own with `onward my`, after giving its login and main password, such as `/run/onward/accounts.sock`. Not that of `sendmail`. Without it administrators do it for them."),
		key("tls.certificate", "(a self-signed one, made at first start)", reload, path(),
			func(c *Config) *string { return &c.TLS.Certificate },
			"The PEM file with our certificate, followed by those that vouch for it."),
		key("tls.key", "(the key of the self-signed certificate)", reload, path(),
			func(c *Config) *string { return &c.TLS.Key },
			"The PEM file with the private key of `certificate`; both are given, or neither."),
		key("tls.chains", `[]`, reload, list(path(), "list of paths", "PEM files", 0, maxElements),
			func(c *Config) *[]string { return &c.TLS.Chains },
			"PEM files for further host names, each with its private key and its certificates; a client that names a host gets the one for it."),
		key("tls.web", `"auto"`, restart, word(WebTLSAuto, WebTLSAlways, WebTLSNever),
			func(c *Config) *string { return &c.TLS.Web },
			"Whether the web pages are served over TLS (https); `auto`: if `certificate` is set, except on loopback addresses, where a proxy may stand."),
	}
}

// pathSpecs are the keys that say which way mail goes, and for how long it tries.
func pathSpecs() []spec {
	networks := list(network(), "list of networks",
		`IP addresses and networks such as "192.0.2.0/24"; at least /8 (IPv4) or /7 (IPv6)`, 0, maxElements)
	servers := list(dnsServer(), "list of addresses", dnsServer().allowed, 1, maxElements)
	retry := list(duration("100ms", "7d"), "list of times", "1 to 100 times of 100ms to 7d; "+timeUnitsText, 1, maxRetries)
	source := list(localAddress(), "list of addresses", "IP addresses of this machine, at most one IPv4 and one IPv6", 0, maxElements)
	return []spec{
		key("relay.networks", `[]`, reload, networks,
			func(c *Config) *[]netip.Prefix { return &c.Relay.Networks },
			"Clients that may send to anybody without login; nobody unless listed, this machine included."),
		key("xclient.networks", `[]`, reload, networks,
			func(c *Config) *[]netip.Prefix { return &c.XClient.Networks },
			"Clients that may say for whom they speak, by XCLIENT: content filters and proxies of one's own."),
		key("xclient.login", `false`, reload, boolean(),
			func(c *Config) *bool { return &c.XClient.Login },
			"Whether they may also say who has logged in."),
		key("dns.servers", "(those of /etc/resolv.conf)", restart, servers,
			func(c *Config) *[]string { return &c.DNS.Servers },
			"The recursive name servers to ask, in this order."),
		key("dns.trust_ad", `false`, restart, boolean(),
			func(c *Config) *bool { return &c.DNS.TrustAD },
			"Whether to believe these servers when they say that DNSSEC vouches for an answer; one on loopback is always believed."),
		key("queue.retry", `["1m", "5m", "15m", "30m", "1h", "2h", "4h"]`, reload, retry,
			func(c *Config) *[]time.Duration { return &c.Queue.Retry },
			"How long to wait after the first failed attempt, the second, and so on; the last one repeats."),
		key("queue.expire", `"5d"`, reload, duration("1s", "90d"),
			func(c *Config) *time.Duration { return &c.Queue.Expire },
			"How long to keep trying before the sender gets a report."),
		key("queue.delay_notice", `"4h"`, reload, durationOrNever("1s", "90d"),
			func(c *Config) *time.Duration { return &c.Queue.DelayNotice },
			"After how long an authenticated sender is told that a message still waits."),
		key("delivery.tls", `"opportunistic"`, restart, choice(Opportunistic, Require, None),
			func(c *Config) *Policy { return &c.Delivery.TLS },
			"When TLS is used towards other servers, unless a route says otherwise."),
		key("delivery.eight_bit", `"refuse"`, restart, choice(EightBitRefuse, EightBitConvert, EightBitSend),
			func(c *Config) *EightBit { return &c.Delivery.EightBit },
			"What becomes of 8-bit content at a server that does not take it: the sender hears of it (5.6.3), it is made 7-bit unless it is signed, or it is sent all the same."),
		key("delivery.connections", `100`, restart, count(1, 10000),
			func(c *Config) *int { return &c.Delivery.Connections },
			"Connections to other servers at one time, all destinations together."),
		key("delivery.connections_per_destination", `20`, restart, count(1, 1000),
			func(c *Config) *int { return &c.Delivery.ConnectionsPerDestination },
			"Connections to one destination at one time."),
		key("delivery.connect_timeout", `"30s"`, restart, duration("1s", "10m"),
			func(c *Config) *time.Duration { return &c.Delivery.ConnectTimeout },
			"How long one address of another server may take to accept a connection."),
		key("delivery.command_timeout", `"5m"`, restart, duration("1s", "1h"),
			func(c *Config) *time.Duration { return &c.Delivery.CommandTimeout },
			"How long another server may take to answer a command; the end of a message always has 10 minutes."),
		key("delivery.source", `[]`, restart, source,
			func(c *Config) *[]netip.Addr { return &c.Delivery.Source },
			"The addresses of this machine to send from; the system chooses where none is given."),
	}
}

// limitSpecs are the keys that bound what clients take.
func limitSpecs() []spec {
	return []spec{
		key("limits.message_size", `"50MB"`, reload, size("1KB", "2GB"),
			func(c *Config) *int64 { return &c.Limits.MessageSize },
			"The largest message that is accepted; RFC 5321 asks for at least 64 KiB."),
		key("limits.recipients", `1000`, reload, count(1, 100000),
			func(c *Config) *int { return &c.Limits.Recipients },
			"Recipients of one message; RFC 5321 asks for at least 100."),
		key("limits.messages", `1000`, reload, count(1, 100000),
			func(c *Config) *int { return &c.Limits.Messages },
			"Messages that a client may begin in one connection; it is told by LIMITS (RFC 9422)."),
		key("limits.connections", `10000`, reload, count(1, 100000),
			func(c *Config) *int { return &c.Limits.Connections },
			"Clients connected at one time, all SMTP listeners together."),
		key("limits.connections_per_address", `250`, reload, count(1, 100000),
			func(c *Config) *int { return &c.Limits.ConnectionsPerAddress },
			"Clients connected at one time from one address."),
		key("limits.connections_per_network", `500`, reload, count(1, 100000),
			func(c *Config) *int { return &c.Limits.ConnectionsPerNetwork },
			"Clients connected at one time from one network: an IPv4 /24 or an IPv6 /48."),
		key("limits.connection_rate", `300`, reload, count(0, 1000000),
			func(c *Config) *int { return &c.Limits.ConnectionRate },
			"New connections a minute from one address (IPv6: one /64); 0 for any number."),
		key("limits.message_rate", `0`, reload, count(0, 1000000),
			func(c *Config) *int { return &c.Limits.MessageRate },
			"Messages a minute that one address may begin without a login; 0 for any number."),
		key("limits.receiving", `1000`, reload, count(1, 100000),
			func(c *Config) *int { return &c.Limits.Receiving },
			"Messages on their way in at one time; each takes some 100 KB of memory at most, however large it is."),
		key("limits.block", `"5m"`, reload, durationOrNever("1s", "1d"),
			func(c *Config) *time.Duration { return &c.Limits.Block },
			"How long an address is refused after a connection that was closed because of errors; doubled each time, up to an hour."),
		key("limits.greet_pause", `"never"`, reload, durationOrNever("100ms", "30s"),
			func(c *Config) *time.Duration { return &c.Limits.GreetPause },
			"How long a client on port 25 that was not here for 30 days waits for its greeting, to see whether it speaks first."),
		key("limits.known", `["127.0.0.0/8", "::1"]`, reload, list(network(), "list of networks", "IP addresses and networks", 0, maxElements),
			func(c *Config) *[]netip.Prefix { return &c.Limits.Known },
			"Clients that are no strangers: rates, `block` and `greet_pause` are not for them, and they find room when the server is full. `relay.networks` are always among them."),
		key("limits.errors", `20`, reload, count(1, 1000),
			func(c *Config) *int { return &c.Limits.Errors },
			"Refused commands in one connection before it is closed."),
		key("limits.free_disk", `"200MB"`, reload, size("0B", "1000GB"),
			func(c *Config) *int64 { return &c.Limits.FreeDisk },
			"Free space on the disk of `data` below which new mail is put off (452 4.3.1) until there is more."),
		key("limits.command_timeout", `"5m"`, reload, duration("1s", "1h"),
			func(c *Config) *time.Duration { return &c.Limits.CommandTimeout },
			"How long a client may take over its next command; RFC 5321 asks for at least 5 minutes."),
		key("limits.data_timeout", `"5m"`, reload, duration("1s", "1h"),
			func(c *Config) *time.Duration { return &c.Limits.DataTimeout },
			"How long a client may take over the next piece of a message."),
	}
}

// checkSpecs are the keys that say what mail is not taken.
func checkSpecs() []spec {
	strictness := choice(CheckOff, CheckLog, CheckRefuse)
	networks := list(network(), "list of networks", "IP addresses and networks", 0, maxElements)
	return []spec{
		key("checks.block_lists", `[]`, reload, list(hostname(), "list of zones", "domain names", 0, maxBlockLists),
			func(c *Config) *[]string { return &c.Checks.BlockLists },
			"Zones of DNS that list addresses which nobody wants mail from, such as `zen.spamhaus.org`; a listed client may write to the postmaster only."),
		key("checks.reverse_dns", `"off"`, reload, strictness,
			func(c *Config) *Strictness { return &c.Checks.ReverseDNS },
			"Whether a client must have a host name that leads back to its address."),
		key("checks.hello", `"off"`, reload, strictness,
			func(c *Config) *Strictness { return &c.Checks.Hello },
			"Whether the name after EHLO must exist and must not be ours."),
		key("checks.sender_domain", `"off"`, reload, strictness,
			func(c *Config) *Strictness { return &c.Checks.SenderDomain },
			"Whether the sender's domain must take mail, so that somebody could be answered."),
		key("checks.greylist", `"never"`, reload, durationOrNever("1s", "1d"),
			func(c *Config) *time.Duration { return &c.Checks.Greylist },
			"How long a client that was never here has to wait before its first message is taken."),
		key("checks.bare_lf", `"refuse"`, reload, word(BareLFRefuse, BareLFMend),
			func(c *Config) *string { return &c.Checks.BareLF },
			"What becomes of content whose lines end with LF alone: refused, because a second message can be smuggled with it, or made CRLF, for old programs of one's own. Whatever it says, only CRLF dot CRLF ends a message."),
		key("checks.verify", `"users"`, reload, word(VerifyUsers, VerifyDisclosed, VerifyNobody),
			func(c *Config) *string { return &c.Checks.Verify },
			"Who is told by VRFY whether an address exists: `users` who have logged in; with `disclosed` strangers, too, where the owner of an address lets its target be told (251, 551); or `nobody` (252)."),
		key("checks.exempt", `[]`, reload, networks,
			func(c *Config) *[]netip.Prefix { return &c.Checks.Exempt },
			"Clients to whom none of these checks applies; users with a login and `relay.networks` are always among them."),
		key("rules.clients", `[]`, reload, list(rule(true), "list of rules", rule(true).allowed, 0, maxRules),
			func(c *Config) *[]Rule { return &c.Rules.Clients },
			"Whom to let in or keep out by address; the first that matches counts, and `allow` passes the checks."),
		key("rules.senders", `[]`, reload, list(rule(false), "list of rules", rule(false).allowed, 0, maxRules),
			func(c *Config) *[]Rule { return &c.Rules.Senders },
			"The same by reverse-path; `<>` is the null one."),
		key("rules.recipients", `[]`, reload, list(rule(false), "list of rules", rule(false).allowed, 0, maxRules),
			func(c *Config) *[]Rule { return &c.Rules.Recipients },
			"The same by recipient, for addresses that exist."),
		key("milters.servers", `[]`, reload, list(lmtpAddress(), "list of addresses", `"IP:port", "[IPv6]:port" or "/path/of/a/socket"`, 0, maxMilters),
			func(c *Config) *[]string { return &c.Milters.Servers },
			"Filters that see every message before it is taken, one after the other: rspamd, clamav-milter, opendkim and others that speak the milter protocol."),
		key("milters.failure", `"defer"`, reload, word(MilterDefer, MilterAccept),
			func(c *Config) *string { return &c.Milters.Failure },
			"What becomes of mail while one of them does not answer: put off (451), or taken unseen."),
		key("milters.timeout", `"30s"`, reload, duration("1s", "10m"),
			func(c *Config) *time.Duration { return &c.Milters.Timeout },
			"How long one may take over each answer."),
	}
}

// restSpecs are the keys about the server's surroundings.
func restSpecs() []spec {
	return []spec{
		key("user.run_as", "(the user that started it)", restart, oneLine("user", "the name of a user of this system"),
			func(c *Config) *string { return &c.User.RunAs },
			"The user to become once the ports are open; for a server that root starts."),
		key("mailboxes.path", "(the folder mailboxes in data)", restart, path(),
			func(c *Config) *string { return &c.Mailboxes.Path },
			"The folder of the Maildirs of local mailboxes."),
		key("log.level", `"info"`, reload, word("debug", "info", "warn", "error"),
			func(c *Config) *string { return &c.Log.Level },
			"The least important events that are logged."),
		key("log.format", `"text"`, restart, word("text", "json"),
			func(c *Config) *string { return &c.Log.Format },
			"How they are written to standard error: for people, or one JSON object a line."),
		key("reports.postmaster", "(a local mailbox, postmaster@ and the host name)", restart, mailbox(),
			func(c *Config) *address.Mailbox { return &c.Reports.Postmaster },
			"Who gets mail for `postmaster` and `abuse` of the domains that have no such address of their own."),
		key("web.url", "(made of `hostname` and `listen.web`)", restart, webAddress(),
			func(c *Config) *string { return &c.Web.URL },
			"Where others find the web pages, if a proxy stands before them or their port is another from outside."),
		key("web.links", `true`, restart, boolean(),
			func(c *Config) *bool { return &c.Web.Links },
			"Whether a reply that refuses something ends in a link to the page that explains it, such as `https://mx.example.org/r/550/mailbox-unknown`; only if the pages can be reached from outside, or `web.url` is set."),
	}
}
