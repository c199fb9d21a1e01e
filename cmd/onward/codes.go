package main

import (
	"fmt"
	"strings"

	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/reference"
)

type codesCmd struct {
	Filter []string `arg:"" optional:"" help:"The beginning of a code (55, 5.7), a command (RCPT), or words of the name. None: all codes."`
}

func (*codesCmd) Examples() []string {
	return []string{"onward codes", "onward codes 55", "onward codes 5.7", "onward codes AUTH", "onward codes mailbox full --lang ja"}
}

func (c *codesCmd) Run(p *program) error {
	lang := reference.Match(p.language())
	word := strings.Join(c.Filter, " ")
	list := reference.Filter(reference.Codes(lang), word)
	if len(list) == 0 {
		// Words that no name has may still stand in a text, or have a typing error.
		if hits := reference.Search(lang, word, maxFound); len(hits) > 0 {
			p.hits(hits)
			return nil
		}
		return &control.Error{Kind: control.NotFound, Message: fmt.Sprintf("no code fits %q; onward codes lists them all", word)}
	}
	if p.JSON {
		p.out.objects(list)
		return nil
	}
	t := newTable("CODE", "KIND", "NAME")
	for _, s := range list {
		name := s.Name
		if s.Kind == "reply" {
			name = s.ID + ": " + name
		}
		t.add(cell{s.Shown, inkOfCode(s.Shown)}, plain(s.Kind), plain(name))
	}
	p.out.table(t, "")
	if len(list) == 1 && (list[0].Kind == "basic" || list[0].Kind == "enhanced") {
		p.out.raw("\n")
		p.out.say("onward explain %s says more.", list[0].Shown)
	}
	return nil
}

// maxFound is how many hits of a search are printed.
const maxFound = 20

func (p *program) hits(hits []reference.Hit) {
	if p.JSON {
		p.out.objects(hits)
		return
	}
	t := newTable("CODE", "KIND", "FOUND IN")
	for _, h := range hits {
		t.add(cell{h.Code, inkOfCode(h.Code)}, plain(h.Kind), plain(h.Title))
	}
	p.out.table(t, "")
}

// inkOfCode is the colour of a code's class.
func inkOfCode(code string) string {
	if code == "" {
		return ""
	}
	switch code[0] {
	case '2':
		return inkGreen
	case '3':
		return inkCyan
	case '4':
		return inkAmber
	case '5':
		return inkRed
	}
	return ""
}
