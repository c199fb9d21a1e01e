package store

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/address"
)

// FuzzPattern: a selection means the address or the domain that it names, in
// whatever form, and its range of hashes has them.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"", "<>", "@Example.ORG", "anna@example.org", "<anna@bücher.example>", `"a b"@[IPv6:::1]`, "@", "anna"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePattern(s)
		if err != nil || !p.set {
			if p.set || err == nil && s != "" {
				t.Fatalf("%q is %+v, %v", s, p, err)
			}
			return
		}
		var m address.Mailbox
		switch {
		case p.null:
		case p.key == "":
			m = address.Mailbox{Local: "anyone", Domain: mustDomain(t, p.domain)}
		default:
			if m, err = address.ParseMailbox(strings.Trim(s, "<>")); err != nil || m.Key() != p.key {
				t.Fatalf("%q has the key %q, but is %s, %v", s, p.key, m, err)
			}
		}
		if !p.matches(m) {
			t.Fatalf("%q is %+v, and does not mean %s", s, p, m.Path())
		}
		if h := hashOf(m); !p.null && (h < p.low || h > p.high) {
			t.Fatalf("%q is %+v, which looks for %s elsewhere: %x", s, p, m.Path(), h)
		}
		if p.matches(address.MustMailbox("else@elsewhere.example")) && p.domain != "elsewhere.example" {
			t.Fatalf("%q is %+v, and means everybody", s, p)
		}
	})
}

func mustDomain(t *testing.T, s string) address.Domain {
	t.Helper()
	d, err := address.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// FuzzKeys: what is read of a key file are whole keys, each once, and they are
// the same when they are written again.
func FuzzKeys(f *testing.F) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, KeySize))
	f.Add([]byte(keysHead + "passwords " + key + "\n"))
	f.Add([]byte("a " + key + "\r\na " + key + "\n"))
	f.Add([]byte(" \n#\nx\ny AAAA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k := &Keys{keys: map[KeyName][]byte{}}
		if err := k.parse("keys", text); err != nil {
			return
		}
		var again bytes.Buffer
		for name, key := range k.keys {
			if len(key) != KeySize {
				t.Fatalf("%q has a key of %d octets", text, len(key))
			}
			fmt.Fprintf(&again, "%s %s\n", name, base64.StdEncoding.EncodeToString(key))
		}
		k2 := &Keys{keys: map[KeyName][]byte{}}
		if err := k2.parse("keys", again.Bytes()); err != nil || len(k2.keys) != len(k.keys) {
			t.Fatalf("%q is written %q: %v", text, again.Bytes(), err)
		}
		for name, key := range k.keys {
			if !bytes.Equal(k2.keys[name], key) {
				t.Fatalf("%q is written %q, and the key %q is another", text, again.Bytes(), name)
			}
		}
	})
}
