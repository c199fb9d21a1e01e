// Guessing measures what honest people notice of a flood of guesses at passwords.
//
//	go run ./test/bench/guessing -onward bin/onward
//
// A thousand times a second somebody connects from another address of loopback to the port for users, says EHLO, and tries a wrong password
// at one of a thousand logins, half of which exist. Meanwhile mail comes in on the port for servers, one person sends with an app password and
// one with a main password, from where they always do; each does so again and again, and how long each message takes, from the connection to the
// answer, is printed beside how long it took before the flood. Connections are in clear, so that what is measured is not TLS. It fails
// if anybody honest is refused, or if fewer guesses were made than intended.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	binary := flag.String("onward", "bin/onward", "the program to measure")
	rate := flag.Int("rate", 1000, "wrong logins a second")
	seconds := flag.Int("seconds", 20, "how long is measured, with and without guesses")
	flag.Parse()
	if err := guessing(*binary, *rate, time.Duration(*seconds)*time.Second); err != nil {
		fmt.Fprintln(os.Stderr, "guessing:", err)
		os.Exit(1)
	}
}

const (
	mx         = "127.0.0.1:25325"
	submission = "127.0.0.1:25387"
	password   = "correct horse battery"
	victims    = 500 // accounts that are guessed at, and as many names without one
)

// server starts Onward with a person who has a main and an app password, and accounts to guess at.
func server(binary string) (app string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "guessing")
	if err != nil {
		return "", nil, err
	}
	config := fmt.Sprintf(`hostname = "mx.example.org"
data = "data"
[listen]
mx = [%q]
submission = [%q]
submissions = []
web = []
[login]
clear_loopback = true
limits.messages_hour = 0
limits.messages_day = 0
limits.recipients_hour = 0
limits.recipients_day = 0
alarm.times_usual = 0
[limits]
known = []
connection_rate = 0
message_rate = 0
block = "never"
[log]
level = "error"
`, mx, submission)
	file := filepath.Join(dir, "onward.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return "", nil, err
	}
	// Nobody's password, at the cost of a real one.
	hash := "$argon2id$v=19$m=19456,t=2,p=1$" + base64.RawStdEncoding.EncodeToString(make([]byte, 16)) + "$" + base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	var roster strings.Builder
	roster.WriteString("login,hash\n")
	for i := range victims {
		fmt.Fprintf(&roster, "user%d@example.org,\"{ARGON2ID}%s\"\n", i, hash)
	}
	for _, c := range []struct {
		input string
		args  []string
	}{
		{"", []string{"domain", "add", "example.org"}},
		{"", []string{"address", "add", "anna@example.org", "--mailbox"}},
		{password + "\n", []string{"account", "add", "anna@example.org", "--password-stdin"}},
		{roster.String(), []string{"account", "import", "-", "--format", "csv"}},
		{"", []string{"account", "app-password", "add", "anna@example.org", "--name", "phone", "--json"}},
	} {
		cmd := exec.Command(binary, append(c.args, "--config", file)...)
		cmd.Stdin = strings.NewReader(c.input)
		out, err := cmd.Output()
		if err != nil {
			return "", nil, fmt.Errorf("onward %v: %w: %s", c.args, err, out)
		}
		if c.args[1] == "app-password" {
			var made struct{ Password string }
			if err := json.Unmarshal(out, &made); err != nil {
				return "", nil, err
			}
			app = made.Password
		}
	}
	cmd := exec.Command(binary, "serve", "--config", file)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		cmd.Process.Kill() //nolint:errcheck // it may be gone
		cmd.Wait()         //nolint:errcheck // the same
		os.RemoveAll(dir)  //nolint:errcheck // the system clears it
	}
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", submission)
		if err == nil {
			c.Close()
			return app, stop, nil
		}
		if time.Now().After(end) {
			stop()
			return "", nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// dial connects from an address of loopback.
func dial(from net.IP, to string) (*session, error) {
	d := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: from}}
	c, err := d.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	s := &session{c, bufio.NewReaderSize(c, 1024)}
	if err := c.SetDeadline(time.Now().Add(40 * time.Second)); err != nil {
		return nil, err
	}
	return s, s.hear("220")
}

// session is a client's side of a conversation.
type session struct {
	net.Conn
	r *bufio.Reader
}

// hear reads a reply, which must begin so.
func (s *session) hear(want string) error {
	for {
		line, err := s.r.ReadString('\n')
		switch {
		case err != nil:
			return err
		case !strings.HasPrefix(line, want):
			return fmt.Errorf("heard %q", strings.TrimSpace(line))
		case len(line) > 3 && line[3] == ' ':
			return nil
		}
	}
}

// say says a line and hears a reply.
func (s *session) say(line, want string) error {
	if _, err := io.WriteString(s, line+"\r\n"); err != nil {
		return err
	}
	return s.hear(want)
}

