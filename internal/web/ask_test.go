package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/reference"
)

// TestExplainByForm: what a form brings is explained and kept by nobody.
func TestExplainByForm(t *testing.T) {
	h := New(Options{})
	send := func(kind, text string) *http.Response {
		r := httptest.NewRequest(http.MethodPost, "/en/explain", strings.NewReader(text))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	const form = "application/x-www-form-urlencoded"
	r := send(form, query("line", "550 5.1.1 <b>nobody</b>\n550 5.1.1 here"))
	page := body(t, r)
	if r.StatusCode != http.StatusOK || !strings.Contains(page, `href="/en/codes/5.1.1"`) || strings.Contains(page, "<b>nobody") {
		t.Errorf("a posted line: %d", r.StatusCode)
	}
	if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("X-Robots-Tag") != "noindex" || r.Header.Get("ETag") != "" {
		t.Errorf("a posted line: headers %v", r.Header)
	}
	if !strings.Contains(page, `href="/ja/explain?line=550`) {
		t.Error("the other language forgets the line")
	}
	if page := body(t, send(form, query("line", "550 "+strings.Repeat("x", maxLinked)))); !strings.Contains(page, `href="/ja/explain"`) {
		t.Error("a long paste stands in an address")
	}
	for status, text := range map[int]string{http.StatusRequestEntityTooLarge: strings.Repeat("x", maxBody+1), http.StatusBadRequest: "line=%zz"} {
		if r := send(form, text); r.StatusCode != status || !strings.Contains(body(t, r), "<h1") {
			t.Errorf("%.10q: %d, not %d", text, r.StatusCode, status)
		}
	}
}

// TestSearchFinds leads to the pages of each kind.
func TestSearchFinds(t *testing.T) {
	h := New(Options{})
	for asked, want := range map[string]string{
		"550": `href="/en/codes/550"`, "5.7.26": `href="/en/codes/5.7.26"`, "gmail mailbox does not exist": `href="/en/providers/google#`,
		"greylistng": "greylist", "relaying denied": `href="/en/replies/relay-denied"`, "recipient's mailbox is full": `href="/en/reasons/mailbox_full"`,
		"550 5.1.1 no such user": `href="/en/explain?line=550`,
	} {
		page := body(t, get(t, h, "/en/search?"+query("q", asked)))
		if !strings.Contains(page, want) {
			t.Errorf("the search for %q does not find %s", asked, want)
		}
	}
	page := body(t, get(t, h, "/en/search?"+query("q", `<script>"x`)))
	if strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
		t.Error("what was searched for is markup")
	}
}

// TestGuidesLeadSomewhere: from the first question of each guide every step can
// be clicked, and every way ends in advice.
func TestGuidesLeadSomewhere(t *testing.T) {
	h := New(Options{})
	answer := regexp.MustCompile(`<ul class="answers">(?s:(.*?))</ul>`)
	for _, g := range reference.Guides() {
		seen := map[string]bool{}
		for queue := []string{"/en/guides/" + g.ID}; len(queue) > 0; queue = queue[1:] {
			if seen[queue[0]] {
				continue
			}
			seen[queue[0]] = true
			page := body(t, get(t, h, queue[0]))
			list := answer.FindStringSubmatch(page)
			if list == nil {
				if !strings.Contains(page, `id="result"`) {
					t.Errorf("%s has neither answers nor a result", queue[0])
				}
				continue
			}
			for _, m := range links.FindAllStringSubmatch(list[1], -1) {
				queue = append(queue, m[1])
			}
		}
		if len(seen) != len(g.Nodes) {
			t.Errorf("of the %d steps of the guide %s %d can be reached", len(g.Nodes), g.ID, len(seen))
		}
		if r := get(t, h, "/en/guides/"+g.ID+"/"+g.Nodes[0].ID); r.Header.Get("Location") != "/en/guides/"+g.ID {
			t.Errorf("the first step of %s has two addresses", g.ID)
		}
	}
}
