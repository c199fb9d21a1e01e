package reference

import (
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reply"
)

// keyDifferences says in sentences how the two differ, the weightiest first.
// Each rule looks at one aspect and is silent where it has nothing to say.
func (p pair) keyDifferences() []string {
	if p.relation == RelationIdentical {
		return nil
	}
	rules := [...]func() string{
		p.nameRule, p.fateRule, p.layerRule, p.subjectRule, p.commandRule, p.actorRule, p.connectionRule, p.causeRule, p.digitRule,
		p.standardRule, p.ownRule, p.providerRule,
	}
	var list []string
	for _, rule := range rules {
		if s := rule(); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// variant chooses one of several wordings, always the same for a pair.
func (p pair) variant(key string, wordings uint32, values ...string) string {
	h := fnv.New32a()
	h.Write([]byte(pairKey(p.a.shown, p.b.shown) + key))
	return p.say(key+"-"+string('1'+rune(h.Sum32()%wordings)), values...)
}

// joinWordings is how many ways there are to put two clauses beside each other.
const joinWordings = 3

// contrast puts what is said of a beside what is said of b; "" where that is
// the same, or one is silent.
func (p pair) contrast(aspect string, clause func(side) string) string {
	a, b := clause(p.a), clause(p.b)
	if a == "" || b == "" || strings.ReplaceAll(a, p.a.shown, "") == strings.ReplaceAll(b, p.b.shown, "") {
		return ""
	}
	h := fnv.New32a()
	h.Write([]byte(pairKey(p.a.shown, p.b.shown) + aspect))
	key := "compare.contrast-" + string('1'+rune(h.Sum32()%joinWordings))
	return p.say(key, "first", a, "second", b)
}

func (p pair) nameRule() string {
	values := p.values(p.a, p.b)
	switch {
	case p.name(p.a) == p.name(p.b):
		return p.say("compare.names-equal", values...)
	case p.a.kind == p.b.kind && p.a.kind != "":
		return p.variant("compare.names-"+p.a.kind, 2, values...)
	}
	return p.variant("compare.names", 3, values...)
}

// fate is what becomes of the message, or of the command, after the code: class,
// retry and responsibility in one.
func fate(s side) string {
	message := responsibility(s)
	change := ""
	if s.retry == RetryAfterChange {
		change = "-change"
	}
	switch s.kind {
	case "success":
		if message == "taken" {
			return "taken"
		}
		return "done"
	case "intermediate":
		return "next"
	case "transient":
		if message == "sender-keeps" {
			return "queued" + change
		}
		return "later" + change
	case "permanent":
		if message == "returned" {
			return "returned" + change
		}
		return "refused" + change
	case clientSide:
		return "local"
	}
	return "open"
}

func (p pair) fateRule() string {
	return p.contrast("fate", func(s side) string { return p.say("compare.fate-"+fate(s), "code", s.shown) })
}

// layerRule tells what each of a mixed pair is for.
func (p pair) layerRule() string {
	if p.a.enhanced == p.b.enhanced {
		return ""
	}
	e, basic := p.mixture()
	return p.variant("compare.layers", 2, "a", e.shown, "b", basic.shown, "name-a", p.name(e), "name-b", p.name(basic), "subject", p.subject(e))
}

// subject is the heading under which the registry has an enhanced code
// (rfc3463#3).
func (p pair) subject(s side) string {
	parts := strings.Split(s.shown, ".")
	return Say(p.lang, "enhanced.X."+parts[1]+".X.name")
}

func (p pair) subjectRule() string {
	if !p.a.enhanced || !p.b.enhanced {
		return ""
	}
	if p.relation == RelationInstance {
		return ""
	}
	if p.a.shown[1:] == p.b.shown[1:] {
		return p.say("compare.class-only", append(p.values(p.a, p.b), "code", "X"+p.a.shown[1:])...)
	}
	x, y := p.subject(p.a), p.subject(p.b)
	if x == y {
		return ""
	}
	return p.variant("compare.subjects", 2, append(p.values(p.a, p.b), "subject-a", x, "subject-b", y)...)
}

// commandRule tells at which commands a server has the choice. Where there are
// none, that is said before all else.
func (p pair) commandRule() string {
	if p.relation == RelationExcluded && len(p.shared) == 0 {
		return p.say("compare.commands-apart", p.values(p.a, p.b)...)
	}
	if p.relation != RelationCompeting {
		return ""
	}
	anyA, anyB := slices.Contains(p.a.commands, "any"), slices.Contains(p.b.commands, "any")
	switch {
	case anyA && anyB:
		return ""
	case anyA:
		return p.say("compare.commands-any", p.values(p.a, p.b)...)
	case anyB:
		return p.say("compare.commands-any", p.values(p.b, p.a)...)
	}
	moreA, moreB := without(p.a.commands, p.shared), without(p.b.commands, p.shared)
	values := []string{"shared", p.commandList(p.shared)}
	switch {
	case len(moreA) == 0 && len(moreB) == 0:
		return p.variant("compare.commands-equal", 2, append(values, p.values(p.a, p.b)...)...)
	case len(moreB) == 0:
		return p.say("compare.commands-more", append(values, "a", p.a.shown, "b", p.b.shown, "more", p.commandList(moreA))...)
	case len(moreA) == 0:
		return p.say("compare.commands-more", append(values, "a", p.b.shown, "b", p.a.shown, "more", p.commandList(moreB))...)
	}
	return p.say("compare.commands-overlap", append(values,
		"a", p.a.shown, "b", p.b.shown, "more-a", p.commandList(moreA), "more-b", p.commandList(moreB))...)
}

func without(list, drop []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(drop, s) })
}

