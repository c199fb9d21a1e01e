package dsn

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/smtp"
)

func TestConceal(t *testing.T) {
	target, original := address.MustMailbox("anna.private+tag@bücher.example"), address.MustMailbox("anna@example.org")
	for _, c := range []struct{ text, want string }{
		{"<anna.private+tag@xn--bcher-kva.example>: no", "<anna@example.org>: no"},
		{"ANNA.Private+TAG@BÜCHER.example.", "anna@example.org."},
		{"mail to anna.private+tag is refused", "mail to anna is refused"},
		{"anna.private@bücher.example", "anna@[hidden]"},
		{"mx1.mail.xn--bcher-kva.example said no", "[hidden] said no"},
		{"xn--bcher-kva.example.invalid and notxn--bcher-kva.example", "xn--bcher-kva.example.invalid and notxn--bcher-kva.example"},
		{"an\u200bna.priv\x00ate+tag@bücher.example", "anna@example.org"},
		{`"anna.private+tag"@bücher.example`, `"anna"@[hidden]`},
		{"nothing private, anna@example.org", "nothing private, anna@example.org"},
		{"joanna.privateer", "joanna.privateer"},
	} {
		got, ok := conceal(c.text, target, original)
		if !ok || got != c.want {
			t.Errorf("%q: %q, %t; want %q", c.text, got, ok, c.want)
		}
	}
	if got, ok := conceal("anna.private+tag@bücher. \uFFFC example", target, original); ok {
		t.Errorf("a divided address passes: %q", got)
	}
	near := address.MustMailbox("nana@example.org")
	if got, ok := conceal("x@example.org nana@example.org example.org", near, original); !ok || got != "x@example.org anna@example.org example.org" {
		t.Errorf("%q, %t", got, ok)
	}
	if got, ok := conceal("banana@example.org", near, original); ok {
		t.Errorf("what may be the target passes: %q", got)
	}
	short := address.MustMailbox("no@example.net")
	if got, ok := conceal("no such user no@example.com, no%40example.net", short, original); !ok || got != "no such user anna@example.com, anna%40[hidden]" {
		t.Errorf("%q, %t", got, ok)
	}
	inside := address.MustMailbox("x@example.net")
	if got, ok := conceal("x@example.net: no", inside, address.MustMailbox("anna@fwd.example.net")); !ok || got != "anna@fwd.example.net: no" {
		t.Errorf("%q, %t", got, ok)
	}
}

// TestConcealAnything holds that no report tells a private target, whatever
// stands around it.
func TestConcealAnything(t *testing.T) {
	target := address.MustMailbox("hidden.person@private.example")
	noise := rapid.SampledFrom([]string{
		"hidden.person@private.example", "HIDDEN.person", "@", "private.example", "hidden", ".person", "@private", ".example", " ", "<", ">", "\r\n",
		"\x00", "a", "mx.", "-", "anna@example.org", "%40", "=", "\u200b", "\xff", "日",
	})
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		for range rapid.IntRange(1, 3).Draw(t, "lines") {
			lines = append(lines, strings.Join(rapid.SliceOfN(noise, 0, 8).Draw(t, "line"), ""))
		}
		r := bounce()
		r.Recipients[0].Target = target
		r.Recipients[0].Heard = smtp.Reply{Code: 550, Lines: lines}
		c, err := Compose(r)
		if err != nil {
			t.Fatal(err)
		}
		top := readEntity(c.Content)
		for _, p := range top.children() {
			text := strings.ToLower(string(p.decoded()))
			text = strings.NewReplacer("\r\n ", "", "\r\n", "", " ", "").Replace(text)
			if strings.Contains(text, "hidden.person@private.example") {
				t.Fatalf("%q tells the target:\n%s", lines, p.decoded())
			}
		}
	})
}

func FuzzConceal(f *testing.F) {
	f.Add("<anna.private@example.net>: no", "anna.private", "example.net")
	f.Add("mx.example.net", "a+b", "xn--bcher-kva.example")
	f.Fuzz(func(t *testing.T, text, local, domain string) {
		target, err := address.ParseMailbox(local + "@" + domain)
		if err != nil {
			return
		}
		original := address.MustMailbox("user@original.test")
		got, ok := conceal(text, target, original)
		if !ok || target.Domain == original.Domain {
			return
		}
		rest := strings.ReplaceAll(strings.ToLower(got), "user@original.test", "")
		if strings.Contains(rest, strings.ToLower(target.String())) {
			t.Fatalf("%q tells %s: %q", text, target, got)
		}
	})
}
