package backend

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onwardmail/onward/internal/account"
)

const (
	dovecotAt = "127.0.0.1:12345"
	greeting  = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t42\nCUID\t7\nCOOKIE\t0123\nDONE\n"
)

// fakeDovecot answers by a function of the whole AUTH line; "" is no answer.
type fakeDovecot struct {
	l        net.Listener
	greeting string

	mu     sync.Mutex // guards the rest
	heard  []string
	conns  []net.Conn
	answer func(id, login, password, line string) string
}

func newDovecot(t *testing.T, l net.Listener) *fakeDovecot {
	d := &fakeDovecot{l: l, greeting: greeting, answer: func(id, login, password, _ string) string {
		if password == "right" {
			return "OK\t" + id + "\tuser=" + login + "\n"
		}
		return "FAIL\t" + id + "\tuser=" + login + "\n"
	}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns = append(d.conns, c)
			d.mu.Unlock()
			go d.serve(c)
		}
	}()
	t.Cleanup(d.stop)
	return d
}

func (d *fakeDovecot) stop() {
	d.l.Close()
	d.drop()
}

// drop ends all connections, as a restart does.
func (d *fakeDovecot) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.Close()
	}
}

func (d *fakeDovecot) lines(prefix string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, l := range d.heard {
		if strings.HasPrefix(l, prefix) {
			all = append(all, l)
		}
	}
	return all
}

func (d *fakeDovecot) serve(c net.Conn) {
	defer c.Close()
	fmt.Fprint(c, d.greeting)
	for r := bufio.NewScanner(c); r.Scan(); {
		line := r.Text()
		d.mu.Lock()
		d.heard = append(d.heard, line)
		answer := d.answer
		d.mu.Unlock()
		words := strings.Split(line, "\t")
		if words[0] != "AUTH" {
			continue
		}
		plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(words[len(words)-1], "resp="))
		parts := strings.Split(string(plain), "\x00")
		if len(parts) != 3 || parts[0] != "" {
			fmt.Fprintf(c, "FAIL\t%s\treason=not PLAIN: %q\n", words[1], plain)
			continue
		}
		fmt.Fprint(c, answer(words[1], parts[1], parts[2], line))
	}
}

func dovecotWorld(t *testing.T) (*fakeDovecot, *Backend) {
	t.Helper()
	n, opt := world()
	l, err := n.Listen(dovecotAt)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewDovecot(opt, Dovecot{Address: dovecotAt, Service: "smtp"})
	if err != nil {
		t.Fatal(err)
	}
	d := newDovecot(t, l)
	t.Cleanup(func() { b.Close() })
	return d, b
}

