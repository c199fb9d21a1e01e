package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// ldapIdle is how long an unused connection is kept. Many directories end them
// after some minutes.
const ldapIdle = time.Minute

// ldapDialer makes connections that are ready for use.
type ldapDialer struct {
	servers  []*url.URL
	startTLS bool
	tls      *tls.Config
	dial     dialer
	// bindDN and password are whom it is for; "" is nobody.
	bindDN, password string
	// good is the server that answered last.
	good atomic.Int64
}

// ldapConn is a connection with the socket below it, for deadlines.
type ldapConn struct {
	*ldap.Conn
	raw   net.Conn
	since time.Time // when it was put back
}

// connect tries the servers, the good one first, each for its share of the time.
func (d *ldapDialer) connect(ctx context.Context) (*ldapConn, error) {
	var errs []error
	first := int(d.good.Load())
	for i := range d.servers {
		at := (first + i) % len(d.servers)
		share := ctx
		if end, ok := ctx.Deadline(); ok && i+1 < len(d.servers) {
			var cancel context.CancelFunc
			share, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(len(d.servers)-i))
			defer cancel() // there are few servers
		}
		c, err := d.connectTo(share, d.servers[at])
		if err == nil {
			d.good.Store(int64(at))
			return c, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", d.servers[at], err))
	}
	return nil, errors.Join(errs...)
}

// connectTo connects, changes to TLS and binds.
func (d *ldapDialer) connectTo(ctx context.Context, u *url.URL) (_ *ldapConn, err error) {
	network, addr := "tcp", net.JoinHostPort(u.Hostname(), u.Port())
	switch {
	case u.Scheme == "ldapi":
		network, addr = "unix", u.Path
	case u.Port() == "" && u.Scheme == "ldaps":
		addr = net.JoinHostPort(u.Hostname(), ldap.DefaultLdapsPort)
	case u.Port() == "":
		addr = net.JoinHostPort(u.Hostname(), ldap.DefaultLdapPort)
	}
	raw, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	secure := d.tls.Clone()
	if secure.ServerName == "" {
		secure.ServerName = u.Hostname()
	}
	c := &ldapConn{raw: raw}
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	if u.Scheme == "ldaps" {
		t := tls.Client(raw, secure)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		c.Conn = ldap.NewConn(t, true)
	} else {
		c.Conn = ldap.NewConn(raw, false)
	}
	c.Start()
	err = c.within(ctx, func() error {
		if u.Scheme == "ldap" && d.startTLS {
			if err := c.StartTLS(secure); err != nil {
				return fmt.Errorf("STARTTLS: %w", err)
			}
		}
		if d.bindDN == "" {
			return nil
		}
		if err := c.Bind(d.bindDN, d.password); err != nil {
			// Not a user's: nothing of it may look like one's wrong password.
			return fmt.Errorf("the service account %s cannot bind (bind_dn, password_file): %v", d.bindDN, err) //nolint:errorlint // see above
		}
		return nil
	})
	if err != nil {
		c.Close() //nolint:errcheck // it is of no use any more
		return nil, err
	}
	return c, nil
}

// within runs something on the connection until ctx ends; then the connection is
// broken, which the library notices. (A deadline of the socket would come a moment
// before ctx knows that its own has.)
func (c *ldapConn) within(ctx context.Context, do func() error) error {
	stop := context.AfterFunc(ctx, func() { c.raw.SetDeadline(time.Unix(1, 0)) })
	err := do()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	c.raw.SetDeadline(time.Time{})
	return err
}

// ldapPool keeps connections that are bound alike.
type ldapPool struct {
	dial *ldapDialer
	keep int

	mu     sync.Mutex // guards idle and closed
	idle   []*ldapConn
	closed bool
}

// use runs something on a connection. One that has lain idle may have been closed
// by the directory meanwhile: then another is taken.
func (p *ldapPool) use(ctx context.Context, do func(*ldap.Conn) error) error {
	for {
		c, used := p.take()
		if !used {
			var err error
			if c, err = p.dial.connect(ctx); err != nil {
				return err
			}
		}
		err := c.within(ctx, func() error { return do(c.Conn) })
		if !broken(err) && ctx.Err() == nil {
			p.put(c)
			return err
		}
		c.Close() //nolint:errcheck // it is of no use any more
		if !used || ctx.Err() != nil {
			return err
		}
	}
}

// broken reports whether an error is not an answer of the directory.
func broken(err error) bool {
	var e *ldap.Error
	return err != nil && (!errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork)
}

// take returns the connection that was used last.
func (p *ldapPool) take() (*ldapConn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !c.IsClosing() && time.Since(c.since) < ldapIdle {
			return c, true
		}
		go c.Close() //nolint:errcheck // it may wait for its reader
	}
	return nil, false
}

func (p *ldapPool) put(c *ldapConn) {
	c.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.keep {
		go c.Close() //nolint:errcheck // it may wait for its reader
		return
	}
	p.idle = append(p.idle, c)
}

func (p *ldapPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		go c.Close() //nolint:errcheck // it may wait for its reader
	}
	p.idle = nil
}
