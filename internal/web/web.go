// Package web serves the reference as pages for people and as a small API.
//
// What it promises: every page is complete in the HTML that is sent; it needs
// no JavaScript, asks no other host for anything, and stays below [maxPage]
// octets. What somebody pastes is data: it is escaped for control characters
// (explain.Escape) and for HTML (html/template), it is not logged and not
// kept. The addresses are
//
//	/                     what this server is, the explain box, the codes
//	/codes                every code and every reply of Onward's own
//	/codes/{code}         550, 5.7.26, X.7.26
//	/replies/{name}       mailbox-unknown
//	/compare/{a}-{b}      one address a pair; the other order redirects
//	/providers            who says what; /providers/{slug}
//	/reasons              what a refusal comes down to; /reasons/{key}
//	/guides               questions that lead to a remedy; /guides/{id}/{step}
//	/glossary             the words
//	/search?q=…           all of it
//	/explain              what a line means; POST, or ?line=…
//	/r/{code}             short link, as replies on the wire carry it: /r/535,
//	                      /r/550/mailbox-unknown, /r/535/{reference}
//	/healthz              for a load balancer
//	/api/v1/explain       POST; and GET /api/v1/codes/{code}
//
// Each page is also at /{language}/…, where the prefix decides. Without one
// the browser's Accept-Language does (RFC 9110 §12.5.4).
//
// What it does not: it knows nothing of sessions, queue or store, has no
// logins and no timeouts; those of the connection are http.Server's.
//
// RFC 9110 (HTTP), RFC 9111 (caching), CSP Level 3, RFC 8288 (links).
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/onwardmail/onward/internal/reference"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

// Limits.
const (
	// maxPath and maxQuery bound what is looked at of an address, in octets.
	maxPath  = 256
	maxQuery = 16 << 10
	// maxBody bounds what the API reads.
	maxBody = 256 << 10
	// maxPage is the size that no page exceeds, in octets.
	maxPage = 100_000
	// maxCached bounds the pages that are kept ready; at 15 KB each they are
	// some 8 MB.
	maxCached = 512
)

// Options are what the pages need of the server around them.
type Options struct {
	// Hostname is the name that the server says in its greeting; it stands in
	// the pages and in the transcripts. Empty means "mx.example.org".
	Hostname string
	// Logger gets defects, never what a visitor typed; nil means none.
	Logger *slog.Logger
	// Health says why the server is not ready, for /healthz; nil means that it
	// always is. The error is logged, not shown: the page is public.
	Health func() error
	// Static makes pages for a site of files: nothing in them needs a server that
	// answers.
	Static bool
}

// site is the handler. It does not change after New but for its cache.
type site struct {
	host      string
	log       *slog.Logger
	health    func() error
	languages []reference.Language
	templates *template.Template
	assets    map[string]asset
	stylePath string
	iconPath  string
	// scriptPath is that of the script of a static site, "" otherwise.
	scriptPath string
	modified   time.Time
	cache      cache
	limiter    limiter
}

// asset is a file that pages refer to; its path holds its hash.
type asset struct {
	kind string
	body []byte
}

// New returns the handler of all pages. It panics if an embedded file is
// broken, which a test finds first.
func New(o Options) http.Handler {
	s := &site{
		host: o.Hostname, log: o.Logger, health: o.Health, languages: reference.Languages(), assets: map[string]asset{},
		modified: built(),
	}
	if s.host == "" {
		s.host = "mx.example.org"
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.stylePath = s.addAsset("onward", "css", "text/css; charset=utf-8")
	s.iconPath = s.addAsset("stamp", "svg", "image/svg+xml")
	if o.Static {
		s.scriptPath = s.addAsset("static", "js", "text/javascript; charset=utf-8")
	}
	s.templates = template.Must(template.New("").ParseFS(templateFiles, "templates/*.html"))
	return s
}

// addAsset registers a file under a path that changes with its content, so
// that browsers may keep it for ever (rfc9111#5.2.2.8).
func (s *site) addAsset(name, extension, kind string) string {
	body, err := assetFiles.ReadFile("assets/" + name + "." + extension)
	if err != nil {
		panic("web: " + err.Error())
	}
	path := "/assets/" + name + "-" + hash(body) + "." + extension
	s.assets[path] = asset{kind: kind, body: body}
	return path
}

// built is when the program was made, as far as it knows; else when it began.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if ok {
		var at time.Time
		changed := false
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.time":
				at, _ = time.Parse(time.RFC3339, setting.Value)
			case "vcs.modified":
				changed = setting.Value == "true"
			}
		}
		if !at.IsZero() && !changed {
			return at
		}
	}
	return time.Now().Truncate(time.Second)
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// policy is the Content-Security-Policy: our own style sheet and icon, forms
// to ourselves, and nothing else at all.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP answers one request.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if strings.HasPrefix(r.URL.Path, "/api/") {
		s.api(w, r)
		return
	}
	s.route(w, r)
}

// show renders a view into a complete body and sends it. A page that cannot be
// rendered is a defect of ours: 500, and logged.
func (s *site) show(w http.ResponseWriter, r *http.Request, status int, name string, view any) {
	body, err := s.render(name, view)
	if err != nil {
		s.log.Error("web page could not be made", "page", name, "error", err)
		http.Error(w, "This page could not be made. The defect is in the log of the server.", http.StatusInternalServerError)
		return
	}
	s.send(w, r, status, body)
}

func (s *site) render(name string, view any) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(16 << 10)
	if err := s.templates.ExecuteTemplate(&b, name, view); err != nil {
		return nil, fmt.Errorf("render page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// send answers with a page that depends on what somebody typed, or with an
// error: neither may be kept. Others are for [site.sendKept].
func (s *site) send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", pageType)
	if status != http.StatusOK || r.URL.RawQuery != "" || r.Method == http.MethodPost {
		h.Set("Cache-Control", "no-store")
		h.Set("X-Robots-Tag", "noindex")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			w.Write(body) //nolint:errcheck // the visitor has gone
		}
		return
	}
	s.sendKept(w, r, kept{body, `"` + hash(body) + `"`})
}

// sendKept answers with a page that may be kept and asked for again with its
// ETag (rfc9110#8.8.3).
func (s *site) sendKept(w http.ResponseWriter, r *http.Request, page kept) {
	h := w.Header()
	h.Set("Content-Type", pageType)
	if r.URL.RawQuery != "" {
		h.Set("X-Robots-Tag", "noindex")
	}
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "public, max-age=300, must-revalidate")
	}
	h.Set("ETag", page.tag)
	http.ServeContent(w, r, "", s.modified, bytes.NewReader(page.body))
}

const pageType = "text/html; charset=utf-8"
