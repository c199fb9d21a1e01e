// Package reference knows what every SMTP code means.
//
// It holds three things, kept apart. Facts: code, commands, retry, who must
// act, where it is defined, what providers say; they live once, under facts/,
// and name no language. Sentences: one key each, in one file a language under
// lang/; a further language is one more file. Rules: how two codes differ, computed from the facts, see
// [Compare].
//
// It promises that nothing is decoded before it is used: a server that
// explains nothing pays for the embedded bytes only. What is decoded is shared
// and never changes; callers must not write to the slices that they get.
//
// It promises completeness for our own replies (every entry of package reply
// has meaning, occasion and remedy in every language), for login failures, for
// outcomes of deliveries, for reasons and for headings. For codes of the
// registries a language may lag behind English; [Text] then answers in English
// and says so, so that the reader can be told.
//
// It does not read reply lines: that is package explain. It does no I/O and
// has no clock.
//
// RFC 5321 §4.2 and §4.3.2 (reply codes and where they are legal), RFC 3463 and
// RFC 5248 (enhanced status codes and their registry), RFC 4954 §6 (AUTH).
package reference

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
)

//go:embed facts/*.json
var factFiles embed.FS

//go:embed lang/*.toml
var languageFiles embed.FS

// Fallback is the language in which every key exists.
const Fallback = "en"

// Language is one that the reference speaks.
type Language struct {
	// Tag is the BCP 47 tag, such as "ja".
	Tag string
	// Name is the language's own name for itself.
	Name string
	// RightToLeft says that its text runs from right to left.
	RightToLeft bool
}

// table is one language: its sentences by key, decoded when first asked for.
type table struct {
	Language
	sentences func() map[string]string
}

// tables are the languages, [Fallback] first and then by tag: one a file. Only
// the head of each file is read for it.
var tables = sync.OnceValue(func() []table {
	files, err := languageFiles.ReadDir("lang")
	if err != nil {
		panic("reference: " + err.Error()) // embedded at build time
	}
	var list []table
	for _, f := range files {
		tag := strings.TrimSuffix(f.Name(), ".toml")
		l, err := headOf(tag)
		if err != nil {
			panic("reference: " + err.Error()) // embedded at build time; a test reads every one
		}
		list = append(list, table{l, sentencesOf(tag)})
	}
	slices.SortStableFunc(list, func(a, b table) int {
		switch {
		case a.Tag == Fallback:
			return -1
		case b.Tag == Fallback:
			return 1
		}
		return strings.Compare(a.Tag, b.Tag)
	})
	return list
})

// maxHead is how much of a language's file may come before its own name.
const maxHead = 1024

// headOf reads the table [language] with which a file begins: the language's
// name for itself, and the direction of its script.
func headOf(tag string) (Language, error) {
	f, err := languageFiles.Open("lang/" + tag + ".toml")
	if err != nil {
		return Language{}, fmt.Errorf("read language %s: %w", tag, err)
	}
	defer f.Close()
	head := make([]byte, maxHead)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Language{}, fmt.Errorf("read language %s: %w", tag, err)
	}
	_, text, _ := strings.Cut(string(head[:n]), "[language]\n")
	text, _, found := strings.Cut(text, "\n[")
	if !found {
		return Language{}, fmt.Errorf("language %s: the table [language] is not at the head of the file", tag)
	}
	var l struct{ Name, Direction string }
	if err := toml.Unmarshal([]byte(text), &l); err != nil {
		return Language{}, fmt.Errorf("language %s: %w", tag, err)
	}
	if l.Name == "" || l.Direction != "ltr" && l.Direction != "rtl" {
		return Language{}, fmt.Errorf("language %s: the table [language] needs a name and a direction, ltr or rtl", tag)
	}
	return Language{Tag: tag, Name: l.Name, RightToLeft: l.Direction == "rtl"}, nil
}

// Languages lists the languages, English first. The slice is the caller's.
func Languages() []Language {
	list := make([]Language, len(tables()))
	for i, t := range tables() {
		list[i] = t.Language
	}
	return list
}

