package onward

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/smtptest"
	"github.com/onwardmail/onward/internal/store"
)

// onLoopback is a configuration whose listeners take any free port.
const onLoopback = `[listen]
mx = ["127.0.0.1:0"]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
web = []
`

// load reads a configuration in a folder; its text begins with the top keys.
func load(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Source{Name: "onward.toml", Directory: dir, Hostname: "mx.example.org", Content: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refusal starts a server that cannot start, and returns what a person reads.
func refusal(t *testing.T, o Options) string {
	t.Helper()
	o.Cost = cheap
	s, err := New(context.Background(), o)
	if err == nil {
		s.Start()
		_ = s.Shutdown(context.Background())
		t.Fatal("the server starts")
	}
	return err.Error()
}

// certificate writes a certificate and its key as PEM files.
func certificate(t *testing.T, dir, name string) (leaf *x509.Certificate) {
	t.Helper()
	server, _ := smtptest.Certificate(t, "mx.example.org")
	pair := server.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		name + ".key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pair.Leaf
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	got := refusal(t, Options{Config: load(t, dir, fmt.Sprintf("[listen]\nmx = [\"127.0.0.1:0\", %q]\n", l.Addr()))})
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Skip("the holder of a port is known from /proc")
	}
	want := fmt.Sprintf("%s is in use by pid %d (%s); stop it, or set listen.mx to another address", l.Addr(), os.Getpid(), strings.TrimSpace(string(name)))
	if got != want {
		t.Errorf("a taken port says\n%s\ninstead of\n%s", got, want)
	}
}

func TestForeignAddress(t *testing.T) {
	got := refusal(t, Options{Config: load(t, t.TempDir(), "[listen]\nsubmission = [\"192.0.2.1:2587\"]\n")})
	if want := "192.0.2.1:2587 is not an address of this machine; set listen.submission to one that is"; got != want {
		t.Errorf("a foreign address says\n%s\ninstead of\n%s", got, want)
	}
}

// TestDataFolderThatCannotBe holds for root, too: there is a file in its place.
func TestDataFolderThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	certificate(t, dir, "given")
	for name, head := range map[string]string{
		"self-signed": "",
		"given":       "[tls]\ncertificate = \"given.pem\"\nkey = \"given.key\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := refusal(t, Options{Config: load(t, dir, "data = \"file/data\"\n"+onLoopback+head)})
			want := fmt.Sprintf("make the data folder: mkdir %s: not a directory; give another folder with the key data, or make this one writable", filepath.Join(dir, "file"))
			if got != want {
				t.Errorf("it says\n%s\ninstead of\n%s", got, want)
			}
		})
	}
}

func TestReadOnlyDataFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write anywhere; TestDataFolderThatCannotBe is for everybody")
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o500); err != nil {
		t.Fatal(err)
	}
	got := refusal(t, Options{Config: load(t, dir, "data = \"data\"\n"+onLoopback)})
	want := fmt.Sprintf("write the self-signed certificate: open %s: permission denied; the data folder must be writable (key data)", filepath.Join(data, selfSignedCert))
	if got != want {
		t.Errorf("it says\n%s\ninstead of\n%s", got, want)
	}
}

func TestBadCertificates(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir, "one")
	certificate(t, dir, "two")
	if err := os.WriteFile(filepath.Join(dir, "noise.pem"), []byte("this is no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ cert, key, why string }{
		"absent":     {"none.pem", "none.key", "open " + filepath.Join(dir, "none.pem") + ": no such file or directory"},
		"noise":      {"noise.pem", "one.key", "tls: failed to find any PEM data in certificate input"},
		"mismatched": {"one.pem", "two.key", "tls: private key does not match public key"},
		"swapped":    {"one.key", "one.pem", "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"},
	} {
		t.Run(name, func(t *testing.T) {
			got := refusal(t, Options{Config: load(t, dir, onLoopback+fmt.Sprintf("[tls]\ncertificate = %q\nkey = %q\n", c.cert, c.key))})
			want := fmt.Sprintf("the certificate %s and its key %s cannot be used: %s; both must be PEM files that belong together (tls.certificate, tls.key)",
				filepath.Join(dir, c.cert), filepath.Join(dir, c.key), c.why)
			if got != want {
				t.Errorf("it says\n%s\ninstead of\n%s", got, want)
			}
			if _, err := os.Stat(filepath.Join(dir, "onward-data")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a folder was made for a server that did not start (%v)", err)
			}
		})
	}
}

