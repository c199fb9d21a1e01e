package sasl

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// fuzzed runs an exchange and checks what holds for all: it ends, its challenges
// and credentials are within the limits, and it accepts only what was judged to
// be right. It returns what was said and the credentials.
func fuzzed(t *testing.T, name string, asked, ok bool, messages ...[]byte) (string, Credentials) {
	t.Helper()
	responses := make([]string, len(messages))
	for i, m := range messages {
		responses[i] = string(m)
	}
	var initial []byte
	if !asked {
		initial, responses = append([]byte{}, messages[0]...), responses[1:]
	}
	w := world{ok: func(Credentials) bool { return ok }}
	m := mechanism(t, name, Channel{})
	said := w.talk(m, initial, responses...)
	c := m.Credentials()
	if strings.HasSuffix(said, "Accept") && !ok {
		t.Fatalf("%s accepts what was judged to be wrong: %+v", name, c)
	}
	if c.Mechanism != name || c.Key != -1 || len(c.Login) > MaxSecret || len(c.Authorize) > MaxSecret || len(c.Secret) > MaxToken {
		t.Fatalf("%s: %+v", name, c)
	}
	for _, text := range []string{c.Login, c.Authorize, c.Secret} {
		if text != "" && strings.ToValidUTF8(text, "") != text || strings.Contains(text, "\x00") {
			t.Fatalf("%s: %q", name, text)
		}
	}
	return said, c
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x00tim\x00tanstaaftanstaaf"), true, true)
	f.Add([]byte("Ursel\x00Kurt\x00xipj3plmq"), false, true)
	f.Add([]byte("AGFubmEAc2VjcmV0"), false, false)
	f.Fuzz(func(t *testing.T, message []byte, asked, ok bool) {
		said, c := fuzzed(t, "PLAIN", asked, ok, message)
		if strings.Contains(said, "Check") != (c.Secret != "") {
			t.Fatalf("said %s with %+v", said, c)
		}
		if c.Secret != "" && string(message) != c.Authorize+"\x00"+c.Login+"\x00"+c.Secret {
			t.Fatalf("%q became %+v", message, c)
		}
	})
}

func FuzzLogin(f *testing.F) {
	f.Add([]byte("anna@example.org"), []byte("secret!"), true, true)
	f.Add([]byte("anna"), []byte("UGFzc3dvcmQ6"), false, false)
	f.Add([]byte(""), []byte(""), false, false)
	f.Fuzz(func(t *testing.T, name, secret []byte, asked, ok bool) {
		said, c := fuzzed(t, "LOGIN", asked, ok, name, secret)
		checked := strings.Contains(said, "Check")
		name, secret = read(t, name), read(t, secret)
		if checked != (isText(name) && isText(secret)) || checked && (c.Login != string(name) || c.Secret != string(secret)) {
			t.Fatalf("%q and %q became %+v, said %s", name, secret, c, said)
		}
		if checked && len(c.Secret)%4 != 0 && len(c.Login)%4 != 0 && c.Oddity == Base64Twice {
			t.Fatalf("%q and %q are no base64", name, secret)
		}
	})
}

// read is what LOGIN takes octets for.
func read(t *testing.T, b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	text, err := charmap.ISO8859_1.NewDecoder().Bytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func FuzzExternal(f *testing.F) {
	f.Add([]byte(""), true, true)
	f.Add([]byte("fred@example.com"), false, true)
	f.Fuzz(func(t *testing.T, message []byte, asked, ok bool) {
		said, c := fuzzed(t, "EXTERNAL", asked, ok, message)
		if strings.Contains(said, "Check") != (len(message) == 0 || isText(message)) || c.Login != "" && c.Login != string(message) {
			t.Fatalf("%q became %+v, said %s", message, c, said)
		}
	})
}

// fuzzBearer: a token that is read was in the message, once, and is a b64token;
// a failure is told in JSON and ends in Reject, whatever the client's last words.
func fuzzBearer(t *testing.T, name string, message, last []byte, asked, ok bool) {
	said, c := fuzzed(t, name, asked, ok, message, last)
	end := said[strings.LastIndexByte(said, ' ')+1:]
	switch {
	case strings.Contains(said, "Check"):
		if want := map[bool]string{true: "Accept", false: "Reject"}[ok && c.Secret != ""]; end != want {
			t.Fatalf("said %s with %+v", said, c)
		}
		if end == "Reject" && !strings.Contains(said, `[{"status":"`) {
			t.Fatalf("said %s", said)
		}
	case end != "Malformed" || c.Secret != "":
		t.Fatalf("said %s with %+v", said, c)
	}
	if c.Secret != "" && (bytes.Count(message, []byte("\x01auth="))+bytes.Count(message[:min(5, len(message))], []byte("auth=")) != 1 || !bytes.Contains(message, []byte(" "+c.Secret+"\x01"))) {
		t.Fatalf("%q became %+v", message, c)
	}
}

func FuzzOAuthBearer(f *testing.F) {
	f.Add([]byte("n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer "+token+"\x01\x01"), []byte("\x01"), true, true)
	f.Add([]byte("n,,\x01auth=\x01\x01"), []byte("\x01"), false, true)
	f.Add([]byte("y,a=a=2Cb,\x01auth=bearer  x\x01\x01"), []byte(""), false, false)
	f.Fuzz(func(t *testing.T, message, last []byte, asked, ok bool) {
		fuzzBearer(t, "OAUTHBEARER", message, last, asked, ok)
	})
}

func FuzzXOAuth2(f *testing.F) {
	f.Add([]byte("user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2\x01\x01"), []byte(""), true, true)
	f.Add([]byte("auth=Bearer x\x01user=x\x01\x01"), []byte("\x01"), false, false)
	f.Fuzz(func(t *testing.T, message, last []byte, asked, ok bool) {
		fuzzBearer(t, "XOAUTH2", message, last, asked, ok)
	})
}

// FuzzScram holds our server against the grammar and against another server.
// Where signed is set, the proof is made to be right for whatever the messages
// are.
func FuzzScram(f *testing.F) {
	j := newJudge(f)
	right := j.clientKey(f, "pencil")
	seeds := []struct {
		first, final  string
		plus, offered bool
	}{
		{"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j", false, false},
		{"y,,n=user,r=fyko", "c=eSws,r=fyko3rfcNHYJY1ZVvWVs7j", false, false},
		{"y,,n=user,r=fyko", "c=eSws,r=fyko3rfcNHYJY1ZVvWVs7j", false, true},
		{"p=tls-exporter,,n=user,r=fyko", "c=cD10bHMtZXhwb3J0ZXIsLGJpbmRpbmcgb2YgdGxzLWV4cG9ydGVy,r=fyko3rfcNHYJY1ZVvWVs7j", true, true},
		{"n,a=b=2Cc,n=us=3Der,r=fyko,x=y", "c=bixhPWI9MkNjLA==,r=fyko3rfcNHYJY1ZVvWVs7j,Z=\u00fc", false, false},
		{"n,,m=1,n=user,r=fyko", "c=biws,r=fyko3rfcNHYJY1ZVvWVs7j", false, false},
	}
	for _, s := range seeds {
		f.Add(s.first, s.final, s.plus, s.offered, true)
		f.Add(s.first, s.final+",p=v0X8v3Bz2T0CJGbJQyF0X+HI4TvQyF0X+HI4Ts9Qz2T0=", s.plus, s.offered, false)
	}
	f.Fuzz(func(t *testing.T, first, final string, plus, offered, signed bool) {
		if signed {
			final = j.sign(right, first, final)
		}
		j.compare(t, plus, offered, first, final)
	})
}
