package smtp

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/address"
)

// written is what MAIL would say for these parameters.
func (m MailParams) written() string {
	var b strings.Builder
	add := func(keyword, value string) {
		b.WriteString(" " + keyword)
		if value != "" {
			b.WriteString("=" + value)
		}
	}
	if m.Size > 0 {
		add("SIZE", strconv.FormatInt(m.Size, 10))
	}
	if m.Body != BodyUnset {
		add("BODY", []string{"7BIT", "8BITMIME", "BINARYMIME"}[m.Body-Body7Bit])
	}
	if m.UTF8 {
		add("SMTPUTF8", "")
	}
	if m.RequireTLS {
		add("REQUIRETLS", "")
	}
	if m.Ret != RetUnset {
		add("RET", map[Ret]string{RetFull: "FULL", RetHeaders: "HDRS"}[m.Ret])
	}
	if m.EnvID != "" {
		add("ENVID", EncodeXtext(m.EnvID))
	}
	switch m.Auth {
	case "":
	case "<>":
		add("AUTH", m.Auth)
	default:
		add("AUTH", EncodeXtext(m.Auth))
	}
	return b.String()
}

// written is what RCPT would say for these parameters.
func (r RcptParams) written() string {
	var b strings.Builder
	if r.Notify != 0 {
		var words []string
		for i, word := range []string{"NEVER", "SUCCESS", "FAILURE", "DELAY"} {
			if r.Notify&(NotifyNever<<i) != 0 {
				words = append(words, word)
			}
		}
		b.WriteString(" NOTIFY=" + strings.Join(words, ","))
	}
	if kind, who, ok := strings.Cut(r.ORcpt, ";"); ok {
		if !strings.EqualFold(kind, "utf-8") {
			who = EncodeXtext(who)
		}
		b.WriteString(" ORCPT=" + kind + ";" + who)
	}
	return b.String()
}

// FuzzMail: what MAIL says is a path and parameters of those that are offered,
// and says the same when it is written plainly and read again.
func FuzzMail(f *testing.F) {
	for _, s := range []string{
		"FROM:<anna@example.org> SIZE=1 BODY=8BITMIME RET=HDRS ENVID=x+2By AUTH=anna+40example.org",
		"FROM:<> BODY=BINARYMIME REQUIRETLS AUTH=<>", "from: <@a.example,@[192.0.2.1]:jörg@bücher.example> SMTPUTF8", "FROM:<a@b> SIZE=99999999999999999999",
	} {
		f.Add(s, uint16(everything))
	}
	f.Fuzz(func(t *testing.T, arg string, x uint16) {
		offered := Extensions(x) & everything
		from, m, err := ParseMail(arg, offered)
		if err != nil {
			return
		}
		if m.Size < 0 || len(m.EnvID) > MaxEnvID || strings.ContainsAny(m.EnvID+m.Auth, "\r\n\x00") {
			t.Fatalf("%q has %+v", arg, m)
		}
		for bit, has := range map[Extensions]bool{
			ExtSize: m.Size != 0, Ext8BitMIME: m.Body != BodyUnset, ExtBinaryMIME: m.Body == BodyBinaryMIME, ExtSMTPUTF8: m.UTF8 || !from.IsASCII(),
			ExtDSN: m.Ret != RetUnset || m.EnvID != "", ExtAuth: m.Auth != "", ExtRequireTLS: m.RequireTLS,
		} {
			if has && !offered.Has(bit) {
				t.Fatalf("%q has %+v, though only %b is offered", arg, m, offered)
			}
		}
		if offered != everything {
			return
		}
		again := "FROM:" + from.Path() + m.written()
		if from2, m2, err := ParseMail(again, everything); err != nil || from2 != from || m2 != m {
			t.Fatalf("%q is written %q, which is read as %#v, %+v, %v; it was %#v, %+v", arg, again, from2, m2, err, from, m)
		}
	})
}

