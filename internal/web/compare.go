package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
)

// compareView is the comparison of two codes.
type compareView struct {
	*page
	Comparison  reference.Comparison
	Sides       [2]compared
	Suggestions []pair
}

// compared is one of the two.
type compared struct {
	Code, Path, Ink string
	Name, Meaning   prose
	When            string
	Transcript      transcript
}

func (s *site) compareView(p *page, a, b string) *compareView {
	v := &compareView{page: p, Comparison: reference.Compare(a, b, p.Lang.Tag)}
	for i, code := range [...]string{a, b} {
		side := compared{Code: code, Path: p.Link("/codes/" + code), Ink: ink(code)}
		if view, ok := s.codeView(p, code); ok {
			c := view.(*codeView)
			side.Ink, side.Name, side.Meaning, side.Transcript = c.Ink, c.Name, c.Meaning, c.Transcript
		}
		v.Sides[i] = side
	}
	v.Sides[0].When, v.Sides[1].When = v.Comparison.WhenA, v.Comparison.WhenB
	for _, other := range v.Comparison.Suggestions {
		v.Suggestions = append(v.Suggestions, p.pair(other[0], other[1]))
	}
	p.Section = "compare"
	p.Title = p.T("ui.compare", "a", a, "b", b) + " · Onward"
	p.Description = p.Title + ". " + v.Sides[0].Name.Text + " / " + v.Sides[1].Name.Text
	return v
}

// chooseView asks for two codes.
type chooseView struct {
	*page
	Pairs []pair
	// Codes are offered while one types: their names, and in Path the codes.
	Codes []link
}

func (s *site) chooseView(p *page) *chooseView {
	p.Section, p.Title, p.Description = "compare", p.T("compare.title")+" · Onward", p.T("compare.lead")
	v := &chooseView{page: p}
	for _, other := range notedPairs() {
		v.Pairs = append(v.Pairs, p.pair(other[0], other[1]))
	}
	for _, b := range reference.Basics() {
		v.Codes = append(v.Codes, link{p.prose(b.Key() + ".name").Text, strconv.Itoa(b.Code)})
	}
	for _, e := range reference.Enhanceds() {
		v.Codes = append(v.Codes, link{p.prose(e.Key() + ".name").Text, e.Code})
	}
	return v
}

// notedPairs are those that people really confuse: they have a note by hand.
var notedPairs = sync.OnceValue(func() [][2]string {
	var list [][2]string
	for _, key := range reference.Keys(reference.Fallback) {
		rest, ok := strings.CutPrefix(key, "pair.")
		rest, whole := strings.CutSuffix(rest, ".note")
		a, b, both := strings.Cut(rest, "-")
		if ok && whole && both {
			if before(b, a) {
				a, b = b, a
			}
			list = append(list, [2]string{a, b})
		}
	}
	slices.SortFunc(list, func(x, y [2]string) int {
		for i := range x {
			if x[i] != y[i] {
				if before(x[i], y[i]) {
					return -1
				}
				return 1
			}
		}
		return 0
	})
	return list
})

// explainView is what a pasted line means.
type explainView struct {
	*page
	// Line is what was pasted, unchanged, to stand in the box again.
	Line string
	// Asked says that there was something to explain, Found that it could be.
	Asked, Found     bool
	Heard            []string
	Codes            []codeRow
	Provider, Reason link
	Stage            string
	// Forward says what it means if the message was being forwarded.
	Forward            prose
	Meaning, When, Fix string
	Ink                string
	Who, Retry         string
	Boxes              []box
	Nobody             bool
	Sure               string
	Percent            int
	Remark             string
	Levels             []level
	OwnPath, OwnName   string
	BlockList          link
	// Guide goes on from here; without a name there is none.
	Guide link
}

// maxLinked is how much of a paste the links to other languages carry, in
// octets; what is longer would not fit into an address.
const maxLinked = 2 << 10

// level is one of the answers, from exact to general.
type level struct {
	explain.Level
	Head string
}

func (s *site) explainView(p *page, line string) *explainView {
	p.Section, p.Title, p.Description = "explain", p.T("explain.title")+" · Onward", p.T("explain.lead")
	v := &explainView{page: p, Line: line, Ink: "c0"}
	if line == "" {
		return v
	}
	p.NoIndex = true
	if len(line) <= maxLinked {
		p.Query = "?" + query("line", line)
	}
	v.Asked = true
	e := explain.Line(line, explain.Options{})
	if explain.IsReport(line) {
		e = explain.Report([]byte(line))[0].Explanation
	}
	v.Found = e.Found()
	if !v.Found {
		return v
	}
	v.answer(e)
	return v
}

