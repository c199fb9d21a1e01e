package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

type identityCmd struct {
	Add    identityAddCmd    `cmd:"" help:"Let an account send as an address, or as all of a domain."`
	Remove identityRemoveCmd `cmd:"" help:"Let it do so no more."`
	List   identityListCmd   `cmd:"" help:"List what an account may send as."`
}

func (*identityCmd) Examples() []string {
	return []string{
		"onward account identity add anna@example.org info@example.org",
		"onward account identity add app@example.org @shop.example",
		"onward account identity list anna@example.org",
	}
}

type identityAddCmd struct {
	Login    string `arg:"" help:"The login."`
	Identity string `arg:"" help:"An address, or @example.org for all of a domain."`
}

func (*identityAddCmd) Examples() []string {
	return []string{"onward account identity add anna@example.org info@example.org"}
}

func (c *identityAddCmd) Run(p *program) error {
	a, err := ask(p, control.ChangeIdentity, control.IdentityRequest{Login: c.Login, Identity: c.Identity})
	if err != nil {
		return err
	}
	return p.accountDone(a, "may send as "+c.Identity+".")
}

type identityRemoveCmd struct {
	Login    string `arg:"" help:"The login."`
	Identity string `arg:"" help:"The address, or @example.org."`
}

func (*identityRemoveCmd) Examples() []string {
	return []string{"onward account identity remove anna@example.org info@example.org"}
}

func (c *identityRemoveCmd) Run(p *program) error {
	a, err := ask(p, control.ChangeIdentity, control.IdentityRequest{Login: c.Login, Identity: c.Identity, Remove: true})
	if err != nil {
		return err
	}
	return p.accountDone(a, "may not send as "+c.Identity+" any more.")
}

type identityListCmd struct {
	Login string `arg:"" help:"The login."`
}

func (*identityListCmd) Examples() []string {
	return []string{"onward account identity list anna@example.org"}
}

func (c *identityListCmd) Run(p *program) error {
	a, err := ask(p, control.ShowAccount, control.AccountName{Login: c.Login})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(a)
		return nil
	}
	t := newTable("MAY SEND AS", "BECAUSE")
	t.add(plain(a.Login), plain("it is its own address"))
	for _, id := range a.Identities {
		t.add(plain(id), plain("it is an identity"))
	}
	p.out.table(t, "")
	p.out.say("It may also send as addresses of this server that forward to %s.", a.Login)
	return nil
}

// scopeFlags say what an app password is bound to.
type scopeFlags struct {
	Sender          []string `placeholder:"ADDRESS" sep:"none" help:"What it may send as: an identity of the account, or @example.org; may be given several times."`
	Network         []string `placeholder:"NETWORK" sep:"none" help:"Where it may be used from, such as 192.0.2.0/24; may be given several times."`
	RecipientDomain []string `placeholder:"DOMAIN" sep:"none" help:"Whom it may send to; may be given several times."`
	MaxSize         string   `placeholder:"SIZE" help:"The largest message, such as 10MB."`
	Idle            string   `placeholder:"TIME" help:"End it after so long without use, such as 90d."`
	Device          bool     `help:"It is for a device such as a printer: network, sender and recipient domain are required."`
}

func (f *scopeFlags) empty() bool {
	return len(f.Sender)+len(f.Network)+len(f.RecipientDomain) == 0 && f.MaxSize == "" && f.Idle == "" && !f.Device
}

func (f *scopeFlags) scope() (control.Scope, error) {
	size, err := readSize(f.MaxSize)
	return control.Scope{
		Senders: f.Sender, Networks: f.Network, Recipients: f.RecipientDomain, MaxSize: size, Idle: f.Idle, Device: f.Device,
	}, err
}

// readSize reads a size such as 10MB.
func readSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, factor := text, int64(1)
	for _, u := range []struct {
		name   string
		factor int64
	}{{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}} {
		if n, ok := strings.CutSuffix(strings.ToUpper(text), u.name); ok {
			number, factor = strings.TrimSpace(n), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, &control.Error{Kind: control.Invalid, Message: fmt.Sprintf("%q is no size; write it like 500KB or 10MB", text)}
	}
	return n * factor, nil
}

type appPasswordScopeCmd struct {
	Login string `arg:"" help:"The login."`
	Which string `arg:"" optional:"" help:"The id or name of an app password; without it all are shown."`
	scopeChange
}

// scopeChange says what an app password is bound to from now on.
type scopeChange struct {
	Clear bool `help:"First take away all that it is bound to; what else is given binds it anew."`
	scopeFlags
}

func (*appPasswordScopeCmd) Examples() []string {
	return []string{
		"onward account app-password scope anna@example.org",
		"onward account app-password scope anna@example.org scanner --network 192.0.2.0/24 --recipient-domain example.org",
		"onward account app-password scope anna@example.org scanner --clear",
	}
}

func (c *appPasswordScopeCmd) Run(p *program) error {
	if c.empty() && !c.Clear {
		return c.show(p)
	}
	if c.Which == "" {
		return &control.Error{Kind: control.Invalid, Message: "name the app password that is to be bound; see them with: " + p.command("app-password list", c.Login)}
	}
	scope, err := c.scope()
	if err != nil {
		return err
	}
	a, err := ask(p, control.SetScope, control.ScopeRequest{Login: c.Login, Which: c.Which, Clear: c.Clear, Scope: scope})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(a)
		return nil
	}
	p.out.say("%s (%s) of %s: %s.", a.Name, a.ID, a.Login, bounds(&a.AppPassword))
	return nil
}

