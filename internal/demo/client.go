package demo

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/explain"
)

// patience is how long the demo's client waits for one reply.
const patience = 10 * time.Second

// client talks to the server as a mail program would, and shows what is said.
type client struct {
	d    *demo
	conn net.Conn
	r    *bufio.Reader
}

// connect opens a connection and expects the greeting.
func (d *demo) connect(addr net.Addr) (*client, error) {
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	c := &client{d: d, conn: conn, r: bufio.NewReader(conn)}
	if _, err := c.expect("220 mx.example.org ESMTP Onward"); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// say sends a command and expects a reply: the exact text, with ID for a queue
// id, REF for a reference, and KEYWORDS for lines of EHLO.
func (c *client) say(command, want string) (string, error) {
	c.d.print("C", command)
	return c.send(command, want)
}

// whisper is say for a command that is shown in another way, because nobody
// reads base64.
func (c *client) whisper(command, shown, want string) (string, error) {
	c.d.print("C", shown)
	return c.send(command, want)
}

func (c *client) send(command, want string) (string, error) {
	c.conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the write below would tell
	if _, err := c.conn.Write([]byte(command + "\r\n")); err != nil {
		return "", fmt.Errorf("say %q: %w", command, err)
	}
	return c.expect(want)
}

// expect reads a whole reply, shows and explains it, and holds it against what
// is due.
func (c *client) expect(want string) (string, error) {
	c.conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the read below would tell
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("read a reply (%q is due): %w", want, err)
		}
		lines = append(lines, strings.TrimRight(line, "\r\n"))
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	got := strings.Join(lines, "\n")
	c.d.replies++
	if c.d.opt.alter != nil {
		got = c.d.opt.alter(c.d.replies, got)
	}
	for _, line := range strings.Split(got, "\n") {
		c.d.print("S", line)
	}
	c.d.meaning(explain.Short(explain.Line(got, explain.Options{}), c.d.opt.Lang))
	if !pattern(want).MatchString(got) {
		return "", fmt.Errorf("the server said\n    %s\n  where the demo is due to hear\n    %s", got, want)
	}
	return got, nil
}

// pattern makes a regular expression of an expected reply.
func pattern(want string) *regexp.Regexp {
	s := regexp.QuoteMeta(want)
	s = strings.ReplaceAll(s, "ID", "[0-9a-z]{12}")
	s = strings.ReplaceAll(s, "REF", "[0-9a-z]{4}(-[0-9a-z]{4}){3}")
	s = strings.ReplaceAll(s, "KEYWORDS", `(\n250[- ][A-Z0-9]+( [A-Z0-9= -]+)?)+`)
	return regexp.MustCompile("^" + s + "$")
}

// hello says EHLO.
func (c *client) hello() error {
	_, err := c.say("EHLO client.example.com", "250-mx.example.orgKEYWORDS")
	return err
}

// startTLS changes to TLS and says EHLO again.
func (c *client) startTLS() error {
	if _, err := c.say("STARTTLS", "220 2.0.0 Ready to start TLS"); err != nil {
		return err
	}
	// The certificate was made a second ago by ourselves; there is nobody who
	// could vouch for it.
	t := tls.Client(c.conn, &tls.Config{ServerName: "mx.example.org", InsecureSkipVerify: true}) //nolint:gosec
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("start TLS: %w", err)
	}
	c.conn, c.r = t, bufio.NewReader(t)
	c.d.note("TLS " + strings.TrimPrefix(tls.VersionName(t.ConnectionState().Version), "TLS ") + ", from here on encrypted")
	return c.hello()
}

// quit ends the session.
func (c *client) quit() error {
	_, err := c.say("QUIT", "221 2.0.0 mx.example.org closes the connection; goodbye")
	c.conn.Close()
	return err
}

// plain is the command of AUTH PLAIN (rfc4616#2).
func plain(login, secret string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00"+secret))
}

// content sends a message after DATA.
func (c *client) content(subject string, lines ...string) (string, error) {
	if _, err := c.say("DATA", "354 Send the message; end it with a line that has only a dot"); err != nil {
		return "", err
	}
	head := []string{
		"From: Bob <bob@example.com>",
		"To: anna@example.org",
		"Subject: " + subject,
		"Date: " + time.Now().Format(time.RFC1123Z),
		"Message-ID: <" + strings.ReplaceAll(strings.ToLower(subject), " ", "-") + "@example.com>",
		"",
	}
	text := strings.Join(append(head, lines...), "\r\n")
	for _, line := range strings.Split(text, "\r\n") {
		c.d.print("C", line)
	}
	got, err := c.whisper(text+"\r\n.", ".", "250 2.0.0 Accepted and stored; queued as ID")
	if err != nil {
		return "", err
	}
	return got[strings.LastIndexByte(got, ' ')+1:], nil
}
