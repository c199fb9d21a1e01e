// Package reply is the catalogue of everything Onward says to a client.
//
// It promises that no reply exists which is not an entry of the catalogue: a
// [Reply] has no exported fields and is made only by the constructors in
// catalogue.go, so a forged one does not compile and the zero one panics when
// it is sent. Every entry has a stable name, a code, an enhanced code, the
// stages at which RFC 5321 allows it, and citations; what it means, when one
// sees it and how it is fixed stands in package reference, in several
// languages, under the entry's name.
//
// It does not hold replies that other servers gave us: those are smtp.Reply,
// a different type, because they are untrusted.
//
// RFC 5321 §4.2 (form of replies), §4.3.2 (which reply for which command);
// RFC 2034 and RFC 3463 (enhanced status codes).
package reply

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxLine is the longest reply line, in octets, with its CRLF.
const MaxLine = 512 // rfc5321#4.5.3.1.5

// Stage is where in the dialogue a reply is given. Stages are a set.
type Stage uint32

// The stages, in the order of a session. Data is the answer to the DATA
// command, Content the answer after the final dot or the last chunk.
const (
	Connect Stage = 1 << iota
	Helo
	StartTLS
	Auth
	Mail
	Rcpt
	Data
	Content
	Bdat
	Rset
	Noop
	Quit
	Vrfy
	Expn
	Help
	// XClient is a proxy that says whom it speaks for. Its answer is that to the
	// connection of the client.
	XClient
	// Unknown is a line that is no command of ours.
	Unknown

	// AnyCommand is every stage at which a command has been read.
	AnyCommand = Helo | StartTLS | Auth | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | Expn | Help | XClient
	// Anywhere is every stage.
	Anywhere = AnyCommand | Connect | Content | Unknown
)

// Reply is one complete reply of ours. The zero Reply is none; sending it
// panics, because it means that a path of the program forgot to answer.
// Replies are comparable values.
type Reply struct {
	entry entry
	// wire is the reply as it is sent, with every CRLF.
	wire string
	// reference leads the owner of an account to the cause of a rejected login;
	// "" for every other reply.
	reference string
}

// IsZero reports whether r is no reply.
func (r Reply) IsZero() bool { return r.entry == none }

// Name returns the stable name of the catalogue entry, such as
// "mailbox-unknown". Names are never reused.
func (r Reply) Name() string { return r.must().Name }

// Code returns the reply code, 200 to 599.
func (r Reply) Code() int { return r.must().Code }

// Enhanced returns the enhanced status code, such as "5.1.1", or "" for the
// replies that have none (rfc2034#4: greeting, EHLO, 3xx).
func (r Reply) Enhanced() string { return r.must().Enhanced }

// Positive reports whether the reply is 2xx or 3xx.
func (r Reply) Positive() bool { return r.must().Code < 400 }

// Temporary reports whether the reply is 4xx.
func (r Reply) Temporary() bool { return r.must().Code/100 == 4 }

// Wire returns the reply as it is sent, with every CRLF. It panics for the
// zero Reply.
func (r Reply) Wire() string {
	r.must()
	return r.wire
}

// Append appends the wire form to dst. It panics for the zero Reply.
func (r Reply) Append(dst []byte) []byte {
	r.must()
	return append(dst, r.wire...)
}

// Linked returns the reply with a last line more, which has the address of the
// page that explains it: base, such as "https://mx.example.org", then
// /r/{code}/{name}, or /r/535/{reference} after a rejected login. The first
// line stays complete in itself, for clients that show only that one. Good
// replies are returned as they are, and so is 551, whose address clients parse
// (rfc5321#3.4); so are all if base is empty, or too long for a line.
func (r Reply) Linked(base string) Reply {
	d := r.must()
	if base == "" || d.Code < 400 || r.entry == pleaseTry {
		return r
	}
	name, words := d.Name, ""
	if r.reference != "" {
		name, words = r.reference, ownersWords
	}
	code := strconv.Itoa(d.Code)
	last := words + base + "/r/" + code + "/" + name
	if room(d) < len(last) || clean(last, room(d)) != last {
		return r
	}
	// the last line becomes one that is followed by another (rfc5321#4.2.1)
	wire := r.wire
	start := strings.LastIndexByte(wire[:len(wire)-2], '\n') + 1
	if r.reference != "" {
		wire = wire[:start] // the link says it better
		start = strings.LastIndexByte(wire[:len(wire)-2], '\n') + 1
	}
	var b strings.Builder
	b.Grow(len(wire) + len(last) + len("550 5.1.10 \r\n"))
	b.WriteString(wire[:start+3])
	b.WriteByte('-')
	b.WriteString(wire[start+4:])
	b.WriteString(code)
	b.WriteByte(' ')
	if d.Enhanced != "" {
		b.WriteString(d.Enhanced)
		b.WriteByte(' ')
	}
	b.WriteString(last)
	b.WriteString("\r\n")
	r.wire = b.String()
	return r
}

