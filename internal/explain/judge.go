package explain

import (
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// judge finds the reason of what was heard. The order of belief is: a row of
// the provider; a strong turn of words; an enhanced code that leaves no doubt;
// a weak turn of words; the rest.
func judge(h heard) Explanation {
	e := Explanation{
		Code: h.code, Enhanced: h.enhanced, Stage: h.stage, Text: joinLines(h.lines),
		Provider: reference.ProviderOfHost(h.host), Class: classOf(h.code, h.enhanced),
	}
	if e.Class == Positive {
		e.positive()
		return e
	}
	folded := h.fold()
	certain, sure := reference.ReasonByEnhanced(h.enhanced)
	row, exact, ok := reference.MatchProvider(reference.Heard{
		Provider: e.Provider, Code: h.code, Enhanced: h.enhanced, Text: folded,
	})
	if ok && !everybodys(row, e.Provider) && !outdone(row.Reason, folded) {
		e.byRow(row, exact)
	} else {
		e.byWords(folded, certain, sure)
	}
	if e.Stage == "" {
		e.Stage = guessStage(e)
	}
	if p, ok := reference.PrivateCode(e.Provider, h.enhanced, h.code); ok {
		e.Private = p.Key()
		if e.Row == "" {
			e.Who = p.Who
		}
	}
	e.settle()
	if sure && e.Reason != "" && e.Reason != certain && e.Confidence >= surePhrase && e.Private == "" && !akin(e.Reason, certain) {
		e.Contradicts = true
	}
	return e
}

// everybodys reports whether a row is a provider's use of words that are in the
// RFC, where nothing says that it is this provider who speaks.
func everybodys(row reference.Row, provider string) bool {
	return row.Boilerplate && row.Phase == "auth" && row.Provider != provider
}

// outdone reports whether the text says something more exact than the row of a
// provider, whose own reason is a vague one.
func outdone(reason, folded string) bool {
	switch reason {
	case "policy_rejected", "system_error", "domain_unknown", "content_policy", "auth_failed":
	default:
		return false
	}
	p, ok := reference.MatchPhrase(folded)
	if !ok || p.Weak {
		return false
	}
	switch reason {
	case "domain_unknown":
		return p.Reason == "dns_failure"
	case "content_policy":
		return p.Reason == "content_virus"
	case "auth_failed":
		return p.Reason == "auth_backend_down" || p.Reason == "auth_throttled" && !strings.Contains(folded, "(#auth005)")
	}
	switch p.Reason {
	case "dmarc_fail", "spf_fail", "dkim_fail", "content_virus", "greylisted", "loop_detected":
		return true
	}
	return false
}

func joinLines(lines []string) string {
	if len(lines) == 1 {
		return lines[0]
	}
	return strings.Join(lines, "\n")
}

// positive fills in what a 2xx or 3xx needs.
func (e *Explanation) positive() {
	e.Confidence, e.Who, e.Retry = surePositive, reference.Nobody, reference.RetryNoNeed
	if b, ok := reference.BasicCode(e.Code); ok {
		e.Who, e.Retry = b.Who, b.Retry
	} else {
		e.Confidence = sureDigit
	}
	if e.Stage == "" {
		e.Stage = guessStage(*e)
	}
}

// ownWords is how long a phrase must be to tell whose it is where the codes do
// not agree.
const ownWords = 20

// byRow believes a provider's row as far as its codes agree.
func (e *Explanation) byRow(row reference.Row, exact bool) {
	e.Row, e.Reason, e.Who, e.Retry = row.ID, row.Reason, row.Who, row.Retry
	sameClass := row.Code == 0 || e.Code == 0 || row.Code/100 == e.Code/100
	switch {
	case exact:
		e.Confidence = sureExact
	case row.Code == e.Code:
		e.Confidence = sureRowCode
	case sameClass:
		e.Confidence = sureRowClass
	default:
		e.Confidence, e.Retry = sureRow, ""
	}
	// The name of the software or of a block list is no provider to blame when
	// the MX name says otherwise.
	if e.Provider == "" && (exact || sameClass && row.Enhanced != "" && len(row.Contains) >= ownWords) && row.Kind != "blocklist" && !strings.HasPrefix(row.Provider, "any") {
		e.Provider = row.Provider
	}
	if e.Stage == "" {
		e.Stage = row.Phase
	}
	if !exact {
		e.Retry = ""
	}
}

// byWords finds the reason where no provider's row fits.
func (e *Explanation) byWords(folded, certain string, sure bool) {
	p, ok := reference.MatchPhrase(folded)
	switch {
	case ok && p.Reason == "mailbox_disabled" && certain == "account_disabled" && !strings.Contains(folded, "recipient"):
		// the same words, said of who logs in instead of the recipient (rfc5248#2.4)
		e.Reason, e.phrase, e.Confidence = certain, p.Contains, surePhraseAgrees
	case ok && !p.Weak:
		e.Reason, e.phrase, e.Confidence = p.Reason, p.Contains, surePhrase
		if certain == p.Reason {
			e.Confidence = surePhraseAgrees
		}
	case sure:
		e.Reason, e.Confidence = certain, sureEnhanced
		if ok && p.Reason == certain {
			e.phrase, e.Confidence = p.Contains, surePhraseAgrees
		}
	case ok:
		e.Reason, e.phrase, e.Confidence = p.Reason, p.Contains, sureWeakPhrase
	case certain != "":
		e.Reason, e.Confidence = certain, sureVagueEnhanced
	default:
		e.byBasic(folded)
	}
}

// aboutMail are parts of words that a refusal of the message, of its sender or
// of the client has in it, whatever the language of the rest.
var aboutMail = [...]string{"messag", "mail", "sender", "from", "content", "spam", "polic", "domain", "client", "host", "block", "http", "reject", "refus", "denied"}

// refusedRecipient reports whether a 550 whose words say nothing to us is
// rather about the recipient: 550 is first of all the answer to an RCPT whose
// mailbox was not found (rfc5321#4.2.3), and what servers say in languages
// and words of their own is mostly that.
func (e *Explanation) refusedRecipient(folded string) bool {
	if e.Code != 550 || e.Enhanced != "" || e.Text == "" || e.Stage != "" && e.Stage != "rcpt" {
		return false
	}
	for _, part := range aboutMail {
		if strings.Contains(folded, part) {
			return false
		}
	}
	return true
}

func (e *Explanation) byBasic(folded string) {
	if e.Code == 0 {
		return
	}
	if e.refusedRecipient(folded) {
		e.Reason, e.Confidence = "user_unknown", sureDigit
		return
	}
	e.Reason, e.Confidence = reference.ReasonByBasic(e.Code), sureBasic
	if _, ok := reference.BasicCode(e.Code); !ok || e.Reason == "" {
		e.Confidence = sureDigit
	}
}

// settle decides who acts, whether to retry, and what the queue does.
func (e *Explanation) settle() {
	reason, known := reference.ReasonOf(e.Reason)
	if e.Who == "" {
		e.Who = reason.Who
		if !known {
			e.Who = reference.Nobody
			if b, ok := reference.BasicCode(e.Code); ok {
				e.Who = b.Who
			}
		}
	}
	if e.Class == Permanent && e.meansWait(reason) {
		e.Class, e.Contradicts, e.Retry = Temporary, true, reference.RetryYes
	}
	if e.Retry != "" {
		return
	}
	switch {
	case e.Class == Temporary:
		e.Retry = reference.RetryYes // rfc5321#4.2.1
	case e.Class == Permanent && reason.Retry == reference.RetryYes:
		e.Retry = reference.RetryNo
	case known:
		e.Retry = reason.Retry
	case e.Class == Permanent:
		e.Retry = reference.RetryNo
	}
}

// meansWait reports whether a 5xx surely means that waiting helps. A row that
// knows its codes decides by its own retry; else the reason must be one that
// passes, found with enough certainty.
func (e *Explanation) meansWait(reason reference.Reason) bool {
	if e.Row != "" && e.Retry != "" {
		return e.Retry == reference.RetryYes
	}
	// Old servers say 552 for what RFC 5321 calls 452 (rfc5321#4.5.3.1.10).
	if e.Code == 552 && e.Reason == "too_many_recipients" {
		return true
	}
	return reason.Passing && e.Confidence >= actOn
}

// akin reports reasons of which the enhanced code often names one and the text
// the other, without contradiction.
func akin(a, b string) bool {
	group := func(r string) int {
		switch r {
		case "spf_fail", "spf_error", "dkim_fail", "dmarc_fail", "auth_missing":
			return 1
		case "auth_failed", "auth_disabled", "auth_required", "account_disabled", "auth_throttled":
			return 2
		case "rate_limited", "rate_limited_recipient", "server_busy", "too_many_connections":
			return 3
		case "network_failure", "dns_failure", "tls_failure":
			return 4
		case "domain_unknown", "user_unknown", "address_syntax", "mailbox_moved":
			return 5
		case "protocol_error", "helo_invalid", "message_malformed", "too_many_recipients":
			return 6
		}
		return 0
	}
	g := group(a)
	return g != 0 && g == group(b)
}

// guessStage says where a reply is usually given, or "".
func guessStage(e Explanation) string {
	switch e.Reason {
	case "auth_failed", "auth_disabled", "auth_throttled", "auth_backend_down", "account_disabled":
		return "auth"
	case "user_unknown", "mailbox_moved", "relay_denied", "greylisted", "mailbox_full", "mailbox_disabled",
		"rate_limited_recipient", "verification_pending", "too_many_recipients", "recipient_restricted":
		return "rcpt"
	case "dkim_fail", "dmarc_fail", "auth_missing", "content_spam", "content_virus", "content_policy", "message_malformed", "loop_detected":
		return "post-data"
	case "sender_rejected", "sender_domain_unresolvable", "sender_not_owned", "message_too_big", "spf_fail", "spf_error":
		return "mail"
	case "too_many_connections":
		return "connect"
	case "helo_invalid":
		return "ehlo"
	}
	b, ok := reference.BasicCode(e.Code)
	if !ok || len(b.Commands) == 0 || len(b.Commands) > 2 {
		return ""
	}
	return stageOf(b.Commands[0])
}

// stageOf is the stage at which a command is answered.
func stageOf(command string) string {
	switch command {
	case "CONNECT":
		return "connect"
	case "EHLO", "HELO":
		return "ehlo"
	case "STARTTLS":
		return "starttls"
	case "AUTH":
		return "auth"
	case "MAIL":
		return "mail"
	case "RCPT", "VRFY":
		return "rcpt"
	case "DATA", "BDAT":
		return "data"
	case "delivery":
		return "delivery"
	}
	return ""
}
