package web

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/onwardmail/onward/internal/reference"
	"github.com/onwardmail/onward/internal/reply"
)

// route finds the page of an address.
func (s *site) route(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if file, ok := s.assets[path]; ok {
		w.Header().Set("Content-Type", file.kind)
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeContent(w, r, "", s.modified, bytes.NewReader(file.body))
		return
	}
	if path == "/healthz" {
		s.healthz(w)
		return
	}
	p := s.newPage(r)
	switch {
	case len(path) > maxPath || len(r.URL.RawQuery) > maxQuery:
		s.trouble(w, r, p, http.StatusRequestURITooLong, "error.long")
		return
	case r.Method == http.MethodPost && p.Path == "/explain":
		s.explainPosted(w, r, p)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		s.trouble(w, r, p, http.StatusMethodNotAllowed, "error.method")
		return
	}
	if p.Base == "" {
		w.Header().Set("Vary", "Accept-Language")
	}
	if path == "/"+p.Lang.Tag {
		redirect(w, r, http.StatusMovedPermanently, path+"/")
		return
	}
	if trimmed := strings.TrimRight(p.Path, "/"); p.Path != "/" && trimmed != p.Path {
		redirect(w, r, http.StatusMovedPermanently, p.Link("/"+strings.Trim(trimmed, "/")))
		return
	}
	w.Header().Set("Content-Language", p.Lang.Tag)
	s.dispatch(w, r, p)
}

func (s *site) dispatch(w http.ResponseWriter, r *http.Request, p *page) {
	first, rest, deeper := strings.Cut(strings.TrimPrefix(p.Path, "/"), "/")
	switch {
	case first == "" && !deeper:
		s.fixed(w, r, p, "home", func() (any, bool) { return s.home(p), true })
	case first == "codes" && !deeper:
		s.fixed(w, r, p, "codes", func() (any, bool) { return s.codes(p), true })
	case first == "codes":
		s.codeRoute(w, r, p, rest)
	case first == "replies" && !deeper:
		redirect(w, r, http.StatusFound, p.Link("/codes")+"#replies")
	case first == "replies":
		s.fixed(w, r, p, "reply", func() (any, bool) { return s.replyView(p, rest) })
	case first == "compare":
		s.compareRoute(w, r, p, rest)
	case first == "explain" && !deeper:
		w.Header().Set("Cache-Control", "no-store")
		s.show(w, r, http.StatusOK, "explain", s.explainView(p, r.URL.Query().Get("line")))
	case first == "providers" && !deeper:
		s.fixed(w, r, p, "providers", func() (any, bool) { return s.providersView(p), true })
	case first == "providers":
		s.fixed(w, r, p, "provider", func() (any, bool) { return s.providerView(p, rest) })
	case first == "reasons" && !deeper:
		s.fixed(w, r, p, "reasons", func() (any, bool) { return s.reasonsView(p), true })
	case first == "reasons":
		s.fixed(w, r, p, "reason", func() (any, bool) { return s.reasonView(p, rest) })
	case first == "guides" && !deeper:
		s.fixed(w, r, p, "guides", func() (any, bool) { return s.guidesView(p), true })
	case first == "guides":
		s.guideRoute(w, r, p, rest)
	case first == "glossary" && !deeper:
		s.fixed(w, r, p, "glossary", func() (any, bool) { return s.glossaryView(p), true })
	case first == "api" && !deeper && !p.Static():
		s.fixed(w, r, p, "api", func() (any, bool) { return s.apiView(p), true })
	case first == "search" && !deeper:
		w.Header().Set("Cache-Control", "no-store")
		s.show(w, r, http.StatusOK, "search", s.searchView(p, r.URL.Query().Get("q")))
	case first == searchIndex && !deeper && p.Static():
		s.serveIndex(w, p)
	case first == "r" && deeper:
		s.shortLink(w, r, p, rest)
	default:
		s.notFound(w, r, p, rest)
	}
}

// fixed serves a page that depends on nothing but its address: from the cache,
// or made now and kept.
func (s *site) fixed(w http.ResponseWriter, r *http.Request, p *page, name string, view func() (any, bool)) {
	key := p.Lang.Tag + " " + p.Base + " " + p.Path
	page, ok := s.cache.get(key)
	if !ok {
		v, found := view()
		if !found {
			s.notFound(w, r, p, p.Path[strings.LastIndexByte(p.Path, '/')+1:])
			return
		}
		body, err := s.render(name, v)
		if err != nil {
			s.show(w, r, http.StatusOK, name, v) // says and logs it
			return
		}
		page = kept{body, `"` + hash(body) + `"`}
		s.cache.put(key, page)
	}
	s.sendKept(w, r, page)
}

