package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/smtptest"
)

// onPurpose reports whether a text has what the recorder takes for an order to
// misbehave.
func onPurpose(text string) bool {
	for _, word := range []string{"panic", "no-reply", "zero-reply", "disk-full", "defect"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// FuzzSession gives lines of any kind to a session in each of its states.
func FuzzSession(f *testing.F) {
	states := slices.Sorted(maps.Keys(prologues()))
	lines := []string{
		"EHLO a\nMAIL FROM:<a@b.example>\nRCPT TO:<anna@example.org>\nDATA\nhello\nQUIT",
		"STARTTLS\n\nEHLO a\nAUTH LOGIN\nYW5uYQ==\nc2VjcmV0\nMAIL FROM:<>",
		"XCLIENT ADDR=IPV6:2001:db8::1 HELO=a.example LOGIN=anna\nMAIL FROM:<jörg@b.example> SMTPUTF8 BODY=BINARYMIME\nRCPT TO:<anna@example.org> NOTIFY=NEVER\nDATA\nBDAT 5 LAST",
		"BDAT 5\nx\nBDAT 0 LAST\n\nRSET\nAUTH PLAIN AGFubmEAc2VjcmV0\n*",
		"c2VjcmV0\nMAIL FROM:<anna@example.org>\nRCPT TO:<unknown@example.org>\nRCPT TO:<full2@example.org>\nDATA\nx\nNOOP",
	}
	for i := range states {
		f.Add(byte(i), lines[i%len(lines)])
	}
	f.Fuzz(func(t *testing.T, state byte, text string) {
		if onPurpose(text) {
			t.Skip("the handler would misbehave, as it should")
		}
		p := prologues()[states[int(state)%len(states)]]
		d := drive(t, p.profile, Options{XClient: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, XClientLogin: true, MendLF: state >= 128})
		for _, line := range append(p.lines, strings.Split(text, "\n")...) {
			if d.next.Do != Close {
				d.line(line)
			}
		}
		d.end()
	})
}

// FuzzConn sends octets of any kind to a connection: in pieces of any size it
// says the same, and tells the handler the same, as when all come at once.
func FuzzConn(f *testing.F) {
	f.Add(strings.ReplaceAll(conversation(), strings.Repeat("z", 69000), ""), byte(3), false)
	f.Add("EHLO a\nEHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n.\r\n..\r\nBDAT 3\r\n\x00\r\nQUIT\r\n", byte(1), false)
	f.Add("LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<full2@example.org>\r\nDATA\r\nx\n.\r\n\r\n.\r\nNOOP\r\n", byte(7), true)
	f.Add("MAIL FROM:<>\r\nBDAT 7 LAST\r\nQUIT\r\n\r\nBDAT x\r\n", byte(2), false)
	f.Add("GET / HTTP/1.1\r\n", byte(5), false)
	f.Fuzz(func(t *testing.T, text string, size byte, lmtp bool) {
		if onPurpose(text) || len(text) > 16<<10 {
			t.Skip("the handler would misbehave, as it should, or it would take long")
		}
		p := MX()
		if lmtp {
			p = LMTP()
		}
		said, notes := sent(t, p, Options{MaxSize: 66000}, text, max(1, len(text)))
		again, noted := sent(t, p, Options{MaxSize: 66000}, text, max(1, int(size)))
		if again != said || noted != notes {
			t.Fatalf("%q in pieces of %d:\n%s%s\nand in one:\n%s%s", text, size, again, noted, said, notes)
		}
		r := smtp.NewReplyReader(strings.NewReader(said))
		for {
			heard, err := r.ReadReply()
			if err == io.EOF {
				break
			}
			if err != nil || !strings.HasSuffix(said, "\r\n") {
				t.Fatalf("%q is answered %q, which no client can read: %v", text, said, err)
			}
			if heard.Code == 421 && strings.Contains(heard.Text(), "waited") {
				t.Fatalf("%q is waited for", text)
			}
		}
	})
}

// sent sends text in pieces of n octets and no more, and returns what the
// server says and what the handler was told.
func sent(t *testing.T, p Profile, o Options, text string, n int) (said, notes string) {
	t.Helper()
	h := &recorder{}
	o.Hostname = "mx.example.org"
	near, far := smtptest.Pipe(netip.MustParseAddrPort("192.0.2.9:1000"), netip.MustParseAddrPort("192.0.2.1:25"))
	done := make(chan struct{})
	go func() {
		NewServer(h, o).ServeConn(piecewise{far, n}, p)
		close(done)
	}()
	greeting := hearLine(t, near)
	go func() {
		_, _ = near.Write([]byte(text)) // of which piecewise lets the server see n octets at a time
		_ = near.CloseWrite()
	}()
	b, err := io.ReadAll(near)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	near.Close()
	if h.open != 0 {
		t.Fatalf("%d transactions are left open", h.open)
	}
	return greeting + string(b), h.String()
}

// framed is what a client sends for one message by DATA.
func framed(content string) string {
	if content != "" && !strings.HasSuffix(content, "\r\n") {
		content += "\r\n"
	}
	if strings.HasPrefix(content, ".") {
		content = "." + content
	}
	return "DATA\r\n" + strings.ReplaceAll(content, "\r\n.", "\r\n..") + ".\r\n"
}

// chunkwise is the same by BDAT, in chunks of n octets.
func chunkwise(content string, n int) string {
	var b strings.Builder
	for len(content) > n {
		fmt.Fprintf(&b, "BDAT %d\r\n%s", n, content[:n])
		content = content[n:]
	}
	fmt.Fprintf(&b, "BDAT %d LAST\r\n%s", len(content), content)
	return b.String()
}

// kept is what becomes of content, looked at octet by octet: what is stored, or
// not.
func kept(content string, mend bool) (stored string, ok bool) {
	var b strings.Builder
	for i := range len(content) {
		switch c := content[i]; {
		case c == '\r' && (i+1 == len(content) || content[i+1] != '\n'):
			return "", false
		case c == '\n' && (i == 0 || content[i-1] != '\r'):
			if !mend {
				return "", false
			}
			b.WriteString("\r\n")
		default:
			b.WriteByte(c)
		}
	}
	if s := b.String(); s == "" || strings.HasSuffix(s, "\r\n") {
		return s, true
	}
	return b.String() + "\r\n", true
}

// FuzzFraming: content that comes by DATA and by BDAT, in chunks and packets of
// any size, over SMTP and LMTP, is stored the same, or refused the same, and
// nothing of it is taken for a command.
func FuzzFraming(f *testing.F) {
	f.Add("Subject: x\r\n\r\n.\r\n..\r\nQUIT\r\n", byte(3), byte(1), false, false)
	f.Add("a\n.\nMAIL FROM:<smuggled@b.example>\n.\r\n", byte(2), byte(2), true, false)
	f.Add("a\r\n.\rb", byte(1), byte(7), false, true)
	f.Add("a\r\n\x00.\r\nb\n", byte(5), byte(0), true, true)
	f.Add("", byte(0), byte(0), false, false)
	f.Fuzz(func(t *testing.T, content string, chunk, packet byte, mend, lmtp bool) {
		if onPurpose(content) {
			t.Skip("the handler would misbehave, as it should")
		}
		p, hello := MX(), "EHLO a\r\n"
		if lmtp {
			p, hello = LMTP(), "LHLO a\r\n"
		}
		n := max(1, int(chunk), len(content)/(maxStill/2)) // thousands of tiny chunks are refused
		head := hello + "MAIL FROM:<a@b.example>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<bob@example.org>\r\n"
		for how, body := range map[string]string{"DATA": framed(content), "BDAT": chunkwise(content, n)} {
			due := content
			if how == "DATA" && due != "" && !strings.HasSuffix(due, "\r\n") {
				due += "\r\n" // the client ends its last line
			}
			want := "refused bare-line-ending"
			if stored, ok := kept(due, mend); ok {
				want = fmt.Sprintf("content %d %q", len(stored), clipped(stored))
			}
			said, notes := sent(t, p, Options{MendLF: mend}, head+body+"NOOP\r\nQUIT\r\n", max(1, int(packet)))
			if strings.Count(notes, "mail ") != 1 || !strings.Contains(notes, "\n"+want+"\n") {
				t.Fatalf("%q by %s in chunks of %d: the handler was told\n%swithout\n%s", content, how, n, notes, want)
			}
			if !strings.HasSuffix(said, "250 2.0.0 OK\r\n221 2.0.0 mx.example.org closes the connection; goodbye\r\n") {
				t.Fatalf("%q by %s in chunks of %d: the server says\n%s", content, how, n, said)
			}
			if replies := strings.Count(said, "queued as") + strings.Count(said, "554 5.6.0"); lmtp != (replies == 2) {
				t.Fatalf("%q by %s has %d replies", content, how, replies)
			}
		}
	})
}

// FuzzNormalize: in pieces of any size, each with what the decoder knows by
// then, an LF on its own becomes CRLF and nothing else is changed.
func FuzzNormalize(f *testing.F) {
	f.Add("a\nb\r\n\n\r\nc\n", byte(1))
	f.Add("\n\n\n", byte(2))
	f.Fuzz(func(t *testing.T, content string, size byte) {
		want, ok := kept(content, true)
		if !ok || !strings.HasSuffix(content, "\n") {
			t.Skip("it would be refused, or completed")
		}
		var in incoming
		var got bytes.Buffer
		for rest := []byte(content); len(rest) > 0; {
			n := min(max(1, int(size)), len(rest))
			in.lines.Scan(rest[:n])
			got.Write(in.normalize(bytes.Clone(rest[:n]), in.lines.BareLF))
			rest = rest[n:]
		}
		if got.String() != want {
			t.Fatalf("%q by %d becomes %q and not %q", content, size, got.String(), want)
		}
	})
}

// FuzzXClient: whoever may speak for others changes all that is said of the
// client, or nothing; a login only with permission.
func FuzzXClient(f *testing.F) {
	for _, s := range []string{
		"ADDR=192.0.2.1 NAME=[UNAVAILABLE] PORT=4711 PROTO=ESMTP HELO=a.example", "ADDR=IPV6:2001:db8::1 DESTADDR=127.0.0.1 DESTPORT=25",
		"LOGIN=anna", "HELO=a+20b", "ADDR=[TEMPUNAVAIL] HELO=[UNAVAILABLE] LOGIN=[UNAVAILABLE]", "ADDR=192.0.2.1 ADDR=fe80::1%eth0",
	} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, arg string, login bool) {
		if strings.ContainsAny(arg, "\r\n") {
			return
		}
		d := drive(t, MX(), Options{XClient: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, XClientLogin: login})
		d.line("EHLO proxy.example")
		before := *d.session.peer
		d.line("XCLIENT " + arg)
		after := *d.session.peer
		if said := d.said[len(d.said)-1]; said.Code() != 220 {
			if after != before || said.Code() < 400 {
				t.Fatalf("%q is answered %s, and changes %+v to %+v", arg, said, before, after)
			}
			d.end()
			return
		}
		if after.Login != "" && !login {
			t.Fatalf("%q names a login without permission", arg)
		}
		for _, a := range []netip.AddrPort{after.Remote, after.Local} {
			if a.Addr().Zone() != "" || a.Addr().Is4In6() {
				t.Fatalf("%q gives the address %s", arg, a)
			}
		}
		if _, err := smtp.ParseHello(after.Helo); after.Helo != "" && err != nil {
			t.Fatalf("%q gives the name %q", arg, after.Helo)
		}
		d.end()
	})
}

