package explain

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// Widths of the layout in columns.
const (
	// MinWidth is the narrowest layout; a narrower terminal wraps by itself.
	MinWidth = 40
	maxWidth = 100 // longer lines are hard to read
)

// Ink of the classes, by ANSI colours that every palette has.
const (
	inkReset = "\x1b[0m"
	inkBold  = "\x1b[1m"
	inkDim   = "\x1b[2m"
	inkGreen = "\x1b[32m"
	inkCyan  = "\x1b[36m"
	inkAmber = "\x1b[33m"
	inkRed   = "\x1b[31m"
)

// page collects the output of one rendering.
type page struct {
	b     strings.Builder
	lang  string
	width int
	color bool
	label int
}

func newPage(lang string, width int, color bool) *page {
	return &page{lang: lang, width: min(max(width, MinWidth), maxWidth), color: color}
}

func (p *page) say(key string) string { return reference.Say(p.lang, key) }

func (p *page) ink(ink, s string) string {
	if !p.color || s == "" {
		return s
	}
	return ink + s + inkReset
}

func (p *page) line(s string) {
	p.b.WriteString(strings.TrimRight(s, " "))
	p.b.WriteByte('\n')
}

// field prints a heading and its text, wrapped beside it.
func (p *page) field(key, text string) {
	if text == "" {
		return
	}
	head := pad(p.say(key), p.label)
	for _, line := range wrap(text, p.width-p.label-3) {
		p.line(" " + p.ink(inkBold, head) + "  " + line)
		head = strings.Repeat(" ", p.label)
	}
}

// labels sets the width of the headings' column.
func (p *page) labels(keys ...string) {
	for _, k := range keys {
		p.label = max(p.label, columns(p.say(k)))
	}
}

func classInk(c Class) string {
	switch c {
	case Positive:
		return inkGreen
	case Temporary:
		return inkAmber
	case Permanent:
		return inkRed
	}
	return inkCyan
}

// Render writes e for a person: in language lang, width columns wide, with ANSI
// colours if color. What was heard is escaped. The error is w's.
func Render(w io.Writer, e Explanation, lang string, width int, color bool) error {
	p := newPage(lang, width, color)
	p.render(e)
	if _, err := io.WriteString(w, p.b.String()); err != nil {
		return fmt.Errorf("print explanation: %w", err)
	}
	return nil
}

func (p *page) render(e Explanation) {
	if !e.Found() {
		for _, key := range [...]string{"ui.nothing", "ui.nothing-fix"} {
			for _, line := range wrap(p.say(key), p.width-2) {
				p.line(" " + line)
			}
		}
		return
	}
	p.title(e)
	p.heard(e)
	p.labels("ui.meaning", "ui.when", "ui.fix", "ui.who", "ui.retry", "ui.reason")
	list, listed := e.BlockList()
	if listed {
		p.labels("ui.block-list")
	}
	forwarded, isForwarded := e.Forwarded(p.lang)
	if isForwarded && forwarded.Text != "" {
		p.labels("ui.forwarded")
	}
	meaning, fix := e.Meaning(p.lang)
	p.field("ui.meaning", meaning)
	if e.Reply != "" {
		r, _ := reference.OwnReply(p.lang, e.Reply)
		p.field("ui.when", r.When)
	}
	p.field("ui.fix", fix)
	p.boxes(e)
	p.field("ui.retry", withWait(p.say("retry."+string(e.Retry)), e.Wait(p.lang)))
	if listed {
		p.field("ui.block-list", strings.TrimSpace(Escape(list.Name)+" "+list.Lookup))
	}
	if isForwarded {
		p.field("ui.forwarded", forwarded.Text)
	}
	p.reasonLine(e)
	if e.Contradicts {
		p.line("")
		p.remark(e)
	}
	p.levels(e)
}

