//go:build peers

package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMechanisms has gsasl log in by each mechanism with the main password and with an app password, and be rejected with another.
// It binds SCRAM-SHA-256-PLUS to the TLS channel itself, so a binding that differs from its own is found.
func TestMechanisms(t *testing.T) {
	o := withBackends(t, "\n[login]\nscram_sha1 = true\n", nil)
	o.onward(t, "domain", "add", "example.org")
	const user = "anna@example.org"
	const password = "correct horse battery"
	if out, err := o.try(t, password+"\n", "account", "add", user, "--password-stdin"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var app struct{ Password string }
	if err := json.Unmarshal([]byte(o.onward(t, "account", "app-password", "add", user, "--name", "gsasl", "--json")), &app); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "CRAM-MD5"} {
		for what, secret := range map[string]string{"password": password, "app password": app.Password, "wrong": "wrong"} {
			want := "235 2.7.0"
			switch {
			case m == "CRAM-MD5":
				want = "504 5.5.4"
			case what == "wrong":
				want = "535"
			}
			args := []string{
				"--client", "--smtp", "--connect=" + o.submission, "--mechanism=" + m, "--authentication-id=" + user, "--password=" + secret,
				"--x509-ca-file=" + filepath.Join(o.data, "selfsigned-cert.pem"), "--hostname=mx.example.org", "--service=smtp", "--verbose",
			}
			if !strings.HasSuffix(m, "-PLUS") {
				args = append(args, "--no-cb")
			}
			if out, _ := program(t, "", "gsasl", args...); !strings.Contains(out, want) {
				t.Errorf("%s with %s: gsasl does not hear %s:\n%s", m, what, want, out)
			}
		}
	}
	if out := o.onward(t, "account", "failures", user, "--json"); !strings.Contains(out, `"wrong_secret"`) || !strings.Contains(out, `"wrong_password"`) {
		t.Errorf("the failures are not told apart:\n%s", out)
	}
	if out := o.onward(t, "account", "app-password", "list", user); !strings.Contains(out, "127.0.0.1") || !strings.Contains(out, "SCRAM") {
		t.Errorf("the last use of the app password is not shown:\n%s", out)
	}
}

// TestMechanismsExternal has gsasl log in with a client certificate: by its fingerprint, by an authority, with none, and with one
// that nobody has.
func TestMechanismsExternal(t *testing.T) {
	files := clientCertificates(t)
	o := withBackends(t, "\n[login]\nexternal = true\nclient_ca = \"ca.pem\"\n", files)
	o.onward(t, "domain", "add", "example.org")
	for _, user := range []string{"anna@example.org", "bea@example.org"} {
		if out, err := o.try(t, "correct horse battery\n", "account", "add", user, "--password-stdin"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	o.onward(t, "account", "set", "anna@example.org", "--certificate", filepath.Join(o.dir, "pinned.pem"))
	for _, tt := range []struct{ user, certificate, want string }{
		{"anna@example.org", "pinned", "235 2.7.0"},
		{"bea@example.org", "pinned", "535-5.7.8"},
		{"bea@example.org", "signed", "235 2.7.0"},
		{"anna@example.org", "signed", "535-5.7.8"},
		{"anna@example.org", "strange", "535-5.7.8"},
		{"anna@example.org", "", "504 5.5.4"},
	} {
		args := []string{
			"--client", "--smtp", "--connect=" + o.submission, "--mechanism=EXTERNAL", "--authorization-id=" + tt.user, "--no-cb", "--verbose",
			"--x509-ca-file=" + filepath.Join(o.data, "selfsigned-cert.pem"), "--hostname=mx.example.org", "--service=smtp",
		}
		if tt.certificate != "" {
			args = append(args, "--x509-cert-file="+filepath.Join(o.dir, tt.certificate+".pem"), "--x509-key-file="+filepath.Join(o.dir, tt.certificate+".key"))
		}
		if out, _ := program(t, "", "gsasl", args...); !strings.Contains(out, tt.want) {
			t.Errorf("%s with the certificate %q: gsasl does not hear %s:\n%s", tt.user, tt.certificate, tt.want, out)
		}
	}
	if out := o.onward(t, "account", "failures", "bea@example.org", "--json"); !strings.Contains(out, `"certificate_unknown"`) {
		t.Errorf("the failure is not explained:\n%s", out)
	}
}

// TestMechanismsTokens has nodemailer log in by XOAUTH2 with tokens of a small issuer: one that is good, one that is over, and
// another user's.
func TestMechanismsTokens(t *testing.T) {
	i := newIssuer(t)
	i.rotate(t, "first", false)
	o := withBackends(t, fmt.Sprintf(`
[login.backends.id]
kind = "oidc"
domains = ["example.org"]
issuer = %q
ca_file = "issuer.pem"
audience = ["smtp"]
`, i.URL), map[string]string{"issuer.pem": i.pem})
	o.onward(t, "domain", "add", "example.org")
	for _, tt := range []struct{ user, token, code, cause string }{
		{"anna@example.org", i.token(t), "235", ""},
		{"anna@example.org", i.token(t, "exp", time.Now().Unix()-600), "535", "token_expired"},
		{"anna@example.org", i.token(t, "email", "bea@example.org"), "535", "token_user"},
	} {
		if out, status := program(t, "", "node", "nodemailer/oauth2.mjs", o.submits, tt.user, tt.token, tt.code); status != 0 {
			t.Errorf("%s, want %s %s: oauth2.mjs: status %d\n%s", tt.user, tt.code, tt.cause, status, out)
		}
		if out := o.onward(t, "account", "failures", tt.user, "--json"); !strings.Contains(out, tt.cause) {
			t.Errorf("%s is not among the failures:\n%s", tt.cause, out)
		}
	}
}

// clientCertificates has openssl make an authority, a certificate of bea's that it signs, and two that sign themselves.
func clientCertificates(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	files := make(map[string]string)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"ca", []string{"-addext", "keyUsage=keyCertSign"}},
		{"signed", []string{
			"-CA", filepath.Join(dir, "ca.pem"), "-CAkey", filepath.Join(dir, "ca.key"), "-addext", "subjectAltName=email:bea@example.org",
			"-addext", "extendedKeyUsage=clientAuth", "-addext", "basicConstraints=critical,CA:FALSE",
		}},
		{"pinned", []string{"-addext", "extendedKeyUsage=clientAuth"}},
		{"strange", []string{"-addext", "subjectAltName=email:anna@example.org", "-addext", "extendedKeyUsage=clientAuth"}},
	} {
		pem, key := filepath.Join(dir, c.name+".pem"), filepath.Join(dir, c.name+".key")
		out, status := program(t, "", "openssl", append([]string{
			"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=" + c.name, "-out", pem, "-keyout", key,
		}, c.args...)...)
		if status != 0 {
			t.Fatalf("openssl: status %d\n%s", status, out)
		}
		for _, file := range []string{pem, key} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files[filepath.Base(file)] = string(text)
		}
	}
	return files
}
