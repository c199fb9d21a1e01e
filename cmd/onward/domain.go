package main

import (
	"strconv"

	"github.com/onwardmail/onward/internal/control"
)

type domainCmd struct {
	Add    domainAddCmd    `cmd:"" help:"Make a domain ours."`
	List   domainListCmd   `cmd:"" help:"List our domains."`
	Remove domainRemoveCmd `cmd:"" help:"Take mail for a domain no more."`
}

func (*domainCmd) Examples() []string {
	return []string{"onward domain add example.org", "onward domain list", "onward domain remove example.org"}
}

type domainAddCmd struct {
	Name       string `arg:"" help:"The domain, such as example.org."`
	Postmaster string `placeholder:"ADDRESS" help:"Who gets postmaster@ and abuse@ of the domain. Default: the server's postmaster."`
}

func (*domainAddCmd) Examples() []string {
	return []string{"onward domain add example.org", "onward domain add example.org --postmaster anna@example.net"}
}

func (c *domainAddCmd) Run(p *program) error {
	d, err := ask(p, control.AddDomain, control.DomainRequest{Name: c.Name, Postmaster: c.Postmaster})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(d)
		return nil
	}
	p.out.say("%s is ours. Next: onward address add NAME@%s --forward ADDRESS", d.Name.Unicode(), d.Name.Unicode())
	return nil
}

type domainListCmd struct{}

func (*domainListCmd) Examples() []string {
	return []string{"onward domain list", "onward domain list --json"}
}

func (*domainListCmd) Run(p *program) error {
	list, err := ask(p, control.ListDomains, control.Nothing{})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	t := newTable("DOMAIN", "ADDRESSES", "SINCE", "POSTMASTER")
	for _, d := range list {
		t.add(plain(d.Name.Unicode()), plain(strconv.Itoa(d.Addresses)), plain(moment(d.Created, false)), plain(d.Postmaster.Unicode()))
	}
	p.out.table(t, "There are no domains yet, so all mail is refused. Add one: onward domain add example.org")
	return nil
}

type domainRemoveCmd struct {
	Name  string `arg:"" help:"The domain."`
	Force bool   `help:"Remove its addresses too."`
}

func (*domainRemoveCmd) Examples() []string {
	return []string{"onward domain remove example.org", "onward domain remove example.org --force"}
}

func (c *domainRemoveCmd) Run(p *program) error {
	r, err := ask(p, control.RemoveDomain, control.RemoveDomainRequest{Name: c.Name, Force: c.Force})
	if err != nil {
		return err
	}
	return p.removed(r)
}

// removed tells what is gone.
func (p *program) removed(r control.Removed) error {
	if p.JSON {
		p.out.object(r)
		return nil
	}
	p.out.say("%s is removed.", r.Removed)
	p.warn(r.Warnings)
	return nil
}
