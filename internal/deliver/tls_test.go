package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/smtptest"
)

func TestOpportunistic(t *testing.T) {
	bubble(t, func(w *world) {
		w.mx1.TLS, _ = smtptest.Certificate(t, "unrelated.example")
		w.begin()
		for range 2 {
			out := w.deliver(attempt("example.net", "a@example.net"))
			w.expect(out, delivered)
			if !strings.HasPrefix(out[0].TLS, "TLS1.3 TLS_") || out[0].Detail != "" {
				t.Errorf("outcome %+v", out[0])
			}
		}
		if got := w.mx1.Received(); !got[0].TLS || !got[1].TLS || w.mx1.Sessions() != 1 {
			t.Errorf("received %+v", got)
		}
		if n := len(w.mx1.Commands()); n < 3 || w.mx1.Commands()[2] != "EHLO mx.onward.example" {
			t.Errorf("commands %q", w.mx1.Commands())
		}
	})
}

// TestFallback goes on in clear where TLS fails, and says so.
func TestFallback(t *testing.T) {
	tests := map[string]struct {
		prepare  func(*smtptest.FakeMX)
		sessions int
		note     string
	}{
		"refused":   {func(f *smtptest.FakeMX) { f.Always("starttls", "", "454 4.7.0 not now") }, 1, "STARTTLS was refused: 454 4.7.0"},
		"handshake": {func(f *smtptest.FakeMX) { f.TLS = &tls.Config{} }, 2, "TLS failed"},
		"injection": {func(f *smtptest.FakeMX) { f.Always("starttls", "", "220 go\n250 injected") }, 2, "came in clear"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.mx1.TLS, _ = smtptest.Certificate(t, "mx1.example.net")
				test.prepare(w.mx1)
				w.begin()
				out := w.deliver(attempt("example.net", "a@example.net"))
				w.expect(out, delivered)
				if out[0].TLS != "" || !strings.Contains(out[0].Detail, test.note) || !strings.Contains(out[0].Detail, "in clear") {
					t.Errorf("TLS %q, detail %q", out[0].TLS, out[0].Detail)
				}
				if n := w.mx1.Sessions(); n != test.sessions || len(w.mx1.Received()) != 1 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

// TestRoute asks for TLS and logs in.
func TestRoute(t *testing.T) {
	password := func() (string, error) { return "secret", nil }
	login := func(r Route) Route { r.Username, r.Password = "anna", password; return r }
	const noTLS, badTLS = "deferred destination STARTTLS 4.7.4 tls_required", "deferred destination STARTTLS 4.7.5 tls_failed"
	tests := []struct {
		name    string
		route   Route
		prepare func(*smtptest.FakeMX)
		want    string
		tls     bool
		login   string
	}{
		{"none", Route{Host: "smart.example", TLS: None}, nil, delivered, false, ""},
		{"require", Route{Host: "smart.example", TLS: Require}, nil, delivered, true, ""},
		{"require, wrong name", Route{Host: "192.0.2.1", TLS: Require}, nil, badTLS, false, ""},
		{"require, any", Route{Host: "192.0.2.1", TLS: Require, AnyCertificate: true}, nil, delivered, true, ""},
		{"require, not offered", Route{Host: "smart.example", TLS: Require}, func(f *smtptest.FakeMX) { f.TLS = nil }, noTLS, false, ""},
		{"require, refused", Route{Host: "smart.example", TLS: Require}, func(f *smtptest.FakeMX) { f.Always("starttls", "", "454 4.7.0 no") }, "deferred destination STARTTLS 4.7.0 tls_failed heard 454", false, ""},
		{"implicit", Route{Host: "smart.example", TLS: Implicit, Port: 25}, func(f *smtptest.FakeMX) { f.Implicit = true }, delivered, true, ""},
		{"implicit, clear server", Route{Host: "smart.example", TLS: Implicit, Port: 25}, func(f *smtptest.FakeMX) { f.Always("connect", "", "220 hi\n") }, badTLS, false, ""},
		{"login", login(Route{Host: "smart.example", TLS: Require}), func(f *smtptest.FakeMX) { f.Login, f.Password = "anna", "secret" }, delivered, true, "anna"},
		{"login, opportunistic is required", login(Route{Host: "smart.example"}), func(f *smtptest.FakeMX) { f.Login, f.Password, f.TLS = "anna", "secret", nil }, noTLS, false, ""},
		{"login, opportunistic is checked", login(Route{Host: "192.0.2.1"}), func(f *smtptest.FakeMX) { f.Login, f.Password = "anna", "secret" }, badTLS, false, ""},
		{"login, in clear", login(Route{Host: "smart.example", TLS: None}), func(f *smtptest.FakeMX) { f.Login, f.Password = "anna", "secret" }, noTLS, false, ""},
		{"login, loopback", login(Route{Host: "127.0.0.1"}), func(f *smtptest.FakeMX) { f.Login, f.Password, f.TLS = "anna", "secret", nil }, delivered, false, "anna"},
		{"login, LOGIN only", login(Route{Host: "127.0.0.1"}), func(f *smtptest.FakeMX) {
			f.Login, f.Password, f.TLS = "anna", "secret", nil
			f.Always("ehlo", "", "250-hi\n250 AUTH LOGIN CRAM-MD5")
		}, delivered, false, "anna"},
		{"login, wrong", login(Route{Host: "127.0.0.1"}), func(f *smtptest.FakeMX) { f.Login, f.Password = "anna", "other" }, "deferred destination AUTH 4.7.8 auth_failed_smarthost heard 535", false, ""},
		{"login, later", login(Route{Host: "127.0.0.1"}), func(f *smtptest.FakeMX) {
			f.Login, f.Password = "anna", "other"
			f.Always("auth", "", "454 4.7.0 later")
		}, "deferred destination AUTH 4.7.0 auth_failed_smarthost heard 454", false, ""},
		{"login, not offered", login(Route{Host: "127.0.0.1"}), nil, "deferred destination AUTH 4.7.8 auth_failed_smarthost", false, ""},
		{"login, unknown mechanisms", login(Route{Host: "127.0.0.1"}), func(f *smtptest.FakeMX) { f.Extensions = []string{"AUTH CRAM-MD5"} }, "deferred destination AUTH 4.7.8 auth_failed_smarthost", false, ""},
		{"login, no password", Route{Host: "127.0.0.1", Username: "anna", Password: func() (string, error) { return "", errors.New("no file") }}, func(f *smtptest.FakeMX) { f.Login = "anna" }, "deferred destination AUTH 4.7.8 auth_failed_smarthost", false, ""},
		{"login wanted", Route{Host: "smart.example"}, func(f *smtptest.FakeMX) { f.Login = "anna" }, "deferred destination MAIL 4.7.0 auth_failed_smarthost heard 530", false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.mx1.TLS, w.opt.TLS = smtptest.Certificate(t, "smart.example")
				if test.prepare != nil {
					test.prepare(w.mx1)
				}
				w.opt.Routes = func(string) (Route, bool) { return test.route, true }
				dial := w.opt.Dial
				w.opt.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					return dial(ctx, network, strings.Replace(addr, "127.0.0.1", "192.0.2.1", 1))
				}
				w.begin()
				w.expect(w.deliver(attempt("route:*", "a@example.net")), test.want)
				got := w.mx1.Received()
				if (len(got) == 1) != (test.want == delivered) {
					t.Fatalf("%d messages", len(got))
				}
				if len(got) == 1 && (got[0].TLS != test.tls || got[0].Login != test.login) {
					t.Errorf("TLS %v, login %q", got[0].TLS, got[0].Login)
				}
				if test.login == "" && !strings.Contains(test.want, "heard 5") && !strings.Contains(test.want, "heard 4") {
					for _, c := range w.mx1.Commands() {
						if strings.HasPrefix(c, "AUTH") {
							t.Errorf("the login was said: %q", c)
						}
					}
				}
			})
		})
	}
}

