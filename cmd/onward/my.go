package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/onwardmail/onward/internal/control"
)

// myCmd is what people do with an account of their own. The commands are those
// of «onward account», without the login.
type myCmd struct {
	Login         string `placeholder:"LOGIN" env:"ONWARD_LOGIN" help:"Your login, an address such as anna@example.org. Also in ONWARD_LOGIN."`
	PasswordStdin bool   `help:"Read your main password from the first line of standard input, instead of asking on the terminal."`
	Socket        string `placeholder:"PATH" env:"ONWARD_ACCOUNTS" help:"The server's socket for this. Default: listen.accounts of the configuration. Also in ONWARD_ACCOUNTS."`

	Show         myShowCmd         `cmd:"" help:"Show your account."`
	Passwd       myPasswdCmd       `cmd:"" help:"Change your main password."`
	Failures     myFailuresCmd     `cmd:"" help:"List rejected logins with their true causes."`
	ExplainLogin myExplainLoginCmd `cmd:"" help:"Tell why one login was rejected."`
	Limits       myLimitsCmd       `cmd:"" help:"Show what you may send, or bind an app password further."`
	Usage        myUsageCmd        `cmd:"" help:"Show what you have sent, and from where."`
	Set          mySetCmd          `cmd:"" help:"Change settings: app passwords only, language, certificates."`
	AppPassword  myAppPasswordCmd  `cmd:"" help:"Passwords for one device or program each."`
}

func (*myCmd) Help() string {
	return "For people who are no administrators: your main password is asked for each time, an app password does not do. " +
		"The administrator opens it with the key listen.accounts."
}

func (*myCmd) Examples() []string {
	return []string{
		"onward my show --login anna@example.org",
		"export ONWARD_LOGIN=anna@example.org",
		"onward my app-password add --name phone --expires 365d",
		"onward my failures",
	}
}

// owner is who manages his own account.
type owner struct{ login, password, socket string }

// sign asks for what proves who is there, and lets p ask for it from then on.
func (c *myCmd) sign(p *program) error {
	_, err := c.signIn(p, false)
	return err
}

// signIn is sign; more says that lines after the password are of interest, which
// it returns.
func (c *myCmd) signIn(p *program, more bool) (rest *bufio.Reader, err error) {
	if c.Login == "" {
		return nil, &control.Error{Kind: control.Invalid, Message: "say who you are with --login, or in ONWARD_LOGIN"}
	}
	p.owner = &owner{login: c.Login, socket: c.Socket}
	if c.PasswordStdin {
		most := int64(maxPasswordLine)
		if more {
			most *= 2
		}
		rest = bufio.NewReader(io.LimitReader(p.stdin, most+1))
		p.owner.password, err = lineOf(rest)
		return rest, err
	}
	p.owner.password, err = p.typePassword("Main password of " + c.Login + ": ")
	return nil, err
}

// lineOf reads one line that is a password.
func lineOf(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", &control.Error{Kind: control.Invalid, Message: "a line of standard input that must be a password is empty or missing"}
	}
	return line, nil
}

// typePassword asks for a password on the terminal.
func (p *program) typePassword(prompt string) (string, error) {
	in, ok := p.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", &control.Error{Kind: control.Invalid, Message: "there is no terminal to ask for the password on; give it with --password-stdin"}
	}
	fmt.Fprint(p.stderr, prompt)
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(p.stderr)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(text), nil
}

// connectOwner reaches the server by the socket that is open to every user of
// this machine; an administrator needs none.
func (p *program) connectOwner() (*control.Conn, error) {
	path := p.owner.socket
	if path == "" {
		c, err := p.configuration()
		if err != nil {
			return nil, err
		}
		path = c.Listen.Accounts
	}
	switch {
	case path != "" && (p.owner.socket != "" || os.Geteuid() != 0):
		return control.DialAll(path)
	case os.Geteuid() != 0:
		conn, err := p.connect(false)
		if control.KindOf(err) == control.Refused {
			err = &control.Error{Kind: control.Refused, Message: "people cannot manage their own accounts here: the administrator opens a socket for that with the key listen.accounts; where it is open but not in this configuration, name it with --socket"}
		}
		return conn, err
	}
	return p.connect(false)
}

