package reference

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/onwardmail/onward/internal/reply"
)

// Document is one thing that can be searched for, in one language.
type Document struct {
	// Kind is basic, enhanced, private, reply, provider, reason, guide or
	// glossary.
	Kind string `json:"kind"`
	// ID names it within its kind: "550", "X.7.26", "relay-denied", "google-001",
	// "user_unknown", "bounce", "greylisting".
	ID string `json:"id"`
	// Code is what a person would call it, such as "550 5.7.26", or "".
	Code  string `json:"code,omitempty"`
	Title string `json:"title"`
	Text  string `json:"text"`
	// Words are further words to find it by: what it is called in English, other
	// spellings.
	Words string `json:"words,omitempty"`
}

// Hit is a document that was found.
type Hit struct {
	Kind  string `json:"kind"`
	ID    string `json:"id"`
	Code  string `json:"code"`
	Title string `json:"title"`
	// Snippet is the part of its text that fits best, [MaxSnippet] characters at
	// most.
	Snippet string `json:"snippet"`
	// Score ranks hits of one search.
	Score float64 `json:"score"`
}

// Limits of a search.
const (
	// MaxSnippet is in characters.
	MaxSnippet = 180
	// MaxQuery is in octets, MaxQueryWords in Words: the rest is not looked at.
	MaxQuery      = 512
	MaxQueryWords = 24
)

// Weights of the fields of a document, of the ways in which a word is found,
// and of the kinds: a code's own page is worth more than one provider's row.
const (
	weighTitle  = 4.0
	weighWords  = 2.5
	weighText   = 1.0
	weighPrefix = 0.6
	weighTypo   = 0.45
	// weighExact is for a query that is the code or the title itself.
	weighExact = 60.0
)

func kindWeight(kind string) float64 {
	switch kind {
	case "basic", "guide":
		return 1.25
	case "enhanced", "glossary":
		return 1.15
	case "provider":
		return 0.7
	case "reply", "private":
		return 0.9
	default:
		return 1
	}
}

// Documents lists what can be searched for in a language. It is made anew each
// time, for a search elsewhere (the static site).
func Documents(lang string) []Document {
	say := func(key string) string { return Say(lang, key) }
	inEnglish := func(key string) string {
		if lang == Fallback {
			return ""
		}
		s, _ := Sentence(Fallback, key)
		return s
	}
	join := func(keys ...string) string {
		var b strings.Builder
		for _, k := range keys {
			if s := say(k); s != "" {
				if b.Len() > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(s)
			}
		}
		return b.String()
	}
	var docs []Document
	for _, c := range Basics() {
		k := c.Key()
		docs = append(docs, Document{
			Kind: "basic", ID: strconv.Itoa(c.Code), Code: strconv.Itoa(c.Code), Title: say(k + ".name"),
			Text:  join(k+".meaning", k+".when", k+".fix", k+".sender", k+".admin", k+".receiver"),
			Words: inEnglish(k+".name") + " " + strings.Join(c.Enhanced, " "),
		})
	}
	for _, c := range Enhanceds() {
		k := c.Key()
		rest := strings.TrimPrefix(c.Code, "X")
		docs = append(docs, Document{
			Kind: "enhanced", ID: c.Code, Code: c.Code, Title: say(k + ".name"),
			Text:  join(k+".meaning", k+".cause", k+".fix", k+".sender", k+".admin", k+".receiver"),
			Words: inEnglish(k+".name") + " 2" + rest + " 4" + rest + " 5" + rest,
		})
	}
	for _, p := range Privates() {
		docs = append(docs, Document{
			Kind: "private", ID: p.ID, Code: p.Shown, Title: p.Provider + " " + p.Shown, Text: join(p.Key()+".meaning", p.Key()+".fix"),
		})
	}
	for _, d := range reply.All() {
		k := "reply." + d.Name
		docs = append(docs, Document{
			Kind: "reply", ID: d.Name, Code: strings.TrimSpace(strconv.Itoa(d.Code) + " " + d.Enhanced), Title: d.Text,
			Text: join(k+".meaning", k+".when", k+".fix"), Words: d.Name,
		})
	}
	for _, r := range Rows() {
		code := r.Enhanced
		if r.Code != 0 {
			code = strings.TrimSpace(strconv.Itoa(r.Code) + " " + r.Enhanced)
		}
		docs = append(docs, Document{
			Kind: "provider", ID: r.ID, Code: code, Title: r.Provider + ": " + r.Sample,
			Text: join(r.Key()+".cause", r.Key()+".fix", r.Key()+".forward", "reason."+r.Reason+".name"),
		})
	}
	for _, r := range Reasons() {
		k := "reason." + r.Key
		docs = append(docs, Document{
			Kind: "reason", ID: r.Key, Title: say(k + ".name"), Text: join(k+".fix", k+".forward"),
			Words: inEnglish(k+".name") + " " + strings.ReplaceAll(r.Key, "_", " "),
		})
	}
	for _, t := range Glossary() {
		docs = append(docs, Document{
			Kind: "glossary", ID: t.ID, Title: say(t.Key() + ".term"), Text: say(t.Key() + ".text"),
			Words: inEnglish(t.Key()+".term") + " " + strings.Join(t.Codes, " "),
		})
	}
	for _, g := range Guides() {
		var text strings.Builder
		text.WriteString(say(g.Key() + ".lead"))
		for _, n := range g.Nodes {
			leaf := ".result"
			if len(n.Answers) > 0 {
				leaf = ".q"
			}
			text.WriteByte(' ')
			text.WriteString(say(g.Key() + "." + n.ID + leaf))
		}
		docs = append(docs, Document{
			Kind: "guide", ID: g.ID, Title: say(g.Key() + ".title"), Text: text.String(), Words: inEnglish(g.Key() + ".title"),
		})
	}
	return docs
}