// FuzzProxyHeader: octets that no proxy sends are not let in; what a proxy says
// is believed, and what follows its header is the client's, to the octet.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 1000 25\r\nEHLO a\r\n"), byte(3))
	f.Add([]byte("PROXY UNKNOWN\r\n"), byte(0))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00x"), byte(1))
	f.Add([]byte("EHLO a\r\n"), byte(2))
	f.Fuzz(func(t *testing.T, octets []byte, size byte) {
		s := NewServer(&recorder{}, Options{Log: slog.New(slog.DiscardHandler)})
		if c, rest := unwrapped(t, s, octets, int(size)); c && !bytes.HasSuffix(octets, rest) {
			t.Fatalf("after %q the client says %q", octets, rest)
		}
		for version := byte(1); version <= 2; version++ {
			src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, size}), 1000+uint16(size))
			header := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(src), net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:25")))
			wire, err := header.Format()
			if err != nil {
				t.Fatal(err)
			}
			near, far := proxiedPipe(append(wire, octets...), int(size))
			c := s.unwrap(far, Profile{Proxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
			if c == nil || addrPort(c.RemoteAddr()) != src {
				t.Fatalf("version %d: the header is not believed: %v", version, c)
			}
			if rest, err := io.ReadAll(c); err != nil || !bytes.Equal(rest, octets) {
				t.Fatalf("version %d: the client says %q (%v) and not %q", version, rest, err, octets)
			}
			c.Close()
			near.Close()
		}
	})
}

