package control

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/account/roster"
	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/reference"
)

// Limits of one ImportRequest; a file is sent as many. Passwords in clear are
// fewer, because each is hashed, at the cost of a login.
const (
	MaxImported      = 500
	MaxImportedClear = 16
	// importing is how many accounts are written at one time: the store commits
	// together what waits for it.
	importing = 64
)

// ImportRequest is a part of a file of accounts of another program.
type ImportRequest struct {
	Entries []roster.Entry `json:"entries"`
	// Domain is for logins that have none.
	Domain string `json:"domain,omitempty"`
	// Scheme is for hashes that name none, in Dovecot's words; "" is CRYPT.
	Scheme string `json:"scheme,omitempty"`
	// Replace changes accounts that exist; without it they stay as they are.
	Replace bool `json:"replace,omitempty"`
	// DryRun checks everything and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// ImportOutcome is what came of a line.
type ImportOutcome string

// The outcomes.
const (
	ImportAdded    ImportOutcome = "added"
	ImportReplaced ImportOutcome = "replaced"
	ImportSkipped  ImportOutcome = "skipped" // it exists
	ImportRefused  ImportOutcome = "refused"
	// ImportFailed is trouble of ours, not of the line.
	ImportFailed ImportOutcome = "failed"
)

// ImportLine tells what came of a line. Nothing of a line is half done.
type ImportLine struct {
	Line int `json:"line"`
	// Login is "" if the line has none that can be used.
	Login   string        `json:"login,omitempty"`
	Outcome ImportOutcome `json:"outcome"`
	// Why it was not imported.
	Why string `json:"why,omitempty"`
	// Scheme is how the password is kept, "PLAIN" if it was hashed for this, "" if
	// there is none.
	Scheme string `json:"scheme,omitempty"`
	// Weakness says why the hash, or the password, is soon broken; "" if it is not.
	Weakness string   `json:"weakness,omitempty"`
	Notes    []string `json:"notes,omitempty"`
	Ignored  []string `json:"ignored,omitempty"`
}

// ImportAnswer is what came of a request, in the order of its entries.
type ImportAnswer struct {
	Lines []ImportLine `json:"lines"`
	// Strangers are domains of the logins that are not of this server.
	Strangers []string `json:"strangers,omitempty"`
}

// imported is one entry on its way.
type imported struct {
	entry  *roster.Entry
	result *ImportLine
	domain address.Domain
	secret account.Foreign
}

// refuse notes why the entry is not imported.
func (i *imported) refuse(err error) {
	i.result.Outcome, i.result.Why = ImportRefused, err.Error()
	if KindOf(err) == Failed || KindOf(err) == Unavailable {
		i.result.Outcome = ImportFailed
	}
}

// ImportAccounts makes or changes the accounts of a part of a file. An entry that
// breaks a rule does not keep out the others.
func (s *Service) ImportAccounts(ctx context.Context, q ImportRequest) (ImportAnswer, error) {
	var answer ImportAnswer
	if len(q.Entries) > MaxImported {
		return answer, fail(Invalid, "the request has %d entries; at most %d, so send several", len(q.Entries), MaxImported)
	}
	if err := checkImport(q.Domain, q.Scheme); err != nil {
		return answer, err
	}
	answer.Lines = make([]ImportLine, len(q.Entries))
	first := make(map[string]int)
	var clear, quick []*imported
	for i := range q.Entries {
		one := &imported{entry: &q.Entries[i], result: &answer.Lines[i]}
		one.result.Line, one.result.Ignored = one.entry.Line, one.entry.Ignored
		if err := one.read(q); err != nil {
			one.refuse(err)
			continue
		}
		if line, twice := first[one.result.Login]; twice {
			one.refuse(isTwice(one.result.Login, line))
			continue
		}
		first[one.result.Login] = one.result.Line
		if one.secret.Password != "" {
			clear = append(clear, one)
		} else {
			quick = append(quick, one)
		}
	}
	if len(clear) > MaxImportedClear {
		return ImportAnswer{}, fail(Invalid, "the request has %d passwords that must be hashed; at most %d, so send several", len(clear), MaxImportedClear)
	}
	var err error
	if answer.Strangers, err = s.strangers(ctx, slices.Concat(quick, clear)); err != nil {
		return ImportAnswer{}, err
	}
	s.importAll(ctx, q, quick, importing)
	s.importAll(ctx, q, clear, max(1, runtime.NumCPU()/2))
	return answer, nil
}

// checkImport checks what holds for a whole file.
func checkImport(domain, scheme string) error {
	if domain != "" {
		if _, err := parseDomain(domain); err != nil {
			return err
		}
	}
	if scheme != "" && !account.KnownScheme(scheme) {
		return fail(Invalid, "there is no scheme %q for passwords; there are %s", scheme, account.Schemes)
	}
	return nil
}

func isTwice(login string, line int) error {
	return fail(Invalid, "%s is in line %d already; leave only one of them", login, line)
}

// importAll imports entries, so many at a time.
func (s *Service) importAll(ctx context.Context, q ImportRequest, entries []*imported, atOnce int) {
	next := make(chan *imported)
	var working sync.WaitGroup
	for range min(atOnce, len(entries)) {
		working.Go(func() {
			for one := range next {
				if err := s.importOne(ctx, q, one); err != nil {
					one.refuse(err)
				}
			}
		})
	}
	for _, one := range entries {
		next <- one
	}
	close(next)
	working.Wait()
}

// read checks what an entry says, without looking at what there is. What it says
// is not quoted: a line that has been mistaken may have a password anywhere.
func (i *imported) read(q ImportRequest) error {
	m, err := importLogin(i.entry.Login, q.Domain)
	if err != nil {
		return err
	}
	i.domain = m.Domain
	i.result.Login = account.NormalizeLogin(m.String())
	if i.entry.Lang != nil {
		tag, _, _ := strings.Cut(strings.ToLower(*i.entry.Lang), "-")
		if reference.Match(tag) != tag {
			return fail(Invalid, "its language is not one of those that there are; write one of %s", languageTags())
		}
		i.entry.Lang = &tag
	}
	if i.entry.Identities, err = parseIdentities(i.entry.Identities); err != nil {
		return fail(Invalid, "an identity is not an address; write each like anna@example.org, or @example.org for a domain")
	}
	return i.readSecret(q.Scheme)
}

// importLogin reads a login that may lack its domain.
func importLogin(login, domain string) (address.Mailbox, error) {
	login = strings.TrimSpace(login)
	if !strings.Contains(login, "@") {
		if domain == "" {
			return address.Mailbox{}, fail(Invalid, "its login has no domain; give one for all such logins with --domain example.org")
		}
		login += "@" + domain
	}
	m, err := address.ParseMailbox(login)
	if err != nil {
		return m, fail(Invalid, "its login is not an address; write it like anna@example.org, or a name alone with --domain example.org")
	}
	return m, nil
}

func languageTags() string {
	var tags []string
	for _, l := range reference.Languages() {
		tags = append(tags, l.Tag)
	}
	return strings.Join(tags, ", ")
}

func (i *imported) readSecret(scheme string) error {
	switch {
	case i.entry.Password != "" && i.entry.Hash != "":
		return fail(Invalid, "it has a password and a hash; leave one of them empty")
	case i.entry.Password != "":
		i.secret = account.Foreign{Scheme: "PLAIN", Password: i.entry.Password}
	case i.entry.Hash != "":
		var err error
		if i.secret, err = account.ParseScheme(i.entry.Hash, scheme); err != nil {
			return fail(Invalid, "%v", err)
		}
	}
	i.result.Scheme, i.result.Weakness = i.secret.Scheme, i.secret.Weakness
	if i.secret.Password == "" {
		return nil
	}
	i.result.Weakness = weakness(i.secret.Password)
	return checkPassword(i.result.Login, i.secret.Password)
}

// importOne makes or changes one account, in one write.
func (s *Service) importOne(ctx context.Context, q ImportRequest, i *imported) error {
	defer s.changeAccounts()()
	a, err := s.opt.Accounts.Account(ctx, i.result.Login)
	exists := err == nil
	switch {
	case exists && !q.Replace:
		i.result.Outcome, i.result.Why = ImportSkipped, "the account exists; change it with --replace"
		return nil
	case !exists && !errors.Is(err, account.ErrNotFound):
		return trouble("look up the account "+i.result.Login, err)
	case !exists:
		a = account.Account{Login: i.result.Login, Created: now()}
	}
	if err := s.importSecret(ctx, &a, i, q.DryRun); err != nil {
		return err
	}
	if i.entry.Identities != nil {
		a.Identities = i.entry.Identities
	}
	a.Disabled = stated(i.entry.Disabled, a.Disabled)
	a.AppOnly = stated(i.entry.AppOnly, a.AppOnly)
	a.Lang = stated(i.entry.Lang, a.Lang)
	write, outcome := s.opt.Accounts.AddAccount, ImportAdded
	if exists {
		write, outcome = s.opt.Accounts.UpdateAccount, ImportReplaced
	}
	if !q.DryRun {
		err := write(ctx, a)
		switch {
		case errors.Is(err, account.ErrExists): // somebody else was faster
			i.result.Outcome, i.result.Why = ImportSkipped, "the account exists; change it with --replace"
			return nil
		case err != nil:
			return trouble("store the account "+i.result.Login, err)
		}
	}
	i.result.Outcome = outcome
	return nil
}

// stated is what an entry says, or what was before.
func stated[T any](now *T, before T) T {
	if now == nil {
		return before
	}
	return *now
}

// importSecret sets the main password, if the entry has one.
func (s *Service) importSecret(ctx context.Context, a *account.Account, i *imported, dryRun bool) error {
	if i.secret.Scheme == "" {
		return nil
	}
	if a.Backend != "" {
		return fail(Refused, "the main password of %s is kept by the backend %s, so this one would never be asked for; leave the password out", a.Login, a.Backend)
	}
	if i.secret.Password != "" {
		if dryRun {
			return nil
		}
		return s.setMain(a, i.secret.Password)
	}
	a.Hash = i.secret.Stored
	a.Keys = account.Keys{} // they prove the old password
	if i.secret.Salt == nil {
		return nil
	}
	// One salt serves all secrets of an account. App passwords that have keys made
	// with another would not work with SCRAM any more, so theirs stays, and the
	// main password is for PLAIN and LOGIN until it is set or used anew.
	if a.Salt != nil && (string(a.Salt) != string(i.secret.Salt) || a.Iterations != i.secret.Iterations) {
		apps, err := s.opt.Accounts.AppPasswords(ctx, a.Login)
		if err != nil {
			return trouble("list the app passwords of "+a.Login, err)
		}
		if slices.ContainsFunc(apps, func(p account.AppPassword) bool { return p.Keys.SHA256.Stored != nil || p.Keys.SHA1.Stored != nil }) {
			i.result.Notes = append(i.result.Notes, "its app passwords have another SCRAM salt, so the main password works with PLAIN and LOGIN until it is set anew")
			return nil
		}
	}
	a.Salt, a.Iterations, a.Keys = i.secret.Salt, i.secret.Iterations, i.secret.Keys
	return nil
}

// strangers are the domains of the entries that are not ours.
func (s *Service) strangers(ctx context.Context, entries []*imported) ([]string, error) {
	asked := make(map[string]bool)
	var list []string
	for _, i := range entries {
		name := i.domain.String()
		if asked[name] {
			continue
		}
		asked[name] = true
		ours, err := s.opt.Resolver.Ours(ctx, i.domain)
		if err != nil {
			return list, trouble(fmt.Sprintf("look up the domain %s", name), err)
		}
		if !ours {
			list = append(list, i.domain.Unicode())
		}
	}
	slices.Sort(list)
	return list, nil
}
