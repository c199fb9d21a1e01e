package web

import (
	"slices"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

// maxCodeLength is the longest code that is looked at; "5.999.999" has nine
// octets and the longest name of a reply some thirty.
const maxCodeLength = 40

// maxSaid bounds the provider replies that a page shows.
const maxSaid = 14

// canonical is the one spelling of a code that the reference knows: "550",
// "5.7.26", "X.7.26".
func canonical(code string) (string, bool) {
	if len(code) > maxCodeLength {
		return "", false
	}
	if n, err := strconv.Atoi(code); err == nil {
		_, ok := reference.BasicCode(n)
		return strconv.Itoa(n), ok
	}
	class, subject, detail, ok := reference.SplitEnhanced(code)
	if !ok {
		return "", false
	}
	address := enhancedName(class, subject, detail)
	_, registered := reference.EnhancedCode(address)
	return address, registered || len(privates(address)) > 0
}

// comparable reports whether the rules of comparison know the code.
func comparable(code string) bool {
	if !strings.Contains(code, ".") {
		return true
	}
	_, ok := reference.EnhancedCode(code)
	return ok
}

func enhancedName(class, subject, detail int) string {
	digit := "X"
	if class != 0 {
		digit = strconv.Itoa(class)
	}
	return digit + "." + strconv.Itoa(subject) + "." + strconv.Itoa(detail)
}

// before is the order of the codes of a pair: basic codes first, each kind by
// number.
func before(a, b string) bool {
	ka, kb := sortKey(a), sortKey(b)
	return slices.Compare(ka[:], kb[:]) < 0
}

func sortKey(code string) [4]int {
	if n, err := strconv.Atoi(code); err == nil {
		return [4]int{0, n}
	}
	class, subject, detail, _ := reference.SplitEnhanced(code)
	return [4]int{1, class, subject, detail}
}

// ink is the style class of a code's class: c2 to c5, cx for a code of any
// class, c0 for what is not SMTP.
func ink(code string) string {
	switch {
	case code == "":
		return "c0"
	case code[0] == 'X':
		return "cx"
	case code[0] >= '2' && code[0] <= '5':
		return "c" + code[:1]
	}
	return "c0"
}

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
	Facts              []fact
	Transcript         transcript
	Own                []codeRow
	Private            []said
	Providers          []said
	// More is how many provider replies are not shown.
	More     int
	Variants []codeRow
	Related  []pair
	// CanCompare says that the rules of comparison know it.
	CanCompare bool
}

// fact is a row of the list of facts.
type fact struct {
	Name   string
	Text   string
	Mono   bool
	Linked []codeRow
}

// said is one thing that a provider is known to say or to mean.
type said struct {
	Provider, Sample string
	Meaning          prose
	Fix              prose
}

// pair leads to a comparison.
type pair struct {
	A, B, Path, InkA, InkB string
}

// box is one of the three sides that may have to act.
type box struct {
	Name   string
	Marked bool
}

// boxes marks the side of an actor. The sides are those of the command line.
func (p *page) boxes(who reference.Actor) []box {
	marked := -1
	switch who {
	case reference.SenderUser:
		marked = 0
	case reference.SenderAdmin, reference.ServerAdmin, reference.Forwarder, reference.DomainOwner:
		marked = 1
	case reference.RecipientUser, reference.RecipientAdmin:
		marked = 2
	}
	list := make([]box, 3)
	for i, key := range [...]string{"box.sender", "box.administrator", "box.receiver"} {
		list[i] = box{Name: p.T(key), Marked: i == marked}
	}
	return list
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
		Retry: p.T("retry." + string(b.Retry)), Who: p.T("actor." + string(b.Who)), Boxes: p.boxes(b.Who), CanCompare: true,
	}
	if b.Standard != "yes" {
		v.Standing = p.T("standard." + strings.ReplaceAll(b.Standard, " ", "-"))
	}
	v.Facts = append(v.Facts, fact{Name: p.T("ui.defined"), Text: p.sources(b.DefinedIn)})
	if len(b.Commands) > 0 {
		v.Facts = append(v.Facts, fact{Name: p.T("aspect.commands"), Text: p.commands(b.Commands), Mono: true})
	}
	if b.Kind != "client-side" {
		v.Facts = append(v.Facts, fact{Name: p.T("aspect.connection"), Text: p.T("connection." + strings.ReplaceAll(b.Closes, " ", "-"))})
	}
	if linked := p.codeRows(b.Enhanced); len(linked) > 0 {
		v.Facts = append(v.Facts, fact{Name: p.T("fact.enhanced"), Linked: linked})
	}
	v.Own = p.ownRows(func(d reply.Definition) bool { return d.Code == b.Code })
	v.said(func(r *reference.Row) bool { return r.Code == b.Code })
	v.Transcript = s.basicTranscript(p, b)
	for _, other := range b.Compare {
		v.relate(strconv.Itoa(other))
	}
	v.head()
	return v
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
	who := registered.Who
	if known {
		v.CanCompare = true
		v.registered(registered, class)
	} else {
		v.Name = prose{Text: p.T("enhanced.private")}
		v.Meaning = prose{Text: p.T("enhanced.private-meaning")}
	}
	for _, private := range privates(code) {
		v.Private = append(v.Private, said{
			Provider: private.Provider, Sample: private.Shown, Meaning: p.prose(private.Key() + ".meaning"), Fix: p.prose(private.Key() + ".fix"),
		})
		if who == "" {
			who = private.Who
		}
	}
	if who != "" {
		v.Who, v.Boxes = p.T("actor."+string(who)), p.boxes(who)
	}
	v.Facts = append(v.Facts, fact{Name: p.T("fact.subject"), Text: p.T("subject." + strconv.Itoa(min(subject, 8)))})
	matches := func(other string) bool {
		c, x, d, ok := reference.SplitEnhanced(other)
		return ok && x == subject && d == detail && (class == 0 || c == class)
	}
	v.Own = p.ownRows(func(d reply.Definition) bool { return matches(d.Enhanced) })
	v.said(func(r *reference.Row) bool { return matches(r.Enhanced) })
	v.Transcript = s.enhancedTranscript(p, matches)
	v.variants(registered, known, subject, detail)
	v.head()
	return v
}

