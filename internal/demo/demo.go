// Package demo shows what Onward does, on one terminal, in a few seconds.
//
// It starts the real server on free loopback ports with a store in a temporary
// folder, and a second server that plays the rest of the world; talks to the
// first as other servers and mail programs would; shows each line and what each
// reply means; and looks into the store, the Maildir and the world's captured
// mail to see that what was said is what happened. It is a test that people can
// read: if a single reply differs, Run returns an error.
package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/config"
	"github.com/onwardmail/onward/internal/dns"
	"github.com/onwardmail/onward/internal/onward"
	"github.com/onwardmail/onward/internal/recipient"
	"github.com/onwardmail/onward/internal/store"
)

// Options are how the demo is shown.
type Options struct {
	Out io.Writer
	// Keep leaves the server running until ctx ends.
	Keep bool
	// Lang is the language of the explanations: "en", "ja".
	Lang  string
	Color bool
	// Width is that of the terminal in columns; 0 is 80.
	Width int

	// alter changes the n-th reply before it is looked at; for the test that a
	// changed reply is noticed.
	alter func(n int, reply string) string
}

// most is how long the demo may take in all.
const most = time.Minute

// The cast.
const (
	login    = "anna@example.org"
	password = "correct horse battery staple"
)

type demo struct {
	opt     Options
	server  *onward.Server
	world   *world
	data    string
	replies int
	scene   int
	// The app passwords, as their owner was given them.
	phone, tablet, laptop string
}

// Run shows the demo. The error says which expectation was not met.
func Run(ctx context.Context, opt Options) error {
	if opt.Lang == "" {
		opt.Lang = "en"
	}
	if opt.Width <= 0 {
		opt.Width = 80
	}
	d := &demo{opt: opt}
	show, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	defer d.close()
	if err := d.open(show); err != nil {
		return err
	}
	for _, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"A stranger sends mail to example.org", d.forwarding},
		{"Anna's phone submits mail", d.submission},
		{"A login is rejected, and its owner asks why", d.rejected},
		{"The next server is busy", d.busy},
		{"The next server refuses", d.refused},
	} {
		d.title(scene.title)
		if err := scene.play(show); err != nil {
			return fmt.Errorf("scene %d, «%s»: %w", d.scene, scene.title, err)
		}
	}
	d.summary()
	if opt.Keep {
		return d.keep(ctx)
	}
	return nil
}

// open starts the server and the world, and makes the domain, its addresses and
// the account.
func (d *demo) open(ctx context.Context) error {
	var err error
	if d.data, err = os.MkdirTemp("", "onward-demo-"); err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	if d.world, err = openWorld(); err != nil {
		return err
	}
	c, err := config.Load(config.Source{Name: "demo", Directory: d.data, Hostname: "mx.example.org", Content: []byte(`
hostname = "mx.example.org"
data = "data"
[queue]
retry = ["1s"]
[limits]
free_disk = "1MB"
`)})
	if err != nil {
		return err
	}
	zone, err := dns.ParseZone("demo", []byte(`
example.net. MX 10 mx.example.net.
example.com. MX 10 mx.example.net.
example.com. TXT "v=spf1 ip4:127.0.0.1 -all"
mx.example.net. A 127.0.0.1
`))
	if err != nil {
		return err
	}
	d.server, err = onward.New(ctx, onward.Options{
		Config: c, Resolver: zone, MXPort: d.world.port(), Lang: d.opt.Lang, Logger: slog.New(slog.DiscardHandler),
		Listen: func(_, _ string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
	})
	if err != nil {
		return err
	}
	d.server.Start()
	return d.populate(ctx)
}

// populate makes example.org with an address of each kind, and Anna's account.
func (d *demo) populate(ctx context.Context) error {
	dir, now := d.server.Directory(), time.Now()
	if err := dir.AddDomain(ctx, recipient.Domain{Name: address.MustDomain("example.org"), Created: now}); err != nil {
		return fmt.Errorf("add the domain: %w", err)
	}
	box := address.MustMailbox
	for _, a := range []recipient.Address{
		{Address: box("anna@example.org"), Kind: recipient.Forward, Disclose: recipient.Announce, Targets: []address.Mailbox{box("anna@example.net")}},
		{Address: box("bea@example.org"), Kind: recipient.Forward, Disclose: recipient.Silent, Targets: []address.Mailbox{box("private@example.net")}},
		{Address: box("old@example.org"), Kind: recipient.Moved, Targets: []address.Mailbox{box("new@example.net")}},
		{Address: box("box@example.org"), Kind: recipient.Mailbox},
		{Address: box("closed@example.org"), Kind: recipient.Refused, Text: "This address is closed; see www.example.org"},
		{Address: box("busy@example.org"), Kind: recipient.Forward, Disclose: recipient.Announce, Targets: []address.Mailbox{box("busy@example.net")}},
		{Address: box("team@example.org"), Kind: recipient.Forward, Disclose: recipient.Silent, Targets: []address.Mailbox{box("gone@example.net")}},
	} {
		a.Created = now
		if err := dir.PutAddress(ctx, a, false); err != nil {
			return fmt.Errorf("add the address %s: %w", a.Address, err)
		}
	}
	hash, err := account.HashPassword(password, account.DefaultCost(), rand.Reader)
	if err != nil {
		return err
	}
	if err := dir.AddAccount(ctx, account.Account{Login: login, Hash: hash, Created: now}); err != nil {
		return fmt.Errorf("add the account: %w", err)
	}
	key := d.server.Keys().Key(store.KeyAppPassword)
	for _, p := range []struct {
		name    string
		expires time.Time
		into    *string
	}{
		{"phone", now.Add(90 * 24 * time.Hour), &d.phone},
		{"tablet", now.Add(-24 * time.Hour), &d.tablet},
		{"lost laptop", time.Time{}, &d.laptop},
	} {
		secret, id, err := account.NewAppPassword(rand.Reader)
		if err != nil {
			return err
		}
		mac, err := account.AppPasswordMAC(key, secret)
		if err != nil {
			return err
		}
		*p.into = secret
		if err := dir.AddAppPassword(ctx, account.AppPassword{ID: id, Login: login, Name: p.name, MAC: mac, Created: now.Add(-48 * time.Hour), Expires: p.expires}); err != nil {
			return fmt.Errorf("add the app password %s: %w", p.name, err)
		}
	}
	if _, err := dir.RevokeAppPassword(ctx, login, "lost laptop", now); err != nil {
		return fmt.Errorf("revoke the app password of the laptop: %w", err)
	}
	return nil
}

func (d *demo) close() {
	if d.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		d.server.Shutdown(ctx) //nolint:errcheck // everything has been looked at
	}
	if d.world != nil {
		d.world.close()
	}
	if d.data != "" {
		os.RemoveAll(d.data) //nolint:errcheck // a temporary folder
	}
}

