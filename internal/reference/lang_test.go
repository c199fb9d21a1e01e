package reference

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var stamp = flag.Bool("stamp", false, "put the hash of the English sentence on each line of a translation that has none")

var placeholder = regexp.MustCompile(`\{[a-z-]+\}`)

// plurals are the forms of CLDR: a language has those that its grammar has.
var plurals = regexp.MustCompile(`\.(zero|one|two|few|many|other)$`)

// TestLanguagesHaveTheSameKeys: a language that is offered is complete, has the
// placeholders of English, and nothing that English does not have.
func TestLanguagesHaveTheSameKeys(t *testing.T) {
	for _, l := range Languages() {
		for _, key := range Keys(Fallback) {
			english, _ := Sentence(Fallback, key)
			s, ok := Sentence(l.Tag, key)
			if !ok {
				if !plurals.MatchString(key) || strings.HasSuffix(key, ".other") {
					t.Errorf("lang/%s.toml lacks %s", l.Tag, key)
				}
				continue
			}
			want, got := placeholder.FindAllString(english, -1), placeholder.FindAllString(s, -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(slices.Compact(want), slices.Compact(got)) {
				t.Errorf("%s in %s has placeholders %v, want %v", key, l.Tag, got, want)
			}
		}
		for _, key := range Keys(l.Tag) {
			english := key
			if stem := plurals.ReplaceAllString(key, ""); stem != key {
				english = stem + ".other"
			}
			if _, ok := Sentence(Fallback, english); !ok {
				t.Errorf("lang/%s.toml has %s, which English has not", l.Tag, key)
			}
		}
	}
}

// quoted is what is quoted from the wire, in the quotation marks of the five
// languages.
var quoted = regexp.MustCompile(`«[^»]*»|»[^«]*«|„[^“]*“|“[^”]*”|「[^」]*」|"[^"]*"`)

// TestNoEnglishLeft: an English sentence among the translations is one that was
// forgotten. What is quoted from the wire is English in every language.
func TestNoEnglishLeft(t *testing.T) {
	japanese := regexp.MustCompile(`[ぁ-んァ-ヶ一-龠]`)
	row := regexp.MustCompile(`\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b`)
	function := regexp.MustCompile(`(?i)\b(the|and|which|with|from|that|this|your|must|should|when|because|there|they|have|been|does|cannot|only|into|until)\b`)
	literal := []string{"web.explain.placeholder"} // what a server says
	for _, l := range Languages() {
		if l.Tag == Fallback {
			continue
		}
		for _, key := range Keys(l.Tag) {
			s, _ := Sentence(l.Tag, key)
			if strings.HasPrefix(key, "language.") || s == "" || slices.Contains(literal, key) {
				continue
			}
			english, _ := Sentence(Fallback, key)
			bare := quoted.ReplaceAllString(s, "")
			if s == english && len(row.FindString(bare)) > 0 {
				t.Errorf("%s in %s is the English sentence: %q", key, l.Tag, s)
			}
			if l.Tag == "ja" {
				if found := row.FindString(bare); found != "" {
					t.Errorf("%s in ja has English in it: %q", key, found)
				}
				if row.MatchString(quoted.ReplaceAllString(english, "")) && !japanese.MatchString(s) {
					t.Errorf("%s has no Japanese in it: %q", key, s)
				}
			} else if found := function.FindAllString(bare, -1); len(found) > 2 {
				t.Errorf("%s in %s has English in it (%v): %q", key, l.Tag, found, s)
			}
		}
	}
}

// sentenceLine is one line of a language's file, and sourceHash the hash at its end.
var (
	sentenceLine = regexp.MustCompile(`^([a-z0-9-]+) = (".*?")( # ([0-9a-f]{8}))?$`)
	tableLine    = regexp.MustCompile(`^\[([^\]]+)\]$`)
)

// TestTranslationsAreNotStale: each line of a translation names the English
// sentence that it was made from. Who translates a changed sentence takes the
// old hash off and runs: go test ./internal/reference -run Stale -stamp
func TestTranslationsAreNotStale(t *testing.T) {
	files, err := filepath.Glob("lang/*.toml")
	if err != nil || len(files) < 2 {
		t.Fatalf("no translations: %v", err)
	}
	for _, file := range files {
		tag := strings.TrimSuffix(filepath.Base(file), ".toml")
		if tag == Fallback {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(data), "\n")
		table, stamped := "", false
		for i, line := range lines {
			if m := tableLine.FindStringSubmatch(line); m != nil {
				table = m[1]
				continue
			}
			if line == "" || line[0] == '#' || table == "language" {
				continue
			}
			m := sentenceLine.FindStringSubmatch(line)
			if m == nil {
				t.Errorf("%s:%d is not one key and its sentence", file, i+1)
				continue
			}
			key := table + "." + m[1]
			english, ok := Sentence(Fallback, key)
			if !ok {
				english, _ = Sentence(Fallback, plurals.ReplaceAllString(key, "")+".other")
			}
			sum := sha256.Sum256([]byte(english))
			want := hex.EncodeToString(sum[:4])
			switch {
			case m[4] == "" && *stamp:
				lines[i], stamped = line+" # "+want, true
			case m[4] != want:
				t.Errorf("%s:%d: the English of %s has changed since; translate it anew", file, i+1, key)
			}
		}
		if stamped {
			if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPluralForms(t *testing.T) {
	for _, c := range []struct {
		lang string
		n    int
		want string
	}{
		{"en", 1, "one"},
		{"en", 0, "other"},
		{"ja", 1, "other"},
		{"fr", 0, "one"},
		{"fr", 2, "other"},
		{"pl", 3, "few"},
		{"pl", 5, "many"},
		{"ar", 2, "two"},
		{"not a tag", 1, "other"},
	} {
		if got := formOf(c.lang, c.n); got != c.want {
			t.Errorf("%d in %s is %s, want %s", c.n, c.lang, got, c.want)
		}
	}
}
