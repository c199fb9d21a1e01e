package deliver

import (
	"log/slog"
	"net"
	"time"
)

// Timeouts are how long we wait at each stage. The defaults of the stages that
// rfc5321#4.5.3.2 names are its minima.
type Timeouts struct {
	Connect  time.Duration // opening a TCP connection to one address
	Greeting time.Duration // the first reply
	Hello    time.Duration // EHLO and HELO
	TLS      time.Duration // the reply to STARTTLS, and again the handshake
	Auth     time.Duration // each reply of an AUTH exchange
	Mail     time.Duration // MAIL, and RSET
	Rcpt     time.Duration // RCPT
	Data     time.Duration // the reply to DATA
	Block    time.Duration // writing one block of content
	Final    time.Duration // the reply to the final dot
	Quit     time.Duration // QUIT; nothing depends on its reply
}

// The defaults of Timeouts.
const (
	DefaultConnectTimeout  = 30 * time.Second // no RFC has one; an address that is silent so long is taken for dead
	DefaultGreetingTimeout = 5 * time.Minute  // rfc5321#4.5.3.2.1
	DefaultHelloTimeout    = 5 * time.Minute  // no RFC has one; as for MAIL
	DefaultTLSTimeout      = 2 * time.Minute  // no RFC has one
	DefaultAuthTimeout     = 3 * time.Minute  // rfc4954#4
	DefaultMailTimeout     = 5 * time.Minute  // rfc5321#4.5.3.2.2
	DefaultRcptTimeout     = 5 * time.Minute  // rfc5321#4.5.3.2.3
	DefaultDataTimeout     = 2 * time.Minute  // rfc5321#4.5.3.2.4
	DefaultBlockTimeout    = 3 * time.Minute  // rfc5321#4.5.3.2.5
	DefaultFinalTimeout    = 10 * time.Minute // rfc5321#4.5.3.2.6
	DefaultQuitTimeout     = 5 * time.Second
)

// Limits bound what an attempt and the pool may take.
type Limits struct {
	// Connections is the number of connections to one address for one purpose
	// at a time; further attempts wait for one to come free.
	Connections int
	// Messages is how many transactions a connection carries.
	Messages int
	// Idle is how long a connection is kept open for further mail.
	Idle time.Duration
	// Hosts is how many mail exchangers are tried in one attempt, Addresses
	// how many addresses in all.
	Hosts     int
	Addresses int
	// Recipients is how many go into one transaction.
	Recipients int
}

// The defaults of Limits.
const (
	DefaultConnections = 20
	DefaultMessages    = 100
	DefaultIdle        = 5 * time.Second // well below the 5 minutes that servers wait (rfc5321#4.5.3.2.7)
	DefaultHosts       = 5
	DefaultAddresses   = 8   // rfc5321#5.1 asks for at least two
	DefaultRecipients  = 100 // rfc5321#4.5.3.1.8: what every server takes
)

// DefaultPort is that of mail exchangers, and implicitPort that of submission
// over TLS.
const (
	DefaultPort  = 25
	implicitPort = 465 // rfc8314#3.3
)

// Limits that need no setting.
const (
	// maxHeard is how much text of one reply an outcome keeps, in octets.
	maxHeard = 4 << 10
	// maxDetail is how long an outcome's Detail is, in octets.
	maxDetail = 512
	// maxWindow is how many commands are sent ahead of their replies
	// (rfc2920#3.1: neither side may wait for the other to read).
	maxWindow = 50
	// blockSize is how much content goes into one write, in octets.
	blockSize = 64 << 10
	// lastWords is how long we listen for a reply after a write failed.
	lastWords = 2 * time.Second
	// maxStale is how many kept connections in a row may turn out to be dead
	// before that is taken for trouble.
	maxStale = 5
	// renewEvery is how often a live attempt renews its lease.
	renewEvery = time.Minute
)

func (o *Options) setDefaults() {
	t, l := &o.Timeouts, &o.Limits
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, DefaultConnectTimeout},
		{&t.Greeting, DefaultGreetingTimeout},
		{&t.Hello, DefaultHelloTimeout},
		{&t.TLS, DefaultTLSTimeout},
		{&t.Auth, DefaultAuthTimeout},
		{&t.Mail, DefaultMailTimeout},
		{&t.Rcpt, DefaultRcptTimeout},
		{&t.Data, DefaultDataTimeout},
		{&t.Block, DefaultBlockTimeout},
		{&t.Final, DefaultFinalTimeout},
		{&t.Quit, DefaultQuitTimeout},
		{&l.Idle, DefaultIdle},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{
		{&o.Port, DefaultPort},
		{&l.Connections, DefaultConnections},
		{&l.Messages, DefaultMessages},
		{&l.Hosts, DefaultHosts},
		{&l.Addresses, DefaultAddresses},
		{&l.Recipients, DefaultRecipients},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