// keep leaves everything running and says how to play with it.
func (d *demo) keep(ctx context.Context) error {
	mx, sub, subs := d.server.Addrs("mx")[0], d.server.Addrs("submission")[0], d.server.Addrs("submissions")[0]
	web := d.server.Addrs("web")[0]
	fmt.Fprintf(d.opt.Out, `
The server keeps running until you press Ctrl-C.

  mail from others   %s
  submission         %s (STARTTLS), %s (TLS)
  web                http://%s/
  data               %s
  login              %s
  password           %s
  app password       %s   (expired: %s)

Try:

  swaks --server %s --from bob@example.com --to anna@example.org
  swaks --server %s --from bob@example.com --to old@example.org
  swaks --server %s --tls --auth PLAIN --auth-user %s --auth-password '%s' \
        --from anna@example.org --to someone@example.net
  swaks --server %s --tls --auth LOGIN --auth-user %s --auth-password wrong \
        --from anna@example.org --to someone@example.net
`, mx, sub, subs, web, filepath.Join(d.data, "data"), login, password, d.phone, d.tablet,
		mx, mx, sub, login, d.phone, sub, login)
	<-ctx.Done()
	return nil
}

// title begins a scene.
func (d *demo) title(text string) {
	d.scene++
	head := fmt.Sprintf("%d  %s ", d.scene, text)
	rule := strings.Repeat("─", max(0, min(d.opt.Width, 80)-len([]rune(head))))
	fmt.Fprintf(d.opt.Out, "\n%s\n\n", d.paint(bold, head+rule))
}

// The looks of a terminal.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	cyan   = "36"
)

func (d *demo) paint(code, text string) string {
	if !d.opt.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// print shows a line of the conversation.
func (d *demo) print(who, line string) {
	color := blue
	if who == "S" && line != "" {
		switch line[0] {
		case '2', '3':
			color = green
		case '4':
			color = yellow
		default:
			color = red
		}
	}
	fmt.Fprintf(d.opt.Out, "  %s %s\n", d.paint(faint, who+":"), d.paint(color, line))
}

// meaning shows what a reply means, folded to the terminal.
func (d *demo) meaning(text string) { d.folded("     ↳ ", "       ", text, faint) }

// note tells what happened outside the conversation.
func (d *demo) note(text string) { d.folded("  ·  ", "     ", text, cyan) }

// check shows something that was looked at and found as it should be.
func (d *demo) check(text string) { d.folded("  ✓  ", "     ", text, green) }

func (d *demo) folded(first, rest, text, color string) {
	width := min(d.opt.Width, 100) - len([]rune(rest))
	for i, line := range fold(text, width) {
		lead := rest
		if i == 0 {
			lead = first
		}
		fmt.Fprintln(d.opt.Out, d.paint(color, lead+line))
	}
}
