package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/onwardmail/onward/internal/address"
)

// backendSection is the section whose keys are names of backends.
const backendSection = "login.backends"

// backendSpec is a key of a backend and where its value goes.
type backendSpec struct {
	name      string
	kinds     []string // that have it; empty: all
	byDefault string   // TOML, or words in parentheses
	Key
	set func(b *Backend, v any) error
}

// in reports whether a kind of backend has the key.
func (s *backendSpec) in(kind string) bool {
	return len(s.kinds) == 0 || slices.Contains(s.kinds, kind)
}

// must reports whether the key has to be given.
func (s *backendSpec) must() bool { return s.byDefault == mustBeGiven }

const mustBeGiven = "(must be given)"

// backendKey makes a backendSpec.
func backendKey[T any](name, kinds, byDefault string, r reader[T], field func(*Backend) *T, doc string) backendSpec {
	s := backendSpec{name: name, kinds: strings.Fields(kinds), byDefault: byDefault}
	s.Key = Key{Name: backendSection + ".NAME." + name, Type: r.kind, Allowed: r.allowed, Reload: reload, Doc: doc}
	s.Default = strings.TrimSuffix(strings.TrimPrefix(byDefault, "("), ")")
	if kinds != "" {
		s.Doc = strings.Join(s.kinds, ", ") + ": " + doc
	}
	s.set = func(b *Backend, v any) error {
		value, err := r.read(v)
		if err == nil {
			*field(b) = value
		}
		return err
	}
	return s
}

// backendKeys describes the section for people.
func backendKeys() []Key {
	keys := []Key{{
		backendSection + ".NAME", "table", "none", "a name of letters, digits, `-` and `_`, and a table with the keys below", reload,
		"Where passwords or tokens are checked for the logins of some domains, instead of here.",
	}}
	for _, s := range backendSpecs() {
		keys = append(keys, s.Key)
	}
	return keys
}

// maxBackendDomains is how many domains a backend may serve by name.
const maxBackendDomains = 10_000

// backendSpecs is the table of all keys of backends.
func backendSpecs() []backendSpec {
	return slices.Concat([]backendSpec{
		backendKey("kind", "", mustBeGiven, word(BackendLDAP, BackendOIDC, BackendDovecot, BackendHTTP),
			func(b *Backend) *string { return &b.Kind },
			"What it speaks; most keys are for some kinds only, which stand before their meaning."),
		backendKey("domains", "", mustBeGiven, list(backendDomain(), "list of domains", `domains, or ["*"] for all that no other backend serves by name`, 1, maxBackendDomains),
			func(b *Backend) *[]string { return &b.Domains },
			"Whose logins it knows. It vouches for no others."),
		backendKey("timeout", "", `"5s"`, duration("100ms", "1m"),
			func(b *Backend) *time.Duration { return &b.Timeout },
			"How long it may take over one login; after that the client hears 454. Dovecot delays failures by 2s."),
		backendKey("connections", "", "(20; dovecot 500, which share one connection)", count(1, 10000),
			func(b *Backend) *int { return &b.Connections },
			"How many logins it is asked about at one time; others wait for a second, then they hear 454. LDAP takes up to twice as many connections."),
		backendKey("ca_file", "", "(the authorities of the system)", path(),
			func(b *Backend) *string { return &b.CAFile },
			"A PEM file with the authorities that its certificate is held against."),
		backendKey("tls_name", "ldap dovecot", "(the host that is connected to)", hostname(),
			func(b *Backend) *string { return &b.TLSName },
			"The name that its certificate must be for."),
	}, ldapSpecs(), oidcSpecs(), otherBackendSpecs())
}

