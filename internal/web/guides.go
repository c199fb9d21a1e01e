package web

import (
	"slices"
	"strconv"

	"github.com/onwardmail/onward/internal/reference"
)

// guideRow is a guide in a list.
type guideRow struct {
	Title, Lead, Path string
}

func (p *page) guideRows() []guideRow {
	var rows []guideRow
	for _, g := range reference.Guides() {
		key := "guide." + g.ID
		rows = append(rows, guideRow{Title: p.T(key + ".title"), Lead: p.T(key + ".lead"), Path: p.Link("/guides/" + g.ID)})
	}
	return rows
}

// guidesView is the list of guides.
type guidesView struct {
	*page
	Rows []guideRow
}

func (s *site) guidesView(p *page) *guidesView {
	p.Section, p.Title, p.Description = "guides", p.T("guides.title")+" · Onward", p.T("guides.lead")
	return &guidesView{page: p, Rows: p.guideRows()}
}

// guideView is one step of a guide: a question with its answers, each of them a
// link, or what to do.
type guideView struct {
	*page
	Heading, Lead string
	// First says that this is where the guide begins.
	First bool
	// Question or Result is what this step says.
	Question, Result string
	Answers          []link
	// Way are the steps that lead here, with the answers given.
	Way     []step
	Back    string
	Restart string
	Codes   []codeRow
	// Further are guides that go on from a result.
	Further []guideRow
}

// step is a question that has been answered.
type step struct {
	Question, Answer, Path string
}

func (s *site) guideView(p *page, id, at string) (any, bool) {
	g, ok := reference.GuideOf(id)
	if !ok {
		return nil, false
	}
	start := g.Nodes[0].ID
	n, ok := g.Node(at)
	if !ok {
		return nil, false
	}
	key := "guide." + id
	v := &guideView{page: p, Heading: p.T(key + ".title"), Lead: p.T(key + ".lead"), First: at == start, Restart: p.guidePath(g, start)}
	p.Section = "guides"
	p.Title, p.Description = v.Heading+" · Onward", v.Lead
	key += "." + at
	if len(n.Answers) == 0 {
		v.Result = p.T(key + ".result")
		p.Title, p.Description = v.Heading+" · "+p.T("guide.result")+" · Onward", v.Result
	} else {
		v.Question = p.T(key + ".q")
		if !v.First {
			p.Title = v.Question + " · " + p.Title
		}
		for i, to := range n.Answers {
			v.Answers = append(v.Answers, link{p.T(key + ".a-" + strconv.Itoa(i+1)), p.guidePath(g, to)})
		}
	}
	v.Codes = p.codeRows(n.Codes)
	for _, row := range p.guideRows() {
		if slices.ContainsFunc(n.Further, func(id string) bool { return row.Path == p.Link("/guides/"+id) }) {
			v.Further = append(v.Further, row)
		}
	}
	v.way(g, at)
	return v, true
}

func (p *page) guidePath(g reference.Guide, node string) string {
	if node == g.Nodes[0].ID {
		return p.Link("/guides/" + g.ID)
	}
	return p.Link("/guides/" + g.ID + "/" + node)
}

// way finds the answers that lead to a node. It goes back as far as there is
// only one way to have come.
func (v *guideView) way(g reference.Guide, at string) {
	type came struct {
		from         string
		answer, ways int
	}
	to := make(map[string]came, len(g.Nodes))
	for _, n := range g.Nodes {
		for i, next := range n.Answers {
			to[next] = came{n.ID, i + 1, to[next].ways + 1}
		}
	}
	for range g.Nodes { // a circle ends, too
		c := to[at]
		if c.ways != 1 {
			break
		}
		key := "guide." + g.ID + "." + c.from
		v.Way = append(v.Way, step{v.T(key + ".q"), v.T(key + ".a-" + strconv.Itoa(c.answer)), v.guidePath(g, c.from)})
		at = c.from
	}
	slices.Reverse(v.Way)
	if n := len(v.Way); n > 0 {
		v.Back = v.Way[n-1].Path
	}
}
