package reference

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Comparison is how two codes differ, in one language. It is made of rules over
// facts, and of notes by hand for the pairs that people really confuse.
type Comparison struct {
	A, B string
	// NameA and NameB are what the codes are called.
	NameA, NameB string
	// Language is the one asked for.
	Language string
	// Known says that both are codes of the reference.
	Known bool
	// Relation is how the two stand to each other.
	Relation Relation
	// Competing says that a server may have to choose between them: two reply
	// codes, or two enhanced codes, that share a command.
	Competing bool
	// First is what must be said before all else: that they never compete, that
	// one is unknown.
	First []string
	// KeyDifferences are sentences, the weightiest first. Each stands for itself
	// and names at least one of the codes.
	KeyDifferences []string
	// Differences are the same facts and some more as a table.
	Differences []Difference
	// WhenA and WhenB say when one meets them.
	WhenA, WhenB string
	// UseWhich says when a server answers which.
	UseWhich string
	// Note is by hand, "" for most pairs.
	Note string
	// Suggestions are pairs that the reader perhaps meant. Both of each compete.
	Suggestions [][2]string
}

// Difference is one row of the table of differences.
type Difference struct {
	// Key is the aspect's stable name, Aspect its heading.
	Key, Aspect, A, B string
	// Same says that the two do not differ in it.
	Same bool
}

// Relation is how two codes stand to each other.
type Relation string

// The relations. Only [RelationCompeting] ones are alternatives for a server.
const (
	RelationCompeting Relation = "competing" // they share a command
	RelationApart     Relation = "apart"     // they answer different commands
	RelationTogether  Relation = "together"  // reply code and enhanced code that stand in one reply
	RelationUnusual   Relation = "unusual"   // reply code and enhanced code of one class that seldom meet
	RelationExcluded  Relation = "excluded"  // reply code and enhanced code of different classes
	RelationAside     Relation = "aside"     // a mail program's own number, and any other
	RelationIdentical Relation = "same"      // one code
	RelationInstance  Relation = "instance"  // X.1.1 and 5.1.1
	RelationUnknown   Relation = "unknown"   // one of them is no code
)

// Compare compares two codes, basic or enhanced, in any mixture. Codes that are
// not known give a Comparison that says so.
func Compare(a, b, lang string) Comparison {
	p := pairOf(strings.TrimSpace(a), strings.TrimSpace(b), lang)
	c := Comparison{A: p.a.shown, B: p.b.shown, Language: lang, Known: p.relation != RelationUnknown, Relation: p.relation}
	c.First = p.first()
	if !c.Known {
		c.Suggestions = p.suggest()
		return c
	}
	c.NameA, c.NameB = p.name(p.a), p.name(p.b)
	c.Competing = p.relation == RelationCompeting
	c.WhenA, c.WhenB = p.when(p.a), p.when(p.b)
	c.Differences = p.table()
	c.KeyDifferences = p.keyDifferences()
	c.Note, c.UseWhich = p.byHand()
	if c.UseWhich == "" {
		c.UseWhich = p.useWhich()
	}
	if !c.Competing {
		c.Suggestions = p.suggest()
	}
	return c
}

// side is what the rules know of one of the codes.
type side struct {
	shown string
	// key is the prefix of its sentences, provider the one that alone defines it.
	key, provider string
	kind          string
	// commands are those that it answers, basics the reply codes of its class
	// that an enhanced code stands behind.
	commands []string
	basics   []int
	retry    Retry
	who      Actor
	// closes and standard are facts of reply codes, "" for enhanced ones.
	closes, standard string
	enhanced         bool
	source           string
	compare          []int
	ok               bool
}

