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

// Pasted is what was searched for in vain.
func (v *searchView) Pasted() string { return v.Asked }

// Pasted is the line that was explained, to be mended and asked again.
func (v *explainView) Pasted() string { return v.Line }

// AllText is the link to the full list.
func (v *homeView) AllText() string {
	return v.T("home.all", "basics", strconv.Itoa(v.Basics), "enhanceds", strconv.Itoa(v.Enhanceds))
}

// about is a thing that a provider says, with the words around it.
type about struct {
	*page
	Said said
	// Linked says that it stands elsewhere than on the page of its provider.
	Linked bool
}

// About gives a template a thing said, on the page of a code or a reason.
func (v *codeView) About(s said) about { return about{v.page, s, true} }

// About is the same on the page of a reason.
func (v *reasonView) About(s said) about { return about{v.page, s, true} }

// About is the same on the page of the provider itself.
func (v *providerView) About(s said) about { return about{v.page, s, false} }

// Ink is the style class of a code of a provider's own.
func (a about) Ink() string { return a.Said.Codes[0].Ink }

// CodePath leads to it.
func (a about) CodePath() string { return a.Said.Codes[0].Path }

// section is an entry of the navigation.
type section struct {
	Name, Path string
	Current    bool
}

// Sections are the parts of the reference.
func (p *page) Sections() []section {
	names := [...]string{"codes", "compare", "explain", "guides", "providers", "glossary"}
	list := make([]section, 0, len(names))
	for _, name := range names {
		if name == "explain" && p.Static() {
			continue // only a server can read a line
		}
		list = append(list, section{p.T("nav." + name), p.Link("/" + name), p.Section == name})
	}
	return list
}