func (p pair) actorRule() string {
	return p.contrast("who", func(s side) string {
		if s.who == Nobody {
			return p.say("compare.who-nobody", "code", s.shown)
		}
		return p.say("compare.who", "code", s.shown, "who", Say(p.lang, "actor."+string(s.who)))
	})
}

func (p pair) connectionRule() string {
	return p.contrast("connection", func(s side) string {
		if s.closes == "" || s.kind == clientSide {
			return ""
		}
		return p.say("compare.connection-"+s.closes, "code", s.shown)
	})
}

// causeRule names the usual causes of two enhanced codes.
func (p pair) causeRule() string {
	if !p.a.enhanced || !p.b.enhanced {
		return ""
	}
	x, _ := ReasonByEnhanced(p.a.shown)
	y, _ := ReasonByEnhanced(p.b.shown)
	if x == "" || y == "" || x == y || p.a.kind == "success" || p.b.kind == "success" {
		return ""
	}
	return p.variant("compare.causes", 2, append(p.values(p.a, p.b),
		"reason-a", Say(p.lang, "reason."+x+".name"), "reason-b", Say(p.lang, "reason."+y+".name"))...)
}

// digitRule reads the second digits of two codes of the standard: 0 syntax, 1
// information, 2 connections, 5 mail system (rfc5321#4.2.1).
func (p pair) digitRule() string {
	if p.a.standard != "yes" || p.b.standard != "yes" || p.a.shown[1] == p.b.shown[1] {
		return ""
	}
	x, okX := Sentence(p.lang, "compare.field-"+p.a.shown[1:2])
	y, okY := Sentence(p.lang, "compare.field-"+p.b.shown[1:2])
	if !okX || !okY {
		return ""
	}
	return p.say("compare.fields", append(p.values(p.a, p.b), "field-a", x, "field-b", y)...)
}

func (p pair) standardRule() string {
	return p.contrast("standard", func(s side) string {
		switch {
		case s.provider != "":
			return p.say("compare.standard-none", "code", s.shown)
		case s.kind == clientSide:
			return "" // said already
		case s.enhanced, s.standard == "yes":
			return p.say("compare.standard-yes", "code", s.shown, "source", s.source)
		case s.standard == "historic", s.standard == "experimental":
			return p.say("compare.standard-"+s.standard, "code", s.shown, "source", s.source)
		case s.standard == "registry mention only":
			return p.say("compare.standard-registry", "code", s.shown)
		}
		return p.say("compare.standard-none", "code", s.shown)
	})
}

// ownRule quotes what Onward itself says with the codes.
func (p pair) ownRule() string {
	if !slices.ContainsFunc([]side{p.a, p.b}, func(s side) bool { _, said := ownText(s); return said }) {
		return ""
	}
	return p.contrast("own", func(s side) string {
		text, said := ownText(s)
		switch {
		case text != "":
			return p.say("compare.own", "code", s.shown, "text", text)
		case said:
			return p.say("compare.own-varies", "code", s.shown)
		}
		return p.say("compare.own-never", "code", s.shown)
	})
}

// ownText is the shortest text without placeholders that Onward says with a
// code; said tells that there is any text at all.
func ownText(s side) (text string, said bool) {
	for _, r := range reply.All() {
		if !s.means(r.Code, r.Enhanced) {
			continue
		}
		said = true
		if !strings.Contains(r.Text, "{") && (text == "" || len(r.Text) < len(text)) {
			text = r.Text
		}
	}
	return text, said
}

// means reports whether a reply with these codes has the code of s.
func (s side) means(code int, enhanced string) bool {
	if s.enhanced {
		return enhanced != "" && sameEnhanced(s.shown, enhanced)
	}
	return s.shown == strconv.Itoa(code)
}

// maxProviders bounds the providers that are named for a code.
const maxProviders = 3

