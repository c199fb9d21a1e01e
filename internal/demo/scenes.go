package demo

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/reference"
)

// step is a command and the reply that is due.
type step struct{ command, want string }

func (c *client) steps(steps []step) error {
	for _, s := range steps {
		if _, err := c.say(s.command, s.want); err != nil {
			return err
		}
	}
	return nil
}

// forwarding shows an address of each kind on the MX port.
func (d *demo) forwarding(ctx context.Context) error {
	c, err := d.connect(d.server.Addrs("mx")[0])
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.hello(); err != nil {
		return err
	}
	err = c.steps([]step{
		{"MAIL FROM:<bob@example.com>", "250 2.1.0 Sender OK"},
		{"RCPT TO:<anna@example.org>", "251 2.1.5 User not local; will forward to <anna@example.net>"},
		{"RCPT TO:<bea@example.org>", "250 2.1.5 Recipient OK"},
		{"RCPT TO:<box@example.org>", "250 2.1.5 Recipient OK"},
		{"RCPT TO:<old@example.org>", "551 5.1.6 User not local; please try <new@example.net>"},
		{"RCPT TO:<nobody@example.org>", "550 5.1.1 <nobody@example.org>: no such address here"},
		{"RCPT TO:<closed@example.org>", "550 5.7.1 This address is closed; see www.example.org"},
		{"RCPT TO:<victim@example.net>", "550 5.7.1 <victim@example.net>: relaying denied: the domain is not ours and you have not logged in"},
	})
	if err != nil {
		return err
	}
	id, err := c.content("Hello Anna", "Nice to meet you.", "Bob")
	if err != nil {
		return err
	}
	if err := c.quit(); err != nil {
		return err
	}
	for _, to := range []string{"anna@example.net", "private@example.net"} {
		got, err := d.world.wait(ctx, to)
		if err != nil {
			return err
		}
		if err := d.looksRight(got, id); err != nil {
			return err
		}
		d.check(to + " has it, with a Received field of ours: " + receivedLine(got.content))
	}
	if err := d.inMaildir(ctx); err != nil {
		return err
	}
	return d.settled(ctx, id, map[string]queue.State{
		"anna@example.org": queue.Delivered, "bea@example.org": queue.Delivered, "box@example.org": queue.Delivered,
	})
}

// looksRight holds a forwarded message against what was sent (rfc5321#4.4).
func (d *demo) looksRight(got captured, id string) error {
	if got.from.String() != "bob@example.com" {
		return fmt.Errorf("the message arrived from %s, not from bob@example.com", got.from.Path())
	}
	want := regexp.MustCompile(`(?s)^Received: from client\.example\.com \(\[127\.0\.0\.1\]\)\s+by mx\.example\.org\s+with ESMTP\s+id ` + id + `;\s`)
	if !want.MatchString(got.content) {
		return fmt.Errorf("the message does not begin with our Received field:\n%s", firstLines(got.content, 4))
	}
	if !strings.HasSuffix(got.content, "\n\nNice to meet you.\nBob\n") {
		return fmt.Errorf("the body of the message was changed:\n%s", got.content)
	}
	return nil
}