// explainPosted explains what a form brings, which keeps it out of addresses
// and so out of the logs of proxies.
func (s *site) explainPosted(w http.ResponseWriter, r *http.Request, p *page) {
	w.Header().Set("Content-Language", p.Lang.Tag)
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		status, key := http.StatusBadRequest, "error.form"
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status, key = http.StatusRequestEntityTooLarge, "error.large"
		}
		s.trouble(w, r, p, status, key)
		return
	}
	s.show(w, r, http.StatusOK, "explain", s.explainView(p, r.PostForm.Get("line")))
}

// guideRoute serves a step of a guide; the first has the address of the guide.
func (s *site) guideRoute(w http.ResponseWriter, r *http.Request, p *page, rest string) {
	id, node, deeper := strings.Cut(rest, "/")
	if g, ok := reference.GuideOf(id); ok {
		start := g.Nodes[0].ID
		if deeper && node == start {
			redirect(w, r, http.StatusMovedPermanently, p.Link("/guides/"+id))
			return
		}
		if !deeper {
			node = start
		}
	}
	s.fixed(w, r, p, "guide", func() (any, bool) { return s.guideView(p, id, node) })
}

// codeRoute serves a code; another spelling of it leads to its one address.
func (s *site) codeRoute(w http.ResponseWriter, r *http.Request, p *page, code string) {
	if address, ok := canonical(code); ok && address != code {
		redirect(w, r, http.StatusMovedPermanently, p.Link("/codes/"+address))
		return
	}
	s.fixed(w, r, p, "code", func() (any, bool) { return s.codeView(p, code) })
}

// compareRoute serves a comparison at the one address of its pair. The form of
// the pages gives the two codes as a query.
func (s *site) compareRoute(w http.ResponseWriter, r *http.Request, p *page, pair string) {
	a, b, ok := strings.Cut(pair, "-")
	if pair == "" {
		query := r.URL.Query()
		a, b = strings.TrimSpace(query.Get("a")), strings.TrimSpace(query.Get("b"))
		if a == "" || b == "" {
			s.fixed(w, r, p, "choose", func() (any, bool) { return s.chooseView(p), true })
			return
		}
		ok = true
	}
	if !ok || len(a)+len(b) > maxCodeLength*2 {
		s.notFound(w, r, p, pair)
		return
	}
	x, knownX := canonical(a)
	y, knownY := canonical(b)
	if !knownX || !knownY {
		s.pairNotFound(w, r, p, a, b)
		return
	}
	if x == y {
		redirect(w, r, http.StatusFound, p.Link("/codes/"+x))
		return
	}
	if before(y, x) {
		x, y = y, x
	}
	if address := "/compare/" + x + "-" + y; p.Path != address {
		redirect(w, r, http.StatusMovedPermanently, p.Link(address))
		return
	}
	s.fixed(w, r, p, "compare", func() (any, bool) { return s.compareView(p, x, y), true })
}

// shortLink leads from the link in a reply to the page of its code or name;
// behind 535 stands the reference of a rejected login.
func (s *site) shortLink(w http.ResponseWriter, r *http.Request, p *page, code string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Robots-Tag", "noindex")
	if number, name, deeper := strings.Cut(code, "/"); deeper {
		d, known := reply.ByName(name)
		switch {
		case known && strconv.Itoa(d.Code) == number:
			redirect(w, r, http.StatusFound, p.Link("/replies/"+name))
		case number == rejected && isReference(name):
			s.show(w, r, http.StatusOK, "login", s.loginView(p, name))
		default:
			s.notFound(w, r, p, code)
		}
		return
	}
	if _, ok := reply.ByName(code); ok {
		redirect(w, r, http.StatusFound, p.Link("/replies/"+code))
		return
	}
	address, ok := canonical(code)
	if !ok {
		s.notFound(w, r, p, code)
		return
	}
	redirect(w, r, http.StatusFound, p.Link("/codes/"+address))
}

func (s *site) healthz(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s.health != nil {
		if err := s.health(); err != nil {
			s.log.Warn("health check failed", "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte("unavailable\n")) //nolint:errcheck // the visitor has gone
			return
		}
	}
	w.Write([]byte("ok\n")) //nolint:errcheck // the visitor has gone
}

// redirect sends the reader to a path of ours. The path is made of known
// parts; a code that came from outside is escaped.
func redirect(w http.ResponseWriter, r *http.Request, status int, path string) {
	target := url.URL{Path: path}
	if before, after, ok := strings.Cut(path, "#"); ok {
		target = url.URL{Path: before, Fragment: after}
	}
	// one slash only: "//host" would lead elsewhere
	http.Redirect(w, r, "/"+strings.TrimLeft(target.String(), "/"), status)
}
