package smtptest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// ends returns the two ends of a connection on a network.
func ends(t *testing.T) (near, far net.Conn) {
	t.Helper()
	n := NewNetwork()
	ln, err := n.Listen("192.0.2.1:25")
	if err != nil {
		t.Fatal(err)
	}
	if near, err = n.Dial(t.Context(), "tcp", "192.0.2.1:25"); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := ends(t)
		if near.RemoteAddr().String() != "192.0.2.1:25" || far.RemoteAddr().String() != near.LocalAddr().String() {
			t.Errorf("addresses %v %v, %v %v", near.LocalAddr(), near.RemoteAddr(), far.LocalAddr(), far.RemoteAddr())
		}
		// It has a buffer: nobody reads yet.
		if _, err := io.WriteString(near, "hello"); err != nil {
			t.Fatal(err)
		}
		// Half-close: the rest can be read, and answered.
		if err := near.(*Conn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(far); string(b) != "hello" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		if _, err := io.WriteString(far, "bye"); err != nil {
			t.Fatal(err)
		}
		far.Close()
		if b, err := io.ReadAll(near); string(b) != "bye" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := ends(t)
		began := time.Now()
		_ = near.SetReadDeadline(began.Add(time.Minute))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(began))
		}
		_ = near.SetReadDeadline(time.Time{}) // and on it goes
		go func() {
			time.Sleep(time.Hour)
			_, _ = far.Write([]byte("x"))
		}()
		if n, err := near.Read(make([]byte, 9)); n != 1 || err != nil {
			t.Errorf("read: %d, %v", n, err)
		}
		// A writer waits when the buffer is full, until its deadline.
		_ = near.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := near.Write(make([]byte, 2*window))
		if n != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %d, %v", n, err)
		}
		// A deadline of the past wakes who is reading.
		go func() {
			time.Sleep(time.Second)
			_ = near.SetReadDeadline(time.Unix(1, 0))
		}()
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		near.Close()
		far.Close()
	})
}

func TestListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		if _, err := n.Dial(t.Context(), "tcp", "192.0.2.1:25"); err == nil {
			t.Error("a connection to nobody")
		}
		ln, err := n.Listen("192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen("192.0.2.1:25"); err == nil {
			t.Error("two listeners at one address")
		}
		if _, err := n.Listen("somewhere"); err == nil {
			t.Error("a listener at no address")
		}
		waiting, err := n.Dial(t.Context(), "tcp", "192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if _, err := waiting.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a connection that was never accepted: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.Dial(ctx, "tcp", "192.0.2.1:25"); !errors.Is(err, context.Canceled) {
			t.Errorf("Dial: %v", err)
		}
	})
}

// TestFakeMX sends to it by somebody else's client on a real socket.
func TestFakeMX(t *testing.T) {
	server, client := Certificate(t, "mx.test", "127.0.0.1")
	f := &FakeMX{TLS: server, Login: "relay", Password: "secret"}
	f.On("rcpt", "anna@", "450 4.2.1 Later", Pass)
	f.On("content", "second", "451 4.3.0 Not\n now")
	addr, err := f.Start(nil, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	send := func(content string) error {
		c, err := smtp.Dial(addr)
		if err != nil {
			return err
		}
		defer c.Close()
		config := client.Clone()
		config.ServerName = "mx.test"
		if err := c.StartTLS(config); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
		if err := c.Auth(smtp.PlainAuth("", "relay", "secret", "127.0.0.1")); err != nil {
			return fmt.Errorf("AUTH: %w", err)
		}
		if err := c.Mail("bob@example.org"); err != nil {
			return err
		}
		if err := c.Rcpt("anna@example.net"); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, content); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		return c.Quit()
	}
	if err := send("never"); err == nil || !strings.HasPrefix(err.Error(), "450") {
		t.Errorf("the first time: %v", err)
	}
	if err := send("first\r\n.dot\r\n"); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if err := send("second\r\n"); err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("the second message: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	mails, err := f.Wait(ctx, 1)
	if err != nil || len(mails) != 1 {
		t.Fatalf("got %+v, %v", mails, err)
	}
	m := mails[0]
	if m.From != "bob@example.org" || len(m.To) != 1 || m.To[0] != "anna@example.net" || string(m.Content) != "first\r\n.dot\r\n" ||
		!m.TLS || m.Login != "relay" || m.Session != 2 || m.FromParams != "BODY=8BITMIME" || m.Bare {
		t.Errorf("got %+v", m)
	}
	if f.Sessions() != 3 || len(f.Commands()) == 0 {
		t.Errorf("%d sessions, commands %q", f.Sessions(), f.Commands())
	}
	f.Always("connect", "", "554 5.7.1 Go away")
	if err := send("x"); err == nil || !strings.HasPrefix(err.Error(), "554") {
		t.Errorf("refused at connect: %v", err)
	}
	f.Forget()
	f.On("ehlo", "", Drop)
	if err := send("x"); err == nil {
		t.Error("a dropped connection is no error")
	}
}

// TestFakeMXInMemory: waits cost no time, and nothing is left behind.
func TestFakeMXInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		f := &FakeMX{}
		f.Always("data", "", Hang)
		addr, err := f.Start(n, "192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.Dial(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Minute))
		b, err := io.ReadAll(c)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasSuffix(string(b), "250 2.1.5 Recipient fine\r\n") {
			t.Errorf("read %q, %v", b, err)
		}
		f.Close()
		if _, err := f.Wait(canceled(t), 1); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
	})
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// echo is a server for the player: it says hello, then each line back in
// capitals, and closes after "bye" or a silence of a minute.
func echo(t *testing.T, files *txtar.Archive) World {
	n := NewNetwork()
	ln, err := n.Listen("192.0.2.1:7")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "hello\r\n")
				r := bufio.NewReader(c)
				for {
					_ = c.SetDeadline(time.Now().Add(time.Minute))
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					fmt.Fprintf(c, "%s\r\n", strings.ToUpper(strings.TrimSpace(line)))
					if strings.HasPrefix(line, "bye") {
						return
					}
				}
			}()
		}
	}()
	return World{
		Dial: func(ctx context.Context, _ string) (net.Conn, error) { return n.Dial(ctx, "tcp", "192.0.2.1:7") },
		Command: func(words []string) error {
			if words[0] != "fine" {
				return fmt.Errorf("%s is not fine", words[0])
			}
			return nil
		},
		Stop: func() { ln.Close() },
	}
}

