package explain

import (
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/reference"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":        "plain text",
		"Jörg 日本語":          "Jörg 日本語",
		"\x1b[2Jgone":       `\x1b[2Jgone`,
		"a\rb\nc":           `a\x0db\x0ac`,
		"tab\there":         "tab here",
		"bell\a\x7f":        `bell\x07\x7f`,
		"c1 \u009b31m":      `c1 \x9b31m`,
		"bad \xff\xfe":      `bad \xff\xfe`,
		"rtl \u202egnp.exe": `rtl \u{202e}gnp.exe`,
		"isolate \u2066x":   `isolate \u{2066}x`,
		"zero\u200bwidth":   `zero\u{200b}width`,
		"line\u2028sep":     `line\u{2028}sep`,
		"tag \U000e0041":    `tag \u{e0041}`,
		"bom \ufeff":        `bom \u{feff}`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"one two three four", 10, "one two|three four"},
		{"exactly ten chars", 10, "exactly|ten chars"},
		{"averyveryverylongword x", 10, "averyveryv|erylongwor|d x"},
		{"", 10, ""},
		{"日本語の文章です。続きます。", 10, "日本語の文|章です。続|きます。"},
		{"これは SMTP の 550 です", 12, "これは SMTP|の 550 です"},
	} {
		if got := strings.Join(wrap(c.text, c.limit), "|"); got != c.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

func TestRenderFitsItsWidth(t *testing.T) {
	long := "550 5.7.1 " + strings.Repeat("x", 300) + " 日本語日本語 " + strings.Repeat("word ", 80)
	for _, width := range []int{0, 40, 60, 80, 100, 400} {
		for _, lang := range []string{"en", "de", "es", "fr", "ja"} {
			var b strings.Builder
			if err := Render(&b, Line(long, Options{}), lang, width, false); err != nil {
				t.Fatal(err)
			}
			if err := RenderComparison(&b, reference.Compare("550", "554", lang), width, false); err != nil {
				t.Fatal(err)
			}
			limit := min(max(width, MinWidth), maxWidth)
			for line := range strings.SplitSeq(b.String(), "\n") {
				// the three boxes are not broken
				if columns(line) > limit && !strings.Contains(line, "[▶") {
					t.Errorf("%s, width %d: %d columns: %q", lang, width, columns(line), line)
				}
			}
		}
	}
}

func TestRenderWithoutColourHasNoEscapes(t *testing.T) {
	e := Line("550 5.1.1 no such user \x1b]0;title\a", Options{})
	var plain, coloured strings.Builder
	if err := Render(&plain, e, "en", 80, false); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "\x1b") {
		t.Errorf("an escape sequence reaches the terminal:\n%q", plain.String())
	}
	if err := Render(&coloured, e, "en", 80, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(coloured.String(), inkRed) || strings.Contains(coloured.String(), "\x1b]0") {
		t.Errorf("colours: %q", coloured.String())
	}
}

func TestRenderGarbage(t *testing.T) {
	for _, text := range []string{"", " ", "hello", "\x00\x01", strings.Repeat("9", 100000)} {
		var b strings.Builder
		if err := Render(&b, Line(text, Options{}), "en", 80, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "could not read") {
			t.Errorf("%.20q gives %q", text, b.String())
		}
	}
}

func TestRenderMarksWhoMustAct(t *testing.T) {
	for text, want := range map[string]string{
		"550 5.1.1 no such user":           "[▶ sender]",
		"552 5.2.2 mailbox is full":        "[▶ receiving side]",
		"550 5.7.23 SPF validation failed": "[▶ administrator]",
	} {
		var b strings.Builder
		if err := Render(&b, Line(text, Options{}), "en", 80, false); err != nil {
			t.Fatal(err)
		}
		if strings.Count(b.String(), "[▶") != 1 || !strings.Contains(b.String(), want) {
			t.Errorf("%q: want %s in\n%s", text, want, b.String())
		}
	}
}
