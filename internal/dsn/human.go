package dsn

import (
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/message"
)

// Lengths, in octets, of what is quoted from the message in the text.
const (
	maxSubject = 300
	maxHost    = 255
)

// quoteIndent stands before every line that somebody else wrote, so that it
// can never be taken for one of ours.
const quoteIndent = "    "

// text is the part for people in the making.
type text struct {
	strings.Builder
	lang string
	host string
}

func (t *text) say(key string, pairs ...string) string { return say(t.lang, key, pairs...) }

// paragraph writes a sentence of ours and an empty line.
func (t *text) paragraph(s string) {
	wrap(&t.Builder, "", s)
	t.WriteByte('\n')
}

// quote writes lines that are not ours and an empty line.
func (t *text) quote(lines ...string) {
	for _, line := range lines {
		wrap(&t.Builder, quoteIndent, line)
	}
	t.WriteByte('\n')
}

// section writes a heading and prose that came with the report.
func (t *text) section(key, prose string) {
	if strings.TrimSpace(prose) == "" {
		return
	}
	wrap(&t.Builder, "", t.say(key))
	for line := range strings.SplitSeq(prose, "\n") {
		wrap(&t.Builder, "", escape(strings.TrimSpace(line)))
	}
	t.WriteByte('\n')
}

func (t *text) date(at time.Time) string { return at.UTC().Format(t.say("dsn.date")) }

// human writes the part for people, with LF line ends; returned is what is
// attached: "header", "message", "alone".
func (r *Report) human(original message.Header, returned string) string {
	t := &text{lang: language(r.Lang), host: r.ReportingMTA}
	for i := range r.Recipients {
		if i > 0 {
			t.WriteString(strings.Repeat("-", columns) + "\n\n")
		}
		t.recipient(&r.Recipients[i], r.Kind)
	}
	t.message(original, r.Arrival)
	t.paragraph(t.say("dsn.footer."+returned, "host", r.ReportingMTA))
	return strings.TrimRight(t.String(), "\n") + "\n"
}

// recipient writes the fate of one recipient.
func (t *text) recipient(r *Recipient, kind Kind) {
	kind = r.action(kind)
	t.paragraph(t.say("dsn.intro." + kind.String()))
	t.quote(escape(r.Original.Unicode()))
	switch {
	case r.hidden():
		t.paragraph(t.say("dsn.forwarded.hidden"))
	case r.Forwarded():
		t.paragraph(t.say("dsn.forwarded.disclosed", "target", escape(r.Target.Unicode())))
	}
	if kind == Failed || kind == Delayed || !r.Heard.IsZero() {
		t.said(r)
	}
	t.section("dsn.means", r.safe(r.Explanation))
	t.section("dsn.do", r.safe(r.Advice))
	if who := actorKey(r.Actor); who != "" {
		t.section("dsn.who", t.say(who, "host", t.host))
	}
	if kind == Delayed && !r.WillRetryUntil.IsZero() {
		t.paragraph(t.say("dsn.until", "date", t.date(r.WillRetryUntil)))
	}
	wrap(&t.Builder, "", t.say("dsn.status", "status", r.status(kind)))
	if !r.LastAttempt.IsZero() {
		wrap(&t.Builder, "", t.say("dsn.last", "date", t.date(r.LastAttempt)))
	}
	if r.LogID != "" {
		wrap(&t.Builder, "", t.say("dsn.reference", "id", escape(r.LogID)))
	}
	t.WriteByte('\n')
}

// said writes the other server's words.
func (t *text) said(r *Recipient) {
	lines, ok := r.heard()
	switch {
	case !ok:
		t.paragraph(t.say("dsn.said.withheld", "code", strconv.Itoa(r.Heard.Code)))
		return
	case len(lines) == 0:
		t.paragraph(t.say("dsn.said.nothing"))
		return
	case r.hidden():
		t.paragraph(t.say("dsn.said.forwarded"))
	case r.RemoteMTA != "":
		t.paragraph(t.say("dsn.said.server", "server", escape(clip(r.RemoteMTA, maxHost))))
	default:
		t.paragraph(t.say("dsn.said.unnamed"))
	}
	t.quote(lines...)
}

// message says which message it is about.
func (t *text) message(original message.Header, arrival time.Time) {
	var lines []string
	if subject := escape(clip(original.Text("Subject"), maxSubject)); strings.TrimSpace(subject) != "" {
		lines = append(lines, t.say("dsn.message.subject", "subject", subject))
	}
	if date := escape(clip(original.Value("Date"), maxSubject)); date != "" {
		lines = append(lines, t.say("dsn.message.date", "date", date))
	}
	if !arrival.IsZero() {
		lines = append(lines, t.say("dsn.message.arrival", "date", t.date(arrival)))
	}
	if len(lines) == 0 {
		return
	}
	wrap(&t.Builder, "", t.say("dsn.message"))
	t.quote(lines...)
}

// safe is prose of ours in which a private target must not stand either,
// should a sentence have been filled from another server's words.
func (r *Recipient) safe(prose string) string {
	if !r.private() {
		return prose
	}
	paragraphs := strings.Split(prose, "\n")
	for i, p := range paragraphs {
		paragraphs[i], _ = r.withhold(p)
	}
	return strings.Join(paragraphs, "\n")
}

func actorKey(a Actor) string {
	switch a {
	case ActorNobody:
		return "dsn.who.nobody"
	case ActorSender:
		return "dsn.who.sender"
	case ActorSenderAdmin:
		return "dsn.who.sender-admin"
	case ActorRecipient:
		return "dsn.who.recipient"
	case ActorRecipientAdmin:
		return "dsn.who.recipient-admin"
	case ActorOperator:
		return "dsn.who.operator"
	}
	return ""
}