// withWait adds how long to wait, if that is known.
func withWait(retry, wait string) string {
	if wait == "" {
		return retry
	}
	return retry + " · " + wait
}

// title is codes, provider and stage in one line.
func (p *page) title(e Explanation) {
	var head []string
	if e.Code != 0 {
		head = append(head, strconv.Itoa(e.Code))
	}
	if e.Enhanced != "" {
		head = append(head, Escape(e.Enhanced))
	}
	codes := strings.Join(head, " ")
	var where []string
	switch {
	case e.Reply != "":
		where = append(where, p.say("ui.own"))
	case e.Provider != "":
		where = append(where, e.Provider)
	}
	if s := p.say("stage." + e.Stage); e.Stage != "" && s != "" {
		where = append(where, s)
	}
	if codes == "" {
		codes = "—"
	}
	p.line(" " + p.ink(inkBold+classInk(e.Class), codes) + "   " + strings.Join(where, " · "))
}

// heard prints the stranger's text, escaped, behind a bar.
func (p *page) heard(e Explanation) {
	if e.Text != "" && e.Reply == "" {
		for text := range strings.SplitSeq(e.Text, "\n") {
			for _, line := range wrap(Escape(text), p.width-4) {
				p.line(" " + p.ink(classInk(e.Class), "│") + " " + p.ink(inkDim, line))
			}
		}
	}
	p.line("")
}

// boxes shows the three sides and marks the one that must act.
func (p *page) boxes(e Explanation) {
	if e.Who == "" {
		return
	}
	side := sideOf(e.Who)
	var row strings.Builder
	for i, key := range [...]string{"box.sender", "box.administrator", "box.receiver"} {
		if i > 0 {
			row.WriteString("  ")
		}
		if i == side {
			row.WriteString(p.ink(inkBold+classInk(e.Class), "[▶ "+p.say(key)+"]"))
		} else {
			row.WriteString(p.ink(inkDim, "[ "+p.say(key)+" ]"))
		}
	}
	p.field("ui.who", p.say("actor."+string(e.Who)))
	if side >= 0 {
		p.line(" " + strings.Repeat(" ", p.label) + "  " + row.String())
	}
}

// sideOf is the box of an actor: 0 the sender, 1 an administrator, 2 the
// receiving side, -1 none.
func sideOf(a reference.Actor) int {
	switch a {
	case reference.SenderUser:
		return 0
	case reference.SenderAdmin, reference.ServerAdmin, reference.Forwarder, reference.DomainOwner:
		return 1
	case reference.RecipientUser, reference.RecipientAdmin:
		return 2
	}
	return -1
}

func (p *page) reasonLine(e Explanation) {
	if e.Reason == "" {
		return
	}
	sure := reference.Fill(p.say("ui.confidence"), "percent", percent(e.Confidence))
	p.field("ui.reason", e.Reason+" · "+sure)
}

func percent(c float64) string { return strconv.Itoa(int(c*100 + 0.5)) }

func (p *page) remark(e Explanation) {
	text := p.say("ui.contradiction")
	if e.Class == Temporary && classOf(e.Code, e.Enhanced) == Permanent {
		text = p.say("ui.treated-temporary")
	}
	for i, line := range wrap(text, p.width-4) {
		mark := "! "
		if i > 0 {
			mark = "  "
		}
		p.line(" " + p.ink(inkAmber, mark) + line)
	}
}

// levels lists the answers from exact to general, with their sources.
func (p *page) levels(e Explanation) {
	list := e.Levels(p.lang)
	if len(list) == 0 {
		return
	}
	p.line("")
	p.heading(p.say("ui.levels"))
	column := 0
	heads := make([]string, len(list))
	for i, l := range list {
		heads[i] = l.Code
		if l.Kind == "provider" {
			heads[i] = p.say("ui.level-provider")
		}
		column = max(column, columns(heads[i]))
	}
	for i, l := range list {
		head := pad(heads[i], column)
		for _, line := range wrap(l.Meaning, p.width-column-5) {
			p.line("   " + p.ink(inkCyan, head) + "  " + line)
			head = strings.Repeat(" ", column)
		}
		for _, line := range wrap(l.Source, p.width-column-5) {
			p.line("   " + head + "  " + p.ink(inkDim, line))
		}
	}
}

