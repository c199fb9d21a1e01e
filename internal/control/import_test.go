package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/account/roster"
	"github.com/onwardmail/onward/internal/control"
	"github.com/onwardmail/onward/internal/store"
)

const (
	sha512Geheim = "{SHA512-CRYPT}$6$znMPxSv3nJ/iSrPs$mOl4TUeAkEMFBwJZXfJ5aqeozLuWFKEn00D12a6AUCHZU.xM7PVyZmfkRebFSKWnI39kQJvjKaUVMdk/6ih1t."
	shaGeheim    = "{SHA}kGByAB793z4R5tK1eC9Hd/4Dhzk="
	scramPencil  = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)

// accountOf reads an account of a site, beside its service.
func accountOf(t *testing.T, s *site, login string) account.Account {
	t.Helper()
	d, err := store.OpenDirectory(s.dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, err := d.Account(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// importing imports a file and returns the summary and the lines as text.
func importing(t *testing.T, c *control.Conn, file string, o control.ImportOptions) (control.ImportSummary, string) {
	t.Helper()
	var b strings.Builder
	o.Line = func(l control.ImportLine) { fmt.Fprintf(&b, "%d %s %s %s\n", l.Line, l.Login, l.Outcome, l.Why) }
	if o.Format == "" {
		o.Format = roster.Auto
	}
	s, err := control.Import(t.Context(), c, strings.NewReader(file), o)
	if err != nil {
		t.Fatal(err)
	}
	return s, b.String()
}

const importCSV = `login,password,hash,identities,disabled,app_only,lang
anna@example.org,correct horse battery,,@example.org,,,de
Bea,,` + sha512Geheim + `,,yes,yes,
carl,,` + shaGeheim + `,,,,
dora,,"` + scramPencil + `",,,,
bea@Example.org,short,,,,,
emil,emil,,,,,
fritz,,i7e3Lkx4X/v9c,,,,
gerd,,,not an address,,,
heidi,,,,,,klingon
ida,tiny,,,,,EN
two@at@signs,,,,,,
`

// A file over the socket and here: the same outcome of each line, and the
// accounts are what the file says.
func TestImport(t *testing.T) {
	const want = `2 anna@example.org added 
3 bea@example.org added 
4 carl@example.org added 
5 dora@example.org added 
6 bea@example.org refused bea@example.org is in line 3 already; leave only one of them
7 emil@example.org refused the password is the name of the account; choose another
8 fritz@example.org refused it is a DES crypt hash, in which only the first 8 characters of the password count, and which is guessed in hours; add the account without a password and set a new one: onward account add LOGIN, then onward account passwd LOGIN
9 gerd@example.org refused an identity is not an address; write each like anna@example.org, or @example.org for a domain
10 heidi@example.org refused its language is not one of those that there are; write one of en, de, es, fr, ja
11 ida@example.org added 
12  refused its login is not an address; write it like anna@example.org, or a name alone with --domain example.org
`
	for name, remote := range map[string]bool{"socket": true, "local": false} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir())
			c := control.Local(s.service)
			if remote {
				c = s.serve(t)
			}
			dry, lines := importing(t, c, importCSV, control.ImportOptions{Domain: "example.org", DryRun: true})
			if lines != want {
				t.Errorf("dry run:\n%s\nwant:\n%s", lines, want)
			}
			if list, err := control.ListAccounts.Call(t.Context(), c, control.Nothing{}); err != nil || len(list) != 0 {
				t.Fatalf("a dry run made accounts: %v, %v", list, err)
			}
			sum, lines := importing(t, c, importCSV, control.ImportOptions{Domain: "example.org"})
			if lines != want {
				t.Errorf("import:\n%s\nwant:\n%s", lines, want)
			}
			if dry.DryRun = false; fmt.Sprint(dry) != fmt.Sprint(sum) {
				t.Errorf("the dry run promised %v and it was %v", dry, sum)
			}
			if got, want := fmt.Sprint(sum), "{csv false 12 5 0 0 6 0 map[PLAIN:2 SCRAM-SHA-256:1 SHA:1 SHA512-CRYPT:1] "+
				"[{SHA without a salt: one table of guesses breaks all of them at once 1 [carl@example.org]} {PLAIN short, or of few different characters 1 [ida@example.org]}] "+
				"map[] [example.org]}"; got != want {
				t.Errorf("the summary is\n%s, want\n%s", got, want)
			}
			checkImported(t, s)
		})
	}
}

