package deliver

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtptest"
)

// FuzzConversation lets a server say anything at all, after openings that lead
// into every state. There is always one outcome for each recipient, and nobody
// has it delivered who did not hear a 2xx.
func FuzzConversation(f *testing.F) {
	const ehlo = "250-mx\r\n250-PIPELINING\r\n250 SIZE 100000\r\n"
	openings := []string{
		"", "220 hi\r\n", "220 hi\r\n" + ehlo, "220 hi\r\n" + ehlo + "250 ok\r\n", "220 hi\r\n" + ehlo + "250 ok\r\n250 ok\r\n550 no\r\n",
		"220 hi\r\n" + ehlo + "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n", "220 hi\r\n250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
	}
	for i := range openings {
		for _, said := range []string{
			"", "220 hi\r\n", "250 ok\r\n", "550 5.1.1 no\r\n", "421 bye\r\n", "250-a\r\n250 b\r\n", "354 go\r\n250 ok\r\n", "\x00\xff\r\n",
			"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n", "334 \r\n334 \r\n235 ok\r\n", "999 x\r\n", "250", "2", "250-x\r\n550 y\r\n",
		} {
			f.Add(uint8(i), []byte(said))
		}
	}
	f.Fuzz(func(t *testing.T, opening uint8, said []byte) {
		script := append([]byte(openings[int(opening)%len(openings)]), said...)
		d := New(Options{
			Hostname: "mx.onward.example",
			TLS:      &tls.Config{InsecureSkipVerify: true},
			Routes: func(string) (Route, bool) {
				r := Route{Host: "127.0.0.1"}
				if opening >= 128 {
					r.Username, r.Password = "u", func() (string, error) { return "p", nil }
				}
				return r, true
			},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				near, far := smtptest.Pipe(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:25"))
				_, _ = far.Write(script)
				_ = far.CloseWrite()
				go func() {
					_, _ = io.Copy(io.Discard, far)
					_ = far.Close()
				}()
				return near, nil
			},
		})
		a := attempt("route:*", "a@example.net", "b@example.net")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		out := d.Deliver(ctx, a)
		if len(out) != len(a.Recipients) {
			t.Fatalf("%d outcomes", len(out))
		}
		for i, o := range out {
			switch {
			case o.Recipient != a.Recipients[i].ID, o.Status == "", o.At.IsZero():
				t.Errorf("outcome %+v", o)
			case o.Kind == queue.Success && o.Heard.Code/100 != 2:
				t.Errorf("delivered by %v", o.Heard)
			case o.Kind == queue.Failure && o.Heard.Code/100 != 5 && o.Cause == "":
				t.Errorf("failed by %v", o.Heard)
			case o.Cause == "local_error":
				t.Errorf("a defect: %s", o.Detail)
			}
		}
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}
