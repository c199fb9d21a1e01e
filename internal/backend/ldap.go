package backend

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/onwardmail/onward/internal/account"
)

// LDAP is a directory that is asked by binding to it as the user (rfc4513#5.1.3).
// Who that is follows from the login by DN; without DN the entry is searched for.
type LDAP struct {
	// Servers are URLs: ldap, ldaps or ldapi. The one that answered last is asked
	// first.
	Servers []string
	// StartTLS is for ldap URLs (rfc4511#4.14). Without it they must be on loopback.
	StartTLS bool
	// TLSName is what the certificate must be for, if not the host of the URL.
	TLSName string

	// DN is the entry of a login, such as "uid={local},ou=people,dc=example,dc=org".
	DN string

	// Base, Filter and Subtree say where an entry is searched for, and by what, such
	// as "(mail={login})".
	Base    string
	Filter  string
	Subtree bool
	// BindDN and PasswordFile are the service account that searches; both "" is
	// anonymous.
	BindDN       string
	PasswordFile string
	// LoginAttribute has the login that the entry is for; "": the one that was given,
	// which is ASCII then, because a directory takes «ａnna» for «anna» (rfc4518#2.3).
	LoginAttribute string
	// DisabledFilter is true of entries that may not log in; it is looked at after
	// the password was right.
	DisabledFilter string
}

// NewLDAP returns a backend. It does not connect. The error is a Mistake.
func NewLDAP(opt Options, l LDAP) (*Backend, error) {
	d := &directory{opt: l}
	tls, err := clientTLS(opt.CAFile, l.TLSName)
	if err != nil {
		return nil, err
	}
	var servers []*url.URL
	for _, s := range l.Servers {
		u, err := ldapURL(s, l.StartTLS)
		if err != nil {
			return nil, &Mistake{"servers", err}
		}
		servers = append(servers, u)
	}
	d.users = &ldapPool{
		dial: &ldapDialer{servers: servers, startTLS: l.StartTLS, tls: tls, dial: opt.dialer()},
		keep: opt.Connections,
	}
	if l.DN != "" {
		return newBackend(opt, d), nil
	}
	for key, f := range map[string]string{"filter": l.Filter, "disabled_filter": l.DisabledFilter} {
		if f == "" {
			continue
		}
		if _, err := ldap.CompileFilter(expand(f, "a@example.org", ldap.EscapeFilter)); err != nil {
			return nil, &Mistake{key, fmt.Errorf("%q is not a filter (rfc4515#3): %w", f, err)}
		}
	}
	searcher := &ldapDialer{servers: servers, startTLS: l.StartTLS, tls: tls, dial: opt.dialer(), bindDN: l.BindDN}
	if l.PasswordFile != "" {
		if searcher.password, err = readSecret("password_file", l.PasswordFile); err != nil {
			return nil, err
		}
	}
	d.searchers = &ldapPool{dial: searcher, keep: opt.Connections}
	return newBackend(opt, d), nil
}

// ldapURL reads the address of a server.
func ldapURL(s string, startTLS bool) (*url.URL, error) {
	if path, ok := strings.CutPrefix(s, "ldapi://"); ok {
		path, err := url.PathUnescape(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("%q names no socket", s)
		}
		return &url.URL{Scheme: "ldapi", Path: path}, nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "":
		return nil, fmt.Errorf("%q is not the URL of a directory", s)
	case u.Scheme == "ldap" && !startTLS && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s: %w", s, errClear)
	}
	return u, nil
}

// expand puts a login into a template, each part escaped for where it stands.
func expand(template, login string, escape func(string) string) string {
	local, domain := split(login)
	return strings.NewReplacer("{login}", escape(login), "{local}", escape(local), "{domain}", escape(domain)).Replace(template)
}

// directory is the source of LDAP.
type directory struct {
	opt LDAP
	// users are connections to bind as users on, searchers those of the service
	// account; a connection is what it last bound as.
	users, searchers *ldapPool
}

func (d *directory) close() {
	d.users.close()
	if d.searchers != nil {
		d.searchers.close()
	}
}

// nobody is an entry that does not exist: to bind as it takes an unknown login
// as many round trips as a wrong password.
const nobody = "cn=nobody-known-to-onward"

