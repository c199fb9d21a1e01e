package address

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParseDomain(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct{ in, want, unicode string }{
		{"example.org", "example.org", "example.org"},
		{"EXAMPLE.Org", "example.org", "example.org"},
		{"localhost", "localhost", "localhost"},
		{"my_host.example", "my_host.example", "my_host.example"},
		{"a-b.example", "a-b.example", "a-b.example"},
		{"3com.example", "3com.example", "3com.example"},
		{long + ".example", long + ".example", long + ".example"},
		{"bücher.example", "xn--bcher-kva.example", "bücher.example"},
		{"BÜCHER.example", "xn--bcher-kva.example", "bücher.example"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", "bücher.example"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example", "bücher.example"},
		{"straße.example", "xn--strae-oqa.example", "straße.example"},
		{"例え。テスト", "xn--r8jz45g.xn--zckzah", "例え.テスト"},
		{"[192.0.2.1]", "[192.0.2.1]", "[192.0.2.1]"},
		{"[IPv6:2001:DB8::1]", "[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"},
		{"[ipv6:2001:db8:0:0::1]", "[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"},
		{"[IPv6:::ffff:192.0.2.1]", "[IPv6:::ffff:192.0.2.1]", "[IPv6:::ffff:192.0.2.1]"},
	}
	for _, tt := range tests {
		d, err := ParseDomain(tt.in)
		if err != nil || d.String() != tt.want || d.Unicode() != tt.unicode {
			t.Errorf("ParseDomain(%q) = %q, in Unicode %q, %v; want %q, %q", tt.in, d, d.Unicode(), err, tt.want, tt.unicode)
		}
		if again, err := ParseDomain(d.String()); err != nil || again != d {
			t.Errorf("%q, read again: %q, %v", d, again, err)
		}
		if again, err := ParseDomain(d.Unicode()); err != nil || again != d {
			t.Errorf("%q, read again from Unicode: %q, %v", d, again, err)
		}
	}
	bad := []string{
		"", ".", "example.org.", ".example.org", "a..b", "-a.example", "a-.example", "a b.example", "a@b", "<a>", "a\x00b", "a\r\nb",
		long + "a.example", strings.Repeat("a.", 127) + "example", "xn--\xff.example", "xn--a.example", "bü cher.example", "bü..example",
		"\xff.example", "a,b", "a:b", "[", "[]", "[192.0.2.1", "[192.0.2.256]", "[192.0.2]", "[2001:db8::1]", "[IPv6:192.0.2.1]",
		"[IPv6:]", "[IPv6:::1%eth0]", "[IPv6:2001:db8::1", "[tag:x]", "[192.0.2.1]x", "[192.0.2.01]",
	}
	for _, in := range bad {
		if d, err := ParseDomain(in); !errors.Is(err, ErrSyntax) || !d.IsZero() {
			t.Errorf("ParseDomain(%q) = %q, %v", in, d, err)
		}
	}
}

func TestDomainParts(t *testing.T) {
	for in, want := range map[string]string{"a.b.example": "b.example", "example": "", "[192.0.2.1]": "", "": ""} {
		d := Domain{}
		if in != "" {
			d = MustDomain(in)
		}
		if got := d.Parent(); got.String() != want {
			t.Errorf("the parent of %q is %q", in, got)
		}
	}
	for in, want := range map[string]string{"[192.0.2.1]": "192.0.2.1", "[IPv6:2001:db8::1]": "2001:db8::1", "example.org": ""} {
		got, ok := MustDomain(in).Literal()
		if ok != (want != "") || ok && got != netip.MustParseAddr(want) {
			t.Errorf("the address of %q is %v, %v", in, got, ok)
		}
	}
}

