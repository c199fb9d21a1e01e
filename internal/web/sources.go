package web

import (
	"regexp"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// source is where a fact is from: a document that can be opened, or words.
type source struct {
	Text string
	// URL is "" where there is nothing to open. It is a link for people; no page
	// loads anything from it.
	URL string
}

// Sources that are the same for many facts: of classes, of the commands that a
// code answers, of when the connection ends, of how enhanced codes are made up.
const (
	sourceDigits   = "RFC 5321 §4.2.1"
	sourceMatrix   = "RFC 5321 §4.3.2"
	sourceEnding   = "RFC 5321 §3.8"
	sourceEnhanced = "RFC 3463 §2"
	sourceRegistry = "https://www.iana.org/assignments/smtp-enhanced-status-codes"
)

func rfcURL(number, section string) string {
	url := "https://www.rfc-editor.org/rfc/rfc" + number + ".html"
	if section != "" {
		url += "#section-" + section
	}
	return url
}

var (
	rfcSource    = regexp.MustCompile(`^RFC (\d+)(?: §([0-9.]*[0-9]))?`)
	commitSource = regexp.MustCompile(`^(https://github\.com/[^ ]+) \(commit ([0-9a-f]+)\) ([^ :]+)(?::(\d+))?$`)
)

// maxSourceText is how much of an address is shown, in octets.
const maxSourceText = 56

// sourceOf makes a link of a source as the facts have it: a citation, an
// address, a file in a repository, or words in English.
func sourceOf(text string) source {
	if m := rfcSource.FindStringSubmatch(text); m != nil {
		return source{text, rfcURL(m[1], m[2])}
	}
	if m := commitSource.FindStringSubmatch(text); m != nil {
		url := m[1] + "/blob/" + m[2] + "/" + m[3]
		if m[4] != "" {
			url += "#L" + m[4]
		}
		return source{strings.TrimPrefix(m[1], "https://github.com/") + " " + m[3], url}
	}
	if rest, ok := strings.CutPrefix(text, "https://"); ok {
		rest, _, _ = strings.Cut(rest, " ")
		short := strings.TrimSuffix(strings.TrimPrefix(rest, "www."), "/")
		if len(short) > maxSourceText {
			host, _, _ := strings.Cut(short, "/")
			short = host + "/…"
		}
		return source{short, "https://" + rest}
	}
	if strings.HasPrefix(text, "draft-") {
		return source{text, "https://datatracker.ietf.org/doc/" + text + "/"}
	}
	return source{Text: text}
}

// sources are those of a list of the facts; the few that are words and not the
// name of a document are said in the language of the page.
func (p *page) sources(list []string) []source {
	all := make([]source, 0, len(list))
	for _, text := range list {
		switch {
		case text == "not standardized":
			text = p.T("standard.not-standardized")
		case strings.HasPrefix(text, "not SMTP"):
			text = p.T("class.client-side")
		case strings.HasPrefix(text, "https://"):
		case p.Lang.Tag != reference.Fallback:
			text = p.wordless(text)
		}
		all = append(all, sourceOf(text))
	}
	return all
}

// wordless takes the English remarks off a source.
func (p *page) wordless(text string) string {
	text, _, _ = strings.Cut(text, " (")
	switch {
	case strings.HasPrefix(text, "listed by IANA"):
		return p.T("standard.registry-mention-only")
	case strings.HasPrefix(text, "not standardized"):
		return p.T("standard.not-standardized")
	}
	return text
}

// citations are those of our own code, such as "rfc5321#4.2.3".
func citations(list []string) []source {
	all := make([]source, 0, len(list))
	for _, c := range list {
		document, section, _ := strings.Cut(c, "#")
		number := strings.TrimPrefix(document, "rfc")
		text := "RFC " + number
		if section != "" {
			text += " §" + section
		}
		all = append(all, source{text, rfcURL(number, section)})
	}
	return all
}
