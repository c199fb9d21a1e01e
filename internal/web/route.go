package web

import (
	"bytes"
	"net/http"
	"net/url"
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
	body, ok := s.cache.get(key)
	if !ok {
		v, found := view()
		if !found {
			s.notFound(w, r, p, p.Path[strings.LastIndexByte(p.Path, '/')+1:])
			return
		}
		var err error
		if body, err = s.render(name, v); err != nil {
			s.show(w, r, http.StatusOK, name, v) // says and logs it
			return
		}
		s.cache.put(key, body)
	}
	s.send(w, r, http.StatusOK, body)
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
	if !knownX || !knownY || !comparable(x) || !comparable(y) {
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

// shortLink leads from the link in a reply to the page of its code or name.
func (s *site) shortLink(w http.ResponseWriter, r *http.Request, p *page, code string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Robots-Tag", "noindex")
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

// newPage reads language and path off the address.
func (s *site) newPage(r *http.Request) *page {
	p := &page{site: s, Path: r.URL.Path}
	first, rest, _ := strings.Cut(strings.TrimPrefix(p.Path, "/"), "/")
	if l, ok := s.language(first); ok {
		p.Lang, p.Base, p.Path = l, "/"+l.Tag, "/"+rest
		return p
	}
	p.Lang = s.accepted(r.Header.Get("Accept-Language"))
	return p
}

// page is what every page has; the views embed it.
type page struct {
	site *site
	Lang reference.Language
	// Base is the prefix of the links: "/ja" where the address names the
	// language, "" where the browser does.
	Base string
	// Path is the address without the prefix.
	Path string
	// Query is what the language switch must not lose, with its question mark.
	Query string
	// Title and Description are for the head.
	Title, Description string
	// Section is the entry of the navigation that is current.
	Section string
	// NoIndex keeps search engines out.
	NoIndex bool
	// English says that some text exists in English only.
	English bool
}

// T is a heading or sentence of the pages, or of the reference.
func (p *page) T(key string, pairs ...string) string {
	text, ok := p.site.words[p.Lang.Tag][key]
	if !ok {
		text = reference.Say(p.Lang.Tag, key)
	}
	return reference.Fill(text, pairs...)
}

// Link is the address of another page in the same language.
func (p *page) Link(path string) string { return p.Base + path }

// Host is the server's name.
func (p *page) Host() string { return p.site.host }

// Style and Icon are the paths of the files that a page needs.
func (p *page) Style() string { return p.site.stylePath }

// Icon is the path of the icon.
func (p *page) Icon() string { return p.site.iconPath }

// Direction is the direction of the text.
func (p *page) Direction() string {
	if p.Lang.RightToLeft {
		return "rtl"
	}
	return "ltr"
}

// alternate is the same page in one language.
type alternate struct {
	Tag, Name, Path string
	Current         bool
}

// Alternates lists the page in every language.
func (p *page) Alternates() []alternate {
	list := make([]alternate, 0, len(p.site.languages))
	for _, l := range p.site.languages {
		list = append(list, alternate{Tag: l.Tag, Name: l.Name, Path: "/" + l.Tag + p.Path + p.Query, Current: l.Tag == p.Lang.Tag})
	}
	return list
}

// prose is a text and, where it is not in the language of the page, its own.
type prose struct {
	Text string
	Lang string
}

// prose looks up a sentence of the reference.
func (p *page) prose(key string) prose {
	text, used := reference.Text(p.Lang.Tag, key)
	if text == "" || used == p.Lang.Tag {
		return prose{Text: text}
	}
	p.English = true
	return prose{Text: text, Lang: used}
}
