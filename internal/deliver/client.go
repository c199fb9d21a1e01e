package deliver

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onwardmail/onward/internal/smtp"
)

// client is a connection to one hop, ready for transactions. It belongs to one
// goroutine at a time.
type client struct {
	raw  net.Conn // below TLS; deadlines are set here, from other goroutines too
	conn net.Conn
	rd   *smtp.ReplyReader
	hop  hop
	peer peer
	ext  extensions
	t    *Timeouts

	used     int  // transactions begun
	dirty    bool // a transaction was left open: RSET is due
	loggedIn bool
	deadline time.Time
	aborted  atomic.Bool // the attempt was broken off: no deadline may be moved any more

	timer *time.Timer // in the pool only
	since time.Time   // when it was last used
}

// extensions are what the EHLO reply offered.
type extensions struct {
	pipelining, eightBit, utf8, dsn, startTLS, size, auth bool
	chunking, binary, requireTLS                          bool

	maxSize int64 // 0: no fixed limit (rfc1870#4)
	rcptMax int   // recipients of one transaction; 0: not said (rfc9422#4.2)
	plain   bool
	login   bool
	mechs   string
}

// parseEHLO reads ehlo-line = ehlo-keyword *( SP ehlo-param ) (rfc5321#4.1.1.1).
func parseEHLO(r smtp.Reply) extensions {
	var e extensions
	for _, line := range r.Lines[min(1, len(r.Lines)):] {
		keyword, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(keyword) {
		case "PIPELINING":
			e.pipelining = true // rfc2920#3
		case "8BITMIME":
			e.eightBit = true
		case "SMTPUTF8":
			e.utf8 = true
		case "DSN":
			e.dsn = true
		case "STARTTLS":
			e.startTLS = true
		case "CHUNKING":
			e.chunking = true // rfc3030#2
		case "BINARYMIME":
			e.binary = true // rfc3030#3
		case "REQUIRETLS":
			e.requireTLS = true // rfc8689#2
		case "LIMITS":
			for p := range strings.FieldsSeq(strings.ToUpper(params)) {
				if v, ok := strings.CutPrefix(p, "RCPTMAX="); ok {
					if n, err := strconv.ParseUint(v, 10, 31); err == nil {
						e.rcptMax = int(n)
					}
				}
			}
		case "SIZE":
			e.size = true
			if n, err := strconv.ParseUint(strings.TrimSpace(params), 10, 64); err == nil {
				e.maxSize = int64(min(n, math.MaxInt64))
			}
		case "AUTH":
			e.auth = true
			e.mechs = clip(params, maxDetail)
			for m := range strings.FieldsSeq(strings.ToUpper(params)) {
				e.plain = e.plain || m == "PLAIN"
				e.login = e.login || m == "LOGIN"
			}
		}
	}
	return e
}

// arm moves the deadline to at least timeout from now. It is moved seldom: one
// that has up to a sixteenth more to go is left where it is.
func (c *client) arm(timeout time.Duration) {
	least := time.Now().Add(timeout)
	slack := min(timeout/16, time.Second)
	if !c.deadline.Before(least) && c.deadline.Before(least.Add(slack+1)) {
		return
	}
	c.deadline = least.Add(slack)
	_ = c.raw.SetDeadline(c.deadline)
	if c.aborted.Load() {
		_ = c.raw.SetDeadline(time.Unix(1, 0))
	}
}

// watch breaks the connection off when ctx ends, until the function that it
// returns is called.
func (c *client) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		c.aborted.Store(true)
		_ = c.raw.SetDeadline(time.Unix(1, 0))
	})
}

func (c *client) write(p []byte, timeout time.Duration) error {
	c.arm(timeout)
	_, err := c.conn.Write(p)
	return err
}

// reply reads one reply.
func (c *client) reply(timeout time.Duration) (smtp.Reply, error) {
	if c.rd.Buffered() == 0 {
		c.arm(timeout)
	}
	return c.rd.ReadReply()
}

// command sends one line and reads its reply.
func (c *client) command(ctx context.Context, s stage, timeout time.Duration, line string) (smtp.Reply, *fate) {
	if err := c.write([]byte(line+"\r\n"), timeout); err != nil {
		return smtp.Reply{}, c.lastWords(ctx, s, err)
	}
	r, err := c.reply(timeout)
	if err != nil {
		return smtp.Reply{}, broken(ctx, s, err)
	}
	return r, nil
}

