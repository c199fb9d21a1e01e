package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/onwardmail/onward/internal/reply"
	"github.com/onwardmail/onward/internal/smtp"
	"github.com/onwardmail/onward/internal/smtptest"
	"github.com/onwardmail/onward/internal/transaction"
)

// stageOf is where the answer to a verb may stand.
var stageOf = map[smtp.Verb]reply.Stage{
	smtp.Unknown: reply.Unknown, smtp.EHLO: reply.Helo, smtp.HELO: reply.Helo, smtp.LHLO: reply.Helo | reply.Unknown, smtp.MAIL: reply.Mail,
	smtp.RCPT: reply.Rcpt, smtp.DATA: reply.Data, smtp.BDAT: reply.Bdat, smtp.RSET: reply.Rset, smtp.NOOP: reply.Noop,
	smtp.QUIT: reply.Quit, smtp.VRFY: reply.Vrfy, smtp.EXPN: reply.Expn, smtp.HELP: reply.Help,
	smtp.STARTTLS: reply.StartTLS, smtp.AUTH: reply.Auth, smtp.XCLIENT: reply.XClient | reply.Unknown,
}

// driver drives a Session as a connection would, and checks what every event
// must keep.
type driver struct {
	t       interface{ Fatalf(string, ...any) }
	session *Session
	handler *recorder
	next    Next
	said    []reply.Reply
}

func drive(t interface{ Fatalf(string, ...any) }, p Profile, o Options) *driver {
	h := &recorder{}
	o.Hostname = "mx.example.org"
	o.TLS = func() *tls.Config { return &tls.Config{} }
	peer := &transaction.Peer{Session: "1", Service: p.Service, Remote: netip.MustParseAddrPort("192.0.2.9:1000")}
	if p.ImplicitTLS {
		peer.TLS = &transaction.TLS{Version: "TLS1.3"}
	}
	d := &driver{t: t, session: NewSession(o, p, h, peer), handler: h}
	d.after(d.session.Open(context.Background()), reply.Connect)
	return d
}

// after takes what follows from an event at a stage.
func (d *driver) after(n Next, at reply.Stage) {
	if d.session.exchange != nil != (n.Do == ReadAuth) {
		d.t.Fatalf("an exchange is under way: %v, but next is: %s", d.session.exchange != nil, n.Do)
	}
	for _, r := range n.Replies {
		def, ok := reply.ByName(r.Name())
		if !ok || def.Stages&at == 0 {
			d.t.Fatalf("%s is no legal reply at the stage %b", r, at)
		}
	}
	if len(n.Replies) == 0 && n.Do != ReadChunk && at != reply.StartTLS {
		d.t.Fatalf("an event at the stage %b was not answered", at)
	}
	if len(n.Replies) > 0 && n.Replies[len(n.Replies)-1].Code() == 421 && n.Do != Close {
		d.t.Fatalf("%s does not close", n.Replies[len(n.Replies)-1])
	}
	if (n.Do == ReadCommand || n.Do == ReadAuth) && n.MaxLine < smtp.MaxCommandLine {
		d.t.Fatalf("the next line may have only %d octets", n.MaxLine)
	}
	if open := d.session.transaction != nil; open == d.session.Idle() || open != (d.session.stage >= mailing) {
		d.t.Fatalf("stage %d, but a transaction is open: %v", d.session.stage, open)
	}
	d.said = append(d.said, n.Replies...)
	n.Replies = nil
	d.next = n
}

// line gives the session a line, or content, or a chunk, as it asks.
func (d *driver) line(text string) {
	ctx := context.Background()
	before := len(d.said)
	switch d.next.Do {
	case ReadCommand:
		c, _ := smtp.ParseCommand([]byte(text))
		if c.Verb == smtp.Unknown {
			for v := smtp.EHLO; v <= smtp.XCLIENT; v++ {
				if smtp.HasVerb([]byte(text), v) {
					c.Verb = v
				}
			}
		}
		if len(text) > d.next.MaxLine-2 {
			d.after(d.session.TooLong([]byte(text), true), stageOf[c.Verb])
			return
		}
		d.after(d.session.Line(ctx, []byte(text)), stageOf[c.Verb])
	case ReadAuth:
		if len(text) > d.next.MaxLine-2 {
			d.after(d.session.TooLong([]byte(text), true), reply.Auth)
			return
		}
		d.after(d.session.Line(ctx, []byte(text)), reply.Auth)
	case ReadContent:
		due, lmtp := d.session.accepted, d.session.profile.LMTP
		d.session.Piece([]byte(text+"\r\n"), strings.Contains(text, "\r"), strings.Contains(text, "\n"))
		d.after(d.session.ContentRead(ctx), reply.Content)
		if got := len(d.said) - before; lmtp && got < due || !lmtp && got > 2 {
			d.t.Fatalf("content for %d recipients has %d replies", due, got)
		}
	case ReadChunk:
		d.session.ChunkPiece(bytes.Repeat([]byte("x"), int(min(d.next.Octets, 1000))))
		d.after(d.session.ChunkRead(ctx), reply.Bdat)
	case StartTLS:
		d.after(d.session.TLSDone(transaction.TLS{Version: "TLS1.3"}), reply.StartTLS)
		if p := d.session.peer; p.Helo != "" || p.Login != "" || d.session.stage != greeted {
			d.t.Fatalf("over TLS the session remembers %+v", p)
		}
	}
}

