package explain

import (
	"bytes"
	"strings"
	"testing"
)

// TestHintsAreShown: how long to wait, which list, and who acts if the message
// was being forwarded stand in what a person reads.
func TestHintsAreShown(t *testing.T) {
	for _, c := range []struct {
		line, lang string
		want       []string
	}{
		{"451 4.7.1 Greylisting in action, please come back in 5 minutes", "en", []string{"wait at least 5 minutes", "If forwarded"}},
		{"451 4.7.1 Greylisted, try again after 1 minute", "en", []string{"wait at least 1 minute\n"}},
		{"451 4.7.1 Greylisted, please retry in 90 seconds", "ja", []string{"少なくとも 90 秒待つ"}},
		{"550 5.7.1 Service unavailable; client [192.0.2.4] blocked using zen.spamhaus.org", "en", []string{"Block list", "Spamhaus ZEN https://check.spamhaus.org/"}},
	} {
		var out bytes.Buffer
		if err := Render(&out, Line(c.line, Options{}), c.lang, 100, false); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in\n%s", c.line, want, out.String())
			}
		}
	}
}
