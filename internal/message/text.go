package message

import (
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/onwardmail/onward/internal/address"
)

// DecodeText decodes the encoded words of an unfolded value for display
// (rfc2047#6). What cannot be decoded stays as it is; octets that are not
// UTF-8 become U+FFFD. The result is a stranger's text.
func DecodeText(value string) string {
	if !strings.Contains(value, "=?") {
		return strings.ToValidUTF8(value, "\uFFFD")
	}
	decoder := mime.WordDecoder{CharsetReader: decodeCharset}
	text, err := decoder.DecodeHeader(value)
	if err != nil {
		text = value
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// decodeCharset reads the charsets of mail that package mime does not know,
// such as iso-2022-jp.
func decodeCharset(charset string, input io.Reader) (io.Reader, error) {
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil, fmt.Errorf("decode charset %q: %w", charset, err)
	}
	return e.NewDecoder().Reader(input), nil
}

// cleanText makes text fit for one line: line ends and other control
// characters become a space, octets that are not UTF-8 become U+FFFD.
func cleanText(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	return strings.TrimSpace(text)
}

// EncodeText makes any text fit for an unstructured field or a comment of one:
// line ends and control characters become spaces, and what is not plain ASCII
// becomes encoded words (rfc2047#2). DecodeText gives the text back.
func EncodeText(text string) string {
	text = cleanText(text)
	if isPlain(text) {
		return text
	}
	return encodeWords(text)
}

// isPlain reports whether text can stand in a field as it is: ASCII, nothing
// that looks like an encoded word, no word so long that it cannot be folded.
func isPlain(text string) bool {
	const longest = 500 // well below MaxLine with any field name
	return isASCII(text) && !strings.Contains(text, "=?") &&
		!strings.ContainsFunc(text, unicode.IsControl) && longestWord(text) <= longest
}

func longestWord(text string) int {
	longest, n := 0, 0
	for i := 0; i < len(text); i++ {
		if text[i] == ' ' {
			n = 0
			continue
		}
		n++
		longest = max(longest, n)
	}
	return longest
}

// encodeWords writes text as encoded words of at most 75 characters, separated
// by a space (rfc2047#2), in Q unless B is clearly shorter. Q is written so that it
// may stand in a phrase (rfc2047#5).
func encodeWords(text string) string {
	quoted := 0
	for i := 0; i < len(text); i++ {
		quoted += len(quotedOctet(text[i]))
	}
	base := 4 * ((len(text) + 2) / 3)
	useQ := 4*quoted <= 5*base // what a person can read may be a little longer
	const room = 75 - len("=?utf-8?q?") - len("?=")
	var words []string
	var word []byte
	size := 0
	flush := func() {
		if len(word) == 0 {
			return
		}
		if useQ {
			words = append(words, "=?utf-8?q?"+string(word)+"?=")
		} else {
			words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString(word)+"?=")
		}
		word, size = word[:0], 0
	}
	for _, r := range text {
		char := string(r)
		if useQ {
			char = ""
			for _, c := range []byte(string(r)) {
				char += quotedOctet(c)
			}
			if size+len(char) > room {
				flush()
			}
			size += len(char)
		} else {
			if (len(word)+len(char)+2)/3*4 > room {
				flush()
			}
		}
		word = append(word, char...)
	}
	flush()
	return strings.Join(words, " ")
}

// quotedOctet is one octet in the Q encoding, as a phrase may have it
// (rfc2047#4.2, rfc2047#5).
func quotedOctet(c byte) string {
	switch {
	case c == ' ':
		return "_"
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '!', c == '*', c == '+', c == '-', c == '/':
		return string(rune(c))
	}
	return fmt.Sprintf("=%02X", c)
}

// TextField returns a complete unstructured field for any text, encoded and
// folded.
func TextField(name, text string) string { return Fold(name, EncodeText(text)) }

// FormatAddress returns a mailbox with a display name for a field such as
// From, the name quoted or encoded as it needs; an empty name is left out
// (rfc5322#3.4).
func FormatAddress(name string, m address.Mailbox) string {
	name = cleanText(name)
	switch {
	case name == "":
		return m.String()
	case !isPlain(name):
		name = encodeWords(name)
	case strings.ContainsAny(name, `()<>[]:;@\,."`):
		name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return name + " " + m.Path()
}

// Fold returns a complete field with CRLF. The value, in which line ends and
// control characters become spaces, is folded before white space so that lines
// have at most FoldAt characters where that is possible, and MaxLine octets
// always (rfc5322#2.2.3).
func Fold(name, value string) string {
	value = cleanText(value)
	var b strings.Builder
	b.Grow(len(name) + len(value) + 8 + len(value)/32)
	b.WriteString(name)
	b.WriteByte(':')
	used := len(name) + 1
	if value == "" {
		b.WriteString("\r\n")
		return b.String()
	}
	for value = " " + value; value != ""; {
		n := wordEnd(value)
		word := value[:n]
		value = value[n:]
		width := utf8.RuneCountInString(word)
		if used+width > FoldAt && used > 1 && !(used == len(name)+1 && len(word)+used <= MaxLine) {
			b.WriteString("\r\n")
			used = 0
		}
		for used+len(word) > MaxLine { // a word that no line can hold
			cut := MaxLine - used
			for !utf8.RuneStart(word[cut]) {
				cut--
			}
			b.WriteString(word[:cut])
			b.WriteString("\r\n ")
			word, used = word[cut:], 1
		}
		b.WriteString(word)
		used += utf8.RuneCountInString(word)
	}
	b.WriteString("\r\n")
	return b.String()
}

// wordEnd returns the length of the white space at the head of value and the
// word after it.
func wordEnd(value string) int {
	i := 0
	for i < len(value) && value[i] == ' ' {
		i++
	}
	for i < len(value) && value[i] != ' ' {
		i++
	}
	return i
}