func sideOf(code string) side {
	shown, ok := Canonical(code)
	if !ok {
		return side{shown: code}
	}
	if n, err := strconv.Atoi(shown); err == nil {
		b, _ := BasicCode(n)
		commands := b.Commands
		if len(commands) == 0 { // historic, and never bound to one
			commands = []string{"any"}
		}
		return side{
			shown: shown, key: b.Key(), kind: b.Kind, commands: commands, retry: b.Retry, who: b.Who,
			closes: strings.ReplaceAll(b.Closes, " ", "-"), standard: b.Standard, source: firstSource(b.DefinedIn),
			compare: b.Compare, ok: true,
		}
	}
	s := side{shown: shown, enhanced: true, ok: true}
	class, subject, _, _ := SplitEnhanced(shown)
	var registry []int
	if e, registered := EnhancedCode(shown); registered {
		s.key, s.who, s.source, registry = e.Key(), e.Who, firstSource(e.References), e.Basic
	} else {
		own := privatesOf(shown)[0]
		s.key, s.provider, s.who = own.Key(), own.Provider, own.Who
		if own.With != 0 {
			registry = []int{own.With}
		}
	}
	switch class {
	case 2:
		s.kind, s.retry = "success", RetryNoNeed
	case 4:
		s.kind, s.retry = "transient", RetryYes
	case 5:
		s.kind, s.retry = "permanent", RetryNo
	}
	s.basics = basicsOf(shown, class, registry)
	s.commands = commandsOf(subject, s.basics)
	return s
}

// firstSource is where a code is defined, without what is said about it there.
func firstSource(list []string) string {
	if len(list) == 0 {
		return ""
	}
	source, _, _ := strings.Cut(list[0], " (")
	return source
}

// basicsOf lists the reply codes that an enhanced code stands behind: those
// that the registry puts beside it, and the codes that it is usual with; of its
// own class only, if it has one.
func basicsOf(shown string, class int, registry []int) []int {
	var list []int
	for _, b := range Basics() {
		if class != 0 && b.Code/100 != class {
			continue
		}
		usual := slices.ContainsFunc(b.Enhanced, func(e string) bool {
			return e == shown || class == 0 && sameEnhanced(shown, e)
		})
		if slices.Contains(registry, b.Code) || usual && b.Standard == "yes" {
			list = append(list, b.Code)
		}
	}
	return list
}

