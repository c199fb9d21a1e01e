package web

import (
	"slices"
	"strings"

	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
)

// spokenOf finds the guides with a result about the code, and the words of the
// glossary that it belongs to. Those of an enhanced code are in any class.
func (v *codeView) spokenOf() {
	same := func(code string) bool {
		if code == v.Code {
			return true
		}
		_, a, dotted := strings.Cut(code, ".")
		_, b, _ := strings.Cut(v.Code, ".")
		return dotted && a == b
	}
	for _, g := range reference.Guides() {
		if slices.ContainsFunc(g.Nodes, func(n reference.GuideNode) bool { return slices.ContainsFunc(n.Codes, same) }) {
			v.Guides = append(v.Guides, v.guide(g.ID))
		}
	}
	for _, t := range reference.Glossary() {
		if slices.ContainsFunc(t.Codes, same) {
			v.Terms = append(v.Terms, link{v.T(t.Key() + ".term"), v.Link("/glossary") + "#" + t.ID})
		}
	}
}

// guide links to a guide by its title.
func (p *page) guide(id string) link {
	return link{p.T("guide." + id + ".title"), p.Link("/guides/" + id)}
}

// loginGuide is the guide for who was refused at the login; without a name for
// any other trouble.
func (p *page) loginGuide(e explain.Explanation) link {
	switch e.Reason {
	case "auth_required", "auth_failed", "auth_disabled", "auth_throttled", "auth_backend_down", "encryption_required", "account_disabled":
		return p.guide("login")
	}
	return link{}
}

// Guide leads on from a rejected login.
func (v *loginView) Guide() link { return v.guide("login") }