func TestLockedFolder(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	lock, err := store.Lock(data)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock() //nolint:errcheck // the test is over
	got := refusal(t, Options{Config: load(t, dir, "data = \"data\"\n"+onLoopback)})
	want := fmt.Sprintf("%v: %s is held by pid %d", store.ErrLocked, data, os.Getpid())
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "; stop that process, or speak to it through onward.sock") {
		t.Errorf("a locked folder says\n%s\ninstead of\n%s …", got, want)
	}
}

// TestStartAfterCommand: a command that holds the folder for a moment does not
// keep a server from starting.
func TestStartAfterCommand(t *testing.T) {
	dir := t.TempDir()
	c := load(t, dir, "data = \"data\"\n"+onLoopback)
	_, closer, err := OpenLocal(t.Context(), c, "test")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	time.AfterFunc(5*lockEach, func() { closed <- closer() })
	s, err := New(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestCommandBesideServer: while another process has the folder, a command
// hears that it is busy, and may try again.
func TestCommandBesideServer(t *testing.T) {
	dir := t.TempDir()
	c := load(t, dir, "data = \"data\"\n"+onLoopback)
	lock, err := store.Lock(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock() //nolint:errcheck // the test is over
	if _, _, err := OpenLocal(t.Context(), c, "test"); !errors.Is(err, control.ErrBusy) {
		t.Errorf("got %v, want control.ErrBusy", err)
	}
}

// TestNewerStore: the number of the format is in the header of an SQLite file.
func TestNewerStore(t *testing.T) {
	for _, file := range []string{store.QueueFile, store.DirectoryFile} {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			c := load(t, dir, "data = \"data\"\n"+onLoopback)
			s, err := New(context.Background(), Options{Config: c, Cost: cheap})
			if err != nil {
				t.Fatal(err)
			}
			s.Start()
			if err := s.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "data", file)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(binary.BigEndian.AppendUint32(nil, 1234), 60); err != nil { // user_version
				t.Fatal(err)
			}
			got := refusal(t, Options{Config: c})
			if want := path + " was written by a newer version of Onward: it has format 1234, this version knows up to "; !strings.HasPrefix(got, want) ||
				!strings.HasSuffix(got, "; run the newer version, or restore a copy from before the upgrade") {
				t.Errorf("a store of a newer version says\n%s\ninstead of\n%s…", got, want)
			}
			if err := os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := refusal(t, Options{Config: c}); !strings.Contains(got, path+" is not a readable ") || !strings.Contains(got, "restore it from a copy, or move it away to begin with an empty one") {
				t.Errorf("a damaged store says\n%s", got)
			}
		})
	}
}

// talk sends commands to a real server and returns the last line of each reply.
type talk struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dialTalk(t *testing.T, addr net.Addr) *talk {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	k := &talk{t, c, bufio.NewReader(c)}
	k.hear()
	return k
}

func (k *talk) hear() string {
	k.t.Helper()
	_ = k.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		line, err := k.r.ReadString('\n')
		if err != nil {
			k.t.Fatalf("read a reply: %v", err)
		}
		if len(line) > 3 && line[3] == ' ' {
			return strings.TrimRight(line, "\r\n")
		}
	}
}

func (k *talk) say(commands ...string) (last string) {
	k.t.Helper()
	for _, c := range commands {
		if _, err := k.conn.Write([]byte(c + "\r\n")); err != nil {
			k.t.Fatal(err)
		}
		last = k.hear()
	}
	return last
}

