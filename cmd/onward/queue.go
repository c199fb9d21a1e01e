package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/control"
)

type queueCmd struct {
	List    queueListCmd    `cmd:"" help:"List what waits."`
	Show    queueShowCmd    `cmd:"" help:"Show one message with all its recipients."`
	Retry   queueRetryCmd   `cmd:"" help:"Try waiting mail now."`
	Hold    queueHoldCmd    `cmd:"" help:"Stop mail until it is released."`
	Release queueReleaseCmd `cmd:"" help:"Let held mail go on."`
	Remove  queueRemoveCmd  `cmd:"" help:"Remove mail for good; nobody is told."`
}

func (*queueCmd) Examples() []string {
	return []string{
		"onward queue list",
		"onward queue retry --destination example.net",
		"onward queue show 08c3k2f9a7x1",
	}
}

// selection is how commands choose among what is in the queue.
type selection struct {
	From        string   `placeholder:"ADDRESS" help:"Sent by this address, by any of @example.org, or by <>."`
	To          string   `placeholder:"ADDRESS" help:"To this address or target, or to any of @example.org."`
	Destination string   `placeholder:"NAME" help:"For this destination, as the list shows it."`
	State       []string `placeholder:"STATE" help:"In this state: waiting, claimed, held, …; may be given several times."`
}

func (s selection) filter(p *program) control.QueueFilter {
	return control.QueueFilter{From: s.From, To: s.To, Destination: s.Destination, States: s.State, Lang: p.language()}
}

type queueListCmd struct {
	selection
	Limit  int    `default:"100" placeholder:"N" help:"At most so many. Default: 100."`
	Before string `placeholder:"ID" help:"Only messages older than this one: the next page."`
}

func (*queueListCmd) Help() string {
	return "Lists recipients that have not ended; with --state all or --state delivered, those of the past too."
}

func (*queueListCmd) Examples() []string {
	return []string{
		"onward queue list",
		"onward queue list --to @example.net",
		"onward queue list --state held",
		"onward queue list --json | jq -r .message",
	}
}

func (c *queueListCmd) Run(p *program) error {
	q := c.filter(p)
	q.Limit, q.Before = c.Limit, c.Before
	list, err := ask(p, control.ListQueue, q)
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	p.items(list, "Nothing waits.")
	if len(list) >= c.Limit {
		p.out.say("There may be more: onward queue list --before %s", list[len(list)-1].Message)
	}
	return nil
}

// items shows recipients in the queue, two lines for each that has been tried.
func (p *program) items(list []control.QueueItem, empty string) {
	t := newTable("ID", "STATE", "NEXT", "FROM → TO, LAST ANSWER")
	for _, i := range list {
		next := ""
		if i.State == "waiting" {
			next = span(i.Due, time.Now())
			if i.Due.Before(time.Now()) {
				next = "now"
			}
		}
		what := reversePath(i.From) + " → " + recipientOf(i.Address, i.Target, i.Private)
		if i.Last != nil {
			what += " — " + answerOf(i.Last)
		}
		t.add(plain(fmt.Sprintf("%s/%d", i.Message, i.N)), stateCell(i), plain(next), plain(what))
	}
	p.out.table(t, empty)
}

func stateCell(i control.QueueItem) cell {
	text := i.State
	if i.Pending != "" {
		text += ", " + i.Pending + " next"
	}
	return cell{text, stateInk(i.State)}
}

func stateInk(state string) string {
	switch state {
	case "delivered":
		return inkGreen
	case "waiting", "held":
		return inkAmber
	case "reported", "suppressed", "discarded", "removed":
		return inkRed
	}
	return inkCyan
}

// reversePath shows a sender; the null one as <>.
func reversePath(m address.Mailbox) string {
	if m.IsZero() {
		return "<>"
	}
	return m.Unicode()
}

// recipientOf shows an address and where it goes.
func recipientOf(a, target address.Mailbox, private bool) string {
	if target.IsZero() || target == a {
		return a.Unicode()
	}
	text := a.Unicode() + " → " + target.Unicode()
	if private {
		text += " (private)"
	}
	return text
}

// answerOf shows what an attempt got: the remote's words, or our cause.
func answerOf(a *control.Attempt) string {
	switch {
	case a.Heard != "":
		return a.Heard
	case a.Detail != "":
		return a.Detail
	case a.Cause != "":
		return a.Cause
	}
	return a.Result
}

type queueShowCmd struct {
	Message string `arg:"" name:"id" help:"The message's id, or ID/N for one recipient."`
}

func (*queueShowCmd) Examples() []string {
	return []string{"onward queue show 08c3k2f9a7x1", "onward queue show 08c3k2f9a7x1 --json"}
}