const good = `# a comment
open echo as a
S: hello
C: one \x41\{b*3}
C: two
S: ONE ABBB
S~ ^T[WO]+$
open echo as b
S: h...o
on a
C| spl
C| it\r\n
S: SPLIT
fine
wait 59s
C: still there
S: STILL...
wait 2s
on b
eof
open echo as c
S: hello
C| \{x\r\n*6}yy\r\n
S*4: X
S*2~ ^X$
S: YY
slowly 9s \x7a\r\n
S: Z
C: bye
S: BYE
eof
`

// TestPlayer plays a script that is right, and then each of its faults.
func TestPlayer(t *testing.T) {
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "script.txtar")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	Player{Start: echo}.File(t, file(good))
	for name, change := range map[string][2]string{
		"another line":         {"S: ONE ABBB", "S: ONE"},
		"a line is missing":    {"S: SPLIT\n", "S: SPLIT\nS: MORE\n"},
		"a line too many":      {"S: ONE ABBB\nS~ ^T[WO]+$\n", "S: ONE ABBB\n"},
		"said and not waited":  {"S: BYE\n", ""},
		"not closed":           {"on b\neof", "on a\neof"},
		"closed too early":     {"wait 59s\nC: still there\n", "wait 61s\nC: still there\n"},
		"the expression fails": {"^T[WO]+$", "^T[W]+$"},
		"the wild card fails":  {"S: h...o", "S: h...x"},
		"too few of a kind":    {"S*4: X", "S*5: X"},
		"too many of a kind":   {"S*2~ ^X$", "S*1~ ^X$"},
		"not one of a kind":    {"S*4: X", "S*4: Y"},
		"no number":            {"S*4: X", "S*0: X"},
		"too slow":             {"slowly 9s", "slowly 29s"},
		"bad pause":            {"slowly 9s", "slowly long"},
		"unknown command":      {"fine\n", "bad\n"},
		"bad escape":           {`\x41`, `\q`},
		"bad duration":         {"wait 59s", "wait long"},
		"unknown connection":   {"on b", "on z"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, change[0], change[1], 1)
			if text == good {
				t.Fatal("nothing was changed")
			}
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, world: echo(t, nil), clients: map[string]*client{}}
				err := s.run("script", strings.Split(strings.TrimSuffix(text, "\n"), "\n"))
				for _, c := range s.clients {
					c.close()
				}
				s.world.Stop()
				if err == nil {
					t.Error("the fault is not found")
				}
			})
		})
	}
	// With -update the wrong lines are made right, and those that were keep their
	// wild cards. Many of a kind become one line.
	wrong := strings.NewReplacer("S: ONE ABBB\n", "", "S: SPLIT\n", "S: WRONG\n", "S: BYE\n", "", "S*2~ ^X$\nS: YY\n", "").Replace(good)
	name := file(wrong)
	Player{Start: echo, Update: true}.File(t, name)
	if got, _ := os.ReadFile(name); string(got) != strings.NewReplacer("S~ ^T[WO]+$", "S: TWO", "S*2~ ^X$", "S: X\nS: X").Replace(good) {
		t.Errorf("rewritten as\n%s", got)
	}
	Player{Start: echo}.File(t, name)
}
