package main

import (
	"strconv"
	"time"

	"github.com/onwardmail/onward/internal/control"
)

type banCmd struct {
	List   banListCmd   `cmd:"" help:"List the networks that are refused, why and until when."`
	Remove banRemoveCmd `cmd:"" help:"Let a network in again."`
}

func (*banCmd) Help() string {
	return "A network is refused for a while on the ports for users after many different wrong passwords, and on the ports where it did so " +
		"after sessions that ended in errors. The running server keeps the list in its memory."
}

func (*banCmd) Examples() []string {
	return []string{"onward ban list", "onward ban remove 192.0.2.1"}
}

type banListCmd struct{}

func (*banListCmd) Examples() []string {
	return []string{"onward ban list", "onward ban list --json | jq -r .network"}
}

func (*banListCmd) Run(p *program) error {
	list, err := ask(p, control.ListBans, control.Nothing{})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	t := newTable("NETWORK", "PORTS FOR", "WHY", "SINCE", "UNTIL", "TRIES", "SECRETS", "LOGINS")
	for _, b := range list {
		t.add(cell{b.Network.String(), inkRed}, plain(string(b.Ports)), plain(b.Why), plain(moment(b.Since, false)),
			plain(moment(b.Until, false)+" ("+span(b.Until, time.Now())+")"),
			plain(strconv.Itoa(b.Tries)), plain(numberOrNone(b.Secrets)), plain(numberOrNone(b.Logins)))
	}
	p.out.table(t, "No network is refused.")
	return nil
}

// numberOrNone leaves out what does not apply.
func numberOrNone(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

type banRemoveCmd struct {
	Network string `arg:"" optional:"" help:"As the list shows it; an address will do."`
	All     bool   `help:"All of them."`
}

func (*banRemoveCmd) Help() string {
	return "What was counted against the network is forgotten too. To keep one from being refused ever, set login.guesses.exempt or, " +
		"for errors as well, limits.known."
}

func (*banRemoveCmd) Examples() []string {
	return []string{"onward ban remove 192.0.2.1", "onward ban remove 2001:db8:1::/48", "onward ban remove --all"}
}

func (c *banRemoveCmd) Run(p *program) error {
	r, err := ask(p, control.LiftBan, control.LiftBanRequest{Network: c.Network, All: c.All})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(r)
		return nil
	}
	if len(r.Lifted) == 0 {
		p.out.say("No network was refused.")
	}
	for _, n := range r.Lifted {
		p.out.say("%s is let in again.", n)
	}
	return nil
}
