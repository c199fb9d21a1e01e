package main

import (
	"fmt"
	"time"

	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/queue"
)

type logCmd struct {
	What  string `arg:"" optional:"" help:"A message's id, an address (sender, recipient or target), or @example.org for a domain. None: the newest of all."`
	Since string `placeholder:"WHEN" help:"Only from then on: 2h, 7d, 2026-11-23, '2026-11-23 14:05'."`
	Limit int    `default:"100" placeholder:"N" help:"At most so many, the newest. Default: 100."`
}

func (*logCmd) Help() string {
	return "Every attempt is shown with what the other server said and what that means. Targets marked private are not told to senders."
}

func (*logCmd) Examples() []string {
	return []string{
		"onward log 08c3k2f9a7x1",
		"onward log anna@example.org --since 2h",
		"onward log @example.net --json",
	}
}

func (c *logCmd) Run(p *program) error {
	rows, err := ask(p, control.ShowLog, control.LogRequest{What: c.What, Since: c.Since, Limit: c.Limit, Lang: p.language()})
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.objects(rows)
		return nil
	}
	if len(rows) == 0 {
		p.out.say("The log has nothing about it.")
		return nil
	}
	message := ""
	for i, r := range rows {
		if r.Message != message {
			if i > 0 {
				p.out.raw("\n")
			}
			message = r.Message
			p.out.raw(p.out.ink(inkBold, "message "+clean(message)) + " from " + clean(reversePath(r.From)) + "\n")
		}
		p.logRow(r)
	}
	return nil
}

// logRow shows one row: a line with time and event, and beneath it what was
// heard and what it means.
func (p *program) logRow(r control.LogEntry) {
	head := moment(r.At, true)
	text, colour := event(r)
	who := ""
	if !r.Address.IsZero() {
		who = recipientOf(r.Address, r.Target, r.Private)
	}
	f := &fields{}
	f.add("  "+head, cell{join(nonEmpty(text, who)), colour})
	if a := r.Attempt; a != nil {
		if said := place(a); said != "" {
			f.add("", plain(said[2:]))
		}
		if a.TLS != "" {
			f.values[len(f.values)-1].text += ", " + a.TLS
		}
		f.add("", cell{answerOf(a), resultInk(a.Result)})
		if a.Result != "delivered" {
			f.add("", plain(a.Explanation))
		}
	}
	if r.Due.After(time.Now()) && r.State == "waiting" && r.Kind == queue.LogAttempt {
		f.add("", plain("next attempt "+moment(r.Due, true)+" ("+span(r.Due, time.Now())+")"))
	}
	if r.Linked != "" {
		f.add("", plain("see message "+r.Linked))
	}
	p.out.fields(f)
}

// event names what a row tells.
func event(r control.LogEntry) (text, colour string) {
	switch r.Kind {
	case queue.LogAccepted:
		return "accepted", ""
	case queue.LogAttempt:
		if r.Attempt == nil {
			return "attempt", ""
		}
		return fmt.Sprintf("attempt %d: %s", r.Attempt.Number, r.Attempt.Result), resultInk(r.Attempt.Result)
	case queue.LogChanged, queue.LogNote:
	}
	return r.Note, inkCyan
}

func nonEmpty(texts ...string) []string {
	var some []string
	for _, t := range texts {
		if t != "" {
			some = append(some, t)
		}
	}
	return some
}
