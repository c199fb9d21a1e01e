//go:build peers

package peers

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestOpensslStartTLS puts a man in the middle between openssl s_client and the server, who adds commands of his own to the
// packet that carries STARTTLS. The server must have thrown them away when the handshake is over (CVE-2011-0411): the
// injected MAIL would make the client's own a nested one, 503.
func TestOpensslStartTLS(t *testing.T) {
	o, _, _ := directory(t)
	tests := []struct {
		name, server, injected string
	}{
		{"nothing injected", o.mx, ""},
		{"MX", o.mx, "MAIL FROM:<injected@example.com>\r\nRCPT TO:<anna@example.org>\r\n"},
		{"MX, a whole greeting", o.mx, "EHLO injected.example.com\r\nMAIL FROM:<injected@example.com>\r\n"},
		{"submission", o.submission, "EHLO injected.example.com\r\nAUTH PLAIN AGEAYg==\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			through := inject(t, tt.server, tt.injected)
			out, status := program(t, "EHLO client.example.com\nNOOP\nRSET\nMAIL FROM:<mine@example.com>\nQUIT\n",
				"openssl", "s_client", "-starttls", "smtp", "-connect", through, "-crlf", "-quiet", "-ign_eof")
			if status != 0 {
				t.Errorf("openssl ended with status %d", status)
			}
			mail := "250 2.1.0 "
			if tt.server == o.submission {
				mail = "530 5.7.0 " // not logged in, and nothing else
			}
			var finals []string
			for line := range strings.Lines(out) {
				if len(line) > 4 && line[3] == ' ' && line[0] >= '2' && line[0] <= '5' {
					finals = append(finals, strings.TrimRight(line, "\r\n"))
				}
			}
			// s_client prints the last line of what came before the handshake: the answer to its own EHLO.
			if len(finals) > 5 {
				finals = finals[len(finals)-5:]
			}
			want := []string{"250 ", "250 2.0.0 ", "250 2.0.0 ", mail, "221 2.0.0 "}
			for i, w := range want {
				if i >= len(finals) || !strings.HasPrefix(strings.Replace(finals[i], "-", " ", 1), w) {
					t.Errorf("answers after the handshake: %q, want %q", finals, want)
					break
				}
			}
			if strings.Contains(out, "injected") || strings.Contains(out, "503") || strings.Contains(out, "535") {
				t.Error("an injected command was carried out")
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// inject listens for one client, passes what it says on to the server, and adds lines to the packet with STARTTLS.
func inject(t *testing.T, server, lines string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		both.Wait()
	})
	both.Go(func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		target, err := net.Dial("tcp", server)
		if err != nil {
			t.Error(err)
			return
		}
		defer target.Close()
		for _, c := range []net.Conn{client, target} {
			_ = c.SetDeadline(time.Now().Add(patience))
		}
		both.Go(func() {
			_, _ = io.Copy(client, target)
			client.Close()
		})
		buffer, done := make([]byte, 32<<10), false
		for {
			n, err := client.Read(buffer)
			said := buffer[:n:n]
			if before, after, found := bytes.Cut(said, []byte("STARTTLS\r\n")); found && !done {
				done = true
				said = append(append(before[:len(before):len(before)], "STARTTLS\r\n"+lines...), after...)
			}
			if _, werr := target.Write(said); err != nil || werr != nil {
				if !done {
					t.Error("the client said no STARTTLS")
				}
				return
			}
		}
	})
	return l.Addr().String()
}
