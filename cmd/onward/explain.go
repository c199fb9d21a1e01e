package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
)

type explainCmd struct {
	Text []string `arg:"" optional:"" help:"A reply, a line of a log, or a code alone. None, or -: read from standard input."`
	MX   string   `name:"mx" placeholder:"HOST" help:"The server that said it."`
}

func (*explainCmd) Examples() []string {
	return []string{
		"onward explain '550 5.7.26 This mail is unauthenticated'",
		"onward explain 535 --lang ja",
		"grep 'status=bounced' /var/log/mail.log | tail -n 1 | onward explain",
	}
}

// explainWidth is the width of an explanation where there is no terminal.
const explainWidth = 80

func (c *explainCmd) Run(p *program) error {
	text := strings.Join(c.Text, " ")
	if text == "" || text == "-" {
		all, err := io.ReadAll(io.LimitReader(p.stdin, explain.MaxInput))
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		text = string(all)
	}
	if strings.TrimSpace(text) == "" {
		return &control.Error{Kind: control.Invalid, Message: "there is nothing to explain; give a reply such as: onward explain '550 5.1.1 User unknown'"}
	}
	lang := reference.Match(p.language())
	e := explain.Line(text, explain.Options{MXHost: c.MX})
	if p.JSON {
		p.out.object(e.JSON(lang))
	} else if err := explain.Render(p.out.w, e, lang, p.explainWidth(), p.out.colour); err != nil {
		return err
	}
	if !e.Found() {
		return p.ended(exitNotFound)
	}
	return nil
}

func (p *program) explainWidth() int {
	if p.out.width > 0 {
		return min(p.out.width, 100)
	}
	return explainWidth
}

// ended ends with a status after what has been printed.
func (p *program) ended(status int) error {
	if failed := p.out.end(p.stderr); failed != exitOK {
		status = failed
	}
	return statusError(status)
}

type compareCmd struct {
	A string `arg:"" help:"A reply code or an enhanced code."`
	B string `arg:"" help:"Another."`
}

func (*compareCmd) Examples() []string {
	return []string{"onward compare 251 551", "onward compare 5.7.1 5.7.8", "onward compare 251 535 --lang ja"}
}

func (c *compareCmd) Run(p *program) error {
	r := reference.Compare(c.A, c.B, reference.Match(p.language()))
	if p.JSON {
		p.out.object(r.JSON())
	} else if err := explain.RenderComparison(p.out.w, r, p.explainWidth(), p.out.colour); err != nil {
		return err
	}
	if !r.Known {
		return p.ended(exitNotFound)
	}
	return nil
}