// command names the command that does something with an account, for whoever
// asks.
func (p *program) command(verb, login string) string {
	if p.owner != nil {
		return control.OwnCommand(verb)
	}
	return "onward account " + verb + " " + login
}

type myShowCmd struct{}

func (*myShowCmd) Examples() []string { return []string{"onward my show --login anna@example.org"} }

func (*myShowCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&accountShowCmd{my.Login}).Run(p)
}

type accountShowCmd struct {
	Login string `arg:"" help:"The login."`
}

func (*accountShowCmd) Examples() []string {
	return []string{"onward account show anna@example.org"}
}

func (c *accountShowCmd) Run(p *program) error {
	a, err := ask(p, control.ShowAccount, control.AccountName{Login: c.Login})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(a)
		return nil
	}
	f := &fields{}
	f.add("login", cell{a.Login, inkBold})
	state := cell{"enabled", inkGreen}
	if a.Disabled {
		state = cell{"disabled", inkRed}
	}
	f.add("state", state)
	f.add("since", plain(moment(a.Created, false)))
	last := span(a.LastLogin, time.Now())
	if last == "" {
		last = "never"
	}
	f.add("last login", plain(last))
	main := "none"
	switch {
	case a.Backend != "":
		main = "kept by the backend " + a.Backend
	case a.HasPassword:
		main = "set"
	}
	if a.AppOnly {
		main += "; programs need an app password"
	}
	f.add("main password", plain(main))
	f.add("app passwords", plain(strconv.Itoa(a.AppPasswords)+" active"))
	if err := p.suspended(f, c.Login); err != nil {
		return err
	}
	f.add("also sends as", plain(join(a.Identities)))
	f.add("certificates", plain(join(a.Certificates)))
	f.add("language", plain(a.Lang))
	p.out.fields(f)
	return nil
}

// suspended adds what an alarm has stopped, and how that ends.
func (p *program) suspended(f *fields, login string) error {
	list, err := ask(p, control.ListAppPasswords, control.AccountName{Login: login})
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.Status == "suspended" {
			f.add("suspended", cell{a.Name + ", since " + moment(a.Suspended, false), inkRed})
			f.add("why", plain(p.alarmWords(a.SuspendedWhy)))
			f.add("if all is well", plain(p.command("app-password resume", login)+" "+a.ID))
		}
	}
	return nil
}

type myPasswdCmd struct{}

func (*myPasswdCmd) Help() string {
	return "With --password-stdin the first line of standard input is the password that you have, and the second the new one."
}

func (*myPasswdCmd) Examples() []string {
	return []string{
		"onward my passwd --login anna@example.org",
		`printf '%s\n' "$OLD" "$NEW" | onward my passwd --login anna@example.org --password-stdin`,
	}
}

func (*myPasswdCmd) Run(p *program, my *myCmd) error {
	rest, err := my.signIn(p, true)
	if err != nil {
		return err
	}
	q := control.PasswordRequest{}
	if rest != nil {
		q.Password, err = lineOf(rest)
	} else {
		q.Password, err = p.askPassword(my.Login)
	}
	if err != nil {
		return err
	}
	a, err := ask(p, control.SetPassword, q)
	if err != nil {
		return err
	}
	return p.accountDone(a, "has a new main password.")
}

type myFailuresCmd struct {
	Limit int `default:"20" placeholder:"N" help:"At most so many, the newest. Default: 20."`
}

func (*myFailuresCmd) Examples() []string {
	return []string{"onward my failures --login anna@example.org"}
}

func (c *myFailuresCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&failuresCmd{Limit: c.Limit}).Run(p)
}

type myExplainLoginCmd struct {
	Reference string `arg:"" help:"What the server named with its 535."`
}

func (*myExplainLoginCmd) Examples() []string {
	return []string{"onward my explain-login abcd-efgh-jkmn-pqrs --login anna@example.org"}
}