// TestDovecotAnswers: each answer comes to its verdict, and all of them by one
// connection.
func TestDovecotAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := dovecotWorld(t)
		for _, tt := range []struct {
			answer string // without id
			want   account.Verdict
			err    string
		}{
			{"OK|user=anna@example.org", account.Verdict{OK: true, Login: "anna@example.org"}, ""},
			{"OK|user=Bea@Example.org", account.Verdict{OK: true, Login: "bea@example.org"}, ""},
			{"OK|user=anna", account.Verdict{OK: true, Login: "anna@example.org"}, ""}, // auth_username_format = %Ln
			{"OK|user=an\x01tna@example.org", account.Verdict{OK: true, Login: "an\tna@example.org"}, ""},
			{"OK|user=anna@example.net", account.Verdict{}, "vouches for anna@example.net"},
			{"OK|user=anna@example.org|nologin|reason=moved", account.Verdict{Cause: account.AccountDisabled, Proved: true, Detail: "Dovecot says that the user may not log in: moved"}, ""},
			{"OK|user=anna@example.org|nologin|proxy|host=192.0.2.9", account.Verdict{OK: true}, ""},
			{"FAIL|user=anna@example.org", account.Verdict{Cause: account.BackendRejected, Detail: "Dovecot refuses it"}, ""},
			{"FAIL|user=anna@example.org|reason=No\x01twe", account.Verdict{Cause: account.BackendRejected, Detail: "Dovecot refuses it: No we"}, ""},
			{"FAIL|user=anna@example.org|temp", account.Verdict{}, "temporary failure"},
			{"FAIL|user=anna@example.org|code=temp_fail|reason=db", account.Verdict{}, "temporary failure: db"},
			{"FAIL|user=anna@example.org|user_disabled", account.Verdict{Cause: account.AccountDisabled, Detail: "Dovecot says that the user is disabled"}, ""},
			{"FAIL|user=anna@example.org|code=pass_expired", account.Verdict{Cause: account.AccountDisabled, Detail: "Dovecot says that the password has expired: pass_expired"}, ""},
			{"FAIL|user=anna@example.org|authz", account.Verdict{Cause: account.AccountDisabled, Detail: "Dovecot says that the user is not allowed to log in"}, ""},
			{"CONT|", account.Verdict{}, "CONT"},
		} {
			verb, rest, _ := strings.Cut(tt.answer, "|")
			d.mu.Lock()
			d.answer = func(id, _, _, _ string) string {
				return verb + "\t" + id + "\t" + strings.ReplaceAll(rest, "|", "\t") + "\n"
			}
			d.mu.Unlock()
			v, err := b.Password(t.Context(), "anna@example.org", "x", anna())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%q: %+v, %v", tt.answer, v, err)
				}
				continue
			}
			if tt.want.Login == "" {
				tt.want.Login = "anna@example.org"
			}
			if err != nil || v != tt.want {
				t.Errorf("%q:\ngot  %+v, %v\nwant %+v", tt.answer, v, err, tt.want)
			}
		}
		if n := len(d.lines("VERSION\t1\t1")); n != 1 {
			t.Errorf("%d connections", n)
		}
		auth := d.lines("AUTH")
		if want := "AUTH\t1\tPLAIN\tservice=smtp\tno-penalty\trip=192.0.2.1\tsecured\tresp="; !strings.HasPrefix(auth[0], want) {
			t.Errorf("it heard %q, want %q", auth[0], want)
		}
	})
}

// TestDovecotClear: a login that came in clear over a network is not called secured.
func TestDovecotClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := dovecotWorld(t)
		c := anna()
		c.TLS = ""
		b.Password(t.Context(), "anna@example.org", "right", c)
		if l := d.lines("AUTH")[0]; strings.Contains(l, "secured") {
			t.Error(l)
		}
	})
}

// TestDovecotTogether: many logins share the connection; answers come in another
// order, and the slow ones hold up nobody.
func TestDovecotTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := dovecotWorld(t)
		b.turns = make(chan struct{}, 100)
		d.mu.Lock()
		quick := d.answer
		d.answer = func(id, login, password, line string) string {
			if strings.HasPrefix(login, "slow") {
				answer := quick(id, login, password, line)
				c := d.conns[0]
				go func() {
					time.Sleep(2 * time.Second)
					fmt.Fprint(c, "MECH\tX\n"+answer)
				}()
				return ""
			}
			return quick(id, login, password, line)
		}
		d.mu.Unlock()
		var wg sync.WaitGroup
		began := time.Now()
		for i := range 40 {
			wg.Go(func() {
				name, want := "quick", time.Duration(0)
				if i%2 == 0 {
					name, want = "slow", 2*time.Second
				}
				login := fmt.Sprintf("%s%d@example.org", name, i)
				v, err := b.Password(t.Context(), login, "right", anna())
				if err != nil || !v.OK || v.Login != login || time.Since(began) != want {
					t.Errorf("%s: %+v, %v after %v", login, v, err, time.Since(began))
				}
			})
		}
		wg.Wait()
		if n := len(d.lines("VERSION")); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestDovecotRestart: a connection that broke is made again, and the login that
// was under way is sent once more.
func TestDovecotRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := dovecotWorld(t)
		ask := func() {
			t.Helper()
			if v, err := b.Password(t.Context(), "anna@example.org", "right", anna()); err != nil || !v.OK {
				t.Errorf("%+v, %v", v, err)
			}
		}
		ask()
		d.drop() // while idle
		ask()
		d.mu.Lock()
		quick, times := d.answer, 0
		d.answer = func(id, login, password, line string) string {
			if times++; times == 1 {
				go d.drop() // while a login is under way
				return ""
			}
			return quick(id, login, password, line)
		}
		d.mu.Unlock()
		ask()
		if n := len(d.lines("VERSION")); n != 3 {
			t.Errorf("%d connections, want 3", n)
		}
	})
}

