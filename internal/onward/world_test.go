package onward

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/d--j/go-milter"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/queue"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/smtptest"
	"github.com/onwardmail/onward/internal/store"
)

// cheap is the cost of main passwords in tests.
var cheap = account.Cost{Memory: 64, Passes: 1, Threads: 1}

// world is the whole server with the rest of the world around it: a zone, other
// mail servers, and a network that is in memory or, for real, on loopback. What the
// files of a script may hold stands at startHosts, startIssuer, populate and command.
type world struct {
	t      testing.TB
	files  *txtar.Archive
	real   bool
	update bool

	network *smtptest.Network
	server  *Server
	data    string
	zone    swap
	trust   *x509.CertPool // of our deliveries
	reread  atomic.Pointer[txtar.File]
	hosts   []*host

	mu    sync.Mutex // guards alias
	alias map[string]string

	stopped, shutting bool
	quiet             bool // nothing is logged
	log               copied

	// moods, if not nil, are those of the network that we deliver over.
	moods atomic.Pointer[chance]

	// noIssuer is set while the issuer of tokens answers nothing but 503.
	noIssuer atomic.Bool

	shut   chan error
	cutCtx context.Context
	cut    context.CancelFunc
}

// host is one other mail server.
type host struct {
	addr string
	*smtptest.FakeMX
}

// copied is what a server logged, if wanted.
type copied struct {
	mu     sync.Mutex
	wanted bool
	text   strings.Builder
}

func (c *copied) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted {
		c.text.Write(b)
	}
	return len(b), nil
}

// take returns what was logged since the last call; the first begins.
func (c *copied) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := c.text.String()
	c.text.Reset()
	c.wanted = true
	return text
}

// swap is a Resolver that can be exchanged.
type swap struct{ now atomic.Pointer[dns.Resolver] }

func (s *swap) set(r dns.Resolver) { s.now.Store(&r) }
func (s *swap) get() dns.Resolver  { return *s.now.Load() }

func (s *swap) MX(ctx context.Context, name string) (dns.Answer[dns.MX], error) {
	return s.get().MX(ctx, name)
}

func (s *swap) Addresses(ctx context.Context, name string) (dns.Answer[netip.Addr], error) {
	return s.get().Addresses(ctx, name)
}

func (s *swap) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	return s.get().TXT(ctx, name)
}

func (s *swap) PTR(ctx context.Context, a netip.Addr) (dns.Answer[string], error) {
	return s.get().PTR(ctx, a)
}

func (s *swap) TLSA(ctx context.Context, name string) (dns.Answer[dns.TLSA], error) {
	return s.get().TLSA(ctx, name)
}

// begin is when a bubble begins to be of use: queue ids count from 2025.
var begin = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// toNow lets the time of a bubble pass until it is that of the tests.
func toNow() { time.Sleep(time.Until(begin)) }

// file returns a file of the archive, "" if there is none.
func (w *world) file(name string) *txtar.File {
	for i := range w.files.Files {
		if w.files.Files[i].Name == name {
			return &w.files.Files[i]
		}
	}
	return nil
}

func (w *world) text(name string) string {
	if f := w.file(name); f != nil {
		return string(f.Data)
	}
	return ""
}