// TestFullDisk: a client hears 452, and what was accepted before is kept and
// delivered.
func TestFullDisk(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte("-- mx --\nhost 192.0.2.25\nalways connect = 421 4.3.2 Later\n")), true)
	envelope := []string{"EHLO a.example", "MAIL FROM:<bob@example.com>", "RCPT TO:<anna@example.org>", "DATA"}
	k := dialTalk(t, w.server.Addrs("mx")[0])
	k.say(envelope...)
	if got := k.say("Subject: before\r\n\r\nHello.\r\n."); !strings.HasPrefix(got, "250 2.0.0 ") {
		t.Fatalf("the first message: %s", got)
	}
	if err := w.server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.hosts[0].Forget()
	o := w.options()
	o.Store.MinFree = 1 << 62
	s, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	w.server = s
	s.Start()
	k = dialTalk(t, s.Addrs("mx")[0])
	for _, size := range []int{10, 2 << 20} {
		k.say(envelope...)
		body := "Subject: now\r\n\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", size/64) + "."
		if got, want := k.say(body), "452 4.3.1 Not enough storage at the moment; please try again later"; got != want {
			t.Errorf("a full disk says %q instead of %q", got, want)
		}
	}
	s.Queue().RetryNow(context.Background(), queue.Filter{}, time.Now(), "") //nolint:errcheck // the mail that comes is looked at
	s.Wake()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	mails, err := w.hosts[0].Wait(ctx, 1)
	if err != nil || len(mails) != 1 || !strings.Contains(string(mails[0].Content), "Subject: before") {
		t.Errorf("the message of before is not delivered: %v, %d messages", err, len(mails))
	}
}

// TestSilentResolver: name servers that cannot be reached defer mail, with a
// real resolver and no zone.
func TestSilentResolver(t *testing.T) {
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := p.LocalAddr().String()
	p.Close()
	dir := t.TempDir()
	s, err := New(context.Background(), Options{Cost: cheap, Config: load(t, dir, "data = \"data\"\n"+onLoopback+
		"[relay]\nnetworks = [\"127.0.0.1\"]\n[dns]\nservers = [\""+closed+"\"]\n")})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	k := dialTalk(t, s.Addrs("mx")[0])
	if got := k.say("EHLO a.example", "MAIL FROM:<bob@example.com>", "RCPT TO:<friend@example.net>", "DATA", "Subject: x\r\n\r\nx\r\n."); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	o := outcome(t, s)
	if o.Kind != queue.Trouble || o.Cause != "dns_failed" && o.Cause != "dns_timeout" && !strings.HasPrefix(o.Cause, "dns") {
		t.Errorf("without name servers the outcome is %s %s (%s), not trouble of DNS", o.Kind, o.Cause, o.Detail)
	}
}

// outcome waits for the first outcome of the only recipient.
func outcome(t *testing.T, s *Server) queue.Outcome {
	t.Helper()
	late := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := s.Queue().List(context.Background(), queue.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 && all[0].Recipient.Last != nil {
			return *all[0].Recipient.Last
		}
		select {
		case <-late:
			t.Fatal("there is no outcome")
		case <-tick.C:
		}
	}
}