// sameSet reports whether two lists without repetitions hold the same names.
func sameSet(x, y []string) bool {
	return len(x) == len(y) && !slices.ContainsFunc(x, func(name string) bool { return !slices.Contains(y, name) })
}

func (p pair) providerRule() string {
	x, _ := providersOf(p.a)
	y, _ := providersOf(p.b)
	if sameSet(x, y) { // the same houses say both: no difference
		return ""
	}
	return p.contrast("providers", func(s side) string {
		names, more := providersOf(s)
		switch {
		case len(names) == 0:
			return p.say("compare.said-none", "code", s.shown)
		case more:
			return p.say("compare.said-more", "code", s.shown, "providers", strings.Join(names, Say(p.lang, "ui.list-separator")))
		}
		return p.say("compare.said", "code", s.shown, "providers", p.list(names))
	})
}

// providersOf names those whose texts have the code most often.
func providersOf(s side) (names []string, more bool) {
	count := map[string]int{}
	for _, r := range Rows() {
		if !s.means(r.Code, r.Enhanced) || strings.HasPrefix(r.Provider, "any ") {
			continue
		}
		if count[r.Provider] == 0 {
			names = append(names, r.Provider)
		}
		count[r.Provider]++
	}
	slices.SortStableFunc(names, func(a, b string) int { return count[b] - count[a] })
	if len(names) > maxProviders {
		return names[:maxProviders], true
	}
	return names, false
}

// useWhich derives from the facts when a server answers which.
func (p pair) useWhich() string {
	switch {
	case p.relation == RelationIdentical:
		return ""
	case p.relation == RelationInstance && p.a.kind == "":
		return p.paragraph(p.say("compare.use-instance", p.values(p.a, p.b)...), p.useOne(p.b))
	case p.relation == RelationInstance:
		return p.paragraph(p.say("compare.use-instance", p.values(p.b, p.a)...), p.useOne(p.a))
	}
	var advice []string
	add := func(key string, a, b side) {
		advice = append(advice, p.say("compare.use-"+key, p.values(a, b)...))
	}
	x, y := p.a, p.b
	usable := sendable(x) && sendable(y)
	switch {
	case !usable || x.enhanced != y.enhanced: // each by itself, below
	case p.relation == RelationApart:
		add("apart", x, y)
	case good(x) != good(y) && good(x):
		add("success", x, y)
	case good(x) != good(y):
		add("success", y, x)
	case x.kind == "transient" && y.kind == "permanent":
		add("wait", x, y)
	case x.kind == "permanent" && y.kind == "transient":
		add("wait", y, x)
	}
	if usable && p.relation == RelationCompeting {
		switch {
		case x.closes == "yes" && y.closes == "no":
			add("close", x, y)
		case y.closes == "yes" && x.closes == "no":
			add("close", y, x)
		}
		if x.who != y.who && x.kind == y.kind && x.who != Nobody && y.who != Nobody {
			add("who", x, y)
		}
	}
	for _, s := range [...]side{x, y} {
		if line := p.useOne(s); line != "" {
			advice = append(advice, line)
		}
	}
	if len(advice) == 0 || len(advice) == 1 && usable && x.enhanced && y.enhanced && x.kind == y.kind {
		add("alike", x, y)
	}
	return p.paragraph(advice...)
}

// sendable reports whether a server ought to send the code at all.
func sendable(s side) bool { return s.enhanced || s.standard == "yes" }

// useOne is advice about a single code: one that no server should send, or what
// an enhanced one stands behind.
func (p pair) useOne(s side) string {
	switch {
	case s.enhanced && s.provider != "":
		return p.say("compare.use-private", "code", s.shown, "provider", s.provider)
	case s.enhanced && len(s.basics) > 0:
		return p.say("compare.use-behind", "code", s.shown, "basics", p.list(numbers(s.basics)), "name", p.name(s))
	case s.enhanced || s.standard == "yes":
		return ""
	case s.kind == clientSide:
		return p.say("compare.use-client", "code", s.shown, "name", p.name(s))
	case len(s.commands) == 1 && s.commands[0] == "delivery":
		return p.say("compare.use-report", "code", s.shown, "name", p.name(s))
	}
	if better := instead(s); better != "" {
		return p.say("compare.use-instead", "code", s.shown, "name", p.name(s), "better", better)
	}
	return ""
}

// instead is the code of the standard that says what s says: of the same kind
// if there is one.
func instead(s side) string {
	best := ""
	for _, n := range numbers(s.compare) {
		o := sideOf(n)
		if o.standard != "yes" {
			continue
		}
		if o.kind == s.kind {
			return n
		}
		if best == "" {
			best = n
		}
	}
	return best
}

func good(s side) bool { return s.kind == "success" || s.kind == "intermediate" }
