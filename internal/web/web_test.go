package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

func get(t *testing.T, h http.Handler, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// addresses are all pages that exist, without the language.
func addresses() []string {
	list := []string{
		"/", "/codes", "/compare", "/explain", "/explain?line=550+5.1.1+No+such+user", "/explain?line=hello", "/compare/251-535", "/compare/550-5.7.26",
		"/providers", "/reasons", "/guides", "/glossary", "/api", "/search", "/search?q=mailbox+full", "/search?q=5.7.26", "/search?q=xyzzyqqq",
	}
	for _, b := range reference.Basics() {
		list = append(list, "/codes/"+strconv.Itoa(b.Code))
	}
	for _, e := range reference.Enhanceds() {
		list = append(list, "/codes/"+e.Code, "/codes/5"+e.Code[1:])
	}
	for _, p := range reference.Privates() {
		list = append(list, "/codes/"+enhancedName(p.Classes[0], p.Subject, p.From))
	}
	for _, d := range reply.All() {
		list = append(list, "/replies/"+d.Name)
	}
	for _, h := range houses() {
		list = append(list, "/providers/"+h.slug)
	}
	for _, r := range reference.Reasons() {
		list = append(list, "/reasons/"+r.Key)
	}
	for _, g := range reference.Guides() {
		list = append(list, "/guides/"+g.ID)
		for _, n := range g.Nodes[1:] {
			list = append(list, "/guides/"+g.ID+"/"+n.ID)
		}
	}
	return list
}

var (
	tags     = regexp.MustCompile(`<[^>]*>`)
	headings = regexp.MustCompile(`(?s)<(h[123]|dt|figcaption|label|button|caption|th scope="col")[^>]*>(.*?)</`)
	links    = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
	// outward are the links to sources: for people to follow, and marked as such.
	outward  = regexp.MustCompile(`<a rel="external noreferrer" href="https://[^"]+"`)
	japanese = regexp.MustCompile(`[\p{Han}\p{Hiragana}\p{Katakana}]`)
)

func TestEveryPageInEveryLanguage(t *testing.T) {
	h := New(Options{Hostname: "mx.example.org"})
	followed := map[string]bool{}
	for _, l := range reference.Languages() {
		for _, address := range addresses() {
			target := "/" + l.Tag + address
			r := get(t, h, target)
			page := body(t, r)
			if r.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", target, r.Status)
				continue
			}
			if len(page) >= maxPage {
				t.Errorf("%s has %d octets, not below %d", target, len(page), maxPage)
			}
			if csp := r.Header.Get("Content-Security-Policy"); csp != policy {
				t.Errorf("%s: Content-Security-Policy %q", target, csp)
			}
			if !strings.Contains(page, `<html lang="`+l.Tag+`"`) || strings.Count(page, "<h1") != 1 || strings.Count(page, "<main") != 1 {
				t.Errorf("%s lacks its language, or has not exactly one h1 and main", target)
			}
			for _, bad := range [...]string{"<no value>", "{{", "ZgotmplZ", "<script", " style=", "%!"} {
				if strings.Contains(page, bad) {
					t.Errorf("%s contains %q", target, bad)
				}
			}
			page = outward.ReplaceAllString(page, "")
			for _, link := range links.FindAllStringSubmatch(page, -1) {
				to, _, _ := strings.Cut(strings.ReplaceAll(link[1], "&#43;", "+"), "#")
				if to != "" && to[0] != '/' {
					t.Errorf("%s refers to %s outside", target, to)
				} else if to != "" && !followed[to] {
					followed[to] = true
					if code := get(t, h, to).StatusCode; code != http.StatusOK {
						t.Errorf("%s: the link to %s gives %d", target, to, code)
					}
				}
			}
		}
	}
}

