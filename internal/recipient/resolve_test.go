package recipient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/address"
)

// directory is a Directory of maps for reading; err fails every look-up, and
// reads counts them.
type directory struct {
	Directory
	domains   map[string]Domain
	addresses map[string]Address
	err       error
	reads     int
}

func (d *directory) Domain(_ context.Context, name address.Domain) (Domain, error) {
	d.reads++
	if d.err != nil {
		return Domain{}, d.err
	}
	if found, ok := d.domains[name.String()]; ok {
		return found, nil
	}
	return Domain{}, fmt.Errorf("domain %s: %w", name, ErrNotFound)
}

func (d *directory) Address(_ context.Context, a address.Mailbox) (Address, error) {
	d.reads++
	if d.err != nil {
		return Address{}, d.err
	}
	if found, ok := d.addresses[a.Key()]; ok {
		return found, nil
	}
	return Address{}, fmt.Errorf("address %s: %w", a, ErrNotFound)
}

// newDirectory reads lines such as «a@example.org announce b@example.net c@…»,
// «box@example.org mailbox», «old@example.org moved new@example.net»,
// «no@example.org refused text»; example.org and example.com are ours, and
// example.com has a postmaster of its own.
func newDirectory(t *testing.T, text string) *directory {
	t.Helper()
	d := &directory{
		domains: map[string]Domain{
			"example.org": {Name: address.MustDomain("example.org")},
			"example.com": {Name: address.MustDomain("example.com"), Postmaster: address.MustMailbox("joe@example.net")},
		},
		addresses: make(map[string]Address),
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a := Address{Address: address.MustMailbox(f[0]), Kind: Kind(f[1])}
		switch f[1] {
		case "silent", "announce":
			a.Kind, a.Disclose = Forward, Disclosure(f[1])
		case "refused":
			a.Text = strings.Join(f[2:], " ")
			f = f[:2]
		}
		for _, s := range f[2:] {
			a.Targets = append(a.Targets, address.MustMailbox(s))
		}
		if err := a.Check(); err != nil && !isRole(a.Address.Local) { // a role may be older than its rule
			t.Fatal(err)
		}
		d.addresses[a.Address.Key()] = a
	}
	return d
}

// show writes a resolution as the tests' tables have it: «!» is a hidden
// target, «.» a local one.
func show(res Resolution) string {
	names := map[Verdict]string{NotOurs: "not ours", Unknown: "unknown", Accept: "accept", HasMoved: "moved", IsRefused: "refused", Loops: "loops"}
	words := []string{names[res.Verdict]}
	for _, t := range res.Targets {
		s := t.Mailbox.String()
		if t.Local {
			s = "." + s
		}
		if t.Hidden {
			s = "!" + s
		}
		words = append(words, s)
	}
	if !res.Announce.IsZero() {
		words = append(words, "251="+res.Announce.String())
	}
	if !res.New.IsZero() {
		words = append(words, "551="+res.New.String())
	}
	if res.Text != "" {
		words = append(words, "text="+res.Text)
	}
	return strings.Join(words, " ")
}

const book = `
box@example.org     mailbox
silent@example.org  silent   x@example.net
tell@example.org    announce x@example.net
two@example.org     announce x@example.net y@example.net
both@example.org    announce box@example.org x@example.net
mine@example.org    announce box@example.org
old@example.org     moved    new@example.net
no@example.org      refused  Ask again in spring
via@example.org     announce silent@example.org
open@example.org    announce tell@example.org
wrap@example.org    silent   tell@example.org
fan@example.org     announce two@example.org
gone@example.org    silent   nobody@example.org old@example.org no@example.org
part@example.org    silent   nobody@example.org x@example.net
loop1@example.org   silent   loop2@example.org
loop2@example.org   silent   loop1@example.org
out@example.org     silent   loop3@example.org x@example.net
loop3@example.org   silent   out@example.org
self@example.org    silent   Self@Example.com
twice@example.org   silent   a1@example.org a2@example.org
a1@example.org      silent   x@example.net
a2@example.org      announce x@example.net
role@example.org    announce abuse@example.com
root@example.org    announce postmaster@example.org
`

