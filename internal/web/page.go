package web

import (
	"net/http"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// newPage reads language and path off the address.
func (s *site) newPage(r *http.Request) *page {
	p := &page{site: s, Path: r.URL.Path}
	first, rest, _ := strings.Cut(strings.TrimPrefix(p.Path, "/"), "/")
	if l, ok := s.language(first); ok {
		p.Lang, p.Base, p.Path = l, "/"+l.Tag, "/"+rest
		return p
	}
	p.Lang = s.accepted(r.Header.Get("Accept-Language"))
	return p
}

// page is what every page has; the views embed it.
type page struct {
	site *site
	Lang reference.Language
	// Base is the prefix of the links: "/ja" where the address names the
	// language, "" where the browser does.
	Base string
	// Path is the address without the prefix.
	Path string
	// Query is what the language switch must not lose, with its question mark.
	Query string
	// Title and Description are for the head.
	Title, Description string
	// Section is the entry of the navigation that is current.
	Section string
	// NoIndex keeps search engines out.
	NoIndex bool
	// English says that some text exists in English only.
	English bool
}

// wordPrefix is that of the keys of the words that only the pages have.
const wordPrefix = "web."

// T is a heading or sentence of the pages, or of the reference.
func (p *page) T(key string, pairs ...string) string {
	text, used := reference.Text(p.Lang.Tag, wordPrefix+key)
	if used == "" {
		text = reference.Say(p.Lang.Tag, key)
	}
	return reference.Fill(text, pairs...)
}

// Count is a sentence about a number of things, in the plural form that the
// language has for it.
func (p *page) Count(key string, n int) string { return reference.Count(p.Lang.Tag, wordPrefix+key, n) }

// Link is the address of another page in the same language.
func (p *page) Link(path string) string { return p.Base + path }

// Host is the server's name.
func (p *page) Host() string { return p.site.host }

// Style and Icon are the paths of the files that a page needs.
func (p *page) Style() string { return p.site.stylePath }

// Default is the page for those whose language we do not speak: the address
// without a language, or the first language of a static site.
func (p *page) Default() string {
	if p.Static() {
		return "/" + p.site.languages[0].Tag + p.Path
	}
	return p.Path
}

// Static reports that the pages are for a site of files, where no server
// answers a form; [page.Script] does it there.
func (p *page) Static() bool { return p.site.scriptPath != "" }

// Script is the path of the script of a static site.
func (p *page) Script() string { return p.site.scriptPath }

// Icon is the path of the icon.
func (p *page) Icon() string { return p.site.iconPath }

// Direction is the direction of the text.
func (p *page) Direction() string {
	if p.Lang.RightToLeft {
		return "rtl"
	}
	return "ltr"
}

// alternate is the same page in one language.
type alternate struct {
	Tag, Name, Path string
	Current         bool
}

// Alternates lists the page in every language.
func (p *page) Alternates() []alternate {
	list := make([]alternate, 0, len(p.site.languages))
	for _, l := range p.site.languages {
		list = append(list, alternate{Tag: l.Tag, Name: l.Name, Path: "/" + l.Tag + p.Path + p.Query, Current: l.Tag == p.Lang.Tag})
	}
	return list
}

// prose is a text and, where it is not in the language of the page, its own.
type prose struct {
	Text string
	Lang string
}

// prose looks up a sentence of the reference.
func (p *page) prose(key string) prose {
	text, used := reference.Text(p.Lang.Tag, key)
	if text == "" || used == p.Lang.Tag {
		return prose{Text: text}
	}
	p.English = true
	return prose{Text: text, Lang: used}
}