// newWorld builds the world and starts its server. prepare is called before,
// with the folder of the configuration.
func newWorld(t testing.TB, files *txtar.Archive, real bool, prepare ...func(dir string)) *world {
	w := &world{
		t: t, files: files, real: real, network: smtptest.NewNetwork(), data: filepath.Join(t.TempDir(), "data"),
		alias: map[string]string{}, trust: x509.NewCertPool(), shut: make(chan error, 1),
	}
	w.cutCtx, w.cut = context.WithCancel(context.Background())
	if !real {
		toNow()
	}
	t.Cleanup(w.stop)
	for _, f := range prepare {
		f(filepath.Dir(w.data))
	}
	if secret := w.text("secret"); secret != "" {
		if err := os.WriteFile(filepath.Join(filepath.Dir(w.data), "secret"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if keys := w.text("keys"); keys != "" {
		if err := os.MkdirAll(w.data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.data, store.KeysFile), []byte(keys), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.setZone("zone")
	w.startHosts()
	w.startMilter()
	w.startIssuer()
	s, err := New(context.Background(), w.options())
	if err != nil {
		t.Fatalf("start the server: %v", err)
	}
	w.server = s
	if err := w.populate(); err != nil {
		t.Fatalf("fill the directory: %v", err)
	}
	s.Start()
	return w
}

func (w *world) options() Options {
	c, err := w.config("config.toml", w.text("config.toml"))
	if err != nil {
		w.t.Fatal(err)
	}
	out := w.t.Output()
	if w.quiet {
		out = io.Discard
	}
	return Options{
		Config: c, Resolver: &w.zone, Cost: cheap, Listen: w.listen, Control: w.control, Dial: w.dial,
		ClientTLS: &tls.Config{RootCAs: w.trust, MinVersion: tls.VersionTLS12},
		Logger:    slog.New(slog.NewTextHandler(io.MultiWriter(out, &w.log), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Reread: func() (*config.Config, error) {
			f := w.reread.Load()
			if f == nil {
				f = &txtar.File{Name: "config.toml", Data: []byte(w.text("config.toml"))}
			}
			return w.config(f.Name, string(f.Data))
		},
	}
}

// config reads a configuration; what a script leaves out is as tests need it.
func (w *world) config(name, text string) (*config.Config, error) {
	head := ""
	for key, value := range map[string]string{"hostname": `"mx.example.org"`, "data": fmt.Sprintf("%q", w.data)} {
		if !strings.HasPrefix(text, key) && !strings.Contains(text, "\n"+key) {
			head += key + " = " + value + "; "
		}
	}
	head = strings.ReplaceAll(head, "; ", "\n")
	return config.Load(config.Source{Name: name, Directory: filepath.Dir(w.data), Content: []byte(head + text)})
}

// listen is in memory; for real, on a free port that stands in for addr.
func (w *world) listen(_, addr string) (net.Listener, error) {
	if !w.real {
		return w.network.Listen(addr)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		w.mu.Lock()
		w.alias[addr] = l.Addr().String()
		w.mu.Unlock()
	}
	return l, err
}

// control is a control socket that nobody can reach: a real one would hold up
// the bubble.
func (w *world) control(string) (net.Listener, error) { return w.network.Listen("127.0.0.1:1") }

func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c := w.moods.Load(); c != nil {
		return c.dial(ctx, func() (net.Conn, error) { return w.network.Dial(ctx, network, addr) })
	}
	if !w.real {
		return w.network.Dial(ctx, network, addr)
	}
	w.mu.Lock()
	real, ok := w.alias[addr]
	w.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, real)
}

func (w *world) setZone(name string) {
	text := w.text(name)
	if name == "zone" && text == "" {
		text = "example.net. MX 10 mx.example.net.\nmx.example.net. A 192.0.2.25\n" +
			"example.com. TXT \"v=spf1 ip4:127.0.0.1 -all\"\nexample.com. MX 10 mx.example.net.\n"
	}
	z, err := dns.ParseZone(name, []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	w.zone.set(z)
}

// startHosts starts the other servers. Lines of the file mx:
//
//	host 192.0.2.25 [port=26] [tls[=untrusted]] [implicit] [login=user:password] [name=mx.example.net] [plain]
//	on STAGE [MATCH] = REPLY | REPLY
//	always STAGE [MATCH] = REPLY
func (w *world) startHosts() {
	text := w.text("mx")
	if text == "" {
		text = "host 192.0.2.25\n"
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0][0] == '#':
		case words[0] == "host":
			w.startHost(words[1], words[2:])
		default:
			if err := rule(w.hosts[len(w.hosts)-1], line); err != nil {
				w.t.Fatalf("mx: %v", err)
			}
		}
	}
}

func (w *world) startHost(ip string, how []string) {
	h := &host{FakeMX: &smtptest.FakeMX{}}
	called := ip
	for _, word := range how {
		if name, ok := strings.CutPrefix(word, "name="); ok {
			called = name
		}
	}
	port := "25"
	for _, word := range how {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "port":
			port = value
		case "tls", "implicit":
			h.TLS, _ = smtptest.Certificate(w.t, called)
			if value != "untrusted" {
				w.trust.AddCert(h.TLS.Certificates[0].Leaf)
			}
			h.Implicit = name == "implicit"
		case "login":
			h.Login, h.Password, _ = strings.Cut(value, ":")
		case "name":
			h.Hostname = value
		case "offers":
			h.Extensions = strings.Split(strings.ReplaceAll(value, "_", " "), ",")
		case "plain": // no extensions
			h.Extensions = []string{}
		default:
			w.t.Fatalf("mx: %q is no property of a host", word)
		}
	}
	h.addr = net.JoinHostPort(ip, port)
	network, addr := w.network, h.addr
	if w.real {
		network, addr = nil, "127.0.0.1:0"
	}
	at, err := h.Start(network, addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.alias[h.addr] = at
	w.hosts = append(w.hosts, h)
}

// rule adds a line of the script of a host.
func rule(h *host, line string) error {
	left, right, ok := strings.Cut(line, " = ")
	words := strings.Fields(left)
	if !ok || len(words) < 2 {
		return fmt.Errorf("%q is no rule", line)
	}
	match := strings.Join(words[2:], " ")
	var replies []string
	for r := range strings.SplitSeq(right, " | ") {
		replies = append(replies, strings.ReplaceAll(strings.TrimSpace(r), `\n`, "\n"))
	}
	switch words[0] {
	case "on":
		h.On(words[1], match, replies...)
	case "always":
		h.Always(words[1], match, replies[0])
	default:
		return fmt.Errorf("%q is no rule", line)
	}
	return nil
}

// defaultDirectory is that of scripts that have none: an address of each kind.
const defaultDirectory = `domain example.org
forward anna@example.org announce anna@example.net
forward bea@example.org silent private@example.net
moved old@example.org new@example.net
mailbox box@example.org
refused closed@example.org This address is closed; see www.example.org
account anna@example.org correct
app anna@example.org phone bbbbbbbb-cccccccc-dddddddd-eeeeeeee-ffffffff active
app anna@example.org tablet gggggggg-cccccccc-dddddddd-eeeeeeee-ffffffff expired
app anna@example.org laptop hhhhhhhh-cccccccc-dddddddd-eeeeeeee-ffffffff revoked
account off@example.org correct disabled
`

// populate fills the directory. Lines of the file directory:
//
//	domain NAME [POSTMASTER]
//	forward ADDRESS announce|silent TARGET…
//	moved ADDRESS NEW
//	mailbox ADDRESS
//	refused ADDRESS TEXT…
//	account LOGIN PASSWORD [disabled] [as=IDENTITY] [lang=TAG] [LIMIT=N]
//	app LOGIN NAME PASSWORD active|expired|revoked [expires=DURATION] [LIMIT=N]
func (w *world) populate() error {
	text := w.text("directory")
	if text == "" {
		text = defaultDirectory
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if err := w.entry(words); err != nil {
			return fmt.Errorf("directory: %s: %w", strings.TrimSpace(line), err)
		}
	}
	return nil
}

func (w *world) entry(words []string) error {
	ctx, d, now := context.Background(), w.server.Directory(), time.Now()
	switch words[0] {
	case "domain":
		name, err := address.ParseDomain(words[1])
		if err != nil {
			return err
		}
		domain := recipient.Domain{Name: name, Created: now}
		if len(words) > 2 {
			domain.Postmaster = address.MustMailbox(words[2])
		}
		return d.AddDomain(ctx, domain)
	case "account":
		a := account.Account{Login: words[1], Created: now}
		for _, word := range words[3:] {
			switch name, value, _ := strings.Cut(word, "="); name {
			case "as":
				a.Identities = append(a.Identities, value)
			case "lang":
				a.Lang = value
			case "disabled":
				a.Disabled = true
			default:
				if err := setLimit(&a.Limits, name, value); err != nil {
					return err
				}
			}
		}
		var err error
		if a.Hash, err = account.HashPassword(words[2], cheap, rand.Reader); err != nil {
			return err
		}
		return d.AddAccount(ctx, a)
	case "app":
		mac, err := account.AppPasswordMAC(w.server.Keys().Key(store.KeyAppPassword), words[3])
		if err != nil {
			return err
		}
		p := account.AppPassword{ID: words[3][:8], Login: words[1], Name: words[2], MAC: mac, Created: now.Add(-48 * time.Hour)}
		if words[4] == "expired" {
			p.Expires = now.Add(-time.Hour)
		}
		for _, word := range words[5:] {
			name, value, _ := strings.Cut(word, "=")
			if name == "expires" {
				in, err := time.ParseDuration(value)
				if err != nil {
					return err
				}
				p.Expires = now.Add(in)
			} else if setScope(&p.Scope, name, value) {
				continue
			} else if err := setLimit(&p.Limits, name, value); err != nil {
				return err
			}
		}
		if err := d.AddAppPassword(ctx, p); err != nil || words[4] != "revoked" {
			return err
		}
		_, err = d.RevokeAppPassword(ctx, p.Login, p.Name, now)
		return err
	}
	a := recipient.Address{Address: address.MustMailbox(words[1]), Kind: recipient.Kind(words[0]), Created: now}
	switch a.Kind {
	case recipient.Refused:
		a.Text = strings.Join(words[2:], " ")
	case recipient.Forward:
		a.Disclose = recipient.Disclosure(words[2])
		words = words[1:]
		fallthrough
	default:
		for _, target := range words[2:] {
			a.Targets = append(a.Targets, address.MustMailbox(target))
		}
	}
	return d.PutAddress(ctx, a, false)
}

// setScope sets what an app password is good for, if that is what name says.
func setScope(s *account.Scope, name, value string) bool {
	switch name {
	case "sender":
		s.Senders = append(s.Senders, value)
	case "to":
		s.Recipients = append(s.Recipients, value)
	case "net":
		s.Networks = append(s.Networks, netip.MustParsePrefix(value))
	case "size":
		s.MaxSize, _ = strconv.ParseInt(value, 10, 64)
	default:
		return false
	}
	return true
}

// setLimit sets a sending limit.
func setLimit(l *account.Limits, name, value string) (err error) {
	field := l.Field(account.LimitName(name))
	if field == nil {
		return fmt.Errorf("%q is no limit", name)
	}
	*field, err = strconv.Atoi(value)
	return err
}

// clientTLS trusts the certificate that the server shows now.
func (w *world) clientTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert((*w.server.certs.Load())[0].Leaf)
	return &tls.Config{RootCAs: pool, ServerName: w.server.config.Hostname, MinVersion: tls.VersionTLS12}
}

// connect dials a service: "mx", or "mx@192.0.2.7" from that address.
func (w *world) connect(ctx context.Context, service string) (net.Conn, error) {
	service, from, ok := strings.Cut(service, "@")
	addrs := w.server.Addrs(service)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("no service is called %s", service)
	}
	if w.real {
		var d net.Dialer
		if ok {
			return nil, errors.New("a client of another address needs the network in memory; let the script wait")
		}
		return d.DialContext(ctx, "tcp", addrs[0].String())
	}
	client := netip.MustParseAddr("127.0.0.1")
	if ok {
		client = netip.MustParseAddr(from)
	}
	return w.network.DialFrom(ctx, client, addrs[0].String())
}

// command carries out what scripts say about the world:
//
//	zone FILE                         the name servers know this file from now on
//	mx ADDRESS on|always …            a new rule of a host; "forget" drops all
//	reload FILE [ERROR]               a new configuration; ERROR is part of what is due
//	break addresses|directory|queue|certificate|lookup|issuer
//	disk low|well
//	shutdown                          begins; sessions that are open may go on
//	cut                               their time is over
//	wake                              the queue looks at what is due
//	resume LOGIN WHICH                the owner says that all is well after an alarm
func (w *world) command(words []string) error {
	switch words[0] {
	case "zone":
		w.setZone(words[1])
	case "mx":
		return w.change(words)
	case "reload":
		w.reread.Store(w.file(words[1]))
		err := w.server.Reload()
		want := strings.Join(words[2:], " ")
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			return fmt.Errorf("reload: %v", err)
		}
	case "break":
		return w.breakPart(words[1])
	case "disk":
		w.server.low.asked.Store(0)
		w.server.low.least.Store(map[string]int64{"low": 1 << 62, "well": 0}[words[1]])
	case "shutdown":
		w.shutting = true
		go func() { w.shut <- w.server.Shutdown(w.cutCtx) }()
	case "cut":
		w.cut()
	case "wake":
		w.server.Wake()
	case "revoke":
		_, err := w.server.control.RevokeAppPassword(context.Background(), control.RevokeRequest{Login: words[1], Which: words[2]})
		return err
	case "disable":
		_, err := w.server.control.EnableAccount(context.Background(), control.EnableRequest{Login: words[1]})
		return err
	case "resume":
		_, err := w.server.control.ResumeAppPassword(context.Background(), control.ResumeRequest{Login: words[1], Which: words[2]})
		return err
	default:
		return fmt.Errorf("%q is no line of a script", strings.Join(words, " "))
	}
	return nil
}