// unwrapped gives octets to a listener for proxies, in pieces, and returns
// whether they are let in and what is left of them.
func unwrapped(t *testing.T, s *Server, octets []byte, size int) (in bool, rest []byte) {
	t.Helper()
	near, far := proxiedPipe(octets, size)
	defer near.Close()
	c := s.unwrap(far, Profile{Proxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	if c == nil {
		return false, nil
	}
	defer c.Close()
	if !addrPort(c.RemoteAddr()).IsValid() {
		t.Fatalf("after %q the client has the address %v", octets, c.RemoteAddr())
	}
	rest, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return true, rest
}

// piecewise is a connection of which no more is read at a time than came in one
// piece.
type piecewise struct {
	*smtptest.Conn
	size int
}

func (p piecewise) Read(b []byte) (int, error) { return p.Conn.Read(b[:min(len(b), p.size)]) }

// proxiedPipe is a connection on which octets come in pieces, and then no more.
func proxiedPipe(octets []byte, size int) (near *smtptest.Conn, far piecewise) {
	near, end := smtptest.Pipe(netip.MustParseAddrPort("192.0.2.9:1000"), netip.MustParseAddrPort("192.0.2.1:25"))
	octets = bytes.Clone(octets)
	go func() {
		_, _ = near.Write(octets)
		_ = near.CloseWrite()
	}()
	return near, piecewise{end, max(1, size)}
}