// room is how long the text of a line of an entry may be, in octets.
func room(d *Definition) int { return MaxLine - len(d.Enhanced) - 1 - 4 - 2 } // 4 for the code, 2 for CRLF

// String returns the reply in one line, for logs and tests.
func (r Reply) String() string {
	if r.IsZero() {
		return "no reply"
	}
	lines := strings.Split(strings.TrimSuffix(r.wire, "\r\n"), "\r\n")
	if len(lines) == 1 {
		return lines[0]
	}
	return strings.Join(lines, " | ")
}

func (r Reply) must() *Definition {
	if r.entry == none || r.entry >= last {
		panic("reply: the zero Reply was used: some path did not answer its client")
	}
	return &definitions[r.entry]
}

// Definition describes one entry of the catalogue.
type Definition struct {
	// Name is stable and never reused.
	Name string
	// Code is the reply code (rfc5321#4.2.1).
	Code int
	// Enhanced is the enhanced status code, or "" where RFC 2034 has none.
	Enhanced string
	// Text is the text with its placeholders in {braces}.
	Text string
	// Stages are where the reply may be given (rfc5321#4.3.2).
	Stages Stage
	// Closes says that we close the connection after it.
	Closes bool
	// Cites are the paragraphs that define it, such as "rfc5321#3.4".
	Cites []string
}

// All returns the catalogue in its order. The slice is the caller's.
func All() []Definition {
	all := make([]Definition, 0, int(last)-1)
	for e := none + 1; e < last; e++ {
		all = append(all, definitions[e])
	}
	return all
}

// ByName finds an entry by its stable name.
func ByName(name string) (Definition, bool) {
	for e := none + 1; e < last; e++ {
		if definitions[e].Name == name {
			return definitions[e], true
		}
	}
	return Definition{}, false
}

// say fills the placeholders of e in their order and builds the wire form.
func say(e entry, args ...string) Reply {
	return lines(e, fill(definitions[e].Text, args))
}

// lines builds a reply of one or more lines, each of which carries the codes.
func lines(e entry, texts ...string) Reply {
	d := &definitions[e]
	var b strings.Builder
	for i, text := range texts {
		b.WriteString(strconv.Itoa(d.Code))
		if i < len(texts)-1 {
			b.WriteByte('-')
		} else {
			b.WriteByte(' ')
		}
		if d.Enhanced != "" {
			b.WriteString(d.Enhanced)
			b.WriteByte(' ')
		}
		b.WriteString(clean(text, room(d)))
		b.WriteString("\r\n")
	}
	return Reply{entry: e, wire: b.String()}
}

// fill replaces each {placeholder} of text with the next argument.
func fill(text string, args []string) string {
	if len(args) == 0 {
		return text
	}
	var b strings.Builder
	for {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			break
		}
		end := strings.IndexByte(text[open:], '}') + open
		b.WriteString(text[:open])
		if len(args) == 0 {
			panic("reply: too few arguments for " + text)
		}
		b.WriteString(args[0])
		args = args[1:]
		text = text[end+1:]
	}
	if len(args) != 0 {
		panic("reply: too many arguments for " + text)
	}
	b.WriteString(text)
	return b.String()
}

// clean makes text fit for the wire: printable ASCII (rfc5321#4.2, textstring)
// of at most limit octets. A stranger's control characters and non-ASCII
// text become question marks; it is what an argument of ours may contain, not
// what the catalogue does.
func clean(text string, limit int) string {
	ok := len(text) <= limit
	for i := 0; ok && i < len(text); i++ {
		ok = text[i] >= ' ' && text[i] <= '~'
	}
	if ok {
		return text
	}
	b := make([]byte, 0, min(len(text), limit))
	for i := 0; i < len(text) && len(b) < limit; {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r >= ' ' && r <= '~' {
			b = append(b, byte(r))
		} else {
			b = append(b, '?')
		}
		i += n
	}
	if len(text) > limit && len(b) == limit {
		copy(b[limit-3:], "...")
	}
	return string(b)
}
