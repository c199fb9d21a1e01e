package reference

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestCompareSaysFirstThatCodesNeverCompete(t *testing.T) {
	for _, l := range Languages() {
		c := Compare("251", "535", l.Tag)
		if !c.Known || c.Competing || len(c.First) != 1 {
			t.Fatalf("%s: 251 and 535: %+v", l.Tag, c)
		}
		for _, want := range []string{"251", "535", "RCPT", "AUTH"} {
			if !strings.Contains(c.First[0], want) {
				t.Errorf("%s: %q does not name %s", l.Tag, c.First[0], want)
			}
		}
		if len(c.Suggestions) == 0 {
			t.Errorf("%s: no pair is offered that the reader may have meant", l.Tag)
		}
		for _, s := range c.Suggestions {
			if other := Compare(s[0], s[1], l.Tag); !other.Competing {
				t.Errorf("%s: %v is offered and does not compete either", l.Tag, s)
			}
		}
	}
}

// The pairs that people really confuse have a note and an advice by hand.
func TestCompareHasNotesForConfusedPairs(t *testing.T) {
	confused := [...]string{
		"250-251", "251-551", "251-252", "421-450", "450-451", "450-550", "451-452", "452-552", "454-535", "500-502", "501-553", "502-503",
		"503-530", "521-554", "523-538", "525-535", "530-535", "534-535", "550-551", "550-553", "550-554", "550-5.7.26", "550-5.1.1",
		"4.2.2-5.2.2", "5.1.1-5.1.2", "5.1.1-5.1.10", "5.7.0-5.7.1", "5.7.1-5.7.26", "5.7.23-5.7.25", "5.7.8-5.7.9",
	}
	for _, l := range Languages() {
		for _, pair := range confused {
			a, b, _ := strings.Cut(pair, "-")
			c := Compare(a, b, l.Tag)
			if c.Note == "" || c.UseWhich == "" || len(c.Differences) == 0 || len(c.KeyDifferences) < 2 || c.WhenA == "" || c.WhenB == "" {
				t.Errorf("%s: %s lacks something: %+v", l.Tag, pair, c)
			}
			if apart := map[string]bool{"454-535": false, "550-5.7.26": true, "550-5.1.1": true}; c.Competing == apart[pair] {
				t.Errorf("%s: %s: competing is %t", l.Tag, pair, c.Competing)
			}
			if back := Compare(b, a, l.Tag); back.Note != c.Note || back.UseWhich != c.UseWhich {
				t.Errorf("%s: %s reads differently in the other order", l.Tag, pair)
			}
		}
	}
}

// Every note by hand is found from its codes.
func TestNotesBelongToPairs(t *testing.T) {
	notes := 0
	for _, key := range Keys(Fallback) {
		rest, ok := strings.CutPrefix(key, "pair.")
		if !ok {
			continue
		}
		pair, leaf := rest[:strings.LastIndexByte(rest, '.')], rest[strings.LastIndexByte(rest, '.')+1:]
		a, b, _ := strings.Cut(pair, "-")
		c := Compare(a, b, Fallback)
		if !c.Known || pairKey(a, b) != pair {
			t.Errorf("%s: is no pair in its order", key)
		}
		want := map[string]string{"note": c.Note, "use": c.UseWhich}[leaf]
		if text, _ := Sentence(Fallback, key); text == "" || text != want {
			t.Errorf("%s is not what the comparison says", key)
		}
		if leaf == "note" {
			notes++
		}
	}
	if least := 60; notes < least {
		t.Errorf("%d notes, want %d", notes, least)
	}
}

func TestCompareRelations(t *testing.T) {
	for pair, want := range map[[2]string]Relation{
		{"251", "535"}: RelationApart, {"251", "551"}: RelationCompeting, {"5.1.1", "5.7.8"}: RelationApart,
		{"550", "5.7.26"}: RelationTogether, {"550", "X.7.26"}: RelationTogether, {"550", "5.3.4"}: RelationUnusual,
		{"251", "5.7.26"}: RelationExcluded, {"450", "5.1.1"}: RelationExcluded, {"X.7.1", "5.7.1"}: RelationInstance,
		{"4.2.2", "5.2.2"}: RelationCompeting, {"101", "421"}: RelationAside, {"550", "101"}: RelationAside,
		{"550", "550"}: RelationIdentical, {"550", "999"}: RelationUnknown, {"5.7.509", "5.7.26"}: RelationCompeting,
	} {
		if c := Compare(pair[0], pair[1], "en"); c.Relation != want {
			t.Errorf("%v: %s, want %s", pair, c.Relation, want)
		}
	}
}

