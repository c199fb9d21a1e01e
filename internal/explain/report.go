package explain

import (
	"bytes"
	"strings"

	"github.com/onwardmail/onward/internal/dsn"
)

// Fate is what a bounce says about one recipient, explained.
type Fate struct {
	Explanation
	// Recipient is the address, "" if the bounce does not name it.
	Recipient string
	// Action is failed, delayed, delivered, relayed, expanded, or "".
	Action string
	// RemoteMTA is the host that caused it, "" if not told.
	RemoteMTA string
}

// MaxReport is how many octets of a bounce are looked at.
const MaxReport = 4 << 20

// Report explains a bounce: a message with a delivery status (RFC 3464), the
// status alone, or one in the words of qmail, Exim and other programs that
// write for people only. It gives one Fate a recipient, and at least one.
func Report(content []byte) []Fate {
	if len(content) > MaxReport {
		content = content[:MaxReport]
	}
	content = bytes.TrimLeft(content, "\r\n")
	if bytes.HasPrefix(content, []byte("From ")) { // a line of mbox before the message
		_, content, _ = bytes.Cut(content, []byte("\n"))
	}
	p, err := dsn.Parse(content)
	if err != nil {
		if alone := statusAlone(content); alone != nil {
			p, err = dsn.Parse(alone)
		}
	}
	if err == nil {
		fates := make([]Fate, 0, len(p.Recipients))
		for _, r := range p.Recipients {
			fates = append(fates, fateOf(p, r))
		}
		return fates
	}
	text := dsn.Readable(content)
	if strings.TrimSpace(text) == "" {
		text = string(content)
	}
	return told(text)
}

// statusAlone makes a message of a delivery status that somebody pasted without
// the message around it.
func statusAlone(content []byte) []byte {
	lower := bytes.ToLower(content[:min(len(content), MaxInput)])
	if !bytes.Contains(lower, []byte("final-recipient:")) && !bytes.Contains(lower, []byte("diagnostic-code:")) {
		return nil
	}
	for _, field := range [...]string{"reporting-mta:", "original-recipient:", "final-recipient:", "action:"} {
		if i := bytes.Index(lower, []byte(field)); i == 0 || i > 0 && lower[i-1] == '\n' {
			return append([]byte("Content-Type: message/delivery-status\r\n\r\n"), content[i:]...)
		}
	}
	return nil
}

// IsReport reports whether a text that somebody pasted is a bounce rather than
// a line of it.
func IsReport(text string) bool {
	head := strings.ToLower(text[:min(len(text), MaxInput)])
	if strings.Contains(head, "final-recipient:") && strings.Contains(head, "\n") {
		return true
	}
	return strings.Contains(head, "content-type:") && strings.Contains(head, "\n") &&
		(strings.Contains(head, "multipart/report") || strings.Contains(head, "mailer-daemon") || strings.Contains(head, "received:"))
}

func fateOf(p dsn.Parsed, r dsn.ParsedRecipient) Fate {
	f := Fate{Recipient: firstText(r.OriginalRecipient, r.FinalRecipient), RemoteMTA: r.RemoteMTA}
	if r.Action != 0 {
		f.Action = r.Action.String()
	}
	h := read(r.Diagnostic)
	if h.host == "" {
		h.host = r.RemoteMTA
	}
	if h.enhanced == "" {
		h.enhanced = r.Status
	}
	f.Explanation = judge(h)
	if f.Confidence < surePhrase {
		// The status says little: the words for people may say more.
		if told := about(p.Text, f.Recipient); told != "" {
			t := read(told)
			if t.host == "" {
				t.host = h.host
			}
			if t.enhanced == "" {
				t.enhanced = h.enhanced
			}
			if other := judge(t); other.Confidence > f.Confidence {
				f.Explanation = other
			}
		}
	}
	return f
}

func firstText(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// about finds in a text for people what stands under an address, or the whole
// text where only one could be meant.
func about(text, recipient string) string {
	if len(text) > MaxInput {
		text = text[:MaxInput]
	}
	if recipient != "" {
		if i := strings.Index(strings.ToLower(text), strings.ToLower(recipient)); i >= 0 {
			return paragraph(text[i+len(recipient):])
		}
	}
	return withoutOriginal(text)
}

// paragraph is a text up to the next empty line, the first one not counted.
func paragraph(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.TrimLeft(text, ">:) \t\n")
	if i := strings.Index(text, "\n\n"); i >= 0 {
		text = text[:i]
	}
	return text
}

// The lines after which a bounce quotes the message that came back.
var originals = [...]string{
	"--- below this line is a copy of the message", "------ this is a copy of the message", "----- original message",
	"--- the header of the original message", "----- unsent message", "return-path: <", "--- the forwarded message",
	"original message follows", "message header follows", "original message headers",
}

func withoutOriginal(text string) string {
	lower := strings.ToLower(text)
	end := len(text)
	for _, o := range originals {
		if i := strings.Index(lower, o); i >= 0 {
			end = min(end, i)
		}
	}
	return text[:end]
}

// told reads a bounce that is written for people: the paragraphs that begin
// with an address in a line of its own are one recipient each, as qmail, Exim
// and Sendmail write them.
func told(text string) []Fate {
	text = strings.ReplaceAll(withoutOriginal(text), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	var fates []Fate
	for i := 0; i < len(lines) && len(fates) < dsn.MaxReported; i++ {
		recipient := loneAddress(lines[i])
		if recipient == "" {
			continue
		}
		var words []string
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "" && loneAddress(lines[i]) == ""; i++ {
			words = append(words, strings.TrimSpace(lines[i]))
		}
		i--
		if len(words) == 0 {
			continue
		}
		e := judge(read(strings.Join(words, "\n")))
		if e.Found() {
			fates = append(fates, Fate{Explanation: e, Recipient: recipient})
		}
	}
	if len(fates) == 0 {
		fates = []Fate{{Explanation: judge(read(text))}}
	}
	return fates
}

// loneAddress returns the address of a line that holds nothing else: "<a@b>:",
// "  a@b", "a@b:".
func loneAddress(line string) string {
	line = strings.TrimSpace(line)
	if len(line) > 320 {
		return ""
	}
	word, rest, _ := strings.Cut(line, " ")
	if rest != "" && !strings.HasPrefix(rest, "(") {
		return ""
	}
	word = strings.Trim(strings.TrimSuffix(word, ":"), "<>")
	at := strings.LastIndexByte(word, '@')
	if at < 1 || at == len(word)-1 || strings.ContainsAny(word, "<>:;,\"()") || !strings.Contains(word[at:], ".") {
		return ""
	}
	return word
}

// FateJSON is a Fate as programs get it: the fields of JSON and three more.
type FateJSON struct {
	JSON
	Recipient string `json:"recipient"`
	Action    string `json:"action"`
	RemoteMTA string `json:"remote_mta"`
}

// JSON returns f with its sentences in lang.
func (f Fate) JSON(lang string) FateJSON {
	return FateJSON{JSON: f.Explanation.JSON(lang), Recipient: f.Recipient, Action: f.Action, RemoteMTA: f.RemoteMTA}
}
