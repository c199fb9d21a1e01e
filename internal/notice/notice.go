// Package notice writes the messages by which the server tells the owner of an
// account what he must know: that an app password will expire or was suspended,
// that his main password is used strangely, that a limit is reached.
//
// It promises that a notice can be acted on: it says what happened, when and
// from where, what that means, and gives the commands for what can be done, in
// the owner's language. It holds no secret, and what others chose (names of app
// passwords, what a program called itself) cannot leave its place.
//
// It decides nothing about sending: the reverse-path of a notice is "<>", so
// that nothing is ever reported about it, which its caller sets.
//
// RFC 5322; RFC 3834 §5 (Auto-Submitted).
package notice

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/address"
	"github.com/onwardmail/onward/internal/dsn"
	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/message"
	"github.com/onwardmail/onward/internal/reference"
)

// ErrNotice says that a Notice lacks something without which it cannot be
// composed.
var ErrNotice = errors.New("the notice cannot be composed")

// Kind is what a notice tells.
type Kind uint8

// The kinds. The zero Kind is none.
const (
	// Expiry: an app password will expire.
	Expiry Kind = iota + 1
	// Suspended: an alarm has suspended an app password.
	Suspended
	// MainPassword: an alarm about the main password, which is not suspended.
	MainPassword
	// Limit: a sending limit is reached.
	Limit
)

// Notice is one message to the owner of an account.
type Notice struct {
	Kind Kind
	// Hostname is ours.
	Hostname string
	// Login names the account, To is where its owner gets mail.
	Login string
	To    address.Mailbox
	// Lang is the owner's language; one that we do not speak is English.
	Lang string
	// MessageID has its angle brackets: message.MessageID makes one.
	MessageID string
	Now       time.Time
	// Own says that owners manage their accounts themselves (onward my).
	Own bool

	AppPassword AppPassword // zero for MainPassword, and for a Limit of the account
	Alarm       Alarm       // of Suspended and MainPassword
	Strict      Strict      // of MainPassword
	Reached     Reached     // of Limit
}

// AppPassword is the one that a notice is about.
type AppPassword struct {
	ID, Name    string
	Expires     time.Time
	LastUse     time.Time // zero: never
	LastAddress netip.Addr
	LastClient  string
}

// Alarm is why it looks as if somebody else has a secret.
type Alarm struct {
	At time.Time
	// Kind is a key alarm.<Kind> of the reference; "" if Text says why.
	Kind         string
	Count, Usual int
	From         netip.Addr
	Text         string
}

// Strict is what binds the main password after an alarm.
type Strict struct {
	Until           time.Time
	PerHour, PerDay int
}

// Reached is a limit that is used up.
type Reached struct {
	// Name is one of account.LimitNames.
	Name   string
	Number int
	Until  time.Time
}

// Composed is a finished notice.
type Composed struct {
	// Content is the whole message with CRLF line ends, 7-bit unless UTF8.
	Content []byte
	// Subject is its subject in plain text.
	Subject string
	// UTF8 says that it needs SMTPUTF8: the address it goes to is not ASCII.
	UTF8 bool
}

// Compose writes the notice. The error is ErrNotice.
func Compose(n Notice) (Composed, error) {
	if err := n.check(); err != nil {
		return Composed{}, err
	}
	host, err := address.ParseDomain(n.Hostname)
	if err != nil {
		host = address.MustDomain("localhost")
	}
	t := &text{n: &n, lang: reference.Match(n.Lang), postmaster: address.Mailbox{Local: "postmaster", Domain: host}}
	subject := t.compose()
	var b strings.Builder
	b.WriteString(message.Fold("Date", message.FormatDate(n.Now)))
	b.WriteString(message.Fold("From", message.FormatAddress(t.say("from", "host", n.Hostname), t.postmaster)))
	b.WriteString(message.Fold("To", n.To.String()))
	b.WriteString(message.TextField("Subject", subject))
	b.WriteString(message.Fold("Message-ID", n.MessageID))
	b.WriteString("Auto-Submitted: auto-generated\r\n") // rfc3834#5
	b.WriteString("MIME-Version: 1.0\r\n")
	header, body := dsn.PlainText(strings.TrimRight(t.String(), "\n")+"\n", t.lang)
	b.WriteString(header + "\r\n" + body)
	return Composed{Content: []byte(b.String()), Subject: subject, UTF8: !n.To.IsASCII()}, nil
}

func (n *Notice) check() error {
	switch {
	case n.Hostname == "" || n.MessageID == "":
		return fmt.Errorf("%w: the host name or the message identifier is missing", ErrNotice)
	case n.To.IsZero() || n.Login == "":
		return fmt.Errorf("%w: it is for nobody", ErrNotice)
	case n.Kind < Expiry || n.Kind > Limit:
		return fmt.Errorf("%w: it has no kind", ErrNotice)
	case (n.Kind == Expiry || n.Kind == Suspended) && n.AppPassword.ID == "":
		return fmt.Errorf("%w: no app password is named", ErrNotice)
	}
	return nil
}

// text is the text of a notice in the making.
type text struct {
	strings.Builder
	n          *Notice
	lang       string
	postmaster address.Mailbox
}

// say returns a sentence with its {placeholders} filled from pairs of name and
// value. Values are made harmless here, whoever chose them.
func (t *text) say(key string, pairs ...string) string { return t.fill("notice."+key, pairs) }