func TestParseMailbox(t *testing.T) {
	tests := []struct{ in, local, out string }{
		{"anna@example.org", "anna", "anna@example.org"},
		{"Anna.B@Example.ORG", "Anna.B", "Anna.B@example.org"},
		{"a+b=c@example.org", "a+b=c", "a+b=c@example.org"},
		{"!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~", "!#$%&'*+-/=?^_`{|}~@example.org"},
		{`"anna"@example.org`, "anna", "anna@example.org"},
		{`"a b"@example.org`, "a b", `"a b"@example.org`},
		{`"a@b"@example.org`, "a@b", `"a@b"@example.org`},
		{`"a\"\\b"@example.org`, `a"\b`, `"a\"\\b"@example.org`},
		{`"\a"@example.org`, "a", "a@example.org"},
		{`"a..b"@example.org`, "a..b", `"a..b"@example.org`},
		{`".a"@example.org`, ".a", `".a"@example.org`},
		{"jürgen@bücher.example", "jürgen", "jürgen@xn--bcher-kva.example"},
		{`"jürgen m"@example.org`, "jürgen m", `"jürgen m"@example.org`},
		{"anna@[192.0.2.1]", "anna", "anna@[192.0.2.1]"},
		{strings.Repeat("a", 64) + "@b.example", strings.Repeat("a", 64), strings.Repeat("a", 64) + "@b.example"},
	}
	for _, tt := range tests {
		m, err := ParseMailbox(tt.in)
		if err != nil || m.Local != tt.local || m.String() != tt.out || m.Path() != "<"+tt.out+">" {
			t.Errorf("ParseMailbox(%q) = %q, %q, %v; want %q, %q", tt.in, m.Local, m, err, tt.local, tt.out)
		}
		if again, err := ParseMailbox(m.String()); err != nil || again != m {
			t.Errorf("%q, read again: %q, %v", m, again, err)
		}
	}
	bad := []string{
		"", "anna", "@example.org", "anna@", "anna@@example.org", ".anna@example.org", "anna.@example.org", "a..b@example.org",
		"a b@example.org", "a,b@example.org", "<anna@example.org>", "anna@example.org ", " anna@example.org", "anna@example.org>",
		`"anna@example.org`, `"a"b@example.org`, `""@example.org`, `"a` + "\x00" + `"@example.org`, `"a\`, `"a\` + "\x01" + `"@example.org`,
		"a\x00@example.org", "a\r\n@example.org", "a\xff@example.org", "\"a\xff\"@example.org", "a\u200b@example.org", "\"a\u200b\"@example.org",
		"\"a\u0085\"@example.org", strings.Repeat("a", 65) + "@b.example", `"` + strings.Repeat("a", 65) + `"@b.example`,
		"a@" + strings.Repeat("b.", 125) + "example", "(comment)anna@example.org", "anna@example.org.", "@a.example:anna@example.org",
	}
	for _, in := range bad {
		if m, err := ParseMailbox(in); !errors.Is(err, ErrSyntax) || !m.IsZero() {
			t.Errorf("ParseMailbox(%q) = %#v, %v", in, m, err)
		}
	}
}

func TestMailboxForms(t *testing.T) {
	var null Mailbox
	if !null.IsZero() || null.String() != "" || null.Path() != "<>" || null.IsPostmaster() || !null.IsASCII() {
		t.Errorf("the null reverse-path: %q, %q", null, null.Path())
	}
	p := Mailbox{Local: "PostMaster"}
	if p.IsZero() || p.Path() != "<PostMaster>" || !p.IsPostmaster() || p.Unicode() != "PostMaster" {
		t.Errorf("postmaster alone: %q", p.Path())
	}
	m := MustMailbox("Anna@bücher.example")
	if m.Key() != "anna@xn--bcher-kva.example" || m.Unicode() != "Anna@bücher.example" || !m.IsASCII() {
		t.Errorf("Key %q, Unicode %q", m.Key(), m.Unicode())
	}
	if MustMailbox("jürgen@example.org").IsASCII() {
		t.Error("jürgen is ASCII")
	}
	if got := MustMailbox(`"a b"@example.org`).Unicode(); got != `"a b"@example.org` {
		t.Errorf("Unicode of a quoted local part: %q", got)
	}
	// Keys are told apart where mailboxes are, but for the case.
	if MustMailbox(`"a@b"@c.example`).Key() == MustMailbox("a@c.example").Key() {
		t.Error("two mailboxes have one key")
	}
}

func TestText(t *testing.T) {
	for _, in := range []string{"", "anna@example.org", `"a b"@[IPv6:::1]`} {
		var m Mailbox
		if err := m.UnmarshalText([]byte(in)); err != nil {
			t.Errorf("UnmarshalText(%q): %v", in, err)
		}
		if out, err := m.MarshalText(); err != nil || string(out) != in {
			t.Errorf("%q came back as %q, %v", in, out, err)
		}
	}
	for _, in := range []string{"", "example.org", "[192.0.2.1]"} {
		var d Domain
		if err := d.UnmarshalText([]byte(in)); err != nil {
			t.Errorf("UnmarshalText(%q): %v", in, err)
		}
		if out, err := d.MarshalText(); err != nil || string(out) != in {
			t.Errorf("%q came back as %q, %v", in, out, err)
		}
	}
	kept := MustMailbox("anna@example.org")
	if err := kept.UnmarshalText([]byte("nobody")); err == nil || kept.Local != "anna" {
		t.Errorf("bad text: %v, left %q", err, kept)
	}
	d := MustDomain("example.org")
	if err := d.UnmarshalText([]byte("a..b")); err == nil || d.IsZero() {
		t.Errorf("bad text: %v, left %q", err, d)
	}
}

func TestMustPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"MustDomain": func() { MustDomain("a..b") }, "MustMailbox": func() { MustMailbox("nobody") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes anything", name)
				}
			}()
			f()
		}()
	}
}

// FuzzMailbox: what has been read can be written on one line and read again,
// and is within the limits.
func FuzzMailbox(f *testing.F) {
	for _, s := range []string{"anna@example.org", `"a \"b"@[192.0.2.1]`, "jürgen@bücher.example", `"é."@xn--a.example`, "a@ß.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMailbox(s)
		if err != nil {
			if !errors.Is(err, ErrSyntax) || len(err.Error()) > 1000 {
				t.Fatalf("ParseMailbox(%q): %v", s, err)
			}
			return
		}
		if m.IsZero() || m.Local == "" || m.Domain.IsZero() || len(m.Local) > MaxLocalPart || len(m.Domain.String()) > MaxDomain {
			t.Fatalf("%q gave %#v", s, m)
		}
		out := m.String()
		if strings.ContainsAny(out, "\r\n\x00") {
			t.Fatalf("%q is written %q", s, out)
		}
		if again, err := ParseMailbox(out); err != nil || again != m {
			t.Fatalf("%q is written %q and read as %#v, %v", s, out, again, err)
		}
		if again, err := ParseDomain(m.Domain.Unicode()); err != nil || again != m.Domain {
			t.Fatalf("the domain of %q is shown as %q and read as %q, %v", s, m.Domain.Unicode(), again, err)
		}
	})
}

// FuzzDomain: a domain or literal is read once and for all: what it is written
// as, in ASCII and as people read it, is the same domain.
func FuzzDomain(f *testing.F) {
	for _, s := range []string{"example.org", "BÜCHER.example", "xn--bcher-kva.example", "[192.0.2.1]", "[IPv6:2001:DB8::1]", "[x:y]", "a..b", "-a.example", "example.org.", "ß.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDomain(s)
		if err != nil {
			if !errors.Is(err, ErrSyntax) || len(err.Error()) > 1000 {
				t.Fatalf("ParseDomain(%q): %v", s, err)
			}
			return
		}
		out := d.String()
		if d.IsZero() || len(out) > MaxDomain || strings.ContainsAny(out, "\r\n\x00 \t<>\"") {
			t.Fatalf("%q is the domain %q", s, out)
		}
		for _, c := range []byte(out) {
			if c >= 0x80 || c >= 'A' && c <= 'Z' && out[0] != '[' {
				t.Fatalf("%q is the domain %q, which is not its only form", s, out)
			}
		}
		for _, form := range []string{out, d.Unicode()} {
			if again, err := ParseDomain(form); err != nil || again != d {
				t.Fatalf("%q is the domain %q, and %q is %q, %v", s, out, form, again, err)
			}
		}
	})
}

// TestWhatIsWrong: the error names what stands in the way, not only that no domain
// follows.
func TestWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"an na@example.org": `has ' ' before its @, which stands there in quotation marks only`,
		"a(b)@example.org":  `has '(' before its @`,
		"anna":              "has no @ followed by a domain",
		"two words":         "has no @ followed by a domain",
	} {
		if _, err := ParseMailbox(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}
