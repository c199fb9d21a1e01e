package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/explain"
	"github.com/onwardmail/onward/internal/reference"
)

// codeJSON is a code as programs get it. What it has in common with
// explain.JSON has the same name there.
type codeJSON struct {
	// Code is the reply code, 0 for an enhanced code; Enhanced is "" for a
	// reply code.
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Name     string `json:"name"`
	WhoActs  string `json:"who_acts"`
	Retry    string `json:"retry"`
	Meaning  string `json:"meaning"`
	When     string `json:"when"`
	Fix      string `json:"fix"`
	// Standard is "yes", or what it is instead; for reply codes only.
	Standard  string   `json:"standard,omitempty"`
	DefinedIn []string `json:"defined_in,omitempty"`
	Commands  []string `json:"commands,omitempty"`
	// With are the codes that usually come with it.
	With []string `json:"with,omitempty"`
	// Providers give the code a meaning of their own.
	Providers []providerJSON `json:"providers,omitempty"`
	Language  string         `json:"language"`
}

type providerJSON struct {
	Provider string `json:"provider"`
	Shown    string `json:"shown"`
	Meaning  string `json:"meaning"`
	Fix      string `json:"fix"`
	Source   string `json:"source"`
}

// question is the body of POST /api/v1/explain.
type question struct {
	// Line is what is to be explained: a reply, a log line.
	Line string `json:"line"`
	// Language of the sentences; else that of Accept-Language.
	Language string `json:"language"`
	// MXHost is the name of the server that said it, if known; Stage where.
	MXHost string `json:"mx_host"`
	Stage  string `json:"stage"`
}

// api answers programs. Any page of any origin may ask (no credentials are
// involved), and nothing that is sent is logged or kept.
func (s *site) api(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Vary", "Accept-Language")
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	code, isCode := strings.CutPrefix(path, "codes/")
	allowed := ""
	switch {
	case len(r.URL.Path) > maxPath || len(r.URL.RawQuery) > maxQuery:
		fail(w, http.StatusRequestURITooLong, "the address is too long; send what is to be explained as the body of POST /api/v1/explain")
		return
	case path == "explain":
		allowed = "POST, OPTIONS"
	case isCode && !strings.Contains(code, "/"):
		allowed = "GET, HEAD, OPTIONS"
	default:
		fail(w, http.StatusNotFound, "no such address; there are POST /api/v1/explain and GET /api/v1/codes/{code}")
		return
	}
	switch {
	case r.Method == http.MethodOptions:
		h.Set("Allow", allowed)
		h.Set("Access-Control-Allow-Methods", allowed)
		h.Set("Access-Control-Allow-Headers", "Content-Type, Accept-Language")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	case !strings.Contains(", "+allowed+",", ", "+r.Method+","):
		h.Set("Allow", allowed)
		fail(w, http.StatusMethodNotAllowed, "this address takes "+allowed)
	case isCode:
		s.apiCode(w, r, code)
	default:
		s.apiExplain(w, r)
	}
}

func (s *site) apiExplain(w http.ResponseWriter, r *http.Request) {
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
			fail(w, http.StatusBadRequest, `the body is not JSON of the form {"line": "550 5.1.1 …", "language": "en"}`)
			return
		}
	case err == nil && kind == "text/plain":
		q.Line = string(body)
	default:
		fail(w, http.StatusUnsupportedMediaType, "send application/json or text/plain")
		return
	}
	if strings.TrimSpace(q.Line) == "" {
		fail(w, http.StatusBadRequest, `there is nothing to explain: "line" is empty`)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	e := explain.Line(q.Line, explain.Options{MXHost: q.MXHost, Stage: q.Stage})
	answer(w, http.StatusOK, e.JSON(s.apiLanguage(r, q.Language)))
}

// apiLanguage is the language asked for by name, else by Accept-Language.
func (s *site) apiLanguage(r *http.Request, wanted string) string {
	if wanted == "" {
		wanted = r.URL.Query().Get("language")
	}
	if wanted != "" {
		return reference.Match(wanted)
	}
	return s.accepted(r.Header.Get("Accept-Language")).Tag
}

func (s *site) apiCode(w http.ResponseWriter, r *http.Request, code string) {
	address, ok := canonical(code)
	if !ok {
		fail(w, http.StatusNotFound, "no such code; it is written like 550, 5.7.26 or X.7.26")
		return
	}
	lang := s.apiLanguage(r, "")
	j := codeJSON{Language: lang}
	if n, err := strconv.Atoi(address); err == nil {
		b, _ := reference.BasicCode(n)
		key := b.Key()
		j.Code, j.Standard, j.DefinedIn, j.Commands, j.With = b.Code, b.Standard, b.DefinedIn, b.Commands, b.Enhanced
		j.WhoActs, j.Retry = string(b.Who), string(b.Retry)
		j.Name, j.Meaning = reference.Say(lang, key+".name"), reference.Say(lang, key+".meaning")
		j.When, j.Fix = reference.Say(lang, key+".when"), reference.Say(lang, key+".fix")
	} else {
		j.enhanced(address, lang)
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	answer(w, http.StatusOK, j)
}

func (j *codeJSON) enhanced(code, lang string) {
	j.Enhanced = code
	class, _, _, _ := reference.SplitEnhanced(code)
	switch class {
	case 2:
		j.Retry = string(reference.RetryNoNeed)
	case 4:
		j.Retry = string(reference.RetryYes)
	case 5:
		j.Retry = string(reference.RetryNo)
	}
	if e, ok := reference.EnhancedCode(code); ok {
		key := e.Key()
		j.WhoActs, j.DefinedIn = string(e.Who), e.References
		j.Name, j.Meaning = reference.Say(lang, key+".name"), reference.Say(lang, key+".meaning")
		j.When, j.Fix = reference.Say(lang, key+".cause"), reference.Say(lang, key+".fix")
		for _, b := range e.Basic {
			j.With = append(j.With, strconv.Itoa(b))
		}
	}
	for _, p := range privates(code) {
		j.Providers = append(j.Providers, providerJSON{
			Provider: p.Provider, Shown: p.Shown, Source: p.Source,
			Meaning: reference.Say(lang, p.Key()+".meaning"), Fix: reference.Say(lang, p.Key()+".fix"),
		})
	}
}

// fail says in one object what was wrong and what to do.
func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Cache-Control", "no-store")
	answer(w, status, map[string]string{"error": message})
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(value) //nolint:errcheck // the visitor has gone
}