// subjectCommands are the commands at which the subjects of rfc3463#3 come up.
var subjectCommands = [...][]string{
	0: {"any"}, 1: {"MAIL", "RCPT", "delivery"}, 2: {"RCPT", "DATA", "BDAT"}, 3: {"any"}, 4: {"any"}, 5: {"any"},
	6: {"MAIL", "RCPT", "DATA", "BDAT"}, 7: {"CONNECT", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"},
}

// usualCommands are those of them that stand for a code of which no reply code
// is known.
var usualCommands = [...][]string{
	0: {"any"}, 1: {"MAIL", "RCPT"}, 2: {"RCPT", "DATA"}, 3: {"any"}, 4: {"RCPT", "DATA", "delivery"}, 5: {"any"},
	6: {"DATA", "BDAT"}, 7: {"MAIL", "RCPT", "DATA"},
}

// commandsOf lists the commands that an enhanced code answers: those of its
// reply codes, as far as its subject comes up there. One that comes with reply
// codes for logins as often as with others is about logins only; the others are
// never about one.
func commandsOf(subject int, basics []int) []string {
	if subject >= len(subjectCommands) {
		subject = 0
	}
	logins := slices.DeleteFunc(slices.Clone(basics), func(n int) bool { return !forLogin(n) })
	if len(logins)*2 >= len(basics) {
		basics = logins
	}
	allowed := subjectCommands[subject]
	all := slices.Contains(allowed, "any")
	var list []string
	for _, n := range basics {
		b, _ := BasicCode(n)
		for _, command := range b.Commands {
			fits := all || slices.Contains(allowed, command) && (command != "AUTH" || forLogin(n))
			if fits && !slices.Contains(list, command) {
				list = append(list, command)
			}
		}
	}
	if len(list) == 0 {
		return usualCommands[subject]
	}
	slices.SortStableFunc(list, func(a, b string) int { return inSession(a) - inSession(b) })
	return list
}

// forLogin reports whether a reply code answers AUTH only, or STARTTLS too.
func forLogin(n int) bool {
	b, _ := BasicCode(n)
	return slices.Contains(b.Commands, "AUTH") && len(without(b.Commands, []string{"AUTH", "STARTTLS"})) == 0
}

// session is the order in which the commands of a session come.
var session = [...]string{"CONNECT", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"}

func inSession(command string) int {
	if i := slices.Index(session[:], command); i >= 0 {
		return i
	}
	return len(session)
}

// pair is two codes and the language in which they are compared.
type pair struct {
	a, b     side
	lang     string
	relation Relation
	// shared are the commands that both may answer.
	shared []string
}

func pairOf(a, b, lang string) pair {
	p := pair{a: sideOf(a), b: sideOf(b), lang: lang}
	p.shared = sharedCommands(p.a, p.b)
	p.relation = p.relate()
	return p
}

func (p pair) relate() Relation {
	switch {
	case !p.a.ok || !p.b.ok:
		return RelationUnknown
	case p.a.shown == p.b.shown:
		return RelationIdentical
	case p.a.enhanced && p.b.enhanced && p.a.shown[1:] == p.b.shown[1:] && (p.a.kind == "" || p.b.kind == ""):
		return RelationInstance
	case p.a.kind == clientSide || p.b.kind == clientSide:
		return RelationAside
	case p.a.enhanced != p.b.enhanced:
		e, basic := p.mixture()
		n, _ := strconv.Atoi(basic.shown)
		switch {
		case slices.Contains(e.basics, n):
			return RelationTogether
		case e.kind == "" || e.kind == basic.kind:
			return RelationUnusual
		}
		return RelationExcluded
	case len(p.shared) > 0:
		return RelationCompeting
	}
	return RelationApart
}

// mixture returns the enhanced and the basic code of a mixed pair.
func (p pair) mixture() (enhanced, basic side) {
	if p.a.enhanced {
		return p.a, p.b
	}
	return p.b, p.a
}

// sharedCommands lists the commands that both may answer. A code for any
// command shares those of the other.
func sharedCommands(x, y side) []string {
	anyX, anyY := slices.Contains(x.commands, "any"), slices.Contains(y.commands, "any")
	switch {
	case anyX && anyY:
		return []string{"any"}
	case anyX:
		return y.commands
	case anyY:
		return x.commands
	}
	return slices.DeleteFunc(slices.Clone(x.commands), func(c string) bool { return !slices.Contains(y.commands, c) })
}

// clientSide is the kind of the numbers that mail programs show.
const clientSide = "client-side"

func (p pair) say(key string, values ...string) string {
	return closeUp(Fill(Say(p.lang, key), values...))
}

// closeUp takes out the spaces between two characters of scripts that set none:
// they come of sentences that expect letters where a word of the script stands.
func closeUp(s string) string {
	if !strings.Contains(s, " ") {
		return s
	}
	runes := []rune(s)
	kept := runes[:0]
	for i, r := range runes {
		if r == ' ' && i > 0 && i+1 < len(runes) && dense(runes[i-1]) && dense(runes[i+1]) {
			continue
		}
		kept = append(kept, r)
	}
	return string(kept)
}

// dense reports whether r is of a script that sets no spaces, or of its
// punctuation.
func dense(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || r >= 0x3000 && r < 0x3040 || r == 'ー'
}

// name is what a code is called; one that only a provider defines has no name,
// and its meaning does for it.
func (p pair) name(s side) string {
	if s.provider != "" {
		return strings.TrimRight(Say(p.lang, s.key+".meaning"), ".。")
	}
	return Say(p.lang, s.key+".name")
}

func (p pair) when(s side) string {
	switch {
	case s.provider != "":
		return p.paragraph(Say(p.lang, s.key+".meaning"), Say(p.lang, s.key+".fix"))
	case s.enhanced:
		return Say(p.lang, s.key+".cause")
	}
	return Say(p.lang, s.key+".when")
}

// values are the placeholders that every sentence about two codes may use.
func (p pair) values(a, b side) []string {
	return []string{
		"a", a.shown, "b", b.shown, "name-a", p.name(a), "name-b", p.name(b),
		"commands-a", p.commandList(a.commands), "commands-b", p.commandList(b.commands),
		"who-a", Say(p.lang, "actor."+string(a.who)), "who-b", Say(p.lang, "actor."+string(b.who)),
	}
}

// first is what must be said before all else.
func (p pair) first() []string {
	if p.relation == RelationCompeting {
		return nil
	}
	if p.relation == RelationUnknown {
		var list []string
		for _, s := range [...]side{p.a, p.b} {
			if !s.ok {
				list = append(list, p.say("ui.unknown-code", "code", s.shown))
			}
		}
		return list
	}
	a, b := p.a, p.b
	values := p.values(a, b)
	key := "compare." + string(p.relation)
	switch {
	case p.relation == RelationAside && a.kind != clientSide:
		values = p.values(b, a)
	case p.relation != RelationAside && a.enhanced != b.enhanced:
		e, basic := p.mixture()
		values = append(p.values(e, basic), "basics", p.list(numbers(e.basics)))
		if p.relation == RelationUnusual && len(e.basics) == 0 {
			key += "-any"
		}
	}
	return []string{p.say(key, values...)}
}

// paragraph puts sentences behind each other as the language does.
func (p pair) paragraph(sentences ...string) string {
	sentences = slices.DeleteFunc(sentences, func(s string) bool { return s == "" })
	return strings.Join(sentences, Say(p.lang, "ui.sentence-space"))
}

// list joins items as a sentence of the language does.
func (p pair) list(items []string) string {
	last := len(items) - 1
	if last < 1 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:last], Say(p.lang, "ui.list-separator")) + Say(p.lang, "ui.list-last") + items[last]
}

