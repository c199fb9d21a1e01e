package main

import (
	"strconv"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/control"
)

type failuresCmd struct {
	Login string `arg:"" optional:"" help:"Only those of this account."`
	Limit int    `default:"20" placeholder:"N" help:"At most so many, the newest. Default: 20."`
}

func (*failuresCmd) Examples() []string {
	return []string{"onward account failures", "onward account failures anna@example.org"}
}

func (c *failuresCmd) Run(p *program) error {
	list, err := ask(p, control.ListFailures, control.FailuresRequest{Login: c.Login, Limit: c.Limit, Lang: p.language()})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	p.out.table(failureTable(list), "No login was rejected.")
	return nil
}

// failureTable lists failed logins. Rows that differ in nothing else differ in the
// mechanism, and what one app password did bears its name.
func failureTable(list []control.LoginFailure) *table {
	t := newTable("WHEN", "TIMES", "LOGIN", "FROM", "BY", "REFERENCE", "CAUSE")
	for _, f := range list {
		cause := f.Meaning
		if f.AppPasswordName != "" {
			cause = f.AppPasswordName + ": " + cause
		}
		t.add(plain(moment(f.At, false)), plain(strconv.Itoa(f.Count)), plain(who(f)), plain(remote(f)),
			plain(f.Mechanism), plain(f.Reference), plain(cause))
	}
	return t
}

// who is the name of a failed login; an unknown name is kept in part only.
func who(f control.LoginFailure) string {
	if f.Login != "" {
		return f.Login
	}
	if f.NameHint == "" {
		return "unknown"
	}
	return f.NameHint + "… (unknown)"
}

func remote(f control.LoginFailure) string {
	switch {
	case f.Service == account.ServiceOwn:
		return "this machine, as " + f.Client
	case !f.Remote.IsValid():
		return ""
	}
	return f.Remote.String()
}

type explainLoginCmd struct {
	Reference string `arg:"" help:"What the server named with its 535."`
}

func (*explainLoginCmd) Examples() []string {
	return []string{"onward explain-login abcd-efgh-jkmn-pqrs", "onward explain-login abcd-efgh-jkmn-pqrs --lang ja"}
}

func (c *explainLoginCmd) Run(p *program) error {
	f, err := ask(p, control.ExplainLogin, control.ExplainLoginRequest{Reference: c.Reference, Lang: p.language()})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(f)
		return nil
	}
	v := &fields{}
	v.add("cause", cell{f.Meaning, inkBold})
	v.add("what to do", plain(f.Fix))
	v.add("login", plain(who(f)))
	if f.AppPassword != "" {
		v.add("app password", plain(f.AppPasswordName+" ("+f.AppPassword+")"))
	}
	v.add("ended", plain(moment(f.AppPasswordEnd, false)))
	v.add("when", plain(moment(f.At, true)))
	v.add("details", plain(f.Detail))
	if f.Count > 1 {
		v.add("times", plain(strconv.Itoa(f.Count)))
	}
	v.add("from", plain(remote(f)))
	tls := f.TLS
	if tls == "" {
		tls = "in clear"
	}
	if f.Service == account.ServiceOwn {
		v.add("by", plain(f.Service))
	} else {
		v.add("by", plain(f.Service+", "+f.Mechanism+", "+tls))
	}
	p.out.fields(v)
	return nil
}