// RenderComparison writes a comparison for a person, as Render does.
func RenderComparison(w io.Writer, c reference.Comparison, width int, color bool) error {
	p := newPage(c.Language, width, color)
	p.comparison(c)
	if _, err := io.WriteString(w, p.b.String()); err != nil {
		return fmt.Errorf("print comparison: %w", err)
	}
	return nil
}

func (p *page) comparison(c reference.Comparison) {
	a, b := Escape(c.A), Escape(c.B)
	p.heading(reference.Fill(p.say("ui.compare"), "a", a, "b", b))
	for _, first := range c.First {
		p.paragraph(Escape(first))
	}
	if len(c.KeyDifferences) > 0 {
		p.line("")
		p.heading(p.say("ui.differences"))
		p.bullets(c.KeyDifferences)
	}
	if len(c.Differences) > 0 {
		p.line("")
		p.differences(c, a, b)
	}
	p.section(reference.Fill(p.say("ui.when-a"), "a", a), c.WhenA)
	p.section(reference.Fill(p.say("ui.when-b"), "b", b), c.WhenB)
	p.section(p.say("ui.note"), c.Note)
	p.section(p.say("ui.use-which"), c.UseWhich)
	if len(c.Suggestions) > 0 {
		pairs := make([]string, len(c.Suggestions))
		for i, s := range c.Suggestions {
			pairs[i] = s[0] + " / " + s[1]
		}
		p.section(p.say("ui.suggestions"), strings.Join(pairs, "   "))
	}
}

func (p *page) heading(text string) {
	for _, line := range wrap(text, p.width-2) {
		p.line(" " + p.ink(inkBold, line))
	}
}

func (p *page) paragraph(text string) {
	for _, line := range wrap(text, p.width-2) {
		p.line(" " + line)
	}
}

// bullets prints one sentence a point.
func (p *page) bullets(list []string) {
	for _, s := range list {
		mark := "· "
		for _, line := range wrap(s, p.width-5) {
			p.line("   " + mark + line)
			mark = "  "
		}
	}
}

func (p *page) section(head, text string) {
	if text == "" {
		return
	}
	p.line("")
	p.heading(head)
	for _, line := range wrap(text, p.width-4) {
		p.line("   " + line)
	}
}

// minCell is the narrowest column, in columns of the terminal, in which the
// words of a comparison can stand beside their headings.
const minCell = 14

// differences prints the rows as a table of three columns; cells wrap. Where
// the headings leave the cells too narrow, each stands on a line of its own.
func (p *page) differences(c reference.Comparison, a, b string) {
	label := 0
	for _, row := range c.Differences {
		label = max(label, columns(row.Aspect))
	}
	cell := (p.width - label - 5) / 2
	above := cell < minCell
	if above {
		label = 0
		cell = (p.width - label - 5) / 2
	}
	p.line(" " + pad("", label) + "  " + p.ink(inkBold, pad(a, cell)) + "  " + p.ink(inkBold, b))
	for _, row := range c.Differences {
		left, right := wrap(row.A, cell), wrap(row.B, cell)
		if above {
			p.line(" " + p.ink(inkCyan, row.Aspect))
		}
		for i := range max(len(left), len(right)) {
			head, l, r := "", "", ""
			if i == 0 && !above {
				head = row.Aspect
			}
			if i < len(left) {
				l = left[i]
			}
			if i < len(right) {
				r = right[i]
			}
			p.line(" " + p.ink(inkCyan, pad(head, label)) + "  " + pad(l, cell) + "  " + r)
		}
	}
}