// TestReloadCertificate: a new certificate is shown to the next handshake, while
// a session of before goes on; one that is broken changes nothing.
func TestReloadCertificate(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte("-- config.toml --\n[tls]\ncertificate = \"shown.pem\"\nkey = \"shown.key\"\n")), true, func(dir string) {
		certificate(t, dir, "shown")
	})
	dir := filepath.Dir(w.data)
	shown := func() *x509.Certificate {
		t.Helper()
		c, err := tls.Dial("tcp", w.server.Addrs("submissions")[0].String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	first := (*w.server.certs.Load())[0].Leaf
	if !shown().Equal(first) {
		t.Fatal("the first certificate is not shown")
	}
	old, err := tls.Dial("tcp", w.server.Addrs("submissions")[0].String(), w.clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	k := &talk{t, old, bufio.NewReader(old)}
	k.hear()

	second := certificate(t, dir, "shown")
	if !shown().Equal(first) {
		t.Error("a new certificate is shown before it is asked for")
	}
	if err := w.server.Reload(); err != nil {
		t.Fatal(err)
	}
	if !shown().Equal(second) {
		t.Error("after the reload the old certificate is shown")
	}
	if got := k.say("EHLO a.example"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("the session of before says %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "shown.pem"), []byte("noise"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Reload(); err == nil || !strings.HasPrefix(err.Error(), "the configuration is not changed: the certificate ") {
		t.Errorf("a broken certificate at reload says %v", err)
	}
	if !shown().Equal(second) {
		t.Error("a reload that failed changed the certificate")
	}
	if got := k.say("QUIT"); !strings.HasPrefix(got, "221 ") {
		t.Errorf("the session of before says %s", got)
	}
}

// TestReloadKeepsItsName: what needs a restart stays as it is, in all parts of
// the server, and is named in the log each time.
func TestReloadKeepsItsName(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte("-- other.toml --\nhostname = \"other.example.org\"\ndata = \"elsewhere\"\n[limits]\nmessage_size = \"1MB\"\n")), true)
	w.reread.Store(w.file("other.toml"))
	for range 2 {
		w.log.take()
		if err := w.server.Reload(); err != nil {
			t.Fatal(err)
		}
		log := w.log.take()
		if want := `some changed keys take effect at the next start" keys="[hostname data]"`; !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	k := dialTalk(t, w.server.Addrs("mx")[0])
	if got, want := k.say("HELO a.example"), "250 mx.example.org"; got != want {
		t.Errorf("the server calls itself %q, not %q", got, want)
	}
	if got := k.say("MAIL FROM:<bob@example.com> SIZE=2000000"); !strings.HasPrefix(got, "552 ") {
		t.Errorf("the new limit is not in force: %s", got)
	}
	if st := (running{w.server}).Status(context.Background()); st.Data != w.data || st.Hostname != "mx.example.org" {
		t.Errorf("the status names %s and %s", st.Hostname, st.Data)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(w.data), "elsewhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reload made another data folder (%v)", err)
	}
}

// TestRestartDelivers: what was accepted while the server stopped is delivered
// after the next start.
func TestRestartDelivers(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte("-- mx --\nhost 192.0.2.25\non connect = hang\n")), true)
	k := dialTalk(t, w.server.Addrs("mx")[0])
	k.say("EHLO a.example", "MAIL FROM:<bob@example.com>", "RCPT TO:<anna@example.org>", "DATA")
	stopped, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(stopped) }()
	if got := k.say("Subject: x\r\n\r\nx\r\n."); !strings.HasPrefix(got, "250 2.0.0 ") {
		t.Fatal(got)
	}
	if got := k.hear(); !strings.HasPrefix(got, "421 4.3.2 ") {
		t.Error(got)
	}
	<-done // with an error: the delivery hangs
	var err error
	if w.server, err = New(context.Background(), w.options()); err != nil {
		t.Fatal(err)
	}
	if r := w.server.Recovered; r.Waiting != 1 {
		t.Errorf("the start found %+v, not 1 waiting", r)
	}
	w.server.Start()
	if _, err := w.server.Queue().RetryNow(context.Background(), queue.Filter{}, time.Now(), ""); err != nil {
		t.Fatal(err)
	}
	w.server.Wake()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if mails, err := w.hosts[0].Wait(ctx, 1); err != nil || len(mails) != 1 {
		t.Errorf("it is not delivered: %v", err)
	}
}

// TestServerNames: a client that names a host gets the certificate for it, and
// resumes its session, also after a reload (rfc8446#2.2).
func TestServerNames(t *testing.T) {
	w := newWorld(t, txtar.Parse([]byte("-- config.toml --\n[tls]\nchains = [\"second.pem\"]\n")), true, func(dir string) {
		server, _ := smtptest.Certificate(t, "mail.example.net")
		pair := server.Certificates[0]
		key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		chain := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})...)
		if err := os.WriteFile(filepath.Join(dir, "second.pem"), chain, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	cache := tls.NewLRUClientSessionCache(4)
	meet := func(name string) tls.ConnectionState {
		t.Helper()
		c, err := tls.Dial("tcp", w.server.Addrs("submissions")[0].String(),
			&tls.Config{InsecureSkipVerify: true, ServerName: name, ClientSessionCache: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil { // the ticket comes before the greeting
			t.Fatal(err)
		}
		return c.ConnectionState()
	}
	for name, want := range map[string]string{"mx.example.org": "mx.example.org", "mail.example.net": "mail.example.net", "other.example": "mx.example.org"} {
		if got := meet(name).PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("a client that asks for %s gets the certificate of %s", name, got)
		}
	}
	if !meet("mail.example.net").DidResume {
		t.Error("the session was not resumed")
	}
}

// TestLMTPSocket: neighbours on this machine may use a socket.
func TestLMTPSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp.sock")
	s, err := New(t.Context(), Options{Config: load(t, t.TempDir(), fmt.Sprintf("[listen]\nmx = []\nsubmission = []\nsubmissions = []\nweb = []\nlmtp = [%q]\n", path))})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	k := &talk{t, c, bufio.NewReader(c)}
	if got := k.hear(); !strings.Contains(got, "LMTP") {
		t.Errorf("the server says %s", got)
	}
	if got := k.say("LHLO a.example"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("the server says %s", got)
	}
	k.say("QUIT")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}
