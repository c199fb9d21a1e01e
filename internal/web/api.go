package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
)

const apiPrefix = "/api/v1/"

// Limits of what the API gives.
const (
	// apiHits is how many hits a search gives if it does not say, maxHits the
	// most.
	apiHits = 20
	maxHits = 100
)

// parameter is one of an operation's, in its path or its query.
type parameter struct {
	name, in, text, example string
}

// operation is one thing that programs may ask for. Its description for people
// is the sentence web.api.<name>.
type operation struct {
	name, method, path string
	parameters         []parameter
	// request and response are zero values of what is sent and answered.
	request, response any
	serve             func(*site, http.ResponseWriter, *http.Request, []string)
}

var langParameter = parameter{"lang", "query", "language of the sentences; else that of Accept-Language", "en"}

// operations is the API; the documents for people and programs are made of it.
func operations() []operation {
	return []operation{
		{
			name: "codes", method: http.MethodGet, path: "codes",
			parameters: []parameter{{"filter", "query", "the beginning of a code, a command, or words of its name", "55"}, langParameter},
			response:   codeList{}, serve: (*site).apiCodes,
		},
		{
			name: "code", method: http.MethodGet, path: "codes/{code}",
			parameters: []parameter{{"code", "path", "a reply code or an enhanced code", "5.7.26"}, langParameter},
			response:   reference.Code{}, serve: (*site).apiCode,
		},
		{
			name: "compare", method: http.MethodGet, path: "compare/{a}/{b}",
			parameters: []parameter{{"a", "path", "a code", "251"}, {"b", "path", "another", "551"}, langParameter},
			response:   reference.ComparisonJSON{}, serve: (*site).apiCompare,
		},
		{
			name: "explain", method: http.MethodPost, path: "explain",
			parameters: []parameter{langParameter},
			request:    question{}, response: explain.JSON{}, serve: (*site).apiExplain,
		},
		{
			name: "search", method: http.MethodGet, path: "search",
			parameters: []parameter{
				{"q", "query", "words, a code, a provider, a symptom", "mailbox full"},
				{"limit", "query", fmt.Sprintf("how many hits, 1 to %d; %d if not given", maxHits, apiHits), "5"},
				langParameter,
			},
			response: hitList{}, serve: (*site).apiSearch,
		},
		{
			name: "openapi", method: http.MethodGet, path: "openapi.json",
			serve: (*site).apiDocument,
		},
	}
}

// codeList is the answer to GET /api/v1/codes.
type codeList struct {
	Language string              `json:"language"`
	Codes    []reference.Summary `json:"codes"`
}

// hitList is the answer to GET /api/v1/search.
type hitList struct {
	Language string          `json:"language"`
	Query    string          `json:"query"`
	Hits     []reference.Hit `json:"hits"`
}

// question is the body of POST /api/v1/explain.
type question struct {
	// Line is what is to be explained: a reply, a log line.
	Line string `json:"line"`
	// Lang is the language of the sentences; Language is the same.
	Lang     string `json:"lang,omitempty"`
	Language string `json:"language,omitempty"`
	// MXHost is the name of the server that said it, if known; Stage where.
	MXHost string `json:"mx_host,omitempty"`
	Stage  string `json:"stage,omitempty"`
}

// api answers programs. Any page of any origin may ask (no credentials are
// involved), and nothing that is sent is logged or kept.
func (s *site) api(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Vary", "Accept-Language")
	path, _ := strings.CutPrefix(r.URL.Path, apiPrefix)
	if len(r.URL.Path) > maxPath || len(r.URL.RawQuery) > maxQuery {
		fail(w, http.StatusRequestURITooLong, "the address is too long; send what is to be explained as the body of POST "+apiPrefix+"explain")
		return
	}
	var found *operation
	var values []string
	for _, o := range operations() {
		if v, ok := fits(o.path, path); ok {
			found, values = &o, v
			break
		}
	}
	if found == nil {
		fail(w, http.StatusNotFound, "no such address; what there is stands in "+apiPrefix+"openapi.json")
		return
	}
	allowed := found.method + ", OPTIONS"
	if found.method == http.MethodGet {
		allowed = "GET, HEAD, OPTIONS"
	}
	switch {
	case r.Method == http.MethodOptions:
		h.Set("Allow", allowed)
		h.Set("Access-Control-Allow-Methods", allowed)
		h.Set("Access-Control-Allow-Headers", "Content-Type, Accept-Language")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method != found.method && (r.Method != http.MethodHead || found.method != http.MethodGet):
		h.Set("Allow", allowed)
		fail(w, http.StatusMethodNotAllowed, "this address takes "+allowed)
		return
	}
	if wait := s.limiter.allow(clientOf(r.RemoteAddr), time.Now()); wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("too many requests; %d a second are granted in the long run", apiPerSecond))
		return
	}
	found.serve(s, w, r, values)
}

