package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

type accountCmd struct {
	Add          accountAddCmd     `cmd:"" help:"Make an account."`
	Import       accountImportCmd  `cmd:"" help:"Make accounts of a file of Dovecot, Apache or CSV; their passwords stay."`
	Passwd       accountPasswdCmd  `cmd:"" help:"Change the main password."`
	Disable      accountDisableCmd `cmd:"" help:"Let an account log in no more."`
	Enable       accountEnableCmd  `cmd:"" help:"Let a disabled account log in again."`
	List         accountListCmd    `cmd:"" help:"List accounts."`
	Show         accountShowCmd    `cmd:"" help:"Show one account."`
	Remove       accountRemoveCmd  `cmd:"" help:"Remove an account with its app passwords."`
	Failures     failuresCmd       `cmd:"" help:"List rejected logins with their true causes."`
	Limits       accountLimitsCmd  `cmd:"" help:"Show or change what an account may send."`
	Usage        accountUsageCmd   `cmd:"" help:"Show what an account has sent, and from where."`
	Set          accountSetCmd     `cmd:"" help:"Change settings: app passwords only, language, certificates."`
	Identity     identityCmd       `cmd:"" help:"What an account may send as besides its own address."`
	CheckBackend checkBackendCmd   `cmd:"" help:"Ask a login backend about one login, and tell what it says."`
	AppPassword  appPasswordCmd    `cmd:"" help:"Passwords for one device or program each."`
}

func (*accountCmd) Examples() []string {
	return []string{
		"onward account add anna@example.org --password-stdin < password.txt",
		"onward account import /etc/dovecot/users --domain example.org",
		"onward account app-password add anna@example.org --name phone",
		"onward account failures anna@example.org",
	}
}

type accountAddCmd struct {
	Login         string   `arg:"" help:"The login, an address such as anna@example.org."`
	PasswordStdin bool     `xor:"main" help:"Read the main password from the first line of standard input. Without it the account has app passwords only."`
	Backend       string   `xor:"main" placeholder:"NAME" help:"The login backend that knows its main password."`
	Identity      []string `placeholder:"ADDRESS" sep:"none" help:"A further address it may send as, or @example.org for all of a domain; may be given several times."`
}

func (*accountAddCmd) Examples() []string {
	return []string{
		"onward account add anna@example.org --password-stdin < password.txt",
		"onward account add app@example.org --identity @example.org",
		"onward account add bert@example.org --backend directory",
	}
}

func (c *accountAddCmd) Run(p *program) error {
	q := control.AccountRequest{Login: c.Login, Identities: c.Identity, Backend: c.Backend}
	if c.PasswordStdin {
		var err error
		if q.Password, err = p.passwordLine(); err != nil {
			return err
		}
	}
	a, err := ask(p, control.AddAccount, q)
	if err != nil {
		return err
	}
	return p.accountDone(a, "can log in.")
}

// accountDone tells what came of a change.
func (p *program) accountDone(a control.AccountInfo, what string) error {
	if p.JSON {
		p.out.object(a)
		return nil
	}
	if what == "can log in." && !a.HasPassword && a.Backend == "" && a.AppPasswords == 0 {
		what = "exists."
	}
	p.out.say("%s %s", a.Login, what)
	p.warn(a.Warnings)
	return nil
}

// maxPasswordLine bounds what is read as a password, in octets.
const maxPasswordLine = account.MaxPassword + 2

// passwordLine reads the first line of standard input.
func (p *program) passwordLine() (string, error) { return p.secretLine(maxPasswordLine) }

// secretLine reads the first line of standard input, at most so many octets.
func (p *program) secretLine(most int64) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(p.stdin, most+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", &control.Error{Kind: control.Invalid, Message: "the first line of standard input is empty; it must be the password"}
	}
	return line, nil
}

// askPassword asks for a password twice on the terminal.
func (p *program) askPassword(login string) (string, error) {
	var typed [2]string
	for i, prompt := range []string{"New password of " + login + ": ", "Once more: "} {
		var err error
		if typed[i], err = p.typePassword(prompt); err != nil {
			return "", err
		}
	}
	switch {
	case typed[0] != typed[1]:
		return "", &control.Error{Kind: control.Invalid, Message: "the two passwords differ; nothing was changed"}
	case typed[0] == "":
		return "", &control.Error{Kind: control.Invalid, Message: "the password is empty; nothing was changed. To take the main password away use --none"}
	}
	return typed[0], nil
}