func ldapSpecs() []backendSpec {
	const placeholders = "; `{login}`, `{local}` and `{domain}` stand for the login and what is before and after its @"
	return []backendSpec{
		backendKey("servers", "ldap", mustBeGiven, list(ldapServer(), "list of addresses", ldapServer().allowed, 1, 10),
			func(b *Backend) *[]string { return &b.Servers },
			"The directory and its replicas; the one that answered last is asked first."),
		backendKey("starttls", "ldap", "true", boolean(),
			func(b *Backend) *bool { return &b.StartTLS },
			"Whether `ldap://` changes to TLS before anything is said; without it only on loopback."),
		backendKey("dn", "ldap", "(by search)", template("a DN", placeholders),
			func(b *Backend) *string { return &b.DN },
			"The entry to bind as, such as `\"uid={local},ou=people,dc=example,dc=org\"`. Give this, or `base` and `filter`."),
		backendKey("base", "ldap", "(none)", oneLine("DN", "a DN"),
			func(b *Backend) *string { return &b.Base },
			"Below which entry a login is searched for, to bind as what is found."),
		backendKey("filter", "ldap", "(none)", template("a filter", placeholders),
			func(b *Backend) *string { return &b.Filter },
			"What is searched for, such as `\"(&(objectClass=person)(mail={login}))\"`; it must find one entry or none."),
		backendKey("depth", "ldap", `"subtree"`, word(DepthSubtree, DepthOne),
			func(b *Backend) *string { return &b.Depth },
			"Whether to search in all that is below `base`, or one level."),
		backendKey("bind_dn", "ldap", "(anonymous)", oneLine("DN", "a DN; needs `password_file`"),
			func(b *Backend) *string { return &b.BindDN },
			"The service account that searches."),
		backendKey("password_file", "ldap http", "(none)", path(),
			func(b *Backend) *string { return &b.PasswordFile },
			"A file whose first line is the password of `bind_dn` or `username`."),
		backendKey("login_attribute", "ldap", "(the login that was given)", oneLine("text", "the name of an attribute"),
			func(b *Backend) *string { return &b.LoginAttribute },
			"The attribute whose value is the login, where the filter finds people by other names, too."),
		backendKey("disabled_filter", "ldap", "(none)", oneLine("text", "a filter"),
			func(b *Backend) *string { return &b.DisabledFilter },
			"Which entries may not log in, such as `\"(nsAccountLock=TRUE)\"`; looked at after the password was right. Active Directory and password policies are understood without it."),
	}
}

func oidcSpecs() []backendSpec {
	return []backendSpec{
		backendKey("issuer", "oidc", mustBeGiven, serviceURL(),
			func(b *Backend) *string { return &b.Issuer },
			"The issuer of the tokens, exactly as their `iss` has it; its configuration is read at `/.well-known/openid-configuration` below."),
		backendKey("audience", "oidc", mustBeGiven, list(oneLine("text", "names"), "list of names", "names that tokens may be for", 1, 100),
			func(b *Backend) *[]string { return &b.Audience },
			"What we are called there; a token must be for one of these (`aud`), or anybody's token for anything would log in."),
		backendKey("scope", "oidc", "(none)", oneWord(),
			func(b *Backend) *string { return &b.Scope },
			"The scope that a token must have; clients without a good token are told of it."),
		backendKey("claim", "oidc", `"email"`, oneLine("text", "the name of a claim: email, preferred_username, username, sub or another"),
			func(b *Backend) *string { return &b.Claim },
			"The claim that is the login. An `email` that the issuer calls unverified is refused."),
		backendKey("login_domain", "oidc", "(none)", hostname(),
			func(b *Backend) *string { return &b.LoginDomain },
			"The domain of logins whose claim has none, such as `preferred_username`."),
		backendKey("leeway", "oidc", `"30s"`, duration("0s", "5m"),
			func(b *Backend) *time.Duration { return &b.Leeway },
			"How far the issuer's clock and ours may be apart."),
		backendKey("introspection", "oidc", `"never"`, word(IntrospectNever, IntrospectOpaque, IntrospectAlways),
			func(b *Backend) *string { return &b.Introspection },
			"About which tokens the issuer is asked (RFC 7662): none, because they are JWTs that speak for themselves; those that are no JWT; or all, so that a revoked one is noticed at once."),
		backendKey("introspection_url", "oidc", "(what the issuer's configuration says)", serviceURL(),
			func(b *Backend) *string { return &b.IntrospectionURL },
			"Where it is asked."),
		backendKey("client_id", "oidc", "(none)", oneLine("text", "any text; needs `client_secret_file`"),
			func(b *Backend) *string { return &b.ClientID },
			"Who asks: our client there."),
		backendKey("client_secret_file", "oidc", "(none)", path(),
			func(b *Backend) *string { return &b.ClientSecretFile },
			"A file whose first line is the secret of `client_id`."),
	}
}

func otherBackendSpecs() []backendSpec {
	return []backendSpec{
		backendKey("address", "dovecot", mustBeGiven, dovecotAddress(),
			func(b *Backend) *string { return &b.Address },
			"Dovecot's authentication socket, such as `/run/dovecot/auth-client`. Beyond this machine TLS is spoken, which Dovecot leaves to a proxy."),
		backendKey("service", "dovecot", `"smtp"`, oneWord(),
			func(b *Backend) *string { return &b.Service },
			"What Dovecot is told that the login is for (`%s` there)."),
		backendKey("url", "http", mustBeGiven, serviceURL(),
			func(b *Backend) *string { return &b.URL },
			"Where `{\"login\", \"password\", \"remote\", \"service\"}` is posted."),
		backendKey("token_file", "http", "(none)", path(),
			func(b *Backend) *string { return &b.TokenFile },
			"A file whose first line is the bearer token by which the service knows us. Give this, or `username` and `password_file`."),
		backendKey("username", "http", "(none)", oneLine("text", "any text; needs `password_file`"),
			func(b *Backend) *string { return &b.Username },
			"Our name there, by Basic."),
	}
}

