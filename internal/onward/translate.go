package onward

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/deliver"
	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/intake"
	"github.com/onwardmail/onward/internal/milter"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/smtpd"
	"github.com/onwardmail/onward/internal/web"
)

// This file translates the configuration into the plain options of the
// engines, which know nothing of it.

// noParams are the RCPT parameters of mail that we make ourselves.
var noParams = smtp.RcptParams{}

func settings(c *config.Config) intake.Settings {
	return intake.Settings{
		Trusted: c.Relay.Networks, MaxSize: c.Limits.MessageSize, MaxRecipients: c.Limits.Recipients,
		Route:  func(a address.Mailbox) queue.Destination { return destination(c, a) },
		Checks: checks(c), Sending: intake.Sending{Limits: sendingLimits(c), Alarm: alarmRules(c)},
	}
}

// sendingLimits are those of accounts that have none of their own.
func sendingLimits(c *config.Config) account.Limits {
	l := account.Limits(c.Login.Limits)
	for _, name := range account.LimitNames() {
		if n := l.Field(name); *n == 0 { // there 0 is the default, which this is
			*n = -1
		}
	}
	return l
}

func alarmRules(c *config.Config) account.AlarmRules {
	a := c.Login.Alarm
	return account.AlarmRules{Networks: a.Networks, TimesUsual: a.TimesUsual, Messages: a.Messages, Unknown: a.UnknownRecipients}
}

func checks(c *config.Config) intake.Checks {
	k := c.Checks
	return intake.Checks{
		BlockLists: k.BlockLists, ReverseDNS: strictness(k.ReverseDNS), Hello: strictness(k.Hello), SenderDomain: strictness(k.SenderDomain),
		Greylist: k.Greylist, Exempt: k.Exempt, Verify: verify(k.Verify),
		Clients: rules(c.Rules.Clients), Senders: rules(c.Rules.Senders), Recipients: rules(c.Rules.Recipients),
	}
}

func strictness(s config.Strictness) intake.Strictness {
	switch s {
	case config.CheckLog:
		return intake.LogOnly
	case config.CheckRefuse:
		return intake.Refuse
	}
	return intake.Off
}

func verify(word string) intake.Verify {
	switch word {
	case config.VerifyUsers:
		return intake.VerifyUsers
	case config.VerifyDisclosed:
		return intake.VerifyDisclosed
	}
	return intake.VerifyNobody
}

func rules(list []config.Rule) []intake.Rule {
	var all []intake.Rule
	for _, r := range list {
		all = append(all, intake.Rule(r))
	}
	return all
}

// filters are the milters of the configuration.
func (s *Server) filters(c *config.Config) []intake.Filter {
	var all []intake.Filter
	for _, addr := range c.Milters.Servers {
		network := "tcp"
		if strings.HasPrefix(addr, "/") {
			network = "unix"
		}
		all = append(all, milter.New(milter.Options{
			Network: network, Address: addr, Hostname: c.Hostname, Timeout: c.Milters.Timeout,
			PassOver: c.Milters.Failure == config.MilterAccept, Dial: s.opt.Dial, Log: s.log,
		}))
	}
	return all
}

// settings are those of intake, with the filters.
func (s *Server) settings(c *config.Config) intake.Settings {
	all := settings(c)
	all.Filters = s.filters(c)
	return all
}

// destination is the route that catches the domain, or the domain itself.
func destination(c *config.Config, a address.Mailbox) queue.Destination {
	if r, ok := c.RouteFor(a.Domain.String()); ok && !r.MX {
		return queue.ToRoute(r.Match)
	}
	return queue.ToDomain(a.Domain)
}

// reroute says where a waiting recipient goes under a new configuration.
func reroute(c *config.Config) func(address.Mailbox, queue.Destination) queue.Destination {
	return func(target address.Mailbox, now queue.Destination) queue.Destination {
		if now == queue.Maildir {
			return now
		}
		return destination(c, target)
	}
}

func schedule(c *config.Config) queue.Schedule {
	return queue.Schedule{Retry: c.Queue.Retry, Expire: c.Queue.Expire, Notice: c.Queue.DelayNotice}
}

