package onward

import (
	"testing"

	"github.com/onwardmail/onward/internal/config"
)

// TestLinkURL: replies have links only where others can follow them.
func TestLinkURL(t *testing.T) {
	for _, c := range []struct {
		web   []string
		url   string
		links bool
		want  string
	}{
		{[]string{"127.0.0.1:8080"}, "", true, ""},
		{nil, "", true, ""},
		{[]string{"127.0.0.1:8080", "192.0.2.1:443"}, "", true, "http://mx.example.org:443"},
		{[]string{":80"}, "", true, "http://mx.example.org"},
		{[]string{":80"}, "", false, ""},
		{[]string{"127.0.0.1:8080"}, "https://help.example.org", true, "https://help.example.org"},
		{[]string{"127.0.0.1:8080"}, "https://help.example.org", false, ""},
	} {
		conf := &config.Config{Hostname: "mx.example.org", Listen: config.Listen{Web: c.web}, Web: config.Web{URL: c.url, Links: c.links}}
		if got := linkURL(conf); got != c.want {
			t.Errorf("%v, %q, %v: %q instead of %q", c.web, c.url, c.links, got, c.want)
		}
	}
}