// answer fills in what was found.
func (v *explainView) answer(e explain.Explanation) {
	p, j := v.page, e.JSON(v.Lang.Tag)
	v.Meaning, v.Fix = j.Meaning, j.Fix
	for _, code := range [...]string{codeText(e.Code), e.Enhanced} {
		if code == "" {
			continue
		}
		row := codeRow{Code: explain.Escape(code), Ink: ink(code)}
		if address, ok := canonical(code); ok {
			row.Path = p.Link("/codes/" + address)
		}
		v.Codes = append(v.Codes, row)
	}
	switch e.Class {
	case explain.Positive:
		v.Ink = "c2"
	case explain.Temporary:
		v.Ink = "c4"
	case explain.Permanent:
		v.Ink = "c5"
	case explain.Unknown:
	}
	v.Heard = heardLines(v.Line)
	v.Provider.Name = e.Provider
	for _, h := range houses() {
		if h.name == e.Provider {
			v.Provider.Path = p.Link("/providers/" + h.slug)
		}
	}
	if e.Stage != "" {
		v.Stage = p.T("stage." + e.Stage)
	}
	if e.Reply != "" {
		v.OwnName, v.OwnPath = e.Reply, p.Link("/replies/"+e.Reply)
		v.When = p.T("reply." + e.Reply + ".when")
	}
	if e.Who != "" {
		v.Who, v.Nobody, v.Boxes = p.T("actor."+string(e.Who)), e.Who == reference.Nobody, p.boxes(e.Who, "", security(e.Enhanced))
	}
	if e.Retry != "" {
		v.Retry = p.T("retry." + string(e.Retry))
		if wait := e.Wait(p.Lang.Tag); wait != "" {
			v.Retry += " · " + wait
		}
	}
	if list, ok := e.BlockList(); ok {
		v.BlockList = link{explain.Escape(list.Name), list.Lookup}
	}
	v.Guide = p.loginGuide(e)
	if e.Reason != "" {
		v.Reason = link{p.T("reason." + e.Reason + ".name"), p.Link("/reasons/" + e.Reason)}
	}
	if e.Row != "" {
		v.Forward = p.prose("provider." + e.Row + ".forward")
	}
	if v.Forward.Text == "" && e.Reason != "" {
		v.Forward = p.prose("reason." + e.Reason + ".forward")
	}
	v.Percent = int(e.Confidence*100 + 0.5)
	v.Sure = p.T("ui.confidence", "percent", codeText(v.Percent))
	if e.Contradicts {
		v.Remark = p.T("ui.contradiction")
		if e.Class == explain.Temporary && (e.Code/100 == 5 || e.Code == 0) {
			v.Remark = p.T("ui.treated-temporary")
		}
	}
	for _, l := range j.Levels {
		head := l.Code
		if l.Kind == "provider" && head == "" {
			head = p.T("ui.level-provider")
		}
		v.Levels = append(v.Levels, level{Level: l, Head: head})
	}
}

// query writes one parameter of an address.
func query(name, value string) string { return url.Values{name: {value}}.Encode() }

// troubleView is an error page that helps on.
type troubleView struct {
	*page
	Heading, Text string
	Asked         string
	Nearest       []codeRow
	Pairs         []pair
}

func (s *site) trouble(w http.ResponseWriter, r *http.Request, p *page, status int, key string) {
	p.Path, p.NoIndex, p.Title = "/", true, p.T(key)+" · Onward"
	s.show(w, r, status, "trouble", &troubleView{page: p, Heading: p.T(key), Text: p.T(key + "-text")})
}

// notFound says what was looked for and offers what is near.
func (s *site) notFound(w http.ResponseWriter, r *http.Request, p *page, asked string) {
	p.NoIndex, p.Title = true, p.T("error.unknown")+" · Onward"
	v := &troubleView{page: p, Heading: p.T("error.unknown"), Text: p.T("error.unknown-text"), Asked: explain.Escape(clip(asked)), Nearest: p.nearest(asked)}
	s.show(w, r, http.StatusNotFound, "trouble", v)
}

// pairNotFound is notFound for a comparison of which a side is unknown.
func (s *site) pairNotFound(w http.ResponseWriter, r *http.Request, p *page, a, b string) {
	p.Section, p.NoIndex, p.Title = "compare", true, p.T("error.unknown")+" · Onward"
	v := &troubleView{page: p, Heading: p.T("error.pair"), Text: p.T("error.unknown-text"), Asked: explain.Escape(clip(a) + " / " + clip(b))}
	x, y := clip(a), clip(b)
	for _, suggestion := range reference.Compare(x, y, p.Lang.Tag).Suggestions {
		v.Pairs = append(v.Pairs, p.pair(suggestion[0], suggestion[1]))
	}
	for _, side := range [...]string{x, y} {
		if _, ok := canonical(side); !ok {
			v.Nearest = append(v.Nearest, p.nearest(side)...)
		}
	}
	s.show(w, r, http.StatusNotFound, "trouble", v)
}
