package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
)

type explainCmd struct {
	Text []string `arg:"" optional:"" help:"A reply, a line of a log, the text of an exception, or a code alone. None, or -: read from standard input; with --json one input a line."`
	MX   string   `name:"mx" placeholder:"HOST" help:"The server that said it."`
	DSN  string   `name:"dsn" placeholder:"FILE" help:"Explain a bounce: the whole message, as a file; - is standard input."`
}

func (*explainCmd) Examples() []string {
	return []string{
		"onward explain '550 5.7.26 This mail is unauthenticated'",
		"onward explain 535 --lang ja",
		"onward explain --dsn bounce.eml",
		"grep 'status=bounced' /var/log/mail.log | onward explain --json -",
	}
}

// explainWidth is the width of an explanation where there is no terminal.
const explainWidth = 80

func (c *explainCmd) Run(p *program) error {
	lang := reference.Match(p.language())
	if c.DSN != "" {
		return c.report(p, lang)
	}
	text := strings.Join(c.Text, " ")
	if text == "" || text == "-" {
		if p.JSON {
			return c.stream(p, lang)
		}
		all, err := io.ReadAll(io.LimitReader(p.stdin, explain.MaxReport))
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		text = string(all)
	}
	if strings.TrimSpace(text) == "" {
		return &control.Error{Kind: control.Invalid, Message: "there is nothing to explain; give a reply such as: onward explain '550 5.1.1 User unknown'"}
	}
	if explain.IsReport(text) {
		return c.fates(p, lang, []byte(text))
	}
	return c.one(p, lang, explain.Line(text, explain.Options{MXHost: c.MX}))
}

func (c *explainCmd) one(p *program, lang string, e explain.Explanation) error {
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

// stream answers each line of standard input by one object, as soon as it has
// come: a program may go on asking over the same pipe.
func (c *explainCmd) stream(p *program, lang string) error {
	in := bufio.NewReaderSize(p.stdin, explain.MaxInput)
	for {
		line, err := in.ReadSlice('\n')
		text := string(line)
		for errors.Is(err, bufio.ErrBufferFull) { // what is longer is not looked at
			_, err = in.ReadSlice('\n')
		}
		if text = strings.TrimRight(text, "\r\n"); strings.TrimSpace(text) != "" {
			p.out.object(explain.Line(unescaped(text), explain.Options{MXHost: c.MX}).JSON(lang))
			if in.Buffered() == 0 {
				p.out.flush()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read standard input: %w", err)
		}
	}
}

// unescaped turns the \r and \n of a reply that was put into one line back into
// line ends.
func unescaped(line string) string {
	if !strings.Contains(line, `\n`) {
		return line
	}
	return strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(line)
}

// report explains a bounce in a file.
func (c *explainCmd) report(p *program, lang string) error {
	in := p.stdin
	if c.DSN != "-" {
		f, err := os.Open(c.DSN)
		if err != nil {
			return &control.Error{Kind: control.Invalid, Message: fmt.Sprintf("the bounce cannot be read: %v", err)}
		}
		defer f.Close()
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, explain.MaxReport))
	if err != nil {
		return fmt.Errorf("read the bounce: %w", err)
	}
	if len(bytes.TrimSpace(content)) == 0 {
		return &control.Error{Kind: control.Invalid, Message: "the bounce is empty; give the whole message as it came, with its header"}
	}
	return c.fates(p, lang, content)
}

// fates explains a bounce, recipient by recipient.
func (c *explainCmd) fates(p *program, lang string, content []byte) error {
	found := false
	for i, f := range explain.Report(content) {
		found = found || f.Found()
		if p.JSON {
			p.out.object(f.JSON(lang))
			continue
		}
		if i > 0 {
			p.out.raw("\n")
		}
		if f.Recipient != "" {
			p.out.raw(" " + p.out.ink(inkBold, clean(f.Recipient)) + "\n\n")
		}
		if err := explain.Render(p.out.w, f.Explanation, lang, p.explainWidth(), p.out.colour); err != nil {
			return err
		}
	}
	if !found {
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
