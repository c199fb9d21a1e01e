package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/account/roster"
	"github.com/onwardmail/onward/internal/control"
)

type accountImportCmd struct {
	File    string `arg:"" help:"The file; - is standard input."`
	Format  string `enum:"auto,passwd-file,htpasswd,csv" default:"auto" help:"passwd-file (Dovecot's, also /etc/shadow), htpasswd (Apache's) or csv (with a line of headings: login, password, hash, identities, disabled, app_only, lang; all but login optional). Default: what the first line looks like."`
	Domain  string `placeholder:"DOMAIN" help:"The domain of logins that have none."`
	Scheme  string `placeholder:"SCHEME" help:"What passwords are that name no scheme, in Dovecot's words: plain, sha256 … Default: crypt."`
	Replace bool   `help:"Change accounts that exist: their password, and what else the file says. Without it they are skipped."`
	DryRun  bool   `help:"Check every line, tell what would be done, and change nothing."`
}

func (*accountImportCmd) Help() string {
	return "Hashes are kept as they are, so that everybody logs in as before, and made anew (argon2id) when their owner logs in the next time. " +
		"Passwords in clear are hashed now. A line that cannot be used is told, and the others are imported; then the exit status is 1."
}

func (*accountImportCmd) Examples() []string {
	return []string{
		"onward account import /etc/dovecot/users --dry-run",
		"onward account import /etc/dovecot/users --domain example.org",
		"onward account import .htpasswd --domain example.org",
		"onward account import people.csv --replace",
		"ssh old.example.org cat /etc/shadow | onward account import - --domain example.org",
	}
}

func (c *accountImportCmd) Run(p *program) error {
	file, size, err := p.input(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	conn, err := p.connect(true)
	if err != nil {
		return err
	}
	show := &importView{p: p, dryRun: c.DryRun, size: size, started: time.Now()}
	sum, err := control.Import(p.ctx, conn, file, control.ImportOptions{
		Format: roster.Format(c.Format), Domain: c.Domain, Scheme: c.Scheme, Replace: c.Replace, DryRun: c.DryRun,
		Line: show.line, Progress: show.progress,
	})
	show.clear()
	if closing := conn.Close(); err == nil && closing != nil {
		err = closing
	}
	show.summary(sum)
	if err != nil {
		p.out.flush()
		return err
	}
	if sum.Refused > 0 {
		return p.ended(exitFailed)
	}
	return nil
}

// input opens a file to be read, or standard input for "-"; size is -1 where
// nobody knows it.
func (p *program) input(name string) (file io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(p.stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, &control.Error{Kind: control.Invalid, Message: fmt.Sprintf("%v; name a file, or - for standard input", err)}
	}
	size = -1
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

// importView shows an import: lines that were refused as they come, how far it is
// on a terminal, and what came of it.
type importView struct {
	p       *program
	dryRun  bool
	size    int64 // of the file; -1: not known
	started time.Time
	bar     *bar
	told    int
}

const (
	// maxTold is how many lines are told to people; a file in a wrong format has
	// only such.
	maxTold = 50
	// showProgress is when an import takes long enough to show how far it is.
	showProgress = 2 * time.Second
)

func (v *importView) line(l control.ImportLine) {
	if v.p.JSON {
		v.p.out.object(l)
		return
	}
	for _, n := range l.Notes {
		v.tell(fmt.Sprintf("line %d: note: %s: %s", l.Line, l.Login, n))
	}
	if l.Outcome == control.ImportRefused {
		v.tell(fmt.Sprintf("line %d: %s", l.Line, l.Why))
	}
}

func (v *importView) tell(text string) {
	if v.told++; v.told > maxTold {
		return
	}
	v.clear()
	v.p.tell(text)
}

func (v *importView) progress(octets int64, so control.ImportSummary) {
	if v.bar == nil {
		if time.Since(v.started) < showProgress {
			return
		}
		v.bar = newBar(v.p)
	}
	done := so.Added + so.Replaced + so.Skipped + so.Refused
	words := fmt.Sprintf("line %d, %s", so.Lines, plural(done, "account", "accounts"))
	if v.size < 0 {
		v.bar.count(words)
		return
	}
	v.bar.show(int(octets), int(max(v.size, octets)), words)
}

// clear takes the progress off the screen.
func (v *importView) clear() {
	if v.bar != nil {
		v.bar.done()
	}
}

// summary shows what came of all.
func (v *importView) summary(s control.ImportSummary) {
	if v.p.JSON {
		v.p.out.object(s)
		return
	}
	if v.told > maxTold {
		v.p.tell(fmt.Sprintf("… and %d more; see all of them with --json", v.told-maxTold))
	}
	f := &fields{}
	f.add("file", plain(fmt.Sprintf("%s, %s", s.Format, plural(s.Lines, "line", "lines"))))
	added, replaced := "added", "replaced"
	if v.dryRun {
		added, replaced = "would add", "would replace"
	}
	f.add(added, cell{strconv.Itoa(s.Added), inkGreen})
	if s.Replaced > 0 {
		f.add(replaced, cell{strconv.Itoa(s.Replaced), inkGreen})
	}
	if s.Skipped > 0 {
		f.add("skipped", plain(fmt.Sprintf("%d, which exist; change them with --replace", s.Skipped)))
	}
	if s.Refused > 0 {
		f.add("refused", cell{plural(s.Refused, "line", "lines"), inkRed})
	}
	if s.Failed > 0 {
		f.add("failed", cell{plural(s.Failed, "line", "lines"), inkRed})
	}
	f.add("passwords", plain(schemesText(s.Schemes, v.dryRun)))
	v.p.out.fields(f)
	v.p.warn(importNotes(s, v.dryRun))
}

// schemesText is «SHA512-CRYPT 12, in clear (now hashed) 3, none 1», the most first.
func schemesText(schemes map[string]int, dryRun bool) string {
	names := slices.SortedFunc(maps.Keys(schemes), func(a, b string) int {
		if n := schemes[b] - schemes[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		called := name
		switch name {
		case "":
			called = "none"
		case "PLAIN":
			if called = "in clear (now hashed)"; dryRun {
				called = "in clear"
			}
		}
		names[i] = fmt.Sprintf("%s %d", called, schemes[name])
	}
	return join(names)
}

func importNotes(s control.ImportSummary, dryRun bool) []string {
	var notes []string
	for _, w := range s.Weak {
		who := join(w.Logins)
		if more := w.Count - len(w.Logins); more > 0 {
			who += fmt.Sprintf(" and %d more", more)
		}
		if w.Scheme == "PLAIN" {
			notes = append(notes, fmt.Sprintf("%s: the password is %s; ask the owner for a longer one: %s", plural(w.Count, "account", "accounts"), w.Weakness, who))
			continue
		}
		notes = append(notes, fmt.Sprintf("%s: the hash ({%s}) is %s, until the owner logs in: %s", plural(w.Count, "account", "accounts"), w.Scheme, w.Weakness, who))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Ignored)) {
		notes = append(notes, fmt.Sprintf("the setting %s of %s has no meaning here and was left out", name, plural(s.Ignored[name], "line", "lines")))
	}
	for _, domain := range s.Strangers {
		notes = append(notes, fmt.Sprintf("%s is not a domain of this server: its accounts can send, but mail to them does not arrive here; add it with: onward domain add %s", domain, domain))
	}
	if n := s.Schemes[""]; n > 0 {
		notes = append(notes, fmt.Sprintf("%s no main password; set one with: onward account passwd LOGIN", plural(n, "account has", "accounts have")))
	}
	if dryRun {
		notes = append(notes, "this was a dry run: nothing was changed")
	}
	return notes
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