func TestSetRoutes(t *testing.T) {
	bubble(t, func(w *world) {
		w.opt.Routes = func(string) (Route, bool) { return Route{Host: "192.0.2.1"}, true }
		w.begin()
		w.expect(w.deliver(attempt("route:*", "a@example.net")), delivered)
		w.d.SetRoutes(func(string) (Route, bool) { return Route{Host: "192.0.2.2"}, true })
		out := w.deliver(attempt("route:*", "a@example.net"))
		w.expect(out, delivered)
		if out[0].Addr != "192.0.2.2:25" {
			t.Errorf("sent to %s", out[0].Addr)
		}
	})
}

// TestOwnName meets a server that calls itself as we do.
func TestOwnName(t *testing.T) {
	bubble(t, func(w *world) {
		w.mx1.Hostname = "mx.onward.example"
		w.begin()
		w.expect(w.deliver(attempt("example.net", "a@example.net")), "deferred destination EHLO 4.4.6 next_hop_loop")
	})
}

// TestExtensions compares what is said with what the server offers.
func TestExtensions(t *testing.T) {
	all := []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 100000"}
	binary := func(a *queue.Attempt) { a.Message.Params.Body = smtp.BodyBinaryMIME }
	full := func(a *queue.Attempt) {
		a.Message.EightBit = true
		a.Message.Params = smtp.MailParams{UTF8: true, Ret: smtp.RetHeaders, EnvID: "id+1", Auth: "anna@example.org"}
		a.Recipients[0].Params = smtp.RcptParams{Notify: smtp.NotifySuccess | smtp.NotifyFailure, ORcpt: "rfc822;a+b@example.org"}
	}
	utf8 := func(s string) address.Mailbox { return address.MustMailbox(s) }
	tests := []struct {
		name           string
		offered        []string
		change         func(*queue.Attempt)
		want           string
		mailed, rcpted string
	}{
		{"all", all, full, delivered, "SIZE=SZ BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B1", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@example.org"},
		{"none", []string{}, full, "failed message MAIL 5.6.3 eightbit_unsupported", "", ""},
		{"hidden", all, func(a *queue.Attempt) {
			a.Recipients[0].Hidden = true
			a.Recipients[0].Params.Notify = smtp.NotifySuccess | smtp.NotifyFailure | smtp.NotifyDelay
		}, delivered, "SIZE=SZ", "NOTIFY=FAILURE"},
		{"hidden, success", all, func(a *queue.Attempt) {
			a.Recipients[0].Hidden = true
			a.Recipients[0].Params.Notify = smtp.NotifySuccess
		}, delivered, "SIZE=SZ", "NOTIFY=NEVER"},
		{"size", []string{"SIZE 20"}, nil, "failed message MAIL 5.3.4 size_exceeded", "", ""},
		{"size, no limit", []string{"SIZE 0"}, nil, delivered, "SIZE=SZ", ""},
		{"size, bare", []string{"SIZE"}, nil, delivered, "SIZE=SZ", ""},
		{"utf8 recipient", []string{}, func(a *queue.Attempt) { a.Recipients[0].Target = utf8("\u00fc@example.net") }, "failed recipient MAIL 5.6.7 smtputf8_unsupported", "", ""},
		{"utf8 recipient, offered", []string{"SMTPUTF8"}, func(a *queue.Attempt) { a.Recipients[0].Target = utf8("\u00fc@example.net") }, delivered, "SMTPUTF8", ""},
		{"utf8 sender", []string{}, func(a *queue.Attempt) { a.Message.From = utf8("\u00fc@example.net") }, "failed message MAIL 5.6.7 smtputf8_unsupported", "", ""},
		{"utf8 domain", []string{}, func(a *queue.Attempt) {
			a.Message.Params.UTF8 = true
			a.Message.From = utf8("a@b\u00fccher.example")
		}, delivered, "", ""},
		{"utf8 header", []string{}, func(a *queue.Attempt) {
			a.Message.Params.UTF8 = true
			a.Message.Edits[0].Text = "X: \u00fc\r\n"
		}, "failed message MAIL 5.6.7 smtputf8_unsupported", "", ""},
		{"utf8 stored header", []string{}, func(a *queue.Attempt) {
			a.Message.Params.UTF8 = true
			a.Inline = []byte("X: \u00fc\r\n\r\nbody\r\n")
			a.Message.HeaderSize, a.Message.Size = 9, 15
		}, "failed message MAIL 5.6.7 smtputf8_unsupported", "", ""},
		{"binary", all, binary, "failed message MAIL 5.6.3 eightbit_unsupported", "", ""},
		{"binary, no chunks", []string{"BINARYMIME"}, binary, "failed message MAIL 5.6.3 eightbit_unsupported", "", ""},
		{"binary, offered", []string{"BINARYMIME", "CHUNKING"}, binary, delivered, "BODY=BINARYMIME", ""},
		{"require tls", all, func(a *queue.Attempt) { a.Message.Params.RequireTLS = true }, "failed message MAIL 5.7.30 requiretls_unsupported", "", ""},
		{"null", []string{}, func(a *queue.Attempt) { a.Message.From = address.Mailbox{} }, delivered, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.mx1.Extensions = test.offered
				w.begin()
				a := attempt("example.net", "a@example.net")
				if test.change != nil {
					test.change(a)
				}
				w.expect(w.deliver(a), test.want)
				got := w.mx1.Received()
				if (len(got) == 1) != (test.want == delivered) {
					t.Fatalf("%d messages", len(got))
				}
				if len(got) == 0 {
					return
				}
				if want := strings.Replace(test.mailed, "SZ", fmt.Sprint(len(got[0].Content)), 1); got[0].FromParams != want || got[0].ToParams[0] != test.rcpted {
					t.Errorf("said %q and %q, expected %q and %q", got[0].FromParams, got[0].ToParams[0], want, test.rcpted)
				}
			})
		})
	}
}

