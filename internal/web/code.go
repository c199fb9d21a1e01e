package web

import (
	"slices"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

// maxSaid bounds the provider replies that the page of a code shows; all of
// them are on the pages of the providers.
const maxSaid = 10

// codeRow is a code in a table or a list.
type codeRow struct {
	Code, Path, Ink string
	Name            prose
	// Remark is set in small type: which class, that it is not standard.
	Remark string
	// Commands it answers, and who must act.
	Commands, Who string
}

// codeView is the page of a code, basic or enhanced, or of a reply of ours.
type codeView struct {
	*page
	Code, Ink string
	// Name is the heading; Kind says what class it is of.
	Name prose
	Kind string
	// Standing says that it is historic, not standard or deprecated.
	Standing           string
	Meaning, When, Fix prose
	Retry, Who         string
	Boxes              []box
	// Nobody says that no side has to act.
	Nobody     bool
	Facts      []fact
	Transcript transcript
	Own        []codeRow
	Private    []said
	Providers  []said
	// More are the providers of which there is more than is shown.
	More     []link
	Variants []codeRow
	Related  []pair
	// Guides and Terms speak of it.
	Guides, Terms []link
	// CanCompare says that the rules of comparison know it.
	CanCompare bool
}

// fact is a row of the list of facts.
type fact struct {
	Name   string
	Text   string
	Mono   bool
	Linked []codeRow
	// Sources are where it is from.
	Sources []source
}

// link is a word that leads somewhere.
type link struct{ Name, Path string }

// pair leads to a comparison.
type pair struct {
	A, B, Path, InkA, InkB string
}

// codeView makes the page of a code in its canonical spelling.
func (s *site) codeView(p *page, code string) (any, bool) {
	p.Section = "codes"
	if b, err := strconv.Atoi(code); err == nil {
		basic, ok := reference.BasicCode(b)
		if !ok {
			return nil, false
		}
		return s.basicView(p, basic), true
	}
	if address, ok := canonical(code); !ok || address != code {
		return nil, false
	}
	return s.enhancedView(p, code), true
}

func (s *site) basicView(p *page, b reference.Basic) *codeView {
	code := strconv.Itoa(b.Code)
	v := &codeView{
		page: p, Code: code, Ink: inkOf(b), Name: p.prose(b.Key() + ".name"), Kind: p.T("class." + b.Kind),
		Meaning: p.prose(b.Key() + ".meaning"), When: p.prose(b.Key() + ".when"), Fix: p.prose(b.Key() + ".fix"),
		Retry: p.T("retry." + string(b.Retry)), CanCompare: true,
	}
	v.acts(b.Who, b.Key(), false)
	if b.Standard != "yes" {
		v.Standing = p.T("standard." + strings.ReplaceAll(b.Standard, " ", "-"))
	}
	v.Facts = append(v.Facts, fact{Name: p.T("fact.defined"), Sources: p.sources(b.DefinedIn)})
	smtp := b.Kind != "client-side"
	if len(b.Commands) > 0 {
		f := fact{Name: p.T("aspect.commands"), Text: p.commands(b.Commands), Mono: true}
		if b.Standard == "yes" {
			f.Sources = p.sources([]string{sourceMatrix})
		}
		v.Facts = append(v.Facts, f)
	}
	if smtp {
		v.Facts = append(v.Facts,
			fact{Name: p.T("fact.retry"), Text: v.Retry, Sources: p.sources([]string{sourceDigits})},
			fact{Name: p.T("aspect.connection"), Text: p.T("connection." + strings.ReplaceAll(b.Closes, " ", "-")), Sources: p.sources([]string{sourceEnding})})
	}
	v.judged()
	if linked := p.codeRows(b.Enhanced); len(linked) > 0 {
		v.Facts = append(v.Facts, fact{Name: p.T("fact.enhanced"), Linked: linked, Sources: p.sources([]string{sourceRegistry})})
	}
	v.Own = p.ownRows(func(d reply.Definition) bool { return d.Code == b.Code })
	v.said(func(r *reference.Row) bool { return r.Code == b.Code })
	v.Transcript = s.basicTranscript(p, b)
	for _, other := range b.Compare {
		v.relate(strconv.Itoa(other))
	}
	v.noted()
	v.spokenOf()
	v.head()
	return v
}

// acts notes who must act, and what each side does.
func (v *codeView) acts(who reference.Actor, key string, sendersDomain bool) {
	if who == "" {
		return
	}
	v.Who, v.Nobody = v.T("actor."+string(who)), who == reference.Nobody
	v.Boxes = v.boxes(who, key, sendersDomain)
}

// judged adds who must act to the facts: no standard says it.
func (v *codeView) judged() {
	if v.Who != "" {
		v.Facts = append(v.Facts, fact{Name: v.T("fact.who"), Text: v.Who, Sources: []source{{Text: v.T("code.source-judged")}}})
	}
}

func (s *site) enhancedView(p *page, code string) *codeView {
	class, subject, detail, _ := reference.SplitEnhanced(code)
	v := &codeView{page: p, Code: code, Ink: ink(code), Kind: p.T("enhanced.any-class")}
	switch class {
	case 2:
		v.Kind, v.Retry = p.T("class.success"), p.T("retry."+string(reference.RetryNoNeed))
	case 4:
		v.Kind, v.Retry = p.T("class.transient"), p.T("retry."+string(reference.RetryYes))
	case 5:
		v.Kind, v.Retry = p.T("class.permanent"), p.T("retry."+string(reference.RetryNo))
	}
	registered, known := reference.EnhancedCode(code)
	who, key := registered.Who, registered.Key()
	if known {
		v.CanCompare = true
		v.registered(registered)
	} else {
		v.Name = prose{Text: p.T("enhanced.private")}
		v.Meaning = prose{Text: p.T("enhanced.private-meaning")}
	}
	for _, private := range reference.PrivatesOf(code) {
		v.Private = append(v.Private, p.privateSaid(private))
		if who == "" {
			who, key = private.Who, private.Key()
		}
	}
	v.acts(who, key, security(code))
	if !known && len(v.Private) > 0 {
		v.Fix = v.Private[0].Fix
		v.Facts = append(v.Facts, fact{Name: p.T("fact.defined"), Sources: v.Private[0].Sources})
	}
	if v.Retry != "" {
		v.Facts = append(v.Facts, fact{Name: p.T("fact.retry"), Text: v.Retry, Sources: p.sources([]string{sourceEnhanced})})
	}
	v.judged()
	v.Facts = append(v.Facts, fact{Name: p.T("fact.subject"), Text: p.T("subject." + strconv.Itoa(min(subject, 8))), Sources: p.sources([]string{sourceEnhanced})})
	if known {
		v.basics(registered, class)
	}
	matches := func(other string) bool {
		c, x, d, ok := reference.SplitEnhanced(other)
		return ok && x == subject && d == detail && (class == 0 || c == class)
	}
	v.Own = p.ownRows(func(d reply.Definition) bool { return matches(d.Enhanced) })
	v.said(func(r *reference.Row) bool { return matches(r.Enhanced) })
	v.Transcript = s.enhancedTranscript(p, matches)
	v.variants(registered, known, subject, detail)
	v.noted()
	v.spokenOf()
	v.head()
	return v
}

// registered adds what the registry knows.
func (v *codeView) registered(e reference.Enhanced) {
	v.Name = v.prose(e.Key() + ".name")
	v.Meaning, v.When, v.Fix = v.prose(e.Key()+".meaning"), v.prose(e.Key()+".cause"), v.prose(e.Key()+".fix")
	if e.Deprecated {
		v.Standing = v.T("standard.deprecated")
	}
	v.Facts = append(v.Facts, fact{Name: v.T("fact.defined"), Sources: v.sources(append(slices.Clone(e.References), sourceRegistry))})
}

// basics adds the reply codes that the registry puts beside it.
func (v *codeView) basics(e reference.Enhanced, class int) {
	var with []string
	for _, basic := range e.Basic {
		if class == 0 || basic/100 == class {
			with = append(with, strconv.Itoa(basic))
		}
	}
	if linked := v.codeRows(with); len(linked) > 0 {
		v.Facts = append(v.Facts, fact{Name: v.T("fact.with"), Linked: linked, Sources: v.sources([]string{sourceRegistry})})
	}
	for _, basic := range with {
		v.relate(basic)
	}
}

// variants are the same subject and detail in the other classes.
func (v *codeView) variants(e reference.Enhanced, registered bool, subject, detail int) {
	for _, class := range [...]int{0, 2, 4, 5} {
		address := enhancedName(class, subject, detail)
		if address == v.Code || class == 0 && !registered {
			continue
		}
		if class != 0 && registered && len(e.Basic) > 0 &&
			!slices.ContainsFunc(e.Basic, func(b int) bool { return b/100 == class }) && len(reference.PrivatesOf(address)) == 0 {
			continue
		}
		if _, ok := canonical(address); ok {
			v.Variants = append(v.Variants, codeRow{Code: address, Path: v.Link("/codes/" + address), Ink: ink(address)})
		}
	}
}

// replyView is the page of one of our own replies.
func (s *site) replyView(p *page, name string) (any, bool) {
	p.Section = "codes"
	d, ok := reply.ByName(name)
	if !ok || len(name) > maxCodeLength {
		return nil, false
	}
	e, ok := reference.OwnReply(p.Lang.Tag, name)
	if !ok {
		return nil, false
	}
	key := "reply." + name
	v := &codeView{
		page: p, Code: strconv.Itoa(d.Code), Ink: ink(strconv.Itoa(d.Code)), Name: prose{Text: name}, Kind: p.T("ui.own"),
		Meaning: p.prose(key + ".meaning"), When: p.prose(key + ".when"), Fix: p.prose(key + ".fix"),
		Retry: p.T("retry." + string(e.Retry)),
	}
	v.acts(e.Who, key, false)
	codes := []string{v.Code}
	if d.Enhanced != "" {
		codes = append(codes, d.Enhanced)
	}
	v.Facts = append(v.Facts, fact{Name: p.T("fact.codes"), Linked: p.codeRows(codes)},
		fact{Name: p.T("fact.defined"), Sources: citations(d.Cites)},
		fact{Name: p.T("fact.retry"), Text: v.Retry, Sources: p.sources([]string{sourceDigits})},
		fact{Name: p.T("aspect.connection"), Text: p.T(map[bool]string{true: "connection.yes", false: "connection.no"}[d.Closes])})
	v.judged()
	v.Transcript = s.ownTranscript(p, d)
	v.Title = v.Code + " " + name + " · Onward"
	v.Description = v.Meaning.Text
	return v, true
}

// head sets what stands in the head of the page.
func (v *codeView) head() {
	v.Title = "SMTP " + v.Code + ": " + v.Name.Text + " · Onward"
	v.Description = v.Meaning.Text
}

// relate offers a comparison with another code, once.
func (v *codeView) relate(other string) {
	if address, ok := canonical(other); !ok || address == v.Code {
		return
	}
	offered := v.pair(v.Code, other)
	if !slices.Contains(v.Related, offered) {
		v.Related = append(v.Related, offered)
	}
}

// noted offers the comparisons that have a note by hand.
func (v *codeView) noted() {
	any := v.Code
	if _, rest, ok := strings.Cut(v.Code, "."); ok {
		any = "X." + rest
	}
	for _, p := range notedPairs() {
		for i, code := range p {
			_, rest, dotted := strings.Cut(code, ".")
			if code == v.Code || dotted && any == "X."+rest {
				v.relate(p[1-i])
			}
		}
	}
}

func (p *page) pair(a, b string) pair {
	if before(b, a) {
		a, b = b, a
	}
	return pair{A: a, B: b, Path: p.Link("/compare/" + a + "-" + b), InkA: ink(a), InkB: ink(b)}
}

// said collects what providers say with this code: one reply of each provider
// first, then others.
func (v *codeView) said(matches func(*reference.Row) bool) {
	rows := reference.Rows()
	seen := map[string]bool{}
	var first, later []*reference.Row
	for i := range rows {
		r := &rows[i]
		switch {
		case !matches(r):
		case seen[r.Provider]:
			later = append(later, r)
		default:
			seen[r.Provider] = true
			first = append(first, r)
		}
	}
	all := append(first, later...)
	shown := min(len(all), maxSaid)
	for _, r := range all[:shown] {
		v.Providers = append(v.Providers, v.saidBy(r))
	}
	for _, r := range all[shown:] {
		more := link{Name: r.Provider, Path: v.Link("/providers/" + slugOf(r))}
		if !slices.Contains(v.More, more) {
			v.More = append(v.More, more)
		}
	}
}