func plain(login, secret string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00"+secret))
}

// send sends one message, after a login if there is a secret.
func send(from net.IP, to, secret string) error {
	s, err := dial(from, to)
	if err != nil {
		return err
	}
	defer s.Close()
	sender := "friend@example.net"
	if err := s.say("EHLO client.example", "250"); err != nil {
		return err
	}
	if secret != "" {
		sender = "anna@example.org"
		if err := s.say(plain(sender, secret), "235"); err != nil {
			return err
		}
	}
	for _, step := range [][2]string{
		{"MAIL FROM:<" + sender + ">", "250"},
		{"RCPT TO:<anna@example.org>", "250"},
		{"DATA", "354"},
		{"From: <" + sender + ">\r\nSubject: honest\r\n\r\nHello.\r\n.", "250"},
		{"QUIT", "221"},
	} {
		if err := s.say(step[0], step[1]); err != nil {
			return fmt.Errorf("%s: %w", step[0], err)
		}
	}
	return nil
}

// person is somebody honest, and how long each of his messages took.
type person struct {
	name, to, secret string
	from             net.IP
	took             []time.Duration
	err              error
}

// work sends one message after the other, with a breath between them.
func (p *person) work(span time.Duration) {
	p.took = nil
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		begun := time.Now()
		if err := send(p.from, p.to, p.secret); err != nil {
			p.err = errors.Join(p.err, fmt.Errorf("%s was refused after %v: %w", p.name, time.Since(begun).Round(time.Millisecond), err))
			return
		}
		p.took = append(p.took, time.Since(begun))
	}
}

// at is how long it took in so many of a hundred cases.
func (p *person) at(percent int) float64 {
	if len(p.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(p.took))
	return float64(sorted[min(len(sorted)*percent/100, len(sorted)-1)].Microseconds()) / 1000
}

// answers counts what guesses hear, by its first three characters.
type answers struct {
	mu    sync.Mutex
	count map[string]int
}

func (a *answers) add(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count[what]++
}

// guess makes one guess, from an address that makes no other.
func guess(n int, heard *answers) {
	s, err := dial(net.IPv4(127, byte(2+n>>16), byte(n>>8), byte(n)), submission)
	if s != nil {
		defer s.Close()
	}
	if err == nil {
		err = s.say("EHLO guesser.example", "250")
	}
	if err == nil {
		err = s.say(plain(fmt.Sprintf("user%d@example.org", rand.IntN(2*victims)), fmt.Sprintf("guess %d", n)), "235")
	}
	what := "nothing"
	if err != nil {
		if _, text, ok := strings.Cut(err.Error(), `"`); ok && len(text) > 3 {
			what = text[:3]
		}
	}
	heard.add(what)
}

func guessing(binary string, rate int, span time.Duration) error {
	app, stop, err := server(binary)
	if err != nil {
		return err
	}
	defer stop()
	people := []*person{
		{name: "mail that comes in", to: mx, from: net.IPv4(127, 1, 0, 1)},
		{name: "an app password", to: submission, secret: app, from: net.IPv4(127, 1, 1, 1)},
		{name: "a main password", to: submission, secret: password, from: net.IPv4(127, 1, 2, 1)},
	}
	together := func(span time.Duration) {
		var all sync.WaitGroup
		for _, p := range people {
			all.Go(func() { p.work(span) })
		}
		all.Wait()
	}
	together(span / 5) // nothing is cold any more
	together(span)
	before := make([][2]float64, len(people))
	for i, p := range people {
		before[i] = [2]float64{p.at(50), p.at(99)}
	}
	heard := &answers{count: make(map[string]int)}
	over := make(chan struct{})
	var made atomic.Int64
	var flood sync.WaitGroup
	flood.Go(func() {
		begun := time.Now()
		for n := 0; ; {
			for due := int(time.Since(begun).Seconds() * float64(rate)); n < due; n++ {
				made.Add(1)
				flood.Go(func() { guess(n, heard) })
			}
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	time.Sleep(span / 2) // until as many wait as will
	first := made.Load()
	begun := time.Now()
	together(span)
	tried := float64(made.Load()-first) / time.Since(begun).Seconds()
	close(over)
	flood.Wait()
	broken := error(nil)
	for i, p := range people {
		fmt.Printf("%-20s %6.1f ms in the middle, %6.1f ms at the 99th of a hundred, alone; %6.1f and %6.1f ms beside %.0f guesses a second\n",
			p.name, before[i][0], before[i][1], p.at(50), p.at(99), tried)
		broken = errors.Join(broken, p.err)
	}
	fmt.Printf("guesses heard        %v\n", heard.count)
	if tried < 0.9*float64(rate) {
		broken = errors.Join(broken, fmt.Errorf("only %.0f guesses a second were made", tried))
	}
	return broken
}