// lastWords listens, after a write failed, for what the server said before it
// closed the connection.
func (c *client) lastWords(ctx context.Context, s stage, err error) *fate {
	if ctx.Err() == nil {
		c.deadline = time.Time{}
		c.arm(lastWords)
		if r, readErr := c.rd.ReadReply(); readErr == nil && r.Code >= 400 {
			f := refused(s, r, &c.hop)
			f.lost = true
			return f
		}
	}
	return broken(ctx, s, err)
}

func (c *client) close() { _ = c.conn.Close() }

// quit takes leave and waits for the answer, as rfc5321#4.1.1.10 asks.
func (c *client) quit(timeout time.Duration) {
	c.deadline = time.Time{}
	if c.write([]byte("QUIT\r\n"), timeout) == nil {
		_, _ = c.rd.ReadReply()
	}
	c.close()
}

// connect opens a connection to the hop and brings it to where mail can be sent.
// Opportunistic TLS that fails is given up for this connection, which is noted.
func (d *Deliverer) connect(ctx context.Context, h hop) (*client, peer, *fate) {
	mode := h.route.TLS
	c, p, f := d.connectWith(ctx, h, mode)
	if f == nil || mode != Opportunistic || f.cause != "tls_failed" {
		return c, p, f
	}
	// rfc7435#3: some protection where it can be had, mail in any case. TLS
	// to a mail exchanger without a policy proves nothing that would be lost.
	note := clip("in clear, because TLS failed: "+f.detail+f.heard.String(), maxDetail)
	c, p, f = d.connectWith(ctx, h, None)
	p.note = note
	if c != nil {
		c.peer.note = note
	}
	return c, p, f
}

func (d *Deliverer) connectWith(ctx context.Context, h hop, mode TLSMode) (*client, peer, *fate) {
	p := peer{host: h.key.host, addr: h.key.addr.String()}
	dialing, cancel := context.WithTimeout(ctx, d.opt.Timeouts.Connect)
	conn, err := d.opt.Dial(dialing, "tcp", p.addr)
	cancel()
	if err != nil {
		return nil, p, unconnected(ctx, err)
	}
	c := &client{raw: conn, conn: conn, hop: h, peer: p, t: &d.opt.Timeouts}
	stop := c.watch(ctx)
	f := d.begin(ctx, c, mode)
	if !stop() && f == nil {
		f = interrupted(stageConnect, context.Cause(ctx))
	}
	if f != nil {
		c.bye(f)
		return nil, c.peer, f
	}
	return c, c.peer, nil
}

// bye ends a connection on which nothing will be sent. A server that still
// listens is told, without waiting: nothing is lost with what it might answer.
func (c *client) bye(f *fate) {
	if !f.heard.IsZero() && f.heard.Code != 421 && !c.aborted.Load() {
		_ = c.write([]byte("QUIT\r\n"), c.t.Quit)
	}
	c.close()
}

// begin speaks up to the first transaction.
func (d *Deliverer) begin(ctx context.Context, c *client, mode TLSMode) *fate {
	if mode == Implicit {
		if f := d.handshake(ctx, c); f != nil {
			return f
		}
	} else {
		c.rd = smtp.NewReplyReader(c.conn)
	}
	r, err := c.reply(c.t.Greeting)
	if err != nil {
		return broken(ctx, stageGreeting, err)
	}
	if r.Code/100 != 2 { // rfc5321#3.1
		return refused(stageGreeting, r, &c.hop)
	}
	if f := d.hello(ctx, c); f != nil {
		return f
	}
	if mode == Opportunistic || mode == Require {
		if f := d.startTLS(ctx, c, mode); f != nil {
			return f
		}
	}
	if c.hop.route.Username == "" {
		return nil
	}
	return d.logIn(ctx, c)
}

// hello says EHLO, and HELO to those who do not know it (rfc5321#3.2).
func (d *Deliverer) hello(ctx context.Context, c *client) *fate {
	c.ext = extensions{}
	r, f := c.command(ctx, stageEHLO, c.t.Hello, "EHLO "+d.opt.Hostname)
	if f != nil {
		return f
	}
	at := stageEHLO
	switch {
	case r.Code/100 == 2:
		c.ext = parseEHLO(r)
	case r.Code/100 == 5:
		at = stageHELO
		if r, f = c.command(ctx, at, c.t.Hello, "HELO "+d.opt.Hostname); f != nil {
			return f
		}
	}
	if r.Code/100 != 2 {
		return refused(at, r, &c.hop)
	}
	if name, _, _ := strings.Cut(r.Text(), " "); !c.hop.isRoute() && strings.EqualFold(name, d.opt.Hostname) {
		return loopHere(at, fmt.Errorf("%s answers with our own name %s: it is this server, or one of the two has the wrong host name", c.peer.addr, name))
	}
	return nil
}

