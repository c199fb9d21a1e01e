package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/onwardmail/onward/internal/reply"
)

// proxyWait is how long a proxy may take over its header. It has it at hand when
// it connects.
const proxyWait = 5 * time.Second

// proxied is a connection that a proxy has handed on: its addresses are those
// of the client and of the proxy's own listener.
type proxied struct {
	net.Conn
	head          []byte // came in one packet with the header, and is not read yet
	remote, local net.Addr
}

func (p *proxied) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

func (p *proxied) RemoteAddr() net.Addr { return p.remote }
func (p *proxied) LocalAddr() net.Addr  { return p.local }

// CloseWrite is for Conn.linger.
func (p *proxied) CloseWrite() error {
	if h, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return net.ErrClosed
}

// unwrap reads the header of the PROXY protocol, version 1 or 2, which has to be
// there: a listener either has it on every connection or on none, because who
// may choose can call himself whatever he likes. Who does not speak as he should
// is no mail client, and gets no answer. What a proxy opens for itself (LOCAL,
// UNKNOWN) keeps its own addresses.
func (s *Server) unwrap(nc net.Conn, p Profile) net.Conn {
	from := addrPort(nc.RemoteAddr()).Addr()
	log := s.options.Load().Log.With("listener", string(p.Service), "proxy", from.String())
	if !contains(p.Proxies, from) {
		log.Warn("a connection to a listener for proxies came from elsewhere; see listen.proxy_networks")
		nc.Close()
		return nil
	}
	_ = nc.SetReadDeadline(time.Now().Add(proxyWait))
	r := bufio.NewReader(nc)
	await(r)
	h, err := proxyproto.Read(r)
	if err != nil {
		log.Warn("the header of the PROXY protocol is missing or malformed", "error", err)
		nc.Close()
		return nil
	}
	_ = nc.SetReadDeadline(time.Time{})
	head, err := r.Peek(r.Buffered())
	if err != nil {
		nc.Close()
		return nil
	}
	c := &proxied{Conn: nc, head: head, remote: nc.RemoteAddr(), local: nc.LocalAddr()}
	if src, dst, ok := h.TCPAddrs(); ok && h.Command.IsProxy() {
		c.remote, c.local = src, dst
	}
	return c
}

// maxProxyLine is the longest header of version 1, with its CRLF, as the
// specification has it.
const maxProxyLine = 107

// await reads until a header of version 1 is whole: the library gives up if it
// comes in two packets. What goes wrong here goes wrong again when it is read.
func await(r *bufio.Reader) {
	for n := 1; n <= maxProxyLine; n = r.Buffered() + 1 {
		if _, err := r.Peek(n); err != nil {
			return
		}
		b, err := r.Peek(r.Buffered())
		if err != nil || b[0] != 'P' || bytes.IndexByte(b, '\n') >= 0 {
			return
		}
	}
}

// acceptProxied takes a connection from a proxy. Those that owe their header are
// bounded as connections are.
func (s *Server) acceptProxied(nc net.Conn, p Profile) {
	o := s.options.Load()
	if s.waiting.Add(1) > int64(o.MaxConnections) {
		s.waiting.Add(-1)
		s.turnAway(nc, p, reply.TooManyConnections(o.Hostname))
		return
	}
	go func() {
		stop := context.AfterFunc(s.life, func() { nc.Close() })
		c := s.unwrap(nc, p)
		stop()
		s.waiting.Add(-1)
		if c != nil {
			s.ServeConn(c, p)
		}
	}()
}

// contains reports whether one of the networks has the address.
func contains(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
