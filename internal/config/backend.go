package config

import "time"

// The kinds of Backend.
const (
	BackendLDAP    = "ldap"
	BackendOIDC    = "oidc"
	BackendDovecot = "dovecot"
	BackendHTTP    = "http"
)

// Backend is where secrets are kept instead of here. Keys of another kind than its own are zero.
type Backend struct {
	Name        string
	Kind        string   // BackendLDAP, BackendOIDC, BackendDovecot or BackendHTTP
	Domains     []string // A-labels; ["*"] is every domain
	Timeout     time.Duration
	Connections int    // logins at one time
	CAFile      string // PEM; empty: the system's
	TLSName     string // ldap, dovecot: what the certificate must be for; empty: the host

	// ldap: DN, or Base and Filter.
	Servers        []string
	StartTLS       bool
	DN             string
	Base           string
	Filter         string
	Depth          string // DepthSubtree or DepthOne
	BindDN         string
	PasswordFile   string // also http, with Username
	LoginAttribute string
	DisabledFilter string

	// oidc
	Issuer           string
	Audience         []string
	Scope            string
	Claim            string
	LoginDomain      string // A-label
	Leeway           time.Duration
	Introspection    string // IntrospectNever, IntrospectOpaque or IntrospectAlways
	IntrospectionURL string
	ClientID         string
	ClientSecretFile string

	// dovecot
	Address string // path, or host:port
	Service string

	// http
	URL       string
	TokenFile string
	Username  string
}

// Values of Backend.Depth: how far below the base entries are looked for.
const (
	DepthSubtree = "subtree"
	DepthOne     = "one"
)

// Values of Backend.Introspection: which tokens the issuer is asked about.
const (
	IntrospectNever  = "never"
	IntrospectOpaque = "opaque"
	IntrospectAlways = "always"
)

// Every reports whether the backend is for all domains.
func (b *Backend) Every() bool { return len(b.Domains) == 1 && b.Domains[0] == anyDomain }

// anyDomain stands for every domain.
const anyDomain = "*"
