package backend

import (
	"crypto/tls"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/onwardmail/onward/internal/account"
	"github.com/onwardmail/onward/internal/smtptest"
)

func direct() LDAP {
	return LDAP{Servers: []string{"ldap://" + ldapAt}, DN: "uid={local},dc={domain},dc=org"}
}

func searching() LDAP {
	return LDAP{Servers: []string{"ldap://" + ldapAt}, Base: "dc=org", Filter: "(mail={login})", Subtree: true}
}

// TestBindVerdicts: what each answer to a bind comes to.
func TestBindVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		var r result
		d := newDirectory(t, n, ldapAt, func(step) result { return r })
		b, err := NewLDAP(opt, direct())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ad := func(data string) result {
			return result{code: 49, text: "80090308: LdapErr: DSID-0C09042F, comment: AcceptSecurityContext error, data " + data + ", v2580", policy: -1}
		}
		for _, tt := range []struct {
			r      result
			cause  account.Cause // "" is OK
			proved bool
			detail string // a part of it, or of the error
			err    bool
		}{
			{r: ok()},
			{r: refuse(49), cause: account.BackendRejected, detail: "Invalid Credentials"},
			{r: ad("52e"), cause: account.BackendRejected},
			{r: ad("525"), cause: account.UnknownUser},
			{r: ad("533"), cause: account.AccountDisabled, proved: true, detail: "the account is disabled (533)"},
			{r: ad("532"), cause: account.AccountDisabled, proved: true, detail: "the password has expired"},
			{r: ad("773"), cause: account.AccountDisabled, proved: true, detail: "must be changed"},
			{r: ad("775"), cause: account.AccountDisabled, detail: "locked"},
			{r: ad("80"), cause: account.BackendRejected},
			{r: result{code: 49, policy: ldap.BeheraAccountLocked}, cause: account.AccountDisabled, detail: "locked"},
			{r: result{code: 49, policy: ldap.BeheraPasswordExpired}, cause: account.AccountDisabled, detail: "expired"},
			{r: refuse(32), cause: account.UnknownUser},
			{r: refuse(48), cause: account.BackendRejected},
			{r: refuse(19), cause: account.BackendRejected},
			{r: result{code: 53, text: "Account inactivated. Contact system administrator.", policy: -1}, cause: account.AccountDisabled},
			{r: refuse(53), err: true, detail: "Unwilling To Perform"},
			{r: refuse(34), err: true},
			{r: refuse(10), err: true, detail: "referrals are not followed"},
			{r: refuse(13), err: true},
			{r: refuse(51), err: true, detail: "Busy"},
			{r: refuse(52), err: true, detail: "Unavailable"},
			{r: refuse(80), err: true},
			{r: result{hangUp: true}, err: true},
		} {
			r = tt.r
			b.breaker = breaker{}
			v, err := b.Password(t.Context(), "anna@example.org", "x", anna())
			said := v.Detail
			if err != nil {
				said = err.Error()
			}
			if (err != nil) != tt.err || v.OK != (tt.cause == "" && !tt.err) || v.Cause != tt.cause || v.Proved != tt.proved || !strings.Contains(said, tt.detail) {
				t.Errorf("%+v: %+v, %v", tt.r, v, err)
			}
		}
		if n := len(d.conns); n != 2 {
			t.Errorf("%d connections, want 2: one for all answers, and one more try after it was hung up", n)
		}
	})
}

