package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/term"

	"github.com/onwardmail/onward/internal/control"
)

// maxTokenLine bounds what is read as a token, in octets.
const maxTokenLine = 16<<10 + 2

type checkBackendCmd struct {
	Name          string `arg:"" help:"The backend: NAME of [login.backends.NAME]."`
	Login         string `arg:"" optional:"" help:"The login; may be left out with a token."`
	PasswordStdin bool   `help:"Read the password, or the token, from the first line of standard input, instead of asking on the terminal."`
	Token         bool   `help:"What is read is a bearer token."`
}

func (*checkBackendCmd) Help() string {
	return "The running server asks, or this command if none runs. Nothing is counted or noted, and no account is needed. Ends with 0 if the secret is right, with 6 if it is not, with 5 if the backend could not be asked."
}

func (*checkBackendCmd) Examples() []string {
	return []string{
		"onward account check-backend directory anna@example.org",
		"onward account check-backend directory anna@example.org --password-stdin < password.txt",
		"onward account check-backend keycloak --token --password-stdin < token.txt",
	}
}

func (c *checkBackendCmd) Run(p *program) error {
	q := control.BackendRequest{Backend: c.Name, Login: c.Login}
	what, most, secret := "Password of "+c.Login, int64(maxPasswordLine), &q.Password
	if c.Token {
		what, most, secret = "Token", maxTokenLine, &q.Token
	}
	var err error
	if c.PasswordStdin {
		*secret, err = p.secretLine(most)
	} else {
		*secret, err = p.askSecret(what + ": ")
	}
	if err != nil {
		return err
	}
	a, err := ask(p, control.CheckBackend, q)
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(a)
	} else {
		p.backendAnswer(a)
	}
	switch {
	case a.Down != "":
		return p.ended(exitUnavailable)
	case !a.OK:
		return p.ended(exitRefused)
	}
	return nil
}

func (p *program) backendAnswer(a control.BackendAnswer) {
	f := &fields{}
	switch {
	case a.Down != "":
		f.add("answer", cell{"none: clients hear 454", inkRed})
		f.add("why", plain(a.Down))
	case a.OK:
		f.add("answer", cell{"the secret is right", inkGreen})
		f.add("login", plain(a.Login))
	default:
		f.add("answer", cell{"refused", inkRed})
		f.add("cause", plain(string(a.Cause)))
		if a.Proved {
			f.add("", plain("the secret was right all the same"))
		}
	}
	f.add("it said", plain(a.Detail))
	f.add("took", plain(strconv.FormatInt(a.Milliseconds, 10)+" ms"))
	p.out.fields(f)
}

// askSecret asks for a secret once on the terminal.
func (p *program) askSecret(prompt string) (string, error) {
	in, ok := p.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", &control.Error{Kind: control.Invalid, Message: "there is no terminal to ask for the secret on; give it with --password-stdin"}
	}
	fmt.Fprint(p.stderr, prompt)
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(p.stderr)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	return string(text), nil
}