// Every rule speaks where it has something to say.
func TestKeyDifferences(t *testing.T) {
	for pair, wants := range map[[2]string][]string{
		{"450", "550"}:       {"sender's queue", "550 may answer any command, 450 only", "cured by the sender's administrator"},
		{"421", "554"}:       {"421 closes the connection", "421 under connections and 554 under the mail system"},
		{"251", "551"}:       {"Both answer RCPT and VRFY; 251 also answers ETRN", "551 is known from ImprovMX"},
		{"5.1.1", "5.7.26"}:  {"«Addressing»", "«Security or policy»", "The address does not exist at the destination"},
		{"4.2.2", "5.2.2"}:   {"Both are called «Mailbox full»", "one code of the registry, X.2.2"},
		{"550", "5.7.26"}:    {"RFC 5321 §4.2.3", "RFC 7372"},
		{"354", "355"}:       {"experiment (RFC 1845)", "«Send the message; end it with a line that has only a dot»"},
		{"571", "554"}:       {"571 is in no standard"},
		{"5.7.511", "5.7.8"}: {"«The sending address is banned"},
	} {
		text := strings.Join(Compare(pair[0], pair[1], "en").KeyDifferences, "\n")
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%v: no %q in\n%s", pair, want, text)
			}
		}
	}
}

// Numbers that no server should send are not advised.
func TestUseWhichKnowsTheStandard(t *testing.T) {
	for pair, want := range map[[2]string]string{
		{"571", "452"}: "554|550", {"447", "451"}: "447 (", {"101", "535"}: "No server answers 101", {"5.3.4", "4.3.1"}: "behind 552 and 554",
	} {
		use := Compare(pair[0], pair[1], "en").UseWhich
		if !slices.ContainsFunc(strings.Split(want, "|"), func(w string) bool { return strings.Contains(use, w) }) {
			t.Errorf("%v: %q", pair, use)
		}
	}
}

// Separators belong to the language, not to the code.
func TestListsAreJoinedAsTheLanguageDoes(t *testing.T) {
	row := func(lang string) string {
		for _, r := range Compare("251", "552", lang).Differences {
			if r.Key == "commands" {
				return r.A
			}
		}
		return ""
	}
	if got := row("en"); got != "RCPT, VRFY, ETRN" {
		t.Errorf("en: %q", got)
	}
	if got := row("ja"); got != "RCPT、VRFY、ETRN" {
		t.Errorf("ja: %q", got)
	}
	if got := closeUp("どちらも 接続の開始、DATA への 応答 a b"); got != "どちらも接続の開始、DATA への応答 a b" {
		t.Errorf("%q", got)
	}
}

// allCodes are all that can be compared: enhanced ones as the registry has them
// and in each class.
func allCodes() []string {
	var codes []string
	for _, b := range Basics() {
		codes = append(codes, strings.TrimPrefix(b.Key(), "basic."))
	}
	for _, e := range Enhanceds() {
		for _, class := range []string{"2", "4", "5", "X"} {
			codes = append(codes, class+e.Code[1:])
		}
	}
	for _, p := range Privates() {
		if _, ok := Canonical(p.Shown); ok {
			codes = append(codes, p.Shown)
		}
	}
	return codes
}

// Rules give something true and readable for any two codes, and the same in
// both orders.
func TestCompareAnyTwo(t *testing.T) {
	codes := allCodes()
	for _, l := range Languages() {
		for i, a := range codes {
			b := codes[(i*37+11)%len(codes)]
			c := Compare(a, b, l.Tag)
			if !c.Known {
				t.Errorf("%s: %s and %s: one is not known", l.Tag, a, b)
				continue
			}
			if c.Competing != (len(c.First) == 0) || c.UseWhich == "" && a != b && c.Relation != RelationInstance {
				t.Errorf("%s: %s and %s lack something: %+v", l.Tag, a, b, c)
			}
			for _, s := range append(slices.Clone(c.KeyDifferences), append(c.First, c.UseWhich)...) {
				if strings.ContainsAny(s, "{}") || s != strings.TrimSpace(s) || strings.Contains(s, "  ") {
					t.Errorf("%s: %s and %s: %q", l.Tag, a, b, s)
				}
			}
			for _, s := range c.KeyDifferences {
				if !strings.Contains(s, a) && !strings.Contains(s, b) {
					t.Errorf("%s: %s and %s: %q names neither", l.Tag, a, b, s)
				}
			}
			for _, row := range c.Differences {
				if row.A == "" || row.B == "" || row.Aspect == "" || row.Same != (row.A == row.B) {
					t.Errorf("%s: %s and %s: row %+v", l.Tag, a, b, row)
				}
			}
			if back := Compare(b, a, l.Tag); back.Relation != c.Relation || len(back.KeyDifferences) != len(c.KeyDifferences) {
				t.Errorf("%s: %s and %s differ otherwise than %s and %s", l.Tag, a, b, b, a)
			}
		}
	}
}

