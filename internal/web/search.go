package web

import (
	"strings"

	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

const (
	// pageHits bounds the results of a search that are shown.
	pageHits = 20
	// lineWords is from how many words on a query may be a line that a server
	// said.
	lineWords = 3
)

// searchView is the search, with what was found.
type searchView struct {
	*page
	// Asked is what was typed.
	Asked string
	Found string
	Hits  []hit
	// Line leads to the explanation, where a whole line was typed.
	Line string
}

// hit is a page that was found.
type hit struct {
	Path, Code, Ink, Kind, Title, Snippet string
	// Said is the literal text of a server.
	Said string
}

func (s *site) searchView(p *page, asked string) *searchView {
	p.Section, p.Title, p.Description = "search", p.T("search.title")+" · Onward", p.T("search.lead")
	asked = strings.TrimSpace(strings.ToValidUTF8(asked, "\uFFFD"))
	v := &searchView{page: p, Asked: asked}
	if asked == "" {
		return v
	}
	p.NoIndex, p.Query = true, "?"+query("q", asked)
	p.Title = p.T("search.result-title", "query", explain.Escape(clip(asked))) + " · Onward"
	if len(strings.Fields(asked)) >= lineWords && explain.Line(asked, explain.Options{}).Code != 0 {
		v.Line = p.Link("/explain?") + query("line", asked)
	}
	seen := map[string]bool{}
	add := func(h hit) {
		if h.Path != "" && !seen[h.Path] && len(v.Hits) < pageHits {
			seen[h.Path] = true
			v.Hits = append(v.Hits, h)
		}
	}
	if address, ok := canonical(asked); ok {
		add(s.codeHit(p, address))
	}
	found := reference.Search(p.Lang.Tag, asked, pageHits)
	for _, h := range found {
		add(s.hit(p, h))
	}
	switch {
	case len(found) == pageHits:
		v.Found = p.Count("search.most", len(v.Hits))
	case len(v.Hits) > 0:
		v.Found = p.Count("search.found", len(v.Hits))
	}
	return v
}

// codeHit is the page of the code that was asked for in so many digits.
func (s *site) codeHit(p *page, address string) hit {
	h := hit{Path: p.Link("/codes/" + address), Code: address, Ink: ink(address), Kind: p.T("kind.basic")}
	// The view writes its title into the page that it is given.
	own := *p
	if v, ok := s.codeView(&own, address); ok {
		c := v.(*codeView)
		h.Ink, h.Title, h.Snippet = c.Ink, c.Name.Text, c.Meaning.Text
	}
	if strings.Contains(address, ".") {
		h.Kind = p.T("kind.enhanced")
	}
	return h
}

// hit is what the reference found, with its address here.
func (s *site) hit(p *page, found reference.Hit) hit {
	h := hit{Code: found.Code, Title: found.Title, Snippet: found.Snippet, Kind: p.T("kind." + found.Kind), Ink: ink(found.Code)}
	switch found.Kind {
	case "basic", "enhanced":
		h.Path = p.Link("/codes/" + found.ID)
	case "private", "provider":
		h.Path = s.providerHit(p, found)
		if r, ok := reference.RowOf(found.ID); ok {
			h.Title, h.Said, h.Code = r.Provider, r.Sample, ""
		}
	case "reply":
		h.Path = p.Link("/replies/" + found.ID)
		if d, ok := reply.ByName(found.ID); ok {
			h.Title, h.Said = d.Name, reference.Fill(d.Text, s.values()...)
		}
	case "reason":
		h.Path = p.Link("/reasons/" + found.ID)
	case "guide":
		h.Path = p.Link("/guides/" + found.ID)
	case "glossary":
		h.Path = p.Link("/glossary") + "#" + found.ID
	}
	if h.Snippet == h.Title {
		h.Snippet = ""
	}
	return h
}

func (s *site) providerHit(p *page, found reference.Hit) string {
	if r, ok := reference.RowOf(found.ID); ok {
		return p.Link("/providers/"+slugOf(&r)) + "#" + found.ID
	}
	slug, _, _ := strings.Cut(found.ID, "-")
	return p.Link("/providers/"+slug) + "#" + found.ID
}