// TestEscaping: what a stranger types stays inside its place.
func TestEscaping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		opt.Every = true
		d := newDirectory(t, n, ldapAt, func(s step) result {
			if strings.HasPrefix(s, "search") {
				return ok()
			}
			return refuse(49)
		})
		for login, want := range map[string][2]string{
			"a,uid=root@x+y": {`bind uid=a\,uid=root,dc=x\+y,dc=org x`, `(mail=a,uid=root@x+y)`},
			"*)(uid=*@x":     {`bind uid=*)(uid=*,dc=x,dc=org x`, `(mail=\2a\29\28uid=\2a@x)`},
			`#a\"<;>@x`:      {`bind uid=\#a\\\"\<\;\>,dc=x,dc=org x`, `(mail=#a\5c"<;>@x)`},
		} {
			for i, l := range []LDAP{direct(), searching()} {
				b, err := NewLDAP(opt, l)
				if err != nil {
					t.Fatal(err)
				}
				if v, err := b.Password(t.Context(), login, "x", anna()); err != nil || v.OK {
					t.Errorf("%s: %+v, %v", login, v, err)
				}
				b.Close()
				if got := d.said(); !strings.Contains(got, want[i]) {
					t.Errorf("%s: it heard %s, want %s", login, got, want[i])
				}
			}
		}
	})
}

// TestOtherLetters: a directory takes «ａnna», in wide letters, for «anna»
// (rfc4518#2.3). Whoever logs in so gets no second account: the directory is not
// asked, or it says whose the entry is.
func TestOtherLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		found := ok()
		d := newDirectory(t, n, ldapAt, func(s step) result {
			if strings.HasPrefix(s, "search") {
				return found
			}
			return ok()
		})
		named := searching()
		named.LoginAttribute = "mail"
		for _, tt := range []struct {
			l     LDAP
			entry string
			want  account.Verdict
			err   string
		}{
			{l: direct(), want: account.Verdict{Cause: account.UnknownUser}},
			{l: searching(), entry: "uid=anna,dc=org", want: account.Verdict{Cause: account.UnknownUser}},
			{l: named, entry: "uid=anna,dc=org|mail=anna@example.org", want: account.Verdict{OK: true, Login: "anna@example.org"}},
			{l: named, entry: "uid=anna,dc=org", err: "has no mail"},
		} {
			found.entries = []string{tt.entry}
			b, err := NewLDAP(opt, tt.l)
			if err != nil {
				t.Fatal(err)
			}
			v, err := b.Password(t.Context(), "ａnna@example.org", "x", anna())
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%+v: %+v, %v", tt.l, v, err)
				}
			case err != nil || v.OK != tt.want.OK || v.Cause != tt.want.Cause || v.OK && v.Login != tt.want.Login:
				t.Errorf("%+v: %+v, %v", tt.l, v, err)
			}
			if heard := d.said(); tt.l.LoginAttribute == "" && heard != "" {
				t.Errorf("%+v: it heard %s", tt.l, heard)
			}
			b.Close()
		}
	})
}

