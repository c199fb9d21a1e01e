package web

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/onwardmail/onward/internal/reference"
)

// void are the elements that have no end (HTML §13.1.2).
var void = map[string]bool{"meta": true, "link": true, "img": true, "input": true, "br": true, "hr": true, "path": true}

// TestEveryPageIsWellFormed holds the structure of each page against what
// readers without eyes rely on.
func TestEveryPageIsWellFormed(t *testing.T) {
	h := New(Options{})
	for _, l := range reference.Languages() {
		for _, address := range append(addresses(), "/codes/999", "/nowhere", "/compare/251-999") {
			target := "/" + l.Tag + address
			for _, defect := range defects(body(t, get(t, h, target))) {
				t.Errorf("%s: %s", target, defect)
			}
		}
	}
}

// outline is what has been seen of a page.
type outline struct {
	open    []string
	ids     map[string]bool
	refs    []string // that must be the id of something
	level   int      // of the last heading
	defects []string
}

func (o *outline) bad(text string) { o.defects = append(o.defects, text) }

func defects(page string) []string {
	o := &outline{ids: map[string]bool{}}
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			for _, ref := range o.refs {
				if !o.ids[ref] {
					o.bad("nothing has the id " + ref)
				}
			}
			if len(o.open) > 0 {
				o.bad("not closed: " + strings.Join(o.open, " "))
			}
			return o.defects
		case html.StartTagToken, html.SelfClosingTagToken:
			o.start(z.Token())
		case html.EndTagToken:
			o.end(z.Token().Data)
		case html.TextToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

func (o *outline) start(t html.Token) {
	attributes := map[string]string{}
	for _, a := range t.Attr {
		attributes[a.Key] = a.Val
	}
	if id, ok := attributes["id"]; ok {
		if id == "" || o.ids[id] || strings.ContainsAny(id, " \t") {
			o.bad("the id " + id + " is empty, has a space or stands twice")
		}
		o.ids[id] = true
	}
	for _, name := range [...]string{"aria-labelledby", "for", "list"} {
		if v, ok := attributes[name]; ok {
			o.refs = append(o.refs, v)
		}
	}
	if to, ok := strings.CutPrefix(attributes["href"], "#"); ok {
		o.refs = append(o.refs, to)
	}
	if len(t.Data) == 2 && t.Data[0] == 'h' && t.Data[1] >= '1' && t.Data[1] <= '6' {
		level := int(t.Data[1] - '0')
		if level > o.level+1 {
			o.bad("the heading " + t.Data + " leaves out a level")
		}
		o.level = level
	}
	for _, outer := range o.open {
		if t.Data == "a" && outer == "a" || (t.Data == "p" || t.Data == "ul" || t.Data == "div" || t.Data == "h2") && outer == "p" {
			o.bad("a " + t.Data + " within a " + outer)
		}
	}
	if t.Type == html.StartTagToken && !void[t.Data] {
		o.open = append(o.open, t.Data)
	}
}

func (o *outline) end(name string) {
	if void[name] {
		return
	}
	if len(o.open) == 0 || o.open[len(o.open)-1] != name {
		o.bad("</" + name + "> closes nothing; open are " + strings.Join(o.open, " "))
		return
	}
	o.open = o.open[:len(o.open)-1]
}

// Links to a place on another page lead to something.
func TestFragmentsExist(t *testing.T) {
	h := New(Options{})
	pages := map[string]string{}
	for _, address := range addresses() {
		page := body(t, get(t, h, "/en"+address))
		for _, m := range links.FindAllStringSubmatch(page, -1) {
			path, fragment, ok := strings.Cut(html.UnescapeString(m[1]), "#")
			if !ok || path == "" || strings.HasPrefix(path, "https:") {
				continue
			}
			if _, known := pages[path]; !known {
				pages[path] = body(t, get(t, h, path))
			}
			if !strings.Contains(pages[path], `id="`+fragment+`"`) {
				t.Errorf("/en%s: %s leads to nothing", address, m[1])
			}
		}
	}
}

func TestHeadOfAPage(t *testing.T) {
	h := New(Options{})
	text := body(t, get(t, h, "/codes/251", "Accept-Language", "ja"))
	for _, want := range [...]string{
		`<html lang="ja" dir="ltr">`, `<link rel="canonical" href="/ja/codes/251">`, `<link rel="alternate" hreflang="en" href="/en/codes/251">`,
		`<link rel="alternate" hreflang="x-default" href="/codes/251">`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	s := h.(*site)
	arabic := &page{site: s, Lang: reference.Language{Tag: "ar", Name: "العربية", RightToLeft: true}, Path: "/glossary"}
	made, err := s.render("glossary", s.glossaryView(arabic))
	if err != nil || !strings.Contains(string(made), `<html lang="ar" dir="rtl">`) {
		t.Errorf("a language from right to left is not shown as such (%v)", err)
	}
}
