package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestLoginPage: the page behind a 535 is the same for every reference, is kept
// nowhere, and a text that is no reference is not found.
func TestLoginPage(t *testing.T) {
	h := New(Options{Hostname: "mx.example.org"})
	get := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
		return r
	}
	const one, other = "abcd-efgh-jkmn-pqrs", "2222-3333-4444-5555"
	a, b := get("/en/r/535/"+one), get("/en/r/535/"+other)
	if a.Code != http.StatusOK || b.Code != http.StatusOK {
		t.Fatalf("status %d and %d", a.Code, b.Code)
	}
	if strings.ReplaceAll(a.Body.String(), one, "") != strings.ReplaceAll(b.Body.String(), other, "") {
		t.Error("two references have two pages")
	}
	if !strings.Contains(a.Body.String(), "onward my explain-login "+one) || !strings.Contains(a.Body.String(), "onward explain-login "+one) {
		t.Error("the page does not say how the owner gets at the cause")
	}
	header := a.Header()
	if header.Get("Cache-Control") != "no-store" || header.Get("Referrer-Policy") != "no-referrer" || header.Get("X-Robots-Tag") != "noindex" {
		t.Errorf("the page may be kept, found or told of: %v", header)
	}
	for path, status := range map[string]int{
		"/en/r/535/abcd": http.StatusNotFound, "/en/r/535/ABCD-efgh-jkmn-pqrs": http.StatusNotFound,
		"/en/r/550/" + one: http.StatusNotFound, "/en/r/551/mailbox-unknown": http.StatusNotFound,
		"/en/r/550/mailbox-unknown": http.StatusFound, "/en/r/535": http.StatusFound, "/ja/r/535/" + one: http.StatusOK,
	} {
		if got := get(path).Code; got != status {
			t.Errorf("%s: status %d instead of %d", path, got, status)
		}
	}
}
