package web

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/onwardmail/onward/internal/reference"
)

// said is one thing that a provider is known to say or to mean.
type said struct {
	ID, Provider string
	// Path leads to it on the page of its provider.
	Path string
	// Shown is a code of the provider's own, Lines are literal words.
	Shown  string
	Lines  []spoken
	Codes  []codeRow
	Reason link
	Retry  string
	Who    string

	Meaning, Fix, Forward prose
	Sources               []source
}

// slugOf is a provider in an address: the part of its rows' IDs before the
// number.
func slugOf(r *reference.Row) string { return r.ID[:strings.LastIndexByte(r.ID, '-')] }

// house is a provider with all that is known of it.
type house struct {
	slug, name, kind string
	rows             []*reference.Row
	hosts            []string
}

// houses are the providers by their slugs' order. A provider is one of the
// rows'; those of private codes are among them, which a test sees to.
var houses = sync.OnceValue(func() []house {
	var list []house
	rows := reference.Rows()
	for i := range rows {
		r := &rows[i]
		slug := slugOf(r)
		at := slices.IndexFunc(list, func(h house) bool { return h.slug == slug })
		if at < 0 {
			at = len(list)
			list = append(list, house{slug: slug, name: r.Provider, kind: r.Kind, hosts: reference.HostsOf(r.Provider)})
		}
		list[at].rows = append(list[at].rows, r)
	}
	slices.SortStableFunc(list, func(a, b house) int { return cmp.Compare(a.slug, b.slug) })
	return list
})

// providersView is the list of providers.
type providersView struct {
	*page
	Groups []providerGroup
}

type providerGroup struct {
	Kind, Name string
	Rows       []providerRow
}

type providerRow struct{ Name, Path, Replies string }