// Headings must be in the language of the page. What stands in a heading and is
// no word of a language: codes, names of replies, names of providers; a name
// that exists in English only is marked with lang="en".
func TestNoEnglishHeadingsInJapanese(t *testing.T) {
	h := New(Options{})
	providers := strings.Join(reference.Providers(), " ") + " Onward"
	for _, p := range reference.Privates() {
		providers += " " + p.Provider
	}
	for _, term := range reference.Glossary() { // many are proper names
		name, _ := reference.Sentence("ja", term.Key()+".term")
		providers += " " + name
	}
	for _, address := range addresses() {
		page := body(t, get(t, h, "/ja"+address))
		page = regexp.MustCompile(`(?s)<(span|code|small)[^>]* lang="en"[^>]*>.*?</(span|code|small)>`).ReplaceAllString(page, "")
		for _, m := range headings.FindAllStringSubmatch(page, -1) {
			text := html.UnescapeString(strings.TrimSpace(tags.ReplaceAllString(m[2], "")))
			if japanese.MatchString(text) || strings.Contains(providers, text) || !regexp.MustCompile(`[A-Za-z]{3}`).MatchString(text) {
				continue
			}
			if name, ok := strings.CutPrefix(address, "/replies/"); ok && strings.Contains(text, name) {
				continue
			}
			t.Errorf("/ja%s: heading %q is not Japanese", address, text)
		}
	}
}

func TestPastedTextIsData(t *testing.T) {
	h := New(Options{})
	for _, line := range [...]string{
		`550 5.1.1 <script>alert(1)</script>`, `"><script>alert(1)</script>`, `</textarea><script>alert(1)</script>`,
		"550 5.1.1 \x1b[31mred\x1b[0m", "550 \u202egnp.exe",
	} {
		r := get(t, h, "/en/explain?"+query("line", line))
		page := body(t, r)
		if r.StatusCode != http.StatusOK || strings.Contains(page, "<script") {
			t.Errorf("%q: status %d, or markup came through", line, r.StatusCode)
		}
		answer := page[strings.LastIndex(page, "</form>"):]
		if strings.ContainsAny(answer, "\x1b\u202e") {
			t.Errorf("%q: a control character came through", line)
		}
		if r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: what was pasted may be stored", line)
		}
	}
	for _, target := range [...]string{"/codes/%3Cscript%3E", "/replies/%22onload=", "/compare/%3Cb%3E-1", "/%3Cscript%3E"} {
		r := get(t, h, target)
		if page := body(t, r); r.StatusCode != http.StatusNotFound || strings.Contains(page, "<script") || strings.Contains(page, "<b>-") {
			t.Errorf("%s: status %d, or markup came through", target, r.StatusCode)
		}
	}
}

func TestRedirects(t *testing.T) {
	h := New(Options{})
	for from, to := range map[string]string{
		"/compare/535-251":           "/compare/251-535",
		"/ja/compare/535-251":        "/ja/compare/251-535",
		"/compare/5.7.26-550":        "/compare/550-5.7.26",
		"/compare?a=551&b=+251":      "/compare/251-551",
		"/compare/550-550":           "/codes/550",
		"/compare/5.7.509-5.7.1":     "/compare/5.7.1-5.7.509",
		"/codes/x.7.26":              "/codes/X.7.26",
		"/codes/5.07.26":             "/codes/5.7.26",
		"/codes/550/":                "/codes/550",
		"/ja":                        "/ja/",
		"/r/535":                     "/codes/535",
		"/ja/r/535":                  "/ja/codes/535",
		"/r/mailbox-unknown":         "/replies/mailbox-unknown",
		"//evil.example/":            "/evil.example",
		"/r/5.7.8":                   "/codes/5.7.8",
		"/replies":                   "/codes#replies",
		"/ja//evil.example/":         "/ja/evil.example",
		`/compare?a=535&b=251&x=%0a`: "/compare/251-535",
	} {
		r := get(t, h, "http://host"+from)
		if got := r.Header.Get("Location"); got != to || r.StatusCode/100 != 3 {
			t.Errorf("%s leads to %q (%d), not %q", from, got, r.StatusCode, to)
		}
	}
}

func TestNotFoundOffersWhatIsNear(t *testing.T) {
	h := New(Options{})
	for asked, near := range map[string]string{
		"/en/codes/559": "/en/codes/556", "/en/codes/505x": "/en/codes/505", "/en/codes/5.7.260": "/en/codes/5.7.26",
		"/en/replies/mailbox-unknwon": "/en/replies/mailbox-unknown", "/en/compare/251-999": "/en/compare/250-251",
		"/en/r/555x": "/en/codes/555", "/en/nowhere": "/en/codes",
	} {
		r := get(t, h, asked)
		if page := body(t, r); r.StatusCode != http.StatusNotFound || !strings.Contains(page, `href="`+near+`"`) {
			t.Errorf("%s: status %d, or it does not offer %s", asked, r.StatusCode, near)
		}
	}
}