type accountPasswdCmd struct {
	Login         string `arg:"" help:"The login."`
	PasswordStdin bool   `xor:"how" help:"Read the password from the first line of standard input, instead of asking on the terminal."`
	None          bool   `xor:"how" help:"Take the main password away; app passwords stay."`
}

func (*accountPasswdCmd) Examples() []string {
	return []string{
		"onward account passwd anna@example.org",
		"onward account passwd anna@example.org --password-stdin < password.txt",
		"onward account passwd anna@example.org --none",
	}
}

func (c *accountPasswdCmd) Run(p *program) error {
	q := control.PasswordRequest{Login: c.Login}
	var err error
	switch {
	case c.None:
	case c.PasswordStdin:
		q.Password, err = p.passwordLine()
	default:
		q.Password, err = p.askPassword(c.Login)
	}
	if err != nil {
		return err
	}
	a, err := ask(p, control.SetPassword, q)
	if err != nil {
		return err
	}
	if c.None {
		return p.accountDone(a, "has no main password any more.")
	}
	return p.accountDone(a, "has a new main password.")
}

type accountDisableCmd struct {
	Login string `arg:"" help:"The login."`
}

func (*accountDisableCmd) Examples() []string {
	return []string{"onward account disable anna@example.org"}
}

func (c *accountDisableCmd) Run(p *program) error {
	a, err := ask(p, control.EnableAccount, control.EnableRequest{Login: c.Login})
	if err != nil {
		return err
	}
	return p.accountDone(a, "is disabled: it cannot log in.")
}

type accountEnableCmd struct {
	Login string `arg:"" help:"The login."`
}

func (*accountEnableCmd) Examples() []string {
	return []string{"onward account enable anna@example.org"}
}

func (c *accountEnableCmd) Run(p *program) error {
	a, err := ask(p, control.EnableAccount, control.EnableRequest{Login: c.Login, Enabled: true})
	if err != nil {
		return err
	}
	return p.accountDone(a, "is enabled.")
}

type accountListCmd struct{}

func (*accountListCmd) Examples() []string {
	return []string{"onward account list", "onward account list --json"}
}

func (*accountListCmd) Run(p *program) error {
	list, err := ask(p, control.ListAccounts, control.Nothing{})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	t := newTable("LOGIN", "STATE", "PASSWORD", "APP", "LAST LOGIN", "ALSO SENDS AS")
	for _, a := range list {
		state, password := cell{"enabled", inkGreen}, "yes"
		if a.Disabled {
			state = cell{"disabled", inkRed}
		}
		if !a.HasPassword {
			password = "none"
		}
		last := span(a.LastLogin, time.Now())
		if last == "" {
			last = "never"
		}
		t.add(plain(a.Login), state, plain(password), plain(strconv.Itoa(a.AppPasswords)), plain(last), plain(join(a.Identities)))
	}
	p.out.table(t, "There are no accounts yet. Add one: onward account add anna@example.org --password-stdin")
	return nil
}

type accountRemoveCmd struct {
	Login string `arg:"" help:"The login."`
}

func (*accountRemoveCmd) Examples() []string {
	return []string{"onward account remove anna@example.org"}
}

func (c *accountRemoveCmd) Run(p *program) error {
	r, err := ask(p, control.RemoveAccount, control.AccountName{Login: c.Login})
	if err != nil {
		return err
	}
	return p.removed(r)
}

type appPasswordCmd struct {
	Add    appPasswordAddCmd    `cmd:"" help:"Make an app password; it is shown once."`
	List   appPasswordListCmd   `cmd:"" help:"List those of an account."`
	Scope  appPasswordScopeCmd  `cmd:"" help:"Show or change what one is bound to: networks, senders, recipients, size."`
	Revoke appPasswordRevokeCmd `cmd:"" help:"End one for good."`
	Resume appPasswordResumeCmd `cmd:"" help:"End the suspension of one that an alarm has stopped."`
}

