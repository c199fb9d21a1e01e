package smtpd

import (
	"context"
	"crypto/tls"
	"flag"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtptest"
)

// A script may have the files "options" (a word or a word and a number a line)
// and "notes", what the handler was told. go test -update rewrites both the
// S: lines and the notes.
func update(t *testing.T) bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

var _ = flag.Bool("update", false, "rewrite the scripts in testdata")

// TestScripts plays the conversations in a bubble.
func TestScripts(t *testing.T) {
	smtptest.Player{Start: inMemory, Update: update(t)}.Files(t, "testdata/*.txtar")
}

// TestScriptsOnSockets plays those without waits on the real loopback.
func TestScriptsOnSockets(t *testing.T) {
	smtptest.Player{Start: onSockets, Real: true}.Files(t, "testdata/*.txtar")
}

func inMemory(t *testing.T, files *txtar.Archive) smtptest.World {
	network := smtptest.NewNetwork()
	return world(t, files, func(addr string) (net.Listener, error) { return network.Listen(addr) },
		func(ctx context.Context, addr string) (net.Conn, error) { return network.Dial(ctx, "tcp", addr) })
}

func onSockets(t *testing.T, files *txtar.Archive) smtptest.World {
	return world(t, files, func(string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		})
}

// file returns a file of the archive, "" if there is none.
func file(a *txtar.Archive, name string) *txtar.File {
	for i := range a.Files {
		if a.Files[i].Name == name {
			return &a.Files[i]
		}
	}
	return &txtar.File{}
}

func world(t *testing.T, files *txtar.Archive, listen func(string) (net.Listener, error), dial func(context.Context, string) (net.Conn, error)) smtptest.World {
	serverTLS, clientTLS := smtptest.Certificate(t, "mx.example.org")
	clientTLS.ServerName = "mx.example.org"
	h := &recorder{}
	o := Options{Hostname: "mx.example.org", TLS: func() *tls.Config { return serverTLS }, MaxSize: 70000, Log: slog.New(slog.DiscardHandler)}
	for line := range strings.Lines(string(file(files, "options").Data)) {
		word, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.Atoi(value)
		switch word {
		case "max-mails":
			o.MaxMails = n
		case "no-tls":
			o.TLS = nil
		case "no-certificate":
			o.TLS = func() *tls.Config { return nil }
		case "max-errors":
			o.MaxErrors = n
		case "max-login-failures":
			o.MaxLoginFailures = n
		case "max-connections":
			o.MaxConnections = n
		case "max-per-address":
			o.MaxPerAddress = n
		case "max-recipients":
			o.MaxRecipients = n
		case "refuse-connect":
			h.refuse = reply.TryLaterHello("mx.example.org")
		default:
			t.Fatalf("no option is called %q", word)
		}
	}
	s := NewServer(h, o)
	addrs := map[string]string{}
	for name, p := range map[string]Profile{"mx": MX(), "submission": Submission(), "submissions": Submissions(), "lmtp": LMTP()} {
		ln, err := listen("192.0.2.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs[name] = ln.Addr().String()
		go func() {
			if err := s.Serve(context.Background(), ln, p); err != nil {
				t.Errorf("Serve: %v", err)
			}
		}()
	}
	shut := make(chan error, 1)
	stop, cut := context.WithCancel(context.Background())
	return smtptest.World{
		Dial:     func(ctx context.Context, service string) (net.Conn, error) { return dial(ctx, addrs[service]) },
		TLS:      clientTLS,
		Implicit: []string{"submissions"},
		Command: func(words []string) error {
			switch words[0] {
			case "shutdown": // begins; sessions that are open may go on
				go func() { shut <- s.Shutdown(stop) }()
			case "cut": // their time is over
				cut()
			}
			return nil
		},
		Stop: func() {
			cut()
			_ = s.Shutdown(stop)
			if h.open != 0 {
				t.Errorf("%d transactions were neither committed nor aborted", h.open)
			}
			notes := file(files, "notes")
			if got := h.String(); notes.Name != "" && string(notes.Data) != got {
				if !update(t) {
					t.Errorf("the handler was told\n%s\ninstead of\n%s", got, notes.Data)
				}
				notes.Data = []byte(got)
			}
		},
	}
}
