package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/account/roster"
)

// maxImportOctets bounds the entries of one request, well below MaxRequest.
const maxImportOctets = MaxRequest / 2

// ImportOptions say how a file is imported.
type ImportOptions struct {
	Format  roster.Format
	Domain  string
	Scheme  string
	Replace bool
	DryRun  bool
	// Line, if set, is told what came of each line, in the order of the file.
	Line func(ImportLine)
	// Progress, if set, is told how far it is: the octets read.
	Progress func(octets int64, so ImportSummary)
}

// ImportSummary is what came of a file.
type ImportSummary struct {
	Format roster.Format `json:"format"`
	DryRun bool          `json:"dry_run,omitempty"`
	// Lines is the number of lines of the file, with empty ones and comments.
	Lines    int `json:"lines"`
	Added    int `json:"added"`
	Replaced int `json:"replaced"`
	Skipped  int `json:"skipped"`
	Refused  int `json:"refused"`
	// Failed lines met trouble of ours; the import ended with them.
	Failed int `json:"failed,omitempty"`
	// Schemes counts how the passwords are kept; "" has none.
	Schemes map[string]int `json:"schemes"`
	// Weak are the accounts whose passwords are soon broken, by how.
	Weak []Weak `json:"weak,omitempty"`
	// Ignored counts the lines that have a setting without a meaning here.
	Ignored map[string]int `json:"ignored,omitempty"`
	// Strangers are domains of logins that are not of this server.
	Strangers []string `json:"strangers,omitempty"`
}

// Weak are accounts with one weakness.
type Weak struct {
	Scheme   string `json:"scheme"`
	Weakness string `json:"weakness"`
	Count    int    `json:"count"`
	// Logins are the first MaxWeakListed of them.
	Logins []string `json:"logins"`
}

// MaxWeakListed is how many logins are named of a weakness.
const MaxWeakListed = 10

// importer sends a file in parts.
type importer struct {
	conn    *Conn
	opt     ImportOptions
	summary ImportSummary
	seen    map[string]int // login → line
	// batch are the entries not yet sent; results are they and, with an outcome,
	// the lines between them that were refused before. octets and clear are their
	// size and how many passwords among them must be hashed.
	batch   []roster.Entry
	results []ImportLine
	octets  int
	clear   int
}

// Import imports a file over c, part by part, in bounded requests. An error means
// that it ended early; what the summary counts is done and durable, and running
// it again skips it.
func Import(ctx context.Context, c *Conn, file io.Reader, o ImportOptions) (ImportSummary, error) {
	i := &importer{conn: c, opt: o, seen: make(map[string]int)}
	i.summary = ImportSummary{Format: o.Format, DryRun: o.DryRun, Schemes: make(map[string]int), Ignored: make(map[string]int)}
	if err := checkImport(o.Domain, o.Scheme); err != nil {
		return i.summary, err
	}
	r := roster.NewReader(file, o.Format)
	for {
		e, err := r.Next()
		i.summary.Format, i.summary.Lines = r.Format(), r.Line()
		bad := (*roster.LineError)(nil)
		switch {
		case errors.Is(err, io.EOF):
			err := i.send(ctx, r.Octets())
			slices.Sort(i.summary.Strangers)
			return i.summary, err
		case errors.As(err, &bad):
			i.results = append(i.results, ImportLine{Line: bad.Line, Outcome: ImportRefused, Why: bad.Why})
			err = nil
		case err != nil:
			if sent := i.send(ctx, r.Octets()); sent != nil {
				return i.summary, sent
			}
			return i.summary, fail(Invalid, "the file cannot be read: %v", err)
		default:
			err = i.add(ctx, e, r.Octets())
		}
		if err == nil && len(i.results) >= MaxImported {
			err = i.send(ctx, r.Octets())
		}
		if err != nil {
			return i.summary, err
		}
	}
}