// startTLS protects the connection if the mode and the server allow it
// (rfc3207#4).
func (d *Deliverer) startTLS(ctx context.Context, c *client, mode TLSMode) *fate {
	if !c.ext.startTLS {
		if mode == Require {
			return noTLS(errors.New("the route requires TLS, and the server does not offer STARTTLS"))
		}
		return nil
	}
	r, f := c.command(ctx, stageTLS, c.t.TLS, "STARTTLS")
	switch {
	case f != nil:
		return f
	case r.Code == 220:
	case r.Code == 421 || mode == Require || r.Code/100 < 4:
		return refused(stageTLS, r, &c.hop)
	default:
		c.peer.note = clip("in clear, because STARTTLS was refused: "+r.String(), maxDetail)
		return nil
	}
	if n := c.rd.Buffered(); n > 0 {
		// Said in clear, by whoever: it must not count as said within TLS.
		return badTLS(ctx, fmt.Errorf("%d octets came in clear after the reply to STARTTLS", n))
	}
	if f := d.handshake(ctx, c); f != nil {
		return f
	}
	return d.hello(ctx, c) // rfc3207#4.2: what was said before is forgotten
}

// handshake begins TLS on the connection.
func (d *Deliverer) handshake(ctx context.Context, c *client) *fate {
	verify := c.hop.route.TLS >= Require && !c.hop.route.AnyCertificate
	cfg := d.tlsVerified
	if !verify {
		cfg = d.tlsAny
	}
	cfg = cfg.Clone()
	cfg.ServerName = c.hop.key.host
	conn := tls.Client(c.conn, cfg)
	c.deadline = time.Time{}
	c.arm(c.t.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		return badTLS(ctx, fmt.Errorf("TLS handshake with %s: %w", c.hop.key.host, err))
	}
	state := conn.ConnectionState()
	c.peer.tls = strings.ReplaceAll(tls.VersionName(state.Version), " ", "") + " " + tls.CipherSuiteName(state.CipherSuite)
	c.conn = conn
	c.deadline = time.Time{}
	if c.rd == nil {
		c.rd = smtp.NewReplyReader(conn)
	} else {
		c.rd.Reset(conn)
	}
	return nil
}

// logIn authenticates by the route's login (rfc4954#4): never in clear over a
// network.
func (d *Deliverer) logIn(ctx context.Context, c *client) *fate {
	r := c.hop.route
	if c.peer.tls == "" && !c.hop.key.addr.Addr().IsLoopback() {
		return noTLS(errors.New("the route has a login, and the connection is not protected by TLS"))
	}
	if !c.ext.plain && !c.ext.login {
		if !c.ext.auth {
			return noLogin(errors.New("the route has a login, and the server does not offer AUTH here"))
		}
		return noLogin(fmt.Errorf("the server offers AUTH %s; we know PLAIN and LOGIN", c.ext.mechs))
	}
	if r.Password == nil {
		return noLogin(errors.New("the route has a login and no password"))
	}
	secret, err := r.Password()
	if err != nil {
		return noLogin(fmt.Errorf("read the password of the route: %w", err))
	}
	line, answers := "AUTH LOGIN", []string{r.Username, secret}
	if c.ext.plain {
		line, answers = "AUTH PLAIN", []string{"\x00" + r.Username + "\x00" + secret} // rfc4616#2
		initial := base64.StdEncoding.EncodeToString([]byte(answers[0]))
		if len(line)+1+len(initial)+2 <= smtp.MaxCommandLine {
			line, answers = line+" "+initial, nil
		}
	}
	got, f := c.command(ctx, stageAuth, c.t.Auth, line)
	for f == nil && got.Code == 334 && len(answers) > 0 {
		line, answers = base64.StdEncoding.EncodeToString([]byte(answers[0])), answers[1:]
		got, f = c.command(ctx, stageAuth, c.t.Auth, line)
	}
	switch {
	case f != nil:
		return f
	case got.Code != 235:
		return refused(stageAuth, got, &c.hop)
	}
	c.loggedIn = true
	return nil
}