// inMaildir looks for the message in the local mailbox.
func (d *demo) inMaildir(ctx context.Context) error {
	pattern := filepath.Join(d.data, "data", "mailboxes", "example.org", "box", "new", "*")
	for {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		if len(files) > 0 {
			text, err := os.ReadFile(files[0])
			if err != nil {
				return fmt.Errorf("read the delivered message: %w", err)
			}
			if !strings.HasPrefix(string(text), "Return-Path: <bob@example.com>") || !strings.Contains(string(text), "Nice to meet you.") {
				return fmt.Errorf("the message in the Maildir does not begin with its Return-Path:\n%s", firstLines(string(text), 4))
			}
			d.check("box@example.org has it in its Maildir, with Return-Path: <bob@example.com>")
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no message has come to %s", pattern)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// settled waits until the store says that each recipient of a message is in
// its state, and that there are no others.
func (d *demo) settled(ctx context.Context, id string, want map[string]queue.State) error {
	mid, err := queue.ParseID(id)
	if err != nil {
		return err
	}
	for {
		listed, err := d.server.Queue().List(ctx, queue.Filter{Message: mid})
		if err != nil {
			return fmt.Errorf("look into the queue: %w", err)
		}
		right := len(listed) == len(want)
		var states []string
		for _, l := range listed {
			right = right && want[l.Recipient.Address.String()] == l.Recipient.State
			states = append(states, l.Recipient.Address.String()+" "+l.Recipient.State.String())
		}
		if right {
			d.check("the store has for message " + id + ": " + strings.Join(states, ", "))
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the store has for message %s: %s; due is %v", id, strings.Join(states, ", "), want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// submission shows the rules of the submission port and two logins.
func (d *demo) submission(ctx context.Context) error {
	c, err := d.connect(d.server.Addrs("submission")[0])
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.hello(); err != nil {
		return err
	}
	if _, err := c.whisper(plain(login, d.phone), "AUTH PLAIN (anna's app password, in clear)", "538 5.7.11 Encryption required: say STARTTLS before AUTH PLAIN"); err != nil {
		return err
	}
	if _, err := c.say("MAIL FROM:<anna@example.org>", "530 5.7.0 Must issue a STARTTLS command first, then log in with AUTH"); err != nil {
		return err
	}
	if err := c.startTLS(); err != nil {
		return err
	}
	if _, err := c.whisper(plain(login, d.phone), "AUTH PLAIN (anna's app password «phone»)", "235 2.7.0 Authentication successful"); err != nil {
		return err
	}
	if _, err := c.say("MAIL FROM:<boss@example.net>", "553-5.7.1 <boss@example.net> is not an address that login anna@example.org may send as: its own, those listed for it, and those forwarded to it\n"+
		"553 5.7.1 An administrator may allow it: onward account identity add anna@example.org boss@example.net"); err != nil {
		return err
	}
	err = c.steps([]step{
		{"MAIL FROM:<anna@example.org>", "250 2.1.0 Sender OK"},
		{"RCPT TO:<friend@example.net>", "250 2.1.5 Recipient OK"},
	})
	if err != nil {
		return err
	}
	id, err := c.content("From my phone", "On my way.")
	if err != nil {
		return err
	}
	if err := c.quit(); err != nil {
		return err
	}
	got, err := d.world.wait(ctx, "friend@example.net")
	if err != nil {
		return err
	}
	if !strings.Contains(got.content, "with ESMTPSA") {
		return fmt.Errorf("the Received field does not say ESMTPSA:\n%s", firstLines(got.content, 4))
	}
	d.check("friend@example.net has it: " + receivedLine(got.content))
	if err := d.settled(ctx, id, map[string]queue.State{"friend@example.net": queue.Delivered}); err != nil {
		return err
	}
	return d.loginLOGIN()
}

// loginLOGIN shows AUTH LOGIN, whose prompts are base64.
func (d *demo) loginLOGIN() error {
	d.note("Another program knows only AUTH LOGIN:")
	c, err := d.connect(d.server.Addrs("submission")[0])
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.hello(); err != nil {
		return err
	}
	if err := c.startTLS(); err != nil {
		return err
	}
	encode := base64.StdEncoding.EncodeToString
	if _, err := c.say("AUTH LOGIN", "334 VXNlcm5hbWU6"); err != nil {
		return err
	}
	if _, err := c.whisper(encode([]byte(login)), "(anna@example.org, in base64)", "334 UGFzc3dvcmQ6"); err != nil {
		return err
	}
	if _, err := c.whisper(encode([]byte(d.phone)), "(the app password, in base64)", "235 2.7.0 Authentication successful"); err != nil {
		return err
	}
	return c.quit()
}

// rejected shows that three causes look the same on the wire, and what the
// owner sees of each.
func (d *demo) rejected(ctx context.Context) error {
	c, err := d.connect(d.server.Addrs("submission")[0])
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.hello(); err != nil {
		return err
	}
	if err := c.startTLS(); err != nil {
		return err
	}
	var refs []string
	for _, try := range []struct{ secret, shown string }{
		{"Correct horse battery staple", "AUTH PLAIN (a wrong password)"},
		{d.tablet, "AUTH PLAIN (an app password that expired yesterday)"},
	} {
		got, err := c.whisper(plain(login, try.secret), try.shown, "535-5.7.8 Authentication credentials invalid\n535 5.7.8 The owner of the account can ask why: onward explain-login REF")
		if err != nil {
			return err
		}
		refs = append(refs, got[strings.LastIndexByte(got, ' ')+1:])
	}
	got, err := c.whisper(plain(login, d.laptop), "AUTH PLAIN (an app password that was revoked)", "535-5.7.8 Authentication credentials invalid\n535 5.7.8 The owner of the account can ask why: onward explain-login REF")
	if err != nil {
		return err
	}
	refs = append(refs, got[strings.LastIndexByte(got, ' ')+1:])
	c.conn.Close()
	d.note("The wire says the same three times. Anna, who owns the account, asks by the references:")
	d.server.Settle(ctx)
	for i, want := range []account.Cause{account.WrongPassword, account.AppPasswordExpired, account.AppPasswordRevoked} {
		f, err := d.server.Directory().Failure(ctx, refs[i])
		if err != nil {
			return fmt.Errorf("look up the reference %s: %w", refs[i], err)
		}
		if f.Cause != want || f.Login != login {
			return fmt.Errorf("reference %s leads to %s of %s; due is %s of %s", refs[i], f.Cause, f.Login, want, login)
		}
		e, ok := reference.Login(d.opt.Lang, string(f.Cause))
		if !ok {
			return fmt.Errorf("the cause %s is not explained", f.Cause)
		}
		name := ""
		if f.AppPasswordName != "" {
			name = " («" + f.AppPasswordName + "», " + f.AppPasswordEnd.Format("2 January 2006") + ")"
		}
		d.check(refs[i] + ": " + string(f.Cause) + name)
		e = e.For(f.Login, f.AppPassword)
		d.meaning(e.Meaning + " " + e.Fix)
	}
	return nil
}

// send is one message from Bob, shown in short.
func (d *demo) send(to, want, subject string) (string, error) {
	c, err := d.connect(d.server.Addrs("mx")[0])
	if err != nil {
		return "", err
	}
	defer c.conn.Close()
	if err := c.hello(); err != nil {
		return "", err
	}
	err = c.steps([]step{{"MAIL FROM:<bob@example.com>", "250 2.1.0 Sender OK"}, {"RCPT TO:<" + to + ">", want}})
	if err != nil {
		return "", err
	}
	id, err := c.content(subject, "Are you there?")
	if err != nil {
		return "", err
	}
	return id, c.quit()
}

// busy shows a deferral: explained, retried, delivered.
func (d *demo) busy(ctx context.Context) error {
	id, err := d.send("busy@example.org", "251 2.1.5 User not local; will forward to <busy@example.net>", "Are you busy")
	if err != nil {
		return err
	}
	if _, err := d.world.wait(ctx, "busy@example.net"); err != nil {
		return err
	}
	if err := d.settled(ctx, id, map[string]queue.State{"busy@example.org": queue.Delivered}); err != nil {
		return err
	}
	return d.attempts(ctx, id, "451 4.3.0", "250 2.0.0")
}

// attempts shows the delivery log of a message and holds it against the replies
// that the world gave.
func (d *demo) attempts(ctx context.Context, id string, want ...string) error {
	mid, err := queue.ParseID(id)
	if err != nil {
		return err
	}
	rows, err := d.server.Queue().Log(ctx, queue.LogFilter{Message: mid})
	if err != nil {
		return fmt.Errorf("read the delivery log: %w", err)
	}
	var heard []string
	for _, row := range rows {
		if row.Kind != queue.LogAttempt || row.Outcome == nil {
			continue
		}
		o := row.Outcome
		heard = append(heard, fmt.Sprintf("%d %s", o.Heard.Code, o.Heard.Enhanced))
		d.check(fmt.Sprintf("attempt %d, %s said: %s → %s", o.Attempt, o.Host, o.Heard, o.Kind))
		d.meaning(explain.Short(explain.Heard(o.Heard.Code, o.Heard.Enhanced, o.Heard.Lines, o.Host), d.opt.Lang))
	}
	if strings.Join(heard, ", ") != strings.Join(want, ", ") {
		return fmt.Errorf("the delivery log has the replies %v; due is %v", heard, want)
	}
	return nil
}

// refused shows a bounce: the remote's words, the explanation, and not the
// private target.
func (d *demo) refused(ctx context.Context) error {
	id, err := d.send("team@example.org", "250 2.1.5 Recipient OK", "Dear team")
	if err != nil {
		return err
	}
	got, err := d.world.wait(ctx, "bob@example.com")
	if err != nil {
		return err
	}
	if !got.from.IsZero() {
		return fmt.Errorf("the report came from %s; it must have the null reverse-path", got.from.Path())
	}
	if strings.Contains(got.content, "gone@example.net") {
		return fmt.Errorf("the report names the private target:\n%s", got.content)
	}
	report, err := dsn.Parse([]byte(strings.ReplaceAll(got.content, "\n", "\r\n")))
	if err != nil {
		return fmt.Errorf("the report cannot be read: %w", err)
	}
	if len(report.Recipients) != 1 || report.Recipients[0].Status != "5.1.1" || !strings.Contains(got.content, "no such address here") {
		return fmt.Errorf("the report does not say what the other server said:\n%s", got.content)
	}
	if err := d.settled(ctx, id, map[string]queue.State{"team@example.org": queue.Reported}); err != nil {
		return err
	}
	d.check("bob@example.com has a report (RFC 3464). It quotes the other server and does not name the private target:")
	for _, line := range strings.Split(strings.TrimSpace(humanPart(got.content)), "\n") {
		fmt.Fprintln(d.opt.Out, d.paint(faint, "     │ ")+line)
	}
	return nil
}

func (d *demo) summary() {
	fmt.Fprintf(d.opt.Out, "\n%s\n", d.paint(bold, fmt.Sprintf("All %d replies, the store, the Maildir and the captured mail are as they should be.", d.replies)))
}

func firstLines(s string, n int) string {
	lines := strings.SplitN(s, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

// receivedLine is the first Received field in one line.
func receivedLine(content string) string {
	var b strings.Builder
	for i, line := range strings.Split(content, "\n") {
		if i > 0 && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			break
		}
		b.WriteString(" " + strings.TrimSpace(line))
	}
	return strings.TrimSpace(b.String())
}