func TestResolve(t *testing.T) {
	r := &Resolver{Directory: newDirectory(t, book), Postmaster: address.MustMailbox("postmaster@mx.example.info")}
	for to, want := range map[string]string{
		"box@example.org":    "accept .box@example.org",
		"BOX@Example.Org":    "accept .box@example.org",
		"silent@example.org": "accept !x@example.net",
		"tell@example.org":   "accept x@example.net 251=x@example.net",
		// A 251 has exactly one address (rfc5321#3.4).
		"two@example.org":  "accept x@example.net y@example.net",
		"both@example.org": "accept .box@example.org x@example.net",
		"mine@example.org": "accept .box@example.org", // «not local» would be wrong
		"old@example.org":  "moved 551=new@example.net",
		"no@example.org":   "refused text=Ask again in spring",
		// One link of a chain that hides hides what comes after it.
		"via@example.org":        "accept !x@example.net 251=silent@example.org",
		"open@example.org":       "accept x@example.net 251=tell@example.org",
		"wrap@example.org":       "accept !x@example.net",
		"fan@example.org":        "accept x@example.net y@example.net 251=two@example.org",
		"gone@example.org":       "unknown",
		"part@example.org":       "accept !x@example.net",
		"loop1@example.org":      "loops",
		"out@example.org":        "accept !x@example.net",
		"twice@example.org":      "accept !x@example.net",
		"nobody@example.org":     "unknown",
		"someone@example.net":    "not ours",
		"someone@[192.0.2.1]":    "not ours",
		"postmaster@example.org": "accept !.postmaster@mx.example.info",
		"Abuse@example.org":      "accept !.postmaster@mx.example.info",
		"abuse@example.com":      "accept !joe@example.net",
		"postmaster@example.net": "not ours",
		// The server's postmaster is reachable under its own name.
		"postmaster@mx.example.info": "accept .postmaster@mx.example.info",
		"role@example.org":           "accept !joe@example.net 251=abuse@example.com",
		"root@example.org":           "accept !.postmaster@mx.example.info",
	} {
		m, err := address.ParseMailbox(to)
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.Resolve(t.Context(), m)
		if err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if got := show(res); got != want {
			t.Errorf("%s\n got %s\nwant %s", to, got, want)
		}
	}
	// Without a domain only the postmaster can be meant (rfc5321#4.1.1.3).
	for local, want := range map[string]string{"Postmaster": "accept !.postmaster@mx.example.info", "root": "unknown"} {
		res, err := r.Resolve(t.Context(), address.Mailbox{Local: local})
		if got := show(res); err != nil || got != want {
			t.Errorf("<%s>: %s, %v, want %s", local, got, err, want)
		}
	}
}

// TestPostmaster: whatever the postmaster's address is, somebody gets the mail.
func TestPostmaster(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "accept !.postmaster@example.org",
		"postmaster@example.org mailbox": "accept .postmaster@example.org",
		"postmaster@example.org silent admin@example.net":                                              "accept !admin@example.net",
		"postmaster@example.org announce admin@example.net":                                            "accept admin@example.net 251=admin@example.net",
		"postmaster@example.org silent abuse@example.org":                                              "accept !.postmaster@example.org",
		"postmaster@example.org silent a@example.org\na@example.org mailbox":                           "accept !.a@example.org",
		"postmaster@example.org silent nobody@example.org":                                             "accept !.postmaster@example.org", // rfc5321#4.5.1
		"abuse@example.org refused Never":                                                              "accept !.postmaster@example.org",
		"postmaster@example.org refused Never":                                                         "accept !.postmaster@example.org",
		"postmaster@example.org moved new@example.net":                                                 "accept !.postmaster@example.org",
		"postmaster@example.org announce a@example.org\na@example.org announce postmaster@example.org": "accept !.postmaster@example.org",
		"postmaster@example.org silent abuse@example.com\njoe@example.net2 mailbox\n":                  "accept !joe@example.net",
	} {
		d := newDirectory(t, text)
		r := &Resolver{Directory: d, Postmaster: address.MustMailbox("postmaster@example.org")}
		res, err := r.Resolve(t.Context(), r.Postmaster)
		if got := show(res); err != nil || got != want {
			t.Errorf("%q\n got %s, %v\nwant %s", text, got, err, want)
		}
		if strings.Contains(text, "nobody") || strings.HasPrefix(text, "abuse") {
			continue
		}
		res, err = r.Resolve(t.Context(), address.MustMailbox("abuse@example.org"))
		if err != nil || res.Verdict != Accept || len(res.Targets) != 1 || !res.Announce.IsZero() {
			t.Errorf("%q: abuse@ gives %s, %v", text, show(res), err)
		}
	}
}