func (w *world) change(words []string) error {
	for _, h := range w.hosts {
		ip, _, _ := net.SplitHostPort(h.addr)
		if ip != words[1] && h.addr != words[1] {
			continue
		}
		if words[2] == "forget" {
			h.Forget()
			return nil
		}
		return rule(h, strings.Join(words[2:], " "))
	}
	return fmt.Errorf("there is no host %s", words[1])
}

// failing is a directory that cannot be read.
type failing struct{ recipient.Directory }

func (failing) Address(context.Context, address.Mailbox) (recipient.Address, error) {
	return recipient.Address{}, errors.New("a trouble of the test")
}

// panicking is a directory with a defect.
type panicking struct{ recipient.Directory }

func (panicking) Address(context.Context, address.Mailbox) (recipient.Address, error) {
	panic("a defect of the test")
}

func (w *world) breakPart(part string) error {
	switch part {
	case "addresses":
		w.server.resolver.Directory = failing{w.server.resolver.Directory}
	case "directory":
		return w.server.directory.Close()
	case "queue":
		return w.server.queue.Close()
	case "certificate":
		w.server.certs.Store(nil)
	case "issuer":
		w.noIssuer.Store(true)
	case "lookup":
		w.server.resolver.Directory = panicking{w.server.resolver.Directory}
	default:
		return fmt.Errorf("nothing is called %s", part)
	}
	return nil
}

