package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// schemaErrors compares a decoded answer with a schema of the document: the
// kind of each value, and that no field is missing or unknown.
func schemaErrors(document, schema map[string]any, value any, at string) []string {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		all := document["components"].(map[string]any)["schemas"].(map[string]any)
		found, ok := all[name].(map[string]any)
		if !ok {
			return []string{at + ": no schema " + name}
		}
		return schemaErrors(document, found, value, at)
	}
	var errs []string
	wrong := func() []string { return []string{fmt.Sprintf("%s: %T is not %v", at, value, schema["type"])} }
	switch schema["type"] {
	case "object":
		have, ok := value.(map[string]any)
		if !ok {
			return wrong()
		}
		properties, described := schema["properties"].(map[string]any)
		if !described {
			return nil
		}
		for _, name := range schema["required"].([]any) {
			if _, ok := have[name.(string)]; !ok {
				errs = append(errs, at+" lacks "+name.(string))
			}
		}
		for name, v := range have {
			s, ok := properties[name].(map[string]any)
			if !ok {
				errs = append(errs, at+" has "+name+", which is not described")
				continue
			}
			errs = append(errs, schemaErrors(document, s, v, at+"."+name)...)
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return wrong()
		}
		for i, v := range list {
			errs = append(errs, schemaErrors(document, schema["items"].(map[string]any), v, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "string":
		if _, ok := value.(string); !ok {
			return wrong()
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong()
		}
	case "integer", "number":
		if _, ok := value.(float64); !ok {
			return wrong()
		}
	default:
		return []string{fmt.Sprintf("%s: type %v", at, schema["type"])}
	}
	return errs
}

// TestOpenAPI holds the document against what is really answered: each example
// works, and its answer is as described.
func TestOpenAPI(t *testing.T) {
	h := New(Options{})
	var document map[string]any
	if err := json.Unmarshal([]byte(body(t, get(t, h, "/api/v1/openapi.json"))), &document); err != nil {
		t.Fatal(err)
	}
	if v := document["openapi"]; v != "3.1.0" {
		t.Errorf("openapi is %v", v)
	}
	paths := document["paths"].(map[string]any)
	if got, want := len(paths), len(operations()); got != want {
		t.Errorf("%d paths, want %d", got, want)
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for method, op := range paths[path].(map[string]any) {
			o := op.(map[string]any)
			if o["summary"] == "" || o["operationId"] == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
			target, query := "/api/v1"+path, []string{}
			parameters, _ := o["parameters"].([]any)
			for _, p := range parameters {
				q := p.(map[string]any)
				name, example := q["name"].(string), q["example"].(string)
				if q["in"] == "path" {
					target = strings.ReplaceAll(target, "{"+name+"}", example)
				} else {
					query = append(query, name+"="+strings.ReplaceAll(example, " ", "+"))
				}
			}
			if len(query) > 0 {
				target += "?" + strings.Join(query, "&")
			}
			r := httptest.NewRequest(strings.ToUpper(method), target, strings.NewReader(`{"line":"550 5.1.1 no such user"}`))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
				continue
			}
			var value any
			if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
				t.Errorf("%s %s: %v", method, target, err)
			}
			schema := o["responses"].(map[string]any)["200"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
			for _, e := range schemaErrors(document, schema, value, path) {
				t.Error(e)
			}
		}
	}
}

func TestAPISearchAndCompare(t *testing.T) {
	h := New(Options{})
	var found hitList
	if err := json.Unmarshal([]byte(body(t, get(t, h, "/api/v1/search?q=mailbx+full&limit=5&lang=en"))), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Hits) == 0 || len(found.Hits) > 5 || found.Language != "en" {
		t.Errorf("found %+v", found)
	}
	for target, want := range map[string]int{
		"/api/v1/search":                http.StatusBadRequest,
		"/api/v1/search?q=x&limit=0":    http.StatusBadRequest,
		"/api/v1/search?q=x&limit=many": http.StatusBadRequest,
		"/api/v1/search?q=qqqqzzzz":     http.StatusOK,
		"/api/v1/compare/251/551":       http.StatusOK,
		"/api/v1/compare/551/X.7.26":    http.StatusOK,
		"/api/v1/compare/251/999":       http.StatusNotFound,
		"/api/v1/compare/251":           http.StatusNotFound,
		"/api/v1/codes?filter=55":       http.StatusOK,
		"/api/v1/codes/":                http.StatusNotFound,
		"/api/v1/nothing":               http.StatusNotFound,
		"/api/v2/codes":                 http.StatusNotFound,
	} {
		r := get(t, h, target)
		text := body(t, r)
		if r.StatusCode != want || !json.Valid([]byte(text)) || strings.Contains(text, ": null") {
			t.Errorf("%s gives %d %s, want %d", target, r.StatusCode, text, want)
		}
		if r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: the headers of CORS are %v", target, r.Header)
		}
	}
}

// TestLimiter: a burst is granted, then what flows in; others are not touched.
func TestLimiter(t *testing.T) {
	var l limiter
	now := time.Unix(1_700_000_000, 0)
	a, b := clientOf("192.0.2.1:1000"), clientOf("[2001:db8::1]:1000")
	if clientOf("[2001:db8::2]:99") != b || clientOf("192.0.2.2:1000") == a || clientOf("::ffff:192.0.2.1") != clientOf("nonsense") {
		t.Error("clients are told apart wrongly")
	}
	for i := range apiBurst {
		if wait := l.allow(a, now); wait != 0 {
			t.Fatalf("request %d waits %v", i, wait)
		}
	}
	wait := l.allow(a, now)
	if wait <= 0 || wait > time.Second/apiPerSecond {
		t.Errorf("after the burst one waits %v", wait)
	}
	if l.allow(b, now) != 0 {
		t.Error("another client waits too")
	}
	if l.allow(a, now.Add(wait)) != 0 {
		t.Errorf("after %v one still waits", wait)
	}
	for i := range maxClients * 2 {
		l.allow(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), now)
	}
	if n := len(l.clients); n > maxClients {
		t.Errorf("%d clients are remembered", n)
	}
}

func TestAPIRefusesAFlood(t *testing.T) {
	h := New(Options{}).(*site)
	r := get(t, h, "/api/v1/codes/550")
	if r.StatusCode != http.StatusOK {
		t.Errorf("the first request is answered %d", r.StatusCode)
	}
	later := time.Now().Add(time.Hour) // so that nothing flows in meanwhile
	for client := range h.limiter.clients {
		h.limiter.clients[client] = bucket{0.5, later}
	}
	r = get(t, h, "/api/v1/codes/550")
	if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") != "1" || !strings.Contains(body(t, r), "too many requests") {
		t.Errorf("a flood is answered %d with %v", r.StatusCode, r.Header)
	}
	if r = get(t, h, "/codes/550"); r.StatusCode != http.StatusOK {
		t.Errorf("a page is refused too: %d", r.StatusCode)
	}
}
