package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBackends reads one of each kind: those for all domains last, paths from the folder of the file, defaults by kind.
func TestBackends(t *testing.T) {
	c := load(t, `
[login.backends.a]
kind = "http"
domains = ["*"]
url = "http://127.0.0.1:8000/check"

[login.backends.dir]
kind = "ldap"
domains = ["Example.ORG", "bücher.example"]
servers = ["ldap://[::1]:389/", "ldapi:///run/slapd.sock"]
base = "dc=example"
filter = "(mail={login})"
bind_dn = "cn=x"
password_file = "ldap.password"
ca_file = "/etc/ca.pem"
connections = 3

[login.backends.dove]
kind = "dovecot"
domains = ["example.com"]
address = "[::1]:12345"
timeout = "1s"

[login.backends.id]
kind = "oidc"
domains = ["example.org"]
issuer = "https://id.example.org/realms/mail"
audience = ["smtp", "mail"]
`)
	want := []Backend{
		{
			Name: "dir", Kind: "ldap", Domains: []string{"example.org", "xn--bcher-kva.example"}, Timeout: 5 * time.Second, Connections: 3, CAFile: "/etc/ca.pem",
			Servers: []string{"ldap://[::1]:389", "ldapi:///run/slapd.sock"}, StartTLS: true, Base: "dc=example", Filter: "(mail={login})", Depth: "subtree",
			BindDN: "cn=x", PasswordFile: "/etc/onward/ldap.password",
		},
		{Name: "dove", Kind: "dovecot", Domains: []string{"example.com"}, Timeout: time.Second, Connections: 500, Address: "[::1]:12345", Service: "smtp"},
		{
			Name: "id", Kind: "oidc", Domains: []string{"example.org"}, Timeout: 5 * time.Second, Connections: 20, Issuer: "https://id.example.org/realms/mail",
			Audience: []string{"smtp", "mail"}, Claim: "email", Leeway: 30 * time.Second, Introspection: "never",
		},
		{Name: "a", Kind: "http", Domains: []string{"*"}, Timeout: 5 * time.Second, Connections: 20, URL: "http://127.0.0.1:8000/check"},
	}
	if !reflect.DeepEqual(c.Login.Backends, want) {
		t.Errorf("got  %+v\nwant %+v", c.Login.Backends, want)
	}
	if !c.Login.Backends[3].Every() || c.Login.Backends[0].Every() {
		t.Error("Every is wrong")
	}
	settings := c.Settings()
	if i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == "login.backends.dove" }); i < 0 || settings[i].Line != 18 || !strings.Contains(settings[i].Value, `kind = "dovecot"`) {
		t.Errorf("the setting of a backend is missing or wrong: %+v", settings)
	}
}