func (d *directory) password(ctx context.Context, login, password string, _ account.Client) (account.Verdict, error) {
	if d.opt.LoginAttribute == "" && !ascii(login) {
		return account.Verdict{Cause: account.UnknownUser, Detail: "the login is not ASCII, so that the directory may take it for another; " +
			"it was not asked; give base, filter and login_attribute"}, nil
	}
	if d.opt.DN != "" {
		v, err := d.bind(ctx, expand(d.opt.DN, login, ldap.EscapeDN), password)
		if v.Cause == account.WrongPassword { // which a directory says of entries that do not exist, too (rfc4511#A.2)
			v.Cause = account.BackendRejected
		}
		return v, err
	}
	e, err := d.find(ctx, login)
	if err != nil {
		return account.Verdict{}, err
	}
	if e == nil {
		_, err := d.bind(ctx, nobody+","+d.opt.Base, password)
		return account.Verdict{Cause: account.UnknownUser, Detail: "the directory has no entry for the login"}, err
	}
	v, err := d.bind(ctx, e.DN, password)
	if err != nil || !v.OK {
		return v, err
	}
	if v.Login = d.loginOf(e, login); v.Login == "" && !ascii(login) {
		return account.Verdict{}, cannotTell("the entry %s has no %s, so that it is not known whose the login %s is", e.DN, d.opt.LoginAttribute, printable(login))
	}
	if d.opt.DisabledFilter == "" {
		return v, nil
	}
	found, err := d.search(ctx, e.DN, ldap.ScopeBaseObject, d.opt.DisabledFilter)
	if err != nil || len(found) == 0 {
		return v, err
	}
	return account.Verdict{Cause: account.AccountDisabled, Proved: true, Detail: "the directory's entry is disabled (disabled_filter)"}, nil
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// loginOf is the login that an entry is for: the one that was given, if the
// attribute has it among others.
func (d *directory) loginOf(e *ldap.Entry, given string) string {
	if d.opt.LoginAttribute == "" {
		return ""
	}
	values := e.GetEqualFoldAttributeValues(d.opt.LoginAttribute)
	for _, v := range values {
		if account.NormalizeLogin(v) == given {
			return given
		}
	}
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// find looks for the entry of a login; nil: there is none.
func (d *directory) find(ctx context.Context, login string) (*ldap.Entry, error) {
	scope := ldap.ScopeSingleLevel
	if d.opt.Subtree {
		scope = ldap.ScopeWholeSubtree
	}
	found, err := d.search(ctx, d.opt.Base, scope, expand(d.opt.Filter, login, ldap.EscapeFilter))
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, nil
	case len(found) > 1:
		return nil, cannotTell("several entries match the login, among them %s and %s; make the filter say which", found[0].DN, found[1].DN)
	case found[0].DN == "":
		return nil, cannotTell("the entry has no name, so that nobody could bind as it; look at base and filter")
	}
	return found[0], nil
}

// search returns at most two entries: more than one is one too many. References
// to other servers are not followed (rfc4511#4.5.3): our passwords are not theirs.
func (d *directory) search(ctx context.Context, base string, scope int, filter string) ([]*ldap.Entry, error) {
	attributes := []string{"1.1"} // none (rfc4511#4.5.1.8)
	if d.opt.LoginAttribute != "" {
		attributes = []string{d.opt.LoginAttribute}
	}
	q := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, 0, false, filter, attributes, nil)
	var res *ldap.SearchResult
	err := d.searchers.use(ctx, func(c *ldap.Conn) (err error) {
		res, err = c.Search(q)
		return err
	})
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) && res != nil && len(res.Entries) > 1:
		return res.Entries, nil
	case err != nil:
		return nil, ldapTrouble(fmt.Errorf("search below %s: %w", base, err))
	}
	return res.Entries, nil
}