// TestEightBit sends what a host does not take.
func TestEightBit(t *testing.T) {
	const eight = "From: a@example.org\r\nSubject: test\r\n\r\nGr\xfc\xdfe\r\n"
	for _, test := range []struct {
		name         string
		policy       EightBitPolicy
		content      string
		want, params string
		got          string
	}{
		{"refuse", EightBitRefuse, eight, "failed message MAIL 5.6.3 eightbit_unsupported", "", ""},
		{"send", EightBitSend, eight, delivered, "", "Gr\xfc\xdfe\r\n"},
		{"convert", EightBitConvert, eight, delivered, "", "Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n"},
		{"signed", EightBitConvert, "DKIM-Signature: x\r\n" + eight, "failed message MAIL 5.6.3 eightbit_unsupported", "", ""},
	} {
		for _, stored := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				bubble(t, func(w *world) {
					w.mx1.Extensions = []string{"SIZE"}
					w.opt.EightBit = test.policy
					w.begin()
					a := attempt("example.net", "a@example.net")
					a.Message.EightBit = true
					a.Message.Size, a.Message.HeaderSize = int64(len(test.content)), strings.Index(test.content, "\r\n\r\n")+4
					a.Inline = []byte(test.content)
					if stored {
						a.Inline = nil
						a.Open = func(context.Context) (io.ReadCloser, error) {
							return io.NopCloser(strings.NewReader(test.content)), nil
						}
					}
					w.expect(w.deliver(a), test.want)
					if got := w.mx1.Received(); test.got != "" && (len(got) != 1 || !strings.HasSuffix(string(got[0].Content), test.got)) {
						t.Errorf("got %+v", got)
					}
				})
			})
		}
	}
}