func (*appPasswordCmd) Examples() []string {
	return []string{
		"onward account app-password add anna@example.org --name phone --expires 90d",
		"onward account app-password list anna@example.org",
		"onward account app-password revoke anna@example.org phone",
	}
}

type appPasswordAddCmd struct {
	Login string `arg:"" help:"The login."`
	appPasswordFlags
}

// appPasswordFlags say what a new app password is.
type appPasswordFlags struct {
	Name    string `required:"" placeholder:"NAME" help:"What tells it from others: the device or program."`
	Expires string `placeholder:"WHEN" help:"90d, 12h, a date such as 2027-01-31 (to the end of that day), or never. Default: never."`
	scopeFlags
	limitNumbers
}

func (*appPasswordAddCmd) Examples() []string {
	return []string{
		"onward account app-password add anna@example.org --name phone",
		"onward account app-password add anna@example.org --name laptop --expires 90d",
		"onward account app-password add anna@example.org --name scanner --device --network 192.0.2.7 --sender scan@example.org --recipient-domain example.org",
		"onward account app-password add app@example.org --name shop --messages-hour 200",
		"onward account app-password add anna@example.org --name phone --json",
	}
}

func (c *appPasswordAddCmd) Run(p *program) error {
	scope, err := c.scope()
	if err != nil {
		return err
	}
	limits, err := c.numbers()
	if err != nil {
		return err
	}
	made, err := ask(p, control.AddAppPassword, control.AppPasswordRequest{Login: c.Login, Name: c.Name, Expires: c.Expires, Scope: scope, Limits: limits})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(made)
		return nil
	}
	f := &fields{}
	f.add("login", plain(made.Login))
	f.add("password", cell{made.Password, inkBold})
	f.add("name", plain(made.Name))
	f.add("expires", plain(expiry(made.Expires)))
	f.add("bound to", plain(strings.TrimPrefix(bounds(&made.AppPassword), "bound to ")))
	p.out.fields(f)
	p.out.say("Write it down or type it in now: it is not shown again.")
	p.warn(made.Warnings)
	return nil
}

// ended is when an app password was revoked or suspended, zero if neither.
func ended(p *account.AppPassword) time.Time {
	if p.Revoked.IsZero() {
		return p.Suspended
	}
	return p.Revoked
}

func expiry(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return moment(t, false)
}

type appPasswordListCmd struct {
	Login string `arg:"" help:"The login."`
}

func (*appPasswordListCmd) Examples() []string {
	return []string{"onward account app-password list anna@example.org"}
}

func (c *appPasswordListCmd) Run(p *program) error {
	list, err := ask(p, control.ListAppPasswords, control.AccountName{Login: c.Login})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	t := newTable("ID", "STATE", "EXPIRES", "LAST USE", "FROM", "NAME", "BOUND TO")
	for _, a := range list {
		state := cell{a.Status, inkGreen}
		if a.Status != "active" {
			state.colour = inkRed
		}
		if at := ended(&a.AppPassword); !at.IsZero() {
			state.text += " " + moment(at, false)
		}
		used, from := lastUse(&a.AppPassword)
		t.add(plain(a.ID), state, plain(expiry(a.Expires)), plain(used), plain(from), plain(a.Name), plain(strings.TrimPrefix(bounds(&a.AppPassword), "bound to ")))
	}
	p.out.table(t, "There are no app passwords. Make one: "+p.command("app-password add", c.Login)+" --name phone")
	return nil
}

type appPasswordRevokeCmd struct {
	Login string `arg:"" help:"The login."`
	Which string `arg:"" help:"Its id or its name."`
}

func (*appPasswordRevokeCmd) Examples() []string {
	return []string{"onward account app-password revoke anna@example.org phone"}
}

func (c *appPasswordRevokeCmd) Run(p *program) error {
	a, err := ask(p, control.RevokeAppPassword, control.RevokeRequest{Login: c.Login, Which: c.Which})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(a)
		return nil
	}
	p.out.say("%s (%s) of %s is revoked.", a.Name, a.ID, a.Login)
	return nil
}