// TestHostname: who writes to root of the machine itself reaches somebody, even
// though the host name is no domain of ours.
func TestHostname(t *testing.T) {
	d := newDirectory(t, "postmaster@example.org silent admin@example.net")
	r := &Resolver{Directory: d, Postmaster: address.MustMailbox("postmaster@example.org"), Hostname: address.MustDomain("mx.example.org")}
	for to, want := range map[string]string{
		"root@mx.example.org":       "accept !admin@example.net",
		"Postmaster@mx.example.org": "accept !admin@example.net",
		"abuse@mx.example.org":      "accept !admin@example.net",
		"anna@mx.example.org":       "not ours",
		"root@mx.example.net":       "not ours",
		"root@example.org":          "unknown",
	} {
		res, err := r.Resolve(t.Context(), address.MustMailbox(to))
		if got := show(res); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", to, got, err, want)
		}
	}
}

// chain makes n addresses, each forwarding to the next, the last to the outside.
func chain(n int) string {
	var b strings.Builder
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "c%d@example.org silent c%d@example.org\n", i, i+1)
	}
	fmt.Fprintf(&b, "c%d@example.org silent x@example.net\n", n)
	return b.String()
}

// TestLimits: what is too long or too wide is an answer, and never a part of
// the targets.
func TestLimits(t *testing.T) {
	var wide strings.Builder
	for _, a := range []string{"w1", "w2"} {
		wide.WriteString(a + "@example.org silent")
		for i := range 60 {
			fmt.Fprintf(&wide, " %s-%d@example.net", a, i)
		}
		wide.WriteString("\n")
	}
	wide.WriteString("w@example.org silent w1@example.org w2@example.org\n")
	d := newDirectory(t, chain(MaxDepth+1)+wide.String())
	r := &Resolver{Directory: d, Postmaster: address.MustMailbox("postmaster@example.org")}
	for to, want := range map[string]Verdict{"c2": Accept, "c1": Loops, "w1": Accept, "w": Loops} {
		res, err := r.Resolve(t.Context(), address.Mailbox{Local: to, Domain: address.MustDomain("example.org")})
		if err != nil || res.Verdict != want {
			t.Errorf("%s: %s, %v", to, show(res), err)
		}
		if want == Loops && len(res.Targets) != 0 {
			t.Errorf("%s: has a part of the targets", to)
		}
		// What CheckLoop lets pass, Resolve follows.
		if to[0] == 'c' {
			a := d.addresses[to+"@example.org"]
			if err := r.CheckLoop(t.Context(), a); (err == nil) != (want == Accept) {
				t.Errorf("CheckLoop of %s: %v", to, err)
			}
		}
	}
}

func TestCheckLoop(t *testing.T) {
	d := newDirectory(t, book)
	r := &Resolver{Directory: d}
	for _, tt := range []struct{ from, to, want string }{
		{"new@example.org", "x@example.net", ""},
		{"box@example.org", "via@example.org", ""},
		{"silent@example.org", "via@example.org", "silent@example.org → via@example.org → silent@example.org"},
		{"SILENT@example.org", "via@example.org", "back to itself"},
		{"new@example.org", "loop1@example.org", "longer than"}, // somebody else's circle
	} {
		a := Address{Address: address.MustMailbox(tt.from), Kind: Forward, Targets: []address.Mailbox{address.MustMailbox(tt.to)}}
		err := r.CheckLoop(t.Context(), a)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s to %s: %v, want %q", tt.from, tt.to, err, tt.want)
		}
	}
}