// routes looks up the next hops that the configuration names.
func routes(c *config.Config) func(string) (deliver.Route, bool) {
	byMatch := make(map[string]deliver.Route, len(c.Routes))
	for _, r := range c.Routes {
		if r.MX {
			continue
		}
		route := deliver.Route{Host: r.Host, Port: int(r.Port), TLS: tlsMode(r.TLS), Username: r.Username}
		if r.PasswordFile != "" {
			route.Password = func() (string, error) { return readPassword(r.PasswordFile) }
		}
		byMatch[r.Match] = route
	}
	return func(pattern string) (deliver.Route, bool) {
		r, ok := byMatch[pattern]
		return r, ok
	}
}

func readPassword(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the password of a route: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), nil
}

func tlsMode(p config.Policy) deliver.TLSMode {
	switch p {
	case config.None:
		return deliver.None
	case config.Require:
		return deliver.Require
	case config.Implicit:
		return deliver.Implicit
	}
	return deliver.Opportunistic
}

func (s *Server) deliverOptions(c *config.Config, names dns.Resolver) deliver.Options {
	o := deliver.Options{
		Hostname: c.Hostname, Resolver: names, Dial: s.opt.Dial, Routes: routes(c), Port: s.opt.MXPort,
		MXTLS: tlsMode(c.Delivery.TLS), MaildirRoot: c.Mailboxes.Path, OwnAddress: s.ownAddress, Logger: s.log,
	}
	switch c.Delivery.EightBit {
	case config.EightBitConvert:
		o.EightBit = deliver.EightBitConvert
	case config.EightBitSend:
		o.EightBit = deliver.EightBitSend
	}
	o.Limits.Connections = c.Delivery.ConnectionsPerDestination
	o.Timeouts.Connect = c.Delivery.ConnectTimeout
	if t := c.Delivery.CommandTimeout; t > 0 {
		o.Timeouts.Greeting, o.Timeouts.Hello, o.Timeouts.Mail, o.Timeouts.Rcpt = t, t, t, t
	}
	if o.Dial == nil && len(c.Delivery.Source) > 0 {
		o.Dial = dialFrom(c.Delivery.Source)
	}
	if o.TLS = s.opt.ClientTLS; o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o
}

// ownAddress reports whether we ourselves listen at an address, on the port
// for mail from other servers.
func (s *Server) ownAddress(a netip.AddrPort) bool {
	for _, l := range s.Addrs(serviceMX) {
		own, err := netip.ParseAddrPort(l.String())
		if err == nil && own.Port() == a.Port() && own.Addr().Unmap() == a.Addr().Unmap() {
			return true
		}
	}
	return false
}

func (s *Server) smtpdOptions(c *config.Config) smtpd.Options {
	return smtpd.Options{
		Hostname: c.Hostname, HelpURL: helpURL(c), LinkURL: linkURL(c), TLS: s.tlsConfig, UserTLS: s.userTLSConfig,
		MaxSize: c.Limits.MessageSize, MaxRecipients: c.Limits.Recipients, MaxMails: c.Limits.Messages, MaxErrors: c.Limits.Errors,
		MaxConnections: c.Limits.Connections, MaxPerAddress: c.Limits.ConnectionsPerAddress, MaxPerNetwork: c.Limits.ConnectionsPerNetwork,
		ConnectRate: c.Limits.ConnectionRate, MailRate: c.Limits.MessageRate, MaxContents: c.Limits.Receiving,
		BlockTime: c.Limits.Block, GreetPause: c.Limits.GreetPause, Known: slices.Concat(c.Limits.Known, c.Relay.Networks),
		MendLF: c.Checks.BareLF == config.BareLFMend, XClient: c.XClient.Networks, XClientLogin: c.XClient.Login,
		CommandWait: c.Limits.CommandTimeout, BlockWait: c.Limits.DataTimeout, Log: s.log,
	}
}

