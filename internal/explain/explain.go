// Package explain reads what a mail server said and tells what it means.
//
// A reply line goes in ([Line] for text of any kind that a person pastes,
// [Heard] for a reply that our own delivery got), and an [Explanation] comes
// out: codes, stage, provider, reason, who must act, whether to try again, how
// sure that is, and what the queue should do. It holds no sentences; they are
// looked up in package reference when it is shown, in any language.
//
// It answers on four levels, from exact to general: what this provider means by
// this text, the enhanced code, the reply code, its first digit. Replies that
// contradict themselves are classed by what is meant: "552 5.1.1 mailbox full"
// is a full mailbox, not an unknown user.
//
// It promises that [Explanation.Class] never turns a temporary reply into a
// permanent one, however plain the words: our reading may be wrong, and a
// mistake of ours must not bounce mail. The other way, a 5xx that only means
// "slow down", is tried again where the evidence is strong.
//
// It promises an answer for any input, within [MaxInput] octets of it, and that
// what was heard reaches a terminal only through [Escape]. It does not parse
// reports (package dsn does) and knows the log formats only so far as they
// quote a reply; further readers produce the same type heard, see read.go.
//
// RFC 5321 §4.2 (replies), RFC 3463 (enhanced codes), RFC 2034 §4.
package explain