func (t *text) fill(key string, pairs []string) string {
	sentence, _ := reference.Text(t.lang, key)
	for i := 0; i+1 < len(pairs); i += 2 {
		pairs[i], pairs[i+1] = "{"+pairs[i]+"}", explain.Escape(pairs[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(sentence)
}

// paragraph writes sentences and an empty line.
func (t *text) paragraph(sentences ...string) {
	space, _ := reference.Text(t.lang, "ui.sentence-space")
	dsn.Wrap(&t.Builder, "", strings.Join(sentences, space))
	t.WriteByte('\n')
}

// commands writes what can be typed; it is not wrapped. Where owners can do it
// themselves, it is their form of the command; only an administrator raises limits.
func (t *text) commands(lines ...string) {
	login := " " + shell(t.n.Login)
	for _, l := range lines {
		if verb, rest, ok := strings.Cut(l, login); t.n.Own && ok && verb != "limits" {
			t.WriteString("    onward my " + verb + rest + " --login" + login + "\n")
			continue
		}
		t.WriteString("    onward account " + l + "\n")
	}
	t.WriteByte('\n')
}

func (t *text) date(at time.Time) string { return at.UTC().Format(t.say("date")) }

// shell writes a word so that a shell reads it as it is.
func shell(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@._+-", r)
	}
	if word != "" && word[0] != '-' && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// compose writes the text and returns the subject.
func (t *text) compose() (subject string) {
	n, login := t.n, shell(t.n.Login)
	name := n.AppPassword.Name
	t.paragraph(t.say("about", "login", n.Login, "host", n.Hostname))
	switch n.Kind {
	case Expiry:
		date := t.date(n.AppPassword.Expires)
		subject = t.say("subject-expiry", "name", name, "date", date)
		t.paragraph(t.say("expiry", "name", name, "date", date), t.used())
		t.paragraph(t.say("expiry-do"))
		t.commands("app-password add " + login + " --name NAME --expires 90d")
		t.paragraph(t.say("expiry-nothing"))
	case Suspended:
		subject = t.say("subject-suspended", "name", name)
		t.paragraph(t.say("suspended", "name", name, "date", t.date(n.Alarm.At)))
		t.alarm()
		t.paragraph(t.say("suspended-means"))
		t.paragraph(t.say("was-you"))
		t.commands("app-password resume " + login + " " + shell(n.AppPassword.ID))
		t.paragraph(t.say("not-you"))
		t.commands("app-password revoke "+login+" "+shell(n.AppPassword.ID), "app-password add "+login+" --name NAME")
		t.paragraph(t.say("look"))
		t.commands("usage "+login, "failures "+login)
	case MainPassword:
		subject = t.say("subject-main")
		t.paragraph(t.say("main", "date", t.date(n.Alarm.At)))
		t.alarm()
		t.paragraph(t.say("main-means", "date", t.date(n.Strict.Until), "hour", fmt.Sprint(n.Strict.PerHour), "day", fmt.Sprint(n.Strict.PerDay)))
		t.paragraph(t.say("main-not-you"))
		t.commands("passwd " + login)
		t.paragraph(t.say("main-was-you"))
		t.commands("app-password resume " + login + " main")
		t.paragraph(t.say("look"))
		t.commands("usage "+login, "failures "+login)
	case Limit:
		subject = t.limit(login)
	}
	t.paragraph(t.say("commands", "postmaster", t.postmaster.String()))
	t.paragraph(t.say("footer", "host", n.Hostname))
	return subject
}

// used says when and from where an app password was used last.
func (t *text) used() string {
	p := &t.n.AppPassword
	switch {
	case p.LastUse.IsZero() || !p.LastAddress.IsValid():
		return t.say("unused")
	case p.LastClient == "":
		return t.say("used", "date", t.date(p.LastUse), "address", p.LastAddress.String())
	}
	return t.say("used-client", "date", t.date(p.LastUse), "address", p.LastAddress.String(), "client", p.LastClient)
}

// alarm says why.
func (t *text) alarm() {
	a := &t.n.Alarm
	key := "alarm." + a.Kind + ".what"
	if s, _ := reference.Text(t.lang, key); a.Kind == "" || s == "" {
		key = "alarm.other.what"
	}
	sentences := []string{t.fill(key, []string{"count", fmt.Sprint(a.Count), "usual", fmt.Sprint(a.Usual), "text", a.Text})}
	if a.From.IsValid() {
		sentences = append(sentences, t.say("alarm-from", "address", a.From.String()))
	}
	t.paragraph(sentences...)
}

// limit says which limit is reached, and returns the subject.
func (t *text) limit(login string) string {
	r, p := &t.n.Reached, &t.n.AppPassword
	option := strings.ReplaceAll(r.Name, "_", "-")
	values := []string{"date", t.date(t.n.Now), "number", fmt.Sprint(r.Number), "what", t.say(option), "until", t.date(r.Until)}
	raise := "limits " + login
	if p.ID == "" {
		t.paragraph(t.say("limit", values...), t.say("limit-once"))
	} else {
		t.paragraph(t.say("limit-own", append(values, "name", p.Name)...), t.say("limit-once"))
		raise += " --app-password " + shell(p.ID)
	}
	t.paragraph(t.say("limit-not-you"))
	t.commands("usage "+login, "passwd "+login, "app-password list "+login)
	t.paragraph(t.say("limit-raise"))
	t.commands(raise + " --" + option + " " + fmt.Sprint(2*r.Number))
	return t.say("subject-limit")
}