// stop shuts the server and the world down, once.
func (w *world) stop() {
	if w.stopped {
		return
	}
	w.stopped = true
	w.cut()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch {
	case w.shutting:
		<-w.shut
	case w.server != nil:
		_ = w.server.Shutdown(ctx) // what is left under way is no matter here
	}
	for _, h := range w.hosts {
		h.Close()
	}
}

// recipients lists all recipients, oldest first.
func (w *world) recipients() []queue.Listed {
	all, err := w.server.Queue().List(context.Background(), queue.Filter{Limit: 10_000})
	if err != nil {
		w.t.Fatalf("list the queue: %v", err)
	}
	slices.SortFunc(all, func(a, b queue.Listed) int {
		if a.Recipient.ID.Message != b.Recipient.ID.Message {
			return int(min(1, max(-1, a.Recipient.ID.Message-b.Recipient.ID.Message)))
		}
		return a.Recipient.ID.N - b.Recipient.ID.N
	})
	return all
}

// maildirs reads all messages of the local mailboxes: "example.org/box" and
// content.
func (w *world) maildirs() map[string][]string {
	root := filepath.Join(w.data, "mailboxes")
	found := map[string][]string{}
	files, _ := filepath.Glob(filepath.Join(root, "*", "*", "new", "*"))
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			w.t.Error(err)
		}
		box, _ := filepath.Rel(root, filepath.Dir(filepath.Dir(name)))
		found[box] = append(found[box], string(content))
	}
	return found
}