// index is the documents of a language by their words.
type index struct {
	docs     []Document
	names    [][3]string // ID, code and title of each document, as words
	postings map[string][]posting
	words    []string // sorted
}

// posting says that a word stands in a document, and how weightily.
type posting struct {
	doc    int32
	weight float32
}

// indexes are made by language, each when first searched.
var indexes = sync.OnceValue(func() map[string]func() *index {
	m := make(map[string]func() *index)
	for _, l := range Languages() {
		m[l.Tag] = sync.OnceValue(func() *index { return newIndex(Documents(l.Tag)) })
	}
	return m
})

func newIndex(docs []Document) *index {
	x := &index{docs: docs, postings: make(map[string][]posting, 8192)}
	for i := range docs {
		found := make(map[string]float32, 64)
		note := func(text string, weight float32) {
			for _, w := range splitWords(text) {
				// A word that stands there often says more, but not in proportion.
				found[w] = max(found[w], weight) + weight/8
			}
		}
		var names [3]string
		for j, name := range [...]string{docs[i].ID, docs[i].Code, docs[i].Title} {
			names[j] = strings.Join(splitWords(name), " ")
		}
		x.names = append(x.names, names)
		note(docs[i].Code, weighTitle)
		note(docs[i].Title, weighTitle)
		note(docs[i].Words, weighWords)
		note(docs[i].Text, weighText)
		for w, weight := range found {
			x.postings[w] = append(x.postings[w], posting{int32(i), weight})
		}
	}
	x.words = slices.Sorted(maps.Keys(x.postings))
	return x
}

