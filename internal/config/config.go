// Package config reads the server's configuration file: TOML, strict, explained.
//
// It promises that a Config that exists is whole and consistent: every key has a value of the type, range and form that
// the table of keys states (Keys, and docs/CONFIGURATION.md, which a test holds against it), every path is resolved
// against the folder of the file, and nothing in it changes afterwards: it is a snapshot, shared freely between
// goroutines. A file with mistakes gives no Config but Errors: all of them, each with file, line, key, what is wrong and
// what is allowed, and for an unknown key the one that was probably meant.
//
// It does not look at the machine: whether a port is free, a certificate readable or a folder writable shows when the
// server starts. It knows no defaults of other packages, and they know nothing of it: the assembly translates.
//
// Load is a function of its argument; ReadFile is the one thing here that touches a disk.
package config

import (
	"net/netip"
	"time"

	"github.com/onwardmail/onward/internal/address"
)

// Config is one configuration in force. Do not change it; a reload makes a new one.
type Config struct {
	Hostname  string // A-label form, lower case; what we call ourselves in greetings and trace fields
	Data      string // folder of the store, the keys and onward.sock
	Listen    Listen
	TLS       TLS
	Relay     Relay
	XClient   XClient
	Checks    Checks
	Rules     Rules
	Milters   Milters
	Login     Login
	Routes    []Route // exact domains first, then longer ".domain" before shorter, "*" last
	DNS       DNS
	Queue     Queue
	Limits    Limits
	Delivery  Delivery
	User      User
	Mailboxes Mailboxes
	Log       Log
	Reports   Reports
	Web       Web

	settings []Setting
}

// Listen holds the addresses to listen on, in the form that net.Listen takes: "127.0.0.1:2525", "[::1]:25", ":25". An
// empty list means that the service is off.
type Listen struct {
	MX          []string       // mail from other servers
	Submission  []string       // mail from users, STARTTLS (rfc6409)
	Submissions []string       // mail from users, TLS from the first octet (rfc8314#3.3)
	Web         []string       // pages that explain replies
	LMTP        []string       // mail from neighbours by LMTP (rfc2033); also an absolute path of a socket
	Proxied     []string       // those of the addresses above where every connection begins with a header of the PROXY protocol
	Proxies     []netip.Prefix // who may connect there
	Sendmail    string         // path of a socket where every user of this machine may submit; empty: none
	Accounts    string         // path of a socket where every user of this machine manages an account of his own; empty: none
}

// Web says how people reach the pages.
type Web struct {
	URL   string // where others find the pages, without a slash at its end; empty: from Listen.Web
	Links bool   // whether replies that refuse end in a link to their page
}

// TLS names the certificate that we show. Both paths are empty if we are to make a self-signed one.
type TLS struct {
	Certificate string   // PEM, leaf first, then the chain
	Key         string   // PEM
	Chains      []string // PEM, each with key, leaf and chain, for further host names
	Web         string   // WebTLSAuto, WebTLSAlways or WebTLSNever
}

// Values of TLS.Web: whether the web pages are served over TLS.
const (
	WebTLSAuto   = "auto"   // with a certificate of the configuration, except on loopback
	WebTLSAlways = "always" // with the self-signed certificate if there is no other
	WebTLSNever  = "never"
)

// XClient says who may say for whom he speaks.
type XClient struct {
	Networks []netip.Prefix // masked; none by default
	Login    bool           // also who has logged in
}

// Strictness is what a check does with what it finds.
type Strictness string

// The levels.
const (
	CheckOff    Strictness = "off"
	CheckLog    Strictness = "log"
	CheckRefuse Strictness = "refuse"
)

// Checks say what clients of port 25 are held against.
type Checks struct {
	BlockLists   []string // zones of DNS
	ReverseDNS   Strictness
	Hello        Strictness
	SenderDomain Strictness
	Greylist     time.Duration  // 0: off
	BareLF       string         // BareLFRefuse or BareLFMend
	Verify       string         // VerifyUsers, VerifyDisclosed or VerifyNobody
	Exempt       []netip.Prefix // no check is for them
}

// Values of Checks.Verify: who is told by VRFY whether an address exists.
const (
	VerifyUsers     = "users"
	VerifyDisclosed = "disclosed"
	VerifyNobody    = "nobody"
)

// Values of Checks.BareLF: what becomes of content with an LF on its own.
const (
	BareLFRefuse = "refuse"
	BareLFMend   = "normalize"
)

// Rules let somebody in or keep him out; the first that matches counts.
type Rules struct {
	Clients, Senders, Recipients []Rule
}

// Rule is one of them: see intake.Rule.
type Rule struct {
	Allow   bool
	Network netip.Prefix
	Address address.Mailbox
	Domain  address.Domain
	Below   bool
	Null    bool
	Text    string
}