// defaultConnections is how many logins a kind of backend is asked about at one time.
func defaultConnections(kind string) int {
	if kind == BackendDovecot {
		return 500
	}
	return 20
}

// backends reads the section of backends.
func (l *loader) backends(login map[string]any) {
	v, given := login["backends"]
	if !given {
		return
	}
	table, ok := v.(map[string]any)
	if !ok {
		l.fail([]string{"login", "backends"}, "%s is no table of backends; write [login.backends.NAME] on a line of its own and its keys below", describe(v))
		return
	}
	for _, name := range sortedNames(table) {
		at := []string{"login", "backends", name}
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(name) {
			l.fail(at, "%q is not a name for a backend; allowed: up to 64 letters, digits, - and _", name)
			continue
		}
		keys, ok := table[name].(map[string]any)
		if !ok {
			l.fail(at, "%s is no backend; allowed: a table with its keys", describe(table[name]))
			continue
		}
		if b, ok := l.backend(at, keys); ok {
			l.config.Login.Backends = append(l.config.Login.Backends, b)
			l.config.settings = append(l.config.settings, Setting{keyName(at), tomlText(keys), l.line(at)})
		}
	}
	slices.SortStableFunc(l.config.Login.Backends, func(a, b Backend) int {
		last := func(x Backend) int {
			if x.Every() {
				return 1
			}
			return 0
		}
		return cmp.Compare(last(a), last(b))
	})
}

// backend reads one.
func (l *loader) backend(at []string, table map[string]any) (Backend, bool) {
	before := len(l.errors)
	b := Backend{Name: at[len(at)-1]}
	specs := backendSpecs()
	key := func(name string) []string { return append(slices.Clone(at), name) }
	take := func(s *backendSpec, v any) {
		if err := s.set(&b, v); err != nil {
			l.fail(key(s.name), "%s", must(err, s.Allowed))
		}
	}
	if v, given := table["kind"]; given {
		take(&specs[0], v)
	} else {
		l.fail(at, "`kind` is missing; allowed: %s", specs[0].Allowed)
	}
	if len(l.errors) > before {
		return b, false
	}
	var names []string
	for i := range specs {
		s := &specs[i]
		if !s.in(b.Kind) {
			continue
		}
		names = append(names, s.name)
		v, given := table[s.name]
		switch {
		case s.name == "kind":
		case given:
			take(s, v)
		case s.must():
			l.fail(at, "`%s` is missing; a backend of the kind %s must have it; allowed: %s", s.name, b.Kind, s.Allowed)
		case s.byDefault[0] != '(':
			var byDefault struct{ V any }
			if err := toml.Unmarshal([]byte("V = "+s.byDefault), &byDefault); err != nil {
				l.fail(at, "the default %s is not TOML: %v", s.byDefault, err)
				continue
			}
			take(s, byDefault.V)
		}
	}
	if b.Connections == 0 {
		b.Connections = defaultConnections(b.Kind)
	}
	for _, name := range sortedNames(table) {
		i := slices.IndexFunc(specs, func(s backendSpec) bool { return s.name == name })
		switch {
		case i < 0:
			l.unknown("key", key(name), names)
		case !specs[i].in(b.Kind):
			l.fail(key(name), "a backend of the kind %s has no such key, only one of %s; take it out", b.Kind, strings.Join(specs[i].kinds, ", "))
		}
	}
	if len(l.errors) > before {
		return b, false
	}
	l.checkBackend(key, &b, table)
	for _, file := range []*string{&b.CAFile, &b.PasswordFile, &b.ClientSecretFile, &b.TokenFile} {
		l.resolve(file)
	}
	return b, len(l.errors) == before
}

// checkBackend holds the keys of one backend against each other.
func (l *loader) checkBackend(key func(string) []string, b *Backend, table map[string]any) {
	pair := func(name, file string) {
		_, one := table[name]
		_, other := table[file]
		switch {
		case one && !other:
			l.fail(key(name), "`%s` needs `%s`, a file whose first line is the secret", name, file)
		case other && !one:
			l.fail(key(file), "`%s` needs `%s`", file, name)
		}
	}
	if len(b.Domains) > 1 && slices.Contains(b.Domains, anyDomain) {
		l.fail(key("domains"), `"*" is every domain: give it alone, or the others without it`)
	}
	switch b.Kind {
	case BackendLDAP:
		pair("bind_dn", "password_file")
		l.checkLDAP(key, b, table)
	case BackendOIDC:
		pair("client_id", "client_secret_file")
		if b.Introspection != IntrospectNever && b.ClientID == "" {
			l.fail(key("introspection"), "%q needs `client_id` and `client_secret_file`: an issuer answers only clients that it knows", b.Introspection)
		}
	case BackendHTTP:
		pair("username", "password_file")
		if b.TokenFile != "" && b.Username != "" {
			l.fail(key("token_file"), "give either `token_file` or `username` and `password_file`, not both")
		}
		if u, err := url.Parse(b.URL); b.TokenFile == "" && b.Username == "" && (err != nil || !loopbackHost(u.Hostname())) {
			l.fail(key("url"), "the service cannot tell us from strangers who try passwords; give `token_file`, or `username` and `password_file`")
		}
	}
}

