package web

import (
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
)

// commonUsage is the source of a word that no document defines.
const commonUsage = "common usage"

// glossaryView is the glossary.
type glossaryView struct {
	*page
	Terms []term
}

// term is a word with what it means.
type term struct {
	ID, Key string
	Name    prose
	// English is what it is called in English, where the page is not.
	English string
	Text    prose
	See     []link
	Codes   []codeRow
	Sources []source
}

func (s *site) glossaryView(p *page) *glossaryView {
	p.Section, p.Title, p.Description = "glossary", p.T("glossary.title")+" · Onward", p.T("glossary.lead")
	v := &glossaryView{page: p}
	for _, t := range reference.Glossary() {
		g := term{ID: t.ID, Name: p.prose(t.Key() + ".term"), Text: p.prose(t.Key() + ".text"), Codes: p.codeRows(t.Codes)}
		g.Key = strings.ToLower(g.Name.Text)
		if english, _ := reference.Sentence(reference.Fallback, t.Key()+".term"); english != g.Name.Text {
			g.English = english
		}
		if t.Source != "" && t.Source != commonUsage {
			g.Sources = p.sources([]string{t.Source})
		}
		for _, other := range t.See {
			g.See = append(g.See, link{p.prose("glossary." + other + ".term").Text, "#" + other})
		}
		v.Terms = append(v.Terms, g)
	}
	slices.SortStableFunc(v.Terms, func(a, b term) int { return strings.Compare(a.Key, b.Key) })
	return v
}
