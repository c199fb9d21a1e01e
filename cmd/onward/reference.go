package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/site"
	"github.com/onwardmail/onward/internal/web"
)

type referenceCmd struct {
	Build referenceBuildCmd `cmd:"" help:"Write the reference as files that any web server can host."`
}

func (*referenceCmd) Examples() []string { return []string{"onward reference build ./site"} }

type referenceBuildCmd struct {
	Folder    string   `arg:"" help:"Where to write: a new or empty folder, or a site written before."`
	Languages []string `placeholder:"LANG,…" help:"The languages to write. Default: all."`
	AllPairs  bool     `help:"Write the comparison of any two reply codes, not only of those that are confused."`
	Host      string   `placeholder:"NAME" default:"mx.example.org" help:"The server's name in transcripts."`
}

func (*referenceBuildCmd) Examples() []string {
	return []string{"onward reference build ./site", "onward reference build /srv/www/codes --languages en,ja"}
}

func (c *referenceBuildCmd) Run(p *program) error {
	for _, tag := range c.Languages {
		if !slices.ContainsFunc(reference.Languages(), func(l reference.Language) bool { return l.Tag == tag }) {
			var have []string
			for _, l := range reference.Languages() {
				have = append(have, l.Tag)
			}
			return &control.Error{Kind: control.Invalid, Message: fmt.Sprintf("there is no language %q; there are %s", tag, strings.Join(have, ", "))}
		}
	}
	if err := site.Prepare(c.Folder); err != nil {
		if errors.Is(err, site.ErrNotEmpty) {
			return &control.Error{Kind: control.Exists, Message: err.Error()}
		}
		return err
	}
	bar := newBar(p)
	result, err := site.Build(p.ctx, site.Options{
		Handler: web.New(web.Options{Hostname: c.Host, Static: true}), Dir: c.Folder, Languages: c.Languages,
		AllPairs: c.AllPairs, Progress: func(written, known int) { bar.show(written, known, fmt.Sprintf("%d of %d pages", written, known)) },
	})
	bar.done()
	if err != nil {
		return err
	}
	if p.JSON {
		p.out.object(result)
		return nil
	}
	p.out.say("%d pages, %s, in %s. Every one of %d links leads to a page.", result.Pages, octets(result.Octets), c.Folder, result.Links)
	p.out.say("Any web server can host the folder. To look at it here: python3 -m http.server --directory %s", c.Folder)
	return nil
}

// bar is a progress bar on the terminal, if standard error is one.
type bar struct {
	p       *program
	width   int
	percent int
}

const widestBar = 50

func newBar(p *program) *bar {
	b := &bar{p: p, percent: -1}
	if _, ok := isTerminal(p.stderr); ok && os.Getenv("TERM") != "dumb" && !p.JSON {
		b.width = min(widestBar, widthOf(p.stderr, 80)-30)
	}
	return b
}

// show draws the bar anew when a percent is full, with words behind it.
func (b *bar) show(done, known int, words string) {
	percent := done * 100 / max(known, 1)
	if b.width <= 0 || percent == b.percent {
		return
	}
	b.percent = percent
	full := percent * b.width / 100
	fmt.Fprintf(b.p.stderr, "\r%s%s %3d %%  %s\x1b[K", strings.Repeat("█", full), strings.Repeat("░", b.width-full), percent, words)
}

// count shows words alone, where nobody knows how much there is.
func (b *bar) count(words string) {
	if b.width > 0 {
		b.percent = 0
		fmt.Fprintf(b.p.stderr, "\r%s\x1b[K", words)
	}
}

// done takes the bar off the screen.
func (b *bar) done() {
	if b.percent >= 0 {
		fmt.Fprint(b.p.stderr, "\r\x1b[K")
		b.percent = -1
	}
}
