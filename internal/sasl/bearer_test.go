package sasl

import (
	"strings"
	"testing"
)

const token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

func TestOAuthBearer(t *testing.T) {
	imap := unbase64(t, "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB")
	smtp := unbase64(t, "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB")
	user := Credentials{Login: "user@example.com", Secret: token}
	runExchanges(t, "OAUTHBEARER", world{ok: always}, []exchangeTest{
		{"rfc7628 4.1", imap, nil, "Check Accept", user},
		{"rfc7628 4.1 asked for", nil, []string{string(smtp)}, "[] Check Accept", user},
		{"without user", []byte("n,,\x01auth=Bearer x.y-z_~+/\x01\x01"), nil, "Check Accept", Credentials{Secret: "x.y-z_~+/"}},
		{"could bind", []byte("y,,\x01auth=Bearer x\x01\x01"), nil, "Check Accept", Credentials{Secret: "x"}},
		{"name with a comma", []byte("n,a=a=2Cb=3Dc,\x01auth=Bearer x\x01\x01"), nil, "Check Accept", Credentials{Login: "a,b=c", Secret: "x"}},
		{"scheme in another case", []byte("n,,\x01auth=bEARER  x\x01\x01"), nil, "Check Accept", Credentials{Secret: "x"}},
		{"unknown pairs", []byte("n,,\x01mthd=POST\x01auth=Bearer x\x01qs=a=b\r\n\tc\x01\x01"), nil, "Check Accept", Credentials{Secret: "x"}},
		{"longest token", []byte("n,,\x01auth=Bearer " + strings.Repeat("x", MaxToken) + "\x01\x01"), nil, "Check Accept", Credentials{Secret: strings.Repeat("x", MaxToken)}},
		{"no token is never right", []byte("n,,\x01auth=\x01\x01"), []string{"\x01"}, `Check [{"status":"invalid_token"}] Reject`, Credentials{}},
		{"empty", []byte{}, nil, "Malformed", Credentials{}},
		{"kvsep alone", []byte("\x01"), nil, "Malformed", Credentials{}},
		{"no auth", []byte("n,,\x01host=x\x01\x01"), nil, "Malformed", Credentials{}},
		{"no pairs", []byte("n,,\x01\x01"), nil, "Malformed", Credentials{}},
		{"no header", []byte("auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"header alone", []byte("n,,"), nil, "Malformed", Credentials{}},
		{"no kvsep after the header", []byte("n,,auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"something else after the header", []byte("n,,xauth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"bound", []byte("p=tls-exporter,,\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"nonstandard flag", []byte("F,n,,\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"auth twice", []byte("n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01"), nil, "Malformed", Credentials{}},
		{"no end", []byte("n,,\x01auth=Bearer x\x01"), nil, "Malformed", Credentials{}},
		{"more after the end", []byte("n,,\x01auth=Bearer x\x01\x01host=y\x01"), nil, "Malformed", Credentials{}},
		{"no key", []byte("n,,\x01=y\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"no value", []byte("n,,\x01host\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"other scheme", []byte("n,,\x01auth=Basic x\x01\x01"), nil, "Malformed", Credentials{}},
		{"scheme alone", []byte("n,,\x01auth=Bearer\x01\x01"), nil, "Malformed", Credentials{}},
		{"scheme and space", []byte("n,,\x01auth=Bearer \x01\x01"), nil, "Malformed", Credentials{}},
		{"padding alone", []byte("n,,\x01auth=Bearer ==\x01\x01"), nil, "Malformed", Credentials{}},
		{"token with a space", []byte("n,,\x01auth=Bearer x y\x01\x01"), nil, "Malformed", Credentials{}},
		{"token with padding inside", []byte("n,,\x01auth=Bearer x=y\x01\x01"), nil, "Malformed", Credentials{}},
		{"token too long", []byte("n,,\x01auth=Bearer " + strings.Repeat("x", MaxToken+1) + "\x01\x01"), nil, "Malformed", Credentials{}},
		{"message too long", []byte("n,,\x01host=" + strings.Repeat("x", maxBearer) + "\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"name too long", []byte("n,a=" + strings.Repeat("x", MaxSecret+1) + ",\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"name with NUL", []byte("n,a=x\x00y,\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"control in a value", []byte("n,,\x01host=\x02\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"not UTF-8", []byte("n,,\x01host=\xff\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
	})
	// RFC 7628, sections 4.3 and 4.4, have these; the base64 is that of 4.3.
	failed := string(unbase64(t, "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0="))
	told := Judgement{Scope: "example_scope", OpenIDConfiguration: "https://example.com/.well-known/openid-configuration"}
	runExchanges(t, "OAUTHBEARER", world{told: told}, []exchangeTest{
		{"rfc7628 4.3", imap, []string{"\x01"}, "Check [" + failed + "] Reject", user},
		{"wrong last words", smtp, []string{"nonsense"}, "Check [" + failed + "] Reject", user},
		{"no last words", smtp, []string{""}, "Check [" + failed + "] Reject", user},
		{"last words are still owed", smtp, nil, "Check [" + failed + "] …", user},
	})
	runExchanges(t, "OAUTHBEARER", world{told: Judgement{Status: "insufficient_scope"}}, []exchangeTest{
		{"other status", smtp, []string{"\x01"}, `Check [{"status":"insufficient_scope"}] Reject`, user},
	})
}

func TestXOAuth2(t *testing.T) {
	// The example of Google's description.
	google := unbase64(t, "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==")
	user := Credentials{Login: "someuser@example.com", Secret: "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"}
	runExchanges(t, "XOAUTH2", world{ok: always}, []exchangeTest{
		{"google", google, nil, "Check Accept", user},
		{"google, asked for", nil, []string{string(google)}, "[] Check Accept", user},
		{"without user", []byte("auth=Bearer x\x01\x01"), nil, "Check Accept", Credentials{Secret: "x"}},
		{"the other way round", []byte("auth=Bearer x\x01user=jürgen@example.org\x01\x01"), nil, "Check Accept", Credentials{Login: "jürgen@example.org", Secret: "x"}},
		{"empty", []byte{}, nil, "Malformed", Credentials{}},
		{"no token", []byte("user=anna\x01auth=\x01\x01"), nil, "Malformed", Credentials{}},
		{"no auth", []byte("user=anna\x01\x01"), nil, "Malformed", Credentials{}},
		{"user twice", []byte("user=anna\x01user=bob\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"user too long", []byte("user=" + strings.Repeat("x", MaxSecret+1) + "\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
		{"in the form of OAUTHBEARER", []byte("n,a=anna,\x01auth=Bearer x\x01\x01"), nil, "Malformed", Credentials{}},
	})
	for status, code := range map[string]string{"": "401", "invalid_token": "401", "invalid_request": "400", "insufficient_scope": "403"} {
		w := world{told: Judgement{Status: status, Scope: "https://mail.google.com/"}}
		json := `{"status":"` + code + `","schemes":"bearer","scope":"https://mail.google.com/"}`
		runExchanges(t, "XOAUTH2", w, []exchangeTest{
			{"failed " + code, google, []string{""}, "Check [" + json + "] Reject", user},
			{"wrong last words " + code, google, []string{"\x01"}, "Check [" + json + "] Reject", user},
		})
	}
}