// TestCheckLoopBounded: many ways through the same addresses are not walked one
// by one; here there are 20^9 of them.
func TestCheckLoopBounded(t *testing.T) {
	const levels, width = 9, 20
	var b strings.Builder
	for l := range levels {
		for i := range width {
			fmt.Fprintf(&b, "l%d-%d@example.org silent", l, i)
			for k := range width {
				if l == levels-1 {
					fmt.Fprintf(&b, " x%d@example.net", k)
				} else {
					fmt.Fprintf(&b, " l%d-%d@example.org", l+1, k)
				}
			}
			b.WriteString("\n")
		}
	}
	d := newDirectory(t, b.String())
	r := &Resolver{Directory: d}
	if err := r.CheckLoop(t.Context(), d.addresses["l0-0@example.org"]); err != nil {
		t.Error(err)
	}
	if most := 2 * levels * width; d.reads > most {
		t.Errorf("%d look-ups, want at most %d", d.reads, most)
	}
}

// TestTrouble: trouble of the storage is an error and no verdict.
func TestTrouble(t *testing.T) {
	broken := errors.New("the disk fails")
	d := newDirectory(t, book)
	d.err = broken
	r := &Resolver{Directory: d, Postmaster: address.MustMailbox("postmaster@example.org")}
	for _, to := range []string{"box@example.org", "nobody@example.org", "x@example.net", "postmaster@example.org"} {
		if _, err := r.Resolve(t.Context(), address.MustMailbox(to)); !errors.Is(err, broken) {
			t.Errorf("%s: %v", to, err)
		}
	}
	a := Address{Address: address.MustMailbox("a@example.org"), Kind: Forward, Targets: []address.Mailbox{address.MustMailbox("b@example.org")}}
	if err := r.CheckLoop(t.Context(), a); !errors.Is(err, broken) {
		t.Errorf("CheckLoop: %v", err)
	}
}

func TestCheckAddress(t *testing.T) {
	m := address.MustMailbox
	for _, tt := range []struct {
		a    Address
		want string // "" if it is good
	}{
		{Address{Address: m("a@example.org"), Kind: Forward, Targets: []address.Mailbox{m("b@example.net")}}, ""},
		{Address{Address: m("a@example.org"), Kind: Forward}, "1 to 100 targets"},
		{Address{Address: m("a@example.org"), Kind: Forward, Targets: []address.Mailbox{m("A@example.org")}}, "itself"},
		{Address{Address: m("a@example.org"), Kind: Forward, Targets: []address.Mailbox{m("b@example.net"), m("B@example.net")}}, "twice"},
		{Address{Address: m("a@example.org"), Kind: Forward, Disclose: "loud", Targets: []address.Mailbox{m("b@example.net")}}, "silent or announce"},
		{Address{Address: m("a@example.org"), Kind: Forward, Targets: []address.Mailbox{{}}}, "local part and a domain"},
		{Address{Address: m("a@[192.0.2.1]"), Kind: Mailbox}, "literal"},
		{Address{Kind: Mailbox}, "local part and a domain"},
		{Address{Address: m("a@example.org"), Kind: Mailbox, Targets: []address.Mailbox{m("b@example.net")}}, "no targets"},
		{Address{Address: m("a@example.org"), Kind: Moved}, "exactly one"},
		{Address{Address: m("a@example.org"), Kind: Moved, Targets: []address.Mailbox{m("a@example.org")}}, "itself"},
		{Address{Address: m("a@example.org"), Kind: Refused, Text: "one\r\n250 two"}, "printable ASCII"},
		{Address{Address: m("a@example.org"), Kind: Refused, Text: strings.Repeat("x", MaxRefusal+1)}, "400"},
		{Address{Address: m("a@example.org"), Kind: Refused, Text: strings.Repeat("x", MaxRefusal)}, ""},
		{Address{Address: m("a@example.org"), Kind: "list"}, "unknown"},
		{Address{Address: m("Postmaster@example.org"), Kind: Refused}, "somebody must read"},
		{Address{Address: m("abuse@example.org"), Kind: Moved, Targets: []address.Mailbox{m("b@example.net")}}, "somebody must read"},
		{Address{Address: m("abuse@example.org"), Kind: Mailbox}, ""},
	} {
		err := tt.a.Check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.a, err, tt.want)
		}
	}
	a := Address{Address: m("a@example.org"), Kind: Forward, Targets: []address.Mailbox{m("b@example.net")}}
	if err := a.Check(); err != nil || a.Disclose != Silent {
		t.Errorf("without a disclosure it is %q, %v; private is the default", a.Disclose, err)
	}
}