import (
	"strings"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

// Class is what the queue should do with a recipient after a reply.
type Class uint8

// The classes. Unknown must be treated like Temporary.
const (
	Unknown Class = iota
	Positive
	Temporary
	Permanent
)

func (c Class) String() string {
	switch c {
	case Positive:
		return "positive"
	case Temporary:
		return "temporary"
	case Permanent:
		return "permanent"
	default:
		return "unknown"
	}
}

// Confidence of the ways in which an explanation is found, 0 to 1.
const (
	sureOwn           = 1.00
	sureExact         = 0.97 // provider's row with its codes
	sureRowCode       = 0.90 // provider's row, another enhanced code
	sureRowClass      = 0.80 // provider's row, another code of its class
	sureRow           = 0.65 // provider's row, another class
	surePositive      = 0.95
	sureEnhanced      = 0.80
	surePhrase        = 0.75
	surePhraseAgrees  = 0.90 // and the enhanced code says the same
	sureWeakPhrase    = 0.50
	sureVagueEnhanced = 0.45
	sureBasic         = 0.35
	sureDigit         = 0.20
	// actOn is how sure one must be to go against the class of the code.
	actOn = 0.75
)

// Explanation is what a reply means. It names no language. The zero value
// explains nothing.
type Explanation struct {
	// Text is what was heard, without codes, lines separated by \n. It is a
	// stranger's: show it through [Escape].
	Text string
	// Code is the reply code, 0 if there was none; Enhanced may be "".
	Code     int
	Enhanced string
	// Stage is where in the dialogue it was said, one of the values of
	// reference.Row.Phase, or "".
	Stage string
	// Provider is who said it, "" if not recognised.
	Provider string
	// Reason is a key of reference.Reasons, "" for a positive reply or where
	// nothing is known.
	Reason     string
	Who        reference.Actor
	Retry      reference.Retry
	Confidence float64
	// Class is what the queue should do.
	Class Class
	// Contradicts says that the codes and the words disagree.
	Contradicts bool

	// Row is the provider's row (reference.RowOf) that matched, or "".
	Row string
	// Private is the key of the provider's own meaning of the enhanced code.
	Private string
	// Reply is the name of the entry of package reply, if it is ours.
	Reply string
	// Outcome is the key of a trouble of our own (reference.OutcomeOf).
	Outcome string
	// phrase is the common turn of words that was found.
	phrase string
}

// Found reports whether anything at all was recognised.
func (e Explanation) Found() bool {
	return e.Code != 0 || e.Enhanced != "" || e.Reason != "" || e.Outcome != ""
}

// Options narrow what Line has to guess. The zero value is fine.
type Options struct {
	// MXHost is the name of the server that said it.
	MXHost string
	// Stage is where it was said, if known.
	Stage string
}

// Heard explains a reply that a server gave to our delivery: its code, its
// enhanced code or "", its lines without codes, and the name of the MX host.
// It is made for the path of every failed delivery.
func Heard(code int, enhanced string, lines []string, mxHost string) Explanation {
	return judge(heard{code: code, enhanced: enhanced, lines: lines, host: mxHost})
}

// Line explains whatever text a person has: one reply, of one line or several,
// or a log line that quotes one. Octets beyond [MaxInput] are ignored.
func Line(text string, opts Options) Explanation {
	h := read(text)
	if opts.MXHost != "" {
		h.host = opts.MXHost
	}
	if opts.Stage != "" {
		h.stage = opts.Stage
	}
	e := judge(h)
	if e.Confidence < sureExact {
		if name := ownReply(h); name != "" {
			o := Own(name)
			o.Text, o.Stage = e.Text, e.Stage
			return o
		}
	}
	return e
}

// Own explains one of our own replies by its stable name; for a name that does
// not exist it returns the zero value.
func Own(name string) Explanation {
	r, ok := reference.OwnReply(reference.Fallback, name)
	if !ok {
		return Explanation{}
	}
	d, _ := reply.ByName(name)
	return Explanation{
		Text: d.Text, Code: r.Code, Enhanced: r.Enhanced, Provider: "Onward", Reply: name,
		Reason: ownReason(r), Who: r.Who, Retry: r.Retry, Confidence: sureOwn, Class: classOf(r.Code, r.Enhanced),
	}
}

// Trouble explains an outcome of a delivery for which there is no remote reply,
// by its key such as "dns_timeout" (reference.Outcomes). An unknown key is a
// local error.
func Trouble(key string) Explanation {
	o, ok := reference.OutcomeOf(key)
	if !ok {
		o, _ = reference.OutcomeOf("local_error")
	}
	return Explanation{
		Enhanced: o.Enhanced, Stage: "delivery", Reason: o.Reason, Who: o.Who, Retry: o.Retry,
		Confidence: sureOwn, Class: classOf(0, o.Enhanced), Outcome: o.Key,
	}
}

func ownReason(r reference.Explanation) string {
	if r.Code < 400 {
		return ""
	}
	reason, certain := reference.ReasonByEnhanced(r.Enhanced)
	switch r.Name {
	case "relay-denied":
		return "relay_denied"
	case "sender-not-owned":
		return "sender_not_owned"
	case "recipient-refused":
		return "policy_rejected"
	case "auth-required":
		return "auth_required"
	case "tls-required":
		return "encryption_required"
	case "auth-unavailable":
		return "auth_backend_down"
	}
	if !certain && reason == "" {
		reason = reference.ReasonByBasic(r.Code)
	}
	return reason
}

// classOf is the class by the codes alone (rfc5321#4.2.1, rfc3463#2).
func classOf(code int, enhanced string) Class {
	digit := code / 100
	if code == 0 && enhanced != "" {
		digit = int(enhanced[0] - '0')
	}
	switch digit {
	case 2, 3:
		return Positive
	case 4:
		return Temporary
	case 5:
		return Permanent
	default:
		return Unknown
	}
}

// ownReply finds the entry of package reply that h is, or "": same codes, and
// its fixed words in their order.
func ownReply(h heard) string {
	if h.enhanced == "" {
		return ""
	}
	text := strings.Join(h.lines, " ")
	for _, d := range reply.All() {
		if d.Code == h.code && d.Enhanced == h.enhanced && fits(text, d.Text) {
			return d.Name
		}
	}
	return ""
}

// minFixed is how many fixed octets a text of ours must have to be known by
// them.
const minFixed = 8

func fits(text, template string) bool {
	fixed := 0
	for first := true; template != ""; first = false {
		part, rest, _ := strings.Cut(template, "{")
		i := strings.Index(text, part)
		if i < 0 || first && i > 0 {
			return false
		}
		text = text[i+len(part):]
		fixed += len(part)
		_, template, _ = strings.Cut(rest, "}")
	}
	return fixed >= minFixed
}