// registered adds what the registry knows.
func (v *codeView) registered(e reference.Enhanced, class int) {
	v.Name = v.prose(e.Key() + ".name")
	v.Meaning, v.When, v.Fix = v.prose(e.Key()+".meaning"), v.prose(e.Key()+".cause"), v.prose(e.Key()+".fix")
	if e.Deprecated {
		v.Standing = v.T("standard.deprecated")
	}
	v.Facts = append(v.Facts, fact{Name: v.T("ui.defined"), Text: v.sources(e.References)})
	var with []string
	for _, basic := range e.Basic {
		if class == 0 || basic/100 == class {
			with = append(with, strconv.Itoa(basic))
		}
	}
	if linked := v.codeRows(with); len(linked) > 0 {
		v.Facts = append(v.Facts, fact{Name: v.T("fact.with"), Linked: linked})
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
			!slices.ContainsFunc(e.Basic, func(b int) bool { return b/100 == class }) && len(privates(address)) == 0 {
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
		Retry: p.T("retry." + string(e.Retry)), Who: p.T("actor." + string(e.Who)), Boxes: p.boxes(e.Who),
	}
	codes := []string{v.Code}
	if d.Enhanced != "" {
		codes = append(codes, d.Enhanced)
	}
	v.Facts = append(v.Facts, fact{Name: p.T("fact.codes"), Linked: p.codeRows(codes)},
		fact{Name: p.T("ui.defined"), Text: cites(d.Cites)},
		fact{Name: p.T("aspect.connection"), Text: p.T(map[bool]string{true: "connection.yes", false: "connection.no"}[d.Closes])})
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

// relate offers a comparison with another code.
func (v *codeView) relate(other string) {
	if _, ok := canonical(other); ok && other != v.Code {
		v.Related = append(v.Related, v.pair(v.Code, other))
	}
}

func (p *page) pair(a, b string) pair {
	if before(b, a) {
		a, b = b, a
	}
	return pair{A: a, B: b, Path: p.Link("/compare/" + a + "-" + b), InkA: ink(a), InkB: ink(b)}
}

// said collects what providers say with this code, one a reason and provider
// first.
func (v *codeView) said(matches func(*reference.Row) bool) {
	rows := reference.Rows()
	seen := map[string]bool{}
	var later []*reference.Row
	for i := range rows {
		r := &rows[i]
		switch key := r.Provider + " " + r.Reason; {
		case !matches(r):
		case seen[key] || len(v.Providers) == maxSaid:
			later = append(later, r)
		default:
			seen[key] = true
			v.Providers = append(v.Providers, v.saidBy(r))
		}
	}
	for len(later) > 0 && len(v.Providers) < maxSaid {
		v.Providers = append(v.Providers, v.saidBy(later[0]))
		later = later[1:]
	}
	v.More = len(later)
}

// saidBy explains a provider's row; where its cause is not yet in the language
// of the page, the name of its class of reasons is.
func (p *page) saidBy(r *reference.Row) said {
	row := said{Provider: r.Provider, Sample: r.Sample}
	if text, used := reference.Text(p.Lang.Tag, r.Key()+".cause"); used == p.Lang.Tag {
		row.Meaning = prose{Text: text}
		row.Fix = p.prose(r.Key() + ".fix")
		return row
	}
	row.Meaning, row.Fix = p.prose("reason."+r.Reason+".name"), p.prose("reason."+r.Reason+".fix")
	return row
}

// privates are the providers' own meanings of an enhanced code.
func privates(code string) []reference.Private {
	class, subject, detail, ok := reference.SplitEnhanced(code)
	if !ok {
		return nil
	}
	var list []reference.Private
	for _, p := range reference.Privates() {
		if p.Subject == subject && detail >= p.From && detail <= p.To && (class == 0 || slices.Contains(p.Classes, class)) {
			list = append(list, p)
		}
	}
	return list
}

func inkOf(b reference.Basic) string {
	if b.Kind == "client-side" {
		return "c0"
	}
	return ink(strconv.Itoa(b.Code))
}
