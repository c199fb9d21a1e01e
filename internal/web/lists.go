package web

import (
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

// group is a part of a table of codes.
type group struct {
	ID, Name, Text, Ink string
	Rows                []codeRow
	// Actors says that the last column is who must act, not the commands.
	Actors bool
}

// homeView is the first page.
type homeView struct {
	*page
	Groups   []group
	Examples []example
	Guides   []guideRow
	// Known are the numbers of what the reference knows.
	Basics, Enhanceds, Said int
}

// example is a line to try the box with.
type example struct {
	Line, Path string
}

func (s *site) home(p *page) *homeView {
	p.Section, p.Title, p.Description = "home", p.T("home.title", "host", s.host), p.T("home.lead")
	v := &homeView{page: p, Groups: p.basicGroups(true), Guides: p.guideRows()}
	v.Basics, v.Enhanceds, v.Said = len(reference.Basics()), len(reference.Enhanceds())+len(reference.Privates()), len(reference.Rows())
	if p.Static() {
		return v
	}
	for _, line := range [...]string{
		"550-5.7.26 This mail has been blocked because the sender is unauthenticated.",
		"451 4.7.1 Greylisting in action, please come back later",
		"535 5.7.8 Authentication credentials invalid",
		"452 4.2.2 The email account that you tried to reach is over quota",
	} {
		v.Examples = append(v.Examples, example{Line: line, Path: p.Link("/explain?") + query("line", line)})
	}
	return v
}

// codesView is the list of everything.
type codesView struct {
	*page
	Basic, Enhanced []group
	Private         []codeRow
	Replies         []codeRow
}

func (s *site) codes(p *page) *codesView {
	p.Section, p.Title, p.Description = "codes", p.T("codes.title")+" · Onward", p.T("codes.lead")
	v := &codesView{page: p, Basic: p.basicGroups(false), Replies: p.ownRows(func(reply.Definition) bool { return true })}
	for _, e := range reference.Enhanceds() {
		_, subject, _, _ := reference.SplitEnhanced(e.Code)
		id := strconv.Itoa(subject)
		if n := len(v.Enhanced); n == 0 || v.Enhanced[n-1].ID != "subject-"+id {
			v.Enhanced = append(v.Enhanced, group{ID: "subject-" + id, Name: "X." + id + ".x", Text: p.T("subject." + id), Ink: "cx", Actors: true})
		}
		g := &v.Enhanced[len(v.Enhanced)-1]
		row := codeRow{Code: e.Code, Path: p.Link("/codes/" + e.Code), Ink: "cx", Name: p.prose(e.Key() + ".name"), Who: p.T("actor." + string(e.Who))}
		if e.Deprecated {
			row.Remark = p.T("standard.deprecated")
		}
		g.Rows = append(g.Rows, row)
	}
	for _, private := range reference.Privates() {
		address := enhancedName(private.Classes[0], private.Subject, private.From)
		v.Private = append(v.Private, codeRow{
			Code: private.Shown, Path: p.Link("/codes/" + address), Ink: ink(address), Remark: private.Provider, Name: p.prose(private.Key() + ".meaning"),
		})
	}
	return v
}

// basicGroups groups the reply codes by class. The first page shows those of
// the standards only.
func (p *page) basicGroups(standardOnly bool) []group {
	kinds := [...]struct{ kind, ink, digit string }{
		{"success", "c2", "2"}, {"intermediate", "c3", "3"}, {"transient", "c4", "4"}, {"permanent", "c5", "5"}, {"client-side", "c0", ""},
	}
	var groups []group
	for _, k := range kinds {
		g := group{ID: k.kind, Name: p.T("class." + k.kind), Ink: k.ink}
		if k.digit != "" {
			g.ID, g.Text = k.digit+"xx", p.T("digit."+k.digit)
			g.Name = k.digit + "xx · " + g.Name
		}
		for _, b := range reference.Basics() {
			if b.Kind != k.kind || standardOnly && b.Standard != "yes" {
				continue
			}
			code := strconv.Itoa(b.Code)
			row := codeRow{
				Code: code, Path: p.Link("/codes/" + code), Ink: inkOf(b), Name: p.prose(b.Key() + ".name"),
				Commands: p.fewCommands(b.Commands), Who: p.T("actor." + string(b.Who)),
			}
			if b.Standard != "yes" {
				row.Remark = p.T("standard." + strings.ReplaceAll(b.Standard, " ", "-"))
			}
			g.Rows = append(g.Rows, row)
		}
		if len(g.Rows) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// ownRows lists our own replies.
func (p *page) ownRows(matches func(reply.Definition) bool) []codeRow {
	var rows []codeRow
	for _, d := range reply.All() {
		if matches(d) {
			code := strings.TrimSpace(strconv.Itoa(d.Code) + " " + d.Enhanced)
			rows = append(rows, codeRow{Code: code, Path: p.Link("/replies/" + d.Name), Ink: ink(code), Remark: d.Name, Name: p.prose("reply." + d.Name + ".meaning")})
		}
	}
	return rows
}

// codeRows makes links of codes, leaving out those without a page.
func (p *page) codeRows(codes []string) []codeRow {
	var rows []codeRow
	for _, code := range codes {
		if address, ok := canonical(code); ok {
			rows = append(rows, codeRow{Code: code, Path: p.Link("/codes/" + address), Ink: ink(address)})
		}
	}
	return rows
}

// fewCommands is commands for a narrow column.
func (p *page) fewCommands(list []string) string {
	const few = 4
	if len(list) <= few+1 {
		return p.commands(list)
	}
	return p.commands(list[:few]) + " · …"
}

// commands names what a code answers.
func (p *page) commands(list []string) string {
	names := make([]string, len(list))
	for i, command := range list {
		switch command {
		case "any":
			command = p.T("ui.any")
		case "CONNECT":
			command = p.T("stage.connect")
		case "delivery":
			command = p.T("stage.delivery")
		}
		names[i] = command
	}
	return strings.Join(names, " · ")
}