func numbers(codes []int) []string {
	list := make([]string, len(codes))
	for i, n := range codes {
		list[i] = strconv.Itoa(n)
	}
	return list
}

// commandNames are commands as they are shown.
func (p pair) commandNames(commands []string) []string {
	if len(commands) == 0 || slices.Contains(commands, "any") {
		return []string{Say(p.lang, "ui.any")}
	}
	list := make([]string, len(commands))
	for i, command := range commands {
		switch command {
		case "CONNECT":
			command = Say(p.lang, "compare.connecting")
		case "delivery":
			command = Say(p.lang, "compare.delivery")
		}
		list[i] = command
	}
	return list
}

func (p pair) commandList(commands []string) string { return p.list(p.commandNames(commands)) }

// table is the table of differences: name, class, commands, retry, who,
// connection and the responsibility for the message, in this order; aspects of
// which neither has anything are left out.
func (p pair) table() []Difference {
	aspect := func(key string, of func(side) string) Difference {
		a, b := of(p.a), of(p.b)
		return Difference{Key: key, Aspect: Say(p.lang, "aspect."+key), A: a, B: b, Same: a == b}
	}
	say := func(prefix, key string) string {
		if key == "" {
			return "—"
		}
		return Say(p.lang, prefix+key)
	}
	rows := []Difference{
		aspect("name", p.name),
		aspect("class", func(s side) string { return say("class.", s.kind) }),
		aspect("commands", func(s side) string {
			return strings.Join(p.commandNames(s.commands), Say(p.lang, "ui.list-separator"))
		}),
		aspect("retry", func(s side) string { return say("retry.", string(s.retry)) }),
		aspect("who", func(s side) string { return say("actor.", string(s.who)) }),
		aspect("connection", func(s side) string { return say("connection.", s.closes) }),
		aspect("message", func(s side) string { return say("responsibility.", responsibility(s)) }),
	}
	return slices.DeleteFunc(rows, func(r Difference) bool { return r.A == "—" && r.B == "—" })
}

