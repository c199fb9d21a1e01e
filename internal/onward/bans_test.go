package onward

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

func bansWorld(t *testing.T) *world {
	w := newWorld(t, txtar.Parse([]byte(`-- config.toml --
[listen]
submissions = ["127.0.0.1:465"]
[login.guesses]
delay = 3
ban = 6
-- directory --
domain example.org
mailbox anna@example.org
account anna@example.org correct
`)), false)
	w.quiet = true
	return w
}

// ask connects to a service from an address, says lines and returns the first
// line of the greeting and of each reply; what does not come is "".
func (w *world) ask(service string, lines ...string) (heard []string) {
	w.t.Helper()
	service, from, _ := strings.Cut(service, "@")
	c, err := w.connect(context.Background(), service+"@"+from)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if service == "submissions" {
		c = tls.Client(c, w.clientTLS())
	}
	r := bufio.NewReader(c)
	reply := func() (first string) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return first
			}
			if first == "" {
				first = strings.TrimSpace(line)
			}
			if len(line) > 3 && line[3] == ' ' {
				return first
			}
		}
	}
	heard = append(heard, reply())
	for _, line := range lines {
		fmt.Fprintf(c, "%s\r\n", line)
		heard = append(heard, reply())
	}
	return heard
}

func plain(login, secret string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00"+secret))
}

func (w *world) listBans() (all []string) {
	w.t.Helper()
	list, err := w.server.control.ListBans(context.Background(), control.Nothing{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range list {
		all = append(all, fmt.Sprint(b.Network, " ", b.Ports, ": ", b.Why))
	}
	return all
}

// TestBans: whoever is refused, for wrong logins or for errors, is on the list
// and can be let in again.
func TestBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bansWorld(t)
		defer w.stop()
		nonsense := make([]string, 30)
		for i := range nonsense {
			nonsense[i] = "NONSENSE"
		}
		w.ask("mx@192.0.2.1", nonsense...)
		time.Sleep(time.Second)
		if got := w.ask("mx@192.0.2.1")[0]; !strings.HasPrefix(got, "421 4.7.0") {
			t.Errorf("after errors: %q", got)
		}
		if got := w.ask("submissions@192.0.2.1")[0]; !strings.HasPrefix(got, "220 ") {
			t.Errorf("on the port for users: %q", got)
		}
		for i := range 6 {
			w.ask("submissions@192.0.2.2", "EHLO x", plain("anna@example.org", fmt.Sprint("guess ", i)))
		}
		if got := w.ask("submissions@192.0.2.2")[0]; !strings.HasPrefix(got, "421 4.7.0") {
			t.Errorf("after guesses: %q", got)
		}
		want := "[192.0.2.2/32 users: 6 different wrong secrets 192.0.2.1/32 mail: too many errors in a session]"
		if got := fmt.Sprint(w.listBans()); got != want {
			t.Errorf("the list: %s", got)
		}
		for _, a := range []string{"192.0.2.1", "192.0.2.2"} {
			if _, err := w.server.control.LiftBan(context.Background(), control.LiftBanRequest{Network: a}); err != nil {
				t.Error(err)
			}
			if _, err := w.server.control.LiftBan(context.Background(), control.LiftBanRequest{Network: a}); control.KindOf(err) != control.NotFound {
				t.Error(err)
			}
		}
		if got := w.listBans(); len(got) != 0 {
			t.Errorf("afterwards: %s", got)
		}
		for _, s := range []string{"mx@192.0.2.1", "submissions@192.0.2.2"} {
			if got := w.ask(s)[0]; !strings.HasPrefix(got, "220 ") {
				t.Errorf("let in again: %q", got)
			}
		}
		w.ask("mx@192.0.2.1", nonsense...)
		time.Sleep(time.Second)
		r, err := w.server.control.LiftBan(context.Background(), control.LiftBanRequest{All: true})
		if err != nil || len(r.Lifted) != 1 || !strings.HasPrefix(w.ask("mx@192.0.2.1")[0], "220 ") {
			t.Errorf("all: %+v %v", r, err)
		}
	})
}

// TestKnownOverRestart: somebody whose login is being guessed at from everywhere
// logs in from home without waiting, after a restart too.
func TestKnownOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bansWorld(t)
		defer func() { w.stop() }()
		w.ask("submissions@192.0.2.7", "EHLO x", plain("anna@example.org", "correct"))
		if err := w.server.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		s, err := New(context.Background(), w.options())
		if err != nil {
			t.Fatal(err)
		}
		w.server = s
		s.Start()
		for i := range 20 {
			w.ask(fmt.Sprintf("submissions@203.0.%d.1", i), "EHLO x", plain("anna@example.org", fmt.Sprint("guess ", i)))
		}
		for from, want := range map[string]time.Duration{"192.0.2.7": 0, "198.51.100.1": account.MaxGuessDelay} {
			begun := time.Now()
			if got := w.ask("submissions@"+from, "EHLO x", plain("anna@example.org", "correct"))[2]; !strings.HasPrefix(got, "235 ") {
				t.Errorf("%s: %q", from, got)
			}
			if d := time.Since(begun).Truncate(time.Second); d != want {
				t.Errorf("%s waits %v, want %v", from, d, want)
			}
		}
	})
}