// helpURL is where the reference can be read.
func helpURL(c *config.Config) string {
	switch {
	case c.Web.URL != "":
		return c.Web.URL + "/"
	case len(c.Listen.Web) == 0:
		return "onward explain CODE"
	}
	return webURL(c, webAddr(c.Listen.Web[0]))
}

// linkURL is what the links in replies begin with: where others find the
// pages, "" where they cannot.
func linkURL(c *config.Config) string {
	switch {
	case !c.Web.Links:
		return ""
	case c.Web.URL != "":
		return c.Web.URL
	}
	for _, l := range c.Listen.Web {
		at := webAddr(l)
		if tcp, ok := at.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			return strings.TrimSuffix(webURL(c, at), "/")
		}
	}
	return ""
}

// webTimeouts keep a slow reader from holding a connection for ever.
const (
	webHeaderTimeout = 10 * time.Second
	webTimeout       = 30 * time.Second
	webIdle          = 2 * time.Minute
)

func (s *Server) webServer(c *config.Config) *http.Server {
	return &http.Server{
		Handler:           web.New(web.Options{Hostname: c.Hostname, Logger: s.log}),
		ReadHeaderTimeout: webHeaderTimeout, ReadTimeout: webTimeout, WriteTimeout: webTimeout, IdleTimeout: webIdle,
		MaxHeaderBytes: 16 << 10, TLSConfig: s.webTLS(),
	}
}

// meaning explains an outcome to the reader of a report.
func meaning(lang string, _ *queue.Recipient, o *queue.Outcome) queue.Meaning {
	var e explain.Explanation
	if o.Heard.IsZero() || o.Cause == "expired" {
		e = explain.Trouble(o.Cause)
	} else {
		e = explain.Heard(o.Heard.Code, o.Heard.Enhanced, o.Heard.Lines, o.Host)
	}
	what, fix := e.Meaning(lang)
	return queue.Meaning{Explanation: what, Advice: fix, Actor: actor(e.Who)}
}

// actor is who must act, in the words of a report.
func actor(who reference.Actor) dsn.Actor {
	switch who {
	case "nobody":
		return dsn.ActorNobody
	case "sender-user":
		return dsn.ActorSender
	case "sender-admin", "domain-owner":
		return dsn.ActorSenderAdmin
	case "recipient-user":
		return dsn.ActorRecipient
	case "recipient-admin":
		return dsn.ActorRecipientAdmin
	case "server-admin", "forwarder":
		return dsn.ActorOperator
	}
	return dsn.ActorUnknown
}

// postmaster is the mailbox that somebody reads whatever else is configured
// (rfc5321#4.5.1).
func postmaster(c *config.Config) address.Mailbox {
	if !c.Reports.Postmaster.IsZero() {
		return c.Reports.Postmaster
	}
	return address.Mailbox{Local: "postmaster", Domain: hostDomain(c)}
}

// hostDomain is our host name as a domain; config has checked it.
func hostDomain(c *config.Config) address.Domain {
	d, err := address.ParseDomain(c.Hostname)
	if err != nil {
		return address.MustDomain("localhost")
	}
	return d
}

// needRestart names the sections whose change Reload cannot put into force.
func needRestart(old, now *config.Config) []string {
	was := make(map[string]string)
	for _, v := range old.Settings() {
		was[v.Key] = v.Value
	}
	reloadable := make(map[string]bool)
	for _, k := range config.Keys() {
		reloadable[k.Name] = k.Reload
	}
	var keys []string
	for _, v := range now.Settings() {
		if strings.HasPrefix(v.Key, "routes.") || strings.HasPrefix(v.Key, "login.backends.") || reloadable[v.Key] || was[v.Key] == v.Value {
			continue
		}
		keys = append(keys, v.Key)
	}
	return keys
}

// asStarted returns now with the values of old where more than one part of the
// server uses them and some cannot change: a server has one name, one folder and
// one set of ports at a time.
func asStarted(old, now *config.Config) *config.Config {
	c := *now
	c.Hostname, c.Data, c.Listen = old.Hostname, old.Data, old.Listen
	return &c
}