// TestSearch: one entry or none, and which connection is bound as whom.
func TestSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		found, disabled := ok(), ok()
		d := newDirectory(t, n, ldapAt, func(s step) result {
			switch {
			case strings.HasPrefix(s, "search dc=org"):
				return found
			case strings.HasPrefix(s, "search"):
				return disabled
			case s == "bind cn=service s3cret", s == "bind uid=anna,dc=org right":
				return ok()
			}
			return refuse(49)
		})
		l := searching()
		l.BindDN, l.PasswordFile, l.LoginAttribute, l.DisabledFilter = "cn=service", secretFile(t, "s3cret\n"), "mail", "(locked=TRUE)"
		b, err := NewLDAP(opt, l)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		anna_ := result{entries: []string{"uid=anna,dc=org|mail=a@example.org,Anna@example.org"}, policy: -1}
		for _, tt := range []struct {
			name     string
			password string
			found    result
			disabled result
			want     account.Verdict
			err      string
			heard    string
		}{
			{
				"right", "right", anna_, ok(),
				account.Verdict{OK: true, Login: "anna@example.org"},
				"",
				"bind cn=service s3cret; search dc=org (mail=anna@example.org); bind uid=anna,dc=org right; search uid=anna,dc=org (locked=TRUE)",
			},
			{
				"wrong", "wrong", anna_, ok(),
				account.Verdict{Cause: account.WrongPassword, Detail: "the directory answered Invalid Credentials"},
				"",
				"search dc=org (mail=anna@example.org); bind uid=anna,dc=org wrong",
			},
			{
				"unknown, with as many round trips", "wrong", ok(), ok(),
				account.Verdict{Cause: account.UnknownUser, Detail: "the directory has no entry for the login"},
				"",
				"search dc=org (mail=anna@example.org); bind cn=nobody-known-to-onward,dc=org wrong",
			},
			{
				"disabled", "right", anna_,
				result{entries: []string{"uid=anna,dc=org"}, policy: -1},
				account.Verdict{Cause: account.AccountDisabled, Proved: true, Detail: "the directory's entry is disabled (disabled_filter)"},
				"", "search dc=org (mail=anna@example.org); bind uid=anna,dc=org right; search uid=anna,dc=org (locked=TRUE)",
			},
			{
				"known by another name", "right",
				result{entries: []string{"uid=anna,dc=org|mail=bea@example.org"}, policy: -1},
				ok(),
				account.Verdict{OK: true, Login: "bea@example.org"},
				"", "",
			},
			{"two", "right", result{entries: []string{"uid=anna,dc=org", "uid=bea,dc=org"}, policy: -1}, ok(), account.Verdict{}, "several entries match the login, among them uid=anna,dc=org and uid=bea,dc=org", ""},
			{"more", "right", result{code: 4, entries: []string{"uid=anna,dc=org", "uid=bea,dc=org"}, policy: -1}, ok(), account.Verdict{}, "several entries match", ""},
			{"no name", "right", result{entries: []string{""}, policy: -1}, ok(), account.Verdict{}, "has no name", ""},
			{"no base", "right", refuse(32), ok(), account.Verdict{}, "search below dc=org", ""},
			{"elsewhere", "right", refuse(10), ok(), account.Verdict{}, "referrals are not followed", ""},
		} {
			found, disabled = tt.found, tt.disabled
			b.breaker = breaker{}
			d.said()
			v, err := b.Password(t.Context(), "anna@example.org", tt.password, anna())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%s: %+v, %v", tt.name, v, err)
				}
				continue
			}
			if tt.want.Login == "" {
				tt.want.Login = "anna@example.org"
			}
			if err != nil || v != tt.want {
				t.Errorf("%s:\ngot  %+v, %v\nwant %+v", tt.name, v, err, tt.want)
			}
			if heard := d.said(); tt.heard != "" && heard != tt.heard {
				t.Errorf("%s: it heard\n%s, want\n%s", tt.name, heard, tt.heard)
			}
		}
		if n := len(d.conns); n != 2 {
			t.Errorf("%d connections, want one to search and one to bind", n)
		}
	})
}

// TestServiceAccount: if our own password is wrong, it is nobody else's.
func TestServiceAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		newDirectory(t, n, ldapAt, func(step) result { return refuse(49) })
		l := searching()
		l.BindDN, l.PasswordFile = "cn=service", secretFile(t, "s3cret")
		b, err := NewLDAP(opt, l)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		v, err := b.Password(t.Context(), "anna@example.org", "x", anna())
		if err == nil || !strings.Contains(err.Error(), "the service account cn=service cannot bind (bind_dn, password_file)") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// TestReuse: a connection that the directory closed meanwhile is replaced unseen,
// and an old one is not used again.
func TestReuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		d := newDirectory(t, n, ldapAt, func(step) result { return ok() })
		b, err := NewLDAP(opt, direct())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for want, before := range []func(){func() {}, func() {}, d.drop, func() { time.Sleep(2 * ldapIdle) }, func() { b.Close() }, func() {}} {
			before()
			if v, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err != nil || !v.OK {
				t.Errorf("%d: %+v, %v", want, v, err)
			}
		}
		// one, one more after the drop, after the rest, and after Close each time
		if n := len(d.conns); n != 5 {
			t.Errorf("%d connections, want 5", n)
		}
	})
}