// TestDovecotSilent: a login that gets no answer is called off, and the others go
// on by the same connection; an answer that comes too late is nobody's.
func TestDovecotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := dovecotWorld(t)
		d.mu.Lock()
		quick := d.answer
		d.answer = func(id, login, password, line string) string {
			if login == "silent@example.org" {
				return ""
			}
			return "OK\t1\tuser=silent@example.org\n" + quick(id, login, password, line)
		}
		d.mu.Unlock()
		_, err := b.Password(t.Context(), "silent@example.org", "right", anna())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if v, err := b.Password(t.Context(), "anna@example.org", "right", anna()); err != nil || !v.OK || v.Login != "anna@example.org" {
			t.Errorf("%+v, %v", v, err)
		}
		if len(d.lines("CANCEL\t1")) != 1 || len(d.lines("VERSION")) != 1 {
			t.Errorf("it heard %q", d.heard)
		}
	})
}

// TestDovecotClose: logins under way end with their answer, then the connection
// does; one that comes later still gets its own.
func TestDovecotClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := dovecotWorld(t)
		d.mu.Lock()
		d.answer = func(id, login, _, _ string) string {
			time.Sleep(time.Second)
			return "OK\t" + id + "\tuser=" + login + "\n"
		}
		d.mu.Unlock()
		done := make(chan error)
		go func() {
			_, err := b.Password(t.Context(), "anna@example.org", "right", anna())
			done <- err
		}()
		synctest.Wait()
		b.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := b.Password(t.Context(), "anna@example.org", "right", anna()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		for i, c := range d.conns {
			if _, err := c.Write([]byte("x")); err == nil {
				t.Errorf("connection %d is still open", i)
			}
		}
	})
}

// TestDovecotGreetings: what is no Dovecot, or none that can help, is said so.
func TestDovecotGreetings(t *testing.T) {
	for greeting, want := range map[string]string{
		"VERSION\t2\t0\nMECH\tPLAIN\nDONE\n":  "it speaks version 2",
		"VERSION\t1\t2\nMECH\tLOGIN\nDONE\n":  "it does not offer PLAIN",
		"MECH\tPLAIN\nDONE\n":                 "is this its auth-client socket?",
		strings.Repeat("x\n", 200):            "its greeting does not end",
		strings.Repeat("x", 2*maxDovecotLine): "longer than 8192",
		"VERSION\t1\t2\nMECH\tPLAIN\n":        "deadline", // and then nothing
	} {
		synctest.Test(t, func(t *testing.T) {
			d, b := dovecotWorld(t)
			d.greeting = greeting
			_, err := b.Password(t.Context(), "anna@example.org", "right", anna())
			if err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "timeout") {
				t.Errorf("%.40q: %v", greeting, err)
			}
			if len(d.lines("AUTH")) > 0 {
				t.Errorf("%.40q: the password was said", greeting)
			}
		})
	}
}

func TestDovecotMistakes(t *testing.T) {
	_, opt := world()
	for address, ok := range map[string]bool{"/run/x": true, "127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "x": false, "::1": false, ":1": false} {
		if _, err := NewDovecot(opt, Dovecot{Address: address}); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// FuzzDovecot: whatever line comes, it is read or refused.
func FuzzDovecot(f *testing.F) {
	f.Add("OK\t1\tuser=anna@example.org")
	f.Add("FAIL\t1\ttemp\treason=\x01t\x010")
	f.Add("\t\t=\t")
	f.Fuzz(func(t *testing.T, line string) {
		a, err := parseDovecot(line)
		if err != nil {
			return
		}
		if v, err := dovecotVerdict(a); err == nil && v.OK && a.verb != "OK" {
			t.Errorf("%q is OK", line)
		}
	})
}