// checkImported looks at the accounts of importCSV.
func checkImported(t *testing.T, s *site) {
	t.Helper()
	for login, password := range map[string]string{
		"anna@example.org": "correct horse battery", "bea@example.org": "geheim", "carl@example.org": "geheim", "dora@example.org": "pencil", "ida@example.org": "tiny",
	} {
		a := accountOf(t, s, login)
		if ok, err := account.Matches(password, a.Hash); !ok || err != nil {
			t.Errorf("%s cannot log in: %v, %v", login, ok, err)
		}
		if strings.Contains(a.Hash, password) {
			t.Errorf("%s is stored in clear", login)
		}
	}
	if a := accountOf(t, s, "anna@example.org"); !slices.Equal(a.Identities, []string{"@example.org"}) || a.Lang != "de" || a.Disabled || a.AppOnly {
		t.Errorf("anna is %+v", a)
	}
	if a := accountOf(t, s, "bea@example.org"); !a.Disabled || !a.AppOnly || a.Hash != strings.TrimPrefix(sha512Geheim, "{SHA512-CRYPT}") {
		t.Errorf("bea is %+v", a)
	}
	if a := accountOf(t, s, "dora@example.org"); a.Iterations != 4096 || len(a.Salt) != 16 || len(a.Keys.SHA256.Stored) != 32 || len(a.Keys.SHA256.Server) != 32 || a.Keys.SHA1.Stored != nil {
		t.Errorf("dora's keys are not imported: %d, %x", a.Iterations, a.Salt)
	}
	if a := accountOf(t, s, "ida@example.org"); a.Lang != "en" {
		t.Errorf("ida's language is %q", a.Lang)
	}
}

// What exists is left alone, or replaced where the file says something.
func TestImportExisting(t *testing.T) {
	s := newSite(t, t.TempDir())
	c := control.Local(s.service)
	importing(t, c, importCSV, control.ImportOptions{Domain: "example.org"})
	const file = "anna@example.org:" + shaGeheim + "\nbea@example.org::::::::nologin=no\ndora@example.org:" + shaGeheim + "\nnew@example.org:" + shaGeheim + "::::::quota_rule=x\n"
	sum, lines := importing(t, c, file, control.ImportOptions{})
	if sum.Added != 1 || sum.Skipped != 3 || sum.Ignored["quota_rule"] != 1 {
		t.Errorf("%+v\n%s", sum, lines)
	}
	if a := accountOf(t, s, "anna@example.org"); !strings.HasPrefix(a.Hash, "$argon2id$") {
		t.Error("an account was changed without --replace")
	}
	before := accountOf(t, s, "anna@example.org")
	sum, lines = importing(t, c, file, control.ImportOptions{Replace: true})
	if sum.Replaced != 4 || sum.Skipped != 0 {
		t.Errorf("%+v\n%s", sum, lines)
	}
	a := accountOf(t, s, "anna@example.org")
	if a.Hash != shaGeheim || !slices.Equal(a.Identities, before.Identities) || !a.Created.Equal(before.Created) || a.Lang != "de" {
		t.Errorf("anna is %+v", a)
	}
	if b := accountOf(t, s, "bea@example.org"); !b.Disabled || b.Hash == "" {
		t.Errorf("bea, of whom the file says nothing, is %+v", b)
	}
	if d := accountOf(t, s, "dora@example.org"); d.Keys.SHA256.Stored != nil || d.Salt == nil {
		t.Errorf("dora's old password works with SCRAM, or her salt is gone: %+v", d)
	}
}