// issuerAt is where the issuer of tokens of a script with a file issuer listens.
const issuerAt = "127.0.0.1:9000"

// startIssuer starts an OpenID Connect issuer that is asked about its tokens
// (RFC 7662), so that a script can name them in clear. Lines of the file issuer:
//
//	token TOKEN LOGIN [aud=AUDIENCE] [scope=SCOPE] [expired]
//
// It knows no other token to be active.
func (w *world) startIssuer() {
	if w.file("issuer") == nil {
		return
	}
	known := make(map[string]map[string]any)
	for line := range strings.Lines(w.text("issuer")) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "token" {
			w.t.Fatalf("issuer: %q is no token", line)
		}
		claims := map[string]any{"active": true, "iss": "http://" + issuerAt, "email": words[2], "aud": "mail"}
		for _, word := range words[3:] {
			switch name, value, _ := strings.Cut(word, "="); name {
			case "aud", "scope":
				claims[name] = value
			case "expired":
				claims["exp"] = time.Now().Add(-time.Hour).Unix()
			default:
				w.t.Fatalf("issuer: %q is no property of a token", word)
			}
		}
		known[words[1]] = claims
	}
	l, err := w.listen("", issuerAt)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(a http.ResponseWriter, r *http.Request) {
		var answer any = map[string]any{"active": false}
		switch claims := known[r.FormValue("token")]; {
		case w.noIssuer.Load():
			a.WriteHeader(http.StatusServiceUnavailable)
			return
		case r.URL.Path == "/.well-known/openid-configuration":
			answer = map[string]any{
				"issuer": "http://" + issuerAt, "jwks_uri": "http://" + issuerAt + "/keys",
				"introspection_endpoint": "http://" + issuerAt + "/introspect",
			}
		case claims != nil:
			answer = claims
		}
		a.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(a).Encode(answer)
	})}
	go func() { _ = s.Serve(l) }()
	w.t.Cleanup(func() { _ = s.Close() })
}

