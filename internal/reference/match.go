package reference

import (
	"strings"
	"sync"
)

// Row is one thing that a provider is known to say.
type Row struct {
	// ID is stable, such as "google-001".
	ID       string `json:"id"`
	Provider string `json:"provider"`
	// Kind is mailbox-provider, gateway, relay-service, mta or blocklist.
	Kind string `json:"kind"`
	// Phase is connect, ehlo, auth, mail, rcpt, data, post-data, any, or
	// delivery for what a sending system reports by itself.
	Phase string `json:"phase"`
	// Code is the reply code, 0 where the row has none; Enhanced may be "".
	Code     int    `json:"code,omitempty"`
	Enhanced string `json:"enhanced,omitempty"`
	// Sample is what the provider says, literally, shortened.
	Sample string `json:"sample"`
	// Contains is the part of it, in lower case, by which it is known.
	Contains string `json:"contains"`
	Reason   string `json:"reason"`
	Who      Actor  `json:"who"`
	Retry    Retry  `json:"retry"`
	Source   string `json:"source"`
	// Boilerplate says that the phrase is RFC 5321's own wording, which tells
	// less than any other phrase beside it.
	Boilerplate bool `json:"boilerplate,omitempty"`
}

// Key is the prefix of its sentences: .cause, .fix, .forward (may be absent).
func (r Row) Key() string { return "provider." + r.ID }

// Phrase is a turn of words that many servers use for one reason.
type Phrase struct {
	Contains string `json:"contains"`
	// And are parts that the text must have too, Not those that it must not have.
	And    []string `json:"and,omitempty"`
	Not    []string `json:"not,omitempty"`
	Reason string   `json:"reason"`
	// Word says that it must stand as a word of its own.
	Word bool `json:"word,omitempty"`
	// Weak says that an enhanced code that leaves no doubt is to be believed
	// rather than this.
	Weak bool `json:"weak,omitempty"`
}

// Host says that MX hosts below Suffix are Provider's.
type Host struct {
	Suffix   string `json:"suffix"`
	Provider string `json:"provider"`
}

type providerFile struct {
	Hosts   []Host   `json:"hosts"`
	Rows    []Row    `json:"rows"`
	Phrases []Phrase `json:"phrases"`
}

var providers = sync.OnceValue(decodeFacts[providerFile]("providers"))

// Rows lists everything that providers are known to say. Do not change it.
func Rows() []Row { return providers().Rows }

// RowOf finds a row by its ID.
func RowOf(id string) (Row, bool) {
	for _, r := range providers().Rows {
		if r.ID == id {
			return r, true
		}
	}
	return Row{}, false
}

// Providers lists the names of the providers, each once, in the order of the
// rows.
func Providers() []string {
	var names []string
	seen := make(map[string]bool)
	for _, r := range providers().Rows {
		if !seen[r.Provider] {
			seen[r.Provider] = true
			names = append(names, r.Provider)
		}
	}
	return names
}

// ProviderOfHost returns whose an MX host is, or "".
func ProviderOfHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, h := range providers().Hosts {
		if host == h.Suffix || strings.HasSuffix(host, "."+h.Suffix) {
			return h.Provider
		}
	}
	return ""
}

// HostsOf lists the domains below which the MX hosts of a provider are.
func HostsOf(provider string) []string {
	var suffixes []string
	for _, h := range providers().Hosts {
		if h.Provider == provider {
			suffixes = append(suffixes, h.Suffix)
		}
	}
	return suffixes
}

// Heard is what MatchProvider compares: Text in lower case, with single
// spaces, without codes at the starts of its lines. The other fields may be
// empty.
type Heard struct {
	Provider string
	Code     int
	Enhanced string
	Text     string
}

// Match weights. The provider known from the MX name comes first, then the
// codes, then how much of the text is accounted for.
const (
	weightProvider = 1000
	weightCode     = 200
	weightEnhanced = 300
	weightClass    = 50
	// weightBare is for a row without enhanced code and a text without one.
	weightBare = 40
	// weightSoftware is for a server's software where nothing says whose it is:
	// most who run it say the same.
	weightSoftware = 15
	// weightBoilerplate is taken off for a phrase that everybody uses.
	weightBoilerplate = 100
	// shortPhrase is the length below which a row's phrase alone does not tell
	// whose it is: its code, enhanced code or provider must agree too.
	shortPhrase = 15
)

// MatchProvider finds the row that fits best. exact says that code and enhanced
// code are the row's too, so that its retry and class may be believed.
func MatchProvider(h Heard) (row Row, exact, ok bool) {
	best := -1
	list := providers().Rows
	for i := range list {
		r := &list[i]
		if !strings.Contains(h.Text, r.Contains) {
			continue
		}
		score := fit(r, h)
		if score > best {
			best, row, ok = score, *r, true
			exact = r.Code == h.Code && (r.Enhanced == h.Enhanced || r.Code == 0 && h.Enhanced == "")
		}
	}
	return row, exact, ok
}

// fit rates a row whose phrase was found; negative means that it is not to be
// used.
func fit(r *Row, h Heard) int {
	score := len(r.Contains)
	sameCode := r.Code != 0 && r.Code == h.Code
	sameEnhanced := r.Enhanced != "" && r.Enhanced == h.Enhanced
	sameProvider := h.Provider != "" && r.Provider == h.Provider
	if len(r.Contains) < shortPhrase && !sameCode && !sameEnhanced && !sameProvider && h.Code != 0 {
		return -1
	}
	if sameProvider {
		score += weightProvider
	}
	if sameCode {
		score += weightCode
	}
	if sameEnhanced {
		score += weightEnhanced
	}
	if r.Enhanced == "" && h.Enhanced == "" {
		score += weightBare
	}
	if r.Kind == "mta" && h.Provider == "" {
		score += weightSoftware
	}
	if r.Boilerplate {
		score = max(0, score-weightBoilerplate)
	}
	if h.Code != 0 && r.Code != 0 && r.Code/100 == h.Code/100 {
		score += weightClass
	}
	return score
}

// MatchPhrase finds the first common turn of words in text (prepared as for
// [Heard]).
func MatchPhrase(text string) (Phrase, bool) {
	for _, p := range providers().Phrases {
		if containsPhrase(text, p) && p.rest(text) {
			return p, true
		}
	}
	return Phrase{}, false
}

// rest checks the parts beside the phrase itself.
func (p *Phrase) rest(text string) bool {
	for _, part := range p.And {
		if !strings.Contains(text, part) {
			return false
		}
	}
	for _, part := range p.Not {
		if strings.Contains(text, part) {
			return false
		}
	}
	return true
}

func containsPhrase(text string, p Phrase) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], p.Contains)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(p.Contains)
		if !p.Word || (start == 0 || !letter(text[start-1])) && (end == len(text) || !letter(text[end])) {
			return true
		}
		from = start + 1
	}
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