func (c *myExplainLoginCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&explainLoginCmd{c.Reference}).Run(p)
}

type myLimitsCmd struct{ limitFlags }

func (*myLimitsCmd) Examples() []string {
	return []string{
		"onward my limits --login anna@example.org",
		"onward my limits --login anna@example.org --app-password scanner --messages-day 50",
	}
}

func (c *myLimitsCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&accountLimitsCmd{my.Login, c.limitFlags}).Run(p)
}

type myUsageCmd struct{}

func (*myUsageCmd) Examples() []string { return []string{"onward my usage --login anna@example.org"} }

func (*myUsageCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&accountUsageCmd{my.Login}).Run(p)
}

type mySetCmd struct{ settingFlags }

func (*mySetCmd) Examples() []string {
	return []string{
		"onward my set --login anna@example.org --app-only on",
		"onward my set --login anna@example.org --language de",
	}
}

func (c *mySetCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&accountSetCmd{Login: my.Login, settingFlags: c.settingFlags}).Run(p)
}

type myAppPasswordCmd struct {
	Add    myAppPasswordAddCmd    `cmd:"" help:"Make an app password; it is shown once."`
	List   myAppPasswordListCmd   `cmd:"" help:"List your app passwords."`
	Scope  myAppPasswordScopeCmd  `cmd:"" help:"Show or change what one is bound to: networks, senders, recipients, size."`
	Revoke myAppPasswordRevokeCmd `cmd:"" help:"End one for good."`
	Resume myAppPasswordResumeCmd `cmd:"" help:"End the suspension of one that an alarm has stopped."`
}

func (*myAppPasswordCmd) Examples() []string {
	return []string{
		"onward my app-password add --login anna@example.org --name phone --expires 90d",
		"onward my app-password list --login anna@example.org",
		"onward my app-password revoke phone --login anna@example.org",
	}
}

type myAppPasswordAddCmd struct{ appPasswordFlags }

func (*myAppPasswordAddCmd) Examples() []string {
	return []string{
		"onward my app-password add --login anna@example.org --name phone",
		"onward my app-password add --login anna@example.org --name scanner --device --network 192.0.2.7 --sender anna@example.org --recipient-domain example.org",
	}
}

func (c *myAppPasswordAddCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&appPasswordAddCmd{my.Login, c.appPasswordFlags}).Run(p)
}

type myAppPasswordListCmd struct{}

func (*myAppPasswordListCmd) Examples() []string {
	return []string{"onward my app-password list --login anna@example.org"}
}

func (*myAppPasswordListCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&appPasswordListCmd{my.Login}).Run(p)
}

type myAppPasswordScopeCmd struct {
	Which string `arg:"" optional:"" help:"The id or the name of the app password; without it all are shown."`
	scopeChange
}

func (*myAppPasswordScopeCmd) Examples() []string {
	return []string{"onward my app-password scope scanner --login anna@example.org --network 192.0.2.0/24"}
}

func (c *myAppPasswordScopeCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&appPasswordScopeCmd{my.Login, c.Which, c.scopeChange}).Run(p)
}

type myAppPasswordRevokeCmd struct {
	Which string `arg:"" help:"Its id or its name."`
}

func (*myAppPasswordRevokeCmd) Examples() []string {
	return []string{"onward my app-password revoke phone --login anna@example.org"}
}

func (c *myAppPasswordRevokeCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&appPasswordRevokeCmd{my.Login, c.Which}).Run(p)
}

type myAppPasswordResumeCmd struct {
	Which string `arg:"" help:"Its id or its name; main for the main password, which has strict limits for a day after an alarm."`
}

func (*myAppPasswordResumeCmd) Examples() []string {
	return []string{"onward my app-password resume phone --login anna@example.org"}
}

func (c *myAppPasswordResumeCmd) Run(p *program, my *myCmd) error {
	if err := my.sign(p); err != nil {
		return err
	}
	return (&appPasswordResumeCmd{my.Login, c.Which}).Run(p)
}
