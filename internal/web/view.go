package web

import "strconv"

// What the templates need beside the fields of the views.

// grouped is a group with the words for its table.
type grouped struct {
	*page
	Group group
}

// Table gives the template of a table its group and its words.
func (p *page) Table(g group) grouped { return grouped{p, g} }

// heard is a transcript with the words around it.
type heard struct {
	*page
	Transcript transcript
}

// Spoken gives the template of a transcript its words.
func (p *page) Spoken(t transcript) heard { return heard{p, t} }

// Pasted is what stands in the box.
func (p *page) Pasted() string { return "" }

// Pasted is the line that was explained, to be mended and asked again.
func (v *explainView) Pasted() string { return v.Line }

// AllText is the link to the full list.
func (v *homeView) AllText() string {
	return v.T("home.all", "basics", strconv.Itoa(v.Basics), "enhanceds", strconv.Itoa(v.Enhanceds))
}

// MoreText counts what is not shown.
func (v *codeView) MoreText() string { return v.T("code.more", "count", strconv.Itoa(v.More)) }