// A new SCRAM salt does not break the app passwords that have keys with the old.
func TestImportKeepsSalt(t *testing.T) {
	s := newSite(t, t.TempDir())
	d, err := store.OpenDirectory(s.dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	salt := []byte("0123456789abcdef")
	for _, login := range []string{"anna@example.org", "bea@example.org"} {
		if err := d.AddAccount(t.Context(), account.Account{Login: login, Created: time.Unix(1, 0), Salt: salt, Iterations: 9}); err != nil {
			t.Fatal(err)
		}
	}
	key := account.Key{Stored: make([]byte, 32), Server: make([]byte, 32)}
	if err := d.AddAppPassword(t.Context(), account.AppPassword{ID: "abcdefgh", Login: "anna@example.org", Name: "phone", Created: time.Unix(1, 0), Keys: account.Keys{SHA256: key}}); err != nil {
		t.Fatal(err)
	}
	notes := make(map[string]int)
	_, err = control.Import(t.Context(), control.Local(s.service), strings.NewReader("anna@example.org:"+scramPencil+"\nbea@example.org:"+scramPencil+"\n"),
		control.ImportOptions{Format: roster.PasswdFile, Replace: true, Line: func(l control.ImportLine) { notes[l.Login] = len(l.Notes) }})
	if err != nil || notes["anna@example.org"] != 1 || notes["bea@example.org"] != 0 {
		t.Errorf("notes %v, %v", notes, err)
	}
	a, b := accountOf(t, s, "anna@example.org"), accountOf(t, s, "bea@example.org")
	if string(a.Salt) != string(salt) || a.Iterations != 9 || a.Keys.SHA256.Stored != nil || a.Hash != scramPencil {
		t.Errorf("anna's salt is %x, %d iterations", a.Salt, a.Iterations)
	}
	if string(b.Salt) == string(salt) || b.Iterations != 4096 || b.Keys.SHA256.Stored == nil {
		t.Errorf("bea's salt is %x, %d iterations", b.Salt, b.Iterations)
	}
}

// Requests that break a rule as a whole, and files that cannot be read.
func TestImportRefused(t *testing.T) {
	c := newSite(t, t.TempDir()).serve(t)
	many := func(n int, e roster.Entry) (list []roster.Entry) {
		for i := range n {
			e.Line, e.Login = i+1, fmt.Sprintf("u%d@example.org", i)
			list = append(list, e)
		}
		return list
	}
	for _, q := range []control.ImportRequest{
		{Entries: many(control.MaxImported+1, roster.Entry{})},
		{Entries: many(control.MaxImportedClear+1, roster.Entry{Password: "correct horse"})},
		{Domain: "a..b"},
		{Scheme: "rot13"},
	} {
		if _, err := control.ImportAccounts.Call(t.Context(), c, q); control.KindOf(err) != control.Invalid {
			t.Errorf("%d entries: %v", len(q.Entries), err)
		}
	}
	for _, file := range []string{"Geheimnis\n", "anna,Geheimnis\n"} {
		_, err := control.Import(t.Context(), c, strings.NewReader(file), control.ImportOptions{Format: roster.Auto})
		if control.KindOf(err) != control.Invalid || strings.Contains(err.Error(), "Geheim") {
			t.Errorf("%q: %v", file, err)
		}
	}
	if _, err := control.Import(t.Context(), c, strings.NewReader(""), control.ImportOptions{Domain: "a..b"}); control.KindOf(err) != control.Invalid {
		t.Errorf("a bad domain: %v", err)
	}
}

// failing is a directory whose n-th write fails, and all after it.
type failing struct {
	account.Directory
	left atomic.Int64
}

func (f *failing) AddAccount(ctx context.Context, a account.Account) error {
	if f.left.Add(-1) < 0 {
		return errors.New("the disk is full")
	}
	return f.Directory.AddAccount(ctx, a)
}

// When the store fails in the middle the import ends, says what is done, and
// running it again does the rest.
func TestImportStops(t *testing.T) {
	const all, works = 1200, 700
	var file strings.Builder
	for i := range all {
		fmt.Fprintf(&file, "u%d:%s\n", i, shaGeheim)
	}
	s := newSite(t, t.TempDir())
	d, err := store.OpenDirectory(s.dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	f := &failing{Directory: d}
	f.left.Store(works)
	c := control.Local(s.with(func(o *control.Options) { o.Accounts = f }))
	o := control.ImportOptions{Format: roster.Auto, Domain: "example.org"}
	sum, err := control.Import(t.Context(), c, strings.NewReader(file.String()), o)
	if control.KindOf(err) != control.Failed || !strings.Contains(err.Error(), "after 700 accounts") || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%v", err)
	}
	if sum.Added != works || sum.Failed != 2*control.MaxImported-works || sum.Refused != 0 {
		t.Errorf("%+v", sum)
	}
	f.left.Store(all)
	if sum, err = control.Import(t.Context(), c, strings.NewReader(file.String()), o); err != nil || sum.Added != all-works || sum.Skipped != works {
		t.Errorf("again: %+v, %v", sum, err)
	}
}

// BenchmarkImport is 1,000 lines a round, over the socket's operation.
func BenchmarkImport(b *testing.B) {
	var file strings.Builder
	round := 0
	s := newSite(b, b.TempDir())
	for b.Loop() {
		file.Reset()
		for i := range 1000 {
			fmt.Fprintf(&file, "u%d-%d:%s\n", round, i, sha512Geheim)
		}
		round++
		sum, err := control.Import(b.Context(), control.Local(s.service), strings.NewReader(file.String()), control.ImportOptions{Format: roster.Auto, Domain: "example.org"})
		if err != nil || sum.Added != 1000 {
			b.Fatal(sum, err)
		}
	}
}
