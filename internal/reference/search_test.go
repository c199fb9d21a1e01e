package reference

import (
	"strings"
	"testing"
)

// TestSearch: by code, phrase, provider, symptom; with typing errors and with
// an unfinished last word.
func TestSearch(t *testing.T) {
	for _, c := range []struct{ lang, query, kind, id string }{
		{"en", "550", "basic", "550"},
		{"en", "5.7.26", "enhanced", "X.7.26"},
		{"en", "x.1.1", "enhanced", "X.1.1"},
		{"en", "mailbox full", "reason", "mailbox_full"},
		{"en", "mailbx full", "reason", "mailbox_full"},
		{"en", "greylistng", "reason", "greylisted"},
		{"en", "greyl", "reason", "greylisted"},
		{"en", "google account that you tried to reach does not exist", "provider", "google-001"},
		{"en", "relay-denied", "reply", "relay-denied"},
		{"ja", "550", "basic", "550"},
		{"ja", "メールボックスがいっぱい", "reason", "mailbox_full"},
		{"pt", "550", "basic", "550"},
	} {
		t.Run(c.lang+" "+c.query, func(t *testing.T) {
			hits := Search(c.lang, c.query, 10)
			for _, h := range hits {
				if h.Kind == c.kind && h.ID == c.id {
					return
				}
			}
			t.Errorf("%s %s is not among %v", c.kind, c.id, hits)
		})
	}
	if first := Search("en", "550", 3)[0]; first.Kind != "basic" || first.ID != "550" {
		t.Errorf("the first hit for 550 is %v", first)
	}
	for _, nothing := range []string{"", "  ", "!?", "qqqqzzzz", "\xff\xfe"} {
		if hits := Search("en", nothing, 5); len(hits) != 0 {
			t.Errorf("%q finds %v", nothing, hits)
		}
	}
	if got := len(Search("en", "mail", 7)); got != 7 {
		t.Errorf("limit 7 gives %d", got)
	}
	for _, h := range Search("en", strings.Repeat("mail server ", 1000), 50) {
		if n := len([]rune(h.Snippet)); n > MaxSnippet+4 {
			t.Errorf("a snippet of %d characters: %s", n, h.Snippet)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"same", "same", 0},
		{"mailbx", "mailbox", 1},
		{"mialbox", "mailbox", 1}, // neighbours swapped
		{"greylsiting", "greylisting", 1},
		{"gray", "grey", 1},
		{"kitten", "sitting", 3},
		{"größe", "grösse", 2},
	} {
		if got := distance(c.a, c.b, 2); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string]string{
		"550 5.7.26 Überfüllt.": "550|5.7.26|uberfullt",
		"X.7.26, mail-box":      "x.7.26|mail|box",
		"容量超過":                  "容量|量超|超過",
		"メールbox":                "メー|ール|box",
		"字":                     "字",
	} {
		if got := strings.Join(splitWords(text), "|"); got != want {
			t.Errorf("splitWords(%q) = %s, want %s", text, got, want)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	Search("en", "mailbox", 10)
	for _, query := range []string{"550", "mailbox full", "mailbx ful"} {
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Search("en", query, 10)
			}
		})
	}
}

func FuzzSearch(f *testing.F) {
	f.Add("550 mailbox full")
	f.Add("容量")
	f.Fuzz(func(t *testing.T, query string) {
		for _, h := range Search("en", query, 5) {
			if h.ID == "" || h.Kind == "" {
				t.Errorf("an empty hit for %q", query)
			}
		}
	})
}