// Search finds documents by code, phrase, provider or symptom, the best first,
// at most limit. Words may have a typing error, and the last may be unfinished.
// An unknown language is searched as [Fallback].
func Search(lang, query string, limit int) []Hit {
	if len(query) > MaxQuery {
		query = strings.ToValidUTF8(query[:MaxQuery], "")
	}
	asked := splitWords(query)
	if len(asked) > MaxQueryWords {
		asked = asked[:MaxQueryWords]
	}
	if len(asked) == 0 || limit <= 0 {
		return nil
	}
	x := indexes()[Match(lang)]()
	scores := make([]float64, len(x.docs))
	matched := make([]int, len(x.docs))
	best := make(map[int32]float64)
	for i, w := range asked {
		clear(best)
		x.find(w, i == len(asked)-1, best)
		for doc, score := range best {
			scores[doc] += score
			matched[doc]++
		}
	}
	whole := strings.Join(asked, " ")
	var hits []Hit
	for i, score := range scores {
		if score == 0 {
			continue
		}
		d := &x.docs[i]
		// Who has all the words asked for comes before who has one of them often.
		part := float64(matched[i]) / float64(len(asked))
		score *= kindWeight(d.Kind) * part * part
		if slices.Contains(x.names[i][:], whole) {
			score += weighExact * kindWeight(d.Kind)
		}
		hits = append(hits, Hit{Kind: d.Kind, ID: d.ID, Code: d.Code, Title: d.Title, Score: score, Snippet: d.Text})
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
	if len(hits) > limit {
		hits = hits[:limit]
	}
	for i := range hits {
		hits[i].Snippet = snippet(hits[i].Snippet, asked)
	}
	return hits
}

// find notes in best what a word of the query scores in each document. Exact
// matches shut out guesses at typing errors.
func (x *index) find(w string, unfinished bool, best map[int32]float64) {
	add := func(word string, quality float64) {
		list := x.postings[word]
		rare := math.Log(1 + float64(len(x.docs))/float64(len(list)))
		for _, p := range list {
			best[p.doc] = max(best[p.doc], quality*rare*float64(p.weight))
		}
	}
	_, exact := x.postings[w]
	if exact {
		add(w, 1)
	}
	long := utf8.RuneCountInString(w) >= 3 && !digits(w)
	if unfinished && long || strings.HasSuffix(w, ".") {
		at, _ := slices.BinarySearch(x.words, w)
		for _, word := range x.words[at:] {
			if !strings.HasPrefix(word, w) {
				break
			}
			add(word, weighPrefix)
		}
	}
	if len(best) > 0 || !long {
		return
	}
	if allowed := typos(w); allowed > 0 {
		for _, word := range x.words {
			if d := distance(w, word, allowed); d <= allowed {
				add(word, weighTypo/float64(max(d, 1)))
			}
		}
	}
}

// typos is how many typing errors a word may have.
func typos(w string) int {
	switch n := utf8.RuneCountInString(w); {
	case digits(w) || n < 4:
		return 0
	case n < 8:
		return 1
	default:
		return 2
	}
}

func digits(w string) bool { return strings.Trim(w, "0123456789.x") == "" }

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours between two words (Damerau and Levenshtein); more than allowed is
// allowed+1.
func distance(a, b string, allowed int) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) > allowed || len(y)-len(x) > allowed {
		return allowed + 1
	}
	before, above, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > allowed {
			return allowed + 1
		}
		before, above, row = above, row, before
	}
	return above[len(y)]
}

// splitWords returns the words of a text as they are searched for: small
// letters without marks; codes such as 5.7.26 whole; of scripts without spaces
// each pair of neighbouring characters.
func splitWords(text string) []string {
	var words []string
	var word []rune
	var dense []rune
	flush := func() {
		if w := strings.Trim(string(word), ".-"); w != "" {
			words = append(words, w)
		}
		word = word[:0]
		for i := range dense {
			switch {
			case i+1 < len(dense):
				words = append(words, string(dense[i:i+2]))
			case len(dense) == 1:
				words = append(words, string(dense))
			}
		}
		dense = dense[:0]
	}
	for _, r := range norm.NFKC.String(text) {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai) || r == 'ー':
			if len(word) > 0 {
				flush()
			}
			dense = append(dense, r)
			continue
		case unicode.IsLetter(r):
			r = unicode.ToLower(bare(r))
		case unicode.IsDigit(r), unicode.IsMark(r):
		case r == '.' && len(word) > 0 && digits(string(word)): // inside a code
		default:
			flush()
			continue
		}
		if len(dense) > 0 {
			flush()
		}
		word = append(word, r)
	}
	flush()
	return words
}

// bare is a letter without its marks: é is e.
func bare(r rune) rune {
	if r < utf8.RuneSelf {
		return r
	}
	d, _ := utf8.DecodeRuneInString(norm.NFD.String(string(r)))
	return d
}

// snippet is the part of a text in which most of the words stand.
func snippet(text string, asked []string) string {
	runes := []rune(text)
	if len(runes) <= MaxSnippet {
		return text
	}
	low := []rune(strings.ToLower(text))
	at := 0
	if len(low) == len(runes) {
		most := 0
		for from := 0; from < len(runes); from += MaxSnippet / 3 {
			part := string(low[from:min(from+MaxSnippet, len(low))])
			n := 0
			for _, w := range asked {
				if strings.Contains(part, w) {
					n++
				}
			}
			if n > most {
				most, at = n, from
			}
		}
	}
	end := min(at+MaxSnippet, len(runes))
	part := string(runes[at:end])
	if at > 0 {
		if _, rest, ok := strings.Cut(part, " "); ok {
			part = rest
		}
		part = "… " + part
	}
	if end < len(runes) {
		if i := strings.LastIndexByte(part, ' '); i > len(part)/2 {
			part = part[:i]
		}
		part += " …"
	}
	return part
}
