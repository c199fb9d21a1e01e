package onward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/config"
)

func TestWhereWebPagesAreOverTLS(t *testing.T) {
	for _, c := range []struct{ at, certificate, mode, url string }{
		{"127.0.0.1:8080", "", config.WebTLSAuto, "http://127.0.0.1:8080/"},
		{"127.0.0.1:8080", "given.pem", config.WebTLSAuto, "http://127.0.0.1:8080/"},
		{"[::1]:8080", "given.pem", config.WebTLSAuto, "http://[::1]:8080/"},
		{"[::1]:443", "given.pem", config.WebTLSAlways, "https://[::1]/"},
		{":443", "given.pem", config.WebTLSAuto, "https://mx.example.org/"},
		{":80", "", config.WebTLSAuto, "http://mx.example.org/"},
		{":80", "given.pem", config.WebTLSNever, "http://mx.example.org/"},
		{"192.0.2.1:8443", "given.pem", config.WebTLSAuto, "https://mx.example.org:8443/"},
		{"192.0.2.1:8443", "", config.WebTLSAlways, "https://mx.example.org:8443/"},
	} {
		conf := &config.Config{Hostname: "mx.example.org", TLS: config.TLS{Certificate: c.certificate, Web: c.mode}}
		if got := webURL(conf, webAddr(c.at)); got != c.url {
			t.Errorf("%s with the certificate %q and %s: %s, not %s", c.at, c.certificate, c.mode, got, c.url)
		}
	}
	if webOverTLS(&config.Config{TLS: config.TLS{Certificate: "given.pem", Web: config.WebTLSAuto}}, &net.UnixAddr{Name: "/run/web", Net: "unix"}) {
		t.Error("pages on a socket of this machine are over TLS")
	}
}

// TestWebOverTLS: the pages show the certificate that is in force, with HTTP/2,
// and a new one after a reload.
func TestWebOverTLS(t *testing.T) {
	dir := t.TempDir()
	first := certificate(t, dir, "given")
	text := strings.Replace(onLoopback, "web = []", `web = ["127.0.0.1:0"]`, 1) +
		"[tls]\ncertificate = \"given.pem\"\nkey = \"given.key\"\nweb = \"always\"\n"
	conf := load(t, dir, text)
	s, err := New(context.Background(), Options{Config: conf, Cost: cheap, Reread: func() (*config.Config, error) { return conf, nil }})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	at := s.Addrs(serviceWeb)[0]
	if page := webPage(t, at, first); !strings.Contains(page, "<html") {
		t.Errorf("the page over TLS is %.80q", page)
	}
	second := certificate(t, dir, "given")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	webPage(t, at, second)
}

// webPage asks for the first page, trusting one certificate only.
func webPage(t *testing.T, at net.Addr, leaf *x509.Certificate) string {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: "mx.example.org", MinVersion: tls.VersionTLS12},
	}
	defer transport.CloseIdleConnections()
	u := url.URL{Scheme: "https", Host: at.String(), Path: "/"}
	r, err := (&http.Client{Transport: transport}).Get(u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.ProtoMajor != 2 {
		t.Errorf("the pages speak %s", r.Proto)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