// fits reports whether path is of the form of template, and the values of its
// {places}.
func fits(template, path string) (values []string, ok bool) {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	for i := range want {
		switch {
		case strings.HasPrefix(want[i], "{") && have[i] != "":
			values = append(values, have[i])
		case want[i] != have[i]:
			return nil, false
		}
	}
	return values, true
}

func (s *site) apiExplain(w http.ResponseWriter, r *http.Request, _ []string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		fail(w, http.StatusRequestEntityTooLarge, "the body is larger than "+strconv.Itoa(maxBody)+" octets")
		return
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "the body could not be read")
		return
	}
	var q question
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/json":
		if err := json.Unmarshal(body, &q); err != nil {
			fail(w, http.StatusBadRequest, `the body is not JSON of the form {"line": "550 5.1.1 …", "lang": "en"}`)
			return
		}
	case err == nil && (kind == "text/plain" || kind == "message/rfc822"):
		q.Line = string(body)
	default:
		fail(w, http.StatusUnsupportedMediaType, "send application/json, text/plain or message/rfc822")
		return
	}
	if strings.TrimSpace(q.Line) == "" {
		fail(w, http.StatusBadRequest, `there is nothing to explain: "line" is empty`)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	lang := q.Lang
	if lang == "" {
		lang = q.Language
	}
	lang = s.apiLanguage(r, lang)
	if explain.IsReport(q.Line) {
		answer(w, http.StatusOK, explain.Report([]byte(q.Line))[0].JSON(lang).JSON)
		return
	}
	answer(w, http.StatusOK, explain.Line(q.Line, explain.Options{MXHost: q.MXHost, Stage: q.Stage}).JSON(lang))
}

// apiLanguage is the language asked for by name, else by Accept-Language.
func (s *site) apiLanguage(r *http.Request, wanted string) string {
	query := r.URL.Query()
	for _, name := range [...]string{"lang", "language"} {
		if wanted == "" {
			wanted = query.Get(name)
		}
	}
	if wanted != "" {
		return reference.Match(wanted)
	}
	return s.accepted(r.Header.Get("Accept-Language")).Tag
}

// keep lets an answer that depends on nothing but its address and the language
// be kept for a while (rfc9111#5.2.2).
func keep(w http.ResponseWriter) { w.Header().Set("Cache-Control", "public, max-age=300") }

func (s *site) apiCodes(w http.ResponseWriter, r *http.Request, _ []string) {
	lang := s.apiLanguage(r, "")
	list := reference.Filter(reference.Codes(lang), r.URL.Query().Get("filter"))
	keep(w)
	answer(w, http.StatusOK, codeList{Language: lang, Codes: append([]reference.Summary{}, list...)})
}

func (s *site) apiCode(w http.ResponseWriter, r *http.Request, values []string) {
	c, ok := reference.Describe(s.apiLanguage(r, ""), values[0])
	if !ok {
		fail(w, http.StatusNotFound, "no such code; it is written like 550, 5.7.26 or X.7.26")
		return
	}
	keep(w)
	answer(w, http.StatusOK, c)
}

func (s *site) apiCompare(w http.ResponseWriter, r *http.Request, values []string) {
	var codes [2]string
	for i, v := range values {
		code, ok := reference.Canonical(v)
		if !ok {
			fail(w, http.StatusNotFound, fmt.Sprintf("%.20q is no code; it is written like 550, 5.7.26 or X.7.26", v))
			return
		}
		codes[i] = code
	}
	keep(w)
	answer(w, http.StatusOK, reference.Compare(codes[0], codes[1], s.apiLanguage(r, "")).JSON())
}

func (s *site) apiSearch(w http.ResponseWriter, r *http.Request, _ []string) {
	query := r.URL.Query()
	q := strings.TrimSpace(query.Get("q"))
	if q == "" {
		fail(w, http.StatusBadRequest, `there is nothing to search for: "q" is empty`)
		return
	}
	limit := apiHits
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxHits {
			fail(w, http.StatusBadRequest, fmt.Sprintf(`"limit" is a number from 1 to %d`, maxHits))
			return
		}
		limit = n
	}
	lang := s.apiLanguage(r, "")
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, hitList{Language: lang, Query: q, Hits: append([]reference.Hit{}, reference.Search(lang, q, limit)...)})
}

// fail says in one object what was wrong and what to do.
func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Cache-Control", "no-store")
	answer(w, status, failure{message})
}

// failure is the answer to a request that cannot be met.
type failure struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	encoder.Encode(value) //nolint:errcheck // the visitor has gone
}