// Match returns the language that fits tag best: the same one, else the one
// with the same primary subtag ("ja-JP" is "ja"), else [Fallback]. It also
// takes the form of the environment variable LANG ("ja_JP.UTF-8").
func Match(tag string) string {
	primary := strings.ToLower(tag)
	if i := strings.IndexAny(primary, "-_.@"); i >= 0 {
		primary = primary[:i]
	}
	for i := range tables() {
		if tables()[i].Tag == primary {
			return primary
		}
	}
	return Fallback
}

// Sentence returns the sentence of exactly that language, and whether it has
// it. Placeholders stand in it as {name}; see [Fill].
func Sentence(lang, key string) (string, bool) {
	if m := sentences(lang); m != nil {
		s, ok := m[key]
		return s, ok
	}
	return "", false
}

// Text returns the sentence in lang, or in [Fallback] where lang lacks it;
// used is the language that it is in, "" where no language has the key.
func Text(lang, key string) (text, used string) {
	if s, ok := Sentence(lang, key); ok {
		return s, lang
	}
	if s, ok := Sentence(Fallback, key); ok {
		return s, Fallback
	}
	return "", ""
}

// Say is Text for output: a sentence that had to be taken from [Fallback] is
// marked as such, and an unknown key gives "".
func Say(lang, key string) string {
	text, used := Text(lang, key)
	if text == "" || used == lang || lang == "" {
		return text
	}
	if mark, ok := Sentence(lang, "ui.in-english"); ok {
		return mark + text
	}
	return text
}

// Fill replaces {name} in a sentence by the value that follows name in pairs.
// A placeholder without a value stays as it is, so that a defect shows.
func Fill(sentence string, pairs ...string) string {
	if !strings.Contains(sentence, "{") {
		return sentence
	}
	quoted := make([]string, len(pairs))
	for i := range pairs {
		quoted[i] = pairs[i]
		if i%2 == 0 {
			quoted[i] = "{" + pairs[i] + "}"
		}
	}
	return strings.NewReplacer(quoted...).Replace(sentence)
}

// Keys returns every key that lang has, in no order. The slice is the caller's.
func Keys(lang string) []string {
	return slices.Collect(maps.Keys(sentences(lang)))
}

// sentences returns those of a language, nil for one that we do not speak.
func sentences(lang string) map[string]string {
	if t := tableOf(lang); t != nil {
		return t.sentences()
	}
	return nil
}

// tableOf returns nil for a language that we do not speak.
func tableOf(lang string) *table {
	list := tables()
	for i := range list {
		if list[i].Tag == lang {
			return &list[i]
		}
	}
	return nil
}

func sentencesOf(tag string) func() map[string]string {
	return sync.OnceValue(func() map[string]string {
		m, err := decodeSentences(tag)
		if err != nil {
			panic("reference: " + err.Error()) // embedded at build time; a test decodes every one
		}
		return m
	})
}

func decodeSentences(tag string) (map[string]string, error) {
	data, err := languageFiles.ReadFile("lang/" + tag + ".toml")
	if err != nil {
		return nil, fmt.Errorf("read language %s: %w", tag, err)
	}
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("decode language %s: %w", tag, err)
	}
	flat := make(map[string]string, 4096)
	if err := flatten(flat, "", tree); err != nil {
		return nil, fmt.Errorf("language %s: %w", tag, err)
	}
	return flat, nil
}

// flatten makes keys of paths: [basic.550] meaning becomes basic.550.meaning.
func flatten(flat map[string]string, prefix string, tree map[string]any) error {
	for k, v := range tree {
		switch v := v.(type) {
		case string:
			flat[prefix+k] = v
		case map[string]any:
			if err := flatten(flat, prefix+k+".", v); err != nil {
				return err
			}
		default:
			return fmt.Errorf("key %s%s is %T, not a sentence", prefix, k, v)
		}
	}
	return nil
}