func TestLanguageOfAPage(t *testing.T) {
	h := New(Options{})
	for _, c := range [...]struct{ path, accept, want string }{
		{"/codes/550", "", "en"},
		{"/codes/550", "ja,en;q=0.8", "ja"},
		{"/codes/550", "ja-JP", "ja"},
		{"/codes/550", "en;q=0.9, JA;q=0.95", "ja"},
		{"/codes/550", "pl, xx;q=zz, ja;q=0", "en"},
		{"/en/codes/550", "ja", "en"},
		{"/ja/codes/550", "en", "ja"},
		{"/codes/550", strings.Repeat("xx,", 400) + "ja", "en"},
	} {
		r := get(t, h, c.path, "Accept-Language", c.accept)
		if got := r.Header.Get("Content-Language"); got != c.want {
			t.Errorf("%s with %.20q is in %q, not %q", c.path, c.accept, got, c.want)
		}
		if negotiated := !strings.HasPrefix(c.path, "/"+c.want+"/"); negotiated != (r.Header.Get("Vary") != "") {
			t.Errorf("%s: Vary %q", c.path, r.Header.Get("Vary"))
		}
	}
}

func TestCaching(t *testing.T) {
	h := New(Options{})
	first := get(t, h, "/codes/550")
	tag, modified := first.Header.Get("ETag"), first.Header.Get("Last-Modified")
	if tag == "" || modified == "" || !strings.Contains(first.Header.Get("Cache-Control"), "max-age") {
		t.Fatalf("ETag %q, Last-Modified %q", tag, modified)
	}
	if code := get(t, h, "/codes/550", "If-None-Match", tag).StatusCode; code != http.StatusNotModified {
		t.Errorf("with its ETag: %d", code)
	}
	if code := get(t, h, "/codes/550", "If-Modified-Since", modified).StatusCode; code != http.StatusNotModified {
		t.Errorf("with its date: %d", code)
	}
	if code := get(t, h, "/ja/codes/550", "If-None-Match", tag).StatusCode; code != http.StatusOK {
		t.Errorf("another language with that ETag: %d", code)
	}
	s := h.(*site)
	for i := range 2 * maxCached {
		s.cache.put(strconv.Itoa(i), kept{})
	}
	if n := len(s.cache.pages); n > maxCached {
		t.Errorf("%d pages are kept, more than %d", n, maxCached)
	}
}

func TestLimitsAndMethods(t *testing.T) {
	h := New(Options{})
	for _, target := range [...]string{"/explain?line=" + strings.Repeat("a", maxQuery), "/codes/" + strings.Repeat("1", maxPath)} {
		if code := get(t, h, target).StatusCode; code != http.StatusRequestURITooLong {
			t.Errorf("%.30s…: %d", target, code)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/codes", strings.NewReader("x")))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST to a page: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/codes/999", nil))
	if w.Code != http.StatusNotFound || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d octets", w.Code, w.Body.Len())
	}
}

func TestHealth(t *testing.T) {
	if r := get(t, New(Options{}), "/healthz"); r.StatusCode != http.StatusOK || body(t, r) != "ok\n" {
		t.Errorf("healthy: %d", r.StatusCode)
	}
	secret := errors.New("disk /secret is full")
	r := get(t, New(Options{Health: func() error { return secret }}), "/healthz")
	if page := body(t, r); r.StatusCode != http.StatusServiceUnavailable || strings.Contains(page, "secret") {
		t.Errorf("ill: %d %q", r.StatusCode, page)
	}
}

func TestTranscriptsAreWhole(t *testing.T) {
	s := New(Options{Hostname: "mx.example.org"}).(*site)
	p := &page{site: s, Lang: s.languages[0]}
	for _, d := range reply.All() {
		lines := s.ownTranscript(p, d).Lines
		last := lines[len(lines)-1]
		if !last.Marked || last.Who != "S" || !strings.HasPrefix(last.Code, strconv.Itoa(d.Code)) {
			t.Errorf("%s: the transcript ends with %+v", d.Name, last)
		}
		for _, l := range lines {
			if strings.ContainsAny(l.Text, "{}") {
				t.Errorf("%s: a placeholder is left in %q", d.Name, l.Text)
			}
		}
	}
}

