package explain

import (
	"strings"
	"unicode/utf8"

	"github.com/onwardmail/onward/internal/reference"
)

// MaxInput is how many octets of an input are looked at.
const MaxInput = 64 << 10

// heard is a reply as some reader understood it: what every reader (a pasted
// line, a log line, a report, an exception) produces and judge consumes.
type heard struct {
	code     int
	enhanced string
	// lines are the texts without codes.
	lines []string
	// host is the name of the server that said it, if known.
	host string
	// stage is where it was said, if the input tells.
	stage string
}

// read understands text that somebody pasted. It tries, in this order: a reply
// as it is on the wire; a reply quoted in a longer line; an enhanced code
// alone; words alone.
func read(text string) heard {
	if len(text) > MaxInput {
		text = text[:MaxInput]
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	h := heard{host: quotedHost(text), stage: quotedStage(text)}
	lines := splitLines(text)
	if len(lines) == 0 {
		return h
	}
	if code, rest, ok := replyLine(lines[0]); ok {
		h.code = code
		h.lines = replyLines(code, rest, lines[1:])
	} else if at := quotedReply(text); at >= 0 {
		quoted := splitLines(text[at:])
		h.code, rest, _ = replyLine(quoted[0])
		h.lines = replyLines(h.code, rest, quoted[1:])
		trimQuote(h.lines)
	} else {
		h.lines = lines
	}
	h.enhanced, h.lines = takeEnhanced(h.code, h.lines)
	return h
}

func splitLines(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// replyLine reads the grammar of a reply line: code, then space, hyphen or the
// end (rfc5321#4.2).
func replyLine(line string) (code int, rest string, ok bool) {
	if len(line) < 3 || line[0] < '1' || line[0] > '5' || !digit(line[1]) || !digit(line[2]) {
		return 0, "", false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, "", known(code)
	}
	if line[3] != ' ' && line[3] != '-' && line[3] != '\t' {
		return 0, "", false
	}
	return code, strings.TrimSpace(line[4:]), known(code)
}

// known keeps street numbers and counts from being read as replies: a code of
// 1xx must be one that the reference has.
func known(code int) bool {
	if code >= 200 {
		return true
	}
	_, ok := reference.BasicCode(code)
	return ok
}

// replyLines gathers the texts of a reply whose first line had rest. Lines with
// the same code lose it; others are kept as they are, because mail programs
// fold long lines.
func replyLines(code int, rest string, more []string) []string {
	lines := make([]string, 0, 1+len(more))
	lines = append(lines, unfoldInline(code, rest)...)
	for _, line := range more {
		if c, r, ok := replyLine(line); ok {
			if c != code {
				break // the next reply of a dialogue
			}
			line = r
		}
		lines = append(lines, unfoldInline(code, line)...)
	}
	return lines
}

// unfoldInline separates the lines of a reply that a log has put into one:
// "550-first 550-second 550 third".
func unfoldInline(code int, line string) []string {
	digits := string([]byte{' ', byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
	if !strings.Contains(line, digits) {
		return []string{line}
	}
	var lines []string
	hyphen := strings.Contains(line, digits+"-")
	from := 0
	for i := 0; ; {
		j := strings.Index(line[i:], digits)
		if j < 0 {
			break
		}
		at := i + j
		end := at + len(digits)
		if end < len(line) && (line[end] == '-' || line[end] == ' ' && (hyphen || startsEnhanced(line[end+1:]))) {
			lines = append(lines, strings.TrimSpace(line[from:at]))
			from = end + 1
		}
		i = end
	}
	return append(lines, strings.TrimSpace(line[from:]))
}

func startsEnhanced(s string) bool { return enhancedLen(s) > 0 }

// takeEnhanced finds the enhanced code and removes it from the starts of the
// lines. One that does not stand at the start counts only if it has the class
// of the code, or if there is no code (rfc2034#4).
func takeEnhanced(code int, lines []string) (string, []string) {
	enhanced := ""
	for i, line := range lines {
		if n := enhancedLen(line); n > 0 {
			if enhanced == "" {
				enhanced = line[:n]
			}
			if line[:n] == enhanced {
				lines[i] = strings.TrimLeft(line[n:], " :;-")
			}
		}
	}
	for _, line := range lines {
		if enhanced != "" {
			break
		}
		enhanced = innerEnhanced(code, line)
	}
	return enhanced, lines
}

// innerEnhanced finds an enhanced code inside a line: "(#5.7.1)", "dsn=5.1.1",
// "Status: 5.1.1".
func innerEnhanced(code int, line string) string {
	for i := 1; i < len(line); i++ {
		if !digit(line[i]) || digit(line[i-1]) || line[i-1] == '.' || line[i-1] == '-' || asciiLetter(line[i-1]) {
			continue
		}
		if n := enhancedLen(line[i:]); n > 0 && (code == 0 || int(line[i]-'0') == code/100) {
			return line[i : i+n]
		}
	}
	return ""
}

// enhancedLen returns the length of the enhanced code at the start of s, or 0.
// Subjects end at 7 (rfc3463#2), which keeps versions and addresses out.
func enhancedLen(s string) int {
	if len(s) < 5 || s[0] != '2' && s[0] != '4' && s[0] != '5' || s[1] != '.' || s[2] < '0' || s[2] > '7' || s[3] != '.' {
		return 0
	}
	n := 4
	for n < len(s) && n < 7 && digit(s[n]) {
		n++
	}
	if n == 4 || n < len(s) && (digit(s[n]) || s[n] == '.' && n+1 < len(s) && digit(s[n+1]) || asciiLetter(s[n])) {
		return 0
	}
	return n
}

// quotedReply finds where in a longer line a reply begins, or -1. It takes the
// first after words such as "said:", else the first with an enhanced code of
// the same class, else the first that stands at a place where a reply can.
func quotedReply(text string) int {
	best, bestRank := -1, 0
	for i := 1; i+3 < len(text); i++ {
		if text[i] < '2' || text[i] > '5' || !digit(text[i+1]) || !digit(text[i+2]) || text[i+3] != ' ' && text[i+3] != '-' {
			continue
		}
		rank := quoteRank(text, i)
		if rank > bestRank {
			best, bestRank = i, rank
		}
	}
	return best
}

func quoteRank(text string, i int) int {
	switch text[i-1] {
	case ' ', '\t', '\n', '"', '\'', '(', ':', ';', '<', '>', '|', ',':
	default:
		return 0
	}
	before := strings.ToLower(strings.TrimRight(text[max(0, i-24):i], " \t\n\"'(<|"))
	for _, word := range [...]string{"said:", "replied:", "response:", "responded:", "reply:", "error:", "says:", "said", "stat=", "dsn:", "smtp;", "message:", ">>>"} {
		if strings.HasSuffix(before, word) {
			return 3
		}
	}
	if rest := text[i+4:]; enhancedLen(rest) > 0 && rest[0] == text[i] {
		return 2
	}
	if text[i] == '4' || text[i] == '5' {
		return 1
	}
	return 0
}

// trimQuote takes off what a log adds after the reply it quotes.
func trimQuote(lines []string) {
	last := &lines[len(lines)-1]
	if i := strings.Index(*last, "(in reply to "); i >= 0 {
		*last = strings.TrimSpace((*last)[:i])
	}
	*last = strings.TrimRight(*last, ")\"' ")
}

// quotedHost finds the server's name in "host mx.example.com[192.0.2.1] said:".
func quotedHost(text string) string {
	for _, before := range [...]string{"host ", "relay=", "H=", "to mx "} {
		_, rest, ok := strings.Cut(text, before)
		if !ok {
			continue
		}
		end := strings.IndexAny(rest, " [:,()\"\n")
		if end > 0 && strings.Contains(rest[:end], ".") {
			return rest[:end]
		}
	}
	return signedBy(text)
}

// signedBy finds the server's name where it signs with it, as Microsoft does:
// "… [AM0PR10CA0001.EURPRD10.PROD.OUTLOOK.COM]".
func signedBy(text string) string {
	for _, sign := range [...]string{".PROD.OUTLOOK.COM", ".prod.outlook.com"} {
		if i := strings.Index(text, sign); i > 0 {
			if start := strings.LastIndexAny(text[:i], "[ \n"); start >= 0 && text[start] == '[' {
				return text[start+1 : i+len(sign)]
			}
		}
	}
	return ""
}

// quotedStage reads "in reply to RCPT TO command" and the like.
func quotedStage(text string) string {
	_, rest, ok := strings.Cut(text, "in reply to ")
	if !ok {
		return ""
	}
	for _, w := range [...]struct{ words, stage string }{
		{"end of DATA", "post-data"},
		{"MAIL", "mail"},
		{"RCPT", "rcpt"},
		{"DATA", "data"},
		{"EHLO", "ehlo"},
		{"HELO", "ehlo"},
		{"AUTH", "auth"},
		{"STARTTLS", "starttls"},
		{"BDAT", "post-data"},
	} {
		if strings.HasPrefix(rest, w.words) {
			return w.stage
		}
	}
	return ""
}

// fold makes the text that phrases are looked for in: the code, then the lines,
// in lower case with single spaces.
func (h heard) fold() string {
	n := 4
	for _, line := range h.lines {
		n += len(line) + 1
	}
	b := make([]byte, 0, n)
	if h.code >= 100 && h.code <= 999 {
		b = append(b, byte('0'+h.code/100), byte('0'+h.code/10%10), byte('0'+h.code%10))
	}
	space := len(b) > 0
	for _, line := range h.lines {
		for i := 0; i < len(line); {
			c := line[i]
			if c < utf8.RuneSelf {
				i++
				if c <= ' ' {
					space = len(b) > 0
					continue
				}
				if space {
					b, space = append(b, ' '), false
				}
				if c >= 'A' && c <= 'Z' {
					c += 'a' - 'A'
				}
				b = append(b, c)
				continue
			}
			if space {
				b, space = append(b, ' '), false
			}
			r, size := utf8.DecodeRuneInString(line[i:])
			b = appendFolded(b, r)
			i += size
		}
		space = len(b) > 0
	}
	return string(b)
}

// appendFolded turns the quotation marks and dashes that mail programs put in
// into those that servers use.
func appendFolded(b []byte, r rune) []byte {
	switch r {
	case '\u2018', '\u2019':
		return append(b, '\'')
	case '\u201c', '\u201d':
		return append(b, '"')
	case '\u2010', '\u2011', '\u2013':
		return append(b, '-')
	case '\u00a0':
		return append(b, ' ')
	}
	return utf8.AppendRune(b, r)
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func asciiLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
