package web

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/reference"
)

// asked are the keys that templates and code ask for by a whole name.
var asked = regexp.MustCompile(`\.T "([^"]+)"|\.T\("([a-z0-9.-]+[a-z0-9])"`)

func TestEveryWordThatIsAskedForExists(t *testing.T) {
	s := New(Options{}).(*site)
	for name, text := range sourceTexts(t) {
		for _, m := range asked.FindAllStringSubmatch(text, -1) {
			key := m[1] + m[2]
			for _, l := range s.languages {
				if p := (&page{site: s, Lang: l}); p.T(key) == "" {
					t.Errorf("%s asks for %q, which %s lacks", name, key, l.Tag)
				}
			}
		}
	}
}

// made are the beginnings of keys of which the end is put together by the
// program.
var made = regexp.MustCompile(`^(kind|nav|standard|subject|search\.found|search\.most|providers|api|error)\.`)

func TestEveryWordOfThePagesIsUsed(t *testing.T) {
	var all strings.Builder
	for _, text := range sourceTexts(t) {
		all.WriteString(text)
	}
	for _, key := range reference.Keys(reference.Fallback) {
		word, ok := strings.CutPrefix(key, wordPrefix)
		if !ok || made.MatchString(word) || strings.HasSuffix(word, "-note") && strings.HasPrefix(word, "box.") {
			continue
		}
		if !strings.Contains(all.String(), `"`+word+`"`) {
			t.Errorf("nothing uses %s", key)
		}
	}
}

// sourceTexts are the templates and the code of this package.
func sourceTexts(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "templates/frame.html", "templates/pages.html")
	texts := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}
