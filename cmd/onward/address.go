package main

import (
	"fmt"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/recipient"
)

type addressCmd struct {
	Add    addressAddCmd    `cmd:"" help:"Add an address, or change one with --replace."`
	Show   addressShowCmd   `cmd:"" help:"Show what an address does and what senders hear."`
	List   addressListCmd   `cmd:"" help:"List addresses."`
	Remove addressRemoveCmd `cmd:"" help:"Remove an address; mail to it is refused."`
}

func (*addressCmd) Examples() []string {
	return []string{
		"onward address add anna@example.org --forward anna@example.net --disclose announce",
		"onward address show anna@example.org",
		"onward address list example.org",
	}
}

type addressAddCmd struct {
	Address  string   `arg:"" help:"The address, in a domain of ours."`
	Forward  []string `placeholder:"ADDRESS" sep:"none" xor:"kind" help:"Forward to this address; may be given several times."`
	Disclose string   `placeholder:"HOW" help:"With --forward: announce tells senders the target (251), silent does not (250). Default: silent."`
	Moved    string   `placeholder:"ADDRESS" xor:"kind" help:"Refuse mail and tell senders the new address (551)."`
	Mailbox  bool     `xor:"kind" help:"Keep mail here, in a Maildir."`
	Refuse   *string  `placeholder:"TEXT" xor:"kind" help:"Refuse mail with this text (550)."`
	Replace  bool     `help:"Change the address if it exists already."`
}

func (*addressAddCmd) Examples() []string {
	return []string{
		"onward address add anna@example.org --forward anna@example.net --disclose announce",
		"onward address add team@example.org --forward a@example.net --forward b@example.net",
		"onward address add old@example.org --moved new@example.net",
		"onward address add box@example.org --mailbox",
		`onward address add no@example.org --refuse "This address is closed"`,
	}
}

func (c *addressAddCmd) Run(p *program) error {
	q := control.AddressRequest{Address: c.Address, Targets: c.Forward, Disclose: c.Disclose, Replace: c.Replace}
	switch {
	case len(c.Forward) > 0:
		q.Kind = string(recipient.Forward)
	case c.Moved != "":
		q.Kind, q.Targets = string(recipient.Moved), []string{c.Moved}
	case c.Mailbox:
		q.Kind = string(recipient.Mailbox)
	case c.Refuse != nil:
		q.Kind, q.Text = string(recipient.Refused), *c.Refuse
	default:
		return &control.Error{Kind: control.Invalid, Message: "say what the address does: --forward ADDRESS, --moved ADDRESS, --mailbox or --refuse TEXT"}
	}
	a, err := ask(p, control.PutAddress, q)
	if err != nil {
		return err
	}
	p.address(a)
	return nil
}

// address shows one address with what a sender hears.
func (p *program) address(a control.AddressInfo) {
	if p.JSON {
		p.out.object(a)
		return
	}
	f := &fields{}
	f.add("address", plain(a.Address.Address.Unicode()))
	f.add("does", plain(action(a.Address)))
	f.add("a sender hears", plain(a.Says))
	if a.Kind == recipient.Forward {
		for i, r := range a.Reaches {
			name := ""
			if i == 0 {
				name = "mail ends at"
			}
			f.add(name, plain(end(r)))
		}
	}
	f.add("since", plain(moment(a.Created, false)))
	p.out.fields(f)
	p.warn(a.Warnings)
}

func end(r control.Reached) string {
	text := r.Mailbox.Unicode()
	if r.Local {
		text += " (mailbox here)"
	}
	if r.Private {
		text += " (private: senders do not learn it)"
	}
	return text
}

// action says what an address does.
func action(a recipient.Address) string {
	switch a.Kind {
	case recipient.Forward:
		how := "silently"
		if a.Disclose == recipient.Announce {
			how = "announced to senders"
		}
		return fmt.Sprintf("forwards to %s, %s", join(names(a.Targets)), how)
	case recipient.Moved:
		return "refuses mail; has moved to " + join(names(a.Targets))
	case recipient.Mailbox:
		return "keeps mail here, in a Maildir"
	case recipient.Refused:
		return "refuses mail: " + a.Text
	}
	return string(a.Kind)
}

func names(list []address.Mailbox) []string {
	all := make([]string, len(list))
	for i, m := range list {
		all[i] = m.Unicode()
	}
	return all
}

type addressShowCmd struct {
	Address string `arg:"" help:"The address."`
}

func (*addressShowCmd) Examples() []string {
	return []string{"onward address show anna@example.org", "onward address show anna@example.org --json"}
}

func (c *addressShowCmd) Run(p *program) error {
	a, err := ask(p, control.ShowAddress, control.AddressName{Address: c.Address})
	if err != nil {
		return err
	}
	p.address(a)
	return nil
}

type addressListCmd struct {
	Domain string `arg:"" optional:"" help:"Only those of this domain."`
	Target string `placeholder:"ADDRESS" help:"Only those that lead to this address."`
}

func (*addressListCmd) Examples() []string {
	return []string{"onward address list", "onward address list example.org", "onward address list --target anna@example.net"}
}

func (c *addressListCmd) Run(p *program) error {
	list, err := ask(p, control.ListAddresses, control.ListAddressesRequest{Domain: c.Domain, Target: c.Target})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	t := newTable("ADDRESS", "KIND", "DISCLOSE", "TARGET OR TEXT")
	for _, a := range list {
		what := join(names(a.Targets))
		if a.Kind == recipient.Refused {
			what = a.Text
		}
		t.add(plain(a.Address.Address.Unicode()), plain(string(a.Kind)), plain(string(a.Disclose)), plain(what))
	}
	p.out.table(t, "There are no such addresses. Add one: onward address add anna@example.org --forward anna@example.net")
	return nil
}

type addressRemoveCmd struct {
	Address string `arg:"" help:"The address."`
}

func (*addressRemoveCmd) Examples() []string {
	return []string{"onward address remove anna@example.org"}
}

func (c *addressRemoveCmd) Run(p *program) error {
	r, err := ask(p, control.RemoveAddress, control.AddressName{Address: c.Address})
	if err != nil {
		return err
	}
	return p.removed(r)
}