// TestSilentDirectory: a login waits for its timeout, and the connection is not
// used again.
func TestSilentDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		r := result{silent: true}
		d := newDirectory(t, n, ldapAt, func(step) result { return r })
		b, err := NewLDAP(opt, direct())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		began := time.Now()
		if _, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err == nil || !strings.Contains(err.Error(), "no answer within 5s") || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		r = ok()
		if v, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err != nil || !v.OK || len(d.conns) != 2 {
			t.Errorf("%+v, %v by %d connections", v, err, len(d.conns))
		}
	})
}

// TestReplica: the next server is asked, and first from then on.
func TestReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		l := direct()
		l.Servers = []string{"ldap://127.0.0.2:389", "ldap://127.0.0.3:389", "ldap://127.0.0.4"}
		d := newDirectory(t, n, "127.0.0.4:389", func(step) result { return ok() })
		b, err := NewLDAP(opt, l)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for range 2 {
			if v, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err != nil || !v.OK {
				t.Errorf("%+v, %v", v, err)
			}
			d.drop()
		}
		d.l.Close()
		if _, err := b.Password(t.Context(), "anna@example.org", "x", anna()); err == nil || strings.Count(err.Error(), "ldap://127.0.0.") != 3 {
			t.Errorf("the error does not name each server: %v", err)
		}
	})
}

// TestStartTLS: nothing is said before it, nor to another's certificate, nor at all
// where it is refused.
func TestStartTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, opt := world()
		server, _ := smtptest.Certificate(t, "ldap.example.org")
		opt.CAFile = pemFile(t, server)
		refused := false
		d := newDirectory(t, n, "192.0.2.5:389", func(s step) result {
			if s == "starttls" && refused {
				return refuse(2)
			}
			return ok()
		})
		d.tls = server
		for _, tt := range []struct {
			name, tlsName string
			refused       bool
			heard         string
			err           string
		}{
			{"fine", "ldap.example.org", false, "starttls; bind uid=anna,dc=example.org,dc=org x", ""},
			{"another name", "", false, "starttls", "TLS handshake failed"},
			{"refused", "ldap.example.org", true, "starttls", "STARTTLS"},
		} {
			l := direct()
			l.Servers, l.StartTLS, l.TLSName = []string{"ldap://192.0.2.5"}, true, tt.tlsName
			refused = tt.refused
			b, err := NewLDAP(opt, l)
			if err != nil {
				t.Fatal(err)
			}
			v, err := b.Password(t.Context(), "anna@example.org", "x", anna())
			if tt.err == "" && (err != nil || !v.OK) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%s: %+v, %v", tt.name, v, err)
			}
			b.Close()
			if heard := d.said(); heard != tt.heard {
				t.Errorf("%s: it heard %s, want %s", tt.name, heard, tt.heard)
			}
		}
	})
}

func TestLDAPMistakes(t *testing.T) {
	_, opt := world()
	for key, l := range map[string]LDAP{
		"servers":         {Servers: []string{"ldap://192.0.2.5"}, DN: "uid={login}"},
		"filter":          {Servers: []string{"ldap://127.0.0.1"}, Base: "dc=org", Filter: "(mail={login}"},
		"disabled_filter": {Servers: []string{"ldap://127.0.0.1"}, Base: "dc=org", Filter: "(mail={login})", DisabledFilter: "x"},
		"password_file":   {Servers: []string{"ldaps://192.0.2.5"}, Base: "dc=org", Filter: "(mail={login})", BindDN: "cn=x", PasswordFile: "/nowhere"},
	} {
		_, err := NewLDAP(opt, l)
		if m, ok := err.(*Mistake); !ok || m.Key != key {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for _, url := range []string{"ldapi:///run/slapd/ldapi", "ldapi://%2frun%2fldapi"} {
		if u, err := ldapURL(url, false); err != nil || !strings.HasPrefix(u.Path, "/run/") {
			t.Errorf("%s: %v, %v", url, u, err)
		}
	}
}

// pemFile writes a server's certificate for ca_file.
func pemFile(t *testing.T, server *tls.Config) string {
	t.Helper()
	return secretFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]})))
}