// responsibility says who has the message after the code (rfc5321#6.1,
// rfc5321#4.2.1). A success concerns one only where recipients or content are
// taken; a failure also where a session ends before it.
func responsibility(s side) string {
	has := func(commands ...string) bool {
		return slices.ContainsFunc(s.commands, func(c string) bool { return slices.Contains(commands, c) })
	}
	switch s.kind {
	case "success":
		if has("RCPT", "DATA", "BDAT") {
			return "taken"
		}
		return "untouched"
	case "intermediate":
		return "next"
	case "transient", "permanent":
		if !has("CONNECT", "MAIL", "RCPT", "DATA", "BDAT", "delivery", "any") {
			return "untouched"
		}
		if s.kind == "transient" {
			return "sender-keeps"
		}
		return "returned"
	}
	return ""
}

// maxSuggestions bounds the pairs that are offered.
const maxSuggestions = 4

// suggest offers the pairs that the reader probably meant: for each code first
// those with a note by hand, then those that people confuse with it.
func (p pair) suggest() [][2]string {
	var list [][2]string
	for _, s := range [...]side{p.a, p.b} {
		n := 0
		for _, other := range confusedWith(s) {
			if n == maxSuggestions/2 {
				break
			}
			q := pairOf(s.shown, other, p.lang)
			if q.relation != RelationCompeting || other == p.a.shown || other == p.b.shown {
				continue
			}
			if !slices.Contains(list, [2]string{other, s.shown}) && !slices.Contains(list, [2]string{s.shown, other}) {
				list = append(list, [2]string{s.shown, other})
				n++
			}
		}
	}
	return list
}

// confusedWith lists codes that people confuse with s.
func confusedWith(s side) []string {
	if !s.ok {
		return nil
	}
	facts := numbers(s.compare)
	if s.enhanced {
		facts = neighbours(s.shown)
	}
	noted := func(other string) bool {
		_, ok := Sentence(Fallback, "pair."+pairKey(s.shown, other)+".note")
		return ok
	}
	list := slices.DeleteFunc(slices.Clone(facts), func(other string) bool { return !noted(other) })
	for _, other := range facts {
		if !slices.Contains(list, other) {
			list = append(list, other)
		}
	}
	return list
}

// neighbours lists the registered codes of the same subject with the class of
// code, the nearest detail first.
func neighbours(code string) []string {
	_, subject, detail, _ := SplitEnhanced(code)
	type near struct {
		code string
		far  int
	}
	var found []near
	for _, e := range Enhanceds() {
		if _, s, d, _ := SplitEnhanced(e.Code); s == subject && d != detail {
			found = append(found, near{code[:1] + e.Code[1:], max(d-detail, detail-d)})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.far - b.far })
	list := make([]string, len(found))
	for i, n := range found {
		list[i] = n.code
	}
	return list
}

// pairKey names a pair the same in both orders.
func pairKey(a, b string) string {
	if b < a {
		a, b = b, a
	}
	return a + "-" + b
}

// byHand is what is written for the pair by hand: what people confuse, and when
// to use which. Codes of any class take what is said of the permanent ones.
func (p pair) byHand() (note, use string) {
	key := "pair." + pairKey(p.a.shown, p.b.shown)
	if _, ok := Sentence(Fallback, key+".note"); !ok {
		permanent := func(s side) string {
			if rest, ok := strings.CutPrefix(s.shown, "X"); ok {
				return "5" + rest
			}
			return s.shown
		}
		key = "pair." + pairKey(permanent(p.a), permanent(p.b))
	}
	return Say(p.lang, key+".note"), Say(p.lang, key+".use")
}