// milterAt is where the filter of a script with a file milter listens.
const milterAt = "192.0.2.99:11332"

// startMilter starts a filter that goes by words in what it sees.
func (w *world) startMilter() {
	if w.file("milter") == nil {
		return
	}
	l, err := w.listen("", milterAt)
	if err != nil {
		w.t.Fatal(err)
	}
	s := milter.NewServer(milter.WithMilter(func() milter.Milter { return &fakeMilter{} }), milter.WithActions(milter.OptAddHeader|milter.OptChangeHeader|milter.OptQuarantine|milter.OptAddRcpt))
	go func() { _ = s.Serve(l) }()
	w.t.Cleanup(func() { _ = s.Close() })
}

type fakeMilter struct {
	milter.NoOpMilter
	body    int
	subject string
}

// verdict goes by words.
func verdict(seen string) (*milter.Response, error) {
	switch {
	case strings.Contains(seen, "spam"):
		return milter.RejectWithCodeAndReason(554, "5.7.1 This looks like spam")
	case strings.Contains(seen, "reject"):
		return milter.RespReject, nil
	case strings.Contains(seen, "later"):
		return milter.RejectWithCodeAndReason(451, "4.7.1 Not yet")
	case strings.Contains(seen, "tempfail"):
		return milter.RespTempFail, nil
	case strings.Contains(seen, "discard"):
		return milter.RespDiscard, nil
	case strings.Contains(seen, "accept"):
		return milter.RespAccept, nil
	}
	return milter.RespContinue, nil
}

func (f *fakeMilter) MailFrom(from, _ string, _ milter.Modifier) (*milter.Response, error) {
	return verdict(from)
}

func (f *fakeMilter) RcptTo(to, _ string, _ milter.Modifier) (*milter.Response, error) {
	return verdict(to)
}

func (f *fakeMilter) Header(name, value string, _ milter.Modifier) (*milter.Response, error) {
	if name == "Subject" {
		f.subject = value
	}
	return verdict(name + ":" + value)
}

func (f *fakeMilter) BodyChunk(b []byte, _ milter.Modifier) (*milter.Response, error) {
	f.body += len(b)
	return verdict(string(b))
}

func (f *fakeMilter) EndOfMessage(m milter.Modifier) (*milter.Response, error) {
	if err := m.AddHeader("X-Body", fmt.Sprint(f.body)); err != nil {
		return nil, err
	}
	if err := m.ChangeHeader(2, "X-Old", ""); err != nil {
		return nil, err
	}
	if err := m.ChangeHeader(1, "Subject", "[seen]\n by a filter"); err != nil {
		return nil, err
	}
	f.body = 0
	switch {
	case strings.Contains(f.subject, "hold"):
		return milter.RespAccept, m.Quarantine("Held back: a virus")
	case strings.Contains(f.subject, "copy"):
		return milter.RespAccept, m.AddRecipient("<boss@example.org>", "")
	}
	return milter.RespAccept, nil
}