// FuzzRcpt: the same for RCPT.
func FuzzRcpt(f *testing.F) {
	for _, s := range []string{
		"TO:<anna@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@example.org", "TO:<postmaster> NOTIFY=NEVER",
		`to: <@a.example:"a b"@[IPv6:2001:db8::1]>`, `TO:<jörg@bücher.example> ORCPT=utf-8;j\x{F6}rg@example.org`,
	} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, arg string, utf8 bool) {
		to, r, err := ParseRcpt(arg, everything, utf8)
		if err != nil {
			return
		}
		if to.IsZero() || len(r.ORcpt) > MaxORcpt || strings.ContainsAny(r.ORcpt, "\r\n\x00") {
			t.Fatalf("%q gave %#v, %+v", arg, to, r)
		}
		if r.Notify&NotifyNever != 0 && r.Notify != NotifyNever {
			t.Fatalf("%q wants to be told never, and sometimes", arg)
		}
		if !utf8 && !to.IsASCII() {
			t.Fatalf("%q is beyond ASCII", arg)
		}
		path := to.Path()
		if to.Domain.IsZero() {
			path = "<" + to.Local + ">"
		}
		again := "TO:" + path + r.written()
		if len(r.written()) > MaxORcpt { // xtext may be longer than what it says
			return
		}
		if to2, r2, err := ParseRcpt(again, everything, utf8); err != nil || to2 != to || r2 != r {
			t.Fatalf("%q is written %q, which is read as %#v, %+v, %v; it was %#v, %+v", arg, again, to2, r2, err, to, r)
		}
	})
}

// FuzzArguments reads a text as the argument of the other commands.
func FuzzArguments(f *testing.F) {
	for _, s := range []string{"PLAIN AGFubmEAc2VjcmV0", "LOGIN =", "X-1 ====", "86400 LAST", "99999999999999999999", "[IPv6:::1]", "[::1]", "a.example.", "<anna@example.org> SMTPUTF8", "jörg"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		if name, initial, err := ParseAuth(arg); err == nil {
			again := name
			switch {
			case initial == nil:
			case len(initial) == 0:
				again += " ="
			default:
				again += " " + string(AppendBase64(nil, initial))
			}
			name2, initial2, err := ParseAuth(again)
			if err != nil || name2 != name || !bytes.Equal(initial2, initial) || len(name) > MaxMechanism || strings.ContainsAny(name, " \r\n") {
				t.Fatalf("AUTH %q is %q with %q, and again %q with %q, %v", arg, name, initial, name2, initial2, err)
			}
		}
		if response, err := DecodeBase64([]byte(arg)); err == nil && string(AppendBase64(nil, response)) != arg {
			t.Fatalf("%q is read as %q, which is not its only form", arg, response)
		}
		if n, last, err := ParseBdat(arg); err == nil {
			digits, word, more := strings.Cut(arg, " ")
			want := strings.TrimLeft(digits, "0")
			got := strconv.FormatInt(n, 10)
			if n < 0 || last != more || more && !strings.EqualFold(word, "LAST") || got != want && want != "" && len(want) < 19 {
				t.Fatalf("BDAT %q has %d octets, last: %v", arg, n, last)
			}
		}
		if name, err := ParseHello(arg); err == nil {
			if name != arg || strings.ContainsAny(name, " \t<>\"\r\n\x00") {
				t.Fatalf("%q calls itself %q", arg, name)
			}
		}
		for _, utf8 := range []bool{false, true} {
			a, err := ParseVerify(arg, utf8)
			if err != nil {
				continue
			}
			if a.Local == "" || !utf8 && !isASCII(a.Local) {
				t.Fatalf("VRFY %q asks for %#v", arg, a)
			}
			if a.Domain.IsZero() {
				continue
			}
			if again, err := address.ParseMailbox(a.String()); err != nil || again != a {
				t.Fatalf("VRFY %q asks for %#v, which is read as %#v, %v", arg, a, again, err)
			}
		}
	})
}