func (c *queueShowCmd) Run(p *program) error {
	m, err := ask(p, control.ShowQueue, control.QueueShowRequest{Message: c.Message, Lang: p.language()})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(m)
		return nil
	}
	f := &fields{}
	f.add("message", cell{m.Message, inkBold})
	f.add("from", plain(reversePath(m.From)))
	f.add("subject", plain(m.Subject))
	f.add("message-id", plain(m.MessageID))
	f.add("received", plain(moment(m.Received, true)+origin(m)))
	f.add("size", plain(octets(m.Size)))
	f.add("made from", plain(m.Parent))
	p.out.fields(f)
	for _, i := range m.Recipients {
		p.out.raw("\n")
		p.recipient(i)
	}
	return nil
}

func origin(m control.QueueMessage) string {
	text := ", " + m.Origin.Service
	if m.Origin.Remote.IsValid() {
		text += " from " + m.Origin.Remote.String()
	}
	if m.Origin.Login != "" {
		text += ", login " + m.Origin.Login
	}
	return text
}

// recipient shows all about one recipient.
func (p *program) recipient(i control.QueueItem) {
	f := &fields{}
	f.add("recipient "+strconv.Itoa(i.N), cell{recipientOf(i.Address, i.Target, i.Private), inkBold})
	f.add("state", stateCell(i))
	f.add("destination", plain(i.Destination))
	if i.State == "waiting" {
		f.add("next attempt", plain(moment(i.Due, true)+" ("+span(i.Due, time.Now())+")"))
	}
	if i.State == "waiting" || i.State == "held" || i.State == "claimed" {
		f.add("given up", plain(moment(i.Expires, false)))
	}
	f.add("attempts", plain(strconv.Itoa(i.Attempts)))
	if i.Last != nil {
		f.add("last", plain(moment(i.Last.At, true)+place(i.Last)))
		f.add("answer", cell{answerOf(i.Last), resultInk(i.Last.Result)})
		f.add("meaning", plain(i.Last.Explanation))
	}
	p.out.fields(f)
}

// place says with whom an attempt was, and in which stage it ended.
func place(a *control.Attempt) string {
	text := ""
	switch {
	case a.Addr != "" && (a.Host == "" || strings.HasPrefix(a.Addr, a.Host+":")):
		text += ", " + a.Addr
	case a.Addr != "":
		text += ", " + a.Host + " [" + a.Addr + "]"
	case a.Host != "":
		text += ", " + a.Host
	}
	if a.Command != "" {
		text += ", " + a.Command
	}
	return text
}

func resultInk(result string) string {
	switch result {
	case "delivered":
		return inkGreen
	case "failed":
		return inkRed
	}
	return inkAmber
}

// choice is the selection of commands that change something.
type choice struct {
	Messages []string `arg:"" optional:"" name:"id" help:"Ids of messages, or ID/N for one recipient."`
	selection
	All bool `help:"All of the queue."`
}

func (c choice) change(p *program, action control.Action, done string) error {
	f := c.filter(p)
	f.Messages = c.Messages
	r, err := ask(p, control.ChangeQueue, control.QueueChange{Action: action, Filter: f, All: c.All})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(r)
		return nil
	}
	later := 0
	for _, i := range r.Items {
		if i.Pending != "" {
			later++
		}
	}
	switch {
	case r.Count == 0:
		p.out.say("Nothing was changed.")
	case r.Count == 1:
		p.out.say("1 recipient is %s.", done)
	default:
		p.out.say("%d recipients are %s.", r.Count, done)
	}
	if later > 0 {
		p.out.say("An attempt is under way for %d of them; it comes after that, if they still wait.", later)
	}
	return nil
}

type queueRetryCmd struct{ choice }

func (*queueRetryCmd) Examples() []string {
	return []string{
		"onward queue retry 08c3k2f9a7x1", "onward queue retry --destination example.net", "onward queue retry --all",
	}
}

func (c *queueRetryCmd) Run(p *program) error { return c.change(p, control.Retry, "due now") }

type queueHoldCmd struct{ choice }

func (*queueHoldCmd) Examples() []string {
	return []string{"onward queue hold 08c3k2f9a7x1", "onward queue hold --from news@example.org"}
}

func (c *queueHoldCmd) Run(p *program) error {
	return c.change(p, control.Hold, "held")
}

type queueReleaseCmd struct{ choice }

func (*queueReleaseCmd) Examples() []string {
	return []string{"onward queue release 08c3k2f9a7x1", "onward queue release --all"}
}

func (c *queueReleaseCmd) Run(p *program) error { return c.change(p, control.Release, "released") }

type queueRemoveCmd struct{ choice }

func (*queueRemoveCmd) Examples() []string {
	return []string{"onward queue remove 08c3k2f9a7x1", "onward queue remove --to @example.net --state held"}
}

func (c *queueRemoveCmd) Run(p *program) error {
	return c.change(p, control.Remove, "removed")
}