// add puts an entry into the part that is being filled, and sends that first if
// it would become too large.
func (i *importer) add(ctx context.Context, e roster.Entry, octets int64) error {
	if m, err := importLogin(e.Login, i.opt.Domain); err == nil {
		login := account.NormalizeLogin(m.String())
		if line, twice := i.seen[login]; twice {
			i.results = append(i.results, ImportLine{Line: e.Line, Login: login, Outcome: ImportRefused, Why: isTwice(login, line).Error()})
			return nil
		}
		i.seen[login] = e.Line
	}
	text, err := json.Marshal(e)
	if err != nil {
		return trouble("write the request", err)
	}
	inClear := 0
	if f, err := account.ParseScheme(e.Hash, i.opt.Scheme); e.Password != "" || err == nil && f.Password != "" {
		inClear = 1
	}
	if i.octets+len(text) > maxImportOctets || i.clear+inClear > MaxImportedClear {
		if err := i.send(ctx, octets); err != nil {
			return err
		}
	}
	i.batch = append(i.batch, e)
	i.results = append(i.results, ImportLine{Line: e.Line})
	i.octets += len(text)
	i.clear += inClear
	return nil
}

// send asks for the part to be imported and counts what came of it.
func (i *importer) send(ctx context.Context, octets int64) error {
	if len(i.results) == 0 {
		return nil
	}
	var answer ImportAnswer
	if len(i.batch) > 0 {
		var err error
		answer, err = ImportAccounts.Call(ctx, i.conn, ImportRequest{
			Entries: i.batch, Domain: i.opt.Domain, Scheme: i.opt.Scheme, Replace: i.opt.Replace, DryRun: i.opt.DryRun,
		})
		if err != nil {
			return i.stopped(err)
		}
	}
	for _, s := range answer.Strangers {
		if !slices.Contains(i.summary.Strangers, s) {
			i.summary.Strangers = append(i.summary.Strangers, s)
		}
	}
	next := 0
	var trouble error
	for _, line := range i.results {
		if line.Outcome == "" {
			line = answer.Lines[next]
			next++
		}
		i.count(line)
		if line.Outcome == ImportFailed && trouble == nil {
			trouble = errors.New(line.Why)
		}
	}
	i.batch, i.results, i.octets, i.clear = i.batch[:0], i.results[:0], 0, 0
	if i.opt.Progress != nil {
		i.opt.Progress(octets, i.summary)
	}
	if trouble != nil {
		return i.stopped(trouble)
	}
	return nil
}

// stopped is the error of an import that ended early.
func (i *importer) stopped(err error) error {
	e := typed(err)
	return &Error{
		Kind: e.Kind, cause: e,
		Message: fmt.Sprintf("the import ended early, after %d accounts: %v; mend that and run it again: accounts that are there by now are skipped, or replaced again with --replace",
			i.summary.Added+i.summary.Replaced, e),
	}
}

// count adds what came of a line to the summary, and tells it.
func (i *importer) count(line ImportLine) {
	s := &i.summary
	switch line.Outcome {
	case ImportAdded:
		s.Added++
	case ImportReplaced:
		s.Replaced++
	case ImportSkipped:
		s.Skipped++
	case ImportRefused:
		s.Refused++
	case ImportFailed:
		s.Failed++
	}
	if line.Outcome == ImportAdded || line.Outcome == ImportReplaced {
		s.Schemes[line.Scheme]++
		for _, name := range line.Ignored {
			s.Ignored[name]++
		}
		s.weak(line)
	}
	if i.opt.Line != nil {
		i.opt.Line(line)
	}
}

// weak notes a weak password; that of one in clear depends on its length, so all
// are one kind.
func (s *ImportSummary) weak(line ImportLine) {
	why := line.Weakness
	if why == "" {
		return
	}
	if line.Scheme == "PLAIN" {
		why = "short, or of few different characters"
	}
	at := slices.IndexFunc(s.Weak, func(w Weak) bool { return w.Scheme == line.Scheme && w.Weakness == why })
	if at < 0 {
		at = len(s.Weak)
		s.Weak = append(s.Weak, Weak{Scheme: line.Scheme, Weakness: why})
	}
	w := &s.Weak[at]
	if w.Count++; w.Count <= MaxWeakListed {
		w.Logins = append(w.Logins, line.Login)
	}
}