// bareEndings looks at content octet by octet: what LineScanner must equal.
func bareEndings(content string) (cr, lf, unfinished bool) {
	for i := range len(content) {
		switch {
		case content[i] == '\r':
			cr = cr || i+1 == len(content) || content[i+1] != '\n'
		case content[i] == '\n':
			lf = lf || i == 0 || content[i-1] != '\r'
		}
	}
	return cr, lf, content != "" && !strings.HasSuffix(content, "\r\n")
}

// FuzzLineScanner: in pieces of any size it finds what an octet at a time finds.
func FuzzLineScanner(f *testing.F) {
	f.Add("a\r\nb\n\rc\r", []byte{1})
	f.Add("\r\r\n\n\r\n", []byte{2, 1, 0, 3})
	f.Fuzz(func(t *testing.T, content string, sizes []byte) {
		var l LineScanner
		for i, rest := 0, content; rest != ""; i++ {
			n := len(rest)
			if len(sizes) > 0 {
				n = min(n, int(sizes[i%len(sizes)])%16)
			}
			if n == 0 && i%2 == 1 {
				n = 1 // a piece may be empty, but not all of them
			}
			l.Scan([]byte(rest[:n]))
			rest = rest[n:]
		}
		unfinished := l.End()
		if cr, lf, open := bareEndings(content); l.BareCR != cr || l.BareLF != lf || unfinished != open {
			t.Fatalf("%q in pieces of %v: CR %v LF %v unfinished %v; it has CR %v LF %v unfinished %v",
				content, sizes, l.BareCR, l.BareLF, unfinished, cr, lf, open)
		}
	})
}

// FuzzDotWriter: what is sent is read as it was, and is one message to every
// reader, the laxest included; or it is not sent.
func FuzzDotWriter(f *testing.F) {
	f.Add("a\r\n.\r\n..b\r\n.", byte(1))
	f.Add("a\n.\nb", byte(7))
	f.Add(".\r", byte(3))
	f.Fuzz(func(t *testing.T, content string, size byte) {
		var wire bytes.Buffer
		w := DotWriter{W: &wire}
		var err error
		for rest := content; rest != "" && err == nil; {
			n := min(max(int(size), 1), len(rest))
			_, err = w.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if err == nil {
			err = w.Close()
		}
		cr, lf, unfinished := bareEndings(content)
		if (err != nil) != (cr || lf) {
			t.Fatalf("%q by %d: %v", content, size, err)
		}
		if err != nil {
			return
		}
		if unfinished {
			content += "\r\n"
		}
		got, used, _, _, done := reference(wire.Bytes())
		if string(got) != content || used != wire.Len() || !done {
			t.Fatalf("%q by %d became %q, which reads %q", content, size, wire.Bytes(), got)
		}
		lax := strings.ReplaceAll("\n"+strings.ReplaceAll(wire.String(), "\r", ""), "\n\n", "\n \n")
		if strings.Index(lax, "\n.\n") != len(lax)-3 {
			t.Fatalf("%q by %d became %q, which somebody ends earlier", content, size, wire.Bytes())
		}
	})
}

// TestDecoderOnAllChunkings: every text of up to seven of the octets that
// matter, cut in every way there is, reads as it does octet by octet.
func TestDecoderOnAllChunkings(t *testing.T) {
	longest := 7
	if testing.Short() {
		longest = 5
	}
	const octets = "\r\n.a"
	var all func(wire []byte)
	all = func(wire []byte) {
		for cuts := range 1 << max(len(wire)-1, 0) { // a bit for each place between two octets
			at := 0
			sameAsReference(t, wire, "all cuts", func() int {
				n := 1
				for at < len(wire)-1 && cuts>>at&1 == 0 {
					n++
					at++
				}
				at++
				return n
			})
		}
		if len(wire) < longest {
			for _, c := range []byte(octets) {
				all(append(bytes.Clone(wire), c))
			}
		}
	}
	all(nil)
}