// TestBinary sends content with any octets by BDAT, octet for octet.
func TestBinary(t *testing.T) {
	bubble(t, func(w *world) {
		w.mx1.Extensions = []string{"PIPELINING", "BINARYMIME", "CHUNKING"}
		w.begin()
		const content = "Subject: x\r\n\r\n.\r\n\n\r\x00.\r"
		for range 2 { // the second over the same connection, after no RSET
			a := attempt("example.net", "a@example.net", "b@example.net")
			a.Message.Params.Body = smtp.BodyBinaryMIME
			a.Message.Size, a.Message.HeaderSize, a.Inline = int64(len(content)), 14, []byte(content)
			w.expect(w.deliver(a), delivered, delivered)
		}
		got := w.mx1.Received()
		if len(got) != 2 || got[1].Chunks != 1 || string(got[1].Content) != "Received: by us\r\n"+content || got[0].Session != got[1].Session {
			t.Errorf("got %+v", got)
		}
	})
}

// TestRequireTLS: nothing is sent to where it would not be kept (rfc8689#4.2.1).
func TestRequireTLS(t *testing.T) {
	ask := func(w *world, domain queue.Destination, want string) {
		a := attempt(domain, "a@"+string(domain))
		a.Message.Params.RequireTLS = true
		w.expect(w.deliver(a), want)
	}
	bubble(t, func(w *world) {
		w.mx1.TLS, w.opt.TLS = smtptest.Certificate(t, "mx1.example.net")
		w.mx1.Extensions = []string{"REQUIRETLS"}
		w.begin()
		ask(w, "example.net", "failed message MAIL 5.7.30 requiretls_unsupported") // its MX is not authentic
		ask(w, "safe.example", delivered)
		if got := w.mx1.Received(); len(got) != 1 || !got[0].TLS || got[0].FromParams != "REQUIRETLS" {
			t.Errorf("got %+v", got)
		}
	})
	bubble(t, func(w *world) { // in clear only
		w.mx1.Extensions = []string{"REQUIRETLS"}
		w.begin()
		ask(w, "safe.example", "deferred destination STARTTLS 4.7.4 tls_required")
	})
	bubble(t, func(w *world) { // with a certificate that nobody vouches for
		w.mx1.TLS, _ = smtptest.Certificate(t, "mx1.example.net")
		w.mx1.Extensions = []string{"REQUIRETLS"}
		w.begin()
		ask(w, "safe.example", "deferred destination STARTTLS 4.7.5 tls_failed")
	})
}