// bind asks whether the password is that of an entry. Without a name it would ask
// nothing (rfc4513#5.1.1), nor without a password (rfc4513#5.1.2).
func (d *directory) bind(ctx context.Context, dn, password string) (account.Verdict, error) {
	if dn == "" || password == "" {
		return account.Verdict{}, cannotTell("a bind without name or password proves nothing")
	}
	policy := ldap.NewControlBeheraPasswordPolicy()
	q := ldap.NewSimpleBindRequest(dn, password, []ldap.Control{policy})
	var res *ldap.SimpleBindResult
	err := d.users.use(ctx, func(c *ldap.Conn) (err error) {
		res, err = c.SimpleBind(q)
		return err
	})
	if err == nil {
		return account.Verdict{OK: true}, nil
	}
	var e *ldap.Error
	if !errors.As(err, &e) {
		return account.Verdict{}, err
	}
	v, ok := bindVerdict(e)
	if !ok {
		return account.Verdict{}, ldapTrouble(fmt.Errorf("bind as %s: %w", dn, err))
	}
	if res != nil {
		policyVerdict(res.Controls, &v)
	}
	return v, nil
}

// activeDirectory finds the code by which Active Directory tells more than
// «invalid credentials».
var activeDirectory = regexp.MustCompile(`AcceptSecurityContext error, data ([0-9a-f]+)`)

// bindVerdict reads the answer to a bind; ok is false if it is none. Only what
// the directory says after it has seen the right password is proved.
func bindVerdict(e *ldap.Error) (v account.Verdict, ok bool) {
	said := "the directory answered " + ldap.LDAPResultCodeMap[e.ResultCode]
	if text := e.Err.Error(); text != "" {
		said += ": " + text
	}
	wrong := account.Verdict{Cause: account.WrongPassword, Detail: said}
	switch e.ResultCode {
	case ldap.LDAPResultInvalidCredentials:
		if m := activeDirectory.FindStringSubmatch(said); m != nil {
			return activeVerdict(m[1], wrong), true
		}
		return wrong, true
	case ldap.LDAPResultNoSuchObject:
		return account.Verdict{Cause: account.UnknownUser, Detail: said}, true
	case ldap.LDAPResultInappropriateAuthentication: // the entry has no password
		return wrong, true
	case ldap.LDAPResultConstraintViolation: // 389 Directory Server: too many tries
		return wrong, true
	case ldap.LDAPResultUnwillingToPerform: // 389 Directory Server, whatever the password
		if strings.Contains(strings.ToLower(said), "inactivated") {
			return account.Verdict{Cause: account.AccountDisabled, Detail: said}, true
		}
	}
	return account.Verdict{}, false
}

// activeVerdict reads the codes of Active Directory. It gives all but 525, 52e and
// 775 only to those who know the password.
func activeVerdict(code string, wrong account.Verdict) account.Verdict {
	disabled := func(why string, proved bool) account.Verdict {
		return account.Verdict{Cause: account.AccountDisabled, Proved: proved, Detail: "the directory says that " + why + " (" + code + ")"}
	}
	switch code {
	case "525":
		return account.Verdict{Cause: account.UnknownUser, Detail: wrong.Detail}
	case "530":
		return disabled("the account may not log in at this time", true)
	case "531":
		return disabled("the account may not log in from here", true)
	case "532":
		return disabled("the password has expired", true)
	case "533":
		return disabled("the account is disabled", true)
	case "701":
		return disabled("the account has expired", true)
	case "773":
		return disabled("the password must be changed first", true)
	case "775":
		return disabled("the account is locked", false)
	}
	return wrong
}

// policyVerdict reads the control of password policies (draft-behera-ldap-password-policy),
// which may come before the password was looked at.
func policyVerdict(controls []ldap.Control, v *account.Verdict) {
	c, ok := ldap.FindControl(controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	if !ok {
		return
	}
	switch c.Error {
	case ldap.BeheraPasswordExpired:
		*v = account.Verdict{Cause: account.AccountDisabled, Detail: "the directory says that the password has expired"}
	case ldap.BeheraAccountLocked:
		*v = account.Verdict{Cause: account.AccountDisabled, Detail: "the directory says that the account is locked"}
	}
}

// ldapTrouble tells a directory that answered, and could not help, from one that
// could not be asked.
func ldapTrouble(err error) error {
	var e *ldap.Error
	if !errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork {
		return err
	}
	switch e.ResultCode {
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultOperationsError:
		return err
	case ldap.LDAPResultReferral:
		return cannotTell("%w; it refers to another server, and referrals are not followed", err)
	}
	return undecided{err}
}