func post(h http.Handler, kind, text string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/explain", strings.NewReader(text))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAPIExplain(t *testing.T) {
	h := New(Options{})
	const line = "550 5.1.1 No such user"
	for kind, text := range map[string]string{"application/json": fmt.Sprintf(`{"line":%q,"language":"ja"}`, line), "text/plain; charset=utf-8": line} {
		w := post(h, kind, text)
		lang := "en"
		if kind == "application/json" {
			lang = "ja"
		}
		want, err := json.Marshal(explain.Line(line, explain.Options{}).JSON(lang))
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal(w.Body.Bytes(), &a) != nil || json.Unmarshal(want, &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: %d %s", kind, w.Code, w.Body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", kind, w.Header())
		}
	}
	for _, c := range [...]struct {
		kind, text string
		status     int
	}{
		{"application/json", "{", 400},
		{"application/json", `{"line":" "}`, 400},
		{"text/html", "x", 415},
		{"", "x", 415},
		{"text/plain", strings.Repeat("x", maxBody+1), 413},
	} {
		if w := post(h, c.kind, c.text); w.Code != c.status || !strings.Contains(w.Body.String(), `"error"`) {
			t.Errorf("%q %.10q: %d %s", c.kind, c.text, w.Code, w.Body)
		}
	}
}

func TestAPICodes(t *testing.T) {
	h := New(Options{})
	for _, address := range addresses() {
		code, ok := strings.CutPrefix(address, "/codes/")
		if !ok {
			continue
		}
		var j reference.Code
		r := get(t, h, "/api/v1/codes/"+code)
		if err := json.NewDecoder(r.Body).Decode(&j); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", code, r.StatusCode, err)
		}
		if j.Code == 0 && j.Enhanced == "" || j.Meaning == "" && len(j.Private) == 0 {
			t.Errorf("%s: %+v", code, j)
		}
	}
	if r := get(t, h, "/api/v1/codes/999"); r.StatusCode != http.StatusNotFound {
		t.Errorf("unknown code: %d", r.StatusCode)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodOptions, "/api/v1/explain", nil))
	if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Methods") != "POST, OPTIONS" {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/explain", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET of explain: %d", w.Code)
	}
}

// FuzzExplainPage: whatever is pasted, the page is made and no markup of it is.
func FuzzExplainPage(f *testing.F) {
	for _, seed := range [...]string{"550 5.1.1 x", "<script>", "\x00\xff", "250-a\r\n250 b", "5.1.1"} {
		f.Add(seed)
	}
	h := New(Options{})
	f.Fuzz(func(t *testing.T, line string) {
		target := "/en/explain?" + query("line", line)
		if len(target) > maxQuery {
			t.Skip()
		}
		r := get(t, h, target)
		if page := body(t, r); r.StatusCode != http.StatusOK || strings.Contains(page, "<script") || strings.Contains(page, "<no value>") {
			t.Errorf("%q: %d", line, r.StatusCode)
		}
	})
}

func BenchmarkPage(b *testing.B) {
	h := New(Options{})
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/codes/550", nil))
	}
}

// BenchmarkEveryCode asks for the pages of all codes in turn.
func BenchmarkEveryCode(b *testing.B) {
	h := New(Options{})
	var requests []*http.Request
	for _, c := range reference.Basics() {
		requests = append(requests, httptest.NewRequest(http.MethodGet, "/en/codes/"+strconv.Itoa(c.Code), nil))
	}
	for i := 0; b.Loop(); i++ {
		h.ServeHTTP(httptest.NewRecorder(), requests[i%len(requests)])
	}
}

// BenchmarkRender makes a page anew.
func BenchmarkRender(b *testing.B) {
	s := New(Options{}).(*site)
	p := &page{site: s, Lang: s.languages[0], Path: "/codes/550"}
	for b.Loop() {
		v, _ := s.codeView(p, "550")
		if _, err := s.render("code", v); err != nil {
			b.Fatal(err)
		}
	}
}