func (c *appPasswordScopeCmd) show(p *program) error {
	list, err := ask(p, control.ListAppPasswords, control.AccountName{Login: c.Login})
	if err != nil {
		return err
	}
	var shown []control.AppPasswordInfo
	for _, a := range list {
		if c.Which == "" || a.ID == c.Which || a.Name == c.Which {
			shown = append(shown, a)
		}
	}
	if c.Which != "" && len(shown) == 0 {
		return &control.Error{Kind: control.NotFound, Message: fmt.Sprintf("%s has no app password with the id or name %q; see those it has with: %s", c.Login, c.Which, p.command("app-password list", c.Login))}
	}
	if p.JSON {
		p.out.objects(shown)
		return nil
	}
	t := newTable("ID", "NAME", "BOUND TO")
	for _, a := range shown {
		t.add(plain(a.ID), plain(a.Name), plain(bounds(&a.AppPassword)))
	}
	p.out.table(t, "There are no app passwords. Make one: "+p.command("app-password add", c.Login)+" --name phone")
	return nil
}

// bounds is a scope in words.
func bounds(a *account.AppPassword) string {
	var parts []string
	s := a.Scope
	if len(s.Senders) > 0 {
		parts = append(parts, "sender "+strings.Join(s.Senders, " "))
	}
	if len(s.Networks) > 0 {
		var all []string
		for _, n := range s.Networks {
			all = append(all, n.String())
		}
		parts = append(parts, "network "+strings.Join(all, " "))
	}
	if len(s.Recipients) > 0 {
		parts = append(parts, "to "+strings.Join(s.Recipients, " "))
	}
	if s.MaxSize > 0 {
		parts = append(parts, fmt.Sprintf("at most %d octets", s.MaxSize))
	}
	if a.Idle > 0 {
		parts = append(parts, "ends after "+wholeUnits(a.Idle)+" without use")
	}
	for _, name := range account.LimitNames() {
		if n := *a.Limits.Field(name); n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+limitWords(name))
		}
	}
	if len(parts) == 0 {
		return "bound to nothing"
	}
	return strings.Join(parts, ", ")
}

// wholeUnits is a time in the largest unit of which it is a whole number.
func wholeUnits(d time.Duration) string {
	for _, u := range []struct {
		each time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.each); n > 0 && d%u.each == 0 {
			return plural(n, u.name, u.name+"s")
		}
	}
	return d.String()
}

// lastUse is when, from where and by what an app password was used last.
func lastUse(a *account.AppPassword) (used, from string) {
	if used = span(a.LastUse, time.Now()); used == "" {
		return "never", ""
	}
	if a.LastAddress.IsValid() {
		from = a.LastAddress.String()
	}
	for _, more := range []string{a.LastMechanism, a.LastClient} {
		if more != "" {
			from += " " + more
		}
	}
	return used, from
}

type accountSetCmd struct {
	Login   string `arg:"" help:"The login."`
	Backend string `placeholder:"NAME" help:"The login backend that knows the main password from now on; none: this server."`
	settingFlags
}

// settingFlags are the settings of an account.
type settingFlags struct {
	AppOnly           string `enum:",on,off" default:"" placeholder:"on|off" help:"Whether programs need an app password, and the main password is for its owner only."`
	Language          string `placeholder:"LANG" help:"The language of notices to its owner: en, de, es, fr or ja; server for the server's."`
	Certificate       string `placeholder:"FILE" help:"A PEM file with a client certificate that may log in (EXTERNAL)."`
	RemoveCertificate string `placeholder:"FINGERPRINT" help:"The SHA-256 fingerprint of one that may do so no more."`
}

func (*accountSetCmd) Examples() []string {
	return []string{
		"onward account set anna@example.org --app-only on",
		"onward account set anna@example.org --language de",
		"onward account set app@example.org --certificate client.pem",
		"onward account set bert@example.org --backend directory",
	}
}

func (c *accountSetCmd) Run(p *program) error {
	q := control.SettingsRequest{Login: c.Login, RemoveCertificate: c.RemoveCertificate}
	if c.Backend != "" {
		name := c.Backend
		if name == "none" {
			name = ""
		}
		q.Backend = &name
	}
	if c.AppOnly != "" {
		on := c.AppOnly == "on"
		q.AppOnly = &on
	}
	if c.Language != "" {
		lang := strings.TrimSuffix(c.Language, "server")
		q.Lang = &lang
	}
	if c.Certificate != "" {
		text, err := os.ReadFile(c.Certificate)
		if err != nil {
			return fmt.Errorf("read the certificate: %w", err)
		}
		block, rest := pem.Decode(text)
		for block != nil && block.Type != "CERTIFICATE" { // its key, perhaps
			block, rest = pem.Decode(rest)
		}
		if block == nil {
			return &control.Error{Kind: control.Invalid, Message: c.Certificate + " has no certificate in PEM form"}
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return &control.Error{Kind: control.Invalid, Message: fmt.Sprintf("the certificate in %s cannot be read: %v", c.Certificate, err)}
		}
		q.AddCertificate = account.Fingerprint(cert)
	}
	a, err := ask(p, control.SetAccount, q)
	if err != nil {
		return err
	}
	return p.accountDone(a, "is changed.")
}