func (l *loader) checkLDAP(key func(string) []string, b *Backend, table map[string]any) {
	search := []string{"base", "filter", "depth", "bind_dn", "login_attribute", "disabled_filter"}
	if b.DN != "" {
		for _, name := range search {
			if _, given := table[name]; given {
				l.fail(key(name), "with `dn` nothing is searched for; give either `dn`, or `base` and `filter`")
			}
		}
	} else if b.Base == "" || b.Filter == "" {
		l.fail(key("dn"), "`dn` is missing, or both `base` and `filter`: how is the entry of a login found?")
	}
	if b.StartTLS {
		return
	}
	for _, s := range b.Servers {
		if u, err := url.Parse(s); err == nil && u.Scheme == "ldap" && !loopbackHost(u.Hostname()) {
			l.fail(key("starttls"), "passwords would go to %s in clear; leave it true, or use ldaps://", s)
		}
	}
}

// loopbackHost reports whether a host is this machine.
func loopbackHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}

func backendDomain() reader[string] {
	return textual("domain", "", "a domain", func(s string) (string, error) {
		if s == anyDomain {
			return s, nil
		}
		d, err := address.ParseDomain(s)
		if _, literal := d.Literal(); err != nil || literal {
			return "", fmt.Errorf("%q is not a domain", s)
		}
		return d.String(), nil
	})
}

func ldapServer() reader[string] {
	const allowed = `"ldap://host", "ldaps://host", either with a port, or "ldapi:///path/of/a/socket"`
	return textual("address", allowed, "an address", func(s string) (string, error) {
		if path, ok := strings.CutPrefix(s, "ldapi://"); ok {
			if !filepath.IsAbs(path) {
				return "", fmt.Errorf("%q names no socket", s)
			}
			return s, nil
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return "", fmt.Errorf("%q is not the address of a directory", s)
		}
		return strings.TrimRight(s, "/"), nil
	})
}

// template reads text that must hold the login.
func template(what, placeholders string) reader[string] {
	line := oneLine("text", what+placeholders)
	read := line.read
	line.read = func(v any) (string, error) {
		s, err := read(v)
		if err == nil && !strings.Contains(s, "{login}") && !strings.Contains(s, "{local}") {
			return "", errors.New("it is the same for every login: there is neither {login} nor {local} in it")
		}
		if err == nil {
			if m := regexp.MustCompile(`\{[a-z]*\}`).FindString(strings.NewReplacer("{login}", "", "{local}", "", "{domain}", "").Replace(s)); m != "" {
				return "", fmt.Errorf("%s stands for nothing", m)
			}
		}
		return s, err
	}
	return line
}

// oneWord reads text without spaces.
func oneWord() reader[string] {
	line := oneLine("word", "text without spaces, quotes and the like")
	read := line.read
	line.read = func(v any) (string, error) {
		s, err := read(v)
		if err == nil && strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) { // rfc6749#3.3
			return "", fmt.Errorf("%q holds spaces, quotes or characters beyond ASCII", s)
		}
		return s, err
	}
	return line
}

// serviceURL reads the address of a service that may be told secrets.
func serviceURL() reader[string] {
	const allowed = `"https://host/path"; http on loopback only`
	return textual("address", allowed, "an address", func(s string) (string, error) {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.Contains(s, "#"):
			return "", fmt.Errorf("%q is not the address of a service", s)
		case u.Scheme == "http" && !loopbackHost(u.Hostname()):
			return "", fmt.Errorf("%q: secrets would go there in clear", s)
		}
		return s, nil
	})
}

func dovecotAddress() reader[string] {
	const allowed = `"/path/of/a/socket", or "host:port"`
	return textual("address", allowed, "an address", func(s string) (string, error) {
		if strings.HasPrefix(s, "/") {
			return s, nil
		}
		host, port, err := net.SplitHostPort(s)
		if err != nil || host == "" {
			return "", fmt.Errorf("%q is neither a path nor a host with a port", s)
		}
		if _, err := portNumber(port, 1); err != nil {
			return "", fmt.Errorf("%q: %w", s, err)
		}
		return s, nil
	})
}
