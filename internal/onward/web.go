package onward

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"

	"github.com/onwardmail/onward/internal/config"
)

// serveWeb serves pages on one listener, over TLS where [webOverTLS] says so.
func (s *Server) serveWeb(l net.Listener) error {
	if webOverTLS(s.opt.Config, l.Addr()) {
		return s.web.ServeTLS(l, "", "")
	}
	return s.web.Serve(l)
}

// webTLS shows the certificate that is in force at each handshake, so that
// Reload takes effect at once.
func (s *Server) webTLS() *tls.Config { return s.newTLS() }

// webOverTLS decides for an address whether pages are served there over TLS:
// by tls.web, and if that is "auto" where people come from outside and there is
// a certificate that they can trust. On loopback stands a proxy or the operator.
func webOverTLS(c *config.Config, at net.Addr) bool {
	switch c.TLS.Web {
	case config.WebTLSAlways:
		return true
	case config.WebTLSNever:
		return false
	}
	tcp, ok := at.(*net.TCPAddr)
	return ok && c.TLS.Certificate != "" && !tcp.IP.IsLoopback()
}

// webURL is where pages on a listener are found, by the host name that others
// know us by unless the listener is on loopback.
func webURL(c *config.Config, at net.Addr) string {
	scheme, standard := "http", "80"
	if webOverTLS(c, at) {
		scheme, standard = "https", "443"
	}
	host, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && !ip.IsLoopback() {
		host = c.Hostname
	}
	if port == standard {
		return scheme + "://" + bracketed(host) + "/"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}

// bracketed is a host in a URL (rfc3986#3.2.2).
func bracketed(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		return "[" + host + "]"
	}
	return host
}

// webAddr is an address of the configuration as that of a listener.
func webAddr(addr string) net.Addr {
	at, err := netip.ParseAddrPort(addr)
	if err != nil { // ":443": every address of this machine
		_, port, _ := net.SplitHostPort(addr)
		n, _ := strconv.Atoi(port) // the configuration has checked it
		return &net.TCPAddr{Port: n}
	}
	return net.TCPAddrFromAddrPort(at)
}