func (s *site) providersView(p *page) *providersView {
	p.Section, p.Title, p.Description = "providers", p.T("providers.title")+" · Onward", p.T("providers.lead")
	v := &providersView{page: p}
	for _, kind := range [...]string{"mailbox-provider", "gateway", "relay-service", "mta", "blocklist"} {
		g := providerGroup{Kind: kind, Name: p.T("providers." + kind)}
		for _, h := range houses() {
			if h.kind == kind {
				n := len(h.rows) + len(privatesOf(h.name))
				g.Rows = append(g.Rows, providerRow{Name: h.name, Path: p.Link("/providers/" + h.slug), Replies: p.Count("providers.replies", n)})
			}
		}
		if len(g.Rows) > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	return v
}

func privatesOf(provider string) []reference.Private {
	var list []reference.Private
	for _, p := range reference.Privates() {
		if p.Provider == provider {
			list = append(list, p)
		}
	}
	return list
}

// providerView is the page of one provider.
type providerView struct {
	*page
	Provider string
	Hosts    []string
	Private  []said
	Said     []said
	// Jumps lead to the first reply with each code.
	Jumps []codeRow
}

// Long says that the page is long enough for a list of jumps.
func (v *providerView) Long() bool { return len(v.Jumps) > jumpsFrom }

// jumpsFrom is how many different codes make a page long.
const jumpsFrom = 6

func (s *site) providerView(p *page, slug string) (any, bool) {
	i, ok := slices.BinarySearchFunc(houses(), slug, func(h house, slug string) int { return cmp.Compare(h.slug, slug) })
	if !ok {
		return nil, false
	}
	h := houses()[i]
	p.Section, p.Title = "providers", p.T("provider.title", "provider", h.name)+" · Onward"
	p.Description = p.T("provider.lead", "provider", h.name)
	v := &providerView{page: p, Provider: h.name, Hosts: h.hosts}
	for _, private := range privatesOf(h.name) {
		v.Private = append(v.Private, p.privateSaid(private))
	}
	for _, r := range h.rows {
		v.Said = append(v.Said, p.saidBy(r))
		code := strings.TrimSpace(codeText(r.Code) + " " + r.Enhanced)
		if code != "" && !slices.ContainsFunc(v.Jumps, func(j codeRow) bool { return j.Code == code }) {
			v.Jumps = append(v.Jumps, codeRow{Code: code, Path: "#" + r.ID, Ink: ink(code)})
		}
	}
	slices.SortStableFunc(v.Jumps, func(a, b codeRow) int { return cmp.Compare(a.Code, b.Code) })
	return v, true
}

// privateSaid explains a code of a provider's own.
func (p *page) privateSaid(private reference.Private) said {
	row := said{
		ID: private.ID, Provider: private.Provider, Shown: private.Shown,
		Meaning: p.prose(private.Key() + ".meaning"), Fix: p.prose(private.Key() + ".fix"),
		Who: p.T("actor." + string(private.Who)), Sources: p.sources([]string{private.Source}),
	}
	slug, _, _ := strings.Cut(private.ID, "-")
	row.Path = p.Link("/providers/" + slug + "#" + private.ID)
	for _, class := range private.Classes {
		address := enhancedName(class, private.Subject, private.From)
		row.Codes = append(row.Codes, codeRow{Code: private.Shown, Path: p.Link("/codes/" + address), Ink: ink(address)})
		break
	}
	return row
}

// saidBy explains a provider's row; where its cause is not yet in the language
// of the page, the name of its class of reasons is.
func (p *page) saidBy(r *reference.Row) said {
	row := said{
		ID: r.ID, Provider: r.Provider, Path: p.Link("/providers/" + slugOf(r) + "#" + r.ID), Lines: replyLines(r.Sample),
		Reason: link{Name: p.T("reason." + r.Reason + ".name"), Path: p.Link("/reasons/" + r.Reason)},
		Retry:  p.T("retry." + string(r.Retry)), Who: p.T("actor." + string(r.Who)), Sources: p.sources([]string{r.Source}),
	}
	for _, code := range [...]string{codeText(r.Code), r.Enhanced} {
		if code != "" {
			row.Codes = append(row.Codes, p.codeRows([]string{code})...)
		}
	}
	if text, used := reference.Text(p.Lang.Tag, r.Key()+".cause"); used == p.Lang.Tag {
		row.Meaning = prose{Text: text}
		row.Fix, row.Forward = p.prose(r.Key()+".fix"), p.prose(r.Key()+".forward")
		return row
	}
	row.Meaning, row.Fix = p.prose("reason."+r.Reason+".name"), p.prose("reason."+r.Reason+".fix")
	return row
}

// reasonRow is a reason in the list of them.
type reasonRow struct {
	Name, Path, Who, Retry string
}

// reasonsView is the list of reasons.
type reasonsView struct {
	*page
	Rows []reasonRow
}

func (s *site) reasonsView(p *page) *reasonsView {
	p.Section, p.Title, p.Description = "reasons", p.T("reasons.title")+" · Onward", p.T("reasons.lead")
	v := &reasonsView{page: p}
	for _, r := range reference.Reasons() {
		v.Rows = append(v.Rows, reasonRow{
			Name: p.T("reason." + r.Key + ".name"), Path: p.Link("/reasons/" + r.Key),
			Who: p.T("actor." + string(r.Who)), Retry: p.T("retry." + string(r.Retry)),
		})
	}
	return v
}

// maxReasonSaid bounds the replies on the page of a reason.
const maxReasonSaid = 24

// reasonView is the page of one reason.
type reasonView struct {
	*page
	Name         prose
	Fix, Forward prose
	Retry, Who   string
	Boxes        []box
	Nobody       bool
	Codes        []codeRow
	Said         []said
	More         []link
}

func (s *site) reasonView(p *page, key string) (any, bool) {
	r, ok := reference.ReasonOf(key)
	if !ok {
		return nil, false
	}
	prefix := "reason." + key
	p.Section = "reasons"
	v := &reasonView{
		page: p, Name: p.prose(prefix + ".name"), Fix: p.prose(prefix + ".fix"), Forward: p.prose(prefix + ".forward"),
		Retry: p.T("retry." + string(r.Retry)), Who: p.T("actor." + string(r.Who)), Nobody: r.Who == reference.Nobody,
		Boxes: p.boxes(r.Who, prefix, true),
	}
	p.Title, p.Description = v.Name.Text+" · Onward", v.Fix.Text
	for _, e := range reference.Enhanceds() {
		if reason, _ := reference.ReasonByEnhanced(e.Code); reason == key {
			v.Codes = append(v.Codes, p.codeRows([]string{e.Code})...)
		}
	}
	for _, b := range reference.Basics() {
		if reference.ReasonByBasic(b.Code) == key {
			v.Codes = append(v.Codes, p.codeRows([]string{strconv.Itoa(b.Code)})...)
		}
	}
	for _, h := range houses() {
		for _, row := range h.rows {
			if row.Reason != key {
				continue
			}
			if len(v.Said) < maxReasonSaid {
				v.Said = append(v.Said, p.saidBy(row))
			} else if more := (link{h.name, p.Link("/providers/" + h.slug)}); !slices.Contains(v.More, more) {
				v.More = append(v.More, more)
			}
		}
	}
	return v, true
}