func (d *driver) end() {
	d.session.PeerGone()
	d.session.PeerGone()
	if d.handler.open != 0 {
		d.t.Fatalf("%d transactions are left open", d.handler.open)
	}
	told := d.handler.String() // XCLIENT ends a session and begins another
	if began, n := strings.Count(told, "connect "), strings.Count(told, "close"); n != began || n == 0 {
		d.t.Fatalf("the handler was told %d times that a session began, and %d times that one ended", began, n)
	}
}

// prologues lead into every state of a session.
func prologues() map[string]struct {
	profile Profile
	lines   []string
} {
	type p = struct {
		profile Profile
		lines   []string
	}
	login := "AUTH PLAIN AGFubmEAc2VjcmV0"
	return map[string]p{
		"greeted":     {MX(), nil},
		"known":       {MX(), []string{"EHLO a.example"}},
		"mailing":     {MX(), []string{"EHLO a.example", "MAIL FROM:<a@b.example>"}},
		"addressed":   {MX(), []string{"EHLO a.example", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@example.org>"}},
		"content":     {MX(), []string{"EHLO a.example", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@example.org>", "DATA"}},
		"chunking":    {MX(), []string{"EHLO a.example", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@example.org>", "BDAT 3", ""}},
		"handshake":   {Submission(), []string{"EHLO laptop", "STARTTLS"}},
		"clear":       {Submission(), []string{"EHLO laptop"}},
		"over TLS":    {Submission(), []string{"EHLO laptop", "STARTTLS", "", "EHLO laptop"}},
		"auth":        {Submissions(), []string{"EHLO laptop", "AUTH LOGIN"}},
		"auth, named": {Submissions(), []string{"EHLO laptop", "AUTH LOGIN", "YW5uYQ=="}},
		"logged in":   {Submissions(), []string{"EHLO laptop", login}},
		"submitting":  {Submissions(), []string{"EHLO laptop", login, "MAIL FROM:<anna@example.org>"}},
		"lmtp":        {LMTP(), nil},
		"lmtp, two":   {LMTP(), []string{"LHLO a", "MAIL FROM:<>", "RCPT TO:<anna@example.org>", "RCPT TO:<bob@example.org>"}},
	}
}

// TestEveryCommandInEveryState: each gets a reply that is legal for it, and
// every event may come in every state.
func TestEveryCommandInEveryState(t *testing.T) {
	commands := []string{
		"", "WIZ", "EHLO a.example", "EHLO", "HELO a.example", "LHLO a.example", "MAIL FROM:<a@b.example>", "MAIL", "MAIL FROM:<x",
		"RCPT TO:<anna@example.org>", "RCPT", "DATA", "DATA x", "BDAT 5", "BDAT 5 LAST", "BDAT x", "BDAT 99999999999", "RSET", "RSET x", "NOOP",
		"NOOP x", "QUIT", "QUIT x", "VRFY anna", "VRFY", "EXPN", "EXPN list", "HELP", "HELP x", "STARTTLS", "STARTTLS x",
		"AUTH PLAIN", "AUTH", "AUTH PLAIN AGFubmEAc2VjcmV0", "AUTH X", "GET / HTTP/1.1", "\x00", "NOOP\x01", strings.Repeat("x", 20000),
		"NOOP " + strings.Repeat("x", 600), "AUTH " + strings.Repeat("x", 13000), "MAIL FROM:<a@b.example> " + strings.Repeat("x", 1500),
	}
	for name, p := range prologues() {
		start := func() *driver {
			d := drive(t, p.profile, Options{})
			for _, line := range p.lines {
				d.line(line)
			}
			return d
		}
		for _, command := range commands {
			d := start()
			d.line(command)
			for i := 0; i < 3 && d.next.Do != Close; i++ {
				d.line("NOOP")
			}
			d.end()
		}
		for event, give := range map[string]func(*Session) Next{
			"timeout": (*Session).Timeout, "shutting down": (*Session).ShuttingDown, "defect": (*Session).Defect,
		} {
			d := start()
			d.after2(give(d.session))
			if d.next.Do != Close {
				t.Errorf("%s, %s: does not close", name, event)
			}
			d.end()
		}
		start().end() // the client goes away
	}
}

// after2 is after for events that have no command.
func (d *driver) after2(n Next) {
	if len(n.Replies) != 1 || n.Replies[0].Code() != 421 {
		d.t.Fatalf("got %v", n.Replies)
	}
	d.next = n
}

// TestNoOpenRelayWithoutLogin: on the submission ports nothing gets to the
// handler but logins, whatever a stranger says.
func TestNoMailWithoutLogin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom([]Profile{Submission(), Submissions()}).Draw(t, "profile")
		lines := rapid.SliceOf(rapid.SampledFrom([]string{
			"EHLO a", "HELO a", "STARTTLS", "MAIL FROM:<a@b.example>", "RCPT TO:<anna@example.org>", "DATA", ".", "BDAT 3 LAST", "RSET",
			"AUTH PLAIN", "AUTH LOGIN", "*", "AGFubmEAd3Jvbmc=", "AUTH PLAIN AG5vYm9keQB4", "AUTH PLAIN AGRvd24AeA==", "VRFY anna",
		})).Draw(t, "lines")
		d := drive(t, p, Options{MaxErrors: 1000, MaxLoginFailures: 1000})
		for _, line := range lines {
			if d.next.Do != Close {
				d.line(line)
			}
		}
		d.end()
		if notes := d.handler.String(); strings.Contains(notes, "mail") {
			t.Fatalf("without a login the handler was told\n%s", notes)
		}
	})
}

// conversation is the client's side of sessions that exercise content.
func conversation() string {
	one := func(content string) string {
		return "MAIL FROM:<a@b.example>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<unknown@example.org>\r\nDATA\r\n" + content + "\r\n.\r\n"
	}
	return "EHLO a.example\r\n" + one("Subject: x\r\n\r\n..\r\n.. dots") + one("bare \n.\nline") + one("cr \r.\r\r\nend") +
		one(strings.Repeat(strings.Repeat("y", 100)+"\r\n", 40)) + one(strings.Repeat("z", 70000)) + "NOOP " + strings.Repeat("x", 3000) + "\r\n" +
		"MAIL FROM:<a@b.example>\r\nRCPT TO:<anna@example.org>\r\nBDAT 10\r\n0123\r\n.\r\n9BDAT 2 LAST\r\n\r\n" +
		"\r\nNOOP\nnot text\r\nRSET\r\nQUIT\r\n"
}

// play sends text in pieces of n octets, waiting for nothing, and returns what
// the server says and what the handler was told.
func play(t *testing.T, text string, n int) (said, notes string) {
	t.Helper()
	h := &recorder{}
	s := NewServer(h, Options{Hostname: "mx.example.org", MaxSize: 66000})
	near, far := smtptest.Pipe(netip.MustParseAddrPort("192.0.2.9:1000"), netip.MustParseAddrPort("192.0.2.1:25"))
	go s.ServeConn(far, MX())
	greeting := hearLine(t, near)
	go func() {
		for rest := text; rest != ""; {
			m := min(n, len(rest))
			if _, err := near.Write([]byte(rest[:m])); err != nil {
				break
			}
			rest = rest[m:]
		}
	}()
	b, err := io.ReadAll(near)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return greeting + string(b), h.String()
}

// hearLine reads a line and no octet more.
func hearLine(t *testing.T, c io.Reader) string {
	t.Helper()
	var line []byte
	for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\n")); line = append(line, one[0]) {
		if _, err := io.ReadFull(c, one); err != nil {
			t.Fatal(err)
		}
	}
	return string(line)
}

// TestPiecesDoNotMatter: pipelined equals one by one equals an octet at a time.
func TestPiecesDoNotMatter(t *testing.T) {
	text := conversation()
	said, notes := play(t, text, len(text))
	if !strings.HasSuffix(said, "goodbye\r\n") {
		t.Fatalf("the conversation ended with %q", said[max(0, len(said)-200):])
	}
	for _, n := range []int{1, 7, 1000, 2048, 32768} {
		gotSaid, gotNotes := play(t, text, n)
		if gotSaid != said {
			t.Errorf("in pieces of %d the server says\n%s\ninstead of\n%s", n, gotSaid, said)
		}
		if gotNotes != notes {
			t.Errorf("in pieces of %d the handler was told\n%s\ninstead of\n%s", n, gotNotes, notes)
		}
	}
}

// TestRepliesLeaveTogether: the answers to a pipelined group are one write.
func TestRepliesLeaveTogether(t *testing.T) {
	var c counter
	near, far := smtptest.Pipe(netip.MustParseAddrPort("192.0.2.9:1000"), netip.MustParseAddrPort("192.0.2.1:25"))
	c.Conn = far
	done := make(chan struct{})
	go func() {
		NewServer(&recorder{}, Options{Hostname: "mx.example.org"}).ServeConn(&c, MX())
		close(done)
	}()
	hearLine(t, near)
	if _, err := fmt.Fprint(near, "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	<-done
	// The greeting, the group up to DATA, and the end.
	if c.writes != 3 {
		t.Errorf("the replies left in %d writes", c.writes)
	}
}

type counter struct {
	*smtptest.Conn
	writes int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}