// Milters are filters that see every message.
type Milters struct {
	Servers []string // "IP:port" or "/path", in this order
	Failure string   // MilterDefer or MilterAccept
	Timeout time.Duration
}

// Values of Milters.Failure: what becomes of mail while a filter does not answer.
const (
	MilterDefer  = "defer"
	MilterAccept = "accept"
)

// Relay says who may relay without login.
type Relay struct {
	Networks []netip.Prefix // masked; none by default
}

// DNS says whom to ask.
type DNS struct {
	Servers []string // IP:port; empty: those of /etc/resolv.conf
	TrustAD bool     // believe the AD bit of servers that are not on loopback
}

// Queue says how long we try.
type Queue struct {
	Retry       []time.Duration // waits after the first, second … failed attempt; the last one repeats; never empty
	Expire      time.Duration   // age at which a message is given up and reported
	DelayNotice time.Duration   // age at which a submitter is told of a delay; 0: never
}

// Limits bound what a client may take.
type Limits struct {
	MessageSize           int64          // octets, as announced in SIZE (rfc1870)
	Recipients            int            // per message
	Messages              int            // in one connection, whatever becomes of them
	Connections           int            // at one time, all listeners together
	ConnectionsPerAddress int            // at one time from one client address
	ConnectionsPerNetwork int            // at one time from one IPv4 /24 or IPv6 /48
	ConnectionRate        int            // new connections a minute from one client address; 0: any
	MessageRate           int            // messages a minute from one client address without login; 0: any
	Receiving             int            // messages on their way in at one time
	Block                 time.Duration  // how long an address is refused after a session that ended by errors; 0: never
	GreetPause            time.Duration  // how long a stranger waits for the greeting; 0: nobody waits
	Known                 []netip.Prefix // no strangers: rates, block and pause are not for them
	Errors                int            // refused commands in one connection, after which it is closed
	FreeDisk              int64          // octets free on the disk of Data, below which new mail is refused with 452 4.3.1
	CommandTimeout        time.Duration
	DataTimeout           time.Duration
}

// Policy says when TLS is used towards another server.
type Policy string

// The policies. Implicit stands in a Route only.
const (
	Opportunistic Policy = "opportunistic" // STARTTLS when offered, whatever the certificate; in clear otherwise
	Require       Policy = "require"       // STARTTLS with a certificate valid for the host, or no delivery
	None          Policy = "none"          // never
	Implicit      Policy = "implicit"      // TLS from the first octet, certificate valid for the host
)

// EightBit says what becomes of 8-bit or binary content at a server that does not take it.
type EightBit string

// The choices.
const (
	EightBitRefuse  EightBit = "refuse"  // the message fails with 5.6.3 (rfc6152#3)
	EightBitConvert EightBit = "convert" // made 7-bit on its way, unless it is signed
	EightBitSend    EightBit = "send"    // sent as it is
)

// Delivery says how we hand mail on.
type Delivery struct {
	TLS                       Policy // for every destination whose route says nothing else
	Connections               int    // at one time, all destinations together
	ConnectionsPerDestination int
	ConnectTimeout            time.Duration // for one address of one host
	CommandTimeout            time.Duration // for one reply but that to the final dot (10 minutes, rfc5321#4.5.3.2.6)
	EightBit                  EightBit
	Source                    []netip.Addr // local addresses to send from, at most one of each family; empty: the system's choice
}

// Route is where mail for some domains goes instead of to its MX hosts.
type Route struct {
	Match        string // "example.net", ".example.net" for all names below it, or "*"
	MX           bool   // by MX after all: an exception from a wider route. The fields below are empty then
	Host         string // A-label name, or an IP address without brackets
	Port         uint16
	TLS          Policy // never empty
	Username     string // empty: no login
	PasswordFile string // its first line is the password
}

// User says as whom the server runs.
type User struct {
	RunAs string // user name to change to after binding; empty: stay who we are
}

// Mailboxes says where local mail is kept.
type Mailboxes struct {
	Path string // folder of the Maildirs
}

// Log says what is written to standard error.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // text or json
}

// Reports says who hears of what nobody else will.
type Reports struct {
	Postmaster address.Mailbox // gets postmaster@ and abuse@ of every domain that has none; zero: a local mailbox
}

// Setting is the value of one key, for people to look at.
type Setting struct {
	Key   string // as in Keys; of a route "routes.example.net"
	Value string // in TOML
	Line  int    // in the file; 0: by default
}

// Settings returns all values in force, in the order of Keys. A key without a value in TOML, such as a certificate that we
// make ourselves, has its default in words.
func (c *Config) Settings() []Setting { return append([]Setting(nil), c.settings...) }