// sentencesOfPair are all sentences of a comparison, without the table. With
// mask, the two codes do not count, so that a sentence is the same if only they
// differ.
func sentencesOfPair(c Comparison, mask bool) map[string]bool {
	texts := append([]string{c.WhenA, c.WhenB, c.Note, c.UseWhich}, append(slices.Clone(c.First), c.KeyDifferences...)...)
	text := strings.Join(texts, "\n")
	if mask {
		text = strings.NewReplacer(c.A, "#", c.B, "#").Replace(text)
	}
	found := map[string]bool{}
	for s := range strings.SplitSeq(strings.NewReplacer("。", "\n", ". ", "\n", "? ", "\n", "! ", "\n").Replace(text), "\n") {
		if s = strings.TrimSpace(s); s != "" {
			found[s] = true
		}
	}
	return found
}

// sameNumber reports whether two codes are the same but for the class of an
// enhanced one.
func sameNumber(a, b string) bool {
	return a == b || strings.Contains(a, ".") && strings.Contains(b, ".") && a[1:] == b[1:]
}

// Of 200 random pairs, any two comparisons share less than half of their
// sentences; pairs without a common code do so even if one does not look at the
// codes.
func TestComparisonsSayTheirOwn(t *testing.T) {
	codes := allCodes()
	const pairs, seed = 200, 251535
	type compared struct {
		a, b            string
		literal, masked map[string]bool
	}
	check := func(lang string, x, y compared, what string, of func(compared) map[string]bool) float64 {
		shared, least := 0, min(len(of(x)), len(of(y)))
		for s := range of(x) {
			if of(y)[s] {
				shared++
			}
		}
		if shared*2 >= least {
			t.Errorf("%s: %s-%s and %s-%s share %d of %d sentences (%s)", lang, x.a, x.b, y.a, y.b, shared, least, what)
		}
		return float64(shared) / float64(least)
	}
	for _, l := range Languages() {
		random := rand.New(rand.NewPCG(seed, seed))
		var all []compared
		seen := map[string]bool{}
		worst := [2]float64{}
		for len(all) < pairs {
			a, b := codes[random.IntN(len(codes))], codes[random.IntN(len(codes))]
			if a == b || seen[pairKey(a, b)] {
				continue
			}
			seen[pairKey(a, b)] = true
			c := Compare(a, b, l.Tag)
			x := compared{a, b, sentencesOfPair(c, false), sentencesOfPair(c, true)}
			for _, y := range all {
				worst[0] = max(worst[0], check(l.Tag, x, y, "literally", func(c compared) map[string]bool { return c.literal }))
				if !slices.ContainsFunc([]string{y.a, y.b}, func(other string) bool { return sameNumber(a, other) || sameNumber(b, other) }) {
					worst[1] = max(worst[1], check(l.Tag, x, y, "but for the codes", func(c compared) map[string]bool { return c.masked }))
				}
			}
			all = append(all, x)
		}
		t.Logf("%s: at most %.0f %% are shared, %.0f %% but for the codes", l.Tag, worst[0]*100, worst[1]*100)
	}
}

func TestCompareFacts(t *testing.T) {
	row := func(c Comparison, key string) Difference {
		for _, r := range c.Differences {
			if r.Key == key {
				return r
			}
		}
		t.Fatalf("no row %s in %+v", key, c)
		return Difference{}
	}
	c := Compare("450", "550", "en")
	if r := row(c, "retry"); r.Same || !strings.HasPrefix(r.A, "yes") || !strings.HasPrefix(r.B, "no") {
		t.Errorf("retry of 450 and 550: %+v", r)
	}
	if r := row(c, "message"); r.Same {
		t.Errorf("who has the message after 450 and 550: %+v", r)
	}
	if r := row(Compare("421", "450", "en"), "connection"); r.Same {
		t.Errorf("connection after 421 and 450: %+v", r)
	}
	if c := Compare("550", "5.1.1", "en"); c.Competing || len(c.First) != 1 || !strings.Contains(c.First[0], "same reply") {
		t.Errorf("550 and 5.1.1 stand in the same reply: %+v", c)
	}
	if c := Compare("550", "550", "en"); c.Competing || len(c.First) != 1 {
		t.Errorf("a code and itself: %+v", c)
	}
	if c := Compare("999", "5.1.1", "ja"); c.Known || len(c.First) != 1 || !strings.Contains(c.First[0], "999") {
		t.Errorf("an unknown code: %+v", c)
	}
	if c := Compare("", "\x1b[2J", "en"); c.Known || len(c.First) != 2 {
		t.Errorf("garbage: %+v", c)
	}
}
